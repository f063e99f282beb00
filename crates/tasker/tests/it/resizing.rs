//! Promises 2 and 9: new limits for a manager that runs, while tasks, creations and shutdowns are under way.

use std::thread;
use std::time::Duration;

use tasker::autoscale::Reason;
use tasker::testing::ManualClock;
use tasker::{DestroyReason, Phase, Priority, ResizeError, TaskError};

use crate::support::{
    Busy, Door, Fault, Gate, Kit, Manager, Recorder, What, assert_complete, await_rest, eventually,
    occupy, on_every_manager, pass, submit, wait_all, waiting,
};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn more_base_workers_are_hired_at_once() {
    on_every_manager(|kind| {
        let (kit, seen) = (Kit::new(), Recorder::new());
        let manager = kind.build(kit.config(1).observer(seen.clone()));
        manager.resize(3, 5).unwrap();
        eventually("they are there", || manager.stats().idle_workers == 3);
        let stats = manager.stats();
        assert_eq!((stats.base_workers, stats.max_workers, stats.burst_workers), (3, 5, 0));
        let words = "the limits are 3 to 5 workers";
        let said = |what: &What| matches!(what, What::Scaled { from: 1, to: 3, reason } if reason.to_string() == words);
        assert_eq!(seen.count(said), 1);
        manager.stop().unwrap();
        kit.assert_all_destroyed_once();
    });
}

// Promise 2: the new cap is reached as soon as those above it are free, and exactly.
#[test]
fn fewer_workers_go_at_once_if_idle_and_else_when_they_are_free() {
    on_every_manager(|kind| {
        let (kit, seen) = (Kit::new(), Recorder::new());
        let manager = kind.build(kit.config(4).observer(seen.clone()));
        let (gate, busy) = occupy(&manager, 3);
        manager.resize(1, 1).unwrap();
        seen.wait_for(1, |what| matches!(what, What::WorkerStopped { .. })); // the idle one
        assert_eq!(manager.stats().running_tasks, 3, "what runs is not disturbed");
        gate.open();
        busy.into_iter().for_each(|handle| handle.wait().unwrap());
        seen.wait_for(3, |what| matches!(what, What::WorkerStopped { .. }));
        assert!(manager.queue_task(|_, res| Ok(res.id() > 0)).unwrap());
        assert_eq!(manager.stats().active_workers, 1);
        let idle = |what: &What| {
            matches!(what, What::ResourceDestroyed { reason: DestroyReason::Idle, .. })
        };
        assert_eq!(seen.count(idle), 3);
        manager.stop().unwrap();
        kit.assert_all_destroyed_once();
    });
}

#[test]
fn contradictory_limits_are_refused_and_change_nothing() {
    let manager = Manager::Lending.build(Kit::new().config(2));
    assert_eq!(manager.resize(0, 3), Err(ResizeError::NoWorkers));
    let refused = manager.resize(3, 2).unwrap_err();
    assert!(matches!(refused, ResizeError::MaxBelowWorkers { worker_count: 3, .. }));
    assert!(refused.to_string().contains("max_worker_count (2) is less than worker_count (3)"));
    assert_eq!((manager.stats().base_workers, manager.stats().max_workers), (2, 2));
    manager.stop().unwrap();
    assert_eq!(manager.resize(1, 1), Err(ResizeError::ShuttingDown));
}

// Promise 2: creations under way when the cap is lowered end, and their workers go.
#[test]
fn workers_that_are_being_made_go_when_they_are_too_many() {
    on_every_manager(|kind| {
        let (kit, slow) = (Kit::new(), Gate::new());
        let manager = kind.build(kit.config(1));
        kit.block_creates(&slow);
        manager.resize(4, 4).unwrap();
        slow.await_arrivals(3);
        manager.resize(1, 1).unwrap();
        slow.open();
        eventually("one is left", || {
            let stats = manager.stats();
            stats.active_workers == 1 && stats.recovering_workers + stats.leaving_workers == 0
        });
        manager.queue_task(|_, _| Ok(())).unwrap();
        manager.stop().unwrap();
        kit.assert_all_destroyed_once();
    });
}

