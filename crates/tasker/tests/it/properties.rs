//! Random programs over several threads: whatever they do, the sums are right and nobody is forgotten.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;
use tasker::{
    Backoff, Overflow, Priority, ShutdownReport, TaskContext, TaskError, TaskHandle, TaskManager,
};

use crate::support::{Fault, Kit, LIMIT, Manager, Res, assert_complete, within};

/// How a task's attempts go.
#[derive(Debug, Clone, Copy)]
enum Ending {
    Well,
    Own,
    Sick,
    SickOnce,
    Panics,
    UntilCancelled,
}

/// Who waits for a task, and how.
#[derive(Debug, Clone, Copy)]
enum Door {
    Run,
    RunNow,
    Submit,
    Cancel,
    Callback,
    CallbackOnce,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Task(Ending, Door, Priority),
    Stop,
    Kill,
    StopWithin(Duration),
}

/// What the main thread does when all the others are done.
#[derive(Debug, Clone, Copy)]
enum Finale {
    Stop,
    Kill,
    /// The threads drop their clones before they wait for what they have submitted.
    Drop,
}

#[derive(Debug, Clone)]
struct Program {
    kind: Manager,
    workers: usize,
    burst: usize,
    pool: usize,
    capacity: Option<(usize, Overflow)>,
    delayed_retries: bool,
    failing_creates: u64,
    failing_destroys: u64,
    threads: Vec<Vec<Step>>,
    finale: Finale,
}

fn step() -> impl Strategy<Value = Step> {
    let ending = select(vec![
        Ending::Well,
        Ending::Well,
        Ending::Own,
        Ending::Sick,
        Ending::SickOnce,
        Ending::Panics,
        Ending::UntilCancelled,
    ]);
    let door = select(vec![
        Door::Run,
        Door::RunNow,
        Door::Submit,
        Door::Submit,
        Door::Cancel,
        Door::Callback,
        Door::CallbackOnce,
    ]);
    let priority = select(vec![Priority::Low, Priority::Normal, Priority::High]);
    prop_oneof![
        60 => (ending, door, priority).prop_map(|(ending, door, priority)| {
            // Only a handle can end what waits to be cancelled.
            let door = if matches!(ending, Ending::UntilCancelled) { Door::Cancel } else { door };
            Step::Task(ending, door, priority)
        }),
        1 => Just(Step::Stop),
        1 => Just(Step::Kill),
        1 => Just(Step::StopWithin(Duration::from_millis(1))),
    ]
}

