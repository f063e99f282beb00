//! Every Rust file opens with a sentence that says what it is for.

use super::Problem;
use super::source::Source;

pub(super) fn check(file: &Source) -> Option<Problem> {
    let paragraph = file.first_paragraph();
    if paragraph.is_empty() {
        let wrong = "the file does not open with a sentence";
        return Some(Problem::new(&file.path, 1, wrong, "say what it is for in a `//!` on line 1"));
    }
    let ends = paragraph.ends_with('.') || paragraph.contains(". ");
    let wrong = "the first `//!` paragraph holds no sentence that ends in a full stop";
    (!ends).then(|| Problem::new(&file.path, 1, wrong, "end the sentence in its first paragraph"))
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::source::Source;

    fn is_fine(text: &str) -> bool {
        check(&Source::new("a.rs", text)).is_none()
    }

    #[test]
    fn a_sentence_may_take_several_lines_of_the_first_paragraph() {
        assert!(is_fine("//! One line.\n"));
        assert!(is_fine("//! Two lines that\n//! make one. And more\n\nuse a;\n"));
    }

    #[test]
    fn a_file_without_a_sentence_is_reported() {
        assert!(!is_fine(""));
        assert!(!is_fine("use a;\n//! Too late.\n"));
        assert!(!is_fine("// Not for the documentation.\n"));
        assert!(!is_fine("\n//! Not on line 1.\n"));
    }

    #[test]
    fn a_sentence_that_ends_in_a_later_paragraph_is_reported() {
        assert!(!is_fine("//! A title\n//!\n//! The sentence.\n"));
        assert!(!is_fine("//! See api.md\n"));
    }
}
