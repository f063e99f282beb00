//! Shutdowns that nobody calls: the parent token is cancelled, or the last clone of the manager is dropped.

use std::thread;

use tasker::{CancelToken, Phase, TaskError};

use crate::support::{
    Busy, Gate, Kit, LIMIT, Manager, assert_adds_up, eventually, on_every_manager, within,
};

// Promise 13: cancelling the parent token starts a graceful stop and blocks nobody.
#[test]
fn cancelling_the_parent_token_stops_the_manager_gracefully() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let parent = CancelToken::new();
        let manager = kind.build(kit.config(1).shutdown_on(parent.clone()));
        let busy = Busy::with(&manager, 1);
        let queued = manager.task(|cx, _| Ok(cx.is_cancelled())).submit();
        parent.cancel(); // returns although a task runs
        assert_eq!(manager.phase(), Phase::Stopping);
        let late = manager.task(|_, _| Ok(())).submit();
        assert!(matches!(late.wait(), Err(TaskError::ShuttingDown)));
        busy.open();
        assert!(!queued.wait().unwrap(), "what was accepted runs, with a live context");
        busy.release();
        eventually("the stop ends", || manager.phase() == Phase::Stopped);
        kit.assert_all_destroyed_once();
    });
}

// Promise 13: a token that is cancelled already stops its manager from the start.
#[test]
fn a_cancelled_parent_token_stops_a_new_manager() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let parent = CancelToken::new();
        parent.cancel();
        let manager = kind.build(kit.config(2).resource_pool_size(1).shutdown_on(parent));
        assert!(matches!(manager.queue_task(|_, _| Ok(())), Err(TaskError::ShuttingDown)));
        eventually("the stop ends", || manager.phase() == Phase::Stopped);
        kit.assert_all_destroyed_once();
    });
}

// Promise 13: one parent has any number of managers.
#[test]
fn a_parent_token_stops_all_its_managers() {
    within(LIMIT, || {
        let parent = CancelToken::new();
        let managers = Manager::ALL.map(|kind| {
            let config = Kit::new().config(1).shutdown_on(parent.clone());
            kind.build(config)
        });
        parent.cancel();
        for manager in &managers {
            eventually("the stop ends", || manager.phase() == Phase::Stopped);
        }
    });
}

// Promises 11 and 13: a stop that the parent began can be killed.
#[test]
fn a_stop_by_the_parent_can_be_taken_over_by_a_kill() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let parent = CancelToken::new();
        let manager = kind.build(kit.config(1).shutdown_on(parent.clone()));
        let running = manager
            .task_once(|cx, _| {
                cx.token().wait();
                Ok(())
            })
            .submit();
        eventually("the task runs", || manager.stats().running_tasks == 1);
        let queued = manager.task(|_, _| Ok(())).submit();
        parent.cancel();
        let report = manager.kill().unwrap();
        assert_adds_up(&report);
        assert!(running.wait().is_ok());
        assert!(matches!(queued.wait(), Err(TaskError::Killed)));
    });
}

// Promise 13: a parent that is cancelled after the manager has ended, or is dropped before, does nothing.
#[test]
fn a_parent_token_and_its_manager_may_end_in_any_order() {
    on_every_manager(|kind| {
        let parent = CancelToken::new();
        let manager = kind.build(Kit::new().config(1).shutdown_on(parent.clone()));
        manager.kill().unwrap();
        parent.cancel();
        assert_eq!(manager.phase(), Phase::Killed);

        let manager = kind.build(Kit::new().config(1).shutdown_on(CancelToken::new()));
        assert!(manager.queue_task(|_, _| Ok(())).is_ok());
    });
}

// Promise 13: dropping the last clone starts a graceful stop, and blocks nobody.
#[test]
fn dropping_the_last_clone_stops_the_manager_gracefully() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(1).resource_pool_size(1));
        let busy = Busy::with(&manager, 1);
        let queued = manager.task(|cx, _| Ok(cx.is_cancelled())).submit();
        let clone = manager.clone();
        drop(manager);
        assert_eq!(clone.phase(), Phase::Running, "a clone is left");
        drop(clone); // returns although a task runs
        busy.open();
        assert!(!queued.wait().unwrap(), "what was accepted runs, with a live context");
        busy.release();
        kit.wait_until(|counts| counts.live == 0);
        kit.assert_all_destroyed_once();
    });
}

// Promise 13: a manager that nobody ever used is taken apart as well.
#[test]
fn dropping_an_idle_manager_destroys_its_resources() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        drop(kind.build(kit.config(2).resource_pool_size(2)));
        kit.wait_until(|counts| counts.live == 0);
        kit.assert_all_destroyed_once();
    });
}

// Promise 13: the last clone may be in the hands of one of the manager's own tasks.
#[test]
fn the_last_clone_may_be_dropped_inside_a_task() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(1));
        let gate = Gate::new();
        let (wait, clone) = (gate.clone(), manager.clone());
        let inside = manager
            .task_once(move |cx, _| {
                wait.wait();
                drop(clone);
                Ok(cx.is_cancelled())
            })
            .submit();
        gate.await_arrivals(1);
        drop(manager);
        gate.open();
        assert!(!inside.wait().unwrap());
        kit.wait_until(|counts| counts.live == 0);
        kit.assert_all_destroyed_once();
    });
}

// Promises 1 and 13: handles outlive their manager.
#[test]
fn a_handle_gets_its_outcome_after_the_manager_is_gone() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(1));
        let handles: Vec<_> = (0..20).map(|n| manager.task(move |_, _| Ok(n)).submit()).collect();
        drop(manager);
        kit.wait_until(|counts| counts.live == 0);
        for (n, handle) in handles.into_iter().enumerate() {
            handle.cancel(); // too late, and harmless
            assert_eq!(handle.wait().unwrap(), n);
        }
    });
}

// Promise 13: `shutdown_on` may be cancelled by one of the manager's own tasks.
#[test]
fn a_task_may_cancel_its_managers_parent() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let parent = CancelToken::new();
        let manager = kind.build(kit.config(1).shutdown_on(parent.clone()));
        manager
            .task(move |_, _| {
                parent.cancel();
                Ok(())
            })
            .run()
            .unwrap();
        let watching = manager.clone();
        let over = thread::spawn(move || {
            eventually("the stop ends", || watching.phase() == Phase::Stopped);
        });
        over.join().unwrap();
        kit.assert_all_destroyed_once();
    });
}
