//! Finds threads that a manager has left behind, by the name that it gave them.

use std::sync::atomic::{AtomicUsize, Ordering};

#[cfg(target_os = "linux")]
use super::eventually;

/// A name that no other manager of this process has, short enough for the system.
pub(crate) fn unique_name() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("crew{}x", NEXT.fetch_add(1, Ordering::SeqCst))
}

/// How many threads of this process have a name that begins with `prefix`.
#[cfg(target_os = "linux")]
pub(crate) fn threads_of(prefix: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| {
        // A thread may end while we look.
        std::fs::read_to_string(task.ok()?.path().join("comm")).ok()
    });
    names.filter(|name| name.starts_with(prefix)).count()
}

/// Fails unless the threads are gone. A joined one disappears from the system's list a moment after it can be
/// joined.
#[cfg(target_os = "linux")]
#[track_caller]
pub(crate) fn assert_gone(prefix: &str) {
    eventually("the threads are gone", || threads_of(prefix) == 0);
}

/// Other systems do not list threads by name in a file.
#[cfg(not(target_os = "linux"))]
pub(crate) fn assert_gone(_: &str) {}
