//! What the rules of tidy are told about the library: the tables to edit when a room is added.
//!
//! Paths are relative to `crates/tasker/src`. A path that ends in `/` stands for every file of that
//! folder that has no line of its own. A line that matches no file is reported.

/// The folder that the tables speak of.
pub(super) const LIBRARY: &str = "crates/tasker/src/";

/// This file, as named in the messages.
pub(super) const TABLES: &str = "xtask/src/tidy/tables.rs";

/// The bands, lowest first. A file imports from its own folder, its own band and the bands below.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Band {
    /// Words that every room may use.
    Values,
    /// Functions of values and `now`.
    Decisions,
    /// Pieces with one owner and one purpose.
    Parts,
    /// Parts that run: they hold locks and threads.
    Machines,
    /// What sets machines going and watches them.
    Conductors,
    /// What wires rooms together.
    Manager,
    /// The crate root, which names everything and holds no logic.
    Front,
}

use Band::{Conductors, Decisions, Front, Machines, Manager, Parts, Values};
use Good::{Atomics, Locks, Threads, Time};

/// One line a room: its path and its band.
pub(super) const ROOMS: &[(&str, Band)] = &[
    ("sync.rs", Values),
    ("sync/", Values),
    ("clock.rs", Values),
    ("cancel.rs", Values),
    ("outcome.rs", Values),
    ("error.rs", Values),
    ("task.rs", Values),
    ("context.rs", Values),
    ("logger.rs", Values),
    ("overflow.rs", Values),
    ("stats.rs", Values),
    ("metrics/snapshot.rs", Values),
    ("event.rs", Decisions), // it quotes what was decided
    ("queue/lanes.rs", Decisions),
    ("queue/delay.rs", Decisions),
    ("queue/line.rs", Decisions),
    ("worker/settle.rs", Decisions),
    ("pool/roster.rs", Decisions),
    ("pool/relief.rs", Decisions),
    ("retry/", Decisions),
    ("autoscale/", Decisions), // the simulator decides nothing, but is made of nothing else
    ("explain.rs", Decisions),
    ("resource/life.rs", Decisions),
    ("shutdown.rs", Decisions),
    ("metrics/spread.rs", Decisions),
    ("metrics/window.rs", Decisions),
    ("completion.rs", Parts),
    ("metrics/", Parts), // it knows of no other room; the reporter feeds it, and the queue its arrivals
    ("reporter.rs", Parts),
    ("handle.rs", Parts),
    ("detached.rs", Parts),
    ("queue/job.rs", Parts),
    ("queue/awaited.rs", Parts),
    ("resource/slot.rs", Parts),
    ("resource/rack.rs", Parts),
    ("resource/lending.rs", Parts),
    ("resource/mod.rs", Parts),
    ("worker/attempt.rs", Parts),
    ("worker/scoped.rs", Parts),
    ("operations/", Parts), // not in the library: decisions and what tests compare them with
    ("queue/", Machines),
    ("pool/mod.rs", Machines),
    ("engine/", Conductors),       // what the threads of one manager share
    ("worker/mod.rs", Conductors), // a thread that drives the queue, as the two below
    ("resource/reserve.rs", Conductors),
    ("timekeeper.rs", Conductors),
    ("knobs.rs", Conductors),
    ("config.rs", Conductors),
    ("aio/work.rs", Values), // a trait of closures
    ("aio/guarded.rs", Parts),
    ("aio/token.rs", Parts),
    ("aio/", Conductors), // what the tasks of one async manager share
    ("aio/task.rs", Manager),
    ("aio/manager.rs", Manager),
    ("aio/mod.rs", Front),    // names what is in it
    ("testing/", Conductors), // it hands out configurations, and nobody imports it
    ("submit.rs", Manager),
    ("manager.rs", Manager),
    ("lib.rs", Front),
];

