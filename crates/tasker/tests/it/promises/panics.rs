//! Promise 8: panics are contained, whosever they are.

use std::sync::Arc;
use std::sync::mpsc::channel;

use tasker::{Logger, TaskError};

use super::jobs::{Notes, fails, is_sick, panics, returns};
use super::kinds::Kind;
use super::settings::{Health, Settings, Sound};
use super::watch::await_rest;
use crate::support::{Broken, Fault, Kit, LIMIT, Log, assert_complete};

on_every_kind![
    a_panic_of_a_task_is_not_retried_and_replaces_the_resource,
    a_panic_of_a_task_leaves_the_others_alone,
    a_panicking_creation_ends_the_run_task_that_needed_it,
    a_worker_survives_a_panicking_creation,
    a_worker_survives_a_panicking_destruction,
    a_panicking_check_health_counts_as_healthy,
    a_panicking_callback_is_logged_and_loses_no_worker,
    a_panicking_validation_condemns_the_resource,
    panicking_observers_change_nothing,
];

// Promise 8.
fn a_panic_of_a_task_is_not_retried_and_replaces_the_resource<K: Kind>() {
    let (kit, notes) = (Kit::new(), Notes::default());
    let manager = K::with(&kit, 1);
    let job = job!([notes], |_, res| {
        notes.write(res.id());
        panic!("in the middle of something")
    });
    for door in [K::run, K::run_now, |manager: &K, job| manager.submit(job).wait()] {
        await_rest(&manager, 1);
        let ending = door(&manager, job.clone());
        let Err(TaskError::Panicked(panic)) = ending else { panic!("{ending:?}") };
        assert_eq!(panic.message(), "in the middle of something");
        assert!(manager.run(returns()).is_ok());
    }
    assert_eq!(notes.read(), [1, 2, 3]);
    assert!((1..=3).all(|id| kit.is_gone(id)));
    assert_eq!(manager.metrics().total_tasks_retried, 0);
    assert_complete(&manager.stop().unwrap());
    kit.assert_all_destroyed_once();
}

// Promise 8.
fn a_panic_of_a_task_leaves_the_others_alone<K: Kind>() {
    let kit = Kit::new();
    let manager = K::with(&kit, 2);
    let busy = manager.occupy(1);
    assert!(manager.submit(panics()).wait().is_err());
    assert!(manager.submit(returns()).wait().is_ok());
    busy.release();
    assert_eq!(manager.stop().unwrap().completed, 2);
}

// Promise 8.
fn a_panicking_creation_ends_the_run_task_that_needed_it<K: Kind>() {
    let kit = Kit::new();
    let manager = K::with(&kit, 1);
    let busy = manager.occupy(1);
    kit.panic_next_create();
    let ending = manager.run_now(returns());
    let Err(TaskError::Panicked(panic)) = ending else { panic!("{ending:?}") };
    assert_eq!(panic.message(), "on_create panics on order");
    assert_eq!(manager.run_now(returns()).unwrap(), 3);
    busy.release();
    assert_complete(&manager.stop().unwrap());
}

// Promises 8 and 9.
fn a_worker_survives_a_panicking_creation<K: Kind>() {
    let (kit, log) = (Kit::new(), Log::default());
    let logger: Option<Arc<dyn Logger>> = Some(Arc::new(log.clone()));
    let manager = K::build(Settings { logger, ..Settings::new(&kit, 1) });
    kit.panic_create(2);
    assert_eq!(manager.run(is_sick(1)).unwrap(), 2);
    assert_eq!(manager.run(returns()).unwrap(), 3);
    assert_eq!(log.count("on_create panics on order"), 1);
    assert_complete(&manager.stop().unwrap());
}

// Promises 3 and 8.
fn a_worker_survives_a_panicking_destruction<K: Kind>() {
    let (kit, log) = (Kit::new(), Log::default());
    let logger: Option<Arc<dyn Logger>> = Some(Arc::new(log.clone()));
    let manager = K::build(Settings { logger, ..Settings::new(&kit, 1) });
    kit.panic_next_destroy();
    assert_eq!(manager.run(is_sick(1)).unwrap(), 2);
    assert_eq!(log.count("on_destroy panics on order"), 1);
    let report = manager.stop().unwrap();
    assert_complete(&report);
    assert_eq!(report.destroy_errors, 1);
    kit.assert_all_destroyed_once();
}

// Promise 8: a check that panics has not said that the error is unhealthy.
fn a_panicking_check_health_counts_as_healthy<K: Kind>() {
    let kit = Kit::new();
    let no_idea: Option<Health> = Some(Arc::new(|_| panic!("no idea")));
    let manager = K::build(Settings { check_health: no_idea, ..Settings::new(&kit, 1) });
    for ending in [manager.run(fails(Fault::Sick)), manager.submit(fails(Fault::Sick)).wait()] {
        assert!(matches!(ending, Err(TaskError::Failed(Fault::Sick))), "{ending:?}");
    }
    assert_eq!(manager.run(returns()).unwrap(), 1);
    assert_complete(&manager.stop().unwrap());
}

// Promise 8.
fn a_panicking_callback_is_logged_and_loses_no_worker<K: Kind>() {
    let (kit, log) = (Kit::new(), Log::default());
    let logger: Option<Arc<dyn Logger>> = Some(Arc::new(log.clone()));
    let manager = K::build(Settings { logger, ..Settings::new(&kit, 1) });
    manager.on_complete(returns(), |_| panic!("called back"));
    let (send, receive) = channel();
    manager.on_complete(returns(), move |ending| send.send(ending).unwrap());
    assert_eq!(receive.recv_timeout(LIMIT).unwrap().unwrap(), 1);
    assert_complete(&manager.stop().unwrap());
    manager.on_complete(returns(), |_| panic!("refused")); // on this very thread
    assert_eq!((log.count("called back"), log.count("refused")), (1, 1));
}

// Promise 8.
fn a_panicking_validation_condemns_the_resource<K: Kind>() {
    let kit = Kit::new();
    let validate: Option<Sound> =
        Some(Arc::new(|id| if id == 1 { panic!("no idea") } else { true }));
    let manager = K::build(Settings { validate, ..Settings::new(&kit, 1) });
    await_rest(&manager, 1);
    assert_eq!(manager.run(returns()).unwrap(), 2);
    assert!(kit.is_gone(1));
    assert_complete(&manager.stop().unwrap());
}

// Promises 8 and 15.
fn panicking_observers_change_nothing<K: Kind>() {
    let kit = Kit::new();
    let manager = K::build(Settings {
        logger: Some(Arc::new(Broken)),
        collector: Some(Arc::new(Broken)),
        observers: vec![Arc::new(Broken)],
        pool: 1,
        ..Settings::new(&kit, 1)
    });
    assert_eq!(manager.run(is_sick(1)).unwrap(), 2);
    assert_eq!(manager.submit(is_sick(1)).wait().unwrap(), 2);
    assert!(manager.run(panics()).is_err());
    assert!(manager.run_now(fails(Fault::Sick)).is_err());
    manager.on_complete(returns(), |_| panic!("a callback"));
    assert_eq!(manager.metrics().total_tasks_arrived, 0);
    kit.fail_next_destroys(1);
    let report = manager.stop().unwrap();
    assert_complete(&report);
    assert_eq!((report.completed, report.failed, report.destroy_errors), (3, 2, 1));
    kit.assert_all_destroyed_once();
}
