//! DECISION: the same number of workers whatever happens.

use std::time::Instant;

use super::{Load, Plan, Reason, ScalingPolicy};

/// The same number of workers whatever happens.
///
/// For a load that is known, or a backend that wants exactly so many connections. Workers beyond
/// [`worker_count`](crate::Config::worker_count) are made when the first task finds nobody idle, and then
/// stay. Where the base itself can be that large, set `worker_count` and no policy at all: the base is made
/// at once.
///
/// ```
/// use std::time::Duration;
/// use tasker::autoscale::Fixed;
/// use tasker::autoscale::simulate::{Setup, Trace, simulate};
///
/// let setup = Setup::new(Duration::from_secs(2)).worker_count(2).max_worker_count(32);
/// let simulation = simulate(&Trace::steady(1), Fixed::new(16), &setup)?;
/// assert_eq!(simulation.peak, 16);
///
/// // A number outside the limits is refused before anything starts.
/// let refused = simulate(&Trace::steady(1), Fixed::new(64), &setup).unwrap_err();
/// assert!(refused.to_string().contains("Fixed::new(64)"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fixed {
    workers: usize,
}

impl Fixed {
    /// So many workers. The number has to lie within the manager's limits.
    #[must_use]
    pub const fn new(workers: usize) -> Self {
        Self { workers }
    }
}

impl ScalingPolicy for Fixed {
    fn plan(&mut self, _load: &Load, _now: Instant) -> Plan {
        Plan::new(self.workers, Reason::Fixed)
    }

    fn check(&self, worker_count: usize, max_worker_count: usize) -> Result<(), String> {
        let workers = self.workers;
        if (worker_count..=max_worker_count).contains(&workers) {
            return Ok(());
        }
        Err(format!(
            "Fixed::new({workers}) asks for {workers} workers, but worker_count is {worker_count} and \
             max_worker_count is {max_worker_count}"
        ))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::clock::real_now;

    #[test]
    fn the_plan_does_not_depend_on_the_load() {
        for queued in [0, 1, 1000] {
            let load = Load { queued, ..Load::default() };
            assert_eq!(Fixed::new(5).plan(&load, real_now()), Plan::new(5, Reason::Fixed));
        }
    }

    #[test]
    fn a_number_outside_the_limits_is_refused_with_both_of_them() {
        for (workers, fits) in [(1, false), (2, true), (8, true), (9, false)] {
            assert_eq!(Fixed::new(workers).check(2, 8).is_ok(), fits, "{workers}");
        }
        let text = Fixed::new(9).check(2, 8).unwrap_err();
        assert!(
            text.contains("9 workers") && text.contains("is 2") && text.contains("is 8"),
            "{text}"
        );
    }
}
