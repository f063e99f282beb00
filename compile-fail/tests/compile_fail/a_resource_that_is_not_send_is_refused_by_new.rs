//! Resources of `new` may be lent and pooled, so that they must be `Send`.

use std::rc::Rc;
use tasker::{Config, TaskManager};

fn main() {
    let config = Config::<Rc<()>, String>::new(|| Ok(Rc::new(())));
    let _ = TaskManager::new(config);
}
