//! The only place where resources are created and destroyed: each created one is counted, and destroyed once.

use std::time::{Duration, Instant};

use super::Hooks;
use crate::event::{DestroyReason, Event, Owner};
use crate::logger::Level;
use crate::outcome::Panic;
use crate::reporter::Reporter;
use crate::sync::Ordering;
use crate::worker::attempt::{discard_for, on_behalf};

/// Why there is no resource.
pub(crate) enum Failure<E> {
    Error(E),
    Panicked(Panic),
}

impl<R, E> Hooks<R, E> {
    /// Makes a resource, and tells how long that took. `clock` is read before and after.
    pub(crate) fn create(
        &self,
        reporter: &Reporter,
        owner: Owner,
        clock: impl Fn() -> Instant,
    ) -> Result<(R, Duration), Failure<E>> {
        let began = clock();
        let failure = match on_behalf(reporter.identity(), || (self.create)()) {
            Ok(Ok(resource)) => {
                self.created.fetch_add(1, Ordering::Relaxed);
                let took = clock().saturating_duration_since(began);
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

    /// Takes a resource apart.
    pub(crate) fn destroy(
        &self,
        reporter: &Reporter,
        resource: R,
        owner: Owner,
        reason: DestroyReason,
    ) {
        let failed = match on_behalf(reporter.identity(), || (self.destroy)(resource)) {
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
        if failed {
            self.destroy_errors.fetch_add(1, Ordering::Relaxed);
        }
        self.destroyed.fetch_add(1, Ordering::Relaxed);
        reporter.emit(|sequence| Event::ResourceDestroyed { sequence, owner, reason, failed });
    }

    /// Whether a resource may be used again. A validation that panics has not said so.
    pub(crate) fn is_sound(&self, reporter: &Reporter, resource: &mut R) -> bool {
        let Some(validate) = &self.validate else { return true };
        match on_behalf(reporter.identity(), || validate(resource)) {
            Ok(sound) => sound,
            Err(panic) => {
                reporter.panicked("validate", panic);
                false
            }
        }
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
