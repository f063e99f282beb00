//! Promises 1, 4 and 11: a runner takes one submitted task after the other, and none of them is another one's matter.

use std::future::Future;
use std::panic::panic_any;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Duration;

use tasker::testing::PanicsOnDrop;
use tasker::{
    AsyncConfig, AsyncTaskManager, Event, Observer, Overflow, Priority, TaskContext, TaskError,
    TaskStatus,
};
use tokio::runtime::{Builder, Handle as Runtime};
use tokio::task::yield_now;
use tokio::time::{advance, sleep};

use super::stage::{
    Handle, Kind, Manager, Valve, build, config, end, forever, manager, occupy, on_every_runtime,
    paused, pend_once, settle, still,
};
use crate::support::{
    Fault, Gate, Kit, LIMIT, Recorder, Res, What, assert_complete, block_on, eventually, within,
};

const SECOND: Duration = Duration::from_secs(1);

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

/// Lets time pass at once, so that nobody has a turn meanwhile.
fn pass(time: Duration) {
    let _ = pin!(advance(time)).poll(&mut Context::from_waker(Waker::noop()));
}

/// Takes a second to be woken.
struct Slow;

impl Wake for Slow {
    fn wake(self: Arc<Self>) {
        pass(SECOND);
    }
}

// Whoever waits for a task is told of its end when the next one has been handed out already.
#[test]
fn a_waker_that_takes_its_time_takes_it_from_no_limit_of_the_next_task() {
    for expires in [false, true] {
        paused(move || async move {
            let (manager, kit) = manager(1).await;
            let (valve, mut busy) = occupy(&manager, 1).await;
            let mut first = pin!(busy.remove(0));
            let slow = Waker::from(Arc::new(Slow));
            assert!(first.as_mut().poll(&mut Context::from_waker(&slow)).is_pending());
            let task = manager.task(async move |_, _| Ok(sleep(SECOND / 4).await));
            let next = match expires {
                false => task.timeout(SECOND / 2),
                true => task.start_within(SECOND / 2),
            };
            let next = next.submit();
            valve.open();
            match (expires, next.await) {
                (false, Ok(())) | (true, Err(TaskError::Expired)) => {}
                (_, outcome) => panic!("expires: {expires}, {outcome:?}"),
            }
            first.await.unwrap();
            end(&manager, &kit).await;
        });
    }
}

/// So many tasks that never wait, behind one that does: their runner has to let others run before it has done all.
fn long_line(manager: &Manager, ran: &Arc<AtomicUsize>) -> Vec<Handle> {
    let task = || {
        let ran = Arc::clone(ran);
        manager.task(async move |_: &TaskContext, _: &mut Res| {
            ran.fetch_add(1, Ordering::SeqCst);
            Ok(())
        })
    };
    (0..1_000).map(|_| task().submit()).collect()
}

// It has taken the next task out of its lane by then.
#[test]
fn what_others_take_while_a_runner_lets_them_run_is_not_its_next_tasks_time() {
    paused(|| async {
        let (manager, kit) = manager(1).await;
        let (valve, _busy) = occupy(&manager, 1).await;
        let ran = Arc::new(AtomicUsize::new(0));
        let line = long_line(&manager, &ran);
        valve.open();
        while ran.load(Ordering::SeqCst) == 0 {
            yield_now().await;
        }
        while ran.load(Ordering::SeqCst) < 1_000 {
            pass(SECOND);
            yield_now().await;
        }
        for handle in line {
            handle.await.unwrap();
        }
        let metrics = manager.metrics();
        assert!(metrics.max_wait_time >= SECOND, "{metrics:?}");
        assert!(metrics.max_execution_time < SECOND, "{metrics:?}");
        end(&manager, &kit).await;
    });
}

