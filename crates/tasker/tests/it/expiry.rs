//! `start_within`: a task that has not begun in time never does.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tasker::testing::ManualClock;
use tasker::{Backoff, Outcome, TaskError};

use crate::support::{
    Busy, Kit, LIMIT, Manager, Recorder, What, assert_adds_up, eventually, on_every_manager, within,
};

const HOUR: Duration = Duration::from_secs(3600);

// Small print: the timekeeper ends a queued task whose time has passed, although no worker is free.
#[test]
fn a_queued_task_expires_when_its_time_has_passed() {
    on_every_manager(|kind| {
        let clock = ManualClock::new();
        let recorder = Recorder::new();
        let config = Kit::new().config(1).clock(clock.clone()).observer(recorder.clone());
        let manager = kind.build(config);
        let busy = Busy::with(&manager, 1);
        let held = Arc::new(());
        let inside = Arc::clone(&held);
        let queued = manager.task(move |_, _| -> Result<(), _> {
            panic!("{inside:?} runs although it has expired");
        });
        let queued = queued.start_within(HOUR).submit();
        let patient = manager.task(|_, res| res.work()).start_within(3 * HOUR).submit();
        let caller = manager.clone();
        let blocked = thread::spawn(move || caller.task(|_, _| Ok(())).start_within(HOUR).run());
        eventually("it waits", || manager.stats().queued_tasks == 3);
        clock.advance(HOUR - Duration::from_nanos(1));
        assert!(!queued.is_finished());
        clock.advance(Duration::from_nanos(1));
        assert!(matches!(queued.wait(), Err(TaskError::Expired)));
        assert!(matches!(blocked.join().unwrap(), Err(TaskError::Expired)));
        assert_eq!(Arc::strong_count(&held), 1, "the closure is gone");
        busy.release();
        assert!(patient.wait().is_ok());
        let report = manager.stop().unwrap();
        assert_eq!((report.accepted, report.completed, report.dropped), (4, 2, 2), "{report}");
        assert_adds_up(&report);
        let expired = |what: &What| {
            matches!(what, What::TaskFinished { outcome: Outcome::Expired, times: None, .. })
        };
        assert_eq!(recorder.count(expired), 2);
    });
}

// Small print: it is judged also when the task would start, so that a late worker runs nothing stale.
#[test]
fn a_task_is_judged_when_it_would_start() {
    on_every_manager(|kind| {
        let clock = ManualClock::new();
        let manager = kind.build(Kit::new().config(1).clock(clock.clone()));
        for _ in 0..50 {
            let moved = clock.clone();
            let gate = crate::support::Gate::new();
            let wait = gate.clone();
            // The worker itself moves the clock: it is free before the timekeeper has woken.
            let running = manager.task_once(move |_, _| {
                wait.wait();
                moved.advance(2 * HOUR);
                Ok(())
            });
            let running = running.submit();
            gate.await_arrivals(1);
            let stale = manager.task(|_, _| Ok("ran")).start_within(HOUR).submit();
            let caller = manager.clone();
            let blocked =
                thread::spawn(move || caller.task(|_, _| Ok("ran")).start_within(HOUR).run());
            eventually("it waits", || manager.stats().queued_tasks == 2);
            gate.open();
            assert!(matches!(stale.wait(), Err(TaskError::Expired)));
            assert!(matches!(blocked.join().unwrap(), Err(TaskError::Expired)));
            assert!(running.wait().is_ok());
        }
    });
}

// Small print: that moment is when it starts, not when the task before it ended: a callback may lie between.
#[test]
fn a_task_is_judged_after_the_callback_of_the_one_before_it() {
    on_every_manager(|kind| {
        let clock = ManualClock::new();
        let manager = kind.build(Kit::new().config(1).clock(clock.clone()));
        for _ in 0..50 {
            let busy = Busy::with(&manager, 1);
            let moved = clock.clone();
            manager.task(|_, _| Ok(())).on_complete(move |_| moved.advance(2 * HOUR));
            let stale = manager.task(|_, _| Ok("ran")).start_within(HOUR).submit();
            busy.release();
            let outcome = stale.wait();
            assert!(matches!(outcome, Err(TaskError::Expired)), "{outcome:?}");
        }
    });
}

