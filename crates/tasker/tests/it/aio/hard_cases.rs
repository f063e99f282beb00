//! Cases of async managers that were wrong once: each test tells what went wrong. Then what held, but barely.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use tasker::{
    AsyncConfig, AsyncTaskManager, BuildError, Event, NoopLogger, Observer, Phase, TaskContext,
    TaskError, TaskStatus,
};
use tokio::time::{Instant, advance, sleep, timeout};

use super::stage::{
    ByHand, Config, Handle, Kind, Manager, Outcome, Valve, build, config, end, forever, manager,
    occupy, on_every_runtime, paused, pend_once, settle, since, still,
};
use crate::support::{
    Fault, Gate, Kit, LIMIT, Recorder, Res, What, assert_complete, block_on, eventually, within,
};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const MOMENT: Duration = Duration::from_nanos(1);

/// A task that does nothing, to be submitted.
fn nothing(manager: &Manager) -> Handle {
    manager.task(async move |_: &TaskContext, _: &mut Res| Ok(())).submit()
}

/// Resources are validated before each use; that takes so long.
fn validated(config: Config, takes: Duration) -> Config {
    let config = config.validate(move |_| {
        Box::pin(async move {
            sleep(takes).await;
            true
        })
    });
    config.validate_after(Duration::ZERO)
}

// Promise 1: a worker that came to rest could find that the task which waited for it had expired. That let in
// who waited for room, and an order for this worker, which nobody carried out: the next task hung.
#[test]
fn a_task_that_waits_for_room_is_served_when_the_one_before_it_expires() {
    const CHECK: Duration = Duration::from_millis(10);
    for within in [9, 10, 11] {
        paused(move || async move {
            let kit = Kit::new();
            let config = config(&kit, 1).queue_capacity(1).validate_after(Duration::ZERO);
            let manager = build(config.validate(|_| {
                Box::pin(async {
                    // Time passes, and the timekeeper has no turn before the worker looks at its clock.
                    let mut passes = pin!(advance(CHECK));
                    let _ = passes.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                    true
                })
            }));
            let manager = manager.await;
            let first = manager.task(async move |_: &TaskContext, _: &mut Res| Ok(()));
            let first = first.start_within(Duration::from_millis(within)).submit();
            let second = nothing(&manager);
            let served = timeout(HOUR, async { (first.await, second.await) }).await;
            let (first, second) = served.expect("the task that waited for room is served");
            assert_eq!(first.is_err(), within <= 10, "{first:?}");
            assert!(matches!(first, Ok(()) | Err(TaskError::Expired)), "{first:?}");
            second.unwrap();
            end(&manager, &kit).await;
        });
    }
}

// Promises 1 and 10: where a stop cannot make a resource, it ends what waits. A future that was dropped at that
// very moment found its claim nowhere, and panicked with the manager's lock in its hands.
#[test]
fn a_future_can_be_dropped_while_a_stop_without_resources_ends_it() {
    within(LIMIT, || {
        let runtime = Kind::MultiThread.runtime();
        for _ in 0..10 {
            let (kit, turn, making) = (Kit::new(), Arc::new(AtomicUsize::new(0)), Valve::new());
            making.open();
            let (create, tried, gate) = (kit.clone(), Arc::clone(&turn), making.clone());
            let config = AsyncConfig::new(move || {
                let (kit, tried, gate) = (create.clone(), Arc::clone(&tried), gate.clone());
                async move {
                    gate.pass().await;
                    tried.fetch_add(1, Ordering::SeqCst);
                    kit.create()
                }
            });
            let destroy = kit.clone();
            let config = config
                .on_destroy(move |res| std::future::ready(destroy.destroy(res)))
                .check_health(|fault| *fault != Fault::Sick)
                .worker_count(1)
                .max_worker_count(1)
                .resource_pool_size(0)
                .max_retries(0)
                .logger(NoopLogger);
            let manager = runtime.block_on(build(config));
            kit.break_down();
            making.close();
            let sick = manager.task(async move |_: &TaskContext, _: &mut Res| Err(Fault::Sick));
            let sick: Outcome = runtime.block_on(sick.submit());
            assert!(sick.is_err());
            let mut waiting = Vec::new();
            for _ in 0..300 {
                let task = manager.task(async move |_: &TaskContext, _: &mut Res| Ok(()));
                let mut task = ByHand::new(task.into_future());
                assert!(task.poll().is_pending());
                waiting.push(task);
            }
            let stopped = manager.clone();
            let stop = runtime.spawn(async move { stopped.stop().await });
            eventually("the stop begins", || manager.phase() == Phase::Stopping);
            making.open();
            for task in waiting {
                if task.wakes() > 0 {
                    continue; // it has ended
                }
                // The next to end: the worker ends one after each attempt, and this one goes just then.
                let seen = turn.load(Ordering::SeqCst);
                while turn.load(Ordering::SeqCst) == seen && task.wakes() == 0 {
                    std::hint::spin_loop();
                }
                (0..fastrand::u32(..200)).for_each(|_| std::hint::spin_loop());
                drop(task);
            }
            let report = runtime.block_on(stop).unwrap().unwrap();
            assert_complete(&report);
            assert_eq!(report.accepted, 301);
            kit.assert_all_destroyed_once();
        }
    });
}

