//! A future of the user's: its panics are caught when it is polled and when it is dropped.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use crate::outcome::Panic;
use crate::worker::attempt::{discard, discard_for, on_behalf};

pin_project! {
    /// Polls a future on behalf of a manager and lets go of it as soon as it has ended.
    pub(crate) struct Guarded<F> {
        #[pin]
        future: Option<F>,
        manager: usize,
    }

    impl<F> PinnedDrop for Guarded<F> {
        fn drop(this: Pin<&mut Self>) {
            this.release();
        }
    }
}

impl<F> Guarded<F> {
    pub(crate) fn new(manager: usize, future: F) -> Self {
        Self { future: Some(future), manager }
    }

    /// Drops the future where it is.
    fn release(self: Pin<&mut Self>) {
        let mut this = self.project();
        if this.future.is_some()
            && let Err(panic) = on_behalf(*this.manager, || this.future.set(None))
        {
            discard(panic);
        }
    }
}

impl<F: Future> Future for Guarded<F> {
    type Output = Result<F::Output, Panic>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.as_mut().project();
        let future = this.future.as_pin_mut().expect("a future that has ended is not polled again");
        let polled = match on_behalf(*this.manager, || future.poll(cx)) {
            Ok(polled) => Ok(ready!(polled)),
            Err(panic) => Err(panic),
        };
        self.release(); // before its result is known to anybody
        Poll::Ready(polled)
    }
}

/// Something of the user's that may panic when it is dropped.
pub(crate) struct Discarded<T> {
    value: Option<T>,
    manager: usize,
}

impl<T> Discarded<T> {
    pub(crate) fn new(manager: usize, value: T) -> Self {
        Self { value: Some(value), manager }
    }

    pub(crate) fn get(&mut self) -> &mut T {
        self.value.as_mut().expect("only `drop` takes it out")
    }
}

impl<T> Drop for Discarded<T> {
    fn drop(&mut self) {
        discard_for(self.manager, self.value.take());
    }
}
