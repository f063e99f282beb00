//! Whole managers under random schedules: what loom is too small for. Each test's name is its claim.
//!
//! Shuttle runs all threads of a test as coroutines and lets chance choose who is next at each lock,
//! atomic, park and wake-up; threads that wait for each other for ever are a failure that it finds by itself.
//! A failure prints its schedule, which `shuttle::replay` runs again.
//!
//! Counts are std's atomics: they are what a test checks, not what it explores. A task panics by
//! `resume_unwind`, since shuttle's panic hook takes every other panic for the failure of the test.

mod ends;
mod nested;
mod programs;
mod sizes;
mod stuck;
mod tasks;

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{MaxSteps, Runner};

use crate::{Config, NoopLogger, ShutdownReport, TaskContext, TaskError, TaskManager};

type Manager = TaskManager<Res, Fault>;
type Outcome = Result<(), TaskError<Fault>>;

/// Explores `claim` by two kinds of schedules: each next thread by chance, and by priorities that change
/// at few moments, which finds what needs a thread to be late for long. `SCHEDULES` in the environment is
/// how many of each.
fn explore(claim: impl Fn() + Copy + Send + Sync + 'static) {
    let schedules = std::env::var("SCHEDULES").map_or(3_000, |n| n.parse().expect("a number"));
    let config = || {
        let mut config = shuttle::Config::new();
        config.stack_size = 0x4_0000; // a histogram is built on the stack
        config.max_steps = MaxSteps::FailAfter(100_000); // some hundreds are usual
        config.silence_warnings = true; // the models are there for weak orderings
        config
    };
    let claim = move || {
        fastrand::seed(7); // so that a schedule is all that a failure depends on
        claim();
    };
    Runner::new(RandomScheduler::new(schedules), config()).run(claim);
    Runner::new(PctScheduler::new(3, schedules), config()).run(claim);
}

/// What tasks fail with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Own,
    Sick,
    NotMade,
}

/// The resources of one manager, counted.
#[derive(Debug, Default)]
struct World {
    made: AtomicUsize,
    gone: AtomicUsize,
    peak: AtomicUsize,
    /// So many creations to come fail.
    failing: AtomicUsize,
}

/// A resource that knows whether it has been destroyed.
#[derive(Debug)]
struct Res {
    world: Arc<World>,
    destroyed: bool,
}

impl Drop for Res {
    fn drop(&mut self) {
        // Not while a failure unwinds: a second panic would hide it.
        assert!(self.destroyed || std::thread::panicking(), "no resource goes without on_destroy");
    }
}

impl World {
    fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The settings that the tests have in common. The logger is silent, so that nothing of the system's gets
    /// between two steps.
    fn config(self: &Arc<Self>, workers: usize, most: usize) -> Config<Res, Fault> {
        let world = Arc::clone(self);
        Config::new(move || world.make())
            .on_destroy(|mut res: Res| {
                assert!(!res.destroyed, "no resource is destroyed twice");
                res.destroyed = true;
                res.world.gone.fetch_add(1, Ordering::SeqCst);
                Ok(())
            })
            .check_health(|fault| *fault != Fault::Sick)
            .worker_count(workers)
            .max_worker_count(most)
            .burst_interval(Duration::from_millis(1)) // of a time that passes where somebody waits for it
            .resource_pool_size(0)
            .max_retries(1)
            .logger(NoopLogger)
    }

    fn manager(self: &Arc<Self>, workers: usize, most: usize) -> Manager {
        build(self.config(workers, most))
    }

    fn make(self: &Arc<Self>) -> Result<Res, Fault> {
        let failing = |left: usize| left.checked_sub(1);
        if self.failing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, failing).is_ok() {
            return Err(Fault::NotMade);
        }
        let live = self.made.fetch_add(1, Ordering::SeqCst) + 1 - self.gone.load(Ordering::SeqCst);
        self.peak.fetch_max(live, Ordering::SeqCst);
        Ok(Res { world: Arc::clone(self), destroyed: false })
    }

    /// Waits until nothing is left of the manager, whose hooks know the world. A test that waits in vain
    /// has too many steps.
    fn await_end(self: &Arc<Self>) {
        while Arc::strong_count(self) > 1 {
            shuttle::thread::yield_now();
        }
    }

    /// Promises 2 and 3: all that was made is destroyed, and there were never more than `cap` at a time.
    fn assert_over(&self, cap: usize) {
        let count = |count: &AtomicUsize| count.load(Ordering::SeqCst);
        assert_eq!(count(&self.made), count(&self.gone), "created == destroyed");
        assert!(count(&self.peak) <= cap, "{} of {cap} at a time", count(&self.peak));
    }

    /// The same, and that the report says so and adds up, with nobody left behind.
    fn assert_adds_up(&self, report: &ShutdownReport, cap: usize) {
        let ended = report.completed + report.failed + report.cancelled + report.dropped;
        assert_eq!(report.accepted, ended, "the report adds up: {report:?}");
        assert!(report.stragglers.is_empty(), "{report:?}");
        assert_eq!(report.resources_created, self.made.load(Ordering::SeqCst) as u64);
        assert_eq!(report.resources_destroyed, report.resources_created);
        self.assert_over(cap);
    }
}

fn build(config: Config<Res, Fault>) -> Manager {
    Manager::new(config).map_err(|_| "no manager").unwrap()
}

/// Counts how often tasks start and callers are answered.
#[derive(Debug, Clone, Default)]
struct Count(Arc<AtomicUsize>);

impl Count {
    fn one(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// A task that counts its attempts and is well.
    fn task(&self) -> impl FnMut(&TaskContext, &mut Res) -> Result<(), Fault> + Send + 'static {
        let count = self.clone();
        move |_, _| {
            count.one();
            Ok(())
        }
    }
}

/// A task that runs until it is told to stop.
fn until_told(cx: &TaskContext, _: &mut Res) -> Result<(), Fault> {
    cx.token().wait();
    Err(Fault::Own)
}

/// The panic of a task.
fn panic_quietly() -> ! {
    resume_unwind(Box::new("a task panics"))
}
