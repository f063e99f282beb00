//! The async front door: builds a manager in the caller's runtime, and names every way in and out.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use super::Core;
use super::build::build;
use super::config::AsyncConfig;
use super::guarded::Discarded;
use super::hold::Hold;
use super::task::{AsyncTask, builder};
use super::visit::run_now;
use super::work::{AsyncWork, Repeats, RunsOnce};
use crate::context::TaskContext;
use crate::engine::GRACE;
use crate::error::{BuildError, ResizeError, ShutdownError};
use crate::explain::Explanation;
use crate::metrics::TaskMetrics;
use crate::outcome::TaskError;
use crate::queue::Effects;
use crate::shutdown::{Phase, ShutdownReport};
use crate::stats::TaskStats;
use crate::task::{Once, Priority, Repeatable, Settings};
use crate::worker::attempt::is_working_for;

/// Runs async tasks in the caller's own tokio runtime. A worker is a slot with a resource, not a thread: ten
/// thousand of them are cheap.
///
/// `R` is the resource, `E` the error that resources and tasks fail with. Clones are cheap and share the
/// manager. Dropping the last clone starts a graceful stop in the background; [`stop`](Self::stop) waits for
/// it and says what became of everything.
///
/// A task is an async closure that gets a [`TaskContext`] and the resource. Awaited, it runs in the caller's
/// own future: nothing is spawned, and the closure may borrow. Submitted, it runs in the runtime that
/// the manager was built in.
///
/// In a test under `tokio::time::pause` every time limit follows the paused clock, if the manager is called from
/// inside the runtime: on other threads tokio tells the real time.
///
/// Tasks share the runtime's threads, so that one that computes for long or blocks holds up its neighbours.
/// For those use a [`TaskManager`](crate::TaskManager), whose handles can be awaited from here; the crate's
/// documentation says [which to choose](crate#async-code).
///
/// ```
/// use tasker::{AsyncConfig, AsyncTaskManager};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config = AsyncConfig::<String, std::io::Error>::new(|| async { Ok("hello".into()) });
/// let manager = AsyncTaskManager::new(config.worker_count(1)).await?;
///
/// let mut seen = Vec::new();
/// manager.queue_task(async |_, text| Ok(seen.push(text.len()))).await?; // it may borrow
/// let handle = manager.task(async move |cx, text| Ok((cx.attempt(), text.len()))).submit();
/// assert_eq!((seen, handle.await?), (vec![5], (1, 5)));
///
/// assert_eq!(manager.stop().await?.completed, 2);
/// # Ok(())
/// # }
/// ```
pub struct AsyncTaskManager<R, E> {
    owner: Arc<Owner<R, E>>,
}

/// Whose drop means that nobody can submit any more.
struct Owner<R, E> {
    core: Arc<Core<R, E>>,
    stop: fn(&Arc<Core<R, E>>),
}

impl<R, E> Drop for Owner<R, E> {
    fn drop(&mut self) {
        (self.stop)(&self.core);
    }
}

impl<R: Send + 'static, E: Send + 'static> AsyncTaskManager<R, E> {
    /// Builds a manager in the current runtime. Returns when every base worker and the pool have their resources. The
    /// workers' are made at the same time, the pool's after them, one by each worker at a time.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if the configuration contradicts itself, a resource could not be made, or there is no
    /// tokio runtime with time enabled. Nothing is left behind: what had been created is destroyed again.
    ///
    /// # Cancel safety
    ///
    /// Dropped before its end it leaves nothing behind either: what was created is destroyed in the background.
    pub async fn new(config: AsyncConfig<R, E>) -> Result<Self, BuildError<E>> {
        let core = build(config.into_parts()?).await?;
        let stop: fn(&Arc<Core<R, E>>) = |core| {
            let _ = core.begin_stop(); // refused only where a shutdown is under way already
        };
        Ok(Self { owner: Arc::new(Owner { core, stop }) })
    }

    fn core(&self) -> &Arc<Core<R, E>> {
        &self.owner.core
    }

