//! Promises 2, 3 and 9: a resource lives as long as was asked for, whoever uses it and whatever fails.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tasker::autoscale::{Plan, Reason};
use tasker::testing::ManualClock;
use tasker::{BuildError, Config, DestroyReason, Owner, Priority, TaskError, TaskManager};

use crate::support::{
    Busy, Door, Fault, Gate, Kit, LIMIT, Manager, Puppet, Recorder, Res, What, assert_complete,
    assert_only, await_rest, begin_kill, begin_stop, end, eventually, gone, gone_from_pool, id_of,
    on_every_door, on_every_manager, report_of, step, within,
};

const INTERVAL: Duration = Duration::from_millis(100);
const LIFETIME: Duration = Duration::from_secs(100);
const PERCENT: Duration = Duration::from_secs(1);
const AGED: Duration = Duration::from_secs(96);
const IDLE: Duration = Duration::from_secs(60);

/// How often each resource was used.
#[derive(Debug, Clone, Default)]
struct Uses(Arc<Mutex<HashMap<u64, u64>>>);

impl Uses {
    fn note(&self, res: &Res) -> u64 {
        *self.lock().entry(res.id()).or_default() += 1;
        res.id()
    }

    fn most(&self) -> u64 {
        self.lock().values().copied().max().unwrap_or_default()
    }

