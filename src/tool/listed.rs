//! What there is to call: built-in tools of this device and those the operator declared, under one handle.

use std::borrow::Cow;
use std::rc::Rc;

use serde_json::value::RawValue;

use super::declared::Declared;
use super::lane::{Lane, Width};
use super::object::insert;
use super::{Args, Host, TOOLS, Tier, Tool, command, declared::Work, fields, schema};
use crate::limits::{CALL_SECS, CALLS_WAITING, PROBE_CALLS};

/// A tool to list or to call.
#[derive(Debug, Clone)]
pub enum Listed {
    /// A row of the table.
    BuiltIn(&'static Tool),
    /// From the configuration.
    Declared(Rc<Declared>),
}

/// What is told of a program's output as it comes: the stream's name and the bytes.
pub type Progress = Rc<dyn Fn(&'static str, &[u8])>;

/// A tool and arguments that fit it.
pub struct Checked {
    /// The tool.
    pub tool: Listed,
    /// The arguments.
    pub args: Args,
    /// The caller wants to know only what would be done; the policy's steps, as a JSON list.
    pub rehearsal: Option<String>,
    /// Who is told of output as it comes.
    pub progress: Option<Progress>,
}

impl std::fmt::Debug for Checked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checked").field("tool", &self.tool.name()).finish_non_exhaustive()
    }
}

impl Listed {
    /// The exact, case-sensitive name.
    pub fn name(&self) -> &str {
        match self {
            Listed::BuiltIn(tool) => tool.name,
            Listed::Declared(declared) => &declared.name,
        }
    }

    /// The name, for keeping.
    pub(super) fn kept_name(&self) -> Cow<'static, str> {
        match self {
            Listed::BuiltIn(tool) => Cow::Borrowed(tool.name),
            Listed::Declared(declared) => Cow::Owned(declared.name.clone()),
        }
    }

    /// How far it reaches.
    pub fn tier(&self) -> Tier {
        match self {
            Listed::BuiltIn(tool) => tool.tier,
            Listed::Declared(declared) => declared.tier,
        }
    }

    /// The policy group it belongs to, without `group:`.
    pub fn group(&self) -> &'static str {
        match self {
            Listed::BuiltIn(tool) => tool.group,
            Listed::Declared(declared) => declared.work.group(),
        }
    }

    /// What it does, in one line.
    pub fn summary(&self) -> &str {
        match self {
            Listed::BuiltIn(tool) => tool.summary,
            Listed::Declared(declared) => &declared.summary,
        }
    }

    /// Where it comes from.
    pub fn source(&self) -> &'static str {
        match self {
            Listed::BuiltIn(_) => "built-in",
            Listed::Declared(declared) => declared.work.source(),
        }
    }

    /// Whether only owners may call it.
    pub fn owner_only(&self) -> bool {
        matches!(self, Listed::BuiltIn(tool) if tool.owner_only)
    }

    /// Whether a call puts its session into the session table.
    pub(super) fn records(&self) -> bool {
        !matches!(self, Listed::BuiltIn(tool) if !tool.records)
    }

    /// Whether output can be told as it comes.
    pub fn tells(&self) -> bool {
        matches!(self, Listed::Declared(declared) if matches!(&declared.work, Work::Command(command) if command.progress))
    }

    /// Whether this device has what the tool needs.
    ///
    /// # Errors
    /// Why not.
    pub fn present(&self, host: &Host) -> Result<(), String> {
        match self {
            Listed::BuiltIn(tool) => (tool.present)(host),
            Listed::Declared(declared) => match &declared.work {
                Work::Command(command) => command::Command::present(command),
                Work::Http(_) => Ok(()),
            },
        }
    }

    /// Checks a request's `args` and `action` against the parameters.
    ///
    /// # Errors
    /// The text for the caller (400): the argument and what is wrong with it. Source: contract http.md §3.1, §5.2.
    pub fn check(&self, args: Option<&RawValue>, action: Option<&str>) -> Result<Args, String> {
        match self {
            Listed::BuiltIn(tool) => schema::check(tool.params, tool.lenient, args, action),
            Listed::Declared(declared) => fields::check(&declared.fields, args, action),
        }
    }

    /// The parameters as a JSON Schema (2020-12).
    pub fn schema_json(&self) -> String {
        match self {
            Listed::BuiltIn(tool) => tool.schema_json(),
            Listed::Declared(declared) => fields::schema_json(&declared.fields),
        }
    }

    /// Milliseconds one call may take from its turn on, the end of its program included.
    pub fn span_ms(&self) -> u64 {
        let call = u64::try_from(CALL_SECS.as_millis()).unwrap_or(u64::MAX);
        match self {
            Listed::BuiltIn(_) => call,
            Listed::Declared(declared) => call.saturating_add(declared.timeout_ms.into()),
        }
    }

    /// How many calls of it run and wait.
    pub fn width(&self) -> Width {
        match self {
            Listed::BuiltIn(tool) if tool.tier == Tier::Observe => {
                Width { running: usize::MAX, waiting: 0, interval_ms: 0 }
            }
            Listed::BuiltIn(_) => Width { running: PROBE_CALLS, waiting: CALLS_WAITING, interval_ms: 0 },
            Listed::Declared(declared) => declared.width,
        }
    }

    /// Its lane on this host; `None` for tools of which any number may run.
    pub fn lane(&self, host: &Host) -> Option<Rc<Lane>> {
        let width = self.width();
        if width.running == usize::MAX {
            return None;
        }
        let mut lanes = host.lanes.borrow_mut();
        if let Some((_, lane)) = lanes.iter().find(|(name, _)| **name == *self.name()) {
            return Some(Rc::clone(lane));
        }
        let lane = Lane::new(width);
        lanes.push((self.name().into(), Rc::clone(&lane)));
        Some(lane)
    }
}

