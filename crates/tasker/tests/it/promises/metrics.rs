//! Promise 14 and its small print: what is counted, and when.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tasker::{MetricsCollector, TaskLifecycleTimestamps, TaskMetrics};

use super::jobs::{fails, is_sick, panics, returns};
use super::kinds::Kind;
use super::settings::Settings;
use crate::support::{Fault, Kit, assert_complete};

on_every_kind![
    every_accepted_task_arrives_and_ends_once,
    what_never_started_is_neither_completed_nor_failed,
    failures_are_timed_too,
    a_collector_of_ones_own_is_told_of_every_arrival,
    what_is_refused_does_not_arrive,
];

// Promise 14; small print, "Metrics".
fn every_accepted_task_arrives_and_ends_once<K: Kind>() {
    let kit = Kit::new();
    let manager = K::with(&kit, 2);
    for job in [returns(), is_sick(2), fails(Fault::Own), fails(Fault::Sick), panics()] {
        let _ = manager.run(job.clone());
        let _ = manager.submit(job).wait();
    }
    manager.run_now(returns()).unwrap();
    assert_complete(&manager.stop().unwrap());
    let metrics = manager.metrics();
    assert_eq!((metrics.total_tasks_arrived, metrics.total_tasks_completed), (11, 5));
    assert_eq!((metrics.total_tasks_failed, metrics.total_tasks_retried), (6, 10));
    assert!((metrics.success_rate - 5.0 / 11.0).abs() < 1e-9, "{metrics:?}");
    assert!((metrics.failure_rate - 6.0 / 11.0).abs() < 1e-9, "{metrics:?}");
    assert!(metrics.min_execution_time <= metrics.p50_execution_time, "{metrics:?}");
    assert!(metrics.p50_execution_time <= metrics.max_execution_time, "{metrics:?}");
}

// Small print, "Metrics".
fn what_never_started_is_neither_completed_nor_failed<K: Kind>() {
    let kit = Kit::new();
    let manager = K::with(&kit, 1);
    let busy = manager.occupy(1);
    let (cancelled, killed) = (manager.submit(returns()), manager.submit(returns()));
    cancelled.cancel();
    assert!(cancelled.wait().is_err());
    manager.pause();
    busy.release();
    assert!(manager.kill().unwrap().dropped == 1 && killed.wait().is_err());
    let metrics = manager.metrics();
    assert_eq!((metrics.total_tasks_arrived, metrics.total_tasks_completed), (3, 1));
    assert_eq!(metrics.total_tasks_failed, 0);
}

#[derive(Default)]
struct Times {
    arrived: AtomicU64,
    completed: Mutex<Vec<TaskLifecycleTimestamps>>,
    failed: Mutex<Vec<TaskLifecycleTimestamps>>,
}

impl MetricsCollector for Times {
    fn record_arrival(&self) {
        self.arrived.fetch_add(1, Ordering::SeqCst);
    }
    fn record_completion(&self, stamps: &TaskLifecycleTimestamps) {
        self.completed.lock().unwrap().push(*stamps);
    }
    fn record_failure(&self, stamps: &TaskLifecycleTimestamps) {
        self.failed.lock().unwrap().push(*stamps);
    }
    fn record_retry(&self) {}
    fn metrics(&self) -> TaskMetrics {
        TaskMetrics::default()
    }
}

// Promise 14; small print: the times are those of the last attempt, `queued_at` is the first queueing.
fn failures_are_timed_too<K: Kind>() {
    let (kit, times) = (Kit::new(), Arc::new(Times::default()));
    let collector: Option<Arc<dyn MetricsCollector>> = Some(Arc::<Times>::clone(&times));
    let manager = K::build(Settings { collector, ..Settings::new(&kit, 1) });
    assert!(manager.run(fails(Fault::Own)).is_err());
    assert!(manager.submit(panics()).wait().is_err());
    assert_eq!(manager.submit(is_sick(1)).wait().unwrap(), 2);
    assert_complete(&manager.stop().unwrap());
    let (failed, completed) = (times.failed.lock().unwrap(), times.completed.lock().unwrap());
    assert_eq!((failed.len(), completed.len()), (2, 1));
    for stamps in failed.iter().chain(completed.iter()) {
        assert!(stamps.queued_at <= stamps.started_at, "{stamps:?}");
        assert!(stamps.started_at <= stamps.finished_at, "{stamps:?}");
    }
    assert!(failed[0].finished_at <= failed[1].queued_at, "one after the other");
}

// Promise 15: whatever door they come by.
fn a_collector_of_ones_own_is_told_of_every_arrival<K: Kind>() {
    let (kit, told) = (Kit::new(), Arc::new(Times::default()));
    let collector: Option<Arc<dyn MetricsCollector>> = Some(Arc::<Times>::clone(&told));
    let manager = K::build(Settings { collector, ..Settings::new(&kit, 1) });
    manager.run(returns()).unwrap();
    manager.submit(returns()).wait().unwrap();
    manager.run_now(returns()).unwrap();
    assert_complete(&manager.stop().unwrap());
    assert_eq!(told.arrived.load(Ordering::SeqCst), 3);
    assert_eq!(told.completed.lock().unwrap().len(), 3);
}

// Small print, "The report adds up" and "Metrics".
fn what_is_refused_does_not_arrive<K: Kind>() {
    let kit = Kit::new();
    let manager = K::with(&kit, 1);
    manager.run(returns()).unwrap();
    manager.stop().unwrap();
    assert!(manager.run(returns()).is_err());
    assert!(manager.submit(returns()).wait().is_err());
    assert!(manager.try_submit(returns()).is_err());
    assert_eq!(manager.metrics().total_tasks_arrived, 1);
    assert_eq!(manager.join().accepted, 1);
}
