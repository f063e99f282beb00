//! Metrics of tasks: who collects them, the collector that is used by default, what it reports.
//!
//! Recording costs some tens of nanoseconds and reading some tens of microseconds, however many
//! tasks there have been. Nothing here decides anything: scaling reads its own load figures.

mod intake;
mod snapshot;
mod spread;
mod tally;
mod window;

use std::cell::Cell;
use std::fmt;
// Straight from std, not `crate::sync`: metrics are no part of the loom models, whose state space
// they would multiply without taking part in any of the protocols.
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::Instant;

use self::intake::Intake;
pub use self::snapshot::{TaskLifecycleTimestamps, TaskMetrics};
pub(crate) use self::tally::Arrivals;
use self::tally::{Endings, Tally};
use self::window::nanos;
use crate::clock;

/// Takes note of what happens to tasks. [`Collector`] is the default; write your own to send the
/// figures elsewhere.
///
/// A manager calls it on the threads that submit and finish tasks, many at once, so an
/// implementation must be quick and must not block. It never changes what the manager does; above all
/// it must not stop or kill the manager that calls it, which would wait for itself.
///
/// Each accepted task is one arrival. A task that has started is at its end one completion or one
/// failure, with the times of its last attempt; a task that never started is neither.
///
/// An `Arc` of a collector is a collector too: keep a clone to read the figures from elsewhere.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use tasker::{Config, MetricsCollector, TaskLifecycleTimestamps, TaskManager, TaskMetrics};
///
/// #[derive(Default)]
/// struct Failures(AtomicU64);
/// impl MetricsCollector for Failures {
///     fn record_arrival(&self) {}
///     fn record_completion(&self, _: &TaskLifecycleTimestamps) {}
///     fn record_failure(&self, _: &TaskLifecycleTimestamps) {
///         self.0.fetch_add(1, Ordering::Relaxed);
///     }
///     fn record_retry(&self) {}
///     fn metrics(&self) -> TaskMetrics {
///         let mut metrics = TaskMetrics::default();
///         metrics.total_tasks_failed = self.0.load(Ordering::Relaxed);
///         metrics
///     }
/// }
///
/// let failures = Arc::new(Failures::default());
/// let config = Config::<(), String>::new(|| Ok(())).worker_count(1).collector(Arc::clone(&failures));
/// let manager = TaskManager::new(config)?;
/// manager.queue_task(|_, _| Err::<(), _>("no such row".to_owned())).unwrap_err();
/// assert_eq!(failures.metrics().total_tasks_failed, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait MetricsCollector: Send + Sync + 'static {
    /// A task has been accepted.
    fn record_arrival(&self);

    /// A task has been accepted, at `at`.
    ///
    /// This is what a manager calls, because it has read the clock already and a second reading
    /// would cost more than the rest of the record. By default it forgets `at` and calls
    /// [`record_arrival`](Self::record_arrival); a collector that needs no time implements only
    /// that one.
    fn record_arrival_at(&self, at: Instant) {
        let _ = at;
        self.record_arrival();
    }

    /// A task has ended in success.
    fn record_completion(&self, stamps: &TaskLifecycleTimestamps);

    /// A task has ended in failure.
    fn record_failure(&self, stamps: &TaskLifecycleTimestamps);

    /// A task is going to be tried again.
    fn record_retry(&self);

    /// The figures so far.
    fn metrics(&self) -> TaskMetrics;
}

/// Collects metrics in constant memory.
///
/// - Percentiles are within 1 % (from 1 ns to an hour; longer times count as an hour there).
///   Averages, shortest and longest times, and counts are exact. Failures are timed like successes.
/// - The two rates per second cover the last ten seconds; a success counts at its `finished_at`.
/// - Memory is about 80 KB for each of 2, 4 or 8 stripes (one per core, rounded up), and as much
///   again as two of them for reading. Neither it nor the cost of
///   [`metrics`](MetricsCollector::metrics) grows with the tasks.
/// - Reading never stops those who record, and no snapshot shows a task as finished that it does
///   not show as arrived, if its arrival was recorded first. A manager's own does that. One that a manager is given
///   hears of a submitted task when that has been taken in, and a worker may be faster.
///
/// Every manager has one. It also works on its own, for work that no manager runs:
///
/// ```
/// use std::time::{Duration, Instant};
/// use tasker::{Collector, MetricsCollector, TaskLifecycleTimestamps};
///
/// let collector = Collector::new();
///
/// collector.record_arrival();
/// let queued_at = Instant::now();
/// let started_at = queued_at + Duration::from_millis(5);
/// let finished_at = started_at + Duration::from_millis(20);
/// collector.record_completion(&TaskLifecycleTimestamps::new(queued_at, started_at, finished_at));
///
/// let metrics = collector.metrics();
/// assert_eq!(metrics.total_tasks_completed, 1);
/// assert_eq!(metrics.success_rate, 1.0);
/// assert_eq!(metrics.average_wait_time, Duration::from_millis(5));
/// assert_eq!(metrics.max_execution_time, Duration::from_millis(20));
/// ```
pub struct Collector {
    start: Instant,
    /// Their number is a power of two, so that a thread's index is brought into range by a mask.
    stripes: Box<[Stripe]>,
    reading: Mutex<Reading>,
}

