//! The inbox: tasks that were handed in without the queue's lock, while everybody is busy.
//!
//! `README.md` has the protocol. Under the lock the inbox is closed and empty, unless its holder leaves it as it is.

use super::door::Entry;
use super::job::Job;
use super::lanes::Next;
use super::{Queue, State, Who};
use crate::shutdown::Phase;
use crate::sync::{AtomicU8, Mutex, Numbers, Ordering};
use crate::task::{Settings, TaskId};

/// How many tasks it holds before whoever brings the next one takes the lock and puts all of them in their lanes: so
/// many that the lock is rarely taken, and so few that nobody who takes it has much to do first.
const ROOM: usize = 64;

/// Where tasks are handed in.
pub(crate) struct Inbox<R, E>(Padded<R, E>);

/// Not on a cache line that somebody else writes.
#[repr(align(128))]
struct Padded<R, E> {
    /// Above the highest lane whose tasks are taken in, zero while it is closed. A guess for those who have no lock: what
    /// counts is in the tray.
    open_below: AtomicU8,
    tray: Mutex<Tray<R, E>>,
}

struct Tray<R, E> {
    /// The highest lane whose tasks are taken in; none while it is closed.
    open_to: Option<usize>,
    jobs: Vec<Job<R, E>>,
}

impl<R, E> Inbox<R, E> {
    pub(super) fn new() -> Self {
        let tray = Mutex::new(Tray { open_to: None, jobs: Vec::new() });
        Self(Padded { open_below: AtomicU8::new(0), tray })
    }

    /// Hands a task in that waits in lane `level`. It comes back where the queue has to know at once.
    #[inline]
    fn put(&self, job: Job<R, E>, level: usize, ids: &Numbers) -> Result<(), Job<R, E>> {
        if level >= usize::from(self.0.open_below.load(Ordering::Relaxed)) {
            return Err(job);
        }
        let mut tray = self.0.tray.lock();
        if tray.open_to.is_none_or(|highest| level > highest) || tray.jobs.len() >= ROOM {
            drop(tray);
            return Err(job);
        }
        job.ticket().set_id(TaskId(ids.next()));
        tray.jobs.push(job);
        Ok(())
    }

    fn open(&self, highest: usize, jobs: Vec<Job<R, E>>) {
        let mut tray = self.0.tray.lock();
        self.0.open_below.store(highest as u8 + 1, Ordering::Relaxed);
        debug_assert!(tray.jobs.is_empty() && jobs.is_empty(), "nobody hands in what is closed");
        tray.open_to = Some(highest);
        if tray.jobs.capacity() == 0 {
            tray.jobs = jobs;
        }
    }

    fn close(&self) -> Vec<Job<R, E>> {
        let mut tray = self.0.tray.lock();
        self.0.open_below.store(0, Ordering::Relaxed);
        tray.open_to = None;
        std::mem::take(&mut tray.jobs)
    }
}

impl<R, E> Queue<R, E> {
    /// Hands a task in without the lock, where nothing comes of it but that it waits in its lane. Given back where the
    /// queue has to know at once. Not for urgent tasks.
    #[inline]
    pub(crate) fn hand_in(&self, job: Job<R, E>) -> Result<(), Job<R, E>> {
        let Some(inbox) = &self.inbox else { return Err(job) };
        let Settings { priority, start_within, .. } = &job.ticket().settings;
        if start_within.is_some() {
            return Err(job); // an appointment has to be made
        }
        let level = priority.level();
        inbox.put(job, level, &self.ids)
    }
}

impl<R, E> State<R, E> {
    /// Nobody hands anything in without the lock any more, and what was handed in waits in its lane.
    #[inline]
    pub(super) fn close_inbox(&mut self) {
        if self.inbox_open_to.take().is_some() {
            self.take_in();
        }
    }

    /// Puts what was handed in into its lanes.
    fn take_in(&mut self) {
        let Some(inbox) = &self.inbox else { return };
        let mut jobs = inbox.close();
        for job in jobs.drain(..) {
            let ticket = job.ticket();
            let (level, queued_at) = (ticket.settings.priority.level(), ticket.queued_at);
            self.accept(queued_at);
            self.enqueue(
                level,
                Entry { what: Who::Job(job), counted: true, extra: None },
                queued_at,
            );
            self.note_arrival(queued_at);
        }
        self.inbox_spare = jobs;
    }

    /// Lets tasks be handed in without the lock where nothing would come of it but that they wait: somebody waits
    /// already, nobody is idle, and whoever is free next takes the lock.
    #[inline]
    pub(super) fn open_inbox(&mut self) {
        if self.lanes.jobs() > 0 && self.roster.idle() == 0 && self.inbox_open_to.is_none() {
            self.consider_opening();
        }
    }

    fn consider_opening(&mut self) {
        let Some(inbox) = &self.inbox else { return };
        let hastens = self.may_scale && !self.hastened; // one more task would have the policy asked sooner
        if self.phase != Phase::Running || hastens {
            return;
        }
        if let Some(Next::Job(spot)) = self.lanes.next() {
            self.inbox_open_to = Some(spot.level);
            inbox.open(spot.level, std::mem::take(&mut self.inbox_spare));
        }
    }

    /// Whether what waits in the inbox, if anything does, comes after everything in lane `level`.
    #[inline]
    pub(super) fn precedes_inbox(&self, level: usize) -> bool {
        self.inbox_open_to.is_none_or(|highest| level >= highest)
    }
}
