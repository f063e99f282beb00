//! A builder does nothing by itself, and the compiler warns of one that is left lying.
#![deny(unused_must_use)]

use tasker::{AsyncTaskManager, Priority};

async fn forget(manager: &AsyncTaskManager<(), String>) {
    manager.task(async |_, _| Ok(())).priority(Priority::High);
    manager.task_once(async |_, _| Ok(()));
    manager.queue_task(async |_, _| Ok(()));
}

fn main() {
    let _ = forget;
}
