//! Promises 2 and 8: what scaling policies are asked and when, what becomes of their plans, and when they are dropped.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tasker::autoscale::{BreakEven, Fixed, Load, Plan, RateBased, Reason, ScalingPolicy};
use tasker::testing::ManualClock;
use tasker::{BuildError, Phase, TaskError, TaskManager};

use crate::support::{
    Busy, Fault, Gate, Kit, LIMIT, Log, Manager, Puppet, Recorder, Res, What, assert_complete,
    await_rest, eventually, on_every_manager, pass, submit, wait_all, within,
};

const INTERVAL: Duration = Duration::from_millis(100);
const HOUR: Duration = Duration::from_secs(3600);
const MOMENT: Duration = Duration::from_nanos(1);

#[test]
fn a_policy_is_asked_as_soon_as_a_task_finds_nobody_idle() {
    on_every_manager(|kind| {
        let (kit, puppet) = (Kit::new(), Puppet::new());
        let config = kit.config(1).max_worker_count(3).burst_interval(INTERVAL);
        let manager = kind.build(config.clock(ManualClock::new()).scaling(puppet.clone()));
        let busy = Busy::with(&manager, 1);
        assert_eq!(puppet.asked(), 0, "somebody was idle");
        puppet.say_workers(3);
        let waiting = submit(&manager, 1);
        eventually("it is asked although no time passes", || puppet.asked() > 0);
        for handle in waiting {
            handle.wait().unwrap(); // on a burst worker
        }
        let load = puppet.last();
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
        let (kit, clock, puppet) = (Kit::new(), ManualClock::new(), Puppet::new());
        let config = kit.config(2).max_worker_count(4).burst_interval(INTERVAL);
        let manager = kind.build(config.clock(clock.clone()).scaling(puppet.clone()));
        for _ in 0..20 {
            await_rest(&manager, 2); // a worker answers before it rests
            clock.advance(INTERVAL);
            manager.queue_task(|_, _| Ok(())).unwrap();
        }
        assert_eq!(puppet.asked(), 0);
        manager.stop().unwrap();
    });
}

