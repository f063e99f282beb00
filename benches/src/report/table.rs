//! A group as a table: a line for each system, and only the columns that have something in them.

use std::io::{self, Write};

use indicatif::HumanCount;

use crate::figures::{Group, Row, Run};

pub(super) fn write(page: &mut dyn Write, group: &Group) -> io::Result<()> {
    writeln!(page, "{}  {}", group.id, group.title)?;
    let columns = columns(group);
    let width = |column: &Column| {
        column
            .cells
            .iter()
            .map(|cell| cell.chars().count())
            .fold(column.heading.chars().count(), usize::max)
    };
    let widths: Vec<usize> = columns.iter().map(width).collect();
    let mut line = |texts: Vec<&str>| {
        let mut text = String::new();
        for (n, (cell, width)) in texts.into_iter().zip(&widths).enumerate() {
            // Names to the left, figures to the right.
            text += &if n == 0 { format!("  {cell:<width$}") } else { format!("  {cell:>width$}") };
        }
        writeln!(page, "{}", text.trim_end())
    };
    line(columns.iter().map(|column| &*column.heading).collect())?;
    for row in 0..group.rows.len() {
        line(columns.iter().map(|column| &*column.cells[row]).collect())?;
    }
    Ok(())
}

struct Column {
    heading: String,
    cells: Vec<String>,
}

fn columns(group: &Group) -> Vec<Column> {
    let column = |heading: &str, cell: &dyn Fn(&Row) -> Option<String>| Column {
        heading: heading.to_owned(),
        cells: group.rows.iter().map(|row| cell(row).unwrap_or_default()).collect(),
    };
    let differs = |count: fn(&Row) -> usize| {
        let first = group.rows.first().map(count);
        group.rows.iter().any(|row| Some(count(row)) != first)
    };
    let mut columns = vec![column("system", &|row| Some(row.about.name.to_owned()))];
    if differs(|row| row.workers) {
        columns.push(column("workers", &|row| Some(HumanCount(row.workers as u64).to_string())));
    }
    if differs(|row| row.callers) {
        columns.push(column("callers", &|row| Some(HumanCount(row.callers as u64).to_string())));
    }
    columns.push(column("ns/op", &|row| row.ns_per_op().map(figure)));
    columns.push(column("min..max", &|row| {
        let spread = row.spread(|run| run.ns_per_op)?;
        Some(format!("{}..{}", figure(spread.min), figure(spread.max)))
    }));
    columns.push(column("M ops/s", &|row| {
        row.ns_per_op()?; // what is counted where no time is measured has a column of its own
        row.median(Run::ops_per_sec).map(|rate| figure(rate / 1e6))
    }));
    columns.push(column("p50", &|row| row.median(|run| Some(run.waits?.p50)).map(time)));
    columns.push(column("p99", &|row| row.median(|run| Some(run.waits?.p99)).map(time)));
    columns.push(column("max", &|row| row.median(|run| Some(run.waits?.max)).map(time)));
    columns.push(column("efficiency", &|row| {
        row.median(|run| run.efficiency).map(|share| format!("{share:.2}"))
    }));
    let mut extras: Vec<&str> = Vec::new();
    for (heading, _) in group.rows.iter().flat_map(|row| &row.extras) {
        if !extras.contains(heading) {
            extras.push(heading);
        }
    }
    for heading in extras {
        columns.push(column(heading, &|row| {
            let extra = row.extras.iter().find(|(other, _)| *other == heading);
            extra.map(|(_, cell)| cell.clone())
        }));
    }
    columns.push(column("allocs/op", &|row| {
        row.median(|run| run.allocs_per_op).map(|count| format!("{count:.2}"))
    }));
    columns
        .push(column("RSS MB", &|row| row.median(|run| run.rss_mb).map(|mb| format!("{mb:.0}"))));
    columns.push(column("× tasker", &|row| group.ratio(row).map(|ratio| format!("{ratio:.2}"))));
    columns.retain(|column| column.cells.iter().any(|cell| !cell.is_empty()));
    columns
}

/// About three figures, those of large numbers in groups.
pub(super) fn figure(value: f64) -> String {
    if value >= 1000.0 {
        HumanCount(value.round() as u64).to_string()
    } else if value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

/// Microseconds, in the unit that a person would use.
fn time(us: f64) -> String {
    if us < 0.995 {
        format!("{:.0} ns", us * 1e3)
    } else if us < 1e3 {
        format!("{} µs", figure(us))
    } else {
        format!("{} ms", figure(us / 1e3))
    }
}

#[cfg(test)]
mod tests {
    use super::{figure, time, write};
    use crate::figures::{Group, Row, Run};
    use crate::peers::About;

    #[test]
    fn figures_have_about_three_digits() {
        let all = [0.1234, 9.876, 56.78, 345.6, 12_345.6].map(figure);
        assert_eq!(all, ["0.12", "9.88", "56.8", "346", "12,346"]);
    }

    #[test]
    fn times_have_the_unit_of_their_size() {
        let all = [0.0604, 12.34, 35_000.0].map(time);
        assert_eq!(all, ["60 ns", "12.3 µs", "35.0 ms"]);
    }

    #[test]
    fn a_table_has_only_the_columns_that_are_filled() {
        let about = About { name: "ours", differs: "It is ours." };
        let mut row = Row::new(about, 1, 1);
        row.runs = vec![Run { n: 1, ns_per_op: Some(4.0), ..Run::default() }];
        row.extras = vec![("peak", "12".to_owned())];
        let mut page = Vec::new();
        let group = Group::new("W1", "a title", vec![row]).compared_with("ours");
        write(&mut page, &group).unwrap();
        let expected = "W1  a title\n  \
                        system  ns/op    min..max  M ops/s  peak  × tasker\n  \
                        ours     4.00  4.00..4.00      250    12      1.00\n";
        assert_eq!(String::from_utf8(page).unwrap(), expected);
    }
}
