//! DECISION: what each phase allows, and what became of everything that was accepted.

use std::fmt;
use std::time::Duration;

use crate::error::ShutdownError;
use crate::outcome::Fate;
use crate::task::TaskId;

/// Where a manager is in its life.
///
/// ```
/// use tasker::{Config, Phase, TaskManager};
///
/// let manager = TaskManager::<(), String>::new(Config::new(|| Ok(())).worker_count(1))?;
/// assert_eq!(manager.phase(), Phase::Running);
/// manager.stop()?;
/// assert_eq!(manager.phase(), Phase::Stopped);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Takes tasks and runs them.
    Running,
    /// Takes no more tasks; runs what it has accepted.
    Stopping,
    /// A graceful stop has finished.
    Stopped,
    /// Killed, whether or not running code has returned yet.
    Killed,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Killed => "killed",
        })
    }
}

/// Whether a graceful stop may begin.
pub(crate) fn may_stop(phase: Phase) -> Result<(), ShutdownError> {
    match phase {
        Phase::Running => Ok(()),
        Phase::Stopping | Phase::Stopped | Phase::Killed => {
            Err(ShutdownError::AlreadyStoppingOrKilled)
        }
    }
}

/// Whether a kill may begin; it may take over from a stop under way.
pub(crate) fn may_kill(phase: Phase) -> Result<(), ShutdownError> {
    match phase {
        Phase::Running | Phase::Stopping => Ok(()),
        Phase::Stopped => Err(ShutdownError::AlreadyStoppingOrKilled),
        Phase::Killed => Err(ShutdownError::AlreadyKilled),
    }
}

/// The numbers of the report while they grow.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tally {
    pub(crate) accepted: u64,
    pub(crate) completed: u64,
    pub(crate) failed: u64,
    pub(crate) cancelled: u64,
    pub(crate) dropped: u64,
}

impl Tally {
    pub(crate) fn end(&mut self, fate: Fate) {
        match fate {
            Fate::Completed => self.completed += 1,
            Fate::Failed => self.failed += 1,
            Fate::Cancelled => self.cancelled += 1,
            Fate::Dropped => self.dropped += 1,
        }
    }

    /// Accepted tasks that have not ended.
    pub(crate) fn pending(&self) -> u64 {
        self.accepted - self.completed - self.failed - self.cancelled - self.dropped
    }
}

/// What became of everything that was accepted:
/// `accepted == completed + failed + cancelled + dropped + stragglers.len()`, always.
///
/// ```
/// use tasker::{Config, TaskManager};
///
/// let manager = TaskManager::<(), String>::new(Config::new(|| Ok(())).worker_count(1))?;
/// manager.queue_task(|_, _| Ok(()))?;
/// manager.queue_task(|_, _| Err::<(), _>("no such row".to_owned())).unwrap_err();
/// let report = manager.stop()?;
/// let ended = report.completed + report.failed + report.cancelled + report.dropped;
/// assert_eq!(report.accepted, ended + report.stragglers.len() as u64);
/// assert_eq!(report.resources_created, report.resources_destroyed);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Default)]
pub struct ShutdownReport {
    /// Tasks that the manager took.
    pub accepted: u64,
    /// Ended with `Ok`.
    pub completed: u64,
    /// Ended as `Failed`, `RetriesExhausted`, `Panicked`, `TimedOut`, `CreateFailed` or `WouldDeadlock`.
    pub failed: u64,
    /// Ended as `Cancelled`.
    pub cancelled: u64,
    /// Ended as `Killed` or `Expired`, or evicted by `DropOldest`.
    pub dropped: u64,
    /// Resources that `on_create` returned.
    pub resources_created: u64,
    /// Resources that went through `on_destroy`; fewer than created only while stragglers hold some.
    pub resources_destroyed: u64,
    /// How many `on_destroy` calls failed or panicked.
    pub destroy_errors: u64,
    /// Tasks that had not ended when the report was made.
    pub stragglers: Vec<Straggler>,
    /// From the beginning of the shutdown to the report.
    pub took: Duration,
}

