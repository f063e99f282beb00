//! `run_task`: a caller that waits for nobody, with a pooled, an idle or a temporary resource; and the
//! steward, who refills the pool.

use std::time::{Duration, Instant};

use super::claim::Loan;
use super::due::Due;
use super::lanes::URGENT;
use super::{Effects, Queue, Running};
use crate::cancel::{CancelToken, Why};
use crate::error::RejectReason;
use crate::event::DestroyReason;
use crate::outcome::Outcome;
use crate::resource::lending::{Lease, Pooled};
use crate::resource::life::Life;
use crate::shutdown::Phase;
use crate::sync::{Waiter, park};
use crate::task::{Settings, TaskId};

/// A task that runs on its caller's thread with a resource that belongs to no worker.
#[derive(Debug)]
pub(crate) struct Guest {
    pub(super) key: u32,
    pub(crate) id: TaskId,
    pub(crate) token: CancelToken,
}

/// How `run_task` gets its resource.
pub(crate) enum Welcome<R> {
    /// From the pool; it has to be validated before it is used if `check` says so.
    Pooled {
        guest: Guest,
        pooled: Pooled<R>,
        check: bool,
    },
    /// From an idle worker.
    Lent(Loan<R>),
    /// It waits ahead of every lane: tasks are held back.
    Claim {
        key: u32,
        id: TaskId,
    },
    /// It makes its own.
    Temporary(Guest),
    /// The pool is empty, and nothing else was asked for.
    NothingPooled,
    Refused(RejectReason),
}

/// What the steward does next.
pub(crate) enum Chore<R> {
    Destroy(Lease<R>, DestroyReason),
    Create,
    Leave,
}

impl<R, E> Queue<R, E> {
    /// Lets a `run_task` in, which waits for nobody except in a pause. With `may_make` it need not be content
    /// with the pool.
    pub(crate) fn welcome(
        &self,
        settings: &Settings,
        may_make: bool,
        now: Instant,
        fx: &mut Effects<R, E>,
    ) -> Welcome<R> {
        let mut state = self.lock();
        let state = &mut *state;
        if state.phase != Phase::Running {
            return Welcome::Refused(RejectReason::ShuttingDown);
        }
        // Where nothing is lent the pool is asked first, by itself: that counts once.
        let asks_first = may_make == state.rules.lends;
        if asks_first && state.shelf.reserved() == 0 && state.reserve_dormant > 0 {
            state.reserve_dormant -= 1;
            state.reserve_missing += 1;
            fx.wake(state.steward.as_ref());
        }
        if !may_make && (state.shelf.reserved() == 0 || state.paused) {
            return Welcome::NothingPooled;
        }
        let id = state.next_id();
        if state.rules.lends && state.paused {
            let claim = state.new_claim(id, settings, URGENT, now);
            let until = claim.until();
            let key = state.claim(claim);
            state.line_up(key, URGENT, false, until, now, fx);
            return Welcome::Claim { key, id };
        }
        state.accept(now);
        let pooled = state.shelf.reserve().draw(now);
        // A resource that has to be validated first is none to take at once.
        let idle = state.roster.idle() > 0 && !state.is_stale(now);
        if pooled.is_none() && state.rules.lends && idle {
            state.note_arrival(now); // as one that takes it without the lock
            return Welcome::Lent(state.take_loan(id, settings, now, fx));
        }
        let token = match &pooled {
            Some(pooled) => pooled.lease.token.clone(),
            None => CancelToken::new(),
        };
        let mut running = Running::none();
        running.begin(id, settings.name.clone(), settings.location, now, None);
        state.watch_stuck(now, fx);
        running.token = Some(token.clone());
        state.arrivals += 1;
        let key = state.guests.push_back(state.arrivals, running);
        let guest = Guest { key, id, token };
        match pooled {
            Some(mut pooled) => {
                let check = state.must_check(&pooled, now);
                if !check {
                    state.time_guest(key, settings, now, fx); // else when it has been found sound
                }
                pooled.life.used();
                Welcome::Pooled { guest, pooled, check }
            }
            None => Welcome::Temporary(guest),
        }
    }

