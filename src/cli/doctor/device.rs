//! The secret, the state directory, the clock, bounds, the policy and the tools.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustix::io::Errno;

use super::super::args::{Run, Toolgate};
use super::super::load::{self, Settled};
use super::super::{start, tools as listing};
use super::{Chart, Level, described};
use crate::config::{Config, SecretRef};
use crate::gate::Rules;
use crate::gate::auth::Mode;
use crate::gate::secret::Secret;
use crate::limits::{DEVICE_MEMORY_SMALL, DEVICE_SKEW_MS, SECRET_BYTES_SHORT};
use crate::serve::files::Seen;
use crate::serve::listen;
use crate::tool::{self, Host, Now, Tier};

/// Where the secret comes from, in words.
pub fn origin(source: &str, mode: Mode) -> &'static str {
    match source {
        "configuration" => ", in the configuration",
        "credential" => ", the service's credential",
        "environment" => ", from the environment",
        "file" => ", in a file that the configuration names",
        "flag" => ", in the file of --token-file",
        "generated" => ", made by the gateway",
        "service" => ", beside the configuration",
        "none" if mode == Mode::Token => ", none yet: the gateway makes one when it first starts",
        _ => "",
    }
}

/// How callers prove themselves, and how well that is kept.
#[inline(never)]
pub(super) fn secret(chart: &mut Chart, asked: &Toolgate, run: &Run, settled: &Settled) {
    const ABOUT: &str = "secret";
    let Settled { loaded, mode, token, source, password, .. } = settled;
    let (config, mode) = (&loaded.config, *mode);
    let (known, configured) = match mode {
        Mode::Password => (password.clone(), &config.gateway.password),
        Mode::Token => (token.clone(), &config.gateway.token),
        Mode::None | Mode::TrustedProxy => (None, &None),
    };
    let file = match (*source, configured) {
        ("file", Some(SecretRef::File { path, .. })) => Some(PathBuf::from(path)),
        ("flag", _) => run.token_file.clone(),
        ("generated" | "service", _) => load::token_path(asked).ok(),
        _ => None,
    };
    chart.json.key(ABOUT).raw("{").string("mode", mode.word()).string("source", source);
    let mut lies = String::new();
    match &file {
        Some(path) => {
            let text = path.to_string_lossy();
            let json = chart.json.key("file").raw("{").string("path", &text);
            lies = [": ", &text, &described(path, json)].concat();
            json.close("}}");
        }
        None => _ = chart.json.key("file").raw("null}"),
    }
    chart.fact(ABOUT, "%%%", &[mode.word(), origin(source, mode), &lies]);
    if mode == Mode::None {
        let fix = "gateway.auth.mode: \"token\"";
        chart.warn(ABOUT, "every program on this device may call every tool that the policy allows", &[], fix);
    }
    if let Some(secret) = known {
        short(chart, &secret, source);
    }
    if let Some(path) = &loaded.path {
        inline(chart, path, config);
    }
    if config.rules.auth.rate.is_none() {
        let fix = "remove gateway.auth.rateLimit: false";
        chart.warn(ABOUT, "who fails to authenticate may try again without end", &[], fix);
    }
}

#[inline(never)]
fn short(chart: &mut Chart, secret: &Secret, source: &str) {
    if secret.reveal().len() < SECRET_BYTES_SHORT {
        let fix = match source {
            "generated" | "service" => "toolgate token rotate makes one of 48 digits",
            _ => "choose a longer one",
        };
        chart.warn("secret", "it has fewer than % bytes and can be guessed", &[&SECRET_BYTES_SHORT.to_string()], fix);
    }
}

/// Secrets that stand in the configuration itself, where others can read it. One that came into it from a variable does not.
#[inline(never)]
fn inline(chart: &mut Chart, path: &Path, config: &Config) {
    let own = [&config.gateway.token, &config.gateway.password];
    let all = own.into_iter().flatten().chain(config.secrets.iter().map(|held| &held.secret));
    let Ok(text) = load::text(path) else { return };
    let stands = all.into_iter().any(
        |secret| matches!(secret, SecretRef::Text(secret) if text.contains(&*String::from_utf8_lossy(secret.reveal()))),
    );
    let mode = Seen::at(path).map_or(0, |seen| seen.mode);
    let level = match mode & 0o044 {
        _ if !stands => return,
        0 => return,
        0o040 => Level::Warning,
        _ => Level::Critical,
    };
    let path = &*path.to_string_lossy();
    let message = "a secret stands in %, which others than its owner can read";
    let fix = "chmod 600 %, or move the secret into a file, {file: \"/path\"}; then change the secret";
    chart.find(level, "secret", message, &[path, path], fix);
}