impl fmt::Display for ShutdownReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} accepted: {} completed, {} failed, {} cancelled, {} dropped, {} still running; \
             resources: {} created, {} destroyed ({} with errors); took {:.1?}",
            self.accepted,
            self.completed,
            self.failed,
            self.cancelled,
            self.dropped,
            self.stragglers.len(),
            self.resources_created,
            self.resources_destroyed,
            self.destroy_errors,
            self.took,
        )
    }
}

/// A task that had not ended when a shutdown report was made.
///
/// ```
/// use std::time::Duration;
/// use tasker::{Config, TaskManager, TaskStatus};
///
/// let manager = TaskManager::<(), String>::new(Config::new(|| Ok(())).worker_count(1))?;
/// let (open, gate) = std::sync::mpsc::channel::<()>();
/// let deaf = manager.task_once(move |_, _| Ok(gate.recv().is_ok())).name("deaf").submit();
/// while deaf.status() == TaskStatus::Queued {
///     std::thread::yield_now();
/// }
/// let report = manager.stop_within(Duration::ZERO)?;
/// assert_eq!(report.stragglers[0].name.as_deref(), Some("deaf"));
/// open.send(())?; // its code returns after all
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone)]
pub struct Straggler {
    /// The task's number.
    pub id: TaskId,
    /// Its name, if it was given one.
    pub name: Option<String>,
    /// How long its attempt has been running; zero if it is still queued (only possible in the report
    /// of a shutdown that was begun from inside a task, which does not wait).
    pub running_for: Duration,
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn each_phase_allows_what_promise_12_says() {
        use ShutdownError::{AlreadyKilled, AlreadyStoppingOrKilled};
        let table = [
            (Phase::Running, Ok(()), Ok(())),
            (Phase::Stopping, Err(AlreadyStoppingOrKilled), Ok(())),
            (Phase::Stopped, Err(AlreadyStoppingOrKilled), Err(AlreadyStoppingOrKilled)),
            (Phase::Killed, Err(AlreadyStoppingOrKilled), Err(AlreadyKilled)),
        ];
        for (phase, stop, kill) in table {
            assert_eq!(may_stop(phase), stop, "stop while {phase}");
            assert_eq!(may_kill(phase), kill, "kill while {phase}");
        }
    }

    #[test]
    fn what_has_not_ended_is_pending() {
        let mut tally = Tally { accepted: 5, ..Tally::default() };
        for (ended, fate) in
            [Fate::Completed, Fate::Failed, Fate::Cancelled, Fate::Dropped].into_iter().enumerate()
        {
            assert_eq!(tally.pending(), 5 - ended as u64);
            tally.end(fate);
        }
        assert_eq!(tally.pending(), 1);
        let Tally { accepted, completed, failed, cancelled, dropped } = tally;
        assert_eq!([accepted, completed, failed, cancelled, dropped], [5, 1, 1, 1, 1]);
    }

    #[test]
    fn a_report_reads_as_a_sentence() {
        let report = ShutdownReport {
            accepted: 15,
            completed: 5,
            failed: 4,
            cancelled: 3,
            dropped: 2,
            resources_created: 8,
            resources_destroyed: 7,
            destroy_errors: 6,
            stragglers: vec![Straggler { id: TaskId(1), name: None, running_for: Duration::ZERO }],
            took: Duration::from_millis(1_500),
        };
        let phases = [Phase::Running, Phase::Stopping, Phase::Stopped, Phase::Killed];
        assert_eq!(
            phases.map(|phase| phase.to_string()),
            ["running", "stopping", "stopped", "killed"]
        );
        assert_eq!(
            report.to_string(),
            "15 accepted: 5 completed, 4 failed, 3 cancelled, 2 dropped, 1 still running; \
             resources: 8 created, 7 destroyed (6 with errors); took 1.5s"
        );
    }
}
