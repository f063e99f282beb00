//! The builder of one async task: its options, and the endings that send it on its way.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;

use super::Core;
use super::guarded::Discarded;
use super::hold::{Admitted, Hold, LastWord, admit};
use super::slots::Roll;
use super::visit::run_now;
use super::work::AsyncWork;
use crate::completion::Completion;
use crate::error::{RejectReason, Rejected};
use crate::handle::{Answering, TaskHandle};
use crate::outcome::{Panic, TaskError};
use crate::queue::Mode;
use crate::queue::awaited::{Supervisor, Ticketed};
use crate::queue::job::Ticket;
use crate::sync::Mutex;
use crate::task::{Priority, Repeatable, Settings};
use crate::worker::attempt::{discard_for, on_behalf};

/// An async task on its way in: made by [`AsyncTaskManager::task`](super::AsyncTaskManager::task) or
/// [`task_once`](super::AsyncTaskManager::task_once). It does nothing until it is awaited, or one of
/// [`submit`](Self::submit), [`try_submit`](Self::try_submit) and [`on_complete`](Self::on_complete) is called;
/// [`run_now`](Self::run_now) is awaited, too.
///
/// Awaited, it runs inside the future that awaits it: nothing is spawned, the closure may borrow, and
/// dropping the future cancels the task. Submitted, it is spawned in the manager's runtime and must be
/// `Send + 'static`: write `async move |cx, resource| …`.
///
/// ```
/// use std::time::Duration;
/// use tasker::{AsyncConfig, AsyncTaskManager, Priority};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config = AsyncConfig::<Vec<u8>, String>::new(|| async { Ok(vec![1, 2, 3]) }).worker_count(1);
/// let manager = AsyncTaskManager::new(config).await?;
/// let length = manager
///     .task(async |_, bytes| Ok(bytes.len()))
///     .name("length")
///     .priority(Priority::High)
///     .timeout(Duration::from_secs(5))
///     .await?;
/// assert_eq!(length, 3);
/// # manager.stop().await?;
/// # Ok(())
/// # }
/// ```
///
/// # Closures
///
/// Write `async |cx, resource| …`; `|cx, resource| async move { … }`, from before there were async closures, gives
/// a long list of errors.
///
/// | where | the closure |
/// |---|---|
/// | awaited in a future that is not spawned (`main`, a test, an actor's own task) | may borrow, need not be `Send` |
/// | awaited inside `tokio::spawn`, or in a handler of a web framework | `async move`, with owned captures |
/// | the same, of a `once` task or of `run_task` | may borrow what the spawned future owns |
/// | submitted | `async move`, `Send + 'static` |
///
/// The second line is a limit of the compiler (rustc 1.95), which calls a spawned future with a borrowing
/// closure that may run again "not general enough" to be `Send`. Clone what the closure needs, or use
/// [`task_once`](super::AsyncTaskManager::task_once).
///
/// For the same reason a generic function cannot take any `AsyncFnMut` and submit it: the bound that its future
/// is `Send` cannot be written. It can take an `AsyncTask<Fut, K>` with `Fut: Future + Send + 'static`.
///
/// # Cancel safety
///
/// While the task waits, dropping the future gives its place up; a resource that it was about to get goes to
/// the next in line. While it runs, dropping the future drops the closure's own at the await where it
/// stands, and the resource is validated, or replaced where there is no
/// [`validate`](super::AsyncConfig::validate). Either way the report counts it as cancelled. A task that
/// was submitted is not affected by what happens to its handle.
///
/// A future that is neither polled nor dropped, left behind in a `select!` loop for instance, keeps what it
/// has: its place, or its resource. [`timeout`](Self::timeout) and a kill cannot drop it before it is polled.
#[must_use = "a task does nothing until it is awaited or submitted"]
pub struct AsyncTask<Fut, K = Repeatable<()>> {
    entrance: Arc<dyn Entrance>,
    settings: Settings,
    future: Fut,
    kind: PhantomData<fn() -> K>,
}

