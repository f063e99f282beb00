//! Faults in the middle of a stop, a kill, a burst and a recovery: a matrix, with the kit that users have.
//!
//! Whatever breaks, and whenever: everybody is answered (promise 1), the cap holds (2), what was created is
//! destroyed once (3), workers come back (9), and the report adds up.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tasker::autoscale::{Load, Plan, ScalingPolicy};
use tasker::testing::{Counts, Fault, Faulty, Gate, Kit, LIMIT, PanicsOnDrop, Recorder};
use tasker::{
    AsyncTaskManager, Event, Owner, Phase, ShutdownReport, TaskContext, TaskError, TaskHandle,
    TaskManager, TaskStats,
};

use crate::promises::runtime::Driver;
use crate::support::{assert_complete, eventually, run_named};

/// Makes a test of each story for one kind of manager; a hang or a failure is named after its fault.
macro_rules! on_every_fault {
    ($($kind:ident: $stage:ty),* $(,)?) => {
        $(mod $kind {
            use super::*;

            // Promises 1, 2, 3, 8 and 10.
            #[test]
            fn a_stop_in_the_middle_of_a_fault_serves_everybody() {
                each_fault(a_stop_serves_everybody::<$stage>);
            }

            // Promises 1, 2, 3, 8 and 11.
            #[test]
            fn a_kill_in_the_middle_of_a_fault_answers_everybody() {
                each_fault(a_kill_answers_everybody::<$stage>);
            }

            // Promises 1, 2, 3 and 8.
            #[test]
            fn a_burst_comes_and_goes_in_spite_of_a_fault() {
                each_fault(a_burst_comes_and_goes::<$stage>);
            }

            // Promises 1, 2, 3, 8 and 9.
            #[test]
            fn workers_come_back_after_a_fault() {
                each_fault(workers_come_back::<$stage>);
            }
        })*
    };
}

on_every_fault! {
    with_lending: Threads<LENDING>,
    without_lending: Threads<NOT_LENDING>,
    with_local_resources: Threads<LOCAL>,
    multi_thread: Tokio<2>,
    current_thread: Tokio<0>,
}

fn each_fault(story: fn(Trouble)) {
    for trouble in Trouble::ALL {
        run_named(&format!("{trouble:?}"), LIMIT, move || story(trouble));
    }
}

// The stories.

/// One worker is in trouble, the other one busy, and tasks wait that came in by every door.
fn a_stop_serves_everybody<S: Stage>(trouble: Trouble) {
    let mut scene = Scene::<S>::new(trouble, Shape { workers: 2, max_workers: 2, pool: 1 });
    let stop = scene.fill_and_shut_down(S::stop);
    let report = scene.end(stop);
    assert_eq!(report.dropped + report.cancelled, 0, "a stop runs what was accepted: {report}");
}

fn a_kill_answers_everybody<S: Stage>(trouble: Trouble) {
    let mut scene = Scene::<S>::new(trouble, Shape { workers: 2, max_workers: 2, pool: 1 });
    let kill = scene.fill_and_shut_down(S::kill);
    let report = scene.end(kill);
    assert!(report.dropped >= 5, "what waits in a lane is dropped: {report}");
}

/// Six tasks need three workers, and there is one. A fault in the making of the others holds the burst up,
/// not off; one in their use or destruction does not keep them for ever.
fn a_burst_comes_and_goes<S: Stage>(trouble: Trouble) {
    let mut scene = Scene::<S>::new(trouble, Shape { workers: 1, max_workers: 3, pool: 0 });
    let hang = trouble.order(&scene.kit);
    let hold = Gate::new();
    for _ in 0..6 {
        scene.submit(scene.job().at(&hold));
    }
    if trouble.is_in_creation() {
        scene.await_fault(hang.as_ref());
        if trouble == Trouble::Outage {
            scene.kit.heal();
        }
        hang.iter().for_each(Gate::open);
    }
    hold.await_arrivals(3);
    hold.open();
    scene.collect_answers(); // also while a resource hangs in its destruction
    scene.await_fault(hang.as_ref());
    scene.kit.heal();
    eventually("the burst is over", || scene.at_rest(1));
    let stop = scene.manager.aside(S::stop);
    scene.end(stop);
}

