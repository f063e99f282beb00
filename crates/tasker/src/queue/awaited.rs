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
    Lent(Arc<dyn Ticketed>),
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
    /// Whoever works on `seats` waits from here on; the number to ask with.
    fn block(&self, seats: Vec<usize>, awaited: Awaited) -> u32;
    /// Whether it would wait for ever; if not, `waiter` is woken when that changes.
    fn is_refused(&self, key: u32, waiter: Waiter) -> bool;
    /// It does not wait any more.
    fn unblock(&self, key: u32);
}
