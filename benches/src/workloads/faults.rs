//! W9: one task in ten finds its first resource broken.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use tasker::{Config, TaskManager};

use crate::figures::{Group, Limit, Row, Run};
use crate::harness::Plan;
use crate::peers::About;
use crate::stats::Spread;

const WORKERS: usize = 4;
const CALLERS: u64 = 32;
/// One task in so many is unhealthy at its first attempt.
const ONE_IN: u64 = 10;
/// Whoever has no outcome after this hangs.
const PATIENCE: Duration = Duration::from_secs(30);

const SOUND: About =
    About { name: "tasker, no faults", differs: "the same tasks where every resource is sound." };
const FAULTY: About = About {
    name: "tasker, 10 % unhealthy",
    differs: "each such error costs a resource, which is destroyed and made again, and the task runs once \
              more. No peer here replaces resources and repeats tasks, so that none stands beside it.",
};

/// What one repetition has shown.
struct Seen {
    completed: u64,
    workers: usize,
    took: Duration,
}

pub(crate) fn faults(plan: &Plan) -> Group {
    let n = plan.quick_or(3_200, 32_000);
    let cases = [(SOUND, false), (FAULTY, true)];
    let mut rows = cases.map(|(about, _)| Row::new(about, WORKERS, CALLERS as usize));
    let mut seen = [const { Vec::new() }; 2];
    plan.progress.begin("W9", cases.len() * plan.reps);
    for _ in plan.repetitions() {
        for ((row, seen), (about, faulty)) in rows.iter_mut().zip(&mut seen).zip(cases) {
            plan.progress.step(about.name);
            let now = run(n, faulty);
            row.runs.push(Run::timed(n, now.took));
            seen.push(now);
        }
    }
    plan.progress.end();
    let least = |seen: &[Seen], figure: fn(&Seen) -> f64| {
        Spread::of(seen.iter().map(figure)).map_or(0.0, |spread| spread.min)
    };
    for (row, seen) in rows.iter_mut().zip(&seen) {
        row.extras = vec![
            ("completed", format!("{:.0} of {n}", least(seen, |seen| seen.completed as f64))),
            ("workers at the end", format!("{:.0}", least(seen, |seen| seen.workers as f64))),
        ];
    }
    let share = least(&seen[1], |seen| seen.completed as f64) / n as f64;
    let workers = least(&seen[1], |seen| seen.workers as f64);
    let title = "32 callers, 4 workers; one first attempt in ten is unhealthy";
    let mut group = Group::new("W9", title, rows.into()).compared_with(SOUND.name);
    group.goal("every task completes and nobody hangs", Some(share), Limit::AtLeast(1.0));
    group.goal("4 workers are alive at the end", Some(workers), Limit::AtLeast(4.0));
    group
}

fn run(n: u64, faulty: bool) -> Seen {
    let config = Config::<u64, &'static str>::new(|| Ok(0))
        .worker_count(WORKERS)
        .max_worker_count(WORKERS)
        .resource_pool_size(0)
        .check_health(|_| false);
    let manager = TaskManager::new(config).expect("a counter is always made");
    let (tell, told) = mpsc::channel();
    let began = Instant::now();
    for caller in 0..CALLERS {
        let (manager, tell) = (manager.clone(), tell.clone());
        // Not scoped: a caller that hangs must not hang the bench.
        thread::spawn(move || {
            for task in (caller..n).step_by(CALLERS as usize) {
                let is_faulty = faulty && task % ONE_IN == 0;
                let done = manager.queue_task(|cx, resource| {
                    *resource += 1;
                    if is_faulty && cx.attempt() == 1 { Err("broken") } else { Ok(()) }
                });
                if tell.send(done.is_ok()).is_err() {
                    return;
                }
            }
        });
    }
    drop(tell);
    let mut completed = 0;
    while let Ok(is_ok) = told.recv_timeout(PATIENCE) {
        completed += u64::from(is_ok);
    }
    let took = began.elapsed();
    Seen { completed, workers: alive(&manager), took }
}

/// How many workers have a resource, once those that were making one have had the time to.
fn alive(manager: &TaskManager<u64, &'static str>) -> usize {
    let end = Instant::now() + Duration::from_secs(2);
    loop {
        let workers = manager.stats().active_workers;
        if workers >= WORKERS || Instant::now() > end {
            return workers;
        }
        thread::sleep(Duration::from_millis(1));
    }
}
