//! The timekeeper does not sleep through an appointment that is made while it goes to sleep.

use std::sync::Arc;
use std::time::Duration;

use loom::thread;

use super::queue::submit;
use super::{Counted, now, perform, queue};
use crate::queue::{Effects, Queue, Timetable};
use crate::sync::Waiter;

/// How long the task may wait that the model is about. Time gets that far, and no farther.
const SOON: Duration = Duration::from_secs(1);

/// The timekeeper's thread, until the task has been answered. It wakes up by itself for what is due soon; for anything
/// later, and for nothing, it sleeps until it is woken.
fn keep_time(queue: &Queue<u32, ()>, task: &Counted) {
    queue.keep_time(Waiter::me());
    let mut time = now();
    while task.answered() == 0 {
        let mut fx = Effects::new();
        let timetable = queue.due(time, &mut fx);
        let quiet = fx.is_empty();
        perform(fx);
        match timetable {
            _ if !quiet => {}
            Timetable::At(at) if at <= now() + SOON => time = at,
            Timetable::At(_) | Timetable::Open => thread::park(),
            Timetable::Over => unreachable!("nobody shuts down"),
        }
    }
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
                thread::spawn(move || keep_time(&queue, &task))
            };
            assert!(submit(&queue, &task));
            timekeeper.join().unwrap();
            assert_eq!((task.ran(), task.answered(), waits_longer.answered()), (0, 1, 0));
        });
    }
}
