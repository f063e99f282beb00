//! A submitted task outlives the call, so that its async closure may not borrow from the caller's stack.

use tasker::{AsyncTaskManager, TaskContext};

async fn submit(manager: &AsyncTaskManager<(), String>) {
    let text = String::from("borrowed");
    let task = async |_: &TaskContext, _: &mut ()| Ok(text.len());
    let _ = manager.task(task).submit().await;
}

fn main() {
    let _ = submit;
}
