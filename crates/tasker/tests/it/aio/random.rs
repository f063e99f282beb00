//! Plays random programs on an `AsyncTaskManager`: every caller is a task of its runtime.

use std::future::Future;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tasker::{Backoff, CancelToken, ShutdownReport, TaskContext};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{sleep, timeout};

use super::stage::{Kind, Manager, build, config, forever, pend_once};
use crate::properties::ledger::{Handle, Ledger, Outcome};
use crate::properties::program::{
    Door, Ending, Finale, Inside, MOMENT, On, Program, Step, Task, options,
};
use crate::support::{Fault, Kit, Recorder, Res, assert_adds_up};

pub(crate) fn play(program: &Program) {
    let kind = match program.on {
        On::MultiThread => Kind::MultiThread,
        _ => Kind::CurrentThread,
    };
    let runtime = kind.runtime();
    runtime.block_on(play_inside(program));
}

/// How often it is looked for what nobody announces.
const BREATH: Duration = Duration::from_micros(50);

async fn play_inside(program: &Program) {
    let (kit, seen, ledger) = (Kit::new(), Recorder::new(), Ledger::default());
    let parent = CancelToken::new();
    let manager = build_for(program, &kit, &seen, &parent).await;
    kit.fail_next_creates(program.failing_creates);
    kit.fail_next_destroys(program.failing_destroys);
    let mut callers = Vec::new();
    for (number, steps) in program.callers.iter().enumerate() {
        let caller = Caller { number, ledger: ledger.clone(), handles: vec![], spawned: vec![] };
        let (done, steps_done) = oneshot::channel();
        let caller = tokio::spawn(caller.play(manager.clone(), steps.clone(), done));
        callers.push((caller, steps_done));
    }
    for (_, steps_done) in &mut callers {
        // Whoever pauses may not be the one who resumes, and who waits cannot.
        while timeout(BREATH, &mut *steps_done).await.is_err() {
            manager.resume();
        }
    }
    manager.resume();
    let mut reports = Vec::new();
    match program.finale {
        Finale::Stop => reports.extend(manager.stop().await),
        Finale::Kill => reports.extend(manager.kill().await),
        Finale::Parent => parent.cancel(),
        Finale::Drop => {}
    }
    if program.finale != Finale::Drop && reports.is_empty() {
        reports.push(manager.join().await);
    }
    drop(manager);
    for (caller, _) in callers {
        reports.extend(join(caller).await);
    }
    loop {
        let over = ledger.is_over(); // asked first: a task may leave a handle until its closure is dropped
        for (number, handle) in ledger.take_left() {
            ledger.deliver(number, &handle.await);
        }
        if over {
            break;
        }
        sleep(BREATH).await;
    }
    // Nothing that the manager has spawned is left: neither a worker nor the timekeeper nor a task.
    let runtime = tokio::runtime::Handle::current();
    while kit.live() > 0 || runtime.metrics().num_alive_tasks() > 0 {
        sleep(BREATH).await;
    }
    ledger.check(program, &kit, &seen, &reports);
}

async fn build_for(program: &Program, kit: &Kit, seen: &Recorder, parent: &CancelToken) -> Manager {
    let mut config = config(kit, program.workers)
        .max_worker_count(program.workers + program.burst)
        .burst_interval(MOMENT)
        .resource_pool_size(program.pool)
        .max_retries(Program::MAX_RETRIES)
        .observer(seen.clone())
        .shutdown_on(parent.clone());
    if let Some((capacity, overflow)) = program.capacity {
        config = config.queue_capacity(capacity).overflow(overflow);
    }
    if program.delayed_retries {
        config = config.retry_backoff(Backoff::fixed(MOMENT));
    }
    if let Some(sound) = program.validates {
        config = config.validate(move |_| {
            Box::pin(async move {
                pend_once().await;
                sound
            })
        });
    }
    if let Some(replaced) = program.stuck {
        config = config.stuck_after(MOMENT).replace_stuck(replaced);
    }
    build(config).await
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        resume_unwind(Box::new("a guard panics")); // prints nothing
    }
}

