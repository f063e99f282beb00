//! Promises 1 and 3: whichever await a future is dropped at, nothing is lost and nobody waits for it.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use tasker::{
    AsyncConfig, AsyncTaskManager, Backoff, CancelToken, DestroyReason, Outcome as Ended, Overflow,
    Phase, Priority, TaskContext,
};
use tokio::runtime::Handle as Runtime;

use super::stage::{
    ByHand, Config, Handle, Manager, Outcome, Valve, build, config, occupy, pend_once, settle,
    still,
};
use crate::support::{Fault, Kit, LIMIT, Recorder, Res, What, assert_complete, gone, within};

/// What `validate` says, if there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Checks {
    Missing,
    Sound,
    Unsound,
}

/// A moment at which a future is dropped.
#[derive(Debug, Clone, Copy)]
struct Moment {
    checks: Checks,
    /// How often it was polled before.
    polls: usize,
    /// Whether what the last poll set going, or the scenario did then, went on before the drop.
    settled: bool,
    /// Whether a thread drops it that knows no runtime.
    outside: bool,
}

/// What the closure of the task has done.
#[derive(Debug, Clone, Default)]
struct Probe(Arc<Steps>);

#[derive(Debug, Default)]
struct Steps {
    begun: AtomicUsize,
    returned: AtomicUsize,
    captures_dropped: AtomicUsize,
    token: Mutex<Option<CancelToken>>,
}

impl Probe {
    /// An attempt with several awaits. The first one returns `Sick` if that is asked for.
    async fn attempt(&self, cx: &TaskContext, res: &mut Res, sick: bool) -> Result<u64, Fault> {
        *self.0.token.lock().unwrap() = Some(cx.token());
        self.0.begun.fetch_add(1, Ordering::SeqCst);
        for _ in 0..3 {
            pend_once().await;
        }
        self.0.returned.fetch_add(1, Ordering::SeqCst);
        if sick && cx.attempt() == 1 { Err(Fault::Sick) } else { Ok(res.id()) }
    }

    fn is_running(&self) -> bool {
        self.0.begun.load(Ordering::SeqCst) > self.0.returned.load(Ordering::SeqCst)
    }
}

/// Something that a closure owns.
struct Capture(Probe);

impl Drop for Capture {
    fn drop(&mut self) {
        self.0.0.captures_dropped.fetch_add(1, Ordering::SeqCst);
    }
}

/// A manager of one worker, and whatever stands around it.
struct Stage {
    kit: Kit,
    seen: Recorder,
    manager: Manager,
    probe: Probe,
    /// What creations wait at; open at first.
    making: Valve,
    /// What the tasks wait at that keep workers busy.
    busy: Mutex<Option<Valve>>,
    others: Mutex<Vec<Handle>>,
    validated: Arc<AtomicUsize>,
}

type Task = Pin<Box<dyn Future<Output = Outcome<u64>> + Send>>;
type Preparing<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

#[derive(Clone, Copy)]
struct Scenario {
    configure: fn(Config) -> Config,
    prepare: for<'a> fn(&'a Stage) -> Preparing<'a>,
    task: fn(&Stage) -> Task,
    /// What is done after that many polls.
    act: (usize, fn(&Stage)),
    /// Whether resources are validated for another reason, too.
    validates_anyway: bool,
    /// Whether the task runs on a resource that is nobody's afterwards.
    temporary: bool,
}

const SCENARIO: Scenario = Scenario {
    configure: |config| config,
    prepare: |_| Box::pin(async {}),
    task: queued,
    act: (0, |_| {}),
    validates_anyway: false,
    temporary: false,
};

fn queued(stage: &Stage) -> Task {
    let (manager, probe) = (stage.manager.clone(), stage.probe.clone());
    let capture = Capture(probe.clone());
    Box::pin(async move {
        let task = async move |cx: &TaskContext, res: &mut Res| {
            let _ = &capture;
            probe.attempt(cx, res, false).await
        };
        manager.queue_task(task).await
    })
}

fn built(stage: &Stage) -> Task {
    let probe = stage.probe.clone();
    let capture = Capture(probe.clone());
    let task = async move |cx: &TaskContext, res: &mut Res| {
        let _ = &capture;
        probe.attempt(cx, res, false).await
    };
    Box::pin(stage.manager.task(task).into_future())
}

fn retried(stage: &Stage) -> Task {
    let probe = stage.probe.clone();
    let capture = Capture(probe.clone());
    let task = async move |cx: &TaskContext, res: &mut Res| {
        let _ = &capture;
        probe.attempt(cx, res, true).await
    };
    Box::pin(stage.manager.task(task).into_future())
}

