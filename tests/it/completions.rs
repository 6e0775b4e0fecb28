//! The shell completions in packaging/completions, written from the table that `--help` uses. `UPDATE=1` rewrites them.

use std::fmt::Write;
use std::fs;
use std::process::Command;

use argh::{ArgsInfo, FlagInfo};
use toolgate::cli::args::Toolgate;

use crate::manual::{choices, has, is_up_to_date, options, value};
use crate::rig::{Dir, binary, root};

/// What is asked for in a place of the command line.
enum Wanted<'f> {
    Directory,
    File,
    /// Something that only the caller knows.
    Free,
    Tool,
    Words(Vec<&'f str>),
}

fn wanted<'f>(name: &str, description: &'f str) -> Wanted<'f> {
    match (name, choices(description)) {
        ("dir", _) => Wanted::Directory,
        ("file", _) => Wanted::File,
        ("tool", _) => Wanted::Tool,
        (_, words) if !words.is_empty() => Wanted::Words(words),
        _ => Wanted::Free,
    }
}

/// Of an option; `None` for a switch.
fn of<'f>(flag: &FlagInfo<'f>) -> Option<Wanted<'f>> {
    value(flag).map(|name| wanted(name, flag.description))
}

/// The first sentence, without its full stop.
fn brief(description: &str) -> String {
    description.split(". ").next().unwrap_or(description).trim_end_matches('.').to_owned()
}

const HEAD: &str = "Written by tests/it/completions.rs from the table of --help.";

fn bash_reply(wanted: &Wanted<'_>) -> String {
    match wanted {
        Wanted::Directory => "mapfile -t COMPREPLY < <(compgen -d -- \"$cur\")".into(),
        Wanted::File => "mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")".into(),
        Wanted::Free => ":".into(),
        Wanted::Tool => "mapfile -t COMPREPLY < <(compgen -W \"$(_toolgate_tools \"$1\")\" -- \"$cur\")".into(),
        Wanted::Words(words) => {
            format!("mapfile -t COMPREPLY < <(compgen -W \"{}\" -- \"$cur\")", words.join(" "))
        }
    }
}

/// The function, with places for what the table says.
const BASH_TEXT: &str = r#"# bash completion for toolgate. HEAD
# shellcheck shell=bash

_toolgate_tools() {
    "$1" tools 2>/dev/null | while read -r name _; do echo "$name"; done
}

_toolgate() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command='' place=0 flags i
    # Bash makes three words of --option=value.
    if [ "$cur" = = ]; then
        cur=''
    elif [ "$prev" = = ]; then
        prev=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        VALUED) [ "${COMP_WORDS[i + 1]-}" = = ] || i=$((i + 1)) ;;
        =) i=$((i + 1)) ;;
        -*) ;;
        *)
            if [ -n "$command" ]; then
                place=$((place + 1))
            else
                command=${COMP_WORDS[i]}
            fi
            ;;
        esac
    done
    case ${command:-run}:$prev in
VALUES    esac
    flags="GLOBALS --help"
    case ${command:-run} in
FLAGS    esac
    case $cur in
    -*)
        mapfile -t COMPREPLY < <(compgen -W "$flags" -- "$cur")
        return
        ;;
    esac
    if [ -z "$command" ]; then
        mapfile -t COMPREPLY < <(compgen -W "COMMANDS" -- "$cur")
        return
    fi
    case $command:$place in
PLACES    esac
}

complete -F _toolgate toolgate
"#;

