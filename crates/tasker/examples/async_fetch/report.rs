//! What the user gets to read: pages by kind, times, and what became of everything.

use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tasker::{ShutdownReport, TaskMetrics};

use crate::fetch::Fetched;
use crate::journal::Journal;
use crate::pages::Manner;

/// What goes to stdout, beside a bar on stderr. Clones share it.
#[derive(Clone)]
pub(crate) struct Page {
    bar: ProgressBar,
}

impl Page {
    /// An empty one, with a bar of so many steps that is invisible where stderr is not a terminal.
    pub(crate) fn new(steps: u32) -> Self {
        let style =
            ProgressStyle::with_template("{bar:50} {human_pos} of {human_len} pages, {elapsed}")
                .expect("the template is constant and well formed");
        Self { bar: ProgressBar::new(steps.into()).with_style(style) }
    }

    /// The bar.
    pub(crate) fn bar(&self) -> &ProgressBar {
        &self.bar
    }

    /// Adds a line, above the bar while there is one.
    pub(crate) fn line(&self, line: fmt::Arguments<'_>) {
        // Whoever reads may have left (`| head`): the work is done all the same.
        self.bar.suspend(|| drop(writeln!(io::stdout(), "{line}")));
    }

    /// What was fetched.
    pub(crate) fn fetched(&self, fetched: &Fetched, journal: &Journal) {
        self.line(format_args!(
            "\n{:<20}{:>7}{:>10}{:>10}",
            "Pages", "asked", "as meant", "attempts"
        ));
        for name in Manner::NAMES {
            let Some(kind) = fetched.kinds.get(name) else { continue };
            let (pages, as_meant, attempts) = (kind.pages, kind.as_meant, kind.attempts);
            self.line(format_args!("{name:<20}{pages:>7}{as_meant:>10}{attempts:>10}"));
        }
        self.line(format_args!("\nBeside them"));
        for (what, ended) in &fetched.beside {
            self.line(format_args!("{what:<20}{ended}"));
        }
        self.line(format_args!(
            "\nThe longest wait of an urgent fetch was {}.",
            time(journal.urgent_wait())
        ));
    }

    /// How long tasks waited and ran.
    pub(crate) fn times(&self, metrics: &TaskMetrics) {
        self.line(format_args!(
            "\n{:<20}{:>10}{:>10}{:>10}{:>10}",
            "Times", "p50", "p95", "p99", "max"
        ));
        let m = metrics;
        let wait = [m.p50_wait_time, m.p95_wait_time, m.p99_wait_time, m.max_wait_time];
        let run = [
            m.p50_execution_time,
            m.p95_execution_time,
            m.p99_execution_time,
            m.max_execution_time,
        ];
        for (name, times) in [("waiting", wait), ("running", run)] {
            let [p50, p95, p99, max] = times.map(time);
            self.line(format_args!("{name:<20}{p50:>10}{p95:>10}{p99:>10}{max:>10}"));
        }
    }

    /// The manager's own account.
    pub(crate) fn shutdown(&self, report: &ShutdownReport, refused: u64, journal: &Journal) {
        self.line(format_args!("\nAt most {} workers at a time.", journal.most_workers()));
        self.line(format_args!("Connections closed: {}.", journal.closed()));
        if refused > 0 {
            self.line(format_args!("{refused} tasks came too late and were refused."));
        }
        self.line(format_args!("{report}"));
    }
}

/// A duration in the unit that suits it.
fn time(time: Duration) -> String {
    match time.as_secs_f64() {
        s if s < 0.001 => format!("{:.0} µs", s * 1e6),
        s if s < 1.0 => format!("{:.1} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}
