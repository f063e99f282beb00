//! What can go wrong at the doors: building a manager, shutting it down, and trying to submit.

use std::error::Error;
use std::fmt;

use crate::outcome::Panic;

/// Why a manager could not be built. Nothing is left behind: what had been created is destroyed again.
///
/// ```
/// use tasker::{BuildError, Config, TaskManager};
///
/// let config = Config::<(), String>::new(|| Err("no route to host".to_owned())).worker_count(1);
/// let failed = TaskManager::new(config).err();
/// assert_eq!(failed.and_then(BuildError::into_inner).as_deref(), Some("no route to host"));
///
/// let config = Config::<(), String>::new(|| Ok(())).worker_count(0);
/// assert!(matches!(TaskManager::new(config), Err(BuildError::NoWorkers)));
/// ```
#[non_exhaustive]
#[derive(Debug)]
pub enum BuildError<E> {
    /// `worker_count(0)`.
    NoWorkers,
    /// `max_worker_count` is less than `worker_count`.
    MaxBelowWorkers {
        /// The workers asked for.
        worker_count: usize,
        /// The cap asked for.
        max_worker_count: usize,
    },
    /// `queue_capacity(0)`: no task could ever wait.
    NoCapacity,
    /// A setting makes no sense, by itself or beside another.
    #[non_exhaustive]
    InvalidSetting {
        /// The method of [`Config`](crate::Config) that set it.
        setting: &'static str,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// `on_create` failed for a worker's or a pooled resource.
    CreateFailed(E),
    /// `on_create` panicked.
    CreatePanicked(Panic),
    /// The operating system gave no thread.
    Spawn(std::io::Error),
    /// There is no tokio runtime that an async manager could work in; the text says what to do.
    #[cfg(feature = "tokio")]
    NoRuntime(&'static str),
}

impl<E> BuildError<E> {
    /// The error of `on_create`, where that is the cause.
    pub fn into_inner(self) -> Option<E> {
        match self {
            Self::CreateFailed(error) => Some(error),
            _ => None,
        }
    }

    /// The error of `on_create`, where that is the cause.
    pub fn inner(&self) -> Option<&E> {
        match self {
            Self::CreateFailed(error) => Some(error),
            _ => None,
        }
    }
}

impl<E: fmt::Display> fmt::Display for BuildError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoWorkers => f.write_str("worker count must be positive"),
            Self::MaxBelowWorkers { worker_count, max_worker_count } => write!(
                f,
                "max_worker_count ({max_worker_count}) is less than worker_count ({worker_count}): \
                 raise the one or lower the other"
            ),
            Self::NoCapacity => f.write_str(
                "queue capacity must be positive: leave it unset for a queue without a limit",
            ),
            Self::InvalidSetting { setting, problem } => write!(f, "{setting}: {problem}"),
            Self::CreateFailed(error) => write!(f, "failed to initialize resource pool: {error}"),
            Self::CreatePanicked(panic) => write!(f, "on_create panicked: {panic}"),
            Self::Spawn(_) => f.write_str("could not start a thread"),
            #[cfg(feature = "tokio")]
            Self::NoRuntime(remedy) => {
                write!(f, "an async manager needs a tokio runtime to work in: {remedy}")
            }
        }
    }
}

impl<E: fmt::Debug + fmt::Display> Error for BuildError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Spawn(error) => Some(error),
            _ => None,
        }
    }
}

/// Why a shutdown did not begin. The report of one that somebody else began is to be had from
/// [`join`](crate::TaskManager::join).
///
/// ```
/// use tasker::{Config, ShutdownError, TaskManager};
///
/// let manager = TaskManager::<(), String>::new(Config::new(|| Ok(())).worker_count(1))?;
/// manager.stop()?;
/// assert_eq!(manager.stop().unwrap_err(), ShutdownError::AlreadyStoppingOrKilled);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ShutdownError {
    /// `stop` in any phase but Running, or `kill` after a finished stop.
    #[error("task manager already stopping or killed")]
    AlreadyStoppingOrKilled,
    /// A second `kill`.
    #[error("task manager already killed")]
    AlreadyKilled,
}

/// Why the limits of a manager were not changed.
///
/// ```
/// use tasker::{Config, ResizeError, TaskManager};
///
/// let manager = TaskManager::<(), String>::new(Config::new(|| Ok(())).worker_count(1))?;
/// assert_eq!(manager.resize(0, 4), Err(ResizeError::NoWorkers));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResizeError {
    /// A worker count of zero; [`pause`](crate::TaskManager::pause) holds tasks back.
    #[error("worker count must be positive: pause the manager to hold tasks back")]
    NoWorkers,
    /// The cap is less than the worker count.
    #[error(
        "max_worker_count ({max_worker_count}) is less than worker_count ({worker_count}): \
         raise the one or lower the other"
    )]
    MaxBelowWorkers {
        /// The workers asked for.
        worker_count: usize,
        /// The cap asked for.
        max_worker_count: usize,
    },
    /// The manager is shutting down, or has.
    #[error("task manager is shutting down")]
    ShuttingDown,
}

/// A task that was not accepted, given back with the reason.
pub struct Rejected<F> {
    pub(crate) task: F,
    pub(crate) reason: RejectReason,
}

/// Why a task was not accepted.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RejectReason {
    /// The manager no longer takes tasks.
    #[error("task manager is shutting down")]
    ShuttingDown,
    /// There is no room, and the overflow rule makes none.
    #[error("task queue is full")]
    QueueFull,
}

/// What the task would have ended with.
impl<E> From<RejectReason> for crate::outcome::TaskError<E> {
    fn from(reason: RejectReason) -> Self {
        match reason {
            RejectReason::ShuttingDown => Self::ShuttingDown,
            RejectReason::QueueFull => Self::QueueFull,
        }
    }
}

impl<F> Rejected<F> {
    /// The closure, unharmed.
    ///
    /// ```
    /// use tasker::{Config, TaskManager};
    ///
    /// let closed = TaskManager::<(), String>::new(Config::new(|| Ok(())).worker_count(1))?;
    /// let spare = TaskManager::<(), String>::new(Config::new(|| Ok(())).worker_count(1))?;
    /// closed.stop()?;
    /// let rejected = closed.task_once(|_, _| Ok("kept")).try_submit().unwrap_err();
    /// assert_eq!(spare.task_once(rejected.into_task()).run()?, "kept");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn into_task(self) -> F {
        self.task
    }

    /// Why it was not accepted.
    pub fn reason(&self) -> RejectReason {
        self.reason
    }
}

impl<F> fmt::Debug for Rejected<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejected").field("reason", &self.reason).finish_non_exhaustive()
    }
}

impl<F> fmt::Display for Rejected<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl<F> Error for Rejected<F> {}
