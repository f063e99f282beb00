//! W1, W2, W4 and W5: callers that block until they have their result.

use std::time::Duration;

use crate::figures::{Group, Limit};
use crate::harness::{BlockingEntry, Entry, Plan, blocking};
use crate::peers::{
    Blocking, Bounded, Crossbeam, Mutexes, Nothing, QueueTask, Rayon, RunTask, RustyPool,
    SpawnBlocking, Submit, Threadpool, TimedMutexes, manager,
};
use crate::work::{Empty, Spin, Work};

const OURS: &str = "tasker queue_task";

/// Every system that blocking callers can use.
fn all<W: Work>(workers: usize, callers: usize) -> Vec<BlockingEntry<W>> {
    let systems: Vec<Box<dyn Blocking<W>>> = vec![
        Box::new(QueueTask(manager(workers))),
        Box::new(Submit::new(workers)),
        Box::new(Mutexes::new(workers)),
        Box::new(TimedMutexes::new(workers)),
        Box::new(Bounded::new(workers)),
        Box::new(Crossbeam::new(workers)),
        Box::new(Rayon::new(workers)),
        Box::new(Threadpool::new(workers)),
        Box::new(RustyPool::new(workers)),
        Box::new(SpawnBlocking::new(workers)),
    ];
    systems.into_iter().map(|system| Entry::new(workers, callers, system)).collect()
}

pub(crate) fn round_trip(plan: &Plan) -> Group {
    let rows = blocking(plan, "W1", &all(1, 1), &Empty, None);
    let title = "blocking round trip of an empty task, 1 caller, 1 worker";
    let mut group = Group::new("W1", title, rows).compared_with(OURS);
    let beside = |system| Some(group.time(OURS)? / group.time(system)?);
    let (mutex, rayon) = (beside("Mutex<R>, two clock reads"), beside("rayon"));
    group.goal("at most 3 × the mutex with two clock reads", mutex, Limit::AtMost(3.0));
    let rayon = rayon.map(f64::recip);
    group.goal("at least 40 × as fast as rayon's install", rayon, Limit::AtLeast(40.0));
    group
}

pub(crate) fn many_callers(plan: &Plan) -> Group {
    let rows = blocking(plan, "W2", &all(2, 64), &Empty, None);
    let title = "64 blocking callers (threads), empty tasks, 2 workers";
    let mut group = Group::new("W2", title, rows).compared_with(OURS);
    let rate = |system| Some(group.time(system)? / group.time(OURS)?);
    let (mutexes, crossbeam) = (rate("Mutex<R>"), rate("crossbeam-channel workers"));
    let longest = group.row(OURS, None).and_then(|row| row.median(|run| Some(run.waits?.max)));
    let millions = group.time(OURS).map(|ns| 1e3 / ns);
    group.goal("at least 3 million tasks a second", millions, Limit::AtLeast(3.0));
    group.goal("at least 0.25 × the rate of two mutexes", mutexes, Limit::AtLeast(0.25));
    group.goal("at least 4 × the rate of crossbeam's workers", crossbeam, Limit::AtLeast(4.0));
    let longest = longest.map(|us| us / 1e3);
    group.goal("the longest wait is at most 35 ms", longest, Limit::AtMost(35.0));
    group
}

pub(crate) fn run_task(plan: &Plan) -> Group {
    let entries: Vec<BlockingEntry<Empty>> = [1, 2]
        .into_iter()
        .flat_map(|callers| {
            let systems: [Box<dyn Blocking<Empty>>; 5] = [
                Box::new(RunTask::new(callers)),
                Box::new(QueueTask(manager(callers))),
                Box::new(Mutexes::new(callers)),
                Box::new(TimedMutexes::new(callers)),
                Box::new(Bounded::new(callers)),
            ];
            systems.map(|system| Entry::new(callers, callers, system))
        })
        .collect();
    let rows = blocking(plan, "W4", &entries, &Empty, None);
    let title = "run_task, 1 and 2 callers, as many workers and pooled resources";
    let mut group = Group::new("W4", title, rows).compared_with("tasker run_task");
    let time = |system, callers| group.row(system, Some(callers))?.ns_per_op();
    let alone = time("tasker run_task", 1);
    let queued = time(OURS, 1);
    let together = time("tasker run_task", 2);
    let beside = alone.zip(queued).map(|(alone, queued)| alone / queued);
    group.goal("at most 1.5 × queue_task's round trip", beside, Limit::AtMost(1.5));
    let scales = alone.zip(together).map(|(alone, together)| alone / together);
    let text = "2 callers at least 1.5 × the rate of 1, where two cores are free";
    group.goal(text, scales, Limit::AtLeast(1.5));
    group
}

pub(crate) fn busy(plan: &Plan) -> Vec<Group> {
    let of = |id, us| {
        let time = Duration::from_micros(us);
        let work = Spin::lasting(time);
        let mut entries = all(2, 64);
        entries.push(Entry::new(2, 64, Box::new(Nothing)));
        let rows = blocking(plan, id, &entries, &work, Some(time));
        let title = format!("64 blocking callers (threads), {us} µs of CPU each, 2 workers");
        let mut group = Group::new(id, title, rows).compared_with(OURS);
        group.note("efficiency is work / (2 × time that passed); a busy machine lowers it for all");
        let efficiency = |system| group.row(system, None)?.median(|run| run.efficiency);
        let mutexes = efficiency(OURS).zip(efficiency("Mutex<R>")).map(|(ours, bare)| ours / bare);
        let text = "at least 0.95 × the efficiency of two mutexes";
        group.goal(text, mutexes, Limit::AtLeast(0.95));
        group
    };
    vec![of("W5-1us", 1), of("W5-10us", 10)]
}
