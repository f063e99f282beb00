//! A token that says "stop": cheap to clone, to ask and to wait for.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
#[cfg(feature = "tokio")]
use std::sync::{OnceLock, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

#[cfg(feature = "tokio")]
use tokio_util::sync::CancellationToken;

use crate::clock::real_now;
#[cfg(not(loom))]
use crate::sync::fence;
use crate::sync::{AtomicU8, Condvar, Mutex, Ordering};

const LIVE: u8 = 0;
const CANCELLED: u8 = 1;
const TIMED_OUT: u8 = 2;
/// A bit beside the reason: the future that polls the task is to drop it.
const ABORTED: u8 = 4;

/// Why a token was cancelled; the first reason stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    Cancelled,
    TimedOut,
}

/// A shared flag that can be set once, asked, and waited for by threads and futures.
///
/// Clones share the flag. A task finds its own in [`TaskContext::token`](crate::TaskContext::token);
/// a manager takes a parent in [`Config::shutdown_on`](crate::Config::shutdown_on).
///
/// ```
/// use tasker::CancelToken;
///
/// let token = CancelToken::new();
/// let seen = token.clone();
/// assert!(!seen.is_cancelled());
/// token.cancel();
/// seen.wait(); // returns at once
/// assert!(seen.is_cancelled());
/// ```
#[derive(Clone)]
pub struct CancelToken(Arc<Flag>);

struct Flag {
    state: AtomicU8,
    waiting: Mutex<Waiting>,
    changed: Condvar,
    #[cfg(feature = "tokio")]
    twin: OnceLock<CancellationToken>,
}

#[derive(Default)]
struct Waiting {
    next: u64,
    wakers: Vec<(u64, Waker)>,
    /// Who polls the task.
    poller: Option<Waker>,
}

