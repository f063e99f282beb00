//! Promise 8: panics are contained: they reach whoever asked for the task, and cost no worker.

use std::panic::{catch_unwind, panic_any, resume_unwind};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use tasker::testing::{ManualClock, PanicsOnDrop};
use tasker::{BuildError, Config, TaskError, TaskManager};

use crate::support::{
    Broken, Busy, Door, Fault, Kit, LIMIT, Log, Manager, Recorder, Res, What, assert_complete,
    eventually, on_every_door, on_every_manager, within,
};

/// Fails unless `manager` still has its one worker, and that worker a resource.
#[track_caller]
fn assert_alive(manager: &TaskManager<Res, Fault>) {
    assert_eq!(manager.task(|_, _| Ok(7)).submit().wait().unwrap(), 7);
    let stats = manager.stats();
    assert_eq!((stats.active_workers, stats.recovering_workers), (1, 0), "{stats:?}");
    assert_complete(&manager.stop().unwrap());
}

// Promise 8: a panic is not retried, condemns its resource, and carries its message.
#[test]
fn a_panicking_task_is_not_retried_and_its_resource_is_replaced() {
    on_every_door(|kind, door| {
        let (kit, seen) = (Kit::new(), Recorder::new());
        let manager = kind.build(kit.config(1).observer(seen.clone()));
        let ended =
            door.send(&manager, |_, res| -> Result<(), Fault> { panic!("by {}", res.id()) });
        let Err(TaskError::Panicked(panic)) = ended else { panic!("{ended:?}") };
        assert_eq!(panic.message(), "by 1");
        assert_eq!(door.send(&manager, |_, res| Ok(res.id())).unwrap(), 2);
        assert_eq!(seen.count(|what| matches!(what, What::TaskRetried { .. })), 0);
        assert_alive(&manager);
        kit.assert_all_destroyed_once();
    });
}

// Promise 8: `run_task` is no exception, wherever its resource came from.
#[test]
fn a_panicking_run_task_is_contained_and_its_resource_is_replaced() {
    on_every_manager(|kind| {
        for pool in [0, 1] {
            let kit = Kit::new();
            let manager = kind.build(kit.config(1).resource_pool_size(pool));
            eventually("the worker is idle", || manager.stats().idle_workers == 1);
            let before = kit.created();
            let ended = manager.run_task(|_, _| -> Result<(), Fault> { panic!("tea") });
            assert!(matches!(ended, Err(TaskError::Panicked(_))), "{ended:?}");
            kit.wait_until(|counts| counts.created == before + 1 && counts.destroyed == 1);
            assert_alive(&manager);
            kit.assert_all_destroyed_once();
        }
    });
}

// Promise 8: nor is one on a temporary resource.
#[test]
fn a_panicking_run_task_destroys_its_temporary_resource() {
    for kind in [Manager::Lending, Manager::NotLending] {
        within(LIMIT, move || {
            let kit = Kit::new();
            let manager = kind.build(kit.config(1));
            let busy = Busy::with(&manager, 1);
            let ended = manager.run_task(|_, _| -> Result<(), Fault> { panic!("tea") });
            assert!(matches!(ended, Err(TaskError::Panicked(_))), "{ended:?}");
            assert_eq!((kit.created(), kit.destroyed()), (2, 1));
            busy.release();
            assert_alive(&manager);
        });
    }
}

// Promise 8: the caller may let the panic go on where it waits.
#[test]
fn a_panic_can_be_resumed_with_its_payload() {
    on_every_door(|kind, door| {
        let manager = kind.build(Kit::new().config(1));
        let ended = door.send(&manager, |_, _| -> Result<(), Fault> { panic_any(42_u32) });
        let Err(TaskError::Panicked(panic)) = ended else { panic!("{ended:?}") };
        let resumed = catch_unwind(|| resume_unwind(panic.into_payload())).unwrap_err();
        assert_eq!(*resumed.downcast::<u32>().unwrap(), 42);
    });
}

