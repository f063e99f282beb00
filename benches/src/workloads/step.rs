//! W8: the load steps up and down again, and the number of workers follows.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tasker::autoscale::{BreakEven, Fixed, RateBased, ScalingPolicy};
use tasker::{Config, TaskHandle, TaskManager};

use crate::figures::{Group, Limit, Row, Run};
use crate::harness::Plan;
use crate::peers::About;
use crate::stats::{Spread, Waits};

const SERVICE: Duration = Duration::from_millis(20);
const CALM: f64 = 50.0;
const HIGH: f64 = 600.0;

const BREAK_EVEN: About = About {
    name: "tasker BreakEven",
    differs: "the default policy: grows as soon as that pays, and shrinks when keeping does not.",
};
const RATE_BASED: About = About {
    name: "tasker RateBased",
    differs: "follows the rates of arrivals and completions, as the library before this one did.",
};
const FIXED: About =
    About { name: "tasker Fixed(16)", differs: "the limit: every worker is always there." };

/// What one run has shown.
struct Seen {
    /// The most workers before the step.
    calm_peak: usize,
    /// From the step until there were twelve.
    to_twelve: Option<Duration>,
    peak: usize,
    /// From the end of the step until there were four at most.
    to_four: Option<Duration>,
    waits: Waits,
}

pub(crate) fn step(plan: &Plan) -> Group {
    let phases = plan.quick_or([1_000, 1_000, 2_200], [4_000; 3]).map(Duration::from_millis);
    let reps = plan.quick_or(1, plan.reps.min(3)); // each takes three phases of each policy
    type Make = fn() -> Box<dyn ScalingPolicy>;
    let policies: [(About, Make); 3] = [
        (BREAK_EVEN, || Box::new(BreakEven::new())),
        (RATE_BASED, || Box::new(RateBased::new())),
        (FIXED, || Box::new(Fixed::new(16))),
    ];
    let mut rows = policies.map(|(about, _)| Row::new(about, 2, 1));
    let mut seen = [const { Vec::new() }; 3];
    plan.progress.begin("W8", policies.len() * reps);
    for rep in 0..reps {
        for ((row, seen), (_, policy)) in rows.iter_mut().zip(&mut seen).zip(&policies) {
            plan.progress.step(row.about.name);
            let now = run(policy(), phases, rep as u64);
            row.runs.push(Run::of_waits(&now.waits));
            seen.push(now);
        }
    }
    plan.progress.end();
    for (row, seen) in rows.iter_mut().zip(&seen) {
        row.extras = vec![
            ("peak at 50/s", range(seen.iter().map(|seen| Some(seen.calm_peak as f64)), "")),
            (
                "12 workers after",
                range(seen.iter().map(|seen| milliseconds(seen.to_twelve)), " ms"),
            ),
            ("peak", range(seen.iter().map(|seen| Some(seen.peak as f64)), "")),
            ("4 again after", range(seen.iter().map(|seen| milliseconds(seen.to_four)), " ms")),
        ];
    }
    let title = format!(
        "2 to 16 workers, 20 ms tasks, {CALM}/s, {HIGH}/s, {CALM}/s for {phases:?}: waits and workers"
    );
    let mut group = Group::new("W8", title, rows.into());
    group.note("of the default policy, the worst repetition is held to the goals");
    let worst = |figure: fn(&Seen) -> f64| Spread::of(seen[0].iter().map(figure)).map(|s| s.max);
    let never = |time| milliseconds(time).unwrap_or(f64::INFINITY);
    let calm = worst(|seen| seen.calm_peak as f64);
    let up = Spread::of(seen[0].iter().map(|seen| never(seen.to_twelve))).map(|s| s.max);
    let down = Spread::of(seen[0].iter().map(|seen| never(seen.to_four))).map(|s| s.max);
    group.goal("at most 4 workers at 50/s", calm, Limit::AtMost(4.0));
    group.goal("12 workers within 200 ms of the step", up, Limit::AtMost(200.0));
    group.goal("4 again within 2,000 ms after its end", down, Limit::AtMost(2000.0));
    group
}

