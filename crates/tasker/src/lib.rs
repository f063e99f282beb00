//! Runs tasks on workers, each of which owns something expensive: a database connection, an HTTP
//! client, a loaded model, a GPU context.

mod manager;

mod config;
mod error;
mod overflow;
mod submit;

mod cancel;
mod context;
mod handle;
mod outcome;
mod task;

mod completion;
mod detached;
mod engine;
mod queue;
mod worker;

mod pool;
mod resource;

mod autoscale;
mod retry;
mod shutdown;
mod timekeeper;

mod event;
mod logger;
mod metrics;
mod reporter;
mod stats;

mod clock;
mod sync;

#[cfg(all(test, loom))]
mod models;

pub use autoscale::policy::Reason;
pub use cancel::CancelToken;
pub use config::Config;
pub use context::{Cancelled, TaskContext};
pub use error::{BuildError, RejectReason, Rejected, ShutdownError};
pub use event::{DestroyReason, Event, Observer, Owner};
pub use handle::{TaskHandle, TaskStatus};
pub use logger::{Level, Logger, NoopLogger, TracingLogger};
pub use manager::TaskManager;
pub use metrics::{Collector, MetricsCollector, TaskLifecycleTimestamps, TaskMetrics};
pub use outcome::{Outcome, Panic, TaskError};
pub use overflow::Overflow;
pub use retry::backoff::Backoff;
pub use shutdown::{Phase, ShutdownReport, Straggler};
pub use stats::TaskStats;
pub use submit::Task;
pub use task::{Once, Priority, Repeatable, TaskId, Work};

/// Tools for tests (feature `testing`).
#[cfg(feature = "testing")]
pub mod testing {
    pub use crate::clock::ManualClock;
}
