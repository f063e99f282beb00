//! The rack: idle resources that callers take and bring back without the queue's lock.
//!
//! `queue/README.md` has the protocol. Under the queue's lock the rack is closed, so that whoever holds
//! it sees and changes the whole state; without it, the rack may be open.

use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::lending::Lease;
use crate::metrics::Arrivals;
use crate::sync::{AtomicU64, Guard, Mutex, Numbers, Ordering, thread_local};
use crate::task::{Name, Settings, TaskId};

/// Seats that can be on the rack; those beyond lend under the lock only. Whoever closes it looks at each that is idle, and
/// no more than a few callers run at the same time, unless their tasks take so long that a lock does not matter.
const PLACES: usize = 16;

/// The bits of the word: one for each seat whose resource may be taken, then who waits. A closed rack is all zeros.
const CLAIMS: u64 = 1 << 63;
const LEVEL_SHIFT: u32 = 61;
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

/// What tasks did without the queue's lock that its scaling has to know.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Unsaid {
    pub(crate) arrivals: u32,
    pub(crate) attempts: u32,
    /// How long the attempts took together.
    pub(crate) busy: Duration,
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
    fn bring_back(&self, seat: usize, lease: Lease<R>, now: Instant) -> Result<(), Lease<R>>;
    /// What a seat's tasks did since this was asked last, and when the last of them ended.
    fn hear(&self, seat: usize) -> (Unsaid, Option<Instant>);
    /// From here on what tasks do is noted until `end`, after which they go to the queue; `None` if nothing need be.
    fn note_until(&self, end: Option<Instant>);
    /// Lets callers take the resources of `seats`, a bit for each. Only under the queue's lock.
    fn open(&self, seats: u64, queued: Option<Queued>);
    /// From here on nobody takes what lies there; then each seat that was open has to be [seen](Self::see).
    fn close(&self);
    /// Who has the resource of a seat, if it is gone: its taker will bring it back to the queue. And how many
    /// tasks have come and gone there.
    fn see(&self, seat: usize) -> (Option<Taken>, u64);
    /// How many tasks have come and gone that the queue was not told of.
    fn completed(&self) -> u64;
    /// Adds the tasks that came without the queue's lock.
    fn add_arrivals(&self, sum: &mut Arrivals);
}

/// Gives threads numbers, which order nothing.
static THREADS: Numbers = Numbers::new();

thread_local! {
    /// Where this thread looks first.
    static OWN_PLACE: usize = THREADS.next() as usize;
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
    /// When the last of them ended, and until when what they do is noted.
    ended: Option<Instant>,
    noted_until: Option<Instant>,
    unsaid: Unsaid,
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
            ended: None,
            noted_until: None,
            unsaid: Unsaid::default(),
            arrivals: None,
        };
        let cells = (0..places.min(PLACES)).map(|_| Padded(Mutex::new(cell()))).collect();
        let (word, until) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { word, until, start, cells, ids, counts_arrivals }
    }

    /// How many places there are.
    pub(crate) fn len(&self) -> usize {
        self.cells.len()
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
        let mut left = self.word.load(Ordering::Relaxed) & SEATS; // a guess, which saves looks
        let own = OWN_PLACE.try_with(|own| *own).unwrap_or(0) % self.cells.len().max(1);
        while left != 0 {
            // The thread's own place first, if it is there: threads that meet there would wait for each other's
            // cache lines.
            let later = left >> own << own;
            let seat = if later == 0 { left } else { later }.trailing_zeros() as usize;
            left &= !(1 << seat);
            let Some(mut cell) = self.cells[seat].0.try_lock() else { continue };
            // In the cell's lock: whoever closes the rack locks it after that, so that either the taker finds it
            // closed, or whoever closes it finds the resource gone and its taker's name.
            let word = self.word.load(Ordering::Acquire);
            if word & 1 << seat == 0
                || !self.admits(word, level, now)
                || cell.noted_until.is_some_and(|end| now >= end)
            {
                return None;
            }
            let Some(lease) = cell.lease.take() else { continue };
            let id = TaskId(self.ids.next());
            cell.id = id;
            cell.name.clone_from(&settings.name);
            cell.location = Some(settings.location);
            cell.started = Some(now);
            if cell.noted_until.is_some() {
                cell.unsaid.arrivals += 1;
            }
            if let Some(start) = self.counts_arrivals {
                let arrivals = cell.arrivals.get_or_insert_with(|| Box::new(Arrivals::new(start)));
                arrivals.record(now);
            }
            return Some(Picked { seat, lease, id });
        }
        None
    }

    fn bring_back(&self, seat: usize, lease: Lease<R>, now: Instant) -> Result<(), Lease<R>> {
        let Some(Padded(cell)) = self.cells.get(seat) else { return Err(lease) };
        let mut cell = cell.lock();
        // What nobody has seen was taken since the rack was opened, and whoever is closing it has yet to come here.
        if cell.seen || cell.noted_until.is_some_and(|end| now >= end) {
            return Err(lease);
        }
        cell.lease = Some(lease);
        cell.completed += 1;
        if cell.noted_until.is_some()
            && let Some(started) = cell.started
        {
            cell.ended = Some(now);
            cell.unsaid.attempts += 1;
            cell.unsaid.busy += now.saturating_duration_since(started);
        }
        Ok(())
    }

    fn hear(&self, seat: usize) -> (Unsaid, Option<Instant>) {
        let mut cell = self.cell(seat);
        (std::mem::take(&mut cell.unsaid), cell.ended)
    }

    fn note_until(&self, end: Option<Instant>) {
        for seat in 0..self.cells.len() {
            self.cell(seat).noted_until = end;
        }
    }

    fn open(&self, seats: u64, queued: Option<Queued>) {
        let mut word = seats;
        if let Some(Queued { level, until }) = queued {
            word |= CLAIMS | (level as u64) << LEVEL_SHIFT;
            let until = until.saturating_duration_since(self.start).as_nanos();
            self.until.store(u64::try_from(until).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
        self.word.store(word, Ordering::Release);
    }

    fn close(&self) {
        self.word.store(0, Ordering::Relaxed); // the cells' locks order it
    }

    fn see(&self, seat: usize) -> (Option<Taken>, u64) {
        let mut cell = self.cell(seat);
        let completed = cell.completed;
        if cell.lease.is_some() {
            return (None, completed);
        }
        debug_assert!(!cell.seen, "what is gone is seen once");
        cell.seen = true;
        let taken = Taken {
            id: cell.id,
            name: cell.name.take(),
            location: cell.location.expect("its taker wrote it"),
            started: cell.started.expect("its taker wrote it"),
        };
        (Some(taken), completed)
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
