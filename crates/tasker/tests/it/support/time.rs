//! How tests let time pass.

use std::time::Duration;

use tasker::testing::ManualClock;
use tasker::{Priority, TaskError, TaskManager};

use super::{Fault, Res};

/// Moves `clock` on by `step` and blocks until the manager has done what had fallen due by then.
///
/// Only for managers none of whose workers is free: a marker in the Low lane must not be run.
pub(crate) fn pass(manager: &TaskManager<Res, Fault>, clock: &ManualClock, step: Duration) {
    let marker = manager.task_once(|_, _| Ok(())).priority(Priority::Low).start_within(step);
    let marker = marker.submit();
    clock.advance(step);
    // What falls due is done in the order of time, so that the marker's end comes last.
    let ended = marker.wait();
    assert!(matches!(ended, Err(TaskError::Expired)), "a worker was free: {ended:?}");
}
