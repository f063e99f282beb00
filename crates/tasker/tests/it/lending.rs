//! Lending: a blocking call may run on its caller's thread, and nothing but the thread is different.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};

use tasker::{Config, Phase, Priority, ShutdownReport, TaskError, TaskManager, TaskMetrics};

use crate::support::{Busy, Fault, Kit, LIMIT, Manager, Res, eventually, within};

fn here(_: &tasker::TaskContext, _: &mut Res) -> Result<ThreadId, Fault> {
    Ok(thread::current().id())
}

// Promise 18: where a worker is idle, a blocking call runs on the calling thread.
#[test]
fn a_blocking_call_runs_on_the_calling_thread_when_a_worker_is_idle() {
    within(LIMIT, || {
        let manager = Manager::Lending.build(Kit::new().config(1));
        let me = thread::current().id();
        for _ in 0..50 {
            assert_eq!(manager.queue_task(here).unwrap(), me);
            assert_eq!(manager.queue_task_once(here).unwrap(), me);
            assert_eq!(manager.queue_task_with_priority(here).unwrap(), me);
            assert_eq!(manager.task(here).priority(Priority::Low).run().unwrap(), me);
            assert_eq!(manager.run_task(here).unwrap(), me);
        }
    });
}

// Promise 18: also where it has to wait for a worker first.
#[test]
fn a_blocking_call_that_had_to_wait_runs_on_the_calling_thread() {
    within(LIMIT, || {
        let manager = Manager::Lending.build(Kit::new().config(1));
        let busy = Busy::with(&manager, 1);
        let caller = manager.clone();
        let blocked = thread::spawn(move || (caller.queue_task(here), thread::current().id()));
        eventually("it waits", || manager.stats().queued_tasks == 1);
        busy.release();
        let (ran_on, caller) = blocked.join().unwrap();
        assert_eq!(ran_on.unwrap(), caller);
    });
}

// Promise 18: the retry of a lent run is lent as well, on another resource.
#[test]
fn a_retry_of_a_blocking_call_runs_on_the_calling_thread() {
    within(LIMIT, || {
        let kit = Kit::new();
        let manager = Manager::Lending.build(kit.config(1));
        let mut ran = Vec::new();
        let outcome = manager.queue_task(|cx, res| {
            ran.push((thread::current().id(), res.id()));
            if cx.attempt() < 3 { Err(Fault::Sick) } else { Ok(()) }
        });
        outcome.unwrap();
        let me = thread::current().id();
        assert_eq!(ran, [(me, 1), (me, 2), (me, 3)]);
        manager.stop().unwrap();
        kit.assert_all_destroyed_once();
    });
}

// Promise 18: never with `new_local` or `lending(false)`: there every task runs on the resource's thread.
#[test]
fn nothing_is_lent_by_a_local_manager_or_without_lending() {
    within(LIMIT, || {
        for kind in [Manager::NotLending, Manager::Local] {
            let manager = kind.build(Kit::new().config(2));
            let me = thread::current().id();
            let home = |_: &_, res: &mut Res| Ok((thread::current().id(), res.is_at_home()));
            for _ in 0..20 {
                // Where nobody is idle `run_task` makes a resource of its own.
                eventually("somebody is idle", || manager.stats().idle_workers > 0);
                let outcomes = [
                    manager.run_task(home),
                    manager.queue_task(home),
                    manager.queue_task_once(home),
                    manager.queue_task_with_priority(home),
                    manager.task(home).submit().wait(),
                ];
                for outcome in outcomes {
                    let (ran_on, at_home) = outcome.unwrap();
                    assert!(ran_on != me && at_home, "{}", kind.name());
                }
            }
        }
    });
}

// Promise 18: detached tasks run on workers' threads, on whatever thread the resource is lent to besides.
#[test]
fn a_detached_task_runs_on_a_workers_thread() {
    within(LIMIT, || {
        let manager = Manager::Lending.build(Kit::new().config(1));
        let me = thread::current().id();
        for _ in 0..20 {
            assert_eq!(manager.queue_task(here).unwrap(), me);
            assert_ne!(manager.queue_task_async(here).wait().unwrap(), me);
        }
    });
}

