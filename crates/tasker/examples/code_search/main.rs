//! Indexes a source tree with one writer and searches it with many readers: tasker at real work.
//!
//! `cargo run --release --example code_search -- [PATH] [QUERY…]`; `--help` says more.
//!
//! Two managers share a database. The *writer* has one worker, since SQLite has one writer, and a
//! short queue that makes the walk wait while the disk is behind. The *readers* have a connection
//! each, and come and go with the load. The user's queries overtake the background load; queries
//! whose connection is broken run again on another one; Ctrl-C ends both managers in order.

mod args;
mod clock;
mod corpus;
mod database;
mod index;
mod report;
mod search;

use std::env;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use tasker::{BuildError, CancelToken, TaskManager};
use tempfile::TempDir;

use crate::args::Args;
use crate::database::{Reader, SearchError, Writer};
use crate::report::Page;
use crate::search::{Peak, Plan};

/// What a shell shows of a process that Ctrl-C ended.
const INTERRUPTED: u8 = 130;
/// A word of so many letters says something about the code.
const LONG_WORD: u32 = 8;
/// Background queries are made of the most frequent words, so that they have something to find.
const WORDS: u32 = 2_000;

fn main() -> ExitCode {
    let args = Args::parse();
    let colour = io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none();
    let mut page = Page::new(Box::new(io::stdout()), colour);
    match run(&args, &mut page) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(io::stderr(), "code_search: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Why the run did not end as it was meant to.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(
        "the query `{query}` cannot be understood: {reason}\n\
         Put double quotes around punctuation, as in '\"std::time\"'; --help shows what a query may be."
    )]
    Syntax { query: String, reason: SearchError },
    #[error(
        "cannot read {}: {reason}\n\
         The first argument is the PATH to index, queries follow it: code_search . worker",
        path.display()
    )]
    Path { path: PathBuf, reason: io::Error },
    #[error("there is no text to search below {}", path.display())]
    NoText { path: PathBuf },
    #[error("cannot make a temporary folder: {0}\nName a place for the index with --db FILE.")]
    TemporaryFolder(io::Error),
    #[error(
        "cannot use the database {}: {reason}\n\
         Name a new file in a folder that you may write to, or an earlier index, with --db FILE.",
        file.display()
    )]
    Database { file: PathBuf, reason: String },
    #[error("cannot listen for Ctrl-C: {0}")]
    Signal(ctrlc::Error),
    #[error("{0} queries were not answered")]
    Unanswered(u64),
    #[error("interrupted: nothing new was begun, and what had been accepted was finished")]
    Interrupted,
}

impl Failure {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Syntax { .. } => 2, // as clap does for all other arguments
            Self::Interrupted => INTERRUPTED,
            _ => 1,
        }
    }
}

/// Checks what can be checked at the door, and runs the writer around everything else.
fn run(args: &Args, page: &mut Page) -> Result<(), Failure> {
    for query in &args.queries {
        database::check_syntax(query)
            .map_err(|reason| Failure::Syntax { query: query.clone(), reason })?;
    }
    let root = args
        .path()
        .canonicalize()
        .map_err(|reason| Failure::Path { path: args.path().to_owned(), reason })?;
    let place = Place::new(args.db.as_deref()).map_err(Failure::TemporaryFolder)?;
    let stop = stop_on_ctrl_c().map_err(Failure::Signal)?;

    let writer = index::writer(&place.file).map_err(|error| place.cannot_open(&error))?;
    let outcome = fill_and_ask(args, &root, &place, &writer, &stop, page);
    // The writer goes last: the last connection to close tidies up beside the file, and readers
    // may not.
    page.shutdown("writer", &writer.stop());
    outcome
}

/// Fills the index, and runs the readers around the questions.
fn fill_and_ask(
    args: &Args,
    root: &Path,
    place: &Place,
    writer: &TaskManager<Writer, SearchError>,
    stop: &CancelToken,
    page: &mut Page,
) -> Result<(), Failure> {
    let bar = progress("Indexing", "files");
    let indexed = index::index(writer, root, &place.files(), stop, &bar);
    bar.finish_and_clear();
    let indexed = indexed.map_err(|error| place.failure(error.to_string()))?;
    page.indexed(&indexed);
    if stop.is_cancelled() {
        page.line(format_args!("The index is incomplete."));
        return Err(Failure::Interrupted);
    }
    if indexed.written.lines == 0 {
        return Err(Failure::NoText { path: root.to_owned() });
    }
    let peak = Peak::new();
    let readers = search::readers(&place.file, args.sabotage, &peak)
        .map_err(|error| place.cannot_open(&error))?;
    let outcome = ask(args, place, &readers, &peak, stop, page);
    page.shutdown("readers", &readers.stop());
    outcome
}

