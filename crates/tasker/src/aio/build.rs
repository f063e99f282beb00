//! How an async manager comes to be: all of it, or nothing that is left behind.

use std::future::poll_fn;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::Core;
use super::config::Parts;
use super::slots::Slots;
use super::upkeep::{Post, keep_stocked, keep_time};
use super::worker::Worker;
use crate::engine::{Building, Engine};
use crate::error::BuildError;
use crate::knobs::Checked;
use crate::outcome::Panic;
use crate::queue::Effects;
use crate::resource::lending::Shared;
use crate::resource::slot::Failure;
use crate::worker::attempt::contain;

/// Spawns who has to be there and waits until every base resource and the pool are made.
pub(crate) async fn build<R: Send + 'static, E: Send + 'static>(
    parts: Parts<R, E>,
) -> Result<Arc<Core<R, E>>, BuildError<E>> {
    let Parts { hooks, checked: Checked { parts, policy, shutdown_on } } = parts;
    let runtime = runtime().map_err(BuildError::NoRuntime)?;
    let engine = Engine::new(parts, Box::new(Shared::new()), Slots::new(hooks, runtime));
    let mut site = Site { engine: Arc::clone(&engine), kept: false };
    let roll = &engine.staff.roll;
    let seats: Vec<_> = (0..engine.rules.worker_count).map_while(|_| engine.queue.hire()).collect();
    let building = Arc::new(Building::new(seats.len()));
    roll.spawn(keep_time(Post::of_timekeeper(Arc::clone(&engine)), policy));
    if engine.rules.reserve_size > 0 {
        engine.queue.engage_steward();
        roll.spawn(keep_stocked(Post::of_steward(Arc::clone(&engine))));
    }
    for (seat, number) in seats {
        let worker = Worker::new(Arc::clone(&engine), seat, number).building(Arc::clone(&building));
        roll.spawn(worker.begin());
    }
    let mut failure = poll_fn(|cx| building.poll(cx.waker())).await;
    // Who was polled once more while the runtime shut down has left in order, and failed at nothing.
    if failure.is_none() && engine.staff.is_stranded() {
        failure = Some(Failure::Panicked(Panic::new(Box::new("the runtime shut down"))));
    }
    site.kept = failure.is_none();
    drop(site);
    let error = match failure {
        None => {
            if let Some(parent) = shutdown_on {
                engine.follow(parent);
            }
            return Ok(engine);
        }
        Some(Failure::Error(error)) => BuildError::CreateFailed(error),
        Some(Failure::Panicked(panic)) => BuildError::CreatePanicked(panic),
    };
    engine.over().await;
    Err(error)
}

/// The runtime that the manager is going to work in.
fn runtime() -> Result<Handle, &'static str> {
    let handle = Handle::try_current()
        .map_err(|_| "call it from inside one, `#[tokio::main]` for instance")?;
    // Nothing but a timer tells whether there can be timers.
    match contain(|| drop(tokio::time::sleep(std::time::Duration::ZERO))) {
        Ok(()) => Ok(handle),
        Err(_) => Err("its time is not enabled: call `enable_time` on its builder"),
    }
}

/// A manager that is being built. If it is given up, whether or not somebody waits, it is taken down again.
struct Site<R: Send + 'static, E: Send + 'static> {
    engine: Arc<Core<R, E>>,
    kept: bool,
}

impl<R: Send + 'static, E: Send + 'static> Drop for Site<R, E> {
    fn drop(&mut self) {
        if !self.kept {
            let _ = self.engine.begin_kill(); // first, so that nobody makes up for who is missing
        }
        let mut fx = Effects::new();
        self.engine.queue.built(self.engine.clock.now(), &mut fx);
        self.engine.perform(fx);
    }
}
