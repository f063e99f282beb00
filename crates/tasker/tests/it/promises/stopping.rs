//! Promise 10: a stop runs everything that was accepted, destroys every resource, and comes to an end.

use std::time::Duration;

use tasker::{Phase, RejectReason, TaskError, TaskHandle};

use super::jobs::{returns, runs_until_cancelled};
use super::kinds::Kind;
use super::settings::Settings;
use super::watch::{await_waiting, begin_stop, report_of, run_aside};
use crate::support::{Fault, Gate, Kit, assert_adds_up, assert_complete};

on_every_kind![
    a_stop_runs_everything_that_was_accepted,
    what_runs_during_a_stop_is_not_cancelled,
    a_stop_refuses_new_tasks_at_once,
    a_stop_ends_where_no_resource_can_be_made_any_more,
    a_stop_waits_for_the_last_destruction,
    a_stop_within_a_limit_cancels_what_still_runs,
    a_stop_within_a_limit_reports_a_destruction_that_does_not_end,
    a_stop_of_an_idle_manager_reports_its_resources,
];

// Promise 10.
fn a_stop_runs_everything_that_was_accepted<K: Kind>() {
    let kit = Kit::new();
    let manager = K::build(Settings { pool: 1, ..Settings::new(&kit, 1) });
    let busy = manager.occupy(1);
    let submitted: Vec<_> = (0..5).map(|_| manager.submit(returns())).collect();
    let awaited = run_aside(&manager, returns().low());
    await_waiting(&manager, 6);
    let stop = begin_stop(&manager);
    busy.release();
    for handle in submitted {
        handle.wait().unwrap();
    }
    awaited.join().unwrap().unwrap();
    let report = report_of(stop);
    assert_complete(&report);
    assert_eq!((report.accepted, report.completed), (7, 7));
    assert_eq!(manager.phase(), Phase::Stopped);
    kit.assert_all_destroyed_once();
}

// Promise 10: contexts stay live.
fn what_runs_during_a_stop_is_not_cancelled<K: Kind>() {
    let (kit, gate) = (Kit::new(), Gate::new());
    let manager = K::with(&kit, 1);
    let job = job!([gate], |cx, _| {
        gate.passed().await;
        Ok(cx.is_cancelled().into())
    });
    let (running, queued) = (manager.submit(job.clone()), manager.submit(job));
    gate.await_arrivals(1);
    let stop = begin_stop(&manager);
    gate.open();
    assert_eq!((running.wait().unwrap(), queued.wait().unwrap()), (0, 0));
    assert_complete(&report_of(stop));
}

// Promises 10 and 12.
fn a_stop_refuses_new_tasks_at_once<K: Kind>() {
    let kit = Kit::new();
    let manager = K::with(&kit, 1);
    let busy = manager.occupy(1);
    let stop = begin_stop(&manager);
    assert_eq!(manager.phase(), Phase::Stopping);
    let late = manager.submit(returns());
    assert!(late.is_finished());
    assert!(matches!(late.wait(), Err(TaskError::ShuttingDown)));
    assert_eq!(manager.try_submit(returns()).unwrap_err(), RejectReason::ShuttingDown);
    assert!(matches!(manager.run(returns()), Err(TaskError::ShuttingDown)));
    assert!(matches!(manager.run_now(returns()), Err(TaskError::ShuttingDown)));
    busy.release();
    assert_eq!(report_of(stop).accepted, 1);
}

// Promises 1 and 10: what is left ends as `CreateFailed`, by whatever door it came.
fn a_stop_ends_where_no_resource_can_be_made_any_more<K: Kind>() {
    let (kit, gate) = (Kit::new(), Gate::new());
    let manager = K::with(&kit, 1);
    let sick = manager.submit(job!([gate], |_, _| {
        gate.passed().await;
        Err(Fault::Sick)
    }));
    gate.await_arrivals(1);
    let queued: Vec<_> = (0..3).map(|_| manager.submit(returns())).collect();
    let awaited = run_aside(&manager, returns());
    await_waiting(&manager, 4);
    kit.break_down();
    let stop = begin_stop(&manager);
    gate.open();
    let mut endings: Vec<_> = queued.into_iter().map(TaskHandle::wait).collect();
    endings.extend([sick.wait(), awaited.join().unwrap()]);
    for ending in endings {
        assert!(matches!(ending, Err(TaskError::CreateFailed(Fault::Create))), "{ending:?}");
    }
    let report = report_of(stop);
    assert_complete(&report);
    assert_eq!((report.accepted, report.failed), (5, 5));
    kit.assert_all_destroyed_once();
}

// Promise 10.
fn a_stop_waits_for_the_last_destruction<K: Kind>() {
    let (kit, gate) = (Kit::new(), Gate::new());
    let manager = K::build(Settings { pool: 1, ..Settings::new(&kit, 2) });
    kit.block_destroys(&gate);
    let stop = begin_stop(&manager);
    gate.await_arrivals(3); // all at the same time
    assert!(!stop.is_finished());
    assert_eq!(manager.phase(), Phase::Stopping);
    gate.open();
    assert_complete(&report_of(stop));
    kit.assert_all_destroyed_once();
}

// Small print, `stop_within`: at the limit contexts are cancelled, and what is queued is `Killed`.
fn a_stop_within_a_limit_cancels_what_still_runs<K: Kind>() {
    let (kit, gate) = (Kit::new(), Gate::new());
    let manager = K::with(&kit, 1);
    let running = manager.submit(runs_until_cancelled(&gate));
    gate.await_arrivals(1);
    let queued = manager.submit(returns());
    let report = manager.stop_within(Duration::from_millis(1)).unwrap();
    assert_complete(&report);
    assert_eq!((report.cancelled, report.dropped), (1, 1));
    assert!(matches!(running.wait(), Err(TaskError::Cancelled)));
    assert!(matches!(queued.wait(), Err(TaskError::Killed)));
    assert_eq!(manager.phase(), Phase::Killed);
    kit.assert_all_destroyed_once();
}

// Small print, `stop_within`: a resource that is still in `on_destroy` is not waited for.
fn a_stop_within_a_limit_reports_a_destruction_that_does_not_end<K: Kind>() {
    let (kit, gate) = (Kit::new(), Gate::new());
    let manager = K::with(&kit, 2);
    manager.run(returns()).unwrap();
    kit.block_destroys(&gate);
    let report = manager.stop_within(Duration::ZERO).unwrap();
    assert_adds_up(&report);
    assert_eq!((report.resources_created, report.resources_destroyed), (2, 0));
    gate.open();
    assert_complete(&manager.join());
    kit.assert_all_destroyed_once();
}

// Promises 10 and 3.
fn a_stop_of_an_idle_manager_reports_its_resources<K: Kind>() {
    let kit = Kit::new();
    let manager = K::build(Settings { pool: 2, ..Settings::new(&kit, 2) });
    let report = manager.stop().unwrap();
    assert_complete(&report);
    assert_eq!((report.accepted, report.resources_created), (0, 4));
    assert_complete(&manager.join());
    kit.assert_all_destroyed_once();
}
