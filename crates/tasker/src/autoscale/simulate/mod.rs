//! Shows beforehand what comes of a policy: the manager's rules and the policy's own code, in virtual time.
//!
//! [`simulate`] plays a [`Trace`], made up or recorded, to a [`ScalingPolicy`] within the limits of a
//! [`Setup`], and says how long tasks waited and what the workers cost. Hours take milliseconds, and the
//! same trace, policy and setup give the same [`Simulation`], to the last digit.
//!
//! ```
//! use std::time::Duration;
//! use tasker::autoscale::simulate::{Setup, Trace, simulate};
//! use tasker::autoscale::{BreakEven, Fixed};
//!
//! let creation_time = Duration::from_secs(2);
//! let setup = Setup::new(creation_time).worker_count(2).max_worker_count(32);
//! let trace = Trace::step(1); // 1 Erlang, then suddenly 18, then 1 again
//!
//! let break_even = simulate(&trace, BreakEven::new(), &setup)?;
//! let fixed = simulate(&trace, Fixed::new(24), &setup)?;
//!
//! // Nobody can be ready sooner than a creation takes; who waited longest waited about that long.
//! assert!(break_even.wait_p99 <= creation_time);
//! // In the calm it has few workers, so it costs less than a pool that is always large enough.
//! assert!(break_even.cost(20.0) < fixed.cost(20.0));
//! assert_eq!(break_even.cap_violations, 0);
//! # Ok::<(), tasker::autoscale::simulate::SimulateError>(())
//! ```
//!
//! # What is the same
//!
//! The windows that a policy looks at, the moments at which it is asked, what of its plan is carried out,
//! and how many creations may be under way are decided by the code that the manager runs. Tasks are served
//! first in, first out; the worker that was used last is used first, and the coldest is dismissed. A worker
//! whose creation fails tries again after 10 ms, 20 ms and so on up to 30 s, as a real one does.
//!
//! # What is simpler
//!
//! There is one lane. A creation takes the same time each time, whether or not it succeeds. To hand a task
//! over takes no time, and neither does a policy. A task takes as long at its second attempt as it did at
//! its first. A resource that breaks is destroyed at once.
//!
//! # What no policy can do
//!
//! When the load rises without notice, those who come first wait for about as long as a creation takes: no
//! rule that does not know the future waits less without workers to spare. Who must wait less pays for them:
//! with a larger [`worker_count`](crate::Config::worker_count) or with
//! [`min_idle`](crate::Config::min_idle).

mod csv;
mod play;
mod setup;
mod shapes;
mod simulation;
mod trace;

#[cfg(all(test, not(loom)))]
mod acceptance;

pub use csv::CsvError;
pub use setup::{Setup, SimulateError};
pub use simulation::{Sample, Scaling, Simulation};
pub use trace::{Arrival, Trace};

use super::ScalingPolicy;
use crate::clock::real_now;

/// Plays `trace` to `policy`, within the limits of `setup`.
///
/// It begins with [`worker_count`](Setup::worker_count) workers that have their resource and ends when the
/// trace is over and every task has ended. See [the module](self) for an example.
///
/// # Errors
///
/// Settings that contradict each other, a policy that cannot work within them, and a trace that would never
/// end.
///
/// # Panics
///
/// If the policy does. A manager would catch it; here it is to be seen.
pub fn simulate(
    trace: &Trace,
    policy: impl ScalingPolicy,
    setup: &Setup,
) -> Result<Simulation, SimulateError> {
    setup.check(&policy)?;
    trace.check()?;
    // `Instant` has no zero. Only differences count, so that any moment will do.
    Ok(play::play(trace, policy, setup, real_now()))
}
