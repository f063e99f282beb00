//! DECISION: as many workers as the demand needs, more while a new one would still find work, and none
//! that has been idle for as long as another one costs.

use std::time::{Duration, Instant};

use super::{Load, Plan, Reason, ScalingPolicy};

/// The default policy: grows while a new worker would still find work, and keeps an idle one for as long
/// as another one would cost.
///
/// It couples the size of the pool with what a resource costs to make. Where resources are almost free it
/// follows the load within milliseconds; where one takes a minute it does not start it for a burst that is
/// over by then, and does not throw it away at the first calm. It works within the limits of the manager
/// and remembers nothing: what it plans follows from the [`Load`] alone.
///
/// # The rule
///
/// With `λ` arrivals per second and a mean service time of `S` seconds, the tasks keep `a = λ·S` workers
/// busy on average (J. Little, "A proof for the queuing formula L = λW", Operations Research 9, 1961). That
/// is measured twice: `a_fast` over half a creation time, `a_slow` over the time for which an idle worker is
/// kept. A creation takes `T_c` seconds.
///
/// - **Demand**: `base = a_slow + β·√a_slow`. Spare workers in proportion to the square root keep the share
///   of tasks that wait the same at every size (S. Halfin and W. Whitt, "Heavy-traffic limits for queues
///   with many exponential servers", Operations Research 29, 1981; S. Borst, A. Mandelbaum and M. Reiman,
///   "Dimensioning large call centers", Operations Research 52, 2004).
/// - **Surge**: while tasks wait, `surge = a_fast + β·√a_fast + max(0, left)/T_drain`. With `Q` tasks queued
///   and `R` workers that have a resource, `left = Q·S + (a_fast − R)·T_c − Σ max(0, T_c − remaining)` is the
///   work in seconds that still waits when a worker that is begun now is ready; the sum is over the
///   creations under way. There are to be as many workers as the larger of the two says.
/// - **Idle**: the coldest worker is dismissed once it has been idle for `τ = K` seconds, where `K` is the
///   price of a creation in resource-seconds: it has then cost as much as another one. That is at most
///   twice what would have been paid with the future known, and no rule without chance does better
///   (A. Karlin, M. Manasse, L. Rudolph and D. Sleator, "Competitive snoopy caching", Algorithmica 3, 1988).
///   Nobody is dismissed while work would be left, nor below the demand. Idle workers are kept for half a
///   second at least, however cheap they are, so that nothing flickers.
///
/// # When not to use it
///
/// It cannot foresee. Who comes first when the load rises waits about as long as a creation takes; with
/// [`min_idle`](crate::Config::min_idle) or a larger [`worker_count`](crate::Config::worker_count) they do
/// not. Where every worker is paid for anyway, [`Fixed`](super::Fixed) is simpler.
///
/// ```
/// use std::time::Duration;
/// use tasker::autoscale::BreakEven;
/// use tasker::autoscale::simulate::{Setup, Trace, simulate};
///
/// let setup = Setup::new(Duration::from_secs(2)).worker_count(2).max_worker_count(32);
/// let trace = Trace::spikes(1);
///
/// // Whoever prices creations higher keeps workers longer and makes fewer.
/// let usual = simulate(&trace, BreakEven::new(), &setup)?;
/// let dear = simulate(&trace, BreakEven::new().price(120.0), &setup)?;
/// assert!(dear.creations < usual.creations);
///
/// println!("{}", usual.scalings[0].reason); // 3 queued, 87 ms each, 14.3/s more; a new worker takes 2 s
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct BreakEven {
    price: Option<f64>,
    spare: f64,
    drain_time: Option<Duration>,
}

/// An idle worker is kept so long whatever it costs: shorter than that is no calm but a gap.
const LEAST_IDLE: Duration = Duration::from_millis(500);

/// Arrivals are counted over so long at least: a few steps of the history, so that chance does not decide.
const LEAST_WINDOW: Duration = Duration::from_millis(300);

/// A backlog is not drained faster than the policy is asked.
const LEAST_DRAIN: Duration = Duration::from_millis(100);

