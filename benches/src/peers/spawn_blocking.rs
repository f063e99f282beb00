//! tokio's `spawn_blocking`: threads beside a runtime, for code that blocks.

use tokio::runtime::{Builder, Runtime};

use super::{About, Backlog, Blocking, Collect, on_own_resource};
use crate::caller::{Caller, Tally};
use crate::work::{Empty, Gate, Held, Work};

pub(super) const ABOUT: About = About {
    name: "tokio spawn_blocking",
    differs: "handles that are awaited, here by `block_on`: a runtime limited to as many blocking threads as \
              there are workers; no resources, priorities, retries or times, and what runs cannot be \
              cancelled.",
};

#[derive(Debug)]
pub(crate) struct SpawnBlocking {
    runtime: Runtime,
    workers: u64,
}

impl SpawnBlocking {
    pub(crate) fn new(workers: usize) -> Self {
        let mut builder = Builder::new_multi_thread();
        let builder = builder.worker_threads(1).max_blocking_threads(workers);
        Self { runtime: builder.build().expect("a runtime can be built"), workers: workers as u64 }
    }

    fn hand_in_all<W: Work>(&self, n: u64, work: W) -> Collect<'_> {
        let mut handles = Vec::with_capacity(n as usize);
        for _ in 0..n {
            let work = work.clone();
            handles.push(self.runtime.spawn_blocking(move || on_own_resource(work)));
        }
        Box::new(move || {
            self.runtime.block_on(async {
                let mut results = 0;
                for handle in handles {
                    results += handle.await.expect("no work panics");
                }
                results
            })
        })
    }
}

impl<W: Work> Blocking<W> for SpawnBlocking {
    fn about(&self) -> About {
        ABOUT
    }

    fn call(&self, caller: Caller<W>) -> Tally {
        caller.repeat(|work| {
            let task = self.runtime.spawn_blocking(move || on_own_resource(work));
            self.runtime.block_on(task).expect("no work panics")
        })
    }
}

impl Backlog for SpawnBlocking {
    fn about(&self) -> About {
        ABOUT
    }

    fn hand_in(&self, n: u64) -> Collect<'_> {
        self.hand_in_all(n, Empty)
    }

    fn hold(&self, gate: Gate) -> Option<Collect<'_>> {
        Some(self.hand_in_all(self.workers, Held(gate)))
    }
}
