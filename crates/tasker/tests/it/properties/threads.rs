//! Plays programs on a `TaskManager`: every caller is a thread.

use std::panic::resume_unwind;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use tasker::{Backoff, CancelOnDrop, ShutdownReport, TaskContext, TaskManager};

use super::ledger::{Handle, Ledger, Outcome};
use super::program::{Door, Ending, Finale, Inside, MOMENT, On, Program, Step, Task, options};
use crate::support::{
    Fault, Kit, Manager, Recorder, Res, assert_gone, block_on, eventually, unique_name,
};

type Threads = TaskManager<Res, Fault>;

pub(super) fn play(program: &Program) {
    let (kit, seen, ledger, name) = (Kit::new(), Recorder::new(), Ledger::default(), unique_name());
    let manager = build(program, &kit, &seen, &name);
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
        Finale::Stop => reports.extend(manager.stop()),
        Finale::Kill => reports.extend(manager.kill()),
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

fn build(program: &Program, kit: &Kit, seen: &Recorder, name: &str) -> Threads {
    let mut config = kit
        .config(program.workers)
        .max_worker_count(program.workers + program.burst)
        .burst_interval(MOMENT)
        .resource_pool_size(program.pool)
        .max_retries(Program::MAX_RETRIES)
        .observer(seen.clone())
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
    let (ledger, alive) = (ledger.clone(), ledger.sign_of_life());
    move |cx, res| {
        let _ = &alive;
        ledger.begins(number);
        if let Some((inside, manager)) = inside.as_ref().filter(|_| cx.attempt() == 1) {
            submit_inside(*inside, manager, &ledger, task);
        }
        let returned = res.work().and_then(|_| attempt(task.ending, cx));
        ledger.returns(number, returned)
    }
}

fn attempt(ending: Ending, cx: &TaskContext) -> Result<(), Fault> {
    match ending {
        Ending::Well => Ok(()),
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
        Ending::PanicsInDrop | Ending::Never => unreachable!("only futures do that"),
    }
}

fn submit_inside(inside: Inside, manager: &Threads, ledger: &Ledger, parent: Task) {
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
                Step::StopWithin => drop(manager.stop_within(MOMENT)), // there may be stragglers
                Step::Kill => reports.extend(manager.kill()),
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
                    builder.try_submit().map_err(|rejected| rejected.reason())
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
