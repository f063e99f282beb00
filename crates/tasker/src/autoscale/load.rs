//! DECISION: what a policy looks at: counts of one moment, and windows over what came and how long it took.

use std::time::{Duration, Instant};

use super::limits::Headcount;

/// The width of a bucket of the [`History`].
const WIDTH: Duration = Duration::from_millis(100);

/// How many buckets are kept: 51.2 s.
const BUCKETS: usize = 512;

/// How many creations the typical creation time is judged by.
const CREATIONS: usize = 64;

/// What a policy is shown: the workers and the queue at one moment, and what came before.
///
/// Counts are of the moment at which the policy is asked. Guests of the pool behind `run_task` are no part of
/// it: they need no worker.
#[non_exhaustive]
#[derive(Debug, Clone, Default)]
pub struct Load {
    /// Workers that are always there.
    pub worker_count: usize,
    /// How many workers there may be, those that are making or destroying their resource included.
    pub max_worker_count: usize,
    /// How many idle workers the manager keeps whatever the policy says.
    pub min_idle: usize,
    /// How often the policy is asked while there is anything to scale.
    pub interval: Duration,
    /// Tasks that wait in the lanes.
    pub queued: usize,
    /// How long the task that came first among them has been waiting.
    pub oldest_wait: Option<Duration>,
    /// Workers that use their resource, or whose resource is lent.
    pub in_use: usize,
    /// How long each idle worker has had nothing to do, the coldest first.
    pub idle: Vec<Duration>,
    /// For each creation under way, how long it will still take, judged by those before.
    pub creating: Vec<Duration>,
    /// Workers whose last creation failed and that wait to try again.
    pub failing: usize,
    /// Workers that are destroying their resource and count until it is gone.
    pub leaving: usize,
    /// How many creations for new workers may be under way: halved by each that fails, one more with each
    /// that succeeds.
    pub allowance: usize,
    /// How long a resource takes to make: the 90th percentile of the last creations; zero before the first.
    pub creation_time: Duration,
    /// What came and how long it took.
    pub history: History,
}

impl Load {
    /// Workers that stay: with a resource, making one, or waiting to try again.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.in_use + self.idle.len() + self.creating.len() + self.failing
    }

    /// Workers with a resource.
    #[must_use]
    pub fn ready(&self) -> usize {
        self.in_use + self.idle.len()
    }

    /// Tasks that came per second over the last while, retries included.
    #[must_use]
    pub fn arrival_rate(&self, over: Duration) -> f64 {
        let (sum, seconds) = self.history.last(over);
        f64::from(sum.arrivals) / seconds
    }

    /// How much of the last while the history covers: all of it, unless the manager is younger than that.
    #[must_use]
    pub fn seen(&self, over: Duration) -> Duration {
        let (_, seconds) = self.history.last(over);
        Duration::from_secs_f64(seconds).min(over)
    }

    /// Attempts that ended per second over the last while.
    #[must_use]
    pub fn completion_rate(&self, over: Duration) -> f64 {
        let (sum, seconds) = self.history.last(over);
        f64::from(sum.attempts) / seconds
    }

    /// How long an attempt takes on average, failed ones included; zero before the first has begun.
    ///
    /// The time that ended attempts took and that running ones have taken so far, divided by how many
    /// ended: the maximum likelihood estimate for exponential times of which some are not over yet
    /// (B. Epstein and M. Sobel, "Life Testing", J. Amer. Statist. Assoc. 48, 1953). It does not wait for
    /// a long task to end before it believes that tasks are long.
    #[must_use]
    pub fn service_time(&self, over: Duration) -> Duration {
        let (sum, _) = self.history.last(over);
        let History { running, running_for, last_service, .. } = &self.history;
        let spent = sum.busy + running_for.as_secs_f64();
        let estimate = match (sum.attempts, *last_service) {
            (0, Some(before)) => before.as_secs_f64().max(spent / f64::from((*running).max(1))),
            (ended, _) => spent / f64::from(ended.max(1)),
        };
        Duration::try_from_secs_f64(estimate).unwrap_or(Duration::MAX)
    }

    pub(crate) fn headcount(&self) -> Headcount {
        Headcount {
            worker_count: self.worker_count,
            max_worker_count: self.max_worker_count,
            min_idle: self.min_idle,
            queued: self.queued,
            in_use: self.in_use,
            idle: self.idle.len(),
            creating: self.creating.len(),
            failing: self.failing,
            leaving: self.leaving,
            allowance: self.allowance,
        }
    }
}

/// Arrivals and attempts of the last 51 seconds, in steps of 100 ms. Read through [`Load`].
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Whole buckets, the oldest first, then the one that is being filled.
    buckets: Vec<Bucket>,
    /// How much of the last bucket's time has passed.
    begun: Duration,
    running: u32,
    running_for: Duration,
    /// The mean of the last bucket in which an attempt ended.
    last_service: Option<Duration>,
}

