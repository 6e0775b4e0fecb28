//! The document against the table of known keys → findings, with `${NAME}` replaced on the way. Pure.
//!
//! One walk does it all: unknown keys, kinds, ranges, words, substitution. What the walk accepts, `fill` and `policy`
//! may read without complaining again; what it refuses, they read as absent.

use super::keys::{self, Key, Kind};
use super::nearest::{distance, meant, nearest};
use super::node::{Node, controls, element, member, quoted};
use super::substitute::Substitute;
use super::{Findings, foreign};
use crate::limits::{FINDING_NAMES_MAX, TOOL_NAME_CHARS_MAX};

/// Checks the whole document in place. Returns the paths of the texts that kept a placeholder.
pub(super) fn document(root: &mut Node, env: &dyn Fn(&str) -> Option<String>, findings: &mut Findings) -> Vec<String> {
    if !matches!(root, Node::Map(_)) {
        findings.wrong("", &["expected an object in braces, got ", root.noun()]);
        return Vec::new();
    }
    let mut walk = Walk { findings, substitute: Substitute::new(env), sections: Vec::new() };
    walk.object(root, "", "", "");
    let sections = std::mem::take(&mut walk.sections);
    let kept = std::mem::take(&mut walk.substitute.kept);
    for (section, names) in sections {
        let more = if names.len() < FINDING_NAMES_MAX { "" } else { ", …" };
        let colon = if names.is_empty() { "" } else { ": " };
        let message = ["not served by this gateway; ignored", colon, &names.join(", "), more];
        findings.warn(&section, &message.concat());
    }
    kept
}

struct Walk<'a> {
    findings: &'a mut Findings,
    substitute: Substitute<'a>,
    /// Sections that hold keys of the reference which are not served, and those keys.
    sections: Vec<(String, Vec<String>)>,
}

