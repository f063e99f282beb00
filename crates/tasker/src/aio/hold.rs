//! What a task's future has in its hands: a claim, or a loan. Whatever way the future ends, it is given up
//! here.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Core;
use super::attempt::{Attempt, Progress, attempt, ending};
use super::guarded::Discarded;
use super::work::AsyncWork;
use crate::context::{Seat, TaskContext};
use crate::error::RejectReason;
use crate::event::Event;
use crate::metrics::TaskLifecycleTimestamps;
use crate::outcome::{Outcome, TaskError};
use crate::queue::job::Ran;
use crate::queue::{Abandoned, Attempted, Borrowed, Denial, Effects, Loan, Mode};
use crate::task::{Settings, TaskId};
use crate::worker::attempt::{discard_for, is_working_for, seats_for};
use crate::worker::settle::{Case, Gone, Settled, Went};

/// How a task ended, and its value if it went well.
type Ending<T, E> = (Result<(), TaskError<E>>, Option<T>);

/// A task's place, or its resource.
pub(crate) enum Held<R> {
    Nothing,
    Claim(u32),
    Loan(Loan<R>),
}

/// Where a task is that was let in.
pub(crate) struct Admitted<R> {
    pub(crate) id: TaskId,
    pub(crate) held: Held<R>,
    pub(crate) queued_at: Instant,
}

/// A task on its way in, or let in, with what it has.
pub(crate) struct Hold<'a, R: Send + 'static, E: Send + 'static> {
    core: &'a Arc<Core<R, E>>,
    id: TaskId,
    settings: Settings,
    held: Held<R>,
    queued_at: Instant,
    started: Instant,
    progress: Progress,
    /// The times of the last attempt, of a task that waits for another.
    last: Option<TaskLifecycleTimestamps>,
}

/// Lets a task in, and gives it a resource or a place in its lane.
fn admit<R: Send + 'static, E: Send + 'static>(
    core: &Arc<Core<R, E>>,
    settings: &Settings,
) -> Result<Admitted<R>, RejectReason> {
    let queued_at = core.clock.now();
    let sequence = core.reporter.reserve_sequence();
    if let Some(loan) = core.queue.pick(settings, settings.priority.level(), queued_at) {
        let id = loan.id;
        core.reporter.arrival(queued_at);
        core.tell_queued(sequence, id, settings);
        return Ok(Admitted { id, held: Held::Loan(loan), queued_at });
    }
    // A task that waits for room in its own manager could wait for itself.
    let mode = if is_working_for(core.identity()) { Mode::Inside } else { Mode::Wait };
    let mut fx = Effects::new();
    let borrowed = core.queue.borrow(settings, mode, queued_at, sequence, &mut fx);
    core.perform(fx);
    let (held, id, accepted) = match borrowed {
        Borrowed::Refused(reason) => return Err(reason),
        Borrowed::Loan(loan) => {
            let id = loan.id;
            (Held::Loan(loan), id, true)
        }
        Borrowed::Claim { key, id, accepted } => (Held::Claim(key), id, accepted),
    };
    if accepted {
        core.reporter.arrival(queued_at);
        core.tell_queued(sequence, id, settings);
    }
    Ok(Admitted { id, held, queued_at })
}

impl<'a, R: Send + 'static, E: Send + 'static> Hold<'a, R, E> {
    pub(crate) fn new(
        core: &'a Arc<Core<R, E>>,
        settings: Settings,
        admitted: Admitted<R>,
    ) -> Self {
        let Admitted { id, held, queued_at } = admitted;
        let (progress, last) = (Progress::Waiting, None);
        Self { core, id, settings, held, queued_at, started: queued_at, progress, last }
    }

    /// Lets an awaited task in and runs it to its end.
    pub(crate) async fn run_awaited<K: AsyncWork<R, E>>(
        core: &'a Arc<Core<R, E>>,
        settings: Settings,
        work: Discarded<K>,
    ) -> Result<K::Output, TaskError<E>> {
        // A loop of tasks that never wait leaves the others of its runtime their turn.
        tokio::task::consume_budget().await;
        match admit(core, &settings) {
            Ok(admitted) => {
                let mut hold = Self::new(core, settings, admitted);
                hold.run(work, true).await
            }
            Err(reason) => Err(reason.into()),
        }
    }

