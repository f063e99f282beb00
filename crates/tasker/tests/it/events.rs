//! What observers are told, in which order, and that they may do as they please meanwhile.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tasker::{
    CancelToken, Collector, DestroyReason, Event, MetricsCollector, Observer, Outcome, Owner,
    Phase, Priority, TaskId, TaskLifecycleTimestamps, TaskManager, TaskMetrics,
};

use crate::support::{
    Fault, Gate, Kit, LIMIT, Manager, Recorder, Res, What, eventually, on_every_manager, within,
};

/// The stations of every task, in the order of the events' sequence numbers.
fn stories(recorder: &Recorder) -> HashMap<TaskId, Vec<String>> {
    let mut stories: HashMap<_, Vec<_>> = HashMap::new();
    for seen in recorder.events() {
        let (id, station) = match seen.what {
            What::TaskQueued { id, .. } => (id, "queued".to_owned()),
            What::TaskStarted { id, attempt, .. } => (id, format!("started {attempt}")),
            What::TaskRetried { id, attempt, .. } => (id, format!("retried {attempt}")),
            What::TaskFinished { id, outcome, .. } => (id, format!("{outcome:?}")),
            _ => continue,
        };
        stories.entry(id).or_default().push(station);
    }
    stories
}

// Small print: sorting by the sequence number gives each task's events in order.
#[test]
fn the_events_of_a_task_are_in_order_by_their_sequence() {
    on_every_manager(|kind| {
        let recorder = Recorder::new();
        let config = Kit::new().config(4).resource_pool_size(2).observer(recorder.clone());
        let manager = kind.build(config.max_retries(2));
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for n in 0..40 {
                        let task = move |cx: &tasker::TaskContext, res: &mut Res| match n % 4 {
                            0 if cx.attempt() < 3 => Err(Fault::Sick),
                            1 => Err(Fault::Sick),
                            2 => Err(Fault::Own),
                            _ => res.work(),
                        };
                        let task = manager.task(move |cx, res| task(cx, res));
                        match n % 3 {
                            0 => drop(task.run()),
                            1 => drop(task.run_now()),
                            _ => drop(task.submit()),
                        }
                    }
                });
            }
        });
        let report = manager.stop().unwrap();
        let stories = stories(&recorder);
        assert_eq!(stories.len() as u64, report.accepted);
        let again = ["queued", "started 1", "retried 1", "started 2", "retried 2", "started 3"];
        for (id, story) in stories {
            let (end, course) = story.split_last().unwrap();
            match end.as_str() {
                "RetriesExhausted" => assert_eq!(course, again, "{id}"),
                "Completed" if course.len() > 2 => assert_eq!(course, again, "{id}"),
                "Completed" | "Failed" => assert_eq!(course, &again[..2], "{id}"),
                _ => panic!("{id}: {story:?}"),
            }
        }
        let mut sequences: Vec<_> = recorder.events().iter().map(|seen| seen.sequence).collect();
        let told = sequences.len();
        sequences.dedup();
        assert_eq!(sequences.len(), told, "every event has a number of its own");
    });
}

/// Holds whoever records a retry until that task's next attempt has begun.
struct SlowToRetry {
    begun: Gate,
    inner: Collector,
}

impl MetricsCollector for SlowToRetry {
    fn record_arrival(&self) {
        self.inner.record_arrival();
    }
    fn record_completion(&self, stamps: &TaskLifecycleTimestamps) {
        self.inner.record_completion(stamps);
    }
    fn record_failure(&self, stamps: &TaskLifecycleTimestamps) {
        self.inner.record_failure(stamps);
    }
    fn record_retry(&self) {
        // A manager that records before it queues cannot have begun: then this times out, which is fine.
        let token = CancelToken::new();
        for _ in 0..100 {
            if self.begun.is_open() || token.wait_timeout(Duration::from_millis(5)) {
                break;
            }
        }
        self.inner.record_retry();
    }
    fn metrics(&self) -> TaskMetrics {
        self.inner.metrics()
    }
}

