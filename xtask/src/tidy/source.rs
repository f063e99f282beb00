//! One file of the tree, read just well enough for the rules: its opening, its code, its paths.
//!
//! Nothing here is a parser. `code` tells comments, literals and tests from code and finds the end
//! of an item by its brackets; `paths` follows paths through the groups of a `use`.

use super::code::{blank_comments_and_literals, blank_tests, is_word_byte};
use super::paths::{Path, Word, paths, tokens};

/// One file of the tree.
#[derive(Debug)]
pub(super) struct Source {
    /// From the root of the workspace, with `/` on every system.
    pub(super) path: String,
    pub(super) text: String,
    /// `text` with comments and literals blanked; byte for byte as long.
    code: String,
    /// `code` with all that is compiled for tests only blanked too.
    shipped: String,
    /// The modules declared in other files for tests only.
    test_modules: Vec<String>,
}

impl Source {
    pub(super) fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        let (path, text) = (path.into(), text.into());
        let code = blank_comments_and_literals(&text);
        let (shipped, test_modules) = blank_tests(&code);
        Self { path, text, code, shipped, test_modules }
    }

    pub(super) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Counted from 1.
    pub(super) fn line_at(&self, at: usize) -> usize {
        self.text[..at].matches('\n').count() + 1
    }

    /// The `//!` lines that open the file, without their marks.
    pub(super) fn head(&self) -> impl Iterator<Item = &str> {
        self.text.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim)
    }

    /// The first paragraph of the head, on one line.
    pub(super) fn first_paragraph(&self) -> String {
        let lines: Vec<&str> = self.head().take_while(|line| !line.is_empty()).collect();
        lines.join(" ")
    }

    pub(super) fn is_decision(&self) -> bool {
        let paragraph = self.first_paragraph();
        let rest = paragraph.strip_prefix("DECISION");
        rest.is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
    }

    /// The words of the code, tests included.
    pub(super) fn words(&self) -> Vec<Word<'_>> {
        words(&self.code)
    }

    /// The words of what is compiled outside tests.
    pub(super) fn shipped_words(&self) -> Vec<Word<'_>> {
        words(&self.shipped)
    }

    /// The paths of what is compiled outside tests that start at `crate`, `self`, `super` or `std`.
    pub(super) fn shipped_paths(&self) -> Vec<Path> {
        paths(&self.shipped)
    }

    /// The files (`…/name.rs`) and folders (`…/name/`) of its test modules.
    pub(super) fn test_files(&self) -> Vec<String> {
        let folder = match self.path.rsplit_once('/') {
            Some((folder, "mod.rs" | "lib.rs" | "main.rs")) => format!("{folder}/"),
            _ => format!("{}/", self.path.trim_end_matches(".rs")),
        };
        let files = |name: &String| [format!("{folder}{name}.rs"), format!("{folder}{name}/")];
        self.test_modules.iter().flat_map(files).collect()
    }
}

fn words(code: &str) -> Vec<Word<'_>> {
    tokens(code).into_iter().filter(|token| is_word_byte(token.text.as_bytes()[0])).collect()
}

#[cfg(test)]
mod tests {
    use super::Source;

    fn shipped_words(text: &str) -> Vec<String> {
        let source = Source::new("a.rs", text);
        source.shipped_words().iter().map(|word| word.text.to_owned()).collect()
    }

    fn shipped_paths(text: &str) -> Vec<String> {
        let source = Source::new("a.rs", text);
        source.shipped_paths().iter().map(|path| path.parts.join("::")).collect()
    }

    #[test]
    fn comments_and_literals_are_not_code() {
        let text = r####"
            // Mutex
            /* Mutex /* nested */ Mutex */
            let a = "Mutex \" Mutex"; let b = 'M'; let c = '\''; let d = b"Mutex";
            let e = r#"Mutex " Mutex"#; let f = '→'; let g: &'static str = "Mutex";
        "####;
        let words = shipped_words(text).join(" ");
        assert_eq!(words, "let a let b let c let d b let e let f let g static str");
    }

    #[test]
    fn blanking_keeps_every_line_in_its_place() {
        let source = Source::new("a.rs", "/* → \n\n */\nfn here() {}\n");
        let here = source.words()[1];
        assert_eq!((here.text, source.line_at(here.at)), ("here", 4));
    }

    #[test]
    fn what_is_for_tests_only_is_not_shipped() {
        let text = "
            #[cfg(test)] use a::{b, c};
            #[cfg(all(test, loom))] #[allow(x)] pub(crate) fn d(e: [u8; 3]) { f }
            #[cfg(test)] mod tests { fn g() { { h } } }
            fn kept() {}
        ";
        assert_eq!(shipped_words(text), ["fn", "kept"]);
        assert_eq!(shipped_words("#![cfg(test)]\nfn a() {}"), [""; 0]);
    }

    #[test]
    fn what_is_also_for_users_is_shipped() {
        let text = "#[cfg(any(test, feature = \"testing\"))] fn kept() {}";
        assert!(shipped_words(text).contains(&"kept".to_owned()));
        assert!(shipped_words("#[cfg(not(test))] fn kept() {}").contains(&"kept".to_owned()));
    }

    #[test]
    fn a_field_for_tests_does_not_hide_what_follows_it() {
        let text = "struct S { #[cfg(test)] a: u8, kept: u8 } fn also() {}";
        assert!(shipped_words(text).contains(&"kept".to_owned()));
        assert!(shipped_words(text).contains(&"also".to_owned()));
    }

    #[test]
    fn test_modules_in_other_files_are_known_by_path() {
        let text = "#[cfg(all(test, loom))]\nmod models;\nmod queue;";
        let of = |path: &str| Source::new(path, text).test_files();
        assert_eq!(of("src/lib.rs"), ["src/models.rs", "src/models/"]);
        assert_eq!(of("src/queue.rs"), ["src/queue/models.rs", "src/queue/models/"]);
    }

    #[test]
    fn the_groups_of_a_use_are_spelled_out() {
        let text = "use crate::{a::{self, B as C}, d::*}; use std::{sync::Mutex, thread};";
        assert_eq!(
            shipped_paths(text),
            ["crate::a", "crate::a::B", "crate::d::*", "std::sync::Mutex", "std::thread"]
        );
    }

    #[test]
    fn paths_in_expressions_are_found_too() {
        let text = "fn f() -> crate::a::B<crate::c::D> { crate::e::<u8>(super::g::H { i: 1 }) }";
        assert_eq!(shipped_paths(text), ["crate::a::B", "crate::c::D", "crate::e", "super::g::H"]);
    }

    #[test]
    fn a_path_knows_the_inline_modules_around_it() {
        let source = Source::new("a.rs", "mod inner { use super::x; } use super::y;");
        let paths = source.shipped_paths();
        assert_eq!(paths[0].inside, ["inner"]);
        assert_eq!(paths[1].inside, [""; 0]);
    }

    #[test]
    fn the_first_paragraph_ends_at_an_empty_line() {
        let source = Source::new("a.rs", "//! One\n//! two.\n//!\n//! Three.\n");
        assert_eq!(source.first_paragraph(), "One two.");
        assert_eq!(source.head().count(), 4);
    }
}