fn workers_come_back<S: Stage>(trouble: Trouble) {
    let mut scene = Scene::<S>::new(trouble, Shape { workers: 2, max_workers: 2, pool: 0 });
    scene.bring_about();
    if trouble == Trouble::Outage {
        scene.kit.fail_next_uses(1);
        scene.submit(scene.job());
        eventually("nobody is left", || scene.manager.stats().recovering_workers == 2);
    }
    scene.kit.heal();
    scene.collect_answers();
    eventually("both are back", || scene.at_rest(2));
    let (hold, answered) = (Gate::new(), scene.answers.len());
    for _ in 0..2 {
        scene.submit(Job::default().at(&hold)); // without a fault of its own
    }
    hold.await_arrivals(2); // at the same time
    hold.open();
    scene.collect_answers();
    assert!(scene.answers[answered..].iter().all(Result::is_ok), "{:?}", scene.answers);
    let stop = scene.manager.aside(S::stop);
    scene.end(stop);
}

// The faults.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    NthCreateFails,
    NthCreatePanics,
    CreateHangs,
    /// Every creation fails.
    Outage,
    UnhealthyAfterAUse,
    UsePanics,
    DestroysFail,
    DestroysPanic,
    DestroysHang,
    CapturesPanicOnDrop,
}

impl Trouble {
    const ALL: [Self; 10] = [
        Self::NthCreateFails,
        Self::NthCreatePanics,
        Self::CreateHangs,
        Self::Outage,
        Self::UnhealthyAfterAUse,
        Self::UsePanics,
        Self::DestroysFail,
        Self::DestroysPanic,
        Self::DestroysHang,
        Self::CapturesPanicOnDrop,
    ];

    fn is_in_creation(self) -> bool {
        let creation =
            [Self::NthCreateFails, Self::NthCreatePanics, Self::CreateHangs, Self::Outage];
        creation.contains(&self)
    }

    /// Has it happen to the next tasks, which condemn a resource where that is what it takes; gives the gate
    /// that hooks hang at.
    fn order(self, kit: &Kit) -> Option<Gate> {
        let next = kit.counts().creates + 1;
        let mut hang = None;
        match self {
            Self::NthCreateFails => kit.fail_nth_create(next),
            Self::NthCreatePanics => kit.panic_nth_create(next),
            Self::CreateHangs => hang = Some(kit.hang_creates()),
            Self::Outage => kit.take_down(),
            Self::UnhealthyAfterAUse => kit.unhealthy_after(1),
            Self::UsePanics => kit.panic_next_uses(1),
            Self::DestroysFail => kit.fail_next_destroys(u64::MAX),
            Self::DestroysPanic => kit.panic_next_destroys(u64::MAX),
            Self::DestroysHang => hang = Some(kit.hang_destroys()),
            Self::CapturesPanicOnDrop => {}
        }
        let by_itself =
            [Self::UnhealthyAfterAUse, Self::UsePanics, Self::CapturesPanicOnDrop].contains(&self);
        kit.fail_next_uses(u64::from(!by_itself));
        hang
    }

    /// Whether it has happened, as far as counts tell.
    fn has_happened(self, counts: &Counts) -> bool {
        match self {
            Self::NthCreateFails | Self::NthCreatePanics => counts.failed_creates >= 1,
            Self::Outage => counts.failed_creates >= 2,
            Self::UnhealthyAfterAUse | Self::UsePanics => counts.failed_uses >= 1,
            Self::DestroysFail | Self::DestroysPanic => counts.failed_destroys >= 1,
            Self::CreateHangs | Self::DestroysHang | Self::CapturesPanicOnDrop => true,
        }
    }
}

// What is done in a story.

#[derive(Debug, Clone, Copy)]
struct Shape {
    workers: usize,
    max_workers: usize,
    pool: usize,
}

struct Scene<S> {
    trouble: Trouble,
    shape: Shape,
    kit: Kit,
    seen: Recorder,
    witness: Arc<()>,
    manager: S,
    handles: Vec<TaskHandle<u64, Fault>>,
    callers: Vec<JoinHandle<Ending>>,
    callbacks: Vec<Receiver<Ending>>,
    answers: Vec<Ending>,
}

