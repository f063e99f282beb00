//! Promise 7: a healthy error is the task's own: it fails at once, and the resource stays.

use std::error::Error;
use std::sync::{Arc, Mutex};

use tasker::{Config, TaskError, TaskManager};

use crate::support::{
    Busy, Fault, Kit, LIMIT, Manager, Recorder, What, eventually, on_every_door, on_every_manager,
    within,
};

// Promise 7: one attempt, and the next task finds the same resource.
#[test]
fn a_healthy_error_fails_the_task_at_once_and_keeps_the_resource() {
    on_every_door(|kind, door| {
        let (kit, seen) = (Kit::new(), Recorder::new());
        let manager = kind.build(kit.config(1).observer(seen.clone()));
        for _ in 0..3 {
            let ended = door.send(&manager, |_, _| Err::<(), _>(Fault::Own));
            assert!(matches!(ended, Err(TaskError::Failed(Fault::Own))), "{ended:?}");
        }
        assert_eq!(door.send(&manager, |_, res| Ok(res.id())).unwrap(), 1);
        assert_eq!((kit.created(), kit.destroyed()), (1, 0));
        manager.stop().unwrap();
        assert_eq!(seen.count(|what| matches!(what, What::TaskStarted { .. })), 4);
    });
}

// Promise 7: the same for `run_task`, whose pooled resource goes back to the pool.
#[test]
fn a_healthy_error_of_run_task_keeps_its_resource() {
    on_every_manager(|kind| {
        for pool in [0, 1] {
            let kit = Kit::new();
            let manager = kind.build(kit.config(1).resource_pool_size(pool));
            eventually("the worker is idle", || manager.stats().idle_workers == 1);
            let before = kit.created();
            let ended = manager.run_task(|_, _| Err::<(), _>(Fault::Own));
            assert!(matches!(ended, Err(TaskError::Failed(Fault::Own))), "{ended:?}");
            assert_eq!((kit.created(), kit.destroyed()), (before, 0));
            let pool = if kind == Manager::Local { 0 } else { pool };
            assert_eq!(manager.stats().available_resources, pool);
        }
    });
}

// Promise 7: a temporary resource goes, but as one that has served, not as a condemned one.
#[test]
fn a_healthy_error_on_a_temporary_resource_is_the_tasks_own() {
    for kind in [Manager::Lending, Manager::NotLending] {
        within(LIMIT, move || {
            let manager = kind.build(Kit::new().config(1));
            let busy = Busy::with(&manager, 1);
            let ended = manager.run_task(|_, _| Err::<(), _>(Fault::Own));
            assert!(matches!(ended, Err(TaskError::Failed(Fault::Own))), "{ended:?}");
            busy.release();
        });
    }
}

// Promise 7: without `check_health` no error condemns a resource.
#[test]
fn every_error_is_healthy_by_default() {
    within(LIMIT, || {
        let config = || Config::<u32, Fault>::new(|| Ok(1)).worker_count(1);
        for manager in [TaskManager::new(config()), TaskManager::new_local(config())] {
            let manager = manager.unwrap();
            let ended = manager.queue_task(|_, _| Err::<(), _>(Fault::Sick));
            assert!(matches!(ended, Err(TaskError::Failed(Fault::Sick))), "{ended:?}");
            let created = manager.stop().unwrap().resources_created;
            assert!(created <= 2, "one for the worker and at most one for the pool");
        }
    });
}

// Promise 7: `check_health` judges the very error that the task returned, once an attempt.
#[test]
fn check_health_is_asked_once_for_every_error() {
    on_every_door(|kind, door| {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let note = Arc::clone(&asked);
        let config = Kit::new().config(1).check_health(move |fault| {
            note.lock().unwrap().push(*fault);
            *fault != Fault::Sick
        });
        let manager = kind.build(config);
        door.send(&manager, |_, _| Ok(())).unwrap();
        let _ = door.send(&manager, |cx, _| match cx.attempt() {
            1 => Err::<(), _>(Fault::Sick),
            _ => Err(Fault::Own),
        });
        assert_eq!(*asked.lock().unwrap(), [Fault::Sick, Fault::Own]);
    });
}

// Promise 7: the error comes back as it was, and reads as it reads.
#[test]
fn a_failed_task_tells_its_own_error() {
    on_every_door(|kind, door| {
        let manager = kind.build(Kit::new().config(1));
        let ended = door.send(&manager, |_, _| Err::<(), _>(Fault::Own)).unwrap_err();
        assert_eq!(ended.to_string(), "own fault");
        assert_eq!(ended.inner(), Some(&Fault::Own));
        assert_eq!(ended.into_inner(), Some(Fault::Own));
    });
}

// Promise 7: boxed errors serve, and the task's error is an error again.
#[test]
fn a_boxed_error_is_an_error_of_a_task() {
    type Boxed = Box<dyn Error + Send + Sync>;
    within(LIMIT, || {
        let config = Config::<(), Boxed>::new(|| Ok(())).worker_count(1);
        let manager = TaskManager::new(config).unwrap();
        let number = |text: &'static str| manager.queue_task(move |_, _| Ok(text.parse::<u8>()?));
        assert_eq!(number("7").unwrap(), 7);
        let ended: Box<dyn Error> = Box::new(number("seven").unwrap_err());
        assert_eq!(ended.to_string(), "invalid digit found in string");
    });
}
