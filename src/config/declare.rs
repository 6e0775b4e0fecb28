//! `tools.commands` and `tools.http` → the tools they declare, or every reason why not. Pure.
//!
//! The walk of `check` has seen to known keys, kinds, words and ranges; here is what one key means beside another.

use std::rc::Rc;

use super::fill::{At, TOKEN, number_at};
use super::node::{Node, controls, made_of, member, quoted};
use super::secrets;
use super::{Findings, Held, keys};
use crate::limits::{ARGV_WORDS, FIELDS_DECLARED, TOOLS_DECLARED, VALUE_CHARS_DEFAULT};
use crate::tool::command::{self, Command, Stdin, Word};
use crate::tool::declared::Work;
use crate::tool::fields::{Field, Type};
use crate::tool::lane::Width;
use crate::tool::pattern::Pattern;
use crate::tool::remote::{Body, FieldValue, Service, Tree};
use crate::tool::schema::Value;
use crate::tool::targets::Hidden;
use crate::tool::telling::Output;
use crate::tool::template::Template;
use crate::tool::url::Url;
use crate::tool::{Declared, Rlimits, Tier, is_taken};

/// Everything that is declared, sorted by name. Secrets that lie elsewhere go into `held`.
#[inline(never)]
pub(super) fn tools(root: &Node, kept: &[String], held: &mut Vec<Held>, findings: &mut Findings) -> Vec<Rc<Declared>> {
    let tools = At::root(root).key("tools");
    let mut declared: Vec<Rc<Declared>> = Vec::new();
    for section in ["commands", "http"] {
        for (name, at) in tools.key(section).entries() {
            if !matches!(at.node, Some(Node::Map(_))) {
                continue;
            }
            if is_taken(name) {
                findings.wrong(&at.path, &[name, " is the name of another tool; choose your own"]);
            } else if declared.iter().any(|other| other.name == name) {
                findings.error(&at.path, "a command and a service may not share a name");
            } else if declared.len() >= TOOLS_DECLARED {
                findings.error(&at.path, &format!("more than {TOOLS_DECLARED} tools are declared"));
                break;
            } else if let Some(tool) = tool(name, &at, Place { root, kept, section }, held, findings) {
                declared.push(Rc::new(tool));
            }
        }
    }
    declared.sort_by(|a, b| a.name.cmp(&b.name));
    declared
}

/// Where a tool is declared.
#[derive(Clone, Copy)]
struct Place<'p> {
    root: &'p Node,
    /// Paths of texts that kept a placeholder.
    kept: &'p [String],
    section: &'static str,
}

#[inline(never)]
fn tool(
    name: &str,
    at: &At<'_>,
    Place { root, kept, section }: Place<'_>,
    held: &mut Vec<Held>,
    findings: &mut Findings,
) -> Option<Declared> {
    let fields = fields(at, findings);
    if at.flag("additionalProperties", false) {
        findings.error(&member(&at.path, "additionalProperties"), "arguments that are not declared are always refused");
    }
    let summary = required_text(at, "description", findings);
    let mut reader = Reader { at, root, kept, fields: &fields, held, findings };
    let (work, usual) = if section == "commands" {
        (Work::Command(reader.command()?), Tier::Act)
    } else {
        let service = reader.service()?;
        let reads = matches!(service.method, "GET" | "HEAD");
        (Work::Http(service), if reads { Tier::Probe } else { Tier::Act })
    };
    reader.unused(&work);
    let number = |key: &str| number_at(at, section, key);
    let count = |key: &str| usize::try_from(number(key)).unwrap_or_default();
    Some(Declared {
        name: name.to_owned(),
        summary: summary?,
        tier: at.word("tier").and_then(Tier::named).unwrap_or(usual),
        width: Width {
            running: count("concurrency"),
            waiting: count("queue"),
            interval_ms: u32::try_from(number("minIntervalMs")).unwrap_or(u32::MAX),
        },
        timeout_ms: u32::try_from(number("timeoutMs")).unwrap_or(u32::MAX),
        fields,
        work,
    })
}

#[inline(never)]
fn required_text(at: &At<'_>, key: &str, findings: &mut Findings) -> Option<String> {
    let text = at.word(key);
    if text.is_none() {
        findings.error(&member(&at.path, key), "required here");
    }
    text.map(str::to_owned)
}

