//! The rack: idle resources that callers take and bring back without the queue's lock.
//!
//! `queue/README.md` has the protocol. Under the queue's lock the rack is closed, so that whoever holds
//! it sees and changes the whole state; without it, the rack may be open.

use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::lending::Lease;
use crate::metrics::Arrivals;
use crate::sync::{AtomicU64, Guard, Mutex, Numbers, Ordering};
use crate::task::{Name, Settings, TaskId};

/// Seats that can be on the rack; those beyond lend under the lock only.
const PLACES: usize = 60;

/// The bits of the word: one for each seat whose resource may be taken, then who waits, then whether the
/// rack is open. A closed rack is all zeros.
const OPEN: u64 = 1 << 63;
const CLAIMS: u64 = 1 << 62;
const LEVEL_SHIFT: u32 = 60;
const LEVEL: u64 = 3 << LEVEL_SHIFT;
const SEATS: u64 = (1 << PLACES) - 1;

/// Callers that wait although resources lie on the rack. Who runs may overtake them for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Queued {
    /// The highest lane that somebody waits in.
    pub(crate) level: usize,
    /// Until when its first may be overtaken by callers of the same lane.
    pub(crate) until: Instant,
}

/// What became of a resource that was on the rack when that was opened.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) id: TaskId,
    pub(crate) name: Option<Name>,
    pub(crate) location: &'static Location<'static>,
    pub(crate) started: Instant,
}

/// A resource in its taker's hands, by seat.
pub(crate) struct Picked<R> {
    pub(crate) seat: usize,
    pub(crate) lease: Lease<R>,
    pub(crate) id: TaskId,
}

/// The rack, for those who need not know whether its resources are `Send`.
pub(crate) trait Rack<R>: Send + Sync {
    /// The seats whose resources may lie here, a bit for each.
    fn seats(&self) -> u64;
    /// Takes a resource, if the rack is open and a caller of this lane may have one.
    fn pick(&self, settings: &Settings, level: usize, now: Instant) -> Option<Picked<R>>;
    /// Brings it back, its task having ended well. Refused where the queue has to know.
    fn bring_back(&self, seat: usize, lease: Lease<R>) -> Result<(), Lease<R>>;
    /// Lets callers take the resources of `seats`, a bit for each. Only under the queue's lock.
    fn open(&self, seats: u64, queued: Option<Queued>);
    /// From here on nobody takes or brings anything back; which of `seats` are gone.
    fn close(&self, seats: u64) -> u64;
    /// Who has the resource of a seat that is gone: its taker will bring it back to the queue.
    fn see(&self, seat: usize) -> Taken;
    /// How many tasks have come and gone that the queue was not told of.
    fn completed(&self) -> u64;
    /// Adds the tasks that came without the queue's lock.
    fn add_arrivals(&self, sum: &mut Arrivals);
}

/// A place for the resource of each of the first seats.
pub(crate) struct Places<R> {
    word: AtomicU64,
    /// Until when the first claim may be overtaken, in nanoseconds since `start`.
    until: AtomicU64,
    start: Instant,
    cells: Box<[Padded<R>]>,
    ids: Arc<Numbers>,
    counts_arrivals: Option<Instant>,
}

/// Two cells never share a cache line, nor the pair of lines that is fetched together.
#[repr(align(128))]
struct Padded<R>(Mutex<Cell<R>>);

struct Cell<R> {
    /// Unless somebody has it.
    lease: Option<Lease<R>>,
    /// The queue knows that the resource is not here, and whoever has it brings it back there.
    seen: bool,
    id: TaskId,
    name: Option<Name>,
    location: Option<&'static Location<'static>>,
    started: Option<Instant>,
    /// Tasks that ended well, without the queue.
    completed: u64,
    /// Made for the first task that comes without the lock.
    arrivals: Option<Box<Arrivals>>,
}

impl<R> Places<R> {
    /// `counts_arrivals` is since when to count the tasks that come in, if at all.
    pub(crate) fn new(
        places: usize,
        ids: Arc<Numbers>,
        counts_arrivals: Option<Instant>,
        start: Instant,
    ) -> Self {
        let cell = || Cell {
            lease: None,
            seen: false,
            id: TaskId(0),
            name: None,
            location: None,
            started: None,
            completed: 0,
            arrivals: None,
        };
        let cells = (0..places.min(PLACES)).map(|_| Padded(Mutex::new(cell()))).collect();
        let (word, until) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { word, until, start, cells, ids, counts_arrivals }
    }

    /// Whether the resource of a seat lies here when nobody uses it.
    pub(crate) fn has(&self, seat: usize) -> bool {
        seat < self.cells.len()
    }

