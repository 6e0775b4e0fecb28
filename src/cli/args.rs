//! argv → one typed command. What argh does not know (`-h`, `-V`, `--option=value`, global options after the command,
//! options without a command) is put into the form it knows first.

use std::path::PathBuf;

use argh::{ArgsInfo, FromArgs};

/// Calls the tools of this device for scripts, home automation and AI agents: POST /tools/invoke on one port, behind
/// one policy. Without a command it runs the gateway.
#[derive(ArgsInfo, FromArgs, Debug, PartialEq)]
#[argh(
    note = "Files: the configuration is the first found of --config, $TOOLGATE_CONFIG, $OPENCLAW_CONFIG_PATH,\n/etc/toolgate/toolgate.json5, ~/.config/toolgate/toolgate.json5; without one the built-in defaults hold:\nloopback only, token required. The token is created at the first start; `toolgate token` shows it.",
    example = "Run the gateway and call a tool:\n  toolgate &\n  toolgate call device_status",
    error_code(0, "all went well"),
    error_code(1, "the command failed or the answer was no"),
    error_code(64, "the command line is wrong"),
    error_code(69, "no gateway answers"),
    error_code(78, "the configuration is wrong")
)]
pub struct Toolgate {
    /// configuration file
    #[argh(option, arg_name = "file")]
    pub config: Option<PathBuf>,
    /// directory for the generated token
    #[argh(option, arg_name = "dir")]
    pub state_dir: Option<PathBuf>,
    /// prefix of /proc, /sys and /etc for tools, for tests and containers
    #[argh(option, arg_name = "dir")]
    pub sysroot: Option<PathBuf>,
    /// print the version
    #[argh(switch)]
    #[allow(dead_code, reason = "answered before argh runs; here for --help")]
    pub version: bool,
    /// what to do
    #[argh(subcommand)]
    pub command: Command,
}

/// A command.
#[derive(ArgsInfo, FromArgs, Debug, PartialEq)]
#[argh(subcommand)]
pub enum Command {
    /// `call`
    Call(Call),
    /// `check`
    Check(Check),
    /// `doctor`
    Doctor(Doctor),
    /// `explain`
    Explain(Explain),
    /// `run`
    Run(Run),
    /// `status`
    Status(Status),
    /// `token`
    Token(Token),
    /// `tools`
    Tools(Tools),
}

/// Run the gateway until SIGTERM or SIGINT. Prints one line for each address it listens on.
#[derive(ArgsInfo, FromArgs, Debug, PartialEq, Default)]
#[argh(
    subcommand,
    name = "run",
    note = "Under systemd: Type=notify, WatchdogSec= and socket units work; inherited sockets replace --bind and --port."
)]
pub struct Run {
    /// port to listen on; 0 = any (default: configuration, else 18789)
    #[argh(option, arg_name = "n")]
    pub port: Option<u16>,
    /// addresses to listen on: loopback, tailnet, lan, custom, auto (default: configuration, else loopback)
    #[argh(option, arg_name = "word")]
    pub bind: Option<String>,
    /// authentication: token, password, trusted-proxy, none (default: configuration, else token)
    #[argh(option, arg_name = "mode")]
    pub auth: Option<String>,
    /// file holding the shared secret
    #[argh(option, arg_name = "file")]
    pub token_file: Option<PathBuf>,
    /// what is logged to stderr: off, error, warn, info, debug (default: info)
    #[argh(option, arg_name = "level")]
    pub log_level: Option<log::LevelFilter>,
}

/// Read the configuration exactly as `run` would and print everything that is wrong with it. Changes nothing.
#[derive(ArgsInfo, FromArgs, Debug, PartialEq)]
#[argh(subcommand, name = "check")]
pub struct Check {}

/// List the tools of this device under this configuration.
#[derive(ArgsInfo, FromArgs, Debug, PartialEq)]
#[argh(subcommand, name = "tools")]
pub struct Tools {
    /// print JSON, with each tool's argument schema
    #[argh(switch)]
    pub json: bool,
    /// list absent and refused tools too, and say why
    #[argh(switch)]
    pub all: bool,
    /// session key to judge the policy for (default: main)
    #[argh(option, arg_name = "key")]
    pub session: Option<String>,
}

