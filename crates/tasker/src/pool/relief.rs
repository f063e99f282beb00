//! DECISION: what is done when tasks wait for tasks of their own manager and hold its workers up with that.

/// Who is there, and who of them can get no further by itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standstill {
    /// Workers that are there, whatever they are doing.
    pub(crate) live: usize,
    /// Those whose task waits for another task that has not ended.
    pub(crate) blocked: usize,
    /// How many workers there may be.
    pub(crate) limit: usize,
    /// A worker can be added at all.
    pub(crate) hires: bool,
    /// Tasks are held back on purpose: whoever waits goes on when that ends.
    pub(crate) paused: bool,
}

/// What helps.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relief {
    /// Somebody can still get on, and will serve the others.
    None,
    /// One more worker.
    Hire,
    /// Whoever came last to block is refused: there is no other way on.
    Refuse,
}

/// Promise 16.
pub(crate) fn relief(at: Standstill) -> Relief {
    match at {
        Standstill { blocked: 0, .. } | Standstill { paused: true, .. } => Relief::None,
        Standstill { blocked, live, .. } if blocked < live => Relief::None,
        Standstill { live, limit, hires: true, .. } if live < limit => Relief::Hire,
        _ => Relief::Refuse,
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_its_own_manager_is_helped_or_refused() {
        // live, blocked, limit, hires, paused -> relief
        let table = [
            (2, 0, 2, true, false, Relief::None),
            (2, 1, 2, true, false, Relief::None), // the other one works, or makes its resource, or goes
            (2, 2, 3, true, false, Relief::Hire),
            (2, 2, 3, false, false, Relief::Refuse), // no thread can be started, or the manager is killed
            (2, 2, 2, true, false, Relief::Refuse),
            (2, 2, 1, true, false, Relief::Refuse), // after a lower cap
            (2, 2, 2, true, true, Relief::None),
            (2, 2, 3, true, true, Relief::None),
            (0, 0, 3, true, false, Relief::None),
        ];
        for (live, blocked, limit, hires, paused, expected) in table {
            let at = Standstill { live, blocked, limit, hires, paused };
            assert_eq!(relief(at), expected, "{at:?}");
        }
    }
}
