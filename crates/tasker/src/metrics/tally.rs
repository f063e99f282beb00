//! What one stripe of a collector has counted, and how the counts of several add up.
//!
//! Constant memory: two histograms and two windows, whatever the number of tasks. Nothing here
//! allocates after `new`.

use std::time::{Duration, Instant};

use super::snapshot::{TaskLifecycleTimestamps, TaskMetrics};
use super::spread::Spread;
use super::window::{Dial, Window, nanos};

/// All that is known of the tasks that were recorded in one place.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) arrivals: Arrivals,
    pub(crate) endings: Endings,
}

/// The tasks that came in.
#[derive(Debug)]
pub(crate) struct Arrivals {
    total: u64,
    dial: Dial,
    window: Window,
}

/// The tasks that are over, and the retries that it took.
#[derive(Debug)]
pub(crate) struct Endings {
    completed: u64,
    failed: u64,
    retried: u64,
    dial: Dial,
    completions: Window,
    execution: Times,
    wait: Times,
}

/// A distribution of times in nanoseconds: percentiles from a histogram, the rest exact.
#[derive(Debug)]
struct Times {
    spread: Spread,
    sum: u128,
    shortest: u64,
    longest: u64,
}

impl Tally {
    /// Empty; its windows count from `start`.
    pub(crate) fn new(start: Instant) -> Self {
        Self { arrivals: Arrivals::new(start), endings: Endings::new(start) }
    }

    pub(crate) fn clear(&mut self) {
        let Self { arrivals, endings } = self;
        arrivals.total = 0;
        arrivals.window = Window::new();
        endings.clear();
    }

    /// The public figures. `now`: nanoseconds since the start.
    pub(crate) fn summary(&self, now: u64) -> TaskMetrics {
        let Self { arrivals, endings } = self;
        let [p50_execution_time, p95_execution_time, p99_execution_time] =
            endings.execution.percentiles();
        let [p50_wait_time, p95_wait_time, p99_wait_time] = endings.wait.percentiles();
        let finished = endings.completed + endings.failed;

        TaskMetrics {
            average_execution_time: endings.execution.average(finished),
            min_execution_time: endings.execution.shortest(),
            max_execution_time: endings.execution.longest(),
            p50_execution_time,
            p95_execution_time,
            p99_execution_time,
            average_wait_time: endings.wait.average(finished),
            p50_wait_time,
            p95_wait_time,
            p99_wait_time,
            max_wait_time: endings.wait.longest(),
            task_arrival_rate: arrivals.window.rate(now),
            task_completion_rate: endings.completions.rate(now),
            total_tasks_arrived: arrivals.total,
            total_tasks_completed: endings.completed,
            total_tasks_failed: endings.failed,
            total_tasks_retried: endings.retried,
            success_rate: share(endings.completed, finished),
            failure_rate: share(endings.failed, finished),
        }
    }
}

impl Arrivals {
    /// None so far; the window counts from `start`.
    pub(crate) fn new(start: Instant) -> Self {
        Self { total: 0, dial: Dial::new(start), window: Window::new() }
    }

    /// Counts a task that was accepted at `at`.
    #[inline]
    pub(crate) fn record(&mut self, at: Instant) {
        self.total += 1;
        self.window.record(self.dial.turn(at));
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.total += other.total;
        self.window.add(&other.window);
    }

    /// Adds tasks that came in a turn of the window.
    pub(crate) fn add_turn(&mut self, turn: u64, count: u64) {
        self.total += count;
        self.window.record_many(turn, count);
    }

    /// Adds tasks that no window shows any more.
    pub(crate) fn add_past(&mut self, count: u64) {
        self.total += count;
    }

    #[cfg(test)]
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    #[cfg(test)]
    pub(crate) fn rate(&self, now: u64) -> f64 {
        self.window.rate(now)
    }
}

impl Endings {
    /// None so far; the window counts from `start`.
    pub(crate) fn new(start: Instant) -> Self {
        Self {
            completed: 0,
            failed: 0,
            retried: 0,
            dial: Dial::new(start),
            completions: Window::new(),
            execution: Times::new(),
            wait: Times::new(),
        }
    }

