//! cli: the command line → run, check, doctor, tools, explain, call, status, token. Prints results to stdout, everything else to stderr.

pub mod args;
pub mod call;
mod desk;
mod doctor;
mod explain;
mod load;
pub mod socket;
mod start;
mod tools;

use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use crate::config::{Bind, Config, Gateway};
use crate::gate::auth::Mode;
use crate::limits::PORT_DEFAULT;
use crate::serve::{files, log};
use args::{Asked, Command, Toolgate};

/// Exit codes. Source: contract cli.md; sysexits.h for 64, 69, 78.
pub mod exit {
    /// All went well.
    pub const OK: u8 = 0;
    /// The command failed, or the answer was no.
    pub const FAILED: u8 = 1;
    /// The command line is wrong.
    pub const USAGE: u8 = 64;
    /// No gateway answers.
    pub const UNREACHABLE: u8 = 69;
    /// The configuration is wrong.
    pub const CONFIG: u8 = 78;
}

/// Reads the command line, does what it says and returns the exit code.
pub fn main() -> u8 {
    let argv = std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned());
    match args::read(argv) {
        Asked::Text(text) => {
            say(&text);
            exit::OK
        }
        Asked::Wrong(text) => {
            complain(text.trim_end());
            exit::USAGE
        }
        // A running gateway reads its flags again at each reload; a command line is there as long as its process.
        Asked::Do(asked) => obey(Box::leak(asked)),
    }
}

fn obey(asked: &'static Toolgate) -> u8 {
    match &asked.command {
        Command::Call(call) => invoke(asked, call),
        Command::Check(_) => check(asked),
        Command::Doctor(flags) => doctor::doctor(asked, flags),
        Command::Explain(question) => explain::explain(asked, question),
        Command::Run(run) => start::run(asked, run),
        Command::Status(asking) => status(asked, asking),
        Command::Token(token) => show_token(asked, &token.what),
        Command::Tools(listing) => tools::list(asked, listing),
    }
}