// Small print: a task that begins in time may take as long as it wants.
#[test]
fn a_task_that_has_begun_does_not_expire() {
    on_every_manager(|kind| {
        let clock = ManualClock::new();
        let manager = kind.build(Kit::new().config(1).clock(clock.clone()));
        let advance = move |cx: &tasker::TaskContext, _: &mut _| {
            clock.advance(2 * HOUR);
            Ok(cx.is_cancelled())
        };
        let submitted = manager.task(advance.clone()).start_within(HOUR).submit();
        assert!(!submitted.wait().unwrap());
        assert!(!manager.task(advance.clone()).start_within(HOUR).run().unwrap());
        assert!(!manager.task(advance).start_within(HOUR).run_now().unwrap());
    });
}

// Small print: `start_within` is about the first start; a retry has begun already.
#[test]
fn a_retry_does_not_expire() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let clock = ManualClock::new();
        let config = kit.config(1).clock(clock.clone()).retry_backoff(Backoff::fixed(5 * HOUR));
        let manager = kind.build(config);
        kit.sicken_next_uses(2);
        let submitted = manager.task(|_, res| res.work()).start_within(HOUR).submit();
        let caller = manager.clone();
        let blocked =
            thread::spawn(move || caller.task(|_, res| res.work()).start_within(HOUR).run());
        eventually("the retry waits", || manager.stats().delayed_tasks == 2);
        let busy = Busy::with(&manager, 1);
        clock.advance(5 * HOUR);
        eventually("it waits", || manager.stats().priority_tasks == 2);
        clock.advance(5 * HOUR);
        busy.release();
        assert!(submitted.wait().is_ok());
        assert!(blocked.join().unwrap().is_ok());
    });
}

// Small print: a limit of nothing still lets a task begin where somebody is free, or ends it; it never hangs.
#[test]
fn a_task_that_may_not_wait_at_all_begins_at_once_or_expires() {
    on_every_manager(|kind| {
        let manager = kind.build(Kit::new().config(1).clock(ManualClock::new()));
        let submitted = manager.task(|_, _| Ok(())).start_within(Duration::ZERO).submit().wait();
        assert!(matches!(submitted, Ok(()) | Err(TaskError::Expired)), "{submitted:?}");
        let blocking = manager.task(|_, _| Ok(())).start_within(Duration::ZERO).run();
        assert!(matches!(blocking, Ok(()) | Err(TaskError::Expired)), "{blocking:?}");
        let busy = Busy::with(&manager, 1);
        let queued = manager.task(|_, _| Ok(())).start_within(Duration::ZERO).submit();
        assert!(matches!(queued.wait(), Err(TaskError::Expired)));
        busy.release();
        assert_adds_up(&manager.stop().unwrap());
    });
}

// Small print: a limit beyond the end of time is none.
#[test]
fn a_limit_beyond_the_end_of_time_is_none() {
    on_every_manager(|kind| {
        let manager = kind.build(Kit::new().config(1));
        let task = || manager.task(|_, res| res.work());
        assert!(task().start_within(Duration::MAX).timeout(Duration::MAX).submit().wait().is_ok());
        assert!(task().start_within(Duration::MAX).timeout(Duration::MAX).run().is_ok());
        assert!(task().start_within(Duration::MAX).timeout(Duration::MAX).run_now().is_ok());
    });
}

// Small print: a local manager's `run_task` waits ahead of every lane, and can expire there.
#[test]
fn an_urgent_task_of_a_local_manager_can_expire() {
    within(LIMIT, || {
        let clock = ManualClock::new();
        let manager = Manager::Local.build(Kit::new().config(1).clock(clock.clone()));
        let busy = Busy::with(&manager, 1);
        let caller = manager.clone();
        let urgent = thread::spawn(move || caller.task(|_, _| Ok(())).start_within(HOUR).run_now());
        eventually("it waits", || manager.stats().queued_tasks == 1);
        clock.advance(HOUR);
        assert!(matches!(urgent.join().unwrap(), Err(TaskError::Expired)));
        busy.release();
        assert_eq!(manager.stop().unwrap().dropped, 1);
    });
}
