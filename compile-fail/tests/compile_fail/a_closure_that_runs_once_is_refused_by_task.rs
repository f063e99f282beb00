//! `task` may run its closure again, so that one which gives something away belongs to `task_once`.

use tasker::{Config, TaskManager};

fn main() {
    let config = Config::<(), String>::new(|| Ok(()));
    let manager = TaskManager::new(config).unwrap();
    let text = String::from("given away");
    let _ = manager.task(move |_, _| Ok(text)).run();
}
