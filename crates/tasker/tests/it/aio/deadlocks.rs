//! Promise 16 for async managers: awaiting a task of one's own manager holds a worker up as blocking does.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use tasker::autoscale::Fixed;
use tasker::{Priority, TaskContext, TaskError};

use super::stage::{
    Handle, Manager, Outcome, Valve, build, config, end, manager, occupy, on_every_runtime, paused,
    settle,
};
use crate::support::{Kit, Res};

const MINUTE: Duration = Duration::from_secs(60);

/// Runs `depth` tasks, each awaited in the middle of the one before; how many of them ran.
fn nest(manager: Manager, depth: u32) -> Pin<Box<dyn Future<Output = Outcome<u32>> + Send>> {
    Box::pin(async move {
        if depth == 0 {
            return Ok(0);
        }
        let inside = manager.clone();
        let task = manager.task(async move |_: &TaskContext, _: &mut Res| {
            Ok(1 + nest(inside.clone(), depth - 1).await.unwrap_or(0))
        });
        task.await
    })
}

#[test]
fn a_worker_is_added_for_a_task_that_awaits_another() {
    on_every_runtime(|| async {
        let kit = Kit::new();
        let config = config(&kit, 1).max_worker_count(4).scaling(Fixed::new(1));
        let manager = build(config).await;
        assert_eq!(nest(manager.clone(), 4).await.unwrap(), 4);
        end(&manager, &kit).await;
    });
}

#[test]
fn the_last_to_await_is_told_that_it_would_wait_for_ever() {
    on_every_runtime(|| async {
        for workers in 1..=3 {
            let (manager, kit) = manager(workers).await;
            let depth = workers as u32;
            assert_eq!(nest(manager.clone(), depth + 1).await.unwrap(), depth);
            end(&manager, &kit).await;
        }
    });
}

// A handle that is awaited is told, and the task stays queued.
#[test]
fn an_awaited_handle_is_told_and_its_task_stays() {
    on_every_runtime(|| async {
        let (manager, kit) = manager(1).await;
        let inside = manager.clone();
        let ran = Valve::new();
        let arrived = ran.clone();
        let outcome = manager.queue_task_once(async |_, _| {
            let task = async move |_: &TaskContext, _: &mut Res| {
                arrived.open();
                Ok(())
            };
            Ok(inside.task_once(task).submit().await)
        });
        let outcome = outcome.await.unwrap();
        assert!(matches!(outcome, Err(TaskError::WouldDeadlock)), "{outcome:?}");
        ran.pass().await;
        let report = manager.stop().await.unwrap();
        assert_eq!((report.accepted, report.completed), (2, 2), "{report}");
        kit.assert_all_destroyed_once();
    });
}

// Each of several that are awaited side by side is a wait; as long as one can be served, none is refused.
#[test]
fn tasks_that_are_awaited_side_by_side_are_served_one_after_the_other() {
    on_every_runtime(|| async {
        let (manager, kit) = manager(2).await;
        let inside = manager.clone();
        let all = manager.queue_task(async |_, _| {
            let one = || inside.queue_task(async |_, _| Ok(1));
            let (a, b, c) = tokio::join!(one(), one(), one());
            Ok([a.is_ok(), b.is_ok(), c.is_ok()])
        });
        assert_eq!(all.await.unwrap(), [true; 3]);
        end(&manager, &kit).await;
    });
}

// A future that was polled and dropped waits no more, and holds nobody up.
#[test]
fn who_stops_to_await_holds_nobody_up() {
    paused(async || {
        let (manager, kit) = manager(2).await;
        let (valve, busy) = occupy(&manager, 1).await;
        let (inside, gate) = (manager.clone(), Valve::new());
        let passed = gate.clone();
        let outer = manager.task_once(async move |_: &TaskContext, _: &mut Res| {
            let handle: Handle =
                inside.task(async move |_: &TaskContext, _: &mut Res| Ok(())).submit();
            for by_handle in [false, true] {
                tokio::select! {
                    biased;
                    _ = inside.queue_task(async |_, _| Ok(())), if !by_handle => unreachable!(),
                    _ = inside.task(async move |_: &TaskContext, _: &mut Res| Ok(())).submit(),
                        if by_handle => unreachable!(),
                    () = settle() => {}
                }
            }
            passed.pass().await; // not a wait for its manager
            Ok(handle)
        });
        let outer = outer.submit();
        gate.await_arrivals(1).await;
        // The other worker's task waits now: only this one would hold it up, and it does not.
        let other = manager.clone();
        valve.open();
        for task in busy {
            task.await.unwrap();
        }
        let nested = manager.task_once(async move |_: &TaskContext, _: &mut Res| {
            Ok(other.queue_task(async |_, _| Ok(7)).await)
        });
        let nested = nested.submit();
        settle().await;
        gate.open();
        let handle = outer.await.unwrap();
        handle.await.unwrap();
        assert_eq!(nested.await.unwrap().unwrap(), 7);
        end(&manager, &kit).await;
    });
}

