//! The roster against a map of seats and a line of who is idle.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

#[cfg(fuzzing)]
use arbitrary::Arbitrary;

use super::pick;
use crate::clock::real_now;
use crate::pool::roster::{Condition, Roster};

/// What can be done to a roster.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(fuzzing, derive(Arbitrary))]
pub enum Operation {
    Hire,
    SetMax { max: u8 },
    Set { which: u8, to: u8 },
    Rest { which: u8 },
    UsedMeanwhile { which: u8 },
    TakeIdle { to: u8 },
    Rouse { which: u8, to: u8 },
    DismissColdest,
    Vacate { which: u8 },
}

/// Idleness has its own verbs.
const TO: [Condition; 6] = [
    Condition::Creating,
    Condition::Recovering,
    Condition::Busy,
    Condition::Lent,
    Condition::Checking,
    Condition::Leaving,
];

/// A roster, who should be there and who should be idle, the coldest first.
pub(super) struct Compared {
    roster: Roster,
    max: usize,
    seats: BTreeMap<usize, Condition>,
    idle: VecDeque<(usize, Instant)>,
    now: Instant,
}

impl Compared {
    pub(super) fn new() -> Self {
        let (seats, idle, max) = (BTreeMap::new(), VecDeque::new(), 3);
        Self { roster: Roster::new(max), max, seats, idle, now: real_now() }
    }

    pub(super) fn idle(&self) -> usize {
        self.roster.idle()
    }

    pub(super) fn apply(&mut self, operation: Operation) {
        self.now += Duration::from_secs(1);
        let (version, unequipped) = (self.roster.version(), self.unequipped());
        self.change(operation);
        let told = self.roster.version() != version;
        assert!(
            told || self.unequipped() == unequipped,
            "who looks for a version finds the change"
        );
        self.compare();
    }

    fn change(&mut self, operation: Operation) {
        let to = |number| pick(&TO, number).expect("there are some");
        match operation {
            Operation::Hire => {
                let free = (0..).find(|seat| !self.seats.contains_key(seat));
                let seat = free.filter(|_| self.seats.len() < self.max);
                assert_eq!(self.roster.hire(), seat);
                self.seats.extend(seat.map(|seat| (seat, Condition::Creating)));
            }
            Operation::SetMax { max } => {
                self.max = usize::from(max) % 8;
                self.roster.set_max(self.max);
            }
            Operation::Set { which, to: number } => {
                if let Some(seat) = self.at_work(which) {
                    self.roster.set(seat, to(number));
                    self.seats.insert(seat, to(number));
                }
            }
            Operation::Rest { which } => {
                if let Some(seat) = self.at_work(which) {
                    self.roster.rest(seat, self.now);
                    self.seats.insert(seat, Condition::Idle);
                    self.idle.push_back((seat, self.now));
                }
            }
            Operation::UsedMeanwhile { which } => {
                let all: Vec<usize> = self.idle.iter().map(|(seat, _)| *seat).collect();
                if let Some(at) = pick(&(0..all.len()).collect::<Vec<_>>(), which) {
                    let used = all[at];
                    self.roster.used_meanwhile(|seat| (seat == used).then_some(self.now));
                    self.idle.remove(at);
                    self.idle.push_back((used, self.now));
                }
            }
            Operation::TakeIdle { to: number } => {
                let seat = self.idle.pop_back().map(|(seat, _)| seat);
                assert_eq!(self.roster.take_idle(to(number)), seat);
                self.seats.extend(seat.map(|seat| (seat, to(number))));
            }
            Operation::Rouse { which, to: number } => {
                let all: Vec<usize> = self.seats.keys().copied().collect();
                if let Some(seat) = pick(&all, which) {
                    let was_idle = self.seats[&seat] == Condition::Idle;
                    assert_eq!(self.roster.rouse(seat, to(number)), was_idle);
                    if was_idle {
                        self.idle.retain(|(other, _)| *other != seat);
                        self.seats.insert(seat, to(number));
                    }
                }
            }
            Operation::DismissColdest => {
                let seat = self.idle.pop_front().map(|(seat, _)| seat);
                assert_eq!(self.roster.dismiss_coldest(), seat);
                self.seats.extend(seat.map(|seat| (seat, Condition::Leaving)));
            }
            Operation::Vacate { which } => {
                if let Some(seat) = self.at_work(which) {
                    self.roster.vacate(seat);
                    self.seats.remove(&seat);
                }
            }
        }
    }

    /// One of those who are there and not idle.
    fn at_work(&self, which: u8) -> Option<usize> {
        let all = self.seats.iter().filter(|(_, is)| **is != Condition::Idle);
        pick(&all.map(|(seat, _)| *seat).collect::<Vec<_>>(), which)
    }

    fn all(&self, condition: Condition) -> impl Iterator<Item = usize> {
        let those = self.seats.iter().filter(move |(_, is)| **is == condition);
        those.map(|(seat, _)| *seat)
    }

    fn unequipped(&self) -> BTreeSet<usize> {
        self.all(Condition::Creating).chain(self.all(Condition::Recovering)).collect()
    }

    fn compare(&self) {
        let Self { roster, seats, idle, .. } = self;
        for condition in TO.into_iter().chain([Condition::Idle]) {
            assert_eq!(roster.count(condition), self.all(condition).count());
        }
        let count = |condition| self.all(condition).count();
        let in_use = count(Condition::Busy) + count(Condition::Lent) + count(Condition::Checking);
        assert_eq!((roster.in_use(), roster.equipped()), (in_use, in_use + idle.len()));
        assert_eq!((roster.live(), roster.idle()), (seats.len(), idle.len()));
        assert_eq!(roster.staying(), seats.len() - count(Condition::Leaving));
        assert!(roster.unequipped().eq(self.unequipped()));
        assert!(roster.idle_since().eq(idle.iter().map(|(_, since)| *since)));
        assert_eq!(roster.warmest_since(), idle.back().map(|(_, since)| *since));
        let bits = idle.iter().filter(|(seat, _)| *seat < 64).map(|(seat, _)| 1 << seat);
        assert_eq!(roster.idle_bits(), bits.sum::<u64>());
        for (seat, condition) in seats {
            assert_eq!(roster.condition(*seat), Some(*condition));
        }
    }
}
