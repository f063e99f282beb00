//! Traces by name: the shapes that a policy is judged by, made by chance from a seed.
//!
//! Tasks come as a Poisson process whose rate follows the shape, made by thinning (P. Lewis and G. Shedler,
//! "Simulation of nonhomogeneous Poisson processes by thinning", Naval Research Logistics Quarterly 26,
//! 1979). A demand of so many Erlang keeps so many workers busy.

use std::f64::consts::TAU;
use std::time::Duration;

use fastrand::Rng;

use super::Trace;

/// Seconds that a task takes on average, in every shape.
const SERVICE: f64 = 0.2;

impl Trace {
    /// The names that [`named`](Self::named) knows.
    pub const NAMES: [&'static str; 8] =
        ["steady", "step", "spikes", "sine", "heavy_tail", "failing_creations", "outage", "poison"];

    /// The trace of this name, if there is one.
    #[must_use]
    pub fn named(name: &str, seed: u64) -> Option<Self> {
        Some(match name {
            "steady" => Self::steady(seed),
            "step" => Self::step(seed),
            "spikes" => Self::spikes(seed),
            "sine" => Self::sine(seed),
            "heavy_tail" => Self::heavy_tail(seed),
            "failing_creations" => Self::failing_creations(seed),
            "outage" => Self::outage_of_the_backend(seed),
            "poison" => Self::poisoned(seed),
            _ => return None,
        })
    }

    /// Tasks that come by chance, for `length`, and take exponential times with this mean. The demand in
    /// Erlang is a function of the seconds since the beginning; `peak` is the highest that it gets.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tasker::autoscale::simulate::Trace;
    ///
    /// // The demand climbs from 0 to 10 Erlang within a minute.
    /// let mean = Duration::from_millis(200);
    /// let ramp = Trace::poisson(1, Duration::from_secs(60), mean, 10.0, |t| t / 6.0);
    /// assert!((1300..1700).contains(&ramp.arrivals().len()));
    /// ```
    #[must_use]
    pub fn poisson(
        seed: u64,
        length: Duration,
        mean_service: Duration,
        peak: f64,
        demand: impl Fn(f64) -> f64,
    ) -> Self {
        let mean = mean_service.as_secs_f64();
        shaped(seed, length.as_secs_f64(), mean, peak, demand, |rng| exponential(rng) * mean)
    }

    /// 8 Erlang for 200 s. The first 30 s are [warm-up](Self::warm_up): a pool that begins with its base is
    /// not steady yet, and what such a start is like shows [`step`](Self::step).
    #[must_use]
    pub fn steady(seed: u64) -> Self {
        usual(seed, 200.0, 8.0, |_| 8.0).warm_up(Duration::from_secs(30))
    }

    /// 1 Erlang for 100 s, 18 Erlang for 90 s, 1 Erlang for 100 s.
    #[must_use]
    pub fn step(seed: u64) -> Self {
        usual(seed, 290.0, 18.0, |t| if (100.0..190.0).contains(&t) { 18.0 } else { 1.0 })
    }

    /// 2 Erlang for 300 s, and three times, at seconds 30, 130 and 230, 16 Erlang for 10 s.
    #[must_use]
    pub fn spikes(seed: u64) -> Self {
        usual(seed, 300.0, 16.0, |t| if (30.0..40.0).contains(&(t % 100.0)) { 16.0 } else { 2.0 })
    }

    /// From 1 to 17 Erlang and back, twice, in 400 s, as a sine that begins at its lowest.
    #[must_use]
    pub fn sine(seed: u64) -> Self {
        usual(seed, 400.0, 17.0, |t| 9.0 - 8.0 * (TAU * t / 200.0).cos())
    }

    /// The [steady](Self::steady) load, of tasks most of which are short: a Pareto distribution of shape 1.8,
    /// whose longest tasks make up a good part of the work (its variance is infinite). They are cut to 60 s.
    #[must_use]
    pub fn heavy_tail(seed: u64) -> Self {
        const SHAPE: f64 = 1.8;
        let least = SERVICE * (SHAPE - 1.0) / SHAPE;
        let pareto = |rng: &mut Rng| (least * (1.0 - rng.f64()).powf(-1.0 / SHAPE)).min(60.0);
        shaped(seed, 200.0, SERVICE, 8.0, |_| 8.0, pareto).warm_up(Duration::from_secs(30))
    }

    /// The [step](Self::step) with half of all creations failing.
    #[must_use]
    pub fn failing_creations(seed: u64) -> Self {
        Self::step(seed).creations_fail(0.5)
    }

    /// The [steady](Self::steady) load with a backend that is down from second 80 to second 110.
    #[must_use]
    pub fn outage_of_the_backend(seed: u64) -> Self {
        Self::steady(seed).outage(Duration::from_secs(80)..Duration::from_secs(110))
    }

    /// The [steady](Self::steady) load with one task in 200 breaking every resource that it touches.
    #[must_use]
    pub fn poisoned(seed: u64) -> Self {
        Self::steady(seed).poison(200)
    }
}

fn usual(seed: u64, length: f64, peak: f64, demand: impl Fn(f64) -> f64) -> Trace {
    shaped(seed, length, SERVICE, peak, demand, |rng| exponential(rng) * SERVICE)
}

/// With mean 1.
fn exponential(rng: &mut Rng) -> f64 {
    -(1.0 - rng.f64()).ln()
}

fn shaped(
    seed: u64,
    length: f64,
    mean: f64,
    peak: f64,
    demand: impl Fn(f64) -> f64,
    service: impl Fn(&mut Rng) -> f64,
) -> Trace {
    let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::ZERO);
    let mut rng = Rng::with_seed(seed);
    let mut tasks = Vec::new();
    let mut at = 0.0;
    loop {
        at += exponential(&mut rng) * mean / peak;
        // Written so that not-a-number ends it: a peak or a mean of zero makes no tasks.
        if !(at < length && peak > 0.0 && mean > 0.0) {
            break;
        }
        if rng.f64() * peak < demand(at) {
            tasks.push((seconds(at), seconds(service(&mut rng))));
        }
    }
    Trace::new(tasks).length(seconds(length))
}
