//! What is awaited in place ends before its caller's stack does, and need not be `Send` either.

use std::cell::Cell;
use std::rc::Rc;
use tasker::AsyncTaskManager;

async fn queue(manager: &AsyncTaskManager<(), String>) {
    let (mut seen, mine) = (Vec::new(), Rc::new(Cell::new(0)));
    let _ = manager.queue_task(async |_, _| Ok(seen.push(1))).await;
    let _ = manager.task(async |_, _| Ok(mine.set(1))).max_retries(1).await;
    let _ = manager.run_task(async |_, _| Ok(seen.push(2))).await;
}

fn main() {
    let _ = queue;
}
