//! A cell that is filled wakes whoever waits for it, and only the first filling counts.

use std::sync::Arc;

use loom::thread;

use crate::completion::Completion;
use crate::context::TaskContext;
use crate::detached::{Answer, Detached};
use crate::outcome::TaskError;
use crate::queue::awaited::{Supervisor, Ticketed};
use crate::queue::job::{Job, Runnable, Ticket};
use crate::sync::Waiter;
use crate::task::{Repeatable, Settings};

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

// Promise 1: whoever lets go takes what is there with it, and what comes later goes back to whoever brings it.
#[test]
fn an_outcome_that_nobody_wants_stays_with_nobody() {
    loom::model(|| {
        let (cell, value) = (Arc::new(Completion::new()), Arc::new(()));
        let (filler, brought) = (Arc::clone(&cell), Arc::clone(&value));
        let filling = thread::spawn(move || filler.complete(brought).err());
        cell.let_go();
        let back = filling.join().unwrap();
        assert_eq!(Arc::strong_count(&value), 1 + usize::from(back.is_some()));
    });
}

/// A manager that nobody asks.
struct Nobody;

impl Supervisor for Nobody {
    fn cancel(&self, _: &Ticket) {}

    fn seats(&self) -> Vec<usize> {
        Vec::new()
    }

    fn is_held_up_by_awaiting(&self) -> bool {
        false
    }

    fn block_scoped(&self, _: Vec<usize>, _: Arc<dyn Ticketed>) -> u32 {
        0
    }

    fn block(&self, _: Option<u32>, _: Vec<usize>, _: Arc<dyn Ticketed>, _: Waiter) -> Option<u32> {
        None
    }

    fn unblock(&self, _: u32) {}
}

// Promise 1: a task that somebody drops on its way is answered, and its closure is gone by then.
#[test]
fn a_handle_is_answered_when_its_promise_is_dropped() {
    loom::model(|| {
        let closure = Arc::new(());
        let kept = Arc::clone(&closure);
        let work = Repeatable(move |_: &TaskContext, _: &mut u32| {
            let _ = &kept;
            Ok::<(), ()>(())
        });
        let ticket = Ticket::new(Settings::here(0), true, super::now());
        let answer = Answer { completion: Completion::new(), manager: Arc::new(Nobody) };
        let task = Arc::new(Detached::new(0, ticket, work, answer));
        let job: Job<u32, ()> = Job::new(Arc::clone(&task) as Arc<dyn Runnable<u32, ()>>);
        let queue = thread::spawn(move || drop(job));
        let outcome = task.sink.completion.wait();
        assert!(matches!(outcome, Err(TaskError::Killed)));
        assert_eq!(Arc::strong_count(&closure), 1);
        queue.join().unwrap();
    });
}
