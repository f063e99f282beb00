//! What every room of one manager shares, and the verbs that need more than one of them.

mod blocking;
mod chores;
mod threads;

use std::fmt;
use std::io;
use std::sync::{Arc, Weak};
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

pub(crate) use chores::Unequipped;
pub(crate) use threads::{Building, Threads, Unaccepted};

use crate::autoscale::{Plan, ScalingPolicy};
use crate::cancel::CancelToken;
use crate::clock::Clock;
use crate::error::{ResizeError, ShutdownError};
use crate::event::Event;
use crate::explain::{Explanation, StuckTask};
use crate::logger::Level;
use crate::metrics::{TaskLifecycleTimestamps, TaskMetrics};
use crate::outcome::{Outcome, TaskError};
use crate::queue::awaited::{Supervisor, Ticketed};
use crate::queue::job::{Job, Ran, Ticket};
use crate::queue::{Cancelling, Effects, Errand, News, Queue, Rules};
use crate::reporter::Reporter;
use crate::resource::lending::Shelf;
use crate::resource::slot::{Accounts, Failure};
use crate::retry::backoff::Backoff;
use crate::shutdown::{Phase, ShutdownReport};
use crate::stats::TaskStats;
use crate::sync::{Mutex, Ordering, Waiter};
use crate::task::{Name, Settings, TaskId};
use crate::worker::attempt::{discard, discard_for, on_behalf, seats_for};
use crate::worker::settle::{Case, Settled, Went};

/// How long after its limit a bounded shutdown still waits for code that has just been told to stop.
pub(crate) const GRACE: Duration = Duration::from_millis(100);

pub(crate) struct Engine<R, E, S = Threads<R, E>> {
    pub(crate) queue: Queue<R, E>,
    pub(crate) accounts: Accounts<E>,
    pub(crate) reporter: Reporter,
    pub(crate) clock: Clock,
    pub(crate) staff: S,
    pub(crate) rules: Rules,
    pub(crate) max_retries: u32,
    pub(crate) parent: Mutex<Option<(CancelToken, u64)>>,
    /// What the last failed creation failed with, for `explain`.
    pub(crate) last_failure: LastFailure<E>,
    pub(crate) me: Weak<Self>,
}

/// What an engine is made of besides its queue.
pub(crate) struct Parts<E> {
    pub(crate) accounts: Accounts<E>,
    pub(crate) rules: Rules,
    pub(crate) reporter: Reporter,
    pub(crate) max_retries: u32,
    pub(crate) clock: Clock,
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

/// Who does a manager's work: threads, or tasks of a runtime.
pub(crate) trait Staff<R, E>: Send + Sync + Sized + 'static {
    /// Starts a worker at a seat that has been taken for it.
    fn start_worker(engine: &Arc<Engine<R, E, Self>>, seat: usize, number: usize)
    -> io::Result<()>;

    /// Has the order carried out that lies at a seat nobody attends.
    fn run_errand(engine: &Arc<Engine<R, E, Self>>, errand: Errand);

    /// While somebody has it a shutdown is not over for those who await it.
    type Presence;

    /// Taken before the lock under which tasks may end, and kept until who waits for them has been told: whoever is the
    /// last one out meanwhile must not seem to be that.
    fn presence(engine: &Engine<R, E, Self>) -> Self::Presence;

    /// The manager is being killed: what is still being made or validated is given up where that can be done.
    fn give_up(_: &Arc<Engine<R, E, Self>>) {}

    /// Carries effects out that may take their time, so that the timekeeper need not.
    fn perform_elsewhere(engine: &Arc<Engine<R, E, Self>>, fx: Effects<R, E>);
}

impl<R, E, S> Engine<R, E, S> {
    /// The rooms of one manager around a queue that is its own.
    pub(crate) fn new(parts: Parts<E>, shelf: Box<dyn Shelf<R>>, staff: S) -> Arc<Self> {
        let Parts { accounts, rules, reporter, max_retries, clock } = parts;
        let sequence = Arc::clone(&reporter.sequence);
        Arc::new_cyclic(|me| Self {
            queue: Queue::new(rules.clone(), shelf, sequence, clock.now()),
            accounts,
            reporter,
            clock,
            staff,
            rules,
            max_retries,
            parent: Mutex::new(None),
            last_failure: LastFailure::none(),
            me: me.clone(),
        })
    }
}

