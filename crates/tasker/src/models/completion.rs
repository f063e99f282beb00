//! A cell that is filled wakes whoever waits for it, and only the first filling counts.

use std::sync::Arc;

use loom::thread;

use crate::completion::Completion;

// Promise 1.
#[test]
fn a_waiter_always_gets_the_value() {
    loom::model(|| {
        let cell = Arc::new(Completion::new());
        let filler = Arc::clone(&cell);
        let filling = thread::spawn(move || filler.complete(7).is_ok());
        assert_eq!(cell.wait(), 7);
        assert!(filling.join().unwrap());
    });
}

// Promises 1 and 17.
#[test]
fn cancel_and_finish_have_one_winner() {
    loom::model(|| {
        let cell = Arc::new(Completion::new());
        let fillers = ["finished", "cancelled"].map(|how| {
            let cell = Arc::clone(&cell);
            thread::spawn(move || cell.complete(how).is_ok())
        });
        let got = cell.wait();
        let won = fillers.map(|filler| filler.join().unwrap());
        assert_eq!(won.iter().filter(|won| **won).count(), 1);
        assert_eq!(got, if won[0] { "finished" } else { "cancelled" });
    });
}

// Promise 1: a future that is polled before, while or after the cell is filled is woken.
#[test]
fn a_polled_future_is_woken_when_the_cell_is_filled() {
    loom::model(|| {
        let cell = Arc::new(Completion::new());
        let filler = Arc::clone(&cell);
        let filling = thread::spawn(move || filler.complete(7));
        let got = loom::future::block_on(std::future::poll_fn(|cx| cell.poll(cx.waker())));
        assert_eq!(got, 7);
        filling.join().unwrap().unwrap();
    });
}
