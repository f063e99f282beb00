//! Who gets a resource that has become free, and what changes when something leaves its lane.

use std::panic::Location;
use std::time::Instant;

use super::claim::Claim;
use super::due::Due;
use super::job::{Job, Place};
use super::lanes::{Next, Spot};
use super::seat::Order;
use super::{Effects, Entry, Errand, News, OVERTAKING, State, Who};
use crate::event::DestroyReason;
use crate::outcome::TaskError;
use crate::pool::roster::Condition;
use crate::shutdown::Phase;
use crate::task::{Name, Priority, Settings, TaskId};

impl Priority {
    /// The lane of a priority.
    pub(crate) fn level(self) -> usize {
        match self {
            Self::Low => 0,
            Self::Normal => 1,
            Self::High => 2,
        }
    }
}

impl<R, E> State<R, E> {
    /// Nothing is left for workers to do, now or later.
    pub(crate) fn drained(&self) -> bool {
        match self.phase {
            Phase::Running => false,
            Phase::Killed => true,
            Phase::Stopping | Phase::Stopped => self.tally.pending() == 0,
        }
    }

    /// A seat's resource has become free: either its worker gets an order, or the seat rests with its
    /// resource on the shelf (where the manager lends), or the resource goes to the first claim.
    pub(crate) fn freed(
        &mut self,
        seat: usize,
        now: Instant,
        fx: &mut Effects<R, E>,
    ) -> Option<Order<R, E>> {
        // Who waited for a validation gets what was validated: at rest it might be stale again.
        let checked = self.roster.condition(seat) == Some(Condition::Checking);
        if let Some(order) = self.parting(seat, now, fx) {
            if checked {
                self.floor(now, fx); // the task that it was checked for goes to the next one
            }
            return Some(order);
        }
        if (self.lanes.is_empty() || self.paused) && self.phase == Phase::Running {
            self.roster.rest(seat, now);
            return None;
        }
        loop {
            // At every turn: the last pending task may have expired at the turn before.
            if self.drained() {
                self.roster.set(seat, Condition::Leaving);
                return Some(Order::Leave(DestroyReason::Shutdown));
            }
            match self.lanes.next() {
                Some(Next::Job(spot)) => {
                    let Who::Job(job) = self.unqueue(Next::Job(spot), now) else { unreachable!() };
                    if let Some(job) = self.still_wanted(job, now, fx) {
                        self.admit(now, fx);
                        self.roster.set(seat, Condition::Busy);
                        self.begin(seat, &job, now, fx);
                        if self.roster.idle() > 0 {
                            self.floor(now, fx); // a claim that expired above may have kept a job waiting
                        }
                        return Some(Order::Run(job));
                    }
                }
                Some(Next::Claim(spot)) if checked || self.overtaken_enough(spot.level, now) => {
                    let Who::Claim(key) = self.unqueue(Next::Claim(spot), now) else {
                        unreachable!()
                    };
                    if self.claim_still_wanted(key, now, fx) {
                        self.admit(now, fx);
                        self.roster.set(seat, Condition::Lent);
                        self.grant(key, seat, now, fx);
                        self.floor(now, fx);
                        return None;
                    }
                }
                Some(Next::Claim(_)) | None => {
                    self.roster.rest(seat, now);
                    self.floor(now, fx);
                    return None;
                }
            }
        }
    }

    /// Ends the jobs that have expired at the front and lets in who waits for room.
    pub(crate) fn clear_the_way(&mut self, now: Instant, fx: &mut Effects<R, E>) {
        while let Some(Next::Job(spot)) = self.lanes.next() {
            let expiry = self.lanes.job(spot).and_then(Entry::expiry);
            if !expiry.is_some_and(|expiry| expiry.is_due(now)) {
                break;
            }
            let who = self.unqueue(Next::Job(spot), now);
            self.end(who, TaskError::Expired, fx);
        }
        self.admit(now, fx);
    }

    /// Restores what must hold whenever the lock is free: whoever waits for room and has it is in a
    /// lane; no job waits while an idle resource is left over for it; and while resources lie idle and
    /// callers wait, one of those callers is awake. In a pause nobody starts, and nothing of this holds
    /// but the first; a resource that must be validated first counts as idle when that is done.
    pub(crate) fn floor(&mut self, now: Instant, fx: &mut Effects<R, E>) {
        self.admit(now, fx);
        if self.paused {
            return;
        }
        if self.rules.slots {
            self.hand_out(now, fx);
        }
        while self.lanes.jobs() > 0 && self.roster.idle() > 0 && !self.is_stale(now) {
            let Some(spot) = self.lanes.first_job_within(self.roster.idle()) else { break };
            let Who::Job(job) = self.unqueue(Next::Job(spot), now) else { unreachable!() };
            self.start_job(job, now, fx);
            self.admit(now, fx);
        }
        if self.roster.idle() > 0 && !self.lanes.is_empty() {
            if self.is_stale(now) {
                self.send_to_check(fx);
            } else if self.lanes.claims() > 0 {
                self.appoint_usher(fx);
            }
        }
    }

