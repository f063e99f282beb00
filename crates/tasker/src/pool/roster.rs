//! DECISION: who is idle, busy, recovering or leaving, who may be hired, and whose turn it is.

use std::collections::{BTreeSet, VecDeque};
use std::time::Instant;

/// What the worker of a seat is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    /// It has no resource: it is making its first one.
    Creating,
    /// It has no resource: its last one is being replaced.
    Recovering,
    /// It has a resource and nothing to do; the resource may be lent.
    Idle,
    /// It has a resource and uses it.
    Busy,
    /// A blocked caller uses its resource.
    Lent,
    /// It finds out whether its resource is still sound.
    Checking,
    /// It is destroying its resource for good.
    Leaving,
}

impl Condition {
    fn is_unequipped(self) -> bool {
        matches!(self, Self::Creating | Self::Recovering)
    }
}

const CONDITIONS: usize = 7;

/// The seats of a manager: at most `max` workers, whatever they are doing. Because every worker has at
/// most one resource at a time, this is what holds promise 2.
#[derive(Debug)]
pub(crate) struct Roster {
    max: usize,
    seats: Vec<Option<Condition>>,
    free: BTreeSet<usize>,
    /// Idle seats, the one used last at the back: it is taken first, so that the others grow cold.
    idle: VecDeque<(usize, Instant)>,
    /// The same as a bit for each of the first 64 seats.
    idle_bits: u64,
    /// Those without a resource: few as a rule, and asked for whenever a task comes meanwhile.
    unequipped: BTreeSet<usize>,
    /// Rises when somebody comes to be without a resource, or gets one.
    version: u64,
    counts: [usize; CONDITIONS],
    live: usize,
}

impl Roster {
    pub(crate) fn new(max: usize) -> Self {
        let (seats, idle, unequipped) = (Vec::new(), VecDeque::new(), BTreeSet::new());
        Self {
            max,
            seats,
            free: BTreeSet::new(),
            idle,
            idle_bits: 0,
            unequipped,
            version: 0,
            counts: [0; CONDITIONS],
            live: 0,
        }
    }

    /// A seat for one more worker, which begins by creating its resource; `None` at the cap.
    #[must_use]
    pub(crate) fn hire(&mut self) -> Option<usize> {
        if self.live >= self.max {
            return None;
        }
        self.live += 1;
        self.counts[Condition::Creating as usize] += 1;
        let seat = self.free.pop_first().unwrap_or_else(|| {
            self.seats.push(None);
            self.seats.len() - 1
        });
        self.seats[seat] = Some(Condition::Creating);
        self.note_unequipped(seat, true);
        Some(seat)
    }

    /// Changes how many seats there may be. Who is there stays until the owner of the roster sends it away.
    pub(crate) fn set_max(&mut self, max: usize) {
        self.max = max;
    }

    /// Moves a seat to another condition; not for idleness, which has its own verbs.
    #[inline]
    pub(crate) fn set(&mut self, seat: usize, condition: Condition) {
        debug_assert!(condition != Condition::Idle);
        self.swap(seat, condition);
    }

    /// The seat has nothing to do from `now` on.
    #[inline]
    pub(crate) fn rest(&mut self, seat: usize, now: Instant) {
        self.swap(seat, Condition::Idle);
        self.idle.push_back((seat, now));
    }

    /// The idle seat that was used last, now in `condition`.
    #[inline]
    pub(crate) fn take_idle(&mut self, condition: Condition) -> Option<usize> {
        let (seat, _) = self.idle.pop_back()?;
        self.swap(seat, condition);
        Some(seat)
    }

    /// Since when the idle seat that was used last has been idle.
    #[inline]
    pub(crate) fn warmest_since(&self) -> Option<Instant> {
        self.idle.back().map(|(_, since)| *since)
    }

    /// Since when each idle seat has been idle, the coldest first.
    pub(crate) fn idle_since(&self) -> impl Iterator<Item = Instant> {
        self.idle.iter().map(|(_, since)| *since)
    }

    /// Idle seats whose resources were used and came back in between, and when. The coldest stays first.
    pub(crate) fn used_meanwhile(&mut self, until: impl Fn(usize) -> Option<Instant>) {
        for (seat, since) in &mut self.idle {
            *since = until(*seat).map_or(*since, |until| until.max(*since));
        }
        self.idle.make_contiguous().sort_by_key(|(_, since)| *since);
    }

    /// What the worker of a seat is doing.
    #[inline]
    pub(crate) fn condition(&self, seat: usize) -> Option<Condition> {
        self.seats[seat]
    }

    /// Takes one seat out of the idle, wherever it stands there; whether it was idle.
    pub(crate) fn rouse(&mut self, seat: usize, condition: Condition) -> bool {
        let Some(at) = self.idle.iter().position(|(other, _)| *other == seat) else {
            return false;
        };
        self.idle.remove(at);
        self.swap(seat, condition);
        true
    }

    /// Sends the coldest seat away.
    pub(crate) fn dismiss_coldest(&mut self) -> Option<usize> {
        let (seat, _) = self.idle.pop_front()?;
        self.swap(seat, Condition::Leaving);
        Some(seat)
    }

    /// The worker is gone and its seat free.
    pub(crate) fn vacate(&mut self, seat: usize) {
        let gone = self.seats[seat].take().expect("a seat is vacated once, by its own worker");
        assert!(gone != Condition::Idle, "an idle worker leaves by dismissal");
        self.counts[gone as usize] -= 1;
        self.live -= 1;
        if gone.is_unequipped() {
            self.note_unequipped(seat, false);
        }
        self.free.insert(seat);
    }

    #[inline]
    pub(crate) fn count(&self, condition: Condition) -> usize {
        self.counts[condition as usize]
    }

