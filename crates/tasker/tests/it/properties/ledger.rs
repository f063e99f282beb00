//! What became of each task of a program, and what has to hold of it in the end.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tasker::{Outcome as Ended, Overflow, RejectReason, ShutdownReport, TaskError, TaskHandle};

use super::program::{Door, Ending, Inside, MOMENT, On, Program, Task};
use crate::support::{Fault, Kit, Recorder, What, assert_complete};

pub(crate) type Outcome = Result<(), TaskError<Fault>>;
pub(crate) type Handle = TaskHandle<(), Fault>;

/// Clones share everything.
#[derive(Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    entries: Vec<Entry>,
    /// The tasks in the order in which their first attempts began.
    begun: Vec<usize>,
    /// Handles that tasks have left to others.
    left: Vec<(usize, Handle)>,
    /// How many tasks are waiting for tasks in their midst, and how many were at most. Who was interrupted in it
    /// counts for ever: what it waited with may have outlived it.
    waiting: usize,
    most_waiting: usize,
    /// Held by every closure that is still there.
    alive: Arc<()>,
}

struct Entry {
    task: Task,
    from: From,
    runs: u32,
    /// Attempts that returned `Ok`.
    good_runs: u32,
    delivered: Vec<Ended>,
    /// How many at most had been waiting inside tasks when it was told that it would wait for ever.
    waiting_when_told: Option<usize>,
    /// Nobody waits for it any more.
    let_go: bool,
}

/// Who handed a task over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    Caller(usize),
    /// Another task, which waits for it like that.
    Task(Inside),
}

impl Ledger {
    /// Notes a task that a caller is about to hand over, and gives its number.
    pub(crate) fn enter(&self, task: Task, caller: usize) -> usize {
        self.note(task, From::Caller(caller))
    }

    /// Notes a task that another one is about to hand over.
    pub(crate) fn enter_inside(&self, task: Task, inside: Inside) -> usize {
        self.note(task, From::Task(inside))
    }

    fn note(&self, task: Task, from: From) -> usize {
        let mut state = self.lock();
        let (delivered, waiting_when_told) = (Vec::new(), None);
        let let_go = task.door == Door::Detach;
        let (runs, good_runs) = (0, 0);
        let entry = Entry { task, from, runs, good_runs, delivered, waiting_when_told, let_go };
        state.entries.push(entry);
        state.entries.len() - 1
    }

    /// A task is about to wait for one that it has inside.
    pub(crate) fn waits_inside(&self) {
        let mut state = self.lock();
        state.waiting += 1;
        state.most_waiting = state.most_waiting.max(state.waiting);
    }

    /// It has been answered.
    pub(crate) fn goes_on(&self) {
        self.lock().waiting -= 1;
    }

    /// For the closure of a task to hold.
    pub(crate) fn sign_of_life(&self) -> Arc<()> {
        Arc::clone(&self.lock().alive)
    }

    pub(crate) fn begins(&self, number: usize) {
        let mut state = self.lock();
        state.entries[number].runs += 1;
        if state.entries[number].runs == 1 {
            state.begun.push(number);
        }
    }

    pub(crate) fn returns(&self, number: usize, returned: Result<(), Fault>) -> Result<(), Fault> {
        self.lock().entries[number].good_runs += u32::from(returned.is_ok());
        returned
    }

    pub(crate) fn deliver(&self, number: usize, outcome: &Outcome) {
        let ended = match outcome {
            Ok(()) => Ended::Completed,
            Err(TaskError::ShuttingDown) => Ended::Refused,
            Err(TaskError::Killed) => Ended::Killed,
            Err(TaskError::Cancelled) => Ended::Cancelled,
            Err(TaskError::TimedOut) => Ended::TimedOut,
            Err(TaskError::Expired) => Ended::Expired,
            Err(TaskError::QueueFull) => Ended::QueueFull,
            Err(TaskError::Failed(_)) => Ended::Failed,
            Err(TaskError::CreateFailed(_)) => Ended::CreateFailed,
            Err(TaskError::Panicked(_)) => Ended::Panicked,
            Err(TaskError::WouldDeadlock) => Ended::WouldDeadlock,
            Err(TaskError::RetriesExhausted { attempts, .. }) => {
                assert_eq!(*attempts, self.lock().entries[number].runs, "attempts of {number}");
                Ended::RetriesExhausted
            }
            Err(other) => panic!("nothing in a program ends as {other:?}"),
        };
        let mut state = self.lock();
        let most_waiting = state.most_waiting;
        let entry = &mut state.entries[number];
        entry.delivered.push(ended);
        if ended == Ended::WouldDeadlock {
            entry.waiting_when_told = Some(most_waiting);
        }
    }

