//! Scaling policies: when they are asked, what becomes of their plans, and that promise 2 holds whatever they plan.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tasker::autoscale::{BreakEven, Fixed, Load, Plan, RateBased, ScalingPolicy};
use tasker::testing::ManualClock;
use tasker::{BuildError, Logger, Phase, TaskManager};

use crate::support::{
    Busy, Fault, Gate, Kit, LIMIT, Manager, Recorder, Res, What, assert_complete, eventually,
    on_every_manager, within,
};

const INTERVAL: Duration = Duration::from_millis(100);

/// Plans what a test says, and notes what it was shown.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<(Option<usize>, Vec<Load>)>>);

impl Told {
    fn plan(&self, workers: usize) {
        self.0.lock().unwrap().0 = Some(workers);
    }

    fn asked(&self) -> usize {
        self.0.lock().unwrap().1.len()
    }

    fn last(&self) -> Load {
        self.0.lock().unwrap().1.last().cloned().expect("it was asked")
    }
}

impl ScalingPolicy for Told {
    fn plan(&mut self, load: &Load, _now: Instant) -> Plan {
        let mut state = self.0.lock().unwrap();
        state.1.push(load.clone());
        match state.0 {
            Some(workers) => Plan::new(workers, format!("the test says {workers}")),
            None => Plan::hold(load, "the test says nothing"),
        }
    }
}

/// Keeps the warnings.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl Logger for Warnings {
    fn debug(&self, _: fmt::Arguments<'_>) {}
    fn info(&self, _: fmt::Arguments<'_>) {}
    fn warn(&self, message: fmt::Arguments<'_>) {
        self.0.lock().unwrap().push(message.to_string());
    }
    fn error(&self, message: fmt::Arguments<'_>) {
        self.0.lock().unwrap().push(message.to_string());
    }
}

fn submit(manager: &TaskManager<Res, Fault>, tasks: usize) -> Vec<tasker::TaskHandle<(), Fault>> {
    (0..tasks).map(|_| manager.task(|_, _| Ok(())).submit()).collect()
}

#[test]
fn a_policy_is_asked_as_soon_as_a_task_finds_nobody_idle() {
    on_every_manager(|kind| {
        let (kit, told) = (Kit::new(), Told::default());
        let config = kit.config(1).max_worker_count(3).burst_interval(INTERVAL);
        let manager = kind.build(config.clock(ManualClock::new()).scaling(told.clone()));
        let busy = Busy::with(&manager, 1);
        assert_eq!(told.asked(), 0, "somebody was idle");
        told.plan(3);
        let waiting = submit(&manager, 1);
        eventually("it is asked although no time passes", || told.asked() > 0);
        for handle in waiting {
            handle.wait().unwrap(); // on a burst worker
        }
        let load = told.last();
        assert_eq!((load.worker_count, load.max_worker_count, load.interval), (1, 3, INTERVAL));
        busy.release();
        manager.stop().unwrap();
        kit.assert_all_destroyed_once();
    });
}

// Promise: an idle manager has no wake-ups.
#[test]
fn nobody_is_asked_while_there_is_nothing_to_scale() {
    on_every_manager(|kind| {
        let (kit, clock, told) = (Kit::new(), ManualClock::new(), Told::default());
        let config = kit.config(2).max_worker_count(4).burst_interval(INTERVAL);
        let manager = kind.build(config.clock(clock.clone()).scaling(told.clone()));
        for _ in 0..20 {
            clock.advance(INTERVAL);
            manager.queue_task(|_, _| Ok(())).unwrap();
        }
        assert_eq!(told.asked(), 0);
        manager.stop().unwrap();
    });
}

#[test]
fn a_plan_grows_and_shrinks_the_pool_and_tells_its_reason() {
    on_every_manager(|kind| {
        let (kit, clock) = (Kit::new(), ManualClock::new());
        let (told, seen) = (Told::default(), Recorder::new());
        let config = kit.config(1).max_worker_count(4).burst_interval(INTERVAL);
        let config = config.clock(clock.clone()).scaling(told.clone()).observer(seen.clone());
        let manager = kind.build(config);
        let busy = Busy::with(&manager, 1);
        told.plan(4);
        submit(&manager, 1).pop().unwrap().wait().unwrap();
        eventually("all are there", || manager.stats().active_workers == 4);
        told.plan(2);
        eventually("two are left", || {
            clock.advance(INTERVAL);
            manager.stats().active_workers == 2 && manager.stats().leaving_workers == 0
        });
        busy.release();
        let said = |from: usize, to: usize, words: &str| {
            seen.wait_for(1, |what| {
                matches!(what, What::Scaled { from: f, to: t, reason }
                    if *f == from && *t == to && reason.to_string() == words)
            });
        };
        said(1, 4, "the test says 4");
        said(4, 2, "the test says 2");
        manager.stop().unwrap();
        kit.assert_all_destroyed_once();
    });
}

// Promise 2: a policy that plans nonsense breaks neither the cap nor the base, and loses nothing.
#[test]
fn a_wild_plan_is_cut_to_the_limits_and_reported() {
    struct Wild(fastrand::Rng);
    impl ScalingPolicy for Wild {
        fn plan(&mut self, load: &Load, _: Instant) -> Plan {
            assert!(load.workers() + load.leaving <= 5, "{load:?}");
            let plans = [0, 1, 3, 5, 6, 1000, usize::MAX];
            Plan::new(plans[self.0.usize(..plans.len())], "wild")
        }
    }
    on_every_manager(|kind| {
        let (kit, warnings) = (Kit::new(), Warnings::default());
        let config = kit.config(2).max_worker_count(5).burst_interval(Duration::from_millis(1));
        let config = config.scaling(Wild(fastrand::Rng::with_seed(7))).logger(warnings.clone());
        let manager = kind.build(config);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for n in 0..100 {
                        let task = manager.task(move |_, _| {
                            thread::yield_now();
                            if n % 20 == 7 { Err(Fault::Own) } else { Ok(()) }
                        });
                        let _ = if n % 2 == 0 { task.run() } else { task.submit().wait() };
                    }
                });
            }
        });
        let (gate, busy) = crate::support::occupy(&manager, 2);
        let waiting = submit(&manager, 30);
        eventually("a wild plan is reported", || {
            warnings.0.lock().unwrap().iter().any(|text| text.contains("scaling policy plans"))
        });
        assert!(manager.stats().active_workers >= 2 || manager.stats().recovering_workers > 0);
        gate.open();
        busy.into_iter().chain(waiting).for_each(|handle| handle.wait().unwrap());
        let report = manager.stop().unwrap();
        assert_complete(&report);
        assert_eq!(report.accepted, 432);
        assert!(kit.peak() <= 5, "{}", kit.peak());
        kit.assert_all_destroyed_once();
    });
}

