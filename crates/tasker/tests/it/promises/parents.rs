//! Promise 13: the parent token, and dropping the last clone, start a graceful stop.

use std::sync::Arc;

use tasker::{CancelToken, Phase, TaskError, TaskStatus};

use super::jobs::{returns, waits_at};
use super::kinds::Kind;
use super::settings::Settings;
use crate::support::{Gate, Kit, assert_complete, eventually};

on_every_kind![
    a_cancelled_parent_token_stops_the_manager_gracefully,
    a_token_that_was_cancelled_before_stops_the_manager_too,
    a_parent_token_outlives_its_manager,
    dropping_the_last_clone_runs_what_was_accepted,
    a_clone_keeps_the_manager_running,
    a_clone_in_its_own_queue_keeps_a_paused_manager,
];

// Promise 13.
fn a_cancelled_parent_token_stops_the_manager_gracefully<K: Kind>() {
    let (kit, parent) = (Kit::new(), CancelToken::new());
    let manager =
        K::build(Settings { shutdown_on: Some(parent.clone()), ..Settings::new(&kit, 1) });
    let busy = manager.occupy(1);
    let queued = manager.submit(returns());
    assert_eq!(manager.phase(), Phase::Running);
    parent.cancel();
    eventually("the stop begins", || manager.phase() == Phase::Stopping);
    assert!(matches!(manager.run(returns()), Err(TaskError::ShuttingDown)));
    busy.release();
    queued.wait().unwrap();
    let report = manager.join();
    assert_complete(&report);
    assert_eq!(report.completed, 2);
    kit.assert_all_destroyed_once();
}

// Promise 13.
fn a_token_that_was_cancelled_before_stops_the_manager_too<K: Kind>() {
    let (kit, parent) = (Kit::new(), CancelToken::new());
    parent.cancel();
    let manager = K::build(Settings { shutdown_on: Some(parent), ..Settings::new(&kit, 1) });
    assert_complete(&manager.join());
    assert_eq!(manager.phase(), Phase::Stopped);
    kit.assert_all_destroyed_once();
}

// Promise 13.
fn a_parent_token_outlives_its_manager<K: Kind>() {
    let (kit, parent) = (Kit::new(), CancelToken::new());
    let settings = Settings { shutdown_on: Some(parent.clone()), ..Settings::new(&kit, 1) };
    let first = K::build(settings.clone());
    let second = K::build(settings);
    assert_complete(&first.stop().unwrap());
    assert!(!parent.is_cancelled(), "a child does not cancel its parent");
    second.run(returns()).unwrap();
    parent.cancel();
    assert_complete(&second.join());
    assert_eq!(first.phase(), Phase::Stopped);
}

// Promises 1, 3 and 13.
fn dropping_the_last_clone_runs_what_was_accepted<K: Kind>() {
    let (kit, gate) = (Kit::new(), Gate::new());
    let manager = K::with(&kit, 1);
    let running = manager.submit(waits_at(&gate));
    gate.await_arrivals(1);
    let queued = manager.submit(returns());
    let ground = manager.leave(); // nobody is blocked
    gate.open();
    assert_eq!((running.wait().unwrap(), queued.wait().unwrap()), (1, 1));
    kit.wait_until(|counts| counts.destroyed == 1);
    kit.assert_all_destroyed_once();
    drop(ground);
}

// Promise 13.
fn a_clone_keeps_the_manager_running<K: Kind>() {
    let kit = Kit::new();
    let manager = K::with(&kit, 1);
    let ground = manager.clone().leave();
    assert_eq!(manager.phase(), Phase::Running);
    manager.run(returns()).unwrap();
    assert_complete(&manager.stop().unwrap());
    drop(ground);
}

// What promise 13 does not say: nobody is left to resume it, unless somebody finds a way to that clone.
fn a_clone_in_its_own_queue_keeps_a_paused_manager<K: Kind>() {
    let kit = Kit::new();
    let manager = K::with(&kit, 1);
    manager.pause();
    let last = Arc::new(manager.clone());
    let way_back = Arc::downgrade(&last);
    let holds_it = job!([last], |_, res| {
        drop(last);
        Ok(res.id())
    });
    drop(last);
    let held_back = manager.submit(holds_it);
    let ground = manager.leave();
    let manager = way_back.upgrade().expect("its task is still there");
    assert_eq!((manager.phase(), held_back.status()), (Phase::Running, TaskStatus::Queued));
    assert!(manager.stats().paused);
    manager.resume();
    drop(manager);
    assert_eq!(held_back.wait().unwrap(), 1);
    kit.wait_until(|counts| counts.destroyed == 1);
    kit.assert_all_destroyed_once();
    assert_eq!(way_back.strong_count(), 0);
    drop(ground);
}
