//! W6: what metrics cost after many tasks, to read and to record.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use indicatif::HumanCount;
use tasker::{Collector, MetricsCollector, TaskLifecycleTimestamps};

use crate::allocs::Count;
use crate::caller::{Caller, Tally};
use crate::figures::{Group, Limit, Row, Run};
use crate::harness::{BlockingEntry, Entry, Plan, blocking};
use crate::peers::{About, Blocking, manager};
use crate::stats::Waits;
use crate::work::Empty;

const NEW: About = About {
    name: "metrics(), new manager",
    differs: "the same call where nothing was ever recorded: what grows with the tasks shows beside it.",
};
const USED: About =
    About { name: "metrics(), used manager", differs: "a snapshot after all those tasks." };
const COLLECTOR: About = About {
    name: "tasker Collector",
    differs: "an arrival and a completion: counts, sums, extremes, two histograms and the rates of the last \
              ten seconds.",
};
const HISTOGRAMS: About = About {
    name: "histograms behind a Mutex",
    differs: "the limit: the two histograms alone, without counts and rates, behind one lock.",
};

pub(crate) fn metrics(plan: &Plan) -> Vec<Group> {
    vec![read(plan), record(plan)]
}

/// Calls of `metrics()` on a manager that has done many tasks, and on one that has not.
fn read(plan: &Plan) -> Group {
    const CALLS: u32 = 500;
    let tasks: u64 = plan.quick_or(1_000_000, 10_000_000);
    let (new, used) = (manager(1), manager(1));
    plan.progress.begin("W6", 1 + plan.reps);
    plan.progress.step("many tasks");
    let work = |tasks| {
        for _ in 0..tasks {
            let done = used.queue_task(|_, resource| {
                *resource += 1;
                Ok(())
            });
            done.expect("the task succeeds");
        }
    };
    work(tasks / 10); // whatever is allocated once is there by now
    std::hint::black_box(used.metrics());
    let count = Count::begin();
    work(tasks - tasks / 10);
    let grown = count.so_far().live_bytes;
    drop(count);
    let mut rows = [NEW, USED].map(|about| Row::new(about, 1, 1));
    for _ in plan.repetitions() {
        plan.progress.step(USED.name);
        for (row, manager) in rows.iter_mut().zip([&new, &used]) {
            let mut waits = Waits::new();
            let began = Instant::now();
            let mut last = began;
            for _ in 0..CALLS {
                std::hint::black_box(manager.metrics());
                let now = Instant::now();
                waits.record(now - last);
                last = now;
            }
            let waits = Some(waits.percentiles());
            row.runs.push(Run { waits, ..Run::timed(u64::from(CALLS), last - began) });
        }
    }
    plan.progress.end();
    let title = format!("metrics() after {} tasks", HumanCount(tasks));
    let mut group = Group::new("W6-read", title, rows.into()).compared_with(USED.name);
    group.note(format!("live memory grew by {grown} bytes over the last nine tenths of the tasks"));
    let call = group.time(USED.name).map(|ns| ns / 1e3);
    group.goal("a call takes at most 50 µs", call, Limit::AtMost(50.0));
    group.goal("bytes that memory grew by: none", Some(grown as f64), Limit::AtMost(0.0));
    group
}

/// Records arrivals and completions, from one thread and from two at once.
fn record(plan: &Plan) -> Group {
    let entries: Vec<BlockingEntry<Empty>> = [1, 2]
        .into_iter()
        .flat_map(|threads| {
            let systems: [Box<dyn Blocking<Empty>>; 2] =
                [Box::new(Recorded::new()), Box::new(Histograms::new())];
            systems.map(|system| Entry::new(threads, threads, system))
        })
        .collect();
    let mut rows = blocking(plan, "W6", &entries, &Empty, None);
    for row in &mut rows {
        let threads = row.callers as f64;
        for run in &mut row.runs {
            run.ops_per_sec = run.ops_per_sec();
            run.ns_per_op = run.ns_per_op.map(|ns| ns * threads); // as each of the threads sees it
        }
    }
    let title = "an arrival and a completion are recorded, by 1 and 2 threads at once";
    let mut group = Group::new("W6-record", title, rows).compared_with(COLLECTOR.name);
    group.note("ns/op is what one thread takes for both records; the clock is not read");
    for (threads, text) in [(1, "at most 60 ns from 1 thread"), (2, "at most 60 ns from 2 threads")]
    {
        let time = group.row(COLLECTOR.name, Some(threads)).and_then(Row::ns_per_op);
        group.goal(text, time, Limit::AtMost(60.0));
    }
    group
}

/// Times such as tasks have, made beforehand so that the clock is not part of what is measured.
struct Stamps(Vec<TaskLifecycleTimestamps>);

impl Stamps {
    fn new() -> Self {
        let now = Instant::now();
        let stamps = (1..=64_u64).map(|n| {
            let started = now + Duration::from_nanos(n * 977);
            TaskLifecycleTimestamps::new(now, started, started + Duration::from_nanos(n * n * 311))
        });
        Self(stamps.collect())
    }
}

struct Recorded {
    collector: Collector,
    stamps: Stamps,
}

impl Recorded {
    fn new() -> Self {
        Self { collector: Collector::new(), stamps: Stamps::new() }
    }
}

impl Blocking<Empty> for Recorded {
    fn about(&self) -> About {
        COLLECTOR
    }

    fn call(&self, caller: Caller<Empty>) -> Tally {
        let mut stamps = self.stamps.0.iter().cycle();
        caller.repeat(|_| {
            let stamps = stamps.next().expect("it goes round");
            self.collector.record_arrival_at(stamps.queued_at);
            self.collector.record_completion(stamps);
            1
        })
    }
}

struct Histograms {
    waits_and_times: Mutex<(Histogram<u64>, Histogram<u64>)>,
    stamps: Stamps,
}

impl Histograms {
    fn new() -> Self {
        let histogram = || {
            Histogram::new_with_bounds(1, 3_600_000_000_000, 2).expect("the bounds are in order")
        };
        Self { waits_and_times: Mutex::new((histogram(), histogram())), stamps: Stamps::new() }
    }
}

impl Blocking<Empty> for Histograms {
    fn about(&self) -> About {
        HISTOGRAMS
    }

    fn call(&self, caller: Caller<Empty>) -> Tally {
        let mut stamps = self.stamps.0.iter().cycle();
        caller.repeat(|_| {
            let stamps = stamps.next().expect("it goes round");
            let mut both = self.waits_and_times.lock().expect("no record panics");
            both.0.saturating_record(stamps.wait_time().as_nanos() as u64);
            both.1.saturating_record(stamps.execution_time().as_nanos() as u64);
            1
        })
    }
}
