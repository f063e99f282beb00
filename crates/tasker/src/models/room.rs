//! Whoever waits for room, as a submitter or with a claim, gets in or is turned away, and is woken either way.

use std::sync::Arc;

use loom::thread;

use super::lending::{call, take};
use super::queue::{start, work};
use super::{Counted, final_report, now, perform, queue_of_one, shut_down};
use crate::outcome::TaskError;
use crate::queue::job::Place;
use crate::queue::{Effects, Mode, Queue, Submitted};
use crate::task::Settings;
use crate::worker::settle::Went;

/// Submits as the engine does, and waits for room where it has to; whether the task was not refused at once.
fn submit(queue: &Queue<u32, ()>, task: &Arc<Counted>) -> bool {
    let mut fx = Effects::new();
    let submitted = queue.submit(task.job(), Mode::Wait, now(), 0, &mut fx);
    perform(fx);
    match submitted {
        Submitted::Accepted => true,
        Submitted::Outside => {
            while matches!(task.ticket.place(), Place::Outside(_)) {
                thread::park();
            }
            true
        }
        Submitted::Refused(job, _) | Submitted::NobodyIdle(job) => {
            job.release();
            false
        }
    }
}

fn submitter(queue: &Arc<Queue<u32, ()>>, task: &Arc<Counted>) -> thread::JoinHandle<bool> {
    let (queue, task) = (Arc::clone(queue), Arc::clone(task));
    thread::spawn(move || submit(&queue, &task))
}

// Small print on capacity, and Q5: the worker that takes the task that filled the queue lets the next one in.
#[test]
fn a_submitter_gets_the_room_that_a_worker_makes() {
    loom::model(|| {
        let queue = queue_of_one(1, false);
        let (seat, _) = queue.hire().unwrap();
        let (first, second) = (Counted::new(), Counted::new());
        assert!(submit(&queue, &first));
        let submitter = submitter(&queue, &second);
        let worker = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || work(&queue, seat))
        };
        assert!(submitter.join().unwrap(), "nobody shuts down before it is in");
        shut_down(&queue, false);
        queue.await_done(None);
        worker.join().unwrap();
        assert_eq!([first.ran(), second.ran(), first.answered(), second.answered()], [1; 4]);
        assert_eq!(queue.report(now()).completed, 2);
    });
}

// Promises 10 to 12: whoever waits for room is turned away by a shutdown, and is not accepted.
#[test]
fn a_shutdown_turns_away_who_waits_for_room() {
    for kill in [false, true] {
        loom::model(move || {
            let queue = queue_of_one(1, false);
            let (first, second) = (Counted::new(), Counted::new());
            assert!(submit(&queue, &first)); // nobody is there to take it
            let submitter = submitter(&queue, &second);
            shut_down(&queue, kill);
            let waited = submitter.join().unwrap();
            assert_eq!((second.ran(), second.answered()), (0, usize::from(waited)));
            assert_eq!(first.answered(), usize::from(kill), "a stop leaves it to a worker");
            assert_eq!(queue.report(now()).accepted, 1);
        });
    }
}

// Promise 17: whoever waits for room goes on when its task is cancelled, or gets the room of another that is.
#[test]
fn a_submitter_whose_task_is_withdrawn_does_not_wait_on() {
    loom::model(|| {
        let queue = queue_of_one(1, false);
        let (first, second) = (Counted::new(), Counted::new());
        assert!(submit(&queue, &first));
        let submitter = submitter(&queue, &second);
        for task in [&second, &first] {
            let mut fx = Effects::new();
            queue.cancel(&task.ticket, now(), &mut fx);
            perform(fx);
        }
        assert!(submitter.join().unwrap());
        assert_eq!(first.answered(), 1);
        let waits = usize::from(matches!(second.ticket.place(), Place::Lane(_)));
        assert_eq!(
            second.answered() + waits,
            1,
            "it got the room of the first one, or was withdrawn"
        );
    });
}

// Promise 1, and Q5: a blocking call that waits for room gets the room that a worker makes, and then its resource.
#[test]
fn a_caller_that_waits_for_room_is_served() {
    loom::model(|| {
        let queue = queue_of_one(1, true);
        let first = Counted::new();
        assert!(submit(&queue, &first));
        let caller = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || call(&queue, Went::Well))
        };
        let worker = start(&queue);
        assert!(caller.join().unwrap());
        shut_down(&queue, false);
        queue.await_done(None);
        worker.join().unwrap();
        assert_eq!((first.ran(), first.answered()), (1, 1));
        assert_eq!(final_report(&queue).completed, 2);
    });
}

// Promises 10 and 11: a blocking call that waits for room is told that it was never accepted.
#[test]
fn a_shutdown_turns_away_the_caller_that_waits_for_room() {
    for kill in [false, true] {
        loom::model(move || {
            let queue = queue_of_one(1, true);
            let first = Counted::new();
            assert!(submit(&queue, &first)); // nobody is there to take it
            let caller = {
                let queue = Arc::clone(&queue);
                thread::spawn(move || take(&queue, &Settings::here(0)).err())
            };
            shut_down(&queue, kill);
            let told = caller.join().unwrap();
            assert!(matches!(told, Some((TaskError::ShuttingDown, false))), "{told:?}");
            assert_eq!(queue.report(now()).accepted, 1);
        });
    }
}
