//! Tools that the operator declared: `tools.commands` and `tools.http`. Plain data; `config` makes it, a reload replaces
//! it whole.

use super::Tier;
use super::command::Command;
use super::fields::Field;
use super::lane::Width;
use super::remote::Service;

/// One declared tool.
#[derive(Debug)]
pub struct Declared {
    /// Its name: `[a-z][a-z0-9_]*`.
    pub name: String,
    /// What it does, in one line.
    pub summary: String,
    /// How far it reaches.
    pub tier: Tier,
    /// Its parameters, in the order errors are reported.
    pub fields: Vec<Field>,
    /// How many calls run and wait.
    pub width: Width,
    /// Milliseconds one call may take, its wait for a turn apart.
    pub timeout_ms: u32,
    /// What a call does.
    pub work: Work,
}

impl Declared {
    /// Whether this device has what it needs, as far as files show.
    ///
    /// # Errors
    /// What is missing.
    pub fn lack(&self) -> Result<(), String> {
        match &self.work {
            Work::Command(command) => command.lack(),
            Work::Http(_) => Ok(()),
        }
    }
}

/// What a call of a declared tool does.
#[derive(Debug)]
pub enum Work {
    /// It runs a program.
    Command(Command),
    /// It asks a service.
    Http(Service),
}

impl Work {
    /// The policy group of such tools, without `group:`.
    pub fn group(&self) -> &'static str {
        match self {
            Work::Command(_) => "commands",
            Work::Http(_) => "http",
        }
    }

    /// Where such tools are declared.
    pub fn source(&self) -> &'static str {
        match self {
            Work::Command(_) => "tools.commands",
            Work::Http(_) => "tools.http",
        }
    }
}

#[cfg(test)]
#[path = "declared_tests.rs"]
mod tests;
