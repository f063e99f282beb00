//! Promise 4: a free worker takes the oldest task of the highest lane that has one.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;

use tasker::{Priority, TaskManager};

use crate::support::{
    Busy, Door, Fault, Gate, Kit, LIMIT, Manager, Recorder, Res, What, on_every_manager, within,
};

const LANES: [Priority; 3] = [Priority::Low, Priority::Normal, Priority::High];

/// Queues `tasks` in this order while the only worker is busy; the order in which they run.
fn order_of(kind: Manager, tasks: &[(Priority, Door)]) -> Vec<usize> {
    let seen = Recorder::new();
    let manager = kind.build(Kit::new().config(1).observer(seen.clone()));
    let busy = Busy::with(&manager, 1);
    let ran = Arc::new(Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for (n, (priority, door)) in tasks.iter().copied().enumerate() {
            let (manager, ran) = (&manager, Arc::clone(&ran));
            scope.spawn(move || {
                let task = manager.task(move |_, _| {
                    ran.lock().unwrap().push(n);
                    Ok(())
                });
                let task = task.priority(priority);
                match door {
                    Door::Run => task.run().unwrap(),
                    _ => task.submit().wait().unwrap(),
                }
            });
            seen.wait_for(2 + n, |what| matches!(what, What::TaskQueued { .. }));
        }
        busy.release();
    });
    Arc::into_inner(ran).unwrap().into_inner().unwrap()
}

fn interleaved(door: impl Fn(usize) -> Door) -> Vec<(Priority, Door)> {
    (0..12).map(|n| (LANES[n % 3], door(n))).collect()
}

/// High, then Normal, then Low, each in the order of their coming.
const EXPECTED: [usize; 12] = [2, 5, 8, 11, 1, 4, 7, 10, 0, 3, 6, 9];

// Promise 4: for detached tasks.
#[test]
fn detached_tasks_run_by_lane_and_in_a_lane_by_arrival() {
    on_every_manager(|kind| assert_eq!(order_of(kind, &interleaved(|_| Door::Wait)), EXPECTED));
}

// Promise 4: for blocked callers, none of whom is overtaken where nobody new comes.
#[test]
fn blocked_callers_run_by_lane_and_in_a_lane_by_arrival() {
    on_every_manager(|kind| assert_eq!(order_of(kind, &interleaved(|_| Door::Run)), EXPECTED));
}

// Promise 4: blocked callers and detached tasks stand in one line.
#[test]
fn blocked_callers_and_detached_tasks_share_one_order() {
    on_every_manager(|kind| {
        let mixed = |n| if n / 3 % 2 == 0 { Door::Wait } else { Door::Run };
        assert_eq!(order_of(kind, &interleaved(mixed)), EXPECTED);
        let mixed = |n| if n / 3 % 2 == 0 { Door::Run } else { Door::Wait };
        assert_eq!(order_of(kind, &interleaved(mixed)), EXPECTED);
    });
}

// Promise 4: with several workers, the ones that become free take the highest lane first, all of them.
#[test]
fn every_free_worker_takes_the_highest_lane_first() {
    on_every_manager(|kind| {
        let (seen, gate) = (Recorder::new(), Gate::new());
        let manager = kind.build(Kit::new().config(2).observer(seen.clone()));
        let busy = Busy::with(&manager, 2);
        let work = |priority: Priority| {
            let gate = gate.clone();
            let task = manager.task(move |_, _| {
                gate.wait();
                Ok(())
            });
            task.priority(priority).name(priority.to_string()).submit()
        };
        let work: Vec<_> = LANES.into_iter().cycle().take(6).map(work).collect();
        busy.release();
        gate.await_arrivals(2); // both workers are busy again, and stay it
        let started = |name: &str| {
            let so = |what: &What| match what {
                What::TaskStarted { name: Some(known), .. } => known == name,
                _ => false,
            };
            seen.count(so)
        };
        assert_eq!((started("high"), started("normal"), started("low")), (2, 0, 0));
        gate.open();
        for work in work {
            work.wait().unwrap();
        }
    });
}

