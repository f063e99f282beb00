//! A scaling policy in the hands of a test.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tasker::autoscale::{Load, Plan, ScalingPolicy};
use tasker::testing::ManualClock;

use super::{LIMIT, eventually};

type Saying = Arc<dyn Fn(&Load) -> Plan + Send + Sync>;

/// A policy that plans what the test says at the time, and counts how often it was asked.
#[derive(Clone)]
pub(crate) struct Puppet(Arc<(Mutex<Strings>, Condvar)>);

struct Strings {
    say: Saying,
    asked: usize,
    /// When it was asked last, and what it was shown.
    last: Option<(Instant, Load)>,
}

impl Puppet {
    pub(crate) fn new() -> Self {
        let say: Saying = Arc::new(|load| Plan::hold(load, "nothing is to change"));
        Self(Arc::new((Mutex::new(Strings { say, asked: 0, last: None }), Condvar::new())))
    }

    pub(crate) fn say(&self, say: impl Fn(&Load) -> Plan + Send + Sync + 'static) {
        self.lock().say = Arc::new(say);
    }

    pub(crate) fn say_workers(&self, workers: usize) {
        self.say(move |_| Plan::new(workers, format!("{workers} are wanted")));
    }

    pub(crate) fn hold(&self) {
        self.say(|load| Plan::hold(load, "nothing is to change"));
    }

    pub(crate) fn asked(&self) -> usize {
        self.lock().asked
    }

    /// Blocks until the policy has been asked so often.
    pub(crate) fn await_asked(&self, times: usize) {
        let waited = self.0.1.wait_timeout_while(self.lock(), LIMIT, |it| it.asked < times);
        let (strings, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let asked = strings.asked;
        drop(strings);
        assert!(asked >= times, "asked {asked} times, not {times}, in {LIMIT:?}");
    }

    /// Moves the clock on by an interval and blocks until the policy was asked for it. Only while nobody comes
    /// or goes.
    pub(crate) fn tick(&self, clock: &ManualClock, interval: Duration) {
        let before = self.asked();
        clock.advance(interval);
        self.await_asked(before + 1);
    }

    /// What it was shown last.
    pub(crate) fn last(&self) -> Load {
        self.lock().last.as_ref().map(|(_, load)| load.clone()).expect("it was asked")
    }

    /// Moves the clock on, and blocks until the policy was asked and its answer carried out. `interval` is the
    /// manager's.
    pub(crate) fn advance(&self, clock: &ManualClock, step: Duration, interval: Duration) {
        for step in [step, interval] {
            clock.advance(step); // the second look comes after the plan of the first one
            let now = clock.now();
            eventually("the policy is asked", || {
                self.lock().last.as_ref().is_some_and(|(at, _)| *at == now)
            });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Strings> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ScalingPolicy for Puppet {
    fn plan(&mut self, load: &Load, now: Instant) -> Plan {
        let say = {
            let mut strings = self.lock();
            strings.asked += 1;
            strings.last = Some((now, load.clone()));
            Arc::clone(&strings.say)
        };
        self.0.1.notify_all();
        say(load) // without the lock: it may panic or call anybody
    }
}