async fn attempt(task: Task, cx: &TaskContext, res: &mut Res) -> Result<(), Fault> {
    let bomb = (task.ending == Ending::PanicsInDrop).then(|| Bomb); // lazily: an unused one would go off
    for _ in 0..task.awaits {
        pend_once().await;
    }
    std::mem::forget(bomb); // it goes off only where the future is dropped in the middle
    res.work()?;
    match task.ending {
        Ending::Well | Ending::PanicsInDrop => Ok(()),
        Ending::Own => Err(Fault::Own),
        Ending::Sick => Err(Fault::Sick),
        Ending::SickOnce if cx.attempt() == 1 => Err(Fault::Sick),
        Ending::SickOnce => Ok(()),
        Ending::Panics => resume_unwind(Box::new("a task panics")),
        Ending::FailsWhenCancelled => {
            cx.cancelled().await;
            Err(Fault::Own)
        }
        Ending::WellWhenCancelled => {
            cx.cancelled().await;
            Ok(())
        }
        Ending::Never => Ok(forever().await),
    }
}

/// The closure of a task. It holds its manager if it uses it.
macro_rules! work {
    ($manager:expr, $ledger:expr, $number:expr, $task:expr) => {{
        let (number, task) = ($number, $task);
        let inside = task.inside.map(|inside| (inside, $manager.clone()));
        let (ledger, alive) = ($ledger.clone(), $ledger.sign_of_life());
        async move |cx: &TaskContext, res: &mut Res| {
            let _ = &alive;
            ledger.begins(number);
            if let Some((inside, manager)) = inside.as_ref().filter(|_| cx.attempt() == 1) {
                submit_inside(*inside, manager, &ledger, task).await;
            }
            let returned = attempt(task, cx, res).await;
            ledger.returns(number, returned)
        }
    }};
}

/// Boxed, since a task inside may have another one inside.
fn submit_inside<'a>(
    inside: Inside,
    manager: &'a Manager,
    ledger: &'a Ledger,
    parent: Task,
) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
    match inside {
        Inside::Stops => {
            return Box::pin(async { manager.stop().await.iter().for_each(assert_adds_up) });
        }
        Inside::Kills => {
            return Box::pin(async { manager.kill().await.iter().for_each(assert_adds_up) });
        }
        _ => {}
    }
    let child = parent.child(inside);
    let number = ledger.enter_inside(child, inside);
    let work = work!(manager, ledger, number, child);
    let builder = options!(manager.task(work), number, child);
    Box::pin(async move {
        if inside == Inside::Submits {
            let ledger = ledger.clone();
            return builder.on_complete(move |outcome| ledger.deliver(number, &outcome));
        }
        ledger.waits_inside();
        let outcome = match inside {
            Inside::Submits | Inside::Waits | Inside::Joins(_) => {
                let mut wait = Wait { number, handle: Some(builder.submit()), ledger };
                let handle = wait.handle.as_mut().expect("it was put there");
                let outcome = match inside {
                    Inside::Waits => timeout(MOMENT, handle).await.ok(),
                    _ => Some(handle.await),
                };
                let Some(outcome) = outcome else { return }; // its handle is polled elsewhere from now on
                wait.handle = None;
                outcome
            }
            Inside::Runs(_) | Inside::RunsNow => {
                let mut call = Call { number, answered: false, ledger };
                let outcome = match inside {
                    Inside::RunsNow => builder.run_now().await,
                    _ => builder.await,
                };
                call.answered = true;
                outcome
            }
            Inside::Stops | Inside::Kills => unreachable!("that hands nothing in"),
        };
        ledger.deliver(number, &outcome);
        ledger.goes_on();
    })
}

/// A task that is run inside another, whose future may be dropped: it goes with it.
struct Call<'l> {
    number: usize,
    answered: bool,
    ledger: &'l Ledger,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.ledger.let_go(self.number);
        }
    }
}

