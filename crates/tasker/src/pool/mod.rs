//! The manager's threads: the only place that starts them, and the one that waits for their end.

pub(crate) mod roster;

use std::io;
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

/// The threads of one manager.
#[derive(Debug)]
pub(crate) struct Crew {
    name: String,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Crew {
    pub(crate) fn new(name: String) -> Self {
        Self { name, threads: Mutex::new(Vec::new()) }
    }

    /// Starts a thread with the crew's name and `suffix`.
    pub(crate) fn start(
        &self,
        suffix: impl std::fmt::Display,
        run: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        let builder = std::thread::Builder::new().name(format!("{}-{suffix}", self.name));
        #[expect(clippy::disallowed_methods, reason = "this is the place that starts threads")]
        let thread = builder.spawn(run)?;
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.retain(|thread| !thread.is_finished()); // those who have left need no farewell
        threads.push(thread);
        Ok(())
    }

    /// Waits until every thread has ended, except the calling one.
    pub(crate) fn join(&self) {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let me = std::thread::current().id();
        for thread in threads.drain(..) {
            if thread.thread().id() != me {
                // Workers catch every panic; one that came through anyway has been printed.
                let _ = thread.join();
            }
        }
    }
}
