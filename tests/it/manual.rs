//! The manual pages in packaging/man, written from the tables that `--help` and `check` use. `UPDATE=1` rewrites them.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use argh::{ArgsInfo, CommandInfoWithArgs, FlagInfo, FlagInfoKind, Optionality};
use regex_lite::Regex;
use toolgate::cli::args::Toolgate;
use toolgate::config;

use crate::rig::{notice, root};
use crate::source::sources;

/// Compares a file of the repository with what it should be, or rewrites it.
pub fn is_up_to_date(path: &str, wanted: &str) {
    let file = root().join(path);
    if fs::read_to_string(&file).is_ok_and(|stands| stands == wanted) {
        return;
    }
    assert!(std::env::var_os("UPDATE").is_some(), "{path} is not what the code says; UPDATE=1 cargo test rewrites it");
    fs::create_dir_all(file.parent().expect("a folder")).expect("its folder");
    // In one step: other tests may read it.
    let draft = file.with_extension("draft");
    fs::write(&draft, wanted).and_then(|()| fs::rename(&draft, &file)).expect("write it");
}

/// Whether a program is on PATH. Says so when it is not.
pub fn has(program: &str, what: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths).any(|folder| folder.join(program).is_file());
    if !found {
        notice(&format!("there is no {program} on PATH: {what}"));
    }
    found
}

/// The options of a command; argh's own `--help` is the same everywhere.
pub fn options(command: &CommandInfoWithArgs) -> Vec<&'static FlagInfo<'static>> {
    command.flags.iter().filter(|flag| !flag.hidden && flag.long != "--help").collect()
}

/// The word in place of an option's value, if it takes one.
pub fn value<'f>(flag: &FlagInfo<'f>) -> Option<&'f str> {
    match flag.kind {
        FlagInfoKind::Option { arg_name } => Some(arg_name),
        FlagInfoKind::Switch => None,
    }
}

/// The words that a description lists, as in `what to do: show, path (default: show)`.
pub fn choices(description: &str) -> Vec<&str> {
    let listed = description.split_once(": ").map(|(_, rest)| rest.split(" (").next().unwrap_or(rest));
    let words: Vec<&str> = listed.unwrap_or_default().split(", ").collect();
    let plain = |word: &&str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    if words.len() > 1 && words.iter().all(plain) { words } else { Vec::new() }
}

/// The date of the newest entry of Debian's changelog, as mdoc(7) wants it.
fn date() -> String {
    let changelog = fs::read_to_string(root().join("packaging/debian/changelog")).expect("the changelog");
    let line = changelog.lines().find(|line| line.starts_with(" -- ")).expect("its trailer");
    let words: Vec<&str> = line.rsplit_once("  ").expect("a date").1.split(' ').collect();
    let months = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let month = months.iter().find(|month| month.starts_with(words[2])).expect("a month");
    format!("{month} {}, {}", words[1].trim_start_matches('0'), words[3])
}

/// Text as mdoc(7): escaped, a new line for each sentence, no line over 78 characters.
fn prose(text: &str) -> String {
    let mut out = String::new();
    let mut width = 0;
    let mut quoted = false;
    for word in text.split_whitespace() {
        let mut escaped = String::new();
        let letters: Vec<char> = word.chars().collect();
        for (at, letter) in letters.iter().enumerate() {
            let between = |step: usize| letters.get(step).is_some_and(|c| c.is_alphanumeric());
            match letter {
                '\\' => escaped += "\\e",
                '`' => {
                    quoted = !quoted;
                    escaped += if quoted { "\\(lq" } else { "\\(rq" };
                }
                // A hyphen that is part of something to type stays what it is.
                '-' if !(between(at + 1) && at > 0 && between(at - 1)) => escaped += "\\-",
                other => escaped.push(*other),
            }
        }
        let sentence = out.ends_with(['.', '?', '!']) && letters[0].is_uppercase();
        if out.is_empty() {
        } else if sentence || width + 1 + escaped.len() > 78 {
            out.push('\n');
            width = 0;
        } else {
            out.push(' ');
            width += 1;
        }
        // A line that begins with one of these would be a command.
        if width == 0 && escaped.starts_with(['.', '\'']) {
            escaped.insert_str(0, "\\&");
        }
        width += escaped.len();
        out += &escaped;
    }
    out + "\n"
}

