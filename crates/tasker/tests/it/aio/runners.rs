//! Promises 1, 4 and 11: a runner takes one submitted task after the other, and none of them is another one's matter.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;

use tasker::{Priority, TaskContext, TaskError, TaskStatus};
use tokio::task::yield_now;

use super::stage::{
    Handle, Kind, build, config, end, forever, manager, occupy, on_every_runtime, paused, pend_once,
};
use crate::support::{Fault, Gate, Kit, LIMIT, Res, assert_complete, block_on, eventually, within};

#[test]
fn a_task_that_waits_holds_up_no_task_of_another_seat() {
    on_every_runtime(|| async {
        let (manager, kit) = manager(2).await;
        let (valve, busy) = occupy(&manager, 1).await;
        for _ in 0..100 {
            manager.task(async move |_, _| Ok(pend_once().await)).submit().await.unwrap();
        }
        assert_eq!(busy[0].status(), TaskStatus::Running { attempt: 1 });
        valve.open();
        for handle in busy {
            handle.await.unwrap();
        }
        end(&manager, &kit).await;
    });
}

#[test]
fn a_task_that_panics_in_a_runner_loses_no_later_one() {
    paused(|| async {
        let (manager, kit) = manager(1).await;
        let (valve, _busy) = occupy(&manager, 1).await;
        let handles: Vec<Handle<u32>> = (0..12)
            .map(|number| {
                let task = async move |_: &TaskContext, _: &mut Res| match number % 4 {
                    0 => panic!("as ordered"),
                    1 => Err(Fault::Own),
                    2 => {
                        pend_once().await;
                        Ok(number)
                    }
                    _ => Ok(number),
                };
                manager.task(task).submit()
            })
            .collect();
        valve.open();
        for (number, handle) in (0..).zip(handles) {
            match (number % 4, handle.await) {
                (0, Err(TaskError::Panicked(_))) | (1, Err(TaskError::Failed(Fault::Own))) => {}
                (2 | 3, Ok(value)) => assert_eq!(value, number),
                (_, outcome) => panic!("{number}: {outcome:?}"),
            }
        }
        end(&manager, &kit).await;
    });
}

// One bench serves tasks of several types, one after the other; what is left of one must not be taken for another.
#[test]
fn tasks_of_several_types_take_turns_on_one_seat() {
    paused(|| async {
        let (manager, kit) = manager(1).await;
        let (valve, _busy) = occupy(&manager, 1).await;
        let (send, told) = channel();
        let mut numbers = Vec::new();
        let mut texts = Vec::new();
        for number in 0..20_u32 {
            numbers.push(manager.task(async move |_, _| Ok(number)).submit());
            let text = number.to_string();
            texts.push(manager.task_once(async move |_, _| Ok((pend_once().await, text))).submit());
            let send = send.clone();
            let task = manager.task(async move |_, _| Ok(u64::from(number)));
            task.on_complete(move |outcome| send.send(outcome.unwrap()).unwrap());
        }
        valve.open();
        for (number, (value, text)) in (0..20).zip(numbers.into_iter().zip(texts)) {
            assert_eq!(value.await.unwrap(), number);
            assert_eq!(text.await.unwrap().1, number.to_string());
        }
        end(&manager, &kit).await;
        assert_eq!(told.try_iter().collect::<Vec<_>>(), (0..20).collect::<Vec<_>>());
    });
}

// The retry goes to whichever seat is free, with the closure as the first attempt has left it.
#[test]
fn a_retry_goes_on_with_its_closure_on_another_seat() {
    paused(|| async {
        let (manager, kit) = manager(2).await;
        let mut tries = 0;
        let task = manager.task(async move |cx: &TaskContext, _: &mut Res| {
            tries += 1;
            pend_once().await;
            if tries < 3 { Err(Fault::Sick) } else { Ok((tries, cx.attempt())) }
        });
        assert_eq!(task.max_retries(5).submit().await.unwrap(), (3, 3));
        end(&manager, &kit).await;
    });
}

// A runner has been ordered to run the first task and has not been polled yet.
#[test]
fn a_kill_before_a_runner_is_polled_ends_its_task_as_killed() {
    paused(|| async {
        let (manager, kit) = manager(1).await;
        let ran = Arc::new(AtomicUsize::new(0));
        let handles: Vec<Handle> = (0..3)
            .map(|number| {
                let ran = Arc::clone(&ran);
                let task = async move |_: &TaskContext, _: &mut Res| {
                    ran.fetch_add(1, Ordering::SeqCst);
                    Ok(())
                };
                let priority = if number == 1 { Priority::High } else { Priority::Low };
                manager.task(task).priority(priority).submit()
            })
            .collect();
        let report = manager.kill().await.unwrap();
        assert_complete(&report);
        for handle in handles {
            assert!(matches!(handle.await, Err(TaskError::Killed)));
        }
        assert_eq!(ran.load(Ordering::SeqCst), 0);
        kit.assert_all_destroyed_once();
    });
}

