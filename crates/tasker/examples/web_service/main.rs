//! A web service: axum's handlers await tasks that count primes and tasks that use SQLite.
//!
//! `cargo run --release --example web_service`, then Ctrl-C; with `-- --demo` it asks itself. `--help` says
//! more.
//!
//! Two managers work behind one async thread that never blocks. The *counters* compute, one to a core, each
//! with a sieve that it keeps. The *store* remembers what was counted, with a connection for each worker. A
//! request waits for a worker no longer than a second, a full queue is an answer (503) and not a wait, and a
//! task ends when its client goes away.
//!
//! Ctrl-C closes the door first: no new connection, but an answer for every request that is inside. Then the
//! managers stop, and their reports say what became of every task. A second Ctrl-C kills.

mod answer;
mod args;
mod client;
mod demo;
mod fault;
mod primes;
mod service;
mod store;

use std::fmt;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tasker::{BuildError, CancelToken, ShutdownReport, TaskManager};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

use crate::args::Args;
use crate::fault::Fault;
use crate::service::Service;

/// How much longer than its longest task a request may take to end, once the door is closed.
const DRAIN: Duration = Duration::from_secs(5);
/// How long the managers may take for what is left when no request is.
const STOP: Duration = Duration::from_secs(5);
/// How long code may take to notice that it was killed, and its client to read so.
const GRACE: Duration = Duration::from_millis(500);
/// What a shell shows of a process that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(io::stderr(), "web_service: {failure}");
            ExitCode::from(if matches!(failure, Failure::Killed) { INTERRUPTED } else { 1 })
        }
    }
}

/// Why the service did not end as it was meant to.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(
        "cannot make a temporary folder: {0}\nName a place for the database with --database FILE."
    )]
    TemporaryFolder(io::Error),
    #[error(
        "cannot use the database {}: {reason}\n\
         Name a new file in a folder that you may write to with --database FILE.",
        file.display()
    )]
    Database { file: PathBuf, reason: String },
    #[error("cannot start the workers: {0}")]
    Workers(BuildError<Fault>),
    #[error("cannot listen for Ctrl-C: {0}")]
    Signal(ctrlc::Error),
    #[error("cannot start the runtime: {0}")]
    Runtime(io::Error),
    #[error(
        "cannot listen on port {port}: {reason}\nChoose another one with --port, or leave it to the system."
    )]
    Port { port: u16, reason: io::Error },
    #[error("requests were still open when the time to end them was up")]
    Undrained,
    #[error("killed by the second Ctrl-C")]
    Killed,
    #[error("the report of the {0} does not add up")]
    Report(&'static str),
    #[error("the demo failed: {0}")]
    Demo(demo::Broken),
}

/// A line for whoever reads; if nobody does any more (`| head`), the service goes on all the same.
fn say(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Builds and stops the managers, both of which block, around the runtime that must not.
fn run(args: &Args) -> Result<(), Failure> {
    let place = Place::new(args.database.as_deref()).map_err(Failure::TemporaryFolder)?;
    let keeper = store::prepare(&place.file).map_err(|fault| Failure::Database {
        file: place.file.clone(),
        reason: fault.to_string(),
    })?;
    let service = Service::new(args, &place.file).map_err(Failure::Workers)?;
    let signals = Signals::new(&service).map_err(Failure::Signal)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::Runtime)?;

    let served = runtime.block_on(serve(args, &service, &signals));
    // Requests that nobody waits for any more go with the runtime, and their tasks with them.
    drop(runtime);
    let counters = stop("counters", &service.counters);
    let store = stop("store", &service.store);
    drop(keeper);

    if signals.kill.is_cancelled() {
        return Err(Failure::Killed);
    }
    let (tally, counters, _) = (served?, counters?, store?);
    if let Some(tally) = tally {
        tally.compare(&counters).map_err(Failure::Demo)?;
        say(format_args!("\nEvery request was answered, and the reports say the same."));
    }
    Ok(())
}

