//! The numbers of `stats()` and `phase()`, at every station of a task and of a worker.

use std::thread;
use std::time::Duration;

use tasker::testing::ManualClock;
use tasker::{Backoff, Phase, Priority, TaskManager, TaskStats};

use crate::support::{
    Busy, Fault, Gate, Kit, LIMIT, Manager, Res, begin_stop, eventually, on_every_manager,
    report_of, within,
};

const HOUR: Duration = Duration::from_secs(3600);

/// Where every task is: in the High lane, in the others, delayed, running.
fn tasks(manager: &TaskManager<Res, Fault>) -> (usize, usize, usize, usize) {
    let stats = manager.stats();
    (stats.priority_tasks, stats.queued_tasks, stats.delayed_tasks, stats.running_tasks)
}

/// What every worker does: has a resource, has nothing to do, has no resource, is a burst worker.
fn workers(manager: &TaskManager<Res, Fault>) -> (usize, usize, usize, usize) {
    let TaskStats { active_workers, idle_workers, recovering_workers, burst_workers, .. } =
        manager.stats();
    (active_workers, idle_workers, recovering_workers, burst_workers)
}

// Small print: a new manager's workers have their resources, and nothing to do.
#[test]
fn a_new_manager_is_idle() {
    on_every_manager(|kind| {
        let manager = kind.build(Kit::new().config(3).resource_pool_size(2));
        eventually("all are idle", || manager.stats().idle_workers == 3);
        assert_eq!(workers(&manager), (3, 3, 0, 0));
        assert_eq!(tasks(&manager), (0, 0, 0, 0));
        let pooled = if kind == Manager::Local { 0 } else { 2 };
        let stats = manager.stats();
        assert_eq!((stats.base_workers, stats.available_resources), (3, pooled));
        assert_eq!(manager.phase(), Phase::Running);
    });
}

// Small print: `priority_tasks` counts the High lane, `queued_tasks` the others, blocked callers included.
#[test]
fn what_waits_is_counted_by_its_lane() {
    on_every_manager(|kind| {
        let manager = kind.build(Kit::new().config(1));
        let busy = Busy::with(&manager, 1);
        assert_eq!(tasks(&manager), (0, 0, 0, 1));
        let submit = |priority| manager.task(|_, _| Ok(())).priority(priority).submit();
        let mut waiting = vec![submit(Priority::Low), submit(Priority::Normal)];
        assert_eq!(tasks(&manager), (0, 2, 0, 1));
        waiting.push(submit(Priority::High));
        assert_eq!(tasks(&manager), (1, 2, 0, 1));
        let callers = [Priority::High, Priority::Low].map(|priority| {
            let caller = manager.clone();
            thread::spawn(move || caller.task(|_, _| Ok(())).priority(priority).run())
        });
        eventually("both wait", || tasks(&manager) == (2, 3, 0, 1));
        busy.release();
        assert!(waiting.into_iter().all(|handle| handle.wait().is_ok()));
        assert!(callers.into_iter().all(|caller| caller.join().unwrap().is_ok()));
        eventually("all are served", || tasks(&manager) == (0, 0, 0, 0));
    });
}

// Small print: who waits for room waits in its lane as well.
#[test]
fn what_waits_for_room_is_counted_by_its_lane() {
    on_every_manager(|kind| {
        let manager = kind.build(Kit::new().config(1).queue_capacity(1));
        let busy = Busy::with(&manager, 1);
        let waiting: Vec<_> = [Priority::Low, Priority::Normal, Priority::High]
            .into_iter()
            .flat_map(|priority| [(priority, false), (priority, true)])
            .map(|(priority, blocking)| {
                let caller = manager.clone();
                thread::spawn(move || {
                    let task = caller.task(|_, _| Ok(())).priority(priority);
                    if blocking { task.run() } else { task.submit().wait() }
                })
            })
            .collect();
        eventually("all wait", || tasks(&manager) == (2, 4, 0, 1));
        busy.release();
        assert!(waiting.into_iter().all(|waiting| waiting.join().unwrap().is_ok()));
    });
}

// Small print: `delayed_tasks` are the retries that wait for their time.
#[test]
fn a_retry_that_waits_for_its_time_is_delayed() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let clock = ManualClock::new();
        let config = kit.config(1).clock(clock.clone()).retry_backoff(Backoff::fixed(HOUR));
        let manager = kind.build(config);
        kit.sicken_next_uses(1);
        let retried = manager.task(|_, res| res.work()).submit();
        eventually("it waits for its time", || tasks(&manager) == (0, 0, 1, 0));
        let busy = Busy::with(&manager, 1);
        clock.advance(HOUR);
        eventually("it is in the High lane", || tasks(&manager) == (1, 0, 0, 1));
        busy.release();
        assert!(retried.wait().is_ok());
    });
}

