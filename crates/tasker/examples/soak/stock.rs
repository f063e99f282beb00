//! The resources: how they are made and taken apart, unreliably, and how they are counted.

use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fastrand::Rng;

use crate::ledger::{Count, Ledger, Rule};
use crate::plan::Plan;

/// What resources and tasks fail with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The task's own error.
    Own,
    /// The resource's fault: it has to be replaced.
    Sick,
    /// A resource could not be made, or not be taken apart.
    Hook,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Own => "the task's own error",
            Self::Sick => "the resource is sick",
            Self::Hook => "the hook failed",
        })
    }
}

thread_local! {
    /// Whether this thread is inside a `run_task`, whose resource may be a temporary one.
    static URGENT: Cell<bool> = const { Cell::new(false) };
}

tokio::task_local! {
    /// The same for a future.
    static URGENTLY: ();
}

/// Runs a `run_task` that blocks.
pub(crate) fn urgent<T>(run: impl FnOnce() -> T) -> T {
    URGENT.set(true);
    let value = run();
    URGENT.set(false);
    value
}

/// Runs a `run_task` that is awaited.
pub(crate) fn urgently<F: Future>(run: F) -> impl Future<Output = F::Output> {
    URGENTLY.scope((), run)
}

fn is_urgent() -> bool {
    URGENT.get() || URGENTLY.try_with(|()| ()).is_ok()
}

/// What a hook does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whim {
    Works,
    IsSlow,
    Fails,
    Panics,
}

/// Where the resources of one manager come from.
#[derive(Debug)]
pub(crate) struct Stock {
    pub(crate) ledger: Arc<Ledger>,
    /// Most resources of workers and pool; `None` where stuck tasks may have replacements beyond.
    most: Option<u64>,
    /// Creations fail now and then.
    pub(crate) unruly: AtomicBool,
    /// Creations fail, all of them.
    pub(crate) down: AtomicBool,
    peak: AtomicU64,
    chance: Mutex<Rng>,
}

/// How long a slow hook takes.
pub(crate) const SLOW: Duration = Duration::from_millis(1);

impl Stock {
    pub(crate) fn new(ledger: Arc<Ledger>, plan: &Plan) -> Arc<Self> {
        Arc::new(Self {
            ledger,
            most: (!plan.may_replace()).then(|| plan.resources()),
            unruly: AtomicBool::new(false),
            down: AtomicBool::new(false),
            peak: AtomicU64::new(0),
            chance: Mutex::new(Rng::with_seed(plan.seed)),
        })
    }

    /// Takes a place for a resource that is about to be made, and says what becomes of it.
    pub(crate) fn begin(self: &Arc<Self>) -> (Place, Whim) {
        let place = Place::new(self, is_urgent());
        let unruly = self.unruly.load(Ordering::Relaxed);
        let whim = match self.draw() {
            _ if self.down.load(Ordering::Relaxed) => Whim::Fails,
            0..10 if unruly => Whim::Fails,
            10..13 if unruly => Whim::Panics,
            13..18 if unruly => Whim::IsSlow,
            _ => Whim::Works,
        };
        if matches!(whim, Whim::Fails | Whim::Panics) {
            self.ledger.add(Count::CreateErrors);
        }
        (place, whim)
    }

    /// How a resource takes being destroyed.
    pub(crate) fn end(&self, resource: &mut Resource) -> Whim {
        if std::mem::replace(&mut resource.destroyed, true) {
            self.ledger.broke(Rule::Resources, || "a resource was destroyed twice".to_owned());
        }
        self.ledger.add(Count::Destroyed);
        let whim = match self.draw() {
            0..5 => Whim::Fails,
            5..7 => Whim::Panics,
            7..9 => Whim::IsSlow,
            _ => Whim::Works,
        };
        if matches!(whim, Whim::Fails | Whim::Panics) {
            self.ledger.add(Count::DestroyErrors);
        }
        whim
    }

    /// Whether a resource is sound.
    pub(crate) fn is_sound(&self) -> bool {
        self.draw() >= 5
    }

    /// Most resources of workers and pool that lived at the same time.
    pub(crate) fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }

    fn draw(&self) -> u32 {
        self.chance.lock().unwrap_or_else(PoisonError::into_inner).u32(0..100)
    }
}

/// Carries out what a hook is to do, once it has been slow.
pub(crate) fn obey(whim: Whim) -> Result<(), Fault> {
    match whim {
        Whim::Works | Whim::IsSlow => Ok(()),
        Whim::Fails => Err(Fault::Hook),
        Whim::Panics => panic!("a hook of the soak panics"),
    }
}

/// A place under the cap, taken from before a resource is made until after it is destroyed.
#[derive(Debug)]
pub(crate) struct Place {
    stock: Arc<Stock>,
    temporary: bool,
}

impl Place {
    fn new(stock: &Arc<Stock>, temporary: bool) -> Self {
        let ledger = &stock.ledger;
        if temporary {
            ledger.temporary.fetch_add(1, Ordering::Relaxed);
        } else {
            let live = ledger.live.fetch_add(1, Ordering::Relaxed) + 1;
            stock.peak.fetch_max(live, Ordering::Relaxed);
            if let Some(most) = stock.most.filter(|most| live > *most) {
                ledger.broke(Rule::Cap, || format!("{live} resources where {most} may be"));
            }
        }
        Self { stock: Arc::clone(stock), temporary }
    }

    /// The resource has been made.
    pub(crate) fn made(self) -> Resource {
        self.stock.ledger.add(Count::Created);
        Resource { uses: 0, destroyed: false, place: self }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let ledger = &self.stock.ledger;
        let live = if self.temporary { &ledger.temporary } else { &ledger.live };
        live.fetch_sub(1, Ordering::Release);
    }
}

/// What tasks need while they run.
#[derive(Debug)]
pub(crate) struct Resource {
    pub(crate) uses: u64,
    destroyed: bool,
    place: Place,
}

impl Drop for Resource {
    fn drop(&mut self) {
        let ledger = &self.place.stock.ledger;
        ledger.add(Count::Dropped);
        if !self.destroyed {
            ledger.broke(Rule::Resources, || {
                "a resource was dropped that `on_destroy` has not seen".to_owned()
            });
        }
    }
}
