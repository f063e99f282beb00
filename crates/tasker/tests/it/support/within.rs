//! The guard against hangs: what does not end in time fails its test.

use std::panic::resume_unwind;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use super::{Door, Manager};

/// How long anything may take before its test fails. Nothing is expected to come near it.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// Runs `f` on a thread and gives its value; fails if that takes longer than `limit`.
pub(crate) fn within<T: Send + 'static>(
    limit: Duration,
    f: impl FnOnce() -> T + Send + 'static,
) -> T {
    run_named("within", limit, f)
}

/// Runs `test` for every kind of manager; the thread that fails is named after the kind.
pub(crate) fn on_every_manager(test: fn(Manager)) {
    for kind in Manager::ALL {
        run_named(kind.name(), LIMIT, move || test(kind));
    }
}

/// Runs `test` for every kind of manager and every way to hand it a task.
pub(crate) fn on_every_door(test: fn(Manager, Door)) {
    for kind in Manager::ALL {
        for door in Door::ALL {
            let name = format!("{} by {door:?}", kind.name());
            run_named(&name, LIMIT, move || test(kind, door));
        }
    }
}

/// Runs `f` on a thread of that name, which a failure tells; fails if that takes longer than `limit`.
pub(crate) fn run_named<T: Send + 'static>(
    name: &str,
    limit: Duration,
    f: impl FnOnce() -> T + Send + 'static,
) -> T {
    let (done, ended) = channel();
    let run = move || {
        let value = f();
        let _ = done.send(()); // nobody listens after the limit
        value
    };
    let thread = thread::Builder::new().name(name.to_owned()).spawn(run).expect("a thread");
    // A panic drops the sender: that is an end as well, and `join` tells which.
    if ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
        panic!("{name}: not over after {limit:?}: somebody hangs");
    }
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}
