//! What a task does with its resource: nothing, so many rounds of CPU, or wait until it is told.

use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

/// A type of its own for each work, so that an empty task is a closure without captures, as a user's would
/// be.
pub(crate) trait Work: Clone + Send + Sync + 'static {
    /// Returns 1, so that whoever sums up the results knows that none is missing.
    fn run(self, resource: &mut u64) -> u64;
}

/// Only touches the resource.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Empty;

impl Work for Empty {
    fn run(self, resource: &mut u64) -> u64 {
        *resource += 1;
        1
    }
}

/// Keeps a core busy for so many rounds. Not until a point in time: a thread that lost its core in between
/// has worked less, and would be counted as if it had not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spin(u32);

impl Work for Spin {
    fn run(self, resource: &mut u64) -> u64 {
        for round in 0..self.0 {
            *resource = black_box(*resource ^ u64::from(round));
        }
        1
    }
}

impl Spin {
    /// As many rounds as take `time` on a core that nothing disturbs.
    pub(crate) fn lasting(time: Duration) -> Self {
        const ROUNDS: u32 = 200_000;
        let fastest = (0..20).map(|_| Self(ROUNDS).time_alone()).min().unwrap_or_default();
        let rounds = time.as_secs_f64() / fastest.as_secs_f64() * f64::from(ROUNDS);
        Self(rounds.round().max(1.0) as u32)
    }

    fn time_alone(self) -> Duration {
        let mut resource = 0;
        let began = Instant::now();
        self.run(&mut resource);
        let took = began.elapsed();
        black_box(resource);
        took
    }
}

/// Keeps its worker until the gate is opened.
#[derive(Debug, Clone)]
pub(crate) struct Held(pub(crate) Gate);

impl Work for Held {
    fn run(self, resource: &mut u64) -> u64 {
        self.0.pass();
        *resource += 1;
        1
    }
}

/// Where so many tasks wait until all are there, and then until they are let through.
#[derive(Debug, Clone)]
pub(crate) struct Gate(Arc<(Barrier, Barrier)>);

impl Gate {
    pub(crate) fn for_tasks(tasks: usize) -> Self {
        Self(Arc::new((Barrier::new(tasks + 1), Barrier::new(tasks + 1))))
    }

    /// Returns when every task waits at the gate.
    pub(crate) fn await_arrivals(&self) {
        self.0.0.wait();
    }

    pub(crate) fn open(&self) {
        self.0.1.wait();
    }

    fn pass(&self) {
        self.0.0.wait();
        self.0.1.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::{Empty, Spin, Work};

    #[test]
    fn every_work_counts_as_one_result() {
        let mut resource = 0;
        assert_eq!(Empty.run(&mut resource) + Spin(3).run(&mut resource), 2);
    }
}
