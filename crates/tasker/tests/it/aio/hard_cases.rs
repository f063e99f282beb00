//! Stories of things that went wrong: each was a bug, and would be again without what its fix added.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use tasker::{AsyncConfig, AsyncTaskManager, Phase, TaskError};
use tokio::time::{advance, sleep, timeout};

use super::stage::{
    ByHand, Kind, Valve, build, config, end, forever, manager, occupy, paused, pend_once, settle,
};
use crate::support::{Fault, Kit, LIMIT, assert_complete, block_on, within};

const SECOND: Duration = Duration::from_secs(1);

// Promise 1. The only claim expired in the very step in which its worker came back from checking its resource; the
// next task was let in from outside, found that resource stale again, and the worker got an order to check it while
// it came to rest. Nobody carried the order out, and the task waited for ever.
#[test]
fn a_task_that_is_let_in_while_a_checked_worker_comes_to_rest_is_served() {
    paused(async || {
        for within in [9, 10, 11] {
            let kit = Kit::new();
            let config = config(&kit, 1).queue_capacity(1).validate_after(Duration::ZERO);
            let config = config.validate(|_| {
                Box::pin(async {
                    sleep(Duration::from_millis(10)).await;
                    true
                })
            });
            let manager = build(config).await;
            let first = manager.task(async move |_, _| Ok(1));
            let first = first.start_within(Duration::from_millis(within)).submit();
            let second = manager.task(async move |_, _| Ok(2)).submit(); // waits for room
            assert_eq!(second.await.unwrap(), 2);
            let _ = first.await; // run or expired, as it happens
            end(&manager, &kit).await;
        }
    });
}

// Promise 10. A stop whose resources are gone takes a task out of its lane, to end it with the error. A future that
// was dropped just then found its claim in no place, and panicked in its destructor.
#[test]
fn futures_can_be_dropped_while_a_failing_stop_ends_their_tasks() {
    within(LIMIT, || {
        let runtime = Kind::MultiThread.runtime();
        for _ in 0..5 {
            let works = Arc::new(AtomicBool::new(true));
            let asked = Arc::clone(&works);
            let config = AsyncConfig::<(), Fault>::new(move || {
                let works = asked.load(Ordering::SeqCst);
                async move { if works { Ok(()) } else { Err(Fault::Create) } }
            });
            let config = config.worker_count(1).max_worker_count(1).resource_pool_size(0);
            let config = config.check_health(|_| false).logger(tasker::NoopLogger);
            let manager = runtime.block_on(AsyncTaskManager::new(config)).unwrap();
            works.store(false, Ordering::SeqCst);
            let sick = manager.queue_task_once(async |_, _| Err::<(), _>(Fault::Sick));
            assert!(runtime.block_on(sick).is_err());
            let waiting: Vec<_> = (0..1000)
                .map(|_| {
                    let mut task = ByHand::new(manager.queue_task(async |_, _| Ok(())));
                    assert!(task.poll().is_pending());
                    task
                })
                .collect();
            let stopping = manager.clone();
            let stop = runtime.spawn(async move { stopping.stop().await });
            while manager.phase() == Phase::Running {
                std::thread::yield_now();
            }
            drop(waiting);
            assert_complete(&runtime.block_on(stop).unwrap().unwrap());
        }
    });
}

// Promises 1 and 3. What had been spawned for a new manager and was never polled did not know what it had to do when
// its runtime dropped it, so that `new` waited for ever.
#[test]
fn a_manager_whose_runtime_goes_before_its_workers_began_is_not_waited_for() {
    within(LIMIT, || {
        let kit = Kit::new();
        let runtime = Kind::CurrentThread.runtime();
        let mut new = ByHand::new(AsyncTaskManager::new(config(&kit, 2).resource_pool_size(2)));
        {
            let _inside = runtime.enter();
            assert!(new.poll().is_pending());
        }
        drop(runtime);
        assert!(matches!(new.poll(), Poll::Ready(Err(_))));
        kit.assert_all_destroyed_once();
    });
}