// Promise 1: a worker that was spawned and never polled did not know yet that it was part of a manager being
// built, nor did a steward that it had to leave: `new` hung when its runtime went away that early.
#[test]
fn a_manager_whose_runtime_goes_away_before_its_workers_begin_is_not_built() {
    within(LIMIT, || {
        for pool in [0, 2] {
            let (runtime, kit) = (Kind::CurrentThread.runtime(), Kit::new());
            let config = config(&kit, 2).resource_pool_size(pool);
            let mut new = Box::pin(AsyncTaskManager::new(config));
            {
                let _entered = runtime.enter(); // and nobody drives it
                let poll = new.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                assert!(poll.is_pending());
            }
            drop(runtime);
            let error = block_on(new).expect_err("nobody is there to build it");
            assert!(matches!(error, BuildError::CreatePanicked(_)), "{error:?}");
            assert_eq!(kit.counts().calls, 0, "nothing was made");
        }
    });
}

/// Calls a closure when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        self.0();
    }
}

// Promise 1, small print: a closure is dropped before its outcome is known. A task that was spawned and never
// polled was dropped the other way round: first its callback was called, or its handle answered.
#[test]
fn the_closure_of_a_task_that_was_never_polled_is_dropped_before_its_outcome_is_known() {
    within(LIMIT, || {
        let runtime = Kind::CurrentThread.runtime();
        let (manager, kit) = runtime.block_on(manager(1));
        let log = Arc::new(Mutex::new(Vec::new()));
        let note = |words: &'static str| {
            let log = Arc::clone(&log);
            move || log.lock().unwrap().push(words)
        };
        let capture = OnDrop(note("the closure is dropped"));
        let task = manager.task(async move |_: &TaskContext, _: &mut Res| {
            let _ = &capture;
            Ok(())
        });
        let tell = note("the callback is called");
        task.on_complete(move |outcome| {
            assert!(matches!(outcome, Err(TaskError::Killed)), "{outcome:?}");
            tell();
        });

        let handle: Arc<OnceLock<Handle>> = Arc::default();
        let (early, seen) = (Arc::new(AtomicBool::new(false)), Arc::clone(&handle));
        let answered = Arc::clone(&early);
        let capture = OnDrop(move || {
            let finished = seen.get().expect("the handle is here").is_finished();
            answered.store(finished, Ordering::SeqCst);
        });
        let task = manager.task(async move |_: &TaskContext, _: &mut Res| {
            let _ = &capture;
            Ok(())
        });
        assert!(handle.set(task.submit()).is_ok());
        drop(runtime);
        assert_eq!(*log.lock().unwrap(), ["the closure is dropped", "the callback is called"]);
        assert!(handle.get().unwrap().is_finished());
        assert!(!early.load(Ordering::SeqCst), "its handle was answered first");
        assert_complete(&block_on(manager.join()));
        kit.assert_all_destroyed_once();
    });
}

// Promise 10: whoever joins returns after every callback. A task that was never polled signed off before it was
// dropped, so that `join` returned while the last callbacks were still to be called.
#[test]
fn a_join_returns_after_the_callbacks_of_tasks_that_were_never_polled() {
    within(LIMIT, || {
        let runtime = Kind::CurrentThread.runtime();
        let (manager, kit) = runtime.block_on(manager(1));
        let joined = manager.clone();
        let join: Pin<Box<dyn Future<Output = ()> + Send>> =
            Box::pin(async move { drop(joined.join().await) });
        let join = Arc::new(Mutex::new(ByHand::boxed(join)));
        let (called, early) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        for _ in 0..10 {
            let (join, called, early) =
                (Arc::clone(&join), Arc::clone(&called), Arc::clone(&early));
            let task = manager.task(async move |_: &TaskContext, _: &mut Res| Ok(()));
            task.on_complete(move |_| {
                called.fetch_add(1, Ordering::SeqCst);
                // From another thread: inside a callback it would not wait.
                let look = move || {
                    if early.load(Ordering::SeqCst) == 0 && join.lock().unwrap().poll().is_ready() {
                        early.store(1, Ordering::SeqCst);
                    }
                };
                thread::spawn(look).join().unwrap();
            });
        }
        drop(runtime);
        assert_eq!(called.load(Ordering::SeqCst), 10);
        assert_eq!(early.load(Ordering::SeqCst), 0, "it returned before a callback did");
        assert!(join.lock().unwrap().poll().is_ready());
        kit.assert_all_destroyed_once();
    });
}

// Promises 1 and 12: a task that was cancelled, and whose runtime went away before its future could learn that,
// was counted as cancelled and its handle said `Killed`.
#[test]
fn a_handle_says_what_the_report_says_when_the_runtime_goes_away() {
    within(LIMIT, || {
        for polled in [false, true] {
            let runtime = Kind::CurrentThread.runtime();
            let (manager, kit) = runtime.block_on(manager(1));
            manager.pause();
            let handle = nothing(&manager);
            if polled {
                runtime.block_on(pend_once());
            }
            handle.cancel();
            drop(runtime);
            let report = block_on(manager.join());
            assert_complete(&report);
            assert_eq!((report.cancelled, report.dropped), (1, 0), "{report}");
            let outcome = block_on(handle);
            assert!(matches!(outcome, Err(TaskError::Cancelled)), "{polled}: {outcome:?}");
            kit.assert_all_destroyed_once();
        }
    });
}

