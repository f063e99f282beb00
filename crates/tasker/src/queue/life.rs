//! The life of resources: what is aging gets a successor, what is over goes, and what sat idle for long
//! is validated before it is used again.

use std::time::{Duration, Instant};

use super::due::Due;
use super::seat::Order;
use super::{Effects, News, Queue, State};
use crate::event::DestroyReason;
use crate::pool::roster::Condition;
use crate::resource::life::{Life, LifeRules, Stage, Succession, succession};
use crate::shutdown::Phase;

/// What becomes of a worker that is in the middle of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parting {
    Replace(DestroyReason),
    Leave(DestroyReason),
}

impl Parting {
    fn leaves(self) -> bool {
        matches!(self, Self::Leave(_))
    }

    /// What the worker's condition is from then on, and what it is told.
    fn begin<R, E>(self) -> (Condition, Order<R, E>) {
        match self {
            Self::Replace(reason) => (Condition::Recovering, Order::Replace(reason)),
            Self::Leave(reason) => (Condition::Leaving, Order::Leave(reason)),
        }
    }
}

impl<R, E> Queue<R, E> {
    /// A worker found its resource not sound: it is going to replace it.
    pub(crate) fn condemn(&self, seat: usize, now: Instant, fx: &mut Effects<R, E>) {
        let mut state = self.lock();
        state.roster.set(seat, Condition::Recovering);
        state.forget_age(seat);
        state.floor(now, fx); // the task that it was checked for goes to the next one
    }
}

impl<R, E> State<R, E> {
    /// A worker's new resource begins its life.
    pub(crate) fn begin_life(
        &mut self,
        seat: usize,
        draw: f64,
        now: Instant,
        fx: &mut Effects<R, E>,
    ) {
        self.forget_age(seat);
        let life = Life::begin(&self.rules.life, draw, now);
        self.seats[seat].life = life;
        self.look_at_age(seat, life.next_at(now), fx);
        self.take_over(seat, fx);
    }

    /// A resource is gone, or about to go: nothing that was planned for it holds for the next.
    pub(crate) fn forget_age(&mut self, seat: usize) {
        let it = &mut self.seats[seat];
        let parting = it.parting.take();
        self.outgoing -= usize::from(parting.is_some_and(Parting::leaves));
        if let Some(age) = it.age.take() {
            self.agenda.remove(age);
        }
        if let Some(successor) = self.seats[seat].successor.take() {
            self.seats[successor].predecessor = None; // it stays, as one more worker
            self.regroup();
        }
    }

    /// In a shutdown nobody goes before the end: a worker serves what is left as well as another one would.
    pub(super) fn forget_partings(&mut self) {
        self.outgoing = 0;
        for seat in &mut self.seats {
            seat.parting = None;
        }
    }

    /// A worker is gone: nobody takes over from it, and it takes over from nobody.
    pub(crate) fn unlink(&mut self, seat: usize, now: Instant, fx: &mut Effects<R, E>) {
        self.forget_age(seat);
        if let Some(old) = self.seats[seat].predecessor.take() {
            self.regroup();
            self.seats[old].successor = None;
            let again = now.checked_add(self.interval());
            if self.seats[old].age.is_none() {
                self.look_at_age(old, again, fx);
            }
        }
    }

    fn look_at_age(&mut self, seat: usize, at: Option<Instant>, fx: &mut Effects<R, E>) {
        if let Some(at) = at {
            self.seats[seat].age = Some(self.appoint(at, Due::Age(seat), fx));
        }
    }

    /// The time has come to look at a resource's age.
    pub(crate) fn age(&mut self, seat: usize, now: Instant, fx: &mut Effects<R, E>) {
        self.seats[seat].age = None;
        // Who is to go when it is free, because its successor is there, does not begin anew instead.
        if self.phase != Phase::Running || self.seats[seat].parting.is_some() {
            return;
        }
        let life = self.seats[seat].life;
        let stage = life.stage(&self.rules.life, now);
        let has_successor = self.seats[seat].successor.is_some();
        let has_room = self.roster.live() < self.cap();
        match succession(stage, has_successor, has_room) {
            Succession::Wait => {}
            Succession::Hire => {
                if let Some((successor, number)) = self.hire() {
                    self.seats[seat].successor = Some(successor);
                    self.seats[successor].predecessor = Some(seat);
                    self.regroup();
                    fx.news.push(News::Hired { seat: successor, number });
                }
            }
            Succession::Replace(reason) => self.part(seat, Parting::Replace(reason), fx),
            Succession::Leave(reason) => self.part(seat, Parting::Leave(reason), fx),
        }
        self.look_at_age(seat, life.next_at(now), fx);
    }

    /// A worker has its resource: if it was hired to take over from another, that one goes.
    fn take_over(&mut self, seat: usize, fx: &mut Effects<R, E>) {
        let Some(old) = self.seats[seat].predecessor.take() else { return };
        self.regroup();
        self.seats[old].successor = None;
        let reason = match self.seats[old].life.is_worn(&self.rules.life) {
            true => DestroyReason::MaxUses,
            false => DestroyReason::Expired,
        };
        self.part(old, Parting::Leave(reason), fx);
    }

    /// Sends a worker on its way: now if it is idle, else when it is free.
    pub(super) fn part(&mut self, seat: usize, parting: Parting, fx: &mut Effects<R, E>) {
        let (condition, order) = parting.begin();
        if self.roster.rouse(seat, condition) {
            self.forget_age(seat);
            self.order(seat, order, fx);
        } else {
            let before = self.seats[seat].parting.replace(parting);
            self.outgoing += usize::from(parting.leaves());
            self.outgoing -= usize::from(before.is_some_and(Parting::leaves));
        }
    }