fn bash() -> String {
    let info = Toolgate::get_args_info();
    let names: Vec<&str> = info.commands.iter().map(|command| command.name).collect();
    let globals: Vec<&str> = options(&info).iter().map(|flag| flag.long).collect();
    let (mut values, mut flags, mut places) = (String::new(), String::new(), String::new());
    let mut valued: Vec<&str> = Vec::new();
    let mut add = |command: &str, flag: &FlagInfo<'static>| {
        if let Some(wanted) = of(flag) {
            valued.push(flag.long);
            let reply = bash_reply(&wanted);
            _ = writeln!(values, "    {command}:{})\n        {reply}\n        return\n        ;;", flag.long);
        }
    };
    options(&info).into_iter().for_each(|flag| add("*", flag));
    for command in &info.commands {
        let (name, command) = (command.name, &command.command);
        let own: Vec<&str> = options(command).iter().map(|flag| flag.long).collect();
        options(command).into_iter().for_each(|flag| add(name, flag));
        if !own.is_empty() {
            _ = writeln!(flags, "    {name}) flags+=\" {}\" ;;", own.join(" "));
        }
        for (at, positional) in command.positionals.iter().enumerate() {
            let reply = bash_reply(&wanted(positional.name, positional.description));
            _ = writeln!(places, "    {name}:{at}) {reply} ;;");
        }
    }
    valued.sort_unstable();
    valued.dedup();
    BASH_TEXT
        .replace("HEAD", HEAD)
        .replace("VALUED", &valued.join(" | "))
        .replace("VALUES", &values)
        .replace("GLOBALS", &globals.join(" "))
        .replace("FLAGS", &flags)
        .replace("COMMANDS", &names.join(" "))
        .replace("PLACES", &places)
}

/// Text within single quotes, within zsh's brackets.
fn zsh_text(text: &str) -> String {
    brief(text).replace('\'', "'\\''").replace('[', "\\[").replace(']', "\\]").replace(':', "\\:")
}

fn zsh_action(name: &str, wanted: &Wanted<'_>) -> String {
    let action = match wanted {
        Wanted::Directory => "_files -/".into(),
        Wanted::File => "_files".into(),
        Wanted::Free => " ".into(),
        Wanted::Tool => "_toolgate_tools".into(),
        Wanted::Words(words) => format!("({})", words.join(" ")),
    };
    format!(":{name}:{action}")
}

fn zsh_specs<'f>(flags: impl Iterator<Item = &'f FlagInfo<'f>>, indent: &str) -> String {
    let mut out = String::new();
    for flag in flags {
        let star = if flag.optionality == argh::Optionality::Repeating { "*" } else { "" };
        let (equals, action) = match value(flag) {
            Some(name) => ("=", zsh_action(name, &wanted(name, flag.description))),
            None => ("", String::new()),
        };
        _ = writeln!(out, "{indent}'{star}{}{equals}[{}]{action}' \\", flag.long, zsh_text(flag.description));
    }
    out
}