/// `--option` as mdoc(7) spells it.
fn fl(long: &str) -> String {
    format!("Fl -{}", long.trim_start_matches("--"))
}

fn arguments(command: &CommandInfoWithArgs) -> String {
    let mut out = String::new();
    for flag in options(command) {
        let value = value(flag).map_or(String::new(), |name| format!(" Ar {name}"));
        let dots = if flag.optionality == Optionality::Repeating { " ..." } else { "" };
        _ = writeln!(out, ".Op {}{value}{dots}", fl(flag.long));
    }
    for positional in command.positionals {
        let optional = if positional.optionality == Optionality::Required { "" } else { "Op " };
        _ = writeln!(out, ".{optional}Ar {}", positional.name);
    }
    out
}

fn list_of_options(command: &CommandInfoWithArgs) -> String {
    let (flags, positionals) = (options(command), command.positionals);
    if flags.is_empty() && positionals.is_empty() {
        return String::new();
    }
    let mut out = String::from(".Bl -tag -width Ds\n");
    for positional in positionals {
        _ = write!(out, ".It Ar {}\n{}", positional.name, sentence(positional.description));
    }
    for flag in flags {
        let value = value(flag).map_or(String::new(), |name| format!(" Ar {name}"));
        _ = write!(out, ".It {}{value}\n{}", fl(flag.long), sentence(flag.description));
    }
    out + ".El\n"
}

/// A description of `--help` as a sentence.
fn sentence(description: &str) -> String {
    let mut letters = description.chars();
    let first = letters.next().expect("a description").to_ascii_uppercase();
    let end = if description.ends_with('.') { "" } else { "." };
    prose(&format!("{first}{}{end}", letters.as_str()))
}

fn tagged(rows: &[(&str, &str)], macro_name: &str) -> String {
    let mut out = String::from(".Bl -tag -width Ds\n");
    for (tag, text) in rows {
        _ = write!(out, ".It {macro_name} {tag}\n{}", prose(text));
    }
    out + ".El\n"
}

/// What the environment says. Every variable that the program reads stands here.
const ENVIRONMENT: [(&str, &str); 17] = [
    ("TOOLGATE_CONFIG", "The configuration file."),
    ("OPENCLAW_CONFIG_PATH", "The same, asked second."),
    ("TOOLGATE_STATE_DIR", "The state directory, as --state-dir names it."),
    ("STATE_DIRECTORY", "The state directory that systemd made."),
    ("OPENCLAW_GATEWAY_TOKEN", "The shared token."),
    ("OPENCLAW_GATEWAY_PASSWORD", "The shared password."),
    ("CREDENTIALS_DIRECTORY", "Where systemd put the service's credentials: files named token or password."),
    ("XDG_CONFIG_HOME", "Where the configuration is looked for, instead of ~/.config."),
    ("XDG_STATE_HOME", "Where the state directory is, instead of ~/.local/state."),
    ("HOME", "The directory that ~ stands for here."),
    ("JOURNAL_STREAM", "Set by systemd: lines of the log then begin with a priority, and bear no time."),
    ("NOTIFY_SOCKET", "Where the service manager hears how the service is."),
    ("WATCHDOG_USEC", "How long the service manager waits for a sign of life, in microseconds."),
    ("WATCHDOG_PID", "The process that the line above means."),
    ("LISTEN_FDS", "How many sockets the service manager handed over, from descriptor 3 on."),
    ("LISTEN_FDNAMES", "Their names; the one of `tailscale serve` is called serve."),
    ("LISTEN_PID", "The process that the lines above mean."),
];

const FILES: [(&str, &str); 5] = [
    ("/etc/toolgate/toolgate.json5", "The configuration of the service; see toolgate.json5(5)."),
    ("/etc/toolgate/token", "The shared token that the package made, for root's eyes only."),
    ("~/.config/toolgate/toolgate.json5", "The configuration of a gateway that is not the system's."),
    ("~/.local/state/toolgate/token", "The token that such a gateway made at its first start."),
    ("/usr/share/doc/toolgate/examples", "What opens the service's sandbox where your tools need it."),
];

