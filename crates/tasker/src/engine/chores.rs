//! What workers, the steward and the timekeeper do between their waiting, whether they are threads or tasks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Engine, Staff};
use crate::autoscale::ScalingPolicy;
use crate::event::Event;
use crate::outcome::TaskError;
use crate::queue::{AfterFailure, Effects, Guest, Timetable};
use crate::resource::lending::Lease;
use crate::resource::slot::Failure;
use crate::retry::backoff::Backoff;
use crate::task::Settings;
use crate::worker::attempt::discard_for;

/// What a worker does that got no resource.
pub(crate) enum Unequipped {
    /// It waits until it may try again.
    Wait,
    TryAgain,
    Leave,
}

impl<R: 'static, E: Send + 'static, S: Staff<R, E>> Engine<R, E, S> {
    /// A worker has its resource, which took so long to make.
    pub(crate) fn equip(self: &Arc<Self>, seat: usize, resource: R, took: Duration) -> Lease<R> {
        let (now, draw) = (self.clock.now(), fastrand::f64());
        let mut fx = Effects::new();
        let token = self.queue.equipped(seat, took, draw, now, &mut fx);
        self.perform(fx);
        Lease::new(resource, token)
    }

    /// A worker found its resource not sound: it is going to replace it.
    pub(crate) fn condemn(self: &Arc<Self>, seat: usize) {
        let mut fx = Effects::new();
        self.queue.condemn(seat, self.clock.now(), &mut fx);
        self.perform(fx);
    }

    /// A worker got no resource; `failures` is how often in a row.
    pub(crate) fn create_failed(
        self: &Arc<Self>,
        seat: usize,
        failure: Failure<E>,
        failures: &mut u32,
    ) -> Unequipped {
        let delay = next_delay(failures);
        let mut fx = Effects::new();
        let after = self.queue.create_failed(seat, failure, delay, self.clock.now(), &mut fx);
        self.perform(fx);
        match after {
            AfterFailure::Retry(failure) => {
                self.remember(failure);
                Unequipped::Wait
            }
            AfterFailure::Leave(failure) => {
                discard_for(self.identity(), failure);
                Unequipped::Leave
            }
            AfterFailure::Ended => Unequipped::TryAgain,
        }
    }

    /// A worker is gone, and its resource with it.
    pub(crate) fn worker_left(self: &Arc<Self>, seat: usize, worker: usize) {
        self.reporter.emit(|sequence| Event::WorkerStopped { sequence, worker });
        let mut fx = Effects::new();
        self.queue.left(seat, self.clock.now(), &mut fx);
        self.perform(fx);
    }

    /// The steward could not make a resource; `failures` is how often in a row.
    pub(crate) fn refill_failed(self: &Arc<Self>, failure: Failure<E>, failures: &mut u32) {
        let delay = next_delay(failures);
        self.remember(failure);
        let mut fx = Effects::new();
        self.queue.refill_failed(delay, self.clock.now(), &mut fx);
        self.perform(fx);
    }

    /// The steward is gone.
    pub(crate) fn steward_left(self: &Arc<Self>) {
        let mut fx = Effects::new();
        self.queue.steward_left(self.clock.now(), &mut fx);
        self.perform(fx);
    }

    /// Why a guest's task does not start although its resource is ready, if it does not.
    pub(crate) fn too_late(
        self: &Arc<Self>,
        guest: &Guest,
        settings: &Settings,
        queued_at: Instant,
        started: Instant,
    ) -> Option<TaskError<E>> {
        let mut fx = Effects::new();
        let may_start = self.queue.guest_starts(guest, settings, started, &mut fx);
        self.perform(fx);
        let waited = started.saturating_duration_since(queued_at);
        match settings.start_within.is_some_and(|limit| waited >= limit) {
            _ if !may_start => Some(TaskError::Killed),
            true => Some(TaskError::Expired),
            false => None,
        }
    }

    /// Does what is due, on behalf of the timekeeper. What it has to wait for, or `None` if it has to look again
    /// first: what was carried out may have made something due, or used up a wake-up that came meanwhile.
    pub(crate) fn do_what_is_due(
        self: &Arc<Self>,
        policy: &mut dyn ScalingPolicy,
        warned: &mut Option<usize>,
    ) -> Option<Timetable> {
        let mut fx = Effects::new();
        let timetable = self.queue.due(self.clock.now(), &mut fx);
        let look = std::mem::take(&mut fx.look);
        let quiet = fx.is_empty() && !look;
        self.perform_aside(fx);
        if look {
            self.scale(policy, warned);
        }
        quiet.then_some(timetable)
    }
}

/// One more failure: how long to wait after it.
fn next_delay(failures: &mut u32) -> Duration {
    *failures += 1;
    Backoff::RECOVERY.delay(*failures, fastrand::f64())
}
