//! Promises 1 and 3 on every kind of runtime, across runtimes, without one, and when one goes away.

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use tasker::{
    AsyncConfig, AsyncTaskManager, Backoff, BuildError, Event, Observer, Phase, RejectReason,
    ShutdownError, TaskContext, TaskError, TaskManager,
};
use tokio::runtime::Builder;
use tokio::task::{LocalSet, yield_now};

use super::stage::{
    ByHand, Handle, Kind, Manager, Outcome, Valve, build, config, end, forever, manager, occupy,
    on_every_runtime, pend_once,
};
use crate::support::{Fault, Gate, Kit, LIMIT, Res, assert_complete, block_on, within};

const HOUR: Duration = Duration::from_secs(3600);

/// A manager of two workers and one pooled resource, and what its runtime is to lose with it.
struct Site {
    kit: Kit,
    manager: Manager,
    /// What the hooks wait at; open at first.
    making: Valve,
    breaking: Valve,
    checking: Valve,
    /// Of tasks that the runtime loses.
    handles: Mutex<Vec<Handle>>,
    called: Sender<Outcome>,
    calls: Mutex<usize>,
}

type Moment = for<'a> fn(&'a Site) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

impl Site {
    async fn new(called: Sender<Outcome>) -> Self {
        let (kit, making, breaking, checking) =
            (Kit::new(), Valve::new(), Valve::new(), Valve::new());
        for valve in [&making, &breaking, &checking] {
            valve.open();
        }
        let create = {
            let (kit, making) = (kit.clone(), making.clone());
            move || {
                let (kit, making) = (kit.clone(), making.clone());
                async move {
                    making.pass().await;
                    kit.create()
                }
            }
        };
        let destroy = {
            let (kit, breaking) = (kit.clone(), breaking.clone());
            move |res| {
                let destroyed = kit.destroy(res); // at the call, which nobody takes back
                let breaking = breaking.clone();
                async move {
                    breaking.pass().await;
                    destroyed
                }
            }
        };
        let check = checking.clone();
        let config = AsyncConfig::new(create)
            .on_destroy(destroy)
            .validate(move |_| {
                let check = check.clone();
                Box::pin(async move {
                    check.pass().await;
                    true
                })
            })
            .check_health(|fault| *fault != Fault::Sick)
            .worker_count(2)
            .max_worker_count(2)
            .resource_pool_size(1)
            .queue_capacity(3)
            .retry_backoff(Backoff::fixed(HOUR));
        let manager = build(config).await;
        let (handles, calls) = (Mutex::default(), Mutex::default());
        Self { kit, manager, making, breaking, checking, handles, called, calls }
    }

    fn keep(&self, handle: Handle) {
        self.handles.lock().unwrap().push(handle);
    }

    /// Keeps both workers busy for ever.
    async fn run(&self) {
        let (valve, busy) = occupy(&self.manager, 2).await;
        drop(valve); // nobody opens it
        self.handles.lock().unwrap().extend(busy);
    }

    /// A task with a handle, and one with a callback.
    fn queue(&self) {
        let task = || self.manager.task(async move |_: &TaskContext, _: &mut Res| Ok(()));
        self.keep(task().submit());
        let called = self.called.clone();
        task().on_complete(move |outcome| called.send(outcome).expect("the test listens"));
        *self.calls.lock().unwrap() += 1;
    }

    /// A task that waits an hour for its second attempt.
    fn sicken(&self) {
        let sick = self.manager.task(async move |_: &TaskContext, _: &mut Res| Err(Fault::Sick));
        self.keep(sick.submit());
    }

    /// A `run_task` that leaves its pooled resource sick.
    async fn sicken_pooled(&self) {
        let sick = self.manager.run_task(async |_, _| Err::<(), _>(Fault::Sick)).await;
        assert!(matches!(
            sick,
            Err(TaskError::Failed(Fault::Sick) | TaskError::RetriesExhausted { .. })
        ));
    }

    /// A `run_task` that never ends, awaited in this runtime.
    fn run_urgently(&self) {
        let manager = self.manager.clone();
        tokio::spawn(async move { manager.run_task(async |_, _| Ok(forever().await)).await });
    }

    async fn until(&self, holds: impl Fn(&Self) -> bool) {
        while !holds(self) {
            yield_now().await;
        }
    }
}