fn urgent(stage: &Stage) -> Task {
    let (manager, probe) = (stage.manager.clone(), stage.probe.clone());
    let capture = Capture(probe.clone());
    Box::pin(async move {
        let task = async move |cx: &TaskContext, res: &mut Res| {
            let outcome = probe.attempt(cx, res, false).await;
            drop(capture);
            outcome
        };
        manager.run_task(task).await
    })
}

/// Keeps the one worker busy.
fn keep_busy(stage: &Stage) -> Preparing<'_> {
    Box::pin(async {
        let (valve, handles) = occupy(&stage.manager, 1).await;
        *stage.busy.lock().unwrap() = Some(valve);
        stage.others.lock().unwrap().extend(handles);
    })
}

/// Keeps the one worker busy, and the one place in the lanes taken.
fn fill_up(stage: &Stage) -> Preparing<'_> {
    Box::pin(async {
        keep_busy(stage).await;
        stage.another();
    })
}

impl Stage {
    async fn new(scenario: &Scenario, checks: Checks) -> Self {
        let (kit, seen, making) = (Kit::new(), Recorder::new(), Valve::new());
        making.open();
        let create = {
            let (kit, making) = (kit.clone(), making.clone());
            move || {
                let (kit, making) = (kit.clone(), making.clone());
                async move {
                    pend_once().await;
                    making.pass().await;
                    kit.create()
                }
            }
        };
        let destroy = kit.clone();
        let mut config = AsyncConfig::new(create)
            .on_destroy(move |res| {
                let destroyed = destroy.destroy(res);
                async move {
                    pend_once().await;
                    destroyed
                }
            })
            .check_health(|fault| *fault != Fault::Sick)
            .worker_count(1)
            .max_worker_count(1)
            .resource_pool_size(0)
            .observer(seen.clone());
        let validated = Arc::new(AtomicUsize::new(0));
        if checks != Checks::Missing {
            let validated = Arc::clone(&validated);
            config = config.validate(move |_| {
                validated.fetch_add(1, Ordering::SeqCst);
                Box::pin(async move {
                    pend_once().await;
                    checks == Checks::Sound
                })
            });
        }
        let manager = build((scenario.configure)(config)).await;
        let (probe, busy, others) = (Probe::default(), Mutex::new(None), Mutex::new(Vec::new()));
        Self { kit, seen, manager, probe, making, busy, others, validated }
    }

    /// One more task, which takes its turn.
    fn another(&self) {
        let task = self.manager.task(async move |_: &TaskContext, _: &mut Res| Ok(()));
        self.others.lock().unwrap().push(task.name("another").submit());
    }

    /// Takes away whatever may hold somebody up.
    fn release(&self) {
        self.making.open();
        if let Some(valve) = &*self.busy.lock().unwrap() {
            valve.open();
        }
        self.manager.resume();
    }

    /// How many events are about the task that is dropped, which has no name.
    fn told(&self, wanted: impl Fn(&What) -> bool) -> usize {
        self.seen.count(|what| match what {
            What::TaskQueued { name: None, .. } | What::TaskFinished { name: None, .. } => {
                wanted(what)
            }
            _ => false,
        })
    }
}

/// Drops the task of a scenario at every moment that there is.
#[track_caller]
fn at_every_moment(scenario: Scenario) {
    within(LIMIT, move || {
        for checks in [Checks::Missing, Checks::Sound, Checks::Unsound] {
            for outside in [false, true] {
                let mut polls = 0;
                let mut ended = false;
                while !ended {
                    for settled in [false, true] {
                        let moment = Moment { checks, polls, settled, outside };
                        let play = || still().block_on(play(&scenario, moment));
                        match catch_unwind(AssertUnwindSafe(play)) {
                            Ok(over) => ended = over,
                            Err(panic) => {
                                let _ = catch_unwind(|| panic!("dropped at {moment:?}"));
                                resume_unwind(panic)
                            }
                        }
                    }
                    polls += 1;
                    assert!(polls < 50, "it does not end");
                }
            }
        }
    });
}

