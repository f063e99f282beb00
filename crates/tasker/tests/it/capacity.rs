//! A queue with a limit: who waits, who is turned away, who is evicted, and what takes no place.

use std::thread::{self, JoinHandle};
use std::time::Duration;

use tasker::testing::ManualClock;
use tasker::{Backoff, BuildError, Overflow, Priority, RejectReason, TaskError, TaskManager};

use crate::support::{
    Busy, Fault, Kit, LIMIT, Manager, Res, What, assert_adds_up, begin_kill, begin_stop,
    eventually, on_every_manager, report_of, within,
};

const HOUR: Duration = Duration::from_secs(3600);

fn full(kind: Manager, overflow: Overflow, capacity: usize) -> (TaskManager<Res, Fault>, Busy) {
    let config = Kit::new().config(1).queue_capacity(capacity).overflow(overflow);
    let manager = kind.build(config);
    let busy = Busy::with(&manager, 1);
    (manager, busy)
}

fn waiting(manager: &TaskManager<Res, Fault>) -> usize {
    let stats = manager.stats();
    stats.queued_tasks + stats.priority_tasks
}

/// A submission that has to wait for room, on a thread of its own.
fn submit_aside(
    manager: &TaskManager<Res, Fault>,
    start_within: Duration,
) -> JoinHandle<Result<u64, TaskError<Fault>>> {
    let before = waiting(manager);
    let caller = manager.clone();
    let submission = thread::spawn(move || {
        caller.task(|_, res| res.work()).start_within(start_within).submit().wait()
    });
    eventually("it waits", || waiting(manager) == before + 1);
    submission
}

/// A blocking call that has to wait for room, on a thread of its own.
fn run_aside(
    manager: &TaskManager<Res, Fault>,
    start_within: Duration,
) -> JoinHandle<Result<u64, TaskError<Fault>>> {
    let before = waiting(manager);
    let caller = manager.clone();
    let call =
        thread::spawn(move || caller.task(|_, res| res.work()).start_within(start_within).run());
    eventually("it waits", || waiting(manager) == before + 1);
    call
}

// Small print: a capacity of zero could never hold a task, and is refused.
#[test]
fn a_capacity_of_zero_is_an_error() {
    within(LIMIT, || {
        let built = TaskManager::new(Kit::new().config(1).queue_capacity(0));
        assert!(matches!(built, Err(BuildError::NoCapacity)));
    });
}

// Small print: capacity counts what waits in the lanes, not what runs.
#[test]
fn a_running_task_takes_no_place() {
    on_every_manager(|kind| {
        let (manager, busy) = full(kind, Overflow::Reject, 1);
        let fits = manager.task(|_, res| res.work()).submit();
        let refused = manager.task(|_, res| res.work()).submit();
        assert!(matches!(refused.wait(), Err(TaskError::QueueFull)));
        busy.release();
        assert!(fits.wait().is_ok());
        let again = manager.task(|_, res| res.work()).submit();
        assert!(again.wait().is_ok(), "there is room again");
        assert_eq!(manager.stop().unwrap().accepted, 3);
    });
}

// Small print: under `Wait` a submission blocks its caller until there is room.
#[test]
fn a_submission_waits_until_there_is_room() {
    on_every_manager(|kind| {
        let (manager, busy) = full(kind, Overflow::Wait, 1);
        let first = manager.task(|_, res| res.work()).submit();
        let submission = submit_aside(&manager, HOUR);
        let call = run_aside(&manager, HOUR);
        assert!(!submission.is_finished() && !call.is_finished());
        busy.release();
        assert!(first.wait().is_ok());
        assert!(submission.join().unwrap().is_ok());
        assert!(call.join().unwrap().is_ok());
        let report = manager.stop().unwrap();
        assert_eq!((report.accepted, report.completed), (4, 4), "{report}");
    });
}

