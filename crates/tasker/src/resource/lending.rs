//! The shelf: where resources lie while nobody uses them, so that a blocking caller can borrow one.

use std::collections::{VecDeque, vec_deque};
use std::sync::Arc;
use std::time::Instant;

use super::life::Life;
use super::rack::{Places, Rack};
use crate::cancel::CancelToken;
use crate::event::DestroyReason;

/// A resource on its way: from its worker to a caller and home again, or out of the reserve and back.
pub(crate) struct Lease<R> {
    pub(crate) resource: Box<R>,
    /// Cancels the attempt that uses the resource; used again while nobody keeps a clone.
    pub(crate) token: CancelToken,
}

impl<R> Lease<R> {
    pub(crate) fn new(resource: R, token: CancelToken) -> Self {
        Self { resource: Box::new(resource), token }
    }
}

/// A resource of the pool behind `run_task`.
pub(crate) struct Pooled<R> {
    pub(crate) lease: Lease<R>,
    pub(crate) life: Life,
    /// Since when it has lain there.
    pub(crate) since: Instant,
    /// It has to be validated before it is used again.
    pub(crate) suspect: bool,
}

/// Holds resources by value inside the shared state.
///
/// It is a trait object because a manager must be `Send + Sync` for every `R`: only `new`, which asks
/// for `R: Send`, makes a shelf that can hold anything.
pub(crate) trait Shelf<R>: Send {
    /// Has the resources of the first seats lie on a rack from now on.
    fn set_up(&mut self, rack: Places<R>) -> Option<Arc<dyn Rack<R>>>;
    /// Lays an idle worker's resource down.
    fn put(&mut self, seat: usize, lease: Lease<R>);
    /// Takes it up again.
    fn take(&mut self, seat: usize) -> Option<Lease<R>>;
    /// The pool behind `run_task`; the one used last at the back.
    fn reserve(&mut self) -> &mut VecDeque<Pooled<R>>;
    /// The same, to look at.
    fn pooled(&self) -> vec_deque::Iter<'_, Pooled<R>>;
    /// What has been condemned and waits for its destruction.
    fn condemned(&mut self) -> &mut Vec<(Lease<R>, DestroyReason)>;
    /// How many resources lie in the pool.
    fn reserved(&self) -> usize;
}

/// The shelf of `new`.
pub(crate) struct Shared<R> {
    /// For the first seats, where there is one.
    rack: Option<Arc<Places<R>>>,
    seats: Vec<Option<Lease<R>>>,
    reserve: VecDeque<Pooled<R>>,
    condemned: Vec<(Lease<R>, DestroyReason)>,
}

impl<R> Shared<R> {
    pub(crate) fn new() -> Self {
        Self { rack: None, seats: Vec::new(), reserve: VecDeque::new(), condemned: Vec::new() }
    }
}

impl<R: Send + 'static> Shelf<R> for Shared<R> {
    fn set_up(&mut self, rack: Places<R>) -> Option<Arc<dyn Rack<R>>> {
        let rack = Arc::new(rack);
        self.rack = Some(Arc::clone(&rack));
        Some(rack)
    }

    fn put(&mut self, seat: usize, lease: Lease<R>) {
        if let Some(rack) = self.rack.as_ref().filter(|rack| rack.has(seat)) {
            return rack.put(seat, lease);
        }
        if self.seats.len() <= seat {
            self.seats.resize_with(seat + 1, || None);
        }
        let before = self.seats[seat].replace(lease);
        debug_assert!(before.is_none(), "a seat has one resource");
    }

    fn take(&mut self, seat: usize) -> Option<Lease<R>> {
        if let Some(rack) = self.rack.as_ref().filter(|rack| rack.has(seat)) {
            return rack.take(seat);
        }
        self.seats.get_mut(seat)?.take()
    }

    fn reserve(&mut self) -> &mut VecDeque<Pooled<R>> {
        &mut self.reserve
    }

    fn pooled(&self) -> vec_deque::Iter<'_, Pooled<R>> {
        self.reserve.iter()
    }

    fn condemned(&mut self) -> &mut Vec<(Lease<R>, DestroyReason)> {
        &mut self.condemned
    }

    fn reserved(&self) -> usize {
        self.reserve.len()
    }
}

/// The shelf of `new_local`: resources never leave their threads, so it holds none.
pub(crate) struct Bare;

impl<R> Shelf<R> for Bare {
    fn set_up(&mut self, _: Places<R>) -> Option<Arc<dyn Rack<R>>> {
        None
    }

    fn put(&mut self, _: usize, _: Lease<R>) {
        unreachable!("a local manager's worker keeps its resource in its own hands");
    }

    fn take(&mut self, _: usize) -> Option<Lease<R>> {
        None
    }

    fn reserve(&mut self) -> &mut VecDeque<Pooled<R>> {
        unreachable!("a local manager has no pool");
    }

    fn pooled(&self) -> vec_deque::Iter<'_, Pooled<R>> {
        unreachable!("a local manager has no pool");
    }

    fn condemned(&mut self) -> &mut Vec<(Lease<R>, DestroyReason)> {
        unreachable!("a local manager has no pool");
    }

    fn reserved(&self) -> usize {
        0
    }
}
