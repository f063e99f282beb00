//! How much memory tasks, handles and workers take, as docs/design/performance.md states it.
//!
//! A binary of its own, because it counts every allocation of its process. The tests take turns, so that none counts
//! what another allocates. What libtest allocates meanwhile is little, and divided by many. A stack is no part of the
//! heap: each thread's is reserved by the system, and takes what it touches.
//!
//! `cargo test -p tasker --test memory -- --nocapture --test-threads 1` shows the figures.

mod counting;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use counting::{Counting, Heap};
use tasker::testing::ManualClock;
use tasker::{
    AsyncConfig, AsyncTaskManager, Collector, Config, MetricsCollector, TaskHandle,
    TaskLifecycleTimestamps, TaskManager,
};
use tokio::runtime::Builder;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

type Manager = TaskManager<u64, String>;
type AsyncManager = AsyncTaskManager<u64, String>;
type Handle = TaskHandle<u64, String>;

const TASKS: usize = 10_000;

fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner) // a test that failed leaves nothing that matters
}

/// Says what was measured, and fails if it is beyond the limit.
#[expect(clippy::print_stdout, reason = "for --nocapture, to see how far away the limits are")]
fn at_most(limit: f64, measured: f64, what: &str) {
    println!("{what}: {measured:.2}, at most {limit}");
    assert!(measured <= limit, "{what}: {measured:.2}, which is more than {limit}");
}

/// What was added to the heap since `before`, for each of `n`.
fn bytes_each(n: usize, before: Heap) -> f64 {
    (Heap::now() - before).bytes as f64 / n as f64
}

/// Returns when the threads have ended: what they free is not to be counted by the next test.
fn end(manager: &Manager) {
    manager.kill().unwrap();
}

/// A manager that has run a task, so that what is made for the first one is there.
fn manager(workers: usize) -> Manager {
    let manager = Manager::new(Config::new(|| Ok(0)).worker_count(workers)).unwrap();
    assert_eq!(manager.queue_task(|_, count| Ok(*count)).unwrap(), 0);
    manager
}

fn submit(manager: &Manager) -> Handle {
    manager.task(|_, count| Ok(*count)).submit()
}

/// A task is one block, which its handle shares, and an entry of its lane, which grows by doubling. `keep` is what
/// becomes of the handle; it makes no difference.
fn assert_what_a_queued_task_takes(mut keep: impl FnMut(Handle)) {
    let manager = manager(1);
    manager.pause();
    let before = Heap::now();
    for _ in 0..TASKS {
        keep(submit(&manager));
    }
    let allocations = (Heap::now() - before).allocations as f64 / TASKS as f64;
    at_most(1.01, allocations, "allocations of a queued task, growing the lane included");
    at_most(335.0, bytes_each(TASKS, before), "bytes of a queued task");
    end(&manager);
}

#[test]
fn a_queued_task_takes_one_allocation_and_a_few_hundred_bytes() {
    let _turn = turn();
    let mut handles = Vec::with_capacity(TASKS);
    assert_what_a_queued_task_takes(|handle| handles.push(handle));
}

#[test]
fn a_queued_task_takes_no_more_and_no_less_without_its_handle() {
    let _turn = turn();
    assert_what_a_queued_task_takes(drop);
}

#[test]
fn a_handle_keeps_the_block_of_its_task_until_it_is_dropped() {
    let _turn = turn();
    at_most(24.0, size_of::<Handle>() as f64, "bytes of the handle itself");
    let manager = manager(1);
    let mut handles = Vec::new();
    handles.extend((0..TASKS).map(|_| Some(submit(&manager))));
    manager.stop().unwrap();
    let before = Heap::now();
    handles.fill_with(|| None);
    at_most(252.0, -bytes_each(TASKS, before), "bytes of a finished task whose handle is kept");
}

#[test]
fn tasks_leave_nothing_behind() {
    let _turn = turn();
    let manager = manager(1);
    let run_a_hundred_thousand = || {
        for _ in 0..100 {
            let handles: Vec<_> = (0..1_000).map(|_| submit(&manager)).collect();
            for handle in handles {
                handle.wait().unwrap();
            }
        }
    };
    run_a_hundred_thousand();
    let before = Heap::now();
    run_a_hundred_thousand();
    at_most(16_384.0, bytes_each(1, before), "bytes after 100,000 more tasks"); // libtest's, if there are any
    end(&manager);
}

// Promise 14 (reference: metrics keep every execution time for ever): these would take 24 MB.
#[test]
fn metrics_do_not_grow_with_the_number_of_tasks() {
    let _turn = turn();
    let (collector, start) = (Collector::new(), ManualClock::new().now());
    let record = |tasks: u64| {
        for n in 0..tasks {
            let started = start + Duration::from_nanos(n);
            let finished = started + Duration::from_micros(n * 7);
            collector.record_arrival_at(start);
            collector.record_completion(&TaskLifecycleTimestamps::new(start, started, finished));
        }
        collector.metrics()
    };
    record(10_000);
    let before = Heap::now();
    assert_eq!(record(3_000_000).total_tasks_completed, 3_010_000);
    at_most(16_384.0, bytes_each(1, before), "bytes after 3,000,000 more tasks");
}

#[test]
fn an_idle_worker_takes_little_beside_its_stack() {
    let _turn = turn();
    end(&manager(1));
    let before = Heap::now();
    let one_worker = manager(1);
    let one = bytes_each(1, before);
    let stripes =
        thread::available_parallelism().map_or(1, usize::from).clamp(2, 8).next_power_of_two();
    let metrics = (stripes + 2) as f64 * 82_000.0; // a stripe for each core, and two for reading
    at_most(
        metrics + 12_000.0,
        one,
        "bytes of a manager with one worker, most of them its metrics",
    );
    let before = Heap::now();
    let many_workers = manager(101);
    let worker = (bytes_each(1, before) - one) / 100.0;
    at_most(1_280.0, worker, "bytes of an idle worker and its resource of 8 bytes");
    end(&one_worker);
    end(&many_workers);
}

async fn async_manager(workers: usize) -> AsyncManager {
    let config = AsyncConfig::new(async || Ok(0)).worker_count(workers);
    let manager = AsyncManager::new(config).await.unwrap();
    assert_eq!(manager.queue_task(async |_, count| Ok(*count)).await.unwrap(), 0);
    manager
}

#[test]
fn ten_thousand_idle_async_workers_take_less_than_a_kilobyte_each() {
    let _turn = turn();
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let before = Heap::now();
        let _one = async_manager(1).await;
        let one = bytes_each(1, before);
        let before = Heap::now(); // lists grow by doubling, and 10,000 is more than 8,192: a third is room to spare
        let _many = async_manager(10_001).await;
        let worker = (bytes_each(1, before) - one) / 10_000.0;
        at_most(1_000.0, worker, "bytes of an idle async worker and its resource of 8 bytes");
    });
}

#[test]
fn a_queued_async_task_takes_one_allocation_and_a_few_hundred_bytes() {
    let _turn = turn();
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let manager = async_manager(1).await;
        manager.pause();
        let mut handles = Vec::with_capacity(TASKS);
        let before = Heap::now();
        handles.extend((0..TASKS).map(|_| manager.task(async move |_, count| Ok(*count)).submit()));
        let allocations = (Heap::now() - before).allocations as f64 / TASKS as f64;
        at_most(1.01, allocations, "allocations of a queued async task");
        at_most(400.0, bytes_each(TASKS, before), "bytes of a queued async task");
    });
}