fn milliseconds(time: Option<Duration>) -> Option<f64> {
    time.map(|time| time.as_secs_f64() * 1e3)
}

/// From the least to the most of all repetitions; `None` is never.
fn range(values: impl Iterator<Item = Option<f64>>, unit: &str) -> String {
    let Some(spread) = Spread::of(values.map(|value| value.unwrap_or(f64::INFINITY))) else {
        return String::new();
    };
    let text = |value: f64| {
        if value.is_finite() { format!("{value:.0}{unit}") } else { "never".to_owned() }
    };
    if spread.min == spread.max {
        text(spread.min)
    } else {
        format!("{}..{}", text(spread.min), text(spread.max))
    }
}

fn run(policy: Box<dyn ScalingPolicy>, phases: [Duration; 3], seed: u64) -> Seen {
    let config = Config::<(), String>::new(|| Ok(()))
        .worker_count(2)
        .max_worker_count(16)
        .resource_pool_size(0)
        .scaling(policy);
    let manager = TaskManager::new(config).expect("nothing can fail");
    let [step, high, _] = phases;
    let (end_of_step, end) = (step + high, phases.into_iter().sum());
    let (over, samples) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    let start = Instant::now();
    let mut handles = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let stats = manager.stats();
                let workers = stats.base_workers + stats.burst_workers;
                samples.lock().expect("nobody panics").push((start.elapsed(), workers));
                thread::sleep(Duration::from_millis(2));
            }
        });
        submit(&manager, step..end_of_step, end, seed, start, &mut handles);
        over.store(true, Ordering::Relaxed);
    });
    let mut waits = Waits::new();
    for handle in handles {
        waits.record(handle.wait().expect("the task succeeds"));
    }
    let samples = samples.into_inner().expect("nobody panics");
    let peak = |from: Duration, to: Duration| {
        let within = samples.iter().filter(|(at, _)| (from..to).contains(at));
        within.map(|(_, workers)| *workers).max().unwrap_or(0)
    };
    let reached = |from: Duration, holds: fn(usize) -> bool| {
        let mut later = samples.iter().filter(|(at, _)| *at >= from);
        later.find(|(_, workers)| holds(*workers)).map(|(at, _)| *at - from)
    };
    Seen {
        calm_peak: peak(Duration::ZERO, step),
        to_twelve: reached(step, |workers| workers >= 12).filter(|time| *time < high),
        peak: peak(Duration::ZERO, end),
        to_four: reached(end_of_step, |workers| workers <= 4),
        waits,
    }
}

/// Submits at exponential intervals, so that tasks come as from many callers. Each task gives its wait.
fn submit(
    manager: &TaskManager<(), String>,
    high: Range<Duration>,
    end: Duration,
    seed: u64,
    start: Instant,
    handles: &mut Vec<TaskHandle<Duration, String>>,
) {
    let mut chance = fastrand::Rng::with_seed(seed);
    let mut due = Duration::ZERO;
    while due < end {
        let rate = if high.contains(&due) { HIGH } else { CALM };
        due += Duration::from_secs_f64(-(1.0 - chance.f64()).ln() / rate);
        thread::sleep((start + due).saturating_duration_since(Instant::now()));
        let submitted = Instant::now();
        let task = manager.task_once(move |_, _| {
            let waited = submitted.elapsed();
            thread::sleep(SERVICE);
            Ok(waited)
        });
        handles.push(task.submit());
    }
}

#[cfg(test)]
mod tests {
    use super::range;

    #[test]
    fn a_range_tells_what_never_happened() {
        assert_eq!(range([Some(70.0), Some(117.2)].into_iter(), " ms"), "70 ms..117 ms");
        assert_eq!(range([Some(4.0), Some(4.0)].into_iter(), ""), "4");
        assert_eq!(range([Some(4.0), None].into_iter(), ""), "4..never");
    }
}
