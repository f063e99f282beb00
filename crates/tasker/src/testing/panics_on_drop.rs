//! A capture of a closure that panics when it is dropped.

/// Panics when it is dropped, unless its thread panics already, which would end the process.
///
/// Move one into a task, a callback or a hook to see what a destructor that panics does to your program: the
/// manager catches the panic, and loses neither a worker nor an outcome.
///
/// ```
/// use tasker::testing::{Kit, PanicsOnDrop};
/// use tasker::TaskManager;
///
/// let manager = TaskManager::new(Kit::new().config().worker_count(1))?;
/// let bomb = PanicsOnDrop;
/// let task = manager.task(move |_, resource| {
///     let _captured = &bomb;
///     resource.work()
/// });
/// task.submit().wait()?; // the task has returned before its closure is dropped
/// manager.queue_task(|_, resource| resource.work())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// `condition.then_some(PanicsOnDrop)` makes one in any case, and drops it at once where the condition does
/// not hold: `then(|| PanicsOnDrop)` does not.
///
/// # Panics
///
/// That is what it is for.
#[derive(Debug)]
pub struct PanicsOnDrop;

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("dropped, and panics on order");
        }
    }
}