impl Walk<'_> {
    /// One value at `path` against its row. `section` is where unserved keys below it are counted.
    fn value(&mut self, node: &mut Node, row: Key, path: &str, section: &str) {
        let row = &keys::resolve(row);
        match row.kind {
            Kind::Any => self.substitute.all(node, path, self.findings),
            Kind::As(_) => {}
            Kind::Bool => self.expect(matches!(node, Node::Bool(_)), node, row, path),
            Kind::Integer { min, max } => self.integer(node, min, max, path),
            Kind::List => self.list(node, row, path, section),
            Kind::Map => self.map(node, row, path, section),
            Kind::Model => self.model(node, row, path),
            Kind::Object => self.object(node, row.path, path, section),
            Kind::ObjectOrFalse if *node == Node::Bool(false) => {}
            Kind::ObjectOrFalse if matches!(node, Node::Map(_)) => self.object(node, row.path, path, section),
            Kind::ObjectOrFalse => self.expect(false, node, row, path),
            Kind::Secret => self.substitute.all(node, path, self.findings),
            Kind::Text => self.text(node, row, path),
            Kind::TextOrFalse if *node == Node::Bool(false) => {}
            Kind::TextOrFalse => self.text(node, row, path),
            Kind::Texts => self.texts(node, row, path),
            Kind::TextOrInteger { min, max } if matches!(node, Node::Int(_) | Node::Float(_)) => {
                self.integer(node, min, max, path);
            }
            Kind::TextOrInteger { .. } => self.text(node, row, path),
            Kind::Word(words) => self.word(node, row, words, path),
        }
    }

    fn expect(&mut self, fits: bool, node: &Node, row: &Key, path: &str) {
        if !fits {
            let expected = match row.kind {
                Kind::Map | Kind::Object => "an object",
                Kind::ObjectOrFalse => "an object, or false",
                Kind::List => "a list",
                Kind::Texts => "a list of texts",
                Kind::Word(_) => "text",
                kind => &kind.to_string(),
            };
            self.findings.wrong(path, &["expected ", expected, ", got ", node.noun()]);
        }
    }

    #[inline(never)]
    fn integer(&mut self, node: &Node, min: i64, max: i64, path: &str) {
        let range = [min.to_string(), max.to_string()].join(" to ");
        let got = match node {
            Node::Int(number) if (min..=max).contains(number) => return,
            Node::Int(number) => return self.beyond(path, &number.to_string(), &range),
            Node::Float(number) if number.is_finite() && number.fract() != 0.0 => "one with a fraction",
            Node::Float(_) => return self.beyond(path, "this number", &range),
            Node::Text(_) => "text; remove the quotes",
            _ => node.noun(),
        };
        self.findings.wrong(path, &["expected a whole number, ", &range, ", got ", got]);
    }

    fn beyond(&mut self, path: &str, number: &str, range: &str) {
        self.findings.wrong(path, &[number, " is out of range; it must be ", range]);
    }

    #[inline(never)]
    fn list(&mut self, node: &mut Node, row: &Key, path: &str, section: &str) {
        let Node::List(items) = node else {
            return self.expect(false, node, row, path);
        };
        let Some(item) = keys::item(row.path) else { return };
        for (index, child) in items.iter_mut().enumerate() {
            self.value(child, item, &element(path, index), section);
        }
    }

    #[inline(never)]
    fn map(&mut self, node: &mut Node, row: &Key, path: &str, section: &str) {
        let Node::Map(entries) = node else {
            return self.expect(false, node, row, path);
        };
        for (key, child) in entries {
            let at = member(path, key);
            if self.include(key, &at) {
                continue;
            }
            match row.path {
                "channels" if foreign::names("channels").any(|own| own == key) => {
                    self.unserved("channels", key);
                    continue;
                }
                "channels" => {
                    let Some(child_row) = self.channel(key, &at) else { continue };
                    self.value(child, child_row, &at, &at);
                    continue;
                }
                "tools.commands" | "tools.http" => self.tool_name(key, &at),
                _ => {}
            }
            if let Some(child_row) = keys::child(row.path, key) {
                self.value(child, child_row, &at, section);
            }
        }
    }

    #[inline(never)]
    fn channel(&mut self, key: &str, at: &str) -> Option<Key> {
        if foreign::channel(key).is_some() {
            return keys::child("channels", key);
        }
        let meant = meant(foreign::nearest_channel(key));
        self.findings.wrong(at, &["unknown channel id: ", &quoted(key), &meant]);
        None
    }

    fn tool_name(&mut self, key: &str, at: &str) {
        let mut bytes = key.bytes();
        let fits = bytes.next().is_some_and(|b| b.is_ascii_lowercase())
            && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if key.len() > TOOL_NAME_CHARS_MAX {
            // No call could name it.
            self.findings.error(at, "a tool's name has 128 characters at most");
        } else if !fits {
            self.findings.error(at, "a tool's name begins with a to z and goes on with a to z, 0 to 9 and _");
        }
    }

    #[inline(never)]
    fn object(&mut self, node: &mut Node, pattern: &'static str, path: &str, section: &str) {
        let Node::Map(entries) = node else {
            self.findings.wrong(path, &["expected an object, got ", node.noun()]);
            return;
        };
        for (key, child) in entries {
            let at = member(path, key);
            if self.include(key, &at) {
                continue;
            }
            // Each root key is a section of its own.
            let section = if path.is_empty() { key.as_str() } else { section };
            if let Some(row) = keys::child(pattern, key) {
                self.value(child, row, &at, section);
            } else if foreign::names(pattern).any(|own| own == key) {
                self.foreign(pattern, key, section);
            } else {
                self.unknown(pattern, key, &at, section);
            }
        }
    }

    fn include(&mut self, key: &str, at: &str) -> bool {
        if key == "$include" {
            self.findings.error(at, "$include is not supported; put the content of that file here");
        }
        key == "$include"
    }

    #[inline(never)]
    fn foreign(&mut self, pattern: &str, key: &str, section: &str) {
        match pattern.split_once(['.', '[']) {
            _ if pattern.is_empty() => self.sections.push((section.to_owned(), Vec::new())),
            Some((_, below)) => self.unserved(section, &[below, ".", key].concat()),
            None => self.unserved(section, key),
        }
    }

    #[inline(never)]
    fn unserved(&mut self, section: &str, name: &str) {
        let at = match self.sections.iter().position(|(own, _)| own == section) {
            Some(at) => at,
            None => {
                self.sections.push((section.to_owned(), Vec::new()));
                self.sections.len() - 1
            }
        };
        if let Some((_, names)) = self.sections.get_mut(at)
            && names.len() < FINDING_NAMES_MAX
            && !names.iter().any(|own| own == name)
        {
            names.push(name.to_owned());
        }
    }

    #[inline(never)]
    fn unknown(&mut self, pattern: &'static str, key: &str, at: &str, section: &str) {
        if foreign::open(pattern) {
            // A slip in a key that carries rules must not silently drop them.
            let slip = keys::children(pattern).into_iter().find(|own| distance(key, own) <= 2);
            match slip {
                Some(_) => self.findings.wrong(at, &["unknown key ", &quoted(key), &meant(slip)]),
                None => {
                    let below = pattern.strip_prefix("channels.*").map_or("", |below| below.trim_start_matches('.'));
                    self.unserved(section, &member(below, key));
                }
            }
            return;
        }
        let served = keys::children(pattern);
        let mut known = served.iter().copied().chain(foreign::names(pattern)).filter(|own| *own != "*");
        let hint = match nearest(key, &mut known) {
            None if served.len() <= 12 => ["; known here: ", &served.join(", ")].concat(),
            near => meant(near),
        };
        self.findings.wrong(at, &["unknown key ", &quoted(key), &hint]);
    }

    #[inline(never)]
    fn text(&mut self, node: &mut Node, row: &Key, path: &str) {
        let Node::Text(text) = node else {
            return self.expect(false, node, row, path);
        };
        self.written(text, path);
    }

    #[inline(never)]
    fn written(&mut self, text: &mut String, path: &str) {
        self.substitute.text(text, path, self.findings);
        if controls(text) {
            self.findings.error(path, "this text holds control characters; remove them");
        }
    }

    #[inline(never)]
    fn texts(&mut self, node: &mut Node, row: &Key, path: &str) {
        let Node::List(items) = node else {
            return self.expect(false, node, row, path);
        };
        for (index, item) in items.iter_mut().enumerate() {
            self.text_item(item, &element(path, index));
        }
    }

    #[inline(never)]
    fn text_item(&mut self, item: &mut Node, path: &str) {
        match item {
            Node::Text(text) => self.written(text, path),
            other => self.findings.wrong(path, &["expected text, got ", other.noun()]),
        }
    }

    #[inline(never)]
    fn model(&mut self, node: &mut Node, row: &Key, path: &str) {
        if let Node::Map(entries) = node {
            // Fallback models and the like stand beside `primary`; they mean nothing here.
            match entries.iter_mut().find(|(key, _)| key == "primary") {
                Some((_, primary)) => self.text_item(primary, &member(path, "primary")),
                None => self.findings.error(path, "expected text, or an object with primary"),
            }
        } else {
            self.text(node, row, path);
        }
    }

    #[inline(never)]
    fn word(&mut self, node: &mut Node, row: &Key, words: &'static [&'static str], path: &str) {
        let Node::Text(text) = node else {
            return self.expect(false, node, row, path);
        };
        self.substitute.text(text, path, self.findings);
        if !words.contains(&text.as_str()) {
            let near = nearest(text, &mut words.iter().copied());
            let (allowed, hint) = (words.join(", "), meant(near));
            self.findings.wrong(path, &[&quoted(text), " is not one of ", &allowed, &hint]);
        }
    }
}
