//! `run_task`: runs now, with a pooled resource, an idle worker's, or one that is made for it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tasker::testing::ManualClock;
use tasker::{DestroyReason, Owner, TaskError};

use crate::support::{
    Busy, Fault, Gate, Kit, LIMIT, Manager, Recorder, What, eventually, on_every_manager, within,
};

fn destroyed(owner: Owner, reason: DestroyReason) -> impl Fn(&What) -> bool {
    move |what| match what {
        What::ResourceDestroyed { owner: of, reason: why, .. } => (*of, *why) == (owner, reason),
        _ => false,
    }
}

// Small print: a pooled resource comes first, and goes back to the pool.
#[test]
fn run_task_takes_a_pooled_resource_first_and_gives_it_back() {
    within(LIMIT, || {
        for kind in [Manager::Lending, Manager::NotLending] {
            let kit = Kit::new();
            let manager = kind.build(kit.config(1).resource_pool_size(1));
            let workers = manager.queue_task(|_, res| res.work()).unwrap();
            let me = thread::current().id();
            let pooled = manager.run_task(|_, res| {
                assert_eq!(thread::current().id(), me);
                assert_eq!(manager.stats().available_resources, 0);
                res.work()
            });
            let pooled = pooled.unwrap();
            assert_ne!(pooled, workers);
            assert_eq!(manager.stats().available_resources, 1);
            assert_eq!(manager.run_task(|_, res| res.work()).unwrap(), pooled);
            assert_eq!(kit.created(), 2);
        }
    });
}

// Small print: without a pool an idle worker's resource serves; nothing is made.
#[test]
fn run_task_uses_an_idle_workers_resource_when_the_pool_is_empty() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(1));
        eventually("the worker is idle", || manager.stats().idle_workers == 1);
        let me = thread::current().id();
        let ran_here = manager.run_task(|_, res| {
            res.work()?;
            Ok((thread::current().id() == me, res.is_at_home()))
        });
        let lends = kind == Manager::Lending;
        assert_eq!(ran_here.unwrap(), (lends, !lends));
        assert_eq!(kit.created(), 1);
    });
}

// Small print (and promise 2): otherwise a temporary one is made, used, and destroyed.
#[test]
fn run_task_makes_a_temporary_resource_when_nobody_is_free() {
    within(LIMIT, || {
        for kind in [Manager::Lending, Manager::NotLending] {
            let kit = Kit::new();
            let recorder = Recorder::new();
            let manager = kind.build(kit.config(1).observer(recorder.clone()));
            let busy = Busy::with(&manager, 1);
            assert_eq!(manager.run_task(|_, res| res.work()).unwrap(), 2);
            assert_eq!((kit.created(), kit.destroyed()), (2, 1), "destroyed when it returns");
            assert_eq!(recorder.count(destroyed(Owner::Temporary, DestroyReason::Idle)), 1);
            assert_eq!(
                manager.run_task(|_, _| Err::<(), _>(Fault::Sick)).unwrap_err().inner(),
                Some(&Fault::Sick)
            );
            assert_eq!(recorder.count(destroyed(Owner::Temporary, DestroyReason::Unhealthy)), 1);
            assert!(manager.run_task(|_, _| -> Result<(), _> { panic!("on purpose") }).is_err());
            assert_eq!(recorder.count(destroyed(Owner::Temporary, DestroyReason::Panicked)), 1);
            busy.release();
            let report = manager.stop().unwrap();
            assert_eq!((report.accepted, report.completed, report.failed), (4, 2, 2), "{report}");
            kit.assert_all_destroyed_once();
        }
    });
}

// Small print: a local manager's `run_task` runs on a worker, ahead of every lane.
#[test]
fn run_task_goes_ahead_of_every_lane_in_a_local_manager() {
    within(LIMIT, || {
        let kit = Kit::new();
        let manager = Manager::Local.build(kit.config(1).resource_pool_size(3));
        let busy = Busy::with(&manager, 1);
        let order = AtomicU64::new(0);
        let next = || order.fetch_add(1, Ordering::SeqCst);
        thread::scope(|scope| {
            let high = scope.spawn(|| manager.queue_task_with_priority(|_, _| Ok(next())).unwrap());
            eventually("it waits", || manager.stats().priority_tasks == 1);
            let urgent = scope.spawn(|| manager.run_task(|_, _| Ok(next())).unwrap());
            eventually("it waits", || manager.stats().queued_tasks == 1);
            busy.release();
            assert_eq!((urgent.join().unwrap(), high.join().unwrap()), (0, 1));
        });
        assert_eq!(kit.created(), 1, "there is no pool");
    });
}

// Promise 6: `run_task` has one attempt; its unhealthy error is `Failed`, and health is obeyed.
#[test]
fn run_task_has_one_attempt_and_its_sick_resource_is_replaced() {
    on_every_manager(|kind| {
        for pool in [0, 1] {
            let kit = Kit::new();
            let manager = kind.build(kit.config(1).resource_pool_size(pool));
            let mut attempts = 0;
            let repeatable = |_: &_, _: &mut _| -> Result<(), _> {
                attempts += 1;
                Err(Fault::Sick)
            };
            let outcome = manager.task(repeatable).run_now();
            assert!(matches!(outcome, Err(TaskError::Failed(Fault::Sick))), "{outcome:?}");
            assert_eq!(attempts, 1);
            kit.wait_until(|counts| counts.destroyed == 1);
            let healthy = manager.run_task(|_, _| Err::<(), _>(Fault::Own));
            assert!(matches!(healthy, Err(TaskError::Failed(Fault::Own))));
            manager.stop().unwrap();
            kit.assert_all_destroyed_once();
        }
    });
}

