//! Small print, "The report adds up", in all mixes.

use std::time::Duration;

use tasker::{Overflow, TaskHandle};

use super::jobs::{fails, is_sick, panics, returns, runs_until_cancelled};
use super::kinds::Kind;
use super::settings::Settings;
use super::watch::await_waiting;
use crate::support::{Fault, Gate, Kit, assert_complete};

on_every_kind![
    a_report_says_what_became_of_every_task,
    a_report_adds_up_whenever_a_kill_comes,
    a_report_adds_up_whenever_a_stop_comes,
];

const MOMENT: Duration = Duration::from_millis(1);

// Small print, "The report adds up": each kind of ending once, in its column.
fn a_report_says_what_became_of_every_task<K: Kind>() {
    let (kit, gate) = (Kit::new(), Gate::new());
    let settings = Settings {
        capacity: Some(2),
        overflow: Overflow::DropOldest,
        max_retries: 1,
        ..Settings::new(&kit, 1)
    };
    let manager = K::build(settings);
    // Completed: three. Failed: five, of which the last has no resource.
    for job in [returns(), is_sick(1), fails(Fault::Own), fails(Fault::Sick), panics()] {
        let _ = manager.submit(job).wait();
    }
    let _ = manager.submit(runs_until_cancelled(&gate).timeout(MOMENT)).wait();
    let busy = manager.occupy(1);
    kit.fail_next_creates(1);
    assert!(manager.run_now(returns()).is_err());
    // Cancelled: one that waits, and one that runs.
    let cancelled = manager.submit(returns());
    cancelled.cancel();
    assert!(cancelled.wait().is_err());
    // Dropped: one expires, one is evicted, and one is killed.
    assert!(manager.submit(returns().start_within(MOMENT)).wait().is_err());
    busy.release();
    let running = Gate::new();
    let told = manager.submit(runs_until_cancelled(&running));
    running.await_arrivals(1);
    let evicted = manager.submit(returns());
    let killed = [manager.submit(returns()), manager.submit(returns())];
    assert!(evicted.wait().is_err());
    await_waiting(&manager, 2);
    let report = manager.kill().unwrap();
    assert!(told.wait().is_err() && killed.into_iter().all(|handle| handle.wait().is_err()));
    assert_complete(&report);
    assert_eq!((report.completed, report.failed), (3, 5), "{report}");
    assert_eq!((report.cancelled, report.dropped), (2, 4), "{report}");
    assert_eq!((report.accepted, report.resources_created), (14, kit.created()), "{report}");
}

/// Submits a mix of jobs, some of which run already, and shuts down.
fn shut_down_amid<K: Kind>(shut_down: fn(&K) -> super::kinds::Shutdown) {
    for submitted in [0, 1, 5, 40] {
        let kit = Kit::new();
        let manager = K::build(Settings { pool: 1, ..Settings::new(&kit, 3) });
        let jobs = [returns(), is_sick(1), fails(Fault::Own), fails(Fault::Sick), panics()];
        let jobs = jobs.into_iter().cycle().take(submitted);
        let handles: Vec<_> = jobs.map(|job| manager.submit(job)).collect();
        handles.iter().step_by(7).for_each(TaskHandle::cancel);
        let report = shut_down(&manager).unwrap();
        assert!(handles.iter().all(TaskHandle::is_finished), "nobody is left behind");
        assert_complete(&report);
        assert_eq!(report.accepted, submitted as u64);
        assert_eq!(report.resources_created, kit.created());
        let ok = handles.into_iter().filter_map(|handle| handle.wait().ok());
        assert_eq!(report.completed, ok.count() as u64);
        kit.assert_all_destroyed_once();
    }
}

// Promises 1, 3 and 11.
fn a_report_adds_up_whenever_a_kill_comes<K: Kind>() {
    shut_down_amid(K::kill);
}

// Promises 1, 3 and 10.
fn a_report_adds_up_whenever_a_stop_comes<K: Kind>() {
    shut_down_amid(K::stop);
}