/// Moments at which a runtime may go away.
const MOMENTS: [(&str, Moment); 15] = [
    ("idle", |_| Box::pin(async {})),
    ("running", |site| Box::pin(site.run())),
    ("queued, and waiting for room", |site| {
        Box::pin(async {
            site.run().await;
            site.queue();
            site.queue();
            site.queue();
        })
    }),
    ("delayed", |site| {
        Box::pin(async {
            site.sicken();
            site.until(|site| site.manager.stats().delayed_tasks == 1).await;
        })
    }),
    ("a guest on a pooled resource", |site| {
        Box::pin(async {
            site.run_urgently();
            site.until(|site| site.manager.stats().running_tasks == 1).await;
        })
    }),
    ("a guest on a temporary resource", |site| {
        Box::pin(async {
            site.run().await;
            site.run_urgently();
            site.run_urgently();
            site.until(|site| site.manager.stats().running_tasks == 4).await;
            site.until(|site| site.kit.created() == 4).await;
        })
    }),
    ("a guest that makes its resource", |site| {
        Box::pin(async {
            site.run().await;
            site.run_urgently();
            site.making.close();
            site.run_urgently();
            site.making.await_arrivals(4).await;
        })
    }),
    ("destroying for the pool", |site| {
        Box::pin(async {
            site.breaking.close();
            site.sicken_pooled().await;
            site.breaking.await_arrivals(1).await;
        })
    }),
    ("refilling the pool", |site| {
        Box::pin(async {
            site.making.close();
            site.sicken_pooled().await;
            site.making.await_arrivals(4).await;
        })
    }),
    ("creating", |site| {
        Box::pin(async {
            site.making.close();
            site.sicken();
            site.making.await_arrivals(4).await;
        })
    }),
    ("destroying", |site| {
        Box::pin(async {
            site.breaking.close();
            site.sicken();
            site.breaking.await_arrivals(1).await;
        })
    }),
    ("validating", |site| {
        Box::pin(async {
            site.checking.close();
            let task = site.manager.task(async |_, _| Ok(forever().await));
            let _ = task.timeout(Duration::from_millis(1)).await;
            site.checking.await_arrivals(1).await;
        })
    }),
    ("waiting to create again", |site| {
        Box::pin(async {
            site.kit.break_down();
            site.sicken();
            site.until(|site| site.kit.counts().failures > 0).await;
        })
    }),
    ("paused", |site| {
        Box::pin(async {
            site.manager.pause();
            site.queue();
            site.run_urgently();
            site.until(|site| site.manager.stats().queued_tasks == 3).await;
        })
    }),
    ("stopping", |site| {
        Box::pin(async {
            site.run().await;
            site.queue();
            let manager = site.manager.clone();
            tokio::spawn(async move { manager.stop().await });
            site.until(|site| site.manager.phase() == Phase::Stopping).await;
        })
    }),
];

/// Fails unless everything has ended that the site had.
fn assert_gone(name: &str, kind: Kind, site: Site, called: &Receiver<Outcome>) {
    let Site { kit, manager, handles, called: sender, calls, .. } = site;
    let lost = |outcome: Outcome| {
        // A thread of the runtime that still goes on may see the kill before its task is dropped.
        let told = matches!(outcome, Err(TaskError::Cancelled | TaskError::ShuttingDown));
        let killed = matches!(outcome, Err(TaskError::Killed));
        assert!(killed || (told && kind == Kind::MultiThread), "{name}: {outcome:?}");
    };
    for handle in handles.into_inner().unwrap() {
        lost(handle.wait_timeout(LIMIT / 4).unwrap_or_else(|_| panic!("{name}: no end")));
    }
    drop(sender);
    let mut heard = 0;
    while let Ok(outcome) = called.recv_timeout(LIMIT / 4) {
        lost(outcome);
        heard += 1;
    }
    assert_eq!(heard, calls.into_inner().unwrap(), "{name}: every callback is called once");
    let report = block_on(manager.join());
    assert_complete(&report);
    kit.assert_all_destroyed_once();
    assert_eq!(manager.phase(), Phase::Killed, "{name}");
    let elsewhere = Kind::CurrentThread.runtime();
    let again = elsewhere.block_on(manager.join());
    assert_eq!(again.accepted, report.accepted);
    elsewhere.block_on(assert_every_method_returns(&manager));
    block_on(assert_every_method_returns(&manager));
}

