//! The report of a shutdown: what became of everything, and what is still under way.

use std::thread;
use std::time::Duration;

use tasker::testing::ManualClock;
use tasker::{Outcome, Overflow, Phase, TaskError};

use crate::support::{
    Busy, Fault, Gate, Kit, LIMIT, Manager, Recorder, What, assert_adds_up, assert_complete,
    begin_stop, eventually, on_every_manager, report_of, within,
};

const HOUR: Duration = Duration::from_secs(3600);
/// Long enough for a shutdown that has nothing to wait for, and short enough to be waited for.
const SHORT: Duration = Duration::from_millis(50);

// Small print: every way for a task to end has its number in the report, and they add up.
#[test]
fn the_report_adds_up_over_every_way_to_end() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let clock = ManualClock::new();
        let recorder = Recorder::new();
        let config = kit.config(1).clock(clock.clone()).max_retries(1).queue_capacity(5);
        let config = config.overflow(Overflow::DropOldest).observer(recorder.clone());
        let manager = kind.build(config);
        manager.queue_task(|_, _| Ok(())).unwrap(); // completed
        assert!(manager.queue_task(|_, _| Err::<(), _>(Fault::Own)).is_err()); // failed: Failed
        assert!(manager.queue_task(|_, _| Err::<(), _>(Fault::Sick)).is_err()); // RetriesExhausted
        assert!(manager.queue_task(|_, _| -> Result<(), _> { panic!("on purpose") }).is_err());
        let moved = clock.clone();
        let late = manager.task(move |cx, _| -> Result<(), _> {
            moved.advance(HOUR);
            cx.token().wait();
            Err(Fault::Own)
        });
        assert!(matches!(late.timeout(HOUR).run(), Err(TaskError::TimedOut))); // failed
        let stubborn = manager.task(|cx, _| -> Result<(), _> {
            cx.token().wait();
            Err(Fault::Own)
        });
        let stubborn = stubborn.submit();
        eventually("the task runs", || manager.stats().running_tasks == 1);
        stubborn.cancel(); // cancelled
        assert!(matches!(stubborn.wait(), Err(TaskError::Cancelled)));
        let busy = Busy::with(&manager, 1); // completed
        let queue = || manager.task(|_, _| Ok(()));
        let evicted = queue().submit();
        let cancelled = queue().submit();
        let expired = queue().start_within(HOUR).submit();
        let killed = [queue().submit(), queue().submit(), queue().submit()];
        assert!(matches!(evicted.wait(), Err(TaskError::QueueFull))); // dropped
        cancelled.cancel();
        clock.advance(HOUR);
        assert!(matches!(expired.wait(), Err(TaskError::Expired))); // dropped
        let stop = begin_stop(&manager);
        assert!(manager.queue_task(|_, _| Ok(())).is_err()); // not accepted
        let killer = manager.clone();
        let kill = thread::spawn(move || killer.kill());
        for task in killed {
            assert!(matches!(task.wait(), Err(TaskError::Killed))); // dropped
        }
        busy.release();
        let report = report_of(stop);
        assert_complete(&report);
        assert_complete(&report_of(kill));
        let numbers = (report.completed, report.failed, report.cancelled, report.dropped);
        assert_eq!(numbers, (2, 4, 2, 5), "{report}");
        // Observers have seen the same.
        let ended = |of: &[Outcome]| {
            recorder.count(|what| match what {
                What::TaskFinished { outcome, .. } => of.contains(outcome),
                _ => false,
            })
        };
        assert_eq!(ended(&[Outcome::Completed]), 2);
        assert_eq!(ended(&[Outcome::Failed, Outcome::RetriesExhausted]), 2);
        assert_eq!(ended(&[Outcome::Panicked, Outcome::TimedOut]), 2);
        assert_eq!(ended(&[Outcome::Cancelled]), 2);
        assert_eq!(ended(&[Outcome::QueueFull, Outcome::Expired, Outcome::Killed]), 5);
        assert_eq!(recorder.count(|what| matches!(what, What::TaskQueued { .. })), 13);
        kit.assert_all_destroyed_once();
    });
}

