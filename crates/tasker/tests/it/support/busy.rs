//! Workers that are busy for as long as a test needs them to be.

use tasker::{TaskHandle, TaskManager};

use super::{Fault, Gate, Res, occupy};

/// Tasks that have started and wait at a gate. When the gate opens they return `Ok`.
pub(crate) struct Busy {
    gate: Gate,
    tasks: Vec<TaskHandle<(), Fault>>,
}

impl Busy {
    /// Submits `count` tasks and blocks until all of them run.
    pub(crate) fn with(manager: &TaskManager<Res, Fault>, count: usize) -> Self {
        let (gate, tasks) = occupy(manager, count);
        Self { gate, tasks }
    }

    /// Lets the tasks return.
    pub(crate) fn open(&self) {
        self.gate.open();
    }

    /// Lets the tasks return, and waits until they have.
    pub(crate) fn release(mut self) {
        self.gate.open();
        for task in self.tasks.drain(..) {
            task.wait().expect("a busy task ends well");
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.gate.open(); // also where a test fails: nobody is to wait for nothing
    }
}
