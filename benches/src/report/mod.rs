//! Tells what was measured: tables for people, lines for programs, charts for a page.

mod chart;
mod table;

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::figures::Group;

/// Where the figures go, one group after the other.
pub(crate) struct Report {
    /// For people.
    page: Box<dyn Write>,
    /// For programs, if they were asked for.
    lines: Option<Box<dyn Write>>,
    charts: Option<PathBuf>,
    /// Systems that have been explained.
    explained: BTreeSet<&'static str>,
    goals: usize,
    reached: usize,
    began: Instant,
}

impl Report {
    /// Makes the folder for charts, so that a wrong one is noticed before the work.
    pub(crate) fn new(json: bool, charts: Option<&Path>) -> Result<Self, Box<dyn Error>> {
        if let Some(folder) = charts {
            fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        }
        let (page, lines): (Box<dyn Write>, Option<Box<dyn Write>>) = if json {
            (Box::new(io::stderr()), Some(Box::new(io::stdout())))
        } else {
            (Box::new(io::stdout()), None)
        };
        let (charts, explained) = (charts.map(Path::to_owned), BTreeSet::new());
        Ok(Self { page, lines, charts, explained, goals: 0, reached: 0, began: Instant::now() })
    }

    pub(crate) fn add(&mut self, group: &Group) -> Result<(), Box<dyn Error>> {
        if let Some(lines) = &mut self.lines {
            for line in group.lines() {
                writeln!(lines, "{}", serde_json::to_string(&line)?)?;
            }
            lines.flush()?;
        }
        table::write(&mut self.page, group)?;
        for row in &group.rows {
            if self.explained.insert(row.about.name) {
                write!(self.page, "{}", wrapped(&row.about.to_string()))?;
            }
        }
        for note in &group.notes {
            write!(self.page, "{}", wrapped(note))?;
        }
        for goal in &group.goals {
            writeln!(self.page, "  {goal}")?;
            self.goals += 1;
            self.reached += usize::from(goal.is_reached());
        }
        writeln!(self.page)?;
        self.page.flush()?;
        if let Some(folder) = &self.charts {
            let path = folder.join(format!("{}.svg", group.id));
            chart::draw(&path, group).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(())
    }

    pub(crate) fn end(mut self) -> io::Result<()> {
        let took = self.began.elapsed().as_secs_f64();
        writeln!(
            self.page,
            "{} of {} goals reached; it took {took:.0} s",
            self.reached, self.goals
        )?;
        self.page.flush()
    }
}

/// A paragraph in lines that a terminal shows, indented below its first words.
pub(crate) fn wrapped(paragraph: &str) -> String {
    const WIDTH: usize = 108;
    let (mut text, mut column) = (String::from("  "), 2);
    for (n, word) in paragraph.split(' ').enumerate() {
        let width = word.chars().count();
        if n > 0 && column + 1 + width > WIDTH {
            text += "\n      ";
            column = 6;
        } else if n > 0 {
            text += " ";
            column += 1;
        }
        text += word;
        column += width;
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::wrapped;

    #[test]
    fn a_long_paragraph_is_broken_between_words() {
        let text = wrapped(&"word ".repeat(30));
        assert!(text.lines().all(|line| line.chars().count() <= 108), "{text}");
        assert_eq!(text.split_whitespace().count(), 30);
        assert_eq!(wrapped("a few words"), "  a few words\n");
    }
}
