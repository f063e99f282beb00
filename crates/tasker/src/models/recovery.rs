//! A worker without a resource tries again when it is time, or leaves; a shutdown does not let it sleep on.

use loom::thread;

use super::queue::{start_after, submit};
use super::time::keep_time;
use super::{Counted, final_report, queue, shut_down};

// Promises 1 and 9: the timekeeper wakes the worker for its second try, and the task that waits for it runs.
#[test]
fn a_worker_is_woken_for_its_second_try() {
    loom::model(|| {
        let queue = queue(1, false);
        let timekeeper = keep_time(&queue);
        let worker = start_after(&queue, 1);
        let task = Counted::new();
        assert!(submit(&queue, &task));
        while task.answered() == 0 {
            thread::yield_now();
        }
        shut_down(&queue, false);
        timekeeper.join().unwrap();
        worker.join().unwrap();
        assert_eq!((task.ran(), final_report(&queue).completed), (1, 1));
    });
}

// Promise 10: nobody waits between the tries of a stop. It is the only worker, and runs what is left.
#[test]
fn a_stop_wakes_the_worker_that_waits_for_its_second_try() {
    loom::model(|| {
        let queue = queue(1, false);
        let task = Counted::new();
        assert!(submit(&queue, &task));
        let worker = start_after(&queue, 1);
        shut_down(&queue, false);
        queue.await_done(None);
        worker.join().unwrap();
        assert_eq!(task.answered(), 1);
        let report = final_report(&queue);
        // It ends with the failure where the stop was there before the try failed.
        assert_eq!(
            (report.completed as usize, report.failed as usize),
            (task.ran(), 1 - task.ran())
        );
    });
}

// Promise 11: a kill leaves nothing to try again for.
#[test]
fn a_kill_wakes_the_worker_that_waits_for_its_second_try() {
    loom::model(|| {
        let queue = queue(1, false);
        let task = Counted::new();
        assert!(submit(&queue, &task));
        let worker = start_after(&queue, 1);
        shut_down(&queue, true);
        queue.await_done(None);
        worker.join().unwrap();
        assert_eq!((task.ran(), task.answered(), final_report(&queue).dropped), (0, 1, 1));
    });
}

// Promises 10 and 11: two of them that nothing is left for both go.
#[test]
fn a_shutdown_wakes_every_worker_that_waits_for_its_second_try() {
    for kill in [false, true] {
        loom::model(move || {
            let queue = queue(2, false);
            let workers = [start_after(&queue, 1), start_after(&queue, 1)];
            shut_down(&queue, kill);
            queue.await_done(None);
            for worker in workers {
                worker.join().unwrap();
            }
        });
    }
}
