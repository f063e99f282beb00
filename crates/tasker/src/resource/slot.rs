//! The only place where threads create and destroy resources, and where everybody's are counted: each
//! created one, and each destroyed one once.

use std::time::{Duration, Instant};

use super::Hooks;
use crate::event::{DestroyReason, Event, Owner};
use crate::logger::Level;
use crate::outcome::Panic;
use crate::reporter::Reporter;
use crate::sync::{AtomicU64, Ordering};
use crate::worker::attempt::{discard_for, on_behalf};

/// Why there is no resource.
pub(crate) enum Failure<E> {
    Error(E),
    Panicked(Panic),
}

/// Judges errors, and keeps account of what went through the hooks.
pub(crate) struct Accounts<E> {
    pub(crate) check_health: Box<dyn Fn(&E) -> bool + Send + Sync>,
    pub(crate) created: AtomicU64,
    pub(crate) destroyed: AtomicU64,
    pub(crate) destroy_errors: AtomicU64,
}

/// What a hook returned, or its panic.
type Returned<T> = Result<T, Panic>;

impl<R, E> Hooks<R, E> {
    /// Makes a resource, and tells how long that took. `clock` is read before and after.
    pub(crate) fn create(
        &self,
        accounts: &Accounts<E>,
        reporter: &Reporter,
        owner: Owner,
        clock: impl Fn() -> Instant,
    ) -> Result<(R, Duration), Failure<E>> {
        let began = clock();
        let returned = on_behalf(reporter.identity(), || (self.create)());
        let took = clock().saturating_duration_since(began);
        accounts.note_creation(reporter, owner, returned, took)
    }

    /// Takes a resource apart.
    pub(crate) fn destroy(
        &self,
        accounts: &Accounts<E>,
        reporter: &Reporter,
        resource: R,
        owner: Owner,
        reason: DestroyReason,
    ) {
        let returned = on_behalf(reporter.identity(), || (self.destroy)(resource));
        accounts.note_destruction(reporter, owner, reason, returned);
    }

    /// Whether a resource may be used again.
    pub(crate) fn is_sound(&self, reporter: &Reporter, resource: &mut R) -> bool {
        let Some(validate) = &self.validate else { return true };
        is_sound(reporter, on_behalf(reporter.identity(), || validate(resource)))
    }
}

/// What a validation says. One that panics has not said that the resource is sound.
pub(crate) fn is_sound(reporter: &Reporter, returned: Returned<bool>) -> bool {
    match returned {
        Ok(sound) => sound,
        Err(panic) => {
            reporter.panicked("validate", panic);
            false
        }
    }
}

impl<E> Accounts<E> {
    pub(crate) fn new() -> Self {
        Self {
            check_health: Box::new(|_| true),
            created: AtomicU64::new(0),
            destroyed: AtomicU64::new(0),
            destroy_errors: AtomicU64::new(0),
        }
    }

    /// Counts and tells what became of a creation.
    pub(crate) fn note_creation<R>(
        &self,
        reporter: &Reporter,
        owner: Owner,
        returned: Returned<Result<R, E>>,
        took: Duration,
    ) -> Result<(R, Duration), Failure<E>> {
        let failure = match returned {
            Ok(Ok(resource)) => {
                self.created.fetch_add(1, Ordering::Relaxed);
                reporter.emit(|sequence| Event::ResourceCreated { sequence, owner, took });
                return Ok((resource, took));
            }
            Ok(Err(error)) => Failure::Error(error),
            Err(panic) => Failure::Panicked(panic),
        };
        let panicked = matches!(failure, Failure::Panicked(_));
        reporter.emit(|sequence| Event::CreateFailed { sequence, owner, panicked });
        match &failure {
            Failure::Error(_) => {
                reporter
                    .log(Level::Warn, format_args!("no resource for {owner}: on_create failed"));
            }
            Failure::Panicked(panic) => {
                let message = panic.message();
                reporter.log(
                    Level::Error,
                    format_args!("no resource for {owner}: on_create panicked: {message}"),
                );
            }
        }
        Err(failure)
    }

    /// Counts and tells that a resource was taken apart.
    pub(crate) fn note_destruction(
        &self,
        reporter: &Reporter,
        owner: Owner,
        reason: DestroyReason,
        returned: Returned<Result<(), E>>,
    ) {
        let failed = match returned {
            Ok(Ok(())) => false,
            Ok(Err(error)) => {
                discard_for(reporter.identity(), error);
                reporter.log(Level::Warn, format_args!("on_destroy failed for {owner}"));
                true
            }
            Err(panic) => {
                reporter.panicked("on_destroy", panic);
                true
            }
        };
        self.note_destroyed(reporter, owner, reason, failed);
    }

    /// Counts and tells that an `on_destroy` was dropped before its end.
    #[cfg(feature = "tokio")]
    pub(crate) fn note_cut_off(&self, reporter: &Reporter, owner: Owner, reason: DestroyReason) {
        reporter.log(Level::Warn, format_args!("on_destroy was cut off for {owner}"));
        self.note_destroyed(reporter, owner, reason, true);
    }

    fn note_destroyed(
        &self,
        reporter: &Reporter,
        owner: Owner,
        reason: DestroyReason,
        failed: bool,
    ) {
        if failed {
            self.destroy_errors.fetch_add(1, Ordering::Relaxed);
        }
        self.destroyed.fetch_add(1, Ordering::Relaxed);
        reporter.emit(|sequence| Event::ResourceDestroyed { sequence, owner, reason, failed });
    }

    /// Whether an error leaves its resource healthy. A check that panics has not said otherwise.
    pub(crate) fn is_healthy(&self, reporter: &Reporter, error: &E) -> bool {
        match on_behalf(reporter.identity(), || (self.check_health)(error)) {
            Ok(healthy) => healthy,
            Err(panic) => {
                reporter.panicked("check_health", panic);
                true
            }
        }
    }
}
