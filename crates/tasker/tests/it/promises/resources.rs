//! How long resources last, what is asked of them before they are used again, and that others take their place.

use std::sync::Arc;
use std::time::Duration;

use tasker::{DestroyReason, Observer};

use super::jobs::{panics, returns, runs_until_cancelled};
use super::kinds::Kind;
use super::settings::{Settings, Sound};
use crate::support::{Gate, Kit, Recorder, assert_complete, eventually, gone};

on_every_kind![
    a_resource_that_was_used_up_is_replaced,
    a_resource_that_is_too_old_is_replaced,
    a_resource_that_is_not_sound_is_replaced_before_it_is_used,
    a_sound_resource_is_used_again,
    a_resource_whose_task_was_interrupted_is_not_used_again_unless_it_is_sound,
];

// `max_uses`; promise 3.
fn a_resource_that_was_used_up_is_replaced<K: Kind>() {
    let (kit, seen) = (Kit::new(), Recorder::new());
    let observers: Vec<Arc<dyn Observer>> = vec![Arc::new(seen.clone())];
    let manager = K::build(Settings { max_uses: Some(1), observers, ..Settings::new(&kit, 1) });
    for id in 1..=4 {
        assert_eq!(manager.run(returns()).unwrap(), id);
    }
    assert_complete(&manager.stop().unwrap());
    assert!(seen.count(gone(DestroyReason::MaxUses)) >= 3);
    assert_eq!(kit.peak(), 1);
    kit.assert_all_destroyed_once();
}

// `max_lifetime`; promises 2 and 3.
fn a_resource_that_is_too_old_is_replaced<K: Kind>() {
    let (kit, seen) = (Kit::new(), Recorder::new());
    let observers: Vec<Arc<dyn Observer>> = vec![Arc::new(seen.clone())];
    let max_lifetime = Some(Duration::from_millis(5));
    let manager = K::build(Settings { max_lifetime, observers, ..Settings::new(&kit, 1) });
    kit.wait_until(|counts| counts.created >= 3); // although nobody uses them
    assert!(manager.run(returns()).unwrap() >= 3);
    assert_complete(&manager.stop().unwrap());
    assert!(seen.count(gone(DestroyReason::Expired)) >= 2);
    assert_eq!(kit.peak(), 1);
    kit.assert_all_destroyed_once();
}

// `validate`; promise 3.
fn a_resource_that_is_not_sound_is_replaced_before_it_is_used<K: Kind>() {
    let (kit, seen) = (Kit::new(), Recorder::new());
    let observers: Vec<Arc<dyn Observer>> = vec![Arc::new(seen.clone())];
    let validate: Option<Sound> = Some(Arc::new(|id| id != 1));
    let manager =
        K::build(Settings { validate, observers, max_retries: 0, ..Settings::new(&kit, 1) });
    eventually("it is idle", || manager.stats().idle_workers == 1);
    assert_eq!(manager.submit(returns()).wait().unwrap(), 2);
    assert_eq!(seen.count(gone(DestroyReason::Invalid)), 1);
    assert_complete(&manager.stop().unwrap());
    kit.assert_all_destroyed_once();
}

// `validate`.
fn a_sound_resource_is_used_again<K: Kind>() {
    let kit = Kit::new();
    let validate: Option<Sound> = Some(Arc::new(|_| true));
    let manager = K::build(Settings { validate, ..Settings::new(&kit, 1) });
    for _ in 0..3 {
        assert_eq!(manager.run(returns()).unwrap(), 1);
        assert_eq!(manager.submit(returns()).wait().unwrap(), 1);
    }
    assert_eq!(manager.run(panics()).ok(), None);
    assert_eq!(manager.run(returns()).unwrap(), 2, "a panic condemns it without being asked");
    assert_complete(&manager.stop().unwrap());
}

// `validate`: after a cancelled attempt it is asked about the resource.
fn a_resource_whose_task_was_interrupted_is_not_used_again_unless_it_is_sound<K: Kind>() {
    for sound in [true, false] {
        let (kit, gate) = (Kit::new(), Gate::new());
        let validate: Option<Sound> = Some(Arc::new(move |id| sound || id != 1));
        let manager = K::build(Settings { validate, ..Settings::new(&kit, 1) });
        let first = if sound { 1 } else { 2 };
        let cancelled = manager.submit(runs_until_cancelled(&gate));
        gate.await_arrivals(1);
        cancelled.cancel();
        assert!(cancelled.wait().is_err());
        assert_eq!(manager.run(returns()).unwrap(), first);
        assert_complete(&manager.stop().unwrap());
        kit.assert_all_destroyed_once();
    }
}
