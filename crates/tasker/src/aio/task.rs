//! The builder of one async task: its options, and the endings that send it on its way.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::Core;
use super::guarded::Discarded;
use super::hold::Hold;
use super::shift::{Shift, run_shift};
use super::slots::Slots;
use super::visit::run_now;
use super::work::AsyncWork;
use crate::completion::Completion;
use crate::detached::{Answer, Sink, is_brief, offer};
use crate::engine::Staff;
use crate::error::{RejectReason, Rejected};
use crate::handle::{Answering, TaskHandle};
use crate::outcome::{Panic, TaskError};
use crate::queue::awaited::{Supervisor, Ticketed};
use crate::queue::job::{Bench, Job, Polled, Ticket};
use crate::queue::{Effects, Mode, Submitted};
use crate::sync::Mutex;
use crate::task::{Priority, Repeatable, Settings};
use crate::worker::attempt::{contain, discard_for, is_working_for, on_behalf};

/// An async task on its way in: made by [`AsyncTaskManager::task`](super::AsyncTaskManager::task) or
/// [`task_once`](super::AsyncTaskManager::task_once). It does nothing until it is awaited, or one of
/// [`submit`](Self::submit), [`try_submit`](Self::try_submit) and [`on_complete`](Self::on_complete) is called;
/// [`run_now`](Self::run_now) is awaited, too.
///
/// Awaited, it runs inside the future that awaits it: nothing is spawned, the closure may borrow, and
/// dropping the future cancels the task. Submitted, it runs in the manager's runtime and must be
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
/// was submitted is not affected by what happens to its handle, unless that is told to
/// [`cancel_on_drop`](crate::TaskHandle::cancel_on_drop).
///
/// A future that is neither polled nor dropped, left behind in a `select!` loop for instance, keeps what it
/// has: its place, or its resource. [`timeout`](Self::timeout) and a kill cannot drop it before it is polled.
#[must_use = "a task does nothing until it is awaited or submitted"]
pub struct AsyncTask<Fut, K = Repeatable<()>> {
    entrance: Arc<dyn Entrance>,
    settings: Settings,
    may_run_again: bool,
    future: Fut,
    asking: Asking<Fut>,
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
    /// is finished, with [`TaskError::ShuttingDown`] or [`TaskError::QueueFull`]. Any thread may submit: the task runs in the
    /// manager's runtime, polled by a task of the manager's own that takes one after the other.
    ///
    /// With a full queue and [`Overflow::Wait`](crate::Overflow::Wait) the task waits for room, and not its submitter; except
    /// inside a task of the same manager, where it goes above the capacity.
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
        let (entrance, cell) = self.into_cell();
        if let Err(reason) = enter(entrance, &cell, Mode::Wait) {
            cell.deliver(Err(reason.into()));
        }
        TaskHandle::new(cell)
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
        let entrance = Arc::clone(&self.entrance);
        let (_, cell) = self.into_cell();
        let Err(reason) = enter(Arc::clone(&entrance), &cell, Mode::Try) else {
            return Ok(TaskHandle::new(cell));
        };
        let Stage::Ready(future) = cell.change(Stage::Delivered) else {
            unreachable!("what was refused waits for its first attempt");
        };
        let Ticket { settings, may_run_again, .. } = &cell.ticket;
        let (settings, may_run_again) = (settings.clone(), *may_run_again);
        let (asking, kind) = (cell.asking, PhantomData);
        let task = Self { entrance, settings, may_run_again, future, asking, kind };
        Err(Rejected { task, reason })
    }

    /// Submits the task; `callback` is called exactly once with its outcome, by whoever ends the task: as a rule in the
    /// manager's runtime, but on the thread that kills the manager or takes the task's place in a full queue, where that
    /// ends it, and here and now if it is refused. Keep it short, and do not block in it: the next task of the same worker
    /// begins after it. A panic in it is caught and logged.
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
        let (callback, entrance) = (Mutex::new(Some(callback)), Arc::clone(&self.entrance));
        let (entrance, cell) = self.into_cell_with(|_| Callback { callback, entrance });
        if let Err(reason) = enter(entrance, &cell, Mode::Wait) {
            cell.deliver(Err(reason.into()));
        }
    }

    /// The task in one allocation with the place where its handle finds the outcome.
    fn into_cell(self) -> Entering<Submission<Fut, T, E, Answer<T, E>>> {
        self.into_cell_with(|entrance| {
            let manager = Arc::clone(entrance) as Arc<dyn Supervisor>;
            Answer { completion: Completion::new(), manager }
        })
    }

    fn into_cell_with<S: Sink<T, E>>(
        self,
        sink: impl FnOnce(&Arc<dyn Entrance>) -> S,
    ) -> Entering<Submission<Fut, T, E, S>> {
        let Self { entrance, settings, may_run_again, future, asking, kind: _ } = self;
        let ticket = Ticket::new(settings, may_run_again, entrance.now());
        let cell = Submission {
            ticket,
            manager: entrance.identity(),
            stage: Mutex::new(Stage::Ready(future)),
            asking,
            sink: sink(&entrance),
            types: PhantomData,
        };
        (entrance, Arc::new(cell))
    }
}