impl History {
    /// The sum over the last `over`, and the seconds that it really spans: whole buckets, at least one.
    fn last(&self, over: Duration) -> (Bucket, f64) {
        let mut sum = Bucket::default();
        let mut span = self.begun;
        for (age, bucket) in self.buckets.iter().rev().enumerate() {
            if age > 0 {
                if span >= over.max(WIDTH) {
                    break;
                }
                span += WIDTH;
            }
            sum.arrivals = sum.arrivals.saturating_add(bucket.arrivals);
            sum.attempts = sum.attempts.saturating_add(bucket.attempts);
            sum.busy += bucket.busy;
        }
        (sum, span.max(WIDTH).as_secs_f64())
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    arrivals: u32,
    attempts: u32,
    /// Seconds that its attempts took.
    busy: f64,
}

/// Keeps the windows: told of every arrival and attempt, read when a policy is asked.
#[derive(Debug)]
pub(crate) struct Gauge {
    ring: Box<[Bucket]>,
    at: usize,
    /// How many buckets have been in use, at most all.
    used: usize,
    /// When the bucket at `at` is full.
    turns: Instant,
    last_service: Option<Duration>,
    creations: Vec<Duration>,
    creation_at: usize,
}

impl Gauge {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            ring: vec![Bucket::default(); BUCKETS].into_boxed_slice(),
            at: 0,
            used: 1,
            turns: now + WIDTH,
            last_service: None,
            creations: Vec::new(),
            creation_at: 0,
        }
    }

    /// When the bucket that is being filled is over.
    pub(crate) fn turns_at(&self) -> Instant {
        self.turns
    }

    /// What tasks did in the bucket that is being filled.
    pub(crate) fn add(&mut self, arrivals: u32, attempts: u32, busy: Duration) {
        let bucket = &mut self.ring[self.at];
        bucket.arrivals = bucket.arrivals.saturating_add(arrivals);
        bucket.attempts = bucket.attempts.saturating_add(attempts);
        bucket.busy += busy.as_secs_f64();
    }

    /// A task has come, or comes again.
    #[inline]
    pub(crate) fn arrived(&mut self, now: Instant) {
        self.turn(now);
        let bucket = &mut self.ring[self.at];
        bucket.arrivals = bucket.arrivals.saturating_add(1);
    }

    /// An attempt has ended.
    #[inline]
    pub(crate) fn attempted(&mut self, took: Duration, now: Instant) {
        self.turn(now);
        let bucket = &mut self.ring[self.at];
        bucket.attempts = bucket.attempts.saturating_add(1);
        bucket.busy += took.as_secs_f64();
    }

    /// A resource is made.
    pub(crate) fn created(&mut self, took: Duration) {
        if self.creations.len() < CREATIONS {
            self.creations.push(took);
        } else {
            self.creations[self.creation_at] = took;
        }
        self.creation_at = (self.creation_at + 1) % CREATIONS;
    }

    /// The 90th percentile of the last creations (nearest rank); zero before the first.
    pub(crate) fn creation_time(&self) -> Duration {
        let mut sorted = self.creations.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * 9).div_ceil(10);
        rank.checked_sub(1).map_or(Duration::ZERO, |rank| sorted[rank])
    }

    /// The windows as a policy sees them. `running` are the ages of the attempts that have not ended.
    pub(crate) fn history(
        &mut self,
        running: impl Iterator<Item = Duration>,
        now: Instant,
    ) -> History {
        self.turn(now);
        let oldest = (self.at + BUCKETS + 1 - self.used) % BUCKETS;
        let buckets = (0..self.used).map(|age| self.ring[(oldest + age) % BUCKETS]).collect();
        let left = self.turns.saturating_duration_since(now);
        let (mut count, mut total) = (0u32, Duration::ZERO);
        for age in running {
            count = count.saturating_add(1);
            total = total.saturating_add(age);
        }
        History {
            buckets,
            begun: WIDTH.saturating_sub(left),
            running: count,
            running_for: total,
            last_service: self.last_service,
        }
    }

    /// Begins as many buckets as time has passed.
    #[inline]
    pub(crate) fn turn(&mut self, now: Instant) {
        if now >= self.turns {
            self.turn_over(now);
        }
    }

    #[cold]
    fn turn_over(&mut self, now: Instant) {
        let Bucket { attempts, busy, .. } = self.ring[self.at];
        if attempts > 0 {
            let mean = Duration::try_from_secs_f64(busy / f64::from(attempts));
            self.last_service = mean.ok().or(self.last_service);
        }
        let late = now.saturating_duration_since(self.turns);
        let turns = late.as_nanos() / WIDTH.as_nanos() + 1;
        let cleared = usize::try_from(turns).unwrap_or(BUCKETS).min(BUCKETS);
        for _ in 0..cleared {
            self.at = (self.at + 1) % BUCKETS;
            self.ring[self.at] = Bucket::default();
        }
        self.used = (self.used + cleared).min(BUCKETS);
        let rest = late.as_nanos() % WIDTH.as_nanos();
        let rest = Duration::from_nanos(u64::try_from(rest).unwrap_or(0));
        self.turns = now + (WIDTH - rest);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::clock::real_now;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn load(gauge: &mut Gauge, running: &[Duration], now: Instant) -> Load {
        Load { history: gauge.history(running.iter().copied(), now), ..Load::default() }
    }

    #[test]
    fn a_rate_is_judged_over_the_time_that_is_asked_for_and_forgets_what_is_older() {
        let start = real_now();
        let mut gauge = Gauge::new(start);
        for n in 0..1000 {
            gauge.arrived(start + ms(n)); // a thousand a second for a second
        }
        let at_once = load(&mut gauge, &[], start + ms(999));
        assert!((at_once.arrival_rate(ms(500)) - 1000.0).abs() < 20.0);
        let later = load(&mut gauge, &[], start + ms(1999));
        assert!(later.arrival_rate(ms(500)) < 1.0);
        assert!((later.arrival_rate(ms(2000)) - 500.0).abs() < 10.0);
        let next_day = load(&mut gauge, &[], start + ms(86_400_000));
        assert_eq!(next_day.arrival_rate(ms(60_000)), 0.0);
    }

    #[test]
    fn a_young_gauge_divides_by_the_time_that_has_passed() {
        let start = real_now();
        let mut gauge = Gauge::new(start);
        for n in 0..20 {
            gauge.arrived(start + ms(n * 10));
        }
        let rate = load(&mut gauge, &[], start + ms(200)).arrival_rate(ms(50_000));
        assert!((rate - 100.0).abs() < 1.0, "{rate}");
    }

    #[test]
    fn a_mean_service_time_counts_what_is_still_running() {
        let start = real_now();
        let mut gauge = Gauge::new(start);
        let over = ms(10_000);
        assert_eq!(load(&mut gauge, &[], start).service_time(over), Duration::ZERO);
        assert_eq!(load(&mut gauge, &[ms(300), ms(100)], start).service_time(over), ms(400));
        for _ in 0..10 {
            gauge.attempted(ms(200), start);
        }
        assert_eq!(load(&mut gauge, &[], start).service_time(over), ms(200));
        assert_eq!(load(&mut gauge, &[ms(1000)], start).service_time(over), ms(300));
        // Nothing ended within the window: what was known before counts until something runs longer.
        let later = start + ms(60_000);
        assert_eq!(load(&mut gauge, &[], later).service_time(over), ms(200));
        assert_eq!(load(&mut gauge, &[ms(50)], later).service_time(over), ms(200));
        assert_eq!(load(&mut gauge, &[ms(700)], later).service_time(over), ms(700));
        // Four that have run for so long: each of them counts for as long as they have on average.
        assert_eq!(load(&mut gauge, &[ms(700); 4], later).service_time(over), ms(700));
    }

    #[test]
    fn what_is_told_late_counts_in_the_bucket_that_is_being_filled() {
        let start = real_now();
        let mut gauge = Gauge::new(start);
        assert_eq!(gauge.turns_at(), start + WIDTH);
        gauge.add(3, 2, ms(50));
        gauge.turn(start + ms(350));
        assert_eq!(gauge.turns_at(), start + 4 * WIDTH);
        for (arrivals, attempts, busy) in [(4, 1, ms(70)), (1, 3, ms(10))] {
            gauge.add(arrivals, attempts, busy);
        }
        let load = load(&mut gauge, &[], start + ms(399));
        let last = |over| {
            let (Bucket { arrivals, attempts, busy }, _) = load.history.last(over);
            (arrivals, attempts, (busy * 1000.0).round())
        };
        assert_eq!(last(WIDTH), (5, 4, 80.0));
        assert_eq!(last(4 * WIDTH), (8, 6, 130.0));
    }

    #[test]
    fn attempts_that_ended_are_told_by_the_second() {
        let start = real_now();
        let mut gauge = Gauge::new(start);
        for n in 0..200 {
            gauge.attempted(ms(1), start + ms(n * 10));
        }
        let busy = load(&mut gauge, &[], start + ms(1999));
        for over in [ms(500), ms(1500)] {
            let rate = busy.completion_rate(over);
            assert!((rate - 100.0).abs() < 2.0, "{rate} over {over:?}");
        }
        assert_eq!(busy.arrival_rate(ms(500)), 0.0);
    }

    #[test]
    fn a_creation_takes_what_nine_in_ten_of_the_last_took() {
        let mut gauge = Gauge::new(real_now());
        assert_eq!(gauge.creation_time(), Duration::ZERO);
        gauge.created(ms(40));
        assert_eq!(gauge.creation_time(), ms(40));
        for n in 1..=10 {
            gauge.created(ms(n));
        }
        assert_eq!(gauge.creation_time(), ms(10));
        for time in [ms(50), ms(7)] {
            for _ in 0..CREATIONS {
                gauge.created(time);
            }
            assert_eq!(gauge.creation_time(), time); // none of those before is left
        }
        assert_eq!(gauge.creations.len(), CREATIONS);
    }
}
