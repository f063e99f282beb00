//! What a manager says about itself: why there are so many workers, and what the waiting tasks wait for.

use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{fmt, thread};

use tasker::autoscale::Plan;
use tasker::testing::ManualClock;
use tasker::{Backoff, Config, Explanation, Phase, TaskManager, Waiting};

use crate::support::{
    Busy, Fault, Gate, Kit, LIMIT, Manager, Puppet, assert_complete, eventually, on_every_manager,
    pass, submit, wait_all, within,
};

const INTERVAL: Duration = Duration::from_millis(100);
const SECOND: Duration = Duration::from_secs(1);

/// Plans so many workers, or as many as there are, with these words.
fn puppet(words: &'static str, workers: Option<usize>) -> Puppet {
    let puppet = Puppet::new();
    puppet.say(move |load| Plan::new(workers.unwrap_or(load.workers()), words));
    puppet
}

/// Fails unless every task in the lanes is counted for one cause, and the shares say so.
#[track_caller]
fn assert_accounts(explanation: &Explanation) -> Waiting {
    let waiting = explanation.waiting;
    let causes = [
        waiting.for_workers,
        waiting.for_creations,
        waiting.for_failing_creations,
        waiting.for_cap,
        waiting.for_resume,
    ];
    assert_eq!(causes.iter().sum::<usize>(), waiting.tasks, "{explanation}");
    let shares: f64 = causes.iter().map(|tasks| waiting.share(*tasks)).sum();
    let whole = if waiting.tasks == 0 { 0.0 } else { 1.0 };
    assert!((shares - whole).abs() < 1e-9, "{shares}: {explanation}");
    let there = explanation.in_use + explanation.idle + explanation.creating + explanation.failing;
    assert_eq!(there, explanation.workers, "{explanation:?}");
    let text = explanation.to_string();
    assert!(!text.contains('\n') && text.ends_with('.'), "{text}");
    waiting
}

// Small print of `explain`: nothing waits, and nothing has changed yet.
#[test]
fn an_idle_manager_has_little_to_tell() {
    on_every_manager(|kind| {
        let manager = kind.build(Kit::new().config(2).max_worker_count(5));
        let explanation = manager.explain();
        assert_eq!(assert_accounts(&explanation), Waiting::default());
        let limits = (explanation.worker_count, explanation.max_worker_count);
        assert_eq!((explanation.workers, explanation.idle, limits), (2, 2, (2, 5)));
        assert_eq!((explanation.last_change.clone(), explanation.policy.clone()), (None, None));
        assert_eq!(
            explanation.to_string(),
            "2 workers (2 to 5 are allowed): 2 idle. Their number has not changed yet. No task waits for a worker."
        );
        manager.stop().unwrap();
    });
}

// Small print of `explain`: where the policy does not want more, tasks wait for busy workers; the first says how long.
#[test]
fn tasks_that_wait_for_busy_workers_say_how_long() {
    on_every_manager(|kind| {
        let (kit, clock) = (Kit::new(), ManualClock::new());
        let config = kit
            .config(1)
            .max_worker_count(3)
            .burst_interval(INTERVAL)
            .scaling(puppet("all is well", None));
        let manager = kind.build(config.clock(clock.clone()));
        let busy = Busy::with(&manager, 1);
        let first = submit(&manager, 2);
        for _ in 0..4 {
            pass(&manager, &clock, INTERVAL);
        }
        let second = submit(&manager, 1);
        eventually("the policy has spoken", || manager.explain().policy.is_some());
        let explanation = manager.explain();
        let waiting = assert_accounts(&explanation);
        assert_eq!((waiting.tasks, waiting.for_workers), (3, 3));
        assert_eq!(waiting.longest, Some(INTERVAL * 4));
        let text = explanation.to_string();
        for words in [
            "1 worker (1 to 3 are allowed): 1 in use.",
            "The policy said last: all is well.",
            "3 tasks wait, the first of them for 400 ms: 100 % for a busy worker.",
        ] {
            assert!(text.contains(words), "{words:?} in {text:?}");
        }
        busy.release();
        wait_all(first);
        wait_all(second);
        manager.stop().unwrap();
    });
}

