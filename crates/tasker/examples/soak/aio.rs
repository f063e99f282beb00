//! A generation of an `AsyncTaskManager`: callers as tasks of a tokio runtime, by every way in.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use fastrand::Rng;
use tasker::{
    AsyncConfig, AsyncTask, AsyncTaskManager, CancelToken, Phase, Priority, ShutdownReport,
    TaskContext, TaskError, TaskHandle,
};
use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::sleep;

use crate::board::Board;
use crate::deed::{Callback, Deed, Errand, Options, Trace};
use crate::ledger::{Count, Ledger, Rule};
use crate::meddle::Meddler;
use crate::plan::{Ending, LOOK, Lived, Plan, settings};
use crate::stock::{Fault, Resource, SLOW, Stock, Whim, obey, urgently};
use crate::watch::Watcher;

type Manager = AsyncTaskManager<Resource, Fault>;
type Answer = Result<u64, TaskError<Fault>>;
type Waiting = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// So many tokio tasks stand for one caller on a thread.
const CROWD: usize = 4;

/// Runs one generation; returns once everything that it has begun has ended.
pub(crate) fn generation(plan: &Plan, ledger: &Arc<Ledger>, board: &Board) -> Lived {
    // Its runtime's threads are joined when it is dropped.
    let runtime = runtime(plan);
    runtime.block_on(live(plan, ledger, board))
}

fn runtime(plan: &Plan) -> Runtime {
    let mut builder = match plan.is_local {
        true => Builder::new_current_thread(),
        false => Builder::new_multi_thread(),
    };
    builder.worker_threads(2).enable_time().build().expect("a runtime can be built")
}

async fn live(plan: &Plan, ledger: &Arc<Ledger>, board: &Board) -> Lived {
    let watcher = Watcher::default();
    let stock = Stock::new(Arc::clone(ledger), plan);
    stock.unruly.store(plan.born_unruly, Ordering::Relaxed);
    let token = CancelToken::new();
    let reports = match Manager::new(config(plan, &stock, &token, &watcher)).await {
        Ok(manager) => {
            stock.unruly.store(plan.unruly, Ordering::Relaxed);
            work(plan, ledger, board, &stock, manager, &token).await
        }
        Err(error) => {
            if !plan.born_unruly {
                ledger.broke(Rule::Resources, || format!("{plan} was not built: {error}"));
            }
            ledger.add(Count::BuildErrors);
            Vec::new()
        }
    };
    while !ledger.is_balanced() {
        sleep(LOOK).await;
    }
    Lived { reports, peak: stock.peak(), watcher }
}

/// What callers of one generation share.
#[derive(Debug)]
struct Shift {
    quota: AtomicI64,
    at_it: AtomicUsize,
    over: CancelToken,
}

async fn work(
    plan: &Plan,
    ledger: &Arc<Ledger>,
    board: &Board,
    stock: &Arc<Stock>,
    manager: Manager,
    token: &CancelToken,
) -> Vec<ShutdownReport> {
    let crowd = plan.callers * CROWD;
    let shift = Arc::new(Shift {
        quota: AtomicI64::new(i64::try_from(plan.tasks).unwrap_or(i64::MAX)),
        at_it: AtomicUsize::new(crowd),
        over: CancelToken::new(),
    });
    let callers: Vec<_> = (0..crowd)
        .map(|number| {
            let caller = Caller {
                manager: Some(manager.clone()),
                ledger: Arc::clone(ledger),
                chance: Rng::with_seed(plan.seed.wrapping_add(1 + number as u64)),
                ticket: (number as u64) << 48,
                kept: VecDeque::new(),
                window: plan.window,
                nests: plan.nests,
            };
            tokio::spawn(caller.work(Arc::clone(&shift)))
        })
        .collect();
    let mut meddler = Meddler::new(plan, stock);
    let due = plan.busy_with.map(|left| i64::try_from(left).unwrap_or(i64::MAX));
    while shift.at_it.load(Ordering::Acquire) > 0
        && due.is_none_or(|due| shift.quota.load(Ordering::Relaxed) >= due)
    {
        if board.is_over() {
            shift.over.cancel();
        }
        sleep(meddler.act(&manager)).await;
    }
    if plan.deaf {
        let mut trace = Trace::new(ledger, 0, Deed::Nothing).once();
        let callback = Callback::new(ledger, 0);
        // It ignores its context, and is dropped at its await all the same.
        let deaf = manager.task_once(async move |cx: &TaskContext, resource: &mut Resource| {
            sleep(Duration::from_millis(200)).await;
            trace.attempt_async(cx, resource).await
        });
        deaf.name("deaf").on_complete(move |outcome| callback.call(&outcome));
    }
    if plan.ending == Ending::Drop {
        meddler.leave(&manager);
    }
    let reports = end(plan, manager, token).await;
    if board.is_over() {
        shift.over.cancel();
    }
    for caller in callers {
        while !caller.is_finished() {
            if board.is_over() {
                shift.over.cancel();
            }
            sleep(LOOK).await;
        }
        caller.await.expect("a caller does not panic");
    }
    reports
}

