//! What is taken from the pool without the lock comes home, is in one place, and is seen by whoever takes the lock.

use std::sync::Arc;
use std::time::Duration;

use loom::thread;

use super::{now, perform, pool_queue};
use crate::event::DestroyReason;
use crate::outcome::Outcome;
use crate::queue::{Chore, Effects, Queue, Visit, Welcome};
use crate::task::Settings;

/// A pool of so many resources that each have counted no task yet, on the open rack.
fn stocked(resources: usize) -> Arc<Queue<u32, ()>> {
    let queue = pool_queue();
    queue.engage_steward(); // played by the test
    for _ in 0..resources {
        assert!(queue.take_reserve_slot());
        let mut fx = Effects::new();
        assert!(queue.stock(0, Duration::ZERO, 0.0, now(), &mut fx).is_none());
        perform(fx);
    }
    let mut fx = Effects::new();
    queue.built(now(), &mut fx);
    perform(fx);
    // The first one to come takes the lock, which opens the rack.
    assert!(locked(&queue, || {}));
    queue
}

/// A `run_task` under the lock; whether it was let in.
pub(super) fn locked(queue: &Queue<u32, ()>, meanwhile: impl FnOnce()) -> bool {
    locked_and(queue, None, meanwhile)
}

/// As [`locked`]; a resource from the pool may be of no use afterwards.
pub(super) fn locked_and(
    queue: &Queue<u32, ()>,
    condemned: Option<DestroyReason>,
    meanwhile: impl FnOnce(),
) -> bool {
    let mut fx = Effects::new();
    let welcome = queue.welcome(&Settings::here(0), true, now(), &mut fx);
    perform(fx);
    let (guest, back) = match welcome {
        Welcome::Pooled { guest, mut pooled, check } => {
            assert!(!check);
            assert!(pooled.lease.token.held_by_at_most(3), "the lease, the guest and its record");
            *pooled.lease.resource += 1;
            (guest, Some((pooled, condemned)))
        }
        Welcome::Temporary(guest) => (guest, None),
        Welcome::Refused(_) => return false,
        Welcome::Lent(_) | Welcome::Claim { .. } | Welcome::NothingPooled => unreachable!(),
    };
    meanwhile();
    let mut fx = Effects::new();
    queue.farewell(guest, Outcome::Completed, back, now(), &mut fx);
    perform(fx);
    true
}

/// A `run_task` as the engine makes it; whether it was let in.
fn run(queue: &Queue<u32, ()>, meanwhile: impl FnOnce()) -> bool {
    let Some(mut visit) = queue.visit(&Settings::here(0), now()) else {
        return locked(queue, meanwhile);
    };
    *visit.lease.resource += 1;
    meanwhile();
    if let Err(visit) = queue.end_visit(visit, now()) {
        note_and_leave(queue, visit);
    }
    true
}

/// As [`run`], for one that somebody has seen.
fn come_back(queue: &Queue<u32, ()>, visit: Visit<u32>) {
    let Err(visit) = queue.end_visit(visit, now()) else { panic!("it was seen") };
    note_and_leave(queue, visit);
}

fn note_and_leave(queue: &Queue<u32, ()>, visit: Visit<u32>) {
    let (guest, pooled) = queue.note_visit(visit, now());
    let mut fx = Effects::new();
    queue.farewell(guest, Outcome::Completed, Some((pooled, None)), now(), &mut fx);
    perform(fx);
}

fn visit(queue: &Queue<u32, ()>) -> Visit<u32> {
    queue.visit(&Settings::here(0), now()).expect("the rack is open")
}

fn caller(queue: &Arc<Queue<u32, ()>>) -> thread::JoinHandle<bool> {
    let queue = Arc::clone(queue);
    thread::spawn(move || run(&queue, || {}))
}

/// Every task has ended, and the pool has its resources.
fn assert_all_home(queue: &Queue<u32, ()>, resources: usize, tasks: u64) {
    let report = queue.report(now());
    assert_eq!((report.accepted, report.completed), (tasks, tasks));
    let count = queue.count();
    assert_eq!((count.running, count.reserved), (0, resources));
}

/// Plays the steward of a manager that is being shut down: what the tasks of each resource have counted.
fn clear_out(queue: &Queue<u32, ()>) -> Vec<u32> {
    let mut uses = Vec::new();
    loop {
        let mut fx = Effects::new();
        let chore = queue.find_chore(now(), &mut fx);
        perform(fx);
        match chore {
            Some(Chore::Destroy(lease, _)) => {
                uses.push(*lease.resource);
                queue.chore_done();
            }
            Some(Chore::Create) => unreachable!("nothing is made in a shutdown"),
            Some(Chore::Leave) => return uses,
            None => thread::yield_now(), // a guest still uses one
        }
    }
}

fn stop(queue: &Queue<u32, ()>) {
    let mut fx = Effects::new();
    queue.begin_stop(now(), &mut fx).unwrap();
    perform(fx);
}

// Promise 3: also where some find nothing in the pool and make their own.
#[test]
fn what_is_taken_from_the_pool_without_the_lock_comes_home() {
    loom::model(|| {
        let queue = stocked(1);
        let others = [caller(&queue), caller(&queue)];
        assert!(run(&queue, || {}));
        assert!(others.into_iter().all(|other| other.join().unwrap()));
        assert_all_home(&queue, 1, 4);
        stop(&queue);
        assert_eq!(clear_out(&queue).len(), 1);
    });
}