/// A submitted task at the door.
type Entering<C> = (Arc<dyn Entrance>, Arc<C>);

/// Lets a task in.
fn enter<F, T, E, S>(
    entrance: Arc<dyn Entrance>,
    task: &Arc<Submission<F, T, E, S>>,
    mode: Mode,
) -> Result<(), RejectReason>
where
    F: Future<Output = Result<T, TaskError<E>>> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
    S: Sink<T, E> + 'static,
{
    let mut polled = Some(Arc::clone(task) as Arc<dyn Polled<E>>);
    entrance.enter(&task.ticket, &mut polled, mode)
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
        self.into_awaited(true)
    }

    fn into_awaited(mut self, urgent: bool) -> Fut {
        (self.asking)(&mut self.future, Ask::Await(self.settings, urgent));
        self.future
    }
}

impl<Fut: Future, K> IntoFuture for AsyncTask<Fut, K> {
    type Output = Fut::Output;
    type IntoFuture = Fut;

    /// The task as a future that does all of it, to be awaited. It is accepted when it is first polled.
    fn into_future(self) -> Fut {
        self.into_awaited(false)
    }
}

impl<Fut, K> fmt::Debug for AsyncTask<Fut, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncTask").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// The manager of a builder, without its types.
pub(crate) trait Entrance: Supervisor {
    fn now(&self) -> Instant;
    /// Lets a submitted task in. `task` has an `Arc<dyn Polled<E>>` of the manager's `E`.
    fn enter(
        self: Arc<Self>,
        ticket: &Ticket,
        task: &mut dyn Any,
        mode: Mode,
    ) -> Result<(), RejectReason>;
    fn identity(&self) -> usize;
    fn runtime(&self) -> &Handle;
    fn panicked(&self, panic: Panic);
}

impl<R: Send + 'static, E: Send + 'static> Entrance for Core<R, E> {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn enter(
        self: Arc<Self>,
        ticket: &Ticket,
        task: &mut dyn Any,
        mode: Mode,
    ) -> Result<(), RejectReason> {
        let slot = task.downcast_mut::<Option<Arc<dyn Polled<E>>>>();
        let slot = slot.expect("a manager's tasks fail with its errors");
        let task = slot.take().expect("there is a task to let in");
        let sequence = self.reporter.reserve_sequence();
        let accepted = || {
            self.reporter.arrival(ticket.queued_at);
            self.tell_queued(sequence, ticket.id(), &ticket.settings);
        };
        let Err(job) = self.queue.hand_in(Job::polled(task)) else {
            accepted();
            return Ok(());
        };
        // A task that waits for room in its own manager could wait for itself.
        let mode = match mode {
            Mode::Wait if is_working_for(self.reporter.identity()) => Mode::Inside,
            other => other,
        };
        let _present = <Slots<R, E> as Staff<R, E>>::presence(&self); // a task may have to make room
        let mut fx = Effects::new();
        let submitted = self.queue.submit(job, mode, ticket.queued_at, sequence, &mut fx);
        self.perform(fx);
        match submitted {
            Submitted::Accepted => {
                accepted();
                Ok(())
            }
            Submitted::Outside => Ok(()), // it is told of when it has room
            Submitted::Refused(job, reason) => {
                job.release();
                Err(reason)
            }
            Submitted::NobodyIdle(_) => unreachable!("it did not ask for an idle worker"),
        }
    }