const SIGNALS: [(&str, &str); 2] = [
    ("SIGHUP", "Reads the configuration again. If anything is wrong with it, nothing changes and the log says what."),
    ("SIGINT , SIGTERM", "Answers what is under way, ends the programs it started, and ends."),
];

fn page_of_the_program() -> String {
    let info = Toolgate::get_args_info();
    let mut page = format!(
        ".\\\" Written by tests/it/manual.rs from the tables of --help.\n.Dd {}\n.Dt TOOLGATE 8\n.Os\n\
         .Sh NAME\n.Nm toolgate\n.Nd lets others call the tools of this device\n.Sh SYNOPSIS\n",
        date()
    );
    for command in &info.commands {
        _ = write!(page, ".Nm\n.Op Ar global options\n.Cm {}\n{}", command.name, arguments(&command.command));
    }
    _ = write!(page, ".Sh DESCRIPTION\n{}", prose(info.description));
    _ = write!(page, ".Pp\nOptions take their value after a space or an equals sign.\n");
    _ = write!(page, "These precede or follow every command:\n{}", list_of_options(&info));
    page += ".Ss Commands\n.Bl -tag -width Ds\n";
    for command in &info.commands {
        let (name, command) = (command.name, &command.command);
        _ = write!(page, ".It Cm {name}\n{}{}", prose(command.description), list_of_options(command));
        for note in command.notes {
            _ = write!(page, ".Pp\n{}", prose(note));
        }
    }
    page += ".El\n";
    _ = write!(page, ".Sh ENVIRONMENT\n{}", tagged(&ENVIRONMENT, "Ev"));
    _ = write!(page, ".Sh FILES\n{}", tagged(&FILES, "Pa"));
    for note in info.notes {
        let note = note.strip_prefix("Files: ").unwrap_or(note);
        let mut letters = note.chars();
        let first = letters.next().expect("a note").to_ascii_uppercase();
        _ = write!(page, ".Pp\n{}", prose(&format!("{first}{}", letters.as_str())));
    }
    page += ".Sh EXIT STATUS\n.Bl -tag -width Ds\n";
    for code in info.error_codes {
        _ = write!(page, ".It {}\n{}", code.code, sentence(code.description));
    }
    page += ".El\n.Sh EXAMPLES\n";
    for example in info.examples {
        let (text, lines) = example.split_once('\n').expect("an example of several lines");
        let lines: Vec<&str> = lines.lines().map(str::trim).collect();
        _ = write!(page, "{}.Bd -literal -offset indent\n{}\n.Ed\n", prose(text), lines.join("\n"));
    }
    page += ".Pp\nOf the packaged service:\n.Bd -literal -offset indent\n";
    page += "sudo toolgate check && sudo systemctl reload toolgate\nsudo toolgate status\nsudo toolgate token\n.Ed\n";
    _ = write!(page, ".Sh SIGNALS\n{}", tagged(&SIGNALS, "Dv"));
    page + ".Sh SEE ALSO\n.Xr systemctl 1 ,\n.Xr toolgate.json5 5\n"
}

fn page_of_the_configuration() -> String {
    let mut page = format!(
        ".\\\" Written by tests/it/manual.rs from the table of keys.\n.Dd {}\n.Dt TOOLGATE.JSON5 5\n.Os\n\
         .Sh NAME\n.Nm toolgate.json5\n.Nd configuration of toolgate\n.Sh DESCRIPTION\n",
        date()
    );
    page += &prose(
        "One object in JSON5: comments, names without quotes, commas at the end. Everything may be left out. Unknown keys \
         are errors, with the nearest known one named; `toolgate check` prints all that is wrong with a file at once. \
         Keys that other programs read from the same file are known and skipped.",
    );
    page += ".Pp\n";
    page += &prose(
        "Below, * stands for a name of your choice and [] for each element of a list. A secret is a text, \
         {file: `path`}, {env: `NAME`}, or one of these with a text before it, {prefix: `Bearer `, file: `path`}. A file \
         that holds one must be readable by its owner only.",
    );
    page += ".Pp\n";
    page += &prose("A new configuration comes into force, as a whole or not at all, when the gateway gets SIGHUP.");
    page += ".Sh KEYS\n";
    let mut section = "";
    for key in config::keys() {
        let top = key.path.split('.').next().unwrap_or_default();
        if top != section {
            if !section.is_empty() {
                page += ".El\n";
            }
            section = top;
            _ = write!(page, ".Ss {top}\n.Bl -tag -width Ds\n");
        }
        let default = match key.default.to_string() {
            none if none.is_empty() => none,
            text => format!("; default: {text}"),
        };
        _ = write!(page, ".It Va {}\n{}.br\n", key.path, prose(key.about));
        page += &prose(&format!("{}{default}.", key.kind));
    }
    page += ".El\n.Sh EXAMPLES\n.Bd -literal\n";
    let example = fs::read_to_string(root().join("packaging/toolgate.json5")).expect("the example");
    page += &example.replace('\\', "\\e").replace("\n.", "\n\\&.");
    page + ".Ed\n.Sh SEE ALSO\n.Xr toolgate 8\n"
}

