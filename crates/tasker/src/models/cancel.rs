//! Whoever waits for a token, as a thread or as a future, learns of its cancel.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use loom::thread;

use crate::cancel::{CancelToken, Why};

/// Counts how often it was woken.
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

// Promise 17: a thread that looks at the very moment of the cancel does not sleep through it.
#[test]
fn a_thread_that_waits_misses_no_cancel() {
    loom::model(|| {
        let token = CancelToken::new();
        let other = token.clone();
        let canceller = thread::spawn(move || other.cancel_because(Why::TimedOut));
        token.wait();
        assert_eq!(token.why(), Some(Why::TimedOut));
        canceller.join().unwrap();
    });
}

// Promise 17: a waker that is left at the very moment of the cancel is woken once.
#[test]
fn a_waker_that_is_left_is_woken_once() {
    loom::model(|| {
        let token = CancelToken::new();
        let other = token.clone();
        let canceller = thread::spawn(move || other.cancel());
        let count = Arc::new(Count(AtomicUsize::new(0)));
        token.on_cancel(Waker::from(Arc::clone(&count)));
        canceller.join().unwrap();
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
    });
}