/// A waker whose end panics.
struct Grenade;

impl Wake for Grenade {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Grenade {
    fn drop(&mut self) {
        assert!(thread::panicking(), "a waker is hard to drop");
    }
}

/// Polls with a waker that the future is the last to hold, if it keeps it.
fn arm<F: Future + ?Sized>(future: Pin<&mut F>) {
    let waker = Waker::from(Arc::new(Grenade));
    assert!(future.poll(&mut Context::from_waker(&waker)).is_pending(), "it keeps the waker");
}

/// Polls with a waker that does nothing; fails if the waker from before panics.
fn replace<F: Future + ?Sized>(future: Pin<&mut F>) {
    let poll = || future.poll(&mut Context::from_waker(Waker::noop())).is_pending();
    let pending = catch_unwind(AssertUnwindSafe(poll));
    assert!(pending.expect("the poll does not panic"), "and it waits on");
}

// Promise 8: a waker is somebody else's code, and its drop may panic. That went through the manager, and with it
// what the poll or the drop of the future had still to do: an outcome was not told, a resource was lost.
#[test]
fn a_waker_whose_drop_panics_harms_nobody_else() {
    paused(|| async {
        let (kit, seen) = (Kit::new(), Recorder::new());
        let manager = build(config(&kit, 1).observer(seen.clone())).await;
        // What a future waits with while it runs.
        let mut running = pin!(manager.queue_task(async |_, _| Ok(forever().await)));
        arm(running.as_mut());
        replace(running.as_mut());
        // What it waits with in a lane; and dropped while it does.
        let mut waiting = Box::pin(manager.queue_task(async |_, _| Ok(())));
        arm(waiting.as_mut());
        replace(waiting.as_mut());
        arm(waiting.as_mut());
        catch_unwind(AssertUnwindSafe(|| drop(waiting))).expect("the drop does not panic");
        let finished = |what: &What| matches!(what, What::TaskFinished { .. });
        assert_eq!(seen.count(finished), 1, "its end is told");
        // What a handle waits with.
        let mut handle = pin!(nothing(&manager));
        arm(handle.as_mut());
        replace(handle.as_mut());
        // What a task listens with.
        let listens = manager.run_task(async |cx, _| {
            let token = cx.token();
            let mut cancelled = pin!(token.cancelled());
            arm(cancelled.as_mut());
            replace(cancelled.as_mut());
            arm(cancelled.as_mut());
            catch_unwind(AssertUnwindSafe(|| cancelled.set(token.cancelled())))
                .map_err(|_| Fault::Own)
        });
        listens.await.expect("its own future drops without a panic");
        let report = {
            let mut kill = pin!(manager.kill());
            assert!(kill.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            assert!(matches!(running.await, Err(TaskError::Cancelled)));
            kill.await.unwrap()
        };
        assert!(matches!(handle.await, Err(TaskError::Killed)));
        assert_complete(&report);
        kit.assert_all_destroyed_once();
    });
}

// Promise 11: the limit of a bounded shutdown was a timer of the manager's runtime, also where it was awaited in
// another one. If nobody drove the first, the limit never passed.
#[test]
fn a_bounded_shutdown_returns_although_nobody_drives_the_managers_runtime() {
    within(LIMIT, || {
        for kills in [false, true] {
            let runtime = Kind::CurrentThread.runtime();
            let (manager, kit) = runtime.block_on(manager(1));
            still().block_on(async {
                let bounded = async {
                    match kills {
                        false => manager.stop_within(SECOND).await,
                        true => manager.kill_within(SECOND).await,
                    }
                };
                let report = timeout(HOUR, bounded).await.expect("its limit passes").unwrap();
                assert_eq!(report.resources_destroyed, 0, "nobody does anything: {report}");
            });
            drop(runtime);
            assert_complete(&block_on(manager.join()));
            kit.assert_all_destroyed_once();
        }
    });
}

// Promise 12: a task whose manager was killed after it got its resource and before it was polled was told as
// one that had started.
#[test]
fn a_task_that_a_kill_keeps_from_beginning_has_not_started() {
    paused(|| async {
        let (kit, seen) = (Kit::new(), Recorder::new());
        let manager = build(config(&kit, 1).observer(seen.clone())).await;
        let begun = Arc::new(AtomicBool::new(false));
        let begins = Arc::clone(&begun);
        let task = manager.task(async move |_: &TaskContext, _: &mut Res| {
            begins.store(true, Ordering::SeqCst);
            Ok(())
        });
        let handle = task.submit();
        assert_eq!(handle.status(), TaskStatus::Running { attempt: 1 }, "it has its resource");
        let report = manager.kill().await.unwrap();
        assert_complete(&report);
        assert!(handle.await.is_err());
        assert!(!begun.load(Ordering::SeqCst));
        assert_eq!(seen.count(|what| matches!(what, What::TaskStarted { .. })), 0);
        kit.assert_all_destroyed_once();
    });
}

// Promise 9: the hooks were polled in the context of whoever awaited the `run_task`. On a plain thread they
// found no runtime: what they made with its timers or sockets panicked, and a sound resource was replaced.
#[test]
fn a_run_task_on_a_plain_thread_makes_and_validates_in_the_managers_runtime() {
    within(LIMIT, || {
        let (runtime, kit) = (Kind::MultiThread.runtime(), Kit::new());
        let (create, destroy) = (kit.clone(), kit.clone());
        let create = move || {
            let kit = create.clone();
            async move {
                sleep(MOMENT).await;
                kit.create()
            }
        };
        let config = AsyncConfig::new(create)
            .on_destroy(move |res| std::future::ready(destroy.destroy(res)))
            .worker_count(1)
            .max_worker_count(1)
            .resource_pool_size(1);
        let manager = runtime.block_on(build(validated(config, MOMENT)));
        let (valve, busy) = runtime.block_on(occupy(&manager, 1));
        let urgent = || manager.run_task(async |_, res: &mut Res| Ok(res.id()));
        let pooled = block_on(urgent()).expect("it is validated");
        assert_eq!(block_on(urgent()).unwrap(), pooled, "it was sound");
        assert_eq!(kit.created(), 2);

        let (taken, held) = (Valve::new(), Valve::new());
        let holds = runtime.spawn({
            let (manager, taken, held) = (manager.clone(), taken.clone(), held.clone());
            async move {
                let holds = manager.run_task(async |_, _| {
                    taken.open();
                    Ok(held.pass().await)
                });
                holds.await
            }
        });
        block_on(taken.pass());
        let temporary = block_on(urgent()).expect("it is made");
        assert_eq!((temporary, kit.created()), (3, 3), "the pooled one was in use");
        held.open();
        valve.open();
        block_on(holds).unwrap().unwrap();
        for handle in busy {
            block_on(handle).unwrap();
        }
        runtime.block_on(end(&manager, &kit));
    });
}

// Small print: a use is an attempt that has begun. A resource that was granted to a future which was dropped
// before it began counted as used, and was replaced for nothing.
#[test]
fn a_resource_that_was_granted_and_never_used_is_not_worn() {
    paused(|| async {
        let kit = Kit::new();
        let manager = build(config(&kit, 1).max_uses(1)).await;
        for used in 1..=10 {
            let first = nothing(&manager); // has the only resource
            let mut second = ByHand::new(manager.queue_task(async |_, _| Ok(())));
            assert!(second.poll().is_pending());
            first.await.unwrap();
            settle().await;
            let stats = manager.stats();
            assert_eq!((stats.running_tasks, stats.queued_tasks), (1, 0), "it was granted");
            drop(second);
            settle().await;
            assert_eq!(kit.created(), used + 1, "one for each task that ran, and the next");
        }
        end(&manager, &kit).await;
    });
}

// Promise 11: a backend that did not answer held a kill up, and with it everybody who waited for the end.
#[test]
fn a_kill_does_not_wait_for_hooks_that_hang() {
    for creates in [false, true] {
        paused(move || async move {
            let kit = Kit::new();
            let (hang, alive) = (Arc::new(AtomicBool::new(false)), Arc::new(()));
            let (create, hangs, lives) = (kit.clone(), Arc::clone(&hang), Arc::clone(&alive));
            let config = AsyncConfig::new(move || {
                let made = if hangs.load(Ordering::SeqCst) { None } else { Some(create.create()) };
                let lives = Arc::clone(&lives);
                async move {
                    let Some(made) = made else {
                        forever().await;
                        drop(lives);
                        unreachable!("it hangs");
                    };
                    made
                }
            });
            let lives = Arc::clone(&alive);
            let destroy = kit.clone();
            let config = config
                .on_destroy(move |res| std::future::ready(destroy.destroy(res)))
                .validate(move |_| {
                    let lives = Arc::clone(&lives);
                    Box::pin(async move {
                        forever().await;
                        drop(lives);
                        true
                    })
                })
                .check_health(|fault| *fault != Fault::Sick)
                .worker_count(1)
                .max_worker_count(1)
                .resource_pool_size(0)
                .max_retries(0);
            let manager = build(config).await;
            hang.store(true, Ordering::SeqCst);
            // Condemned it is to be made anew; interrupted it is to be validated.
            if creates {
                let sick = manager.task(async |_, _| Err::<(), _>(Fault::Sick)).await;
                assert!(sick.is_err());
            } else {
                let late = manager.task(async |_, _| Ok(forever().await)).timeout(SECOND).await;
                assert!(late.is_err());
            }
            settle().await;
            let hanging = || Arc::strong_count(&alive) - 3;
            assert_eq!(hanging(), 1, "the hook hangs");
            let waits = nothing(&manager);
            let report = timeout(HOUR, manager.kill()).await.expect("it does not wait").unwrap();
            assert_eq!(hanging(), 0, "and the future of the hook is dropped");
            assert!(matches!(waits.await, Err(TaskError::Killed)));
            assert_complete(&report);
            kit.assert_all_destroyed_once();
        });
    }
}

// Promise 3: who gave the building of a manager up left the futures of `on_create` behind that did not end.
#[test]
fn a_manager_that_is_given_up_while_it_is_built_leaves_no_creation_behind() {
    for workers in [1, 3] {
        paused(move || async move {
            let alive = Arc::new(());
            let lives = Arc::clone(&alive);
            let config = AsyncConfig::<(), Fault>::new(move || {
                let lives = Arc::clone(&lives);
                async move {
                    forever().await;
                    drop(lives);
                    Ok(())
                }
            });
            let new = AsyncTaskManager::new(config.worker_count(workers));
            assert!(timeout(SECOND, new).await.is_err());
            settle().await;
            assert_eq!(Arc::strong_count(&alive), 1, "the futures and the hook are gone");
            let left = tokio::runtime::Handle::current().metrics().num_alive_tasks();
            assert_eq!(left, 0, "and so is everybody else");
        });
    }
}

// Promise 17: a submitted task that got a resource at once counted as started at its submission, so that its
// timeout could end it before it was polled.
#[test]
fn the_time_of_a_submitted_task_begins_when_it_is_polled() {
    const LATE: Duration = Duration::from_millis(20);
    paused(|| async {
        let (manager, kit) = manager(1).await;
        for busy in [false, true] {
            // Another task holds the runtime's only thread up, or it has the resource.
            let first = busy.then(|| nothing(&manager));
            let task = manager.task(async move |cx: &TaskContext, _: &mut Res| {
                let begun = Instant::now();
                sleep(LATE / 2).await;
                Ok((begun, cx.deadline()))
            });
            let handle = task.timeout(LATE).submit();
            advance(SECOND).await;
            let (begun, deadline) = handle.await.expect("its time began when it was polled");
            assert_eq!(deadline, Some((begun + LATE).into_std()));
            if let Some(first) = first {
                first.await.unwrap();
            }
        }
        // As it always was: what is awaited begins when it fetches what it was granted.
        let first = nothing(&manager);
        let task = manager.task(async |cx, _| Ok((Instant::now(), cx.deadline())));
        let mut task = ByHand::new(task.timeout(LATE).into_future());
        assert!(task.poll().is_pending());
        first.await.unwrap();
        sleep(SECOND).await;
        let Poll::Ready(Ok((begun, deadline))) = task.poll() else { panic!("it has a resource") };
        assert_eq!(deadline, Some((begun + LATE).into_std()));
        drop(task);
        end(&manager, &kit).await;
    });
}

// Promise 17, beside it: one that began in time and never ends is dropped all the same.
#[test]
fn a_submitted_task_that_never_ends_is_dropped_by_its_timeout_or_a_kill() {
    for kills in [false, true] {
        paused(move || async move {
            let (manager, kit) = manager(1).await;
            let dropped = Arc::new(AtomicBool::new(false));
            let notes = Arc::clone(&dropped);
            let task = manager.task(async move |_: &TaskContext, _: &mut Res| {
                let notes = Arc::clone(&notes);
                let _guard = OnDrop(move || notes.store(true, Ordering::SeqCst));
                Ok(forever().await)
            });
            let start = Instant::now();
            let handle = task.timeout(SECOND).submit();
            if kills {
                settle().await;
                assert_complete(&manager.kill().await.unwrap());
                assert!(matches!(handle.await, Err(TaskError::Cancelled)));
                assert!(since(start) < SECOND);
                kit.assert_all_destroyed_once();
            } else {
                assert!(matches!(handle.await, Err(TaskError::TimedOut)));
                assert_eq!(since(start), SECOND);
                end(&manager, &kit).await;
            }
            assert!(dropped.load(Ordering::SeqCst), "at its await");
        });
    }
}

/// A waker that panics when it is used, and says that it was.
#[derive(Default)]
struct Alarm(AtomicUsize);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
        panic!("a waker panics");
    }
}

