//! The manager's threads: the only place that starts them, and the one that waits for their end.

pub(crate) mod relief;
pub(crate) mod roster;

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, ThreadId};
use std::time::Duration;

use crate::clock::real_now;

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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
                let me = std::thread::current().id();
                lock(&self.0.present).retain(|thread| *thread != me);
                self.0.left.notify_all();
            }
        }

        let builder = std::thread::Builder::new().name(format!("{}-{suffix}", self.name));
        let roll = Arc::clone(&self.roll);
        // Held over the start: the thread cannot sign off before it is on the list.
        let mut present = lock(&self.roll.present);
        #[expect(clippy::disallowed_methods, reason = "this is the place that starts threads")]
        let thread = builder.spawn(move || {
            let _sign_off = SignOff(roll);
            run();
        })?;
        present.push(thread.thread().id());
        drop(present);
        let mut threads = lock(&self.roll.threads);
        threads.retain(|thread| !thread.is_finished()); // those who have left need no farewell
        threads.push(thread);
        Ok(())
    }

    /// Waits until every thread has ended, except the calling one; for at most `limit`.
    pub(crate) fn join(&self, limit: Option<Duration>) {
        let me = std::thread::current().id();
        let end = limit.and_then(|limit| real_now().checked_add(limit));
        let mut present = lock(&self.roll.present);
        while present.iter().any(|thread| *thread != me) {
            present = match end {
                None => self.roll.left.wait(present).unwrap_or_else(PoisonError::into_inner),
                Some(end) => {
                    let left = end.saturating_duration_since(real_now());
                    if left.is_zero() {
                        return;
                    }
                    match self.roll.left.wait_timeout(present, left) {
                        Ok((present, _)) => present,
                        Err(poisoned) => poisoned.into_inner().0,
                    }
                }
            };
        }
        drop(present);
        let threads = std::mem::take(&mut *lock(&self.roll.threads));
        for thread in threads {
            if thread.thread().id() != me {
                // Workers catch every panic; one that came through anyway has been printed.
                let _ = thread.join();
            }
        }
    }
}
