//! What is lent without the lock comes home, is in one place, and is seen by whoever takes the lock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use loom::thread;

use super::lending::{call, idle_seat};
use super::{Condition, Counted, any_queue, now, perform, rack_queue, rules};
use crate::queue::{
    Attempted, Borrowed, Effects, Loan, Mode, OVERTAKING, Order, Queue, Rules, Submitted,
};
use crate::resource::life::LifeRules;
use crate::task::Settings;
use crate::worker::settle::{Case, Gone, Went};

/// Brings a resource back as the engine does: without the lock, or with it where that is refused.
fn bring_back(queue: &Queue<u32, ()>, loan: Loan<u32>) {
    if let Err(loan) = queue.lay_back(loan, now()) {
        give_back(queue, loan, now());
    }
}

fn give_back(queue: &Queue<u32, ()>, loan: Loan<u32>, finished: Instant) {
    let case = Case { went: Went::Well, ..Case::not_begun(Gone::Caller) };
    let attempted = Attempted { case, delay: Duration::ZERO, finished };
    let mut fx = Effects::new();
    let returned = queue.give_back(loan, &Settings::here(0), None, attempted, &mut fx);
    perform(fx);
    assert!(returned.claim.is_none());
}

/// A blocking call as the engine makes it; whether its task ran.
fn run(queue: &Queue<u32, ()>) -> bool {
    let Some(mut loan) = queue.pick(&Settings::here(0), 1, now()) else {
        return call(queue, Went::Well);
    };
    *loan.lease.resource += 1;
    bring_back(queue, loan);
    true
}

fn caller(queue: &Arc<Queue<u32, ()>>) -> thread::JoinHandle<bool> {
    let queue = Arc::clone(queue);
    thread::spawn(move || run(&queue))
}

/// Everybody has been served, and the resources lie where they belong.
fn assert_all_home(queue: &Queue<u32, ()>, seats: &[usize], tasks: u32) {
    let report = queue.report(now());
    assert_eq!((report.accepted, report.completed), (tasks.into(), tasks.into()));
    for seat in seats {
        assert_eq!(queue.condition_for_model(*seat), Condition::Idle);
    }
    let used: u32 = seats.iter().map(|seat| queue.take_for_model(*seat).expect("it is home")).sum();
    assert_eq!(used, tasks, "each task had a resource to itself");
}

// Promise 18: while nobody waits and there is a resource for each, nobody needs the lock to take one or to bring it back.
#[test]
fn nobody_takes_the_lock_while_there_is_a_resource_for_each() {
    loom::model(|| {
        let queue = rack_queue(2, false);
        let seats = [idle_seat(&queue), idle_seat(&queue)];
        let run = |queue: &Queue<u32, ()>| {
            let mut loan = queue.pick(&Settings::here(0), 1, now()).expect("one is there");
            *loan.lease.resource += 1;
            assert!(queue.lay_back(loan, now()).is_ok(), "nobody has to know");
        };
        let other = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || run(&queue))
        };
        run(&queue);
        other.join().unwrap();
        run(&queue);
        assert_all_home(&queue, &seats, 3);
    });
}

