//! An observer that keeps what it is told.

use std::fmt;
use std::sync::Arc;

use super::watched::{LIMIT, Watched, end_of_patience};
use crate::event::{Event, Observer};

/// Keeps every [`Event`] of a manager. Give a clone to [`Config::observer`](crate::Config::observer) and keep
/// one: clones share what was seen.
///
/// ```
/// use tasker::testing::{Kit, Recorder};
/// use tasker::{DestroyReason, Event, TaskManager};
///
/// let (kit, seen) = (Kit::new(), Recorder::new());
/// let manager = TaskManager::new(kit.config().worker_count(1).observer(seen.clone()))?;
/// kit.fail_next_uses(1);
/// manager.queue_task(|_, resource| resource.work())?;
///
/// assert_eq!(seen.count(|event| matches!(event, Event::TaskRetried { attempt: 1, .. })), 1);
/// seen.wait_for(1, |event| {
///     matches!(event, Event::ResourceDestroyed { reason: DestroyReason::Unhealthy, .. })
/// });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct Recorder(Arc<Watched<Vec<Recorded>>>);

/// An owned copy of an [`Event`], lent out by [`event`](Self::event).
///
/// ```
/// use tasker::testing::{Kit, Recorded, Recorder};
/// use tasker::{Event, TaskManager};
///
/// let seen = Recorder::new();
/// let manager = TaskManager::new(Kit::new().config().worker_count(1).observer(seen.clone()))?;
/// manager.task(|_, resource| resource.work()).name("backup").run()?;
/// manager.stop()?;
///
/// fn is_start(recorded: &Recorded) -> bool {
///     matches!(recorded.event(), Event::TaskStarted { name: Some("backup"), attempt: 1, .. })
/// }
/// let kept: Vec<Recorded> = seen.events(); // they outlive the manager
/// assert!(kept.iter().any(is_start));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Recorded {
    /// Without its name, which it would have to borrow.
    event: Event<'static>,
    name: Option<Box<str>>,
}

impl Recorder {
    /// One that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Everything seen so far, in the order in which it happened.
    ///
    /// ```
    /// use tasker::testing::{Kit, Recorder};
    /// use tasker::{Event, Phase, TaskManager};
    ///
    /// let seen = Recorder::new();
    /// let manager = TaskManager::new(Kit::new().config().worker_count(1).observer(seen.clone()))?;
    /// manager.task(|_, resource| resource.work()).name("the only one").run()?;
    /// manager.stop()?;
    ///
    /// let events = seen.events();
    /// let names: Vec<&str> = events
    ///     .iter()
    ///     .filter_map(|recorded| match recorded.event() {
    ///         Event::TaskQueued { name, .. } => name,
    ///         _ => None,
    ///     })
    ///     .collect();
    /// assert_eq!(names, ["the only one"]);
    /// let last = events.last().map(|recorded| recorded.event());
    /// assert!(matches!(last, Some(Event::PhaseChanged { phase: Phase::Stopped, .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn events(&self) -> Vec<Recorded> {
        let mut events = self.0.look(Vec::clone);
        events.sort_by_key(|recorded| recorded.event.sequence());
        events
    }

    /// How many of the events so far are `wanted`.
    ///
    /// ```
    /// use tasker::testing::{Kit, Recorder};
    /// use tasker::{Event, Owner, TaskManager};
    ///
    /// let seen = Recorder::new();
    /// let config = Kit::new().config().worker_count(2).resource_pool_size(1);
    /// let manager = TaskManager::new(config.observer(seen.clone()))?;
    /// let is_pooled = |event: &Event<'_>| {
    ///     matches!(event, Event::ResourceCreated { owner: Owner::Pool, .. })
    /// };
    /// assert_eq!(seen.count(is_pooled), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn count(&self, mut wanted: impl FnMut(&Event<'_>) -> bool) -> usize {
        self.events().iter().filter(|recorded| wanted(&recorded.event())).count()
    }

    /// Blocks until `count` events were `wanted`, those that came before the call included.
    ///
    /// `wanted` is asked once for every event, in the order of their coming.
    ///
    /// ```
    /// use tasker::testing::{Kit, Recorder};
    /// use tasker::{Event, TaskManager};
    ///
    /// let (kit, seen) = (Kit::new(), Recorder::new());
    /// let manager = TaskManager::new(kit.config().worker_count(1).observer(seen.clone()))?;
    /// kit.fail_next_uses(1);
    /// kit.fail_next_creates(2); // so that its worker has to try again, and again
    /// let waiting = manager.task(|_, resource| resource.work()).submit();
    /// seen.wait_for(2, |event| matches!(event, Event::CreateFailed { panicked: false, .. }));
    /// waiting.wait()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// It blocks its thread. Where that is the one on which the events happen, as in a current-thread runtime,
    /// [`count`](Self::count) them between `tokio::task::yield_now().await` instead, as
    /// [`Gate::await_arrivals`](super::Gate::await_arrivals) shows for its own.
    ///
    /// # Panics
    ///
    /// If it does not come to that within [`LIMIT`]; the message has everything that was seen instead.
    #[track_caller]
    pub fn wait_for(&self, count: usize, mut wanted: impl FnMut(&Event<'_>) -> bool) {
        let end = end_of_patience();
        let (mut known, mut found) = (0, 0);
        while found < count {
            let news = |seen: &Vec<Recorded>| seen.get(known..).map(<[_]>::to_vec);
            let news = |seen: &Vec<Recorded>| news(seen).filter(|news| !news.is_empty());
            let Some(news) = self.0.wait_for(end, news) else {
                panic!("{found} of {count} such events in {LIMIT:?}; there were {self:#?}");
            };
            known += news.len();
            found += news.iter().filter(|recorded| wanted(&recorded.event())).count();
        }
    }
}

