//! tokio's `spawn` behind a `Semaphore`: what many write who want so many tasks at once.

use std::sync::{Arc, Mutex, TryLockError};

use tokio::sync::Semaphore;

use super::{About, AsyncBacklog, Awaited, BoxFuture, spawned};
use crate::caller::{Caller, Tally};
use crate::work::{Empty, Work};

pub(super) const ABOUT: About = About {
    name: "tokio spawn, Semaphore",
    differs: "a permit for each task, which then looks for a free resource: no priorities, retries, times or \
              shutdown.",
};

#[derive(Debug)]
pub(crate) struct SemaphoreSpawn {
    permits: Arc<Semaphore>,
    resources: Arc<[Mutex<u64>]>,
}

impl SemaphoreSpawn {
    pub(crate) fn new(size: usize) -> Self {
        let resources = (0..size).map(|_| Mutex::new(0)).collect();
        Self { permits: Arc::new(Semaphore::new(size)), resources }
    }
}

/// As many hold a permit as there are resources, so that one of them is free.
fn on_a_free_one(resources: &[Mutex<u64>]) -> u64 {
    loop {
        for resource in resources {
            match resource.try_lock() {
                Ok(mut resource) => return Empty.run(&mut resource),
                Err(TryLockError::WouldBlock) => {} // given back by now, perhaps: look again
                Err(TryLockError::Poisoned(_)) => unreachable!("no work panics"),
            }
        }
    }
}

impl Awaited for SemaphoreSpawn {
    fn about(&self) -> About {
        ABOUT
    }

    fn call(self: Arc<Self>, caller: Caller<Empty>) -> BoxFuture<Tally> {
        Box::pin(async move {
            let this = &self;
            let op = |_| async move {
                let permits = Arc::clone(&this.permits);
                let permit = permits.acquire_owned().await.expect("it stays open");
                let resources = Arc::clone(&this.resources);
                let task = tokio::spawn(async move {
                    let _permit = permit;
                    on_a_free_one(&resources)
                });
                task.await.expect("no work panics")
            };
            caller.repeat_async(op).await
        })
    }
}

impl AsyncBacklog for SemaphoreSpawn {
    fn about(&self) -> About {
        ABOUT
    }

    fn hand_in(&self, n: u64) -> BoxFuture<u64> {
        spawned(n, || {
            let (permits, resources) = (Arc::clone(&self.permits), Arc::clone(&self.resources));
            async move {
                let _permit = permits.acquire().await.expect("it stays open");
                on_a_free_one(&resources)
            }
        })
    }
}
