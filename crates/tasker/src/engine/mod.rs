//! What every room of one manager shares, and the verbs that need more than one of them.

mod blocking;

use std::fmt;
use std::io;
use std::sync::{Arc, Weak};
use std::task::{Wake, Waker};
use std::time::Duration;

use crate::autoscale::{Plan, ScalingPolicy};
use crate::cancel::CancelToken;
use crate::clock::Clock;
use crate::completion::Completion;
use crate::detached::Cancels;
use crate::error::{BuildError, RejectReason, ResizeError, ShutdownError};
use crate::event::Event;
use crate::explain::Explanation;
use crate::logger::Level;
use crate::metrics::TaskLifecycleTimestamps;
use crate::outcome::{Outcome, TaskError};
use crate::pool::Crew;
use crate::queue::job::{Job, Place, Ran, Runnable, Ticket};
use crate::queue::{Effects, Mode, News, Queue, Rules, Submitted};
use crate::reporter::Reporter;
use crate::resource::Hooks;
use crate::resource::reserve::keep_stocked;
use crate::resource::slot::Failure;
use crate::retry::backoff::Backoff;
use crate::shutdown::ShutdownReport;
use crate::sync::{Mutex, Ordering, park};
use crate::task::{Name, Settings, TaskId};
use crate::timekeeper::keep_time;
use crate::worker::Worker;
use crate::worker::attempt::{discard, discard_for, is_working_for, on_behalf};
use crate::worker::settle::{Case, Settled, Went};

/// How long after its limit a bounded shutdown still waits for code that has just been told to stop.
const GRACE: Duration = Duration::from_millis(100);

pub(crate) struct Engine<R, E> {
    pub(crate) queue: Queue<R, E>,
    pub(crate) hooks: Hooks<R, E>,
    pub(crate) reporter: Reporter,
    pub(crate) clock: Clock,
    pub(crate) crew: Crew,
    pub(crate) rules: Rules,
    pub(crate) max_retries: u32,
    pub(crate) parent: Mutex<Option<(CancelToken, u64)>>,
    /// What the last failed creation failed with, for `explain`.
    pub(crate) last_failure: LastFailure<E>,
    pub(crate) me: Weak<Self>,
}

/// What the last failed creation failed with. It may panic when it is dropped, as all that is the user's.
pub(crate) struct LastFailure<E>(Mutex<Option<Failure<E>>>);

impl<E> LastFailure<E> {
    pub(crate) fn none() -> Self {
        Self(Mutex::new(None))
    }
}

impl<E> Drop for LastFailure<E> {
    fn drop(&mut self) {
        discard(self.0.lock().take());
    }
}

/// The common fate of the base workers while their manager is being built.
pub(crate) struct Building<E> {
    state: Mutex<(usize, Option<Failure<E>>)>,
    all_done: Completion<()>,
}

impl<E> Building<E> {
    pub(crate) fn new(parts: usize) -> Self {
        Self { state: Mutex::new((parts, None)), all_done: Completion::new() }
    }

    /// Whether nobody has failed yet.
    pub(crate) fn is_going_well(&self) -> bool {
        self.state.lock().1.is_none()
    }

    /// Notes a failure; the first one is the one that is told.
    pub(crate) fn failed(&self, failure: Failure<E>) {
        let surplus = {
            let mut state = self.state.lock();
            match &state.1 {
                None => {
                    state.1 = Some(failure);
                    None
                }
                Some(_) => Some(failure),
            }
        };
        discard(surplus);
    }

    pub(crate) fn part_done(&self) {
        let left = {
            let mut state = self.state.lock();
            state.0 -= 1;
            state.0
        };
        if left == 0 {
            let _ = self.all_done.complete(());
        }
    }

    fn wait(&self) -> Option<Failure<E>> {
        self.all_done.wait();
        self.state.lock().1.take()
    }
}

impl<R: 'static, E: Send + 'static> Engine<R, E> {
    /// Starts the threads and waits until every base resource and the pool are made.
    pub(crate) fn start(
        self: &Arc<Self>,
        policy: Box<dyn ScalingPolicy>,
    ) -> Result<(), BuildError<E>> {
        let result = self.try_start(policy);
        if result.is_err() {
            let _ = self.begin_kill(); // first, so that nobody makes up for who is missing
        }
        let mut fx = Effects::new();
        self.queue.built(self.clock.now(), &mut fx);
        self.perform(fx);
        if result.is_err() {
            self.queue.await_done(None);
            self.crew.join(None);
        }
        result
    }

