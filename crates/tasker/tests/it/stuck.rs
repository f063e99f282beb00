//! `stuck_after` and `replace_stuck`: a task that runs for too long is told of, and its worker's place is taken.

use std::panic::Location;
use std::time::Duration;

use tasker::autoscale::Fixed;
use tasker::testing::ManualClock;
use tasker::{BuildError, DestroyReason, TaskContext, TaskManager};

use crate::support::{
    Busy, Fault, Gate, Kit, Recorder, Res, What, assert_complete, await_rest, end, eventually,
    gone, on_every_manager,
};

const MINUTE: Duration = Duration::from_secs(60);

/// A task that ends when the gate is open.
fn waits_at(
    gate: Gate,
) -> impl FnMut(&TaskContext, &mut Res) -> Result<(), Fault> + Send + 'static {
    move |_, _| {
        gate.wait();
        Ok(())
    }
}

/// What was told as stuck, and the line that it came from.
fn stuck(seen: &Recorder) -> Vec<(Option<String>, Duration, u32)> {
    let told = seen.events().into_iter().filter_map(|event| match event.what {
        What::TaskStuck { name, running_for, location, .. } => {
            assert!(location.file().ends_with("stuck.rs"), "{location}");
            Some((name, running_for, location.line()))
        }
        _ => None,
    });
    told.collect()
}

// Each attempt once, with the line of whoever made the task, whatever it runs on.
#[test]
fn a_task_that_runs_for_too_long_is_told_of_once() {
    on_every_manager(|kind| {
        let (kit, clock, seen, gate) =
            (Kit::new(), ManualClock::new(), Recorder::new(), Gate::new());
        let config = kit.config(2).stuck_after(MINUTE).observer(seen.clone());
        let manager = kind.build(config.clock(clock.clone()));
        let inside = gate.clone();
        let task = manager.task(waits_at(inside)).name("slow");
        let line = line!() - 1;
        let slow = task.submit();
        gate.await_arrivals(1);
        clock.advance(MINUTE / 2);
        let inside = gate.clone();
        let later = manager.task(waits_at(inside)).submit();
        gate.await_arrivals(2);
        clock.advance(MINUTE / 2 - Duration::from_nanos(1));
        assert!(stuck(&seen).is_empty() && manager.explain().stuck.is_empty());
        clock.advance(Duration::from_nanos(1));
        let is_stuck = |what: &What| matches!(what, What::TaskStuck { .. });
        seen.wait_for(1, is_stuck);
        assert_eq!(stuck(&seen), [(Some("slow".to_owned()), MINUTE, line)]);
        let words = manager.explain().to_string();
        assert!(words.contains("Stuck: task ") && words.contains("\"slow\", made at"), "{words}");
        clock.advance(MINUTE);
        seen.wait_for(2, is_stuck);
        assert_eq!(manager.explain().stuck.len(), 2);
        clock.advance(10 * MINUTE);
        gate.open();
        slow.wait().unwrap();
        later.wait().unwrap();
        assert_eq!(stuck(&seen).len(), 2, "each once");
        assert!(manager.explain().stuck.is_empty());
        assert_eq!(kit.created(), 2, "nobody was replaced");
        end(&manager, &kit);
    });
}

