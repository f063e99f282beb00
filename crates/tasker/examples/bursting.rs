//! Watches a pool grow under a burst of tasks and shrink again when it is over.
//!
//! `cargo run --example bursting`
//!
//! Two things are printed as they happen: what the manager decides (`Event::Scaled`, with its reason),
//! and what a look at `stats()` finds.

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use std::error::Error;
use std::thread;
use std::time::{Duration, Instant};

use tasker::{Config, Event, Observer, TaskContext, TaskManager};

type Failure = Box<dyn Error + Send + Sync>;

/// Prints what the manager decides. It is called on the thread that decided, so it keeps itself short.
struct Decisions(Instant);

impl Observer for Decisions {
    fn on_event(&self, event: &Event<'_>) {
        if let Event::Scaled { from, to, reason, .. } = event {
            let at = now().duration_since(self.0).as_millis();
            println!("{at:>5} ms  decided: {from} -> {to} workers, because {reason}");
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let start = now();
    let config = Config::new(connect)
        .worker_count(2) // # below: always there
        .max_worker_count(8) // + below: they come with a backlog and leave when it is gone
        .burst_interval(Duration::from_millis(50)) // how often the policy is asked
        .resource_pool_size(0)
        .observer(Decisions(start));
    let manager = TaskManager::new(config)?;

    println!("40 tasks of 100 ms each for 2 to 8 workers\n");
    let handles: Vec<_> = (0..40).map(|_| manager.queue_task_async(query)).collect();

    // Samples until the manager is at rest again, and for no longer than three seconds.
    for sample in 1..=30 {
        let stats = manager.stats();
        let at = now().duration_since(start).as_millis();
        let (base, burst) = ("#".repeat(stats.base_workers), "+".repeat(stats.burst_workers));
        println!(
            "{at:>5} ms  workers {:<8}  {:>2} waiting, {:>2} running, {} connecting",
            base + &burst,
            stats.queued_tasks,
            stats.running_tasks,
            stats.recovering_workers,
        );
        if sample > 1 && stats.burst_workers == 0 && stats.running_tasks == 0 {
            break;
        }
        pause(Duration::from_millis(100));
    }
    for handle in handles {
        handle.wait()?;
    }

    println!(
        "\nNotice: burst workers come while another one would still find work when it is ready, and leave"
    );
    println!(
        "when they were idle for as long as making them costs; base workers stay. In its own words:\n"
    );
    println!("{}\n", manager.explain());
    println!("{}", manager.stop()?);
    Ok(())
}

/// A resource takes 80 ms to make: worth keeping, and the reason why growing is a decision.
fn connect() -> Result<(), Failure> {
    pause(Duration::from_millis(80));
    Ok(())
}

fn query(cx: &TaskContext, _connection: &mut ()) -> Result<(), Failure> {
    Ok(cx.sleep(Duration::from_millis(100))?)
}

#[expect(clippy::disallowed_methods, reason = "an example times itself by the machine's clock")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "outside of a task there is no context to sleep by")]
fn pause(time: Duration) {
    thread::sleep(time);
}
