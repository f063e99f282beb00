//! What the command line may say.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

const MORE: &str = "\
Routes, all of them plain text:
  GET  /primes?from=0&to=1000000  how many primes there are, remembered for the next time
  POST /primes                    the same for lines such as `0 1000000`, as many as --queue, at low priority
  GET  /history?limit=10          what was counted last
  GET  /health                    200 if both managers answer within a second
  GET  /stats                     how many workers there are, why, and what tasks wait for

Statuses:
  400  the request cannot be understood: the text says what to change
  500  a bug, or a database that is not the service's own
  503  too much to do, or about to stop: try again after so many seconds as Retry-After says
  504  the task took longer than --limit

Examples, where web_service is `cargo run --release --example web_service --`:
  web_service --demo                               asks itself, stops itself, checks both
  web_service --port 8080 --database counts.db     keeps what it has counted
  web_service --workers 1 --queue 2 --limit 60     easily overloaded

Exit codes:
  0    every request was answered
  1    port or database at fault, requests that did not end, or a demo whose claims do not hold
  2    wrong usage
  130  killed by a second Ctrl-C";

/// Counts primes for whoever asks over HTTP, remembers the answers in SQLite, and stops in order
#[derive(Debug, Parser)]
#[command(name = "web_service", after_help = MORE)]
pub(crate) struct Args {
    /// Port to listen on, of this machine only; 0 takes any free one
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub(crate) port: u16,

    /// Keep the answers in FILE [default: a temporary file]
    #[arg(long, value_name = "FILE")]
    pub(crate) database: Option<PathBuf>,

    /// How many counts may run at a time [default: one a core]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(crate) workers: Option<usize>,

    /// How many counts may wait; one more is answered with 503
    #[arg(long, value_name = "N", default_value = "64", value_parser = at_least_one)]
    pub(crate) queue: usize,

    /// How many seconds a count may take
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = seconds)]
    #[arg(allow_negative_numbers = true)] // so that the parser says what is wrong with one
    pub(crate) limit: Duration,

    /// Send a few dozen requests, stop with one of them inside, and check what came of each
    #[arg(long, conflicts_with_all = ["database", "workers", "queue", "limit"])]
    pub(crate) demo: bool,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("say a whole number from 1 on".to_owned()),
        Ok(number) => Ok(number),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds
        .filter(|time| !time.is_zero() && *time <= Duration::from_secs(3600))
        .ok_or_else(|| "say a number of seconds, above 0 and up to 3600, such as 0.5".to_owned())
}