// What a task returns is polled by somebody else: its worker is not held up by that.
#[test]
fn a_handle_that_leaves_its_task_holds_nobody_up() {
    paused(async || {
        let (manager, kit) = manager(2).await;
        let (valve, busy) = occupy(&manager, 1).await;
        let inside = manager.clone();
        let outer = manager.task_once(async move |_: &TaskContext, _: &mut Res| {
            let mut handle = inside.task(async move |_: &TaskContext, _: &mut Res| Ok(3)).submit();
            poll_once(&mut handle).await;
            Ok(handle)
        });
        let handle = outer.await.unwrap();
        // Its worker serves others, one of which awaits another one while all workers but its own are busy.
        let other = manager.clone();
        let nested = manager.task_once(async move |_: &TaskContext, _: &mut Res| {
            Ok(other.queue_task(async |_, _| Ok(7)).await)
        });
        let nested = nested.submit();
        settle().await;
        valve.open();
        assert_eq!(nested.await.unwrap().unwrap(), 7);
        assert_eq!(handle.await.unwrap(), 3);
        for task in busy {
            task.await.unwrap();
        }
        end(&manager, &kit).await;
    });
}

// `run_task` waits for nobody, and what is spawned is awaited by somebody else.
#[test]
fn an_urgent_task_inside_a_task_runs() {
    on_every_runtime(|| async {
        let (manager, kit) = manager(1).await;
        let inside = manager.clone();
        let outcome =
            manager.queue_task(async |_, _| Ok(inside.run_task(async |_, _| Ok(5)).await));
        assert_eq!(outcome.await.unwrap().unwrap(), 5);
        end(&manager, &kit).await;
    });
}

// A task that awaits its own handle would wait for itself.
#[test]
fn a_task_that_awaits_itself_is_told() {
    on_every_runtime(|| async {
        let (manager, kit) = manager(2).await;
        let (send, receive) = tokio::sync::oneshot::channel::<Handle>();
        let (tell, told) = tokio::sync::oneshot::channel();
        let own = manager.task_once(async move |_: &TaskContext, _: &mut Res| {
            let own = receive.await.expect("it is sent");
            let _ = tell.send(matches!(own.await, Err(TaskError::WouldDeadlock)));
            Ok(())
        });
        assert!(send.send(own.submit()).is_ok());
        assert!(told.await.unwrap());
        end(&manager, &kit).await;
    });
}

// The bug that this looks for: a pause ended while two were awaited side by side, and only the last was told.
#[test]
fn all_that_are_awaited_side_by_side_are_told() {
    paused(async || {
        let (manager, kit) = manager(1).await;
        let (inside, gate) = (manager.clone(), Valve::new());
        let passed = gate.clone();
        let outer = manager.task_once(async move |_: &TaskContext, _: &mut Res| {
            passed.pass().await;
            let one = || inside.task(async move |_: &TaskContext, _: &mut Res| Ok(())).submit();
            let (a, b) = tokio::join!(one(), one());
            Ok([a.is_ok(), b.is_ok()])
        });
        let outer = outer.submit();
        gate.await_arrivals(1).await;
        manager.pause();
        gate.open();
        settle().await;
        manager.resume();
        assert_eq!(outer.await.unwrap(), [false; 2]);
        end(&manager, &kit).await;
    });
}

// The bug that this looks for: the handle still counted for the task in which it was polled first, which had ended.
#[test]
fn a_handle_that_moves_to_another_task_holds_that_one_up() {
    paused(async || {
        let (manager, kit) = manager(2).await;
        let (inside, gate) = (manager.clone(), Valve::new());
        let passed = gate.clone();
        let other = manager.task_once(async move |_: &TaskContext, _: &mut Res| {
            passed.pass().await;
            Ok(inside.task(async move |_: &TaskContext, _: &mut Res| Ok(())).submit().await.is_ok())
        });
        let other = other.submit();
        gate.await_arrivals(1).await;
        let inside = manager.clone();
        let first = manager.task_once(async move |_: &TaskContext, _: &mut Res| {
            let low = inside.task(async move |_: &TaskContext, _: &mut Res| Ok(7));
            let mut low = low.priority(Priority::Low).submit();
            poll_once(&mut low).await;
            let next = async move |_: &TaskContext, _: &mut Res| Ok(low.await.is_ok());
            Ok(inside.task_once(next).priority(Priority::High).submit())
        });
        let next = first.await.unwrap();
        settle().await; // it runs where the first one ran, and awaits the same handle
        gate.open();
        let served = [other.await.unwrap(), next.await.unwrap()];
        assert_eq!(served, [false, true], "the last to wait is told, and frees its worker");
        end(&manager, &kit).await;
    });
}

