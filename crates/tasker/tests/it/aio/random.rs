//! Promises 1, 2, 3 and 5: random programs on both kinds of runtime; whatever they do, the sums are right.

use std::future::Future;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;
use tasker::{
    Backoff, Outcome as Ended, Overflow, Priority, ShutdownReport, TaskContext, TaskError,
};
use tokio::task::yield_now;

use super::stage::{Handle, Kind, Manager, Outcome, build, config, forever, pend_once};
use crate::support::{Fault, Kit, LIMIT, Recorder, Res, What, assert_complete, within};

/// How a task's attempts go, each after so many awaits.
#[derive(Debug, Clone, Copy)]
enum Ending {
    Well,
    Own,
    Sick,
    SickOnce,
    Panics,
    PanicsInDrop,
    /// Only where something else ends it: its token, a timeout, a drop.
    UntilCancelled,
    Never,
}

/// How a task is handed over.
#[derive(Debug, Clone, Copy)]
enum Door {
    Await,
    AwaitOnce,
    Submit,
    SubmitAndCancel,
    Callback,
    Urgent,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    /// A task; dropped after so many polls if that is asked for. In its own spawned task, or awaited here.
    Task {
        ending: Ending,
        awaits: usize,
        door: Door,
        priority: Priority,
        drop_after: Option<usize>,
        aside: bool,
    },
    Yield,
    Pause,
    Resume,
    Stop,
    Kill,
    StopWithin,
}

#[derive(Debug, Clone)]
struct Program {
    kind: Kind,
    workers: usize,
    burst: usize,
    pool: usize,
    capacity: Option<(usize, Overflow)>,
    delayed_retries: bool,
    validates: Option<bool>,
    failing_creates: u64,
    callers: Vec<Vec<Step>>,
    kills: bool,
}

fn step() -> impl Strategy<Value = Step> {
    let ending = select(vec![
        Ending::Well,
        Ending::Well,
        Ending::Own,
        Ending::Sick,
        Ending::SickOnce,
        Ending::Panics,
        Ending::PanicsInDrop,
        Ending::UntilCancelled,
        Ending::Never,
    ]);
    let door = select(vec![
        Door::Await,
        Door::AwaitOnce,
        Door::Submit,
        Door::SubmitAndCancel,
        Door::Callback,
        Door::Urgent,
    ]);
    let priority = select(vec![Priority::Low, Priority::Normal, Priority::High]);
    let drop_after = proptest::option::of(0..8_usize);
    let task = (ending, 0..4_usize, door, priority, drop_after, any::<bool>());
    prop_oneof![
        40 => task.prop_map(|(ending, awaits, door, priority, drop_after, aside)| {
            Step::Task { ending, awaits, door, priority, drop_after, aside }
        }),
        10 => Just(Step::Yield),
        1 => Just(Step::Pause),
        2 => Just(Step::Resume),
        1 => Just(Step::Stop),
        1 => Just(Step::Kill),
        1 => Just(Step::StopWithin),
    ]
}

fn program() -> impl Strategy<Value = Program> {
    let overflow = select(vec![Overflow::Wait, Overflow::Reject, Overflow::DropOldest]);
    (
        select(Kind::ALL.to_vec()),
        (1..=3_usize, 0..=2_usize, 0..=2_usize),
        proptest::option::of((1..=4_usize, overflow)),
        (any::<bool>(), any::<bool>()),
        proptest::option::of(any::<bool>()),
        0..=2_u64,
        proptest::collection::vec(proptest::collection::vec(step(), 0..24), 1..=4),
    )
        .prop_map(
            |(kind, sizes, capacity, (delayed_retries, kills), validates, fails, callers)| {
                let (workers, burst, pool) = sizes;
                Program {
                    kind,
                    workers,
                    burst,
                    pool,
                    capacity,
                    delayed_retries,
                    validates,
                    failing_creates: fails,
                    callers,
                    kills,
                }
            },
        )
}

