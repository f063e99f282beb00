//! How a future waits for a resource with its claim, and gives the claim up when it is dropped.

use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use super::claim::{Denial, Loan, Status};
use super::due::Due;
use super::job::Place;
use super::lanes::Next;
use super::{Effects, Queue};
use crate::outcome::Outcome;
use crate::sync::Waiter;
use crate::worker::attempt::discard;

/// What a future that is dropped had come to.
pub(crate) enum Abandoned<R, E> {
    /// It waited; `accepted` unless it waited for room.
    Waiting { accepted: bool },
    /// It was going to have this.
    Granted(Loan<R>),
    /// Its task had ended.
    Denied(Denial<E>),
}

impl<R, E> Queue<R, E> {
    /// Whether the claim has been answered. If not, `waker` is woken when it is.
    pub(crate) fn poll_claim(&self, key: u32, waker: &Waker) -> Poll<Result<Loan<R>, Denial<E>>> {
        let mut fresh = Some(Waiter::Waker(waker.clone()));
        let mut guard = self.lock();
        let state = &mut *guard;
        let claim = state.claims.get_mut(key).expect("a claim stays until its future takes it");
        let answer = match claim.status {
            Status::Granted(seat) => Poll::Ready(Ok(state.take_granted(key, seat))),
            Status::Denied(_) => Poll::Ready(Err(state.take_denied(key))),
            Status::Waiting => {
                std::mem::swap(&mut claim.waiter, &mut fresh);
                Poll::Pending
            }
        };
        drop(guard);
        discard(fresh); // outside the lock: a waker's drop is somebody else's code, and may panic
        answer
    }

    /// The attempt on a seat begins, and its time with it.
    #[cfg_attr(loom, allow(dead_code, reason = "a model has no time"))]
    pub(crate) fn time_attempt(
        &self,
        seat: usize,
        limit: Duration,
        now: Instant,
        fx: &mut Effects<R, E>,
    ) {
        let mut state = self.lock();
        if let Some(at) = now.checked_add(limit) {
            let timeout = state.appoint(at, Due::Timeout(seat), fx);
            state.seats[seat].running.timeout = Some(timeout);
        }
    }

    /// The future of a claim is gone: it gives up its place, or what it was granted. A task that had been
    /// accepted and waited ends as `outcome`.
    pub(crate) fn abandon(
        &self,
        key: u32,
        outcome: Outcome,
        now: Instant,
        fx: &mut Effects<R, E>,
    ) -> Abandoned<R, E> {
        let mut guard = self.lock();
        let state = &mut *guard;
        let claim = state.claims.get(key).expect("a claim stays until its future gives it up");
        let place = claim.place();
        match claim.status {
            Status::Granted(seat) => return Abandoned::Granted(state.take_granted(key, seat)),
            Status::Denied(_) => return Abandoned::Denied(state.take_denied(key)),
            Status::Waiting => {}
        }
        let accepted = match place {
            Place::Lane(spot) => {
                state.unqueue(Next::Claim(spot), now);
                true
            }
            Place::Delayed(index) => {
                if let Some((_, appointment)) = state.delayed.remove(index) {
                    state.agenda.remove(appointment);
                }
                true
            }
            Place::Outside(spot) => {
                let (_, entry) = state.take_outside(Next::Claim(spot));
                if let Some(expiry) = entry.expiry() {
                    state.agenda.remove(expiry);
                }
                false
            }
            Place::Running(_) | Place::Nowhere => {
                unreachable!("a claim that waits does so somewhere")
            }
        };
        state.unblock_claim(key, fx);
        let claim = state.forget_claim(key);
        if accepted {
            state.tally.end(outcome.fate());
        }
        state.floor(now, fx);
        state.dismiss_if_drained(fx);
        drop(guard);
        discard(claim); // outside the lock, as it has a waker
        Abandoned::Waiting { accepted }
    }
}
