//! A task gets its resource for the time of one attempt and cannot keep the reference.

use tasker::{Config, TaskManager};

fn main() {
    let config = Config::<String, String>::new(|| Ok(String::new()));
    let manager = TaskManager::new(config).unwrap();
    let mut kept: Option<&mut String> = None;
    let _ = manager.task(|_, resource| Ok(kept = Some(resource))).run();
    drop(kept);
}
