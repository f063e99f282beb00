//! How things are measured: warm-up, then repetitions of all systems in turn.
//!
//! Machines are shared and their speed changes with the hour. So the systems of a group run one after the
//! other in each repetition, and what is compared is medians of the same minutes.

use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::allocs::Count;
use crate::caller::{Caller, Total};
use crate::figures::{Row, Run};
use crate::peers::{AsyncBacklog, Awaited, Backlog, Blocking};
use crate::progress::Progress;
use crate::work::{Empty, Gate, Work};

/// How much is measured.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Interleaved repetitions.
    pub(crate) reps: usize,
    pub(crate) quick: bool,
    pub(crate) began: Instant,
    pub(crate) progress: Progress,
}

/// When `--quick` is content with one repetition of whatever is left, so that it ends in time on a busy
/// machine.
const HURRY: Duration = Duration::from_secs(75);

impl Plan {
    pub(crate) fn quick_or<T>(&self, quick: T, full: T) -> T {
        if self.quick { quick } else { full }
    }

    /// As many as are wanted, or as there is time for.
    pub(crate) fn repetitions(&self) -> impl Iterator<Item = usize> {
        (0..self.reps).take_while(|rep| *rep == 0 || !self.quick || self.began.elapsed() < HURRY)
    }

    /// How long one system is measured in one repetition, by each of its two passes. Where many threads call,
    /// each needs more than a slice of the scheduler's: they would run one after the other and never meet.
    fn pass(&self, threads: usize) -> Duration {
        let (quick, full) = if threads > 8 { (100, 600) } else { (25, 400) };
        Duration::from_millis(self.quick_or(quick, full))
    }
}

/// A system with so many callers, which do the same work.
pub(crate) struct Entry<S: ?Sized> {
    pub(crate) workers: usize,
    pub(crate) callers: usize,
    pub(crate) system: S,
}

impl<S> Entry<S> {
    pub(crate) fn new(workers: usize, callers: usize, system: S) -> Self {
        Self { workers, callers, system }
    }
}

/// A blocking system that does the work `W`.
pub(crate) type BlockingEntry<W> = Entry<Box<dyn Blocking<W>>>;
pub(crate) type AwaitedEntry = Entry<Arc<dyn Awaited>>;

/// One system's operations, `n` of them by all callers together, each timed or all.
type Drive<'a> = dyn Fn(u64, bool) -> Total + 'a;

/// Measures blocking callers. Where the time of a work is given, how much of two cores it fills is too.
pub(crate) fn blocking<W: Work>(
    plan: &Plan,
    what: &str,
    entries: &[BlockingEntry<W>],
    work: &W,
    takes: Option<Duration>,
) -> Vec<Row> {
    let drives: Vec<Box<Drive<'_>>> = entries
        .iter()
        .map(|entry| -> Box<Drive<'_>> {
            Box::new(|n, times_each| {
                drive_threads(&*entry.system, entry.callers, n, work, times_each)
            })
        })
        .collect();
    let row =
        |entry: &BlockingEntry<W>| Row::new(entry.system.about(), entry.workers, entry.callers);
    let mut rows: Vec<Row> = entries.iter().map(row).collect();
    let threads = entries.iter().map(|entry| entry.callers).max().unwrap_or(1);
    calls(plan, what, plan.pass(threads), &drives, &mut rows);
    if let Some(takes) = takes {
        for row in &mut rows {
            let cores = row.workers as f64;
            for run in &mut row.runs {
                run.efficiency = run.ns_per_op.map(|ns| takes.as_nanos() as f64 / (cores * ns));
            }
        }
    }
    rows
}

/// Measures awaiting callers, each a task of the runtime; a single one is what the runtime blocks on.
pub(crate) fn awaited(
    plan: &Plan,
    what: &str,
    runtime: &Runtime,
    entries: &[AwaitedEntry],
) -> Vec<Row> {
    let drives: Vec<Box<Drive<'_>>> = entries
        .iter()
        .map(|entry| -> Box<Drive<'_>> {
            Box::new(|n, times_each| {
                runtime.block_on(drive_tasks(&entry.system, entry.callers, n, times_each))
            })
        })
        .collect();
    let row = |entry: &AwaitedEntry| Row::new(entry.system.about(), entry.workers, entry.callers);
    let mut rows: Vec<Row> = entries.iter().map(row).collect();
    calls(plan, what, plan.pass(1), &drives, &mut rows);
    rows
}

