//! Whether a report tells what the callers heard.

use tasker::ShutdownReport;

use crate::ledger::{Count, Counts, Ledger, Rule};
use crate::plan::Plan;

/// Compares a manager's report with what was counted during its generation.
///
/// Most numbers have to be equal. There is room where a caller cannot know: an outcome that nobody heard
/// may be any but `Ok`; where the queue has a capacity, a task that was cancelled, expired or dropped may
/// have been waiting outside, and one that ended as `QueueFull` may have been evicted or refused.
pub(crate) fn judge(plan: &Plan, report: &ShutdownReport, heard: &Counts, ledger: &Ledger) {
    ledger.add(Count::Reports);
    let fail = |rule, what: String| ledger.broke(rule, || format!("{plan}: {what}: {report}"));
    let ShutdownReport { accepted, completed, failed, cancelled, dropped, .. } = *report;
    let running = report.stragglers.len() as u64;
    ledger.add_many(Count::Stragglers, running);
    if accepted != completed + failed + cancelled + dropped + running {
        fail(Rule::Reports, "it does not add up".to_owned());
    }
    let outside = plan.capacity.is_some();
    let unheard = heard.unheard();
    let [maybe_cancelled, maybe_expired] =
        [Count::Cancelled, Count::Expired].map(|count| if outside { heard[count] } else { 0 });
    let gone = heard[Count::Killed] + heard[Count::Expired];
    let numbers = [
        ("completed", completed, heard.completed(), heard.completed()),
        ("failed", failed, heard.failed(), heard.failed() + unheard),
        (
            "cancelled",
            cancelled,
            heard[Count::Cancelled] - maybe_cancelled,
            heard[Count::Cancelled] + unheard,
        ),
        ("dropped", dropped, gone - maybe_expired, gone + heard[Count::QueueFull] + unheard),
    ];
    for (name, reported, least, most) in numbers {
        // What still ran when the report was made has been heard of since.
        if reported > most || reported + running < least {
            fail(Rule::Reports, format!("{name} is not {}", between(least, most)));
        }
    }
    let sure = heard.completed() + heard.failed() + heard[Count::Cancelled] + gone + unheard;
    let maybe = maybe_cancelled + maybe_expired + if outside { unheard } else { 0 };
    let full = if outside { heard[Count::QueueFull] } else { 0 };
    let (least, most) = (sure - maybe, sure + full);
    if accepted < least || accepted > most {
        fail(Rule::Reports, format!("accepted is not {}", between(least, most)));
    }
    if running > 0 {
        return; // they hold resources of which the report cannot know the end
    }
    let ours = [Count::Created, Count::Destroyed, Count::DestroyErrors].map(|count| heard[count]);
    let theirs = [report.resources_created, report.resources_destroyed, report.destroy_errors];
    if ours != theirs {
        let [created, destroyed, errors] = ours;
        fail(
            Rule::Resources,
            format!("{created} were created and {destroyed} destroyed, {errors} with errors"),
        );
    }
}

fn between(least: u64, most: u64) -> String {
    if least == most { least.to_string() } else { format!("{least} to {most}") }
}
