//! The settings that managers have in common, whoever does their work, and the one check of them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::autoscale::{BreakEven, ScalingPolicy};
use crate::cancel::CancelToken;
use crate::clock::Clock;
use crate::engine::Parts;
use crate::error::BuildError;
use crate::event::Observer;
use crate::logger::{Logger, TracingLogger};
use crate::metrics::{Collector, MetricsCollector};
use crate::outcome::Panic;
use crate::overflow::Overflow;
use crate::queue::Rules;
use crate::reporter::{Metrics, Reporter};
use crate::resource::life::LifeRules;
use crate::resource::slot::Accounts;
use crate::retry::backoff::Backoff;
use crate::sync;
use crate::worker::attempt::contain;

/// How long an idle resource counts as sound without being asked.
const STILL_SOUND: Duration = Duration::from_secs(1);

/// What can be set; [`Config`](crate::Config) has the meaning of each and the reason for its default.
pub(crate) struct Knobs<E> {
    pub(crate) accounts: Accounts<E>,
    pub(crate) worker_count: Option<usize>,
    pub(crate) max_worker_count: Option<usize>,
    pub(crate) burst_interval: Duration,
    pub(crate) policy: Option<Box<dyn ScalingPolicy>>,
    pub(crate) max_lifetime: Option<Duration>,
    pub(crate) max_uses: Option<u64>,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) min_idle: usize,
    pub(crate) validate_after: Option<Duration>,
    pub(crate) stuck_after: Option<Duration>,
    pub(crate) replace_stuck: bool,
    pub(crate) max_retries: u32,
    pub(crate) retry_backoff: Backoff,
    pub(crate) resource_pool_size: Option<usize>,
    pub(crate) queue_capacity: Option<usize>,
    pub(crate) overflow: Overflow,
    pub(crate) shutdown_on: Option<CancelToken>,
    pub(crate) logger: Box<dyn Logger>,
    pub(crate) collector: Option<Box<dyn MetricsCollector>>,
    pub(crate) observers: Vec<Box<dyn Observer>>,
    pub(crate) clock: Clock,
}

/// How a manager does its work, which is not for its user to set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct How {
    pub(crate) lends: bool,
    pub(crate) shelves: bool,
    pub(crate) slots: bool,
    pub(crate) validates: bool,
}

/// Settings that have been checked.
pub(crate) struct Checked<E> {
    pub(crate) parts: Parts<E>,
    pub(crate) policy: Box<dyn ScalingPolicy>,
    pub(crate) shutdown_on: Option<CancelToken>,
}

impl<E> Knobs<E> {
    pub(crate) fn new() -> Self {
        Self {
            accounts: Accounts::new(),
            worker_count: None,
            max_worker_count: None,
            burst_interval: Duration::from_millis(100),
            policy: None,
            max_lifetime: None,
            max_uses: None,
            idle_timeout: None,
            min_idle: 0,
            validate_after: None,
            stuck_after: None,
            replace_stuck: false,
            max_retries: 3,
            retry_backoff: Backoff::NONE,
            resource_pool_size: None,
            queue_capacity: None,
            overflow: Overflow::Wait,
            shutdown_on: None,
            logger: Box::new(TracingLogger),
            collector: None,
            observers: Vec::new(),
            clock: Clock::Real,
        }
    }