async fn assert_every_method_returns(manager: &Manager) {
    let refused = |outcome: Outcome| {
        assert!(matches!(outcome, Err(TaskError::ShuttingDown)), "{outcome:?}");
    };
    refused(manager.queue_task(async |_, _| Ok(())).await);
    refused(manager.task(async |_, _| Ok(())).await);
    refused(manager.run_task(async |_, _| Ok(())).await);
    let task = || manager.task(async move |_: &TaskContext, _: &mut Res| Ok(()));
    refused(task().submit().await);
    assert_eq!(task().try_submit().unwrap_err().reason(), RejectReason::ShuttingDown);
    let (send, receive) = channel();
    task().on_complete(move |outcome| send.send(outcome).expect("it is listened to"));
    refused(receive.recv().expect("it is called here and now"));
    assert!(manager.resize(1, 1).is_err());
    manager.pause();
    manager.resume();
    let stats = manager.stats();
    assert_eq!((stats.active_workers, stats.running_tasks, stats.available_resources), (0, 0, 0));
    let _ = (manager.metrics(), manager.explain(), format!("{manager:?}"));
    let stopped = manager.stop().await;
    assert!(matches!(stopped, Err(ShutdownError::AlreadyStoppingOrKilled)), "{stopped:?}");
    for again in [manager.kill().await, manager.kill_within(HOUR).await] {
        assert!(matches!(again, Err(ShutdownError::AlreadyKilled)), "{again:?}");
    }
    assert!(manager.stop_within(HOUR).await.is_err());
}

#[test]
fn a_manager_whose_runtime_goes_away_is_killed() {
    within(LIMIT, || {
        let names: HashSet<_> = MOMENTS.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), MOMENTS.len());
        for kind in Kind::ALL {
            for at_once in [false, true] {
                for (name, moment) in MOMENTS {
                    let runtime = kind.runtime();
                    let (called, calls) = channel();
                    let site = runtime.block_on(async {
                        let site = Site::new(called).await;
                        moment(&site).await;
                        site
                    });
                    if at_once {
                        runtime.shutdown_background();
                    } else {
                        drop(runtime);
                    }
                    assert_gone(&format!("{name} on {kind:?}"), kind, site, &calls);
                }
            }
        }
    });
}

// Nobody polls what a runtime of one thread has just spawned.
#[test]
fn a_task_that_is_submitted_and_never_polled_ends_with_its_runtime() {
    within(LIMIT, || {
        let runtime = Kind::CurrentThread.runtime();
        let (called, calls) = channel();
        let site = runtime.block_on(async {
            let site = Site::new(called).await;
            site.queue();
            site.queue();
            site
        });
        assert_eq!(site.manager.stats().running_tasks, 2, "they have their resources already");
        drop(runtime);
        assert_gone("never polled", Kind::CurrentThread, site, &calls);
    });
}

// Whatever goes on at that moment, on as many threads as there are.
#[test]
fn a_runtime_may_go_away_in_the_middle_of_anything() {
    within(LIMIT, || {
        for turns in 0..60 {
            let runtime = Kind::MultiThread.runtime();
            let (called, calls) = channel();
            let site = runtime.block_on(async {
                let site = Site::new(called).await;
                for turn in 0..turns {
                    match turn % 6 {
                        0 => site.run_urgently(),
                        1 => site.sicken(),
                        2 => {
                            let task =
                                site.manager.task(async move |_: &TaskContext, _: &mut Res| {
                                    pend_once().await;
                                    Ok(())
                                });
                            drop(task.submit());
                        }
                        3 => {
                            let manager = site.manager.clone();
                            tokio::spawn(async move {
                                let _ =
                                    manager.queue_task(async |_, _| Ok(pend_once().await)).await;
                            });
                        }
                        4 => yield_now().await,
                        _ => {
                            let task = manager_task(&site.manager);
                            let send = site.called.clone();
                            task.on_complete(move |outcome| send.send(outcome).expect("heard"));
                        }
                    }
                }
                site
            });
            runtime.shutdown_background();
            let Site { kit, manager, handles, called, .. } = site;
            for handle in handles.into_inner().unwrap() {
                assert!(handle.wait_timeout(LIMIT / 4).expect("it ends").is_err());
            }
            drop(called);
            let mut heard = 0;
            while calls.recv_timeout(LIMIT / 4).is_ok() {
                heard += 1;
            }
            assert_eq!(heard, turns / 6, "every callback is called once");
            assert_complete(&block_on(manager.join()));
            kit.assert_all_destroyed_once();
        }
    });
}

