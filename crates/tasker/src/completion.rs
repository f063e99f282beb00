//! The one-shot cell between whoever finishes a task and whoever waits for it, thread or future.

use std::task::{Poll, Waker};
use std::time::Duration;

use crate::clock::real_now;
use crate::sync::{AtomicU8, Condvar, Mutex, Ordering};
use crate::worker::attempt::discard;

/// Filled once; emptied once. The first filling wins.
#[derive(Debug)]
pub(crate) struct Completion<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    /// Not zero: nobody will ask any more, since the value has been given out or whoever would have asked has let go.
    /// Written under the lock.
    closed: AtomicU8,
}

#[derive(Debug)]
enum State<T> {
    Empty(Expected),
    Full(T),
    Taken,
}

/// Who waits. Most tasks that are submitted end before anybody does, and to notify nobody is a system call.
#[derive(Debug, Default)]
struct Expected {
    by_threads: bool,
    by: Option<Waker>,
}

impl<T> Completion<T> {
    pub(crate) fn new() -> Self {
        let state = Mutex::new(State::Empty(Expected::default()));
        Self { state, changed: Condvar::new(), closed: AtomicU8::new(0) }
    }

    /// Fills the cell and wakes who waits. Gives the value back if the cell was filled before, or nobody wants it.
    pub(crate) fn complete(&self, value: T) -> Result<(), T> {
        let mut state = self.state.lock();
        let State::Empty(expected) = &mut *state else { return Err(value) };
        if self.is_closed() {
            *state = State::Taken;
            return Err(value);
        }
        let Expected { by_threads, by } = std::mem::take(expected);
        *state = State::Full(value);
        if by_threads {
            // Under the lock: whoever waits is inside `wait`. Who comes later sees the value.
            self.changed.notify_all();
        }
        drop(state);
        if let Some(waker) = by {
            waker.wake(); // outside the lock: a waker is somebody else's code
        }
        Ok(())
    }

    /// Whether nobody will ask any more. A guess for those who have no lock.
    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed) != 0
    }

    /// Whoever would have asked does not any more. What is there is dropped here, and what comes later by whoever brings
    /// it.
    pub(crate) fn let_go(&self) {
        if self.is_closed() {
            return;
        }
        let mut state = self.state.lock();
        self.closed.store(1, Ordering::Relaxed);
        let (value, waker) = match &mut *state {
            State::Empty(expected) => (None, expected.by.take()),
            State::Full(_) => (self.take(&mut state), None),
            State::Taken => (None, None),
        };
        drop(state);
        discard(waker); // outside the lock, and so is the value
        drop(value);
    }

    pub(crate) fn is_complete(&self) -> bool {
        !matches!(*self.state.lock(), State::Empty(_))
    }

    /// Blocks until the cell is full and empties it.
    pub(crate) fn wait(&self) -> T {
        let mut state = self.state.lock();
        loop {
            if let Some(value) = self.take(&mut state) {
                return value;
            }
            expect(&mut state);
            state = self.changed.wait(state);
        }
    }

    /// As [`wait`](Self::wait), for at most `limit`.
    pub(crate) fn wait_timeout(&self, limit: Duration) -> Option<T> {
        let Some(end) = real_now().checked_add(limit) else {
            return Some(self.wait());
        };
        let mut state = self.state.lock();
        loop {
            if let Some(value) = self.take(&mut state) {
                return Some(value);
            }
            let left = end.saturating_duration_since(real_now());
            if left.is_zero() {
                return None;
            }
            expect(&mut state);
            state = self.changed.wait_timeout(state, left);
        }
    }

    pub(crate) fn poll(&self, waker: &Waker) -> Poll<T> {
        // Cloned before the lock: a waker's clone is somebody else's code.
        let mut fresh = Some(waker.clone());
        let mut state = self.state.lock();
        if let Some(value) = self.take(&mut state) {
            drop(state);
            discard(fresh);
            return Poll::Ready(value);
        }
        let old = match &mut *state {
            State::Empty(expected) => std::mem::replace(&mut expected.by, fresh.take()),
            State::Full(_) | State::Taken => None,
        };
        drop(state);
        discard(old); // outside the lock, as above
        Poll::Pending
    }
}

/// A thread is going to wait.
fn expect<T>(state: &mut State<T>) {
    if let State::Empty(expected) = state {
        expected.by_threads = true;
    }
}

impl<T> Completion<T> {
    fn take(&self, state: &mut State<T>) -> Option<T> {
        match state {
            State::Empty(_) => None,
            State::Taken => panic!("a task's outcome was asked for after it had been given"),
            State::Full(_) => match std::mem::replace(state, State::Taken) {
                State::Full(value) => {
                    self.closed.store(1, Ordering::Relaxed);
                    Some(value)
                }
                State::Empty(_) | State::Taken => {
                    unreachable!("matched just above, under the same lock")
                }
            },
        }
    }
}
