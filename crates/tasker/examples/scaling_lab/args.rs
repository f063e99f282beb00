//! What the command line may say.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use tasker::autoscale::simulate::Trace;

use crate::policies;

const MORE: &str = "\
A trace is made by chance from --seed, or read with --trace-csv: a line for each task with the time at which
it came and the time that it took, in seconds, such as `12.5, 0.2`. A header, blank lines and what follows a
# are left out.

Waits are those of tasks, from when they come until they are begun. The cost is the time for which resources
existed, and --price for each creation, failed ones included.

Examples, where scaling_lab is `cargo run --release --example scaling_lab --`:
  scaling_lab --trace step                               every policy on one trace
  scaling_lab --trace spikes --svg spikes.svg            and a picture of it
  scaling_lab --trace sine --policy break-even --explain each change of the pool with its reason
  scaling_lab --trace-csv recorded.csv --creation 0.05   your own trace, resources that take 50 ms
  scaling_lab --trace step --policy break-even --price 5 creations that cost little
  scaling_lab --acceptance                               the table that the default policy is held to

Exit codes:
  0  the table was printed
  1  a file could not be written, or the default policy is beyond the table of --acceptance
  2  wrong usage, a broken trace, or settings that contradict each other";

/// Compares scaling policies on a trace, in virtual time
#[derive(Debug, Parser)]
#[command(name = "scaling_lab", after_help = MORE)]
pub(crate) struct Args {
    /// A trace by name
    #[arg(long, value_name = "NAME", value_parser = Trace::NAMES, default_value = "step")]
    pub(crate) trace: String,

    /// A recorded trace instead: `time, service time` in seconds
    #[arg(long, value_name = "FILE", conflicts_with = "trace")]
    pub(crate) trace_csv: Option<PathBuf>,

    /// Only this policy [default: all of them]
    #[arg(long, value_name = "NAME", value_parser = policies::NAMES)]
    pub(crate) policy: Option<String>,

    /// Workers that are always there
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(crate) min: usize,

    /// How many workers there may be
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub(crate) max: usize,

    /// How long a resource takes to make
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "2")]
    #[arg(allow_negative_numbers = true)] // so that the parser says what is wrong with one
    pub(crate) creation: Duration,

    /// What a creation costs, in resource-seconds [default: 10 times --creation]
    #[arg(long, value_name = "SECONDS", value_parser = price, allow_negative_numbers = true)]
    pub(crate) price: Option<f64>,

    /// Where chance begins
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,

    /// Draw demand, workers, queue and waits over time into FILE
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,

    /// Print each change of the pool with its reason; needs --policy
    #[arg(long, requires = "policy")]
    pub(crate) explain: bool,

    /// Print the acceptance table: four traces, three seeds, every policy
    #[arg(
        long,
        conflicts_with_all = ["trace", "trace_csv", "policy", "min", "max", "creation", "price"],
        conflicts_with_all = ["seed", "svg"]
    )]
    pub(crate) acceptance: bool,
}

impl Args {
    /// What a creation costs: as said, or what the default policy takes it to be.
    pub(crate) fn price(&self) -> f64 {
        self.price.unwrap_or(10.0 * self.creation.as_secs_f64())
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 =
        text.parse().map_err(|_| "say a number of seconds, such as 0.05".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| "say a number of seconds from 0 on".to_owned())
}

fn price(text: &str) -> Result<f64, String> {
    let price: f64 = text.parse().map_err(|_| "say a number, such as 20".to_owned())?;
    if price.is_finite() && price >= 0.0 {
        Ok(price)
    } else {
        Err("say a number from 0 on".to_owned())
    }
}
