//! What a worker asks of the queue: work, a rest, and what to do without a resource.

use std::time::{Duration, Instant};

use super::claim::Attempted;
use super::due::Due;
use super::job::Job;
use super::lanes::Next;
use super::{Effects, Queue, Running, Seat, State, Who};
use crate::cancel::CancelToken;
use crate::event::DestroyReason;
use crate::outcome::TaskError;
use crate::pool::roster::Condition;
use crate::resource::lending::Lease;
use crate::resource::life::Life;
use crate::resource::slot::Failure;
use crate::shutdown::Phase;
use crate::sync::{Waiter, park, yield_now};
use crate::worker::settle::{Settled, Verdict};

/// What a worker is to do.
pub(crate) enum Order<R, E> {
    /// Run a task.
    Run(Job<R, E>),
    /// Destroy the resource, make a new one.
    Replace(DestroyReason),
    /// Find out whether the resource is still sound.
    Check,
    /// Destroy the resource and go.
    Leave(DestroyReason),
}

/// What a worker does after it failed to get a resource.
pub(crate) enum AfterFailure<E> {
    /// Wait until it is due, then try again.
    Retry(Failure<E>),
    /// Go: others are there, or nothing is left to do.
    Leave(Failure<E>),
    /// Nobody else is there any more: a task has ended with the failure. Try again.
    Ended,
}

/// How often a worker lets others run and looks again before it sleeps. Whoever hands in tasks one after the other
/// is about to hand in the next one; to wake a thread for each costs as much as ten tasks.
const LOOKS: u32 = 8;

/// What became of a task that a worker ran.
pub(crate) struct Settlement<R, E> {
    pub(crate) verdict: Verdict,
    /// The task, unless it was queued again.
    pub(crate) job: Option<Job<R, E>>,
}

impl<R, E> Queue<R, E> {
    /// A seat for one more worker and the number it will have; `None` at the cap.
    pub(crate) fn hire(&self) -> Option<(usize, usize)> {
        self.lock().hire()
    }

    /// Gives a seat back whose thread could not be started.
    pub(crate) fn unhire(&self, seat: usize) {
        let mut state = self.lock();
        state.roster.vacate(seat);
    }

    /// The worker introduces itself. Orders given before lie ready.
    pub(crate) fn sit_down(&self, seat: usize, waiter: Waiter) {
        self.lock().seats[seat].waiter = Some(waiter);
    }

    /// The worker has nothing in hand but its resource: its next order, or `None` if it rests from now on.
    ///
    /// With an order `held` is the resource; at rest it may lie on the shelf.
    pub(crate) fn check_in(
        &self,
        seat: usize,
        held: &mut Option<Lease<R>>,
        mut now: Instant,
        clock: impl Fn() -> Instant,
        mut perform: impl FnMut(Effects<R, E>),
    ) -> Option<(Order<R, E>, Instant)> {
        // As long as there is user code to run (a callback of a task that has expired, an observer), the
        // worker does not rest: a task given to it meanwhile would wait for that code.
        loop {
            let mut fx = Effects::new();
            let mut guard = self.lock();
            let state = &mut *guard;
            state.clear_the_way(now, &mut fx);
            if fx.runs_user_code() {
                drop(guard);
                perform(fx);
                now = clock();
                continue;
            }
            let order = state.order_or_rest(seat, held, now, &mut fx);
            drop(guard);
            fx.aside = order.is_none() || !fx.ended.is_empty(); // expired behind a claim: found only now
            perform(fx);
            return order.map(|order| started(order, now));
        }
    }

