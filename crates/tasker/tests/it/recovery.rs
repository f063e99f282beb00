//! Promise 9: workers come back, in their own time and to nobody else's delay.

use std::thread;
use std::time::Duration;

use tasker::testing::ManualClock;
use tasker::{Owner, TaskError, TaskManager};

use crate::support::{
    Busy, Fault, Gate, Kit, LIMIT, Manager, Recorder, Res, What, assert_complete, begin_kill,
    begin_stop, eventually, on_every_door, on_every_manager, pass, report_of, within,
};

/// Condemns the resource of one worker.
fn condemn_one(manager: &TaskManager<Res, Fault>) {
    let sick = manager.task_once(|_, _| Err::<(), _>(Fault::Sick)).submit();
    assert!(matches!(sick.wait(), Err(TaskError::Failed(Fault::Sick))));
}

// Promise 9: one failure is followed by another try, and then the worker works.
#[test]
fn a_worker_without_a_resource_comes_back() {
    on_every_door(|kind, door| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(1));
        kit.fail_create(2);
        condemn_one(&manager);
        assert_eq!(door.send(&manager, |_, res| Ok(res.id())).unwrap(), 3);
        assert_eq!(manager.stats().recovering_workers, 0);
    });
}

// Promise 9: for as long as the manager runs, and ever more slowly: the n-th delay is at least half of
// 10 ms · 2ⁿ⁻¹ and at most 30 s.
#[test]
fn a_worker_tries_again_with_exponential_delays_for_as_long_as_it_takes() {
    on_every_manager(|kind| {
        let (kit, clock) = (Kit::new(), ManualClock::new());
        let manager = kind.build(kit.config(1).clock(clock.clone()));
        let began = clock.now();
        kit.break_down();
        condemn_one(&manager);
        let nominal = |n: u32| Duration::from_millis(10 << n.min(30)).min(Duration::from_secs(30));
        kit.wait_until(|counts| counts.failures == 1);
        pass(&manager, &clock, Duration::from_millis(4));
        assert_eq!(kit.counts().failures, 1, "the first delay is at least 5 ms");
        let mut least = Duration::ZERO;
        for failures in 1..40 {
            eventually("the next try", || {
                pass(&manager, &clock, nominal(failures) / 8);
                kit.counts().failures > u64::from(failures)
            });
            least += nominal(failures - 1) / 2;
            assert!(clock.now() - began >= least, "{failures} delays take {least:?} at least");
        }
        assert_eq!(manager.stats().recovering_workers, 1);
        kit.mend();
        eventually("the worker is back", || {
            clock.advance(Duration::from_secs(30));
            manager.stats().active_workers == 1
        });
        manager.queue_task(|_, _| Ok(())).unwrap();
        assert_complete(&manager.stop().unwrap());
    });
}

// Promise 9: a worker whose `on_create` hangs or fails is missed by nobody but its own resource.
#[test]
fn a_recovering_worker_delays_nobody() {
    on_every_door(|kind, door| {
        let (kit, slow) = (Kit::new(), Gate::new());
        let manager = kind.build(kit.config(2));
        kit.block_creates(&slow);
        condemn_one(&manager);
        slow.await_arrivals(1);
        for _ in 0..20 {
            door.send(&manager, |_, _| Ok(())).unwrap();
        }
        let stats = manager.stats();
        assert_eq!((stats.active_workers, stats.recovering_workers), (1, 1));
        slow.open();
        eventually("both are back", || manager.stats().active_workers == 2);
        assert_eq!(manager.stats().recovering_workers, 0);
    });
}

// Promise 9: tasks wait while everything is down, and run when it is up again.
#[test]
fn tasks_that_came_while_everything_was_down_run_when_it_is_up() {
    on_every_door(|kind, door| {
        let (kit, clock, seen) = (Kit::new(), ManualClock::new(), Recorder::new());
        let manager = kind.build(kit.config(2).clock(clock.clone()).observer(seen.clone()));
        kit.break_down();
        let gate = Gate::new();
        let sick = || {
            let gate = gate.clone();
            let task = manager.task_once(move |_, _| {
                gate.wait();
                Err::<(), _>(Fault::Sick)
            });
            task.submit()
        };
        let sick = [sick(), sick()];
        gate.await_arrivals(2);
        gate.open();
        for sick in sick {
            assert!(sick.wait().is_err());
        }
        assert_eq!(manager.stats().recovering_workers, 2);
        thread::scope(|scope| {
            let manager = &manager;
            let waiting: Vec<_> = (0..4)
                .map(|_| scope.spawn(move || door.send(manager, |_, res| Ok(res.id()))))
                .collect();
            seen.wait_for(6, |what| matches!(what, What::TaskQueued { .. }));
            kit.mend();
            eventually("both are back", || {
                clock.advance(Duration::from_secs(30));
                manager.stats().active_workers == 2
            });
            for waiting in waiting {
                assert!(waiting.join().unwrap().unwrap() > 2);
            }
        });
        assert_complete(&manager.stop().unwrap());
        kit.assert_all_destroyed_once();
    });
}

