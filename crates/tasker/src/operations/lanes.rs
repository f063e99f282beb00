//! Lanes against a list in order of arrival.

#[cfg(fuzzing)]
use arbitrary::Arbitrary;

use super::pick;
use crate::queue::lanes::{LEVELS, Lanes, Next, Spot};

/// What can be done to lanes.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(fuzzing, derive(Arbitrary))]
pub enum Operation {
    PushJob {
        level: u8,
    },
    PushClaim {
        level: u8,
    },
    /// Takes out who stands at a place that was once given out, if anybody does.
    Remove {
        which: u8,
    },
    TakeNext,
    /// Takes out the oldest of the lowest lane that is not above `level`, odd ones excepted.
    Evict {
        level: u8,
    },
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    next: Next,
    number: u64,
}

fn spot(next: Next) -> Spot {
    match next {
        Next::Job(spot) | Next::Claim(spot) => spot,
    }
}

fn is_job(next: Next) -> bool {
    matches!(next, Next::Job(_))
}

fn is_even(number: &u64) -> bool {
    number.is_multiple_of(2)
}

/// Lanes, and who waits in the order of their arrival.
pub(super) struct Compared {
    lanes: Lanes<u64, u64>,
    model: Vec<Waiting>,
    /// Every place that was given out.
    given: Vec<Next>,
    made: u64,
}

impl Compared {
    pub(super) fn new() -> Self {
        Self { lanes: Lanes::new(), model: Vec::new(), given: Vec::new(), made: 0 }
    }

    pub(super) fn apply(&mut self, operation: Operation) {
        match operation {
            Operation::PushJob { level } => self.push(level, true),
            Operation::PushClaim { level } => self.push(level, false),
            Operation::Remove { which } => {
                if let Some(next) = pick(&self.given, which) {
                    self.remove(next);
                }
            }
            Operation::TakeNext => {
                let next = self.lanes.next();
                assert_eq!(next, self.best());
                if let Some(next) = next {
                    self.remove(next);
                }
            }
            Operation::Evict { level } => {
                let level = usize::from(level) % LEVELS;
                let next = self.lanes.oldest_not_above(level, is_even, is_even);
                let expected = (0..=level).find_map(|level| {
                    let mut there = self.in_lane(level);
                    there.find(|waiting| is_even(&waiting.number)).map(|waiting| waiting.next)
                });
                assert_eq!(next, expected);
                if let Some(next) = next {
                    self.remove(next);
                }
            }
        }
        self.compare();
    }

    fn push(&mut self, level: u8, is_job: bool) {
        let level = usize::from(level) % LEVELS;
        let number = self.made;
        self.made += 1;
        let next = if is_job {
            Next::Job(self.lanes.push_job(level, number))
        } else {
            Next::Claim(self.lanes.push_claim(level, number))
        };
        assert!(self.model.iter().all(|other| other.next != next), "a place is one's own");
        self.model.push(Waiting { next, number });
        if !self.given.contains(&next) {
            self.given.push(next);
        }
    }

    fn remove(&mut self, next: Next) {
        let gone = match next {
            Next::Job(spot) => self.lanes.remove_job(spot),
            Next::Claim(spot) => self.lanes.remove_claim(spot),
        };
        let at = self.model.iter().position(|waiting| waiting.next == next);
        assert_eq!(gone, at.map(|at| self.model.remove(at).number));
    }

    fn in_lane(&self, level: usize) -> impl Iterator<Item = &Waiting> {
        self.model.iter().filter(move |waiting| spot(waiting.next).level == level)
    }

    /// Everybody, the highest lane first and each lane in order of arrival.
    fn in_order(&self) -> impl Iterator<Item = &Waiting> {
        (0..LEVELS).rev().flat_map(|level| self.in_lane(level))
    }

    fn best(&self) -> Option<Next> {
        self.in_order().next().map(|waiting| waiting.next)
    }

    fn compare(&self) {
        let Self { lanes, model, .. } = self;
        let jobs = model.iter().filter(|waiting| is_job(waiting.next)).count();
        assert_eq!((lanes.jobs(), lanes.claims()), (jobs, model.len() - jobs));
        assert_eq!(lanes.is_empty(), model.is_empty());
        assert_eq!(lanes.next(), self.best());
        let claim = |waiting: &&Waiting| !is_job(waiting.next);
        let first_claim = self.in_order().find(claim).map(|waiting| spot(waiting.next));
        assert_eq!(lanes.first_claim(), first_claim);
        for level in 0..LEVELS {
            let first = self.in_lane(level).next().map(|waiting| waiting.next);
            assert_eq!(lanes.next_in(level), first);
            let first = self.in_lane(level).find(claim).map(|waiting| spot(waiting.next));
            assert_eq!(lanes.first_claim_in(level), first);
            assert_eq!(lanes.waiting(level), self.in_lane(level).count());
            let jobs = self.in_lane(level).filter(|waiting| is_job(waiting.next)).count();
            assert_eq!(lanes.jobs_in(level), jobs);
        }
        let all: Vec<u64> = self
            .in_order()
            .filter(|waiting| is_job(waiting.next))
            .map(|waiting| waiting.number)
            .collect();
        assert_eq!(lanes.iter_jobs().copied().collect::<Vec<_>>(), all);
        let firsts = |jobs: bool| -> Vec<u64> {
            let first = |level| self.in_lane(level).find(|waiting| is_job(waiting.next) == jobs);
            (0..LEVELS).filter_map(first).map(|waiting| waiting.number).collect()
        };
        assert_eq!(lanes.first_jobs().copied().collect::<Vec<_>>(), firsts(true));
        assert_eq!(lanes.first_claims().copied().collect::<Vec<_>>(), firsts(false));
        for waiting in model {
            let found = match waiting.next {
                Next::Job(spot) => lanes.job(spot),
                Next::Claim(spot) => lanes.claim(spot),
            };
            assert_eq!(found, Some(&waiting.number));
        }
    }

    /// Resources go to who is first; a job is within reach if one is left when its turn comes.
    pub(super) fn compare_jobs_within(&self, idle: usize) {
        for idle in [idle, 0, 1, 2] {
            let served = self.in_order().take(idle).map(|waiting| waiting.next);
            let job = served.into_iter().find(|next| is_job(*next)).map(spot);
            assert_eq!(self.lanes.first_job_within(idle), job, "{idle} idle");
        }
    }
}