/// A manager whose runner has run some of a long line and has taken the next one, which has not begun.
async fn amid_a_long_line(ran: &Arc<AtomicUsize>) -> (Manager, Kit, Recorder, Vec<Handle>) {
    let (kit, seen) = (Kit::new(), Recorder::new());
    let manager = build(config(&kit, 1).observer(seen.clone())).await;
    let (valve, busy) = occupy(&manager, 1).await;
    let mut handles = long_line(&manager, ran);
    handles.extend(busy);
    valve.open();
    while ran.load(Ordering::SeqCst) == 0 {
        yield_now().await;
    }
    assert!(ran.load(Ordering::SeqCst) < 1_000);
    assert_eq!(manager.stats().running_tasks, 1);
    (manager, kit, seen, handles)
}

/// Only what has begun has times.
fn assert_told(seen: &Recorder, ran: usize) {
    let begun = seen.count(|what| matches!(what, What::TaskStarted { .. }));
    let timed = seen.count(|what| matches!(what, What::TaskFinished { times: Some(_), .. }));
    let told = seen.count(|what| matches!(what, What::TaskFinished { .. }));
    assert_eq!((begun, timed, told), (ran + 1, ran + 1, 1_001));
}

// Promise 11.
#[test]
fn a_kill_while_a_runner_lets_others_run_begins_no_task() {
    paused(|| async {
        let ran = Arc::new(AtomicUsize::new(0));
        let (manager, kit, seen, handles) = amid_a_long_line(&ran).await;
        let before = ran.load(Ordering::SeqCst);
        assert_complete(&manager.kill().await.unwrap());
        assert_eq!(ran.load(Ordering::SeqCst), before);
        assert_told(&seen, before);
        let mut cancelled = 0;
        for handle in handles {
            match handle.await {
                Ok(()) | Err(TaskError::Killed) => {}
                Err(TaskError::Cancelled) => cancelled += 1, // it was handed out before the kill
                outcome => panic!("{outcome:?}"),
            }
        }
        assert!(cancelled <= 1);
        kit.assert_all_destroyed_once();
    });
}

#[test]
fn a_task_that_had_not_begun_when_its_runtime_went_has_no_times() {
    within(LIMIT, || {
        let ran = Arc::new(AtomicUsize::new(0));
        let runtime = still();
        let (manager, kit, seen, handles) = runtime.block_on(amid_a_long_line(&ran));
        drop(runtime);
        assert_complete(&Kind::CurrentThread.runtime().block_on(manager.join()));
        assert_told(&seen, ran.load(Ordering::SeqCst));
        for handle in handles {
            assert!(matches!(handle.wait(), Ok(()) | Err(TaskError::Killed)));
        }
        kit.assert_all_destroyed_once();
    });
}

#[test]
fn a_task_that_its_runtime_drops_is_told_of_with_its_times() {
    within(LIMIT, || {
        let (kit, seen) = (Kit::new(), Recorder::new());
        let runtime = still();
        let (manager, handle) = runtime.block_on(async {
            let manager = build(config(&kit, 1).observer(seen.clone())).await;
            let valve = Valve::new();
            let waits = valve.clone();
            let task = manager.task(async move |_, _| Ok(waits.pass().await)).submit();
            valve.await_arrivals(1).await;
            (manager, task)
        });
        drop(runtime);
        assert!(matches!(handle.wait(), Err(TaskError::Killed)));
        let told = seen.count(|what| matches!(what, What::TaskFinished { times: Some(_), .. }));
        assert_eq!(told, 1);
        assert_complete(&Kind::CurrentThread.runtime().block_on(manager.join()));
        kit.assert_all_destroyed_once();
    });
}

/// Cancels a task when it is told that another one has ended.
#[derive(Clone, Default)]
struct Canceller(Arc<Mutex<Option<Handle>>>);

impl Canceller {
    fn cancel(&self) {
        self.0.lock().unwrap().as_ref().expect("it was submitted before").cancel();
    }
}

impl Observer for Canceller {
    fn on_event(&self, event: &Event<'_>) {
        if matches!(event, Event::TaskFinished { name: Some("first"), .. }) {
            self.cancel();
        }
    }
}

