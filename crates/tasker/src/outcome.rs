//! How a task ends, in words for its caller and in numbers for the report.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// Why a task has no result. Every accepted task ends with its result or with one of these.
///
/// ```
/// use tasker::{Config, TaskError, TaskManager};
///
/// let manager = TaskManager::<(), String>::new(Config::new(|| Ok(())).worker_count(1))?;
/// match manager.queue_task(|_, _| Err::<(), _>("no such row".to_owned())) {
///     Ok(()) => println!("done"),
///     Err(TaskError::Cancelled | TaskError::TimedOut) => println!("it was told to stop"),
///     Err(error) => assert_eq!(error.into_inner().as_deref(), Some("no such row")),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Debug)]
pub enum TaskError<E> {
    /// The manager no longer takes tasks; this one was not accepted.
    ShuttingDown,
    /// The task was queued when the manager was killed. It never ran, or was waiting for its retry. A submitted
    /// async task ends so, too, if its runtime shuts down before its end.
    Killed,
    /// Cancelled by its handle, or by a kill while it ran. Reports count async tasks here whose future was dropped.
    Cancelled,
    /// Its timeout passed while it ran, and it returned an error or, if it is async, was dropped.
    TimedOut,
    /// Its `start_within` passed while it was queued. It never ran. If it passed while the task still waited for
    /// room in a full queue, the task had not been accepted and is in no count of the report.
    Expired,
    /// The queue is full and the overflow rule is `Reject`, or the task was evicted by `DropOldest`.
    QueueFull,
    /// The task's own error.
    Failed(E),
    /// The resource was unhealthy in every attempt that the task was allowed.
    RetriesExhausted {
        /// How often the task ran.
        attempts: u32,
        /// The error of the last attempt.
        source: E,
    },
    /// No resource could be made for the task.
    CreateFailed(E),
    /// The task panicked, or the creation of the resource that it needed.
    Panicked(Panic),
    /// Every worker is held up by a task that waits for another task of the same manager, none can be added, and
    /// this was the last to wait (or it would have waited for itself). A blocking or awaited call was withdrawn: its
    /// closure is dropped unused. A task whose handle says so stays queued, and runs without a handle.
    ///
    /// ```
    /// use tasker::{Config, TaskError, TaskManager};
    ///
    /// let config = Config::new(|| Ok(())).worker_count(1).max_worker_count(1);
    /// let manager = TaskManager::<(), String>::new(config)?;
    /// let inside = manager.clone();
    /// let refused = manager.queue_task(|_, _| Ok(inside.queue_task(|_, _| Ok(()))))?;
    /// assert!(matches!(refused, Err(TaskError::WouldDeadlock)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    WouldDeadlock,
}

impl<E> TaskError<E> {
    /// The user's own error, where there is one.
    pub fn into_inner(self) -> Option<E> {
        match self {
            Self::Failed(error) | Self::CreateFailed(error) => Some(error),
            Self::RetriesExhausted { source, .. } => Some(source),
            _ => None,
        }
    }

    /// The user's own error, where there is one.
    pub fn inner(&self) -> Option<&E> {
        match self {
            Self::Failed(error) | Self::CreateFailed(error) => Some(error),
            Self::RetriesExhausted { source, .. } => Some(source),
            _ => None,
        }
    }

    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::ShuttingDown => Outcome::Refused,
            Self::Killed => Outcome::Killed,
            Self::Cancelled => Outcome::Cancelled,
            Self::TimedOut => Outcome::TimedOut,
            Self::Expired => Outcome::Expired,
            Self::QueueFull => Outcome::QueueFull,
            Self::Failed(_) => Outcome::Failed,
            Self::RetriesExhausted { .. } => Outcome::RetriesExhausted,
            Self::CreateFailed(_) => Outcome::CreateFailed,
            Self::Panicked(_) => Outcome::Panicked,
            Self::WouldDeadlock => Outcome::WouldDeadlock,
        }
    }
}

impl<E: fmt::Display> fmt::Display for TaskError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ShuttingDown => f.write_str("task manager is shutting down"),
            Self::Killed => f.write_str("task manager was killed while the task was queued"),
            Self::Cancelled => f.write_str("task was cancelled"),
            Self::TimedOut => f.write_str("task timed out"),
            Self::Expired => f.write_str("task expired before it could start"),
            Self::QueueFull => f.write_str("task queue is full"),
            Self::Failed(error) => error.fmt(f),
            Self::RetriesExhausted { source, .. } => write!(f, "max retries exceeded: {source}"),
            Self::CreateFailed(error) => write!(f, "failed to create temporary resource: {error}"),
            Self::Panicked(panic) => write!(f, "panicked: {panic}"),
            Self::WouldDeadlock => f.write_str("waiting for this task would block every worker"),
        }
    }
}

// `source()` stays empty: `E` need not be an `Error` (anyhow's is not), and its text is in ours.
impl<E: fmt::Debug + fmt::Display> Error for TaskError<E> {}

