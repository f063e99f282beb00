//! Tells a task's own mistake from a broken resource: the one is an answer, the other a reason to retry.
//!
//! `cargo run --example health_and_retries`
//!
//! Every task notes the connections that its attempts ran on, so that the last column shows when a
//! connection was kept and when it was replaced.

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use std::error::Error;
use std::panic;
use std::sync::atomic::{AtomicU32, Ordering};

use tasker::{Config, TaskError, TaskManager};

/// A connection, known by its number.
struct Connection(u32);

#[derive(Debug, thiserror::Error)]
enum DbError {
    #[error("no such table")]
    NoSuchTable, // the question was wrong; the connection is fine
    #[error("connection lost")]
    ConnectionLost, // the question may be fine; the connection is gone
}

fn main() -> Result<(), Box<dyn Error>> {
    panic::set_hook(Box::new(|_| ())); // one task panics on purpose; its outcome tells of it

    let opened = AtomicU32::new(0);
    let config = Config::new(move || Ok(Connection(opened.fetch_add(1, Ordering::Relaxed) + 1)))
        .check_health(|error| !matches!(error, DbError::ConnectionLost)) // `false` condemns a connection
        .max_retries(2)
        .worker_count(1) // one connection at a time, so that the numbers are easy to follow
        .max_worker_count(1)
        .resource_pool_size(0);
    let manager = TaskManager::new(config)?;
    println!("At most 2 retries, hence at most 3 attempts.\n");
    println!("{:<32}  {:<46}  connections", "what the task met", "how it ended");

    try_it(&manager, "a mistake of its own", |_| Err(DbError::NoSuchTable));
    try_it(&manager, "a lost connection, once", |attempt| match attempt {
        1 => Err(DbError::ConnectionLost),
        _ => Ok(()),
    });
    try_it(&manager, "a lost connection, every time", |_| Err(DbError::ConnectionLost));

    let mut used = Vec::new();
    let outcome = manager.queue_task_once(|_, connection| {
        used.push(connection.0);
        Err(DbError::ConnectionLost)
    });
    show("a lost connection, but runs once", &outcome, &used);

    try_it(&manager, "a bug: it panics", |_| panic!("index out of bounds"));
    try_it(&manager, "nothing: the worker lives on", |_| Ok(()));

    let retries = manager.metrics().total_tasks_retried;
    println!("\n{retries} retries in all. {}", manager.stop()?);
    Ok(())
}

/// Runs one task; `work` is told which attempt it is. A task that may be retried is `FnMut`: it starts
/// again from the top, and what it noted before is still there.
fn try_it(
    manager: &TaskManager<Connection, DbError>,
    met: &str,
    mut work: impl FnMut(u32) -> Result<(), DbError> + Send,
) {
    let mut used = Vec::new();
    let outcome = manager.queue_task(|cx, connection| {
        used.push(connection.0);
        work(cx.attempt())
    });
    show(met, &outcome, &used);
}

fn show(met: &str, outcome: &Result<(), TaskError<DbError>>, used: &[u32]) {
    let ended = match outcome {
        Ok(()) => "Ok".to_owned(),
        Err(TaskError::RetriesExhausted { attempts, source }) => {
            format!("RetriesExhausted, {attempts} attempts: {source}")
        }
        Err(TaskError::Failed(error)) => format!("Failed: {error}"),
        Err(TaskError::Panicked(panic)) => format!("Panicked: {panic}"),
        Err(other) => other.to_string(),
    };
    println!("{met:<32}  {ended:<46}  {used:?}");
}