// Promise 8: in `new`, a panic of `on_create` is an error of the building.
#[test]
fn a_panicking_on_create_fails_the_building() {
    on_every_manager(|kind| {
        let pooled = if kind == Manager::Local { 0 } else { 2 };
        for panicking in 1..=2 + pooled {
            let kit = Kit::new();
            kit.panic_create(panicking);
            let failed = kind.try_build(kit.config(2).resource_pool_size(2));
            let Err(BuildError::CreatePanicked(panic)) = failed else {
                panic!("creation {panicking} panicked: {failed:?}");
            };
            assert_eq!(panic.message(), "on_create panics on order");
            kit.assert_all_destroyed_once();
        }
    });
}

// Promise 8: in `run_task`, it is the end of the task that needed the resource.
#[test]
fn a_panicking_on_create_is_the_outcome_of_the_run_task_that_needed_it() {
    for kind in [Manager::Lending, Manager::NotLending] {
        within(LIMIT, move || {
            let kit = Kit::new();
            let manager = kind.build(kit.config(1));
            let busy = Busy::with(&manager, 1);
            kit.panic_next_create();
            let ended = manager.run_task(|_, _| Ok(()));
            let Err(TaskError::Panicked(panic)) = ended else { panic!("{ended:?}") };
            assert_eq!(panic.message(), "on_create panics on order");
            kit.fail_next_creates(1);
            let ended = manager.run_task(|_, _| Ok(()));
            assert!(matches!(ended, Err(TaskError::CreateFailed(Fault::Create))), "{ended:?}");
            manager.run_task(|_, _| Ok(())).unwrap();
            busy.release();
            let report = manager.stop().unwrap();
            assert_eq!((report.accepted, report.completed, report.failed), (4, 2, 2));
            assert_complete(&report);
            kit.assert_all_destroyed_once();
        });
    }
}

// Promise 8: a worker whose `on_create` panics tries again.
#[test]
fn a_panicking_on_create_loses_no_worker() {
    on_every_manager(|kind| {
        let (kit, clock, seen) = (Kit::new(), ManualClock::new(), Recorder::new());
        let config = kit.config(1).clock(clock.clone()).observer(seen.clone());
        let manager = kind.build(config.max_retries(0));
        kit.panic_create(2);
        let sick = manager.task(|_, _| Err::<(), _>(Fault::Sick)).submit();
        assert!(sick.wait().is_err());
        seen.wait_for(1, |what| matches!(what, What::CreateFailed { panicked: true, .. }));
        eventually("the worker is back", || {
            clock.advance(Duration::from_secs(30));
            manager.stats().active_workers == 1
        });
        assert_alive(&manager);
    });
}

// Promise 8: a worker whose `on_destroy` panics goes on with the next resource.
#[test]
fn a_panicking_on_destroy_loses_no_worker() {
    on_every_door(|kind, door| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(1));
        kit.panic_next_destroy();
        let task = |cx: &tasker::TaskContext, res: &mut Res| match cx.attempt() {
            1 => Err(Fault::Sick),
            _ => Ok(res.id()),
        };
        assert_eq!(door.send(&manager, task).unwrap(), 2);
        assert_eq!(kit.destroyed(), 1);
        assert_alive(&manager);
        kit.assert_all_destroyed_once();
    });
}

// Promise 8: a check that panics has not said that the error is unhealthy.
#[test]
fn a_panicking_check_health_counts_as_healthy() {
    on_every_door(|kind, door| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(1).check_health(|_| panic!("no idea")));
        let ended = door.send(&manager, |_, _| Err::<(), _>(Fault::Sick));
        assert!(matches!(ended, Err(TaskError::Failed(Fault::Sick))), "{ended:?}");
        assert_eq!(kit.destroyed(), 0);
        assert_alive(&manager);
    });
}