impl<Fut> AsyncTask<Fut, Repeatable<()>> {
    /// How often this task runs again after an unhealthy error. Default: the manager's
    /// [`max_retries`](super::AsyncConfig::max_retries), because it knows the resource.
    pub fn max_retries(mut self, retries: u32) -> Self {
        self.settings.max_retries = retries;
        self
    }
}

impl<Fut, K> AsyncTask<Fut, K> {
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

    /// Ends an attempt that runs longer than `limit`; each attempt starts anew. Its context is cancelled, and
    /// its future is dropped at the await where it stands, so that nothing after that await runs. Default:
    /// none, because only you know how long is too long.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tasker::{AsyncConfig, AsyncTaskManager, TaskError};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let config = AsyncConfig::<(), String>::new(|| async { Ok(()) }).worker_count(1);
    /// let manager = AsyncTaskManager::new(config).await?;
    /// let never = manager.task(async |_, _| Ok(std::future::pending::<()>().await));
    /// let outcome = never.timeout(Duration::from_millis(5)).await;
    /// assert!(matches!(outcome, Err(TaskError::TimedOut)));
    /// # manager.stop().await?;
    /// # Ok(())
    /// # }
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

impl<Fut, K, T, E> AsyncTask<Fut, K>
where
    Fut: Future<Output = Result<T, TaskError<E>>> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    /// Submits the task and returns at once with a handle to await, or to wait on from a thread. It is accepted
    /// here, and not when it is first polled: its place in the lane is this moment's. A refused task's handle
    /// is finished, with [`TaskError::ShuttingDown`] or [`TaskError::QueueFull`].
    ///
    /// With a full queue and [`Overflow::Wait`](crate::Overflow::Wait) the spawned task waits for room, except inside
    /// a task of the same manager, where it goes above the capacity.
    ///
    /// ```
    /// use tasker::{AsyncConfig, AsyncTaskManager};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let config = AsyncConfig::<u32, String>::new(|| async { Ok(20) }).worker_count(1);
    /// let manager = AsyncTaskManager::new(config).await?;
    /// let handle = manager.task(async move |_, number| Ok(*number + 1)).submit();
    /// assert_eq!(handle.await?, 21);
    /// # manager.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn submit(self) -> TaskHandle<T, E> {
        let Self { entrance, settings, future, .. } = self;
        match entrance.admit(settings, Mode::Wait) {
            Ok(ticket) => spawn_answered(&entrance, ticket, future),
            Err(Refused { reason, ticket, .. }) => {
                discard_for(entrance.manager(), future);
                let answered = Submitted::new(&entrance, ticket);
                answered.answer(Err(reason.into()));
                TaskHandle::new(answered)
            }
        }
    }

    /// As [`submit`](Self::submit), but never waits for room.
    ///
    /// # Errors
    ///
    /// The task itself with the reason, if the manager shuts down or its queue is full.
    ///
    /// ```
    /// use tasker::{AsyncConfig, AsyncTaskManager, RejectReason};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let config = AsyncConfig::<(), String>::new(|| async { Ok(()) }).worker_count(1);
    /// let manager = AsyncTaskManager::new(config).await?;
    /// manager.stop().await?;
    /// let rejected = manager.task_once(async move |_, _| Ok("kept")).try_submit().unwrap_err();
    /// assert_eq!(rejected.reason(), RejectReason::ShuttingDown);
    /// # Ok(())
    /// # }
    /// ```
    pub fn try_submit(self) -> Result<TaskHandle<T, E>, Rejected<Self>> {
        let Self { entrance, settings, future, kind } = self;
        match entrance.admit(settings, Mode::Try) {
            Ok(ticket) => Ok(spawn_answered(&entrance, ticket, future)),
            Err(Refused { reason, settings, .. }) => {
                Err(Rejected { task: Self { entrance, settings, future, kind }, reason })
            }
        }
    }

    /// Submits the task; `callback` is called exactly once with its outcome, in the task that was spawned for it
    /// (here and now if the task is refused). Keep it short, and do not block in it.
    ///
    /// ```
    /// use tasker::{AsyncConfig, AsyncTaskManager};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let config = AsyncConfig::<u32, String>::new(|| async { Ok(6) }).worker_count(1);
    /// let manager = AsyncTaskManager::new(config).await?;
    /// let (send, receive) = tokio::sync::oneshot::channel();
    /// manager.task(async move |_, number| Ok(*number * 7)).on_complete(move |outcome| {
    ///     let _ = send.send(outcome);
    /// });
    /// assert_eq!(receive.await??, 42);
    /// # manager.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_complete(self, callback: impl FnOnce(Result<T, TaskError<E>>) + Send + 'static) {
        let Self { entrance, settings, future, .. } = self;
        let admitted = entrance.admit(settings, Mode::Wait);
        let delivery = Delivery {
            entrance: Arc::clone(&entrance),
            deliver: Some(callback),
            types: PhantomData,
        };
        match admitted {
            Ok(_) => entrance.roll().spawn(Delivered { future: Some(future), delivery }),
            Err(Refused { reason, .. }) => {
                discard_for(entrance.manager(), future);
                { delivery }.deliver(Err(reason.into()));
            }
        }
    }
}