// Promise 2, by a gate and not by time: however long creations take and whatever is planned.
#[test]
fn slow_creations_never_exceed_the_cap_whatever_the_policy_is() {
    fn check(kind: Manager, policy: Box<dyn ScalingPolicy>) {
        let (kit, clock, slow) = (Kit::new(), ManualClock::new(), Gate::new());
        let config = kit.config(1).max_worker_count(4).burst_interval(INTERVAL);
        let manager = kind.build(config.clock(clock.clone()).scaling(policy));
        kit.block_creates(&slow);
        let busy = Busy::with(&manager, 1);
        let waiting = submit(&manager, 50);
        for _ in 0..40 {
            crate::support::pass(&manager, &clock, INTERVAL);
            assert!(kit.counts().calls <= 4);
        }
        slow.await_arrivals(1); // it does grow
        assert!(manager.stats().recovering_workers <= 3);
        slow.open();
        waiting.into_iter().for_each(|handle| handle.wait().unwrap());
        busy.release();
        assert_complete(&manager.stop().unwrap());
        assert!(kit.peak() <= 4, "{}", kit.peak());
        kit.assert_all_destroyed_once();
    }
    on_every_manager(|kind| {
        let wild = Told::default();
        wild.plan(usize::MAX);
        let policies: [Box<dyn ScalingPolicy>; 4] = [
            Box::new(BreakEven::new()),
            Box::new(RateBased::new()),
            Box::new(Fixed::new(4)),
            Box::new(wild),
        ];
        for policy in policies {
            check(kind, policy);
        }
    });
}

// Promise 8: a policy is the user's code.
#[test]
fn a_policy_that_panics_changes_nothing_and_is_asked_again() {
    struct Panics(Arc<AtomicUsize>);
    impl ScalingPolicy for Panics {
        fn plan(&mut self, _: &Load, _: Instant) -> Plan {
            self.0.fetch_add(1, Ordering::SeqCst);
            panic!("a policy panics on order");
        }
    }
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("so does its drop");
        }
    }
    on_every_manager(|kind| {
        let (kit, warnings) = (Kit::new(), Warnings::default());
        let (clock, asked) = (ManualClock::new(), Arc::new(AtomicUsize::new(0)));
        let config = kit.config(1).max_worker_count(3).burst_interval(INTERVAL);
        let config = config.scaling(Panics(Arc::clone(&asked))).logger(warnings.clone());
        let manager = kind.build(config.clock(clock.clone()));
        let busy = Busy::with(&manager, 1);
        let waiting = submit(&manager, 1);
        eventually("it is asked twice", || {
            clock.advance(INTERVAL);
            asked.load(Ordering::SeqCst) >= 2
        });
        busy.release();
        waiting.into_iter().for_each(|handle| handle.wait().unwrap());
        assert_complete(&manager.stop().unwrap());
        assert_eq!(kit.created(), 1);
        let texts = warnings.0.lock().unwrap();
        assert!(texts.iter().any(|text| text.contains("scaling policy panicked")), "{texts:?}");
    });
}

