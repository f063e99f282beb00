//! What the user gets to read: hits, times per priority, and what became of everything.

use std::fmt;
use std::io::Write;
use std::time::Duration;

use hdrhistogram::Histogram;
use tasker::{ShutdownError, ShutdownReport};

use crate::database::{Hit, MARKS};
use crate::index::Indexed;
use crate::search::{Answer, MAX_WORKERS, Outcome, Peak, Searched, Times, WORKERS};

/// Columns that a line of hits may take.
const WIDTH: usize = 100;
/// Of those, what `file:line` may take.
const PLACE: usize = 48;

/// What goes to stdout.
pub(crate) struct Page {
    out: Box<dyn Write>,
    colour: bool,
    /// The table of shutdown reports has its heading.
    headed: bool,
}

impl Page {
    pub(crate) fn new(out: Box<dyn Write>, colour: bool) -> Self {
        Self { out, colour, headed: false }
    }

    /// Adds a line.
    pub(crate) fn line(&mut self, line: fmt::Arguments<'_>) {
        // Whoever reads may have left (`| head`): the work is done all the same.
        let _ = writeln!(self.out, "{line}");
    }

    /// What went into the index, and what did not.
    pub(crate) fn indexed(&mut self, indexed: &Indexed) {
        let Indexed { written, skipped, took } = indexed;
        self.line(format_args!(
            "Indexed {} ({}, {}) in {}.",
            counted(written.files, "file"),
            counted(written.lines, "line"),
            size(written.bytes),
            time(*took),
        ));
        self.line(format_args!(
            "Skipped {} binary, {} unreadable and {} above 1 MiB.",
            grouped(skipped.binary),
            grouped(skipped.unreadable),
            grouped(skipped.too_large),
        ));
    }

    /// How many lines a query has found and the best of them, or why it was not answered.
    pub(crate) fn answer(&mut self, query: &str, answer: &Outcome) {
        let Answer { found, wait, run } = match answer {
            Ok(answer) => answer,
            Err(error) => return self.line(format_args!("\n{query}: no answer, {error}")),
        };
        let (on, off) = self.emphasis();
        self.line(format_args!(
            "\n{on}{query}{off}: {}, found in {} after waiting {}",
            counted(found.total, "line"),
            time(*run),
            time(*wait),
        ));
        let places: Vec<String> = found.hits.iter().map(place).collect();
        let widest = places.iter().map(|place| place.chars().count()).max().unwrap_or(0);
        for (place, hit) in places.iter().zip(&found.hits) {
            let snippet = self.snippet(&hit.snippet, WIDTH - widest - 4);
            self.line(format_args!("  {place:widest$}  {snippet}"));
        }
        let more = found.total.saturating_sub(found.hits.len() as u64);
        if more > 0 && !found.hits.is_empty() {
            self.line(format_args!("  … and {} more", grouped(more)));
        }
    }

    /// The table: rates, times per priority, workers and connections.
    pub(crate) fn searched(&mut self, searched: &Searched, peak: &Peak, retried: u64) {
        let rate = searched.answered() as f64 / searched.took.as_secs_f64().max(1e-9);
        self.line(format_args!(
            "\nAnswered {} of {} queries in {}: {} tasks per second.",
            grouped(searched.answered()),
            grouped(searched.planned),
            time(searched.took),
            grouped(rate as u64),
        ));
        if let Some(complaint) = &searched.complaint {
            self.line(format_args!(
                "Without an answer: {}, the first one because: {complaint}.",
                grouped(searched.failed)
            ));
        }
        self.line(format_args!(
            "\n{:<10}{:>8} {:>10}{:>10}{:>10}  {:>10}{:>10}{:>10}",
            "Priority", "answered", "wait p50", "p95", "p99", "run p50", "p95", "p99",
        ));
        for (name, Times { wait, run }) in [("High", &searched.high), ("Normal", &searched.normal)]
        {
            let [wait_50, wait_95, wait_99] = percentiles(wait);
            let [run_50, run_95, run_99] = percentiles(run);
            self.line(format_args!(
                "{name:<10}{:>8} {wait_50:>10}{wait_95:>10}{wait_99:>10}  {run_50:>10}{run_95:>10}{run_99:>10}",
                grouped(run.len()),
            ));
        }
        self.line(format_args!(
            "\nWorkers: {WORKERS}, at the peak {} (at most {MAX_WORKERS}). \
             Connections closed by sabotage: {}. Attempts retried: {}.",
            peak.workers(),
            grouped(searched.sabotaged),
            grouped(retried),
        ));
    }