    fn try_start(self: &Arc<Self>, policy: Box<dyn ScalingPolicy>) -> Result<(), BuildError<E>> {
        let mut seats = Vec::new();
        seats.extend((0..self.rules.worker_count).map_while(|_| self.queue.hire()));
        let building = Arc::new(Building::new(seats.len()));
        let mut spawned = self.start_thread("timekeeper", |engine| keep_time(engine, policy));
        if spawned.is_ok() && self.rules.reserve_size > 0 {
            self.queue.engage_steward();
            spawned = self.start_thread("steward", |engine| keep_stocked(&engine));
            if spawned.is_err() {
                self.queue.dismiss_steward();
            }
        }
        for (seat, number) in seats {
            if spawned.is_ok() {
                let (engine, part) = (Arc::clone(self), Arc::clone(&building));
                // Made on its thread: a worker holds a resource, which need not be `Send`.
                spawned = self
                    .crew
                    .start(number, move || Worker::new(engine, seat, number).run(Some(&part)));
            }
            if spawned.is_err() {
                self.queue.unhire(seat);
                building.part_done();
            }
        }
        match (building.wait(), spawned) {
            (_, Err(error)) => Err(BuildError::Spawn(error)),
            (None, Ok(())) => Ok(()),
            (Some(Failure::Error(error)), Ok(())) => Err(BuildError::CreateFailed(error)),
            (Some(Failure::Panicked(panic)), Ok(())) => Err(BuildError::CreatePanicked(panic)),
        }
    }

    fn start_thread(
        self: &Arc<Self>,
        name: &str,
        run: impl FnOnce(Arc<Self>) + Send + 'static,
    ) -> io::Result<()> {
        let engine = Arc::clone(self);
        self.crew.start(name, move || run(engine))
    }

    /// A resource for the pool is made.
    pub(crate) fn stock(self: &Arc<Self>, resource: R, took: Duration) {
        let mut fx = Effects::new();
        self.queue.stock(resource, took, fastrand::f64(), self.clock.now(), &mut fx);
        self.perform(fx);
    }

    /// Keeps why a creation failed, until another one does.
    pub(crate) fn remember(&self, failure: Failure<E>) {
        let before = self.last_failure.0.lock().replace(failure);
        discard_for(self.identity(), before);
    }

    /// Asks the policy and does what it plans. `warned` is the last plan that was reported as beyond the
    /// limits: each is reported once.
    pub(crate) fn scale(
        self: &Arc<Self>,
        policy: &mut dyn ScalingPolicy,
        warned: &mut Option<usize>,
    ) {
        let now = self.clock.now();
        let Some(load) = self.queue.load(now) else { return };
        let plan = match on_behalf(self.identity(), || policy.plan(&load, now)) {
            Ok(plan) => plan,
            Err(panic) => {
                self.reporter.panicked("the scaling policy", panic);
                Plan::hold(&load, "the scaling policy panicked")
            }
        };
        let workers = plan.workers;
        let mut fx = Effects::new();
        let excessive = self.queue.carry_out(plan, now, &mut fx);
        if excessive && warned.replace(workers) != Some(workers) {
            let (least, most) = (load.worker_count, load.max_worker_count);
            self.reporter.log(
                Level::Warn,
                format_args!(
                    "the scaling policy plans {workers} workers; {least} to {most} are allowed, \
                     and it gets as many as that"
                ),
            );
        }
        self.perform(fx);
    }

    /// Cancelling `parent` starts a graceful stop.
    pub(crate) fn follow(self: &Arc<Self>, parent: CancelToken) {
        let waker = Waker::from(Arc::new(StopOnCancel(Arc::downgrade(self))));
        if let Some(key) = parent.on_cancel(waker) {
            *self.parent.lock() = Some((parent, key));
        }
    }

    /// The manager is over: the parent need not know it any longer.
    pub(crate) fn let_go_of_parent(&self) {
        let parent = self.parent.lock().take();
        if let Some((token, key)) = parent {
            token.forget(key);
        }
    }

    /// Carries out what a change under the lock asks for.
    #[inline]
    pub(crate) fn perform(self: &Arc<Self>, fx: Effects<R, E>) {
        if !fx.is_empty() {
            self.carry_out(fx);
        }
    }

