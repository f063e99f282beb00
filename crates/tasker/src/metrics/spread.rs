//! How times are distributed: percentiles within 1 % in constant memory, from 1 ns to an hour.

use hdrhistogram::Histogram;

/// Longest time that the percentiles tell apart: an hour, in nanoseconds. Each doubling costs a kilobyte.
const LONGEST: u64 = 3_600_000_000_000;
/// Two significant digits: 128 buckets or more per doubling, so a bucket is less than 0.8 % wide.
const DIGITS: u8 = 2;

/// How many times fell into each bucket.
#[derive(Debug, Clone)]
pub(crate) struct Spread(Histogram<u64>);

impl Spread {
    pub(crate) fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST, DIGITS);
        Self(histogram.expect("the bounds are constants that the histogram accepts"))
    }

    /// Counts a time; one beyond an hour counts as an hour.
    #[inline]
    pub(crate) fn record(&mut self, time: u64) {
        // The histogram's own clamp would put two hours below 70 minutes: its last bucket ends
        // beyond the bound, and only what is beyond that bucket is moved back to the bound.
        self.0.saturating_record(time.min(LONGEST));
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all histograms have the same bounds");
    }

    /// Becomes a copy of another one, without a new allocation.
    pub(crate) fn copy(&mut self, other: &Self) {
        self.0.reset();
        self.add(other); // a block copy, since this one is empty
    }

    pub(crate) fn clear(&mut self) {
        self.0.reset();
    }

    #[cfg(test)]
    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// The times that so many of a hundred do not exceed (the nearest rank): the middles of their buckets, which
    /// halves the error.
    #[must_use]
    pub(crate) fn percentiles<const N: usize>(&self, percents: [u64; N]) -> [u64; N] {
        percents.map(|percent| {
            let bucket = self.0.value_at_quantile(percent as f64 / 100.0);
            self.0.median_equivalent(bucket)
        })
    }

    /// Bytes on the heap.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.0.distinct_values() * size_of::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let (mut hour, mut more) = (Spread::new(), Spread::new());
        hour.record(LONGEST);
        more.record(2 * LONGEST);
        assert_eq!(hour.percentiles([50]), more.percentiles([50]));
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
