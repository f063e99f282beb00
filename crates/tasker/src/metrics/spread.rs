//! DECISION: how times are distributed: percentiles within 1 % in constant memory, from 1 ns to an hour.
//!
//! A bucket for each nanosecond below 256, then 128 buckets for each doubling: none is wider than 0.8 % of what
//! it holds, and its middle is off by half of that at most. It is written out here, with bounds that the compiler
//! knows, because recording is the hot path of every task.

/// Longest time that is told apart: an hour, in nanoseconds. Each doubling costs a kilobyte.
const LONGEST: u64 = 3_600_000_000_000;
/// Below twice this, each nanosecond has its bucket; above, each doubling has so many.
const HALF: u64 = 1 << HALF_BITS;
const HALF_BITS: u32 = 7;
const BUCKETS: usize = bucket_of(LONGEST) + 1;

/// How many times fell into each bucket.
#[derive(Debug, Clone)]
pub(crate) struct Spread {
    counts: Box<[u64; BUCKETS]>,
}

/// By how many bits a time is shifted to bring it below 256.
const fn shift_of(time: u64) -> u32 {
    (u64::BITS - 1 - HALF_BITS) - (time | (2 * HALF - 1)).leading_zeros()
}

const fn bucket_of(time: u64) -> usize {
    let shift = shift_of(time);
    ((shift as u64 * HALF) + (time >> shift)) as usize
}

/// The middle of a bucket; of an even number of times the later one.
const fn middle_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let shift = (bucket / HALF).saturating_sub(1);
    ((bucket - shift * HALF) << shift) + (1 << shift >> 1)
}

impl Spread {
    pub(crate) fn new() -> Self {
        Self { counts: Box::new([0; BUCKETS]) }
    }

    /// Counts a time; one beyond an hour counts as an hour.
    #[inline]
    pub(crate) fn record(&mut self, time: u64) {
        self.counts[bucket_of(time.min(LONGEST))] += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (count, other) in self.counts.iter_mut().zip(&*other.counts) {
            *count += other;
        }
    }

    /// Becomes a copy of another one, without a new allocation.
    pub(crate) fn copy(&mut self, other: &Self) {
        *self.counts = *other.counts;
    }

    pub(crate) fn clear(&mut self) {
        self.counts.fill(0);
    }

    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The times that so many of a hundred do not exceed (the nearest rank): the middles of their buckets. The
    /// percentages rise, so that one look through the buckets finds them all.
    #[must_use]
    pub(crate) fn percentiles<const N: usize>(&self, percents: [u64; N]) -> [u64; N] {
        let count = self.count();
        if count == 0 {
            return [0; N];
        }
        let (mut bucket, mut seen) = (0, self.counts[0]);
        percents.map(|percent| {
            let rank = (u128::from(count) * u128::from(percent)).div_ceil(100).max(1) as u64;
            while seen < rank {
                bucket += 1;
                seen += self.counts[bucket];
            }
            middle_of(bucket)
        })
    }

    /// Bytes on the heap.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_has_a_bucket_whose_middle_is_near() {
        let doublings = (0..42).flat_map(|bits| {
            let power = 1_u64 << bits;
            [power - 1, power, power + 1, power + power / 2, power + power / 3]
        });
        for time in (0..100_000).chain(doublings).chain([LONGEST - 1, LONGEST]) {
            let time = time.min(LONGEST);
            let off = middle_of(bucket_of(time)).abs_diff(time);
            assert!(off * 250 <= time, "{time} is told as {off} off");
            assert!(time >= 256 || off == 0, "{time} is told exactly");
        }
    }

    #[test]
    fn buckets_are_in_the_order_of_their_times_and_leave_no_gap() {
        let mut last = 0;
        for bucket in 0..BUCKETS {
            let middle = middle_of(bucket);
            assert_eq!(bucket_of(middle), bucket, "{middle}");
            assert!(bucket == 0 || middle > last);
            last = middle;
        }
        for time in 1..100_000 {
            assert!(bucket_of(time) - bucket_of(time - 1) <= 1, "{time}");
        }
    }

    #[test]
    fn a_percentile_is_the_nearest_rank() {
        let of = |times: &[u64]| {
            let mut spread = Spread::new();
            times.iter().for_each(|time| spread.record(*time));
            spread.percentiles([50, 95, 99])
        };
        assert_eq!(of(&[]), [0, 0, 0]);
        assert_eq!(of(&[7]), [7, 7, 7]);
        assert_eq!(of(&[1, 2]), [1, 2, 2]);
        assert_eq!(of(&[3, 1, 2]), [2, 3, 3]);
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!(of(&hundred), [50, 95, 99]);
        let more: Vec<u64> = (1..=101).collect();
        assert_eq!(of(&more), [51, 96, 100]);
    }

    #[test]
    fn what_is_beyond_an_hour_counts_as_an_hour() {
        let mut spread = Spread::new();
        for time in [LONGEST, LONGEST + 1, 2 * LONGEST, u64::MAX] {
            spread.record(time);
        }
        assert_eq!(spread.counts[BUCKETS - 1], 4);
    }

    #[test]
    fn spreads_add_up() {
        let (mut one, mut other, mut copy) = (Spread::new(), Spread::new(), Spread::new());
        (0..100).for_each(|time| one.record(time));
        (50..250).for_each(|time| other.record(time));
        copy.record(1_000);
        copy.copy(&one);
        copy.add(&other);
        assert_eq!((one.count(), other.count(), copy.count()), (100, 200, 300));
        assert_eq!(copy.percentiles([50, 100]), [99, 249]);
        copy.clear();
        assert_eq!(copy.count(), 0);
    }
}
