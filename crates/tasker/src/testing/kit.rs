//! Makes resources, counts them, and has them fail on order.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::faulty::{Fault, Faulty};
use super::gate::Gate;
use super::watched::{LIMIT, Watched, end_of_patience};
#[cfg(feature = "tokio")]
use crate::aio::AsyncConfig;
use crate::config::Config;

/// Fault injection: a configuration whose resources fail, panic and hang on order, and are counted.
///
/// Put your own settings on [`config`](Self::config), or wrap a kit's resources into yours with
/// [`create`](Self::create) and [`destroy`](Self::destroy). Orders can be given at any time, from any thread;
/// clones share everything.
///
/// | order | what happens |
/// |---|---|
/// | [`fail_nth_create`], [`fail_next_creates`], [`take_down`] | `on_create` fails: the n-th, the next, all |
/// | [`panic_nth_create`], [`panic_next_creates`] | `on_create` panics |
/// | [`hang_creates`] | `on_create` waits at a [`Gate`] |
/// | [`fail_next_uses`], [`unhealthy_after`] | the resource breaks under a task |
/// | [`panic_next_uses`] | a task panics while it uses the resource |
/// | [`fail_next_destroys`], [`panic_next_destroys`] | `on_destroy` fails or panics |
/// | [`hang_destroys`] | `on_destroy` waits at a [`Gate`] |
/// | [`PanicsOnDrop`], in a closure | what the closure has captured panics when it is dropped |
///
/// [`fail_nth_create`]: Self::fail_nth_create
/// [`fail_next_creates`]: Self::fail_next_creates
/// [`take_down`]: Self::take_down
/// [`panic_nth_create`]: Self::panic_nth_create
/// [`panic_next_creates`]: Self::panic_next_creates
/// [`hang_creates`]: Self::hang_creates
/// [`fail_next_uses`]: Self::fail_next_uses
/// [`unhealthy_after`]: Self::unhealthy_after
/// [`panic_next_uses`]: Self::panic_next_uses
/// [`fail_next_destroys`]: Self::fail_next_destroys
/// [`panic_next_destroys`]: Self::panic_next_destroys
/// [`hang_destroys`]: Self::hang_destroys
/// [`PanicsOnDrop`]: super::PanicsOnDrop
///
/// Where several fit, a hook waits first, then panics rather than fail.
///
/// ```
/// use tasker::testing::Kit;
/// use tasker::TaskManager;
///
/// let kit = Kit::new();
/// let manager = TaskManager::new(kit.config().worker_count(2).max_retries(2))?;
///
/// kit.fail_next_uses(2); // two resources in a row break under the task
/// let attempts = manager.queue_task(|cx, resource| resource.work().map(|_| cx.attempt()))?;
/// assert_eq!(attempts, 3);
///
/// manager.stop()?;
/// kit.assert_all_destroyed_once();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct Kit(Arc<Watched<State>>);

/// How many resources, calls and failures there are and were: [`Kit::counts`].
///
/// ```
/// use tasker::testing::Kit;
/// use tasker::TaskManager;
///
/// let kit = Kit::new();
/// let config = kit.config().worker_count(1).max_worker_count(1).resource_pool_size(0);
/// let manager = TaskManager::new(config)?;
/// kit.fail_next_uses(1);
/// kit.fail_next_creates(1);
/// manager.queue_task(|_, resource| resource.work())?; // on a second resource, which a third creation made
/// manager.stop()?;
///
/// let counts = kit.counts();
/// assert_eq!((counts.creates, counts.failed_creates, counts.created), (3, 1, 2));
/// assert_eq!((counts.uses, counts.failed_uses), (2, 1));
/// assert_eq!((counts.destroyed, counts.live, counts.peak), (2, 0, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls of `on_create`, whatever became of them.
    pub creates: u64,
    /// Those that failed, panicked, or whose future was dropped.
    pub failed_creates: u64,
    /// Resources that were made.
    pub created: u64,
    /// Resources right now, those being made or destroyed included: what a cap is about.
    pub live: u64,
    /// The most that `live` ever was.
    pub peak: u64,
    /// Calls of [`Faulty::work`].
    pub uses: u64,
    /// Those that failed or panicked.
    pub failed_uses: u64,
    /// Calls of `on_destroy` that have begun and not ended.
    pub destroying: u64,
    /// Resources that went through `on_destroy`, however it ended.
    pub destroyed: u64,
    /// Calls of `on_destroy` that failed, panicked, or whose future was dropped.
    pub failed_destroys: u64,
    /// Resources that were dropped without `on_destroy`.
    pub lost: u64,
}