// Small print (and promise 2): a condemned pooled resource is destroyed, and the pool refilled.
#[test]
fn the_pool_is_refilled_after_a_sick_or_broken_resource() {
    within(LIMIT, || {
        let kit = Kit::new();
        let recorder = Recorder::new();
        let config = kit.config(1).resource_pool_size(2).observer(recorder.clone());
        let manager = Manager::Lending.build(config);
        assert!(manager.run_task(|_, _| Err::<(), _>(Fault::Sick)).is_err());
        assert!(manager.run_task(|_, _| -> Result<(), _> { panic!("on purpose") }).is_err());
        recorder.wait_for(1, destroyed(Owner::Pool, DestroyReason::Unhealthy));
        recorder.wait_for(1, destroyed(Owner::Pool, DestroyReason::Panicked));
        eventually("the pool is full", || manager.stats().available_resources == 2);
        assert_eq!((kit.created(), kit.destroyed()), (5, 2));
        assert!(kit.peak() <= 3, "the old ones go before the new ones come");
        manager.stop().unwrap();
        kit.assert_all_destroyed_once();
    });
}

// Small print: the pool is refilled with the workers' backoff, in the background.
#[test]
fn a_refill_that_fails_is_tried_again_after_a_while() {
    within(LIMIT, || {
        let kit = Kit::new();
        let clock = ManualClock::new();
        let config = kit.config(1).resource_pool_size(1).clock(clock.clone());
        let manager = Manager::Lending.build(config);
        kit.break_down();
        assert!(manager.run_task(|_, _| Err::<(), _>(Fault::Sick)).is_err());
        kit.wait_until(|counts| counts.failures == 1);
        assert_eq!(manager.stats().available_resources, 0);
        // Meanwhile an idle worker serves.
        eventually("the worker is idle", || manager.stats().idle_workers == 1);
        assert!(manager.run_task(|_, res| res.work()).is_ok());
        assert_eq!(kit.counts().failures, 1, "time stands still: no second try");
        let a_while = || clock.advance(Duration::from_millis(10));
        eventually("there is a second try", || {
            a_while();
            kit.counts().failures >= 2
        });
        kit.mend();
        eventually("the pool is full", || {
            a_while();
            manager.stats().available_resources == 1
        });
        assert!(manager.run_task(|_, res| Ok(res.id())).unwrap() > 4, "a new one");
        manager.stop().unwrap();
        kit.assert_all_destroyed_once();
    });
}

// Promise 2: pooled resources never outnumber the size of the pool, whoever uses and breaks them.
#[test]
fn the_pool_never_outgrows_its_size() {
    within(LIMIT, || {
        let kit = Kit::new();
        let manager = Manager::Lending.build(kit.config(1).resource_pool_size(2));
        let busy = Busy::with(&manager, 1);
        thread::scope(|scope| {
            for n in 0..4 {
                let manager = &manager;
                scope.spawn(move || {
                    for k in 0..50 {
                        let _ = manager.run_task(|_, res| {
                            if (n + k) % 3 == 0 { Err(Fault::Sick) } else { res.work() }
                        });
                        assert!(manager.stats().available_resources <= 2);
                    }
                });
            }
        });
        busy.release();
        eventually("the pool is full", || manager.stats().available_resources == 2);
        // One worker, two in the pool, and at most one temporary for each of the four callers.
        assert!(kit.peak() <= 7, "{:?}", kit.counts());
        let report = manager.stop().unwrap();
        assert_eq!(report.accepted, 201);
        kit.assert_all_destroyed_once();
    });
}

// Promises 1 and 8: a temporary resource that cannot be made is the end of its task.
#[test]
fn run_task_fails_when_its_temporary_resource_cannot_be_made() {
    within(LIMIT, || {
        for kind in [Manager::Lending, Manager::NotLending] {
            let kit = Kit::new();
            let manager = kind.build(kit.config(1));
            let busy = Busy::with(&manager, 1);
            kit.fail_next_creates(1);
            let failed = manager.run_task(|_, res| res.work());
            assert!(matches!(failed, Err(TaskError::CreateFailed(Fault::Create))));
            let text = failed.unwrap_err().to_string();
            assert_eq!(text, "failed to create temporary resource: create fault");
            kit.panic_next_create();
            let panicked = manager.run_task(|_, res| res.work());
            assert!(matches!(panicked, Err(TaskError::Panicked(_))), "{panicked:?}");
            busy.release();
            let report = manager.stop().unwrap();
            assert_eq!((report.accepted, report.failed), (3, 2), "{report}");
            kit.assert_all_destroyed_once();
        }
    });
}

// Promises 3 and 10: a stop waits for a `run_task`, whose pooled resource is then destroyed.
#[test]
fn a_stop_waits_for_a_task_on_a_pooled_or_temporary_resource() {
    within(LIMIT, || {
        for pool in [0, 1] {
            let kit = Kit::new();
            let manager = Manager::Lending.build(kit.config(1).resource_pool_size(pool));
            let busy = Busy::with(&manager, 1);
            let gate = Gate::new();
            let (caller, wait) = (manager.clone(), gate.clone());
            let urgent = thread::spawn(move || {
                caller.run_task(|cx, _| {
                    wait.wait();
                    Ok(cx.is_cancelled())
                })
            });
            gate.await_arrivals(1);
            let stop = crate::support::begin_stop(&manager);
            busy.release();
            assert!(!stop.is_finished());
            gate.open();
            assert!(!urgent.join().unwrap().unwrap());
            let report = crate::support::report_of(stop);
            assert_eq!((report.completed, report.resources_destroyed), (2, 2), "{report}");
            kit.assert_all_destroyed_once();
        }
    });
}
