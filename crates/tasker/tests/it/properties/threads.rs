//! Plays programs on a `TaskManager`: every caller is a thread.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use tasker::{
    Backoff, CancelOnDrop, CancelToken, RejectReason, Rejected, ShutdownReport, TaskContext,
    TaskManager,
};

use super::ledger::{Handle, Ledger, Outcome};
use super::program::{Door, Ending, Finale, Inside, MOMENT, On, Program, Step, Task, options};
use crate::support::{
    Fault, Kit, Manager, Recorder, Res, assert_adds_up, assert_gone, block_on, eventually,
    unique_name,
};

type Threads = TaskManager<Res, Fault>;

pub(super) fn play(program: &Program) {
    let (kit, seen, ledger, name) = (Kit::new(), Recorder::new(), Ledger::default(), unique_name());
    let parent = CancelToken::new();
    let manager = build(program, &kit, &seen, &name, &parent);
    kit.fail_next_creates(program.failing_creates);
    kit.fail_next_destroys(program.failing_destroys);
    let (done, steps_done) = channel();
    let callers: Vec<_> = (0..program.callers.len())
        .map(|number| {
            let caller = Caller { number, ledger: ledger.clone(), handles: Vec::new() };
            let (manager, steps) = (manager.clone(), program.callers[number].clone());
            let done = done.clone();
            thread::spawn(move || caller.play(manager, steps, done))
        })
        .collect();
    drop(done);
    // Whoever pauses may not be the one who resumes, and a blocked caller cannot.
    while let Err(RecvTimeoutError::Timeout) = steps_done.recv_timeout(Duration::from_micros(200)) {
        manager.resume();
    }
    manager.resume();
    let mut reports = Vec::new();
    match program.finale {
        Finale::Stop => reports.push(manager.stop().unwrap_or_else(|_| manager.join())),
        Finale::Kill => reports.push(manager.kill().unwrap_or_else(|_| manager.join())),
        Finale::Parent => {
            parent.cancel();
            reports.push(manager.join());
        }
        Finale::Drop => {}
    }
    drop(manager);
    for caller in callers {
        reports.extend(caller.join().unwrap_or_else(|panic| resume_unwind(panic)));
    }
    eventually("every closure is dropped", || {
        let over = ledger.is_over(); // asked first: a task may leave a handle until its closure is dropped
        for (number, handle) in ledger.take_left() {
            ledger.deliver(number, &handle.wait());
        }
        over
    });
    kit.wait_until(|counts| counts.live == 0);
    assert_gone(&name);
    ledger.check(program, &kit, &seen, &reports);
}

fn build(
    program: &Program,
    kit: &Kit,
    seen: &Recorder,
    name: &str,
    parent: &CancelToken,
) -> Threads {
    let mut config = kit
        .config(program.workers)
        .max_worker_count(program.workers + program.burst)
        .burst_interval(MOMENT)
        .resource_pool_size(program.pool)
        .max_retries(Program::MAX_RETRIES)
        .observer(seen.clone())
        .shutdown_on(parent.clone())
        .thread_name(name);
    if let Some((capacity, overflow)) = program.capacity {
        config = config.queue_capacity(capacity).overflow(overflow);
    }
    if program.delayed_retries {
        config = config.retry_backoff(Backoff::fixed(MOMENT));
    }
    if let Some(sound) = program.validates {
        config = config.validate(move |_| sound);
    }
    if let Some(replaced) = program.stuck {
        config = config.stuck_after(MOMENT).replace_stuck(replaced);
    }
    match program.on {
        On::NotLending => Manager::NotLending.build(config),
        On::Local => Manager::Local.build(config),
        _ => Manager::Lending.build(config),
    }
}

/// The closure of a task. It holds its manager if it uses it.
fn work(
    manager: &Threads,
    ledger: &Ledger,
    number: usize,
    task: Task,
) -> impl FnMut(&TaskContext, &mut Res) -> Result<(), Fault> + Send + 'static {
    let inside = task.inside.map(|inside| (inside, manager.clone()));
    // What runs once drops what it has captured itself, and panics in the middle of its attempt then.
    let late = task.ending == Ending::PanicsInDrop && !task.once;
    let bomb = late.then(|| Bomb); // lazily: an unused one would go off
    let (ledger, held) = (ledger.clone(), (ledger.sign_of_life(), bomb));
    move |cx, res| {
        let _ = &held;
        ledger.begins(number);
        if let Some((inside, manager)) = inside.as_ref().filter(|_| cx.attempt() == 1) {
            submit_inside(*inside, manager, &ledger, task);
        }
        let returned = res.work().and_then(|_| attempt(task.ending, cx));
        ledger.returns(number, returned)
    }
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !thread::panicking() {
            resume_unwind(Box::new("a capture panics")); // prints nothing
        }
    }
}

/// Why a task comes back. What it has captured may panic, which is its owner's matter.
fn refused<T>(rejected: Rejected<T>) -> RejectReason {
    let reason = rejected.reason();
    let _ = catch_unwind(AssertUnwindSafe(|| drop(rejected)));
    reason
}

