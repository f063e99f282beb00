//! Every knob of a manager, its default and the reason for it.

use std::fmt;
use std::time::Duration;

use crate::autoscale::ScalingPolicy;
use crate::cancel::CancelToken;
use crate::engine::Threads;
use crate::error::BuildError;
use crate::event::Observer;
use crate::knobs::{Checked, How, Knobs};
use crate::logger::Logger;
use crate::metrics::MetricsCollector;
use crate::overflow::Overflow;
use crate::pool::Crew;
use crate::resource::Hooks;
use crate::retry::backoff::Backoff;

/// Everything that can be set about a manager. Only the way to create a resource is required; the rest
/// chains by value and is checked once, by [`TaskManager::new`](crate::TaskManager::new).
///
/// ```
/// use std::time::Duration;
/// use tasker::{Backoff, Config, TaskManager};
///
/// struct Connection;
/// let config = Config::<Connection, String>::new(|| Ok(Connection))
///     .on_destroy(|connection| Ok(drop(connection)))
///     .check_health(|error| !error.contains("connection reset"))
///     .worker_count(2)
///     .max_worker_count(8)
///     .retry_backoff(Backoff::exponential(Duration::from_millis(10), Duration::from_secs(1)));
/// let manager = TaskManager::new(config)?;
/// # Ok::<(), tasker::BuildError<String>>(())
/// ```
pub struct Config<R, E> {
    hooks: Hooks<R, E>,
    knobs: Knobs<E>,
    lending: bool,
    thread_name: String,
}

impl<R, E> Config<R, E> {
    /// A configuration with `on_create` and the defaults for everything else.
    ///
    /// `on_create` makes one resource. It is called on the thread of the worker that will own the
    /// resource, and on the caller's thread for a temporary one. The pool's resources are made on the
    /// workers' threads while the manager is built, later on the steward's (`{thread_name}-steward`).
    /// It may block; it may panic, which is caught. The manager knows nothing of `E`, so
    /// that its own messages do not say *why* a creation failed: log that here.
    pub fn new(on_create: impl Fn() -> Result<R, E> + Send + Sync + 'static) -> Self {
        let hooks = Hooks {
            create: Box::new(on_create),
            destroy: Box::new(|resource| {
                drop(resource);
                Ok(())
            }),
            validate: None,
        };
        Self { hooks, knobs: Knobs::new(), lending: true, thread_name: "tasker".to_owned() }
    }

    /// How a resource is taken apart; called exactly once for each one that `on_create` returned.
    /// Default: it is dropped, because most resources close themselves.
    #[must_use]
    pub fn on_destroy(
        mut self,
        on_destroy: impl Fn(R) -> Result<(), E> + Send + Sync + 'static,
    ) -> Self {
        self.hooks.destroy = Box::new(on_destroy);
        self
    }

    /// Whether a task's error leaves its resource healthy: `true` means that the error is the task's
    /// own, `false` condemns the resource and lets the task try again on another.
    /// Default: every error is healthy, because only you can know which are not. A check that panics
    /// counts as the default.
    #[must_use]
    pub fn check_health(mut self, check: impl Fn(&E) -> bool + Send + Sync + 'static) -> Self {
        self.knobs.accounts.check_health = Box::new(check);
        self
    }

    /// Workers that are always there. Default: the available parallelism, because a worker that
    /// computes needs a core. Zero is an error.
    ///
    /// Each has a resource of its own, beside those of the pool
    /// ([`resource_pool_size`](Self::resource_pool_size)) and of burst workers.
    ///
    /// ```
    /// use tasker::{Config, TaskManager};
    ///
    /// let config = Config::<(), String>::new(|| Ok(())).worker_count(1).max_worker_count(4);
    /// let stats = TaskManager::new(config)?.stats();
    /// assert_eq!((stats.base_workers, stats.burst_workers), (1, 0)); // up to 3 more in a burst
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn worker_count(mut self, workers: usize) -> Self {
        self.knobs.worker_count = Some(workers);
        self
    }

    /// How many workers there may be during a burst, those that are making or destroying their resource
    /// included. Default: twice `worker_count`, because that absorbs a burst without surprising the
    /// backend. Less than `worker_count` is an error; as many switches bursting off.
    ///
    /// ```
    /// use tasker::{BuildError, Config, TaskManager};
    ///
    /// let config = Config::<(), String>::new(|| Ok(())).worker_count(1).max_worker_count(0);
    /// assert!(matches!(TaskManager::new(config), Err(BuildError::MaxBelowWorkers { .. })));
    /// ```
    #[must_use]
    pub fn max_worker_count(mut self, workers: usize) -> Self {
        self.knobs.max_worker_count = Some(workers);
        self
    }

