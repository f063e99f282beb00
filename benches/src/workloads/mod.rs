//! The workloads of the design, by name.

mod aio;
mod backlog;
mod blocking;
mod faults;
mod idle;
mod metrics;
mod scale;
mod step;
mod urgent;

use clap::ValueEnum;

use crate::figures::Group;
use crate::harness::Plan;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "UPPER")]
pub(crate) enum Workload {
    /// Blocking round trip of an empty task: 1 caller, 1 worker
    W1,
    /// 64 blocking callers with empty tasks on 2 workers
    W2,
    /// A backlog: 10⁶ empty tasks are handed in, then every result is collected
    W3,
    /// `run_task`, by 1 and 2 callers
    W4,
    /// 64 blocking callers with tasks of 1 µs and 10 µs of CPU on 2 workers
    W5,
    /// What `metrics()` and a record cost, after 10⁷ tasks
    W6,
    /// The wait of an urgent task among 32 callers that keep 2 workers busy
    W7,
    /// A load that steps up and down: how the number of workers follows
    W8,
    /// Faults: one first attempt in ten is unhealthy
    W9,
    /// Scale: 1 to 64 workers, 10³ to 10⁷ queued tasks, cancelling, 10⁴ async workers
    W10,
    /// Awaited round trip of an empty task: 1 caller, 1 async worker
    A1,
    /// 64 awaiting callers with empty tasks on 2 async workers
    A2,
    /// A backlog: 10⁶ empty async tasks are submitted, then every handle is awaited
    A3,
    /// 10,000 idle async workers: their memory and CPU
    A4,
    /// Idle managers: their wake-ups
    A5,
}

impl Workload {
    pub(crate) fn measure(self, plan: &Plan) -> Vec<Group> {
        match self {
            Self::W1 => vec![blocking::round_trip(plan)],
            Self::W2 => vec![blocking::many_callers(plan)],
            Self::W3 => vec![backlog::threads(plan)],
            Self::W4 => vec![blocking::run_task(plan)],
            Self::W5 => blocking::busy(plan),
            Self::W6 => metrics::metrics(plan),
            Self::W7 => vec![urgent::urgent(plan)],
            Self::W8 => vec![step::step(plan)],
            Self::W9 => vec![faults::faults(plan)],
            Self::W10 => scale::scale(plan),
            Self::A1 => vec![aio::round_trip(plan)],
            Self::A2 => vec![aio::many_callers(plan)],
            Self::A3 => vec![backlog::tasks(plan)],
            Self::A4 => vec![idle::workers(plan)],
            Self::A5 => vec![idle::wakeups(plan)],
        }
    }
}
