//! The text files below a path, in batches; what is not readable text is counted, not read further.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::vec;

use ignore::WalkBuilder;

/// Larger files are data or generated, and would crowd out the code.
const MAX_FILE: u64 = 1 << 20;
/// A NUL byte this early makes a file binary, as in Git and grep.
const SNIFF: usize = 8 << 10;
/// A batch ends once it holds so much text: enough for one transaction to be worth it, little
/// enough for a few waiting ones to fit in memory.
const BATCH: usize = 256 << 10;

/// One text file.
#[derive(Debug)]
pub(crate) struct Document {
    /// Relative to the path that is indexed.
    pub(crate) name: String,
    pub(crate) text: String,
}

/// What one transaction of the writer takes.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) documents: Vec<Document>,
    /// Of all documents together.
    pub(crate) bytes: usize,
    /// Files looked at for this batch, the skipped ones included.
    pub(crate) seen: u64,
}

/// Files that were found and left out, by reason.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Skipped {
    pub(crate) binary: u64,
    pub(crate) unreadable: u64,
    pub(crate) too_large: u64,
}

/// The files below a path, found at once and read batch by batch.
#[derive(Debug)]
pub(crate) struct Corpus {
    root: PathBuf,
    files: vec::IntoIter<PathBuf>,
    skipped: Skipped,
}

impl Corpus {
    /// Walks `root`; the files of `except` are not part of it.
    pub(crate) fn walk(root: &Path, except: &[PathBuf]) -> Self {
        let mut files = Vec::new();
        let mut skipped = Skipped::default();
        // Without `require_git(false)`, an unpacked archive's .gitignore would not count.
        let walk = WalkBuilder::new(root).require_git(false).sort_by_file_name(Ord::cmp).build();
        for entry in walk {
            match entry {
                // Neither links (their target is found by its own name) nor pipes (which may
                // never end).
                Ok(entry) if entry.file_type().is_some_and(|kind| kind.is_file()) => {
                    let path = entry.into_path();
                    if !except.contains(&path) {
                        files.push(path);
                    }
                }
                Ok(_) => {}
                Err(_) => skipped.unreadable += 1,
            }
        }
        Self { root: root.to_owned(), files: files.into_iter(), skipped }
    }

    /// How many files are still to be read.
    pub(crate) fn len(&self) -> u64 {
        self.files.len() as u64
    }

    /// What has been left out so far.
    pub(crate) fn skipped(&self) -> Skipped {
        self.skipped
    }

    fn name(&self, file: &Path) -> String {
        let relative = file.strip_prefix(&self.root).unwrap_or(file);
        // PATH is a file itself: its own name is all there is to show.
        let shown = if relative.as_os_str().is_empty() {
            file.file_name().map_or(file, Path::new)
        } else {
            relative
        };
        shown.to_string_lossy().into_owned()
    }
}

impl Iterator for Corpus {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        let mut batch = Batch::default();
        while batch.bytes < BATCH {
            let Some(file) = self.files.next() else { break };
            batch.seen += 1;
            match read(&file) {
                Ok(text) => {
                    batch.bytes += text.len();
                    batch.documents.push(Document { name: self.name(&file), text });
                }
                Err(Skip::Binary) => self.skipped.binary += 1,
                Err(Skip::Unreadable) => self.skipped.unreadable += 1,
                Err(Skip::TooLarge) => self.skipped.too_large += 1,
            }
        }
        (batch.seen > 0).then_some(batch)
    }
}

enum Skip {
    Binary,
    Unreadable,
    TooLarge,
}

fn read(file: &Path) -> Result<String, Skip> {
    let mut bytes = Vec::new();
    // The length is limited while reading, since a file's size may change or be a lie (/proc).
    File::open(file)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes))
        .map_err(|_| Skip::Unreadable)?;
    if bytes[..bytes.len().min(SNIFF)].contains(&0) {
        return Err(Skip::Binary);
    }
    if bytes.len() as u64 > MAX_FILE {
        return Err(Skip::TooLarge);
    }
    String::from_utf8(bytes).map_err(|_| Skip::Binary)
}
