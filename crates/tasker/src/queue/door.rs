//! How tasks come in: refused, put in a lane, made to wait for room, or given a resource at once.

use std::time::Instant;

use super::claim::Loan;
use super::delay::Appointment;
use super::due::Due;
use super::job::{Job, Place};
use super::lanes::{Next, Spot, URGENT};
use super::{Admitted, Effects, Queue, State, Who};
use crate::error::RejectReason;
use crate::outcome::TaskError;
use crate::overflow::Overflow;
use crate::pool::roster::Condition;
use crate::shutdown::Phase;
use crate::sync::Waiter;
use crate::task::{Settings, TaskId};

/// Something in a lane.
pub(crate) struct Entry<T> {
    pub(crate) what: T,
    /// Whether it takes a place of the capacity; retries and `run_task` do not.
    pub(crate) counted: bool,
    pub(crate) extra: Option<Box<Extra>>,
}

/// What few entries need.
#[derive(Default)]
pub(crate) struct Extra {
    expiry: Option<Appointment>,
    /// Of the event that tells of its acceptance, while it waits for room.
    sequence: u64,
    /// Who is blocked until it has room.
    submitter: Option<Waiter>,
}

impl<T> Entry<T> {
    pub(crate) fn expiry(&self) -> Option<Appointment> {
        self.extra.as_ref().and_then(|extra| extra.expiry)
    }

    fn set_expiry(&mut self, expiry: Option<Appointment>) {
        if expiry.is_some() || self.extra.is_some() {
            self.extra.get_or_insert_default().expiry = expiry;
        }
    }
}

/// How a task asks to come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It waits for room where the overflow rule says so.
    Wait,
    /// As `Wait`, from inside a task of the same manager: it goes above the capacity rather than wait
    /// for room that only its own end may make.
    Inside,
    /// It never waits for room.
    Try,
    /// It goes ahead of every lane, outside the capacity.
    Urgent,
    /// As `Urgent`, but only to a worker that is idle now.
    UrgentToIdle,
}

/// What became of a task at the door.
pub(crate) enum Submitted<R, E> {
    Accepted,
    /// It waits for room; its submitter waits with it.
    Outside,
    Refused(Job<R, E>, RejectReason),
    /// Only for [`Mode::UrgentToIdle`].
    NobodyIdle(Job<R, E>),
}

/// What became of a blocking caller at the door.
pub(crate) enum Borrowed<R> {
    Loan(Loan<R>),
    /// It waits with the claim of this key; `accepted` unless it waits for room first.
    Claim {
        key: u32,
        id: TaskId,
        accepted: bool,
    },
    Refused(RejectReason),
}

impl<R, E> Queue<R, E> {
    /// Takes a task in. `sequence` is the place of its first event.
    pub(crate) fn submit(
        &self,
        job: Job<R, E>,
        mode: Mode,
        now: Instant,
        sequence: u64,
        fx: &mut Effects<R, E>,
    ) -> Submitted<R, E> {
        let mut state = self.lock();
        let state = &mut *state;
        job.ticket().set_id(state.next_id());
        if state.phase != Phase::Running {
            return Submitted::Refused(job, RejectReason::ShuttingDown);
        }
        let urgent = matches!(mode, Mode::Urgent | Mode::UrgentToIdle);
        // In a pause it waits in its lane: a temporary resource would start it all the same.
        if mode == Mode::UrgentToIdle && state.roster.idle() == 0 && !state.paused {
            return Submitted::NobodyIdle(job);
        }
        let level = if urgent { URGENT } else { job.ticket().settings.priority.level() };
        let start_within = job.ticket().settings.start_within;
        let until = start_within.and_then(|limit| job.ticket().queued_at.checked_add(limit));
        let above = mode == Mode::Inside && state.rules.overflow == Overflow::Wait;
        let room = urgent || above || state.make_room(level, now, fx);
        if !room {
            if mode == Mode::Try || state.rules.overflow != Overflow::Wait {
                return Submitted::Refused(job, RejectReason::QueueFull);
            }
            // Where submitting does not block, nobody waits with the task.
            let submitter = (!state.rules.slots).then(Waiter::me);
            let extra = Extra { expiry: None, sequence, submitter };
            let entry = Entry { what: job, counted: true, extra: Some(Box::new(extra)) };
            let spot = state.outside.push_job(level, entry);
            let expiry =
                until.map(|at| state.appoint(at, Due::Expire(Place::Outside(spot), true), fx));
            let entry = state.outside_job(spot);
            entry.set_expiry(expiry);
            entry.what.ticket().set_place(Place::Outside(spot));
            return Submitted::Outside;
        }
        state.accept(now);
        let entry = Entry { what: Who::Job(job), counted: !urgent, extra: None };
        let spot = state.enqueue(level, entry, now);
        state.note_arrival(now);
        if let Some(at) = until {
            let expiry = state.appoint(at, Due::Expire(Place::Lane(spot), true), fx);
            if let Some(entry) = state.lanes.job_mut(spot) {
                entry.set_expiry(Some(expiry));
            }
        }
        if state.roster.idle() > 0 {
            state.floor(now, fx);
        }
        state.watch(now, fx);
        Submitted::Accepted
    }