    /// As [`perform`](Self::perform), for the timekeeper: a callback that takes its time must not stop
    /// every other deadline, so that it gets a thread of its own.
    pub(crate) fn perform_aside(self: &Arc<Self>, mut fx: Effects<R, E>) {
        let slow = fx.ended.iter().any(|(job, ..)| !job.task().is_brief());
        let observed = !self.reporter.observers.is_empty();
        if slow || (observed && !(fx.ended.is_empty() && fx.admitted.is_empty())) {
            let aside = fx.split_off_endings();
            let aside = Arc::new(Mutex::new(Some(aside)));
            let (engine, theirs) = (Arc::clone(self), Arc::clone(&aside));
            let started = self.crew.start("messenger", move || {
                let fx = theirs.lock().take();
                fx.into_iter().for_each(|fx| engine.perform(fx));
            });
            if started.is_err() {
                let fx = aside.lock().take();
                fx.into_iter().for_each(|fx| self.perform(fx));
            }
        }
        self.perform(fx);
    }

    fn carry_out(self: &Arc<Self>, fx: Effects<R, E>) {
        let Effects { wake, ended, cancel, admitted, news, look: _ } = fx; // the timekeeper has looked
        for thread in wake {
            thread.unpark();
        }
        for (token, why) in cancel {
            // A waker of the user's may run in here.
            if let Err(panic) = on_behalf(self.identity(), || token.cancel_because(why)) {
                self.reporter.panicked("a waker", panic);
            }
        }
        for task in admitted {
            self.reporter.arrival(self.clock.now());
            let (id, priority) = (task.id, task.priority);
            let name = task.name.as_ref().map(Name::as_str);
            self.reporter.emit_at(task.sequence, |sequence| Event::TaskQueued {
                sequence,
                id,
                name,
                priority,
            });
        }
        for item in news {
            self.tell(item);
        }
        for (job, error, accepted) in ended {
            if accepted {
                let ticket = job.ticket();
                let name = ticket.settings.name();
                self.tell_end(ticket.id(), name, error.outcome(), ticket.last());
            }
            self.finish(job, Err(error));
        }
    }

    fn tell(self: &Arc<Self>, news: News) {
        match news {
            News::Phase { sequence, phase } => {
                self.reporter.log(Level::Info, format_args!("the task manager is {phase}"));
                self.reporter.emit_at(sequence, |sequence| Event::PhaseChanged { sequence, phase });
            }
            News::Scaled { sequence, from, to, reason } => {
                self.reporter.log(Level::Debug, format_args!("workers {from} -> {to}: {reason}"));
                self.reporter.emit_at(sequence, |sequence| Event::Scaled {
                    sequence,
                    from,
                    to,
                    reason,
                });
            }
            News::Paused { sequence, paused } => {
                let state = if paused { "paused" } else { "not paused any more" };
                self.reporter.log(Level::Info, format_args!("the task manager is {state}"));
                self.reporter
                    .emit_at(sequence, |sequence| Event::PauseChanged { sequence, paused });
            }
            News::Hired { seat, number } => {
                let engine = Arc::clone(self);
                let run = move || Worker::new(engine, seat, number).run(None);
                if let Err(error) = self.crew.start(number, run) {
                    self.reporter
                        .log(Level::Warn, format_args!("no thread for one more worker: {error}"));
                    let mut fx = Effects::new();
                    self.queue.unstarted(seat, self.clock.now(), &mut fx);
                    self.perform(fx);
                }
            }
        }
    }

    /// A task ended: metrics if it ever started, then the event.
    fn tell_end(
        &self,
        id: TaskId,
        name: Option<&str>,
        outcome: Outcome,
        times: Option<TaskLifecycleTimestamps>,
    ) {
        if let Some(times) = &times {
            self.reporter.ended(outcome, times);
        }
        self.reporter.emit(|sequence| Event::TaskFinished { sequence, id, name, outcome, times });
    }

    fn finish(&self, job: Job<R, E>, ending: Result<(), TaskError<E>>) {
        if let Err(panic) = on_behalf(self.identity(), || job.finish(ending)) {
            self.reporter.panicked("the end of a task", panic);
        }
    }

    /// Takes a submitted task in, waiting for room where that is the rule.
    pub(crate) fn submit(
        self: &Arc<Self>,
        task: &Arc<impl Runnable<R, E> + 'static>,
        mode: Mode,
    ) -> Result<(), Unaccepted<R, E>> {
        let ticket = task.ticket();
        let job = Job::new(Arc::clone(task) as Arc<dyn Runnable<R, E>>);
        let sequence = self.reporter.reserve_sequence();
        let mut fx = Effects::new();
        // A task that waits for room in its own manager could wait for itself.
        let mode = match mode {
            Mode::Wait if is_working_for(self.identity()) => Mode::Inside,
            other => other,
        };
        let submitted = self.queue.submit(job, mode, ticket.queued_at, sequence, &mut fx);
        self.perform(fx);
        match submitted {
            Submitted::Accepted => {
                self.reporter.arrival(ticket.queued_at);
                self.tell_queued(sequence, ticket.id(), &ticket.settings);
                Ok(())
            }
            Submitted::Outside => {
                while matches!(ticket.place(), Place::Outside(_)) {
                    park();
                }
                Ok(())
            }
            Submitted::Refused(job, reason) => Err(Unaccepted { job, reason: Some(reason) }),
            Submitted::NobodyIdle(job) => Err(Unaccepted { job, reason: None }),
        }
    }

