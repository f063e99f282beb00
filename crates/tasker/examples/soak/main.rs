//! Runs managers under random load and faults for as long as wanted, and checks that nothing is lost.
//!
//! `cargo run --release --example soak -- --tasks 200000 --seconds 20`; `--help` says more, and
//! `docs/design/soak.md` has what came of the long runs.
//!
//! A run is a row of *generations*, each with a manager of its own: settings, load, faults and ending are a
//! function of the seed and the generation's number (`plan`). Callers hand in tasks and count what they
//! hear (`threads`, `aio`, `deed`), resources count themselves (`stock`), somebody meddles (`meddle`), and
//! in the end the manager's report has to tell the same (`judge`).

mod aio;
mod args;
mod board;
mod clock;
mod deed;
mod gauge;
mod judge;
mod ledger;
mod meddle;
mod plan;
mod report;
mod stock;
mod threads;
mod watch;

use std::io::{self, Write};
use std::panic;
use std::process::{self, ExitCode};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use clap::Parser;

use crate::args::Args;
use crate::board::Board;
use crate::clock::{nap, now};
use crate::gauge::Memory;
use crate::judge::judge;
use crate::ledger::{Count, Ledger, Rule};
use crate::plan::{LOOK, Lived, Plan};
use crate::report::Summary;

/// How long threads may take to end once their manager is over: no time, unless the machine is very busy.
const LEAVING: Duration = Duration::from_secs(20);
/// What a shell shows of a process that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let args = Args::parse();
    let board = Arc::new(Board::default());
    let listener = Arc::clone(&board);
    let listening = ctrlc::set_handler(move || {
        if !listener.interrupt() {
            process::exit(INTERRUPTED.into());
        }
    });
    if let Err(error) = listening {
        let _ = writeln!(io::stderr(), "soak: cannot listen for Ctrl-C: {error}");
        return ExitCode::FAILURE;
    }
    silence_own_panics();
    let ledger = Arc::new(Ledger::new());
    let holds = thread::scope(|scope| {
        scope.spawn(|| report::monitor(&args, &board, &ledger));
        let summary = run(&args, &board, &ledger);
        let holds = report::verdict(&args, &summary, &board, &ledger);
        board.closed.store(true, Ordering::Release);
        holds
    });
    match holds {
        false => ExitCode::FAILURE,
        true if board.is_interrupted() => ExitCode::from(INTERRUPTED),
        true => ExitCode::SUCCESS,
    }
}

/// Runs one generation after the other.
fn run(args: &Args, board: &Board, ledger: &Arc<Ledger>) -> Summary {
    let began = now();
    let threads_before = gauge::threads();
    let mut expected = threads_before;
    let mut samples = Vec::new();
    let (mut on_threads, mut on_tokio, mut peak, mut number) = (0, 0, 0, 0);
    while !board.is_over() {
        let left = args.tasks.saturating_sub(ledger.counts().ended());
        if left == 0 {
            break;
        }
        let plan = Plan::draw(number, args, left);
        number += 1;
        board.begin(plan.to_string());
        let before = ledger.counts();
        let lived = if plan.is_async {
            on_tokio += 1;
            aio::generation(&plan, ledger, board)
        } else {
            on_threads += 1;
            threads::generation(&plan, ledger, board)
        };
        if let Some(left) = await_threads(expected) {
            ledger.broke(Rule::Threads, || {
                format!("{plan}: {left} threads, and before it {}", expected.unwrap_or_default())
            });
            expected = Some(left); // each is told of once
        }
        let Lived { reports, peak: reached, watcher } = lived;
        peak = peak.max(reached);
        let heard = ledger.counts() - before;
        for report in &reports {
            judge(&plan, report, &heard, ledger);
        }
        let (accepted, finished) = watcher.seen();
        let differs = reports.iter().any(|report| report.accepted != accepted);
        if accepted != finished || plan.observed && differs {
            ledger.broke(Rule::Reports, || {
                format!("{plan}: the observer saw {accepted} tasks come and {finished} end")
            });
        }
        let room = plan.resources() + if plan.may_replace() { watcher.stuck() } else { 0 };
        if reached > room {
            ledger.broke(Rule::Cap, || format!("{plan}: {reached} resources where {room} may be"));
        }
        if heard[Count::Deadlock] + heard[Count::WaitRefused] > 0 && !plan.nests {
            ledger.broke(Rule::Answers, || {
                format!("{plan}: WouldDeadlock, although no task waits for another")
            });
        }
        samples.extend(gauge::resident());
        board.ended.fetch_add(1, Ordering::Relaxed);
    }
    Summary {
        took: now() - began,
        on_threads,
        on_tokio,
        peak,
        threads_before,
        threads_after: gauge::threads(),
        memory: Memory::of(&samples),
    }
}

/// Waits until there are no more threads than before; if there still are when that has taken too long, how many.
fn await_threads(before: Option<u64>) -> Option<u64> {
    let began = now();
    loop {
        let left = gauge::threads().filter(|threads| Some(*threads) > before)?;
        if now() - began > LEAVING {
            return Some(left);
        }
        nap(LOOK);
    }
}

/// The soak panics on purpose all the time; what else panics is told as ever.
fn silence_own_panics() {
    let tell = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let message = info.payload().downcast_ref::<&str>().copied().unwrap_or_default();
        if !message.contains("of the soak panics") {
            tell(info);
        }
    }));
}
