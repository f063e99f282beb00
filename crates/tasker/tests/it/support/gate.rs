//! A gate that threads and futures wait at until a test opens it.

use std::future::poll_fn;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Poll, Waker};

use super::LIMIT;

/// Closed until it is opened; then open for ever. Clones are the same gate.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<State>, Condvar)>);

#[derive(Debug, Default)]
struct State {
    open: bool,
    /// How many have ever come to the gate, open or not.
    arrived: usize,
    /// Futures that wait.
    wakers: Vec<Waker>,
}

impl Gate {
    /// A closed gate.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Lets everybody through, now and from now on.
    pub(crate) fn open(&self) {
        let wakers = {
            let mut state = self.lock();
            state.open = true;
            std::mem::take(&mut state.wakers)
        };
        self.0.1.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn is_open(&self) -> bool {
        self.lock().open
    }

    /// Blocks until the gate is open.
    pub(crate) fn wait(&self) {
        let mut state = self.lock();
        state.arrived += 1;
        self.0.1.notify_all();
        let waited = self.0.1.wait_timeout_while(state, LIMIT, |state| !state.open);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let open = state.open;
        drop(state);
        assert!(open, "nobody opened the gate for {LIMIT:?}");
    }

    /// Counts somebody who has come to the gate and does not wait there.
    pub(crate) fn arrive(&self) {
        self.lock().arrived += 1;
        self.0.1.notify_all();
    }

    /// As [`wait`](Self::wait), for a future: it has no limit of its own.
    pub(crate) async fn passed(&self) {
        self.arrive();
        let pass = |cx: &mut std::task::Context<'_>| {
            let mut state = self.lock();
            if state.open {
                return Poll::Ready(());
            }
            state.wakers.push(cx.waker().clone());
            Poll::Pending
        };
        poll_fn(pass).await;
    }

    /// Blocks until `count` threads or futures have come to the gate, counted from its making.
    pub(crate) fn await_arrivals(&self, count: usize) {
        let waited = self.0.1.wait_timeout_while(self.lock(), LIMIT, |s| s.arrived < count);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let arrived = state.arrived;
        drop(state);
        assert!(arrived >= count, "{arrived} of {count} came to the gate in {LIMIT:?}");
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
