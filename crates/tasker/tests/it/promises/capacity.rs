//! Small print, "Capacity": what becomes of a task that comes when the queue is full.

use tasker::{Overflow, RejectReason, TaskError};

use super::jobs::{Notes, returns, writes};
use super::kinds::{Kind, Occupied};
use super::settings::Settings;
use super::watch::{await_waiting, begin_kill, begin_stop, report_of, run_aside};
use crate::support::{Kit, assert_complete};

on_every_kind![
    whoever_waits_for_room_runs_in_the_end,
    a_full_queue_refuses_where_that_is_the_rule,
    a_full_queue_evicts_the_oldest_of_the_lowest_lane,
    a_higher_lane_is_not_evicted_for_a_lower_one,
    trying_to_submit_never_waits,
    a_cancelled_task_makes_room,
    a_run_task_needs_no_room,
    whoever_waits_for_room_is_refused_when_a_stop_begins,
    whoever_waits_for_room_is_refused_when_a_kill_begins,
];

/// A manager whose only worker is busy, with room for one task.
fn full<K: Kind>(kit: &Kit, overflow: Overflow) -> (K, Occupied) {
    let manager = K::build(Settings { capacity: Some(1), overflow, ..Settings::new(kit, 1) });
    let busy = manager.occupy(1);
    (manager, busy)
}

// Small print, "Capacity", `Wait`.
fn whoever_waits_for_room_runs_in_the_end<K: Kind>() {
    let (kit, notes) = (Kit::new(), Notes::default());
    let (manager, busy) = full::<K>(&kit, Overflow::Wait);
    let queued = manager.submit(writes(&notes, 1));
    let mut aside = Vec::new();
    for number in 2..5 {
        aside.push(run_aside(&manager, writes(&notes, number)));
        await_waiting(&manager, aside.len() + 1);
    }
    assert_eq!(manager.metrics().total_tasks_arrived, 2, "who waits outside is not accepted yet");
    busy.release();
    queued.wait().unwrap();
    for aside in aside {
        aside.join().unwrap().unwrap();
    }
    let report = manager.stop().unwrap();
    assert_complete(&report);
    assert_eq!((report.accepted, report.completed), (5, 5));
    assert_eq!(notes.read()[0], 1);
}

// Small print, "Capacity", `Reject`.
fn a_full_queue_refuses_where_that_is_the_rule<K: Kind>() {
    let kit = Kit::new();
    let (manager, busy) = full::<K>(&kit, Overflow::Reject);
    let queued = manager.submit(returns());
    let refused = manager.submit(returns().high());
    assert!(refused.is_finished());
    for ending in [refused.wait(), manager.run(returns())] {
        assert!(matches!(ending, Err(TaskError::QueueFull)), "{ending:?}");
    }
    assert_eq!(manager.try_submit(returns()).unwrap_err(), RejectReason::QueueFull);
    busy.release();
    queued.wait().unwrap();
    let report = manager.stop().unwrap();
    assert_complete(&report);
    assert_eq!((report.accepted, report.completed), (2, 2));
}

// Small print, "Capacity", `DropOldest`.
fn a_full_queue_evicts_the_oldest_of_the_lowest_lane<K: Kind>() {
    let kit = Kit::new();
    let overflow = Overflow::DropOldest;
    let manager = K::build(Settings { capacity: Some(3), overflow, ..Settings::new(&kit, 1) });
    let busy = manager.occupy(1);
    let (high, normal) = (manager.submit(returns().high()), manager.submit(returns()));
    let low = manager.submit(returns().low());
    let (second, third) = (manager.submit(returns()), manager.submit(returns()));
    for evicted in [low, normal] {
        let ending = evicted.wait(); // although no worker is free
        assert!(matches!(ending, Err(TaskError::QueueFull)), "{ending:?}");
    }
    busy.release();
    for handle in [high, second, third] {
        handle.wait().unwrap();
    }
    let report = manager.stop().unwrap();
    assert_complete(&report);
    assert_eq!((report.accepted, report.completed, report.dropped), (6, 4, 2));
}

