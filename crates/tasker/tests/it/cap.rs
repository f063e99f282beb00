//! Promise 2: a cap is a cap, also while resources are slow to make and slow to destroy.

use std::thread;
use std::time::Duration;

use tasker::testing::ManualClock;
use tasker::{DestroyReason, Owner};

use crate::support::{
    Busy, Door, Fault, Gate, Kit, LIMIT, Manager, Recorder, What, assert_complete, eventually,
    on_every_manager, pass, wait_all, within,
};

const INTERVAL: Duration = Duration::from_millis(100);

// Promise 2: resources that are being made count, however long that takes and however many ask.
#[test]
fn resources_in_the_making_count_against_the_cap() {
    on_every_manager(|kind| {
        let (kit, clock, slow) = (Kit::new(), ManualClock::new(), Gate::new());
        let config = kit.config(1).max_worker_count(3).burst_interval(INTERVAL);
        let manager = kind.build(config.clock(clock.clone()));
        let busy = Busy::with(&manager, 1);
        kit.block_creates(&slow);
        let waiting = (0..20).map(|_| manager.task(|_, _| Ok(())).submit()).collect();
        for _ in 0..10 {
            pass(&manager, &clock, INTERVAL);
        }
        slow.await_arrivals(2);
        assert_eq!(kit.counts().calls, 3);
        assert_eq!(manager.stats().burst_workers, 2);
        slow.open();
        busy.release();
        wait_all(waiting);
        assert_complete(&manager.stop().unwrap());
        assert_eq!(kit.peak(), 3);
        kit.assert_all_destroyed_once();
    });
}

// Promise 2: a resource counts until `on_destroy` has returned.
#[test]
fn resources_in_destruction_count_against_the_cap() {
    on_every_manager(|kind| {
        let (kit, clock, seen) = (Kit::new(), ManualClock::new(), Recorder::new());
        let config = kit.config(1).max_worker_count(2).burst_interval(INTERVAL);
        let manager = kind.build(config.clock(clock.clone()).observer(seen.clone()));
        let (slow, gate) = (Gate::new(), Gate::new());
        let working: Vec<_> = (0..2)
            .map(|_| {
                let gate = gate.clone();
                let task = manager.task_once(move |_, _| {
                    gate.wait();
                    Ok(())
                });
                task.submit()
            })
            .collect();
        clock.advance(INTERVAL);
        gate.await_arrivals(2); // the second one on a burst worker
        gate.open();
        wait_all(working);
        eventually("both are idle", || manager.stats().idle_workers == 2);
        kit.block_destroys(&slow);
        clock.advance(INTERVAL * 11);
        slow.await_arrivals(1); // the burst worker has had nothing to do for too long

        let busy = Busy::with(&manager, 1);
        let waiting = (0..5).map(|_| manager.task(|_, _| Ok(())).submit()).collect();
        for _ in 0..5 {
            pass(&manager, &clock, INTERVAL);
        }
        assert_eq!(kit.counts().calls, 2, "no seat is free before the destruction is over");
        slow.open();
        seen.wait_for(1, |what| matches!(what, What::WorkerStopped { .. }));
        let grown =
            |seen: &Recorder| seen.count(|what| matches!(what, What::Scaled { from: 1, .. }));
        eventually("the seat is used again", || {
            clock.advance(INTERVAL);
            grown(&seen) == 2
        });
        busy.release();
        wait_all(waiting);
        assert_complete(&manager.stop().unwrap());
        assert_eq!(kit.peak(), 2);
    });
}

// Promise 2: a replacement is made when the condemned resource is gone, not beside it.
#[test]
fn a_condemned_resource_is_gone_before_its_replacement_is_made() {
    on_every_manager(|kind| {
        let (kit, slow) = (Kit::new(), Gate::new());
        let manager = kind.build(kit.config(1));
        kit.block_destroys(&slow);
        let task =
            manager.task(|cx, res| if cx.attempt() == 1 { Err(Fault::Sick) } else { res.work() });
        let handle = task.submit();
        slow.await_arrivals(1);
        assert_eq!(kit.counts().calls, 1);
        slow.open();
        assert_eq!(handle.wait().unwrap(), 2);
        assert_eq!(kit.peak(), 1);
    });
}