    /// As [`settle_job`](Self::settle_job) and [`check_in`](Self::check_in) in one, for a task that ended well and whose
    /// delivery runs no code of the user's: that the worker tells its caller only then delays nobody. `None` in
    /// place of an order, or of rest, where `check_in` has to be called all the same.
    #[expect(clippy::type_complexity, reason = "an order, or rest, or neither")]
    pub(crate) fn settle_and_check_in(
        &self,
        seat: usize,
        held: &mut Option<Lease<R>>,
        job: Job<R, E>,
        attempted: Attempted,
        fx: &mut Effects<R, E>,
    ) -> (Settlement<R, E>, Option<Option<(Order<R, E>, Instant)>>) {
        let now = attempted.finished;
        let mut state = self.lock_beside_inbox();
        let state = &mut *state;
        let lease = held.as_mut().expect("its task used it");
        let settlement = state.settle_job(seat, lease, job, attempted, fx);
        let Verdict { condemned, suspect, .. } = &settlement.verdict;
        if condemned.is_some() || *suspect {
            return (settlement, None);
        }
        if let Some(order) = state.run_next(seat, now, fx) {
            fx.aside = !fx.ended.is_empty();
            return (settlement, Some(Some(started(order, now))));
        }
        state.close_inbox();
        state.clear_the_way(now, fx);
        if fx.runs_user_code() {
            return (settlement, None);
        }
        let order = state.order_or_rest(seat, held, now, fx);
        fx.aside = order.is_none() || !fx.ended.is_empty();
        (settlement, Some(order.map(|order| started(order, now))))
    }

    /// A resting worker sleeps until it is given an order.
    pub(crate) fn await_order(
        &self,
        seat: usize,
        held: &mut Option<Lease<R>>,
        clock: impl Fn() -> Instant,
    ) -> (Order<R, E>, Instant) {
        let mut looks = 0;
        loop {
            match self.take_order(seat, held) {
                Some(order) => return started(order, clock()),
                None if looks < LOOKS => {
                    looks += 1;
                    yield_now();
                }
                None => park(),
            }
        }
    }

    /// The order that lies at a seat, with the resource where that lies on the shelf.
    pub(crate) fn take_order(
        &self,
        seat: usize,
        held: &mut Option<Lease<R>>,
    ) -> Option<Order<R, E>> {
        let mut state = self.lock();
        let order = state.seats[seat].order.take()?;
        state.pick_up(seat, held);
        Some(order)
    }

    /// Nobody attends the seat from here on, whose resource is at rest; unless there is an order after all.
    #[cfg(any(feature = "tokio", all(test, loom)))]
    pub(crate) fn get_up(&self, seat: usize, held: &mut Option<Lease<R>>) -> Option<Order<R, E>> {
        let mut state = self.lock();
        let order = state.seats[seat].order.take();
        if order.is_some() {
            state.pick_up(seat, held);
            return order;
        }
        let it = &mut state.seats[seat];
        it.attended = false;
        let waiter = it.waiter.take();
        drop(state);
        drop(waiter);
        None
    }

    /// A worker's attempt has returned: counts the task's end or queues it again.
    pub(crate) fn settle_job(
        &self,
        seat: usize,
        lease: &mut Lease<R>,
        job: Job<R, E>,
        attempted: Attempted,
        fx: &mut Effects<R, E>,
    ) -> Settlement<R, E> {
        self.lock().settle_job(seat, lease, job, attempted, fx)
    }

    /// The worker has a resource now, which took so long to make; gives the token for what will run on it.
    /// `draw`, even in `0.0..1.0`, is for its lifetime.
    pub(crate) fn equipped(
        &self,
        seat: usize,
        took: Duration,
        draw: f64,
        now: Instant,
        fx: &mut Effects<R, E>,
    ) -> CancelToken {
        let mut state = self.lock();
        let state = &mut *state;
        state.note_creation(Some(took));
        state.roster.set(seat, Condition::Busy);
        state.seats[seat].creating_since = None;
        state.begin_life(seat, draw, now, fx);
        state.watch(now, fx);
        let seat = &mut state.seats[seat];
        seat.order = None; // whatever was said to the worker without a resource is moot
        seat.token = CancelToken::new();
        seat.token.clone()
    }

    /// Whether a worker that has no resource should rather go than try (again) to get one. If not, it
    /// begins now.
    pub(crate) fn should_leave_unequipped(&self, seat: usize, now: Instant) -> bool {
        let mut state = self.lock();
        let state = &mut *state;
        let told = matches!(state.seats[seat].order, Some(Order::Leave(_)));
        let successor = state.seats[seat].predecessor.is_some();
        // Only while it matters, since it looks at everybody.
        let many = state.phase == Phase::Running
            && match successor {
                true => state.roster.staying() > state.cap(),
                false => state.surplus() > 0,
            };
        // The last one of a stop does what is left, stuck before or not.
        let aside = state.seats[seat].set_aside
            && (state.phase == Phase::Running || state.roster.staying() > 1);
        let leaves = state.drained() || told || many || aside;
        if leaves {
            state.roster.set(seat, Condition::Leaving);
        } else {
            state.seats[seat].creating_since = Some(now);
        }
        leaves
    }

