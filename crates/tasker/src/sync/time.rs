//! Time as shuttle's tests have it: it stands still, except that a wait with a limit may last that long.
//!
//! Shuttle knows no time: its own timed waits end only when somebody wakes them. Here the schedule decides
//! how such a wait ends. Either its limit has passed, or it ends early; every caller looks again, so that a
//! wake-up is one of the reasons. All threads of a test run on one thread of the system, which keeps the
//! time for them.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::sync::{OnceLock, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use shuttle::rand::{Rng, thread_rng};
use shuttle::{sync, thread};

use super::{Condvar, Mutex};

std::thread_local! {
    static PASSED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// What time it is. `start` is asked once.
pub(crate) fn now(start: impl FnOnce() -> Instant) -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(start) + PASSED.get()
}

/// Lets others run, for at most `limit`.
fn pass(limit: Duration) {
    // A yield, so that a schedule of priorities does not wait for who waits.
    thread::yield_now();
    if thread_rng().r#gen() {
        PASSED.set(PASSED.get() + limit);
    }
}

/// As [`park_timeout`](super::park_timeout).
pub(super) fn park(limit: Duration) {
    pass(limit);
    // A wake-up that has come meanwhile is used up, or came just too late and is left for the next park.
    if thread_rng().r#gen() {
        thread::current().unpark();
        thread::park();
    }
}

/// What a [`Mutex`] guards, with the way back to it for who waits with a limit.
pub(crate) struct Guard<'a, T> {
    held: sync::MutexGuard<'a, T>,
    mutex: &'a Mutex<T>,
}

impl<T> Mutex<T> {
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        Guard { held: self.0.lock().unwrap_or_else(PoisonError::into_inner), mutex: self }
    }

    pub(crate) fn try_lock(&self) -> Option<Guard<'_, T>> {
        let held = match self.0.try_lock() {
            Ok(held) => held,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        Some(Guard { held, mutex: self })
    }
}

impl Condvar {
    pub(crate) fn wait<'a, T>(&self, guard: Guard<'a, T>) -> Guard<'a, T> {
        let Guard { held, mutex } = guard;
        Guard { held: self.0.wait(held).unwrap_or_else(PoisonError::into_inner), mutex }
    }

    pub(crate) fn wait_timeout<'a, T>(&self, guard: Guard<'a, T>, limit: Duration) -> Guard<'a, T> {
        let Guard { held, mutex } = guard;
        drop(held);
        pass(limit);
        mutex.lock()
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.held
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.held
    }
}
