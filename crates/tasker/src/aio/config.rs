//! Every knob of an async manager, its default and the reason for it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use super::hooks::Hooks;
use crate::autoscale::ScalingPolicy;
use crate::cancel::CancelToken;
use crate::clock::Clock;
use crate::error::BuildError;
use crate::event::Observer;
use crate::knobs::{Checked, How, Knobs};
use crate::logger::Logger;
use crate::metrics::MetricsCollector;
use crate::overflow::Overflow;
use crate::retry::backoff::Backoff;

/// Everything that can be set about an async manager. Only the way to create a resource is required; the rest
/// chains by value and is checked once, by [`AsyncTaskManager::new`](super::AsyncTaskManager::new).
///
/// The settings are those of [`Config`](crate::Config), which has more to say about some of them, except that
/// `on_create`, `on_destroy` and `validate` are async, and that there are no threads to name and no lending to
/// switch off: every task runs in its caller's own future.
///
/// ```
/// use std::time::Duration;
/// use tasker::{AsyncConfig, AsyncTaskManager, Backoff};
///
/// struct Connection;
/// impl Connection {
///     async fn connect() -> Result<Self, String> { Ok(Self) }
///     async fn ping(&mut self) -> bool { true }
///     async fn close(self) -> Result<(), String> { Ok(()) }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config = AsyncConfig::new(|| async { Connection::connect().await })
///     .on_destroy(|connection| async move { connection.close().await })
///     .validate(|connection| Box::pin(async move { connection.ping().await }))
///     .check_health(|error: &String| !error.contains("connection reset"))
///     .worker_count(2)
///     .max_worker_count(8)
///     .retry_backoff(Backoff::exponential(Duration::from_millis(10), Duration::from_secs(1)));
/// let manager = AsyncTaskManager::new(config).await?;
/// # manager.stop().await?;
/// # Ok(())
/// # }
/// ```
pub struct AsyncConfig<R, E> {
    hooks: Hooks<R, E>,
    knobs: Knobs<E>,
}