    /// Counts a success.
    #[inline]
    pub(crate) fn completion(&mut self, stamps: &TaskLifecycleTimestamps) {
        self.completed += 1;
        self.completions.record(self.dial.turn(stamps.finished_at));
        self.times(stamps);
    }

    /// Counts a failure, with its times.
    pub(crate) fn failure(&mut self, stamps: &TaskLifecycleTimestamps) {
        self.failed += 1;
        self.times(stamps);
    }

    pub(crate) fn retry(&mut self) {
        self.retried += 1;
    }

    fn times(&mut self, stamps: &TaskLifecycleTimestamps) {
        self.execution.record(nanos(stamps.execution_time()));
        // Most tasks that find a resource start when they come: that needs no arithmetic.
        let waits = stamps.started_at != stamps.queued_at;
        self.wait.record(if waits { nanos(stamps.wait_time()) } else { 0 });
    }

    pub(crate) fn add(&mut self, other: &Self) {
        let Self { completed, failed, retried, dial: _, completions, execution, wait } = self;
        *completed += other.completed;
        *failed += other.failed;
        *retried += other.retried;
        completions.add(&other.completions);
        execution.add(&other.execution);
        wait.add(&other.wait);
    }

    /// Becomes a copy of others, without a new allocation.
    pub(crate) fn copy(&mut self, other: &Self) {
        let Self { completed, failed, retried, dial: _, completions, execution, wait } = self;
        (*completed, *failed, *retried) = (other.completed, other.failed, other.retried);
        completions.clone_from(&other.completions);
        execution.copy(&other.execution);
        wait.copy(&other.wait);
    }

    pub(crate) fn clear(&mut self) {
        let Self { completed, failed, retried, dial: _, completions, execution, wait } = self;
        *completed = 0;
        *failed = 0;
        *retried = 0;
        *completions = Window::new();
        execution.clear();
        wait.clear();
    }

    /// Bytes of the histograms, which are all that is on the heap, and how many tasks each has.
    #[cfg(test)]
    pub(crate) fn histograms(&self) -> (usize, [u64; 2]) {
        let (execution, wait) = (&self.execution.spread, &self.wait.spread);
        (execution.bytes() + wait.bytes(), [execution.count(), wait.count()])
    }
}

impl Times {
    fn new() -> Self {
        Self { spread: Spread::new(), sum: 0, shortest: u64::MAX, longest: 0 }
    }

    #[inline]
    fn record(&mut self, time: u64) {
        self.spread.record(time);
        self.sum += u128::from(time);
        self.shortest = self.shortest.min(time);
        self.longest = self.longest.max(time);
    }

    fn add(&mut self, other: &Self) {
        self.spread.add(&other.spread);
        self.sum += other.sum;
        self.shortest = self.shortest.min(other.shortest);
        self.longest = self.longest.max(other.longest);
    }

    fn copy(&mut self, other: &Self) {
        self.spread.copy(&other.spread);
        (self.sum, self.shortest, self.longest) = (other.sum, other.shortest, other.longest);
    }

    fn clear(&mut self) {
        let Self { spread, sum, shortest, longest } = self;
        spread.clear();
        (*sum, *shortest, *longest) = (0, u64::MAX, 0);
    }

    /// No percentile lies outside what was really seen.
    fn percentiles(&self) -> [Duration; 3] {
        let middles = self.spread.percentiles([50, 95, 99]);
        middles.map(|middle| Duration::from_nanos(middle.max(self.shortest).min(self.longest)))
    }

    fn average(&self, finished: u64) -> Duration {
        let mean = self.sum / u128::from(finished.max(1));
        Duration::from_nanos(mean as u64) // no larger than the longest, which is a u64
    }

    fn shortest(&self) -> Duration {
        Duration::from_nanos(self.shortest.min(self.longest)) // zero while nothing has finished
    }

    fn longest(&self) -> Duration {
        Duration::from_nanos(self.longest)
    }
}

fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}
