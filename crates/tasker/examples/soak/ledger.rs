//! What callers heard, what resources went through, and every rule that was seen broken.

use std::ops::{Index, Sub};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tasker::TaskError;

use crate::stock::Fault;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Count {
    /// The twelve ways in which a caller hears of the end of a task.
    Completed,
    Failed,
    Exhausted,
    Panicked,
    TimedOut,
    NoResource,
    Deadlock,
    Cancelled,
    Killed,
    Expired,
    QueueFull,
    Refused,
    /// Waits for a handle that were refused: the task itself goes on.
    WaitRefused,
    /// Tasks that nobody listens to and whose closure went away: the last attempt returned `Ok`, or not.
    SilentWell,
    SilentOther,
    /// Those of them that were heard all the same.
    OverheardWell,
    OverheardOther,
    /// Closures of tasks.
    ClosuresMade,
    ClosuresGone,
    /// Callbacks.
    CallbacksMade,
    CallbacksGone,
    /// Resources that `on_create` returned, `on_destroy` was given, and memory got back.
    Created,
    Destroyed,
    Dropped,
    /// Calls of the hooks that failed or panicked.
    CreateErrors,
    DestroyErrors,
    /// Managers that could not be built, because a resource could not be made.
    BuildErrors,
    /// Reports that were compared, and tasks that they named as still running.
    Reports,
    Stragglers,
}

const COUNTS: usize = Count::Stragglers as usize + 1;

/// The rules that a verdict is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    Answers,
    Reports,
    Resources,
    Cap,
    Threads,
    Progress,
}

/// How many broken rules are told in words; the rest is only counted.
const TOLD: usize = 20;

/// Everything that is counted, for the whole run.
#[derive(Debug)]
pub(crate) struct Ledger {
    counts: [AtomicU64; COUNTS],
    /// Resources that live, those being made and destroyed included; temporary ones are apart.
    pub(crate) live: AtomicU64,
    pub(crate) temporary: AtomicU64,
    broken: Mutex<Broken>,
}

#[derive(Debug, Default)]
struct Broken {
    by_rule: [u64; Rule::Progress as usize + 1],
    told: Vec<String>,
}

/// The counts at one moment, or their growth between two.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counts([u64; COUNTS]);

impl Ledger {
    pub(crate) fn new() -> Self {
        Self {
            counts: [const { AtomicU64::new(0) }; COUNTS],
            live: AtomicU64::new(0),
            temporary: AtomicU64::new(0),
            broken: Mutex::default(),
        }
    }

    pub(crate) fn add(&self, count: Count) {
        self.counts[count as usize].fetch_add(1, Ordering::Release);
    }

    pub(crate) fn add_many(&self, count: Count, n: u64) {
        self.counts[count as usize].fetch_add(n, Ordering::Release);
    }

    /// The counts of now. Those of different kinds are not read at the same moment.
    pub(crate) fn counts(&self) -> Counts {
        Counts(std::array::from_fn(|n| self.counts[n].load(Ordering::Acquire)))
    }

    /// Whether everything that was begun has ended: closures, callbacks and resources.
    pub(crate) fn is_balanced(&self) -> bool {
        let counts = self.counts();
        let pairs = [
            (Count::ClosuresMade, Count::ClosuresGone),
            (Count::CallbacksMade, Count::CallbacksGone),
            (Count::Created, Count::Dropped),
        ];
        pairs.iter().all(|(made, gone)| counts[*made] == counts[*gone])
            && self.live.load(Ordering::Acquire) == 0
            && self.temporary.load(Ordering::Acquire) == 0
    }

