//! The async workloads: A1, A2, A4 and A5 of the design.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tasker::{AsyncConfig, AsyncTaskManager};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Mutex, Semaphore};

use crate::{Run, print_table};

type Manager = AsyncTaskManager<u64, String>;

fn runtime() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().expect("a runtime can be built")
}

async fn manager(workers: usize) -> Manager {
    let config = AsyncConfig::new(|| async { Ok(0) }).worker_count(workers);
    let config = config.max_worker_count(workers).resource_pool_size(0);
    AsyncTaskManager::new(config).await.expect("a counter is always made")
}

/// Makes counters for the pools.
struct Counters;

impl deadpool::managed::Manager for Counters {
    type Type = u64;
    type Error = std::convert::Infallible;

    async fn create(&self) -> Result<u64, Self::Error> {
        Ok(0)
    }

    async fn recycle(
        &self,
        _: &mut u64,
        _: &deadpool::managed::Metrics,
    ) -> deadpool::managed::RecycleResult<Self::Error> {
        Ok(())
    }
}

impl bb8::ManageConnection for Counters {
    type Connection = u64;
    type Error = std::convert::Infallible;

    async fn connect(&self) -> Result<u64, Self::Error> {
        Ok(0)
    }

    async fn is_valid(&self, _: &mut u64) -> Result<(), Self::Error> {
        Ok(())
    }

    fn has_broken(&self, _: &mut u64) -> bool {
        false
    }
}

/// One system with what a caller does in it, `times` over.
#[derive(Clone)]
enum System {
    Deadpool(deadpool::managed::Pool<Counters>),
    Bb8(bb8::Pool<Counters>),
    /// A permit, a task of its own that locks one of the resources, and its result.
    Spawn(Arc<Semaphore>, Arc<[Mutex<u64>]>),
    Task(Manager),
    QueueTask(Manager),
}

impl System {
    async fn all(size: usize) -> Vec<(&'static str, Self)> {
        let deadpool = deadpool::managed::Pool::builder(Counters).max_size(size).build();
        let bb8 = bb8::Pool::builder().max_size(size as u32).test_on_check_out(false);
        let resources: Arc<[_]> = (0..size).map(|_| Mutex::new(0)).collect();
        vec![
            ("deadpool get, call", Self::Deadpool(deadpool.expect("no timeouts are set"))),
            ("bb8 get, call", Self::Bb8(bb8.build(Counters).await.expect("a counter is made"))),
            ("tokio Semaphore, spawn", Self::Spawn(Arc::new(Semaphore::new(size)), resources)),
            ("tasker task(…).await", Self::Task(manager(size).await)),
            ("tasker queue_task", Self::QueueTask(manager(size).await)),
        ]
    }

    async fn call(&self, times: u32) {
        match self {
            Self::Deadpool(pool) => {
                for _ in 0..times {
                    *pool.get().await.expect("a counter is made") += 1;
                }
            }
            Self::Bb8(pool) => {
                for _ in 0..times {
                    *pool.get().await.expect("a counter is made") += 1;
                }
            }
            Self::Spawn(permits, resources) => {
                for _ in 0..times {
                    let permit = Arc::clone(permits).acquire_owned().await.expect("it stays open");
                    let resources = Arc::clone(resources);
                    let task = tokio::spawn(async move {
                        let _permit = permit;
                        for resource in &*resources {
                            if let Ok(mut resource) = resource.try_lock() {
                                *resource += 1;
                                return;
                            }
                        }
                        *resources[0].lock().await += 1;
                    });
                    task.await.expect("it does not panic");
                }
            }
            Self::Task(manager) => {
                for _ in 0..times {
                    let task = manager.task(async |_, resource| {
                        *resource += 1;
                        Ok(())
                    });
                    task.await.expect("the task succeeds");
                }
            }
            Self::QueueTask(manager) => {
                for _ in 0..times {
                    let task = manager.queue_task(async |_, resource| {
                        *resource += 1;
                        Ok(())
                    });
                    task.await.expect("the task succeeds");
                }
            }
        }
    }
}

/// A1: one caller awaits empty tasks.
pub(crate) fn round_trip(reps: usize, n: u32) {
    let runtime = runtime();
    let systems = runtime.block_on(System::all(1));
    let mut runs: Vec<Vec<Run>> = systems.iter().map(|_| Vec::new()).collect();
    for _ in 0..reps {
        for ((_, system), runs) in systems.iter().zip(&mut runs) {
            let began = Instant::now();
            runtime.block_on(system.call(n));
            let ns_per_op = began.elapsed().as_nanos() as f64 / f64::from(n);
            runs.push(Run { ns_per_op, longest: Duration::ZERO });
        }
    }
    let names: Vec<_> = systems.iter().map(|(name, _)| *name).collect();
    print_table("A1  an awaited empty task, 1 caller, 1 worker", &names, &runs, false);
}

