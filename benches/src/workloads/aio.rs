//! A1 and A2: callers that await their result.

use std::sync::Arc;

use crate::figures::{Group, Limit};
use crate::harness::{AwaitedEntry, Entry, Plan, awaited};
use crate::peers::{
    Async, AwaitTask, Awaited, Bb8, Deadpool, RactorFactory, SemaphoreSpawn, runtime,
};

const OURS: &str = "tasker async queue_task";
const THREADS: usize = 2;

/// Every system that awaiting callers can use.
async fn all(workers: usize, callers: usize) -> Vec<AwaitedEntry> {
    let systems: [Arc<dyn Awaited>; 6] = [
        Arc::new(Async::new(workers).await),
        Arc::new(AwaitTask::new(workers).await),
        Arc::new(SemaphoreSpawn::new(workers)),
        Arc::new(Deadpool::new(workers)),
        Arc::new(Bb8::new(workers).await),
        Arc::new(RactorFactory::new(workers).await),
    ];
    systems.into_iter().map(|system| Entry::new(workers, callers, system)).collect()
}

pub(crate) fn round_trip(plan: &Plan) -> Group {
    let runtime = runtime(THREADS);
    let entries = runtime.block_on(all(1, 1));
    let rows = awaited(plan, "A1", &runtime, &entries);
    let title = "an awaited empty task, 1 caller, 1 worker, 2 threads";
    let mut group = Group::new("A1", title, rows).compared_with(OURS);
    let beside = group.time(OURS).zip(group.time("deadpool")).map(|(ours, pool)| ours / pool);
    group.goal("at most 1.5 × deadpool's get and a call", beside, Limit::AtMost(1.5));
    group
}

pub(crate) fn many_callers(plan: &Plan) -> Group {
    let runtime = runtime(THREADS);
    let entries = runtime.block_on(all(2, 64));
    let rows = awaited(plan, "A2", &runtime, &entries);
    let title = "64 awaiting callers, empty tasks, 2 workers, 2 threads";
    let mut group = Group::new("A2", title, rows).compared_with(OURS);
    let millions = group.time(OURS).map(|ns| 1e3 / ns);
    group.goal("at least 2.4 million tasks a second", millions, Limit::AtLeast(2.4));
    for peer in ["deadpool", "bb8", "tokio spawn, Semaphore"] {
        let rate = group.time(peer).zip(group.time(OURS)).map(|(theirs, ours)| theirs / ours);
        group.goal(format!("at least the rate of {peer}"), rate, Limit::AtLeast(1.0));
    }
    group
}
