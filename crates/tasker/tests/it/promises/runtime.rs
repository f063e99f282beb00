//! A tokio runtime that runs for as long as a test needs it, whichever thread the test is on.

use std::future::Future;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

use crate::support::LIMIT;

/// Clones share the runtime; with the last one it ends.
#[derive(Clone)]
pub(crate) struct Driver(Arc<Driven>);

/// A thread drives the runtime, since one of the current-thread kind makes no progress otherwise.
struct Driven {
    runtime: Handle,
    over: Mutex<Option<oneshot::Sender<()>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Driver {
    /// A multi-thread runtime with so many threads; without any, a current-thread runtime.
    pub(crate) fn start(threads: usize) -> Self {
        let runtime = match threads {
            0 => Builder::new_current_thread().enable_time().build(),
            _ => Builder::new_multi_thread().worker_threads(threads).enable_time().build(),
        };
        let runtime: Runtime = runtime.expect("a runtime");
        let handle = runtime.handle().clone();
        let (over, ended) = oneshot::channel();
        let drive = move || {
            let _ = runtime.block_on(ended); // also where its sender was dropped
        };
        let thread = thread::spawn(drive);
        let (over, thread) = (Mutex::new(Some(over)), Mutex::new(Some(thread)));
        Self(Arc::new(Driven { runtime: handle, over, thread }))
    }

    /// Runs a future in the runtime and blocks until it has ended. Not to be called from inside the runtime.
    #[track_caller]
    pub(crate) fn run<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let (send, receive) = channel();
        self.0.runtime.spawn(async move {
            let _ = send.send(future.await); // nobody listens after the limit
        });
        receive.recv_timeout(LIMIT).expect("what was spawned comes to its end")
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        drop(self.over.lock().unwrap().take());
        let thread = self.thread.lock().unwrap().take();
        // A task that drops its last handle on the manager cannot wait for the runtime that runs it.
        if let Some(thread) = thread
            && Handle::try_current().is_err()
        {
            thread.join().expect("the runtime ends");
        }
    }
}