// Promises 4 and 18: a blocked caller does not overtake a detached task of its lane.
#[test]
fn a_blocking_call_never_overtakes_a_detached_task_of_its_lane() {
    within(LIMIT, || {
        let manager = Manager::Lending.build(Kit::new().config(1));
        const CALLERS: u64 = 3;
        let lent_runs = Arc::new(AtomicU64::new(0));
        let over = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                let (manager, runs, over) =
                    (manager.clone(), Arc::clone(&lent_runs), Arc::clone(&over));
                thread::spawn(move || {
                    while !over.load(Ordering::SeqCst) {
                        let count = |_: &_, _: &mut Res| Ok(runs.fetch_add(1, Ordering::SeqCst));
                        manager.queue_task(count).unwrap();
                    }
                })
            })
            .collect();
        eventually("somebody runs", || lent_runs.load(Ordering::SeqCst) > 0);
        let mut overtaken = Vec::new();
        for _ in 0..500 {
            let runs = Arc::clone(&lent_runs);
            let seen = manager.task(move |_, _| Ok(runs.load(Ordering::SeqCst))).submit();
            let accepted = lent_runs.load(Ordering::SeqCst);
            overtaken.push(seen.wait().unwrap().saturating_sub(accepted));
        }
        over.store(true, Ordering::SeqCst);
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        // Each caller's call may have been there before the task; nobody's next one may go first.
        assert!(overtaken.iter().all(|by| *by <= CALLERS), "{overtaken:?}");
    });
}

// Promises 4 and 18: nor one of a higher lane, whichever of them came first.
#[test]
fn a_blocking_call_waits_for_tasks_of_higher_lanes_and_goes_before_lower_ones() {
    within(LIMIT, || {
        let manager = Manager::Lending.build(Kit::new().config(1));
        let busy = Busy::with(&manager, 1);
        let (order, ran) = channel();
        let submit = |name: &'static str, priority| {
            let order = order.clone();
            let task = manager.task(move |_, _| {
                order.send(name).unwrap();
                Ok(())
            });
            drop(task.priority(priority).submit());
        };
        submit("low", Priority::Low);
        let (caller, told) = (manager.clone(), order.clone());
        let blocked = thread::spawn(move || {
            caller
                .queue_task(|_, _| {
                    told.send("caller").unwrap();
                    Ok(())
                })
                .unwrap();
        });
        eventually("it waits", || manager.stats().queued_tasks == 2);
        submit("normal, later", Priority::Normal);
        submit("high, last", Priority::High);
        busy.release();
        blocked.join().unwrap();
        manager.stop().unwrap();
        drop(order);
        let order: Vec<_> = ran.iter().collect();
        assert_eq!(order, ["high, last", "caller", "normal, later", "low"]);
    });
}

/// One of everything, one after the other.
fn program(kind: Manager) -> (Vec<String>, ShutdownReport, TaskMetrics) {
    let kit = Kit::new();
    let manager = kind.build(kit.config(1).max_retries(2));
    let mut outcomes = Vec::new();
    let mut note = |outcome: Result<u64, TaskError<Fault>>| outcomes.push(format!("{outcome:?}"));
    note(manager.queue_task(|_, res| res.work()));
    note(manager.queue_task(|_, _| Err(Fault::Own)));
    note(manager.queue_task_once(|_, _| Err(Fault::Sick)));
    note(
        manager.queue_task(|cx, res| if cx.attempt() < 3 { Err(Fault::Sick) } else { res.work() }),
    );
    note(manager.queue_task(|_, _| Err(Fault::Sick)));
    note(manager.queue_task(|_, _| panic!("on purpose")));
    // Without a pool and without an idle worker `run_task` would make a resource of its own.
    kit.wait_until(|counts| counts.created == 8);
    eventually("the worker is idle", || manager.stats().idle_workers == 1);
    note(manager.run_task(|_, res| res.work()));
    note(manager.queue_task_with_priority_once(|_, res| res.work()));
    let metrics = manager.metrics();
    let report = manager.stop().unwrap();
    assert_eq!(manager.phase(), Phase::Stopped);
    note(manager.queue_task(|_, res| res.work()));
    kit.assert_all_destroyed_once();
    (outcomes, report, metrics)
}

