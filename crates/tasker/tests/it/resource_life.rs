//! Promises 2, 3 and 16: a resource lives as long as was asked for, whoever uses it and whatever fails.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tasker::autoscale::{Load, Plan, Reason, ScalingPolicy};
use tasker::testing::ManualClock;
use tasker::{BuildError, Config, DestroyReason, Owner, Priority, TaskError, TaskManager};

use crate::support::{
    Busy, Door, Fault, Gate, Kit, LIMIT, Manager, Recorder, Res, What, assert_complete, begin_kill,
    begin_stop, eventually, on_every_door, on_every_manager, report_of, within,
};

const INTERVAL: Duration = Duration::from_millis(100);
const LIFETIME: Duration = Duration::from_secs(100);
const PERCENT: Duration = Duration::from_secs(1);
const IDLE: Duration = Duration::from_secs(60);

/// The kinds of manager that have a pool.
const POOLED: [Manager; 2] = [Manager::Lending, Manager::NotLending];

/// A policy that grows or shrinks to the number that the test sets; zero leaves things as they are.
#[derive(Debug, Clone, Default)]
struct Told(Arc<(AtomicUsize, Mutex<Option<Instant>>)>);

impl Told {
    fn grow_to(&self, workers: usize) {
        self.0.0.store(workers, Ordering::SeqCst);
    }

