//! `run_task`: a future that waits for nobody, with a pooled, an idle or a temporary resource.

use std::sync::Arc;
use std::time::Instant;

use super::Core;
use super::attempt::{Attempt, Progress, attempt, ending};
use super::guarded::Discarded;
use super::hold::{Admitted, Held, Hold};
use super::hooks::Unmade;
use super::work::AsyncWork;
use crate::cancel::Why;
use crate::context::{Seat, TaskContext};
use crate::event::{DestroyReason, Event, Owner};
use crate::metrics::TaskLifecycleTimestamps;
use crate::outcome::{Outcome, TaskError};
use crate::queue::{Effects, Guest, Welcome};
use crate::resource::lending::{Lease, Pooled};
use crate::resource::slot::Failure;
use crate::task::{Settings, TaskId};
use crate::worker::settle::{Case, Gone, Verdict, Went, settle};

/// Runs a task ahead of every lane. It has one attempt.
pub(crate) async fn run_now<R: Send + 'static, E: Send + 'static, K: AsyncWork<R, E>>(
    core: &Arc<Core<R, E>>,
    settings: Settings,
    work: Discarded<K>,
) -> Result<K::Output, TaskError<E>> {
    // As for a task that is awaited in its lane.
    tokio::task::consume_budget().await;
    let queued_at = core.clock.now();
    let sequence = core.reporter.reserve_sequence();
    let mut fx = Effects::new();
    let welcome = core.queue.welcome(&settings, true, queued_at, &mut fx);
    core.perform(fx);
    let id = match &welcome {
        Welcome::Refused(reason) => return Err((*reason).into()),
        Welcome::NothingPooled => unreachable!("it need not be content with the pool"),
        Welcome::Lent(loan) => loan.id,
        Welcome::Claim { id, .. } => *id,
        Welcome::Pooled { guest, .. } | Welcome::Temporary(guest) => guest.id,
    };
    core.reporter.arrival(queued_at);
    core.tell_queued(sequence, id, &settings);
    let hold = |settings, held| Hold::new(core, settings, Admitted { id, held, queued_at });
    let visit = |settings, guest, used| Visit {
        core,
        id,
        settings,
        guest: Some(guest),
        used,
        queued_at,
        started: queued_at,
        progress: Progress::Waiting,
    };
    match welcome {
        Welcome::Lent(loan) => hold(settings, Held::Loan(loan)).run(work, false).await,
        Welcome::Claim { key, .. } => hold(settings, Held::Claim(key)).run(work, false).await,
        Welcome::Pooled { guest, pooled, check } => {
            visit(settings, guest, Used::Pooled(pooled)).run(work, check).await
        }
        Welcome::Temporary(guest) => visit(settings, guest, Used::Nothing).run(work, false).await,
        Welcome::Refused(_) | Welcome::NothingPooled => unreachable!("seen above"),
    }
}

/// What a guest has.
enum Used<R> {
    Nothing,
    Pooled(Pooled<R>),
    Temporary(Lease<R>),
}

/// A guest while its future lives. Dropped unfinished it leaves as if its task had been cancelled.
struct Visit<'a, R: Send + 'static, E: Send + 'static> {
    core: &'a Arc<Core<R, E>>,
    id: TaskId,
    settings: Settings,
    guest: Option<Guest>,
    used: Used<R>,
    queued_at: Instant,
    started: Instant,
    progress: Progress,
}

