//! `${NAME}` in texts → the environment's values. Pure: the environment is an argument. Source: contract http.md §6.3.

use super::Findings;
use super::node::{Node, element, member, quoted};
use crate::limits::CONFIG_EXPANDED_BYTES_MAX;

/// The environment, and what came of it so far.
pub(super) struct Substitute<'a> {
    env: &'a dyn Fn(&str) -> Option<String>,
    /// Bytes that values may still add.
    left: usize,
    /// Paths of the texts that kept a placeholder.
    pub(super) kept: Vec<String>,
}

impl<'a> Substitute<'a> {
    pub(super) fn new(env: &'a dyn Fn(&str) -> Option<String>) -> Substitute<'a> {
        Substitute { env, left: CONFIG_EXPANDED_BYTES_MAX, kept: Vec::new() }
    }

    /// Every text in `node`, keys left alone.
    pub(super) fn all(&mut self, node: &mut Node, path: &str, findings: &mut Findings) {
        match node {
            Node::Text(text) => self.text(text, path, findings),
            Node::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.all(item, &element(path, index), findings);
                }
            }
            Node::Map(entries) => {
                for (key, child) in entries {
                    self.all(child, &member(path, key), findings);
                }
            }
            Node::Null | Node::Bool(_) | Node::Int(_) | Node::Float(_) => {}
        }
    }

    /// One text, in one pass: what a value brings in is not looked at again.
    pub(super) fn text(&mut self, text: &mut String, path: &str, findings: &mut Findings) {
        if !text.contains("${") {
            return;
        }
        let mut out = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some(at) = rest.find('$') {
            let (before, here) = rest.split_at(at);
            out.push_str(before);
            if let Some((name, after)) = here.strip_prefix('$').and_then(placeholder) {
                // "$${NAME}" is the literal "${NAME}".
                out.push_str(&format!("${{{name}}}"));
                rest = after;
            } else if let Some((name, after)) = placeholder(here) {
                match (self.env)(name).filter(|value| !value.is_empty()) {
                    Some(value) if value.len() <= self.left => {
                        self.left -= value.len();
                        out.push_str(&value);
                    }
                    Some(_) => {
                        let most = CONFIG_EXPANDED_BYTES_MAX;
                        let message =
                            format!("{} is too long: all variables together may add {most} bytes", quoted(name));
                        findings.error(path, &message);
                    }
                    None => {
                        self.kept.push(path.to_owned());
                        out.push_str(&format!("${{{name}}}"));
                        let name = quoted(name);
                        findings
                            .warn(path, &format!("environment variable {name} is not set; the placeholder is kept"));
                    }
                }
                rest = after;
            } else {
                out.push('$');
                rest = here.get(1..).unwrap_or_default();
            }
        }
        out.push_str(rest);
        *text = out;
    }
}

/// The name in `${NAME}` at the start of `text`, and what follows it. `NAME` is `[A-Z_][A-Z0-9_]*`.
fn placeholder(text: &str) -> Option<(&str, &str)> {
    let (name, after) = text.strip_prefix("${")?.split_once('}')?;
    let first = name.bytes().next()?;
    let fits =
        !first.is_ascii_digit() && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    fits.then_some((name, after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Level;

    #[test]
    fn values_go_in_once() {
        check("plain", "plain", 0);
        check("${A}", "alpha", 0);
        check("a${A}b${B}c", "aalphab${A}c", 0);
        check("$${A}", "${A}", 0);
        check("$$${A}", "$${A}", 0);
        check("$", "$", 0);
        check("${", "${", 0);
        check("${}", "${}", 0);
        check("${a}", "${a}", 0);
        check("${1A}", "${1A}", 0);
        check("${NONE}", "${NONE}", 1);
        check("${EMPTY}${NONE}", "${EMPTY}${NONE}", 2);
        check("é${A}é", "éalphaé", 0);
        check("${é}${A}", "${é}alpha", 0);
    }

    #[test]
    fn variables_together_are_bounded() {
        let env = |_: &str| Some("x".repeat(CONFIG_EXPANDED_BYTES_MAX / 2 + 1));
        let mut findings = Findings::default();
        let mut text = "${A}${A}${A}".to_owned();
        Substitute::new(&env).text(&mut text, "p", &mut findings);
        assert_eq!(text.len(), CONFIG_EXPANDED_BYTES_MAX / 2 + 1);
        assert_eq!(findings.0.iter().filter(|finding| finding.level == Level::Error).count(), 2);
    }

    fn check(text: &str, expected: &str, warnings: usize) {
        let env = |name: &str| match name {
            "A" => Some("alpha".to_owned()),
            "B" => Some("${A}".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let (mut findings, mut out) = (Findings::default(), text.to_owned());
        let mut substitute = Substitute::new(&env);
        substitute.text(&mut out, "p", &mut findings);
        assert_eq!((out.as_str(), findings.0.len()), (expected, warnings), "{text:?}");
        assert_eq!(!substitute.kept.is_empty(), warnings > 0, "{text:?}");
    }
}
