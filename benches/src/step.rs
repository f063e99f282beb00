//! W8: the load steps up and down again, and the number of workers follows.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tasker::autoscale::{BreakEven, Fixed, RateBased, ScalingPolicy};
use tasker::{Config, TaskHandle, TaskManager};

const SERVICE: Duration = Duration::from_millis(20);
const CALM: f64 = 50.0;
const HIGH: f64 = 600.0;

/// What one run has shown.
struct Seen {
    /// The most workers before the step.
    calm_peak: usize,
    /// From the step until there were twelve.
    to_twelve: Option<Duration>,
    peak: usize,
    /// From the end of the step until there were four at most.
    to_four: Option<Duration>,
    waits: [Duration; 3],
}

pub(crate) fn step(reps: usize, quick: bool) {
    let phase = Duration::from_secs(if quick { 2 } else { 4 });
    println!("W8  2 to 16 workers, 20 ms tasks, {CALM}/s -> {HIGH}/s -> {CALM}/s, {phase:?} each");
    println!(
        "  {:<12} {:>14} {:>18} {:>8} {:>18} {:>9} {:>9} {:>9}",
        "policy",
        "peak at 50/s",
        "12 workers after",
        "peak",
        "4 again after",
        "p50 wait",
        "p99",
        "max"
    );
    type Make = fn() -> Box<dyn ScalingPolicy>;
    let policies: [(&str, Make); 3] = [
        ("BreakEven", || Box::new(BreakEven::new())),
        ("RateBased", || Box::new(RateBased::new())),
        ("Fixed(16)", || Box::new(Fixed::new(16))),
    ];
    for rep in 0..reps {
        for (name, policy) in policies {
            let seen = run(policy(), phase, rep as u64);
            let time = |time: Option<Duration>| match time {
                Some(time) => format!("{} ms", time.as_millis()),
                None => "never".to_owned(),
            };
            let [p50, p99, max] =
                seen.waits.map(|wait| format!("{:.1} ms", wait.as_secs_f64() * 1e3));
            println!(
                "  {name:<12} {:>14} {:>18} {:>8} {:>18} {p50:>9} {p99:>9} {max:>9}",
                seen.calm_peak,
                time(seen.to_twelve),
                seen.peak,
                time(seen.to_four),
            );
        }
    }
    println!("  goal: at most 4 at 50/s; 12 within 200 ms; 4 again within 2000 ms\n");
}

fn run(policy: Box<dyn ScalingPolicy>, phase: Duration, seed: u64) -> Seen {
    let config = Config::<(), String>::new(|| Ok(()))
        .worker_count(2)
        .max_worker_count(16)
        .resource_pool_size(0)
        .scaling(policy);
    let manager = TaskManager::new(config).expect("nothing can fail");
    let (over, samples) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    let start = Instant::now();
    let mut handles = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let stats = manager.stats();
                let workers = stats.base_workers + stats.burst_workers;
                samples.lock().unwrap().push((start.elapsed(), workers));
                thread::sleep(Duration::from_millis(2));
            }
        });
        submit(&manager, phase, seed, start, &mut handles);
        over.store(true, Ordering::Relaxed);
    });
    let mut waits: Vec<Duration> =
        handles.into_iter().map(|handle| handle.wait().expect("the task succeeds")).collect();
    waits.sort_unstable();
    let rank = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize];
    let samples = samples.into_inner().unwrap();
    let peak = |from: Duration, to: Duration| {
        let within = samples.iter().filter(|(at, _)| (from..to).contains(at));
        within.map(|(_, workers)| *workers).max().unwrap_or(0)
    };
    let reached = |from: Duration, holds: fn(usize) -> bool| {
        let mut later = samples.iter().filter(|(at, _)| *at >= from);
        later.find(|(_, workers)| holds(*workers)).map(|(at, _)| *at - from)
    };
    Seen {
        calm_peak: peak(Duration::ZERO, phase),
        to_twelve: reached(phase, |workers| workers >= 12).filter(|time| *time < phase),
        peak: peak(Duration::ZERO, phase * 3),
        to_four: reached(phase * 2, |workers| workers <= 4),
        waits: [rank(0.5), rank(0.99), rank(1.0)],
    }
}

/// Submits at exponential intervals, so that tasks come as from many callers. Each task gives its wait.
fn submit(
    manager: &TaskManager<(), String>,
    phase: Duration,
    seed: u64,
    start: Instant,
    handles: &mut Vec<TaskHandle<Duration, String>>,
) {
    let mut chance = fastrand::Rng::with_seed(seed);
    let mut due = Duration::ZERO;
    while due < phase * 3 {
        let rate = if (phase..phase * 2).contains(&due) { HIGH } else { CALM };
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
