//! What loom models may see and do besides: they play the worker of a seat by hand.

use std::time::Instant;

use super::{Effects, Order, Queue};
use crate::pool::roster::Condition;
use crate::resource::lending::Lease;

impl<R, E> Queue<R, E> {
    /// The worker of a seat lays its resource down; any order it gets is left for it.
    pub(crate) fn rest_for_model(&self, seat: usize, lease: Lease<R>, now: Instant) {
        let mut fx = Effects::new();
        {
            let mut state = self.lock();
            state.shelf.put(seat, lease);
            state.seats[seat].attended = !state.rules.slots;
            let order = state.freed(seat, now, &mut fx);
            if let Some(order) = order {
                state.order(seat, order, &mut fx);
            }
        }
        for waiter in fx.wake {
            waiter.wake();
        }
    }

    pub(crate) fn order_for_model(&self, seat: usize) -> Option<(Order<R, E>, Option<Lease<R>>)> {
        let mut state = self.lock();
        let order = state.seats[seat].order.take()?;
        let lease = state.shelf.take(seat);
        Some((order, lease))
    }

    /// Whether a link of a succession stands at a seat.
    pub(crate) fn is_linked_for_model(&self, seat: usize) -> bool {
        let state = self.lock();
        state.seats[seat].successor.is_some() || state.seats[seat].predecessor.is_some()
    }

    pub(crate) fn condition_for_model(&self, seat: usize) -> Condition {
        self.lock().roster.condition(seat).expect("the seat is taken")
    }

    pub(crate) fn take_for_model(&self, seat: usize) -> Option<R> {
        let mut state = self.lock();
        state.roster.rouse(seat, Condition::Leaving); // or it would be on the rack without its resource
        state.shelf.take(seat).map(|lease| *lease.resource)
    }
}
