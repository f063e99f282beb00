//! Shows who overtakes whom: three lanes, one task that jumps them all, one that will not wait for ever.
//!
//! `cargo run --example priorities`
//!
//! The only worker is kept busy while the others arrive, so that every one of them has to wait its turn.

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use std::error::Error;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use tasker::{Config, Priority, TaskManager};

type Failure = Box<dyn Error + Send + Sync>;

/// Counts the tasks as they run, so that each can say which place it got.
static SERVED: AtomicU32 = AtomicU32::new(0);

fn next_place() -> u32 {
    SERVED.fetch_add(1, Ordering::Relaxed) + 1
}

fn main() -> Result<(), Box<dyn Error>> {
    // The resource does not matter here; the one in reserve is for `run_task`.
    let config = Config::<(), Failure>::new(|| Ok(()))
        .worker_count(1)
        .max_worker_count(1)
        .resource_pool_size(1);
    let manager = TaskManager::new(config)?;

    let (began, begins) = mpsc::channel();
    let busy = manager.queue_task_once_async(move |cx, ()| {
        began.send(())?;
        Ok(cx.sleep(Duration::from_millis(300))?)
    });
    begins.recv()?; // from here on the worker is busy

    let arrivals = [
        ("thumbnail", Priority::Low),
        ("report", Priority::Normal),
        ("backup", Priority::Low),
        ("invoice", Priority::Normal),
        ("login", Priority::High),
        ("payment", Priority::High),
    ];
    let handles = arrivals.map(|(name, priority)| {
        manager.task(|_, ()| Ok(next_place())).name(name).priority(priority).submit()
    });
    // Worth nothing if it is late: it would rather not run at all.
    let quote = manager
        .task(|_, ()| Ok(next_place()))
        .name("stock quote")
        .start_within(Duration::from_millis(100))
        .submit();

    let stats = manager.stats();
    println!(
        "The worker is busy; {} tasks wait in the High lane, {} in the others.\n",
        stats.priority_tasks, stats.queued_tasks
    );
    println!("arrived  task         priority  ran");
    // Blocks, but not behind the busy worker: it takes the resource in reserve.
    let urgent = manager.run_task(|_, ()| Ok(next_place()))?;
    for (arrived, ((name, priority), handle)) in (1..).zip(arrivals.into_iter().zip(handles)) {
        println!("{arrived:>7}  {name:<11}  {priority:<8}  {:>3}", handle.wait()?);
    }
    match quote.wait() {
        Ok(place) => println!("      7  stock quote  normal    {place:>3}"),
        Err(error) => println!("      7  stock quote  normal      -  {error}"),
    }
    println!("      8  run_task     above     {urgent:>3}  on the resource in reserve");

    println!("\nNotice: a higher lane always goes first; within a lane the earlier task does.");
    busy.wait()?;
    println!("{}", manager.stop()?);
    Ok(())
}