    /// A guest found its pooled resource not sound: the steward destroys it. The next one from the pool,
    /// and whether it has to be validated, too.
    pub(crate) fn exchange(
        &self,
        guest: &mut Guest,
        unsound: Pooled<R>,
        now: Instant,
        fx: &mut Effects<R, E>,
    ) -> Option<(Pooled<R>, bool)> {
        let mut state = self.lock();
        let state = &mut *state;
        state.shelf.condemned().push((unsound.lease, DestroyReason::Invalid));
        fx.wake(state.steward.as_ref());
        let mut next = state.shelf.reserve().draw(now);
        let token = match &next {
            Some(pooled) => pooled.lease.token.clone(),
            None => CancelToken::new(),
        };
        if let Some(running) = state.guests.get_mut(guest.key) {
            if let Some(why) = running.why {
                token.cancel_because(why); // nobody else knows of it yet, so that no waker runs in here
                if state.rules.slots {
                    token.abort(); // all that cancels a guest does
                }
            }
            running.token = Some(token.clone());
        }
        guest.token = token;
        next.take().map(|mut pooled| {
            let check = state.must_check(&pooled, now);
            pooled.life.used();
            (pooled, check)
        })
    }

    /// A guest's resource is ready, made for it or found sound: whether the task may still start. Its time begins.
    pub(crate) fn guest_starts(
        &self,
        guest: &Guest,
        settings: &Settings,
        now: Instant,
        fx: &mut Effects<R, E>,
    ) -> bool {
        let mut state = self.lock();
        if state.phase == Phase::Killed {
            return false;
        }
        state.time_guest(guest.key, settings, now, fx);
        true
    }

    /// Why a guest's attempt was cancelled, if it was.
    pub(crate) fn guest_why(&self, guest: &Guest) -> Option<Why> {
        let state = self.lock();
        state.guests.get(guest.key).and_then(|running| running.why)
    }

    /// A guest's task has ended, and its temporary resource is still to be destroyed: the guest stays until it says
    /// farewell, and the task is over.
    #[cfg(feature = "tokio")]
    pub(crate) fn guest_ended(&self, guest: &Guest, outcome: Outcome, fx: &mut Effects<R, E>) {
        let mut state = self.lock();
        let state = &mut *state;
        if let Some(running) = state.guests.get_mut(guest.key)
            && std::mem::replace(&mut running.active, false)
        {
            state.tally.end(outcome.fate());
            if let Some(timeout) = running.timeout.take() {
                state.agenda.remove(timeout);
            }
            state.dismiss_if_drained(fx); // nobody else need wait for the destruction
        }
    }

    /// A guest's task has ended. `back` is what it used: whole for the pool, condemned for the steward.
    pub(crate) fn farewell(
        &self,
        guest: Guest,
        outcome: Outcome,
        back: Option<(Pooled<R>, Option<DestroyReason>)>,
        now: Instant,
        fx: &mut Effects<R, E>,
    ) {
        let mut state = self.lock();
        let state = &mut *state;
        let running = state.guests.remove(guest.key).expect("a guest leaves once");
        if let Some(timeout) = running.timeout {
            state.agenda.remove(timeout);
        }
        drop(guest.token);
        if running.active {
            state.tally.end(outcome.fate());
        }
        match back {
            None => {}
            Some((mut pooled, condemned)) => {
                // The lease and the guest's record hold it; a clone that somebody keeps must not
                // reach the next task.
                let lease = &mut pooled.lease;
                let kept = !lease.token.held_by_at_most(2);
                if running.why.is_some() || lease.token.is_cancelled() || kept {
                    lease.token = CancelToken::new();
                }
                pooled.since = now;
                match condemned.or_else(|| state.pooled_for_too_long(&pooled.life, now)) {
                    Some(reason) => {
                        state.shelf.condemned().push((pooled.lease, reason));
                        fx.wake(state.steward.as_ref());
                    }
                    None => {
                        state.shelf.reserve().stow(pooled, false);
                        state.pool.want(); // the next one may find it without the lock
                        state.watch_reserve(now, fx);
                    }
                }
            }
        }
        state.dismiss_if_drained(fx);
        self.check_done(state, now, fx);
    }

    /// One of the resources that the pool still lacks, to be made by whoever asks first.
    pub(crate) fn take_reserve_slot(&self) -> bool {
        let mut state = self.lock();
        let missing = state.reserve_missing > 0 && state.phase == Phase::Running;
        state.reserve_missing -= usize::from(missing);
        state.reserve_making += usize::from(missing);
        missing
    }

    /// A resource for the pool is made, which took so long; `draw`, even in `0.0..1.0`, is for its lifetime.
    /// It comes back where it comes too late: during a shutdown whoever made it destroys it.
    pub(crate) fn stock(
        &self,
        resource: R,
        took: Duration,
        draw: f64,
        now: Instant,
        fx: &mut Effects<R, E>,
    ) -> Option<R> {
        let mut state = self.lock();
        state.reserve_making -= 1;
        if state.phase != Phase::Running {
            return Some(resource); // the steward may have left: nobody would destroy it
        }
        let lease = Lease::new(resource, CancelToken::new());
        let life = Life::begin(&state.rules.life, draw, now);
        let pooled = Pooled { lease, life, since: now, suspect: false };
        // Cold: what has been used lately is more likely to be warm.
        state.shelf.reserve().stow(pooled, true);
        state.gauge.created(took);
        state.watch_reserve(now, fx);
        None
    }