impl<S: Stage> Scene<S> {
    fn new(trouble: Trouble, shape: Shape) -> Self {
        let (kit, seen) = (Kit::new(), Recorder::new());
        let manager = S::build(&kit, &seen, shape);
        Self {
            trouble,
            shape,
            kit,
            seen,
            witness: Arc::default(),
            manager,
            handles: Vec::new(),
            callers: Vec::new(),
            callbacks: Vec::new(),
            answers: Vec::new(),
        }
    }

    fn job(&self) -> Job {
        let panics_on_drop = self.trouble == Trouble::CapturesPanicOnDrop;
        Job { gate: None, panics_on_drop, witness: self.witness.clone() }
    }

    fn submit(&mut self, job: Job) {
        self.handles.push(self.manager.submit(job));
    }

    /// Has the fault happen to one of the workers, while tasks are served; gives the gate that hooks hang at.
    fn bring_about(&mut self) -> Option<Gate> {
        let hang = self.trouble.order(&self.kit);
        for _ in 0..=self.shape.max_workers {
            self.submit(self.job()); // one more than workers, so that a resource is used twice
        }
        self.collect_answers();
        self.await_fault(hang.as_ref());
        hang
    }

    fn await_fault(&self, hang: Option<&Gate>) {
        if let Some(hang) = hang {
            hang.await_arrivals(1);
        }
        self.kit.wait_until(|counts| self.trouble.has_happened(counts));
    }

    /// In the middle of the fault: one task runs, others have come by every door, then the manager is shut
    /// down.
    fn fill_and_shut_down(
        &mut self,
        shut_down: fn(&S) -> ShutdownReport,
    ) -> JoinHandle<ShutdownReport> {
        let hang = self.bring_about();
        let hold = Gate::new();
        let job = self.job();
        self.submit(job.clone().at(&hold));
        hold.await_arrivals(1);
        self.manager.pause(); // what comes now waits, wherever there are resources
        for _ in 0..3 {
            self.submit(job.clone());
        }
        for run in [S::run, S::run, S::run_now] {
            let job = job.clone();
            self.callers.push(self.manager.aside(move |manager| run(manager, job)));
        }
        let (send, receive) = channel();
        let callback = move |ending| send.send(ending).expect("the test listens");
        self.manager.on_complete(job, Box::new(callback));
        self.callbacks.push(receive);
        let there =
            self.answers.len() + self.handles.len() + self.callers.len() + self.callbacks.len();
        eventually("everybody has come", || self.manager.arrived() == there as u64);

        let shutdown = self.manager.aside(shut_down);
        eventually("the shutdown begins", || self.manager.phase() != Phase::Running);
        hold.open();
        self.collect_answers(); // also while hooks hang
        if let Some(hang) = hang {
            if self.trouble == Trouble::DestroysHang {
                hang.await_arrivals(2); // the other worker's, too
            }
            hang.open();
        }
        shutdown
    }

    /// Waits until whoever has asked has been answered.
    fn collect_answers(&mut self) {
        self.answers.extend(self.handles.drain(..).map(TaskHandle::wait));
        let callers =
            self.callers.drain(..).map(|caller| caller.join().expect("no panic comes out"));
        self.answers.extend(callers);
        let callback = |called: Receiver<Ending>| called.recv_timeout(LIMIT).expect("an answer");
        self.answers.extend(self.callbacks.drain(..).map(callback));
    }

    /// Whether so many workers are idle, and nobody comes or goes.
    fn at_rest(&self, idle: usize) -> bool {
        let stats = self.manager.stats();
        (stats.idle_workers, stats.recovering_workers, stats.leaving_workers) == (idle, 0, 0)
            && stats.burst_workers == 0
    }

