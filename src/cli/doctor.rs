//! `toolgate doctor`: everything that could be wrong with this installation, each finding with its fix. Changes nothing.
//!
//! Each part looks at one thing, says what it found in a line or two, and adds its findings. Every wait has an end, nothing
//! secret is said, and whatever comes from outside is escaped before it reaches a terminal.

mod device;
mod network;

use std::path::{Path, PathBuf};

use super::args::{self, Run, Toolgate};
use super::call::{self, Place};
use super::load::{self, Findings, Loaded, Settled};
use super::{exit, own_url, push_cell, say};
use crate::api::socket::json::Json;
use crate::config::Bind;
use crate::gate::auth::Mode;
use crate::limits::DOCTOR_PATIENCE;
use crate::serve::files::Seen;
use crate::serve::log;
use crate::tool::{Host, outlook};
pub(super) use device::origin;
use network::Known;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    /// Nothing to mend.
    Ok,
    /// Worth knowing.
    Note,
    /// Something does not work, or not as it seems.
    Warning,
    /// The gateway does not start, or is open to whom it should not be.
    Critical,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Level::Ok => "ok",
            Level::Note => "note",
            Level::Warning => "warning",
            Level::Critical => "critical",
        }
    }
}

/// Something to say of a part: a fact, of level ok, or a finding and what to do about it.
#[derive(Debug)]
struct Entry {
    level: Level,
    about: &'static str,
    message: String,
    fix: String,
}

/// `text` with the next `parts` in the places of its percent signs: at each call this takes less room than a list of all
/// that is to be joined.
fn filled(text: &str, parts: &mut std::slice::Iter<'_, &str>) -> String {
    let mut whole = String::new();
    for char in text.chars() {
        match char {
            '%' => whole.push_str(parts.next().copied().unwrap_or_default()),
            char => whole.push(char),
        }
    }
    whole
}

/// All that was found. One part after another fills it.
struct Chart {
    /// Those of one part stand together.
    entries: Vec<Entry>,
    /// The members that programs read, without the braces.
    json: Json,
}

impl Chart {
    #[inline(never)]
    fn fact(&mut self, about: &'static str, text: &str, parts: &[&str]) {
        self.find(Level::Ok, about, text, parts, "");
    }

    /// The percent signs of `fix` take the parts that `message` leaves over.
    #[inline(never)]
    fn find(&mut self, level: Level, about: &'static str, message: &str, parts: &[&str], fix: &str) {
        let mut parts = parts.iter();
        let message = filled(message, &mut parts);
        self.entries.push(Entry { level, about, message, fix: filled(fix, &mut parts) });
    }

    #[inline(never)]
    fn note(&mut self, about: &'static str, message: &str, parts: &[&str], fix: &str) {
        self.find(Level::Note, about, message, parts, fix);
    }

    #[inline(never)]
    fn warn(&mut self, about: &'static str, message: &str, parts: &[&str], fix: &str) {
        self.find(Level::Warning, about, message, parts, fix);
    }

    /// A sentence of ours names the fix behind its last semicolon, unless that stands within quotes.
    fn told(&mut self, level: Level, about: &'static str, text: &str, otherwise: &str) {
        let cut = text.rsplit_once("; ").filter(|(_, fix)| fix.bytes().filter(|byte| *byte == b'"').count() % 2 == 0);
        let (message, fix) = cut.unwrap_or((text, otherwise));
        self.find(level, about, "%", &[message, fix], "%");
    }

    /// A gateway runs, so what it reads with other eyes or another environment than ours does not keep it from starting.
    fn soften(&mut self) {
        for entry in &mut self.entries {
            if entry.about == "config"
                && ["belongs to user", "is not set"].iter().any(|words| says(&entry.message, words))
            {
                entry.level = entry.level.min(Level::Warning);
            }
        }
    }

    /// The worst that is said of a part, or of all.
    fn worst(&self, about: Option<&str>) -> Level {
        let of = self.entries.iter().filter(|entry| about.is_none_or(|about| entry.about == about));
        of.map(|entry| entry.level).max().unwrap_or(Level::Ok)
    }

