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

/// Where the resources of the pool lie.
pub(crate) struct Reserve<R> {
    /// Where callers take them without the queue's lock, if they may.
    rack: Option<Arc<Places<R>>>,
    /// The places there that have a resource, and those that wait for theirs, a bit for each.
    here: u64,
    out: u64,
    /// By place, the second holder of the token of what lies there; it tells whoever takes it to stop.
    tokens: Vec<Option<CancelToken>>,
    /// All that has no place there; the one used last at the back.
    line: VecDeque<Pooled<R>>,
}

impl<R> Reserve<R> {
    fn new() -> Self {
        Self { rack: None, here: 0, out: 0, tokens: Vec::new(), line: VecDeque::new() }
    }

    /// How many resources lie here.
    pub(crate) fn len(&self) -> usize {
        self.here.count_ones() as usize + self.line.len()
    }

    /// The places of the rack that have a resource, a bit for each.
    pub(crate) fn here(&self) -> u64 {
        self.here
    }

    /// Lays a resource down; one that is cold is the last to be taken.
    pub(crate) fn stow(&mut self, pooled: Pooled<R>, cold: bool) {
        let taken = self.here | self.out;
        let place = (0..self.tokens.len()).find(|place| taken & 1 << place == 0);
        if let (Some(rack), Some(place)) = (&self.rack, place) {
            self.tokens[place] = Some(pooled.lease.token.clone());
            rack.put(place, pooled.lease); // nothing on a rack has an age
            self.here |= 1 << place;
        } else if cold {
            self.line.push_front(pooled);
        } else {
            self.line.push_back(pooled);
        }
    }

    /// Takes the one that was used last, as far as that is known.
    pub(crate) fn draw(&mut self, now: Instant) -> Option<Pooled<R>> {
        if let Some(rack) = self.rack.as_ref().filter(|_| self.here != 0) {
            let place = self.here.trailing_zeros() as usize;
            self.here &= !(1 << place);
            self.tokens[place] = None;
            let lease = rack.take(place).expect("it lies where its bit says");
            return Some(Pooled { lease, life: Life::none(), since: now, suspect: false });
        }
        self.line.pop_back()
    }

    /// Takes the one of [`pooled`](Shelf::pooled) at an index.
    pub(crate) fn remove(&mut self, index: usize) -> Option<Pooled<R>> {
        self.line.remove(index)
    }

    /// Somebody has taken what lay at a place: the token of whatever it is used for.
    pub(crate) fn gone(&mut self, place: usize) -> Option<CancelToken> {
        self.here &= !(1 << place);
        self.out |= 1 << place;
        self.tokens[place].take()
    }

    /// Whoever took it has brought it to the queue.
    pub(crate) fn returned(&mut self, place: usize) {
        self.out &= !(1 << place);
    }
}

/// Holds resources by value inside the shared state.
///
/// It is a trait object because a manager must be `Send + Sync` for every `R`: only `new`, which asks
/// for `R: Send`, makes a shelf that can hold anything.
pub(crate) trait Shelf<R>: Send {
    /// Has the resources of the first seats lie on a rack from now on.
    fn set_up(&mut self, rack: Places<R>) -> Option<Arc<dyn Rack<R>>>;
    /// The same for the first resources of the pool.
    fn set_up_pool(&mut self, rack: Places<R>) -> Option<Arc<dyn Rack<R>>>;
    /// Lays an idle worker's resource down.
    fn put(&mut self, seat: usize, lease: Lease<R>);
    /// Takes it up again.
    fn take(&mut self, seat: usize) -> Option<Lease<R>>;
    /// The pool behind `run_task`.
    fn reserve(&mut self) -> &mut Reserve<R>;
    /// What lies there and may age; so nothing that lies on a rack.
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
    reserve: Reserve<R>,
    condemned: Vec<(Lease<R>, DestroyReason)>,
}

impl<R> Shared<R> {
    pub(crate) fn new() -> Self {
        Self { rack: None, seats: Vec::new(), reserve: Reserve::new(), condemned: Vec::new() }
    }
}

impl<R: Send + 'static> Shelf<R> for Shared<R> {
    fn set_up(&mut self, rack: Places<R>) -> Option<Arc<dyn Rack<R>>> {
        let rack = Arc::new(rack);
        self.rack = Some(Arc::clone(&rack));
        Some(rack)
    }

    fn set_up_pool(&mut self, rack: Places<R>) -> Option<Arc<dyn Rack<R>>> {
        let rack = Arc::new(rack);
        self.reserve.tokens = (0..rack.len()).map(|_| None).collect();
        self.reserve.rack = Some(Arc::clone(&rack));
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

    fn reserve(&mut self) -> &mut Reserve<R> {
        &mut self.reserve
    }

    fn pooled(&self) -> vec_deque::Iter<'_, Pooled<R>> {
        self.reserve.line.iter()
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

    fn set_up_pool(&mut self, _: Places<R>) -> Option<Arc<dyn Rack<R>>> {
        None
    }

    fn put(&mut self, _: usize, _: Lease<R>) {
        unreachable!("a local manager's worker keeps its resource in its own hands");
    }

    fn take(&mut self, _: usize) -> Option<Lease<R>> {
        None
    }

    fn reserve(&mut self) -> &mut Reserve<R> {
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
