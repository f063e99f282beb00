//! Metrics: what is counted and timed, that it stays cheap, and that who observes does not decide.

use std::fmt::Arguments;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tasker::testing::ManualClock;
use tasker::{
    Backoff, Config, Event, Level, Logger, MetricsCollector, NoopLogger, Observer, Phase, Priority,
    TaskLifecycleTimestamps, TaskMetrics, TracingLogger,
};

use crate::support::{
    Busy, Fault, Gate, Kit, LIMIT, Manager, Recorder, Res, eventually, on_every_manager, within,
};

const MS: Duration = Duration::from_millis(1);

#[track_caller]
fn assert_within_a_percent(measured: Duration, exact: Duration) {
    let off = measured.abs_diff(exact);
    assert!(off <= exact / 100, "{measured:?} instead of {exact:?}");
}

// Promise 14: percentiles are within 1 %; averages and extremes are exact.
#[test]
fn times_are_exact_and_percentiles_within_a_percent() {
    on_every_manager(|kind| {
        let clock = ManualClock::new();
        let manager = kind.build(Kit::new().config(1).clock(clock.clone()));
        for n in 1..=200 {
            manager
                .queue_task(|_, _| {
                    clock.advance(n * MS);
                    Ok(())
                })
                .unwrap();
        }
        let metrics = manager.metrics();
        assert_eq!(metrics.min_execution_time, MS);
        assert_eq!(metrics.max_execution_time, 200 * MS);
        assert_eq!(metrics.average_execution_time, 100 * MS + MS / 2);
        assert_within_a_percent(metrics.p50_execution_time, 100 * MS);
        assert_within_a_percent(metrics.p95_execution_time, 190 * MS);
        assert_within_a_percent(metrics.p99_execution_time, 198 * MS);
        assert_eq!(metrics.max_wait_time, Duration::ZERO);
        assert_eq!((metrics.success_rate, metrics.failure_rate), (1.0, 0.0));
    });
}

// Promise 14: how long a task waited is timed as well.
#[test]
fn the_time_in_the_queue_is_timed() {
    on_every_manager(|kind| {
        let clock = ManualClock::new();
        let manager = kind.build(Kit::new().config(1).clock(clock.clone()));
        let busy = Busy::with(&manager, 1);
        let handles: Vec<_> = (0..100)
            .map(|_| {
                let handle = manager.task(|_, _| Ok(())).submit();
                clock.advance(MS);
                handle
            })
            .collect();
        busy.release();
        assert!(handles.into_iter().all(|handle| handle.wait().is_ok()));
        let metrics = manager.metrics();
        assert_eq!(metrics.max_wait_time, 100 * MS);
        assert_eq!(metrics.average_wait_time, 5050 * MS / 101, "the busy one did not wait");
        assert_within_a_percent(metrics.p50_wait_time, 50 * MS);
        assert_within_a_percent(metrics.p99_wait_time, 99 * MS);
    });
}

// Promise 14: failures are timed too, and counted.
#[test]
fn failures_are_timed_too() {
    on_every_manager(|kind| {
        let clock = ManualClock::new();
        let manager = kind.build(Kit::new().config(1).clock(clock.clone()));
        let fail = |step: Duration| {
            let outcome = manager.queue_task(|_, _| -> Result<(), _> {
                clock.advance(step);
                Err(Fault::Own)
            });
            assert!(outcome.is_err());
        };
        fail(10 * MS);
        fail(30 * MS);
        let panics = manager.queue_task(|_, _| -> Result<(), _> {
            clock.advance(50 * MS);
            panic!("on purpose");
        });
        assert!(panics.is_err());
        manager
            .queue_task(|_, _| {
                clock.advance(70 * MS);
                Ok(())
            })
            .unwrap();
        let metrics = manager.metrics();
        assert_eq!((metrics.total_tasks_completed, metrics.total_tasks_failed), (1, 3));
        assert_eq!((metrics.success_rate, metrics.failure_rate), (0.25, 0.75));
        assert_eq!(metrics.min_execution_time, 10 * MS);
        assert_eq!(metrics.max_execution_time, 70 * MS);
        assert_eq!(metrics.average_execution_time, 40 * MS);
    });
}

