//! What every room of one manager shares, and the verbs that need more than one of them.

use std::io;
use std::sync::{Arc, Weak};
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use crate::cancel::CancelToken;
use crate::clock::Clock;
use crate::completion::Completion;
use crate::context::TaskContext;
use crate::detached::Cancels;
use crate::error::{BuildError, RejectReason, ShutdownError};
use crate::event::{DestroyReason, Event, Owner};
use crate::logger::Level;
use crate::metrics::TaskLifecycleTimestamps;
use crate::outcome::{Outcome, TaskError};
use crate::pool::Crew;
use crate::queue::job::{Job, Place, Ran, Runnable, Ticket};
use crate::queue::{
    Attempted, Borrowed, Denial, Effects, Guest, Loan, Mode, News, Queue, Rules, Submitted, Welcome,
};
use crate::reporter::Reporter;
use crate::resource::Hooks;
use crate::resource::lending::Lease;
use crate::resource::slot::Failure;
use crate::retry::backoff::Backoff;
use crate::shutdown::ShutdownReport;
use crate::sync::{Mutex, Ordering, park};
use crate::task::{Name, Settings, TaskId, Work};
use crate::worker::Worker;
use crate::worker::attempt::{attempt, discard, discard_for, is_working_for, on_behalf};
use crate::worker::settle::{Case, Settled, Verdict, Went, settle};

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
    pub(crate) me: Weak<Self>,
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
    pub(crate) fn start(self: &Arc<Self>) -> Result<(), BuildError<E>> {
        let result = self.try_start();
        self.queue.built();
        if result.is_err() {
            let _ = self.begin_kill();
            self.queue.await_done(None);
            self.crew.join(None);
        }
        result
    }

    fn try_start(self: &Arc<Self>) -> Result<(), BuildError<E>> {
        let mut seats = Vec::new();
        seats.extend((0..self.rules.worker_count).map_while(|_| self.queue.hire()));
        let building = Arc::new(Building::new(seats.len()));
        let mut spawned = self.start_thread("timekeeper", crate::timekeeper::keep_time);
        if spawned.is_ok() && self.rules.reserve_size > 0 {
            self.queue.engage_steward();
            spawned = self.start_thread("steward", crate::resource::reserve::keep_stocked);
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

    fn start_thread(self: &Arc<Self>, name: &str, run: fn(&Arc<Self>)) -> io::Result<()> {
        let engine = Arc::clone(self);
        self.crew.start(name, move || run(&engine))
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
        let Effects { wake, ended, cancel, admitted, news } = fx;
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
            News::Hired { seat, number } => {
                let engine = Arc::clone(self);
                let run = move || Worker::new(engine, seat, number).run(None);
                if let Err(error) = self.crew.start(number, run) {
                    self.reporter
                        .log(Level::Warn, format_args!("no thread for one more worker: {error}"));
                    let mut fx = Effects::new();
                    self.queue.left(seat, self.clock.now(), &mut fx);
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

    /// Runs a task on the calling thread with an idle worker's resource, waiting for one if need be.
    pub(crate) fn run_lent<K: Work<R, E>>(
        self: &Arc<Self>,
        mut work: K,
        settings: &Settings,
    ) -> Result<K::Output, TaskError<E>> {
        let queued_at = self.clock.now();
        let sequence = self.reporter.reserve_sequence();
        let mut fx = Effects::new();
        let borrowed = self.queue.borrow(
            settings,
            is_working_for(self.identity()),
            queued_at,
            sequence,
            &mut fx,
        );
        self.perform(fx);
        let (loan, started) = match borrowed {
            Borrowed::Refused(reason) => {
                discard(work);
                return Err(refusal(reason));
            }
            Borrowed::Loan(loan) => {
                self.reporter.arrival(queued_at);
                self.tell_queued(sequence, loan.id, settings);
                (loan, queued_at)
            }
            Borrowed::Claim { key, id, accepted } => {
                if accepted {
                    self.reporter.arrival(queued_at);
                    self.tell_queued(sequence, id, settings);
                }
                match self.await_claim(key, id, settings, None) {
                    Ok(loan) => (loan, self.clock.now()),
                    Err(error) => {
                        discard(work);
                        return Err(error);
                    }
                }
            }
        };
        let result = self.run_on_loan(&mut work, settings, loan, queued_at, started);
        discard(work);
        result
    }

    fn run_on_loan<K: Work<R, E>>(
        self: &Arc<Self>,
        work: &mut K,
        settings: &Settings,
        mut loan: Loan<R>,
        queued_at: Instant,
        mut started: Instant,
    ) -> Result<K::Output, TaskError<E>> {
        let name = settings.name();
        loop {
            let (id, attempts) = (loan.id, loan.attempt);
            let (ran, value) = self.attempt(work, settings, id, attempts, started, &mut loan.lease);
            let finished = self.clock.now();
            let times = TaskLifecycleTimestamps::new(queued_at, started, finished);
            let case = self.case(&ran, settings, work.may_run_again(), attempts);
            let delay = self.retry_delay(case);
            let unhealthy = matches!(case.went, Went::Wrong { healthy: false });
            let retried = if unhealthy { self.reporter.reserve_sequence() } else { 0 };
            let mut fx = Effects::new();
            let returned =
                self.queue.give_back(loan, settings, Attempted { case, delay, finished }, &mut fx);
            self.perform(fx);
            let Some(claim) = returned.claim else {
                let ending = ending(self.identity(), ran, returned.settled, attempts);
                let outcome = ending.as_ref().err().map_or(Outcome::Completed, TaskError::outcome);
                self.tell_end(id, name, outcome, Some(times));
                return ending.map(|()| value.expect("what went well has a value"));
            };
            discard_for(self.identity(), ran);
            self.reporter.retry();
            self.reporter.emit_at(retried, |sequence| Event::TaskRetried {
                sequence,
                id,
                name,
                attempt: attempts,
                delay,
            });
            loan = self.await_claim(claim, id, settings, Some(times))?;
            started = self.clock.now();
        }
    }

    fn await_claim(
        self: &Arc<Self>,
        key: u32,
        id: TaskId,
        settings: &Settings,
        last: Option<TaskLifecycleTimestamps>,
    ) -> Result<Loan<R>, TaskError<E>> {
        let granted = self.queue.await_claim(key, || self.clock.now(), |fx| self.perform(fx));
        granted.map_err(|Denial { error, accepted }| {
            if accepted {
                let name = settings.name();
                self.tell_end(id, name, error.outcome(), last);
            }
            error
        })
    }

    /// One attempt on the calling thread.
    fn attempt<K: Work<R, E>>(
        &self,
        work: &mut K,
        settings: &Settings,
        id: TaskId,
        attempts: u32,
        started: Instant,
        lease: &mut Lease<R>,
    ) -> (Ran<E>, Option<K::Output>) {
        let name = settings.name();
        self.reporter.emit(|sequence| Event::TaskStarted { sequence, id, name, attempt: attempts });
        let cx = TaskContext {
            id,
            attempt: attempts,
            name: settings.name.clone(),
            priority: settings.priority,
            deadline: settings.timeout.and_then(|limit| started.checked_add(limit)),
            token: lease.token.clone(),
        };
        let ran = attempt(self.identity(), work, &cx, &mut lease.resource);
        drop(cx);
        ran
    }

    /// `run_task` where resources may leave their threads; `to_idle` runs it on an idle worker's
    /// thread, or gives it back, where nothing is lent.
    pub(crate) fn run_now<K: Work<R, E>>(
        self: &Arc<Self>,
        work: K,
        settings: &Settings,
        to_idle: impl FnOnce(K) -> Result<Result<K::Output, TaskError<E>>, K>,
    ) -> Result<K::Output, TaskError<E>> {
        let queued_at = self.clock.now();
        let sequence = self.reporter.reserve_sequence();
        let welcome = |may_make| {
            let mut fx = Effects::new();
            let welcome = self.queue.welcome(settings, may_make, queued_at, &mut fx);
            self.perform(fx);
            welcome
        };
        let mut work = Once(work);
        let mut welcomed = welcome(self.rules.lends);
        if matches!(welcomed, Welcome::NothingPooled) {
            match to_idle(work.0) {
                Ok(result) => return result,
                Err(back) => work = Once(back),
            }
            welcomed = welcome(true);
        }
        let mut work = work.0;
        let result = match welcomed {
            Welcome::NothingPooled => unreachable!("only where nothing else was asked for"),
            Welcome::Refused(reason) => Err(refusal(reason)),
            Welcome::Lent(loan) => {
                self.reporter.arrival(queued_at);
                self.tell_queued(sequence, loan.id, settings);
                let mut once = SingleAttempt(&mut work);
                self.run_on_loan(&mut once, settings, loan, queued_at, queued_at)
            }
            Welcome::Pooled(guest, lease) => {
                self.reporter.arrival(queued_at);
                self.tell_queued(sequence, guest.id, settings);
                self.run_as_guest(&mut work, settings, guest, lease, true, queued_at, queued_at)
            }
            Welcome::Temporary(guest) => {
                self.reporter.arrival(queued_at);
                self.tell_queued(sequence, guest.id, settings);
                self.run_on_temporary(&mut work, settings, guest, queued_at)
            }
        };
        discard(work);
        result
    }

    fn run_on_temporary<K: Work<R, E>>(
        self: &Arc<Self>,
        work: &mut K,
        settings: &Settings,
        guest: Guest,
        queued_at: Instant,
    ) -> Result<K::Output, TaskError<E>> {
        let created = self.hooks.create(&self.reporter, Owner::Temporary, || self.clock.now());
        let started = self.clock.now();
        let error = match created {
            Ok(resource) => {
                let lease = Lease::new(resource, guest.token.clone());
                let mut fx = Effects::new();
                let may_start = self.queue.guest_starts(&guest, settings, started, &mut fx);
                self.perform(fx);
                let late = settings
                    .start_within
                    .is_some_and(|limit| started.saturating_duration_since(queued_at) >= limit);
                if may_start && !late {
                    return self
                        .run_as_guest(work, settings, guest, lease, false, queued_at, started);
                }
                let reason = if may_start { DestroyReason::Idle } else { DestroyReason::Shutdown };
                self.hooks.destroy(&self.reporter, *lease.resource, Owner::Temporary, reason);
                if may_start { TaskError::Expired } else { TaskError::Killed }
            }
            Err(Failure::Error(error)) => TaskError::CreateFailed(error),
            Err(Failure::Panicked(panic)) => TaskError::Panicked(panic),
        };
        let id = guest.id;
        let mut fx = Effects::new();
        self.queue.farewell(guest, error.outcome(), None, self.clock.now(), &mut fx);
        self.perform(fx);
        let name = settings.name();
        self.tell_end(id, name, error.outcome(), None);
        Err(error)
    }

    #[expect(clippy::too_many_arguments, reason = "one call site for each of two kinds of guest")]
    fn run_as_guest<K: Work<R, E>>(
        self: &Arc<Self>,
        work: &mut K,
        settings: &Settings,
        guest: Guest,
        mut lease: Lease<R>,
        pooled: bool,
        queued_at: Instant,
        started: Instant,
    ) -> Result<K::Output, TaskError<E>> {
        let id = guest.id;
        let (ran, value) = self.attempt(work, settings, id, 1, started, &mut lease);
        let finished = self.clock.now();
        let times = TaskLifecycleTimestamps::new(queued_at, started, finished);
        let cancelled = self.queue.guest_why(&guest).or_else(|| lease.token.why());
        let case = Case { cancelled, ..self.case(&ran, settings, false, 1) };
        let Verdict { task, condemned } = settle(case);
        let ending = ending(self.identity(), ran, task, 1);
        let outcome = ending.as_ref().err().map_or(Outcome::Completed, TaskError::outcome);
        let back = if pooled {
            Some((lease, condemned))
        } else {
            let reason = condemned.unwrap_or(DestroyReason::Idle);
            self.hooks.destroy(&self.reporter, *lease.resource, Owner::Temporary, reason);
            None
        };
        let mut fx = Effects::new();
        self.queue.farewell(guest, outcome, back, finished, &mut fx);
        self.perform(fx);
        let name = settings.name();
        self.tell_end(id, name, outcome, Some(times));
        ending.map(|()| value.expect("what went well has a value"))
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

/// Holds a closure while it is passed from one way of running to the next.
struct Once<K>(K);

/// A task that may not run again although its closure could.
struct SingleAttempt<'a, K>(&'a mut K);

impl<K> crate::task::sealed::Sealed for SingleAttempt<'_, K> {}

impl<R, E, K: Work<R, E>> Work<R, E> for SingleAttempt<'_, K> {
    type Output = K::Output;
    type Closure = ();

    fn attempt(&mut self, cx: &TaskContext, resource: &mut R) -> Result<K::Output, E> {
        self.0.attempt(cx, resource)
    }

    fn may_run_again(&self) -> bool {
        false
    }

    fn into_closure(self) -> Option<()> {
        None
    }
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