// Promise 17. A task was cancelled in its lane, and its runtime went before its future heard of it: the report said
// cancelled, and the handle killed.
#[test]
fn a_handle_says_what_the_report_says_when_its_runtime_goes() {
    within(LIMIT, || {
        let kit = Kit::new();
        let runtime = Kind::CurrentThread.runtime();
        let manager = runtime.block_on(build(config(&kit, 1)));
        manager.pause();
        let cancelled = manager.task(async move |_, _| Ok(())).submit();
        let killed = manager.task(async move |_, _| Ok(())).submit();
        cancelled.cancel();
        drop(runtime);
        let report = block_on(manager.join());
        assert_eq!((report.cancelled, report.dropped), (1, 1), "{report}");
        assert!(matches!(block_on(cancelled), Err(TaskError::Cancelled)));
        assert!(matches!(block_on(killed), Err(TaskError::Killed)));
    });
}

// A resource that was granted to a future, and given on without having been used, was counted as used: with
// `max_uses(1)` it was replaced for nothing.
#[test]
fn a_resource_that_nobody_came_to_use_is_not_worn() {
    paused(async || {
        let kit = Kit::new();
        let manager = build(config(&kit, 1).max_uses(2)).await;
        for _ in 0..10 {
            let (valve, busy) = occupy(&manager, 1).await;
            let mut dropped = ByHand::new(manager.queue_task(async |_, _| Ok(())));
            assert!(dropped.poll().is_pending());
            valve.open();
            settle().await;
            assert_eq!(dropped.wakes(), 1, "it is granted");
            drop(dropped);
            for task in busy {
                task.await.unwrap();
            }
            settle().await;
        }
        end(&manager, &kit).await;
        assert_eq!(kit.created(), 6, "one for every two tasks that ran, and the one in use");
    });
}

// Promise 11. A creation that never ends held a kill up, and so did a validation.
#[test]
fn a_kill_does_not_wait_for_a_creation_or_a_validation_that_hangs() {
    paused(async || {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let config = AsyncConfig::<(), Fault>::new(move || {
            let first = counted.fetch_add(1, Ordering::SeqCst) == 0;
            async move {
                if !first {
                    forever().await;
                }
                Ok(())
            }
        });
        let config = config.worker_count(1).max_worker_count(1).resource_pool_size(0);
        let manager = AsyncTaskManager::new(config.check_health(|_| false)).await.unwrap();
        assert!(manager.queue_task_once(async |_, _| Err::<(), _>(Fault::Sick)).await.is_err());
        settle().await;
        assert_eq!(calls.load(Ordering::SeqCst), 2, "the second creation hangs");
        assert_complete(&manager.kill().await.unwrap());

        let kit = Kit::new();
        let config = super::stage::config(&kit, 1).validate_after(Duration::ZERO);
        let config = config.validate(|_| Box::pin(std::future::pending()));
        let manager = build(config).await;
        let waiting = manager.task(async move |_, _| Ok(())).submit();
        settle().await;
        assert_complete(&manager.kill().await.unwrap());
        assert!(matches!(waiting.await, Err(TaskError::Killed)));
        kit.assert_all_destroyed_once();
    });
}

// A manager whose building was given up left the futures of `on_create` behind, for as long as they liked.
#[test]
fn a_building_that_is_given_up_leaves_no_creation_behind() {
    paused(async || {
        let alive = Arc::new(());
        let held = Arc::clone(&alive);
        let config = AsyncConfig::<(), Fault>::new(move || {
            let held = Arc::clone(&held);
            async move {
                forever().await;
                drop(held);
                Ok(())
            }
        });
        let config = config.worker_count(3);
        assert!(timeout(SECOND, AsyncTaskManager::new(config)).await.is_err());
        settle().await;
        assert_eq!(Arc::strong_count(&alive), 1);
    });
}

