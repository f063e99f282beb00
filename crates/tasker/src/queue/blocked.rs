//! Tasks that wait for tasks of their own manager: who holds up whom, and what is done when nobody gets on.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use super::awaited::{Awaited, Ticketed};
use super::claim::Status;
use super::job::{Place, Ticket};
use super::lanes::Next;
use super::{Effects, Queue, State};
use crate::autoscale::Reason;
use crate::outcome::TaskError;
use crate::pool::relief::{Relief, Standstill, relief};
use crate::shutdown::Phase;
use crate::sync::Waiter;
use crate::worker::attempt::discard;

/// Somebody waits in the middle of tasks of this manager.
pub(crate) struct Blocked {
    /// The seats of those tasks, and which of the tasks that ran there they are.
    seats: Vec<(usize, u64)>,
    awaited: Awaited,
    refused: bool,
}

impl<R, E> Queue<R, E> {
    /// Whoever works on `seats` waits from here on for a task that borrows from it.
    pub(crate) fn block_scoped(
        &self,
        seats: Vec<usize>,
        task: Arc<dyn Ticketed>,
        now: Instant,
        fx: &mut Effects<R, E>,
    ) -> u32 {
        let mut state = self.lock();
        let key = state.block(seats, Awaited::Scoped(task));
        state.blocked(key, now, fx);
        key
    }

    /// Whoever works on `seats` waits, or waits on, for an outcome. `None` if it would do so for ever.
    pub(crate) fn block(
        &self,
        known: Option<u32>,
        seats: Vec<usize>,
        task: Arc<dyn Ticketed>,
        waiter: Waiter,
        now: Instant,
        fx: &mut Effects<R, E>,
    ) -> Option<u32> {
        let (mut task, mut waiter) = (Some(task), Some(waiter));
        let mut before = None;
        let mut state = self.lock();
        let key = match known.filter(|key| state.waits_on(*key, &seats)) {
            Some(key) => {
                if let Some(Blocked { awaited: Awaited::Outcome(_, known), .. }) =
                    state.blocked.get_mut(key)
                {
                    std::mem::swap(known, &mut waiter);
                }
                key
            }
            None => {
                // It may have been polled in another task before, which it does not hold up any more.
                before = known.and_then(|key| state.end_wait(key, fx));
                let task = task.take().expect("it was just given");
                let key = state.block(seats, Awaited::Outcome(task, waiter.take()));
                state.blocked(key, now, fx);
                key
            }
        };
        let refused = state.blocked.get(key).is_some_and(|blocked| blocked.refused);
        let refused = refused.then(|| state.end_wait(key, fx));
        drop(state);
        let stands = refused.is_none();
        discard((task, waiter, before, refused)); // outside the lock: they may be the user's
        stands.then_some(key)
    }

    /// Whoever works on `seats`, perhaps on none, waits (on) with a claim, until that is answered.
    pub(crate) fn block_claim(
        &self,
        claim: u32,
        seats: Vec<usize>,
        now: Instant,
        fx: &mut Effects<R, E>,
    ) {
        let mut state = self.lock();
        let state = &mut *state;
        let Some(it) = state.claims.get(claim) else { return };
        if !matches!(it.status, Status::Waiting) {
            return; // answered meanwhile: it would hold its worker up until it is fetched
        }
        let known = it.blocked;
        if known.is_some_and(|key| state.waits_on(key, &seats)) {
            return;
        }
        if let Some(key) = known {
            state.end_wait(key, fx);
        }
        let key = (!seats.is_empty()).then(|| state.block(seats, Awaited::Claim(claim)));
        if let Some(claim) = state.claims.get_mut(claim) {
            claim.blocked = key;
        }
        if let Some(key) = key {
            state.blocked(key, now, fx);
        }
    }

    /// It waits no longer. What it waited for is to be dropped without the lock.
    pub(crate) fn unblock(&self, key: u32, fx: &mut Effects<R, E>) -> Option<Blocked> {
        self.lock().end_wait(key, fx)
    }
}

