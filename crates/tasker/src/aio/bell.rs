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

#[cfg(all(test, not(loom)))]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::Context;

    use super::*;

    // Whoever sleeps on it has looked before: what it is rung for may have come in between.
    #[test]
    fn a_ring_that_nobody_hears_is_kept() {
        for by_reference in [false, true] {
            let bell = Bell::new();
            let Waiter::Waker(waker) = bell.waiter() else { panic!("it is rung by a waker") };
            if by_reference {
                waker.wake_by_ref();
            } else {
                waker.wake();
            }
            let mut cx = Context::from_waker(Waker::noop());
            assert!(pin!(bell.rung()).poll(&mut cx).is_ready());
            assert!(pin!(bell.rung()).poll(&mut cx).is_pending(), "it has been heard");
        }
    }
}
