//! A lent resource always comes home, and a caller that waits for one is always woken.

use std::sync::Arc;
use std::time::Duration;

use loom::thread;

use super::time::SOON;
use super::{Condition, Counted, now, perform, queue};
use crate::event::DestroyReason;
use crate::outcome::TaskError;
use crate::queue::{Attempted, Borrowed, Effects, Loan, Mode, Order, Queue, Submitted};
use crate::resource::lending::Lease;
use crate::task::Settings;
use crate::worker::settle::{Case, Gone, Went};

/// A seat whose worker has laid its resource on the shelf and sleeps: nobody plays the worker, so a
/// test can look into the seat when all is done.
pub(super) fn idle_seat(queue: &Queue<u32, ()>) -> usize {
    let (seat, _) = queue.hire().unwrap();
    let mut fx = Effects::new();
    let token = queue.equipped(seat, Duration::ZERO, 0.0, now(), &mut fx);
    queue.rest_for_model(seat, Lease::new(0, token), now());
    seat
}

/// A blocking call: gets a resource, waiting if it must, uses it, gives it back.
pub(super) fn call(queue: &Queue<u32, ()>, went: Went) -> bool {
    call_and(queue, went, || {})
}

/// As [`call`], with something to do while the resource is in use.
pub(super) fn call_and(queue: &Queue<u32, ()>, went: Went, meanwhile: impl FnOnce()) -> bool {
    let settings = Settings::here(0);
    let Ok(mut loan) = take(queue, &settings) else { return false };
    *loan.lease.resource += 1;
    meanwhile();
    let case = Case { went, ..Case::not_begun(Gone::Caller) };
    assert!(give_back(queue, loan, &settings, case).is_none());
    true
}

/// A resource for a blocking call when it is its turn, or why there is none and whether its task had been accepted.
pub(super) fn take(
    queue: &Queue<u32, ()>,
    settings: &Settings,
) -> Result<Loan<u32>, (TaskError<()>, bool)> {
    let mut fx = Effects::new();
    let borrowed = queue.borrow(settings, Mode::Wait, now(), 0, &mut fx);
    perform(fx);
    match borrowed {
        Borrowed::Loan(loan) => Ok(loan),
        Borrowed::Claim { key, .. } => wait(queue, key),
        Borrowed::Refused(reason) => Err((reason.into(), false)),
    }
}

/// The same for a claim that waits already.
pub(super) fn wait(queue: &Queue<u32, ()>, key: u32) -> Result<Loan<u32>, (TaskError<()>, bool)> {
    let answer = queue.await_claim(key, Vec::new, now, perform);
    answer.map_err(|denial| (denial.error, denial.accepted))
}

/// The end of a blocking call's attempt; the claim for the next one, should there be one, which is soon.
pub(super) fn give_back(
    queue: &Queue<u32, ()>,
    loan: Loan<u32>,
    settings: &Settings,
    case: Case,
) -> Option<u32> {
    let attempted = Attempted { case, delay: SOON, finished: now() };
    let mut fx = Effects::new();
    let returned = queue.give_back(loan, settings, None, attempted, &mut fx);
    perform(fx);
    returned.claim
}

fn caller(queue: &Arc<Queue<u32, ()>>) -> thread::JoinHandle<bool> {
    let queue = Arc::clone(queue);
    thread::spawn(move || call(&queue, Went::Well))
}

// Promises 3 and 18.
#[test]
fn a_lent_resource_always_comes_home() {
    loom::model(|| {
        let queue = queue(1, true);
        let seat = idle_seat(&queue);
        let others = [caller(&queue), caller(&queue)];
        assert!(call(&queue, Went::Well));
        for other in others {
            assert!(other.join().unwrap());
        }
        assert_eq!(queue.condition_for_model(seat), Condition::Idle);
        assert_eq!(queue.take_for_model(seat), Some(3));
    });
}

// Promises 1 and 11: a caller that waits when the manager is killed is answered.
#[test]
fn a_kill_answers_every_blocked_caller() {
    loom::model(|| {
        let queue = queue(1, true);
        let seat = idle_seat(&queue);
        let others = [caller(&queue), caller(&queue)];
        let mut fx = Effects::new();
        queue.begin_kill(now(), &mut fx).unwrap();
        perform(fx);
        let served = others.map(|other| other.join().unwrap());
        let served = served.iter().filter(|served| **served).count();
        let report = queue.report(now());
        assert_eq!(report.completed as usize, served);
        assert_eq!(report.accepted, report.completed + report.dropped);
        assert_eq!(queue.take_for_model(seat), Some(served as u32));
    });
}

// Promises 4 and 18: a detached task that waits while its resource is lent is handed to the worker.
#[test]
fn a_returned_resource_goes_home_with_the_next_job() {
    loom::model(|| {
        let queue = queue(1, true);
        let seat = idle_seat(&queue);
        let other = caller(&queue);
        let task = Counted::new();
        let mut fx = Effects::new();
        let submitted = queue.submit(task.job(), Mode::Wait, now(), 0, &mut fx);
        perform(fx);
        assert!(matches!(submitted, Submitted::Accepted));
        // The caller may wait for the worker, which the test has to play.
        let (order, held) = loop {
            if let Some(found) = queue.order_for_model(seat) {
                break found;
            }
            thread::yield_now();
        };
        let Order::Run(job) = order else { panic!("the worker is told to run the task") };
        let mut lease = held.expect("with its resource");
        let case = Case { went: Went::Well, ..Case::not_begun(Gone::Caller) };
        let attempted = Attempted { case, delay: Duration::ZERO, finished: now() };
        let mut fx = Effects::new();
        let settled = queue.settle_job(seat, &mut lease, job, attempted, &mut fx);
        perform(fx);
        settled.job.unwrap().finish(Ok(()));
        queue.rest_for_model(seat, lease, now());
        assert!(other.join().unwrap());
        assert_eq!(task.answered(), 1);
    });
}

// Promises 3 and 18: a condemned resource goes home to be replaced, never to the next caller.
#[test]
fn a_condemned_resource_goes_home_to_be_replaced() {
    loom::model(|| {
        let queue = queue(1, true);
        let seat = idle_seat(&queue);
        assert!(call(&queue, Went::Panicked));
        let (order, held) = queue.order_for_model(seat).expect("the worker is woken");
        assert!(matches!(order, Order::Replace(DestroyReason::Panicked)));
        assert!(held.is_some());
        assert_eq!(queue.condition_for_model(seat), Condition::Recovering);
    });
}