    /// For programs: one object in one line. Of a part without a finding the first fact says that it is well.
    #[inline(never)]
    fn json(&mut self) -> String {
        let members = self.json.done();
        let mut json = Json::object();
        json.flag("ok", self.worst(None) < Level::Critical).key("findings").raw("[");
        let mut part = "";
        for Entry { level, about, message, fix } in &self.entries {
            let first = std::mem::replace(&mut part, about) != *about;
            if *level > Level::Ok || (first && self.worst(Some(about)) == Level::Ok) {
                json.raw("{").string("level", level.word()).string("about", about);
                json.string("message", message).string("fix", fix).close("}");
            }
        }
        json.close("]").raw(&members).close("}\n").done()
    }

    /// For people: a line for each fact, below it what is wrong and what to do.
    #[inline(never)]
    fn card(&self) -> String {
        let (mut card, mut part) = (String::new(), "");
        for Entry { level, about, message, fix } in &self.entries {
            let first = std::mem::replace(&mut part, about) != *about;
            let (worst, name) = if first { (self.worst(Some(about)).word(), *about) } else { ("", "") };
            push_cell(&mut card, worst, 8);
            push_cell(&mut card, name, 9);
            if *level > Level::Ok {
                card.extend(["! ", level.word(), ": "]);
            }
            card.push_str(&log::escaped(message));
            if !fix.is_empty() {
                card.push('\n');
                push_cell(&mut card, "", 21);
                card.extend(["fix: ", &log::escaped(fix)]);
            }
            card.push('\n');
        }
        let mut end = "nothing to mend";
        for (level, word) in [(Level::Critical, " critical"), (Level::Warning, " warning"), (Level::Note, " note")] {
            let count = self.entries.iter().filter(|entry| entry.level == level).count();
            if count > 0 {
                let many = if count > 1 && level < Level::Critical { "s" } else { "" };
                card.extend([if end.is_empty() { ", " } else { "" }, &count.to_string(), word, many]);
                end = "";
            }
        }
        card + end + "\n"
    }
}

/// Looks at everything and prints it; the exit code says whether anything is critical.
pub fn doctor(asked: &Toolgate, flags: &args::Doctor) -> u8 {
    let run = Run { token_file: flags.token_file.clone(), ..Run::default() };
    let mut chart = Chart { entries: Vec::new(), json: Json::default() };
    let loaded = config(&mut chart, asked);
    let settled = match &loaded {
        Some(_) => load::settle(asked, &run).map_err(|findings| unsettled(&mut chart, &findings)).ok(),
        None => None,
    };
    let url = flags.url.clone().unwrap_or_else(|| own_url(loaded.as_ref().map(|loaded| &loaded.config)));
    let place = match call::place(&url, false) {
        Ok(place) => Place { patience: DOCTOR_PATIENCE, ..place },
        Err(fault) => return fault.complain(),
    };
    let host = Host::new(asked.sysroot.clone().unwrap_or_else(|| PathBuf::from("/")), &[]);
    let known = match &settled {
        _ if loaded.is_none() => Known::Nothing,
        Some(Settled { mode: Mode::TrustedProxy, .. }) => Known::Proxied,
        _ => Known::Settled,
    };
    let (there, details) = network::gateway(&mut chart, asked, flags, &place, known);
    // What another place tells says nothing of ours.
    let rehearsed = settled.as_ref().filter(|_| !there && flags.url.is_none());
    match loaded {
        Some(loaded) => {
            let gateway = &loaded.config.gateway;
            *host.local_api.borrow_mut() = PathBuf::from(&gateway.tailnet.local_api);
            let seen = outlook::look(&host);
            let bind = settled.as_ref().map_or(gateway.bind, |settled| settled.bind);
            network::listeners(&mut chart, &seen, &loaded.config, bind, details.as_deref());
            if let Some(settled) = rehearsed {
                network::rehearse(&mut chart, settled);
            }
            network::tailscale(&mut chart, &seen, &loaded.config, bind == Bind::Tailnet);
            let free = settled.as_ref().is_some_and(|settled| settled.mode == Mode::None);
            network::forwards(&mut chart, &seen, &loaded.config, free);
            match &settled {
                Some(settled) => device::secret(&mut chart, asked, &run, settled),
                None => _ = chart.json.key("secret").raw("null"),
            }
            device::limits(&mut chart, &host, gateway.limits.connections);
            device::tools(&mut chart, asked, loaded.config);
        }
        // Whoever cannot read it can say nothing of what depends on it.
        None => {
            for key in ["listeners", "tailscale", "secret", "limits", "policy", "tools"] {
                chart.json.key(key).raw("null");
            }
        }
    }
    device::state(&mut chart, asked, rehearsed.is_some_and(|s| s.mode == Mode::Token && s.token.is_none()));
    device::clock(&mut chart, &host);
    let good = chart.worst(None) < Level::Critical;
    say(&if flags.json { chart.json() } else { chart.card() });
    if good { exit::OK } else { exit::FAILED }
}

