//! The staff of an async manager: tasks spawned in its runtime, each for one errand.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Core;
use super::guarded::Guarded;
use super::hooks::Hooks;
use super::worker::Worker;
use crate::cancel::{CancelToken, Why};
use crate::engine::{Engine, Staff};
use crate::queue::{Effects, Errand};
use crate::sync::{AtomicU64, Ordering};
use crate::worker::attempt::{contain, on_behalf};

/// The runtime, and the hooks that are called in it.
pub(crate) struct Slots<R, E> {
    pub(crate) hooks: Hooks<R, E>,
    pub(crate) roll: Arc<Roll>,
    /// Not zero: the runtime has dropped a task of the manager's.
    stranded: AtomicU64,
    /// Cancelled by a kill. Tokio's, because thousands may wait for it.
    pub(crate) killed: CancellationToken,
}

impl<R: Send + 'static, E: Send + 'static> Staff<R, E> for Slots<R, E> {
    fn start_worker(engine: &Arc<Core<R, E>>, seat: usize, number: usize) -> io::Result<()> {
        let worker = Worker::new(Arc::clone(engine), seat, number);
        engine.staff.roll.spawn(worker.begin());
        Ok(())
    }

    fn run_errand(engine: &Arc<Core<R, E>>, errand: Errand) {
        let Errand { seat, number } = errand;
        let worker = Worker::new(Arc::clone(engine), seat, number);
        engine.staff.roll.spawn(worker.run_errand());
    }

    type Presence = SignOff;

    fn presence(engine: &Core<R, E>) -> SignOff {
        engine.staff.roll.sign_on()
    }

    fn give_up(engine: &Arc<Core<R, E>>) {
        engine.staff.killed.cancel();
    }

    fn perform_elsewhere(engine: &Arc<Core<R, E>>, fx: Effects<R, E>) {
        let aside = Aside { engine: Arc::clone(engine), fx: Some(fx) };
        engine.staff.roll.spawn(async move { drop(aside) });
    }
}

/// Effects that are carried out by a spawned task, or by whoever drops that unpolled, because the runtime is gone.
struct Aside<R: Send + 'static, E: Send + 'static> {
    engine: Arc<Core<R, E>>,
    fx: Option<Effects<R, E>>,
}

impl<R: Send + 'static, E: Send + 'static> Drop for Aside<R, E> {
    fn drop(&mut self) {
        self.fx.take().into_iter().for_each(|fx| self.engine.perform(fx));
    }
}

impl<R, E> Slots<R, E> {
    pub(crate) fn new(hooks: Hooks<R, E>, runtime: Handle) -> Self {
        let (stranded, killed) = (AtomicU64::new(0), CancellationToken::new());
        Self { hooks, roll: Arc::new(Roll::new(runtime)), stranded, killed }
    }

    pub(crate) fn is_stranded(&self) -> bool {
        self.stranded.load(Ordering::Acquire) != 0
    }
}

impl<R: Send + 'static, E: Send + 'static> Engine<R, E, Slots<R, E>> {
    /// The runtime has dropped a task of the manager's: it is shutting down, and nothing can be done any more
    /// but to end.
    pub(crate) fn strand(self: &Arc<Self>) {
        self.staff.stranded.store(1, Ordering::Release);
        let mut fx = Effects::new();
        self.queue.strand(self.clock.now(), &mut fx);
        self.perform(fx);
    }

    /// The future of an attempt was dropped: what its task has started elsewhere may listen.
    pub(crate) fn cancel_dropped(&self, token: &CancelToken) {
        if let Err(panic) = on_behalf(self.identity(), || token.cancel_because(Why::Cancelled)) {
            self.reporter.panicked("a waker", panic);
        }
    }

    /// Waits until a shutdown is over, whoever began it.
    pub(crate) async fn over(&self) {
        self.queue.over.cancelled().await;
        self.staff.roll.empty().await;
    }

    /// As [`over`](Self::over), for at most `limit`; whether it is.
    pub(crate) async fn over_within(&self, limit: Duration) -> bool {
        // Whoever polls this may be elsewhere: its own runtime is driven, the manager's perhaps not.
        let own = Handle::try_current().is_ok().then(|| contain(|| tokio::time::sleep(limit)).ok());
        let sleep = own.flatten().unwrap_or_else(|| {
            let _entered = self.staff.roll.runtime.enter();
            tokio::time::sleep(limit)
        });
        let mut sleep = pin!(Guarded::new(self.identity(), sleep));
        let mut over = pin!(self.over());
        std::future::poll_fn(|cx: &mut Context<'_>| {
            if over.as_mut().poll(cx).is_ready() {
                return Poll::Ready(true);
            }
            // A panic, too: that of a timer whose runtime is gone.
            sleep.as_mut().poll(cx).map(|_| false)
        })
        .await
    }
}

/// What a manager has spawned and has not ended.
pub(crate) struct Roll {
    runtime: Handle,
    live: AtomicU64,
    gone: Notify,
}

impl Roll {
    fn new(runtime: Handle) -> Self {
        Self { runtime, live: AtomicU64::new(0), gone: Notify::new() }
    }

    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Spawns a task that a shutdown waits for.
    pub(crate) fn spawn(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        let sign_off = self.sign_on();
        self.runtime.spawn(Signed { task, sign_off });
    }

    /// A shutdown waits for whoever has this.
    fn sign_on(self: &Arc<Self>) -> SignOff {
        self.live.fetch_add(1, Ordering::AcqRel);
        SignOff(Arc::clone(self))
    }

    async fn empty(&self) {
        loop {
            let mut gone = pin!(self.gone.notified());
            gone.as_mut().enable(); // before the look, so that no end slips in between
            if self.live.load(Ordering::Acquire) == 0 {
                return;
            }
            gone.await;
        }
    }
}

/// Signs a task off when it is dropped, whatever way it ended.
pub(crate) struct SignOff(Arc<Roll>);

impl Drop for SignOff {
    fn drop(&mut self) {
        if self.0.live.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.gone.notify_waiters();
        }
    }
}

pin_project! {
    /// A spawned task, which is dropped before it is signed off. An `async` block would keep room for the task
    /// three times: as what it was given, as what it names, and as what it awaits.
    struct Signed<F> {
        #[pin]
        task: F,
        sign_off: SignOff,
    }
}

impl<F: Future<Output = ()>> Future for Signed<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.project().task.poll(cx)
    }
}
