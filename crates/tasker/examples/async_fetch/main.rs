//! Fetches pages over HTTP from a server that misbehaves: async tasks on connections that are kept.
//!
//! `cargo run --release --example async_fetch`; `--help` says more.
//!
//! A resource is one HTTP/1 connection. The server, which the program starts itself, drops some connections
//! in the middle of a page and answers 503 on others: those are replaced, and the page is fetched again over
//! another one. A 404 is an answer. Beside a bulk of pages run fetches that overtake it, hang, come too late
//! or are given up. In the end everything is counted, and a number that does not add up is an error.

mod args;
mod connection;
mod fetch;
mod journal;
mod pages;
mod report;
mod server;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tasker::{AsyncConfig, AsyncTaskManager, Backoff, BuildError, CancelToken, ShutdownReport};
use tokio::signal;

use crate::args::Args;
use crate::connection::{Connection, FetchError};
use crate::fetch::{Fetched, Manager};
use crate::journal::Journal;
use crate::pages::{MAX_RETRIES, Pages};
use crate::report::Page;
use crate::server::Server;

/// What a shell shows of a process that Ctrl-C ended.
const INTERRUPTED: u8 = 130;
/// Pages for each worker from which on they wait longer than anything urgent.
const CROWD: usize = 20;
/// How many tasks are accepted beyond those that run, and hence are finished after a Ctrl-C.
const WAITING: usize = 100;

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(io::stderr(), "async_fetch: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Why the run did not end as it was meant to.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("cannot start a server on 127.0.0.1: {0}")]
    Server(io::Error),
    #[error("{0}")]
    Build(BuildError<FetchError>),
    #[error("not everything ended as it should:\n  {}", .0.join("\n  "))]
    Wrong(Vec<String>),
    #[error("interrupted")]
    Interrupted,
}

impl Failure {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Build(BuildError::MaxBelowWorkers { .. }) => 2, // as clap does for other arguments
            Self::Interrupted => INTERRUPTED,
            _ => 1,
        }
    }
}

async fn run(args: &Args) -> Result<(), Failure> {
    let pages = Pages { count: args.requests, seed: args.seed };
    let server = Server::start(pages).await.map_err(Failure::Server)?;
    let page = Page::new(args.requests);
    let journal = Journal::new(page.clone(), args.workers());
    let stop = CancelToken::new();

    let address = server.address;
    let config = AsyncConfig::new(move || Connection::open(address))
        .on_destroy(Connection::close)
        .check_health(FetchError::is_healthy)
        .validate(|connection| Box::pin(async { connection.is_ready() }))
        .worker_count(args.workers())
        .max_worker_count(args.max_workers())
        .burst_interval(Duration::from_millis(50))
        .resource_pool_size(1) // one call of run_task at a time
        .queue_capacity(WAITING)
        .max_retries(MAX_RETRIES)
        .retry_backoff(Backoff::exponential(Duration::from_millis(5), Duration::from_millis(100)))
        .observer(journal.clone())
        .shutdown_on(stop.clone());
    let manager = AsyncTaskManager::new(config).await.map_err(Failure::Build)?;
    let signals = tokio::spawn(obey_ctrl_c(manager.clone(), stop.clone(), page.clone()));

    page.line(format_args!("{} pages from http://{address}", args.requests));
    let fetched = fetch::everything(&manager, pages, &page, &stop).await;
    page.bar().finish_and_clear();
    let interrupted = stop.is_cancelled();
    stop.cancel(); // unless Ctrl-C has done so
    let report = manager.join().await;
    signals.abort();

    let metrics = manager.metrics();
    page.fetched(&fetched, &journal);
    page.times(&metrics);
    page.shutdown(&report, fetched.told.refused, &journal);
    let mut wrong = check(&fetched, &report);
    if !interrupted {
        let (retries, condemned) = (metrics.total_tasks_retried, journal.condemned());
        let expected = pages.retries();
        if (retries, condemned) != (expected, expected) {
            wrong.push(format!(
                "{expected} pages in trouble, but {retries} retries on {condemned} new connections"
            ));
        }
        let crowded = args.requests as usize >= CROWD * args.max_workers();
        if crowded && journal.urgent_wait() >= metrics.max_wait_time {
            wrong.push("an urgent fetch did not overtake the pages".to_owned());
        }
    }
    if !server.stop().await {
        wrong.push("a connection is still open".to_owned());
    }
    match wrong.is_empty() {
        false => Err(Failure::Wrong(wrong)),
        true if interrupted => Err(Failure::Interrupted),
        true => Ok(()),
    }
}

/// What does not add up, in words.
fn check(fetched: &Fetched, report: &ShutdownReport) -> Vec<String> {
    let claims = [
        (fetched.told.agrees_with(report), "the report does not say what callers were told"),
        (report.stragglers.is_empty(), "a task has not ended"),
        (report.resources_created == report.resources_destroyed, "a connection was not closed"),
        (report.destroy_errors == 0, "a connection did not close cleanly"),
    ];
    let broken = claims.iter().filter(|(holds, _)| !holds).map(|(_, wrong)| (*wrong).to_owned());
    fetched.wrong.iter().cloned().chain(broken).collect()
}

/// The first Ctrl-C stops the manager, which finishes what it has accepted; the second one kills it.
async fn obey_ctrl_c(manager: Manager, stop: CancelToken, page: Page) -> io::Result<()> {
    signal::ctrl_c().await?;
    page.line(format_args!("  Ctrl-C: finishes what was accepted; once more gives it up"));
    stop.cancel();
    signal::ctrl_c().await?;
    let _ = manager.kill().await; // refused only where everything has ended meanwhile
    Ok(())
}