// Small print, "Capacity", `DropOldest`.
fn a_higher_lane_is_not_evicted_for_a_lower_one<K: Kind>() {
    let kit = Kit::new();
    let (manager, busy) = full::<K>(&kit, Overflow::DropOldest);
    let high = manager.submit(returns().high());
    let ending = manager.submit(returns()).wait();
    assert!(matches!(ending, Err(TaskError::QueueFull)), "{ending:?}");
    busy.release();
    high.wait().unwrap();
    let report = manager.stop().unwrap();
    assert_complete(&report);
    assert_eq!((report.completed, report.dropped), (2, report.accepted - 2));
}

// Small print, "Capacity".
fn trying_to_submit_never_waits<K: Kind>() {
    let kit = Kit::new();
    let (manager, busy) = full::<K>(&kit, Overflow::Wait);
    let queued = manager.try_submit(returns()).unwrap();
    assert_eq!(manager.try_submit(returns()).unwrap_err(), RejectReason::QueueFull);
    busy.release();
    queued.wait().unwrap();
    assert!(manager.try_submit(returns()).unwrap().wait().is_ok());
    assert_eq!(manager.stop().unwrap().accepted, 3);
}

// Promise 17; small print, "Capacity".
fn a_cancelled_task_makes_room<K: Kind>() {
    let kit = Kit::new();
    let (manager, busy) = full::<K>(&kit, Overflow::Wait);
    let first = manager.submit(returns());
    let outside = run_aside(&manager, returns());
    await_waiting(&manager, 2);
    assert_eq!(manager.metrics().total_tasks_arrived, 2);
    first.cancel();
    assert!(matches!(first.wait(), Err(TaskError::Cancelled)));
    crate::support::eventually("the other is let in", || {
        manager.metrics().total_tasks_arrived == 3 // although no worker is free
    });
    busy.release();
    outside.join().unwrap().unwrap();
    assert_complete(&manager.stop().unwrap());
}

// Small print, "Capacity".
fn a_run_task_needs_no_room<K: Kind>() {
    let kit = Kit::new();
    let (manager, busy) = full::<K>(&kit, Overflow::Reject);
    let queued = manager.submit(returns());
    assert_eq!(manager.run_now(returns()).unwrap(), 2);
    busy.release();
    queued.wait().unwrap();
    assert_complete(&manager.stop().unwrap());
}

// Small print, "Capacity"; promise 10.
fn whoever_waits_for_room_is_refused_when_a_stop_begins<K: Kind>() {
    let kit = Kit::new();
    let (manager, busy) = full::<K>(&kit, Overflow::Wait);
    let queued = manager.submit(returns());
    let outside = run_aside(&manager, returns());
    await_waiting(&manager, 2);
    let stop = begin_stop(&manager);
    assert!(matches!(outside.join().unwrap(), Err(TaskError::ShuttingDown)));
    busy.release();
    queued.wait().unwrap();
    let report = report_of(stop);
    assert_complete(&report);
    assert_eq!((report.accepted, report.completed), (2, 2));
}

// Small print, "Capacity"; promise 11.
fn whoever_waits_for_room_is_refused_when_a_kill_begins<K: Kind>() {
    let kit = Kit::new();
    let (manager, busy) = full::<K>(&kit, Overflow::Wait);
    let queued = manager.submit(returns());
    let outside = run_aside(&manager, returns());
    await_waiting(&manager, 2);
    let kill = begin_kill(&manager);
    assert!(matches!(outside.join().unwrap(), Err(TaskError::ShuttingDown)));
    assert!(matches!(queued.wait(), Err(TaskError::Killed)));
    busy.open();
    let report = report_of(kill);
    assert_complete(&report);
    assert_eq!((report.accepted, report.dropped), (2, 1));
}
