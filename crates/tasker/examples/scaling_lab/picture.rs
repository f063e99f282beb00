//! One picture of what happened: demand, workers, queue and waits, over the same time.

use std::error::Error;
use std::ops::Range;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use tasker::autoscale::simulate::{Sample, Simulation};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const SIZE: (u32, u32) = (1100, 1060);

/// Told apart without much colour vision too (M. Okabe and K. Ito, "Color universal design", 2008).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(130, 130, 130),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

const DEMAND: RGBColor = RGBColor(60, 60, 60);

/// One curve, as the middle of each step and a value.
type Curve = Vec<(f64, f64)>;

/// A panel: what it shows, in which unit.
struct Panel {
    title: &'static str,
    unit: &'static str,
    curves: Vec<(String, RGBColor, Curve)>,
    has_legend: bool,
}

/// Draws into the file at `path`.
pub(crate) fn draw(
    path: &Path,
    title: &str,
    played: &[(&str, Simulation)],
) -> Result<(), Box<dyn Error>> {
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let root = root.titled(title, ("sans-serif", 24))?;
    // The legend stands behind the end.
    let end = 1.13 * played.iter().map(|(_, s)| s.duration.as_secs_f64()).fold(1.0, f64::max);
    for (panel, area) in panels(played).iter().zip(root.split_evenly((4, 1))) {
        panel.draw(&area, 0.0..end)?;
    }
    root.present()?;
    Ok(())
}

fn panels(played: &[(&str, Simulation)]) -> [Panel; 4] {
    let of_all = |value: fn(&Sample) -> f64| -> Vec<(String, RGBColor, Curve)> {
        let curve = |(n, (name, simulation)): (usize, &(&str, Simulation))| {
            ((*name).to_owned(), COLOURS[n % COLOURS.len()], curve(simulation, value))
        };
        played.iter().enumerate().map(curve).collect()
    };
    let demand = played.first().map_or_else(Vec::new, |(_, s)| smooth(&curve(s, |x| x.demand)));
    let demand = ("demand".to_owned(), DEMAND, demand);
    // A single policy has room for its creations beside the workers that are ready.
    let workers = match played {
        [(_, simulation)] => vec![
            ("ready".to_owned(), COLOURS[0], curve(simulation, |x| x.ready)),
            ("being made".to_owned(), COLOURS[1], curve(simulation, |x| x.creating)),
            ("failing".to_owned(), COLOURS[4], curve(simulation, |x| x.failing)),
        ],
        _ => of_all(|x| x.ready),
    };
    let (queue, waits) = (of_all(|x| x.queued as f64), of_all(|x| x.wait.as_secs_f64()));
    let panel = |title, unit, curves, has_legend| Panel { title, unit, curves, has_legend };
    [
        panel("Demand", "Erlang", vec![demand], false),
        panel("Workers that have their resource", "workers", workers, true), // in the colours of all below
        panel("Queue, at its longest in each step", "tasks", queue, false),
        panel("Longest wait that ended in each step", "seconds", waits, false),
    ]
}

fn curve(simulation: &Simulation, value: fn(&Sample) -> f64) -> Curve {
    let middle = |sample: &Sample| (sample.at + sample.step / 2).as_secs_f64();
    simulation.series.iter().map(|sample| (middle(sample), value(sample))).collect()
}

/// The demand of a step is mostly chance: shown is the mean of seven of them.
fn smooth(curve: &Curve) -> Curve {
    let around = |n: usize| &curve[n.saturating_sub(3)..(n + 4).min(curve.len())];
    let mean =
        |n: usize| around(n).iter().map(|point| point.1).sum::<f64>() / around(n).len() as f64;
    curve.iter().enumerate().map(|(n, point)| (point.0, mean(n))).collect()
}

impl Panel {
    fn draw(&self, area: &Area<'_>, time: Range<f64>) -> Result<(), Box<dyn Error>> {
        let values = self.curves.iter().flat_map(|(_, _, curve)| curve.iter().map(|point| point.1));
        let top = values.fold(0.0, f64::max).max(1e-3) * 1.08;
        let mut chart = ChartBuilder::on(area)
            .caption(self.title, ("sans-serif", 17))
            .margin_left(12)
            .margin_right(20)
            .x_label_area_size(38)
            .y_label_area_size(64)
            .build_cartesian_2d(time, 0.0..top)?;
        chart
            .configure_mesh()
            .light_line_style(WHITE.mix(0.0))
            .bold_line_style(BLACK.mix(0.12))
            .axis_style(BLACK.mix(0.5))
            .x_desc("time, s")
            .y_desc(self.unit)
            .y_labels(5)
            .label_style(("sans-serif", 13))
            .draw()?;
        // The first is the one that matters: it heads the legend, and is drawn last, above the others.
        for (name, colour, _) in self.curves.iter().filter(|_| self.has_legend) {
            let style = colour.stroke_width(2);
            let legend = move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style);
            chart.draw_series(LineSeries::new([], style))?.label(name).legend(legend);
        }
        for (_, colour, curve) in self.curves.iter().rev() {
            chart.draw_series(LineSeries::new(curve.iter().copied(), colour.stroke_width(2)))?;
        }
        if self.has_legend {
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::UpperRight)
                .background_style(WHITE.mix(0.85))
                .border_style(BLACK.mix(0.3))
                .label_font(("sans-serif", 13))
                .draw()?;
        }
        Ok(())
    }
}
