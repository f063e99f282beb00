//! Promise 7: a healthy error is the task's own.

use std::sync::Arc;

use tasker::TaskError;

use super::jobs::{fails, returns};
use super::kinds::Kind;
use super::settings::{Health, Settings};
use super::watch::await_rest;
use crate::support::{Fault, Kit, assert_complete};

on_every_kind![
    a_healthy_error_ends_the_task_at_once_and_the_resource_stays,
    check_health_decides_which_errors_are_healthy,
];

// Promise 7.
fn a_healthy_error_ends_the_task_at_once_and_the_resource_stays<K: Kind>() {
    let kit = Kit::new();
    let manager = K::with(&kit, 1);
    let doors = [K::run, K::run_now, |manager: &K, job| manager.submit(job).wait()];
    for door in doors {
        await_rest(&manager, 1);
        let ending = door(&manager, fails(Fault::Own));
        assert!(matches!(ending, Err(TaskError::Failed(Fault::Own))), "{ending:?}");
        await_rest(&manager, 1);
        assert_eq!(door(&manager, returns()).unwrap(), 1);
    }
    assert_eq!((kit.created(), kit.destroyed()), (1, 0));
    assert_eq!(manager.metrics().total_tasks_retried, 0);
    assert_complete(&manager.stop().unwrap());
}

// Promises 6 and 7.
fn check_health_decides_which_errors_are_healthy<K: Kind>() {
    let kit = Kit::new();
    let healthy: Option<Health> = Some(Arc::new(|fault| *fault != Fault::Own));
    let manager = K::build(Settings { check_health: healthy, ..Settings::new(&kit, 1) });
    let ending = manager.run(fails(Fault::Sick));
    assert!(matches!(ending, Err(TaskError::Failed(Fault::Sick))), "{ending:?}");
    assert!(!kit.is_gone(1));
    let ending = manager.run(fails(Fault::Own));
    assert!(matches!(ending, Err(TaskError::RetriesExhausted { attempts: 4, .. })), "{ending:?}");
    assert!(kit.is_gone(1));
    assert_complete(&manager.stop().unwrap());
}
