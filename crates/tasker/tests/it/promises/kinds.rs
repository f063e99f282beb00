//! The kinds of manager, and what a test can do with each: the operations block, whatever they wait for.

use std::any::Any;
use std::time::Duration;

use tasker::{
    AsyncTaskManager, BuildError, Explanation, Phase, RejectReason, ResizeError, ShutdownError,
    ShutdownReport, TaskContext, TaskHandle, TaskManager, TaskMetrics, TaskStats,
};

use super::jobs::{Ending, Job};
use super::runtime::Driver;
use super::settings::Settings;
use crate::support::{Fault, Gate, Kit, Res, block_on};

/// Where a test waits for what it submitted.
pub(crate) type Handle = TaskHandle<u64, Fault>;

/// What a shutdown says.
pub(crate) type Shutdown = Result<ShutdownReport, ShutdownError>;

/// A manager of some kind. Clones share the manager.
pub(crate) trait Kind: Clone + Send + Sync + 'static {
    fn try_build(settings: Settings) -> Result<Self, BuildError<Fault>>;

    fn build(settings: Settings) -> Self {
        Self::try_build(settings).expect("a manager")
    }

    /// Exactly `workers` workers, without a pool.
    fn with(kit: &Kit, workers: usize) -> Self {
        Self::build(Settings::new(kit, workers))
    }

    /// Blocks until the job has ended.
    fn run(&self, job: Job) -> Ending;
    /// `run_task`. The options of the job do not count.
    fn run_now(&self, job: Job) -> Ending;
    fn submit(&self, job: Job) -> Handle;
    fn try_submit(&self, job: Job) -> Result<Handle, RejectReason>;
    fn on_complete(&self, job: Job, callback: impl FnOnce(Ending) + Send + 'static);

    fn stop(&self) -> Shutdown;
    fn stop_within(&self, limit: Duration) -> Shutdown;
    fn kill(&self) -> Shutdown;
    fn kill_within(&self, limit: Duration) -> Shutdown;
    fn join(&self) -> ShutdownReport;
    /// As `stop`, from inside one of the manager's own jobs.
    fn stop_inside(&self) -> impl Future<Output = Shutdown> + Send;
    /// As `kill`, from inside one of the manager's own jobs.
    fn kill_inside(&self) -> impl Future<Output = Shutdown> + Send;
    /// Gives this handle on the manager up. What the manager runs in stays for as long as the value does.
    fn leave(self) -> Box<dyn Any>;

    fn stats(&self) -> TaskStats;
    fn metrics(&self) -> TaskMetrics;
    fn phase(&self) -> Phase;
    fn explain(&self) -> Explanation;
    fn resize(&self, worker_count: usize, max_worker_count: usize) -> Result<(), ResizeError>;
    fn pause(&self);
    fn resume(&self);

    /// Submits `count` jobs and blocks until all of them run.
    fn occupy(&self, count: usize) -> Occupied {
        let gate = Gate::new();
        let job = super::jobs::waits_at(&gate).once().name("busy");
        let jobs = (0..count).map(|_| self.submit(job.clone())).collect();
        gate.await_arrivals(count);
        Occupied { gate, jobs }
    }
}

/// Jobs that run until they are released.
pub(crate) struct Occupied {
    gate: Gate,
    jobs: Vec<Handle>,
}

impl Occupied {
    /// Lets the jobs return.
    pub(crate) fn open(&self) {
        self.gate.open();
    }

    /// Lets the jobs return, and waits until they have.
    pub(crate) fn release(mut self) {
        self.gate.open();
        for job in self.jobs.drain(..) {
            job.wait().expect("a busy job ends well");
        }
    }
}

impl Drop for Occupied {
    fn drop(&mut self) {
        self.gate.open(); // also where a test fails: nobody is to wait for nothing
    }
}

