//! What a task is before it runs: its number, priority, name and settings, and whether it may run again.

use std::borrow::Cow;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use crate::context::TaskContext;

/// The number of a task, unique in its manager and rising in the order of submission.
///
/// ```
/// use tasker::{Config, TaskManager};
///
/// let manager = TaskManager::<(), String>::new(Config::new(|| Ok(())).worker_count(1))?;
/// let first = manager.task(|_, _| Ok(())).submit();
/// let second = manager.task(|cx, _| Ok(cx.id())).submit();
/// assert!(first.id() < second.id());
/// let known = second.id();
/// assert_eq!(second.wait()?, known);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(pub(crate) u64);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// How urgent a task is. A free worker always takes the oldest task of the highest priority.
///
/// ```
/// use tasker::Priority;
/// assert!(Priority::High > Priority::Normal && Priority::Normal > Priority::Low);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[non_exhaustive]
pub enum Priority {
    /// After everything else.
    Low,
    /// The default: most work is neither urgent nor idle.
    #[default]
    Normal,
    /// Before everything else; retries run here as well.
    High,
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        })
    }
}

/// A task's name, cheap to clone wherever it came from. One pointer: most tasks have none, and this one
/// is written into several records for each of them.
#[derive(Debug, Clone)]
pub(crate) struct Name(Arc<Cow<'static, str>>);

impl Name {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Cow<'static, str>> for Name {
    fn from(name: Cow<'static, str>) -> Self {
        Self(Arc::new(name))
    }
}

/// What the builder can set for one task, and the line of code that it comes from.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) location: &'static Location<'static>,
    pub(crate) priority: Priority,
    pub(crate) name: Option<Name>,
    pub(crate) max_retries: u32,
    pub(crate) timeout: Option<Duration>,
    pub(crate) start_within: Option<Duration>,
}

impl Settings {
    /// The defaults, of a task that comes from the caller's line.
    #[track_caller]
    pub(crate) fn here(max_retries: u32) -> Self {
        Self::from(Location::caller(), max_retries)
    }

    /// The same of a task that comes from `location`.
    pub(crate) fn from(location: &'static Location<'static>, max_retries: u32) -> Self {
        Self {
            location,
            priority: Priority::default(),
            name: None,
            max_retries,
            timeout: None,
            start_within: None,
        }
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.name.as_ref().map(Name::as_str)
    }
}

/// A task that may run again after an unhealthy error: its closure is `FnMut`.
pub struct Repeatable<F>(pub(crate) F);

/// A task that runs at most once: its closure is `FnOnce`, so there is nothing left to run again.
pub struct Once<F>(pub(crate) Option<F>);

impl<F> fmt::Debug for Repeatable<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Repeatable")
    }
}

impl<F> fmt::Debug for Once<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Once")
    }
}

/// What can be run on a resource: [`Repeatable`] and [`Once`]. Sealed.
pub trait Work<R, E>: sealed::Sealed {
    /// What the closure returns when it succeeds.
    type Output;
    /// The closure itself.
    type Closure;
    #[doc(hidden)]
    fn attempt(&mut self, cx: &TaskContext, resource: &mut R) -> Result<Self::Output, E>;
    #[doc(hidden)]
    fn may_run_again(&self) -> bool;
    #[doc(hidden)]
    fn into_closure(self) -> Option<Self::Closure>
    where
        Self: Sized;
}

pub(crate) mod sealed {
    /// Keeps [`Work`](super::Work) closed, so that it can grow.
    #[expect(unnameable_types, reason = "a sealed trait is not to be named outside")]
    pub trait Sealed {}
}

impl<F> sealed::Sealed for Repeatable<F> {}
impl<F> sealed::Sealed for Once<F> {}

impl<R, E, T, F> Work<R, E> for Repeatable<F>
where
    F: FnMut(&TaskContext, &mut R) -> Result<T, E>,
{
    type Output = T;
    type Closure = F;

    fn attempt(&mut self, cx: &TaskContext, resource: &mut R) -> Result<T, E> {
        (self.0)(cx, resource)
    }

    fn may_run_again(&self) -> bool {
        true
    }

    fn into_closure(self) -> Option<F> {
        Some(self.0)
    }
}

impl<R, E, T, F> Work<R, E> for Once<F>
where
    F: FnOnce(&TaskContext, &mut R) -> Result<T, E>,
{
    type Output = T;
    type Closure = F;

    fn attempt(&mut self, cx: &TaskContext, resource: &mut R) -> Result<T, E> {
        let task =
            self.0.take().expect("a task that runs once is never asked for a second attempt");
        task(cx, resource)
    }

    fn may_run_again(&self) -> bool {
        false
    }

    fn into_closure(self) -> Option<F> {
        self.0
    }
}