    /// Gives a blocking caller, or a future, a resource or a place in its lane.
    pub(crate) fn borrow(
        &self,
        settings: &Settings,
        mode: Mode,
        now: Instant,
        sequence: u64,
        fx: &mut Effects<R, E>,
    ) -> Borrowed<R> {
        let mut state = self.lock();
        let state = &mut *state;
        let id = state.next_id();
        if state.phase != Phase::Running {
            return Borrowed::Refused(RejectReason::ShuttingDown);
        }
        let level = settings.priority.level();
        if state.may_take(level, now) {
            state.accept(now);
            state.note_arrival(now);
            return Borrowed::Loan(state.take_loan(id, settings, now, fx));
        }
        let above = mode == Mode::Inside && state.rules.overflow == Overflow::Wait;
        let room = above || state.make_room(level, now, fx);
        if !room && (mode == Mode::Try || state.rules.overflow != Overflow::Wait) {
            return Borrowed::Refused(RejectReason::QueueFull);
        }
        let claim = state.new_claim(id, settings, level, now);
        let until = claim.until();
        let key = state.claim(claim);
        if room {
            state.line_up(key, level, true, until, now, fx);
        } else {
            let extra = Extra { expiry: None, sequence, submitter: None };
            let entry = Entry { what: key, counted: true, extra: Some(Box::new(extra)) };
            let spot = state.outside.push_claim(level, entry);
            let expiry =
                until.map(|at| state.appoint(at, Due::Expire(Place::Outside(spot), false), fx));
            if let Some(entry) = state.outside.claim_mut(spot) {
                entry.set_expiry(expiry);
            }
            if let Some(claim) = state.claims.get_mut(key) {
                claim.set_place(Place::Outside(spot));
            }
        }
        Borrowed::Claim { key, id, accepted: room }
    }
}

impl<R, E> State<R, E> {
    /// Whether a caller that is running may take an idle resource (promise 18).
    fn may_take(&self, level: usize, now: Instant) -> bool {
        if self.roster.idle() == 0 || self.paused || self.is_stale(now) {
            return false;
        }
        if self.lanes.is_empty() {
            return true;
        }
        let higher = (level + 1..=URGENT).any(|above| self.lanes.waiting(above) > 0);
        if self.rules.slots {
            return !higher && self.lanes.waiting(level) == 0;
        }
        !higher && self.lanes.jobs_in(level) == 0 && !self.overtaken_enough(level, now)
    }

    /// Accepts a blocked caller's claim and puts it in its lane.
    pub(crate) fn line_up(
        &mut self,
        key: u32,
        level: usize,
        counted: bool,
        until: Option<Instant>,
        now: Instant,
        fx: &mut Effects<R, E>,
    ) {
        self.accept(now);
        self.note_arrival(now);
        let entry = Entry { what: Who::Claim(key), counted, extra: None };
        let spot = self.enqueue(level, entry, now);
        if let Some(at) = until {
            let expiry = self.appoint(at, Due::Expire(Place::Lane(spot), false), fx);
            if let Some(entry) = self.lanes.claim_mut(spot) {
                entry.set_expiry(Some(expiry));
            }
        }
        if self.roster.idle() > 0 {
            self.floor(now, fx);
        }
        self.watch(now, fx);
    }

