//! Tasks that run on their caller's thread: with a borrowed, a pooled or a temporary resource.

use std::sync::Arc;
use std::time::Instant;

use super::{Engine, ending};
use crate::context::{Seat, TaskContext};
use crate::event::{DestroyReason, Event, Owner};
use crate::metrics::TaskLifecycleTimestamps;
use crate::outcome::{Outcome, TaskError};
use crate::queue::job::Ran;
use crate::queue::lanes::URGENT;
use crate::queue::{Attempted, Borrowed, Denial, Effects, Guest, Loan, Mode, Visit, Welcome};
use crate::resource::lending::{Lease, Pooled};
use crate::resource::slot::Failure;
use crate::task::{Settings, TaskId, Work};
use crate::worker::attempt::{attempt, discard, discard_for, is_working_for, seats_for};
use crate::worker::settle::{Case, Verdict, Went, settle};

impl<R: 'static, E: Send + 'static> Engine<R, E> {
    /// Runs a task on the calling thread with an idle worker's resource, waiting for one if need be.
    pub(crate) fn run_lent<K: Work<R, E>>(
        self: &Arc<Self>,
        mut work: K,
        settings: &Settings,
    ) -> Result<K::Output, TaskError<E>> {
        let queued_at = self.clock.now();
        let sequence = self.reporter.reserve_sequence();
        if let Some(loan) = self.queue.pick(settings, settings.priority.level(), queued_at) {
            let result = self.run_picked(&mut work, settings, loan, queued_at, sequence);
            discard(work);
            return result;
        }
        let mode = if is_working_for(self.identity()) { Mode::Inside } else { Mode::Wait };
        let mut fx = Effects::new();
        let borrowed = self.queue.borrow(settings, mode, queued_at, sequence, &mut fx);
        self.perform(fx);
        let (loan, started) = match borrowed {
            Borrowed::Refused(reason) => {
                discard(work);
                return Err(reason.into());
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
        let result = self.run_on_loan(&mut work, settings, loan, queued_at, started, None);
        discard(work);
        result
    }

    /// Runs a task on a resource from the rack: if it ends well, as most do, the queue need not know of it.
    fn run_picked<K: Work<R, E>>(
        self: &Arc<Self>,
        work: &mut K,
        settings: &Settings,
        mut loan: Loan<R>,
        queued_at: Instant,
        sequence: u64,
    ) -> Result<K::Output, TaskError<E>> {
        let id = loan.id;
        let Lease { mut resource, token } = loan.lease;
        self.reporter.arrival(queued_at);
        self.tell_queued(sequence, id, settings);
        let name = settings.name();
        self.reporter.emit(|sequence| Event::TaskStarted { sequence, id, name, attempt: 1 });
        let cx = TaskContext::new(id, 1, settings, queued_at, token, Seat::of(loan.seat));
        let (ran, value) = attempt(self.identity(), work, &cx, &mut *resource);
        loan.lease = Lease { resource, token: cx.into_token() };
        let finished = self.clock.now();
        if let Some(value) = value {
            match self.queue.lay_back(loan, finished) {
                Ok(()) => {
                    let times = TaskLifecycleTimestamps::new(queued_at, queued_at, finished);
                    self.tell_end(id, name, Outcome::Completed, Some(times));
                    return Ok(value);
                }
                Err(back) => {
                    let ran = Some((Ran::Well, Some(value), finished));
                    return self.run_on_loan(work, settings, back, queued_at, queued_at, ran);
                }
            }
        }
        let ran = Some((ran, value, finished));
        self.run_on_loan(work, settings, loan, queued_at, queued_at, ran)
    }

    /// Goes on with a task that has a worker's resource, and may have used it already.
    fn run_on_loan<K: Work<R, E>>(
        self: &Arc<Self>,
        work: &mut K,
        settings: &Settings,
        mut loan: Loan<R>,
        queued_at: Instant,
        mut started: Instant,
        mut ran: Option<(Ran<E>, Option<K::Output>, Instant)>,
    ) -> Result<K::Output, TaskError<E>> {
        let name = settings.name();
        loop {
            let (id, attempts) = (loan.id, loan.attempt);
            let (ran, value, finished) = ran.take().unwrap_or_else(|| {
                let seat = Seat::of(loan.seat);
                let lease = &mut loan.lease;
                let (ran, value) =
                    self.attempt(work, settings, seat, (id, attempts), started, lease);
                (ran, value, self.clock.now())
            });
            let times = TaskLifecycleTimestamps::new(queued_at, started, finished);
            let case = self.case(&ran, settings, work.may_run_again(), attempts);
            let delay = self.retry_delay(case);
            let unhealthy = matches!(case.went, Went::Wrong { healthy: false });
            let retried = if unhealthy { self.reporter.reserve_sequence() } else { 0 };
            let mut fx = Effects::new();
            let returned = self.queue.give_back(
                loan,
                settings,
                None,
                Attempted { case, delay, finished },
                &mut fx,
            );
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
        let seats = || seats_for(self.identity());
        let now = || self.clock.now();
        let granted = self.queue.await_claim(key, seats, now, |fx| self.perform(fx));
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
        seat: Seat,
        (id, attempts): (TaskId, u32),
        started: Instant,
        lease: &mut Lease<R>,
    ) -> (Ran<E>, Option<K::Output>) {
        let name = settings.name();
        self.reporter.emit(|sequence| Event::TaskStarted { sequence, id, name, attempt: attempts });
        let cx = TaskContext::new(id, attempts, settings, started, lease.token.clone(), seat);
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
        // Where there is no pool an idle worker's resource is the first to be asked for.
        let picked = (self.rules.reserve_size == 0)
            .then(|| self.queue.pick(settings, URGENT, queued_at))
            .flatten();
        if let Some(loan) = picked {
            let mut work = work;
            let result =
                self.run_picked(&mut SingleAttempt(&mut work), settings, loan, queued_at, sequence);
            discard(work);
            return result;
        }
        if let Some(visit) = self.queue.visit(settings, queued_at) {
            let mut work = work;
            let result = self.run_visit(&mut work, settings, visit, queued_at, sequence);
            discard(work);
            return result;
        }
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
            Welcome::Refused(reason) => Err(reason.into()),
            Welcome::Lent(loan) => {
                self.reporter.arrival(queued_at);
                self.tell_queued(sequence, loan.id, settings);
                let mut once = SingleAttempt(&mut work);
                self.run_on_loan(&mut once, settings, loan, queued_at, queued_at, None)
            }
            Welcome::Claim { key, id } => {
                self.reporter.arrival(queued_at);
                self.tell_queued(sequence, id, settings);
                self.await_claim(key, id, settings, None).and_then(|loan| {
                    let started = self.clock.now();
                    let mut once = SingleAttempt(&mut work);
                    self.run_on_loan(&mut once, settings, loan, queued_at, started, None)
                })
            }
            Welcome::Pooled { guest, pooled, check } => {
                self.reporter.arrival(queued_at);
                self.tell_queued(sequence, guest.id, settings);
                if check {
                    self.run_on_checked(&mut work, settings, guest, pooled, queued_at)
                } else {
                    let used = Used::Pooled(pooled);
                    self.run_as_guest(&mut work, settings, guest, used, queued_at, queued_at)
                }
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

    /// Runs on a pooled resource: if the task ends well, as most do, the queue need not know of it.
    fn run_visit<K: Work<R, E>>(
        self: &Arc<Self>,
        work: &mut K,
        settings: &Settings,
        mut visit: Visit<R>,
        queued_at: Instant,
        sequence: u64,
    ) -> Result<K::Output, TaskError<E>> {
        let id = visit.id;
        let Lease { mut resource, token } = visit.lease;
        self.reporter.arrival(queued_at);
        self.tell_queued(sequence, id, settings);
        let name = settings.name();
        self.reporter.emit(|sequence| Event::TaskStarted { sequence, id, name, attempt: 1 });
        let cx = TaskContext::new(id, 1, settings, queued_at, token, Seat::NONE);
        let (ran, value) = attempt(self.identity(), work, &cx, &mut *resource);
        visit.lease = Lease { resource, token: cx.into_token() };
        let finished = self.clock.now();
        let (visit, ran) = match value {
            Some(value) => match self.queue.end_visit(visit, finished) {
                Ok(()) => {
                    let times = TaskLifecycleTimestamps::new(queued_at, queued_at, finished);
                    self.tell_end(id, name, Outcome::Completed, Some(times));
                    return Ok(value);
                }
                Err(back) => (back, (Ran::Well, Some(value))),
            },
            None => (visit, (ran, None)),
        };
        let (guest, pooled) = self.queue.note_visit(visit, finished);
        let times = TaskLifecycleTimestamps::new(queued_at, queued_at, finished);
        self.settle_guest(settings, guest, Used::Pooled(pooled), ran, times)
    }

    /// Runs on the first pooled resource that is sound, or on a temporary one if none is.
    fn run_on_checked<K: Work<R, E>>(
        self: &Arc<Self>,
        work: &mut K,
        settings: &Settings,
        mut guest: Guest,
        mut pooled: Pooled<R>,
        queued_at: Instant,
    ) -> Result<K::Output, TaskError<E>> {
        let mut check = true;
        while check && !self.is_sound(&mut pooled.lease.resource) {
            let mut fx = Effects::new();
            let next = self.queue.exchange(&mut guest, pooled, self.clock.now(), &mut fx);
            self.perform(fx);
            match next {
                Some(next) => (pooled, check) = next,
                None => return self.run_on_temporary(work, settings, guest, queued_at),
            }
        }
        pooled.suspect = false;
        let started = self.clock.now();
        match self.too_late(&guest, settings, queued_at, started) {
            None => {
                let used = Used::Pooled(pooled);
                self.run_as_guest(work, settings, guest, used, queued_at, started)
            }
            Some(error) => Err(self.see_off(guest, settings, error, Some((pooled, None)))),
        }
    }

    /// Ends a guest's task that did not start.
    fn see_off(
        self: &Arc<Self>,
        guest: Guest,
        settings: &Settings,
        error: TaskError<E>,
        back: Option<(Pooled<R>, Option<DestroyReason>)>,
    ) -> TaskError<E> {
        let id = guest.id;
        let mut fx = Effects::new();
        self.queue.farewell(guest, error.outcome(), back, self.clock.now(), &mut fx);
        self.perform(fx);
        self.tell_end(id, settings.name(), error.outcome(), None);
        error
    }

    fn run_on_temporary<K: Work<R, E>>(
        self: &Arc<Self>,
        work: &mut K,
        settings: &Settings,
        guest: Guest,
        queued_at: Instant,
    ) -> Result<K::Output, TaskError<E>> {
        let created = self.create(Owner::Temporary);
        let started = self.clock.now();
        let error = match created {
            Ok((resource, _)) => {
                let lease = Lease::new(resource, guest.token.clone());
                let Some(error) = self.too_late(&guest, settings, queued_at, started) else {
                    let used = Used::Temporary(lease);
                    return self.run_as_guest(work, settings, guest, used, queued_at, started);
                };
                let reason = match error {
                    TaskError::Killed => DestroyReason::Shutdown,
                    _ => DestroyReason::Idle,
                };
                self.destroy(*lease.resource, Owner::Temporary, reason);
                error
            }
            Err(Failure::Error(error)) => TaskError::CreateFailed(error),
            Err(Failure::Panicked(panic)) => TaskError::Panicked(panic),
        };
        Err(self.see_off(guest, settings, error, None))
    }

    fn run_as_guest<K: Work<R, E>>(
        self: &Arc<Self>,
        work: &mut K,
        settings: &Settings,
        guest: Guest,
        mut used: Used<R>,
        queued_at: Instant,
        started: Instant,
    ) -> Result<K::Output, TaskError<E>> {
        let id = guest.id;
        let lease = used.lease();
        let (ran, value) = self.attempt(work, settings, Seat::NONE, (id, 1), started, lease);
        let times = TaskLifecycleTimestamps::new(queued_at, started, self.clock.now());
        self.settle_guest(settings, guest, used, (ran, value), times)
    }

    /// What the attempt of a guest has come to; the guest leaves.
    fn settle_guest<T>(
        self: &Arc<Self>,
        settings: &Settings,
        guest: Guest,
        mut used: Used<R>,
        (ran, value): (Ran<E>, Option<T>),
        times: TaskLifecycleTimestamps,
    ) -> Result<T, TaskError<E>> {
        let id = guest.id;
        let lease = used.lease();
        let cancelled = self.queue.guest_why(&guest).or_else(|| lease.token.why());
        let case = Case { cancelled, ..self.case(&ran, settings, false, 1) };
        let Verdict { task, condemned, suspect } = settle(case);
        let ending = ending(self.identity(), ran, task, 1);
        let outcome = ending.as_ref().err().map_or(Outcome::Completed, TaskError::outcome);
        let back = match used {
            Used::Pooled(mut pooled) => {
                pooled.suspect |= suspect;
                Some((pooled, condemned))
            }
            Used::Temporary(lease) => {
                let reason = condemned.unwrap_or(DestroyReason::Idle);
                self.destroy(*lease.resource, Owner::Temporary, reason);
                None
            }
        };
        let mut fx = Effects::new();
        self.queue.farewell(guest, outcome, back, times.finished_at, &mut fx);
        self.perform(fx);
        let name = settings.name();
        self.tell_end(id, name, outcome, Some(times));
        ending.map(|()| value.expect("what went well has a value"))
    }
}

/// What a guest runs on.
enum Used<R> {
    Pooled(Pooled<R>),
    Temporary(Lease<R>),
}

impl<R> Used<R> {
    fn lease(&mut self) -> &mut Lease<R> {
        match self {
            Self::Pooled(pooled) => &mut pooled.lease,
            Self::Temporary(lease) => lease,
        }
    }
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