impl<R: Send + 'static, E: Send + 'static> Visit<'_, R, E> {
    async fn run<K: AsyncWork<R, E>>(
        mut self,
        mut work: Discarded<K>,
        check: bool,
    ) -> Result<K::Output, TaskError<E>> {
        if check {
            self.find_sound().await;
        }
        let made = matches!(self.used, Used::Nothing);
        if made {
            self.make().await?;
        }
        if made || check {
            self.start()?; // the time of what came from the pool as it is began when it was taken
        }
        let attempt = self.attempt(&mut work).await;
        let (ending, value) = self.settle(attempt);
        drop(work); // before its outcome is known to anybody
        ending.map(|()| value.expect("what went well has a value"))
    }

    /// Validates pooled resources until one is sound or there is none left.
    async fn find_sound(&mut self) {
        loop {
            let Used::Pooled(pooled) = &mut self.used else { return };
            let suspect = std::mem::replace(&mut pooled.suspect, true); // if it is dropped meanwhile
            if self.core.proves_sound(&mut pooled.lease.resource).await {
                pooled.suspect = false;
                self.started = self.core.clock.now();
                return;
            }
            pooled.suspect = suspect;
            let Used::Pooled(unsound) = std::mem::replace(&mut self.used, Used::Nothing) else {
                unreachable!("seen above");
            };
            let guest = self.guest.as_mut().expect("a guest leaves at the end");
            let mut fx = Effects::new();
            let now = self.core.clock.now();
            let next = self.core.queue.exchange(guest, unsound, now, &mut fx);
            self.core.perform(fx);
            let Some((next, check)) = next else { return };
            self.used = Used::Pooled(next);
            if !check {
                self.started = self.core.clock.now();
                return;
            }
        }
    }

    /// Makes a temporary resource.
    async fn make(&mut self) -> Result<(), TaskError<E>> {
        let created = self.core.make(Owner::Temporary).await;
        self.started = self.core.clock.now();
        let error = match created {
            Ok((resource, _)) => {
                let guest = self.guest.as_ref().expect("a guest leaves at the end");
                self.used = Used::Temporary(Lease::new(resource, guest.token.clone()));
                return Ok(());
            }
            Err(Unmade::Killed) => TaskError::Killed,
            Err(Unmade::Failed(Failure::Error(error))) => TaskError::CreateFailed(error),
            Err(Unmade::Failed(Failure::Panicked(panic))) => TaskError::Panicked(panic),
        };
        Err(self.leave(error))
    }

    /// The resource is ready: the task's time begins, unless it is too late.
    fn start(&mut self) -> Result<(), TaskError<E>> {
        let guest = self.guest.as_ref().expect("a guest leaves at the end");
        match self.core.too_late(guest, &self.settings, self.queued_at, self.started) {
            None => Ok(()),
            Some(error) => Err(self.leave(error)),
        }
    }

    async fn attempt<K: AsyncWork<R, E>>(
        &mut self,
        work: &mut Discarded<K>,
    ) -> Attempt<K::Output, E> {
        let (core, settings, id) = (self.core, &self.settings, self.id);
        let lease = match &mut self.used {
            Used::Pooled(pooled) => &mut pooled.lease,
            Used::Temporary(lease) => lease,
            Used::Nothing => unreachable!("an attempt follows upon its resource"),
        };
        if lease.token.is_aborted() {
            return Attempt::NOT_BEGUN;
        }
        let name = settings.name();
        core.reporter.emit(|sequence| Event::TaskStarted { sequence, id, name, attempt: 1 });
        let token = lease.token.clone();
        let cx = TaskContext::new(id, 1, settings, self.started, token, Seat::NONE);
        attempt(core.identity(), work, &cx, &mut lease.resource, &mut self.progress).await
    }

    fn settle<T>(&mut self, attempt: Attempt<T, E>) -> (Result<(), TaskError<E>>, Option<T>) {
        let core = self.core;
        let finished = core.clock.now();
        let (case, ran, value) = match attempt {
            Attempt::Ended(ran, value) => {
                (core.case(&ran, &self.settings, false, 1), Some(ran), value)
            }
            Attempt::Cut(went) => (core.case_of(went, &self.settings, false, 1), None, None),
        };
        let begun = case.went.has_begun();
        let times = TaskLifecycleTimestamps::new(self.queued_at, self.started, finished);
        let verdict = settle(Case { cancelled: self.why(), ..case });
        let ending = ending(core.identity(), ran, verdict.task, 1);
        let outcome = ending.as_ref().err().map_or(Outcome::Completed, TaskError::outcome);
        self.depart(outcome, Some(verdict), finished, begun.then_some(times));
        (ending, value)
    }

    /// Why the attempt was told to stop, if it was.
    fn why(&self) -> Option<Why> {
        let guest = self.guest.as_ref().expect("a guest leaves at the end");
        self.core.queue.guest_why(guest).or_else(|| guest.token.why())
    }

    /// Ends the task without an attempt.
    fn leave(&mut self, error: TaskError<E>) -> TaskError<E> {
        self.depart(error.outcome(), None, self.core.clock.now(), None);
        error
    }

    fn depart(
        &mut self,
        outcome: Outcome,
        verdict: Option<Verdict>,
        now: Instant,
        times: Option<TaskLifecycleTimestamps>,
    ) {
        let Some(guest) = self.guest.take() else { return };
        let (condemned, suspect) =
            verdict.map_or((None, false), |verdict| (verdict.condemned, verdict.suspect));
        let engine = Arc::clone(self.core);
        match std::mem::replace(&mut self.used, Used::Nothing) {
            Used::Nothing => engine.farewell(guest, outcome, None, now),
            Used::Pooled(mut pooled) => {
                pooled.suspect |= suspect;
                if self.progress == Progress::Waiting {
                    pooled.life.unused();
                }
                engine.farewell(guest, outcome, Some((pooled, condemned)), now);
            }
            Used::Temporary(lease) => {
                // Not here: whoever awaits the task may drop it, and `on_destroy` has to end.
                let reason = condemned.unwrap_or(match outcome {
                    Outcome::Killed => DestroyReason::Shutdown,
                    _ => DestroyReason::Idle,
                });
                let mut fx = Effects::new();
                engine.queue.guest_ended(&guest, outcome, &mut fx);
                engine.perform(fx);
                let roll = Arc::clone(&engine.staff.roll);
                let leaving = Some((guest, lease, reason, outcome));
                roll.spawn(Departure { engine, leaving }.run());
            }
        }
        self.core.tell_end(self.id, self.settings.name(), outcome, times);
    }
}

