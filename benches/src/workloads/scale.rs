//! W10: what a task costs when there are more workers, and more tasks in the queue.

use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::HumanCount;
use tokio::runtime::Runtime;

use crate::figures::{Group, Limit, Row, Run};
use crate::harness::Plan;
use crate::peers::{About, AsyncManager, Manager, async_manager, manager, runtime};
use crate::stats::{Spread, Waits};

const SUBMIT: About =
    About { name: "tasker submit and wait", differs: "tasks with handles, all handed in first." };
const CANCEL: About =
    About { name: "tasker cancel", differs: "by the handle of a task that waits." };
const ASYNC: About = About {
    name: "tasker async, tasks that yield",
    differs: "each task gives way once while it has its worker, so that all workers are used.",
};

pub(crate) fn scale(plan: &Plan) -> Vec<Group> {
    vec![workers(plan), queued(plan), cancel(plan), async_workers(plan)]
}

/// Interleaves the points of a scale: `measure` gives how many operations took how long at one of them.
fn points<P: Copy>(
    plan: &Plan,
    points: &[P],
    row: impl Fn(P) -> Row,
    measure: impl Fn(P) -> Run,
) -> Vec<Row> {
    let mut rows: Vec<Row> = points.iter().map(|point| row(*point)).collect();
    plan.progress.begin("W10", points.len() * plan.reps);
    for _ in plan.repetitions() {
        for (row, point) in rows.iter_mut().zip(points) {
            plan.progress.step(row.about.name);
            row.runs.push(measure(*point));
        }
    }
    plan.progress.end();
    rows
}

/// The most that a task takes at any point, in relation to the least.
fn constant(group: &mut Group) {
    let times = Spread::of(group.rows.iter().filter_map(Row::ns_per_op));
    let ratio = times.map(|spread| spread.max / spread.min);
    group.goal("the time for each task is constant within 2 ×", ratio, Limit::AtMost(2.0));
}

/// Submits `n` tasks and waits for all of them.
fn submit(manager: &Manager, n: u64) {
    let mut handles = Vec::with_capacity(n as usize);
    for _ in 0..n {
        handles.push(manager.queue_task_async(|_, resource| {
            *resource += 1;
            Ok(())
        }));
    }
    for handle in handles {
        handle.wait().expect("the task succeeds");
    }
}

fn workers(plan: &Plan) -> Group {
    let n = plan.quick_or(20_000, 500_000);
    let sizes = [1, 2, 4, 8, 16, 32, 64];
    let managers: Vec<(usize, Manager)> =
        sizes.iter().map(|workers| (*workers, manager(*workers))).collect();
    let points: Vec<&(usize, Manager)> = managers.iter().collect();
    let rows = self::points(
        plan,
        &points,
        |(workers, _)| Row::new(SUBMIT, *workers, 1),
        |(_, manager)| {
            let began = Instant::now();
            submit(manager, n);
            Run::timed(n, began.elapsed())
        },
    );
    let title =
        format!("{} empty tasks, handed in by one producer, on 1 to 64 workers", HumanCount(n));
    let mut group = Group::new("W10-workers", title, rows);
    constant(&mut group);
    group
}

fn queued(plan: &Plan) -> Group {
    const LEAST: u64 = 100_000; // so that a point is long enough to be timed
    let sizes = [1_000, 10_000, 100_000, 1_000_000, 10_000_000];
    let sizes = &sizes[..plan.quick_or(4, 5)];
    let row = |queued: u64| {
        let mut row = Row::new(SUBMIT, 2, 1);
        row.extras = vec![("queued", HumanCount(queued).to_string())];
        row
    };
    let rows = points(plan, sizes, row, |queued| {
        let manager = manager(2); // a new one: queues keep the room that they once needed
        let rounds = LEAST.div_ceil(queued);
        let mut took = Duration::ZERO;
        for _ in 0..rounds {
            manager.pause();
            let began = Instant::now();
            let mut handles = Vec::with_capacity(queued as usize);
            for _ in 0..queued {
                handles.push(manager.queue_task_async(|_, resource| {
                    *resource += 1;
                    Ok(())
                }));
            }
            manager.resume();
            for handle in handles {
                handle.wait().expect("the task succeeds");
            }
            took += began.elapsed();
        }
        Run { n: queued, ..Run::timed(rounds * queued, took) }
    });
    let title = "so many empty tasks wait at once, then 2 workers do them all";
    let mut group = Group::new("W10-queued", title, rows);
    constant(&mut group);
    group
}

