//! What the run tells its monitor, and what the monitor and Ctrl-C tell the run.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Shared by everybody.
#[derive(Debug, Default)]
pub(crate) struct Board {
    over: AtomicBool,
    interrupted: AtomicBool,
    /// The generation that is at work.
    generation: Mutex<String>,
    /// Generations that have begun and ended.
    pub(crate) begun: AtomicU64,
    pub(crate) ended: AtomicU64,
    /// The longest time in which no task ended, in microseconds, and where that was.
    longest_stall: AtomicU64,
    stalled_in: Mutex<String>,
    /// The run is over, verdict included.
    pub(crate) closed: AtomicBool,
}

impl Board {
    /// No more tasks are to be handed in.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// The same, because the user said so; `false` if that was said before.
    pub(crate) fn interrupt(&self) -> bool {
        self.end();
        !self.interrupted.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    pub(crate) fn begin(&self, generation: String) {
        *self.generation.lock().unwrap_or_else(PoisonError::into_inner) = generation;
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn generation(&self) -> String {
        self.generation.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// No task ended for so long.
    pub(crate) fn stalled(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        if self.longest_stall.fetch_max(micros, Ordering::Relaxed) < micros {
            *self.stalled_in.lock().unwrap_or_else(PoisonError::into_inner) = self.generation();
        }
    }

    pub(crate) fn longest_stall(&self) -> (Duration, String) {
        let stalled_in = self.stalled_in.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (Duration::from_micros(self.longest_stall.load(Ordering::Relaxed)), stalled_in)
    }
}