// Small print: a task is recorded once, with the times of its last attempt and of its first queueing.
#[test]
fn a_retried_task_is_recorded_once_with_its_last_attempt() {
    on_every_manager(|kind| {
        let clock = ManualClock::new();
        let manager = kind.build(Kit::new().config(1).clock(clock.clone()).max_retries(3));
        manager
            .queue_task(|cx, _| {
                clock.advance(10 * MS * cx.attempt());
                if cx.attempt() < 3 { Err(Fault::Sick) } else { Ok(()) }
            })
            .unwrap();
        let metrics = manager.metrics();
        let ended = (metrics.total_tasks_completed, metrics.total_tasks_failed);
        assert_eq!((metrics.total_tasks_arrived, ended), (1, (1, 0)));
        assert_eq!(metrics.total_tasks_retried, 2);
        assert_eq!(metrics.max_execution_time, 30 * MS);
        assert_eq!(metrics.max_wait_time, 30 * MS, "the first two attempts");
    });
}

// Small print: a task that ends while it waits for a retry has run, and is recorded with what it did.
#[test]
fn a_task_that_is_cancelled_between_two_attempts_is_recorded_with_the_first() {
    on_every_manager(|kind| {
        let clock = ManualClock::new();
        let backoff = Backoff::fixed(Duration::from_secs(3600));
        let config = Kit::new().config(1).clock(clock.clone()).retry_backoff(backoff);
        let manager = kind.build(config);
        let task = manager.task(move |_, _| -> Result<(), _> {
            clock.advance(10 * MS);
            Err(Fault::Sick)
        });
        let handle = task.submit();
        eventually("the retry waits", || manager.stats().delayed_tasks == 1);
        handle.cancel();
        let metrics = manager.metrics();
        assert_eq!((metrics.total_tasks_failed, metrics.total_tasks_retried), (1, 1));
        assert_eq!(metrics.max_execution_time, 10 * MS);
    });
}

// Small print: an arrival is an accepted task; one that never started is neither completed nor failed.
#[test]
fn a_task_that_never_started_is_neither_completed_nor_failed() {
    on_every_manager(|kind| {
        let clock = ManualClock::new();
        let manager = kind.build(Kit::new().config(1).clock(clock.clone()));
        let busy = Busy::with(&manager, 1);
        let cancelled = manager.task(|_, _| Ok(())).submit();
        let expired = manager.task(|_, _| Ok(())).start_within(MS).submit();
        let killed = manager.task(|_, _| Ok(())).submit();
        cancelled.cancel();
        clock.advance(MS);
        assert!(expired.wait().is_err());
        let kill = crate::support::begin_kill(&manager);
        assert!(killed.wait().is_err());
        assert!(manager.queue_task(|_, _| Ok(())).is_err(), "refused: no arrival");
        busy.release();
        crate::support::report_of(kill);
        let metrics = manager.metrics();
        assert_eq!(metrics.total_tasks_arrived, 4);
        assert_eq!((metrics.total_tasks_completed, metrics.total_tasks_failed), (1, 0));
    });
}

// Small print: `run_task` is recorded like any task.
#[test]
fn run_task_is_recorded_like_any_task() {
    on_every_manager(|kind| {
        let clock = ManualClock::new();
        let manager = kind.build(Kit::new().config(1).resource_pool_size(1).clock(clock.clone()));
        manager
            .run_task(|_, _| {
                clock.advance(5 * MS);
                Ok(())
            })
            .unwrap();
        let metrics = manager.metrics();
        assert_eq!((metrics.total_tasks_arrived, metrics.total_tasks_completed), (1, 1));
        assert_eq!(metrics.max_execution_time, 5 * MS);
    });
}

// Promise 14: rates are per second, over the last ten seconds or the time lived.
#[test]
fn rates_count_what_has_just_happened() {
    within(LIMIT, || {
        let manager = Manager::Lending.build(Kit::new().config(1));
        for n in 0..100 {
            let _ = manager.queue_task(|_, _| if n % 2 == 0 { Ok(()) } else { Err(Fault::Own) });
        }
        let metrics = manager.metrics();
        assert!(metrics.task_arrival_rate > 0.0 && metrics.task_completion_rate > 0.0);
        assert!(metrics.task_completion_rate < metrics.task_arrival_rate, "failures do not count");
    });
}