// Promise 3: each task has a resource to itself, and none gets lost on the way.
#[test]
fn two_callers_never_take_one_pooled_resource() {
    loom::model(|| {
        let queue = stocked(2);
        let other = caller(&queue);
        assert!(run(&queue, || {}));
        assert!(other.join().unwrap());
        assert_all_home(&queue, 2, 3);
        stop(&queue);
        assert_eq!(clear_out(&queue).iter().sum::<u32>(), 3, "no task needed one of its own");
    });
}

// Promises 1 and 2: whoever looks sees a guest from when a resource is taken until it is back.
#[test]
fn whoever_looks_sees_what_was_taken_from_the_pool() {
    loom::model(|| {
        let queue = stocked(1);
        let taker = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                let mut looked = None;
                assert!(run(&queue, || looked = Some(queue.count())));
                let count = looked.expect("it looked");
                assert_eq!((count.running, count.reserved), (1, 0), "it is out");
            })
        };
        let count = queue.count();
        assert_eq!(count.running + count.reserved, 1, "it is in one place");
        let report = queue.report(now());
        assert_eq!(report.accepted, report.completed + report.stragglers.len() as u64);
        taker.join().unwrap();
        assert_all_home(&queue, 1, 2);
    });
}

// Promises 1 and 10: a stop is over only when what was taken is back, and it is destroyed.
#[test]
fn a_stop_waits_for_what_was_taken_from_the_pool() {
    loom::model(|| {
        let queue = stocked(1);
        let other = caller(&queue);
        stop(&queue);
        let uses = clear_out(&queue);
        assert!(!run(&queue, || {}), "nobody comes in any more");
        let served = 1 + u64::from(other.join().unwrap());
        let report = queue.report(now());
        assert_eq!((report.accepted, report.completed), (served, served));
        assert_eq!(uses.len(), 1);
        assert!(u64::from(uses[0]) <= served);
    });
}

// Promises 1 and 11: a kill tells whoever took something, and nobody takes anything after it.
#[test]
fn a_kill_reaches_what_was_taken_from_the_pool() {
    loom::model(|| {
        let queue = stocked(1);
        let taker = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                let Some(visit) = queue.visit(&Settings::here(0), now()) else { return 0 };
                let token = visit.lease.token.clone();
                token.wait();
                drop(token);
                let Err(visit) = queue.end_visit(visit, now()) else { panic!("it was seen") };
                let (guest, pooled) = queue.note_visit(visit, now());
                assert!(queue.guest_why(&guest).is_some(), "it was told why");
                let mut fx = Effects::new();
                let back = Some((pooled, None));
                queue.farewell(guest, Outcome::Cancelled, back, now(), &mut fx);
                perform(fx);
                1
            })
        };
        let mut fx = Effects::new();
        queue.begin_kill(now(), &mut fx).unwrap();
        perform(fx);
        assert!(queue.visit(&Settings::here(0), now()).is_none());
        assert_eq!(clear_out(&queue).len(), 1);
        let ran = taker.join().unwrap();
        let report = queue.report(now());
        assert_eq!((report.accepted, report.cancelled), (1 + ran, ran));
    });
}

// Promise 12: what somebody brings back meets whoever closes the rack at the same time, again and again.
#[test]
fn a_task_is_counted_once_however_often_the_lock_is_taken() {
    loom::model(|| {
        let queue = stocked(1);
        let other = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                assert!(run(&queue, || {}));
                assert!(run(&queue, || {}));
            })
        };
        for _ in 0..2 {
            let report = queue.report(now());
            assert_eq!(report.accepted, report.completed + report.stragglers.len() as u64);
        }
        other.join().unwrap();
        assert_all_home(&queue, 1, 3);
    });
}

// What is in nobody's way stays open: one after the other, so that there is one interleaving only.
#[test]
fn the_pool_is_open_for_those_who_use_it() {
    loom::model(|| {
        let queue = stocked(2);
        for _ in 0..3 {
            assert!(queue.end_visit(visit(&queue), now()).is_ok());
            assert_eq!(queue.count().reserved, 2); // closes it, and opens it again
        }
        assert_eq!(queue.count().reserved, 2); // nobody was there in between
        assert!(queue.visit(&Settings::here(0), now()).is_none(), "it is closed");
        assert!(locked(&queue, || {}));
        for _ in 0..3 {
            let visit = visit(&queue);
            assert_eq!(queue.count().reserved, 1);
            come_back(&queue, visit);
        }
        assert_all_home(&queue, 2, 8);
    });
}

// Each guest is who it was, whichever comes back first.
#[test]
fn a_place_that_is_out_is_not_given_away() {
    loom::model(|| {
        let queue = stocked(2);
        for first_comes_first in [true, false] {
            let (one, other) = (visit(&queue), visit(&queue));
            assert_eq!(queue.count().running, 2);
            let (first, second) = if first_comes_first { (one, other) } else { (other, one) };
            come_back(&queue, first);
            let third = visit(&queue);
            assert_eq!(queue.count().running, 2);
            come_back(&queue, second);
            assert_eq!(queue.count().running, 1);
            come_back(&queue, third);
        }
        assert_all_home(&queue, 2, 7);
    });
}
