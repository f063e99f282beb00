//! DECISION: why there are as many workers as there are, and what the waiting tasks wait for.

use std::fmt;
use std::panic::Location;
use std::time::Duration;

use crate::autoscale::{Headcount, Reason, Short};
use crate::shutdown::Phase;
use crate::task::TaskId;

/// What [`TaskManager::explain`](crate::TaskManager::explain) answers: in words by `to_string`, in numbers
/// by its fields. One consistent look under one lock, but for the text of the last error, which is the user's code
/// and printed after it.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// Where the manager is in its life.
    pub phase: Phase,
    /// Whether tasks are held back.
    pub paused: bool,
    /// Workers, those that are leaving not counted.
    pub workers: usize,
    /// Workers that are always there.
    pub worker_count: usize,
    /// How many there may be.
    pub max_worker_count: usize,
    /// Workers whose resource is being used, or validated.
    pub in_use: usize,
    /// Workers with a resource and nothing to do.
    pub idle: usize,
    /// Workers that are making their resource.
    pub creating: usize,
    /// Workers whose last creation failed and that wait to try again.
    pub failing: usize,
    /// Workers that count against the cap and not as workers: they destroy their resource for good, or
    /// prepare to take over from another.
    pub leaving: usize,
    /// The last time the number of workers was changed, if it ever was.
    pub last_change: Option<Change>,
    /// What the scaling policy said when it was asked last, if it ever was: why it left the number alone, or
    /// why it changed it.
    pub policy: Option<Reason>,
    /// What the waiting tasks wait for.
    pub waiting: Waiting,
    /// Tasks that have been running for longer than [`stuck_after`](crate::Config::stuck_after).
    pub stuck: Vec<StuckTask>,
    /// How many creations have failed since the last that did not.
    pub failed_creations: u32,
    /// What the last failed creation failed with, however long ago.
    pub last_create_error: Option<String>,
}

/// A task that has been running for too long.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StuckTask {
    /// Its number.
    pub id: TaskId,
    /// Its name, if it was given one.
    pub name: Option<String>,
    /// How long its attempt has been running.
    pub running_for: Duration,
    /// Where in the code it was made.
    pub location: &'static Location<'static>,
}

impl fmt::Display for StuckTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {}", self.id)?;
        if let Some(name) = &self.name {
            write!(f, " \"{name}\"")?;
        }
        write!(f, ", made at {}, has been running for {}", self.location, Short(self.running_for))
    }
}

/// A change of the number of workers.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// How many there were.
    pub from: usize,
    /// How many there were to be.
    pub to: usize,
    /// Why.
    pub reason: Reason,
    /// How long ago.
    pub ago: Duration,
}

/// What the waiting tasks wait for. Each task in a lane is counted for one cause: as many as creations are
/// under way wait for these, as many as workers wait to try again for those, and the rest for the cap where
/// it is reached, else for workers that are busy.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Waiting {
    /// Tasks in the lanes.
    pub tasks: usize,
    /// How long the task that came first among them has been waiting.
    pub longest: Option<Duration>,
    /// Those that wait for a busy worker; the policy does not find another one worth its cost.
    pub for_workers: usize,
    /// Those that creations under way will serve.
    pub for_creations: usize,
    /// Those that workers would serve that get no resource because `on_create` fails.
    pub for_failing_creations: usize,
    /// Those for which there would be more workers if `max_worker_count` allowed it.
    pub for_cap: usize,
    /// Those that wait for [`resume`](crate::TaskManager::resume).
    pub for_resume: usize,
    /// Retries that wait for their time; they are not in a lane.
    pub delayed: usize,
    /// Tasks that wait for room in the lanes.
    pub outside: usize,
}

impl Waiting {
    /// The share, from 0 to 1, that so many are of the tasks in the lanes: `share(waiting.for_cap)`.
    #[must_use]
    pub fn share(&self, tasks: usize) -> f64 {
        if self.tasks == 0 { 0.0 } else { tasks as f64 / self.tasks as f64 }
    }
}