    /// A worker failed to get a resource.
    pub(crate) fn create_failed(
        &self,
        seat: usize,
        failure: Failure<E>,
        delay: Duration,
        now: Instant,
        fx: &mut Effects<R, E>,
    ) -> AfterFailure<E> {
        let mut state = self.lock();
        let state = &mut *state;
        state.seats[seat].creating_since = None;
        state.note_creation(None);
        // Whoever goes is marked under the same lock: two that fail together must not both count on
        // the other to do what is left.
        if state.drained() || matches!(state.seats[seat].order, Some(Order::Leave(_))) {
            state.roster.set(seat, Condition::Leaving);
            return AfterFailure::Leave(failure);
        }
        if state.phase == Phase::Running {
            let at = now.checked_add(delay).unwrap_or(now);
            let retry = state.appoint(at, Due::Recover(seat), fx);
            state.seats[seat].retry = Some(retry);
            state.regroup();
            return AfterFailure::Retry(failure);
        }
        // Stopping. As long as another worker is there, it does what is left.
        if state.roster.staying() > 1 {
            state.roster.set(seat, Condition::Leaving);
            return AfterFailure::Leave(failure);
        }
        match state.lanes.next() {
            Some(next) => {
                let who = state.unqueue(next, now);
                state.admit(now, fx);
                // Here, and not when the lock is free: a future that is dropped in between would find its
                // claim nowhere.
                let error = match failure {
                    Failure::Error(error) => TaskError::CreateFailed(error),
                    Failure::Panicked(panic) => TaskError::Panicked(panic),
                };
                state.end(who, error, fx);
                AfterFailure::Ended
            }
            None => {
                state.roster.set(seat, Condition::Leaving);
                AfterFailure::Leave(failure)
            }
        }
    }

    /// Blocks a worker without a resource until its retry is due or the phase changes.
    pub(crate) fn await_retry(&self, seat: usize) {
        while self.is_retry_ahead(seat) {
            park();
        }
    }

    /// Whether a worker without a resource has to wait (on) for its retry.
    pub(crate) fn is_retry_ahead(&self, seat: usize) -> bool {
        let mut state = self.lock();
        let leave = matches!(state.seats[seat].order, Some(Order::Leave(_)));
        let Some(retry) = state.seats[seat].retry else { return false };
        if leave || state.phase != Phase::Running {
            state.agenda.remove(retry);
            state.seats[seat].retry = None;
            state.regroup();
            return false;
        }
        true
    }

    /// The worker is about to destroy what it has, if anything, and go.
    pub(crate) fn leaving(&self, seat: usize) {
        let mut state = self.lock();
        state.roster.set(seat, Condition::Leaving);
    }

    /// The worker is gone.
    pub(crate) fn left(&self, seat: usize, now: Instant, fx: &mut Effects<R, E>) {
        self.left_and(seat, true, now, fx);
    }

    /// The same, where it may be that nobody can be hired.
    pub(super) fn left_and(&self, seat: usize, hires: bool, now: Instant, fx: &mut Effects<R, E>) {
        let mut state = self.lock();
        let state = &mut *state;
        state.seats[seat].order = None;
        state.seats[seat].waiter = None;
        state.unlink(seat, now, fx);
        state.roster.vacate(seat);
        state.bring_back(seat);
        if state.roster.live() == 0 && state.phase != Phase::Running {
            // Only if the last seat was one whose thread could not be started: nobody may wait for ever.
            for who in state.take_all_waiting(now) {
                state.end(who, TaskError::Killed, fx);
            }
        }
        self.check_done(state, now, fx);
        state.watch(now, fx);
        state.relieve(hires, now, fx);
    }
}

