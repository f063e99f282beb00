//! What only async managers promise: a module for each behaviour; this list is the table of contents.

#![expect(
    clippy::unit_arg,
    reason = "`Ok(work.await)` is how a task says that it has nothing to tell"
)]

mod stage; // managers, valves, futures that are polled by hand, runtimes with a guard against hangs

mod borrowing; // what closures may borrow, and what may be sent where
mod context; // what an async task may ask, and wait for
mod deadlocks; // 16: tasks that await tasks of their own manager
mod dropping; // 1, 3: a future can be dropped at every await
mod hand_over; // 4: nobody is overtaken
mod hard_cases; // what was wrong once, and what held
mod paused_time; // all of a manager's time is its runtime's
pub(crate) mod random; // plays random programs
mod runners; // one seat, many submitted tasks
mod runtimes; // every kind of runtime, and one that goes away
mod stuck; // tasks that run for too long
mod timeouts_and_kills; // 11, 17: what is dropped from outside, and what decides itself
mod urgent; // 6, 17: `run_now`, ahead of every lane, with options