    fn total(&self) -> u64 {
        self.lock().values().sum()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// ---- max_lifetime ----

// Promise 3: an idle worker's resource goes as well, at the age that was asked for or a little less.
#[test]
fn an_old_resource_is_replaced_between_85_and_100_percent_of_its_lifetime() {
    on_every_manager(|kind| {
        for room in [0, 1] {
            let (kit, clock, seen) = (Kit::new(), ManualClock::new(), Recorder::new());
            let config = kit.config(1).max_worker_count(1 + room).max_lifetime(LIFETIME);
            let config = config.scaling(Puppet::new()).clock(clock.clone());
            let manager = kind.build(config.observer(seen.clone()));
            await_rest(&manager, 1);
            let age = (1..=100).find(|_| {
                step(&manager, &clock, PERCENT);
                await_rest(&manager, 1);
                kit.created() == 2
            });
            let age = age.expect("it is replaced");
            assert!((85..=96).contains(&age), "replaced at {age} %");
            kit.wait_until(|counts| counts.destroyed == 1);
            seen.wait_for(1, gone(DestroyReason::Expired));
            assert_eq!(id_of(&manager, Door::Run), 2);
            assert_eq!(manager.stats().burst_workers, 0);
            end(&manager, &kit);
            assert_eq!(kit.peak(), 1 + room as u64);
            assert_eq!(seen.count(gone(DestroyReason::Expired)), 1);
            assert_only(&seen, DestroyReason::Expired);
        }
    });
}

// Promise 2: where the cap has room, tasks do not wait for the replacement.
#[test]
fn an_old_resource_serves_until_its_replacement_is_ready() {
    on_every_manager(|kind| {
        let (kit, clock, seen) = (Kit::new(), ManualClock::new(), Recorder::new());
        let slow = Gate::new();
        let config = kit.config(1).max_worker_count(2).max_lifetime(LIFETIME);
        let config = config.scaling(Puppet::new()).clock(clock.clone());
        let manager = kind.build(config.observer(seen.clone()));
        step(&manager, &clock, PERCENT * 84);
        assert_eq!(kit.counts().calls, 1, "it is young");
        kit.block_creates(&slow);
        step(&manager, &clock, PERCENT * 12);
        slow.await_arrivals(1);
        for door in Door::ALL {
            assert_eq!(id_of(&manager, door), 1);
        }
        assert_eq!((kit.peak(), kit.destroyed()), (2, 0));
        slow.open();
        seen.wait_for(1, gone(DestroyReason::Expired));
        for door in Door::ALL {
            assert_eq!(id_of(&manager, door), 2);
        }
        end(&manager, &kit);
        assert_eq!((kit.peak(), kit.created()), (2, 2));
    });
}

// Promise 2: where the cap has no room, the old resource goes before the new one is begun.
#[test]
fn without_room_an_old_resource_is_destroyed_before_its_replacement_is_made() {
    on_every_manager(|kind| {
        let (kit, clock, seen) = (Kit::new(), ManualClock::new(), Recorder::new());
        let slow = Gate::new();
        let config = kit.config(1).max_lifetime(LIFETIME);
        let manager = kind.build(config.clock(clock.clone()).observer(seen.clone()));
        kit.block_destroys(&slow);
        await_rest(&manager, 1);
        step(&manager, &clock, PERCENT * 96);
        slow.await_arrivals(1);
        let waiting = manager.task(|_, res| Ok(res.id())).submit();
        assert_eq!(kit.counts().calls, 1);
        slow.open();
        assert_eq!(waiting.wait().unwrap(), 2);
        end(&manager, &kit);
        assert_eq!(kit.peak(), 1);
        assert_eq!(seen.count(gone(DestroyReason::Expired)), 1);
    });
}

// Promise 1: no task loses its resource in the middle, however old that is.
#[test]
fn an_old_resource_is_not_taken_from_a_task_that_runs() {
    on_every_manager(|kind| {
        for room in [0, 1] {
            let (kit, clock, seen) = (Kit::new(), ManualClock::new(), Recorder::new());
            let config = kit.config(1).max_worker_count(1 + room).max_lifetime(LIFETIME);
            let config = config.scaling(Puppet::new()).clock(clock.clone());
            let manager = kind.build(config.observer(seen.clone()));
            let (gate, kit_inside) = (Gate::new(), kit.clone());
            let inside = gate.clone();
            let long = manager.task_once(move |_, res| {
                inside.wait();
                Ok((res.id(), kit_inside.destroyed()))
            });
            let long = long.submit();
            gate.await_arrivals(1);
            for _ in 0..75 {
                step(&manager, &clock, PERCENT * 2); // a step from aging to the end would leave out the first
            }
            await_rest(&manager, room);
            assert_eq!((kit.created(), kit.destroyed()), (1 + room as u64, 0));
            gate.open();
            assert_eq!(long.wait().unwrap(), (1, 0));
            seen.wait_for(1, gone(DestroyReason::Expired));
            assert_eq!(id_of(&manager, Door::Wait), 2);
            assert_eq!(id_of(&manager, Door::Run), 2);
            end(&manager, &kit);
            assert_eq!((kit.peak(), kit.created()), (1 + room as u64, 2));
        }
    });
}

// Promise 18: a resource in its caller's hands is not taken away either.
#[test]
fn an_old_resource_is_not_taken_from_a_blocking_caller() {
    on_every_manager(|kind| {
        let (kit, clock, seen) = (Kit::new(), ManualClock::new(), Recorder::new());
        let config = kit.config(1).max_lifetime(LIFETIME);
        let manager = kind.build(config.clock(clock.clone()).observer(seen.clone()));
        let used = manager.queue_task(|_, res| {
            step(&manager, &clock, LIFETIME * 2);
            Ok((res.id(), kit.destroyed()))
        });
        assert_eq!(used.unwrap(), (1, 0));
        seen.wait_for(1, gone(DestroyReason::Expired));
        assert_eq!(id_of(&manager, Door::Run), 2);
        end(&manager, &kit);
        assert_eq!(kit.peak(), 1);
    });
}

// Promise 2: of a worker that is still busy and its successor, the old one is to go, whatever the policy
// and `idle_timeout` think of the one that has nothing to do yet.
#[test]
fn a_successor_that_is_ready_is_not_dismissed_while_its_predecessor_is_busy() {
    on_every_manager(|kind| {
        for by_policy in [true, false] {
            let (kit, clock, puppet) = (Kit::new(), ManualClock::new(), Puppet::new());
            let mut config = kit.config(1).max_worker_count(2).max_lifetime(LIFETIME);
            if !by_policy {
                config = config.idle_timeout(PERCENT);
            }
            let config = config.burst_interval(INTERVAL).scaling(puppet.clone());
            let manager = kind.build(config.clock(clock.clone()));
            let busy = Busy::with(&manager, 1);
            step(&manager, &clock, PERCENT * 96);
            await_rest(&manager, 1);
            if by_policy {
                puppet.say_workers(1);
            }
            // Both count as one worker, so that nothing is to be scaled; should anybody look all the same,
            // these are the times at which it would.
            for _ in 0..20 {
                step(&manager, &clock, INTERVAL);
            }
            eventually("nobody goes", || manager.stats().leaving_workers == 0);
            let there = (manager.stats().idle_workers, kit.destroyed());
            busy.release();
            eventually("one is left", || kit.live() == 1);
            let id = id_of(&manager, Door::Run);
            end(&manager, &kit);
            assert_eq!(there, (1, 0), "by policy: {by_policy}");
            assert_eq!(id, 2);
        }
    });
}

// Promise 2: resources that were made together do not go together.
#[test]
fn the_resources_of_many_workers_do_not_expire_at_the_same_instant() {
    on_every_manager(|kind| {
        let (kit, clock, seen) = (Kit::new(), ManualClock::new(), Recorder::new());
        let config = kit.config(32).max_lifetime(LIFETIME);
        let manager = kind.build(config.clock(clock.clone()).observer(seen.clone()));
        await_rest(&manager, 32);
        step(&manager, &clock, PERCENT * 84);
        await_rest(&manager, 32);
        assert_eq!(kit.destroyed(), 0);
        let mut before = 0;
        let mut at_once = Vec::new();
        for _ in 85..=96 {
            step(&manager, &clock, PERCENT);
            await_rest(&manager, 32);
            at_once.push(kit.destroyed() - before);
            before = kit.destroyed();
        }
        assert_eq!(before, 32, "{at_once:?}");
        assert!(at_once.iter().filter(|count| **count > 0).count() >= 4, "{at_once:?}");
        end(&manager, &kit);
        assert_eq!(kit.peak(), 32);
        assert_eq!(seen.count(gone(DestroyReason::Expired)), 32);
    });
}

// Promise 9: what cannot be replaced serves for as long as it may.
#[test]
fn an_old_resource_whose_replacement_fails_serves_until_its_full_age() {
    on_every_manager(|kind| {
        let (kit, clock, seen) = (Kit::new(), ManualClock::new(), Recorder::new());
        let config = kit.config(1).max_worker_count(2).max_lifetime(LIFETIME);
        let config = config.scaling(Puppet::new()).clock(clock.clone());
        let manager = kind.build(config.observer(seen.clone()));
        await_rest(&manager, 1);
        kit.break_down();
        step(&manager, &clock, PERCENT * 96);
        kit.wait_until(|counts| counts.failures >= 1);
        for _ in 96..99 {
            for door in Door::ALL {
                assert_eq!(id_of(&manager, door), 1);
            }
            step(&manager, &clock, PERCENT);
        }
        assert_eq!(id_of(&manager, Door::Run), 1);
        assert_eq!(kit.destroyed(), 0);
        step(&manager, &clock, PERCENT);
        seen.wait_for(1, gone(DestroyReason::Expired));
        let waiting = manager.task(|_, res| Ok(res.id())).submit();
        kit.mend();
        eventually("it gets a new one", || {
            clock.advance(INTERVAL);
            waiting.is_finished()
        });
        assert!(waiting.wait().unwrap() > 2);
        end(&manager, &kit);
        assert!(kit.peak() <= 2);
    });
}

// Promises 3, 10, 11: a shutdown in the middle of a succession ends, and both resources go.
#[test]
fn a_shutdown_in_the_middle_of_a_succession_destroys_both_resources() {
    on_every_manager(|kind| {
        for (begin, busy) in [
            (begin_stop as fn(&TaskManager<Res, Fault>) -> _, false),
            (begin_stop, true),
            (begin_kill, false),
            (begin_kill, true),
        ] {
            let (kit, clock, slow) = (Kit::new(), ManualClock::new(), Gate::new());
            let config = kit.config(1).max_worker_count(2).max_lifetime(LIFETIME);
            let manager = kind.build(config.scaling(Puppet::new()).clock(clock.clone()));
            let busy = busy.then(|| Busy::with(&manager, 1));
            kit.block_creates(&slow);
            step(&manager, &clock, PERCENT * 96);
            slow.await_arrivals(1);
            let shutdown = begin(&manager);
            clock.advance(LIFETIME);
            if let Some(busy) = busy {
                busy.release();
            }
            kit.wait_until(|counts| counts.destroyed == 1);
            slow.open();
            assert_complete(&report_of(shutdown));
            kit.assert_all_destroyed_once();
            assert_eq!(kit.created(), 2);
        }
    });
}

// Small print: pooled resources are replaced one after the other, so that the pool is not emptied.
#[test]
fn old_pooled_resources_are_replaced_one_after_the_other() {
    for kind in Manager::POOLED {
        within(LIMIT, move || {
            let (kit, clock, seen) = (Kit::new(), ManualClock::new(), Recorder::new());
            let slow = Gate::new();
            let config = kit.config(1).resource_pool_size(2).max_lifetime(LIFETIME);
            let manager = kind.build(config.clock(clock.clone()).observer(seen.clone()));
            let busy = Busy::with(&manager, 1); // its worker's stays out of this
            kit.block_creates(&slow);
            step(&manager, &clock, PERCENT * 96);
            slow.await_arrivals(1);
            let left = manager.stats().available_resources;
            slow.open();
            seen.wait_for(2, gone_from_pool(DestroyReason::Expired));
            eventually("the pool is full", || manager.stats().available_resources == 2);
            assert!(manager.run_task(|_, res| Ok(res.id())).unwrap() > 3);
            busy.release();
            end(&manager, &kit);
            assert_eq!(kit.peak(), 3);
            assert_eq!(left, 1, "pooled resources while the first replacement is being made");
        });
    }
}

// Small print: where no replacement can be made, the other pooled resources serve until their full age.
#[test]
fn an_old_pooled_resource_without_a_replacement_serves_until_its_full_age() {
    for kind in Manager::POOLED {
        within(LIMIT, move || {
            let (kit, clock, seen) = (Kit::new(), ManualClock::new(), Recorder::new());
            let config = kit.config(1).resource_pool_size(2).max_lifetime(LIFETIME);
            let manager = kind.build(config.clock(clock.clone()).observer(seen.clone()));
            let busy = Busy::with(&manager, 1);
            kit.break_down();
            step(&manager, &clock, PERCENT * 96);
            seen.wait_for(1, gone_from_pool(DestroyReason::Expired));
            seen.wait_for(1, |what| matches!(what, What::CreateFailed { owner: Owner::Pool, .. }));
            assert_eq!(manager.stats().available_resources, 1);
            let used = manager.run_task(|_, res| Ok(res.id())).unwrap();
            assert_eq!((manager.stats().available_resources, kit.destroyed()), (1, 1));
            assert!(!kit.is_gone(used), "it serves on");
            clock.advance(PERCENT * 4);
            seen.wait_for(2, gone_from_pool(DestroyReason::Expired));
            busy.release();
            kit.mend(); // the worker's resource is over as well
            end(&manager, &kit);
        });
    }
}

// Small print: a pooled resource that grows old in its caller's hands goes when it is brought back.
#[test]
fn a_pooled_resource_that_expires_in_use_goes_when_it_comes_back() {
    for kind in Manager::POOLED {
        within(LIMIT, move || {
            let (kit, clock, seen) = (Kit::new(), ManualClock::new(), Recorder::new());
            let config = kit.config(1).resource_pool_size(1).max_lifetime(LIFETIME);
            let manager = kind.build(config.clock(clock.clone()).observer(seen.clone()));
            let busy = Busy::with(&manager, 1);
            let used = manager.run_task(|_, res| {
                step(&manager, &clock, LIFETIME);
                Ok((res.id(), kit.destroyed()))
            });
            let (id, destroyed) = used.unwrap();
            assert_eq!(destroyed, 0);
            seen.wait_for(1, gone_from_pool(DestroyReason::Expired));
            eventually("the pool is full", || manager.stats().available_resources == 1);
            assert_ne!(manager.run_task(|_, res| Ok(res.id())).unwrap(), id);
            busy.release();
            end(&manager, &kit);
        });
    }
}

// ---- max_uses ----

// Promise 3: no resource is used more often than was said, whoever uses it and whether there is room or not.
#[test]
fn a_resource_is_never_used_more_often_than_was_said() {
    on_every_manager(|kind| {
        for (max, room) in [(1, 0), (1, 2), (2, 0), (3, 2), (10, 0), (10, 2), (20, 2)] {
            let (kit, seen, uses) = (Kit::new(), Recorder::new(), Uses::default());
            let config = kit.config(2).max_worker_count(2 + room).max_uses(max);
            let config = config.scaling(Puppet::new()).observer(seen.clone());
            let manager = kind.build(config);
            thread::scope(|scope| {
                for caller in 0..4 {
                    let (manager, uses) = (&manager, &uses);
                    scope.spawn(move || {
                        for n in 0..20 {
                            let uses = uses.clone();
                            let door = Door::ALL[(caller + n) % 4];
                            door.send(manager, move |_, res| Ok(uses.note(res))).unwrap();
                        }
                    });
                }
            });
            end(&manager, &kit);
            assert_eq!(uses.total(), 80);
            assert!(uses.most() <= max, "{} uses of {max}, room {room}", uses.most());
            assert!(kit.created() >= 80 / max, "{} made for {max} uses each", kit.created());
            assert!(kit.peak() <= 2 + room as u64);
            assert!(seen.count(gone(DestroyReason::MaxUses)) > 0 || max == 20);
            assert_only(&seen, DestroyReason::MaxUses);
        }
    });
}

// Promise 2: without room a resource serves all its uses, and goes before its replacement is begun.
#[test]
fn without_room_a_resource_serves_exactly_as_often_as_was_said() {
    on_every_door(|kind, door| {
        for max in [1, 3, 10] {
            let (kit, seen) = (Kit::new(), Recorder::new());
            let manager = kind.build(kit.config(1).max_uses(max).observer(seen.clone()));
            for n in 0..max * 3 {
                assert_eq!(id_of(&manager, door), 1 + n / max, "task {n}");
            }
            seen.wait_for(3, gone(DestroyReason::MaxUses));
            end(&manager, &kit);
            assert_eq!(kit.peak(), 1);
            assert_only(&seen, DestroyReason::MaxUses);
        }
    });
}

// Promise 2: with room the replacement is begun in the last tenth of the uses, and waited for at their end.
#[test]
fn a_replacement_is_made_during_the_last_tenth_of_the_uses() {
    on_every_door(|kind, door| {
        let (kit, clock, seen) = (Kit::new(), ManualClock::new(), Recorder::new());
        let (slow, uses) = (Gate::new(), Uses::default());
        let config = kit.config(1).max_worker_count(2).max_uses(20).clock(clock);
        let config = config.scaling(Puppet::new()).observer(seen.clone());
        let manager = kind.build(config);
        kit.block_creates(&slow);
        for _ in 0..17 {
            assert_eq!(id_of(&manager, door), 1);
        }
        await_rest(&manager, 1);
        assert_eq!(kit.counts().calls, 1, "it is not worn yet");
        assert_eq!(id_of(&manager, door), 1);
        slow.await_arrivals(1);
        for _ in 18..20 {
            assert_eq!(id_of(&manager, door), 1, "it serves to the last use");
        }
        seen.wait_for(1, gone(DestroyReason::MaxUses));
        let noted = uses.clone();
        let waiting = manager.task(move |_, res| Ok(noted.note(res))).submit();
        assert!(!waiting.is_finished(), "nobody has a resource");
        slow.open();
        assert_eq!(waiting.wait().unwrap(), 2);
        end(&manager, &kit);
        assert_eq!((kit.peak(), kit.created()), (2, 2));
        assert_only(&seen, DestroyReason::MaxUses);
    });
}

// Promise 6: attempts count, not tasks.
#[test]
fn an_attempt_that_failed_is_a_use() {
    on_every_door(|kind, door| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(1).max_uses(2));
        for n in 0..6 {
            let id = Arc::new(AtomicUsize::new(0));
            let used = Arc::clone(&id);
            let failed = door.send::<()>(&manager, move |_, res| {
                used.store(usize::try_from(res.id()).unwrap(), Ordering::SeqCst);
                Err(Fault::Own)
            });
            assert!(matches!(failed, Err(TaskError::Failed(Fault::Own))), "{failed:?}");
            assert_eq!(id.load(Ordering::SeqCst), 1 + n / 2);
        }
        end(&manager, &kit);
    });
}