fn zsh() -> String {
    let info = Toolgate::get_args_info();
    let (mut described, mut cases) = (String::new(), String::new());
    for command in &info.commands {
        let (name, command) = (command.name, &command.command);
        _ = writeln!(described, "            '{name}:{}'", brief(command.description).replace('\'', "'\\''"));
        _ = write!(cases, "        {name})\n            _arguments \\\n");
        cases += &zsh_specs(options(command).into_iter(), "                ");
        for positional in command.positionals {
            let action = zsh_action(positional.name, &wanted(positional.name, positional.description));
            _ = writeln!(cases, "                ':{}' \\", action.trim_start_matches(':'));
        }
        cases += "                '--help[display usage information]'\n            ;;\n";
    }
    format!(
        "#compdef toolgate
# zsh completion for toolgate. {HEAD}

_toolgate_tools() {{
    local -a names
    names=(${{${{(f)\"$(_call_program tools toolgate tools 2>/dev/null)\"}}%% *}})
    compadd -a names
}}

_toolgate() {{
    local context state state_descr line
    typeset -A opt_args
    local -a commands
    _arguments -C \\
{}        '--help[display usage information]' \\
        '1: :->command' \\
        '*:: :->rest'
    case $state in
    command)
        commands=(
{described}        )
        _describe -t commands command commands
        ;;
    rest)
        case $words[1] in
{cases}        esac
        ;;
    esac
}}

_toolgate \"$@\"
",
        zsh_specs(options(&info).into_iter(), "        ")
    )
}

fn fish_text(text: &str) -> String {
    brief(text).replace('\\', "\\\\").replace('\'', "\\'")
}

fn fish_line(condition: &str, flag: &FlagInfo<'_>) -> String {
    let asks = match of(flag) {
        None => String::new(),
        Some(Wanted::Directory) => " -x -a '(__fish_complete_directories)'".into(),
        Some(Wanted::File) => " -r -F".into(),
        Some(Wanted::Free) => " -x".into(),
        Some(Wanted::Tool) => " -x -a '(__toolgate_tools)'".into(),
        Some(Wanted::Words(words)) => format!(" -x -a '{}'", words.join(" ")),
    };
    let name = flag.long.trim_start_matches("--");
    format!("complete -c toolgate{condition} -l {name}{asks} -d '{}'\n", fish_text(flag.description))
}

fn fish() -> String {
    let info = Toolgate::get_args_info();
    let mut out = format!(
        "# fish completion for toolgate. {HEAD}

function __toolgate_tools
    toolgate tools 2>/dev/null | string replace -r ' .*' ''
end

complete -c toolgate -f
complete -c toolgate -l help -d 'display usage information'
"
    );
    for flag in options(&info) {
        out += &fish_line("", flag);
    }
    for command in &info.commands {
        let (name, command) = (command.name, &command.command);
        _ = write!(
            out,
            "\ncomplete -c toolgate -n __fish_use_subcommand -a {name} -d '{}'\n",
            fish_text(command.description)
        );
        let condition = format!(" -n '__fish_seen_subcommand_from {name}'");
        for flag in options(command) {
            out += &fish_line(&condition, flag);
        }
        for positional in command.positionals {
            let words = match wanted(positional.name, positional.description) {
                Wanted::Tool => "(__toolgate_tools)".into(),
                Wanted::Words(words) => words.join(" "),
                _ => continue,
            };
            _ = writeln!(out, "complete -c toolgate{condition} -a '{words}'");
        }
    }
    out
}

const BASH: &str = "packaging/completions/toolgate.bash";
const ZSH: &str = "packaging/completions/_toolgate";
const FISH: &str = "packaging/completions/toolgate.fish";

#[test]
fn completions_are_the_codes() {
    is_up_to_date(BASH, &bash());
    is_up_to_date(ZSH, &zsh());
    is_up_to_date(FISH, &fish());
}

/// What a finished shell said, each word once, in order.
fn said(mut shell: Command) -> Vec<String> {
    let output = shell.output().expect("a shell");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.is_empty(), "{shell:?}: {text}{complaints}");
    let mut words: Vec<String> = text.lines().map(|line| line.split('\t').next().unwrap_or(line).into()).collect();
    words.sort();
    words.dedup();
    words
}

/// A folder whose `toolgate` is the program under test, and which is on PATH.
fn path(dir: &Dir) -> String {
    let link = dir.path("toolgate");
    if !link.exists() {
        std::os::unix::fs::symlink(binary(), link).expect("a link");
    }
    format!("{}:{}", dir.path("").display(), std::env::var("PATH").unwrap_or_default())
}

/// Command lines up to the cursor, a word that must be offered, and one that must not.
const OFFERS: [(&[&str], &str, &str); 15] = [
    (&[""], "explain", "--config"),
    (&["st"], "status", "run"),
    (&["--"], "--config", "run"),
    (&["run", "--"], "--bind", "--scopes"),
    (&["run", "--b"], "--bind", "--port"),
    (&["run", "--bind", ""], "loopback", "run"),
    (&["run", "--bind", "lo"], "loopback", "lan"),
    (&["--bind", "lo"], "loopback", "lan"),
    (&["run", "--log-level", ""], "debug", "loopback"),
    (&["token", ""], "rotate", "run"),
    (&["call", "device_"], "device_status", "dns_lookup"),
    (&["call", "--url", "x", "device_"], "device_status", "dns_lookup"),
    (&["--config", "x", "status", "--"], "--json", "--bind"),
    (&["--config", "Cargo.t"], "Cargo.toml", "README.md"),
    (&["--state-dir", "sr"], "src", "README.md"),
];

#[test]
fn bash_completes() {
    if !has("bash", "nobody tries its completions") {
        return;
    }
    let dir = Dir::new();
    let ask = |line: &[&str]| {
        let mut shell = Command::new("bash");
        let script = ". \"$1\"; shift; COMP_WORDS=(toolgate \"$@\"); COMP_CWORD=$#; _toolgate toolgate; printf '%s\\n' \"${COMPREPLY[@]}\"";
        shell.args(["--norc", "-euc", script, "bash"]).arg(root().join(BASH)).args(line);
        shell.current_dir(root()).env("PATH", path(&dir)).env("TOOLGATE_CONFIG", dir.path("none.json5"));
        said(shell)
    };
    dir.write("none.json5", 0o600, "{}");
    for (line, offered, other) in OFFERS {
        let words = ask(line);
        assert!(words.iter().any(|word| word == offered), "{line:?}: no {offered} in {words:?}");
        assert!(words.iter().all(|word| word != other), "{line:?}: {other} in {words:?}");
    }
    assert_eq!(ask(&["run", "--bind", "=", "lo"]), ["loopback"], "--bind=lo");
    assert_eq!(ask(&["run", "--bind", "="]).len(), choices_of_bind(), "--bind=");
}

fn choices_of_bind() -> usize {
    let info = Toolgate::get_args_info();
    let run = info.commands.iter().find(|command| command.name == "run").expect("run");
    let bind = run.command.flags.iter().find(|flag| flag.long == "--bind").expect("--bind");
    choices(bind.description).len()
}

#[test]
fn fish_completes() {
    if !has("fish", "nobody tries its completions") {
        return;
    }
    let dir = Dir::new();
    dir.write("none.json5", 0o600, "{}");
    for (line, offered, other) in OFFERS {
        // Its completions know the command by its name alone.
        let script = format!("source {}; complete -C 'toolgate {}'", root().join(FISH).display(), line.join(" "));
        let mut shell = Command::new("fish");
        shell.args(["--no-config", "-c", &script]).current_dir(root());
        shell.env("PATH", path(&dir)).env("TOOLGATE_CONFIG", dir.path("none.json5")).env("HOME", dir.path(""));
        let words: Vec<String> = said(shell).iter().map(|word| word.trim_end_matches('/').to_owned()).collect();
        // Without a command, options are those of all.
        if line == ["--bind", "lo"] {
            continue;
        }
        assert!(words.iter().any(|word| word == offered), "{line:?}: no {offered} in {words:?}");
        assert!(words.iter().all(|word| word != other), "{line:?}: {other} in {words:?}");
    }
}

#[test]
fn zsh_reads_its_completions() {
    if !has("zsh", "nobody reads its completions") {
        return;
    }
    // What zsh's own functions are told, without a terminal: they only print it here.
    let script = "_arguments() { print -rl -- \"$@\" }; _describe() { print -rl -- $commands }; \
                  state=$2 words=(${=3}); . $1";
    for (state, words, told) in [
        (
            "command",
            "",
            "status:Ask the running gateway how it is: listeners, uptime, memory, connections, calls, last reload, last errors",
        ),
        ("rest", "run", "--bind=[addresses to listen on"),
        ("rest", "call", ":tool:_toolgate_tools"),
        ("rest", "token", ":what:(show path rotate)"),
    ] {
        let mut shell = Command::new("zsh");
        let text = fs::read_to_string(root().join(ZSH)).expect("the completions");
        // The line that would make `state` anew.
        let text = text.replace("    local context state state_descr line\n", "");
        let dir = Dir::new();
        let file = dir.write("_toolgate", 0o600, &text);
        shell.args(["-fc", script, "zsh"]).arg(file).args([state, words]);
        let said = said(shell);
        assert!(said.iter().any(|line| line.starts_with(told)), "{state} {words}: no {told} in {said:#?}");
    }
}