    /// Runs the task to its end. With `again` it may have more than one attempt.
    pub(crate) async fn run<K: AsyncWork<R, E>>(
        &mut self,
        mut work: Discarded<K>,
        again: bool,
    ) -> Result<K::Output, TaskError<E>> {
        loop {
            self.acquire().await?;
            let attempt = self.attempt(&mut work).await;
            if let Some((ending, value)) = self.settle(attempt, again && K::MAY_RUN_AGAIN) {
                drop(work); // before its outcome is known to anybody
                return ending.map(|()| value.expect("what went well has a value"));
            }
        }
    }

    /// Waits for a resource.
    async fn acquire(&mut self) -> Result<(), TaskError<E>> {
        let key = match self.held {
            Held::Claim(key) => key,
            Held::Nothing | Held::Loan(_) => return Ok(()),
        };
        let mut noted = false;
        let answer = poll_fn(|cx| {
            let answer = self.core.queue.poll_claim(key, cx.waker());
            if answer.is_pending() {
                noted = self.block(key, noted); // woken by its waker if it is refused
            }
            answer
        })
        .await;
        match answer {
            Ok(loan) => {
                self.held = Held::Loan(loan);
                self.started = self.core.clock.now();
                Ok(())
            }
            Err(denial) => {
                self.held = Held::Nothing;
                if denial.accepted {
                    self.tell_end(denial.error.outcome(), self.last);
                }
                Err(denial.error)
            }
        }
    }

    /// Says in which tasks of the same manager it is polled, if that has changed; whether in any. `noted` is what it
    /// said last.
    fn block(&self, key: u32, noted: bool) -> bool {
        let seats = seats_for(self.core.identity());
        let inside = !seats.is_empty();
        if inside || noted {
            let mut fx = Effects::new();
            self.core.queue.block_claim(key, seats, self.core.clock.now(), &mut fx);
            self.core.perform(fx);
        }
        inside
    }

    fn tell_end(&self, outcome: Outcome, times: Option<TaskLifecycleTimestamps>) {
        self.core.tell_end(self.id, self.settings.name(), outcome, times);
    }

    async fn attempt<K: AsyncWork<R, E>>(
        &mut self,
        work: &mut Discarded<K>,
    ) -> Attempt<K::Output, E> {
        let Held::Loan(loan) = &mut self.held else {
            unreachable!("an attempt follows upon its resource");
        };
        if loan.lease.token.is_aborted() {
            return Attempt::NOT_BEGUN;
        }
        let waited = self.started.saturating_duration_since(self.queued_at);
        if loan.attempt == 1 && self.settings.start_within.is_some_and(|limit| waited >= limit) {
            return Attempt::LATE;
        }
        let (settings, core) = (&self.settings, self.core);
        if let Some(limit) = settings.timeout {
            let mut fx = Effects::new();
            core.queue.time_attempt(loan.seat, limit, self.started, &mut fx);
            core.perform(fx);
        }
        let (id, attempts) = (loan.id, loan.attempt);
        let name = settings.name();
        core.reporter.emit(|sequence| Event::TaskStarted { sequence, id, name, attempt: attempts });
        let (token, seat) = (loan.lease.token.clone(), Seat::of(loan.seat));
        let cx = TaskContext::new(id, attempts, settings, self.started, token, seat);
        let resource = &mut *loan.lease.resource;
        attempt(core.identity(), work, &cx, resource, &mut self.progress).await
    }

