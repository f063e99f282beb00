//! An async task cannot hand its resource out as its result.

use tasker::AsyncTaskManager;

async fn queue(manager: &AsyncTaskManager<String, String>) {
    let _ = manager.queue_task(async |_, resource| Ok(resource)).await;
}

fn main() {
    let _ = queue;
}
