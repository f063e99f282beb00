//! Watches the manager: how it scales, why connections are closed, and how long urgent tasks wait.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tasker::{DestroyReason, Event, Observer};

use crate::fetch::URGENT;
use crate::report::Page;

/// What the manager has told so far. Clones share it.
#[derive(Clone)]
pub(crate) struct Journal {
    page: Page,
    notes: Arc<Mutex<Notes>>,
}

#[derive(Default)]
struct Notes {
    most_workers: usize,
    urgent_wait: Duration,
    /// How many connections were closed, by reason.
    closed: BTreeMap<String, u64>,
    condemned: u64,
}

impl Journal {
    /// An empty one, for a manager that begins with so many workers.
    pub(crate) fn new(page: Page, workers: usize) -> Self {
        let notes = Notes { most_workers: workers, ..Notes::default() };
        Self { page, notes: Arc::new(Mutex::new(notes)) }
    }

    /// The most workers that there were at a time.
    pub(crate) fn most_workers(&self) -> usize {
        self.notes().most_workers
    }

    /// The longest wait of an urgent task.
    pub(crate) fn urgent_wait(&self) -> Duration {
        self.notes().urgent_wait
    }

    /// How many connections were closed, and why.
    pub(crate) fn closed(&self) -> String {
        let notes = self.notes();
        let reasons: Vec<_> = notes.closed.iter().map(|(why, n)| format!("{n} ({why})")).collect();
        reasons.join(", ")
    }

    /// How many connections an error condemned.
    pub(crate) fn condemned(&self) -> u64 {
        self.notes().condemned
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Journal {
    fn on_event(&self, event: &Event<'_>) {
        match event {
            Event::TaskFinished { name: Some(URGENT), times: Some(times), .. } => {
                let mut notes = self.notes();
                notes.urgent_wait = notes.urgent_wait.max(times.wait_time());
            }
            Event::ResourceDestroyed { reason, .. } => {
                let mut notes = self.notes();
                *notes.closed.entry(reason.to_string()).or_default() += 1;
                notes.condemned += u64::from(*reason == DestroyReason::Unhealthy);
            }
            Event::Scaled { from, to, reason, .. } => {
                let mut notes = self.notes();
                notes.most_workers = notes.most_workers.max(*to);
                drop(notes); // nobody is to wait for a terminal
                self.page.line(format_args!("Scaled: {from} -> {to} workers, because {reason}."));
            }
            _ => {}
        }
    }
}
