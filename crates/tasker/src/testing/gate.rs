//! A gate that threads and futures wait at until a test opens it.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

use super::watched::{LIMIT, Watched, end_of_patience};

/// Holds whoever comes to it until it is opened, and then lets everybody through for ever. Clones are the
/// same gate.
///
/// With it a test says "while this task runs" or "before that one returns" without a sleep: the task
/// [waits](Self::wait) at the gate, the test [knows](Self::await_arrivals) that it is there, and
/// [opens](Self::open) the gate when it has seen what it wanted to see.
///
/// ```
/// use tasker::testing::{Gate, Kit};
/// use tasker::TaskManager;
///
/// let manager = TaskManager::new(Kit::new().config().worker_count(2))?;
/// let gate = Gate::new();
/// let busy: Vec<_> = (0..2)
///     .map(|_| {
///         let gate = gate.clone();
///         manager.task_once(move |_, _| Ok(gate.wait())).submit()
///     })
///     .collect();
/// gate.await_arrivals(2);
/// assert_eq!(manager.stats().running_tasks, 2); // for sure, and for as long as the gate is closed
/// gate.open();
/// for task in busy {
///     task.wait()?;
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct Gate(Arc<Watched<State>>);

#[derive(Default)]
struct State {
    open: bool,
    arrivals: usize,
    /// Of the futures that wait.
    wakers: Vec<Waker>,
}

impl Gate {
    /// A closed gate.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets everybody through, now and from now on.
    ///
    /// ```
    /// let gate = tasker::testing::Gate::new();
    /// gate.open();
    /// gate.wait(); // nobody waits any more
    /// ```
    pub fn open(&self) {
        let wakers = self.0.change(|state| {
            state.open = true;
            std::mem::take(&mut state.wakers)
        });
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Whether it has been opened.
    ///
    /// ```
    /// let gate = tasker::testing::Gate::new();
    /// assert!(!gate.is_open());
    /// gate.open();
    /// assert!(gate.is_open());
    /// ```
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.look(|state| state.open)
    }

    /// Arrives, and blocks until the gate is open. In a future, [`pass`](Self::pass) instead.
    ///
    /// ```
    /// let gate = tasker::testing::Gate::new();
    /// std::thread::scope(|threads| {
    ///     threads.spawn(|| gate.wait());
    ///     gate.await_arrivals(1);
    ///     gate.open();
    /// });
    /// ```
    ///
    /// # Panics
    ///
    /// If nobody opens the gate for [`LIMIT`]: a test that forgot it fails rather than hang. A task that
    /// waits there ends as [`Panicked`](crate::TaskError::Panicked).
    #[track_caller]
    pub fn wait(&self) {
        self.0.change(|state| state.arrivals += 1);
        let opened = self.0.wait_for(end_of_patience(), |state| state.open.then_some(()));
        assert!(opened.is_some(), "nobody opened the gate for {LIMIT:?}");
    }

    /// Arrives, and waits until the gate is open, for a future of any runtime. It has no limit, since it
    /// knows no runtime's time.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped here has arrived and does not wait any more; nothing else is lost.
    ///
    /// ```
    /// # #[cfg(feature = "tokio")]
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use tasker::testing::{Gate, Kit};
    /// use tasker::AsyncTaskManager;
    ///
    /// let manager = AsyncTaskManager::new(Kit::new().async_config().worker_count(1)).await?;
    /// let gate = Gate::new();
    /// let inside = gate.clone();
    /// let busy = manager.task(async move |_, _| Ok(inside.pass().await)).submit();
    /// gate.open();
    /// busy.await?;
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "tokio"))]
    /// # fn main() {}
    /// ```
    pub async fn pass(&self) {
        self.0.change(|state| state.arrivals += 1);
        let pass = |cx: &mut std::task::Context<'_>| {
            // Cloned and dropped without the lock, since that is code of the user's.
            let mut waker = Some(cx.waker().clone());
            self.0.change(|state| {
                if state.open {
                    return Poll::Ready(());
                }
                let known = state.wakers.iter().any(|known| known.will_wake(cx.waker()));
                if !known {
                    state.wakers.extend(waker.take());
                }
                Poll::Pending
            })
        };
        poll_fn(pass).await;
    }

    /// How many threads and futures have come to the gate since it was made, open or not.
    ///
    /// ```
    /// let gate = tasker::testing::Gate::new();
    /// gate.open();
    /// gate.wait();
    /// assert_eq!(gate.arrivals(), 1);
    /// ```
    #[must_use]
    pub fn arrivals(&self) -> usize {
        self.0.look(|state| state.arrivals)
    }

    /// Blocks until so many have come to the gate since it was made. [`Gate`] has an example.
    ///
    /// It blocks its thread. Where that is the one that has to run the tasks, as in a current-thread runtime (the
    /// default of `#[tokio::test]`), they never come, and it panics in the end. There let them run while it is too
    /// early; on a multi-thread runtime it holds up one of the threads meanwhile:
    ///
    /// ```
    /// # #[cfg(feature = "tokio")]
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use tasker::testing::{Gate, Kit};
    /// # let manager = tasker::AsyncTaskManager::new(Kit::new().async_config()).await?;
    /// # let gate = Gate::new();
    /// # let inside = gate.clone();
    /// # let busy = manager.task(async move |_, _| Ok(inside.pass().await)).submit();
    /// while gate.arrivals() < 1 {
    ///     tokio::task::yield_now().await;
    /// }
    /// # gate.open();
    /// # busy.await?;
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "tokio"))]
    /// # fn main() {}
    /// ```
    ///
    /// # Panics
    ///
    /// If they do not come within [`LIMIT`]; the message says how many did.
    #[track_caller]
    pub fn await_arrivals(&self, count: usize) {
        let enough = |state: &State| (state.arrivals >= count).then_some(());
        if self.0.wait_for(end_of_patience(), enough).is_none() {
            panic!("{} of {count} came to the gate in {LIMIT:?}", self.arrivals());
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, arrivals) = self.0.look(|state| (state.open, state.arrivals));
        f.debug_struct("Gate").field("open", &open).field("arrivals", &arrivals).finish()
    }
}