/// Polls with a waker that panics; whether it was used is told by what comes back.
fn alarm<F: Future + ?Sized>(future: Pin<&mut F>) -> Arc<Alarm> {
    let alarm = Arc::new(Alarm::default());
    let waker = Waker::from(Arc::clone(&alarm));
    assert!(future.poll(&mut Context::from_waker(&waker)).is_pending());
    alarm
}

// Promise 8. This held: a waker that panics keeps nobody else from being woken.
#[test]
fn a_waker_that_panics_holds_nobody_up() {
    fn now<F: Future + ?Sized>(future: Pin<&mut F>) -> F::Output {
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("it was woken for nothing"),
        }
    }

    paused(|| async {
        let kit = Kit::new();
        let manager = build(config(&kit, 1).logger(NoopLogger)).await;
        let late = manager.task(async |_, _| Ok(forever().await)).timeout(SECOND);
        let mut late = pin!(late.into_future());
        let timed_out = alarm(late.as_mut());
        let mut waiting = pin!(manager.queue_task(async |_, _| Ok(())));
        let granted = alarm(waiting.as_mut());
        let behind = nothing(&manager);
        sleep(SECOND * 2).await;
        assert_eq!(timed_out.0.load(Ordering::SeqCst), 1);
        assert!(matches!(now(late.as_mut()), Err(TaskError::TimedOut)));
        settle().await;
        assert_eq!(granted.0.load(Ordering::SeqCst), 1);
        now(waiting.as_mut()).unwrap();
        behind.await.unwrap();

        // Two who join: the one who is woken first panics.
        let mut first = pin!(manager.join());
        let over = alarm(first.as_mut());
        let joined = manager.clone();
        let second = tokio::spawn(async move { joined.join().await });
        settle().await;
        let report = timeout(HOUR, manager.stop()).await.expect("it ends").unwrap();
        assert_complete(&report);
        let joined = timeout(HOUR, second).await.expect("the other one is woken").unwrap();
        assert_eq!(joined.accepted, 3);
        assert!(over.0.load(Ordering::SeqCst) > 0);
        assert_eq!(now(first.as_mut()).accepted, 3);
        kit.assert_all_destroyed_once();
    });
}

