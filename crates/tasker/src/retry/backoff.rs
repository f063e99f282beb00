//! DECISION: the delay before an attempt, from its number and a draw that the caller made.

use std::time::Duration;

/// How long a task waits before its next attempt, or a worker before its next try to get a resource.
///
/// Delays are jittered, so that many that failed together do not come back together: the delay is
/// drawn evenly from the upper half of the nominal one (`nominal / 2 ..= nominal`).
///
/// ```
/// use std::time::Duration;
/// use tasker::{Backoff, Config};
///
/// let config = Config::<(), String>::new(|| Ok(()))
///     .retry_backoff(Backoff::exponential(Duration::from_millis(10), Duration::from_secs(1)));
/// # let _ = config;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    doubles: bool,
}

/// Keeps the arithmetic away from overflow; nobody waits a century for a retry.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

impl Backoff {
    /// The same nominal delay before every attempt.
    #[must_use]
    pub const fn fixed(delay: Duration) -> Self {
        Self { first: delay, max: delay, doubles: false }
    }

    /// `first`, then twice as long each time, up to `max`.
    #[must_use]
    pub const fn exponential(first: Duration, max: Duration) -> Self {
        Self { first, max, doubles: true }
    }

    /// No delay at all: the next attempt is queued at once.
    pub(crate) const NONE: Self = Self::fixed(Duration::ZERO);

    /// How a worker without a resource tries again: from 10 ms, which hides a hiccup, to 30 s, which
    /// spares a backend that is down.
    pub(crate) const RECOVERY: Self =
        Self::exponential(Duration::from_millis(10), Duration::from_secs(30));

    /// The delay after `failures` failures (from 1); `draw` is even in `0.0..1.0`.
    #[must_use]
    pub(crate) fn delay(&self, failures: u32, draw: f64) -> Duration {
        let doublings = if self.doubles { failures.saturating_sub(1).min(31) } else { 0 };
        let nominal = self.first.saturating_mul(1 << doublings).min(self.max).min(LONGEST);
        nominal.mul_f64(0.5 + draw.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn a_delay_doubles_up_to_its_maximum_and_is_jittered_over_the_upper_half() {
        let exponential = Backoff::exponential(ms(10), ms(100));
        let table = [
            (Backoff::NONE, 1, 0.9, ms(0)),
            (Backoff::fixed(ms(10)), 1, 1.0, ms(10)),
            (Backoff::fixed(ms(10)), 9, 0.0, ms(5)),
            (exponential, 1, 1.0, ms(10)),
            (exponential, 2, 1.0, ms(20)),
            (exponential, 3, 0.5, ms(30)),
            (exponential, 5, 1.0, ms(100)),
            (exponential, u32::MAX, 1.0, ms(100)),
        ];
        for (backoff, failures, draw, delay) in table {
            assert_eq!(backoff.delay(failures, draw), delay, "{backoff:?} after {failures}");
        }
    }

    #[test]
    fn an_extreme_backoff_does_not_overflow() {
        let backoff = Backoff::exponential(Duration::MAX, Duration::MAX);
        let years = |n: u64| Duration::from_hours(n * 365 * 24);
        assert!(backoff.delay(40, 0.0) > years(49));
        assert!(backoff.delay(40, 0.99) > years(99));
    }
}
