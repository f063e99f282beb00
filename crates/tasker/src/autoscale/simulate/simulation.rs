//! What came of a simulation, and how it is added up.

use std::time::Duration;

use super::super::Reason;

/// What came of a simulation.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub struct Simulation {
    /// The longest that half of all tasks waited. A task waits from the moment at which it comes until an
    /// attempt begins, and again until each further attempt does.
    pub wait_p50: Duration,
    /// The longest that nine in ten tasks waited.
    pub wait_p90: Duration,
    /// The longest that 99 in a hundred tasks waited.
    pub wait_p99: Duration,
    /// The longest wait of all.
    pub wait_max: Duration,
    /// The average wait.
    pub wait_mean: Duration,
    /// How long resources existed, from ready to destroyed, summed over all of them, in seconds.
    pub resource_seconds: f64,
    /// Creations that began, those of the base and those that failed included.
    pub creations: u64,
    /// Creations that failed.
    pub failed_creations: u64,
    /// The most workers there ever were, those that were making or destroying their resource included.
    pub peak: usize,
    /// Moments at which there were more workers than allowed. Always zero: it is counted to show it.
    pub cap_violations: u64,
    /// Moments at which there were fewer workers than the base. Always zero.
    pub base_violations: u64,
    /// Moments at which tasks waited and nobody had a resource, was making one, or waited to try again.
    /// Always zero.
    pub deserted: u64,
    /// Tasks that ended well.
    pub done: u64,
    /// Tasks that were given up: a resource broke under each of their attempts.
    pub failed: u64,
    /// When the last task ended or the trace was over.
    pub duration: Duration,
    /// What happened over time, in steps of equal length: at most two thousand of them.
    pub series: Vec<Sample>,
    /// Each time that the number of workers was changed.
    pub scalings: Vec<Scaling>,
}

impl Simulation {
    /// What the resources cost, in resource-seconds: how long they existed, and `price` for every creation.
    #[must_use]
    pub fn cost(&self, price: f64) -> f64 {
        self.resource_seconds + price * self.creations as f64
    }
}

/// A step of the [series](Simulation::series).
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Sample {
    /// When the step begins.
    pub at: Duration,
    /// How long it is. The last one may be shorter.
    pub step: Duration,
    /// Work that came, in Erlang: seconds of service for each second.
    pub demand: f64,
    /// Workers with a resource that stay, on average.
    pub ready: f64,
    /// Workers that make one, on average.
    pub creating: f64,
    /// Workers that wait to try again, on average.
    pub failing: f64,
    /// Workers that destroy their resource, on average.
    pub leaving: f64,
    /// The most tasks that waited.
    pub queued: usize,
    /// The longest wait that ended.
    pub wait: Duration,
}

/// A change of the number of workers.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub struct Scaling {
    /// When.
    pub at: Duration,
    /// How many workers there were.
    pub from: usize,
    /// How many there are to be.
    pub to: usize,
    /// Why.
    pub reason: Reason,
}

/// How many workers are in which condition.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Crew {
    pub(super) in_use: usize,
    pub(super) idle: usize,
    pub(super) creating: usize,
    pub(super) failing: usize,
    pub(super) leaving: usize,
}

/// As many steps are kept at most; then two become one.
const STEPS: usize = 2000;

/// Adds up what happens, step by step.
#[derive(Debug)]
pub(super) struct Recorder {
    step: Duration,
    /// The step that is being filled; its averages are sums so far, in seconds.
    filling: Sample,
    now: Duration,
    pub(super) series: Vec<Sample>,
    pub(super) resource_seconds: f64,
}

impl Recorder {
    pub(super) fn new(step: Duration) -> Self {
        let filling = Sample { step, ..Sample::default() };
        Self { step, filling, now: Duration::ZERO, series: Vec::new(), resource_seconds: 0.0 }
    }

    /// Time passes up to `now`, and all the while things are as they are.
    pub(super) fn pass(&mut self, now: Duration, crew: &Crew, queued: usize) {
        loop {
            self.filling.queued = self.filling.queued.max(queued);
            let full = self.filling.at + self.step;
            self.stretch(now.min(full), crew);
            if now < full {
                break;
            }
            self.turn();
        }
    }

    fn stretch(&mut self, until: Duration, crew: &Crew) {
        let seconds = until.saturating_sub(self.now).as_secs_f64();
        let ready = crew.in_use + crew.idle;
        self.resource_seconds += (ready + crew.leaving) as f64 * seconds;
        self.filling.ready += ready as f64 * seconds;
        self.filling.creating += crew.creating as f64 * seconds;
        self.filling.failing += crew.failing as f64 * seconds;
        self.filling.leaving += crew.leaving as f64 * seconds;
        self.now = until;
    }

