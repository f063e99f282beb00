//! Promise 15 and the small print of events: who observes sees everything and decides nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tasker::{DestroyReason, Event, MetricsCollector, Observer, Outcome, Phase, TaskMetrics};

use super::jobs::{fails, is_sick, panics, returns};
use super::kinds::Kind;
use super::settings::Settings;
use super::watch::await_rest;
use crate::support::{Fault, Kit, Log, Recorder, What, assert_complete};

on_every_kind![
    a_manager_does_the_same_whoever_observes,
    events_tell_a_task_from_its_arrival_to_its_end,
    events_are_numbered_without_a_repetition,
    events_tell_every_resource_and_worker_from_its_beginning_to_its_end,
    an_observer_may_ask_the_manager,
];

/// What one and the same program comes to.
fn program<K: Kind>(settings: Settings) -> ([u64; 7], Vec<Result<u64, String>>) {
    let kit = settings.kit.clone();
    let manager = K::build(settings);
    let jobs = [panics(), fails(Fault::Own), is_sick(2), fails(Fault::Sick), returns()];
    let mut endings = Vec::new();
    for job in jobs {
        endings.push(manager.run(job.clone()).map_err(|error| error.to_string()));
        endings.push(manager.submit(job.once()).wait().map_err(|error| error.to_string()));
    }
    let report = manager.stop().unwrap();
    assert_complete(&report);
    kit.assert_all_destroyed_once();
    let ends = [report.accepted, report.completed, report.failed, report.cancelled];
    let [accepted, completed, failed, cancelled] = ends;
    let (dropped, made, errors) = (report.dropped, report.resources_created, report.destroy_errors);
    ([accepted, completed, failed, cancelled, dropped, made, errors], endings)
}

/// A collector that counts nothing.
struct Blind;

impl MetricsCollector for Blind {
    fn record_arrival(&self) {}
    fn record_completion(&self, _: &tasker::TaskLifecycleTimestamps) {}
    fn record_failure(&self, _: &tasker::TaskLifecycleTimestamps) {}
    fn record_retry(&self) {}
    fn metrics(&self) -> TaskMetrics {
        TaskMetrics::default()
    }
}

// Promise 15.
fn a_manager_does_the_same_whoever_observes<K: Kind>() {
    let unobserved = program::<K>(Settings::new(&Kit::new(), 1));
    let observed = program::<K>(Settings {
        logger: Some(Arc::new(Log::default())),
        collector: Some(Arc::new(Blind)),
        observers: vec![Arc::new(Recorder::new()), Arc::new(Recorder::new())],
        ..Settings::new(&Kit::new(), 1)
    });
    assert_eq!(unobserved, observed);
}

/// The words of a task's events.
fn word(what: &What) -> Option<(tasker::TaskId, String)> {
    match what {
        What::TaskQueued { id, priority, .. } => Some((*id, format!("queued {priority:?}"))),
        What::TaskStarted { id, attempt, .. } => Some((*id, format!("started {attempt}"))),
        What::TaskRetried { id, attempt, .. } => Some((*id, format!("retried {attempt}"))),
        What::TaskFinished { id, outcome, .. } => Some((*id, format!("finished {outcome:?}"))),
        _ => None,
    }
}

// Small print, "Events": sorted by their numbers, they give each task's events in order.
fn events_tell_a_task_from_its_arrival_to_its_end<K: Kind>() {
    let (kit, seen) = (Kit::new(), Recorder::new());
    let observers: Vec<Arc<dyn Observer>> = vec![Arc::new(seen.clone())];
    let manager = K::build(Settings { observers, ..Settings::new(&kit, 2) });
    let retried = manager.submit(is_sick(1).low());
    let failed = manager.submit(fails(Fault::Own).high());
    let (first, second) = (retried.id(), failed.id());
    assert!(retried.wait().is_ok() && failed.wait().is_err());
    let busy = manager.occupy(2);
    let cancelled = manager.submit(returns());
    let third = cancelled.id();
    cancelled.cancel();
    assert!(cancelled.wait().is_err());
    busy.release();
    assert_complete(&manager.stop().unwrap());
    let mut words: HashMap<_, Vec<String>> = HashMap::new();
    for (id, word) in seen.events().iter().filter_map(|seen| word(&seen.what)) {
        words.entry(id).or_default().push(word);
    }
    let retried = ["queued Low", "started 1", "retried 1", "started 2", "finished Completed"];
    assert_eq!(words[&first], retried);
    assert_eq!(words[&second], ["queued High", "started 1", "finished Failed"]);
    assert_eq!(words[&third], ["queued Normal", "finished Cancelled"]);
}

