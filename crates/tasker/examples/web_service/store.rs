//! The work that uses a database: remembers what was counted, with a connection for each worker.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use tasker::TaskContext;

use crate::fault::Fault;
use crate::primes::Range;

/// Marks a database as one of this example ("webs"), so that no other one is ever changed.
const APPLICATION_ID: i32 = 0x7765_6273;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS counts (
        id INTEGER PRIMARY KEY, low INTEGER NOT NULL, high INTEGER NOT NULL, primes INTEGER NOT NULL,
        UNIQUE (low, high)
    );";

/// How long SQLite waits for another writer. Less than a task's timeout, which cannot end that wait.
const BUSY: Duration = Duration::from_secs(1);

/// After so many of its instructions SQLite asks whether to go on: often enough to stop within a millisecond.
const INSTRUCTIONS: i32 = 1_000;

/// Makes the tables if there are none. The connection is to be closed when the workers have closed theirs.
///
/// Theirs need one before and one after them: several that switch to WAL at the same time get in each
/// other's way, and several that close at the same time leave its files behind.
pub(crate) fn prepare(file: &Path) -> Result<Store, Fault> {
    let store = Store::open(file)?;
    let connection = &store.0;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let owner: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if tables > 0 && owner != APPLICATION_ID {
        return Err(Fault::Foreign);
    }
    // Those who look up never wait for the one who writes.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.execute_batch(SCHEMA)?;
    Ok(store)
}

/// The resource of the store's workers.
#[derive(Debug)]
pub(crate) struct Store(Connection);

impl Store {
    pub(crate) fn open(file: &Path) -> Result<Self, Fault> {
        let connection = Connection::open(file)?;
        connection.busy_timeout(BUSY)?;
        // With WAL a power cut may lose the last answers, which can be counted again, and spoils nothing.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        Ok(Self(connection))
    }

    /// Closes the connection, and says so if that fails, as a drop cannot.
    pub(crate) fn close(self) -> Result<(), Fault> {
        Ok(self.0.close().map_err(|(_, error)| error)?)
    }

    /// How many primes the range has, if that was counted before.
    pub(crate) fn known(&mut self, cx: &TaskContext, range: Range) -> Result<Option<u64>, Fault> {
        let query = "SELECT primes FROM counts WHERE low = ?1 AND high = ?2";
        let mut known = self.connection(cx)?.prepare(query)?;
        let known = known.query_row(numbers(range), |row| row.get(0)).optional()?;
        Ok(known.map(i64::cast_unsigned))
    }

    /// Does no harm if it happens twice, so that it may be retried.
    pub(crate) fn remember(
        &mut self,
        cx: &TaskContext,
        range: Range,
        primes: u64,
    ) -> Result<(), Fault> {
        let insert = "INSERT OR IGNORE INTO counts (low, high, primes) VALUES (?1, ?2, ?3)";
        let [low, high] = numbers(range);
        self.connection(cx)?.execute(insert, params![low, high, primes.cast_signed()])?;
        Ok(())
    }

    /// What was counted last, the newest first.
    pub(crate) fn history(
        &mut self,
        cx: &TaskContext,
        limit: u32,
    ) -> Result<Vec<(Range, u64)>, Fault> {
        let query = "SELECT low, high, primes FROM counts ORDER BY id DESC LIMIT ?1";
        let mut history = self.connection(cx)?.prepare(query)?;
        let number = |row: &rusqlite::Row<'_>, at| row.get(at).map(i64::cast_unsigned);
        let rows = history.query_map([limit], |row| {
            Ok((Range { from: number(row, 0)?, to: number(row, 1)? }, number(row, 2)?))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Fails if the database cannot be read.
    pub(crate) fn ping(&mut self, cx: &TaskContext) -> Result<(), Fault> {
        self.history(cx, 1).map(|_| ())
    }

    /// The connection for one task. A statement that runs asks the task's context, so that timeouts and
    /// clients that go away reach into SQLite.
    fn connection(&mut self, cx: &TaskContext) -> Result<&Connection, Fault> {
        let token = cx.token();
        self.0.progress_handler(INSTRUCTIONS, Some(move || token.is_cancelled()))?;
        Ok(&self.0)
    }
}

/// SQLite's integers have a sign; ranges end long before it matters.
fn numbers(range: Range) -> [i64; 2] {
    [range.from, range.to].map(u64::cast_signed)
}
