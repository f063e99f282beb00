//! Resources that are counted, and that fail, panic, hang or fall sick on order.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use tasker::Config;

use super::{Gate, LIMIT};

/// What resources and tasks of the tests fail with. Only `Sick` condemns a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The task's own error.
    Own,
    /// The resource is unhealthy.
    Sick,
    /// `on_create` or `on_destroy` failed.
    Create,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Own => "own fault",
            Self::Sick => "sick resource",
            Self::Create => "create fault",
        })
    }
}

impl std::error::Error for Fault {}

/// A resource of a [`Kit`]. A drop outside `on_destroy` is noted.
#[derive(Debug)]
pub(crate) struct Res {
    /// The number of the `on_create` call that made it, from 1.
    id: u64,
    /// The thread that made it.
    home: ThreadId,
    kit: Kit,
    destroyed: bool,
}

impl Res {
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Whether the calling thread is the one that made the resource.
    pub(crate) fn is_at_home(&self) -> bool {
        self.home == thread::current().id()
    }

    /// Uses the resource: its number, or `Fault::Sick` if so ordered by [`Kit::sicken_next_uses`].
    pub(crate) fn work(&self) -> Result<u64, Fault> {
        let mut state = self.kit.lock();
        if state.sick_uses > 0 {
            state.sick_uses -= 1;
            return Err(Fault::Sick);
        }
        Ok(self.id)
    }
}

impl Drop for Res {
    fn drop(&mut self) {
        if !self.destroyed {
            self.kit.lock().lost.push(self.id);
            self.kit.0.1.notify_all();
        }
    }
}

/// Makes, counts and takes apart resources. Clones share everything.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kit(Arc<(Mutex<State>, Condvar)>);

#[derive(Debug, Default)]
struct State {
    counts: Counts,
    /// Those that went through `on_destroy`.
    gone: HashSet<u64>,
    destroyed_twice: Vec<u64>,
    /// Those that were dropped without `on_destroy`.
    lost: Vec<u64>,
    failing: u64,
    failing_calls: HashSet<u64>,
    panicking: u64,
    panicking_calls: HashSet<u64>,
    down: bool,
    create_gate: Option<Gate>,
    failing_destroys: u64,
    panicking_destroys: u64,
    destroy_gate: Option<Gate>,
    sick_uses: u64,
}

/// How many there are and were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Calls of `on_create`, whatever became of them.
    pub(crate) calls: u64,
    /// Calls of `on_create` that failed or panicked.
    pub(crate) failures: u64,
    /// Resources that `on_create` returned.
    pub(crate) created: u64,
    /// Calls of `on_destroy` that have begun and not ended.
    pub(crate) destroying: u64,
    /// Resources that went through `on_destroy`.
    pub(crate) destroyed: u64,
    /// Resources right now, those being made or destroyed included.
    pub(crate) live: u64,
    /// The most that `live` ever was.
    pub(crate) peak: u64,
}

impl Kit {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A configuration of exactly `workers` workers, without a pool, on this kit.
    pub(crate) fn config(&self, workers: usize) -> Config<Res, Fault> {
        let (create, destroy) = (self.clone(), self.clone());
        Config::new(move || create.create())
            .on_destroy(move |res| destroy.destroy(res))
            .check_health(|fault| *fault != Fault::Sick)
            .worker_count(workers)
            .max_worker_count(workers)
            .resource_pool_size(0)
    }

    // Orders. Those for the next so many are carried out in the order: panic, fail.

    /// The next `n` calls of `on_create` fail.
    pub(crate) fn fail_next_creates(&self, n: u64) {
        self.lock().failing = n;
    }

    /// Call number `n` of `on_create`, counted from 1 and from the making of the kit, fails.
    pub(crate) fn fail_create(&self, n: u64) {
        self.lock().failing_calls.insert(n);
    }

    /// The next call of `on_create` panics.
    pub(crate) fn panic_next_create(&self) {
        self.lock().panicking += 1;
    }

    /// Call number `n` of `on_create`, counted from 1 and from the making of the kit, panics.
    pub(crate) fn panic_create(&self, n: u64) {
        self.lock().panicking_calls.insert(n);
    }

    /// Every `on_create` fails until [`mend`](Self::mend).
    pub(crate) fn break_down(&self) {
        self.lock().down = true;
    }

    pub(crate) fn mend(&self) {
        self.lock().down = false;
    }

    /// Every `on_create` that begins from now on waits at `gate`.
    pub(crate) fn block_creates(&self, gate: &Gate) {
        self.lock().create_gate = Some(gate.clone());
    }

    /// Every `on_destroy` that begins from now on waits at `gate`.
    pub(crate) fn block_destroys(&self, gate: &Gate) {
        self.lock().destroy_gate = Some(gate.clone());
    }

    /// The next `n` calls of `on_destroy` fail.
    pub(crate) fn fail_next_destroys(&self, n: u64) {
        self.lock().failing_destroys = n;
    }

    /// The next call of `on_destroy` panics.
    pub(crate) fn panic_next_destroy(&self) {
        self.lock().panicking_destroys += 1;
    }

    /// The next `n` calls of [`Res::work`] say `Sick`.
    pub(crate) fn sicken_next_uses(&self, n: u64) {
        self.lock().sick_uses = n;
    }

    // What there is.

    pub(crate) fn counts(&self) -> Counts {
        self.lock().counts
    }

