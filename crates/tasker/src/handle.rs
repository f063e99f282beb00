//! Where a caller waits for a submitted task: blocking, or as a future.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use crate::completion::Completion;
use crate::detached::{Answer, Detached};
use crate::outcome::TaskError;
use crate::queue::awaited::{Supervisor, Ticketed};
use crate::queue::job::Place;
use crate::sync::{Thread, Waiter, park};
use crate::task::{TaskId, Work};

/// Waits for one submitted task, from a thread or from async code. Dropping it detaches: the task runs
/// all the same and its result is dropped.
///
/// ```
/// use tasker::{Config, TaskManager};
///
/// let manager = TaskManager::<u32, String>::new(Config::new(|| Ok(20)).worker_count(1))?;
/// let handle = manager.task(|_, resource| Ok(*resource + 1)).submit();
/// assert_eq!(handle.wait()?, 21);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// In async code a handle is awaited, whichever manager it comes from; on a runtime's thread
/// [`wait`](Self::wait) would block everything else that runs there.
///
/// # Cancel safety
///
/// The handle is a future that owns nothing but the place where the outcome arrives: dropping it loses
/// the outcome, never the task.
#[must_use = "dropping a handle detaches its task; to do so on purpose, `drop` it"]
pub struct TaskHandle<T, E> {
    cell: Arc<dyn Answering<T, E>>,
    /// It is awaited in the middle of a task of the same manager.
    blocked: Option<u32>,
}

/// How far a task is.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskStatus {
    /// It waits for a worker, for room, or for its retry.
    Queued,
    /// It runs for the `attempt`-th time, counted from 1.
    Running {
        /// Which attempt.
        attempt: u32,
    },
    /// Its outcome is known.
    Finished,
}

/// What a handle needs of its task.
pub(crate) trait Answering<T, E>: Ticketed {
    fn completion(&self) -> &Completion<Result<T, TaskError<E>>>;
    fn manager(&self) -> &Arc<dyn Supervisor>;
}

impl<R, E, K> Answering<K::Output, E> for Detached<R, E, K, Answer<K::Output, E>>
where
    K: Work<R, E> + Send,
    K::Output: Send,
    E: Send,
{
    fn completion(&self) -> &Completion<Result<K::Output, TaskError<E>>> {
        &self.sink.completion
    }

    fn manager(&self) -> &Arc<dyn Supervisor> {
        &self.sink.manager
    }
}

impl<T, E> TaskHandle<T, E> {
    pub(crate) fn new(cell: Arc<dyn Answering<T, E>>) -> Self {
        Self { cell, blocked: None }
    }

    /// The task's number.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.cell.ticket().id()
    }

    /// Whether the outcome is known, so that waiting returns at once.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.cell.completion().is_complete()
    }

    /// How far the task is. A look at a moving thing: it may have moved on already.
    ///
    /// ```
    /// use tasker::{Config, TaskManager, TaskStatus};
    ///
    /// let manager = TaskManager::<(), String>::new(Config::new(|| Ok(())).worker_count(1))?;
    /// let (started, seen) = std::sync::mpsc::channel();
    /// let handle = manager.task_once(move |cx, _| {
    ///     let _ = started.send(());
    ///     Ok(cx.token().wait())
    /// }).submit();
    /// seen.recv()?;
    /// assert_eq!(handle.status(), TaskStatus::Running { attempt: 1 });
    /// handle.cancel();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn status(&self) -> TaskStatus {
        if self.is_finished() {
            return TaskStatus::Finished;
        }
        let ticket = self.cell.ticket();
        match ticket.place() {
            Place::Running(_) => TaskStatus::Running { attempt: ticket.attempt().max(1) },
            _ => TaskStatus::Queued,
        }
    }

    /// Cancels the task. A queued one ends as [`TaskError::Cancelled`] without running, in constant
    /// time; a running one finds its context cancelled and decides itself: an `Ok` that it still
    /// returns is delivered, an `Err` becomes `Cancelled`. A finished one stays as it is.
    ///
    /// ```
    /// use tasker::{Config, TaskError, TaskManager};
    ///
    /// let manager = TaskManager::<(), String>::new(Config::new(|| Ok(())).worker_count(1))?;
    /// let (open, gate) = std::sync::mpsc::channel::<()>();
    /// let busy = manager.task_once(move |_, _| Ok(gate.recv().is_ok())).submit();
    /// let queued = manager.task(|_, _| Ok(())).submit();
    /// queued.cancel();
    /// assert!(matches!(queued.wait(), Err(TaskError::Cancelled)));
    /// open.send(())?;
    /// assert!(busy.wait()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cancel(&self) {
        self.cell.manager().cancel(self.cell.ticket());
    }

    /// Blocks until the task has ended.
    ///
    /// # Errors
    ///
    /// How the task ended, if not with `Ok`. Inside a task of the same manager also
    /// [`TaskError::WouldDeadlock`], if every worker is held up by such waiting and none can be added: the task
    /// stays where it is, without a handle. With [`wait_timeout`](Self::wait_timeout) that does not happen.
    ///
    /// # Panics
    ///
    /// If the outcome was already taken by polling the handle.
    pub fn wait(self) -> Result<T, TaskError<E>> {
        let completion = self.cell.completion();
        let seats = self.cell.manager().seats();
        if seats.is_empty() || completion.is_complete() {
            return completion.wait();
        }
        self.wait_inside(seats)
    }

    /// Waits in the middle of tasks of the same manager.
    fn wait_inside(self, seats: Vec<usize>) -> Result<T, TaskError<E>> {
        let mut wait = Wait { manager: self.cell.manager(), key: None };
        let waker = Waker::from(Arc::new(Unpark(Thread::current())));
        let mut parks = false;
        loop {
            if let Poll::Ready(outcome) = self.cell.completion().poll(&waker) {
                return outcome;
            }
            let task = Arc::clone(&self.cell) as Arc<dyn Ticketed>;
            wait.key = wait.manager.block(wait.key, seats.clone(), task, Waiter::me());
            if wait.key.is_none() {
                return Err(TaskError::WouldDeadlock);
            }
            // Not before the second look: the first may have dropped somebody's waker, whose code can use up
            // this thread's wake-up.
            if std::mem::replace(&mut parks, true) {
                park();
            }
        }
    }

    /// Blocks until the task has ended or `limit` has passed.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tasker::{Config, TaskManager};
    ///
    /// let manager = TaskManager::<(), String>::new(Config::new(|| Ok(())).worker_count(1))?;
    /// let (open, gate) = std::sync::mpsc::channel::<()>();
    /// let handle = manager.task_once(move |_, _| Ok(gate.recv().is_ok())).submit();
    /// let handle = handle.wait_timeout(Duration::from_millis(1)).expect_err("it waits for the gate");
    /// open.send(())?;
    /// assert!(handle.wait()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The handle itself, if the task has not ended by then; it runs on.
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_timeout(self, limit: Duration) -> Result<Result<T, TaskError<E>>, Self> {
        self.cell.completion().wait_timeout(limit).ok_or(self)
    }
}

