//! `unsafe` stands only in files that opt out of the workspace's lint and open with a safety chapter.

use super::Problem;
use super::source::Source;

pub(super) fn check(file: &Source) -> Vec<Problem> {
    let has_chapter = file.head().any(|line| line == "# Safety");
    let opts_out = ["#![allow(unsafe_code", "#![expect(unsafe_code"];
    let opts_out = file.text.lines().any(|line| opts_out.iter().any(|out| line.starts_with(out)));
    let mut problems = Vec::new();
    for word in file.words().iter().filter(|word| word.text == "unsafe") {
        let line = file.line_at(word.at);
        if !has_chapter {
            let wrong = "`unsafe` in a file without a safety chapter";
            let mend = "do without, or explain it under `//! # Safety` at the head of the file";
            problems.push(Problem::new(&file.path, line, wrong, mend));
        }
        if !opts_out {
            let wrong = "`unsafe` in a file that does not opt out of the lint as a whole";
            let mend = "add `#![expect(unsafe_code, reason = \"…\")]` below the head of the file";
            problems.push(Problem::new(&file.path, line, wrong, mend));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::source::Source;

    fn problems(text: &str) -> usize {
        check(&Source::new("a.rs", text)).len()
    }

    #[test]
    fn a_file_with_a_chapter_and_an_opt_out_may_be_unsafe() {
        let head = "//! Lends.\n//!\n//! # Safety\n//!\n//! Because.\n";
        let code = "unsafe impl Send for A {}\n";
        assert_eq!(problems(&format!("{head}#![allow(unsafe_code)]\n{code}")), 0);
        assert_eq!(problems(&format!("{head}#![expect(unsafe_code, reason = \"r\")]\n{code}")), 0);
        assert_eq!(problems(&format!("{head}{code}")), 1);
        assert_eq!(problems(&format!("//! Lends.\n#![allow(unsafe_code)]\n{code}")), 1);
    }

    #[test]
    fn every_site_is_reported_also_in_tests() {
        assert_eq!(problems("fn a() { unsafe { b() } }"), 2);
        assert_eq!(problems("#[cfg(test)] mod tests { unsafe fn a() {} unsafe fn b() {} }"), 4);
    }

    #[test]
    fn the_word_in_a_comment_a_text_or_a_lint_is_no_site() {
        assert_eq!(problems("#![deny(unsafe_code)]\n// unsafe\nconst A: &str = \"unsafe\";"), 0);
    }
}