// Promise 18: where the load is measured, whoever is the first in a bucket of 100 ms or ends a task in another one takes
// the lock, and nobody else; where it is not, nobody.
#[test]
fn only_the_first_in_a_bucket_takes_the_lock() {
    loom::model(|| {
        let rules = Rules {
            burst_interval: Duration::from_secs(1),
            racks: true,
            ..rules(1, 2, true, LifeRules::default())
        };
        let queue = any_queue(rules);
        queue.built(now(), &mut Effects::new());
        idle_seat(&queue);
        let settings = Settings::here(0);
        let pick = |now| queue.pick(&settings, 1, now);
        let needs_no_lock = |now| pick(now).is_some_and(|loan| queue.lay_back(loan, now).is_ok());
        let at = |bucket| now() + Duration::from_millis(100) * bucket;
        assert!(needs_no_lock(at(0)));
        assert!(!needs_no_lock(at(1)));
        let mut fx = Effects::new();
        let borrowed = queue.borrow(&settings, Mode::Wait, at(1), 0, &mut fx);
        perform(fx);
        let Borrowed::Loan(first) = borrowed else { panic!("it is there") };
        give_back(&queue, first, at(1));
        assert!(needs_no_lock(at(1)));
        let long = pick(at(1)).expect("it is there");
        let Err(long) = queue.lay_back(long, at(2)) else { panic!("it ended in another one") };
        give_back(&queue, long, at(2));
        assert!(needs_no_lock(at(2)));
        queue.load(at(3)).expect("there is something to scale");
        assert!(needs_no_lock(at(3)));
        let mut fx = Effects::new();
        queue.resize(1, 1, at(3), &mut fx).unwrap();
        perform(fx);
        assert!(needs_no_lock(at(5)), "there is nothing to scale any more");
    });
}

// Promises 4 and 18: who waits although a resource lies there is overtaken by its own lane for a while, by higher ones
// at any time, and by lower ones and past a job of its lane never.
#[test]
fn who_waits_is_overtaken_without_the_lock_as_it_is_with_it() {
    loom::model(|| {
        let queue = rack_queue(1, true);
        let seat = idle_seat(&queue);
        let (settings, late) = (Settings::here(0), now() + OVERTAKING);
        let pick = |level, now| queue.pick(&settings, level, now);
        let first = pick(1, now()).expect("nobody waits");
        let mut fx = Effects::new();
        let borrowed = queue.borrow(&settings, Mode::Wait, now(), 0, &mut fx);
        perform(fx);
        let Borrowed::Claim { key, .. } = borrowed else { panic!("it is out") };
        bring_back(&queue, first);
        assert!(pick(0, now()).is_none(), "a lower lane");
        assert!(pick(1, late).is_none(), "for long enough");
        for (level, now) in [(1, now()), (2, late)] {
            let loan = pick(level, now).expect("it may be overtaken");
            assert!(queue.lay_back(loan, now).is_ok(), "whoever waits looks again by itself");
        }
        let task = Counted::new();
        let mut fx = Effects::new();
        let submitted = queue.submit(task.job(), Mode::Wait, now(), 0, &mut fx);
        perform(fx);
        assert!(matches!(submitted, Submitted::Accepted));
        assert!(pick(1, now()).is_none(), "a job waits in the same lane");
        let Ok(loan) = queue.await_claim(key, Vec::new, now, perform) else {
            panic!("it is its turn")
        };
        bring_back(&queue, loan);
        let (order, _) = queue.order_for_model(seat).expect("the job is next");
        assert!(matches!(order, Order::Run(_)));
    });
}

// Promises 3 and 18: also where some find it gone and wait.
#[test]
fn what_is_taken_without_the_lock_comes_home_and_wakes_who_waits() {
    loom::model(|| {
        let queue = rack_queue(1, false);
        let seat = idle_seat(&queue);
        let others = [caller(&queue), caller(&queue)];
        assert!(run(&queue));
        assert!(others.into_iter().all(|other| other.join().unwrap()));
        assert_all_home(&queue, &[seat], 3);
    });
}

// Promise 18: callers take it although somebody waits, who is awake and gets it in the end.
#[test]
fn who_is_overtaken_without_the_lock_is_served_all_the_same() {
    loom::model(|| {
        let queue = rack_queue(1, true);
        let seat = idle_seat(&queue);
        let others = [caller(&queue), caller(&queue)];
        assert!(run(&queue));
        assert!(others.into_iter().all(|other| other.join().unwrap()));
        assert_all_home(&queue, &[seat], 3);
    });
}