/// How a task ended, without its values: what events tell.
///
/// ```
/// use std::sync::mpsc::{Sender, channel};
/// use tasker::{Config, Event, Observer, Outcome, TaskManager};
///
/// struct Ends(Sender<Outcome>);
/// impl Observer for Ends {
///     fn on_event(&self, event: &Event<'_>) {
///         if let Event::TaskFinished { outcome, .. } = event {
///             let _ = self.0.send(*outcome);
///         }
///     }
/// }
///
/// let (send, ends) = channel();
/// let config = Config::<(), String>::new(|| Ok(())).worker_count(1).observer(Ends(send));
/// TaskManager::new(config)?.queue_task(|_, _| Ok(()))?;
/// assert_eq!(ends.recv()?, Outcome::Completed);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It returned `Ok`.
    Completed,
    /// It was refused at the door.
    Refused,
    /// [`TaskError::Killed`].
    Killed,
    /// [`TaskError::Cancelled`].
    Cancelled,
    /// [`TaskError::TimedOut`].
    TimedOut,
    /// [`TaskError::Expired`].
    Expired,
    /// [`TaskError::QueueFull`].
    QueueFull,
    /// [`TaskError::Failed`].
    Failed,
    /// [`TaskError::RetriesExhausted`].
    RetriesExhausted,
    /// [`TaskError::CreateFailed`].
    CreateFailed,
    /// [`TaskError::Panicked`].
    Panicked,
    /// [`TaskError::WouldDeadlock`].
    WouldDeadlock,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Completed => "completed",
            Self::Refused => "refused",
            Self::Killed => "killed",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed out",
            Self::Expired => "expired",
            Self::QueueFull => "queue full",
            Self::Failed => "failed",
            Self::RetriesExhausted => "retries exhausted",
            Self::CreateFailed => "no resource",
            Self::Panicked => "panicked",
            Self::WouldDeadlock => "would deadlock",
        })
    }
}

/// Which number of the report an accepted task ends in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Completed,
    Failed,
    Cancelled,
    Dropped,
}

impl Outcome {
    pub(crate) fn fate(self) -> Fate {
        match self {
            Self::Completed => Fate::Completed,
            Self::Cancelled => Fate::Cancelled,
            Self::Killed | Self::Expired | Self::QueueFull | Self::Refused => Fate::Dropped,
            Self::Failed
            | Self::RetriesExhausted
            | Self::Panicked
            | Self::TimedOut
            | Self::CreateFailed
            | Self::WouldDeadlock => Fate::Failed,
        }
    }
}

/// A panic that was caught: its message, and what it was thrown with.
///
/// ```
/// use tasker::{Config, TaskError, TaskManager};
///
/// let manager = TaskManager::<u32, String>::new(Config::new(|| Ok(0)).worker_count(1))?;
/// let divided = manager.queue_task(|_, zero| Ok(1_u32.checked_div(*zero).expect("divided by zero")));
/// let Err(TaskError::Panicked(panic)) = divided else { panic!("the task did not panic") };
/// assert_eq!(panic.message(), "divided by zero");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Panic {
    message: String,
    // A payload is Send but not Sync; the lock lets errors that carry one be shared.
    payload: Mutex<Box<dyn Any + Send>>,
}

impl Panic {
    pub(crate) fn new(payload: Box<dyn Any + Send>) -> Self {
        let message =
            match (payload.downcast_ref::<&'static str>(), payload.downcast_ref::<String>()) {
                (Some(text), _) => (*text).to_owned(),
                (_, Some(text)) => text.clone(),
                _ => "a panic without a message".to_owned(),
            };
        Self { message, payload: Mutex::new(payload) }
    }

    /// What the panic said, or a stand-in where its payload is not a text.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What the panic was thrown with, for `std::panic::resume_unwind`.
    pub fn into_payload(self) -> Box<dyn Any + Send> {
        self.payload.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Panic").field(&self.message).finish()
    }
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_texts_are_those_of_the_reference() {
        let texts = [
            (TaskError::ShuttingDown, "task manager is shutting down"),
            (TaskError::Failed("boom"), "boom"),
            (
                TaskError::RetriesExhausted { attempts: 4, source: "boom" },
                "max retries exceeded: boom",
            ),
            (TaskError::CreateFailed("boom"), "failed to create temporary resource: boom"),
        ];
        for (error, text) in texts {
            assert_eq!(error.to_string(), text);
        }
    }

    #[test]
    fn a_panic_keeps_its_message_and_its_payload() {
        let panic = Panic::new(Box::new("tea".to_owned()));
        assert_eq!(panic.message(), "tea");
        assert_eq!(*panic.into_payload().downcast::<String>().unwrap(), "tea");
        assert_eq!(Panic::new(Box::new(7)).message(), "a panic without a message");
    }
}
