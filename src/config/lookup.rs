//! A key's path → what the table of keys says about it; a document → the same with secrets hidden. Pure.

use super::keys::{self, Key, Kind};
use super::node::Node;

/// What is known about one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInfo {
    /// The key's path pattern.
    pub path: &'static str,
    /// What its value must be, in words.
    pub kind: String,
    /// What its value must be, in the words of JSON Schema.
    pub types: &'static [&'static str],
    /// One line on what it does.
    pub about: &'static str,
    /// What holds when it is absent; empty when nothing does.
    pub default: String,
    /// The least and the most of a number.
    pub range: Option<(i64, i64)>,
    /// The words allowed.
    pub words: &'static [&'static str],
    /// The names of the keys below it; `*` for any.
    pub children: Vec<&'static str>,
}

/// Looks up a key by its path, either as written in a document (`agents.list[2].tools.allow`,
/// `channels.telegram.groups["*"]`) or as a pattern (`agents.list[].tools.allow`). `""` and `.` are the root.
pub fn schema_lookup(path: &str) -> Option<KeyInfo> {
    let path = path.trim();
    if path.is_empty() || path == "." {
        let children = keys::children("");
        let about = "The whole configuration.";
        let kind = Kind::Object.to_string();
        return Some(KeyInfo {
            path: "",
            kind,
            types: &["object"],
            about,
            default: String::new(),
            range: None,
            words: &[],
            children,
        });
    }
    let mut row: Option<Key> = None;
    for step in steps(path)? {
        let pattern = row.map_or("", |row| keys::resolve(row).path);
        row = Some(match (&step, row.map(|row| keys::resolve(row).kind)) {
            // What may be anything has no rows below it.
            (_, Some(Kind::Any)) => return row.map(info),
            (Step::Key(key), _) => keys::child(pattern, key)?,
            (Step::Item, Some(Kind::Texts)) => return row.map(info),
            (Step::Item, _) => keys::item(pattern)?,
        });
    }
    row.map(info)
}

fn info(row: Key) -> KeyInfo {
    let own = keys::resolve(row);
    let (range, words): (_, &'static [&'static str]) = match own.kind {
        Kind::Integer { min, max } | Kind::TextOrInteger { min, max } => (Some((min, max)), &[]),
        Kind::Word(words) => (None, words),
        _ => (None, &[]),
    };
    let mut children = keys::children(own.path);
    if own.kind == Kind::List {
        children.push("[]");
    }
    KeyInfo {
        path: row.path,
        kind: own.kind.to_string(),
        types: types(own.kind),
        about: row.about,
        default: row.default.to_string(),
        range,
        words,
        children,
    }
}

fn types(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Any => &["string", "number", "boolean", "object", "array"],
        Kind::Bool => &["boolean"],
        Kind::Integer { .. } => &["integer"],
        Kind::List | Kind::Texts => &["array"],
        // The rows that others are `as` are of other kinds.
        Kind::As(_) | Kind::Map | Kind::Object => &["object"],
        Kind::Model | Kind::Secret => &["string", "object"],
        Kind::ObjectOrFalse => &["object", "boolean"],
        Kind::Text | Kind::Word(_) => &["string"],
        Kind::TextOrFalse => &["string", "boolean"],
        Kind::TextOrInteger { .. } => &["string", "integer"],
    }
}

enum Step {
    Item,
    Key(String),
}

/// Splits a path at dots and brackets; `None` when a bracket is not closed.
fn steps(path: &str) -> Option<Vec<Step>> {
    let (mut steps, mut rest) = (Vec::new(), path);
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("[\"") {
            let (key, after) = after.split_once("\"]")?;
            steps.push(Step::Key(key.to_owned()));
            rest = after;
        } else if let Some(after) = rest.strip_prefix('[') {
            let (index, after) = after.split_once(']')?;
            if !index.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            steps.push(Step::Item);
            rest = after;
        } else {
            let (key, after) = rest.split_at(rest.find(['.', '[']).unwrap_or(rest.len()));
            steps.push(Step::Key(key.to_owned()));
            rest = after;
        }
        if let Some(after) = rest.strip_prefix('.') {
            if after.is_empty() {
                return None;
            }
            rest = after;
        }
    }
    Some(steps)
}

