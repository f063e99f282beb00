//! `run_now`: a task with options that waits for nobody, on a pooled, an idle or a temporary resource.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tasker::{Outcome, TaskContext, TaskError};
use tokio::time::{Instant, sleep};

use super::stage::{
    ByHand, Config, Valve, build, config, end, forever, manager, occupy, paused, since,
};
use crate::support::{Fault, Kit, Recorder, Res, What};

const SECOND: Duration = Duration::from_secs(1);

// Promise 17: its timeout drops it, whatever resource it runs on, and counts from its start.
#[test]
fn an_urgent_task_is_dropped_at_its_timeout() {
    paused(async || {
        for pooled in [0, 1] {
            let kit = Kit::new();
            let manager = build(config(&kit, 1).resource_pool_size(pooled)).await;
            let (valve, busy) = occupy(&manager, 1).await; // so that none is idle
            let start = Instant::now();
            let task = manager.task_once(async |_: &TaskContext, _: &mut Res| Ok(forever().await));
            let outcome = task.timeout(SECOND).run_now().await;
            assert!(matches!(outcome, Err(TaskError::TimedOut)), "{outcome:?}");
            assert_eq!(since(start), SECOND, "{pooled} pooled");
            valve.open();
            for task in busy {
                task.await.unwrap();
            }
            end(&manager, &kit).await;
        }
    });
}

/// One worker. Creations take three seconds from the moment on when they are to be slow.
fn slow_config(kit: &Kit, slow: &Arc<AtomicBool>) -> Config {
    let (create, destroy, slow) = (kit.clone(), kit.clone(), Arc::clone(slow));
    let create = move || {
        let (kit, slow) = (create.clone(), slow.load(Ordering::SeqCst));
        async move {
            if slow {
                sleep(3 * SECOND).await;
            }
            kit.create()
        }
    };
    let config = Config::new(create).on_destroy(move |res| {
        let destroyed = destroy.destroy(res);
        async move { destroyed }
    });
    config.worker_count(1).max_worker_count(1)
}

// Small print: what is made or validated for it takes as long as it takes. Then the task may be too late; if it is
// not, its time begins.
#[test]
fn the_time_that_its_resource_takes_is_not_an_urgent_tasks() {
    paused(async || {
        for pooled in [0, 1] {
            let (kit, slow) = (Kit::new(), Arc::new(AtomicBool::new(false)));
            let config = slow_config(&kit, &slow).resource_pool_size(pooled).validate_after(SECOND);
            let config = config.validate(|_| {
                Box::pin(async {
                    sleep(3 * SECOND).await;
                    true
                })
            });
            let manager = build(config).await;
            let (valve, busy) = occupy(&manager, 1).await;
            slow.store(true, Ordering::SeqCst);
            sleep(2 * SECOND).await; // what is pooled has to be validated
            let task = manager.task_once(async |cx: &TaskContext, _: &mut Res| {
                let left = cx.deadline().map(|at| at - Instant::now().into_std());
                Ok((left, cx.sleep_async(SECOND).await))
            });
            let outcome = task.timeout(2 * SECOND).run_now().await;
            assert_eq!(outcome.unwrap(), (Some(2 * SECOND), Ok(())), "{pooled} pooled");

            sleep(2 * SECOND).await;
            let late =
                manager.task_once(async |_: &TaskContext, _: &mut Res| -> Result<(), Fault> {
                    panic!("it is too late")
                });
            let outcome = late.start_within(2 * SECOND).run_now().await;
            assert!(matches!(outcome, Err(TaskError::Expired)), "{pooled} pooled: {outcome:?}");
            valve.open();
            for task in busy {
                task.await.unwrap();
            }
            end(&manager, &kit).await;
        }
    });
}

// Promise 6: one attempt, whatever it may have elsewhere; and its name is told.
#[test]
fn an_urgent_task_has_its_name_and_one_attempt() {
    paused(async || {
        let (kit, seen) = (Kit::new(), Recorder::new());
        let manager = build(config(&kit, 1).observer(seen.clone())).await;
        let task = manager.task(async |cx: &TaskContext, _: &mut Res| {
            assert_eq!((cx.name(), cx.attempt()), (Some("ping"), 1));
            Err::<(), _>(Fault::Sick)
        });
        let outcome = task.name("ping").max_retries(5).run_now().await;
        assert!(matches!(outcome, Err(TaskError::Failed(Fault::Sick))), "{outcome:?}");
        seen.wait_for(1, |what| {
            matches!(what, What::TaskFinished { outcome: Outcome::Failed, .. })
        });
        end(&manager, &kit).await;
    });
}

// It does nothing until it is polled, and its place is nobody's: dropped before, it was never accepted.
#[test]
fn an_urgent_task_that_is_never_polled_was_never_accepted() {
    paused(async || {
        let (manager, kit) = manager(1).await;
        drop(ByHand::new(manager.task(async |_, _| Ok(())).run_now()));
        assert_eq!(manager.stop().await.unwrap().accepted, 0);
        kit.assert_all_destroyed_once();
    });
}

// Promise 9: a resource whose validation was dropped is in the middle of something, however lately it came back.
#[test]
fn a_resource_whose_validation_was_dropped_is_validated_again() {
    paused(async || {
        let (kit, checking) = (Kit::new(), Valve::new());
        let checked = checking.clone();
        let config = config(&kit, 1).resource_pool_size(1).validate_after(SECOND);
        let manager = build(config.validate(move |_| {
            let checked = checked.clone();
            Box::pin(async move {
                checked.pass().await;
                true
            })
        }));
        let manager = manager.await;
        let (valve, busy) = occupy(&manager, 1).await; // so that none is idle
        sleep(2 * SECOND).await;
        let mut dropped = ByHand::new(manager.run_task(async |_, _| Ok(())));
        assert!(dropped.poll().is_pending());
        checking.await_arrivals(1).await;
        drop(dropped);
        checking.open();
        manager.run_task(async |_, _| Ok(())).await.unwrap();
        checking.await_arrivals(2).await;
        assert_eq!(kit.created(), 2, "it was sound");
        valve.open();
        for task in busy {
            task.await.unwrap();
        }
        end(&manager, &kit).await;
    });
}
