//! A kill: what waits ends at once, what runs is told and waited for, and a stop under way is taken over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use tasker::testing::ManualClock;
use tasker::{Backoff, Phase, TaskError};

use crate::support::{
    Busy, Fault, Gate, Kit, LIMIT, Manager, assert_adds_up, begin_kill, begin_stop, eventually,
    on_every_manager, report_of, within,
};

// Promise 11: queued tasks end as `Killed`, running contexts are cancelled, resources are destroyed.
#[test]
fn a_kill_ends_what_waits_and_cancels_what_runs() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(1));
        let started = Gate::new();
        let start = started.clone();
        started.open();
        let running = manager
            .task_once(move |cx, _| -> Result<(), _> {
                start.wait();
                cx.token().wait();
                Err(Fault::Own)
            })
            .submit();
        started.await_arrivals(1);
        let queued = manager.task(|_, _| Ok(())).submit();
        let (send, called) = channel();
        manager.task(|_, _| Ok(())).on_complete(move |outcome| send.send(outcome).unwrap());
        let caller = manager.clone();
        let blocked = thread::spawn(move || caller.queue_task(|_, _| Ok(())));
        eventually("it waits", || manager.stats().queued_tasks == 3);
        let report = manager.kill().unwrap();
        assert!(matches!(running.wait(), Err(TaskError::Cancelled)));
        assert!(matches!(queued.wait(), Err(TaskError::Killed)));
        assert!(matches!(called.recv_timeout(LIMIT).unwrap(), Err(TaskError::Killed)));
        assert!(matches!(blocked.join().unwrap(), Err(TaskError::Killed)));
        assert_eq!((report.accepted, report.cancelled, report.dropped), (4, 1, 3), "{report}");
        assert_adds_up(&report);
        assert_eq!(manager.phase(), Phase::Killed);
        kit.assert_all_destroyed_once();
    });
}

// Promises 11 and 17: the context of a blocked caller's running task is cancelled as well.
#[test]
fn a_kill_cancels_the_task_that_a_blocked_caller_runs() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(1));
        let caller = manager.clone();
        let blocked = thread::spawn(move || {
            caller.queue_task(|cx, _| -> Result<(), _> {
                cx.token().wait();
                Err(Fault::Own)
            })
        });
        eventually("the task runs", || manager.stats().running_tasks == 1);
        let report = manager.kill().unwrap();
        assert!(matches!(blocked.join().unwrap(), Err(TaskError::Cancelled)));
        assert_eq!((report.accepted, report.cancelled), (1, 1), "{report}");
        kit.assert_all_destroyed_once();
    });
}

// Promises 11 and 17: a running task that succeeds in spite of the kill delivers its result.
#[test]
fn a_task_that_succeeds_after_the_kill_delivers_its_result() {
    on_every_manager(|kind| {
        let manager = kind.build(Kit::new().config(1));
        let running = manager
            .task_once(move |cx, _| {
                cx.token().wait();
                Ok("done all the same")
            })
            .submit();
        eventually("the task runs", || manager.stats().running_tasks == 1);
        let report = manager.kill().unwrap();
        assert_eq!(running.wait().unwrap(), "done all the same");
        assert_eq!(report.completed, 1, "{report}");
    });
}

// Promise 11: running code is waited for.
#[test]
fn a_kill_waits_for_code_that_does_not_look_at_its_context() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(1));
        let gate = Gate::new();
        let returned = Arc::new(AtomicBool::new(false));
        let (wait, flag) = (gate.clone(), Arc::clone(&returned));
        let running = manager
            .task_once(move |cx, _| {
                wait.wait();
                flag.store(true, Ordering::SeqCst);
                Ok(cx.token().wait_timeout(LIMIT))
            })
            .submit();
        gate.await_arrivals(1);
        let kill = begin_kill(&manager);
        assert!(!kill.is_finished());
        gate.open();
        let report = report_of(kill);
        assert!(returned.load(Ordering::SeqCst), "the kill returned before the code did");
        assert!(running.wait().unwrap(), "the context was cancelled");
        assert_eq!((report.completed, report.stragglers.len()), (1, 0), "{report}");
        kit.assert_all_destroyed_once();
    });
}

// Promise 11: an unhealthy error after a kill is the cancelled task's end, not a reason to try again.
#[test]
fn a_sick_resource_after_a_kill_is_destroyed_and_nothing_is_retried() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(1));
        let running = manager
            .task(move |cx, _| -> Result<(), _> {
                cx.token().wait();
                Err(Fault::Sick)
            })
            .submit();
        eventually("the task runs", || manager.stats().running_tasks == 1);
        let report = manager.kill().unwrap();
        assert!(matches!(running.wait(), Err(TaskError::Cancelled)));
        assert_eq!((report.cancelled, report.resources_created), (1, 1), "{report}");
        kit.assert_all_destroyed_once();
    });
}