/// Whether the task had ended before it was to be dropped.
async fn play(scenario: &Scenario, moment: Moment) -> bool {
    let stage = Stage::new(scenario, moment.checks).await;
    (scenario.prepare)(&stage).await;
    let mut task = ByHand::boxed((scenario.task)(&stage));
    let mut result = None;
    for poll in 1..=moment.polls {
        if poll > 1 {
            settle().await;
        }
        if let Poll::Ready(outcome) = task.poll() {
            result = Some(outcome);
            break;
        }
        let (at, act) = scenario.act;
        if poll == at {
            act(&stage);
        }
    }
    if moment.settled {
        settle().await;
    }
    stage.another(); // behind it

    let running = stage.probe.is_running();
    let accepted = stage.told(|what| matches!(what, What::TaskQueued { .. }));
    if moment.outside {
        thread::spawn(move || drop(task)).join().expect("nothing panics in a drop");
    } else {
        drop(task);
    }
    assert_eq!(stage.probe.0.captures_dropped.load(Ordering::SeqCst), 1, "the closure is gone");
    let ended = usize::from(result.is_some());
    let finished = |wanted: Ended| {
        stage.told(|what| matches!(what, What::TaskFinished { outcome, .. } if *outcome == wanted))
    };
    assert_eq!(finished(Ended::Completed), ended);
    assert_eq!(finished(Ended::Cancelled), accepted - ended, "one outcome, and at once");
    if let Some(token) = &*stage.probe.0.token.lock().unwrap() {
        assert_eq!(token.is_cancelled(), running, "what it has started elsewhere is told");
    }
    if let Some(outcome) = &result {
        assert!(outcome.is_ok(), "{outcome:?}");
    }

    // Whoever comes next is served.
    settle().await;
    stage.release();
    let others = std::mem::take(&mut *stage.others.lock().unwrap());
    for handle in others {
        handle.await.expect("it waits for nothing that was dropped");
    }
    stage.manager.run_task(async |_, _| Ok(())).await.expect("it has a resource");
    settle().await;
    let stats = stage.manager.stats();
    assert_eq!(
        (stats.idle_workers, stats.running_tasks, stats.queued_tasks),
        (1, 0, 0),
        "{stats:?}"
    );

    let reasons = |reason| stage.seen.count(gone(reason));
    let (interrupted, invalid) =
        (reasons(DestroyReason::Interrupted), reasons(DestroyReason::Invalid));
    let validated = stage.validated.load(Ordering::SeqCst);
    assert_eq!(interrupted, usize::from(running && moment.checks == Checks::Missing));
    if !scenario.validates_anyway {
        let checked = running && !scenario.temporary && moment.checks != Checks::Missing;
        let unsound = checked && moment.checks == Checks::Unsound;
        assert_eq!((validated, invalid), (usize::from(checked), usize::from(unsound)));
    }

    let report = stage.manager.stop().await.expect("nobody has stopped it");
    assert_complete(&report);
    assert_eq!(report.cancelled, (accepted - ended) as u64, "{report}");
    assert_eq!(report.completed, report.accepted - report.cancelled, "{report}");
    stage.kit.assert_all_destroyed_once();
    settle().await;
    assert_eq!(
        Runtime::current().metrics().num_alive_tasks(),
        0,
        "nothing that it spawned is left"
    );
    result.is_some()
}

#[test]
fn a_task_on_an_idle_resource_can_be_dropped_at_every_await() {
    at_every_moment(SCENARIO);
    at_every_moment(Scenario { task: built, ..SCENARIO });
}

// Waiting; granted the resource and not polled since; running.
#[test]
fn a_task_behind_another_can_be_dropped_at_every_await() {
    let act: (usize, fn(&Stage)) = (2, Stage::release);
    at_every_moment(Scenario { prepare: keep_busy, act, ..SCENARIO });
    at_every_moment(Scenario { prepare: keep_busy, act, task: built, ..SCENARIO });
}

#[test]
fn a_task_that_waits_for_room_can_be_dropped_at_every_await() {
    at_every_moment(Scenario {
        configure: |config| config.queue_capacity(1).overflow(Overflow::Wait),
        prepare: fill_up,
        act: (2, Stage::release),
        ..SCENARIO
    });
}

#[test]
fn a_task_that_waits_for_its_retry_can_be_dropped_at_every_await() {
    at_every_moment(Scenario {
        configure: |config| config.retry_backoff(Backoff::fixed(Duration::from_millis(5))),
        task: retried,
        ..SCENARIO
    });
}

#[test]
fn a_task_whose_retry_waits_in_its_lane_can_be_dropped_at_every_await() {
    at_every_moment(Scenario {
        prepare: |stage| {
            Box::pin(async { stage.making.close() }) // the condemned resource is not replaced at once
        },
        act: (6, Stage::release),
        task: retried,
        ..SCENARIO
    });
}

#[test]
fn a_run_task_on_a_pooled_resource_can_be_dropped_at_every_await() {
    let configure = |config: Config| config.resource_pool_size(1);
    at_every_moment(Scenario { configure, task: urgent, ..SCENARIO });
}