    /// Gives the resource back after an attempt; the task's end, unless it runs again.
    fn settle<T>(&mut self, attempt: Attempt<T, E>, again: bool) -> Option<Ending<T, E>> {
        let core = self.core;
        let Held::Loan(mut loan) = std::mem::replace(&mut self.held, Held::Nothing) else {
            unreachable!("an attempt had its resource");
        };
        self.progress = Progress::Waiting;
        let (id, attempts) = (self.id, loan.attempt);
        let finished = core.clock.now();
        let times = TaskLifecycleTimestamps::new(self.queued_at, self.started, finished);
        if matches!(attempt, Attempt::Ended(Ran::Well, Some(_))) {
            loan = match core.queue.lay_back(loan, finished) {
                Ok(()) => {
                    let Attempt::Ended(_, value) = attempt else {
                        unreachable!("it was just seen")
                    };
                    self.tell_end(Outcome::Completed, Some(times));
                    return Some((Ok(()), value));
                }
                Err(loan) => loan,
            };
        }
        let (case, ran, value) = match attempt {
            Attempt::Ended(ran, value) => {
                let case = core.case(&ran, &self.settings, again, attempts);
                (case, Some(ran), value)
            }
            Attempt::Cut(went) => (self.case_of(went), None, None),
        };
        let delay = core.retry_delay(case);
        let unhealthy = matches!(case.went, Went::Wrong { healthy: false });
        let retried = if unhealthy { core.reporter.reserve_sequence() } else { 0 };
        let mut fx = Effects::new();
        let attempted = Attempted { case, delay, finished };
        let returned = core.queue.give_back(loan, &self.settings, None, attempted, &mut fx);
        core.perform(fx);
        let name = self.settings.name();
        if let Some(key) = returned.claim {
            discard_for(core.identity(), ran);
            (self.held, self.last) = (Held::Claim(key), Some(times));
            core.reporter.retry();
            core.reporter.emit_at(retried, |sequence| Event::TaskRetried {
                sequence,
                id,
                name,
                attempt: attempts,
                delay,
            });
            return None;
        }
        let ending = ending(core.identity(), ran, returned.settled, attempts);
        let outcome = ending.as_ref().err().map_or(Outcome::Completed, TaskError::outcome);
        self.tell_end(outcome, if case.went.has_begun() { Some(times) } else { self.last });
        Some((ending, value))
    }

    fn case_of(&self, went: Went) -> Case {
        self.core.case_of(went, &self.settings, false, 1) // it does not run again
    }

    /// The claim's future is gone.
    fn abandon(&self, key: u32) {
        let outcome = Outcome::Cancelled;
        let mut fx = Effects::new();
        let abandoned = self.core.queue.abandon(key, outcome, self.core.clock.now(), &mut fx);
        self.core.perform(fx);
        match abandoned {
            Abandoned::Waiting { accepted: true } => self.tell_end(outcome, self.last),
            Abandoned::Waiting { accepted: false } => {}
            Abandoned::Granted(loan) => self.put_back(loan),
            Abandoned::Denied(Denial { error, accepted }) => {
                if accepted {
                    self.tell_end(error.outcome(), self.last);
                }
                discard_for(self.core.identity(), error);
            }
        }
    }

    /// The future is gone that had, or was going to have, this resource.
    fn put_back(&self, loan: Loan<R>) {
        let core = self.core;
        let finished = core.clock.now();
        let (went, times) = match self.progress {
            Progress::Waiting => (Went::NotBegun(Gone::Caller), self.last),
            Progress::Running => {
                core.cancel_dropped(&loan.lease.token);
                let times = TaskLifecycleTimestamps::new(self.queued_at, self.started, finished);
                (Went::Dropped(Gone::Caller), Some(times))
            }
        };
        let case = self.case_of(went);
        let attempted = Attempted { case, delay: Duration::ZERO, finished };
        let mut fx = Effects::new();
        let returned = core.queue.give_back(loan, &self.settings, None, attempted, &mut fx);
        core.perform(fx);
        if let Settled::Ends(outcome) = returned.settled {
            self.tell_end(outcome, times);
        }
    }
}

impl<R: Send + 'static, E: Send + 'static> Drop for Hold<'_, R, E> {
    fn drop(&mut self) {
        match std::mem::replace(&mut self.held, Held::Nothing) {
            Held::Nothing => {}
            Held::Claim(key) => self.abandon(key),
            Held::Loan(loan) => self.put_back(loan),
        }
    }
}
