//! Promise 5: once means once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tasker::TaskError;

use crate::support::{
    Busy, Door, Fault, Kit, LIMIT, Manager, Recorder, What, assert_complete, eventually,
    on_every_door, on_every_manager, within,
};

// Promise 5: an unhealthy error is no reason for a second attempt; the resource is replaced all the same.
#[test]
fn a_once_task_with_an_unhealthy_error_fails_after_one_attempt() {
    on_every_door(|kind, door| {
        let (kit, seen) = (Kit::new(), Recorder::new());
        let manager = kind.build(kit.config(1).max_retries(5).observer(seen.clone()));
        let ended = door.send_once(&manager, |_, _| Err::<(), _>(Fault::Sick));
        assert!(matches!(ended, Err(TaskError::Failed(Fault::Sick))), "{ended:?}");
        assert_eq!(door.send_once(&manager, |_, res| Ok(res.id())).unwrap(), 2);
        manager.stop().unwrap();
        assert_eq!(seen.count(|what| matches!(what, What::TaskStarted { .. })), 2);
        assert_eq!(seen.count(|what| matches!(what, What::TaskRetried { .. })), 0);
    });
}

// Promise 5: by type: the closure may give away what it has captured.
#[test]
fn a_once_task_may_consume_what_it_captured() {
    on_every_door(|kind, door| {
        let manager = kind.build(Kit::new().config(1));
        let text = String::from("given away");
        assert_eq!(door.send_once(&manager, move |_, _| Ok(text)).unwrap(), "given away");
    });
}

// Promise 5: `run_task` and `run_now` have one attempt, also where the closure could run again.
#[test]
fn an_urgent_task_with_an_unhealthy_error_fails_after_one_attempt() {
    on_every_manager(|kind| {
        for pool in [0, 1] {
            let (kit, seen) = (Kit::new(), Recorder::new());
            let config = kit.config(1).max_retries(5).resource_pool_size(pool);
            let manager = kind.build(config.observer(seen.clone()));
            eventually("the worker is idle", || manager.stats().idle_workers == 1);
            let before = kit.created();
            let ended = manager.task(|_, _| Err::<(), _>(Fault::Sick)).run_now();
            assert!(matches!(ended, Err(TaskError::Failed(Fault::Sick))), "{ended:?}");
            kit.wait_until(|counts| counts.created == before + 1 && counts.destroyed == 1);
            assert_complete(&manager.stop().unwrap());
            assert_eq!(seen.count(|what| matches!(what, What::TaskStarted { .. })), 1);
            assert_eq!(seen.count(|what| matches!(what, What::TaskRetried { .. })), 0);
        }
    });
}

// Promise 5: the same on a temporary resource, which is gone in any case.
#[test]
fn an_urgent_task_on_a_temporary_resource_has_one_attempt() {
    for kind in [Manager::Lending, Manager::NotLending] {
        within(LIMIT, move || {
            let kit = Kit::new();
            let manager = kind.build(kit.config(1).max_retries(5));
            let busy = Busy::with(&manager, 1);
            let mut attempts = 0;
            let task = manager.task(|_, _| {
                attempts += 1;
                Err::<(), _>(Fault::Sick)
            });
            let ended = task.run_now();
            assert!(matches!(ended, Err(TaskError::Failed(Fault::Sick))), "{ended:?}");
            assert_eq!((attempts, kit.created(), kit.destroyed()), (1, 2, 1));
            busy.release();
        });
    }
}

// Promise 5: once, or not at all: what is killed in its lane is dropped without having run.
#[test]
fn a_once_task_that_is_killed_in_its_lane_is_dropped_unrun() {
    on_every_door(|kind, door| {
        struct Noted(Arc<AtomicUsize>);
        impl Drop for Noted {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let (ran, dropped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let manager = kind.build(Kit::new().config(1));
        let busy = Busy::with(&manager, 1);
        let (noted, runs) = (Noted(Arc::clone(&dropped)), Arc::clone(&ran));
        thread::scope(|scope| {
            let manager = &manager;
            let task = scope.spawn(move || {
                door.send_once(manager, move |_, _| {
                    let _noted = noted;
                    runs.fetch_add(1, Ordering::SeqCst);
                    Ok(())
                })
            });
            eventually("the task waits", || manager.stats().queued_tasks == 1);
            let kill = scope.spawn(|| manager.kill().unwrap());
            let ended = task.join().unwrap();
            assert!(matches!(ended, Err(TaskError::Killed)), "{ended:?}");
            assert_eq!((ran.load(Ordering::SeqCst), dropped.load(Ordering::SeqCst)), (0, 1));
            busy.release();
            kill.join().unwrap();
        });
    });
}

// Promise 5: in a crowd, on resources that fall sick.
#[test]
fn no_once_task_of_a_crowd_runs_twice() {
    on_every_manager(|kind| {
        let manager = kind.build(Kit::new().config(3));
        thread::scope(|scope| {
            for caller in 0..4 {
                let manager = &manager;
                scope.spawn(move || {
                    for n in 0..50 {
                        let runs = Arc::new(AtomicUsize::new(0));
                        let counter = Arc::clone(&runs);
                        let door = Door::ALL[(caller + n) % 4];
                        let _ = door.send_once(manager, move |_, _| {
                            counter.fetch_add(1, Ordering::SeqCst);
                            if n % 5 == 0 { Err(Fault::Sick) } else { Ok(()) }
                        });
                        assert_eq!(runs.load(Ordering::SeqCst), 1);
                    }
                });
            }
        });
        assert_complete(&manager.stop().unwrap());
    });
}
