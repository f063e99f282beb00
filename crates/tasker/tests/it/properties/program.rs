//! A random program: what several callers do with one manager, how one is drawn, and how one is written down.
//!
//! A program is shown as the Rust code that makes it, so that what failed can be pasted into `replay.rs`.

use std::fmt;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use tasker::{Overflow, Priority};

/// What a program runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum On {
    /// A `TaskManager` that lends.
    Lending,
    /// A `TaskManager` that does not.
    NotLending,
    /// A `TaskManager` of local resources.
    Local,
    /// An `AsyncTaskManager` on tokio's multi-thread runtime.
    MultiThread,
    /// An `AsyncTaskManager` on tokio's current-thread runtime.
    CurrentThread,
}

impl On {
    pub(crate) const THREADS: [Self; 3] = [Self::Lending, Self::NotLending, Self::Local];
    pub(crate) const RUNTIMES: [Self; 2] = [Self::MultiThread, Self::CurrentThread];

    pub(crate) fn is_async(self) -> bool {
        Self::RUNTIMES.contains(&self)
    }
}

/// How a task's attempts go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Well,
    Own,
    Sick,
    SickOnce,
    Panics,
    FailsWhenCancelled,
    WellWhenCancelled,
    /// Something in it panics when it is dropped: its closure, or where it is async its future in the middle.
    PanicsInDrop,
    /// Async only: until its future is dropped.
    Never,
}

/// How a task is handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// `run`; the future of the task, awaited at once.
    Run,
    /// `run_now`.
    RunNow,
    /// `submit`; the handle is waited for when the caller has done all its steps.
    Submit,
    /// As `Submit`, by `try_submit`.
    TrySubmit,
    /// A handle that is awaited in the end; the future of the task in a spawned one.
    Await,
    /// `on_complete`.
    Callback,
    /// `submit`; the handle is dropped.
    Detach,
    /// `submit` with a handle that cancels when it is dropped; a future dropped after some polls.
    Dropped,
}

/// What the first attempt of a task does with its own manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inside {
    /// Submits another task and does not wait for it.
    Submits,
    /// Submits another task and waits for it for a moment.
    Waits,
    /// Submits another task and waits until it has ended. So deep: the other one may do the same.
    Joins(u8),
    /// Runs another task as its caller. So deep.
    Runs(u8),
    /// `run_now`.
    RunsNow,
    /// Stops the manager.
    Stops,
    /// Kills it.
    Kills,
}

impl Inside {
    /// What the task inside does in its turn.
    fn deeper(self) -> Option<Self> {
        match self {
            Self::Joins(deep) => deep.checked_sub(1).filter(|deep| *deep > 0).map(Self::Joins),
            Self::Runs(deep) => deep.checked_sub(1).filter(|deep| *deep > 0).map(Self::Runs),
            Self::Submits | Self::Waits | Self::RunsNow | Self::Stops | Self::Kills => None,
        }
    }
}

/// A task and its options.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Task {
    pub(crate) door: Door,
    pub(crate) ending: Ending,
    pub(crate) lane: Priority,
    pub(crate) once: bool,
    /// Async only: so many awaits come first, and so many polls before its future is dropped.
    pub(crate) awaits: usize,
    /// Its handle is cancelled as soon as there is one.
    pub(crate) cancel: bool,
    /// Of a millisecond.
    pub(crate) timeout: bool,
    /// In milliseconds.
    pub(crate) start_within: Option<u64>,
    pub(crate) inside: Option<Inside>,
}

/// A task with no options.
pub(crate) fn task(door: Door, ending: Ending) -> Task {
    let (lane, once, awaits, cancel, timeout) = (Priority::Normal, false, 0, false, false);
    Task { door, ending, lane, once, awaits, cancel, timeout, start_within: None, inside: None }
}

impl Task {
    pub(crate) fn lane(self, lane: Priority) -> Self {
        Self { lane, ..self }
    }

    pub(crate) fn once(self) -> Self {
        Self { once: true, ..self }
    }

    pub(crate) fn awaits(self, awaits: usize) -> Self {
        Self { awaits, ..self }
    }