// Small print: room comes about also when a queued task is cancelled.
#[test]
fn cancelling_a_queued_task_makes_room_for_one_that_waits() {
    on_every_manager(|kind| {
        let (manager, busy) = full(kind, Overflow::Wait, 1);
        let queued = manager.task(|_, res| res.work()).submit();
        let caller = manager.clone();
        let submission = thread::spawn(move || caller.task(|_, res| res.work()).submit());
        eventually("it waits", || waiting(&manager) == 2);
        queued.cancel();
        let accepted = submission.join().unwrap(); // the worker is still busy
        assert!(!accepted.is_finished());
        busy.release();
        assert!(accepted.wait().is_ok());
    });
}

// Small print: whoever waits for room is let in by priority, and first come first served within.
#[test]
fn those_who_wait_for_room_are_let_in_in_order() {
    on_every_manager(|kind| {
        let (manager, busy) = full(kind, Overflow::Wait, 1);
        let (order, ran) = std::sync::mpsc::channel();
        let submit = |n: u32, priority| {
            let (manager, order) = (manager.clone(), order.clone());
            thread::spawn(move || {
                let task = manager.task(move |_, _| {
                    order.send(n).unwrap();
                    Ok(())
                });
                task.priority(priority).submit().wait().unwrap();
            })
        };
        let priorities = [Priority::Normal, Priority::Low, Priority::Normal, Priority::High];
        let mut waiters = Vec::new();
        for (n, priority) in (0..).zip(priorities) {
            waiters.push(submit(n, priority));
            eventually("it waits", || waiting(&manager) == waiters.len());
        }
        busy.release();
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
        drop(order);
        // The first is in the lane, and runs; as room comes about, the most urgent is let in.
        assert_eq!(ran.try_iter().collect::<Vec<_>>(), [0, 3, 2, 1]);
    });
}

// Small print: under `Reject` the new task ends as `QueueFull`, at every door, and is not accepted.
#[test]
fn a_full_queue_that_rejects_refuses_at_every_door() {
    on_every_manager(|kind| {
        let (manager, busy) = full(kind, Overflow::Reject, 1);
        let fits = manager.task(|_, res| res.work()).submit();
        assert!(matches!(manager.queue_task(|_, res| res.work()), Err(TaskError::QueueFull)));
        let refused = manager.task(|_, res| res.work()).priority(Priority::High).submit();
        assert!(refused.is_finished());
        assert!(matches!(refused.wait(), Err(TaskError::QueueFull)));
        let (send, called) = std::sync::mpsc::channel();
        manager.task(|_, _| Ok(())).on_complete(move |outcome| send.send(outcome).unwrap());
        assert!(matches!(called.try_recv().unwrap(), Err(TaskError::QueueFull)));
        busy.release();
        assert!(fits.wait().is_ok());
        let report = manager.stop().unwrap();
        assert_eq!((report.accepted, report.completed, report.dropped), (2, 2, 0), "{report}");
    });
}

// Small print: under `DropOldest` the oldest task of the lowest lane not above the new one is evicted.
#[test]
fn the_oldest_task_of_the_lowest_lane_makes_room() {
    on_every_manager(|kind| {
        let (manager, busy) = full(kind, Overflow::DropOldest, 3);
        let submit = |priority| manager.task(|_, res| res.work()).priority(priority).submit();
        let normal = submit(Priority::Normal);
        let low_1 = submit(Priority::Low);
        let low_2 = submit(Priority::Low);
        let high_1 = submit(Priority::High);
        assert!(low_1.is_finished() && !low_2.is_finished(), "the oldest of the lowest lane");
        let high_2 = submit(Priority::High);
        assert!(low_2.is_finished() && !normal.is_finished());
        let high_3 = submit(Priority::High);
        assert!(normal.is_finished() && !high_1.is_finished());
        let refused = submit(Priority::Normal);
        assert!(refused.is_finished(), "everything that waits is above it");
        for dropped in [low_1, low_2, normal, refused] {
            assert!(matches!(dropped.wait(), Err(TaskError::QueueFull)));
        }
        busy.release();
        for kept in [high_1, high_2, high_3] {
            assert!(kept.wait().is_ok());
        }
        let report = manager.stop().unwrap();
        assert_eq!((report.accepted, report.completed, report.dropped), (7, 4, 3), "{report}");
        assert_adds_up(&report);
    });
}