/// Whether `directory` can be written to, or made.
fn writable(directory: &Path) -> bool {
    match (access(directory, Access::WRITE_OK | Access::EXEC_OK), directory.parent()) {
        (Err(Errno::NOENT), Some(parent)) => {
            writable(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })
        }
        (found, _) => found.is_ok(),
    }
}

/// The state directory, which is written to at the first start only. `wanted` says that a token is to be made there.
#[inline(never)]
pub(super) fn state(chart: &mut Chart, asked: &Toolgate, wanted: bool) {
    const ABOUT: &str = "state";
    let directory = match load::state_directory(asked.state_dir.as_deref()) {
        Ok(directory) => directory,
        Err(text) => {
            chart.json.key(ABOUT).raw("null");
            // Where one is needed, whatever keeps the gateway from starting has been said.
            return chart.fact(ABOUT, "%", &[&text]);
        }
    };
    let path = &*directory.to_string_lossy();
    let there = directory.is_dir();
    let json = chart.json.key(ABOUT).raw("{").string("path", path);
    let described = if there { described(&directory, json) } else { " (made when it is needed)".into() };
    json.close("}");
    chart.fact(ABOUT, "%%", &[path, &described]);
    if (there || wanted) && !writable(&directory) {
        let level = if wanted { Level::Critical } else { Level::Note };
        chart.find(level, ABOUT, "it cannot be written, so no new token can be kept there", &[], load::KEEP_HINT);
    }
    if Seen::at(&directory).is_ok_and(|seen| seen.mode & 0o022 != 0) {
        let message = "others can write to % and swap the token";
        chart.find(Level::Critical, ABOUT, message, &[path, path], "chmod 700 %");
    }
}

/// The wall clock, which only signatures depend on.
#[inline(never)]
pub(super) fn clock(chart: &mut Chart, host: &Host) {
    const ABOUT: &str = "clock";
    // 2024-01-01: no device that runs this program is older.
    const SENSIBLE_MS: i64 = 1_704_067_200_000;
    let now = Now::read();
    let kept = tool::synchronized(host, now);
    let time = tool::iso(now.wall_ms);
    let word = kept.map_or("null", |kept| if kept { "true" } else { "false" });
    chart.json.key(ABOUT).raw("{").string("now", &time).key("synchronized").raw(word).close("}");
    let said = match kept {
        Some(true) => ", kept in time",
        Some(false) => ", kept in time by nobody",
        None => "; nobody says whether it is kept in time",
    };
    chart.fact(ABOUT, "%%", &[&time, said]);
    let skew = (DEVICE_SKEW_MS / 1_000).to_string();
    let depends = ["only the signatures of WebSocket devices depend on it, to ", &skew, " s"].concat();
    let fix = "timedatectl set-ntp true, or start chronyd or sysntpd";
    if now.wall_ms < SENSIBLE_MS {
        let message =
            "it is years behind: this device has no clock that runs without power, and no time server was heard; ";
        chart.warn(ABOUT, "%%", &[message, &depends], fix);
    } else if kept == Some(false) {
        chart.note(ABOUT, "nobody keeps it in time; %", &[&depends], fix);
    }
}

/// Whether what is configured fits this device.
#[inline(never)]
pub(super) fn limits(chart: &mut Chart, host: &Host, wanted: usize) {
    const ABOUT: &str = "limits";
    let fits = listen::fit_to_descriptors(wanted);
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let memory = host.root.text("/proc/meminfo").unwrap_or_default();
    let total: Option<u64> =
        memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse().ok());
    let json = chart.json.key(ABOUT).raw("{").count("connections", wanted as u64);
    json.maybe_count("open_files", files).maybe_count("memory_kb", total).close("}");
    let words = |count: Option<u64>| count.map_or("any number of".into(), |count| count.to_string());
    let parts = [&*wanted.to_string(), &words(files), &words(total)];
    chart.fact(ABOUT, "% connections, % open files, % KiB of memory", &parts);
    if fits < wanted {
        let fix = "LimitNOFILE= in the unit, ulimit -n, or fewer gateway.limits.connections";
        chart.warn(ABOUT, "only % connections fit below the limit on open files here", &[&fits.to_string()], fix);
    }
    if total.is_some_and(|kilobytes| kilobytes < DEVICE_MEMORY_SMALL) {
        let fix = "lower gateway.limits.bodyPoolBytes, calls and connections";
        chart.note(ABOUT, "this device has little memory", &[], fix);
    }
}

