//! Promise 3: every resource that `on_create` returned goes to `on_destroy` exactly once, on every path.

use tasker::BuildError;

use super::jobs::{fails, is_sick, panics, returns, runs_until_cancelled};
use super::kinds::Kind;
use super::settings::Settings;
use crate::support::{Fault, Gate, Kit, assert_complete};

on_every_kind![
    whatever_becomes_of_tasks_every_resource_is_destroyed_once,
    a_kill_destroys_every_resource_once,
    a_failed_destruction_is_one_all_the_same,
    a_manager_that_cannot_be_built_destroys_what_it_had,
    a_manager_whose_creation_panics_is_not_built,
    numbers_that_contradict_each_other_build_nothing,
];

// Promise 3.
fn whatever_becomes_of_tasks_every_resource_is_destroyed_once<K: Kind>() {
    let kit = Kit::new();
    let manager = K::build(Settings { pool: 1, ..Settings::new(&kit, 2) });
    let busy = manager.occupy(2);
    for job in [returns(), fails(Fault::Own), fails(Fault::Sick), panics()] {
        let _ = manager.run_now(job.clone()); // from the pool, or with a temporary resource
        let _ = manager.run_now(job);
    }
    busy.release();
    for job in [returns(), fails(Fault::Own), fails(Fault::Sick), panics(), is_sick(2)] {
        let handle = manager.submit(job.clone());
        let _ = manager.run(job.clone());
        let _ = manager.run(job.once());
        let _ = handle.wait();
    }
    let report = manager.stop().unwrap();
    assert_complete(&report);
    assert_eq!(report.resources_created, kit.created());
    kit.assert_all_destroyed_once();
}

// Promises 3 and 11.
fn a_kill_destroys_every_resource_once<K: Kind>() {
    let (kit, gate) = (Kit::new(), Gate::new());
    let manager = K::build(Settings { pool: 2, ..Settings::new(&kit, 3) });
    let running = manager.submit(runs_until_cancelled(&gate));
    gate.await_arrivals(1);
    let report = manager.kill().unwrap();
    assert_complete(&report);
    assert_eq!(report.resources_created, 5);
    kit.assert_all_destroyed_once();
    assert!(running.wait().is_err());
}

// Promises 3 and 8.
fn a_failed_destruction_is_one_all_the_same<K: Kind>() {
    let kit = Kit::new();
    let manager = K::with(&kit, 3);
    kit.panic_next_destroy();
    kit.fail_next_destroys(1);
    let report = manager.stop().unwrap();
    assert_complete(&report);
    assert_eq!((report.resources_destroyed, report.destroy_errors), (3, 2));
    kit.assert_all_destroyed_once();
}

// Promises 3 and 9.
fn a_manager_that_cannot_be_built_destroys_what_it_had<K: Kind>() {
    let kit = Kit::new();
    kit.fail_create(2);
    let built = K::try_build(Settings { pool: 2, ..Settings::new(&kit, 3) });
    let error = built.err().expect("it fails fast");
    assert!(matches!(error, BuildError::CreateFailed(Fault::Create)), "{error:?}");
    kit.assert_all_destroyed_once();
}

// Promises 3 and 8.
fn a_manager_whose_creation_panics_is_not_built<K: Kind>() {
    let kit = Kit::new();
    kit.panic_create(3);
    let error = K::try_build(Settings::new(&kit, 3)).err().expect("it fails fast");
    let BuildError::CreatePanicked(panic) = error else { panic!("{error:?}") };
    assert_eq!(panic.message(), "on_create panics on order");
    kit.assert_all_destroyed_once();
}

// Section 2 of the interface: checked once, before anything is made.
fn numbers_that_contradict_each_other_build_nothing<K: Kind>() {
    let kit = Kit::new();
    let error = K::try_build(Settings::new(&kit, 0)).err().unwrap();
    assert!(matches!(error, BuildError::NoWorkers), "{error:?}");
    let error = K::try_build(Settings { max_workers: 1, ..Settings::new(&kit, 2) }).err().unwrap();
    let wrong = BuildError::<Fault>::MaxBelowWorkers { worker_count: 2, max_worker_count: 1 };
    assert_eq!(error.to_string(), wrong.to_string());
    assert_eq!(kit.counts().calls, 0);
}