    fn identity(&self) -> usize {
        self.reporter.identity()
    }

    fn runtime(&self) -> &Handle {
        self.staff.roll.runtime()
    }

    fn panicked(&self, panic: Panic) {
        self.reporter.panicked("a callback", panic);
    }
}

/// The builder of a task whose closure is `work`.
#[track_caller]
pub(crate) fn builder<R, E, W, T, K>(
    core: &Arc<Core<R, E>>,
    work: W,
) -> AsyncTask<impl Future<Output = Result<T, TaskError<E>>> + use<R, E, T, W, K>, K>
where
    R: Send + 'static,
    E: Send + 'static,
    W: AsyncWork<R, E, Output = T>,
{
    let settings = Settings::here(core.max_retries);
    let recipe = Recipe {
        core: Arc::clone(core),
        work: Some(Discarded::new(core.identity(), work)),
        awaited: None,
        attempt: None,
        back: None,
        await_it: |core: Arc<Core<R, E>>, settings, urgent: bool, work| async move {
            match urgent {
                false => Hold::run_awaited(&core, settings, work).await,
                true => run_now(&core, settings, work).await,
            }
        },
        attempt_it: run_shift,
    };
    recipe.task(settings)
}

/// What a task's future is made of, and the future when there is one: of all of it, where it is awaited, or of one
/// attempt after the other, where it is submitted. While it waits in a lane it is no bigger than its closure and a few
/// pointers.
///
/// Its type parameters are inferred, so that whether it is `Send` is seen where the closure is known.
struct Recipe<R: Send + 'static, E: Send + 'static, W, A, AF, J, JF> {
    core: Arc<Core<R, E>>,
    work: Option<Discarded<W>>,
    awaited: Option<Pin<Box<AF>>>,
    /// The place of the attempt's future, which is used again.
    attempt: Option<Pin<Box<Option<JF>>>>,
    back: Option<Box<Shift<R, E>>>,
    await_it: A,
    attempt_it: J,
}

