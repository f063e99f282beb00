//! Opens two connections once and lets a dozen tasks take turns with them: the library in one page.
//!
//! `cargo run --example quickstart`

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use std::error::Error;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tasker::{Config, TaskContext, TaskManager};

/// What tasks fail with. Any `Send` type will do; this one takes every error that `?` meets.
type Failure = Box<dyn Error + Send + Sync>;

/// Stands for something that is expensive to make and that one task at a time may use.
struct Connection {
    number: u32,
    queries: u32,
}

impl Connection {
    fn open() -> Result<Self, Failure> {
        static OPENED: AtomicU32 = AtomicU32::new(0);
        let number = OPENED.fetch_add(1, Ordering::Relaxed) + 1;
        println!("  open   connection {number}");
        Ok(Self { number, queries: 0 })
    }

    fn length_of(&mut self, cx: &TaskContext, word: &str) -> Result<usize, Failure> {
        cx.sleep(Duration::from_millis(50))?; // the network; ends early if the task is cancelled
        self.queries += 1;
        if word.is_empty() { Err("there is no word".into()) } else { Ok(word.len()) }
    }

    fn close(self) -> Result<(), Failure> {
        println!("  close  connection {} after {} queries", self.number, self.queries);
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("Two workers, each with a connection of its own:");
    let config = Config::new(Connection::open)
        .on_destroy(Connection::close)
        .worker_count(2)
        .max_worker_count(2) // no burst workers; by default as many again come when tasks pile up
        .resource_pool_size(0); // no reserve for `run_task`; by default one connection per worker
    let manager = TaskManager::new(config)?;

    println!("\nA blocking call may borrow from its caller, here a word on the stack:");
    let word = String::from("borrowed");
    let length = manager.queue_task(|cx, connection| connection.length_of(cx, &word))?;
    println!("  {word:?} has {length} letters");

    println!("\nSubmitting returns at once; nine tasks share the two connections:");
    let words = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
    let handles = words.map(|word| manager.queue_task_async(move |cx, c| c.length_of(cx, word)));
    println!("  right after it: {} tasks are waiting", manager.stats().queued_tasks);
    let mut letters = 0;
    for handle in handles {
        letters += handle.wait()?;
    }
    println!("  all done: {letters} letters");

    println!("\nAn error of the task comes back to its caller; the connection stays open:");
    let failed = manager.queue_task(|cx, connection| connection.length_of(cx, ""));
    println!("  {failed:?}");

    println!("\nA callback is told the outcome, by the worker that finished the task:");
    manager.queue_task_with_callback(
        |cx, connection| connection.length_of(cx, "callback"),
        |outcome| println!("  called back with {outcome:?}"),
    );
    println!("  not yet: it is still running");

    println!("\nStopping lets it finish, closes every connection, and accounts for everything:");
    let report = manager.stop()?;
    println!("  {report}");
    Ok(())
}