fn config(
    plan: &Plan,
    stock: &Arc<Stock>,
    token: &CancelToken,
    watcher: &Watcher,
) -> AsyncConfig<Resource, Fault> {
    let (making, taking, checking) = (Arc::clone(stock), Arc::clone(stock), Arc::clone(stock));
    let mut config = AsyncConfig::new(move || {
        let (place, whim) = making.begin();
        async move {
            if whim == Whim::IsSlow {
                sleep(SLOW).await;
            }
            obey(whim).map(|()| place.made())
        }
    })
    .on_destroy(move |mut resource: Resource| {
        let whim = taking.end(&mut resource);
        async move {
            if whim == Whim::IsSlow {
                sleep(SLOW).await;
            }
            let done = obey(whim);
            drop(resource);
            done
        }
    })
    .resource_pool_size(plan.pool);
    if let Some(idle) = plan.validate_after {
        config = config
            .validate(move |_| {
                let sound = checking.is_sound();
                Box::pin(async move {
                    yield_now().await;
                    sound
                })
            })
            .validate_after(idle);
    }
    settings!(config, plan, watcher, token)
}

/// Ends the manager as planned; what it reports, if somebody is told.
async fn end(plan: &Plan, manager: Manager, token: &CancelToken) -> Vec<ShutdownReport> {
    let report = match plan.ending {
        Ending::Stop => manager.stop().await,
        Ending::StopWithin(limit) => manager.stop_within(limit).await,
        Ending::Kill => manager.kill().await,
        Ending::KillWithin(limit) => manager.kill_within(limit).await,
        Ending::StopThenKill => {
            let stopped = manager.clone();
            let stop = tokio::spawn(async move { stopped.stop().await });
            sleep(Duration::from_micros(plan.seed % 2_000)).await;
            let killed = manager.kill().await; // refused if the stop was faster
            let stopped = stop.await.expect("a stop does not panic");
            return [killed, stopped].into_iter().flatten().collect();
        }
        Ending::Token => {
            token.cancel();
            Ok(manager.join().await)
        }
        Ending::Drop => return Vec::new(),
    };
    report.into_iter().collect()
}

/// One who hands in tasks, one after the other, and keeps a number of handles.
struct Caller {
    manager: Option<Manager>,
    ledger: Arc<Ledger>,
    chance: Rng,
    ticket: u64,
    kept: VecDeque<(u64, Kept)>,
    window: usize,
    /// Its tasks may wait for others.
    nests: bool,
}

impl Errand<Manager> {
    /// Waits for a task by each way there is, which itself waits if `depth` says so.
    fn wait_for(self, depth: u32) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            let mut trace = Trace::new(&self.ledger, self.ticket, Deed::Nothing).once().silent();
            let inner = self.clone();
            let work = async move |cx: &TaskContext, resource: &mut Resource| {
                if depth > 1 {
                    inner.clone().wait_for(depth - 1).await;
                }
                trace.attempt_async(cx, resource).await
            };
            let task = self.manager.task_once(work);
            let (withdrawn, outcome) = match (self.ticket + u64::from(depth)) % 3 {
                0 => (true, task.await),
                1 => (true, urgently(task.run_now()).await),
                _ => (false, task.submit().await),
            };
            self.ledger.hear_inside(self.ticket, &outcome, withdrawn);
        })
    }
}

enum Kept {
    Handle(TaskHandle<u64, Fault>),
    /// A task that is awaited elsewhere, and may be given up.
    Aside(JoinHandle<Answer>),
}

/// Gives a task its options.
fn dress<F, K>(task: AsyncTask<F, K>, options: &Options) -> AsyncTask<F, K> {
    let mut task = task.priority(options.priority);
    if options.named {
        task = task.name("dressed up");
    }
    if let Some(limit) = options.timeout {
        task = task.timeout(limit);
    }
    if let Some(limit) = options.start_within {
        task = task.start_within(limit);
    }
    task
}