    /// Checks the numbers, each and against the others, and fills in the defaults.
    pub(crate) fn check(self, how: How) -> Result<Checked<E>, BuildError<E>> {
        let Self {
            accounts,
            worker_count,
            max_worker_count,
            burst_interval,
            policy,
            max_lifetime,
            max_uses,
            idle_timeout,
            min_idle,
            validate_after,
            stuck_after,
            replace_stuck,
            max_retries,
            retry_backoff,
            resource_pool_size,
            queue_capacity,
            overflow,
            shutdown_on,
            logger,
            collector,
            observers,
            clock,
        } = self;
        let worker_count = worker_count.unwrap_or_else(|| {
            std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
        });
        if worker_count == 0 {
            return Err(BuildError::NoWorkers);
        }
        let max_worker_count = max_worker_count.unwrap_or_else(|| worker_count.saturating_mul(2));
        if max_worker_count < worker_count {
            return Err(BuildError::MaxBelowWorkers { worker_count, max_worker_count });
        }
        if queue_capacity == Some(0) {
            return Err(BuildError::NoCapacity);
        }
        let invalid = |setting, problem: &str| BuildError::InvalidSetting {
            setting,
            problem: problem.to_owned(),
        };
        for (setting, time) in [("max_lifetime", max_lifetime), ("idle_timeout", idle_timeout)] {
            if time == Some(Duration::ZERO) {
                return Err(invalid(setting, "must be positive: leave it unset for no limit"));
            }
        }
        if max_uses == Some(0) {
            return Err(invalid("max_uses", "must be positive: leave it unset for no limit"));
        }
        if validate_after.is_some() && !how.validates {
            return Err(invalid("validate_after", "there is nothing to call: set validate, too"));
        }
        if stuck_after == Some(Duration::ZERO) {
            return Err(invalid(
                "stuck_after",
                "must be positive: leave it unset to be told of nothing",
            ));
        }
        if replace_stuck && stuck_after.is_none() {
            let problem = "nobody knows when a task is stuck: set stuck_after, too";
            return Err(invalid("replace_stuck", problem));
        }
        if min_idle > max_worker_count {
            let problem = format!(
                "{min_idle} idle workers are more than max_worker_count ({max_worker_count}): \
                 raise the one or lower the other"
            );
            return Err(invalid("min_idle", &problem));
        }
        if policy.is_some() && burst_interval.is_zero() {
            let problem =
                "burst_interval is zero, so that no policy is ever asked: set one of the two";
            return Err(invalid("scaling", problem));
        }
        let policy = policy.unwrap_or_else(|| Box::new(BreakEven::new()));
        let checked = contain(|| policy.check(worker_count, max_worker_count));
        let panicked = |panic: Panic| Err(format!("its check panicked: {}", panic.message()));
        if let Err(problem) = checked.unwrap_or_else(panicked) {
            return Err(invalid("scaling", &problem));
        }
        let life = LifeRules {
            max_lifetime,
            max_uses,
            idle_timeout,
            min_idle,
            validate_after: how.validates.then(|| validate_after.unwrap_or(STILL_SOUND)),
        };
        let start = clock.now(); // of all windows, which are added up
        let reserve_size = if how.shelves { resource_pool_size.unwrap_or(worker_count) } else { 0 };
        let rules = Rules {
            life,
            worker_count,
            max_worker_count,
            burst_interval,
            retry_backoff,
            reserve_size,
            capacity: queue_capacity.unwrap_or(usize::MAX),
            overflow,
            lends: how.lends,
            shelves: how.shelves,
            naps: clock.naps(),
            slots: how.slots,
            racks: how.lends && stuck_after.is_none() && min_idle == 0 && life.keeps_all(),
            pool_racks: reserve_size > 0
                && !how.slots
                && stuck_after.is_none()
                && life == LifeRules::default(),
            inbox: true,
            stuck_after,
            replace_stuck,
            counts_arrivals: collector.is_none().then_some(start),
        };
        let sequence = Arc::new(sync::AtomicU64::new(0));
        let metrics = match collector {
            Some(collector) => Metrics::Given(collector),
            None => Metrics::Own(Box::new(Collector::starting_at(start))),
        };
        let reporter = Reporter { logger, metrics, observers, sequence };
        let parts = Parts { accounts, rules, reporter, max_retries, clock };
        Ok(Checked { parts, policy, shutdown_on })
    }
}

impl<E> fmt::Debug for Knobs<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Knobs")
            .field("worker_count", &self.worker_count)
            .field("max_worker_count", &self.max_worker_count)
            .field("burst_interval", &self.burst_interval)
            .field("max_lifetime", &self.max_lifetime)
            .field("max_uses", &self.max_uses)
            .field("idle_timeout", &self.idle_timeout)
            .field("min_idle", &self.min_idle)
            .field("validate_after", &self.validate_after)
            .field("stuck_after", &self.stuck_after)
            .field("replace_stuck", &self.replace_stuck)
            .field("max_retries", &self.max_retries)
            .field("retry_backoff", &self.retry_backoff)
            .field("resource_pool_size", &self.resource_pool_size)
            .field("queue_capacity", &self.queue_capacity)
            .field("overflow", &self.overflow)
            .finish_non_exhaustive()
    }
}
