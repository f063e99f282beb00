//! What happens to a manager while it works: it is resized, paused, watched, and its backend goes down.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fastrand::Rng;
use tasker::{AsyncTaskManager, ResizeError, TaskManager};

use crate::plan::Plan;
use crate::stock::{Fault, Resource, Stock};

/// What both kinds of managers let one do to them.
pub(crate) trait Subject {
    fn resize(&self, workers: usize, most: usize) -> Result<(), ResizeError>;
    fn pause(&self);
    fn resume(&self);
    /// Reads everything that can be read; returns how much text that was.
    fn watch(&self) -> usize;
}

macro_rules! subject {
    ($manager:ty) => {
        impl Subject for $manager {
            fn resize(&self, workers: usize, most: usize) -> Result<(), ResizeError> {
                self.resize(workers, most)
            }
            fn pause(&self) {
                self.pause();
            }
            fn resume(&self) {
                self.resume();
            }
            fn watch(&self) -> usize {
                let texts: [&dyn fmt::Debug; 4] =
                    [&self.stats(), &self.metrics(), &self.phase(), &self.explain().to_string()];
                texts.iter().map(|text| format!("{text:?}").len()).sum()
            }
        }
    };
}

subject!(TaskManager<Resource, Fault>);
subject!(AsyncTaskManager<Resource, Fault>);

/// Somebody who cannot leave a manager alone.
pub(crate) struct Meddler {
    chance: Rng,
    most: usize,
    stock: Arc<Stock>,
    paused: bool,
}

impl Meddler {
    pub(crate) fn new(plan: &Plan, stock: &Arc<Stock>) -> Self {
        let chance = Rng::with_seed(plan.seed ^ 0x6D65_6464);
        Self { chance, most: plan.most, stock: Arc::clone(stock), paused: false }
    }

    /// Does one thing, or ends what is not to last; returns how long to wait before the next.
    pub(crate) fn act(&mut self, manager: &dyn Subject) -> Duration {
        self.leave(manager);
        match self.chance.u32(0..100) {
            0..35 => {
                let most = self.chance.usize(1..=self.most);
                // Refused once the shutdown has begun, which is nobody's fault.
                let _ = manager.resize(self.chance.usize(1..=most), most);
            }
            35..45 => {
                manager.pause();
                self.paused = true;
            }
            45..50 => self.stock.down.store(true, Ordering::Relaxed),
            50..60 => {
                manager.watch();
            }
            _ => {}
        }
        Duration::from_micros(self.chance.u64(100..3_000))
    }

    /// Ends what is not to last. A manager that is paused, and whose last clones are in its own queue, would
    /// keep itself alive for ever.
    pub(crate) fn leave(&mut self, manager: &dyn Subject) {
        self.stock.down.store(false, Ordering::Relaxed);
        if std::mem::take(&mut self.paused) {
            manager.resume();
        }
    }
}