// Promise 3.
#[test]
fn two_callers_never_take_one_resource_without_the_lock() {
    loom::model(|| {
        let queue = rack_queue(2, false);
        let seats = [idle_seat(&queue), idle_seat(&queue)];
        let others = [caller(&queue), caller(&queue)];
        assert!(run(&queue));
        assert!(others.into_iter().all(|other| other.join().unwrap()));
        assert_all_home(&queue, &seats, 3);
    });
}

// Promises 1 and 2: whoever looks sees a resource as lent from when it is taken until it is back.
#[test]
fn whoever_looks_sees_what_was_taken_without_the_lock() {
    loom::model(|| {
        let queue = rack_queue(1, false);
        let seat = idle_seat(&queue);
        let taker = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                let mut loan = queue.pick(&Settings::here(0), 1, now())?;
                *loan.lease.resource += 1;
                let count = queue.count();
                assert_eq!((count.running, count.idle), (1, 0), "it is out");
                bring_back(&queue, loan);
                Some(())
            })
        };
        let count = queue.count();
        assert_eq!(count.running + count.idle, 1, "it is in one place");
        let report = queue.report(now());
        assert_eq!(report.accepted, report.completed + report.stragglers.len() as u64);
        let took = taker.join().unwrap();
        assert_all_home(&queue, &[seat], took.map_or(0, |()| 1));
    });
}

// Promises 1 and 10: a stop dismisses the worker only when its resource is back.
#[test]
fn a_stop_waits_for_what_was_taken_without_the_lock() {
    loom::model(|| {
        let queue = rack_queue(1, false);
        let seat = idle_seat(&queue);
        let others = [caller(&queue), caller(&queue)];
        let mut fx = Effects::new();
        queue.begin_stop(now(), &mut fx).unwrap();
        perform(fx);
        let served = others.map(|other| u64::from(other.join().unwrap())).iter().sum::<u64>();
        let report = queue.report(now());
        assert_eq!((report.accepted, report.completed), (served, served));
        assert_eq!(queue.condition_for_model(seat), Condition::Leaving);
        let (order, held) = queue.order_for_model(seat).expect("it is told to leave");
        assert!(matches!(order, Order::Leave(_)));
        assert_eq!(u64::from(*held.expect("with its resource").resource), served);
        assert!(!run(&queue), "nobody comes in any more");
    });
}

// Promises 1 and 11: a kill tells what runs, and nobody takes a resource after it.
#[test]
fn a_kill_reaches_what_was_taken_without_the_lock() {
    loom::model(|| {
        let queue = rack_queue(1, false);
        let seat = idle_seat(&queue);
        let taker = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                let Some(loan) = queue.pick(&Settings::here(0), 1, now()) else { return 0 };
                let token = loan.lease.token.clone();
                token.wait();
                drop(token);
                bring_back(&queue, loan);
                1
            })
        };
        let mut fx = Effects::new();
        queue.begin_kill(now(), &mut fx).unwrap();
        perform(fx);
        assert!(queue.pick(&Settings::here(0), 1, now()).is_none());
        let ran = taker.join().unwrap();
        let report = queue.report(now());
        assert_eq!(report.accepted, ran);
        assert_eq!(report.accepted, report.completed + report.cancelled + report.dropped);
        assert_eq!(queue.condition_for_model(seat), Condition::Leaving);
    });
}

// Promises 4 and 18: a task that comes while the resource is out is handed to the worker when it is back, and
// no caller that comes later overtakes it.
#[test]
fn a_job_is_not_overtaken_without_the_lock() {
    loom::model(|| {
        let queue = rack_queue(1, false);
        let seat = idle_seat(&queue);
        let other = caller(&queue);
        let task = Counted::new();
        let mut fx = Effects::new();
        let submitted = queue.submit(task.job(), Mode::Wait, now(), 0, &mut fx);
        perform(fx);
        assert!(matches!(submitted, Submitted::Accepted));
        assert!(queue.pick(&Settings::here(0), 1, now()).is_none(), "the job is before it");
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
