//! The builder of one task: its options, and the endings that send it on its way.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::completion::Completion;
use crate::context::TaskContext;
use crate::detached::{Answer, Callback, Detached, Sink};
use crate::engine::{Engine, Unaccepted};
use crate::error::{RejectReason, Rejected};
use crate::handle::TaskHandle;
use crate::logger::Level;
use crate::outcome::TaskError;
use crate::queue::Mode;
use crate::queue::awaited::{Supervisor, Ticketed};
use crate::queue::job::Ticket;
use crate::task::{Priority, Repeatable, Settings, Work};
use crate::worker::attempt::discard;
use crate::worker::scoped::{Scoped, scoped};

/// A task on its way in: made by [`TaskManager::task`](crate::TaskManager::task) or
/// [`task_once`](crate::TaskManager::task_once). It does nothing until one of its endings is called:
/// [`run`](Self::run), [`run_now`](Self::run_now), [`submit`](Self::submit),
/// [`try_submit`](Self::try_submit) or [`on_complete`](Self::on_complete).
///
/// ```
/// use std::time::Duration;
/// use tasker::{Config, Priority, TaskManager};
///
/// let manager = TaskManager::<Vec<u8>, String>::new(Config::new(|| Ok(vec![1, 2, 3])).worker_count(1))?;
/// let sum = manager
///     .task(|_, bytes| Ok(bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>()))
///     .name("sum")
///     .priority(Priority::High)
///     .timeout(Duration::from_secs(5))
///     .run()?;
/// assert_eq!(sum, 6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a task does nothing until it is run or submitted"]
pub struct Task<'m, R, E, K> {
    engine: &'m Arc<Engine<R, E>>,
    work: K,
    settings: Settings,
}

impl<'m, R: 'static, E: Send + 'static, K> Task<'m, R, E, K> {
    #[track_caller]
    pub(crate) fn new(engine: &'m Arc<Engine<R, E>>, work: K) -> Self {
        let settings = Settings::here(engine.max_retries);
        Self { engine, work, settings }
    }
}

impl<R, E, F> Task<'_, R, E, Repeatable<F>> {
    /// How often this task runs again after an unhealthy error. Default: the manager's
    /// [`max_retries`](crate::Config::max_retries), because it knows the resource.
    pub fn max_retries(mut self, retries: u32) -> Self {
        self.settings.max_retries = retries;
        self
    }
}

impl<R, E, K> Task<'_, R, E, K> {
    /// Which lane the task waits in. Default: [`Priority::Normal`].
    pub fn priority(mut self, priority: Priority) -> Self {
        self.settings.priority = priority;
        self
    }

    /// A name for events, logs and reports. Default: none, because a number is enough for a machine.
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.settings.name = Some(name.into().into());
        self
    }

    /// Cancels the context of an attempt that runs longer than `limit`; each attempt starts anew.
    /// Code that does not look at its context runs on. Default: none, because only you know how long is too
    /// long.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tasker::{Config, TaskError, TaskManager};
    ///
    /// let manager = TaskManager::<(), String>::new(Config::new(|| Ok(())).worker_count(1))?;
    /// let slow = manager.task(|cx, _| cx.sleep(Duration::from_secs(60)).map_err(|error| error.to_string()));
    /// assert!(matches!(slow.timeout(Duration::from_millis(5)).run(), Err(TaskError::TimedOut)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.settings.timeout = Some(limit);
        self
    }

    /// The task ends as [`TaskError::Expired`] if its first attempt has not begun within `limit`.
    /// Default: it waits as long as it takes.
    pub fn start_within(mut self, limit: Duration) -> Self {
        self.settings.start_within = Some(limit);
        self
    }
}

