//! Promises 1, 2, 8 and 18: what callers do with idle and pooled resources, for which they take no lock, is known to
//! everybody.

use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use tasker::autoscale::Load;
use tasker::testing::ManualClock;
use tasker::{TaskError, TaskManager};

use crate::support::{
    Busy, Gate, Kit, Puppet, Res, assert_complete, await_rest, begin_stop, end, eventually,
    report_of, submit, wait_all, waiting,
};

/// The width of a policy's buckets, and how often it is asked.
const BUCKET: Duration = Duration::from_millis(100);

fn manager(kit: &Kit, workers: usize) -> TaskManager<Res, crate::support::Fault> {
    TaskManager::new(kit.config(workers)).unwrap()
}

#[test]
fn whoever_asks_meanwhile_is_told_of_what_runs() {
    let kit = Kit::new();
    let manager = manager(&kit, 2);
    for round in 0..3 {
        let (inner, stats, metrics) = manager
            .queue_task(|_, _| {
                let inner = manager.queue_task(|_, _| Ok(manager.stats())).unwrap();
                Ok((inner, manager.stats(), manager.metrics()))
            })
            .unwrap();
        assert_eq!((inner.running_tasks, inner.idle_workers), (2, 0));
        assert_eq!((stats.running_tasks, stats.idle_workers), (1, 1));
        let told = (metrics.total_tasks_arrived, metrics.total_tasks_completed);
        assert_eq!(told, (2 * round + 2, 2 * round + 1));
        let after = manager.stats();
        assert_eq!((after.running_tasks, after.idle_workers), (0, 2));
    }
    let report = manager.stop().unwrap();
    assert_eq!((report.accepted, report.completed), (6, 6));
    kit.assert_all_destroyed_once();
}

// A task is named in the report of a kill although nobody was told when it started.
#[test]
fn what_runs_when_a_manager_is_killed_is_cancelled_and_named() {
    let kit = Kit::new();
    let manager = manager(&kit, 1);
    let outcome = manager
        .task(|cx, _| {
            let report = manager.kill_within(Duration::ZERO).unwrap();
            assert_eq!(report.stragglers.len(), 1);
            assert_eq!(report.stragglers[0].name.as_deref(), Some("deaf"));
            assert_eq!(report.stragglers[0].id, cx.id());
            assert!(cx.is_cancelled());
            Err::<(), _>(crate::support::Fault::Sick)
        })
        .name("deaf")
        .run();
    assert!(matches!(outcome, Err(TaskError::Cancelled)), "{outcome:?}");
    assert_complete(&manager.join());
    kit.assert_all_destroyed_once();
}

// Promise 1: that a resource lies there is not enough.
#[test]
fn a_caller_waits_in_a_pause_although_a_resource_is_idle() {
    let kit = Kit::new();
    let manager = manager(&kit, 1);
    manager.pause();
    thread::scope(|scope| {
        let caller = scope.spawn(|| manager.queue_task(|_, _| Ok(())));
        eventually("it waits", || waiting(&manager) == 1);
        assert_eq!(manager.stats().idle_workers, 1);
        manager.resume();
        caller.join().unwrap().unwrap();
    });
    end(&manager, &kit);
}

// Promise 10.
#[test]
fn no_caller_comes_in_once_a_stop_has_begun_although_a_resource_is_idle() {
    let kit = Kit::new();
    let manager = manager(&kit, 2);
    let busy = Busy::with(&manager, 1);
    let stop = begin_stop(&manager);
    assert_eq!(manager.stats().idle_workers, 1);
    let late = manager.queue_task(|_, _| Ok(()));
    assert!(matches!(late, Err(TaskError::ShuttingDown)), "{late:?}");
    busy.release();
    assert_complete(&report_of(stop));
    kit.assert_all_destroyed_once();
}

// Promises 2 and 18: only the first few workers' resources can be had without the lock, and all of them can be had.
#[test]
fn every_worker_lends_however_many_there_are() {
    let (kit, workers) = (Kit::new(), 20);
    let manager = manager(&kit, workers);
    for _ in 0..2 {
        let gate = Gate::new();
        thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    let waits = |_: &_, _: &mut _| {
                        gate.wait();
                        Ok(())
                    };
                    manager.queue_task(waits).unwrap();
                });
            }
            gate.await_arrivals(workers);
            let stats = manager.stats();
            assert_eq!((stats.running_tasks, stats.idle_workers), (workers, 0));
            gate.open();
        });
        assert_eq!(manager.stats().idle_workers, workers);
    }
    end(&manager, &kit);
}

