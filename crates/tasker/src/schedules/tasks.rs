//! What becomes of tasks: lent, cancelled, retried, run at once, panicking, timed out.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use shuttle::thread;

use super::{Count, Fault, World, build, explore, panic_quietly, until_told};
use crate::{Backoff, Event, Observer, Phase, Priority, TaskError};

// Promises 1 and 18.
#[test]
fn blocked_callers_pass_one_resource_on_and_nobody_waits_for_ever() {
    explore(|| {
        let world = World::new();
        let manager = world.manager(1, 1);
        let runs = Count::default();
        let callers: Vec<_> = [Priority::Normal, Priority::Normal, Priority::High]
            .into_iter()
            .map(|priority| {
                let (manager, mut task) = (manager.clone(), runs.task());
                thread::spawn(move || {
                    manager.task(|cx, res| task(cx, res)).priority(priority).run()
                })
            })
            .collect();
        let handle = manager.task(runs.task()).submit();
        for caller in callers {
            caller.join().unwrap().unwrap();
        }
        handle.wait().unwrap();
        let report = manager.stop().unwrap();
        world.assert_adds_up(&report, 1);
        assert_eq!((report.completed, runs.get()), (4, 4));
    });
}

// Promise 4: a caller that is running overtakes none of a higher lane.
#[test]
fn a_lower_caller_never_overtakes_one_that_waits() {
    explore(|| {
        let world = World::new();
        let manager = world.manager(1, 1);
        let order = Arc::new(Mutex::new(Vec::new()));
        let call = |priority| {
            let (manager, order) = (manager.clone(), Arc::clone(&order));
            let task = move |_: &_, _: &mut _| {
                order.lock().unwrap().push(priority);
                Ok(())
            };
            move || manager.task(task).priority(priority).run().unwrap()
        };
        let normal = call(Priority::Normal);
        let waits = || {
            let normal = thread::spawn(normal);
            while manager.stats().queued_tasks == 0 {
                thread::yield_now();
            }
            normal
        };
        let normal = manager.task_once(|_, _| Ok(waits())).run().unwrap();
        call(Priority::Low)();
        normal.join().unwrap();
        assert_eq!(*order.lock().unwrap(), [Priority::Normal, Priority::Low]);
        world.assert_adds_up(&manager.stop().unwrap(), 1);
    });
}

/// The last number with which a task was queued, and that of a stop's beginning.
#[derive(Clone, Default)]
struct Numbers(Arc<[AtomicU64; 2]>);

impl Observer for Numbers {
    fn on_event(&self, event: &Event<'_>) {
        let [queued, stopping] = &*self.0;
        match event {
            Event::TaskQueued { .. } => queued.fetch_max(event.sequence(), Ordering::SeqCst),
            Event::PhaseChanged { phase: Phase::Stopping, .. } => {
                stopping.swap(event.sequence(), Ordering::SeqCst)
            }
            _ => 0,
        };
    }
}

// Small print, "About watching": events may be told in another order, and their numbers have the right one.
#[test]
fn a_task_that_came_before_a_stop_has_an_earlier_number() {
    explore(|| {
        let (world, numbers) = (World::new(), Numbers::default());
        let manager = build(world.config(1, 1).observer(numbers.clone()));
        let caller = {
            let manager = manager.clone();
            thread::spawn(move || manager.queue_task(|_, _| Ok(())).is_ok())
        };
        let report = manager.stop().unwrap();
        let accepted = u64::from(caller.join().unwrap());
        assert_eq!((report.accepted, report.completed), (accepted, accepted));
        let [queued, stopping] = &*numbers.0;
        assert!(queued.load(Ordering::SeqCst) < stopping.load(Ordering::SeqCst));
        world.assert_adds_up(&report, 1);
    });
}

// Promises 1 and 17.
#[test]
fn a_cancelled_task_runs_at_most_once_and_is_answered_once() {
    explore(|| {
        let world = World::new();
        let manager = world.manager(1, 1);
        let runs = Count::default();
        let counted = runs.clone();
        let handle = manager
            .task(move |cx, res| {
                counted.one();
                until_told(cx, res)
            })
            .submit();
        let next = manager.task(runs.task()).submit();
        let canceller = thread::spawn(move || {
            handle.cancel();
            assert!(matches!(handle.wait(), Err(TaskError::Cancelled)));
        });
        next.wait().unwrap(); // its own context is not the one that was cancelled
        canceller.join().unwrap();
        let report = manager.stop().unwrap();
        world.assert_adds_up(&report, 1);
        assert_eq!((report.completed, report.cancelled), (1, 1));
        assert!(runs.get() <= 2);
    });
}

// Promise 17. Where a resource goes back without the lock, its token was asked first whether it is cancelled and then
// who holds it: whoever cancelled it in between, and let go of it, cancelled the next task.
#[test]
fn who_cancels_a_token_as_its_task_ends_does_not_reach_the_next_task() {
    explore(|| {
        let world = World::new();
        let manager = world.manager(1, 1);
        let ended = manager.queue_task(|cx, _| {
            let token = cx.token().clone();
            Ok(thread::spawn(move || token.cancel()))
        });
        let next =
            manager.queue_task(|cx, _| if cx.is_cancelled() { Err(Fault::Own) } else { Ok(()) });
        assert!(next.is_ok(), "it has a token of its own");
        ended.unwrap().join().unwrap();
        let report = manager.stop().unwrap();
        world.assert_adds_up(&report, 1);
        assert_eq!(report.completed, 2);
    });
}