/// Asks the user's queries beside the background load, and shows what came of them.
fn ask(
    args: &Args,
    place: &Place,
    readers: &TaskManager<Reader, SearchError>,
    peak: &Peak,
    stop: &CancelToken,
    page: &mut Page,
) -> Result<(), Failure> {
    let words = |letters, limit| {
        let words = readers.task(|_, reader| reader.words(letters, limit)).name("words").run();
        words.map_err(|error| place.failure(error.to_string()))
    };
    let mut queries = args.queries.clone();
    for letters in [LONG_WORD, search::PREFIX] {
        if queries.is_empty() {
            queries = words(letters, 1)?;
            for word in &queries {
                page.line(format_args!(
                    "No query given: asking for {word}, the most frequent word of {letters} or more letters."
                ));
            }
        }
    }
    let load = search::load(&words(search::PREFIX, WORDS)?, args.load);
    let plan = Plan { queries, load, hits: args.hits, sabotage: args.sabotage };

    let bar = progress("Searching", "queries");
    let searched = search::search(readers, &plan, stop, &bar, |query, answer| {
        bar.suspend(|| page.answer(query, answer));
    });
    bar.finish_and_clear();
    page.searched(&searched, peak, readers.metrics().total_tasks_retried);
    match searched.planned - searched.answered() {
        _ if stop.is_cancelled() => Err(Failure::Interrupted),
        0 => Ok(()),
        unanswered => Err(Failure::Unanswered(unanswered)),
    }
}

/// Where the index is.
struct Place {
    file: PathBuf,
    /// Removes the index in the end, unless it is to be kept.
    _temporary: Option<TempDir>,
}

impl Place {
    fn new(kept: Option<&Path>) -> io::Result<Self> {
        if let Some(file) = kept {
            return Ok(Self { file: file.to_owned(), _temporary: None });
        }
        // A folder, since SQLite puts more files beside the database.
        let folder = tempfile::Builder::new().prefix("code_search-").tempdir()?;
        Ok(Self { file: folder.path().join("index.sqlite"), _temporary: Some(folder) })
    }

    /// The database and the files that SQLite puts beside it, as the walk would come upon them.
    fn files(&self) -> Vec<PathBuf> {
        let file = self.file.canonicalize().unwrap_or(self.file.clone());
        ["", "-wal", "-shm", "-journal"]
            .map(|suffix| {
                let mut name = file.clone().into_os_string();
                name.push(suffix);
                PathBuf::from(name)
            })
            .to_vec()
    }

    fn cannot_open(&self, error: &BuildError<SearchError>) -> Failure {
        self.failure(error.inner().map_or_else(|| error.to_string(), ToString::to_string))
    }

    fn failure(&self, reason: String) -> Failure {
        Failure::Database { file: self.file.clone(), reason }
    }
}

/// The first Ctrl-C cancels the token, the second one ends the process on the spot.
///
/// The managers do not get the token (`shutdown_on`): `stop` would find them stopping already and
/// have no report to give.
fn stop_on_ctrl_c() -> Result<CancelToken, ctrlc::Error> {
    let stop = CancelToken::new();
    let token = stop.clone();
    ctrlc::set_handler(move || {
        if token.is_cancelled() {
            process::exit(INTERRUPTED.into());
        }
        token.cancel();
    })?;
    Ok(stop)
}

/// A bar on stderr; invisible where stderr is not a terminal.
fn progress(what: &'static str, unit: &str) -> ProgressBar {
    let template =
        format!("{{msg:9}} {{bar:50}} {{human_pos}} of {{human_len}} {unit}, {{elapsed}}");
    let style =
        ProgressStyle::with_template(&template).expect("the template is constant and well formed");
    ProgressBar::new(0).with_style(style).with_message(what)
}