// The worker tells of a task first, and takes the next one out of its lane afterwards, unless nobody of the user's hears
// of it.
#[test]
fn what_a_callback_or_an_observer_cancels_never_starts() {
    for observed in [false, true] {
        paused(move || async move {
            let (kit, canceller) = (Kit::new(), Canceller::default());
            let config = match observed {
                true => config(&kit, 1).observer(canceller.clone()),
                false => config(&kit, 1),
            };
            let manager = build(config).await;
            let (valve, _busy) = occupy(&manager, 1).await;
            let first = manager.task(async move |_, _| Ok(())).name("first");
            match observed {
                true => drop(first.submit()),
                false => {
                    let canceller = canceller.clone();
                    first.on_complete(move |_| canceller.cancel());
                }
            }
            let ran = Arc::new(AtomicUsize::new(0));
            let count = Arc::clone(&ran);
            let task = async move |_: &TaskContext, _: &mut Res| {
                count.fetch_add(1, Ordering::SeqCst);
                Ok(())
            };
            *canceller.0.lock().unwrap() = Some(manager.task(task).submit());
            valve.open();
            settle().await;
            // Taken out: its observer would keep the manager for ever.
            let handle = canceller.0.lock().unwrap().take().unwrap();
            assert_eq!(handle.status(), TaskStatus::Finished);
            assert_eq!(ran.load(Ordering::SeqCst), 0);
            end(&manager, &kit).await;
        });
    }
}

#[test]
fn a_runner_that_has_nothing_to_do_goes() {
    paused(|| async {
        let (manager, kit) = manager(1).await;
        let alive = || Runtime::current().metrics().num_alive_tasks();
        settle().await;
        let before = alive();
        manager.task(async move |_, _| Ok(())).submit().await.unwrap();
        settle().await;
        assert_eq!(alive(), before);
        end(&manager, &kit).await;
    });
}

// A runner that has found an order while it looked around does not rest any more. If it seemed to, nobody would see off
// what it validates, and a shutdown would never end.
#[test]
fn a_runtime_may_go_away_while_a_runner_that_was_about_to_go_validates() {
    within(LIMIT, || {
        let kit = Kit::new();
        let runtime = still();
        let (manager, handle) = runtime.block_on(async {
            let valve = Valve::new();
            let waits = valve.clone();
            let config = config(&kit, 1).validate(move |_| {
                let valve = waits.clone();
                Box::pin(async move {
                    valve.pass().await;
                    true
                })
            });
            let manager = build(config.validate_after(SECOND)).await;
            manager.task(async move |_, _| Ok(())).submit().await.unwrap();
            pass(2 * SECOND);
            let handle = manager.task(async move |_, _| Ok(())).submit();
            valve.await_arrivals(1).await;
            (manager, handle)
        });
        drop(runtime);
        assert!(matches!(handle.wait(), Err(TaskError::Killed)));
        assert_complete(&Kind::CurrentThread.runtime().block_on(manager.join()));
        kit.assert_all_destroyed_once();
    });
}

// Promise 16: it could wait for itself.
#[test]
fn a_task_that_is_submitted_inside_another_waits_for_no_room() {
    paused(|| async {
        let kit = Kit::new();
        let manager = build(config(&kit, 1).queue_capacity(1)).await;
        let (valve, busy) = occupy(&manager, 1).await;
        let (inner, handed) = (manager.clone(), Valve::new());
        let (waits, there) = (valve.clone(), handed.clone());
        let outer = manager.task(async move |_, _| {
            let fills = inner.task(async move |_, _| Ok(())).submit();
            let above = inner.task(async move |_, _| Ok(())).submit();
            waits.close();
            there.open();
            waits.pass().await;
            Ok((fills, above))
        });
        let outer = outer.submit();
        valve.open();
        handed.pass().await;
        assert_eq!(manager.stats().queued_tasks, 2, "both are in their lane");
        let stop = manager.clone();
        let stop = tokio::spawn(async move { stop.stop().await });
        settle().await;
        valve.open();
        let (fills, above) = outer.await.unwrap();
        fills.await.unwrap();
        above.await.unwrap();
        for handle in busy {
            handle.await.unwrap();
        }
        assert_complete(&stop.await.unwrap().unwrap());
        kit.assert_all_destroyed_once();
    });
}

