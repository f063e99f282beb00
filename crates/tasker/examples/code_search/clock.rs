//! The one place that asks for the time.

use std::time::Instant;

#[expect(
    clippy::disallowed_methods,
    reason = "an example has no access to the library's clock, and times itself"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}
