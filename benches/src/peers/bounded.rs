//! A bounded channel before raw threads: the least that hands work to another thread.

use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use super::{About, Backlog, Blocking, Collect};
use crate::caller::{Caller, Tally};
use crate::work::{Empty, Gate, Work};

pub(super) const ABOUT: About = About {
    name: "bounded channel, threads",
    differs: "the limit of handing over: plain messages instead of closures, a reply channel that a caller \
              uses again, and at most 1,024 messages under way, for which the producer waits.",
};

const CAPACITY: usize = 1024;

/// Raw threads that serve one kind of work.
#[derive(Debug)]
pub(crate) struct Bounded<W> {
    /// `None` once it is being dropped, so that the threads end.
    requests: Option<Sender<Request<W>>>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Request<W> {
    work: W,
    reply: Sender<u64>,
}

impl<W: Work> Bounded<W> {
    pub(crate) fn new(workers: usize) -> Self {
        let (requests, inbox) = bounded(CAPACITY);
        let serve = |inbox: Receiver<Request<W>>| {
            move || {
                let mut resource = 0;
                for Request { work, reply } in inbox {
                    reply.send(work.run(&mut resource)).expect("whoever asked waits for it");
                }
            }
        };
        let threads = (0..workers).map(|_| thread::spawn(serve(inbox.clone()))).collect();
        Self { requests: Some(requests), threads }
    }

    fn send(&self, work: W, reply: &Sender<u64>) {
        let requests = self.requests.as_ref().expect("it is not being dropped");
        requests.send(Request { work, reply: reply.clone() }).expect("the threads serve");
    }
}

impl<W> Drop for Bounded<W> {
    fn drop(&mut self) {
        self.requests = None;
        for thread in self.threads.drain(..) {
            thread.join().expect("no work panics");
        }
    }
}

impl<W: Work> Blocking<W> for Bounded<W> {
    fn about(&self) -> About {
        ABOUT
    }

    fn call(&self, caller: Caller<W>) -> Tally {
        let (reply, answers) = bounded(1);
        caller.repeat(|work| {
            self.send(work, &reply);
            answers.recv().expect("every request is answered")
        })
    }
}

impl Backlog for Bounded<Empty> {
    fn about(&self) -> About {
        ABOUT
    }

    fn hand_in(&self, n: u64) -> Collect<'_> {
        let (reply, answers) = unbounded();
        for _ in 0..n {
            self.send(Empty, &reply);
        }
        drop(reply);
        Box::new(move || answers.iter().sum())
    }

    fn hold(&self, _: Gate) -> Option<Collect<'_>> {
        None // what does not fit waits with its producer
    }
}
