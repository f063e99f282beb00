//! Promises 1 and 17: resources that were idle, or whose last attempt was cancelled, are validated first.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tasker::testing::ManualClock;
use tasker::{Config, DestroyReason, Owner, TaskError, TaskHandle, TaskManager};

use crate::support::{
    Busy, Door, Fault, Gate, Kit, LIMIT, Manager, Recorder, Res, What, assert_complete,
    assert_only, await_rest, begin_kill, begin_stop, end, eventually, gone, gone_from_pool, id_of,
    on_every_door, on_every_manager, report_of, within,
};

const IDLE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

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

// Small print of `validate`: a resource is asked after it was idle for long enough, at home, and not before.
#[test]
fn a_resource_is_validated_at_home_after_it_was_idle_for_long_enough() {
    on_every_door(|kind, door| {
        let (kit, clock, ping) = (Kit::new(), ManualClock::new(), Ping::default());
        let config = ping.config(kit.config(1)).validate_after(IDLE).clock(clock.clone());
        let manager = kind.build(config);
        for round in 1..=3 {
            await_rest(&manager, 1);
            clock.advance(IDLE - SECOND);
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

// Small print of `validate`: where nothing else is said, a second is long enough.
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

// Small print of `validate`: the task that waits runs on the new resource and never sees the unsound one.
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

// Promise 17, small print of `validate`: after a cancelled attempt the resource is asked, at home, although it was not idle.
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

// Promise 17, small print of `validate`: after one that timed out as well, also where its caller has the resource in its hands.
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
                moved.advance(SECOND);
                cx.token().wait();
                Err::<(), _>(Fault::Own)
            });
            let task = task.timeout(SECOND);
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
    for kind in Manager::POOLED {
        within(LIMIT, move || {
            let (kit, clock, ping) = (Kit::new(), ManualClock::new(), Ping::default());
            let config = ping.config(kit.config(1).resource_pool_size(1)).validate_after(IDLE);
            let manager = kind.build(config.clock(clock.clone()));
            let pooled = manager.run_task(|_, res| Ok(res.id())).unwrap();
            clock.advance(IDLE - SECOND);
            manager.run_task(|_, _| Ok(())).unwrap();
            assert_eq!(ping.asked(), []);
            clock.advance(IDLE);
            for _ in 0..2 {
                assert_eq!(manager.run_task(|_, res| Ok(res.id())).unwrap(), pooled);
            }
            assert_eq!(ping.lock().threads, [thread::current().id()]);

            let late = manager.task(|cx, _| {
                clock.advance(SECOND);
                cx.token().wait();
                Err::<(), _>(Fault::Own)
            });
            let late = late.timeout(SECOND).run_now();
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
    for kind in Manager::POOLED {
        within(LIMIT, move || {
            let (kit, clock, ping) = (Kit::new(), ManualClock::new(), Ping::default());
            let seen = Recorder::new();
            let config = ping.config(kit.config(1).resource_pool_size(2)).validate_after(IDLE);
            let manager = kind.build(config.clock(clock.clone()).observer(seen.clone()));
            let busy = Busy::with(&manager, 1);
            ping.spoil(1..=3);
            clock.advance(IDLE);
            let used = manager.run_task(|_, res| Ok(res.id())).unwrap();
            assert!(used > 3, "resource {used}"); // a temporary one, or the pool's next
            seen.wait_for(2, gone_from_pool(DestroyReason::Invalid));
            eventually("the pool is full", || manager.stats().available_resources == 2);
            busy.release();
            end(&manager, &kit);
            assert_eq!(seen.count(gone_from_pool(DestroyReason::Invalid)), 2);
        });
    }
}

// Small print of `validate`: the same where the steward has no time to make another one meanwhile.
#[test]
fn run_task_does_not_wait_for_the_pool_to_be_filled() {
    for kind in Manager::POOLED {
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

// Promise 1: validating before every use holds nobody up for ever.
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
                    let (manager, served) = (&manager, &served);
                    scope.spawn(move || {
                        for n in 0..30 {
                            match (caller + n) % 5 {
                                4 => manager.run_task(|_, res| Ok(res.id())).unwrap(),
                                door => id_of(manager, Door::ALL[door]),
                            };
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

// Small print of `validate`: a crowd never sees a resource that was found unsound before.
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

// Small print of `validate`: one caller after another has each resource validated where the limit is zero.
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

// Small print of `validate`: a worker that goes from one task to the next was never idle.
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

fn submit_ids(manager: &TaskManager<Res, Fault>, tasks: usize) -> Vec<TaskHandle<u64, Fault>> {
    (0..tasks).map(|_| manager.task(|_, res| Ok(res.id())).submit()).collect()
}

// Small print of `validate`: as many are asked as tasks wait, and the others go on sleeping.
#[test]
fn only_as_many_are_asked_as_tasks_wait() {
    on_every_door(|kind, door| {
        let (kit, clock, asked) = (Kit::new(), ManualClock::new(), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&asked);
        let config = kit.config(3).validate_after(IDLE).validate(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            true
        });
        let manager = kind.build(config.clock(clock.clone()));
        await_rest(&manager, 3);
        clock.advance(IDLE);
        door.send(&manager, |_, _| Ok(())).unwrap();
        await_rest(&manager, 3);
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        door.send(&manager, |_, _| Ok(())).unwrap(); // on the warm one
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        assert_complete(&manager.stop().unwrap());
    });
}

// Promises 1 and 4: in a pause nobody is asked, and after it everybody is before it is used.
#[test]
fn nobody_is_asked_in_a_pause() {
    on_every_manager(|kind| {
        let (kit, clock, asked) =
            (Kit::new(), ManualClock::new(), Arc::new(Mutex::new(Vec::new())));
        let note = Arc::clone(&asked);
        let config = kit.config(1).validate_after(IDLE).validate(move |res| {
            note.lock().unwrap().push(res.id());
            res.id() > 1
        });
        let manager = kind.build(config.clock(clock.clone()));
        await_rest(&manager, 1);
        manager.pause();
        let held_back = submit_ids(&manager, 2);
        clock.advance(IDLE);
        crate::support::pass(&manager, &clock, IDLE);
        assert_eq!(*asked.lock().unwrap(), []);
        manager.resume();
        for task in held_back {
            assert_eq!(task.wait().unwrap(), 2);
        }
        assert_eq!(*asked.lock().unwrap(), [1]);
        assert_complete(&manager.stop().unwrap());
        kit.assert_all_destroyed_once();
    });
}

/// A manager of one worker whose validation waits at the gate and then says `sound`.
fn blocked(
    kind: crate::support::Manager,
    kit: &Kit,
    gate: &Gate,
    sound: bool,
    seen: &Recorder,
) -> (TaskManager<Res, Fault>, ManualClock) {
    let (clock, inside) = (ManualClock::new(), gate.clone());
    let config = kit.config(1).validate_after(IDLE).validate(move |_| {
        inside.wait();
        sound
    });
    let manager = kind.build(config.clock(clock.clone()).observer(seen.clone()));
    await_rest(&manager, 1);
    clock.advance(IDLE);
    (manager, clock)
}

// Promises 1, 3, 10 and 11: a shutdown that begins during a validation ends when that does, whatever it says.
#[test]
fn a_shutdown_during_a_validation_answers_who_waits_for_it() {
    on_every_door(|kind, door| {
        for (stop, sound) in [(true, true), (true, false), (false, true), (false, false)] {
            let (kit, gate, seen) = (Kit::new(), Gate::new(), Recorder::new());
            let (manager, _clock) = blocked(kind, &kit, &gate, sound, &seen);
            thread::scope(|scope| {
                let manager = &manager;
                let ended = scope.spawn(move || door.send(manager, |_, res| Ok(res.id())));
                gate.await_arrivals(1);
                let shutdown = if stop { begin_stop(manager) } else { begin_kill(manager) };
                gate.open();
                let ended = ended.join().unwrap();
                match ended {
                    Ok(id) => assert_eq!((stop, id), (true, if sound { 1 } else { 2 })),
                    Err(error) => assert!(!stop && matches!(error, TaskError::Killed), "{error:?}"),
                }
                assert_complete(&report_of(shutdown));
            });
            kit.assert_all_destroyed_once();
            assert_eq!(kit.created(), if stop && !sound { 2 } else { 1 });
        }
    });
}

// Promises 1 and 17: who waits for a validation may expire or be cancelled meanwhile, and the next one is served.
#[test]
fn a_task_may_end_while_its_resource_is_validated() {
    on_every_manager(|kind| {
        for sound in [true, false] {
            let (kit, gate, seen) = (Kit::new(), Gate::new(), Recorder::new());
            let (manager, clock) = blocked(kind, &kit, &gate, sound, &seen);
            let second = Duration::from_secs(1);
            let late = manager.task(|_, _| Ok(())).start_within(second).submit();
            gate.await_arrivals(1);
            let cancelled = manager.task(|_, _| Ok(())).submit();
            clock.advance(second);
            assert!(matches!(late.wait(), Err(TaskError::Expired)));
            cancelled.cancel();
            assert!(matches!(cancelled.wait(), Err(TaskError::Cancelled)));
            gate.open();
            await_rest(&manager, 1);
            assert_eq!(seen.count(|what| matches!(what, What::TaskStarted { .. })), 0);
            assert_eq!(
                submit_ids(&manager, 1).remove(0).wait().unwrap(),
                if sound { 1 } else { 2 }
            );
            let invalid = |what: &What| {
                matches!(what, What::ResourceDestroyed { reason: DestroyReason::Invalid, .. })
            };
            assert_eq!(seen.count(invalid), usize::from(!sound));
            assert_complete(&manager.stop().unwrap());
            kit.assert_all_destroyed_once();
        }
    });
}

// Promise 1: a validation runs under no lock, so that it may ask its manager and give it work.
#[test]
fn a_validation_may_call_its_manager() {
    on_every_manager(|kind| {
        let (kit, clock) = (Kit::new(), ManualClock::new());
        let cell = Arc::new(Mutex::new(None::<TaskManager<Res, Fault>>));
        let (inside, handles) = (Arc::clone(&cell), Arc::new(Mutex::new(Vec::new())));
        let given = Arc::clone(&handles);
        let config = kit.config(1).validate_after(IDLE).validate(move |_| {
            if let Some(manager) = inside.lock().unwrap().take() {
                assert_eq!(manager.stats().base_workers, 1);
                assert_eq!(manager.explain().in_use, 1, "a validation counts as use");
                given.lock().unwrap().extend(submit_ids(&manager, 2));
                manager.pause();
                manager.resume();
            }
            true
        });
        let manager = kind.build(config.clock(clock.clone()));
        await_rest(&manager, 1);
        *cell.lock().unwrap() = Some(manager.clone());
        clock.advance(IDLE);
        assert_eq!(Door::Run.send(&manager, |_, res| Ok(res.id())).unwrap(), 1);
        let handles = std::mem::take(&mut *handles.lock().unwrap());
        assert_eq!(handles.len(), 2);
        for handle in handles {
            assert_eq!(handle.wait().unwrap(), 1);
        }
        assert_complete(&manager.stop().unwrap());
    });
}

// Promise 17, small print of `run_now`: a pooled resource that has to be validated takes as long as that takes. Then
// the task may be too late; if it is not, its time begins.
#[test]
fn the_time_of_a_validation_is_not_an_urgent_tasks() {
    for kind in Manager::POOLED {
        let (kit, clock) = (Kit::new(), ManualClock::new());
        let slow = clock.clone();
        let config = kit.config(1).resource_pool_size(1).validate_after(IDLE).validate(move |_| {
            slow.advance(3 * SECOND);
            true
        });
        let manager = kind.build(config.clock(clock.clone()));
        let busy = Busy::with(&manager, 1);
        clock.advance(IDLE);
        let moved = clock.clone();
        let task = manager.task(move |cx, _| Ok((cx.deadline(), moved.now(), cx.is_cancelled())));
        let (deadline, now, cancelled) = task.timeout(2 * SECOND).run_now().unwrap();
        assert_eq!((deadline, cancelled), (Some(now + 2 * SECOND), false));

        clock.advance(IDLE);
        let late = manager.task(|_, _| -> Result<(), Fault> { panic!("it is too late") });
        let outcome = late.start_within(2 * SECOND).run_now();
        assert!(matches!(outcome, Err(TaskError::Expired)), "{outcome:?}");
        busy.release();
        assert_complete(&manager.stop().unwrap());
        kit.assert_all_destroyed_once();
    }
}
