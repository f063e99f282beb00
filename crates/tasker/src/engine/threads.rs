//! A manager whose workers are threads: how it starts, takes tasks in, and ends.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::{Engine, GRACE, Staff, ending};
use crate::autoscale::ScalingPolicy;
use crate::completion::Completion;
use crate::error::{BuildError, RejectReason, ShutdownError};
use crate::event::{DestroyReason, Owner};
use crate::metrics::TaskLifecycleTimestamps;
use crate::outcome::{Outcome, TaskError};
use crate::pool::Crew;
use crate::queue::job::{Job, Place, Ran, Runnable};
use crate::queue::{Effects, Errand, Mode, Submitted};
use crate::resource::Hooks;
use crate::resource::reserve::keep_stocked;
use crate::resource::slot::Failure;
use crate::shutdown::ShutdownReport;
use crate::sync::{Mutex, park};
use crate::timekeeper::keep_time;
use crate::worker::Worker;
use crate::worker::attempt::{discard, is_working_for};
use crate::worker::settle::Settled;

/// The threads, and the hooks that they call.
pub(crate) struct Threads<R, E> {
    pub(crate) crew: Crew,
    pub(crate) hooks: Hooks<R, E>,
}

impl<R: 'static, E: Send + 'static> Staff<R, E> for Threads<R, E> {
    fn start_worker(engine: &Arc<Engine<R, E>>, seat: usize, number: usize) -> io::Result<()> {
        let mine = Arc::clone(engine);
        engine.staff.crew.start(number, move || Worker::new(mine, seat, number).run(None))
    }

    /// A stop waits for threads of the manager's own. Whoever else tells an ending is waited for by nobody but its caller.
    type Presence = ();

    fn presence(_: &Engine<R, E>) {}

    fn run_errand(_: &Arc<Engine<R, E>>, _: Errand) {
        unreachable!("a thread attends its seat for as long as it lives");
    }

    fn perform_elsewhere(engine: &Arc<Engine<R, E>>, fx: Effects<R, E>) {
        let aside = Arc::new(Mutex::new(Some(fx)));
        let (mine, theirs) = (Arc::clone(engine), Arc::clone(&aside));
        let started = engine.staff.crew.start("messenger", move || {
            let fx = theirs.lock().take();
            fx.into_iter().for_each(|fx| mine.perform(fx));
        });
        if started.is_err() {
            let fx = aside.lock().take();
            fx.into_iter().for_each(|fx| engine.perform(fx));
        }
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

    /// As `wait`, for a future.
    #[cfg(any(feature = "tokio", all(test, loom)))]
    pub(crate) fn poll(&self, waker: &std::task::Waker) -> std::task::Poll<Option<Failure<E>>> {
        self.all_done.poll(waker).map(|()| self.state.lock().1.take())
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
            self.staff.crew.join(None);
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
                    .staff
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
        self.staff.crew.start(name, move || run(engine))
    }

    /// Makes a resource, and tells how long that took.
    pub(crate) fn create(&self, owner: Owner) -> Result<(R, Duration), Failure<E>> {
        let clock = || self.clock.now();
        self.staff.hooks.create(&self.accounts, &self.reporter, owner, clock)
    }

    /// Takes a resource apart.
    pub(crate) fn destroy(&self, resource: R, owner: Owner, reason: DestroyReason) {
        self.staff.hooks.destroy(&self.accounts, &self.reporter, resource, owner, reason);
    }

    /// Whether a resource may be used again.
    pub(crate) fn is_sound(&self, resource: &mut R) -> bool {
        self.staff.hooks.is_sound(&self.reporter, resource)
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
        let accepted = || {
            self.reporter.arrival(ticket.queued_at);
            self.tell_queued(sequence, ticket.id(), &ticket.settings);
        };
        let handed_in = match mode {
            Mode::Wait | Mode::Inside | Mode::Try => self.queue.hand_in(job),
            Mode::Urgent | Mode::UrgentToIdle => Err(job),
        };
        let Err(job) = handed_in else {
            accepted();
            return Ok(());
        };
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
                accepted();
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
            self.finish(job, Err(reason.unwrap_or(RejectReason::QueueFull).into()));
        }
    }

    /// A worker's task has ended: tells those who watch, then its caller.
    pub(crate) fn conclude(
        self: &Arc<Self>,
        job: Job<R, E>,
        ran: Ran<E>,
        settled: Settled,
        attempts: u32,
        times: TaskLifecycleTimestamps,
        brief: bool,
    ) {
        let ending = ending(self.identity(), ran, settled, attempts);
        let outcome = ending.as_ref().err().map_or(Outcome::Completed, TaskError::outcome);
        let ticket = job.ticket();
        let name = ticket.settings.name();
        self.tell_end(ticket.id(), name, outcome, Some(times));
        match ending {
            Ok(()) if brief => self.finish_briefly(job),
            ending => self.finish(job, ending),
        }
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
            self.staff.crew.join(limit.map(|_| GRACE));
        }
        done
    }
}

/// A task that was not accepted; no reason where it asked for an idle worker and there was none.
pub(crate) struct Unaccepted<R, E> {
    pub(crate) job: Job<R, E>,
    pub(crate) reason: Option<RejectReason>,
}
