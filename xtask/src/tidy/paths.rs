//! Finds the words of code and the paths that it names, groups of a `use` spelled out.

use super::code::{is_word_byte, word_end};

/// A word of the code and where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word<'s> {
    pub(super) text: &'s str,
    pub(super) at: usize,
}

impl Word<'_> {
    /// Whether `next` is asked of this word: `Instant::now`, but not `until: Instant, now: Instant`.
    pub(super) fn joins(&self, next: &Word<'_>, code: &str) -> bool {
        let between = &code[self.at + self.text.len()..next.at];
        between.trim() == "::"
    }
}

/// A path such as `crate::queue::Queue`, spelled out, and where its last part stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) parts: Vec<String>,
    /// The inline modules around it, which `self` and `super` start from.
    pub(super) inside: Vec<String>,
    pub(super) at: usize,
    /// `crate::name!(…)`: exported macros live at the root whichever room defines them.
    pub(super) is_macro: bool,
}

/// Words, `::` and every other sign on its own.
pub(super) fn tokens(code: &str) -> Vec<Word<'_>> {
    let bytes = code.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let end = match &bytes[at..] {
            [byte, ..] if is_word_byte(*byte) => word_end(bytes, at),
            [b':', b':', ..] => at + 2,
            _ => at + 1,
        };
        if !bytes[at].is_ascii_whitespace() {
            tokens.push(Word { text: &code[at..end], at });
        }
        at = end;
    }
    tokens
}

/// The paths that start at `crate`, `self`, `super`, `std`, `core` or `loom`, in order.
pub(super) fn paths(code: &str) -> Vec<Path> {
    let tokens = tokens(code);
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text);
    let mut found = Vec::new();
    let mut around: Vec<Option<String>> = Vec::new(); // for each open brace, the module it opens
    let mut at = 0;
    while at < tokens.len() {
        match text(at) {
            "{" => {
                let is_module = at >= 2 && text(at - 2) == "mod";
                around.push(is_module.then(|| text(at - 1).to_owned()));
            }
            "}" => drop(around.pop()),
            "crate" | "self" | "super" | "std" | "core" | "loom" if text(at + 1) == "::" => {
                let inside = around.iter().flatten().cloned().collect();
                let first = found.len();
                at = path(&tokens, at, &[], &mut found);
                for path in &mut found[first..] {
                    path.inside = Vec::clone(&inside);
                }
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Reads one path or branch of a group from `at`, puts what it spells out into `found`, and returns
/// the token behind it.
fn path(tokens: &[Word<'_>], mut at: usize, before: &[String], found: &mut Vec<Path>) -> usize {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text);
    let mut parts = before.to_vec();
    let mut last = at;
    loop {
        match text(at) {
            "{" => {
                at += 1;
                while !matches!(text(at), "}" | "") {
                    if text(at) == "," {
                        at += 1;
                    } else {
                        at = path(tokens, at, &parts, found);
                    }
                }
                return at + 1;
            }
            "self" if !parts.is_empty() => {} // `{self, …}` names the group's own path
            word if word == "*" || word.bytes().next().is_some_and(is_word_byte) => {
                parts.push(word.to_owned());
            }
            _ => break, // a turbofish, or the end of the group
        }
        (last, at) = (at, at + 1);
        if text(at) != "::" {
            break;
        }
        at += 1;
    }
    let is_macro = text(at) == "!" && text(at + 1) != "=";
    let place = tokens.get(last).map_or(0, |token| token.at);
    found.push(Path { parts, inside: Vec::new(), at: place, is_macro });
    if text(at) == "as" { at + 2 } else { at.max(last + 1) }
}