    /// A task has ended and its caller was told; `ticket` is what it should have returned.
    pub(crate) fn hear(&self, ticket: u64, outcome: &Result<u64, TaskError<Fault>>) -> Count {
        let count = match outcome {
            Ok(value) => {
                if *value != ticket {
                    self.broke(Rule::Answers, || {
                        format!("task {ticket} was answered with the value of task {value}")
                    });
                }
                Count::Completed
            }
            Err(TaskError::Failed(_)) => Count::Failed,
            Err(TaskError::RetriesExhausted { .. }) => Count::Exhausted,
            Err(TaskError::Panicked(_)) => Count::Panicked,
            Err(TaskError::TimedOut) => Count::TimedOut,
            Err(TaskError::CreateFailed(_)) => Count::NoResource,
            Err(TaskError::Cancelled) => Count::Cancelled,
            Err(TaskError::Killed) => Count::Killed,
            Err(TaskError::Expired) => Count::Expired,
            Err(TaskError::QueueFull) => Count::QueueFull,
            Err(TaskError::ShuttingDown) => Count::Refused,
            Err(TaskError::WouldDeadlock) => Count::Deadlock,
            Err(other) => {
                self.broke(Rule::Answers, || format!("an ending that is not known here: {other}"));
                Count::Failed
            }
        };
        self.add(count);
        count
    }

    /// A task was heard of whose closure counts itself as one that nobody listens to.
    pub(crate) fn overhear(&self, heard: Count) {
        self.add(match heard {
            Count::Completed => Count::OverheardWell,
            _ => Count::OverheardOther,
        });
    }

    /// A task that nobody else listens to was waited for inside a task. A call that is refused withdraws it;
    /// where the wait for a handle is refused the task stays, and tells its end by itself.
    pub(crate) fn hear_inside(
        &self,
        ticket: u64,
        outcome: &Result<u64, TaskError<Fault>>,
        withdrawn: bool,
    ) {
        if matches!(outcome, Err(TaskError::WouldDeadlock)) && !withdrawn {
            self.add(Count::WaitRefused);
        } else {
            let heard = self.hear(ticket, outcome);
            self.overhear(heard);
        }
    }

    /// A rule was seen broken.
    pub(crate) fn broke(&self, rule: Rule, how: impl FnOnce() -> String) {
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        broken.by_rule[rule as usize] += 1;
        if broken.told.len() < TOLD {
            broken.told.push(how());
        }
    }

    /// How often a rule was seen broken.
    pub(crate) fn broken(&self, rule: Rule) -> u64 {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).by_rule[rule as usize]
    }

    /// What broken rules looked like, the first of them.
    pub(crate) fn told(&self) -> Vec<String> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).told.clone()
    }
}

impl Index<Count> for Counts {
    type Output = u64;

    fn index(&self, count: Count) -> &u64 {
        &self.0[count as usize]
    }
}

impl Sub for Counts {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self(std::array::from_fn(|n| self.0[n] - before.0[n]))
    }
}

impl Counts {
    fn sum<const N: usize>(&self, counts: [Count; N]) -> u64 {
        counts.iter().map(|count| self[*count]).sum()
    }

    /// Tasks of which somebody heard `Ok`, or whose closure saw it.
    pub(crate) fn completed(&self) -> u64 {
        (self[Count::Completed] + self[Count::SilentWell])
            .saturating_sub(self[Count::OverheardWell])
    }

    /// Tasks that ended unheard, and not well.
    pub(crate) fn unheard(&self) -> u64 {
        self[Count::SilentOther].saturating_sub(self[Count::OverheardOther])
    }

    /// What a report calls failed.
    pub(crate) fn failed(&self) -> u64 {
        self.sum([
            Count::Failed,
            Count::Exhausted,
            Count::Panicked,
            Count::TimedOut,
            Count::NoResource,
            Count::Deadlock,
        ])
    }

    /// Everything that has ended, whatever way; what was turned away at the door counts as ended.
    pub(crate) fn ended(&self) -> u64 {
        let others =
            [Count::Cancelled, Count::Killed, Count::Expired, Count::QueueFull, Count::Refused];
        self.completed() + self.failed() + self.unheard() + self.sum(others)
    }
}
