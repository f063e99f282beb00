//! The limits that a policy works within, and what is wrong with them.

use std::time::Duration;

use thiserror::Error;

use super::super::ScalingPolicy;

/// What a pool is like apart from its policy: limits, and how long its resources take to make.
///
/// ```
/// use std::time::Duration;
/// use tasker::autoscale::simulate::Setup;
///
/// let setup = Setup::new(Duration::from_millis(40)).worker_count(2).max_worker_count(16);
/// # let _ = setup;
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Setup {
    pub(super) creation_time: Duration,
    pub(super) destruction_time: Duration,
    pub(super) worker_count: usize,
    pub(super) max_worker_count: usize,
    pub(super) interval: Duration,
    pub(super) max_retries: u32,
    pub(super) seed: u64,
}

/// Nothing is simulated that takes longer, in one piece: it keeps arithmetic away from overflow.
pub(super) const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

impl Setup {
    /// A pool whose resources take so long to make.
    #[must_use]
    pub const fn new(creation_time: Duration) -> Self {
        Self {
            creation_time,
            destruction_time: Duration::ZERO,
            worker_count: 2,
            max_worker_count: 32,
            interval: Duration::from_millis(100),
            max_retries: 3,
            seed: 1,
        }
    }

    /// How long a dismissed worker takes to destroy its resource; until then it counts against the cap.
    /// Default: no time at all, because most destructors only close something.
    #[must_use]
    pub const fn destruction_time(mut self, destruction_time: Duration) -> Self {
        self.destruction_time = destruction_time;
        self
    }

    /// Workers that are always there. Default: 2, so that a pool without load is small.
    #[must_use]
    pub const fn worker_count(mut self, workers: usize) -> Self {
        self.worker_count = workers;
        self
    }

    /// How many workers there may be, those that are making or destroying their resource included.
    /// Default: 32, which every named [`Trace`](super::Trace) can do with.
    #[must_use]
    pub const fn max_worker_count(mut self, workers: usize) -> Self {
        self.max_worker_count = workers;
        self
    }

    /// How often the policy is asked while there is anything to scale. Default: 100 ms, because that is
    /// the default of [`Config::burst_interval`](crate::Config::burst_interval).
    #[must_use]
    pub const fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// How often a task is tried again after a resource broke under it. Default: 3, because that is the
    /// default of [`Config::max_retries`](crate::Config::max_retries).
    #[must_use]
    pub const fn max_retries(mut self, retries: u32) -> Self {
        self.max_retries = retries;
        self
    }

    /// Where chance begins: which creations fail, and how long a worker waits before it tries again.
    /// Default: 1, because a simulation is to be repeatable without being asked.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    pub(super) fn check(&self, policy: &impl ScalingPolicy) -> Result<(), SimulateError> {
        let Self { worker_count, max_worker_count, .. } = *self;
        if max_worker_count < worker_count {
            return Err(SimulateError::MaxBelowWorkers { worker_count, max_worker_count });
        }
        if max_worker_count == 0 {
            return Err(SimulateError::NoWorkers);
        }
        if self.interval < SHORTEST_INTERVAL {
            return Err(SimulateError::Interval { interval: self.interval });
        }
        for (what, duration) in
            [("creation_time", self.creation_time), ("destruction_time", self.destruction_time)]
        {
            if duration > LONGEST {
                return Err(SimulateError::TooLong { what, duration });
            }
        }
        policy.check(worker_count, max_worker_count).map_err(SimulateError::Policy)
    }
}

/// More often than a manager would ask, and seldom enough for a simulation to end.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(1);

/// Why nothing was simulated.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Error)]
pub enum SimulateError {
    /// `max_worker_count` is less than `worker_count`.
    #[error(
        "max_worker_count ({max_worker_count}) is less than worker_count ({worker_count}): raise the \
         first or lower the second"
    )]
    #[non_exhaustive]
    MaxBelowWorkers {
        /// Workers that are always there.
        worker_count: usize,
        /// How many there may be.
        max_worker_count: usize,
    },
    /// There may be no worker at all.
    #[error("max_worker_count is 0: no task would ever run; allow at least one worker")]
    NoWorkers,
    /// The policy would be asked all the time.
    #[error("an interval of {interval:?} is too short: ask the policy every millisecond at most")]
    #[non_exhaustive]
    Interval {
        /// What was set.
        interval: Duration,
    },
    /// Something takes longer than a year.
    #[error("{what} is {duration:?}: nothing longer than a year is simulated")]
    #[non_exhaustive]
    TooLong {
        /// Which setting.
        what: &'static str,
        /// What was set.
        duration: Duration,
    },
    /// The policy cannot work within these limits, in its own words.
    #[error("the policy cannot work here: {0}")]
    Policy(String),
    /// Creations fail too often for every task to end.
    #[error(
        "creations fail with probability {probability}: say a number from 0 to 0.99, because with more \
         the tasks would hardly ever end"
    )]
    #[non_exhaustive]
    FailureProbability {
        /// What the trace says.
        probability: f64,
    },
    /// An outage ends before it begins.
    #[error("an outage lasts from {from:?} to {until:?}: it has to end after it begins")]
    #[non_exhaustive]
    Outage {
        /// When it begins.
        from: Duration,
        /// When it ends.
        until: Duration,
    },
}
