//! A4 and A5: what managers cost that have nothing to do.

use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::allocs::Count;
use crate::figures::{Group, Limit, Row, Run};
use crate::harness::Plan;
use crate::peers::{About, async_manager, manager, runtime};
use crate::process::{Usage, resident};
use crate::stats::median;

const ASYNC_WORKERS: About = About {
    name: "tasker async workers",
    differs: "a worker is a place with a resource of 8 bytes, in a box; not a thread, nor a task of the \
              runtime.",
};
const RUNTIME: About =
    About { name: "a runtime alone", differs: "the limit: two threads that nothing wakes." };
const ASYNC: About =
    About { name: "and a tasker async manager", differs: "2 workers that have done a task." };
const THREADS: About = About {
    name: "and a tasker manager",
    differs: "2 workers with threads that have done a task.",
};

/// A4: idle async workers.
pub(crate) fn workers(plan: &Plan) -> Group {
    const WORKERS: usize = 10_000;
    let watched = plan.quick_or(Duration::from_millis(500), Duration::from_secs(3));
    let runtime = runtime(2);
    runtime.block_on(async { drop(async_manager(1).await) }); // what comes with the first one is not counted
    let mut row = Row::new(ASYNC_WORKERS, WORKERS, 0);
    let (mut bytes, mut resident, mut cpu, mut stopping) = (vec![], vec![], vec![], vec![]);
    plan.progress.begin("A4", plan.reps);
    for _ in plan.repetitions() {
        plan.progress.step(ASYNC_WORKERS.name);
        let seen = build(&runtime, WORKERS, watched);
        row.runs.push(seen.run);
        bytes.push(seen.live_bytes);
        resident.push(seen.resident_bytes);
        cpu.push(seen.cpu.as_secs_f64() * 1e3);
        stopping.push(seen.stopping.as_secs_f64() * 1e3);
    }
    plan.progress.end();
    let [bytes, resident, cpu, stopping] =
        [bytes, resident, cpu, stopping].map(|values| median(values).unwrap_or(0.0));
    row.extras = vec![
        ("live bytes", format!("{bytes:.0}")),
        ("resident bytes", format!("{resident:.0}")),
        ("CPU ms", format!("{cpu:.1}")),
        ("stopped in ms", format!("{stopping:.0}")),
    ];
    let title = "10,000 idle async workers: ns/op and bytes are for each";
    let mut group = Group::new("A4", title, vec![row]);
    group.note(format!("CPU of all threads but the watching one, in {watched:?}"));
    group.note(
        "resident memory says something of the first repetition alone: later ones use it again",
    );
    group.goal("less than 1,024 bytes of live memory each", Some(bytes), Limit::AtMost(1023.0));
    group.goal("no CPU in milliseconds", Some(cpu), Limit::AtMost(0.1));
    group
}

struct Built {
    run: Run,
    live_bytes: f64,
    resident_bytes: f64,
    cpu: Duration,
    stopping: Duration,
}

fn build(runtime: &Runtime, workers: usize, watched: Duration) -> Built {
    let resident_before = resident().unwrap_or(0);
    let count = Count::begin();
    let began = Instant::now();
    let manager = runtime.block_on(async_manager(workers));
    let built = began.elapsed();
    let live_bytes = count.so_far().live_bytes as f64 / workers as f64;
    drop(count);
    let run = Run::timed(workers as u64, built);
    let resident_bytes = resident().unwrap_or(0).saturating_sub(resident_before) as f64;
    let before = Usage::of_the_others();
    thread::sleep(watched);
    let cpu = Usage::of_the_others().since(before).cpu;
    let began = Instant::now();
    let report = runtime.block_on(manager.stop()).expect("it was running");
    assert_eq!(report.resources_created, report.resources_destroyed, "each was made and destroyed");
    let stopping = began.elapsed();
    Built { run, live_bytes, resident_bytes: resident_bytes / workers as f64, cpu, stopping }
}

/// A5: wake-ups where nothing is due.
pub(crate) fn wakeups(plan: &Plan) -> Group {
    let watched = plan.quick_or(Duration::from_millis(500), Duration::from_secs(3));
    let settle = Duration::from_millis(200);
    let runtime = runtime(2);
    let mut rows = [RUNTIME, ASYNC, THREADS].map(|about| Row::new(about, 2, 0));
    let watch = |row: &mut Row| {
        for _ in plan.repetitions() {
            plan.progress.step(row.about.name);
            let before = Usage::of_the_others();
            thread::sleep(watched);
            let wakeups = Usage::of_the_others().since(before).wakeups;
            let per_second = Some(wakeups as f64 / watched.as_secs_f64());
            row.runs.push(Run { n: wakeups, ops_per_sec: per_second, ..Run::default() });
        }
        let per_second = row.median(|run| run.ops_per_sec).unwrap_or(0.0);
        row.extras = vec![("wake-ups/s", format!("{per_second:.1}"))];
    };
    plan.progress.begin("A5", rows.len() * plan.reps);
    thread::sleep(settle);
    watch(&mut rows[0]);
    let idle = runtime.block_on(async_manager(2));
    runtime.block_on(idle.queue_task(async |_, _| Ok(()))).expect("the task succeeds");
    thread::sleep(settle);
    watch(&mut rows[1]);
    let threads = manager(2);
    threads.queue_task(|_, _| Ok(())).expect("the task succeeds");
    thread::sleep(settle);
    watch(&mut rows[2]);
    plan.progress.end();
    let title = "wake-ups of idle managers: those of all threads but the watching one";
    let mut group = Group::new("A5", title, rows.into());
    let of = |name| group.row(name, None)?.median(|run| run.ops_per_sec);
    let added = of(RUNTIME.name).zip(of(THREADS.name)).map(|(alone, with)| with - alone);
    group.goal("two idle managers add no wake-up per second", added, Limit::AtMost(0.0));
    group
}