/// What a recipe is asked to do by those who do not know what it is made of.
enum Ask<'a, F> {
    /// To be pinned.
    Pin,
    /// To be a future that does all of it, ahead of every lane or not.
    Await(Settings, bool),
    /// To make one attempt, with the `Shift` that is given.
    Attempt(&'a mut dyn Any),
    /// To give the `Shift` back.
    GiveBack(&'a mut dyn Any),
    /// To take over the memory of one that has ended.
    Inherit(&'a mut F),
}

/// Asks a recipe, which is pinned where it is.
type Asking<F> = for<'a> fn(&'a mut F, Ask<'_, F>) -> Pin<&'a mut F>;

impl<R, E, W, A, AF, J, JF> Recipe<R, E, W, A, AF, J, JF>
where
    R: Send + 'static,
    E: Send + 'static,
    W: AsyncWork<R, E>,
    A: Fn(Arc<Core<R, E>>, Settings, bool, Discarded<W>) -> AF,
    J: Fn(Box<Shift<R, E>>, Discarded<W>) -> JF,
{
    fn task<K>(self, settings: Settings) -> AsyncTask<Self, K> {
        AsyncTask {
            entrance: Arc::clone(&self.core) as Arc<dyn Entrance>,
            settings,
            may_run_again: W::MAY_RUN_AGAIN,
            future: self,
            asking: Self::asked,
            kind: PhantomData,
        }
    }

    fn asked<'a>(&'a mut self, ask: Ask<'_, Self>) -> Pin<&'a mut Self> {
        match ask {
            Ask::Pin => {}
            Ask::Await(settings, urgent) => {
                let work = self.work.take().expect("a builder is used once");
                let future = (self.await_it)(Arc::clone(&self.core), settings, urgent, work);
                self.awaited = Some(Box::pin(future));
            }
            Ask::Attempt(shift) => {
                let shift = shift.downcast_mut::<Option<Box<Shift<R, E>>>>();
                let shift = shift.and_then(Option::take).expect("an attempt has its shift");
                let work = self.work.take().expect("it is there between the attempts");
                let future = (self.attempt_it)(shift, work);
                self.attempt.get_or_insert_with(|| Box::pin(None)).as_mut().set(Some(future));
            }
            Ask::GiveBack(shift) => {
                if let Some(shift) = shift.downcast_mut::<Option<Box<Shift<R, E>>>>() {
                    *shift = self.back.take();
                }
            }
            Ask::Inherit(old) => {
                self.attempt = self.attempt.take().or_else(|| old.attempt.take());
            }
        }
        Pin::new(self)
    }
}

/// Nothing in it is pinned but what is boxed.
impl<R: Send + 'static, E: Send + 'static, W, A, AF, J, JF> Unpin
    for Recipe<R, E, W, A, AF, J, JF>
{
}

impl<R, E, W, A, AF, J, JF> Future for Recipe<R, E, W, A, AF, J, JF>
where
    R: Send + 'static,
    E: Send + 'static,
    W: AsyncWork<R, E>,
    AF: Future<Output = Result<W::Output, TaskError<E>>>,
    JF: Future<Output = (Box<Shift<R, E>>, Discarded<W>, Option<W::Output>)>,
{
    type Output = Result<W::Output, TaskError<E>>;

    /// Of an attempt it is the value, or that there is none: the shift knows why.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(awaited) = &mut self.awaited {
            return awaited.as_mut().poll(cx);
        }
        let attempt = self.attempt.as_mut().expect("what is polled was asked to be a future");
        let future =
            attempt.as_mut().as_pin_mut().expect("an attempt that has ended is not polled");
        let (shift, work, value) = ready!(future.poll(cx));
        attempt.set(None);
        self.back = Some(shift);
        Poll::Ready(match value {
            Some(value) => {
                drop(work); // before its outcome is known to anybody
                Ok(value)
            }
            None => {
                self.work = Some(work);
                Err(TaskError::Killed)
            }
        })
    }
}

/// A submitted task: ticket, closure, value and caller in one allocation.
struct Submission<F, T, E, S> {
    ticket: Ticket,
    manager: usize,
    stage: Mutex<Stage<F, T>>,
    asking: Asking<F>,
    sink: S,
    types: PhantomData<fn() -> E>,
}

enum Stage<F, T> {
    /// Its recipe waits for its (next) attempt.
    Ready(F),
    /// It is on somebody's bench.
    Running,
    /// The closure is gone and its value waits to be delivered.
    Produced(T),
    /// The outcome is delivered.
    Delivered,
}

impl<F, T, E, S> Submission<F, T, E, S> {
    fn change(&self, stage: Stage<F, T>) -> Stage<F, T> {
        std::mem::replace(&mut *self.stage.lock(), stage)
    }
}

impl<F: Send, T: Send, E, S: Send + Sync> Ticketed for Submission<F, T, E, S> {
    fn ticket(&self) -> &Ticket {
        &self.ticket
    }
}