// Small print: pooled resources wear out as well.
#[test]
fn a_pooled_resource_is_never_used_more_often_than_was_said() {
    for kind in Manager::POOLED {
        within(LIMIT, move || {
            for max in [1, 3] {
                let (kit, seen, uses) = (Kit::new(), Recorder::new(), Uses::default());
                let config = kit.config(1).resource_pool_size(2).max_uses(max);
                let manager = kind.build(config.observer(seen.clone()));
                thread::scope(|scope| {
                    for _ in 0..3 {
                        scope.spawn(|| {
                            for _ in 0..20 {
                                manager.run_task(|_, res| Ok(uses.note(res))).unwrap();
                            }
                        });
                    }
                });
                end(&manager, &kit);
                assert_eq!(uses.total(), 60);
                assert!(uses.most() <= max, "{} uses of {max}", uses.most());
                assert!(seen.count(gone_from_pool(DestroyReason::MaxUses)) > 0);
            }
        });
    }
}

// ---- idle_timeout and min_idle ----

/// Grows to three workers, all of which are idle then.
fn grown(manager: &TaskManager<Res, Fault>, puppet: &Puppet, kit: &Kit) {
    let busy = Busy::with(manager, 1);
    puppet.say_workers(3);
    let waiting = manager.task(|_, _| Ok(())).submit(); // has the policy asked
    kit.wait_until(|counts| counts.created == 3);
    puppet.hold();
    waiting.wait().unwrap();
    busy.release();
    await_rest(manager, 3);
}