    /// Moves the clock on, and blocks until the policy was asked and its answer carried out.
    fn advance(&self, clock: &ManualClock, step: Duration) {
        for step in [step, INTERVAL] {
            clock.advance(step); // the second look comes after the plan of the first one
            let now = clock.now();
            eventually("the policy is asked", || *self.seen() == Some(now));
        }
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.0.1.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ScalingPolicy for Told {
    fn plan(&mut self, load: &Load, now: Instant) -> Plan {
        *self.seen() = Some(now);
        match self.0.0.load(Ordering::SeqCst) {
            0 => Plan::hold(load, "told to hold"),
            workers => Plan::new(workers, "told so"),
        }
    }
}

/// A `validate` that remembers whom it was asked about, and fails or panics on order.
#[derive(Debug, Clone, Default)]
struct Ping(Arc<Mutex<Pinged>>);

#[derive(Debug, Default)]
struct Pinged {
    /// The resources, and whether they were asked about on the thread that made them.
    asked: Vec<(u64, bool)>,
    threads: Vec<thread::ThreadId>,
    unsound: HashSet<u64>,
    panics: bool,
    /// Every so many calls the resource is found unsound.
    every: usize,
}

impl Ping {
    fn config(&self, config: Config<Res, Fault>) -> Config<Res, Fault> {
        let ping = self.clone();
        config.validate(move |res| ping.ask(res))
    }

    fn ask(&self, res: &Res) -> bool {
        let mut it = self.lock();
        it.asked.push((res.id(), res.is_at_home()));
        it.threads.push(thread::current().id());
        if it.every > 0 && it.asked.len().is_multiple_of(it.every) {
            it.unsound.insert(res.id());
        }
        let (sound, panics) = (!it.unsound.contains(&res.id()), it.panics);
        it.panics = false;
        drop(it);
        assert!(!panics, "validate panics on order");
        sound
    }

    fn spoil(&self, ids: impl IntoIterator<Item = u64>) {
        self.lock().unsound.extend(ids);
    }

    fn is_unsound(&self, id: u64) -> bool {
        self.lock().unsound.contains(&id)
    }

    fn asked(&self) -> Vec<(u64, bool)> {
        self.lock().asked.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Pinged> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

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

/// Moves `clock` on by `step` and blocks until what falls due by then was decided, also where workers
/// are idle. The deeds that follow from it may still be under way.
fn step(manager: &TaskManager<Res, Fault>, clock: &ManualClock, step: Duration) {
    manager.pause(); // so that nobody runs the marker
    let marker = manager.task_once(|_, _| Ok(())).priority(Priority::Low).start_within(step);
    let marker = marker.submit();
    clock.advance(step);
    let ended = marker.wait();
    assert!(matches!(ended, Err(TaskError::Expired)), "{ended:?}");
    manager.resume();
}

/// Blocks until `idle` workers are idle and nobody is coming, going or repairing.
fn await_rest(manager: &TaskManager<Res, Fault>, idle: usize) {
    eventually("the workers rest", || {
        let stats = manager.stats();
        (stats.idle_workers, stats.recovering_workers, stats.leaving_workers) == (idle, 0, 0)
    });
}

fn gone(reason: DestroyReason) -> impl Fn(&What) -> bool {
    move |what| matches!(what, What::ResourceDestroyed { reason: why, .. } if *why == reason)
}

fn gone_from_pool(reason: DestroyReason) -> impl Fn(&What) -> bool {
    move |what| match what {
        What::ResourceDestroyed { owner, reason: why, .. } => {
            (*owner, *why) == (Owner::Pool, reason)
        }
        _ => false,
    }
}

/// Fails unless everything that went before the shutdown went for `reason`.
#[track_caller]
fn assert_only(seen: &Recorder, reason: DestroyReason) {
    for event in seen.events() {
        if let What::ResourceDestroyed { reason: why, .. } = event.what {
            assert!(why == reason || why == DestroyReason::Shutdown, "{why:?}");
        }
    }
}

fn end(manager: &TaskManager<Res, Fault>, kit: &Kit) {
    assert_complete(&manager.stop().unwrap());
    kit.assert_all_destroyed_once();
}

fn id_of(manager: &TaskManager<Res, Fault>, door: Door) -> u64 {
    door.send(manager, |_, res| Ok(res.id())).unwrap()
}

// ---- max_lifetime ----

// Promise 3: an idle worker's resource goes as well, at the age that was asked for or a little less.
#[test]
fn an_old_resource_is_replaced_between_85_and_100_percent_of_its_lifetime() {
    on_every_manager(|kind| {
        for room in [0, 1] {
            let (kit, clock, seen) = (Kit::new(), ManualClock::new(), Recorder::new());
            let config = kit.config(1).max_worker_count(1 + room).max_lifetime(LIFETIME);
            let config = config.scaling(Told::default()).clock(clock.clone());
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
        let config = config.scaling(Told::default()).clock(clock.clone());
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
            let config = config.scaling(Told::default()).clock(clock.clone());
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
            let (kit, clock, told) = (Kit::new(), ManualClock::new(), Told::default());
            let mut config = kit.config(1).max_worker_count(2).max_lifetime(LIFETIME);
            if !by_policy {
                config = config.idle_timeout(PERCENT);
            }
            let config = config.burst_interval(INTERVAL).scaling(told.clone());
            let manager = kind.build(config.clock(clock.clone()));
            let busy = Busy::with(&manager, 1);
            step(&manager, &clock, PERCENT * 96);
            await_rest(&manager, 1);
            told.grow_to(usize::from(by_policy));
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
        let config = config.scaling(Told::default()).clock(clock.clone());
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
            let manager = kind.build(config.scaling(Told::default()).clock(clock.clone()));
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
    for kind in POOLED {
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
    for kind in POOLED {
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
    for kind in POOLED {
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
            let config = config.scaling(Told::default()).observer(seen.clone());
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
        let config = config.scaling(Told::default()).observer(seen.clone());
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
    for kind in POOLED {
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
fn grown(manager: &TaskManager<Res, Fault>, told: &Told, kit: &Kit) {
    let busy = Busy::with(manager, 1);
    told.grow_to(3);
    let waiting = manager.task(|_, _| Ok(())).submit(); // has the policy asked
    kit.wait_until(|counts| counts.created == 3);
    told.grow_to(0);
    waiting.wait().unwrap();
    busy.release();
    await_rest(manager, 3);
}

// Small print: burst workers go when they were idle for long enough, base workers stay.
#[test]
fn burst_workers_go_after_the_idle_timeout_and_base_workers_stay() {
    on_every_manager(|kind| {
        let (kit, clock, seen) = (Kit::new(), ManualClock::new(), Recorder::new());
        let told = Told::default();
        let config = kit.config(1).max_worker_count(3).burst_interval(INTERVAL);
        let config = config.idle_timeout(IDLE).scaling(told.clone());
        let manager = kind.build(config.clock(clock.clone()).observer(seen.clone()));
        grown(&manager, &told, &kit);
        told.advance(&clock, IDLE - INTERVAL * 2);
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
        seen.wait_for(1, scaled); // the workers may be gone before that is told
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
        let (kit, clock, told) = (Kit::new(), ManualClock::new(), Told::default());
        let config = kit.config(1).max_worker_count(3).burst_interval(INTERVAL);
        let config = config.idle_timeout(IDLE).scaling(told.clone());
        let manager = kind.build(config.clock(clock.clone()));
        grown(&manager, &told, &kit);
        for _ in 0..4 {
            told.advance(&clock, IDLE / 2);
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
    for kind in POOLED {
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
    for kind in POOLED {
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

// Small print: `min_idle` is there before anybody waits, beyond those in use, below the cap.
#[test]
fn idle_workers_are_kept_ready_although_no_task_waits() {
    on_every_manager(|kind| {
        let (kit, clock, seen) = (Kit::new(), ManualClock::new(), Recorder::new());
        let told = Told::default();
        let config = kit.config(1).max_worker_count(4).burst_interval(INTERVAL).min_idle(2);
        let config = config.idle_timeout(IDLE).scaling(told.clone());
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
        told.grow_to(1);
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

// ---- validate ----

// Promise 17: a resource is asked after it was idle for long enough, at home, and not before.
#[test]
fn a_resource_is_validated_at_home_after_it_was_idle_for_long_enough() {
    on_every_door(|kind, door| {
        let (kit, clock, ping) = (Kit::new(), ManualClock::new(), Ping::default());
        let config = ping.config(kit.config(1)).validate_after(IDLE).clock(clock.clone());
        let manager = kind.build(config);
        for round in 1..=3 {
            await_rest(&manager, 1);
            clock.advance(IDLE - PERCENT);
            assert_eq!(id_of(&manager, door), 1);
            assert_eq!(ping.asked().len(), round - 1, "not before");
            await_rest(&manager, 1);
            clock.advance(IDLE);
            assert_eq!(id_of(&manager, door), 1);
            assert_eq!(id_of(&manager, door), 1);
            assert_eq!(ping.asked(), vec![(1, true); round]);
        }
        end(&manager, &kit);
        assert_eq!(kit.created(), 1);
    });
}

// Promise 17: where nothing else is said, a second is long enough.
#[test]
fn a_resource_counts_as_sound_for_a_second_by_default() {
    on_every_door(|kind, door| {
        let (kit, clock, ping) = (Kit::new(), ManualClock::new(), Ping::default());
        let manager = kind.build(ping.config(kit.config(1)).clock(clock.clone()));
        await_rest(&manager, 1);
        clock.advance(Duration::from_millis(999));
        id_of(&manager, door);
        assert_eq!(ping.asked(), []);
        await_rest(&manager, 1);
        clock.advance(Duration::from_secs(1));
        id_of(&manager, door);
        assert_eq!(ping.asked(), [(1, true)]);
        end(&manager, &kit);
    });
}

// Small print: without `validate` nobody asks, and nothing is replaced for having been idle or cancelled.
#[test]
fn without_validate_an_idle_resource_is_used_as_it_is() {
    on_every_door(|kind, door| {
        let (kit, clock) = (Kit::new(), ManualClock::new());
        let manager = kind.build(kit.config(1).clock(clock.clone()));
        for _ in 0..3 {
            await_rest(&manager, 1);
            clock.advance(Duration::from_secs(1_000_000));
            assert_eq!(id_of(&manager, door), 1);
        }
        let stopped = door.send::<()>(&manager, |cx, _| {
            cx.token().cancel();
            Err(Fault::Own)
        });
        assert!(matches!(stopped, Err(TaskError::Cancelled)), "{stopped:?}");
        assert_eq!(id_of(&manager, door), 1);
        end(&manager, &kit);
        assert_eq!(kit.created(), 1);
    });
}

// Promise 17: the task that waits runs on the new resource and never sees the unsound one.
#[test]
fn an_unsound_resource_reaches_no_task() {
    on_every_door(|kind, door| {
        let (kit, clock, ping) = (Kit::new(), ManualClock::new(), Ping::default());
        let seen = Recorder::new();
        let config = ping.config(kit.config(1)).validate_after(IDLE).clock(clock.clone());
        let manager = kind.build(config.observer(seen.clone()));
        for id in 1..=3 {
            ping.spoil([id]);
            await_rest(&manager, 1);
            clock.advance(IDLE);
            assert_eq!(id_of(&manager, door), id + 1);
        }
        seen.wait_for(3, gone(DestroyReason::Invalid));
        end(&manager, &kit);
        assert_eq!((kit.created(), kit.peak()), (4, 1));
        assert_eq!(ping.asked(), [(1, true), (2, true), (3, true)]);
        assert_only(&seen, DestroyReason::Invalid);
    });
}

// Small print: nor does it reach a `run_task`, which gets another one.
#[test]
fn run_task_never_sees_an_idle_workers_unsound_resource() {
    on_every_manager(|kind| {
        let (kit, clock, ping) = (Kit::new(), ManualClock::new(), Ping::default());
        let config = ping.config(kit.config(1)).validate_after(IDLE).clock(clock.clone());
        let manager = kind.build(config);
        for round in 1..=3 {
            await_rest(&manager, 1);
            ping.spoil([kit.created()]);
            clock.advance(IDLE);
            let used = manager.run_task(|_, res| Ok(res.id())).unwrap();
            assert!(!ping.is_unsound(used), "round {round}");
        }
        end(&manager, &kit);
        assert!(ping.asked().iter().all(|(_, at_home)| *at_home));
    });
}

// Promise 8: a validation that panics condemns the resource and nothing else.
#[test]
fn a_validation_that_panics_condemns_the_resource() {
    on_every_door(|kind, door| {
        let (kit, clock, ping) = (Kit::new(), ManualClock::new(), Ping::default());
        let seen = Recorder::new();
        let config = ping.config(kit.config(1)).validate_after(IDLE).clock(clock.clone());
        let manager = kind.build(config.observer(seen.clone()));
        await_rest(&manager, 1);
        clock.advance(IDLE);
        ping.lock().panics = true;
        assert_eq!(id_of(&manager, door), 2);
        seen.wait_for(1, gone(DestroyReason::Invalid));
        end(&manager, &kit);
        assert_eq!(kit.created(), 2);
    });
}

// Promise 17: after a cancelled attempt the resource is asked, at home, although it was not idle.
#[test]
fn a_resource_is_validated_after_a_cancelled_attempt() {
    on_every_door(|kind, door| {
        for sound in [true, false] {
            let (kit, clock, ping) = (Kit::new(), ManualClock::new(), Ping::default());
            let seen = Recorder::new();
            let config = ping.config(kit.config(1)).validate_after(IDLE).clock(clock);
            let manager = kind.build(config.observer(seen.clone()));
            if !sound {
                ping.spoil([1]);
            }
            let stopped = door.send::<()>(&manager, |cx, _| {
                cx.token().cancel();
                Err(Fault::Own)
            });
            assert!(matches!(stopped, Err(TaskError::Cancelled)), "{stopped:?}");
            assert_eq!(id_of(&manager, door), if sound { 1 } else { 2 });
            end(&manager, &kit);
            assert_eq!(ping.asked(), [(1, true)]);
            assert_eq!(seen.count(gone(DestroyReason::Invalid)), usize::from(!sound));
        }
    });
}

// Promise 17: after one that timed out as well, also where its caller has the resource in its hands.
#[test]
fn a_resource_is_validated_after_an_attempt_that_timed_out() {
    on_every_manager(|kind| {
        for (blocking, sound) in [(true, true), (true, false), (false, true), (false, false)] {
            let (kit, clock, ping) = (Kit::new(), ManualClock::new(), Ping::default());
            let seen = Recorder::new();
            let config = ping.config(kit.config(1)).validate_after(IDLE).clock(clock.clone());
            let manager = kind.build(config.observer(seen.clone()));
            await_rest(&manager, 1);
            if !sound {
                ping.spoil([1]);
            }
            let moved = clock.clone();
            let task = manager.task(move |cx, _| {
                moved.advance(PERCENT);
                cx.token().wait();
                Err::<(), _>(Fault::Own)
            });
            let task = task.timeout(PERCENT);
            let late = if blocking { task.run() } else { task.submit().wait() };
            assert!(matches!(late, Err(TaskError::TimedOut)), "{late:?}");
            assert_eq!(id_of(&manager, Door::Run), if sound { 1 } else { 2 });
            end(&manager, &kit);
            assert_eq!(ping.asked(), [(1, true)], "blocking: {blocking}");
            assert_eq!(seen.count(gone(DestroyReason::Invalid)), usize::from(!sound));
        }
    });
}

// Small print: a pooled resource is validated by its next caller, before that one's task starts.
#[test]
fn a_pooled_resource_is_validated_by_its_caller() {
    for kind in POOLED {
        within(LIMIT, move || {
            let (kit, clock, ping) = (Kit::new(), ManualClock::new(), Ping::default());
            let config = ping.config(kit.config(1).resource_pool_size(1)).validate_after(IDLE);
            let manager = kind.build(config.clock(clock.clone()));
            let pooled = manager.run_task(|_, res| Ok(res.id())).unwrap();
            clock.advance(IDLE - PERCENT);
            manager.run_task(|_, _| Ok(())).unwrap();
            assert_eq!(ping.asked(), []);
            clock.advance(IDLE);
            for _ in 0..2 {
                assert_eq!(manager.run_task(|_, res| Ok(res.id())).unwrap(), pooled);
            }
            assert_eq!(ping.lock().threads, [thread::current().id()]);

            let late = manager.task(|cx, _| {
                clock.advance(PERCENT);
                cx.token().wait();
                Err::<(), _>(Fault::Own)
            });
            let late = late.timeout(PERCENT).run_now();
            assert!(matches!(late, Err(TaskError::TimedOut)), "{late:?}");
            for _ in 0..2 {
                assert_eq!(manager.run_task(|_, res| Ok(res.id())).unwrap(), pooled);
            }
            assert_eq!(ping.lock().threads, [thread::current().id(); 2]);
            let stopped = manager.run_task::<()>(|cx, _| {
                cx.token().cancel();
                Err(Fault::Own)
            });
            assert!(matches!(stopped, Err(TaskError::Cancelled)), "{stopped:?}");
            ping.spoil([pooled]);
            assert_ne!(manager.run_task(|_, res| Ok(res.id())).unwrap(), pooled);
            assert_eq!(ping.asked().len(), 3);
            end(&manager, &kit);
        });
    }
}

// Small print: where no pooled resource is sound, `run_task` makes one, and the pool is filled anew.
#[test]
fn run_task_makes_a_resource_when_no_pooled_one_is_sound() {
    for kind in POOLED {
        within(LIMIT, move || {
            let (kit, clock, ping) = (Kit::new(), ManualClock::new(), Ping::default());
            let seen = Recorder::new();
            let config = ping.config(kit.config(1).resource_pool_size(2)).validate_after(IDLE);
            let manager = kind.build(config.clock(clock.clone()).observer(seen.clone()));
            let busy = Busy::with(&manager, 1);
            ping.spoil(1..=3);
            kit.block_destroys(&Gate::new()); // the steward is held up, so that the pool stays empty
            let held = Gate::new();
            kit.block_destroys(&held);
            clock.advance(IDLE);
            held.open();
            let used = manager.run_task(|_, res| Ok(res.id())).unwrap();
            assert!(used > 3, "resource {used}");
            seen.wait_for(2, gone_from_pool(DestroyReason::Invalid));
            eventually("the pool is full", || manager.stats().available_resources == 2);
            busy.release();
            end(&manager, &kit);
            assert_eq!(seen.count(gone_from_pool(DestroyReason::Invalid)), 2);
        });
    }
}

// Promise 17: the same where the steward has no time to make another one meanwhile.
#[test]
fn run_task_does_not_wait_for_the_pool_to_be_filled() {
    for kind in POOLED {
        within(LIMIT, move || {
            let (kit, clock, ping) = (Kit::new(), ManualClock::new(), Ping::default());
            let (seen, slow) = (Recorder::new(), Gate::new());
            let config = ping.config(kit.config(1).resource_pool_size(2)).validate_after(IDLE);
            let manager = kind.build(config.clock(clock.clone()).observer(seen.clone()));
            let busy = Busy::with(&manager, 1);
            ping.spoil(1..=3);
            clock.advance(IDLE);
            kit.block_destroys(&slow);
            let used = thread::scope(|scope| {
                let run = scope.spawn(|| {
                    manager.run_task(|_, res| {
                        slow.open();
                        Ok(res.id())
                    })
                });
                run.join().unwrap()
            });
            assert_eq!(used.unwrap(), 4);
            let temporary =
                |what: &What| matches!(what, What::ResourceCreated { owner: Owner::Temporary, .. });
            assert_eq!(seen.count(temporary), 1);
            busy.release();
            end(&manager, &kit);
            assert_eq!(seen.count(gone_from_pool(DestroyReason::Invalid)), 2);
        });
    }
}

// Promise 16: validating before every use holds nobody up for ever.
#[test]
fn many_callers_are_served_although_every_idle_resource_is_validated() {
    on_every_manager(|kind| {
        for by_hand in [false, true] {
            let (kit, ping) = (Kit::new(), Ping::default());
            ping.lock().every = 7;
            let mut config = ping.config(kit.config(2)).validate_after(Duration::ZERO);
            if by_hand {
                config = config.clock(ManualClock::new());
            }
            if kind != Manager::Local {
                config = config.resource_pool_size(1);
            }
            let manager = kind.build(config);
            let served = AtomicUsize::new(0);
            thread::scope(|scope| {
                for caller in 0..6 {
                    let (manager, ping, served) = (&manager, &ping, &served);
                    scope.spawn(move || {
                        for n in 0..30 {
                            let id = match (caller + n) % 5 {
                                4 => manager.run_task(|_, res| Ok(res.id())).unwrap(),
                                door => id_of(manager, Door::ALL[door]),
                            };
                            // Numbers are never used again, and what was unsound is so for ever; it may
                            // have become so after this task, though: see the test of a single caller.
                            let _ = ping.is_unsound(id);
                            served.fetch_add(1, Ordering::SeqCst);
                        }
                    });
                }
            });
            assert_eq!(served.load(Ordering::SeqCst), 180);
            assert!(!ping.asked().is_empty());
            end(&manager, &kit);
        }
    });
}

// Promise 17: a crowd never sees a resource that was found unsound before.
#[test]
fn a_crowd_never_uses_a_resource_that_was_found_unsound() {
    on_every_manager(|kind| {
        let (kit, ping) = (Kit::new(), Ping::default());
        ping.lock().every = 3;
        let manager = kind.build(ping.config(kit.config(2)).validate_after(Duration::ZERO));
        thread::scope(|scope| {
            for caller in 0..4 {
                let (manager, ping) = (&manager, &ping);
                scope.spawn(move || {
                    for n in 0..30 {
                        let ping = ping.clone();
                        let door = Door::ALL[(caller + n) % 4];
                        let met = door.send(manager, move |_, res| Ok(ping.is_unsound(res.id())));
                        assert!(!met.unwrap(), "an unsound resource reached a task");
                    }
                });
            }
        });
        end(&manager, &kit);
    });
}

// Promise 17: one caller after another has each resource validated where the limit is zero.
#[test]
fn with_a_limit_of_zero_an_idle_resource_is_validated_before_every_use() {
    on_every_door(|kind, door| {
        let (kit, clock, ping) = (Kit::new(), ManualClock::new(), Ping::default());
        let config = ping.config(kit.config(1)).validate_after(Duration::ZERO).clock(clock);
        let manager = kind.build(config);
        for used in 1..=10 {
            await_rest(&manager, 1);
            assert_eq!(id_of(&manager, door), 1);
            assert_eq!(ping.asked(), vec![(1, true); used]);
        }
        end(&manager, &kit);
    });
}

// Promise 17: a worker that goes from one task to the next was never idle.
#[test]
fn a_worker_that_finds_no_rest_is_not_asked_in_between() {
    on_every_manager(|kind| {
        let (kit, clock, ping) = (Kit::new(), ManualClock::new(), Ping::default());
        let config = ping.config(kit.config(1)).validate_after(Duration::ZERO).clock(clock);
        let manager = kind.build(config);
        let busy = Busy::with(&manager, 1);
        let before = ping.asked().len();
        let waiting: Vec<_> =
            (0..5).map(|_| manager.task(|_, res| Ok(res.id())).submit()).collect();
        busy.release();
        for task in waiting {
            assert_eq!(task.wait().unwrap(), 1);
        }
        let asked = ping.asked().len() - before;
        end(&manager, &kit);
        assert_eq!(asked, 0);
    });
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

// Small print: limits that make sense are accepted, however large.
#[test]
fn limits_beyond_all_measure_are_accepted() {
    on_every_manager(|kind| {
        let (kit, ping) = (Kit::new(), Ping::default());
        let config = kit.config(1).max_worker_count(2).max_lifetime(Duration::MAX);
        let config = config.max_uses(u64::MAX).idle_timeout(Duration::MAX).min_idle(2);
        let manager = kind.build(ping.config(config).validate_after(Duration::MAX));
        for door in Door::ALL {
            id_of(&manager, door);
        }
        end(&manager, &kit);
        assert_eq!(ping.asked(), []);
    });
}