    /// As [`submit`](Self::submit); a refused task is answered as its caller expects.
    pub(crate) fn submit_or_answer(
        self: &Arc<Self>,
        task: &Arc<impl Runnable<R, E> + 'static>,
        mode: Mode,
    ) {
        if let Err(Unaccepted { job, reason }) = self.submit(task, mode) {
            self.finish(job, Err(refusal(reason.unwrap_or(RejectReason::QueueFull))));
        }
    }

    fn tell_queued(&self, sequence: u64, id: TaskId, settings: &Settings) {
        let (name, priority) = (settings.name(), settings.priority);
        self.reporter.emit_at(sequence, |sequence| Event::TaskQueued {
            sequence,
            id,
            name,
            priority,
        });
    }

    /// How an attempt went, in the words of `settle`.
    pub(crate) fn case(
        &self,
        ran: &Ran<E>,
        settings: &Settings,
        may_run_again: bool,
        attempt: u32,
    ) -> Case {
        let went = match ran {
            Ran::Well => Went::Well,
            Ran::Wrong(error) => {
                Went::Wrong { healthy: self.hooks.is_healthy(&self.reporter, error) }
            }
            Ran::Panicked(_) => Went::Panicked,
        };
        let max_retries = settings.max_retries;
        Case { went, cancelled: None, may_run_again, attempt, max_retries }
    }

    /// The delay before the next attempt, should there be one.
    pub(crate) fn retry_delay(&self, case: Case) -> Duration {
        match case.went {
            Went::Wrong { healthy: false } if self.rules.retry_backoff != Backoff::NONE => {
                self.rules.retry_backoff.delay(case.attempt, fastrand::f64())
            }
            _ => Duration::ZERO,
        }
    }

    pub(crate) fn resize(
        self: &Arc<Self>,
        worker_count: usize,
        max_worker_count: usize,
    ) -> Result<(), ResizeError> {
        let mut fx = Effects::new();
        let now = self.clock.now();
        let resized = self.queue.resize(worker_count, max_worker_count, now, &mut fx);
        self.perform(fx);
        resized
    }

    pub(crate) fn set_paused(self: &Arc<Self>, paused: bool) {
        let mut fx = Effects::new();
        self.queue.set_paused(paused, self.clock.now(), &mut fx);
        self.perform(fx);
    }

    pub(crate) fn explain(&self) -> Explanation
    where
        E: fmt::Display,
    {
        // Taken out while it is printed: that is code of the user's, and runs under no lock.
        let failure = self.last_failure.0.lock().take();
        let text = failure.as_ref().map(|failure| {
            let printed = on_behalf(self.identity(), || match failure {
                Failure::Error(error) => error.to_string(),
                Failure::Panicked(panic) => format!("on_create panicked: {}", panic.message()),
            });
            printed.unwrap_or_else(|panic| {
                self.reporter.panicked("the Display of an error", panic);
                "an error whose Display panics".to_owned()
            })
        });
        if let Some(failure) = failure {
            let newer = {
                let mut last = self.last_failure.0.lock();
                match &*last {
                    Some(_) => Some(failure),
                    None => last.replace(failure),
                }
            };
            discard_for(self.identity(), newer);
        }
        Explanation::new(self.queue.outlook(self.clock.now()), text)
    }

    /// A worker's task has ended: tells those who watch, then its caller.
    pub(crate) fn conclude(
        &self,
        job: Job<R, E>,
        ran: Ran<E>,
        settled: Settled,
        attempts: u32,
        times: TaskLifecycleTimestamps,
    ) {
        let ending = ending(self.identity(), ran, settled, attempts);
        let outcome = ending.as_ref().err().map_or(Outcome::Completed, TaskError::outcome);
        let ticket = job.ticket();
        let name = ticket.settings.name();
        self.tell_end(ticket.id(), name, outcome, Some(times));
        self.finish(job, ending);
    }

    pub(crate) fn begin_stop(self: &Arc<Self>) -> Result<(), ShutdownError> {
        let mut fx = Effects::new();
        let begun = self.queue.begin_stop(self.clock.now(), &mut fx);
        self.perform(fx);
        begun
    }

