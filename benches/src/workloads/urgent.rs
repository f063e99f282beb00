//! W7: an urgent task among many that keep every worker busy.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, select_biased, unbounded};
use tasker::Priority;

use crate::caller::{Caller, Tally};
use crate::figures::{Group, Limit, Row, Run};
use crate::harness::Plan;
use crate::peers::{About, Blocking, Crossbeam, Job, Manager, Rayon, manager, spawn_workers};
use crate::stats::{Waits, median};
use crate::work::{Spin, Work};

const WORKERS: usize = 2;
const CALLERS: usize = 32;
const TAKES: Duration = Duration::from_micros(100);
const EVERY: Duration = Duration::from_millis(5);

const SUBMITTED: About = About {
    name: "tasker submit, High",
    differs: "an urgent task with a handle, which a worker's thread runs.",
};
const CALLED: About = About {
    name: "tasker queue_task_with_priority",
    differs: "an urgent caller who blocks, and runs the task itself; whether it was overtaken is not seen \
              from outside.",
};
const STRICT: About = About {
    name: "two channels, urgent first",
    differs: "the limit: crossbeam workers that look into a channel of urgent jobs before the other one.",
};

/// How many ordinary tasks have begun, of whichever system is measured.
static BEGUN: AtomicU64 = AtomicU64::new(0);

/// How many of them may have overtaken an urgent one.
static AHEAD: AtomicU64 = AtomicU64::new(0);

/// An ordinary task.
#[derive(Debug, Clone, Copy)]
struct Ordinary(Spin);

/// The worker that would take an urgent task is the one that takes this one: whatever begins is ahead.
impl Work for Ordinary {
    fn run(self, resource: &mut u64) -> u64 {
        AHEAD.fetch_add(1, Ordering::Relaxed);
        BEGUN.fetch_add(1, Ordering::Relaxed);
        self.0.run(resource)
    }
}

/// A call of a manager, which gives an urgent task its resource before the thread that is to run it is
/// awake. What another resource does meanwhile has overtaken nobody: a task is ahead only while an urgent
/// one has none.
fn call(manager: &Manager, caller: Caller<Ordinary>) -> Tally {
    caller.repeat(|work| {
        let done = manager.queue_task(|_, resource| {
            if manager.stats().priority_tasks > 0 {
                AHEAD.fetch_add(1, Ordering::Relaxed);
            }
            BEGUN.fetch_add(1, Ordering::Relaxed);
            Ok(work.0.run(resource))
        });
        done.expect("the task succeeds")
    })
}

/// An urgent task: it tells when it began and how many ordinary ones were ahead by then.
type Urgent = Box<dyn FnOnce() + Send>;

/// A system with ordinary callers that takes urgent tasks in.
trait Urgency: Blocking<Ordinary> {
    fn hand_in(&self, urgent: Urgent);

    /// Whether `hand_in` returns before the task has begun.
    fn returns_early(&self) -> bool {
        true
    }
}

pub(crate) fn urgent(plan: &Plan) -> Group {
    let time = plan.quick_or(Duration::from_millis(300), Duration::from_secs(2));
    let work = Ordinary(Spin::lasting(TAKES));
    let systems: [Box<dyn Urgency>; 5] = [
        Box::new(Submitted(manager(WORKERS))),
        Box::new(Called(manager(WORKERS))),
        Box::new(Strict::new(WORKERS)),
        Box::new(Crossbeam::new(WORKERS)),
        Box::new(Rayon::new(WORKERS)),
    ];
    let mut rows: Vec<Row> =
        systems.iter().map(|system| Row::new(system.about(), WORKERS, CALLERS)).collect();
    let mut seen: Vec<Vec<Seen>> = systems.iter().map(|_| Vec::new()).collect();
    plan.progress.begin("W7", systems.len() * plan.reps);
    for _ in plan.repetitions() {
        for ((system, row), seen) in systems.iter().zip(&mut rows).zip(&mut seen) {
            plan.progress.step(row.about.name);
            let now = watch(&**system, work, time);
            row.runs.push(Run::of_waits(&now.waits));
            seen.push(now);
        }
    }
    plan.progress.end();
    for (row, seen) in rows.iter_mut().zip(&seen) {
        let all: u64 = seen.iter().map(|seen| seen.waits.count()).sum();
        let overtaken: Option<u64> = seen.iter().map(|seen| seen.overtaken).sum();
        let overtaken = overtaken.map_or_else(String::new, |count| format!("{count} of {all}"));
        let late = median(seen.iter().map(|seen| seen.late.percentiles().p99)).unwrap_or(0.0);
        let ordinary = median(seen.iter().map(|seen| seen.ordinary as f64 / time.as_secs_f64()));
        row.extras = vec![
            ("overtaken", overtaken),
            ("noise p99", format!("{late:.0} µs")),
            ("ordinary/s", format!("{:.0}", ordinary.unwrap_or(0.0))),
        ];
    }
    let title = "the wait of an urgent task every 5 ms; 32 callers with 100 µs tasks, 2 workers";
    let mut group = Group::new("W7", title, rows);
    group.note("overtaken: more ordinary tasks than workers began while it waited for a resource");
    group.note(
        "noise: how late the thread that hands in is woken by the same machine at the same time",
    );
    let of = |figure: fn(&Seen) -> f64| median(seen[0].iter().map(figure));
    let p50 = of(|seen| seen.waits.percentiles().p50);
    let p99 = of(|seen| seen.waits.percentiles().p99 - seen.late.percentiles().p99);
    let overtaken = seen[0].iter().filter_map(|seen| seen.overtaken).sum::<u64>() as f64;
    group.goal("p50 at most 60 µs", p50, Limit::AtMost(60.0));
    group.goal("p99 at most 150 µs beyond the noise", p99, Limit::AtMost(150.0));
    group.goal("none overtaken", Some(overtaken), Limit::AtMost(0.0));
    group
}