    /// The step is over.
    fn turn(&mut self) {
        self.series.push(averaged(self.filling));
        if self.series.len() >= STEPS && self.series.len().is_multiple_of(2) {
            self.series = self.series.chunks(2).map(|two| joined(two[0], two[1])).collect();
            self.step *= 2;
        }
        self.filling = Sample { at: self.now, step: self.step, ..Sample::default() };
    }

    pub(super) fn comes(&mut self, service: Duration) {
        self.filling.demand += service.as_secs_f64();
    }

    pub(super) fn waited(&mut self, wait: Duration) {
        self.filling.wait = self.filling.wait.max(wait);
    }

    /// The last step, as long as it has become.
    pub(super) fn close(&mut self) {
        self.filling.step = self.now - self.filling.at;
        if !self.filling.step.is_zero() {
            self.series.push(averaged(self.filling));
        }
    }
}

fn averaged(sums: Sample) -> Sample {
    let seconds = sums.step.as_secs_f64();
    Sample {
        demand: sums.demand / seconds,
        ready: sums.ready / seconds,
        creating: sums.creating / seconds,
        failing: sums.failing / seconds,
        leaving: sums.leaving / seconds,
        ..sums
    }
}

/// Two steps of equal length as one.
fn joined(a: Sample, b: Sample) -> Sample {
    let mean = |a: f64, b: f64| f64::midpoint(a, b);
    Sample {
        at: a.at,
        step: a.step + b.step,
        demand: mean(a.demand, b.demand),
        ready: mean(a.ready, b.ready),
        creating: mean(a.creating, b.creating),
        failing: mean(a.failing, b.failing),
        leaving: mean(a.leaving, b.leaving),
        queued: a.queued.max(b.queued),
        wait: a.wait.max(b.wait),
    }
}

/// Waits in ascending order, read by rank.
#[derive(Debug)]
pub(super) struct Waits(Vec<Duration>);

impl Waits {
    pub(super) fn new(mut waits: Vec<Duration>) -> Self {
        waits.sort_unstable();
        Self(waits)
    }

    /// By the nearest rank; zero if nobody waited.
    pub(super) fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100);
        rank.checked_sub(1).map_or(Duration::ZERO, |rank| self.0[rank])
    }

    pub(super) fn mean(&self) -> Duration {
        let seconds: f64 = self.0.iter().map(Duration::as_secs_f64).sum();
        let mean = seconds / self.0.len().max(1) as f64;
        Duration::try_from_secs_f64(mean).unwrap_or(Duration::ZERO)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn percentiles_are_waits_that_somebody_had() {
        let waits = Waits::new((1..=200).rev().map(ms).collect());
        for (percent, wait) in [(50, ms(100)), (90, ms(180)), (99, ms(198)), (100, ms(200))] {
            assert_eq!(waits.percentile(percent), wait);
        }
        assert_eq!(waits.mean(), Duration::from_micros(100_500));
        let nobody = Waits::new(Vec::new());
        assert_eq!((nobody.percentile(99), nobody.mean()), (Duration::ZERO, Duration::ZERO));
    }

    #[test]
    fn steps_are_averages_and_add_up_to_the_resource_seconds() {
        let mut recorder = Recorder::new(ms(100));
        let two = Crew { in_use: 1, idle: 1, ..Crew::default() };
        let leaving = Crew { in_use: 1, leaving: 1, creating: 4, ..Crew::default() };
        recorder.comes(ms(50));
        recorder.pass(ms(50), &two, 7);
        recorder.waited(ms(30));
        recorder.pass(ms(250), &leaving, 0);
        recorder.close();
        let [first, second, last] = recorder.series[..] else { panic!("{:?}", recorder.series) };
        assert!((first.ready - 1.5).abs() < 1e-9 && (first.creating - 2.0).abs() < 1e-9);
        assert!((first.demand - 0.5).abs() < 1e-9);
        assert_eq!((first.queued, first.wait), (7, ms(30)));
        assert_eq!((second.queued, second.wait, second.at), (0, ms(0), ms(100)));
        assert_eq!((last.at, last.step), (ms(200), ms(50)));
        assert!((recorder.resource_seconds - 0.5).abs() < 1e-9);
    }

    #[test]
    fn the_series_stays_short_however_long_it_goes_on() {
        let mut recorder = Recorder::new(ms(1));
        let one = Crew { idle: 1, ..Crew::default() };
        recorder.pass(Duration::from_secs(1000), &one, 0);
        recorder.close();
        assert!(recorder.series.len() <= STEPS);
        let sum: f64 = recorder.series.iter().map(|s| s.ready * s.step.as_secs_f64()).sum();
        assert!((sum - 1000.0).abs() < 1e-6, "{sum}");
    }
}
