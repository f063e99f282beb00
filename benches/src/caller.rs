//! One caller of a system: repeats an operation, and times the whole or each one.

use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::stats::Waits;
use crate::work::Work;

/// Whoever calls a system so many times in a row.
#[derive(Debug)]
pub(crate) struct Caller<W> {
    /// Which of the callers, from 0.
    pub(crate) index: usize,
    times: u64,
    work: W,
    /// Where each call is timed. The clock costs as much as the fastest systems do, so that a pass either
    /// measures how long all calls took or how long each took.
    waits: Option<Waits>,
}

/// What a caller has seen.
#[derive(Debug)]
pub(crate) struct Tally {
    /// The sum of the results.
    results: u64,
    began: Instant,
    ended: Instant,
    waits: Option<Waits>,
}

impl<W: Work> Caller<W> {
    pub(crate) fn new(index: usize, times: u64, work: W, times_each: bool) -> Self {
        Self { index, times, work, waits: times_each.then(Waits::new) }
    }

    /// Calls `op`, which returns the result of the work that it is given.
    pub(crate) fn repeat(mut self, mut op: impl FnMut(W) -> u64) -> Tally {
        let began = Instant::now();
        let (mut results, mut last) = (0, began);
        for _ in 0..self.times {
            results += black_box(op(self.work.clone()));
            if let Some(waits) = &mut self.waits {
                let now = Instant::now();
                waits.record(now - last);
                last = now;
            }
        }
        Tally { results, began, ended: Instant::now(), waits: self.waits }
    }

    /// As [`repeat`](Self::repeat), where the result is awaited.
    pub(crate) async fn repeat_async<F: Future<Output = u64>>(
        mut self,
        mut op: impl FnMut(W) -> F,
    ) -> Tally {
        let began = Instant::now();
        let (mut results, mut last) = (0, began);
        for _ in 0..self.times {
            results += black_box(op(self.work.clone()).await);
            if let Some(waits) = &mut self.waits {
                let now = Instant::now();
                waits.record(now - last);
                last = now;
            }
        }
        Tally { results, began, ended: Instant::now(), waits: self.waits }
    }
}

/// What all callers have seen together.
#[derive(Debug)]
pub(crate) struct Total {
    /// From the first caller's begin to the last one's end.
    pub(crate) took: Duration,
    pub(crate) waits: Option<Waits>,
}

impl Total {
    /// Panics if a result is missing: then the figures would compare a system that loses tasks.
    pub(crate) fn of(tallies: Vec<Tally>, expected: u64) -> Self {
        let results: u64 = tallies.iter().map(|tally| tally.results).sum();
        assert_eq!(results, expected, "every call has a result");
        let began = tallies.iter().map(|tally| tally.began).min();
        let ended = tallies.iter().map(|tally| tally.ended).max();
        let took = began.zip(ended).map_or(Duration::ZERO, |(began, ended)| ended - began);
        let waits = tallies.into_iter().filter_map(|tally| tally.waits).reduce(Waits::merged);
        Self { took, waits }
    }
}

#[cfg(test)]
mod tests {
    use super::{Caller, Total};
    use crate::work::{Empty, Work};

    #[test]
    fn a_caller_sums_up_results_and_times_each_if_told_to() {
        let mut resource = 0;
        let tally = Caller::new(0, 5, Empty, true).repeat(|work| work.run(&mut resource));
        let total = Total::of(vec![tally], 5);
        assert_eq!(total.waits.map(|waits| waits.count()), Some(5));
        assert_eq!(resource, 5);
    }

    #[test]
    #[should_panic(expected = "every call has a result")]
    fn a_lost_result_is_noticed() {
        let tally = Caller::new(0, 5, Empty, false).repeat(|_| 0);
        Total::of(vec![tally], 5);
    }
}
