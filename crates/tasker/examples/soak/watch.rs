//! An observer that counts how many tasks were accepted, how many ended and how many were stuck.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tasker::{Event, Observer};

/// Clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watcher(Arc<Seen>);

#[derive(Debug, Default)]
struct Seen {
    accepted: AtomicU64,
    finished: AtomicU64,
    stuck: AtomicU64,
}

impl Watcher {
    /// How many were accepted, and how many ended.
    pub(crate) fn seen(&self) -> (u64, u64) {
        (self.0.accepted.load(Ordering::Acquire), self.0.finished.load(Ordering::Acquire))
    }

    /// How many attempts were found stuck.
    pub(crate) fn stuck(&self) -> u64 {
        self.0.stuck.load(Ordering::Acquire)
    }
}

impl Observer for Watcher {
    fn on_event(&self, event: &Event<'_>) {
        match event {
            Event::TaskQueued { .. } => self.0.accepted.fetch_add(1, Ordering::Release),
            Event::TaskFinished { .. } => self.0.finished.fetch_add(1, Ordering::Release),
            Event::TaskStuck { .. } => self.0.stuck.fetch_add(1, Ordering::Release),
            _ => 0,
        };
    }
}