impl<R: Send + 'static, E: Send + 'static> AsyncConfig<R, E> {
    /// A configuration with `on_create` and the defaults for everything else.
    ///
    /// Where nothing else says what the error is, name both types: `AsyncConfig::<Client, Error>::new(…)`.
    ///
    /// `on_create` makes one resource. For workers it is called in a task of its own, so that as many are made
    /// at the same time as are missing; the pool is filled by the base workers afterwards, and refilled one by
    /// one. For a temporary resource it is called in the future of the `run_task` that needs it, and dropped
    /// with it. A kill drops it at the await where it stands, a stop waits for it. It may panic, which is
    /// caught. The manager's own messages do not say *why* a creation failed: log that here.
    pub fn new<Fut>(on_create: impl Fn() -> Fut + Send + Sync + 'static) -> Self
    where
        Fut: Future<Output = Result<R, E>> + Send + 'static,
    {
        let hooks = Hooks {
            create: Box::new(move || Box::pin(on_create())),
            destroy: Box::new(|resource| {
                Box::pin(async move {
                    drop(resource);
                    Ok(())
                })
            }),
            validate: None,
        };
        Self { hooks, knobs: Knobs { clock: Clock::Runtime, ..Knobs::new() } }
    }

    /// How a resource is taken apart; called exactly once for each one that `on_create` returned.
    /// Default: it is dropped, because most resources close themselves.
    ///
    /// It is awaited in a task of its own, which nobody drops but a runtime that shuts down: then a future that has
    /// begun is dropped where it stands, one that has not is polled once and dropped, and either counts as a destroy
    /// error unless it has ended. A stop and a kill wait for it.
    #[must_use]
    pub fn on_destroy<Fut>(mut self, on_destroy: impl Fn(R) -> Fut + Send + Sync + 'static) -> Self
    where
        Fut: Future<Output = Result<(), E>> + Send + 'static,
    {
        self.hooks.destroy = Box::new(move |resource| Box::pin(on_destroy(resource)));
        self
    }

    /// How to find out whether a resource is still sound, by a ping for instance: `false` condemns it. A
    /// validation that panics condemns it, too. Default: nobody asks, because only you know how.
    ///
    /// It is awaited before a resource is used again that was idle for
    /// [`validate_after`](Self::validate_after), and after a task was dropped, timed out or cancelled while it
    /// used it; after a kill nothing is validated, everything is destroyed. Without it, a resource that a task
    /// was dropped in the middle of using is replaced.
    ///
    /// A task that was dropped may have left an answer on its way that nobody reads: a validation that waits for
    /// the other side needs a time limit of its own.
    ///
    /// The future borrows the resource, so that it is boxed: `|conn| Box::pin(async move { conn.ping().await })`.
    #[must_use]
    pub fn validate(
        mut self,
        validate: impl for<'a> Fn(&'a mut R) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.hooks.validate = Some(Box::new(validate));
        self
    }

    /// Whether a task's error leaves its resource healthy: `true` means that the error is the task's own,
    /// `false` condemns the resource and lets the task try again on another. Default: every error is healthy,
    /// because only you can know which are not.
    #[must_use]
    pub fn check_health(mut self, check: impl Fn(&E) -> bool + Send + Sync + 'static) -> Self {
        self.knobs.accounts.check_health = Box::new(check);
        self
    }

    /// Workers that are always there: how many tasks run at the same time, each with a resource of its own.
    /// Default: the available parallelism, for want of a better number; set it to what the other side bears.
    /// A worker costs some 0.7 kilobytes beside its resource. Zero is an error.
    #[must_use]
    pub fn worker_count(mut self, workers: usize) -> Self {
        self.knobs.worker_count = Some(workers);
        self
    }

    /// How many workers there may be during a burst, those that are making or destroying their resource
    /// included. Default: twice `worker_count`, because that absorbs a burst without surprising the backend.
    /// Less than `worker_count` is an error; as many switches bursting off.
    #[must_use]
    pub fn max_worker_count(mut self, workers: usize) -> Self {
        self.knobs.max_worker_count = Some(workers);
        self
    }

    /// How often the scaling policy is asked while there is something to scale. Default: 100 ms, which is soon
    /// enough for what is judged over whole seconds. Zero switches bursting off.
    #[must_use]
    pub fn burst_interval(mut self, interval: Duration) -> Self {
        self.knobs.burst_interval = interval;
        self
    }

    /// What decides how many workers there are between `worker_count` and `max_worker_count`. Default:
    /// [`BreakEven`](crate::autoscale::BreakEven), because it weighs what a resource costs against what
    /// waiting costs.
    #[must_use]
    pub fn scaling(mut self, policy: impl ScalingPolicy) -> Self {
        self.knobs.policy = Some(Box::new(policy));
        self
    }

    /// How old a resource may become. Default: as old as the manager, because most resources last. Zero is an
    /// error. [`Config::max_lifetime`](crate::Config::max_lifetime) has the details.
    #[must_use]
    pub fn max_lifetime(mut self, age: Duration) -> Self {
        self.knobs.max_lifetime = Some(age);
        self
    }

    /// How many attempts a resource may serve. Default: any number; set it where resources leak or wear out.
    /// Zero is an error. [`Config::max_uses`](crate::Config::max_uses) has the details.
    #[must_use]
    pub fn max_uses(mut self, uses: u64) -> Self {
        self.knobs.max_uses = Some(uses);
        self
    }

    /// How long a burst worker's or a pooled resource may be idle before it is destroyed. Default: burst
    /// workers stay as long as the scaling policy finds them worth keeping, pooled resources for ever. Zero is
    /// an error.
    #[must_use]
    pub fn idle_timeout(mut self, time: Duration) -> Self {
        self.knobs.idle_timeout = Some(time);
        self
    }

    /// How many idle workers are kept ready beyond those in use, as far as `max_worker_count` allows, and how
    /// many pooled resources `idle_timeout` leaves alone. Default: 0, because each costs a resource.
    #[must_use]
    pub fn min_idle(mut self, resources: usize) -> Self {
        self.knobs.min_idle = resources;
        self
    }

    /// How long a resource may be idle before it is validated. Default: one second, because what worked a
    /// second ago nearly always still works. Zero validates whenever it was idle at all. Without
    /// [`validate`](Self::validate) it is an error.
    #[must_use]
    pub fn validate_after(mut self, idle: Duration) -> Self {
        self.knobs.validate_after = Some(idle);
        self
    }

    /// How long an attempt may take before it is told of as stuck, with an
    /// [`Event::TaskStuck`](crate::Event::TaskStuck), a warning, and a line of
    /// [`explain`](crate::AsyncTaskManager::explain) that say which task it is and where in the code it was
    /// made. Nothing happens to the task: for that there is [`timeout`](crate::AsyncTask::timeout). Default:
    /// none, because only you know how long is too long.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tasker::{AsyncConfig, AsyncTaskManager, CancelToken};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let config = AsyncConfig::<(), String>::new(|| async { Ok(()) }).stuck_after(Duration::from_millis(10));
    /// let manager = AsyncTaskManager::new(config).await?;
    /// let token = CancelToken::new();
    /// let hangs = token.clone();
    /// let task = manager.task(async move |_, _| Ok(hangs.cancelled().await)).name("hangs").submit();
    /// while manager.explain().stuck.is_empty() {
    ///     tokio::task::yield_now().await;
    /// }
    /// assert_eq!(manager.explain().stuck[0].name.as_deref(), Some("hangs"));
    /// token.cancel();
    /// task.await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn stuck_after(mut self, limit: Duration) -> Self {
        self.knobs.stuck_after = Some(limit);
        self
    }

