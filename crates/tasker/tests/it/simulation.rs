//! The simulator holds its promises for random traces, whatever a policy plans; 2: a cap is a cap.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use tasker::autoscale::simulate::{Setup, SimulateError, Simulation, Trace, simulate};
use tasker::autoscale::{BreakEven, Fixed, Load, Plan, RateBased, ScalingPolicy};

/// Plans what it was told to, in turn, and looks at every load that it is shown.
#[derive(Debug, Clone)]
struct Wild {
    plans: Vec<usize>,
    next: usize,
}

impl ScalingPolicy for Wild {
    fn plan(&mut self, load: &Load, _now: Instant) -> Plan {
        let there = load.workers() + load.leaving;
        assert!(there <= load.max_worker_count, "above the cap: {load:?}");
        assert!(load.workers() >= load.worker_count, "below the base: {load:?}");
        assert_eq!(load.workers(), load.ready() + load.creating.len() + load.failing);
        assert!(load.idle.is_sorted_by(|a, b| a >= b), "the coldest is the first: {load:?}");
        assert_eq!(load.queued == 0, load.oldest_wait.is_none());
        self.next = (self.next + 1) % self.plans.len();
        Plan::new(self.plans[self.next], "as told")
    }
}

#[derive(Debug, Clone)]
enum Policy {
    Wild(Vec<usize>),
    BreakEven { price: f64, spare: f64 },
    RateBased,
    Fixed(usize),
}

fn play(trace: &Trace, policy: &Policy, setup: &Setup) -> Result<Simulation, SimulateError> {
    match policy {
        Policy::Wild(plans) => simulate(trace, Wild { plans: plans.clone(), next: 0 }, setup),
        Policy::BreakEven { price, spare } => {
            simulate(trace, BreakEven::new().price(*price).spare(*spare), setup)
        }
        Policy::RateBased => simulate(trace, RateBased::new(), setup),
        Policy::Fixed(workers) => simulate(trace, Fixed::new(*workers), setup),
    }
}

fn any_plan() -> impl Strategy<Value = usize> {
    prop_oneof![Just(0), Just(usize::MAX), 0..40_usize, any::<usize>()]
}

fn any_policy(min: usize, max: usize) -> impl Strategy<Value = Policy> {
    prop_oneof![
        4 => prop::collection::vec(any_plan(), 1..12).prop_map(Policy::Wild),
        2 => (0.0..100.0, 0.0..4.0).prop_map(|(price, spare)| Policy::BreakEven { price, spare }),
        1 => Just(Policy::RateBased),
        1 => (min..=max).prop_map(Policy::Fixed),
    ]
}

fn any_trace() -> impl Strategy<Value = Trace> {
    let ms = Duration::from_millis;
    let tasks = prop::collection::vec((0..20_000_u64, 0..800_u64), 0..150);
    let outage = prop::option::of((0..15_000_u64, 1..8_000_u64));
    (tasks, 0.0..0.9, outage, 0..20_usize).prop_map(move |(tasks, failing, outage, nth)| {
        let tasks = tasks.into_iter().map(|(at, service)| (ms(at), ms(service)));
        let trace = Trace::new(tasks).creations_fail(failing).poison(nth);
        match outage {
            Some((from, lasts)) => trace.outage(ms(from)..ms(from + lasts)),
            None => trace,
        }
    })
}

