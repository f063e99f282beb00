//! What tells a task to stop as it ends reaches that task or nobody, and never the next one on its resource.

use std::sync::Arc;

use loom::thread;

use super::lending::{give_back, idle_seat, take};
use super::queue::{start, submit};
use super::time::SOON;
use super::{Counted, final_report, now, perform, queue, rack_queue, shut_down};
use crate::queue::{Effects, Queue};
use crate::task::Settings;
use crate::worker::settle::{Case, Gone, Went};

// Promises 1 and 17: a running task is cancelled before, while or after it is settled. It has one answer, and the next one
// on its resource runs undisturbed.
#[test]
fn a_cancel_that_comes_as_its_task_ends_does_not_meet_the_next_one() {
    loom::model(|| {
        let queue = queue(1, false);
        let worker = start(&queue);
        let (cancelled, next) = (Counted::new(), Counted::new());
        assert!(submit(&queue, &cancelled) && submit(&queue, &next));
        let mut fx = Effects::new();
        queue.cancel(&cancelled.ticket, now(), &mut fx);
        perform(fx);
        shut_down(&queue, false);
        queue.await_done(None);
        worker.join().unwrap();
        assert_eq!((cancelled.answered(), next.answered(), next.ran()), (1, 1, 1));
        assert!(!next.told(), "nobody has told it to stop");
        let report = final_report(&queue);
        let (ran, report) = (cancelled.ran(), (report.completed, report.cancelled));
        assert_eq!(report, (1 + ran as u64, 1 - ran as u64), "it does not look at its token");
    });
}

/// A call on a resource that is lent under the lock; whether it was told to stop.
fn call(queue: &Queue<u32, ()>, settings: &Settings) -> bool {
    let Ok(loan) = take(queue, settings) else { panic!("nobody shuts down") };
    let told = loan.lease.token.is_cancelled();
    let case = Case { went: Went::Well, ..Case::not_begun(Gone::Caller) };
    assert!(give_back(queue, loan, settings, case).is_none());
    told
}

// Promise 17: the same where a caller gives back what it was lent as its time is over.
#[test]
fn a_timeout_that_comes_as_its_call_ends_does_not_meet_the_next_one() {
    loom::model(|| {
        let queue = queue(1, true);
        idle_seat(&queue);
        let caller = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                call(&queue, &Settings { timeout: Some(SOON), ..Settings::here(0) });
                assert!(!call(&queue, &Settings::here(0)), "its time is not limited");
            })
        };
        let mut fx = Effects::new();
        let _ = queue.due(now() + SOON, &mut fx);
        perform(fx);
        caller.join().unwrap();
        assert_eq!(queue.report(now()).completed, 2);
    });
}

// Promise 17: a task has given its token to somebody who cancels it before, while or after its resource is laid back, or
// given back; and who lets go of it before that or later. (In the middle of it loom could not see that it is let go of:
// the count is std's, and so is what it orders.)
#[test]
fn a_token_that_a_task_gave_away_does_not_meet_the_next_one() {
    for (lays_back, goes_first) in [(false, false), (false, true), (true, false), (true, true)] {
        loom::model(move || {
            let queue = rack_queue(1, false);
            idle_seat(&queue);
            let settings = Settings::here(0);
            let loan = queue.pick(&settings, 1, now()).expect("it is there");
            let kept = loan.lease.token.clone();
            let mut keeper = Some(thread::spawn(move || {
                kept.cancel();
                kept
            }));
            if goes_first {
                drop(keeper.take().map(|keeper| keeper.join().unwrap()));
            }
            let laid_back = if lays_back { queue.lay_back(loan, now()) } else { Err(loan) };
            if let Err(loan) = laid_back {
                let case = Case { went: Went::Well, ..Case::not_begun(Gone::Caller) };
                assert!(give_back(&queue, loan, &settings, case).is_none());
            }
            let next = queue.pick(&settings, 1, now());
            let next = next.map_or_else(|| take(&queue, &settings), Ok);
            drop(keeper.take().map(|keeper| keeper.join().unwrap()));
            let Ok(next) = next else { panic!("nobody shuts down") };
            assert!(!next.lease.token.is_cancelled());
        });
    }
}
