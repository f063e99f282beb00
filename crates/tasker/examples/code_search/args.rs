//! What the command line may say.

use std::path::{Path, PathBuf};

use clap::Parser;

/// The checkout that this example was built from: what is searched when no PATH is given.
const CHECKOUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

const MORE: &str = "\
The queries given run at high priority, beside a load of background queries at normal priority that
are made of words from the index. Hidden files, and what .gitignore names, are left out.

Queries are those of SQLite's FTS5; all words of a query must stand on one line:
  worker                 lines with this word
  burst interval         lines with both words, in any order
  '\"stop_within\"'        quotes around anything with punctuation in it
  'shut*'                words that begin so
  'retry NOT backoff'    also OR, AND and NEAR(a b, 5)

Examples, where code_search is `cargo run --release --example code_search --`:
  code_search                                  this checkout, its most frequent word
  code_search ~/src/linux/kernel 'spin lock'   another tree
  code_search . worker queue --sabotage 5      break five connections during the search
  code_search . worker --db index.sqlite       keep the index
  code_search . worker --load 50000            a longer load (Ctrl-C ends it in order)

Exit codes:
  0    every query was answered
  1    PATH or database at fault, nothing to index, or a query without an answer
  2    wrong usage, or a query with broken syntax
  130  interrupted";

/// Indexes the text files below PATH into SQLite with one writer and searches them with many readers
#[derive(Debug, Parser)]
#[command(name = "code_search", after_help = MORE)]
pub(crate) struct Args {
    /// Folder or file to index [default: the checkout this was built from]
    path: Option<PathBuf>,

    /// What to search for, one argument each [default: the most frequent long word]
    #[arg(value_name = "QUERY")]
    pub(crate) queries: Vec<String>,

    /// Keep the index in FILE, made anew [default: a temporary file]
    #[arg(long, value_name = "FILE")]
    pub(crate) db: Option<PathBuf>,

    /// Close the connections of N readers under their workers' feet
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) sabotage: u32,

    /// How many background queries to run
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    pub(crate) load: u32,

    /// How many hits to show for each query
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) hits: u32,
}

impl Args {
    /// The folder or file to index.
    pub(crate) fn path(&self) -> &Path {
        self.path.as_deref().unwrap_or(Path::new(CHECKOUT))
    }
}