    pub(crate) fn created(&self) -> u64 {
        self.counts().created
    }

    pub(crate) fn destroyed(&self) -> u64 {
        self.counts().destroyed
    }

    pub(crate) fn live(&self) -> u64 {
        self.counts().live
    }

    pub(crate) fn peak(&self) -> u64 {
        self.counts().peak
    }

    /// Blocks until the counts satisfy `holds`.
    pub(crate) fn wait_until(&self, holds: impl Fn(&Counts) -> bool) {
        let waited = self.0.1.wait_timeout_while(self.lock(), LIMIT, |s| !holds(&s.counts));
        let (state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        let (failed, counts) = (timeout.timed_out(), state.counts);
        drop(state);
        assert!(!failed, "it did not come to that in {LIMIT:?}: {counts:?}");
    }

    /// Whether the resource of that number went to `on_destroy`.
    pub(crate) fn is_gone(&self, id: u64) -> bool {
        self.lock().gone.contains(&id)
    }

    /// How many hold the kit or a resource of it: one, when a manager is gone without a trace.
    pub(crate) fn holders(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    /// Fails unless every resource that was made went through `on_destroy` exactly once (promise 3).
    #[track_caller]
    pub(crate) fn assert_all_destroyed_once(&self) {
        let state = self.lock();
        let (counts, twice, lost) =
            (state.counts, state.destroyed_twice.clone(), state.lost.clone());
        drop(state);
        assert_eq!(twice, [], "destroyed twice");
        assert_eq!(lost, [], "dropped without on_destroy");
        assert_eq!((counts.destroyed, counts.live), (counts.created, 0), "{counts:?}");
    }

    // The hooks.

    /// The kit's `on_create`, for a configuration of another error type.
    pub(crate) fn create(&self) -> Result<Res, Fault> {
        let making = self.begin_create();
        if let Some(gate) = &making.gate {
            gate.wait();
        }
        making.finish()
    }

    /// The kit's `on_create`, for an async manager.
    pub(crate) async fn create_async(self) -> Result<Res, Fault> {
        let making = self.begin_create();
        if let Some(gate) = &making.gate {
            gate.passed().await;
        }
        making.finish()
    }

    fn begin_create(&self) -> Making {
        let making = {
            let mut state = self.lock();
            state.counts.calls += 1;
            state.counts.live += 1;
            state.counts.peak = state.counts.peak.max(state.counts.live);
            let id = state.counts.calls;
            let panics = spend(&mut state.panicking) || state.panicking_calls.remove(&id);
            let fails = !panics
                && (state.down || spend(&mut state.failing) || state.failing_calls.remove(&id));
            let gate = state.create_gate.clone();
            Making { kit: self.clone(), id, panics, fails, gate, made: false }
        };
        self.0.1.notify_all();
        making
    }

    /// The kit's `on_destroy`.
    pub(crate) fn destroy(&self, res: Res) -> Result<(), Fault> {
        let ruin = self.begin_destroy(res);
        if let Some(gate) = &ruin.gate {
            gate.wait();
        }
        self.end_destroy(&ruin)
    }

    /// The kit's `on_destroy`, for an async manager.
    pub(crate) async fn destroy_async(self, res: Res) -> Result<(), Fault> {
        let ruin = self.begin_destroy(res);
        if let Some(gate) = &ruin.gate {
            gate.passed().await;
        }
        self.end_destroy(&ruin)
    }

    fn begin_destroy(&self, mut res: Res) -> Ruin {
        res.destroyed = true;
        let ruin = {
            let mut state = self.lock();
            state.counts.destroying += 1;
            if !state.gone.insert(res.id) {
                state.destroyed_twice.push(res.id);
            }
            let panics = spend(&mut state.panicking_destroys);
            let fails = !panics && spend(&mut state.failing_destroys);
            Ruin { panics, fails, gate: state.destroy_gate.clone() }
        };
        self.0.1.notify_all();
        ruin
    }

    fn end_destroy(&self, ruin: &Ruin) -> Result<(), Fault> {
        {
            let mut state = self.lock();
            state.counts.destroying -= 1;
            state.counts.destroyed += 1;
            state.counts.live -= 1;
        }
        self.0.1.notify_all();
        assert!(!ruin.panics, "on_destroy panics on order");
        if ruin.fails { Err(Fault::Create) } else { Ok(()) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call of `on_create` under way.
struct Making {
    kit: Kit,
    id: u64,
    panics: bool,
    fails: bool,
    gate: Option<Gate>,
    made: bool,
}

impl Making {
    fn finish(mut self) -> Result<Res, Fault> {
        assert!(!self.panics, "on_create panics on order");
        if self.fails {
            return Err(Fault::Create);
        }
        self.made = true;
        let (id, kit) = (self.id, self.kit.clone());
        drop(self);
        Ok(Res { id, home: thread::current().id(), kit, destroyed: false })
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        {
            let counts = &mut self.kit.lock().counts;
            if self.made {
                counts.created += 1;
            } else {
                counts.failures += 1; // also where its future was dropped
                counts.live -= 1;
            }
        }
        self.kit.0.1.notify_all();
    }
}

/// A call of `on_destroy` under way.
struct Ruin {
    panics: bool,
    fails: bool,
    gate: Option<Gate>,
}

/// Takes one off an order, if it is not carried out yet.
fn spend(order: &mut u64) -> bool {
    let due = *order > 0;
    *order -= u64::from(due);
    due
}
