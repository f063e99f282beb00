//! Promises 1, 4, 10 and 11: tasks are held back and started again, and none is forgotten.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tasker::testing::ManualClock;
use tasker::{CancelToken, Overflow, Phase, Priority, RejectReason, TaskError, TaskStatus};

use crate::support::{
    Busy, Door, Fault, Kit, LIMIT, Manager, Recorder, Res, What, assert_complete, await_rest,
    eventually, occupy, on_every_manager, pass, submit, wait_all, waiting, within,
};

const SECOND: Duration = Duration::from_secs(1);

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

// Promise 1: whatever the door, and also where a resource lies in the pool.
#[test]
fn nothing_starts_in_a_pause_by_any_door() {
    on_every_manager(|kind| {
        for busy in [false, true] {
            let (kit, clock) = (Kit::new(), ManualClock::new());
            let config = kit.config(1).resource_pool_size(2).clock(clock.clone());
            let manager = kind.build(config);
            let running = busy.then(|| Busy::with(&manager, 1));
            manager.pause();
            let started = Arc::new(AtomicUsize::new(0));
            let note = || {
                let started = Arc::clone(&started);
                move |_: &_, _: &mut Res| {
                    started.fetch_add(1, Ordering::SeqCst);
                    Ok(())
                }
            };
            let (send, receive) = channel();
            manager.task_once(note()).on_complete(move |ended| drop(send.send(ended)));
            let submitted = [
                manager.task(note()).submit(),
                manager.task(note()).try_submit().unwrap(),
                manager.task_once(note()).priority(Priority::High).submit(),
            ];
            thread::scope(|scope| {
                let blocked = [
                    scope.spawn(|| manager.task(note()).run()),
                    scope.spawn(|| manager.task_once(note()).priority(Priority::High).run()),
                    scope.spawn(|| manager.run_task(note())),
                    scope.spawn(|| manager.task(note()).run_now()),
                ];
                eventually("all wait", || waiting(&manager) == 8);
                for _ in 0..3 {
                    pass(&manager, &clock, SECOND); // nobody runs the marker either
                }
                assert_eq!(started.load(Ordering::SeqCst), 0, "busy: {busy}");
                assert_eq!(
                    manager.stats().available_resources,
                    if kind == Manager::Local { 0 } else { 2 }
                );
                manager.resume();
                if let Some(running) = running {
                    running.release();
                }
                for blocked in blocked {
                    blocked.join().unwrap().unwrap();
                }
            });
            for submitted in submitted {
                submitted.wait().unwrap();
            }
            receive.recv_timeout(LIMIT).unwrap().unwrap();
            assert_eq!(started.load(Ordering::SeqCst), 8);
            let report = manager.stop().unwrap();
            assert_complete(&report);
            kit.assert_all_destroyed_once();
        }
    });
}

// Promise 4: who becomes free in a pause rests although tasks wait; afterwards they run in their order.
#[test]
fn a_worker_that_becomes_free_in_a_pause_rests() {
    on_every_manager(|kind| {
        let (kit, order) = (Kit::new(), Arc::new(Mutex::new(Vec::new())));
        let manager = kind.build(kit.config(2));
        let busy = Busy::with(&manager, 2);
        let tasks: Vec<_> = (0..6)
            .map(|n| {
                let order = Arc::clone(&order);
                let priority = [Priority::Low, Priority::Normal, Priority::High][n % 3];
                let task = manager.task(move |_, _| {
                    order.lock().unwrap().push(n);
                    Ok(())
                });
                task.priority(priority).submit()
            })
            .collect();
        manager.pause();
        busy.release();
        await_rest(&manager, 2);
        assert_eq!(waiting(&manager), 6);
        assert!(tasks.iter().all(|task| task.status() == TaskStatus::Queued));
        manager.resize(1, 1).unwrap(); // one after the other, so that there is an order
        await_rest(&manager, 1);
        manager.resume();
        wait_all(tasks);
        assert_eq!(*order.lock().unwrap(), [2, 5, 1, 4, 0, 3]);
        assert_complete(&manager.stop().unwrap());
    });
}

