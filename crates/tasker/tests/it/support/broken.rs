//! Somebody who watches, and panics at everything that it is told.

use std::fmt::Arguments;

use tasker::{Event, Logger, MetricsCollector, Observer, TaskLifecycleTimestamps, TaskMetrics};

pub(crate) struct Broken;

impl Logger for Broken {
    fn debug(&self, _: Arguments<'_>) {
        panic!("debug");
    }
    fn info(&self, _: Arguments<'_>) {
        panic!("info");
    }
    fn warn(&self, _: Arguments<'_>) {
        panic!("warn");
    }
    fn error(&self, _: Arguments<'_>) {
        panic!("error");
    }
}

impl MetricsCollector for Broken {
    fn record_arrival(&self) {
        panic!("arrival");
    }
    fn record_completion(&self, _: &TaskLifecycleTimestamps) {
        panic!("completion");
    }
    fn record_failure(&self, _: &TaskLifecycleTimestamps) {
        panic!("failure");
    }
    fn record_retry(&self) {
        panic!("retry");
    }
    fn metrics(&self) -> TaskMetrics {
        panic!("metrics");
    }
}

impl Observer for Broken {
    fn on_event(&self, _: &Event<'_>) {
        panic!("event");
    }
}