// Promises 1, 2 and 3: whatever is resized, paused and resumed meanwhile.
#[test]
fn a_crowd_that_resizes_and_pauses_loses_nothing() {
    on_every_manager(|kind| {
        let (kit, random) = (Kit::new(), fastrand::u64(..));
        let config = kit.config(2).max_worker_count(6).burst_interval(Duration::from_millis(1));
        let manager = kind.build(config);
        thread::scope(|scope| {
            for caller in 0..4 {
                let manager = &manager;
                scope.spawn(move || {
                    for n in 0..60 {
                        let task = manager.task(move |cx, _| match n % 9 {
                            3 if cx.attempt() == 1 => Err(Fault::Sick),
                            _ => Ok(()),
                        });
                        let ended = match (caller + n) % 3 {
                            0 => task.run(),
                            1 => task.priority(Priority::High).submit().wait(),
                            _ => task.run_now(),
                        };
                        assert!(matches!(ended, Ok(()) | Err(TaskError::Failed(_))), "{ended:?}");
                    }
                });
            }
            scope.spawn(|| {
                let mut random = fastrand::Rng::with_seed(random);
                for _ in 0..200 {
                    let base = random.usize(1..=4);
                    manager.resize(base, random.usize(base..=6)).unwrap();
                    if random.bool() {
                        manager.pause();
                        thread::yield_now();
                        manager.resume();
                    }
                }
                manager.resize(2, 3).unwrap();
            });
        });
        eventually("the limits hold", || {
            let stats = manager.stats();
            (2..=3).contains(&(stats.active_workers + stats.recovering_workers))
        });
        let report = manager.stop().unwrap();
        assert_complete(&report);
        assert_eq!(report.accepted, 240, "seed {random}");
        kit.assert_all_destroyed_once();
    });
}

// Promise 2: up and down while resources are being made: the last word counts, exactly, and no cap is exceeded.
#[test]
fn limits_may_change_often_while_creations_are_under_way() {
    on_every_manager(|kind| {
        let (kit, slow) = (Kit::new(), Gate::new());
        let manager = kind.build(kit.config(1));
        let busy = Busy::with(&manager, 1);
        kit.block_creates(&slow);
        manager.resize(4, 4).unwrap();
        slow.await_arrivals(3);
        manager.resize(1, 1).unwrap();
        manager.resize(6, 6).unwrap();
        slow.await_arrivals(5); // those that were under way count again
        manager.resize(2, 2).unwrap();
        assert_eq!((kit.counts().calls, kit.peak()), (6, 6));
        slow.open();
        await_rest(&manager, 1);
        busy.release();
        await_rest(&manager, 2);
        assert_eq!((manager.stats().base_workers, manager.stats().burst_workers), (2, 0));
        kit.wait_until(|counts| counts.live == 2);
        assert_complete(&manager.stop().unwrap());
        assert_eq!((kit.peak(), kit.created()), (6, 6));
        kit.assert_all_destroyed_once();
    });
}

// Promise 1: lowering the limits does not send the only worker away that has a resource, in favour of those that
// are still making theirs and go when that is done.
#[test]
fn lower_limits_spare_who_has_a_resource_while_others_are_making_theirs() {
    on_every_manager(|kind| {
        let (kit, slow) = (Kit::new(), Gate::new());
        let manager = kind.build(kit.config(1));
        kit.block_creates(&slow);
        manager.resize(3, 3).unwrap();
        slow.await_arrivals(2);
        manager.resize(1, 1).unwrap();
        let serves = manager.stats().active_workers;
        slow.open();
        await_rest(&manager, 1);
        assert_complete(&manager.stop().unwrap());
        kit.assert_all_destroyed_once();
        assert_eq!(serves, 1, "workers with a resource after the limits were lowered");
    });
}

// Promise 2: who is being destroyed counts, so that the new limits are reached when it is gone.
#[test]
fn a_worker_that_is_leaving_counts_when_the_limits_rise_again() {
    on_every_manager(|kind| {
        let (kit, slow) = (Kit::new(), Gate::new());
        let manager = kind.build(kit.config(3));
        kit.block_destroys(&slow);
        manager.resize(1, 1).unwrap();
        slow.await_arrivals(2);
        manager.resize(3, 3).unwrap();
        assert_eq!(manager.stats().leaving_workers, 2);
        manager.queue_task(|_, _| Ok(())).unwrap();
        assert_eq!(kit.counts().calls, 3, "there is no room yet");
        slow.open();
        eventually("the base is complete", || manager.stats().active_workers == 3);
        assert_complete(&manager.stop().unwrap());
        assert_eq!((kit.peak(), kit.created()), (3, 5));
        kit.assert_all_destroyed_once();
    });
}