// Small print: `running_tasks` are those of workers, blocked callers and `run_task` alike.
#[test]
fn what_runs_is_counted_wherever_it_runs() {
    on_every_manager(|kind| {
        let manager = kind.build(Kit::new().config(3).resource_pool_size(1));
        let busy = Busy::with(&manager, 1);
        let gate = Gate::new();
        let call = |now: bool| {
            let (caller, wait) = (manager.clone(), gate.clone());
            let task = move || {
                let task = caller.task_once(|_, _| {
                    wait.wait();
                    Ok(())
                });
                if now { task.run_now() } else { task.run() }
            };
            thread::spawn(task)
        };
        let (blocked, urgent) = (call(false), call(true));
        gate.await_arrivals(2);
        assert_eq!(tasks(&manager), (0, 0, 0, 3));
        assert_eq!(manager.stats().available_resources, 0);
        let busy_workers = if kind == Manager::Local { 3 } else { 2 };
        eventually("the rest is idle", || workers(&manager) == (3, 3 - busy_workers, 0, 0));
        gate.open();
        busy.release();
        assert!(blocked.join().unwrap().is_ok() && urgent.join().unwrap().is_ok());
        assert_eq!(tasks(&manager), (0, 0, 0, 0));
    });
}

// Small print (and promise 9): `recovering_workers` are those without a resource; `active_workers` the others.
#[test]
fn a_worker_without_a_resource_is_recovering() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(2).clock(ManualClock::new()));
        let gate = Gate::new();
        kit.block_creates(&gate);
        let lost = manager.task_once(|_, _| Err::<(), _>(Fault::Sick)).submit();
        assert!(lost.wait().is_err());
        gate.await_arrivals(1);
        eventually("the other is idle", || workers(&manager) == (1, 1, 1, 0));
        gate.open();
        eventually("it has recovered", || workers(&manager) == (2, 2, 0, 0));
    });
}

// Small print: a burst worker counts from the moment it is hired; base workers do not change.
#[test]
fn a_burst_worker_is_counted_from_its_hiring_to_its_dismissal() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let clock = ManualClock::new();
        let interval = Duration::from_millis(100);
        let config = kit.config(1).max_worker_count(2).burst_interval(interval);
        let manager = kind.build(config.clock(clock.clone()));
        let busy = Busy::with(&manager, 1);
        let gate = Gate::new();
        kit.block_creates(&gate);
        let queued = manager.task(|_, res| res.work()).submit();
        clock.advance(interval);
        gate.await_arrivals(1);
        assert_eq!(workers(&manager), (1, 0, 1, 1));
        assert_eq!(manager.stats().base_workers, 1);
        gate.open();
        assert_eq!(queued.wait().unwrap(), 2);
        eventually("it is idle", || workers(&manager) == (2, 1, 0, 1));
        busy.release();
        for _ in 0..50 {
            clock.advance(interval); // ten intervals, however many ticks the timekeeper makes of them
        }
        eventually("it has left", || {
            clock.advance(interval);
            manager.stats().burst_workers == 0
        });
        kit.wait_until(|counts| counts.live == 1);
        assert_eq!(manager.stats().active_workers, 1);
    });
}

// Small print: after a shutdown nothing is left to count.
#[test]
fn nothing_is_left_after_a_stop() {
    on_every_manager(|kind| {
        let manager = kind.build(Kit::new().config(2).resource_pool_size(2));
        let busy = Busy::with(&manager, 1);
        let queued = manager.task(|_, _| Ok(())).submit();
        let stop = begin_stop(&manager);
        busy.release();
        assert!(queued.wait().is_ok());
        report_of(stop);
        assert_eq!(workers(&manager), (0, 0, 0, 0));
        assert_eq!(tasks(&manager), (0, 0, 0, 0));
        let stats = manager.stats();
        assert_eq!((stats.base_workers, stats.available_resources), (2, 0));
    });
}

// Small print: one look under one lock: what was submitted is always somewhere.
#[test]
fn a_look_at_the_numbers_misses_nothing() {
    within(LIMIT, || {
        let manager = Manager::Lending.build(Kit::new().config(2).burst_interval(Duration::ZERO));
        let busy = Busy::with(&manager, 1);
        let handles: Vec<_> = (0..500).map(|_| manager.task(|_, _| Ok(())).submit()).collect();
        loop {
            let finished = handles.iter().filter(|handle| handle.is_finished()).count();
            let (high, queued, delayed, running) = tasks(&manager);
            // Those that end between the two looks are missing from the second one only.
            assert!(high + queued + delayed + running <= 501 - finished);
            if finished == 500 {
                break;
            }
        }
        busy.release();
    });
}