impl<T, E> TaskHandle<T, E> {
    /// The handle as one whose drop cancels the task instead of detaching it: for a task that is of no use when
    /// nobody waits for it any more, as in a web handler whose client may go away.
    ///
    /// ```
    /// use tasker::{Config, Outcome, TaskManager};
    ///
    /// let manager = TaskManager::<(), String>::new(Config::new(|| Ok(())).worker_count(1))?;
    /// let forgotten = manager.task_once(|cx, _| {
    ///     cx.token().wait(); // runs until it is told to stop
    ///     Err::<(), _>("told to stop".to_owned())
    /// });
    /// drop(forgotten.submit().cancel_on_drop());
    /// assert_eq!(manager.stop()?.cancelled, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cancel_on_drop(self) -> CancelOnDrop<T, E> {
        CancelOnDrop { handle: Some(self) }
    }
}

impl<T, E> Future for TaskHandle<T, E> {
    type Output = Result<T, TaskError<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = self.cell.completion().poll(cx.waker());
        if polled.is_ready() {
            self.unblock();
            return polled;
        }
        if !self.cell.manager().is_held_up_by_awaiting() {
            return Poll::Pending;
        }
        let seats = self.cell.manager().seats();
        if seats.is_empty() {
            self.unblock(); // it is polled elsewhere now
            return Poll::Pending;
        }
        let task = Arc::clone(&self.cell) as Arc<dyn Ticketed>;
        let waiter = Waiter::Waker(cx.waker().clone());
        self.blocked = self.cell.manager().block(self.blocked, seats, task, waiter);
        match self.blocked {
            Some(_) => Poll::Pending,
            None => Poll::Ready(Err(TaskError::WouldDeadlock)),
        }
    }
}

impl<T, E> TaskHandle<T, E> {
    fn unblock(&mut self) {
        if let Some(key) = self.blocked.take() {
            self.cell.manager().unblock(key);
        }
    }
}

impl<T, E> Drop for TaskHandle<T, E> {
    fn drop(&mut self) {
        self.unblock();
        self.cell.completion().let_go();
    }
}

/// A thread waits in the middle of a task; it does so no longer when this is dropped.
struct Wait<'a> {
    manager: &'a Arc<dyn Supervisor>,
    key: Option<u32>,
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.manager.unblock(key);
        }
    }
}

/// Wakes a thread as a waker does.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl<T, E> fmt::Debug for TaskHandle<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskHandle")
            .field("id", &self.id())
            .field("status", &self.status())
            .finish()
    }
}

/// A [`TaskHandle`] that cancels its task when it is dropped before the task has ended; made by
/// [`TaskHandle::cancel_on_drop`].
///
/// # Cancel safety
///
/// Dropping it is the point: the task is cancelled as by [`TaskHandle::cancel`]. A queued one does not run, a
/// running one is asked to stop.
#[must_use = "dropping it cancels the task"]
pub struct CancelOnDrop<T, E> {
    handle: Option<TaskHandle<T, E>>,
}

impl<T, E> CancelOnDrop<T, E> {
    /// The plain handle again, whose drop detaches.
    ///
    /// # Panics
    ///
    /// Never: it has its handle until it is dropped.
    pub fn into_handle(mut self) -> TaskHandle<T, E> {
        self.handle.take().expect("only this and `drop` take it out")
    }
}

impl<T, E> Future for CancelOnDrop<T, E> {
    type Output = Result<T, TaskError<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let handle = self.handle.as_mut().expect("it has its handle until it is dropped");
        Pin::new(handle).poll(cx)
    }
}

impl<T, E> Drop for CancelOnDrop<T, E> {
    fn drop(&mut self) {
        if let Some(handle) = &self.handle {
            handle.cancel(); // a task that has ended stays as it is
        }
    }
}

impl<T, E> fmt::Debug for CancelOnDrop<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CancelOnDrop").field(&self.handle).finish()
    }
}