/// Gives a task the options of its job; `max_retries` is for one that may run again.
macro_rules! options {
    ($task:expr, $job:expr) => {{
        let mut task = $task.priority($job.priority);
        if let Some(name) = $job.name {
            task = task.name(name);
        }
        if let Some(limit) = $job.timeout {
            task = task.timeout(limit);
        }
        if let Some(limit) = $job.start_within {
            task = task.start_within(limit);
        }
        task
    }};
    ($task:expr, $job:expr, max_retries) => {{
        let task = options!($task, $job);
        match $job.max_retries {
            Some(retries) => task.max_retries(retries),
            None => task,
        }
    }};
}

/// A `TaskManager`: a job is blocked on by the thread that runs it.
#[derive(Clone)]
pub(crate) struct Threads(TaskManager<Res, Fault>);

/// Hands a job to a `TaskManager`; `$end` is what is done with the task.
macro_rules! hand_in {
    ($manager:expr, $job:expr, |$task:ident| $end:expr) => {{
        let (job, code) = ($job, $job.code.clone());
        let run = move |cx: &TaskContext, res: &mut Res| block_on(code(cx, res));
        if job.once {
            let $task = options!($manager.0.task_once(run), job);
            $end
        } else {
            let $task = options!($manager.0.task(run), job, max_retries);
            $end
        }
    }};
}

impl Kind for Threads {
    fn try_build(settings: Settings) -> Result<Self, BuildError<Fault>> {
        TaskManager::new(settings.config()).map(Self)
    }

    fn run(&self, job: Job) -> Ending {
        hand_in!(self, &job, |task| task.run())
    }

    fn run_now(&self, job: Job) -> Ending {
        self.0.run_task(move |cx, res| block_on((job.code)(cx, res)))
    }

    fn submit(&self, job: Job) -> Handle {
        hand_in!(self, &job, |task| task.submit())
    }

    fn try_submit(&self, job: Job) -> Result<Handle, RejectReason> {
        hand_in!(self, &job, |task| task.try_submit().map_err(|rejected| rejected.reason()))
    }

    fn on_complete(&self, job: Job, callback: impl FnOnce(Ending) + Send + 'static) {
        hand_in!(self, &job, |task| task.on_complete(callback));
    }

    fn stop(&self) -> Shutdown {
        self.0.stop()
    }

    fn stop_within(&self, limit: Duration) -> Shutdown {
        self.0.stop_within(limit)
    }

    fn kill(&self) -> Shutdown {
        self.0.kill()
    }

    fn kill_within(&self, limit: Duration) -> Shutdown {
        self.0.kill_within(limit)
    }

    fn join(&self) -> ShutdownReport {
        self.0.join()
    }

    async fn stop_inside(&self) -> Shutdown {
        self.0.stop()
    }

    async fn kill_inside(&self) -> Shutdown {
        self.0.kill()
    }

    fn leave(self) -> Box<dyn Any> {
        drop(self);
        Box::new(())
    }

    fn stats(&self) -> TaskStats {
        self.0.stats()
    }

    fn metrics(&self) -> TaskMetrics {
        self.0.metrics()
    }

    fn phase(&self) -> Phase {
        self.0.phase()
    }

    fn explain(&self) -> Explanation {
        self.0.explain()
    }

    fn resize(&self, worker_count: usize, max_worker_count: usize) -> Result<(), ResizeError> {
        self.0.resize(worker_count, max_worker_count)
    }

    fn pause(&self) {
        self.0.pause();
    }

    fn resume(&self) {
        self.0.resume();
    }
}

/// An `AsyncTaskManager` in a runtime of its own; see [`Driver::start`] for the number of its threads.
#[derive(Clone)]
pub(crate) struct Tokio<const THREADS: usize> {
    manager: AsyncTaskManager<Res, Fault>, // before what it runs in
    driver: Driver,
}

pub(crate) type MultiThread = Tokio<2>;
pub(crate) type CurrentThread = Tokio<0>;

