//! Handles, which can be waited on, polled and asked, whatever the manager.

use std::time::Duration;

use tasker::{TaskError, TaskStatus};

use super::jobs::{is_sick, returns, waits_at};
use super::kinds::Kind;
use crate::support::{Fault, Gate, Kit, assert_complete, block_on};

on_every_kind![
    a_handle_knows_where_its_task_is,
    a_handle_that_was_waited_on_in_vain_comes_back,
    a_handle_can_be_awaited,
    a_context_knows_its_task,
    a_task_may_submit_to_its_own_manager_and_await_that,
];

// Section 2 of the interface: `status` and `is_finished`.
fn a_handle_knows_where_its_task_is<K: Kind>() {
    let (kit, gate) = (Kit::new(), Gate::new());
    let manager = K::with(&kit, 1);
    let running = manager.submit(job!([gate], |cx, _| {
        if cx.attempt() == 1 {
            return Err(Fault::Sick);
        }
        gate.passed().await;
        Ok(0)
    }));
    let queued = manager.submit(returns().low());
    gate.await_arrivals(1);
    assert_eq!(running.status(), TaskStatus::Running { attempt: 2 });
    assert_eq!(queued.status(), TaskStatus::Queued);
    assert!(!running.is_finished() && running.id() != queued.id());
    gate.open();
    assert!(queued.wait().is_ok());
    assert_eq!(running.status(), TaskStatus::Finished);
    assert!(running.is_finished() && running.wait().is_ok());
    assert_complete(&manager.stop().unwrap());
}

// Section 2 of the interface: `wait_timeout`.
fn a_handle_that_was_waited_on_in_vain_comes_back<K: Kind>() {
    let (kit, gate) = (Kit::new(), Gate::new());
    let manager = K::with(&kit, 1);
    let handle = manager.submit(waits_at(&gate));
    let handle = handle.wait_timeout(Duration::from_millis(1)).unwrap_err();
    gate.open();
    let ending = handle.wait_timeout(crate::support::LIMIT).expect("it has ended");
    assert_eq!(ending.unwrap(), 1);
    assert_complete(&manager.stop().unwrap());
}

// Promise 1: one handle serves blocking and async callers.
fn a_handle_can_be_awaited<K: Kind>() {
    let (kit, gate) = (Kit::new(), Gate::new());
    let manager = K::with(&kit, 1);
    let (running, queued) = (manager.submit(waits_at(&gate)), manager.submit(is_sick(1)));
    gate.await_arrivals(1);
    queued.cancel();
    let ending = block_on(queued);
    assert!(matches!(ending, Err(TaskError::Cancelled)), "{ending:?}");
    gate.open();
    assert_eq!(block_on(running).unwrap(), 1);
    assert_complete(&manager.stop().unwrap());
}

// Section 2 of the interface: `TaskContext`.
fn a_context_knows_its_task<K: Kind>() {
    let kit = Kit::new();
    let manager = K::with(&kit, 1);
    let job = job!([], |cx, _| {
        assert_eq!((cx.name(), cx.priority()), (Some("known"), tasker::Priority::Low));
        assert!(!cx.is_cancelled() && cx.deadline().is_none());
        Ok(cx.attempt().into())
    });
    let job = job.name("known").low();
    assert_eq!(manager.submit(job.clone()).wait().unwrap(), 1);
    assert_eq!(manager.run(job).unwrap(), 1);
    assert_complete(&manager.stop().unwrap());
}

// Promise 16, its first sentence.
fn a_task_may_submit_to_its_own_manager_and_await_that<K: Kind>() {
    let kit = Kit::new();
    let manager = K::with(&kit, 2);
    let ending = manager.run(job!([manager], |_, res| {
        let other = manager.submit(returns()).await;
        Ok(10 * res.id() + other.expect("it runs on the other worker"))
    }));
    assert!(matches!(ending, Ok(12 | 21)), "{ending:?}");
    assert_complete(&manager.stop().unwrap());
}
