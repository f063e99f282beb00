//! Promises 2 and 3: successions of resources while limits, pauses, policies and failures change around them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tasker::autoscale::{Load, Plan, ScalingPolicy};
use tasker::testing::ManualClock;
use tasker::{DestroyReason, Priority, TaskError, TaskManager};

use crate::support::{
    Busy, Door, Fault, Gate, Kit, Manager, Recorder, Res, What, assert_complete, begin_kill,
    begin_stop, eventually, on_every_manager, report_of,
};

const INTERVAL: Duration = Duration::from_millis(100);
const LIFETIME: Duration = Duration::from_secs(100);
const AGED: Duration = Duration::from_secs(96);

/// A policy that leaves things as they are.
struct Still;

impl ScalingPolicy for Still {
    fn plan(&mut self, load: &Load, _now: Instant) -> Plan {
        Plan::hold(load, "nothing is to change")
    }
}

/// A policy that always wants as many as there may be.
struct Greedy;

impl ScalingPolicy for Greedy {
    fn plan(&mut self, load: &Load, _now: Instant) -> Plan {
        Plan::new(load.max_worker_count, "as many as there may be")
    }
}

fn await_rest(manager: &TaskManager<Res, Fault>, idle: usize) {
    eventually("the workers rest", || {
        let stats = manager.stats();
        (stats.idle_workers, stats.recovering_workers, stats.leaving_workers) == (idle, 0, 0)
    });
}

fn id_of(manager: &TaskManager<Res, Fault>) -> u64 {
    manager.task(|_, res| Ok(res.id())).submit().wait().unwrap()
}

/// Runs a task that condemns the resource it is given, and that has one attempt.
fn condemn_one(manager: &TaskManager<Res, Fault>) {
    let sick = manager.task_once(|_, _| Err::<(), _>(Fault::Sick)).submit();
    assert!(matches!(sick.wait(), Err(TaskError::Failed(Fault::Sick))));
}

// Promise 2: if the old resource falls sick while its successor is being made, both workers have one in the end.
// The one that is too many goes like any other burst worker, also where no task comes any more.
#[test]
fn a_successor_that_became_one_too_many_goes_although_no_task_comes() {
    on_every_manager(|kind| {
        for off in [false, true] {
            let (kit, clock, slow) = (Kit::new(), ManualClock::new(), Gate::new());
            let mut config = kit.config(1).max_worker_count(2).max_lifetime(LIFETIME);
            config = config.idle_timeout(Duration::from_secs(10)).clock(clock.clone());
            config = match off {
                true => config.burst_interval(Duration::ZERO),
                false => config.burst_interval(INTERVAL).scaling(Still),
            };
            let manager = kind.build(config);
            await_rest(&manager, 1);
            kit.block_creates(&slow);
            clock.advance(AGED);
            slow.await_arrivals(1);
            condemn_one(&manager);
            eventually("the old one is gone", || kit.destroyed() == 1);
            slow.open();
            eventually("nobody is coming or going", || {
                let stats = manager.stats();
                stats.idle_workers >= 1 && stats.recovering_workers + stats.leaving_workers == 0
            });
            eventually("one is left", || {
                clock.advance(Duration::from_millis(50)); // far less than a lifetime altogether
                kit.live() == 1
            });
            assert_eq!(manager.stats().burst_workers, 0, "bursting off: {off}");
            assert!(id_of(&manager) > 1);
            assert_complete(&manager.stop().unwrap());
            assert!(kit.peak() <= 2);
            kit.assert_all_destroyed_once();
        }
    });
}

// Promise 2: a successor under way takes a place below the cap, whatever the policy wants.
#[test]
fn a_successor_under_way_counts_against_the_cap() {
    on_every_manager(|kind| {
        let (kit, clock, slow) = (Kit::new(), ManualClock::new(), Gate::new());
        let config = kit.config(1).max_worker_count(2).max_lifetime(LIFETIME);
        let config = config.burst_interval(INTERVAL).scaling(Greedy);
        let manager = kind.build(config.clock(clock.clone()));
        await_rest(&manager, 1);
        kit.block_creates(&slow);
        clock.advance(AGED);
        slow.await_arrivals(1);
        let busy = Busy::with(&manager, 1);
        let waiting: Vec<_> = (0..5).map(|_| manager.task(|_, _| Ok(())).submit()).collect();
        for _ in 0..10 {
            crate::support::pass(&manager, &clock, INTERVAL);
        }
        assert_eq!((kit.counts().calls, kit.peak()), (2, 2));
        let explanation = manager.explain();
        assert_eq!((explanation.workers, explanation.leaving), (1, 1));
        assert_eq!(explanation.waiting.for_cap, 5, "{explanation}");
        slow.open();
        for task in waiting {
            task.wait().unwrap();
        }
        busy.release();
        assert_complete(&manager.stop().unwrap());
        assert_eq!(kit.peak(), 2);
        kit.assert_all_destroyed_once();
    });
}