/// Where a manager is shut down from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Task,
    Callback,
    Creation,
    Destruction,
    Validation,
    Observer,
    Capture,
}

/// Shuts the manager down when it is told to, once, from wherever that is: it must not wait there.
#[derive(Clone)]
struct Switch(Arc<Wiring>);

struct Wiring {
    place: Place,
    kills: bool,
    manager: Mutex<Option<Manager>>,
    pressed: AtomicBool,
}

impl Switch {
    fn new(place: Place, kills: bool) -> Self {
        let (manager, pressed) = (Mutex::new(None), AtomicBool::new(false));
        Self(Arc::new(Wiring { place, kills, manager, pressed }))
    }

    fn press(&self, place: Place) {
        if place != self.0.place {
            return;
        }
        let manager = self.0.manager.lock().unwrap().take();
        if let Some(manager) = manager {
            self.0.pressed.store(true, Ordering::SeqCst);
            let ready = match self.0.kills {
                false => ByHand::new(manager.stop()).poll().is_ready(),
                true => ByHand::new(manager.kill()).poll().is_ready(),
            };
            assert!(ready, "whoever works for the manager does not wait for it");
        }
    }
}

impl Observer for Switch {
    fn on_event(&self, event: &Event<'_>) {
        if matches!(event, Event::TaskFinished { .. }) {
            self.press(Place::Observer);
        }
    }
}

