//! Stops in order on Ctrl-C: what was accepted still runs, for two seconds at most, and nothing is lost
//! without being named.
//!
//! `cargo run --example graceful_shutdown`, then press Ctrl-C (or wait: it stops by itself).
//!
//! The signal cancels a `CancelToken`; `main` waits for the token and stops the manager, which gives
//! the report. Where nobody wants the report, `Config::shutdown_on` takes the token and begins the
//! stop by itself, and a later `stop` says that it is under way already.

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use std::error::Error;
use std::time::Duration;

use tasker::{CancelToken, Config, TaskContext, TaskManager};

type Failure = Box<dyn Error + Send + Sync>;

const PATIENCE: Duration = Duration::from_secs(2);

fn main() -> Result<(), Box<dyn Error>> {
    let ctrl_c = CancelToken::new();
    let signal = ctrl_c.clone();
    ctrlc::set_handler(move || signal.cancel())?;

    let config = Config::new(|| Ok(()))
        .worker_count(2)
        .max_worker_count(2) // a backlog builds up, so that there is something left to finish
        .resource_pool_size(0);
    let manager = TaskManager::new(config)?;

    println!("An order comes every 50 ms, two at a time take 150 ms each. Press Ctrl-C.");
    let mut orders = 0;
    // A wait for the token is the pause between two orders, and ends at once on Ctrl-C.
    while orders < 30 && !ctrl_c.wait_timeout(Duration::from_millis(50)) {
        orders += 1;
        drop(manager.task(deliver).name(format!("order {orders}")).submit()); // nobody waits for it
    }
    let why = if ctrl_c.is_cancelled() { "Ctrl-C" } else { "No Ctrl-C came" };
    let stats = manager.stats();
    println!(
        "\n{why}: {} orders are running and {} waiting; {} s to finish them.",
        stats.running_tasks,
        stats.queued_tasks,
        PATIENCE.as_secs()
    );

    // `kill` would drop those that wait. This does so as well, but only when the time is up.
    let report = manager.stop_within(PATIENCE)?;
    println!("  accepted   {:>3}", report.accepted);
    println!("  completed  {:>3}", report.completed);
    println!("  failed     {:>3}", report.failed);
    println!("  cancelled  {:>3}  were running when the time was up", report.cancelled);
    println!("  dropped    {:>3}  had not begun by then", report.dropped);
    for straggler in &report.stragglers {
        let name = straggler.name.as_deref().unwrap_or("a task");
        println!("  {name} has been running for {:.1?} and does not listen", straggler.running_for);
    }
    println!("  took       {:.1?}", report.took);

    let late = manager.task(deliver).name("one more order").submit();
    println!("\nOne more order is refused: {}.", late.wait().unwrap_err());
    Ok(())
}

/// Listens to its context while it waits; that is what makes it end in time.
fn deliver(cx: &TaskContext, _van: &mut ()) -> Result<(), Failure> {
    Ok(cx.sleep(Duration::from_millis(150))?)
}
