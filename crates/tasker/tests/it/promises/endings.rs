//! Promise 1: an accepted task has exactly one outcome, and whoever waits for it always gets it.

use std::sync::mpsc::channel;

use tasker::TaskError;

use super::jobs::{fails, panics, returns, runs_until_cancelled, waits_at};
use super::kinds::Kind;
use super::watch::await_rest;
use crate::support::{Fault, Gate, Kit, LIMIT, assert_complete};

on_every_kind![
    a_task_that_returns_gives_its_value_by_every_door,
    a_task_that_fails_gives_its_error_by_every_door,
    a_task_that_panics_gives_its_panic_by_every_door,
    a_kill_answers_whoever_waits_for_a_queued_task,
    a_kill_answers_whoever_waits_for_a_running_task,
    a_dropped_handle_leaves_its_task_alone,
    a_callback_is_called_once,
];

// Promise 1.
fn a_task_that_returns_gives_its_value_by_every_door<K: Kind>() {
    let kit = Kit::new();
    let manager = K::with(&kit, 1);
    assert_eq!(manager.run(returns()).unwrap(), 1);
    assert_eq!(manager.run(returns().once()).unwrap(), 1);
    await_rest(&manager, 1);
    assert_eq!(manager.run_now(returns()).unwrap(), 1);
    assert_eq!(manager.submit(returns()).wait().unwrap(), 1);
    assert_eq!(manager.try_submit(returns()).unwrap().wait().unwrap(), 1);
    let (send, receive) = channel();
    manager.on_complete(returns(), move |ending| send.send(ending).unwrap());
    assert_eq!(receive.recv_timeout(LIMIT).unwrap().unwrap(), 1);
    assert_eq!(manager.stop().unwrap().completed, 6);
}

// Promise 1.
fn a_task_that_fails_gives_its_error_by_every_door<K: Kind>() {
    let kit = Kit::new();
    let manager = K::with(&kit, 1);
    let (send, receive) = channel();
    manager.on_complete(fails(Fault::Own), move |ending| send.send(ending).unwrap());
    let endings = [
        manager.run(fails(Fault::Own)),
        manager.run(fails(Fault::Own).once()),
        manager.run_now(fails(Fault::Own)),
        manager.submit(fails(Fault::Own)).wait(),
        receive.recv_timeout(LIMIT).unwrap(),
    ];
    for ending in endings {
        assert!(matches!(ending, Err(TaskError::Failed(Fault::Own))), "{ending:?}");
    }
    assert_eq!(manager.stop().unwrap().failed, 5);
}

// Promises 1 and 8.
fn a_task_that_panics_gives_its_panic_by_every_door<K: Kind>() {
    let kit = Kit::new();
    let manager = K::with(&kit, 1);
    let (send, receive) = channel();
    manager.on_complete(panics(), move |ending| send.send(ending).unwrap());
    let endings = [
        manager.run(panics()),
        manager.run(panics().once()),
        manager.run_now(panics()),
        manager.submit(panics()).wait(),
        receive.recv_timeout(LIMIT).unwrap(),
    ];
    for ending in endings {
        let Err(TaskError::Panicked(panic)) = ending else { panic!("{ending:?}") };
        assert_eq!(panic.message(), "a task panics on order");
    }
    assert_complete(&manager.stop().unwrap());
    kit.assert_all_destroyed_once();
}

// Promise 1.
fn a_kill_answers_whoever_waits_for_a_queued_task<K: Kind>() {
    let kit = Kit::new();
    let manager = K::with(&kit, 1);
    let gate = Gate::new();
    let running = manager.submit(runs_until_cancelled(&gate));
    gate.await_arrivals(1);
    let queued = manager.submit(returns());
    let (send, receive) = channel();
    manager.on_complete(returns(), move |ending| send.send(ending).unwrap());
    assert_complete(&manager.kill().unwrap());
    assert!(matches!(queued.wait(), Err(TaskError::Killed)));
    assert!(matches!(receive.recv_timeout(LIMIT).unwrap(), Err(TaskError::Killed)));
    assert!(matches!(running.wait(), Err(TaskError::Cancelled)));
}

// Promise 1.
fn a_kill_answers_whoever_waits_for_a_running_task<K: Kind>() {
    let kit = Kit::new();
    let manager = K::with(&kit, 2);
    let gate = Gate::new();
    let (send, receive) = channel();
    manager.on_complete(runs_until_cancelled(&gate), move |ending| send.send(ending).unwrap());
    let handle = manager.submit(runs_until_cancelled(&gate));
    gate.await_arrivals(2);
    assert_eq!(manager.kill().unwrap().cancelled, 2);
    assert!(matches!(handle.wait(), Err(TaskError::Cancelled)));
    assert!(matches!(receive.recv_timeout(LIMIT).unwrap(), Err(TaskError::Cancelled)));
}

// Promise 1: dropping a handle detaches.
fn a_dropped_handle_leaves_its_task_alone<K: Kind>() {
    let kit = Kit::new();
    let manager = K::with(&kit, 1);
    let gate = Gate::new();
    drop(manager.submit(waits_at(&gate)));
    gate.await_arrivals(1);
    drop(manager.submit(returns()));
    gate.open();
    assert_eq!(manager.stop().unwrap().completed, 2);
}

// Small print, "Callbacks".
fn a_callback_is_called_once<K: Kind>() {
    let kit = Kit::new();
    let manager = K::with(&kit, 2);
    let (send, receive) = channel();
    for job in [returns(), fails(Fault::Own), fails(Fault::Sick), panics()] {
        let send = send.clone();
        manager.on_complete(job, move |_| send.send(()).unwrap());
    }
    assert_complete(&manager.stop().unwrap());
    let refused = send.clone();
    manager.on_complete(returns(), move |ending| {
        assert!(matches!(ending, Err(TaskError::ShuttingDown)), "{ending:?}");
        refused.send(()).unwrap();
    });
    drop(send);
    assert_eq!(receive.iter().count(), 5);
}
