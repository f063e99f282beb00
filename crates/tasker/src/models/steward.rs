//! The steward sleeps only while there is nothing to do for it, and leaves when the last guest has.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use loom::thread;

use super::pool::{locked, locked_and};
use super::time::{SOON, keep_time};
use super::{any_queue, final_report, now, perform, rules, shut_down};
use crate::completion::Completion;
use crate::event::DestroyReason;
use crate::queue::{Chore, Effects, Queue, Rules};
use crate::resource::life::LifeRules;
use crate::sync::Waiter;

/// A queue with a pool of one that nobody has filled yet, and without workers.
fn pooled() -> Arc<Queue<u32, ()>> {
    pooled_with(LifeRules::default())
}

fn pooled_with(life: LifeRules) -> Arc<Queue<u32, ()>> {
    any_queue(Rules { reserve_size: 1, ..rules(1, 1, true, life) })
}

fn stock(queue: &Queue<u32, ()>) -> Option<u32> {
    let mut fx = Effects::new();
    let late = queue.stock(0, Duration::ZERO, 0.0, now(), &mut fx);
    perform(fx);
    late
}

/// The same, filled.
fn stocked() -> Arc<Queue<u32, ()>> {
    let queue = pooled();
    assert!(queue.take_reserve_slot());
    assert!(stock(&queue).is_none());
    built(&queue);
    queue
}

fn built(queue: &Queue<u32, ()>) {
    let mut fx = Effects::new();
    queue.built(now(), &mut fx);
    perform(fx);
}

/// The steward without its hooks; it counts what it destroys. Its first so many tries to make one fail. Whatever
/// else it does, it says so.
fn keep_stocked(
    queue: &Queue<u32, ()>,
    clock: fn() -> Instant,
    mut failures: u32,
    done: &[Completion<()>],
    destroyed: &AtomicUsize,
) {
    queue.steward_here(Waiter::me());
    let mut done = done.iter();
    let destroy = || destroyed.fetch_add(1, Ordering::SeqCst);
    loop {
        match queue.next_chore(clock, perform) {
            Chore::Create if failures > 0 => {
                failures -= 1;
                let mut fx = Effects::new();
                queue.refill_failed(SOON, now(), &mut fx);
                perform(fx);
                queue.chore_done();
                continue;
            }
            Chore::Create => {
                if stock(queue).is_some() {
                    destroy(); // it came too late
                }
            }
            Chore::Destroy(..) => {
                destroy();
            }
            Chore::Leave => break,
        }
        queue.chore_done();
        if let Some(next) = done.next() {
            next.complete(()).unwrap();
        }
    }
    let mut fx = Effects::new();
    queue.steward_left(now(), &mut fx);
    perform(fx);
}

/// A steward at work.
struct Steward {
    thread: thread::JoinHandle<()>,
    /// Std's: it is what the models check, not what they explore.
    destroyed: Arc<AtomicUsize>,
}

impl Steward {
    fn start(
        queue: &Arc<Queue<u32, ()>>,
        clock: fn() -> Instant,
        failures: u32,
        done: &Arc<[Completion<()>]>,
    ) -> Self {
        queue.engage_steward();
        let destroyed = Arc::new(AtomicUsize::new(0));
        let (queue, done, count) = (Arc::clone(queue), Arc::clone(done), Arc::clone(&destroyed));
        let thread = thread::spawn(move || keep_stocked(&queue, clock, failures, &done, &count));
        Self { thread, destroyed }
    }

    /// The manager is over: so many resources have been destroyed by now, and the steward goes.
    fn end(self, destroyed: usize) {
        assert_eq!(self.destroyed.load(Ordering::SeqCst), destroyed);
        self.thread.join().unwrap();
    }
}

fn cells(count: usize) -> Arc<[Completion<()>]> {
    (0..count).map(|_| Completion::new()).collect()
}

// Promises 3, 10 and 11: a guest brings its resource back before, while or after the steward is told of the shutdown. The
// steward destroys it and goes, and only then it is over.
#[test]
fn the_steward_leaves_after_the_last_guest() {
    for kill in [false, true] {
        loom::model(move || {
            let queue = stocked();
            let steward = Steward::start(&queue, now, 0, &cells(0));
            let guest = {
                let queue = Arc::clone(&queue);
                thread::spawn(move || locked(&queue, || {}))
            };
            shut_down(&queue, kill);
            queue.await_done(None);
            steward.end(1);
            let served = guest.join().unwrap();
            assert_eq!(final_report(&queue).completed, served.into());
        });
    }
}

// Promises 3 and 6: what a guest has broken is destroyed, and another one is made, with nobody else to wake the steward.
#[test]
fn what_a_guest_has_broken_is_replaced_by_the_steward() {
    loom::model(|| {
        let queue = pooled();
        let done = cells(3);
        let steward = Steward::start(&queue, now, 0, &done);
        built(&queue);
        done[0].wait();
        assert!(locked_and(&queue, Some(DestroyReason::Unhealthy), || {}));
        done[2].wait(); // one is destroyed, and one made
        shut_down(&queue, false);
        queue.await_done(None);
        steward.end(2);
        assert_eq!(final_report(&queue).completed, 1);
    });
}

// Promise 9: the timekeeper wakes the steward for its second try. The steward, last one out, wakes the timekeeper.
#[test]
fn the_steward_is_woken_for_its_second_try() {
    loom::model(|| {
        let queue = pooled();
        let done = cells(1);
        let steward = Steward::start(&queue, now, 1, &done);
        let timekeeper = keep_time(&queue);
        built(&queue);
        done[0].wait();
        shut_down(&queue, false);
        timekeeper.join().unwrap();
        steward.end(1);
    });
}

// Promises 1 and 3: what nobody has used for long is destroyed, and made anew when somebody finds the pool empty.
#[test]
fn who_finds_the_pool_empty_wakes_the_steward() {
    loom::model(|| {
        let queue = pooled_with(LifeRules { idle_timeout: Some(SOON), ..LifeRules::default() });
        let done = cells(3);
        // By its clock what it makes has been idle for long at once.
        let steward = Steward::start(&queue, || now() + SOON, 0, &done);
        built(&queue);
        done[1].wait(); // one is made, and destroyed
        assert!(locked(&queue, || {}));
        done[2].wait();
        shut_down(&queue, false);
        queue.await_done(None);
        steward.end(2);
        assert_eq!(final_report(&queue).completed, 1);
    });
}
