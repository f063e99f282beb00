//! The one door to locks, atomics and parking: std's, or those of loom or shuttle where tests ask for them.

#[cfg(shuttle)]
pub(crate) mod time;

#[cfg(not(any(loom, shuttle)))]
use std::{sync as imp, thread as threads};

#[cfg(loom)]
use loom::{sync as imp, thread as threads};

#[cfg(shuttle)]
use shuttle::{sync as imp, thread as threads};

#[cfg(not(shuttle))]
use std::sync::{PoisonError, TryLockError};
use std::task::Waker;

#[cfg(not(loom))]
pub(crate) use imp::atomic::fence;
pub(crate) use imp::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

// Shuttle runs all of a test's threads on one of the system's, so that they must not share std's.
#[cfg(shuttle)]
pub(crate) use shuttle::thread_local;
#[cfg(not(shuttle))]
pub(crate) use std::thread_local;

/// Hands out numbers. It orders nothing else, so that a model need not explore it.
#[derive(Debug, Default)]
pub(crate) struct Numbers(std::sync::atomic::AtomicU64);

impl Numbers {
    pub(crate) const fn new() -> Self {
        Self(std::sync::atomic::AtomicU64::new(0))
    }

    /// The next one; the first is 1.
    pub(crate) fn next(&self) -> u64 {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1
    }
}

/// A mutex without poisoning: no user code ever runs under one, so a panic inside is our own bug and
/// must not turn into a caller that waits for ever.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(imp::Mutex<T>);

#[cfg(not(shuttle))]
pub(crate) type Guard<'a, T> = imp::MutexGuard<'a, T>;
#[cfg(shuttle)]
pub(crate) use time::Guard;

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(imp::Mutex::new(value))
    }

    #[cfg(not(shuttle))]
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lock, unless somebody has it now.
    #[cfg(not(shuttle))]
    pub(crate) fn try_lock(&self) -> Option<Guard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

/// A condition variable for [`Mutex`].
#[derive(Debug, Default)]
pub(crate) struct Condvar(imp::Condvar);

impl Condvar {
    pub(crate) fn new() -> Self {
        Self(imp::Condvar::new())
    }

    #[cfg(not(shuttle))]
    pub(crate) fn wait<'a, T>(&self, guard: Guard<'a, T>) -> Guard<'a, T> {
        self.0.wait(guard).unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits at most `limit`; may return early, so the caller checks its condition and its clock.
    #[cfg(not(shuttle))]
    pub(crate) fn wait_timeout<'a, T>(
        &self,
        guard: Guard<'a, T>,
        limit: std::time::Duration,
    ) -> Guard<'a, T> {
        match self.0.wait_timeout(guard, limit) {
            Ok((guard, _)) => guard,
            Err(poisoned) => poisoned.into_inner().0,
        }
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// A thread that can be woken from [`park`].
#[derive(Debug, Clone)]
pub(crate) struct Thread(threads::Thread);

impl Thread {
    pub(crate) fn current() -> Self {
        Self(threads::current())
    }

    pub(crate) fn unpark(&self) {
        self.0.unpark();
    }
}

/// Somebody who waits for a change: a parked thread, or a future that will be polled again.
#[derive(Debug, Clone)]
pub(crate) enum Waiter {
    Thread(Thread),
    /// Its clone, wake and drop are somebody else's code, so that none of them runs under a lock.
    #[cfg_attr(not(feature = "tokio"), allow(dead_code, reason = "threads leave none"))]
    Waker(Waker),
}

impl Waiter {
    /// The calling thread.
    pub(crate) fn me() -> Self {
        Self::Thread(Thread::current())
    }

    pub(crate) fn wake(self) {
        match self {
            Self::Thread(thread) => thread.unpark(),
            Self::Waker(waker) => waker.wake(),
        }
    }
}

/// Sleeps until the thread is unparked; may return early, so every caller loops over its condition.
pub(crate) fn park() {
    threads::park();
}

/// Lets another thread run first, if one can.
pub(crate) fn yield_now() {
    threads::yield_now();
}

/// Sleeps until the thread is unparked or `limit` has passed.
pub(crate) fn park_timeout(limit: std::time::Duration) {
    #[cfg(not(any(loom, shuttle)))]
    threads::park_timeout(limit);
    #[cfg(shuttle)]
    time::park(limit);
    // A model has no time: a nap is any moment at which others may run.
    #[cfg(loom)]
    {
        let _ = limit;
        yield_now();
    }
}