// Small print: burst workers go when they were idle for long enough, base workers stay.
#[test]
fn burst_workers_go_after_the_idle_timeout_and_base_workers_stay() {
    on_every_manager(|kind| {
        let (kit, clock, seen) = (Kit::new(), ManualClock::new(), Recorder::new());
        let puppet = Puppet::new();
        let config = kit.config(1).max_worker_count(3).burst_interval(INTERVAL);
        let config = config.idle_timeout(IDLE).scaling(puppet.clone());
        let manager = kind.build(config.clock(clock.clone()).observer(seen.clone()));
        grown(&manager, &puppet, &kit);
        puppet.advance(&clock, IDLE - INTERVAL * 2, INTERVAL);
        assert_eq!(manager.stats().leaving_workers, 0);
        assert_eq!(kit.live(), 3, "not yet");
        clock.advance(INTERVAL);
        kit.wait_until(|counts| counts.live == 1);
        seen.wait_for(2, gone(DestroyReason::Idle));
        let scaled = |what: &What| {
            matches!(
                what,
                What::Scaled { from: 3, to: 1, reason: Reason::IdleTimeout { idle_for, .. } }
                    if *idle_for >= IDLE
            )
        };
        seen.wait_for(1, scaled); // the workers may be gone before that is puppet
        assert_eq!(seen.count(scaled), 1);
        await_rest(&manager, 1);
        step(&manager, &clock, IDLE * 10);
        assert_eq!(manager.stats().idle_workers, 1);
        assert_eq!((manager.stats().base_workers, manager.stats().burst_workers), (1, 0));
        id_of(&manager, Door::Run);
        end(&manager, &kit);
        assert_eq!((kit.created(), kit.peak()), (3, 3));
        assert_only(&seen, DestroyReason::Idle);
    });
}