    pub(crate) fn cancel(self) -> Self {
        Self { cancel: true, ..self }
    }

    pub(crate) fn timeout(self) -> Self {
        Self { timeout: true, ..self }
    }

    pub(crate) fn start_within(self, milliseconds: u64) -> Self {
        Self { start_within: Some(milliseconds), ..self }
    }

    pub(crate) fn inside(self, inside: Inside) -> Self {
        Self { inside: Some(inside), ..self }
    }

    /// The task that it hands over in its midst. Where it is sick itself, that one is sick once.
    pub(crate) fn child(&self, inside: Inside) -> Self {
        let door = match inside {
            Inside::Submits => Door::Callback,
            Inside::Waits | Inside::Joins(_) => Door::Submit,
            Inside::Runs(_) => Door::Run,
            Inside::RunsNow => Door::RunNow,
            Inside::Stops | Inside::Kills => unreachable!("it hands nothing over"),
        };
        let is_sick = matches!(self.ending, Ending::Sick | Ending::SickOnce);
        let ending = if is_sick { Ending::SickOnce } else { Ending::Well };
        Self { inside: inside.deeper(), ..task(door, ending).lane(self.lane) }
    }

    /// Whether it may run at most once.
    pub(crate) fn has_one_attempt(&self) -> bool {
        self.once || self.door == Door::RunNow
    }

    /// Whether it takes its place in its lane by the very call that submits it.
    pub(crate) fn is_detached(&self) -> bool {
        matches!(self.door, Door::Submit | Door::TrySubmit | Door::Callback | Door::Detach)
    }

    /// The same, with something that ends it.
    fn that_ends(mut self) -> Self {
        let has_handle = matches!(self.door, Door::Submit | Door::TrySubmit | Door::Detach);
        self.timeout |= match self.ending {
            Ending::FailsWhenCancelled | Ending::WellWhenCancelled => !(has_handle && self.cancel),
            Ending::Never => true, // a cancel leaves a running future to itself
            _ => false,
        };
        self
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task(Door::{:?}, Ending::{:?})", self.door, self.ending)?;
        if self.lane != Priority::Normal {
            write!(f, ".lane(Priority::{:?})", self.lane)?;
        }
        if self.awaits > 0 {
            write!(f, ".awaits({})", self.awaits)?;
        }
        if let Some(milliseconds) = self.start_within {
            write!(f, ".start_within({milliseconds})")?;
        }
        if let Some(inside) = self.inside {
            write!(f, ".inside(Inside::{inside:?})")?;
        }
        let flags = [(self.once, "once"), (self.cancel, "cancel"), (self.timeout, "timeout")];
        flags.iter().filter(|flag| flag.0).try_for_each(|flag| write!(f, ".{}()", flag.1))
    }
}

/// What a caller does next.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    Task(Task),
    /// Cancels whatever the caller has a handle to.
    CancelAll,
    Yield,
    Resize(usize, usize),
    Pause,
    Resume,
    Stop,
    /// Within a millisecond.
    StopWithin,
    Kill,
    /// Within a millisecond.
    KillWithin,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Task(task) => write!(f, "Step::Task({task})"),
            other => write!(f, "Step::{other:?}"),
        }
    }
}

/// What happens when all callers have done their steps, while they wait for what they have submitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finale {
    Stop,
    Kill,
    /// The token of `shutdown_on` is cancelled.
    Parent,
    /// The last clone is dropped.
    Drop,
}

#[derive(Clone)]
pub(crate) struct Program {
    pub(crate) on: On,
    pub(crate) workers: usize,
    /// So many more at most.
    pub(crate) burst: usize,
    pub(crate) pool: usize,
    pub(crate) capacity: Option<(usize, Overflow)>,
    pub(crate) delayed_retries: bool,
    /// What is said of every resource that is validated, if any is.
    pub(crate) validates: Option<bool>,
    pub(crate) failing_creates: u64,
    pub(crate) failing_destroys: u64,
    /// Whether tasks are stuck after a moment, and whether their workers are replaced then.
    pub(crate) stuck: Option<bool>,
    pub(crate) callers: Vec<Vec<Step>>,
    pub(crate) finale: Finale,
}

