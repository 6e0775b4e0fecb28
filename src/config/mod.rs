//! config: JSON5 text → checked values, and every finding at once. Pure: no file, no clock; the environment is an argument.
//!
//! [`read`] goes through four steps: `node` (syntax, size, depth), `check` (the table of `keys`, `${NAME}`), `fill` and
//! `policy` (typed values), `refuse` (what cannot start). Secrets that lie in files or variables stay references
//! ([`SecretRef`]); what depends on them or on the command line is decided by [`resolve_mode`] and [`refusals`].

mod check;
mod declare;
mod device;
mod fill;
mod foreign;
mod key;
mod keys;
mod lookup;
mod nearest;
mod node;
mod pack;
mod policy;
mod refuse;
mod secrets;
mod substitute;
mod tailnet;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::Ipv4Addr;
use std::rc::Rc;

pub use keys::{Default as KeyDefault, Key, Kind, keys};
pub use lookup::{KeyInfo, redact, schema_lookup};
pub use node::Node;
pub use refuse::{Overrides, refusals, resolve_mode};
pub use secrets::{SecretRef, sample};
pub use tailnet::Tailnet;

use crate::gate::Rules;
use crate::gate::auth::Mode;
use crate::tool::targets::Hidden;
use crate::tool::{Declared, Targets};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The gateway must not start, or must keep what it has.
    Error,
    /// Something is not as it seems; the gateway starts.
    Warning,
}

/// One thing to say about a configuration. Never holds a secret's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// The key it is about, such as `agents.list[2].tools.allow[0]`; `<root>` for the document.
    pub path: String,
    /// One plain sentence that names the fix.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// Which addresses to listen on. Source: contract http.md §2.9.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Bind {
    /// Loopback, in a container everything.
    Auto,
    /// One IPv4 address.
    Custom(Ipv4Addr),
    /// Every IPv4 address.
    Lan,
    /// 127.0.0.1 and ::1.
    #[default]
    Loopback,
    /// The tailnet's address and loopback.
    Tailnet,
}

/// How Tailscale publishes the gateway. It is only checked against; Tailscale is run by the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tailscale {
    /// To the internet.
    Funnel,
    /// Not at all.
    #[default]
    Off,
    /// To the tailnet.
    Serve,
}

/// Bounds on what is held at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections open at once.
    pub connections: usize,
    /// Connections of one peer address.
    pub connections_per_peer: usize,
    /// Bytes of all request bodies in flight.
    pub body_pool_bytes: usize,
    /// Tool calls running at once.
    pub calls: usize,
    /// Bytes of one message of a socket.
    pub message_bytes: usize,
    /// Bytes of one tool's result.
    pub tool_result_bytes: usize,
}

/// The `gateway` section, as far as it is not in [`Rules`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// The TCP port, 0 for any; `None` when not configured ([`crate::limits::PORT_DEFAULT`]).
    pub port: Option<u16>,
    /// Which addresses to listen on.
    pub bind: Bind,
    /// `customBindHost`, whatever `bind` says: a flag may choose it.
    pub custom_host: Option<Ipv4Addr>,
    /// The way to authenticate, as far as configured; [`resolve_mode`] decides.
    pub auth_mode: Option<Mode>,
    /// The shared token.
    pub token: Option<SecretRef>,
    /// The shared password.
    pub password: Option<SecretRef>,
    /// The field in which a trusted proxy names the user, lower-case.
    pub user_header: Option<String>,
    /// Fields that a trusted proxy must send, lower-case.
    pub required_headers: Vec<String>,
    /// The value of `Strict-Transport-Security`.
    pub hsts: Option<String>,
    /// Milliseconds from upgrade to a finished handshake.
    pub handshake_timeout_ms: u32,
    /// Where the tailnet is.
    pub tailnet: Tailnet,
    /// How Tailscale publishes the gateway.
    pub tailscale: Tailscale,
    /// Bounds on what is held at once.
    pub limits: Limits,
}

