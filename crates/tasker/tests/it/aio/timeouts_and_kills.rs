//! Promises 11 and 17: a timeout and a kill drop a task's future at its await; a cancel leaves it to the task.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use tasker::{DestroyReason, Phase, TaskContext, TaskError};
use tokio::time::{Instant, sleep};

use super::stage::{
    ByHand, Manager, Outcome, Valve, build, config, end, forever, manager, occupy,
    on_every_runtime, paused, pend_once, settle, since,
};
use crate::support::{Fault, Kit, Log, Recorder, Res, assert_adds_up, assert_complete, gone};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
/// How long a bounded shutdown waits for what it has told to stop.
const GRACE: Duration = Duration::from_millis(100);

/// Counts its drops.
#[derive(Clone, Default)]
struct Drops(Arc<AtomicUsize>);

/// What is counted.
struct Guard(Drops);

impl Drops {
    fn guard(&self) -> Guard {
        Guard(self.clone())
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a guard of the task panics");
    }
}

#[test]
fn a_timeout_drops_the_future_at_its_await() {
    paused(|| async {
        let kit = Kit::new();
        let seen = Recorder::new();
        let manager = build(config(&kit, 1).observer(seen.clone())).await;
        let (drops, mut late) = (Drops::default(), false);
        let start = Instant::now();
        let task = manager.task(async |_, _| {
            let _guard = drops.guard();
            forever().await;
            late = true;
            Ok(())
        });
        let outcome = task.timeout(SECOND).await;
        assert!(matches!(outcome, Err(TaskError::TimedOut)), "{outcome:?}");
        assert_eq!((since(start), drops.count(), late), (SECOND, 1, false));
        manager.queue_task(async |_, _| Ok(())).await.expect("its worker has another resource");
        assert_eq!(seen.count(gone(DestroyReason::Interrupted)), 1);
        let report = manager.stop().await.unwrap();
        assert_complete(&report);
        assert_eq!((report.completed, report.failed), (1, 1), "a timeout is a failure: {report}");
        kit.assert_all_destroyed_once();
    });
}

// The closure is polled once more before it is dropped, so that it may still have its say.
#[test]
fn a_future_that_ends_in_the_very_poll_delivers_what_it_has() {
    paused(|| async {
        let (manager, kit) = manager(1).await;
        let well = manager.task(async |cx, _| Ok(cx.cancelled().await));
        assert!(well.timeout(SECOND).await.is_ok());
        let wrong = manager.task(async |cx, _| {
            cx.cancelled().await;
            Err::<(), _>(Fault::Own)
        });
        let outcome = wrong.timeout(SECOND).await;
        assert!(matches!(outcome, Err(TaskError::TimedOut)), "{outcome:?}");
        let submitted = manager.task(async move |cx: &TaskContext, _: &mut Res| {
            cx.cancelled().await;
            Ok(7)
        });
        let submitted = submitted.submit();
        settle().await;
        let report = manager.kill().await.unwrap();
        assert_eq!(submitted.await.unwrap(), 7, "an `Ok` is an `Ok`, also in a kill");
        assert_complete(&report);
        assert_eq!((report.completed, report.failed), (2, 1), "{report}");
        kit.assert_all_destroyed_once();
    });
}

// An await more is one too many.
#[test]
fn a_future_that_is_pending_again_after_it_was_told_is_dropped() {
    paused(|| async {
        let (manager, kit) = manager(1).await;
        let mut told = false;
        let task = manager.task(async |cx, _| {
            cx.cancelled().await;
            told = true;
            pend_once().await;
            Ok(())
        });
        let outcome = task.timeout(SECOND).await;
        assert!(matches!(outcome, Err(TaskError::TimedOut)), "{outcome:?}");
        assert!(told);
        end(&manager, &kit).await;
    });
}

#[test]
fn a_timeout_starts_anew_with_each_attempt() {
    paused(|| async {
        let (manager, kit) = manager(1).await;
        let start = Instant::now();
        let task = manager.task(async |cx, _| {
            sleep(SECOND * 8 / 10).await;
            if cx.attempt() < 3 { Err(Fault::Sick) } else { Ok(cx.attempt()) }
        });
        assert_eq!(task.timeout(SECOND).await.unwrap(), 3);
        assert_eq!(since(start), SECOND * 24 / 10);
        let mut attempts = 0;
        let task = manager.task(async |_, _| {
            attempts += 1;
            if attempts == 1 {
                return Err(Fault::Sick);
            }
            Ok(forever().await)
        });
        let outcome = task.timeout(SECOND).await;
        assert!(matches!(outcome, Err(TaskError::TimedOut)), "{outcome:?}");
        assert_eq!(attempts, 2, "what timed out is not tried again");
        end(&manager, &kit).await;
    });
}

