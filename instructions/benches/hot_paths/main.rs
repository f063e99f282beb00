//! Counts the instructions of the paths that every task takes, and fails where there are more than [`limits`] allow.
//!
//! Valgrind counts, so that neither load nor a noisy machine matters. A count is of the calling thread alone unless
//! its function says otherwise.

#![expect(missing_docs, reason = "gungraun's macros make public items, and take no documentation")]

mod limits;

use std::hint::black_box;
use std::time::{Duration, Instant};

use gungraun::{library_benchmark, library_benchmark_group, main};
use tasker::{
    AsyncConfig, AsyncTaskManager, Collector, Config, MetricsCollector, TaskHandle,
    TaskLifecycleTimestamps, TaskManager, TaskMetrics,
};
use tokio::runtime::{Builder, Runtime};

type Manager = TaskManager<u64, String>;
type Handles = Vec<TaskHandle<u64, String>>;

/// Enough that what happens once in a while is part of the count.
const CALLS: u64 = 1_000;

/// A manager with one worker that has something behind it, and is idle.
fn idle() -> Manager {
    let manager = Manager::new(Config::new(|| Ok(0)).worker_count(1)).unwrap();
    lend(&manager, 100);
    manager
}

fn lend(manager: &Manager, calls: u64) {
    for _ in 0..calls {
        let count = manager.queue_task(|_, count| {
            *count += 1;
            Ok(*count)
        });
        black_box(count).unwrap();
    }
}

fn submit(manager: &Manager, handles: &mut Handles, calls: u64) {
    for _ in 0..calls {
        let task = manager.task(|_, count| {
            *count += 1;
            Ok(*count)
        });
        handles.push(task.submit());
    }
}

fn wait(handles: Handles) -> u64 {
    handles.into_iter().map(|handle| handle.wait().unwrap()).sum()
}

// A blocking call that the caller runs itself, with the resource of an idle worker.
#[library_benchmark(config = limits::LEND_AND_RETURN.times(CALLS))]
#[bench::idle(idle())]
fn lend_and_return(manager: Manager) -> Manager {
    lend(&manager, CALLS);
    manager
}

fn paused() -> (Manager, Handles) {
    let manager = idle();
    manager.pause();
    let mut handles = Vec::with_capacity(CALLS as usize + 1);
    submit(&manager, &mut handles, 1);
    (manager, handles)
}

// Accepting a task that has to wait.
#[library_benchmark(config = limits::SUBMIT.times(CALLS))]
#[bench::paused(paused())]
fn submit_only((manager, mut handles): (Manager, Handles)) -> (Manager, Handles) {
    submit(&manager, &mut handles, CALLS);
    (manager, handles)
}

fn queued() -> (Manager, Handles) {
    let (manager, mut handles) = paused();
    submit(&manager, &mut handles, CALLS);
    (manager, handles)
}

// Withdrawing a task that waits, and ending it.
#[library_benchmark(config = limits::CANCEL.times(CALLS))]
#[bench::queued(queued())]
fn cancel_queued((manager, handles): (Manager, Handles)) -> (Manager, Handles) {
    for handle in &handles[1..] {
        handle.cancel();
    }
    (manager, handles)
}

fn finished() -> Handles {
    let (manager, handles) = queued();
    manager.resume();
    manager.stop().unwrap();
    handles
}

// Taking a result that is there.
#[library_benchmark(config = limits::COLLECT.times(CALLS))]
#[bench::finished(finished())]
fn collect_only(handles: Handles) -> u64 {
    wait(handles)
}

// Tasks that go through a worker's thread. All threads count, and so does all the rest of the program: building and
// stopping the manager, which takes an eightieth. The worker sometimes finds the next task and sometimes
// has to be woken, as valgrind has it, so that runs differ by one per cent.
#[library_benchmark(config = limits::SUBMIT_RUN_COLLECT.times_on_all_threads(20 * CALLS))]
#[bench::idle(idle())]
fn submit_run_collect(manager: Manager) -> (Manager, u64) {
    let mut handles = Vec::with_capacity(20 * CALLS as usize);
    submit(&manager, &mut handles, 20 * CALLS);
    (manager, wait(handles))
}

fn stamps() -> TaskLifecycleTimestamps {
    #[expect(clippy::disallowed_methods, reason = "the collector on its own is told the time")]
    let now = Instant::now();
    let started = now + Duration::from_micros(3);
    TaskLifecycleTimestamps::new(now, started, started + Duration::from_micros(40))
}

fn collector(tasks: u64) -> (Collector, TaskLifecycleTimestamps) {
    let (collector, stamps) = (Collector::new(), stamps());
    record(&collector, &stamps, tasks);
    (collector, stamps)
}

fn record(collector: &Collector, stamps: &TaskLifecycleTimestamps, tasks: u64) {
    for _ in 0..tasks {
        collector.record_arrival_at(black_box(stamps.queued_at));
        collector.record_completion(black_box(stamps));
    }
}

// What a collector takes note of for each task that goes well.
#[library_benchmark(config = limits::RECORD.times(CALLS))]
#[bench::collector(collector(100))]
fn record_task((collector, stamps): (Collector, TaskLifecycleTimestamps)) -> Collector {
    record(&collector, &stamps, CALLS);
    collector
}

// Reading the metrics. One limit for both, because the number of tasks does not matter.
#[library_benchmark(config = limits::METRICS.for_each_stripe_of_two().times(1))]
#[bench::after_100(collector(100))]
#[bench::after_100_000(collector(100_000))]
fn read_metrics((collector, _): (Collector, TaskLifecycleTimestamps)) -> (Collector, TaskMetrics) {
    let metrics = collector.metrics();
    (collector, metrics)
}

type AsyncManager = AsyncTaskManager<u64, String>;

fn idle_async() -> (Runtime, AsyncManager) {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let config = AsyncConfig::new(async || Ok(0)).worker_count(1);
    let manager = runtime.block_on(AsyncManager::new(config)).unwrap();
    runtime.block_on(await_each(&manager, 100));
    (runtime, manager)
}

async fn await_each(manager: &AsyncManager, calls: u64) {
    for _ in 0..calls {
        let count = manager.queue_task(async |_, count| {
            *count += 1;
            Ok(*count)
        });
        black_box(count.await).unwrap();
    }
}

// An async task that is awaited in place and finds an idle worker.
#[library_benchmark(config = limits::AWAIT.times(CALLS))]
#[bench::idle(idle_async())]
fn await_in_place((runtime, manager): (Runtime, AsyncManager)) -> (Runtime, AsyncManager) {
    runtime.block_on(await_each(&manager, CALLS));
    (runtime, manager)
}

library_benchmark_group!(
    name = hot_paths,
    benchmarks = [
        lend_and_return,
        submit_only,
        collect_only,
        submit_run_collect,
        cancel_queued,
        record_task,
        read_metrics,
        await_in_place
    ]
);
main!(library_benchmark_groups = hot_paths);