#[test]
fn a_run_task_whose_resource_is_being_validated_can_be_dropped_at_every_await() {
    let configure = |config: Config| config.resource_pool_size(1);
    let validating = |config: Config| config.resource_pool_size(1).validate_after(Duration::ZERO);
    let scenario = Scenario { task: urgent, validates_anyway: true, ..SCENARIO };
    within(LIMIT, move || {
        for checks in [Checks::Missing, Checks::Sound, Checks::Unsound] {
            let configure = if checks == Checks::Missing { configure } else { validating };
            let scenario = Scenario { configure, ..scenario };
            let mut polls = 0;
            let mut ended = false;
            while !ended {
                for settled in [false, true] {
                    let moment = Moment { checks, polls, settled, outside: false };
                    ended = still().block_on(play(&scenario, moment));
                }
                polls += 1;
            }
        }
    });
}

#[test]
fn a_run_task_on_an_idle_workers_resource_can_be_dropped_at_every_await() {
    at_every_moment(Scenario { task: urgent, ..SCENARIO });
}

// While it is made, and while the task runs on it.
#[test]
fn a_run_task_on_a_temporary_resource_can_be_dropped_at_every_await() {
    at_every_moment(Scenario { prepare: keep_busy, task: urgent, temporary: true, ..SCENARIO });
}

#[test]
fn a_run_task_that_a_pause_holds_back_can_be_dropped_at_every_await() {
    at_every_moment(Scenario {
        prepare: |stage| Box::pin(async { stage.manager.pause() }),
        act: (2, Stage::release),
        task: urgent,
        ..SCENARIO
    });
}

// A submitted task belongs to its runtime: what is dropped is the place where its outcome arrives.
#[test]
fn a_handle_that_is_dropped_detaches_its_task() {
    within(LIMIT, || {
        for polls in 0..4 {
            still().block_on(async move {
                let kit = Kit::new();
                let manager = build(config(&kit, 1)).await;
                let probe = Probe::default();
                let runs = probe.clone();
                let task =
                    async move |cx: &TaskContext, res: &mut Res| runs.attempt(cx, res, false).await;
                let mut handle = ByHand::new(manager.task(task).submit());
                for _ in 0..polls {
                    assert!(handle.poll().is_pending());
                }
                drop(handle);
                let report = manager.stop().await.unwrap();
                assert_complete(&report);
                assert_eq!((report.completed, report.cancelled), (1, 0));
                kit.assert_all_destroyed_once();
            });
        }
    });
}

// Small print: who waits for room is let in as soon as there is some.
#[test]
fn the_place_that_a_dropped_future_leaves_goes_to_who_waits_for_room() {
    within(LIMIT, || {
        still().block_on(async {
            let kit = Kit::new();
            let manager = build(config(&kit, 1).queue_capacity(1)).await;
            let (valve, busy) = occupy(&manager, 1).await;
            let mut queued = ByHand::new(manager.queue_task(async |_, _| Ok(())));
            assert!(queued.poll().is_pending());
            let mut outside = ByHand::new(manager.queue_task(async |_, _| Ok(())));
            assert!(outside.poll().is_pending());
            let arrived = || manager.metrics().total_tasks_arrived;
            assert_eq!(arrived(), 2, "the last one is not accepted yet");
            drop(queued);
            assert_eq!(arrived(), 3);
            valve.open();
            for handle in busy {
                handle.await.unwrap();
            }
            assert!(outside.poll().is_ready());
            drop(outside);
            let report = manager.stop().await.unwrap();
            assert_eq!((report.completed, report.cancelled), (2, 1), "{report}");
            kit.assert_all_destroyed_once();
        });
    });
}

// What was granted to a future that is dropped goes on to who waits longest, in the highest lane.
#[test]
fn what_a_dropped_future_was_granted_goes_to_the_next_in_line() {
    within(LIMIT, || {
        still().block_on(async {
            let kit = Kit::new();
            let manager = build(config(&kit, 1)).await;
            let (valve, busy) = occupy(&manager, 1).await;
            let place = |priority| {
                let task = manager.task(async move |_: &TaskContext, res: &mut Res| Ok(res.id()));
                ByHand::new(task.priority(priority).into_future())
            };
            let mut line: Vec<_> =
                [Priority::Normal, Priority::Low, Priority::High, Priority::Normal]
                    .map(place)
                    .into();
            for task in &mut line {
                assert!(task.poll().is_pending());
            }
            valve.open();
            for handle in busy {
                handle.await.unwrap();
            }
            // In the order in which they are served, each woken only now.
            for next in [2, 0, 3, 1] {
                for (at, task) in line.iter().enumerate() {
                    let woken = task.wakes();
                    assert!(woken <= 1, "{woken}");
                    assert!(at != next || woken == 1, "{next} is next");
                }
                line[next] = place(Priority::Low); // the old one goes
            }
            assert_eq!(manager.stats().idle_workers, 1);
            drop(line);
            let report = manager.stop().await.unwrap();
            assert_eq!((report.accepted, report.cancelled), (5, 4), "{report}");
            kit.assert_all_destroyed_once();
        });
    });
}