    /// Gives idle resources to those whose turn it is, where nobody is overtaken: jobs and claims in one order.
    fn hand_out(&mut self, now: Instant, fx: &mut Effects<R, E>) {
        while self.roster.idle() > 0
            && !self.is_stale(now)
            && let Some(next) = self.lanes.next()
        {
            match self.unqueue(next, now) {
                Who::Job(job) => self.start_job(job, now, fx),
                Who::Claim(key) => {
                    if self.claim_still_wanted(key, now, fx)
                        && let Some(seat) = self.roster.take_idle(Condition::Lent)
                    {
                        self.grant(key, seat, now, fx);
                    }
                }
            }
            self.admit(now, fx);
        }
    }

    /// Orders an idle worker to run a job, unless that came too late.
    fn start_job(&mut self, job: Job<R, E>, now: Instant, fx: &mut Effects<R, E>) {
        if let Some(job) = self.still_wanted(job, now, fx) {
            let seat = self.roster.take_idle(Condition::Busy).expect("somebody is idle");
            self.begin(seat, &job, now, fx);
            self.order(seat, Order::Run(job), fx);
        }
    }

    fn appoint_usher(&mut self, fx: &mut Effects<R, E>) {
        let Some(first) = self.lanes.first_claim() else { return };
        let serving = self.usher.and_then(|key| self.claims.get(key)).map(|claim| claim.level);
        if serving.is_none_or(|level| level < first.level) {
            let key = self.lanes.claim(first).expect("it is first").what;
            self.usher = Some(key);
            fx.wake.extend(self.claims.get_mut(key).and_then(Claim::waiter));
        }
    }

    /// Whether the first claim of a lane has been overtaken for as long as it may be.
    pub(crate) fn overtaken_enough(&self, level: usize, now: Instant) -> bool {
        if self.rules.slots {
            return true; // a future costs no thread switch to hand over to
        }
        self.first_since[level]
            .is_some_and(|since| now.saturating_duration_since(since) >= OVERTAKING)
    }

    /// Gives a worker an order and wakes it, or sends for somebody where nobody attends its seat.
    pub(crate) fn order(&mut self, seat: usize, order: Order<R, E>, fx: &mut Effects<R, E>) {
        let it = &mut self.seats[seat];
        debug_assert!(it.order.is_none(), "a worker gets one order at a time");
        it.order = Some(order);
        if std::mem::replace(&mut it.attended, true) {
            fx.wake(it.waiter.as_ref());
        } else {
            fx.news.push(News::Errand(Errand { seat, number: it.number }));
        }
    }

    /// From here on the task counts as running.
    pub(crate) fn begin(
        &mut self,
        seat: usize,
        job: &Job<R, E>,
        now: Instant,
        fx: &mut Effects<R, E>,
    ) {
        let ticket = job.ticket();
        ticket.set_place(Place::Running(seat));
        // A future's time begins when it is polled, see `time_attempt`.
        let timeout = ticket.settings.timeout.filter(|_| !self.rules.slots);
        let timeout = timeout.and_then(|limit| now.checked_add(limit));
        let timeout = timeout.map(|at| self.appoint(at, Due::Timeout(seat), fx));
        let seat = &mut self.seats[seat];
        seat.life.used();
        let Settings { name, location, .. } = &ticket.settings;
        seat.running.begin(ticket.id(), name.clone(), location, now, timeout);
        self.watch_stuck(now, fx);
    }

    /// A claim gets the resource of `seat`; from here on its task counts as running.
    pub(crate) fn grant(&mut self, key: u32, seat: usize, now: Instant, fx: &mut Effects<R, E>) {
        let claim = self.claims.get_mut(key).expect("a claim stays until its caller takes it");
        claim.grant(seat);
        let (id, name, timeout) = (claim.id, claim.name.clone(), claim.timeout);
        let location = claim.location;
        fx.wake.extend(claim.waiter());
        self.unblock_claim(key, fx);
        self.lend(seat, id, (name, location), timeout, now, fx);
    }

    #[inline]
    pub(crate) fn lend(
        &mut self,
        seat: usize,
        id: TaskId,
        (name, location): (Option<Name>, &'static Location<'static>),
        timeout: Option<std::time::Duration>,
        now: Instant,
        fx: &mut Effects<R, E>,
    ) {
        // A future's time begins when it is polled, see `time_attempt`.
        let timeout = timeout.filter(|_| !self.rules.slots);
        let timeout = timeout.and_then(|limit| now.checked_add(limit));
        let timeout = timeout.map(|at| self.appoint(at, Due::Timeout(seat), fx));
        let seat = &mut self.seats[seat];
        seat.life.used();
        seat.running.begin(id, name, location, now, timeout);
        self.watch_stuck(now, fx);
    }