// Promise 17: a token that was cancelled, or that somebody keeps, is no later task's.
#[test]
fn a_token_that_its_task_cancels_or_leaves_behind_is_not_used_again() {
    let kit = Kit::new();
    let manager = manager(&kit, 1);
    let is_cancelled = |first: &(dyn Fn() + Sync)| {
        let task = manager.queue_task(|cx, _| {
            first();
            Ok(cx.is_cancelled())
        });
        task.unwrap()
    };
    let cancels = manager.queue_task(|cx, _| {
        cx.token().cancel();
        Ok(())
    });
    cancels.unwrap();
    assert!(!is_cancelled(&|| {}));
    let kept = manager.queue_task(|cx, _| Ok(cx.token().clone())).unwrap();
    assert!(!is_cancelled(&|| kept.cancel()));
    end(&manager, &kit);
}

/// How many tasks came, and how many attempts ended, over the last while.
fn counts(load: &Load, over: Duration) -> (f64, f64) {
    let count = |rate: f64| (rate * load.seen(over).as_secs_f64()).round();
    (count(load.arrival_rate(over)), count(load.completion_rate(over)))
}

// A `run_task` that takes its resource from the pool without the lock; the first one takes the lock.
#[test]
fn whoever_asks_during_a_run_task_is_told_of_it() {
    let kit = Kit::new();
    let manager = TaskManager::new(kit.config(1).resource_pool_size(2)).unwrap();
    for round in 0..3 {
        let (inner, stats, metrics) = manager
            .run_task(|_, _| {
                let inner = manager.run_task(|_, _| Ok(manager.stats())).unwrap();
                Ok((inner, manager.stats(), manager.metrics()))
            })
            .unwrap();
        assert_eq!((inner.running_tasks, inner.available_resources), (2, 0));
        assert_eq!((stats.running_tasks, stats.available_resources), (1, 1));
        let told = (metrics.total_tasks_arrived, metrics.total_tasks_completed);
        assert_eq!(told, (2 * round + 2, 2 * round + 1));
        let after = manager.stats();
        assert_eq!((after.running_tasks, after.available_resources), (0, 2));
    }
    let metrics = manager.metrics();
    assert_eq!((metrics.total_tasks_arrived, metrics.total_tasks_completed), (6, 6));
    let report = manager.stop().unwrap();
    assert_eq!((report.accepted, report.completed), (6, 6));
    assert_eq!(kit.created(), 3, "none of the tasks needed a resource of its own");
    kit.assert_all_destroyed_once();
}

/// A manager with a pool, which a `run_task` has opened for those that follow.
fn with_open_pool(kit: &Kit, clock: &ManualClock) -> TaskManager<Res, crate::support::Fault> {
    let config = kit.config(1).resource_pool_size(1).clock(clock.clone());
    let manager = TaskManager::new(config).unwrap();
    manager.run_task(|_, _| Ok(())).unwrap();
    manager
}

#[test]
fn a_run_task_on_a_pooled_resource_is_cancelled_and_named_when_its_manager_is_killed() {
    let kit = Kit::new();
    let manager = with_open_pool(&kit, &ManualClock::new());
    let outcome = manager
        .task(|cx, _| {
            let report = manager.kill_within(Duration::ZERO).unwrap();
            assert_eq!(report.stragglers.len(), 1);
            assert_eq!(report.stragglers[0].name.as_deref(), Some("deaf"));
            assert_eq!(report.stragglers[0].id, cx.id());
            assert!(cx.is_cancelled());
            Err::<(), _>(crate::support::Fault::Sick)
        })
        .name("deaf")
        .run_now();
    assert!(matches!(outcome, Err(TaskError::Cancelled)), "{outcome:?}");
    assert_complete(&manager.join());
    kit.assert_all_destroyed_once();
}

#[test]
fn a_run_task_with_a_timeout_is_told_when_its_time_is_over() {
    let (kit, clock) = (Kit::new(), ManualClock::new());
    let manager = with_open_pool(&kit, &clock);
    let outcome = manager
        .task(|cx, _| {
            clock.advance(Duration::from_secs(1));
            cx.token().wait();
            Err::<(), _>(crate::support::Fault::Own)
        })
        .timeout(Duration::from_secs(1))
        .run_now();
    assert!(matches!(outcome, Err(TaskError::TimedOut)), "{outcome:?}");
    manager.run_task(|_, _| Ok(())).unwrap();
    assert_complete(&manager.stop().unwrap());
}

