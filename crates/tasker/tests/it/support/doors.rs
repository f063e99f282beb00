//! The kinds of manager, and the ways to hand one a task: a promise about either holds for each of them.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use tasker::{Config, TaskContext, TaskError, TaskManager};

use super::{Fault, LIMIT, Res};

/// A kind of manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manager {
    /// `new`, which lends resources to blocking callers.
    Lending,
    /// `new` with `lending(false)`.
    NotLending,
    /// `new_local`.
    Local,
}

impl Manager {
    pub(crate) const ALL: [Self; 3] = [Self::Lending, Self::NotLending, Self::Local];

    /// The kinds that have a pool.
    pub(crate) const POOLED: [Self; 2] = [Self::Lending, Self::NotLending];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Lending => "with lending",
            Self::NotLending => "without lending",
            Self::Local => "with local resources",
        }
    }

    /// Builds a manager of this kind.
    pub(crate) fn build(self, config: Config<Res, Fault>) -> TaskManager<Res, Fault> {
        self.try_build(config).expect("a manager")
    }

    pub(crate) fn try_build(
        self,
        config: Config<Res, Fault>,
    ) -> Result<TaskManager<Res, Fault>, tasker::BuildError<Fault>> {
        match self {
            Self::Lending => TaskManager::new(config),
            Self::NotLending => TaskManager::new(config.lending(false)),
            Self::Local => TaskManager::new_local(config),
        }
    }
}

/// A way to hand over a task and to learn how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// `run`: blocks.
    Run,
    /// `submit`, then `wait`.
    Wait,
    /// `submit`, then polled as a future.
    Poll,
    /// `on_complete`.
    Callback,
}

impl Door {
    pub(crate) const ALL: [Self; 4] = [Self::Run, Self::Wait, Self::Poll, Self::Callback];

    /// Hands over a task that may run again and blocks until its outcome has come back.
    pub(crate) fn send<T: Send + 'static>(
        self,
        manager: &TaskManager<Res, Fault>,
        task: impl FnMut(&TaskContext, &mut Res) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, TaskError<Fault>> {
        let task = manager.task(task);
        match self {
            Self::Run => task.run(),
            Self::Wait => task.submit().wait(),
            Self::Poll => block_on(task.submit()),
            Self::Callback => called_back(|callback| task.on_complete(callback)),
        }
    }

    /// Hands over a task that runs at most once and blocks until its outcome has come back.
    pub(crate) fn send_once<T: Send + 'static>(
        self,
        manager: &TaskManager<Res, Fault>,
        task: impl FnOnce(&TaskContext, &mut Res) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, TaskError<Fault>> {
        let task = manager.task_once(task);
        match self {
            Self::Run => task.run(),
            Self::Wait => task.submit().wait(),
            Self::Poll => block_on(task.submit()),
            Self::Callback => called_back(|callback| task.on_complete(callback)),
        }
    }
}

type Outcome<T> = Result<T, TaskError<Fault>>;
type Callback<T> = Box<dyn FnOnce(Outcome<T>) + Send>;

/// Waits for the one call of a callback.
fn called_back<T: Send + 'static>(submit: impl FnOnce(Callback<T>)) -> Outcome<T> {
    let (send, receive) = channel();
    submit(Box::new(move |outcome| {
        let _ = send.send(outcome); // only a test that has failed stops listening
    }));
    receive.recv_timeout(LIMIT).expect("the callback is called")
}

/// Polls a future on this thread until it is ready.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
