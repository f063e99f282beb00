//! The promises that hold for every kind of manager: each test is written once, and run with threads, on
//! tokio's multi-thread runtime and on its current-thread runtime.
//!
//! What is promised to one kind only, and what costs a kind its own words (a timeout drops an async task, and
//! only tells another to stop), has its tests elsewhere.

#[macro_use] // `job!`
mod jobs; // tasks that are the same code for every kind
#[macro_use] // `on_every_kind!`
mod kinds; // the kinds of manager, and what a test can do with each
pub(crate) mod runtime; // a tokio runtime that runs for as long as a test needs it
mod settings; // what managers are built with
mod watch; // what is done aside, and waited for

mod cap; // 2: a cap is a cap
mod creation; // 3: created once, destroyed once
mod endings; // 1: one ending
mod once; // 5: once means once
mod order; // 4: strict priority, first in, first out within
mod own_errors; // 7: a healthy error is the task's own
mod panics; // 8: panics are contained
mod recovery;
mod retry; // 6: retry // 9: workers come back

mod after_shutdown; // 12: after either
mod cancelling; // 17: cancellation
mod killing; // 11: kill
mod metrics; // 14: what is counted, and when
mod observers; // 15: who observes does not decide; what events tell
mod parents; // 13: the parent token, and the last clone
mod stopping; // 10: stop

// Small print.
mod capacity; // a queue with a limit
mod expiry; // `start_within`
mod handles; // to be waited on, polled and asked
mod reports; // of shutdowns: they add up
mod resizing; // new limits, pauses, and what they hold back
mod resources; // how long they last, and whether they are sound
mod run_task; // a pooled resource, an idle worker's, or a temporary one
mod statistics; // the numbers of one moment