/// Memory to add up in, kept because allocating it for each snapshot costs six times the addition:
/// the allocator gives pages back to the system, which hands them out again one fault at a time.
struct Reading {
    copy: Endings,
    sum: Tally,
}

/// What is counted in one place. Aligned to two cache lines, because processors fetch them in pairs: a
/// recorder of one stripe does not slow down that of its neighbour.
#[repr(align(128))]
struct Stripe {
    arrivals: Intake,
    endings: Mutex<Endings>,
}

impl Stripe {
    fn new(start: Instant) -> Self {
        Self { arrivals: Intake::new(start), endings: Mutex::new(Endings::new(start)) }
    }

    fn lock(&self) -> MutexGuard<'_, Endings> {
        // A panic between two additions leaves counts that are off by one: no reason to fail.
        self.endings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_lock(&self) -> Option<MutexGuard<'_, Endings>> {
        match self.endings.try_lock() {
            Ok(endings) => Some(endings),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

static NEXT_INDEX: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// The stripe that this thread tries first, before the mask.
    static OWN_INDEX: Cell<usize> = Cell::new(NEXT_INDEX.fetch_add(1, Ordering::Relaxed));
}

impl Collector {
    /// An empty collector; its rates count from now.
    #[must_use]
    pub fn new() -> Self {
        Self::starting_at(clock::real_now())
    }

    /// An empty collector; its rates count from `start`.
    pub(crate) fn starting_at(start: Instant) -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let stripes = cores.clamp(2, 8).next_power_of_two();
        Self {
            start,
            stripes: (0..stripes).map(|_| Stripe::new(start)).collect(),
            reading: Mutex::new(Reading { copy: Endings::new(start), sum: Tally::new(start) }),
        }
    }

    /// The endings of the first free stripe, from the thread's own one on. A thread that finds its own taken
    /// stays with the one it moves to, so two that would meet again and again part ways at once.
    #[inline]
    fn endings(&self) -> MutexGuard<'_, Endings> {
        let own = OWN_INDEX.get();
        match self.stripes[own & (self.stripes.len() - 1)].try_lock() {
            Some(endings) => endings,
            None => self.endings_elsewhere(own),
        }
    }

    #[cold]
    fn endings_elsewhere(&self, own: usize) -> MutexGuard<'_, Endings> {
        let mask = self.stripes.len() - 1;
        for index in (1..=mask).map(|step| own.wrapping_add(step)) {
            if let Some(endings) = self.stripes[index & mask].try_lock() {
                OWN_INDEX.set(index);
                return endings;
            }
        }
        self.stripes[own & mask].lock()
    }

    fn since_start(&self, at: Instant) -> u64 {
        nanos(at.saturating_duration_since(self.start))
    }

    /// Copies under one lock at a time and adds up outside, so that a recorder finds at most one
    /// stripe taken. Arrivals are read when all endings have been: an arrival precedes its ending,
    /// so the sum holds the arrival of every ending.
    fn metrics_at(&self, now: Instant) -> TaskMetrics {
        self.metrics_with(now, |sum| {
            for stripe in &self.stripes {
                stripe.arrivals.add_to(sum);
            }
        })
    }

    /// The figures of a manager that counts arrivals itself; `arrivals` adds them to those it is given.
    pub(crate) fn metrics_with(
        &self,
        now: Instant,
        arrivals: impl FnOnce(&mut Arrivals),
    ) -> TaskMetrics {
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let Reading { copy, sum } = &mut *reading;
        sum.clear();
        for stripe in &self.stripes {
            copy.copy(&stripe.lock());
            sum.endings.add(copy);
        }
        arrivals(&mut sum.arrivals);
        sum.summary(self.since_start(now))
    }
}

impl MetricsCollector for Collector {
    fn record_arrival(&self) {
        self.record_arrival_at(clock::real_now());
    }

