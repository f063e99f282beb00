//! What one stripe of a collector has counted, and how the counts of several add up.
//!
//! Constant memory: two histograms and two windows, whatever the number of tasks. Nothing here
//! allocates after `new`.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::snapshot::{TaskLifecycleTimestamps, TaskMetrics};
use super::window::{Dial, Window, nanos};

/// Longest time that the percentiles tell apart: an hour, in nanoseconds. Each doubling costs
/// another kilobyte per histogram.
const LONGEST: u64 = 3_600_000_000_000;
/// Two significant digits: 128 buckets or more per doubling, so a bucket is less than 0.8 % wide.
const DIGITS: u8 = 2;

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
    spread: Histogram<u64>,
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
            average_execution_time: endings.execution.average(),
            min_execution_time: endings.execution.shortest(),
            max_execution_time: endings.execution.longest(),
            p50_execution_time,
            p95_execution_time,
            p99_execution_time,
            average_wait_time: endings.wait.average(),
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
        let buckets = execution.distinct_values() + wait.distinct_values();
        (buckets * size_of::<u64>(), [execution.len(), wait.len()])
    }
}

impl Times {
    fn new() -> Self {
        Self {
            spread: Histogram::new_with_bounds(1, LONGEST, DIGITS)
                .expect("the bounds are constants that the histogram accepts"),
            sum: 0,
            shortest: u64::MAX,
            longest: 0,
        }
    }

    fn record(&mut self, time: u64) {
        // The histogram's own clamp would put two hours below 70 minutes: its last bucket ends
        // beyond the bound, and only what is beyond that bucket is moved back to the bound.
        self.spread.saturating_record(time.min(LONGEST));
        self.sum += u128::from(time);
        self.shortest = self.shortest.min(time);
        self.longest = self.longest.max(time);
    }

    /// A block copy if this one is empty, an addition of every bucket otherwise.
    fn add(&mut self, other: &Self) {
        self.spread.add(&other.spread).expect("all histograms have the same bounds");
        self.sum += other.sum;
        self.shortest = self.shortest.min(other.shortest);
        self.longest = self.longest.max(other.longest);
    }

    fn clear(&mut self) {
        let Self { spread, sum, shortest, longest } = self;
        spread.reset();
        (*sum, *shortest, *longest) = (0, u64::MAX, 0);
    }

    /// The middle of the bucket that holds the rank halves the error, and no percentile lies
    /// outside what was really seen.
    fn percentiles(&self) -> [Duration; 3] {
        [0.50, 0.95, 0.99].map(|quantile| {
            let bucket = self.spread.value_at_quantile(quantile);
            let middle = self.spread.median_equivalent(bucket);
            Duration::from_nanos(middle.max(self.shortest).min(self.longest))
        })
    }

    fn average(&self) -> Duration {
        let mean = self.sum / u128::from(self.spread.len().max(1));
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