/// Panics whenever it is told anything.
struct Panics;

impl Logger for Panics {
    fn debug(&self, _: Arguments<'_>) {
        panic!("a logger panics");
    }
    fn info(&self, _: Arguments<'_>) {
        panic!("a logger panics");
    }
    fn warn(&self, _: Arguments<'_>) {
        panic!("a logger panics");
    }
    fn error(&self, _: Arguments<'_>) {
        panic!("a logger panics");
    }
}

impl Observer for Panics {
    fn on_event(&self, _: &Event<'_>) {
        panic!("an observer panics");
    }
}

impl MetricsCollector for Panics {
    fn record_arrival(&self) {
        panic!("a collector panics");
    }
    fn record_completion(&self, _: &TaskLifecycleTimestamps) {
        panic!("a collector panics");
    }
    fn record_failure(&self, _: &TaskLifecycleTimestamps) {
        panic!("a collector panics");
    }
    fn record_retry(&self) {
        panic!("a collector panics");
    }
    fn metrics(&self) -> TaskMetrics {
        panic!("a collector panics");
    }
}

/// Counts what it is told and says what it likes.
#[derive(Debug, Default)]
struct Mine {
    arrivals: AtomicU64,
    completions: AtomicU64,
    failures: AtomicU64,
    retries: AtomicU64,
    /// Tasks that started before they were queued, or ended before they started.
    disorderly: AtomicU64,
}

