//! What was measured: repetitions, rows, groups, and whether goals were reached.

use std::time::Duration;

use serde::Serialize;

use crate::peers::About;
use crate::stats::{Percentiles, Spread, Waits};

/// One repetition of one system.
#[derive(Debug, Clone, Default)]
pub(crate) struct Run {
    pub(crate) n: u64,
    pub(crate) ns_per_op: Option<f64>,
    /// Where it does not follow from `ns_per_op`.
    pub(crate) ops_per_sec: Option<f64>,
    pub(crate) waits: Option<Percentiles>,
    pub(crate) efficiency: Option<f64>,
    pub(crate) allocs_per_op: Option<f64>,
    pub(crate) rss_mb: Option<f64>,
}

impl Run {
    /// `n` operations in this time. What is resident is read now.
    pub(crate) fn timed(n: u64, took: Duration) -> Self {
        Self {
            n,
            ns_per_op: Some(took.as_nanos() as f64 / n as f64),
            rss_mb: crate::process::resident_mb(),
            ..Self::default()
        }
    }

    /// Operations of which only the waits are of interest.
    pub(crate) fn of_waits(waits: &Waits) -> Self {
        let rss_mb = crate::process::resident_mb();
        Self { n: waits.count(), waits: Some(waits.percentiles()), rss_mb, ..Self::default() }
    }

    pub(crate) fn ops_per_sec(&self) -> Option<f64> {
        self.ops_per_sec.or(self.ns_per_op.map(|ns| 1e9 / ns))
    }
}

/// All repetitions of one system.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) about: About,
    pub(crate) workers: usize,
    pub(crate) callers: usize,
    pub(crate) runs: Vec<Run>,
    /// Figures that only this workload has: a heading and what stands below it.
    pub(crate) extras: Vec<(&'static str, String)>,
}

impl Row {
    pub(crate) fn new(about: About, workers: usize, callers: usize) -> Self {
        Self { about, workers, callers, runs: Vec::new(), extras: Vec::new() }
    }

    pub(crate) fn spread(&self, figure: impl Fn(&Run) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.runs.iter().filter_map(figure))
    }

    pub(crate) fn median(&self, figure: impl Fn(&Run) -> Option<f64>) -> Option<f64> {
        self.spread(figure).map(|spread| spread.median)
    }

    pub(crate) fn ns_per_op(&self) -> Option<f64> {
        self.median(|run| run.ns_per_op)
    }
}

/// Rows that are compared with each other: a table, and a chart.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    /// The name of the workload, and of its variant where it has some: `W5-10us`.
    pub(crate) id: &'static str,
    pub(crate) title: String,
    pub(crate) rows: Vec<Row>,
    /// What all are compared with: the name of one of the systems.
    pub(crate) reference: Option<&'static str>,
    pub(crate) notes: Vec<String>,
    pub(crate) goals: Vec<Goal>,
}

impl Group {
    pub(crate) fn new(id: &'static str, title: impl Into<String>, rows: Vec<Row>) -> Self {
        let (title, notes, goals) = (title.into(), Vec::new(), Vec::new());
        Self { id, title, rows, reference: None, notes, goals }
    }

    pub(crate) fn compared_with(mut self, system: &'static str) -> Self {
        self.reference = Some(system);
        self
    }

    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// The row of that system with as many callers, of any number if that is `None`.
    pub(crate) fn row(&self, system: &str, callers: Option<usize>) -> Option<&Row> {
        self.rows.iter().find(|row| {
            row.about.name == system && callers.is_none_or(|callers| row.callers == callers)
        })
    }

    /// Nanoseconds for each operation of that system.
    pub(crate) fn time(&self, system: &str) -> Option<f64> {
        self.row(system, None)?.ns_per_op()
    }

    /// How many times as long as the reference with as many workers and callers.
    pub(crate) fn ratio(&self, row: &Row) -> Option<f64> {
        let reference = self.rows.iter().find(|other| {
            Some(other.about.name) == self.reference
                && (other.workers, other.callers) == (row.workers, row.callers)
        })?;
        Some(row.ns_per_op()? / reference.ns_per_op()?)
    }

    /// Adds a goal, if what it is about was measured.
    pub(crate) fn goal(&mut self, text: impl Into<String>, value: Option<f64>, limit: Limit) {
        if let Some(value) = value {
            self.goals.push(Goal { text: text.into(), value, limit });
        }
    }
}

/// What a figure has to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

/// A goal of the design and the figure that it is about.
#[derive(Debug, Clone)]
pub(crate) struct Goal {
    text: String,
    value: f64,
    limit: Limit,
}