// Promise 4 (and 6): a retry stands in the High lane, behind what was there before it.
#[test]
fn a_retry_runs_after_older_high_tasks_and_before_all_others() {
    on_every_manager(|kind| {
        for door in [Door::Wait, Door::Run] {
            let (seen, gate) = (Recorder::new(), Gate::new());
            let manager = kind.build(Kit::new().config(1).observer(seen.clone()));
            let ran = Arc::new(Mutex::new(Vec::new()));
            let note = |name: &'static str| {
                let ran = Arc::clone(&ran);
                move || ran.lock().unwrap().push(name)
            };
            let (retried, at_gate) = (note("retry"), gate.clone());
            let sick = manager.task(move |cx, _| {
                if cx.attempt() == 1 {
                    at_gate.wait();
                    return Err(Fault::Sick);
                }
                retried();
                Ok(())
            });
            let sick = sick.priority(Priority::Low).submit();
            gate.await_arrivals(1);
            thread::scope(|scope| {
                for (n, priority) in LANES.into_iter().enumerate() {
                    let (manager, note) = (&manager, note(["low", "normal", "high"][n]));
                    scope.spawn(move || {
                        let task = manager.task(move |_, _| {
                            note();
                            Ok(())
                        });
                        let task = task.priority(priority);
                        let ended =
                            if door == Door::Run { task.run() } else { task.submit().wait() };
                        ended.unwrap();
                    });
                    seen.wait_for(2 + n, |what| matches!(what, What::TaskQueued { .. }));
                }
                gate.open();
            });
            sick.wait().unwrap();
            assert_eq!(*ran.lock().unwrap(), ["high", "retry", "normal", "low"]);
        }
    });
}

// Promise 4: where resources stay on their threads, `run_task` goes ahead of every lane.
#[test]
fn an_urgent_task_of_a_local_manager_goes_ahead_of_every_lane() {
    within(LIMIT, || {
        let seen = Recorder::new();
        let manager = Manager::Local.build(Kit::new().config(1).observer(seen.clone()));
        let busy = Busy::with(&manager, 1);
        let order = Mutex::new(Vec::new());
        thread::scope(|scope| {
            scope.spawn(|| {
                let high = manager.task(|_, _| {
                    order.lock().unwrap().push("high");
                    Ok(())
                });
                high.priority(Priority::High).run().unwrap();
            });
            seen.wait_for(2, |what| matches!(what, What::TaskQueued { .. }));
            scope.spawn(|| {
                let urgent = |_: &_, _: &mut Res| {
                    order.lock().unwrap().push("urgent");
                    Ok(())
                };
                manager.run_task(urgent).unwrap();
            });
            seen.wait_for(3, |what| matches!(what, What::TaskQueued { .. }));
            busy.release();
        });
        assert_eq!(*order.lock().unwrap(), ["urgent", "high"]);
    });
}

/// Each of the reference's names, called; the priority that its task found in its context.
fn priorities_by_name(manager: &TaskManager<Res, Fault>) -> Vec<(&'static str, Priority)> {
    let asked = |cx: &tasker::TaskContext, _: &mut Res| Ok::<_, Fault>(cx.priority());
    let (send, receive) = channel();
    let back = || {
        let send = send.clone();
        move |ended: Result<Priority, tasker::TaskError<Fault>>| send.send(ended.unwrap()).unwrap()
    };
    let called = || receive.recv_timeout(LIMIT).unwrap();
    let mut found = vec![
        ("queue_task", manager.queue_task(asked).unwrap()),
        ("queue_task_once", manager.queue_task_once(asked).unwrap()),
        ("queue_task_with_priority", manager.queue_task_with_priority(asked).unwrap()),
        ("queue_task_with_priority_once", manager.queue_task_with_priority_once(asked).unwrap()),
        ("queue_task_async", manager.queue_task_async(asked).wait().unwrap()),
        ("queue_task_once_async", manager.queue_task_once_async(asked).wait().unwrap()),
        (
            "queue_task_with_priority_async",
            manager.queue_task_with_priority_async(asked).wait().unwrap(),
        ),
        (
            "queue_task_with_priority_once_async",
            manager.queue_task_with_priority_once_async(asked).wait().unwrap(),
        ),
    ];
    manager.queue_task_with_callback(asked, back());
    found.push(("queue_task_with_callback", called()));
    manager.queue_task_once_with_callback(asked, back());
    found.push(("queue_task_once_with_callback", called()));
    manager.queue_task_with_priority_with_callback(asked, back());
    found.push(("queue_task_with_priority_with_callback", called()));
    manager.queue_task_with_priority_once_with_callback(asked, back());
    found.push(("queue_task_with_priority_once_with_callback", called()));
    found
}

// Promise 4: the names that say so use the High lane, the others the Normal one.
#[test]
fn the_names_with_priority_use_the_high_lane() {
    on_every_manager(|kind| {
        let manager = kind.build(Kit::new().config(1));
        let found = priorities_by_name(&manager);
        assert_eq!(found.len(), 12);
        for (name, priority) in found {
            let high = name.contains("priority");
            assert_eq!(priority == Priority::High, high, "{name}: {priority}");
            assert_eq!(priority == Priority::Normal, !high, "{name}: {priority}");
        }
    });
}
