//! Promise 9: a worker without a resource tries again, and never holds up the others.

use super::jobs::{fails, is_sick, returns};
use super::kinds::Kind;
use super::settings::Settings;
use super::watch::await_rest;
use crate::support::{Fault, Gate, Kit, assert_complete, eventually};

on_every_kind![
    a_worker_tries_again_until_it_has_a_resource,
    a_worker_without_a_resource_does_not_delay_the_others,
    a_slow_replacement_does_not_delay_the_others,
    the_pool_is_filled_again,
];

// Promise 9.
fn a_worker_tries_again_until_it_has_a_resource<K: Kind>() {
    let kit = Kit::new();
    let manager = K::with(&kit, 1);
    kit.break_down();
    let waiting = manager.submit(is_sick(1));
    kit.wait_until(|counts| counts.failures >= 3);
    let stats = manager.stats();
    assert_eq!((stats.recovering_workers, stats.active_workers), (1, 0));
    assert!(!waiting.is_finished());
    let explained = manager.explain();
    assert!(explained.failed_creations >= 1, "{explained}");
    assert_eq!(explained.last_create_error.as_deref(), Some("create fault"));
    kit.mend();
    assert_eq!(waiting.wait().unwrap(), 2);
    await_rest(&manager, 1);
    assert_complete(&manager.stop().unwrap());
    assert_eq!(kit.created(), 2);
}

// Promise 9.
fn a_worker_without_a_resource_does_not_delay_the_others<K: Kind>() {
    let kit = Kit::new();
    let manager = K::with(&kit, 2);
    kit.break_down();
    assert_eq!(manager.run(is_sick(1)).unwrap(), 2, "on the other worker");
    for _ in 0..5 {
        manager.run(returns()).unwrap();
        manager.submit(returns()).wait().unwrap();
        eventually("the other is idle", || manager.stats().idle_workers == 1);
        manager.run_now(returns()).unwrap();
    }
    eventually("one is without", || manager.stats().recovering_workers == 1);
    assert_complete(&manager.stop().unwrap());
}

// Promise 9.
fn a_slow_replacement_does_not_delay_the_others<K: Kind>() {
    let (kit, gate) = (Kit::new(), Gate::new());
    let manager = K::with(&kit, 2);
    kit.block_creates(&gate);
    assert_eq!(manager.submit(is_sick(1)).wait().unwrap(), 2, "on the other worker");
    gate.await_arrivals(1);
    assert!(manager.submit(returns()).wait().is_ok());
    assert_eq!(manager.stats().recovering_workers, 1);
    gate.open();
    await_rest(&manager, 2);
    assert_complete(&manager.stop().unwrap());
}

// Promise 9, for the pool: small print, "run_task".
fn the_pool_is_filled_again<K: Kind>() {
    let kit = Kit::new();
    let manager = K::build(Settings { pool: 1, ..Settings::new(&kit, 1) });
    kit.fail_create(3);
    assert!(manager.run_now(fails(Fault::Sick)).is_err());
    eventually("it is full again", || manager.stats().available_resources == 1);
    assert_eq!(kit.counts().failures, 1);
    assert_complete(&manager.stop().unwrap());
    kit.assert_all_destroyed_once();
}