/// The parameters, and which of them every call must name.
#[inline(never)]
fn fields(at: &At<'_>, findings: &mut Findings) -> Vec<Field> {
    let mut fields = Vec::new();
    for (name, at) in at.key("parameters").entries() {
        let fits = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && made_of(name, "_");
        if !fits {
            findings
                .error(&at.path, "a parameter's name begins with a letter or _ and goes on with letters, digits and _");
        } else if fields.len() >= FIELDS_DECLARED {
            findings.error(&at.path, &format!("more than {FIELDS_DECLARED} parameters"));
            break;
        } else {
            fields.push(field(name, &at, findings));
        }
    }
    for item in at.key("required").items() {
        let name = item.node.and_then(Node::text).unwrap_or_default();
        match fields.iter_mut().find(|field| field.name == name) {
            Some(field) => field.required = true,
            None => findings.wrong(&item.path, &[&quoted(name), " is none of the parameters"]),
        }
    }
    for field in &fields {
        if field.required && field.default.is_some() {
            let path = member(&member(&member(&at.path, "parameters"), &field.name), "default");
            findings.error(&path, "a parameter that every call names needs no default");
        }
    }
    fields
}

/// The type that a parameter has: the one it names, else that of the first value of its `enum`.
#[inline(never)]
fn kind(at: &At<'_>) -> Type {
    match at.word("type") {
        Some(word) => {
            let types = [Type::Boolean, Type::Integer, Type::Number];
            types.into_iter().find(|kind| kind.word() == word).unwrap_or(Type::String)
        }
        None => match at.below("enum").and_then(|node| node.items().first()) {
            Some(Node::Bool(_)) => Type::Boolean,
            Some(Node::Int(_)) => Type::Integer,
            Some(Node::Float(_)) => Type::Number,
            _ => Type::String,
        },
    }
}

/// One parameter.
#[inline(never)]
fn field(name: &str, at: &At<'_>, findings: &mut Findings) -> Field {
    let kind = kind(at);
    let foreign: &[&str] = match kind {
        Type::Boolean => &["pattern", "minimum", "maximum", "minLength", "maxLength", "allowDash"],
        Type::Integer | Type::Number => &["pattern", "minLength", "maxLength"],
        Type::String => &["minimum", "maximum"],
    };
    for key in foreign.iter().filter(|key| at.below(key).is_some()) {
        findings.wrong(&member(&at.path, key), &["means nothing for type ", kind.word()]);
    }
    let length = |key: &str, usual: usize| match at.below(key) {
        Some(Node::Int(number)) => usize::try_from(*number).unwrap_or(usual),
        _ => usual,
    };
    let mut field = Field {
        name: name.to_owned(),
        about: at.word("description").unwrap_or_default().to_owned(),
        kind,
        choices: Vec::new(),
        pattern: pattern(&at.key("pattern"), findings),
        least: bound(&at.key("minimum"), findings),
        most: bound(&at.key("maximum"), findings),
        chars_min: length("minLength", 0),
        chars_max: length("maxLength", VALUE_CHARS_DEFAULT.max(length("minLength", 0))),
        required: false,
        allow_dash: at.flag("allowDash", false),
        default: None,
    };
    let number = |bound: &Option<Box<str>>| bound.as_deref().and_then(|text| text.parse::<f64>().ok());
    if matches!((number(&field.least), number(&field.most)), (Some(least), Some(most)) if least > most) {
        findings.error(&member(&at.path, "minimum"), "is greater than maximum: nothing fits");
    }
    if field.chars_min > field.chars_max {
        findings.error(&member(&at.path, "minLength"), "is greater than maxLength: nothing fits");
    }
    field.choices = choices(&field, &at.key("enum"), findings);
    let default = at.key("default");
    if default.node.is_some() {
        field.default = value(&field, &default, findings);
    }
    field
}

/// The value at `at`, if it fits.
#[inline(never)]
fn value(field: &Field, at: &At<'_>, findings: &mut Findings) -> Option<Value> {
    let json = at.node.and_then(|node| serde_json::to_string(node).ok()).unwrap_or_default();
    field.value(&json).map_err(|wrong| findings.error(&at.path, &wrong)).ok()
}

