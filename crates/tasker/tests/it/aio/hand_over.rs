//! Promise 4: the highest lane first and first in, first out within it; nobody is overtaken. And what a handle
//! tells meanwhile.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use tasker::{Backoff, Overflow, Priority, RejectReason, TaskContext, TaskError, TaskStatus};
use tokio::task::yield_now;

use super::stage::{
    ByHand, Handle, Kind, Manager, Valve, build, config, end, forever, manager, occupy,
    on_every_runtime, paused, pend_once, settle,
};
use crate::support::{Fault, Kit, LIMIT, Recorder, Res, What, within};

/// The order in which tasks ran.
#[derive(Clone, Default)]
struct Order(Arc<Mutex<Vec<u32>>>);

impl Order {
    fn note(&self, task: u32) {
        self.0.lock().unwrap().push(task);
    }

    fn taken(&self) -> Vec<u32> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// Submits a task that notes its number.
fn submit(manager: &Manager, order: &Order, number: u32, priority: Priority) -> Handle {
    let order = order.clone();
    let task = manager.task(async move |_: &TaskContext, _: &mut Res| {
        order.note(number);
        pend_once().await;
        Ok(())
    });
    task.priority(priority).submit()
}

#[test]
fn tasks_run_in_the_order_of_their_lanes_whether_awaited_or_submitted() {
    paused(|| async {
        let (manager, kit) = manager(1).await;
        let order = Order::default();
        let (valve, mut handles) = occupy(&manager, 1).await;
        let mut awaited = Vec::new();
        let mut expected = Vec::new();
        for number in 0..30 {
            let priority = [Priority::Low, Priority::High, Priority::Normal][number as usize % 3];
            expected.push((std::cmp::Reverse(priority), number));
            if number % 2 == 0 {
                handles.push(submit(&manager, &order, number, priority));
                continue;
            }
            let (manager, order) = (manager.clone(), order.clone());
            let task = async move {
                let task = manager.task(async move |_, _| {
                    order.note(number);
                    pend_once().await;
                    Ok(())
                });
                task.priority(priority).await
            };
            awaited.push(tokio::spawn(task));
            yield_now().await; // so that it comes to its lane before the next one
        }
        assert_eq!(manager.stats().queued_tasks + manager.stats().priority_tasks, 30);
        valve.open();
        for handle in handles {
            handle.await.unwrap();
        }
        for task in awaited {
            task.await.unwrap().unwrap();
        }
        expected.sort();
        let expected: Vec<u32> = expected.into_iter().map(|(_, number)| number).collect();
        assert_eq!(order.taken(), expected);
        end(&manager, &kit).await;
    });
}

// A retry is ahead of what waits in the other lanes, behind what waits in the High one.
#[test]
fn a_retry_takes_its_turn_in_the_high_lane() {
    paused(|| async {
        let (manager, kit) = manager(1).await;
        let order = Order::default();
        let again = order.clone();
        let begun = Valve::new();
        let wait = begun.clone();
        let sick = manager.task(async move |cx: &TaskContext, _: &mut Res| {
            again.note(100 + cx.attempt());
            wait.pass().await;
            if cx.attempt() == 1 { Err(Fault::Sick) } else { Ok(()) }
        });
        let sick = sick.submit();
        begun.await_arrivals(1).await;
        let normal = submit(&manager, &order, 1, Priority::Normal);
        let high = submit(&manager, &order, 2, Priority::High);
        begun.open();
        for handle in [sick, normal, high] {
            handle.await.unwrap();
        }
        assert_eq!(order.taken(), [101, 2, 102, 1]);
        end(&manager, &kit).await;
    });
}

// The resource is the next one's before it is polled, so that nobody who comes later is faster.
#[test]
fn a_free_resource_goes_straight_to_the_next() {
    paused(|| async {
        let (manager, kit) = manager(1).await;
        let (valve, busy) = occupy(&manager, 1).await;
        let mut next = ByHand::new(manager.queue_task(async |_, res| Ok(res.id())));
        assert!(next.poll().is_pending());
        valve.open();
        for handle in busy {
            handle.await.unwrap();
        }
        assert_eq!(next.wakes(), 1);
        let stats = manager.stats();
        assert_eq!((stats.idle_workers, stats.running_tasks, stats.queued_tasks), (0, 1, 0));
        // Higher or not: it was not there when the resource was free.
        let mut late = ByHand::new(manager.queue_task_with_priority(async |_, _| Ok(())));
        for _ in 0..3 {
            assert!(late.poll().is_pending());
            settle().await;
        }
        assert!(matches!(next.poll(), Poll::Ready(Ok(1))));
        assert!(matches!(late.poll(), Poll::Ready(Ok(()))));
        drop((next, late));
        end(&manager, &kit).await;
    });
}

// Two callers in a loop, on one resource: each has every second turn.
#[test]
fn nobody_is_overtaken_by_who_is_faster() {
    paused(|| async {
        let (manager, kit) = manager(1).await;
        let order = Order::default();
        let callers: Vec<_> = (0..3)
            .map(|caller| {
                let (manager, order) = (manager.clone(), order.clone());
                tokio::spawn(async move {
                    for _ in 0..50 {
                        let order = order.clone();
                        let task = async move |_: &TaskContext, _: &mut Res| {
                            order.note(caller);
                            pend_once().await;
                            Ok(())
                        };
                        manager.queue_task(task).await.unwrap();
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.await.unwrap();
        }
        let turns = order.taken();
        for round in turns.chunks(3).take(49) {
            let mut round = round.to_vec();
            round.sort_unstable();
            assert_eq!(round, [0, 1, 2], "{turns:?}");
        }
        end(&manager, &kit).await;
    });
}

#[test]
fn a_handle_tells_how_far_its_task_is() {
    paused(|| async {
        let kit = Kit::new();
        let backoff = Backoff::fixed(Duration::from_secs(60));
        let manager = build(config(&kit, 1).retry_backoff(backoff)).await;
        let (valve, busy) = occupy(&manager, 1).await;
        let steps = Valve::new();
        let wait = steps.clone();
        let task = manager.task(async move |cx: &TaskContext, _: &mut Res| {
            wait.pass().await;
            if cx.attempt() == 1 { Err(Fault::Sick) } else { Ok(forever().await) }
        });
        let handle = task.submit();
        assert_eq!((handle.status(), handle.is_finished()), (TaskStatus::Queued, false));
        settle().await;
        assert_eq!(handle.status(), TaskStatus::Queued);
        valve.open();
        for busy in busy {
            busy.await.unwrap();
        }
        steps.await_arrivals(1).await;
        assert_eq!(handle.status(), TaskStatus::Running { attempt: 1 });
        steps.open();
        settle().await;
        assert_eq!(handle.status(), TaskStatus::Queued, "for its retry");
        assert_eq!(manager.stats().delayed_tasks, 1);
        steps.await_arrivals(2).await;
        assert_eq!(handle.status(), TaskStatus::Running { attempt: 2 });
        let report = manager.kill().await.unwrap();
        assert_eq!((handle.status(), handle.is_finished()), (TaskStatus::Finished, true));
        assert_eq!(report.cancelled, 1);
        assert!(matches!(handle.await, Err(TaskError::Cancelled)));
        kit.assert_all_destroyed_once();
    });
}

// Promise 17. Whatever waits ends at once, and without having run.
#[test]
fn a_task_that_waits_is_cancelled_wherever_it_is() {
    paused(|| async {
        let kit = Kit::new();
        let backoff = Backoff::fixed(Duration::from_secs(60));
        let manager = build(config(&kit, 1).retry_backoff(backoff).queue_capacity(1)).await;
        let runs = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&runs);
        let delayed = manager.task(async move |_: &TaskContext, _: &mut Res| {
            count.fetch_add(1, Ordering::SeqCst);
            Err::<(), _>(Fault::Sick)
        });
        let delayed = delayed.submit();
        settle().await;
        assert_eq!(manager.stats().delayed_tasks, 1);
        let (valve, busy) = occupy(&manager, 1).await;
        let task = || {
            let count = Arc::clone(&runs);
            manager.task(async move |_: &TaskContext, _: &mut Res| {
                count.fetch_add(1, Ordering::SeqCst);
                Ok(())
            })
        };
        let (queued, outside, kept) = (task().submit(), task().submit(), task().submit());
        outside.cancel();
        queued.cancel();
        delayed.cancel();
        for handle in [queued, outside, delayed] {
            let outcome = handle.await;
            assert!(matches!(outcome, Err(TaskError::Cancelled)), "{outcome:?}");
        }
        assert_eq!(runs.load(Ordering::SeqCst), 1, "the first attempt of the delayed one");
        valve.open();
        kept.await.expect("it was let in");
        for handle in busy {
            handle.await.unwrap();
        }
        let finished = task().submit();
        settle().await;
        finished.cancel();
        finished.await.expect("it has ended before");
        let report = manager.stop().await.unwrap();
        // The one that waited for room was never accepted.
        assert_eq!((report.accepted, report.cancelled, report.completed), (5, 2, 3), "{report}");
        kit.assert_all_destroyed_once();
    });
}

// Granted and not begun: the task is told before it begins, and decides itself.
#[test]
fn a_task_that_has_its_resource_but_was_not_polled_is_told() {
    paused(|| async {
        let (manager, kit) = manager(1).await;
        let task = manager.task(async move |cx: &TaskContext, _: &mut Res| Ok(cx.is_cancelled()));
        let handle = task.submit();
        assert_eq!(handle.status(), TaskStatus::Running { attempt: 1 });
        handle.cancel();
        assert!(handle.await.unwrap());
        end(&manager, &kit).await;
    });
}

#[test]
fn a_task_that_is_refused_is_given_back_and_can_be_tried_again() {
    on_every_runtime(|| async {
        for overflow in [Overflow::Wait, Overflow::Reject] {
            let kit = Kit::new();
            let manager = build(config(&kit, 1).queue_capacity(1).overflow(overflow)).await;
            let (valve, busy) = occupy(&manager, 1).await;
            let filler = manager.task(async move |_: &TaskContext, _: &mut Res| Ok(())).submit();
            let owned = Arc::new(());
            let captured = Arc::clone(&owned);
            let mut task = manager
                .task(async move |cx: &TaskContext, _: &mut Res| {
                    let _ = &captured;
                    Ok((cx.name().map(str::to_owned), cx.priority()))
                })
                .name("persistent")
                .priority(Priority::Low);
            for _ in 0..3 {
                let rejected = task.try_submit().unwrap_err();
                assert_eq!(rejected.reason(), RejectReason::QueueFull);
                assert_eq!(Arc::strong_count(&owned), 2, "nothing was lost");
                task = rejected.into_task();
            }
            valve.open();
            filler.await.unwrap();
            let handle = task.try_submit().expect("there is room");
            let known = (Some("persistent".to_owned()), Priority::Low);
            assert_eq!(handle.await.unwrap(), known, "its settings come with it");
            for handle in busy {
                handle.await.unwrap();
            }
            // It can be awaited just as well.
            let task = manager.task(async move |_: &TaskContext, _: &mut Res| Ok(7));
            let report = manager.stop().await.unwrap();
            assert_eq!((report.accepted, report.completed), (3, 3));
            let rejected = task.try_submit().unwrap_err();
            assert_eq!(rejected.reason(), RejectReason::ShuttingDown);
            assert!(matches!(rejected.into_task().await, Err(TaskError::ShuttingDown)));
            kit.assert_all_destroyed_once();
        }
    });
}

#[test]
fn a_full_queue_waits_rejects_or_evicts() {
    for overflow in [Overflow::Wait, Overflow::Reject, Overflow::DropOldest] {
        paused(move || async move {
            let kit = Kit::new();
            let manager = build(config(&kit, 1).queue_capacity(2).overflow(overflow)).await;
            let order = Order::default();
            let (valve, busy) = occupy(&manager, 1).await;
            let first = submit(&manager, &order, 1, Priority::Normal);
            let low = submit(&manager, &order, 2, Priority::Low);
            let normal = submit(&manager, &order, 3, Priority::Normal);
            let note = order.clone();
            let mut awaited = ByHand::new(manager.queue_task(async |_, _| Ok(note.note(4))));
            let at_once = awaited.poll();
            let lowest = submit(&manager, &order, 5, Priority::Low);
            valve.open();
            settle().await;
            let awaited_ends = async {
                if let Poll::Ready(outcome) = at_once {
                    return outcome;
                }
                loop {
                    if let Poll::Ready(outcome) = awaited.poll() {
                        return outcome;
                    }
                    settle().await;
                }
            };
            let awaited_ended = awaited_ends.await;
            let full = |outcome: &Result<(), TaskError<Fault>>| {
                assert!(matches!(outcome, Ok(()) | Err(TaskError::QueueFull)), "{outcome:?}");
                outcome.is_err()
            };
            let ended = [first.await, low.await, normal.await, awaited_ended, lowest.await];
            let full: Vec<bool> = ended.iter().map(full).collect();
            let report = manager.stop().await.unwrap();
            let numbers = (report.accepted, report.completed, report.dropped);
            // 1, 2 | 3, 4, 5 find it full.
            match overflow {
                Overflow::Wait => {
                    assert_eq!((full, numbers), (vec![false; 5], (6, 6, 0)));
                    assert_eq!(order.taken(), [1, 3, 4, 2, 5]);
                }
                Overflow::Reject => {
                    assert_eq!(full, [false, false, true, true, true]);
                    assert_eq!((order.taken(), numbers), (vec![1, 2], (3, 3, 0)));
                }
                _ => {
                    // 3 evicts 2, 4 evicts 1, and 5 finds nobody that is not above it.
                    assert_eq!(full, [true, true, false, false, true]);
                    assert_eq!((order.taken(), numbers), (vec![3, 4], (5, 3, 2)));
                }
            }
            for handle in busy {
                handle.await.unwrap();
            }
            kit.assert_all_destroyed_once();
        });
    }
}

// A task inside of which another is awaited does not wait for room that only its own end would make.
#[test]
fn a_task_that_awaits_another_of_its_manager_goes_above_the_capacity() {
    paused(|| async {
        let kit = Kit::new();
        let manager = build(config(&kit, 2).queue_capacity(1)).await;
        let (valve, busy) = occupy(&manager, 1).await;
        let inner = manager.clone();
        let outer = manager.task(async move |_: &TaskContext, _: &mut Res| {
            let fills = inner.task(async move |_: &TaskContext, _: &mut Res| Ok(())).submit();
            let more = inner.task(async move |_: &TaskContext, _: &mut Res| Ok(()));
            drop((fills, more.submit()));
            Ok(inner.stats().queued_tasks)
        });
        assert_eq!(outer.submit().await.unwrap(), 2, "none of them waits outside");
        valve.open();
        for handle in busy {
            handle.await.unwrap();
        }
        let report = manager.stop().await.unwrap();
        assert_eq!(report.completed, 4);
        kit.assert_all_destroyed_once();
    });
}

#[test]
fn a_callback_is_called_once_whatever_becomes_of_its_task() {
    on_every_runtime(|| async {
        let (manager, kit) = manager(1).await;
        let (send, receive) = channel();
        let call = |name: &'static str| {
            let send = send.clone();
            move |outcome: Result<(), TaskError<Fault>>| {
                let _ = send.send((name, outcome.map_err(|error| error.to_string())));
            }
        };
        let (valve, busy) = occupy(&manager, 1).await;
        let task = |result: Result<(), Fault>| {
            manager.task(async move |_: &TaskContext, _: &mut Res| {
                pend_once().await;
                result
            })
        };
        task(Ok(())).on_complete(call("well"));
        task(Err(Fault::Own)).on_complete(call("wrong"));
        task(Err(Fault::Sick)).max_retries(1).on_complete(call("sick"));
        let panics = manager.task_once(async move |_: &TaskContext, _: &mut Res| {
            pend_once().await;
            panic!("in the middle")
        });
        panics.on_complete(call("panics"));
        task(Ok(())).on_complete(|_| panic!("a callback panics")); // which harms nobody
        let once = manager.task_once(async move |_: &TaskContext, _: &mut Res| Ok(()));
        once.on_complete(call("once"));
        valve.open();
        for handle in busy {
            handle.await.unwrap();
        }
        manager.stop().await.unwrap();
        task(Ok(())).on_complete(call("late"));
        drop(send);
        let mut calls: Vec<_> = receive.iter().collect();
        calls.sort();
        let failed = |text: &str| Err(text.to_owned());
        assert_eq!(
            calls,
            [
                ("late", failed("task manager is shutting down")),
                ("once", Ok(())),
                ("panics", failed("panicked: in the middle")),
                ("sick", failed("max retries exceeded: sick resource")),
                ("well", Ok(())),
                ("wrong", failed("own fault")),
            ]
        );
        kit.assert_all_destroyed_once();
    });
}

// A task that never waits for anything leaves the others their turn.
#[test]
fn a_loop_of_tasks_that_never_wait_does_not_starve_its_neighbours() {
    within(LIMIT, || {
        Kind::CurrentThread.runtime().block_on(async {
            let (manager, kit) = manager(1).await;
            for urgent in [false, true] {
                let done = Arc::new(AtomicUsize::new(0));
                let neighbour = {
                    let done = Arc::clone(&done);
                    tokio::spawn(async move {
                        for _ in 0..10 {
                            yield_now().await;
                        }
                        done.store(1, Ordering::SeqCst);
                    })
                };
                let (looping, over) = (manager.clone(), Arc::clone(&done));
                let tasks = tokio::spawn(async move {
                    let mut tasks = 0;
                    while over.load(Ordering::SeqCst) == 0 {
                        match urgent {
                            false => looping.queue_task(async |_, _| Ok(())).await.unwrap(),
                            true => looping.run_task(async |_, _| Ok(())).await.unwrap(),
                        }
                        tasks += 1;
                        assert!(tasks < 100_000, "the neighbour never has its turn");
                    }
                });
                tasks.await.unwrap();
                neighbour.await.unwrap();
            }
            end(&manager, &kit).await;
        });
    });
}

// The events of awaited and submitted tasks are the same, and in order.
#[test]
fn an_awaited_task_tells_the_same_as_a_submitted_one() {
    paused(|| async {
        let (kit, seen) = (Kit::new(), Recorder::new());
        let manager = build(config(&kit, 1).observer(seen.clone())).await;
        let work = async move |cx: &TaskContext, _: &mut Res| {
            pend_once().await;
            if cx.attempt() == 1 { Err(Fault::Sick) } else { Ok(()) }
        };
        manager.task(work).name("awaited").await.unwrap();
        manager.task(work).name("submitted").submit().await.unwrap();
        let story = |wanted: &str| -> Vec<String> {
            let is_wanted = |name: &Option<String>| name.as_deref() == Some(wanted);
            let events = seen.events().into_iter();
            events
                .filter_map(|event| match event.what {
                    What::TaskQueued { name, .. } if is_wanted(&name) => Some("queued".to_owned()),
                    What::TaskStarted { name, attempt, .. } if is_wanted(&name) => {
                        Some(format!("started {attempt}"))
                    }
                    What::TaskRetried { name, attempt, .. } if is_wanted(&name) => {
                        Some(format!("retried {attempt}"))
                    }
                    What::TaskFinished { name, outcome, .. } if is_wanted(&name) => {
                        Some(format!("finished {outcome:?}"))
                    }
                    _ => None,
                })
                .collect()
        };
        let expected = ["queued", "started 1", "retried 1", "started 2", "finished Completed"];
        assert_eq!(story("awaited"), expected);
        assert_eq!(story("submitted"), expected);
        end(&manager, &kit).await;
    });
}
