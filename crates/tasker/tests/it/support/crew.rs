//! Tasks that do nothing, and workers at rest.

use std::time::Duration;

use tasker::testing::ManualClock;
use tasker::{Priority, TaskError, TaskHandle, TaskManager};

use super::{Door, Fault, Kit, Res, assert_complete, eventually};

/// Submits so many tasks that do nothing.
pub(crate) fn submit(
    manager: &TaskManager<Res, Fault>,
    tasks: usize,
) -> Vec<TaskHandle<(), Fault>> {
    (0..tasks).map(|_| manager.task(|_, _| Ok(())).submit()).collect()
}

/// Blocks until every task has ended well.
#[track_caller]
pub(crate) fn wait_all(handles: Vec<TaskHandle<(), Fault>>) {
    handles.into_iter().for_each(|handle| handle.wait().unwrap());
}

/// Blocks until `idle` workers are idle and nobody is coming, going or repairing.
pub(crate) fn await_rest(manager: &TaskManager<Res, Fault>, idle: usize) {
    eventually("the workers rest", || {
        let stats = manager.stats();
        (stats.idle_workers, stats.recovering_workers, stats.leaving_workers) == (idle, 0, 0)
    });
}

/// How many tasks wait in the lanes, or for room in them.
pub(crate) fn waiting(manager: &TaskManager<Res, Fault>) -> usize {
    let stats = manager.stats();
    stats.queued_tasks + stats.priority_tasks
}

/// Blocks until a task has run, and gives the number of the resource that it ran on.
pub(crate) fn id_of(manager: &TaskManager<Res, Fault>, door: Door) -> u64 {
    door.send(manager, |_, res| Ok(res.id())).unwrap()
}

/// Moves `clock` on by `step` and blocks until what falls due by then was decided, also where workers
/// are idle. The deeds that follow from it may still be under way.
pub(crate) fn step(manager: &TaskManager<Res, Fault>, clock: &ManualClock, step: Duration) {
    manager.pause(); // so that nobody runs the marker
    let marker = manager.task_once(|_, _| Ok(())).priority(Priority::Low).start_within(step);
    let marker = marker.submit();
    clock.advance(step);
    let ended = marker.wait();
    assert!(matches!(ended, Err(TaskError::Expired)), "{ended:?}");
    manager.resume();
}

/// Stops the manager; fails unless everything is accounted for and every resource destroyed once.
pub(crate) fn end(manager: &TaskManager<Res, Fault>, kit: &Kit) {
    assert_complete(&manager.stop().unwrap());
    kit.assert_all_destroyed_once();
}
