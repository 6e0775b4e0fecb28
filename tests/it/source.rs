//! Source text → what the house rules look at: files, rooms, code without comments, strings and tests, functions.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::rig::root;

/// The rooms in their order: a file imports only from names to its left.
pub const ROOMS: [&str; 9] = ["limits", "wire", "gate", "tool", "config", "api", "serve", "cli", "main"];

/// One source file.
#[derive(Debug)]
pub struct Source {
    /// Its path from the repository's top, with `/`.
    pub path: String,
    /// Its text.
    pub text: String,
    /// Its text with comments, literals and everything under `#[cfg(test)]` turned into spaces.
    pub code: String,
}

impl Source {
    /// The room it stands in, by number; `None` for `lib.rs` and files outside `src`.
    pub fn room(&self) -> Option<usize> {
        let first = self.path.strip_prefix("src/")?.split('/').next()?;
        ROOMS.iter().position(|room| *room == first.trim_end_matches(".rs"))
    }

    /// Its name for a message, with the line of an offset.
    pub fn at(&self, offset: usize) -> String {
        let line = self.text.bytes().take(offset).filter(|b| *b == b'\n').count() + 1;
        format!("{}:{line}", self.path)
    }
}

/// Every Rust file below `folders`, those that are compiled for tests only with no code.
pub fn sources(folders: &[&str]) -> Vec<Source> {
    let mut all = Vec::new();
    for folder in folders {
        collect(&root().join(folder), &mut all);
    }
    all.sort_by(|a, b| a.path.cmp(&b.path));
    let for_tests: BTreeSet<String> = all.iter().flat_map(test_modules).collect();
    for source in &mut all {
        let code =
            if for_tests.contains(&source.path) { blank_all(&source.text) } else { blank_tests(&blank(&source.text)) };
        source.code = code;
    }
    assert!(!all.is_empty(), "no source files below {folders:?}");
    all
}

fn collect(folder: &Path, all: &mut Vec<Source>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() && path.file_name().is_none_or(|name| name != "target") {
            collect(&path, all);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let path = path.strip_prefix(root()).unwrap_or(&path).to_string_lossy().into_owned();
            all.push(Source { path, text, code: String::new() });
        }
    }
}

/// Paths of modules declared as `#[cfg(test)] mod name;`, with or without a `#[path]`.
fn test_modules(source: &Source) -> Vec<String> {
    let (here, file) = source.path.rsplit_once('/').unwrap_or(("", &source.path));
    let folder = match file {
        "mod.rs" | "lib.rs" | "main.rs" => here.to_owned(),
        _ => source.path.trim_end_matches(".rs").to_owned(),
    };
    let mut found = Vec::new();
    for (at, mark) in source.text.match_indices("#[cfg(test)]") {
        let mut rest = source.text[at + mark.len()..].trim_start();
        let mut path = None;
        while let Some((attribute, after)) = rest.strip_prefix("#[").and_then(|r| r.split_once(']')) {
            path =
                path.or_else(|| Some(format!("{here}/{}", attribute.strip_prefix("path = \"")?.trim_end_matches('"'))));
            rest = after.trim_start();
        }
        let rest = rest.strip_prefix("pub(crate) ").or_else(|| rest.strip_prefix("pub ")).unwrap_or(rest);
        if let Some((name, _)) = rest.strip_prefix("mod ").and_then(|r| r.split_once(';')).filter(|(n, _)| is_name(n)) {
            found.push(path.unwrap_or_else(|| format!("{folder}/{name}.rs")));
        }
    }
    found
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_word)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn blank_all(text: &str) -> String {
    text.bytes().map(|b| if b == b'\n' { '\n' } else { ' ' }).collect()
}

/// Where the literal or comment at the front of `text` ends, if there is one.
fn skip(text: &[u8], after_word: bool) -> Option<usize> {
    let find = |from: usize, end: &[u8]| {
        let rest = text.get(from..).unwrap_or_default();
        rest.windows(end.len()).position(|w| w == end).map_or(text.len(), |at| from + at + end.len())
    };
    match text {
        [b'/', b'/', ..] => Some(find(2, b"\n") - 1),
        [b'/', b'*', ..] => Some(find(2, b"*/")),
        [b'"', ..] => Some(end_of_string(text, 1)),
        [b'b', b'"', ..] if !after_word => Some(end_of_string(text, 2)),
        [b'r', ..] | [b'b', b'r', ..] if !after_word => {
            let start = text.iter().position(|b| *b == b'r').unwrap_or_default() + 1;
            let hashes = text.get(start..)?.iter().take_while(|b| **b == b'#').count();
            (text.get(start + hashes) == Some(&b'"')).then(|| {
                let end = [b"\"", "#".repeat(hashes).as_bytes()].concat();
                find(start + hashes + 1, &end)
            })
        }
        // A character, not a lifetime.
        [b'\'', b'\\', ..] => Some(find(3, b"'")),
        [b'\'', rest @ ..] => {
            let width = std::str::from_utf8(rest.get(..rest.len().min(4))?).map_or_else(
                |e| {
                    std::str::from_utf8(rest.get(..e.valid_up_to()).unwrap_or_default())
                        .ok()?
                        .chars()
                        .next()
                        .map(char::len_utf8)
                },
                |s| s.chars().next().map(char::len_utf8),
            )?;
            (rest.get(width) == Some(&b'\'')).then_some(width + 2)
        }
        _ => None,
    }
}