impl<Fut: Future, K> AsyncTask<Fut, K> {
    /// The task as a future that runs it now, ahead of every lane, as
    /// [`run_task`](super::AsyncTaskManager::run_task) does, with the options given: [`timeout`](Self::timeout),
    /// [`start_within`](Self::start_within) and [`name`](Self::name). It has one attempt, whatever
    /// `max_retries` says, and no lane.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tasker::{AsyncConfig, AsyncTaskManager};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let config = AsyncConfig::<u32, String>::new(|| async { Ok(3) }).worker_count(1);
    /// let manager = AsyncTaskManager::new(config).await?;
    /// let ping = manager.task_once(async |_, number| Ok(*number)).timeout(Duration::from_secs(1));
    /// assert_eq!(ping.run_now().await?, 3);
    /// # manager.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`run_task`](super::AsyncTaskManager::run_task); also [`TaskError::TimedOut`] and
    /// [`TaskError::Expired`] where a limit was set.
    ///
    /// # Cancel safety
    ///
    /// As [`run_task`](super::AsyncTaskManager::run_task).
    pub fn run_now(self) -> Fut {
        self.entrance.set(self.settings, true);
        self.future
    }
}

impl<Fut: Future, K> IntoFuture for AsyncTask<Fut, K> {
    type Output = Fut::Output;
    type IntoFuture = Fut;

    /// The task as a future that does all of it, to be awaited. It is accepted when it is first polled.
    fn into_future(self) -> Fut {
        self.entrance.set(self.settings, false);
        self.future
    }
}

impl<Fut, K> fmt::Debug for AsyncTask<Fut, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncTask").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// A task's future and its builder meet here: the one learns what the other was told.
pub(crate) trait Entrance: Send + Sync {
    /// What the future is to be run with; ahead of every lane if it is urgent.
    fn set(&self, settings: Settings, urgent: bool);
    /// Lets the task in before its future is polled.
    fn admit(&self, settings: Settings, mode: Mode) -> Result<Arc<Ticket>, Refused>;
    fn roll(&self) -> &Arc<Roll>;
    fn supervisor(&self) -> Arc<dyn Supervisor>;
    fn manager(&self) -> usize;
    fn panicked(&self, panic: Panic);
    /// What the task had ended with when its future was dropped: a `TaskError<E>` of the manager's `E`.
    fn last_word(&self) -> Option<Box<dyn Any + Send>>;
}

/// A submitted task that was not let in.
pub(crate) struct Refused {
    reason: RejectReason,
    settings: Settings,
    ticket: Arc<Ticket>,
}