    fn record_arrival_at(&self, at: Instant) {
        let own = OWN_INDEX.get();
        if !self.stripes[own & (self.stripes.len() - 1)].arrivals.record(at) {
            OWN_INDEX.set(own.wrapping_add(1)); // as where the endings are taken
        }
    }

    fn record_completion(&self, stamps: &TaskLifecycleTimestamps) {
        self.endings().completion(stamps);
    }

    fn record_failure(&self, stamps: &TaskLifecycleTimestamps) {
        self.endings().failure(stamps);
    }

    fn record_retry(&self) {
        self.endings().retry();
    }

    fn metrics(&self) -> TaskMetrics {
        self.metrics_at(clock::real_now())
    }
}

impl Default for Collector {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Collector {
    /// Takes no lock, and spares the reader thousands of buckets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").field("stripes", &self.stripes.len()).finish_non_exhaustive()
    }
}

impl<C: MetricsCollector + ?Sized> MetricsCollector for Arc<C> {
    fn record_arrival(&self) {
        (**self).record_arrival();
    }

    fn record_arrival_at(&self, at: Instant) {
        (**self).record_arrival_at(at);
    }

    fn record_completion(&self, stamps: &TaskLifecycleTimestamps) {
        (**self).record_completion(stamps);
    }

    fn record_failure(&self, stamps: &TaskLifecycleTimestamps) {
        (**self).record_failure(stamps);
    }

    fn record_retry(&self) {
        (**self).record_retry();
    }

    fn metrics(&self) -> TaskMetrics {
        (**self).metrics()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::time::Duration;

    use super::*;

    /// A task that waited and ran for so many nanoseconds, finished at `finished_at`.
    fn stamps(finished_at: Instant, wait: u64, execution: u64) -> TaskLifecycleTimestamps {
        let started_at = finished_at - Duration::from_nanos(execution);
        let queued_at = started_at - Duration::from_nanos(wait);
        TaskLifecycleTimestamps::new(queued_at, started_at, finished_at)
    }

    /// Far enough from the machine's start that times can be subtracted from it.
    fn late(collector: &Collector) -> Instant {
        collector.start + Duration::from_secs(1_000_000)
    }

    fn bytes(collector: &Collector) -> usize {
        let of = |endings: &Endings| size_of::<Stripe>() + endings.histograms().0;
        let stripes = collector.stripes.iter();
        let reading = collector.reading.lock().unwrap();
        stripes.map(|stripe| of(&stripe.lock())).sum::<usize>()
            + of(&reading.copy)
            + of(&reading.sum.endings)
    }

    /// A small generator with a fixed seed (xorshift, Marsaglia 2003): the sample is the same in
    /// every run.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0
        }