fn program() -> impl Strategy<Value = Program> {
    let overflow = select(vec![Overflow::Wait, Overflow::Reject, Overflow::DropOldest]);
    (
        select(Manager::ALL.to_vec()),
        (1..=3_usize, 0..=2_usize, 0..=2_usize),
        proptest::option::of((1..=4_usize, overflow)),
        any::<bool>(),
        (0..=2_u64, 0..=2_u64),
        proptest::collection::vec(proptest::collection::vec(step(), 0..24), 1..=4),
        select(vec![Finale::Stop, Finale::Kill, Finale::Drop]),
    )
        .prop_map(
            |(kind, (workers, burst, pool), capacity, delayed_retries, fails, threads, finale)| {
                let (failing_creates, failing_destroys) = fails;
                Program {
                    kind,
                    workers,
                    burst,
                    pool,
                    capacity,
                    delayed_retries,
                    failing_creates,
                    failing_destroys,
                    threads,
                    finale,
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
    dropped: u64,
    /// `ShuttingDown`, and `QueueFull` where it may be a refusal.
    refused: u64,
    queue_full: u64,
}

impl Heard {
    fn note(&mut self, outcome: &Result<(), TaskError<Fault>>) {
        match outcome {
            Ok(()) => self.completed += 1,
            Err(TaskError::Cancelled) => self.cancelled += 1,
            Err(TaskError::Killed) => self.dropped += 1,
            Err(TaskError::ShuttingDown) => self.refused += 1,
            Err(TaskError::QueueFull) => self.queue_full += 1,
            Err(
                TaskError::Failed(_)
                | TaskError::RetriesExhausted { .. }
                | TaskError::Panicked(_)
                | TaskError::CreateFailed(_),
            ) => self.failed += 1,
            Err(other) => panic!("nothing in a program ends as {other:?}"),
        }
    }

    fn total(&self) -> u64 {
        let ended = self.completed + self.failed + self.cancelled + self.dropped;
        ended + self.refused + self.queue_full
    }
}

type Outcome = Result<(), TaskError<Fault>>;

/// The closure of a task; it counts how often it runs.
fn closure(
    ending: Ending,
    runs: Arc<AtomicUsize>,
) -> impl FnMut(&TaskContext, &mut Res) -> Result<(), Fault> + Send + 'static {
    move |cx, res| {
        runs.fetch_add(1, Ordering::SeqCst);
        res.work()?;
        match ending {
            Ending::Well => Ok(()),
            Ending::Own => Err(Fault::Own),
            Ending::Sick => Err(Fault::Sick),
            Ending::SickOnce if cx.attempt() == 1 => Err(Fault::Sick),
            Ending::SickOnce => Ok(()),
            Ending::Panics => panic!("a task of the program panics"),
            Ending::UntilCancelled => {
                cx.token().wait();
                Err(Fault::Own)
            }
        }
    }
}

/// What one thread of a program heard, and the reports of the shutdowns that it began.
struct Part {
    heard: Heard,
    reports: Vec<ShutdownReport>,
    sent: u64,
    called_back: u64,
}

fn play(manager: TaskManager<Res, Fault>, steps: Vec<Step>, callbacks: &Sender<Outcome>) -> Part {
    let mut part = Part { heard: Heard::default(), reports: Vec::new(), sent: 0, called_back: 0 };
    let mut handles: Vec<TaskHandle<(), Fault>> = Vec::new();
    let mut single = Vec::new();
    for step in steps {
        let (ending, door, priority) = match step {
            Step::Task(ending, door, priority) => (ending, door, priority),
            Step::Stop => {
                part.reports.extend(manager.stop());
                continue;
            }
            Step::Kill => {
                part.reports.extend(manager.kill());
                continue;
            }
            Step::StopWithin(limit) => {
                let _ = manager.stop_within(limit); // may come too early for everything to have ended
                continue;
            }
        };
        let runs = Arc::new(AtomicUsize::new(0));
        let closure = closure(ending, Arc::clone(&runs));
        part.sent += 1;
        let send = callbacks.clone();
        let callback = move |outcome| send.send(outcome).expect("the main thread listens");
        match door {
            Door::Run => part.heard.note(&manager.task(closure).priority(priority).run()),
            Door::RunNow => {
                part.heard.note(&manager.task(closure).priority(priority).run_now());
                single.push(runs);
            }
            Door::Submit => handles.push(manager.task(closure).priority(priority).submit()),
            Door::Cancel => {
                let handle = manager.task(closure).priority(priority).submit();
                handle.cancel();
                handles.push(handle);
            }
            Door::Callback => {
                manager.task(closure).priority(priority).on_complete(callback);
                part.called_back += 1;
            }
            Door::CallbackOnce => {
                manager.task_once(closure).priority(priority).on_complete(callback);
                part.called_back += 1;
                single.push(runs);
            }
        }
    }
    drop(manager);
    for handle in handles {
        part.heard.note(&handle.wait());
    }
    for runs in single {
        assert!(runs.load(Ordering::SeqCst) <= 1, "once means once");
    }
    part
}

fn check(program: Program) {
    let kit = Kit::new();
    let most = program.workers + program.burst;
    let mut config = kit
        .config(program.workers)
        .max_worker_count(most)
        .burst_interval(Duration::from_millis(1))
        .resource_pool_size(program.pool)
        .max_retries(2);
    if let Some((capacity, overflow)) = program.capacity {
        config = config.queue_capacity(capacity).overflow(overflow);
    }
    if program.delayed_retries {
        config = config.retry_backoff(Backoff::fixed(Duration::from_millis(1)));
    }
    let manager = program.kind.build(config);
    kit.fail_next_creates(program.failing_creates);
    kit.fail_next_destroys(program.failing_destroys);
    let (callbacks, called) = channel();
    let callers = program.threads.len();
    let threads: Vec<_> = program
        .threads
        .into_iter()
        .map(|steps| {
            let (manager, callbacks) = (manager.clone(), callbacks.clone());
            thread::spawn(move || play(manager, steps, &callbacks))
        })
        .collect();
    let kept = match program.finale {
        Finale::Drop => {
            drop(manager);
            None
        }
        Finale::Stop | Finale::Kill => Some(manager),
    };
    let parts: Vec<Part> =
        threads.into_iter().map(|thread| thread.join().expect("no part fails")).collect();
    let mut reports: Vec<ShutdownReport> = Vec::new();
    let (mut heard, mut sent, mut called_back) = (Heard::default(), 0, 0);
    if let Some(manager) = kept {
        let last = match program.finale {
            Finale::Kill => manager.kill(),
            Finale::Stop | Finale::Drop => manager.stop(),
        };
        reports.extend(last);
    }
    for part in parts {
        reports.extend(part.reports);
        sent += part.sent;
        called_back += part.called_back;
        let Heard { completed, failed, cancelled, dropped, refused, queue_full } = part.heard;
        heard.completed += completed;
        heard.failed += failed;
        heard.cancelled += cancelled;
        heard.dropped += dropped;
        heard.refused += refused;
        heard.queue_full += queue_full;
    }
    drop(callbacks);
    // Every callback is dropped when it has been called, so that the channel ends after the last one.
    let mut calls = 0;
    while let Ok(outcome) = called.recv_timeout(LIMIT / 2) {
        heard.note(&outcome);
        calls += 1;
    }
    assert_eq!(calls, called_back, "every callback is called once");
    assert_eq!(heard.total(), sent, "every task has one outcome");

    kit.wait_until(|counts| counts.live == 0);
    kit.assert_all_destroyed_once();
    // Every thread runs at most one task at a time, so that there are at most so many temporary ones.
    let pooled = if program.kind == Manager::Local { 0 } else { program.pool };
    let temporary = if program.kind == Manager::Local { 0 } else { callers };
    let cap = (most + pooled + temporary) as u64;
    assert!(kit.peak() <= cap, "{} of {cap}", kit.peak());

    for report in reports {
        assert_complete(&report);
        let ended = (report.completed, report.failed, report.cancelled);
        assert_eq!(ended, (heard.completed, heard.failed, heard.cancelled), "{report}");
        // What is evicted counts as dropped, what is refused does not, and both are `QueueFull`.
        let possible = heard.dropped..=heard.dropped + heard.queue_full;
        assert!(possible.contains(&report.dropped), "{report}, but {heard:?}");
        assert_eq!(report.resources_created, kit.created());
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        max_shrink_iters: 200,
        max_shrink_time: 120_000, // milliseconds: a program that hangs takes twenty seconds each time
        failure_persistence: None, // a race is not repeated by its program alone
        ..ProptestConfig::default()
    })]

    // Promises 1, 2, 3 and 5, and small print: the report adds up, what is created is destroyed, every
    // outcome arrives exactly once, and the cap is held, whatever a program does.
    #[test]
    fn whatever_a_program_does_everything_is_accounted_for(program in program()) {
        within(LIMIT, move || check(program));
    }
}
