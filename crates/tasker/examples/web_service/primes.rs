//! The work that computes: counts the primes of a range with a sieve that is kept from task to task.

use std::fmt;

use serde::Deserialize;
use tasker::{Cancelled, TaskContext};

use crate::fault::Fault;

/// Where counting ends. A sieve knows the primes up to its root.
pub(crate) const END: u64 = 1_000_000_000_000;
const ROOT: u64 = 1_000_000;

/// So many numbers are looked at together: they fit into a core's cache, and take about a millisecond, which
/// is how soon a count ends after it was cancelled.
const WINDOW: u64 = 1 << 18;

/// The numbers from `from` up to `to`, which does not belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) struct Range {
    pub(crate) from: u64,
    pub(crate) to: u64,
}

impl Range {
    /// What is wrong with it, if anything is.
    pub(crate) fn check(self) -> Result<Self, String> {
        let Self { from, to } = self;
        if from >= to {
            Err(format!("`from` ({from}) must be less than `to` ({to})"))
        } else if to > END {
            Err(format!("`to` ({to}) must not be more than {END}"))
        } else {
            Ok(self)
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "from {} up to {}", self.from, self.to)
    }
}

/// The resource of the counters: a table that takes a while to make, and a buffer.
#[derive(Debug)]
pub(crate) struct Sieve {
    primes: Vec<u64>,
    composite: Vec<bool>,
}

impl Sieve {
    pub(crate) fn new() -> Self {
        let mut composite = vec![false; ROOT as usize];
        let mut primes = Vec::new();
        for number in 2..ROOT {
            if !composite[number as usize] {
                primes.push(number);
                strike(&mut composite, number * number, number);
            }
        }
        composite.resize(WINDOW as usize, false);
        Self { primes, composite }
    }

    /// How many primes the range has.
    pub(crate) fn count(&mut self, cx: &TaskContext, range: Range) -> Result<u64, Fault> {
        let mut count = 0;
        let mut from = range.from.max(2);
        while from < range.to {
            if cx.is_cancelled() {
                return Err(Cancelled.into());
            }
            let end = range.to.min(from + WINDOW);
            let composite = &mut self.composite[..(end - from) as usize];
            composite.fill(false);
            for prime in self.primes.iter().take_while(|prime| *prime * *prime < end) {
                let first = from.next_multiple_of(*prime).max(prime * prime);
                strike(composite, first - from, *prime);
            }
            count += composite.iter().filter(|composite| !**composite).count() as u64;
            from = end;
        }
        Ok(count)
    }
}

fn strike(composite: &mut [bool], first: u64, step: u64) {
    for at in (first as usize..composite.len()).step_by(step as usize) {
        composite[at] = true;
    }
}
