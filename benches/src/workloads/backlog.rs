//! W3 and A3: a producer hands in many tasks, and then collects every result.

use std::sync::Arc;

use indicatif::HumanCount;

use crate::figures::{Group, Limit};
use crate::harness::{BYTES, Plan, async_backlog, backlog};
use crate::peers::{
    Async, AsyncBacklog, Backlog, Bb8, Bounded, Crossbeam, Deadpool, RactorFactory, Rayon,
    RustyPool, SemaphoreSpawn, SpawnBlocking, Submit, Threadpool, runtime,
};

const OURS: &str = "tasker submit";
const WORKERS: usize = 2;

pub(crate) fn threads(plan: &Plan) -> Group {
    let n = plan.quick_or(100_000, 1_000_000);
    let systems: [Box<dyn Backlog>; 7] = [
        Box::new(Submit::new(WORKERS)),
        Box::new(Bounded::new(WORKERS)),
        Box::new(Crossbeam::new(WORKERS)),
        Box::new(Rayon::new(WORKERS)),
        Box::new(Threadpool::new(WORKERS)),
        Box::new(RustyPool::new(WORKERS)),
        Box::new(SpawnBlocking::new(WORKERS)),
    ];
    let rows = backlog(plan, "W3", n, WORKERS, &systems);
    let title =
        format!("hand in {} empty tasks, then collect every result, 2 workers", HumanCount(n));
    let mut group = Group::new("W3", title, rows).compared_with(OURS);
    let rate = |system| Some(group.time(system)? / group.time(OURS)?);
    let (threadpool, rayon) = (rate("threadpool"), rate("rayon"));
    group.goal("at least the rate of threadpool", threadpool, Limit::AtLeast(1.0));
    group.goal("at least the rate of rayon", rayon, Limit::AtLeast(1.0));
    memory(&mut group);
    group
}

pub(crate) fn tasks(plan: &Plan) -> Group {
    let n = plan.quick_or(100_000, 1_000_000);
    let runtime = runtime(WORKERS);
    let systems: [Arc<dyn AsyncBacklog>; 5] = runtime.block_on(async {
        let systems: [Arc<dyn AsyncBacklog>; 5] = [
            Arc::new(Async::new(WORKERS).await),
            Arc::new(SemaphoreSpawn::new(WORKERS)),
            Arc::new(Deadpool::new(WORKERS)),
            Arc::new(Bb8::new(WORKERS).await),
            Arc::new(RactorFactory::new(WORKERS).await),
        ];
        systems
    });
    let rows = async_backlog(plan, "A3", n, WORKERS, &runtime, &systems);
    let title = format!(
        "submit {} empty async tasks, then await every handle, 2 workers, 2 threads",
        HumanCount(n)
    );
    let mut group = Group::new("A3", title, rows).compared_with(OURS);
    let rate = group.time("tokio spawn, Semaphore").zip(group.time(OURS));
    let rate = rate.map(|(theirs, ours)| theirs / ours);
    let text = "at least 0.9 × the rate of tokio's spawn with a Semaphore";
    group.goal(text, rate, Limit::AtLeast(0.9));
    memory(&mut group);
    group
}

fn memory(group: &mut Group) {
    group
        .note("bytes/queued: live memory for each task that waits, its handle or channel included");
    let Some(ours) = group.row(OURS, None) else { return };
    let allocations = ours.median(|run| run.allocs_per_op);
    let bytes = ours.extras.iter().find(|(heading, _)| *heading == BYTES);
    let bytes = bytes.and_then(|(_, bytes)| bytes.parse().ok());
    // A queue that grows allocates too, now and then.
    group.goal("at most 1 heap allocation for each task", allocations, Limit::AtMost(1.01));
    group.goal("at most 200 bytes for each queued task", bytes, Limit::AtMost(200.0));
}