// Small print of `explain`: creations under way, the cap, and the last change with its age.
#[test]
fn creations_the_cap_and_the_last_change_are_told_apart() {
    on_every_manager(|kind| {
        let (kit, clock, slow) = (Kit::new(), ManualClock::new(), Gate::new());
        let config = kit
            .config(1)
            .max_worker_count(3)
            .burst_interval(INTERVAL)
            .scaling(puppet("2 would be nice", Some(2)));
        let manager = kind.build(config.clock(clock.clone()));
        let busy = Busy::with(&manager, 1);
        kit.block_creates(&slow);
        let tasks = submit(&manager, 4);
        slow.await_arrivals(1);
        pass(&manager, &clock, SECOND * 2);
        let explanation = manager.explain();
        let waiting = assert_accounts(&explanation);
        assert_eq!((waiting.for_creations, waiting.for_workers, waiting.for_cap), (1, 3, 0));
        let change = explanation.last_change.clone().expect("it has grown");
        assert_eq!((change.from, change.to, change.ago), (1, 2, SECOND * 2));
        assert_eq!(change.reason.to_string(), "2 would be nice");
        let text = explanation.to_string();
        for words in [
            "2 workers (1 to 3 are allowed): 1 in use, 1 making a resource.",
            "The last change was 1 -> 2, 2 s ago: 2 would be nice.",
            "25 % for a resource in the making, 75 % for a busy worker",
        ] {
            assert!(text.contains(words), "{words:?} in {text:?}");
        }
        manager.resize(1, 2).unwrap(); // now the cap is what there is
        let waiting = assert_accounts(&manager.explain());
        assert_eq!((waiting.for_creations, waiting.for_cap), (1, 3));
        slow.open();
        busy.release();
        wait_all(tasks);
        assert_complete(&manager.stop().unwrap());
    });
}

// Small print of `explain`: in a pause everything waits for its end, in words too.
#[test]
fn a_paused_manager_says_so() {
    on_every_manager(|kind| {
        let manager = kind.build(Kit::new().config(1));
        manager.pause();
        let tasks = submit(&manager, 2);
        let explanation = manager.explain();
        let waiting = assert_accounts(&explanation);
        assert!(explanation.paused);
        assert_eq!((waiting.for_resume, waiting.tasks), (2, 2));
        assert!(explanation.to_string().contains("100 % for resume()"), "{explanation}");
        manager.resume();
        wait_all(tasks);
        assert!(!manager.explain().paused);
        manager.stop().unwrap();
        let over = manager.explain();
        assert_accounts(&over);
        assert_eq!((over.phase, over.workers), (Phase::Stopped, 0));
        assert!(over.to_string().contains("The manager is stopped."), "{over}");
    });
}

// Small print of `explain`: retries that wait for their time, and tasks that wait for room, are told beside the rest.
#[test]
fn delayed_and_outside_tasks_are_told_beside_the_others() {
    on_every_manager(|kind| {
        let (kit, clock) = (Kit::new(), ManualClock::new());
        let config = kit.config(1).queue_capacity(1).retry_backoff(Backoff::fixed(SECOND));
        let manager = kind.build(config.clock(clock.clone()));
        let retried =
            manager.task(|cx, res| if cx.attempt() == 1 { Err(Fault::Sick) } else { res.work() });
        let retried = retried.submit();
        eventually("it waits for its time", || manager.explain().waiting.delayed == 1);
        let busy = Busy::with(&manager, 1);
        let inside = submit(&manager, 1);
        thread::scope(|scope| {
            let outside = scope.spawn(|| submit(&manager, 1));
            eventually("it waits for room", || manager.explain().waiting.outside == 1);
            let explanation = manager.explain();
            let waiting = assert_accounts(&explanation);
            assert_eq!((waiting.tasks, waiting.for_cap), (1, 1));
            let text = explanation.to_string();
            let words = "; 1 wait for the time of their retry; 1 wait for room in the queue.";
            assert!(text.contains(words), "{text}");
            busy.release();
            wait_all(outside.join().unwrap());
        });
        wait_all(inside);
        eventually("the retry runs", || {
            clock.advance(SECOND);
            retried.is_finished()
        });
        retried.wait().unwrap();
        manager.stop().unwrap();
    });
}