#[test]
fn who_waits_for_room_goes_in_when_a_pause_ends() {
    paused(|| async {
        let kit = Kit::new();
        let manager = build(config(&kit, 2).queue_capacity(1)).await;
        manager.pause();
        let valve = Valve::new();
        let waits = valve.clone();
        let first = manager.task(async move |_, _| Ok(waits.pass().await)).submit();
        let second = manager.task(async move |_, _| Ok(())).submit();
        manager.resume();
        second.await.unwrap();
        valve.open();
        first.await.unwrap();
        end(&manager, &kit).await;
    });
}

/// Fails if a join returns while a callback, which waits at the gate, has not returned.
fn assert_joined_after(
    runtime: &tokio::runtime::Runtime,
    manager: &Manager,
    kit: &Kit,
    gate: &Gate,
) {
    gate.await_arrivals(1);
    let (killed, joined) = (manager.clone(), manager.clone());
    let killer = thread::spawn(move || block_on(killed.kill()));
    let join = runtime.spawn(async move { joined.join().await });
    eventually("the worker is gone", || kit.live() == 0);
    for _ in 0..1_000 {
        assert!(!join.is_finished(), "it returned before the callback did");
        thread::yield_now();
    }
    gate.open();
    assert_complete(&killer.join().unwrap().unwrap());
    assert_complete(&runtime.block_on(join).unwrap());
    kit.assert_all_destroyed_once();
}

// Promise 10: whoever takes the place of a task in a full queue tells its caller, and so does whoever keeps the time.
#[test]
fn a_join_returns_after_the_callbacks_of_tasks_that_never_began() {
    for expires in [false, true] {
        within(LIMIT, move || {
            let runtime = Kind::MultiThread.runtime();
            let kit = Kit::new();
            let config = config(&kit, 1).queue_capacity(1).overflow(Overflow::DropOldest);
            let manager = runtime.block_on(build(config));
            manager.pause();
            let gate = Gate::new();
            let held = gate.clone();
            let task = manager.task(async move |_, _| Ok(()));
            match expires {
                true => task.start_within(Duration::from_millis(1)),
                false => task,
            }
            .on_complete(move |_| held.wait());
            let other = manager.clone();
            let evicts = thread::spawn(move || {
                if !expires {
                    drop(other.task(async move |_, _| Ok(())).submit());
                }
            });
            assert_joined_after(&runtime, &manager, &kit, &gate);
            evicts.join().unwrap();
        });
    }
}

/// A task that waits at a valve and finds its resource sick; it has begun.
async fn sick(manager: &Manager) -> (Valve, Handle) {
    let valve = Valve::new();
    let waits = valve.clone();
    let task = manager.task(async move |_: &TaskContext, _: &mut Res| {
        waits.pass().await;
        Err(Fault::Sick)
    });
    let handle = task.max_retries(1).submit();
    valve.await_arrivals(1).await;
    (valve, handle)
}

#[test]
fn a_task_that_is_cancelled_before_its_retry_has_the_times_of_its_last_attempt() {
    paused(|| async {
        let (kit, seen) = (Kit::new(), Recorder::new());
        let manager = build(config(&kit, 1).observer(seen.clone())).await;
        let (valve, handle) = sick(&manager).await;
        manager.pause();
        valve.open();
        settle().await;
        assert_eq!(handle.status(), TaskStatus::Queued);
        handle.cancel();
        assert!(matches!(handle.await, Err(TaskError::Cancelled)));
        let timed = |what: &What| matches!(what, What::TaskFinished { times: Some(_), .. });
        assert_eq!(seen.count(timed), 1);
        end(&manager, &kit).await;
    });
}

