//! The manager's threads: the only place that starts them, and the one that waits for their end.

pub(crate) mod relief;
pub(crate) mod roster;

use std::io;
use std::sync::Arc;
use std::time::Duration;

#[cfg(shuttle)]
use shuttle::thread;
#[cfg(not(shuttle))]
use std::thread;

use thread::{JoinHandle, ThreadId};

use crate::clock::real_now;
use crate::sync::{Condvar, Mutex};

/// The threads of one manager.
#[derive(Debug)]
pub(crate) struct Crew {
    name: String,
    roll: Arc<Roll>,
}

/// Who is there.
#[derive(Debug, Default)]
struct Roll {
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Threads that have not come to their end.
    present: Mutex<Vec<ThreadId>>,
    left: Condvar,
}

impl Crew {
    pub(crate) fn new(name: String) -> Self {
        // The operating system's names end at a NUL; std refuses them.
        Self { name: name.replace('\0', ""), roll: Arc::default() }
    }

    /// Starts a thread with the crew's name and `suffix`.
    pub(crate) fn start(
        &self,
        suffix: impl std::fmt::Display,
        run: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        /// Signs the thread off, whatever way it ends.
        struct SignOff(Arc<Roll>);
        impl Drop for SignOff {
            fn drop(&mut self) {
                let me = thread::current().id();
                self.0.present.lock().retain(|thread| *thread != me);
                self.0.left.notify_all();
            }
        }

        let builder = thread::Builder::new().name(format!("{}-{suffix}", self.name));
        let roll = Arc::clone(&self.roll);
        // Held over the start: the thread cannot sign off before it is on the list.
        let mut present = self.roll.present.lock();
        #[expect(clippy::disallowed_methods, reason = "this is the place that starts threads")]
        let thread = builder.spawn(move || {
            let _sign_off = SignOff(roll);
            run();
        })?;
        present.push(thread.thread().id());
        drop(present);
        let mut threads = self.roll.threads.lock();
        #[cfg(not(shuttle))] // whose threads cannot be asked
        threads.retain(|thread| !thread.is_finished()); // those who have left need no farewell
        threads.push(thread);
        Ok(())
    }

    /// Waits until every thread has ended, except the calling one; for at most `limit`.
    pub(crate) fn join(&self, limit: Option<Duration>) {
        let me = thread::current().id();
        let end = limit.and_then(|limit| real_now().checked_add(limit));
        let mut present = self.roll.present.lock();
        while present.iter().any(|thread| *thread != me) {
            present = match end {
                None => self.roll.left.wait(present),
                Some(end) => {
                    let left = end.saturating_duration_since(real_now());
                    if left.is_zero() {
                        return;
                    }
                    self.roll.left.wait_timeout(present, left)
                }
            };
        }
        drop(present);
        let threads = std::mem::take(&mut *self.roll.threads.lock());
        for thread in threads {
            if thread.thread().id() != me {
                // Workers catch every panic; one that came through anyway has been printed.
                let _ = thread.join();
            }
        }
    }
}
