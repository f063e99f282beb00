//! A blocking call ends before the caller's stack does, so that its closure may borrow from it.

use tasker::{Config, TaskManager};

fn main() {
    let config = Config::<(), String>::new(|| Ok(())).worker_count(1).lending(false);
    let manager = TaskManager::new(config).unwrap();
    let mut seen = Vec::new();
    manager.task(|_, _| Ok(seen.push(1))).run().unwrap();
    manager.run_task(|_, _| Ok(seen.push(2))).unwrap();
    assert_eq!(seen, [1, 2]);
}
