//! A task that was pushed is run or handed back when the queue closes, and no worker sleeps for ever.

use std::sync::Arc;
use std::time::Duration;

use loom::thread;

use super::{Counted, now, perform, queue};
use crate::cancel::CancelToken;
use crate::context::{Seat, TaskContext};
use crate::queue::job::Job;
use crate::queue::{AfterFailure, Attempted, Effects, Mode, Order, Queue, Submitted};
use crate::resource::lending::Lease;
use crate::resource::slot::Failure;
use crate::shutdown::Phase;
use crate::sync::Waiter;
use crate::worker::settle::{Case, Gone, Went};

/// A worker without its hooks: takes orders until it is told to leave.
pub(super) fn work(queue: &Queue<u32, ()>, seat: usize) {
    work_and(queue, seat, || {});
}

/// As [`work`]; each resource that it is told to check is sound, which it says by `checked`.
pub(super) fn work_and(queue: &Queue<u32, ()>, seat: usize, checked: impl Fn()) {
    let mut held = equip(queue, seat);
    loop {
        let checked_in = queue.check_in(seat, &mut held, now(), now, perform);
        let (order, _) = checked_in.unwrap_or_else(|| queue.await_order(seat, &mut held, now));
        match order {
            Order::Run(job) => {
                let lease = held.as_mut().unwrap();
                let attempted = attempt(&job, lease);
                let mut fx = Effects::new();
                let settled = queue.settle_job(seat, lease, job, attempted, &mut fx);
                perform(fx);
                settled.job.unwrap().finish(Ok(()));
            }
            Order::Check => checked(),
            Order::Replace(_) => unreachable!("no task of the model condemns its resource"),
            Order::Leave(_) => break,
        }
    }
    leave(queue, seat);
}

/// The worker of a seat introduces itself, and gets its resource.
pub(super) fn equip(queue: &Queue<u32, ()>, seat: usize) -> Option<Lease<u32>> {
    queue.sit_down(seat, Waiter::me());
    let mut fx = Effects::new();
    let token = queue.equipped(seat, Duration::ZERO, 0.0, now(), &mut fx);
    perform(fx);
    Some(Lease::new(0, token))
}

/// Runs a task, which goes well.
pub(super) fn attempt(job: &Job<u32, ()>, lease: &mut Lease<u32>) -> Attempted {
    let ticket = job.ticket();
    let token = CancelToken::new();
    let context = TaskContext::new(ticket.id(), 1, &ticket.settings, now(), token, Seat::NONE);
    let _ = job.task().attempt(&context, &mut lease.resource);
    let case = Case { went: Went::Well, ..Case::not_begun(Gone::Caller) };
    Attempted { case, delay: Duration::ZERO, finished: now() }
}

/// The worker of a seat is gone, and so is its resource.
pub(super) fn leave(queue: &Queue<u32, ()>, seat: usize) {
    let mut fx = Effects::new();
    queue.left(seat, now(), &mut fx);
    perform(fx);
}

fn start(queue: &Arc<Queue<u32, ()>>) -> thread::JoinHandle<()> {
    let (seat, _) = queue.hire().unwrap();
    let queue = Arc::clone(queue);
    thread::spawn(move || work(&queue, seat))
}

pub(super) fn submit(queue: &Queue<u32, ()>, task: &Arc<Counted>) -> bool {
    let Err(job) = queue.hand_in(task.job()) else { return true };
    let mut fx = Effects::new();
    let submitted = queue.submit(job, Mode::Wait, now(), 0, &mut fx);
    perform(fx);
    match submitted {
        Submitted::Accepted => true,
        Submitted::Refused(job, _) | Submitted::NobodyIdle(job) => {
            job.release();
            false
        }
        Submitted::Outside => unreachable!("there is room for everything"),
    }
}

// Promises 1 and 10.
#[test]
fn submit_racing_stop_is_run_or_refused() {
    loom::model(|| {
        let queue = queue(1, false);
        let worker = start(&queue);
        let task = Counted::new();
        let submitter = {
            let (queue, task) = (Arc::clone(&queue), Arc::clone(&task));
            thread::spawn(move || submit(&queue, &task))
        };
        let mut fx = Effects::new();
        queue.begin_stop(now(), &mut fx).unwrap();
        perform(fx);
        queue.await_done(None);
        worker.join().unwrap();
        let accepted = submitter.join().unwrap();
        assert_eq!(task.ran(), usize::from(accepted));
        assert_eq!(task.answered(), usize::from(accepted));
        let report = queue.report(now());
        assert_eq!((report.accepted, report.completed), (accepted.into(), accepted.into()));
    });
}

