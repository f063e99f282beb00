//! DECISION: as many workers as the demand needs, more while a new one would still find work, and none
//! that has been idle for as long as another one costs.

use std::time::{Duration, Instant};

use super::{Load, Plan, Reason, ScalingPolicy};

/// The default policy.
#[derive(Debug, Clone)]
pub struct BreakEven {
    price: Option<f64>,
    spare: f64,
}

impl BreakEven {
    /// With the defaults.
    #[must_use]
    pub fn new() -> Self {
        Self { price: None, spare: 1.0 }
    }
}

impl BreakEven {
    /// K
    #[must_use]
    pub fn price(mut self, k: f64) -> Self {
        self.price = Some(k);
        self
    }
}

impl Default for BreakEven {
    fn default() -> Self {
        Self::new()
    }
}

impl ScalingPolicy for BreakEven {
    fn plan(&mut self, load: &Load, _now: Instant) -> Plan {
        let horizon = load.creation_time.as_secs_f64();
        let short = load.creation_time.max(Duration::from_millis(200));
        let long = short.saturating_mul(10);
        let service = load.service_time(long).as_secs_f64();
        let fast = load.arrival_rate(short) * service;
        let coming: f64 =
            load.creating.iter().map(|left| (horizon - left.as_secs_f64()).max(0.0)).sum();
        let ready = load.ready() as f64;
        let left = load.queued as f64 * service + (fast - ready) * horizon - coming;
        if left > 0.0 && load.queued > 0 {
            let surge = fast + self.spare * fast.sqrt() + left / horizon.max(0.1);
            let reason = Reason::Surge {
                queued: load.queued,
                service_time: Duration::try_from_secs_f64(service).unwrap_or(Duration::MAX),
                arrival_rate: load.arrival_rate(short),
                creation_time: load.creation_time,
            };
            return Plan::new((surge.ceil() as usize).max(load.workers()), reason);
        }
        let limit =
            Duration::from_secs_f64(self.price.unwrap_or(10.0 * horizon)).max(load.interval * 5);
        let cold = load.idle.iter().filter(|idle| **idle >= limit).count();
        if cold > 0 && load.queued == 0 {
            let idle_for = load.idle[0];
            return Plan::new(load.workers() - cold, Reason::Idle { idle_for, limit });
        }
        Plan::hold(load, Reason::Enough { erlangs: fast, queued: load.queued })
    }
}