// Small print: `run_task` counts like any task.
#[test]
fn the_report_counts_run_task_like_any_task() {
    on_every_manager(|kind| {
        let manager = kind.build(Kit::new().config(1).resource_pool_size(1));
        manager.run_task(|_, _| Ok(())).unwrap();
        assert!(manager.run_task(|_, _| Err::<(), _>(Fault::Own)).is_err());
        let report = manager.stop().unwrap();
        assert_complete(&report);
        assert_eq!((report.accepted, report.completed, report.failed), (2, 1, 1), "{report}");
    });
}

// Promise 3: an `on_destroy` that fails or panics has destroyed its resource, and is counted.
#[test]
fn the_report_counts_destructions_that_failed() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(3));
        kit.fail_next_destroys(2);
        kit.panic_next_destroy();
        let report = manager.stop().unwrap();
        assert_complete(&report);
        assert_eq!((report.resources_destroyed, report.destroy_errors), (3, 3), "{report}");
        kit.assert_all_destroyed_once();
    });
}

// Small print: `took` is the manager's own time from the beginning of the shutdown to its end.
#[test]
fn the_report_says_how_long_the_shutdown_took() {
    on_every_manager(|kind| {
        let clock = ManualClock::new();
        let manager = kind.build(Kit::new().config(1).clock(clock.clone()));
        let busy = Busy::with(&manager, 1);
        let stop = begin_stop(&manager);
        clock.advance(HOUR);
        busy.release();
        assert_eq!(report_of(stop).took, HOUR);
    });
}

// Small print: a bounded stop that ends in time is a graceful one.
#[test]
fn a_stop_within_its_limit_is_graceful() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(1));
        let handles: Vec<_> =
            (0..50).map(|_| manager.task(|cx, _| Ok(cx.is_cancelled())).submit()).collect();
        let report = manager.stop_within(LIMIT).unwrap();
        assert_complete(&report);
        assert_eq!((report.completed, manager.phase()), (50, Phase::Stopped), "{report}");
        assert!(handles.into_iter().all(|handle| !handle.wait().unwrap()));
        kit.assert_all_destroyed_once();
    });
}

// Small print: at the limit of `stop_within` contexts are cancelled, and what was queued is `Killed`.
#[test]
fn a_stop_beyond_its_limit_goes_on_as_a_kill() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(1));
        let running = manager.task_once(|cx, _| -> Result<(), _> {
            cx.token().wait();
            Err(Fault::Own)
        });
        let running = running.submit();
        eventually("the task runs", || manager.stats().running_tasks == 1);
        let queued = manager.task(|_, _| Ok(())).submit();
        let report = manager.stop_within(SHORT).unwrap();
        assert!(matches!(running.wait(), Err(TaskError::Cancelled)));
        assert!(matches!(queued.wait(), Err(TaskError::Killed)));
        assert_adds_up(&report);
        assert_eq!(report.accepted, 2);
        assert_eq!(manager.phase(), Phase::Killed);
        kit.wait_until(|counts| counts.live == 0); // at once, whether or not within the grace
        kit.assert_all_destroyed_once();
    });
}

// Small print: code that does not return is a straggler, and holds its resource; the rest is destroyed.
#[test]
fn a_bounded_shutdown_reports_stragglers_and_what_they_hold() {
    on_every_manager(|kind| {
        for kills in [false, true] {
            let kit = Kit::new();
            let clock = ManualClock::new();
            let manager = kind.build(kit.config(3).clock(clock.clone()));
            let gate = Gate::new();
            let wait = gate.clone();
            let stubborn = manager.task_once(move |_, _| {
                wait.wait();
                Ok("returned at last")
            });
            let stubborn = stubborn.name("stubborn").submit();
            gate.await_arrivals(1);
            clock.advance(HOUR);
            let report = match kills {
                false => manager.stop_within(SHORT),
                true => manager.kill_within(SHORT),
            };
            let report = report.unwrap();
            assert_adds_up(&report);
            let [straggler] = &report.stragglers[..] else { panic!("{report:?}") };
            assert_eq!(straggler.id, stubborn.id());
            assert_eq!(straggler.name.as_deref(), Some("stubborn"));
            assert_eq!(straggler.running_for, HOUR);
            // How many of the others are destroyed by now depends on the machine; all of them will be.
            assert!(report.resources_created == 3 && report.resources_destroyed <= 2, "{report}");
            kit.wait_until(|counts| counts.destroyed == 2);
            gate.open();
            assert_eq!(stubborn.wait().unwrap(), "returned at last");
            kit.wait_until(|counts| counts.live == 0);
            kit.assert_all_destroyed_once();
        }
    });
}

