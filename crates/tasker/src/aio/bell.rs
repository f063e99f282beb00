//! What a spawned task sleeps on: a ring that comes while nobody listens is kept, as a thread keeps an
//! unpark.

use std::sync::Arc;
use std::task::{Wake, Waker};

use tokio::sync::Notify;

use crate::sync::Waiter;

#[derive(Default)]
pub(crate) struct Bell(Notify);

impl Bell {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Whoever is handed this can ring.
    pub(crate) fn waiter(self: &Arc<Self>) -> Waiter {
        Waiter::Waker(Waker::from(Arc::clone(self)))
    }

    /// Sleeps until it rings; may return early, so that every caller looks again.
    pub(crate) async fn rung(&self) {
        self.0.notified().await;
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.notify_one();
    }
}