fn cancel(plan: &Plan) -> Group {
    const CANCELLED: usize = 500;
    let sizes = [1_000, 10_000, 100_000, 1_000_000];
    let row = |queued: u64| {
        let mut row = Row::new(CANCEL, 2, 1);
        row.extras = vec![("queued", HumanCount(queued).to_string())];
        row
    };
    let rows = points(plan, &sizes, row, |queued| {
        let manager = manager(2);
        manager.pause();
        let mut handles: Vec<_> =
            (0..queued).map(|_| manager.queue_task_async(|_, _| Ok(()))).collect();
        let mut chance = fastrand::Rng::with_seed(queued);
        let some: Vec<_> =
            (0..CANCELLED).map(|_| handles.swap_remove(chance.usize(..handles.len()))).collect();
        let mut waits = Waits::new();
        let began = Instant::now();
        let mut last = began;
        for handle in &some {
            handle.cancel();
            let now = Instant::now();
            waits.record(now - last);
            last = now;
        }
        let run = Run::timed(CANCELLED as u64, last - began);
        assert!(
            some.iter().all(tasker::TaskHandle::is_finished),
            "what waits is cancelled at once"
        );
        manager.kill().expect("it was running");
        Run { n: queued, waits: Some(waits.percentiles()), ..run }
    });
    let title = "one task is cancelled, wherever it stands among so many that wait";
    let mut group = Group::new("W10-cancel", title, rows);
    // A few hundred cancellations take less than a stall of the machine: the median wait does not see one.
    let time = |row: Option<&Row>| row.and_then(|row| row.median(|run| Some(run.waits?.p50)));
    let (few, many) = (time(group.rows.first()), time(group.rows.last()));
    let ratio = few.zip(many).map(|(few, many)| many / few);
    // Memory that is in no cache costs more; a search would cost a thousand times as much.
    let text = "cancelling one of 10⁶ takes at most 10 × as long as one of 10³";
    group.goal(text, ratio, Limit::AtMost(10.0));
    group
}

fn async_workers(plan: &Plan) -> Group {
    const CALLERS: u64 = 10_000;
    let each = plan.quick_or(10, 50);
    let runtime = runtime(2);
    let sizes = [2, 100, 10_000];
    let managers: Vec<(usize, Arc<AsyncManager>)> = sizes
        .iter()
        .map(|workers| (*workers, Arc::new(runtime.block_on(async_manager(*workers)))))
        .collect();
    let points: Vec<&(usize, Arc<AsyncManager>)> = managers.iter().collect();
    let rows = self::points(
        plan,
        &points,
        |(workers, _)| Row::new(ASYNC, *workers, CALLERS as usize),
        |(_, manager)| {
            let took = call(&runtime, manager, CALLERS, each);
            Run::timed(CALLERS * each, took)
        },
    );
    let title = "10,000 awaiting callers, tasks that yield once, on 2 to 10,000 async workers";
    let mut group = Group::new("W10-async-workers", title, rows);
    constant(&mut group);
    group
}

fn call(runtime: &Runtime, manager: &Arc<AsyncManager>, callers: u64, each: u64) -> Duration {
    let began = Instant::now();
    runtime.block_on(async {
        let call = |_| {
            let manager = Arc::clone(manager);
            tokio::spawn(async move {
                for _ in 0..each {
                    let task = manager.queue_task(async |_, resource| {
                        *resource += 1;
                        tokio::task::yield_now().await;
                        Ok(())
                    });
                    task.await.expect("the task succeeds");
                }
            })
        };
        let callers: Vec<_> = (0..callers).map(call).collect();
        for caller in callers {
            caller.await.expect("no caller panics");
        }
    });
    began.elapsed()
}
