//! Locks, atomics, threads and time come into the library by one door each.

use super::paths::Path;
use super::source::Source;
use super::tables::{Door, Good, covers};
use super::{Library, Problem};

/// Types of `std::sync`, also as the beginning of a longer name such as `MutexGuard`.
const LOCKS: [&str; 4] = ["Mutex", "RwLock", "Condvar", "Barrier"];

pub(super) fn check(library: &Library<'_>, doors: &[Door]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for door in doors {
        if !library.files.iter().any(|(name, _)| covers(door.path, name)) {
            let wrong = format!("the door `{}` is no file", door.path);
            let row = format!("door(\"{}\"", door.path);
            problems.push(Library::table_problem(
                &row,
                wrong,
                "delete or correct its line in DOORS",
            ));
        }
    }
    for (name, file) in &library.files {
        for (good, shown, at) in goods(file) {
            let is_door = |door: &&Door| door.goods.contains(&good);
            if doors.iter().filter(is_door).any(|door| covers(door.path, name)) {
                continue;
            }
            let open: Vec<String> = doors
                .iter()
                .filter(is_door)
                .map(|door| format!("{} ({})", door.path, door.reason))
                .collect();
            let wrong = format!("`{shown}` is used outside its doors");
            let mend = format!("go through one of them: {}", open.join(", "));
            problems.push(Problem::new(&file.path, file.line_at(at), wrong, mend));
        }
    }
    problems
}

/// Each use of a good, how to show it and where it stands.
fn goods(file: &Source) -> Vec<(Good, String, usize)> {
    let paths = file.shipped_paths();
    let mut goods: Vec<(Good, String, usize)> = paths
        .iter()
        .filter_map(|path| Some((good_of(path)?, path.parts.join("::"), path.at)))
        .collect();
    let words = file.shipped_words();
    for pair in words.windows(2) {
        let clock = matches!(pair[0].text, "Instant" | "SystemTime") && pair[1].text == "now";
        if clock && pair[0].joins(&pair[1], &file.text) {
            goods.push((Good::Time, format!("{}::now", pair[0].text), pair[0].at));
        }
    }
    goods
}

fn good_of(path: &Path) -> Option<Good> {
    let parts: Vec<&str> = path.parts.iter().map(String::as_str).collect();
    match parts[..] {
        ["std", "thread", "available_parallelism"] => None, // a number
        ["std", "thread", ..] => Some(Good::Threads),
        ["std" | "core", "sync", "atomic", ..] => Some(Good::Atomics),
        ["std", "sync"] | ["std", "sync", "*"] => Some(Good::Locks), // it may be one
        ["std", "sync", name, ..] if LOCKS.iter().any(|lock| name.starts_with(lock)) => {
            Some(Good::Locks)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::Library;
    use crate::tidy::tables::{Door, Good};
    use crate::tidy::tests::sources;

    const DOORS: &[Door] = &[
        Door { path: "sync.rs", goods: &[Good::Locks, Good::Atomics], reason: "std or loom" },
        Door { path: "clock.rs", goods: &[Good::Time], reason: "is the clock" },
        Door { path: "pool/", goods: &[Good::Threads], reason: "starts workers" },
    ];

    /// What is wrong when `file` holds `text`.
    fn problems(file: &str, text: &str) -> Vec<String> {
        let mut files = vec![("sync.rs", ""), ("clock.rs", ""), ("pool/mod.rs", "")];
        files.retain(|(name, _)| *name != file);
        files.push((file, text));
        let files = sources(&files);
        check(&Library::new(&files), DOORS).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_good_is_reported_outside_its_door() {
        for (text, shown) in [
            ("use std::sync::Mutex;", "std::sync::Mutex"),
            ("use std::sync::{Arc, MutexGuard};", "std::sync::MutexGuard"),
            ("use std::sync;", "std::sync"),
            ("use std::{sync::{atomic::AtomicU64}};", "std::sync::atomic::AtomicU64"),
            ("use core::sync::atomic::*;", "core::sync::atomic::*"),
            ("use std::thread;", "std::thread"),
            ("fn f() { std::thread::sleep(d) }", "std::thread::sleep"),
            ("fn f() { Instant::now() }", "Instant::now"),
            ("fn f() { std::time::SystemTime::now() }", "SystemTime::now"),
        ] {
            let found = problems("queue.rs", text);
            assert_eq!(found.len(), 1, "{text}: {found:?}");
            assert!(found[0].contains(shown), "{text}: {found:?}");
            assert!(found[0].starts_with("crates/tasker/src/queue.rs:1: "), "{found:?}");
        }
    }

    #[test]
    fn a_door_may_use_its_own_goods_and_no_others() {
        assert_eq!(problems("sync.rs", "use std::sync::{Mutex, atomic};"), [""; 0]);
        assert_eq!(problems("clock.rs", "fn f() { Instant::now() }"), [""; 0]);
        assert_eq!(problems("pool/mod.rs", "use std::thread;"), [""; 0]);
        assert_eq!(problems("clock.rs", "use std::sync::Mutex;").len(), 1);
    }

    #[test]
    fn what_needs_no_door_is_free() {
        let text = "use std::sync::{Arc, OnceLock, PoisonError, Weak}; use std::time::Instant;
            use crate::sync::{Mutex, thread}; fn f(until: Instant, now: Instant) {}
            fn g() { std::thread::available_parallelism() }";
        assert_eq!(problems("queue.rs", text), [""; 0]);
    }

    #[test]
    fn tests_and_comments_need_no_door() {
        let text = "//! Like std::sync::Mutex.\n#[cfg(test)] mod tests { use std::thread; }";
        assert_eq!(problems("queue.rs", text), [""; 0]);
    }

    #[test]
    fn the_message_names_the_doors_and_their_reasons() {
        let found = problems("queue.rs", "use std::thread;");
        assert!(found[0].ends_with("go through one of them: pool/ (starts workers)"), "{found:?}");
    }

    #[test]
    fn a_door_without_a_file_is_reported() {
        let files = sources(&[("sync.rs", "")]);
        let found = check(&Library::new(&files), &DOORS[..2]);
        assert!(found[0].to_string().contains("the door `clock.rs` is no file"), "{found:?}");
    }
}