// Small print: a blocked caller's task can be a straggler too.
#[test]
fn a_blocked_callers_task_can_be_a_straggler() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(2));
        let gate = Gate::new();
        let (caller, wait) = (manager.clone(), gate.clone());
        let blocked = thread::spawn(move || {
            caller.queue_task(|_, _| {
                wait.wait();
                Ok(())
            })
        });
        gate.await_arrivals(1);
        let report = manager.kill_within(SHORT).unwrap();
        assert_adds_up(&report);
        assert_eq!((report.accepted, report.stragglers.len()), (1, 1), "{report:?}");
        assert!(report.resources_created == 2 && report.resources_destroyed <= 1, "{report}");
        kit.wait_until(|counts| counts.destroyed == 1);
        gate.open();
        assert!(blocked.join().unwrap().is_ok());
        kit.wait_until(|counts| counts.live == 0);
        kit.assert_all_destroyed_once();
    });
}

// Small print: a `run_task` can be a straggler; only the one resource that it holds is left over, and
// the rest of the pool is destroyed without waiting for it.
#[test]
fn a_straggling_run_task_holds_no_more_than_its_own_resource() {
    within(LIMIT, || {
        for kind in [Manager::Lending, Manager::NotLending] {
            let kit = Kit::new();
            let manager = kind.build(kit.config(1).resource_pool_size(3));
            let gate = Gate::new();
            let (caller, wait) = (manager.clone(), gate.clone());
            let urgent = thread::spawn(move || {
                caller.run_task(|_, _| {
                    wait.wait();
                    Ok(())
                })
            });
            gate.await_arrivals(1);
            let report = manager.kill_within(SHORT).unwrap();
            assert_adds_up(&report);
            assert_eq!(report.stragglers.len(), 1, "{report:?}");
            assert!(report.resources_created == 4 && report.resources_destroyed <= 3, "{report}");
            kit.wait_until(|counts| counts.destroyed == 3); // although it has not returned
            gate.open();
            assert!(urgent.join().unwrap().is_ok());
            kit.wait_until(|counts| counts.live == 0);
            kit.assert_all_destroyed_once();
        }
    });
}

// Small print: a resource that is still in `on_destroy` counts with the stragglers'.
#[test]
fn a_resource_that_is_still_being_destroyed_is_not_counted_as_destroyed() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(2));
        let gate = Gate::new();
        kit.block_destroys(&gate);
        let report = manager.kill_within(SHORT).unwrap();
        assert_adds_up(&report);
        assert_eq!((report.resources_created, report.resources_destroyed), (2, 0), "{report}");
        assert_eq!(report.stragglers.len(), 0, "{report:?}");
        gate.open();
        kit.wait_until(|counts| counts.live == 0);
        kit.assert_all_destroyed_once();
    });
}

// Promise 11 and small print: a bounded kill takes over from an unbounded stop, which waits on.
#[test]
fn a_bounded_kill_does_not_end_the_wait_of_the_stop_it_takes_over() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(1));
        let busy = Busy::with(&manager, 1);
        let stop = begin_stop(&manager);
        let killed = manager.kill_within(SHORT).unwrap();
        assert_eq!(killed.stragglers.len(), 1, "{killed:?}");
        assert!(!stop.is_finished());
        busy.release();
        let stopped = report_of(stop);
        assert_complete(&stopped);
        assert_eq!(stopped.completed, 1, "{stopped}");
        kit.assert_all_destroyed_once();
    });
}

// Small print: a report reads as a sentence.
#[test]
fn a_report_can_be_read() {
    within(LIMIT, || {
        let clock = ManualClock::new();
        let manager = Manager::Lending.build(Kit::new().config(1).clock(clock));
        manager.queue_task(|_, _| Ok(())).unwrap();
        let text = manager.stop().unwrap().to_string();
        assert!(text.starts_with("1 accepted: 1 completed, 0 failed, 0 cancelled, 0 dropped"));
        assert!(text.contains("resources: 1 created, 1 destroyed (0 with errors)"), "{text}");
    });
}
