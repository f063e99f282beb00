//! What async closures may borrow and own, and what may be sent where.

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;

use tasker::{AsyncTaskManager, TaskContext, TaskError};
use tokio::task::{LocalSet, yield_now};

use super::stage::{Manager, end, manager, on_every_runtime, pend_once};
use crate::support::{Fault, LIMIT, Res, within};

fn is_send<T: Send>(_: &T) {}
fn is_static<T: 'static>(_: &T) {}

#[test]
fn a_closure_that_is_awaited_in_place_borrows_and_changes_what_is_its_callers() {
    on_every_runtime(|| async {
        let (manager, kit) = manager(1).await;
        let (text, mut seen) = (String::from("borrowed"), Vec::new());
        manager
            .queue_task(async |_, res| {
                yield_now().await;
                seen.push((text.as_str(), res.id()));
                Ok(())
            })
            .await
            .unwrap();
        manager
            .task(async |_, res| {
                seen.push((&text, res.id()));
                yield_now().await;
                Ok(())
            })
            .name("built")
            .await
            .unwrap();
        manager
            .queue_task_with_priority(async |_, res| {
                seen.push((&text[2..], res.id()));
                Ok(())
            })
            .await
            .unwrap();
        manager
            .run_task(async |_, res| {
                seen.push(("", res.id()));
                Ok(())
            })
            .await
            .unwrap();
        assert_eq!(seen, [("borrowed", 1), ("borrowed", 1), ("rrowed", 1), ("", 1)]);
        end(&manager, &kit).await;
    });
}

// A borrow that goes in may come out, if it is the caller's and not the resource's.
#[test]
fn a_task_may_return_what_its_caller_has_lent() {
    on_every_runtime(|| async {
        let (manager, kit) = manager(1).await;
        let words = [String::from("a"), String::from("longer"), String::from("word")];
        let longest = manager.queue_task(async |_, _| {
            yield_now().await;
            Ok(words.iter().max_by_key(|word| word.len()).map(String::as_str))
        });
        let longest: Option<&str> = longest.await.unwrap();
        assert_eq!(longest, Some("longer"));
        let mut buffer = vec![1, 2];
        let end_of = manager.queue_task_once(async |_, _| {
            buffer.push(3);
            Ok(&mut buffer)
        });
        end_of.await.unwrap().push(4);
        assert_eq!(buffer, [1, 2, 3, 4]);
        end(&manager, &kit).await;
    });
}

#[test]
fn a_closure_that_runs_once_gives_away_what_it_owns() {
    on_every_runtime(|| async {
        let (manager, kit) = manager(1).await;
        let gift = || Arc::new(String::from("given away"));
        let kept = gift();
        let mine = Arc::clone(&kept);
        let given = manager.queue_task_once(async move |_, _| Ok(mine)).await.unwrap();
        assert_eq!(Arc::strong_count(&kept), 2, "nobody else has one");
        let mine = gift();
        assert_eq!(manager.task_once(async move |_, _| Ok(mine)).await.unwrap(), given);
        let mine = gift();
        let high = manager.queue_task_with_priority_once(async move |_, _| Ok(mine));
        assert_eq!(high.await.unwrap(), given);
        let mine = gift();
        let submitted = manager.task_once(async move |_: &TaskContext, _: &mut Res| Ok(mine));
        assert_eq!(submitted.submit().await.unwrap(), given);
        let mine = gift();
        assert_eq!(manager.run_task(async move |_, _| Ok(mine)).await.unwrap(), given);
        // Promise 5: unhealthy or not, it runs once.
        let mut runs = 0;
        let sick = manager.queue_task_once(async |_, _| {
            runs += 1;
            Err::<(), _>(Fault::Sick)
        });
        assert!(matches!(sick.await, Err(TaskError::Failed(Fault::Sick))));
        assert_eq!(runs, 1);
        end(&manager, &kit).await;
    });
}

#[test]
fn what_is_spawned_is_send_and_static() {
    on_every_runtime(|| async {
        let (manager, kit) = manager(2).await;
        let (queueing, text) = (manager.clone(), String::from("owned"));
        let spawned = tokio::spawn(async move {
            let length = text.len();
            let first = queueing.queue_task(async move |_, _| {
                pend_once().await;
                Ok(length)
            });
            let first = first.await?;
            queueing.task(async move |_, _| Ok(pend_once().await)).name("moved").await?;
            // What runs once may borrow there, too.
            let mut lengths = vec![first];
            let once = queueing.queue_task_once(async |_, _| {
                pend_once().await;
                Ok(lengths.push(text.len() + 1))
            });
            once.await?;
            queueing.run_task(async |_, _| Ok(lengths.push(text.len() + 2))).await?;
            Ok::<_, TaskError<Fault>>(lengths)
        });
        let text = String::from("moved in");
        let task = manager.task(async move |_: &TaskContext, _: &mut Res| {
            pend_once().await;
            Ok(text.len())
        });
        is_send(&task);
        is_static(&task);
        assert_eq!(task.submit().await.unwrap(), 8);
        assert_eq!(spawned.await.unwrap().unwrap(), [5, 6, 7]);
        end(&manager, &kit).await;
    });
}

