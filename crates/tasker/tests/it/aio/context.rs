//! Small print: what an async task may ask its context, and wait for there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tasker::{Cancelled, Priority, TaskContext, TaskError};
use tokio::time::Instant;

use super::stage::{
    Valve, build, config, end, manager, on_every_runtime, paused, pend_once, settle, since,
};
use crate::support::{Fault, Kit, Res};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_context_tells_who_the_task_is() {
    paused(|| async {
        let (manager, kit) = manager(1).await;
        let task = manager.task(async |cx, _| {
            pend_once().await;
            let name = cx.name().map(str::to_owned);
            Ok((cx.id(), cx.attempt(), name, cx.priority(), cx.deadline()))
        });
        let start = Instant::now();
        let task = task.name("who").priority(Priority::Low).timeout(SECOND);
        let (first, attempt, name, priority, deadline) = task.await.unwrap();
        assert_eq!((attempt, name.as_deref(), priority), (1, Some("who"), Priority::Low));
        assert_eq!(deadline, Some(start.into_std() + SECOND));

        let plain = manager.queue_task(async |cx, _| {
            Ok((cx.id(), cx.name().is_none(), cx.priority(), cx.deadline()))
        });
        let (second, nameless, priority, deadline) = plain.await.unwrap();
        assert!(second > first, "ids rise");
        assert_eq!((nameless, priority, deadline), (true, Priority::Normal, None));

        let high = manager.queue_task_with_priority(async |cx, _| Ok(cx.priority())).await;
        assert_eq!(high.unwrap(), Priority::High);
        let handle = manager.task(async move |cx: &TaskContext, _: &mut Res| Ok(cx.id())).submit();
        let known = handle.id();
        assert_eq!(handle.await.unwrap(), known);
        assert_eq!(manager.run_task(async |cx, _| Ok(cx.attempt())).await.unwrap(), 1);
        end(&manager, &kit).await;
    });
}

#[test]
fn a_retry_keeps_its_id_and_its_priority_and_counts_its_attempts() {
    paused(|| async {
        let (manager, kit) = manager(1).await;
        let (mut seen, start) = (Vec::new(), Instant::now());
        let task = manager.task(async |cx, _| {
            seen.push((cx.id(), cx.attempt(), cx.priority(), cx.deadline().unwrap()));
            settle().await;
            if cx.attempt() < 3 { Err(Fault::Sick) } else { Ok(()) }
        });
        task.priority(Priority::Low).timeout(SECOND).await.unwrap();
        let id = seen[0].0;
        let mut last = start.into_std();
        for (at, (known, attempt, priority, deadline)) in seen.into_iter().enumerate() {
            assert_eq!((known, attempt, priority), (id, at as u32 + 1, Priority::Low));
            assert!(deadline > last, "each attempt has its own");
            last = deadline;
        }
        end(&manager, &kit).await;
    });
}

#[test]
fn a_sleep_ends_when_its_time_is_over_or_its_task_is_cancelled() {
    paused(|| async {
        let (manager, kit) = manager(1).await;
        let start = Instant::now();
        let slept = manager.queue_task(async |cx, _| Ok(cx.sleep_async(SECOND).await)).await;
        assert_eq!((slept.unwrap(), since(start)), (Ok(()), SECOND));

        let start = Instant::now();
        let task = manager.task(async move |cx: &TaskContext, _: &mut Res| {
            let slept = cx.sleep_async(SECOND * 9).await;
            Ok((slept, cx.is_cancelled()))
        });
        let handle = task.submit();
        tokio::time::sleep(SECOND).await;
        handle.cancel();
        assert_eq!(handle.await.unwrap(), (Err(Cancelled), true));
        assert_eq!(since(start), SECOND, "and at once");

        // `?` on it: whatever error that becomes, the task ends as what was done to it.
        let timed =
            manager.task(async |cx, _| cx.sleep_async(SECOND * 9).await.map_err(|_| Fault::Own));
        let outcome = timed.timeout(SECOND).await;
        assert!(matches!(outcome, Err(TaskError::TimedOut)), "{outcome:?}");
        end(&manager, &kit).await;
    });
}

#[test]
fn a_task_can_wait_to_be_cancelled_together_with_its_work() {
    on_every_runtime(|| async {
        let (manager, kit) = manager(1).await;
        let (begun, never) = (Valve::new(), Valve::new());
        let (seen, wait) = (begun.clone(), never.clone());
        let task = manager.task(async move |cx: &TaskContext, _: &mut Res| {
            begun.open();
            tokio::select! {
                () = cx.cancelled() => Ok("tidied up"),
                () = wait.pass() => Ok("worked"),
            }
        });
        let handle = task.submit();
        seen.pass().await;
        handle.cancel();
        handle.cancel(); // again changes nothing
        assert_eq!(handle.await.unwrap(), "tidied up");
        end(&manager, &kit).await;
        drop(never);
    });
}

// What a task has started elsewhere stops when the task is dropped; and a token that is kept does not reach
// the next task on the resource.
#[test]
fn a_token_that_is_passed_on_hears_of_a_drop_and_of_nothing_else() {
    on_every_runtime(|| async {
        let kit = Kit::new();
        let manager = build(config(&kit, 1).validate(|_| Box::pin(async { true }))).await;
        let kept = manager.queue_task(async |cx, _| Ok(cx.token())).await.unwrap();
        assert!(!kept.is_cancelled(), "its task has ended well");

        let elsewhere = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&elsewhere);
        let mut started = None;
        let dropped = manager.queue_task(async |cx, _| {
            let (token, told) = (cx.token(), Arc::clone(&told));
            started = Some(tokio::spawn(async move {
                token.cancelled().await;
                told.store(true, Ordering::SeqCst);
            }));
            Ok(std::future::pending::<()>().await)
        });
        tokio::select! {
            biased;
            _ = dropped => unreachable!("it is pending"),
            () = pend_once() => {}
        }
        started.expect("it ran").await.unwrap();
        assert!(elsewhere.load(Ordering::SeqCst));
        assert!(!kept.is_cancelled());
        let fresh = manager.queue_task(async |cx, _| Ok(cx.is_cancelled())).await.unwrap();
        assert!(!fresh);
        end(&manager, &kit).await;
    });
}
