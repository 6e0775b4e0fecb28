//! The configuration as the `gateway` tool shows it: the file without its secrets, and what a key means.

use std::hash::{DefaultHasher, Hasher};
use std::path::PathBuf;

use serde::Serialize;
use serde_json::value::RawValue;

use super::load::{self, Findings};
use crate::config::{self, KeyInfo};
use crate::limits::TOOL_RESULT_BYTES;

/// What the document may take of a result; the rest is for findings.
const DOCUMENT_BYTES: usize = TOOL_RESULT_BYTES / 2;
/// What the findings of one kind may take, escapes aside.
const FINDINGS_BYTES: usize = TOOL_RESULT_BYTES / 8;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'d> {
    path: Option<String>,
    exists: bool,
    raw: Option<()>,
    parsed: Option<&'d RawValue>,
    source_config: Option<&'d RawValue>,
    resolved: Option<&'d RawValue>,
    valid: bool,
    runtime_config: Option<&'d RawValue>,
    config: Option<&'d RawValue>,
    hash: String,
    issues: Vec<Issue<'d>>,
    warnings: Vec<Issue<'d>>,
    legacy_issues: [(); 0],
}

#[derive(Debug, PartialEq, Serialize)]
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
    let shown = RawValue::from_string(json).map_err(|error| error.to_string())?;
    let one = Some(&*shown);
    let five = one.filter(|shown| shown.get().len().saturating_mul(5) <= DOCUMENT_BYTES);
    let findings = settled.as_ref().unwrap_or_else(|findings| findings);
    let document = Document {
        exists: path.as_ref().is_some_and(|path| path.exists()),
        path: path.map(|path| path.to_string_lossy().into_owned()),
        raw: None,
        parsed: five,
        source_config: five,
        resolved: five,
        valid: settled.is_ok(),
        runtime_config: five,
        config: one,
        hash: format!("{:016x}", hasher.finish()),
        issues: if settled.is_ok() { Vec::new() } else { issues(findings, false) },
        warnings: issues(findings, settled.is_err()),
        legacy_issues: [],
    };
    serde_json::to_string(&document).map_err(|error| error.to_string())
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

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Found<'f> {
    path: &'f str,
    schema: Schema<'f>,
    hint: Hint<'f>,
    hint_path: &'static str,
    children: Vec<Child>,
}

#[derive(Serialize)]
struct Schema<'f> {
    r#type: Types,
    #[serde(skip_serializing_if = "Option::is_none")]
    minimum: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    maximum: Option<i64>,
    #[serde(skip_serializing_if = "<[&str]>::is_empty")]
    r#enum: &'static [&'static str],
    description: &'f str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Types {
    One(&'static str),
    Several(&'static [&'static str]),
}

impl Types {
    fn of(info: &KeyInfo) -> Types {
        match info.types {
            [one] => Types::One(one),
            several => Types::Several(several),
        }
    }
}

#[derive(Serialize)]
struct Hint<'f> {
    label: &'f str,
    help: String,
    tags: [(); 0],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Child {
    key: &'static str,
    path: String,
    r#type: Types,
    required: bool,
    has_children: bool,
}

/// The `result` of `config.schema.lookup`; `None` when there is no such key. Source: contract http.md §5.2.
pub fn lookup(path: &str) -> Option<String> {
    let info = config::schema_lookup(path)?;
    let below = |key: &str| match info.path {
        "" => key.to_owned(),
        path if key == "[]" => format!("{path}[]"),
        path => format!("{path}.{key}"),
    };
    let children = info.children.iter().filter_map(|key| {
        let path = below(key);
        let child = config::schema_lookup(&path)?;
        let (r#type, has_children) = (Types::of(&child), !child.children.is_empty());
        Some(Child { key, path, r#type, required: false, has_children })
    });
    let default = if info.default.is_empty() { String::new() } else { format!(" Default: {}.", info.default) };
    let (minimum, maximum) = info.range.unzip();
    let found = Found {
        path,
        children: children.collect(),
        schema: Schema { r#type: Types::of(&info), minimum, maximum, r#enum: info.words, description: info.about },
        hint: Hint {
            label: path.rsplit('.').next().unwrap_or(path),
            help: format!("{} Value: {}.{default}", info.about, info.kind),
            tags: [],
        },
        hint_path: info.path,
    };
    serde_json::to_string(&found).ok()
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
