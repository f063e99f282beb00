//! Small print, `start_within`: a task that nobody could begin in time never runs.

use std::time::Duration;

use tasker::TaskError;

use super::jobs::{Notes, is_sick, returns, writes};
use super::kinds::Kind;
use super::settings::Settings;
use super::watch::run_aside;
use crate::support::{Kit, assert_complete};

const HOUR: Duration = Duration::from_secs(3600);
const MOMENT: Duration = Duration::from_millis(1);

on_every_kind![
    a_task_that_nobody_began_in_time_expires,
    a_task_that_begins_in_time_does_not_expire,
    a_task_may_expire_while_it_waits_for_room,
    a_task_that_may_not_wait_at_all_begins_at_once_or_expires,
];

// Small print, `start_within`: the timekeeper ends it, although no worker is free.
fn a_task_that_nobody_began_in_time_expires<K: Kind>() {
    let (kit, notes) = (Kit::new(), Notes::default());
    let manager = K::with(&kit, 1);
    let busy = manager.occupy(1);
    let submitted = manager.submit(writes(&notes, 1).high().start_within(MOMENT));
    let awaited = run_aside(&manager, writes(&notes, 2).start_within(MOMENT));
    let patient = manager.submit(writes(&notes, 3).start_within(HOUR));
    for ending in [submitted.wait(), awaited.join().unwrap()] {
        assert!(matches!(ending, Err(TaskError::Expired)), "{ending:?}");
    }
    busy.release();
    patient.wait().unwrap();
    assert_eq!(notes.read(), [3]);
    let report = manager.stop().unwrap();
    assert_complete(&report);
    assert_eq!((report.completed, report.dropped), (2, 2));
}

// Small print, `start_within`: it is about the first attempt's beginning, and nothing else.
fn a_task_that_begins_in_time_does_not_expire<K: Kind>() {
    let kit = Kit::new();
    let manager = K::with(&kit, 1);
    assert_eq!(manager.run(returns().start_within(HOUR)).unwrap(), 1);
    assert_eq!(manager.submit(is_sick(1).start_within(HOUR)).wait().unwrap(), 2);
    assert_complete(&manager.stop().unwrap());
}

// Small print, "Capacity": a submission that ends while it waits for room was not accepted.
fn a_task_may_expire_while_it_waits_for_room<K: Kind>() {
    let kit = Kit::new();
    let manager = K::build(Settings { capacity: Some(1), ..Settings::new(&kit, 1) });
    let busy = manager.occupy(1);
    let queued = manager.submit(returns());
    let outside = run_aside(&manager, returns().start_within(MOMENT));
    assert!(matches!(outside.join().unwrap(), Err(TaskError::Expired)));
    busy.release();
    queued.wait().unwrap();
    let report = manager.stop().unwrap();
    assert_complete(&report);
    assert_eq!((report.accepted, report.completed, report.dropped), (2, 2, 0));
}

// Small print, `start_within`: nobody hangs.
fn a_task_that_may_not_wait_at_all_begins_at_once_or_expires<K: Kind>() {
    let kit = Kit::new();
    let manager = K::with(&kit, 1);
    let job = returns().start_within(Duration::ZERO);
    for ending in [manager.run(job.clone()), manager.submit(job.clone()).wait()] {
        assert!(matches!(ending, Ok(1) | Err(TaskError::Expired)), "{ending:?}");
    }
    let busy = manager.occupy(1);
    assert!(matches!(manager.submit(job).wait(), Err(TaskError::Expired)));
    busy.release();
    assert_complete(&manager.stop().unwrap());
}
