//! tasker itself, by each of its ways in.

use std::sync::Arc;

use tasker::{AsyncConfig, AsyncTaskManager, Config, TaskManager};

use super::{About, AsyncBacklog, Awaited, Backlog, Blocking, BoxFuture, Collect};
use crate::caller::{Caller, Tally};
use crate::work::{Empty, Gate, Held, Work};

pub(super) const QUEUE_TASK: About = About {
    name: "tasker queue_task",
    differs: "what the others are compared with: results, retries, priorities, times, cancellation and \
              shutdown.",
};

pub(super) const SUBMIT: About = About {
    name: "tasker submit",
    differs: "tasks with handles, which are waited for or awaited.",
};

pub(super) const RUN_TASK: About = About {
    name: "tasker run_task",
    differs: "runs at once: on a pooled resource, else on an idle worker's, else on a temporary one.",
};

pub(super) const ASYNC: About = About {
    name: "tasker async queue_task",
    differs: "the same promises where the caller awaits, and the task runs inside of the caller's.",
};

pub(super) const AWAIT_TASK: About = About {
    name: "tasker async task(…).await",
    differs: "the builder, which has settings for each task.",
};

pub(crate) type Manager = TaskManager<u64, String>;
pub(crate) type AsyncManager = AsyncTaskManager<u64, String>;

/// A manager of so many workers, no more and no fewer.
pub(crate) fn manager(workers: usize) -> Manager {
    let config = Config::new(|| Ok(0)).worker_count(workers).max_worker_count(workers);
    TaskManager::new(config.resource_pool_size(0)).expect("a counter is always made")
}

/// As [`manager`], in the runtime of the caller.
pub(crate) async fn async_manager(workers: usize) -> AsyncManager {
    let config = AsyncConfig::new(|| async { Ok(0) }).worker_count(workers);
    let config = config.max_worker_count(workers).resource_pool_size(0);
    AsyncTaskManager::new(config).await.expect("a counter is always made")
}

/// Blocking calls.
#[derive(Debug)]
pub(crate) struct QueueTask(pub(crate) Manager);

impl<W: Work> Blocking<W> for QueueTask {
    fn about(&self) -> About {
        QUEUE_TASK
    }

    fn call(&self, caller: Caller<W>) -> Tally {
        caller.repeat(|work| {
            let done = self.0.queue_task(|_, resource| Ok(work.clone().run(resource)));
            done.expect("the task succeeds")
        })
    }
}

/// Tasks with handles.
#[derive(Debug)]
pub(crate) struct Submit {
    manager: Manager,
    workers: u64,
}

impl Submit {
    pub(crate) fn new(workers: usize) -> Self {
        Self { manager: manager(workers), workers: workers as u64 }
    }

    fn hand_in_all<W: Work>(&self, n: u64, work: W) -> Collect<'_> {
        let mut handles = Vec::with_capacity(n as usize);
        for _ in 0..n {
            let work = work.clone();
            handles.push(
                self.manager.queue_task_async(move |_, resource| Ok(work.clone().run(resource))),
            );
        }
        let results = |handle: tasker::TaskHandle<u64, String>| handle.wait();
        Box::new(move || {
            handles.into_iter().map(results).map(|done| done.expect("the task succeeds")).sum()
        })
    }
}

impl<W: Work> Blocking<W> for Submit {
    fn about(&self) -> About {
        SUBMIT
    }

    fn call(&self, caller: Caller<W>) -> Tally {
        caller.repeat(|work| {
            let handle =
                self.manager.queue_task_async(move |_, resource| Ok(work.clone().run(resource)));
            handle.wait().expect("the task succeeds")
        })
    }
}

impl Backlog for Submit {
    fn about(&self) -> About {
        SUBMIT
    }

    fn hand_in(&self, n: u64) -> Collect<'_> {
        self.hand_in_all(n, Empty)
    }

    fn hold(&self, gate: Gate) -> Option<Collect<'_>> {
        Some(self.hand_in_all(self.workers, Held(gate)))
    }
}

/// Calls that do not queue.
#[derive(Debug)]
pub(crate) struct RunTask(Manager);

impl RunTask {
    /// As many pooled resources as workers, which is the default.
    pub(crate) fn new(workers: usize) -> Self {
        let config = Config::new(|| Ok(0)).worker_count(workers).max_worker_count(workers);
        Self(TaskManager::new(config).expect("a counter is always made"))
    }
}

impl<W: Work> Blocking<W> for RunTask {
    fn about(&self) -> About {
        RUN_TASK
    }

    fn call(&self, caller: Caller<W>) -> Tally {
        caller.repeat(|work| {
            let done = self.0.run_task(|_, resource| Ok(work.run(resource)));
            done.expect("the task succeeds")
        })
    }
}

/// Awaited calls and tasks with handles.
#[derive(Debug)]
pub(crate) struct Async(AsyncManager);

impl Async {
    pub(crate) async fn new(workers: usize) -> Self {
        Self(async_manager(workers).await)
    }
}

impl Awaited for Async {
    fn about(&self) -> About {
        ASYNC
    }

    fn call(self: Arc<Self>, caller: Caller<Empty>) -> BoxFuture<Tally> {
        Box::pin(async move {
            let manager = &self.0;
            let op = |work: Empty| async move {
                let done =
                    manager.queue_task(async move |_, resource| Ok(work.run(resource))).await;
                done.expect("the task succeeds")
            };
            caller.repeat_async(op).await
        })
    }
}

impl AsyncBacklog for Async {
    fn about(&self) -> About {
        SUBMIT
    }

    fn hand_in(&self, n: u64) -> BoxFuture<u64> {
        let mut handles = Vec::with_capacity(n as usize);
        for _ in 0..n {
            handles.push(self.0.task(async |_, resource| Ok(Empty.run(resource))).submit());
        }
        Box::pin(async move {
            let mut results = 0;
            for handle in handles {
                results += handle.await.expect("the task succeeds");
            }
            results
        })
    }
}

/// Awaited calls by the builder.
#[derive(Debug)]
pub(crate) struct AwaitTask(AsyncManager);

impl AwaitTask {
    pub(crate) async fn new(workers: usize) -> Self {
        Self(async_manager(workers).await)
    }
}

impl Awaited for AwaitTask {
    fn about(&self) -> About {
        AWAIT_TASK
    }

    fn call(self: Arc<Self>, caller: Caller<Empty>) -> BoxFuture<Tally> {
        Box::pin(async move {
            let manager = &self.0;
            let op = |work: Empty| async move {
                let done = manager.task(async move |_, resource| Ok(work.run(resource))).await;
                done.expect("the task succeeds")
            };
            caller.repeat_async(op).await
        })
    }
}
