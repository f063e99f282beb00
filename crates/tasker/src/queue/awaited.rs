//! What a task waits for that blocks on a task of its own manager, and whom it tells.

use std::sync::Arc;

use super::job::Ticket;
use crate::sync::Waiter;

/// A task whose ticket others may look at.
pub(crate) trait Ticketed: Send + Sync {
    fn ticket(&self) -> &Ticket;
}

/// What a task of a manager waits for.
pub(crate) enum Awaited {
    /// A resource, for a task that runs where it waits.
    Claim(u32),
    /// The end of a task that borrows from whoever waits: it must not be left alone once it runs.
    Scoped(Arc<dyn Ticketed>),
    /// The outcome of a task that has a handle.
    Outcome(Arc<dyn Ticketed>, Option<Waiter>),
}

/// What a handle, or whoever waits like one, asks of the manager of its task.
pub(crate) trait Supervisor: Send + Sync {
    /// Stops a task.
    fn cancel(&self, ticket: &Ticket);
    /// The seats of those tasks that the calling thread is in the middle of.
    fn seats(&self) -> Vec<usize>;
    /// Whether a task that awaits holds up its worker, as one that blocks.
    fn is_held_up_by_awaiting(&self) -> bool;
    /// Whoever works on `seats` waits from here on for a task that borrows from it; the number of its wait.
    fn block_scoped(&self, seats: Vec<usize>, task: Arc<dyn Ticketed>) -> u32;
    /// Whoever works on `seats` waits (on) for an outcome; `known` is the number of its wait, if it waited before,
    /// there or elsewhere. `None` if it would wait for ever; else `waiter` is woken when that is so.
    fn block(
        &self,
        known: Option<u32>,
        seats: Vec<usize>,
        task: Arc<dyn Ticketed>,
        waiter: Waiter,
    ) -> Option<u32>;
    /// It does not wait any more.
    fn unblock(&self, key: u32);
}