    /// What a seat's worker is to do that has become free, if its resource or itself has to go.
    #[inline]
    pub(crate) fn parting(
        &mut self,
        seat: usize,
        now: Instant,
        fx: &mut Effects<R, E>,
    ) -> Option<Order<R, E>> {
        let counted = self.rules.life.max_uses.is_some();
        if !counted && !self.shrinking && self.seats[seat].parting.is_none() {
            return None;
        }
        self.find_parting(seat, now, fx)
    }

    #[cold]
    fn find_parting(
        &mut self,
        seat: usize,
        now: Instant,
        fx: &mut Effects<R, E>,
    ) -> Option<Order<R, E>> {
        if self.phase != Phase::Running {
            return None;
        }
        let mut parting = self.seats[seat].parting;
        if self.shrinking {
            self.shrinking = self.surplus() > 0;
            if self.shrinking && self.ready_surplus() > 0 {
                parting = Some(Parting::Leave(DestroyReason::Idle));
            }
        }
        if parting.is_none() && self.rules.life.max_uses.is_some() {
            match self.seats[seat].life.stage(&self.rules.life, now) {
                Stage::Over(reason) if self.seats[seat].successor.is_some() => {
                    parting = Some(Parting::Leave(reason));
                }
                Stage::Over(reason) => parting = Some(Parting::Replace(reason)),
                Stage::Aging(DestroyReason::MaxUses) if self.lacks_successor(seat) => {
                    // The timekeeper starts the successor's thread: whoever brings a resource back may
                    // be a caller that has better things to do.
                    if let Some(age) = self.seats[seat].age.take() {
                        self.agenda.remove(age);
                    }
                    self.look_at_age(seat, Some(now), fx);
                }
                Stage::Aging(_) | Stage::Young => {}
            }
        }
        let (condition, order) = parting?.begin();
        self.forget_age(seat);
        self.roster.set(seat, condition);
        Some(order)
    }

    /// Whether somebody could be hired to take over from a worker, and nobody is.
    fn lacks_successor(&self, seat: usize) -> bool {
        self.seats[seat].successor.is_none() && self.roster.live() < self.cap()
    }

    /// Whether the idle resource that was used last has been idle for so long that it must be validated;
    /// then all others have been, too.
    #[inline]
    pub(crate) fn is_stale(&self, now: Instant) -> bool {
        self.rules.life.validate_after.is_some_and(|limit| {
            let since = self.roster.warmest_since();
            since.is_some_and(|since| now.saturating_duration_since(since) >= limit)
        })
    }

    /// Has as many idle workers validate their resources as tasks wait for them.
    pub(crate) fn send_to_check(&mut self, fx: &mut Effects<R, E>) {
        let waiting = self.lanes.jobs() + self.lanes.claims();
        let wanted = waiting.saturating_sub(self.roster.count(Condition::Checking));
        for _ in 0..wanted {
            let Some(seat) = self.roster.take_idle(Condition::Checking) else { break };
            self.order(seat, Order::Check, fx);
        }
    }

    /// Arms the look through the pool for what lies there for too long.
    pub(crate) fn watch_reserve(&mut self, now: Instant, fx: &mut Effects<R, E>) {
        let rules = self.rules.life;
        let nothing = rules.idle_timeout.is_none() && rules.max_lifetime.is_none();
        if nothing || self.rules.reserve_size == 0 {
            return;
        }
        let spare = self.shelf.reserved() > rules.min_idle;
        let timeout = rules.idle_timeout.filter(|_| spare);
        let times = self.shelf.pooled().flat_map(|pooled| {
            let idle = timeout.and_then(|limit| pooled.since.checked_add(limit));
            [idle, pooled.life.next_at(now)]
        });
        let at = times.flatten().min();
        if let Some(watch) = self.reserve_watch.take() {
            self.agenda.remove(watch);
        }
        // Never in the past: what is due by now is the steward's already.
        self.reserve_watch = at.map(|at| self.appoint(at.max(now + MOMENT), Due::Reserve, fx));
    }

    /// Why a pooled resource has to go that nobody uses, if its life is over. Those that merely age go one
    /// after the other: while a place is empty they stay.
    pub(crate) fn pooled_for_too_long(&self, life: &Life, now: Instant) -> Option<DestroyReason> {
        let lacking = self.reserve_missing + self.reserve_making > 0;
        match life.stage(&self.rules.life, now) {
            Stage::Over(reason) => Some(reason),
            Stage::Aging(reason @ DestroyReason::Expired) if !lacking => Some(reason),
            Stage::Aging(_) | Stage::Young => None,
        }
    }

    /// The index of a pooled resource that has to go, and why.
    pub(crate) fn overdue_in_reserve(&self, now: Instant) -> Option<(usize, DestroyReason)> {
        let rules = self.rules.life;
        if self.rules.reserve_size == 0 || rules == LifeRules::default() {
            return None;
        }
        let spare = self.shelf.reserved() > rules.min_idle;
        let idle = |since| now.saturating_duration_since(since);
        self.shelf.pooled().enumerate().find_map(|(index, pooled)| {
            if let Some(reason) = self.pooled_for_too_long(&pooled.life, now) {
                return Some((index, reason));
            }
            let tired = rules.idle_timeout.is_some_and(|limit| idle(pooled.since) >= limit);
            (tired && spare).then_some((index, DestroyReason::Idle))
        })
    }
}

/// Between two looks through the pool.
const MOMENT: Duration = Duration::from_millis(1);
