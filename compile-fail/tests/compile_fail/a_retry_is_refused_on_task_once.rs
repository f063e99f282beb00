//! A task that runs once has nothing to run again, so that `max_retries` is not offered.

use tasker::{Config, TaskManager};

fn main() {
    let config = Config::<(), String>::new(|| Ok(()));
    let manager = TaskManager::new(config).unwrap();
    let _ = manager.task_once(|_, _| Ok(())).max_retries(1).run();
}
