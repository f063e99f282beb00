//! DECISION: how many events per second the last ten seconds have seen.
//!
//! The moments are handed in, as nanoseconds since the start, and nothing here waits.
//!
//! The ten seconds are a ring of 100 slots of 100 ms, each stamped with its turn (the number of
//! slots since the start). A slot whose turn has passed counts for nothing and is overwritten when
//! its place comes round again, so there is nothing to tidy up and memory never grows. The newest
//! slot is only partly over, so a rate covers between 9.9 and 10 seconds; it is divided by exactly
//! what it covers, hence a steady stream reads without bias.

use std::time::{Duration, Instant};

/// Nanoseconds in one slot.
const SLOT: u64 = 100_000_000;
/// Slots in ten seconds.
pub(crate) const SLOTS: usize = 100;
pub(crate) const SLOTS_PER_SECOND: u64 = 10;
const NANOS_PER_SECOND: f64 = 1e9;

/// Tells the turn of a moment. Most are of the same turn as the one before, and a comparison costs a tenth of
/// what counting the nanoseconds since the start does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dial {
    start: Instant,
    /// The turn that was told last, and when it begins and ends.
    turn: u64,
    from: Instant,
    until: Instant,
}

impl Dial {
    pub(crate) fn new(start: Instant) -> Self {
        Self { start, turn: 0, from: start, until: start }
    }

    /// The turn of a moment; one before the start counts as that.
    #[inline]
    pub(crate) fn turn(&mut self, at: Instant) -> u64 {
        if at < self.from || at >= self.until {
            self.move_to(at);
        }
        self.turn
    }

    #[cold]
    fn move_to(&mut self, at: Instant) {
        self.turn = nanos(at.saturating_duration_since(self.start)) / SLOT;
        self.from = self.start + Duration::from_nanos(self.turn * SLOT);
        self.until = self.from + Duration::from_nanos(SLOT);
    }
}

/// Counts of the last ten seconds.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    slots: [Slot; SLOTS],
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    turn: u64,
    count: u64,
}

impl Slot {
    #[inline]
    fn add(&mut self, other: Self) {
        if self.turn < other.turn {
            *self = other;
        } else if self.turn == other.turn {
            self.count += other.count;
        }
    }
}

impl Window {
    pub(crate) fn new() -> Self {
        Self { slots: [Slot::default(); SLOTS] }
    }

    /// Counts one event of a turn. Events may come out of order; one whose slot has already been handed to a
    /// later turn is at least ten seconds behind, and is left out.
    #[inline]
    pub(crate) fn record(&mut self, turn: u64) {
        self.record_many(turn, 1);
    }

    /// Counts so many.
    #[inline]
    pub(crate) fn record_many(&mut self, turn: u64, count: u64) {
        self.slots[(turn % SLOTS as u64) as usize].add(Slot { turn, count });
    }

    /// Counts the events of another window as well. Of two turns that share a place the later one
    /// stays, as it does for single events.
    pub(crate) fn add(&mut self, other: &Self) {
        for (slot, other) in self.slots.iter_mut().zip(&other.slots) {
            slot.add(*other);
        }
    }

    /// Events per second as seen at `now`. In the first ten seconds the time lived is what counts,
    /// but at least one slot, or the very first event would read as millions per second.
    #[must_use]
    pub(crate) fn rate(&self, now: u64) -> f64 {
        let newest = now / SLOT;
        let oldest = newest.saturating_sub(SLOTS as u64 - 1);
        let count: u64 = self
            .slots
            .iter()
            .filter(|slot| (oldest..=newest).contains(&slot.turn))
            .map(|slot| slot.count)
            .sum();
        let covered = (now - oldest * SLOT).max(SLOT);
        count as f64 * NANOS_PER_SECOND / covered as f64
    }
}

