//! Whoever waits for a token is woken by whoever cancels it, whichever comes first.

use loom::future::block_on;
use loom::thread;

use crate::cancel::{CancelToken, Why};

// Promise 17: neither of two threads that wait sleeps on.
#[test]
fn a_cancel_wakes_every_thread_that_waits() {
    loom::model(|| {
        let token = CancelToken::new();
        let waiters = [token.clone(), token.clone()].map(|token| {
            thread::spawn(move || {
                token.wait();
                token.why()
            })
        });
        token.cancel();
        for waiter in waiters {
            assert_eq!(waiter.join().unwrap(), Some(Why::Cancelled));
        }
    });
}

// Promise 17: a future that looks, registers and looks again misses no cancel.
#[test]
fn a_cancel_wakes_the_future_that_waits() {
    loom::model(|| {
        let token = CancelToken::new();
        let waiter = {
            let token = token.clone();
            thread::spawn(move || block_on(token.cancelled()))
        };
        token.cancel();
        waiter.join().unwrap();
    });
}

// Promise 17: of two reasons one stays, and both callers' waits end.
#[test]
fn of_a_cancel_and_a_timeout_one_is_the_reason() {
    loom::model(|| {
        let token = CancelToken::new();
        let other = {
            let token = token.clone();
            thread::spawn(move || {
                token.cancel_because(Why::TimedOut);
                token.wait();
                token.why()
            })
        };
        token.cancel();
        token.wait();
        let why = token.why();
        assert!(why.is_some());
        assert_eq!(other.join().unwrap(), why);
    });
}