// Small print, "Events".
fn events_are_numbered_without_a_repetition<K: Kind>() {
    let (kit, seen) = (Kit::new(), Recorder::new());
    let observers: Vec<Arc<dyn Observer>> = vec![Arc::new(seen.clone())];
    let manager = K::build(Settings { observers, ..Settings::new(&kit, 2) });
    let jobs: Vec<_> = (0..30).map(|n| manager.submit(is_sick(n % 3))).collect();
    for job in jobs {
        job.wait().unwrap();
    }
    assert_complete(&manager.stop().unwrap());
    let numbers: Vec<_> = seen.events().iter().map(|seen| seen.sequence).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
    let finished = |outcome| {
        seen.count(
            |what| matches!(what, What::TaskFinished { outcome: how, .. } if *how == outcome),
        )
    };
    assert_eq!(finished(Outcome::Completed), 30);
    assert_eq!(seen.count(|what| matches!(what, What::TaskRetried { .. })), 30);
}

// Small print, "Events"; promise 3.
fn events_tell_every_resource_and_worker_from_its_beginning_to_its_end<K: Kind>() {
    let (kit, seen) = (Kit::new(), Recorder::new());
    let observers: Vec<Arc<dyn Observer>> = vec![Arc::new(seen.clone())];
    let manager = K::build(Settings { observers, pool: 1, ..Settings::new(&kit, 2) });
    kit.fail_create(4);
    assert!(manager.run(is_sick(1)).is_ok() && manager.run(panics()).is_err());
    await_rest(&manager, 2);
    assert_complete(&manager.stop().unwrap());
    let count = |what: fn(&What) -> bool| seen.count(what) as u64;
    let destroyed = count(|what| matches!(what, What::ResourceDestroyed { .. }));
    assert_eq!(count(|what| matches!(what, What::ResourceCreated { .. })), kit.created());
    assert_eq!(destroyed, kit.created());
    assert_eq!(count(|what| matches!(what, What::CreateFailed { panicked: false, .. })), 1);
    for reason in [DestroyReason::Unhealthy, DestroyReason::Panicked] {
        assert_eq!(seen.count(crate::support::gone(reason)), 1, "{reason:?}");
    }
    assert_eq!(count(|what| matches!(what, What::WorkerStarted { .. })), 2);
    assert_eq!(count(|what| matches!(what, What::WorkerStopped { .. })), 2);
    let phases = seen.events().into_iter().filter_map(|seen| match seen.what {
        What::PhaseChanged { phase } => Some(phase),
        _ => None,
    });
    assert_eq!(phases.collect::<Vec<_>>(), [Phase::Stopping, Phase::Stopped]);
}

/// Asks the manager about everything on every event, once it knows it.
struct Curious<K>(Mutex<Option<K>>);

impl<K: Kind> Observer for Curious<K> {
    fn on_event(&self, _: &Event<'_>) {
        let manager = self.0.lock().unwrap().clone();
        if let Some(manager) = manager {
            let _ = (manager.stats(), manager.metrics(), manager.phase(), manager.explain());
        }
    }
}

// Small print, "Events": no observer is ever called under a lock.
fn an_observer_may_ask_the_manager<K: Kind>() {
    let (kit, curious) = (Kit::new(), Arc::new(Curious::<K>(Mutex::new(None))));
    let observers: Vec<Arc<dyn Observer>> = vec![Arc::<Curious<K>>::clone(&curious)];
    let manager = K::build(Settings { observers, ..Settings::new(&kit, 1) });
    *curious.0.lock().unwrap() = Some(manager.clone());
    assert_eq!(manager.run(is_sick(1)).unwrap(), 2);
    assert!(manager.submit(panics()).wait().is_err());
    manager.pause();
    manager.resume();
    manager.resize(2, 2).unwrap();
    let report = manager.stop().unwrap();
    *curious.0.lock().unwrap() = None; // it would keep the manager for ever
    assert_complete(&report);
}
