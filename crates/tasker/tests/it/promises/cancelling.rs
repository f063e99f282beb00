//! Promise 17: cancellation and timeouts.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tasker::{Backoff, TaskError, TaskStatus};

use super::jobs::{Notes, is_sick, returns, runs_until_cancelled, writes};
use super::kinds::Kind;
use super::settings::Settings;
use crate::support::{Fault, Gate, Kit, assert_complete, eventually};

const HOUR: Duration = Duration::from_secs(3600);
const MOMENT: Duration = Duration::from_millis(1);

on_every_kind![
    a_queued_task_that_is_cancelled_never_runs,
    a_running_task_that_is_cancelled_is_told_so,
    a_cancelled_task_that_still_returns_ok_delivers_it,
    a_cancelled_retry_does_not_wait_for_its_time,
    cancelling_a_finished_task_changes_nothing,
    a_task_that_runs_too_long_times_out,
    the_timeout_starts_anew_with_each_attempt,
    a_task_that_ends_in_time_does_not_time_out,
];

// Promise 17.
fn a_queued_task_that_is_cancelled_never_runs<K: Kind>() {
    let (kit, notes) = (Kit::new(), Notes::default());
    let manager = K::with(&kit, 1);
    let busy = manager.occupy(1);
    let cancelled = manager.submit(writes(&notes, 1).high());
    let other = manager.submit(writes(&notes, 2));
    assert_eq!(cancelled.status(), TaskStatus::Queued);
    cancelled.cancel();
    let ending = cancelled.wait(); // although no worker is free
    assert!(matches!(ending, Err(TaskError::Cancelled)), "{ending:?}");
    let stats = manager.stats();
    assert_eq!((stats.priority_tasks, stats.queued_tasks), (0, 1));
    busy.release();
    other.wait().unwrap();
    assert_eq!(notes.read(), [2]);
    let report = manager.stop().unwrap();
    assert_complete(&report);
    assert_eq!((report.completed, report.cancelled), (2, 1));
}

// Promise 17.
fn a_running_task_that_is_cancelled_is_told_so<K: Kind>() {
    let (kit, gate) = (Kit::new(), Gate::new());
    let manager = K::with(&kit, 1);
    let running = manager.submit(runs_until_cancelled(&gate));
    gate.await_arrivals(1);
    assert_eq!(running.status(), TaskStatus::Running { attempt: 1 });
    running.cancel();
    running.cancel(); // once is enough
    assert!(matches!(running.wait(), Err(TaskError::Cancelled)));
    assert!(manager.run(returns()).is_ok());
    let report = manager.stop().unwrap();
    assert_complete(&report);
    assert_eq!((report.completed, report.cancelled), (1, 1));
}

// Promise 17.
fn a_cancelled_task_that_still_returns_ok_delivers_it<K: Kind>() {
    let (kit, gate) = (Kit::new(), Gate::new());
    let manager = K::with(&kit, 1);
    let running = manager.submit(job!([gate], |cx, _| {
        gate.arrive();
        cx.cancelled().await;
        Ok(cx.is_cancelled().into())
    }));
    gate.await_arrivals(1);
    running.cancel();
    assert_eq!(running.wait().unwrap(), 1);
    let report = manager.stop().unwrap();
    assert_complete(&report);
    assert_eq!((report.completed, report.cancelled), (1, 0));
}

// Promise 17.
fn a_cancelled_retry_does_not_wait_for_its_time<K: Kind>() {
    let kit = Kit::new();
    let backoff = Some(Backoff::fixed(HOUR));
    let manager = K::build(Settings { retry_backoff: backoff, ..Settings::new(&kit, 1) });
    let retried = manager.submit(is_sick(1));
    eventually("the retry waits", || manager.stats().delayed_tasks == 1);
    retried.cancel();
    assert!(matches!(retried.wait(), Err(TaskError::Cancelled)));
    assert_eq!(manager.stats().delayed_tasks, 0);
    assert_eq!(manager.stop().unwrap().cancelled, 1);
}

// Promise 17.
fn cancelling_a_finished_task_changes_nothing<K: Kind>() {
    let (kit, gate) = (Kit::new(), Gate::new());
    let manager = K::with(&kit, 1);
    let finished = manager.submit(returns());
    eventually("it ends", || finished.is_finished());
    let running = manager.submit(job!([gate], |cx, _| {
        gate.passed().await;
        Ok(cx.is_cancelled().into())
    }));
    gate.await_arrivals(1);
    finished.cancel(); // and not the one that uses the resource now
    gate.open();
    assert_eq!(running.wait().unwrap(), 0);
    assert_eq!(finished.wait().unwrap(), 1);
    assert_eq!(manager.stop().unwrap().completed, 2);
}

// Promise 17.
fn a_task_that_runs_too_long_times_out<K: Kind>() {
    let (kit, gate) = (Kit::new(), Gate::new());
    let manager = K::with(&kit, 1);
    let job = runs_until_cancelled(&gate).timeout(MOMENT);
    for ending in [manager.run(job.clone()), manager.submit(job.once()).wait()] {
        assert!(matches!(ending, Err(TaskError::TimedOut)), "{ending:?}");
    }
    assert!(manager.run(returns()).is_ok());
    let report = manager.stop().unwrap();
    assert_complete(&report);
    assert_eq!((report.completed, report.failed), (1, 2));
}

// Promise 17; small print, `timeout`.
fn the_timeout_starts_anew_with_each_attempt<K: Kind>() {
    let kit = Kit::new();
    let manager = K::with(&kit, 1);
    let deadlines = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&deadlines);
    let job = job!([seen], |cx, _| {
        seen.lock().unwrap().push((Instant::now(), cx.deadline().unwrap()));
        if cx.attempt() == 1 { Err(Fault::Sick) } else { Ok(0) }
    });
    manager.submit(job.timeout(HOUR)).wait().unwrap();
    let seen = deadlines.lock().unwrap().clone();
    let [(first, first_deadline), (second, second_deadline)] = seen[..] else {
        panic!("{seen:?}");
    };
    assert!(first_deadline <= first + HOUR && second_deadline <= second + HOUR);
    assert!(second_deadline > first_deadline, "the second attempt has its own");
    assert_complete(&manager.stop().unwrap());
}

// Promise 17.
fn a_task_that_ends_in_time_does_not_time_out<K: Kind>() {
    let kit = Kit::new();
    let manager = K::with(&kit, 1);
    assert_eq!(manager.run(returns().timeout(HOUR)).unwrap(), 1);
    assert_eq!(manager.submit(is_sick(1).timeout(HOUR)).wait().unwrap(), 2);
    assert_complete(&manager.stop().unwrap());
}