    pub(crate) fn deliver_refusal(&self, number: usize, reason: RejectReason) {
        self.deliver(
            number,
            &Err(match reason {
                RejectReason::QueueFull => TaskError::QueueFull,
                _ => TaskError::ShuttingDown,
            }),
        );
    }

    /// Nobody will be told how it ends.
    pub(crate) fn let_go(&self, number: usize) {
        self.lock().entries[number].let_go = true;
    }

    /// Leaves a handle to whoever ends the program.
    pub(crate) fn leave(&self, number: usize, handle: Handle) {
        self.lock().left.push((number, handle));
    }

    pub(crate) fn take_left(&self) -> Vec<(usize, Handle)> {
        std::mem::take(&mut self.lock().left)
    }

    /// Whether every closure is gone.
    pub(crate) fn is_over(&self) -> bool {
        Arc::strong_count(&self.lock().alive) == 1
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails unless everything holds that has to when nothing of the manager is left.
    pub(crate) fn check(
        &self,
        program: &Program,
        kit: &Kit,
        seen: &Recorder,
        reports: &[ShutdownReport],
    ) {
        let state = self.lock();
        // Small print: the report adds up. Each counts the same ends as the events do.
        let events = Events::of(seen, state.entries.len());
        for report in reports {
            assert_complete(report);
            let counts = [report.accepted, report.completed, report.cancelled, report.dropped];
            assert_eq!(counts, events.counts(), "{report}");
            assert_eq!(report.resources_created, kit.created());
        }
        for (number, entry) in state.entries.iter().enumerate() {
            entry.check(program, number, &events.of_tasks[number]);
        }
        // Promise 2: with `replace_stuck` there may be one more for each that was stuck.
        let replaced = if program.stuck == Some(true) { events.stuck() } else { 0 };
        let cap = program.cap() + replaced;
        check_order(&state, cap);
        // Promise 3.
        kit.assert_all_destroyed_once();
        // Promise 2: workers' resources, pooled ones, and one for each `run_now` under way.
        let most = (cap + program.beside_workers()) as u64;
        assert!(kit.peak() <= most, "{} resources at a time, and not {most}", kit.peak());
    }
}

/// What the manager told its observer of one task.
#[derive(Debug, Default, Clone)]
struct Story {
    queued: u32,
    started: u32,
    stuck: u32,
    finished: Vec<Ended>,
}

struct Events {
    of_tasks: Vec<Story>,
}

impl Events {
    fn of(seen: &Recorder, tasks: usize) -> Self {
        let mut of_tasks = vec![Story::default(); tasks];
        for event in seen.events() {
            match event.what {
                What::TaskQueued { name, .. } => of_tasks[number(name)].queued += 1,
                What::TaskStarted { name, .. } => of_tasks[number(name)].started += 1,
                What::TaskStuck { name, running_for, .. } => {
                    let story = &mut of_tasks[number(name)];
                    story.stuck += 1;
                    // Before it has begun, if whoever runs it is late.
                    let fits = story.stuck <= story.started + 1 && story.finished.is_empty();
                    assert!(fits, "each attempt is told of once, while it runs: {story:?}");
                    assert!(running_for >= MOMENT, "{running_for:?} is not long");
                }
                What::TaskFinished { name, outcome, .. } => {
                    of_tasks[number(name)].finished.push(outcome);
                }
                _ => {}
            }
        }
        Self { of_tasks }
    }

    /// How many attempts were told of as stuck.
    fn stuck(&self) -> usize {
        self.of_tasks.iter().map(|story| story.stuck as usize).sum()
    }

