//! The index: an SQLite file with an FTS5 table, one connection that writes and many that read.

use std::ops::AddAssign;
use std::path::Path;

use rusqlite::{Connection, OpenFlags, ffi, params};

use crate::corpus::Batch;

/// Marks a database as an index of this example ("task"), so that no other one is ever overwritten.
const APPLICATION_ID: i32 = 0x7461_736b;

/// One row a line; the default tokenizer splits at `_` and `::`, so `stop_within` is found by
/// `stop` as well as by `stop_within` (which FTS5 reads as the phrase "stop within").
const SCHEMA: &str = "
    CREATE TABLE files (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
    CREATE VIRTUAL TABLE lines USING fts5(body, file UNINDEXED, line UNINDEXED);
    CREATE VIRTUAL TABLE words USING fts5vocab(lines, 'row');";

const COUNT: &str = "SELECT count(*) FROM lines WHERE lines MATCH ?1";

const BEST: &str = "
    SELECT files.name, lines.line, snippet(lines, 0, char(2), char(3), '…', 24)
    FROM lines JOIN files ON files.id = lines.file
    WHERE lines MATCH ?1 ORDER BY lines.rank LIMIT ?2";

/// Characters that enclose the words found in a snippet; hardly any text has its own.
pub(crate) const MARKS: [char; 2] = ['\u{2}', '\u{3}'];

/// Some editors open a file with it.
const BOM: char = '\u{feff}';

/// Why a connection could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SearchError {
    /// The query's own fault: any other connection would say the same.
    #[error("{0}")]
    Syntax(String),
    /// Somebody closed the connection.
    #[error("the connection is closed")]
    Closed,
    /// The file holds another application's data.
    #[error("it is a database of something else, which must not be overwritten")]
    Foreign,
    /// Everything else: disk, locks, corruption.
    #[error("{}", told(.0))]
    Sqlite(#[from] rusqlite::Error),
}

impl SearchError {
    /// Whether the connection that failed is fit for the next task.
    pub(crate) fn is_healthy(&self) -> bool {
        matches!(self, Self::Syntax(_))
    }
}

/// SQLite's own sentence, without the codes and the statement that rusqlite puts around it.
fn told(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        other => other.to_string(),
    }
}

/// The words of a query in the index, and where the best of them are.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) total: u64,
    pub(crate) hits: Vec<Hit>,
}

/// One line that matches.
#[derive(Debug)]
pub(crate) struct Hit {
    pub(crate) file: String,
    pub(crate) line: u64,
    /// The line, or a part of it, with [`MARKS`] around what was searched for.
    pub(crate) snippet: String,
}

/// What a batch has put into the index.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Written {
    pub(crate) files: u64,
    pub(crate) lines: u64,
    pub(crate) bytes: u64,
}

impl AddAssign for Written {
    fn add_assign(&mut self, more: Self) {
        self.files += more.files;
        self.lines += more.lines;
        self.bytes += more.bytes;
    }
}

/// The resource of the manager that writes.
#[derive(Debug)]
pub(crate) struct Writer(Connection);

impl Writer {
    /// Opens or creates the file. Leaves its contents alone.
    pub(crate) fn open(file: &Path) -> Result<Self, SearchError> {
        let connection = Connection::open(file)?;
        let tables: i64 =
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        let owner: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
        if tables > 0 && owner != APPLICATION_ID {
            return Err(SearchError::Foreign);
        }
        // Readers see the last commit and never wait for the writer.
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // An index that a power cut spoils is made anew.
        connection.pragma_update(None, "synchronous", "OFF")?;
        connection.pragma_update(None, "application_id", APPLICATION_ID)?;
        Ok(Self(connection))
    }

    /// Makes the tables anew.
    pub(crate) fn clear(&mut self) -> Result<(), SearchError> {
        let transaction = self.0.transaction()?;
        for table in ["words", "lines", "files"] {
            transaction.execute(&format!("DROP TABLE IF EXISTS {table}"), [])?;
        }
        transaction.execute_batch(SCHEMA)?;
        Ok(transaction.commit()?)
    }

