//! How many workers there should be: what a policy is shown, what it answers, how much of that is
//! carried out, and a simulator that shows beforehand what comes of it.

mod break_even;
mod limits;
mod load;
mod policy;

pub use break_even::BreakEven;
pub(crate) use limits::{Allowance, Headcount, Move, carry_out, pause_between_looks};
pub(crate) use load::Gauge;
pub use load::{History, Load};
pub(crate) use policy::Short;
pub use policy::{Plan, Reason, ScalingPolicy};
