//! The front door: builds a manager, wires its rooms together, and names every way in and out.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Config, Parts};
use crate::context::TaskContext;
use crate::engine::Engine;
use crate::error::{BuildError, ResizeError, ShutdownError};
use crate::explain::Explanation;
use crate::handle::TaskHandle;
use crate::knobs::Checked;
use crate::metrics::TaskMetrics;
use crate::outcome::TaskError;
use crate::resource::lending::{Bare, Shared, Shelf};
use crate::shutdown::{Phase, ShutdownReport};
use crate::stats::TaskStats;
use crate::submit::Task;
use crate::task::{Once, Priority, Repeatable};

/// Runs tasks on worker threads, each of which owns one resource.
///
/// `R` is the resource, `E` the error that resources and tasks fail with. Clones are cheap and share the
/// manager; it is `Send + Sync` for every `R`. Dropping the last clone starts a graceful stop in the
/// background; call [`stop`](Self::stop) to wait for it and to see what became of everything.
///
/// ```
/// use tasker::{Config, TaskManager};
///
/// let manager = TaskManager::<String, std::io::Error>::new(Config::new(|| Ok("hello".into())))?;
/// let length = manager.queue_task(|_, resource| Ok(resource.len()))?;
/// assert_eq!(length, 5);
/// let report = manager.stop()?;
/// assert_eq!(report.completed, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct TaskManager<R, E> {
    owner: Arc<Owner<R, E>>,
}

/// Whose drop means that nobody can submit any more.
struct Owner<R, E> {
    engine: Arc<Engine<R, E>>,
    stop: fn(&Arc<Engine<R, E>>),
}

impl<R, E> Drop for Owner<R, E> {
    fn drop(&mut self) {
        (self.stop)(&self.engine);
    }
}

impl<R: 'static, E: Send + 'static> TaskManager<R, E> {
    /// Builds a manager whose resources may be lent to callers and pooled, so that they must be `Send`.
    ///
    /// Returns when every base worker and the pool have their resources; these are made in parallel.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if the configuration contradicts itself or a resource could not be made. Nothing
    /// is left behind: what had been created is destroyed again.
    pub fn new(config: Config<R, E>) -> Result<Self, BuildError<E>>
    where
        R: Send,
    {
        Self::build(config.into_parts(true)?, Box::new(Shared::new()))
    }

