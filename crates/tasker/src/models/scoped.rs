//! A scoped call returns only when its closure, and all that it borrows, is let go of.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

use loom::thread;

use crate::worker::scoped::scoped;

/// Says when it is gone, which takes its time.
struct Borrowing<'a>(&'a AtomicBool);

impl Drop for Borrowing<'_> {
    fn drop(&mut self) {
        thread::yield_now();
        self.0.store(true, Ordering::SeqCst);
    }
}

// The safety chapter of `worker/scoped.rs`: whoever drops the closure, wherever, has dropped it before the call returns.
#[test]
fn a_scoped_call_returns_after_its_closure_is_gone() {
    loom::model(|| {
        let gone = AtomicBool::new(false);
        let borrowed = Borrowing(&gone);
        let calls = Cell::new(0);
        let task = Box::new(move |_: &_, (): &mut ()| {
            let _ = &borrowed;
            Ok::<(), ()>(())
        });
        let worker = scoped(task, false, |scoped| {
            calls.set(calls.get() + 1);
            thread::spawn(move || drop(scoped))
        });
        assert!(gone.load(Ordering::SeqCst), "it is gone");
        assert_eq!(calls.get(), 1);
        worker.join().unwrap();
    });
}
