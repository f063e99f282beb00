//! Tells everyone who watches: logger, metrics collector, observers. Nothing flows back.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use crate::event::{Event, Observer};
use crate::logger::{Level, Logger};
use crate::metrics::{Arrivals, Collector, MetricsCollector, TaskLifecycleTimestamps, TaskMetrics};
use crate::outcome::{Outcome, Panic};
use crate::sync::{AtomicU64, Ordering};
use crate::worker::attempt::{contain, discard, on_behalf};

/// Every watcher of one manager. A panic in any of them is caught, and logged where that is possible.
pub(crate) struct Reporter {
    pub(crate) logger: Box<dyn Logger>,
    pub(crate) metrics: Metrics,
    pub(crate) observers: Vec<Box<dyn Observer>>,
    pub(crate) sequence: Arc<AtomicU64>,
}

/// Who counts and times tasks.
pub(crate) enum Metrics {
    /// The default. Its arrivals are counted by the queue, which holds a lock then anyway.
    Own(Box<Collector>),
    Given(Box<dyn MetricsCollector>),
}

impl Reporter {
    fn manager(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Identifies the manager to [`is_working_for`](crate::worker::attempt::is_working_for): the
    /// address of what lives exactly as long as it.
    pub(crate) fn identity(&self) -> usize {
        self.manager()
    }

    /// The place of an event that is told later.
    pub(crate) fn reserve_sequence(&self) -> u64 {
        if self.observers.is_empty() { 0 } else { self.sequence.fetch_add(1, Ordering::Relaxed) }
    }

    /// Whether it tells nobody who takes time of their own.
    pub(crate) fn is_brief(&self) -> bool {
        self.observers.is_empty() && matches!(self.metrics, Metrics::Own(_))
    }

    /// Tells an event, if anybody listens.
    #[inline]
    pub(crate) fn emit<'a>(&self, event: impl FnOnce(u64) -> Event<'a>) {
        if !self.observers.is_empty() {
            self.emit_at(self.reserve_sequence(), event);
        }
    }

    /// As [`emit`](Self::emit), at a place reserved before.
    pub(crate) fn emit_at<'a>(&self, sequence: u64, event: impl FnOnce(u64) -> Event<'a>) {
        if self.observers.is_empty() {
            return;
        }
        let event = event(sequence);
        for observer in &self.observers {
            if let Err(panic) = on_behalf(self.manager(), || observer.on_event(&event)) {
                self.panicked("an observer", panic);
            }
        }
    }

    pub(crate) fn arrival(&self, at: Instant) {
        if let Metrics::Given(collector) = &self.metrics {
            self.note(&**collector, |collector| collector.record_arrival_at(at));
        }
    }

    pub(crate) fn retry(&self) {
        match &self.metrics {
            Metrics::Own(collector) => collector.record_retry(),
            Metrics::Given(collector) => self.note(&**collector, MetricsCollector::record_retry),
        }
    }

    /// A task that had started has ended.
    #[inline]
    pub(crate) fn ended(&self, outcome: Outcome, times: &TaskLifecycleTimestamps) {
        match (&self.metrics, outcome) {
            (Metrics::Own(collector), Outcome::Completed) => collector.record_completion(times),
            (Metrics::Own(collector), _) => collector.record_failure(times),
            (Metrics::Given(collector), Outcome::Completed) => {
                self.note(&**collector, |collector| collector.record_completion(times));
            }
            (Metrics::Given(collector), _) => {
                self.note(&**collector, |collector| collector.record_failure(times));
            }
        }
    }

    /// The figures as of `now`; `arrivals` adds those that the queue has counted.
    pub(crate) fn metrics(
        &self,
        now: Instant,
        arrivals: impl FnOnce(&mut Arrivals),
    ) -> TaskMetrics {
        let collector = match &self.metrics {
            Metrics::Own(collector) => return collector.metrics_with(now, arrivals),
            Metrics::Given(collector) => collector,
        };
        match on_behalf(self.manager(), || collector.metrics()) {
            Ok(metrics) => metrics,
            Err(panic) => {
                self.panicked("the metrics collector", panic);
                TaskMetrics::default()
            }
        }
    }

    fn note(&self, collector: &dyn MetricsCollector, note: impl FnOnce(&dyn MetricsCollector)) {
        // No `on_behalf`: this is the hot path, and a collector that stops its own manager is no use.
        if let Err(panic) = contain(|| note(collector)) {
            self.panicked("the metrics collector", panic);
        }
    }

    /// Something of the user's panicked where nobody waits for its result.
    pub(crate) fn panicked(&self, who: &str, panic: Panic) {
        self.log(Level::Error, format_args!("{who} panicked: {}", panic.message()));
        discard(panic);
    }

    pub(crate) fn log(&self, level: Level, message: fmt::Arguments<'_>) {
        let logged = on_behalf(self.manager(), || {
            if !self.logger.enabled(level) {
                return;
            }
            match level {
                Level::Debug => self.logger.debug(message),
                Level::Info => self.logger.info(message),
                Level::Warn => self.logger.warn(message),
                Level::Error => self.logger.error(message),
            }
        });
        if let Err(panic) = logged {
            discard(panic); // there is nobody left to tell
        }
    }
}