// The line is that of whoever called, through every door.
#[test]
fn every_door_knows_who_came_in() {
    on_every_manager(|kind| {
        type Door = fn(&TaskManager<Res, Fault>, Gate) -> &'static Location<'static>;
        #[track_caller]
        fn here() -> &'static Location<'static> {
            Location::caller()
        }
        #[rustfmt::skip] // a door and its line are one
        let doors: [Door; 15] = [
            |manager, gate| { let _ = manager.task(waits_at(gate)).run(); here() },
            |manager, gate| { drop(manager.task_once(waits_at(gate)).submit()); here() },
            |manager, gate| { let _ = manager.queue_task(waits_at(gate)); here() },
            |manager, gate| { let _ = manager.queue_task_once(waits_at(gate)); here() },
            |manager, gate| { let _ = manager.queue_task_with_priority(waits_at(gate)); here() },
            |manager, gate| { let _ = manager.queue_task_with_priority_once(waits_at(gate)); here() },
            |manager, gate| { let _ = manager.run_task(waits_at(gate)); here() },
            |manager, gate| { drop(manager.queue_task_async(waits_at(gate))); here() },
            |manager, gate| { drop(manager.queue_task_once_async(waits_at(gate))); here() },
            |manager, gate| { drop(manager.queue_task_with_priority_async(waits_at(gate))); here() },
            |manager, gate| { drop(manager.queue_task_with_priority_once_async(waits_at(gate))); here() },
            |manager, gate| { manager.queue_task_with_callback(waits_at(gate), |_| {}); here() },
            |manager, gate| { manager.queue_task_once_with_callback(waits_at(gate), |_| {}); here() },
            |manager, gate| { manager.queue_task_with_priority_with_callback(waits_at(gate), |_| {}); here() },
            |manager, gate| { manager.queue_task_with_priority_once_with_callback(waits_at(gate), |_| {}); here() },
        ];
        for door in doors {
            let (kit, clock, seen, gate) =
                (Kit::new(), ManualClock::new(), Recorder::new(), Gate::new());
            let config = kit.config(1).stuck_after(MINUTE).observer(seen.clone());
            let manager = kind.build(config.clock(clock.clone()));
            let line = std::thread::scope(|scope| {
                let line = scope.spawn(|| door(&manager, gate.clone()));
                gate.await_arrivals(1);
                clock.advance(MINUTE);
                seen.wait_for(1, |what| matches!(what, What::TaskStuck { .. }));
                gate.open();
                line.join().unwrap().line()
            });
            assert_eq!(stuck(&seen), [(None, MINUTE, line)]);
            end(&manager, &kit);
        }
    });
}

// At the cap, too: the stuck one does not count while it is stuck. When it returns its resource goes.
#[test]
fn another_worker_takes_the_place_of_one_whose_task_is_stuck() {
    on_every_manager(|kind| {
        for fails in [false, true] {
            let (kit, clock, seen, gate) =
                (Kit::new(), ManualClock::new(), Recorder::new(), Gate::new());
            let config = kit.config(1).stuck_after(MINUTE).replace_stuck(true);
            let manager = kind.build(config.clock(clock.clone()).observer(seen.clone()));
            let inside = gate.clone();
            let slow = manager.task_once(move |_, _| {
                inside.wait();
                if fails { Err(Fault::Sick) } else { Ok(()) }
            });
            let slow = slow.submit();
            gate.await_arrivals(1);
            let next = manager.task(|_, res| Ok(res.id())).submit();
            clock.advance(MINUTE);
            assert_eq!(next.wait().unwrap(), 2, "by the one that was hired");
            assert_eq!((kit.live(), manager.stats().max_workers), (2, 1));
            gate.open();
            assert_eq!(slow.wait().is_err(), fails);
            kit.wait_until(|counts| counts.destroyed == 1);
            await_rest(&manager, 1);
            let reason = if fails { DestroyReason::Unhealthy } else { DestroyReason::Stuck };
            assert_eq!(seen.count(gone(reason)), 1);
            assert_eq!(manager.queue_task(|_, res| Ok(res.id())).unwrap(), 2);
            assert_eq!(kit.created(), 2);
            end(&manager, &kit);
        }
    });
}

// Promise 2, as far as it goes: the cap, and one more for each that is stuck.
#[test]
fn each_stuck_task_makes_room_for_one_worker() {
    on_every_manager(|kind| {
        let (kit, clock, gate) = (Kit::new(), ManualClock::new(), Gate::new());
        let config = kit.config(2).stuck_after(MINUTE).replace_stuck(true);
        let manager = kind.build(config.clock(clock.clone()));
        let stuck: Vec<_> = (1..=3)
            .map(|round| {
                let busy = Busy::with(&manager, 2);
                clock.advance(MINUTE);
                await_rest(&manager, 2);
                assert_eq!(kit.live(), 2 * round + 2);
                busy
            })
            .collect();
        for busy in stuck {
            busy.release();
        }
        kit.wait_until(|counts| counts.destroyed == 6);
        await_rest(&manager, 2);
        drop(gate);
        end(&manager, &kit);
    });
}

// A shutdown waits for what is stuck as for everything that runs.
#[test]
fn a_shutdown_waits_for_what_is_stuck() {
    on_every_manager(|kind| {
        let (kit, clock) = (Kit::new(), ManualClock::new());
        let config = kit.config(1).stuck_after(MINUTE).replace_stuck(true);
        let manager = kind.build(config.clock(clock.clone()));
        let busy = Busy::with(&manager, 1);
        clock.advance(MINUTE);
        await_rest(&manager, 1);
        let other = manager.clone();
        let stop = std::thread::spawn(move || other.stop().unwrap());
        eventually("it stops", || manager.phase() == tasker::Phase::Stopping);
        busy.release();
        assert_complete(&stop.join().unwrap());
        kit.assert_all_destroyed_once();
    });
}