/// A setup with its base and cap, and a policy that may work within them.
fn any_setup() -> impl Strategy<Value = (Setup, usize, usize, Policy)> {
    let limits = (0..6_usize, 0..20_usize).prop_map(|(min, more)| (min, (min + more).max(1)));
    let micros = prop_oneof![Just(0), 1..5_000_u64, 5_000..5_000_000_u64];
    let times = (micros, 0..2_000_u64, 1..500_u64);
    (limits, times, 0..5_u32, any::<u64>()).prop_flat_map(|(limits, times, retries, seed)| {
        let ((min, max), (creation, destruction, interval)) = (limits, times);
        let setup = Setup::new(Duration::from_micros(creation))
            .destruction_time(Duration::from_millis(destruction))
            .interval(Duration::from_millis(interval))
            .worker_count(min)
            .max_worker_count(max)
            .max_retries(retries)
            .seed(seed);
        any_policy(min, max).prop_map(move |policy| (setup.clone(), min, max, policy))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_limits_hold_and_every_task_ends_once_whatever_is_planned(
        trace in any_trace(),
        (setup, min, max, policy) in any_setup(),
    ) {
        let simulation = play(&trace, &policy, &setup).unwrap();
        prop_assert_eq!(simulation.cap_violations, 0);
        prop_assert_eq!(simulation.base_violations, 0);
        prop_assert_eq!(simulation.deserted, 0);
        prop_assert!(simulation.peak <= max);
        prop_assert!(simulation.creations >= min as u64);
        prop_assert_eq!(simulation.done + simulation.failed, trace.arrivals().len() as u64);
        prop_assert!(simulation.failed_creations <= simulation.creations);
        let waits = [
            simulation.wait_p50,
            simulation.wait_p90,
            simulation.wait_p99,
            simulation.wait_max,
        ];
        prop_assert!(waits.is_sorted() && simulation.wait_mean <= simulation.wait_max);
    }

    #[test]
    fn the_series_adds_up_to_the_resource_seconds_and_covers_all_the_time(
        trace in any_trace(),
        (setup, _, max, policy) in any_setup(),
    ) {
        let simulation = play(&trace, &policy, &setup).unwrap();
        let (mut sum, mut end) = (0.0, Duration::ZERO);
        for sample in &simulation.series {
            prop_assert_eq!(sample.at, end);
            end += sample.step;
            sum += (sample.ready + sample.leaving) * sample.step.as_secs_f64();
            let there = sample.ready + sample.creating + sample.failing + sample.leaving;
            prop_assert!(there <= max as f64 + 1e-6);
        }
        prop_assert_eq!(end, simulation.duration);
        prop_assert!((sum - simulation.resource_seconds).abs() < 1e-6 * (1.0 + sum));
        prop_assert!(simulation.duration >= trace.duration());
    }

    #[test]
    fn the_same_trace_policy_and_setup_give_the_same_simulation(
        trace in any_trace(),
        (setup, _, _, policy) in any_setup(),
    ) {
        prop_assert_eq!(play(&trace, &policy, &setup), play(&trace, &policy, &setup));
    }
}

#[test]
fn settings_that_contradict_each_other_are_refused_in_words() {
    let trace = Trace::new([(Duration::ZERO, Duration::from_millis(1))]);
    let setup = || Setup::new(Duration::from_millis(10));
    let second = Duration::from_secs(1);
    let table = [
        (
            trace.clone(),
            setup().worker_count(5).max_worker_count(4),
            "max_worker_count (4) is less",
        ),
        (trace.clone(), setup().worker_count(0).max_worker_count(0), "no task would ever run"),
        (trace.clone(), setup().interval(Duration::ZERO), "is too short"),
        (trace.clone(), Setup::new(Duration::MAX), "nothing longer than a year"),
        (trace.clone().creations_fail(1.0), setup(), "with probability 1"),
        (trace.clone().creations_fail(f64::NAN), setup(), "with probability NaN"),
        (trace.clone().outage(second..second), setup(), "it has to end after it begins"),
        (trace.clone().length(Duration::MAX), setup(), "nothing longer than a year"),
    ];
    for (trace, setup, words) in table {
        let error = simulate(&trace, BreakEven::new(), &setup).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    let error = simulate(&trace, BreakEven::new().price(-1.0), &setup()).unwrap_err();
    assert!(matches!(&error, SimulateError::Policy(text) if text.contains("price(-1)")), "{error}");
}

#[test]
fn a_task_waits_from_its_arrival_to_its_beginning_and_a_poison_one_breaks_four_resources() {
    let ms = Duration::from_millis;
    let setup = Setup::new(ms(500)).worker_count(1).max_worker_count(1);
    let two = Trace::new([(ms(0), ms(100)), (ms(40), ms(100))]);
    let simulation = simulate(&two, Fixed::new(1), &setup).unwrap();
    assert_eq!((simulation.wait_p50, simulation.wait_max), (ms(0), ms(60)));
    assert_eq!((simulation.done, simulation.creations, simulation.duration), (2, 1, ms(200)));

    let poison = Trace::new([(ms(0), ms(100))]).poison(1);
    let simulation = simulate(&poison, Fixed::new(1), &setup).unwrap();
    assert_eq!((simulation.done, simulation.failed, simulation.creations), (0, 1, 5));
    assert_eq!(simulation.wait_max, ms(1500)); // three times for a new resource
}