impl Observer for Recorder {
    fn on_event(&self, event: &Event<'_>) {
        let recorded = Recorded { event: named(event, None), name: name_of(event).map(Box::from) };
        self.0.change(|seen| seen.push(recorded));
    }
}

impl Recorded {
    /// The event, as an observer is told it.
    ///
    /// ```
    /// use tasker::testing::{Kit, Recorder};
    /// use tasker::TaskManager;
    ///
    /// let seen = Recorder::new();
    /// let manager = TaskManager::new(Kit::new().config().worker_count(1).observer(seen.clone()))?;
    /// manager.stop()?;
    /// let numbers: Vec<u64> = seen.events().iter().map(|recorded| recorded.event().sequence()).collect();
    /// assert!(numbers.is_sorted());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn event(&self) -> Event<'_> {
        named(&self.event, self.name.as_deref())
    }
}

impl fmt::Debug for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.event().fmt(f)
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recorder ")?;
        f.debug_list().entries(self.events()).finish()
    }
}

fn name_of<'n>(event: &Event<'n>) -> Option<&'n str> {
    match event {
        Event::TaskQueued { name, .. }
        | Event::TaskStarted { name, .. }
        | Event::TaskRetried { name, .. }
        | Event::TaskFinished { name, .. }
        | Event::TaskStuck { name, .. } => *name,
        Event::WorkerStarted { .. }
        | Event::WorkerStopped { .. }
        | Event::ResourceCreated { .. }
        | Event::CreateFailed { .. }
        | Event::ResourceDestroyed { .. }
        | Event::Scaled { .. }
        | Event::PauseChanged { .. }
        | Event::PhaseChanged { .. } => None,
    }
}

/// The same event with another name. It names every field, so that a new one cannot be forgotten.
fn named<'n>(event: &Event<'_>, name: Option<&'n str>) -> Event<'n> {
    match event.clone() {
        Event::TaskQueued { sequence, id, name: _, priority } => {
            Event::TaskQueued { sequence, id, name, priority }
        }
        Event::TaskStarted { sequence, id, name: _, attempt } => {
            Event::TaskStarted { sequence, id, name, attempt }
        }
        Event::TaskRetried { sequence, id, name: _, attempt, delay } => {
            Event::TaskRetried { sequence, id, name, attempt, delay }
        }
        Event::TaskFinished { sequence, id, name: _, outcome, times } => {
            Event::TaskFinished { sequence, id, name, outcome, times }
        }
        Event::TaskStuck { sequence, id, name: _, running_for, location } => {
            Event::TaskStuck { sequence, id, name, running_for, location }
        }
        Event::WorkerStarted { sequence, worker } => Event::WorkerStarted { sequence, worker },
        Event::WorkerStopped { sequence, worker } => Event::WorkerStopped { sequence, worker },
        Event::ResourceCreated { sequence, owner, took } => {
            Event::ResourceCreated { sequence, owner, took }
        }
        Event::CreateFailed { sequence, owner, panicked } => {
            Event::CreateFailed { sequence, owner, panicked }
        }
        Event::ResourceDestroyed { sequence, owner, reason, failed } => {
            Event::ResourceDestroyed { sequence, owner, reason, failed }
        }
        Event::Scaled { sequence, from, to, reason } => {
            Event::Scaled { sequence, from, to, reason }
        }
        Event::PauseChanged { sequence, paused } => Event::PauseChanged { sequence, paused },
        Event::PhaseChanged { sequence, phase } => Event::PhaseChanged { sequence, phase },
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use std::panic::Location;
    use std::time::Duration;

    use super::*;
    use crate::task::TaskId;

    // The name of a stuck task was lost: it is what one looks for.
    #[test]
    fn a_recorded_event_keeps_the_name_of_its_task() {
        let event = Event::TaskStuck {
            sequence: 1,
            id: TaskId(7),
            name: Some("report"),
            running_for: Duration::from_secs(90),
            location: Location::caller(),
        };
        assert_eq!(name_of(&event), Some("report"));
        assert_eq!(name_of(&named(&event, name_of(&event))), Some("report"));
    }
}