/// What became of tasks, as their callers heard it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Heard {
    completed: u64,
    failed: u64,
    cancelled: u64,
    killed: u64,
    refused: u64,
    queue_full: u64,
    /// Dropped by their callers, who cannot know whether they had been accepted.
    dropped: u64,
}

impl Heard {
    fn note(&mut self, outcome: &Outcome) {
        match outcome {
            Ok(()) => self.completed += 1,
            Err(TaskError::Cancelled) => self.cancelled += 1,
            Err(TaskError::Killed) => self.killed += 1,
            Err(TaskError::ShuttingDown) => self.refused += 1,
            Err(TaskError::QueueFull) => self.queue_full += 1,
            Err(
                TaskError::Failed(_)
                | TaskError::RetriesExhausted { .. }
                | TaskError::Panicked(_)
                | TaskError::TimedOut
                | TaskError::CreateFailed(_),
            ) => self.failed += 1,
            Err(other) => panic!("nothing in a program ends as {other:?}"),
        }
    }

    fn total(&self) -> u64 {
        let Self { completed, failed, cancelled, killed, refused, queue_full, dropped } = *self;
        completed + failed + cancelled + killed + refused + queue_full + dropped
    }
}

/// What all callers of a program share.
#[derive(Clone, Default)]
struct Ledger {
    heard: Arc<Mutex<Heard>>,
    reports: Arc<Mutex<Vec<ShutdownReport>>>,
    sent: Arc<AtomicUsize>,
    /// How many were cancelled by their handles.
    cancels: Arc<AtomicUsize>,
    /// Closures that are still there.
    closures: Arc<()>,
    /// How often closures have begun, of tasks that may only once.
    once: Arc<Mutex<Vec<Arc<AtomicUsize>>>>,
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a guard of the program panics");
    }
}

async fn attempt(
    ending: Ending,
    awaits: usize,
    cx: &TaskContext,
    res: &mut Res,
) -> Result<(), Fault> {
    let bomb = matches!(ending, Ending::PanicsInDrop).then_some(Bomb);
    for _ in 0..awaits {
        pend_once().await;
    }
    std::mem::forget(bomb); // it goes off only where the future is dropped in the middle
    res.work()?;
    match ending {
        Ending::Well | Ending::PanicsInDrop => Ok(()),
        Ending::Own => Err(Fault::Own),
        Ending::Sick => Err(Fault::Sick),
        Ending::SickOnce if cx.attempt() == 1 => Err(Fault::Sick),
        Ending::SickOnce => Ok(()),
        Ending::Panics => panic!("a task of the program panics"),
        Ending::UntilCancelled => {
            cx.cancelled().await;
            Err(Fault::Own)
        }
        Ending::Never => Ok(forever().await),
    }
}

/// Polls a future a number of times, at most, and drops it then.
async fn poll_at_most<T>(
    mut future: Pin<Box<dyn Future<Output = T> + Send>>,
    polls: Option<usize>,
) -> Option<T> {
    let Some(polls) = polls else { return Some(future.await) };
    for _ in 0..polls {
        let polled = std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
        if let Poll::Ready(value) = polled {
            return Some(value);
        }
        yield_now().await;
    }
    None
}