/// The cell that they share.
pub(crate) struct Entry<R: Send + 'static, E: Send + 'static> {
    core: Arc<Core<R, E>>,
    may_run_again: bool,
    start: Mutex<Start<R>>,
    last_word: LastWord<E>,
}

enum Start<R> {
    Unset,
    Set(Settings),
    Urgent(Settings),
    Admitted(Settings, Admitted<R>),
}

impl<R: Send + 'static, E: Send + 'static> Entry<R, E> {
    /// The builder of a task whose closure is `work`.
    #[track_caller]
    pub(crate) fn task<W, T, K>(
        core: &Arc<Core<R, E>>,
        work: W,
    ) -> AsyncTask<impl Future<Output = Result<T, TaskError<E>>> + use<R, E, T, W, K>, K>
    where
        W: AsyncWork<R, E, Output = T>,
    {
        let settings = Settings::here(core.max_retries);
        let entry = Arc::new(Self {
            core: Arc::clone(core),
            may_run_again: W::MAY_RUN_AGAIN,
            start: Mutex::new(Start::Unset),
            last_word: Mutex::new(None),
        });
        let entrance = Arc::clone(&entry) as Arc<dyn Entrance>;
        let work = Discarded::new(core.identity(), work);
        let mine = Mine(entry);
        let future = async move {
            let entry = &mine.0;
            match entry.take() {
                Start::Set(settings) => Hold::run_awaited(&entry.core, settings, work).await,
                Start::Urgent(settings) => run_now(&entry.core, settings, work).await,
                Start::Admitted(settings, admitted) => {
                    entry.hold(settings, admitted).run(work, true).await
                }
                Start::Unset => unreachable!("a builder gives its future away with its settings"),
            }
        };
        AsyncTask { entrance, settings, future, kind: PhantomData }
    }

    fn take(&self) -> Start<R> {
        std::mem::replace(&mut *self.start.lock(), Start::Unset)
    }

    fn hold(&self, settings: Settings, admitted: Admitted<R>) -> Hold<'_, R, E> {
        Hold::of_submitted(&self.core, settings, admitted, &self.last_word)
    }
}

/// The future's hold of the cell.
struct Mine<R: Send + 'static, E: Send + 'static>(Arc<Entry<R, E>>);

impl<R: Send + 'static, E: Send + 'static> Drop for Mine<R, E> {
    fn drop(&mut self) {
        if let Start::Admitted(settings, admitted) = self.0.take() {
            drop(self.0.hold(settings, admitted)); // spawned, and never polled
        }
    }
}

impl<R: Send + 'static, E: Send + 'static> Entrance for Entry<R, E> {
    fn set(&self, settings: Settings, urgent: bool) {
        let start = if urgent { Start::Urgent(settings) } else { Start::Set(settings) };
        *self.start.lock() = start;
    }

    fn admit(&self, settings: Settings, mode: Mode) -> Result<Arc<Ticket>, Refused> {
        let now = self.core.clock.now();
        let ticket = Arc::new(Ticket::of_future(settings.clone(), self.may_run_again, now));
        match admit(&self.core, &settings, mode, Some(&ticket)) {
            Ok(admitted) => {
                *self.start.lock() = Start::Admitted(settings, admitted);
                Ok(ticket)
            }
            Err(reason) => Err(Refused { reason, settings, ticket }),
        }
    }

    fn roll(&self) -> &Arc<Roll> {
        &self.core.staff.roll
    }

    fn supervisor(&self) -> Arc<dyn Supervisor> {
        Arc::clone(&self.core) as Arc<dyn Supervisor>
    }

    fn manager(&self) -> usize {
        self.core.identity()
    }

    fn panicked(&self, panic: Panic) {
        self.core.reporter.panicked("a callback", panic);
    }

    fn last_word(&self) -> Option<Box<dyn Any + Send>> {
        let error = self.last_word.lock().take()?;
        Some(Box::new(error))
    }
}