    /// The steward is about to start.
    pub(crate) fn engage_steward(&self) {
        self.lock().steward_live = true;
    }

    /// The base workers have made what they could: from here on the steward refills the pool.
    pub(crate) fn built(&self, now: Instant, fx: &mut Effects<R, E>) {
        let mut state = self.lock();
        state.built = true;
        state.watch(now, fx); // `min_idle` may ask for more than the base
        fx.wake(state.steward.as_ref());
    }

    /// The steward could not start after all.
    pub(crate) fn dismiss_steward(&self) {
        self.lock().steward_live = false;
    }

    /// The steward introduces itself.
    pub(crate) fn steward_here(&self, waiter: Waiter) {
        self.lock().steward = Some(waiter);
    }

    /// Blocks until the steward has something to do. `perform` carries out effects without the lock.
    pub(crate) fn next_chore(
        &self,
        clock: impl Fn() -> Instant,
        mut perform: impl FnMut(Effects<R, E>),
    ) -> Chore<R> {
        loop {
            let mut fx = Effects::new();
            if let Some(chore) = self.find_chore(clock(), &mut fx) {
                return chore;
            }
            perform(fx); // it wakes the timekeeper at most, so that no wake-up is used up
            park();
        }
    }

    /// What the steward is to do now.
    pub(crate) fn find_chore(&self, now: Instant, fx: &mut Effects<R, E>) -> Option<Chore<R>> {
        let mut state = self.lock();
        let state = &mut *state;
        if let Some((lease, reason)) = state.shelf.condemned().pop() {
            state.reserve_missing += 1;
            state.chores += 1;
            return Some(Chore::Destroy(lease, reason));
        }
        if state.drained() {
            // What a guest still uses comes back, or is condemned; the rest need not wait for it.
            if let Some(pooled) = state.shelf.reserve().draw(now) {
                state.chores += 1;
                return Some(Chore::Destroy(pooled.lease, DestroyReason::Shutdown));
            }
            if state.guests.is_empty() && state.chores == 0 {
                return Some(Chore::Leave);
            }
        }
        if state.phase == Phase::Running
            && let Some((index, reason)) = state.overdue_in_reserve(now)
            && let Some(pooled) = state.shelf.reserve().remove(index)
        {
            match reason {
                DestroyReason::Idle => state.reserve_dormant += 1,
                _ => state.reserve_missing += 1,
            }
            state.chores += 1;
            return Some(Chore::Destroy(pooled.lease, reason));
        }
        let may_create =
            state.built && state.phase == Phase::Running && state.steward_retry.is_none();
        if state.reserve_missing > 0 && may_create {
            state.reserve_missing -= 1;
            state.reserve_making += 1;
            state.chores += 1;
            return Some(Chore::Create);
        }
        if state.phase == Phase::Running && state.reserve_watch.is_none() {
            state.watch_reserve(now, fx);
        }
        None
    }

    /// A chore that [`find_chore`](Self::find_chore) gave out is done.
    pub(crate) fn chore_done(&self) {
        self.lock().chores -= 1;
    }

    /// The steward could not make a resource; it tries again after `delay`.
    pub(crate) fn refill_failed(&self, delay: Duration, now: Instant, fx: &mut Effects<R, E>) {
        let mut state = self.lock();
        state.reserve_missing += 1;
        state.reserve_making -= 1;
        let at = now.checked_add(delay).unwrap_or(now);
        let retry = state.appoint(at, Due::Refill, fx);
        state.steward_retry = Some(retry);
    }

    /// The steward is gone.
    pub(crate) fn steward_left(&self, now: Instant, fx: &mut Effects<R, E>) {
        let mut state = self.lock();
        let state = &mut *state;
        state.steward_live = false;
        state.steward = None;
        self.check_done(state, now, fx);
    }
}

impl<R, E> super::State<R, E> {
    fn must_check(&self, pooled: &Pooled<R>, now: Instant) -> bool {
        self.rules.life.validate_after.is_some_and(|limit| {
            pooled.suspect || now.saturating_duration_since(pooled.since) >= limit
        })
    }

    fn time_guest(&mut self, key: u32, settings: &Settings, now: Instant, fx: &mut Effects<R, E>) {
        let at = settings.timeout.and_then(|limit| now.checked_add(limit));
        let timeout = at.map(|at| self.appoint(at, Due::GuestTimeout(key), fx));
        if let Some(running) = self.guests.get_mut(key) {
            running.timeout = timeout;
            running.started = Some(now);
        }
    }
}
