//! DECISION: who is idle, busy, recovering or leaving, who may be hired, and whose turn it is.

use std::collections::VecDeque;
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
    /// It is destroying its resource for good.
    Leaving,
}

const CONDITIONS: usize = 6;

/// The seats of a manager: at most `max` workers, whatever they are doing. Because every worker has at
/// most one resource at a time, this is what holds promise 2.
#[derive(Debug)]
pub(crate) struct Roster {
    max: usize,
    seats: Vec<Option<Condition>>,
    /// Idle seats, the one used last at the back: it is taken first, so that the others grow cold.
    idle: VecDeque<(usize, Instant)>,
    counts: [usize; CONDITIONS],
    live: usize,
}

impl Roster {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, seats: Vec::new(), idle: VecDeque::new(), counts: [0; CONDITIONS], live: 0 }
    }

    /// A seat for one more worker, which begins by creating its resource; `None` at the cap.
    #[must_use]
    pub(crate) fn hire(&mut self) -> Option<usize> {
        if self.live >= self.max {
            return None;
        }
        self.live += 1;
        self.counts[Condition::Creating as usize] += 1;
        let free = self.seats.iter().position(Option::is_none);
        let seat = free.unwrap_or_else(|| {
            self.seats.push(None);
            self.seats.len() - 1
        });
        self.seats[seat] = Some(Condition::Creating);
        Some(seat)
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

    /// The seat that has been idle longest, and since when.
    pub(crate) fn coldest(&self) -> Option<(usize, Instant)> {
        self.idle.front().copied()
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
    }

    #[inline]
    pub(crate) fn count(&self, condition: Condition) -> usize {
        self.counts[condition as usize]
    }

    #[inline]
    pub(crate) fn idle(&self) -> usize {
        self.idle.len()
    }

    /// Workers of any condition.
    pub(crate) fn live(&self) -> usize {
        self.live
    }

    /// Workers that will still be there when those who are leaving have left.
    pub(crate) fn staying(&self) -> usize {
        self.live - self.count(Condition::Leaving)
    }

    /// Workers with a resource that they may use.
    pub(crate) fn equipped(&self) -> usize {
        self.count(Condition::Idle) + self.count(Condition::Busy) + self.count(Condition::Lent)
    }

    /// Every seat that is in `condition`.
    pub(crate) fn all(&self, condition: Condition) -> impl Iterator<Item = usize> {
        let seats = self.seats.iter().enumerate();
        seats.filter_map(move |(seat, is)| (*is == Some(condition)).then_some(seat))
    }

    #[inline]
    fn swap(&mut self, seat: usize, condition: Condition) {
        let is = self.seats[seat].as_mut().expect("only a worker that is there changes");
        self.counts[*is as usize] -= 1;
        self.counts[condition as usize] += 1;
        *is = condition;
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
        assert_eq!(roster.coldest(), Some((0, start)));
        assert_eq!(roster.dismiss_coldest(), Some(0));
        assert_eq!((roster.idle(), roster.equipped()), (1, 2));
        assert_eq!(roster.all(Condition::Leaving).collect::<Vec<_>>(), [0]);
    }
}
