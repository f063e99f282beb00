//! What a collector is told about a task, and what it tells about all of them.

use std::time::{Duration, Instant};

/// What became of the tasks so far, in numbers. Read it with
/// [`MetricsCollector::metrics`](crate::MetricsCollector::metrics).
///
/// It is a copy: it does not change afterwards. A task counts as *finished* when it has completed
/// or failed; a task that never started is in neither count, and in none of the times.
///
/// Averages, shortest and longest times are exact and cover everything since the start. Of a
/// percentile the nearest-rank definition holds: `p95_execution_time` is the shortest time that is
/// not exceeded by 95 of 100 finished tasks. [`Collector`](crate::Collector) gives it within 1 %,
/// up to an hour; longer times count as an hour there.
///
/// All durations are zero, and so are both rates of success, while nothing has finished.
///
/// ```
/// use tasker::{Config, TaskManager};
///
/// let manager = TaskManager::<(), String>::new(Config::new(|| Ok(())).worker_count(1))?;
/// manager.queue_task(|_, _| Ok(()))?;
/// let metrics = manager.metrics();
/// assert_eq!((metrics.total_tasks_arrived, metrics.total_tasks_completed), (1, 1));
/// assert!(metrics.p95_execution_time >= metrics.p50_execution_time);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TaskMetrics {
    /// Mean time from start to end of the last attempt of a finished task.
    pub average_execution_time: Duration,
    /// Shortest time from start to end.
    pub min_execution_time: Duration,
    /// Longest time from start to end.
    pub max_execution_time: Duration,
    /// Time from start to end that 50 % of the finished tasks did not exceed.
    pub p50_execution_time: Duration,
    /// Time from start to end that 95 % of the finished tasks did not exceed.
    pub p95_execution_time: Duration,
    /// Time from start to end that 99 % of the finished tasks did not exceed.
    pub p99_execution_time: Duration,

    /// Mean time from the first queueing of a finished task to the start of its last attempt.
    pub average_wait_time: Duration,
    /// Wait that 50 % of the finished tasks did not exceed.
    pub p50_wait_time: Duration,
    /// Wait that 95 % of the finished tasks did not exceed.
    pub p95_wait_time: Duration,
    /// Wait that 99 % of the finished tasks did not exceed.
    pub p99_wait_time: Duration,
    /// Longest wait.
    pub max_wait_time: Duration,

    /// Accepted tasks per second, over the last ten seconds (over the time lived, if that is less).
    pub task_arrival_rate: f64,
    /// Successful tasks per second, over the last ten seconds (over the time lived, if that is
    /// less).
    pub task_completion_rate: f64,

    /// Accepted tasks since the start.
    pub total_tasks_arrived: u64,
    /// Tasks that ended in success since the start.
    pub total_tasks_completed: u64,
    /// Tasks that started and ended in failure since the start.
    pub total_tasks_failed: u64,
    /// Retries since the start: how often a task was queued again after an unhealthy error.
    pub total_tasks_retried: u64,

    /// Share of the finished tasks that completed, from 0 to 1.
    pub success_rate: f64,
    /// Share of the finished tasks that failed, from 0 to 1.
    pub failure_rate: f64,
}

/// When a task was queued, started and finished.
///
/// The first queueing counts, and the last attempt: of a task that was retried, the time of the
/// earlier attempts is part of its wait.
///
/// ```
/// use std::time::{Duration, Instant};
/// use tasker::TaskLifecycleTimestamps;
///
/// let queued = Instant::now();
/// let started = queued + Duration::from_millis(5);
/// let times = TaskLifecycleTimestamps::new(queued, started, started + Duration::from_millis(20));
/// assert_eq!(times.wait_time(), Duration::from_millis(5));
/// assert_eq!(times.execution_time(), Duration::from_millis(20));
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Copy)]
pub struct TaskLifecycleTimestamps {
    /// When the task was queued for the first time.
    pub queued_at: Instant,
    /// When its last attempt started.
    pub started_at: Instant,
    /// When its last attempt ended.
    pub finished_at: Instant,
}

impl TaskLifecycleTimestamps {
    /// Puts the three moments together, in the order in which they happen.
    #[must_use]
    pub fn new(queued_at: Instant, started_at: Instant, finished_at: Instant) -> Self {
        Self { queued_at, started_at, finished_at }
    }

    /// From the first queueing to the start of the last attempt; zero if the moments are out of
    /// order.
    #[must_use]
    pub fn wait_time(&self) -> Duration {
        self.started_at.saturating_duration_since(self.queued_at)
    }

    /// From start to end of the last attempt; zero if the moments are out of order.
    #[must_use]
    pub fn execution_time(&self) -> Duration {
        self.finished_at.saturating_duration_since(self.started_at)
    }
}