// Small print: a blocked caller's task can be evicted too.
#[test]
fn a_blocked_caller_can_be_evicted() {
    on_every_manager(|kind| {
        let (manager, busy) = full(kind, Overflow::DropOldest, 1);
        let evicted = run_aside(&manager, HOUR);
        let call = manager.clone();
        let newer = thread::spawn(move || call.queue_task(|_, res| res.work()));
        assert!(matches!(evicted.join().unwrap(), Err(TaskError::QueueFull)));
        busy.release();
        assert!(newer.join().unwrap().is_ok());
        let report = manager.stop().unwrap();
        assert_eq!((report.accepted, report.dropped), (3, 1), "{report}");
    });
}

// Small print: `try_submit` never blocks, and gives the task back.
#[test]
fn trying_to_submit_to_a_full_queue_gives_the_task_back() {
    on_every_manager(|kind| {
        for overflow in [Overflow::Wait, Overflow::Reject] {
            let (manager, busy) = full(kind, overflow, 1);
            let text = String::from("mine");
            let task = move |_: &_, _: &mut Res| Ok::<_, Fault>(text);
            let fits = manager.task(|_, _| Ok(())).try_submit().unwrap();
            let rejected = manager.task_once(task).try_submit().unwrap_err();
            assert_eq!(rejected.reason(), RejectReason::QueueFull);
            busy.release();
            assert!(fits.wait().is_ok());
            let handle = manager.task_once(rejected.into_task()).try_submit().unwrap();
            assert_eq!(handle.wait().unwrap(), "mine");
        }
    });
}

// Small print: `try_submit` evicts under `DropOldest`, which is not blocking either.
#[test]
fn trying_to_submit_evicts_where_that_is_the_rule() {
    on_every_manager(|kind| {
        let (manager, busy) = full(kind, Overflow::DropOldest, 1);
        let oldest = manager.task(|_, _| Ok(())).submit();
        let newest = manager.task(|_, _| Ok(())).try_submit().unwrap();
        assert!(matches!(oldest.wait(), Err(TaskError::QueueFull)));
        let low = manager.task(|_, _| Ok(())).priority(Priority::Low).try_submit();
        assert_eq!(low.unwrap_err().reason(), RejectReason::QueueFull);
        busy.release();
        assert!(newest.wait().is_ok());
    });
}

// Small print (and promise 6): a retry is queued into a full queue, and evicts nobody.
#[test]
fn a_retry_is_outside_the_capacity() {
    on_every_manager(|kind| {
        for overflow in [Overflow::Wait, Overflow::Reject, Overflow::DropOldest] {
            let kit = Kit::new();
            let manager = kind.build(kit.config(1).queue_capacity(1).overflow(overflow));
            let gate = crate::support::Gate::new();
            let wait = gate.clone();
            let sick = manager.task(move |cx, res| {
                wait.wait();
                if cx.attempt() == 1 { Err(Fault::Sick) } else { res.work() }
            });
            let sick = sick.submit();
            gate.await_arrivals(1);
            let queued = manager.task(|_, res| res.work()).submit();
            gate.open();
            assert!(sick.wait().is_ok(), "{overflow:?}");
            assert!(queued.wait().is_ok(), "{overflow:?}");
        }
    });
}

// Small print: retries that wait, for their time or in their lane, fill no places and are not evicted.
#[test]
fn waiting_retries_fill_no_places() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let clock = ManualClock::new();
        let config = kit.config(1).queue_capacity(1).overflow(Overflow::DropOldest);
        let config = config.clock(clock.clone()).retry_backoff(Backoff::fixed(HOUR));
        let manager = kind.build(config);
        kit.sicken_next_uses(1);
        let retried = manager.task(|_, res| res.work()).submit();
        eventually("the retry waits", || manager.stats().delayed_tasks == 1);
        let busy = Busy::with(&manager, 1);
        let queued = manager.task(|_, res| res.work()).submit();
        assert!(!queued.is_finished(), "the delayed retry takes no place");
        clock.advance(HOUR);
        eventually("it waits", || manager.stats().priority_tasks == 1);
        let newer = manager.task(|_, res| res.work()).priority(Priority::High).submit();
        assert!(matches!(queued.wait(), Err(TaskError::QueueFull)), "not the retry");
        busy.release();
        assert!(retried.wait().is_ok());
        assert!(newer.wait().is_ok());
    });
}

