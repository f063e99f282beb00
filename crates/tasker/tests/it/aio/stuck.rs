//! `stuck_after` and `replace_stuck` for async managers.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use tasker::{DestroyReason, TaskContext};
use tokio::time::sleep;

use super::stage::{Handle, Manager, Outcome, Valve, build, config, end, paused, settle};
use crate::support::{Kit, Recorder, Res, What, gone};

const MINUTE: Duration = Duration::from_secs(60);

fn waits_at(manager: &Manager, valve: &Valve) -> Handle {
    let valve = valve.clone();
    let task = async move |_: &TaskContext, _: &mut Res| {
        valve.pass().await;
        Ok(())
    };
    manager.task(task).name("slow").submit()
}

fn told(seen: &Recorder) -> Vec<(Option<String>, Duration, bool)> {
    let told = seen.events().into_iter().filter_map(|event| match event.what {
        What::TaskStuck { name, running_for, location, .. } => {
            Some((name, running_for, location.file().ends_with("aio/stuck.rs")))
        }
        _ => None,
    });
    told.collect()
}

// Once, with its line, submitted or awaited, on a worker's resource or a temporary one.
#[test]
fn an_async_task_that_runs_for_too_long_is_told_of_once() {
    paused(async || {
        let (kit, seen, valve) = (Kit::new(), Recorder::new(), Valve::new());
        let config = config(&kit, 2).stuck_after(MINUTE).observer(seen.clone());
        let manager = build(config).await;
        let submitted = waits_at(&manager, &valve);
        let (other, gate) = (manager.clone(), valve.clone());
        let awaited = tokio::spawn(async move {
            let task = async move |_: &TaskContext, _: &mut Res| {
                gate.pass().await;
                Ok(())
            };
            other.queue_task_once(task).await
        });
        valve.await_arrivals(2).await;
        let (other, gate) = (manager.clone(), valve.clone());
        let urgent = tokio::spawn(async move {
            let task = async move |_: &TaskContext, _: &mut Res| {
                gate.pass().await;
                Ok(())
            };
            other.run_task(task).await
        });
        valve.await_arrivals(3).await;
        sleep(3 * MINUTE).await;
        let mut stuck = told(&seen);
        stuck.sort();
        let unnamed = (None, MINUTE, true);
        assert_eq!(stuck, [unnamed.clone(), unnamed, (Some("slow".to_owned()), MINUTE, true)]);
        assert_eq!(manager.explain().stuck.len(), 3);
        valve.open();
        submitted.await.unwrap();
        awaited.await.unwrap().unwrap();
        urgent.await.unwrap().unwrap();
        assert!(manager.explain().stuck.is_empty());
        end(&manager, &kit).await;
    });
}

type Running<'m> = Pin<Box<dyn Future<Output = Outcome> + 'm>>;

const DOORS: usize = 9;

/// A task by one of the doors that capture a line, and that line.
#[rustfmt::skip] // a door and its line are one
fn by_door(door: usize, manager: &Manager, valve: Valve) -> (Running<'_>, u32) {
    let task = async move |_: &TaskContext, _: &mut Res| {
        valve.pass().await;
        Ok(())
    };
    match door {
        0 => (Box::pin(manager.task(task).into_future()), line!()),
        1 => (Box::pin(manager.task(task).submit()), line!()),
        2 => (Box::pin(manager.task_once(task).into_future()), line!()),
        3 => (Box::pin(manager.task_once(task).run_now()), line!()),
        4 => (Box::pin(manager.queue_task(task)), line!()),
        5 => (Box::pin(manager.queue_task_once(task)), line!()),
        6 => (Box::pin(manager.queue_task_with_priority(task)), line!()),
        7 => (Box::pin(manager.queue_task_with_priority_once(task)), line!()),
        8 => (Box::pin(manager.run_task(task)), line!()),
        _ => unreachable!("there are {DOORS} doors"),
    }
}

// The line is that of whoever made the task, though its future is polled elsewhere.
#[test]
fn every_async_door_knows_who_came_in() {
    paused(async || {
        for door in 0..DOORS {
            let (kit, seen, valve) = (Kit::new(), Recorder::new(), Valve::new());
            let config = config(&kit, 1).stuck_after(MINUTE).observer(seen.clone());
            let manager = build(config).await;
            let (running, line) = by_door(door, &manager, valve.clone());
            let watch = async {
                valve.await_arrivals(1).await;
                sleep(2 * MINUTE).await;
                valve.open();
            };
            let (outcome, ()) = tokio::join!(running, watch);
            outcome.unwrap();
            let lines = seen.events().into_iter().filter_map(|event| match event.what {
                What::TaskStuck { location, .. } => Some((location.file(), location.line())),
                _ => None,
            });
            assert_eq!(lines.collect::<Vec<_>>(), [(file!(), line)], "door {door}");
            end(&manager, &kit).await;
        }
    });
}

// At the cap, too; the resource of the stuck one goes when it returns.
#[test]
fn another_slot_takes_the_place_of_one_whose_task_is_stuck() {
    paused(async || {
        let (kit, seen, valve) = (Kit::new(), Recorder::new(), Valve::new());
        let config = config(&kit, 1).stuck_after(MINUTE).replace_stuck(true);
        let manager = build(config.observer(seen.clone())).await;
        let slow = waits_at(&manager, &valve);
        valve.await_arrivals(1).await;
        let next = manager.queue_task(async |_, res| Ok(res.id()));
        assert_eq!(next.await.unwrap(), 2, "by the one that was hired");
        assert_eq!((kit.live(), manager.stats().max_workers), (2, 1));
        valve.open();
        slow.await.unwrap();
        settle().await;
        assert_eq!((kit.live(), seen.count(gone(DestroyReason::Stuck))), (1, 1));
        assert_eq!(manager.queue_task(async |_, res| Ok(res.id())).await.unwrap(), 2);
        end(&manager, &kit).await;
    });
}
