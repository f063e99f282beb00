//! Small print, "Statistics": the numbers of one moment.

use super::jobs::{is_sick, returns, waits_at};
use super::kinds::Kind;
use super::settings::Settings;
use super::watch::{await_waiting, run_aside, run_now_aside};
use crate::support::{Gate, Kit, assert_complete};

on_every_kind![
    a_new_manager_is_idle,
    what_waits_is_counted_by_its_lane,
    what_runs_is_counted_wherever_it_runs,
    a_worker_without_a_resource_is_recovering,
    what_is_waited_for_is_explained,
];

// Small print, "Statistics".
fn a_new_manager_is_idle<K: Kind>() {
    let kit = Kit::new();
    let settings = Settings { pool: 2, max_workers: 5, ..Settings::new(&kit, 3) };
    let manager = K::build(settings);
    super::watch::await_rest(&manager, 3);
    let stats = manager.stats();
    assert_eq!((stats.base_workers, stats.max_workers, stats.burst_workers), (3, 5, 0));
    assert_eq!((stats.active_workers, stats.available_resources), (3, 2));
    let tasks = [stats.running_tasks, stats.queued_tasks, stats.priority_tasks];
    assert_eq!((tasks, stats.delayed_tasks, stats.paused), ([0; 3], 0, false));
    assert_complete(&manager.stop().unwrap());
}

// Small print, "Statistics": blocked callers count where their task waits.
fn what_waits_is_counted_by_its_lane<K: Kind>() {
    let kit = Kit::new();
    let manager = K::with(&kit, 1);
    let busy = manager.occupy(1);
    let submitted = [returns().low(), returns(), returns().high()].map(|job| manager.submit(job));
    let awaited = [returns().high(), returns().low()].map(|job| run_aside(&manager, job));
    await_waiting(&manager, 5);
    let stats = manager.stats();
    assert_eq!((stats.priority_tasks, stats.queued_tasks, stats.running_tasks), (2, 3, 1));
    busy.release();
    assert!(submitted.into_iter().all(|handle| handle.wait().is_ok()));
    assert!(awaited.into_iter().all(|caller| caller.join().unwrap().is_ok()));
    assert_complete(&manager.stop().unwrap());
}

// Small print, "Statistics".
fn what_runs_is_counted_wherever_it_runs<K: Kind>() {
    let (kit, gate) = (Kit::new(), Gate::new());
    let manager = K::build(Settings { pool: 1, ..Settings::new(&kit, 3) });
    let submitted = manager.submit(waits_at(&gate));
    let awaited = run_aside(&manager, waits_at(&gate));
    let urgent = run_now_aside(&manager, waits_at(&gate));
    gate.await_arrivals(3);
    super::watch::await_rest(&manager, 1);
    let stats = manager.stats();
    assert_eq!((stats.running_tasks, stats.available_resources), (3, 0));
    assert_eq!((stats.active_workers, stats.idle_workers), (3, 1));
    gate.open();
    submitted.wait().unwrap();
    assert!(awaited.join().unwrap().is_ok() && urgent.join().unwrap().is_ok());
    assert_complete(&manager.stop().unwrap());
}

// Small print, "Statistics"; promise 9.
fn a_worker_without_a_resource_is_recovering<K: Kind>() {
    let (kit, gate) = (Kit::new(), Gate::new());
    let manager = K::with(&kit, 2);
    kit.block_creates(&gate);
    assert!(manager.run(is_sick(1).once()).is_err());
    gate.await_arrivals(1);
    let stats = manager.stats();
    assert_eq!((stats.active_workers, stats.recovering_workers), (1, 1));
    gate.open();
    super::watch::await_rest(&manager, 2);
    assert_complete(&manager.stop().unwrap());
}

// Section 2 of the interface: `explain`.
fn what_is_waited_for_is_explained<K: Kind>() {
    let kit = Kit::new();
    let manager = K::with(&kit, 1);
    let busy = manager.occupy(1);
    let waiting = [manager.submit(returns()), manager.submit(returns().high())];
    let explained = manager.explain();
    assert_eq!((explained.workers, explained.in_use, explained.idle), (1, 1, 0));
    assert_eq!((explained.waiting.tasks, explained.waiting.for_cap), (2, 2), "{explained}");
    manager.pause();
    assert_eq!(manager.explain().waiting.for_resume, 2);
    manager.resume();
    busy.release();
    assert!(waiting.into_iter().all(|handle| handle.wait().is_ok()));
    assert_complete(&manager.stop().unwrap());
}
