//! What the user gets to read: a line a second, and the verdict.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::args::Args;
use crate::board::Board;
use crate::clock::{nap, now};
use crate::gauge::{self, Memory};
use crate::ledger::{Count, Counts, Ledger, Rule};

/// How often the monitor looks whether a task has ended.
const GLANCE: Duration = Duration::from_millis(10);
/// After how long without the end of a task, and without the end of a generation, somebody hangs.
const HANG: Duration = Duration::from_secs(60);

/// What is told once everything is over.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) took: Duration,
    pub(crate) on_threads: u64,
    pub(crate) on_tokio: u64,
    pub(crate) peak: u64,
    pub(crate) threads_before: Option<u64>,
    pub(crate) threads_after: Option<u64>,
    pub(crate) memory: Memory,
}

/// Prints a line a second, ends the run when its time is over, and the process if somebody hangs.
pub(crate) fn monitor(args: &Args, board: &Board, ledger: &Arc<Ledger>) {
    let began = now();
    let (mut next, mut moved, mut last, mut told) = (1, began, (0, 0), 0);
    while !board.closed.load(Ordering::Acquire) {
        nap(GLANCE);
        let (time, counts) = (now(), ledger.counts());
        let began_or_ended =
            board.begun.load(Ordering::Relaxed) + board.ended.load(Ordering::Relaxed);
        let state = (counts.ended(), began_or_ended);
        if state != last {
            if state.1 == last.1 {
                board.stalled(time - moved); // within one generation
            }
            (last, moved) = (state, time);
        } else if time - moved > HANG {
            let generation = board.generation();
            ledger.broke(Rule::Progress, || {
                format!(
                    "nothing has moved for {} s in {generation}: {} closures and {} callbacks are left, \
                     {} resources live",
                    HANG.as_secs(),
                    counts[Count::ClosuresMade] - counts[Count::ClosuresGone],
                    counts[Count::CallbacksMade] - counts[Count::CallbacksGone],
                    ledger.live.load(Ordering::Relaxed) + ledger.temporary.load(Ordering::Relaxed),
                )
            });
            failures(args, ledger);
            std::process::exit(1); // whoever hangs cannot be joined
        }
        if args.time().is_some_and(|limit| time - began >= limit) {
            board.end();
        }
        if time - began >= Duration::from_secs(next) {
            let done = counts.ended();
            second(next, done, done - told, &counts, ledger, &board.generation());
            told = done;
            next += 1;
        }
    }
}

fn line(line: fmt::Arguments<'_>) {
    // Whoever reads may have left (`| head`): the work is done all the same.
    let _ = writeln!(io::stdout(), "{line}");
}

/// What is there after so many seconds.
fn second(seconds: u64, done: u64, rate: u64, counts: &Counts, ledger: &Ledger, generation: &str) {
    let live = ledger.live.load(Ordering::Relaxed) + ledger.temporary.load(Ordering::Relaxed);
    line(format_args!(
        "{seconds:>5} s {:>13} tasks {:>9}/s | {} | resources +{} -{} ={live} | {} | \
         {} threads | {generation}",
        grouped(done),
        grouped(rate),
        kinds(counts),
        grouped(counts[Count::Created]),
        grouped(counts[Count::Dropped]),
        size(gauge::resident()),
        number(gauge::threads()),
    ));
}

/// How tasks ended.
fn kinds(counts: &Counts) -> String {
    let kinds = [
        ("ok", counts.completed()),
        ("failed", counts[Count::Failed]),
        ("exhausted", counts[Count::Exhausted]),
        ("panicked", counts[Count::Panicked]),
        ("timed out", counts[Count::TimedOut]),
        ("no resource", counts[Count::NoResource]),
        ("would deadlock", counts[Count::Deadlock] + counts[Count::WaitRefused]),
        ("cancelled", counts[Count::Cancelled]),
        ("killed", counts[Count::Killed]),
        ("expired", counts[Count::Expired]),
        ("full", counts[Count::QueueFull]),
        ("refused", counts[Count::Refused]),
        ("unheard", counts.unheard()),
    ];
    let told = kinds.iter().filter(|(_, number)| *number > 0);
    told.map(|(kind, number)| format!("{kind} {}", grouped(*number))).collect::<Vec<_>>().join(", ")
}

