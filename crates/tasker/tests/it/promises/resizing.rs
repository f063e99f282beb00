//! Managers that are resized, paused and resumed while they run; promises 1, 2, 4, 10 and 11 hold meanwhile.

use tasker::{ResizeError, TaskError, TaskStatus};

use super::jobs::{Notes, returns, waits_at, writes};
use super::kinds::Kind;
use super::settings::Settings;
use super::watch::{await_rest, await_waiting, run_aside, run_now_aside};
use crate::support::{Gate, Kit, assert_complete};

on_every_kind![
    a_manager_that_grows_runs_more_at_a_time,
    a_manager_that_shrinks_destroys_what_is_too_much,
    a_busy_worker_leaves_after_its_task,
    numbers_that_contradict_each_other_change_nothing,
    a_pause_holds_every_task_back_and_a_resume_runs_them_in_order,
    what_runs_goes_on_in_a_pause,
    a_stop_ends_a_pause_and_a_kill_answers_it,
];

// Promise 2.
fn a_manager_that_grows_runs_more_at_a_time<K: Kind>() {
    let (kit, gate) = (Kit::new(), Gate::new());
    let manager = K::with(&kit, 1);
    let jobs: Vec<_> = (0..3).map(|_| manager.submit(waits_at(&gate))).collect();
    gate.await_arrivals(1);
    manager.resize(3, 3).unwrap();
    gate.await_arrivals(3);
    assert_eq!((manager.stats().base_workers, manager.stats().max_workers), (3, 3));
    gate.open();
    assert!(jobs.into_iter().all(|job| job.wait().is_ok()));
    assert_complete(&manager.stop().unwrap());
    assert_eq!(kit.peak(), 3);
}

// Promises 2 and 3.
fn a_manager_that_shrinks_destroys_what_is_too_much<K: Kind>() {
    let kit = Kit::new();
    let manager = K::with(&kit, 3);
    manager.resize(1, 1).unwrap();
    kit.wait_until(|counts| counts.destroyed == 2);
    await_rest(&manager, 1);
    assert_eq!(manager.stats().base_workers, 1);
    assert!(manager.run(returns()).is_ok());
    assert_complete(&manager.stop().unwrap());
    kit.assert_all_destroyed_once();
}

// Promise 1: nobody's task is taken from under it.
fn a_busy_worker_leaves_after_its_task<K: Kind>() {
    let kit = Kit::new();
    let manager = K::with(&kit, 2);
    let busy = manager.occupy(2);
    manager.resize(1, 1).unwrap();
    assert_eq!(manager.stats().running_tasks, 2);
    let queued = manager.submit(returns());
    busy.release();
    queued.wait().unwrap();
    await_rest(&manager, 1);
    assert_eq!(kit.live(), 1);
    assert_complete(&manager.stop().unwrap());
}

// Section 2 of the interface: `resize`.
fn numbers_that_contradict_each_other_change_nothing<K: Kind>() {
    let kit = Kit::new();
    let manager = K::with(&kit, 2);
    assert!(matches!(manager.resize(0, 2), Err(ResizeError::NoWorkers)));
    let ended = manager.resize(3, 2);
    assert!(matches!(ended, Err(ResizeError::MaxBelowWorkers { .. })), "{ended:?}");
    assert_eq!((manager.stats().base_workers, manager.stats().max_workers), (2, 2));
    manager.stop().unwrap();
    assert!(matches!(manager.resize(1, 1), Err(ResizeError::ShuttingDown)));
}

// Promises 1 and 4: nothing starts in a pause, by no door, and afterwards everything in its order.
fn a_pause_holds_every_task_back_and_a_resume_runs_them_in_order<K: Kind>() {
    let (kit, notes) = (Kit::new(), Notes::default());
    let manager = K::with(&kit, 1);
    manager.pause();
    manager.pause(); // once is enough
    assert!(manager.stats().paused);
    let low = manager.submit(writes(&notes, 5).low());
    let first = manager.submit(writes(&notes, 3));
    let second = manager.try_submit(writes(&notes, 4)).unwrap();
    let high = manager.submit(writes(&notes, 2).high());
    let urgent = run_now_aside(&manager, writes(&notes, 1));
    await_waiting(&manager, 5);
    assert_eq!(first.status(), TaskStatus::Queued);
    assert_eq!(notes.read(), [0; 0]);
    manager.resume();
    urgent.join().unwrap().unwrap();
    for handle in [low, first, second, high] {
        handle.wait().unwrap();
    }
    assert_eq!(notes.read(), [1, 2, 3, 4, 5]);
    assert_complete(&manager.stop().unwrap());
}

// Promise 1.
fn what_runs_goes_on_in_a_pause<K: Kind>() {
    let kit = Kit::new();
    let manager = K::with(&kit, 1);
    let busy = manager.occupy(1);
    manager.pause();
    let held = manager.submit(returns());
    busy.release();
    await_rest(&manager, 1);
    assert!(!held.is_finished() && manager.stats().paused);
    manager.resume();
    held.wait().unwrap();
    assert_complete(&manager.stop().unwrap());
}

// Promises 1, 10 and 11.
fn a_stop_ends_a_pause_and_a_kill_answers_it<K: Kind>() {
    for kill in [false, true] {
        let kit = Kit::new();
        let manager = K::build(Settings { pool: 1, ..Settings::new(&kit, 1) });
        manager.pause();
        let submitted = manager.submit(returns());
        let awaited = run_aside(&manager, returns());
        let urgent = run_now_aside(&manager, returns());
        await_waiting(&manager, 3);
        let report = if kill { manager.kill() } else { manager.stop() };
        assert_complete(&report.unwrap());
        for ending in [submitted.wait(), awaited.join().unwrap(), urgent.join().unwrap()] {
            match ending {
                Ok(_) => assert!(!kill),
                Err(error) => assert!(kill && matches!(error, TaskError::Killed), "{error:?}"),
            }
        }
        kit.assert_all_destroyed_once();
    }
}
