//! Cancelling and timing out: what has not begun never runs; what runs is told, and decides itself.

use std::sync::Arc;
use std::time::Duration;

use tasker::testing::ManualClock;
use tasker::{Backoff, Outcome, Priority, TaskError, TaskStatus};

use crate::support::{
    Busy, Fault, Gate, Kit, LIMIT, Manager, Recorder, Res, What, eventually, on_every_manager,
    within,
};

const HOUR: Duration = Duration::from_secs(3600);

// Promise 17: a queued task ends as `Cancelled` without running; its closure is dropped at once.
#[test]
fn cancelling_a_queued_task_ends_it_without_running_it() {
    on_every_manager(|kind| {
        let manager = kind.build(Kit::new().config(1));
        let busy = Busy::with(&manager, 1);
        let held = Arc::new(());
        let inside = Arc::clone(&held);
        let queued = manager.task(move |_, _| -> Result<(), _> {
            panic!("{inside:?} runs although it was cancelled");
        });
        let queued = queued.submit();
        assert_eq!((queued.status(), Arc::strong_count(&held)), (TaskStatus::Queued, 2));
        queued.cancel();
        assert_eq!(Arc::strong_count(&held), 1, "the closure is gone");
        assert_eq!(queued.status(), TaskStatus::Finished);
        assert_eq!(manager.stats().queued_tasks, 0);
        assert!(matches!(queued.wait(), Err(TaskError::Cancelled)));
        busy.release();
        let report = manager.stop().unwrap();
        assert_eq!((report.accepted, report.completed, report.cancelled), (2, 1, 1), "{report}");
    });
}

// Promise 17: a cancelled task is no obstacle to those behind it, whatever its lane.
#[test]
fn the_others_of_its_lane_do_not_notice_that_a_task_is_cancelled() {
    on_every_manager(|kind| {
        let manager = kind.build(Kit::new().config(1));
        let busy = Busy::with(&manager, 1);
        let (order, ran) = std::sync::mpsc::channel();
        let handles: Vec<_> = (0..15)
            .map(|n| {
                let order = order.clone();
                let priority = [Priority::High, Priority::Normal, Priority::Low][n / 5];
                let task = manager.task(move |_, _| {
                    order.send(n).unwrap();
                    Ok(())
                });
                task.priority(priority).submit()
            })
            .collect();
        for handle in handles.iter().step_by(2) {
            handle.cancel();
        }
        busy.release();
        drop(order);
        let outcomes: Vec<_> = handles.into_iter().map(|handle| handle.wait().is_ok()).collect();
        assert!(outcomes.iter().enumerate().all(|(n, ok)| *ok == (n % 2 == 1)), "{outcomes:?}");
        manager.stop().unwrap();
        assert_eq!(ran.iter().collect::<Vec<_>>(), [1, 3, 5, 7, 9, 11, 13]);
    });
}

// Promise 17: in constant time. Were each cancel to search its lane, this would take minutes.
#[test]
fn a_hundred_thousand_queued_tasks_are_cancelled_in_good_time() {
    within(LIMIT, || {
        const TASKS: u64 = 100_000;
        let manager = Manager::Lending.build(Kit::new().config(1));
        let busy = Busy::with(&manager, 1);
        let handles: Vec<_> =
            (0..TASKS).map(|_| manager.task_once(|_, _| Ok(())).submit()).collect();
        // From the middle outwards: far from either end.
        let (first, second) = handles.split_at(handles.len() / 2);
        for (before, after) in first.iter().rev().zip(second) {
            before.cancel();
            after.cancel();
        }
        assert_eq!(manager.stats().queued_tasks, 0);
        busy.release();
        let report = manager.stop().unwrap();
        assert_eq!((report.cancelled, report.completed), (TASKS, 1), "{report}");
    });
}