// Small print: who has something to do now and then is not idle for long.
#[test]
fn a_burst_worker_that_is_used_in_between_stays() {
    on_every_manager(|kind| {
        let (kit, clock, puppet) = (Kit::new(), ManualClock::new(), Puppet::new());
        let config = kit.config(1).max_worker_count(3).burst_interval(INTERVAL);
        let config = config.idle_timeout(IDLE).scaling(puppet.clone());
        let manager = kind.build(config.clock(clock.clone()));
        grown(&manager, &puppet, &kit);
        for _ in 0..4 {
            puppet.advance(&clock, IDLE / 2, INTERVAL);
            Busy::with(&manager, 3).release();
            await_rest(&manager, 3);
        }
        assert_eq!((kit.created(), kit.live()), (3, 3));
        end(&manager, &kit);
    });
}

// Small print: what nobody took from the pool for too long goes, down to `min_idle`.
#[test]
fn a_pool_loses_what_is_idle_and_is_filled_again_when_it_was_found_empty() {
    for kind in Manager::POOLED {
        within(LIMIT, move || {
            let (kit, clock, seen) = (Kit::new(), ManualClock::new(), Recorder::new());
            let config = kit.config(1).resource_pool_size(2).idle_timeout(IDLE);
            let manager = kind.build(config.clock(clock.clone()).observer(seen.clone()));
            step(&manager, &clock, IDLE - PERCENT);
            assert_eq!((manager.stats().available_resources, kit.destroyed()), (2, 0));
            step(&manager, &clock, PERCENT);
            seen.wait_for(2, gone_from_pool(DestroyReason::Idle));
            assert_eq!(manager.stats().available_resources, 0);
            assert_eq!(kit.created(), 3, "nobody asked for more");
            for available in 1..=2 {
                let busy = (available == 2).then(Gate::new);
                let Some(gate) = busy else {
                    manager.run_task(|_, res| Ok(res.id())).unwrap();
                    eventually("one more", || manager.stats().available_resources == 1);
                    continue;
                };
                thread::scope(|scope| {
                    scope.spawn(|| {
                        let wait = |_: &_, _: &mut _| {
                            gate.wait();
                            Ok(())
                        };
                        manager.run_task(wait).unwrap();
                    });
                    gate.await_arrivals(1);
                    manager.run_task(|_, res| Ok(res.id())).unwrap(); // finds it empty
                    gate.open();
                });
                eventually("two more", || manager.stats().available_resources == 2);
            }
            end(&manager, &kit);
        });
    }
}

