//! Workers behind a channel of crossbeam: what many write who need a resource for each worker.

use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use super::{About, Backlog, Blocking, Collect};
use crate::caller::{Caller, Tally};
use crate::work::{Empty, Gate, Held, Work};

pub(super) const ABOUT: About = About {
    name: "crossbeam-channel workers",
    differs: "boxed closures, and a result channel for each call: no priorities, retries, times or shutdown, \
              and a panic ends its worker.",
};

/// A task with the resource of whichever worker takes it.
pub(crate) type Job = Box<dyn FnOnce(&mut u64) + Send>;

/// Threads that take jobs from one channel.
#[derive(Debug)]
pub(crate) struct Crossbeam {
    /// `None` once it is being dropped, so that the threads end.
    jobs: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Crossbeam {
    pub(crate) fn new(workers: usize) -> Self {
        let (jobs, inbox) = unbounded();
        let threads = spawn_workers(workers, inbox, |inbox| inbox.recv().ok());
        Self { jobs: Some(jobs), threads }
    }

    pub(crate) fn submit(&self, job: Job) {
        let jobs = self.jobs.as_ref().expect("it is not being dropped");
        jobs.send(job).expect("the workers serve");
    }

    fn hand_in_all<W: Work>(&self, n: u64, work: W) -> Collect<'_> {
        let (results, inbox) = unbounded();
        for _ in 0..n {
            let (work, results) = (work.clone(), results.clone());
            self.submit(Box::new(move |resource| {
                results.send(work.run(resource)).expect("the results are collected");
            }));
        }
        drop(results);
        Box::new(move || inbox.iter().sum())
    }
}

/// Starts threads that each own a resource and do what `next` finds in `inbox`, until that is nothing.
pub(crate) fn spawn_workers<I: Clone + Send + 'static>(
    workers: usize,
    inbox: I,
    next: fn(&I) -> Option<Job>,
) -> Vec<JoinHandle<()>> {
    let spawn = |_| {
        let inbox = inbox.clone();
        thread::spawn(move || {
            let mut resource = 0;
            while let Some(job) = next(&inbox) {
                job(&mut resource);
            }
        })
    };
    (0..workers).map(spawn).collect()
}

impl Drop for Crossbeam {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            thread.join().expect("no work panics");
        }
    }
}

impl<W: Work> Blocking<W> for Crossbeam {
    fn about(&self) -> About {
        ABOUT
    }

    fn call(&self, caller: Caller<W>) -> Tally {
        caller.repeat(|work| {
            let (result, inbox): (_, Receiver<u64>) = bounded(1);
            self.submit(Box::new(move |resource| {
                result.send(work.run(resource)).expect("the caller waits for it");
            }));
            inbox.recv().expect("the worker sends it")
        })
    }
}

impl Backlog for Crossbeam {
    fn about(&self) -> About {
        ABOUT
    }

    fn hand_in(&self, n: u64) -> Collect<'_> {
        self.hand_in_all(n, Empty)
    }

    fn hold(&self, gate: Gate) -> Option<Collect<'_>> {
        Some(self.hand_in_all(self.threads.len() as u64, Held(gate)))
    }
}