fn attempt(ending: Ending, cx: &TaskContext) -> Result<(), Fault> {
    match ending {
        Ending::Well | Ending::PanicsInDrop => Ok(()),
        Ending::Own => Err(Fault::Own),
        Ending::Sick => Err(Fault::Sick),
        Ending::SickOnce if cx.attempt() == 1 => Err(Fault::Sick),
        Ending::SickOnce => Ok(()),
        Ending::Panics => resume_unwind(Box::new("a task panics")), // prints nothing
        Ending::FailsWhenCancelled => {
            cx.token().wait();
            Err(Fault::Own)
        }
        Ending::WellWhenCancelled => {
            cx.token().wait();
            Ok(())
        }
        Ending::Never => unreachable!("only futures do that"),
    }
}

fn submit_inside(inside: Inside, manager: &Threads, ledger: &Ledger, parent: Task) {
    let report = match inside {
        Inside::Stops => manager.stop(),
        Inside::Kills => manager.kill(),
        _ => return hand_in_inside(inside, manager, ledger, parent),
    };
    report.iter().for_each(assert_adds_up);
}

fn hand_in_inside(inside: Inside, manager: &Threads, ledger: &Ledger, parent: Task) {
    let child = parent.child(inside);
    let number = ledger.enter_inside(child, inside);
    let builder = options!(manager.task(work(manager, ledger, number, child)), number, child);
    let outcome = match inside {
        Inside::Submits => {
            let ledger = ledger.clone();
            return builder.on_complete(move |outcome| ledger.deliver(number, &outcome));
        }
        Inside::Waits => match builder.submit().wait_timeout(MOMENT) {
            Ok(outcome) => return ledger.deliver(number, &outcome),
            Err(handle) => return ledger.leave(number, handle),
        },
        Inside::Joins(_) => {
            ledger.waits_inside();
            builder.submit().wait()
        }
        Inside::Runs(_) => {
            ledger.waits_inside();
            builder.run()
        }
        Inside::RunsNow => {
            ledger.waits_inside();
            builder.run_now()
        }
        Inside::Stops | Inside::Kills => unreachable!("that hands nothing in"),
    };
    ledger.deliver(number, &outcome);
    ledger.goes_on();
}

/// Hands a task to the manager by one of its two builders; `$end` is what is done with it.
macro_rules! hand_in {
    ($manager:expr, $work:expr, $number:expr, $task:expr, |$builder:ident| $end:expr) => {
        if $task.once {
            let $builder = options!($manager.task_once($work), $number, $task);
            $end
        } else {
            let $builder = options!($manager.task($work), $number, $task);
            $end
        }
    };
}

struct Caller {
    number: usize,
    ledger: Ledger,
    /// What it waits for in the end, and whether it awaits it.
    handles: Vec<(usize, Handle, bool)>,
}

impl Caller {
    fn play(mut self, manager: Threads, steps: Vec<Step>, done: Sender<()>) -> Vec<ShutdownReport> {
        let mut reports = Vec::new();
        for step in steps {
            match step {
                Step::Task(task) => self.send(&manager, task),
                Step::CancelAll => self.handles.iter().for_each(|(_, handle, _)| handle.cancel()),
                Step::Yield => thread::yield_now(),
                Step::Resize(base, cap) => drop(manager.resize(base, cap)), // refused in a shutdown
                Step::Pause => manager.pause(),
                Step::Resume => manager.resume(),
                Step::Stop => reports.extend(manager.stop()),
                Step::StopWithin => manager.stop_within(MOMENT).iter().for_each(assert_adds_up),
                Step::Kill => reports.extend(manager.kill()),
                Step::KillWithin => manager.kill_within(MOMENT).iter().for_each(assert_adds_up),
            }
        }
        drop(manager);
        drop(done);
        for (number, handle, awaited) in self.handles {
            let outcome = if awaited { block_on(handle) } else { handle.wait() };
            self.ledger.deliver(number, &outcome);
        }
        reports
    }

    fn send(&mut self, manager: &Threads, task: Task) {
        let number = self.ledger.enter(task, self.number);
        let work = work(manager, &self.ledger, number, task);
        let told = |outcome: Outcome| self.ledger.deliver(number, &outcome);
        let handle: Handle = match task.door {
            Door::Run => {
                return told(hand_in!(manager, work, number, task, |builder| builder.run()));
            }
            Door::RunNow => {
                return told(hand_in!(manager, work, number, task, |builder| builder.run_now()));
            }
            Door::Callback => {
                let ledger = self.ledger.clone();
                let told = move |outcome: Outcome| ledger.deliver(number, &outcome);
                return hand_in!(manager, work, number, task, |builder| builder.on_complete(told));
            }
            Door::TrySubmit => {
                let tried = hand_in!(manager, work, number, task, |builder| {
                    builder.try_submit().map_err(refused)
                });
                match tried {
                    Ok(handle) => handle,
                    Err(reason) => return self.ledger.deliver_refusal(number, reason),
                }
            }
            Door::Submit | Door::Await | Door::Detach | Door::Dropped => {
                hand_in!(manager, work, number, task, |builder| builder.submit())
            }
        };
        if task.cancel {
            handle.cancel();
        }
        match task.door {
            Door::Detach => drop(handle),
            Door::Dropped => {
                self.ledger.let_go(number);
                drop::<CancelOnDrop<(), Fault>>(handle.cancel_on_drop());
            }
            _ => self.handles.push((number, handle, task.door == Door::Await)),
        }
    }
}
