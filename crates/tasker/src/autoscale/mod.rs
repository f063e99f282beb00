//! How many workers there should be: what a policy is shown, what it answers, how much of that is
//! carried out, and a simulator that shows beforehand what comes of it.
//!
//! A manager has at least `worker_count` and at most `max_worker_count` workers. In between a
//! [`ScalingPolicy`] decides, from a [`Load`], and answers with a [`Plan`]: a number and a [`Reason`] that
//! reads as a sentence. Whatever it plans, the manager keeps the limits.
//!
//! | policy | when |
//! |---|---|
//! | [`BreakEven`], the default | a resource costs something to make, and you would rather not choose |
//! | [`Fixed`] | the backend is sized for a number, or every worker is paid for anyway |
//! | [`RateBased`] | you come from the Go library and want its rule, with windows and the cap held |
//! | your own | you know what is coming: a schedule, a forecast, a price by the hour |
//!
//! Before you choose, [`simulate`](fn@simulate) your own trace:
//!
//! ```
//! use std::time::Duration;
//! use tasker::autoscale::simulate::{Setup, Trace};
//! use tasker::autoscale::{BreakEven, RateBased, simulate};
//!
//! let setup = Setup::new(Duration::from_secs(2)).worker_count(2).max_worker_count(32);
//! let trace = Trace::step(1); // or `Trace::from_csv`
//! let ours = simulate(&trace, BreakEven::new(), &setup)?;
//! let theirs = simulate(&trace, RateBased::new(), &setup)?;
//! assert!(ours.cost(20.0) < theirs.cost(20.0) && ours.wait_p99 < theirs.wait_p99);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What happened is told by [`Event::Scaled`](crate::Event::Scaled), and
//! [`TaskManager::explain`](crate::TaskManager::explain) says why there are as many workers as there are and
//! what the waiting tasks wait for.

mod break_even;
mod fixed;
mod limits;
mod load;
mod policy;
mod rate_based;
pub mod simulate;

pub use break_even::BreakEven;
pub use fixed::Fixed;
pub(crate) use limits::{
    Allowance, Headcount, Move, carry_out, is_unneeded, is_worth_watching, pause_between_looks,
};
pub(crate) use load::Gauge;
pub use load::{History, Load};
pub(crate) use policy::Short;
pub use policy::{Plan, Reason, ScalingPolicy};
pub use rate_based::RateBased;
pub use simulate::simulate;
