//! How many instructions a hot path may take: the one place where limits stand.
//!
//! Each was measured on 1 December 2026, on two cores of an Intel Xeon, Debian 12 (glibc 2.36), valgrind 3.19,
//! Rust 1.95. Another C library, compiler or processor may need a few more or fewer: memory is copied and locks
//! are taken by code that is chosen for the machine. To renew them run `bash scripts/instructions`, divide `Ir`
//! by the calls, write that down here with the date, and say in the commit what the instructions are spent on.

use std::thread;

use gungraun::{Callgrind, EntryPoint, EventKind, LibraryBenchmarkConfig};

/// What one call took, and how many per cent more it may take.
#[derive(Clone, Copy)]
pub(crate) struct Limit {
    measured: u64,
    slack: u64,
}

/// Paths of one thread repeat to the instruction, or nearly.
const fn measured(instructions: u64) -> Limit {
    Limit { measured: instructions, slack: 5 }
}

pub(crate) const LEND_AND_RETURN: Limit = measured(1_132);
/// It asks first whether it can be handed in without the lock, which pays where that is so.
pub(crate) const SUBMIT: Limit = measured(1_234);
/// Whoever collects lets go, too: the cell says so, and the handle looks.
pub(crate) const COLLECT: Limit = measured(527);
/// A job may be one of an async task, since the feature `tokio` is on here.
pub(crate) const CANCEL: Limit = measured(1_516);
pub(crate) const RECORD: Limit = measured(552);
pub(crate) const AWAIT: Limit = measured(1_768);
/// For two stripes of a collector, which is what up to two cores have.
pub(crate) const METRICS: Limit = measured(398_025);
/// Runs take 3,820 to 4,000. Valgrind chooses who goes on, hence the larger slack.
pub(crate) const SUBMIT_RUN_COLLECT: Limit = Limit { measured: 3_960, slack: 10 };

impl Limit {
    /// For this many calls in the function that is measured, on the thread that calls it.
    pub(crate) fn times(self, calls: u64) -> LibraryBenchmarkConfig {
        self.config(calls, EntryPoint::Default)
    }

    /// For this many calls, whatever thread their instructions are spent on, and whatever else the program does.
    pub(crate) fn times_on_all_threads(self, calls: u64) -> LibraryBenchmarkConfig {
        self.config(calls, EntryPoint::None)
    }

    /// A collector has a stripe for each core, as a power of two from 2 to 8.
    pub(crate) fn for_each_stripe_of_two(self) -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let stripes = cores.next_power_of_two().clamp(2, 8) as u64;
        Self { measured: self.measured * stripes / 2, ..self }
    }

    fn config(self, calls: u64, entry_point: EntryPoint) -> LibraryBenchmarkConfig {
        let at_most = self.measured * calls * (100 + self.slack) / 100;
        let mut callgrind = Callgrind::with_args(["--cache-sim=no"]); // a cache is not what is limited
        callgrind.entry_point(entry_point).hard_limits([(EventKind::Ir, at_most)]);
        let mut config = LibraryBenchmarkConfig::default();
        config.tool(callgrind);
        config
    }
}