#[test]
fn futures_are_send_where_their_closures_are() {
    within(LIMIT, || {
        super::stage::still().block_on(async {
            let (manager, kit) = manager(1).await;
            is_send(&AsyncTaskManager::new(super::stage::config(&kit, 1)));
            is_send(&manager);
            is_send(&manager.queue_task(async |_, _| Ok(pend_once().await)));
            is_send(&manager.queue_task_once(async |_, _| Ok(())));
            is_send(&manager.queue_task_with_priority(async |_, _| Ok(())));
            is_send(&manager.queue_task_with_priority_once(async |_, _| Ok(())));
            is_send(&manager.run_task(async |_, _| Ok(pend_once().await)));
            is_send(&manager.task(async |_, _| Ok(())).into_future());
            is_send(&manager.task_once(async |_, _| Ok(())));
            is_send(&manager.stop());
            is_send(&manager.stop_within(LIMIT));
            is_send(&manager.kill());
            is_send(&manager.kill_within(LIMIT));
            is_send(&manager.join());
            let waits = async |cx: &TaskContext, _: &mut Res| {
                is_send(&cx.cancelled());
                is_send(&cx.sleep_async(LIMIT));
                Ok(())
            };
            manager.queue_task(waits).await.unwrap();
            end(&manager, &kit).await;
        });
    });
}

// `block_on` and a local set poll where they are, so that what they await need not be Send.
#[test]
fn a_future_that_is_not_send_is_awaited_in_place() {
    on_every_runtime(|| async {
        let (manager, kit) = manager(1).await;
        let count = Rc::new(Cell::new(0));
        for _ in 0..3 {
            manager
                .queue_task(async |_, _| {
                    let inside = Rc::clone(&count);
                    yield_now().await; // held across an await
                    inside.set(inside.get() + 1);
                    Ok(Rc::clone(&inside)) // and its value need not be Send either
                })
                .await
                .unwrap();
        }
        let urgent = Rc::clone(&count);
        manager.run_task(async move |_, _| Ok(urgent.set(urgent.get() + 1))).await.unwrap();
        assert_eq!(count.get(), 4);
        let local = LocalSet::new();
        let (mine, inside) = (Rc::clone(&count), manager.clone());
        local.spawn_local(async move {
            let task = inside.task(async move |_, _| {
                yield_now().await;
                Ok(mine.set(10))
            });
            task.await.unwrap();
        });
        local.await;
        assert_eq!(count.get(), 10);
        end(&manager, &kit).await;
    });
}

// A future that is awaited costs its place in its caller's: a few hundred bytes and the closure's own, once.
#[test]
fn a_task_costs_little_more_than_its_closure() {
    within(LIMIT, || {
        super::stage::still().block_on(async {
            let (manager, kit) = manager(1).await;
            let (empty, full) = (sizes::<0>(&manager), sizes::<4096>(&manager));
            for (at, (empty, full)) in empty.iter().zip(full).enumerate() {
                assert!(*empty < 1600, "{at}: {empty} bytes");
                assert!(full - empty < 3 * 4096, "{at}: {} bytes for 4096", full - empty);
            }
            end(&manager, &kit).await;
        });
    });
}

/// The sizes of the futures of a closure that holds so many bytes across an await.
fn sizes<const N: usize>(manager: &Manager) -> [usize; 3] {
    async fn work<const N: usize>() -> Result<u8, Fault> {
        let bytes = [0_u8; N];
        pend_once().await;
        Ok(bytes.iter().sum())
    }
    fn size<F: Future>(future: &F) -> usize {
        size_of_val(future)
    }
    [
        size(&manager.queue_task(async |_, _| work::<N>().await)),
        size(&manager.task(async |_, _| work::<N>().await).into_future()),
        size(&manager.run_task(async |_, _| work::<N>().await)),
    ]
}

// Whatever a task owns is gone when its outcome is known.
#[test]
fn a_closure_is_dropped_before_its_outcome_is_known() {
    on_every_runtime(|| async {
        let (manager, kit) = manager(1).await;
        for fails in [false, true] {
            let owned = Arc::new(());
            let result = move || if fails { Err(Fault::Own) } else { Ok(()) };
            let captured = Arc::clone(&owned);
            let task = async move |_: &TaskContext, _: &mut Res| {
                let _ = &captured;
                result()
            };
            let _ = manager.task(task).submit().await;
            assert_eq!(Arc::strong_count(&owned), 1);
            let captured = Arc::clone(&owned);
            let (send, receive) = std::sync::mpsc::channel();
            let probe = Arc::clone(&owned);
            let task = async move |_: &TaskContext, _: &mut Res| {
                let _ = &captured;
                result()
            };
            manager.task(task).on_complete(move |_| {
                send.send(Arc::strong_count(&probe)).expect("it is listened to");
            });
            let counted = tokio::task::spawn_blocking(move || receive.recv()).await.unwrap();
            assert_eq!(counted, Ok(2), "this one and the callback's");
        }
        end(&manager, &kit).await;
    });
}