// Promise 17: a running task finds its context cancelled; the `Err` that it returns becomes `Cancelled`.
#[test]
fn cancelling_a_running_task_cancels_its_context() {
    on_every_manager(|kind| {
        let manager = kind.build(Kit::new().config(1));
        let started = Gate::new();
        started.open();
        let start = started.clone();
        let running = manager
            .task(move |cx, _| -> Result<(), _> {
                start.wait();
                cx.token().wait();
                assert!(cx.is_cancelled());
                assert!(cx.sleep(HOUR).is_err(), "a cancelled task does not sleep");
                Err(Fault::Own)
            })
            .submit();
        started.await_arrivals(1);
        assert_eq!(running.status(), TaskStatus::Running { attempt: 1 });
        running.cancel();
        assert!(matches!(running.wait(), Err(TaskError::Cancelled)));
        assert_eq!(manager.stop().unwrap().cancelled, 1);
    });
}

// Promise 17: a cancelled attempt that still returns `Ok` delivers it.
#[test]
fn a_task_that_succeeds_although_it_was_cancelled_delivers_its_result() {
    on_every_manager(|kind| {
        let manager = kind.build(Kit::new().config(1));
        let running = manager
            .task_once(move |cx, _| {
                cx.token().wait();
                Ok("late but right")
            })
            .submit();
        eventually("the task runs", || matches!(running.status(), TaskStatus::Running { .. }));
        running.cancel();
        running.cancel(); // changes nothing
        assert_eq!(running.wait().unwrap(), "late but right");
        assert_eq!(manager.stop().unwrap().completed, 1);
    });
}

// Promises 8 and 17: a panic is a panic, cancelled or not.
#[test]
fn a_cancelled_task_that_panics_has_panicked() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(1));
        let running = manager
            .task_once(move |cx, _| -> Result<(), _> {
                cx.token().wait();
                panic!("cancelled into a panic");
            })
            .submit();
        eventually("the task runs", || matches!(running.status(), TaskStatus::Running { .. }));
        running.cancel();
        assert!(matches!(running.wait(), Err(TaskError::Panicked(_))));
        manager.stop().unwrap();
        kit.assert_all_destroyed_once();
    });
}

// Promises 6 and 17: a cancelled task is not retried, and its sick resource is replaced all the same.
#[test]
fn a_cancelled_task_whose_resource_is_sick_is_not_retried() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(1));
        let running = manager
            .task(move |cx, _| -> Result<(), _> {
                cx.token().wait();
                Err(Fault::Sick)
            })
            .submit();
        eventually("the task runs", || matches!(running.status(), TaskStatus::Running { .. }));
        running.cancel();
        assert!(matches!(running.wait(), Err(TaskError::Cancelled)));
        assert_eq!(manager.queue_task(|_, res| res.work()).unwrap(), 2, "on a new resource");
        manager.stop().unwrap();
        kit.assert_all_destroyed_once();
    });
}

// Promise 17: a retry that waits for its time is queued, and can be cancelled like any queued task.
#[test]
fn cancelling_a_delayed_retry_ends_it_at_once() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let clock = ManualClock::new();
        let recorder = Recorder::new();
        let config = kit.config(1).retry_backoff(Backoff::fixed(HOUR)).clock(clock.clone());
        let manager = kind.build(config.observer(recorder.clone()));
        kit.sicken_next_uses(1);
        let delayed = manager.task(|_, res| res.work()).submit();
        eventually("the retry waits", || manager.stats().delayed_tasks == 1);
        assert_eq!(delayed.status(), TaskStatus::Queued);
        delayed.cancel();
        assert!(matches!(delayed.wait(), Err(TaskError::Cancelled)));
        assert_eq!(manager.stats().delayed_tasks, 0);
        clock.advance(2 * HOUR);
        assert_eq!(manager.queue_task(|_, res| res.work()).unwrap(), 2);
        let report = manager.stop().unwrap();
        assert_eq!((report.completed, report.cancelled), (1, 1), "{report}");
        assert_eq!(recorder.count(|what| matches!(what, What::TaskStarted { .. })), 2);
    });
}

// Promise 17: what has ended stays as it is.
#[test]
fn cancelling_a_finished_task_changes_nothing() {
    on_every_manager(|kind| {
        let manager = kind.build(Kit::new().config(1));
        let finished = manager.task(|_, _| Ok(7)).submit();
        eventually("it ends", || finished.is_finished());
        finished.cancel();
        assert_eq!(finished.wait().unwrap(), 7);
        assert!(!manager.queue_task(|cx, _| Ok(cx.is_cancelled())).unwrap());
        assert_eq!(manager.stop().unwrap().completed, 2);
    });
}

