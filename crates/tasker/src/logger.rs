//! Where messages for people go: the `tracing` crate by default, or a logger of the user's own.

use std::fmt;

/// How important a message is.
///
/// ```
/// use tasker::Level;
///
/// let shown = |level| level >= Level::Warn; // as in a logger's `enabled`
/// assert!(shown(Level::Error) && !shown(Level::Info));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Level {
    /// For whoever develops with the library.
    Debug,
    /// What an operator wants to see once.
    Info,
    /// Something failed and is being handled.
    Warn,
    /// Something failed that should not.
    Error,
}

/// Receives the manager's messages. A panic inside is caught; it is never called under a lock.
///
/// ```
/// use std::fmt::Arguments;
/// use tasker::{Config, Logger, TaskManager};
///
/// struct Stderr;
/// impl Logger for Stderr {
///     fn debug(&self, _: Arguments<'_>) {}
///     fn info(&self, message: Arguments<'_>) { eprintln!("info: {message}") }
///     fn warn(&self, message: Arguments<'_>) { eprintln!("warn: {message}") }
///     fn error(&self, message: Arguments<'_>) { eprintln!("error: {message}") }
/// }
///
/// let config = Config::<(), String>::new(|| Ok(())).worker_count(1).logger(Stderr);
/// TaskManager::new(config)?.stop()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Logger: Send + Sync + 'static {
    /// A message of level [`Level::Debug`].
    fn debug(&self, message: fmt::Arguments<'_>);
    /// A message of level [`Level::Info`].
    fn info(&self, message: fmt::Arguments<'_>);
    /// A message of level [`Level::Warn`].
    fn warn(&self, message: fmt::Arguments<'_>);
    /// A message of level [`Level::Error`].
    fn error(&self, message: fmt::Arguments<'_>);
    /// Asked before a message is formatted. Default: every level, because a logger knows its own filter.
    fn enabled(&self, level: Level) -> bool {
        let _ = level;
        true
    }
}

/// The default: events of the `tracing` crate with the target `tasker`.
#[derive(Debug, Clone, Copy, Default)]
pub struct TracingLogger;

impl Logger for TracingLogger {
    fn debug(&self, message: fmt::Arguments<'_>) {
        tracing::debug!(target: "tasker", "{message}");
    }
    fn info(&self, message: fmt::Arguments<'_>) {
        tracing::info!(target: "tasker", "{message}");
    }
    fn warn(&self, message: fmt::Arguments<'_>) {
        tracing::warn!(target: "tasker", "{message}");
    }
    fn error(&self, message: fmt::Arguments<'_>) {
        tracing::error!(target: "tasker", "{message}");
    }
    fn enabled(&self, level: Level) -> bool {
        match level {
            Level::Debug => tracing::enabled!(target: "tasker", tracing::Level::DEBUG),
            Level::Info => tracing::enabled!(target: "tasker", tracing::Level::INFO),
            Level::Warn => tracing::enabled!(target: "tasker", tracing::Level::WARN),
            Level::Error => tracing::enabled!(target: "tasker", tracing::Level::ERROR),
        }
    }
}

/// Drops every message.
///
/// ```
/// use tasker::{Config, NoopLogger, TaskManager};
///
/// let config = Config::<(), String>::new(|| Ok(())).worker_count(1).logger(NoopLogger);
/// TaskManager::new(config)?.stop()?; // in silence
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct NoopLogger;

impl Logger for NoopLogger {
    fn debug(&self, _: fmt::Arguments<'_>) {}
    fn info(&self, _: fmt::Arguments<'_>) {}
    fn warn(&self, _: fmt::Arguments<'_>) {}
    fn error(&self, _: fmt::Arguments<'_>) {}
    fn enabled(&self, _: Level) -> bool {
        false
    }
}