fn manager_task(
    manager: &Manager,
) -> tasker::AsyncTask<impl Future<Output = Outcome> + Send + use<>, tasker::Repeatable<()>> {
    manager.task(async move |_: &TaskContext, _: &mut Res| {
        pend_once().await;
        Ok(())
    })
}

// Two guests clear out together what is left of the pool. The one that came last used to turn the light off
// while the other one was still destroying a resource, so that the report was short of it.
#[test]
fn a_shutdown_waits_for_a_guest_that_destroys_a_pooled_resource() {
    within(LIMIT, || {
        let kit = Kit::new();
        let runtime = Kind::CurrentThread.runtime();
        let manager = runtime.block_on(build(config(&kit, 1).resource_pool_size(2)));
        let guest = || {
            let manager = manager.clone();
            let mut guest =
                ByHand::new(
                    async move { manager.run_task(async |_, _| Ok(forever().await)).await },
                );
            assert!(guest.poll().is_pending());
            guest
        };
        let (first, last) = (guest(), guest());
        drop(runtime);
        let (closed, open) = (Gate::new(), Gate::new());
        open.open();
        kit.block_destroys(&closed);
        let slow = thread::spawn(move || drop(first));
        kit.wait_until(|counts| counts.destroying == 1);
        kit.block_destroys(&open);
        drop(last);
        let mut join = ByHand::new(manager.join());
        let early = join.poll();
        closed.open();
        slow.join().unwrap();
        assert!(early.is_pending(), "{early:?}");
        let Poll::Ready(report) = join.poll() else { panic!("it is over") };
        assert_complete(&report);
        kit.assert_all_destroyed_once();
    });
}

// What is awaited elsewhere is aborted, or told; its resources go where they can.
#[test]
fn a_task_that_is_awaited_elsewhere_ends_when_its_managers_runtime_goes_away() {
    for (kind, dropped) in [
        (Kind::CurrentThread, false),
        (Kind::CurrentThread, true),
        (Kind::MultiThread, false),
        (Kind::MultiThread, true),
    ] {
        within(LIMIT, move || {
            let runtime = kind.runtime();
            let (called, _calls) = channel();
            let site = runtime.block_on(Site::new(called));
            let manager = &site.manager;
            let forever = || manager.queue_task(async |_, _| Ok(forever().await));
            let urgent = || manager.run_task(async |_, _| Ok(super::stage::forever().await));
            let mut running = [ByHand::new(forever()), ByHand::new(forever())];
            let mut waiting = [ByHand::new(forever()), ByHand::new(forever())];
            for task in running.iter_mut().chain(&mut waiting) {
                assert!(task.poll().is_pending());
            }
            let mut pooled = ByHand::new(urgent());
            assert!(pooled.poll().is_pending());
            let mut temporary = ByHand::new(urgent());
            assert!(temporary.poll().is_pending());
            site.making.close();
            let mut making = ByHand::new(urgent());
            assert!(making.poll().is_pending());
            drop(runtime);

            let killed = |outcome| matches!(outcome, Poll::Ready(Err(TaskError::Killed)));
            let cancelled = |outcome| matches!(outcome, Poll::Ready(Err(TaskError::Cancelled)));
            assert_eq!(manager.phase(), Phase::Killed);
            if !dropped {
                for task in &mut running {
                    assert!(task.wakes() > 0 && cancelled(task.poll()));
                }
                for task in &mut waiting {
                    assert!(task.wakes() > 0 && killed(task.poll()));
                }
                assert!(pooled.wakes() > 0 && cancelled(pooled.poll()));
                assert!(temporary.wakes() > 0 && cancelled(temporary.poll()));
                site.making.open();
                assert!(killed(making.poll()), "its resource comes too late");
            }
            drop((running, waiting, pooled, temporary, making));
            assert_complete(&block_on(manager.join()));
            site.kit.assert_all_destroyed_once();
        });
    }
}