    /// A task that may run again after an unhealthy error, to be given options and awaited or submitted.
    /// Write `async |cx, resource| …`, and `async move |cx, resource| …` to submit it; see
    /// [`AsyncTask`](AsyncTask#closures) for what may borrow where.
    ///
    /// ```
    /// use tasker::{AsyncConfig, AsyncTaskManager};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let config = AsyncConfig::<Vec<u32>, String>::new(|| async { Ok(vec![1, 2]) }).worker_count(1);
    /// let manager = AsyncTaskManager::new(config).await?;
    /// let factor = 10; // borrowed: nothing is spawned
    /// let sum = manager.task(async |_, numbers| Ok(factor * numbers.iter().sum::<u32>())).await?;
    /// assert_eq!(sum, 30);
    /// # manager.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn task<T, F>(
        &self,
        task: F,
    ) -> AsyncTask<impl Future<Output = Result<T, TaskError<E>>> + use<R, E, T, F>, Repeatable<()>>
    where
        F: AsyncFnMut(&TaskContext, &mut R) -> Result<T, E>,
    {
        builder(self.core(), Repeats(task))
    }

    /// A task that runs at most once, whatever happens.
    ///
    /// ```
    /// use tasker::{AsyncConfig, AsyncTaskManager};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let config = AsyncConfig::<Vec<String>, String>::new(|| async { Ok(Vec::new()) }).worker_count(1);
    /// let manager = AsyncTaskManager::new(config).await?;
    /// let line = String::from("paid"); // given away, which only a task that runs once can do
    /// let written = manager.task_once(async |_, log| {
    ///     log.push(line);
    ///     Ok(log.len())
    /// });
    /// assert_eq!(written.await?, 1);
    /// # manager.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn task_once<T, F>(
        &self,
        task: F,
    ) -> AsyncTask<impl Future<Output = Result<T, TaskError<E>>> + use<R, E, T, F>, Once<()>>
    where
        F: AsyncFnOnce(&TaskContext, &mut R) -> Result<T, E>,
    {
        builder(self.core(), RunsOnce(Some(task)))
    }

    /// Runs a task and waits until it has ended, as `task(…).await` does, and one allocation cheaper. The closure
    /// may borrow; inside `tokio::spawn` it is `async move` and owns what it uses, see
    /// [`AsyncTask`](AsyncTask#closures).
    ///
    /// # Errors
    ///
    /// How the task ended, if not with `Ok`; [`TaskError::ShuttingDown`] or [`TaskError::QueueFull`] if it was
    /// not accepted. Awaited inside a task of the same manager also [`TaskError::WouldDeadlock`], if every worker is
    /// held up by such waiting and none can be added: the task is withdrawn.
    ///
    /// # Panics
    ///
    /// A panic of the closure is an error, [`TaskError::Panicked`], not a panic here.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the task; see [`AsyncTask`] for what becomes of its place and of the
    /// resource.
    #[track_caller]
    pub fn queue_task<T, F>(
        &self,
        task: F,
    ) -> impl Future<Output = Result<T, TaskError<E>>> + use<'_, R, E, T, F>
    where
        F: AsyncFnMut(&TaskContext, &mut R) -> Result<T, E>,
    {
        self.queue(Priority::Normal, Repeats(task))
    }

    /// Runs a task at most once and waits until it has ended.
    ///
    /// ```
    /// use tasker::{AsyncConfig, AsyncTaskManager};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let config = AsyncConfig::<Vec<String>, String>::new(|| async { Ok(vec![]) }).worker_count(1);
    /// let manager = AsyncTaskManager::new(config).await?;
    /// let owned = String::from("moved into the task");
    /// let length = manager.queue_task_once(async |_, list: &mut Vec<String>| {
    ///     list.push(owned); // a closure that can run once only
    ///     Ok(list.len())
    /// });
    /// assert_eq!(length.await?, 1);
    /// # manager.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`queue_task`](Self::queue_task).
    ///
    /// # Cancel safety
    ///
    /// As [`queue_task`](Self::queue_task).
    #[track_caller]
    pub fn queue_task_once<T, F>(
        &self,
        task: F,
    ) -> impl Future<Output = Result<T, TaskError<E>>> + use<'_, R, E, T, F>
    where
        F: AsyncFnOnce(&TaskContext, &mut R) -> Result<T, E>,
    {
        self.queue(Priority::Normal, RunsOnce(Some(task)))
    }

    /// As [`queue_task`](Self::queue_task), in the High lane.
    ///
    /// # Errors
    ///
    /// As [`queue_task`](Self::queue_task).
    ///
    /// # Cancel safety
    ///
    /// As [`queue_task`](Self::queue_task).
    #[track_caller]
    pub fn queue_task_with_priority<T, F>(
        &self,
        task: F,
    ) -> impl Future<Output = Result<T, TaskError<E>>> + use<'_, R, E, T, F>
    where
        F: AsyncFnMut(&TaskContext, &mut R) -> Result<T, E>,
    {
        self.queue(Priority::High, Repeats(task))
    }

    /// As [`queue_task_once`](Self::queue_task_once), in the High lane.
    ///
    /// # Errors
    ///
    /// As [`queue_task`](Self::queue_task).
    ///
    /// # Cancel safety
    ///
    /// As [`queue_task`](Self::queue_task).
    #[track_caller]
    pub fn queue_task_with_priority_once<T, F>(
        &self,
        task: F,
    ) -> impl Future<Output = Result<T, TaskError<E>>> + use<'_, R, E, T, F>
    where
        F: AsyncFnOnce(&TaskContext, &mut R) -> Result<T, E>,
    {
        self.queue(Priority::High, RunsOnce(Some(task)))
    }

    #[track_caller]
    fn queue<T, W>(
        &self,
        priority: Priority,
        work: W,
    ) -> impl Future<Output = Result<T, TaskError<E>>> + use<'_, R, E, T, W>
    where
        W: AsyncWork<R, E, Output = T>,
    {
        let core = self.core();
        let work = Discarded::new(core.identity(), work);
        let location = Location::caller();
        async move {
            let settings = Settings { priority, ..Settings::from(location, core.max_retries) };
            Hold::run_awaited(core, settings, work).await
        }
    }

    /// Runs a task now, ahead of every lane: with a pooled resource, else an idle worker's, else one that is
    /// made for it and destroyed afterwards, in the background. It has one attempt. Use it for what is urgent
    /// and short; it does not respect the cap on workers. [`AsyncTask::run_now`] is the same with options.
    ///
    /// ```
    /// use tasker::{AsyncConfig, AsyncTaskManager};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let config = AsyncConfig::<u32, String>::new(|| async { Ok(3) }).worker_count(1);
    /// let manager = AsyncTaskManager::new(config).await?;
    /// assert_eq!(manager.run_task(async |_, number| Ok(*number + 1)).await?, 4);
    /// # manager.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// How the task ended, if not with `Ok`; [`TaskError::CreateFailed`] if no resource could be made,
    /// [`TaskError::Panicked`] if `on_create` panicked, [`TaskError::Killed`] if the manager was killed meanwhile,
    /// [`TaskError::ShuttingDown`] if it was not accepted.
    ///
    /// # Cancel safety
    ///
    /// As [`queue_task`](Self::queue_task). A temporary resource that is still being made is given up with
    /// the future of `on_create`.
    #[track_caller]
    pub fn run_task<T, F>(
        &self,
        task: F,
    ) -> impl Future<Output = Result<T, TaskError<E>>> + use<'_, R, E, T, F>
    where
        F: AsyncFnOnce(&TaskContext, &mut R) -> Result<T, E>,
    {
        let core = self.core();
        let work = Discarded::new(core.identity(), RunsOnce(Some(task)));
        let location = Location::caller();
        async move { run_now(core, Settings::from(location, 0), work).await }
    }

    /// Stops gracefully: refuses new tasks, runs everything accepted (retries that wait for their time at
    /// once), destroys every resource, and waits until all of that is done.
    ///
    /// A task that is awaited runs in its caller's future: the stop waits until that is polled or dropped.
    ///
    /// Called from inside one of this manager's own tasks, callbacks or hooks it starts the stop and returns
    /// at once; what has not ended is then in the report as a straggler.
    ///
    /// # Errors
    ///
    /// [`ShutdownError::AlreadyStoppingOrKilled`] in any phase but [`Phase::Running`].
    ///
    /// # Cancel safety
    ///
    /// The stop begins when the future is first polled, and goes on when it is dropped;
    /// [`join`](Self::join) waits for it again.
    pub async fn stop(&self) -> Result<ShutdownReport, ShutdownError> {
        let core = self.core();
        core.begin_stop()?;
        if !is_working_for(core.identity()) {
            core.over().await;
        }
        Ok(core.report())
    }

    /// As [`stop`](Self::stop) until `limit` has passed, then as [`kill`](Self::kill). What has not ended
    /// 100 ms later is reported as a straggler and not waited for: a hook that does not end, a task that does
    /// not reach an await, or one whose future is neither polled nor dropped.
    ///
    /// # Errors
    ///
    /// As [`stop`](Self::stop).
    ///
    /// # Cancel safety
    ///
    /// As [`stop`](Self::stop); nobody kills at the limit then.
    pub async fn stop_within(&self, limit: Duration) -> Result<ShutdownReport, ShutdownError> {
        let core = self.core();
        core.begin_stop()?;
        if is_working_for(core.identity()) {
            // Nobody waits here for the limit to pass, so the timekeeper does.
            let mut fx = Effects::new();
            core.queue.kill_later(core.clock.now().checked_add(limit), &mut fx);
            core.perform(fx);
        } else if !core.over_within(limit).await {
            let _ = core.begin_kill(); // a kill that came from elsewhere meanwhile does as well
            core.over_within(GRACE).await;
        }
        Ok(core.report())
    }

    /// Ends every queued task as [`TaskError::Killed`], cancels every running context, drops what runs and what is
    /// being made or validated at the await where it stands, destroys every resource, and waits until all of that is done. Takes over from a
    /// stop under way, which then returns too.
    ///
    /// A task that is awaited runs in its caller's future: the kill waits until that is polled or dropped.
    ///
    /// Called from inside one of this manager's own tasks, callbacks or hooks it returns at once, as
    /// [`stop`](Self::stop).
    ///
    /// ```
    /// use tasker::{AsyncConfig, AsyncTaskManager, TaskError};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let config = AsyncConfig::<(), String>::new(|| async { Ok(()) }).worker_count(1);
    /// let manager = AsyncTaskManager::new(config).await?;
    /// let running = manager.task(async move |_, _| Ok(std::future::pending::<()>().await)).submit();
    /// let queued = manager.task(async move |_, _| Ok(())).submit();
    /// tokio::task::yield_now().await; // the first one begins
    /// manager.kill().await?;
    /// assert!(matches!(running.await, Err(TaskError::Cancelled)));
    /// assert!(matches!(queued.await, Err(TaskError::Killed)));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ShutdownError::AlreadyKilled`] the second time,
    /// [`ShutdownError::AlreadyStoppingOrKilled`] after a finished stop.
    ///
    /// # Cancel safety
    ///
    /// As [`stop`](Self::stop).
    pub async fn kill(&self) -> Result<ShutdownReport, ShutdownError> {
        let core = self.core();
        core.begin_kill()?;
        if !is_working_for(core.identity()) {
            core.over().await;
        }
        Ok(core.report())
    }

    /// As [`kill`](Self::kill), but what has not ended after `limit` and 100 ms of grace is reported as a
    /// straggler and no longer waited for.
    ///
    /// # Errors
    ///
    /// As [`kill`](Self::kill).
    ///
    /// # Cancel safety
    ///
    /// As [`stop`](Self::stop).
    pub async fn kill_within(&self, limit: Duration) -> Result<ShutdownReport, ShutdownError> {
        let core = self.core();
        core.begin_kill()?;
        if !is_working_for(core.identity()) {
            core.over_within(limit.saturating_add(GRACE)).await;
        }
        Ok(core.report())
    }

    /// Waits until a shutdown has finished, whoever began it: [`stop`](Self::stop) or [`kill`](Self::kill)
    /// elsewhere, or the token of [`AsyncConfig::shutdown_on`]. It does not begin one itself: while nobody
    /// shuts the manager down, it waits.
    ///
    /// Called from inside one of this manager's own tasks, callbacks or hooks it returns at once, as
    /// [`stop`](Self::stop).
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when it is dropped.
    pub async fn join(&self) -> ShutdownReport {
        let core = self.core();
        if !is_working_for(core.identity()) {
            core.over().await;
        }
        core.report()
    }

    /// How many workers, tasks and resources there are right now.
    #[must_use]
    pub fn stats(&self) -> TaskStats {
        self.core().stats()
    }

    /// What the metrics collector has counted and timed.
    #[must_use]
    pub fn metrics(&self) -> TaskMetrics {
        self.core().metrics()
    }

    /// Changes how many workers are always there and how many there may be, while the manager runs; see
    /// [`TaskManager::resize`](crate::TaskManager::resize).
    ///
    /// # Errors
    ///
    /// [`ResizeError`] if the numbers contradict each other or the manager is shutting down. Then nothing
    /// has changed.
    pub fn resize(&self, worker_count: usize, max_worker_count: usize) -> Result<(), ResizeError> {
        self.core().resize(worker_count, max_worker_count)
    }

    /// Holds tasks back: they are accepted and wait, `run_task` included, until [`resume`](Self::resume); see
    /// [`TaskManager::pause`](crate::TaskManager::pause).
    ///
    /// If tasks in its own queue have captured its last clones, a paused manager stays: nobody can resume it.
    pub fn pause(&self) {
        self.core().set_paused(true);
    }

    /// Lets tasks start again after [`pause`](Self::pause).
    pub fn resume(&self) {
        self.core().set_paused(false);
    }

    /// Why there are as many workers as there are, and what the waiting tasks wait for: in words
    /// (`to_string`) and in numbers.
    #[must_use]
    pub fn explain(&self) -> Explanation
    where
        E: fmt::Display,
    {
        self.core().explain()
    }

    /// Where the manager is in its life.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.core().queue.phase()
    }
}

impl<R, E> Clone for AsyncTaskManager<R, E> {
    fn clone(&self) -> Self {
        Self { owner: Arc::clone(&self.owner) }
    }
}

impl<R, E> fmt::Debug for AsyncTaskManager<R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = self.owner.core.queue.phase();
        f.debug_struct("AsyncTaskManager").field("phase", &phase).finish_non_exhaustive()
    }
}
