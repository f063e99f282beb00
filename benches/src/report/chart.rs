//! A group as a chart: each system's median as a dot, with its `min..max`.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::table::figure;
use crate::figures::Group;

/// Told apart without much colour vision too (M. Okabe and K. Ito, "Color universal design", 2008).
const OURS: RGBColor = RGBColor(213, 94, 0);
const THEIRS: RGBColor = RGBColor(0, 114, 178);
const WIDTH: u32 = 900;
const ROW: u32 = 30;
/// For the names of the systems.
const LEFT: u32 = 250;

/// Draws into the file at `path`, unless no time was measured. Times differ by powers of ten, so that the axis is
/// logarithmic; dots, because the length of a bar would mean nothing then.
pub(super) fn draw(path: &Path, group: &Group) -> Result<(), Box<dyn Error>> {
    let many_callers = group.rows.iter().any(|row| row.callers != group.rows[0].callers);
    let many_workers = group.rows.iter().any(|row| row.workers != group.rows[0].workers);
    let name = |row: &crate::figures::Row| match (many_callers, many_workers) {
        (true, _) => format!("{}, {} callers", row.about.name, row.callers),
        (false, true) => format!("{}, {} workers", row.about.name, row.workers),
        (false, false) => row.about.name.to_owned(),
    };
    let mut bars: Vec<_> = group
        .rows
        .iter()
        .filter_map(|row| Some((name(row), row.about.name, row.spread(|run| run.ns_per_op)?)))
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
        .x_label_formatter(&|ns| figure(*ns))
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
