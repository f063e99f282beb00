//! What the manager tells its observers, in the order in which it happened to each task.

use std::panic::Location;
use std::time::Duration;

use crate::autoscale::Reason;
use crate::metrics::TaskLifecycleTimestamps;
use crate::outcome::Outcome;
use crate::shutdown::Phase;
use crate::task::{Priority, TaskId};

/// Something that happened. Every event carries a sequence number that rises per manager; threads
/// deliver their own events, so sort by it to see the order in which things happened.
#[non_exhaustive]
#[derive(Debug, Clone)]
pub enum Event<'a> {
    /// A task was accepted.
    #[non_exhaustive]
    TaskQueued {
        /// Its place in the order of events.
        sequence: u64,
        /// The task's number.
        id: TaskId,
        /// The task's name, if it was given one.
        name: Option<&'a str>,
        /// The lane that it was submitted to.
        priority: Priority,
    },
    /// An attempt begins. That of an async task begins when its future is polled, which may be a while after it
    /// was its turn: do not read from the numbers in which order tasks were given their resources.
    #[non_exhaustive]
    TaskStarted {
        /// Its place in the order of events.
        sequence: u64,
        /// The task's number.
        id: TaskId,
        /// The task's name, if it was given one.
        name: Option<&'a str>,
        /// Which attempt, from 1.
        attempt: u32,
    },
    /// An attempt failed on an unhealthy resource; the task is queued again after `delay`.
    #[non_exhaustive]
    TaskRetried {
        /// Its place in the order of events.
        sequence: u64,
        /// The task's number.
        id: TaskId,
        /// The task's name, if it was given one.
        name: Option<&'a str>,
        /// The attempt that failed, from 1.
        attempt: u32,
        /// How long it waits before it is queued; zero if it is queued at once.
        delay: Duration,
    },
    /// A task ended. `times` are those of its last attempt; `None` if it never started.
    #[non_exhaustive]
    TaskFinished {
        /// Its place in the order of events.
        sequence: u64,
        /// The task's number.
        id: TaskId,
        /// The task's name, if it was given one.
        name: Option<&'a str>,
        /// How it ended.
        outcome: Outcome,
        /// When it was queued, and when its last attempt started and ended; `None` if it never started.
        times: Option<TaskLifecycleTimestamps>,
    },
    /// An attempt has been running for longer than [`stuck_after`](crate::Config::stuck_after). Told once for each
    /// attempt. The time counts from when the task was given a resource: where its thread, or whoever polls its
    /// future, is late, this may come before [`TaskStarted`](Self::TaskStarted), or without it.
    #[non_exhaustive]
    TaskStuck {
        /// Its place in the order of events.
        sequence: u64,
        /// The task's number.
        id: TaskId,
        /// The task's name, if it was given one.
        name: Option<&'a str>,
        /// How long the attempt has been running.
        running_for: Duration,
        /// Where in the code the task was made.
        location: &'static Location<'static>,
    },
    /// A worker has started; it has no resource yet.
    #[non_exhaustive]
    WorkerStarted {
        /// Its place in the order of events.
        sequence: u64,
        /// The worker's number, as in the name of its thread where it has one.
        worker: usize,
    },
    /// A worker has left; its resource is destroyed.
    #[non_exhaustive]
    WorkerStopped {
        /// Its place in the order of events.
        sequence: u64,
        /// The worker's number, as in the name of its thread where it has one.
        worker: usize,
    },
    /// `on_create` returned a resource.
    #[non_exhaustive]
    ResourceCreated {
        /// Its place in the order of events.
        sequence: u64,
        /// Whose resource it is.
        owner: Owner,
        /// How long `on_create` took.
        took: Duration,
    },
    /// `on_create` failed or panicked.
    #[non_exhaustive]
    CreateFailed {
        /// Its place in the order of events.
        sequence: u64,
        /// Whose resource it is.
        owner: Owner,
        /// Whether `on_create` panicked, rather than return an error.
        panicked: bool,
    },
    /// A resource went through `on_destroy`; `failed` if that returned an error or panicked.
    #[non_exhaustive]
    ResourceDestroyed {
        /// Its place in the order of events.
        sequence: u64,
        /// Whose resource it is.
        owner: Owner,
        /// Why it had to go.
        reason: DestroyReason,
        /// Whether `on_destroy` returned an error, panicked, or was cut off by a runtime that shut down.
        failed: bool,
    },
    /// The number of workers is being changed.
    #[non_exhaustive]
    Scaled {
        /// Its place in the order of events.
        sequence: u64,
        /// How many workers there were, those that are leaving not counted.
        from: usize,
        /// How many there will be.
        to: usize,
        /// Why, with the numbers that the decision was made of.
        reason: Reason,
    },
    /// Tasks are held back from now on, or start again.
    #[non_exhaustive]
    PauseChanged {
        /// Its place in the order of events.
        sequence: u64,
        /// Whether they are held back.
        paused: bool,
    },
    /// The manager entered a phase.
    #[non_exhaustive]
    PhaseChanged {
        /// Its place in the order of events.
        sequence: u64,
        /// The phase entered.
        phase: Phase,
    },
}

