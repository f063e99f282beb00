//! A builder does nothing by itself, and the compiler warns of one that is left lying.
#![deny(unused_must_use)]

use tasker::{Config, Priority, TaskManager};

fn main() {
    let config = Config::<(), String>::new(|| Ok(()));
    let manager = TaskManager::new(config).unwrap();
    manager.task(|_, _| Ok(())).priority(Priority::High);
    manager.task_once(|_, _| Ok(()));
}
