//! An async task gets its resource for the time of one attempt and cannot keep the reference.

use tasker::AsyncTaskManager;

async fn queue(manager: &AsyncTaskManager<String, String>) {
    let mut kept: Option<&mut String> = None;
    let _ = manager.queue_task(async |_, resource| Ok(kept = Some(resource))).await;
    drop(kept);
}

fn main() {
    let _ = queue;
}
