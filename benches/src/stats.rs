//! Medians, spreads and percentiles.

use std::time::Duration;

use hdrhistogram::Histogram;

/// The median of what was measured, and how far it spread.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// `None` of nothing.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let (below, above) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
        Some(Self { min, median: f64::midpoint(below, above), max })
    }
}

/// The median alone.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    Spread::of(values).map(|spread| spread.median)
}

/// How long each of many operations took.
#[derive(Debug, Clone)]
pub(crate) struct Waits(Histogram<u64>);

impl Waits {
    /// Within 1 % up to a minute, in 32 kB: as many as there are callers.
    pub(crate) fn new() -> Self {
        Self(Histogram::new_with_bounds(1, 60_000_000_000, 2).expect("the bounds are in order"))
    }

    pub(crate) fn record(&mut self, wait: Duration) {
        self.0.saturating_record(wait.as_nanos() as u64);
    }

    pub(crate) fn merged(mut self, other: Self) -> Self {
        self.0.add(other.0).expect("both have the same bounds");
        self
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    pub(crate) fn percentiles(&self) -> Percentiles {
        let at = |share: f64| self.0.value_at_quantile(share) as f64 / 1e3;
        Percentiles { p50: at(0.5), p99: at(0.99), max: at(1.0) }
    }
}

/// In microseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Percentiles {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Spread, Waits, median};

    #[test]
    fn the_median_is_the_middle_or_between_the_two_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median([]), None);
        assert_eq!(Spread::of([2.0, 9.0, 1.0]), Some(Spread { min: 1.0, median: 2.0, max: 9.0 }));
    }

    #[test]
    fn percentiles_are_within_one_percent() {
        let waits = |from: u64, to: u64| {
            let mut waits = Waits::new();
            (from..to).for_each(|n| waits.record(Duration::from_micros(n)));
            waits
        };
        let seen = waits(1, 501).merged(waits(501, 1001)).percentiles();
        for (value, expected) in [(seen.p50, 500.0), (seen.p99, 990.0), (seen.max, 1000.0)] {
            assert!((value / expected - 1.0_f64).abs() < 0.01, "{value} is not {expected}");
        }
    }
}