/// Polls a future that is not ready.
async fn poll_once(future: &mut (impl Future + Unpin)) {
    std::future::poll_fn(|cx| {
        assert!(Pin::new(&mut *future).poll(cx).is_pending());
        std::task::Poll::Ready(())
    })
    .await;
}

// What is polled in a task and then spawned is awaited by nobody's worker; and whoever spawned it gets on.
#[test]
fn a_call_that_moves_out_of_its_task_holds_nobody_up() {
    paused(async || {
        let (manager, kit) = manager(2).await;
        let (inside, gate) = (manager.clone(), Valve::new());
        let passed = gate.clone();
        let other = manager.task_once(async move |_: &TaskContext, _: &mut Res| {
            passed.pass().await;
            Ok(inside.task(async move |_: &TaskContext, _: &mut Res| Ok(())).submit().await.is_ok())
        });
        let other = other.submit();
        let (inside, on) = (manager.clone(), Valve::new());
        let goes_on = on.clone();
        let first = manager.task_once(async move |_: &TaskContext, _: &mut Res| {
            let call = inside.task(async move |_: &TaskContext, _: &mut Res| Ok(7)).into_future();
            let mut call = Box::pin(call);
            poll_once(&mut call).await;
            let call = tokio::spawn(call);
            goes_on.pass().await;
            Ok(call)
        });
        let first = first.submit();
        gate.await_arrivals(1).await;
        on.await_arrivals(1).await;
        settle().await; // what was spawned has been polled
        gate.open();
        settle().await; // the other one waits: the first one's worker is going to serve it
        on.open();
        let call = first.await.unwrap();
        assert!(other.await.unwrap());
        assert_eq!(call.await.unwrap().unwrap(), 7);
        end(&manager, &kit).await;
    });
}

// A handle that leaves its task in the middle does so no more than a call.
#[test]
fn a_handle_that_moves_out_of_its_task_holds_nobody_up() {
    paused(async || {
        let (manager, kit) = manager(2).await;
        let (inside, gate) = (manager.clone(), Valve::new());
        let passed = gate.clone();
        let other = manager.task_once(async move |_: &TaskContext, _: &mut Res| {
            passed.pass().await;
            Ok(inside.task(async move |_: &TaskContext, _: &mut Res| Ok(())).submit().await.is_ok())
        });
        let other = other.submit();
        let (inside, on) = (manager.clone(), Valve::new());
        let goes_on = on.clone();
        let first = manager.task_once(async move |_: &TaskContext, _: &mut Res| {
            let mut handle = inside.task(async move |_: &TaskContext, _: &mut Res| Ok(7)).submit();
            poll_once(&mut handle).await;
            let handle = tokio::spawn(handle);
            goes_on.pass().await;
            Ok(handle)
        });
        let first = first.submit();
        gate.await_arrivals(1).await;
        on.await_arrivals(1).await;
        settle().await; // what was spawned has been polled
        gate.open();
        settle().await; // the other one waits: the first one's worker is going to serve it
        on.open();
        let handle = first.await.unwrap();
        assert!(other.await.unwrap());
        assert_eq!(handle.await.unwrap().unwrap(), 7);
        end(&manager, &kit).await;
    });
}

// A handle that has given its outcome is no wait, whoever keeps it: what its task awaits next is the only thing that it
// needs, and closes a circle.
#[test]
fn a_handle_that_is_kept_after_its_outcome_hides_no_circle() {
    paused(async || {
        let (manager, kit) = manager(3).await;
        let ((send_a, receive_a), (send_b, receive_b)) = (
            tokio::sync::oneshot::channel::<Handle<bool>>(),
            tokio::sync::oneshot::channel::<Handle<bool>>(),
        );
        let (inside, gate) = (manager.clone(), Valve::new());
        let passed = gate.clone();
        let a = manager.task_once(async move |_: &TaskContext, _: &mut Res| {
            let slow = async move |_: &TaskContext, _: &mut Res| {
                passed.pass().await;
                Ok(())
            };
            let mut slow = inside.task_once(slow).submit();
            (&mut slow).await.expect("it is served by the third one");
            let b = receive_b.await.expect("it is sent").await;
            drop(slow);
            Ok(b.is_ok())
        });
        let b = manager.task_once(async move |_: &TaskContext, _: &mut Res| {
            Ok(receive_a.await.expect("it is sent").await.is_ok())
        });
        let (a, b) = (a.submit(), b.submit());
        gate.await_arrivals(1).await;
        gate.open();
        assert!(send_b.send(b).is_ok());
        settle().await; // the first one waits for the second one, which comes to wait for it now
        assert!(send_a.send(a).is_ok());
        settle().await;
        assert_eq!(manager.stats().running_tasks, 0, "they have ended");
        end(&manager, &kit).await;
    });
}

