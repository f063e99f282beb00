//! A graceful stop: refuses what is new, runs what was accepted, destroys every resource, and ends.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use tasker::testing::ManualClock;
use tasker::{Backoff, Config, Phase, Priority, TaskError, TaskManager};

use crate::support::{
    Busy, Fault, Gate, Kit, LIMIT, Manager, assert_adds_up, begin_stop, eventually,
    on_every_manager, report_of, within,
};

const HOUR: Duration = Duration::from_secs(3600);

// Promise 10: new tasks are refused, everything accepted runs, every resource is destroyed.
#[test]
fn a_stop_refuses_new_tasks_and_runs_everything_that_was_accepted() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(1));
        let busy = Busy::with(&manager, 1);
        let queued: Vec<_> = [Priority::Low, Priority::Normal, Priority::High]
            .into_iter()
            .flat_map(|priority| [priority, priority])
            .map(|priority| manager.task(|_, res| Ok(res.id())).priority(priority).submit())
            .collect();
        let stop = begin_stop(&manager);
        assert_eq!(manager.phase(), Phase::Stopping);
        let late = manager.task(|_, _| Ok(())).submit();
        assert!(late.is_finished(), "a refusal does not wait");
        assert!(matches!(late.wait(), Err(TaskError::ShuttingDown)));
        busy.open();
        let report = report_of(stop);
        assert!(queued.into_iter().all(|handle| handle.wait().unwrap() == 1));
        busy.release();
        assert_eq!((report.accepted, report.completed), (7, 7), "{report}");
        assert_adds_up(&report);
        assert_eq!(manager.phase(), Phase::Stopped);
        kit.assert_all_destroyed_once();
    });
}

// Promise 10: the contexts of tasks that a stop still runs are live.
#[test]
fn a_stop_leaves_the_contexts_of_running_and_queued_tasks_alone() {
    on_every_manager(|kind| {
        let manager = kind.build(Kit::new().config(1));
        let gate = Gate::new();
        let wait = gate.clone();
        let running = manager.task_once(move |cx, _| {
            wait.wait();
            Ok(cx.is_cancelled())
        });
        let running = running.submit();
        gate.await_arrivals(1);
        let queued = manager.task(|cx, _| Ok(cx.is_cancelled())).submit();
        let stop = begin_stop(&manager);
        gate.open();
        assert!(!running.wait().unwrap());
        assert!(!queued.wait().unwrap());
        report_of(stop);
    });
}

// Promise 10: blocked callers were accepted too.
#[test]
fn a_stop_runs_the_tasks_of_blocked_callers() {
    on_every_manager(|kind| {
        let manager = kind.build(Kit::new().config(1));
        let busy = Busy::with(&manager, 1);
        let caller = manager.clone();
        let blocked = thread::spawn(move || caller.queue_task(|_, res| Ok(res.id())));
        eventually("it waits", || manager.stats().queued_tasks == 1);
        let stop = begin_stop(&manager);
        busy.open();
        assert_eq!(blocked.join().unwrap().unwrap(), 1);
        assert_eq!(report_of(stop).completed, 2);
    });
}

// Promise 10: a retry that waits for its time runs at once when the stop begins.
#[test]
fn a_stop_runs_delayed_retries_at_once() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let config = kit.config(1).retry_backoff(Backoff::fixed(HOUR)).clock(ManualClock::new());
        let manager = kind.build(config);
        kit.sicken_next_uses(2);
        let submitted = manager.task(|_, res| res.work()).submit();
        let caller = manager.clone();
        let blocked = thread::spawn(move || caller.queue_task(|_, res| res.work()));
        eventually("the retry waits", || manager.stats().delayed_tasks == 2);
        let report = manager.stop().unwrap();
        assert!(submitted.wait().is_ok());
        assert!(blocked.join().unwrap().is_ok());
        assert_eq!((report.accepted, report.completed), (2, 2), "{report}");
        kit.assert_all_destroyed_once();
    });
}

