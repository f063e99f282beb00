//! An async task that runs once has nothing to run again, so that `max_retries` is not offered.

use tasker::AsyncTaskManager;

async fn queue(manager: &AsyncTaskManager<(), String>) {
    let _ = manager.task_once(async |_, _| Ok(())).max_retries(1).await;
}

fn main() {
    let _ = queue;
}
