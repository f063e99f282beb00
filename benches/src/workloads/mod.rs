//! The workloads of the design, by name.

mod aio;
mod backlog;
mod blocking;

use clap::ValueEnum;

use crate::figures::Group;
use crate::harness::Plan;

/// What is measured. The design has them as W1 to W10 and A1 to A5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
#[value(rename_all = "UPPER")]
pub(crate) enum Workload {
    /// Blocking round trip of an empty task: 1 caller, 1 worker
    W1,
    /// 64 blocking callers with empty tasks on 2 workers
    W2,
    /// A backlog: hand in 10⁶ empty tasks, then collect every result, on 2 workers
    W3,
    /// `run_task`, by 1 and 2 callers
    W4,
    /// 64 blocking callers with tasks of 1 µs and 10 µs of CPU on 2 workers
    W5,
    /// Awaited round trip of an empty task: 1 caller, 1 async worker
    A1,
    /// 64 awaiting callers with empty tasks on 2 async workers
    A2,
    /// A backlog: submit 10⁶ empty tasks, then await every handle, on 2 async workers
    A3,
}

impl Workload {
    pub(crate) fn measure(self, plan: &Plan) -> Vec<Group> {
        match self {
            Self::W1 => vec![blocking::round_trip(plan)],
            Self::W2 => vec![blocking::many_callers(plan)],
            Self::W3 => vec![backlog::threads(plan)],
            Self::W4 => vec![blocking::run_task(plan)],
            Self::W5 => blocking::busy(plan),
            Self::A1 => vec![aio::round_trip(plan)],
            Self::A2 => vec![aio::many_callers(plan)],
            Self::A3 => vec![backlog::tasks(plan)],
        }
    }
}