// Waiting in a lane is not running.
#[test]
fn a_timeout_does_not_count_the_time_in_the_lane() {
    paused(|| async {
        let (manager, kit) = manager(1).await;
        let (valve, busy) = occupy(&manager, 1).await;
        let mut waits = ByHand::new(
            manager.task(async |_, _| Ok(sleep(SECOND / 2).await)).timeout(SECOND).into_future(),
        );
        assert!(waits.poll().is_pending());
        sleep(MINUTE).await;
        valve.open();
        settle().await;
        assert!(waits.poll().is_pending(), "it runs");
        sleep(SECOND).await;
        assert!(matches!(waits.poll(), Poll::Ready(Ok(()))), "it was over before its time was");
        drop(waits);
        for handle in busy {
            handle.await.unwrap();
        }
        end(&manager, &kit).await;
    });
}

#[test]
fn a_cancel_leaves_a_running_task_to_itself_and_a_kill_drops_it() {
    on_every_runtime(|| async {
        let (manager, kit) = manager(3).await;
        let (drops, begun) = (Drops::default(), Drops::default());
        let told = |result: Result<u32, Fault>| {
            let begun = begun.clone();
            manager.task(async move |cx: &TaskContext, _: &mut Res| {
                drop(begun.guard());
                cx.cancelled().await;
                for _ in 0..5 {
                    pend_once().await; // it may take its time
                }
                result
            })
        };
        let well = told(Ok(7)).submit();
        let wrong = told(Err(Fault::Sick)).submit();
        let deaf = {
            let (drops, begun) = (drops.clone(), begun.clone());
            manager.task(async move |_: &TaskContext, _: &mut Res| {
                let _guard = drops.guard();
                drop(begun.guard());
                Ok(forever().await)
            })
        };
        let deaf = deaf.submit();
        while begun.count() < 3 {
            tokio::task::yield_now().await;
        }
        for handle in [&well, &wrong] {
            handle.cancel();
        }
        deaf.cancel();
        assert_eq!(well.await.unwrap(), 7);
        let outcome = wrong.await;
        assert!(matches!(outcome, Err(TaskError::Cancelled)), "not tried again: {outcome:?}");
        assert_eq!((drops.count(), deaf.is_finished()), (0, false), "nobody drops it");
        let report = manager.kill().await.unwrap();
        let outcome = deaf.await;
        assert!(matches!(outcome, Err(TaskError::Cancelled)), "{outcome:?}");
        assert_eq!(drops.count(), 1);
        assert_complete(&report);
        assert_eq!((report.completed, report.cancelled), (1, 2), "{report}");
        kit.assert_all_destroyed_once();
    });
}

#[test]
fn a_kill_drops_what_runs_and_ends_what_waits() {
    on_every_runtime(|| async {
        let (manager, kit) = manager(1).await;
        let drops = Drops::default();
        let (valve, busy) = occupy(&manager, 1).await;
        let shut = Valve::new();
        let awaited = |task: usize| {
            let (manager, guard, shut) = (manager.clone(), drops.guard(), shut.clone());
            tokio::spawn(async move {
                let _ = &guard;
                match task {
                    0 => manager.queue_task(async |_, _| Ok(forever().await)).await,
                    1 => manager.run_task(async |_, _| Ok(shut.pass().await)).await,
                    _ => manager.queue_task(async |_, _| Ok(())).await,
                }
            })
        };
        let urgent = awaited(1);
        shut.await_arrivals(1).await; // it has begun, on a temporary resource: it counts as running before that
        let running = awaited(0);
        let waiting = awaited(2);
        while manager.stats().queued_tasks < 2 {
            tokio::task::yield_now().await;
        }
        let submitted = manager.task(async move |_: &TaskContext, _: &mut Res| Ok(())).submit();
        let report = manager.kill().await.unwrap();
        let ended = [running.await.unwrap(), waiting.await.unwrap(), submitted.await];
        assert!(ended.iter().all(|end| matches!(end, Err(TaskError::Killed))), "{ended:?}");
        for end in [urgent.await.unwrap(), busy.into_iter().next().unwrap().await] {
            assert!(matches!(end, Err(TaskError::Cancelled)), "{end:?}");
        }
        assert_eq!(drops.count(), 3);
        assert_complete(&report);
        assert_eq!((report.cancelled, report.dropped), (2, 3), "{report}");
        kit.assert_all_destroyed_once();
        drop(valve);
    });
}