impl<F, T, E, S> Polled<E> for Submission<F, T, E, S>
where
    F: Future<Output = Result<T, TaskError<E>>> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
    S: Sink<T, E> + 'static,
{
    fn is_brief(&self) -> bool {
        is_brief(&self.sink)
    }

    fn ends_quietly(&self) -> bool {
        S::BRIEF && !std::mem::needs_drop::<F>()
    }

    fn deliver_briefly(&self) -> bool {
        let Stage::Produced(value) = self.change(Stage::Delivered) else {
            unreachable!("it went well and was not told of")
        };
        offer(&self.sink, value).map(|value| self.change(Stage::Produced(value))).is_none()
    }

    fn take_up(self: Arc<Self>, bench: &mut Option<Box<dyn Bench>>) {
        let Stage::Ready(mut future) = self.change(Stage::Running) else {
            unreachable!("a task has one attempt at a time, and none after its end");
        };
        let known = bench.as_mut().and_then(|bench| {
            let bench: &mut dyn Any = &mut **bench;
            bench.downcast_mut::<Place<F, T, E, S>>()
        });
        match known {
            Some(place) => {
                if let Some(old) = &mut place.future {
                    (self.asking)(&mut future, Ask::Inherit(old));
                }
                place.take(self, future);
            }
            None => {
                let mut place = Place { task: None, future: None, begun: false };
                place.take(self, future);
                *bench = Some(Box::new(place));
            }
        }
    }

    fn deliver(&self, ending: Result<(), TaskError<E>>) {
        let outcome = match (self.change(Stage::Delivered), ending) {
            (Stage::Delivered, _) => return,
            (Stage::Produced(value), Ok(())) => Ok(value),
            (Stage::Produced(value), Err(error)) => {
                discard_for(self.manager, value);
                Err(error)
            }
            (Stage::Running, ending) => Err(ending.err().unwrap_or(TaskError::Killed)),
            (Stage::Ready(future), ending) => {
                discard_for(self.manager, future);
                Err(ending.err().unwrap_or(TaskError::Killed))
            }
        };
        self.sink.deliver(outcome);
    }
}

/// A bench for tasks of one type. What is left of the last one lends its memory to the next.
struct Place<F, T, E, S> {
    task: Option<Arc<Submission<F, T, E, S>>>,
    future: Option<F>,
    begun: bool,
}

impl<F, T, E, S> Place<F, T, E, S> {
    fn take(&mut self, task: Arc<Submission<F, T, E, S>>, future: F) {
        (self.task, self.future, self.begun) = (Some(task), Some(future), false);
    }
}

impl<F, T, E, S> Bench for Place<F, T, E, S>
where
    F: Future<Output = Result<T, TaskError<E>>> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
    S: Sink<T, E> + 'static,
{
    fn poll(&mut self, cx: &mut Context<'_>, with: &mut dyn Any) -> Poll<()> {
        let (Some(task), Some(future)) = (&self.task, &mut self.future) else {
            unreachable!("what is polled has taken its place");
        };
        let asking = task.asking;
        if !std::mem::replace(&mut self.begun, true) {
            asking(future, Ask::Attempt(with));
        }
        let outcome = ready!(asking(future, Ask::Pin).poll(cx));
        asking(future, Ask::GiveBack(with));
        let stage = match outcome {
            Ok(value) => Some(Stage::Produced(value)),
            Err(_) => self.future.take().map(Stage::Ready),
        };
        if let (Some(task), Some(stage)) = (self.task.take(), stage) {
            task.change(stage);
        }
        Poll::Ready(())
    }
}

impl<F: Send, T: Send, E: Send> Answering<T, E> for Submission<F, T, E, Answer<T, E>> {
    fn completion(&self) -> &Completion<Result<T, TaskError<E>>> {
        &self.sink.completion
    }

    fn manager(&self) -> &Arc<dyn Supervisor> {
        &self.sink.manager
    }
}

/// Calls back with the outcome.
struct Callback<C> {
    callback: Mutex<Option<C>>,
    entrance: Arc<dyn Entrance>,
}

impl<T, E, C: FnOnce(Result<T, TaskError<E>>) + Send> Sink<T, E> for Callback<C> {
    const BRIEF: bool = false;

    fn deliver(&self, outcome: Result<T, TaskError<E>>) {
        let callback = self.callback.lock().take();
        // It may spawn, whichever thread ends the task. (A thread that is ending cannot enter a runtime any more.)
        let _entered = contain(|| self.entrance.runtime().enter());
        if let Some(callback) = callback
            && let Err(panic) = on_behalf(self.entrance.identity(), || callback(outcome))
        {
            self.entrance.panicked(panic);
        }
    }
}
