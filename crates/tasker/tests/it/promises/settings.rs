//! What a manager of any kind is built with.

use std::fmt::Arguments;
use std::sync::Arc;
use std::time::Duration;

use tasker::{
    AsyncConfig, Backoff, CancelToken, Config, Logger, MetricsCollector, Observer, Overflow,
    TaskLifecycleTimestamps, TaskMetrics,
};

use crate::support::{Fault, Kit, Puppet, Res};

/// Whether the resource of that number is sound.
pub(crate) type Sound = Arc<dyn Fn(u64) -> bool + Send + Sync>;

/// Whether an error is the task's own.
pub(crate) type Health = Arc<dyn Fn(&Fault) -> bool + Send + Sync>;

/// The knobs that both configurations have, under the same names.
macro_rules! turn {
    ($settings:expr, $config:expr) => {{
        let settings = $settings;
        let check = settings.check_health;
        let mut config = $config
            .check_health(move |fault| match &check {
                Some(check) => check(fault),
                None => *fault != Fault::Sick,
            })
            .worker_count(settings.workers)
            .max_worker_count(settings.max_workers)
            .resource_pool_size(settings.pool)
            .max_retries(settings.max_retries)
            .overflow(settings.overflow)
            .min_idle(settings.min_idle);
        if let Some(policy) = settings.policy {
            config = config.scaling(policy).burst_interval(Duration::from_millis(1));
        }
        if let Some(backoff) = settings.retry_backoff {
            config = config.retry_backoff(backoff);
        }
        if let Some(tasks) = settings.capacity {
            config = config.queue_capacity(tasks);
        }
        if let Some(age) = settings.max_lifetime {
            config = config.max_lifetime(age);
        }
        if let Some(uses) = settings.max_uses {
            config = config.max_uses(uses);
        }
        if let Some(parent) = settings.shutdown_on {
            config = config.shutdown_on(parent);
        }
        if let Some(logger) = settings.logger {
            config = config.logger(Shared(logger));
        }
        if let Some(collector) = settings.collector {
            config = config.collector(Shared(collector));
        }
        for observer in settings.observers {
            config = config.observer(Shared(observer));
        }
        config
    }};
}
/// Every setting that the tests turn; `Settings { max_retries: 1, ..Settings::new(&kit, 2) }`.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) kit: Kit,
    pub(crate) workers: usize,
    pub(crate) max_workers: usize,
    pub(crate) pool: usize,
    pub(crate) max_retries: u32,
    pub(crate) retry_backoff: Option<Backoff>,
    pub(crate) capacity: Option<usize>,
    pub(crate) overflow: Overflow,
    pub(crate) max_lifetime: Option<Duration>,
    pub(crate) max_uses: Option<u64>,
    pub(crate) min_idle: usize,
    /// In place of the library's own policy, and asked again and again.
    pub(crate) policy: Option<Puppet>,
    /// Asked whenever the resource was idle.
    pub(crate) validate: Option<Sound>,
    pub(crate) check_health: Option<Health>,
    pub(crate) shutdown_on: Option<CancelToken>,
    pub(crate) logger: Option<Arc<dyn Logger>>,
    pub(crate) collector: Option<Arc<dyn MetricsCollector>>,
    pub(crate) observers: Vec<Arc<dyn Observer>>,
}

impl Settings {
    /// Exactly `workers` workers, without a pool, on `kit`; and the library's own defaults.
    pub(crate) fn new(kit: &Kit, workers: usize) -> Self {
        Self {
            kit: kit.clone(),
            workers,
            max_workers: workers,
            pool: 0,
            max_retries: 3,
            retry_backoff: None,
            capacity: None,
            overflow: Overflow::Wait,
            max_lifetime: None,
            max_uses: None,
            min_idle: 0,
            policy: None,
            validate: None,
            check_health: None,
            shutdown_on: None,
            logger: None,
            collector: None,
            observers: Vec::new(),
        }
    }

    /// For a `TaskManager`.
    pub(crate) fn config(self) -> Config<Res, Fault> {
        let (create, destroy) = (self.kit.clone(), self.kit.clone());
        let config =
            Config::new(move || create.create()).on_destroy(move |res| destroy.destroy(res));
        let config = match self.validate.clone() {
            Some(sound) => {
                config.validate(move |res| sound(res.id())).validate_after(Duration::ZERO)
            }
            None => config,
        };
        turn!(self, config)
    }

    /// For an `AsyncTaskManager`.
    pub(crate) fn async_config(self) -> AsyncConfig<Res, Fault> {
        let (create, destroy) = (self.kit.clone(), self.kit.clone());
        let config = AsyncConfig::new(move || create.clone().create_async())
            .on_destroy(move |res| destroy.clone().destroy_async(res));
        let config = match self.validate.clone() {
            Some(sound) => config
                .validate(move |res| {
                    let sound = sound(res.id());
                    Box::pin(async move { sound })
                })
                .validate_after(Duration::ZERO),
            None => config,
        };
        turn!(self, config)
    }
}

/// One that several managers may be given.
struct Shared<T: ?Sized>(Arc<T>);

impl Logger for Shared<dyn Logger> {
    fn debug(&self, message: Arguments<'_>) {
        self.0.debug(message);
    }
    fn info(&self, message: Arguments<'_>) {
        self.0.info(message);
    }
    fn warn(&self, message: Arguments<'_>) {
        self.0.warn(message);
    }
    fn error(&self, message: Arguments<'_>) {
        self.0.error(message);
    }
}

impl MetricsCollector for Shared<dyn MetricsCollector> {
    fn record_arrival(&self) {
        self.0.record_arrival();
    }
    fn record_completion(&self, stamps: &TaskLifecycleTimestamps) {
        self.0.record_completion(stamps);
    }
    fn record_failure(&self, stamps: &TaskLifecycleTimestamps) {
        self.0.record_failure(stamps);
    }
    fn record_retry(&self) {
        self.0.record_retry();
    }
    fn metrics(&self) -> TaskMetrics {
        self.0.metrics()
    }
}

impl Observer for Shared<dyn Observer> {
    fn on_event(&self, event: &tasker::Event<'_>) {
        self.0.on_event(event);
    }
}
