//! What time it is: the machine's clock, or one that tests move by hand.

#[cfg(feature = "testing")]
use std::sync::{Arc, Mutex, PoisonError};
#[cfg(feature = "testing")]
use std::time::Duration;
use std::time::Instant;

use crate::sync::{self, Thread};

/// The machine's monotonic clock. The only place that reads it.
#[expect(clippy::disallowed_methods, reason = "this is the door through which time comes in")]
pub(crate) fn real_now() -> Instant {
    #[cfg(not(shuttle))]
    return Instant::now();
    #[cfg(shuttle)]
    sync::time::now(Instant::now)
}

/// Where a manager gets its time from.
#[derive(Debug, Clone, Default)]
pub(crate) enum Clock {
    #[default]
    Real,
    /// That of the tokio runtime, which its tests can pause.
    #[cfg(feature = "tokio")]
    Runtime,
    #[cfg(feature = "testing")]
    Manual(ManualClock),
}

impl Clock {
    #[inline]
    pub(crate) fn now(&self) -> Instant {
        match self {
            Self::Real => real_now(),
            #[cfg(feature = "tokio")]
            Self::Runtime => tokio::time::Instant::now().into_std(),
            #[cfg(feature = "testing")]
            Self::Manual(clock) => clock.now(),
        }
    }

    /// Parks until unparked or until `at`; may return early.
    pub(crate) fn park_until(&self, at: Instant) {
        match self {
            Self::Real => sync::park_timeout(at.saturating_duration_since(real_now())),
            #[cfg(feature = "tokio")]
            Self::Runtime => unreachable!("no thread waits for a runtime's time"),
            #[cfg(feature = "testing")]
            Self::Manual(_) => sync::park(),
        }
    }

    /// Whether a short timed nap makes sense: by hand-moved time it would never end.
    pub(crate) fn naps(&self) -> bool {
        matches!(self, Self::Real)
    }

    /// Tells a hand-moved clock whom to wake when it moves.
    pub(crate) fn subscribe(&self, _thread: &Thread) {
        #[cfg(feature = "testing")]
        if let Self::Manual(clock) = self {
            clock.lock().sleepers.push(_thread.clone());
        }
    }
}

/// A clock that stands still until it is moved, for tests of what happens "later".
///
/// Give it to a manager with [`Config::clock`](crate::Config::clock) and move it with
/// [`advance`](Self::advance): retries, deadlines, timeouts and scaling ticks that are due then happen
/// at once, without waiting. Waits of the caller itself (`wait_timeout`, `stop_within`) and
/// [`TaskContext::sleep`](crate::TaskContext::sleep) stay on real time.
///
/// ```
/// use std::time::Duration;
/// use tasker::testing::ManualClock;
///
/// let clock = ManualClock::new();
/// let before = clock.now();
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.now() - before, Duration::from_secs(60));
/// ```
#[cfg(feature = "testing")]
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<Mutex<Hand>>);

#[cfg(feature = "testing")]
#[derive(Debug)]
struct Hand {
    now: Instant,
    sleepers: Vec<Thread>,
}

#[cfg(feature = "testing")]
impl ManualClock {
    /// A clock that shows the present moment and stays there.
    ///
    /// ```
    /// use tasker::testing::{Kit, ManualClock};
    /// use tasker::TaskManager;
    ///
    /// let clock = ManualClock::new();
    /// let manager = TaskManager::new(Kit::new().config().clock(clock.clone()))?; // one clock, held twice
    /// # manager.stop()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Hand { now: real_now(), sleepers: Vec::new() })))
    }

    /// What the clock shows.
    ///
    /// ```
    /// let clock = tasker::testing::ManualClock::new();
    /// let before = clock.now();
    /// std::thread::yield_now();
    /// assert_eq!(clock.now(), before); // however long that took
    /// ```
    #[must_use]
    pub fn now(&self) -> Instant {
        self.lock().now
    }

    /// Moves the clock on by `step` and wakes whoever waits for it. What is due is done on the manager's own
    /// thread, perhaps after this has returned: wait for what comes of it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tasker::testing::{Gate, Kit, ManualClock};
    /// use tasker::{TaskError, TaskManager};
    ///
    /// let clock = ManualClock::new();
    /// let manager = TaskManager::new(Kit::new().config().worker_count(1).clock(clock.clone()))?;
    /// let (gate, minute) = (Gate::new(), Duration::from_secs(60));
    /// let inside = gate.clone();
    /// let busy = manager.task_once(move |_, _| Ok(inside.wait())).submit();
    /// gate.await_arrivals(1);
    /// let late = manager.task(|_, _| Ok(())).start_within(minute).submit();
    /// clock.advance(minute); // takes no time
    /// assert!(matches!(late.wait(), Err(TaskError::Expired)));
    /// gate.open();
    /// busy.wait()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn advance(&self, step: Duration) {
        let mut hand = self.lock();
        hand.now += step;
        for sleeper in &hand.sleepers {
            sleeper.unpark();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Hand> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(feature = "testing")]
impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}
