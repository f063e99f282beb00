//! New limits and pauses while a manager runs, and the account that it gives of itself.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tasker::testing::ManualClock;
use tasker::{DestroyReason, Phase, Priority, ResizeError, TaskError, TaskStatus};

use crate::support::{
    Busy, Fault, Gate, Kit, LIMIT, Manager, Recorder, What, assert_complete, eventually, occupy,
    on_every_manager, within,
};

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

// Promises 1 and 4: nothing starts in a pause, by no door, and afterwards everything in its order.
#[test]
fn a_pause_holds_every_task_back_and_a_resume_runs_them_in_order() {
    on_every_manager(|kind| {
        let (kit, seen) = (Kit::new(), Recorder::new());
        let manager = kind.build(kit.config(1).observer(seen.clone()));
        manager.pause();
        manager.pause(); // once is enough
        assert!(manager.stats().paused);
        let order = Arc::new(Mutex::new(Vec::new()));
        let note = |what: &'static str| {
            let order = Arc::clone(&order);
            move |_: &_, _: &mut _| {
                order.lock().unwrap().push(what);
                Ok(())
            }
        };
        let low = manager.task_once(note("low")).priority(Priority::Low).submit();
        let first = manager.task_once(note("first")).submit();
        let second = manager.task_once(note("second")).try_submit().unwrap();
        let high = manager.task_once(note("high")).priority(Priority::High).submit();
        thread::scope(|scope| {
            let run = scope.spawn(|| manager.run_task(note("run_task")));
            eventually("all wait", || {
                let stats = manager.stats();
                stats.queued_tasks + stats.priority_tasks == 5
            });
            assert!(order.lock().unwrap().is_empty());
            assert_eq!(first.status(), TaskStatus::Queued);
            assert_eq!(manager.explain().waiting.for_resume, 5);
            manager.resume();
            run.join().unwrap().unwrap();
        });
        for handle in [low, first, second, high] {
            handle.wait().unwrap();
        }
        assert_eq!(*order.lock().unwrap(), ["run_task", "high", "first", "second", "low"]);
        let changes = |what: &What| matches!(what, What::PauseChanged { .. });
        assert_eq!(seen.count(changes), 2);
        assert_complete(&manager.stop().unwrap());
    });
}

#[test]
fn what_runs_goes_on_in_a_pause_and_what_waits_may_expire() {
    on_every_manager(|kind| {
        let (kit, clock) = (Kit::new(), ManualClock::new());
        let manager = kind.build(kit.config(2).clock(clock.clone()));
        let (gate, busy) = occupy(&manager, 1);
        manager.pause();
        let late = manager.task(|_, _| Ok(())).start_within(Duration::from_secs(1)).submit();
        clock.advance(Duration::from_secs(1));
        assert!(matches!(late.wait(), Err(TaskError::Expired)));
        gate.open();
        busy.into_iter().for_each(|handle| handle.wait().unwrap());
        assert!(manager.stats().paused);
        manager.stop().unwrap();
    });
}

// Promises 10 and 11.
#[test]
fn a_stop_in_a_pause_runs_what_waits_and_a_kill_answers_it() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        for kill in [false, true] {
            let manager = kind.build(kit.config(1));
            manager.pause();
            let waiting = manager.task(|_, _| Ok(())).submit();
            thread::scope(|scope| {
                let blocked = scope.spawn(|| manager.queue_task(|_, _| Ok(())));
                eventually("both wait", || manager.stats().queued_tasks == 2);
                let report = if kill { manager.kill() } else { manager.stop() };
                assert_complete(&report.unwrap());
                for ended in [waiting.wait(), blocked.join().unwrap()] {
                    match ended {
                        Ok(()) => assert!(!kill),
                        Err(error) => assert!(kill && matches!(error, TaskError::Killed)),
                    }
                }
            });
            manager.resume(); // too late to mean anything
            assert!(!manager.stats().paused);
        }
        kit.assert_all_destroyed_once();
    });
}

#[test]
fn an_account_tells_what_the_tasks_wait_for() {
    within(LIMIT, || {
        let (kit, clock, slow) = (Kit::new(), ManualClock::new(), Gate::new());
        let config = kit.config(1).max_worker_count(2).clock(clock.clone());
        let manager = Manager::Lending.build(config.scaling(tasker::autoscale::Fixed::new(2)));
        let quiet = manager.explain();
        assert_eq!((quiet.phase, quiet.waiting.tasks, quiet.workers), (Phase::Running, 0, 1));
        assert!(quiet.to_string().contains("No task waits for a worker."), "{quiet}");

        kit.block_creates(&slow);
        kit.break_down(); // what is made from now on fails when the gate opens
        let busy = Busy::with(&manager, 1);
        let waiting: Vec<_> = (0..4).map(|_| manager.task(|_, _| Ok(())).submit()).collect();
        slow.await_arrivals(1);
        let grown = manager.explain();
        assert_eq!((grown.waiting.for_creations, grown.waiting.for_cap), (1, 3));
        assert_eq!(grown.waiting.share(1) + grown.waiting.share(3), 1.0);
        let change = grown.last_change.clone().unwrap();
        assert_eq!((change.from, change.to), (1, 2));
        assert!(grown.to_string().contains("1 -> 2"), "{grown}");
        assert!(grown.to_string().contains("75 % because max_worker_count is reached"), "{grown}");

        slow.open();
        eventually("its creation fails", || manager.explain().failing == 1);
        let failing = manager.explain();
        assert_eq!(failing.waiting.for_failing_creations, 1);
        eventually("the error is kept", || manager.explain().last_create_error.is_some());
        let words = manager.explain().to_string();
        assert!(words.contains("on_create failed") && words.contains("create fault"), "{words}");

        kit.mend();
        eventually("it is mended", || {
            clock.advance(Duration::from_secs(1));
            manager.stats().active_workers == 2
        });
        busy.release();
        waiting.into_iter().for_each(|handle| handle.wait().unwrap());
        manager.stop().unwrap();
        let over = manager.explain();
        assert_eq!((over.phase, over.workers), (Phase::Stopped, 0));
    });
}

#[test]
fn an_account_survives_an_error_that_cannot_be_printed() {
    #[derive(Debug)]
    struct Mute;
    impl std::fmt::Display for Mute {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            panic!("it panics when it is printed");
        }
    }
    within(LIMIT, || {
        let fails = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let failing = Arc::clone(&fails);
        let create = move || match failing.load(std::sync::atomic::Ordering::SeqCst) {
            true => Err(Mute),
            false => Ok(()),
        };
        let config =
            tasker::Config::<(), Mute>::new(create).worker_count(1).check_health(|_| false);
        let manager = tasker::TaskManager::new(config.max_worker_count(1)).unwrap();
        fails.store(true, std::sync::atomic::Ordering::SeqCst);
        assert!(manager.task_once(|_, _| Err::<(), _>(Mute)).submit().wait().is_err());
        eventually("a creation fails", || manager.explain().last_create_error.is_some());
        let text = manager.explain().last_create_error.unwrap();
        assert!(text.contains("panics"), "{text}");
        fails.store(false, std::sync::atomic::Ordering::SeqCst);
        eventually("the worker is back", || manager.stats().active_workers == 1);
    });
}