// Promise 6: a task may pause its own manager; it goes on, and its retry waits like any other task.
#[test]
fn a_pause_from_inside_a_task_holds_its_own_retry_back() {
    on_every_manager(|kind| {
        for door in [Door::Run, Door::Wait] {
            let (kit, seen) = (Kit::new(), Recorder::new());
            let manager = kind.build(kit.config(1).observer(seen.clone()));
            let inside = manager.clone();
            thread::scope(|scope| {
                let manager = &manager;
                let ended = scope.spawn(move || {
                    door.send(manager, move |cx, res| {
                        if cx.attempt() == 1 {
                            inside.pause();
                            inside.pause();
                            return Err(Fault::Sick);
                        }
                        Ok(res.id())
                    })
                });
                eventually("the retry waits", || manager.stats().priority_tasks == 1);
                await_rest(manager, 1);
                assert_eq!(seen.count(|what| matches!(what, What::TaskStarted { .. })), 1);
                manager.resume();
                assert_eq!(ended.join().unwrap().unwrap(), 2);
            });
            manager.resume();
            let changes: Vec<_> = seen
                .events()
                .into_iter()
                .filter_map(|event| match event.what {
                    What::PauseChanged { paused } => Some(paused),
                    _ => None,
                })
                .collect();
            assert_eq!(changes, [true, false], "once per change");
            assert_complete(&manager.stop().unwrap());
        }
    });
}

// Promise 17: what waits in a pause can expire or be cancelled, whatever it is.
#[test]
fn what_waits_in_a_pause_may_expire_or_be_cancelled() {
    on_every_manager(|kind| {
        let (kit, clock) = (Kit::new(), ManualClock::new());
        let config = kit.config(1).resource_pool_size(1);
        let manager = kind.build(config.clock(clock.clone()));
        manager.pause();
        thread::scope(|scope| {
            let blocked = [
                scope.spawn(|| manager.task(|_, _| Ok(())).start_within(SECOND).run()),
                scope.spawn(|| manager.task(|_, _| Ok(())).start_within(SECOND).run_now()),
            ];
            let late = manager.task(|_, _| Ok(())).start_within(SECOND).submit();
            let cancelled = manager.task(|_, _| Ok(())).submit();
            eventually("all wait", || waiting(&manager) == 4);
            cancelled.cancel();
            assert!(matches!(cancelled.wait(), Err(TaskError::Cancelled)));
            clock.advance(SECOND);
            assert!(matches!(late.wait(), Err(TaskError::Expired)));
            for blocked in blocked {
                let ended = blocked.join().unwrap();
                assert!(matches!(ended, Err(TaskError::Expired)), "{ended:?}");
            }
        });
        assert_eq!(waiting(&manager), 0);
        manager.resume();
        let report = manager.stop().unwrap();
        assert_complete(&report);
        assert_eq!((report.dropped, report.cancelled), (3, 1));
    });
}

// Promises 1, 10 and 11: a shutdown ends a pause, and everybody is answered, by whatever door they came.
#[test]
fn a_shutdown_in_a_pause_answers_every_door() {
    on_every_manager(|kind| {
        for kill in [false, true] {
            let kit = Kit::new();
            let manager = kind.build(kit.config(2).resource_pool_size(1));
            let busy = Busy::with(&manager, 1);
            manager.pause();
            let (send, receive) = channel();
            manager.task(|_, _| Ok(())).on_complete(move |ended| drop(send.send(ended)));
            let submitted = manager.task(|_, _| Ok(())).submit();
            let ended = thread::scope(|scope| {
                let run = scope.spawn(|| manager.queue_task(|_, _| Ok(())));
                let now = scope.spawn(|| manager.run_task(|_, _| Ok(())));
                eventually("all wait", || waiting(&manager) == 4);
                let shutdown = scope.spawn(|| if kill { manager.kill() } else { manager.stop() });
                eventually("it begins", || manager.phase() != Phase::Running);
                assert!(!manager.stats().paused);
                busy.open();
                assert_complete(&shutdown.join().unwrap().unwrap());
                let called_back = receive.recv_timeout(LIMIT).unwrap();
                [run.join().unwrap(), now.join().unwrap(), submitted.wait(), called_back]
            });
            for ended in ended {
                match ended {
                    Ok(()) => assert!(!kill),
                    Err(error) => assert!(kill && matches!(error, TaskError::Killed), "{error:?}"),
                }
            }
            busy.release();
            manager.pause(); // too late to mean anything
            assert!(!manager.stats().paused);
            kit.assert_all_destroyed_once();
        }
    });
}

// Promise 13: dropping the last clone in a pause stops the manager, which runs what waits.
#[test]
fn dropping_the_last_clone_ends_a_pause() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(1));
        manager.pause();
        let held_back = submit(&manager, 3);
        drop(manager);
        wait_all(held_back);
        kit.wait_until(|counts| counts.destroyed == 1);
        kit.assert_all_destroyed_once();
    });
}

