//! DECISION: whether a task whose resource turned out unhealthy runs again.

pub(crate) mod backoff;

/// What becomes of a task after an unhealthy error.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    /// It is queued again.
    Again,
    /// It has used up what it was allowed.
    Exhausted,
    /// It may run once only, so that its error is its own.
    Never,
}

/// `attempt` counts from 1; a task with `max_retries` runs at most `max_retries + 1` times.
pub(crate) fn retry(may_run_again: bool, attempt: u32, max_retries: u32) -> Retry {
    match may_run_again {
        false => Retry::Never,
        true if attempt <= max_retries => Retry::Again,
        true => Retry::Exhausted,
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_task_runs_max_retries_times_more_and_a_once_task_never() {
        let table = [
            (true, 1, 3, Retry::Again),
            (true, 3, 3, Retry::Again),
            (true, 4, 3, Retry::Exhausted),
            (true, 1, 0, Retry::Exhausted),
            (false, 1, 3, Retry::Never),
        ];
        for (again, attempt, max, expected) in table {
            assert_eq!(
                retry(again, attempt, max),
                expected,
                "attempt {attempt} of {max}, again: {again}"
            );
        }
    }
}