// Small print: in order also where another worker is quicker to begin the next attempt than this one
// is to tell of the retry.
#[test]
fn a_retry_is_numbered_before_the_attempt_that_it_leads_to() {
    on_every_manager(|kind| {
        let recorder = Recorder::new();
        let begun = Gate::new();
        let collector = SlowToRetry { begun: begun.clone(), inner: Collector::new() };
        let config = Kit::new().config(2).observer(recorder.clone()).collector(collector);
        let manager = kind.build(config);
        let task = manager.task(move |cx, res| {
            if cx.attempt() == 1 {
                return Err(Fault::Sick);
            }
            begun.open();
            res.work()
        });
        assert!(task.submit().wait().is_ok());
        manager.stop().unwrap();
        let story = stories(&recorder).into_values().next().unwrap();
        assert_eq!(story, ["queued", "started 1", "retried 1", "started 2", "Completed"]);
    });
}

/// The manager that an observer of it knows. It is a circle of owners, so that a test opens it at its end.
type Known = Arc<Mutex<Option<TaskManager<Res, Fault>>>>;

fn open_circle(known: &Known) {
    let manager = known.lock().unwrap().take();
    drop(manager);
}

/// Uses its manager on every event.
struct Meddler {
    manager: Known,
    submitted: AtomicU64,
}

impl Observer for Meddler {
    fn on_event(&self, event: &Event<'_>) {
        let Some(manager) = self.manager.lock().unwrap().clone() else { return };
        let _ = (manager.stats(), manager.phase(), manager.metrics(), format!("{event:?}"));
        if self.submitted.fetch_add(1, Ordering::SeqCst) < 200 {
            drop(manager.task(|_, res| res.work()).submit());
            manager.task(|_, _| Ok(())).on_complete(|_| ());
            manager.task(|_, _| Ok(())).submit().cancel();
        }
    }
}

// Small print: no observer is ever called under a lock, so that it may ask and submit.
#[test]
fn an_observer_may_ask_and_submit() {
    on_every_manager(|kind| {
        let known = Known::default();
        let meddler = Meddler { manager: Arc::clone(&known), submitted: AtomicU64::new(0) };
        let kit = Kit::new();
        let config = kit.config(2).max_worker_count(4).burst_interval(Duration::from_millis(1));
        let manager = kind.build(config.observer(meddler));
        *known.lock().unwrap() = Some(manager.clone());
        for _ in 0..20 {
            assert!(manager.queue_task(|_, _| Err::<(), _>(Fault::Own)).is_err());
            assert!(manager.run_task(|_, res| res.work()).is_ok());
            let retried = |cx: &tasker::TaskContext, res: &mut Res| match cx.attempt() {
                1 => Err(Fault::Sick),
                _ => res.work(),
            };
            assert!(manager.task(retried).submit().wait().is_ok());
        }
        let report = manager.stop().unwrap();
        assert_eq!(report.stragglers.len(), 0, "{report:?}");
        kit.assert_all_destroyed_once();
        open_circle(&known);
    });
}

/// Stops its manager when the first task ends.
struct Stopper(Known, AtomicBool);

impl Observer for Stopper {
    fn on_event(&self, event: &Event<'_>) {
        if let Event::TaskFinished { .. } = event
            && let Some(manager) = self.0.lock().unwrap().clone()
            && !self.1.swap(true, Ordering::SeqCst)
        {
            manager.stop().unwrap();
        }
    }
}

// Promise 12 and small print: an observer runs inside the manager, so that its stop does not wait.
#[test]
fn an_observer_may_stop_its_manager() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let known = Known::default();
        let stopper = Stopper(Arc::clone(&known), AtomicBool::new(false));
        let manager = kind.build(kit.config(1).observer(stopper));
        *known.lock().unwrap() = Some(manager.clone());
        assert!(manager.task(|_, _| Ok(())).submit().wait().is_ok());
        eventually("the stop ends", || manager.phase() == Phase::Stopped);
        kit.assert_all_destroyed_once();
        open_circle(&known);
    });
}