impl<R: 'static, E: Send + 'static, K: Work<R, E>> Task<'_, R, E, K> {
    /// Runs the task and blocks until it has ended. The closure may borrow from the caller's stack.
    ///
    /// Where a worker is idle the closure runs on the calling thread with that worker's resource.
    ///
    /// ```
    /// use tasker::{Config, TaskManager};
    ///
    /// let manager = TaskManager::<String, String>::new(Config::new(|| Ok("a".into())).worker_count(1))?;
    /// let mut seen = Vec::new();
    /// manager.task(|_, resource| Ok(seen.push(resource.clone()))).run()?;
    /// assert_eq!(seen, ["a"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// How the task ended, if not with `Ok`; [`TaskError::ShuttingDown`] or [`TaskError::QueueFull`] if
    /// it was not accepted. Inside a task of the same manager also [`TaskError::WouldDeadlock`], if every worker is
    /// held up by such waiting and none can be added: the task is withdrawn.
    ///
    /// # Panics
    ///
    /// A panic of the closure is an error, [`TaskError::Panicked`], not a panic here.
    pub fn run(mut self) -> Result<K::Output, TaskError<E>>
    where
        K: Send,
        K::Output: Send,
    {
        if self.engine.rules.lends {
            return self.engine.run_lent(self.work, &self.settings);
        }
        let again = self.work.may_run_again();
        let result = run_scoped(self.engine, &mut self.work, again, &self.settings, Mode::Wait);
        discard(self.work);
        result.unwrap_or(Err(TaskError::QueueFull))
    }

    /// Runs the task now, ahead of every lane: with a pooled resource, else an idle worker's, else one
    /// that is made for it and destroyed afterwards. It has one attempt. Use it for what is urgent and
    /// short; it does not respect the cap on workers.
    ///
    /// An idle worker's resource that has to be validated first is passed over. While the manager is
    /// [paused](crate::TaskManager::pause) the task waits, ahead of every lane, for a worker.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run); [`TaskError::CreateFailed`] if no resource could be made.
    ///
    /// # Panics
    ///
    /// A panic of the closure is an error, as in [`run`](Self::run).
    pub fn run_now(mut self) -> Result<K::Output, TaskError<E>>
    where
        K: Send,
        K::Output: Send,
    {
        let (engine, settings) = (self.engine, &self.settings);
        if !engine.rules.shelves {
            let result = run_scoped(engine, &mut self.work, false, settings, Mode::Urgent);
            discard(self.work);
            return result.unwrap_or(Err(TaskError::QueueFull));
        }
        engine.run_now(self.work, settings, |mut work| {
            match run_scoped(engine, &mut work, false, settings, Mode::UrgentToIdle) {
                Some(result) => {
                    discard(work);
                    Ok(result)
                }
                None => Err(work),
            }
        })
    }

    /// Submits the task and returns at once with a handle to wait on, from a thread or from async code.
    /// A refused task's handle is finished, with [`TaskError::ShuttingDown`] or [`TaskError::QueueFull`].
    ///
    /// With a full queue and [`Overflow::Wait`](crate::Overflow::Wait) it blocks until there is room, except
    /// inside a task of the same manager. In async code with a
    /// [`queue_capacity`](crate::Config::queue_capacity) use [`try_submit`](Self::try_submit), so that the
    /// runtime's thread does not block.
    pub fn submit(self) -> TaskHandle<K::Output, E>
    where
        K: Send + 'static,
        K::Output: Send + 'static,
    {
        let engine = self.engine;
        let cell = self.into_cell();
        engine.submit_or_answer(&cell, Mode::Wait);
        TaskHandle::new(cell)
    }

    /// As [`submit`](Self::submit), but never blocks.
    ///
    /// # Errors
    ///
    /// The closure itself with the reason, if the manager shuts down or its queue is full.
    ///
    /// ```
    /// use tasker::{Config, RejectReason, TaskManager};
    ///
    /// let manager = TaskManager::<(), String>::new(Config::new(|| Ok(())).worker_count(1))?;
    /// manager.stop()?;
    /// let rejected = manager.task_once(|_, _| Ok("kept")).try_submit().unwrap_err();
    /// assert_eq!(rejected.reason(), RejectReason::ShuttingDown);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_submit(self) -> Result<TaskHandle<K::Output, E>, Rejected<K::Closure>>
    where
        K: Send + 'static,
        K::Output: Send + 'static,
    {
        let engine = self.engine;
        let cell = self.into_cell();
        match engine.submit(&cell, Mode::Try) {
            Ok(()) => Ok(TaskHandle::new(cell)),
            Err(Unaccepted { job, reason }) => {
                job.release();
                let work = cell.take_back().expect("a refused task has not run");
                let task = work.into_closure().expect("a refused task has not run");
                Err(Rejected { task, reason: reason.unwrap_or(RejectReason::QueueFull) })
            }
        }
    }

    /// Submits the task; `callback` is called exactly once with its outcome, on the thread that
    /// finished it (on this one if the task is refused). Keep it short: that thread runs other tasks.
    ///
    /// With a full queue and [`Overflow::Wait`](crate::Overflow::Wait) it blocks until there is room.
    ///
    /// ```
    /// use tasker::{Config, TaskManager};
    ///
    /// let manager = TaskManager::<u32, String>::new(Config::new(|| Ok(6)).worker_count(1))?;
    /// let (send, receive) = std::sync::mpsc::channel();
    /// manager.task(|_, resource| Ok(*resource * 7)).on_complete(move |outcome| {
    ///     let _ = send.send(outcome);
    /// });
    /// assert_eq!(receive.recv()??, 42);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_complete(
        self,
        callback: impl FnOnce(Result<K::Output, TaskError<E>>) + Send + 'static,
    ) where
        K: Send + 'static,
        K::Output: Send + 'static,
    {
        let Self { engine, work, settings } = self;
        let log = Arc::clone(engine);
        let report = Arc::new(move |message: &str| {
            log.reporter.log(Level::Error, format_args!("a callback panicked: {message}"));
        });
        let cell = detached(engine, work, settings, Callback::new(callback, report));
        engine.submit_or_answer(&cell, Mode::Wait);
    }

    /// The task in one allocation with the place where its handle finds the outcome.
    fn into_cell(self) -> Answered<R, E, K>
    where
        K: Send,
        K::Output: Send,
    {
        let Self { engine, work, settings } = self;
        let manager = Arc::clone(engine) as Arc<dyn Supervisor>;
        detached(engine, work, settings, Answer { completion: Completion::new(), manager })
    }
}

