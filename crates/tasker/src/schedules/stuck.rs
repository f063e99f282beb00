//! Tasks that are stuck, where the schedule lets time pass: another worker takes the place of theirs, and gives it back.

use std::time::Duration;

use shuttle::thread;

use super::{Count, Fault, Manager, World, build, explore};
use crate::{CancelToken, Config, Event, Observer, TaskError};

const LONG: Duration = Duration::from_secs(1);

/// Counts what is told of as stuck.
impl Observer for Count {
    fn on_event(&self, event: &Event<'_>) {
        if matches!(event, Event::TaskStuck { .. }) {
            self.one();
        }
    }
}

/// One worker, whose place is taken when its task is stuck.
fn config(world: &std::sync::Arc<World>, told: &Count) -> Config<super::Res, Fault> {
    world.config(1, 1).stuck_after(LONG).replace_stuck(true).observer(told.clone())
}

/// Waits until there is one worker again, with a resource.
fn await_one_worker(manager: &Manager) {
    loop {
        let stats = manager.stats();
        if (stats.active_workers, stats.leaving_workers, stats.recovering_workers) == (1, 0, 0) {
            return;
        }
        thread::yield_now();
    }
}

// Promise 2: the second task runs although the only worker is at the first one, which ends no sooner. There is never more
// than one worker more for each that was told of, and one in the end.
#[test]
fn another_worker_takes_the_place_of_a_stuck_one_and_goes_again() {
    explore(|| {
        let (world, told) = (World::new(), Count::default());
        let manager = build(config(&world, &told));
        let done = CancelToken::new();
        let (until, end) = (done.clone(), done);
        let first = manager.task_once(move |_, _| {
            until.wait();
            Ok(())
        });
        let first = first.submit();
        let second = manager.task_once(move |_, _| {
            end.cancel();
            Ok(())
        });
        second.submit().wait().unwrap();
        first.wait().unwrap();
        await_one_worker(&manager);
        let report = manager.stop().unwrap();
        assert!((1..=2).contains(&told.get()), "each once: {}", told.get());
        world.assert_adds_up(&report, 1 + told.get());
        assert_eq!(report.completed, 2);
    });
}

// Promises 10 and 11: a shutdown that comes before, while or after somebody is replaced waits for all of them.
#[test]
fn a_shutdown_ends_with_whoever_is_stuck() {
    for kill in [false, true] {
        explore(move || {
            let (world, told, runs) = (World::new(), Count::default(), Count::default());
            let manager = build(config(&world, &told));
            let done = CancelToken::new();
            let until = done.clone();
            let stuck = manager.task_once(move |_, _| {
                until.wait();
                Ok(())
            });
            let stuck = stuck.submit();
            let next = manager.task(runs.task()).submit();
            let releases = thread::spawn(move || done.cancel());
            let report = if kill { manager.kill() } else { manager.stop() }.unwrap();
            releases.join().unwrap();
            let outcomes = [stuck.wait(), next.wait()];
            let ended = |outcome: &Result<(), _>| {
                kill && matches!(outcome, Err(TaskError::Killed)) || outcome.is_ok()
            };
            assert!(outcomes.iter().all(ended), "{outcomes:?}");
            world.assert_adds_up(&report, 1 + told.get());
            assert_eq!(runs.get(), usize::from(outcomes[1].is_ok()));
        });
    }
}

// Promise 16: whoever waits for a task that only a stuck worker's return could serve is served or told.
#[test]
fn nobody_waits_for_a_stuck_worker() {
    explore(|| {
        let (world, told) = (World::new(), Count::default());
        let manager = build(config(&world, &told));
        let done = CancelToken::new();
        let (until, end, inner) = (done.clone(), done, manager.clone());
        let stuck = manager.task_once(move |_, _| {
            until.wait();
            Ok(())
        });
        let stuck = stuck.submit();
        let outer = manager.task(move |_, _| {
            let outcome = inner.task(|_, _| Ok(())).submit().wait();
            end.cancel(); // not before it has been answered
            Ok(outcome)
        });
        let outcome = outer.submit().wait().unwrap();
        assert!(matches!(outcome, Ok(()) | Err(TaskError::WouldDeadlock)), "{outcome:?}");
        stuck.wait().unwrap();
        await_one_worker(&manager);
        let report = manager.stop().unwrap();
        world.assert_adds_up(&report, 1 + told.get());
        assert_eq!(report.completed, 3);
    });
}
