//! A runner that gets up misses no job: each job is run by it or by one errand, or answered by whoever kills.

use std::sync::Arc;
use std::time::Duration;

use loom::thread;

use super::lending::idle_seat;
use super::{Condition, Counted, now, perform, slot_queue};
use crate::outcome::TaskError;
use crate::queue::job::Job;
use crate::queue::{Attempted, Effects, Loan, Mode, News, Order, Queue, Submitted};
use crate::resource::lending::Lease;
use crate::worker::settle::{Case, Gone, Went};

/// A task from its order to its end; what the runner does next, or rest.
fn run(
    queue: &Queue<u32, ()>,
    seat: usize,
    held: &mut Option<Lease<u32>>,
    job: Job<u32, ()>,
) -> Option<Order<u32, ()>> {
    let lease = held.as_mut().expect("with the order comes the resource");
    *lease.resource += 1;
    let case = Case { went: Went::Well, ..Case::not_begun(Gone::Caller) };
    let attempted = Attempted { case, delay: Duration::ZERO, finished: now() };
    let mut fx = Effects::new();
    let (settled, next) = queue.settle_and_check_in(seat, held, job, attempted, &mut fx);
    perform(fx);
    settled.job.expect("it has ended").finish(Ok(()));
    // After a kill it has been told to stop, and the resource is suspect: it checks in by itself.
    let next = next.unwrap_or_else(|| queue.check_in(seat, held, now(), now, perform));
    next.map(|(order, _)| order)
}

/// What a runner does with an order, and what it has to do next. `None` when the seat is left alone.
fn serve(
    queue: &Queue<u32, ()>,
    seat: usize,
    held: &mut Option<Lease<u32>>,
    mut order: Option<Order<u32, ()>>,
) -> bool {
    loop {
        match order {
            None => return true,
            Some(Order::Leave(_)) => return false,
            Some(Order::Run(job)) => order = run(queue, seat, held, job),
            Some(Order::Check | Order::Replace(_)) => unreachable!("nothing condemns the resource"),
        }
        if order.is_none() {
            // It looks around once, and gets up.
            order = queue.take_order(seat, held).or_else(|| queue.get_up(seat, held));
        }
    }
}

fn submit(queue: &Queue<u32, ()>, task: &Arc<Counted>) -> (bool, usize) {
    let mut fx = Effects::new();
    let submitted = queue.submit(task.job(), Mode::Wait, now(), 0, &mut fx);
    let errands = fx.news.iter().filter(|item| matches!(item, News::Errand(_))).count();
    perform(fx);
    match submitted {
        Submitted::Accepted => (true, errands),
        Submitted::Refused(job, _) => {
            job.release();
            (false, errands)
        }
        Submitted::Outside | Submitted::NobodyIdle(_) => unreachable!("there is room"),
    }
}

/// Somebody is spawned for the order that lies at the seat.
fn run_errand(queue: &Queue<u32, ()>, seat: usize) -> bool {
    let mut held = None;
    let order = queue.take_order(seat, &mut held);
    assert!(order.is_some(), "an errand is run for an order");
    serve(queue, seat, &mut held, order)
}

#[test]
fn a_job_that_comes_while_its_runner_gets_up_is_run_once() {
    loom::model(|| {
        let queue = slot_queue(1);
        let seat = idle_seat(&queue);
        let tasks = [Counted::new(), Counted::new()];
        let (accepted, errands) = submit(&queue, &tasks[0]);
        assert!(accepted && errands == 1);
        let (other, later) = (Arc::clone(&queue), Arc::clone(&tasks[1]));
        let submitter = thread::spawn(move || {
            let (accepted, errands) = submit(&other, &later);
            assert!(accepted);
            if errands > 0 {
                run_errand(&other, seat);
            }
        });
        run_errand(&queue, seat);
        submitter.join().unwrap();
        for task in tasks {
            assert_eq!(task.answered(), 1);
        }
        assert_eq!(queue.condition_for_model(seat), Condition::Idle);
        assert_eq!(queue.take_for_model(seat), Some(2), "both have run");
    });
}

// Promise 11: a job that lies at its seat and was not fetched ends as killed, one that was fetched runs.
#[test]
fn a_kill_answers_a_job_that_nobody_has_fetched() {
    loom::model(|| {
        let queue = slot_queue(1);
        let seat = idle_seat(&queue);
        let tasks = [Counted::new(), Counted::new()];
        for task in &tasks {
            assert!(submit(&queue, task).0);
        }
        let killer = Arc::clone(&queue);
        let killer = thread::spawn(move || {
            let mut fx = Effects::new();
            killer.begin_kill(now(), &mut fx).unwrap();
            let errands = fx.news.iter().any(|item| matches!(item, News::Errand(_)));
            perform(fx);
            errands
        });
        let rests = run_errand(&queue, seat);
        let errands = killer.join().unwrap();
        for task in tasks {
            assert_eq!(task.answered(), 1);
        }
        let report = queue.report(now());
        assert_eq!((report.accepted, report.completed + report.dropped), (2, 2));
        assert_eq!(rests, errands, "one of them sees the resource off");
        assert_eq!(queue.condition_for_model(seat), Condition::Leaving);
    });
}

/// The runtime goes: it drops what it has, and whatever is spawned from here on.
fn strand(queue: &Queue<u32, ()>) {
    let mut fx = Effects::new();
    queue.strand(now(), &mut fx);
    perform_dropping(queue, fx);
}

/// Carries effects out where every errand is dropped before it is polled.
fn perform_dropping(queue: &Queue<u32, ()>, mut fx: Effects<u32, ()>) {
    for item in std::mem::take(&mut fx.news) {
        if let News::Errand(errand) = item {
            drop_runner(queue, errand.seat, false);
        }
    }
    perform(fx);
}