    /// The task, unless its `start_within` has passed: then it ends here.
    fn still_wanted(
        &mut self,
        job: Job<R, E>,
        now: Instant,
        fx: &mut Effects<R, E>,
    ) -> Option<Job<R, E>> {
        let ticket = job.ticket();
        let first = ticket.attempt() == 0;
        let expired = ticket
            .settings
            .start_within
            .and_then(|limit| ticket.queued_at.checked_add(limit))
            .is_some_and(|until| first && now >= until);
        if expired {
            self.end(Who::Job(job), TaskError::Expired, fx);
            return None;
        }
        Some(job)
    }

    /// As [`still_wanted`](Self::still_wanted), for a blocked caller.
    pub(crate) fn claim_still_wanted(
        &mut self,
        key: u32,
        now: Instant,
        fx: &mut Effects<R, E>,
    ) -> bool {
        let expired = self.claims.get(key).is_some_and(|claim| claim.expired(now));
        if expired {
            self.end(Who::Claim(key), TaskError::Expired, fx);
        }
        !expired
    }

    /// Ends an accepted task that does not run (any more).
    pub(crate) fn end(&mut self, who: Who<R, E>, error: TaskError<E>, fx: &mut Effects<R, E>) {
        self.tally.end(error.outcome().fate());
        self.answer(who, error, true, fx);
        self.dismiss_if_drained(fx);
    }

    /// Tells a task's caller how it ended, without counting it.
    pub(crate) fn answer(
        &mut self,
        who: Who<R, E>,
        error: TaskError<E>,
        accepted: bool,
        fx: &mut Effects<R, E>,
    ) {
        match who {
            Who::Job(job) => {
                job.ticket().set_place(Place::Nowhere);
                fx.ended.push((job, error, accepted));
            }
            Who::Claim(key) => {
                if let Some(claim) = self.claims.get_mut(key) {
                    claim.deny(error, accepted);
                    fx.wake.extend(claim.waiter());
                    self.unblock_claim(key, fx);
                }
            }
        }
    }

    /// When the last accepted task has ended during a shutdown, everybody may go home.
    pub(crate) fn dismiss_if_drained(&mut self, fx: &mut Effects<R, E>) {
        if !self.drained() {
            return;
        }
        fx.wake(self.steward.as_ref()); // each time: it waits for the last guest
        // Once is enough: in a drained manager nobody comes to rest any more, and everybody looks at the phase.
        // At each end it would cost as much as there are workers, for every task that a kill ends.
        if std::mem::replace(&mut self.dismissed, true) {
            return;
        }
        while let Some(seat) = self.roster.dismiss_coldest() {
            self.forget_age(seat);
            self.order(seat, Order::Leave(DestroyReason::Shutdown), fx);
        }
        // Those without a resource look at the phase themselves when they wake.
        self.wake_unequipped(fx);
    }

    /// Takes something out of its lane, with all that hangs on it.
    pub(crate) fn unqueue(&mut self, next: Next, now: Instant) -> Who<R, E> {
        let (who, counted, expiry) = match next {
            Next::Job(spot) => {
                let entry = self.lanes.remove_job(spot).expect("it was just found there");
                let expiry = entry.expiry();
                entry.what.ticket().set_place(Place::Nowhere);
                (Who::Job(entry.what), entry.counted, expiry)
            }
            Next::Claim(spot) => {
                let was_first = self.lanes.first_claim_in(spot.level) == Some(spot);
                let entry = self.lanes.remove_claim(spot).expect("it was just found there");
                if was_first {
                    let more = self.lanes.first_claim_in(spot.level).is_some();
                    self.first_since[spot.level] = more.then_some(now);
                }
                if self.usher == Some(entry.what) {
                    self.usher = None;
                }
                if let Some(claim) = self.claims.get_mut(entry.what) {
                    claim.set_place(Place::Nowhere);
                }
                (Who::Claim(entry.what), entry.counted, entry.expiry())
            }
        };
        self.counted -= usize::from(counted);
        if let Some(expiry) = expiry {
            self.agenda.remove(expiry);
        }
        who
    }

    /// Puts somebody in a lane.
    pub(crate) fn enqueue(&mut self, level: usize, entry: Entry<Who<R, E>>, now: Instant) -> Spot {
        self.counted += usize::from(entry.counted);
        let Entry { what, counted, extra } = entry;
        match what {
            Who::Job(job) => {
                let spot = self.lanes.push_job(level, Entry { what: job, counted, extra });
                let entry = self.lanes.job(spot).expect("just pushed");
                entry.what.ticket().set_place(Place::Lane(spot));
                spot
            }
            Who::Claim(key) => {
                let spot = self.lanes.push_claim(level, Entry { what: key, counted, extra });
                if self.lanes.first_claim_in(level) == Some(spot) {
                    self.first_since[level] = Some(now);
                }
                if let Some(claim) = self.claims.get_mut(key) {
                    claim.set_place(Place::Lane(spot));
                }
                spot
            }
        }
    }

    /// A claim that is being waited for.
    pub(crate) fn claim(&mut self, claim: Claim<E>) -> u32 {
        self.arrivals += 1;
        self.claims.push_back(self.arrivals, claim)
    }
}
