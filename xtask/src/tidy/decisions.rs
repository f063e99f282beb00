//! Decisions are functions of values and `now`: their files name no lock, thread, clock or chance.

use super::paths::Word;
use super::{Library, Problem};

/// Types, also as the beginning of a longer name such as `MutexGuard`.
const TYPES: [&str; 5] = ["Mutex", "Condvar", "RwLock", "SystemTime", "Atomic"];
/// Names that are forbidden as whole words.
const NAMES: [&str; 3] = ["thread", "fastrand", "park"];

pub(super) fn check(library: &Library<'_>, listed: &[&str]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for path in listed.iter().filter(|path| !library.has(path)) {
        let wrong = format!("the decision file {path} is missing");
        let mend = "restore it, or update the list DECISIONS to where the decision is now";
        problems.push(Library::table_problem(&format!("    \"{path}\","), wrong, mend));
    }
    for (name, file) in &library.files {
        if !file.is_decision() {
            if listed.contains(name) {
                let wrong = "a decision file is not marked as one";
                let mend = "open it with `//! DECISION: what is decided.`";
                problems.push(Problem::new(&file.path, 1, wrong, mend));
            }
            continue;
        }
        let words = file.shipped_words();
        for (at, word) in words.iter().enumerate() {
            if let Some(shown) = forbidden(*word, words.get(at + 1), &file.text) {
                let wrong = format!("a decision names `{shown}`");
                let mend = "take what it needs as a value, and act in another file";
                problems.push(Problem::new(&file.path, file.line_at(word.at), wrong, mend));
            }
        }
    }
    problems
}

fn forbidden(word: Word<'_>, next: Option<&Word<'_>>, text: &str) -> Option<String> {
    if NAMES.contains(&word.text) || TYPES.iter().any(|name| word.text.starts_with(name)) {
        return Some(word.text.to_owned());
    }
    if word.text == "Instant"
        && next.is_some_and(|next| next.text == "now" && word.joins(next, text))
    {
        return Some("Instant::now".to_owned());
    }
    let behind = &text[word.at + word.text.len()..];
    let ahead = text[..word.at].trim_end();
    let asks = word.text == "now" && behind.starts_with('(') && !ahead.ends_with("Instant::");
    asks.then(|| "now()".to_owned()) // a clock is asked; `now` as a value is welcome
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::Library;
    use crate::tidy::tests::sources;

    fn problems(files: &[(&str, &str)], listed: &[&str]) -> Vec<String> {
        let files = sources(files);
        check(&Library::new(&files), listed).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_function_of_values_and_now_is_fine() {
        let text = "//! DECISION: which retry is due.\nfn due(now: Instant, at: Instant) -> bool { at <= now }
            fn parked(threads: usize) {}";
        assert_eq!(problems(&[("delay.rs", text)], &["delay.rs"]), [""; 0]);
    }

    #[test]
    fn each_forbidden_name_is_reported_where_it_stands() {
        for name in [
            "Mutex",
            "MutexGuard",
            "Condvar",
            "RwLock",
            "thread",
            "Instant::now()",
            "SystemTime",
            "fastrand",
            "park",
            "AtomicU64",
            "clock.now()",
        ] {
            let text = format!("//! DECISION: which.\n\nfn a() {{ {name} }}");
            let found = problems(&[("a.rs", &text)], &[]);
            assert_eq!(found.len(), 1, "{name}: {found:?}");
            assert!(
                found[0].starts_with("crates/tasker/src/a.rs:3: a decision names"),
                "{found:?}"
            );
        }
    }

    #[test]
    fn comments_tests_and_other_files_may_name_them() {
        let decision = "//! DECISION: no Mutex.\n// Mutex\n#[cfg(test)] mod tests { use Mutex; }";
        let other = "//! Holds the lock.\nuse Mutex;";
        assert_eq!(problems(&[("a.rs", decision), ("b.rs", other)], &[]), [""; 0]);
    }

    #[test]
    fn a_listed_file_that_is_missing_asks_for_the_list() {
        let found = problems(&[], &["lanes.rs"]);
        assert!(found[0].starts_with("xtask/src/tidy/tables.rs:"), "{found:?}");
        assert!(
            found[0].contains("lanes.rs is missing; restore it, or update the list"),
            "{found:?}"
        );
    }

    #[test]
    fn a_listed_file_must_be_marked() {
        let files = [("lanes.rs", "//! DECISIONS are elsewhere.\n")];
        let found = problems(&files, &["lanes.rs"]);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("not marked"), "{found:?}");
    }
}