// Promises 2 and 4: limits hold in a pause as well, and nothing starts for that.
#[test]
fn limits_change_in_a_pause() {
    on_every_manager(|kind| {
        let (kit, seen) = (Kit::new(), Recorder::new());
        let manager = kind.build(kit.config(1).observer(seen.clone()));
        manager.pause();
        let held_back = submit(&manager, 5);
        manager.resize(3, 4).unwrap();
        await_rest(&manager, 3);
        manager.resize(1, 1).unwrap();
        kit.wait_until(|counts| counts.live == 1);
        assert_eq!(seen.count(|what| matches!(what, What::TaskStarted { .. })), 0);
        assert!(manager.stats().paused);
        manager.resume();
        wait_all(held_back);
        assert_complete(&manager.stop().unwrap());
        assert_eq!(kit.peak(), 3);
        kit.assert_all_destroyed_once();
    });
}

// Promise 2: in a pause whoever becomes free above a lowered cap goes, although tasks wait.
#[test]
fn busy_workers_above_a_lowered_cap_go_in_a_pause() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(3));
        let busy = Busy::with(&manager, 3);
        manager.pause();
        let held_back = submit(&manager, 4);
        manager.resize(1, 2).unwrap();
        assert_eq!(manager.stats().running_tasks, 3);
        busy.release();
        await_rest(&manager, 2); // not fewer than may stay
        assert_eq!(waiting(&manager), 4);
        manager.resume();
        wait_all(held_back);
        assert_complete(&manager.stop().unwrap());
        kit.assert_all_destroyed_once();
    });
}

// Promise 2: without bursting there are as many workers as the base, whatever the cap would allow.
#[test]
fn without_bursting_new_limits_change_the_base_alone() {
    on_every_manager(|kind| {
        let (kit, clock) = (Kit::new(), ManualClock::new());
        let config = kit.config(2).max_worker_count(4).burst_interval(Duration::ZERO);
        let manager = kind.build(config.clock(clock.clone()));
        manager.resize(3, 6).unwrap();
        await_rest(&manager, 3);
        let busy = Busy::with(&manager, 3);
        let backlog = submit(&manager, 10);
        for _ in 0..5 {
            pass(&manager, &clock, SECOND);
        }
        assert_eq!(kit.counts().calls, 3, "nobody is hired for a backlog");
        manager.resize(1, 6).unwrap();
        busy.release();
        wait_all(backlog);
        await_rest(&manager, 1);
        kit.wait_until(|counts| counts.live == 1);
        manager.resize(2, 2).unwrap();
        await_rest(&manager, 2);
        assert_complete(&manager.stop().unwrap());
        assert_eq!(kit.peak(), 3);
        kit.assert_all_destroyed_once();
    });
}

// Promise 9: who gets no resource because `on_create` fails is the first to go when the limits are lowered; the
// worker that has one stays, and the other one that may stay comes back when that works again.
#[test]
fn lower_limits_spare_who_has_a_resource_while_others_get_none() {
    on_every_manager(|kind| {
        let (kit, clock) = (Kit::new(), ManualClock::new());
        let manager = kind.build(kit.config(1).clock(clock.clone()));
        kit.break_down();
        manager.resize(4, 4).unwrap();
        eventually("three fail", || manager.explain().failing == 3);
        manager.resize(2, 2).unwrap();
        eventually("nobody is leaving any more", || {
            let stats = manager.stats();
            (stats.active_workers + stats.recovering_workers, stats.leaving_workers) == (2, 0)
        });
        let serves = manager.stats().active_workers;
        kit.mend();
        eventually("both are there", || {
            clock.advance(SECOND);
            manager.stats().active_workers == 2
        });
        assert_complete(&manager.stop().unwrap());
        kit.assert_all_destroyed_once();
        assert_eq!(serves, 1, "workers with a resource while on_create fails");
    });
}

