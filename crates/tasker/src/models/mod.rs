//! Loom models: each explores the interleavings of one protocol and states its claim in line one.

mod blocked;
mod building;
mod cancel;
mod completion;
mod inbox;
mod lending;
mod polling;
mod pool;
mod queue;
mod rack;
mod recovery;
mod retry;
mod room;
mod runner;
mod scaling;
mod scoped;
mod settling;
mod steward;
mod stuck;
mod time;
mod token;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::clock::real_now;
use crate::context::TaskContext;
use crate::outcome::TaskError;
use crate::overflow::Overflow;
use crate::pool::roster::Condition;
use crate::queue::awaited::Ticketed;
use crate::queue::job::{Job, Ran, Runnable, Ticket};
use crate::queue::{Cancelling, Effects, News, Queue, Rules};
use crate::resource::lending::{Bare, Shared};
use crate::resource::life::LifeRules;
use crate::retry::backoff::Backoff;
use crate::shutdown::ShutdownReport;
use crate::task::Settings;

/// A model has no time: everything happens at one moment.
fn now() -> Instant {
    static NOW: OnceLock<Instant> = OnceLock::new();
    *NOW.get_or_init(real_now)
}

/// A queue with `seats` workers that lends or does not.
fn queue(seats: usize, lends: bool) -> Arc<Queue<u32, ()>> {
    queue_with(seats, seats, lends, LifeRules::default())
}

/// The same with room for more workers and rules for the life of resources.
fn queue_with(seats: usize, max: usize, lends: bool, life: LifeRules) -> Arc<Queue<u32, ()>> {
    any_queue(rules(seats, max, lends, life))
}

/// A queue in which one task may wait, and whoever comes then waits for room.
fn queue_of_one(seats: usize, lends: bool) -> Arc<Queue<u32, ()>> {
    any_queue(Rules { capacity: 1, ..rules(seats, seats, lends, LifeRules::default()) })
}

/// The queue of an async manager.
fn slot_queue(seats: usize) -> Arc<Queue<u32, ()>> {
    any_queue(Rules { slots: true, ..rules(seats, seats, true, LifeRules::default()) })
}

/// A queue whose callers take resources without the lock; with `naps` also while others wait.
fn rack_queue(seats: usize, naps: bool) -> Arc<Queue<u32, ()>> {
    any_queue(Rules { racks: true, naps, ..rules(seats, seats, true, LifeRules::default()) })
}

/// A queue whose callers take what lies in the pool without the lock.
fn pool_queue() -> Arc<Queue<u32, ()>> {
    let rules = rules(1, 1, true, LifeRules::default());
    any_queue(Rules { reserve_size: 2, pool_racks: true, ..rules })
}

fn rules(seats: usize, max: usize, lends: bool, life: LifeRules) -> Rules {
    Rules {
        worker_count: seats,
        max_worker_count: max,
        burst_interval: Duration::ZERO,
        retry_backoff: Backoff::NONE,
        reserve_size: 0,
        capacity: usize::MAX,
        overflow: Overflow::Wait,
        lends,
        shelves: lends,
        naps: false,
        racks: false,
        pool_racks: false,
        inbox: false,
        slots: false,
        stuck_after: None,
        replace_stuck: false,
        counts_arrivals: Some(now()),
        life,
    }
}

fn any_queue(rules: Rules) -> Arc<Queue<u32, ()>> {
    let sequence = Arc::new(crate::sync::AtomicU64::new(0));
    let queue = if rules.lends {
        Queue::new(rules, Box::new(Shared::new()), sequence, now())
    } else {
        Queue::new(rules, Box::new(Bare), sequence, now())
    };
    Arc::new(queue)
}

/// Begins a shutdown, and tells whom it concerns. The seat of a worker that is to be started for what is left, if any is.
fn shut_down(queue: &Queue<u32, ()>, kill: bool) -> Option<usize> {
    let mut fx = Effects::new();
    let begun = match kill {
        true => queue.begin_kill(now(), &mut fx),
        false => queue.begin_stop(now(), &mut fx),
    };
    begun.expect("nobody else shuts down");
    let hired = hired(&fx);
    perform(fx);
    hired
}

