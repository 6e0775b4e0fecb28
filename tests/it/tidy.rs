//! The rules of the house, over its source text. `lib.rs` names the test that holds each of its invariants.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use crate::rig::{Dir, program, root, run};
use crate::source::{ROOMS, Source, functions, numbers, sources, words};

/// Reports all offences of a rule at once.
fn none(rule: &str, offences: &[String]) {
    assert!(offences.is_empty(), "{rule}:\n  {}", offences.join("\n  "));
}

/// The rooms that `source` imports from, with where.
fn imports(source: &Source) -> Vec<(usize, usize)> {
    let own = source.path.trim_start_matches("src/").matches('/').count();
    let mut found = Vec::new();
    for (number, room) in ROOMS.iter().enumerate() {
        // `super` reaches the other rooms only from a room's own file or `mod.rs`.
        let up = if own == 0 || source.path.ends_with("/mod.rs") { "super" } else { "super::super" };
        for prefix in ["crate", "toolgate", up] {
            found.extend(words(&source.code, &format!("{prefix}::{room}")).into_iter().map(|at| (number, at)));
        }
    }
    for at in words(&source.code, "crate::{") {
        let inner = source.code[at + 8..].split('}').next().unwrap_or_default();
        let named = inner.split(',').map(|part| part.trim().split("::").next().unwrap_or_default());
        found.extend(named.filter_map(|name| Some((ROOMS.iter().position(|room| *room == name)?, at))));
    }
    found
}

/// Offences of files in `rooms` that import from one of `forbidden`.
fn imported(rooms: &[&str], forbidden: &[&str]) -> Vec<String> {
    let mut offences = Vec::new();
    for source in sources(&["src"]).iter().filter(|s| s.room().is_some_and(|room| rooms.contains(&ROOMS[room]))) {
        let wrong = imports(source).into_iter().filter(|(room, _)| forbidden.contains(&ROOMS[*room]));
        offences.extend(wrong.map(|(room, at)| format!("{} imports from {}", source.at(at), ROOMS[room])));
    }
    offences
}

#[test]
fn imports_go_left() {
    let mut offences = Vec::new();
    for source in sources(&["src"]) {
        let Some(own) = source.room() else {
            assert_eq!(source.path, "src/lib.rs", "a file that stands in no room of {ROOMS:?}");
            continue;
        };
        let wrong = imports(&source).into_iter().filter(|(room, _)| *room > own);
        offences.extend(wrong.map(|(room, at)| format!("{} imports from {}", source.at(at), ROOMS[room])));
    }
    none("a file imports only from rooms to its left", &offences);
}

#[test]
fn gate_knows_no_wire() {
    none("gate imports nothing of wire", &imported(&["gate"], &["wire"]));
}

#[test]
fn tool_knows_no_protocol() {
    let mut offences = imported(&["tool"], &["config", "api"]);
    let client = "src/tool/fetch.rs:";
    offences.extend(imported(&["tool"], &["wire"]).into_iter().filter(|offence| !offence.starts_with(client)));
    none("tool imports nothing of config and api, and of wire only in its client", &offences);
}

/// What a pure room may not say.
const IMPURE: [&str; 25] = [
    "async",
    ".await",
    "std::env",
    "std::fs",
    "std::io",
    "std::os",
    "std::process",
    "std::thread",
    "TcpListener",
    "TcpStream",
    "ToSocketAddrs",
    "UdpSocket",
    "UnixListener",
    "UnixStream",
    "File::",
    "Instant::now",
    ".elapsed",
    "SystemTime",
    "async_io",
    "async_signal",
    "getrandom",
    "libc",
    "rand",
    "rustix",
    "smol",
];

fn spoken(rooms: &[&str], tokens: &[&str]) -> Vec<String> {
    let mut offences = Vec::new();
    for source in sources(&["src"]).iter().filter(|s| s.room().is_some_and(|room| rooms.contains(&ROOMS[room]))) {
        for token in tokens {
            offences.extend(words(&source.code, token).iter().map(|at| format!("{} says {token}", source.at(*at))));
        }
    }
    offences
}

#[test]
fn pure_rooms_stay_pure() {
    let offences = spoken(&["limits", "wire", "gate", "config", "api"], &IMPURE);
    none("no async, socket, file, clock or randomness in a pure room", &offences);
}

