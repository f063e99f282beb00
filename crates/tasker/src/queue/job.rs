//! A task while it waits or runs, without its types: what the lanes hold and workers run.

#[cfg(feature = "tokio")]
use std::any::Any;
use std::sync::Arc;
#[cfg(feature = "tokio")]
use std::task::{Context, Poll};
use std::time::Instant;

use super::awaited::Ticketed;
use super::lanes::Spot;
use crate::context::TaskContext;
use crate::metrics::TaskLifecycleTimestamps;
use crate::outcome::{Panic, TaskError};
use crate::sync::{AtomicU32, AtomicU64, Mutex, Ordering};
use crate::task::{Settings, TaskId};
use crate::worker::attempt::discard;
use crate::worker::settle::{Case, Went};

/// How an attempt went, without the value of a success, which stays with its task.
pub(crate) enum Ran<E> {
    Well,
    Wrong(E),
    Panicked(Panic),
}

/// A task with its closure and its caller behind it.
pub(crate) trait Runnable<R, E>: Ticketed {
    /// Whether delivering runs no code of the user's.
    fn is_brief(&self) -> bool;
    /// Runs the closure once. Panics are caught inside.
    fn attempt(&self, cx: &TaskContext, resource: &mut R) -> Ran<E>;
    /// Drops the closure, then tells the caller. `Ok` delivers what the last attempt returned.
    fn deliver(&self, ending: Result<(), TaskError<E>>);
    /// Whether it can be ended without an attempt, and no code of the user's runs.
    fn ends_quietly(&self) -> bool {
        self.is_brief()
    }
    /// Tells the caller what the last attempt returned, if that takes no time; else it is still to be delivered.
    fn deliver_briefly(&self) -> bool {
        self.deliver(Ok(()));
        true
    }
}

/// A task that is polled, with its caller behind it. It knows nothing of resources: `Bench` has what carries one in.
#[cfg(feature = "tokio")]
pub(crate) trait Polled<E>: Ticketed {
    /// As [`Runnable::is_brief`].
    fn is_brief(&self) -> bool;
    /// Puts the task on a bench for its (next) attempt: on `bench` if that is of its kind, else on a new one.
    fn take_up(self: Arc<Self>, bench: &mut Option<Box<dyn Bench>>);
    /// As [`Runnable::deliver`].
    fn deliver(&self, ending: Result<(), TaskError<E>>);
    /// As [`Runnable::ends_quietly`].
    fn ends_quietly(&self) -> bool;
    /// As [`Runnable::deliver_briefly`].
    fn deliver_briefly(&self) -> bool;
}

/// Where tasks are polled, one after the other.
#[cfg(feature = "tokio")]
pub(crate) trait Bench: Any + Send {
    /// Polls the task's attempt. What it works with is in `with` before the first poll, and again when it has ended.
    fn poll(&mut self, cx: &mut Context<'_>, with: &mut dyn Any) -> Poll<()>;
}

/// What is known of a task besides its closure.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) settings: Settings,
    pub(crate) may_run_again: bool,
    pub(crate) queued_at: Instant,
    id: AtomicU64,
    attempt: AtomicU32,
    place: AtomicU64,
    /// The times of the last attempt of a task that waits for another.
    last: Mutex<Option<Box<TaskLifecycleTimestamps>>>,
}

/// Where a task is. Written only under the queue's lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// On its way in or out.
    Nowhere,
    /// In a lane.
    Lane(Spot),
    /// Waiting for room.
    Outside(Spot),
    /// Waiting for its retry to fall due.
    Delayed(u32),
    /// With the worker of a seat, or with a caller who borrowed that worker's resource.
    Running(usize),
}

impl Place {
    // Tag in the top byte, lane in the next, index or seat in the low half.
    fn pack(self) -> u64 {
        let spot =
            |tag: u64, spot: Spot| tag << 56 | (spot.level as u64) << 48 | u64::from(spot.index);
        match self {
            Self::Nowhere => 0,
            Self::Lane(at) => spot(1, at),
            Self::Outside(at) => spot(2, at),
            Self::Delayed(index) => 3 << 56 | u64::from(index),
            Self::Running(seat) => 4 << 56 | seat as u64,
        }
    }

    fn unpack(packed: u64) -> Self {
        let spot = Spot { level: (packed >> 48 & 0xff) as usize, index: packed as u32 };
        match packed >> 56 {
            1 => Self::Lane(spot),
            2 => Self::Outside(spot),
            3 => Self::Delayed(packed as u32),
            4 => Self::Running((packed & 0xffff_ffff) as usize),
            _ => Self::Nowhere,
        }
    }
}

impl Ticket {
    pub(crate) fn new(settings: Settings, may_run_again: bool, queued_at: Instant) -> Self {
        Self {
            settings,
            may_run_again,
            queued_at,
            id: AtomicU64::new(0),
            attempt: AtomicU32::new(0),
            place: AtomicU64::new(Place::Nowhere.pack()),
            last: Mutex::new(None),
        }
    }

    pub(crate) fn id(&self) -> TaskId {
        TaskId(self.id.load(Ordering::Relaxed))
    }

    pub(crate) fn set_id(&self, id: TaskId) {
        self.id.store(id.0, Ordering::Relaxed);
    }

    /// The attempt that runs or ran last; 0 before the first.
    pub(crate) fn attempt(&self) -> u32 {
        self.attempt.load(Ordering::Relaxed)
    }

