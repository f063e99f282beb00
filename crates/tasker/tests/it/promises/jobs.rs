//! Tasks that are the same code for every kind of manager: an async block, which a worker thread blocks on.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tasker::{Priority, TaskContext, TaskError};

use crate::support::{Fault, Gate, Res};

/// How a job ended.
pub(crate) type Ending = Result<u64, TaskError<Fault>>;

/// One attempt.
pub(crate) type Attempt<'a> = Pin<Box<dyn Future<Output = Result<u64, Fault>> + Send + 'a>>;

type Code = dyn for<'a> Fn(&'a TaskContext, &'a mut Res) -> Attempt<'a> + Send + Sync;

/// A task and its options. A clone is another task with the same code.
#[derive(Clone)]
pub(crate) struct Job {
    pub(crate) code: Arc<Code>,
    pub(crate) once: bool,
    pub(crate) priority: Priority,
    pub(crate) name: Option<&'static str>,
    pub(crate) max_retries: Option<u32>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) start_within: Option<Duration>,
}

/// `job!([gate, notes], |cx, res| { gate.passed().await; Ok(res.id()) })`: a job whose code is an async block;
/// what is listed is cloned into every attempt.
macro_rules! job {
    ([$($kept:ident),*], |$cx:pat_param, $res:pat_param| $body:expr) => {{
        $(let $kept = $kept.clone();)*
        $crate::promises::jobs::Job::new(move |$cx, $res| {
            $(let $kept = $kept.clone();)*
            Box::pin(async move { $body })
        })
    }};
}

impl Job {
    pub(crate) fn new(
        code: impl for<'a> Fn(&'a TaskContext, &'a mut Res) -> Attempt<'a> + Send + Sync + 'static,
    ) -> Self {
        let (code, priority) = (Arc::new(code), Priority::Normal);
        let (once, name, max_retries, timeout, start_within) = (false, None, None, None, None);
        Self { code, once, priority, name, max_retries, timeout, start_within }
    }

    /// By `task_once`.
    pub(crate) fn once(mut self) -> Self {
        self.once = true;
        self
    }

    pub(crate) fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    pub(crate) fn high(self) -> Self {
        self.priority(Priority::High)
    }

    pub(crate) fn low(self) -> Self {
        self.priority(Priority::Low)
    }

    pub(crate) fn name(mut self, name: &'static str) -> Self {
        self.name = Some(name);
        self
    }

    pub(crate) fn max_retries(mut self, retries: u32) -> Self {
        self.max_retries = Some(retries);
        self
    }

    pub(crate) fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    pub(crate) fn start_within(mut self, limit: Duration) -> Self {
        self.start_within = Some(limit);
        self
    }
}

/// Gives the number of its resource.
pub(crate) fn returns() -> Job {
    job!([], |_, res| Ok(res.id()))
}

pub(crate) fn fails(fault: Fault) -> Job {
    job!([], |_, _| Err(fault))
}

pub(crate) fn panics() -> Job {
    job!([], |_, _| panic!("a task panics on order"))
}

/// Waits at `gate`, then gives the number of its resource.
pub(crate) fn waits_at(gate: &Gate) -> Job {
    job!([gate], |_, res| {
        gate.passed().await;
        Ok(res.id())
    })
}

/// Comes to `gate`, stays until its context is cancelled, and fails then.
pub(crate) fn runs_until_cancelled(gate: &Gate) -> Job {
    job!([gate], |cx, _| {
        gate.arrive();
        cx.cancelled().await;
        Err(Fault::Own)
    })
}

/// Finds its resource sick in the first `attempts` attempts; after these it gives the number of the attempt.
pub(crate) fn is_sick(attempts: u32) -> Job {
    job!([], |cx, _| match cx.attempt() {
        attempt if attempt <= attempts => Err(Fault::Sick),
        attempt => Ok(attempt.into()),
    })
}

/// Numbers in the order in which jobs wrote them down.
#[derive(Clone, Default)]
pub(crate) struct Notes(Arc<Mutex<Vec<u64>>>);

impl Notes {
    pub(crate) fn write(&self, number: u64) {
        self.0.lock().unwrap().push(number);
    }

    pub(crate) fn read(&self) -> Vec<u64> {
        self.0.lock().unwrap().clone()
    }
}

/// Writes `number` down.
pub(crate) fn writes(notes: &Notes, number: u64) -> Job {
    job!([notes], |_, _| {
        notes.write(number);
        Ok(number)
    })
}