// Promise 17: a cancelled context belongs to its attempt; the next task on the resource has its own.
#[test]
fn a_cancelled_task_leaves_no_trace_in_the_next_one() {
    on_every_manager(|kind| {
        let manager = kind.build(Kit::new().config(1).resource_pool_size(1));
        for _ in 0..20 {
            let running = manager
                .task_once(move |cx, _| {
                    cx.token().wait();
                    Ok(())
                })
                .submit();
            eventually("the task runs", || matches!(running.status(), TaskStatus::Running { .. }));
            running.cancel();
            running.wait().unwrap();
            assert!(!manager.queue_task(|cx, _| Ok(cx.is_cancelled())).unwrap());
            assert!(!manager.run_task(|cx, _| Ok(cx.is_cancelled())).unwrap());
        }
    });
}

// Promise 17: a token that a task has given away reaches that task only, ever.
#[test]
fn a_token_kept_from_one_task_does_not_cancel_the_next() {
    on_every_manager(|kind| {
        let manager = kind.build(Kit::new().config(1).resource_pool_size(1));
        let token = |cx: &tasker::TaskContext, _: &mut Res| Ok(cx.token());
        let kept = [
            manager.task(token).run().unwrap(),
            manager.task(token).submit().wait().unwrap(),
            manager.run_task(token).unwrap(),
        ];
        let cancelled = move |cx: &tasker::TaskContext, _: &mut Res| {
            kept.iter().for_each(tasker::CancelToken::cancel);
            Ok(cx.is_cancelled())
        };
        assert!(!manager.task(cancelled.clone()).run().unwrap());
        assert!(!manager.task(cancelled.clone()).submit().wait().unwrap());
        assert!(!manager.run_task(cancelled).unwrap());
    });
}

// Promise 17: the timeout of an attempt cancels its context; the `Err` that it returns is `TimedOut`.
#[test]
fn a_task_that_overruns_its_timeout_ends_as_timed_out() {
    on_every_manager(|kind| {
        let clock = ManualClock::new();
        let manager = kind.build(Kit::new().config(1).resource_pool_size(1).clock(clock.clone()));
        let moved = clock.clone();
        let overrun = move |cx: &tasker::TaskContext, _: &mut Res| -> Result<(), _> {
            assert_eq!(cx.deadline(), Some(moved.now() + HOUR));
            moved.advance(HOUR / 2);
            assert!(!cx.is_cancelled(), "half of it is left");
            moved.advance(HOUR / 2);
            cx.token().wait();
            Err(Fault::Own)
        };
        let submitted = manager.task(overrun.clone()).timeout(HOUR).submit();
        assert!(matches!(submitted.wait(), Err(TaskError::TimedOut)));
        let blocking = manager.task(overrun.clone()).timeout(HOUR).run();
        assert!(matches!(blocking, Err(TaskError::TimedOut)));
        let urgent = manager.task(overrun).timeout(HOUR).run_now();
        assert!(matches!(urgent, Err(TaskError::TimedOut)));
        let report = manager.stop().unwrap();
        assert_eq!((report.accepted, report.failed), (3, 3), "{report}");
    });
}

// Promise 17: a timed-out attempt that still returns `Ok` delivers it.
#[test]
fn a_task_that_succeeds_after_its_timeout_delivers_its_result() {
    on_every_manager(|kind| {
        let clock = ManualClock::new();
        let manager = kind.build(Kit::new().config(1).clock(clock.clone()));
        let task = manager.task(move |cx, _| {
            clock.advance(HOUR);
            cx.token().wait();
            Ok("late but right")
        });
        assert_eq!(task.timeout(HOUR).submit().wait().unwrap(), "late but right");
        assert_eq!(manager.stop().unwrap().completed, 1);
    });
}