    pub(crate) fn begin_kill(self: &Arc<Self>) -> Result<(), ShutdownError> {
        let mut fx = Effects::new();
        let begun = self.queue.begin_kill(self.clock.now(), &mut fx);
        self.perform(fx);
        begun
    }

    pub(crate) fn stop(
        self: &Arc<Self>,
        limit: Option<Duration>,
    ) -> Result<ShutdownReport, ShutdownError> {
        self.begin_stop()?;
        if is_working_for(self.identity())
            && let Some(limit) = limit
        {
            // Nobody waits here for the limit to pass, so the timekeeper does.
            let mut fx = Effects::new();
            self.queue.kill_later(self.clock.now().checked_add(limit), &mut fx);
            self.perform(fx);
        }
        if !is_working_for(self.identity()) && !self.wait_and_join(limit) {
            // A kill that came from elsewhere meanwhile does as well.
            let _ = self.begin_kill();
            self.wait_and_join(Some(GRACE));
        }
        Ok(self.report())
    }

    pub(crate) fn kill(
        self: &Arc<Self>,
        limit: Option<Duration>,
    ) -> Result<ShutdownReport, ShutdownError> {
        self.begin_kill()?;
        if !is_working_for(self.identity()) {
            self.wait_and_join(limit.map(|limit| limit.saturating_add(GRACE)));
        }
        Ok(self.report())
    }

    /// Waits for a shutdown that somebody else begins or has begun.
    pub(crate) fn join(&self) -> ShutdownReport {
        if !is_working_for(self.identity()) {
            self.wait_and_join(None);
        }
        self.report()
    }

    fn wait_and_join(&self, limit: Option<Duration>) -> bool {
        let done = self.queue.await_done(limit);
        if done {
            // A callback may still hold a thread up: a bounded shutdown does not wait for that either.
            self.crew.join(limit.map(|_| GRACE));
        }
        done
    }

    fn report(&self) -> ShutdownReport {
        // Destroyed before created: what is destroyed in between must not seem never to have been made.
        let resources_destroyed = self.hooks.destroyed.load(Ordering::Relaxed);
        ShutdownReport {
            resources_created: self.hooks.created.load(Ordering::Relaxed),
            resources_destroyed,
            destroy_errors: self.hooks.destroy_errors.load(Ordering::Relaxed),
            ..self.queue.report(self.clock.now())
        }
    }

    pub(crate) fn identity(&self) -> usize {
        self.reporter.identity()
    }
}

/// A task that was not accepted; no reason where it asked for an idle worker and there was none.
pub(crate) struct Unaccepted<R, E> {
    pub(crate) job: Job<R, E>,
    pub(crate) reason: Option<RejectReason>,
}

pub(crate) fn refusal<E>(reason: RejectReason) -> TaskError<E> {
    match reason {
        RejectReason::ShuttingDown => TaskError::ShuttingDown,
        RejectReason::QueueFull => TaskError::QueueFull,
    }
}

/// The task's end in the caller's words.
fn ending<E>(
    manager: usize,
    ran: Ran<E>,
    settled: Settled,
    attempts: u32,
) -> Result<(), TaskError<E>> {
    let Settled::Ends(outcome) = settled else {
        unreachable!("a task that runs again has no ending yet");
    };
    match (ran, outcome) {
        (Ran::Well, _) => Ok(()),
        (Ran::Panicked(panic), _) => Err(TaskError::Panicked(panic)),
        (Ran::Wrong(error), Outcome::Cancelled) => {
            discard_for(manager, error);
            Err(TaskError::Cancelled)
        }
        (Ran::Wrong(error), Outcome::TimedOut) => {
            discard_for(manager, error);
            Err(TaskError::TimedOut)
        }
        (Ran::Wrong(source), Outcome::RetriesExhausted) => {
            Err(TaskError::RetriesExhausted { attempts, source })
        }
        (Ran::Wrong(error), _) => Err(TaskError::Failed(error)),
    }
}

impl<R: 'static, E: Send + 'static> Cancels for Engine<R, E> {
    fn cancel(&self, ticket: &Ticket) {
        let Some(engine) = self.me.upgrade() else { return };
        let mut fx = Effects::new();
        engine.queue.cancel(ticket, engine.clock.now(), &mut fx);
        engine.perform(fx);
    }
}

/// Starts a graceful stop when the parent token is cancelled.
struct StopOnCancel<R, E>(Weak<Engine<R, E>>);

impl<R: 'static, E: Send + 'static> Wake for StopOnCancel<R, E> {
    fn wake(self: Arc<Self>) {
        if let Some(engine) = self.0.upgrade() {
            let _ = engine.begin_stop(); // refused only where a shutdown is under way already
        }
    }
}
