//! The comparison as a table, and the changes of a pool with their reasons.

use std::io::{self, Write};
use std::time::Duration;

use tasker::autoscale::simulate::{Simulation, Trace};

use crate::args::Args;
use crate::policies;

pub(crate) fn print(
    out: &mut impl Write,
    title: &str,
    args: &Args,
    trace: &Trace,
    played: &[(&str, Simulation)],
) -> io::Result<()> {
    let (seconds, tasks) = (trace.duration().as_secs_f64(), trace.arrivals().len());
    writeln!(
        out,
        "{title}: {tasks} tasks in {seconds:.0} s, {} to {} workers",
        args.min, args.max
    )?;
    let creation = args.creation.as_secs_f64();
    writeln!(out, "a creation takes {creation} s and costs {} resource-seconds\n", args.price())?;
    writeln!(
        out,
        "{:11} {:>8} {:>8} {:>8} {:>8}  {:>8} {:>9} {:>7} {:>5} {:>5} {:>7}  about",
        "policy",
        "wait p50",
        "p90",
        "p99",
        "max",
        "cost",
        "resources",
        "created",
        "fail",
        "peak",
        "given up"
    )?;
    writeln!(
        out,
        "{:11} {:>8} {:>8} {:>8} {:>8}  {:>8} {:>9} {:>7} {:>5} {:>5} {:>8}",
        "", "ms", "ms", "ms", "ms", "s", "s", "", "", "", "tasks"
    )?;
    for (name, simulation) in played {
        writeln!(
            out,
            "{:11} {:>8} {:>8} {:>8} {:>8}  {:>8.0} {:>9.0} {:>7} {:>5} {:>5} {:>8}  {}",
            name,
            milliseconds(simulation.wait_p50),
            milliseconds(simulation.wait_p90),
            milliseconds(simulation.wait_p99),
            milliseconds(simulation.wait_max),
            simulation.cost(args.price()),
            simulation.resource_seconds,
            simulation.creations,
            simulation.failed_creations,
            simulation.peak,
            simulation.failed,
            policies::about(name),
        )?;
    }
    Ok(())
}

pub(crate) fn explain(out: &mut impl Write, played: &[(&str, Simulation)]) -> io::Result<()> {
    for (name, simulation) in played {
        writeln!(out, "\n{name}:")?;
        for change in &simulation.scalings {
            let verb = if change.to > change.from { "grow" } else { "shrink" };
            let (at, from, to) = (change.at.as_secs_f64(), change.from, change.to);
            writeln!(out, "{at:>9.2} s  {verb} {from} → {to}: {}", change.reason)?;
        }
    }
    Ok(())
}

pub(crate) fn milliseconds(wait: Duration) -> String {
    let ms = wait.as_secs_f64() * 1e3;
    if ms > 0.0 && ms < 9.95 { format!("{ms:.1}") } else { format!("{ms:.0}") }
}
