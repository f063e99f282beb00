//! DECISION: when a policy is asked, how much of its plan may be carried out, and how many creations may be
//! under way.

use std::time::Duration;

/// How many workers there are, in every condition, and the limits they are held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Headcount {
    pub(crate) worker_count: usize,
    pub(crate) max_worker_count: usize,
    pub(crate) min_idle: usize,
    /// Tasks that wait.
    pub(crate) queued: usize,
    pub(crate) in_use: usize,
    pub(crate) idle: usize,
    /// Creations under way.
    pub(crate) creating: usize,
    /// Workers that wait to try again.
    pub(crate) failing: usize,
    pub(crate) leaving: usize,
    pub(crate) allowance: usize,
}

impl Headcount {
    /// Two busy workers of two to eight, and five tasks that wait: what tables of tests vary.
    #[cfg(all(test, not(loom)))]
    pub(crate) const BUSY: Self = Self {
        worker_count: 2,
        max_worker_count: 8,
        min_idle: 0,
        queued: 5,
        in_use: 2,
        idle: 0,
        creating: 0,
        failing: 0,
        leaving: 0,
        allowance: usize::MAX,
    };

    /// Workers that stay.
    pub(crate) fn staying(&self) -> usize {
        self.in_use + self.idle + self.creating + self.failing
    }

    /// Seats that are free below the cap.
    pub(crate) fn room(&self) -> usize {
        self.max_worker_count.saturating_sub(self.staying() + self.leaving)
    }

    /// What there has to be whatever a policy says: the base, and the idle workers that were asked for.
    pub(crate) fn least(&self) -> usize {
        let asked = if self.min_idle == 0 { 0 } else { self.in_use + self.min_idle };
        let least = self.worker_count.max(asked).max(usize::from(self.is_deserted()));
        least.min(self.max_worker_count)
    }

    /// How many idle workers may go: a worker whose resource is still being made, perhaps for ever, makes up
    /// for none that has one.
    pub(crate) fn dismissible(&self) -> usize {
        let ready = self.in_use + self.idle;
        let spare = ready.saturating_sub(self.least());
        spare.min(self.idle.saturating_sub(self.min_idle))
    }

    /// Nobody has or makes a resource, or waits to try again, and tasks wait.
    pub(crate) fn is_deserted(&self) -> bool {
        self.queued > 0 && self.staying() == 0
    }
}

/// What is done.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Move {
    Hold,
    Hire(usize),
    /// The coldest, as far as they are idle.
    Dismiss(usize),
}

/// What a wish for `workers` comes to. Promise 2 holds whatever is wished for.
pub(crate) fn carry_out(workers: usize, count: &Headcount) -> Move {
    let wanted = workers.clamp(count.least(), count.max_worker_count.max(count.least()));
    let staying = count.staying();
    if wanted > staying {
        // Those below the base are owed; what is beyond it must not hammer a backend that is down.
        let owed = count.worker_count.saturating_sub(staying);
        let allowed = count.allowance.saturating_sub(count.creating + count.failing);
        let owed = owed.max(usize::from(count.is_deserted()));
        match (wanted - staying).min(allowed.max(owed)).min(count.room()) {
            0 => Move::Hold,
            workers => Move::Hire(workers),
        }
    } else {
        let unneeded = (staying - wanted).min(count.dismissible());
        if unneeded == 0 { Move::Hold } else { Move::Dismiss(unneeded) }
    }
}

/// How long a policy is left alone after it was asked because a task came and nobody was idle.
///
/// A tenth of what a creation takes: looking more often would not make a worker ready noticeably sooner.
pub(crate) fn pause_between_looks(creation_time: Duration, interval: Duration) -> Duration {
    const SHORTEST: Duration = Duration::from_millis(1);
    (creation_time / 10).clamp(SHORTEST, interval.max(SHORTEST))
}

/// Whether the policy is to be asked at every interval: tasks wait below the cap, or there are workers
/// beyond what there has to be.
pub(crate) fn is_worth_watching(count: &Headcount) -> bool {
    // Not `least`: it falls when somebody becomes idle, and nobody would notice.
    let kept = count.worker_count.max(count.min_idle);
    (count.queued > 0 && count.room() > 0) || count.staying() > kept
}

/// Whether a worker whose creation just failed goes rather than try again: it is a burst worker, and nobody
/// waits for it.
pub(crate) fn is_unneeded(count: &Headcount) -> bool {
    count.queued == 0 && count.staying() > count.least()
}

/// How many creations beyond the base may be under way: additive increase, multiplicative decrease
/// (D. Chiu and R. Jain, "Analysis of the increase and decrease algorithms for congestion avoidance in
/// computer networks", Computer Networks and ISDN Systems 17, 1989).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowance(usize);

impl Allowance {
    /// As many as a manager can have: nothing has failed yet.
    pub(crate) const FULL: Self = Self(usize::MAX);

    pub(crate) fn get(self) -> usize {
        self.0
    }

    /// One more, up to `max`.
    pub(crate) fn succeeded(&mut self, max: usize) {
        if self.0 < max {
            self.0 += 1;
        } else {
            self.0 = usize::MAX;
        }
    }

