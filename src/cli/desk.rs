//! The configuration as the `gateway` tool shows it: the file without its secrets, and what a key means.

use std::hash::{DefaultHasher, Hasher};
use std::path::PathBuf;

use super::load::{self, Findings};
use crate::api::socket::json::Json;
use crate::config::{self, KeyInfo};
use crate::limits::TOOL_RESULT_BYTES;

/// What the document may take of a result; the rest is for findings.
const DOCUMENT_BYTES: usize = TOOL_RESULT_BYTES / 2;
/// What the findings of one kind may take, escapes aside.
const FINDINGS_BYTES: usize = TOOL_RESULT_BYTES / 8;

#[derive(Debug, PartialEq)]
struct Issue<'d> {
    path: &'d str,
    message: &'d str,
}

/// The `result` of `config.get`: the file at `path` as it is now, secrets hidden, and whether a reload would take it
/// (`settled`: its warnings, or every finding). `raw` is always null: it would hold the secrets. The reference shows
/// the document at five stages of its loader; here they are the same, and where five copies do not fit there is one,
/// in `config`.
///
/// # Errors
/// One sentence, when not even one fits. Source: contract http.md §5.2.
pub fn document(path: Option<PathBuf>, settled: &Result<Findings, Findings>) -> Result<String, String> {
    let json = match &path {
        None => Some("{}".into()),
        Some(path) => load::text(path).ok().and_then(|text| config::redact(&text)),
    };
    let json = json.unwrap_or_else(|| "null".into());
    if json.len() > DOCUMENT_BYTES {
        return Err("The configuration is too large to be shown here; read the file on the device.".into());
    }
    // The hash is of what is shown, not of the file: from a hash of secrets, secrets can be guessed.
    let mut hasher = DefaultHasher::new();
    hasher.write(json.as_bytes());
    let five = if json.len().saturating_mul(5) <= DOCUMENT_BYTES { &json } else { "null" };
    let findings = settled.as_ref().unwrap_or_else(|findings| findings);
    let mut shown = Json::object();
    shown.maybe("path", path.as_ref().map(|path| path.to_string_lossy()).as_deref());
    shown.flag("exists", path.as_ref().is_some_and(|path| path.exists())).key("raw").raw("null");
    shown.key("parsed").raw(five).key("sourceConfig").raw(five).key("resolved").raw(five);
    shown.flag("valid", settled.is_ok()).key("runtimeConfig").raw(five).key("config").raw(&json);
    shown.string("hash", &format!("{:016x}", hasher.finish()));
    show(&mut shown, "issues", if settled.is_ok() { Vec::new() } else { issues(findings, false) });
    show(&mut shown, "warnings", issues(findings, settled.is_err()));
    Ok(shown.key("legacyIssues").raw("[]").close("}").done())
}

fn show(json: &mut Json, key: &str, issues: Vec<Issue<'_>>) {
    json.key(key).raw("[");
    for issue in issues {
        json.raw("{").string("path", issue.path).string("message", issue.message).close("}");
    }
    json.close("]");
}

/// The errors, or the `warnings`, among findings; as many as fit. A heading is none.
fn issues(findings: &[String], warnings: bool) -> Vec<Issue<'_>> {
    let mut left = FINDINGS_BYTES;
    let mut found = Vec::new();
    for finding in findings.iter().filter(|finding| !finding.ends_with(':')) {
        let warning = finding.strip_prefix("warning: ");
        if warning.is_some() != warnings {
            continue;
        }
        let text = warning.unwrap_or(finding);
        left = left.saturating_sub(text.len());
        if left == 0 {
            break;
        }
        found.push(match text.split_once(": ") {
            Some((path, message)) if !path.contains(' ') => Issue { path, message },
            _ => Issue { path: "", message: text },
        });
    }
    found
}

/// The member `type`: one word, or several in a list.
fn types(json: &mut Json, info: &KeyInfo) {
    match info.types {
        [one] => json.string("type", one),
        several => json.texts("type", several.iter().copied()),
    };
}

/// The `result` of `config.schema.lookup`; `None` when there is no such key. Source: contract http.md §5.2.
pub fn lookup(path: &str) -> Option<String> {
    let info = config::schema_lookup(path)?;
    let mut json = Json::object();
    json.string("path", path).key("schema").raw("{");
    types(&mut json, &info);
    if let Some((minimum, maximum)) = info.range {
        json.key("minimum").raw(&minimum.to_string()).key("maximum").raw(&maximum.to_string());
    }
    if !info.words.is_empty() {
        json.texts("enum", info.words.iter().copied());
    }
    json.string("description", info.about).close("}");
    json.key("hint").raw("{").string("label", path.rsplit('.').next().unwrap_or(path));
    let default = if info.default.is_empty() { String::new() } else { [" Default: ", &info.default, "."].concat() };
    json.string("help", &[info.about, " Value: ", &info.kind, ".", &default].concat());
    json.key("tags").raw("[]").close("}").string("hintPath", info.path).key("children").raw("[");
    for key in &info.children {
        let path = match info.path {
            "" => String::from(*key),
            path if *key == "[]" => [path, key].concat(),
            path => [path, ".", key].concat(),
        };
        let Some(child) = config::schema_lookup(&path) else { continue };
        json.raw("{").string("key", key).string("path", &path);
        types(&mut json, &child);
        json.flag("required", false).flag("hasChildren", !child.children.is_empty()).close("}");
    }
    Some(json.close("]}").done())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_can_be_looked_up() {
        for key in config::keys() {
            let json = lookup(key.path).unwrap_or_else(|| panic!("{}", key.path));
            let json: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert_eq!(json["path"], key.path);
        }
        assert_eq!(lookup("gateway.prot"), None);
        let port = lookup("gateway.port").unwrap();
        let start = r#"{"path":"gateway.port","schema":{"type":"integer","minimum":0,"maximum":65535,"description":"#;
        assert!(port.starts_with(start) && port.ends_with(r#""hintPath":"gateway.port","children":[]}"#), "{port}");
        let agents = lookup("agents").unwrap();
        let child = r#"{"key":"list","path":"agents.list","type":"array","required":false,"hasChildren":true}"#;
        assert!(agents.contains(child), "{agents}");
    }

    #[test]
    fn findings_are_sorted_into_errors_and_warnings() {
        let findings: Findings =
            ["/etc/x: 2 errors:", "a.b: no", "warning: c: hm", "no state directory: set HOME"].map(String::from).into();
        let errors =
            [Issue { path: "a.b", message: "no" }, Issue { path: "", message: "no state directory: set HOME" }];
        assert_eq!(issues(&findings, false), errors);
        assert_eq!(issues(&findings, true), [Issue { path: "c", message: "hm" }]);
        let many: Findings = (0..TOOL_RESULT_BYTES).map(|n| format!("x: {n}")).collect();
        assert!(issues(&many, false).len() < FINDINGS_BYTES);
    }

    #[test]
    fn no_file_is_an_empty_document() {
        let json = document(None, &Ok(Vec::new())).unwrap();
        let expected = r#"{"path":null,"exists":false,"raw":null,"parsed":{},"sourceConfig":{},"resolved":{},"valid":true,"runtimeConfig":{},"config":{},"hash":""#;
        assert!(json.starts_with(expected), "{json}");
        assert!(json.ends_with(r#"","issues":[],"warnings":[],"legacyIssues":[]}"#), "{json}");
    }
}
