//! Promise 6: an unhealthy error replaces the resource and runs the task again, ahead of what is not urgent.

use std::time::Duration;

use tasker::{Backoff, Overflow, TaskError};

use super::jobs::{Job, Notes, fails, is_sick, returns, writes};
use super::kinds::Kind;
use super::settings::Settings;
use super::watch::await_rest;
use crate::support::{Fault, Gate, Kit, assert_complete, eventually};

const HOUR: Duration = Duration::from_secs(3600);

on_every_kind![
    a_task_on_a_sick_resource_runs_again_on_another,
    retries_end_with_the_last_error_and_the_count_of_attempts,
    without_retries_the_first_attempt_is_the_last,
    a_task_may_have_a_number_of_retries_of_its_own,
    a_retry_goes_to_the_end_of_the_high_lane,
    a_retry_needs_no_room_in_a_full_queue,
    a_retry_waits_for_its_time,
    a_run_task_is_not_retried,
];

// Promise 6.
fn a_task_on_a_sick_resource_runs_again_on_another<K: Kind>() {
    let (kit, notes) = (Kit::new(), Notes::default());
    let manager = K::with(&kit, 1);
    let job = job!([notes], |cx, res| {
        notes.write(res.id());
        if cx.attempt() < 3 { Err(Fault::Sick) } else { Ok(cx.attempt().into()) }
    });
    assert_eq!(manager.run(job.clone()).unwrap(), 3);
    assert_eq!(manager.submit(job).wait().unwrap(), 3);
    assert_eq!(notes.read(), [1, 2, 3, 3, 4, 5]);
    assert!((1..=4).all(|id| kit.is_gone(id)) && !kit.is_gone(5));
    assert_eq!(manager.metrics().total_tasks_retried, 4);
    assert_complete(&manager.stop().unwrap());
    kit.assert_all_destroyed_once();
}

// Promise 6: `max_retries + 1` attempts.
fn retries_end_with_the_last_error_and_the_count_of_attempts<K: Kind>() {
    let kit = Kit::new();
    let manager = K::build(Settings { max_retries: 2, ..Settings::new(&kit, 2) });
    for ending in [manager.run(fails(Fault::Sick)), manager.submit(fails(Fault::Sick)).wait()] {
        let Err(TaskError::RetriesExhausted { attempts: 3, source: Fault::Sick }) = ending else {
            panic!("{ending:?}");
        };
    }
    assert_eq!(manager.submit(is_sick(2)).wait().unwrap(), 3, "the last attempt counts");
    await_rest(&manager, 2);
    let report = manager.stop().unwrap();
    assert_complete(&report);
    assert_eq!((report.failed, report.completed, kit.created()), (2, 1, 10));
}

// Promise 6: with `max_retries(0)`.
fn without_retries_the_first_attempt_is_the_last<K: Kind>() {
    let kit = Kit::new();
    let manager = K::build(Settings { max_retries: 0, ..Settings::new(&kit, 1) });
    let ending = manager.run(is_sick(1));
    assert!(matches!(ending, Err(TaskError::RetriesExhausted { attempts: 1, .. })), "{ending:?}");
    assert_eq!(manager.run(returns()).unwrap(), 2);
    assert_complete(&manager.stop().unwrap());
}

// Promise 6.
fn a_task_may_have_a_number_of_retries_of_its_own<K: Kind>() {
    let kit = Kit::new();
    let manager = K::build(Settings { max_retries: 1, ..Settings::new(&kit, 1) });
    assert_eq!(manager.run(is_sick(4).max_retries(4)).unwrap(), 5);
    let ending = manager.submit(is_sick(1).max_retries(0)).wait();
    assert!(matches!(ending, Err(TaskError::RetriesExhausted { attempts: 1, .. })), "{ending:?}");
    assert_complete(&manager.stop().unwrap());
}

/// Waits at `gate`, finds its resource sick once, and writes `number` down the second time.
fn sick_at(gate: &Gate, notes: &Notes, number: u64) -> Job {
    job!([gate, notes], |cx, _| {
        gate.passed().await;
        if cx.attempt() == 1 {
            return Err(Fault::Sick);
        }
        notes.write(number);
        Ok(number)
    })
}

// Promises 4 and 6: a Low task's retry, too, but not ahead of what is in the High lane already.
fn a_retry_goes_to_the_end_of_the_high_lane<K: Kind>() {
    let (kit, gate, notes) = (Kit::new(), Gate::new(), Notes::default());
    let manager = K::with(&kit, 1);
    let retried = manager.submit(sick_at(&gate, &notes, 2).low());
    gate.await_arrivals(1);
    let normal = manager.submit(writes(&notes, 3));
    let high = manager.submit(writes(&notes, 1).high());
    gate.open();
    for handle in [retried, normal, high] {
        handle.wait().unwrap();
    }
    assert_eq!(notes.read(), [1, 2, 3]);
    assert_complete(&manager.stop().unwrap());
}

// Promise 6: re-queueing ignores the capacity, and evicts nobody.
fn a_retry_needs_no_room_in_a_full_queue<K: Kind>() {
    for overflow in [Overflow::Wait, Overflow::Reject, Overflow::DropOldest] {
        let (kit, gate, notes) = (Kit::new(), Gate::new(), Notes::default());
        let manager = K::build(Settings { capacity: Some(1), overflow, ..Settings::new(&kit, 1) });
        let retried = manager.submit(sick_at(&gate, &notes, 1));
        gate.await_arrivals(1);
        let queued = manager.submit(writes(&notes, 2));
        gate.open();
        assert_eq!(retried.wait().unwrap(), 1);
        assert_eq!(queued.wait().unwrap(), 2);
        assert_complete(&manager.stop().unwrap());
    }
}

// Promises 6 and 10: a stop does not wait for the time, it runs delayed retries at once.
fn a_retry_waits_for_its_time<K: Kind>() {
    let kit = Kit::new();
    let backoff = Some(Backoff::fixed(HOUR));
    let manager = K::build(Settings { retry_backoff: backoff, ..Settings::new(&kit, 1) });
    let retried = manager.submit(is_sick(1));
    eventually("the retry waits", || manager.stats().delayed_tasks == 1);
    assert_eq!(manager.run(returns()).unwrap(), 2, "others are not held up");
    assert!(!retried.is_finished());
    let report = manager.stop().unwrap();
    assert_complete(&report);
    assert_eq!(retried.wait().unwrap(), 2);
    assert_eq!(report.completed, 2);
}

// Promise 6: `run_task` has one attempt, and the resource is replaced all the same.
fn a_run_task_is_not_retried<K: Kind>() {
    let kit = Kit::new();
    let manager = K::with(&kit, 1);
    await_rest(&manager, 1);
    let ending = manager.run_now(is_sick(1));
    assert!(matches!(ending, Err(TaskError::Failed(Fault::Sick))), "{ending:?}");
    assert_eq!(manager.run(returns()).unwrap(), 2);
    assert!(kit.is_gone(1));
    assert_complete(&manager.stop().unwrap());
}
