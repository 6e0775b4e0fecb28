//! A secret's place in the document → the secret, or where it lies. Pure: files and variables are read by the caller.
//!
//! No finding made here quotes a secret's text.

use super::nearest::{meant, nearest};
use super::node::{Node, controls, made_of, member, quoted};
use super::{Findings, Held};
use crate::gate::secret::Secret;
use crate::tool::targets::Hidden;

/// A secret as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretRef {
    /// In an environment variable.
    Env {
        /// The variable's name.
        name: String,
        /// What stands before the value, such as `Bearer `.
        prefix: Option<String>,
    },
    /// In a file; the caller checks its owner and mode.
    File {
        /// The file's absolute path.
        path: String,
        /// What stands before the content, such as `Bearer `.
        prefix: Option<String>,
    },
    /// In the document itself.
    Text(Secret),
}

/// Secrets that samples are shipped with, and what a script writes that lost its value.
static SAMPLES: &[&str] =
    &["change-me-to-a-long-random-token", "change-me-now", "change-me-to-a-strong-password", "undefined", "null"];

/// Whether `text` is a sample that must never open anything, wherever it was read from.
///
/// Source: contract http.md §2.2, edge.md §1 row 14.
pub fn sample(text: &str) -> bool {
    SAMPLES.contains(&text.trim())
}

/// The reference at `path`; `None` when absent, blank or refused. `kept` says that a placeholder is left in it.
/// `root` is the document, for the providers that the reference's own form names.
pub(super) fn read(node: &Node, path: &str, kept: bool, root: &Node, findings: &mut Findings) -> Option<SecretRef> {
    match node {
        Node::Text(_) if kept => None,
        Node::Text(text) => plain(text, path, findings),
        Node::Map(_) if node.get("source").is_some() => sourced(node, path, root, findings),
        Node::Map(_) => referred(node, path, findings),
        _ => {
            findings.wrong(path, &["expected text, {file: \"/path\"} or {env: \"NAME\"}, got ", node.noun()]);
            None
        }
    }
}

/// The empty place of the secret at `path`, which from now on is among the `held`; `None` when blank or refused.
/// `kept` holds the paths of the texts that kept a placeholder.
pub(super) fn hold(
    node: &Node,
    path: &str,
    kept: &[String],
    root: &Node,
    held: &mut Vec<Held>,
    findings: &mut Findings,
) -> Option<Hidden> {
    let kept = kept.iter().any(|own| own == path);
    if kept {
        findings.error(path, "the secret is missing: set the variable its placeholder names, or remove the key");
    }
    let secret = read(node, path, kept, root, findings)?;
    let place = Hidden::default();
    held.push(Held { key: path.to_owned(), secret, place: place.clone() });
    Some(place)
}

#[inline(never)]
fn plain(text: &str, path: &str, findings: &mut Findings) -> Option<SecretRef> {
    if sample(text) {
        findings.error(path, "this is a sample value, not a secret; replace it by a random one");
        return None;
    }
    if controls(text.trim()) {
        findings.error(path, "a secret may not hold control characters: no client could send it");
        return None;
    }
    let secret = Secret::new(text);
    if secret.is_none() {
        findings.warn(path, "a blank secret counts as absent");
    }
    secret.map(SecretRef::Text)
}

#[inline(never)]
fn referred(node: &Node, path: &str, findings: &mut Findings) -> Option<SecretRef> {
    let prefix = field(node, "prefix", path, findings);
    for (key, _) in node.entries() {
        if !["env", "file", "prefix"].contains(&key.as_str()) {
            let hint = nearest(key, &mut ["env", "file", "prefix", "source"].into_iter());
            let known = if hint.is_none() { "; known here: env, file, prefix" } else { "" };
            findings.wrong(&member(path, key), &["unknown key ", &quoted(key), &meant(hint), known]);
        }
    }
    match (node.get("env").is_some(), node.get("file").is_some()) {
        (true, false) => variable(field(node, "env", path, findings)?, prefix, &member(path, "env"), findings),
        (false, true) => file(field(node, "file", path, findings)?, prefix, &member(path, "file"), findings),
        _ => {
            findings.error(path, "name exactly one of file and env");
            None
        }
    }
}

/// The reference's own form: `{source, provider, id}`.
#[inline(never)]
fn sourced(node: &Node, path: &str, root: &Node, findings: &mut Findings) -> Option<SecretRef> {
    let source = field(node, "source", path, findings)?;
    let at = member(path, "source");
    match source.as_str() {
        "env" => variable(field(node, "id", path, findings)?, None, &member(path, "id"), findings),
        "exec" => {
            findings.error(&at, "no program is run for a secret; use {file: \"/path\"} or {env: \"NAME\"}");
            None
        }
        "file" => {
            let name = node.get("provider").and_then(Node::text).unwrap_or("default");
            let provider = root.get("secrets").and_then(|node| node.get("providers")).and_then(|node| node.get(name));
            let mode = provider.and_then(|node| node.get("mode")).and_then(Node::text);
            match provider.and_then(|node| node.get("path")).and_then(Node::text) {
                Some(path) if mode == Some("singleValue") => file(path.to_owned(), None, &at, findings),
                _ => {
                    let message =
                        "a file provider is read only with a path and mode singleValue; use {file: \"/path\"}";
                    findings.error(&at, message);
                    None
                }
            }
        }
        _ => {
            findings.wrong(&at, &[&quoted(&source), " is not one of env, file, exec"]);
            None
        }
    }
}