/// Serves until the first signal, and then until every request has its answer. In a demo it also is the
/// client that sends them, and gives what it has seen.
async fn serve(
    args: &Args,
    service: &Service,
    signals: &Signals,
) -> Result<Option<demo::Tally>, Failure> {
    let port = args.port;
    let bad_port = |reason| Failure::Port { port, reason };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(bad_port)?;
    let address = listener.local_addr().map_err(bad_port)?;
    say(format_args!(
        "Listening on http://{address}. Ctrl-C stops in order, a second one kills.\n\
         \x20 curl 'http://{address}/primes?from=0&to=1000000'"
    ));

    let serving = axum::serve(listener, service::router(service.clone()))
        .with_graceful_shutdown(signals.stop.cancelled());
    let served = async {
        tokio::select! {
            served = serving.into_future() => served.map_err(bad_port),
            () = signals.patience_ends(args.limit + DRAIN) => Err(Failure::Undrained),
        }
    };
    let asked = async {
        if !args.demo {
            return Ok(None);
        }
        let asked = demo::run(address, args, service, &signals.stop).await;
        signals.stop.cancel(); // whatever came of it
        asked.map(Some).map_err(Failure::Demo)
    };
    let (served, asked) = tokio::join!(served, asked);
    served?;
    asked
}

/// Stops a manager, unless that has begun already, and shows its report.
fn stop<R: 'static>(
    name: &'static str,
    manager: &TaskManager<R, Fault>,
) -> Result<ShutdownReport, Failure> {
    // Refused if a kill was faster; then its report is the one.
    let report = manager.stop_within(STOP).unwrap_or_else(|_| manager.join());
    say(format_args!("{name:>8}: {report}"));
    for straggler in &report.stragglers {
        let name = straggler.name.as_deref().unwrap_or("a task");
        say(format_args!("{name:>18} has been running for {:.1?}", straggler.running_for));
    }
    let ended = report.completed + report.failed + report.cancelled + report.dropped;
    let adds_up = report.accepted == ended + report.stragglers.len() as u64;
    let leaked =
        report.stragglers.is_empty() && report.resources_created != report.resources_destroyed;
    if adds_up && !leaked { Ok(report) } else { Err(Failure::Report(name)) }
}

/// What Ctrl-C, and the SIGTERM of whatever runs services, have asked for so far.
struct Signals {
    stop: CancelToken,
    kill: CancelToken,
}

impl Signals {
    /// The managers do not get the token (`shutdown_on`): they would stop at once, and refuse the tasks of
    /// requests that are inside already.
    fn new(service: &Service) -> Result<Self, ctrlc::Error> {
        let signals = Self { stop: CancelToken::new(), kill: CancelToken::new() };
        let (stop, kill) = (signals.stop.clone(), signals.kill.clone());
        let service = service.clone();
        ctrlc::set_handler(move || {
            if !stop.is_cancelled() {
                say(format_args!("\nStopping: requests inside are served, new ones are not."));
                stop.cancel();
            } else if !kill.is_cancelled() {
                say(format_args!("\nKilling what is left."));
                kill.cancel();
                // This thread may block. Both are refused if the managers have stopped by now.
                let _ = service.counters.kill_within(GRACE);
                let _ = service.store.kill_within(GRACE);
            }
        })?;
        Ok(signals)
    }

    /// Ends when the requests inside have had `limit` to end, or soon after a kill.
    ///
    /// Without it a client that sends half a request and then nothing would keep the service for ever.
    async fn patience_ends(&self, limit: Duration) {
        self.stop.cancelled().await;
        if timeout(limit, self.kill.cancelled()).await.is_ok() {
            sleep(GRACE).await;
        }
    }
}

/// Where the database is.
struct Place {
    file: PathBuf,
    /// Removes the database in the end, unless it is to be kept.
    _temporary: Option<TempDir>,
}

impl Place {
    fn new(kept: Option<&Path>) -> io::Result<Self> {
        if let Some(file) = kept {
            return Ok(Self { file: file.to_owned(), _temporary: None });
        }
        // A folder, since SQLite puts more files beside the database.
        let folder = tempfile::Builder::new().prefix("web_service-").tempdir()?;
        Ok(Self { file: folder.path().join("counts.sqlite"), _temporary: Some(folder) })
    }
}