impl<R, E> State<R, E> {
    fn block(&mut self, seats: Vec<usize>, awaited: Awaited) -> u32 {
        let seats = seats.into_iter().map(|at| {
            let seat = &mut self.seats[at];
            self.held_up += usize::from(seat.blocked == 0);
            seat.blocked += 1;
            (at, seat.epoch)
        });
        let seats = seats.collect();
        self.arrivals += 1;
        self.blocked.push_back(self.arrivals, Blocked { seats, awaited, refused: false })
    }

    /// A claim has been answered, or is given up: whoever waited with it holds nobody up any more.
    pub(super) fn unblock_claim(&mut self, claim: u32, fx: &mut Effects<R, E>) {
        if let Some(key) = self.claims.get_mut(claim).and_then(|claim| claim.blocked.take()) {
            self.end_wait(key, fx);
        }
    }

    /// A wait is over. It is given back, since what it waited for may be the user's.
    fn end_wait(&mut self, key: u32, fx: &mut Effects<R, E>) -> Option<Blocked> {
        let blocked = self.blocked.remove(key)?;
        for (seat, epoch) in &blocked.seats {
            let seat = &mut self.seats[*seat];
            if seat.epoch == *epoch {
                seat.blocked -= 1;
                self.held_up -= usize::from(seat.blocked == 0);
            }
        }
        // Where one of several was awaited the last one may be a part of a circle.
        let seats: Vec<usize> = self.seats_of(&blocked).collect();
        for seat in seats {
            if self.seats[seat].blocked == 1
                && let Some(left) = self.wait_of(seat)
                && let Some(key) = self.circle(left)
            {
                self.refuse_handle(key, fx);
            }
        }
        Some(blocked)
    }

    /// The task of a seat has ended: whatever waited in it does so on its own account now.
    pub(super) fn unblock_seat(&mut self, seat: usize) {
        if std::mem::take(&mut self.seats[seat].blocked) > 0 {
            self.held_up -= 1;
            self.epochs += 1;
            self.seats[seat].epoch = self.epochs;
        }
    }

    /// Somebody has just come to wait.
    fn blocked(&mut self, key: u32, now: Instant, fx: &mut Effects<R, E>) {
        match self.circle(key) {
            Some(key) => self.refuse_handle(key, fx),
            None => self.relieve(true, now, fx),
        }
    }

    /// Whether a wait is of just these seats, and of the tasks that run there now.
    fn waits_on(&self, key: u32, seats: &[usize]) -> bool {
        self.blocked.get(key).is_some_and(|blocked| {
            blocked.seats.len() == seats.len() && self.seats_of(blocked).eq(seats.iter().copied())
        })
    }

    /// Promise 16: if every worker is held up, there is one more, or somebody is refused.
    pub(super) fn relieve(&mut self, hires: bool, now: Instant, fx: &mut Effects<R, E>) {
        // A guess from above first: nearly always somebody else is there.
        while self.held_up > 0 && self.held_up + self.aside.len() >= self.roster.live() {
            let standing = self.standing_still();
            // Whoever is set aside goes when its task returns, if it does: nobody can wait for that.
            let going = self.aside.iter().filter(|seat| !standing.contains(seat)).count();
            // A stop does not wait between the tries of workers that get no resource.
            let may_hire = match self.phase {
                Phase::Running => true,
                Phase::Stopping => self.failures == 0,
                Phase::Stopped | Phase::Killed => false,
            };
            let blocked = standing.len();
            let at = Standstill {
                live: self.roster.live() - going,
                blocked,
                limit: self.headcount().max_worker_count + self.aside.len() - going,
                hires: hires && may_hire,
                paused: self.paused,
            };
            match relief(at) {
                Relief::None => return,
                Relief::Hire => return self.grow(1, Reason::Blocked { blocked }, now, fx),
                // Again, where several are awaited side by side in one task.
                Relief::Refuse if self.refuse_last(now, fx) => {}
                Relief::Refuse => return,
            }
        }
    }

    /// The seats whose tasks can get no further before another task does.
    fn standing_still(&self) -> BTreeSet<usize> {
        let waiting = self.blocked.iter().filter(|(_, _, blocked)| self.is_held_up(blocked));
        waiting.flat_map(|(_, _, blocked)| self.seats_of(blocked)).collect()
    }

    fn seats_of(&self, blocked: &Blocked) -> impl Iterator<Item = usize> {
        let seats = blocked.seats.iter();
        let current = seats.filter(|(seat, epoch)| self.seats[*seat].epoch == *epoch);
        current.map(|(seat, _)| *seat)
    }

