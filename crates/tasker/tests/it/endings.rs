//! Promise 1: an accepted task has exactly one outcome, and whoever waits for it always gets it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use tasker::testing::ManualClock;
use tasker::{Backoff, Config, Overflow, Phase, TaskError, TaskManager};

use crate::support::{
    Busy, Door, Fault, Gate, Kit, LIMIT, Manager, Recorder, Reluctant, Res, What, assert_complete,
    eventually, on_every_door, on_every_manager, within,
};

// Promise 1: a success is an outcome.
#[test]
fn a_success_comes_back_through_every_door() {
    on_every_door(|kind, door| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(1));
        assert_eq!(door.send(&manager, |_, res| res.work()).unwrap(), 1);
        assert_complete(&manager.stop().unwrap());
    });
}

// Promise 1: an error is an outcome.
#[test]
fn an_error_comes_back_through_every_door() {
    on_every_door(|kind, door| {
        let manager = kind.build(Kit::new().config(1));
        let ended = door.send(&manager, |_, _| Err::<(), _>(Fault::Own));
        assert!(matches!(ended, Err(TaskError::Failed(Fault::Own))), "{ended:?}");
    });
}

// Promise 1: a panic is an outcome.
#[test]
fn a_panic_comes_back_through_every_door() {
    on_every_door(|kind, door| {
        let manager = kind.build(Kit::new().config(1));
        let ended = door.send(&manager, |_, _| -> Result<(), Fault> { panic!("tea") });
        assert!(matches!(ended, Err(TaskError::Panicked(_))), "{ended:?}");
    });
}

// Promise 1: whoever waits in a lane is answered by the kill, not by the end of what still runs.
#[test]
fn a_kill_answers_everyone_who_waits_although_a_task_still_runs() {
    on_every_manager(|kind| {
        let seen = Recorder::new();
        let manager = kind.build(Kit::new().config(1).observer(seen.clone()));
        let busy = Busy::with(&manager, 1);
        thread::scope(|scope| {
            let manager = &manager;
            let waiting =
                Door::ALL.map(|door| scope.spawn(move || door.send(manager, |_, _| Ok(()))));
            seen.wait_for(1 + waiting.len(), |what| matches!(what, What::TaskQueued { .. }));
            let kill = scope.spawn(|| manager.kill().unwrap());
            for waiting in waiting {
                let ended = waiting.join().unwrap();
                assert!(matches!(ended, Err(TaskError::Killed)), "{ended:?}");
            }
            busy.release();
            let report = kill.join().unwrap();
            assert_eq!((report.accepted, report.completed, report.dropped), (5, 1, 4));
            assert_complete(&report);
        });
    });
}

// Promise 1: a stop runs what waits, whichever door it came through.
#[test]
fn a_stop_runs_everything_that_waits() {
    on_every_manager(|kind| {
        let seen = Recorder::new();
        let manager = kind.build(Kit::new().config(1).observer(seen.clone()));
        let busy = Busy::with(&manager, 1);
        thread::scope(|scope| {
            let manager = &manager;
            let waiting =
                Door::ALL.map(|door| scope.spawn(move || door.send(manager, |_, _| Ok(7))));
            seen.wait_for(1 + waiting.len(), |what| matches!(what, What::TaskQueued { .. }));
            let stop = scope.spawn(|| manager.stop().unwrap());
            seen.wait_for(1, |what| matches!(what, What::PhaseChanged { phase: Phase::Stopping }));
            busy.release();
            for waiting in waiting {
                assert_eq!(waiting.join().unwrap().unwrap(), 7);
            }
            let report = stop.join().unwrap();
            assert_eq!((report.accepted, report.completed), (5, 5));
            assert_complete(&report);
        });
    });
}

