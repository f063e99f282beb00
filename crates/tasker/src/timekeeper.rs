//! The only thread that waits for time: retries, deadlines, timeouts, second tries and scaling ticks.

use std::sync::Arc;

use crate::engine::Engine;
use crate::queue::{Effects, Timetable};
use crate::sync::{Thread, park};

/// Runs until the manager is over. With nothing due it sleeps without a time limit.
pub(crate) fn keep_time<R: 'static, E: Send + 'static>(engine: &Arc<Engine<R, E>>) {
    let me = Thread::current();
    engine.clock.subscribe(&me);
    engine.queue.keep_time(me);
    loop {
        let mut fx = Effects::new();
        let timetable = engine.queue.due(engine.clock.now(), &mut fx);
        if !fx.is_empty() {
            // A callback or an observer may run in here and use up a wake-up that came meanwhile: look
            // again before sleeping.
            engine.perform_aside(fx);
            continue;
        }
        match timetable {
            Timetable::At(at) => engine.clock.park_until(at),
            Timetable::Open => park(),
            Timetable::Over => break,
        }
    }
    engine.let_go_of_parent();
}