    pub(crate) fn begin_attempt(&self) -> u32 {
        self.attempt.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// When the last attempt ran, for a task that ends while it waits for another.
    pub(crate) fn last(&self) -> Option<TaskLifecycleTimestamps> {
        self.last.lock().as_deref().copied()
    }

    /// Notes the times of an attempt after which the task may wait for another.
    pub(crate) fn set_last_if_retrying(&self, case: Case, times: TaskLifecycleTimestamps) {
        if matches!(case.went, Went::Wrong { healthy: false }) {
            *self.last.lock() = Some(Box::new(times));
        }
    }

    /// Acquire: a submitter that waits for room reads it without the lock.
    pub(crate) fn place(&self) -> Place {
        Place::unpack(self.place.load(Ordering::Acquire))
    }

    pub(crate) fn set_place(&self, place: Place) {
        self.place.store(place.pack(), Ordering::Release);
    }
}

/// The queue's hold on a task. Whoever drops it without finishing it answers the caller with `Killed`,
/// so that no path can forget one.
pub(crate) struct Job<R, E>(Option<Kind<R, E>>);

enum Kind<R, E> {
    /// A worker's thread runs it.
    Run(Arc<dyn Runnable<R, E>>),
    /// The runner of a seat polls it.
    #[cfg(feature = "tokio")]
    Poll(Arc<dyn Polled<E>>),
}

impl<R, E> Kind<R, E> {
    fn deliver(&self, ending: Result<(), TaskError<E>>) {
        match self {
            Self::Run(task) => task.deliver(ending),
            #[cfg(feature = "tokio")]
            Self::Poll(task) => task.deliver(ending),
        }
    }

    fn deliver_briefly(&self) -> bool {
        match self {
            Self::Run(task) => task.deliver_briefly(),
            #[cfg(feature = "tokio")]
            Self::Poll(task) => task.deliver_briefly(),
        }
    }
}

/// A task that has been told, or is being told: what is left of it may panic when it is dropped, also beside a panic.
struct Told<R, E>(Option<Kind<R, E>>);

impl<R, E> Told<R, E> {
    fn into_kind(mut self) -> Option<Kind<R, E>> {
        self.0.take()
    }
}

impl<R, E> Drop for Told<R, E> {
    fn drop(&mut self) {
        discard(self.0.take());
    }
}

impl<R, E> Job<R, E> {
    pub(crate) fn new(task: Arc<dyn Runnable<R, E>>) -> Self {
        Self(Some(Kind::Run(task)))
    }

    /// Of a task that is polled.
    #[cfg(feature = "tokio")]
    pub(crate) fn polled(task: Arc<dyn Polled<E>>) -> Self {
        Self(Some(Kind::Poll(task)))
    }

    fn kind(&self) -> &Kind<R, E> {
        self.0.as_ref().expect("only `finish` and `release` empty a job, and both consume it")
    }

    /// A task that a thread runs.
    pub(crate) fn task(&self) -> &dyn Runnable<R, E> {
        match self.kind() {
            Kind::Run(task) => &**task,
            #[cfg(feature = "tokio")]
            Kind::Poll(_) => {
                unreachable!("what is polled is in the lanes of managers without threads")
            }
        }
    }

    /// Puts a task that is polled on a bench.
    #[cfg(feature = "tokio")]
    pub(crate) fn take_up(&self, bench: &mut Option<Box<dyn Bench>>) {
        match self.kind() {
            Kind::Poll(task) => Arc::clone(task).take_up(bench),
            Kind::Run(_) => {
                unreachable!("what threads run is in the lanes of managers with threads")
            }
        }
    }

    /// Whether delivering runs no code of the user's.
    pub(crate) fn is_brief(&self) -> bool {
        match self.kind() {
            Kind::Run(task) => task.is_brief(),
            #[cfg(feature = "tokio")]
            Kind::Poll(task) => task.is_brief(),
        }
    }

    /// Whether it can be ended without an attempt, and no code of the user's runs.
    pub(crate) fn ends_quietly(&self) -> bool {
        match self.kind() {
            Kind::Run(task) => task.ends_quietly(),
            #[cfg(feature = "tokio")]
            Kind::Poll(task) => task.ends_quietly(),
        }
    }

    pub(crate) fn ticket(&self) -> &Ticket {
        match self.kind() {
            Kind::Run(task) => task.ticket(),
            #[cfg(feature = "tokio")]
            Kind::Poll(task) => task.ticket(),
        }
    }

    /// Delivers the task's one outcome.
    pub(crate) fn finish(mut self, ending: Result<(), TaskError<E>>) {
        let told = Told(self.0.take());
        if let Some(task) = &told.0 {
            task.deliver(ending);
        }
    }

    /// Delivers the value of an attempt that went well, if that takes no time; else the task comes back.
    pub(crate) fn finish_briefly(mut self) -> Result<(), Self> {
        let told = Told(self.0.take());
        if told.0.as_ref().is_none_or(Kind::deliver_briefly) {
            return Ok(());
        }
        Err(Self(told.into_kind()))
    }

    /// Lets go of a task that was never accepted, without an answer.
    pub(crate) fn release(mut self) {
        self.0 = None;
    }
}

impl<R, E> Drop for Job<R, E> {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.deliver(Err(TaskError::Killed));
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_place_survives_its_packing() {
        let spot = Spot { level: 3, index: u32::MAX - 1 };
        let places = [
            Place::Nowhere,
            Place::Lane(spot),
            Place::Outside(Spot { level: 0, index: 0 }),
            Place::Delayed(7),
            Place::Running(9),
        ];
        for place in places {
            assert_eq!(Place::unpack(place.pack()), place);
        }
    }
}