#[test]
fn only_serve_and_tools_do_io() {
    // Commands may read a file and ask a running gateway; what listens, waits or runs is made by `serve`.
    let tokens =
        ["TcpListener::bind", "UdpSocket", "UnixListener", "rustix::net", "block_on", "async", "smol", "Command::new"];
    none(
        "only serve and the tools' handlers do IO",
        &spoken(&["limits", "wire", "gate", "config", "api", "cli"], &tokens),
    );
}

#[test]
fn units_live_in_limits() {
    let mut offences = Vec::new();
    for source in sources(&["src"]).iter().filter(|s| s.room() != Some(0)) {
        for unit in
            ["from_secs", "from_millis", "from_micros", "from_nanos", "from_mins", "from_hours", "from_secs_f64"]
        {
            for at in words(&source.code, unit) {
                let argument = source.code[at + unit.len()..].trim_start_matches(['(', ' ']);
                if argument.starts_with(|c: char| c.is_ascii_digit()) {
                    offences.push(format!("{} has a duration of its own", source.at(at)));
                }
            }
        }
        let counts = numbers(&source.code)
            .into_iter()
            .filter(|(_, n)| n.is_power_of_two() && (10..=30).contains(&n.trailing_zeros()));
        offences.extend(counts.map(|(at, n)| format!("{} has a byte count of its own: {n}", source.at(at))));
        for shift in ["<< 10", "<< 20", "<< 30"] {
            offences.extend(
                words(&source.code, shift).iter().map(|at| format!("{} has a byte count of its own", source.at(*at))),
            );
        }
    }
    none("durations and byte counts stand in limits", &offences);
}

#[test]
fn every_limit_is_explained() {
    let mut offences = Vec::new();
    for limit in limits() {
        if limit.doc.is_empty() {
            offences.push(format!("{} has no doc line", limit.name));
        }
    }
    none("each limit says what it counts and what happens beyond it", &offences);
}

#[test]
fn wall_clock_outlives_2038() {
    // Of std's clocks this one counts seconds in 32 bits under a 32-bit musl, and aborts when they overflow.
    none("the wall clock is asked through rustix", &spoken(&ROOMS, &["SystemTime"]));
    // And of rustix's this one panics on MIPS, where it goes through musl.
    let asked = spoken(&ROOMS, &["Realtime"]);
    let elsewhere: Vec<String> = asked.into_iter().filter(|place| !place.starts_with("src/tool/kernel.rs:")).collect();
    none("the wall clock is asked in one place", &elsewhere);
}

/// Where the wall clock is read or carried, and what for. Everywhere else time is that of [`std::time::Instant`], or what
/// has passed since boot.
const WALL: [(&str, &str); 23] = [
    ("src/api/socket/connect.rs", "whether a device signed long ago, while somebody keeps the clock"),
    ("src/api/socket/facts.rs", "asks for it"),
    ("src/api/socket/methods.rs", "`ts` of answers"),
    ("src/api/socket/methods/journal.rs", "times of log lines"),
    ("src/api/socket/methods/presence.rs", "`ts` of answers"),
    ("src/api/socket/mod.rs", "`ts` of the challenge"),
    ("src/cli/doctor/device.rs", "`doctor` tells of it"),
    ("src/cli/doctor/network.rs", "whether a file seems to be changed, for a warning"),
    ("src/serve/audit.rs", "times of events"),
    ("src/serve/facts.rs", "times of events"),
    ("src/serve/gateway.rs", "`ts` of the tick"),
    ("src/serve/http.rs", "the Date field"),
    ("src/serve/log.rs", "times of log lines"),
    ("src/serve/mod.rs", "hands it on"),
    ("src/serve/reload.rs", "when the last reload was"),
    ("src/serve/visitor.rs", "`ts` of the challenge"),
    ("src/tool/clock.rs", "`time_status`, which is about it"),
    ("src/tool/host.rs", "says how to show it"),
    ("src/tool/kernel.rs", "reads it"),
    ("src/tool/leases.rs", "the lease file has times of the wall clock in it"),
    ("src/tool/ledger.rs", "when a session was used"),
    ("src/tool/mod.rs", "hands it on"),
    ("src/tool/sessions.rs", "when a session was used"),
];

