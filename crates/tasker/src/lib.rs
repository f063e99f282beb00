//! Runs tasks on workers, each of which owns something expensive: a database connection, an HTTP
//! client, a loaded model, a GPU context.
//!
//! A [`TaskManager`] has workers; a worker makes one *resource*, keeps it, and runs one task at a time on
//! it. Callers hand in closures and get results back. It is for work that blocks or computes; for work that
//! awaits there is an `AsyncTaskManager`, see [below](#async-code).
//!
//! ```
//! use tasker::{Config, TaskManager};
//!
//! // `R`, the resource, and `E`, the error of resources and tasks, are yours to choose.
//! let config = Config::<Vec<u32>, String>::new(|| Ok(vec![1, 2, 3])).worker_count(2);
//! let manager = TaskManager::new(config)?;
//!
//! let sum: u32 = manager.queue_task(|_, numbers| Ok(numbers.iter().sum()))?; // blocks, may borrow
//! let handle = manager.task(|cx, numbers| Ok((cx.attempt(), numbers.len()))).name("count").submit();
//! assert_eq!((sum, handle.wait()?), (6, (1, 3)));
//!
//! let report = manager.stop()?;
//! assert_eq!((report.accepted, report.completed), (2, 2));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where to begin
//!
//! - [`Config`] has every setting with its default and the reason for it; only `on_create` is required.
//! - [`TaskManager::task`] and [`TaskManager::task_once`] build a [`Task`], which ends in one of
//!   [`run`](Task::run) (blocks), [`submit`](Task::submit) (a [`TaskHandle`] to wait on or await),
//!   [`try_submit`](Task::try_submit) (never blocks), [`on_complete`](Task::on_complete) (a callback) and
//!   [`run_now`](Task::run_now) (ahead of everything). `queue_task`, `run_task` and their kind are short
//!   names for these.
//! - [`TaskError`] says how a task ended if not with its value, [`TaskContext`] what running code may ask.
//! - [`TaskManager::stop`] and [`TaskManager::kill`] end it all, and a [`ShutdownReport`] accounts for it.
//! - [`autoscale`] decides how many workers there are; [`TaskManager::explain`] says why, and what tasks wait
//!   for. [`TaskManager::resize`], [`pause`](TaskManager::pause) and [`resume`](TaskManager::resume) change a
//!   manager that runs.
//! - [`Observer`], [`Logger`] and [`MetricsCollector`] watch, and change nothing.
//! - The module `testing` (feature `testing`) breaks resources on order, so that you can test your settings.
//!
//! # Async code
//!
//! There are two ways to use this crate from async code, and they go well side by side.
//!
//! **A [`TaskManager`], whose handles are awaited.** Its tasks are blocking closures on threads of their own, so
//! that nothing they do holds up the runtime. A [`TaskHandle`] is a future for any executor. `submit` waits for
//! room in a bounded queue by blocking: in async code use `try_submit` there.
//!
//! ```
//! use tasker::{Config, TaskManager};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let manager = TaskManager::<u64, String>::new(Config::new(|| Ok(3)).worker_count(1))?;
//! let handle = manager.task(|_, exponent| Ok((0..1_000_u64).map(|n| n.pow(*exponent as u32)).sum::<u64>()));
//! assert_eq!(handle.submit().await?, 249_500_250_000);
//! # Ok(())
//! # }
//! ```
//!
//! **An `AsyncTaskManager` (feature `tokio`), whose tasks are async closures.** They run in the caller's own
//! future, or, submitted, in its runtime. A worker is a slot with a resource, so that there can be thousands.
//!
//! | the task | manager |
//! |---|---|
//! | computes for more than some 100 µs between two awaits | `TaskManager` |
//! | blocks: files, a driver that is not async, a GPU, SQLite | `TaskManager` |
//! | waits for the network with an async client | `AsyncTaskManager` |
//! | must be stopped at a deadline although it does not look at its context | `AsyncTaskManager`: its future is dropped |
//! | uses a resource that is not `Send` | `TaskManager::new_local` |
//! | both: fetches, then computes | one of each; the async task awaits the other's handle |
//!
//! A closure that is awaited in place may borrow and need not be `Send`. One that is submitted, or awaited inside
//! `tokio::spawn`, has to be `async move`; the compiler says of others that something is "not general enough".
//! `AsyncTask` has the details.
//!
//! # What happens when something breaks
//!
//! [`Config::check_health`] divides errors in two. A healthy error is the task's own and ends it. An
//! unhealthy one condemns the resource: the worker destroys it and makes another, and the task runs again
//! elsewhere, up to [`Config::max_retries`] times. A panic ends its task and condemns the resource too.
//! A worker that gets no resource tries again, from 10 ms to 30 s apart, as long as the manager runs.
//!
//! # What it does not do
//!
//! Nothing is kept on disk or sent to other machines. A blocking closure that ignores its [`TaskContext`]
//! cannot be stopped, only be named in a report. A busy High lane starves
//! the Low one. A task that blocks on another task of its own manager gets [`TaskError::WouldDeadlock`] where it
//! would wait for ever; what waits by other means, over a second manager or a lock of its own, is not known.

mod manager;

mod config;
mod error;
mod knobs;
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

pub mod autoscale;
mod retry;
mod shutdown;
mod timekeeper;

mod event;
mod explain;
mod logger;
mod metrics;
mod reporter;
mod stats;

mod clock;
mod sync;

#[cfg(feature = "tokio")]
mod aio;

#[cfg(feature = "testing")]
pub mod testing;

#[cfg(all(test, loom))]
mod models;

#[cfg(all(test, shuttle))]
mod schedules;

#[doc(hidden)]
#[cfg(any(fuzzing, all(test, not(any(loom, shuttle)))))]
pub mod operations;

#[cfg(feature = "tokio")]
pub use aio::{AsyncConfig, AsyncTask, AsyncTaskManager};
pub use cancel::CancelToken;
pub use config::Config;
pub use context::{Cancelled, TaskContext};
pub use error::{BuildError, RejectReason, Rejected, ResizeError, ShutdownError};
pub use event::{DestroyReason, Event, Observer, Owner};
pub use explain::{Change, Explanation, StuckTask, Waiting};
pub use handle::{CancelOnDrop, TaskHandle, TaskStatus};
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

#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