/// A wait inside a task, whose future may be dropped: others wait then.
struct Wait<'l> {
    number: usize,
    handle: Option<Handle>,
    ledger: &'l Ledger,
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            self.ledger.leave(self.number, handle);
        }
    }
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

type Running = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// Polls a future so many times at most, and drops it then.
async fn poll_at_most(mut future: Running, polls: usize) -> Option<Outcome> {
    for _ in 0..polls {
        let polled = std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
        if let Poll::Ready(outcome) = polled {
            return Some(outcome);
        }
        yield_now().await;
    }
    None
}

struct Caller {
    number: usize,
    ledger: Ledger,
    /// What it waits for in the end.
    handles: Vec<(usize, Handle)>,
    spawned: Vec<JoinHandle<()>>,
}

impl Caller {
    async fn play(
        mut self,
        manager: Manager,
        steps: Vec<Step>,
        done: oneshot::Sender<()>,
    ) -> Vec<ShutdownReport> {
        let mut reports = Vec::new();
        for step in steps {
            match step {
                Step::Task(task) => self.send(&manager, task).await,
                Step::CancelAll => self.handles.iter().for_each(|(_, handle)| handle.cancel()),
                Step::Yield => yield_now().await,
                Step::Resize(base, cap) => drop(manager.resize(base, cap)), // refused in a shutdown
                Step::Pause => manager.pause(),
                Step::Resume => manager.resume(),
                Step::Stop => reports.extend(manager.stop().await),
                Step::StopWithin => {
                    manager.stop_within(MOMENT).await.iter().for_each(assert_adds_up);
                }
                Step::Kill => reports.extend(manager.kill().await),
                Step::KillWithin => {
                    manager.kill_within(MOMENT).await.iter().for_each(assert_adds_up);
                }
            }
        }
        drop(manager);
        drop(done);
        for (number, handle) in self.handles {
            self.ledger.deliver(number, &handle.await);
        }
        for spawned in self.spawned {
            join(spawned).await;
        }
        reports
    }

    async fn send(&mut self, manager: &Manager, task: Task) {
        let number = self.ledger.enter(task, self.number);
        let ledger = self.ledger.clone();
        let work = work!(manager, ledger, number, task);
        let handle: Handle = match task.door {
            Door::Run | Door::Await | Door::Dropped => {
                let future: Running = hand_in!(manager, work, number, task, |builder| {
                    Box::pin(builder.into_future())
                });
                match task.door {
                    Door::Run => ledger.deliver(number, &future.await),
                    Door::Await => self.spawned.push(tokio::spawn(async move {
                        ledger.deliver(number, &future.await);
                    })),
                    _ => match poll_at_most(future, task.awaits).await {
                        Some(outcome) => ledger.deliver(number, &outcome),
                        None => ledger.let_go(number),
                    },
                }
                return;
            }
            Door::RunNow => {
                let future: Running = hand_in!(manager, work, number, task, |builder| {
                    Box::pin(builder.run_now())
                });
                return ledger.deliver(number, &future.await);
            }
            Door::Callback => {
                let told = move |outcome: Outcome| ledger.deliver(number, &outcome);
                return hand_in!(manager, work, number, task, |builder| builder.on_complete(told));
            }
            Door::TrySubmit => {
                let tried = hand_in!(manager, work, number, task, |builder| {
                    builder.try_submit().map_err(|rejected| rejected.reason())
                });
                match tried {
                    Ok(handle) => handle,
                    Err(reason) => return ledger.deliver_refusal(number, reason),
                }
            }
            Door::Submit | Door::Detach => {
                hand_in!(manager, work, number, task, |builder| builder.submit())
            }
        };
        if task.cancel {
            handle.cancel();
        }
        match task.door {
            Door::Detach => drop(handle),
            _ => self.handles.push((number, handle)),
        }
    }
}

async fn join<T>(task: JoinHandle<T>) -> T {
    task.await.unwrap_or_else(|error| resume_unwind(error.into_panic()))
}
