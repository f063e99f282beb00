//! The only place where async managers create and destroy resources.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::Core;
use super::guarded::Guarded;
use crate::event::{DestroyReason, Owner};
use crate::resource::slot::{Failure, is_sound};

/// A future behind a pointer, as hooks return it.
pub(crate) type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

type Create<R, E> = Box<dyn Fn() -> Boxed<'static, Result<R, E>> + Send + Sync>;
type Destroy<R, E> = Box<dyn Fn(R) -> Boxed<'static, Result<(), E>> + Send + Sync>;
type Validate<R> = Box<dyn for<'a> Fn(&'a mut R) -> Boxed<'a, bool> + Send + Sync>;

/// The hooks of an async manager.
pub(crate) struct Hooks<R, E> {
    pub(crate) create: Create<R, E>,
    pub(crate) destroy: Destroy<R, E>,
    pub(crate) validate: Option<Validate<R>>,
}

impl<R: Send + 'static, E: Send + 'static> Core<R, E> {
    /// Makes a resource, and tells how long that took. A kill gives it up: then nothing was made.
    pub(crate) async fn make(&self, owner: Owner) -> Result<(R, Duration), Unmade<E>> {
        let began = self.clock.now();
        // The hook is called inside the future, so that a panic of the call itself is caught as well.
        let create = self.at_home(async { (self.staff.hooks.create)().await });
        let create = Guarded::new(self.identity(), create);
        let Some(returned) = self.staff.killed.run_until_cancelled(create).await else {
            return Err(Unmade::Killed);
        };
        let took = self.clock.now().saturating_duration_since(began);
        let made = self.accounts.note_creation(&self.reporter, owner, returned, took);
        made.map_err(Unmade::Failed)
    }

    /// Polls a hook in the manager's runtime, also where a `run_task` is awaited in another one, or in none.
    async fn at_home<F: Future>(&self, hook: F) -> F::Output {
        let mut hook = pin!(hook);
        poll_fn(|cx| {
            let _entered = self.staff.roll.runtime().enter();
            hook.as_mut().poll(cx)
        })
        .await
    }

    /// Takes a resource apart.
    pub(crate) async fn unmake(&self, resource: R, owner: Owner, reason: DestroyReason) {
        let mut destruction = Destruction { core: self, owner, reason, noted: false };
        let destroy = async { (self.staff.hooks.destroy)(resource).await };
        let returned = Guarded::new(self.identity(), destroy).await;
        destruction.noted = true;
        self.accounts.note_destruction(&self.reporter, owner, reason, returned);
    }

    /// Takes a resource apart where there is no runtime any more: `on_destroy` gets as far as one poll takes
    /// it.
    pub(crate) fn unmake_at_once(&self, resource: R, owner: Owner, reason: DestroyReason) {
        let unmake = pin!(self.unmake(resource, owner, reason));
        let polled = unmake.poll(&mut Context::from_waker(Waker::noop()));
        debug_assert!(matches!(polled, Poll::Ready(()) | Poll::Pending), "dropped here, and noted");
    }

    /// Whether a resource may be used again.
    pub(crate) async fn proves_sound(&self, resource: &mut R) -> bool {
        let Some(validate) = &self.staff.hooks.validate else { return true };
        let validate = self.at_home(async { validate(resource).await });
        let validate = Guarded::new(self.identity(), validate);
        match self.staff.killed.run_until_cancelled(validate).await {
            Some(returned) => is_sound(&self.reporter, returned),
            None => false, // nobody is going to use it
        }
    }
}

/// Why there is no resource.
pub(crate) enum Unmade<E> {
    Failed(Failure<E>),
    /// The manager was killed meanwhile, and the future of `on_create` dropped.
    Killed,
}

/// A destruction under way. Dropped unfinished it counts as one that failed.
struct Destruction<'a, R: Send + 'static, E: Send + 'static> {
    core: &'a Core<R, E>,
    owner: Owner,
    reason: DestroyReason,
    noted: bool,
}

impl<R: Send + 'static, E: Send + 'static> Drop for Destruction<'_, R, E> {
    fn drop(&mut self) {
        if !self.noted {
            let Self { core, owner, reason, .. } = self;
            core.accounts.note_cut_off(&core.reporter, *owner, *reason);
        }
    }
}