/// What one repetition has shown.
struct Seen {
    waits: Waits,
    /// How late the thread that hands in was woken.
    late: Waits,
    /// `None` where it cannot be seen.
    overtaken: Option<u64>,
    ordinary: u64,
}

fn watch(system: &dyn Urgency, work: Ordinary, time: Duration) -> Seen {
    let over = AtomicBool::new(false);
    let begun_before = BEGUN.load(Ordering::Relaxed);
    thread::scope(|scope| {
        for index in 0..CALLERS {
            let over = &over;
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    system.call(Caller::new(index, 1, work, false));
                }
            });
        }
        let _ends = EndOnDrop(&over); // also when this thread panics: the callers would never end
        let mut seen = hand_in(system, time);
        seen.ordinary = BEGUN.load(Ordering::Relaxed) - begun_before;
        seen
    })
}

struct EndOnDrop<'a>(&'a AtomicBool);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn hand_in(system: &dyn Urgency, time: Duration) -> Seen {
    let (mut waits, mut late) = (Waits::new(), Waits::new());
    let mut overtaken = 0;
    let (tell, told) = mpsc::channel();
    let mut due = Instant::now() + EVERY;
    let end = due + time;
    while due < end {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let tell = tell.clone();
        let urgent = Box::new(move || {
            let now = (Instant::now(), AHEAD.load(Ordering::Relaxed));
            tell.send(now).expect("somebody waits for it");
        });
        let began = Instant::now();
        late.record(began - due);
        system.hand_in(urgent);
        // Read afterwards: what began while this thread was on its way in has overtaken nobody.
        let handed_in = AHEAD.load(Ordering::Relaxed);
        let (begun, ahead) = told.recv().expect("it is told");
        waits.record(begun - began);
        // As many as there are workers may have been given a resource already, and begin a moment later.
        overtaken += u64::from(ahead > handed_in + WORKERS as u64);
        due = (due + EVERY).max(Instant::now());
    }
    Seen { waits, late, overtaken: system.returns_early().then_some(overtaken), ordinary: 0 }
}

fn submit_urgent(manager: &Manager, urgent: Urgent) {
    let mut urgent = Some(urgent);
    let task = manager.task(move |_, _| {
        urgent.take().expect("it runs once")();
        Ok(())
    });
    drop(task.priority(Priority::High).submit());
}

struct Submitted(Manager);

impl Blocking<Ordinary> for Submitted {
    fn about(&self) -> About {
        SUBMITTED
    }

    fn call(&self, caller: Caller<Ordinary>) -> Tally {
        call(&self.0, caller)
    }
}

impl Urgency for Submitted {
    fn hand_in(&self, urgent: Urgent) {
        submit_urgent(&self.0, urgent);
    }
}

struct Called(Manager);

impl Blocking<Ordinary> for Called {
    fn about(&self) -> About {
        CALLED
    }

    fn call(&self, caller: Caller<Ordinary>) -> Tally {
        call(&self.0, caller)
    }
}

impl Urgency for Called {
    fn hand_in(&self, urgent: Urgent) {
        let call = |_: &_, _: &mut _| {
            urgent();
            Ok(())
        };
        self.0.queue_task_with_priority_once(call).expect("the task succeeds");
    }

    fn returns_early(&self) -> bool {
        false
    }
}

impl Urgency for Crossbeam {
    fn hand_in(&self, urgent: Urgent) {
        self.submit(Box::new(|_| urgent()));
    }
}

impl Urgency for Rayon {
    fn hand_in(&self, urgent: Urgent) {
        self.pool().spawn_fifo(urgent);
    }
}

/// Workers that prefer one of two channels.
struct Strict {
    /// `None` once it is being dropped, so that the threads end.
    channels: Option<(Sender<Job>, Sender<Job>)>,
    threads: Vec<JoinHandle<()>>,
}

impl Strict {
    fn new(workers: usize) -> Self {
        let ((urgent, urgent_jobs), (ordinary, ordinary_jobs)) = (unbounded(), unbounded());
        let next = |(urgent, ordinary): &(Receiver<Job>, Receiver<Job>)| {
            select_biased! {
                recv(urgent) -> job => job.ok(),
                recv(ordinary) -> job => job.ok(),
            }
        };
        let threads = spawn_workers(workers, (urgent_jobs, ordinary_jobs), next);
        Self { channels: Some((urgent, ordinary)), threads }
    }

    fn channels(&self) -> &(Sender<Job>, Sender<Job>) {
        self.channels.as_ref().expect("it is not being dropped")
    }
}

impl Drop for Strict {
    fn drop(&mut self) {
        self.channels = None;
        for thread in self.threads.drain(..) {
            thread.join().expect("no work panics");
        }
    }
}

impl Blocking<Ordinary> for Strict {
    fn about(&self) -> About {
        STRICT
    }

    fn call(&self, caller: Caller<Ordinary>) -> Tally {
        caller.repeat(|work| {
            let (result, inbox) = crossbeam_channel::bounded(1);
            let job: Job = Box::new(move |resource| {
                result.send(work.run(resource)).expect("the caller waits for it");
            });
            self.channels().1.send(job).expect("the workers serve");
            inbox.recv().expect("the worker sends it")
        })
    }
}

impl Urgency for Strict {
    fn hand_in(&self, urgent: Urgent) {
        let job: Job = Box::new(|_| urgent());
        self.channels().0.send(job).expect("the workers serve");
    }
}
