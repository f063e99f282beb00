//! A mutex around each resource, without and with what it takes to know how long a task ran.

use std::hint::black_box;
use std::sync::Mutex;
use std::time::Instant;

use super::{About, Blocking};
use crate::caller::{Caller, Tally};
use crate::work::Work;

pub(super) const BARE: About = About {
    name: "Mutex<R>",
    differs: "the limit: callers are spread evenly over the mutexes beforehand; nothing is timed, counted, \
              ordered, cancelled or replaced.",
};

pub(super) const TIMED: About = About {
    name: "Mutex<R>, two clock reads",
    differs: "the limit of whoever wants to know how long a task ran: as Mutex<R>, and the clock is read \
              before and after.",
};

/// One bare mutex for each resource.
#[derive(Debug)]
pub(crate) struct Mutexes(Vec<Mutex<u64>>);

impl Mutexes {
    pub(crate) fn new(resources: usize) -> Self {
        Self((0..resources).map(|_| Mutex::new(0)).collect())
    }
}

impl<W: Work> Blocking<W> for Mutexes {
    fn about(&self) -> About {
        BARE
    }

    fn call(&self, caller: Caller<W>) -> Tally {
        let resource = &self.0[caller.index % self.0.len()];
        caller.repeat(|work| work.run(&mut resource.lock().expect("no work panics")))
    }
}

/// One mutex for each resource, and the clock read twice under it.
#[derive(Debug)]
pub(crate) struct TimedMutexes(Mutexes);

impl TimedMutexes {
    pub(crate) fn new(resources: usize) -> Self {
        Self(Mutexes::new(resources))
    }
}

impl<W: Work> Blocking<W> for TimedMutexes {
    fn about(&self) -> About {
        TIMED
    }

    fn call(&self, caller: Caller<W>) -> Tally {
        let resources = &self.0.0;
        let resource = &resources[caller.index % resources.len()];
        caller.repeat(|work| {
            let mut resource = resource.lock().expect("no work panics");
            let began = Instant::now();
            let result = work.run(&mut resource);
            black_box(Instant::now() - began);
            result
        })
    }
}