// Promise 10: a retry that becomes necessary during the stop does not wait either.
#[test]
fn a_retry_during_a_stop_is_not_delayed() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let config = kit.config(1).retry_backoff(Backoff::fixed(HOUR)).clock(ManualClock::new());
        let manager = kind.build(config);
        let gate = Gate::new();
        let wait = gate.clone();
        let handle = manager
            .task(move |_, res| {
                wait.wait();
                res.work()
            })
            .submit();
        gate.await_arrivals(1);
        kit.sicken_next_uses(1);
        let stop = begin_stop(&manager);
        gate.open();
        assert_eq!(handle.wait().unwrap(), 2, "the second resource does it");
        assert_eq!(report_of(stop).completed, 1);
        kit.assert_all_destroyed_once();
    });
}

// Promise 10: if no resource can be made any more, what is left ends as `CreateFailed`.
#[test]
fn a_stop_ends_what_is_left_as_create_failed_when_no_resource_can_be_made() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(1));
        let gate = Gate::new();
        let wait = gate.clone();
        let sick = manager
            .task(move |_, _| -> Result<(), _> {
                wait.wait();
                Err(Fault::Sick)
            })
            .submit();
        gate.await_arrivals(1);
        let queued: Vec<_> = (0..3).map(|_| manager.task(|_, _| Ok(())).submit()).collect();
        let caller = manager.clone();
        let blocked = thread::spawn(move || caller.queue_task(|_, _| Ok(())));
        eventually("it waits", || manager.stats().queued_tasks == 4);
        let stop = begin_stop(&manager);
        kit.break_down();
        gate.open();
        let report = report_of(stop);
        assert!(matches!(sick.wait(), Err(TaskError::CreateFailed(Fault::Create))));
        for handle in queued {
            assert!(matches!(handle.wait(), Err(TaskError::CreateFailed(Fault::Create))));
        }
        let outcome = blocked.join().unwrap();
        assert!(matches!(outcome, Err(TaskError::CreateFailed(Fault::Create))), "{outcome:?}");
        assert_eq!((report.accepted, report.failed), (5, 5), "{report}");
        assert_adds_up(&report);
        kit.assert_all_destroyed_once();
    });
}

// Promise 10: a worker that cannot get a resource leaves the rest to one that has one.
#[test]
fn a_worker_that_still_has_a_resource_finishes_a_stop_for_the_others() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(2));
        let healthy = Busy::with(&manager, 1);
        let gate = Gate::new();
        let wait = gate.clone();
        let sick = manager
            .task(move |cx, _| {
                wait.wait();
                if cx.attempt() == 1 { Err(Fault::Sick) } else { Ok(()) }
            })
            .submit();
        gate.await_arrivals(1);
        let queued = manager.task(|_, _| Ok(())).submit();
        kit.break_down();
        let stop = begin_stop(&manager);
        gate.open();
        kit.wait_until(|counts| counts.failures > 0);
        healthy.open();
        assert!(sick.wait().is_ok());
        assert!(queued.wait().is_ok());
        assert_eq!(report_of(stop).completed, 3);
        kit.assert_all_destroyed_once();
    });
}

/// The error of a resource that cannot be made; the first to be dropped waits for a second one.
#[derive(Debug)]
struct NoResource(Arc<(Mutex<usize>, Condvar)>);

impl Drop for NoResource {
    fn drop(&mut self) {
        let (dropped, changed) = &*self.0;
        let mut dropped = dropped.lock().unwrap();
        *dropped += 1;
        changed.notify_all();
        let waited = changed.wait_timeout_while(dropped, LIMIT / 4, |dropped| *dropped < 2);
        drop(waited);
    }
}

