//! DECISION: what a scaling policy is asked, what it answers, and how a reason reads.

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, Instant};

use super::Load;

/// Decides how many workers there should be. Give one to
/// [`Config::scaling`](crate::Config::scaling); the default is [`BreakEven`](super::BreakEven).
///
/// A policy is a function of what it is shown and of what it remembers itself: it reads no clock and
/// touches nothing. It is asked on the manager's timekeeper, never under a lock: when a task comes while
/// nobody is idle (at most once a millisecond, and less often where creations are slow), and every
/// [`burst_interval`](crate::Config::burst_interval) while there is anything to scale. Every deadline
/// of the manager waits while it thinks, so it should think for microseconds.
///
/// Whatever it plans, the manager keeps `worker_count ≤ workers ≤ max_worker_count`, dismisses idle
/// workers only, and starts a creation when tasks wait and nobody has or makes a resource. A plan beyond
/// these limits is cut to them and logged as a warning, once while it stays the same; a panic is caught,
/// logged, and changes nothing.
///
/// ```
/// use std::time::Instant;
/// use tasker::autoscale::{Load, Plan, ScalingPolicy};
/// use tasker::{Config, TaskManager};
///
/// /// One worker for every four tasks that wait.
/// struct Quarter;
///
/// impl ScalingPolicy for Quarter {
///     fn plan(&mut self, load: &Load, _now: Instant) -> Plan {
///         let more = load.queued / 4;
///         Plan::new(load.workers() + more, format!("{} tasks wait", load.queued))
///     }
/// }
///
/// let config = Config::<(), String>::new(|| Ok(())).worker_count(1).max_worker_count(8);
/// let manager = TaskManager::new(config.scaling(Quarter))?;
/// # manager.stop()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait ScalingPolicy: Send + 'static {
    /// How many workers there should be, and why. [`Plan::hold`] leaves things as they are.
    fn plan(&mut self, load: &Load, now: Instant) -> Plan;

    /// Whether the policy can work within these limits; asked once, by `TaskManager::new`, which gives
    /// the text back as an error. Default: it can.
    ///
    /// # Errors
    ///
    /// A text that says what contradicts what.
    fn check(&self, worker_count: usize, max_worker_count: usize) -> Result<(), String> {
        let _ = (worker_count, max_worker_count);
        Ok(())
    }
}

impl<P: ScalingPolicy + ?Sized> ScalingPolicy for Box<P> {
    fn plan(&mut self, load: &Load, now: Instant) -> Plan {
        (**self).plan(load, now)
    }

    fn check(&self, worker_count: usize, max_worker_count: usize) -> Result<(), String> {
        (**self).check(worker_count, max_worker_count)
    }
}

/// What a policy answers.
#[must_use]
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// How many workers there should be, those that are making their resource included.
    pub workers: usize,
    /// Why, whether or not that changes anything.
    pub reason: Reason,
}

impl Plan {
    /// So many workers, for this reason. A text will do for the reason: it becomes [`Reason::Custom`].
    pub fn new(workers: usize, reason: impl Into<Reason>) -> Self {
        Self { workers, reason: reason.into() }
    }

    /// The same, cut to what there may be. What is beyond that is cut anyway, and logged as a fault of
    /// the policy.
    pub fn within(self, load: &Load) -> Self {
        Self { workers: self.workers.min(load.max_worker_count.max(load.workers())), ..self }
    }

    /// As many as there are.
    pub fn hold(load: &Load, reason: impl Into<Reason>) -> Self {
        Self::new(load.workers(), reason)
    }
}

/// Why there are so many workers, with the numbers that the decision was made of. Prints as one
/// sentence without its full stop.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub enum Reason {
    /// Work would still wait when a worker begun now is ready.
    #[non_exhaustive]
    Surge {
        /// Tasks that wait.
        queued: usize,
        /// How long a task takes on average.
        service_time: Duration,
        /// Tasks that come, per second.
        arrival_rate: f64,
        /// How long a resource takes to make.
        creation_time: Duration,
    },
    /// The demand of the last while needs so many.
    #[non_exhaustive]
    Demand {
        /// Workers that the tasks keep busy: arrivals per second times seconds of service.
        erlangs: f64,
        /// Workers beyond that, so that few tasks wait.
        spare: f64,
    },
    /// The coldest worker beyond the base has been idle for as long as it is worth keeping.
    #[non_exhaustive]
    Idle {
        /// How long it has been idle.
        idle_for: Duration,
        /// The time from which on it is not worth keeping.
        limit: Duration,
    },
    /// There are enough.
    #[non_exhaustive]
    Enough {
        /// Workers that the tasks keep busy.
        erlangs: f64,
        /// Tasks that wait.
        queued: usize,
    },
    /// Tasks come faster than they are completed.
    #[non_exhaustive]
    Rate {
        /// Tasks that come, per second.
        arrival_rate: f64,
        /// Tasks that are completed, per second.
        completion_rate: f64,
    },
    /// The policy asks for a number that does not depend on the load.
    Fixed,
    /// [`Config::min_idle`](crate::Config::min_idle) asks for idle workers.
    #[non_exhaustive]
    MinIdle {
        /// Workers in use.
        in_use: usize,
        /// Idle workers to have beside them.
        min_idle: usize,
    },
    /// The worker was idle longer than [`Config::idle_timeout`](crate::Config::idle_timeout).
    #[non_exhaustive]
    IdleTimeout {
        /// How long it has been idle.
        idle_for: Duration,
    },
    /// [`resize`](crate::TaskManager::resize) changed the limits, or workers below
    /// [`worker_count`](crate::Config::worker_count) are missing.
    #[non_exhaustive]
    Resized {
        /// Workers that are always there.
        worker_count: usize,
        /// How many there may be.
        max_worker_count: usize,
    },
    /// Tasks wait and nobody has or makes a resource.
    #[non_exhaustive]
    Nobody {
        /// Tasks that wait.
        queued: usize,
    },
    /// A burst worker that gets no resource is not needed either.
    Unequipped,
    /// Every worker is held up by a task that waits for another task of the same manager.
    #[non_exhaustive]
    Blocked {
        /// Workers that are held up.
        blocked: usize,
    },
    /// A policy's own words.
    Custom(Cow<'static, str>),
}