// As long as two things are awaited, nobody knows which one is needed; when one has come the other closes a circle.
#[test]
fn a_circle_that_is_left_over_is_broken() {
    paused(async || {
        let (manager, kit) = manager(3).await;
        let ((send_a, receive_a), (send_b, receive_b)) = (
            tokio::sync::oneshot::channel::<Handle<bool>>(),
            tokio::sync::oneshot::channel::<Handle<bool>>(),
        );
        let (inside, gate) = (manager.clone(), Valve::new());
        let passed = gate.clone();
        let a = manager.task_once(async move |_: &TaskContext, _: &mut Res| {
            let b = receive_b.await.expect("it is sent");
            let slow = async move |_: &TaskContext, _: &mut Res| {
                passed.pass().await;
                Ok(())
            };
            let (b, slow) = tokio::join!(b, inside.task_once(slow).submit());
            slow.expect("it is served by the third one");
            Ok(b.is_ok())
        });
        let b = manager.task_once(async move |_: &TaskContext, _: &mut Res| {
            Ok(receive_a.await.expect("it is sent").await.is_ok())
        });
        let (a, b) = (a.submit(), b.submit());
        assert!(send_b.send(b).is_ok() && send_a.send(a).is_ok());
        gate.await_arrivals(1).await;
        settle().await;
        assert_eq!(manager.stats().running_tasks, 3);
        gate.open();
        let report = manager.stop().await.unwrap();
        assert_eq!((report.accepted, report.completed), (3, 3), "{report}");
        kit.assert_all_destroyed_once();
    });
}

// The bug that this looks for: a call that is awaited beside a handle was forgotten when it had its resource, and nobody
// looked whether the handle that was left closed a circle. Whatever way the call goes: served, ended, or dropped.
#[test]
fn a_circle_that_a_call_leaves_over_is_broken() {
    #[derive(Clone, Copy, PartialEq)]
    enum Leaves {
        Served,
        Ended,
        Dropped,
    }
    for leaves in [Leaves::Served, Leaves::Ended, Leaves::Dropped] {
        paused(async move || {
            let (manager, kit) = manager(3).await;
            let (valve, busy) = occupy(&manager, 1).await;
            let ((send_a, receive_a), (send_b, receive_b)) = (
                tokio::sync::oneshot::channel::<Handle<bool>>(),
                tokio::sync::oneshot::channel::<Handle<bool>>(),
            );
            let (inside, drops) = (manager.clone(), Valve::new());
            let dropped = drops.clone();
            let a = manager.task_once(async move |_: &TaskContext, _: &mut Res| {
                let b = receive_b.await.expect("it is sent");
                let call = async {
                    let call = inside.task(async move |_: &TaskContext, _: &mut Res| Ok(()));
                    tokio::select! {
                        biased;
                        served = call.start_within(MINUTE) => served.is_ok(),
                        () = dropped.pass() => false,
                    }
                };
                let (served, b) = tokio::join!(call, b);
                Ok(served == (leaves == Leaves::Served) && b.is_ok())
            });
            let b = manager.task_once(async move |_: &TaskContext, _: &mut Res| {
                Ok(receive_a.await.expect("it is sent").await.is_ok())
            });
            let (a, b) = (a.submit(), b.submit());
            assert!(send_b.send(b).is_ok());
            settle().await; // it waits for two things, and then the other one for it
            assert!(send_a.send(a).is_ok());
            settle().await;
            match leaves {
                Leaves::Served => {}
                Leaves::Ended => tokio::time::advance(MINUTE).await,
                Leaves::Dropped => drops.open(),
            }
            settle().await;
            valve.open();
            for task in busy {
                task.await.unwrap();
            }
            settle().await;
            assert_eq!(manager.stats().running_tasks, 0, "they have ended");
            end(&manager, &kit).await;
        });
    }
}
