//! Two tasks that a manager has spawned for as long as it lives: the timekeeper and the steward.

use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use super::Core;
use super::bell::Bell;
use super::hooks::Unmade;
use crate::autoscale::ScalingPolicy;
use crate::event::{DestroyReason, Owner};
use crate::queue::{Chore, Effects, Timetable};
use crate::worker::attempt::discard_for;

/// Notices that its task is dropped before its end.
pub(crate) struct Post<R: Send + 'static, E: Send + 'static> {
    engine: Arc<Core<R, E>>,
    is_steward: bool,
    /// It is in the middle of a chore. What it was doing is cut off before this is dropped.
    busy: bool,
    done: bool,
}

impl<R: Send + 'static, E: Send + 'static> Post<R, E> {
    /// Made before its task is spawned: that may be dropped without ever having been polled.
    pub(crate) fn of_timekeeper(engine: Arc<Core<R, E>>) -> Self {
        Self { engine, is_steward: false, busy: false, done: false }
    }

    /// As [`of_timekeeper`](Self::of_timekeeper).
    pub(crate) fn of_steward(engine: Arc<Core<R, E>>) -> Self {
        Self { engine, is_steward: true, busy: false, done: false }
    }
}

impl<R: Send + 'static, E: Send + 'static> Drop for Post<R, E> {
    fn drop(&mut self) {
        if !self.done {
            if self.busy {
                self.engine.queue.chore_done();
            }
            self.engine.strand();
            if self.is_steward {
                self.engine.clear_out();
            } else {
                self.engine.let_go_of_parent();
            }
        }
    }
}

/// Waits for time on behalf of the whole manager, as the thread of the same name does.
pub(crate) async fn keep_time<R: Send + 'static, E: Send + 'static>(
    mut post: Post<R, E>,
    mut policy: Box<dyn ScalingPolicy>,
) {
    let engine = Arc::clone(&post.engine);
    let bell = Bell::new();
    engine.queue.keep_time(bell.waiter());
    let mut warned = None;
    loop {
        let Some(timetable) = engine.do_what_is_due(&mut *policy, &mut warned) else {
            tokio::task::consume_budget().await;
            continue;
        };
        match timetable {
            Timetable::At(at) => {
                // Either way it looks again.
                let _ = timeout_at(Instant::from_std(at), bell.rung()).await;
            }
            Timetable::Open => bell.rung().await,
            Timetable::Over => break,
        }
    }
    discard_for(engine.identity(), policy);
    engine.let_go_of_parent();
    post.done = true;
}

/// Refills the pool, and destroys what is condemned there.
pub(crate) async fn keep_stocked<R: Send + 'static, E: Send + 'static>(mut post: Post<R, E>) {
    let engine = Arc::clone(&post.engine);
    let bell = Bell::new();
    engine.queue.steward_here(bell.waiter());
    let mut failures = 0;
    loop {
        let mut fx = Effects::new();
        let chore = engine.queue.find_chore(engine.clock.now(), &mut fx);
        engine.perform(fx);
        post.busy = matches!(chore, Some(Chore::Destroy(..) | Chore::Create));
        match chore {
            None => bell.rung().await,
            Some(Chore::Destroy(lease, reason)) => {
                engine.unmake(*lease.resource, Owner::Pool, reason).await;
            }
            Some(Chore::Create) => match engine.make(Owner::Pool).await {
                Ok((resource, took)) => {
                    failures = 0;
                    if let Some(late) = engine.stock(resource, took) {
                        engine.unmake(late, Owner::Pool, DestroyReason::Shutdown).await;
                    }
                }
                Err(Unmade::Killed) => {} // no place of the pool is looked at any more
                Err(Unmade::Failed(failure)) => engine.refill_failed(failure, &mut failures),
            },
            Some(Chore::Leave) => break,
        }
        if std::mem::take(&mut post.busy) {
            engine.queue.chore_done();
        }
    }
    post.done = true;
    engine.steward_left();
}

impl<R: Send + 'static, E: Send + 'static> Core<R, E> {
    /// What is left of the steward's work when the runtime is gone; the last guest to go finishes it.
    pub(crate) fn clear_out(self: &Arc<Self>) {
        loop {
            let mut fx = Effects::new();
            let chore = self.queue.find_chore(self.clock.now(), &mut fx);
            self.perform(fx);
            match chore {
                Some(Chore::Destroy(lease, reason)) => {
                    self.unmake_at_once(*lease.resource, Owner::Pool, reason);
                    self.queue.chore_done();
                }
                Some(Chore::Leave) => return self.steward_left(),
                Some(Chore::Create) | None => return,
            }
        }
    }
}