/// Say what the policy decides about a tool, whether or not it exists here: each step and the rule that decided.
#[derive(ArgsInfo, FromArgs, Debug, PartialEq)]
#[argh(subcommand, name = "explain")]
pub struct Explain {
    /// the tool's name
    #[argh(positional)]
    pub tool: String,
    /// the session key (default: main)
    #[argh(option, arg_name = "key")]
    pub session: Option<String>,
    /// the message channel the call comes from, as x-openclaw-message-channel says it
    #[argh(option, arg_name = "name")]
    pub channel: Option<String>,
    /// the account on that channel, as x-openclaw-account-id says it
    #[argh(option, arg_name = "id")]
    pub account: Option<String>,
    /// the caller's scopes, comma separated (default: all; a caller with the shared secret always holds all)
    #[argh(option, arg_name = "list")]
    pub scopes: Option<String>,
    /// print JSON
    #[argh(switch)]
    pub json: bool,
}

/// Invoke a tool on a running gateway and print its result.
#[derive(ArgsInfo, FromArgs, Debug, PartialEq)]
#[argh(subcommand, name = "call")]
pub struct Call {
    /// the tool's name
    #[argh(positional)]
    pub tool: String,
    /// the arguments as a JSON object
    #[argh(positional)]
    pub json: Option<String>,
    /// one argument, name=value; a value that is JSON is taken as such, anything else as a string; may be repeated
    #[argh(option, arg_name = "k=v")]
    pub arg: Vec<String>,
    /// the action, for tools that have several
    #[argh(option, arg_name = "word")]
    pub action: Option<String>,
    /// the session key (default: main)
    #[argh(option, arg_name = "key")]
    pub session: Option<String>,
    /// ask what would be done, without doing it
    #[argh(switch)]
    pub dry_run: bool,
    /// ask over the WebSocket; without --action and --dry-run, which it cannot say
    #[argh(switch)]
    pub ws: bool,
    /// the gateway, http:// or ws:// (default: http://127.0.0.1 and the configured port)
    #[argh(option, arg_name = "url")]
    pub url: Option<String>,
    /// file holding the shared secret (default: as the gateway finds it)
    #[argh(option, arg_name = "file")]
    pub token_file: Option<PathBuf>,
}

impl Call {
    /// A call of `tool` without anything else.
    pub fn of(tool: &str) -> Call {
        Call {
            tool: tool.into(),
            json: None,
            arg: Vec::new(),
            action: None,
            session: None,
            dry_run: false,
            ws: false,
            url: None,
            token_file: None,
        }
    }
}

/// Ask the running gateway how it is: listeners, uptime, memory, connections, calls, last reload, last errors.
#[derive(ArgsInfo, FromArgs, Debug, PartialEq)]
#[argh(subcommand, name = "status")]
pub struct Status {
    /// print JSON
    #[argh(switch)]
    pub json: bool,
    /// the gateway (default: http://127.0.0.1 and the configured port)
    #[argh(option, arg_name = "url")]
    pub url: Option<String>,
    /// file holding the shared secret (default: as the gateway finds it)
    #[argh(option, arg_name = "file")]
    pub token_file: Option<PathBuf>,
}

/// Say everything that could be wrong with this installation, each finding with its fix, and who can reach the gateway.
/// Changes nothing; the exit code is 1 when anything is critical.
#[derive(ArgsInfo, FromArgs, Debug, PartialEq)]
#[argh(subcommand, name = "doctor")]
pub struct Doctor {
    /// print JSON
    #[argh(switch)]
    pub json: bool,
    /// the gateway (default: http://127.0.0.1 and the configured port)
    #[argh(option, arg_name = "url")]
    pub url: Option<String>,
    /// file holding the shared secret (default: as the gateway finds it)
    #[argh(option, arg_name = "file")]
    pub token_file: Option<PathBuf>,
}

/// Show the shared secret, say which file it is in, or replace it.
#[derive(ArgsInfo, FromArgs, Debug, PartialEq)]
#[argh(subcommand, name = "token")]
pub struct Token {
    /// what to do: show, path, rotate (default: show)
    #[argh(positional, default = "\"show\".into()")]
    pub what: String,
}

