//! Pauses, new limits, successions and validations lose no caller and send nobody away twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use loom::thread;

use super::lending::{call, call_and, idle_seat};
use super::queue::{submit, work, work_and};
use super::{Condition, Counted, now, perform, queue, queue_with};
use crate::event::DestroyReason;
use crate::queue::{Borrowed, Effects, Mode, News, Order, Queue};
use crate::resource::lending::Lease;
use crate::resource::life::LifeRules;
use crate::task::Settings;
use crate::worker::settle::Went;

fn caller(queue: &Arc<Queue<u32, ()>>) -> thread::JoinHandle<bool> {
    let queue = Arc::clone(queue);
    thread::spawn(move || call(&queue, Went::Well))
}

fn pause(queue: &Queue<u32, ()>, paused: bool) {
    let mut fx = Effects::new();
    queue.set_paused(paused, now(), &mut fx);
    perform(fx);
}

// Promise 1: a caller that comes before, during or after a pause gets its turn.
#[test]
fn a_pause_holds_callers_back_and_loses_none() {
    loom::model(|| {
        let queue = queue(1, true);
        let seat = idle_seat(&queue);
        let callers = [caller(&queue), caller(&queue)];
        pause(&queue, true);
        pause(&queue, false);
        for caller in callers {
            assert!(caller.join().unwrap());
        }
        assert_eq!(queue.condition_for_model(seat), Condition::Idle);
    });
}

// Promise 4, and Q13: who comes in a pause starts after it, also when another brings its resource back meanwhile.
#[test]
fn nobody_starts_in_a_pause() {
    loom::model(|| {
        let queue = queue(1, true);
        idle_seat(&queue);
        let before = caller(&queue);
        pause(&queue, true);
        // std's: they are what the model checks, not what it explores.
        let resumed = Arc::new(AtomicBool::new(false));
        let during = {
            let (queue, resumed) = (Arc::clone(&queue), Arc::clone(&resumed));
            thread::spawn(move || {
                call_and(&queue, Went::Well, || assert!(resumed.load(Ordering::SeqCst)))
            })
        };
        thread::yield_now();
        resumed.store(true, Ordering::SeqCst);
        pause(&queue, false);
        assert!(before.join().unwrap() && during.join().unwrap());
    });
}

// Promise 10: a stop runs what a pause held back.
#[test]
fn a_stop_ends_a_pause() {
    loom::model(|| {
        let queue = queue(1, false);
        let (seat, _) = queue.hire().unwrap();
        let worker = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || work(&queue, seat))
        };
        pause(&queue, true);
        let task = Counted::new();
        assert!(submit(&queue, &task));
        let mut fx = Effects::new();
        queue.begin_stop(now(), &mut fx).unwrap();
        perform(fx);
        queue.await_done(None);
        worker.join().unwrap();
        assert_eq!((task.ran(), task.answered()), (1, 1));
    });
}

// Promise 2: of two workers exactly one goes, whoever is free first, and both callers are served.
#[test]
fn a_lower_cap_sends_exactly_one_worker_away() {
    loom::model(|| {
        let queue = queue(2, true);
        let seats = [idle_seat(&queue), idle_seat(&queue)];
        queue.built(now(), &mut Effects::new());
        let callers = [caller(&queue), caller(&queue)];
        let mut fx = Effects::new();
        queue.resize(1, 1, now(), &mut fx).unwrap();
        perform(fx);
        for caller in callers {
            assert!(caller.join().unwrap());
        }
        let mut conditions = seats.map(|seat| queue.condition_for_model(seat));
        conditions.sort_by_key(|condition| *condition == Condition::Leaving);
        assert_eq!(conditions, [Condition::Idle, Condition::Leaving]);
        let orders = seats.iter().filter_map(|seat| queue.order_for_model(*seat));
        let left = orders.filter(|(order, lease)| {
            matches!(order, Order::Leave(DestroyReason::Idle)) && lease.is_some()
        });
        assert_eq!(left.count(), 1);
    });
}

// Promises 2 and 3: the old worker goes once, and the caller that used its resource meanwhile is served.
#[test]
fn a_successor_takes_over_once() {
    loom::model(|| {
        let life =
            LifeRules { max_lifetime: Some(Duration::from_secs(100)), ..LifeRules::default() };
        let queue = queue_with(1, 2, true, life);
        let old = idle_seat(&queue);
        let mut fx = Effects::new();
        let _ = queue.due(now() + Duration::from_secs(90), &mut fx);
        let [News::Hired { seat: new, .. }] = fx.news[..] else { panic!("a successor is hired") };
        let caller = caller(&queue);
        let mut fx = Effects::new();
        let token = queue.equipped(new, Duration::ZERO, 0.0, now(), &mut fx);
        perform(fx);
        assert!(!queue.is_linked_for_model(old) && !queue.is_linked_for_model(new));
        queue.rest_for_model(new, Lease::new(0, token), now());
        assert!(caller.join().unwrap());
        assert_eq!(queue.condition_for_model(old), Condition::Leaving);
        assert_eq!(queue.condition_for_model(new), Condition::Idle);
        let (order, lease) = queue.order_for_model(old).unwrap();
        assert!(matches!(order, Order::Leave(DestroyReason::Expired)));
        let used = *lease.unwrap().resource + queue.take_for_model(new).unwrap();
        assert_eq!(used, 1);
    });
}

