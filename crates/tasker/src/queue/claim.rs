//! How a blocked caller waits for a resource, gets one, and gives it back.

use std::panic::Location;
use std::time::{Duration, Instant};

use super::delay::Appointment;
use super::due::Due;
use super::job::{Place, Ticket};
use super::lanes::Next;
use super::seat::Order;
use super::{Effects, Entry, NAP, OVERTAKING, Queue, State, Who};
use crate::cancel::CancelToken;
use crate::outcome::TaskError;
use crate::pool::roster::Condition;
use crate::resource::lending::Lease;
use crate::shutdown::Phase;
use crate::sync::{Waiter, park, park_timeout};
use crate::task::{Name, Priority, Settings, TaskId};
use crate::worker::settle::{Case, Settled, Verdict, settle};

/// A resource in the hands of a caller.
pub(crate) struct Loan<R> {
    pub(crate) seat: usize,
    pub(crate) lease: Lease<R>,
    pub(crate) id: TaskId,
    pub(crate) attempt: u32,
}

/// Who waits for a resource to run a task on: a blocked caller, or a future.
pub(crate) struct Claim<E> {
    /// A thread, or the waker that the last poll left.
    pub(crate) waiter: Option<Waiter>,
    pub(crate) level: usize,
    place: Place,
    pub(crate) id: TaskId,
    pub(crate) name: Option<Name>,
    pub(crate) location: &'static Location<'static>,
    pub(crate) priority: Priority,
    pub(crate) timeout: Option<Duration>,
    pub(crate) since: Instant,
    pub(crate) attempt: u32,
    pub(crate) until: Option<Instant>,
    pub(crate) status: Status<E>,
    /// Whoever waits is in the middle of a task of the same manager.
    pub(super) blocked: Option<u32>,
}

pub(crate) enum Status<E> {
    Waiting,
    Granted(usize),
    Denied(Denial<E>),
}

/// Why a blocked caller gets no resource, and whether its task had been accepted.
pub(crate) struct Denial<E> {
    pub(crate) error: TaskError<E>,
    pub(crate) accepted: bool,
}

/// What a blocked caller does next.
enum Step<R, E> {
    Go(Loan<R>),
    Denied(Denial<E>),
    Nap(Duration),
    Sleep,
}

impl<E> Claim<E> {
    pub(crate) fn new(
        id: TaskId,
        settings: &Settings,
        level: usize,
        now: Instant,
        waiter: Option<Waiter>,
    ) -> Self {
        Self {
            waiter,
            level,
            place: Place::Nowhere,
            id,
            name: settings.name.clone(),
            location: settings.location,
            priority: settings.priority,
            timeout: settings.timeout,
            since: now,
            attempt: 1,
            until: settings.start_within.and_then(|limit| now.checked_add(limit)),
            status: Status::Waiting,
            blocked: None,
        }
    }

    pub(crate) fn place(&self) -> Place {
        self.place
    }

    pub(crate) fn set_place(&mut self, place: Place) {
        self.place = place;
    }

    /// Whom to wake: a thread as often as need be, a future once for each poll.
    pub(crate) fn waiter(&mut self) -> Option<Waiter> {
        match &self.waiter {
            Some(Waiter::Thread(thread)) => Some(Waiter::Thread(thread.clone())),
            Some(Waiter::Waker(_)) | None => self.waiter.take(),
        }
    }

    pub(crate) fn until(&self) -> Option<Instant> {
        self.until
    }

    pub(crate) fn expired(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now >= until)
    }

    /// Whether it still waits for its resource, having been accepted.
    pub(crate) fn is_pending(&self) -> bool {
        matches!(self.status, Status::Waiting)
            && matches!(self.place, Place::Lane(_) | Place::Delayed(_))
    }

    /// The seat that it was granted, if it was.
    pub(crate) fn granted(&self) -> Option<usize> {
        match self.status {
            Status::Granted(seat) => Some(seat),
            Status::Waiting | Status::Denied(_) => None,
        }
    }

    pub(crate) fn grant(&mut self, seat: usize) {
        self.place = Place::Nowhere;
        self.status = Status::Granted(seat);
    }

    pub(crate) fn deny(&mut self, error: TaskError<E>, accepted: bool) {
        self.set_place(Place::Nowhere);
        self.status = Status::Denied(Denial { error, accepted });
    }
}

/// What an attempt has come to, as far as its thread can tell.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempted {
    pub(crate) case: Case,
    /// Before the next attempt, should there be one.
    pub(crate) delay: Duration,
    pub(crate) finished: Instant,
}

/// What became of a task whose attempt ran on a borrowed resource.
pub(crate) struct Returned {
    pub(crate) settled: Settled,
    /// The claim for the next attempt, where the task runs again.
    pub(crate) claim: Option<u32>,
}