/// Warms up, counts allocations, then measures in turn.
fn calls(plan: &Plan, what: &str, pass: Duration, drives: &[Box<Drive<'_>>], rows: &mut [Row]) {
    plan.progress.begin(what, drives.len() * (1 + plan.reps));
    let mut ready = Vec::new();
    for (drive, row) in drives.iter().zip(&*rows) {
        plan.progress.step(row.about.name);
        let n = enough(pass, row.callers as u64, |n| drive(n, false).took);
        ready.push((n, allocations(row.callers as u64, n, |n| drop(drive(n, false)))));
    }
    for _ in plan.repetitions() {
        for ((drive, row), (n, allocations)) in drives.iter().zip(&mut *rows).zip(&ready) {
            plan.progress.step(row.about.name);
            let mut run = Run::timed(*n, drive(*n, false).took);
            run.waits = drive(*n, true).waits.map(|waits| waits.percentiles());
            run.allocs_per_op = Some(*allocations);
            row.runs.push(run);
        }
    }
    plan.progress.end();
}

/// How many operations take about `time`, a multiple of the callers. Trying that warms the system up.
fn enough(time: Duration, callers: u64, mut take: impl FnMut(u64) -> Duration) -> u64 {
    let mut n = callers;
    loop {
        let took = take(n).max(Duration::from_nanos(1));
        // The faster of two: a thread that has lost its core for a while makes a few operations seem enough.
        let took = if took >= time / 4 { took.min(take(n)) } else { took };
        if took >= time / 4 {
            let wanted = n as f64 * time.as_secs_f64() / took.as_secs_f64();
            return (wanted / callers as f64).ceil() as u64 * callers;
        }
        n *= 4;
    }
}

/// Allocations for each operation. What the callers themselves allocate once is found by a single operation
/// of each, and taken off.
fn allocations(callers: u64, n: u64, operate: impl Fn(u64)) -> f64 {
    let counted = |n| {
        let count = Count::begin();
        operate(n);
        count.so_far().allocations as f64
    };
    let few = counted(callers);
    let many = counted(callers + n);
    ((many - few) / n as f64).max(0.0)
}

fn drive_threads<W: Work>(
    system: &dyn Blocking<W>,
    callers: usize,
    n: u64,
    work: &W,
    times_each: bool,
) -> Total {
    let each = n / callers as u64;
    let caller = |index| Caller::new(index, each, work.clone(), times_each);
    if callers == 1 {
        return Total::of(vec![system.call(caller(0))], each);
    }
    let start = Barrier::new(callers);
    let tallies = thread::scope(|scope| {
        let spawn = |index| {
            let (caller, start) = (caller(index), &start);
            scope.spawn(move || {
                start.wait();
                system.call(caller)
            })
        };
        let callers: Vec<_> = (0..callers).map(spawn).collect();
        callers.into_iter().map(|caller| caller.join().expect("no caller panics")).collect()
    });
    Total::of(tallies, each * callers as u64)
}

async fn drive_tasks(system: &Arc<dyn Awaited>, callers: usize, n: u64, times_each: bool) -> Total {
    let each = n / callers as u64;
    let call = |index| Arc::clone(system).call(Caller::new(index, each, Empty, times_each));
    if callers == 1 {
        return Total::of(vec![call(0).await], each);
    }
    let callers: Vec<_> = (0..callers).map(|index| tokio::spawn(call(index))).collect();
    let mut tallies = Vec::with_capacity(callers.len());
    for caller in callers {
        tallies.push(caller.await.expect("no caller panics"));
    }
    let expected = each * tallies.len() as u64;
    Total::of(tallies, expected)
}

/// Bytes that a queued task holds on to.
pub(crate) const BYTES: &str = "bytes/queued";

/// Measures what it takes to hand in `n` tasks and then collect every result.
pub(crate) fn backlog(
    plan: &Plan,
    what: &str,
    n: u64,
    workers: usize,
    systems: &[Box<dyn Backlog>],
) -> Vec<Row> {
    let run = |system: usize| {
        let began = Instant::now();
        let collect = systems[system].hand_in(n);
        assert_eq!(collect(), n, "every task has a result");
        began.elapsed()
    };
    let bytes = |system: usize| {
        let gate = Gate::for_tasks(workers);
        let held = systems[system].hold(gate.clone())?;
        gate.await_arrivals();
        let count = Count::begin();
        let collect = systems[system].hand_in(n);
        let bytes = count.so_far().live_bytes;
        drop(count);
        gate.open();
        assert_eq!(held() + collect(), workers as u64 + n, "every task has a result");
        Some(bytes)
    };
    let rows = systems.iter().map(|system| Row::new(system.about(), workers, 1)).collect();
    backlogs(plan, what, n, rows, &run, &bytes)
}

/// As [`backlog`], where the results are awaited by a task of the runtime, which also hands in the tasks.
pub(crate) fn async_backlog(
    plan: &Plan,
    what: &str,
    n: u64,
    workers: usize,
    runtime: &Runtime,
    systems: &[Arc<dyn AsyncBacklog>],
) -> Vec<Row> {
    let run = |system: usize| {
        let system = Arc::clone(&systems[system]);
        let began = Instant::now();
        let results = runtime.spawn(async move { system.hand_in(n).await });
        let results = runtime.block_on(results).expect("the producer does not panic");
        assert_eq!(results, n, "every task has a result");
        began.elapsed()
    };
    let bytes = |system: usize| {
        // With its threads held, the runtime begins no task.
        let threads = runtime.metrics().num_workers();
        let gate = Gate::for_tasks(threads);
        for _ in 0..threads {
            let gate = gate.clone();
            runtime.spawn(async move { crate::work::Held(gate).run(&mut 0) });
        }
        gate.await_arrivals();
        let context = runtime.enter();
        let count = Count::begin();
        let collect = systems[system].hand_in(n);
        let bytes = count.so_far().live_bytes;
        drop(count);
        drop(context);
        gate.open();
        assert_eq!(runtime.block_on(collect), n, "every task has a result");
        Some(bytes)
    };
    let rows = systems.iter().map(|system| Row::new(system.about(), workers, 1)).collect();
    backlogs(plan, what, n, rows, &run, &bytes)
}

fn backlogs(
    plan: &Plan,
    what: &str,
    n: u64,
    mut rows: Vec<Row>,
    run: &dyn Fn(usize) -> Duration,
    bytes: &dyn Fn(usize) -> Option<i64>,
) -> Vec<Row> {
    plan.progress.begin(what, rows.len() * (1 + plan.reps));
    let mut allocations = Vec::new();
    for (index, row) in rows.iter_mut().enumerate() {
        plan.progress.step(row.about.name);
        run(index); // warms up: queues that keep their room have it from now on
        let count = Count::begin();
        run(index);
        allocations.push(count.so_far().allocations as f64 / n as f64);
        drop(count);
        let bytes = bytes(index).map(|bytes| format!("{:.0}", bytes as f64 / n as f64));
        row.extras.push((BYTES, bytes.unwrap_or_default()));
    }
    for _ in plan.repetitions() {
        for (index, row) in rows.iter_mut().enumerate() {
            plan.progress.step(row.about.name);
            let timed = Run::timed(n, run(index));
            row.runs.push(Run { allocs_per_op: Some(allocations[index]), ..timed });
        }
    }
    plan.progress.end();
    rows
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{HURRY, Plan, enough};
    use crate::progress::Progress;

    #[test]
    fn quick_measures_once_what_is_left_when_it_is_late() {
        let reps = |quick, ago| {
            let began = Instant::now().checked_sub(ago).expect("the clock is old enough");
            Plan { reps: 3, quick, began, progress: Progress::default() }.repetitions().count()
        };
        assert_eq!(reps(true, Duration::ZERO), 3);
        assert_eq!(reps(true, HURRY), 1);
        assert_eq!(reps(false, HURRY), 3);
    }

    #[test]
    fn a_stall_does_not_make_few_operations_seem_enough() {
        let mut calls = 0;
        let n = enough(Duration::from_millis(50), 1, |n| {
            calls += 1;
            let stall = if calls == 2 { Duration::from_millis(40) } else { Duration::ZERO };
            Duration::from_micros(3 * n) + stall
        });
        assert!(n > 10_000, "{n}");
    }

    #[test]
    fn operations_are_enough_for_the_time_and_shared_evenly_by_the_callers() {
        let take = |n: u64| Duration::from_micros(3 * n);
        let n = enough(Duration::from_millis(50), 64, take);
        assert_eq!(n % 64, 0);
        assert!((0.98..1.02).contains(&(take(n).as_secs_f64() / 0.05)), "{n}");
    }
}
