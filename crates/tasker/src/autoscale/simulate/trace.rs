//! What comes and when, and what breaks: the input of a simulation.

use std::ops::Range;
use std::time::Duration;

use super::setup::{LONGEST, SimulateError};

/// A task of a [`Trace`].
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// When it comes, from the beginning of the trace.
    pub at: Duration,
    /// How long an attempt takes.
    pub service: Duration,
    /// Whether it breaks every resource that it is run on.
    pub poison: bool,
}

/// The tasks that come, when they come and how long they take, and when resources fail.
///
/// Made by chance from a seed in one of the shapes below, read [from CSV](Self::from_csv), or put together
/// [from arrivals](Self::new). The seed decides everything: the same seed, the same trace.
///
/// ```
/// use std::time::Duration;
/// use tasker::autoscale::simulate::Trace;
///
/// // Ten tasks in a second, then a backend that is down for a second.
/// let arrivals = (0..10).map(|n| (Duration::from_millis(n * 100), Duration::from_millis(20)));
/// let trace = Trace::new(arrivals).outage(Duration::from_secs(1)..Duration::from_secs(2));
/// assert_eq!(trace.arrivals().len(), 10);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    arrivals: Vec<Arrival>,
    length: Duration,
    warm_up: Duration,
    failing: f64,
    outages: Vec<Range<Duration>>,
}

impl Trace {
    /// Tasks by the time at which they come and the time that each takes, in any order. The trace is as
    /// long as the last arrival is late; [`length`](Self::length) makes it longer.
    #[must_use]
    pub fn new(tasks: impl IntoIterator<Item = (Duration, Duration)>) -> Self {
        let arrival = |(at, service)| Arrival { at, service, poison: false };
        let mut arrivals: Vec<Arrival> = tasks.into_iter().map(arrival).collect();
        arrivals.sort_by_key(|arrival| arrival.at); // stable: those of one moment stay in order
        let length = arrivals.last().map_or(Duration::ZERO, |last| last.at);
        Self { arrivals, length, warm_up: Duration::ZERO, failing: 0.0, outages: Vec::new() }
    }

    /// How long the simulation goes on at least. It goes on longer while tasks have not ended.
    #[must_use]
    pub fn length(mut self, length: Duration) -> Self {
        self.length = self.length.max(length);
        self
    }

    /// Tasks that come earlier are played like the others, but their waits are not counted. It shows what a
    /// policy comes to rest at, apart from how it gets there (P. Welch, "The statistical analysis of
    /// simulation results", Computer Performance Modeling Handbook, 1983). Costs are counted from the
    /// beginning.
    #[must_use]
    pub fn warm_up(mut self, warm_up: Duration) -> Self {
        self.warm_up = warm_up;
        self
    }

    /// Each creation fails with this probability, from 0 to 0.99.
    #[must_use]
    pub fn creations_fail(mut self, probability: f64) -> Self {
        self.failing = probability;
        self
    }

    /// The backend is down for this time: creations that end within it fail, every resource in use at its
    /// beginning breaks, and so does every resource on which a task begins within it.
    #[must_use]
    pub fn outage(mut self, during: Range<Duration>) -> Self {
        self.outages.push(during);
        self
    }

    /// Every `nth` task breaks whatever resource it is run on; zero makes none of them do so.
    #[must_use]
    pub fn poison(mut self, nth: usize) -> Self {
        for (n, arrival) in self.arrivals.iter_mut().enumerate() {
            arrival.poison = (n + 1).checked_rem(nth) == Some(0);
        }
        self
    }

    /// The tasks, in the order in which they come.
    #[must_use]
    pub fn arrivals(&self) -> &[Arrival] {
        &self.arrivals
    }

    /// From the beginning to the end of the trace.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.length
    }

    /// Whether the wait of this task counts.
    pub(super) fn counts(&self, task: usize) -> bool {
        self.arrivals[task].at >= self.warm_up
    }

    pub(super) fn failing(&self) -> f64 {
        self.failing
    }

    pub(super) fn outages(&self) -> &[Range<Duration>] {
        &self.outages
    }

    pub(super) fn is_down(&self, at: Duration) -> bool {
        self.outages.iter().any(|outage| outage.contains(&at))
    }

    pub(super) fn check(&self) -> Result<(), SimulateError> {
        if !(0.0..=0.99).contains(&self.failing) {
            return Err(SimulateError::FailureProbability { probability: self.failing });
        }
        let mut pieces = vec![("the length of the trace", self.length)];
        pieces.extend(self.arrivals.iter().map(|arrival| ("a service time", arrival.service)));
        for Range { start, end } in &self.outages {
            if end <= start {
                return Err(SimulateError::Outage { from: *start, until: *end });
            }
            pieces.push(("the end of an outage", *end));
        }
        match pieces.into_iter().find(|(_, duration)| *duration > LONGEST) {
            Some((what, duration)) => Err(SimulateError::TooLong { what, duration }),
            None => Ok(()),
        }
    }
}