impl<R, E> Queue<R, E> {
    /// Blocks until the claim has a resource or is denied one.
    ///
    /// `seats` are those of the tasks that the calling thread is in the middle of; it is asked if need be.
    /// `perform` carries out effects; it is called without the lock.
    pub(crate) fn await_claim(
        &self,
        key: u32,
        seats: impl FnOnce() -> Vec<usize>,
        mut now: impl FnMut() -> Instant,
        mut perform: impl FnMut(Effects<R, E>),
    ) -> Result<Loan<R>, Denial<E>> {
        let mut seats = Some(seats);
        loop {
            let mut fx = Effects::new();
            let step = self.lock().step(key, now(), &mut fx);
            let quiet = fx.is_empty();
            perform(fx);
            let waits = matches!(step, Step::Nap(_) | Step::Sleep);
            if let Some(seats) = seats.take_if(|_| waits).map(|seats| seats())
                && !seats.is_empty()
            {
                let mut fx = Effects::new();
                self.block_claim(key, seats, now(), &mut fx);
                perform(fx);
                continue; // it may have been refused
            }
            match step {
                Step::Go(loan) => return Ok(loan),
                Step::Denied(denial) => return Err(denial),
                // What was carried out may have used up a wake-up that came meanwhile: look again.
                Step::Nap(_) | Step::Sleep if !quiet => {}
                Step::Nap(time) => park_timeout(time),
                Step::Sleep => park(),
            }
        }
    }

    /// Takes a borrowed resource back and settles the attempt that used it. A ticket comes with a submitted task whose
    /// runtime is gone, and which does not run again.
    pub(crate) fn give_back(
        &self,
        loan: Loan<R>,
        settings: &Settings,
        ticket: Option<&Ticket>,
        attempted: Attempted,
        fx: &mut Effects<R, E>,
    ) -> Returned {
        let Attempted { case, delay, finished: now } = attempted;
        let mut state = self.lock();
        let state = &mut *state;
        let Loan { seat, mut lease, id, attempt } = loan;
        let verdict = state.settle(seat, &mut lease, case, now);
        if let Some(ticket) = ticket {
            ticket.set_place(Place::Nowhere);
        }
        let claim = match verdict.task {
            Settled::Ends(outcome) => {
                state.tally.end(outcome.fate());
                None
            }
            Settled::RunsAgain => {
                let mut claim = state.new_claim(id, settings, Priority::High.level(), now);
                claim.attempt = attempt + 1;
                claim.until = None; // it has started once; its place is its own
                let key = state.claim(claim);
                state.queue_retry(Who::Claim(key), delay, now, fx);
                Some(key)
            }
        };
        state.shelf.put(seat, lease);
        if let Some(reason) = verdict.condemned {
            // Home first: the worker destroys it and makes the new one, never the caller.
            state.roster.set(seat, Condition::Recovering);
            state.forget_age(seat);
            state.order(seat, Order::Replace(reason), fx);
        } else if verdict.suspect && state.rules.life.validate_after.is_some() {
            state.roster.set(seat, Condition::Checking);
            state.order(seat, Order::Check, fx);
        } else if let Some(order) = state.freed(seat, now, fx) {
            state.order(seat, order, fx);
        }
        if state.phase != Phase::Running {
            state.dismiss_if_drained(fx);
        }
        Returned { settled: verdict.task, claim }
    }
}

impl<R, E> State<R, E> {
    /// A claim of whoever calls: a thread that is going to park, or a future that is polled later.
    pub(crate) fn new_claim(
        &self,
        id: TaskId,
        settings: &Settings,
        level: usize,
        now: Instant,
    ) -> Claim<E> {
        let waiter = (!self.rules.slots).then(Waiter::me);
        Claim::new(id, settings, level, now, waiter)
    }

