//! A generation of a `TaskManager`: callers on threads, by every way in.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake};
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use tasker::{
    CancelToken, Config, Phase, Priority, ShutdownReport, Task, TaskContext, TaskHandle,
    TaskManager,
};

use crate::board::Board;
use crate::clock::nap;
use crate::deed::{Callback, Deed, Errand, Options, Trace};
use crate::ledger::{Count, Ledger, Rule};
use crate::meddle::Meddler;
use crate::plan::{Ending, LOOK, Lived, Plan, settings};
use crate::stock::{Fault, Resource, SLOW, Stock, Whim, obey, urgent};
use crate::watch::Watcher;

type Manager = TaskManager<Resource, Fault>;
type Handle = TaskHandle<u64, Fault>;

/// Runs one generation; returns its reports once everything that it has begun has ended but its threads.
pub(crate) fn generation(plan: &Plan, ledger: &Arc<Ledger>, board: &Board) -> Lived {
    let watcher = Watcher::default();
    let stock = Stock::new(Arc::clone(ledger), plan);
    stock.unruly.store(plan.born_unruly, Ordering::Relaxed);
    let token = CancelToken::new();
    let config = config(plan, &stock, &token, &watcher);
    let built = if plan.is_local { Manager::new_local(config) } else { Manager::new(config) };
    let manager = match built {
        Ok(manager) => manager,
        Err(error) => {
            if !plan.born_unruly {
                ledger.broke(Rule::Resources, || format!("{plan} was not built: {error}"));
            }
            ledger.add(Count::BuildErrors);
            while !ledger.is_balanced() {
                nap(LOOK);
            }
            return Lived { reports: Vec::new(), peak: stock.peak(), watcher };
        }
    };
    stock.unruly.store(plan.unruly, Ordering::Relaxed);
    let quota = AtomicI64::new(i64::try_from(plan.tasks).unwrap_or(i64::MAX));
    let at_it = AtomicUsize::new(plan.callers);
    let reports = thread::scope(|scope| {
        for number in 0..plan.callers {
            let (manager, quota, at_it, board) = (manager.clone(), &quota, &at_it, board);
            let mut caller = Caller {
                manager: Some(manager),
                ledger: Arc::clone(ledger),
                chance: Rng::with_seed(plan.seed.wrapping_add(1 + number as u64)),
                ticket: (number as u64) << 48,
                window: VecDeque::new(),
                plan,
            };
            scope.spawn(move || {
                while !board.is_over() && quota.fetch_sub(1, Ordering::Relaxed) > 0 {
                    caller.hand_in_one();
                    if caller.is_turned_away() {
                        break;
                    }
                }
                caller.manager = None; // the last clone may be this one
                at_it.fetch_sub(1, Ordering::Release);
                while caller.settle_one() {}
            });
        }
        let mut meddler = Meddler::new(plan, &stock);
        let is_due = || match plan.busy_with {
            Some(left) => quota.load(Ordering::Relaxed) < i64::try_from(left).unwrap_or(i64::MAX),
            None => false,
        };
        while at_it.load(Ordering::Acquire) > 0 && !is_due() {
            nap(meddler.act(&manager));
        }
        if plan.deaf {
            let trace = Trace::new(ledger, 0, Deed::Nothing).once();
            let callback = Callback::new(ledger, 0);
            let deaf = manager.task_once(move |cx, resource| {
                let mut trace = trace;
                nap(Duration::from_millis(200));
                trace.attempt(cx, resource)
            });
            deaf.name("deaf").on_complete(move |outcome| callback.call(&outcome));
        }
        if plan.ending == Ending::Drop {
            meddler.leave(&manager);
        }
        end(plan, manager, &token)
    });
    // A manager that was dropped, and a task that was not waited for, end by themselves.
    while !ledger.is_balanced() {
        nap(LOOK);
    }
    Lived { reports, peak: stock.peak(), watcher }
}

