//! Awaits tasks from async code: handles are futures, and the runtime's only thread never blocks.
//!
//! `cargo run --example from_async`
//!
//! Use it when the work itself blocks or computes (a database driver, a model, a compressor) while the
//! program around it is async. Building and stopping a manager block, so `main` does both outside.

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use std::error::Error;
use std::time::Duration;

use tasker::{Config, TaskContext, TaskManager};
use tokio::time::{Instant, interval, timeout};

type Failure = Box<dyn Error + Send + Sync>;

/// Stands for a model that answers slowly and one question at a time.
struct Model;

impl Model {
    fn answer(&mut self, cx: &TaskContext, millis: u64) -> Result<u64, Failure> {
        cx.sleep(Duration::from_millis(millis))?;
        Ok(millis)
    }
}

fn main() -> Result<(), Failure> {
    let config = Config::new(|| Ok(Model)).worker_count(3).resource_pool_size(0);
    let manager = TaskManager::new(config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    runtime.block_on(serve(&manager))?;
    println!("\nThe loser was let go, but not cancelled: the stop waits for it.");
    println!("{}", manager.stop()?);
    Ok(())
}

async fn serve(manager: &TaskManager<Model, Failure>) -> Result<(), Failure> {
    let ask = |millis| manager.queue_task_async(move |cx, model| model.answer(cx, millis));

    // Runs on the same single thread as everything below: it would stop beating if that blocked.
    let heart = tokio::spawn(async {
        let mut beats = interval(Duration::from_millis(100));
        loop {
            beats.tick().await;
            println!("        (the runtime is alive)");
        }
    });

    println!("Three tasks side by side:");
    let start = Instant::now();
    let (a, b, c) = tokio::join!(ask(200), ask(250), ask(300));
    println!("  {} + {} + {} ms of work took {:.0?}", a?, b?, c?, start.elapsed());

    println!("\nA caller that loses patience after 150 ms, and cancels:");
    let mut slow = ask(10_000);
    match timeout(Duration::from_millis(150), &mut slow).await {
        Ok(answer) => println!("  in time: {}", answer?),
        Err(_) => {
            println!("  no answer yet; the task is {:?}", slow.status());
            slow.cancel(); // dropping the handle would only stop the waiting, not the task
            println!("  it ends as: {:?}", slow.await);
        }
    }

    println!("\nThe first of two answers:");
    tokio::select! {
        answer = ask(120) => println!("  {} ms won", answer?),
        answer = ask(350) => println!("  {} ms won", answer?),
    }

    heart.abort();
    Ok(())
}