// A kill waits for a future that runs somewhere until that is polled, or dropped.
#[test]
fn a_kill_waits_for_who_awaits_its_task() {
    for dropped in [false, true] {
        paused(move || async move {
            let (manager, kit) = manager(1).await;
            let drops = Drops::default();
            let guard = drops.guard();
            let mut task = ByHand::new(manager.queue_task(async |_, _| {
                let _ = &guard;
                Ok(forever().await)
            }));
            assert!(task.poll().is_pending());
            let before = task.wakes();
            let mut kill = ByHand::new(manager.kill());
            for _ in 0..3 {
                assert!(kill.poll().is_pending());
                sleep(MINUTE).await;
            }
            assert_eq!(task.wakes(), before + 1, "it is woken, once");
            if dropped {
                drop(task);
            } else {
                let outcome = task.poll();
                assert!(matches!(outcome, Poll::Ready(Err(TaskError::Cancelled))), "{outcome:?}");
                drop(task);
            }
            settle().await;
            let Poll::Ready(report) = kill.poll() else { panic!("nothing is left to wait for") };
            let report = report.unwrap();
            assert_complete(&report);
            assert_eq!(report.cancelled, 1);
            drop(guard);
            kit.assert_all_destroyed_once();
        });
    }
}

// What was granted and is not fetched is taken back: nobody knows when its future is polled.
#[test]
fn a_kill_takes_back_what_a_future_was_granted() {
    paused(|| async {
        let (manager, kit) = manager(1).await;
        let (valve, busy) = occupy(&manager, 1).await;
        let mut granted = ByHand::new(manager.queue_task(async |_, _| Ok(())));
        assert!(granted.poll().is_pending());
        valve.open();
        for handle in busy {
            handle.await.unwrap();
        }
        assert_eq!((granted.wakes(), manager.stats().running_tasks), (1, 1), "it was granted");
        let report = manager.kill().await.unwrap(); // does not wait for it
        assert_complete(&report);
        assert_eq!((report.completed, report.dropped), (1, 1), "{report}");
        kit.assert_all_destroyed_once();
        let outcome = granted.poll();
        assert!(matches!(outcome, Poll::Ready(Err(TaskError::Killed))), "{outcome:?}");
    });
}

#[test]
fn a_bounded_shutdown_reports_who_is_neither_polled_nor_dropped() {
    for kills in [false, true] {
        paused(move || async move {
            let (manager, kit) = manager(2).await;
            let ran = Drops::default();
            let guard = ran.guard();
            let mut left = ByHand::new(
                manager
                    .task(async |_, _| {
                        let _ = &guard;
                        Ok(forever().await)
                    })
                    .name("left")
                    .into_future(),
            );
            assert!(left.poll().is_pending());
            let polled =
                manager.task(async move |_: &TaskContext, _: &mut Res| Ok(forever().await));
            let polled = polled.submit();
            settle().await;
            let start = Instant::now();
            let report = match kills {
                false => manager.stop_within(SECOND).await.unwrap(),
                true => manager.kill_within(SECOND).await.unwrap(),
            };
            assert_eq!(since(start), SECOND + GRACE);
            assert_adds_up(&report);
            let names: Vec<_> = report.stragglers.iter().map(|s| s.name.as_deref()).collect();
            assert_eq!(names, [Some("left")], "{report:?}");
            assert_eq!(report.resources_created, report.resources_destroyed + 1, "{report}");
            assert!(matches!(polled.await, Err(TaskError::Cancelled)));
            assert_eq!(manager.phase(), Phase::Killed);

            let outcome = left.poll();
            assert!(matches!(outcome, Poll::Ready(Err(TaskError::Cancelled))), "{outcome:?}");
            drop(left);
            let report = manager.join().await;
            assert_complete(&report);
            assert_eq!(report.cancelled, 2);
            kit.assert_all_destroyed_once();
            drop(guard);
        });
    }
}