// Small print: `min_idle` of the pooled resources are left alone.
#[test]
fn a_pool_keeps_min_idle_resources() {
    for kind in Manager::POOLED {
        within(LIMIT, move || {
            let (kit, clock, seen) = (Kit::new(), ManualClock::new(), Recorder::new());
            let config = kit.config(1).resource_pool_size(3).idle_timeout(IDLE).min_idle(1);
            let manager = kind.build(config.clock(clock.clone()).observer(seen.clone()));
            step(&manager, &clock, IDLE);
            seen.wait_for(2, gone_from_pool(DestroyReason::Idle));
            step(&manager, &clock, IDLE * 10);
            assert_eq!(manager.stats().available_resources, 1);
            end(&manager, &kit);
            assert_eq!(seen.count(gone_from_pool(DestroyReason::Idle)), 2);
            assert_eq!(kit.created(), 4);
        });
    }
}

// Small print: it is there although the caller that took the last idle resource did so without waiting for anything.
#[test]
fn a_caller_that_takes_the_last_idle_resource_has_another_one_made() {
    within(LIMIT, || {
        let (kit, clock, puppet) = (Kit::new(), ManualClock::new(), Puppet::new());
        let config = kit.config(1).max_worker_count(2).burst_interval(INTERVAL).min_idle(1);
        let config = config.clock(clock.clone()).scaling(puppet.clone());
        let manager = TaskManager::new(config).unwrap();
        assert_eq!(kit.created(), 1, "one is idle");
        let made = manager.queue_task(|_, _| {
            clock.advance(INTERVAL);
            kit.wait_until(|counts| counts.created == 2);
            Ok(())
        });
        made.unwrap();
        end(&manager, &kit);
    });
}