    /// Fails unless the report says what everybody was told, and every resource is accounted for.
    fn end(&self, shutdown: JoinHandle<ShutdownReport>) -> ShutdownReport {
        let report = shutdown.join().expect("a shutdown does not panic");
        let counts = self.kit.counts();
        assert_complete(&report);
        self.kit.assert_all_destroyed_once();
        assert_eq!(report.resources_created, counts.created, "{report}");
        assert_eq!(report.destroy_errors, counts.failed_destroys, "{report}");
        assert_eq!(report.accepted, self.answers.len() as u64, "{report}");
        let told = |class: Class| self.answers.iter().filter(|it| Class::of(it) == class).count();
        let told = [Class::Completed, Class::Failed, Class::Cancelled, Class::Dropped].map(told);
        let ShutdownReport { completed, failed, cancelled, dropped, .. } = report;
        assert_eq!([completed, failed, cancelled, dropped], told.map(|n| n as u64), "{report}");

        let temporary = self
            .seen
            .count(|event| matches!(event, Event::ResourceCreated { owner: Owner::Temporary, .. }));
        let cap = (self.shape.max_workers + self.shape.pool + temporary) as u64;
        assert!(counts.peak <= cap, "{} resources, where {cap} may be", counts.peak);
        let captured = || Arc::strong_count(&self.witness) - 1;
        eventually("what tasks have captured is dropped", || captured() == 0);
        report
    }
}

/// What a report counts an ending as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Completed,
    Failed,
    Cancelled,
    Dropped,
}

impl Class {
    fn of(ending: &Ending) -> Self {
        match ending {
            Ok(_) => Self::Completed,
            Err(TaskError::Cancelled) => Self::Cancelled,
            Err(TaskError::Killed) => Self::Dropped,
            Err(TaskError::Failed(_) | TaskError::RetriesExhausted { .. }) => Self::Failed,
            Err(TaskError::CreateFailed(_) | TaskError::Panicked(_)) => Self::Failed,
            Err(other) => panic!("nobody should be told: {other:?}"),
        }
    }
}

// The managers.

type Ending = Result<u64, TaskError<Fault>>;

#[derive(Debug, Clone, Default)]
struct Job {
    /// Where it waits before it uses its resource.
    gate: Option<Gate>,
    panics_on_drop: bool,
    /// Captured, too: it shows whether what was captured has been dropped.
    witness: Arc<()>,
}

impl Job {
    fn at(self, gate: &Gate) -> Self {
        Self { gate: Some(gate.clone()), ..self }
    }
}

/// As many workers as tasks.
struct Eager;

impl ScalingPolicy for Eager {
    fn plan(&mut self, load: &Load, _: Instant) -> Plan {
        let wanted = load.worker_count.max(load.in_use + load.queued);
        Plan::new(wanted, format!("{wanted} are wanted")).within(load)
    }
}

/// A manager in a test; clones share it. The operations block.
trait Stage: Clone + Send + 'static {
    fn build(kit: &Kit, seen: &Recorder, shape: Shape) -> Self;

    fn submit(&self, job: Job) -> TaskHandle<u64, Fault>;
    fn run(&self, job: Job) -> Ending;
    fn run_now(&self, job: Job) -> Ending;
    fn on_complete(&self, job: Job, callback: Box<dyn FnOnce(Ending) + Send>);
    fn pause(&self);
    fn stop(&self) -> ShutdownReport;
    fn kill(&self) -> ShutdownReport;
    fn stats(&self) -> TaskStats;
    fn phase(&self) -> Phase;
    /// How many tasks were ever accepted.
    fn arrived(&self) -> u64;

    fn aside<T: Send + 'static>(
        &self,
        f: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let manager = self.clone();
        thread::spawn(move || f(&manager))
    }
}

macro_rules! shaped {
    ($config:expr, $seen:expr, $shape:expr) => {
        $config
            .worker_count($shape.workers)
            .max_worker_count($shape.max_workers)
            .resource_pool_size($shape.pool)
            .scaling(Eager)
            .burst_interval(Duration::from_millis(1))
            .observer($seen.clone())
    };
}

const LENDING: u8 = 0;
const NOT_LENDING: u8 = 1;
const LOCAL: u8 = 2;

#[derive(Clone)]
struct Threads<const KIND: u8>(TaskManager<Faulty, Fault>);

