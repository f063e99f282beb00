//! Tasks of an async manager run on whatever thread polls them, so that its resources must be `Send`.

use std::rc::Rc;
use tasker::{AsyncConfig, AsyncTaskManager};

async fn build() {
    let config = AsyncConfig::<Rc<()>, String>::new(|| async { Ok(Rc::new(())) });
    let _ = AsyncTaskManager::new(config).await;
}

fn main() {
    let _ = build;
}