// Promise 9 and the small print of `explain`: how often creations failed in a row, and why the last one did.
#[test]
fn failing_creations_are_counted_and_quoted_until_one_succeeds() {
    on_every_manager(|kind| {
        let (kit, clock) = (Kit::new(), ManualClock::new());
        let manager = kind.build(kit.config(1).clock(clock.clone()));
        kit.break_down();
        let sick = manager.task_once(|_, _| Err::<(), _>(Fault::Sick)).submit();
        assert!(sick.wait().is_err());
        let tasks = submit(&manager, 2);
        eventually("three have failed", || {
            clock.advance(SECOND / 100);
            manager.explain().failed_creations >= 3
        });
        eventually("it waits to try again", || manager.explain().failing == 1);
        let explanation = manager.explain();
        let waiting = assert_accounts(&explanation);
        assert_eq!((waiting.for_failing_creations, waiting.for_cap), (1, 1));
        assert_eq!(explanation.last_create_error.as_deref(), Some("create fault"));
        let failed = explanation.failed_creations;
        let text = explanation.to_string();
        let words =
            format!("on_create failed {failed} times in a row, the last time with: create fault.");
        assert!(text.ends_with(&words), "{text}");
        assert!(text.contains("1 waiting to try again"), "{text}");
        kit.mend();
        eventually("it is mended", || {
            clock.advance(SECOND);
            manager.stats().active_workers == 1
        });
        wait_all(tasks);
        let mended = manager.explain();
        assert_eq!(mended.failed_creations, 0);
        assert!(!mended.to_string().contains("on_create"), "{mended}");
        assert_eq!(mended.last_create_error.as_deref(), Some("create fault"), "however long ago");
        manager.stop().unwrap();
        assert_eq!(manager.explain().last_create_error.as_deref(), Some("create fault"));
    });
}

// Promise 8 and the small print of `explain`: a creation that panicked is quoted as well.
#[test]
fn a_panic_of_on_create_is_quoted() {
    on_every_manager(|kind| {
        let (kit, clock) = (Kit::new(), ManualClock::new());
        let manager = kind.build(kit.config(1).clock(clock.clone()));
        kit.panic_next_create();
        let sick = manager.task_once(|_, _| Err::<(), _>(Fault::Sick)).submit();
        assert!(sick.wait().is_err());
        eventually("it is kept", || manager.explain().last_create_error.is_some());
        let text = manager.explain().last_create_error.unwrap();
        assert!(text.contains("panicked") && text.contains("on order"), "{text}");
        eventually("it is mended", || {
            clock.advance(SECOND);
            manager.stats().active_workers == 1
        });
        manager.stop().unwrap();
    });
}

// Small print of `explain`: the pool's creations are quoted, too.
#[test]
fn a_creation_for_the_pool_that_failed_is_quoted() {
    for kind in [Manager::Lending, Manager::NotLending] {
        within(LIMIT, move || {
            let (kit, clock) = (Kit::new(), ManualClock::new());
            let config = kit.config(1).resource_pool_size(1);
            let manager = kind.build(config.clock(clock.clone()));
            kit.break_down();
            assert!(manager.run_task(|_, _| Err::<(), _>(Fault::Sick)).is_err());
            eventually("it is kept", || manager.explain().last_create_error.is_some());
            let explanation = manager.explain();
            assert_eq!(explanation.last_create_error.as_deref(), Some("create fault"));
            assert_eq!((explanation.failing, explanation.idle), (0, 1), "no worker is concerned");
            kit.mend();
            manager.stop().unwrap();
            kit.assert_all_destroyed_once();
        });
    }
}

/// An error whose text comes from its own manager.
#[derive(Debug, Clone, Default)]
struct Curious(Arc<Mutex<Option<TaskManager<(), Curious>>>>);

impl fmt::Display for Curious {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let manager = self.0.lock().unwrap().take(); // asked once, so that it comes to an end
        match manager {
            Some(manager) => {
                write!(f, "{} workers said: {}", manager.stats().base_workers, manager.explain())
            }
            None => f.write_str("nobody to ask"),
        }
    }
}

// Promise 8 and the small print of `explain`: an error's text runs under no lock, so that it may ask the manager.
#[test]
fn an_errors_text_may_ask_the_manager_for_its_account() {
    within(LIMIT, || {
        let (error, down) = (Curious::default(), Gate::new());
        let (made, broken) = (error.clone(), down.clone());
        let create = move || if broken.is_open() { Err(made.clone()) } else { Ok(()) };
        let clock = ManualClock::new();
        let config = Config::<(), Curious>::new(create).worker_count(1).max_worker_count(1);
        let config = config.check_health(|_| false).resource_pool_size(0).clock(clock);
        let manager = TaskManager::new(config).unwrap();
        down.open();
        let sick = error.clone();
        assert!(manager.task_once(move |_, ()| Err::<(), _>(sick)).submit().wait().is_err());
        eventually("it is kept", || manager.explain().last_create_error.is_some());
        *error.0.lock().unwrap() = Some(manager.clone());
        let text = manager.explain().last_create_error.unwrap();
        assert!(text.starts_with("1 workers said: "), "{text}");
        let again = manager.explain().last_create_error.unwrap();
        assert_eq!(again, "nobody to ask", "the error is kept");
        manager.kill().unwrap();
        assert_eq!(manager.explain().phase, Phase::Killed);
    });
}