/// Shuts a manager down while a submission through `door` waits for room; how that submission ended.
fn shut_down_while_waiting_for_room(
    kind: Manager,
    door: Door,
    shut_down: fn(&TaskManager<Res, Fault>) -> tasker::ShutdownReport,
) -> Result<(), TaskError<Fault>> {
    let config = Kit::new().config(1).queue_capacity(1).overflow(Overflow::Wait);
    let manager = kind.build(config);
    let busy = Busy::with(&manager, 1);
    let in_the_lane = manager.task(|_, _| Ok(())).submit();
    thread::scope(|scope| {
        let manager = &manager;
        let outside = scope.spawn(move || door.send(manager, |_, _| Ok(())));
        eventually("the submission waits for room", || manager.stats().queued_tasks == 2);
        let over = scope.spawn(|| shut_down(manager));
        let ended = outside.join().unwrap(); // while the busy task still runs
        busy.release();
        let report = over.join().unwrap();
        assert_eq!(report.accepted, 2, "what waits for room is not accepted yet");
        assert_complete(&report);
        drop(in_the_lane);
        ended
    })
}

// Promise 1: a submitter that is blocked because the queue is full does not hang when it is killed.
#[test]
fn a_kill_turns_away_whoever_waits_for_room() {
    on_every_door(|kind, door| {
        let ended = shut_down_while_waiting_for_room(kind, door, |m| m.kill().unwrap());
        assert!(matches!(ended, Err(TaskError::ShuttingDown)), "{ended:?}");
    });
}

// Promise 1: nor when it is stopped.
#[test]
fn a_stop_turns_away_whoever_waits_for_room() {
    on_every_door(|kind, door| {
        let ended = shut_down_while_waiting_for_room(kind, door, |m| m.stop().unwrap());
        assert!(matches!(ended, Err(TaskError::ShuttingDown)), "{ended:?}");
    });
}

// Promise 1: a task that waits for its next attempt waits like any other.
#[test]
fn a_kill_answers_a_task_that_waits_for_its_retry() {
    on_every_door(|kind, door| {
        let (kit, seen) = (Kit::new(), Recorder::new());
        let backoff = Backoff::fixed(Duration::from_secs(3600));
        let config = kit.config(1).clock(ManualClock::new()).retry_backoff(backoff);
        let manager = kind.build(config.observer(seen.clone()));
        thread::scope(|scope| {
            let task = scope.spawn(|| door.send(&manager, |_, _| Err::<(), _>(Fault::Sick)));
            seen.wait_for(1, |what| matches!(what, What::TaskRetried { .. }));
            let report = manager.kill().unwrap();
            let ended = task.join().unwrap();
            assert!(matches!(ended, Err(TaskError::Killed)), "{ended:?}");
            assert_eq!(report.dropped, 1);
            assert_complete(&report);
        });
        kit.assert_all_destroyed_once();
    });
}

// Promise 1: nobody holds the manager any more, and yet everything accepted ends.
#[test]
fn a_dropped_manager_still_ends_what_it_accepted() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(1));
        let busy = Busy::with(&manager, 1);
        let handle = manager.task(|_, res| res.work()).submit();
        let (send, receive) = channel();
        manager.task(|_, res| res.work()).on_complete(move |ended| send.send(ended).unwrap());
        drop(manager);
        busy.release();
        assert_eq!(handle.wait().unwrap(), 1);
        assert_eq!(receive.recv_timeout(LIMIT).unwrap().unwrap(), 1);
        kit.wait_until(|counts| counts.destroyed == 1);
        kit.assert_all_destroyed_once();
    });
}

// Promise 1: a handle is where the outcome arrives, not what keeps the task alive.
#[test]
fn a_task_runs_although_its_handle_is_dropped() {
    on_every_manager(|kind| {
        let manager = kind.build(Kit::new().config(1));
        let busy = Busy::with(&manager, 1);
        let (send, receive) = channel();
        let task = manager.task(move |_, _| {
            send.send(()).unwrap();
            Ok(())
        });
        drop(task.submit());
        busy.release();
        receive.recv_timeout(LIMIT).unwrap();
        assert_eq!(manager.stop().unwrap().completed, 2);
    });
}

