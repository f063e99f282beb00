//! What is lent and brought back without the lock, and how whoever takes the lock sees all of it.

use std::ops::{Deref, DerefMut};
use std::time::Instant;

use super::claim::Loan;
use super::{OVERTAKING, Queue, State};
use crate::autoscale::Gauge;
use crate::pool::roster::Condition;
use crate::resource::rack::{Picked, Queued, Taken, Unsaid};
use crate::shutdown::Phase;
use crate::sync::Guard;
use crate::task::Settings;

/// The state, with racks and inbox closed. They are opened again, where they may be, before the lock is free.
pub(super) struct Locked<'a, R, E>(pub(super) Guard<'a, State<R, E>>);

impl<R, E> Deref for Locked<'_, R, E> {
    type Target = State<R, E>;

    fn deref(&self) -> &State<R, E> {
        &self.0
    }
}

impl<R, E> DerefMut for Locked<'_, R, E> {
    fn deref_mut(&mut self) -> &mut State<R, E> {
        &mut self.0
    }
}

impl<R, E> Drop for Locked<'_, R, E> {
    #[inline]
    fn drop(&mut self) {
        if self.0.roster.idle_bits() & self.0.racked != 0 {
            self.0.open_rack();
        } else {
            self.0.open_inbox();
        }
        if self.0.pool.is_wanted() {
            self.0.open_pool();
        }
    }
}

impl<R, E> Queue<R, E> {
    /// A resource from the rack for a task that is to run on the calling thread, or in its future.
    #[inline]
    pub(crate) fn pick(&self, settings: &Settings, level: usize, now: Instant) -> Option<Loan<R>> {
        let rack = self.rack.as_ref()?;
        if settings.timeout.is_some() {
            return None; // somebody has to be told when it is over
        }
        let Picked { seat, lease, id } = rack.pick(settings, level, now)?;
        Some(Loan { seat, lease, id, attempt: 1 })
    }

    /// Lays a resource on the rack whose task has ended well. Given back where the queue has to know.
    #[inline]
    pub(crate) fn lay_back(&self, loan: Loan<R>, now: Instant) -> Result<(), Loan<R>> {
        let Some(rack) = &self.rack else { return Err(loan) };
        // A token that was cancelled, or that somebody keeps, is not used again. It has two holders here, the lease
        // and the seat; others clone it under the lock, and then the rack refuses. Holders first: whoever kept it may
        // have cancelled it, and gone.
        let token = &loan.lease.token;
        if !token.held_by_at_most(2) || token.why().is_some() {
            return Err(loan);
        }
        let Loan { seat, lease, id, attempt } = loan;
        rack.bring_back(seat, lease, now).map_err(|lease| Loan { seat, lease, id, attempt })
    }
}

impl<R, E> State<R, E> {
    /// Nobody takes anything without the lock any more, and what was taken is known.
    pub(super) fn close_rack(&mut self) {
        let Self { rack: Some(rack), on_rack, roster, seats, tally, .. } = self else { return };
        rack.close();
        let mut open = std::mem::take(on_rack);
        while open != 0 {
            let seat = open.trailing_zeros() as usize;
            open &= open - 1;
            let (Some(Taken { id, name, location, started }), _) = rack.see(seat) else { continue };
            tally.accepted += 1; // as an arrival its taker has counted it
            let idle = roster.rouse(seat, Condition::Lent);
            debug_assert!(idle, "what was on the rack was idle");
            let seat = &mut seats[seat];
            seat.life.used();
            seat.running.begin(id, name, location, started, None);
        }
    }

    /// The windows of the policy, as of `now`: what happened on the rack is in them as soon as a bucket is over.
    pub(super) fn gauge(&mut self, now: Instant) -> &mut Gauge {
        if now >= self.gauge.turns_at() {
            self.hear_rack();
            self.gauge.turn(now);
            self.note_on_rack();
        }
        &mut self.gauge
    }

    /// Adds what happened on the rack to the bucket that is being filled, which is when it happened.
    pub(super) fn hear_rack(&mut self) {
        let Some(rack) = self.rack.as_ref().filter(|_| self.may_scale) else { return };
        for seat in 0..self.racked.count_ones() as usize {
            let (Unsaid { arrivals, attempts, busy }, ended) = rack.hear(seat);
            self.gauge.add(arrivals, attempts, busy);
            self.rested[seat] = ended;
        }
        self.roster.used_meanwhile(|seat| self.rested.get(seat).copied().flatten());
    }

    /// Has the rack note what happens, or not, as long as the bucket that is being filled.
    pub(super) fn note_on_rack(&self) {
        if let Some(rack) = &self.rack {
            rack.note_until(self.may_scale.then(|| self.gauge.turns_at()));
        }
    }

    /// Lets callers take what is idle without the lock, where no more has to happen than that they run.
    fn open_rack(&mut self) {
        if self.phase != Phase::Running || self.paused {
            return;
        }
        let queued = match self.lanes.first_claim() {
            None => None,
            // Whoever is to take its turn is awake, and looks again soon.
            Some(first) if self.usher.is_some() && self.rules.naps => {
                let until =
                    self.first_since[first.level].and_then(|since| since.checked_add(OVERTAKING));
                let Some(until) = until else { return };
                Some(Queued { level: first.level, until })
            }
            Some(_) => return,
        };
        if self.lanes.jobs() > 0 || !self.outside.is_empty() {
            return;
        }
        if let Some(rack) = &self.rack {
            self.on_rack = self.roster.idle_bits() & self.racked;
            rack.open(self.on_rack, queued);
        }
    }
}
