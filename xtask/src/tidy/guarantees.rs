//! The proofs that GUARANTEES.md names are there: linked files, and the functions named after a link.

use std::collections::BTreeMap;

use super::Problem;
use super::source::Source;

/// The page, from the root of the workspace.
const PAGE: &str = "GUARANTEES.md";

pub(super) fn check(files: &[Source]) -> Vec<Problem> {
    let by_path: BTreeMap<&str, &Source> = files.iter().map(|f| (f.path.as_str(), f)).collect();
    let Some(page) = by_path.get(PAGE) else { return Vec::new() };
    let mut problems = Vec::new();
    for link in links(&page.text) {
        let line = page.line_at(link.at);
        let Some(file) = by_path.get(link.path) else {
            let wrong = format!("there is no file `{}`", link.path);
            problems.push(Problem::new(PAGE, line, wrong, "link the file where the proof is now"));
            continue;
        };
        let words: Vec<&str> = file.words().iter().map(|word| word.text).collect();
        for name in link.names {
            if !words.windows(2).any(|pair| pair == ["fn", name]) {
                let wrong = format!("`{}` has no function `{name}`", link.path);
                problems.push(Problem::new(PAGE, line, wrong, "name a test that is there"));
            }
        }
    }
    problems
}

/// A link to a file of the workspace, and the names in code style that follow it.
struct Link<'t> {
    at: usize,
    path: &'t str,
    names: Vec<&'t str>,
}

fn links(text: &str) -> Vec<Link<'_>> {
    let mut links = Vec::new();
    let mut at = 0;
    while let Some(found) = text[at..].find("](") {
        let start = at + found + 2;
        let Some(length) = text[start..].find(')') else { break };
        at = start + length + 1;
        let target = &text[start..start + length];
        let path = target.split('#').next().unwrap_or(target);
        if path.is_empty() || path.contains("://") {
            continue;
        }
        links.push(Link { at: start, path, names: names(&text[at..]) });
    }
    links
}

/// What stands in code style before anything but commas, colons and white space comes.
fn names(mut text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    loop {
        text = text.trim_start_matches(|c: char| c == ',' || c == ':' || c.is_whitespace());
        let Some((name, rest)) = text.strip_prefix('`').and_then(|text| text.split_once('`'))
        else {
            return names;
        };
        names.push(name);
        text = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::source::Source;

    fn problems(page: &str) -> Vec<String> {
        let test = "//! A test.\nfn a_stop_ends() {}\nproptest! { fn a_property(x in y()) {} }\n";
        let files = [Source::new("GUARANTEES.md", page), Source::new("tests/it.rs", test)];
        check(&files).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_page_that_names_what_is_there_is_fine() {
        let page =
            "[it](tests/it.rs): `a_stop_ends`,\n`a_property`; `elsewhere`, [web](https://a.b): `c`";
        assert_eq!(problems(page), [""; 0]);
        assert_eq!(problems("[a section](tests/it.rs#here)"), [""; 0]);
    }

    #[test]
    fn a_proof_that_is_gone_is_reported_with_its_line() {
        let gone = problems("One\n[it](tests/it.rs): `a_stop_ends`, `a_kill_ends`.");
        assert_eq!(gone.len(), 1);
        assert!(
            gone[0].starts_with("GUARANTEES.md:2: `tests/it.rs` has no function `a_kill_ends`")
        );
        let gone = problems("[it](tests/other.rs): `a_stop_ends`");
        assert!(gone[0].contains("there is no file `tests/other.rs`"), "{gone:?}");
    }
}