// Promise 17: a token is cancelled after the lock, when the task that it was meant for may have ended.
#[test]
fn a_cancel_that_comes_late_does_not_reach_the_next_task() {
    explore(|| {
        let world = World::new();
        let manager = world.manager(1, 1);
        let first = manager.task(|_, _| Ok(())).submit();
        let next = manager
            .task(|cx, _| {
                thread::yield_now();
                if cx.is_cancelled() { Err(Fault::Own) } else { Ok(()) }
            })
            .submit();
        let canceller = thread::spawn(move || {
            first.cancel();
            assert!(matches!(first.wait(), Ok(()) | Err(TaskError::Cancelled)));
        });
        next.wait().unwrap();
        canceller.join().unwrap();
        world.assert_adds_up(&manager.stop().unwrap(), 1);
    });
}

// Promises 3 and 6.
#[test]
fn a_task_whose_resource_is_sick_runs_again_on_another_one() {
    explore(|| {
        let world = World::new();
        let manager =
            build(world.config(1, 2).retry_backoff(Backoff::fixed(Duration::from_millis(1))));
        let sick_once = |runs: &Count| {
            let runs = runs.clone();
            move |cx: &crate::TaskContext, _: &mut super::Res| {
                runs.one();
                if cx.attempt() == 1 { Err(Fault::Sick) } else { Ok(()) }
            }
        };
        let (lent, submitted) = (Count::default(), Count::default());
        let (caller, task) = (manager.clone(), sick_once(&lent));
        let blocked = thread::spawn(move || caller.queue_task(task));
        let handle = manager.task(sick_once(&submitted)).submit();
        blocked.join().unwrap().unwrap();
        handle.wait().unwrap();
        let report = manager.stop().unwrap();
        world.assert_adds_up(&report, 2);
        assert_eq!((report.completed, lent.get(), submitted.get()), (2, 2, 2));
        assert!(report.resources_created >= 3, "each sick resource was replaced");
    });
}

// Promises 3, 8 and 9.
#[test]
fn a_panic_ends_its_task_alone_and_a_resource_that_fails_to_come_back_comes_later() {
    explore(|| {
        let world = World::new();
        let manager = world.manager(1, 1);
        world.failing.store(1, std::sync::atomic::Ordering::SeqCst);
        let handle = manager.task(|_, _| -> Result<(), Fault> { panic_quietly() }).submit();
        let caller = manager.clone();
        let blocked = thread::spawn(move || caller.queue_task(|_, _| Ok(())));
        assert!(matches!(handle.wait(), Err(TaskError::Panicked(_))));
        blocked.join().unwrap().unwrap();
        let report = manager.stop().unwrap();
        world.assert_adds_up(&report, 1);
        assert_eq!((report.completed, report.failed), (1, 1));
    });
}

// Promises 2, 3 and 10: guests on pooled, lent and temporary resources, and the steward who sees to the pool.
#[test]
fn urgent_tasks_find_a_resource_while_their_manager_stops_and_none_is_left_over() {
    explore(|| {
        let world = World::new();
        let manager = build(world.config(1, 1).resource_pool_size(1));
        let runs = Count::default();
        let guests: Vec<_> = [None, Some(Fault::Sick)]
            .into_iter()
            .map(|fault| {
                let (manager, runs) = (manager.clone(), runs.clone());
                thread::spawn(move || {
                    manager.run_task(|_, _| {
                        runs.one();
                        fault.map_or(Ok(()), Err)
                    })
                })
            })
            .collect();
        let handle = manager.task(runs.task()).submit();
        let report = manager.stop().unwrap();
        world.assert_adds_up(&report, 4); // worker, pool, and a temporary one each
        handle.wait().unwrap();
        let mut refused = 0;
        for guest in guests {
            match guest.join().unwrap() {
                Ok(()) | Err(TaskError::Failed(Fault::Sick)) => {}
                Err(TaskError::ShuttingDown) => refused += 1,
                Err(other) => panic!("an urgent task has one attempt: {other:?}"),
            }
        }
        assert_eq!((runs.get(), report.accepted), (3 - refused, 3 - refused as u64));
    });
}

// Promises 1 and 17, and small print: who starts a task and who lets it expire never do both.
#[test]
fn a_task_that_may_expire_or_time_out_ends_once() {
    explore(|| {
        let world = World::new();
        let manager = world.manager(1, 1);
        let (limit, runs) = (Duration::from_millis(1), Count::default());
        let slow = manager.task(until_told).timeout(limit).submit();
        let waiting = manager.task(runs.task()).start_within(limit).submit();
        assert!(matches!(slow.wait(), Err(TaskError::TimedOut)));
        let expired = match waiting.wait() {
            Ok(()) => 0,
            Err(TaskError::Expired) => 1,
            Err(other) => panic!("it starts in time or not at all: {other:?}"),
        };
        let report = manager.stop().unwrap();
        world.assert_adds_up(&report, 1);
        assert_eq!((report.failed, report.dropped), (1, expired));
        assert_eq!(runs.get() as u64, 1 - expired);
    });
}

// Promise 1, where nothing is lent: closures that borrow run on the worker's thread.
#[test]
fn a_borrowing_closure_is_gone_when_its_call_returns() {
    explore(|| {
        let world = World::new();
        let manager = build(world.config(1, 1).lending(false));
        let callers: Vec<_> = (0..2)
            .map(|_| {
                let manager = manager.clone();
                thread::spawn(move || {
                    let mut text = String::from("borrowed");
                    let outcome = manager.queue_task(|_, _| {
                        text.push('!');
                        Ok(())
                    });
                    match outcome {
                        Ok(()) => assert_eq!(text, "borrowed!"),
                        Err(TaskError::Killed | TaskError::ShuttingDown | TaskError::Cancelled) => {
                        }
                        Err(other) => panic!("{other:?}"),
                    }
                })
            })
            .collect();
        let report = manager.kill().unwrap();
        world.assert_adds_up(&report, 1);
        for caller in callers {
            caller.join().unwrap();
        }
    });
}