// Promise 1: whoever comes too late is told so, callbacks included.
#[test]
fn a_refused_task_is_answered_through_every_door() {
    on_every_door(|kind, door| {
        for shut_down in [TaskManager::stop, TaskManager::kill] {
            let manager = kind.build(Kit::new().config(1));
            shut_down(&manager).unwrap();
            let ended = door.send(&manager, |_, _| Ok(()));
            assert!(matches!(ended, Err(TaskError::ShuttingDown)), "{ended:?}");
        }
    });
}

/// A manager of `workers` workers none of which can get a resource any more.
fn without_resources(
    kind: Manager,
    workers: usize,
    kit: &Kit,
    seen: &Recorder,
) -> TaskManager<Res, Fault> {
    let config = kit.config(workers).max_retries(0).clock(ManualClock::new());
    let manager = kind.build(config.observer(seen.clone()));
    kit.break_down();
    let gate = Gate::new();
    let sick = || {
        let gate = gate.clone();
        manager.task(move |_, _| {
            gate.wait();
            Err::<(), _>(Fault::Sick)
        })
    };
    let tasks: Vec<_> = (0..workers).map(|_| sick().submit()).collect();
    gate.await_arrivals(workers);
    gate.open();
    for task in tasks {
        assert!(matches!(task.wait(), Err(TaskError::RetriesExhausted { attempts: 1, .. })));
    }
    seen.wait_for(workers, |what| matches!(what, What::CreateFailed { .. }));
    manager
}

// Promise 1 (and 10): dead resources are no reason to wait for ever.
#[test]
fn a_stop_ends_what_no_resource_can_be_made_for() {
    on_every_door(|kind, door| {
        let (kit, seen) = (Kit::new(), Recorder::new());
        let manager = without_resources(kind, 2, &kit, &seen);
        thread::scope(|scope| {
            let waiting: Vec<_> =
                (0..3).map(|_| scope.spawn(|| door.send(&manager, |_, _| Ok(())))).collect();
            seen.wait_for(2 + 3, |what| matches!(what, What::TaskQueued { .. }));
            let report = manager.stop().unwrap();
            for waiting in waiting {
                let ended = waiting.join().unwrap();
                let as_promised = matches!(ended, Err(TaskError::CreateFailed(Fault::Create)));
                assert!(as_promised, "{ended:?}");
            }
            assert_eq!((report.accepted, report.failed), (5, 5));
            assert_complete(&report);
        });
        kit.assert_all_destroyed_once();
    });
}

// Promise 1: the same for a kill.
#[test]
fn a_kill_ends_what_no_resource_can_be_made_for() {
    on_every_door(|kind, door| {
        let (kit, seen) = (Kit::new(), Recorder::new());
        let manager = without_resources(kind, 2, &kit, &seen);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| door.send(&manager, |_, _| Ok(())));
            seen.wait_for(2 + 1, |what| matches!(what, What::TaskQueued { .. }));
            let report = manager.kill().unwrap();
            let ended = waiting.join().unwrap();
            assert!(matches!(ended, Err(TaskError::Killed)), "{ended:?}");
            assert_complete(&report);
        });
        kit.assert_all_destroyed_once();
    });
}