/// What a command line asks for.
#[derive(Debug, PartialEq)]
pub enum Asked {
    /// A command.
    Do(Box<Toolgate>),
    /// A text for stdout: help or version.
    Text(String),
    /// A text for stderr: what is wrong with the command line.
    Wrong(String),
}

const COMMANDS: [&str; 8] = ["call", "check", "doctor", "explain", "run", "status", "token", "tools"];
const GLOBALS: [&str; 3] = ["--config", "--state-dir", "--sysroot"];

/// Reads a command line without the program's name.
pub fn read(argv: impl Iterator<Item = String>) -> Asked {
    let argv = normalise(argv);
    if argv.iter().take_while(|arg| *arg != "--").any(|arg| arg == "--version") {
        return Asked::Text(format!("toolgate {}\n", env!("CARGO_PKG_VERSION")));
    }
    let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
    match Toolgate::from_args(&["toolgate"], &argv) {
        Ok(command) => Asked::Do(Box::new(command)),
        Err(exit) if exit.status.is_ok() => Asked::Text(exit.output),
        Err(exit) => Asked::Wrong(exit.output),
    }
}

fn normalise(argv: impl Iterator<Item = String>) -> Vec<String> {
    let mut words = Vec::new();
    for arg in argv {
        // `--option=value` → `--option`, `value`.
        match arg.split_once('=') {
            Some((name, value)) if name.starts_with("--") => words.extend([String::from(name), String::from(value)]),
            _ => words.push(arg),
        }
    }
    let (mut globals, mut rest) = (Vec::new(), Vec::new());
    let mut argv = words.into_iter();
    while let Some(arg) = argv.next() {
        match arg.as_str() {
            "--" => {
                rest.push(arg);
                rest.extend(argv.by_ref());
            }
            "-h" => rest.push("--help".into()),
            "-V" => rest.push("--version".into()),
            name if GLOBALS.contains(&name) => {
                globals.push(arg);
                globals.extend(argv.next());
            }
            _ => rest.push(arg),
        }
    }
    // `toolgate --port 0` means `toolgate run --port 0`; `toolgate --help` means toolgate's own help.
    let own = |arg: &String| COMMANDS.contains(&arg.as_str()) || arg == "--help" || arg == "--version" || arg == "help";
    if rest.first().is_none_or(|first| first.starts_with('-') && !own(first)) {
        rest.insert(0, "run".into());
    }
    globals.extend(rest);
    globals
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: &str) {
        assert_eq!(normalise(line.split_whitespace().map(String::from)).join(" "), expected, "{line:?}");
    }

    #[test]
    fn command_lines_are_put_into_one_form() {
        check("", "run");
        check("--port=0", "run --port 0");
        check("--port 0 --config x", "--config x run --port 0");
        check("run --port=0 --sysroot=/x", "--sysroot /x run --port 0");
        check("-h", "--help");
        check("-V", "--version");
        check("call x -h", "call x --help");
        check("call x --arg=k=v --arg k=v", "call x --arg k=v --arg k=v");
        check("call x -- -h --config=1", "call x -- -h --config 1");
        check("nonsense", "nonsense");
    }

    #[test]
    fn help_and_version_are_texts_and_nonsense_is_wrong() {
        let ask = |line: &str| read(line.split_whitespace().map(String::from));
        for line in ["-h", "--help", "run -h", "call --help", "token -h"] {
            assert!(matches!(ask(line), Asked::Text(text) if text.contains("Usage")), "{line}");
        }
        assert_eq!(ask("-V"), Asked::Text(format!("toolgate {}\n", env!("CARGO_PKG_VERSION"))));
        for line in ["nonsense", "run --nonsense", "run --port 70000", "call", "run --log-level loud"] {
            assert!(matches!(ask(line), Asked::Wrong(text) if !text.is_empty()), "{line}");
        }
        assert!(
            matches!(ask("--port=0"), Asked::Do(asked) if asked.command == Command::Run(Run { port: Some(0), ..Run::default() }))
        );
    }
}
