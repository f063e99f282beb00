//! What is handed in without the lock is run once and in its turn, or ended by whoever shuts the manager down.

use std::sync::Arc;

use loom::thread;

use super::queue::{attempt, equip, leave, submit};
use super::{Counted, any_queue, now, perform, rules};
use crate::queue::{Effects, Order, Queue, Rules};
use crate::resource::life::LifeRules;
use crate::task::{Priority, Settings};

/// A queue with an inbox, whose workers' resources are still being made: nobody is idle.
fn inbox_queue(seats: usize) -> Arc<Queue<u32, ()>> {
    any_queue(Rules { inbox: true, ..rules(seats, seats, false, LifeRules::default()) })
}

/// A worker that goes from task to task in one step, as long as there are any, until it is told to leave.
fn work(queue: &Queue<u32, ()>, seat: usize) {
    let mut held = equip(queue, seat);
    let mut next = None;
    loop {
        let (order, _) = next.take().unwrap_or_else(|| {
            let checked_in = queue.check_in(seat, &mut held, now(), now, perform);
            checked_in.unwrap_or_else(|| queue.await_order(seat, &mut held, now))
        });
        let Order::Run(job) = order else { break };
        let attempted = attempt(&job, held.as_mut().unwrap());
        let mut fx = Effects::new();
        let (settled, then) = queue.settle_and_check_in(seat, &mut held, job, attempted, &mut fx);
        perform(fx);
        settled.job.unwrap().finish(Ok(()));
        // In a kill it has to check in after all.
        next = then.map(|order| order.unwrap_or_else(|| queue.await_order(seat, &mut held, now)));
    }
    leave(queue, seat);
}

fn start(queue: &Arc<Queue<u32, ()>>) -> thread::JoinHandle<()> {
    let (seat, _) = queue.hire().unwrap();
    let queue = Arc::clone(queue);
    thread::spawn(move || work(&queue, seat))
}

fn submitter(queue: &Arc<Queue<u32, ()>>, task: &Arc<Counted>) -> thread::JoinHandle<bool> {
    let (queue, task) = (Arc::clone(queue), Arc::clone(task));
    thread::spawn(move || submit(&queue, &task))
}

/// Two tasks, so that one waits in its lane while the other runs, and the next one may go to the inbox.
fn two_waiting(queue: &Queue<u32, ()>) -> [Arc<Counted>; 2] {
    [(); 2].map(|()| {
        let task = Counted::new();
        assert!(submit(queue, &task));
        task
    })
}

// Promises 1 and 10.
#[test]
fn what_is_handed_in_beside_a_stop_is_run_or_refused() {
    loom::model(|| {
        let queue = inbox_queue(1);
        let worker = start(&queue);
        let waiting = two_waiting(&queue);
        let third = Counted::new();
        let other = submitter(&queue, &third);
        let mut fx = Effects::new();
        queue.begin_stop(now(), &mut fx).unwrap();
        perform(fx);
        queue.await_done(None);
        worker.join().unwrap();
        let accepted = other.join().unwrap();
        assert!(waiting.iter().all(|task| (task.ran(), task.answered()) == (1, 1)));
        assert_eq!((third.ran(), third.answered()), (accepted.into(), accepted.into()));
        let report = queue.report(now());
        let tasks = 2 + u64::from(accepted);
        assert_eq!((report.accepted, report.completed), (tasks, tasks));
    });
}

// Promises 1 and 11.
#[test]
fn what_is_handed_in_beside_a_kill_is_answered_once() {
    loom::model(|| {
        let queue = inbox_queue(1);
        let worker = start(&queue);
        let waiting = two_waiting(&queue);
        let third = Counted::new();
        let other = submitter(&queue, &third);
        let mut fx = Effects::new();
        queue.begin_kill(now(), &mut fx).unwrap();
        perform(fx);
        queue.await_done(None);
        worker.join().unwrap();
        let accepted = other.join().unwrap();
        assert!(waiting.iter().all(|task| task.answered() == 1));
        assert_eq!(third.answered(), accepted.into());
        let report = queue.report(now());
        assert_eq!(report.accepted, 2 + u64::from(accepted));
        let ran = waiting.iter().map(|task| task.ran()).sum::<usize>() + third.ran();
        assert_eq!(report.completed as usize, ran);
    });
}

// Promise 1: nobody but the worker takes the lock after it was handed in.
#[test]
fn what_is_handed_in_is_found_by_a_worker_that_is_about_to_rest() {
    loom::model(|| {
        let queue = inbox_queue(1);
        let worker = start(&queue);
        let waiting = two_waiting(&queue);
        let third = Counted::new();
        assert!(submit(&queue, &third));
        while third.answered() == 0 {
            thread::yield_now();
        }
        assert_eq!((third.ran(), waiting.map(|task| task.ran())), (1, [1, 1]));
        let mut fx = Effects::new();
        queue.begin_stop(now(), &mut fx).unwrap();
        perform(fx);
        worker.join().unwrap();
    });
}

// Promise 4: the inbox is no way around a higher lane, nor around who came first.
#[test]
fn what_is_handed_in_waits_for_its_turn() {
    loom::model(|| {
        let queue = inbox_queue(1);
        let (seat, _) = queue.hire().unwrap();
        let of = |priority| Counted::of(Settings { priority, ..Settings::here(0) });
        let [first, second, third] = [(); 3].map(|()| of(Priority::Normal));
        let (low, high) = (of(Priority::Low), of(Priority::High));
        for task in [&low, &first, &second] {
            assert!(submit(&queue, task));
        }
        // Handed in while the first one runs and the second one waits; then both the lane and the inbox have one.
        first.then(&queue, &third);
        third.then(&queue, &high);
        let worker = thread::spawn({
            let queue = Arc::clone(&queue);
            move || work(&queue, seat)
        });
        while low.answered() == 0 {
            thread::yield_now();
        }
        let mut fx = Effects::new();
        queue.begin_stop(now(), &mut fx).unwrap();
        perform(fx);
        worker.join().unwrap();
        let turns = [&first, &second, &third, &high, &low].map(|task| task.turn());
        assert!(turns.is_sorted(), "{turns:?}");
    });
}
