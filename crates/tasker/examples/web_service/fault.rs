//! What can go wrong in a task, and whether its resource is to blame.

use rusqlite::ErrorCode;
use tasker::Cancelled;

/// Why a task has no result. One type for both managers, so that one function turns it into a status.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// The task's context was cancelled. Nobody reads this: the task ends as what cancelled it.
    #[error(transparent)]
    Stopped(#[from] Cancelled),
    /// Another process keeps the database to itself for now.
    #[error("the database is busy")]
    Busy,
    /// The file holds another application's data.
    #[error("it is a database of something else, which must not be changed")]
    Foreign,
    /// Everything else that SQLite says: disk, corruption, a file that has gone.
    #[error("{}", told(.0))]
    Broken(rusqlite::Error),
}

impl Fault {
    /// Whether the resource that failed is fit for the next task.
    pub(crate) fn is_healthy(&self) -> bool {
        match self {
            Self::Stopped(_) | Self::Busy => true,
            Self::Foreign | Self::Broken(_) => false,
        }
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) => Self::Stopped(Cancelled),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            _ => Self::Broken(error),
        }
    }
}

/// SQLite's own sentence, without the codes and the statement that rusqlite puts around it.
fn told(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        other => other.to_string(),
    }
}
