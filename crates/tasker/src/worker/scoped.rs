//! Lets the closure of a blocking call borrow from its caller's stack although a worker's thread runs it.
//!
//! # Safety
//!
//! A blocking call must not ask its closure to be `'static`, as `std::thread::scope` does not, but a
//! queue can hold only what is. So the closure's lifetime is erased on its way into the queue. That is
//! sound because of one rule that this file keeps by itself, whatever the rest of the crate does:
//!
//! *[`scoped`] does not return, and does not unwind, before the erased closure has been dropped.*
//!
//! - The closure is owned by exactly one [`Scoped`]. It can be moved, run and dropped, never copied.
//! - `Scoped::drop` drops the closure first and opens the latch afterwards, also when the closure's own
//!   drop panics. Nothing else opens the latch.
//! - [`scoped`] waits for the latch in a guard's `Drop`, so that it waits on every way out. Waiting does
//!   not panic: the lock ignores poison.
//! - A `Scoped` that somebody leaks never opens its latch: the caller then waits for ever, which is a bug
//!   but not unsound. Every `Scoped` serves for one call; none is ever used again for another.

#![expect(unsafe_code, reason = "erases one lifetime; the chapter above says why that is sound")]

use std::sync::Arc;

use super::attempt::discard;
use crate::completion::Completion;
use crate::context::TaskContext;
use crate::task::{Work, sealed};

/// A closure of a blocking call.
type Borrowing<'a, R, E> = Box<dyn FnMut(&TaskContext, &mut R) -> Result<(), E> + Send + 'a>;

/// A closure whose lifetime is erased; see the chapter at the head of the file.
pub(crate) struct Scoped<R, E> {
    task: Option<Borrowing<'static, R, E>>,
    may_run_again: bool,
    gone: Arc<Completion<()>>,
}

/// Calls `body` with the closure in a form that can be queued; returns when the closure is gone.
pub(crate) fn scoped<R, E, T>(
    task: Borrowing<'_, R, E>,
    may_run_again: bool,
    body: impl FnOnce(Scoped<R, E>) -> T,
) -> T {
    struct WaitUntilGone(Arc<Completion<()>>);
    impl Drop for WaitUntilGone {
        fn drop(&mut self) {
            self.0.wait();
        }
    }

    let gone = Arc::new(Completion::new());
    // SAFETY: only the lifetime of the trait object changes. The closure is dropped before this
    // function is left: `wait` below waits for that on every path, and it is made before anyone else
    // can get hold of the closure.
    let task =
        unsafe { std::mem::transmute::<Borrowing<'_, R, E>, Borrowing<'static, R, E>>(task) };
    let wait = WaitUntilGone(Arc::clone(&gone));
    let result = body(Scoped { task: Some(task), may_run_again, gone });
    drop(wait);
    result
}

impl<R, E> Drop for Scoped<R, E> {
    fn drop(&mut self) {
        discard(self.task.take());
        let first = self.gone.complete(());
        debug_assert!(first.is_ok(), "a closure is dropped once");
    }
}

impl<R, E> sealed::Sealed for Scoped<R, E> {}

impl<R, E> Work<R, E> for Scoped<R, E> {
    type Output = ();
    type Closure = ();

    fn attempt(&mut self, cx: &TaskContext, resource: &mut R) -> Result<(), E> {
        let task = self.task.as_mut().expect("only `drop` takes the closure out");
        task(cx, resource)
    }

    fn may_run_again(&self) -> bool {
        self.may_run_again
    }

    fn into_closure(self) -> Option<()> {
        None
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_scoped_call_returns_only_when_its_closure_is_gone() {
        let mut text = String::from("borrowed");
        let task: Borrowing<'_, (), ()> = Box::new(|_, ()| {
            text.push('!');
            Ok(())
        });
        let thread = scoped(task, false, |scoped| {
            #[expect(clippy::disallowed_methods, reason = "stands in for a worker")]
            std::thread::spawn(move || {
                let mut scoped = scoped;
                let context = crate::context::TaskContext::new(
                    crate::task::TaskId(1),
                    1,
                    &crate::task::Settings::here(0),
                    crate::clock::real_now(),
                    crate::cancel::CancelToken::new(),
                    crate::context::Seat::NONE,
                );
                scoped.attempt(&context, &mut ()).unwrap();
            })
        });
        assert_eq!(text, "borrowed!");
        thread.join().unwrap();
    }

    // What is dropped may look at what it borrows until its drop has ended.
    #[test]
    fn a_scoped_call_does_not_return_in_the_middle_of_the_drop() {
        struct Slow<'a>(mpsc::Receiver<()>, &'a AtomicBool);
        impl Drop for Slow<'_> {
            fn drop(&mut self) {
                let _ = self.0.recv_timeout(Duration::from_millis(20)); // time enough to return too early
                self.1.store(true, Ordering::SeqCst);
            }
        }
        let (gone, (returned, returns)) = (AtomicBool::new(false), mpsc::channel());
        let slow = Slow(returns, &gone);
        let task: Borrowing<'_, (), ()> = Box::new(move |_, ()| {
            let _ = &slow;
            Ok(())
        });
        let thread = scoped(task, false, |scoped| {
            #[expect(clippy::disallowed_methods, reason = "stands in for a worker")]
            std::thread::spawn(move || drop(scoped))
        });
        let was_gone = gone.load(Ordering::SeqCst);
        let _ = returned.send(());
        thread.join().unwrap();
        assert!(was_gone);
    }

    #[test]
    fn a_closure_whose_drop_panics_is_gone_all_the_same() {
        struct Angry;
        impl Drop for Angry {
            fn drop(&mut self) {
                panic!("angry");
            }
        }
        let angry = Angry;
        let task: Borrowing<'_, (), ()> = Box::new(move |_, ()| {
            let _ = &angry;
            Ok(())
        });
        scoped(task, false, drop);
    }
}
