//! What the tests of async managers share: managers, valves, futures polled by hand, runtimes.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use tasker::{AsyncConfig, AsyncTaskManager, TaskContext, TaskError, TaskHandle};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::support::{Fault, Kit, LIMIT, Res, assert_complete, within};

pub(super) type Manager = AsyncTaskManager<Res, Fault>;
pub(super) type Config = AsyncConfig<Res, Fault>;
pub(super) type Handle<T = ()> = TaskHandle<T, Fault>;
pub(super) type Outcome<T = ()> = Result<T, TaskError<Fault>>;

/// A configuration of exactly `workers` workers, without a pool, on `kit`. Both hooks have an await inside.
pub(super) fn config(kit: &Kit, workers: usize) -> Config {
    let (create, destroy) = (kit.clone(), kit.clone());
    let create = move || {
        let kit = create.clone();
        async move {
            pend_once().await;
            kit.create()
        }
    };
    let config = AsyncConfig::new(create).on_destroy(move |res| {
        let destroyed = destroy.destroy(res); // at the call: its future may be dropped
        async move {
            pend_once().await;
            destroyed
        }
    });
    config
        .check_health(|fault| *fault != Fault::Sick)
        .worker_count(workers)
        .max_worker_count(workers)
        .resource_pool_size(0)
}

/// A manager of `workers` workers, and the kit that its resources are of.
pub(super) async fn manager(workers: usize) -> (Manager, Kit) {
    let kit = Kit::new();
    let manager = build(config(&kit, workers)).await;
    (manager, kit)
}

pub(super) async fn build(config: Config) -> Manager {
    AsyncTaskManager::new(config).await.expect("a manager")
}

/// Stops the manager; fails unless everything is accounted for and every resource destroyed once.
pub(super) async fn end(manager: &Manager, kit: &Kit) {
    let report = manager.stop().await.expect("nobody has stopped it");
    assert_complete(&report);
    kit.assert_all_destroyed_once();
}

/// A task that is pending once, and woken at once.
pub(super) async fn pend_once() {
    let mut pended = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut pended, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Never ends.
pub(super) async fn forever() {
    std::future::pending::<()>().await;
}

/// What futures wait at until a test opens it. Clones are the same valve.
#[derive(Debug, Clone)]
pub(super) struct Valve(Arc<(watch::Sender<bool>, watch::Sender<usize>)>);

impl Valve {
    /// A closed one.
    pub(super) fn new() -> Self {
        Self(Arc::new((watch::Sender::new(false), watch::Sender::new(0))))
    }

    pub(super) fn open(&self) {
        self.0.0.send_replace(true);
    }

    pub(super) fn close(&self) {
        self.0.0.send_replace(false);
    }

    /// Waits until it is open.
    pub(super) async fn pass(&self) {
        self.0.1.send_modify(|come| *come += 1);
        let mut open = self.0.0.subscribe();
        open.wait_for(|open| *open).await.expect("the valve is held here");
    }

    /// Waits until so many have come to it.
    pub(super) async fn await_arrivals(&self, count: usize) {
        let mut come = self.0.1.subscribe();
        come.wait_for(|come| *come >= count).await.expect("the valve is held here");
    }
}

/// Keeps `count` workers busy until the valve is opened; returns when they are.
pub(super) async fn occupy(manager: &Manager, count: usize) -> (Valve, Vec<Handle>) {
    let valve = Valve::new();
    let busy = (0..count).map(|_| {
        let valve = valve.clone();
        let wait = async move |_: &TaskContext, _: &mut Res| {
            valve.pass().await;
            Ok(())
        };
        manager.task(wait).name("busy").submit()
    });
    let busy = busy.collect();
    valve.await_arrivals(count).await;
    (valve, busy)
}

/// A future that a test polls by hand; it counts how often it was woken.
pub(super) struct ByHand<F: ?Sized> {
    wakes: Arc<Wakes>,
    future: Pin<Box<F>>,
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl<F: Future> ByHand<F> {
    pub(super) fn new(future: F) -> Self {
        Self::boxed(Box::pin(future))
    }
}

impl<F: Future + ?Sized> ByHand<F> {
    pub(super) fn boxed(future: Pin<Box<F>>) -> Self {
        Self { wakes: Arc::default(), future }
    }

    pub(super) fn poll(&mut self) -> Poll<F::Output> {
        let waker = Waker::from(Arc::clone(&self.wakes));
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }

    pub(super) fn wakes(&self) -> usize {
        self.wakes.0.load(Ordering::SeqCst)
    }
}

/// Lets everything else run until nothing can run any more. Only where time stands still: it passes when
/// nobody has anything to do.
pub(super) async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// How much of the runtime's time has passed since `start`.
pub(super) fn since(start: Instant) -> Duration {
    Instant::now().duration_since(start)
}

/// A kind of runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    CurrentThread,
    MultiThread,
}

impl Kind {
    pub(super) const ALL: [Self; 2] = [Self::CurrentThread, Self::MultiThread];

    pub(super) fn runtime(self) -> Runtime {
        let mut builder = match self {
            Self::CurrentThread => Builder::new_current_thread(),
            Self::MultiThread => Builder::new_multi_thread(),
        };
        builder.worker_threads(2).enable_time().build().expect("a runtime")
    }
}

/// A runtime of one thread, whose time passes only when nobody has anything to do.
pub(super) fn still() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime")
}

/// Runs a test in time that stands still; fails if it hangs.
pub(super) fn paused<T: Send + 'static, F: Future<Output = T>>(
    test: impl FnOnce() -> F + Send + 'static,
) -> T {
    within(LIMIT, move || still().block_on(test()))
}

/// Runs a test on both kinds of runtime; fails if it hangs.
pub(super) fn on_every_runtime<F: Future<Output = ()>>(
    test: impl Fn() -> F + Send + Sync + 'static,
) {
    within(LIMIT, move || {
        for kind in Kind::ALL {
            kind.runtime().block_on(test());
        }
    });
}