    /// Accepted, completed, cancelled, dropped.
    fn counts(&self) -> [u64; 4] {
        let ends = |wanted: &[Ended]| {
            let ends = self.of_tasks.iter().flat_map(|story| &story.finished);
            ends.filter(|ended| wanted.contains(ended)).count() as u64
        };
        let accepted = self.of_tasks.iter().map(|story| u64::from(story.queued)).sum();
        let dropped = ends(&[Ended::Killed, Ended::Expired, Ended::QueueFull]);
        [accepted, ends(&[Ended::Completed]), ends(&[Ended::Cancelled]), dropped]
    }
}

fn number(name: Option<String>) -> usize {
    name.expect("every task has a name").parse().expect("a name is a number")
}

impl Entry {
    fn check(&self, program: &Program, number: usize, story: &Story) {
        let (task, runs) = (&self.task, self.runs);
        let tale =
            || format!("task {number}, {task}: {:?}, {runs} runs, {story:?}", self.delivered);
        // Promise 1: an accepted task ends once, and whoever waits is told once.
        assert!(story.queued <= 1 && story.finished.len() as u32 == story.queued, "{}", tale());
        let told = if self.let_go { 0..=1 } else { 1..=1 };
        assert!(told.contains(&self.delivered.len()), "{}", tale());
        // Each attempt once; the last one may have had its resource and ended before it began, as a future whose time is
        // over before it is polled, or have waited for a temporary one that could not be made.
        let unseen = match story.finished.first() {
            Some(Ended::Killed | Ended::Expired | Ended::Cancelled | Ended::CreateFailed) => true,
            Some(Ended::TimedOut) => program.on.is_async(),
            _ => false,
        };
        let attempts = story.started + u32::from(unseen);
        let most = if program.stuck.is_some() { attempts } else { 0 };
        assert!(story.stuck <= most, "{}", tale());
        if self.delivered.contains(&Ended::WouldDeadlock) {
            self.check_refusal(program, &tale);
        }
        // A handle that would have waited for ever leaves its task alone.
        let stays = |ended: &&Ended| **ended == Ended::WouldDeadlock && self.is_behind_a_handle();
        let delivered = self.delivered.first().filter(|ended| !stays(ended));
        let accepted = story.finished.first();
        if let (Some(delivered), Some(finished)) = (delivered, accepted) {
            assert_eq!(delivered, finished, "{}", tale());
        }
        assert_eq!(story.started, runs, "{}", tale());
        // Promises 5 and 6.
        let most = if task.has_one_attempt() { 1 } else { Program::MAX_RETRIES + 1 };
        assert!(runs <= most, "{}", tale());
        let Some(ended) = accepted.or(delivered) else {
            assert!(self.let_go && runs == 0, "{}", tale());
            return;
        };
        if accepted.is_none() {
            assert_eq!(runs, 0, "what is not accepted does not run: {}", tale());
        }
        // Promise 17: what returns `Ok` delivers it. A future may be dropped in the very moment.
        assert_eq!(u32::from(*ended == Ended::Completed), self.good_runs, "{}", tale());
        let is_sick = matches!(task.ending, Ending::Sick | Ending::SickOnce);
        let dropped = matches!(self.from, From::Task(_)) && self.let_go;
        let asked = task.cancel || task.door == Door::Dropped || dropped;
        let possible = match ended {
            Ended::Completed => !matches!(
                task.ending,
                Ending::Own
                    | Ending::Sick
                    | Ending::Panics
                    | Ending::FailsWhenCancelled
                    | Ending::Never
            ),
            // 6, 7.
            Ended::Failed => {
                runs > 0 && (task.ending == Ending::Own || is_sick && task.has_one_attempt())
            }
            Ended::RetriesExhausted => runs == most && task.ending == Ending::Sick,
            // 8.
            Ended::Panicked => {
                runs > 0
                    && match task.ending {
                        Ending::Panics => true,
                        Ending::PanicsInDrop => program.on.is_async(),
                        _ => false,
                    }
            }
            // 17. A future's time may be over before it is polled.
            Ended::TimedOut => task.timeout && (runs > 0 || program.on.is_async()),
            Ended::Expired => runs == 0 && task.start_within.is_some(),
            Ended::Cancelled => asked || program.cancels_all() || program.kills(),
            // 11: what waited, be it for its first attempt or for a retry.
            Ended::Killed => program.kills() && (runs == 0 || is_sick),
            // 12 and small print.
            Ended::Refused => runs == 0 && self.may_come_late(program),
            Ended::QueueFull => runs == 0 && self.may_find_no_room(program),
            // 9, 10.
            Ended::CreateFailed => {
                program.failing_creates > 0 && self.may_find_no_resource(program)
            }
            // 16: what waits in its lane is withdrawn.
            Ended::WouldDeadlock => !self.is_behind_a_handle() && (runs == 0 || is_sick),
            _ => false,
        };
        assert!(possible, "{}", tale());
    }

