//! How a manager ends: stop, kill, both at once, the last clone's drop, and one that never came to be.

use shuttle::thread;

use super::{Count, Fault, Manager, World, explore, until_told};
use crate::{BuildError, Phase, ShutdownError, TaskError};

// Promises 1 and 10.
#[test]
fn a_task_that_races_with_a_stop_is_run_or_refused_and_its_handle_is_answered() {
    explore(|| {
        let world = World::new();
        let manager = world.manager(1, 2);
        let runs = Count::default();
        let stopper = manager.clone();
        let stop = thread::spawn(move || stopper.stop());
        let handles = [manager.task(runs.task()).submit(), manager.task(runs.task()).submit()];
        let mut completed = 0;
        for handle in handles {
            match handle.wait() {
                Ok(()) => completed += 1,
                Err(TaskError::ShuttingDown) => {}
                Err(other) => panic!("a stop runs what it accepted: {other:?}"),
            }
        }
        let report = stop.join().unwrap().unwrap();
        world.assert_adds_up(&report, 2);
        assert_eq!((report.accepted, report.completed), (completed, completed));
        assert_eq!(runs.get() as u64, completed);
        assert_eq!(manager.phase(), Phase::Stopped);
    });
}

// Promises 1, 11 and 12.
#[test]
fn a_kill_that_races_with_a_stop_takes_over_or_comes_too_late_and_everybody_is_answered() {
    explore(|| {
        let world = World::new();
        let manager = world.manager(1, 1);
        let runs = Count::default();
        let handles = [manager.task(runs.task()).submit(), manager.task(runs.task()).submit()];
        let killer = manager.clone();
        let kill = thread::spawn(move || killer.kill());
        let stopped = manager.stop();
        let killed = kill.join().unwrap();
        for handle in handles {
            assert!(matches!(handle.wait(), Ok(()) | Err(TaskError::Killed)));
        }
        if let Ok(report) = &stopped {
            world.assert_adds_up(report, 1);
        }
        match &killed {
            Ok(report) => world.assert_adds_up(report, 1),
            Err(error) => assert_eq!(*error, ShutdownError::AlreadyStoppingOrKilled),
        }
        assert!(stopped.is_ok() || killed.is_ok(), "one of them did it");
        let report = manager.join();
        assert_eq!((report.accepted, report.completed), (2, runs.get() as u64));
    });
}

// Promise 11.
#[test]
fn a_kill_ends_a_task_that_waits_to_be_told() {
    explore(|| {
        let world = World::new();
        let manager = world.manager(1, 1);
        let handle = manager.task(until_told).submit();
        let caller = manager.clone();
        let blocked = thread::spawn(move || caller.queue_task(|_, _| Ok(())));
        let report = manager.kill().unwrap();
        world.assert_adds_up(&report, 1);
        assert!(matches!(handle.wait(), Err(TaskError::Killed | TaskError::Cancelled)));
        let blocked = blocked.join().unwrap();
        let blocked_ended =
            matches!(blocked, Ok(()) | Err(TaskError::Killed | TaskError::ShuttingDown));
        assert!(blocked_ended, "{blocked:?}");
    });
}

// Promises 1, 3 and 13. Shuttle sees to it that every thread ends.
#[test]
fn the_last_clone_s_drop_runs_what_was_accepted_and_ends_every_thread() {
    explore(|| {
        let world = World::new();
        let manager = world.manager(2, 2);
        let (runs, answers) = (Count::default(), Count::default());
        let callers: Vec<_> = (0..2)
            .map(|_| {
                let (manager, runs, answers) = (manager.clone(), runs.clone(), answers.clone());
                thread::spawn(move || {
                    manager.task(runs.task()).on_complete(move |outcome| {
                        assert!(outcome.is_ok());
                        answers.one();
                    });
                    let handle = manager.task(runs.task()).submit();
                    drop(manager);
                    handle.wait().unwrap();
                })
            })
            .collect();
        drop(manager);
        for caller in callers {
            caller.join().unwrap();
        }
        world.await_end();
        world.assert_over(2);
        assert_eq!((runs.get(), answers.get()), (4, 2));
    });
}

// Promises 3 and 9: `new` fails fast, and what the others had made is destroyed.
#[test]
fn a_manager_that_cannot_be_built_leaves_nothing_behind() {
    explore(|| {
        let world = World::new();
        world.failing.store(1, std::sync::atomic::Ordering::SeqCst);
        let failed = Manager::new(world.config(2, 2).resource_pool_size(1));
        assert!(matches!(failed, Err(BuildError::CreateFailed(Fault::NotMade))));
        world.assert_over(3);
    });
}

// Promise 12: called from a task, a stop begins the shutdown and returns at once.
#[test]
fn a_task_that_stops_its_own_manager_does_not_wait_for_itself() {
    explore(|| {
        let world = World::new();
        let manager = world.manager(1, 1);
        let inside = manager.clone();
        let outcome = manager.queue_task(move |_, _| {
            assert_eq!(inside.stop().unwrap().stragglers.len(), 1);
            Ok(())
        });
        assert!(outcome.is_ok());
        world.assert_adds_up(&manager.join(), 1);
    });
}