// Promises 10 and 11. This held: whatever code of the user's shuts the manager down, it ends.
#[test]
fn a_manager_can_be_shut_down_from_everywhere() {
    const PLACES: [Place; 7] = [
        Place::Task,
        Place::Callback,
        Place::Creation,
        Place::Destruction,
        Place::Validation,
        Place::Observer,
        Place::Capture,
    ];
    on_every_runtime(|| async {
        for place in PLACES {
            for kills in [false, true] {
                shut_down_from(place, kills).await;
            }
        }
    });
}

async fn shut_down_from(place: Place, kills: bool) {
    let (kit, switch) = (Kit::new(), Switch::new(place, kills));
    let (create, creation) = (kit.clone(), switch.clone());
    let config = AsyncConfig::new(move || {
        creation.press(Place::Creation);
        std::future::ready(create.create())
    });
    let (destroy, destruction, validation) = (kit.clone(), switch.clone(), switch.clone());
    let config = config
        .on_destroy(move |res| {
            destruction.press(Place::Destruction);
            std::future::ready(destroy.destroy(res))
        })
        .validate(move |_| {
            validation.press(Place::Validation);
            Box::pin(std::future::ready(true))
        })
        .validate_after(Duration::ZERO)
        .check_health(|fault| *fault != Fault::Sick)
        .worker_count(2)
        .max_worker_count(2)
        .resource_pool_size(0)
        .observer(switch.clone());
    let manager = build(config).await;
    *switch.0.manager.lock().unwrap() = Some(manager.clone());
    let (inside, capture, callback) = (switch.clone(), switch.clone(), switch.clone());
    let capture = OnDrop(move || capture.press(Place::Capture));
    let task = manager.task_once(async move |_: &TaskContext, _: &mut Res| {
        let _ = &capture;
        inside.press(Place::Task);
        Err::<(), _>(Fault::Sick) // so that its resource is destroyed, and another made
    });
    task.on_complete(move |_| callback.press(Place::Callback));
    let report = manager.join().await;
    assert!(switch.0.pressed.load(Ordering::SeqCst), "{place:?}");
    assert_complete(&report);
    assert_eq!(report.accepted, 1);
    let phase = if kills { Phase::Killed } else { Phase::Stopped };
    assert_eq!(manager.phase(), phase, "{place:?}");
    kit.assert_all_destroyed_once();
}