    /// How often the scaling policy is asked while there is something to scale. Default: 100 ms, which is
    /// soon enough for what is judged over whole seconds. It is also asked when a task comes while nobody
    /// is idle. Zero switches bursting off: there are `worker_count` workers, whatever the load.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tasker::{Config, TaskManager};
    ///
    /// let config = Config::<(), String>::new(|| Ok(())).worker_count(1).max_worker_count(4);
    /// let manager = TaskManager::new(config.burst_interval(Duration::ZERO))?; // stays at one
    /// assert_eq!(manager.stats().base_workers, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn burst_interval(mut self, interval: Duration) -> Self {
        self.knobs.burst_interval = interval;
        self
    }

    /// What decides how many workers there are between `worker_count` and `max_worker_count`. Default:
    /// [`BreakEven`](crate::autoscale::BreakEven), because it weighs what a resource costs against what waiting costs. See
    /// [`autoscale`](crate::autoscale) for the others, for how to write one, and for a simulator that shows
    /// beforehand what comes of it.
    ///
    /// ```
    /// use tasker::autoscale::BreakEven;
    /// use tasker::{Config, TaskManager};
    ///
    /// // Each connection costs as much as a minute of keeping one.
    /// let config = Config::<(), String>::new(|| Ok(())).worker_count(2).max_worker_count(16);
    /// let manager = TaskManager::new(config.scaling(BreakEven::new().price(60.0)))?;
    /// # manager.stop()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn scaling(mut self, policy: impl ScalingPolicy) -> Self {
        self.knobs.policy = Some(Box::new(policy));
        self
    }

    /// How old a resource may become. Default: as old as the manager, because most resources last; set it
    /// where a server, a load balancer or a credential ends connections at some age. Zero is an error.
    ///
    /// A replacement is wanted at an age drawn evenly between 85 % and 95 % of it, so that resources made
    /// together do not expire together. Where the cap has room, one more worker makes it while the old
    /// resource still serves, and the old one goes when the new one is ready, at the latest at the full age.
    /// Where it has none, the old one is destroyed first. A task that runs is never interrupted: its
    /// resource goes afterwards. Pooled resources are replaced in the pool, one after the
    /// other as long as none of them has reached the full age.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tasker::{Config, TaskManager};
    ///
    /// let config = Config::<(), String>::new(|| Ok(())).worker_count(2).max_worker_count(3);
    /// let config = config.max_lifetime(Duration::from_secs(30 * 60));
    /// # TaskManager::new(config)?.stop()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn max_lifetime(mut self, age: Duration) -> Self {
        self.knobs.max_lifetime = Some(age);
        self
    }

    /// How many attempts a resource may serve. Default: any number; set it where resources leak or wear
    /// out. Zero is an error.
    ///
    /// A replacement is made during the last tenth of the uses where the cap has room for it; at the full
    /// number the resource is not used again, whether or not the replacement is ready.
    ///
    /// ```
    /// use tasker::{Config, TaskManager};
    ///
    /// let config = Config::<(), String>::new(|| Ok(())).worker_count(1).resource_pool_size(0);
    /// let manager = TaskManager::new(config.max_worker_count(1).max_uses(2))?;
    /// for _ in 0..6 {
    ///     manager.queue_task(|_, _| Ok(()))?;
    /// }
    /// assert!(manager.stop()?.resources_created >= 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn max_uses(mut self, uses: u64) -> Self {
        self.knobs.max_uses = Some(uses);
        self
    }

    /// How long a burst worker's or a pooled resource may be idle before it is destroyed; see
    /// [`min_idle`](Self::min_idle) for those that stay. Default: burst workers stay as long as the scaling
    /// policy finds them worth keeping, pooled resources for ever. Base workers always stay. Zero is an error.
    ///
    /// A place of the pool that was emptied so is filled again after a `run_task` found the pool empty.
    #[must_use]
    pub fn idle_timeout(mut self, time: Duration) -> Self {
        self.knobs.idle_timeout = Some(time);
        self
    }

    /// How many idle workers are kept ready beyond those in use, as far as `max_worker_count` allows, and how
    /// many pooled resources `idle_timeout` leaves alone. Default: 0, because each costs a resource; set it
    /// where a task must not wait for a creation when the load steps up. More than `max_worker_count`
    /// is an error.
    ///
    /// ```
    /// use tasker::{Config, TaskManager};
    ///
    /// let config = Config::<(), String>::new(|| Ok(())).worker_count(1).max_worker_count(4);
    /// let manager = TaskManager::new(config.min_idle(2))?; // grows to two idle workers by itself
    /// # manager.stop()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn min_idle(mut self, resources: usize) -> Self {
        self.knobs.min_idle = resources;
        self
    }

    /// How to find out whether a resource is still sound, by a ping for instance: `false` condemns it. A
    /// validation that panics condemns it, too. Default: nobody asks, because only you know how.
    ///
    /// It is called before a resource is used again that was idle for
    /// [`validate_after`](Self::validate_after), and after an attempt that was cancelled or timed out, since
    /// such an attempt may have stopped half-way. A worker's resource is validated on the worker's thread, a
    /// pooled one on its caller's; a task never sees one that failed. A `run_task` that finds the pool empty and
    /// only resources to be validated makes a temporary one.
    ///
    /// ```
    /// use tasker::{Config, TaskManager};
    ///
    /// struct Connection(bool);
    /// let config = Config::<Connection, String>::new(|| Ok(Connection(true))).worker_count(1);
    /// let config = config.validate(|connection| connection.0);
    /// # TaskManager::new(config)?.stop()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn validate(mut self, validate: impl Fn(&mut R) -> bool + Send + Sync + 'static) -> Self {
        self.hooks.validate = Some(Box::new(validate));
        self
    }

    /// How long a resource may be idle before it is validated. Default: one second, because what worked a
    /// second ago nearly always still works, and a ping costs a round trip. Zero
    /// validates whenever it was idle at all; a worker that goes from one task to the next does not ask in
    /// between. Without [`validate`](Self::validate) it is an error.
    #[must_use]
    pub fn validate_after(mut self, idle: Duration) -> Self {
        self.knobs.validate_after = Some(idle);
        self
    }

    /// How long an attempt may take before it is told of as stuck, with an
    /// [`Event::TaskStuck`](crate::Event::TaskStuck), a warning, and a line of
    /// [`explain`](crate::TaskManager::explain) that say which task it is and where in the code it was made.
    /// Nothing happens to the task: for that there is [`timeout`](crate::Task::timeout). Default: none, because
    /// only you know how long is too long.
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    /// use tasker::{CancelToken, Config, TaskManager};
    ///
    /// let config = Config::<(), String>::new(|| Ok(())).stuck_after(Duration::from_millis(10));
    /// let manager = TaskManager::new(config)?;
    /// let token = CancelToken::new();
    /// let hangs = token.clone();
    /// let task = manager.task(move |_, _| Ok(hangs.wait())).name("hangs").submit();
    /// let end = Instant::now() + Duration::from_secs(20);
    /// while manager.explain().stuck.is_empty() {
    ///     assert!(Instant::now() < end);
    ///     std::thread::yield_now();
    /// }
    /// assert_eq!(manager.explain().stuck[0].name.as_deref(), Some("hangs"));
    /// token.cancel();
    /// task.wait()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
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
    /// use tasker::{CancelToken, Config, TaskManager};
    ///
    /// let config = Config::<(), String>::new(|| Ok(())).worker_count(1).max_worker_count(1);
    /// let config = config.stuck_after(Duration::from_millis(10)).replace_stuck(true);
    /// let manager = TaskManager::new(config)?;
    /// let token = CancelToken::new();
    /// let hangs = token.clone();
    /// let stuck = manager.task(move |_, _| Ok(hangs.wait())).submit();
    /// manager.task(|_, _| Ok(())).submit().wait()?; // although the only worker still hangs
    /// token.cancel();
    /// stuck.wait()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn replace_stuck(mut self, replace: bool) -> Self {
        self.knobs.replace_stuck = replace;
        self
    }

    /// How often a task runs again after an unhealthy error. Default: 3, because a resource that was
    /// replaced three times points at the task. 0 means no retry.
    ///
    /// ```
    /// use tasker::{Config, TaskError, TaskManager};
    ///
    /// let config = Config::<(), String>::new(|| Ok(())).worker_count(1).check_health(|_| false);
    /// let manager = TaskManager::new(config.max_retries(2))?;
    /// let failed = manager.queue_task(|_, _| Err::<(), _>("connection reset".to_owned()));
    /// assert!(matches!(failed, Err(TaskError::RetriesExhausted { attempts: 3, .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn max_retries(mut self, retries: u32) -> Self {
        self.knobs.max_retries = retries;
        self
    }

    /// How long a task waits before it runs again. Default: not at all, because it runs on another
    /// resource.
    #[must_use]
    pub fn retry_backoff(mut self, backoff: Backoff) -> Self {
        self.knobs.retry_backoff = backoff;
        self
    }

    /// How many resources lie ready for `run_task`, beside those of the workers. Default: as many as
    /// `worker_count`, because urgent work should not wait for a creation. 0 means no pool.
    ///
    /// ```
    /// use tasker::{Config, TaskManager};
    ///
    /// let config = Config::<(), String>::new(|| Ok(())).worker_count(1).resource_pool_size(2);
    /// let manager = TaskManager::new(config)?;
    /// assert_eq!(manager.stats().available_resources, 2);
    /// assert_eq!(manager.stop()?.resources_created, 3); // one is the worker's
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn resource_pool_size(mut self, size: usize) -> Self {
        self.knobs.resource_pool_size = Some(size);
        self
    }

    /// How many tasks may wait in the lanes. Default: as many as memory holds, because a limit that
    /// nobody chose loses tasks. Retries and `run_task` take no place. Zero is an error.
    ///
    /// ```
    /// use tasker::{Config, RejectReason, TaskManager, TaskStatus};
    ///
    /// let config = Config::<(), String>::new(|| Ok(())).worker_count(1).max_worker_count(1);
    /// let manager = TaskManager::new(config.queue_capacity(1))?;
    /// let busy = manager.task_once(|cx, _| Ok(cx.token().wait())).submit();
    /// while busy.status() == TaskStatus::Queued {
    ///     std::thread::yield_now();
    /// }
    /// let waiting = manager.task(|_, _| Ok(())).submit();
    /// let rejected = manager.task(|_, _| Ok(())).try_submit().unwrap_err();
    /// assert_eq!(rejected.reason(), RejectReason::QueueFull);
    /// busy.cancel();
    /// waiting.wait()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn queue_capacity(mut self, tasks: usize) -> Self {
        self.knobs.queue_capacity = Some(tasks);
        self
    }

    /// What happens to a task that comes when the queue is full. Default: [`Overflow::Wait`], because it
    /// loses nothing. [`Overflow`] has an example.
    #[must_use]
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.knobs.overflow = overflow;
        self
    }

    /// Whether blocking calls may run on their own thread with an idle worker's resource. Default:
    /// yes, because it saves two thread switches a task. Switch it off for resources that must be used
    /// on one thread although they are `Send`; for these also set
    /// [`resource_pool_size(0)`](Self::resource_pool_size), since pooled ones go to the callers of
    /// `run_task`.
    ///
    /// ```
    /// use tasker::{Config, TaskManager};
    ///
    /// let config = Config::<(), String>::new(|| Ok(())).worker_count(1).lending(false);
    /// let manager = TaskManager::new(config.resource_pool_size(0))?;
    /// let ran_on = manager.queue_task(|_, _| Ok(std::thread::current().id()))?;
    /// assert_ne!(ran_on, std::thread::current().id());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn lending(mut self, lending: bool) -> Self {
        self.lending = lending;
        self
    }

    /// A token that starts a graceful stop when it is cancelled. Default: none, because
    /// [`TaskManager::stop`](crate::TaskManager::stop) is enough for a program that holds the manager.
    ///
    /// Nobody is blocked by such a stop; [`TaskManager::join`](crate::TaskManager::join) waits for it and
    /// has the report. New tasks are refused from the first moment on: where a server in front of the manager
    /// has to serve what is inside it, stop the server first and the manager afterwards.
    ///
    /// With the feature `tokio` it may be tokio-util's `CancellationToken` as well.
    ///
    /// ```
    /// use tasker::{CancelToken, Config, TaskManager};
    ///
    /// let token = CancelToken::new();
    /// let config = Config::<(), String>::new(|| Ok(())).worker_count(1).shutdown_on(token.clone());
    /// let manager = TaskManager::new(config)?;
    /// let last = manager.task(|_, _| Ok(7)).submit();
    /// token.cancel(); // from a signal handler's thread, say
    /// assert_eq!(manager.join().completed, 1);
    /// assert_eq!(last.wait()?, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn shutdown_on(mut self, token: impl Into<CancelToken>) -> Self {
        self.knobs.shutdown_on = Some(token.into());
        self
    }

    /// Where messages go. Default: [`TracingLogger`](crate::TracingLogger), because that is where most programs look.
    ///
    /// ```
    /// use tasker::{Config, NoopLogger, TaskManager};
    ///
    /// let config = Config::<(), String>::new(|| Ok(())).worker_count(1).logger(NoopLogger);
    /// assert_eq!(TaskManager::new(config)?.queue_task(|_, _| Ok("no message"))?, "no message");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn logger(mut self, logger: impl Logger) -> Self {
        self.knobs.logger = Box::new(logger);
        self
    }

    /// What counts and times the tasks. Default: [`Collector::new`](crate::Collector::new), because it costs little and its
    /// memory does not grow.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use tasker::{Collector, Config, MetricsCollector, TaskManager};
    ///
    /// let shared = Arc::new(Collector::new());
    /// for _ in 0..2 {
    ///     let config = Config::<(), String>::new(|| Ok(())).worker_count(1).collector(Arc::clone(&shared));
    ///     TaskManager::new(config)?.queue_task(|_, _| Ok(()))?;
    /// }
    /// assert_eq!(shared.metrics().total_tasks_completed, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn collector(mut self, collector: impl MetricsCollector) -> Self {
        self.knobs.collector = Some(Box::new(collector));
        self
    }

    /// Adds one that is told every [`Event`](crate::Event). Default: none, because every event costs a
    /// call; any number can be added.
    #[must_use]
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.knobs.observers.push(Box::new(observer));
        self
    }

    /// The beginning of the threads' names: `-` and the worker's number follow, or `-timekeeper` and
    /// `-steward` for the two that run no tasks. A short-lived `-messenger` tells the ends of expired
    /// tasks. Default: `tasker`, because a debugger then shows whose threads they are.
    ///
    /// ```
    /// use tasker::{Config, TaskManager};
    ///
    /// let config = Config::<(), String>::new(|| Ok(())).worker_count(1).thread_name("db");
    /// let manager = TaskManager::new(config)?;
    /// let named = manager.task(|_, _| Ok(std::thread::current().name().map(str::to_owned))).submit();
    /// assert!(named.wait()?.is_some_and(|name| name.starts_with("db-")));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn thread_name(mut self, name: impl Into<String>) -> Self {
        self.thread_name = name.into();
        self
    }

    /// A clock that tests move by hand: backoffs, deadlines and ticks fall due when it says so, without waiting.
    /// Default: the machine's, because a manager's time has to pass although nobody moves it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tasker::testing::{Kit, ManualClock};
    /// use tasker::{TaskError, TaskManager};
    ///
    /// let clock = ManualClock::new();
    /// let manager = TaskManager::new(Kit::new().config().worker_count(1).clock(clock.clone()))?;
    /// manager.pause();
    /// let minute = Duration::from_secs(60);
    /// let late = manager.task(|_, resource| resource.work()).start_within(minute).submit();
    /// clock.advance(minute);
    /// assert!(matches!(late.wait(), Err(TaskError::Expired)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn clock(mut self, clock: crate::clock::ManualClock) -> Self {
        self.knobs.clock = crate::clock::Clock::Manual(clock);
        self
    }

    /// Checks the numbers and takes the configuration apart.
    pub(crate) fn into_parts(self, shelves: bool) -> Result<Parts<R, E>, BuildError<E>> {
        let Self { hooks, knobs, lending, thread_name } = self;
        let lends = lending && shelves;
        let how = How { lends, shelves, slots: false, validates: hooks.validate.is_some() };
        let staff = Threads { crew: Crew::new(thread_name), hooks };
        Ok(Parts { staff, checked: knobs.check(how)? })
    }
}

/// A checked configuration.
pub(crate) struct Parts<R, E> {
    pub(crate) staff: Threads<R, E>,
    pub(crate) checked: Checked<E>,
}

impl<R, E> fmt::Debug for Config<R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("knobs", &self.knobs)
            .field("lending", &self.lending)
            .field("thread_name", &self.thread_name)
            .finish_non_exhaustive()
    }
}
