//! rusty_pool: a pool of threads whose tasks have handles.

use std::time::Duration;

use super::{About, Backlog, Blocking, Collect, on_own_resource};
use crate::caller::{Caller, Tally};
use crate::work::{Empty, Gate, Held, Work};

pub(super) const ABOUT: About = About {
    name: "rusty_pool",
    differs: "`evaluate` with a handle: threads grow and shrink, here as many as there are workers; no \
              resources, priorities, retries, times or cancellation.",
};

pub(crate) struct RustyPool {
    pool: rusty_pool::ThreadPool,
    workers: u64,
}

impl RustyPool {
    pub(crate) fn new(workers: usize) -> Self {
        let pool = rusty_pool::ThreadPool::new(workers, workers, Duration::from_secs(60));
        pool.start_core_threads();
        Self { pool, workers: workers as u64 }
    }

    fn hand_in_all<W: Work>(&self, n: u64, work: W) -> Collect<'_> {
        let mut handles = Vec::with_capacity(n as usize);
        for _ in 0..n {
            let work = work.clone();
            handles.push(self.pool.evaluate(move || on_own_resource(work)));
        }
        Box::new(move || handles.into_iter().map(rusty_pool::JoinHandle::await_complete).sum())
    }
}

impl<W: Work> Blocking<W> for RustyPool {
    fn about(&self) -> About {
        ABOUT
    }

    fn call(&self, caller: Caller<W>) -> Tally {
        caller.repeat(|work| self.pool.evaluate(move || on_own_resource(work)).await_complete())
    }
}

impl Backlog for RustyPool {
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
