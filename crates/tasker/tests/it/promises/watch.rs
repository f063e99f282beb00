//! Does something aside, and sees that it has begun.

use std::thread::{self, JoinHandle};

use tasker::{Phase, ShutdownReport};

use super::jobs::{Ending, Job};
use super::kinds::{Kind, Shutdown};
use crate::support::eventually;

/// Begins a stop on a thread of its own; returns when the manager refuses new tasks.
pub(crate) fn begin_stop<K: Kind>(manager: &K) -> JoinHandle<Shutdown> {
    let stopped = manager.clone();
    let shutdown = thread::spawn(move || stopped.stop());
    eventually("the stop begins", || manager.phase() != Phase::Running);
    shutdown
}

/// Begins a kill on a thread of its own; returns when the manager is killed.
pub(crate) fn begin_kill<K: Kind>(manager: &K) -> JoinHandle<Shutdown> {
    let killed = manager.clone();
    let shutdown = thread::spawn(move || killed.kill());
    eventually("the kill begins", || manager.phase() == Phase::Killed);
    shutdown
}

/// The report of a shutdown that was begun aside.
#[track_caller]
pub(crate) fn report_of(shutdown: JoinHandle<Shutdown>) -> ShutdownReport {
    shutdown.join().expect("the shutdown does not panic").expect("the shutdown is not refused")
}

/// Runs a job on a thread of its own, which waits for it to end.
pub(crate) fn run_aside<K: Kind>(manager: &K, job: Job) -> JoinHandle<Ending> {
    let manager = manager.clone();
    thread::spawn(move || manager.run(job))
}

/// As [`run_aside`], by `run_task`.
pub(crate) fn run_now_aside<K: Kind>(manager: &K, job: Job) -> JoinHandle<Ending> {
    let manager = manager.clone();
    thread::spawn(move || manager.run_now(job))
}

/// Blocks until so many tasks wait in the lanes, or for room in them.
pub(crate) fn await_waiting<K: Kind>(manager: &K, tasks: usize) {
    eventually("the tasks wait", || waiting(manager) == tasks);
}

/// How many tasks wait in the lanes, or for room in them.
pub(crate) fn waiting<K: Kind>(manager: &K) -> usize {
    let stats = manager.stats();
    stats.queued_tasks + stats.priority_tasks
}

/// Blocks until `idle` workers are idle and nobody is coming, going or repairing.
pub(crate) fn await_rest<K: Kind>(manager: &K, idle: usize) {
    eventually("the workers rest", || {
        let stats = manager.stats();
        (stats.idle_workers, stats.recovering_workers, stats.leaving_workers) == (idle, 0, 0)
    });
}