impl Goal {
    pub(crate) fn is_reached(&self) -> bool {
        match self.limit {
            Limit::AtMost(limit) => self.value <= limit,
            Limit::AtLeast(limit) => self.value >= limit,
        }
    }
}

impl std::fmt::Display for Goal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let verdict = if self.is_reached() { "reached" } else { "not reached" };
        // Two figures behind the point, more where the first ones are zeros.
        let value = if self.value == 0.0 || self.value.abs() >= 0.1 {
            format!("{:.2}", self.value)
        } else {
            format!("{:.4}", self.value)
        };
        write!(f, "goal: {}: {verdict} ({value})", self.text)
    }
}

/// One line of `--json`. Figures that a workload does not have are null.
#[derive(Debug, Serialize)]
pub(crate) struct Line<'a> {
    workload: &'a str,
    system: &'a str,
    n: u64,
    workers: usize,
    callers: usize,
    rep: usize,
    ops_per_sec: Option<f64>,
    ns_per_op: Option<f64>,
    p50_us: Option<f64>,
    p99_us: Option<f64>,
    max_us: Option<f64>,
    efficiency: Option<f64>,
    allocs_per_op: Option<f64>,
    rss_mb: Option<f64>,
}

impl Group {
    pub(crate) fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        self.rows.iter().flat_map(|row| {
            row.runs.iter().enumerate().map(|(rep, run)| Line {
                workload: self.id,
                system: row.about.name,
                n: run.n,
                workers: row.workers,
                callers: row.callers,
                rep: rep + 1,
                ops_per_sec: run.ops_per_sec(),
                ns_per_op: run.ns_per_op,
                p50_us: run.waits.map(|waits| waits.p50),
                p99_us: run.waits.map(|waits| waits.p99),
                max_us: run.waits.map(|waits| waits.max),
                efficiency: run.efficiency,
                allocs_per_op: run.allocs_per_op,
                rss_mb: run.rss_mb,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Goal, Group, Limit, Row, Run};
    use crate::peers::About;

    const OURS: About = About { name: "ours", differs: "It is ours." };
    const THEIRS: About = About { name: "theirs", differs: "It is not." };

    fn row(about: About, callers: usize, times: &[f64]) -> Row {
        let run = |ns: &f64| Run { n: 1, ns_per_op: Some(*ns), ..Run::default() };
        Row { runs: times.iter().map(run).collect(), ..Row::new(about, 1, callers) }
    }

    #[test]
    fn a_line_has_the_keys_that_its_readers_know() {
        let group = Group::new("W1", "a title", vec![row(OURS, 1, &[4.0])]);
        let line = serde_json::to_string(&group.lines().next().unwrap()).unwrap();
        let expected = "{\"workload\":\"W1\",\"system\":\"ours\",\"n\":1,\"workers\":1,\"callers\":1,\
             \"rep\":1,\"ops_per_sec\":250000000.0,\"ns_per_op\":4.0,\"p50_us\":null,\"p99_us\":null,\
             \"max_us\":null,\"efficiency\":null,\"allocs_per_op\":null,\"rss_mb\":null}";
        assert_eq!(line, expected);
    }

    #[test]
    fn a_ratio_is_of_medians_among_as_many_callers() {
        let rows = vec![
            row(OURS, 1, &[1.0, 2.0, 90.0]),
            row(OURS, 2, &[4.0]),
            row(THEIRS, 1, &[6.0]),
            row(THEIRS, 2, &[6.0]),
            row(THEIRS, 3, &[6.0]),
        ];
        let group = Group::new("W1", "a title", rows).compared_with("ours");
        let ratios: Vec<_> = group.rows.iter().map(|row| group.ratio(row)).collect();
        assert_eq!(ratios, [Some(1.0), Some(1.0), Some(3.0), Some(1.5), None]);
    }

    #[test]
    fn a_goal_says_whether_it_was_reached_and_by_how_much() {
        let goal = |value, limit| Goal { text: "at most 3".to_owned(), value, limit };
        for (value, limit, expected) in [
            (2.5, Limit::AtMost(3.0), "goal: at most 3: reached (2.50)"),
            (3.5, Limit::AtMost(3.0), "goal: at most 3: not reached (3.50)"),
            (3.0, Limit::AtLeast(3.0), "goal: at most 3: reached (3.00)"),
            (0.012, Limit::AtLeast(3.0), "goal: at most 3: not reached (0.0120)"),
        ] {
            assert_eq!(goal(value, limit).to_string(), expected);
        }
    }

    #[test]
    fn a_goal_about_what_was_not_measured_is_not_judged() {
        let mut group = Group::new("W1", "a title", Vec::new());
        let time = group.time("ours");
        group.goal("any", time, Limit::AtMost(1.0));
        assert!(group.goals.is_empty());
    }
}
