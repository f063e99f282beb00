//! What the library promises, as tests: a module for each behaviour; this list is the table of contents.
//!
//! Every test says which promise of the README it holds. None of them sleeps to wait for
//! something: they wait for events, open gates, and move a clock by hand.

#![expect(clippy::disallowed_methods, reason = "tests start threads of their own")]

mod support; // gates, a resource kit that fails on order, an observer that remembers

mod building; // building a manager
mod cap; // 2: a cap is a cap
mod creation; // 3: created once, destroyed once
mod deadlocks; // 16: tasks that wait for tasks of their own manager
mod endings; // 1: one ending
mod errors; // 7: a healthy error is the task's own
mod once; // 5: once means once
mod panics; // 8: panics are contained
mod priority; // 4: strict priority, first in, first out within
mod rack; // 18: lending without the lock is known to everybody
mod recovery; // 9: workers come back
mod reference_faults; // what is known to be wrong in the reference
mod retry; // 6: retry

mod after_shutdown; // 12: after either
mod cancelling; // 17: cancellation
mod inbox; // 1, 4, 11, 17: what is handed in without the lock is known to everybody
mod killing; // 11: kill
mod lending; // 18: lending changes nothing but the thread
mod metrics; // 14, 15: metrics are cheap for ever, and who observes does not decide
mod parents; // 13: the parent token, and the last clone
mod stopping; // 10: stop

mod promises; // 1 to 15, 17 and the small print, for every kind of manager: threads, and both of tokio's runtimes

// Small print.
mod capacity; // a queue with a limit
mod events; // their order, and what observers may do
mod expiry; // `start_within`
mod explaining; // why there are so many workers, and what is waited for
mod handles; // to be waited on, polled, asked, or dropped
mod hard_cases; // cases that were wrong once
mod pausing; // tasks are held back, and started again
mod properties; // random programs on both managers
mod reports; // of shutdowns: they add up, with stragglers and without
mod resizing; // new limits for a manager that runs
mod resource_life; // how old resources get, how often they are used, how long they lie idle
mod run_task; // a pooled resource, an idle worker's, or a temporary one
mod scaling; // what policies are asked, what becomes of their plans, and when they are dropped
mod simulation; // of scaling policies: its promises hold for wild plans too
mod stats; // the numbers of one moment
mod stuck; // tasks that run for too long
mod threads; // their names, and that none is left behind
mod types; // what may go where
mod validation; // of resources that were idle, or whose last attempt was cancelled

mod faults; // 1, 2, 3, 9: each fault of the public kit, in a stop, a kill, a burst and a recovery, for every manager

mod aio; // what only async managers promise (feature `tokio`)
