//! Promise 5: a task that runs once has one attempt, whatever becomes of it.

use std::sync::mpsc::channel;

use tasker::TaskError;

use super::jobs::{Job, Notes};
use super::kinds::Kind;
use crate::support::{Fault, Kit, LIMIT, assert_complete};

on_every_kind![
    a_once_task_on_a_sick_resource_fails_after_one_attempt,
    a_once_task_that_panics_is_not_run_again,
];

/// Writes its attempts down, and finds its resource sick.
fn tries(notes: &Notes) -> Job {
    job!([notes], |cx, _| {
        notes.write(cx.attempt().into());
        Err(Fault::Sick)
    })
}

// Promises 5 and 6: its unhealthy error is `Failed`, and the resource is replaced all the same.
fn a_once_task_on_a_sick_resource_fails_after_one_attempt<K: Kind>() {
    let (kit, notes) = (Kit::new(), Notes::default());
    let manager = K::with(&kit, 1);
    let (send, receive) = channel();
    manager.on_complete(tries(&notes).once(), move |ending| send.send(ending).unwrap());
    let endings = [
        receive.recv_timeout(LIMIT).unwrap(),
        manager.run(tries(&notes).once()),
        manager.submit(tries(&notes).once()).wait(),
        manager.run_now(tries(&notes)),
    ];
    for ending in endings {
        assert!(matches!(ending, Err(TaskError::Failed(Fault::Sick))), "{ending:?}");
    }
    assert_eq!(notes.read(), [1; 4]);
    kit.wait_until(|counts| (counts.destroyed, counts.created) == (4, 5)); // each was replaced
    let report = manager.stop().unwrap();
    assert_complete(&report);
    assert_eq!((report.failed, manager.metrics().total_tasks_retried), (4, 0));
}

// Promises 5 and 8.
fn a_once_task_that_panics_is_not_run_again<K: Kind>() {
    let (kit, notes) = (Kit::new(), Notes::default());
    let manager = K::with(&kit, 1);
    let job = job!([notes], |cx, _| {
        notes.write(cx.attempt().into());
        panic!("once")
    });
    let ending = manager.run(job.once());
    assert!(matches!(ending, Err(TaskError::Panicked(_))), "{ending:?}");
    assert_eq!(notes.read(), [1]);
    assert_complete(&manager.stop().unwrap());
}