#[test]
fn contradictions_are_refused_at_the_door() {
    let refused = |config: tasker::Config<Res, Fault>| match TaskManager::new(config) {
        Err(BuildError::InvalidSetting { setting, .. }) => setting,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(Kit::new().config(1).stuck_after(Duration::ZERO)), "stuck_after");
    assert_eq!(refused(Kit::new().config(1).replace_stuck(true)), "replace_stuck");
}

// The bug that this looks for: the last worker of a stop went since its task had been stuck, and left what was queued.
#[test]
fn a_stop_runs_what_is_queued_although_the_last_worker_was_stuck() {
    on_every_manager(|kind| {
        let (kit, clock, seen, gate) =
            (Kit::new(), ManualClock::new(), Recorder::new(), Gate::new());
        let config = kit.config(1).stuck_after(MINUTE).replace_stuck(true);
        let manager = kind.build(config.clock(clock.clone()).observer(seen.clone()));
        let inside = gate.clone();
        let slow = manager.task_once(move |_, _| -> Result<(), _> {
            inside.wait();
            Err(Fault::Sick)
        });
        let slow = slow.submit();
        gate.await_arrivals(1);
        manager.pause(); // so that nobody takes its place
        let queued = manager.task(|_, _| Ok(())).submit();
        clock.advance(MINUTE);
        seen.wait_for(1, |what| matches!(what, What::TaskStuck { .. }));
        let other = manager.clone();
        let stop = std::thread::spawn(move || other.stop().unwrap());
        eventually("it stops", || manager.phase() == tasker::Phase::Stopping);
        gate.open();
        assert!(slow.wait().is_err());
        queued.wait().unwrap();
        assert_complete(&stop.join().unwrap());
        kit.assert_all_destroyed_once();
    });
}

// Promises 2 and 16: a task that merely waits for another one of its manager is told of and keeps its place. Otherwise
// each of a chain of such tasks would add a worker beyond the cap. Nor is it refused: the other one may return.
#[test]
fn a_task_that_waits_for_a_stuck_one_keeps_its_place() {
    on_every_manager(|kind| {
        for lower in [false, true] {
            let (kit, clock, seen, gate) =
                (Kit::new(), ManualClock::new(), Recorder::new(), Gate::new());
            let config = kit.config(1).max_worker_count(2).scaling(Fixed::new(1));
            let config = config.stuck_after(MINUTE).replace_stuck(true).clock(clock.clone());
            let manager = kind.build(config.observer(seen.clone()));
            let (inside, inner) = (manager.clone(), gate.clone());
            let outer = manager
                .task(move |_, _| Ok(inside.task(waits_at(inner.clone())).submit().wait().is_ok()));
            let outer = outer.submit();
            gate.await_arrivals(1); // on the worker that was added when the outer one came to wait
            if lower {
                manager.resize(1, 1).unwrap();
            }
            clock.advance(MINUTE);
            seen.wait_for(2, |what| matches!(what, What::TaskStuck { .. }));
            gate.open();
            assert!(outer.wait().unwrap(), "{kind:?}");
            end(&manager, &kit);
            assert_eq!(kit.created(), 2, "{kind:?}: no more than were there");
        }
    });
}

// Promise 16: nobody may wait for a stuck task to return, since its worker goes then.
#[test]
fn a_stuck_worker_is_nobody_to_wait_for() {
    on_every_manager(|kind| {
        let (kit, clock) = (Kit::new(), ManualClock::new());
        let config = kit.config(1).stuck_after(MINUTE).replace_stuck(true);
        let manager = kind.build(config.clock(clock.clone()));
        let busy = Busy::with(&manager, 1);
        clock.advance(MINUTE);
        await_rest(&manager, 1);
        let inside = manager.clone();
        let told =
            manager.task(move |_, _| Ok(inside.task(|_, _| Ok(())).submit().wait().is_err()));
        assert!(told.submit().wait().unwrap(), "{kind:?}");
        busy.release();
        end(&manager, &kit);
    });
}