impl CancelToken {
    /// A token that nobody has cancelled.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Flag {
            state: AtomicU8::new(LIVE),
            waiting: Mutex::new(Waiting::default()),
            changed: Condvar::new(),
            #[cfg(feature = "tokio")]
            twin: OnceLock::new(),
        }))
    }

    /// Cancels the token and wakes everyone who waits for it. Cancelling again changes nothing.
    ///
    /// # Panics
    ///
    /// A waker's panic goes on to the caller, after every other waiter has been woken.
    pub fn cancel(&self) {
        self.cancel_because(Why::Cancelled);
    }

    pub(crate) fn cancel_because(&self, why: Why) {
        let reason = match why {
            Why::Cancelled => CANCELLED,
            Why::TimedOut => TIMED_OUT,
        };
        // The store is made under the lock: a waiter that saw LIVE under it is inside `wait` before
        // the flag turns, so that the notification cannot pass it by.
        let wakers = {
            let mut waiting = self.0.waiting.lock();
            if self.0.state.load(Ordering::Relaxed) != LIVE {
                return;
            }
            self.0.state.store(reason, Ordering::Release);
            self.0.changed.notify_all();
            std::mem::take(&mut waiting.wakers)
        };
        // Outside the lock: a waker is somebody else's code. One that panics must not keep the others
        // from being woken; its panic goes on to whoever cancels.
        let mut panicked = None;
        for (_, waker) in wakers {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
                panicked.get_or_insert(payload);
            }
        }
        if let Some(payload) = panicked {
            resume_unwind(payload);
        }
    }

    /// Has whoever polls a task that was told to stop drop it. Only for a token that is cancelled, since that
    /// one is not used again.
    ///
    /// # Panics
    ///
    /// A waker's panic goes on to the caller.
    pub(crate) fn abort(&self) {
        let poller = {
            let mut waiting = self.0.waiting.lock();
            self.0.state.fetch_or(ABORTED, Ordering::Release);
            waiting.poller.take()
        };
        if let Some(waker) = poller {
            waker.wake();
        }
    }

    /// Whether the token has been cancelled.
    #[inline]
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.state.load(Ordering::Acquire) != LIVE
    }

    pub(crate) fn why(&self) -> Option<Why> {
        match self.0.state.load(Ordering::Acquire) & !ABORTED {
            LIVE => None,
            TIMED_OUT => Some(Why::TimedOut),
            _ => Some(Why::Cancelled),
        }
    }

    /// Blocks until the token is cancelled.
    pub fn wait(&self) {
        let mut waiting = self.0.waiting.lock();
        while !self.is_cancelled() {
            waiting = self.0.changed.wait(waiting);
        }
    }

    /// Blocks until the token is cancelled or `limit` has passed; says whether it was cancelled.
    ///
    /// ```
    /// use std::time::Duration;
    /// assert!(!tasker::CancelToken::new().wait_timeout(Duration::from_millis(1)));
    /// ```
    #[must_use = "false means that the time passed and nobody cancelled"]
    pub fn wait_timeout(&self, limit: Duration) -> bool {
        let Some(end) = real_now().checked_add(limit) else {
            self.wait();
            return true;
        };
        let mut waiting = self.0.waiting.lock();
        while !self.is_cancelled() {
            let left = end.saturating_duration_since(real_now());
            if left.is_zero() {
                return false;
            }
            waiting = self.0.changed.wait_timeout(waiting, left);
        }
        true
    }

    /// A future that ends when the token is cancelled.
    ///
    /// ```
    /// use std::future::Future;
    /// use std::task::{Context, Waker};
    ///
    /// let token = tasker::CancelToken::new();
    /// let mut stopped = std::pin::pin!(token.cancelled());
    /// let mut cx = Context::from_waker(Waker::noop());
    /// assert!(stopped.as_mut().poll(&mut cx).is_pending());
    /// token.cancel();
    /// assert!(stopped.as_mut().poll(&mut cx).is_ready());
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when it is dropped; it only stops listening.
    pub fn cancelled(&self) -> impl Future<Output = ()> + Send + Sync + use<> {
        WaitForCancel { token: self.clone(), key: None }
    }

    #[cfg(any(feature = "tokio", all(test, loom)))]
    pub(crate) fn is_aborted(&self) -> bool {
        self.0.state.load(Ordering::Acquire) & ABORTED != 0
    }

    /// Leaves the waker of whoever polls the task, to be woken when it is aborted; whether it is already.
    #[cfg(any(feature = "tokio", all(test, loom)))]
    pub(crate) fn on_abort(&self, waker: Option<Waker>) -> bool {
        let (aborted, before) = {
            let mut waiting = self.0.waiting.lock();
            (self.is_aborted(), std::mem::replace(&mut waiting.poller, waker))
        };
        let_go(before);
        aborted
    }

    /// Whether no more than `holders` clones of the token exist, and no twin that could cancel it.
    ///
    /// Exact only while no holder can clone: the callers hold the lock under which the others do. Ask this
    /// first and whether the token is cancelled afterwards: who held it may have cancelled it, and gone.
    pub(crate) fn held_by_at_most(&self, holders: usize) -> bool {
        #[cfg(shuttle)]
        crate::sync::yield_now(); // the count is std's: without this nobody comes between it and what was done before
        let few = Arc::strong_count(&self.0) <= holders;
        // The count is read without ordering. The fence makes seen whatever a holder did with its clone before
        // it dropped it. (In a model it would order what the crate does not, and hide mistakes.)
        #[cfg(not(loom))]
        fence(Ordering::Acquire);
        #[cfg(feature = "tokio")]
        let few = few && self.0.twin.get().is_none();
        few
    }

    /// The token of tokio-util that is cancelled with this one, where there is one: see `aio/token.rs`.
    #[cfg(feature = "tokio")]
    pub(crate) fn twin(&self) -> &OnceLock<CancellationToken> {
        &self.0.twin
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn downgrade(&self) -> WeakCancelToken {
        WeakCancelToken(Arc::downgrade(&self.0))
    }

    /// Wakes `waker` once, when the token is cancelled (at once if it is already).
    pub(crate) fn on_cancel(&self, waker: Waker) -> Option<u64> {
        let mut waiting = self.0.waiting.lock();
        if self.is_cancelled() {
            drop(waiting);
            waker.wake();
            return None;
        }
        let key = waiting.next;
        waiting.next += 1;
        waiting.wakers.push((key, waker));
        Some(key)
    }

    pub(crate) fn forget(&self, key: u64) {
        let found = {
            let mut waiting = self.0.waiting.lock();
            let at = waiting.wakers.iter().position(|(known, _)| *known == key);
            at.map(|at| waiting.wakers.swap_remove(at))
        };
        let_go(found.map(|(_, waker)| waker));
    }
}

/// Drops a waker: outside of every lock, since that is somebody else's code, and whatever comes of it.
fn let_go(waker: Option<Waker>) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(waker)))
        && let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload)))
    {
        std::mem::forget(again); // it may panic as well: leaking what is left is the lesser evil
    }
}

impl Default for CancelToken {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelToken").field("cancelled", &self.is_cancelled()).finish()
    }
}

/// A token that does not keep its flag: when the last [`CancelToken`] goes, there is nothing left to cancel.
#[cfg(feature = "tokio")]
pub(crate) struct WeakCancelToken(Weak<Flag>);

