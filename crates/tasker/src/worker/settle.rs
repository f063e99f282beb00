//! DECISION: what an attempt means for its task and for its resource.

use crate::cancel::Why;
use crate::event::DestroyReason;
use crate::outcome::Outcome;
use crate::retry::{Retry, retry};

/// How an attempt went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Went {
    Well,
    Wrong { healthy: bool },
    Panicked,
}

/// What is known of an attempt when it has returned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) went: Went,
    pub(crate) cancelled: Option<Why>,
    pub(crate) may_run_again: bool,
    pub(crate) attempt: u32,
    pub(crate) max_retries: u32,
}

/// What becomes of the task, and why its resource must go (if it must).
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) task: Settled,
    pub(crate) condemned: Option<DestroyReason>,
    /// The attempt was cancelled or timed out: who knows what it left the resource in.
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
    };
    let task = match (case.went, case.cancelled) {
        (Went::Well, _) => Settled::Ends(Outcome::Completed),
        (Went::Panicked, _) => Settled::Ends(Outcome::Panicked),
        (Went::Wrong { .. }, Some(Why::Cancelled)) => Settled::Ends(Outcome::Cancelled),
        (Went::Wrong { .. }, Some(Why::TimedOut)) => Settled::Ends(Outcome::TimedOut),
        (Went::Wrong { healthy: true }, None) => Settled::Ends(Outcome::Failed),
        (Went::Wrong { healthy: false }, None) => {
            match retry(case.may_run_again, case.attempt, case.max_retries) {
                Retry::Again => Settled::RunsAgain,
                Retry::Exhausted => Settled::Ends(Outcome::RetriesExhausted),
                Retry::Never => Settled::Ends(Outcome::Failed),
            }
        }
    };
    Verdict { task, condemned, suspect: case.cancelled.is_some() && condemned.is_none() }
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
            let case = Case { went, cancelled, may_run_again, attempt, max_retries: 2 };
            let suspect = cancelled.is_some() && condemned.is_none();
            assert_eq!(settle(case), Verdict { task, condemned, suspect }, "{case:?}");
        }
    }
}
