//! A group as a chart: each system's median as a dot, with its `min..max`.

use std::error::Error;
use std::path::Path;

use indicatif::HumanCount;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::table::figure;
use crate::figures::{Group, Row};

/// Told apart without much colour vision too (M. Okabe and K. Ito, "Color universal design", 2008).
const OURS: RGBColor = RGBColor(213, 94, 0);
const THEIRS: RGBColor = RGBColor(0, 114, 178);
const WIDTH: u32 = 900;
const ROW: u32 = 30;
/// For the names of the systems.
const LEFT: u32 = 250;

/// Draws into the file at `path`, unless no time was measured. Times differ by powers of ten, so that the
/// axis is logarithmic; dots, because the length of a bar would mean nothing then.
pub(super) fn draw(path: &Path, group: &Group) -> Result<(), Box<dyn Error>> {
    let mut bars: Vec<_> = group
        .rows
        .iter()
        .filter_map(|row| {
            Some((label(group, row), row.about.name, row.spread(|run| run.ns_per_op)?))
        })
        .collect();
    if bars.is_empty() {
        return Ok(());
    }
    bars.sort_by(|a, b| b.2.median.total_cmp(&a.2.median)); // the fastest at the top
    let least = bars.iter().map(|bar| bar.2.min).fold(f64::INFINITY, f64::min);
    let most = bars.iter().map(|bar| bar.2.max).fold(0.0, f64::max);
    let size = (WIDTH, ROW * bars.len() as u32 + 110);
    let root = SVGBackend::new(path, size).into_drawing_area();
    root.fill(&WHITE)?;
    let top = bars.len() as f64 - 0.5;
    let mut chart = ChartBuilder::on(&root)
        .caption(format!("{}: {}", group.id, group.title), ("sans-serif", 17))
        .margin(14)
        .margin_right(80)
        .x_label_area_size(42)
        .y_label_area_size(LEFT)
        .build_cartesian_2d((least * 0.8..most * 1.3).log_scale(), -0.5..top)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .y_labels(0)
        .light_line_style(WHITE.mix(0.0))
        .bold_line_style(BLACK.mix(0.12))
        .axis_style(BLACK.mix(0.5))
        .x_desc("nanoseconds for each operation, logarithmic: less is better")
        .x_label_formatter(&|ns| HumanCount(ns.round() as u64).to_string())
        .label_style(("sans-serif", 13))
        .draw()?;
    let text = |size: i32, anchor: HPos| {
        TextStyle::from(("sans-serif", size)).pos(Pos::new(anchor, VPos::Center))
    };
    for (n, (name, system, spread)) in bars.iter().enumerate() {
        let height = n as f64;
        let colour = if system.starts_with("tasker") { OURS } else { THEIRS };
        let whisker = [(spread.min, height), (spread.max, height)];
        chart.draw_series(LineSeries::new(whisker, colour.stroke_width(2)))?;
        let dot = Circle::new((spread.median, height), 5, colour.filled());
        chart.draw_series(std::iter::once(dot))?;
        let label = EmptyElement::at((spread.max, height))
            + Text::new(figure(spread.median), (9, 0), text(13, HPos::Left));
        chart.draw_series(std::iter::once(label))?;
        let (_, y) = chart.backend_coord(&(spread.median, height));
        root.draw_text(name, &text(14, HPos::Right).color(&colour), (LEFT as i32 + 4, y))?;
    }
    root.present()?;
    Ok(())
}

/// The system, and what tells it from other rows of the same system.
fn label(group: &Group, row: &Row) -> String {
    let name = row.about.name;
    let rows: Vec<&Row> = group.rows.iter().filter(|other| other.about.name == name).collect();
    let count = |count: usize, of: &str| {
        let plural = if count == 1 { "" } else { "s" };
        format!("{name}, {} {of}{plural}", HumanCount(count as u64))
    };
    if rows.iter().any(|other| other.callers != row.callers) {
        count(row.callers, "caller")
    } else if rows.iter().any(|other| other.workers != row.workers) {
        count(row.workers, "worker")
    } else if let (Some((heading, value)), true) = (row.extras.first(), rows.len() > 1) {
        format!("{name}, {value} {heading}")
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::label;
    use crate::figures::{Group, Row};
    use crate::peers::About;

    #[test]
    fn rows_of_one_system_are_told_apart() {
        let about = About { name: "ours", differs: "It is ours." };
        let labels = |rows: Vec<Row>| -> Vec<String> {
            let group = Group::new("W4", "a title", rows);
            group.rows.iter().map(|row| label(&group, row)).collect()
        };
        let row = |workers, callers, queued: &str| {
            let extras = vec![("queued", queued.to_owned())];
            Row { extras, ..Row::new(about, workers, callers) }
        };
        assert_eq!(labels(vec![row(1, 1, "5")]), ["ours"]);
        let two = labels(vec![row(1, 1, "5"), row(2, 2, "5")]);
        assert_eq!(two, ["ours, 1 caller", "ours, 2 callers"]);
        let two = labels(vec![row(1, 1, "5"), row(2, 1, "5")]);
        assert_eq!(two, ["ours, 1 worker", "ours, 2 workers"]);
        let two = labels(vec![row(1, 1, "5"), row(1, 1, "6")]);
        assert_eq!(two, ["ours, 5 queued", "ours, 6 queued"]);
    }
}
