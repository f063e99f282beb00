//! The one place where tasks and other code of the user run: panics are caught, and the thread
//! remembers for whom it is working.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::context::{Seat, TaskContext};
use crate::outcome::Panic;
use crate::queue::job::Ran;
use crate::sync::thread_local;
use crate::task::Work;

thread_local! {
    /// Whose user code this thread is in the middle of, outermost first.
    static WORKING_FOR: RefCell<Vec<Frame>> = const { RefCell::new(Vec::new()) };
}

/// Code of the user's that a thread is in the middle of.
#[derive(Debug, Clone, Copy)]
struct Frame {
    manager: usize,
    /// Of the worker whose resource it uses, where it is a task that has one.
    seat: Seat,
}

/// Runs somebody else's code and catches its panic.
pub(crate) fn contain<T>(code: impl FnOnce() -> T) -> Result<T, Panic> {
    // Unwind safety: what the code could have left half done is condemned by the callers (resources)
    // or never looked at again (closures, values).
    catch_unwind(AssertUnwindSafe(code)).map_err(Panic::new)
}

/// Drops something of the user's; a panic in its `drop` goes no further.
pub(crate) fn discard<T>(value: T) {
    // A panic's payload may panic when it is dropped, and so may the payload of that: a second chance is
    // enough, and leaking what is left is the lesser evil.
    if let Err(panic) = contain(|| drop(value))
        && let Err(again) = contain(|| drop(panic))
    {
        std::mem::forget(again);
    }
}

/// As [`contain`], while the thread remembers that it works for `manager`.
pub(crate) fn on_behalf<T>(manager: usize, code: impl FnOnce() -> T) -> Result<T, Panic> {
    within(Frame { manager, seat: Seat::NONE }, code)
}

/// The same for a task on the resource of the worker of `seat`, if it is a worker's.
pub(crate) fn on_seat<T>(manager: usize, seat: Seat, code: impl FnOnce() -> T) -> Result<T, Panic> {
    within(Frame { manager, seat }, code)
}

#[inline]
fn within<T>(frame: Frame, code: impl FnOnce() -> T) -> Result<T, Panic> {
    // While a thread ends, its thread-locals may be gone already: then nothing is remembered.
    let noted = WORKING_FOR.try_with(|stack| stack.borrow_mut().push(frame)).is_ok();
    let result = contain(code);
    if noted {
        let _ = WORKING_FOR.try_with(|stack| stack.borrow_mut().pop());
    }
    result
}

/// As [`discard`], on behalf of `manager`: what is dropped may call it.
pub(crate) fn discard_for<T>(manager: usize, value: T) {
    if let Err(panic) = on_behalf(manager, || drop(value)) {
        discard(panic);
    }
}

/// Whether this thread is in the middle of user code of `manager`.
pub(crate) fn is_working_for(manager: usize) -> bool {
    let ours = |frame: &Frame| frame.manager == manager;
    WORKING_FOR.try_with(|stack| stack.borrow().iter().any(ours)).unwrap_or(false)
}

/// The seats of the tasks of `manager` that this thread is in the middle of.
pub(crate) fn seats_for(manager: usize) -> Vec<usize> {
    let seat = |frame: &Frame| frame.seat.get().filter(|_| frame.manager == manager);
    WORKING_FOR
        .try_with(|stack| stack.borrow().iter().filter_map(seat).collect())
        .unwrap_or_default()
}

/// Runs one attempt of a task.
pub(crate) fn attempt<R, E, K: Work<R, E>>(
    manager: usize,
    work: &mut K,
    cx: &TaskContext,
    resource: &mut R,
) -> (Ran<E>, Option<K::Output>) {
    match within(Frame { manager, seat: cx.seat }, || work.attempt(cx, resource)) {
        Ok(Ok(value)) => (Ran::Well, Some(value)),
        Ok(Err(error)) => (Ran::Wrong(error), None),
        Err(panic) => (Ran::Panicked(panic), None),
    }
}