/// The last lines; whether everything held.
pub(crate) fn verdict(args: &Args, summary: &Summary, board: &Board, ledger: &Ledger) -> bool {
    let counts = ledger.counts();
    let Summary { took, on_threads, on_tokio, peak, threads_before, threads_after, memory } =
        summary;
    line(format_args!(
        "\nAfter {} tasks in {:.1} s ({} ns each), {on_threads} managers on threads and {on_tokio} on \
         tokio:\n  {}",
        grouped(counts.ended()),
        took.as_secs_f64(),
        took.as_nanos() / u128::from(counts.ended().max(1)),
        kinds(&counts),
    ));
    let mut holds = true;
    let mut row = |rule: Option<Rule>, bad: bool, name: &str, told: String| {
        let bad = bad || rule.is_some_and(|rule| ledger.broken(rule) > 0);
        holds &= !bad;
        line(format_args!("  {:<4} {name:<28} {told}", if bad { "FAIL" } else { "ok" }));
    };
    row(
        Some(Rule::Answers),
        counts[Count::ClosuresMade] != counts[Count::ClosuresGone],
        "one answer each",
        format!(
            "{} closures made and gone, {} callbacks",
            grouped(counts[Count::ClosuresMade]),
            grouped(counts[Count::CallbacksMade])
        ),
    );
    row(
        Some(Rule::Reports),
        false,
        "reports tell what was heard",
        format!(
            "{} reports, {} stragglers in them",
            grouped(counts[Count::Reports]),
            grouped(counts[Count::Stragglers])
        ),
    );
    let went = [Count::Created, Count::Destroyed, Count::Dropped].map(|count| counts[count]);
    row(
        Some(Rule::Resources),
        went[0] != went[1] || went[1] != went[2],
        "created once, destroyed once",
        format!(
            "{} created, {} destroyed ({} with errors), {} creations failed, {} managers not built",
            grouped(went[0]),
            grouped(went[1]),
            grouped(counts[Count::DestroyErrors]),
            grouped(counts[Count::CreateErrors]),
            grouped(counts[Count::BuildErrors]),
        ),
    );
    row(Some(Rule::Cap), false, "a cap is a cap", format!("at most {peak} resources at a time"));
    row(
        Some(Rule::Threads),
        false,
        "no thread left behind",
        format!("{} before, {} after", number(*threads_before), number(*threads_after)),
    );
    let (stall, stalled_in) = board.longest_stall();
    row(
        Some(Rule::Progress),
        false,
        "nobody waits for ever",
        format!("longest time without an end: {} ms, {stalled_in}", stall.as_millis()),
    );
    let (grew, told) = match *memory {
        Memory::Unknown => (false, "n/a: too short a run, or no /proc".to_owned()),
        Memory::Flat { early, late } | Memory::Grew { early, late } => (
            matches!(memory, Memory::Grew { .. }),
            format!("{} after warm-up, {} at the end", size(Some(early)), size(Some(late))),
        ),
    };
    row(None, grew, "memory is flat", told);
    if holds {
        line(format_args!("PASS"));
    } else {
        failures(args, ledger);
    }
    holds
}

fn failures(args: &Args, ledger: &Ledger) {
    for told in ledger.told() {
        line(format_args!("  ! {told}"));
    }
    line(format_args!("FAIL: seed {}; again: {}", args.seed, args.again()));
}

fn number(number: Option<u64>) -> String {
    number.map_or_else(|| "n/a".to_owned(), |number| number.to_string())
}

/// An amount of memory.
fn size(bytes: Option<u64>) -> String {
    bytes.map_or_else(
        || "n/a".to_owned(),
        |bytes| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
    )
}

/// A number with its thousands apart.
fn grouped(number: u64) -> String {
    indicatif::HumanCount(number).to_string()
}
