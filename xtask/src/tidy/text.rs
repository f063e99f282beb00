//! Text files hold no trailing white space and no notes to self; Rust is not indented with tabs.

use super::Problem;
use super::source::Source;

/// Put together here, so that this file does not hold them.
const NOTES: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

pub(super) fn check(file: &Source) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (at, line) in file.text.split('\n').enumerate() {
        let mut report = |wrong: &str, mend: &str| {
            problems.push(Problem::new(&file.path, at + 1, wrong, mend));
        };
        if line.ends_with(char::is_whitespace) {
            report("the line ends in white space", "remove it");
        }
        if file.is_rust() && line.trim_start_matches(' ').starts_with('\t') {
            report("the line is indented with a tab", "indent with spaces; `cargo fmt` does it");
        }
        let mut words = line.split(|c: char| !c.is_alphanumeric());
        if let Some(note) = words.find(|word| NOTES.contains(word)) {
            report(
                &format!("the line holds the note `{note}`"),
                "do it, or open an issue and delete the note",
            );
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::{NOTES, check};
    use crate::tidy::source::Source;

    fn problems(path: &str, text: &str) -> Vec<String> {
        check(&Source::new(path, text)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn white_space_at_the_end_of_a_line_is_reported() {
        assert_eq!(
            problems("a.md", "one\ntwo \n"),
            ["a.md:2: the line ends in white space; remove it"]
        );
        assert_eq!(problems("a.md", "one\r\n").len(), 1);
        assert_eq!(problems("a.md", "one\n\ntwo\n"), [""; 0]);
    }

    #[test]
    fn tabs_indent_makefiles_but_not_rust() {
        assert_eq!(problems("a.rs", "fn a() {\n\tb()\n}").len(), 1);
        assert_eq!(problems("Makefile", "a:\n\tb"), [""; 0]);
    }

    #[test]
    fn notes_to_self_are_reported_as_words() {
        for note in NOTES {
            assert_eq!(problems("a.md", &format!("// {note}: later")).len(), 1);
            assert_eq!(problems("a.sh", &format!("mktemp {note}{note}")), [""; 0]);
        }
    }
}
