//! Promise 3: every resource that was created is destroyed, once, whatever happens to it.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tasker::testing::ManualClock;
use tasker::{Config, DestroyReason, Owner, Phase, TaskError, TaskManager};

use crate::support::{
    Busy, Door, Fault, Gate, Kit, LIMIT, Manager, Recorder, Res, What, assert_complete, eventually,
    on_every_door, on_every_manager, within,
};

// Promise 3: a stop destroys everything, the pool included.
#[test]
fn a_stop_destroys_every_resource_once() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(3).resource_pool_size(2));
        assert_complete(&manager.stop().unwrap());
        kit.assert_all_destroyed_once();
    });
}

// Promise 3: a kill destroys everything, the resource of what runs as well.
#[test]
fn a_kill_destroys_every_resource_once() {
    on_every_manager(|kind| {
        let (kit, seen) = (Kit::new(), Recorder::new());
        let manager = kind.build(kit.config(3).resource_pool_size(2).observer(seen.clone()));
        let busy = Busy::with(&manager, 2);
        thread::scope(|scope| {
            let kill = scope.spawn(|| manager.kill().unwrap());
            seen.wait_for(1, |what| matches!(what, What::PhaseChanged { phase: Phase::Killed }));
            busy.release();
            assert_complete(&kill.join().unwrap());
        });
        kit.assert_all_destroyed_once();
    });
}

// Promise 3: nobody calls stop, and yet nothing leaks.
#[test]
fn a_dropped_manager_destroys_every_resource_once() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        drop(kind.build(kit.config(3).resource_pool_size(2)));
        kit.wait_until(|counts| counts.live == 0);
        kit.assert_all_destroyed_once();
    });
}

// Promise 3: a resource that is condemned goes through `on_destroy` like any other.
#[test]
fn a_condemned_resource_is_destroyed_once() {
    on_every_door(|kind, door| {
        let (kit, seen) = (Kit::new(), Recorder::new());
        let manager = kind.build(kit.config(1).max_retries(2).observer(seen.clone()));
        let sick = door.send(&manager, |_, _| Err::<(), _>(Fault::Sick));
        assert!(matches!(sick, Err(TaskError::RetriesExhausted { .. })), "{sick:?}");
        let broken = door.send(&manager, |_, _| -> Result<(), Fault> { panic!("it breaks") });
        assert!(matches!(broken, Err(TaskError::Panicked(_))), "{broken:?}");
        kit.wait_until(|counts| counts.created == 5); // the last of them is for the shutdown
        assert_complete(&manager.stop().unwrap());
        kit.assert_all_destroyed_once();
        for (expected, times) in [
            (DestroyReason::Unhealthy, 3),
            (DestroyReason::Panicked, 1),
            (DestroyReason::Shutdown, 1),
        ] {
            let so = |what: &What| matches!(what, What::ResourceDestroyed { owner: Owner::Worker(0), reason, .. } if *reason == expected);
            assert_eq!(seen.count(so), times, "{expected:?}");
        }
    });
}

// Promise 3: an `on_destroy` that fails has been called; it is not called again, and it is reported.
#[test]
fn a_failing_on_destroy_is_counted_and_not_called_again() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(3));
        kit.fail_next_destroys(1);
        kit.panic_next_destroy();
        let report = manager.stop().unwrap();
        assert_eq!((report.resources_destroyed, report.destroy_errors), (3, 2));
        kit.assert_all_destroyed_once();
    });
}

// Promise 3: a `new` that fails leaves nothing behind, whichever creation it was that failed.
#[test]
fn a_failed_new_destroys_what_it_had_created() {
    on_every_manager(|kind| {
        let pooled = if kind == Manager::Local { 0 } else { 2 };
        for failing in 1..=3 + pooled {
            let kit = Kit::new();
            kit.fail_create(failing);
            let failed = kind.try_build(kit.config(3).resource_pool_size(2));
            assert!(failed.is_err(), "creation {failing} failed, and nobody was told");
            kit.assert_all_destroyed_once();
        }
    });
}

