//! Tidy: the rules of the source tree that neither the compiler nor clippy can hold, one file a rule.

mod bands;
mod code;
mod decisions;
mod doors;
mod guarantees;
mod opening;
mod paths;
mod safety;
mod source;
mod tables;
mod text;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use self::source::Source;

/// What `cargo xtask tidy` has to say.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) files: usize,
    pub(crate) problems: Vec<Problem>,
}

/// One thing to mend. Shown as `path:line: what is wrong; what to do`.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Problem {
    path: String,
    line: usize,
    message: String,
}

impl Problem {
    fn new(path: &str, line: usize, wrong: impl fmt::Display, mend: impl fmt::Display) -> Self {
        Self { path: path.to_owned(), line, message: format!("{wrong}; {mend}") }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// Checks the workspace that this tool belongs to.
pub(crate) fn check_workspace() -> io::Result<Report> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let files = read_tree(&root)?;
    Ok(Report { files: files.len(), problems: check(&files) })
}

fn check(files: &[Source]) -> Vec<Problem> {
    let mut problems: Vec<Problem> = files.iter().flat_map(text::check).collect();
    for file in files.iter().filter(|file| file.is_rust()) {
        problems.extend(opening::check(file));
        problems.extend(safety::check(file));
    }
    let library = Library::new(files);
    problems.extend(decisions::check(&library, tables::DECISIONS));
    problems.extend(bands::check(&library, tables::ROOMS));
    problems.extend(doors::check(&library, tables::DOORS));
    problems.extend(guarantees::check(files));
    problems.sort();
    problems
}

/// The files of the library that are compiled outside tests, by their path inside it.
struct Library<'s> {
    files: Vec<(&'s str, &'s Source)>,
}

impl<'s> Library<'s> {
    fn new(files: &'s [Source]) -> Self {
        let all = files.iter().filter(|file| file.is_rust());
        let all = all.filter_map(|file| Some((file.path.strip_prefix(tables::LIBRARY)?, file)));
        let mut library = Self { files: all.collect() };
        let tests: BTreeSet<String> =
            library.files.iter().flat_map(|(_, file)| file.test_files()).collect();
        library
            .files
            .retain(|(_, file)| !tests.iter().any(|test| tables::covers(test, &file.path)));
        library
    }

    fn has(&self, path: &str) -> bool {
        self.files.iter().any(|(name, _)| *name == path)
    }

    /// A problem of the table line that holds `words`.
    fn table_problem(words: &str, wrong: impl fmt::Display, mend: impl fmt::Display) -> Problem {
        Problem::new(tables::TABLES, tables::line_of(words), wrong, mend)
    }
}

/// Every text file below `root`, in the order of their paths.
fn read_tree(root: &Path) -> io::Result<Vec<Source>> {
    const OUTSIDE: [&str; 4] = [".git", "target", "corpus", "artifacts"]; // none is part of the source tree
    let mut folders = vec![PathBuf::new()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            let kind = entry.file_type()?;
            if OUTSIDE.iter().any(|name| entry.file_name() == *name) {
                continue;
            } else if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                let bytes = fs::read(entry.path())?;
                let Ok(text) = String::from_utf8(bytes) else {
                    continue;
                }; // an image or the like
                let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
                files.push(Source::new(parts.join("/"), text));
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::source::Source;
    use super::{Library, Problem, check_workspace};

    /// A library of small sources, for the tests of the rules.
    pub(super) fn sources(files: &[(&str, &str)]) -> Vec<Source> {
        let path = |name: &str| format!("{}{name}", super::tables::LIBRARY);
        files.iter().map(|(name, text)| Source::new(path(name), *text)).collect()
    }

    #[test]
    fn the_workspace_is_tidy() {
        let report = check_workspace().unwrap();
        assert!(report.files > 5, "the source tree was not found");
        let lines: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
        assert!(lines.is_empty(), "\n{}\n", lines.join("\n"));
    }

    #[test]
    fn a_problem_says_where_what_and_what_to_do() {
        let problem = Problem::new("a.rs", 3, "it is wrong", "mend it");
        assert_eq!(problem.to_string(), "a.rs:3: it is wrong; mend it");
    }

    #[test]
    fn files_of_test_modules_are_not_part_of_the_library() {
        let files = sources(&[
            ("lib.rs", "mod queue;\n#[cfg(all(test, loom))]\nmod models;\n"),
            ("models/mod.rs", "mod handle;\n"),
            ("models/handle.rs", ""),
            ("queue.rs", ""),
        ]);
        let library = Library::new(&files);
        let names: Vec<&str> = library.files.iter().map(|file| file.0).collect();
        assert_eq!(names, ["lib.rs", "queue.rs"]);
    }
}