// Small print of `explain`: many may ask at once while creations fail, and none of them loses the error for good.
#[test]
fn an_account_may_be_asked_for_by_many_at_once() {
    on_every_manager(|kind| {
        let (kit, clock) = (Kit::new(), ManualClock::new());
        let manager = kind.build(kit.config(1).clock(clock.clone()));
        kit.break_down();
        let sick = manager.task_once(|_, _| Err::<(), _>(Fault::Sick)).submit();
        assert!(sick.wait().is_err());
        eventually("it is kept", || manager.explain().last_create_error.is_some());
        let tasks = submit(&manager, 5);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        assert_accounts(&manager.explain());
                        clock.advance(SECOND / 100);
                    }
                });
            }
        });
        eventually("it is still kept", || manager.explain().last_create_error.is_some());
        kit.mend();
        eventually("it is mended", || {
            clock.advance(SECOND);
            manager.stats().active_workers == 1
        });
        wait_all(tasks);
        assert_complete(&manager.stop().unwrap());
    });
}

#[test]
fn an_account_tells_what_the_tasks_wait_for() {
    within(LIMIT, || {
        let (kit, clock, slow) = (Kit::new(), ManualClock::new(), Gate::new());
        let config = kit.config(1).max_worker_count(2).clock(clock.clone());
        let manager = Manager::Lending.build(config.scaling(tasker::autoscale::Fixed::new(2)));
        let quiet = manager.explain();
        assert_eq!((quiet.phase, quiet.waiting.tasks, quiet.workers), (Phase::Running, 0, 1));
        assert!(quiet.to_string().contains("No task waits for a worker."), "{quiet}");

        kit.block_creates(&slow);
        kit.break_down(); // what is made from now on fails when the gate opens
        let busy = Busy::with(&manager, 1);
        let waiting: Vec<_> = (0..4).map(|_| manager.task(|_, _| Ok(())).submit()).collect();
        slow.await_arrivals(1);
        let grown = manager.explain();
        assert_eq!((grown.waiting.for_creations, grown.waiting.for_cap), (1, 3));
        assert_eq!(grown.waiting.share(1) + grown.waiting.share(3), 1.0);
        let change = grown.last_change.clone().unwrap();
        assert_eq!((change.from, change.to), (1, 2));
        assert!(grown.to_string().contains("1 -> 2"), "{grown}");
        assert!(grown.to_string().contains("75 % because max_worker_count is reached"), "{grown}");

        slow.open();
        eventually("its creation fails", || manager.explain().failing == 1);
        let failing = manager.explain();
        assert_eq!(failing.waiting.for_failing_creations, 1);
        eventually("the error is kept", || manager.explain().last_create_error.is_some());
        let words = manager.explain().to_string();
        assert!(words.contains("on_create failed") && words.contains("create fault"), "{words}");

        kit.mend();
        eventually("it is mended", || {
            clock.advance(Duration::from_secs(1));
            manager.stats().active_workers == 2
        });
        busy.release();
        waiting.into_iter().for_each(|handle| handle.wait().unwrap());
        manager.stop().unwrap();
        let over = manager.explain();
        assert_eq!((over.phase, over.workers), (Phase::Stopped, 0));
    });
}

#[test]
fn an_account_survives_an_error_that_cannot_be_printed() {
    #[derive(Debug)]
    struct Mute;
    impl std::fmt::Display for Mute {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            panic!("it panics when it is printed");
        }
    }
    within(LIMIT, || {
        let fails = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let failing = Arc::clone(&fails);
        let create = move || match failing.load(std::sync::atomic::Ordering::SeqCst) {
            true => Err(Mute),
            false => Ok(()),
        };
        let config =
            tasker::Config::<(), Mute>::new(create).worker_count(1).check_health(|_| false);
        let manager = tasker::TaskManager::new(config.max_worker_count(1)).unwrap();
        fails.store(true, std::sync::atomic::Ordering::SeqCst);
        assert!(manager.task_once(|_, _| Err::<(), _>(Mute)).submit().wait().is_err());
        eventually("a creation fails", || manager.explain().last_create_error.is_some());
        let text = manager.explain().last_create_error.unwrap();
        assert!(text.contains("panics"), "{text}");
        fails.store(false, std::sync::atomic::Ordering::SeqCst);
        eventually("the worker is back", || manager.stats().active_workers == 1);
    });
}