// Promise 10 (and 1): two workers that fail to get a resource at the same time do not both rely on the
// other one. The drop of the first failure's error holds its worker where it has decided to leave and
// has not left; the second one fails in the meantime.
#[test]
fn the_last_two_workers_do_not_leave_the_rest_of_a_stop_to_each_other() {
    within(LIMIT, || {
        let drops = Arc::new((Mutex::new(0), Condvar::new()));
        let broken = Gate::new();
        let (made, failing) = (Arc::new(AtomicUsize::new(0)), broken.clone());
        let config = Config::<(), Option<NoResource>>::new(move || {
            if made.fetch_add(1, Ordering::SeqCst) < 2 {
                return Ok(());
            }
            failing.wait();
            Err(Some(NoResource(Arc::clone(&drops))))
        })
        .check_health(|_| false)
        .worker_count(2)
        .max_worker_count(2)
        .resource_pool_size(0);
        let manager = TaskManager::new(config).unwrap();
        let sick = Gate::new();
        for _ in 0..2 {
            let wait = sick.clone();
            let condemn = move |_: &_, _: &mut ()| {
                wait.wait();
                Err::<(), _>(None)
            };
            drop(manager.task_once(condemn).submit());
        }
        sick.await_arrivals(2);
        let (send, outcomes) = channel();
        for _ in 0..2 {
            let send = send.clone();
            let callback = move |outcome: Result<(), TaskError<_>>| {
                let create_failed = matches!(outcome, Err(TaskError::CreateFailed(_)));
                send.send(create_failed).unwrap();
            };
            manager.task(|_, _| Ok(())).on_complete(callback);
        }
        sick.open();
        broken.await_arrivals(2);
        let stopped = manager.clone();
        let stop = thread::spawn(move || stopped.stop());
        eventually("the stop begins", || manager.phase() == Phase::Stopping);
        broken.open();
        for _ in 0..2 {
            let create_failed = outcomes.recv_timeout(LIMIT / 2).expect("every task has an end");
            assert!(create_failed);
        }
        let report = stop.join().unwrap().unwrap();
        assert_eq!((report.accepted, report.failed), (4, 4), "{report}");
    });
}

// Promise 10: a worker that waits for its next try to get a resource does not hold up a stop.
#[test]
fn a_stop_does_not_wait_for_a_worker_that_waits_for_its_next_try() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(2).clock(ManualClock::new()));
        kit.break_down();
        let lost = manager.task_once(|_, _| Err::<(), _>(Fault::Sick)).submit();
        assert!(matches!(lost.wait(), Err(TaskError::Failed(Fault::Sick))));
        kit.wait_until(|counts| counts.failures == 1);
        assert_eq!(manager.stop().unwrap().resources_destroyed, 2);
        kit.assert_all_destroyed_once();
    });
}

// Promises 3 and 10: a resource that is made while the manager stops is destroyed before `stop` returns.
#[test]
fn a_stop_waits_for_a_resource_in_the_making_and_destroys_it() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(1));
        let gate = Gate::new();
        kit.block_creates(&gate);
        let lost = manager.task_once(|_, _| Err::<(), _>(Fault::Sick)).submit();
        assert!(lost.wait().is_err());
        gate.await_arrivals(1);
        let stop = begin_stop(&manager);
        assert!(!stop.is_finished());
        gate.open();
        let report = report_of(stop);
        assert_eq!((report.resources_created, report.resources_destroyed), (2, 2), "{report}");
        kit.assert_all_destroyed_once();
    });
}

// Promise 10: `stop` returns when every resource is destroyed, those of the pool included.
#[test]
fn a_stop_returns_after_the_last_resource_is_destroyed() {
    within(LIMIT, || {
        let kit = Kit::new();
        let manager = Manager::Lending.build(kit.config(2).resource_pool_size(3));
        let gate = Gate::new();
        kit.block_destroys(&gate);
        let stop = begin_stop(&manager);
        gate.await_arrivals(3); // two workers and the steward
        assert_ne!(manager.phase(), Phase::Stopped);
        assert!(!stop.is_finished());
        gate.open();
        let report = report_of(stop);
        assert_eq!((report.resources_created, report.resources_destroyed), (5, 5), "{report}");
        kit.assert_all_destroyed_once();
    });
}

// Promise 10: what a task submits to its own manager during the stop is new, and refused.
#[test]
fn a_task_that_runs_during_a_stop_cannot_submit_another() {
    on_every_manager(|kind| {
        let manager = kind.build(Kit::new().config(1));
        let gate = Gate::new();
        let (wait, inner) = (gate.clone(), manager.clone());
        let outer = manager
            .task_once(move |_, _| {
                wait.wait();
                Ok(inner.task(|_, _| Ok(())).submit().wait())
            })
            .submit();
        gate.await_arrivals(1);
        let stop = begin_stop(&manager);
        gate.open();
        assert!(matches!(outer.wait().unwrap(), Err(TaskError::ShuttingDown)));
        assert_eq!(report_of(stop).accepted, 1);
    });
}