// Promise 11: a retry that waits for its time waits, and ends as `Killed`.
#[test]
fn a_kill_ends_delayed_retries_as_killed() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let backoff = Backoff::fixed(Duration::from_secs(3600));
        let manager = kind.build(kit.config(1).retry_backoff(backoff).clock(ManualClock::new()));
        kit.sicken_next_uses(2);
        let submitted = manager.task(|_, res| res.work()).submit();
        let caller = manager.clone();
        let blocked = thread::spawn(move || caller.queue_task(|_, res| res.work()));
        eventually("the retry waits", || manager.stats().delayed_tasks == 2);
        let report = manager.kill().unwrap();
        assert!(matches!(submitted.wait(), Err(TaskError::Killed)));
        assert!(matches!(blocked.join().unwrap(), Err(TaskError::Killed)));
        assert_eq!((report.accepted, report.dropped), (2, 2), "{report}");
        kit.assert_all_destroyed_once();
    });
}

// Promise 11: a kill during a stop takes over, and both return their reports.
#[test]
fn a_kill_takes_over_from_a_stop_and_both_return() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(1));
        let running = manager
            .task_once(move |cx, _| -> Result<(), _> {
                cx.token().wait();
                Err(Fault::Own)
            })
            .submit();
        eventually("the task runs", || manager.stats().running_tasks == 1);
        let queued = manager.task(|_, _| Ok(())).submit();
        let stop = begin_stop(&manager);
        assert_eq!(manager.phase(), Phase::Stopping);
        let killed = manager.kill().unwrap();
        let stopped = report_of(stop);
        assert!(matches!(running.wait(), Err(TaskError::Cancelled)));
        assert!(matches!(queued.wait(), Err(TaskError::Killed)));
        for report in [&killed, &stopped] {
            assert_adds_up(report);
            let numbers = (report.accepted, report.cancelled, report.dropped);
            assert_eq!(numbers, (2, 1, 1), "{report}");
            assert_eq!((report.resources_created, report.resources_destroyed), (1, 1));
        }
        assert_eq!(manager.phase(), Phase::Killed);
        kit.assert_all_destroyed_once();
    });
}

// Promise 11: a worker that waits for its next try to get a resource does not hold up a kill.
#[test]
fn a_kill_does_not_wait_for_a_worker_that_waits_for_its_next_try() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(1).clock(ManualClock::new()));
        kit.break_down();
        let lost = manager.task_once(|_, _| Err::<(), _>(Fault::Sick)).submit();
        assert!(lost.wait().is_err());
        kit.wait_until(|counts| counts.failures == 1);
        let queued = manager.task(|_, _| Ok(())).submit();
        let report = manager.kill().unwrap();
        assert!(matches!(queued.wait(), Err(TaskError::Killed)));
        assert_eq!((report.failed, report.dropped), (1, 1), "{report}");
        kit.assert_all_destroyed_once();
    });
}

// Promises 3 and 11: a `run_task` whose resource is still in the making is told that it is over.
#[test]
fn a_kill_during_the_creation_of_a_temporary_resource_ends_its_task_as_killed() {
    within(LIMIT, || {
        let kit = Kit::new();
        let manager = Manager::Lending.build(kit.config(1));
        let open = Busy::with(&manager, 1);
        let gate = Gate::new();
        kit.block_creates(&gate);
        let caller = manager.clone();
        let urgent = thread::spawn(move || caller.run_task(|_, _| Ok(())));
        gate.await_arrivals(1);
        let kill = begin_kill(&manager);
        open.open();
        gate.open();
        assert!(matches!(urgent.join().unwrap(), Err(TaskError::Killed)));
        let report = report_of(kill);
        assert_eq!((report.completed, report.dropped), (1, 1), "{report}");
        kit.assert_all_destroyed_once();
    });
}

// Promise 11: a `run_task` on a pooled resource is cancelled like any other.
#[test]
fn a_kill_cancels_a_task_on_a_pooled_resource() {
    within(LIMIT, || {
        let kit = Kit::new();
        let manager = Manager::Lending.build(kit.config(1).resource_pool_size(1));
        let caller = manager.clone();
        let urgent = thread::spawn(move || {
            caller.run_task(|cx, _| -> Result<(), _> {
                cx.token().wait();
                Err(Fault::Own)
            })
        });
        eventually("the task runs", || manager.stats().running_tasks == 1);
        let report = manager.kill().unwrap();
        assert!(matches!(urgent.join().unwrap(), Err(TaskError::Cancelled)));
        assert_eq!((report.cancelled, report.resources_destroyed), (1, 2), "{report}");
        kit.assert_all_destroyed_once();
    });
}
