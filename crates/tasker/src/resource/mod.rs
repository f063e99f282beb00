//! The user's hooks: how resources are made, judged and taken apart.

pub(crate) mod lending;
pub(crate) mod life;
pub(crate) mod rack;
pub(crate) mod reserve;
pub(crate) mod slot;

type Create<R, E> = Box<dyn Fn() -> Result<R, E> + Send + Sync>;
type Destroy<R, E> = Box<dyn Fn(R) -> Result<(), E> + Send + Sync>;
type Validate<R> = Box<dyn Fn(&mut R) -> bool + Send + Sync>;

/// The hooks that threads call. Whether an error is healthy is asked elsewhere, as it needs no resource.
pub(crate) struct Hooks<R, E> {
    pub(crate) create: Create<R, E>,
    pub(crate) destroy: Destroy<R, E>,
    pub(crate) validate: Option<Validate<R>>,
}