impl Program {
    /// A sick task is attempted once more than that at most.
    pub(crate) const MAX_RETRIES: u32 = 2;

    fn steps(&self) -> impl Iterator<Item = &Step> {
        self.callers.iter().flatten()
    }

    pub(crate) fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.steps().filter_map(|step| if let Step::Task(task) = step { Some(task) } else { None })
    }

    /// The highest cap there ever is.
    pub(crate) fn cap(&self) -> usize {
        let caps = self.steps().map(|step| if let Step::Resize(_, cap) = step { *cap } else { 0 });
        caps.max().unwrap_or(0).max(self.workers + self.burst)
    }

    /// The lowest cap there ever is.
    pub(crate) fn lowest_cap(&self) -> usize {
        let caps = self.steps().filter_map(|step| match step {
            Step::Resize(_, cap) => Some(*cap),
            _ => None,
        });
        caps.min().unwrap_or(usize::MAX).min(self.workers + self.burst)
    }

    /// How many resources there may be at a time beside those of workers.
    pub(crate) fn beside_workers(&self) -> usize {
        let urgent = self.tasks().filter(|task| task.door == Door::RunNow).count();
        let inside = self.tasks().filter(|task| task.inside == Some(Inside::RunsNow)).count();
        match self.on {
            On::Local => 0,
            On::Lending | On::NotLending => self.pool + urgent.min(self.callers.len()) + inside,
            // Destroyed in the background: the next may be made meanwhile.
            On::MultiThread | On::CurrentThread => self.pool + urgent + inside,
        }
    }

    pub(crate) fn kills(&self) -> bool {
        let kills = |step: &Step| matches!(step, Step::Kill | Step::KillWithin | Step::StopWithin);
        self.finale == Finale::Kill
            || self.steps().any(kills)
            || self.tasks().any(|task| task.inside == Some(Inside::Kills))
    }

    /// Whether somebody may shut the manager down before the finale.
    pub(crate) fn ends_early(&self) -> bool {
        let ends = |step: &Step| match step {
            Step::Stop | Step::StopWithin | Step::Kill | Step::KillWithin => true,
            Step::Task(task) => matches!(task.inside, Some(Inside::Stops | Inside::Kills)),
            _ => false,
        };
        self.steps().any(ends)
    }

    pub(crate) fn pauses(&self) -> bool {
        self.steps().any(|step| matches!(step, Step::Pause))
    }

    pub(crate) fn cancels_all(&self) -> bool {
        self.steps().any(|step| matches!(step, Step::CancelAll))
    }
}

/// The code of the program.
impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Program {{")?;
        writeln!(f, "    on: On::{:?},", self.on)?;
        let Self { workers, burst, pool, delayed_retries, validates, .. } = self;
        writeln!(f, "    workers: {workers},\n    burst: {burst},\n    pool: {pool},")?;
        match self.capacity {
            None => writeln!(f, "    capacity: None,")?,
            Some((room, rule)) => writeln!(f, "    capacity: Some(({room}, Overflow::{rule:?})),")?,
        }
        writeln!(f, "    delayed_retries: {delayed_retries},\n    validates: {validates:?},")?;
        writeln!(f, "    failing_creates: {},", self.failing_creates)?;
        writeln!(f, "    failing_destroys: {},", self.failing_destroys)?;
        writeln!(f, "    stuck: {:?},", self.stuck)?;
        writeln!(f, "    callers: vec![")?;
        for steps in &self.callers {
            writeln!(f, "        vec![")?;
            steps.iter().try_for_each(|step| writeln!(f, "            {step},"))?;
            writeln!(f, "        ],")?;
        }
        writeln!(f, "    ],\n    finale: Finale::{:?},\n}}", self.finale)
    }
}

/// For the message of a property that fails: what to paste, and where.
impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.to_string().replace('\n', "\n    ");
        let code = code.trim_end();
        writeln!(f, "as follows; paste it into tests/it/properties/replay.rs to replay it:\n")?;
        writeln!(f, "#[test]\nfn what_failed() {{\n    replay(&{code});\n}}")
    }
}