/// The built-in tool of exactly that name.
pub fn built_in(name: &str) -> Option<&'static Tool> {
    TOOLS.binary_search_by(|tool| tool.name.cmp(name)).ok().and_then(|at| TOOLS.get(at))
}

/// The tool of exactly that name, whether or not this device has what it needs.
pub fn find(host: &Host, name: &str) -> Option<Listed> {
    built_in(name).map(Listed::BuiltIn).or_else(|| {
        let declared = host.declared.borrow();
        declared.iter().find(|declared| declared.name == name).map(|declared| Listed::Declared(Rc::clone(declared)))
    })
}

/// Every tool and whether this device has it; why not, otherwise.
pub fn survey(host: &Host) -> Vec<(Listed, Result<(), String>)> {
    let declared = host.declared.borrow();
    let mut all: Vec<Listed> = TOOLS.iter().map(Listed::BuiltIn).collect();
    for declared in declared.iter() {
        let at = all.partition_point(|other| other.name() <= declared.name.as_str());
        all.insert(at, Listed::Declared(Rc::clone(declared)));
    }
    all.into_iter()
        .map(|tool| {
            let present = tool.present(host);
            (tool, present)
        })
        .collect()
}

/// The policy groups that the reference does not know (`group:device`, `group:net`) and their tools, sorted.
pub fn groups(declared: &[Rc<Declared>]) -> Vec<(String, Vec<String>)> {
    let built_in = TOOLS.iter().filter(|tool| !tool.lenient).map(|tool| (tool.group, tool.name));
    let declared = declared.iter().map(|declared| (declared.work.group(), declared.name.as_str()));
    let mut all: Vec<(&str, &str)> = Vec::new();
    for item in built_in.chain(declared) {
        insert(&mut all, item, usize::MAX);
    }
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for (group, name) in all {
        let group = ["group:", group].concat();
        match groups.last_mut().filter(|(last, _)| *last == group) {
            Some((_, names)) => names.push(name.to_owned()),
            None => groups.push((group, vec![name.to_owned()])),
        }
    }
    groups
}
