//! DECISION: hold, grow or retire, with the reason.

use std::fmt;
use std::time::Duration;

/// What the policy looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Load {
    /// Tasks that wait in the lanes.
    pub(crate) queued: usize,
    /// Workers with nothing to do.
    pub(crate) idle: usize,
    /// Workers that are making a resource.
    pub(crate) creating: usize,
    /// Workers that will stay: all but those that are leaving.
    pub(crate) staying: usize,
    /// Seats that are taken, those of leaving workers included.
    pub(crate) live: usize,
    pub(crate) worker_count: usize,
    pub(crate) max_worker_count: usize,
    /// How long the coldest idle worker has had nothing to do.
    pub(crate) coldest_idle_for: Option<Duration>,
    pub(crate) burst_interval: Duration,
}

/// What is to be done.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plan {
    Hold,
    /// Hire so many.
    Grow(usize, Reason),
    /// Dismiss the coldest.
    Retire(Reason),
}

/// Why the number of workers changes, with the numbers that the decision was made of.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Tasks wait, nobody is idle, and the resources being made do not cover them.
    #[non_exhaustive]
    Backlog {
        /// Tasks that wait.
        queued: usize,
        /// Resources being made.
        creating: usize,
    },
    /// A worker beyond the base has had nothing to do for long enough.
    #[non_exhaustive]
    Idle {
        /// For how long.
        idle_for: Duration,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Backlog { queued, creating } => {
                write!(f, "{queued} queued, nobody idle, {creating} resources in the making")
            }
            Self::Idle { idle_for } => write!(f, "a worker has been idle for {idle_for:.1?}"),
        }
    }
}

/// How many ticks a burst worker may be idle before it goes: long enough to bridge a gap between two
/// bursts, short enough to give the resource back within a second at the default interval.
const PATIENCE: u32 = 10;

/// One worker for every task that waits and that no resource in the making will serve; one worker less
/// at a time when the coldest has been idle for ten intervals.
pub(crate) fn plan(load: &Load) -> Plan {
    let room = load.max_worker_count.saturating_sub(load.live);
    let uncovered = load.queued.saturating_sub(load.creating);
    if load.idle == 0 && uncovered > 0 && room > 0 {
        let reason = Reason::Backlog { queued: load.queued, creating: load.creating };
        return Plan::Grow(uncovered.min(room), reason);
    }
    match load.coldest_idle_for {
        Some(idle_for)
            if load.queued == 0
                && load.staying > load.worker_count
                && idle_for >= load.burst_interval.saturating_mul(PATIENCE) =>
        {
            Plan::Retire(Reason::Idle { idle_for })
        }
        _ => Plan::Hold,
    }
}

/// Whether a next look is worth a wake-up.
pub(crate) fn worth_watching(load: &Load) -> bool {
    let can_grow = load.queued > 0 && load.live < load.max_worker_count;
    !load.burst_interval.is_zero() && (can_grow || load.staying > load.worker_count)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const BUSY: Load = Load {
        queued: 5,
        idle: 0,
        creating: 0,
        staying: 2,
        live: 2,
        worker_count: 2,
        max_worker_count: 4,
        coldest_idle_for: None,
        burst_interval: Duration::from_millis(100),
    };

    #[test]
    fn a_backlog_grows_the_pool_up_to_the_cap_counting_what_is_being_made() {
        let grown = |load: Load| match plan(&load) {
            Plan::Grow(n, _) => n,
            Plan::Hold | Plan::Retire(_) => 0,
        };
        let table = [
            (BUSY, 2),
            (Load { queued: 1, ..BUSY }, 1),
            (Load { queued: 0, ..BUSY }, 0),
            (Load { creating: 1, live: 3, staying: 3, ..BUSY }, 1),
            (Load { queued: 1, creating: 1, live: 3, staying: 3, ..BUSY }, 0),
            (Load { live: 4, staying: 3, ..BUSY }, 0),
            (Load { idle: 1, ..BUSY }, 0),
        ];
        for (load, expected) in table {
            assert_eq!(grown(load), expected, "{load:?}");
        }
    }

    #[test]
    fn a_burst_worker_goes_after_ten_idle_intervals_and_a_base_worker_never() {
        let cold = |ms, staying| Load {
            queued: 0,
            idle: 1,
            staying,
            live: staying,
            coldest_idle_for: Some(Duration::from_millis(ms)),
            ..BUSY
        };
        for (load, goes) in [(cold(999, 3), false), (cold(1000, 3), true), (cold(9000, 2), false)] {
            assert_eq!(matches!(plan(&load), Plan::Retire(_)), goes, "{load:?}");
        }
    }

    #[test]
    fn nobody_is_woken_when_there_is_nothing_to_scale() {
        let table = [
            (BUSY, true),
            (Load { queued: 0, ..BUSY }, false),
            (Load { queued: 0, staying: 3, live: 3, ..BUSY }, true),
            (Load { live: 4, staying: 2, ..BUSY }, false),
            (Load { burst_interval: Duration::ZERO, ..BUSY }, false),
        ];
        for (load, expected) in table {
            assert_eq!(worth_watching(&load), expected, "{load:?}");
        }
    }
}
