//! After a shutdown: what is refused and how, also where the shutdown was begun from inside.

use std::sync::mpsc::channel;
use std::thread;

use tasker::{Phase, RejectReason, ShutdownError, ShutdownReport, TaskError, TaskManager};

use crate::support::{
    Busy, Fault, Kit, LIMIT, Manager, Res, assert_adds_up, begin_stop, eventually,
    on_every_manager, report_of, within,
};

#[track_caller]
fn assert_refuses_at_every_door(manager: &TaskManager<Res, Fault>) {
    let refused = |outcome: Result<u64, TaskError<Fault>>| {
        assert!(matches!(outcome, Err(TaskError::ShuttingDown)), "{outcome:?}");
    };
    refused(manager.queue_task(|_, res| res.work()));
    refused(manager.queue_task_once(|_, res| res.work()));
    refused(manager.queue_task_with_priority(|_, res| res.work()));
    refused(manager.run_task(|_, res| res.work()));
    let handle = manager.task(|_, res| res.work()).submit();
    assert!(handle.is_finished(), "a refusal does not wait");
    refused(handle.wait());
    let back = manager.task_once(|_, _| Ok("given back")).try_submit().unwrap_err();
    assert_eq!(back.reason(), RejectReason::ShuttingDown);
    let (send, called) = channel();
    manager
        .task(|_, res| res.work())
        .on_complete(move |outcome| send.send((outcome, thread::current().id())).unwrap());
    let (outcome, caller) = called.try_recv().expect("the callback was called by the submission");
    refused(outcome);
    assert_eq!(caller, thread::current().id());
}

// Promise 12: after a stop every door gives `ShuttingDown` at once; callbacks are called with it.
#[test]
fn a_stopped_manager_refuses_tasks_at_every_door() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(1));
        let report = manager.stop().unwrap();
        assert_refuses_at_every_door(&manager);
        assert_eq!(report.accepted, 0, "what is refused is not accepted");
        kit.assert_all_destroyed_once();
    });
}

// Promise 12: the same after a kill.
#[test]
fn a_killed_manager_refuses_tasks_at_every_door() {
    on_every_manager(|kind| {
        let manager = kind.build(Kit::new().config(1));
        manager.kill().unwrap();
        assert_refuses_at_every_door(&manager);
    });
}

// Promise 12: the same while the stop is under way, without waiting for it.
#[test]
fn a_stopping_manager_refuses_tasks_at_every_door() {
    on_every_manager(|kind| {
        let manager = kind.build(Kit::new().config(1));
        let busy = Busy::with(&manager, 1);
        let stop = begin_stop(&manager);
        assert_refuses_at_every_door(&manager);
        busy.open();
        assert_eq!(report_of(stop).accepted, 1);
    });
}

// Promise 12: the closure of a refused `try_submit` comes back unharmed.
#[test]
fn a_refused_task_is_given_back() {
    on_every_manager(|kind| {
        let manager = kind.build(Kit::new().config(1));
        manager.stop().unwrap();
        let text = String::from("mine");
        let task = move |_: &_, _: &mut Res| Ok::<_, Fault>(text);
        let rejected = manager.task_once(task).try_submit().unwrap_err();
        assert_eq!(rejected.to_string(), "task manager is shutting down");
        let other = kind.build(Kit::new().config(1));
        assert_eq!(other.task_once(rejected.into_task()).run().unwrap(), "mine");
    });
}

// Promise 12: `stop` in any phase but Running, and `kill` after a finished stop, are refused.
#[test]
fn a_second_shutdown_is_refused_with_the_right_error() {
    use ShutdownError::{AlreadyKilled, AlreadyStoppingOrKilled};
    on_every_manager(|kind| {
        let stopped = kind.build(Kit::new().config(1));
        let busy = Busy::with(&stopped, 1);
        let stop = begin_stop(&stopped);
        assert_eq!(stopped.stop().unwrap_err(), AlreadyStoppingOrKilled, "during a stop");
        assert_eq!(stopped.stop_within(LIMIT).unwrap_err(), AlreadyStoppingOrKilled);
        busy.open();
        report_of(stop);
        assert_eq!(stopped.stop().unwrap_err(), AlreadyStoppingOrKilled, "after a stop");
        assert_eq!(stopped.kill().unwrap_err(), AlreadyStoppingOrKilled, "after a stop");
        assert_eq!(stopped.kill_within(LIMIT).unwrap_err(), AlreadyStoppingOrKilled);
        assert_eq!(stopped.phase(), Phase::Stopped, "a refusal changes nothing");

        let killed = kind.build(Kit::new().config(1));
        killed.kill().unwrap();
        assert_eq!(killed.stop().unwrap_err(), AlreadyStoppingOrKilled, "after a kill");
        assert_eq!(killed.kill().unwrap_err(), AlreadyKilled, "after a kill");
        assert_eq!(killed.kill_within(LIMIT).unwrap_err(), AlreadyKilled);
    });
}