// Promise 9: `run_task` does not wait for a recovering worker: it makes its own resource.
#[test]
fn run_task_does_not_wait_for_a_recovering_worker() {
    for kind in [Manager::Lending, Manager::NotLending] {
        within(LIMIT, move || {
            let kit = Kit::new();
            let manager = kind.build(kit.config(1).clock(ManualClock::new()));
            kit.fail_create(2);
            condemn_one(&manager);
            kit.wait_until(|counts| counts.failures == 1);
            assert_eq!(manager.run_task(|_, res| Ok(res.id())).unwrap(), 3);
        });
    }
}

// Promise 9: a shutdown does not wait for the next try either.
#[test]
fn a_shutdown_does_not_wait_for_the_next_try() {
    on_every_manager(|kind| {
        for begin in [begin_stop, begin_kill] {
            let kit = Kit::new();
            let manager = kind.build(kit.config(2).clock(ManualClock::new()));
            kit.break_down();
            condemn_one(&manager);
            kit.wait_until(|counts| counts.failures == 1);
            assert_complete(&report_of(begin(&manager)));
            kit.assert_all_destroyed_once();
        }
    });
}

// Promise 9: a burst worker that never got its first resource tries again like any other.
#[test]
fn a_burst_worker_that_got_no_resource_tries_again() {
    on_every_manager(|kind| {
        let interval = Duration::from_millis(100);
        let (kit, clock) = (Kit::new(), ManualClock::new());
        let config = kit.config(1).max_worker_count(2).burst_interval(interval);
        let manager = kind.build(config.clock(clock.clone()));
        let busy = Busy::with(&manager, 1);
        kit.break_down();
        let waiting = manager.task(|_, res| Ok(res.id())).submit();
        pass(&manager, &clock, interval);
        kit.wait_until(|counts| counts.failures == 1);
        let stats = manager.stats();
        assert_eq!((stats.burst_workers, stats.recovering_workers), (1, 1));
        kit.mend();
        eventually("the task runs on the burst worker", || {
            clock.advance(interval);
            waiting.is_finished()
        });
        assert_ne!(waiting.wait().unwrap(), 1);
        busy.release();
        assert_complete(&manager.stop().unwrap());
    });
}

// Promise 9 (and the small print of `run_task`): the pool is refilled with the same patience.
#[test]
fn the_pool_is_refilled_although_creations_fail() {
    for kind in [Manager::Lending, Manager::NotLending] {
        within(LIMIT, move || {
            let (kit, clock, seen) = (Kit::new(), ManualClock::new(), Recorder::new());
            let config = kit.config(1).resource_pool_size(1).observer(seen.clone());
            let manager = kind.build(config.clock(clock.clone()));
            kit.break_down();
            let ended = manager.run_task(|_, _| Err::<(), _>(Fault::Sick));
            assert!(matches!(ended, Err(TaskError::Failed(Fault::Sick))), "{ended:?}");
            let failed =
                |what: &What| matches!(what, What::CreateFailed { owner: Owner::Pool, .. });
            for failures in 1..=5 {
                eventually("the next try", || {
                    clock.advance(Duration::from_secs(30));
                    seen.count(failed) >= failures
                });
            }
            assert_eq!(manager.stats().available_resources, 0);
            manager.queue_task(|_, _| Ok(())).unwrap(); // the workers have theirs
            kit.mend();
            eventually("the pool is full again", || {
                clock.advance(Duration::from_secs(30));
                manager.stats().available_resources == 1
            });
            assert_complete(&manager.stop().unwrap());
            kit.assert_all_destroyed_once();
        });
    }
}