impl Mine {
    fn note_order(&self, stamps: &TaskLifecycleTimestamps) {
        if stamps.queued_at > stamps.started_at || stamps.started_at > stamps.finished_at {
            self.disorderly.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl MetricsCollector for Mine {
    fn record_arrival(&self) {
        self.arrivals.fetch_add(1, Ordering::SeqCst);
    }
    fn record_completion(&self, stamps: &TaskLifecycleTimestamps) {
        self.note_order(stamps);
        self.completions.fetch_add(1, Ordering::SeqCst);
    }
    fn record_failure(&self, stamps: &TaskLifecycleTimestamps) {
        self.note_order(stamps);
        self.failures.fetch_add(1, Ordering::SeqCst);
    }
    fn record_retry(&self) {
        self.retries.fetch_add(1, Ordering::SeqCst);
    }
    fn metrics(&self) -> TaskMetrics {
        let mut metrics = TaskMetrics::default();
        metrics.total_tasks_arrived = 4711;
        metrics.task_arrival_rate = f64::NAN;
        metrics
    }
}

// Promise 15: a collector of the user's own is told everything, and asked by `metrics()`.
#[test]
fn a_collector_of_ones_own_is_told_everything() {
    on_every_manager(|kind| {
        let mine = Arc::new(Mine::default());
        let manager = kind.build(Kit::new().config(1).collector(Arc::clone(&mine)));
        manager.queue_task(|_, _| Ok(())).unwrap();
        manager.task(|_, _| Ok(())).submit().wait().unwrap();
        manager.run_task(|_, _| Ok(())).unwrap();
        assert!(manager.queue_task(|_, _| Err::<(), _>(Fault::Own)).is_err());
        let twice = |cx: &tasker::TaskContext, _: &mut Res| match cx.attempt() {
            1 => Err(Fault::Sick),
            _ => Ok(()),
        };
        manager.queue_task(twice).unwrap();
        manager.task(twice).submit().wait().unwrap();
        assert_eq!(manager.metrics().total_tasks_arrived, 4711);
        manager.stop().unwrap();
        let told = [&mine.arrivals, &mine.completions, &mine.failures, &mine.retries];
        assert_eq!(told.map(|count| count.load(Ordering::SeqCst)), [6, 5, 1, 2]);
    });
}

/// So many that some of those that are submitted while everybody is busy wait for the lock of nobody.
const CROWD: u64 = 200;

// Promise 15: also of what comes without the lock: from the rack, from the open pool, and into the inbox.
#[test]
fn a_collector_of_ones_own_hears_of_tasks_that_take_no_lock() {
    for kind in Manager::POOLED {
        let mine = Arc::new(Mine::default());
        let config = Kit::new().config(1).resource_pool_size(2).collector(Arc::clone(&mine));
        let manager = kind.build(config);
        let mut told = 0;
        let mut heard = |more: u64, ended: u64| {
            told += more;
            let counts = [&mine.arrivals, &mine.completions, &mine.failures];
            let counts = counts.map(|count| count.load(Ordering::SeqCst));
            assert_eq!(counts, [told, ended, 0]);
        };
        for _ in 0..CROWD {
            manager.queue_task(|_, _| Ok(())).unwrap();
        }
        heard(CROWD, CROWD);
        for _ in 0..CROWD {
            manager.run_task(|_, _| Ok(())).unwrap();
        }
        heard(CROWD, 2 * CROWD);
        let busy = Busy::with(&manager, 1);
        let handles: Vec<_> = (0..CROWD).map(|_| manager.task(|_, _| Ok(())).submit()).collect();
        heard(CROWD + 1, 2 * CROWD);
        busy.release();
        handles.into_iter().for_each(|handle| handle.wait().unwrap());
        manager.stop().unwrap();
        heard(0, 3 * CROWD + 1);
    }
}

#[cfg(feature = "tokio")]
#[tokio::test]
async fn a_collector_of_ones_own_hears_of_async_tasks_that_take_no_lock() {
    let mine = Arc::new(Mine::default());
    let config = tasker::AsyncConfig::<(), Fault>::new(|| async { Ok(()) });
    let config = config.worker_count(1).max_worker_count(1).collector(Arc::clone(&mine));
    let manager = tasker::AsyncTaskManager::new(config).await.unwrap();
    manager.pause(); // so that all of them wait
    let submit = || manager.task(async move |_, _| Ok(())).submit();
    let first = submit();
    manager.resume();
    let handles: Vec<_> = (0..CROWD).map(|_| submit()).collect();
    assert_eq!(mine.arrivals.load(Ordering::SeqCst), CROWD + 1, "before any of them has run");
    assert_eq!(mine.completions.load(Ordering::SeqCst), 0);
    for handle in std::iter::once(first).chain(handles) {
        handle.await.unwrap();
    }
    manager.stop().await.unwrap();
    let told = [&mine.arrivals, &mine.completions, &mine.failures];
    assert_eq!(told.map(|count| count.load(Ordering::SeqCst)), [CROWD + 1, CROWD + 1, 0]);
}

// Promise 14: no task starts before it is queued. Its caller may submit it when the worker has told the
// end of the task before it, and has not yet asked for the next.
#[test]
fn a_task_is_queued_before_it_starts_and_starts_before_it_ends() {
    on_every_manager(|kind| {
        let mine = Arc::new(Mine::default());
        let manager = kind.build(Kit::new().config(1).collector(Arc::clone(&mine)));
        for _ in 0..500 {
            manager.task(|_, _| Ok(())).submit().wait().unwrap();
        }
        manager.stop().unwrap();
        assert_eq!(mine.disorderly.load(Ordering::SeqCst), 0, "of 500");
    });
}

// Promise 14: the time that a callback takes on the worker's thread is part of the next task's wait, and
// not of its execution.
#[test]
fn the_time_of_a_callback_is_not_counted_as_the_next_tasks_execution() {
    on_every_manager(|kind| {
        let clock = ManualClock::new();
        let manager = kind.build(Kit::new().config(1).clock(clock.clone()));
        let busy = Busy::with(&manager, 1);
        let moved = clock.clone();
        manager.task(|_, _| Ok(())).on_complete(move |_| moved.advance(10 * MS));
        let next = manager.task(|_, _| Ok(())).submit();
        busy.release();
        next.wait().unwrap();
        let metrics = manager.metrics();
        assert_eq!(metrics.max_execution_time, Duration::ZERO);
        assert_eq!(metrics.max_wait_time, 10 * MS);
    });
}

/// What a program comes to, as far as nobody's thread or clock decides it.
fn program(kind: Manager, watch: fn(Config<Res, Fault>) -> Config<Res, Fault>) -> Vec<String> {
    let kit = Kit::new();
    let clock = ManualClock::new();
    let config = kit.config(1).max_worker_count(2).burst_interval(100 * MS).max_retries(1);
    let manager = kind.build(watch(config.clock(clock.clone())));
    let mut course = Vec::new();
    let mut note = |what: &dyn std::fmt::Debug| course.push(format!("{what:?}"));
    note(&manager.queue_task(|_, res| res.work()));
    note(&manager.queue_task(|_, _| Err::<(), _>(Fault::Own)));
    note(&manager.queue_task(|_, _| Err::<(), _>(Fault::Sick)));
    note(&manager.task(|_, _| -> Result<(), _> { panic!("on purpose") }).submit().wait());
    let busy = Busy::with(&manager, 1);
    let urgent = manager.task(|_, res| res.work()).priority(Priority::High).submit();
    let cancelled = manager.task(|_, res| res.work()).submit();
    cancelled.cancel();
    note(&cancelled.wait());
    clock.advance(100 * MS); // a burst worker comes, whatever the metrics say
    note(&urgent.wait());
    note(&manager.stats().burst_workers);
    let kill = crate::support::begin_kill(&manager);
    note(&manager.queue_task(|_, res| res.work()));
    busy.release();
    let report = crate::support::report_of(kill);
    note(&(report.accepted, report.completed, report.failed, report.cancelled, report.dropped));
    note(&(report.resources_created, report.resources_destroyed, report.stragglers.len()));
    note(&(manager.phase() == Phase::Killed));
    kit.assert_all_destroyed_once();
    course
}

// Promises 8 and 15: replacing logger, collector or observers changes no behaviour, even where they panic.
#[test]
fn it_makes_no_difference_who_watches() {
    on_every_manager(|kind| {
        let unwatched = program(kind, |config| config);
        assert_eq!(program(kind, |config| config.logger(NoopLogger)), unwatched);
        assert_eq!(program(kind, |config| config.logger(TracingLogger)), unwatched);
        assert_eq!(program(kind, |config| config.logger(Panics)), unwatched);
        assert_eq!(program(kind, |config| config.collector(Mine::default())), unwatched);
        assert_eq!(program(kind, |config| config.collector(Panics)), unwatched);
        assert_eq!(program(kind, |config| config.observer(Recorder::new())), unwatched);
        assert_eq!(program(kind, |config| config.observer(Panics)), unwatched);
        let all = |config: Config<Res, Fault>| {
            config.logger(Panics).collector(Panics).observer(Panics).observer(Recorder::new())
        };
        assert_eq!(program(kind, all), unwatched);
    });
}

// Promises 8 and 15: figures that cannot be had are empty, not a panic of the caller.
#[test]
fn the_metrics_of_a_collector_that_panics_are_empty() {
    within(LIMIT, || {
        let manager = Manager::Lending.build(Kit::new().config(1).collector(Panics));
        assert_eq!(manager.metrics(), TaskMetrics::default());
        assert!(manager.queue_task(|_, _| Ok(())).is_ok());
    });
}

/// Wants nothing below warnings.
struct Quiet(Gate);

impl Logger for Quiet {
    fn debug(&self, _: Arguments<'_>) {
        self.0.open();
    }
    fn info(&self, _: Arguments<'_>) {
        self.0.open();
    }
    fn warn(&self, _: Arguments<'_>) {}
    fn error(&self, _: Arguments<'_>) {}
    fn enabled(&self, level: Level) -> bool {
        level >= Level::Warn
    }
}

// Promise 15: a logger is told only what it wants to hear.
#[test]
fn a_logger_is_not_told_what_it_does_not_want() {
    on_every_manager(|kind| {
        let told = Gate::new();
        let manager = kind.build(Kit::new().config(1).logger(Quiet(told.clone())));
        manager.queue_task(|_, _| Ok(())).unwrap();
        manager.stop().unwrap();
        assert!(!told.is_open());
    });
}

// Promise 14: the figures can be read while others record.
#[test]
fn metrics_can_be_read_while_tasks_run() {
    within(LIMIT, || {
        let manager = Manager::Lending.build(Kit::new().config(2));
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| (0..500).for_each(|_| manager.queue_task(|_, _| Ok(())).unwrap()));
            }
            for _ in 0..50 {
                let metrics = manager.metrics();
                let ended = metrics.total_tasks_completed + metrics.total_tasks_failed;
                assert!(ended <= metrics.total_tasks_arrived, "{metrics:?}");
            }
        });
        assert_eq!(manager.metrics().total_tasks_completed, 1000);
    });
}
