//! The policies that are compared, by name: those of the library and a few that others use.

use std::time::Duration;

use tasker::autoscale::simulate::{Setup, SimulateError, Simulation, Trace, simulate};
use tasker::autoscale::{BreakEven, Fixed, RateBased};

use crate::peers::{HandOff, QueueFollower, SerialAdder, StableAndPanic};

/// In the order of the table.
pub(crate) const NAMES: [&str; 7] =
    ["break-even", "rate-based", "fixed", "knative", "celery", "hikari", "java"];

/// What `--help` and the table leave to be said of a policy.
pub(crate) fn about(name: &str) -> &'static str {
    match name {
        "break-even" => "BreakEven, the default",
        "rate-based" => "RateBased: arrivals against completions",
        "fixed" => "Fixed, at the maximum",
        "knative" => "as Knative's KPA: concurrency over 60 s, or 6 s in panic",
        "celery" => "as Celery: to the queue and back, once a second",
        "hikari" => "as HikariCP: one after the other, idle for 10 min",
        "java" => "as a hand-off pool of Java: one for each task, idle for 60 s",
        _ => "",
    }
}

/// Plays the trace to the policy of this name.
pub(crate) fn play(
    name: &str,
    trace: &Trace,
    setup: &Setup,
    max: usize,
    price: f64,
) -> Result<Simulation, SimulateError> {
    match name {
        "break-even" => simulate(trace, BreakEven::new().price(price), setup),
        "rate-based" => simulate(trace, RateBased::new(), setup),
        "fixed" => simulate(trace, Fixed::new(max), setup),
        "knative" => simulate(trace, StableAndPanic::default(), setup),
        "celery" => simulate(trace, QueueFollower::default(), setup),
        "hikari" => simulate(trace, SerialAdder { keep_idle: Duration::from_secs(600) }, setup),
        "java" => simulate(trace, HandOff { keep_idle: Duration::from_secs(60) }, setup),
        other => unreachable!("clap knows no policy of the name {other}"),
    }
}
