//! From the end of a task to an HTTP answer.

use axum::extract::rejection::QueryRejection;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use tasker::TaskError;

use crate::fault::Fault;

/// The seconds after which a client may try again: by then everything that waits now has begun or expired.
const RETRY_IN: &str = "1";

/// An answer that is not what was asked for.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    reason: String,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into() }
    }
}

impl From<TaskError<Fault>> for Refusal {
    fn from(error: TaskError<Fault>) -> Self {
        Self::new(status(&error), error.to_string())
    }
}

impl From<QueryRejection> for Refusal {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(StatusCode::BAD_REQUEST, rejection.body_text())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self { status, reason } = self;
        let text = format!("{reason}\n");
        match status {
            StatusCode::SERVICE_UNAVAILABLE => {
                (status, [(RETRY_AFTER, RETRY_IN)], text).into_response()
            }
            _ => (status, text).into_response(),
        }
    }
}

/// Whose fault it is, in the words of HTTP.
fn status(error: &TaskError<Fault>) -> StatusCode {
    match error {
        // Too much to do, or going away. Another try, or another instance, may have more luck.
        TaskError::QueueFull | TaskError::Expired => StatusCode::SERVICE_UNAVAILABLE,
        TaskError::ShuttingDown | TaskError::Killed => StatusCode::SERVICE_UNAVAILABLE,
        // A client that went away reads no answer: whoever reads this one was cancelled by a kill.
        TaskError::Cancelled => StatusCode::SERVICE_UNAVAILABLE,
        TaskError::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        TaskError::Failed(fault) if fault.is_healthy() => StatusCode::SERVICE_UNAVAILABLE,
        // The database is broken in one way or another; the workers go on trying.
        TaskError::RetriesExhausted { .. } | TaskError::CreateFailed(_) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
