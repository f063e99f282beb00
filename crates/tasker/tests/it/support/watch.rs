//! Brings a manager into a state, and sees that it is there.

use std::thread::{self, JoinHandle};
use std::time::Instant;

use tasker::{Phase, ShutdownError, ShutdownReport, TaskHandle, TaskManager};

use super::{Fault, Gate, LIMIT, Res};

/// Blocks until `holds`. Looks again and again: for what nobody announces.
#[track_caller]
pub(crate) fn eventually(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < end, "{what}: not in {LIMIT:?}");
        thread::yield_now();
    }
}

/// Keeps `workers` workers busy until the gate is opened; returns when they are.
pub(crate) fn occupy(
    manager: &TaskManager<Res, Fault>,
    workers: usize,
) -> (Gate, Vec<TaskHandle<(), Fault>>) {
    let gate = Gate::new();
    let busy = (0..workers).map(|_| {
        let gate = gate.clone();
        let wait = move |_: &_, _: &mut Res| {
            gate.wait();
            Ok(())
        };
        manager.task_once(wait).name("busy").submit()
    });
    let busy = busy.collect();
    gate.await_arrivals(workers);
    (gate, busy)
}

/// A shutdown on a thread of its own.
pub(crate) type Shutdown = JoinHandle<Result<ShutdownReport, ShutdownError>>;

/// Begins a stop on a thread of its own; returns when the manager refuses new tasks.
pub(crate) fn begin_stop(manager: &TaskManager<Res, Fault>) -> Shutdown {
    let stopped = manager.clone();
    let shutdown = thread::spawn(move || stopped.stop());
    eventually("the stop begins", || manager.phase() != Phase::Running);
    shutdown
}

/// Begins a kill on a thread of its own; returns when the manager is killed.
pub(crate) fn begin_kill(manager: &TaskManager<Res, Fault>) -> Shutdown {
    let killed = manager.clone();
    let shutdown = thread::spawn(move || killed.kill());
    eventually("the kill begins", || manager.phase() == Phase::Killed);
    shutdown
}

/// The report of a shutdown that was begun aside.
#[track_caller]
pub(crate) fn report_of(shutdown: Shutdown) -> ShutdownReport {
    shutdown.join().expect("the shutdown does not panic").expect("the shutdown is not refused")
}

/// Fails unless everything that was accepted is accounted for, what still runs or waits included.
#[track_caller]
pub(crate) fn assert_adds_up(report: &ShutdownReport) {
    let ShutdownReport { accepted, completed, failed, cancelled, dropped, .. } = *report;
    let ended = completed + failed + cancelled + dropped;
    assert_eq!(accepted, ended + report.stragglers.len() as u64, "{report:?}");
}
