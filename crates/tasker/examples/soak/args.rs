//! What the command line may say.

use std::time::Duration;

use clap::{Parser, ValueEnum};

/// Most workers and callers: each may be a thread.
const MOST: i64 = 256;

const MORE: &str = "\
Managers come and go, one generation after the other, each with settings drawn from the seed. Callers
hand them tasks by every way in, most of them cheap; a few fail, panic, take long, are cancelled or
forgotten, while workers are resized, paused and robbed of their resources. Each generation ends in a
stop, a kill or the drop of its last clone, and its report is compared with what its callers heard.

A line a second tells the tasks that have ended, their rate, how they ended, the resources created,
destroyed and alive, the resident memory, the threads of the process and the generation at work. The last
lines are the verdict.

Examples, where soak is `cargo run --release --example soak --`:
  soak --tasks 200000 --seconds 20         short, as in CI
  soak --seconds 600 --manager async       ten minutes of async managers
  soak --tasks 100000000                   the long one, about a quarter of an hour
  soak --seed 7                            other settings, another order of events

The seed decides what is done, not how threads interleave: run a failed command more than once.

Exit codes:
  0    everything held
  1    something did not, or nothing moved for a minute; the last lines say what
  2    wrong usage
  130  interrupted: Ctrl-C ends the generation and prints the verdict, a second one gives it up";

/// Runs managers under random load and faults, and checks that nothing is lost
#[derive(Debug, Parser)]
#[command(name = "soak", after_help = MORE)]
pub(crate) struct Args {
    /// End once so many tasks have been handed in
    #[arg(long, value_name = "N", default_value_t = 200_000,
          value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) tasks: u64,

    /// End after S seconds, if that is sooner [default: no limit]
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..))]
    seconds: Option<u64>,

    /// Which managers: on threads, on tokio, or in turn
    #[arg(long, value_enum, default_value_t = Kinds::Both)]
    pub(crate) manager: Kinds,

    /// Most workers that a generation begins with
    #[arg(long, value_name = "N", default_value_t = 4,
          value_parser = clap::value_parser!(u16).range(1..=MOST))]
    pub(crate) workers: u16,

    /// How many threads, or tokio tasks, hand in tasks at the same time
    #[arg(long, value_name = "N", default_value_t = 2,
          value_parser = clap::value_parser!(u16).range(1..=MOST))]
    pub(crate) callers: u16,

    /// Decides about settings, faults and endings
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
}

/// Which managers are soaked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kinds {
    /// `TaskManager`
    Threads,
    /// `AsyncTaskManager`
    Async,
    /// One after the other
    Both,
}

impl Args {
    /// After how long no more tasks are handed in.
    pub(crate) fn time(&self) -> Option<Duration> {
        self.seconds.map(Duration::from_secs)
    }

    /// The command that does the same again.
    pub(crate) fn again(&self) -> String {
        let Self { tasks, seconds, manager, workers, callers, seed } = self;
        let manager = match manager {
            Kinds::Threads => "threads",
            Kinds::Async => "async",
            Kinds::Both => "both",
        };
        let seconds = seconds.map_or_else(String::new, |s| format!(" --seconds {s}"));
        format!(
            "cargo run --release --example soak -- --tasks {tasks}{seconds} --manager {manager} \
             --workers {workers} --callers {callers} --seed {seed}"
        )
    }
}