#[test]
fn the_wall_clock_is_shown_not_obeyed() {
    let tokens =
        ["Realtime", "RealtimeCoarse", "RealtimeAlarm", "Tai", "wall_clock", "wall_ms", "wall_s", "SystemTime"];
    let offences = spoken(&ROOMS, &tokens);
    let place = |offence: &String| offence.split(':').next().unwrap_or_default().to_owned();
    let unknown: Vec<String> =
        offences.iter().filter(|offence| WALL.iter().all(|(known, _)| place(offence) != *known)).cloned().collect();
    none("the wall clock may step by years: it is for display only", &unknown);
    let used: BTreeSet<String> = offences.iter().map(place).collect();
    let stale: Vec<String> = WALL.iter().map(|(known, _)| (*known).to_owned()).filter(|k| !used.contains(k)).collect();
    none("a place that no longer knows the wall clock leaves the list", &stale);
}

#[test]
fn files_and_functions_are_short() {
    let mut offences = Vec::new();
    for source in sources(&["src", "tests"]) {
        let lines = source.text.lines().count();
        if lines > 600 {
            offences.push(format!("{} has {lines} lines", source.path));
        }
        let long = functions(&source.code).into_iter().filter(|(_, _, lines)| *lines > 70);
        offences.extend(long.map(|(name, at, lines)| format!("{}: {name} has {lines} lines", source.at(at))));
    }
    none("no file over 600 lines, no function over 70", &offences);
}

#[test]
fn unsafe_stands_where_it_is_argued() {
    let argued = ["src/tool/ioctl.rs", "src/tool/kernel.rs"];
    let mut offences = Vec::new();
    for source in sources(&["src", "tests"]).iter().filter(|s| !argued.contains(&s.path.as_str())) {
        offences.extend(words(&source.code, "unsafe").iter().map(|at| source.at(*at)));
    }
    none("unsafe code stands where it is argued only", &offences);
}

#[test]
fn no_hidden_threads() {
    // Children are started by src/tool/kernel.rs, on this thread.
    let tokens = [
        "smol::spawn",
        "smol::fs",
        "smol::net",
        "smol::process",
        "smol::unblock",
        "smol::Unblock",
        "Unblock",
        "blocking::",
        "async_fs",
        "async_net",
        "async_process",
        "getaddrinfo",
    ];
    none("nothing starts a thread behind our back", &spoken(&ROOMS, &tokens));
}

#[test]
fn nothing_large_for_little() {
    // What all letters of the world look like in the other case is a table of 11 KiB; the C library's resolver is 16 KiB.
    let tokens = ["to_lowercase", "to_uppercase", "to_socket_addrs", "ToSocketAddrs"];
    none("ASCII's cases and our own resolver are enough", &spoken(&ROOMS, &tokens));
}

#[test]
fn main_only_exits() {
    let source = sources(&["src"]).into_iter().find(|s| s.path == "src/main.rs").expect("src/main.rs");
    let code = source.code.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(code.len() < 200 && code.contains("cli::main()"), "main.rs does more than exit(cli::main()): {code}");
}

