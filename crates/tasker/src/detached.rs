//! A submitted task with its types: closure, value and caller in one allocation.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::completion::Completion;
use crate::context::TaskContext;
use crate::outcome::TaskError;
use crate::queue::awaited::{Supervisor, Ticketed};
use crate::queue::job::{Ran, Runnable, Ticket};
use crate::sync::Mutex;
use crate::task::Work;
use crate::worker::attempt::{attempt, contain, discard, discard_for, on_seat};

/// Where a task's outcome goes.
pub(crate) trait Sink<T, E>: Send + Sync {
    /// Whether delivering takes no time worth mentioning: no code of the user's runs.
    const BRIEF: bool;
    /// Called exactly once, unless the outcome came back.
    fn deliver(&self, outcome: Result<T, TaskError<E>>);
    /// As `deliver`, unless nobody wants the outcome any more.
    fn offer(&self, outcome: Result<T, TaskError<E>>) -> Result<(), Result<T, TaskError<E>>> {
        self.deliver(outcome);
        Ok(())
    }
    /// Whether it is known that nobody wants the outcome any more.
    fn is_unwanted(&self) -> bool {
        false
    }
}

/// Offers a value, which comes back if nobody wants it any more and its drop may take its time.
pub(crate) fn offer<T, E, S: Sink<T, E>>(sink: &S, value: T) -> Option<T> {
    match sink.offer(Ok(value)) {
        Err(Ok(value)) if std::mem::needs_drop::<T>() => Some(value),
        _ => None,
    }
}

/// Whether delivering a value, or dropping one that nobody wants, takes no time worth mentioning.
pub(crate) fn is_brief<T, E, S: Sink<T, E>>(sink: &S) -> bool {
    S::BRIEF && !(std::mem::needs_drop::<T>() && sink.is_unwanted())
}

/// A task on its way through the lanes.
pub(crate) struct Detached<R, E, K: Work<R, E>, S> {
    ticket: Ticket,
    manager: usize,
    stage: Mutex<Stage<K, K::Output>>,
    pub(crate) sink: S,
    types: PhantomData<fn(&mut R) -> E>,
}

enum Stage<K, T> {
    /// The closure waits for its (next) attempt.
    Ready(K),
    /// An attempt is under way.
    Running,
    /// The closure is gone and its value waits to be delivered.
    Produced(T),
    /// The outcome is delivered.
    Delivered,
}

impl<R, E, K: Work<R, E>, S> Detached<R, E, K, S> {
    pub(crate) fn new(manager: usize, ticket: Ticket, work: K, sink: S) -> Self {
        Self { ticket, manager, stage: Mutex::new(Stage::Ready(work)), sink, types: PhantomData }
    }

    /// Takes the closure back out of a task that was refused.
    pub(crate) fn take_back(&self) -> Option<K> {
        match self.change(Stage::Delivered) {
            Stage::Ready(work) => Some(work),
            Stage::Running | Stage::Produced(_) | Stage::Delivered => None,
        }
    }

    fn change(&self, stage: Stage<K, K::Output>) -> Stage<K, K::Output> {
        std::mem::replace(&mut *self.stage.lock(), stage)
    }
}

impl<R, E, K, S> Ticketed for Detached<R, E, K, S>
where
    K: Work<R, E> + Send,
    K::Output: Send,
    S: Send + Sync,
{
    fn ticket(&self) -> &Ticket {
        &self.ticket
    }
}

impl<R, E, K, S> Runnable<R, E> for Detached<R, E, K, S>
where
    K: Work<R, E> + Send,
    K::Output: Send,
    S: Sink<K::Output, E>,
{
    fn is_brief(&self) -> bool {
        is_brief(&self.sink)
    }

    fn ends_quietly(&self) -> bool {
        S::BRIEF && !std::mem::needs_drop::<K>()
    }

    fn deliver_briefly(&self) -> bool {
        let Stage::Produced(value) = self.change(Stage::Delivered) else {
            unreachable!("it went well and was not told of")
        };
        offer(&self.sink, value).map(|value| self.change(Stage::Produced(value))).is_none()
    }

    fn attempt(&self, cx: &TaskContext, resource: &mut R) -> Ran<E> {
        let Stage::Ready(mut work) = self.change(Stage::Running) else {
            unreachable!("a task has one attempt at a time, and none after its end");
        };
        let (ran, value) = attempt(self.manager, &mut work, cx, resource);
        match value {
            // The closure goes before the outcome is known to anybody, here and in `deliver`.
            Some(value) => {
                // On behalf of the manager: a drop that stops it must not wait for its own thread.
                // And as a part of its task: what it waits for holds up the same worker.
                if let Err(panic) = on_seat(self.manager, cx.seat, || drop(work)) {
                    discard(panic);
                }
                self.change(Stage::Produced(value));
            }
            None => {
                self.change(Stage::Ready(work));
            }
        }
        ran
    }

    fn deliver(&self, ending: Result<(), TaskError<E>>) {
        let outcome = match (self.change(Stage::Delivered), ending) {
            (Stage::Delivered | Stage::Running, _) => return,
            (Stage::Produced(value), Ok(())) => Ok(value),
            (Stage::Produced(value), Err(error)) => {
                discard_for(self.manager, value);
                Err(error)
            }
            (Stage::Ready(work), ending) => {
                discard_for(self.manager, work);
                Err(ending.err().unwrap_or(TaskError::Killed))
            }
        };
        self.sink.deliver(outcome);
    }
}

/// Keeps the outcome for a handle.
pub(crate) struct Answer<T, E> {
    pub(crate) completion: Completion<Result<T, TaskError<E>>>,
    pub(crate) manager: Arc<dyn Supervisor>,
}

impl<T: Send, E: Send> Sink<T, E> for Answer<T, E> {
    const BRIEF: bool = true;

    fn deliver(&self, outcome: Result<T, TaskError<E>>) {
        if let Err(late) = self.completion.complete(outcome) {
            discard(late);
        }
    }

    fn offer(&self, outcome: Result<T, TaskError<E>>) -> Result<(), Result<T, TaskError<E>>> {
        self.completion.complete(outcome)
    }

    fn is_unwanted(&self) -> bool {
        self.completion.is_closed()
    }
}

/// Calls back with the outcome.
pub(crate) struct Callback<C>(Mutex<Option<C>>, Arc<dyn Fn(&str) + Send + Sync>);

impl<C> Callback<C> {
    /// `report` is told when the callback panics.
    pub(crate) fn new(callback: C, report: Arc<dyn Fn(&str) + Send + Sync>) -> Self {
        Self(Mutex::new(Some(callback)), report)
    }
}

impl<T, E, C> Sink<T, E> for Callback<C>
where
    C: FnOnce(Result<T, TaskError<E>>) + Send,
{
    const BRIEF: bool = false;

    fn deliver(&self, outcome: Result<T, TaskError<E>>) {
        let callback = self.0.lock().take();
        if let Some(callback) = callback
            && let Err(panic) = contain(|| callback(outcome))
        {
            (self.1)(panic.message());
            discard(panic);
        }
    }
}

impl<R, E, K: Work<R, E>, S> fmt::Debug for Detached<R, E, K, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Detached").field("ticket", &self.ticket).finish_non_exhaustive()
    }
}
