//! A task whose attempt has found its resource broken runs again or ends, and is answered once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use loom::thread;

use super::lending::{give_back, idle_seat, take, wait};
use super::queue::{start, submit};
use super::time::{SOON, keep_time};
use super::{Counted, final_report, now, perform, queue, shut_down};
use crate::outcome::TaskError;
use crate::queue::{Effects, Queue};
use crate::task::Settings;
use crate::worker::settle::{Case, Gone, Went};

// Promises 1 and 6: the timekeeper has the task run again, when its worker has another resource or before.
#[test]
fn a_task_that_is_due_again_runs_again() {
    loom::model(|| {
        let queue = queue(1, false);
        let timekeeper = keep_time(&queue);
        let task = Counted::that_fails(1);
        assert!(submit(&queue, &task));
        let worker = start(&queue);
        while task.answered() == 0 {
            thread::yield_now();
        }
        shut_down(&queue, false);
        timekeeper.join().unwrap();
        worker.join().unwrap();
        assert_eq!((task.ran(), task.answered(), final_report(&queue).completed), (2, 1, 1));
    });
}

// Promises 6 and 10: a stop does not wait for the time of a second attempt, and does not do without it.
#[test]
fn a_stop_runs_a_task_again() {
    loom::model(|| {
        let queue = queue(1, false);
        let worker = start(&queue);
        let task = Counted::that_fails(1);
        assert!(submit(&queue, &task));
        shut_down(&queue, false);
        queue.await_done(None);
        worker.join().unwrap();
        assert_eq!((task.ran(), task.answered(), final_report(&queue).completed), (2, 1, 1));
    });
}

// Promises 1 and 11: a kill ends it wherever it is between its attempts, and nothing that is killed runs again.
#[test]
fn a_kill_ends_a_task_that_was_to_run_again() {
    loom::model(|| {
        let queue = queue(1, false);
        let worker = start(&queue);
        let task = Counted::that_fails(1);
        assert!(submit(&queue, &task));
        shut_down(&queue, true);
        queue.await_done(None);
        worker.join().unwrap();
        assert_eq!(task.answered(), 1);
        let report = final_report(&queue);
        assert_eq!((report.accepted, report.completed, report.failed), (1, 0, 0));
        assert!(task.ran() <= 1 && report.cancelled as usize <= task.ran());
    });
}

// Promises 1 and 17: a cancel ends it wherever it is between its attempts; one that comes too late changes nothing.
#[test]
fn a_cancel_ends_a_task_that_was_to_run_again() {
    for again in [false, true] {
        loom::model(move || {
            let queue = queue(1, false);
            let task = Counted::that_fails(1);
            assert!(submit(&queue, &task));
            let worker = start(&queue);
            let canceller = again.then(|| {
                let (queue, task) = (Arc::clone(&queue), Arc::clone(&task));
                thread::spawn(move || cancel(&queue, &task))
            });
            match canceller {
                None => cancel(&queue, &task),
                Some(canceller) => {
                    // The second attempt begins, if the first one has failed by now.
                    let mut fx = Effects::new();
                    let _ = queue.due(now() + SOON, &mut fx);
                    perform(fx);
                    canceller.join().unwrap();
                }
            }
            shut_down(&queue, false);
            queue.await_done(None);
            worker.join().unwrap();
            assert_eq!(task.answered(), 1);
            let report = final_report(&queue);
            let completed = u64::from(task.ran() == 2);
            assert_eq!((report.completed, report.cancelled), (completed, 1 - completed));
            assert!(again || completed == 0, "there was no time for a second attempt");
        });
    }
}

fn cancel(queue: &Queue<u32, ()>, task: &Counted) {
    let mut fx = Effects::new();
    queue.cancel(&task.ticket, now(), &mut fx);
    perform(fx);
}

/// A blocking call whose first attempt finds its resource broken; how often it ran, and how it ended.
fn call_twice(queue: &Queue<u32, ()>) -> (usize, Result<(), (TaskError<()>, bool)>) {
    let settings = Settings::here(1);
    let mut loan = match take(queue, &settings) {
        Ok(loan) => loan,
        Err(told) => return (0, Err(told)),
    };
    for ran in 1.. {
        let went = if ran == 1 { Went::Wrong { healthy: false } } else { Went::Well };
        let (may_run_again, max_retries) = (true, settings.max_retries);
        let case = Case {
            went,
            may_run_again,
            attempt: ran,
            max_retries,
            ..Case::not_begun(Gone::Caller)
        };
        let ran = ran as usize;
        let Some(key) = give_back(queue, loan, &settings, case) else { return (ran, Ok(())) };
        match wait(queue, key) {
            Ok(next) => loan = next,
            Err(told) => return (ran, Err(told)),
        }
    }
    unreachable!("it ends")
}

/// A queue with two resources that lie idle; nobody replaces one that was broken.
fn two_idle() -> Arc<Queue<u32, ()>> {
    let queue = queue(2, true);
    idle_seat(&queue);
    idle_seat(&queue);
    queue
}

// Promises 1 and 6: a caller that waits for the time of its second attempt is woken for it.
#[test]
fn a_caller_that_is_due_again_is_woken() {
    loom::model(|| {
        let queue = two_idle();
        let over = Arc::new(AtomicBool::new(false));
        let caller = {
            let (queue, over) = (Arc::clone(&queue), Arc::clone(&over));
            thread::spawn(move || {
                let (ran, ended) = call_twice(&queue);
                over.store(true, Ordering::SeqCst);
                assert!(ran == 2 && ended.is_ok());
            })
        };
        while !over.load(Ordering::SeqCst) {
            let mut fx = Effects::new();
            let _ = queue.due(now() + SOON, &mut fx);
            perform(fx);
            thread::yield_now();
        }
        caller.join().unwrap();
        assert_eq!(final_report(&queue).completed, 1);
    });
}

// Promises 6, 10 and 11: a stop wakes it at once for its second attempt, and a kill to tell it.
#[test]
fn a_shutdown_wakes_the_caller_that_was_to_run_again() {
    for kill in [false, true] {
        loom::model(move || {
            let queue = two_idle();
            let caller = {
                let queue = Arc::clone(&queue);
                thread::spawn(move || call_twice(&queue))
            };
            shut_down(&queue, kill);
            let (ran, ended) = caller.join().unwrap();
            match (ran, &ended) {
                (0, Err((TaskError::ShuttingDown, false))) => {} // it came after the shutdown
                (1, Err((TaskError::Killed, true)) | Ok(())) => assert!(kill),
                (2, Ok(())) => assert!(!kill),
                _ => panic!("{ran}, {ended:?}"),
            }
            let report = final_report(&queue);
            assert_eq!(report.accepted, u64::from(ran > 0));
            assert_eq!(report.completed, u64::from(ran == 2));
        });
    }
}