fn end_of_string(text: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(byte) = text.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

/// Comments and literals → spaces, line ends and length kept.
pub fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let after_word = at > 0 && is_word(bytes[at - 1]);
        let end = skip(&bytes[at..], after_word).map_or(at, |length| (at + length).min(bytes.len()));
        if end > at {
            out.extend(bytes[at..end].iter().map(|b| if *b == b'\n' { b'\n' } else { b' ' }));
            at = end;
        } else {
            out.push(if bytes[at].is_ascii() { bytes[at] } else { b' ' });
            at += 1;
        }
    }
    String::from_utf8(out).expect("ASCII")
}

/// Items under `#[cfg(test)]` → spaces.
fn blank_tests(code: &str) -> String {
    let mut out = code.as_bytes().to_vec();
    for (at, mark) in code.match_indices("#[cfg(").filter(|(at, _)| is_for_tests(&code[*at..])) {
        let start = at + mark.len();
        let Some(open) = code[start..].find(['{', ';']).map(|n| start + n) else { continue };
        let end = if code.as_bytes()[open] == b'{' { closing(code.as_bytes(), open) } else { open };
        for byte in out.iter_mut().take(end + 1).skip(at).filter(|b| **b != b'\n') {
            *byte = b' ';
        }
    }
    String::from_utf8(out).expect("ASCII")
}

fn is_for_tests(attribute: &str) -> bool {
    attribute.starts_with("#[cfg(test)]") || attribute.starts_with("#[cfg(all(test")
}

/// The offset of the brace that closes the one at `open`.
fn closing(code: &[u8], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in code.iter().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    code.len() - 1
}

/// The offsets at which `token` stands in `code` as whole words.
pub fn words(code: &str, token: &str) -> Vec<usize> {
    let bytes = code.as_bytes();
    let border =
        |at: Option<usize>, inner: u8| !is_word(inner) || at.and_then(|at| bytes.get(at)).is_none_or(|b| !is_word(*b));
    let (first, last) = (token.as_bytes()[0], token.as_bytes()[token.len() - 1]);
    let found = code.match_indices(token).map(|(at, _)| at);
    found.filter(|at| border(at.checked_sub(1), first) && border(Some(at + token.len()), last)).collect()
}

/// Every function: name, offset, lines.
pub fn functions(code: &str) -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    for at in words(code, "fn") {
        let name: String =
            code[at + 2..].trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let mut depth = 0_i32;
        let body = code.bytes().enumerate().skip(at).find(|(_, byte)| {
            match byte {
                b'(' | b'[' => depth += 1,
                b')' | b']' => depth -= 1,
                _ => {}
            }
            depth == 0 && matches!(byte, b'{' | b';')
        });
        let Some((open, b'{')) = body else { continue };
        if !name.is_empty() {
            let lines = code[at..closing(code.as_bytes(), open)].matches('\n').count() + 1;
            found.push((name, at, lines));
        }
    }
    found
}

/// Whole numbers in `code`: offset and value.
pub fn numbers(code: &str) -> Vec<(usize, u64)> {
    let bytes = code.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let length = bytes[at..].iter().take_while(|b| is_word(**b)).count();
        let text = code[at..at + length].replace('_', "");
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let digits = if text.starts_with(|c: char| c.is_ascii_digit()) {
            text.split(['u', 'i']).next().unwrap_or(digits)
        } else {
            ""
        };
        if let Ok(value) = digits.parse() {
            found.push((at, value));
        }
        at += length.max(1);
    }
    found
}

#[test]
fn reading_source() {
    let check = |text: &str, expected: &str| assert_eq!(blank(text), expected, "{text}");
    check("a // b\nc", "a     \nc");
    check("a /* b */ c", "a         c");
    check("f(\"a\\\"b\") x", "f(      ) x");
    check("f(r#\"a\"b\"#) x", "f(        ) x");
    check("f(b\"x\", b'y') z", "f(    , b   ) z");
    check("&'a str 'x' '\\'' '{'", "&'a str             ");
    assert_eq!(words("a::b ab a", "a"), [0, 8]);
    assert_eq!(words("crate::api::x", "crate::api"), [0]);
    let code = "fn a(x: [u8; 2]) -> u8 {\n if x {\n }\n}\nfn b();\n#[cfg(test)]\nmod t { fn c() {} }\n";
    assert_eq!(functions(&blank_tests(code)), [("a".to_owned(), 0, 4)]);
    assert_eq!(numbers("x1 = 1_024_u32 + 3.5 + 0x10"), [(5, 1024), (17, 3), (19, 5)]);
}
