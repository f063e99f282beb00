//! DECISION: what an attempt means for its task and for its resource.

use crate::cancel::Why;
use crate::event::DestroyReason;
use crate::outcome::Outcome;
use crate::retry::{Retry, retry};

/// How an attempt went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Went {
    Well,
    Wrong {
        healthy: bool,
    },
    Panicked,
    /// Its future was dropped in the middle.
    #[cfg_attr(not(feature = "tokio"), allow(dead_code, reason = "threads drop nothing"))]
    Dropped(Gone),
    /// Its future was dropped before it began; the resource is untouched.
    NotBegun(Gone),
    /// Its future was polled too late for it to begin.
    #[cfg_attr(not(feature = "tokio"), allow(dead_code, reason = "threads do not dawdle"))]
    Late,
}

impl Went {
    /// Whether the resource was used at all.
    pub(crate) fn has_begun(self) -> bool {
        !matches!(self, Self::NotBegun(_) | Self::Late)
    }
}

/// Who let go of a future, where nobody had told it to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gone {
    /// Whoever awaited it.
    #[cfg_attr(not(feature = "tokio"), allow(dead_code, reason = "as above"))]
    Caller,
    /// Its runtime, or a manager that was killed.
    Runtime,
}

/// What is known of an attempt when it has returned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) went: Went,
    pub(crate) cancelled: Option<Why>,
    pub(crate) may_run_again: bool,
    pub(crate) attempt: u32,
    pub(crate) max_retries: u32,
    /// Somebody can find out whether a resource is still sound.
    pub(crate) validates: bool,
}

impl Case {
    /// Of a task that was given a resource and did not get to use it.
    pub(crate) fn not_begun(gone: Gone) -> Self {
        let went = Went::NotBegun(gone);
        let (may_run_again, attempt, max_retries) = (false, 1, 0);
        Self { went, cancelled: None, may_run_again, attempt, max_retries, validates: false }
    }
}

/// What becomes of the task, and why its resource must go (if it must).
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) task: Settled,
    pub(crate) condemned: Option<DestroyReason>,
    /// The attempt was cancelled, timed out or dropped: who knows what it left the resource in.
    pub(crate) suspect: bool,
}

/// What becomes of the task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    Ends(Outcome),
    RunsAgain,
}