// Promise 13. This held: the last clone may go inside the manager's own code.
#[test]
fn a_manager_stops_when_its_last_clone_is_dropped_inside_its_own_task() {
    on_every_runtime(|| async {
        for calls_back in [false, true] {
            let (manager, kit) = manager(2).await;
            let (last, released) = (manager.clone(), Valve::new());
            let waits = released.clone();
            let (send, receive) = channel();
            if calls_back {
                let task = manager
                    .task_once(async move |_: &TaskContext, _: &mut Res| Ok(waits.pass().await));
                task.on_complete(move |outcome| {
                    drop(last);
                    send.send(outcome).expect("it is listened to");
                });
            } else {
                let task = manager.task_once(async move |_: &TaskContext, _: &mut Res| {
                    waits.pass().await;
                    drop(last);
                    Ok(())
                });
                task.on_complete(move |outcome| send.send(outcome).expect("it is listened to"));
            }
            drop(manager);
            released.open();
            while kit.live() > 0 {
                pend_once().await;
            }
            kit.assert_all_destroyed_once();
            receive.recv().expect("it is called").unwrap();
        }
    });
}

// Promise 1, from odd places. This held: one manager is stopped inside a task of another, a task of a manager
// awaits another one of its own, and a thread of the runtime's waits for both kinds.
#[test]
fn tasks_may_wait_for_managers_and_threads_of_the_runtime_for_tasks() {
    on_every_runtime(|| async {
        let (outer, slots) = manager(2).await;
        let (inner, places) = manager(1).await;
        let nested = outer.queue_task(async |_, _| {
            let nested = outer.queue_task(async |_, _| Ok(3)).await;
            nested.map_err(|_| Fault::Own)
        });
        assert_eq!(nested.await.unwrap(), 3);
        let report = outer.queue_task(async |_, _| Ok(inner.stop().await.unwrap())).await.unwrap();
        assert_complete(&report);
        assert_eq!(inner.phase(), Phase::Stopped, "it waited for the end");
        places.assert_all_destroyed_once();

        let manager = outer.clone();
        let blocking = tokio::task::spawn_blocking(move || {
            nothing(&manager).wait().unwrap();
            let runtime = tokio::runtime::Handle::current();
            runtime.block_on(manager.queue_task(async |_, _| Ok(pend_once().await))).unwrap();
        });
        blocking.await.unwrap();
        end(&outer, &slots).await;
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

// Threads are told so, too. A task that waits for room may be the one whose end makes it: inside it goes above the
// capacity, and what has been let in is served by a stop.
#[test]
fn a_task_inside_a_task_never_waits_for_room() {
    paused(async || {
        let kit = Kit::new();
        let manager = build(config(&kit, 2).queue_capacity(1)).await;
        let (valve, mut busy) = occupy(&manager, 1).await;
        let (inside, gate) = (manager.clone(), Valve::new());
        let passed = gate.clone();
        let outer = manager.task_once(async move |_: &TaskContext, _: &mut Res| {
            passed.pass().await;
            Ok(inside.queue_task(async |_, _| Ok(7)).await)
        });
        let outer = outer.submit();
        gate.await_arrivals(1).await;
        busy.push(manager.task(async move |_: &TaskContext, _: &mut Res| Ok(())).submit());
        gate.open();
        settle().await;
        assert_eq!(manager.stats().queued_tasks, 2, "one more than there is room for");
        let stopping = manager.clone();
        let stop = tokio::spawn(async move { stopping.stop().await });
        settle().await;
        valve.open();
        assert_eq!(outer.await.unwrap().unwrap(), 7, "it was not turned away");
        for task in busy {
            task.await.unwrap();
        }
        assert_complete(&stop.await.unwrap().unwrap());
        kit.assert_all_destroyed_once();
    });
}

// Promise 3: what is made for the pool although nobody builds any more is destroyed. Here the building is given up by
// `on_create` itself, which then returns what it made.
#[test]
fn what_is_made_while_the_building_is_given_up_is_destroyed() {
    type Building = Option<Pin<Box<dyn Future<Output = ()> + Send>>>;
    paused(async || {
        let (kit, building) = (Kit::new(), Arc::new(Mutex::new(Building::None)));
        let (of, given_up) = (kit.clone(), Arc::clone(&building));
        let create = move || {
            let made = of.create();
            if of.created() == 2 {
                drop(given_up.lock().unwrap().take());
            }
            async move { made }
        };
        let destroy = kit.clone();
        let config = AsyncConfig::new(create)
            .on_destroy(move |res| std::future::ready(destroy.destroy(res)))
            .worker_count(1)
            .max_worker_count(1)
            .resource_pool_size(1);
        let mut future: Pin<Box<dyn Future<Output = ()> + Send>> =
            Box::pin(async move { drop(AsyncTaskManager::new(config).await) });
        let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
        *building.lock().unwrap() = Some(future);
        settle().await;
        assert!(building.lock().unwrap().is_none(), "it was given up");
        assert_eq!((kit.created(), kit.live()), (2, 0));
        kit.assert_all_destroyed_once();
    });
}

// Promise 1, and `start_within`: what a task that expires has captured may take its time when it is dropped. It was dropped
// on the timekeeper, and every other deadline waited for that.
#[test]
fn a_capture_that_takes_its_time_in_its_drop_holds_no_deadline_up() {
    struct TakesItsTime(Gate);
    impl Drop for TakesItsTime {
        fn drop(&mut self) {
            self.0.wait();
        }
    }
    within(LIMIT, || {
        let (kit, gate) = (Kit::new(), Gate::new());
        Kind::MultiThread.runtime().block_on(async {
            let manager = build(config(&kit, 1)).await;
            let (valve, _busy) = occupy(&manager, 1).await;
            let capture = TakesItsTime(gate.clone());
            let task = manager.task(async move |_: &TaskContext, _: &mut Res| {
                let _ = &capture;
                Ok(())
            });
            let first = task.start_within(MOMENT).submit();
            gate.await_arrivals(1); // the runtime's own threads go on
            let second = manager.task(async |_, _| Ok(())).start_within(MOMENT).await;
            assert!(matches!(second, Err(TaskError::Expired)), "{second:?}");
            gate.open();
            assert!(matches!(first.await, Err(TaskError::Expired)));
            valve.open();
            end(&manager, &kit).await;
        });
    });
}

// Whoever is told of a stuck task may take its time: the timekeeper does not wait for that.
#[test]
fn an_observer_that_takes_its_time_holds_no_deadline_up() {
    struct TakesItsTime(Gate);
    impl Observer for TakesItsTime {
        fn on_event(&self, event: &Event<'_>) {
            if let Event::TaskStuck { name: Some("slow"), .. } = event {
                self.0.wait();
            }
        }
    }
    within(LIMIT, || {
        let (kit, gate) = (Kit::new(), Gate::new());
        Kind::MultiThread.runtime().block_on(async {
            let observer = TakesItsTime(gate.clone());
            let config = config(&kit, 2).stuck_after(MOMENT).observer(observer);
            let manager = build(config).await;
            let valve = Valve::new();
            let passed = valve.clone();
            let slow = manager.task_once(async move |_: &TaskContext, _: &mut Res| {
                passed.pass().await;
                Ok(())
            });
            let slow = slow.name("slow").submit();
            gate.await_arrivals(1); // the runtime's own threads go on
            let late = manager.task_once(async |_, _| Ok(forever().await)).timeout(MOMENT).await;
            assert!(matches!(late, Err(TaskError::TimedOut)), "{late:?}");
            gate.open();
            valve.open();
            slow.await.unwrap();
            end(&manager, &kit).await;
        });
    });
}

// Dropping a future cancels its task's token. Whoever listens may panic: the resource goes home all the same,
// and the one that dropped it is not the one to hear of it.
#[test]
fn a_listener_that_panics_is_nothing_to_whoever_drops_a_task() {
    paused(async || {
        let kit = Kit::new();
        // The pooled one is for the urgent task, which would have to wait for another.
        let config = config(&kit, 1).resource_pool_size(1).logger(NoopLogger);
        let manager = build(config).await;
        let listening = Arc::new(Mutex::new(None));
        let keeps = Arc::clone(&listening);
        let listens = async move |cx: &TaskContext, _: &mut Res| {
            let mut cancelled: Pin<Box<dyn Future<Output = ()> + Send>> =
                Box::pin(cx.token().cancelled());
            let alarm = alarm(cancelled.as_mut());
            *keeps.lock().unwrap() = Some((cancelled, alarm));
            forever().await;
            Ok(())
        };
        for urgent in [false, true] {
            let mut task = if urgent {
                ByHand::boxed(Box::pin(manager.task(&listens).run_now())
                    as Pin<Box<dyn Future<Output = Outcome>>>)
            } else {
                ByHand::boxed(Box::pin(manager.task(&listens).into_future()) as _)
            };
            assert!(task.poll().is_pending());
            drop(task);
            let (cancelled, alarm) = listening.lock().unwrap().take().expect("it has run");
            assert_eq!(alarm.0.load(Ordering::SeqCst), 1, "urgent: {urgent}");
            drop(cancelled);
        }
        end(&manager, &kit).await;
    });
}

// Promise 9: a worker whose resource was found not sound is one that recovers, until it has another.
#[test]
fn a_worker_whose_resource_is_not_sound_counts_as_recovering() {
    paused(async || {
        let (kit, making) = (Kit::new(), Valve::new());
        making.open();
        let (of, gate, destroy) = (kit.clone(), making.clone(), kit.clone());
        let create = move || {
            let (kit, gate) = (of.clone(), gate.clone());
            async move {
                gate.pass().await;
                kit.create()
            }
        };
        let config = AsyncConfig::new(create)
            .on_destroy(move |res| std::future::ready(destroy.destroy(res)))
            .validate(|_| Box::pin(async { false }))
            .worker_count(1)
            .max_worker_count(1)
            .resource_pool_size(0);
        let manager = build(config).await;
        making.close();
        let late = manager.task(async |_, _| Ok(forever().await)).timeout(SECOND).await;
        assert!(matches!(late, Err(TaskError::TimedOut)), "{late:?}");
        making.await_arrivals(2).await;
        assert_eq!(manager.stats().recovering_workers, 1);
        making.open();
        nothing(&manager).await.unwrap();
        end(&manager, &kit).await;
    });
}