// Small print: `run_task` is outside the capacity.
#[test]
fn run_task_does_not_care_for_a_full_queue() {
    on_every_manager(|kind| {
        let (manager, busy) = full(kind, Overflow::Reject, 1);
        let queued = manager.task(|_, res| res.work()).submit();
        let caller = manager.clone();
        let urgent = thread::spawn(move || caller.run_task(|_, res| res.work()));
        if kind == Manager::Local {
            eventually("it waits", || waiting(&manager) == 2); // it goes ahead of every lane
        }
        busy.release();
        assert!(urgent.join().unwrap().is_ok());
        assert!(queued.wait().is_ok());
    });
}

// Small print: a submission that expires while it waits for room was not accepted.
#[test]
fn a_submission_that_expires_outside_was_not_accepted() {
    on_every_manager(|kind| {
        let recorder = crate::support::Recorder::new();
        let clock = ManualClock::new();
        let config = Kit::new().config(1).queue_capacity(1).clock(clock.clone());
        let manager = kind.build(config.observer(recorder.clone()));
        let busy = Busy::with(&manager, 1);
        let queued = manager.task(|_, res| res.work()).submit();
        let submission = submit_aside(&manager, HOUR);
        let call = run_aside(&manager, HOUR);
        clock.advance(HOUR);
        assert!(matches!(submission.join().unwrap(), Err(TaskError::Expired)));
        assert!(matches!(call.join().unwrap(), Err(TaskError::Expired)));
        busy.release();
        assert!(queued.wait().is_ok());
        assert_eq!(manager.metrics().total_tasks_arrived, 2);
        let report = manager.stop().unwrap();
        assert_eq!((report.accepted, report.completed, report.dropped), (2, 2, 0), "{report}");
        assert_eq!(recorder.count(|what| matches!(what, What::TaskQueued { .. })), 2);
        assert_eq!(recorder.count(|what| matches!(what, What::TaskFinished { .. })), 2);
    });
}

// Small print (and promise 10): a stop turns away who waits for room.
#[test]
fn a_submission_that_waits_for_room_is_refused_when_a_stop_begins() {
    on_every_manager(|kind| {
        let (manager, busy) = full(kind, Overflow::Wait, 1);
        let queued = manager.task(|_, res| res.work()).submit();
        let submission = submit_aside(&manager, HOUR);
        let call = run_aside(&manager, HOUR);
        let stop = begin_stop(&manager);
        assert!(matches!(submission.join().unwrap(), Err(TaskError::ShuttingDown)));
        assert!(matches!(call.join().unwrap(), Err(TaskError::ShuttingDown)));
        busy.release();
        assert!(queued.wait().is_ok());
        let report = report_of(stop);
        assert_eq!((report.accepted, report.completed), (2, 2), "{report}");
    });
}

// Small print (and promise 11): so does a kill; only what was accepted is `Killed`.
#[test]
fn a_submission_that_waits_for_room_is_refused_when_a_kill_begins() {
    on_every_manager(|kind| {
        let (manager, busy) = full(kind, Overflow::Wait, 1);
        let queued = manager.task(|_, res| res.work()).submit();
        let submission = submit_aside(&manager, HOUR);
        let call = run_aside(&manager, HOUR);
        let kill = begin_kill(&manager);
        assert!(matches!(submission.join().unwrap(), Err(TaskError::ShuttingDown)));
        assert!(matches!(call.join().unwrap(), Err(TaskError::ShuttingDown)));
        assert!(matches!(queued.wait(), Err(TaskError::Killed)));
        busy.release();
        let report = report_of(kill);
        assert_eq!((report.accepted, report.completed, report.dropped), (2, 1, 1), "{report}");
    });
}
