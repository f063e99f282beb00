//! Faults in the middle of a stop, a kill, a burst and a recovery: a matrix, with the kit that users have.
//!
//! Whatever breaks, and whenever: everybody is answered (promise 1), the cap holds (2), what was created is
//! destroyed once (3), workers come back (9), and the report adds up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tasker::autoscale::{Load, Plan, ScalingPolicy};
use tasker::testing::{Fault, Faulty, Gate, Kit, LIMIT, PanicsOnDrop, Recorder};
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

/// One worker is in trouble and stays there, the other one is busy, and tasks wait that came in by every door.
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
    scene.strike();
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

    /// Whether a worker would be back within some milliseconds if its next creation were not held up.
    fn is_soon_over(self) -> bool {
        let by_itself =
            [Self::CreateHangs, Self::Outage, Self::DestroysHang, Self::CapturesPanicOnDrop];
        !by_itself.contains(&self)
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
    bombs: Arc<Bombs>,
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
            bombs: Arc::default(),
            manager,
            handles: Vec::new(),
            callers: Vec::new(),
            callbacks: Vec::new(),
            answers: Vec::new(),
        }
    }

    fn job(&self) -> Job {
        let panics_on_drop = self.trouble == Trouble::CapturesPanicOnDrop;
        let bombs = panics_on_drop.then(|| self.bombs.clone());
        Job { bombs, witness: self.witness.clone(), ..Job::default() }
    }

    fn submit(&mut self, job: Job) {
        self.handles.push(self.manager.submit(job));
    }

    /// Has the fault happen to workers that are free, and holds them there; gives the gate that hooks hang at.
    fn strike(&mut self) -> Option<Gate> {
        let mut hang = self.trouble.order(&self.kit);
        if self.trouble.is_soon_over() {
            hang = Some(self.kit.hang_creates());
        }
        for _ in 0..=self.shape.max_workers {
            self.submit(self.job()); // one more than workers, so that a resource is used twice
        }
        if let Trouble::NthCreateFails | Trouble::NthCreatePanics = self.trouble {
            let first = hang.expect("creations hang");
            first.await_arrivals(1);
            hang = Some(self.kit.hang_creates());
            first.open(); // it breaks, and the next one, in some milliseconds, hangs
            self.await_fault(None);
            if self.trouble == Trouble::NthCreatePanics {
                self.await_fault(hang.as_ref()); // `NthCreateFails` is met before its worker tries again
            }
        } else {
            self.await_fault(hang.as_ref());
        }
        hang
    }

    fn await_fault(&self, hang: Option<&Gate>) {
        if let Some(hang) = hang {
            hang.await_arrivals(1);
        }
        eventually("it has happened", || self.has_happened());
    }

    /// Whether the fault has happened, as far as counts tell.
    fn has_happened(&self) -> bool {
        let counts = self.kit.counts();
        match self.trouble {
            Trouble::NthCreateFails | Trouble::NthCreatePanics => counts.failed_creates >= 1,
            Trouble::Outage => counts.failed_creates >= 2,
            Trouble::UnhealthyAfterAUse | Trouble::UsePanics => counts.failed_uses >= 1,
            Trouble::DestroysFail | Trouble::DestroysPanic => counts.failed_destroys >= 1,
            Trouble::CreateHangs | Trouble::DestroysHang => true, // the gate tells
            Trouble::CapturesPanicOnDrop => self.bombs.gone_off() >= 1,
        }
    }

    /// Whether a worker has no resource, and tasks wait; and what has been captured still has its panics to come.
    fn is_in_the_middle(&self) -> bool {
        let stats = self.manager.stats();
        match self.trouble {
            Trouble::CapturesPanicOnDrop => self.bombs.gone_off() < self.bombs.armed(),
            Trouble::DestroysHang => self.kit.counts().destroying == 1,
            _ => stats.recovering_workers == 1,
        }
    }

    /// In the middle of the fault: one task runs, others have come by every door, then the manager is shut
    /// down.
    fn fill_and_shut_down(
        &mut self,
        shut_down: fn(&S) -> ShutdownReport,
    ) -> JoinHandle<ShutdownReport> {
        let hold = Gate::new();
        let job = self.job();
        self.submit(Job { used_before: true, ..job.clone() }.at(&hold));
        hold.await_arrivals(1);
        let hang = self.strike();
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

        assert!(self.is_in_the_middle(), "{:?}", self.manager.stats());
        let shutdown = self.manager.aside(shut_down);
        eventually("the shutdown begins", || self.manager.phase() != Phase::Running);
        hold.open();
        if let (Trouble::UnhealthyAfterAUse, Some(hang)) = (self.trouble, &hang) {
            hang.open(); // the other worker's resource breaks, too, so that nobody is left
        }
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
        eventually("each panic comes", || self.bombs.gone_off() == self.bombs.armed());
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
    /// Whether it uses its resource before the gate, too, while that is closed.
    used_before: bool,
    /// With them, what is captured panics when it is dropped.
    bombs: Option<Arc<Bombs>>,
    /// Captured, too: it shows whether what was captured has been dropped.
    witness: Arc<()>,
}

impl Job {
    fn at(self, gate: &Gate) -> Self {
        Self { gate: Some(gate.clone()), ..self }
    }
}

/// Counts the captures that panic when they are dropped, and the panics.
#[derive(Debug, Default)]
struct Bombs {
    armed: AtomicUsize,
    gone_off: AtomicUsize,
}

impl Bombs {
    fn armed(&self) -> usize {
        self.armed.load(Ordering::SeqCst)
    }

    fn gone_off(&self) -> usize {
        self.gone_off.load(Ordering::SeqCst)
    }
}

/// A capture that panics when it is dropped.
struct Bomb {
    bombs: Arc<Bombs>,
    _panics: PanicsOnDrop,
}

impl Bomb {
    fn new(bombs: Arc<Bombs>) -> Self {
        bombs.armed.fetch_add(1, Ordering::SeqCst);
        Self { bombs, _panics: PanicsOnDrop }
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        // Where a panic is under way, its last field keeps quiet.
        let panics = usize::from(!thread::panicking());
        self.bombs.gone_off.fetch_add(panics, Ordering::SeqCst);
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
    let captured = (job.bombs.map(Bomb::new), job.witness);
    move |_, resource| {
        let _captured = &captured;
        if let Some(gate) = &job.gate {
            if job.used_before && !gate.is_open() {
                resource.work()?;
            }
            gate.wait();
        }
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
        let Job { gate, used_before, bombs, witness } = $job;
        let captured = (bombs.map(Bomb::new), witness);
        async move |_: &TaskContext, resource: &mut Faulty| {
            let _captured = &captured;
            if let Some(gate) = &gate {
                if used_before && !gate.is_open() {
                    resource.work()?;
                }
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