// Promise 17. The time of a submitted task that got a resource at once began when it was submitted: on a busy runtime
// it timed out without having been polled.
#[test]
fn the_time_of_a_submitted_task_begins_when_it_is_polled() {
    paused(async || {
        let (manager, kit) = manager(1).await;
        let task = manager.task(async move |cx, _| {
            let left = cx.deadline().map(|at| at - tokio::time::Instant::now().into_std());
            pend_once().await;
            Ok(left)
        });
        let task = task.timeout(SECOND).submit();
        advance(2 * SECOND).await; // before anybody else has a turn
        assert_eq!(task.await.unwrap(), Some(SECOND));
        end(&manager, &kit).await;
    });
}

// A task that never comes to anything is dropped all the same, by its timeout and by a kill.
#[test]
fn a_task_that_waits_for_ever_is_dropped_by_its_timeout_and_by_a_kill() {
    paused(async || {
        let (manager, kit) = manager(1).await;
        let late = manager.task(async |_, _| Ok(forever().await)).timeout(SECOND).await;
        assert!(matches!(late, Err(TaskError::TimedOut)));
        let started = Valve::new();
        let inside = started.clone();
        let killed = manager.task(async move |_, _| {
            inside.open();
            Ok(forever().await)
        });
        let killed = killed.submit();
        started.pass().await;
        assert_complete(&manager.kill().await.unwrap());
        assert!(matches!(killed.await, Err(TaskError::Cancelled)));
        kit.assert_all_destroyed_once();
    });
}

// Promise 11. A `run_task` that a kill found in the middle of a validation went on to the next pooled resource, whose
// token was cancelled and not aborted: it began, and nobody could drop it.
#[test]
fn a_kill_during_a_pooled_validation_starts_nothing() {
    paused(async || {
        let kit = Kit::new();
        let checks = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&checks);
        let config = config(&kit, 1).resource_pool_size(2).validate_after(SECOND);
        let config = config.validate(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            Box::pin(std::future::pending())
        });
        let manager = build(config).await;
        advance(2 * SECOND).await; // both pooled resources have been idle for too long
        let begun = Arc::new(AtomicBool::new(false));
        let inside = Arc::clone(&begun);
        let urgent = manager.clone();
        let urgent = tokio::spawn(async move {
            let task = urgent.run_task(async move |_, _| {
                inside.store(true, Ordering::SeqCst);
                Ok(forever().await)
            });
            task.await
        });
        settle().await;
        assert_eq!(checks.load(Ordering::SeqCst), 1, "it is being validated");
        assert_complete(&manager.kill().await.unwrap());
        assert!(urgent.await.unwrap().is_err());
        assert!(!begun.load(Ordering::SeqCst), "the task began in a manager that was killed");
        kit.assert_all_destroyed_once();
    });
}

// A `run_task` on a temporary resource had told its caller `Ok`, and was still in the count of what runs, and a
// straggler in the report, until `on_destroy` had ended.
#[test]
fn a_task_that_has_ended_is_no_straggler_while_its_resource_is_destroyed() {
    paused(async || {
        let (kit, slow) = (Kit::new(), Valve::new());
        let (held, of) = (slow.clone(), kit.clone());
        let config = config(&kit, 1).on_destroy(move |res| {
            let (held, of) = (held.clone(), of.clone());
            async move {
                held.pass().await;
                of.destroy(res)
            }
        });
        let manager = build(config).await;
        let (valve, busy) = occupy(&manager, 1).await;
        assert_eq!(manager.run_task(async |_, _| Ok(7)).await.unwrap(), 7);
        settle().await;
        assert_eq!(manager.stats().running_tasks, 1, "the one that occupies the worker");
        valve.open();
        for task in busy {
            task.await.unwrap();
        }
        let report = manager.stop_within(SECOND).await.unwrap();
        assert_eq!((report.completed, report.stragglers.len()), (2, 0), "{report}");
        slow.open();
        manager.join().await;
        kit.assert_all_destroyed_once();
    });
}