impl<R: Send + 'static, E: Send + 'static> Drop for Visit<'_, R, E> {
    fn drop(&mut self) {
        let Some(guest) = &self.guest else { return };
        let core = self.core;
        let now = core.clock.now();
        let (verdict, times) = match self.progress {
            Progress::Waiting => (None, None),
            Progress::Running => {
                core.cancel_dropped(&guest.token);
                let case = core.case_of(Went::Dropped(Gone::Caller), &self.settings, false, 1);
                let times = TaskLifecycleTimestamps::new(self.queued_at, self.started, now);
                (Some(settle(case)), Some(times))
            }
        };
        self.depart(Outcome::Cancelled, verdict, now, times);
    }
}

/// A guest on its way out, whose temporary resource is being destroyed.
struct Departure<R: Send + 'static, E: Send + 'static> {
    engine: Arc<Core<R, E>>,
    leaving: Option<(Guest, Lease<R>, DestroyReason, Outcome)>,
}

impl<R: Send + 'static, E: Send + 'static> Departure<R, E> {
    async fn run(mut self) {
        let Some((guest, lease, reason, outcome)) = self.leaving.take() else { return };
        let seen_off = SeenOff { engine: Arc::clone(&self.engine), guest: Some((guest, outcome)) };
        self.engine.unmake(*lease.resource, Owner::Temporary, reason).await;
        drop(seen_off);
    }
}

impl<R: Send + 'static, E: Send + 'static> Drop for Departure<R, E> {
    fn drop(&mut self) {
        if let Some((guest, lease, reason, outcome)) = self.leaving.take() {
            self.engine.strand();
            self.engine.unmake_at_once(*lease.resource, Owner::Temporary, reason);
            self.engine.farewell(guest, outcome, None, self.engine.clock.now());
        }
    }
}

/// Says farewell when its resource is destroyed, or cut off in the middle of that.
struct SeenOff<R: Send + 'static, E: Send + 'static> {
    engine: Arc<Core<R, E>>,
    guest: Option<(Guest, Outcome)>,
}

impl<R: Send + 'static, E: Send + 'static> Drop for SeenOff<R, E> {
    fn drop(&mut self) {
        if let Some((guest, outcome)) = self.guest.take() {
            self.engine.farewell(guest, outcome, None, self.engine.clock.now());
        }
    }
}

impl<R: Send + 'static, E: Send + 'static> Core<R, E> {
    /// A guest's task has ended.
    fn farewell(
        self: &Arc<Self>,
        guest: Guest,
        outcome: Outcome,
        back: Option<(Pooled<R>, Option<DestroyReason>)>,
        now: Instant,
    ) {
        let mut fx = Effects::new();
        self.queue.farewell(guest, outcome, back, now, &mut fx);
        self.perform(fx);
        if self.staff.is_stranded() {
            self.clear_out(); // the steward is gone, or going
        }
    }
}
