//! Measures what tasker adds to the work, beside the primitives that it is built on.
//!
//! Every figure is a ratio between things measured in one run: interleaved repetitions, medians, and
//! `min..max` beside them, because machines are shared and noisy.

#![expect(clippy::print_stdout, reason = "a bench prints its table")]
#![expect(clippy::disallowed_methods, reason = "a bench reads the clock and starts threads")]

mod aio;
mod step;

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tasker::{Config, TaskManager};

const HELP: &str = "\
Measures tasker beside the primitives it is built on, in one run.

usage: cargo run --release -p tasker-bench -- [WORKLOAD…] [--quick] [--reps N]

  W1         a blocking round trip of an empty task: 1 caller, 1 worker
  W2         64 blocking callers with empty tasks on 2 workers
  W8         2 to 16 workers and a load that steps up and down: how the number of workers follows
  A1         an awaited empty task: 1 caller, 1 async worker
  A2         64 awaiting callers with empty tasks on 2 async workers
  A4         10,000 idle async workers, and the wake-ups of idle managers (A5)
  --quick    shorter repetitions
  --reps N   interleaved repetitions (default 7; at least 1)
";

type Resource = u64;

fn main() -> ExitCode {
    let mut workloads = Vec::new();
    let (mut quick, mut reps) = (false, 7_usize);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "-h" | "--help" => {
                print!("{HELP}");
                return ExitCode::SUCCESS;
            }
            "--quick" => quick = true,
            "--reps" => match args.next().and_then(|n| n.parse().ok()).filter(|n| *n > 0) {
                Some(n) => reps = n,
                None => return usage("--reps wants a positive number"),
            },
            "W1" | "w1" => workloads.push("W1"),
            "W2" | "w2" => workloads.push("W2"),
            "W8" | "w8" => workloads.push("W8"),
            "A1" | "a1" => workloads.push("A1"),
            "A2" | "a2" => workloads.push("A2"),
            "A4" | "a4" | "A5" | "a5" => workloads.push("A4"),
            other => return usage(&format!("there is no workload or option `{other}`")),
        }
    }
    if workloads.is_empty() {
        workloads = vec!["W1", "W2", "W8", "A1", "A2", "A4"];
    }
    let scale = if quick { 10 } else { 1 };
    for workload in workloads {
        match workload {
            "W1" => round_trip(reps, 2_000_000 / scale),
            "W8" => step::step(reps, quick),
            "A1" => aio::round_trip(reps, 2_000_000 / scale),
            "A2" => aio::many_callers(reps, 1_000_000 / scale),
            "A4" => aio::idle(quick),
            _ => many_callers(reps, 1_000_000 / scale),
        }
    }
    ExitCode::SUCCESS
}

fn usage(what: &str) -> ExitCode {
    print!("{what}\n\n{HELP}");
    ExitCode::from(2)
}

fn manager(workers: usize) -> TaskManager<Resource, String> {
    let config =
        Config::new(|| Ok(0)).worker_count(workers).max_worker_count(workers).resource_pool_size(0);
    TaskManager::new(config).expect("a counter is always made")
}

/// What one repetition of one system took.
struct Run {
    ns_per_op: f64,
    longest: Duration,
}

fn round_trip(reps: usize, n: u32) {
    let bare = Mutex::new(0_u64);
    let timed = Mutex::new(0_u64);
    let manager = manager(1);
    let systems: [(&str, &dyn Fn()); 3] = [
        ("Mutex<R>", &|| *bare.lock().unwrap() += 1),
        ("Mutex<R> and two clock reads", &|| {
            let mut resource = timed.lock().unwrap();
            let began = Instant::now();
            *resource += 1;
            black_box(Instant::now().duration_since(began));
        }),
        ("tasker queue_task", &|| {
            manager
                .queue_task(|_, resource| {
                    *resource += 1;
                    Ok(())
                })
                .expect("the task succeeds");
        }),
    ];
    let mut runs: Vec<Vec<Run>> = systems.iter().map(|_| Vec::new()).collect();
    for _ in 0..reps {
        for ((_, op), runs) in systems.iter().zip(&mut runs) {
            let began = Instant::now();
            for _ in 0..n {
                op();
            }
            let took = began.elapsed();
            runs.push(Run {
                ns_per_op: took.as_nanos() as f64 / f64::from(n),
                longest: Duration::ZERO,
            });
        }
    }
    print_table(
        "W1  blocking round trip of an empty task, 1 caller, 1 worker",
        &systems.map(|system| system.0),
        &runs,
        false,
    );
}

fn many_callers(reps: usize, n: u32) {
    const CALLERS: u32 = 64;
    let mutexes = [Mutex::new(0_u64), Mutex::new(0_u64)];
    let manager = manager(2);
    let systems: [(&str, &(dyn Fn(u32) + Sync)); 2] = [
        ("two Mutex<R>", &|caller| *mutexes[caller as usize % 2].lock().unwrap() += 1),
        ("tasker queue_task", &|_| {
            manager
                .queue_task(|_, resource| {
                    *resource += 1;
                    Ok(())
                })
                .expect("the task succeeds");
        }),
    ];
    let mut runs: Vec<Vec<Run>> = systems.iter().map(|_| Vec::new()).collect();
    for _ in 0..reps {
        for ((_, op), runs) in systems.iter().zip(&mut runs) {
            let each = n / CALLERS;
            let longest = Mutex::new(Duration::ZERO);
            let began = Instant::now();
            std::thread::scope(|scope| {
                for caller in 0..CALLERS {
                    let longest = &longest;
                    scope.spawn(move || {
                        let mut slowest = Duration::ZERO;
                        let mut last = Instant::now();
                        for _ in 0..each {
                            op(caller);
                            let now = Instant::now();
                            slowest = slowest.max(now - last);
                            last = now;
                        }
                        let mut longest = longest.lock().unwrap();
                        *longest = slowest.max(*longest);
                    });
                }
            });
            let took = began.elapsed();
            let ops = f64::from(each * CALLERS);
            let longest = longest.into_inner().unwrap();
            runs.push(Run { ns_per_op: took.as_nanos() as f64 / ops, longest });
        }
    }
    print_table(
        "W2  64 blocking callers (threads), empty tasks, 2 workers",
        &systems.map(|system| system.0),
        &runs,
        true,
    );
}

fn print_table(title: &str, systems: &[&str], runs: &[Vec<Run>], waits: bool) {
    println!("{title}");
    let heading = if waits { "  longest wait, ms" } else { "" };
    println!("  {:<30} {:>8}  {:>15} {:>9}{heading}", "system", "ns/op", "min..max", "M ops/s");
    let ours = median(runs.last().expect("tasker is the last system"));
    for (system, runs) in systems.iter().zip(runs) {
        let middle = median(runs);
        let least = runs.iter().map(|run| run.ns_per_op).fold(f64::INFINITY, f64::min);
        let most = runs.iter().map(|run| run.ns_per_op).fold(0.0, f64::max);
        let spread = format!("{least:.1}..{most:.1}");
        print!("  {system:<30} {middle:>8.1}  {spread:>15} {:>9.2}", 1_000.0 / middle);
        if waits {
            let longest = runs.iter().map(|run| run.longest).max().unwrap_or_default();
            print!("  {:>16.1}", longest.as_secs_f64() * 1_000.0);
        }
        println!("   tasker takes {:.2} x", ours / middle);
    }
    println!();
}

fn median(runs: &[Run]) -> f64 {
    let mut all: Vec<f64> = runs.iter().map(|run| run.ns_per_op).collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}