// Promise 2: a cap that is lowered during a succession is reached when it is over, exactly, and somebody serves on.
#[test]
fn a_cap_that_is_lowered_during_a_succession_is_reached() {
    on_every_manager(|kind| {
        for busy in [false, true] {
            let (kit, clock, slow) = (Kit::new(), ManualClock::new(), Gate::new());
            let config = kit.config(1).max_worker_count(2).max_lifetime(LIFETIME).scaling(Still);
            let manager = kind.build(config.clock(clock.clone()));
            await_rest(&manager, 1);
            kit.block_creates(&slow);
            clock.advance(AGED);
            slow.await_arrivals(1);
            let busy = busy.then(|| Busy::with(&manager, 1));
            manager.resize(1, 1).unwrap();
            slow.open();
            if let Some(busy) = busy {
                busy.release();
            }
            await_rest(&manager, 1);
            kit.wait_until(|counts| counts.live == 1);
            id_of(&manager);
            assert_eq!(manager.stats().max_workers, 1);
            let before = kit.peak();
            clock.advance(LIFETIME * 2); // the next succession has no room
            await_rest(&manager, 1);
            kit.wait_until(|counts| counts.live == 1);
            assert_complete(&manager.stop().unwrap());
            assert_eq!((before, kit.peak()), (2, 2));
            kit.assert_all_destroyed_once();
        }
    });
}

// Promises 3 and 4: resources grow old in a pause as well, and nothing starts for that.
#[test]
fn a_resource_that_expires_in_a_pause_is_replaced_in_it() {
    on_every_manager(|kind| {
        for room in [0, 1] {
            let (kit, clock, seen) = (Kit::new(), ManualClock::new(), Recorder::new());
            let config = kit.config(1).max_worker_count(1 + room).max_lifetime(LIFETIME);
            let config = config.scaling(Still).observer(seen.clone());
            let manager = kind.build(config.clock(clock.clone()));
            await_rest(&manager, 1);
            manager.pause();
            let waiting = manager.task(|_, res| Ok(res.id())).submit();
            clock.advance(AGED);
            kit.wait_until(|counts| counts.created == 2 && counts.destroyed == 1);
            await_rest(&manager, 1);
            assert_eq!(seen.count(|what| matches!(what, What::TaskStarted { .. })), 0);
            manager.resume();
            assert_eq!(waiting.wait().unwrap(), 2);
            assert_complete(&manager.stop().unwrap());
            assert_eq!(kit.peak(), 1 + room as u64);
        }
    });
}

// Promises 3, 10 and 11: a shutdown while a worn resource's successor is being made ends, and both go.
#[test]
fn a_shutdown_while_a_worn_resource_is_succeeded_destroys_both() {
    on_every_manager(|kind| {
        for begin in [begin_stop, begin_kill] {
            let (kit, slow) = (Kit::new(), Gate::new());
            let config = kit.config(1).max_worker_count(2).max_uses(10).scaling(Still);
            let manager = kind.build(config.clock(ManualClock::new()));
            kit.block_creates(&slow);
            for _ in 0..9 {
                assert_eq!(id_of(&manager), 1);
            }
            slow.await_arrivals(1);
            let shutdown = begin(&manager);
            kit.wait_until(|counts| counts.destroyed == 1);
            slow.open();
            assert_complete(&report_of(shutdown));
            assert_eq!((kit.created(), kit.peak()), (2, 2));
            kit.assert_all_destroyed_once();
        }
    });
}

