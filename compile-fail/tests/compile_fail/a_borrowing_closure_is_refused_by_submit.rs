//! A submitted task outlives the call, so that its closure may not borrow from the caller's stack.

use tasker::{Config, TaskManager};

fn main() {
    let config = Config::<(), String>::new(|| Ok(()));
    let manager = TaskManager::new(config).unwrap();
    let text = String::from("borrowed");
    let handle = manager.task(|_, _| Ok(text.len())).submit();
    let _ = handle.wait();
}
