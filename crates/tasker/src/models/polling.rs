//! A future that waits is answered or dropped; either way its slot goes on, and an abort reaches who polls.

use std::sync::Arc;
use std::task::{Poll, Wake, Waker};
use std::time::Duration;

use loom::thread;

use super::lending::idle_seat;
use super::{Condition, now, perform, slot_queue};
use crate::cancel::{CancelToken, Why};
use crate::outcome::Outcome;
use crate::queue::{
    Abandoned, Attempted, Borrowed, Denial, Effects, Loan, Mode, News, Order, Queue,
};
use crate::resource::lending::Lease;
use crate::task::Settings;
use crate::worker::settle::{Case, Gone, Went};

/// Wakes the thread that plays a future's executor.
struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn waker() -> Waker {
    Waker::from(Arc::new(Unpark(thread::current())))
}

fn give_back(queue: &Queue<u32, ()>, mut loan: Loan<u32>, went: Went) -> usize {
    if went == Went::Well {
        *loan.lease.resource += 1;
    }
    let case = Case { went, ..Case::not_begun(Gone::Caller) };
    let attempted = Attempted { case, delay: Duration::ZERO, finished: now() };
    let mut fx = Effects::new();
    let returned = queue.give_back(loan, &Settings::here(0), None, attempted, &mut fx);
    assert!(returned.claim.is_none());
    let errands = errands(&fx);
    perform(fx);
    errands
}

fn errands(fx: &Effects<u32, ()>) -> usize {
    fx.news.iter().filter(|item| matches!(item, News::Errand(_))).count()
}

/// A task's first poll: it has a resource, waits, or is refused.
fn ask(queue: &Queue<u32, ()>) -> Option<Result<Loan<u32>, u32>> {
    let mut fx = Effects::new();
    let settings = Settings::here(0);
    let borrowed = queue.borrow(&settings, Mode::Wait, now(), 0, &mut fx);
    perform(fx);
    match borrowed {
        Borrowed::Loan(loan) => Some(Ok(loan)),
        Borrowed::Claim { key, .. } => Some(Err(key)),
        Borrowed::Refused(_) => None,
    }
}

/// Polls until there is an answer.
fn await_claim(queue: &Queue<u32, ()>, key: u32) -> Result<Loan<u32>, Denial<()>> {
    loop {
        match queue.poll_claim(key, &waker()) {
            Poll::Ready(answer) => return answer,
            Poll::Pending => thread::park(),
        }
    }
}

/// A task that is awaited to its end; whether it ran.
fn run(queue: &Queue<u32, ()>) -> bool {
    let loan = match ask(queue) {
        None => return false,
        Some(Ok(loan)) => loan,
        Some(Err(key)) => match await_claim(queue, key) {
            Ok(loan) => loan,
            Err(_) => return false,
        },
    };
    give_back(queue, loan, Went::Well);
    true
}

/// A task whose future is dropped after its first poll.
fn poll_and_drop(queue: &Queue<u32, ()>) {
    match ask(queue) {
        None => {}
        Some(Ok(loan)) => {
            give_back(queue, loan, Went::NotBegun(Gone::Caller));
        }
        Some(Err(key)) => match queue.poll_claim(key, &waker()) {
            Poll::Ready(Ok(loan)) => {
                give_back(queue, loan, Went::NotBegun(Gone::Caller));
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                let mut fx = Effects::new();
                let abandoned = queue.abandon(key, Outcome::Cancelled, now(), &mut fx);
                perform(fx);
                if let Abandoned::Granted(loan) = abandoned {
                    give_back(queue, loan, Went::NotBegun(Gone::Caller));
                }
            }
        },
    }
}

// Cancel safety: a future dropped while it waits loses no slot, whatever it was granted meanwhile.
#[test]
fn a_dropped_claim_passes_its_slot_on() {
    loom::model(|| {
        let queue = slot_queue(1);
        let seat = idle_seat(&queue);
        let Some(Ok(loan)) = ask(&queue) else { panic!("the slot is idle") };
        let (one, other) = (Arc::clone(&queue), Arc::clone(&queue));
        let dropped = thread::spawn(move || poll_and_drop(&one));
        let waiting = thread::spawn(move || run(&other));
        give_back(&queue, loan, Went::Well);
        dropped.join().unwrap();
        assert!(waiting.join().unwrap(), "whoever waits behind it is served");
        assert_eq!(queue.condition_for_model(seat), Condition::Idle);
        assert_eq!(queue.take_for_model(seat), Some(2));
    });
}

// Promises 1 and 11: a kill takes back what was granted and not fetched, and answers who waits.
#[test]
fn a_kill_answers_every_future_that_waits() {
    loom::model(|| {
        let queue = slot_queue(1);
        let seat = idle_seat(&queue);
        let Some(Ok(loan)) = ask(&queue) else { panic!("the slot is idle") };
        let others = [Arc::clone(&queue), Arc::clone(&queue)];
        let [one, other] = others.map(|queue| thread::spawn(move || run(&queue)));
        let killer = Arc::clone(&queue);
        let killer = thread::spawn(move || {
            let mut fx = Effects::new();
            killer.begin_kill(now(), &mut fx).unwrap();
            perform(fx);
        });
        give_back(&queue, loan, Went::Well);
        let served = [one, other].map(|other| usize::from(other.join().unwrap()));
        killer.join().unwrap();
        let report = queue.report(now());
        assert_eq!(report.completed as usize, 1 + served.iter().sum::<usize>());
        assert_eq!(report.accepted, report.completed + report.dropped);
        // Whoever came last left it to an errand, and to one only.
        assert!(matches!(queue.order_for_model(seat), Some((Order::Leave(_), Some(_)))));
        assert_eq!(queue.condition_for_model(seat), Condition::Leaving);
    });
}