#[derive(Default)]
struct State {
    counts: Counts,
    /// What became of each resource.
    fates: BTreeMap<u64, Fate>,
    orders: Orders,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Somebody has it.
    Held,
    /// It is in `on_destroy`.
    Going,
    /// It went to `on_destroy` so many times.
    Gone(u64),
    /// It was dropped without `on_destroy`.
    Lost,
}

#[derive(Default)]
struct Orders {
    failing_creates: u64,
    panicking_creates: u64,
    failing_calls: BTreeSet<u64>,
    panicking_calls: BTreeSet<u64>,
    down: bool,
    create_gate: Option<Gate>,
    failing_uses: u64,
    panicking_uses: u64,
    /// How many uses each resource lasts.
    lasting: Option<u64>,
    failing_destroys: u64,
    panicking_destroys: u64,
    destroy_gate: Option<Gate>,
}

impl Kit {
    /// A kit without orders: everything works.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A configuration on this kit, with every default of [`Config`]; [`Fault::is_healthy`] checks the
    /// health.
    ///
    /// A function that is generic over resource and error can then put your program's settings on it:
    ///
    /// ```
    /// use tasker::testing::Kit;
    /// use tasker::{Config, TaskManager};
    ///
    /// fn settings<R, E>(config: Config<R, E>) -> Config<R, E> {
    ///     config.worker_count(2).max_worker_count(4)
    /// }
    ///
    /// let manager = TaskManager::new(settings(Kit::new().config()))?;
    /// assert_eq!(manager.stats().base_workers, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn config(&self) -> Config<Faulty, Fault> {
        self.config_as().check_health(Fault::is_healthy)
    }

    /// As [`config`](Self::config) with an error type of yours, and no health check, so that yours can be
    /// tested.
    ///
    /// ```
    /// use tasker::testing::{Fault, Kit};
    /// use tasker::TaskManager;
    ///
    /// #[derive(Debug)]
    /// enum Error {
    ///     ConnectionReset,
    ///     Other(Fault),
    /// }
    /// impl From<Fault> for Error {
    ///     fn from(fault: Fault) -> Self {
    ///         if fault.is_healthy() { Self::Other(fault) } else { Self::ConnectionReset }
    ///     }
    /// }
    /// fn is_healthy(error: &Error) -> bool { // what is to be tested
    ///     !matches!(error, Error::ConnectionReset)
    /// }
    ///
    /// let kit = Kit::new();
    /// let config = kit.config_as::<Error>().check_health(is_healthy).worker_count(1);
    /// let manager = TaskManager::new(config)?;
    /// kit.fail_next_uses(1);
    /// assert!(manager.queue_task(|_, resource| Ok(resource.work()?)).is_ok()); // it was tried again
    /// # Ok::<(), tasker::BuildError<Error>>(())
    /// ```
    #[must_use]
    pub fn config_as<E: From<Fault>>(&self) -> Config<Faulty, E> {
        let (create, destroy) = (self.clone(), self.clone());
        Config::new(move || Ok(create.create()?)).on_destroy(move |it| Ok(destroy.destroy(it)?))
    }

    /// As [`config`](Self::config), for async managers.
    ///
    /// ```
    /// use tasker::testing::Kit;
    /// use tasker::AsyncTaskManager;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let kit = Kit::new();
    /// let manager = AsyncTaskManager::new(kit.async_config().worker_count(2)).await?;
    /// kit.fail_next_uses(1);
    /// let attempts = manager.queue_task(async |cx, resource| resource.work().map(|_| cx.attempt()));
    /// assert_eq!(attempts.await?, 2);
    /// manager.stop().await?;
    /// kit.assert_all_destroyed_once();
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "tokio")]
    #[must_use]
    pub fn async_config(&self) -> AsyncConfig<Faulty, Fault> {
        self.async_config_as().check_health(Fault::is_healthy)
    }

    /// As [`config_as`](Self::config_as), for async managers.
    ///
    /// ```
    /// use tasker::testing::Kit;
    /// use tasker::AsyncTaskManager;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// type Error = Box<dyn std::error::Error + Send + Sync>;
    /// let config = Kit::new().async_config_as::<Error>().worker_count(1);
    /// let manager = AsyncTaskManager::new(config).await.map_err(|error| error.to_string())?;
    /// assert!(manager.queue_task(async |_, resource| Ok(resource.work()?)).await.is_ok());
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "tokio")]
    #[must_use]
    pub fn async_config_as<E: From<Fault> + Send + 'static>(&self) -> AsyncConfig<Faulty, E> {
        let (create, destroy) = (self.clone(), self.clone());
        AsyncConfig::new(move || {
            let kit = create.clone();
            async move { Ok(kit.create_async().await?) }
        })
        .on_destroy(move |it| {
            let kit = destroy.clone();
            async move { Ok(kit.destroy_async(it).await?) }
        })
    }

    // Orders.

    /// Creation number `n` fails, counted from 1 and from the making of the kit.
    ///
    /// ```
    /// use tasker::testing::{Fault, Kit};
    /// use tasker::{BuildError, TaskManager};
    ///
    /// let kit = Kit::new();
    /// kit.fail_nth_create(3);
    /// let built = TaskManager::new(kit.config().worker_count(4));
    /// assert!(matches!(built, Err(BuildError::CreateFailed(Fault::Create))));
    /// kit.assert_all_destroyed_once(); // those that were made all the same
    /// ```
    ///
    /// # Panics
    ///
    /// If that creation has begun already: the order could not be carried out.
    #[track_caller]
    pub fn fail_nth_create(&self, n: u64) {
        let creates = self.order_nth(n, |orders| &mut orders.failing_calls);
        assert!(n > creates, "creation {n} cannot fail any more: {creates} have begun");
    }

    /// The next `count` creations fail.
    ///
    /// ```
    /// let kit = tasker::testing::Kit::new();
    /// kit.fail_next_creates(1);
    /// assert!(tasker::TaskManager::new(kit.config()).is_err()); // `new` gives up at the first failure
    /// ```
    pub fn fail_next_creates(&self, count: u64) {
        self.order(|orders| orders.failing_creates = count);
    }

    /// As [`fail_nth_create`](Self::fail_nth_create), with a panic.
    ///
    /// ```
    /// use tasker::testing::Kit;
    /// use tasker::{BuildError, TaskManager};
    ///
    /// let kit = Kit::new();
    /// kit.panic_nth_create(1);
    /// let built = TaskManager::new(kit.config().worker_count(1));
    /// assert!(matches!(built, Err(BuildError::CreatePanicked(_))));
    /// ```
    ///
    /// # Panics
    ///
    /// If that creation has begun already: the order could not be carried out.
    #[track_caller]
    pub fn panic_nth_create(&self, n: u64) {
        let creates = self.order_nth(n, |orders| &mut orders.panicking_calls);
        assert!(n > creates, "creation {n} cannot panic any more: {creates} have begun");
    }

    /// The next `count` creations panic.
    ///
    /// ```
    /// let kit = tasker::testing::Kit::new();
    /// let manager = tasker::TaskManager::new(kit.config().worker_count(1))?;
    /// kit.fail_next_uses(1);
    /// kit.panic_next_creates(1);
    /// manager.queue_task(|_, resource| resource.work())?; // the worker has tried again
    /// assert_eq!(kit.counts().failed_creates, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn panic_next_creates(&self, count: u64) {
        self.order(|orders| orders.panicking_creates = count);
    }

    /// An outage: every creation fails until [`heal`](Self::heal).
    ///
    /// ```
    /// use tasker::testing::Kit;
    /// use tasker::TaskManager;
    ///
    /// let kit = Kit::new();
    /// let manager = TaskManager::new(kit.config().worker_count(1))?;
    /// kit.take_down();
    /// kit.fail_next_uses(1);
    /// let waiting = manager.task(|_, resource| resource.work()).submit();
    /// kit.wait_until(|counts| counts.failed_creates >= 3); // its worker keeps trying
    /// kit.heal();
    /// waiting.wait()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn take_down(&self) {
        self.order(|orders| orders.down = true);
    }

    /// Every creation that begins from now on waits at the gate that this gives back.
    ///
    /// ```
    /// let kit = tasker::testing::Kit::new();
    /// let config = kit.config().worker_count(2).max_worker_count(2);
    /// let manager = tasker::TaskManager::new(config)?;
    /// let slow = kit.hang_creates();
    /// kit.fail_next_uses(1);
    /// manager.queue_task(|_, resource| resource.work())?; // on the resource of the other worker
    /// slow.await_arrivals(1);
    /// assert_eq!(manager.stats().recovering_workers, 1);
    /// slow.open();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use = "whoever creates waits until the gate is opened"]
    pub fn hang_creates(&self) -> Gate {
        let gate = Gate::new();
        self.order(|orders| orders.create_gate = Some(gate.clone()));
        gate
    }

    /// The next `count` uses say that the resource is [`Unhealthy`](Fault::Unhealthy).
    ///
    /// ```
    /// let kit = tasker::testing::Kit::new();
    /// let manager = tasker::TaskManager::new(kit.config().worker_count(1).max_retries(1))?;
    /// kit.fail_next_uses(2);
    /// assert!(manager.queue_task(|_, resource| resource.work()).is_err()); // one retry was not enough
    /// assert!(manager.queue_task(|_, resource| resource.work()).is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn fail_next_uses(&self, count: u64) {
        self.order(|orders| orders.failing_uses = count);
    }

    /// The next `count` uses panic.
    ///
    /// ```
    /// use tasker::testing::Kit;
    /// use tasker::{TaskError, TaskManager};
    ///
    /// let kit = Kit::new();
    /// let manager = TaskManager::new(kit.config().worker_count(1))?;
    /// kit.panic_next_uses(1);
    /// let ended = manager.queue_task(|_, resource| resource.work());
    /// assert!(matches!(ended, Err(TaskError::Panicked(_))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn panic_next_uses(&self, count: u64) {
        self.order(|orders| orders.panicking_uses = count);
    }

    /// Every resource, old or new, is [`Unhealthy`](Fault::Unhealthy) once it was used so many times.
    ///
    /// ```
    /// let kit = tasker::testing::Kit::new();
    /// let config = kit.config().worker_count(1).max_worker_count(1);
    /// let manager = tasker::TaskManager::new(config)?;
    /// kit.unhealthy_after(10);
    /// for _ in 0..100 {
    ///     manager.queue_task(|_, resource| resource.work())?;
    /// }
    /// assert_eq!(manager.metrics().total_tasks_retried, 9);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn unhealthy_after(&self, uses: u64) {
        self.order(|orders| orders.lasting = Some(uses));
    }

    /// The next `count` destructions fail, which a report counts and nobody else minds.
    ///
    /// ```
    /// let kit = tasker::testing::Kit::new();
    /// let manager = tasker::TaskManager::new(kit.config().worker_count(2))?;
    /// kit.fail_next_destroys(2);
    /// assert_eq!(manager.stop()?.destroy_errors, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn fail_next_destroys(&self, count: u64) {
        self.order(|orders| orders.failing_destroys = count);
    }

    /// As [`fail_next_destroys`](Self::fail_next_destroys), with panics.
    ///
    /// ```
    /// let kit = tasker::testing::Kit::new();
    /// let manager = tasker::TaskManager::new(kit.config().worker_count(2))?;
    /// kit.panic_next_destroys(1);
    /// assert_eq!(manager.stop()?.destroy_errors, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn panic_next_destroys(&self, count: u64) {
        self.order(|orders| orders.panicking_destroys = count);
    }

    /// Every destruction that begins from now on waits at the gate that this gives back.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let kit = tasker::testing::Kit::new();
    /// let manager = tasker::TaskManager::new(kit.config().worker_count(1).resource_pool_size(0))?;
    /// let slow = kit.hang_destroys();
    /// let report = manager.stop_within(Duration::ZERO)?; // does not wait for the slow destruction
    /// assert_eq!((report.resources_created, report.resources_destroyed), (1, 0));
    /// slow.open();
    /// kit.wait_until(|counts| counts.destroyed == 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use = "whoever destroys waits until the gate is opened"]
    pub fn hang_destroys(&self) -> Gate {
        let gate = Gate::new();
        self.order(|orders| orders.destroy_gate = Some(gate.clone()));
        gate
    }

    /// Takes back every order and opens the gates: from now on everything works.
    ///
    /// ```
    /// let kit = tasker::testing::Kit::new();
    /// kit.take_down();
    /// assert!(tasker::TaskManager::new(kit.config().worker_count(1)).is_err());
    /// kit.heal();
    /// assert!(tasker::TaskManager::new(kit.config().worker_count(1)).is_ok());
    /// ```
    pub fn heal(&self) {
        let old = self.0.change(|state| std::mem::take(&mut state.orders));
        for gate in [old.create_gate, old.destroy_gate].into_iter().flatten() {
            gate.open(); // without the lock, since it wakes whoever waits there
        }
    }

    // What there is.

    /// How many there are and were.
    ///
    /// ```
    /// let kit = tasker::testing::Kit::new();
    /// let manager = tasker::TaskManager::new(kit.config().worker_count(2).resource_pool_size(1))?;
    /// assert_eq!((kit.counts().created, kit.counts().live), (3, 3));
    /// manager.stop()?;
    /// assert_eq!((kit.counts().destroyed, kit.counts().live, kit.counts().peak), (3, 0, 3));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.0.look(|state| state.counts)
    }

    /// Blocks until the counts satisfy `holds`.
    ///
    /// ```
    /// let kit = tasker::testing::Kit::new();
    /// let manager = tasker::TaskManager::new(kit.config().worker_count(2))?;
    /// drop(manager); // does not wait for the end
    /// kit.wait_until(|counts| counts.live == 0);
    /// kit.assert_all_destroyed_once();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// It blocks its thread. Where that is the one that has to run the hooks, as in a current-thread runtime, ask for
    /// the [`counts`](Self::counts) between `tokio::task::yield_now().await` instead, as
    /// [`Gate::await_arrivals`](super::Gate::await_arrivals) shows for its own.
    ///
    /// # Panics
    ///
    /// If it does not come to that within [`LIMIT`]; the message has the counts.
    #[track_caller]
    pub fn wait_until(&self, mut holds: impl FnMut(&Counts) -> bool) {
        let end = end_of_patience();
        let mut counts = self.counts();
        // It is asked without the lock, and may ask the kit itself.
        while !holds(&counts) {
            let news = |state: &State| (state.counts != counts).then_some(state.counts);
            match self.0.wait_for(end, news) {
                Some(news) => counts = news,
                None => panic!("it did not come to that in {LIMIT:?}: {counts:?}"),
            }
        }
    }

    /// Fails the test unless every resource that was made went through `on_destroy` exactly once. For the end
    /// of a test, when the manager's `stop` or `kill` has returned.
    ///
    /// # Panics
    ///
    /// If that is not so; the message names every resource that was leaked, lost or destroyed twice:
    ///
    /// ```should_panic
    /// let kit = tasker::testing::Kit::new();
    /// let leaked = kit.create();
    /// kit.assert_all_destroyed_once(); // "resource 1 was never destroyed"
    /// ```
    #[track_caller]
    pub fn assert_all_destroyed_once(&self) {
        let mut wrong = self.0.look(|state| {
            let wrong = state.fates.iter().filter_map(|(id, fate)| match fate {
                Fate::Held => Some(format!("resource {id} was never destroyed")),
                Fate::Going => Some(format!("resource {id} is still being destroyed")),
                Fate::Gone(1) => None,
                Fate::Gone(times) => Some(format!("resource {id} was destroyed {times} times")),
                Fate::Lost => Some(format!("resource {id} was dropped without on_destroy")),
            });
            wrong.collect::<Vec<_>>()
        });
        let Counts { creates, failed_creates, created, .. } = self.counts();
        let creating = creates - failed_creates - created;
        if creating > 0 {
            wrong.push(format!("{creating} still being created"));
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    // The hooks.

    /// The kit's `on_create`, for a configuration of your own.
    ///
    /// ```
    /// use tasker::testing::{Fault, Faulty, Kit};
    /// use tasker::{Config, TaskManager};
    ///
    /// struct Client { connection: Faulty, calls: u32 }
    ///
    /// let kit = Kit::new();
    /// let (create, destroy) = (kit.clone(), kit.clone());
    /// let config = Config::new(move || Ok(Client { connection: create.create()?, calls: 0 }))
    ///     .on_destroy(move |client: Client| destroy.destroy(client.connection))
    ///     .check_health(Fault::is_healthy)
    ///     .worker_count(1);
    /// let manager = TaskManager::new(config)?;
    /// let calls = manager.queue_task(|_, client| {
    ///     client.connection.work()?;
    ///     client.calls += 1;
    ///     Ok(client.calls)
    /// })?;
    /// assert_eq!(calls, 1);
    /// manager.stop()?;
    /// kit.assert_all_destroyed_once();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Fault::Create`], on order.
    ///
    /// # Panics
    ///
    /// On order; and if it hangs on order for [`LIMIT`].
    pub fn create(&self) -> Result<Faulty, Fault> {
        let creation = self.begin_create();
        if let Some(gate) = &creation.orders.gate {
            gate.wait();
        }
        creation.end()
    }

    /// As [`create`](Self::create), for async managers. Dropping the future counts as a creation that failed.
    ///
    /// ```
    /// # #[cfg(feature = "tokio")]
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use tasker::testing::{Faulty, Kit};
    /// use tasker::{AsyncConfig, AsyncTaskManager};
    ///
    /// struct Client { connection: Faulty }
    ///
    /// let kit = Kit::new();
    /// let (create, destroy) = (kit.clone(), kit.clone());
    /// let config = AsyncConfig::new(move || {
    ///     let kit = create.clone();
    ///     async move { Ok(Client { connection: kit.create_async().await? }) }
    /// })
    /// .on_destroy(move |client: Client| {
    ///     let kit = destroy.clone();
    ///     async move { kit.destroy_async(client.connection).await }
    /// });
    /// let manager = AsyncTaskManager::new(config.worker_count(1)).await?;
    /// manager.queue_task(async |_, client| client.connection.work()).await?;
    /// manager.stop().await?;
    /// kit.assert_all_destroyed_once();
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "tokio"))]
    /// # fn main() {}
    /// ```
    ///
    /// # Errors
    ///
    /// [`Fault::Create`], on order.
    ///
    /// # Panics
    ///
    /// On order.
    pub async fn create_async(&self) -> Result<Faulty, Fault> {
        let creation = self.begin_create();
        if let Some(gate) = &creation.orders.gate {
            gate.pass().await;
        }
        creation.end()
    }

    /// The kit's `on_destroy`, for a configuration of your own. [`create`](Self::create) has one; here it is called
    /// by hand:
    ///
    /// ```
    /// use tasker::testing::{Fault, Kit};
    ///
    /// let kit = Kit::new();
    /// kit.fail_next_destroys(1);
    /// let resource = kit.create()?;
    /// assert_eq!(kit.destroy(resource), Err(Fault::Destroy));
    /// kit.assert_all_destroyed_once(); // it went there, however that ended
    /// # Ok::<(), Fault>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Fault::Destroy`], on order.
    ///
    /// # Panics
    ///
    /// On order; and if it hangs on order for [`LIMIT`].
    pub fn destroy(&self, resource: Faulty) -> Result<(), Fault> {
        let destruction = self.begin_destroy(resource);
        if let Some(gate) = &destruction.orders.gate {
            gate.wait();
        }
        destruction.end()
    }

    /// As [`destroy`](Self::destroy), for async managers; [`create_async`](Self::create_async) has a configuration.
    /// Dropping the future counts as a destruction that failed:
    ///
    /// ```
    /// # #[cfg(feature = "tokio")]
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tasker::testing::Fault> {
    /// use std::time::Duration;
    /// use tasker::testing::Kit;
    ///
    /// let kit = Kit::new();
    /// let _slow = kit.hang_destroys();
    /// let resource = kit.create_async().await?;
    /// tokio::time::timeout(Duration::from_millis(1), kit.destroy_async(resource)).await.unwrap_err();
    /// assert_eq!((kit.counts().destroyed, kit.counts().failed_destroys), (1, 1));
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "tokio"))]
    /// # fn main() {}
    /// ```
    ///
    /// # Errors
    ///
    /// [`Fault::Destroy`], on order.
    ///
    /// # Panics
    ///
    /// On order.
    pub async fn destroy_async(&self, resource: Faulty) -> Result<(), Fault> {
        let destruction = self.begin_destroy(resource);
        if let Some(gate) = &destruction.orders.gate {
            gate.pass().await;
        }
        destruction.end()
    }

    fn begin_create(&self) -> Creation {
        let (id, orders) = self.0.change(|State { counts, orders, .. }| {
            counts.creates += 1;
            counts.live += 1;
            counts.peak = counts.peak.max(counts.live);
            let id = counts.creates;
            let panics = orders.panicking_calls.remove(&id) || spend(&mut orders.panicking_creates);
            let fails = !panics
                && (orders.down
                    || orders.failing_calls.remove(&id)
                    || spend(&mut orders.failing_creates));
            (id, HookOrders { gate: orders.create_gate.clone(), panics, fails })
        });
        Creation { kit: self.clone(), id, orders, made: false }
    }

    fn begin_destroy(&self, mut resource: Faulty) -> Destruction {
        resource.spent = true;
        let id = resource.id;
        let (before, orders) = self.0.change(|State { counts, orders, fates }| {
            counts.destroying += 1;
            let before = match fates.insert(id, Fate::Going) {
                Some(Fate::Gone(times)) => times,
                _ => 0,
            };
            let panics = spend(&mut orders.panicking_destroys);
            let fails = !panics && spend(&mut orders.failing_destroys);
            (before, HookOrders { gate: orders.destroy_gate.clone(), panics, fails })
        });
        Destruction { kit: self.clone(), id, before, orders, done: false }
    }

    /// A use of a resource, its `uses`-th.
    pub(super) fn use_of(&self, id: u64, uses: u64) -> Result<(), Fault> {
        let (panics, fails) = self.0.change(|State { counts, orders, .. }| {
            counts.uses += 1;
            let panics = spend(&mut orders.panicking_uses);
            let worn = orders.lasting.is_some_and(|lasting| uses > lasting);
            let fails = !panics && (worn || spend(&mut orders.failing_uses));
            counts.failed_uses += u64::from(panics || fails);
            (panics, fails)
        });
        assert!(!panics, "a use of resource {id} panics on order");
        if fails { Err(Fault::Unhealthy) } else { Ok(()) }
    }

    /// A resource was dropped without `on_destroy`.
    pub(super) fn lose(&self, id: u64) {
        self.0.change(|State { counts, fates, .. }| {
            fates.insert(id, Fate::Lost);
            counts.lost += 1;
            counts.live = counts.live.saturating_sub(1); // it may have been destroyed, too
        });
    }

    fn order(&self, order: impl FnOnce(&mut Orders)) {
        self.0.change(|state| order(&mut state.orders));
    }

    /// Gives an order for one call, if it has not begun; says how many have.
    fn order_nth(&self, n: u64, calls: impl FnOnce(&mut Orders) -> &mut BTreeSet<u64>) -> u64 {
        self.0.change(|State { counts, orders, .. }| {
            if n > counts.creates {
                calls(orders).insert(n);
            }
            counts.creates
        })
    }
}

