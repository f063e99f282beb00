//! The resource of a kit, and what it fails with.

use std::fmt;

use super::kit::Kit;

/// A resource that a [`Kit`] made, and that keeps to the kit's orders.
///
/// A drop outside `on_destroy` is noted: [`Kit::assert_all_destroyed_once`] tells.
///
/// ```
/// use tasker::testing::{Fault, Faulty, Kit};
/// use tasker::{TaskContext, TaskManager};
///
/// fn twice(_: &TaskContext, resource: &mut Faulty) -> Result<u64, Fault> {
///     resource.work()?;
///     resource.work()
/// }
///
/// let kit = Kit::new();
/// let config = kit.config().worker_count(1).max_worker_count(1).resource_pool_size(0);
/// let manager = TaskManager::new(config)?;
/// assert_eq!(manager.queue_task(twice)?, 1); // its number
/// kit.fail_next_uses(1);
/// assert_eq!(manager.queue_task(twice)?, 2); // it has been replaced
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Faulty {
    pub(super) id: u64,
    pub(super) uses: u64,
    pub(super) kit: Kit,
    /// Whether it went to `on_destroy`.
    pub(super) spent: bool,
}

/// What a [`Kit`]'s resources and hooks fail with.
///
/// ```
/// use tasker::testing::{Fault, Kit};
/// use tasker::{TaskError, TaskManager};
///
/// let kit = Kit::new();
/// let manager = TaskManager::new(kit.config().worker_count(1).resource_pool_size(0))?;
/// let ended = manager.queue_task(|_, _| Err::<(), _>(Fault::Task)); // healthy, and so not tried again
/// assert!(matches!(ended, Err(TaskError::Failed(Fault::Task))));
/// assert_eq!(kit.counts().created, 1); // nor is the resource replaced
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// `on_create` failed.
    Create,
    /// The resource broke under a task. The only one that is unhealthy.
    Unhealthy,
    /// `on_destroy` failed.
    Destroy,
    /// The task's own error, for tasks of yours: the kit never fails with it.
    Task,
}

impl Faulty {
    /// The number of the creation that made it, counted from 1.
    ///
    /// ```
    /// let kit = tasker::testing::Kit::new();
    /// let manager = tasker::TaskManager::new(kit.config().worker_count(1).resource_pool_size(0))?;
    /// assert_eq!(manager.queue_task(|_, resource| Ok(resource.id()))?, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// How often it was used.
    ///
    /// ```
    /// let kit = tasker::testing::Kit::new();
    /// let manager = tasker::TaskManager::new(kit.config().worker_count(1).resource_pool_size(0))?;
    /// manager.queue_task(|_, resource| resource.work())?;
    /// assert_eq!(manager.queue_task(|_, resource| Ok(resource.uses()))?, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn uses(&self) -> u64 {
        self.uses
    }

    /// What a task does with it: gives its [`id`](Self::id), or does what the kit was ordered.
    ///
    /// ```
    /// use tasker::testing::{Fault, Kit};
    /// use tasker::{TaskError, TaskManager};
    ///
    /// let kit = Kit::new();
    /// let manager = TaskManager::new(kit.config().worker_count(1).max_retries(0))?;
    /// kit.fail_next_uses(1);
    /// let ended = manager.queue_task(|_, resource| resource.work());
    /// assert!(matches!(ended, Err(TaskError::RetriesExhausted { source: Fault::Unhealthy, .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Fault::Unhealthy`], by [`Kit::fail_next_uses`] or [`Kit::unhealthy_after`].
    ///
    /// # Panics
    ///
    /// By [`Kit::panic_next_uses`].
    pub fn work(&mut self) -> Result<u64, Fault> {
        self.uses += 1;
        self.kit.use_of(self.id, self.uses)?;
        Ok(self.id)
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        if !self.spent {
            self.kit.lose(self.id);
        }
    }
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty").field("id", &self.id).field("uses", &self.uses).finish()
    }
}

impl Fault {
    /// What [`Kit::config`] gives to [`check_health`](crate::Config::check_health): every fault is healthy
    /// but [`Unhealthy`](Self::Unhealthy).
    ///
    /// ```
    /// use tasker::testing::Fault;
    /// assert!(Fault::Task.is_healthy());
    /// assert!(!Fault::Unhealthy.is_healthy());
    /// ```
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        *self != Self::Unhealthy
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "creation failed on order",
            Self::Unhealthy => "the resource is unhealthy on order",
            Self::Destroy => "destruction failed on order",
            Self::Task => "the task's own error",
        })
    }
}

impl std::error::Error for Fault {}
