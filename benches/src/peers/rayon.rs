//! rayon: a pool of threads that steal work from each other.

use std::sync::mpsc;

use super::{About, Backlog, Blocking, Collect, on_own_resource};
use crate::caller::{Caller, Tally};
use crate::work::{Empty, Gate, Held, Work};

pub(super) const ABOUT: About = About {
    name: "rayon",
    differs: "`install` from outside the pool, or `spawn` with results through a channel: made to split one \
              computation; no resources, priorities, retries, times or cancellation.",
};

#[derive(Debug)]
pub(crate) struct Rayon(rayon::ThreadPool);

impl Rayon {
    pub(crate) fn new(workers: usize) -> Self {
        let builder = rayon::ThreadPoolBuilder::new().num_threads(workers);
        Self(builder.build().expect("its threads can be started"))
    }

    pub(crate) fn pool(&self) -> &rayon::ThreadPool {
        &self.0
    }

    fn hand_in_all<W: Work>(&self, n: u64, work: W) -> Collect<'_> {
        let (results, inbox) = mpsc::channel();
        for _ in 0..n {
            let (work, results) = (work.clone(), results.clone());
            self.0.spawn(move || results.send(on_own_resource(work)).expect("they are collected"));
        }
        drop(results);
        Box::new(move || inbox.iter().sum())
    }
}

impl<W: Work> Blocking<W> for Rayon {
    fn about(&self) -> About {
        ABOUT
    }

    fn call(&self, caller: Caller<W>) -> Tally {
        caller.repeat(|work| self.0.install(|| on_own_resource(work)))
    }
}

impl Backlog for Rayon {
    fn about(&self) -> About {
        ABOUT
    }

    fn hand_in(&self, n: u64) -> Collect<'_> {
        self.hand_in_all(n, Empty)
    }

    fn hold(&self, gate: Gate) -> Option<Collect<'_>> {
        Some(self.hand_in_all(self.0.current_num_threads() as u64, Held(gate)))
    }
}
