//! What `run_task` takes from the pool and brings back without the lock, and how whoever takes the lock sees it.

use std::sync::Arc;
use std::time::Instant;

use super::guest::Guest;
use super::lanes::URGENT;
use super::{Queue, Running, State};
use crate::resource::lending::{Lease, Pooled};
use crate::resource::life::Life;
use crate::resource::rack::{Picked, Rack, Taken};
use crate::shutdown::Phase;
use crate::task::{Settings, TaskId};

/// A pooled resource in the hands of a caller whom the queue need not know.
pub(crate) struct Visit<R> {
    place: usize,
    pub(crate) lease: Lease<R>,
    pub(crate) id: TaskId,
}

/// What the lock knows of the rack of the pool.
pub(super) struct PoolRack<R> {
    rack: Option<Arc<dyn Rack<R>>>,
    /// The places with which it was opened, a bit for each; none while it is closed.
    open: u64,
    /// It is to be opened when the lock is free: whoever looks at each of its places for nothing pays for it,
    /// so that it stays closed where no `run_task` comes between two locks.
    wanted: bool,
    places: Vec<Stall>,
}

/// A place of the rack.
#[derive(Debug, Clone, Copy, Default)]
struct Stall {
    /// As whom whoever took the resource was noted.
    guest: u32,
    /// How many tasks had come and gone when it was looked at.
    completed: u64,
}

impl<R> PoolRack<R> {
    pub(super) fn new(rack: Option<Arc<dyn Rack<R>>>) -> Self {
        let places = rack.as_ref().map_or(0, |rack| rack.seats().count_ones() as usize);
        Self { rack, open: 0, wanted: false, places: vec![Stall::default(); places] }
    }

    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.open != 0
    }

    #[inline]
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// Somebody runs tasks on pooled resources.
    pub(super) fn want(&mut self) {
        self.wanted = self.rack.is_some();
    }
}

impl<R, E> Queue<R, E> {
    /// A resource of the pool for a task that is to run on the calling thread.
    #[inline]
    pub(crate) fn visit(&self, settings: &Settings, now: Instant) -> Option<Visit<R>> {
        let rack = self.pool_rack.as_ref()?;
        if settings.timeout.is_some() {
            return None; // somebody has to be told when it is over
        }
        let Picked { seat: place, lease, id } = rack.pick(settings, URGENT, now)?;
        Some(Visit { place, lease, id })
    }

    /// Lays a resource back whose task has ended well. Given back where the queue has to know.
    #[inline]
    pub(crate) fn end_visit(&self, visit: Visit<R>, now: Instant) -> Result<(), Visit<R>> {
        let Some(rack) = &self.pool_rack else { return Err(visit) };
        // As for what is lent, and in that order: the lease and the reserve hold the token.
        let token = &visit.lease.token;
        if !token.held_by_at_most(2) || token.why().is_some() {
            return Err(visit);
        }
        let Visit { place, lease, id } = visit;
        rack.bring_back(place, lease, now).map_err(|lease| Visit { place, lease, id })
    }

    /// Whoever took a resource without the lock becomes a guest like others, who says farewell.
    pub(crate) fn note_visit(&self, visit: Visit<R>, now: Instant) -> (Guest, Pooled<R>) {
        let mut state = self.lock(); // by now it is seen, if it was not before
        let Visit { place, lease, id } = visit;
        state.shelf.reserve().returned(place);
        let guest = Guest { key: state.pool.places[place].guest, id, token: lease.token.clone() };
        (guest, Pooled { lease, life: Life::none(), since: now, suspect: false })
    }
}

impl<R, E> State<R, E> {
    /// Nobody takes anything from the pool without the lock any more, and who took something is a guest.
    pub(super) fn close_pool(&mut self) {
        let Self { pool, shelf, tally, guests, arrivals, .. } = self;
        let PoolRack { rack: Some(rack), open, wanted, places } = pool else { return };
        rack.close();
        *wanted = false;
        let mut left = std::mem::take(open);
        while left != 0 {
            let place = left.trailing_zeros() as usize;
            left &= left - 1;
            let (taken, completed) = rack.see(place);
            let stall = &mut places[place];
            let before = std::mem::replace(&mut stall.completed, completed);
            *wanted |= taken.is_some() || completed != before;
            let Some(Taken { id, name, location, started }) = taken else { continue };
            tally.accepted += 1; // as an arrival its taker has counted it
            let mut running = Running::none();
            running.begin(id, name, location, started, None);
            running.token = shelf.reserve().gone(place);
            *arrivals += 1;
            stall.guest = guests.push_back(*arrivals, running);
        }
    }

    /// Lets callers take what lies in the pool without the lock, where no more has to happen than that they run.
    pub(super) fn open_pool(&mut self) {
        if self.phase != Phase::Running || self.paused {
            return;
        }
        let here = self.shelf.reserve().here();
        if let Some(rack) = self.pool.rack.as_ref().filter(|_| here != 0) {
            self.pool.open = here;
            rack.open(here, None);
        }
    }
}