// Small print: `min_idle` is there before anybody waits, beyond those in use, below the cap.
#[test]
fn idle_workers_are_kept_ready_although_no_task_waits() {
    on_every_manager(|kind| {
        let (kit, clock, seen) = (Kit::new(), ManualClock::new(), Recorder::new());
        let puppet = Puppet::new();
        let config = kit.config(1).max_worker_count(4).burst_interval(INTERVAL).min_idle(2);
        let config = config.idle_timeout(IDLE).scaling(puppet.clone());
        let manager = kind.build(config.clock(clock.clone()).observer(seen.clone()));
        await_rest(&manager, 2);
        for (busy_workers, live) in [(1, 3), (2, 4), (3, 4)] {
            let busy = Busy::with(&manager, busy_workers);
            clock.advance(INTERVAL); // once: as often as it takes might be longer than the idle timeout
            eventually("others are ready", || manager.stats().idle_workers == live - busy_workers);
            busy.release();
        }
        assert_eq!(kit.created(), 4);
        let ahead = |what: &What| {
            matches!(what, What::Scaled { reason: Reason::MinIdle { min_idle: 2, .. }, .. })
        };
        assert!(seen.count(ahead) >= 3);
        // Neither `idle_timeout` nor the policy takes those away.
        puppet.say_workers(1);
        eventually("two are left", || {
            clock.advance(INTERVAL);
            kit.live() == 2
        });
        for _ in 0..5 {
            step(&manager, &clock, IDLE);
        }
        await_rest(&manager, 2);
        assert_eq!(kit.live(), 2);
        end(&manager, &kit);
        assert!(kit.peak() <= 4);
    });
}