#[inline(never)]
fn choices(field: &Field, at: &At<'_>, findings: &mut Findings) -> Vec<Value> {
    match at.node {
        None => {}
        Some(Node::List(items)) if items.is_empty() => findings.error(&at.path, "is empty: nothing fits"),
        Some(Node::List(_)) => {
            let mut choices = Vec::new();
            for item in at.items() {
                choices.extend(value(field, &item, findings));
            }
            return choices;
        }
        Some(_) => findings.error(&at.path, "expected a list of values"),
    }
    Vec::new()
}

#[inline(never)]
fn pattern(at: &At<'_>, findings: &mut Findings) -> Option<Pattern> {
    let compiled = match at.node? {
        Node::Text(text) => Pattern::compile(text),
        _ => Err("expected a regular expression in quotes".into()),
    };
    compiled.map_err(|wrong| findings.error(&at.path, &wrong)).ok()
}

/// A bound as JSON.
#[inline(never)]
fn bound(at: &At<'_>, findings: &mut Findings) -> Option<Box<str>> {
    match at.node? {
        node @ (Node::Int(_) | Node::Float(_)) => match serde_json::to_string(node) {
            // JSON has no infinity; such a bound is none.
            Ok(text) if text != "null" => Some(text.into()),
            _ => None,
        },
        _ => {
            findings.error(&at.path, "expected a number");
            None
        }
    }
}

/// Reads what one tool does.
struct Reader<'r> {
    at: &'r At<'r>,
    root: &'r Node,
    kept: &'r [String],
    fields: &'r [Field],
    held: &'r mut Vec<Held>,
    findings: &'r mut Findings,
}

impl<'r> Reader<'r> {
    #[inline(never)]
    fn template(&mut self, text: &str, path: &str) -> Template {
        Template::parse(text, self.fields).unwrap_or_else(|name| {
            let text = [
                "{",
                &name,
                "} is no parameter; declare it in parameters, or write {{",
                &name,
                "}} for the text itself",
            ];
            self.findings.wrong(path, &text);
            Template::default()
        })
    }

    #[inline(never)]
    fn command(&mut self) -> Option<Command> {
        let argv = self.argv()?;
        let at = self.at;
        let limits = at.key("limits");
        let limit = |key: &str| u64::try_from(number_at(&limits, "commands.*.limits", key)).ok();
        let cwd = at.word("cwd").unwrap_or("/");
        if !cwd.starts_with('/') {
            self.findings.error(&member(&at.path, "cwd"), "expected an absolute path");
        }
        let output_bytes = usize::try_from(number_at(at, "commands", "maxOutputBytes"));
        Some(Command {
            argv,
            env: self.environment(),
            cwd: cwd.to_owned(),
            stdin: if at.word("stdin") == Some("args") { Stdin::Args } else { Stdin::None },
            output: output(at),
            binary: at.word("binary") != Some("refuse"),
            output_bytes: output_bytes.unwrap_or_default(),
            progress: at.flag("progress", false),
            rlimits: Rlimits {
                cpu_s: limit("cpuSeconds"),
                address_bytes: limit("memoryBytes"),
                file_bytes: limit("fileBytes"),
                processes: limit("processes"),
                open_files: limit("openFiles"),
            },
            user: at.word("user").map(str::to_owned),
        })
    }

    #[inline(never)]
    fn argv(&mut self) -> Option<Vec<Word>> {
        let at = self.at.key("argv");
        let mut argv = Vec::new();
        for (number, item) in at.items().enumerate() {
            match item.node {
                Some(Node::List(_)) if !argv.is_empty() => {
                    for item in item.items() {
                        self.word(&item, number, &mut argv);
                    }
                }
                _ => self.word(&item, 0, &mut argv),
            }
        }
        match argv.len() {
            0 => self.findings.error(&at.path, "required here: [\"/usr/bin/program\", \"argument\"]"),
            n if n > ARGV_WORDS => self.findings.error(&at.path, &format!("more than {ARGV_WORDS} words")),
            _ => return Some(argv),
        }
        None
    }