/// The numbered points of `lib.rs` under a heading about invariants, each as one text.
fn invariants() -> Vec<String> {
    let text = fs::read_to_string(root().join("src/lib.rs")).expect("src/lib.rs");
    let docs = text.lines().map_while(|line| line.strip_prefix("//!").or(line.is_empty().then_some(""))).map(str::trim);
    let (mut inside, mut points) = (false, Vec::<String>::new());
    for line in docs {
        if line.starts_with('#') {
            inside = line.to_lowercase().contains("invariant");
        } else if inside
            && line.split_once(". ").is_some_and(|(n, _)| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        {
            points.push(line.to_owned());
        } else if let Some(point) = points.last_mut().filter(|_| inside && !line.is_empty()) {
            *point = format!("{point} {line}");
        }
    }
    points
}

#[test]
fn invariants_name_their_tests() {
    let own = sources(&["tests/it"]).into_iter().find(|s| s.path == "tests/it/tidy.rs").expect("tests/it/tidy.rs");
    let tests: BTreeSet<String> = functions(&own.code).into_iter().map(|(name, ..)| name).collect();
    let points = invariants();
    assert!(points.len() >= 6, "lib.rs numbers {} invariants under a heading with that word", points.len());
    let nameless = points.iter().filter(|point| {
        let named = point.split('`').skip(1).step_by(2).map(|code| code.rsplit("::").next().unwrap_or_default());
        !named.into_iter().any(|name| tests.contains(name))
    });
    none("each invariant names a test of tidy.rs", &nameless.cloned().collect::<Vec<_>>());
}

/// One constant of `limits`.
struct Limit {
    name: String,
    value: String,
    doc: String,
}

fn limits() -> Vec<Limit> {
    let files = ["src/limits.rs", "src/limits/tools.rs"].map(|file| fs::read_to_string(root().join(file)).expect(file));
    let text = files.concat();
    let (mut doc, mut found) = (String::new(), Vec::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("///") {
            doc = format!("{doc} {}", rest.trim());
        } else if let Some((name, rest)) = line.strip_prefix("pub const ").and_then(|l| l.split_once(':')) {
            let value = rest.split_once('=').map_or("", |(_, value)| value).trim().trim_end_matches(';');
            let doc = std::mem::take(&mut doc).trim().to_owned();
            found.push(Limit { name: name.into(), value: readable(value), doc });
        } else {
            doc.clear();
        }
    }
    assert!(found.len() > 5, "no limits in src/limits");
    found.retain(|limit| !["KIB", "MIB", "GIB"].contains(&limit.name.as_str()));
    found
}

/// A constant's expression as an operator reads it.
fn readable(value: &str) -> String {
    let inner = |name: &str| value.strip_prefix(name).and_then(|v| v.strip_suffix(')')).map(|v| v.replace('_', ""));
    if let Some(n) = inner("Duration::from_secs(") {
        return format!("{n} s");
    }
    if let Some(n) = inner("Duration::from_millis(") {
        return format!("{n} ms");
    }
    match value {
        "KIB" => "1 KiB".into(),
        "MIB" => "1 MiB".into(),
        _ => value
            .replace(" * KIB", " KiB")
            .replace(" * MIB", " MiB")
            .replace(" * 1024 * 1024", " MiB")
            .replace(" * 1024", " KiB"),
    }
}

fn row(cells: &[&str]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    format!("| {} |\n", cells.join(" | "))
}

fn limit_table() -> String {
    let mut table =
        row(&["limit", "value", "what it counts and what happens beyond it"]) + &row(&["---", "---", "---"]);
    for limit in limits() {
        let doc = limit.doc.split(" Source:").next().unwrap_or_default().replace(['[', ']'], "");
        table += &row(&[&format!("`{}`", limit.name), &limit.value, &doc]);
    }
    table
}

fn tool_table() -> String {
    let dir = Dir::new();
    let finished = run(program(&dir, &["tools", "--json", "--all"]));
    assert_eq!(finished.code, 0, "{finished:?}");
    let mut table = row(&["tool", "tier", "what it does"]) + &row(&["---", "---", "---"]);
    for tool in crate::commands::rows(&finished.out) {
        let word = |key: &str| match &tool[key] {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Null => String::new(),
            other => other.to_string(),
        };
        let summary = ["summary", "description"].map(word).into_iter().find(|text| !text.is_empty());
        table += &row(&[
            &format!("`{}`", word("name")),
            &word("tier"),
            &summary.unwrap_or_else(|| panic!("no summary: {tool}")),
        ]);
    }
    table
}

fn command_table() -> String {
    let finished = run(program(&Dir::new(), &["--help"]));
    let listed =
        finished.out.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let mut rows: Vec<(String, String)> = Vec::new();
    for line in listed {
        match (line.strip_prefix("  "), rows.last_mut()) {
            (Some(rest), Some((_, text))) if rest.starts_with(' ') => *text = format!("{text} {}", rest.trim()),
            (Some(rest), _) => {
                let (name, text) = rest.split_once(' ').unwrap_or((rest, ""));
                rows.push((name.into(), text.trim().into()));
            }
            (None, _) => panic!("a strange line in --help: {line:?}"),
        }
    }
    assert!(rows.len() >= 5, "no commands in --help:\n{}", finished.out);
    let mut table = row(&["command", "does"]) + &row(&["---", "---"]);
    for (name, text) in rows {
        table += &row(&[&format!("`toolgate {name}`"), &text]);
    }
    table
}

/// The part of `text` between the markers of a table.
fn between<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(&format!("<!-- table:{name} -->\n"))?;
    Some(rest.split_once(&format!("<!-- /table:{name} -->"))?.0)
}

