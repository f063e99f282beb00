//! Imports follow the bands: a file names its own folder, its own band and the bands below.
//!
//! What a folder hands on with `pub use self::file::Name` belongs to that file's band.

use super::paths::Path;
use super::tables::{Band, covers};
use super::{Library, Problem};

type Room = (&'static str, Band);

pub(super) fn check(library: &Library<'_>, rooms: &[Room]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (pattern, _) in rooms {
        if !library
            .files
            .iter()
            .any(|(name, _)| room_of(rooms, name).is_some_and(|r| r.0 == *pattern))
        {
            let wrong = format!("the room `{pattern}` holds no file");
            let row = format!("(\"{pattern}\",");
            problems.push(Library::table_problem(
                &row,
                wrong,
                "delete or correct its line in ROOMS",
            ));
        }
    }
    for (name, file) in &library.files {
        let Some((row, band)) = room_of(rooms, name) else {
            let wrong = format!("no room is known for {name}");
            let mend = format!("add a line for it to ROOMS at {}", place("const ROOMS"));
            problems.push(Problem::new(&file.path, 1, wrong, mend));
            continue;
        };
        if band == Band::Front {
            continue; // it names everything
        }
        for path in file.shipped_paths() {
            let line = file.line_at(path.at);
            match import(library, name, &path) {
                Import::Own => {}
                Import::Root(item) => {
                    let wrong = format!("`{item}` is imported from the crate root");
                    let mend = "import it from the room that owns it";
                    problems.push(Problem::new(&file.path, line, wrong, mend));
                }
                Import::File(target) => {
                    let Some((target_row, target_band)) = room_of(rooms, &target) else {
                        continue;
                    };
                    if target_band > band {
                        let wrong = format!(
                            "{name} (band {band:?}) imports from {target} (band {target_band:?}), which is above"
                        );
                        let mend = format!(
                            "turn the import round, or move a room: {} or {}",
                            place(&format!("(\"{row}\",")),
                            place(&format!("(\"{target_row}\","))
                        );
                        problems.push(Problem::new(&file.path, line, wrong, mend));
                    }
                }
            }
        }
    }
    problems
}

/// Where a path leads.
#[derive(Debug, PartialEq, Eq)]
enum Import {
    /// To its own file or folder, or out of the crate.
    Own,
    /// To a name that only the crate root holds.
    Root(String),
    File(String),
}

fn import(library: &Library<'_>, name: &str, path: &Path) -> Import {
    let Some(parts) = from_the_root(name, path) else {
        return Import::Own;
    };
    let target = file_of(library, &parts).map(|(file, names)| {
        let owner = names.first().and_then(|name| owner_of(library, &file, name));
        owner.unwrap_or(file)
    });
    match target {
        None if path.is_macro || parts.is_empty() => Import::Own,
        None => Import::Root(parts.join("::")),
        Some(target)
            if target == name || folder(&target).is_some_and(|f| folder(name) == Some(f)) =>
        {
            Import::Own
        }
        Some(target) => Import::File(target),
    }
}

/// The file that a path leads to, and the names behind it.
fn file_of<'p>(library: &Library<'_>, parts: &'p [String]) -> Option<(String, &'p [String])> {
    (1..=parts.len()).rev().find_map(|length| {
        let module = parts[..length].join("/");
        let files = [format!("{module}.rs"), format!("{module}/mod.rs")];
        let file = files.into_iter().find(|file| library.has(file))?;
        Some((file, &parts[length..]))
    })
}

/// The file that owns `name` where `file` hands it on: `pub use self::lanes::Lanes`.
fn owner_of(library: &Library<'_>, file: &str, name: &str) -> Option<String> {
    let (_, source) = library.files.iter().find(|(path, _)| *path == file)?;
    let paths = source.shipped_paths();
    let mut handed_on = paths.iter().filter(|path| {
        path.parts[0] == "self" && path.inside.is_empty() && path.parts.last().unwrap() == name
    });
    handed_on.find_map(|path| Some(file_of(library, &from_the_root(file, path)?)?.0))
}

/// The path without `crate`, `self` and `super`. `None` for a path into another crate.
fn from_the_root(name: &str, path: &Path) -> Option<Vec<String>> {
    let module = name.trim_end_matches(".rs").trim_end_matches("/mod");
    let mut parts: Vec<String> = match path.parts[0].as_str() {
        "crate" => Vec::new(),
        "self" | "super" => {
            module.split('/').map(str::to_owned).chain(path.inside.clone()).collect()
        }
        _ => return None,
    };
    for part in &path.parts {
        match part.as_str() {
            "crate" | "self" => {}
            "super" => drop(parts.pop()),
            part => parts.push(part.to_owned()),
        }
    }
    Some(parts)
}

/// The folder of a room that is one: `queue` for `queue/lanes.rs`.
fn folder(name: &str) -> Option<&str> {
    name.split_once('/').map(|(folder, _)| folder)
}

/// The line for the file itself, else the one for its nearest folder.
fn room_of(rooms: &[Room], name: &str) -> Option<Room> {
    rooms.iter().copied().filter(|room| covers(room.0, name)).max_by_key(|room| room.0.len())
}

fn place(words: &str) -> String {
    format!("{}:{}", super::tables::TABLES, super::tables::line_of(words))
}