// Small print: any number of observers, all of whom are told everything.
#[test]
fn every_observer_is_told_everything() {
    on_every_manager(|kind| {
        let recorders = [Recorder::new(), Recorder::new(), Recorder::new()];
        let config = Kit::new().config(1);
        let config = recorders.iter().fold(config, |c, recorder| c.observer(recorder.clone()));
        let manager = kind.build(config);
        manager.queue_task(|_, _| Ok(())).unwrap();
        manager.stop().unwrap();
        let sequences = |recorder: &Recorder| -> Vec<u64> {
            recorder.events().iter().map(|seen| seen.sequence).collect()
        };
        eventually("all know that it is over", || {
            let told = sequences(&recorders[0]);
            recorders.iter().all(|recorder| sequences(recorder) == told)
        });
    });
}

// Small print: a task's events carry its name, its priority, its attempt, its outcome and its times.
#[test]
fn events_say_whose_they_are() {
    on_every_manager(|kind| {
        let recorder = Recorder::new();
        let manager = kind.build(Kit::new().config(1).observer(recorder.clone()));
        let task = manager.task(|cx, _| Ok((cx.id(), cx.name().map(str::to_owned), cx.priority())));
        let handle = task.name(format!("task {}", 7)).priority(Priority::High).submit();
        let id = handle.id();
        let (inside, name, priority) = handle.wait().unwrap();
        assert_eq!((inside, name.as_deref(), priority), (id, Some("task 7"), Priority::High));
        let named = |name: &Option<String>| name.as_deref() == Some("task 7");
        assert_eq!(
            recorder.count(|what| match what {
                What::TaskQueued { id: of, name, priority } =>
                    *of == id && named(name) && *priority == Priority::High,
                What::TaskStarted { id: of, name, attempt } =>
                    *of == id && named(name) && *attempt == 1,
                What::TaskFinished { id: of, name, outcome: Outcome::Completed, times } =>
                    *of == id && named(name) && times.is_some(),
                _ => false,
            }),
            3
        );
    });
}

// Small print: the lives of workers and resources are told, from beginning to end.
#[test]
fn the_lives_of_workers_and_resources_are_told() {
    on_every_manager(|kind| {
        let recorder = Recorder::new();
        let manager = kind.build(Kit::new().config(2).observer(recorder.clone()));
        manager.stop().unwrap();
        for worker in 0..2 {
            let owner = Owner::Worker(worker);
            let life: Vec<_> = recorder
                .events()
                .into_iter()
                .filter_map(|seen| match seen.what {
                    What::WorkerStarted { worker: of } if of == worker => Some("started"),
                    What::ResourceCreated { owner: of, .. } if of == owner => Some("created"),
                    What::ResourceDestroyed {
                        owner: of,
                        reason: DestroyReason::Shutdown,
                        failed: false,
                    } if of == owner => Some("destroyed"),
                    What::WorkerStopped { worker: of } if of == worker => Some("stopped"),
                    _ => None,
                })
                .collect();
            assert_eq!(life, ["started", "created", "destroyed", "stopped"], "worker {worker}");
        }
        let phase = |wanted| {
            recorder.wait_for(
                1,
                move |what| matches!(what, What::PhaseChanged { phase } if *phase == wanted),
            );
        };
        phase(Phase::Stopping);
        phase(Phase::Stopped);
    });
}

/// Passes on what it is told, with the thread on which it was told.
struct Teller(Mutex<Sender<thread::ThreadId>>);

impl Observer for Teller {
    fn on_event(&self, event: &Event<'_>) {
        if let Event::TaskStarted { .. } = event {
            self.0.lock().unwrap().send(thread::current().id()).unwrap();
        }
    }
}

// Small print: an event is told on the thread on which it happened.
#[test]
fn an_event_is_told_on_the_thread_on_which_it_happened() {
    within(LIMIT, || {
        let (send, told) = channel();
        let config = Kit::new().config(1).observer(Teller(Mutex::new(send)));
        let manager = Manager::Lending.build(config);
        let lent = manager.queue_task(|_, _| Ok(thread::current().id())).unwrap();
        assert_eq!(told.recv().unwrap(), lent);
        let handle = manager.task(|_, _| Ok(thread::current().id())).submit();
        assert_eq!(told.recv().unwrap(), handle.wait().unwrap());
    });
}