#[test]
fn a_token_that_a_run_task_leaves_behind_does_not_reach_the_next() {
    let kit = Kit::new();
    let manager = with_open_pool(&kit, &ManualClock::new());
    let kept = manager.run_task(|cx, _| Ok(cx.token())).unwrap();
    manager
        .run_task(|cx, _| {
            kept.cancel();
            assert!(!cx.is_cancelled(), "it is another one's");
            cx.token().cancel();
            Ok(())
        })
        .unwrap();
    assert!(!manager.run_task(|cx, _| Ok(cx.is_cancelled())).unwrap(), "nor is it used again");
    assert_eq!(manager.stats().available_resources, 1);
    assert_complete(&manager.stop().unwrap());
}

// Whoever looked at the pool while it was open has it closed until it is used again: here nobody looks.
#[test]
fn a_run_task_waits_in_a_pause_although_the_pool_was_open() {
    let kit = Kit::new();
    let manager = with_open_pool(&kit, &ManualClock::new());
    manager.run_task(|_, _| Ok(())).unwrap(); // without the lock, so that the pool would be opened once more
    manager.pause();
    let (tell, told) = channel();
    thread::scope(|scope| {
        let run = scope.spawn(|| manager.run_task(|_, _| Ok(tell.send(manager.stats().paused))));
        // It waits for longer than this, whatever this is; what does not wait has time to show it.
        let early = told.recv_timeout(Duration::from_millis(20));
        manager.resume();
        assert!(early.is_err(), "it ran in the pause");
        run.join().unwrap().unwrap().unwrap();
        assert_eq!(told.recv(), Ok(false));
    });
    assert_complete(&manager.stop().unwrap());
}

#[test]
fn tasks_that_ran_in_the_open_pool_are_counted() {
    let kit = Kit::new();
    let manager = with_open_pool(&kit, &ManualClock::new());
    (0..4).for_each(|_| manager.run_task(|_, _| Ok(())).unwrap());
    let metrics = manager.metrics();
    assert_eq!((metrics.total_tasks_arrived, metrics.total_tasks_completed), (5, 5));
    let report = manager.stop().unwrap();
    assert_eq!((report.accepted, report.completed), (5, 5));
    kit.assert_all_destroyed_once();
}

#[test]
fn a_run_task_that_fails_goes_the_way_of_all_guests() {
    let kit = Kit::new();
    let manager = with_open_pool(&kit, &ManualClock::new());
    let own = manager.run_task(|_, _| Err::<(), _>(crate::support::Fault::Own));
    assert!(matches!(own, Err(TaskError::Failed(_))), "{own:?}");
    assert_eq!((manager.stats().available_resources, kit.created()), (1, 2));
    let sick = manager.run_task(|_, _| Err::<(), _>(crate::support::Fault::Sick));
    assert!(sick.is_err());
    eventually("the pool is filled again", || manager.stats().available_resources == 1);
    assert_eq!(kit.created(), 3);
    let panicked = manager.run_task(|_, _| -> Result<(), _> { panic!("on purpose") });
    assert!(matches!(panicked, Err(TaskError::Panicked(_))), "{panicked:?}");
    let report = manager.stop().unwrap();
    assert_eq!((report.accepted, report.completed, report.failed), (4, 1, 3));
    kit.assert_all_destroyed_once();
}

// The windows of the policy have what ran without a lock, in the time in which it ran.
#[test]
fn a_policy_is_shown_what_ran_before_a_task_had_to_wait() {
    let (kit, clock, puppet) = (Kit::new(), ManualClock::new(), Puppet::new());
    let config = kit.config(1).max_worker_count(2).burst_interval(Duration::from_millis(100));
    let manager = TaskManager::new(config.clock(clock.clone()).scaling(puppet.clone())).unwrap();
    for _ in 0..20 {
        manager.queue_task(|_, _| Ok(())).unwrap();
    }
    clock.advance(Duration::from_secs(3));
    for _ in 0..5 {
        let work = manager.queue_task(|_, _| {
            clock.advance(Duration::from_millis(10));
            Ok(())
        });
        work.unwrap();
    }
    let busy = Busy::with(&manager, 1);
    puppet.say_workers(2);
    let waiting = submit(&manager, 1);
    eventually("it is asked", || puppet.asked() > 0);
    let load = puppet.last();
    let (recent, all) = (Duration::from_secs(1), Duration::from_secs(10));
    assert_eq!(counts(&load, recent), (7.0, 5.0));
    assert_eq!(counts(&load, all), (27.0, 25.0));
    assert_eq!(load.service_time(recent), Duration::from_millis(10));
    busy.release();
    for handle in waiting {
        handle.wait().unwrap();
    }
    assert_complete(&manager.stop().unwrap());
}