// Promise 1 (and 10): two workers that fail to get a resource during a stop must not each count on
// the other for the task that still waits. The first one has decided to go and is held up in the drop
// of its error when the second one decides.
#[test]
fn the_last_of_two_workers_without_a_resource_ends_what_waits() {
    within(LIMIT, || {
        let (going, second) = (Gate::new(), Gate::new());
        let calls = AtomicU64::new(0);
        let (first_goes, second_fails) = (going.clone(), second.clone());
        let create = move || match calls.fetch_add(1, Ordering::SeqCst) + 1 {
            1 | 2 => Ok(()),
            5 => Err(Reluctant(Some(first_goes.clone()))),
            6 => {
                second_fails.wait();
                Err(Reluctant(None))
            }
            _ => Err(Reluctant(None)),
        };
        let config = Config::<(), Reluctant>::new(create)
            .check_health(|_| false)
            .worker_count(2)
            .max_worker_count(2)
            .resource_pool_size(0)
            .max_retries(0)
            .clock(ManualClock::new());
        let manager = TaskManager::new(config).unwrap();
        let gate = Gate::new();
        let sick = || {
            let gate = gate.clone();
            let task = manager.task(move |_, _| {
                gate.wait();
                Err::<(), _>(Reluctant(None))
            });
            task.submit()
        };
        let sick = [sick(), sick()];
        gate.await_arrivals(2);
        gate.open();
        for sick in sick {
            assert!(matches!(sick.wait(), Err(TaskError::RetriesExhausted { .. })));
        }
        eventually("both wait for their next try", || manager.explain().failing == 2);
        let waiting = manager.task(|_, _| Ok(())).submit();
        thread::scope(|scope| {
            let stop = scope.spawn(|| manager.stop());
            going.await_arrivals(1);
            second.open();
            let ended = waiting.wait_timeout(LIMIT / 4);
            going.open(); // in any case, so that a failure fails instead of hanging
            let ended = ended.expect("the task that waits is ended by the worker that is left");
            assert!(matches!(ended, Err(TaskError::CreateFailed(_))), "{ended:?}");
            assert_complete(&stop.join().unwrap().unwrap());
        });
    });
}

// Promise 1: the numbers that callers have seen are the numbers of the report.
#[test]
fn a_crowd_of_callers_gets_one_outcome_each_from_a_manager_that_is_killed() {
    const CALLERS: u64 = 6;
    const TASKS: u64 = 60;
    on_every_manager(|kind| {
        let (kit, seen) = (Kit::new(), Recorder::new());
        let config = kit.config(2).max_worker_count(3).burst_interval(Duration::from_millis(1));
        let manager = kind.build(config.observer(seen.clone()));
        let outcomes: [AtomicU64; 5] = Default::default();
        let count = |ended: Result<(), TaskError<Fault>>| {
            let which = match ended {
                Ok(()) => 0,
                Err(TaskError::Failed(_) | TaskError::Panicked(_)) => 1,
                Err(TaskError::Cancelled) => 2, // it failed while it was being killed
                Err(TaskError::Killed) => 3,
                Err(TaskError::ShuttingDown) => 4,
                Err(other) => panic!("nobody asked for that: {other:?}"),
            };
            outcomes[which].fetch_add(1, Ordering::SeqCst);
        };
        let report = thread::scope(|scope| {
            for caller in 0..CALLERS {
                let (manager, count) = (&manager, &count);
                scope.spawn(move || {
                    for n in 0..TASKS {
                        let door = Door::ALL[((caller + n) % 4) as usize];
                        count(match n % 10 {
                            3 => door.send(manager, |_, _| Err(Fault::Own)),
                            5 => door.send(manager, |cx, _| match cx.attempt() {
                                1 => Err(Fault::Sick),
                                _ => Ok(()),
                            }),
                            7 => door.send_once(manager, |_, _| panic!("one of a crowd")),
                            _ => door.send_once(manager, |_, _| Ok(())),
                        });
                    }
                });
            }
            seen.wait_for(150, |what| matches!(what, What::TaskFinished { .. }));
            manager.kill().unwrap()
        });
        let [well, wrong, cancelled, dropped, refused] =
            outcomes.map(|outcome| outcome.load(Ordering::SeqCst));
        assert_eq!(well + wrong + cancelled + dropped + refused, CALLERS * TASKS);
        assert_eq!(
            (well, wrong, cancelled, dropped),
            (report.completed, report.failed, report.cancelled, report.dropped)
        );
        assert_complete(&report);
        kit.assert_all_destroyed_once();
    });
}
