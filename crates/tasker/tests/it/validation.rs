//! Promises 1 and 17: validations of idle resources, while shutdowns, pauses and deadlines come between.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tasker::testing::ManualClock;
use tasker::{DestroyReason, TaskError, TaskHandle, TaskManager};

use crate::support::{
    Door, Fault, Gate, Kit, Recorder, Res, What, assert_complete, begin_kill, begin_stop,
    eventually, on_every_door, on_every_manager, report_of,
};

const IDLE: Duration = Duration::from_secs(60);

fn await_rest(manager: &TaskManager<Res, Fault>, idle: usize) {
    eventually("the workers rest", || {
        let stats = manager.stats();
        (stats.idle_workers, stats.recovering_workers, stats.leaving_workers) == (idle, 0, 0)
    });
}

fn submit(manager: &TaskManager<Res, Fault>, tasks: usize) -> Vec<TaskHandle<u64, Fault>> {
    (0..tasks).map(|_| manager.task(|_, res| Ok(res.id())).submit()).collect()
}

// Promise 17: as many are asked as tasks wait, and the others go on sleeping.
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
        let held_back = submit(&manager, 2);
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
            assert_eq!(submit(&manager, 1).remove(0).wait().unwrap(), if sound { 1 } else { 2 });
            let invalid = |what: &What| {
                matches!(what, What::ResourceDestroyed { reason: DestroyReason::Invalid, .. })
            };
            assert_eq!(seen.count(invalid), usize::from(!sound));
            assert_complete(&manager.stop().unwrap());
            kit.assert_all_destroyed_once();
        }
    });
}

// Promise 16: a validation runs under no lock, so that it may ask its manager and give it work.
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
                given.lock().unwrap().extend(submit(&manager, 2));
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
