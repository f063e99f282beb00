//! Resources of `new_local` never leave their thread, so that they need not be `Send`.

use std::rc::Rc;
use tasker::{Config, TaskManager};

fn main() {
    let config = Config::<Rc<()>, String>::new(|| Ok(Rc::new(()))).worker_count(1);
    let manager = TaskManager::new_local(config).unwrap();
    assert_eq!(manager.queue_task(|_, resource| Ok(Rc::strong_count(resource))).unwrap(), 1);
    assert_eq!(manager.run_task(|_, resource| Ok(Rc::strong_count(resource))).unwrap(), 1);
    manager.stop().unwrap();
}