/// The files that must open with `//! DECISION: …`. Another file may be marked too and is then
/// held to the same rule.
pub(super) const DECISIONS: &[&str] = &[
    "queue/lanes.rs",
    "queue/delay.rs",
    "queue/line.rs",
    "worker/settle.rs",
    "pool/roster.rs",
    "pool/relief.rs",
    "retry/mod.rs",
    "retry/backoff.rs",
    "autoscale/policy.rs",
    "autoscale/load.rs",
    "autoscale/limits.rs",
    "autoscale/break_even.rs",
    "autoscale/rate_based.rs",
    "autoscale/fixed.rs",
    "explain.rs",
    "resource/life.rs",
    "shutdown.rs",
    "metrics/spread.rs",
    "metrics/window.rs",
];

/// What comes into the library by few doors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Good {
    /// The locks of `std::sync`: `Mutex`, `RwLock`, `Condvar`, `Barrier`.
    Locks,
    /// `std::sync::atomic`.
    Atomics,
    /// `std::thread`, save for asking how many threads the machine runs at a time.
    Threads,
    /// `Instant::now` and `SystemTime::now`.
    Time,
}

/// A file that may use a good directly, and why.
#[derive(Clone, Copy, Debug)]
pub(super) struct Door {
    pub(super) path: &'static str,
    pub(super) goods: &'static [Good],
    pub(super) reason: &'static str,
}

/// One line a door. Every other file goes through one of these.
#[rustfmt::skip] // one line a door
pub(super) const DOORS: &[Door] = &[
    door("sync.rs", &[Locks, Atomics, Threads], "chooses between std, loom and shuttle"),
    door("sync/time.rs", &[Locks], "is a timed wait where shuttle chooses the schedule"),
    door("clock.rs", &[Locks, Time], "is the clock, and the one that tests move by hand"),
    door("outcome.rs", &[Locks], "makes the payload of a panic Sync; nobody waits for that lock"),
    door("pool/mod.rs", &[Threads], "starts and joins the threads"),
    door("testing/panics_on_drop.rs", &[Threads], "asks whether its thread panics; a second panic would end the process"),
    door("metrics/", &[Locks, Atomics, Threads], "counts outside every protocol that loom explores"),
];

const fn door(path: &'static str, goods: &'static [Good], reason: &'static str) -> Door {
    Door { path, goods, reason }
}

/// The line of this file on which `words` first stand, for messages that say what to edit.
pub(super) fn line_of(words: &str) -> usize {
    let lines = include_str!("tables.rs").lines();
    lines
        .take_while(|line| !line.contains("fn line_of"))
        .position(|line| line.contains(words))
        .map_or(1, |at| at + 1)
}

/// Whether a line of a table that says `pattern` speaks of the file `path`.
pub(super) fn covers(pattern: &str, path: &str) -> bool {
    if pattern.ends_with('/') { path.starts_with(pattern) } else { pattern == path }
}

#[cfg(test)]
mod tests {
    use super::{DECISIONS, DOORS, ROOMS, covers, line_of};

    #[test]
    fn a_folder_covers_its_files_and_a_file_only_itself() {
        assert!(covers("metrics/", "metrics/window.rs"));
        assert!(covers("clock.rs", "clock.rs"));
        assert!(!covers("clock.rs", "clock.rs.old"));
        assert!(!covers("metrics/", "metrics.rs"));
    }

    #[test]
    fn the_line_of_a_room_is_the_one_that_names_it() {
        let text = include_str!("tables.rs");
        let line = text.lines().nth(line_of("(\"queue/\"") - 1).unwrap();
        assert!(line.contains("(\"queue/\", Machines)"), "{line}");
    }

    #[test]
    fn no_room_decision_or_door_is_listed_twice() {
        let rooms: Vec<&str> = ROOMS.iter().map(|room| room.0).collect();
        let doors: Vec<&str> = DOORS.iter().map(|door| door.path).collect();
        for list in [&rooms[..], DECISIONS, &doors] {
            for (at, path) in list.iter().enumerate() {
                assert!(!list[..at].contains(path), "{path} is listed twice");
            }
        }
    }

    #[test]
    fn every_door_has_a_reason() {
        assert!(DOORS.iter().all(|door| !door.reason.is_empty() && !door.goods.is_empty()));
    }
}