/// What the drop of a runner does that has no task; `rests` if it attends its seat.
fn drop_runner(queue: &Queue<u32, ()>, seat: usize, rests: bool) {
    strand(queue);
    let mut held = None;
    let order = match rests {
        true => queue.get_up(seat, &mut held),
        false => queue.take_order(seat, &mut held),
    };
    if !rests {
        assert!(order.is_some(), "a kill orders everybody to leave");
    }
    if order.is_some() {
        assert!(held.is_some(), "with the order comes the resource");
        let mut fx = Effects::new();
        queue.left(seat, now(), &mut fx);
        perform_dropping(queue, fx);
    }
}

/// What the drop of a runner does whose task is in the middle of its attempt: that of its shift, and then its own.
fn drop_amid(queue: &Queue<u32, ()>, seat: usize, lease: Lease<u32>, job: Job<u32, ()>) {
    strand(queue);
    let ticket = job.ticket();
    let case = Case { went: Went::Dropped(Gone::Runtime), ..Case::not_begun(Gone::Runtime) };
    let attempted = Attempted { case, delay: Duration::ZERO, finished: now() };
    let loan = Loan { seat, lease, id: ticket.id(), attempt: 1 };
    let mut fx = Effects::new();
    let returned = queue.give_back(loan, &ticket.settings, Some(ticket), attempted, &mut fx);
    perform_dropping(queue, fx);
    assert!(returned.claim.is_none(), "it does not run again");
    job.finish(Err(TaskError::Killed));
    drop_runner(queue, seat, false);
}

/// A runner that has been given a task.
fn begin(
    queue: &Queue<u32, ()>,
    seat: usize,
    task: &Arc<Counted>,
) -> (Option<Lease<u32>>, Job<u32, ()>) {
    assert_eq!(submit(queue, task), (true, 1));
    let mut held = None;
    match queue.take_order(seat, &mut held) {
        Some(Order::Run(job)) => (held, job),
        _ => unreachable!("it was just ordered"),
    }
}

/// Submits a task; the errand of a runtime that goes is dropped.
fn submit_dropping(queue: &Queue<u32, ()>, seat: usize, task: &Arc<Counted>) -> bool {
    let (accepted, errands) = submit(queue, task);
    if errands > 0 {
        drop_runner(queue, seat, false);
    }
    accepted
}

/// Everything that was accepted has ended and is counted, and everybody has left.
fn assert_over(queue: &Queue<u32, ()>, accepted: u64) {
    assert!(queue.await_done(Some(Duration::ZERO)), "somebody is missing");
    let report = queue.report(now());
    let ended = report.completed + report.failed + report.cancelled + report.dropped;
    assert_eq!((report.accepted, ended), (accepted, accepted));
}

// Promise 11, for a runtime that goes away: tasks come meanwhile, and somebody kills the manager, too.
#[test]
fn a_runner_that_is_dropped_in_the_middle_of_an_attempt_loses_no_job() {
    loom::model(|| {
        let queue = slot_queue(1);
        let seat = idle_seat(&queue);
        let tasks = [Counted::new(), Counted::new()];
        let (held, job) = begin(&queue, seat, &tasks[0]);
        let lease = held.expect("with the order comes the resource");
        let (other, later) = (Arc::clone(&queue), Arc::clone(&tasks[1]));
        let submitter = thread::spawn(move || submit_dropping(&other, seat, &later));
        drop_amid(&queue, seat, lease, job);
        let accepted = submitter.join().unwrap();
        assert_eq!((tasks[0].answered(), tasks[1].answered()), (1, usize::from(accepted)));
        assert_over(&queue, 1 + u64::from(accepted));
    });
}

#[test]
fn a_runner_that_is_dropped_while_it_looks_around_loses_no_job() {
    loom::model(|| {
        let queue = slot_queue(1);
        let seat = idle_seat(&queue);
        let tasks = [Counted::new(), Counted::new()];
        let (mut held, job) = begin(&queue, seat, &tasks[0]);
        assert!(run(&queue, seat, &mut held, job).is_none(), "it rests");
        let (other, later) = (Arc::clone(&queue), Arc::clone(&tasks[1]));
        let submitter = thread::spawn(move || submit_dropping(&other, seat, &later));
        drop_runner(&queue, seat, true);
        let accepted = submitter.join().unwrap();
        assert_eq!((tasks[0].answered(), tasks[1].answered()), (1, usize::from(accepted)));
        assert_over(&queue, 1 + u64::from(accepted));
    });
}

// The last clone of the manager may be in another thread, which kills it as its runtime goes.
#[test]
fn a_kill_and_a_dropped_runner_see_the_resource_off_once() {
    loom::model(|| {
        let queue = slot_queue(1);
        let seat = idle_seat(&queue);
        let task = Counted::new();
        assert_eq!(submit(&queue, &task), (true, 1));
        let killer = Arc::clone(&queue);
        let killer = thread::spawn(move || {
            let mut fx = Effects::new();
            let _ = killer.begin_kill(now(), &mut fx); // the runtime may have been first
            perform_dropping(&killer, fx);
        });
        let mut held = None;
        match queue.take_order(seat, &mut held) {
            Some(Order::Run(job)) => drop_amid(&queue, seat, held.unwrap(), job),
            Some(_) => queue.left(seat, now(), &mut Effects::new()),
            None => unreachable!("an order lies there until its errand takes it"),
        }
        killer.join().unwrap();
        assert_eq!(task.answered(), 1);
        assert_over(&queue, 1);
    });
}
