//! The systems that are compared, one file a system, each with a sentence on what it does differently.

mod bb8;
mod bounded;
mod crossbeam;
mod deadpool;
mod mutexes;
mod nothing;
mod ractor;
mod rayon;
mod rusty_pool;
mod semaphore;
mod spawn_blocking;
mod tasker;
mod threadpool;

use std::cell::Cell;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};

pub(crate) use self::bb8::Bb8;
pub(crate) use self::bounded::Bounded;
pub(crate) use self::crossbeam::{Crossbeam, Job, spawn_workers};
pub(crate) use self::deadpool::Deadpool;
pub(crate) use self::mutexes::{Mutexes, TimedMutexes};
pub(crate) use self::nothing::Nothing;
pub(crate) use self::ractor::RactorFactory;
pub(crate) use self::rayon::Rayon;
pub(crate) use self::rusty_pool::RustyPool;
pub(crate) use self::semaphore::SemaphoreSpawn;
pub(crate) use self::spawn_blocking::SpawnBlocking;
pub(crate) use self::tasker::{
    Async, AsyncManager, AwaitTask, Manager, QueueTask, RunTask, Submit, async_manager, manager,
};
pub(crate) use self::threadpool::Threadpool;
use crate::caller::{Caller, Tally};
use crate::work::{Gate, Work};

/// A system's name in tables and lines, and what it does differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct About {
    pub(crate) name: &'static str,
    pub(crate) differs: &'static str,
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.differs)
    }
}

/// Every system that has an [`About`], in the order of the help.
pub(crate) const ALL: &[About] = &[
    tasker::QUEUE_TASK,
    tasker::SUBMIT,
    tasker::RUN_TASK,
    tasker::ASYNC,
    tasker::AWAIT_TASK,
    nothing::ABOUT,
    mutexes::BARE,
    mutexes::TIMED,
    bounded::ABOUT,
    crossbeam::ABOUT,
    rayon::ABOUT,
    threadpool::ABOUT,
    rusty_pool::ABOUT,
    spawn_blocking::ABOUT,
    semaphore::ABOUT,
    deadpool::ABOUT,
    bb8::ABOUT,
    ractor::ABOUT,
];

/// A system whose callers block until they have their result.
pub(crate) trait Blocking<W: Work>: Sync {
    fn about(&self) -> About;
    fn call(&self, caller: Caller<W>) -> Tally;
}

/// Collects the results of tasks that were handed in, and sums them up.
pub(crate) type Collect<'a> = Box<dyn FnOnce() -> u64 + 'a>;

/// A system that takes tasks in and gives their results later.
pub(crate) trait Backlog {
    fn about(&self) -> About;

    /// Hands in `n` empty tasks.
    fn hand_in(&self, n: u64) -> Collect<'_>;

    /// Hands in a task for each worker that waits at the gate. `None` where tasks do not wait in memory.
    fn hold(&self, gate: Gate) -> Option<Collect<'_>>;
}

pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A backlog of `n` spawned tasks: the sum of what they return.
fn spawned<F>(n: u64, mut task: impl FnMut() -> F) -> BoxFuture<u64>
where
    F: Future<Output = u64> + Send + 'static,
{
    let handles: Vec<_> = (0..n).map(|_| tokio::spawn(task())).collect();
    Box::pin(async move {
        let mut results = 0;
        for handle in handles {
            results += handle.await.expect("no work panics");
        }
        results
    })
}

/// A system whose callers await their result.
pub(crate) trait Awaited: Send + Sync {
    fn about(&self) -> About;

    /// Calls with empty work as often as the caller says.
    fn call(self: Arc<Self>, caller: Caller<crate::work::Empty>) -> BoxFuture<Tally>;
}

/// A system that takes tasks in and whose results are awaited later.
pub(crate) trait AsyncBacklog: Send + Sync {
    fn about(&self) -> About;

    /// Hands in `n` empty tasks, in the context of a runtime; the future collects their results and sums
    /// them up.
    fn hand_in(&self, n: u64) -> BoxFuture<u64>;
}

/// A runtime of so many threads.
pub(crate) fn runtime(threads: usize) -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(threads).enable_all().build().expect("a runtime can be built")
}

thread_local! {
    /// The resource of a thread in pools that know threads only.
    static OWN: Cell<u64> = const { Cell::new(0) };
}

/// Does `work` with the resource of the calling thread.
pub(crate) fn on_own_resource<W: Work>(work: W) -> u64 {
    OWN.with(|own| {
        let mut resource = own.get();
        let result = work.run(&mut resource);
        own.set(resource);
        result
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::ALL;

    #[test]
    fn every_system_has_a_name_of_its_own_and_a_sentence() {
        let names: HashSet<_> = ALL.iter().map(|about| about.name).collect();
        assert_eq!(names.len(), ALL.len());
        for about in ALL {
            assert!(about.differs.ends_with('.'), "{} has no sentence", about.name);
        }
    }
}