// Small print of `Event::Scaled`: a lowered cap is told of when it is lowered, also if all are busy then.
#[test]
fn new_limits_are_told_of_although_everybody_is_busy() {
    on_every_manager(|kind| {
        let (kit, seen) = (Kit::new(), Recorder::new());
        let manager = kind.build(kit.config(3).observer(seen.clone()));
        let busy = Busy::with(&manager, 3);
        manager.resize(1, 1).unwrap();
        busy.release();
        await_rest(&manager, 1);
        manager.resize(2, 2).unwrap();
        await_rest(&manager, 2);
        assert_complete(&manager.stop().unwrap());
        let mut workers = 3;
        for event in seen.events() {
            if let What::Scaled { from, to, reason } = event.what {
                assert_eq!(from, workers, "{from} -> {to}: {reason}");
                assert!(matches!(reason, Reason::Resized { .. }), "{reason}");
                workers = to;
            }
        }
        assert_eq!(workers, 2);
    });
}

// Promise 12: limits of a manager that is shutting down are refused, in every phase, and change nothing.
#[test]
fn limits_are_refused_from_the_beginning_of_a_shutdown() {
    on_every_manager(|kind| {
        for kill in [false, true] {
            let kit = Kit::new();
            let manager = kind.build(kit.config(1));
            let busy = Busy::with(&manager, 1);
            thread::scope(|scope| {
                let ended = scope.spawn(|| if kill { manager.kill() } else { manager.stop() });
                eventually("it begins", || manager.phase() != Phase::Running);
                assert_eq!(manager.resize(3, 3), Err(ResizeError::ShuttingDown));
                assert_eq!((manager.stats().base_workers, manager.stats().max_workers), (1, 1));
                busy.open();
                assert_complete(&ended.join().unwrap().unwrap());
            });
            assert_eq!(manager.resize(3, 3), Err(ResizeError::ShuttingDown));
            assert_eq!(manager.resize(0, 0), Err(ResizeError::NoWorkers), "it says what is worst");
            assert_eq!(kit.created(), 1);
        }
    });
}

// Promises 1, 2 and 3: whatever several threads say about the limits while tasks run, no cap that was ever set is
// exceeded, and the last limits hold exactly.
#[test]
fn a_crowd_of_limits_never_exceeds_the_largest_and_ends_at_the_last() {
    on_every_manager(|kind| {
        for bursts in [true, false] {
            let (kit, seed) = (Kit::new(), fastrand::u64(..));
            let interval = if bursts { Duration::from_millis(1) } else { Duration::ZERO };
            let config = kit.config(2).max_worker_count(6).burst_interval(interval);
            let manager = kind.build(config);
            thread::scope(|scope| {
                for caller in 0..3 {
                    let manager = &manager;
                    scope.spawn(move || {
                        for n in 0..60 {
                            let ended = Door::ALL[(caller + n) % 4].send(manager, move |cx, _| {
                                match n % 9 {
                                    3 if cx.attempt() == 1 => Err(Fault::Sick),
                                    _ => Ok(()),
                                }
                            });
                            ended.unwrap();
                        }
                    });
                }
                for teller in 0..2 {
                    let manager = &manager;
                    scope.spawn(move || {
                        let mut random = fastrand::Rng::with_seed(seed ^ teller);
                        for _ in 0..100 {
                            let base = random.usize(1..=4);
                            manager.resize(base, random.usize(base..=6)).unwrap();
                        }
                    });
                }
            });
            manager.resize(2, 3).unwrap();
            let most = if bursts { 3 } else { 2 };
            eventually("the limits hold", || {
                let stats = manager.stats();
                let workers = stats.active_workers + stats.recovering_workers;
                (2..=most).contains(&workers) && stats.leaving_workers == 0
            });
            kit.wait_until(|counts| (2..=most as u64).contains(&counts.live));
            let report = manager.stop().unwrap();
            assert_complete(&report);
            assert_eq!(report.completed, 180, "seed {seed}");
            assert!(kit.peak() <= 6, "{} resources at once, seed {seed}", kit.peak());
            kit.assert_all_destroyed_once();
        }
    });
}