impl BreakEven {
    /// With the defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self { price: None, spare: 1.0, drain_time: None }
    }

    /// What a creation costs, in resource-seconds: for how long a resource can exist for the same price. An
    /// idle worker is kept for as many seconds. Default: 10 times the creation time, because making a
    /// resource burdens both sides more than having it.
    #[must_use]
    pub const fn price(mut self, resource_seconds: f64) -> Self {
        self.price = Some(resource_seconds);
        self
    }

    /// `β`, how many workers to have beyond those that are busy, as a multiple of the square root of their
    /// number. Default: 1, because then about one task in five waits, and that briefly; 2 makes it one in
    /// thirty, and zero lets the queue do the levelling.
    #[must_use]
    pub const fn spare(mut self, beta: f64) -> Self {
        self.spare = beta;
        self
    }

    /// Within which time a backlog is to be gone once the new workers are there. Shorter means more of them.
    /// Default: twice the creation time, because then a worker is not made for less work than its creation
    /// takes.
    #[must_use]
    pub const fn drain_time(mut self, drain_time: Duration) -> Self {
        self.drain_time = Some(drain_time);
        self
    }

    /// How long an idle worker is kept.
    fn keeps_idle(&self, creation_time: f64) -> Duration {
        let price = self.price.unwrap_or(10.0 * creation_time);
        Duration::try_from_secs_f64(price).unwrap_or(Duration::MAX).max(LEAST_IDLE)
    }
}

impl Default for BreakEven {
    fn default() -> Self {
        Self::new()
    }
}

impl ScalingPolicy for BreakEven {
    fn plan(&mut self, load: &Load, _now: Instant) -> Plan {
        let Self { spare: beta, drain_time, .. } = *self;
        let horizon = load.creation_time.as_secs_f64();
        let limit = self.keeps_idle(horizon);
        let window = (load.creation_time / 2).max(LEAST_WINDOW);

        let service_time = load.service_time(limit);
        let service = service_time.as_secs_f64();
        let arrival_rate = rate(load, window);
        let fast = arrival_rate * service;
        let slow = rate(load, limit) * service;
        let base = whole(slow + beta * slow.sqrt());

        let left = left_over(load, service, fast);
        let surging = load.queued > 0 && left > 0.0;
        if load.queued > 0 {
            let drain_time = drain_time.unwrap_or(load.creation_time.saturating_mul(2));
            let drainers = left.max(0.0) / drain_time.max(LEAST_DRAIN).as_secs_f64();
            let surge = whole(fast + beta * fast.sqrt() + drainers);
            if surge > load.workers().max(base) {
                let (queued, creation_time) = (load.queued, load.creation_time);
                let reason = Reason::Surge { queued, service_time, arrival_rate, creation_time };
                return Plan::new(surge, reason).within(load);
            }
        }
        if base > load.workers() {
            let reason = Reason::Demand { erlangs: slow, spare: beta * slow.sqrt() };
            return Plan::new(base, reason).within(load);
        }
        let cold = load.idle.iter().take_while(|idle| **idle >= limit).count();
        let fewer = (load.workers() - cold).max(base).max(load.worker_count);
        match load.idle.first() {
            Some(idle_for) if !surging && fewer < load.workers() => {
                Plan::new(fewer, Reason::Idle { idle_for: *idle_for, limit })
            }
            _ => Plan::hold(load, Reason::Enough { erlangs: fast, queued: load.queued }),
        }
    }

    fn check(&self, _worker_count: usize, _max_worker_count: usize) -> Result<(), String> {
        let Self { price, spare, drain_time } = *self;
        for (knob, value, unit) in [
            ("price", price.unwrap_or(0.0), "a number of resource-seconds"),
            ("spare", spare, "a multiple of the square root of the busy workers"),
        ] {
            if !(value.is_finite() && value >= 0.0) {
                return Err(format!(
                    "BreakEven::{knob}({value}): {knob} is {unit}, finite and not negative"
                ));
            }
        }
        if drain_time.is_some_and(|time| time.is_zero()) {
            return Err("BreakEven::drain_time(0): no backlog is gone within no time".to_owned());
        }
        Ok(())
    }
}

/// Arrivals per second over the last while. A manager that is younger than [`LEAST_WINDOW`] counts as that
/// old: nothing came before, and a rate over a few milliseconds says nothing.
fn rate(load: &Load, over: Duration) -> f64 {
    let (seen, least) = (load.seen(over), LEAST_WINDOW.min(over));
    let share = (seen.as_secs_f64() / least.as_secs_f64()).min(1.0);
    load.arrival_rate(over) * share
}

/// Seconds of work that would still wait when a worker that is begun now is ready.
fn left_over(load: &Load, service: f64, erlangs: f64) -> f64 {
    let horizon = load.creation_time.as_secs_f64();
    let under_way = load.creating.iter().map(|left| (horizon - left.as_secs_f64()).max(0.0));
    load.queued as f64 * service + (erlangs - load.ready() as f64) * horizon
        - under_way.sum::<f64>()
}