    /// Whether it may reach the manager when that has begun to shut down. Before the finale every caller has handed
    /// its tasks in, and those that wait for room are callers.
    fn may_come_late(&self, program: &Program) -> bool {
        let polled_late = self.task.door == Door::Await || program.capacity.is_some();
        program.ends_early()
            || matches!(self.from, From::Task(_))
            || program.on.is_async() && polled_late
    }

    /// Who waits for room is never told that there is none.
    fn may_find_no_room(&self, program: &Program) -> bool {
        program.capacity.is_some_and(|(_, overflow)| {
            overflow != Overflow::Wait || self.task.door == Door::TrySubmit
        })
    }

    /// Only who needs one at once, or still waits when no worker can get one in a shutdown.
    fn may_find_no_resource(&self, program: &Program) -> bool {
        let ends_before_the_finale =
            matches!(self.from, From::Caller(_)) && self.task.door == Door::Run;
        program.ends_early() || !ends_before_the_finale
    }

    /// Whether whoever waits for it does so with a handle.
    fn is_behind_a_handle(&self) -> bool {
        matches!(self.from, From::Task(Inside::Waits | Inside::Joins(_)))
    }

    /// Promise 16: who is told that it would wait for ever is in the middle of a task, waits without a limit, and
    /// every worker that the cap allows for was held up by such a wait.
    fn check_refusal(&self, program: &Program, tale: &dyn Fn() -> String) {
        let waits = match self.from {
            From::Task(Inside::Joins(_) | Inside::Runs(_)) => true,
            // An await is one without a limit, whatever is around it.
            From::Task(Inside::Waits) => program.on.is_async(),
            // A local resource is a worker's, and no other can be made for the call; a pause holds it up, too.
            From::Task(Inside::RunsNow) => program.on == On::Local || program.pauses(),
            From::Task(Inside::Submits | Inside::Stops | Inside::Kills) | From::Caller(_) => false,
        };
        assert!(waits, "{}", tale());
        // Nobody is added in a kill, nor in a stop while no resource can be made.
        if !program.kills() && program.failing_creates == 0 {
            let waiting = self.waiting_when_told.unwrap_or(0);
            let cap = program.lowest_cap();
            assert!(waiting >= cap, "{waiting} waited, and there is room for {cap}: {}", tale());
        }
    }
}

/// Promise 4: of the tasks that one caller submits to one lane, each is taken by a worker after those before
/// it. Who was taken begins, but for the others of `cap` workers, who may be about to: so it begins before at
/// most `cap - 1` of those that were submitted before it, and with one worker before none.
fn check_order(state: &State, cap: usize) {
    let mut place = vec![None; state.entries.len()];
    for (at, &number) in state.begun.iter().enumerate() {
        place[number] = Some(at);
    }
    let line_of = |number: usize| {
        let entry = &state.entries[number];
        match entry.from {
            From::Caller(caller) if entry.task.is_detached() => Some((caller, entry.task.lane)),
            _ => None,
        }
    };
    for (at, &number) in state.begun.iter().enumerate() {
        let Some(line) = line_of(number) else { continue };
        let before = (0..number).filter(|&older| line_of(older) == Some(line));
        let overtaken: Vec<_> = before.filter(|&older| place[older] > Some(at)).collect();
        assert!(overtaken.len() < cap, "task {number} began before {overtaken:?} of its line");
    }
}