async fn send(manager: Manager, ledger: Ledger, step: Step) {
    let Step::Task { ending, awaits, door, priority, drop_after, .. } = step else {
        unreachable!("only tasks are sent");
    };
    ledger.sent.fetch_add(1, Ordering::SeqCst);
    let runs = Arc::new(AtomicUsize::new(0));
    if matches!(door, Door::AwaitOnce | Door::Urgent) {
        ledger.once.lock().unwrap().push(Arc::clone(&runs));
    }
    let alive = Arc::clone(&ledger.closures);
    let work = async move |cx: &TaskContext, res: &mut Res| {
        let _ = &alive;
        runs.fetch_add(1, Ordering::SeqCst);
        attempt(ending, awaits, cx, res).await
    };
    // What nothing else ends is timed out, or dropped by whoever awaits it.
    let limit = Duration::from_millis(1);
    let endless = matches!(ending, Ending::UntilCancelled | Ending::Never);
    let future: Pin<Box<dyn Future<Output = Outcome> + Send>> = match door {
        Door::Await => {
            let mut task = manager.task(work).priority(priority);
            if endless {
                task = task.timeout(limit);
            }
            Box::pin(task.into_future())
        }
        Door::AwaitOnce => {
            let mut task = manager.task_once(work).priority(priority);
            if endless {
                task = task.timeout(limit);
            }
            Box::pin(task.into_future())
        }
        Door::Urgent => {
            let inner = manager.clone();
            Box::pin(async move { inner.run_task(work).await })
        }
        Door::Submit | Door::SubmitAndCancel => {
            let mut task = manager.task(work).priority(priority);
            if endless {
                task = task.timeout(limit);
            }
            let handle: Handle = task.submit();
            if matches!(door, Door::SubmitAndCancel) {
                ledger.cancels.fetch_add(1, Ordering::SeqCst);
                handle.cancel();
            }
            drop(manager);
            let outcome = handle.await;
            return ledger.heard.lock().unwrap().note(&outcome);
        }
        Door::Callback => {
            let mut task = manager.task(work).priority(priority);
            if endless {
                task = task.timeout(limit);
            }
            let heard = Arc::clone(&ledger.heard);
            return task.on_complete(move |outcome| heard.lock().unwrap().note(&outcome));
        }
    };
    drop(manager);
    let drop_after = if endless && matches!(door, Door::Urgent) {
        Some(drop_after.unwrap_or(5)) // it has no timeout
    } else {
        drop_after
    };
    let outcome = poll_at_most(future, drop_after).await;
    let mut heard = ledger.heard.lock().unwrap();
    match outcome {
        Some(outcome) => heard.note(&outcome),
        None => heard.dropped += 1,
    }
}

async fn play(manager: Manager, ledger: Ledger, steps: Vec<Step>) {
    let mut aside = Vec::new();
    for step in steps {
        let report = match step {
            Step::Task { aside: true, .. } => {
                aside.push(tokio::spawn(send(manager.clone(), ledger.clone(), step)));
                continue;
            }
            Step::Task { door, drop_after, .. } => {
                // Nobody resumes while this one waits, so that it waits aside if nothing ends its wait.
                let waits =
                    drop_after.is_none() || matches!(door, Door::Submit | Door::SubmitAndCancel);
                let sent = tokio::spawn(send(manager.clone(), ledger.clone(), step));
                if waits {
                    aside.push(sent);
                } else {
                    join(sent).await;
                }
                continue;
            }
            Step::Yield => {
                yield_now().await;
                continue;
            }
            Step::Pause => {
                manager.pause();
                continue;
            }
            Step::Resume => {
                manager.resume();
                continue;
            }
            Step::Stop => manager.stop().await,
            Step::Kill => manager.kill().await,
            Step::StopWithin => {
                let _ = manager.stop_within(Duration::from_millis(1)).await; // may come too early
                continue;
            }
        };
        ledger.reports.lock().unwrap().extend(report);
    }
    drop(manager);
    for sent in aside {
        join(sent).await;
    }
}

async fn join(task: tokio::task::JoinHandle<()>) {
    if let Err(error) = task.await {
        resume_unwind(error.into_panic());
    }
}