/// Promises 6, 7, 8 and 17 in one table.
pub(crate) fn settle(case: Case) -> Verdict {
    let condemned = match case.went {
        Went::Well | Went::Wrong { healthy: true } => None,
        Went::Wrong { healthy: false } => Some(DestroyReason::Unhealthy),
        Went::Panicked => Some(DestroyReason::Panicked),
        Went::Dropped(_) if case.validates => None,
        Went::Dropped(_) => Some(DestroyReason::Interrupted),
        Went::NotBegun(_) | Went::Late => None,
    };
    let begun = case.went.has_begun();
    let cut_off = case.cancelled.is_some() || matches!(case.went, Went::Dropped(_));
    let task = match (case.went, case.cancelled) {
        (Went::Well, _) => Settled::Ends(Outcome::Completed),
        (Went::Panicked, _) => Settled::Ends(Outcome::Panicked),
        (Went::Dropped(Gone::Runtime) | Went::NotBegun(Gone::Runtime), _) => {
            Settled::Ends(Outcome::Killed)
        }
        (Went::Late, _) => Settled::Ends(Outcome::Expired),
        (Went::Wrong { .. } | Went::Dropped(_) | Went::NotBegun(_), Some(Why::TimedOut)) => {
            Settled::Ends(Outcome::TimedOut)
        }
        (Went::Wrong { .. }, Some(Why::Cancelled)) | (Went::Dropped(_) | Went::NotBegun(_), _) => {
            Settled::Ends(Outcome::Cancelled)
        }
        (Went::Wrong { healthy: true }, None) => Settled::Ends(Outcome::Failed),
        (Went::Wrong { healthy: false }, None) => {
            match retry(case.may_run_again, case.attempt, case.max_retries) {
                Retry::Again => Settled::RunsAgain,
                Retry::Exhausted => Settled::Ends(Outcome::RetriesExhausted),
                Retry::Never => Settled::Ends(Outcome::Failed),
            }
        }
    };
    Verdict { task, condemned, suspect: begun && cut_off && condemned.is_none() }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use DestroyReason::{Panicked as Broken, Unhealthy};
    use Settled::{Ends, RunsAgain};

    #[test]
    fn every_attempt_is_settled_as_the_promises_say() {
        const SICK: Went = Went::Wrong { healthy: false };
        const OWN: Went = Went::Wrong { healthy: true };
        let cancelled = Some(Why::Cancelled);
        let late = Some(Why::TimedOut);
        // went, cancelled, may run again, attempt (of 2 retries) -> task, condemned
        let table = [
            (Went::Well, None, true, 1, Ends(Outcome::Completed), None),
            (Went::Well, cancelled, true, 1, Ends(Outcome::Completed), None),
            (Went::Well, late, true, 1, Ends(Outcome::Completed), None),
            (OWN, None, true, 1, Ends(Outcome::Failed), None),
            (OWN, None, false, 1, Ends(Outcome::Failed), None),
            (OWN, cancelled, true, 1, Ends(Outcome::Cancelled), None),
            (OWN, late, true, 1, Ends(Outcome::TimedOut), None),
            (SICK, None, true, 1, RunsAgain, Some(Unhealthy)),
            (SICK, None, true, 2, RunsAgain, Some(Unhealthy)),
            (SICK, None, true, 3, Ends(Outcome::RetriesExhausted), Some(Unhealthy)),
            (SICK, None, false, 1, Ends(Outcome::Failed), Some(Unhealthy)),
            (SICK, cancelled, true, 1, Ends(Outcome::Cancelled), Some(Unhealthy)),
            (SICK, late, true, 1, Ends(Outcome::TimedOut), Some(Unhealthy)),
            (Went::Panicked, None, true, 1, Ends(Outcome::Panicked), Some(Broken)),
            (Went::Panicked, cancelled, true, 1, Ends(Outcome::Panicked), Some(Broken)),
        ];
        for (went, cancelled, may_run_again, attempt, task, condemned) in table {
            let case = Case { went, cancelled, may_run_again, attempt, ..CASE };
            let suspect = cancelled.is_some() && condemned.is_none();
            assert_eq!(settle(case), Verdict { task, condemned, suspect }, "{case:?}");
        }
    }

    const CASE: Case = Case {
        went: Went::Well,
        cancelled: None,
        may_run_again: true,
        attempt: 1,
        max_retries: 2,
        validates: false,
    };

    #[test]
    fn a_dropped_future_leaves_a_resource_that_somebody_has_to_look_at() {
        use Outcome::{Cancelled, Killed, TimedOut};
        let (left, stranded) = (Went::Dropped(Gone::Caller), Went::Dropped(Gone::Runtime));
        let (unused, lost) = (Went::NotBegun(Gone::Caller), Went::NotBegun(Gone::Runtime));
        let late = Some(Why::TimedOut);
        // went, cancelled, can be validated -> outcome, condemned, suspect
        let table = [
            (left, None, false, Cancelled, true, false),
            (left, None, true, Cancelled, false, true),
            (left, Some(Why::Cancelled), true, Cancelled, false, true),
            (left, late, false, TimedOut, true, false),
            (left, late, true, TimedOut, false, true),
            (stranded, None, false, Killed, true, false),
            (stranded, late, true, Killed, false, true),
            (unused, None, false, Cancelled, false, false),
            (unused, late, true, TimedOut, false, false),
            (lost, None, true, Killed, false, false),
            (Went::Late, None, true, Outcome::Expired, false, false),
        ];
        for (went, cancelled, validates, outcome, condemned, suspect) in table {
            let case = Case { went, cancelled, validates, ..CASE };
            let condemned = condemned.then_some(DestroyReason::Interrupted);
            let expected = Verdict { task: Ends(outcome), condemned, suspect };
            assert_eq!(settle(case), expected, "{case:?}");
        }
    }
}