    /// One argument; `list` is the number of the list it stands in, 0 for none.
    fn word(&mut self, at: &At<'_>, list: usize, argv: &mut Vec<Word>) {
        let Some(Node::Text(text)) = at.node else {
            return self.findings.error(&at.path, "expected text, or a list of texts that stay or go together");
        };
        if text.contains('\0') {
            self.findings.error(&at.path, "must not hold a NUL byte");
        }
        let text = self.template(text, &at.path);
        if argv.is_empty() && !text.literal().is_some_and(|text| text.starts_with('/') && !text.ends_with('/')) {
            let wrong = "the program must be an absolute path without {name}: no PATH and no shell is asked";
            self.findings.error(&at.path, wrong);
        }
        if list == 0 {
            self.optional(&text, argv, &at.path);
        }
        argv.push(Word { text, list });
    }

    /// Says what becomes of an argument whose value may be absent: it is the operator's command that changes.
    #[inline(never)]
    fn optional(&mut self, template: &Template, before: &[Word], path: &str) {
        let Some(field) = self.may_be_absent(template) else { return };
        let option = before.last().filter(|word| word.list == 0).and_then(|word| word.text.literal());
        let option = option.filter(|text| text.starts_with('-') && *text != "--");
        let with = option.map_or(String::new(), |option| [" and ", &quoted(option), " before it"].concat());
        let text = [
            "a call without ",
            field,
            " leaves this argument",
            &with,
            " out; a list of its own, [\"-x\", \"{x}\"], says what goes together",
        ]
        .concat();
        self.findings.warn(path, &text);
    }