// ---- while limits, pauses and policies change ----

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
                false => config.burst_interval(INTERVAL).scaling(Puppet::new()),
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
            // A minute at the most, however slow the machine is: far less than a lifetime.
            let steps = Cell::new(1200);
            eventually("one is left", || {
                if steps.get() > 0 {
                    steps.set(steps.get() - 1);
                    clock.advance(Duration::from_millis(50));
                }
                kit.live() == 1
            });
            assert_eq!(manager.stats().burst_workers, 0, "bursting off: {off}");
            assert!(id_of(&manager, Door::Wait) > 1);
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
        let greedy = Puppet::new();
        greedy.say(|load| Plan::new(load.max_worker_count, "as many as there may be"));
        let config = config.burst_interval(INTERVAL).scaling(greedy);
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
            let config =
                kit.config(1).max_worker_count(2).max_lifetime(LIFETIME).scaling(Puppet::new());
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
            id_of(&manager, Door::Wait);
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
            let config = config.scaling(Puppet::new()).observer(seen.clone());
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
            let config = kit.config(1).max_worker_count(2).max_uses(10).scaling(Puppet::new());
            let manager = kind.build(config.clock(ManualClock::new()));
            kit.block_creates(&slow);
            for _ in 0..9 {
                assert_eq!(id_of(&manager, Door::Wait), 1);
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
        let config =
            kit.config(1).max_worker_count(2).max_lifetime(LIFETIME).scaling(Puppet::new());
        let manager = kind.build(config.clock(clock.clone()).observer(seen.clone()));
        await_rest(&manager, 1);
        kit.panic_next_create();
        clock.advance(AGED);
        seen.wait_for(1, |what| matches!(what, What::CreateFailed { panicked: true, .. }));
        assert_eq!(id_of(&manager, Door::Wait), 1);
        eventually("it is tried again", || {
            clock.advance(Duration::from_millis(5));
            kit.created() == 2
        });
        kit.wait_until(|counts| counts.destroyed == 1);
        assert_eq!(id_of(&manager, Door::Wait), 3);
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

// ---- at the door ----

// Small print: a setting that makes no sense is named, and nothing is made.
#[test]
fn a_setting_that_makes_no_sense_is_named_and_nothing_is_made() {
    type Set = fn(Config<Res, Fault>) -> Config<Res, Fault>;
    on_every_manager(|kind| {
        let table: [(&str, Set); 6] = [
            ("max_lifetime", |config| config.max_lifetime(Duration::ZERO)),
            ("idle_timeout", |config| config.idle_timeout(Duration::ZERO)),
            ("max_uses", |config| config.max_uses(0)),
            ("validate_after", |config| config.validate_after(Duration::ZERO)),
            ("validate_after", |config| config.validate_after(IDLE)),
            ("min_idle", |config| config.max_worker_count(3).min_idle(4)),
        ];
        for (named, set) in table {
            let kit = Kit::new();
            let refused = kind.try_build(set(kit.config(2)));
            match refused {
                Err(error @ BuildError::InvalidSetting { setting, .. }) => {
                    assert_eq!(setting, named);
                    assert!(error.to_string().contains(named), "{error}");
                }
                Err(other) => panic!("{named}: {other}"),
                Ok(_) => panic!("{named} is accepted"),
            }
            assert_eq!(kit.counts().calls, 0, "{named}");
        }
    });
}