// Promises 1 and 11.
#[test]
fn a_pushed_job_is_run_or_handed_back_at_close() {
    loom::model(|| {
        let queue = queue(1, false);
        let worker = start(&queue);
        let task = Counted::new();
        let accepted = submit(&queue, &task);
        assert!(accepted);
        let mut fx = Effects::new();
        queue.begin_kill(now(), &mut fx).unwrap();
        perform(fx);
        queue.await_done(None);
        worker.join().unwrap();
        assert_eq!(task.answered(), 1);
        let report = queue.report(now());
        assert_eq!(report.completed as usize, task.ran());
        assert_eq!(report.dropped as usize, 1 - task.ran());
    });
}

// Promise 10.
#[test]
fn close_wakes_every_waiting_worker() {
    loom::model(|| {
        let queue = queue(2, false);
        let workers = [start(&queue), start(&queue)];
        let mut fx = Effects::new();
        queue.begin_stop(now(), &mut fx).unwrap();
        perform(fx);
        queue.await_done(None);
        for worker in workers {
            worker.join().unwrap();
        }
    });
}

// Promises 11 and 12.
#[test]
fn kill_racing_stop_ends_once() {
    loom::model(|| {
        let queue = queue(1, false);
        let worker = start(&queue);
        let task = Counted::new();
        assert!(submit(&queue, &task));
        let killer = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                let mut fx = Effects::new();
                let killed = queue.begin_kill(now(), &mut fx).is_ok();
                perform(fx);
                killed
            })
        };
        let mut fx = Effects::new();
        let stopped = queue.begin_stop(now(), &mut fx).is_ok();
        perform(fx);
        queue.await_done(None);
        let killed = killer.join().unwrap();
        worker.join().unwrap();
        assert!(stopped || killed);
        assert_eq!(task.answered(), 1);
    });
}

// Promise 17.
#[test]
fn a_cancelled_job_runs_or_ends_and_never_both_unseen() {
    loom::model(|| {
        let queue = queue(1, false);
        let worker = start(&queue);
        let task = Counted::new();
        assert!(submit(&queue, &task));
        let mut fx = Effects::new();
        queue.cancel(&task.ticket, now(), &mut fx);
        perform(fx);
        let mut fx = Effects::new();
        queue.begin_stop(now(), &mut fx).unwrap();
        perform(fx);
        queue.await_done(None);
        worker.join().unwrap();
        assert_eq!(task.answered(), 1);
        let report = queue.report(now());
        assert_eq!(
            (report.completed as usize, report.cancelled as usize),
            (task.ran(), 1 - task.ran())
        );
    });
}

// Promise 10: two workers that cannot get a resource while the manager stops. An earlier version let
// each count on the other, so that both left and the task's caller waited for ever.
#[test]
fn the_last_worker_out_reports_stopped() {
    loom::model(|| {
        let queue = queue(2, false);
        let seats = [queue.hire().unwrap().0, queue.hire().unwrap().0];
        let task = Counted::new();
        assert!(submit(&queue, &task));
        let mut fx = Effects::new();
        queue.begin_stop(now(), &mut fx).unwrap();
        perform(fx);
        let workers = seats.map(|seat| {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                queue.sit_down(seat, Waiter::me());
                while !queue.should_leave_unequipped(seat, now()) {
                    let mut fx = Effects::new();
                    let after = queue.create_failed(
                        seat,
                        Failure::Error(()),
                        Duration::ZERO,
                        now(),
                        &mut fx,
                    );
                    perform(fx);
                    match after {
                        AfterFailure::Leave(_) => break,
                        AfterFailure::Retry(_) => unreachable!("nobody waits while stopping"),
                        AfterFailure::Ended => {}
                    }
                }
                leave(&queue, seat);
            })
        });
        queue.await_done(None);
        for worker in workers {
            worker.join().unwrap();
        }
        assert_eq!(task.answered(), 1);
        assert_eq!(queue.report(now()).failed, 1);
        assert_eq!(queue.phase(), Phase::Stopped);
    });
}