// A resource that a task was dropped in the middle of using goes to nobody before its worker saw it.
#[test]
fn a_task_dropped_in_the_middle_leaves_its_slot_to_one_errand() {
    loom::model(|| {
        let queue = slot_queue(1);
        let seat = idle_seat(&queue);
        let Some(Ok(loan)) = ask(&queue) else { panic!("the slot is idle") };
        let other = Arc::clone(&queue);
        let other = thread::spawn(move || match ask(&other) {
            Some(Err(key)) => {
                assert!(other.poll_claim(key, &waker()).is_pending(), "it is being replaced");
                let mut fx = Effects::new();
                let abandoned = other.abandon(key, Outcome::Cancelled, now(), &mut fx);
                perform(fx);
                assert!(matches!(abandoned, Abandoned::Waiting { accepted: true }));
            }
            _ => panic!("the resource is in use or on its way to be replaced"),
        });
        let errands = give_back(&queue, loan, Went::Dropped(Gone::Caller));
        assert_eq!(errands, 1);
        other.join().unwrap();
        assert_eq!(queue.condition_for_model(seat), Condition::Recovering);
        assert!(matches!(queue.order_for_model(seat), Some((Order::Replace(_), Some(_)))));
    });
}

// An order that comes while a worker lays its resource down is carried out, by it or by one errand.
#[test]
fn a_worker_that_comes_to_rest_misses_no_order() {
    loom::model(|| {
        let queue = slot_queue(1);
        let (seat, _) = queue.hire().unwrap();
        let mut fx = Effects::new();
        let token = queue.equipped(seat, Duration::ZERO, 0.0, now(), &mut fx);
        perform(fx);
        let killer = Arc::clone(&queue);
        let killer = thread::spawn(move || {
            let mut fx = Effects::new();
            killer.begin_kill(now(), &mut fx).unwrap();
            let errands = errands(&fx);
            perform(fx);
            errands
        });
        let mut held = Some(Lease::new(7, token));
        let order = queue.check_in(seat, &mut held, now(), now, perform).map(|(order, _)| order);
        let order = order.or_else(|| queue.get_up(seat, &mut held));
        let errands = killer.join().unwrap();
        let told = matches!(order, Some(Order::Leave(_)));
        assert_eq!(usize::from(told) + errands, 1, "exactly one of them sees it off");
        assert_eq!(held.is_some(), told, "whoever does has the resource");
    });
}

// Timeouts and kills: the flag is seen at the next poll, or the poll is brought about.
#[test]
fn an_abort_reaches_whoever_polls() {
    loom::model(|| {
        let token = CancelToken::new();
        let other = token.clone();
        let aborter = thread::spawn(move || {
            other.cancel_because(Why::TimedOut);
            other.abort();
        });
        while !token.on_abort(Some(waker())) {
            thread::park();
        }
        assert!(token.is_aborted());
        assert_eq!(token.why(), Some(Why::TimedOut));
        token.on_abort(None);
        aborter.join().unwrap();
    });
}

/// A future's poll in the middle of a task on `seat`.
fn poll_inside(
    queue: &Queue<u32, ()>,
    key: u32,
    seat: usize,
) -> Poll<Result<Loan<u32>, Denial<()>>> {
    let polled = queue.poll_claim(key, &waker());
    if polled.is_pending() {
        let mut fx = Effects::new();
        queue.block_claim(key, vec![seat], now(), &mut fx);
        perform(fx);
    }
    polled
}

// Promise 16: a future that is answered between its look and its word that it waits holds nobody up: whoever waits in
// another task while the first one works is served by it.
#[test]
fn a_future_that_is_answered_before_it_says_that_it_waits_holds_nobody_up() {
    loom::model(|| {
        let queue = slot_queue(2);
        idle_seat(&queue);
        idle_seat(&queue);
        let ask_now = || ask(&queue).expect("nobody shuts down");
        let (Ok(outer), Ok(busy)) = (ask_now(), ask_now()) else { panic!("both are idle") };
        let Err(key) = ask_now() else { panic!("none is left") };
        let other = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || give_back(&queue, busy, Went::Well))
        };
        // Looks and does not park: loom forgets a wake-up that finds its thread at a lock.
        let inner = loop {
            match poll_inside(&queue, key, outer.seat) {
                Poll::Ready(answer) => break answer,
                Poll::Pending => thread::yield_now(),
            }
        };
        give_back(&queue, inner.map_err(|denial| denial.error).unwrap(), Went::Well);
        other.join().unwrap();
        let (Ok(second), Err(key)) = (ask_now(), ask_now()) else { panic!("one is idle") };
        assert!(poll_inside(&queue, key, second.seat).is_pending());
        assert!(poll_inside(&queue, key, second.seat).is_pending(), "the first one works");
        give_back(&queue, outer, Went::Well);
        let Poll::Ready(Ok(inner)) = poll_inside(&queue, key, second.seat) else {
            panic!("the first one is free");
        };
        give_back(&queue, inner, Went::Well);
        give_back(&queue, second, Went::Well);
        assert_eq!(queue.report(now()).completed, 5);
    });
}