    /// Builds a manager whose resources are created, used and dropped on one thread each; they need not
    /// be `Send`. Nothing is lent and there is no pool; `run_task` runs on a worker, ahead of every lane.
    ///
    /// ```
    /// use std::rc::Rc;
    /// use tasker::{Config, TaskManager};
    ///
    /// let manager = TaskManager::<Rc<u32>, String>::new_local(Config::new(|| Ok(Rc::new(1))))?;
    /// assert_eq!(manager.queue_task(|_, shared| Ok(Rc::strong_count(shared)))?, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn new_local(config: Config<R, E>) -> Result<Self, BuildError<E>> {
        Self::build(config.into_parts(false)?, Box::new(Bare))
    }

    /// The old name of [`new`](Self::new).
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    #[deprecated = "use TaskManager::new"]
    pub fn new_runner(config: Config<R, E>) -> Result<Self, BuildError<E>>
    where
        R: Send,
    {
        Self::new(config)
    }

    fn build(parts: Parts<R, E>, shelf: Box<dyn Shelf<R>>) -> Result<Self, BuildError<E>> {
        let Parts { staff, checked: Checked { parts, policy, shutdown_on } } = parts;
        let engine = Engine::new(parts, shelf, staff);
        engine.start(policy)?;
        if let Some(parent) = shutdown_on {
            engine.follow(parent);
        }
        let stop: fn(&Arc<Engine<R, E>>) = |engine| {
            let _ = engine.begin_stop(); // refused only where a shutdown is under way already
        };
        Ok(Self { owner: Arc::new(Owner { engine, stop }) })
    }

    fn engine(&self) -> &Arc<Engine<R, E>> {
        &self.owner.engine
    }

    /// A task that may run again after an unhealthy error, to be given options and sent on its way.
    #[track_caller]
    pub fn task<T, F>(&self, task: F) -> Task<'_, R, E, Repeatable<F>>
    where
        F: FnMut(&TaskContext, &mut R) -> Result<T, E> + Send,
    {
        Task::new(self.engine(), Repeatable(task))
    }

    /// A task that runs at most once, whatever happens.
    #[track_caller]
    pub fn task_once<T, F>(&self, task: F) -> Task<'_, R, E, Once<F>>
    where
        F: FnOnce(&TaskContext, &mut R) -> Result<T, E> + Send,
    {
        Task::new(self.engine(), Once(Some(task)))
    }

    /// Runs a task and blocks until it has ended: `task(…).run()`.
    ///
    /// # Errors
    ///
    /// How the task ended, if not with `Ok`; see [`Task::run`].
    #[track_caller]
    pub fn queue_task<T: Send>(
        &self,
        task: impl FnMut(&TaskContext, &mut R) -> Result<T, E> + Send,
    ) -> Result<T, TaskError<E>> {
        self.task(task).run()
    }

    /// Runs a task at most once and blocks until it has ended: `task_once(…).run()`.
    ///
    /// # Errors
    ///
    /// How the task ended, if not with `Ok`; see [`Task::run`].
    ///
    /// ```
    /// use tasker::{Config, TaskManager};
    ///
    /// let manager = TaskManager::<Vec<String>, String>::new(Config::new(|| Ok(vec![])).worker_count(1))?;
    /// let owned = String::from("moved into the task");
    /// let length = manager.queue_task_once(|_, list| {
    ///     list.push(owned); // a closure that can run once only
    ///     Ok(list.len())
    /// })?;
    /// assert_eq!(length, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn queue_task_once<T: Send>(
        &self,
        task: impl FnOnce(&TaskContext, &mut R) -> Result<T, E> + Send,
    ) -> Result<T, TaskError<E>> {
        self.task_once(task).run()
    }

    /// As [`queue_task`](Self::queue_task), in the High lane.
    ///
    /// # Errors
    ///
    /// How the task ended, if not with `Ok`; see [`Task::run`].
    #[track_caller]
    pub fn queue_task_with_priority<T: Send>(
        &self,
        task: impl FnMut(&TaskContext, &mut R) -> Result<T, E> + Send,
    ) -> Result<T, TaskError<E>> {
        self.task(task).priority(Priority::High).run()
    }

    /// As [`queue_task_once`](Self::queue_task_once), in the High lane.
    ///
    /// # Errors
    ///
    /// How the task ended, if not with `Ok`; see [`Task::run`].
    #[track_caller]
    pub fn queue_task_with_priority_once<T: Send>(
        &self,
        task: impl FnOnce(&TaskContext, &mut R) -> Result<T, E> + Send,
    ) -> Result<T, TaskError<E>> {
        self.task_once(task).priority(Priority::High).run()
    }

    /// Runs a task now, ahead of every lane: `task_once(…).run_now()`.
    ///
    /// # Errors
    ///
    /// How the task ended, if not with `Ok`; see [`Task::run_now`].
    ///
    /// ```
    /// use tasker::{Config, TaskManager};
    ///
    /// let manager = TaskManager::<u32, String>::new(Config::new(|| Ok(3)).worker_count(1))?;
    /// assert_eq!(manager.run_task(|_, resource| Ok(*resource + 1))?, 4);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn run_task<T: Send>(
        &self,
        task: impl FnOnce(&TaskContext, &mut R) -> Result<T, E> + Send,
    ) -> Result<T, TaskError<E>> {
        self.task_once(task).run_now()
    }

    /// Submits a task: `task(…).submit()`.
    ///
    /// With a full queue and [`Overflow::Wait`](crate::Overflow::Wait) it blocks until there is room, as do
    /// the other methods that submit.
    ///
    /// ```
    /// use tasker::{Config, TaskManager};
    ///
    /// let manager = TaskManager::<u32, String>::new(Config::new(|| Ok(2)).worker_count(1))?;
    /// let handles: Vec<_> =
    ///     (0..3).map(|n| manager.queue_task_async(move |_, resource| Ok(*resource * n))).collect();
    /// let sum: u32 = handles.into_iter().map(|handle| handle.wait().unwrap_or(0)).sum();
    /// assert_eq!(sum, 6);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn queue_task_async<T: Send + 'static>(
        &self,
        task: impl FnMut(&TaskContext, &mut R) -> Result<T, E> + Send + 'static,
    ) -> TaskHandle<T, E> {
        self.task(task).submit()
    }

    /// Submits a task that runs at most once: `task_once(…).submit()`.
    #[track_caller]
    pub fn queue_task_once_async<T: Send + 'static>(
        &self,
        task: impl FnOnce(&TaskContext, &mut R) -> Result<T, E> + Send + 'static,
    ) -> TaskHandle<T, E> {
        self.task_once(task).submit()
    }

    /// As [`queue_task_async`](Self::queue_task_async), in the High lane.
    #[track_caller]
    pub fn queue_task_with_priority_async<T: Send + 'static>(
        &self,
        task: impl FnMut(&TaskContext, &mut R) -> Result<T, E> + Send + 'static,
    ) -> TaskHandle<T, E> {
        self.task(task).priority(Priority::High).submit()
    }

    /// As [`queue_task_once_async`](Self::queue_task_once_async), in the High lane.
    #[track_caller]
    pub fn queue_task_with_priority_once_async<T: Send + 'static>(
        &self,
        task: impl FnOnce(&TaskContext, &mut R) -> Result<T, E> + Send + 'static,
    ) -> TaskHandle<T, E> {
        self.task_once(task).priority(Priority::High).submit()
    }

    /// Submits a task and calls back with its outcome: `task(…).on_complete(…)`.
    ///
    /// ```
    /// use tasker::{Config, TaskManager};
    ///
    /// let manager = TaskManager::<u32, String>::new(Config::new(|| Ok(3)).worker_count(1))?;
    /// let (send, receive) = std::sync::mpsc::channel();
    /// manager.queue_task_with_callback(|_, resource| Ok(*resource), move |outcome| {
    ///     let _ = send.send(outcome);
    /// });
    /// assert_eq!(receive.recv()??, 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn queue_task_with_callback<T: Send + 'static>(
        &self,
        task: impl FnMut(&TaskContext, &mut R) -> Result<T, E> + Send + 'static,
        callback: impl FnOnce(Result<T, TaskError<E>>) + Send + 'static,
    ) {
        self.task(task).on_complete(callback);
    }

    /// As [`queue_task_with_callback`](Self::queue_task_with_callback), at most once.
    #[track_caller]
    pub fn queue_task_once_with_callback<T: Send + 'static>(
        &self,
        task: impl FnOnce(&TaskContext, &mut R) -> Result<T, E> + Send + 'static,
        callback: impl FnOnce(Result<T, TaskError<E>>) + Send + 'static,
    ) {
        self.task_once(task).on_complete(callback);
    }

    /// As [`queue_task_with_callback`](Self::queue_task_with_callback), in the High lane.
    #[track_caller]
    pub fn queue_task_with_priority_with_callback<T: Send + 'static>(
        &self,
        task: impl FnMut(&TaskContext, &mut R) -> Result<T, E> + Send + 'static,
        callback: impl FnOnce(Result<T, TaskError<E>>) + Send + 'static,
    ) {
        self.task(task).priority(Priority::High).on_complete(callback);
    }

    /// As [`queue_task_once_with_callback`](Self::queue_task_once_with_callback), in the High lane.
    #[track_caller]
    pub fn queue_task_with_priority_once_with_callback<T: Send + 'static>(
        &self,
        task: impl FnOnce(&TaskContext, &mut R) -> Result<T, E> + Send + 'static,
        callback: impl FnOnce(Result<T, TaskError<E>>) + Send + 'static,
    ) {
        self.task_once(task).priority(Priority::High).on_complete(callback);
    }

    /// Stops gracefully: refuses new tasks, runs everything accepted (retries that wait for their time
    /// at once), destroys every resource, ends every thread. Blocks until all of that is done.
    ///
    /// Called from inside one of this manager's own tasks, callbacks or hooks it starts the stop and
    /// returns at once; what has not ended is then in the report as a straggler.
    ///
    /// # Errors
    ///
    /// [`ShutdownError::AlreadyStoppingOrKilled`] in any phase but [`Phase::Running`].
    ///
    /// ```
    /// use tasker::{Config, TaskManager};
    ///
    /// let manager = TaskManager::<(), String>::new(Config::new(|| Ok(())).worker_count(1))?;
    /// let queued = manager.task(|_, _| Ok(7)).submit();
    /// let report = manager.stop()?;
    /// assert_eq!((report.accepted, report.completed), (1, 1));
    /// assert_eq!(queued.wait()?, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stop(&self) -> Result<ShutdownReport, ShutdownError> {
        self.engine().stop(None)
    }

    /// As [`stop`](Self::stop) until `limit` has passed, then as [`kill`](Self::kill): contexts are
    /// cancelled, and what has not returned 100 ms later is reported as a straggler and not waited for.
    /// A straggler's thread still destroys its resource and ends when its code returns.
    ///
    /// # Errors
    ///
    /// As [`stop`](Self::stop).
    pub fn stop_within(&self, limit: Duration) -> Result<ShutdownReport, ShutdownError> {
        self.engine().stop(Some(limit))
    }

    /// Ends every queued task as [`TaskError::Killed`], cancels every running context, waits for the
    /// code that runs, destroys every resource, ends every thread. Takes over from a stop under way,
    /// which then returns too.
    ///
    /// Called from inside one of this manager's own tasks, callbacks or hooks it returns at once, as
    /// [`stop`](Self::stop).
    ///
    /// # Errors
    ///
    /// [`ShutdownError::AlreadyKilled`] the second time,
    /// [`ShutdownError::AlreadyStoppingOrKilled`] after a finished stop.
    ///
    /// ```
    /// use tasker::{Config, TaskError, TaskManager};
    ///
    /// let manager = TaskManager::<(), String>::new(Config::new(|| Ok(())).worker_count(1))?;
    /// let running = manager.task_once(|cx, _| Ok(cx.token().wait())).submit();
    /// let queued = manager.task(|_, _| Ok(())).submit();
    /// let report = manager.kill()?;
    /// assert!(matches!(queued.wait(), Err(TaskError::Killed)));
    /// assert_eq!(report.accepted, report.completed + report.dropped);
    /// # drop(running);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn kill(&self) -> Result<ShutdownReport, ShutdownError> {
        self.engine().kill(None)
    }

    /// As [`kill`](Self::kill), but code that is still running after `limit` and 100 ms of grace is
    /// reported as a straggler and no longer waited for.
    ///
    /// # Errors
    ///
    /// As [`kill`](Self::kill).
    pub fn kill_within(&self, limit: Duration) -> Result<ShutdownReport, ShutdownError> {
        self.engine().kill(Some(limit))
    }

    /// Blocks until a shutdown has finished, whoever began it: [`stop`](Self::stop) or
    /// [`kill`](Self::kill) on another thread, or the token given to
    /// [`Config::shutdown_on`](crate::Config::shutdown_on). Returns the report. It begins nothing itself:
    /// while nobody shuts the manager down, it waits.
    ///
    /// Called from inside one of this manager's own tasks, callbacks or hooks it returns at once, as
    /// [`stop`](Self::stop).
    ///
    /// ```
    /// use tasker::{CancelToken, Config, TaskManager};
    ///
    /// let ctrl_c = CancelToken::new();
    /// let config = Config::<(), String>::new(|| Ok(())).worker_count(1).shutdown_on(ctrl_c.clone());
    /// let manager = TaskManager::new(config)?;
    /// let accepted = manager.task(|_, _| Ok(())).submit();
    /// ctrl_c.cancel();
    /// assert_eq!(manager.join().completed, 1);
    /// accepted.wait()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn join(&self) -> ShutdownReport {
        self.engine().join()
    }

    /// How many workers, tasks and resources there are right now.
    #[must_use]
    pub fn stats(&self) -> TaskStats {
        self.engine().stats()
    }

    /// What the metrics collector has counted and timed.
    ///
    /// ```
    /// use tasker::{Config, TaskManager};
    ///
    /// let manager = TaskManager::<(), String>::new(Config::new(|| Ok(())).worker_count(1))?;
    /// manager.queue_task(|_, _| Ok(()))?;
    /// let metrics = manager.metrics();
    /// assert_eq!((metrics.total_tasks_completed, metrics.success_rate), (1, 1.0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn metrics(&self) -> TaskMetrics {
        self.engine().metrics()
    }

    /// Changes how many workers are always there and how many there may be, while the manager runs.
    ///
    /// Missing base workers are hired at once, as far as the cap has room; they make their resources in the
    /// background. Idle workers above the new cap go at once, the others as soon as they are free, and
    /// until then [`TaskStats::active_workers`] shows them. Nothing that runs is disturbed. The pool
    /// behind [`run_task`](Self::run_task) keeps its size.
    ///
    /// ```
    /// use tasker::{Config, TaskManager};
    ///
    /// let manager = TaskManager::<(), String>::new(Config::new(|| Ok(())).worker_count(4))?;
    /// manager.resize(1, 2)?; // fewer at night
    /// let stats = manager.stats();
    /// assert_eq!((stats.base_workers, stats.max_workers), (1, 2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ResizeError`] if the numbers contradict each other or the manager is shutting down. Then nothing
    /// has changed.
    pub fn resize(&self, worker_count: usize, max_worker_count: usize) -> Result<(), ResizeError> {
        self.engine().resize(worker_count, max_worker_count)
    }

    /// Holds tasks back: they are accepted and wait, `run_task` included, until [`resume`](Self::resume).
    /// What runs goes on. Timeouts, [`start_within`](Task::start_within), capacity and retries count on as
    /// ever.
    ///
    /// A stop ends the pause, since it runs what was accepted; so does a kill. Pausing twice, or when the
    /// manager is shutting down, changes nothing.
    ///
    /// If tasks in its own queue have captured its last clones, a paused manager stays: nobody can resume it.
    ///
    /// ```
    /// use tasker::{Config, TaskManager, TaskStatus};
    ///
    /// let manager = TaskManager::<(), String>::new(Config::new(|| Ok(())).worker_count(1))?;
    /// manager.pause(); // while the database is moved, say
    /// let held_back = manager.task(|_, _| Ok("after all")).submit();
    /// assert_eq!(held_back.status(), TaskStatus::Queued);
    /// assert!(manager.stats().paused);
    /// manager.resume();
    /// assert_eq!(held_back.wait()?, "after all");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn pause(&self) {
        self.engine().set_paused(true);
    }

    /// Lets tasks start again after [`pause`](Self::pause).
    pub fn resume(&self) {
        self.engine().set_paused(false);
    }

    /// Why there are as many workers as there are, and what the waiting tasks wait for: in words
    /// (`to_string`) and in numbers.
    ///
    /// ```
    /// use tasker::{Config, TaskManager};
    ///
    /// let manager = TaskManager::<(), String>::new(Config::new(|| Ok(())).worker_count(2))?;
    /// let explanation = manager.explain();
    /// assert_eq!((explanation.workers, explanation.waiting.tasks), (2, 0));
    /// println!("{explanation}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn explain(&self) -> Explanation
    where
        E: fmt::Display,
    {
        self.engine().explain()
    }

    /// Where the manager is in its life.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.engine().queue.phase()
    }
}

impl<R, E> Clone for TaskManager<R, E> {
    fn clone(&self) -> Self {
        Self { owner: Arc::clone(&self.owner) }
    }
}

impl<R, E> fmt::Debug for TaskManager<R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskManager")
            .field("phase", &self.owner.engine.queue.phase())
            .finish_non_exhaustive()
    }
}