    /// Whether there is a place in the lanes; `DropOldest` makes one where it may.
    fn make_room(&mut self, level: usize, now: Instant, fx: &mut Effects<R, E>) -> bool {
        // Whoever already waits for room has precedence, so that nobody slips past it.
        if self.counted < self.rules.capacity && self.outside.is_empty() {
            return true;
        }
        if self.rules.overflow != Overflow::DropOldest {
            return false;
        }
        let oldest = self.lanes.oldest_not_above(level, |job| job.counted, |claim| claim.counted);
        let Some(oldest) = oldest else { return false };
        let who = self.unqueue(oldest, now);
        self.end(who, TaskError::QueueFull, fx);
        true
    }

    /// Lets in who waits for room, highest lane first, as long as there is room.
    #[inline]
    pub(crate) fn admit(&mut self, now: Instant, fx: &mut Effects<R, E>) {
        if !self.outside.is_empty() {
            self.let_in(now, fx);
        }
    }

    fn let_in(&mut self, now: Instant, fx: &mut Effects<R, E>) {
        while !self.outside.is_empty()
            && self.counted < self.rules.capacity
            && let Some(next) = self.outside.next()
        {
            let (level, mut entry) = self.take_outside(next);
            self.accept(now);
            self.note_arrival(now);
            fx.admitted.push(self.admitted(&entry));
            let expiry = entry.expiry();
            let submitter = entry.extra.as_mut().and_then(|extra| extra.submitter.take());
            let is_job = matches!(entry.what, Who::Job(_));
            let spot = self.enqueue(level, entry, now);
            if let Some(expiry) = expiry {
                self.agenda.rewrite(expiry, Due::Expire(Place::Lane(spot), is_job));
            }
            fx.wake.extend(submitter);
            self.watch(now, fx);
        }
    }

    fn admitted(&self, entry: &Entry<Who<R, E>>) -> Admitted {
        let sequence = entry.extra.as_ref().map_or(0, |extra| extra.sequence);
        match &entry.what {
            Who::Job(job) => {
                let ticket = job.ticket();
                let Settings { name, priority, .. } = &ticket.settings;
                Admitted { sequence, id: ticket.id(), name: name.clone(), priority: *priority }
            }
            Who::Claim(key) => {
                let claim = self.claims.get(*key).expect("a claim stays until its caller takes it");
                Admitted {
                    sequence,
                    id: claim.id,
                    name: claim.name.clone(),
                    priority: claim.priority,
                }
            }
        }
    }

    /// Takes somebody out of the line for room. Its expiry is left to the caller.
    pub(crate) fn take_outside(&mut self, next: Next) -> (usize, Entry<Who<R, E>>) {
        match next {
            Next::Job(spot) => {
                let entry = self.outside.remove_job(spot).expect("it was just found there");
                let Entry { what, counted, extra } = entry;
                (spot.level, Entry { what: Who::Job(what), counted, extra })
            }
            Next::Claim(spot) => {
                let entry = self.outside.remove_claim(spot).expect("it was just found there");
                let Entry { what, counted, extra } = entry;
                (spot.level, Entry { what: Who::Claim(what), counted, extra })
            }
        }
    }

    /// Turns somebody who waits for room away: it was never accepted.
    pub(crate) fn turn_away(&mut self, next: Next, error: TaskError<E>, fx: &mut Effects<R, E>) {
        let (_, mut entry) = self.take_outside(next);
        if let Some(expiry) = entry.expiry() {
            self.agenda.remove(expiry);
        }
        let submitter = entry.extra.as_mut().and_then(|extra| extra.submitter.take());
        self.answer(entry.what, error, false, fx);
        fx.wake.extend(submitter);
    }

    fn outside_job(&mut self, spot: Spot) -> &mut Entry<Job<R, E>> {
        self.outside.job_mut(spot).expect("it was just pushed")
    }

    /// Lends the idle resource that was used last.
    pub(crate) fn take_loan(
        &mut self,
        id: TaskId,
        settings: &Settings,
        now: Instant,
        fx: &mut Effects<R, E>,
    ) -> Loan<R> {
        let seat = self.roster.take_idle(Condition::Lent).expect("somebody is idle");
        self.lend(seat, id, (settings.name.clone(), settings.location), settings.timeout, now, fx);
        let lease = self.shelf.take(seat).expect("an idle seat's resource lies on the shelf");
        if self.roster.idle() < self.rules.life.min_idle {
            self.watch(now, fx);
        }
        Loan { seat, lease, id, attempt: 1 }
    }
}