/// An order with the time from which it counts: a task that was submitted after the worker last read the
/// clock has not started before.
fn started<R, E>(order: Order<R, E>, now: Instant) -> (Order<R, E>, Instant) {
    let at = match &order {
        Order::Run(job) => now.max(job.ticket().queued_at),
        Order::Replace(_) | Order::Check | Order::Leave(_) => now,
    };
    (order, at)
}

impl<R, E> State<R, E> {
    pub(crate) fn hire(&mut self) -> Option<(usize, usize)> {
        let seat = self.roster.hire()?;
        let number = self.hired;
        self.hired += 1;
        self.epochs += 1;
        let fresh = Seat {
            number,
            waiter: None,
            attended: true,
            token: CancelToken::new(),
            running: Running::none(),
            order: None,
            retry: None,
            creating_since: None,
            life: Life::none(),
            age: None,
            parting: None,
            successor: None,
            predecessor: None,
            blocked: 0,
            epoch: self.epochs,
            set_aside: false,
        };
        if seat == self.seats.len() {
            self.seats.push(fresh);
        } else {
            self.seats[seat] = fresh;
        }
        Some((seat, number))
    }

    fn settle_job(
        &mut self,
        seat: usize,
        lease: &mut Lease<R>,
        job: Job<R, E>,
        attempted: Attempted,
        fx: &mut Effects<R, E>,
    ) -> Settlement<R, E> {
        let Attempted { case, delay, finished: now } = attempted;
        let verdict = self.settle(seat, lease, case, now);
        if verdict.condemned.is_some() {
            self.roster.set(seat, Condition::Recovering);
            self.forget_age(seat);
        }
        job.ticket().set_place(super::job::Place::Nowhere);
        let job = match verdict.task {
            Settled::Ends(outcome) => {
                self.tally.end(outcome.fate());
                Some(job)
            }
            Settled::RunsAgain => {
                self.queue_retry(Who::Job(job), delay, now, fx);
                None
            }
        };
        if self.phase != Phase::Running {
            self.dismiss_if_drained(fx);
        }
        Settlement { verdict, job }
    }

    /// The job that is next, where there is nothing else to ask: it cannot have expired, and worker and manager go on as
    /// they are. What [`freed`](Self::freed) would say, without a way to the shelf and back.
    fn run_next(
        &mut self,
        seat: usize,
        now: Instant,
        fx: &mut Effects<R, E>,
    ) -> Option<Order<R, E>> {
        let goes_on = self.phase == Phase::Running && !self.paused && !self.shrinking;
        let stays = self.seats[seat].parting.is_none() && self.rules.life.max_uses.is_none();
        let busy = self.roster.condition(seat) == Some(Condition::Busy);
        let Some(Next::Job(spot)) = self.lanes.next().filter(|_| goes_on && stays && busy) else {
            return None;
        };
        if self.lanes.job(spot)?.expiry().is_some() || !self.precedes_inbox(spot.level) {
            return None;
        }
        let Who::Job(job) = self.unqueue(Next::Job(spot), now) else { unreachable!() };
        self.admit(now, fx);
        self.begin(seat, &job, now, fx);
        if self.roster.idle() > 0 {
            self.floor(now, fx);
        }
        Some(Order::Run(job))
    }

    /// The next order of a worker that has nothing in hand but its resource, or rest.
    fn order_or_rest(
        &mut self,
        seat: usize,
        held: &mut Option<Lease<R>>,
        now: Instant,
        fx: &mut Effects<R, E>,
    ) -> Option<Order<R, E>> {
        if let Some(order) = self.run_next(seat, now, fx) {
            return Some(order); // with the resource in its hands, as before
        }
        if let Some(lease) = held.take_if(|_| self.rules.lends) {
            self.shelf.put(seat, lease);
        }
        let mut order = self.freed(seat, now, fx);
        if self.rules.slots && order.is_none() {
            // At rest for a moment it may have been given one by `floor`, which let somebody in when the last
            // claim had expired and found this one stale. Now is sooner than the next look.
            order = self.seats[seat].order.take();
        }
        if order.is_some() {
            self.pick_up(seat, held);
        }
        order
    }

    fn pick_up(&mut self, seat: usize, held: &mut Option<Lease<R>>) {
        if let Some(lease) = self.shelf.take(seat) {
            *held = Some(lease);
        }
    }
}