async fn check(program: Program) {
    let (kit, seen, ledger) = (Kit::new(), Recorder::new(), Ledger::default());
    let most = program.workers + program.burst;
    let mut config = config(&kit, program.workers)
        .max_worker_count(most)
        .burst_interval(Duration::from_millis(1))
        .resource_pool_size(program.pool)
        .max_retries(2)
        .observer(seen.clone());
    if let Some((capacity, overflow)) = program.capacity {
        config = config.queue_capacity(capacity).overflow(overflow);
    }
    if program.delayed_retries {
        config = config.retry_backoff(Backoff::fixed(Duration::from_millis(1)));
    }
    if let Some(sound) = program.validates {
        config = config.validate(move |_| {
            Box::pin(async move {
                pend_once().await;
                sound
            })
        });
    }
    let manager = build(config).await;
    kit.fail_next_creates(program.failing_creates);
    let callers: Vec<_> = program
        .callers
        .into_iter()
        .map(|steps| tokio::spawn(play(manager.clone(), ledger.clone(), steps)))
        .collect();
    for _ in 0..20 {
        yield_now().await;
    }
    manager.resume();
    let last = match program.kills {
        true => manager.kill().await,
        false => {
            for caller in callers {
                while !caller.is_finished() {
                    manager.resume(); // whoever pauses may not be the one who resumes
                    tokio::time::sleep(Duration::from_micros(50)).await;
                }
                join(caller).await;
            }
            manager.stop().await
        }
    };
    let over = manager.join().await;
    ledger.reports.lock().unwrap().extend(last);
    let sent = ledger.sent.clone();
    // Callers of a manager that was killed under them are still at it, and are refused.
    let everything = || sent.load(Ordering::SeqCst) as u64;
    while Arc::strong_count(&ledger.closures) > 1
        || ledger.heard.lock().unwrap().total() < everything()
    {
        tokio::time::sleep(Duration::from_micros(50)).await;
    }
    let heard = *ledger.heard.lock().unwrap();
    assert_eq!(heard.total(), everything(), "one outcome each");
    for runs in ledger.once.lock().unwrap().iter() {
        assert!(runs.load(Ordering::SeqCst) <= 1, "once means once");
    }
    kit.assert_all_destroyed_once();
    let urgent = ledger.once.lock().unwrap().len();
    let cap = (most + program.pool + urgent) as u64;
    assert!(kit.peak() <= cap, "{} of {cap}", kit.peak());

    let accepted = seen.count(|what| matches!(what, What::TaskQueued { .. })) as u64;
    let finished = seen.count(|what| matches!(what, What::TaskFinished { .. })) as u64;
    assert_eq!((accepted, finished), (over.accepted, over.accepted), "one end each");
    let ended = |wanted: Ended| {
        seen.count(|what| matches!(what, What::TaskFinished { outcome, .. } if *outcome == wanted))
    };
    assert_eq!(ended(Ended::Completed) as u64, over.completed);
    assert_eq!(ended(Ended::Cancelled) as u64, over.cancelled);
    assert_eq!((ended(Ended::Killed) + ended(Ended::QueueFull)) as u64, over.dropped);
    for report in ledger.reports.lock().unwrap().iter().chain([&over]) {
        assert_complete(report);
        assert_eq!(report.accepted, over.accepted);
        assert_eq!(report.completed, heard.completed, "{report}, but {heard:?}");
        // Where no resource can be made a task ends before its future is polled, or dropped, again.
        let failed = heard.failed..=heard.failed + heard.dropped;
        assert!(failed.contains(&report.failed), "{report}, but {heard:?}");
        // Who is cancelled while it waits for room was never accepted.
        let outside = ledger.cancels.load(Ordering::SeqCst) as u64;
        let cancelled = heard.cancelled.saturating_sub(outside)..=heard.cancelled + heard.dropped;
        assert!(cancelled.contains(&report.cancelled), "{report}, but {heard:?}");
        // What is evicted counts as dropped, what is refused does not; what was killed may have been dropped.
        let dropped = heard.killed..=heard.killed + heard.queue_full + heard.dropped;
        assert!(dropped.contains(&report.dropped), "{report}, but {heard:?}");
        assert_eq!(report.resources_created, kit.created());
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 192,
        max_shrink_iters: 200,
        max_shrink_time: 120_000, // milliseconds: a program that hangs takes twenty seconds each time
        failure_persistence: None, // a race is not repeated by its program alone
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_a_program_does_everything_is_accounted_for(program in program()) {
        within(LIMIT, move || program.kind.runtime().block_on(check(program)));
    }
}