/// The seat of a worker that is to be started.
fn hired(fx: &Effects<u32, ()>) -> Option<usize> {
    fx.news.iter().find_map(|news| match news {
        News::Hired { seat, .. } => Some(*seat),
        _ => None,
    })
}

/// The report, which accounts for everything that was accepted: nothing runs or waits any more.
fn final_report(queue: &Queue<u32, ()>) -> ShutdownReport {
    let report = queue.report(now());
    let ended = report.completed + report.failed + report.cancelled + report.dropped;
    assert_eq!(report.accepted, ended);
    assert!(report.stragglers.is_empty());
    report
}

/// Carries effects out as the engine does, without anybody who watches.
fn perform(fx: Effects<u32, ()>) {
    for waiter in fx.wake {
        waiter.wake();
    }
    for Cancelling { token, why, abort } in fx.cancel {
        token.cancel_because(why);
        if abort {
            token.abort();
        }
    }
    for (job, error, _) in fx.ended {
        job.finish(Err(error));
    }
}

/// A task that counts how often it ran and how often it was answered. The counts are std's: they are
/// what a model checks, not what it explores.
struct Counted {
    ticket: Ticket,
    ran: AtomicUsize,
    answered: AtomicUsize,
    /// When it ran, among all tasks of all models.
    turn: AtomicUsize,
    /// How many of its attempts find their resource broken.
    fails: usize,
    /// An attempt found that it was told to stop.
    told: AtomicBool,
    /// What it hands in when it runs.
    then: std::sync::Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

static TURNS: AtomicUsize = AtomicUsize::new(0);

impl Counted {
    fn new() -> Arc<Self> {
        Self::of(Settings::here(0))
    }

    /// A task that runs again after so many attempts have found their resource broken.
    fn that_fails(times: u32) -> Arc<Self> {
        Self::failing(Settings::here(times), times as usize)
    }

    fn that_starts_within(limit: Duration) -> Arc<Self> {
        Self::of(Settings { start_within: Some(limit), ..Settings::here(0) })
    }

    fn of(settings: Settings) -> Arc<Self> {
        Self::failing(settings, 0)
    }

    fn failing(settings: Settings, fails: usize) -> Arc<Self> {
        Arc::new(Self {
            ticket: Ticket::new(settings, fails > 0, now()),
            ran: AtomicUsize::new(0),
            answered: AtomicUsize::new(0),
            turn: AtomicUsize::new(0),
            fails,
            told: AtomicBool::new(false),
            then: std::sync::Mutex::default(),
        })
    }

    fn job(self: &Arc<Self>) -> Job<u32, ()> {
        Job::new(Arc::clone(self) as Arc<dyn Runnable<u32, ()>>)
    }

    fn ran(&self) -> usize {
        self.ran.load(Ordering::SeqCst)
    }

    fn answered(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }

    /// Has it hand in another task when it runs.
    fn then(&self, queue: &Arc<Queue<u32, ()>>, task: &Arc<Self>) {
        let (queue, task) = (Arc::clone(queue), Arc::clone(task));
        let hand_in = move || assert!(queue::submit(&queue, &task));
        *self.then.lock().unwrap() = Some(Box::new(hand_in));
    }

    fn told(&self) -> bool {
        self.told.load(Ordering::SeqCst)
    }

    fn turn(&self) -> usize {
        self.turn.load(Ordering::SeqCst)
    }
}

impl Ticketed for Counted {
    fn ticket(&self) -> &Ticket {
        &self.ticket
    }
}

impl Runnable<u32, ()> for Counted {
    fn is_brief(&self) -> bool {
        true
    }

    fn attempt(&self, cx: &TaskContext, _: &mut u32) -> Ran<()> {
        let earlier = self.ran.fetch_add(1, Ordering::SeqCst);
        let then = self.then.lock().unwrap().take();
        then.into_iter().for_each(|hand_in| hand_in());
        self.turn.store(TURNS.fetch_add(1, Ordering::SeqCst), Ordering::SeqCst);
        self.told.fetch_or(cx.is_cancelled(), Ordering::SeqCst);
        if earlier < self.fails { Ran::Wrong(()) } else { Ran::Well }
    }

    fn deliver(&self, _: Result<(), TaskError<()>>) {
        self.answered.fetch_add(1, Ordering::SeqCst);
    }
}