// Promise 8. What panics while a future is dropped loses neither the worker nor the outcome.
#[test]
fn a_panic_while_a_future_is_dropped_is_contained() {
    paused(|| async {
        let (kit, seen, log) = (Kit::new(), Recorder::new(), Log::default());
        let manager = build(config(&kit, 1).observer(seen.clone()).logger(log)).await;
        let outcome = explosive(&manager, Some(SECOND)).await;
        assert!(matches!(outcome, Err(TaskError::TimedOut)), "{outcome:?}");

        let task = explosive(&manager, None);
        let mut task = ByHand::new(task);
        assert!(task.poll().is_pending());
        settle().await;
        assert!(task.poll().is_pending(), "it runs");
        drop(task); // and no panic goes on to whoever drops it
        manager.queue_task(async |_, _| Ok(())).await.expect("no worker is lost");

        let bomb = Bomb;
        let mut queued = ByHand::new(manager.queue_task_once(async move |_, _| Ok(drop(bomb))));
        let (valve, _busy) = occupy(&manager, 1).await;
        assert!(queued.poll().is_pending());
        drop(queued); // a capture that panics
        valve.open();

        let killed = manager.task(async move |_: &TaskContext, _: &mut Res| {
            let _bomb = Bomb;
            Ok(forever().await)
        });
        let killed = killed.submit();
        settle().await;
        let report = manager.kill().await.unwrap();
        assert!(matches!(killed.await, Err(TaskError::Cancelled)));
        assert_complete(&report);
        assert_eq!((report.failed, report.cancelled, report.completed), (1, 3, 2), "{report}");
        kit.assert_all_destroyed_once();
    });
}

async fn explosive(manager: &Manager, timeout: Option<Duration>) -> Outcome {
    let task = manager.task(async |_, _| {
        let _bomb = Bomb;
        Ok(forever().await)
    });
    task.timeout(timeout.unwrap_or(MINUTE)).await
}

// Promise 8. A panic in a poll ends its task, and condemns the resource.
#[test]
fn a_panic_between_two_awaits_ends_the_task() {
    on_every_runtime(|| async {
        let (kit, seen) = (Kit::new(), Recorder::new());
        let manager = build(config(&kit, 1).observer(seen.clone())).await;
        let first = manager.queue_task(async |_, _| -> Result<(), Fault> {
            pend_once().await;
            panic!("between two awaits")
        });
        let Err(TaskError::Panicked(panic)) = first.await else { panic!("it did not panic") };
        assert_eq!(panic.message(), "between two awaits");
        let submitted =
            manager.task(async move |_: &TaskContext, _: &mut Res| -> Result<(), Fault> {
                pend_once().await;
                std::panic::panic_any(7_u8)
            });
        assert!(matches!(submitted.submit().await, Err(TaskError::Panicked(_))));
        let urgent = manager.run_task(async |_, _| -> Result<(), Fault> {
            pend_once().await;
            panic!("ahead of every lane")
        });
        assert!(matches!(urgent.await, Err(TaskError::Panicked(_))));
        manager.queue_task(async |_, _| Ok(())).await.unwrap();
        end(&manager, &kit).await;
        assert_eq!(seen.count(gone(DestroyReason::Panicked)), 3);
    });
}

// Promise 11: a validation that a kill gave up has said nothing about its resource.
#[test]
fn a_resource_whose_validation_is_given_up_is_not_called_invalid() {
    paused(async || {
        let (kit, seen, checking) = (Kit::new(), Recorder::new(), Valve::new());
        let checked = checking.clone();
        let config = config(&kit, 1).observer(seen.clone()).validate(move |_| {
            let checked = checked.clone();
            Box::pin(async move {
                checked.pass().await;
                true
            })
        });
        let manager = build(config).await;
        let late = manager.task(async |_, _| Ok(forever().await)).timeout(SECOND).await;
        assert!(matches!(late, Err(TaskError::TimedOut)), "{late:?}");
        checking.await_arrivals(1).await;
        assert_complete(&manager.kill().await.unwrap());
        let reasons = [DestroyReason::Shutdown, DestroyReason::Invalid];
        assert_eq!(reasons.map(|reason| seen.count(gone(reason))), [1, 0]);
        kit.assert_all_destroyed_once();
    });
}