/// Mode and owner of the file at `path`, for people and as members for programs.
#[inline(never)]
fn described(path: &Path, json: &mut Json) -> String {
    match Seen::at(path) {
        Ok(seen) => {
            let mode = format!("{:04o}", seen.mode);
            json.string("mode", &mode).count("owner", seen.owner.into());
            filled(" (mode %, user %)", &mut [&*mode, &seen.owner.to_string()].iter())
        }
        Err(error) => filled(" (%)", &mut [&*error.to_string()].iter()),
    }
}

const ELSEWHERE: &str =
    "look as the gateway's user or as root: sudo -u toolgate toolgate doctor, or sudo toolgate doctor";

const DENIED: &str = "Permission denied";

#[inline(never)]
fn says(text: &str, words: &str) -> bool {
    text.contains(words)
}

/// The configuration file, and all that `check` says.
#[inline(never)]
fn config(chart: &mut Chart, asked: &Toolgate) -> Option<Loaded> {
    const ABOUT: &str = "config";
    let (path, loaded) = (load::place(asked), load::load(asked));
    let mut json = Json::default();
    json.maybe("path", path.as_ref().map(|path| path.to_string_lossy()).as_deref());
    match &path {
        Some(path) => chart.fact(ABOUT, "%%", &[&path.to_string_lossy(), &described(path, &mut json)]),
        None => chart.fact(ABOUT, "no file: the built-in defaults hold", &[]),
    }
    chart.json.key(ABOUT).raw("{").raw(&json.done()).flag("ok", loaded.is_ok()).close("}");
    let findings = match loaded {
        Ok(loaded) => {
            let lacks = load::lacks(&loaded);
            for warning in loaded.warnings.iter().chain(&lacks) {
                chart.told(Level::Warning, ABOUT, warning, "edit the file; toolgate check says whether it is good");
            }
            return Some(loaded);
        }
        Err(findings) => findings,
    };
    for text in findings.iter().filter(|text| !text.ends_with(':')) {
        let (level, text) = match text.strip_prefix("warning: ") {
            Some(text) => (Level::Warning, text),
            None => (Level::Critical, text.as_str()),
        };
        let otherwise =
            if says(text, DENIED) { ELSEWHERE } else { "edit the file; toolgate check says whether it is good" };
        chart.told(level, ABOUT, text, otherwise);
    }
    None
}

/// What keeps the gateway from starting though the file can be read: nearly always a secret.
fn unsettled(chart: &mut Chart, findings: &Findings) {
    for text in findings {
        let (level, otherwise) = match () {
            // The gateway may be somebody who can read it, or be given it by the service manager.
            () if says(text, DENIED) => (Level::Warning, ELSEWHERE),
            () if text.starts_with("--token-file") => (Level::Critical, "name a file that holds the secret"),
            () => (Level::Critical, "toolgate check says it too"),
        };
        chart.told(level, "config", text, otherwise);
    }
}

#[cfg(test)]
mod tests;