// Promise 8: nobody waits for a callback, so its panic is logged.
#[test]
fn a_panicking_callback_is_logged_and_loses_no_worker() {
    on_every_manager(|kind| {
        let log = Log::default();
        let manager = kind.build(Kit::new().config(1).logger(log.clone()));
        manager.task(|_, _| Ok(())).on_complete(|_| panic!("called back"));
        assert_alive(&manager);
        manager.task(|_, _| Ok(())).on_complete(|_| panic!("refused")); // on this very thread
        let log = log.0.lock().unwrap();
        for message in ["called back", "refused"] {
            let so = |line: &&String| line.starts_with("error: ") && line.contains(message);
            assert_eq!(log.iter().filter(so).count(), 1, "{message} in {log:?}");
        }
    });
}

// Promise 8: what panics on a thread of the manager is logged, with its message.
#[test]
fn panics_of_the_hooks_are_logged() {
    on_every_manager(|kind| {
        let (kit, log) = (Kit::new(), Log::default());
        let config = kit.config(1).logger(log.clone()).check_health(|_| panic!("no idea"));
        let manager = kind.build(config);
        assert!(manager.queue_task(|_, _| Err::<(), _>(Fault::Own)).is_err());
        kit.panic_next_destroy();
        manager.stop().unwrap();
        let log = log.0.lock().unwrap();
        for (who, message) in [("check_health", "no idea"), ("on_destroy", "on order")] {
            let so = |line: &&String| line.contains(who) && line.contains(message);
            assert_eq!(log.iter().filter(so).count(), 1, "{who} in {log:?}");
        }
    });
}

/// Runs through everything that is logged, measured and observed.
fn exercise(kind: Manager, door: Door, config: Config<Res, Fault>) {
    let manager = kind.build(config);
    assert_eq!(door.send(&manager, |_, _| Ok(1)).unwrap(), 1);
    let retried = door.send(&manager, |cx, _| match cx.attempt() {
        1 => Err(Fault::Sick),
        attempt => Ok(attempt),
    });
    assert_eq!(retried.unwrap(), 2);
    let ended = door.send(&manager, |_, _| Err::<(), _>(Fault::Own));
    assert!(matches!(ended, Err(TaskError::Failed(Fault::Own))), "{ended:?}");
    let ended = door.send(&manager, |_, _| -> Result<(), Fault> { panic!("tea") });
    assert!(matches!(ended, Err(TaskError::Panicked(_))), "{ended:?}");
    assert_eq!(manager.run_task(|_, _| Ok(3)).unwrap(), 3);
    let _ = manager.metrics();
    assert_alive(&manager);
}

// Promise 8: a logger decides nothing, not even by panicking.
#[test]
fn a_panicking_logger_changes_nothing() {
    on_every_door(|kind, door| exercise(kind, door, Kit::new().config(1).logger(Broken)));
}

// Promise 8: a collector decides nothing, not even by panicking.
#[test]
fn a_panicking_collector_changes_nothing() {
    on_every_door(|kind, door| exercise(kind, door, Kit::new().config(1).collector(Broken)));
}

// Promise 8: an observer decides nothing, not even by panicking; the others hear everything.
#[test]
fn a_panicking_observer_changes_nothing() {
    on_every_door(|kind, door| {
        let seen = Recorder::new();
        exercise(kind, door, Kit::new().config(1).observer(Broken).observer(seen.clone()));
        assert_eq!(seen.count(|what| matches!(what, What::TaskFinished { .. })), 6);
    });
}

// Promise 8: all of them at once.
#[test]
fn panicking_watchers_of_every_kind_change_nothing() {
    on_every_door(|kind, door| {
        let config = Kit::new().config(1).logger(Broken).collector(Broken).observer(Broken);
        exercise(kind, door, config);
    });
}

// Promise 8: a closure whose captures panic in their drop ends with what it returned.
#[test]
fn a_closure_whose_drop_panics_still_has_its_outcome() {
    on_every_door(|kind, door| {
        let manager = kind.build(Kit::new().config(1));
        let mine = PanicsOnDrop;
        let ended = door.send(&manager, move |_, _| {
            let _ = &mine;
            Ok(7)
        });
        assert_eq!(ended.unwrap(), 7);
        assert_alive(&manager);
    });
}

