//! How many there are and may wait: capacity, new limits, a pause, bursts.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use shuttle::thread;

use super::{Count, Manager, World, build, explore};
use crate::autoscale::{Load, Plan, ScalingPolicy};
use crate::{Overflow, TaskError};

/// Waits until there are so many workers, and no more that are about to go.
fn await_workers(manager: &Manager, count: usize) {
    loop {
        let stats = manager.stats();
        if stats.active_workers + stats.recovering_workers + stats.leaving_workers == count {
            return;
        }
        thread::yield_now();
    }
}

// Promise 1 and small print on capacity.
#[test]
fn who_waits_for_room_gets_in_or_is_turned_away() {
    explore(|| {
        let world = World::new();
        let manager = build(world.config(1, 1).queue_capacity(1).overflow(Overflow::Wait));
        let runs = Count::default();
        let callers: Vec<_> = (0..3)
            .map(|_| {
                let (manager, task) = (manager.clone(), runs.task());
                thread::spawn(move || manager.task(task).submit().wait())
            })
            .collect();
        let outcomes: Vec<_> = callers.into_iter().map(|caller| caller.join().unwrap()).collect();
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        let (late, task) = (manager.clone(), runs.task());
        let late = thread::spawn(move || late.task(task).submit().wait());
        let report = manager.stop().unwrap();
        let refused = match late.join().unwrap() {
            Ok(()) => 0,
            Err(TaskError::ShuttingDown) => 1,
            Err(other) => panic!("{other:?}"),
        };
        world.assert_adds_up(&report, 1);
        // Who was turned away was not accepted.
        assert_eq!((report.accepted, report.completed), (4 - refused, 4 - refused));
        assert_eq!(runs.get(), 4 - refused as usize);
    });
}

// Small print on capacity: each is run or evicted, and told so.
#[test]
fn of_more_tasks_than_there_is_room_for_the_oldest_are_evicted_and_told() {
    explore(|| {
        let world = World::new();
        let manager = build(world.config(1, 1).queue_capacity(1).overflow(Overflow::DropOldest));
        let (runs, served, evicted) = (Count::default(), Count::default(), Count::default());
        let callers: Vec<_> = (0..3)
            .map(|_| {
                let (manager, task) = (manager.clone(), runs.task());
                let (served, evicted) = (served.clone(), evicted.clone());
                thread::spawn(move || {
                    // A panic in a callback would be caught: the counts are judged below.
                    manager.task(task).on_complete(move |outcome| match outcome {
                        Ok(()) => served.one(),
                        Err(TaskError::QueueFull) => evicted.one(),
                        Err(_) => {}
                    });
                })
            })
            .collect();
        for caller in callers {
            caller.join().unwrap();
        }
        let report = manager.stop().unwrap();
        world.assert_adds_up(&report, 1);
        assert_eq!((report.accepted, served.get() + evicted.get()), (3, 3));
        assert_eq!((report.completed, report.dropped), (served.get() as u64, evicted.get() as u64));
        assert!(served.get() == runs.get() && runs.get() > 0, "the last to come is not evicted");
    });
}

// Promise 2.
#[test]
fn new_limits_hold_while_tasks_come_and_go() {
    explore(|| {
        let world = World::new();
        let manager = world.manager(1, 1);
        let runs = Count::default();
        let (caller, mut task) = (manager.clone(), runs.task());
        let blocked = thread::spawn(move || {
            caller.queue_task(&mut task)?;
            caller.queue_task(&mut task)
        });
        let handle = manager.task(runs.task()).submit();
        manager.resize(2, 3).unwrap();
        manager.resize(1, 1).unwrap();
        handle.wait().unwrap();
        blocked.join().unwrap().unwrap();
        await_workers(&manager, 1);
        assert_eq!((manager.stats().base_workers, manager.stats().max_workers), (1, 1));
        let report = manager.stop().unwrap();
        world.assert_adds_up(&report, 3);
        assert_eq!((report.accepted, report.completed, runs.get()), (3, 3, 3));
    });
}

// Promises 1 and 10: a pause holds tasks back, and neither its end nor a stop forgets one.
#[test]
fn what_a_pause_holds_back_runs_when_it_ends_or_the_manager_stops() {
    explore(|| {
        let world = World::new();
        let manager = world.manager(1, 1);
        let runs = Count::default();
        manager.pause();
        let handle = manager.task(runs.task()).submit();
        let (caller, mut task) = (manager.clone(), runs.task());
        let blocked = thread::spawn(move || caller.queue_task(&mut task));
        (0..5).for_each(|_| thread::yield_now());
        assert_eq!(runs.get(), 0, "nobody starts in a pause");
        let resumer = manager.clone();
        let resume = thread::spawn(move || {
            resumer.resume();
            resumer.pause();
        });
        let report = manager.stop().unwrap();
        world.assert_adds_up(&report, 1);
        handle.wait().unwrap();
        resume.join().unwrap();
        let refused = match blocked.join().unwrap() {
            Ok(()) => 0,
            Err(TaskError::ShuttingDown) => 1,
            Err(other) => panic!("{other:?}"),
        };
        assert_eq!(runs.get(), 2 - refused);
        assert_eq!((report.accepted, report.completed), (runs.get() as u64, runs.get() as u64));
    });
}

/// A policy that wants a worker for each task.
struct Eager;

impl ScalingPolicy for Eager {
    fn plan(&mut self, load: &Load, _: Instant) -> Plan {
        Plan::new((load.in_use + load.queued).max(load.worker_count), "eager").within(load)
    }
}

// Promises 2 and 3: the timekeeper hires and dismisses while tasks run, and resources wear out. The bug that this looks
// for was its own: its manager could not burst at all.
#[test]
fn a_burst_comes_and_goes_within_the_cap() {
    static BURSTS: AtomicUsize = AtomicUsize::new(0);
    explore(|| {
        let world = World::new();
        let manager = build(world.config(1, 2).scaling(Eager).max_uses(2));
        let runs = Count::default();
        let callers: Vec<_> = (0..2)
            .map(|_| {
                let (manager, mut task) = (manager.clone(), runs.task());
                thread::spawn(move || manager.queue_task(&mut task))
            })
            .collect();
        let handles: Vec<_> = (0..2).map(|_| manager.task(runs.task()).submit()).collect();
        for handle in handles {
            handle.wait().unwrap();
        }
        for caller in callers {
            caller.join().unwrap().unwrap();
        }
        if world.peak.load(Ordering::SeqCst) == 2 {
            BURSTS.fetch_add(1, Ordering::SeqCst);
        }
        await_workers(&manager, 1);
        let report = manager.stop().unwrap();
        world.assert_adds_up(&report, 2);
        assert_eq!((report.completed, runs.get()), (4, 4));
    });
    assert!(BURSTS.load(Ordering::SeqCst) > 0, "there was a burst in none of the schedules");
}
