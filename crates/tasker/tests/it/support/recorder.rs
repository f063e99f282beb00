//! An observer that keeps what it was told, and can be waited for.

use std::panic::Location;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tasker::autoscale::Reason;
use tasker::{
    DestroyReason, Event, Observer, Outcome, Owner, Phase, Priority, TaskId,
    TaskLifecycleTimestamps,
};

use super::LIMIT;

/// Give a clone to `Config::observer` and keep one. Clones share what was seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recorder(Arc<(Mutex<Vec<Seen>>, Condvar)>);

/// An event with its place in the order of its manager's events.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) sequence: u64,
    pub(crate) what: What,
}

/// An owned copy of an [`Event`].
#[derive(Debug, Clone)]
#[allow(dead_code, reason = "a copy is complete, whatever the tests look at")]
pub(crate) enum What {
    TaskQueued {
        id: TaskId,
        name: Option<String>,
        priority: Priority,
    },
    TaskStarted {
        id: TaskId,
        name: Option<String>,
        attempt: u32,
    },
    TaskRetried {
        id: TaskId,
        name: Option<String>,
        attempt: u32,
        delay: Duration,
    },
    TaskFinished {
        id: TaskId,
        name: Option<String>,
        outcome: Outcome,
        times: Option<TaskLifecycleTimestamps>,
    },
    TaskStuck {
        id: TaskId,
        name: Option<String>,
        running_for: Duration,
        location: &'static Location<'static>,
    },
    WorkerStarted {
        worker: usize,
    },
    WorkerStopped {
        worker: usize,
    },
    ResourceCreated {
        owner: Owner,
        took: Duration,
    },
    CreateFailed {
        owner: Owner,
        panicked: bool,
    },
    ResourceDestroyed {
        owner: Owner,
        reason: DestroyReason,
        failed: bool,
    },
    Scaled {
        from: usize,
        to: usize,
        reason: Reason,
    },
    PauseChanged {
        paused: bool,
    },
    PhaseChanged {
        phase: Phase,
    },
}

impl Recorder {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Everything seen so far, in the order in which it happened.
    pub(crate) fn events(&self) -> Vec<Seen> {
        let mut events = self.lock().clone();
        events.sort_by_key(|seen| seen.sequence);
        events
    }

    /// How many of the events so far are `wanted`.
    pub(crate) fn count(&self, wanted: impl Fn(&What) -> bool) -> usize {
        self.lock().iter().filter(|seen| wanted(&seen.what)).count()
    }

    /// Blocks until the events, in the order of their coming, satisfy `holds`.
    pub(crate) fn wait_until(&self, holds: impl Fn(&[Seen]) -> bool) {
        let waited = self.0.1.wait_timeout_while(self.lock(), LIMIT, |seen| !holds(seen));
        let (seen, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        let failed = timeout.timed_out().then(|| format!("{seen:#?}"));
        drop(seen);
        if let Some(seen) = failed {
            panic!("it did not happen in {LIMIT:?}; this did: {seen}");
        }
    }

    /// Blocks until `count` events are `wanted`.
    pub(crate) fn wait_for(&self, count: usize, wanted: impl Fn(&What) -> bool) {
        self.wait_until(|events| events.iter().filter(|seen| wanted(&seen.what)).count() >= count);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Recorder {
    fn on_event(&self, event: &Event<'_>) {
        let seen = Seen { sequence: event.sequence(), what: What::from(event) };
        self.lock().push(seen);
        self.0.1.notify_all();
    }
}

impl From<&Event<'_>> for What {
    fn from(event: &Event<'_>) -> Self {
        let owned = |name: &Option<&str>| name.map(str::to_owned);
        match event {
            Event::TaskQueued { id, name, priority, .. } => {
                Self::TaskQueued { id: *id, name: owned(name), priority: *priority }
            }
            Event::TaskStarted { id, name, attempt, .. } => {
                Self::TaskStarted { id: *id, name: owned(name), attempt: *attempt }
            }
            Event::TaskRetried { id, name, attempt, delay, .. } => {
                Self::TaskRetried { id: *id, name: owned(name), attempt: *attempt, delay: *delay }
            }
            Event::TaskFinished { id, name, outcome, times, .. } => {
                Self::TaskFinished { id: *id, name: owned(name), outcome: *outcome, times: *times }
            }
            Event::TaskStuck { id, name, running_for, location, .. } => {
                let (running_for, location) = (*running_for, *location);
                Self::TaskStuck { id: *id, name: owned(name), running_for, location }
            }
            Event::WorkerStarted { worker, .. } => Self::WorkerStarted { worker: *worker },
            Event::WorkerStopped { worker, .. } => Self::WorkerStopped { worker: *worker },
            Event::ResourceCreated { owner, took, .. } => {
                Self::ResourceCreated { owner: *owner, took: *took }
            }
            Event::CreateFailed { owner, panicked, .. } => {
                Self::CreateFailed { owner: *owner, panicked: *panicked }
            }
            Event::ResourceDestroyed { owner, reason, failed, .. } => {
                Self::ResourceDestroyed { owner: *owner, reason: *reason, failed: *failed }
            }
            Event::Scaled { from, to, reason, .. } => {
                Self::Scaled { from: *from, to: *to, reason: reason.clone() }
            }
            Event::PauseChanged { paused, .. } => Self::PauseChanged { paused: *paused },
            Event::PhaseChanged { phase, .. } => Self::PhaseChanged { phase: *phase },
            other => panic!("an event that the recorder does not know: {other:?}"),
        }
    }
}

/// Whether a resource went for `reason`.
pub(crate) fn gone(reason: DestroyReason) -> impl Fn(&What) -> bool {
    move |what| matches!(what, What::ResourceDestroyed { reason: why, .. } if *why == reason)
}

/// Whether a pooled resource went for `reason`.
pub(crate) fn gone_from_pool(reason: DestroyReason) -> impl Fn(&What) -> bool {
    move |what| match what {
        What::ResourceDestroyed { owner, reason: why, .. } => {
            (*owner, *why) == (Owner::Pool, reason)
        }
        _ => false,
    }
}

/// Fails unless everything that went before the shutdown went for `reason`.
#[track_caller]
pub(crate) fn assert_only(seen: &Recorder, reason: DestroyReason) {
    for event in seen.events() {
        if let What::ResourceDestroyed { reason: why, .. } = event.what {
            assert!(why == reason || why == DestroyReason::Shutdown, "{why:?}");
        }
    }
}