// Promise 2: whatever a crowd does to the workers.
#[test]
fn a_crowd_with_sick_and_panicking_tasks_never_exceeds_the_cap() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let config = kit.config(2).max_worker_count(4).burst_interval(Duration::from_millis(1));
        let manager = kind.build(config);
        thread::scope(|scope| {
            for caller in 0..6 {
                let manager = &manager;
                scope.spawn(move || {
                    for n in 0..50 {
                        let door = Door::ALL[(caller + n) % 4];
                        let _ = door.send(manager, move |cx, _| match n % 12 {
                            3 if cx.attempt() == 1 => Err(Fault::Sick),
                            7 => panic!("one of a crowd"),
                            _ => Ok(()),
                        });
                    }
                });
            }
        });
        assert_complete(&manager.stop().unwrap());
        assert!(kit.peak() <= 4, "{} resources at once", kit.peak());
        kit.assert_all_destroyed_once();
    });
}

// Promise 2: where the cap is the number of base workers, or bursting is off, nobody is hired.
#[test]
fn a_backlog_hires_nobody_where_there_is_nobody_to_hire() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let full = kit.config(1).burst_interval(INTERVAL);
        let off = kit.config(1).max_worker_count(9).burst_interval(Duration::ZERO);
        for config in [full, off] {
            let (clock, seen) = (ManualClock::new(), Recorder::new());
            let manager = kind.build(config.clock(clock.clone()).observer(seen.clone()));
            let busy = Busy::with(&manager, 1);
            let waiting = (0..5).map(|_| manager.task(|_, _| Ok(())).submit()).collect();
            for _ in 0..5 {
                pass(&manager, &clock, INTERVAL);
            }
            busy.release();
            wait_all(waiting);
            manager.stop().unwrap();
            assert_eq!(seen.count(|what| matches!(what, What::Scaled { .. })), 0);
        }
        assert_eq!(kit.created(), 2);
    });
}

// Promise 2: pooled resources, those being refilled included, never outnumber the pool.
#[test]
fn the_pool_never_holds_more_than_its_size() {
    for kind in [Manager::Lending, Manager::NotLending] {
        within(LIMIT, move || {
            let (kit, seen) = (Kit::new(), Recorder::new());
            let config = kit.config(1).resource_pool_size(2).observer(seen.clone());
            let manager = kind.build(config);
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        for n in 0..40 {
                            let _ = manager.run_task(|_, _| match n % 3 {
                                0 => Err(Fault::Sick),
                                _ => Ok(()),
                            });
                            assert!(manager.stats().available_resources <= 2);
                        }
                    });
                }
            });
            assert_complete(&manager.stop().unwrap());
            kit.assert_all_destroyed_once();
            let mut pooled = 0;
            for event in seen.events() {
                match event.what {
                    What::ResourceCreated { owner: Owner::Pool, .. } => pooled += 1,
                    What::ResourceDestroyed { owner: Owner::Pool, .. } => pooled -= 1,
                    _ => {}
                }
                assert!((0..=2).contains(&pooled), "{pooled} pooled resources");
            }
        });
    }
}

// Promise 2: a temporary resource is made for one `run_task`, which is its only user.
#[test]
fn a_temporary_resource_belongs_to_one_run_task() {
    for kind in [Manager::Lending, Manager::NotLending] {
        within(LIMIT, move || {
            let (kit, seen) = (Kit::new(), Recorder::new());
            let manager = kind.build(kit.config(1).observer(seen.clone()));
            let busy = Busy::with(&manager, 1);
            for call in 1..=3 {
                let used = manager.run_task(|_, res| Ok(res.id())).unwrap();
                assert_eq!(used, 1 + call);
                assert_eq!((kit.created(), kit.destroyed()), (1 + call, call));
            }
            busy.release();
            assert_complete(&manager.stop().unwrap());
            let ended = |what: &What| {
                matches!(
                    what,
                    What::ResourceDestroyed {
                        owner: Owner::Temporary,
                        reason: DestroyReason::Idle,
                        failed: false
                    }
                )
            };
            assert_eq!(seen.count(ended), 3);
        });
    }
}
