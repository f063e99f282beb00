//! Promise 11: a kill ends what is queued, cancels what runs, and destroys every resource.

use std::time::Duration;

use tasker::{Backoff, Phase, TaskError};

use super::jobs::{is_sick, returns, runs_until_cancelled};
use super::kinds::Kind;
use super::settings::Settings;
use super::watch::{await_waiting, begin_kill, begin_stop, report_of, run_aside};
use crate::support::{Gate, Kit, assert_adds_up, assert_complete, eventually};

const HOUR: Duration = Duration::from_secs(3600);

on_every_kind![
    a_kill_ends_what_is_queued_and_cancels_what_runs,
    a_kill_ends_a_retry_that_waits_for_its_time,
    a_kill_takes_over_from_a_stop,
    a_kill_waits_for_the_last_destruction,
    a_kill_within_a_limit_does_not_wait_for_a_destruction_that_does_not_end,
    a_kill_ends_tasks_that_wait_for_a_resource_that_cannot_be_made,
];

// Promise 11.
fn a_kill_ends_what_is_queued_and_cancels_what_runs<K: Kind>() {
    let (kit, gate) = (Kit::new(), Gate::new());
    let manager = K::with(&kit, 2);
    let running = manager.submit(runs_until_cancelled(&gate));
    let awaited = run_aside(&manager, runs_until_cancelled(&gate));
    gate.await_arrivals(2);
    let queued = manager.submit(returns().high());
    let waiting = run_aside(&manager, returns());
    await_waiting(&manager, 2);
    let report = manager.kill().unwrap();
    assert_complete(&report);
    assert_eq!((report.accepted, report.cancelled, report.dropped), (4, 2, 2));
    for ending in [running.wait(), awaited.join().unwrap()] {
        assert!(matches!(ending, Err(TaskError::Cancelled)), "{ending:?}");
    }
    for ending in [queued.wait(), waiting.join().unwrap()] {
        assert!(matches!(ending, Err(TaskError::Killed)), "{ending:?}");
    }
    assert_eq!(manager.phase(), Phase::Killed);
    kit.assert_all_destroyed_once();
}

// Promise 11.
fn a_kill_ends_a_retry_that_waits_for_its_time<K: Kind>() {
    let kit = Kit::new();
    let backoff = Some(Backoff::fixed(HOUR));
    let manager = K::build(Settings { retry_backoff: backoff, ..Settings::new(&kit, 1) });
    let retried = manager.submit(is_sick(1));
    let awaited = run_aside(&manager, is_sick(1));
    eventually("both wait", || manager.stats().delayed_tasks == 2);
    assert_eq!(manager.kill().unwrap().dropped, 2);
    assert!(matches!(retried.wait(), Err(TaskError::Killed)));
    assert!(matches!(awaited.join().unwrap(), Err(TaskError::Killed)));
}

// Promise 11: the stop returns its report too.
fn a_kill_takes_over_from_a_stop<K: Kind>() {
    let (kit, gate) = (Kit::new(), Gate::new());
    let manager = K::with(&kit, 1);
    let running = manager.submit(runs_until_cancelled(&gate));
    gate.await_arrivals(1);
    let queued = manager.submit(returns());
    let stop = begin_stop(&manager);
    let killed = manager.kill().unwrap();
    let stopped = report_of(stop);
    for report in [killed, stopped, manager.join()] {
        assert_complete(&report);
        assert_eq!((report.cancelled, report.dropped), (1, 1));
    }
    assert!(matches!(running.wait(), Err(TaskError::Cancelled)));
    assert!(matches!(queued.wait(), Err(TaskError::Killed)));
}

// Promise 11.
fn a_kill_waits_for_the_last_destruction<K: Kind>() {
    let (kit, gate) = (Kit::new(), Gate::new());
    let manager = K::build(Settings { pool: 1, ..Settings::new(&kit, 2) });
    kit.block_destroys(&gate);
    let kill = begin_kill(&manager);
    gate.await_arrivals(3);
    assert!(!kill.is_finished());
    gate.open();
    assert_complete(&report_of(kill));
    kit.assert_all_destroyed_once();
}

// Small print, `kill_within`.
fn a_kill_within_a_limit_does_not_wait_for_a_destruction_that_does_not_end<K: Kind>() {
    let (kit, gate) = (Kit::new(), Gate::new());
    let manager = K::with(&kit, 1);
    kit.block_destroys(&gate);
    let report = manager.kill_within(Duration::ZERO).unwrap();
    assert_adds_up(&report);
    assert_eq!((report.resources_created, report.resources_destroyed), (1, 0));
    gate.open();
    assert_complete(&manager.join());
    kit.assert_all_destroyed_once();
}

// Promises 1, 9 and 11.
fn a_kill_ends_tasks_that_wait_for_a_resource_that_cannot_be_made<K: Kind>() {
    let kit = Kit::new();
    let manager = K::with(&kit, 1);
    kit.break_down();
    let retried = manager.submit(is_sick(1));
    eventually("the worker is without", || manager.stats().recovering_workers == 1);
    let report = manager.kill().unwrap();
    assert_complete(&report);
    assert!(matches!(retried.wait(), Err(TaskError::Killed)));
    kit.assert_all_destroyed_once();
}
