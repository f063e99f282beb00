//! A task cannot hand its resource out as its result.

use tasker::{Config, TaskManager};

fn main() {
    let config = Config::<String, String>::new(|| Ok(String::new()));
    let manager = TaskManager::new(config).unwrap();
    let _ = manager.queue_task(|_, resource| Ok(resource));
}
