//! A value under a lock that others wait for, and how long they do.

use std::time::{Duration, Instant};

use crate::clock::real_now;
use crate::sync::{Condvar, Mutex};

/// How long anything in [`testing`](crate::testing) waits before it panics and says what it waited for: 20 s,
/// which is far more than anything takes on a machine that is not ill, and less than a test runner's
/// patience.
///
/// ```
/// use std::time::Duration;
/// assert_eq!(tasker::testing::LIMIT, Duration::from_secs(20));
/// ```
pub const LIMIT: Duration = Duration::from_secs(20);

/// The closures that its methods take run under the lock, so that none of them may call code of the user's.
#[derive(Default)]
pub(super) struct Watched<T> {
    value: Mutex<T>,
    changed: Condvar,
}

impl<T> Watched<T> {
    pub(super) fn look<V>(&self, look: impl FnOnce(&T) -> V) -> V {
        look(&self.value.lock())
    }

    /// Changes the value, and has everybody who waits look again.
    pub(super) fn change<V>(&self, change: impl FnOnce(&mut T) -> V) -> V {
        let told = change(&mut self.value.lock());
        self.changed.notify_all();
        told
    }

    /// Blocks until `find` finds something, at most until `end`.
    pub(super) fn wait_for<V>(
        &self,
        end: Instant,
        mut find: impl FnMut(&T) -> Option<V>,
    ) -> Option<V> {
        let mut value = self.value.lock();
        loop {
            let found = find(&value);
            let left = end.saturating_duration_since(real_now());
            if found.is_some() || left.is_zero() {
                return found;
            }
            value = self.changed.wait_timeout(value, left);
        }
    }
}

/// When whoever begins to wait now gives up.
pub(super) fn end_of_patience() -> Instant {
    real_now() + LIMIT
}
