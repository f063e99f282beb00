//! Promise 4: a free worker takes the oldest task of the highest lane that has one.

use tasker::Priority;

use super::jobs::{Notes, writes};
use super::kinds::Kind;
use super::watch::{await_waiting, run_aside};
use crate::support::{Kit, assert_complete};

on_every_kind![
    the_highest_lane_goes_first,
    a_lane_is_first_in_first_out,
    whoever_awaits_a_task_of_a_higher_lane_goes_first,
    whoever_awaits_a_task_does_not_overtake_a_submitted_one,
];

// Promise 4.
fn the_highest_lane_goes_first<K: Kind>() {
    let (kit, notes) = (Kit::new(), Notes::default());
    let manager = K::with(&kit, 1);
    let busy = manager.occupy(1);
    for round in [0, 1] {
        let jobs = [(30, Priority::Low), (20, Priority::Normal), (10, Priority::High)];
        for (number, lane) in jobs {
            drop(manager.submit(writes(&notes, number + round).priority(lane)));
        }
    }
    busy.release();
    assert_complete(&manager.stop().unwrap());
    assert_eq!(notes.read(), [10, 11, 20, 21, 30, 31]);
}

// Promise 4: whatever door they came by.
fn a_lane_is_first_in_first_out<K: Kind>() {
    let (kit, notes) = (Kit::new(), Notes::default());
    let manager = K::with(&kit, 1);
    let busy = manager.occupy(1);
    for number in 0..30 {
        let job = writes(&notes, number);
        match number % 3 {
            0 => drop(manager.submit(job)),
            1 => drop(manager.try_submit(job.once()).unwrap()),
            _ => manager.on_complete(job, |_| {}),
        }
    }
    busy.release();
    assert_complete(&manager.stop().unwrap());
    assert_eq!(notes.read(), (0..30).collect::<Vec<_>>());
}

// Promise 4.
fn whoever_awaits_a_task_of_a_higher_lane_goes_first<K: Kind>() {
    let (kit, notes) = (Kit::new(), Notes::default());
    let manager = K::with(&kit, 1);
    let busy = manager.occupy(1);
    let normal = manager.submit(writes(&notes, 2));
    let high = run_aside(&manager, writes(&notes, 1).high());
    await_waiting(&manager, 2);
    busy.release();
    normal.wait().unwrap();
    high.join().unwrap().unwrap();
    assert_eq!(notes.read(), [1, 2]);
    assert_complete(&manager.stop().unwrap());
}

// Promise 4.
fn whoever_awaits_a_task_does_not_overtake_a_submitted_one<K: Kind>() {
    let (kit, notes) = (Kit::new(), Notes::default());
    let manager = K::with(&kit, 1);
    let busy = manager.occupy(1);
    let first = manager.submit(writes(&notes, 1));
    let second = run_aside(&manager, writes(&notes, 2));
    await_waiting(&manager, 2);
    busy.release();
    first.wait().unwrap();
    second.join().unwrap().unwrap();
    assert_eq!(notes.read(), [1, 2]);
    assert_complete(&manager.stop().unwrap());
}
