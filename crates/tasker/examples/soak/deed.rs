//! What a task does while it runs, and the trace that its closure leaves behind.

use std::hint::spin_loop;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tasker::{Priority, TaskContext};

use crate::ledger::{Count, Ledger, Rule};
use crate::stock::{Fault, Resource};

/// What a task does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Returns at once.
    Nothing,
    /// Works for a moment, without looking at its context.
    Spins(u32),
    /// Waits for so many microseconds, or until it is cancelled.
    Naps(u64),
    /// Lets others go first, if it is async.
    Yields,
    Fails,
    /// Finds its resource sick, in the first attempt or in every one.
    FindsSick {
        always: bool,
    },
    Panics,
    /// Runs until it is cancelled: by its timeout, if nobody is faster.
    RunsOn,
}

/// After how long a task is cancelled that would run on for ever.
pub(crate) const PATIENCE: Duration = Duration::from_millis(1);

impl Deed {
    /// Nearly always something cheap.
    pub(crate) fn draw(chance: &mut Rng) -> Self {
        match chance.u32(0..10_000) {
            0..9_700 => Self::Nothing,
            9_700..9_820 => Self::Spins(chance.u32(1..2_000)),
            9_820..9_900 => Self::Yields,
            9_900..9_905 => Self::Naps(chance.u64(1..200)),
            9_905..9_970 => Self::Fails,
            9_970..9_985 => Self::FindsSick { always: chance.u32(0..8) == 0 },
            9_985..9_998 => Self::Panics,
            _ => Self::RunsOn,
        }
    }

    /// The same for a task that cannot be given a timeout.
    pub(crate) fn draw_finite(chance: &mut Rng) -> Self {
        match Self::draw(chance) {
            Self::RunsOn => Self::Naps(100),
            other => other,
        }
    }
}

/// What a task is given on its way in, if its door takes it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    pub(crate) priority: Priority,
    pub(crate) named: bool,
    pub(crate) timeout: Option<Duration>,
    pub(crate) start_within: Option<Duration>,
    pub(crate) max_retries: Option<u32>,
}

impl Options {
    pub(crate) fn draw(chance: &mut Rng, deed: Deed) -> Self {
        let priority = match chance.u32(0..10) {
            0 => Priority::High,
            1..3 => Priority::Low,
            _ => Priority::Normal,
        };
        let timeout = match deed {
            Deed::RunsOn => Some(PATIENCE),
            _ if chance.u32(0..500) == 0 => Some(Duration::from_micros(chance.u64(1..2_000))),
            _ => None,
        };
        let soon = chance.u32(0..500) == 0;
        Self {
            priority,
            named: chance.u32(0..1_000) == 0,
            timeout,
            start_within: soon.then(|| Duration::from_micros(chance.u64(0..2_000))),
            max_retries: (chance.u32(0..1_000) == 0).then(|| chance.u32(0..3)),
        }
    }
}

/// Belongs to a task's closure and counts when that is gone.
#[derive(Debug)]
pub(crate) struct Trace {
    ledger: Arc<Ledger>,
    pub(crate) ticket: u64,
    deed: Deed,
    once: bool,
    /// Nobody is going to hear of the outcome, so that the closure itself has to tell.
    silent: bool,
    runs: u32,
    well: bool,
}

impl Trace {
    pub(crate) fn new(ledger: &Arc<Ledger>, ticket: u64, deed: Deed) -> Self {
        ledger.add(Count::ClosuresMade);
        let ledger = Arc::clone(ledger);
        Self { ledger, ticket, deed, once: false, silent: false, runs: 0, well: false }
    }

    /// It may run once only.
    pub(crate) fn once(mut self) -> Self {
        self.once = true;
        self
    }

    /// Nobody listens.
    pub(crate) fn silent(mut self) -> Self {
        self.silent = true;
        self
    }

    /// How often it has run.
    pub(crate) fn runs(&self) -> u32 {
        self.runs
    }

    fn begin(&mut self, resource: &mut Resource) {
        resource.uses += 1;
        self.runs += 1;
        self.well = false;
        if self.once && self.runs > 1 {
            self.ledger.broke(Rule::Answers, || {
                format!("task {} ran {} times, and may once", self.ticket, self.runs)
            });
        }
    }

    fn end(&mut self, cx: &TaskContext) -> Result<u64, Fault> {
        match self.deed {
            Deed::Fails => return Err(Fault::Own),
            Deed::FindsSick { always } if always || cx.attempt() == 1 => return Err(Fault::Sick),
            Deed::Panics => panic!("a task of the soak panics"),
            _ => self.well = true,
        }
        Ok(self.ticket)
    }

    /// One attempt on a thread.
    pub(crate) fn attempt(
        &mut self,
        cx: &TaskContext,
        resource: &mut Resource,
    ) -> Result<u64, Fault> {
        self.begin(resource);
        match self.deed {
            Deed::Spins(turns) => (0..turns).for_each(|_| spin_loop()),
            Deed::Naps(time) => cx.sleep(Duration::from_micros(time)).map_err(|_| Fault::Own)?,
            Deed::RunsOn => {
                cx.token().wait();
                return Err(Fault::Own);
            }
            _ => {}
        }
        self.end(cx)
    }

    /// One attempt as a future.
    pub(crate) async fn attempt_async(
        &mut self,
        cx: &TaskContext,
        resource: &mut Resource,
    ) -> Result<u64, Fault> {
        self.begin(resource);
        match self.deed {
            Deed::Spins(turns) => (0..turns).for_each(|_| spin_loop()),
            Deed::Yields => tokio::task::yield_now().await,
            Deed::Naps(time) => {
                cx.sleep_async(Duration::from_micros(time)).await.map_err(|_| Fault::Own)?;
            }
            Deed::RunsOn => {
                cx.cancelled().await;
                return Err(Fault::Own);
            }
            _ => {}
        }
        self.end(cx)
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        if self.silent {
            self.ledger.add(if self.well { Count::SilentWell } else { Count::SilentOther });
        }
        self.ledger.add(Count::ClosuresGone);
    }
}

/// What a task needs that waits for another one of its manager.
#[derive(Clone)]
pub(crate) struct Errand<M> {
    pub(crate) manager: M,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) ticket: u64,
}

/// A callback that has to be called.
#[derive(Debug)]
pub(crate) struct Callback {
    ledger: Arc<Ledger>,
    ticket: u64,
    called: bool,
}

impl Callback {
    pub(crate) fn new(ledger: &Arc<Ledger>, ticket: u64) -> Self {
        ledger.add(Count::CallbacksMade);
        Self { ledger: Arc::clone(ledger), ticket, called: false }
    }

    pub(crate) fn call(mut self, outcome: &Result<u64, tasker::TaskError<Fault>>) {
        self.called = true;
        self.ledger.hear(self.ticket, outcome);
    }
}

impl Drop for Callback {
    fn drop(&mut self) {
        if !self.called {
            self.ledger.broke(Rule::Answers, || {
                format!("the callback of task {} was dropped without being called", self.ticket)
            });
        }
        self.ledger.add(Count::CallbacksGone);
    }
}