// Promise 9: a succession whose creation panics leaves the old resource serving, and is tried again.
#[test]
fn a_successor_whose_creation_panics_is_tried_again() {
    on_every_manager(|kind| {
        let (kit, clock, seen) = (Kit::new(), ManualClock::new(), Recorder::new());
        let config = kit.config(1).max_worker_count(2).max_lifetime(LIFETIME).scaling(Still);
        let manager = kind.build(config.clock(clock.clone()).observer(seen.clone()));
        await_rest(&manager, 1);
        kit.panic_next_create();
        clock.advance(AGED);
        seen.wait_for(1, |what| matches!(what, What::CreateFailed { panicked: true, .. }));
        assert_eq!(id_of(&manager), 1);
        eventually("it is tried again", || {
            clock.advance(Duration::from_millis(5));
            kit.created() == 2
        });
        kit.wait_until(|counts| counts.destroyed == 1);
        assert_eq!(id_of(&manager), 3);
        await_rest(&manager, 1);
        let reason = DestroyReason::Expired;
        let expired = |what: &What| matches!(what, What::ResourceDestroyed { reason: why, .. } if *why == reason);
        assert_eq!(seen.count(expired), 1);
        assert_complete(&manager.stop().unwrap());
        assert_eq!(kit.peak(), 2);
        kit.assert_all_destroyed_once();
    });
}

// Promises 1, 2, 3 and 4: every way in which a resource can go, at the same time.
#[test]
fn a_crowd_among_short_lived_resources_loses_nothing() {
    on_every_manager(|kind| {
        let (kit, used) = (Kit::new(), Arc::new(AtomicU64::new(0)));
        let turn = AtomicU64::new(0);
        let config = kit.config(2).max_worker_count(5).burst_interval(Duration::from_millis(1));
        let config = config.max_lifetime(Duration::from_millis(3)).max_uses(12);
        let config = config.idle_timeout(Duration::from_millis(2)).min_idle(1);
        let config = config
            .validate(move |_| !turn.fetch_add(1, Ordering::Relaxed).is_multiple_of(5))
            .validate_after(Duration::from_micros(200));
        let manager = kind.build(config);
        thread::scope(|scope| {
            for caller in 0..4 {
                let (manager, used) = (&manager, &used);
                scope.spawn(move || {
                    for n in 0..60 {
                        let used = Arc::clone(used);
                        let ended = Door::ALL[(caller + n) % 4].send(manager, move |cx, _| {
                            if n % 10 == 3 && cx.attempt() == 1 {
                                return Err(Fault::Sick);
                            }
                            used.fetch_add(1, Ordering::Relaxed);
                            Ok(())
                        });
                        ended.unwrap();
                    }
                });
            }
            scope.spawn(|| {
                for n in 0..40 {
                    manager.resize(1 + n % 3, 3 + n % 3).unwrap();
                    manager.pause();
                    thread::yield_now();
                    manager.resume();
                }
                manager.resize(2, 5).unwrap();
            });
        });
        let report = manager.stop().unwrap();
        assert_complete(&report);
        assert_eq!((report.completed, used.load(Ordering::Relaxed)), (240, 240));
        assert!(kit.peak() <= 5, "{} resources at once", kit.peak());
        kit.assert_all_destroyed_once();
    });
}

// Promise 4: what waits while a resource is succeeded runs in its order all the same.
#[test]
fn a_succession_does_not_change_the_order_of_what_waits() {
    for kind in Manager::ALL {
        crate::support::within(crate::support::LIMIT, move || {
            let (kit, clock, seen) = (Kit::new(), ManualClock::new(), Recorder::new());
            let config = kit.config(1).max_lifetime(LIFETIME).observer(seen.clone());
            let manager = kind.build(config.clock(clock.clone()));
            let busy = Busy::with(&manager, 1);
            let tasks = [Priority::Low, Priority::Normal, Priority::High, Priority::Normal];
            let tasks = tasks.map(|priority| {
                manager.task(|_, res| Ok(res.id())).priority(priority).name("in line").submit()
            });
            crate::support::pass(&manager, &clock, LIFETIME); // its age is noticed
            let ids = tasks.each_ref().map(tasker::TaskHandle::id);
            busy.release();
            for task in tasks {
                assert_eq!(task.wait().unwrap(), 2);
            }
            manager.stop().unwrap();
            let started: Vec<_> = seen
                .events()
                .into_iter()
                .filter_map(|event| match event.what {
                    What::TaskStarted { id, name: Some(name), .. } if name == "in line" => Some(id),
                    _ => None,
                })
                .collect();
            assert_eq!(started, [ids[2], ids[1], ids[3], ids[0]]);
        });
    }
}
