//! Counts the tasks that come in, on many threads at once and without a lock.
//!
//! A slot of the ten-second window is one word: which lap of the ring its count belongs to, and the count. So an
//! arrival is one compare and exchange. What is counted in slots that are given to a later lap goes, under a lock
//! and ten times a second, to those that are past; so the arrivals since the start are the past ones and those in
//! the slots, and nothing is counted twice.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::tally::Arrivals;
use super::window::{SLOTS, SLOTS_PER_SECOND};

/// The bits of a count. A slot lasts for 100 ms, in which nobody counts to 69 billion; the other 28 bits count laps
/// of ten seconds for 85 years.
const COUNT_BITS: u32 = 36;
const COUNT: u64 = (1 << COUNT_BITS) - 1;
const LAST_LAP: u64 = u64::MAX >> COUNT_BITS;
const SECONDS_PER_LAP: u64 = SLOTS as u64 / SLOTS_PER_SECOND;

/// Arrivals in one place; see [`Arrivals`] for those that need no more than `&mut`.
#[derive(Debug)]
pub(crate) struct Intake {
    start: Instant,
    slots: [AtomicU64; SLOTS],
    /// Arrivals that no slot counts any more. Slots change their lap only while it is locked.
    past: Mutex<u64>,
}

impl Intake {
    /// None so far; the window counts from `start`.
    pub(crate) fn new(start: Instant) -> Self {
        Self { start, slots: [const { AtomicU64::new(0) }; SLOTS], past: Mutex::new(0) }
    }

    /// Counts a task that was accepted at `at`; whether it met nobody who counts at the same time.
    #[inline]
    pub(crate) fn record(&self, at: Instant) -> bool {
        let (lap, slot) = place(at.saturating_duration_since(self.start));
        let slot = &self.slots[slot];
        // No order is needed: who reads an ending is ordered after its arrival by the lock around the endings.
        let word = slot.load(Ordering::Relaxed);
        let same = word >> COUNT_BITS == lap;
        if same && swap(slot, word, word + 1).is_ok() {
            return true;
        }
        self.record_late(lap, slot);
        !same
    }

    /// Another lap begins, or has begun, or another thread was faster.
    #[cold]
    fn record_late(&self, lap: u64, slot: &AtomicU64) {
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        let mut word = slot.load(Ordering::Relaxed);
        loop {
            let of = word >> COUNT_BITS;
            if of > lap {
                *past += 1; // ten seconds behind: it counts, but in no window
                return;
            }
            let (next, over) =
                if of == lap { (word + 1, 0) } else { (lap << COUNT_BITS | 1, word & COUNT) };
            match swap(slot, word, next) {
                Ok(_) => {
                    *past += over;
                    return;
                }
                Err(now) => word = now,
            }
        }
    }

    /// Adds what is counted here.
    pub(crate) fn add_to(&self, sum: &mut Arrivals) {
        let past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        sum.add_past(*past);
        for (index, slot) in self.slots.iter().enumerate() {
            let word = slot.load(Ordering::Relaxed);
            let turn = (word >> COUNT_BITS) * SLOTS as u64 + index as u64;
            sum.add_turn(turn, word & COUNT);
        }
    }
}

#[inline]
fn swap(slot: &AtomicU64, word: u64, next: u64) -> Result<u64, u64> {
    slot.compare_exchange(word, next, Ordering::Relaxed, Ordering::Relaxed)
}

/// The lap of a moment, and its slot, which together are its turn.
#[inline]
fn place(since: Duration) -> (u64, usize) {
    let (seconds, tenths) = (since.as_secs(), since.subsec_millis() / 100);
    let slot = (seconds % SECONDS_PER_LAP) as usize * SLOTS_PER_SECOND as usize + tenths as usize;
    ((seconds / SECONDS_PER_LAP).min(LAST_LAP), slot)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const SLOT: Duration = Duration::from_millis(100);
    const LAP: Duration = Duration::from_secs(10);

    fn total_and_rate(intake: &Intake, now: Duration) -> (u64, f64) {
        let mut sum = Arrivals::new(intake.start);
        intake.add_to(&mut sum);
        (sum.total(), sum.rate(now.as_nanos() as u64))
    }

    #[test]
    fn it_reads_like_arrivals_that_are_counted_one_after_the_other() {
        let start = crate::clock::real_now();
        let (intake, mut plain) = (Intake::new(start), Arrivals::new(start));
        // Steady, then a pause of laps, back within ten seconds, behind by more, and far ahead.
        let steady = (0..3_000).map(|step| SLOT * step / 7);
        let jumps = [900_u32, 899, 901, 850, 801, 800, 700, 0, 1_000, 4_000_000].map(|n| SLOT * n);
        for since in steady.chain(jumps) {
            let at = start + since;
            intake.record(at);
            plain.record(at);
            for now in [since, since + 50 * SLOT, since + LAP] {
                let expected = (plain.total(), plain.rate(now.as_nanos() as u64));
                assert_eq!(total_and_rate(&intake, now), expected, "at {since:?}, seen at {now:?}");
            }
        }
    }

    #[test]
    fn what_comes_before_the_start_counts_as_that() {
        let start = crate::clock::real_now() + LAP;
        let intake = Intake::new(start);
        intake.record(start - SLOT);
        assert_eq!(total_and_rate(&intake, Duration::ZERO), (1, 10.0));
    }

    #[test]
    fn nothing_is_lost_or_counted_twice_while_laps_change() {
        const THREADS: u32 = 4;
        const EACH: u32 = 20_000;
        let start = crate::clock::real_now();
        let intake = Intake::new(start);
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let intake = &intake;
                // All fight for a slot; each is now ahead of the others by laps, now behind.
                scope.spawn(move || {
                    for step in 0..EACH {
                        intake.record(start + LAP * (step + thread * 7 % 5));
                    }
                });
            }
            let mut last = 0;
            while last < u64::from(THREADS * EACH) / 2 {
                let (total, _) = total_and_rate(&intake, Duration::ZERO);
                assert!(total >= last, "{total} after {last}");
                last = total;
                thread::yield_now();
            }
        });
        let end = LAP * (EACH + 3);
        assert_eq!(total_and_rate(&intake, end).0, u64::from(THREADS * EACH));
    }

    #[test]
    fn nothing_is_lost_where_threads_meet_in_a_slot() {
        const ENOUGH: u64 = 8;
        let start = crate::clock::real_now();
        let intake = Intake::new(start);
        let (met, recorded) = (AtomicU64::new(0), AtomicU64::new(0));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while met.load(Ordering::Relaxed) < ENOUGH {
                        recorded.fetch_add(1, Ordering::Relaxed);
                        if !intake.record(start) {
                            met.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(total_and_rate(&intake, Duration::ZERO).0, recorded.into_inner());
    }
}