#[cfg(feature = "tokio")]
impl WeakCancelToken {
    pub(crate) fn upgrade(&self) -> Option<CancelToken> {
        self.0.upgrade().map(CancelToken)
    }
}

/// The future behind [`CancelToken::cancelled`].
struct WaitForCancel {
    token: CancelToken,
    key: Option<u64>,
}

impl Future for WaitForCancel {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(key) = self.key.take() {
            self.token.forget(key);
        }
        if self.token.is_cancelled() {
            return Poll::Ready(());
        }
        self.key = self.token.on_cancel(cx.waker().clone());
        // Cancelled between the look and the registration: the waker was woken already.
        Poll::Pending
    }
}

impl Drop for WaitForCancel {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.token.forget(key);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_stays() {
        let token = CancelToken::new();
        token.cancel_because(Why::TimedOut);
        token.cancel();
        assert_eq!(token.why(), Some(Why::TimedOut));
    }

    #[test]
    fn a_dropped_future_stops_listening() {
        let token = CancelToken::new();
        let mut future = Box::pin(token.cancelled());
        let waker = Waker::noop();
        for _ in 0..2 {
            assert!(future.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
            assert_eq!(
                token.0.waiting.lock().wakers.len(),
                1,
                "it leaves one, however often it is polled"
            );
        }
        drop(future);
        assert_eq!(token.0.waiting.lock().wakers.len(), 0);
    }

    // A program's own token outlives many managers, and would keep something of each.
    #[test]
    fn a_parent_forgets_a_manager_that_is_over_whatever_its_policy_does() {
        use crate::autoscale::{Load, Plan, ScalingPolicy};

        struct Policy(crate::testing::PanicsOnDrop);
        impl ScalingPolicy for Policy {
            fn plan(&mut self, load: &Load, _: std::time::Instant) -> Plan {
                Plan::hold(load, "it panics when it is dropped")
            }
        }
        let parent = CancelToken::new();
        let config = crate::Config::<(), String>::new(|| Ok(()));
        let config = config.scaling(Policy(crate::testing::PanicsOnDrop));
        let manager = crate::TaskManager::new(config.shutdown_on(parent.clone())).unwrap();
        assert_eq!(parent.0.waiting.lock().wakers.len(), 1);
        manager.stop().unwrap();
        assert_eq!(parent.0.waiting.lock().wakers.len(), 0);
    }

    #[cfg(feature = "tokio")]
    #[test]
    fn a_parent_forgets_an_async_manager_that_is_over_or_lost_its_runtime() {
        use crate::autoscale::{Load, Plan, ScalingPolicy};

        struct Policy(crate::testing::PanicsOnDrop);
        impl ScalingPolicy for Policy {
            fn plan(&mut self, load: &Load, _: std::time::Instant) -> Plan {
                Plan::hold(load, "it panics when it is dropped")
            }
        }
        for stops in [true, false] {
            let parent = CancelToken::new();
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let manager = runtime.block_on(async {
                let config = crate::AsyncConfig::<(), String>::new(async || Ok(()));
                let config = config.scaling(Policy(crate::testing::PanicsOnDrop));
                crate::AsyncTaskManager::new(config.shutdown_on(parent.clone())).await.unwrap()
            });
            assert_eq!(parent.0.waiting.lock().wakers.len(), 1);
            if stops {
                runtime.block_on(manager.stop()).unwrap();
            }
            drop(runtime);
            assert_eq!(parent.0.waiting.lock().wakers.len(), 0);
        }
    }

    // It was forgotten, which leaked it; the address sanitizer told.
    #[test]
    fn what_a_waker_panics_with_when_it_is_dropped_is_dropped_too() {
        struct Grenade(std::sync::Mutex<Option<Arc<()>>>);
        impl std::task::Wake for Grenade {
            fn wake(self: Arc<Self>) {}
        }
        impl Drop for Grenade {
            fn drop(&mut self) {
                std::panic::panic_any(self.0.lock().unwrap().take());
            }
        }
        let payload = Arc::new(());
        let grenade = Grenade(std::sync::Mutex::new(Some(Arc::clone(&payload))));
        let_go(Some(Waker::from(Arc::new(grenade))));
        assert_eq!(Arc::strong_count(&payload), 1);
    }

    #[test]
    fn a_waiting_thread_returns_when_the_token_is_cancelled() {
        let token = CancelToken::new();
        let waiter = token.clone();
        std::thread::scope(|scope| {
            scope.spawn(move || waiter.wait());
            token.cancel();
        });
    }
}
