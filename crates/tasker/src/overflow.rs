//! What happens to a task that comes when the queue is full.

/// The rule for a full queue; see [`Config::queue_capacity`](crate::Config::queue_capacity).
///
/// ```
/// use tasker::{Config, Overflow, TaskError, TaskManager, TaskStatus};
///
/// let config = Config::<(), String>::new(|| Ok(())).worker_count(1).max_worker_count(1);
/// let manager = TaskManager::new(config.queue_capacity(1).overflow(Overflow::DropOldest))?;
/// let busy = manager.task_once(|cx, _| Ok(cx.token().wait())).submit();
/// while busy.status() == TaskStatus::Queued {
///     std::thread::yield_now();
/// }
/// let old = manager.task(|_, _| Ok("old")).submit();
/// let new = manager.task(|_, _| Ok("new")).submit();
/// assert!(matches!(old.wait(), Err(TaskError::QueueFull)));
/// busy.cancel();
/// assert_eq!(new.wait()?, "new");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Overflow {
    /// The submitter waits until there is room. The default: nothing is lost and the producer is slowed
    /// down to the pace of the workers. A task that submits to its own manager does not wait: it could be
    /// waiting for itself, so that what it submits goes above the capacity.
    #[default]
    Wait,
    /// The new task ends as [`TaskError::QueueFull`](crate::TaskError::QueueFull).
    Reject,
    /// The oldest task of the lowest lane that is not above the new one ends as
    /// [`TaskError::QueueFull`](crate::TaskError::QueueFull); if there is none, the new one does.
    DropOldest,
}
