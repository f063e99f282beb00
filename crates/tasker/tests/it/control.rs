//! Promises 2, 10 and 11: limits and pauses that change while creations, tasks and shutdowns are under way.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tasker::autoscale::Reason;
use tasker::testing::ManualClock;
use tasker::{
    Overflow, Phase, Priority, RejectReason, ResizeError, TaskError, TaskHandle, TaskManager,
    TaskStatus,
};

use crate::support::{
    Busy, Door, Fault, Gate, Kit, LIMIT, Manager, Recorder, Res, What, assert_complete, eventually,
    on_every_manager, pass, within,
};

const SECOND: Duration = Duration::from_secs(1);

fn submit(manager: &TaskManager<Res, Fault>, tasks: usize) -> Vec<TaskHandle<(), Fault>> {
    (0..tasks).map(|_| manager.task(|_, _| Ok(())).submit()).collect()
}

fn wait_all(handles: Vec<TaskHandle<(), Fault>>) {
    handles.into_iter().for_each(|handle| handle.wait().unwrap());
}

fn await_rest(manager: &TaskManager<Res, Fault>, idle: usize) {
    eventually("the workers rest", || {
        let stats = manager.stats();
        (stats.idle_workers, stats.recovering_workers, stats.leaving_workers) == (idle, 0, 0)
    });
}

fn waiting(manager: &TaskManager<Res, Fault>) -> usize {
    let stats = manager.stats();
    stats.queued_tasks + stats.priority_tasks
}

// ---- resize ----

// Promise 2: up and down while resources are being made: the last word counts, exactly, and no cap is exceeded.
#[test]
fn limits_may_change_often_while_creations_are_under_way() {
    on_every_manager(|kind| {
        let (kit, slow) = (Kit::new(), Gate::new());
        let manager = kind.build(kit.config(1));
        let busy = Busy::with(&manager, 1);
        kit.block_creates(&slow);
        manager.resize(4, 4).unwrap();
        slow.await_arrivals(3);
        manager.resize(1, 1).unwrap();
        manager.resize(6, 6).unwrap();
        slow.await_arrivals(5); // those that were under way count again
        manager.resize(2, 2).unwrap();
        assert_eq!((kit.counts().calls, kit.peak()), (6, 6));
        slow.open();
        await_rest(&manager, 1);
        busy.release();
        await_rest(&manager, 2);
        assert_eq!((manager.stats().base_workers, manager.stats().burst_workers), (2, 0));
        kit.wait_until(|counts| counts.live == 2);
        assert_complete(&manager.stop().unwrap());
        assert_eq!((kit.peak(), kit.created()), (6, 6));
        kit.assert_all_destroyed_once();
    });
}

// Promise 1: lowering the limits does not send the only worker away that has a resource, in favour of those that
// are still making theirs and go when that is done.
#[test]
fn lower_limits_spare_who_has_a_resource_while_others_are_making_theirs() {
    on_every_manager(|kind| {
        let (kit, slow) = (Kit::new(), Gate::new());
        let manager = kind.build(kit.config(1));
        kit.block_creates(&slow);
        manager.resize(3, 3).unwrap();
        slow.await_arrivals(2);
        manager.resize(1, 1).unwrap();
        let serves = manager.stats().active_workers;
        slow.open();
        await_rest(&manager, 1);
        assert_complete(&manager.stop().unwrap());
        kit.assert_all_destroyed_once();
        assert_eq!(serves, 1, "workers with a resource after the limits were lowered");
    });
}

// Promise 2: who is being destroyed counts, so that the new limits are reached when it is gone.
#[test]
fn a_worker_that_is_leaving_counts_when_the_limits_rise_again() {
    on_every_manager(|kind| {
        let (kit, slow) = (Kit::new(), Gate::new());
        let manager = kind.build(kit.config(3));
        kit.block_destroys(&slow);
        manager.resize(1, 1).unwrap();
        slow.await_arrivals(2);
        manager.resize(3, 3).unwrap();
        assert_eq!(manager.stats().leaving_workers, 2);
        manager.queue_task(|_, _| Ok(())).unwrap();
        assert_eq!(kit.counts().calls, 3, "there is no room yet");
        slow.open();
        eventually("the base is complete", || manager.stats().active_workers == 3);
        assert_complete(&manager.stop().unwrap());
        assert_eq!((kit.peak(), kit.created()), (3, 5));
        kit.assert_all_destroyed_once();
    });
}