// Promise 3: a burst worker takes its resource with it.
#[test]
fn a_burst_worker_that_leaves_destroys_its_resource() {
    on_every_manager(|kind| {
        let interval = Duration::from_millis(100);
        let (kit, clock, gate) = (Kit::new(), ManualClock::new(), Gate::new());
        let config = kit.config(1).max_worker_count(2).burst_interval(interval);
        let manager = kind.build(config.clock(clock.clone()));
        let work = || {
            let gate = gate.clone();
            let task = manager.task(move |_, _| {
                gate.wait();
                Ok(())
            });
            task.submit()
        };
        let work = [work(), work()];
        clock.advance(interval);
        gate.await_arrivals(2);
        gate.open();
        for work in work {
            work.wait().unwrap();
        }
        eventually("both are idle", || manager.stats().idle_workers == 2);
        clock.advance(interval * 11);
        kit.wait_until(|counts| counts.destroyed == 1);
        assert_complete(&manager.stop().unwrap());
        kit.assert_all_destroyed_once();
    });
}

/// Begins `shut_down` while a worker makes the replacement of its resource.
fn shut_down_during_a_replacement(
    kind: Manager,
    phase: Phase,
    shut_down: fn(&TaskManager<Res, Fault>) -> tasker::ShutdownReport,
) {
    let (kit, seen, slow) = (Kit::new(), Recorder::new(), Gate::new());
    let manager = kind.build(kit.config(1).observer(seen.clone()));
    kit.block_creates(&slow);
    let sick = manager.task_once(|_, _| Err::<(), _>(Fault::Sick)).submit();
    slow.await_arrivals(1);
    thread::scope(|scope| {
        let over = scope.spawn(|| shut_down(&manager));
        seen.wait_for(1, |what| matches!(what, What::PhaseChanged { phase: to } if *to == phase));
        slow.open();
        assert_complete(&over.join().unwrap());
    });
    assert!(matches!(sick.wait(), Err(TaskError::Failed(Fault::Sick))));
    assert_eq!(kit.created(), 2);
    kit.assert_all_destroyed_once();
}

// Promise 3: a resource that comes when nobody needs it any more is destroyed like any other.
#[test]
fn a_replacement_that_is_ready_during_a_shutdown_is_destroyed() {
    on_every_manager(|kind| {
        shut_down_during_a_replacement(kind, Phase::Stopping, |m| m.stop().unwrap());
        shut_down_during_a_replacement(kind, Phase::Killed, |m| m.kill().unwrap());
    });
}

// Promise 3: the same for a resource of the pool that is being refilled.
#[test]
fn a_pooled_resource_that_is_ready_during_a_stop_is_destroyed() {
    for kind in [Manager::Lending, Manager::NotLending] {
        within(LIMIT, move || {
            let (kit, seen, slow) = (Kit::new(), Recorder::new(), Gate::new());
            let manager = kind.build(kit.config(1).resource_pool_size(1).observer(seen.clone()));
            eventually("the pool is full", || manager.stats().available_resources == 1);
            kit.block_creates(&slow);
            let broken = manager.run_task(|_, _| -> Result<(), Fault> { panic!("it breaks") });
            assert!(matches!(broken, Err(TaskError::Panicked(_))), "{broken:?}");
            slow.await_arrivals(1);
            thread::scope(|scope| {
                let stop = scope.spawn(|| manager.stop().unwrap());
                let stopping = |what: &What| matches!(what, What::PhaseChanged { .. });
                seen.wait_for(1, stopping);
                slow.open();
                assert_complete(&stop.join().unwrap());
            });
            assert_eq!(kit.created(), 3);
            kit.assert_all_destroyed_once();
        });
    }
}

