//! DECISION: more workers while tasks come faster than they are completed.

use std::time::{Duration, Instant};

use super::{Load, Plan, Reason, ScalingPolicy};

/// More workers while tasks come faster than they are completed.
///
/// With `N` workers that have a resource, `A` arrivals and `C` completions per second over the last
/// [`window`](Self::window), it adds `⌈N·(A − C)/C⌉`: as many as would complete what comes, if every worker
/// completes as much as those that work now. Workers that are making their resource count as added already.
/// While nothing at all is completed it doubles. It grows only while tasks wait.
///
/// It knows neither what a resource costs nor how long it takes, and it does not add anybody for a backlog
/// that does not grow any more: [`BreakEven`](super::BreakEven) does. Choose it where that is too clever.
///
/// ```
/// use std::time::Duration;
/// use tasker::autoscale::RateBased;
/// use tasker::autoscale::simulate::{Setup, Trace, simulate};
///
/// let setup = Setup::new(Duration::from_secs(2)).worker_count(2).max_worker_count(32);
/// let policy = RateBased::new().window(Duration::from_secs(5));
/// let simulation = simulate(&Trace::step(1), policy, &setup)?;
/// assert!(simulation.peak >= 18);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateBased {
    window: Duration,
    keep_idle: Duration,
}

impl RateBased {
    /// With the defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self { window: Duration::from_secs(10), keep_idle: Duration::from_secs(30) }
    }

    /// How far back rates are measured. Default: 10 s, because a shorter window mistakes chance for
    /// growth, and a longer one answers late. More than 51 s count as 51 s.
    #[must_use]
    pub const fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// How long a worker beyond [`worker_count`](crate::Config::worker_count) is kept without work.
    /// Default: 30 s, because the rule says nothing about it, and that is longer than the gaps of most
    /// bursts.
    #[must_use]
    pub const fn keep_idle(mut self, keep_idle: Duration) -> Self {
        self.keep_idle = keep_idle;
        self
    }
}

impl Default for RateBased {
    fn default() -> Self {
        Self::new()
    }
}

impl ScalingPolicy for RateBased {
    fn plan(&mut self, load: &Load, _now: Instant) -> Plan {
        let arrival_rate = load.arrival_rate(self.window);
        let completion_rate = load.completion_rate(self.window);
        let reason = Reason::Rate { arrival_rate, completion_rate };
        if load.queued > 0 {
            let more = more(load.ready(), arrival_rate, completion_rate);
            let workers = load.ready().saturating_add(more).max(load.workers());
            return Plan::new(workers, reason).within(load);
        }
        let cold = load.idle.iter().take_while(|idle| **idle >= self.keep_idle).count();
        match load.idle.first() {
            Some(idle_for) if cold > 0 && load.workers() > load.worker_count => {
                let reason = Reason::Idle { idle_for: *idle_for, limit: self.keep_idle };
                Plan::new((load.workers() - cold).max(load.worker_count), reason)
            }
            _ => Plan::hold(load, reason),
        }
    }
}

/// `⌈N·(A − C)/C⌉`; as many again while nothing is completed.
fn more(workers: usize, arrival_rate: f64, completion_rate: f64) -> usize {
    if completion_rate <= 0.0 {
        return workers.max(1);
    }
    let more = workers as f64 * (arrival_rate - completion_rate) / completion_rate;
    more.ceil().max(0.0) as usize // saturates
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::autoscale::Gauge;
    use crate::clock::real_now;

    #[test]
    fn it_adds_as_many_as_would_complete_what_comes() {
        let table = [
            (2, 20.0, 10.0, 2),
            (2, 21.0, 10.0, 3), // rounded up
            (4, 10.0, 10.0, 0),
            (4, 5.0, 10.0, 0),
            (3, 5.0, 0.0, 3), // nothing is completed: as many again
            (0, 5.0, 0.0, 1),
            (0, 5.0, 1.0, 0),
            (2, f64::MAX, 1e-9, usize::MAX),
        ];
        for (workers, arrivals, completions, expected) in table {
            assert_eq!(more(workers, arrivals, completions), expected, "{workers} {arrivals}");
        }
    }

    /// 20 tasks came and 10 were completed within the last second.
    fn behind() -> Load {
        let now = real_now();
        let mut gauge = Gauge::new(now);
        for n in 0..20 {
            gauge.arrived(now);
            if n % 2 == 0 {
                gauge.attempted(Duration::from_millis(200), now);
            }
        }
        let history = gauge.history([].into_iter(), now + Duration::from_secs(1));
        Load {
            worker_count: 2,
            max_worker_count: 8,
            queued: 10,
            in_use: 2,
            history,
            ..Load::default()
        }
    }

    #[test]
    fn it_grows_while_tasks_wait_and_counts_what_is_being_made() {
        let mut policy = RateBased::new();
        let now = real_now();
        assert_eq!(policy.plan(&behind(), now).workers, 4);
        let creating = vec![Duration::ZERO; 3];
        assert_eq!(policy.plan(&Load { creating, ..behind() }, now).workers, 5); // no more, no fewer
        assert_eq!(policy.plan(&Load { queued: 0, ..behind() }, now).workers, 2);
    }

    #[test]
    fn it_dismisses_who_was_idle_for_the_fixed_time() {
        let idle: Vec<Duration> = [40, 31, 29, 1].map(Duration::from_secs).to_vec();
        let load = Load { queued: 0, in_use: 0, idle, ..behind() };
        let plan = RateBased::new().plan(&load, real_now());
        assert_eq!(plan.workers, 2);
        assert_eq!(
            plan.reason.to_string(),
            "a worker has been idle for 40 s, and 30 s is the limit"
        );
        // Nobody idle for so long, or nobody beyond the base: that is no reason.
        let idle = |seconds: &[u64]| Load {
            idle: seconds.iter().copied().map(Duration::from_secs).collect(),
            ..load.clone()
        };
        for (seconds, workers, dismisses) in
            [(&[40, 9, 9, 9][..], 3, true), (&[9, 9, 9], 3, false), (&[40, 40], 2, false)]
        {
            let plan = RateBased::new().plan(&idle(seconds), real_now());
            assert_eq!(plan.workers, workers, "{seconds:?}");
            assert_eq!(matches!(plan.reason, Reason::Idle { .. }), dismisses, "{seconds:?}");
        }
        let patient = RateBased::new().keep_idle(Duration::from_secs(60));
        assert_eq!(patient.clone().plan(&load, real_now()).workers, 4);
        let base = Load { worker_count: 3, ..load };
        assert_eq!(RateBased::new().plan(&base, real_now()).workers, 3);
    }
}
