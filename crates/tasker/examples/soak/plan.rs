//! What one generation is like: settings, load and ending, drawn from the seed.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;
use tasker::{Backoff, Overflow, ShutdownReport};

use crate::args::{Args, Kinds};
use crate::watch::Watcher;

/// What both kinds of configurations are told of a plan in the same words.
macro_rules! settings {
    ($config:expr, $plan:expr, $watcher:expr, $token:expr) => {{
        let (plan, mut config) = ($plan, $config);
        config = config
            .check_health(|fault| *fault != $crate::stock::Fault::Sick)
            .worker_count(plan.workers)
            .max_worker_count(plan.most)
            .burst_interval(plan.burst_interval)
            .max_retries(2)
            .logger(tasker::NoopLogger);
        if let Some((tasks, overflow)) = plan.capacity {
            config = config.queue_capacity(tasks).overflow(overflow);
        }
        if let Some(backoff) = plan.backoff {
            config = config.retry_backoff(backoff);
        }
        if let Some(uses) = plan.max_uses {
            config = config.max_uses(uses);
        }
        if let Some(age) = plan.max_lifetime {
            config = config.max_lifetime(age);
        }
        if let Some(age) = plan.stuck_after {
            config = config.stuck_after(age).replace_stuck(plan.replace_stuck);
        }
        if plan.observed {
            config = config.observer($watcher.clone());
        }
        if plan.ending == $crate::plan::Ending::Token {
            config = config.shutdown_on($token.clone());
        }
        config
    }};
}
pub(crate) use settings;

/// How a manager ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Stop,
    StopWithin(Duration),
    Kill,
    KillWithin(Duration),
    /// A stop that a kill takes over.
    StopThenKill,
    /// The token given to `shutdown_on`.
    Token,
    /// The last clone is dropped.
    Drop,
}

/// A generation.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) number: u64,
    pub(crate) seed: u64,
    /// On tokio, not on threads.
    pub(crate) is_async: bool,
    /// `new_local`, or a runtime of one thread.
    pub(crate) is_local: bool,
    pub(crate) workers: usize,
    /// Most workers, whatever is resized.
    pub(crate) most: usize,
    pub(crate) pool: usize,
    pub(crate) capacity: Option<(usize, Overflow)>,
    pub(crate) lending: bool,
    pub(crate) backoff: Option<Backoff>,
    pub(crate) burst_interval: Duration,
    pub(crate) max_uses: Option<u64>,
    pub(crate) max_lifetime: Option<Duration>,
    pub(crate) validate_after: Option<Duration>,
    pub(crate) observed: bool,
    /// Creations fail from the beginning.
    pub(crate) born_unruly: bool,
    /// Creations fail once the manager is built.
    pub(crate) unruly: bool,
    pub(crate) callers: usize,
    /// How many handles a caller keeps.
    pub(crate) window: usize,
    pub(crate) tasks: u64,
    /// It ends while callers are at it, with so many tasks still to come.
    pub(crate) busy_with: Option<u64>,
    pub(crate) ending: Ending,
    /// One task ignores that its time is over.
    pub(crate) deaf: bool,
    /// Tasks wait for tasks of their own manager.
    pub(crate) nests: bool,
    pub(crate) stuck_after: Option<Duration>,
    /// A stuck task gets a replacement, beyond the cap if need be.
    pub(crate) replace_stuck: bool,
}

/// What a generation leaves behind.
#[derive(Debug)]
pub(crate) struct Lived {
    pub(crate) reports: Vec<ShutdownReport>,
    /// Most resources of workers and pool at the same time.
    pub(crate) peak: u64,
    pub(crate) watcher: Watcher,
}

/// How often to look whether everything has ended.
pub(crate) const LOOK: Duration = Duration::from_micros(200);

/// Fewest and most tasks of a generation of a long run.
const TASKS: (u64, u64) = (500, 200_000);
/// Of a short run, how many generations there are at least.
const GENERATIONS: u64 = 40;

impl Plan {
    pub(crate) fn draw(number: u64, args: &Args, left: u64) -> Self {
        // A generation is a function of the seed and its number; the spread keeps neighbours apart.
        let seed = args.seed.wrapping_add(number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let chance = &mut Rng::with_seed(seed);
        let workers = chance.usize(1..=args.workers.into());
        let ending = match chance.u32(0..100) {
            0..30 => Ending::Stop,
            30..42 => Ending::StopWithin(Duration::from_millis(chance.u64(0..20))),
            42..62 => Ending::Kill,
            62..72 => Ending::KillWithin(Duration::from_millis(chance.u64(0..20))),
            72..78 => Ending::StopThenKill,
            78..86 => Ending::Token,
            _ => Ending::Drop,
        };
        let is_limited = matches!(ending, Ending::StopWithin(_) | Ending::KillWithin(_));
        let most = TASKS.1.min(args.tasks / GENERATIONS).max(TASKS.0 + 1);
        let ratio = most as f64 / TASKS.0 as f64;
        let tasks = ((TASKS.0 as f64 * ratio.powf(chance.f64())) as u64).min(left);
        let overflow = [Overflow::Wait, Overflow::Reject, Overflow::DropOldest];
        let is_async = match args.manager {
            Kinds::Threads => false,
            Kinds::Async => true,
            Kinds::Both => !number.is_multiple_of(2),
        };
        let rarely = |chance: &mut Rng, odds: u32| chance.u32(0..odds) == 0;
        let mut plan = Self {
            number,
            seed,
            is_async,
            is_local: rarely(chance, 6),
            workers,
            most: workers + chance.usize(0..=workers + 1),
            pool: chance.usize(0..3),
            capacity: rarely(chance, 3)
                .then(|| (chance.usize(1..200), overflow[chance.usize(0..overflow.len())])),
            lending: !rarely(chance, 4),
            backoff: rarely(chance, 3)
                .then(|| Backoff::fixed(Duration::from_micros(chance.u64(1..2_000)))),
            burst_interval: Duration::from_millis(chance.u64(0..10)),
            max_uses: rarely(chance, 5).then(|| chance.u64(100..10_000)),
            max_lifetime: rarely(chance, 5).then(|| Duration::from_millis(chance.u64(5..100))),
            validate_after: rarely(chance, 4).then(|| Duration::from_micros(chance.u64(0..2_000))),
            observed: rarely(chance, 3),
            born_unruly: rarely(chance, 12),
            unruly: rarely(chance, 2),
            callers: args.callers.into(),
            window: 1 << chance.u32(0..9),
            tasks,
            busy_with: chance.bool().then(|| chance.u64(0..tasks.max(1))),
            ending,
            deaf: is_limited && rarely(chance, 4),
            nests: rarely(chance, 3),
            stuck_after: rarely(chance, 3).then(|| Duration::from_micros(chance.u64(100..3_000))),
            replace_stuck: chance.bool(),
        };
        plan.observed |= plan.may_replace(); // how many were stuck says how many resources there may be
        plan
    }

    /// Most resources of workers and pool, as long as nothing is stuck.
    pub(crate) fn resources(&self) -> u64 {
        (self.most + self.pool) as u64
    }

    /// Whether there may be more resources than the cap has room for, because tasks are stuck.
    pub(crate) fn may_replace(&self) -> bool {
        self.stuck_after.is_some() && self.replace_stuck
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_async { "async" } else { "threads" };
        write!(
            f,
            "generation {} ({kind}, {} to {} workers, {:?})",
            self.number, self.workers, self.most, self.ending
        )
    }
}
