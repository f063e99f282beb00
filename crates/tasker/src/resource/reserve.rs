//! The steward of the pool behind `run_task`: destroys what is condemned and refills the pool.

use std::sync::Arc;

use crate::engine::Engine;
use crate::event::{DestroyReason, Owner};
use crate::queue::Chore;
use crate::sync::Waiter;

/// Runs until the manager is over and the pool is empty.
pub(crate) fn keep_stocked<R: 'static, E: Send + 'static>(engine: &Arc<Engine<R, E>>) {
    let mut failures = 0;
    engine.queue.steward_here(Waiter::me());
    loop {
        let chore = engine.queue.next_chore(|| engine.clock.now(), |fx| engine.perform(fx));
        match chore {
            Chore::Destroy(lease, reason) => {
                engine.destroy(*lease.resource, Owner::Pool, reason);
            }
            Chore::Create => match engine.create(Owner::Pool) {
                Ok((resource, took)) => {
                    failures = 0;
                    if let Some(late) = engine.stock(resource, took) {
                        engine.destroy(late, Owner::Pool, DestroyReason::Shutdown);
                    }
                }
                Err(failure) => engine.refill_failed(failure, &mut failures),
            },
            Chore::Leave => break,
        }
        engine.queue.chore_done();
    }
    engine.steward_left();
}