    /// Adds a batch in one transaction: all of it, or nothing.
    pub(crate) fn add(&mut self, batch: &Batch) -> Result<Written, SearchError> {
        let mut written = Written::default();
        let transaction = self.0.transaction()?;
        {
            let mut add_file = transaction.prepare("INSERT INTO files (name) VALUES (?1)")?;
            let mut add_line =
                transaction.prepare("INSERT INTO lines (body, file, line) VALUES (?1, ?2, ?3)")?;
            for document in &batch.documents {
                let file = add_file.insert([&document.name])?;
                written.files += 1;
                written.bytes += document.text.len() as u64;
                for (line, body) in (1i64..).zip(document.text.lines()) {
                    let body = body.trim_matches(|char: char| char.is_whitespace() || char == BOM);
                    if !body.is_empty() {
                        add_line.execute(params![body, file, line])?;
                        written.lines += 1;
                    }
                }
            }
        }
        transaction.commit()?;
        Ok(written)
    }

    /// Merges what the batches left in pieces, so that each query looks in one place.
    pub(crate) fn merge(&mut self) -> Result<(), SearchError> {
        self.0.execute("INSERT INTO lines (lines) VALUES ('optimize')", [])?;
        Ok(self.0.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?)
    }

    /// Closes the connection; as the last one it also tidies up what SQLite keeps beside the file.
    pub(crate) fn close(self) -> Result<(), SearchError> {
        Ok(self.0.close().map_err(|(_, error)| error)?)
    }
}

/// The resource of the manager that searches: a connection that cannot write.
#[derive(Debug)]
pub(crate) struct Reader(Option<Connection>);

impl Reader {
    /// Opens the index, which must exist.
    pub(crate) fn open(file: &Path) -> Result<Self, SearchError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Ok(Self(Some(Connection::open_with_flags(file, flags)?)))
    }

    /// Counts the lines that match, and returns the best `limit` of them.
    pub(crate) fn search(&self, query: &str, limit: u32) -> Result<Found, SearchError> {
        let connection = self.connection()?;
        let mut count = connection.prepare(COUNT)?;
        let total: i64 = count.query_row([query], |row| row.get(0)).map_err(blame)?;
        let mut best = connection.prepare(BEST)?;
        let hits = best
            .query_map(params![query, limit], |row| {
                Ok(Hit {
                    file: row.get(0)?,
                    line: row.get::<_, i64>(1)?.unsigned_abs(),
                    snippet: row.get(2)?,
                })
            })?
            .collect::<Result<_, _>>()
            .map_err(blame)?;
        Ok(Found { total: total.unsigned_abs(), hits })
    }

    /// The most frequent words of at least `letters` letters, most frequent first.
    pub(crate) fn words(&self, letters: u32, limit: u32) -> Result<Vec<String>, SearchError> {
        let mut words = self.connection()?.prepare(
            "SELECT term FROM words WHERE length(term) >= ?1 AND term NOT GLOB '*[^a-z]*' ORDER BY cnt DESC LIMIT ?2",
        )?;
        let words = words.query_map([letters, limit], |row| row.get(0))?;
        Ok(words.collect::<Result<_, _>>()?)
    }

    /// Closes the connection while its worker still counts on it. Fails if that has been done before.
    pub(crate) fn sabotage(&mut self) -> Result<(), SearchError> {
        let connection = self.0.take().ok_or(SearchError::Closed)?;
        Ok(connection.close().map_err(|(_, error)| error)?)
    }

    /// Closes the connection, if it is still there.
    pub(crate) fn close(mut self) -> Result<(), SearchError> {
        match self.sabotage() {
            Err(SearchError::Closed) => Ok(()),
            other => other,
        }
    }

    fn connection(&self) -> Result<&Connection, SearchError> {
        self.0.as_ref().ok_or(SearchError::Closed)
    }
}

/// Checks a query's syntax against an empty index in memory, before any work is done for it.
pub(crate) fn check_syntax(query: &str) -> Result<(), SearchError> {
    let connection = Connection::open_in_memory()?;
    connection.execute_batch(SCHEMA)?;
    Reader(Some(connection)).search(query, 1).map(|_| ())
}

/// The statements are constant and were prepared before, so that a plain `SQLITE_ERROR` while one
/// runs speaks of the query that was put into it.
fn blame(error: rusqlite::Error) -> SearchError {
    match error {
        rusqlite::Error::SqliteFailure(failure, Some(message))
            if failure.extended_code == ffi::SQLITE_ERROR =>
        {
            SearchError::Syntax(message)
        }
        other => SearchError::Sqlite(other),
    }
}