fn config(
    plan: &Plan,
    stock: &Arc<Stock>,
    token: &CancelToken,
    watcher: &Watcher,
) -> Config<Resource, Fault> {
    let (making, taking, checking) = (Arc::clone(stock), Arc::clone(stock), Arc::clone(stock));
    let mut config = Config::new(move || {
        let (place, whim) = making.begin();
        if whim == Whim::IsSlow {
            nap(SLOW);
        }
        obey(whim).map(|()| place.made())
    })
    .on_destroy(move |mut resource| {
        let whim = taking.end(&mut resource);
        if whim == Whim::IsSlow {
            nap(SLOW);
        }
        obey(whim)
    })
    .resource_pool_size(if plan.is_local { 0 } else { plan.pool })
    .lending(plan.lending && !plan.is_local);
    if let Some(idle) = plan.validate_after {
        config = config.validate(move |_| checking.is_sound()).validate_after(idle);
    }
    settings!(config, plan, watcher, token)
}

/// Ends the manager as planned; what it reports, if somebody is told.
fn end(plan: &Plan, manager: Manager, token: &CancelToken) -> Vec<ShutdownReport> {
    let report = match plan.ending {
        Ending::Stop => manager.stop(),
        Ending::StopWithin(limit) => manager.stop_within(limit),
        Ending::Kill => manager.kill(),
        Ending::KillWithin(limit) => manager.kill_within(limit),
        Ending::StopThenKill => {
            let stopped = manager.clone();
            return thread::scope(|scope| {
                let stop = scope.spawn(move || stopped.stop());
                nap(Duration::from_micros(plan.seed % 2_000));
                let killed = manager.kill(); // refused if the stop was faster
                let stopped = stop.join().expect("a stop does not panic");
                [killed, stopped].into_iter().flatten().collect()
            });
        }
        Ending::Token => {
            token.cancel();
            Ok(manager.join())
        }
        Ending::Drop => return Vec::new(),
    };
    report.into_iter().collect()
}

/// One who hands in tasks, one after the other, and keeps a number of handles.
struct Caller<'p> {
    manager: Option<Manager>,
    ledger: Arc<Ledger>,
    chance: Rng,
    ticket: u64,
    window: VecDeque<(u64, Handle)>,
    plan: &'p Plan,
}

/// Gives a task its options.
fn dress<'m, K>(
    task: Task<'m, Resource, Fault, K>,
    options: &Options,
) -> Task<'m, Resource, Fault, K> {
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