/// Rounded up to whole workers. A billionth of one is an error of the arithmetic and no worker.
fn whole(workers: f64) -> usize {
    (workers - 1e-9).ceil().max(0.0) as usize // saturates; not-a-number becomes zero
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::autoscale::Gauge;
    use crate::clock::real_now;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// `rate` tasks a second for the last 50 s, each of which took `service`.
    fn load(rate: u64, service: Duration) -> Load {
        let start = real_now();
        let mut gauge = Gauge::new(start);
        for n in 0..rate * 50 {
            let at = start + Duration::from_secs(n) / u32::try_from(rate).unwrap();
            gauge.arrived(at);
            gauge.attempted(service, at);
        }
        let history = gauge.history([].into_iter(), start + ms(50_000));
        Load {
            worker_count: 2,
            max_worker_count: 32,
            interval: ms(100),
            creation_time: ms(2000),
            history,
            ..Load::default()
        }
    }

    fn plan(load: &Load) -> Plan {
        BreakEven::new().plan(load, real_now())
    }

    /// 8 Erlang: 40 tasks a second of 200 ms each.
    fn eight() -> Load {
        load(40, ms(200))
    }

    #[test]
    fn the_demand_is_what_is_busy_and_its_square_root() {
        // 8 + √8 = 10.8
        let calm = Load { in_use: 8, ..eight() };
        let plan = plan(&calm);
        assert_eq!(plan.workers, 11);
        let words = "the tasks keep 8.0 workers busy, and 2.8 more keep waits short";
        assert_eq!(plan.reason.to_string(), words);
        let table = [(0.0, 8), (1.0, 11), (2.0, 14)];
        for (beta, workers) in table {
            assert_eq!(BreakEven::new().spare(beta).plan(&calm, real_now()).workers, workers);
        }
    }

    #[test]
    fn a_surge_hires_for_the_work_that_is_left_when_the_new_ones_are_ready() {
        // left = 20·0.2 + (8 − 8)·2 = 4 s of work, drained within 4 s by one more: 8 + 2.8 + 1
        let queued = Load { queued: 20, in_use: 8, ..eight() };
        assert_eq!(plan(&queued).workers, 12);
        let words = "20 queued, 200 ms each, 40.0/s more; a new worker takes 2 s";
        assert_eq!(plan(&queued).reason.to_string(), words);
        // left = 20·0.2 + (8 − 2)·2 = 16: 8 + 2.8 + 4
        let few = Load { in_use: 2, ..queued.clone() };
        assert_eq!(plan(&few).workers, 15);
        // drained within a second: 8 + 2.8 + 16
        let quick = BreakEven::new().drain_time(ms(1000)).plan(&few, real_now());
        assert_eq!(quick.workers, 27);
    }

    #[test]
    fn creations_under_way_count_for_the_time_that_they_will_have_worked() {
        let queued = Load { queued: 20, in_use: 8, ..eight() };
        // Three that are ready at once do 6 s of work until a fourth would be: 4 − 6 leaves none.
        let soon = Load { creating: vec![ms(0); 3], ..queued.clone() };
        assert_eq!(plan(&soon).workers, 11);
        assert!(matches!(plan(&soon).reason, Reason::Enough { .. }));
        // Three that are ready in a second do 3 s of it: 1 s is left.
        let halfway = Load { creating: vec![ms(1000); 3], ..queued.clone() };
        assert_eq!(plan(&halfway).workers, 12);
        // Three that have just begun do none: 4 s are left, and the demand is 12 as before.
        let late = Load { creating: vec![ms(2000); 3], ..queued };
        assert_eq!(plan(&late).workers, 12);
    }

    #[test]
    fn a_short_queue_hires_nobody_whom_it_would_not_keep_busy() {
        let queued = Load { queued: 20, in_use: 11, ..eight() }; // gone within 1.4 s, and a creation takes 2
        assert_eq!(plan(&queued).workers, 11);
    }

    #[test]
    fn the_coldest_go_once_they_have_been_idle_for_the_price_of_another() {
        let idle = |seconds: &[u64]| Load {
            in_use: 8,
            idle: seconds.iter().copied().map(Duration::from_secs).collect(),
            ..eight()
        };
        let table: [(&[u64], usize); 5] = [
            (&[19, 1, 1, 1, 0], 13),
            (&[20, 1, 1, 1, 0], 12),
            (&[90, 20, 19, 0, 0], 11),
            (&[90, 90, 90, 90, 90], 11), // not below the demand
            (&[90], 11),                 // which grows here instead
        ];
        for (seconds, workers) in table {
            assert_eq!(plan(&idle(seconds)).workers, workers, "{seconds:?}");
        }
        assert!(matches!(plan(&idle(&[19, 1, 1, 1, 0])).reason, Reason::Enough { .. }));
        let words = "a worker has been idle for 90 s, and 20 s is the limit";
        assert_eq!(plan(&idle(&[90, 90, 90, 90])).reason.to_string(), words);
        let dear = BreakEven::new().price(100.0).plan(&idle(&[90, 90, 90, 90]), real_now());
        assert_eq!(dear.workers, 12);
        let calm =
            Load { in_use: 0, idle: vec![ms(90_000); 5], history: <_>::default(), ..eight() };
        assert_eq!(plan(&calm).workers, 2); // the base stays
    }

    #[test]
    fn nobody_goes_during_a_surge() {
        // Counted at one moment, tasks can wait while somebody is idle: it is on its way to them.
        let idle = vec![ms(90_000); 8];
        let surging = Load { queued: 500, in_use: 20, idle, ..eight() };
        assert_eq!(plan(&surging).workers, 28);
        let drained = Load { queued: 0, ..surging };
        assert_eq!(plan(&drained).workers, 20);
    }

    #[test]
    fn tasks_that_those_at_work_will_see_to_are_no_surge() {
        let cold = |count| vec![ms(90_000); count];
        let few = Load { queued: 1, in_use: 8, idle: cold(5), ..eight() };
        assert_eq!(plan(&few).workers, 11);
        // Nothing costs any time: no work is left whatever waits.
        let free = Load { creation_time: ms(0), ..load(40, ms(0)) };
        assert_eq!(plan(&Load { queued: 1, idle: cold(4), ..free }).workers, 2);
    }

    #[test]
    fn what_comes_fast_and_does_not_wait_is_no_surge() {
        let start = real_now();
        let mut gauge = Gauge::new(start);
        for n in 0..40 {
            let at = start + ms(49_000 + 25 * n);
            gauge.arrived(at);
            gauge.attempted(ms(200), at);
        }
        let history = gauge.history([].into_iter(), start + ms(50_000));
        // 8 Erlang in the last second, 0.4 over the time for which a worker is kept.
        let sudden = Load { idle: vec![ms(90_000); 4], history, ..eight() };
        assert_eq!(plan(&sudden).workers, 2);
    }

    #[test]
    fn almost_free_resources_are_made_at_once_and_still_kept_for_half_a_second() {
        for creation_time in [Duration::ZERO, Duration::from_micros(50)] {
            let free = Load { creation_time, in_use: 2, ..load(50, ms(20)) };
            assert_eq!(plan(&Load { queued: 40, ..free.clone() }).workers, 10); // 1 + 1 + 0.8 s / 0.1 s
            let idle = vec![ms(600), ms(499)];
            assert_eq!(plan(&Load { idle, ..free }).workers, 3);
        }
    }

    #[test]
    fn slow_resources_are_not_made_for_a_burst_that_is_over_before_they_are_ready() {
        let slow = Load { creation_time: ms(60_000), in_use: 11, ..eight() };
        assert_eq!(plan(&Load { queued: 800, ..slow.clone() }).workers, 11); // 160 s of work, 180 s of spare
        assert_eq!(plan(&Load { queued: 2000, ..slow.clone() }).workers, 13); // 220 s left, within 120 s
        let idle = vec![ms(599_000), ms(1000), ms(0)];
        assert_eq!(plan(&Load { idle, ..slow }).workers, 14);
    }

    #[test]
    fn before_anything_is_known_it_holds() {
        let young = Load { queued: 100, creating: vec![Duration::ZERO; 2], ..Load::default() };
        assert_eq!(plan(&young).workers, 2);
    }

    #[test]
    fn extreme_numbers_do_not_overflow() {
        let vast = Load { queued: usize::MAX, creation_time: Duration::MAX, ..eight() };
        assert!(plan(&vast).workers >= 11);
        let dear = BreakEven::new().price(f64::MAX).spare(f64::MAX).plan(&vast, real_now());
        assert_eq!(dear.workers, 32); // as many as there may be
    }

    #[test]
    fn wrong_knobs_are_refused_with_their_names() {
        let new = BreakEven::new;
        let table = [
            (new(), None),
            (new().price(0.0).spare(0.0).drain_time(ms(1)), None),
            (new().price(f64::NAN), Some("BreakEven::price(NaN)")),
            (new().price(-1.0), Some("BreakEven::price(-1)")),
            (new().price(f64::INFINITY), Some("BreakEven::price(inf)")),
            (new().spare(-0.5), Some("BreakEven::spare(-0.5)")),
            (new().spare(f64::NAN), Some("BreakEven::spare(NaN)")),
            (new().drain_time(Duration::ZERO), Some("BreakEven::drain_time(0)")),
        ];
        for (policy, expected) in table {
            let text = policy.check(2, 32).err();
            match (&text, expected) {
                (None, None) => {}
                (Some(text), Some(words)) => assert!(text.starts_with(words), "{text}"),
                _ => panic!("{policy:?}: {text:?}"),
            }
        }
    }
}
