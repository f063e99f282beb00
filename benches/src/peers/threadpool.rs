//! threadpool: the plain pool of threads.

use std::sync::mpsc;

use super::{About, Backlog, Blocking, Collect, on_own_resource};
use crate::caller::{Caller, Tally};
use crate::work::{Empty, Gate, Held, Work};

pub(super) const ABOUT: About = About {
    name: "threadpool",
    differs: "`execute` with results through a channel: no results of its own, resources, priorities, \
              retries or times; its last release is of 2020.",
};

#[derive(Debug)]
pub(crate) struct Threadpool(threadpool::ThreadPool);

impl Threadpool {
    pub(crate) fn new(workers: usize) -> Self {
        Self(threadpool::ThreadPool::new(workers))
    }

    fn hand_in_all<W: Work>(&self, n: u64, work: W) -> Collect<'_> {
        let (results, inbox) = mpsc::channel();
        for _ in 0..n {
            let (work, results) = (work.clone(), results.clone());
            self.0
                .execute(move || results.send(on_own_resource(work)).expect("they are collected"));
        }
        drop(results);
        Box::new(move || inbox.iter().sum())
    }
}

impl<W: Work> Blocking<W> for Threadpool {
    fn about(&self) -> About {
        ABOUT
    }

    fn call(&self, caller: Caller<W>) -> Tally {
        // A pool of its own for each caller: a `ThreadPool` holds a sender, which is best not shared.
        let pool = self.0.clone();
        caller.repeat(|work| {
            let (result, inbox) = mpsc::sync_channel(1);
            pool.execute(move || result.send(on_own_resource(work)).expect("the caller waits"));
            inbox.recv().expect("the pool sends it")
        })
    }
}

impl Backlog for Threadpool {
    fn about(&self) -> About {
        ABOUT
    }

    fn hand_in(&self, n: u64) -> Collect<'_> {
        self.hand_in_all(n, Empty)
    }

    fn hold(&self, gate: Gate) -> Option<Collect<'_>> {
        Some(self.hand_in_all(self.0.max_count() as u64, Held(gate)))
    }
}
