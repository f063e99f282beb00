//! Watches a manager from outside: its messages, every event in order, and its metrics.
//!
//! `cargo run --example observing`
//!
//! A `Logger` receives messages for people, an `Observer` is told what happens to tasks, workers and
//! resources, `metrics()` adds up. None of them changes what the manager does.

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use std::error::Error;
use std::fmt::Arguments;
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

use tasker::{Config, Event, Logger, Observer, TaskManager};

/// Sends each event on with its number. It is called where the event happens, so it must not dawdle.
struct Journal(Sender<(u64, String)>);

impl Observer for Journal {
    fn on_event(&self, event: &Event<'_>) {
        let (id, name, what) = match event {
            Event::TaskQueued { id, name, .. } => (id, name, "queued".to_owned()),
            Event::TaskStarted { id, name, attempt, .. } => {
                (id, name, format!("attempt {attempt}"))
            }
            Event::TaskRetried { id, name, .. } => (id, name, "is to run again".to_owned()),
            Event::TaskFinished { id, name, outcome, .. } => (id, name, format!("{outcome:?}")),
            other => return drop(self.0.send((other.sequence(), format!("{other:?}")))),
        };
        let line = format!("{id} {:<8} {what}", name.unwrap_or("-"));
        drop(self.0.send((event.sequence(), line))); // fails only when nobody reads any more
    }
}

/// Prints messages as they come. The default logger sends them to the `tracing` crate.
struct Printer;

impl Logger for Printer {
    fn debug(&self, _: Arguments<'_>) {}
    fn info(&self, message: Arguments<'_>) {
        println!("  info:  {message}");
    }
    fn warn(&self, message: Arguments<'_>) {
        println!("  warn:  {message}");
    }
    fn error(&self, message: Arguments<'_>) {
        println!("  error: {message}");
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let (journal, events) = mpsc::channel();
    let config = Config::<(), &str>::new(|| Ok(()))
        .on_destroy(|()| Err("it would not close"))
        .check_health(|error| *error != "connection lost")
        .worker_count(1)
        .max_worker_count(1)
        .resource_pool_size(0)
        .observer(Journal(journal))
        .logger(Printer);
    let manager = TaskManager::new(config)?;

    println!("Messages, as they come:");
    let nap = Duration::from_millis(100);
    let tasks = [
        manager.task(move |cx, ()| cx.sleep(nap).map_err(|_| "cancelled")).name("slow").submit(),
        manager.task(|_, ()| Err("no such table")).name("wrong").submit(),
        manager
            .task(|cx, ()| if cx.attempt() == 1 { Err("connection lost") } else { Ok(()) })
            .name("unlucky")
            .submit(),
    ];
    for task in tasks {
        drop(task.wait()); // the journal says how each ended
    }
    let metrics = manager.metrics();
    manager.stop()?;

    println!("\nEvents, in the order of their numbers (threads deliver their own, so sort them):");
    drop(manager); // and with it the journal, so that the channel ends
    let mut events: Vec<_> = events.iter().collect();
    events.sort_unstable();
    for (sequence, line) in events {
        println!("{sequence:>4}  {line}");
    }

    println!("\nNotice how `unlucky` condemns its resource and runs again on a new one.");

    println!("\nMetrics, as they were before the stop (a few of them):");
    let (completed, failed) = (metrics.total_tasks_completed, metrics.total_tasks_failed);
    println!("  {completed} completed, {failed} failed, {} retried", metrics.total_tasks_retried);
    println!("  {:.1?} was the median wait", metrics.p50_wait_time);
    println!("  {:.1?} was the longest run", metrics.max_execution_time);
    Ok(())
}
