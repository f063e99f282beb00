//! The sums that the report of a finished shutdown has to pass.

use tasker::ShutdownReport;

use super::assert_adds_up;

/// Fails unless every task has ended and every resource is gone.
#[track_caller]
pub(crate) fn assert_complete(report: &ShutdownReport) {
    assert_adds_up(report);
    assert!(report.stragglers.is_empty(), "{report:?}");
    assert_eq!(report.resources_created, report.resources_destroyed, "{report}");
}