fn spawn_answered<T, E, Fut>(
    entrance: &Arc<dyn Entrance>,
    ticket: Arc<Ticket>,
    future: Fut,
) -> TaskHandle<T, E>
where
    Fut: Future<Output = Result<T, TaskError<E>>> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    let submitted = Submitted::new(entrance, ticket);
    let handle = TaskHandle::new(Arc::clone(&submitted) as Arc<dyn Answering<T, E>>);
    let deliver = Some(move |outcome| submitted.answer(outcome));
    let delivery = Delivery { entrance: Arc::clone(entrance), deliver, types: PhantomData };
    entrance.roll().spawn(Delivered { future: Some(future), delivery });
    handle
}

/// Where a handle finds its task's outcome.
struct Submitted<T, E> {
    ticket: Arc<Ticket>,
    completion: Completion<Result<T, TaskError<E>>>,
    manager: Arc<dyn Supervisor>,
}

impl<T, E> Submitted<T, E> {
    fn new(entrance: &Arc<dyn Entrance>, ticket: Arc<Ticket>) -> Arc<Self> {
        Arc::new(Self { ticket, completion: Completion::new(), manager: entrance.supervisor() })
    }

    fn answer(&self, outcome: Result<T, TaskError<E>>) {
        let first = self.completion.complete(outcome);
        debug_assert!(first.is_ok(), "a task is answered once");
    }
}

impl<T: Send, E: Send> Answering<T, E> for Submitted<T, E> {
    fn completion(&self) -> &Completion<Result<T, TaskError<E>>> {
        &self.completion
    }

    fn manager(&self) -> &Arc<dyn Supervisor> {
        &self.manager
    }
}

impl<T: Send, E: Send> Ticketed for Submitted<T, E> {
    fn ticket(&self) -> &Ticket {
        &self.ticket
    }
}

pin_project! {
    /// A task whose outcome is delivered; never polled, it is dropped before its delivery is. An `async` block would
    /// keep room for it three times.
    struct Delivered<Fut, T, E: 'static, F: FnOnce(Result<T, TaskError<E>>)> {
        #[pin]
        future: Option<Fut>,
        delivery: Delivery<T, E, F>,
    }
}

impl<Fut, T, E, F> Future for Delivered<Fut, T, E, F>
where
    Fut: Future<Output = Result<T, TaskError<E>>>,
    F: FnOnce(Result<T, TaskError<E>>),
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let Some(future) = this.future.as_mut().as_pin_mut() else { return Poll::Ready(()) };
        let outcome = ready!(future.poll(cx));
        this.future.set(None); // what it captured is gone before anybody hears of its end
        this.delivery.deliver(outcome);
        Poll::Ready(())
    }
}

/// Delivers an outcome; dropped before, because its runtime is gone, it delivers `Killed`, or what the task had
/// ended with already.
struct Delivery<T, E: 'static, F: FnOnce(Result<T, TaskError<E>>)> {
    entrance: Arc<dyn Entrance>,
    deliver: Option<F>,
    types: PhantomData<fn(T, E)>,
}

impl<T, E: 'static, F: FnOnce(Result<T, TaskError<E>>)> Delivery<T, E, F> {
    fn deliver(&mut self, outcome: Result<T, TaskError<E>>) {
        if let Some(deliver) = self.deliver.take()
            && let Err(panic) = on_behalf(self.entrance.manager(), || deliver(outcome))
        {
            self.entrance.panicked(panic);
        }
    }
}

impl<T, E: 'static, F: FnOnce(Result<T, TaskError<E>>)> Drop for Delivery<T, E, F> {
    fn drop(&mut self) {
        if self.deliver.is_some() {
            let known = self.entrance.last_word().and_then(|word| word.downcast().ok());
            self.deliver(Err(known.map_or(TaskError::Killed, |error| *error)));
        }
    }
}
