//! A future of the user's: its panics are caught when it is polled and when it is dropped.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::context::Seat;
use crate::outcome::Panic;
use crate::worker::attempt::{discard, discard_for, on_seat};

pin_project! {
    /// Polls a future on behalf of a manager and lets go of it as soon as it has ended.
    pub(crate) struct Guarded<F> {
        #[pin]
        future: Option<F>,
        manager: usize,
        seat: Seat,
    }

    impl<F> PinnedDrop for Guarded<F> {
        fn drop(this: Pin<&mut Self>) {
            this.release();
        }
    }
}

impl<F> Guarded<F> {
    pub(crate) fn new(manager: usize, future: F) -> Self {
        Self { future: Some(future), manager, seat: Seat::NONE }
    }

    /// Of a task on the resource of the worker of `seat`, if it is a worker's.
    pub(crate) fn on_seat(manager: usize, seat: Seat, future: F) -> Self {
        Self { future: Some(future), manager, seat }
    }

    /// Drops the future where it is.
    fn release(self: Pin<&mut Self>) {
        let mut this = self.project();
        if this.future.is_some()
            && let Err(panic) = on_seat(*this.manager, *this.seat, || this.future.set(None))
        {
            discard(panic);
        }
    }
}

impl<F: Future> Future for Guarded<F> {
    type Output = Result<F::Output, Panic>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.as_mut().project();
        let mut output = None;
        let polled = on_seat(*this.manager, *this.seat, || {
            let future = this.future.as_mut().as_pin_mut();
            let future = future.expect("a future that has ended is not polled again");
            if let Poll::Ready(value) = future.poll(cx) {
                output = Some(value);
                this.future.set(None); // before its result is known to anybody
            }
        });
        match (output, polled) {
            (None, Ok(())) => Poll::Pending,
            (Some(value), Ok(())) => Poll::Ready(Ok(value)),
            (Some(value), Err(panic)) => {
                discard(panic); // of its drop: it had come to its end
                Poll::Ready(Ok(value))
            }
            (None, Err(panic)) => {
                self.release();
                Poll::Ready(Err(panic))
            }
        }
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
        if std::mem::needs_drop::<T>() {
            discard_for(self.manager, self.value.take());
        }
    }
}