    fn cell(&self, seat: usize) -> Guard<'_, Cell<R>> {
        self.cells[seat].0.lock()
    }

    /// Lays a resource down. Only under the queue's lock.
    pub(crate) fn put(&self, seat: usize, lease: Lease<R>) {
        let mut cell = self.cell(seat);
        cell.seen = false;
        let before = cell.lease.replace(lease);
        debug_assert!(before.is_none(), "a seat has one resource");
    }

    /// Takes it up again. Only under the queue's lock.
    pub(crate) fn take(&self, seat: usize) -> Option<Lease<R>> {
        let mut cell = self.cell(seat);
        cell.seen = true; // it comes back to the queue
        cell.lease.take()
    }

    /// Whether a caller of a lane may take what lies on a rack in that state.
    fn admits(&self, word: u64, level: usize, now: Instant) -> bool {
        if word & CLAIMS == 0 {
            return true;
        }
        let waiting = ((word & LEVEL) >> LEVEL_SHIFT) as usize;
        // A moment that belongs to an earlier state of the same word is past all the sooner.
        let until = || Duration::from_nanos(self.until.load(Ordering::Relaxed));
        level > waiting || (level == waiting && now < self.start + until())
    }
}

impl<R: Send> Rack<R> for Places<R> {
    fn seats(&self) -> u64 {
        (1 << self.cells.len()) - 1
    }

    fn pick(&self, settings: &Settings, level: usize, now: Instant) -> Option<Picked<R>> {
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            if word & SEATS == 0 || !self.admits(word, level, now) {
                return None;
            }
            let seat = word.trailing_zeros() as usize;
            let mut cell = self.cell(seat);
            // In the cell's lock, so that whoever closes the rack finds either the bit or the taker's name.
            let rest = word & !(1 << seat);
            let order = (Ordering::AcqRel, Ordering::Acquire);
            match self.word.compare_exchange(word, rest, order.0, order.1) {
                Err(newer) => word = newer,
                Ok(_) => {
                    let lease = cell.lease.take().expect("a resource on the rack lies in its cell");
                    let id = TaskId(self.ids.next());
                    cell.id = id;
                    cell.name.clone_from(&settings.name);
                    cell.location = Some(settings.location);
                    cell.started = Some(now);
                    if let Some(start) = self.counts_arrivals {
                        let arrivals =
                            cell.arrivals.get_or_insert_with(|| Box::new(Arrivals::new(start)));
                        arrivals.record(now);
                    }
                    return Some(Picked { seat, lease, id });
                }
            }
        }
    }

    fn bring_back(&self, seat: usize, lease: Lease<R>) -> Result<(), Lease<R>> {
        let Some(Padded(cell)) = self.cells.get(seat) else { return Err(lease) };
        let mut cell = cell.lock();
        if cell.seen {
            return Err(lease);
        }
        let mut word = self.word.load(Ordering::Relaxed);
        while word & OPEN != 0 {
            let more = word | 1 << seat;
            let order = (Ordering::AcqRel, Ordering::Relaxed);
            match self.word.compare_exchange_weak(word, more, order.0, order.1) {
                Err(newer) => word = newer,
                Ok(_) => {
                    cell.lease = Some(lease);
                    cell.completed += 1;
                    return Ok(());
                }
            }
        }
        Err(lease)
    }

    fn open(&self, seats: u64, queued: Option<Queued>) {
        let mut word = OPEN | seats;
        if let Some(Queued { level, until }) = queued {
            word |= CLAIMS | (level as u64) << LEVEL_SHIFT;
            let until = until.saturating_duration_since(self.start).as_nanos();
            self.until.store(u64::try_from(until).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
        self.word.store(word, Ordering::Release);
    }

    fn close(&self, seats: u64) -> u64 {
        seats & !self.word.swap(0, Ordering::AcqRel)
    }

    fn see(&self, seat: usize) -> Taken {
        let mut cell = self.cell(seat);
        debug_assert!(cell.lease.is_none() && !cell.seen, "what is gone is seen once");
        cell.seen = true;
        Taken {
            id: cell.id,
            name: cell.name.take(),
            location: cell.location.expect("its taker wrote it"),
            started: cell.started.expect("its taker wrote it"),
        }
    }

    fn completed(&self) -> u64 {
        (0..self.cells.len()).map(|seat| self.cell(seat).completed).sum()
    }

    fn add_arrivals(&self, sum: &mut Arrivals) {
        for seat in 0..self.cells.len() {
            if let Some(arrivals) = &self.cell(seat).arrivals {
                sum.add(arrivals);
            }
        }
    }
}
