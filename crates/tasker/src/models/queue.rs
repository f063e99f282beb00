//! A task that was pushed is run or handed back when the queue closes, and no worker sleeps for ever.

use std::sync::Arc;
use std::time::Duration;

use loom::thread;

use super::time::SOON;
use super::{Counted, final_report, now, perform, queue};
use crate::context::{Seat, TaskContext};
use crate::error::ShutdownError;
use crate::queue::job::{Job, Ran};
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
    let held = equip(queue, seat);
    serve(queue, seat, held, checked);
}

/// As [`work`], for a worker whose first tries to get a resource fail.
pub(super) fn work_after(queue: &Queue<u32, ()>, seat: usize, failures: u32) {
    queue.sit_down(seat, Waiter::me());
    match recover(queue, seat, failures) {
        None => leave(queue, seat),
        held => serve(queue, seat, held, || {}),
    }
}

/// Takes orders, with a resource, and leaves.
fn serve(queue: &Queue<u32, ()>, seat: usize, mut held: Option<Lease<u32>>, checked: impl Fn()) {
    loop {
        let checked_in = queue.check_in(seat, &mut held, now(), now, perform);
        let (order, _) = checked_in.unwrap_or_else(|| queue.await_order(seat, &mut held, now));
        let broken = match order {
            Order::Run(job) => run(queue, seat, held.as_mut().unwrap(), job),
            Order::Check => {
                checked();
                false
            }
            Order::Replace(_) => true,
            Order::Leave(_) => break,
        };
        if broken {
            held = recover(queue, seat, 0);
            if held.is_none() {
                break;
            }
        }
    }
    leave(queue, seat);
}

/// Runs a task and settles it; whether it has broken its resource.
fn run(queue: &Queue<u32, ()>, seat: usize, lease: &mut Lease<u32>, job: Job<u32, ()>) -> bool {
    let attempted = attempt(&job, lease);
    let mut fx = Effects::new();
    let settled = queue.settle_job(seat, lease, job, attempted, &mut fx);
    perform(fx);
    if let Some(job) = settled.job {
        job.finish(Ok(())); // it counts answers and does not read them
    }
    settled.verdict.condemned.is_some()
}

/// The worker of a seat gets a resource, at the first try after so many that fail; or nobody needs it any more.
fn recover(queue: &Queue<u32, ()>, seat: usize, mut failures: u32) -> Option<Lease<u32>> {
    while !queue.should_leave_unequipped(seat, now()) {
        if failures == 0 {
            return Some(succeed(queue, seat));
        }
        failures -= 1;
        match fail(queue, seat) {
            AfterFailure::Retry(_) => queue.await_retry(seat),
            AfterFailure::Leave(_) => break,
            AfterFailure::Ended => {}
        }
    }
    None
}

/// The worker of a seat gets no resource. It may try again soon.
fn fail(queue: &Queue<u32, ()>, seat: usize) -> AfterFailure<()> {
    let mut fx = Effects::new();
    let after = queue.create_failed(seat, Failure::Error(()), SOON, now(), &mut fx);
    perform(fx);
    after
}

fn succeed(queue: &Queue<u32, ()>, seat: usize) -> Lease<u32> {
    let mut fx = Effects::new();
    let token = queue.equipped(seat, Duration::ZERO, 0.0, now(), &mut fx);
    perform(fx);
    Lease::new(0, token)
}

/// The worker of a seat introduces itself, and gets its resource.
pub(super) fn equip(queue: &Queue<u32, ()>, seat: usize) -> Option<Lease<u32>> {
    queue.sit_down(seat, Waiter::me());
    Some(succeed(queue, seat))
}

/// Runs a task. If it has to run again, that is soon.
pub(super) fn attempt(job: &Job<u32, ()>, lease: &mut Lease<u32>) -> Attempted {
    let ticket = job.ticket();
    let (id, settings, attempt) = (ticket.id(), &ticket.settings, ticket.begin_attempt());
    let token = lease.token.clone();
    let context = TaskContext::new(id, attempt, settings, now(), token, Seat::NONE);
    let went = match job.task().attempt(&context, &mut lease.resource) {
        Ran::Well => Went::Well,
        Ran::Wrong(()) => Went::Wrong { healthy: false },
        Ran::Panicked(_) => Went::Panicked,
    };
    let (may_run_again, max_retries) = (ticket.may_run_again, settings.max_retries);
    let case = Case { went, may_run_again, attempt, max_retries, ..Case::not_begun(Gone::Caller) };
    Attempted { case, delay: SOON, finished: now() }
}

/// The worker of a seat is gone, and so is its resource.
pub(super) fn leave(queue: &Queue<u32, ()>, seat: usize) {
    let mut fx = Effects::new();
    queue.left(seat, now(), &mut fx);
    perform(fx);
}

pub(super) fn start(queue: &Arc<Queue<u32, ()>>) -> thread::JoinHandle<()> {
    start_after(queue, 0)
}

/// As [`start`]; the worker's first tries to get a resource fail.
pub(super) fn start_after(queue: &Arc<Queue<u32, ()>>, failures: u32) -> thread::JoinHandle<()> {
    let (seat, _) = queue.hire().unwrap();
    let queue = Arc::clone(queue);
    thread::spawn(move || match failures {
        0 => work(&queue, seat),
        failures => work_after(&queue, seat, failures),
    })
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
                let killed = queue.begin_kill(now(), &mut fx);
                perform(fx);
                killed
            })
        };
        let mut fx = Effects::new();
        let stopped = queue.begin_stop(now(), &mut fx);
        perform(fx);
        queue.await_done(None);
        let killed = killer.join().unwrap();
        worker.join().unwrap();
        let refused = Err(ShutdownError::AlreadyStoppingOrKilled);
        let phase = queue.phase();
        match phase {
            Phase::Killed => assert!(killed.is_ok() && (stopped.is_ok() || stopped == refused)),
            Phase::Stopped => assert!(stopped.is_ok() && killed == refused),
            Phase::Running | Phase::Stopping => panic!("it is over"),
        }
        assert_eq!(task.answered(), 1);
        let report = final_report(&queue);
        assert_eq!((report.accepted, report.completed as usize), (1, task.ran()));
        assert_eq!(report.dropped as usize, 1 - task.ran());
        assert!(phase == Phase::Killed || task.ran() == 1, "a stop runs what it has accepted");
        // Whoever comes later is told the same, and changes nothing.
        let mut fx = Effects::new();
        assert_eq!(queue.begin_stop(now(), &mut fx), refused);
        let again = match phase {
            Phase::Killed => Err(ShutdownError::AlreadyKilled),
            _ => refused,
        };
        assert_eq!(queue.begin_kill(now(), &mut fx), again);
        assert!(fx.is_empty());
        assert_eq!(queue.phase(), phase);
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
                    match fail(&queue, seat) {
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