    #[inline]
    pub(crate) fn idle(&self) -> usize {
        self.idle.len()
    }

    /// Which of the first 64 seats are idle, a bit for each.
    #[inline]
    pub(crate) fn idle_bits(&self) -> u64 {
        self.idle_bits
    }

    /// Workers of any condition.
    pub(crate) fn live(&self) -> usize {
        self.live
    }

    /// Workers that will still be there when those who are leaving have left.
    pub(crate) fn staying(&self) -> usize {
        self.live - self.count(Condition::Leaving)
    }

    /// Workers with a resource that somebody uses or checks.
    pub(crate) fn in_use(&self) -> usize {
        let count = |condition| self.count(condition);
        count(Condition::Busy) + count(Condition::Lent) + count(Condition::Checking)
    }

    /// Workers with a resource.
    pub(crate) fn equipped(&self) -> usize {
        self.count(Condition::Idle) + self.in_use()
    }

    /// Every seat whose worker has no resource.
    pub(crate) fn unequipped(&self) -> impl Iterator<Item = usize> {
        self.unequipped.iter().copied()
    }

    /// Another number whenever [`unequipped`](Self::unequipped) has changed.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    #[cold]
    fn note_unequipped(&mut self, seat: usize, is: bool) {
        self.version += 1;
        if is {
            self.unequipped.insert(seat);
        } else {
            self.unequipped.remove(&seat);
        }
    }

    #[inline]
    fn swap(&mut self, seat: usize, condition: Condition) {
        let is = self.seats[seat].as_mut().expect("only a worker that is there changes");
        self.counts[*is as usize] -= 1;
        self.counts[condition as usize] += 1;
        let before = std::mem::replace(is, condition);
        if seat < 64 {
            let idle = u64::from(condition == Condition::Idle);
            self.idle_bits = self.idle_bits & !(1 << seat) | idle << seat;
        }
        match (before.is_unequipped(), condition.is_unequipped()) {
            (true, false) => self.note_unequipped(seat, false),
            (false, true) => self.note_unequipped(seat, true),
            _ => {}
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::clock::real_now;
    use std::time::Duration;

    #[test]
    fn a_worker_counts_from_the_moment_it_is_hired_until_it_is_gone() {
        let mut roster = Roster::new(2);
        let (a, b) = (roster.hire().unwrap(), roster.hire().unwrap());
        assert_eq!(roster.hire(), None, "creations under way count");
        roster.set(a, Condition::Busy);
        roster.set(a, Condition::Leaving);
        assert_eq!(roster.hire(), None, "a resource being destroyed counts");
        assert_eq!((roster.live(), roster.staying()), (2, 1));
        roster.vacate(a);
        assert_eq!(roster.hire(), Some(a), "a free seat is used again");
        assert_ne!(a, b);
    }

    #[test]
    fn the_seat_used_last_is_taken_first_and_the_coldest_is_dismissed() {
        let start = real_now();
        let mut roster = Roster::new(3);
        for n in 0..3 {
            let seat = roster.hire().unwrap();
            roster.rest(seat, start + Duration::from_secs(n));
        }
        assert_eq!(roster.take_idle(Condition::Busy), Some(2));
        assert_eq!(roster.idle_since().next(), Some(start));
        assert_eq!(roster.warmest_since(), Some(start + Duration::from_secs(1)));
        assert_eq!(roster.dismiss_coldest(), Some(0));
        assert_eq!((roster.idle(), roster.equipped()), (1, 2));
        assert_eq!(roster.condition(0), Some(Condition::Leaving));
        assert!(roster.rouse(1, Condition::Checking));
        assert!(!roster.rouse(1, Condition::Leaving), "it is not idle any more");
        assert_eq!((roster.idle(), roster.equipped()), (0, 2));
    }

    #[test]
    fn who_was_used_meanwhile_is_not_the_coldest() {
        let start = real_now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut roster = Roster::new(3);
        for n in 0..3 {
            let seat = roster.hire().unwrap();
            roster.rest(seat, at(n));
        }
        roster.used_meanwhile(|seat| (seat == 0).then(|| at(9)));
        assert_eq!(roster.idle_since().collect::<Vec<_>>(), [at(1), at(2), at(9)]);
        roster.used_meanwhile(|_| Some(at(2)));
        assert_eq!(roster.idle_since().collect::<Vec<_>>(), [at(2), at(2), at(9)], "never back");
        assert_eq!(roster.dismiss_coldest(), Some(1));
    }

    #[test]
    fn a_bit_tells_of_each_idle_seat() {
        let now = real_now();
        let mut roster = Roster::new(65);
        for _ in 0..65 {
            let seat = roster.hire().unwrap();
            assert_eq!(roster.idle_bits(), 0, "it makes its resource");
            roster.set(seat, Condition::Busy);
        }
        for seat in [64, 2, 0, 63] {
            roster.rest(seat, now);
        }
        assert_eq!(roster.idle_bits(), 1 << 63 | 0b101, "the 65th has none");
        assert!(roster.rouse(0, Condition::Lent));
        assert_eq!(roster.dismiss_coldest(), Some(64));
        assert_eq!(roster.take_idle(Condition::Busy), Some(63));
        assert_eq!(roster.idle_bits(), 0b100);
    }

    #[test]
    fn a_lower_cap_hires_nobody_before_enough_are_gone() {
        let mut roster = Roster::new(3);
        for _ in 0..3 {
            assert!(roster.hire().is_some());
        }
        roster.set_max(2);
        roster.set(0, Condition::Leaving);
        assert_eq!((roster.staying(), roster.hire()), (2, None));
        roster.vacate(0);
        assert_eq!(roster.hire(), None);
        roster.set_max(3);
        assert_eq!(roster.hire(), Some(0));
    }
}
