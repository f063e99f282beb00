//! A worker that is set aside, since its task is stuck, leaves; one more has its place meanwhile, and nobody is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use loom::thread;

use super::queue::{submit, work};
use super::time::SOON;
use super::{Counted, any_queue, final_report, hired, now, perform, rules, shut_down};
use crate::autoscale::Plan;
use crate::queue::{Effects, News, Queue, Rules};
use crate::resource::life::LifeRules;

/// One worker, whose place is taken when its task is stuck.
struct Stuck {
    queue: Arc<Queue<u32, ()>>,
    /// How many workers are there. Std's: it is what the models check, not what they explore.
    there: Arc<AtomicUsize>,
    workers: Vec<thread::JoinHandle<()>>,
}

impl Stuck {
    fn new() -> Self {
        let rules = rules(1, 1, false, LifeRules::default());
        let queue = any_queue(Rules { stuck_after: Some(SOON), replace_stuck: true, ..rules });
        let (seat, _) = queue.hire().unwrap();
        let mut fx = Effects::new();
        queue.built(now(), &mut fx);
        perform(fx);
        let mut this = Self { queue, there: Arc::default(), workers: Vec::new() };
        this.start(seat);
        this
    }

    fn start(&mut self, seat: usize) {
        let (queue, there) = (Arc::clone(&self.queue), Arc::clone(&self.there));
        self.workers.push(thread::spawn(move || {
            there.fetch_add(1, Ordering::SeqCst);
            work(&queue, seat);
            there.fetch_sub(1, Ordering::SeqCst);
        }));
    }

    /// Plays the timekeeper when what runs has become stuck: tells of it, sets its worker aside, and sees who is missing.
    /// Whether a task is stuck.
    fn look(&mut self) -> bool {
        let late = now() + SOON;
        let mut fx = Effects::new();
        let _ = self.queue.due(late, &mut fx);
        let stuck = fx.news.iter().any(|news| matches!(news, News::Stuck { .. }));
        if std::mem::take(&mut fx.look)
            && let Some(load) = self.queue.load(late)
        {
            self.queue.carry_out(Plan::hold(&load, "nobody asks"), late, &mut fx);
        }
        if let Some(seat) = hired(&fx) {
            self.start(seat);
        }
        perform(fx);
        stuck
    }

    /// Waits for the end. Nobody has been lost, and there is no more room than before.
    fn end(self) {
        self.queue.await_done(None);
        for worker in self.workers {
            worker.join().unwrap();
        }
        let seat = self.queue.hire();
        assert!(seat.is_some() && self.queue.hire().is_none(), "room for one");
    }
}

// Promise 2: the worker comes back before, while or after it is set aside. If it is, it goes, and another one has its
// place; in the end there is one.
#[test]
fn a_worker_that_comes_back_as_it_is_set_aside_gives_its_place_up_once() {
    loom::model(|| {
        let mut manager = Stuck::new();
        let tasks = [Counted::new(), Counted::new()];
        assert!(tasks.iter().all(|task| submit(&manager.queue, task)));
        let stuck = manager.look();
        assert_eq!(manager.workers.len(), 1 + usize::from(stuck), "one more if one is set aside");
        if stuck {
            manager.workers.remove(0).join().unwrap(); // it goes although nobody shuts down
            assert!(manager.there.load(Ordering::SeqCst) <= 1);
        }
        let queue = Arc::clone(&manager.queue);
        shut_down(&queue, false);
        manager.end();
        assert!(tasks.iter().all(|task| (task.ran(), task.answered()) == (1, 1)));
        assert_eq!(final_report(&queue).completed, 2);
    });
}

// Promises 10 and 11: a shutdown that begins as a worker is set aside waits for it and for whoever has its place.
#[test]
fn a_shutdown_that_begins_as_a_worker_is_set_aside_loses_nobody() {
    for kill in [false, true] {
        loom::model(move || {
            let mut manager = Stuck::new();
            let tasks = [Counted::new(), Counted::new()];
            assert!(tasks.iter().all(|task| submit(&manager.queue, task)));
            let queue = Arc::clone(&manager.queue);
            let shuts_down = {
                let queue = Arc::clone(&queue);
                thread::spawn(move || shut_down(&queue, kill))
            };
            manager.look();
            if let Some(seat) = shuts_down.join().unwrap() {
                manager.start(seat);
            }
            assert!(manager.workers.len() <= 2, "one more, whoever hires it");
            manager.end();
            let ran: usize = tasks.iter().map(|task| task.ran()).sum();
            assert!(tasks.iter().all(|task| task.answered() == 1));
            let report = final_report(&queue);
            assert_eq!((report.accepted, report.completed as usize), (2, ran));
            assert!(kill || ran == 2);
        });
    }
}