        /// Pareto with shape 0.6 from `least` nanoseconds on, at most an hour.
        fn heavy_tailed(&mut self, least: f64) -> u64 {
            let uniform = ((self.next() >> 11) as f64 + 1.0) / (1u64 << 53) as f64;
            (least / uniform.powf(1.0 / 0.6)).min(3.6e12) as u64
        }
    }

    #[track_caller]
    fn assert_within_one_percent(measured: Duration, sorted: &[u64], quantile: f64) {
        let rank = (quantile * sorted.len() as f64).ceil() as usize;
        let exact = sorted[rank - 1] as f64;
        let error = (measured.as_nanos() as f64 - exact).abs() / exact;
        assert!(error <= 0.01, "{measured:?} is {error} off {exact} ns at {quantile}");
    }

    #[test]
    fn percentiles_are_within_one_percent_of_an_exact_sort() {
        for least in [3.0, 900.0, 50_000.0] {
            let collector = Collector::new();
            let now = late(&collector);
            let mut random = Random(0x9E37_79B9_7F4A_7C15);
            let mut execution: Vec<u64> = (0..50_000).map(|_| random.heavy_tailed(least)).collect();
            let mut wait: Vec<u64> =
                (0..50_000).map(|_| random.heavy_tailed(7.0 * least)).collect();
            for (&execution, &wait) in execution.iter().zip(&wait) {
                collector.record_completion(&stamps(now, wait, execution));
            }
            execution.sort_unstable();
            wait.sort_unstable();

            let metrics = collector.metrics_at(now);
            assert_within_one_percent(metrics.p50_execution_time, &execution, 0.50);
            assert_within_one_percent(metrics.p95_execution_time, &execution, 0.95);
            assert_within_one_percent(metrics.p99_execution_time, &execution, 0.99);
            assert_within_one_percent(metrics.p50_wait_time, &wait, 0.50);
            assert_within_one_percent(metrics.p95_wait_time, &wait, 0.95);
            assert_within_one_percent(metrics.p99_wait_time, &wait, 0.99);
            let exact = |nanos: u64| Duration::from_nanos(nanos);
            let mean = |sample: &[u64]| exact(sample.iter().sum::<u64>() / sample.len() as u64);
            assert_eq!(metrics.average_execution_time, mean(&execution));
            assert_eq!(metrics.average_wait_time, mean(&wait));
            assert_eq!(metrics.min_execution_time, exact(execution[0]));
            assert_eq!(metrics.max_execution_time, exact(execution[49_999]));
            assert_eq!(metrics.max_wait_time, exact(wait[49_999]));
        }
    }

    #[test]
    fn memory_does_not_grow_with_the_number_of_tasks() {
        let collector = Collector::new();
        let now = late(&collector);
        let before = bytes(&collector);
        let mut random = Random(1);
        for number in 0..1_000_000 {
            let at = now + Duration::from_micros(number);
            collector.record_arrival_at(at);
            collector.record_completion(&stamps(
                at,
                random.heavy_tailed(10.0),
                random.heavy_tailed(10.0),
            ));
        }
        let metrics = collector.metrics_at(now);
        assert_eq!(metrics.total_tasks_completed, 1_000_000);
        assert_eq!(bytes(&collector), before);
        assert!(before / (collector.stripes.len() + 2) < 80_000, "{before}");
    }

    #[test]
    fn failures_are_timed_too() {
        let collector = Collector::new();
        let now = late(&collector);
        collector.record_completion(&stamps(now, 1_000, 100));
        collector.record_failure(&stamps(now, 5_000, 300));
        collector.record_failure(&stamps(now, 9_000, 200));
        collector.record_failure(&stamps(now, 9_000, 200));
        collector.record_retry();

        let metrics = collector.metrics_at(now);
        assert_eq!(metrics.total_tasks_completed, 1);
        assert_eq!(metrics.total_tasks_failed, 3);
        assert_eq!(metrics.total_tasks_retried, 1);
        assert_eq!(metrics.success_rate, 0.25);
        assert_eq!(metrics.failure_rate, 0.75);
        assert_eq!(metrics.average_execution_time, Duration::from_nanos(200));
        assert_eq!(metrics.max_execution_time, Duration::from_nanos(300));
        assert_eq!(metrics.average_wait_time, Duration::from_nanos(6_000));
        assert_eq!(metrics.max_wait_time, Duration::from_nanos(9_000));
    }

    #[test]
    fn nothing_recorded_reads_as_zero() {
        assert_eq!(Collector::new().metrics(), TaskMetrics::default());
    }

    #[test]
    fn times_beyond_an_hour_count_as_an_hour_in_percentiles_only() {
        let collector = Collector::new();
        let now = late(&collector);
        let hour = Duration::from_secs(3_600);
        let nanos = hour.as_nanos() as u64;
        for execution in [nanos / 2, 7 * nanos / 6, 24 * nanos] {
            collector.record_completion(&stamps(now, 0, execution));
        }

        let metrics = collector.metrics_at(now);
        assert_eq!(metrics.total_tasks_completed, 3);
        assert_eq!(metrics.min_execution_time, hour / 2);
        assert_eq!(metrics.max_execution_time, 24 * hour);
        assert_eq!(metrics.average_execution_time, 77 * hour / 9);
        for percentile in [metrics.p50_execution_time, metrics.p99_execution_time] {
            let ratio = percentile.as_secs_f64() / hour.as_secs_f64();
            assert!((0.99..=1.01).contains(&ratio), "{percentile:?}");
        }
    }

    #[test]
    fn stamps_out_of_order_count_as_no_time() {
        let collector = Collector::new();
        let now = late(&collector);
        let before = now - Duration::from_secs(1);
        collector.record_completion(&TaskLifecycleTimestamps::new(now, before, before));
        collector.record_completion(&TaskLifecycleTimestamps::new(now, now, before));
        collector.record_arrival_at(collector.start - Duration::from_secs(1));

        let metrics = collector.metrics_at(now);
        assert_eq!(metrics.total_tasks_completed, 2);
        assert_eq!(metrics.total_tasks_arrived, 1);
        assert_eq!(metrics.max_wait_time, Duration::ZERO);
        assert_eq!(metrics.max_execution_time, Duration::ZERO);
    }

    #[test]
    fn rates_cover_only_the_last_ten_seconds() {
        let collector = Collector::new();
        // 100 arrivals a second for a minute; half of the tasks complete, a quarter fails.
        for number in 0..6_000 {
            let at = collector.start + Duration::from_millis(10 * number);
            collector.record_arrival_at(at);
            match number % 4 {
                0 | 1 => collector.record_completion(&stamps(at, 10, 10)),
                2 => collector.record_failure(&stamps(at, 10, 10)),
                _ => {}
            }
        }
        let rates = |seconds: u64| {
            let metrics = collector.metrics_at(collector.start + Duration::from_secs(seconds));
            assert_eq!(metrics.total_tasks_arrived, 6_000);
            (metrics.task_arrival_rate, metrics.task_completion_rate)
        };
        assert_near(rates(60), (100.0, 50.0));
        assert_near(rates(65), (50.0, 25.0));
        assert_eq!(rates(70), (0.0, 0.0));
        assert_eq!(rates(1_000), (0.0, 0.0));
    }

    #[track_caller]
    fn assert_near(measured: (f64, f64), expected: (f64, f64)) {
        let off = |measured: f64, expected: f64| (measured - expected).abs() / expected;
        assert!(
            off(measured.0, expected.0) <= 0.02 && off(measured.1, expected.1) <= 0.02,
            "{measured:?} instead of {expected:?}"
        );
    }

    #[test]
    fn reading_while_others_record_loses_nothing() {
        const THREADS: u64 = 4;
        const EACH: u64 = 20_000;
        let collector = Collector::new();
        let now = late(&collector);
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let recorders: Vec<_> = (0..THREADS)
                .map(|_| {
                    scope.spawn(|| {
                        for number in 0..EACH {
                            collector.record_arrival_at(now);
                            if number % 10 == 0 {
                                collector.record_retry();
                                collector.record_failure(&stamps(now, 20, 10));
                            } else {
                                collector.record_completion(&stamps(now, 20, 10));
                            }
                        }
                    })
                })
                .collect();
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let seen = collector.metrics_at(now);
                    let finished = seen.total_tasks_completed + seen.total_tasks_failed;
                    assert!(finished <= seen.total_tasks_arrived);
                }
            });
            let ended: Vec<_> = recorders.into_iter().map(thread::ScopedJoinHandle::join).collect();
            done.store(true, Ordering::Relaxed); // before any panic, or the reader reads for ever
            assert!(ended.iter().all(Result::is_ok));
        });

        let metrics = collector.metrics_at(now);
        assert_eq!(metrics.total_tasks_arrived, THREADS * EACH);
        assert_eq!(metrics.total_tasks_completed, THREADS * EACH * 9 / 10);
        assert_eq!(metrics.total_tasks_failed, THREADS * EACH / 10);
        assert_eq!(metrics.total_tasks_retried, THREADS * EACH / 10);
        assert_eq!(metrics.average_execution_time, Duration::from_nanos(10));
        let reading = collector.reading.lock().unwrap();
        assert_eq!(reading.sum.endings.histograms().1, [THREADS * EACH; 2]);
    }

    #[test]
    fn a_taken_stripe_stops_nobody() {
        let collector = Collector::new();
        let taken = collector.endings();
        thread::scope(|scope| {
            let recorder = scope.spawn(|| collector.record_retry());
            recorder.join().expect("it does not wait for the taken stripe");
        });
        collector.record_retry();
        drop(taken);
        assert_eq!(collector.metrics().total_tasks_retried, 2);
    }

    #[test]
    fn a_shared_collector_is_a_collector() {
        let collector: Arc<dyn MetricsCollector> = Arc::new(Arc::new(Collector::new()));
        collector.record_arrival();
        collector.record_arrival_at(clock::real_now());
        assert_eq!(collector.metrics().total_tasks_arrived, 2);
    }

    #[test]
    fn the_default_of_record_arrival_at_is_record_arrival() {
        #[derive(Default)]
        struct Arrivals(AtomicUsize);
        impl MetricsCollector for Arrivals {
            fn record_arrival(&self) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
            fn record_completion(&self, _: &TaskLifecycleTimestamps) {}
            fn record_failure(&self, _: &TaskLifecycleTimestamps) {}
            fn record_retry(&self) {}
            fn metrics(&self) -> TaskMetrics {
                TaskMetrics::default()
            }
        }
        let arrivals = Arrivals::default();
        arrivals.record_arrival_at(clock::real_now());
        assert_eq!(arrivals.0.into_inner(), 1);
    }
}