// The tasks never wait, so that only the runner's own pauses let anybody else in.
#[test]
fn a_long_line_of_tasks_that_never_wait_leaves_others_their_turn() {
    paused(|| async {
        let (manager, kit) = manager(1).await;
        let ran = Arc::new(AtomicUsize::new(0));
        let tasks = 100_000;
        let (valve, _busy) = occupy(&manager, 1).await;
        let handles: Vec<Handle> = (0..tasks)
            .map(|_| {
                let ran = Arc::clone(&ran);
                let task = async move |_: &TaskContext, _: &mut Res| {
                    ran.fetch_add(1, Ordering::SeqCst);
                    Ok(())
                };
                manager.task(task).submit()
            })
            .collect();
        valve.open();
        let mut turns = 0;
        while ran.load(Ordering::SeqCst) < tasks {
            yield_now().await;
            turns += 1;
        }
        assert!(turns > 100, "{turns} turns");
        for handle in handles {
            handle.await.unwrap();
        }
        end(&manager, &kit).await;
    });
}

// One task is in the middle of its attempt, one has yielded its turn, many wait: their runtime goes.
#[test]
fn a_runtime_that_goes_away_in_the_middle_of_a_line_of_tasks_ends_each_of_them() {
    within(LIMIT, || {
        for kind in Kind::ALL {
            let runtime = kind.runtime();
            let kit = Kit::new();
            let (manager, handles) = runtime.block_on(async {
                let manager = build(config(&kit, 2)).await;
                let stuck = manager.task(async move |_, _| Ok(forever().await)).submit();
                let more = (0..5_000).map(|number| {
                    manager
                        .task(async move |_: &TaskContext, _: &mut Res| {
                            if number % 100 == 0 {
                                pend_once().await;
                            }
                            Ok(())
                        })
                        .submit()
                });
                let handles: Vec<Handle> = std::iter::once(stuck).chain(more).collect();
                yield_now().await; // some have run
                (manager, handles)
            });
            drop(runtime);
            let mut killed = 0;
            for handle in handles {
                match handle.wait_timeout(LIMIT / 4).expect("it ends") {
                    Ok(()) => {}
                    // On another thread it may have seen the kill first.
                    Err(TaskError::Killed | TaskError::Cancelled) => killed += 1,
                    outcome => panic!("{outcome:?}"),
                }
            }
            assert!(killed > 0);
            let report = Kind::CurrentThread.runtime().block_on(manager.join());
            assert_complete(&report);
            assert_eq!(report.accepted, 5_001);
            kit.assert_all_destroyed_once();
        }
    });
}

// The runner lets others run before it goes, and whom it told first was the one who asked: that one blocked the thread,
// and the next task waited for it, although other threads had nothing to do.
#[test]
fn a_runner_that_lets_others_run_is_woken_on_any_thread() {
    within(LIMIT, || {
        let runtime = Kind::MultiThread.runtime();
        let (manager, kit) = runtime.block_on(manager(1));
        let gate = Gate::new();
        let (asked, held) = (manager.clone(), gate.clone());
        let asker = runtime.spawn(async move {
            asked.task(async move |_, _| Ok(())).submit().await.unwrap();
            held.wait(); // blocks the thread on purpose
        });
        gate.await_arrivals(1);
        manager.task(async move |_, _| Ok(())).submit().wait().unwrap();
        gate.open();
        runtime.block_on(asker).unwrap();
        runtime.block_on(end(&manager, &kit));
    });
}

// A task that never began ends on the thread that kills its manager, which need not be the runtime's.
#[test]
fn a_callback_may_spawn_whoever_ends_its_task() {
    within(LIMIT, || {
        let runtime = Kind::MultiThread.runtime();
        let (manager, kit) = runtime.block_on(manager(1));
        manager.pause();
        let (tell, told) = channel();
        let task = manager.task(async move |_, _| Ok(()));
        task.on_complete(move |outcome| {
            assert!(matches!(outcome, Err(TaskError::Killed)));
            tokio::spawn(async move { tell.send(()).unwrap() });
        });
        assert_complete(&block_on(manager.kill()).unwrap());
        told.recv().unwrap();
        kit.assert_all_destroyed_once();
    });
}

// Promise 10: whoever kills tells those who wait, and the last worker may be gone before it is through with that.
#[test]
fn a_join_returns_after_the_callbacks_of_tasks_that_a_kill_ends() {
    within(LIMIT, || {
        let runtime = Kind::MultiThread.runtime();
        let (manager, kit) = runtime.block_on(manager(1));
        manager.pause();
        let gate = Gate::new();
        let held = gate.clone();
        manager.task(async move |_, _| Ok(())).on_complete(move |_| held.wait());
        let (killed, joined) = (manager.clone(), manager.clone());
        let killer = thread::spawn(move || block_on(killed.kill()));
        let join = runtime.spawn(async move { joined.join().await });
        gate.await_arrivals(1);
        eventually("the worker is gone", || kit.live() == 0);
        for _ in 0..1_000 {
            assert!(!join.is_finished(), "it returned before the callback did");
            thread::yield_now();
        }
        gate.open();
        assert_complete(&killer.join().unwrap().unwrap());
        assert_complete(&runtime.block_on(join).unwrap());
        kit.assert_all_destroyed_once();
    });
}
