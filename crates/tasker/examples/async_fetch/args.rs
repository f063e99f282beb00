//! What the command line may say.

use clap::Parser;

/// Most connections: each takes two file descriptors, and many systems allow a process 1,024.
const MOST_WORKERS: i64 = 256;
/// Most pages: each is a task in memory from the beginning.
const MOST_REQUESTS: i64 = 100_000;

const MORE: &str = "\
The server is started by the program itself, on a free port of 127.0.0.1. Of its pages a few are
missing (404), a few are broken (500), some are answered with 503 or torn off in the middle once or
twice before they are sent as they should be. Which ones depends on --seed alone.

Examples, where async_fetch is `cargo run --release --example async_fetch --`:
  async_fetch                                   400 pages, 2 to 8 connections
  async_fetch --requests 5000                   time for a Ctrl-C, or for two
  async_fetch --workers 1 --max-workers 1       one connection, no bursts
  async_fetch --seed 7                          other pages are in trouble

Exit codes:
  0    everything ended as it should
  1    something did not, and the last lines say what
  2    wrong usage
  130  interrupted: Ctrl-C finishes what was accepted, a second one gives it up";

/// Fetches pages over connections that are kept, from a server that misbehaves
#[derive(Debug, Parser)]
#[command(name = "async_fetch", after_help = MORE)]
pub(crate) struct Args {
    /// How many pages to fetch
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value_t = 400,
          value_parser = clap::value_parser!(u32).range(0..=MOST_REQUESTS))]
    pub(crate) requests: u32,

    /// How many connections are always there
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value_t = 2,
          value_parser = clap::value_parser!(u16).range(1..=MOST_WORKERS))]
    workers: u16,

    /// How many there may be during a burst [default: four for each worker]
    #[arg(long, value_name = "N", allow_negative_numbers = true,
          value_parser = clap::value_parser!(u16).range(1..=MOST_WORKERS))]
    max_workers: Option<u16>,

    /// Decides which pages are in trouble, and how
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value_t = 1)]
    pub(crate) seed: u64,
}

impl Args {
    /// Connections that are always there.
    pub(crate) fn workers(&self) -> usize {
        self.workers.into()
    }

    /// Connections that there may be.
    pub(crate) fn max_workers(&self) -> usize {
        let most = usize::try_from(MOST_WORKERS).unwrap_or(usize::MAX);
        self.max_workers.map_or_else(|| (4 * self.workers()).min(most), usize::from)
    }
}
