//! The timekeeper sleeps through no appointment that is made while it goes to sleep, and not through the end.

use std::sync::Arc;
use std::time::Duration;

use loom::thread;

use super::pool::locked;
use super::queue::{start, submit};
use super::{Counted, final_report, now, perform, queue, shut_down};
use crate::queue::{Effects, Queue, Timetable};
use crate::sync::Waiter;

/// When the things fall due that the models are about. Time gets that far, and no farther.
pub(super) const SOON: Duration = Duration::from_secs(1);

/// The timekeeper's thread, until the manager is over or it has seen enough. It wakes up by itself for what is due soon;
/// for anything later, and for nothing, it sleeps until it is woken.
fn keep_time_until(queue: &Queue<u32, ()>, enough: impl Fn() -> bool) {
    queue.keep_time(Waiter::me());
    let mut time = now();
    while !enough() {
        let mut fx = Effects::new();
        let timetable = queue.due(time, &mut fx);
        let quiet = fx.is_empty();
        perform(fx);
        match timetable {
            _ if !quiet => {}
            Timetable::At(at) if at <= now() + SOON => time = at,
            Timetable::At(_) | Timetable::Open => thread::park(),
            Timetable::Over => break,
        }
    }
}

/// Starts the timekeeper of a manager that is shut down.
pub(super) fn keep_time(queue: &Arc<Queue<u32, ()>>) -> thread::JoinHandle<()> {
    let queue = Arc::clone(queue);
    thread::spawn(move || keep_time_until(&queue, || false))
}

// Q11: an appointment that becomes the earliest wakes the timekeeper, whether it sleeps for a later one or for none.
#[test]
fn an_earlier_appointment_wakes_the_timekeeper() {
    for later in [false, true] {
        loom::model(move || {
            let queue = queue(1, false);
            let _seat = queue.hire().unwrap(); // its worker makes its resource all the time
            let waits_longer = Counted::that_starts_within(100 * SOON);
            if later {
                assert!(submit(&queue, &waits_longer));
            }
            let task = Counted::that_starts_within(SOON);
            let timekeeper = {
                let (queue, task) = (Arc::clone(&queue), Arc::clone(&task));
                thread::spawn(move || keep_time_until(&queue, || task.answered() > 0))
            };
            assert!(submit(&queue, &task));
            timekeeper.join().unwrap();
            assert_eq!((task.ran(), task.answered(), waits_longer.answered()), (0, 1, 0));
        });
    }
}

// Promises 10 to 12, and Q12: the last worker out wakes the timekeeper, which ends.
#[test]
fn the_last_worker_out_wakes_the_timekeeper() {
    for kill in [false, true] {
        loom::model(move || {
            let queue = queue(1, false);
            let timekeeper = keep_time(&queue);
            let worker = start(&queue);
            shut_down(&queue, kill);
            timekeeper.join().unwrap();
            queue.await_done(None);
            worker.join().unwrap();
        });
    }
}

// The same where the last one is a guest, or there is nobody and the shutdown itself is the end.
#[test]
fn the_last_guest_out_wakes_the_timekeeper() {
    for kill in [false, true] {
        loom::model(move || {
            let queue = queue(1, true);
            let timekeeper = keep_time(&queue);
            let guest = {
                let queue = Arc::clone(&queue);
                thread::spawn(move || locked(&queue, || {}))
            };
            shut_down(&queue, kill);
            timekeeper.join().unwrap();
            let report = final_report(&queue); // nobody is in any more
            let served = guest.join().unwrap();
            assert_eq!(report.completed, served.into());
        });
    }
}