fn field(node: &Node, key: &str, path: &str, findings: &mut Findings) -> Option<String> {
    match node.get(key) {
        None if key == "prefix" => None,
        None => {
            findings.error(&member(path, key), "required here");
            None
        }
        Some(Node::Text(text)) if controls(text) => {
            findings.error(&member(path, key), "this text holds control characters; remove them");
            None
        }
        Some(Node::Text(text)) => Some(text.clone()),
        Some(other) => {
            findings.wrong(&member(path, key), &["expected text, got ", other.noun()]);
            None
        }
    }
}

/// Whether an environment variable may be called so.
pub(super) fn names_variable(name: &str) -> bool {
    !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && made_of(name, "_")
}

fn variable(name: String, prefix: Option<String>, at: &str, findings: &mut Findings) -> Option<SecretRef> {
    if names_variable(&name) {
        return Some(SecretRef::Env { name, prefix });
    }
    findings.error(at, "expected the name of an environment variable, such as GATEWAY_TOKEN");
    None
}

fn file(path: String, prefix: Option<String>, at: &str, findings: &mut Findings) -> Option<SecretRef> {
    if path.starts_with('/') && !path.ends_with('/') {
        return Some(SecretRef::File { path, prefix });
    }
    findings.error(at, "expected the absolute path of a file, such as /etc/toolgate/token");
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let env = |name: &str| Some(SecretRef::Env { name: name.into(), prefix: None });
        let file = |path: &str| Some(SecretRef::File { path: path.into(), prefix: None });
        check("'abc'", Secret::new("abc").map(SecretRef::Text), "");
        check("'  '", None, "s: a blank secret counts as absent");
        check("{env: 'NAME'}", env("NAME"), "");
        check("{file: '/etc/t'}", file("/etc/t"), "");
        let prefix = Some("Bearer ".to_owned());
        check("{prefix: 'Bearer ', env: 'N'}", Some(SecretRef::Env { name: "N".into(), prefix }), "");
        check("{source: 'env', provider: 'default', id: 'NAME'}", env("NAME"), "");
        check("{source: 'file', provider: 'one', id: 'value'}", file("/run/one"), "");
    }

    #[test]
    fn refusals() {
        let sample = "s: this is a sample value, not a secret; replace it by a random one";
        for text in ["change-me-now", " undefined ", "null", "change-me-to-a-strong-password"] {
            check(&format!("'{text}'"), None, sample);
        }
        check("'a\\nb'", None, "s: a secret may not hold control characters: no client could send it");
        check("{}", None, "s: name exactly one of file and env");
        check("{env: 'A', file: '/b'}", None, "s: name exactly one of file and env");
        check("{env: '1A'}", None, "s.env: expected the name of an environment variable, such as GATEWAY_TOKEN");
        check("{file: 'x'}", None, "s.file: expected the absolute path of a file, such as /etc/toolgate/token");
        check("{file: 5}", None, "s.file: expected text, got a number");
        check("{fiel: '/x', env: 'A'}", Some(SecretRef::Env { name: "A".into(), prefix: None }), SLIP);
        check("7", None, "s: expected text, {file: \"/path\"} or {env: \"NAME\"}, got a number");
        let exec = "s.source: no program is run for a secret; use {file: \"/path\"} or {env: \"NAME\"}";
        check("{source: 'exec', provider: 'p', id: 'i'}", None, exec);
        let json = "s.source: a file provider is read only with a path and mode singleValue; use {file: \"/path\"}";
        check("{source: 'file', provider: 'two', id: '/a/b'}", None, json);
        check("{source: 'env'}", None, "s.id: required here");
    }

    const SLIP: &str = "s.fiel: unknown key \"fiel\"; did you mean \"file\"?";

    fn check(text: &str, expected: Option<SecretRef>, finding: &str) {
        let root = "{secrets: {providers: {one: {path: '/run/one', mode: 'singleValue'}, two: {path: '/run/two'}}}}";
        let mut findings = Findings::default();
        let got = read(&Node::parse(text).unwrap(), "s", false, &Node::parse(root).unwrap(), &mut findings);
        assert_eq!(got, expected, "{text}");
        let lines: Vec<String> = findings.0.iter().map(ToString::to_string).collect();
        assert_eq!(lines.join("\n"), finding, "{text}");
    }
}
