//! Rules that other pools scale by, as policies: their manner in few lines, not their code.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tasker::autoscale::{Load, Plan, ScalingPolicy};

/// As Knative's autoscaler: a worker for each task there is, on average over a stable window of 60 s; and
/// over a panic window of 6 s while that asks for twice what there is, and for 60 s after, never fewer.
#[derive(Debug, Default)]
pub(crate) struct StableAndPanic {
    seen: VecDeque<(Instant, f64)>,
    panics_until: Option<Instant>,
    most_in_panic: usize,
}

const STABLE: Duration = Duration::from_secs(60);
const PANIC: Duration = Duration::from_secs(6);
/// How much of a worker is to be busy: Knative's default target utilization.
const UTILIZATION: f64 = 0.7;

impl StableAndPanic {
    fn mean(&self, over: Duration, now: Instant) -> f64 {
        let within = self.seen.iter().rev().take_while(|(at, _)| now.duration_since(*at) <= over);
        let (sum, count) = within.fold((0.0, 0.0), |(sum, n), (_, tasks)| (sum + tasks, n + 1.0));
        if count > 0.0 { sum / count } else { 0.0 }
    }
}

impl ScalingPolicy for StableAndPanic {
    fn plan(&mut self, load: &Load, now: Instant) -> Plan {
        self.seen.push_back((now, (load.in_use + load.queued) as f64));
        while self.seen.front().is_some_and(|(at, _)| now.duration_since(*at) > STABLE) {
            self.seen.pop_front();
        }
        let stable = (self.mean(STABLE, now) / UTILIZATION).ceil() as usize;
        let panic = (self.mean(PANIC, now) / UTILIZATION).ceil() as usize;
        if panic >= 2 * load.ready().max(1) {
            self.panics_until = Some(now + STABLE);
        }
        if self.panics_until.is_some_and(|until| now < until) {
            self.most_in_panic = self.most_in_panic.max(panic).max(load.ready());
            return Plan::new(self.most_in_panic, "in panic");
        }
        self.most_in_panic = 0;
        Plan::new(stable, "stable")
    }
}

/// As Celery's autoscaler: once a second, as many workers as there are tasks; whoever is idle then goes.
#[derive(Debug, Default)]
pub(crate) struct QueueFollower {
    last: Option<Instant>,
}

const SECOND: Duration = Duration::from_secs(1);

impl ScalingPolicy for QueueFollower {
    fn plan(&mut self, load: &Load, now: Instant) -> Plan {
        if self.last.is_some_and(|last| now.duration_since(last) < SECOND) {
            return Plan::hold(load, "not yet");
        }
        self.last = Some(now);
        Plan::new(load.in_use + load.queued, "as many as there are tasks")
    }
}

/// As HikariCP's pool: while somebody waits a resource is made, one at a time; it goes when it was idle long.
#[derive(Debug)]
pub(crate) struct SerialAdder {
    pub(crate) keep_idle: Duration,
}

impl ScalingPolicy for SerialAdder {
    fn plan(&mut self, load: &Load, _now: Instant) -> Plan {
        if load.queued > 0 && load.creating.is_empty() {
            return Plan::new(load.workers() + 1, "somebody waits");
        }
        without_the_cold(load, self.keep_idle)
    }
}

/// As a Java thread pool that hands over directly: a worker for every task that finds nobody idle, which
/// goes when it was idle long.
#[derive(Debug)]
pub(crate) struct HandOff {
    pub(crate) keep_idle: Duration,
}

impl ScalingPolicy for HandOff {
    fn plan(&mut self, load: &Load, _now: Instant) -> Plan {
        if load.queued > 0 {
            return Plan::new(
                load.ready() + load.queued.max(load.creating.len()),
                "one for each task",
            );
        }
        without_the_cold(load, self.keep_idle)
    }
}

fn without_the_cold(load: &Load, keep_idle: Duration) -> Plan {
    let cold = load.idle.iter().filter(|idle| **idle >= keep_idle).count();
    Plan::new(load.workers() - cold, "idle for long")
}