#[test]
fn a_policy_may_call_its_manager() {
    struct Calls(Arc<Mutex<Option<TaskManager<Res, Fault>>>>);
    impl ScalingPolicy for Calls {
        fn plan(&mut self, load: &Load, _: Instant) -> Plan {
            if let Some(manager) = self.0.lock().unwrap().take() {
                assert_eq!(manager.stats().base_workers, load.worker_count);
                drop(manager.task(|_, _| Ok(())).submit());
                assert_eq!(manager.resize(1, 4), Ok(()));
                let _ = manager.stop(); // begins it and returns
            }
            Plan::hold(load, "it calls")
        }
    }
    on_every_manager(|kind| {
        let (kit, cell) = (Kit::new(), Arc::new(Mutex::new(None)));
        let config = kit.config(1).max_worker_count(3).burst_interval(INTERVAL);
        let manager = kind.build(config.scaling(Calls(Arc::clone(&cell))));
        let busy = Busy::with(&manager, 1);
        *cell.lock().unwrap() = Some(manager.clone());
        let waiting = submit(&manager, 1);
        eventually("the policy stops its manager", || manager.phase() == Phase::Stopping);
        busy.release();
        waiting.into_iter().for_each(|handle| handle.wait().unwrap());
        let report = manager.join();
        assert_complete(&report);
        assert_eq!(report.completed, 3);
    });
}

// Promise 9: a backend that fails is not hammered: each failure halves how many may be under way.
#[test]
fn failing_creations_are_not_multiplied() {
    within(LIMIT, || {
        let (kit, clock, told) = (Kit::new(), ManualClock::new(), Told::default());
        let config = kit.config(1).max_worker_count(16).burst_interval(INTERVAL);
        let manager = Manager::Lending.build(config.clock(clock.clone()).scaling(told.clone()));
        let busy = Busy::with(&manager, 1);
        kit.break_down();
        told.plan(3);
        let waiting = submit(&manager, 1);
        eventually("two have failed", || kit.counts().failures >= 2);
        told.plan(16);
        for _ in 0..10 {
            crate::support::pass(&manager, &clock, Duration::from_millis(1));
        }
        assert_eq!(told.last().allowance, 1);
        assert!(manager.stats().recovering_workers <= 2, "{:?}", manager.stats());
        kit.mend();
        eventually("it grows again", || {
            clock.advance(Duration::from_secs(30));
            manager.stats().active_workers > 3
        });
        busy.release();
        waiting.into_iter().for_each(|handle| handle.wait().unwrap());
        assert_complete(&manager.stop().unwrap());
    });
}

#[test]
fn a_policy_that_contradicts_the_limits_is_refused_before_anything_is_made() {
    struct Panics;
    impl ScalingPolicy for Panics {
        fn plan(&mut self, load: &Load, _: Instant) -> Plan {
            Plan::hold(load, "never")
        }
        fn check(&self, _: usize, _: usize) -> Result<(), String> {
            panic!("a check panics on order");
        }
    }
    let kit = Kit::new();
    let config = || kit.config(1).max_worker_count(4);
    let refused = [
        (config().scaling(Fixed::new(5)), "5"),
        (config().scaling(BreakEven::new().price(-1.0)), "price"),
        (config().scaling(Panics), "a check panics on order"),
        (config().scaling(BreakEven::new()).burst_interval(Duration::ZERO), "burst_interval"),
    ];
    for (config, words) in refused {
        match TaskManager::new(config) {
            Err(error @ BuildError::InvalidSetting { setting: "scaling", .. }) => {
                assert!(error.to_string().contains(words), "{error}");
            }
            other => panic!("{words}: {other:?}"),
        }
    }
    assert_eq!(kit.counts().calls, 0);
}

#[test]
fn every_decision_reads_as_one_sentence() {
    within(LIMIT, || {
        let (kit, seen) = (Kit::new(), Recorder::new());
        let config = kit.config(1).max_worker_count(6).burst_interval(Duration::from_millis(2));
        let manager = Manager::Lending.build(config.observer(seen.clone()));
        let busy: Vec<_> = (0..40)
            .map(|_| manager.task(|cx, _| cx.sleep(INTERVAL / 5).map_err(|_| Fault::Own)).submit())
            .collect();
        busy.into_iter().for_each(|handle| handle.wait().unwrap());
        let shrunk = |what: &What| matches!(what, What::Scaled { from, to, .. } if to < from);
        seen.wait_for(1, shrunk); // it grew and came back
        manager.stop().unwrap();
        let mut last = 1;
        for event in seen.events() {
            if let What::Scaled { from, to, reason } = event.what {
                let words = reason.to_string();
                assert!(words.len() > 10 && !words.contains('\n') && !words.ends_with('.'));
                assert!(words.chars().any(|c| c.is_ascii_digit()), "{words}");
                assert_eq!(from, last, "each decision begins where the last one ended");
                last = to;
            }
        }
    });
}