/// What the manager knows.
#[derive(Debug, Clone)]
pub(crate) struct Outlook {
    pub(crate) phase: Phase,
    pub(crate) paused: bool,
    pub(crate) count: Headcount,
    pub(crate) delayed: usize,
    pub(crate) outside: usize,
    pub(crate) longest: Option<Duration>,
    pub(crate) stuck: Vec<StuckTask>,
    pub(crate) failures: u32,
    pub(crate) policy: Option<Reason>,
    pub(crate) last_change: Option<Change>,
}

impl Explanation {
    pub(crate) fn new(outlook: Outlook, last_create_error: Option<String>) -> Self {
        let Outlook { phase, paused, count, failures, policy, last_change, stuck, .. } = outlook;
        Self {
            phase,
            paused,
            workers: count.staying(),
            worker_count: count.worker_count,
            max_worker_count: count.max_worker_count,
            in_use: count.in_use,
            idle: count.idle,
            creating: count.creating,
            failing: count.failing,
            leaving: count.leaving,
            last_change,
            policy,
            waiting: waiting(paused, &count, outlook.longest, outlook.delayed, outlook.outside),
            stuck,
            failed_creations: failures,
            last_create_error,
        }
    }
}

fn waiting(
    paused: bool,
    count: &Headcount,
    longest: Option<Duration>,
    delayed: usize,
    outside: usize,
) -> Waiting {
    let mut left = count.queued;
    let mut take = |at_most: usize| {
        let taken = left.min(at_most);
        left -= taken;
        taken
    };
    let for_resume = if paused { take(usize::MAX) } else { 0 };
    let for_creations = take(count.creating);
    let for_failing_creations = take(count.failing);
    let for_cap = if count.room() == 0 { take(usize::MAX) } else { 0 };
    Waiting {
        tasks: count.queued,
        longest,
        for_workers: left,
        for_creations,
        for_failing_creations,
        for_cap,
        for_resume,
        delayed,
        outside,
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { workers, worker_count, max_worker_count, .. } = self;
        let s = if *workers == 1 { "" } else { "s" };
        write!(f, "{workers} worker{s} ({worker_count} to {max_worker_count} are allowed)")?;
        let kinds = [
            (self.in_use, "in use"),
            (self.idle, "idle"),
            (self.creating, "making a resource"),
            (self.failing, "waiting to try again"),
            (self.leaving, "leaving or taking over"),
        ];
        let there = kinds.iter().filter(|(count, _)| *count > 0);
        for (at, (count, kind)) in there.enumerate() {
            write!(f, "{}{count} {kind}", if at == 0 { ": " } else { ", " })?;
        }
        f.write_str(".")?;
        if self.phase != Phase::Running {
            write!(f, " The manager is {}.", self.phase)?;
        }
        match &self.last_change {
            Some(Change { from, to, reason, ago }) => {
                write!(f, " The last change was {from} -> {to}, {} ago: {reason}.", Short(*ago))?;
            }
            None => f.write_str(" Their number has not changed yet.")?,
        }
        let told = self.last_change.as_ref().map(|change| &change.reason);
        if let Some(reason) = &self.policy
            && told != Some(reason)
        {
            write!(f, " The policy said last: {reason}.")?;
        }
        write!(f, " {}", self.waiting)?;
        for task in &self.stuck {
            write!(f, " Stuck: {task}.")?;
        }
        if self.failed_creations > 0 {
            write!(f, " on_create failed {} times in a row", self.failed_creations)?;
            if let Some(error) = &self.last_create_error {
                write!(f, ", the last time with: {error}")?;
            }
            f.write_str(".")?;
        }
        Ok(())
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.tasks == 0 {
            f.write_str("No task waits for a worker")?;
        } else {
            let s = if self.tasks == 1 { "task waits" } else { "tasks wait" };
            write!(f, "{} {s}", self.tasks)?;
            if let Some(longest) = self.longest {
                write!(f, ", the first of them for {}", Short(longest))?;
            }
            let causes = [
                (self.for_resume, "for resume()"),
                (self.for_creations, "for a resource in the making"),
                (self.for_failing_creations, "for an on_create that fails"),
                (self.for_cap, "because max_worker_count is reached"),
                (self.for_workers, "for a busy worker"),
            ];
            let there = causes.iter().filter(|(count, _)| *count > 0);
            for (at, (count, cause)) in there.enumerate() {
                let percent = 100.0 * self.share(*count);
                write!(f, "{} {percent:.0} % {cause}", if at == 0 { ":" } else { "," })?;
            }
        }
        if self.delayed > 0 {
            write!(f, "; {} wait for the time of their retry", self.delayed)?;
        }
        if self.outside > 0 {
            write!(f, "; {} wait for room in the queue", self.outside)?;
        }
        f.write_str(".")
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const BUSY: Headcount = Headcount { queued: 10, ..Headcount::BUSY };

    #[test]
    fn every_waiting_task_is_counted_for_one_cause() {
        // workers, creations, failing creations, cap, resume
        let table = [
            (false, BUSY, [10, 0, 0, 0, 0]),
            (true, BUSY, [0, 0, 0, 0, 10]),
            (false, Headcount { creating: 3, ..BUSY }, [7, 3, 0, 0, 0]),
            (false, Headcount { creating: 3, failing: 2, ..BUSY }, [5, 3, 2, 0, 0]),
            (false, Headcount { creating: 3, failing: 3, ..BUSY }, [0, 3, 3, 4, 0]),
            (false, Headcount { in_use: 8, ..BUSY }, [0, 0, 0, 10, 0]),
            (false, Headcount { queued: 0, in_use: 8, ..BUSY }, [0; 5]),
            (false, Headcount { queued: 1, creating: 3, ..BUSY }, [0, 1, 0, 0, 0]),
        ];
        for (paused, count, [workers, creations, failing, cap, resume]) in table {
            let waiting = waiting(paused, &count, None, 0, 0);
            let expected = Waiting {
                tasks: count.queued,
                for_workers: workers,
                for_creations: creations,
                for_failing_creations: failing,
                for_cap: cap,
                for_resume: resume,
                ..Waiting::default()
            };
            assert_eq!(waiting, expected, "{count:?}");
        }
    }

    #[test]
    fn an_explanation_reads_as_sentences() {
        let change = Change {
            from: 2,
            to: 5,
            reason: Reason::Custom("it was so decided".into()),
            ago: Duration::from_millis(1200),
        };
        let outlook = Outlook {
            phase: Phase::Running,
            paused: false,
            count: Headcount { creating: 3, failing: 3, ..BUSY },
            delayed: 1,
            outside: 0,
            longest: Some(Duration::from_millis(340)),
            stuck: vec![StuckTask {
                id: TaskId(7),
                name: Some("report".to_owned()),
                running_for: Duration::from_secs(90),
                location: Location::caller(),
            }],
            failures: 4,
            policy: Some(Reason::Fixed),
            last_change: Some(change),
        };
        let line = outlook.stuck[0].location;
        let words = Explanation::new(outlook, Some("no route to host".to_owned())).to_string();
        assert_eq!(
            words.replace(&line.to_string(), "src/main.rs:1:2"),
            "8 workers (2 to 8 are allowed): 2 in use, 3 making a resource, 3 waiting to try again. The last change \
             was 2 -> 5, 1.2 s ago: it was so decided. The policy said last: the policy asks for a fixed \
             number. 10 tasks wait, the first of them for 340 ms: 30 % for a resource in the making, 30 % \
             for an on_create that fails, 40 % because max_worker_count is reached; 1 wait for the time \
             of their retry. Stuck: task #7 \"report\", made at src/main.rs:1:2, has been running \
             for 90 s. on_create failed 4 times in a row, the last time with: no route to host."
        );
    }

    #[test]
    fn what_is_not_there_is_not_told() {
        let quiet = Outlook {
            phase: Phase::Running,
            paused: false,
            count: Headcount { queued: 0, ..BUSY },
            delayed: 0,
            outside: 0,
            longest: None,
            stuck: Vec::new(),
            failures: 0,
            policy: None,
            last_change: None,
        };
        assert_eq!(
            Explanation::new(quiet, None::<String>).to_string(),
            "2 workers (2 to 8 are allowed): 2 in use. Their number has not changed yet. No task waits for a worker."
        );
        let outside = Waiting { outside: 3, ..Waiting::default() };
        assert_eq!(
            outside.to_string(),
            "No task waits for a worker; 3 wait for room in the queue."
        );
    }
}
