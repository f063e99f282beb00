//! The manager's numbers at one moment.

/// How many workers, tasks and resources there are right now: one consistent look under one lock.
///
/// ```
/// use tasker::{Config, TaskManager};
///
/// let config = Config::<(), String>::new(|| Ok(())).worker_count(2).resource_pool_size(1);
/// let manager = TaskManager::new(config)?;
/// let stats = manager.stats();
/// assert_eq!((stats.base_workers, stats.queued_tasks, stats.available_resources), (2, 0, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TaskStats {
    /// Workers that are always there.
    pub base_workers: usize,
    /// Workers with a resource: idle, busy, or with their resource lent to a caller.
    pub active_workers: usize,
    /// Workers beyond the base ones, those that are still making their resource included.
    pub burst_workers: usize,
    /// Tasks that wait in the Normal and Low lanes, or for room in them.
    pub queued_tasks: usize,
    /// Tasks that wait in the High lane, or for room in it.
    pub priority_tasks: usize,
    /// Resources that lie in the pool behind `run_task`.
    pub available_resources: usize,
    /// Workers with a resource and nothing to do.
    pub idle_workers: usize,
    /// Tasks that run.
    pub running_tasks: usize,
    /// Workers without a resource: making their first, replacing a condemned one, or trying again.
    pub recovering_workers: usize,
    /// Retries that wait for their time.
    pub delayed_tasks: usize,
    /// How many workers there may be, those that are making or destroying their resource included.
    pub max_workers: usize,
    /// Workers that are destroying their resource for good, and count until it is gone.
    pub leaving_workers: usize,
    /// Whether tasks are held back by [`pause`](crate::TaskManager::pause).
    pub paused: bool,
}