    /// Whether what it waits for neither has ended nor is worked on by somebody who is not counted. What has ended is
    /// on its way to whoever waits.
    fn is_held_up(&self, blocked: &Blocked) -> bool {
        match &blocked.awaited {
            Awaited::Claim(_) => true, // with its answer the wait is over
            Awaited::Scoped(task) | Awaited::Outcome(task, _) => {
                !blocked.refused
                    && match task.ticket().place() {
                        Place::Nowhere => false,
                        // It may return; then its worker goes, but whoever waits for it gets on.
                        Place::Running(seat) => {
                            !self.seats[seat].set_aside || self.seats[seat].blocked > 0
                        }
                        Place::Lane(_) | Place::Delayed(_) | Place::Outside(_) => true,
                    }
            }
        }
    }

    /// Which handle to refuse if one that has just come to wait does so, over others that wait, for itself. Where
    /// several wait in the middle of one task it is not known which of them it needs, and nobody is refused for that.
    fn circle(&self, key: u32) -> Option<u32> {
        let first = self.blocked.get(key)?;
        let (mut key, mut at, mut last) = (key, first, None);
        for _ in 0..self.blocked.len() {
            let task = match &at.awaited {
                Awaited::Claim(_) => return None,
                Awaited::Scoped(task) => task,
                Awaited::Outcome(task, _) => {
                    last.get_or_insert(key);
                    task
                }
            };
            let Place::Running(seat) = task.ticket().place() else { return None };
            if self.seats_of(first).any(|own| own == seat) {
                return last; // calls alone make no circle, so that there is one with a handle
            }
            if self.seats[seat].blocked != 1 {
                return None;
            }
            key = self.wait_of(seat)?;
            at = self.blocked.get(key)?;
        }
        None
    }

    /// A wait of the task on a seat that is not over.
    fn wait_of(&self, seat: usize) -> Option<u32> {
        let mut waiting = self.blocked.iter();
        let on_seat = |blocked| self.seats_of(blocked).any(|on| on == seat);
        let found = waiting.find(|(_, _, blocked)| on_seat(blocked) && self.is_held_up(blocked));
        found.map(|(key, ..)| key)
    }

    /// Refuses the last that came to wait and can be refused. There is one: a scoped task that runs waits
    /// itself for one that came to wait before or after it, and that chain has an end. Whether it did.
    fn refuse_last(&mut self, now: Instant, fx: &mut Effects<R, E>) -> bool {
        let waiting = self.blocked.iter().filter(|(_, _, blocked)| {
            let running = |ticket: &Ticket| matches!(ticket.place(), Place::Running(_));
            let alone = matches!(&blocked.awaited, Awaited::Scoped(task) if running(task.ticket()));
            !alone && self.is_held_up(blocked) && self.seats_of(blocked).next().is_some()
        });
        let last = waiting.last().map(|(key, ..)| key);
        if let Some(key) = last {
            self.refuse(key, now, fx);
        }
        last.is_some()
    }

    /// Whoever waits for this outcome looks, and finds that it is refused.
    fn refuse_handle(&mut self, key: u32, fx: &mut Effects<R, E>) {
        let Some(blocked) = self.blocked.get_mut(key) else { return };
        if let Awaited::Outcome(_, waiter) = &mut blocked.awaited {
            blocked.refused = true;
            fx.wake.extend(waiter.take());
        }
    }

    fn refuse(&mut self, key: u32, now: Instant, fx: &mut Effects<R, E>) {
        let Some(blocked) = self.blocked.get_mut(key) else { return };
        match &mut blocked.awaited {
            Awaited::Outcome(..) => self.refuse_handle(key, fx),
            Awaited::Claim(key) => {
                let key = *key;
                if let Some(place) = self.claims.get(key).map(super::claim::Claim::place) {
                    self.withdraw(place, Next::Claim, TaskError::WouldDeadlock, now, fx);
                }
            }
            Awaited::Scoped(task) => {
                let place = task.ticket().place();
                self.withdraw(place, Next::Job, TaskError::WouldDeadlock, now, fx);
            }
        }
    }
}
