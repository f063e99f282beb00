//! Tells code from comments and literals, and what ships from what is compiled for tests only.
//!
//! What is not wanted is blanked: replaced by as many spaces, so that places stay the same.

pub(super) fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

/// The end of the word that begins at `at`.
pub(super) fn word_end(bytes: &[u8], at: usize) -> usize {
    at + bytes[at..].iter().take_while(|byte| is_word_byte(**byte)).count()
}

fn blank(bytes: &mut [u8]) {
    for byte in bytes.iter_mut().filter(|byte| **byte != b'\n') {
        *byte = b' ';
    }
}

pub(super) fn blank_comments_and_literals(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match &bytes[at..] {
            [b'/', b'/', ..] => line_comment_end(&bytes, at),
            [b'/', b'*', ..] => block_comment_end(&bytes, at),
            [b'"', ..] => string_end(&bytes, at),
            [b'\'', ..] => match char_end(&bytes, at) {
                Some(end) => end,
                None => {
                    at += 1; // a lifetime
                    continue;
                }
            },
            [byte, ..] if is_word_byte(*byte) => {
                let end = word_end(&bytes, at);
                match raw_string_end(&bytes, at, end) {
                    Some(end) => end,
                    None => {
                        at = end;
                        continue;
                    }
                }
            }
            _ => {
                at += 1;
                continue;
            }
        };
        blank(&mut bytes[at..end]);
        at = end;
    }
    String::from_utf8(bytes).expect("whole characters were replaced by blanks")
}

fn line_comment_end(bytes: &[u8], at: usize) -> usize {
    at + bytes[at..].iter().take_while(|byte| **byte != b'\n').count()
}

fn block_comment_end(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0;
    while at < bytes.len() {
        match &bytes[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// `None` where the quote opens a lifetime or a label.
fn char_end(bytes: &[u8], at: usize) -> Option<usize> {
    let first = *bytes.get(at + 1)?;
    if first == b'\\' {
        let close = bytes[at + 3..].iter().position(|byte| *byte == b'\'')?;
        return Some(at + 3 + close + 1);
    }
    let width = match first {
        0x00..=0x7f => 1,
        0x80..=0xdf => 2,
        0xe0..=0xef => 3,
        _ => 4,
    };
    let close = at + 1 + width;
    (bytes.get(close) == Some(&b'\'')).then_some(close + 1)
}

/// The end of a raw string whose mark (`r`, `br`, `cr`) is the word `at..word_end`.
fn raw_string_end(bytes: &[u8], at: usize, word_end: usize) -> Option<usize> {
    if !matches!(&bytes[at..word_end], b"r" | b"br" | b"cr") {
        return None;
    }
    let hashes = bytes[word_end..].iter().take_while(|byte| **byte == b'#').count();
    let open = word_end + hashes;
    if bytes.get(open) != Some(&b'"') {
        return None; // a raw identifier
    }
    let mut close = vec![b'"'];
    close.resize(hashes + 1, b'#');
    let body = &bytes[open + 1..];
    let found = body.windows(close.len()).position(|window| window == close);
    Some(found.map_or(bytes.len(), |found| open + 1 + found + close.len()))
}

/// Blanks the items behind `#[cfg(test)]` or `#[cfg(all(…, test, …))]`; also says which of them are
/// modules kept in other files.
pub(super) fn blank_tests(code: &str) -> (String, Vec<String>) {
    let mut bytes = code.as_bytes().to_vec();
    let mut modules = Vec::new();
    let mut from = 0;
    while let Some(found) = code[from..].find('#') {
        let start = from + found;
        from = start + 1;
        let inner = bytes.get(start + 1) == Some(&b'!');
        let open = start + 1 + usize::from(inner);
        if bytes.get(open) != Some(&b'[') {
            continue;
        }
        let end = bracket_end(&bytes, open);
        if !is_test_only(&code[open..end]) {
            continue;
        }
        if inner {
            blank(&mut bytes); // the whole file is for tests
            break;
        }
        if let Some((item_end, module)) = item_after(code, end) {
            blank(&mut bytes[start..item_end]);
            modules.extend(module);
            from = item_end;
        }
    }
    (String::from_utf8(bytes).expect("whole characters were replaced by blanks"), modules)
}

/// Whether `[cfg(…)]` holds in test builds only.
fn is_test_only(attribute: &str) -> bool {
    let plain: String = attribute.chars().filter(|c| !c.is_whitespace()).collect();
    let all = plain.strip_prefix("[cfg(all(").and_then(|rest| rest.strip_suffix("))]"));
    plain == "[cfg(test)]" || all.is_some_and(|all| all.split(',').any(|part| part == "test"))
}

/// The end of the item that follows an attribute, and its name if it is a module kept in another
/// file. `None` where the attribute is on a field, an arm or a statement.
fn item_after(code: &str, at: usize) -> Option<(usize, Option<String>)> {
    let bytes = code.as_bytes();
    let mut at = at;
    loop {
        at += bytes[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        match *bytes.get(at)? {
            b'#' => at = bracket_end(bytes, at + 1),
            b'(' => at = bracket_end(bytes, at), // of `pub(crate)`
            byte if is_word_byte(byte) => {
                let end = word_end(bytes, at);
                match &code[at..end] {
                    "pub" => at = end,
                    "mod" => {
                        let item_end = item_end(bytes, end);
                        let name = code[end..item_end].trim().strip_suffix(';');
                        return Some((item_end, name.map(|name| name.trim().to_owned())));
                    }
                    "use" | "fn" | "impl" | "struct" | "enum" | "trait" | "type" | "const"
                    | "static" | "unsafe" | "async" | "extern" | "macro_rules" => {
                        return Some((item_end(bytes, end), None));
                    }
                    _ => return None,
                }
            }
            _ => return None,
        }
    }
}

/// Just behind the `;` or the `{…}` that ends an item.
fn item_end(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() {
        match bytes[at] {
            b';' => return at + 1,
            b'{' => return bracket_end(bytes, at),
            b'(' | b'[' => at = bracket_end(bytes, at),
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Just behind the bracket that closes the one at `open`.
fn bracket_end(bytes: &[u8], open: usize) -> usize {
    let mut depth = 0usize;
    for (at, byte) in bytes.iter().enumerate().skip(open) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    bytes.len()
}