/// Writes to stdout. A closed pipe is not an error: whoever closed it has read enough.
pub(crate) fn say(text: &str) {
    let mut out = io::stdout().lock();
    _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// A cell of a table: filled up to `width` characters, and two spaces.
fn push_cell(out: &mut String, cell: &str, width: usize) {
    out.push_str(cell);
    for _ in 0..width.saturating_sub(cell.chars().count()).saturating_add(2) {
        out.push(' ');
    }
}

/// `text` as it may stand on a terminal. What it escapes it escapes as JSON does, so that JSON means what it meant.
fn tame(text: &str) -> String {
    let mut tamed = String::with_capacity(text.len());
    for char in text.chars() {
        if log::controls(char) && !matches!(char, '\n' | '\t') {
            // Writing to a String cannot fail.
            _ = std::fmt::Write::write_fmt(&mut tamed, format_args!("\\u{:04x}", u32::from(char)));
        } else {
            tamed.push(char);
        }
    }
    tamed
}

/// Writes a line to stderr.
pub(crate) fn complain(text: &str) {
    _ = writeln!(io::stderr().lock(), "toolgate: {}", tame(text));
}

/// Writes findings to stderr and returns the exit code for a wrong configuration.
pub(crate) fn refuse(findings: &[String]) -> u8 {
    for finding in findings {
        complain(finding);
    }
    exit::CONFIG
}

fn check(asked: &Toolgate) -> u8 {
    match load::settle(asked, &args::Run::default()) {
        Ok(settled) => {
            let source = settled.loaded.path.as_deref().map_or("built-in defaults".into(), Path::to_string_lossy);
            let (source, lacks) = (source.into_owned(), load::lacks(&settled.loaded));
            for warning in settled.loaded.warnings.iter().chain(&lacks) {
                complain(&["warning: ", warning].concat());
            }
            let (gate, _) = start::stage(asked, settled.loaded.config);
            for (source, entry) in gate.rules().policy.unknown_entries() {
                complain(&["warning: ", &source, ": ", &entry, " matches no tool and no group"].concat());
            }
            say(&(source + ": ok\n"));
            exit::OK
        }
        Err(findings) => refuse(&findings),
    }
}

/// Where a gateway under this configuration is reached from its own device.
fn own_url(config: Option<&Config>) -> String {
    let (port, host) = match config {
        // Only there: it has no other listener.
        Some(Config { gateway: Gateway { port, bind: Bind::Custom(host), .. }, .. }) if !host.is_unspecified() => {
            (*port, *host)
        }
        config => (config.and_then(|config| config.gateway.port), Ipv4Addr::LOCALHOST),
    };
    format!("http://{host}:{}", port.unwrap_or(PORT_DEFAULT))
}

/// Sends a call to the gateway that `--url` or the configuration names.
fn send(asked: &Toolgate, call: &args::Call) -> Result<call::Said, call::Fault> {
    let url = call.url.clone().unwrap_or_else(|| {
        let loaded = load::load(asked).map_err(|_| {
            complain("the configuration does not load, so the default port is asked; mend it, or name the gateway with --url");
        });
        own_url(loaded.ok().map(|loaded| loaded.config).as_ref())
    });
    let place = call::place(&url, call.ws)?;
    let secret = load::client_secret(asked, call.token_file.as_deref()).map_err(call::Fault::Refused)?;
    let invoke = if place.socket { socket::invoke } else { call::invoke };
    invoke(call, &place, secret.as_ref())
}

fn invoke(asked: &Toolgate, call: &args::Call) -> u8 {
    match send(asked, call) {
        Ok(said) => {
            say(&(tame(&said.text) + "\n"));
            if said.good { exit::OK } else { exit::FAILED }
        }
        Err(fault) => fault.complain(),
    }
}

fn status(asked: &Toolgate, status: &args::Status) -> u8 {
    let call = args::Call {
        url: status.url.clone(),
        token_file: status.token_file.clone(),
        ..args::Call::of("gateway_status")
    };
    match send(asked, &call) {
        Ok(said) => {
            say(&(tame(if status.json { &said.details } else { &said.text }) + "\n"));
            exit::OK
        }
        Err(fault) => match fault.complain() {
            exit::USAGE => exit::USAGE,
            _ => exit::UNREACHABLE,
        },
    }
}

/// The file of the token in force; an error where another secret is, or none, so that nobody takes it for changed.
fn token_file(asked: &Toolgate) -> Result<PathBuf, String> {
    match load::settle(asked, &args::Run::default()) {
        Ok(load::Settled { mode, source, .. })
            if mode != Mode::Token || !matches!(source, "generated" | "none" | "service") =>
        {
            let fix = match mode {
                Mode::Password | Mode::Token => "change it there, then restart the gateway",
                Mode::None | Mode::TrustedProxy => "set gateway.auth.mode: \"token\" first",
            };
            let origin = doctor::origin(source, mode);
            Err(["what is in force is no token of the gateway's own: ", mode.word(), origin, "; ", fix].concat())
        }
        // Where it cannot be told, a token that others can read among it, a new one does no harm.
        _ => load::token_path(asked),
    }
}

const NO_TOKEN: &str =
    "no token yet: it is created when the gateway first starts; if it has, toolgate check says why it is not read";

fn show_token(asked: &Toolgate, what: &str) -> u8 {
    let done = match what {
        "path" | "rotate" => token_file(asked).and_then(|path| {
            if what == "rotate" {
                files::write_token(&path).map_err(|fault| fault.to_string())?;
                complain("a new token comes into force when the gateway restarts, or reloads (SIGHUP) where it reads the file itself; every client needs it then");
            }
            Ok(path.to_string_lossy().into_owned())
        }),
        "show" => load::client_secret(asked, None).and_then(|secret| match secret {
            Some(secret) => Ok(String::from_utf8_lossy(secret.reveal()).into_owned()),
            None => token_file(asked).and(Err(NO_TOKEN.into())),
        }),
        _ => {
            complain(&format!("token {what}: is not one of show, path, rotate"));
            return exit::USAGE;
        }
    };
    match done {
        Ok(text) => {
            say(&(text + "\n"));
            exit::OK
        }
        Err(text) => {
            complain(&text);
            exit::FAILED
        }
    }
}
