//! Small print, "run_task": a pooled resource, else an idle worker's, else a temporary one.

use tasker::TaskError;

use super::jobs::{Notes, returns, waits_at, writes};
use super::kinds::Kind;
use super::settings::Settings;
use super::watch::{await_rest, run_now_aside};
use crate::support::{Fault, Gate, Kit, assert_complete};

on_every_kind![
    a_run_task_takes_a_pooled_resource_else_an_idle_one_else_its_own,
    a_run_task_goes_ahead_of_every_lane,
    a_run_task_without_a_resource_fails_alone,
    a_stop_waits_for_a_run_task,
];

// Small print, "run_task"; promise 2.
fn a_run_task_takes_a_pooled_resource_else_an_idle_one_else_its_own<K: Kind>() {
    let (kit, gate) = (Kit::new(), Gate::new());
    let manager = K::build(Settings { pool: 1, ..Settings::new(&kit, 1) });
    await_rest(&manager, 1);
    let pooled = run_now_aside(&manager, waits_at(&gate));
    gate.await_arrivals(1);
    let stats = manager.stats();
    assert_eq!((stats.available_resources, stats.idle_workers), (0, 1));
    let idle = run_now_aside(&manager, waits_at(&gate));
    gate.await_arrivals(2);
    assert_eq!((manager.stats().idle_workers, kit.created()), (0, 2));
    assert_eq!(manager.run_now(returns()).unwrap(), 3);
    kit.wait_until(|counts| counts.destroyed == 1);
    gate.open();
    let mut ids = [pooled.join().unwrap().unwrap(), idle.join().unwrap().unwrap()];
    ids.sort_unstable();
    assert_eq!(ids, [1, 2]);
    assert_complete(&manager.stop().unwrap());
}

// Small print, "run_task".
fn a_run_task_goes_ahead_of_every_lane<K: Kind>() {
    let (kit, notes) = (Kit::new(), Notes::default());
    let manager = K::with(&kit, 1);
    let busy = manager.occupy(1);
    let high = manager.submit(writes(&notes, 2).high());
    manager.run_now(writes(&notes, 1)).unwrap();
    busy.release();
    high.wait().unwrap();
    assert_eq!(notes.read(), [1, 2]);
    let report = manager.stop().unwrap();
    assert_complete(&report);
    assert_eq!(report.completed, 3, "it counts like any task");
}

// Promise 8 is about panics; an error of the creation is the task's, too.
fn a_run_task_without_a_resource_fails_alone<K: Kind>() {
    let kit = Kit::new();
    let manager = K::with(&kit, 1);
    let busy = manager.occupy(1);
    kit.fail_next_creates(1);
    let ending = manager.run_now(returns());
    assert!(matches!(ending, Err(TaskError::CreateFailed(Fault::Create))), "{ending:?}");
    busy.release();
    await_rest(&manager, 1);
    assert_eq!(manager.run_now(returns()).unwrap(), 1);
    let report = manager.stop().unwrap();
    assert_complete(&report);
    assert_eq!((report.completed, report.failed), (2, 1));
}

// Promise 10.
fn a_stop_waits_for_a_run_task<K: Kind>() {
    let (kit, gate) = (Kit::new(), Gate::new());
    let manager = K::build(Settings { pool: 1, ..Settings::new(&kit, 1) });
    let urgent = run_now_aside(&manager, waits_at(&gate));
    gate.await_arrivals(1);
    let stop = super::watch::begin_stop(&manager);
    assert_eq!((manager.phase(), stop.is_finished()), (tasker::Phase::Stopping, false));
    gate.open();
    urgent.join().unwrap().unwrap();
    assert_complete(&super::watch::report_of(stop));
    kit.assert_all_destroyed_once();
}
