//! The first half: one writer puts the corpus into the index, batch by batch.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::ProgressBar;
use tasker::{BuildError, CancelToken, Config, Overflow, TaskError, TaskManager};

use crate::clock;
use crate::corpus::{Corpus, Skipped};
use crate::database::{SearchError, Writer, Written};

/// Batches that may wait for the writer. Together with the batch being read and the one being
/// written they bound the memory that indexing takes, however large the tree is.
const WAITING: usize = 4;

/// What indexing came to.
#[derive(Debug, Default)]
pub(crate) struct Indexed {
    pub(crate) written: Written,
    pub(crate) skipped: Skipped,
    pub(crate) took: Duration,
}

/// A manager with one worker: SQLite allows one writer at a time, and a line in front of it is
/// better than many who try for its lock.
pub(crate) fn writer(
    file: &Path,
) -> Result<TaskManager<Writer, SearchError>, BuildError<SearchError>> {
    let file = file.to_owned();
    TaskManager::new(
        Config::new(move || Writer::open(&file))
            .on_destroy(Writer::close)
            .check_health(SearchError::is_healthy)
            .worker_count(1)
            .max_worker_count(1)
            .resource_pool_size(0) // nothing here calls run_task
            .queue_capacity(WAITING)
            .overflow(Overflow::Wait)
            .thread_name("writer"),
    )
}

/// Makes the index anew from what is below `root`, except the files of `except`. `stop` ends it
/// early.
pub(crate) fn index(
    writer: &TaskManager<Writer, SearchError>,
    root: &Path,
    except: &[PathBuf],
    stop: &CancelToken,
    bar: &ProgressBar,
) -> Result<Indexed, TaskError<SearchError>> {
    let began = clock::now();
    let mut indexed = Indexed::default();
    writer.task_once(|_, database| database.clear()).name("clear").run()?;
    let mut corpus = Corpus::walk(root, except);
    bar.set_length(corpus.len());
    let mut pending = VecDeque::new();
    while !stop.is_cancelled()
        && let Some(batch) = corpus.next()
    {
        let bar = bar.clone();
        // Once: after a failure nobody can tell whether the batch is in.
        let add = writer.task_once(move |_, database: &mut Writer| {
            let written = database.add(&batch)?;
            bar.inc(batch.seen);
            Ok(written)
        });
        pending.push_back(add.name("batch").submit()); // waits while the writer is behind
        while let Some(batch) = pending.pop_front_if(|batch| batch.is_finished()) {
            indexed.written += batch.wait()?;
        }
    }
    for batch in pending {
        indexed.written += batch.wait()?;
    }
    indexed.skipped = corpus.skipped();
    if !stop.is_cancelled() {
        writer.task_once(|_, database| database.merge()).name("merge").run()?;
    }
    indexed.took = clock::now() - began;
    Ok(indexed)
}
