//! Threads: their names, and that none is left behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tasker::testing::ManualClock;
use tasker::{CancelToken, Config, Phase, TaskManager};

use crate::support::{
    Busy, Fault, Gate, Kit, LIMIT, Manager, eventually, on_every_manager, within,
};

// Small print: threads are named `{thread_name}-{n}`.
#[test]
fn a_worker_is_named_after_its_manager_and_its_number() {
    on_every_manager(|kind| {
        let manager = kind.build(Kit::new().config(2).thread_name("crew"));
        let names: Vec<_> = (0..20)
            .map(|_| {
                let name = |_: &_, _: &mut _| Ok(thread::current().name().map(str::to_owned));
                manager.task(name).submit().wait().unwrap().unwrap()
            })
            .collect();
        assert!(names.iter().all(|name| name == "crew-0" || name == "crew-1"), "{names:?}");
    });
}

// Small print: the default is `tasker-{n}`.
#[test]
fn a_worker_is_called_tasker_by_default() {
    within(LIMIT, || {
        let config = Config::<(), Fault>::new(|| Ok(())).worker_count(1).max_worker_count(1);
        let manager = TaskManager::new(config).unwrap();
        let name = manager.task(|_, _| Ok(thread::current().name().map(str::to_owned)));
        assert_eq!(name.submit().wait().unwrap().as_deref(), Some("tasker-0"));
    });
}

#[cfg(target_os = "linux")]
mod left_behind {
    use super::*;
    use crate::support::{assert_gone, threads_of, unique_name};

    // Promise 10: `stop` ends every thread.
    #[test]
    fn a_stop_leaves_no_thread_behind() {
        on_every_manager(|kind| {
            let name = unique_name();
            let config = Kit::new().config(3).resource_pool_size(1).thread_name(&*name);
            let manager = kind.build(config);
            manager.queue_task(|_, _| Ok(())).unwrap();
            eventually("all have their names", || threads_of(&name) >= 3);
            manager.stop().unwrap();
            assert_gone(&name);
        });
    }

    // Promise 11: so does `kill`.
    #[test]
    fn a_kill_leaves_no_thread_behind() {
        on_every_manager(|kind| {
            let name = unique_name();
            let manager =
                kind.build(Kit::new().config(3).resource_pool_size(1).thread_name(&*name));
            let running = manager
                .task_once(|cx, _| {
                    cx.token().wait();
                    Ok(())
                })
                .submit();
            eventually("the task runs", || manager.stats().running_tasks == 1);
            manager.kill().unwrap();
            assert!(running.wait().is_ok());
            assert_gone(&name);
        });
    }

    // Promise 13: so does dropping the last clone.
    #[test]
    fn dropping_the_last_clone_leaves_no_thread_behind() {
        on_every_manager(|kind| {
            let name = unique_name();
            let manager =
                kind.build(Kit::new().config(2).resource_pool_size(1).thread_name(&*name));
            let handle = manager.task(|_, _| Ok(())).submit();
            drop(manager);
            assert!(handle.wait().is_ok());
            assert_gone(&name);
        });
    }

    // Promise 13: so does the parent token.
    #[test]
    fn a_cancelled_parent_leaves_no_thread_behind() {
        on_every_manager(|kind| {
            let (name, parent) = (unique_name(), CancelToken::new());
            let config = Kit::new().config(2).thread_name(&*name).shutdown_on(parent.clone());
            let manager = kind.build(config);
            parent.cancel();
            assert_gone(&name);
            assert_eq!(manager.phase(), Phase::Stopped);
        });
    }

    // Promise 9: a manager that could not be built leaves nothing behind.
    #[test]
    fn a_failed_build_leaves_no_thread_behind() {
        on_every_manager(|kind| {
            let (name, kit) = (unique_name(), Kit::new());
            kit.fail_create(2);
            let config = kit.config(4).resource_pool_size(2).thread_name(&*name);
            assert!(kind.try_build(config).is_err());
            assert_gone(&name);
            kit.assert_all_destroyed_once();
        });
    }

    // Promise 2: a burst worker's thread goes with it.
    #[test]
    fn a_burst_workers_thread_ends_when_it_is_not_needed_any_more() {
        on_every_manager(|kind| {
            let (name, clock) = (unique_name(), ManualClock::new());
            let interval = Duration::from_millis(100);
            let config = Kit::new().config(1).max_worker_count(3).burst_interval(interval);
            let manager = kind.build(config.clock(clock.clone()).thread_name(&*name));
            let alone = 2; // the worker and the timekeeper, who may not have taken their names yet
            let gate = Gate::new();
            let tasks: Vec<_> = (0..3)
                .map(|_| {
                    let gate = gate.clone();
                    manager
                        .task_once(move |_, _| {
                            gate.wait();
                            Ok(())
                        })
                        .submit()
                })
                .collect();
            eventually("all three run", || {
                clock.advance(interval);
                manager.stats().running_tasks == 3
            });
            eventually("all have their names", || threads_of(&name) == alone + 2);
            gate.open();
            assert!(tasks.into_iter().all(|task| task.wait().is_ok()));
            eventually("the others have left", || {
                clock.advance(interval);
                threads_of(&name) == alone
            });
        });
    }

    // Small print: a straggler's thread ends when its code returns.
    #[test]
    fn a_stragglers_thread_ends_when_its_code_returns() {
        on_every_manager(|kind| {
            let name = unique_name();
            let manager = kind.build(Kit::new().config(2).thread_name(&*name));
            let busy = Busy::with(&manager, 1);
            let report = manager.kill_within(Duration::ZERO).unwrap();
            assert_eq!(report.stragglers.len(), 1);
            eventually("the straggler is there", || threads_of(&name) > 0);
            busy.release();
            assert_gone(&name);
        });
    }

    // Promise 13: many managers one after the other leave nothing behind either.
    #[test]
    fn a_hundred_managers_leave_no_thread_behind() {
        within(LIMIT, || {
            let name = unique_name();
            let ran = Arc::new(AtomicUsize::new(0));
            for n in 0..100 {
                let config = Kit::new().config(2).resource_pool_size(1).thread_name(&*name);
                let manager = Manager::ALL[n % 3].build(config);
                let count = Arc::clone(&ran);
                let task = move |_: &_, _: &mut _| Ok(count.fetch_add(1, Ordering::SeqCst));
                drop(manager.task(task).submit());
            }
            assert_gone(&name);
            assert_eq!(ran.load(Ordering::SeqCst), 100);
        });
    }
}