/// Polls a future once.
async fn poll_once(future: &mut Waiting) -> Option<Answer> {
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(answer) => Poll::Ready(Some(answer)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

impl Caller {
    async fn work(mut self, shift: Arc<Shift>) {
        while !shift.over.is_cancelled() && shift.quota.fetch_sub(1, Ordering::Relaxed) > 0 {
            let Some(manager) = self.manager.clone() else { break };
            if manager.phase() != Phase::Running {
                break;
            }
            self.hand_in_one(manager).await;
        }
        self.manager = None; // the last clone may be this one
        shift.at_it.fetch_sub(1, Ordering::Release);
        while self.settle_one().await {}
    }

    /// Hands in a task by one of the ways in.
    async fn hand_in_one(&mut self, manager: Manager) {
        self.ticket += 1;
        let ticket = self.ticket;
        let ledger = Arc::clone(&self.ledger);
        let deed = Deed::draw(&mut self.chance);
        let finite = Deed::draw_finite(&mut self.chance);
        let options = Options::draw(&mut self.chance, deed);
        let trace = |deed| Trace::new(&ledger, ticket, deed);
        let callback = || Callback::new(&ledger, ticket);
        macro_rules! work {
            ($trace:expr) => {{
                let mut trace = $trace;
                async move |cx: &TaskContext, resource: &mut Resource| {
                    trace.attempt_async(cx, resource).await
                }
            }};
        }
        match self.chance.u32(0..1_000) {
            // Awaited in place.
            0..150 => {
                let mut task = manager.task(work!(trace(deed)));
                if let Some(retries) = options.max_retries {
                    task = task.max_retries(retries);
                }
                let outcome = dress(task, &options).await;
                self.ledger.hear(ticket, &outcome);
            }
            150..200 => {
                let task = manager.task_once(work!(trace(deed).once()));
                let outcome = dress(task, &options).await;
                self.ledger.hear(ticket, &outcome);
            }
            200..240 => {
                let outcome = manager.queue_task(work!(trace(finite))).await;
                self.ledger.hear(ticket, &outcome);
            }
            240..260 => {
                let outcome = manager.queue_task_once(work!(trace(finite).once())).await;
                self.ledger.hear(ticket, &outcome);
            }
            260..280 => {
                let outcome = manager.queue_task_with_priority(work!(trace(finite))).await;
                self.ledger.hear(ticket, &outcome);
            }
            280..300 => {
                let work = work!(trace(finite).once());
                let outcome = manager.queue_task_with_priority_once(work).await;
                self.ledger.hear(ticket, &outcome);
            }
            // Ahead of every lane.
            300..320 => {
                let outcome = urgently(manager.run_task(work!(trace(finite).once()))).await;
                self.ledger.hear(ticket, &outcome);
            }
            320..340 => {
                let task = manager.task_once(work!(trace(deed).once()));
                let outcome = urgently(dress(task, &options).run_now()).await;
                self.ledger.hear(ticket, &outcome);
            }
            // A handle is kept.
            340..570 => {
                let handle = dress(manager.task(work!(trace(deed))), &options).submit();
                self.keep(Kept::Handle(handle)).await;
            }
            570..650 => {
                let task = manager.task_once(work!(trace(deed).once()));
                self.keep(Kept::Handle(dress(task, &options).submit())).await;
            }
            650..720 => match dress(manager.task(work!(trace(deed))), &options).try_submit() {
                Ok(handle) => self.keep(Kept::Handle(handle)).await,
                Err(rejected) => {
                    self.ledger.hear(ticket, &Err(rejected.reason().into()));
                    drop(rejected.into_task());
                }
            },
            // The handle is forgotten, or the task is cancelled with it.
            720..780 => {
                let handle = dress(manager.task(work!(trace(deed).silent())), &options).submit();
                self.forget(handle, drop).await;
            }
            780..790 => {
                let handle = manager.task(work!(trace(Deed::RunsOn).silent())).submit();
                self.forget(handle, |handle| drop(handle.cancel_on_drop())).await;
            }
            // The future is dropped after a few polls, or moves to another task and may be given up there.
            790..840 => {
                let task = dress(manager.task(work!(trace(deed).silent())), &options);
                let polls = self.chance.u32(1..4);
                self.drop_after(polls, Box::pin(task.into_future())).await;
            }
            840..845 => {
                let task = manager.task_once(work!(trace(deed).once().silent()));
                let polls = self.chance.u32(1..4);
                let future = urgently(dress(task, &options).run_now());
                self.drop_after(polls, Box::pin(future)).await;
            }
            845..880 => {
                let task = dress(manager.task(work!(trace(deed).silent())), &options);
                let mut future: Waiting = Box::pin(task.into_future());
                // Accepted at its first poll: from here on it counts.
                match poll_once(&mut future).await {
                    Some(answer) => self.overhear(ticket, &answer),
                    None => self.keep(Kept::Aside(tokio::spawn(future))).await,
                }
            }
            // It is called back.
            880..960 => {
                let callback = callback();
                let task = dress(manager.task(work!(trace(deed))), &options);
                task.on_complete(move |outcome| callback.call(&outcome));
            }
            // It cancels at once, or after a while.
            960..990 => {
                let deed = if self.chance.u32(0..50) == 0 { Deed::RunsOn } else { deed };
                let handle = dress(manager.task(work!(trace(deed))), &options).submit();
                if self.chance.bool() {
                    yield_now().await;
                }
                handle.cancel();
                self.keep(Kept::Handle(handle)).await;
            }
            // The task waits for another one, which may wait for a third.
            990..996 if self.nests => {
                let (mut trace, callback) = (trace(finite), callback());
                let errand =
                    Errand { manager: manager.clone(), ledger: Arc::clone(&ledger), ticket };
                let depth = self.chance.u32(1..4);
                let mut errand = Some(errand);
                let work = async move |cx: &TaskContext, resource: &mut Resource| {
                    if let Some(errand) = errand.take() {
                        errand.wait_for(depth).await;
                    }
                    trace.attempt_async(cx, resource).await
                };
                manager.task(work).on_complete(move |outcome| callback.call(&outcome));
            }
            // The task hands in another one, and holds a clone of its manager.
            _ => {
                let (mut trace, callback) = (trace(finite), callback());
                let mut errand = Some((manager.clone(), Arc::clone(&ledger)));
                let work = async move |cx: &TaskContext, resource: &mut Resource| {
                    if let Some((inner, ledger)) = errand.take() {
                        let child = work!(Trace::new(&ledger, ticket, Deed::Nothing).once());
                        let callback = Callback::new(&ledger, ticket);
                        inner
                            .task_once(child)
                            .priority(Priority::High)
                            .on_complete(move |outcome| callback.call(&outcome));
                    }
                    trace.attempt_async(cx, resource).await
                };
                manager.task(work).on_complete(move |outcome| callback.call(&outcome));
            }
        }
    }

    fn overhear(&self, ticket: u64, answer: &Answer) {
        let heard = self.ledger.hear(ticket, answer);
        self.ledger.overhear(heard);
    }

    async fn drop_after(&self, polls: u32, mut future: Waiting) {
        for _ in 0..polls {
            if let Some(answer) = poll_once(&mut future).await {
                return self.overhear(self.ticket, &answer);
            }
            yield_now().await;
        }
    }

    async fn keep(&mut self, kept: Kept) {
        self.kept.push_back((self.ticket, kept));
        if self.kept.len() > self.window {
            self.settle_one().await;
        }
    }

    /// Lets go of a handle, unless its outcome is there to be heard.
    async fn forget(
        &self,
        handle: TaskHandle<u64, Fault>,
        how: impl FnOnce(TaskHandle<u64, Fault>),
    ) {
        if handle.is_finished() {
            self.overhear(self.ticket, &handle.await);
        } else {
            how(handle);
        }
    }

    /// Awaits the oldest; `false` if there is none.
    async fn settle_one(&mut self) -> bool {
        let Some((ticket, kept)) = self.kept.pop_front() else { return false };
        let whim = self.chance.u32(0..100);
        match kept {
            Kept::Handle(handle) => {
                if whim < 2 {
                    handle.cancel(); // it runs, or has ended, or still waits
                }
                self.ledger.hear(ticket, &handle.await);
            }
            Kept::Aside(future) => {
                if whim < 20 {
                    future.abort();
                }
                match future.await {
                    Ok(answer) => self.overhear(ticket, &answer),
                    Err(error) => assert!(error.is_cancelled(), "a task's future does not panic"),
                }
            }
        }
        true
    }
}