impl fmt::Debug for Kit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Kit").field(&self.counts()).finish()
    }
}

/// What one call of a hook was ordered to do.
struct HookOrders {
    gate: Option<Gate>,
    panics: bool,
    fails: bool,
}

/// A call of `on_create` under way. Its drop accounts for it, also where its future is dropped.
struct Creation {
    kit: Kit,
    id: u64,
    orders: HookOrders,
    made: bool,
}

impl Creation {
    fn end(mut self) -> Result<Faulty, Fault> {
        assert!(!self.orders.panics, "creation {} panics on order", self.id);
        if self.orders.fails {
            return Err(Fault::Create);
        }
        self.made = true;
        Ok(Faulty { id: self.id, uses: 0, kit: self.kit.clone(), spent: false })
    }
}

impl Drop for Creation {
    fn drop(&mut self) {
        self.kit.0.change(|State { counts, fates, .. }| {
            if self.made {
                counts.created += 1;
                fates.insert(self.id, Fate::Held);
            } else {
                counts.failed_creates += 1;
                counts.live -= 1;
            }
        });
    }
}

/// A call of `on_destroy` under way. Its drop accounts for it, also where its future is dropped.
struct Destruction {
    kit: Kit,
    id: u64,
    /// How often the resource went to `on_destroy` before.
    before: u64,
    orders: HookOrders,
    done: bool,
}

