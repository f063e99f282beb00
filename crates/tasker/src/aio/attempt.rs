//! One attempt of an async task: polled until it ends, or until it is aborted.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use super::guarded::{Discarded, Guarded};
use super::work::AsyncWork;
use crate::cancel::CancelToken;
use crate::context::TaskContext;
use crate::engine;
use crate::outcome::{Outcome, Panic, TaskError};
use crate::queue::job::Ran;
use crate::worker::settle::{Gone, Settled, Went};

/// What an attempt came to.
pub(crate) enum Attempt<T, E> {
    Ended(Ran<E>, Option<T>),
    /// It was aborted, before it began or in the middle, or came too late to begin.
    Cut(Went),
}

impl<T, E> Attempt<T, E> {
    /// Its future was dropped, as a timeout or a kill has it.
    const ABORTED: Self = Self::Cut(Went::Dropped(Gone::Caller));
    /// The same before it began.
    pub(crate) const NOT_BEGUN: Self = Self::Cut(Went::NotBegun(Gone::Caller));
    /// Its `start_within` had passed before it was polled.
    pub(crate) const LATE: Self = Self::Cut(Went::Late);
}

/// How a task ended, in its caller's words; `ran` is what its last attempt returned, if it returned.
pub(crate) fn ending<E>(
    manager: usize,
    ran: Option<Ran<E>>,
    settled: Settled,
    attempts: u32,
) -> Result<(), TaskError<E>> {
    match (ran, settled) {
        (Some(ran), settled) => engine::ending(manager, ran, settled, attempts),
        (None, Settled::Ends(Outcome::TimedOut)) => Err(TaskError::TimedOut),
        (None, Settled::Ends(Outcome::Expired)) => Err(TaskError::Expired),
        (None, _) => Err(TaskError::Cancelled),
    }
}

/// The progress of an attempt, as whoever drops its future has to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    Waiting,
    Running,
}

/// Runs the closure with the resource. `progress` tells, also after a drop, whether it had begun.
pub(crate) async fn attempt<R, E, K: AsyncWork<R, E>>(
    manager: usize,
    work: &mut Discarded<K>,
    cx: &TaskContext,
    resource: &mut R,
    progress: &mut Progress,
) -> Attempt<K::Output, E> {
    *progress = Progress::Running;
    let mut listening = Listening { token: &cx.token, registered: false };
    let returned = {
        let mut future = pin!(Guarded::on_seat(manager, cx.seat, work.get().attempt(cx, resource)));
        poll_fn(|context| listening.poll(future.as_mut(), context)).await
    };
    match returned {
        Some(Ok(Ok(value))) => Attempt::Ended(Ran::Well, Some(value)),
        Some(Ok(Err(error))) => Attempt::Ended(Ran::Wrong(error), None),
        Some(Err(panic)) => Attempt::Ended(Ran::Panicked(panic), None),
        None => Attempt::ABORTED,
    }
}

/// Listens for an abort while an attempt is pending, and no longer.
struct Listening<'a> {
    token: &'a CancelToken,
    registered: bool,
}

impl Listening<'_> {
    /// `None` once the attempt is to be dropped.
    fn poll<F: Future>(
        &mut self,
        future: Pin<&mut Guarded<F>>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<F::Output, Panic>>> {
        if let Poll::Ready(returned) = future.poll(context) {
            return Poll::Ready(Some(returned));
        }
        self.registered = true;
        match self.token.on_abort(Some(context.waker().clone())) {
            true => Poll::Ready(None),
            false => Poll::Pending,
        }
    }
}

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        if self.registered {
            self.token.on_abort(None);
        }
    }
}