#[test]
fn a_task_that_was_cancelled_is_not_counted_as_retried() {
    paused(|| async {
        let (manager, kit) = manager(1).await;
        let (valve, handle) = sick(&manager).await;
        handle.cancel();
        valve.open();
        handle.await.unwrap_err();
        assert_eq!(manager.metrics().total_tasks_retried, 0);
        end(&manager, &kit).await;
    });
}

#[test]
fn a_retry_comes_in_time_however_late_it_is() {
    paused(|| async {
        let (manager, kit) = manager(1).await;
        let task = manager.task(async move |cx: &TaskContext, _: &mut Res| {
            pass(2 * SECOND);
            if cx.attempt() == 1 { Err(Fault::Sick) } else { Ok(()) }
        });
        task.max_retries(1).start_within(SECOND).submit().await.unwrap();
        end(&manager, &kit).await;
    });
}

#[test]
fn what_a_cancelled_task_leaves_is_validated_before_it_is_used_again() {
    paused(|| async {
        let (kit, validated) = (Kit::new(), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&validated);
        let config = config(&kit, 1).validate(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            Box::pin(async { true })
        });
        let manager = build(config).await;
        let (valve, mut busy) = occupy(&manager, 1).await;
        let handle = busy.remove(0);
        handle.cancel();
        valve.open();
        let _ = handle.await;
        manager.task(async move |_, _| Ok(())).submit().await.unwrap();
        assert_eq!(validated.load(Ordering::SeqCst), 1);
        end(&manager, &kit).await;
    });
}

/// Notes when it is woken how many ends have been told.
struct Looks(Recorder, AtomicUsize);

impl Wake for Looks {
    fn wake(self: Arc<Self>) {
        let told = self.0.count(|what| matches!(what, What::TaskFinished { .. }));
        self.1.store(told, Ordering::SeqCst);
    }
}

