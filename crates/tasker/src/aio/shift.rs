//! A submitted task in the hands of a seat's runner: one attempt, whatever way it ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Core;
use super::attempt::{Attempt, Progress, attempt};
use super::guarded::Discarded;
use super::work::AsyncWork;
use crate::context::{Seat, TaskContext};
use crate::event::Event;
use crate::metrics::TaskLifecycleTimestamps;
use crate::outcome::TaskError;
use crate::queue::job::Job;
use crate::queue::{Attempted, Effects, Loan};
use crate::resource::lending::Lease;
use crate::worker::settle::{Gone, Settled, Went};

/// What an attempt works with. It goes into the attempt's future and comes back out of it; dropped on the way,
/// because the runtime is gone, it ends the task and sends the resource home.
pub(crate) struct Shift<R: Send + 'static, E: Send + 'static> {
    engine: Arc<Core<R, E>>,
    seat: usize,
    lease: Option<Lease<R>>,
    job: Option<Job<R, E>>,
    started: Instant,
    progress: Progress,
    came_to: Option<Attempt<(), E>>,
}

/// How a shift ended.
pub(crate) struct Ended<R, E> {
    pub(crate) lease: Lease<R>,
    pub(crate) job: Job<R, E>,
    pub(crate) attempt: Attempt<(), E>,
}

impl<R: Send + 'static, E: Send + 'static> Shift<R, E> {
    pub(crate) fn new(engine: &Arc<Core<R, E>>, seat: usize) -> Box<Self> {
        let (engine, started, progress) =
            (Arc::clone(engine), engine.clock.now(), Progress::Waiting);
        Box::new(Self { engine, seat, lease: None, job: None, started, progress, came_to: None })
    }

    /// A task's turn has come.
    pub(crate) fn begin(&mut self, lease: Lease<R>, job: Job<R, E>) {
        (self.lease, self.job) = (Some(lease), Some(job));
        self.progress = Progress::Waiting;
    }

    pub(crate) fn start_at(&mut self, now: Instant) {
        self.started = now;
    }

    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    pub(crate) fn job(&self) -> &Job<R, E> {
        self.job.as_ref().expect("a shift has its task until it ends")
    }

    pub(crate) fn end(&mut self) -> Ended<R, E> {
        let (lease, job) = (self.lease.take(), self.job.take());
        let (Some(lease), Some(job), Some(attempt)) = (lease, job, self.came_to.take()) else {
            unreachable!("a shift ends once, after its attempt");
        };
        Ended { lease, job, attempt }
    }

    /// The attempt; its value if it went well.
    async fn attempt<K: AsyncWork<R, E>>(&mut self, work: &mut Discarded<K>) -> Option<K::Output> {
        let Self { engine, seat, lease, job, started, progress, came_to } = self;
        let (Some(lease), Some(job)) = (lease, job) else {
            unreachable!("an attempt follows upon its resource");
        };
        let ticket = job.ticket();
        let settings = &ticket.settings;
        if lease.token.is_aborted() {
            *came_to = Some(Attempt::NOT_BEGUN);
            return None;
        }
        let late = settings
            .start_within
            .is_some_and(|limit| started.saturating_duration_since(ticket.queued_at) >= limit);
        if late && ticket.attempt() == 0 {
            *came_to = Some(Attempt::LATE);
            return None;
        }
        if let Some(limit) = settings.timeout {
            let mut fx = Effects::new();
            engine.queue.time_attempt(*seat, limit, *started, &mut fx);
            engine.perform(fx);
        }
        let number = ticket.begin_attempt();
        let (id, name) = (ticket.id(), settings.name());
        engine.reporter.emit(|sequence| Event::TaskStarted { sequence, id, name, attempt: number });
        let (token, at) = (lease.token.clone(), Seat::of(*seat));
        let cx = TaskContext::new(id, number, settings, *started, token, at);
        let resource = &mut *lease.resource;
        match attempt(engine.identity(), work, &cx, resource, progress).await {
            Attempt::Ended(ran, value) => {
                *came_to = Some(Attempt::Ended(ran, None));
                value
            }
            Attempt::Cut(went) => {
                *came_to = Some(Attempt::Cut(went));
                None
            }
        }
    }
}

/// One attempt of a task with what it works with, which comes back with the closure and its value.
pub(crate) async fn run_shift<R: Send + 'static, E: Send + 'static, K: AsyncWork<R, E>>(
    mut shift: Box<Shift<R, E>>,
    mut work: Discarded<K>, // dropped before the shift, if both are
) -> (Box<Shift<R, E>>, Discarded<K>, Option<K::Output>) {
    let value = shift.attempt(&mut work).await;
    (shift, work, value)
}

impl<R: Send + 'static, E: Send + 'static> Drop for Shift<R, E> {
    fn drop(&mut self) {
        let (Some(lease), Some(job)) = (self.lease.take(), self.job.take()) else { return };
        let core = &self.engine;
        core.strand(); // first, so that the seat gets no other task
        let ticket = job.ticket();
        let finished = core.clock.now();
        let (went, times) = match self.progress {
            Progress::Waiting => (Went::NotBegun(Gone::Runtime), ticket.last()),
            Progress::Running => {
                core.cancel_dropped(&lease.token);
                let (queued, started) = (ticket.queued_at, self.started);
                let times = TaskLifecycleTimestamps::new(queued, started, finished);
                (Went::Dropped(Gone::Runtime), Some(times))
            }
        };
        let case = core.case_of(went, &ticket.settings, false, 1); // it does not run again
        let attempted = Attempted { case, delay: Duration::ZERO, finished };
        let loan = Loan { seat: self.seat, lease, id: ticket.id(), attempt: ticket.attempt() };
        let mut fx = Effects::new();
        let returned =
            core.queue.give_back(loan, &ticket.settings, Some(ticket), attempted, &mut fx);
        core.perform(fx);
        if let Settled::Ends(outcome) = returned.settled {
            core.tell_end(ticket.id(), ticket.settings.name(), outcome, times);
        }
        core.finish(job, Err(TaskError::Killed));
    }
}