#[test]
fn a_plan_grows_and_shrinks_the_pool_and_tells_its_reason() {
    on_every_manager(|kind| {
        let (kit, clock) = (Kit::new(), ManualClock::new());
        let (puppet, seen) = (Puppet::new(), Recorder::new());
        let config = kit.config(1).max_worker_count(4).burst_interval(INTERVAL);
        let config = config.clock(clock.clone()).scaling(puppet.clone()).observer(seen.clone());
        let manager = kind.build(config);
        let busy = Busy::with(&manager, 1);
        puppet.say_workers(4);
        submit(&manager, 1).pop().unwrap().wait().unwrap();
        eventually("all are there", || manager.stats().active_workers == 4);
        puppet.say_workers(2);
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
        said(1, 4, "4 are wanted");
        said(4, 2, "2 are wanted");
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
        let (kit, warnings) = (Kit::new(), Log::default());
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
        let wild = Puppet::new();
        wild.say_workers(usize::MAX);
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
        let (kit, warnings) = (Kit::new(), Log::default());
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
        let (kit, clock, puppet) = (Kit::new(), ManualClock::new(), Puppet::new());
        let config = kit.config(1).max_worker_count(16).burst_interval(INTERVAL);
        let manager = Manager::Lending.build(config.clock(clock.clone()).scaling(puppet.clone()));
        let busy = Busy::with(&manager, 1);
        kit.break_down();
        puppet.say_workers(3);
        let waiting = submit(&manager, 1);
        eventually("two have failed", || kit.counts().failures >= 2);
        puppet.say_workers(16);
        for _ in 0..10 {
            crate::support::pass(&manager, &clock, Duration::from_millis(1));
        }
        assert_eq!(puppet.last().allowance, 1);
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

// Small print: the default policy's decisions, from a burst to its end.
#[test]
fn every_decision_reads_as_one_sentence() {
    on_every_manager(|kind| {
        let (kit, clock, seen) = (Kit::new(), ManualClock::new(), Recorder::new());
        let config = kit.config(1).max_worker_count(6).burst_interval(INTERVAL);
        let manager = kind.build(config.clock(clock.clone()).observer(seen.clone()));
        let gate = Gate::new();
        let long = |gate: &Gate| {
            let gate = gate.clone();
            let wait = move |_: &_, _: &mut _| {
                gate.wait();
                Ok(())
            };
            manager.task_once(wait).submit()
        };
        let busy: Vec<_> = (0..12).map(|_| long(&gate)).collect();
        eventually("it grows", || {
            clock.advance(INTERVAL);
            manager.stats().running_tasks == 6
        });
        gate.open();
        wait_all(busy);
        eventually("it comes back", || {
            clock.advance(INTERVAL);
            manager.stats().active_workers == 1
        });
        seen.wait_for(1, |what| matches!(what, What::Scaled { to: 1, .. }));
        manager.stop().unwrap();
        for reason in changes(&seen, 1) {
            let words = reason.to_string();
            assert!(words.len() > 10 && words.chars().any(|c| c.is_ascii_digit()), "{words}");
        }
    });
}

/// Moves the clock on and blocks until the timekeeper has done everything that fell due, a look at the
/// load included. One of the `idle` workers is used as an alarm clock; nobody else may be coming or going.
fn elapse(manager: &TaskManager<Res, Fault>, clock: &ManualClock, idle: usize, step: Duration) {
    // A look comes after the timeouts of the same moment; when the second alarm rings it is over.
    for step in [step, MOMENT] {
        await_rest(manager, idle);
        let alarm = manager.task_once(|cx, _| {
            cx.token().wait();
            Ok(())
        });
        let alarm = alarm.timeout(step).submit();
        clock.advance(step);
        alarm.wait().unwrap();
    }
    await_rest(manager, idle);
}

/// Grows to `workers`, all of which are idle then, and holds that number.
fn grow(manager: &TaskManager<Res, Fault>, puppet: &Puppet, workers: usize) {
    let busy = Busy::with(manager, 1);
    puppet.say_workers(workers);
    let waiting = submit(manager, 1);
    eventually("they are there", || manager.stats().active_workers == workers);
    puppet.hold();
    wait_all(waiting);
    busy.release();
    await_rest(manager, workers);
}

// Small print of `burst_interval`: once per interval, no more and no less, while somebody may be one too many.
#[test]
fn a_policy_is_asked_once_per_interval_while_somebody_may_be_one_too_many() {
    on_every_manager(|kind| {
        let (kit, clock, puppet) = (Kit::new(), ManualClock::new(), Puppet::new());
        let config = kit.config(1).max_worker_count(3).burst_interval(INTERVAL);
        let manager = kind.build(config.clock(clock.clone()).scaling(puppet.clone()));
        grow(&manager, &puppet, 2);
        puppet.tick(&clock, INTERVAL); // whatever was still under way is over
        elapse(&manager, &clock, 2, MOMENT);
        let before = puppet.asked();
        for _ in 0..10 {
            puppet.tick(&clock, INTERVAL);
        }
        elapse(&manager, &clock, 2, MOMENT);
        assert_eq!(puppet.asked() - before, 10);
        assert_complete(&manager.stop().unwrap());
    });
}

// Small print of `ScalingPolicy`: an idle manager has no wake-ups, before a burst and after it.
#[test]
fn nobody_is_asked_once_the_burst_is_over() {
    on_every_manager(|kind| {
        let (kit, clock, puppet) = (Kit::new(), ManualClock::new(), Puppet::new());
        let config = kit.config(1).max_worker_count(3).burst_interval(INTERVAL);
        let manager = kind.build(config.clock(clock.clone()).scaling(puppet.clone()));
        for _ in 0..3 {
            elapse(&manager, &clock, 1, HOUR);
        }
        assert_eq!(puppet.asked(), 0);
        let busy = Busy::with(&manager, 1);
        let waiting = submit(&manager, 1);
        puppet.await_asked(1);
        puppet.tick(&clock, INTERVAL); // it does not want more
        busy.release();
        wait_all(waiting);
        elapse(&manager, &clock, 1, INTERVAL); // the last look finds nothing to do
        let before = puppet.asked();
        for _ in 0..3 {
            elapse(&manager, &clock, 1, HOUR);
        }
        assert_eq!(puppet.asked(), before, "nobody waits any more");
        grow(&manager, &puppet, 3);
        puppet.say_workers(1);
        clock.advance(INTERVAL);
        kit.wait_until(|counts| counts.live == 1);
        puppet.hold();
        elapse(&manager, &clock, 1, INTERVAL);
        let before = puppet.asked();
        for _ in 0..3 {
            elapse(&manager, &clock, 1, HOUR);
        }
        assert_eq!(puppet.asked(), before, "there is nothing to scale any more");
        assert_complete(&manager.stop().unwrap());
    });
}

// Promise 2 and the small print of `ScalingPolicy`: those that work stay, and of the idle the coldest goes first.
#[test]
fn a_plan_for_fewer_sends_the_coldest_away_and_nobody_who_works() {
    on_every_manager(|kind| {
        let (kit, clock, seen) = (Kit::new(), ManualClock::new(), Recorder::new());
        let puppet = Puppet::new();
        let config = kit.config(1).max_worker_count(4).burst_interval(INTERVAL);
        let config = config.clock(clock.clone()).observer(seen.clone());
        let manager = kind.build(config.scaling(puppet.clone()));
        puppet.say_workers(4);
        let mut working: Vec<_> = (0..4)
            .map(|_| {
                let gate = Gate::new();
                let inside = gate.clone();
                let task = manager.task_once(move |_, res| {
                    inside.wait();
                    Ok(res.id())
                });
                (gate, task.submit())
            })
            .collect();
        for (gate, _) in &working {
            gate.await_arrivals(1); // on four workers
        }
        puppet.hold();
        let mut cool = |idle| {
            let (gate, task) = working.remove(0);
            gate.open();
            let id = task.wait().unwrap();
            await_rest(&manager, idle);
            clock.advance(Duration::from_secs(1));
            id
        };
        let (coldest, warmer) = (cool(1), cool(2));
        puppet.say_workers(3);
        clock.advance(INTERVAL);
        kit.wait_until(|counts| counts.destroyed == 1);
        assert!(kit.is_gone(coldest), "{warmer} went before {coldest}");
        puppet.say_workers(0);
        clock.advance(INTERVAL);
        kit.wait_until(|counts| counts.destroyed == 2);
        assert!(kit.is_gone(warmer));
        for _ in 0..5 {
            pass(&manager, &clock, INTERVAL);
        }
        assert_eq!((kit.live(), manager.stats().running_tasks), (2, 2));
        let steps = |from, to| move |what: &What| matches!(what, What::Scaled { from: f, to: t, .. } if (*f, *t) == (from, to));
        for (from, to) in [(4, 3), (3, 2)] {
            assert_eq!(seen.count(steps(from, to)), 1, "{from} -> {to}");
        }
        for (gate, task) in working {
            gate.open();
            assert!(![coldest, warmer].contains(&task.wait().unwrap()));
        }
        assert_complete(&manager.stop().unwrap());
        kit.assert_all_destroyed_once();
    });
}

// Promise 2: the base is there whatever is planned, and each impossible plan is reported once.
#[test]
fn an_impossible_plan_is_carried_out_as_far_as_it_may_be_and_reported_once() {
    on_every_manager(|kind| {
        let (kit, clock, log) = (Kit::new(), ManualClock::new(), Log::default());
        let puppet = Puppet::new();
        let config = kit.config(2).max_worker_count(4).burst_interval(INTERVAL);
        let config = config.clock(clock.clone()).logger(log.clone());
        let manager = kind.build(config.scaling(puppet.clone()));
        let busy = Busy::with(&manager, 2);
        puppet.say_workers(usize::MAX);
        let waiting = submit(&manager, 1);
        eventually("it grows to the cap", || manager.stats().active_workers == 4);
        wait_all(waiting);
        busy.release();
        for _ in 0..5 {
            puppet.tick(&clock, INTERVAL);
        }
        assert_eq!(log.count(&usize::MAX.to_string()), 1, "{:?}", log.0);
        assert_eq!(log.count("2 to 4 are allowed"), 1, "{:?}", log.0);
        puppet.say_workers(0);
        clock.advance(INTERVAL);
        kit.wait_until(|counts| counts.live == 2);
        eventually("it is reported", || log.count("plans 0 workers") == 1);
        manager.queue_task(|_, _| Ok(())).unwrap();
        assert_complete(&manager.stop().unwrap());
        assert_eq!((kit.peak(), kit.created()), (4, 4));
        kit.assert_all_destroyed_once();
    });
}

// Promise 2, held by a gate: with creations that take for ever there are as many as the cap allows, never one
// more, whoever waits and however often the policy is asked.
#[test]
fn creations_that_take_for_ever_fill_the_cap_and_never_exceed_it() {
    on_every_manager(|kind| {
        for wild in [false, true] {
            let (kit, clock, slow) = (Kit::new(), ManualClock::new(), Gate::new());
            let mut config = kit.config(1).max_worker_count(4).burst_interval(INTERVAL);
            let (puppet, turn) = (Puppet::new(), AtomicUsize::new(0));
            if wild {
                puppet.say(move |_| {
                    let plans = [usize::MAX, 0, 1 << 40, 5, 4];
                    Plan::new(plans[turn.fetch_add(1, Ordering::Relaxed) % 5], "wild")
                });
                config = config.scaling(puppet.clone());
            }
            let manager = kind.build(config.clock(clock.clone()));
            let busy = Busy::with(&manager, 1);
            kit.block_creates(&slow);
            thread::scope(|scope| {
                let blocked: Vec<_> =
                    (0..3).map(|_| scope.spawn(|| manager.task(|_, _| Ok(())).run())).collect();
                let waiting = submit(&manager, 40);
                eventually("all wait", || manager.stats().queued_tasks == 43);
                for _ in 0..20 {
                    pass(&manager, &clock, INTERVAL);
                    assert!(kit.counts().calls <= 4);
                }
                // The last plan may have dismissed workers that had not yet begun to make their resource.
                puppet.say_workers(4);
                eventually("the cap is full of creations", || {
                    clock.advance(INTERVAL);
                    kit.counts().calls == 4
                });
                slow.await_arrivals(3);
                assert_eq!((kit.counts().calls, kit.peak()), (4, 4));
                assert_eq!(manager.explain().creating, 3);
                slow.open();
                wait_all(waiting);
                for blocked in blocked {
                    blocked.join().unwrap().unwrap();
                }
            });
            busy.release();
            assert_complete(&manager.stop().unwrap());
            assert_eq!(kit.peak(), 4, "wild: {wild}");
            kit.assert_all_destroyed_once();
        }
    });
}

// Promise 1: while the others are still making theirs, the only worker that has a resource is not dismissed for
// having been idle: the next task would wait for a creation that may hang.
#[test]
fn the_only_worker_with_a_resource_stays_while_others_are_making_theirs() {
    on_every_manager(|kind| {
        for by_default in [true, false] {
            let (kit, clock, slow) = (Kit::new(), ManualClock::new(), Gate::new());
            let puppet = Puppet::new();
            let config = kit.config(1).max_worker_count(4).burst_interval(INTERVAL);
            let manager = kind.build(config.clock(clock.clone()).scaling(puppet.clone()));
            let busy = Busy::with(&manager, 1);
            kit.block_creates(&slow);
            puppet.say_workers(4);
            let waiting = submit(&manager, 20);
            slow.await_arrivals(3);
            let now = clock.clone();
            match by_default {
                true => puppet.say(move |load| BreakEven::new().plan(load, now.now())),
                false => puppet.say_workers(1),
            }
            busy.release();
            wait_all(waiting); // by the only one that can
            for _ in 0..30 {
                // Whoever leaves may put the next look off by a little, so that one interval need not do.
                let before = puppet.asked();
                eventually("it is asked again", || {
                    clock.advance(INTERVAL);
                    puppet.asked() > before
                });
            }
            let (active, gone) = (manager.stats().active_workers, kit.is_gone(1));
            slow.open();
            manager.queue_task(|_, _| Ok(())).unwrap();
            assert_complete(&manager.stop().unwrap());
            kit.assert_all_destroyed_once();
            assert_eq!((active, gone), (1, false), "by default: {by_default}");
        }
    });
}

// Promise 8: a policy that panics once is caught and logged, and what it plans the next time is done.
#[test]
fn what_a_policy_plans_after_a_panic_is_done() {
    on_every_manager(|kind| {
        let (kit, clock, log) = (Kit::new(), ManualClock::new(), Log::default());
        let (puppet, seen) = (Puppet::new(), Recorder::new());
        let config = kit.config(1).max_worker_count(3).burst_interval(INTERVAL);
        let config = config.clock(clock.clone()).logger(log.clone()).observer(seen.clone());
        let manager = kind.build(config.scaling(puppet.clone()));
        puppet.say(|_| panic!("no plan today"));
        let busy = Busy::with(&manager, 1);
        let waiting = submit(&manager, 1);
        eventually("it is logged", || log.count("error: the scaling policy panicked") == 1);
        assert_eq!(log.count("no plan today"), 1);
        puppet.say_workers(2);
        clock.advance(INTERVAL);
        wait_all(waiting); // on the second worker
        seen.wait_for(1, |what| {
            matches!(what, What::Scaled { from: 1, to: 2, reason } if reason.to_string() == "2 are wanted")
        });
        assert_eq!(seen.count(|what| matches!(what, What::Scaled { .. })), 1);
        busy.release();
        assert_complete(&manager.stop().unwrap());
    });
}

// Promises 1 and 11: a policy may kill its manager, and everybody is answered.
#[test]
fn a_policy_may_kill_its_manager() {
    on_every_manager(|kind| {
        let (kit, puppet) = (Kit::new(), Puppet::new());
        let config = kit.config(1).max_worker_count(3).burst_interval(INTERVAL);
        let manager = kind.build(config.scaling(puppet.clone()));
        let killed = manager.clone();
        puppet.say(move |load| {
            assert!(killed.explain().workers >= 1);
            let report = killed.kill().unwrap(); // at once, although tasks run
            assert!(!report.stragglers.is_empty());
            Plan::new(load.workers() + 1, "too late")
        });
        let busy = Busy::with(&manager, 1);
        let ended = manager.task(|_, _| Ok(())).submit().wait();
        assert!(matches!(ended, Err(TaskError::Killed)), "{ended:?}");
        busy.release();
        let report = manager.join();
        assert_complete(&report);
        assert_eq!((report.dropped, manager.phase()), (1, Phase::Killed));
        assert_eq!(kit.created(), 1, "a killed manager does not grow");
        puppet.hold(); // lets go of the manager
        kit.assert_all_destroyed_once();
    });
}

// Promise 4: a plan that was made before a pause is not carried out in it, and the policy is asked again after it.
#[test]
fn a_plan_is_not_carried_out_in_a_pause() {
    on_every_manager(|kind| {
        let (kit, clock, seen) = (Kit::new(), ManualClock::new(), Recorder::new());
        let puppet = Puppet::new();
        let config = kit.config(1).max_worker_count(3).burst_interval(INTERVAL);
        let config = config.clock(clock.clone()).observer(seen.clone());
        let manager = kind.build(config.scaling(puppet.clone()));
        let paused = manager.clone();
        puppet.say(move |_| {
            paused.pause();
            Plan::new(3, "made before the pause")
        });
        let busy = Busy::with(&manager, 1);
        let waiting = submit(&manager, 2);
        puppet.await_asked(1);
        eventually("it pauses", || manager.stats().paused);
        for _ in 0..5 {
            pass(&manager, &clock, INTERVAL);
        }
        assert_eq!(puppet.asked(), 1, "nobody is asked in a pause");
        assert_eq!(seen.count(|what| matches!(what, What::Scaled { .. })), 0);
        assert_eq!(kit.counts().calls, 1);
        puppet.say_workers(2);
        manager.resume();
        wait_all(waiting);
        busy.release();
        assert_complete(&manager.stop().unwrap());
        assert_eq!(kit.peak(), 2);
    });
}

/// A policy that notes its drop, and panics in it on order.
struct Droppable {
    dropped: Arc<AtomicU64>,
    panics: bool,
    refuses: bool,
}

impl ScalingPolicy for Droppable {
    fn plan(&mut self, load: &Load, _now: Instant) -> Plan {
        Plan::hold(load, "it only waits for its end")
    }

    fn check(&self, _: usize, _: usize) -> Result<(), String> {
        if self.refuses { Err("it refuses everything".to_owned()) } else { Ok(()) }
    }
}

impl Drop for Droppable {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::SeqCst);
        assert!(!self.panics, "a policy's drop panics on order");
    }
}

// Promise 8: the policy is gone when a shutdown has returned, and its drop may panic.
#[test]
fn a_policy_is_dropped_once_before_a_shutdown_returns() {
    on_every_manager(|kind| {
        for (panics, kill) in [(false, false), (false, true), (true, false), (true, true)] {
            let (kit, dropped) = (Kit::new(), Arc::new(AtomicU64::new(0)));
            let policy = Droppable { dropped: Arc::clone(&dropped), panics, refuses: false };
            let manager = kind.build(kit.config(1).max_worker_count(2).scaling(policy));
            manager.queue_task(|_, _| Ok(())).unwrap();
            assert_eq!(dropped.load(Ordering::SeqCst), 0);
            let report = if kill { manager.kill() } else { manager.stop() };
            assert_complete(&report.unwrap());
            assert_eq!(dropped.load(Ordering::SeqCst), 1, "panics: {panics}, kill: {kill}");
            kit.assert_all_destroyed_once();
        }
    });
}

// Promises 8 and 13: nor does a policy outlive a manager that nobody holds, or that could not be built.
#[test]
fn a_policy_does_not_outlive_a_manager_that_nobody_stops() {
    on_every_manager(|kind| {
        for panics in [false, true] {
            let dropped = Arc::new(AtomicU64::new(0));
            let policy = |refuses: bool| Droppable {
                dropped: Arc::clone(&dropped),
                panics: panics && !refuses,
                refuses,
            };
            let kit = Kit::new();
            drop(kind.build(kit.config(1).max_worker_count(2).scaling(policy(false))));
            eventually("it is dropped", || dropped.load(Ordering::SeqCst) == 1);
            kit.wait_until(|counts| counts.destroyed == 1);

            kit.fail_next_creates(1);
            let failed = kind.try_build(kit.config(1).max_worker_count(2).scaling(policy(false)));
            assert!(matches!(failed, Err(BuildError::CreateFailed(Fault::Create))), "{failed:?}");
            assert_eq!(dropped.load(Ordering::SeqCst), 2);

            let refused = kind.try_build(kit.config(1).scaling(policy(true)));
            let text = refused.unwrap_err().to_string();
            assert_eq!(text, "scaling: it refuses everything");
            assert_eq!(dropped.load(Ordering::SeqCst), 3);
            assert_eq!(kit.counts().calls, 2, "nothing is made for a refused policy");
        }
    });
}

/// Fails unless the reason prints as one sentence without its full stop.
#[track_caller]
fn assert_sentence(reason: &Reason) {
    let words = reason.to_string();
    assert!(!words.is_empty() && words.trim() == words, "{words:?}");
    assert!(!words.contains('\n') && !words.ends_with('.'), "{words:?}");
}

/// The reasons of all changes so far, each of which has to begin where the one before it ended.
fn changes(seen: &Recorder, workers: usize) -> Vec<Reason> {
    let mut last = workers;
    let mut reasons = Vec::new();
    for event in seen.events() {
        if let What::Scaled { from, to, reason } = event.what {
            assert_eq!(from, last, "{reason}");
            assert_ne!(from, to, "{reason}");
            assert_sentence(&reason);
            last = to;
            reasons.push(reason);
        }
    }
    reasons
}

// Small print of `Event::Scaled`: the default policy gives the numbers of what it saw, and so do the limits.
#[test]
fn every_kind_of_reason_carries_the_numbers_it_was_made_of() {
    on_every_manager(|kind| {
        let (kit, clock, seen) = (Kit::new(), ManualClock::new(), Recorder::new());
        let config = kit.config(1).max_worker_count(4).burst_interval(INTERVAL);
        let manager = kind.build(config.clock(clock.clone()).observer(seen.clone()));
        let busy = Busy::with(&manager, 1);
        let waiting = submit(&manager, 7);
        clock.advance(INTERVAL * 10); // whatever runs takes a second at least, and tasks are queued
        wait_all(waiting);
        busy.release();
        eventually("it has shrunk to its base", || {
            clock.advance(INTERVAL);
            manager.stats().burst_workers == 0 && manager.stats().leaving_workers == 0
        });
        manager.resize(3, 6).unwrap();
        await_rest(&manager, 3);
        manager.stop().unwrap();
        let reasons = changes(&seen, 1);
        assert!(
            matches!(reasons.first(), Some(Reason::Surge { queued, service_time, .. })
            if (1..=7).contains(queued) && !service_time.is_zero()),
            "{reasons:?}"
        );
        assert!(reasons[0].to_string().contains(" queued, "), "{}", reasons[0]);
        let idle = reasons.iter().find(|reason| matches!(reason, Reason::Idle { .. }));
        let Some(Reason::Idle { idle_for, limit, .. }) = idle else { panic!("{reasons:?}") };
        assert!(idle_for >= limit, "{reasons:?}");
        let last = reasons.last().unwrap().to_string();
        assert_eq!(last, "the limits are 3 to 6 workers");
    });
}

// Small print of `Event::Scaled`: what `min_idle` hires, and whom nobody needs.
#[test]
fn idle_workers_that_are_wanted_and_unequipped_ones_that_are_not_are_told_of() {
    on_every_manager(|kind| {
        let (kit, clock, seen) = (Kit::new(), ManualClock::new(), Recorder::new());
        let puppet = Puppet::new();
        let config = kit.config(1).max_worker_count(4).burst_interval(INTERVAL).min_idle(2);
        let config = config.clock(clock.clone()).observer(seen.clone());
        let manager = kind.build(config.scaling(puppet));
        await_rest(&manager, 2);
        assert_complete(&manager.stop().unwrap());
        let words: Vec<_> = changes(&seen, 1).iter().map(Reason::to_string).collect();
        assert_eq!(words, ["0 workers are in use, and 2 more are to be idle"]);

        let (kit, clock, seen) = (Kit::new(), ManualClock::new(), Recorder::new());
        let puppet = Puppet::new();
        let config = kit.config(1).max_worker_count(4).burst_interval(INTERVAL);
        let config = config.clock(clock.clone()).observer(seen.clone());
        let manager = kind.build(config.scaling(puppet.clone()));
        let busy = Busy::with(&manager, 1);
        kit.break_down();
        puppet.say_workers(2);
        let waiting = submit(&manager, 1);
        eventually("it fails", || manager.explain().failing == 1);
        puppet.hold();
        busy.release();
        wait_all(waiting); // by the base worker
        eventually("it is sent away", || {
            clock.advance(INTERVAL);
            seen.count(|what| matches!(what, What::Scaled { reason: Reason::Unequipped, .. })) == 1
        });
        assert_eq!(changes(&seen, 1).len(), 2);
        await_rest(&manager, 1);
        assert_complete(&manager.stop().unwrap());
    });
}