type Answered<R, E, K> = Arc<Detached<R, E, K, Answer<<K as Work<R, E>>::Output, E>>>;

fn detached<R: 'static, E: Send + 'static, K, S>(
    engine: &Arc<Engine<R, E>>,
    work: K,
    settings: Settings,
    sink: S,
) -> Arc<Detached<R, E, K, S>>
where
    K: Work<R, E>,
    S: Sink<K::Output, E>,
{
    let ticket = Ticket::new(settings, work.may_run_again(), engine.clock.now());
    Arc::new(Detached::new(engine.identity(), ticket, work, sink))
}

/// Runs a borrowing closure on a worker's thread while the caller waits; `None` if it asked for an idle
/// worker and there was none.
fn run_scoped<R: 'static, E: Send + 'static, K: Work<R, E> + Send>(
    engine: &Arc<Engine<R, E>>,
    work: &mut K,
    may_run_again: bool,
    settings: &Settings,
    mode: Mode,
) -> Option<Result<K::Output, TaskError<E>>>
where
    K::Output: Send,
{
    let mut value = None;
    let task = Box::new(|cx: &TaskContext, resource: &mut R| {
        work.attempt(cx, resource).map(|result| value = Some(result))
    });
    let ended = scoped(task, may_run_again, |scoped| {
        let manager = Arc::clone(engine) as Arc<dyn Supervisor>;
        let answer = Answer { completion: Completion::new(), manager };
        let cell = detached(engine, scoped, settings.clone(), answer);
        match engine.submit(&cell, mode) {
            Ok(()) => Some(wait_for(engine, &cell)),
            Err(Unaccepted { job, reason }) => {
                job.release();
                reason.map(|reason| Err(reason.into()))
            }
        }
    })?;
    Some(ended.map(|()| value.expect("what went well has a value")))
}

/// Waits for the end of a task that borrows from here; from inside a task it may be refused.
fn wait_for<R: 'static, E: Send + 'static>(
    engine: &Arc<Engine<R, E>>,
    cell: &Answered<R, E, Scoped<R, E>>,
) -> Result<(), TaskError<E>> {
    let seats = engine.seats();
    if seats.is_empty() {
        return cell.sink.completion.wait();
    }
    let key = engine.block_scoped(seats, Arc::clone(cell) as Arc<dyn Ticketed>);
    let outcome = cell.sink.completion.wait(); // refused, the task ends with that
    engine.unblock(key);
    outcome
}

impl<R, E, K> fmt::Debug for Task<'_, R, E, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("settings", &self.settings).finish_non_exhaustive()
    }
}