fn any_task(on: On) -> impl Strategy<Value = Task> {
    use Ending::*;
    let mut endings = vec![Well, Well, Well, Own, Sick, SickOnce, Panics];
    endings.extend([FailsWhenCancelled, WellWhenCancelled, PanicsInDrop]);
    if on.is_async() {
        endings.push(Never);
    }
    use Door::*;
    let doors = vec![Run, Run, RunNow, Submit, Submit, TrySubmit, Await, Callback, Detach, Dropped];
    let lanes = vec![Priority::Low, Priority::Normal, Priority::High];
    let ways = (select(doors), select(endings), select(lanes), 0..4_usize);
    let flags = (prop::bool::weighted(0.25), prop::bool::weighted(0.2), prop::bool::weighted(0.1));
    let limit = option::weighted(0.1, 0..2_u64);
    let waits = vec![Inside::Joins(1), Inside::Joins(2), Inside::Runs(1), Inside::Runs(2)];
    let others = vec![Inside::Submits, Inside::Waits, Inside::RunsNow];
    let ends = vec![Inside::Stops, Inside::Kills];
    let inside = prop_oneof![12 => select(waits), 12 => select(others), 1 => select(ends)];
    let inside = option::weighted(0.2, inside);
    (ways, flags, limit, inside).prop_map(move |(ways, flags, start_within, inside)| {
        let (door, ending, lane, awaits) = ways;
        let (once, cancel, timeout) = flags;
        let awaits = if on.is_async() { awaits } else { 0 };
        Task { door, ending, lane, once, awaits, cancel, timeout, start_within, inside }.that_ends()
    })
}

fn any_step(on: On) -> impl Strategy<Value = Step> {
    prop_oneof![
        60 => any_task(on).prop_map(Step::Task),
        5 => Just(Step::Yield),
        2 => Just(Step::CancelAll),
        2 => (1..=3_usize, 0..=2_usize).prop_map(|(base, more)| Step::Resize(base, base + more)),
        1 => Just(Step::Pause),
        2 => Just(Step::Resume),
        1 => Just(Step::Stop),
        1 => Just(Step::StopWithin),
        1 => Just(Step::Kill),
        1 => Just(Step::KillWithin),
    ]
}

pub(crate) fn any_program(on: &[On]) -> impl Strategy<Value = Program> + use<> {
    let overflow = select(vec![Overflow::Wait, Overflow::Reject, Overflow::DropOldest]);
    let settings = (
        (1..=3_usize, 0..=2_usize, 0..=2_usize),
        option::of((1..=4_usize, overflow)),
        any::<bool>(),
        (option::of(any::<bool>()), option::of(any::<bool>())),
        (0..=2_u64, 0..=2_u64),
        select(vec![Finale::Stop, Finale::Kill, Finale::Parent, Finale::Drop]),
    );
    (select(on.to_vec()), settings).prop_flat_map(|(on, settings)| {
        vec(vec(any_step(on), 0..24), 1..=4).prop_map(move |callers| {
            let (crew, capacity, delayed_retries, options, fails, finale) = settings;
            let ((workers, burst, pool), (validates, stuck)) = (crew, options);
            let (failing_creates, failing_destroys) = fails;
            Program {
                on,
                workers,
                burst,
                pool,
                capacity,
                delayed_retries,
                validates,
                failing_creates,
                failing_destroys,
                stuck,
                callers,
                finale,
            }
        })
    })
}

/// Gives the builder of a task what is asked for; the number is its name.
macro_rules! options {
    ($builder:expr, $number:expr, $task:expr) => {{
        let mut builder = $builder.priority($task.lane).name($number.to_string());
        if $task.timeout {
            builder = builder.timeout($crate::properties::program::MOMENT);
        }
        if let Some(limit) = $task.start_within {
            builder = builder.start_within(std::time::Duration::from_millis(limit));
        }
        builder
    }};
}
pub(crate) use options;

/// How long timeouts, limits and bounded waits of programs are. What comes first is left to chance.
pub(crate) const MOMENT: std::time::Duration = std::time::Duration::from_millis(1);
