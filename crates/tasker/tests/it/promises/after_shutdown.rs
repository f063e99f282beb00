//! Promise 12: what a manager says after a shutdown, and to a task that shuts its own manager down.

use std::sync::mpsc::channel;
use std::thread;

use tasker::{Phase, RejectReason, ShutdownError, ShutdownReport, TaskError};

use super::jobs::{Job, returns};
use super::kinds::{Kind, Shutdown};
use super::watch::{begin_stop, report_of};
use crate::support::{Kit, LIMIT, assert_adds_up, assert_complete};

on_every_kind![
    a_stopped_manager_refuses_tasks_at_every_door,
    a_killed_manager_refuses_tasks_at_every_door,
    a_second_shutdown_is_refused_with_the_right_error,
    a_stop_from_inside_a_task_returns_with_it_among_the_stragglers,
    a_kill_from_inside_a_task_returns_with_it_among_the_stragglers,
    a_stop_from_inside_a_task_still_runs_what_is_queued,
    nothing_is_left_after_a_shutdown,
];

#[track_caller]
fn assert_refuses_at_every_door<K: Kind>(manager: &K) {
    let (send, called) = channel();
    let here = thread::current().id();
    manager.on_complete(returns(), move |ending| {
        send.send((ending, thread::current().id() == here)).unwrap();
    });
    let (ending, on_this_thread) = called.try_recv().expect("the submission called it");
    assert!(on_this_thread);
    let handle = manager.submit(returns());
    assert!(handle.is_finished());
    let endings =
        [ending, handle.wait(), manager.run(returns()), manager.run(returns().once().high())];
    for ending in endings.into_iter().chain([manager.run_now(returns())]) {
        assert!(matches!(ending, Err(TaskError::ShuttingDown)), "{ending:?}");
    }
    let rejected = manager.try_submit(returns()).unwrap_err();
    assert_eq!(rejected, RejectReason::ShuttingDown);
}

// Promise 12.
fn a_stopped_manager_refuses_tasks_at_every_door<K: Kind>() {
    let kit = Kit::new();
    let manager = K::with(&kit, 1);
    manager.stop().unwrap();
    assert_refuses_at_every_door(&manager);
    assert_eq!(manager.join().accepted, 0);
}

// Promise 12.
fn a_killed_manager_refuses_tasks_at_every_door<K: Kind>() {
    let kit = Kit::new();
    let manager = K::with(&kit, 1);
    manager.kill().unwrap();
    assert_refuses_at_every_door(&manager);
    assert_eq!(manager.join().accepted, 0);
}

// Promise 12.
fn a_second_shutdown_is_refused_with_the_right_error<K: Kind>() {
    use ShutdownError::{AlreadyKilled, AlreadyStoppingOrKilled};
    let kit = Kit::new();
    let stopped = K::with(&kit, 1);
    let busy = stopped.occupy(1);
    let stop = begin_stop(&stopped);
    assert_eq!(stopped.stop().unwrap_err(), AlreadyStoppingOrKilled, "during a stop");
    assert_eq!(stopped.stop_within(LIMIT).unwrap_err(), AlreadyStoppingOrKilled);
    busy.open();
    report_of(stop);
    assert_eq!(stopped.stop().unwrap_err(), AlreadyStoppingOrKilled, "after a stop");
    assert_eq!(stopped.kill().unwrap_err(), AlreadyStoppingOrKilled, "after a stop");
    assert_eq!(stopped.kill_within(LIMIT).unwrap_err(), AlreadyStoppingOrKilled);
    assert_eq!(stopped.phase(), Phase::Stopped, "a refusal changes nothing");

    let killed = K::with(&kit, 1);
    killed.kill().unwrap();
    assert_eq!(killed.stop().unwrap_err(), AlreadyStoppingOrKilled, "after a kill");
    assert_eq!(killed.kill().unwrap_err(), AlreadyKilled, "after a kill");
    assert_eq!(killed.kill_within(LIMIT).unwrap_err(), AlreadyKilled);
    assert_eq!(killed.phase(), Phase::Killed);
}

/// A job that shuts its own manager down and passes on what that says.
fn shuts_down<K: Kind>(manager: &K, kill: bool) -> (Job, std::sync::mpsc::Receiver<Shutdown>) {
    let (send, receive) = channel();
    let job = job!([manager, send], |_, _| {
        let said = if kill { manager.kill_inside().await } else { manager.stop_inside().await };
        send.send(said).unwrap();
        Ok(7)
    });
    (job.name("the last one"), receive)
}

#[track_caller]
fn assert_straggles(report: &ShutdownReport) {
    assert_adds_up(report);
    let names: Vec<_> = report.stragglers.iter().map(|it| it.name.as_deref()).collect();
    assert_eq!(names, [Some("the last one")], "{report:?}");
}

// Promise 12.
fn a_stop_from_inside_a_task_returns_with_it_among_the_stragglers<K: Kind>() {
    for door in [K::run, K::run_now, |manager: &K, job| manager.submit(job).wait()] {
        let kit = Kit::new();
        let manager = K::with(&kit, 1);
        let (job, said) = shuts_down(&manager, false);
        assert_eq!(door(&manager, job).unwrap(), 7);
        let report = said.recv_timeout(LIMIT).unwrap().unwrap();
        assert_adds_up(&report);
        assert_eq!(report.stragglers.len(), 1, "{report:?}");
        let report = manager.join();
        assert_complete(&report);
        assert_eq!(report.completed, 1);
        kit.assert_all_destroyed_once();
    }
}

// Promise 12.
fn a_kill_from_inside_a_task_returns_with_it_among_the_stragglers<K: Kind>() {
    let kit = Kit::new();
    let manager = K::with(&kit, 1);
    let (job, said) = shuts_down(&manager, true);
    assert_eq!(manager.submit(job).wait().unwrap(), 7, "it still returns `Ok`");
    assert_straggles(&said.recv_timeout(LIMIT).unwrap().unwrap());
    let report = manager.join();
    assert_complete(&report);
    assert_eq!(report.completed, 1);
    assert_eq!(manager.phase(), Phase::Killed);
    kit.assert_all_destroyed_once();
}

// Promises 10 and 12.
fn a_stop_from_inside_a_task_still_runs_what_is_queued<K: Kind>() {
    let kit = Kit::new();
    let manager = K::with(&kit, 1);
    let busy = manager.occupy(1);
    let (job, said) = shuts_down(&manager, false);
    let last = manager.submit(job);
    let queued = manager.submit(returns());
    busy.release();
    assert_eq!(last.wait().unwrap(), 7);
    queued.wait().unwrap();
    assert_eq!(said.recv_timeout(LIMIT).unwrap().unwrap().stragglers.len(), 2);
    assert_eq!(manager.join().completed, 3);
}

// Small print, "Statistics".
fn nothing_is_left_after_a_shutdown<K: Kind>() {
    for shut_down in [K::stop, K::kill] {
        let kit = Kit::new();
        let manager = K::with(&kit, 2);
        manager.run(returns()).unwrap();
        shut_down(&manager).unwrap();
        let stats = manager.stats();
        let left = [stats.active_workers, stats.idle_workers, stats.recovering_workers];
        assert_eq!((left, stats.running_tasks, stats.queued_tasks), ([0; 3], 0, 0), "{stats:?}");
        assert_eq!(kit.live(), 0);
    }
}