#[test]
fn an_end_is_told_before_its_caller_hears_of_it() {
    paused(|| async {
        let (kit, seen) = (Kit::new(), Recorder::new());
        let manager = build(config(&kit, 1).observer(seen.clone())).await;
        let (valve, mut busy) = occupy(&manager, 1).await;
        let looks = Arc::new(Looks(seen, AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&looks));
        let mut handle = pin!(busy.remove(0));
        assert!(handle.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        valve.open();
        settle().await;
        assert_eq!(looks.1.load(Ordering::SeqCst), 1);
        handle.await.unwrap();
        end(&manager, &kit).await;
    });
}

// Promise 8: on every path on which a runner lets go of what a task was made of, or came to.
#[test]
fn what_panics_when_it_is_dropped_loses_no_runner() {
    paused(|| async {
        let kit = Kit::new();
        let (made, gone) = (kit.clone(), kit.clone());
        let create = move || {
            let made = made.clone();
            async move { made.create().map_err(|_| PanicsOnDrop) }
        };
        let config = AsyncConfig::new(create).on_destroy(move |res| {
            let gone = gone.destroy(res);
            async move { gone.map_err(|_| PanicsOnDrop) }
        });
        let config = config.check_health(|_| false).worker_count(1).max_worker_count(1);
        let manager = AsyncTaskManager::new(config.resource_pool_size(0)).await;
        let manager = manager.map_err(|_| "no manager").unwrap();
        // Its value, its error and its panic, which nobody wants.
        drop(manager.task(async move |_, _| Ok(PanicsOnDrop)).submit());
        drop(manager.task_once(async move |_, _| Err::<(), _>(PanicsOnDrop)).submit());
        let panics = async move |_: &TaskContext, _: &mut Res| -> Result<(), _> {
            panic_any(PanicsOnDrop);
        };
        drop(manager.task_once(panics).submit());
        // An error after which it runs again, its closure, and its future in the middle.
        let again = async move |cx: &TaskContext, _: &mut Res| match cx.attempt() {
            1 => Err(PanicsOnDrop),
            _ => Ok(7),
        };
        let again = manager.task(again).max_retries(1).submit();
        let bomb = PanicsOnDrop;
        let captured = manager.task(async move |_, _| {
            let _held = &bomb;
            Ok(8)
        });
        let captured = captured.submit();
        let cut = manager.task(async move |_, _| {
            let _held = PanicsOnDrop;
            Ok(forever().await)
        });
        let cut = cut.timeout(SECOND).submit();
        // Its callback, and what that was called with.
        let (bomb, (tell, told)) = (PanicsOnDrop, channel());
        manager.task_once(async move |_, _| Err::<(), _>(PanicsOnDrop)).on_complete(
            move |outcome| {
                let _held = bomb;
                tell.send(()).unwrap();
                drop(outcome);
            },
        );
        let outcomes = (again.await.ok(), captured.await.ok(), cut.await);
        assert!(matches!(outcomes, (Some(7), Some(8), Err(TaskError::TimedOut))));
        let last = manager.task(async move |_, _| Ok(9)).submit();
        assert_eq!(last.await.ok(), Some(9));
        told.recv().unwrap();
        let report = manager.stop().await.unwrap();
        assert_complete(&report);
        assert_eq!((report.accepted, report.completed, report.failed), (8, 4, 4));
        kit.assert_all_destroyed_once();
    });
}

#[test]
fn what_panics_when_its_runtime_drops_it_keeps_no_task_from_its_end() {
    within(LIMIT, || {
        for kind in Kind::ALL {
            let (runtime, kit) = (kind.runtime(), Kit::new());
            let (manager, handles) = runtime.block_on(async {
                let manager = build(config(&kit, 1)).await;
                let valve = Valve::new();
                let submit = |waits: Valve| {
                    let bomb = PanicsOnDrop;
                    let task = manager.task(async move |_: &TaskContext, _: &mut Res| {
                        let _held = (&bomb, PanicsOnDrop);
                        waits.pass().await;
                        Ok(())
                    });
                    task.submit()
                };
                let handles: Vec<Handle> = (0..3).map(|_| submit(valve.clone())).collect();
                valve.await_arrivals(1).await;
                (manager, handles)
            });
            drop(runtime);
            for handle in handles {
                // On another thread it may have seen the kill first.
                assert!(matches!(handle.wait(), Err(TaskError::Killed | TaskError::Cancelled)));
            }
            assert_complete(&Kind::CurrentThread.runtime().block_on(manager.join()));
            kit.assert_all_destroyed_once();
        }
    });
}

// Promise 11. Whoever keeps the time has callbacks called by a task of their own, which the runtime may drop. The end that
// it had to tell was lost with it: the task was counted as expired, and its caller heard that it was killed.
#[test]
fn the_end_of_a_task_is_told_although_the_runtime_drops_who_was_to_tell_it() {
    within(LIMIT, || {
        // Its tasks take turns with the test, so that the test goes on before that task has had one.
        let runtime = Builder::new_current_thread().enable_time().event_interval(1).build();
        let (runtime, kit) = (runtime.unwrap(), Kit::new());
        let (tell, told) = channel();
        let manager = runtime.block_on(async {
            let manager = build(config(&kit, 1)).await;
            manager.pause();
            let task = manager.task(async move |_, _| Ok(()));
            let task = task.start_within(Duration::from_millis(1));
            task.on_complete(move |outcome| tell.send(outcome).unwrap());
            while manager.stats().queued_tasks > 0 {
                yield_now().await;
            }
            manager
        });
        assert!(told.try_recv().is_err(), "it is still to be told");
        drop(runtime);
        assert!(matches!(told.recv().unwrap(), Err(TaskError::Expired)));
        let report = Kind::CurrentThread.runtime().block_on(manager.join());
        assert_complete(&report);
        assert_eq!((report.accepted, report.dropped), (1, 1), "{report}");
        kit.assert_all_destroyed_once();
    });
}