/// Whole nanoseconds; more than 584 years count as 584 years.
#[inline]
pub(crate) fn nanos(time: Duration) -> u64 {
    // Not by way of the 128 bits of `as_nanos`, which take twice as long.
    time.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(time.subsec_nanos()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const S: u64 = 1_000 * MS;

    /// The end of the last whole slot.
    const LAST: u64 = u64::MAX / SLOT * SLOT - 1;

    /// Events at the given moments, then the rate at the given `now`.
    struct Case {
        name: &'static str,
        events: Vec<u64>,
        now: u64,
        rate: f64,
    }

    fn every(step: u64, from: u64, to: u64) -> Vec<u64> {
        (from..to).step_by(step as usize).collect()
    }

    fn check(cases: Vec<Case>) {
        for case in cases {
            let mut window = Window::new();
            for at in case.events {
                window.record(at / SLOT);
            }
            let rate = window.rate(case.now);
            assert!(
                (rate - case.rate).abs() <= case.rate * 0.001,
                "{}: {rate} instead of {}",
                case.name,
                case.rate
            );
        }
    }

    #[test]
    fn a_rate_covers_the_last_ten_seconds_only() {
        check(vec![
            Case { name: "nothing", events: vec![], now: 60 * S, rate: 0.0 },
            Case {
                name: "steady, read within a slot",
                events: every(MS, 0, 60 * S),
                now: 60 * S,
                rate: 1000.0,
            },
            Case {
                name: "steady, read at the end of a slot",
                events: every(MS, 0, 60 * S),
                now: 60 * S - 1,
                rate: 1000.0,
            },
            Case { name: "a burst long ago", events: every(MS, 0, 5 * S), now: 15 * S, rate: 0.0 },
            Case {
                name: "a burst nine seconds ago",
                events: every(MS, 20 * S, 21 * S),
                now: 30 * S - 1,
                rate: 100.0,
            },
            Case {
                name: "a pause of many turns",
                events: vec![5 * MS, 500 * S],
                now: 500 * S + 99 * MS,
                rate: 0.1,
            },
        ]);
    }

    #[test]
    fn a_young_window_divides_by_the_time_lived() {
        check(vec![
            Case { name: "first moment", events: vec![0], now: 0, rate: 10.0 },
            Case { name: "half a slot", events: every(MS, 0, 50 * MS), now: 50 * MS, rate: 500.0 },
            Case { name: "two seconds", events: every(MS, 0, 2 * S), now: 2 * S, rate: 1000.0 },
            Case {
                name: "nine and a half",
                events: every(MS, 0, 9_500 * MS),
                now: 9_500 * MS,
                rate: 1000.0,
            },
        ]);
    }

    #[test]
    fn order_does_not_matter_within_ten_seconds() {
        let mut backwards = every(MS, 50 * S, 60 * S - 100 * MS);
        backwards.reverse();
        check(vec![Case {
            name: "backwards",
            events: backwards,
            now: 60 * S - 100 * MS,
            rate: 1000.0,
        }]);
    }

    #[test]
    fn windows_that_are_added_read_like_one_that_saw_everything() {
        let (mut even, mut odd, mut all) = (Window::new(), Window::new(), Window::new());
        for at in every(7 * MS, 0, 35 * S) {
            all.record(at / SLOT);
            // One of the two falls silent after a while: its old slots must not count.
            if at % 2 == 0 && at < 28 * S {
                even.record(at / SLOT);
            } else {
                odd.record(at / SLOT);
            }
        }
        let mut sum = even.clone();
        sum.add(&odd);
        for now in [0, 5 * S, 28 * S, 35 * S, 40 * S, 60 * S] {
            assert_eq!(sum.rate(now), all.rate(now), "at {now}");
        }
    }

    #[test]
    fn events_that_come_too_late_are_left_out() {
        check(vec![
            Case {
                name: "overwritten slot",
                events: vec![60 * S, 50 * S, 0],
                now: 60 * S + 99 * MS,
                rate: 0.1,
            },
            Case {
                name: "free slot",
                events: vec![60 * S, 41 * S, MS],
                now: 60 * S + 99 * MS,
                rate: 0.1,
            },
        ]);
    }

    #[test]
    fn an_event_of_the_future_waits_for_its_time() {
        check(vec![
            Case { name: "before it", events: vec![70 * S], now: 65 * S, rate: 0.0 },
            Case { name: "after it", events: vec![70 * S], now: 70 * S + 99 * MS, rate: 0.1 },
            Case { name: "the end of time", events: vec![LAST], now: LAST, rate: 0.1 },
        ]);
    }

    #[test]
    fn counts_of_the_same_turn_add_up_and_of_two_turns_the_later_stays() {
        // Their slots are 0: the turn of the sum and of what is added, and the counts.
        let table = [
            ((0, 3), (0, 2), (0, 5)),
            ((100, 3), (100, 2), (100, 5)),
            ((100, 3), (200, 2), (200, 2)),
            ((200, 3), (100, 2), (200, 3)),
        ];
        let window = |(turn, count): (u64, u64)| {
            let mut window = Window::new();
            (0..count).for_each(|_| window.record(turn));
            window
        };
        for (sum, other, (turn, count)) in table {
            let mut added = window(sum);
            added.add(&window(other));
            let slot = added.slots[0];
            assert_eq!((slot.turn, slot.count), (turn, count), "{sum:?} and {other:?}");
        }
    }

    #[test]
    fn a_dial_tells_the_turn_of_every_moment_whatever_it_told_before() {
        let start = crate::clock::real_now();
        let mut dial = Dial::new(start);
        let after = |nanos| start + Duration::from_nanos(nanos);
        let times = [0, SLOT - 1, SLOT, 2 * SLOT - 1, 50 * S, SLOT, 0, 60 * S, 60 * S - 1];
        for at in times {
            assert_eq!(dial.turn(after(at)), at / SLOT, "{at}");
        }
        // What comes before the start counts as that, as where a machine's clock is read twice.
        if let Some(before) = start.checked_sub(Duration::from_secs(1)) {
            assert_eq!(dial.turn(before), 0);
        }
        assert_eq!(dial.turn(after(3 * SLOT)), 3);
    }
}