// Promises 2 and 4: limits hold in a pause as well, and nothing starts for that.
#[test]
fn limits_change_in_a_pause() {
    on_every_manager(|kind| {
        let (kit, seen) = (Kit::new(), Recorder::new());
        let manager = kind.build(kit.config(1).observer(seen.clone()));
        manager.pause();
        let held_back = submit(&manager, 5);
        manager.resize(3, 4).unwrap();
        await_rest(&manager, 3);
        manager.resize(1, 1).unwrap();
        kit.wait_until(|counts| counts.live == 1);
        assert_eq!(seen.count(|what| matches!(what, What::TaskStarted { .. })), 0);
        assert!(manager.stats().paused);
        manager.resume();
        wait_all(held_back);
        assert_complete(&manager.stop().unwrap());
        assert_eq!(kit.peak(), 3);
        kit.assert_all_destroyed_once();
    });
}

// Promise 2: in a pause whoever becomes free above a lowered cap goes, although tasks wait.
#[test]
fn busy_workers_above_a_lowered_cap_go_in_a_pause() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(3));
        let busy = Busy::with(&manager, 3);
        manager.pause();
        let held_back = submit(&manager, 4);
        manager.resize(1, 2).unwrap();
        assert_eq!(manager.stats().running_tasks, 3);
        busy.release();
        await_rest(&manager, 2); // not fewer than may stay
        assert_eq!(waiting(&manager), 4);
        manager.resume();
        wait_all(held_back);
        assert_complete(&manager.stop().unwrap());
        kit.assert_all_destroyed_once();
    });
}

// Promise 2: without bursting there are as many workers as the base, whatever the cap would allow.
#[test]
fn without_bursting_new_limits_change_the_base_alone() {
    on_every_manager(|kind| {
        let (kit, clock) = (Kit::new(), ManualClock::new());
        let config = kit.config(2).max_worker_count(4).burst_interval(Duration::ZERO);
        let manager = kind.build(config.clock(clock.clone()));
        manager.resize(3, 6).unwrap();
        await_rest(&manager, 3);
        let busy = Busy::with(&manager, 3);
        let backlog = submit(&manager, 10);
        for _ in 0..5 {
            pass(&manager, &clock, SECOND);
        }
        assert_eq!(kit.counts().calls, 3, "nobody is hired for a backlog");
        manager.resize(1, 6).unwrap();
        busy.release();
        wait_all(backlog);
        await_rest(&manager, 1);
        kit.wait_until(|counts| counts.live == 1);
        manager.resize(2, 2).unwrap();
        await_rest(&manager, 2);
        assert_complete(&manager.stop().unwrap());
        assert_eq!(kit.peak(), 3);
        kit.assert_all_destroyed_once();
    });
}

// Promise 9: who gets no resource because `on_create` fails is the first to go when the limits are lowered; the
// worker that has one stays, and the other one that may stay comes back when that works again.
#[test]
fn lower_limits_spare_who_has_a_resource_while_others_get_none() {
    on_every_manager(|kind| {
        let (kit, clock) = (Kit::new(), ManualClock::new());
        let manager = kind.build(kit.config(1).clock(clock.clone()));
        kit.break_down();
        manager.resize(4, 4).unwrap();
        eventually("three fail", || manager.explain().failing == 3);
        manager.resize(2, 2).unwrap();
        eventually("nobody is leaving any more", || {
            let stats = manager.stats();
            (stats.active_workers + stats.recovering_workers, stats.leaving_workers) == (2, 0)
        });
        let serves = manager.stats().active_workers;
        kit.mend();
        eventually("both are there", || {
            clock.advance(SECOND);
            manager.stats().active_workers == 2
        });
        assert_complete(&manager.stop().unwrap());
        kit.assert_all_destroyed_once();
        assert_eq!(serves, 1, "workers with a resource while on_create fails");
    });
}