#[cfg(test)]
mod tests {
    use super::{Room, check};
    use crate::tidy::Library;
    use crate::tidy::tables::Band::{Decisions, Front, Machines, Manager, Parts, Values};
    use crate::tidy::tests::sources;

    const ROOMS: &[Room] = &[
        ("clock.rs", Values),
        ("queue/lanes.rs", Decisions),
        ("handle.rs", Parts),
        ("queue/", Machines),
        ("worker/", Machines),
        ("manager.rs", Manager),
        ("lib.rs", Front),
    ];

    const FILES: [&str; 8] = [
        "clock.rs",
        "queue/lanes.rs",
        "handle.rs",
        "queue/mod.rs",
        "queue/job.rs",
        "worker/mod.rs",
        "manager.rs",
        "lib.rs",
    ];

    /// What is wrong when `file` holds `text` and every other file is empty.
    fn problems(file: &str, text: &str) -> Vec<String> {
        let mut files: Vec<(&str, &str)> = FILES.iter().map(|name| (*name, "")).collect();
        files.retain(|(name, _)| *name != file);
        files.push((file, text));
        let files = sources(&files);
        check(&Library::new(&files), ROOMS).iter().map(ToString::to_string).collect()
    }

    #[track_caller]
    fn fine(file: &str, text: &str) {
        assert_eq!(problems(file, text), [""; 0]);
    }

    #[track_caller]
    fn wrong(file: &str, text: &str, words: &str) {
        let found = problems(file, text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(words), "{found:?}");
    }

    #[test]
    fn the_own_band_and_those_below_may_be_imported() {
        fine(
            "worker/mod.rs",
            "use crate::{queue::Queue, handle::TaskHandle, clock::{self, Clock}};",
        );
        fine("handle.rs", "use crate::queue::lanes::Lanes;");
        fine("lib.rs", "pub use crate::manager::TaskManager;");
    }

    #[test]
    fn a_band_above_may_not_be_imported() {
        wrong(
            "clock.rs",
            "\nuse crate::handle::TaskHandle;",
            "clock.rs:2: clock.rs (band Values) imports from handle.rs (band Parts)",
        );
        wrong("handle.rs", "use crate::queue::Queue;", "imports from queue/mod.rs");
        wrong("handle.rs", "use crate::{clock::Clock, manager::TaskManager};", "manager.rs");
    }

    #[test]
    fn a_path_in_an_expression_is_an_import() {
        wrong("handle.rs", "fn f() { crate::worker::run() }", "worker/mod.rs");
    }

    #[test]
    fn the_own_folder_is_always_fine() {
        fine("queue/lanes.rs", "use super::Queue; use super::job::Job; use crate::queue::Queue;");
        fine("handle.rs", "struct A; mod inner { use super::A; use self::super::A; }");
    }

    #[test]
    fn a_name_that_is_handed_on_counts_where_it_comes_from() {
        let import = "use crate::queue::Lanes;";
        let mut files: Vec<(&str, &str)> = FILES.iter().map(|name| (*name, "")).collect();
        files.retain(|(name, _)| !["handle.rs", "queue/mod.rs"].contains(name));
        files.push(("handle.rs", import));
        for (queue, expected) in [
            ("mod lanes; pub(crate) use self::lanes::Lanes;", 0),
            ("mod lanes; pub(crate) use self::{job::Job, lanes::{Lane, Lanes}};", 0),
            ("mod lanes; pub(crate) use self::job::Lanes;", 1),
            ("mod lanes; pub(crate) struct Lanes;", 1),
        ] {
            let mut files = files.clone();
            files.push(("queue/mod.rs", queue));
            let files = sources(&files);
            assert_eq!(check(&Library::new(&files), ROOMS).len(), expected, "{queue}");
        }
    }

    #[test]
    fn super_does_not_hide_another_room() {
        wrong("queue/lanes.rs", "use super::super::worker::Worker;", "worker/mod.rs");
        wrong("handle.rs", "use super::worker::Worker;", "worker/mod.rs");
        fine("queue/mod.rs", "use super::worker::Worker;");
    }

    #[test]
    fn names_of_the_crate_root_are_imported_from_their_rooms() {
        wrong("handle.rs", "use crate::Priority;", "`Priority` is imported from the crate root");
        wrong("handle.rs", "use crate::*;", "`*` is imported from the crate root");
        fine("handle.rs", "fn f() { crate::log!(\"a\") }");
    }

    #[test]
    fn tests_and_comments_may_name_every_room() {
        fine(
            "clock.rs",
            "//! See crate::manager::TaskManager.\n#[cfg(test)] mod tests { use crate::manager::M; }",
        );
    }

    #[test]
    fn a_file_without_a_room_names_the_table_to_edit() {
        wrong(
            "sink.rs",
            "",
            "sink.rs:1: no room is known for sink.rs; add a line for it to ROOMS at xtask/src/tidy/tables.rs:",
        );
    }

    #[test]
    fn a_room_without_a_file_is_reported() {
        let files = sources(&[]);
        let found = check(&Library::new(&files), &ROOMS[..1]);
        assert!(found[0].to_string().contains("`clock.rs` holds no file"), "{found:?}");
    }
}
