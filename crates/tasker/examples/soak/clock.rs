//! The one place that asks for the time, and lets it pass.

use std::thread;
use std::time::{Duration, Instant};

#[expect(
    clippy::disallowed_methods,
    reason = "an example has no access to the library's clock, and times itself"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the soak is meant to be at work for random times; nothing it claims depends on them"
)]
pub(crate) fn nap(time: Duration) {
    thread::sleep(time);
}
