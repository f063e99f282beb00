//! `task` may run its async closure again, so that one which gives something away belongs to `task_once`.

use tasker::AsyncTaskManager;

async fn queue(manager: &AsyncTaskManager<(), String>) {
    let text = String::from("given away");
    let _ = manager.task(async move |_, _| Ok(text)).await;
}

fn main() {
    let _ = queue;
}