    /// Half as many as are under way, the failed one included; at least one.
    pub(crate) fn failed(&mut self, under_way: usize) {
        self.0 = (self.0.min(under_way) / 2).max(1);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const BUSY: Headcount = Headcount::BUSY;

    #[test]
    fn a_plan_is_carried_out_as_far_as_the_limits_allow() {
        let resting = Headcount { queued: 0, in_use: 0, idle: 5, ..BUSY };
        let table = [
            (4, BUSY, Move::Hire(2)),
            (2, BUSY, Move::Hold),
            (usize::MAX, BUSY, Move::Hire(6)),
            (8, Headcount { leaving: 3, ..BUSY }, Move::Hire(3)),
            (8, Headcount { leaving: 6, ..BUSY }, Move::Hold),
            (8, Headcount { creating: 2, allowance: 3, ..BUSY }, Move::Hire(1)),
            (8, Headcount { creating: 1, failing: 1, allowance: 1, ..BUSY }, Move::Hold),
            (0, BUSY, Move::Hold), // never below the base
            (2, Headcount { in_use: 8, ..BUSY }, Move::Hold), // who works is not dismissed
            (2, resting, Move::Dismiss(3)),
            (0, resting, Move::Dismiss(3)),
            (4, resting, Move::Dismiss(1)),
            (2, Headcount { in_use: 4, idle: 1, ..BUSY }, Move::Dismiss(1)),
            // Who is making a resource makes up for nobody who has one.
            (2, Headcount { in_use: 0, idle: 2, creating: 3, ..BUSY }, Move::Hold),
            (2, Headcount { in_use: 0, idle: 3, failing: 3, ..BUSY }, Move::Dismiss(1)),
        ];
        for (workers, count, expected) in table {
            assert_eq!(carry_out(workers, &count), expected, "{workers} of {count:?}");
        }
    }

    #[test]
    fn the_base_is_owed_whatever_failed_and_a_deserted_queue_gets_one_worker() {
        let failing = Headcount { in_use: 0, failing: 1, allowance: 1, ..BUSY };
        assert_eq!(carry_out(0, &failing), Move::Hire(1));
        let deserted = Headcount { worker_count: 0, in_use: 0, allowance: 0, ..BUSY };
        assert_eq!(carry_out(0, &deserted), Move::Hire(1));
        let empty = Headcount { queued: 0, ..deserted };
        assert_eq!(carry_out(0, &empty), Move::Hold);
        assert_eq!(carry_out(1, &empty), Move::Hold); // nobody waits, and creations fail
    }

    #[test]
    fn idle_workers_that_were_asked_for_are_hired_ahead_and_not_dismissed() {
        let spare = Headcount { min_idle: 3, queued: 0, ..BUSY };
        assert_eq!(carry_out(2, &spare), Move::Hire(3));
        assert_eq!(carry_out(2, &Headcount { idle: 3, ..spare }), Move::Hold);
        assert_eq!(carry_out(2, &Headcount { idle: 5, ..spare }), Move::Dismiss(2));
        assert_eq!(carry_out(2, &Headcount { in_use: 7, ..spare }), Move::Hire(1));
    }

    #[test]
    fn looks_are_a_tenth_of_a_creation_apart_but_a_millisecond_at_least_and_an_interval_at_most() {
        let (micro, ms) = (Duration::from_micros, Duration::from_millis);
        let table = [
            (micro(50), ms(100), ms(1)),
            (ms(40), ms(100), ms(4)),
            (ms(60_000), ms(100), ms(100)),
            (ms(40), micro(10), ms(1)), // an interval below the shortest pause does not shorten it
            (Duration::ZERO, Duration::ZERO, ms(1)),
        ];
        for (creation_time, interval, expected) in table {
            assert_eq!(pause_between_looks(creation_time, interval), expected, "{creation_time:?}");
        }
    }

    #[test]
    fn a_policy_is_asked_again_while_tasks_wait_below_the_cap_or_workers_are_beyond_the_base() {
        let resting = Headcount { queued: 0, in_use: 0, idle: 2, ..BUSY };
        let table = [
            (BUSY, true),
            (Headcount { in_use: 8, ..BUSY }, true),
            (Headcount { leaving: 6, ..BUSY }, false), // full, and nobody beyond the base
            (resting, false),
            (Headcount { idle: 3, ..resting }, true),
            (Headcount { idle: 3, min_idle: 3, ..resting }, false), // asked for, and there
            (Headcount { worker_count: 8, in_use: 8, ..BUSY }, false),
        ];
        for (count, expected) in table {
            assert_eq!(is_worth_watching(&count), expected, "{count:?}");
        }
    }

    #[test]
    fn a_failed_burst_worker_goes_when_nobody_waits_and_a_base_worker_never() {
        let failed = Headcount { queued: 0, failing: 1, ..BUSY };
        let table = [
            (failed, true),
            (Headcount { queued: 1, ..failed }, false),
            (Headcount { in_use: 1, ..failed }, false),
            (Headcount { min_idle: 1, ..failed }, false),
        ];
        for (count, expected) in table {
            assert_eq!(is_unneeded(&count), expected, "{count:?}");
        }
    }

    #[test]
    fn what_fails_halves_the_allowance_and_what_succeeds_adds_one() {
        let mut allowance = Allowance::FULL;
        allowance.failed(10);
        assert_eq!(allowance.get(), 5);
        allowance.failed(10);
        allowance.failed(10);
        allowance.failed(10);
        assert_eq!(allowance.get(), 1);
        allowance.succeeded(3);
        allowance.succeeded(3);
        assert_eq!(allowance.get(), 3);
        allowance.succeeded(3);
        assert_eq!(allowance, Allowance::FULL);
    }
}
