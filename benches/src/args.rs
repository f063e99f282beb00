//! What the command line may say.

use std::path::PathBuf;

use clap::{CommandFactory, FromArgMatches, Parser, ValueEnum};

use crate::peers;
use crate::report::wrapped;
use crate::workloads::Workload;

const MORE: &str = "\
A figure means something beside another one of the same run: machines are shared, and their speed changes
with the hour. So the systems of a table are measured in turn, in each repetition, after a warm-up. A table
shows medians and min..max; its last column is the time that a system takes in relation to tasker's: 2.00 is
twice as long. Below stand the goals of the design, each with its figure.

Results are delivered by every system, and none is lost: that is checked. Waits (p50, p99, max) are measured
in a pass of their own, and so are allocations, because a clock or a counter would cost more than the fastest
systems do; each wait includes one reading of the clock. RSS is that of the whole process: it may have grown
before.

Each repetition of W8 takes long, so that there are three at most, and with --quick one. On a
busy machine --quick measures once what is left after 75 seconds.

With --json, standard output has a line for each repetition, and the tables go to standard error. A figure
that a workload does not have is null. An operation is a task, except in these: W6 a call of metrics() or a
record, W10-cancel a cancellation, A4 a worker that is built, A5 a wake-up. In W10-queued and W10-cancel, n is
how many tasks wait.

What each system does differently:";

const EXIT_CODES: &str = "
Exit codes:
  0  everything was measured, whether goals were reached or not; or nobody reads the output any more
  1  a file could not be written
  2  wrong usage";

/// Measures tasker beside its peers and the primitives it is built on, in one run
#[derive(Debug, Parser)]
#[command(name = "tasker-bench")]
pub(crate) struct Args {
    /// What to measure [default: everything]
    #[arg(value_name = "WORKLOAD", value_enum, ignore_case = true, hide_default_value = true)]
    workloads: Vec<Workload>,

    /// Within two minutes instead of a quarter of an hour: fewer tasks, shorter repetitions
    #[arg(long)]
    pub(crate) quick: bool,

    /// Lines of JSON on standard output, the tables on standard error
    #[arg(long)]
    pub(crate) json: bool,

    /// Interleaved repetitions [default: 7, with --quick 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    reps: Option<u16>,

    /// Draw a chart of each table into this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) svg: Option<PathBuf>,
}

impl Args {
    /// Ends the process with help, or with what is wrong.
    pub(crate) fn read() -> Self {
        let mut more = format!("{MORE}\n");
        for about in peers::ALL {
            more += &wrapped(&about.to_string());
        }
        let command = Self::command().after_long_help(format!("{more}{EXIT_CODES}"));
        Self::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit())
    }

    /// In the order of the design, each once.
    pub(crate) fn workloads(&self) -> Vec<Workload> {
        let all = Workload::value_variants().iter().copied();
        all.filter(|one| self.workloads.is_empty() || self.workloads.contains(one)).collect()
    }

    pub(crate) fn reps(&self) -> usize {
        usize::from(self.reps.unwrap_or(if self.quick { 3 } else { 7 }))
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser, ValueEnum};

    use super::Args;
    use crate::workloads::Workload;

    fn args(words: &[&str]) -> Result<Args, clap::Error> {
        Args::try_parse_from([&["tasker-bench"], words].concat())
    }

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn workloads_are_measured_in_the_order_of_the_design_each_once() {
        let some = args(&["a1", "W2", "w1", "W2"]).unwrap().workloads();
        assert_eq!(some, [Workload::W1, Workload::W2, Workload::A1]);
    }

    #[test]
    fn no_workload_means_all_of_them() {
        assert_eq!(args(&[]).unwrap().workloads(), Workload::value_variants());
    }

    #[test]
    fn an_unknown_workload_is_refused_with_a_list_of_those_there_are() {
        let error = args(&["W11"]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        let text = error.to_string();
        assert!(text.contains("W11") && text.contains("W1, W2, W3"), "{text}");
    }

    #[test]
    fn a_repetition_is_the_least() {
        assert_eq!(args(&["--reps", "0"]).unwrap_err().exit_code(), 2);
        assert_eq!(args(&["--quick"]).unwrap().reps(), 3);
        assert_eq!(args(&["--quick", "--reps", "9"]).unwrap().reps(), 9);
    }
}
