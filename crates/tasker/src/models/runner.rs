//! A runner that gets up misses no job: each job is run by it or by one errand, or answered by whoever kills.

use std::sync::Arc;
use std::time::Duration;

use loom::thread;

use super::lending::idle_seat;
use super::{Condition, Counted, now, perform, slot_queue};
use crate::queue::{Attempted, Effects, Mode, News, Order, Queue, Submitted};
use crate::resource::lending::Lease;
use crate::worker::settle::{Case, Gone, Went};

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
            Some(Order::Run(job)) => {
                let lease = held.as_mut().expect("with the order comes the resource");
                *lease.resource += 1;
                let case = Case { went: Went::Well, ..Case::not_begun(Gone::Caller) };
                let attempted = Attempted { case, delay: Duration::ZERO, finished: now() };
                let mut fx = Effects::new();
                let (settled, next) =
                    queue.settle_and_check_in(seat, held, job, attempted, &mut fx);
                perform(fx);
                settled.job.expect("it has ended").finish(Ok(()));
                // After a kill it has been told to stop, and the resource is suspect: it checks in by itself.
                let next = next.unwrap_or_else(|| queue.check_in(seat, held, now(), now, perform));
                order = next.map(|(order, _)| order);
            }
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