// Promise 12: the texts are the reference's.
#[test]
fn the_texts_of_shutdown_errors_are_those_of_the_reference() {
    let texts = [
        (ShutdownError::AlreadyStoppingOrKilled, "task manager already stopping or killed"),
        (ShutdownError::AlreadyKilled, "task manager already killed"),
    ];
    for (error, text) in texts {
        assert_eq!(error.to_string(), text);
    }
}

type Verb = fn(&TaskManager<Res, Fault>) -> Result<ShutdownReport, ShutdownError>;
const VERBS: [Verb; 2] = [TaskManager::stop, TaskManager::kill];

#[track_caller]
fn assert_straggles(report: &ShutdownReport, name: &str) {
    assert_adds_up(report);
    let names: Vec<_> = report.stragglers.iter().map(|task| task.name.as_deref()).collect();
    assert_eq!(names, [Some(name)], "{report:?}");
}

// Promise 12: from inside a task on a worker's thread a shutdown begins and returns at once.
#[test]
fn a_shutdown_from_inside_a_submitted_task_returns_with_it_among_the_stragglers() {
    on_every_manager(|kind| {
        for shut_down in VERBS {
            let kit = Kit::new();
            let manager = kind.build(kit.config(1));
            let inner = manager.clone();
            let task = manager.task_once(move |_, _| Ok(shut_down(&inner).unwrap()));
            assert_straggles(&task.name("inside").submit().wait().unwrap(), "inside");
            kit.wait_until(|counts| counts.live == 0);
            eventually("it is over", || manager.phase() != Phase::Stopping);
            kit.assert_all_destroyed_once();
        }
    });
}

// Promise 12: from inside a task of a blocked caller (on its own thread, where the manager lends).
#[test]
fn a_shutdown_from_inside_a_blocking_call_returns_with_it_among_the_stragglers() {
    on_every_manager(|kind| {
        for shut_down in VERBS {
            let kit = Kit::new();
            let manager = kind.build(kit.config(1));
            let task = manager.task_once(|_, _| Ok(shut_down(&manager).unwrap()));
            assert_straggles(&task.name("inside").run().unwrap(), "inside");
            kit.wait_until(|counts| counts.live == 0);
            kit.assert_all_destroyed_once();
        }
    });
}

// Promise 12: from inside `run_task`, whosever resource it has.
#[test]
fn a_shutdown_from_inside_run_task_returns_with_it_among_the_stragglers() {
    on_every_manager(|kind| {
        for (pool, shut_down) in VERBS.into_iter().flat_map(|verb| [(0, verb), (1, verb)]) {
            let kit = Kit::new();
            let manager = kind.build(kit.config(1).resource_pool_size(pool));
            let task = manager.task_once(|_, _| Ok(shut_down(&manager).unwrap()));
            assert_straggles(&task.name("inside").run_now().unwrap(), "inside");
            kit.wait_until(|counts| counts.live == 0);
            kit.assert_all_destroyed_once();
        }
    });
}

// Promise 12: a callback runs on a worker's thread, so that a shutdown from there must not wait either.
#[test]
fn a_shutdown_from_inside_a_callback_returns_at_once() {
    on_every_manager(|kind| {
        for shut_down in VERBS {
            let kit = Kit::new();
            let manager = kind.build(kit.config(1));
            let (inner, (send, reports)) = (manager.clone(), channel());
            let callback = move |_| send.send(shut_down(&inner).unwrap()).unwrap();
            manager.task(|_, _| Ok(())).on_complete(callback);
            assert_adds_up(&reports.recv_timeout(LIMIT).expect("the shutdown returns"));
            kit.wait_until(|counts| counts.live == 0);
            kit.assert_all_destroyed_once();
        }
    });
}

// Promise 12: tasks that are still queued are stragglers of a stop that does not wait, and run.
#[test]
fn a_stop_from_inside_a_task_still_runs_what_is_queued() {
    on_every_manager(|kind| {
        let manager = kind.build(Kit::new().config(1));
        let busy = Busy::with(&manager, 1);
        let inner = manager.clone();
        let inside = manager.task_once(move |_, _| Ok(inner.stop().unwrap())).submit();
        let queued = manager.task(|_, res| res.work()).submit();
        busy.open();
        let report = inside.wait().unwrap();
        assert_adds_up(&report);
        assert_eq!(report.stragglers.len(), 2, "itself and what is queued: {report:?}");
        assert!(queued.wait().is_ok());
    });
}

// Promise 12: only a manager's own tasks are inside it; another manager's wait as anyone does.
#[test]
fn a_task_of_another_manager_waits_for_the_stop_it_begins() {
    within(LIMIT, || {
        let kit = Kit::new();
        let stopped = Manager::Lending.build(kit.config(2));
        let other = Manager::Lending.build(Kit::new().config(1));
        let report = other.queue_task(|_, _| Ok(stopped.stop().unwrap())).unwrap();
        assert_eq!((report.resources_destroyed, report.stragglers.len()), (2, 0), "{report:?}");
        assert_eq!(stopped.phase(), Phase::Stopped);
        kit.assert_all_destroyed_once();
    });
}
