//! Measures what tasker adds to the work, beside its peers and the primitives that it is built on.
//!
//! `cargo run --release -p tasker-bench -- [WORKLOAD…] [--quick] [--json] [--reps N] [--svg DIR]`; `--help`
//! says more.
//!
//! Every figure is a ratio between things measured in one run: interleaved repetitions, medians, and
//! `min..max` beside them, because machines are shared and noisy.

#![expect(clippy::disallowed_methods, reason = "a bench reads the clock and starts threads")]

mod allocs;
mod args;
mod caller;
mod figures;
mod harness;
mod peers;
mod process;
mod progress;
mod report;
mod stats;
mod work;
mod workloads;

use std::error::Error;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use std::time::Instant;

use crate::args::Args;
use crate::harness::Plan;
use crate::progress::Progress;
use crate::report::Report;

#[global_allocator]
static ALLOCATOR: allocs::Counting = allocs::Counting;

fn main() -> ExitCode {
    match run(&Args::read()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_broken_pipe(&*error) => ExitCode::SUCCESS, // as with `| head`: enough was read
        Err(error) => {
            let _ = writeln!(io::stderr(), "tasker-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let (reps, quick, began) = (args.reps(), args.quick, Instant::now());
    let plan = Plan { reps, quick, began, progress: Progress::default() };
    let mut report = Report::new(args.json, args.svg.as_deref())?;
    for workload in args.workloads() {
        for group in workload.measure(&plan) {
            report.add(&group)?;
        }
    }
    report.end()?;
    Ok(())
}

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}