impl Destruction {
    fn end(mut self) -> Result<(), Fault> {
        assert!(!self.orders.panics, "destruction of resource {} panics on order", self.id);
        if self.orders.fails {
            return Err(Fault::Destroy);
        }
        self.done = true;
        Ok(())
    }
}

impl Drop for Destruction {
    fn drop(&mut self) {
        self.kit.0.change(|State { counts, fates, .. }| {
            counts.destroying -= 1;
            counts.destroyed += 1;
            counts.failed_destroys += u64::from(!self.done);
            counts.live = counts.live.saturating_sub(1); // twice, where it is destroyed twice
            fates.insert(self.id, Fate::Gone(self.before + 1));
        });
    }
}

/// Takes one off an order, if it is not carried out yet.
fn spend(order: &mut u64) -> bool {
    let due = *order > 0;
    *order -= u64::from(due);
    due
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::{Fault, Faulty, Kit};

    /// What `assert_all_destroyed_once` says, if it is not content.
    fn complaint(kit: &Kit) -> Option<String> {
        let asserted = catch_unwind(AssertUnwindSafe(|| kit.assert_all_destroyed_once()));
        let text = |payload: Box<dyn std::any::Any + Send>| *payload.downcast().expect("a text");
        asserted.err().map(text)
    }

    // Promise 3, as a user checks it.
    #[test]
    fn what_was_leaked_lost_or_destroyed_twice_is_named() {
        let kit = Kit::new();
        let [_leaked, twice, lost, fine] = [(); 4].map(|()| kit.create().unwrap());
        let copy = Faulty { id: twice.id, uses: 0, kit: kit.clone(), spent: false };
        for resource in [twice, copy, fine] {
            kit.destroy(resource).unwrap();
        }
        drop(lost);
        let told = complaint(&kit).expect("something is wrong");
        assert_eq!(
            told,
            "resource 1 was never destroyed\n\
             resource 2 was destroyed 2 times\n\
             resource 3 was dropped without on_destroy"
        );
    }

    #[test]
    fn a_kit_whose_resources_are_gone_is_content() {
        let kit = Kit::new();
        kit.fail_nth_create(2);
        assert_eq!(complaint(&kit), None);
        let first = kit.create().unwrap();
        assert_eq!(kit.create().unwrap_err(), Fault::Create);
        kit.fail_next_destroys(1);
        assert_eq!(kit.destroy(first), Err(Fault::Destroy));
        assert_eq!(complaint(&kit), None);
    }

    #[test]
    #[should_panic(expected = "creation 1 cannot fail any more: 1 have begun")]
    fn an_order_that_comes_too_late_is_refused() {
        let kit = Kit::new();
        let first = kit.create().unwrap();
        kit.destroy(first).unwrap();
        kit.fail_nth_create(1);
    }

    #[test]
    fn hooks_that_panic_leave_right_counts_behind() {
        let kit = Kit::new();
        kit.panic_next_creates(1);
        assert!(catch_unwind(AssertUnwindSafe(|| kit.create())).is_err());
        let resource = kit.create().unwrap();
        kit.panic_next_destroys(1);
        assert!(catch_unwind(AssertUnwindSafe(|| kit.destroy(resource))).is_err());
        let counts = kit.counts();
        assert_eq!((counts.creates, counts.failed_creates, counts.created), (2, 1, 1));
        assert_eq!((counts.destroyed, counts.failed_destroys, counts.live), (1, 1, 0));
        assert_eq!(complaint(&kit), None);
    }

    #[test]
    fn healing_takes_back_every_order_and_opens_the_gates() {
        let kit = Kit::new();
        let (creates, destroys) = (kit.hang_creates(), kit.hang_destroys());
        kit.take_down();
        kit.panic_next_creates(5);
        kit.unhealthy_after(0);
        kit.fail_next_uses(5);
        kit.panic_next_destroys(5);
        kit.heal();
        assert!(creates.is_open() && destroys.is_open());
        let mut resource = kit.create().unwrap();
        assert_eq!(resource.work(), Ok(1));
        assert_eq!(kit.destroy(resource), Ok(()));
    }
}