impl<R: 'static, E: Send + 'static, S: Staff<R, E>> Engine<R, E, S> {
    /// A resource for the pool is made. It comes back where the pool needs none any more, to be destroyed.
    #[must_use]
    pub(crate) fn stock(self: &Arc<Self>, resource: R, took: Duration) -> Option<R> {
        let mut fx = Effects::new();
        let late = self.queue.stock(resource, took, fastrand::f64(), self.clock.now(), &mut fx);
        self.perform(fx);
        late
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

    /// What has been counted and timed so far. Arrivals are read last: each precedes its ending, so that none is
    /// shown as ended that is not shown as arrived.
    pub(crate) fn metrics(&self) -> TaskMetrics {
        self.reporter.metrics(self.clock.now(), |sum| self.queue.add_arrivals(sum))
    }

    /// Carries out what a change under the lock asks for.
    #[inline]
    pub(crate) fn perform(self: &Arc<Self>, fx: Effects<R, E>) {
        if fx.is_empty() {
            debug_assert!(fx.has_no_memory(), "what is forgotten must not leak");
            std::mem::forget(fx); // five vectors, each of which its drop would look at
        } else if fx.aside {
            self.perform_aside(fx);
        } else {
            self.carry_out(fx);
        }
    }

    /// Changes something and carries out what that asks for, for those who have no owned engine at hand.
    fn and_perform<T>(&self, change: impl FnOnce(Instant, &mut Effects<R, E>) -> T) -> T {
        let _present = S::presence(self);
        let mut fx = Effects::new();
        let result = change(self.clock.now(), &mut fx);
        if let Some(engine) = self.me.upgrade() {
            engine.perform(fx); // it is gone only where nothing is left to do
        }
        result
    }

    /// As [`perform`](Self::perform), for the timekeeper: a callback, or a drop, that takes its time must not stop
    /// every other deadline. And for workers that may have been given a task.
    pub(crate) fn perform_aside(self: &Arc<Self>, mut fx: Effects<R, E>) {
        let slow = fx.ended.iter().any(|(job, ..)| !job.ends_quietly());
        let observed = !self.reporter.observers.is_empty();
        if slow || (observed && fx.tells_of_tasks()) {
            S::perform_elsewhere(self, fx.split_off_endings());
        }
        self.carry_out(fx); // not `perform`: what was split off has left memory behind
    }

    fn carry_out(self: &Arc<Self>, fx: Effects<R, E>) {
        let Effects { wake, ended, cancel, admitted, news, over, look: _, aside: _ } = fx; // it has looked
        for waiter in wake {
            self.wake(waiter);
        }
        for item in &news {
            // Not in their turn: whoever is told of the others must not hold them up.
            match item {
                News::Errand(errand) => S::run_errand(self, *errand),
                News::Phase { phase: Phase::Killed, .. } => S::give_up(self),
                _ => {}
            }
        }
        for Cancelling { token, why, abort } in cancel {
            // A waker of the user's may run in here.
            let cancelled = on_behalf(self.identity(), || token.cancel_because(why));
            let aborted = on_behalf(self.identity(), || abort.then(|| token.abort()));
            for panic in [cancelled.err(), aborted.err()].into_iter().flatten() {
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
        let _present = (!ended.is_empty()).then(|| S::presence(self));
        for (job, error, accepted) in ended {
            if accepted {
                let ticket = job.ticket();
                let name = ticket.settings.name();
                self.tell_end(ticket.id(), name, error.outcome(), ticket.last());
            }
            self.finish(job, Err(error));
        }
        if over {
            self.queue.over.cancel(); // last, so that whoever waits for it finds everything told
        }
    }

    fn wake(&self, waiter: Waiter) {
        if let Err(panic) = on_behalf(self.identity(), || waiter.wake()) {
            self.reporter.panicked("a waker", panic);
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
            News::Stuck { sequence, task } => {
                self.reporter.log(Level::Warn, format_args!("{task}"));
                let StuckTask { id, name, running_for, location } = *task;
                let name = name.as_deref();
                self.reporter.emit_at(sequence, |sequence| Event::TaskStuck {
                    sequence,
                    id,
                    name,
                    running_for,
                    location,
                });
            }
            News::Errand(_) => {} // it is being run
            News::Hired { seat, number } => {
                if let Err(error) = S::start_worker(self, seat, number) {
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
    pub(crate) fn tell_end(
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

    pub(crate) fn finish(&self, job: Job<R, E>, ending: Result<(), TaskError<E>>) {
        if let Err(panic) = on_behalf(self.identity(), || job.finish(ending)) {
            self.reporter.panicked("the end of a task", panic);
        }
    }

    /// Delivers the value of an attempt that went well, where a task may have been given to this worker already.
    pub(crate) fn finish_briefly(self: &Arc<Self>, job: Job<R, E>) {
        match on_behalf(self.identity(), || job.finish_briefly()) {
            Ok(Ok(())) => {}
            // Nobody wants it any more, since this very moment: what its drop does holds up nobody elsewhere.
            Ok(Err(job)) => {
                let mut fx = Effects::new();
                fx.ended.push((job, TaskError::Killed, false));
                S::perform_elsewhere(self, fx);
            }
            Err(panic) => self.reporter.panicked("the end of a task", panic),
        }
    }

    pub(crate) fn tell_queued(&self, sequence: u64, id: TaskId, settings: &Settings) {
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
                Went::Wrong { healthy: self.accounts.is_healthy(&self.reporter, error) }
            }
            Ran::Panicked(_) => Went::Panicked,
        };
        self.case_of(went, settings, may_run_again, attempt)
    }

    pub(crate) fn case_of(
        &self,
        went: Went,
        settings: &Settings,
        may_run_again: bool,
        attempt: u32,
    ) -> Case {
        let max_retries = settings.max_retries;
        let validates = self.rules.life.validate_after.is_some();
        Case { went, cancelled: None, may_run_again, attempt, max_retries, validates }
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

    pub(crate) fn stats(&self) -> TaskStats {
        let count = self.queue.count();
        TaskStats {
            base_workers: count.worker_count,
            active_workers: count.active,
            burst_workers: count.burst,
            queued_tasks: count.queued,
            priority_tasks: count.high,
            available_resources: count.reserved,
            idle_workers: count.idle,
            running_tasks: count.running,
            recovering_workers: count.recovering,
            delayed_tasks: count.delayed,
            max_workers: count.max_worker_count,
            leaving_workers: count.leaving,
            paused: count.paused,
        }
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

    pub(crate) fn begin_stop(self: &Arc<Self>) -> Result<(), ShutdownError> {
        let _present = S::presence(self);
        let mut fx = Effects::new();
        let begun = self.queue.begin_stop(self.clock.now(), &mut fx);
        self.perform(fx);
        begun
    }

    pub(crate) fn begin_kill(self: &Arc<Self>) -> Result<(), ShutdownError> {
        let _present = S::presence(self);
        let mut fx = Effects::new();
        let begun = self.queue.begin_kill(self.clock.now(), &mut fx);
        self.perform(fx);
        begun
    }

    pub(crate) fn report(&self) -> ShutdownReport {
        // Destroyed before created: what is destroyed in between must not seem never to have been made.
        let resources_destroyed = self.accounts.destroyed.load(Ordering::Relaxed);
        ShutdownReport {
            resources_created: self.accounts.created.load(Ordering::Relaxed),
            resources_destroyed,
            destroy_errors: self.accounts.destroy_errors.load(Ordering::Relaxed),
            ..self.queue.report(self.clock.now())
        }
    }

    pub(crate) fn identity(&self) -> usize {
        self.reporter.identity()
    }
}

/// The task's end in the caller's words.
pub(crate) fn ending<E>(
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

impl<R: 'static, E: Send + 'static, S: Staff<R, E>> Supervisor for Engine<R, E, S> {
    fn cancel(&self, ticket: &Ticket) {
        self.and_perform(|now, fx| self.queue.cancel(ticket, now, fx));
    }

    fn seats(&self) -> Vec<usize> {
        seats_for(self.identity())
    }

    fn is_held_up_by_awaiting(&self) -> bool {
        self.rules.slots
    }

    fn block_scoped(&self, seats: Vec<usize>, task: Arc<dyn Ticketed>) -> u32 {
        self.and_perform(|now, fx| self.queue.block_scoped(seats, task, now, fx))
    }

    fn block(
        &self,
        known: Option<u32>,
        seats: Vec<usize>,
        task: Arc<dyn Ticketed>,
        waiter: Waiter,
    ) -> Option<u32> {
        self.and_perform(|now, fx| self.queue.block(known, seats, task, waiter, now, fx))
    }

    fn unblock(&self, key: u32) {
        let released = self.and_perform(|_, fx| self.queue.unblock(key, fx));
        discard_for(self.identity(), released);
    }
}

/// Starts a graceful stop when the parent token is cancelled.
struct StopOnCancel<R, E, S>(Weak<Engine<R, E, S>>);

impl<R: 'static, E: Send + 'static, S: Staff<R, E>> Wake for StopOnCancel<R, E, S> {
    fn wake(self: Arc<Self>) {
        if let Some(engine) = self.0.upgrade() {
            let _ = engine.begin_stop(); // refused only where a shutdown is under way already
        }
    }
}