    /// A manager's own account of everything it accepted: the numbers add up.
    pub(crate) fn shutdown(&mut self, name: &str, report: &Result<ShutdownReport, ShutdownError>) {
        let report = match report {
            Ok(report) => report,
            Err(error) => return self.line(format_args!("{name}: no report, {error}")),
        };
        if !self.headed {
            self.headed = true;
            self.line(format_args!(
                "\n{:<10}{:>8}{:>10}{:>7}{:>10}{:>8}{:>11}   {:<11}{:>9}",
                "Shutdown",
                "accepted",
                "completed",
                "failed",
                "cancelled",
                "dropped",
                "stragglers",
                "connections",
                "took",
            ));
        }
        let connections = format!("+{} −{}", report.resources_created, report.resources_destroyed);
        self.line(format_args!(
            "{name:<10}{:>8}{:>10}{:>7}{:>10}{:>8}{:>11}   {connections:<11}{:>9}",
            grouped(report.accepted),
            grouped(report.completed),
            grouped(report.failed),
            grouped(report.cancelled),
            grouped(report.dropped),
            grouped(report.stragglers.len() as u64),
            time(report.took),
        ));
        if report.destroy_errors > 0 {
            let errors = grouped(report.destroy_errors);
            self.line(format_args!("{:10}{errors} connections did not close cleanly", ""));
        }
    }

    fn emphasis(&self) -> (&'static str, &'static str) {
        if self.colour { ("\x1b[1m", "\x1b[0m") } else { ("", "") }
    }

    /// One line of text, however wild the file was: no control characters, and no more than `width`
    /// columns.
    fn snippet(&self, snippet: &str, width: usize) -> String {
        let (on, off) = self.emphasis();
        let mut shown = String::new();
        let mut columns = 0;
        for char in snippet.chars() {
            match char {
                mark if mark == MARKS[0] => shown.push_str(on),
                mark if mark == MARKS[1] => shown.push_str(off),
                _ if columns + 1 == width => {
                    shown.push('…');
                    shown.push_str(off);
                    break;
                }
                char => {
                    shown.push(if char.is_control() { ' ' } else { char });
                    columns += 1;
                }
            }
        }
        shown
    }
}

/// `file:line`, shortened from the left, where paths differ least.
fn place(hit: &Hit) -> String {
    let place = format!("{}:{}", hit.file.replace(char::is_control, "?"), hit.line);
    let excess = place.chars().count().saturating_sub(PLACE);
    match place.char_indices().nth(excess + 1) {
        Some((at, _)) if excess > 0 => format!("…{}", &place[at..]),
        _ => place,
    }
}

fn percentiles(times: &Histogram<u64>) -> [String; 3] {
    [0.50, 0.95, 0.99].map(|quantile| {
        if times.is_empty() {
            "-".to_owned()
        } else {
            time(Duration::from_nanos(times.value_at_quantile(quantile)))
        }
    })
}

/// An amount of text in the unit that suits it.
fn size(bytes: u64) -> String {
    match bytes as f64 / 1024.0 {
        kib if kib < 1024.0 => format!("{kib:.1} KiB"),
        kib => format!("{:.1} MiB", kib / 1024.0),
    }
}

/// A duration in the unit that suits it.
fn time(time: Duration) -> String {
    match time.as_secs_f64() {
        s if s < 0.001 => format!("{:.0} µs", s * 1e6),
        s if s < 0.1 => format!("{:.1} ms", s * 1e3),
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}

/// So many of a kind.
fn counted(number: u64, kind: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {kind}{plural}", grouped(number))
}

/// A number with its thousands apart.
fn grouped(number: u64) -> String {
    indicatif::HumanCount(number).to_string()
}
