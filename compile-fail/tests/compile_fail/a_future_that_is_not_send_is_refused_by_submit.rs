//! A submitted task is spawned, so that what it holds across an await must be `Send`.

use std::rc::Rc;
use tasker::{AsyncTaskManager, TaskContext};

async fn submit(manager: &AsyncTaskManager<(), String>) {
    let task = async move |_: &TaskContext, _: &mut ()| {
        let mine = Rc::new(());
        std::future::ready(()).await;
        drop(mine);
        Ok(())
    };
    let _ = manager.task(task).submit().await;
}

fn main() {
    let _ = submit;
}