/// What stands where a secret stood. Source: contract http.md §5.2.
const REDACTED: &str = "__OPENCLAW_REDACTED__";

/// The document as JSON with every text hidden that is a secret or may be one: secrets themselves, everything in
/// sections that this gateway does not know, credentials in what is kept as written. `None` when `text` is no JSON5.
/// Nothing is substituted.
pub fn redact(text: &str) -> Option<String> {
    let mut root = Node::parse(text).ok()?;
    if let Node::Map(entries) = &mut root {
        redact_object(entries, "");
    }
    serde_json::to_string(&root).ok()
}

fn redact_object(entries: &mut [(String, Node)], pattern: &str) {
    for (key, node) in entries {
        match keys::child(pattern, key).map(keys::resolve) {
            Some(row) => redact_value(node, row),
            None => hide(node),
        }
    }
}

fn redact_value(node: &mut Node, row: Key) {
    match (row.kind, node) {
        // A path or a variable's name is not the secret itself.
        (Kind::Secret, Node::Map(entries)) => {
            let places = ["env", "file", "id", "prefix", "provider", "source"];
            entries.iter_mut().filter(|(key, _)| !places.contains(&key.as_str())).for_each(|(_, node)| hide(node));
        }
        (Kind::Secret, node) => hide(node),
        (Kind::Any, node) => redact_tree(node),
        // What an operator wrote into a command line may be anything.
        (Kind::Object, node) if matches!(row.path, "tools.commands.*" | "tools.http.*") => redact_tree(node),
        (Kind::List, Node::List(items)) => {
            let Some(item) = keys::item(row.path) else { return };
            items.iter_mut().for_each(|node| redact_value(node, item));
        }
        (Kind::Map | Kind::Object | Kind::ObjectOrFalse, Node::Map(entries)) => redact_object(entries, row.path),
        (Kind::Model, Node::Map(entries)) => {
            entries.iter_mut().filter(|(key, _)| key != "primary").for_each(|(_, node)| hide(node));
        }
        // A value of the wrong kind may be anything.
        (_, node @ (Node::Map(_) | Node::List(_))) if row.kind != Kind::Texts => hide(node),
        (_, Node::Text(text)) if credentials(text) => *text = REDACTED.to_owned(),
        (_, Node::List(items)) => {
            let shown = |item: &Node| item.text().is_some_and(|text| !credentials(text));
            items.iter_mut().filter(|item| !shown(item)).for_each(hide);
        }
        _ => {}
    }
}

fn redact_tree(node: &mut Node) {
    match node {
        Node::Map(entries) => {
            // An argument, a query and a content may be secrets without looking like any.
            for (key, child) in entries {
                match child {
                    Node::List(words) if key == "argv" => words.iter_mut().skip(1).for_each(hide),
                    _ if sensitive(key) => hide(child),
                    _ => redact_tree(child),
                }
                if let ("url", Node::Text(url)) = (key.as_str(), child) {
                    url.truncate(url.find('?').map_or(url.len(), |at| at.saturating_add(1)));
                }
            }
        }
        Node::List(items) => items.iter_mut().for_each(redact_tree),
        Node::Text(text) if credentials(text) => *text = REDACTED.to_owned(),
        Node::Null | Node::Bool(_) | Node::Int(_) | Node::Float(_) | Node::Text(_) => {}
    }
}

/// Hides every text and number in `node`.
fn hide(node: &mut Node) {
    match node {
        Node::List(items) => items.iter_mut().for_each(hide),
        Node::Map(entries) => entries.iter_mut().for_each(|(_, child)| hide(child)),
        Node::Text(_) | Node::Int(_) | Node::Float(_) => *node = Node::Text(REDACTED.to_owned()),
        Node::Null | Node::Bool(_) => {}
    }
}