// Promise 1: a caller that finds only resources to be validated gets one when that is done, and not before.
#[test]
fn a_caller_gets_the_resource_that_was_validated_for_it() {
    loom::model(|| {
        let life = LifeRules { validate_after: Some(Duration::ZERO), ..LifeRules::default() };
        let queue = queue_with(1, 1, true, life);
        let (seat, _) = queue.hire().unwrap();
        let checks = Arc::new(AtomicUsize::new(0));
        let worker = {
            let (queue, checks) = (Arc::clone(&queue), Arc::clone(&checks));
            let checked = move || {
                checks.fetch_add(1, Ordering::SeqCst);
            };
            thread::spawn(move || work_and(&queue, seat, checked))
        };
        let used = Arc::new(AtomicUsize::new(0));
        let call = |queue: &Queue<u32, ()>, used: &AtomicUsize, checks: &AtomicUsize| {
            call_and(queue, Went::Well, || {
                let uses = used.fetch_add(1, Ordering::SeqCst) + 1;
                assert!(checks.load(Ordering::SeqCst) >= uses, "used without a check");
            })
        };
        let other = {
            let (queue, used, checks) =
                (Arc::clone(&queue), Arc::clone(&used), Arc::clone(&checks));
            thread::spawn(move || call(&queue, &used, &checks))
        };
        assert!(call(&queue, &used, &checks));
        assert!(other.join().unwrap());
        let mut fx = Effects::new();
        queue.begin_stop(now(), &mut fx).unwrap();
        perform(fx);
        queue.await_done(None);
        worker.join().unwrap();
    });
}

// Promises 1 and 9, and Q14: of two stale resources one is checked for the task; it is not sound, and no other can
// be made. The second one is checked then.
#[test]
fn a_failed_check_passes_its_task_on() {
    loom::model(|| {
        let life = LifeRules { validate_after: Some(Duration::ZERO), ..LifeRules::default() };
        let queue = queue_with(2, 2, true, life);
        let seats = [idle_seat(&queue), idle_seat(&queue)];
        let caller = caller(&queue);
        // The workers are played by hand: whoever is told first finds its resource unsound.
        let mut found = 0;
        while found < 2 {
            for seat in seats {
                let Some((order, lease)) = queue.order_for_model(seat) else { continue };
                assert!(matches!(order, Order::Check));
                found += 1;
                let mut fx = Effects::new();
                match found {
                    1 => queue.condemn(seat, now(), &mut fx),
                    _ => queue.rest_for_model(seat, lease.unwrap(), now()),
                }
                perform(fx);
            }
            thread::yield_now();
        }
        assert!(caller.join().unwrap());
    });
}

// Promise 1: a caller is woken for a resource that has been idle for too long when it looks: it is checked for it.
#[test]
fn what_has_grown_stale_when_its_caller_wakes_is_checked() {
    loom::model(|| {
        let life =
            LifeRules { validate_after: Some(Duration::from_secs(1)), ..LifeRules::default() };
        let queue = queue_with(1, 1, true, life);
        let late = || now() + Duration::from_secs(2);
        let seat = idle_seat(&queue);
        let served = Arc::new(AtomicBool::new(false));
        let mut callers = Vec::new();
        call_and(&queue, Went::Well, || {
            let (queue, served) = (Arc::clone(&queue), Arc::clone(&served));
            callers.push(thread::spawn(move || {
                let mut fx = Effects::new();
                let settings = Settings::here(0);
                let borrowed = queue.borrow(&settings, Mode::Wait, now(), 0, &mut fx);
                perform(fx);
                let loan = match borrowed {
                    Borrowed::Loan(loan) => Ok(loan), // the other one was faster
                    Borrowed::Claim { key, .. } => queue.await_claim(key, Vec::new, late, perform),
                    Borrowed::Refused(_) => unreachable!("nobody stops it"),
                };
                served.store(loan.is_ok(), Ordering::SeqCst);
            }));
        });
        // The worker, played by hand.
        while !served.load(Ordering::SeqCst) {
            if let Some((order, lease)) = queue.order_for_model(seat) {
                assert!(matches!(order, Order::Check));
                queue.rest_for_model(seat, lease.unwrap(), late());
            }
            thread::yield_now();
        }
        callers.pop().unwrap().join().unwrap();
    });
}
