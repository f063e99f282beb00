//! The only thread that waits for time: retries, deadlines, timeouts, second tries and scaling ticks.

use std::sync::Arc;

use crate::autoscale::ScalingPolicy;
use crate::engine::Engine;
use crate::queue::Timetable;
use crate::sync::{Thread, Waiter, park};
use crate::worker::attempt::discard_for;

/// Runs until the manager is over. With nothing due it sleeps without a time limit. The scaling policy
/// is this thread's own, so that it needs no lock and is asked by nobody else.
#[expect(clippy::needless_pass_by_value, reason = "it is the thread's own hold of the manager")]
pub(crate) fn keep_time<R: 'static, E: Send + 'static>(
    engine: Arc<Engine<R, E>>,
    mut policy: Box<dyn ScalingPolicy>,
) {
    let me = Thread::current();
    engine.clock.subscribe(&me);
    engine.queue.keep_time(Waiter::Thread(me));
    let mut warned = None;
    loop {
        let Some(timetable) = engine.do_what_is_due(&mut *policy, &mut warned) else { continue };
        match timetable {
            Timetable::At(at) => engine.clock.park_until(at),
            Timetable::Open => park(),
            Timetable::Over => break,
        }
    }
    discard_for(engine.identity(), policy);
    engine.let_go_of_parent();
}