fn sensitive(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let words = ["auth", "body", "cookie", "credential", "env", "headers", "key", "passw", "secret", "token"];
    words.iter().any(|word| key.contains(word))
}

/// Whether a text looks as if it carried credentials: `scheme://user:password@…`, `user:password@…`, `token=…`, `Bearer …`.
fn credentials(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let user = match lower.split_once("://") {
        Some((_, rest)) => rest.split('/').next().is_some_and(|host| host.contains('@')),
        None => lower.split_once('@').is_some_and(|(user, _)| user.contains(':')),
    };
    user || ["bearer ", "basic ", "token=", "key=", "secret=", "password=", "token:", "key:"]
        .iter()
        .any(|word| lower.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_by_any_spelling() {
        check("gateway.port", Some("gateway.port"));
        check("agents.list[2].tools.allow", Some("agents.list[].tools.allow"));
        check("agents.list[].tools.allow[0]", Some("agents.list[].tools.allow"));
        check("agents.list[0].tools.byProvider[\"openai/gpt-4.1\"].deny", Some("tools.byProvider.*.deny"));
        check("channels.telegram.groups.-100.tools.allow", Some("channels.*.groups.*.tools.allow"));
        check("channels.x.accounts.y.groups[\"*\"].toolsBySender.*.deny", Some("channels.*.groups.*.tools.deny"));
        check("tools.commands.wake.argv", Some("tools.commands.*.argv"));
        check("tools.http.on.parameters.x.type", Some("tools.commands.*.parameters.*.type"));
        check("", Some(""));
        check("gateway.prot", None);
        check("gateway.", None);
        check("agents.list[x]", None);
        check("agents.list[", None);
        check("models", None);
    }

    #[test]
    fn an_answer_says_everything() {
        let info = schema_lookup("gateway.auth.mode").unwrap();
        assert_eq!(info.words, ["none", "token", "password", "trusted-proxy"]);
        assert_eq!(schema_lookup("gateway.port").unwrap().range, Some((0, 65535)));
        assert_eq!(schema_lookup("gateway.port").unwrap().default, "18789");
        assert_eq!(schema_lookup("agents").unwrap().children, ["defaults", "list"]);
    }

    #[test]
    fn no_secret_is_shown() {
        let text =
            "{gateway: {port: 1, auth: {token: 'S1', password: {file: '/p', value: 'S0'}}, remote: {token: 'S2'}},
            tools: {allow: ['a', 'u:Sa@h', 'x?token=Sb'], http: {x: {url: 'http://u:S3@h/', headers: {Authorization: 'Bearer S4'},
            body: {api_key: 'S5', pin: 5150}}, w: {url: 'http://h/p?k=Sc', body: 'Sd'}},
            commands: {y: {env: {PW: 'S6'}, argv: ['/b', '-pSe', ['-k', 'S7']]}}},
            models: {providers: {o: {apiKey: 'S8'}}}, agents: {list: [{id: 'm', model: {primary: 'o/m'}, x: 'S9'}]}}";
        let json = redact(text).unwrap();
        for secret in ["Sa", "Sb", "Sc", "Sd", "Se", "5150", "S0", "S1", "S2", "S3", "S4", "S5", "S6", "S7", "S8", "S9"]
        {
            assert!(!json.contains(secret), "{secret} in {json}");
        }
        for shown in [
            "\"/p\"",
            "\"allow\":[\"a\",",
            "\"id\":\"m\"",
            "\"primary\":\"o/m\"",
            "\"port\":1",
            "[\"/b\",",
            "\"http://h/p?",
        ] {
            assert!(json.contains(shown), "{shown} not in {json}");
        }
        assert_eq!(redact("{"), None);
    }

    fn check(path: &str, expected: Option<&str>) {
        assert_eq!(schema_lookup(path).map(|info| info.path), expected, "{path:?}");
    }
}