impl Caller<'_> {
    fn is_turned_away(&self) -> bool {
        self.manager.as_ref().is_none_or(|manager| manager.phase() != Phase::Running)
    }

    /// Hands in a task by one of the ways in.
    fn hand_in_one(&mut self) {
        self.ticket += 1;
        let ticket = self.ticket;
        let Some(manager) = self.manager.clone() else { return };
        let manager = &manager;
        let ledger = Arc::clone(&self.ledger);
        let deed = Deed::draw(&mut self.chance);
        let finite = Deed::draw_finite(&mut self.chance);
        let options = Options::draw(&mut self.chance, deed);
        let trace = |deed| Trace::new(&ledger, ticket, deed);
        let callback = || Callback::new(&ledger, ticket);
        match self.chance.u32(0..1_000) {
            // The caller blocks, and the closure borrows from its stack.
            0..150 => {
                let mut trace = trace(deed);
                let mut task = manager.task(|cx, resource| trace.attempt(cx, resource));
                if let Some(retries) = options.max_retries {
                    task = task.max_retries(retries);
                }
                let outcome = dress(task, &options).run();
                self.heard_blocking(&trace, &outcome);
            }
            150..200 => {
                let mut trace = trace(deed).once();
                let task = manager.task_once(|cx, resource| trace.attempt(cx, resource));
                let outcome = dress(task, &options).run();
                self.heard_blocking(&trace, &outcome);
            }
            200..240 => {
                let mut trace = trace(finite);
                let outcome = manager.queue_task(|cx, resource| trace.attempt(cx, resource));
                self.heard_blocking(&trace, &outcome);
            }
            240..260 => {
                let mut trace = trace(finite).once();
                let outcome = manager.queue_task_once(|cx, resource| trace.attempt(cx, resource));
                self.heard_blocking(&trace, &outcome);
            }
            260..280 => {
                let mut trace = trace(finite);
                let outcome =
                    manager.queue_task_with_priority(|cx, resource| trace.attempt(cx, resource));
                self.heard_blocking(&trace, &outcome);
            }
            280..300 => {
                let mut trace = trace(finite).once();
                let outcome = manager
                    .queue_task_with_priority_once(|cx, resource| trace.attempt(cx, resource));
                self.heard_blocking(&trace, &outcome);
            }
            // Ahead of every lane.
            300..320 => {
                let mut trace = trace(finite).once();
                let outcome =
                    urgent(|| manager.run_task(|cx, resource| trace.attempt(cx, resource)));
                self.heard_blocking(&trace, &outcome);
            }
            320..340 => {
                let mut trace = trace(deed).once();
                let task = manager.task_once(|cx, resource| trace.attempt(cx, resource));
                let outcome = urgent(|| dress(task, &options).run_now());
                self.heard_blocking(&trace, &outcome);
            }
            // The caller keeps a handle.
            340..570 => {
                let mut trace = trace(deed);
                let task = manager.task(move |cx, resource| trace.attempt(cx, resource));
                self.keep(dress(task, &options).submit());
            }
            570..620 => {
                let mut trace = trace(deed).once();
                let task = manager.task_once(move |cx, resource| trace.attempt(cx, resource));
                self.keep(dress(task, &options).submit());
            }
            620..660 => {
                let mut trace = trace(finite);
                self.keep(
                    manager.queue_task_async(move |cx, resource| trace.attempt(cx, resource)),
                );
            }
            660..680 => {
                let mut trace = trace(finite).once();
                self.keep(
                    manager.queue_task_once_async(move |cx, resource| trace.attempt(cx, resource)),
                );
            }
            680..700 => {
                let mut trace = trace(finite);
                self.keep(manager.queue_task_with_priority_async(move |cx, resource| {
                    trace.attempt(cx, resource)
                }));
            }
            700..720 => {
                let mut trace = trace(finite).once();
                self.keep(manager.queue_task_with_priority_once_async(move |cx, resource| {
                    trace.attempt(cx, resource)
                }));
            }
            720..780 => {
                let mut trace = trace(deed);
                let task = manager.task(move |cx, resource| trace.attempt(cx, resource));
                match dress(task, &options).try_submit() {
                    Ok(handle) => self.keep(handle),
                    Err(rejected) => {
                        let outcome = Err(rejected.reason().into());
                        self.ledger.hear(ticket, &outcome);
                        drop(rejected.into_task());
                    }
                }
            }
            // It forgets the handle, or has the task cancelled with it.
            780..840 => {
                let mut trace = trace(deed).silent();
                let task = manager.task(move |cx, resource| trace.attempt(cx, resource));
                self.forget(dress(task, &options).submit(), drop);
            }
            840..850 => {
                let mut trace = trace(Deed::RunsOn).silent();
                let task = manager.task(move |cx, resource| trace.attempt(cx, resource));
                self.forget(dress(task, &options).submit(), |handle| {
                    drop(handle.cancel_on_drop());
                });
            }
            // It is called back.
            850..900 => {
                let (mut trace, callback) = (trace(deed), callback());
                let task = manager.task(move |cx, resource| trace.attempt(cx, resource));
                dress(task, &options).on_complete(move |outcome| callback.call(&outcome));
            }
            900..915 => {
                let (mut trace, callback) = (trace(finite), callback());
                manager.queue_task_with_callback(
                    move |cx, resource| trace.attempt(cx, resource),
                    move |outcome| callback.call(&outcome),
                );
            }
            915..930 => {
                let (mut trace, callback) = (trace(finite).once(), callback());
                manager.queue_task_once_with_callback(
                    move |cx, resource| trace.attempt(cx, resource),
                    move |outcome| callback.call(&outcome),
                );
            }
            930..945 => {
                let (mut trace, callback) = (trace(finite), callback());
                manager.queue_task_with_priority_with_callback(
                    move |cx, resource| trace.attempt(cx, resource),
                    move |outcome| callback.call(&outcome),
                );
            }
            945..960 => {
                let (mut trace, callback) = (trace(finite).once(), callback());
                manager.queue_task_with_priority_once_with_callback(
                    move |cx, resource| trace.attempt(cx, resource),
                    move |outcome| callback.call(&outcome),
                );
            }
            // It cancels at once, or after a while.
            960..990 => {
                let mut trace =
                    trace(if self.chance.u32(0..50) == 0 { Deed::RunsOn } else { deed });
                let task = manager.task(move |cx, resource| trace.attempt(cx, resource));
                let handle = dress(task, &options).submit();
                if self.chance.bool() {
                    thread::yield_now();
                }
                handle.cancel();
                self.keep(handle);
            }
            // The task waits for another one, which may wait for a third.
            990..996 if self.plan.nests => {
                let (mut trace, callback) = (trace(finite), callback());
                let errand =
                    Errand { manager: manager.clone(), ledger: Arc::clone(&ledger), ticket };
                let depth = self.chance.u32(1..4);
                let mut errand = Some(errand);
                let task = manager.task(move |cx, resource| {
                    if let Some(errand) = errand.take() {
                        errand.wait_for(depth);
                    }
                    trace.attempt(cx, resource)
                });
                task.on_complete(move |outcome| callback.call(&outcome));
            }
            // The task hands in another one, and holds a clone of its manager.
            _ => {
                let (mut trace, callback) = (trace(finite), callback());
                let mut errand = Some((manager.clone(), Arc::clone(&ledger)));
                let task = manager.task(move |cx, resource| {
                    if let Some((inner, ledger)) = errand.take() {
                        let mut trace = Trace::new(&ledger, ticket, Deed::Nothing).once();
                        let callback = Callback::new(&ledger, ticket);
                        let task = inner.task_once(move |cx, resource| trace.attempt(cx, resource));
                        task.priority(Priority::High)
                            .on_complete(move |outcome| callback.call(&outcome));
                    }
                    trace.attempt(cx, resource)
                });
                task.on_complete(move |outcome| callback.call(&outcome));
            }
        }
    }

    /// What a blocking call returned, and what its closure did on this stack.
    fn heard_blocking(&self, trace: &Trace, outcome: &Result<u64, tasker::TaskError<Fault>>) {
        let heard = self.ledger.hear(trace.ticket, outcome);
        let runs = u64::from(trace.runs());
        let fits = match heard {
            Count::Completed | Count::Failed | Count::TimedOut => runs >= 1,
            Count::Exhausted => runs >= 1,
            Count::Refused => runs == 0,
            _ => true,
        };
        if !fits {
            self.ledger.broke(Rule::Answers, || {
                format!("{}: a task ended as {heard:?} after {runs} attempts", self.plan)
            });
        }
    }

    /// Keeps a handle, and settles the oldest if there are enough.
    fn keep(&mut self, handle: Handle) {
        self.window.push_back((self.ticket, handle));
        if self.window.len() > self.plan.window {
            self.settle_one();
        }
    }

    /// Lets go of a handle, unless its outcome is there to be heard.
    fn forget(&self, handle: Handle, how: impl FnOnce(Handle)) {
        if handle.is_finished() {
            let heard = self.ledger.hear(self.ticket, &handle.wait());
            self.ledger.overhear(heard);
        } else {
            how(handle);
        }
    }

    /// Waits for the oldest handle; `false` if there is none.
    fn settle_one(&mut self) -> bool {
        let Some((ticket, mut handle)) = self.window.pop_front() else { return false };
        let outcome = match self.chance.u32(0..100) {
            0..5 => loop {
                match handle.wait_timeout(Duration::from_micros(200)) {
                    Ok(outcome) => break outcome,
                    Err(again) => handle = again,
                }
            },
            5..7 => {
                handle.cancel(); // it runs, or has ended, or still waits
                handle.wait()
            }
            7..9 => block_on(handle),
            _ => handle.wait(),
        };
        self.ledger.hear(ticket, &outcome);
        true
    }
}

impl Errand<Manager> {
    /// Waits for a task by each way there is, which itself waits if `depth` says so.
    fn wait_for(self, depth: u32) {
        let mut trace = Trace::new(&self.ledger, self.ticket, Deed::Nothing).once().silent();
        let inner = self.clone();
        let work = move |cx: &TaskContext, resource: &mut Resource| {
            if depth > 1 {
                inner.wait_for(depth - 1);
            }
            trace.attempt(cx, resource)
        };
        let task = self.manager.task_once(work);
        let (withdrawn, outcome) = match (self.ticket + u64::from(depth)) % 3 {
            0 => (true, task.run()),
            1 => (true, urgent(|| task.run_now())),
            _ => (false, task.submit().wait()), // to await it here would be on one's own account
        };
        self.ledger.hear_inside(self.ticket, &outcome, withdrawn);
    }
}

/// Drives a handle as a future on this thread.
fn block_on(handle: Handle) -> Result<u64, tasker::TaskError<Fault>> {
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(thread::current())).into();
    let mut handle = pin!(handle);
    loop {
        match handle.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(outcome) => return outcome,
            Poll::Pending => thread::park(),
        }
    }
}