/// Hands a job to an `AsyncTaskManager`; `$end` is what is done with the task.
macro_rules! hand_in_async {
    ($manager:expr, $job:expr, |$task:ident| $end:expr) => {{
        let (job, code) = ($job, $job.code.clone());
        let run = async move |cx: &TaskContext, res: &mut Res| code(cx, res).await;
        if job.once {
            let $task = options!($manager.manager.task_once(run), job);
            $end
        } else {
            let $task = options!($manager.manager.task(run), job, max_retries);
            $end
        }
    }};
}

impl<const THREADS: usize> Kind for Tokio<THREADS> {
    fn try_build(settings: Settings) -> Result<Self, BuildError<Fault>> {
        let driver = Driver::start(THREADS);
        let manager = driver.run(AsyncTaskManager::new(settings.async_config()))?;
        Ok(Self { manager, driver })
    }

    /// It is awaited in a spawned task.
    fn run(&self, job: Job) -> Ending {
        hand_in_async!(self, &job, |task| self.driver.run(task.into_future()))
    }

    fn run_now(&self, job: Job) -> Ending {
        let manager = self.manager.clone();
        self.driver.run(async move {
            let code = job.code;
            manager.run_task(async move |cx: &TaskContext, res: &mut Res| code(cx, res).await).await
        })
    }

    fn submit(&self, job: Job) -> Handle {
        hand_in_async!(self, &job, |task| task.submit())
    }

    fn try_submit(&self, job: Job) -> Result<Handle, RejectReason> {
        hand_in_async!(self, &job, |task| task.try_submit().map_err(|rejected| rejected.reason()))
    }

    fn on_complete(&self, job: Job, callback: impl FnOnce(Ending) + Send + 'static) {
        hand_in_async!(self, &job, |task| task.on_complete(callback));
    }

    fn stop(&self) -> Shutdown {
        let manager = self.manager.clone();
        self.driver.run(async move { manager.stop().await })
    }

    fn stop_within(&self, limit: Duration) -> Shutdown {
        let manager = self.manager.clone();
        self.driver.run(async move { manager.stop_within(limit).await })
    }

    fn kill(&self) -> Shutdown {
        let manager = self.manager.clone();
        self.driver.run(async move { manager.kill().await })
    }

    fn kill_within(&self, limit: Duration) -> Shutdown {
        let manager = self.manager.clone();
        self.driver.run(async move { manager.kill_within(limit).await })
    }

    fn join(&self) -> ShutdownReport {
        let manager = self.manager.clone();
        self.driver.run(async move { manager.join().await })
    }

    async fn stop_inside(&self) -> Shutdown {
        self.manager.stop().await
    }

    async fn kill_inside(&self) -> Shutdown {
        self.manager.kill().await
    }

    fn leave(self) -> Box<dyn Any> {
        Box::new(self.driver)
    }

    fn stats(&self) -> TaskStats {
        self.manager.stats()
    }

    fn metrics(&self) -> TaskMetrics {
        self.manager.metrics()
    }

    fn phase(&self) -> Phase {
        self.manager.phase()
    }

    fn explain(&self) -> Explanation {
        self.manager.explain()
    }

    fn resize(&self, worker_count: usize, max_worker_count: usize) -> Result<(), ResizeError> {
        self.manager.resize(worker_count, max_worker_count)
    }

    fn pause(&self) {
        self.manager.pause();
    }

    fn resume(&self) {
        self.manager.resume();
    }
}

/// Makes three tests of each of the functions named: one for each kind. A hang fails the test that hangs.
macro_rules! on_every_kind {
    ($($body:ident),* $(,)?) => {
        mod threads {
            $($crate::promises::kinds::test!($body, Threads);)*
        }
        mod multi_thread {
            $($crate::promises::kinds::test!($body, MultiThread);)*
        }
        mod current_thread {
            $($crate::promises::kinds::test!($body, CurrentThread);)*
        }
    };
}

macro_rules! test {
    ($body:ident, $kind:ident) => {
        #[test]
        fn $body() {
            let name = concat!(module_path!(), "::", stringify!($body));
            let body = super::$body::<$crate::promises::kinds::$kind>;
            $crate::support::run_named(name, $crate::support::LIMIT, body);
        }
    };
}
pub(crate) use test;