// What promise 13 does not say: clones in its own queue count, and in a pause nothing takes them out of it.
#[test]
fn a_paused_manager_whose_last_clones_are_in_its_own_queue_stays() {
    on_every_manager(|kind| {
        let (kit, clock) = (Kit::new(), ManualClock::new());
        let manager = kind.build(kit.config(1).clock(clock.clone()));
        manager.pause();
        let last = [(); 2].map(|()| Arc::new(manager.clone()));
        let ways_back = last.each_ref().map(Arc::downgrade);
        let held_back = last.map(|last| {
            let task = manager.task_once(move |_, _| {
                drop(last);
                Ok(())
            });
            task.submit()
        });
        drop(manager);
        for _ in 0..3 {
            clock.advance(SECOND); // time does not help
        }
        for (way_back, held_back) in ways_back.iter().zip(&held_back) {
            let manager = way_back.upgrade().expect("its task is still there");
            assert_eq!(manager.phase(), Phase::Running);
            assert!(manager.stats().paused);
            assert_eq!(held_back.status(), TaskStatus::Queued);
        }
        assert_eq!(kit.counts().destroyed, 0);
        ways_back[0].upgrade().expect("its task is still there").resume();
        wait_all(Vec::from(held_back));
        kit.wait_until(|counts| counts.destroyed == 1);
        kit.assert_all_destroyed_once();
        assert!(ways_back.iter().all(|way_back| way_back.strong_count() == 0));
    });
}

// The same, and the ways out: a handle takes its task out of the queue, and the clone with it; a parent token stops.
#[test]
fn a_paused_manager_that_only_its_queue_has_ends_by_a_cancel_or_its_parent_token() {
    on_every_manager(|kind| {
        for by_token in [false, true] {
            let (kit, parent) = (Kit::new(), CancelToken::new());
            let manager = kind.build(kit.config(1).shutdown_on(parent.clone()));
            manager.pause();
            let last = manager.clone();
            let task = manager.task_once(move |_, _| {
                drop(last);
                Ok(())
            });
            let held_back = task.submit();
            drop(manager);
            assert_eq!((held_back.status(), kit.counts().destroyed), (TaskStatus::Queued, 0));
            if by_token {
                parent.cancel();
                held_back.wait().unwrap();
            } else {
                held_back.cancel();
                assert!(matches!(held_back.wait(), Err(TaskError::Cancelled)));
            }
            kit.wait_until(|counts| counts.destroyed == 1);
            kit.assert_all_destroyed_once();
        }
    });
}

// Small print of the capacity: places in the lanes are taken in a pause as ever.
#[test]
fn a_full_queue_is_full_in_a_pause_too() {
    on_every_manager(|kind| {
        let config = Kit::new().config(1).queue_capacity(2).overflow(Overflow::Wait);
        let manager = kind.build(config);
        manager.pause();
        let held_back = submit(&manager, 2);
        let refused = manager.task(|_, _| Ok(())).try_submit().unwrap_err();
        assert_eq!(refused.reason(), RejectReason::QueueFull);
        thread::scope(|scope| {
            let outside = scope.spawn(|| submit(&manager, 1));
            eventually("it waits for room", || manager.explain().waiting.outside == 1);
            manager.resume();
            wait_all(outside.join().unwrap());
        });
        wait_all(held_back);
        assert_complete(&manager.stop().unwrap());
    });
}

// Promise 1: pauses and resumes of many threads leave nobody waiting.
#[test]
fn nobody_is_forgotten_where_many_pause_and_resume() {
    within(LIMIT, || {
        for kind in Manager::ALL {
            let kit = Kit::new();
            let manager = kind.build(kit.config(2).resource_pool_size(1));
            thread::scope(|scope| {
                for caller in 0..4 {
                    let manager = &manager;
                    scope.spawn(move || {
                        for n in 0..40 {
                            manager.pause();
                            let held_back = manager.task(|_, _| Ok(())).submit();
                            manager.resume();
                            match (caller + n) % 2 {
                                0 => manager.queue_task(|_, _| Ok(())).unwrap(),
                                _ => manager.run_task(|_, _| Ok(())).unwrap(),
                            }
                            held_back.wait().unwrap();
                        }
                        manager.resume();
                    });
                }
                // Whoever paused last and waits now has resumed before; somebody else's pause does not last.
            });
            assert_complete(&manager.stop().unwrap());
        }
    });
}