/// A2: 64 callers await empty tasks on two workers.
pub(crate) fn many_callers(reps: usize, n: u32) {
    const CALLERS: u32 = 64;
    let runtime = runtime();
    let systems = runtime.block_on(System::all(2));
    let mut runs: Vec<Vec<Run>> = systems.iter().map(|_| Vec::new()).collect();
    for _ in 0..reps {
        for ((_, system), runs) in systems.iter().zip(&mut runs) {
            let began = Instant::now();
            runtime.block_on(async {
                let each = n / CALLERS;
                let callers: Vec<_> = (0..CALLERS)
                    .map(|_| {
                        let system = system.clone();
                        tokio::spawn(async move { system.call(each).await })
                    })
                    .collect();
                for caller in callers {
                    caller.await.expect("no caller panics");
                }
            });
            let ops = f64::from(n / CALLERS * CALLERS);
            let ns_per_op = began.elapsed().as_nanos() as f64 / ops;
            runs.push(Run { ns_per_op, longest: Duration::ZERO });
        }
    }
    let names: Vec<_> = systems.iter().map(|(name, _)| *name).collect();
    print_table("A2  64 callers, empty tasks, 2 workers, 2 threads", &names, &runs, false);
}

/// A4 and A5: what managers cost that have nothing to do.
pub(crate) fn idle(quick: bool) {
    const WORKERS: usize = 10_000;
    let watched = Duration::from_secs(if quick { 1 } else { 5 });
    let runtime = runtime();
    runtime.block_on(async { drop(manager(1).await) }); // what comes with the first one is not counted
    let before = resident();
    let began = Instant::now();
    let manager = runtime.block_on(manager(WORKERS));
    let built = began.elapsed();
    let bytes = resident().saturating_sub(before) as f64 / WORKERS as f64;
    let before = Usage::now();
    std::thread::sleep(watched);
    let used = Usage::now().since(before);
    println!("A4  {WORKERS} idle async workers");
    println!("  built in {:.0} ms", built.as_secs_f64() * 1_000.0);
    println!("  {bytes:.0} bytes of resident memory each, an 8-byte resource and its box included");
    println!("  {:.1} ms of CPU in {watched:?}", used.cpu.as_secs_f64() * 1_000.0);
    let began = Instant::now();
    let report = runtime.block_on(manager.stop()).expect("it was running");
    println!(
        "  stopped in {:.0} ms, {} of {} resources destroyed",
        began.elapsed().as_secs_f64() * 1_000.0,
        report.resources_destroyed,
        report.resources_created,
    );
    println!();

    println!("A5  idle managers: context switches of the whole process, per second");
    let switches = |title: &str| {
        let before = Usage::now();
        std::thread::sleep(watched);
        let per_second = Usage::now().since(before).switches as f64 / watched.as_secs_f64();
        println!("  {title:<40} {per_second:.1}");
    };
    switches("a runtime without a manager");
    let idle = runtime.block_on(self::manager(2));
    runtime.block_on(idle.queue_task(async |_, _| Ok(()))).expect("the task succeeds");
    switches("and an async manager");
    let threaded = crate::manager(2);
    threaded.queue_task(|_, _| Ok(())).expect("the task succeeds");
    switches("and a threaded one");
    println!();
}

/// Resident memory in bytes.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = pages.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or_default() * 4096
}

/// What the process has used so far.
#[derive(Clone, Copy)]
struct Usage {
    cpu: Duration,
    /// Voluntary ones: each is a thread that had been woken and went to sleep again.
    switches: u64,
}

impl Usage {
    fn now() -> Self {
        let mut switches = 0;
        let mut nanoseconds = 0;
        for thread in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
            let read = |file: &str| std::fs::read_to_string(thread.path().join(file));
            let status = read("status").unwrap_or_default();
            let line =
                status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            switches += line.and_then(|n| n.trim().parse::<u64>().ok()).unwrap_or_default();
            let schedule = read("schedstat").unwrap_or_default();
            let ran = schedule.split(' ').next().and_then(|n| n.parse::<u64>().ok());
            nanoseconds += ran.unwrap_or_default();
        }
        Self { cpu: Duration::from_nanos(nanoseconds), switches }
    }

    fn since(self, before: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(before.cpu),
            switches: self.switches.saturating_sub(before.switches),
        }
    }
}