/// A secret that a tool sends, and the place that waits for it. The caller reads the one, honours its prefix, and fills
/// the other.
#[derive(Debug)]
pub struct Held {
    /// Where it stands in the document, for what is said about it.
    pub key: String,
    /// The secret, or where it lies and what stands before it.
    pub secret: SecretRef,
    /// The empty place, one with that in the targets.
    pub place: Hidden,
}

/// A checked configuration.
#[derive(Debug)]
pub struct Config {
    /// The listener, the references to secrets, the bounds.
    pub gateway: Gateway,
    /// What the gate decides by. Missing here, for the caller to fill: the mode in force, both secrets, the host names
    /// that follow from listening addresses, and everything that follows from the tool table.
    pub rules: Rules,
    /// Programs and services declared as tools, sorted by name.
    pub declared: Vec<Rc<Declared>>,
    /// Targets of built-in tools.
    pub targets: Targets,
    /// Secrets of tools; missing until the caller has filled their places.
    pub secrets: Vec<Held>,
}

impl Default for Config {
    /// What holds without a configuration file.
    fn default() -> Config {
        let empty = Node::Map(Vec::new());
        fill::config(&empty, &[], &mut Findings::default())
    }
}

/// What [`read`] makes of a text.
#[derive(Debug)]
pub struct Outcome {
    /// The configuration. With any finding of [`Level::Error`] it must not be used.
    pub config: Config,
    /// Every finding: the walk through the document in its order, then what follows from keys together.
    pub findings: Vec<Finding>,
}

impl Outcome {
    /// Whether any finding forbids using the configuration.
    pub fn refused(&self) -> bool {
        self.findings.iter().any(|finding| finding.level == Level::Error)
    }
}

/// Reads and checks a configuration text. `env` answers for `${NAME}`; nothing else is read.
///
/// Source: contract http.md §6, cli.md.
pub fn read(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Outcome {
    let mut findings = Findings::default();
    let config = match Node::parse(text) {
        Ok(mut root) => {
            node::dedupe(&mut root, "", &mut findings);
            let kept = check::document(&mut root, env, &mut findings);
            let config = fill::config(&root, &kept, &mut findings);
            refuse::document(&root, &config, &mut findings);
            config
        }
        Err(message) => {
            findings.error("", &message);
            Config::default()
        }
    };
    Outcome { config, findings: findings.0 }
}

/// The mode that a word of `gateway.auth.mode` or `--auth` names.
pub fn mode(word: &str) -> Option<Mode> {
    match word {
        "none" => Some(Mode::None),
        "password" => Some(Mode::Password),
        "token" => Some(Mode::Token),
        "trusted-proxy" => Some(Mode::TrustedProxy),
        _ => None,
    }
}

/// What a word of `gateway.bind` or `--bind` names; `host` is `gateway.customBindHost`.
///
/// # Errors
/// One sentence, when the word is unknown or `custom` has no host.
pub fn bind(word: &str, host: Option<Ipv4Addr>) -> Result<Bind, String> {
    match word {
        "auto" => Ok(Bind::Auto),
        "custom" => {
            let message = "bind custom needs gateway.customBindHost, an IPv4 address such as 192.168.1.5";
            host.map(Bind::Custom).ok_or_else(|| message.to_owned())
        }
        "lan" => Ok(Bind::Lan),
        "loopback" => Ok(Bind::Loopback),
        "tailnet" => Ok(Bind::Tailnet),
        _ => Err(format!("{} is not one of {}", node::quoted(word), keys::BINDS.join(", "))),
    }
}

/// Findings so far.
#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    #[inline(never)]
    fn error(&mut self, path: &str, message: &str) {
        self.0.push(finding(Level::Error, path, message));
    }

    /// The same of a message that is put together.
    #[inline(never)]
    fn wrong(&mut self, path: &str, parts: &[&str]) {
        self.error(path, &parts.concat());
    }

    #[inline(never)]
    fn warn(&mut self, path: &str, message: &str) {
        self.0.push(finding(Level::Warning, path, message));
    }
}

fn finding(level: Level, path: &str, message: &str) -> Finding {
    let path = if path.is_empty() { "<root>" } else { path };
    Finding { level, path: path.to_owned(), message: message.to_owned() }
}
