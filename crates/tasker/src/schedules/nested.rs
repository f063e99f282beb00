//! Promise 16: tasks that wait for tasks of their own manager.

use shuttle::thread;

use super::{Manager, World, build, explore};
use crate::TaskError;

/// How the task inside is waited for.
#[derive(Clone, Copy)]
enum Inside {
    Run,
    Wait,
}

/// A task with another one inside; whether that was served.
fn nest(manager: &Manager, inside: Inside) -> bool {
    let inner = manager.clone();
    let outer = manager.task(move |_, _| {
        let task = inner.task(|_, _| Ok(()));
        match match inside {
            Inside::Run => task.run(),
            Inside::Wait => task.submit().wait(),
        } {
            Ok(()) => Ok(true),
            Err(TaskError::WouldDeadlock) => Ok(false),
            Err(other) => unreachable!("{other:?}"),
        }
    });
    outer.submit().wait().unwrap()
}

// Nobody waits for ever, and somebody is always served: who is told frees its worker.
#[test]
fn tasks_that_wait_for_their_own_manager_end_whatever_they_wait_with() {
    for (lends, doors) in [
        (true, [Inside::Run, Inside::Run]),
        (true, [Inside::Wait, Inside::Run]),
        (false, [Inside::Run, Inside::Wait]),
        (false, [Inside::Run, Inside::Run]),
    ] {
        explore_with(lends, doors);
    }
}

fn explore_with(lends: bool, doors: [Inside; 2]) {
    explore(move || {
        let world = World::new();
        let manager = build(world.config(2, 2).lending(lends));
        let others = doors.map(|door| {
            let manager = manager.clone();
            thread::spawn(move || nest(&manager, door))
        });
        let served = others.map(|other| other.join().unwrap());
        assert!(served.contains(&true), "{served:?}");
        let report = manager.stop().unwrap();
        world.assert_adds_up(&report, 2);
    });
}

// Whoever is left behind by a worker that goes is told as well.
#[test]
fn a_lower_cap_leaves_nobody_waiting() {
    explore(|| {
        let world = World::new();
        let manager = world.manager(2, 2);
        let other = {
            let manager = manager.clone();
            thread::spawn(move || nest(&manager, Inside::Wait))
        };
        manager.resize(1, 1).unwrap();
        other.join().unwrap();
        let report = manager.stop().unwrap();
        world.assert_adds_up(&report, 2);
    });
}

// A kill answers who waits inside a task as everybody else.
#[test]
fn a_kill_answers_who_waits_inside_a_task() {
    explore(|| {
        let world = World::new();
        let manager = world.manager(1, 1);
        let inner = manager.clone();
        let outer = manager.task(move |_, _| {
            let queued = inner.task(|_, _| Ok(())).submit();
            let outcome = queued.wait();
            assert!(
                matches!(
                    outcome,
                    Err(TaskError::WouldDeadlock | TaskError::Killed | TaskError::ShuttingDown)
                ),
                "{outcome:?}"
            );
            Ok(())
        });
        let outer = outer.submit();
        let report = manager.kill().unwrap();
        let outcome = outer.wait();
        assert!(matches!(outcome, Ok(()) | Err(TaskError::Killed)), "{outcome:?}");
        world.assert_adds_up(&report, 1);
    });
}