// Each in its own bucket: also what begins in one and ends in the next, and what comes just as one ends.
#[test]
fn a_policy_is_shown_when_each_task_came_and_ended() {
    let (kit, clock, puppet) = (Kit::new(), ManualClock::new(), Puppet::new());
    let config = kit.config(1).max_worker_count(2).burst_interval(BUCKET);
    let manager = TaskManager::new(config.clock(clock.clone()).scaling(puppet.clone())).unwrap();
    for _ in 0..3 {
        manager.queue_task(|_, _| Ok(())).unwrap();
    }
    let long = manager.queue_task(|_, _| {
        clock.advance(BUCKET);
        Ok(())
    });
    long.unwrap();
    clock.advance(BUCKET);
    manager.queue_task(|_, _| Ok(())).unwrap();
    clock.advance(10 * BUCKET);
    let busy = Busy::with(&manager, 1);
    puppet.hold();
    let waiting = submit(&manager, 1);
    eventually("it is asked", || puppet.asked() > 0);
    let load = puppet.last();
    assert_eq!(counts(&load, 10 * BUCKET), (3.0, 1.0), "since the second bucket was over");
    assert_eq!(counts(&load, 11 * BUCKET), (3.0, 2.0), "since the first was");
    assert_eq!(counts(&load, 12 * BUCKET), (7.0, 5.0), "in all");
    busy.release();
    wait_all(waiting);
    end(&manager, &kit);
}

#[test]
fn a_policy_is_shown_what_ran_since_a_resize_made_room() {
    let (kit, clock, puppet) = (Kit::new(), ManualClock::new(), Puppet::new());
    let config = kit.config(1).burst_interval(BUCKET);
    let manager = TaskManager::new(config.clock(clock.clone()).scaling(puppet.clone())).unwrap();
    for _ in 0..2 {
        manager.queue_task(|_, _| Ok(())).unwrap(); // nobody asks about these
    }
    manager.resize(1, 2).unwrap();
    for _ in 0..3 {
        manager.queue_task(|_, _| Ok(())).unwrap();
    }
    let busy = Busy::with(&manager, 1);
    let waiting = submit(&manager, 1);
    eventually("it is asked", || puppet.asked() > 0);
    assert_eq!(counts(&puppet.last(), BUCKET), (5.0, 3.0));
    busy.release();
    wait_all(waiting);
    end(&manager, &kit);
}

// Whether it takes a worker's resource with the lock or without; with it, it was not counted among those that come.
#[test]
fn a_policy_is_shown_every_run_task_that_a_worker_lends_to() {
    let (kit, clock, puppet) = (Kit::new(), ManualClock::new(), Puppet::new());
    let config = kit.config(1).max_worker_count(2).burst_interval(BUCKET).resource_pool_size(0);
    let manager = TaskManager::new(config.clock(clock.clone()).scaling(puppet.clone())).unwrap();
    for _ in 0..5 {
        clock.advance(BUCKET); // whoever is the first in a bucket takes the lock
        manager.run_task(|_, _| Ok(())).unwrap();
        manager.run_task(|_, _| Ok(())).unwrap();
    }
    let busy = Busy::with(&manager, 1);
    let waiting = submit(&manager, 1);
    eventually("it is asked", || puppet.asked() > 0);
    assert_eq!(counts(&puppet.last(), 10 * BUCKET), (12.0, 10.0));
    busy.release();
    wait_all(waiting);
    end(&manager, &kit);
}

// Whoever was used last is told by when its task ended, and not by when the queue heard of it last.
#[test]
fn a_worker_whose_resource_is_in_use_time_and_again_is_not_the_coldest() {
    let (kit, clock, puppet) = (Kit::new(), ManualClock::new(), Puppet::new());
    let config = kit.config(1).max_worker_count(2).burst_interval(BUCKET);
    let manager = TaskManager::new(config.clock(clock.clone()).scaling(puppet.clone())).unwrap();
    puppet.say_workers(2);
    Busy::with(&manager, 2).release();
    puppet.hold();
    await_rest(&manager, 2);
    let run = || manager.queue_task(|_, res| Ok(res.id())).unwrap();
    run(); // whoever is the first in a bucket takes the lock
    run();
    let busy = manager.queue_task(|_, _| Ok(Busy::with(&manager, 1))).unwrap();
    await_rest(&manager, 1);
    let asked = puppet.asked();
    clock.advance(Duration::from_secs(1));
    puppet.await_asked(asked + 1); // what it plans from now on is for a later look
    busy.release();
    await_rest(&manager, 2); // the other one rests for a shorter time
    run();
    clock.advance(BUCKET / 2);
    let last = run(); // without the lock, unless somebody has it just then
    puppet.say_workers(1);
    clock.advance(BUCKET);
    kit.wait_until(|counts| counts.destroyed == 1);
    assert!(!kit.is_gone(last), "it was used last");
    end(&manager, &kit);
}