#[test]
fn a_manager_that_is_being_built_ends_with_its_runtime() {
    within(LIMIT, || {
        for kind in Kind::ALL {
            let runtime = kind.runtime();
            let (kit, valve) = (Kit::new(), Valve::new());
            let create = {
                let (kit, valve) = (kit.clone(), valve.clone());
                move || {
                    let (kit, valve) = (kit.clone(), valve.clone());
                    let first = kit.counts().calls == 0;
                    let created = kit.create();
                    async move {
                        if !first {
                            valve.pass().await;
                        }
                        created
                    }
                }
            };
            let destroy = kit.clone();
            let config = AsyncConfig::new(create)
                .on_destroy(move |res| std::future::ready(destroy.destroy(res)))
                .worker_count(1)
                .resource_pool_size(1);
            let mut new = ByHand::new(AsyncTaskManager::new(config));
            runtime.block_on(async {
                assert!(new.poll().is_pending());
                valve.await_arrivals(1).await;
            });
            drop(runtime);
            let Poll::Ready(Err(error)) = new.poll() else { panic!("it neither works nor waits") };
            assert!(matches!(error, BuildError::CreatePanicked(_)), "{error:?}");
            assert_eq!(kit.destroyed(), 1, "the one that was made; the other one never was");
        }
    });
}

/// Opens a gate when its manager is killed.
struct OnKill(Gate);

impl Observer for OnKill {
    fn on_event(&self, event: &Event<'_>) {
        if let Event::PhaseChanged { phase: Phase::Killed, .. } = event {
            self.0.open();
        }
    }
}

// Promise 8: a runtime of several threads may poll a worker once more while it shuts down. That worker made its
// resource, found the manager killed and left in order, and since nobody had failed, `new` gave a killed manager out.
#[test]
fn a_manager_whose_runtime_ends_while_a_resource_is_made_is_not_built() {
    within(LIMIT, || {
        let runtime = Kind::MultiThread.runtime();
        let (kit, killed) = (Kit::new(), Gate::new());
        let create = {
            let (kit, killed) = (kit.clone(), killed.clone());
            move || {
                let (kit, killed) = (kit.clone(), killed.clone());
                async move {
                    killed.wait(); // on the runtime's thread, so that this poll outlasts the kill
                    kit.create()
                }
            }
        };
        let destroy = kit.clone();
        let config = AsyncConfig::new(create)
            .on_destroy(move |res| std::future::ready(destroy.destroy(res)))
            .worker_count(1)
            .resource_pool_size(0)
            .observer(OnKill(killed.clone()));
        let mut new = ByHand::new(AsyncTaskManager::new(config));
        runtime.block_on(async { assert!(new.poll().is_pending()) });
        killed.await_arrivals(1);
        drop(runtime);
        let Poll::Ready(built) = new.poll() else { panic!("it waits for a runtime that is gone") };
        assert!(matches!(built, Err(BuildError::CreatePanicked(_))), "{built:?}");
        kit.assert_all_destroyed_once();
    });
}

#[test]
fn a_manager_without_a_runtime_says_what_it_needs() {
    within(LIMIT, || {
        let kit = Kit::new();
        let text_of = |built: Poll<Result<Manager, BuildError<Fault>>>| match built {
            Poll::Ready(Err(error @ BuildError::NoRuntime(_))) => error.to_string(),
            other => panic!("{other:?}"),
        };
        let text = text_of(ByHand::new(AsyncTaskManager::new(config(&kit, 1))).poll());
        assert!(text.contains("tokio runtime") && text.contains("#[tokio::main]"), "{text}");
        let timeless = Builder::new_current_thread().build().unwrap();
        let text = timeless.block_on(async {
            text_of(ByHand::new(AsyncTaskManager::new(config(&kit, 1))).poll())
        });
        assert!(text.contains("enable_time"), "{text}");
        assert_eq!(kit.counts().calls, 0, "nothing was made");
    });
}