// Promise 17: the first reason stays: a task that is cancelled after its timeout has timed out.
#[test]
fn a_cancel_after_the_timeout_does_not_change_the_reason() {
    on_every_manager(|kind| {
        let clock = ManualClock::new();
        let manager = kind.build(Kit::new().config(1).clock(clock.clone()));
        let (timed_out, gate) = (Gate::new(), Gate::new());
        let (told, wait) = (timed_out.clone(), gate.clone());
        timed_out.open();
        let task = manager.task(move |cx, _| -> Result<(), _> {
            clock.advance(HOUR);
            cx.token().wait();
            told.wait();
            wait.wait();
            Err(Fault::Own)
        });
        let handle = task.timeout(HOUR).submit();
        timed_out.await_arrivals(1);
        handle.cancel();
        gate.open();
        assert!(matches!(handle.wait(), Err(TaskError::TimedOut)));
    });
}

// Promise 17 and small print: the timeout starts anew with each attempt, and does not run in between.
#[test]
fn the_timeout_starts_anew_with_each_attempt() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let clock = ManualClock::new();
        let config = kit.config(1).clock(clock.clone()).retry_backoff(Backoff::fixed(HOUR));
        let manager = kind.build(config);
        let moved = clock.clone();
        let task = manager.task(move |cx, _| {
            assert_eq!(cx.deadline(), Some(moved.now() + HOUR));
            moved.advance(HOUR * 3 / 4);
            if cx.attempt() == 1 { Err(Fault::Sick) } else { Ok(cx.is_cancelled()) }
        });
        let handle = task.timeout(HOUR).submit();
        eventually("the retry waits", || manager.stats().delayed_tasks == 1);
        clock.advance(5 * HOUR);
        assert!(!handle.wait().unwrap(), "the second attempt is within its own hour");
    });
}

// Promise 17 and small print: nor while the callback of the task before it keeps the worker.
#[test]
fn the_timeout_of_a_task_does_not_run_during_the_callback_of_another() {
    on_every_manager(|kind| {
        let clock = ManualClock::new();
        let manager = kind.build(Kit::new().config(1).clock(clock.clone()));
        let busy = Busy::with(&manager, 1);
        let moved = clock.clone();
        manager.task(|_, _| Ok(())).on_complete(move |_| moved.advance(2 * HOUR));
        let seen = clock.clone();
        let next = manager.task(move |cx, _| Ok((cx.deadline(), seen.now())));
        let next = next.timeout(HOUR).submit();
        busy.release();
        let (deadline, started) = next.wait().unwrap();
        assert_eq!(deadline, Some(started + HOUR));
    });
}

// Promise 17: a task that returned in time is not touched by its timeout later, nor is the next one.
#[test]
fn the_timeout_of_a_finished_attempt_reaches_nobody() {
    on_every_manager(|kind| {
        let clock = ManualClock::new();
        let manager = kind.build(Kit::new().config(1).resource_pool_size(1).clock(clock.clone()));
        assert!(manager.task(|_, _| Ok(())).timeout(HOUR).submit().wait().is_ok());
        assert!(manager.task(|_, _| Ok(())).timeout(HOUR).run().is_ok());
        assert!(manager.task(|_, _| Ok(())).timeout(HOUR).run_now().is_ok());
        let busy = Busy::with(&manager, 1);
        let gate = Gate::new();
        let wait = gate.clone();
        let next = manager
            .task_once(move |cx, _| {
                wait.wait();
                Ok(cx.is_cancelled())
            })
            .submit();
        busy.release();
        gate.await_arrivals(1);
        clock.advance(2 * HOUR);
        gate.open();
        assert!(!next.wait().unwrap());
    });
}

// Promise 17: observers are told why a task ended.
#[test]
fn the_event_of_a_cancelled_task_says_so_and_has_no_times_if_it_never_ran() {
    on_every_manager(|kind| {
        let recorder = Recorder::new();
        let manager = kind.build(Kit::new().config(1).observer(recorder.clone()));
        let busy = Busy::with(&manager, 1);
        let queued = manager.task(|_, _| Ok(())).submit();
        queued.cancel();
        let id = queued.id();
        let cancelled = |what: &What| match what {
            What::TaskFinished { id: of, outcome: Outcome::Cancelled, times, .. } => {
                *of == id && times.is_none()
            }
            _ => false,
        };
        assert_eq!(recorder.count(cancelled), 1);
        busy.release();
    });
}
