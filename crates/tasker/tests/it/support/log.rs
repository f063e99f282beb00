//! A logger that keeps what it was told.

use std::fmt::Arguments;
use std::sync::{Arc, Mutex};

use tasker::Logger;

/// Keeps warnings and errors.
#[derive(Clone, Default)]
pub(crate) struct Log(pub(crate) Arc<Mutex<Vec<String>>>);

impl Log {
    /// How many lines contain `words`; each begins with `warn: ` or `error: `.
    pub(crate) fn count(&self, words: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|line| line.contains(words)).count()
    }
}

impl Logger for Log {
    fn debug(&self, _: Arguments<'_>) {}
    fn info(&self, _: Arguments<'_>) {}
    fn warn(&self, message: Arguments<'_>) {
        self.0.lock().unwrap().push(format!("warn: {message}"));
    }
    fn error(&self, message: Arguments<'_>) {
        self.0.lock().unwrap().push(format!("error: {message}"));
    }
}