// Small print of `Event::Scaled`: a lowered cap is told of when it is lowered, also if all are busy then.
#[test]
fn new_limits_are_told_of_although_everybody_is_busy() {
    on_every_manager(|kind| {
        let (kit, seen) = (Kit::new(), Recorder::new());
        let manager = kind.build(kit.config(3).observer(seen.clone()));
        let busy = Busy::with(&manager, 3);
        manager.resize(1, 1).unwrap();
        busy.release();
        await_rest(&manager, 1);
        manager.resize(2, 2).unwrap();
        await_rest(&manager, 2);
        assert_complete(&manager.stop().unwrap());
        let mut workers = 3;
        for event in seen.events() {
            if let What::Scaled { from, to, reason } = event.what {
                assert_eq!(from, workers, "{from} -> {to}: {reason}");
                assert!(matches!(reason, Reason::Resized { .. }), "{reason}");
                workers = to;
            }
        }
        assert_eq!(workers, 2);
    });
}

// Promise 12: limits of a manager that is shutting down are refused, in every phase, and change nothing.
#[test]
fn limits_are_refused_from_the_beginning_of_a_shutdown() {
    on_every_manager(|kind| {
        for kill in [false, true] {
            let kit = Kit::new();
            let manager = kind.build(kit.config(1));
            let busy = Busy::with(&manager, 1);
            thread::scope(|scope| {
                let ended = scope.spawn(|| if kill { manager.kill() } else { manager.stop() });
                eventually("it begins", || manager.phase() != Phase::Running);
                assert_eq!(manager.resize(3, 3), Err(ResizeError::ShuttingDown));
                assert_eq!((manager.stats().base_workers, manager.stats().max_workers), (1, 1));
                busy.open();
                assert_complete(&ended.join().unwrap().unwrap());
            });
            assert_eq!(manager.resize(3, 3), Err(ResizeError::ShuttingDown));
            assert_eq!(manager.resize(0, 0), Err(ResizeError::NoWorkers), "it says what is worst");
            assert_eq!(kit.created(), 1);
        }
    });
}

// Promises 1, 2 and 3: whatever several threads say about the limits while tasks run, no cap that was ever set is
// exceeded, and the last limits hold exactly.
#[test]
fn a_crowd_of_limits_never_exceeds_the_largest_and_ends_at_the_last() {
    on_every_manager(|kind| {
        for bursts in [true, false] {
            let (kit, seed) = (Kit::new(), fastrand::u64(..));
            let interval = if bursts { Duration::from_millis(1) } else { Duration::ZERO };
            let config = kit.config(2).max_worker_count(6).burst_interval(interval);
            let manager = kind.build(config);
            thread::scope(|scope| {
                for caller in 0..3 {
                    let manager = &manager;
                    scope.spawn(move || {
                        for n in 0..60 {
                            let ended = Door::ALL[(caller + n) % 4].send(manager, move |cx, _| {
                                match n % 9 {
                                    3 if cx.attempt() == 1 => Err(Fault::Sick),
                                    _ => Ok(()),
                                }
                            });
                            ended.unwrap();
                        }
                    });
                }
                for teller in 0..2 {
                    let manager = &manager;
                    scope.spawn(move || {
                        let mut random = fastrand::Rng::with_seed(seed ^ teller);
                        for _ in 0..100 {
                            let base = random.usize(1..=4);
                            manager.resize(base, random.usize(base..=6)).unwrap();
                        }
                    });
                }
            });
            manager.resize(2, 3).unwrap();
            let most = if bursts { 3 } else { 2 };
            eventually("the limits hold", || {
                let stats = manager.stats();
                let workers = stats.active_workers + stats.recovering_workers;
                (2..=most).contains(&workers) && stats.leaving_workers == 0
            });
            kit.wait_until(|counts| (2..=most as u64).contains(&counts.live));
            let report = manager.stop().unwrap();
            assert_complete(&report);
            assert_eq!(report.completed, 180, "seed {seed}");
            assert!(kit.peak() <= 6, "{} resources at once, seed {seed}", kit.peak());
            kit.assert_all_destroyed_once();
        }
    });
}

// ---- pause ----

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