    fn step(&mut self, key: u32, now: Instant, fx: &mut Effects<R, E>) -> Step<R, E> {
        let claim = self.claims.get(key).expect("a claim stays until its caller takes it");
        match claim.status {
            Status::Granted(seat) => return Step::Go(self.take_granted(key, seat)),
            Status::Denied(_) => return Step::Denied(self.take_denied(key)),
            Status::Waiting => {}
        }
        let Place::Lane(spot) = claim.place() else { return Step::Sleep };
        let next = self.lanes.next() == Some(Next::Claim(spot));
        let open = !self.paused && !self.is_stale(now);
        if next && open && self.roster.idle() > 0 {
            self.unqueue(Next::Claim(spot), now);
            if !self.claim_still_wanted(key, now, fx) {
                self.floor(now, fx);
                return Step::Denied(self.take_denied(key));
            }
            let seat = self.roster.take_idle(Condition::Lent).expect("somebody is idle");
            let claim = self.claims.get_mut(key).expect("checked above");
            claim.grant(seat);
            let (id, timeout) = (claim.id, claim.timeout);
            let label = (claim.name.clone(), claim.location);
            self.unblock_claim(key, fx);
            self.lend(seat, id, label, timeout, now, fx);
            self.floor(now, fx); // the next caller, if resources are left
            return Step::Go(self.take_granted(key, seat));
        }
        if self.usher != Some(key) {
            return Step::Sleep;
        }
        let overtakable =
            self.first_since[spot.level].and_then(|since| since.checked_add(OVERTAKING));
        let left =
            overtakable.map(|until| until.saturating_duration_since(now)).unwrap_or_default();
        if next && open && !left.is_zero() && self.rules.naps {
            return Step::Nap(left.min(NAP)); // still the one that is awake: releases wake nobody
        }
        // From here on the next release hands over directly.
        self.usher = None;
        self.floor(now, fx);
        Step::Sleep
    }

    pub(crate) fn take_granted(&mut self, key: u32, seat: usize) -> Loan<R> {
        let claim = self.forget_claim(key).expect("a claim is taken once, by its caller");
        let lease = self.shelf.take(seat).expect("a granted resource lies on the shelf");
        Loan { seat, lease, id: claim.id, attempt: claim.attempt }
    }

    pub(crate) fn take_denied(&mut self, key: u32) -> Denial<E> {
        match self.forget_claim(key).map(|claim| claim.status) {
            Some(Status::Denied(denial)) => denial,
            _ => unreachable!("only a denied claim is asked, once, by its caller"),
        }
    }

    /// Whoever waited with a claim does so no longer.
    pub(super) fn forget_claim(&mut self, key: u32) -> Option<Claim<E>> {
        let claim = self.claims.remove(key)?;
        debug_assert!(claim.blocked.is_none(), "the wait has ended with the answer");
        Some(claim)
    }

    /// Ends the running of whatever ran on `seat`: the verdict, and a fresh token where the old one is
    /// spent or somebody keeps a clone of it.
    pub(crate) fn settle(
        &mut self,
        seat: usize,
        lease: &mut Lease<R>,
        case: Case,
        now: Instant,
    ) -> Verdict {
        self.unblock_seat(seat);
        if self.may_scale
            && case.went.has_begun()
            && let Some(started) = self.seats[seat].running.started
        {
            self.gauge(now).attempted(now.saturating_duration_since(started), now);
        }
        let seat = &mut self.seats[seat];
        let running = &mut seat.running;
        if !case.went.has_begun() {
            seat.life.unused();
        }
        debug_assert!(running.active, "what is settled was running");
        running.active = false;
        running.name = None;
        if let Some(timeout) = running.timeout.take() {
            self.agenda.remove(timeout);
        }
        let cancelled = running.why.or_else(|| lease.token.why());
        // Two holders: the lease and the seat. Others clone only under the lock that is held here.
        let kept = !lease.token.held_by_at_most(2);
        if kept || running.why.is_some() || lease.token.is_cancelled() {
            lease.token = CancelToken::new();
            seat.token = lease.token.clone();
        }
        settle(Case { cancelled, ..case })
    }

    /// Queues a retry in the High lane, now or later; during a shutdown never later.
    pub(crate) fn queue_retry(
        &mut self,
        who: Who<R, E>,
        delay: Duration,
        now: Instant,
        fx: &mut Effects<R, E>,
    ) {
        let at =
            now.checked_add(delay).filter(|_| !delay.is_zero() && self.phase == Phase::Running);
        let Some(at) = at else {
            let entry = Entry { what: who, counted: false, extra: None };
            self.note_arrival(now);
            self.enqueue(Priority::High.level(), entry, now);
            self.floor(now, fx);
            self.watch(now, fx);
            return;
        };
        self.arrivals += 1;
        let placeholder: Appointment = self.appoint(at, Due::Nothing, fx);
        let index = self.delayed.push_back(self.arrivals, (who, placeholder));
        self.agenda.rewrite(placeholder, Due::Retry(index));
        if let Some((who, _)) = self.delayed.get(index) {
            Self::place_of(who, &mut self.claims, Place::Delayed(index));
        }
    }

    /// A delayed retry goes to its lane.
    pub(crate) fn undelay(&mut self, index: u32, now: Instant, fx: &mut Effects<R, E>) {
        if let Some((who, appointment)) = self.delayed.remove(index) {
            self.agenda.remove(appointment);
            self.queue_retry(who, Duration::ZERO, now, fx);
        }
    }
}
