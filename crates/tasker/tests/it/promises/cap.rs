//! Promise 2: there are never more resources than were allowed, those being made or destroyed included.

use super::jobs::{fails, is_sick, returns, waits_at};
use super::kinds::Kind;
use super::settings::Settings;
use super::watch::{await_rest, run_now_aside};
use crate::support::{Fault, Gate, Kit, Puppet, assert_complete, eventually};

on_every_kind![
    slow_creations_count_under_the_cap,
    a_worker_makes_no_resource_before_its_last_one_is_destroyed,
    the_pool_holds_no_more_than_its_size,
    a_temporary_resource_serves_one_run_task,
];

// Promise 2: ten are wanted, and they are slow to come; three may be.
fn slow_creations_count_under_the_cap<K: Kind>() {
    let (kit, gate, policy) = (Kit::new(), Gate::new(), Puppet::new());
    let scaling = Some(policy.clone());
    let manager = K::build(Settings { max_workers: 3, policy: scaling, ..Settings::new(&kit, 1) });
    let busy = manager.occupy(1);
    kit.block_creates(&gate);
    policy.say_workers(10);
    let jobs: Vec<_> = (0..20).map(|_| manager.submit(waits_at(&gate))).collect();
    kit.wait_until(|counts| counts.calls >= 3);
    policy.await_asked(policy.asked() + 2);
    assert_eq!(manager.stats().burst_workers, 2);
    gate.open();
    for job in jobs {
        job.wait().unwrap();
    }
    policy.await_asked(policy.asked() + 2); // with three that are made, and none on its way
    assert_eq!(manager.stats().burst_workers, 2);
    busy.release();
    assert_complete(&manager.stop().unwrap());
    assert_eq!((kit.peak(), kit.created()), (3, 3));
}

// Promise 2: a resource that is being destroyed still counts.
fn a_worker_makes_no_resource_before_its_last_one_is_destroyed<K: Kind>() {
    let (kit, gate) = (Kit::new(), Gate::new());
    let manager = K::with(&kit, 1);
    kit.block_destroys(&gate);
    let job = manager.submit(is_sick(1));
    kit.wait_until(|counts| counts.destroying == 1);
    assert_eq!(manager.stats().recovering_workers, 1);
    gate.open();
    assert_eq!(job.wait().unwrap(), 2);
    assert_complete(&manager.stop().unwrap());
    assert_eq!((kit.peak(), kit.created()), (1, 2));
}

// Promise 2.
fn the_pool_holds_no_more_than_its_size<K: Kind>() {
    let (kit, gate) = (Kit::new(), Gate::new());
    let manager = K::build(Settings { pool: 2, ..Settings::new(&kit, 1) });
    assert_eq!((kit.created(), manager.stats().available_resources), (3, 2));
    await_rest(&manager, 1);
    // The pool's two, the idle worker's, and one that is made for the fourth.
    let urgent: Vec<_> = (0..4).map(|_| run_now_aside(&manager, waits_at(&gate))).collect();
    gate.await_arrivals(4);
    assert_eq!((kit.live(), manager.stats().available_resources), (4, 0));
    gate.open();
    for urgent in urgent {
        urgent.join().unwrap().unwrap();
    }
    for fault in [Fault::Own, Fault::Sick] {
        assert!(manager.run_now(fails(fault)).is_err());
    }
    eventually("the pool is full again", || manager.stats().available_resources == 2);
    kit.wait_until(|counts| (counts.created, counts.live) == (5, 3));
    assert_complete(&manager.stop().unwrap());
    assert_eq!(kit.peak(), 4);
}

// Promise 2.
fn a_temporary_resource_serves_one_run_task<K: Kind>() {
    let kit = Kit::new();
    let manager = K::with(&kit, 1);
    let busy = manager.occupy(1);
    for id in [2, 3] {
        assert_eq!(manager.run_now(returns()).unwrap(), id);
        kit.wait_until(|counts| counts.live == 1);
        assert!(kit.is_gone(id));
    }
    busy.release();
    assert_complete(&manager.stop().unwrap());
}