impl From<&'static str> for Reason {
    fn from(words: &'static str) -> Self {
        Self::Custom(words.into())
    }
}

impl From<String> for Reason {
    fn from(words: String) -> Self {
        Self::Custom(words.into())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Surge { queued, service_time, arrival_rate, creation_time } => {
                let (each, takes) = (Short(*service_time), Short(*creation_time));
                write!(f, "{queued} queued, {each} each, {arrival_rate:.1}/s more; ")?;
                write!(f, "a new worker takes {takes}")
            }
            Self::Demand { erlangs, spare } => {
                write!(
                    f,
                    "the tasks keep {erlangs:.1} workers busy, and {spare:.1} more keep waits short"
                )
            }
            Self::Idle { idle_for, limit } => {
                let (idle_for, limit) = (Short(*idle_for), Short(*limit));
                write!(f, "a worker has been idle for {idle_for}, and {limit} is the limit")
            }
            Self::Enough { erlangs, queued } => {
                write!(f, "the tasks keep {erlangs:.1} workers busy, and {queued} are queued")
            }
            Self::Rate { arrival_rate, completion_rate } => {
                write!(f, "{arrival_rate:.1} tasks/s come, {completion_rate:.1}/s are completed")
            }
            Self::Fixed => f.write_str("the policy asks for a fixed number"),
            Self::MinIdle { in_use, min_idle } => {
                write!(f, "{in_use} workers are in use, and {min_idle} more are to be idle")
            }
            Self::IdleTimeout { idle_for } => {
                write!(f, "a worker has been idle for {}, beyond idle_timeout", Short(*idle_for))
            }
            Self::Resized { worker_count, max_worker_count } => {
                write!(f, "the limits are {worker_count} to {max_worker_count} workers")
            }
            Self::Nobody { queued } => {
                write!(f, "{queued} queued, and nobody has or makes a resource")
            }
            Self::Unequipped => f.write_str("a worker gets no resource, and nobody waits for it"),
            Self::Blocked { blocked } => {
                write!(f, "the tasks of all {blocked} workers wait for other tasks of this manager")
            }
            Self::Custom(words) => f.write_str(words),
        }
    }
}

/// A duration in few digits: `180 ms`, `1.2 s`.
pub(crate) struct Short(pub(crate) Duration);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        let (value, unit) = match seconds {
            s if s >= 1.0 => (s, "s"),
            s if s >= 1e-3 => (s * 1e3, "ms"),
            s => (s * 1e6, "µs"),
        };
        let digits = usize::from(value < 9.95 && value.fract() >= 0.05);
        write!(f, "{value:.digits$} {unit}")
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::autoscale::BreakEven;

    #[test]
    fn a_time_is_told_in_few_digits_of_a_fitting_unit() {
        let table = [
            (0, "0 µs"),
            (1_500, "1.5 µs"),
            (250_000, "250 µs"),
            (1_000_000, "1 ms"),
            (1_230_000, "1.2 ms"),
            (180_000_000, "180 ms"),
            (1_000_000_000, "1 s"),
            (1_250_000_000, "1.2 s"),
            (9_940_000_000, "9.9 s"),
            (9_950_000_000, "10 s"),
            (90_400_000_000, "90 s"),
        ];
        for (nanos, words) in table {
            assert_eq!(Short(Duration::from_nanos(nanos)).to_string(), words);
        }
    }

    #[test]
    fn a_boxed_policy_checks_its_knobs_as_it_does_by_itself() {
        let bad: Box<dyn ScalingPolicy> = Box::new(BreakEven::new().spare(-1.0));
        assert_eq!(bad.check(1, 2), BreakEven::new().spare(-1.0).check(1, 2));
        assert!(bad.check(1, 2).is_err());
    }
}