/// Drops the future of `new` at each of its awaits. It leaves nothing behind.
fn drop_while_building(pool: usize) {
    within(LIMIT, move || {
        for (fails, settled) in [(false, false), (false, true), (true, false), (true, true)] {
            let mut ended = false;
            for polls in 0.. {
                ended |= still().block_on(build_for(pool, fails, polls, settled));
                if ended {
                    break;
                }
                assert!(polls < 50, "it does not end");
            }
        }
    });
}

/// Whether it had ended before it was to be dropped.
async fn build_for(pool: usize, fails: bool, polls: usize, settled: bool) -> bool {
    let kit = Kit::new();
    if fails {
        kit.fail_create(2);
    }
    let mut new = ByHand::new(AsyncTaskManager::new(config(&kit, 2).resource_pool_size(pool)));
    let mut ended = false;
    for poll in 1..=polls {
        if poll > 1 {
            tokio::task::yield_now().await; // a little further
        }
        if let Poll::Ready(built) = new.poll() {
            assert_eq!(built.is_err(), fails);
            ended = true; // dropping the manager stops it
            break;
        }
    }
    if settled {
        settle().await;
    }
    drop(new);
    settle().await;
    kit.assert_all_destroyed_once();
    let left = Runtime::current().metrics().num_alive_tasks();
    assert_eq!(left, 0, "after {polls} polls");
    ended
}

// Promises 3 and 9.
#[test]
fn a_manager_that_is_being_built_can_be_dropped_at_every_await() {
    drop_while_building(0);
}

// Promises 3 and 9. The steward used to leave while base workers still made what belongs into the pool; when
// they brought it, nobody was there to destroy it.
#[test]
fn a_manager_whose_pool_is_being_filled_can_be_dropped_at_every_await() {
    drop_while_building(2);
}

/// A shutdown, or the wait for one.
type Verb = fn(&Manager) -> Pin<Box<dyn Future<Output = ()> + '_>>;

// Promises 10 and 11: a shutdown that has begun goes on when nobody waits for it any more.
#[test]
fn a_shutdown_goes_on_when_its_future_is_dropped() {
    const VERBS: [(Verb, Phase); 5] = [
        (|manager| Box::pin(async { drop(manager.stop().await) }), Phase::Stopped),
        (|manager| Box::pin(async { drop(manager.kill().await) }), Phase::Killed),
        (|m| Box::pin(async { drop(m.stop_within(Duration::from_secs(9)).await) }), Phase::Stopped),
        (|m| Box::pin(async { drop(m.kill_within(Duration::from_secs(9)).await) }), Phase::Killed),
        (|manager| Box::pin(async { drop(manager.join().await) }), Phase::Running),
    ];
    within(LIMIT, || {
        for (verb, phase) in VERBS {
            for polls in 0..6 {
                still().block_on(async move {
                    let kit = Kit::new();
                    let manager = build(config(&kit, 1).resource_pool_size(1)).await;
                    let (valve, busy) = occupy(&manager, 1).await;
                    let queued = manager.task(async move |_: &TaskContext, _: &mut Res| Ok(()));
                    let queued = queued.submit();
                    let mut shutdown = ByHand::boxed(verb(&manager));
                    for poll in 0..polls {
                        if poll == 2 {
                            valve.open();
                        }
                        if shutdown.poll().is_ready() {
                            break;
                        }
                        tokio::task::yield_now().await;
                    }
                    drop(shutdown);
                    valve.open();
                    if polls == 0 || phase == Phase::Running {
                        assert_eq!(manager.phase(), Phase::Running, "it begins when it is polled");
                        manager.stop().await.unwrap();
                    }
                    let report = manager.join().await;
                    assert_complete(&report);
                    assert_eq!(report.accepted, 2);
                    let over =
                        if phase == Phase::Running || polls == 0 { Phase::Stopped } else { phase };
                    assert_eq!(manager.phase(), over);
                    for handle in busy.into_iter().chain([queued]) {
                        assert_eq!(handle.await.is_ok(), over == Phase::Stopped);
                    }
                    kit.assert_all_destroyed_once();
                });
            }
        }
    });
}
