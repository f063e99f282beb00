//! The user's hooks: how resources are made, judged and taken apart.

pub(crate) mod lending;
pub(crate) mod life;
pub(crate) mod reserve;
pub(crate) mod slot;

use crate::sync::AtomicU64;

type Create<R, E> = Box<dyn Fn() -> Result<R, E> + Send + Sync>;
type Destroy<R, E> = Box<dyn Fn(R) -> Result<(), E> + Send + Sync>;
type CheckHealth<E> = Box<dyn Fn(&E) -> bool + Send + Sync>;
type Validate<R> = Box<dyn Fn(&mut R) -> bool + Send + Sync>;

/// The hooks, with the counts of what went through them.
pub(crate) struct Hooks<R, E> {
    pub(crate) create: Create<R, E>,
    pub(crate) destroy: Destroy<R, E>,
    pub(crate) check_health: CheckHealth<E>,
    pub(crate) validate: Option<Validate<R>>,
    pub(crate) created: AtomicU64,
    pub(crate) destroyed: AtomicU64,
    pub(crate) destroy_errors: AtomicU64,
}