#[test]
fn readme_tables_are_the_codes() {
    let path = root().join("README.md");
    let mut readme = fs::read_to_string(&path).expect("README.md");
    let update = std::env::var_os("UPDATE").is_some();
    let mut offences = Vec::new();
    for (name, table) in [("tools", tool_table()), ("limits", limit_table()), ("commands", command_table())] {
        let Some(stands) = between(&readme, name) else {
            offences.push(format!("README.md has no table between <!-- table:{name} --> and <!-- /table:{name} -->"));
            continue;
        };
        // Blank lines around a table are Markdown's, not ours.
        if stands.trim() != table.trim() {
            let fresh = format!("<!-- table:{name} -->\n\n{table}\n<!-- /table:{name} -->");
            let stale = format!("<!-- table:{name} -->\n{stands}<!-- /table:{name} -->");
            readme = readme.replace(&stale, &fresh);
            if !update {
                offences.push(format!("the table {name} is not the code's; UPDATE=1 cargo test rewrites it:\n{table}"));
            }
        }
    }
    if update && offences.is_empty() {
        fs::write(&path, &readme).expect("write README.md");
    }
    none("the tables of README.md equal the code", &offences);
}

#[test]
fn readme_names_every_answer() {
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md");
    let stands = between(&readme, "answers").expect("README.md has a table between <!-- table:answers --> and its end");
    let reply = fs::read_to_string(root().join("src/wire/reply.rs")).expect("src/wire/reply.rs");
    let code = |line: &str| line.trim().split_once(" => \"").and_then(|(code, _)| code.parse::<u16>().ok());
    let known: BTreeSet<u16> = reply.lines().filter_map(code).collect();
    assert!(known.len() > 10, "no status codes in src/wire/reply.rs");
    let cell = |line: &str| line.strip_prefix("| ")?.split(' ').next()?.trim_matches('`').parse::<u16>().ok();
    let named: BTreeSet<u16> = stands.lines().filter_map(cell).collect();
    assert_eq!(named, known, "the statuses in README.md (left) and in the code (right)");
}

fn cargo(args: &[&str]) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo).args(args).current_dir(root()).output().expect("run cargo");
    assert!(output.status.success(), "cargo {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn dependency_budget() {
    let tree = cargo(&["tree", "--offline", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}"]);
    let name = |line: &str| line.split(" (").next().unwrap_or_default().trim().to_owned();
    let packages: BTreeSet<String> =
        tree.lines().map(name).filter(|p| !p.is_empty() && !p.starts_with("toolgate ")).collect();
    assert!(packages.len() <= 60, "{} packages: {packages:#?}", packages.len());
    assert!(packages.iter().any(|p| p.starts_with("smol ")), "no dependencies found: {packages:?}");
}

/// What may stand at the top, and what must.
const TOP: [(&str, bool); 15] = [
    (".ci", true),
    (".gitignore", true),
    ("Cargo.lock", true),
    ("Cargo.toml", true),
    ("LICENSE", false),
    ("LICENSE-APACHE", true),
    ("LICENSE-MIT", true),
    ("README.md", true),
    ("cross", false),
    ("packaging", false),
    ("rustfmt.toml", true),
    ("src", true),
    ("tests", true),
    // Not part of the repository.
    ("target", false),
    (".git", false),
];

#[test]
fn top_level_is_fixed() {
    let tracked = Command::new("git").args(["ls-files"]).current_dir(root()).output();
    let listed = match tracked {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).into_owned(),
        // Not a repository: a tarball.
        _ => fs::read_dir(root())
            .expect("the top")
            .flatten()
            .map(|e| format!("{}\n", e.file_name().to_string_lossy()))
            .collect(),
    };
    let top: BTreeSet<&str> = listed.lines().filter_map(|path| path.split('/').next()).collect();
    let extra: Vec<_> = top.iter().filter(|name| TOP.iter().all(|(known, _)| known != *name)).collect();
    let missing: Vec<_> =
        TOP.iter().filter(|(name, must)| *must && !top.contains(name)).map(|(name, _)| name).collect();
    assert!(extra.is_empty() && missing.is_empty(), "the top level has {extra:?} too many and lacks {missing:?}");
}