#[test]
fn manual_pages_are_the_codes() {
    for (path, page) in [
        ("packaging/man/toolgate.8", page_of_the_program()),
        ("packaging/man/toolgate.json5.5", page_of_the_configuration()),
    ] {
        is_up_to_date(path, &page);
        if !has("mandoc", "nobody checks the manual pages") {
            continue;
        }
        let mut mandoc = Command::new("mandoc");
        mandoc.args(["-T", "lint", "-W", "style"]);
        mandoc.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = mandoc.spawn().expect("mandoc");
        child.stdin.take().expect("its input").write_all(page.as_bytes()).expect("it reads");
        let said = child.wait_with_output().expect("its end");
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        // Which pages are installed here is of no interest.
        let faults: Vec<&str> = said.lines().filter(|line| !line.contains("referenced manual not found")).collect();
        assert!(faults.is_empty(), "{path}:\n{}", faults.join("\n"));
    }
}

#[test]
fn every_option_and_key_is_in_the_manual() {
    let (program, keys) = (page_of_the_program(), page_of_the_configuration());
    let info = Toolgate::get_args_info();
    assert!(info.commands.len() >= 7, "{} commands", info.commands.len());
    for command in &info.commands {
        assert!(program.contains(&format!("\n.It Cm {}\n", command.name)), "{}", command.name);
        for flag in options(&command.command) {
            assert!(program.contains(&format!("\n.It {}", fl(flag.long))), "{} {}", command.name, flag.long);
        }
    }
    assert!(config::keys().count() > 100);
    for key in config::keys() {
        assert!(keys.contains(&format!("\n.It Va {}\n", key.path)), "{}", key.path);
    }
}

#[test]
fn every_variable_is_in_the_manual() {
    let read =
        Regex::new(r#"(?:variable|directory|var|var_os)\(\s*"([A-Z][A-Z0-9_]+)"|"((?:TOOLGATE|OPENCLAW)_[A-Z0-9_]+)""#)
            .expect("an expression");
    let mut found = BTreeSet::new();
    for source in sources(&["src"]).iter().filter(|source| source.room().is_some()) {
        // Tests have variables of their own.
        let text = source.text.split("#[cfg(test)]").next().unwrap_or_default();
        if source.code.trim().is_empty() {
            continue;
        }
        for hit in read.captures_iter(text) {
            found.extend(hit.get(1).or(hit.get(2)).map(|name| name.as_str().to_owned()));
        }
    }
    assert!(found.contains("TOOLGATE_CONFIG") && found.contains("OPENCLAW_GATEWAY_TOKEN"), "{found:?}");
    let known: BTreeSet<&str> = ENVIRONMENT.iter().map(|(name, _)| *name).collect();
    let unknown: Vec<&String> = found.iter().filter(|name| !known.contains(name.as_str())).collect();
    assert!(unknown.is_empty(), "the environment of toolgate(8) does not explain {unknown:?}");
}

#[test]
fn the_changelog_is_of_this_version() {
    let changelog = fs::read_to_string(root().join("packaging/debian/changelog")).expect("the changelog");
    let first = format!("toolgate ({}-1) ", env!("CARGO_PKG_VERSION"));
    assert!(changelog.starts_with(&first), "packaging/debian/changelog does not begin with {first:?}");
}
