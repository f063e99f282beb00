//! Compares scaling policies on a trace, in virtual time: waits, costs and a picture.
//!
//! `cargo run --release --example scaling_lab -- --trace step`; `--help` says more.

mod acceptance;
mod args;
mod peers;
mod picture;
mod policies;
mod table;

use std::error::Error;
use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use tasker::autoscale::simulate::{Setup, Simulation, Trace};

use crate::args::Args;

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args, &mut io::stdout().lock()) {
        Ok(code) => code,
        Err(failure) => {
            let _ = writeln!(io::stderr(), "scaling_lab: {failure}");
            ExitCode::from(failure.code)
        }
    }
}

/// Why there is no table, or no picture.
#[derive(Debug)]
struct Failure {
    code: u8,
    words: String,
}

impl Failure {
    /// What was typed, or what is in a file, is wrong.
    fn input(words: impl fmt::Display) -> Self {
        Self { code: 2, words: words.to_string() }
    }

    /// The machine said no.
    fn output(words: impl fmt::Display) -> Self {
        Self { code: 1, words: words.to_string() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::output(format_args!("the table could not be written: {error}"))
    }
}

fn run(args: &Args, out: &mut impl Write) -> Result<ExitCode, Failure> {
    if args.acceptance {
        let holds = acceptance::print(out)?;
        return Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let (trace, title) = trace(args)?;
    let setup = Setup::new(args.creation).worker_count(args.min).max_worker_count(args.max);
    let setup = setup.seed(args.seed);
    let chosen: Vec<&str> = match &args.policy {
        Some(name) => vec![name],
        None => policies::NAMES.to_vec(),
    };
    let mut played: Vec<(&str, Simulation)> = Vec::new();
    for name in chosen {
        let simulation = policies::play(name, &trace, &setup, args.max, args.price());
        played.push((name, simulation.map_err(|error| Failure::input(hint(&error)))?));
    }
    table::print(out, &title, args, &trace, &played)?;
    if args.explain {
        table::explain(out, &played)?;
    }
    if let Some(path) = &args.svg {
        picture::draw(path, &title, &played).map_err(|error| {
            Failure::output(format_args!("{} could not be drawn: {error}", path.display()))
        })?;
        writeln!(out, "\ndrawn: {}", path.display())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The words of the library with the options of this program.
fn hint(error: &impl Error) -> String {
    format!("{error} (the limits are --min and --max, the time of a creation is --creation)")
}

fn trace(args: &Args) -> Result<(Trace, String), Failure> {
    let Some(path) = &args.trace_csv else {
        let trace = Trace::named(&args.trace, args.seed).expect("clap knows the names");
        return Ok((trace, format!("{}, seed {}", args.trace, args.seed)));
    };
    let shown = path.display();
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::input(format_args!("{shown} could not be read: {error}")))?;
    let trace =
        Trace::from_csv(&text).map_err(|error| Failure::input(format_args!("{shown}: {error}")))?;
    let name =
        path.file_name().map_or_else(|| shown.to_string(), |name| name.display().to_string());
    Ok((trace, name))
}