// Promise 18: counts, health, retries, panics and shutdown are the same, lent or not.
#[test]
fn lending_changes_neither_outcomes_nor_numbers() {
    within(LIMIT, || {
        let (outcomes, report, metrics) = program(Manager::Lending);
        for kind in [Manager::NotLending, Manager::Local] {
            let (other_outcomes, other, other_metrics) = program(kind);
            assert_eq!(outcomes, other_outcomes, "{}", kind.name());
            let numbers = |report: &ShutdownReport| {
                let ShutdownReport { accepted, completed, failed, cancelled, dropped, .. } =
                    *report;
                let resources = (report.resources_created, report.resources_destroyed);
                (accepted, completed, failed, cancelled, dropped, resources)
            };
            assert_eq!(numbers(&report), numbers(&other), "{}", kind.name());
            let counts = |metrics: &TaskMetrics| {
                let ended = (metrics.total_tasks_completed, metrics.total_tasks_failed);
                (metrics.total_tasks_arrived, ended, metrics.total_tasks_retried)
            };
            assert_eq!(counts(&metrics), counts(&other_metrics), "{}", kind.name());
        }
    });
}

// Promise 18: creation and destruction stay with the worker, whoever used the resource.
#[test]
fn a_lent_resource_is_made_and_destroyed_on_its_workers_thread() {
    within(LIMIT, || {
        let destroyed = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&destroyed);
        let config = Config::<ThreadId, Fault>::new(|| Ok(thread::current().id()))
            .on_destroy(move |made_on| {
                notes.lock().unwrap().push((made_on, thread::current().id()));
                Ok(())
            })
            .check_health(|fault| *fault != Fault::Sick)
            .worker_count(2)
            .max_worker_count(2)
            .resource_pool_size(0);
        let manager = TaskManager::new(config).unwrap();
        let me = thread::current().id();
        for _ in 0..5 {
            let made_on = manager.queue_task(|cx, made_on| match cx.attempt() {
                1 => Err(Fault::Sick),
                _ => Ok(*made_on),
            });
            assert_ne!(made_on.unwrap(), me);
            let panicked = manager.queue_task(|_, _| -> Result<(), _> { panic!("on purpose") });
            assert!(panicked.is_err());
        }
        eventually("both workers have recovered", || manager.stats().idle_workers == 2);
        manager.stop().unwrap();
        let destroyed = destroyed.lock().unwrap();
        assert_eq!(destroyed.len(), 12);
        assert!(destroyed.iter().all(|(made, gone)| made == gone), "{destroyed:?}");
    });
}

// Promises 4 and 18: a blocked caller is served although others keep calling.
#[test]
fn a_blocked_caller_is_served_although_others_call_without_a_pause() {
    within(LIMIT, || {
        let manager = Manager::Lending.build(Kit::new().config(1));
        let over = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let callers: Vec<_> = (0..3)
            .map(|_| {
                let (manager, over) = (manager.clone(), Arc::clone(&over));
                thread::spawn(move || {
                    let mut runs = 0;
                    while !over.load(Ordering::SeqCst) {
                        manager.queue_task(|_, _| Ok(())).unwrap();
                        runs += 1;
                    }
                    runs
                })
            })
            .collect();
        for _ in 0..200 {
            manager.queue_task(|_, _| Ok(())).unwrap();
        }
        over.store(true, Ordering::SeqCst);
        let runs: Vec<u32> = callers.into_iter().map(|caller| caller.join().unwrap()).collect();
        let total: u32 = runs.iter().sum();
        assert_eq!(manager.stop().unwrap().completed, u64::from(total) + 200);
    });
}