// Promise 8: so does one that could run again, and has only one attempt since it is urgent.
#[test]
fn an_urgent_closure_whose_drop_panics_still_has_its_outcome() {
    on_every_manager(|kind| {
        let manager = kind.build(Kit::new().config(1));
        let mine = PanicsOnDrop;
        let task = manager.task(move |_, _| {
            let _ = &mine;
            Ok(7)
        });
        assert_eq!(task.run_now().unwrap(), 7);
        assert_alive(&manager);
    });
}

// Promise 8: a value that nobody wants may panic in its drop.
#[test]
fn a_value_whose_drop_panics_loses_no_worker() {
    on_every_manager(|kind| {
        let manager = kind.build(Kit::new().config(1));
        let busy = Busy::with(&manager, 1);
        drop(manager.task(|_, _| Ok(PanicsOnDrop)).submit());
        drop(manager.task_once(|_, _| -> Result<(), Fault> { panic_any(PanicsOnDrop) }).submit());
        busy.release();
        assert_alive(&manager);
    });
}

// Promise 8: an error may panic in its drop, on every path on which the manager drops it.
#[test]
fn an_error_whose_drop_panics_loses_no_worker() {
    within(LIMIT, || {
        let (kit, seen) = (Kit::new(), Recorder::new());
        let clock = ManualClock::new();
        let (made, gone) = (kit.clone(), kit.clone());
        let config =
            Config::<Res, PanicsOnDrop>::new(move || made.create().map_err(|_| PanicsOnDrop))
                .on_destroy(move |res| {
                    let _ = gone.destroy(res);
                    Err(PanicsOnDrop)
                })
                .check_health(|_| false)
                .worker_count(1)
                .max_worker_count(1)
                .resource_pool_size(0)
                .clock(clock.clone())
                .observer(seen.clone());
        let manager = TaskManager::new(config).unwrap();
        kit.fail_create(2);
        let retried =
            manager.task(|cx, _| if cx.attempt() == 1 { Err(PanicsOnDrop) } else { Ok(7) });
        let retried = retried.submit();
        seen.wait_for(1, |what| matches!(what, What::CreateFailed { .. }));
        eventually("the worker is back", || {
            clock.advance(Duration::from_secs(30));
            manager.stats().active_workers == 1
        });
        assert_eq!(retried.wait().map_err(|_| "failed").unwrap(), 7);
        let report = manager.stop().unwrap();
        assert_complete(&report);
        assert_eq!((report.resources_created, report.destroy_errors), (2, 2));
    });
}

// Promise 8: whoever waits as a future may have a waker that panics.
#[test]
fn a_panicking_waker_loses_no_worker() {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Wake, Waker};

    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("a waker");
        }
    }
    on_every_manager(|kind| {
        let manager = kind.build(Kit::new().config(1));
        let busy = Busy::with(&manager, 1);
        let mut handle = pin!(manager.task(|_, _| Ok(7)).submit());
        let waker = Waker::from(Arc::new(Panics));
        assert!(handle.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        busy.release();
        eventually("the task is over", || handle.is_finished());
        assert_alive(&manager);
        assert!(handle.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    });
}

// Promise 8: many panics, one after the other, on the threads that are still there.
#[test]
fn a_crowd_of_panics_loses_no_worker() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(2));
        let (send, ended) = channel();
        for _ in 0..50 {
            let send = send.clone();
            let task = manager.task(|_, _| -> Result<(), Fault> { panic!("one of a crowd") });
            task.on_complete(move |outcome| {
                send.send(matches!(outcome, Err(TaskError::Panicked(_)))).unwrap();
                panic!("and its callback");
            });
        }
        for _ in 0..50 {
            assert!(ended.recv_timeout(LIMIT).unwrap());
        }
        eventually("both workers are back", || manager.stats().idle_workers == 2);
        let report = manager.stop().unwrap();
        assert_eq!((report.failed, report.resources_created), (50, 52));
        assert_complete(&report);
        kit.assert_all_destroyed_once();
    });
}