impl Event<'_> {
    /// The event's place in the order of this manager's events.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        match self {
            Self::TaskQueued { sequence, .. }
            | Self::TaskStarted { sequence, .. }
            | Self::TaskRetried { sequence, .. }
            | Self::TaskFinished { sequence, .. }
            | Self::TaskStuck { sequence, .. }
            | Self::WorkerStarted { sequence, .. }
            | Self::WorkerStopped { sequence, .. }
            | Self::ResourceCreated { sequence, .. }
            | Self::CreateFailed { sequence, .. }
            | Self::ResourceDestroyed { sequence, .. }
            | Self::Scaled { sequence, .. }
            | Self::PauseChanged { sequence, .. }
            | Self::PhaseChanged { sequence, .. } => *sequence,
        }
    }
}

/// Whose resource an event is about.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Owner {
    /// The worker of that number.
    Worker(usize),
    /// The pool behind `run_task`.
    Pool,
    /// One `run_task` that found neither a pooled nor an idle resource.
    Temporary,
}

/// Why a resource was destroyed.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DestroyReason {
    /// `check_health` said that an error condemns it.
    Unhealthy,
    /// A task panicked while using it.
    Panicked,
    /// It reached [`max_lifetime`](crate::Config::max_lifetime), or a little less.
    Expired,
    /// It was used [`max_uses`](crate::Config::max_uses) times, or nearly so.
    MaxUses,
    /// [`validate`](crate::Config::validate) did not find it sound.
    Invalid,
    /// An async task was dropped in the middle of using it, and nothing can tell what state that left it in.
    Interrupted,
    /// Its task was stuck for so long that another worker had taken its place, see
    /// [`replace_stuck`](crate::Config::replace_stuck).
    Stuck,
    /// It was not needed any more: its worker was one too many, it had lain in the pool for too long, or
    /// its `run_task` has ended.
    Idle,
    /// The manager shut down.
    Shutdown,
}

/// Receives every [`Event`], on the thread on which it happened, never under a lock. Keep it short; a
/// panic inside is caught and logged. Observers never influence what the manager does.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicUsize, Ordering};
/// use tasker::{Config, Event, Observer, TaskManager};
///
/// #[derive(Clone, Default)]
/// struct Finished(Arc<AtomicUsize>);
/// impl Observer for Finished {
///     fn on_event(&self, event: &Event<'_>) {
///         if let Event::TaskFinished { .. } = event {
///             self.0.fetch_add(1, Ordering::Relaxed);
///         }
///     }
/// }
///
/// let finished = Finished::default();
/// let config = Config::<(), String>::new(|| Ok(())).worker_count(1).observer(finished.clone());
/// let manager = TaskManager::new(config)?;
/// manager.queue_task(|_, _| Ok(()))?;
/// assert_eq!(finished.0.load(Ordering::Relaxed), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Observer: Send + Sync + 'static {
    /// Called once for every event.
    fn on_event(&self, event: &Event<'_>);
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Worker(number) => write!(f, "worker {number}"),
            Self::Pool => f.write_str("the pool"),
            Self::Temporary => f.write_str("a run_task"),
        }
    }
}

impl std::fmt::Display for DestroyReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unhealthy => "unhealthy",
            Self::Panicked => "a task panicked",
            Self::Expired => "its lifetime is over",
            Self::MaxUses => "used as often as it may be",
            Self::Invalid => "not sound any more",
            Self::Interrupted => "a task was dropped while using it",
            Self::Stuck => "its task was stuck",
            Self::Idle => "not needed any more",
            Self::Shutdown => "shutdown",
        })
    }
}