    #[inline(never)]
    fn may_be_absent(&self, template: &Template) -> Option<&'r str> {
        let fields = self.fields;
        let absent = |at: usize| fields.get(at).filter(|field| !field.required && field.default.is_none());
        template.values().find_map(absent).map(|field| field.name.as_str())
    }

    #[inline(never)]
    fn environment(&mut self) -> Vec<(String, command::Value)> {
        let mut env = Vec::new();
        for (name, at) in self.at.key("env").entries() {
            if !secrets::names_variable(name) {
                self.findings.error(&at.path, "expected the name of an environment variable, such as LANG");
                continue;
            }
            let value = match at.node {
                Some(Node::Text(text)) if text.contains('\0') => {
                    self.findings.error(&at.path, "must not hold a NUL byte");
                    continue;
                }
                Some(Node::Text(text)) => Some(command::Value::Plain(text.clone())),
                _ => self.hidden(&at).map(command::Value::Hidden),
            };
            env.extend(value.map(|value| (name.to_owned(), value)));
        }
        env
    }

    /// A secret that lies elsewhere.
    #[inline(never)]
    fn hidden(&mut self, at: &At<'_>) -> Option<Hidden> {
        secrets::hold(at.node?, &at.path, self.kept, self.root, self.held, self.findings)
    }

    #[inline(never)]
    fn service(&mut self) -> Option<Service> {
        let at = self.at;
        let url = at.key("url");
        let method = at.word("method").unwrap_or("GET");
        let method = keys::METHODS.iter().find(|own| **own == method).copied().unwrap_or("GET");
        let text = url.text().unwrap_or_default();
        let Url { host, port, path } = match Url::read(text) {
            Ok(_) if text.contains('#') => {
                self.findings.error(&url.path, "what follows # is never sent; percent-encode it, %23, or leave it out");
                return None;
            }
            Ok(place) if !place.host.contains(['{', '}']) => place,
            Err(wrong) if !text.split('/').nth(2).is_some_and(|authority| authority.contains('{')) => {
                self.findings.error(&url.path, wrong);
                return None;
            }
            _ => {
                self.findings.error(&url.path, "host and port are yours to say: no {name} stands there");
                return None;
            }
        };
        let (path, query) = path.split_once('?').unwrap_or((&path, ""));
        let path = self.template(path, &url.path);
        if let Some(name) = self.may_be_absent(&path) {
            let text = [name, " stands in the path: name it in required, or give it a default"];
            self.findings.wrong(&url.path, &text);
        }
        let mut parts = Vec::new();
        for part in query.split('&').filter(|part| !part.is_empty()) {
            parts.push(self.template(part, &url.path));
        }
        let fields = self.lines();
        let body = self.body(method);
        let output_bytes = usize::try_from(number_at(at, "http", "maxOutputBytes"));
        Some(Service {
            method,
            host,
            port,
            path,
            query: parts,
            fields,
            body,
            output: output(at),
            output_bytes: output_bytes.unwrap_or_default(),
        })
    }

    /// The header fields.
    #[inline(never)]
    fn lines(&mut self) -> Vec<(String, FieldValue)> {
        /// What the client says by itself.
        const OURS: [&str; 8] =
            ["accept-encoding", "connection", "content-length", "expect", "host", "te", "transfer-encoding", "upgrade"];
        let mut lines = Vec::new();
        for (name, at) in self.at.key("headers").entries() {
            if name.is_empty() || !made_of(name, TOKEN) || OURS.contains(&name.to_ascii_lowercase().as_str()) {
                self.findings.error(&at.path, "no field of that name can be set here");
                continue;
            }
            let value = match at.node {
                Some(Node::Text(text)) if controls(text) => {
                    self.findings.error(&at.path, "this text holds control characters; remove them");
                    continue;
                }
                Some(Node::Text(text)) => Some(FieldValue::Plain(self.template(text, &at.path))),
                _ => self.hidden(&at).map(FieldValue::Hidden),
            };
            lines.extend(value.map(|value| (name.to_owned(), value)));
        }
        lines
    }

    #[inline(never)]
    fn body(&mut self, method: &str) -> Body {
        let at = self.at.key("body");
        match at.node {
            None => Body::None,
            Some(_) if matches!(method, "GET" | "HEAD") => {
                self.findings.error(&at.path, "a GET has no body; name another method");
                Body::None
            }
            Some(Node::Text(text)) => {
                let template = self.template(text, &at.path);
                if let Some(name) = self.may_be_absent(&template) {
                    let text = [name, " stands in the text: name it in required, or give it a default"];
                    self.findings.wrong(&at.path, &text);
                }
                Body::Text(template)
            }
            Some(node) => Body::Json(self.tree(node, &at.path)),
        }
    }

    fn tree(&mut self, node: &Node, path: &str) -> Tree {
        match node {
            Node::Text(text) => Tree::Text(self.template(text, path)),
            Node::List(items) => {
                let mut list = Vec::new();
                for item in items {
                    list.push(self.tree(item, path));
                }
                Tree::List(list)
            }
            Node::Map(entries) => {
                let mut map = Vec::new();
                for (key, node) in entries {
                    map.push((key.clone(), self.tree(node, &member(path, key))));
                }
                Tree::Map(map)
            }
            other => Tree::Literal(serde_json::to_string(other).unwrap_or_else(|_| "null".into())),
        }
    }

    /// A parameter that goes nowhere is a slip, unless the program reads all of them.
    #[inline(never)]
    fn unused(&mut self, work: &Work) {
        let mut used = vec![false; self.fields.len()];
        let mut mark = |template: &Template| {
            for at in template.values() {
                if let Some(used) = used.get_mut(at) {
                    *used = true;
                }
            }
        };
        match work {
            Work::Command(command) if command.stdin == Stdin::Args => return,
            Work::Command(command) => command.argv.iter().for_each(|word| mark(&word.text)),
            Work::Http(service) => {
                mark(&service.path);
                service.query.iter().for_each(&mut mark);
                for (_, value) in &service.fields {
                    if let FieldValue::Plain(template) = value {
                        mark(template);
                    }
                }
                match &service.body {
                    Body::Json(tree) => walk(tree, &mut mark),
                    Body::None => {}
                    Body::Text(template) => mark(template),
                }
            }
        }
        let parameters = member(&self.at.path, "parameters");
        for (field, used) in self.fields.iter().zip(used) {
            if !used {
                let text = "goes nowhere: no {name} asks for it";
                self.findings.warn(&member(&parameters, &field.name), text);
            }
        }
    }
}

fn walk(tree: &Tree, mark: &mut dyn FnMut(&Template)) {
    match tree {
        Tree::List(items) => items.iter().for_each(|item| walk(item, mark)),
        Tree::Literal(_) => {}
        Tree::Map(members) => members.iter().for_each(|(_, item)| walk(item, mark)),
        Tree::Text(template) => mark(template),
    }
}

#[inline(never)]
fn output(at: &At<'_>) -> Output {
    match at.word("output") {
        Some("json") => Output::Json,
        Some("lines") => Output::Lines,
        _ => Output::Text,
    }
}

#[cfg(test)]
#[path = "declare_tests.rs"]
mod tests;