// Promise 3: the same for a temporary one, whose task then never starts.
#[test]
fn a_temporary_resource_that_is_ready_after_a_kill_is_destroyed() {
    for kind in [Manager::Lending, Manager::NotLending] {
        within(LIMIT, move || {
            let (kit, seen, slow) = (Kit::new(), Recorder::new(), Gate::new());
            let manager = kind.build(kit.config(1).observer(seen.clone()));
            let busy = Busy::with(&manager, 1);
            kit.block_creates(&slow);
            thread::scope(|scope| {
                let urgent = scope.spawn(|| manager.run_task(|_, _| Ok(())));
                slow.await_arrivals(1);
                let kill = scope.spawn(|| manager.kill().unwrap());
                seen.wait_for(1, |what| matches!(what, What::PhaseChanged { .. }));
                slow.open();
                let ended = urgent.join().unwrap();
                assert!(matches!(ended, Err(TaskError::Killed)), "{ended:?}");
                busy.release();
                assert_complete(&kill.join().unwrap());
            });
            kit.assert_all_destroyed_once();
        });
    }
}

// Promise 3: whoever did not wait for a straggler still gets its resource destroyed.
#[test]
fn a_straggler_destroys_its_resource_when_it_returns() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(2));
        let busy = Busy::with(&manager, 1);
        let report = manager.kill_within(Duration::ZERO).unwrap();
        assert_eq!(report.stragglers.len(), 1);
        assert_eq!(report.resources_created, report.resources_destroyed + 1);
        busy.release();
        kit.wait_until(|counts| counts.live == 0);
        kit.assert_all_destroyed_once();
    });
}

// Promise 3: with many at once, on every path that a task can take.
#[test]
fn a_crowd_leaves_no_resource_behind() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let config = kit.config(2).max_worker_count(4).resource_pool_size(1);
        let manager = kind.build(config.burst_interval(Duration::from_millis(1)));
        thread::scope(|scope| {
            for caller in 0..6 {
                let manager = &manager;
                scope.spawn(move || {
                    for n in 0..40 {
                        let task = move |n: usize| match n % 10 {
                            2 => Err(Fault::Sick),
                            5 => panic!("one of a crowd"),
                            _ => Ok(()),
                        };
                        let _ = match (caller + n) % 5 {
                            4 => manager.run_task(|_, _| task(n)),
                            door => Door::ALL[door].send(manager, move |_, _| task(n)),
                        };
                    }
                });
            }
        });
        assert_complete(&manager.stop().unwrap());
        kit.assert_all_destroyed_once();
    });
}

// Promise 3, for resources that are not `Send`: made, used and destroyed on one thread.
#[test]
fn a_local_resource_lives_and_dies_on_one_thread() {
    struct Local(thread::ThreadId, Rc<()>);
    within(LIMIT, || {
        let destroyed = Arc::new(AtomicUsize::new(0));
        let at_home = Arc::clone(&destroyed);
        let config = Config::<Local, Fault>::new(|| Ok(Local(thread::current().id(), Rc::new(()))))
            .on_destroy(move |local| {
                assert_eq!((local.0, Rc::strong_count(&local.1)), (thread::current().id(), 1));
                at_home.fetch_add(1, Ordering::SeqCst);
                Ok(())
            })
            .check_health(|_| false)
            .max_retries(1)
            .worker_count(2);
        let manager = TaskManager::new_local(config).unwrap();
        for n in 0..20 {
            let task = |cx: &tasker::TaskContext, local: &mut Local| {
                assert_eq!(local.0, thread::current().id());
                if n % 5 == 0 && cx.attempt() == 1 { Err(Fault::Sick) } else { Ok(()) }
            };
            manager.queue_task(task).unwrap();
            let home = manager.run_task(|_, local| Ok(local.0 == thread::current().id()));
            assert!(home.unwrap());
        }
        eventually("both workers are back", || manager.stats().active_workers == 2);
        let report = manager.stop().unwrap();
        assert_complete(&report);
        assert_eq!(report.destroy_errors, 0);
        assert_eq!(report.resources_created, 2 + 4);
        assert_eq!(destroyed.load(Ordering::SeqCst), 6);
    });
}
