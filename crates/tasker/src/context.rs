//! What running code may ask: who it is, how often it has been tried, and whether it should stop.

use std::fmt;
use std::future::Future;
use std::time::{Duration, Instant};

use crate::cancel::CancelToken;
use crate::task::{Name, Priority, Settings, TaskId};

/// Handed to every attempt of a task.
///
/// ```
/// use tasker::{Config, TaskManager};
///
/// let manager = TaskManager::<(), std::io::Error>::new(Config::new(|| Ok(())).worker_count(1))?;
/// let attempt = manager.queue_task(|cx, _| Ok(cx.attempt()))?;
/// assert_eq!(attempt, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct TaskContext {
    id: TaskId,
    attempt: u32,
    name: Option<Name>,
    priority: Priority,
    deadline: Option<Instant>,
    pub(crate) token: CancelToken,
    /// Of the worker whose resource the attempt uses, if it is a worker's.
    pub(crate) seat: Seat,
}

/// The seat of the worker whose resource something uses, if it is a worker's. Small, since futures carry it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seat(u32);

impl Seat {
    pub(crate) const NONE: Self = Self(u32::MAX);

    pub(crate) fn of(seat: usize) -> Self {
        Self(seat as u32)
    }

    pub(crate) fn get(self) -> Option<usize> {
        (self.0 != Self::NONE.0).then_some(self.0 as usize)
    }
}

impl TaskContext {
    /// Of an attempt that started at `started`.
    #[inline]
    pub(crate) fn new(
        id: TaskId,
        attempt: u32,
        settings: &Settings,
        started: Instant,
        token: CancelToken,
        seat: Seat,
    ) -> Self {
        Self {
            id,
            attempt,
            name: settings.name.clone(),
            priority: settings.priority,
            deadline: settings.timeout.and_then(|limit| started.checked_add(limit)),
            token,
            seat,
        }
    }

    /// The attempt is over, and its token may be used again.
    #[inline]
    pub(crate) fn into_token(self) -> CancelToken {
        self.token
    }

    /// The task's number.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// Which run of the task this is, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The name that the task was given.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_ref().map(Name::as_str)
    }

    /// The priority that the task was submitted with (a retry waits in the High lane all the same).
    #[must_use]
    pub fn priority(&self) -> Priority {
        self.priority
    }

    /// When this attempt's timeout passes, if the task has one.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Whether the attempt should end: its handle or the manager's kill cancelled it, or its timeout passed.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Sleeps for `time`, or until the attempt is cancelled.
    ///
    /// With `?` it needs an error that is `From<Cancelled>`; what a cancelled attempt returns is replaced by
    /// the task's outcome anyway, so any error will do: `cx.sleep(time).map_err(|_| MyError::Stopped)?`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tasker::{Cancelled, Config, TaskError, TaskManager};
    ///
    /// let manager = TaskManager::<(), Cancelled>::new(Config::new(|| Ok(())).worker_count(1))?;
    /// let handle = manager.task(|cx, _| cx.sleep(Duration::from_secs(60))).submit();
    /// handle.cancel();
    /// assert!(matches!(handle.wait(), Err(TaskError::Cancelled)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Cancelled`] as soon as the attempt is cancelled.
    pub fn sleep(&self, time: Duration) -> Result<(), Cancelled> {
        if self.token.wait_timeout(time) { Err(Cancelled) } else { Ok(()) }
    }

    /// A future that ends when the task is cancelled, has timed out, or its manager is killed. For async tasks
    /// and for threads that drive a future; see [`token`](Self::token) for threads that block.
    ///
    /// An async task that times out or is killed is dropped at the await where it stands, this one included,
    /// unless it has something to return at once: `select!` it with the work and return.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when it is dropped; it only stops listening.
    pub fn cancelled(&self) -> impl Future<Output = ()> + Send + Sync + use<> {
        self.token.cancelled()
    }

    /// As [`sleep`](Self::sleep) for async tasks: waits without blocking the runtime's thread.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tasker::{AsyncConfig, AsyncTaskManager};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let config = AsyncConfig::<(), String>::new(|| async { Ok(()) }).worker_count(1);
    /// let manager = AsyncTaskManager::new(config).await?;
    /// let slept = manager.queue_task(async |cx, _| Ok(cx.sleep_async(Duration::from_millis(1)).await));
    /// assert_eq!(slept.await?, Ok(()));
    /// # manager.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Cancelled`] as soon as the task is cancelled.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime whose time is enabled.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when it is dropped.
    #[cfg(feature = "tokio")]
    pub async fn sleep_async(&self, time: Duration) -> Result<(), Cancelled> {
        match tokio::time::timeout(time, self.token.cancelled()).await {
            Ok(()) => Err(Cancelled),
            Err(_) => Ok(()), // the time has passed and nobody cancelled
        }
    }

    /// The token behind [`is_cancelled`](Self::is_cancelled), to be passed on to other code.
    #[must_use]
    pub fn token(&self) -> CancelToken {
        self.token.clone()
    }
}

impl fmt::Debug for TaskContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskContext")
            .field("id", &self.id)
            .field("attempt", &self.attempt)
            .field("name", &self.name())
            .field("priority", &self.priority)
            .field("cancelled", &self.is_cancelled())
            .finish_non_exhaustive()
    }
}

/// A sleep ended early because its task was cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the task was cancelled")]
pub struct Cancelled;