/// A job as a blocking closure.
fn blocking(
    job: Job,
) -> impl FnMut(&TaskContext, &mut Faulty) -> Result<u64, Fault> + Send + 'static {
    let captured = (job.panics_on_drop.then(|| PanicsOnDrop), job.witness);
    move |_, resource| {
        let _captured = &captured;
        job.gate.iter().for_each(Gate::wait);
        resource.work()
    }
}

impl<const KIND: u8> Stage for Threads<KIND> {
    fn build(kit: &Kit, seen: &Recorder, shape: Shape) -> Self {
        let config = shaped!(kit.config(), seen, shape);
        let manager = match KIND {
            LENDING => TaskManager::new(config),
            NOT_LENDING => TaskManager::new(config.lending(false)),
            _ => TaskManager::new_local(config),
        };
        Self(manager.expect("a manager"))
    }

    fn submit(&self, job: Job) -> TaskHandle<u64, Fault> {
        self.0.task(blocking(job)).submit()
    }

    fn run(&self, job: Job) -> Ending {
        self.0.task(blocking(job)).run()
    }

    fn run_now(&self, job: Job) -> Ending {
        self.0.run_task(blocking(job))
    }

    fn on_complete(&self, job: Job, callback: Box<dyn FnOnce(Ending) + Send>) {
        self.0.task(blocking(job)).on_complete(callback);
    }

    fn pause(&self) {
        self.0.pause();
    }

    fn stop(&self) -> ShutdownReport {
        self.0.stop().expect("the stop is not refused")
    }

    fn kill(&self) -> ShutdownReport {
        self.0.kill().expect("the kill is not refused")
    }

    fn stats(&self) -> TaskStats {
        self.0.stats()
    }

    fn phase(&self) -> Phase {
        self.0.phase()
    }

    fn arrived(&self) -> u64 {
        self.0.metrics().total_tasks_arrived
    }
}

/// In a runtime with so many threads; see [`Driver::start`].
#[derive(Clone)]
struct Tokio<const THREADS: usize> {
    manager: AsyncTaskManager<Faulty, Fault>, // before what it runs in
    driver: Driver,
}

/// A job as an async closure. A macro, since no type can be named for it.
macro_rules! awaiting {
    ($job:expr) => {{
        let Job { gate, panics_on_drop, witness } = $job;
        let captured = (panics_on_drop.then(|| PanicsOnDrop), witness);
        async move |_: &TaskContext, resource: &mut Faulty| {
            let _captured = &captured;
            if let Some(gate) = &gate {
                gate.pass().await;
            }
            resource.work()
        }
    }};
}

impl<const THREADS: usize> Stage for Tokio<THREADS> {
    fn build(kit: &Kit, seen: &Recorder, shape: Shape) -> Self {
        let driver = Driver::start(THREADS);
        let config = shaped!(kit.async_config(), seen, shape);
        let manager = driver.run(AsyncTaskManager::new(config)).expect("a manager");
        Self { manager, driver }
    }

    fn submit(&self, job: Job) -> TaskHandle<u64, Fault> {
        self.manager.task(awaiting!(job)).submit()
    }

    fn run(&self, job: Job) -> Ending {
        self.driver.run(self.manager.task(awaiting!(job)).into_future())
    }

    fn run_now(&self, job: Job) -> Ending {
        let manager = self.manager.clone();
        self.driver.run(async move { manager.run_task(awaiting!(job)).await })
    }

    fn on_complete(&self, job: Job, callback: Box<dyn FnOnce(Ending) + Send>) {
        self.manager.task(awaiting!(job)).on_complete(callback);
    }

    fn pause(&self) {
        self.manager.pause();
    }

    fn stop(&self) -> ShutdownReport {
        let manager = self.manager.clone();
        self.driver.run(async move { manager.stop().await }).expect("the stop is not refused")
    }

    fn kill(&self) -> ShutdownReport {
        let manager = self.manager.clone();
        self.driver.run(async move { manager.kill().await }).expect("the kill is not refused")
    }

    fn stats(&self) -> TaskStats {
        self.manager.stats()
    }

    fn phase(&self) -> Phase {
        self.manager.phase()
    }

    fn arrived(&self) -> u64 {
        self.manager.metrics().total_tasks_arrived
    }
}