    /// Whether another worker takes the place of one whose task is stuck, beyond `max_worker_count` if need be.
    /// When the stuck task returns after all, its outcome counts as ever, its resource is destroyed and its
    /// worker goes. A task that waits for another task of this manager is told of and keeps its place. Default: no,
    /// because each stuck task then costs one more resource. During a shutdown nobody is replaced. Without
    /// [`stuck_after`](Self::stuck_after) it is an error.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tasker::{AsyncConfig, AsyncTaskManager, CancelToken};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let config = AsyncConfig::<(), String>::new(|| async { Ok(()) }).worker_count(1).max_worker_count(1);
    /// let config = config.stuck_after(Duration::from_millis(10)).replace_stuck(true);
    /// let manager = AsyncTaskManager::new(config).await?;
    /// let token = CancelToken::new();
    /// let hangs = token.clone();
    /// let stuck = manager.task(async move |_, _| Ok(hangs.cancelled().await)).submit();
    /// manager.queue_task(async |_, _| Ok(())).await?; // although the only slot is still in use
    /// token.cancel();
    /// stuck.await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn replace_stuck(mut self, replace: bool) -> Self {
        self.knobs.replace_stuck = replace;
        self
    }

    /// How often a task runs again after an unhealthy error. Default: 3, because a resource that was replaced
    /// three times points at the task. 0 means no retry.
    #[must_use]
    pub fn max_retries(mut self, retries: u32) -> Self {
        self.knobs.max_retries = retries;
        self
    }

    /// How long a task waits before it runs again. Default: not at all, because it runs on another resource.
    #[must_use]
    pub fn retry_backoff(mut self, backoff: Backoff) -> Self {
        self.knobs.retry_backoff = backoff;
        self
    }

    /// How many resources lie ready for `run_task`, beside those of the workers. Default: as many as
    /// `worker_count`, because urgent work should not wait for a creation. 0 means no pool.
    #[must_use]
    pub fn resource_pool_size(mut self, size: usize) -> Self {
        self.knobs.resource_pool_size = Some(size);
        self
    }

    /// How many tasks may wait in the lanes. Default: as many as memory holds, because a limit that nobody
    /// chose loses tasks. Retries and `run_task` take no place. Zero is an error.
    #[must_use]
    pub fn queue_capacity(mut self, tasks: usize) -> Self {
        self.knobs.queue_capacity = Some(tasks);
        self
    }

    /// What happens to a task that comes when the queue is full. Default: [`Overflow::Wait`], because it loses
    /// nothing; the future waits, and blocks nobody.
    #[must_use]
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.knobs.overflow = overflow;
        self
    }

    /// A token that starts a graceful stop when it is cancelled: a [`CancelToken`], or tokio-util's
    /// `CancellationToken`. Default: none, because [`stop`](super::AsyncTaskManager::stop) is enough for a
    /// program that holds the manager. [`join`](super::AsyncTaskManager::join) waits for such a stop.
    ///
    /// ```
    /// use tasker::{AsyncConfig, AsyncTaskManager};
    /// use tokio_util::sync::CancellationToken;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let token = CancellationToken::new();
    /// let config = AsyncConfig::<(), String>::new(|| async { Ok(()) }).shutdown_on(token.clone());
    /// let manager = AsyncTaskManager::new(config).await?;
    /// let last = manager.task(async move |_, _| Ok(7)).submit();
    /// token.cancel();
    /// assert_eq!(manager.join().await.completed, 1);
    /// assert_eq!(last.await?, 7);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn shutdown_on(mut self, token: impl Into<CancelToken>) -> Self {
        self.knobs.shutdown_on = Some(token.into());
        self
    }

    /// Where messages go. Default: [`TracingLogger`](crate::TracingLogger), because that is where most
    /// programs look.
    #[must_use]
    pub fn logger(mut self, logger: impl Logger) -> Self {
        self.knobs.logger = Box::new(logger);
        self
    }

    /// What counts and times the tasks. Default: [`Collector::new`](crate::Collector::new), because it costs
    /// little and its memory does not grow.
    #[must_use]
    pub fn collector(mut self, collector: impl MetricsCollector) -> Self {
        self.knobs.collector = Some(Box::new(collector));
        self
    }

    /// Adds one that is told every [`Event`](crate::Event), in the task or thread in which it happens. Default:
    /// none, because every event costs a call; any number can be added.
    #[must_use]
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.knobs.observers.push(Box::new(observer));
        self
    }

    /// Checks the numbers and takes the configuration apart.
    pub(crate) fn into_parts(self) -> Result<Parts<R, E>, BuildError<E>> {
        let Self { hooks, knobs } = self;
        let validates = hooks.validate.is_some();
        let checked = knobs.check(How { lends: true, shelves: true, slots: true, validates })?;
        Ok(Parts { hooks, checked })
    }
}

/// A checked configuration.
pub(crate) struct Parts<R, E> {
    pub(crate) hooks: Hooks<R, E>,
    pub(crate) checked: Checked<E>,
}

impl<R, E> fmt::Debug for AsyncConfig<R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncConfig").field("knobs", &self.knobs).finish_non_exhaustive()
    }
}
