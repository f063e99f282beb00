//! What an attempt calls: an async closure that may run again, or once.

use crate::context::TaskContext;

/// An async closure in the hands of its task.
///
/// It has no bound on its futures on purpose: whether they are `Send` is seen where the closure is known.
pub(crate) trait AsyncWork<R, E> {
    type Output;
    const MAY_RUN_AGAIN: bool;
    async fn attempt(&mut self, cx: &TaskContext, resource: &mut R) -> Result<Self::Output, E>;
}

pub(crate) struct Repeats<F>(pub(crate) F);

pub(crate) struct RunsOnce<F>(pub(crate) Option<F>);

impl<R, E, T, F> AsyncWork<R, E> for Repeats<F>
where
    F: AsyncFnMut(&TaskContext, &mut R) -> Result<T, E>,
{
    type Output = T;
    const MAY_RUN_AGAIN: bool = true;

    async fn attempt(&mut self, cx: &TaskContext, resource: &mut R) -> Result<T, E> {
        (self.0)(cx, resource).await
    }
}

impl<R, E, T, F> AsyncWork<R, E> for RunsOnce<F>
where
    F: AsyncFnOnce(&TaskContext, &mut R) -> Result<T, E>,
{
    type Output = T;
    const MAY_RUN_AGAIN: bool = false;

    async fn attempt(&mut self, cx: &TaskContext, resource: &mut R) -> Result<T, E> {
        let task = self.0.take().expect("a task that runs once has one attempt");
        task(cx, resource).await
    }
}
