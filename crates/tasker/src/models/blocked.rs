//! Tasks that wait for tasks of their own manager are served or told, and never left.

use std::sync::Arc;
use std::time::Duration;

use loom::thread;

use super::lending::idle_seat;
use super::{Condition, Counted, now, perform, queue};
use crate::outcome::TaskError;
use crate::queue::awaited::Ticketed;
use crate::queue::{Attempted, Borrowed, Effects, Loan, Mode, Queue, Submitted};
use crate::sync::Waiter;
use crate::task::Settings;
use crate::worker::settle::{Case, Gone, Went};

/// A resource for a task in the middle of the one on `seats`.
fn take(queue: &Queue<u32, ()>, seats: Vec<usize>) -> Result<Loan<u32>, TaskError<()>> {
    let mut fx = Effects::new();
    let borrowed = queue.borrow(&Settings::here(0), Mode::Inside, now(), 0, &mut fx);
    perform(fx);
    match borrowed {
        Borrowed::Loan(loan) => Ok(loan),
        Borrowed::Claim { key, .. } => {
            queue.await_claim(key, || seats, now, perform).map_err(|denial| denial.error)
        }
        Borrowed::Refused(_) => unreachable!("nobody shuts down"),
    }
}

fn give(queue: &Queue<u32, ()>, loan: Loan<u32>) {
    let case = Case { went: Went::Well, ..Case::not_begun(Gone::Caller) };
    let attempted = Attempted { case, delay: Duration::ZERO, finished: now() };
    let mut fx = Effects::new();
    let returned = queue.give_back(loan, &Settings::here(0), None, attempted, &mut fx);
    perform(fx);
    assert!(returned.claim.is_none());
}

/// A task and another in the middle of it; whether the one inside was served.
fn nest(queue: &Queue<u32, ()>) -> bool {
    let outer = take(queue, Vec::new()).expect("nobody refuses who is in no task");
    let inner = take(queue, vec![outer.seat]);
    let served = match inner {
        Ok(inner) => {
            give(queue, inner);
            true
        }
        Err(TaskError::WouldDeadlock) => false,
        Err(other) => panic!("{other:?}"),
    };
    give(queue, outer);
    served
}

// Promise 16: of two that hold a worker each and want another one, one is told, or neither if they come one after
// the other. Both end.
#[test]
fn of_tasks_that_wait_for_their_own_manager_the_last_is_told() {
    loom::model(|| {
        let queue = queue(2, true);
        let seats = [idle_seat(&queue), idle_seat(&queue)];
        let other = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || nest(&queue))
        };
        let served = [nest(&queue), other.join().unwrap()];
        assert!(served.contains(&true), "who is told frees a worker for the other one");
        let report = queue.report(now());
        let refused = served.iter().filter(|served| !**served).count() as u64;
        assert_eq!((report.accepted, report.failed), (4, refused));
        for seat in seats {
            assert_eq!(queue.condition_for_model(seat), Condition::Idle);
        }
    });
}

// Promise 16: the one that is left when the other worker is free is served by that one, and not refused.
#[test]
fn a_task_that_waits_while_another_works_is_served() {
    loom::model(|| {
        let queue = queue(2, true);
        idle_seat(&queue);
        idle_seat(&queue);
        let busy = take(&queue, Vec::new()).unwrap();
        let other = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || nest(&queue))
        };
        give(&queue, busy);
        assert!(other.join().unwrap());
        assert_eq!(queue.report(now()).completed, 3);
    });
}

// Promises 1 and 16: a wait in the middle of a task ends, whether the other task ends first, or the worker leaves that
// could have run it, or it is refused at once.
#[test]
fn a_wait_for_a_handle_inside_a_task_is_answered_or_told() {
    loom::model(|| {
        let queue = queue(2, true);
        idle_seat(&queue);
        let (leaver, _) = queue.hire().unwrap(); // it makes its resource, and will not get it
        let outer = take(&queue, Vec::new()).unwrap();
        let seats = vec![outer.seat];
        let task = Counted::new();
        let mut fx = Effects::new();
        let submitted = queue.submit(task.job(), Mode::Inside, now(), 0, &mut fx);
        perform(fx);
        assert!(matches!(submitted, Submitted::Accepted));
        let leaves = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                let mut fx = Effects::new();
                queue.unstarted(leaver, now(), &mut fx);
                perform(fx);
            })
        };
        let cancels = {
            let (queue, task) = (Arc::clone(&queue), Arc::clone(&task));
            thread::spawn(move || {
                let mut fx = Effects::new();
                queue.cancel(&task.ticket, now(), &mut fx);
                perform(fx);
            })
        };
        // Looks and does not park: loom forgets a wake-up that finds its thread at a lock. Shuttle does not, see
        // `schedules/nested.rs`.
        let mut known = None;
        let told = loop {
            if task.answered() == 1 {
                break false;
            }
            let mut fx = Effects::new();
            let awaited = Arc::clone(&task) as Arc<dyn Ticketed>;
            known = queue.block(known, seats.clone(), awaited, Waiter::me(), now(), &mut fx);
            perform(fx);
            if known.is_none() {
                break true;
            }
            thread::yield_now();
        };
        let mut fx = Effects::new();
        drop(known.and_then(|key| queue.unblock(key, &mut fx)));
        perform(fx);
        leaves.join().unwrap();
        cancels.join().unwrap();
        give(&queue, outer);
        let report = queue.report(now());
        assert_eq!((report.accepted, report.completed, report.cancelled), (2, 1, 1));
        assert!(told || task.answered() == 1);
    });
}