#[test]
fn a_manager_is_used_from_threads_and_other_runtimes() {
    within(LIMIT, || {
        for kind in Kind::ALL {
            let runtime = kind.runtime();
            let (manager, kit) = runtime.block_on(manager(2));
            let stop = Valve::new();
            let driver = {
                let stop = stop.clone();
                thread::spawn(move || {
                    runtime.block_on(stop.pass()); // so that a current-thread runtime runs
                    runtime
                })
            };
            // A plain thread.
            let task = || {
                manager.task(async move |_: &TaskContext, res: &mut Res| {
                    tokio::time::sleep(Duration::from_nanos(1)).await; // in the manager's runtime
                    Ok(res.id())
                })
            };
            assert!(task().submit().wait().unwrap() > 0);
            assert!(task().submit().wait_timeout(LIMIT).expect("in time").unwrap() > 0);
            assert!(block_on(task().submit()).unwrap() > 0);
            assert!(task().try_submit().unwrap().wait().unwrap() > 0);
            let (send, receive) = channel();
            task().on_complete(move |outcome| send.send(outcome.is_ok()).expect("heard"));
            assert!(receive.recv_timeout(LIMIT).unwrap());
            // A future that needs no runtime is awaited anywhere.
            let mut uses = 0;
            let plain = async |_: &TaskContext, _: &mut Res| {
                pend_once().await;
                uses += 1;
                Ok(uses)
            };
            assert_eq!(block_on(manager.queue_task(plain)).unwrap(), 1);
            block_on(manager.run_task(async |_, _| Ok(pend_once().await))).unwrap();
            // Another runtime, whose own timers run there.
            let other = Kind::CurrentThread.runtime();
            other.block_on(async {
                let slept = manager
                    .queue_task(async |cx, _| Ok(cx.sleep_async(Duration::from_nanos(1)).await));
                assert_eq!(slept.await.unwrap(), Ok(()));
                assert!(task().submit().await.unwrap() > 0);
                let late = manager.task(async |_, _| Ok(forever().await));
                let outcome = late.timeout(Duration::from_millis(1)).await;
                assert!(matches!(outcome, Err(TaskError::TimedOut)), "{outcome:?}");
                end(&manager, &kit).await;
            });
            stop.open();
            drop(driver.join().unwrap());
        }
    });
}

#[test]
fn callers_of_a_local_set_keep_what_is_not_send() {
    on_every_runtime(|| async {
        let (manager, kit) = manager(1).await;
        let local = LocalSet::new();
        local
            .run_until(async {
                let tasks: Vec<_> = (0..8)
                    .map(|_| {
                        let manager = manager.clone();
                        tokio::task::spawn_local(async move {
                            let mine = Rc::new(7);
                            manager
                                .queue_task(async |_, _| {
                                    let mine = Rc::clone(&mine);
                                    yield_now().await;
                                    Ok(*mine)
                                })
                                .await
                        })
                    })
                    .collect();
                for task in tasks {
                    assert_eq!(task.await.unwrap().unwrap(), 7);
                }
            })
            .await;
        end(&manager, &kit).await;
    });
}

#[test]
fn handles_of_a_manager_of_threads_are_awaited_beside_it() {
    on_every_runtime(|| async {
        let kit = Kit::new();
        let threads = TaskManager::new(kit.config(2)).unwrap();
        let (manager, slots) = manager(2).await;
        for _ in 0..20 {
            let blocking = threads.task(|_, res: &mut Res| Ok(res.is_at_home())).submit();
            let inside = threads.clone();
            let both = manager.queue_task(async |_, _| {
                let nested = inside.task(|_, res: &mut Res| Ok(res.is_at_home())).submit();
                nested.await.map_err(|_| Fault::Own)
            });
            let (blocking, both) = tokio::join!(blocking, both);
            assert!(blocking.unwrap() && both.unwrap());
        }
        end(&manager, &slots).await;
        crate::support::end(&threads, &kit);
    });
}

// Promise 13: a manager that nobody holds stops by itself, wherever its last clone is dropped.
#[test]
fn a_manager_stops_when_its_last_clone_is_dropped_on_a_plain_thread() {
    on_every_runtime(|| async {
        let (manager, kit) = manager(2).await;
        let last = manager.task(async move |_: &TaskContext, _: &mut Res| Ok(pend_once().await));
        let last = last.submit();
        thread::spawn(move || drop(manager)).join().unwrap();
        last.await.unwrap();
        while kit.live() > 0 {
            yield_now().await;
        }
        kit.assert_all_destroyed_once();
    });
}