/// Adds a name to a list of names.
#[inline(never)]
fn add(names: &mut String, name: &str) {
    if !names.is_empty() {
        names.push_str(", ");
    }
    names.push_str(name);
}

/// What callers may do, and what this device can.
#[inline(never)]
pub(super) fn tools(chart: &mut Chart, asked: &Toolgate, config: Config) {
    const ABOUT: &str = "tools";
    let (gate, host) = start::stage(asked, config);
    let (mut here, mut absent, mut reachable) = (0_usize, Vec::new(), 0_usize);
    let (mut act, mut destroy) = (String::new(), String::new());
    for (tool, present) in tool::survey(&host) {
        if let Err(why) = present {
            absent.push((tool, why));
            continue;
        }
        here += 1;
        if listing::allowed(&gate, &tool, None).is_ok() {
            reachable += 1;
            match tool.tier() {
                Tier::Act => add(&mut act, tool.name()),
                Tier::Break => add(&mut destroy, tool.name()),
                Tier::Observe | Tier::Probe => {}
            }
        }
    }
    policy(chart, gate.rules(), reachable, &act, &destroy);
    chart.json.key(ABOUT).raw("{").count("present", here as u64).key("absent").raw("[");
    chart.fact(ABOUT, "% here, % absent", &[&here.to_string(), &absent.len().to_string()]);
    for (tool, why) in &absent {
        chart.json.raw("{").string("name", tool.name()).string("why", why).close("}");
        chart.fact(ABOUT, "absent: %: %", &[tool.name(), why]);
        if let ("ping", Some((message, fix))) = (tool.name(), why.split_once(": ")) {
            chart.note(ABOUT, "ping: %", &[message, fix], "%");
        }
    }
    chart.json.close("]}");
}

/// What the policy lets the main session call, over HTTP or the socket.
#[inline(never)]
fn policy(chart: &mut Chart, rules: &Rules, reachable: usize, act: &str, destroy: &str) {
    const ABOUT: &str = "policy";
    let Rules { tailnet, policy, .. } = rules;
    let lists = &policy.tools.lists;
    let profile = policy.tools.profile.map_or("full", |profile| profile.name());
    let json = chart.json.key(ABOUT).raw("{").string("profile", profile);
    let allow = lists.allow.as_deref().unwrap_or_default();
    for (key, list) in [("allow", allow), ("deny", &lists.deny), ("httpAllow", &policy.http_allow)] {
        json.texts(key, list.iter().map(String::as_str));
    }
    for (key, names) in [("act", act), ("break", destroy)] {
        json.texts(key, names.split(", ").filter(|name| !name.is_empty()));
    }
    json.count("reachable", reachable as u64).key("tailnet").raw("{").flag("filter", !tailnet.allow.is_empty());
    json.flag("identity", tailnet.identity).maybe("capability", tailnet.capability.as_deref()).close("}}");
    let acting = if act.is_empty() { "" } else { "; those that act: " };
    let parts = [profile, &reachable.to_string(), acting, act];
    chart.fact(ABOUT, "profile %, % tools can be called%%", &parts);
    if reachable == 0 {
        chart.warn(ABOUT, "no tool can be called", &[], "toolgate explain TOOL says why");
    }
    if !destroy.is_empty() {
        let message = "whoever holds the secret can take this device away: %";
        chart.note(ABOUT, message, &[destroy], "remove it from gateway.tools.allow unless that is meant");
    }
    if tailnet.identity {
        let message = "tailnet peers that gateway.auth.tailnet.allow lists need no secret";
        chart.note(ABOUT, message, &[], "keep gateway.auth.tailnet.allow short");
    }
    for (source, entry) in policy.unknown_entries() {
        let fix = "toolgate tools --all lists those there are";
        chart.warn(ABOUT, "%: % matches no tool and no group", &[&source, &entry], fix);
    }
}
