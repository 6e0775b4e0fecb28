//! Who is connected: clients that came and went → presence, as the socket tells of it. Pure.
//!
//! A client that is there is told of for as long as it is there; one that has left for [`PRESENCE_TTL_MS`], so that
//! people see who was here. The reference forgets also those that are there. Source: contract ws.md §4.3.

use super::facts::Facts;
use super::json::Json;
use crate::limits::{
    PRESENCE_ABOUT_BYTES, PRESENCE_ENTRIES, PRESENCE_ITEM_BYTES, PRESENCE_LISTS_BYTES, PRESENCE_TEXT_BYTES,
    PRESENCE_TTL_MS,
};
use crate::tool::Now;
use crate::tool::redact::cut;

/// The texts of an entry by their keys, in the order they are written.
pub static TEXTS: [&str; 11] = [
    "host",
    "ip",
    "version",
    "platform",
    "deviceFamily",
    "modelIdentifier",
    "mode",
    "reason",
    "deviceId",
    "instanceId",
    "text",
];
/// The lists of an entry by their keys.
pub static LISTS: [&str; 3] = ["roles", "scopes", "tags"];

/// One client, or the gateway itself. What a client says of itself is cut, so that an entry has at most a kibibyte.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    key: Box<str>,
    /// Texts by one of [`TEXTS`], each once, and items of lists by one of [`LISTS`].
    members: Vec<(&'static str, Box<str>)>,
    last_input_s: Option<u64>,
    heard: Now,
    /// Its open connections.
    open: u32,
}

impl Entry {
    /// A client that is told from others by `key`: its device's id, else its instance's, else its connection's.
    pub fn new(key: &str) -> Entry {
        let mut entry = Entry::default();
        entry.rename(key);
        entry
    }

    /// Gives it the key it is told from others by.
    pub fn rename(&mut self, key: &str) {
        self.key = cut(key.trim(), PRESENCE_TEXT_BYTES).to_ascii_lowercase().into();
    }

    /// What it is told from others by.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The text under one of [`TEXTS`]; empty when there is none.
    pub fn text(&self, name: &str) -> &str {
        self.all(name).next().unwrap_or_default()
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.members.iter().filter(move |(known, _)| *known == name).map(|(_, text)| &**text)
    }

    /// Sets the text under one of [`TEXTS`], cut to its bound; a blank one changes nothing.
    pub fn set(&mut self, name: &'static str, text: &str) {
        let text = text.trim();
        if !text.is_empty() {
            let most = if name == "text" { PRESENCE_ABOUT_BYTES } else { PRESENCE_TEXT_BYTES };
            self.members.retain(|(known, _)| *known != name);
            self.members.push((name, cut(text, most).into()));
        }
    }

    /// The same with that text.
    #[cfg(test)]
    #[must_use]
    pub fn with(mut self, name: &'static str, text: &str) -> Entry {
        self.set(name, text);
        self
    }

    /// Adds a text to the list under one of [`LISTS`], if it is new and fits.
    pub fn add(&mut self, name: &'static str, text: &str) {
        let text = text.trim();
        let mut room = PRESENCE_LISTS_BYTES;
        for known in LISTS.iter().flat_map(|name| self.all(name)).chain([text]) {
            room = room.saturating_sub(known.len().saturating_add(PRESENCE_ITEM_BYTES));
        }
        if room > 0 && !text.is_empty() && !self.all(name).any(|known| known == text) {
            self.members.push((name, text.into()));
        }
    }

    /// The same with those texts in that list.
    #[cfg(test)]
    #[must_use]
    pub fn list<'t>(mut self, name: &'static str, texts: impl Iterator<Item = &'t str>) -> Entry {
        texts.for_each(|text| self.add(name, text));
        self
    }

    /// Says when its keyboard was used last, in seconds before now.
    pub fn last_input(&mut self, seconds: Option<u64>) {
        self.last_input_s = seconds.or(self.last_input_s);
    }

    /// Whether it is still told of.
    fn lives(&self, now: Now) -> bool {
        self.open > 0 || now.boot_ms.saturating_sub(self.heard.boot_ms) <= PRESENCE_TTL_MS
    }

    /// When its keyboard was used last, in seconds before it was told of.
    pub fn seconds(&self) -> Option<u64> {
        self.last_input_s
    }

    /// Takes over what `newer` says; what it does not say stays.
    fn merge(&mut self, newer: &Entry) {
        for (name, text) in &newer.members {
            if LISTS.contains(name) { self.add(name, text) } else { self.set(name, text) }
        }
        self.last_input(newer.last_input_s);
    }

    fn write(&self, json: &mut Json, heard: Now) {
        json.raw("{");
        for name in &TEXTS {
            let text = self.text(name);
            if !text.is_empty() {
                json.string(name, text);
            }
        }
        for name in &LISTS {
            if self.all(name).next().is_some() {
                json.texts(name, self.all(name));
            }
        }
        if let Some(seconds) = self.last_input_s {
            json.count("lastInputSeconds", seconds);
        }
        json.count("ts", heard.shown()).close("}");
    }
}

/// The gateway's own entry. Clients find it by mode and reason, or by the text's first word.
pub fn own(facts: &dyn Facts) -> Entry {
    let (host, address) = (facts.host_name(), facts.address().unwrap_or_default());
    let (platform, architecture) = facts.system();
    let version = env!("CARGO_PKG_VERSION");
    let place = if address.is_empty() { String::new() } else { [" (", &address, ")"].concat() };
    let text = ["Gateway: ", &host, &place, " · app ", version, " · mode gateway · reason self"].concat();
    let mut entry = Entry::default();
    let texts: [(&'static str, &str); 9] = [
        ("host", &host),
        ("ip", &address),
        ("version", version),
        ("platform", &platform),
        ("deviceFamily", "Linux"),
        ("modelIdentifier", &architecture),
        ("mode", "gateway"),
        ("reason", "self"),
        ("text", &text),
    ];
    for (name, text) in texts {
        entry.set(name, text);
    }
    entry
}

/// The clients, at most [`PRESENCE_ENTRIES`], and how often presence and health changed.
#[derive(Debug)]
pub struct Roll {
    /// The one heard of longest ago first.
    entries: Vec<Entry>,
    presence: u64,
    health: u64,
}

impl Default for Roll {
    fn default() -> Roll {
        Roll { entries: Vec::new(), presence: 1, health: 1 }
    }
}

impl Roll {
    /// A client has connected; the key to [`Roll::leave`] by. Those of mode `cli` come and go at once, are not told of
    /// and have none.
    pub fn join(&mut self, entry: &Entry, now: Now) -> Option<Box<str>> {
        let mode = entry.text("mode");
        if mode == "cli" {
            return None;
        }
        let known = self.put(entry, now)?;
        known.open = known.open.saturating_add(1);
        known.set("reason", "connect");
        known.set("text", &["Node: ", entry.text("host"), " · mode ", mode].concat());
        Some(known.key.clone())
    }

    /// A client's connection, once given to [`Roll::join`], has ended. Its device may have others. Returns whether there
    /// is anything to tell.
    pub fn leave(&mut self, key: &str, now: Now) -> bool {
        let Some(known) = self.entries.iter_mut().find(|known| *known.key == *key) else { return false };
        known.open = known.open.saturating_sub(1);
        if known.open > 0 {
            return false;
        }
        if let Some(known) = self.put(&Entry::new(key), now) {
            known.set("reason", "disconnect");
        }
        true
    }

    /// Somebody told of a client: `system-event`.
    pub fn event(&mut self, entry: &Entry, now: Now) {
        self.put(entry, now);
    }

    /// Merges `entry` into the one of its key, makes room for it if there is none, and puts it at the end.
    fn put(&mut self, entry: &Entry, now: Now) -> Option<&mut Entry> {
        self.presence = self.presence.saturating_add(1);
        let mut known = match self.entries.iter().position(|known| known.key == entry.key) {
            Some(at) => self.entries.remove(at),
            None => Entry { key: entry.key.clone(), ..Entry::default() },
        };
        if self.entries.len() >= PRESENCE_ENTRIES {
            let left = self.entries.iter().position(|known| known.open == 0);
            self.entries.remove(left.unwrap_or(0));
        }
        // One that has been forgotten does not come back.
        if !known.lives(now) {
            known = Entry { key: known.key, ..Entry::default() };
        }
        known.merge(entry);
        known.heard = now;
        self.entries.push(known);
        self.entries.last_mut()
    }

    /// Health was told anew.
    pub fn refresh(&mut self) {
        self.health = self.health.saturating_add(1);
    }

    /// The versions of presence and of health, each from 1.
    pub fn versions(&self) -> (u64, u64) {
        (self.presence, self.health)
    }

    /// The nodes that are connected.
    pub fn nodes(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.open > 0 && entry.all("roles").any(|role| role == "node"))
    }

    /// The array of presence, `own` first, then the latest heard of.
    pub fn json(&self, own: &Entry, now: Now) -> String {
        let mut json = Json::default();
        own.write(json.raw("["), now);
        for entry in self.entries.iter().rev().filter(|entry| entry.lives(now)) {
            entry.write(&mut json, entry.heard);
        }
        json.close("]").done()
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    fn client(key: &str, mode: &str) -> Entry {
        let scopes = ["operator.admin", "operator.read"];
        Entry::new(key)
            .with("host", key)
            .with("mode", mode)
            .list("roles", ["operator"].into_iter())
            .list("scopes", scopes.into_iter())
    }

    /// That moment, on both clocks.
    fn at(ms: i64) -> Now {
        Now { wall_ms: ms, boot_ms: ms }
    }

    /// What presence tells without the gateway's own entry.
    fn check(roll: &Roll, ms: i64, expected: &str) {
        let own = Entry::new("").with("mode", "gateway");
        let all = roll.json(&own, at(ms));
        let head = format!("[{{\"mode\":\"gateway\",\"ts\":{ms}}}");
        let rest = all.strip_prefix(&head).expect("own entry first").trim_start_matches(',');
        assert_eq!(rest.strip_suffix(']'), Some(expected));
    }

    const LISTED: &str = r#""roles":["operator"],"scopes":["operator.admin","operator.read"]"#;

    #[test]
    fn clients_come_and_go() {
        let mut roll = Roll::default();
        assert_eq!(roll.versions(), (1, 1));
        roll.join(&client("cli", "cli"), at(5));
        check(&roll, 5, "");
        assert_eq!(roll.versions(), (1, 1));
        roll.join(&client("A", "ui"), at(10));
        roll.join(&client("b", "backend"), at(20));
        roll.refresh();
        assert_eq!(roll.versions(), (3, 2));
        let a = |reason, ts| {
            format!(r#"{{"host":"A","mode":"ui","reason":"{reason}","text":"Node: A · mode ui",{LISTED},"ts":{ts}}}"#)
        };
        let b = format!(
            r#"{{"host":"b","mode":"backend","reason":"connect","text":"Node: b · mode backend",{LISTED},"ts":20}}"#
        );
        check(&roll, 30, &format!("{b},{}", a("connect", 10)));
        assert!(roll.leave("a", at(40)));
        check(&roll, 40 + PRESENCE_TTL_MS, &format!("{},{b}", a("disconnect", 40)));
        // Who has left is forgotten after a while, who is there stays.
        check(&roll, 41 + PRESENCE_TTL_MS, &b);
        assert!(!roll.leave("unknown", at(50)));
        assert_eq!(roll.versions(), (4, 2));
    }

    #[test]
    fn a_device_leaves_with_its_last_connection() {
        let mut roll = Roll::default();
        roll.join(&client("d", "ui"), at(1));
        roll.join(&client("d", "probe"), at(2));
        // A command line of the same device was never told of, so its end says nothing.
        assert!(!roll.leave("d", at(4)), "another connection is left");
        assert!(roll.json(&Entry::default(), at(5)).contains(r#""reason":"connect""#));
        assert!(roll.leave("d", at(6)));
        assert!(roll.json(&Entry::default(), at(6)).contains(r#""reason":"disconnect""#));
    }

    #[test]
    fn nothing_grows() {
        let mut roll = Roll::default();
        let long = "é".repeat(10_000);
        roll.join(&client("stays", "ui"), at(0));
        for number in 0..100 {
            let mut entry = Entry::new(&format!("k{number}"));
            for name in &TEXTS {
                entry = entry.with(name, &long);
            }
            let many: Vec<String> = (0..200).map(|n| n.to_string()).collect();
            for name in &LISTS {
                entry = entry.list(name, many.iter().map(String::as_str).chain([long.as_str(), "", " "]));
            }
            roll.event(&entry, at(number));
        }
        assert_eq!(roll.entries.len(), PRESENCE_ENTRIES);
        assert!(roll.entries.iter().any(|entry| &*entry.key == "stays"), "who is there outlasts who was told of");
        for entry in &roll.entries {
            let letters: usize = entry.members.iter().map(|(_, text)| text.len()).sum();
            let items = entry.members.iter().filter(|(name, _)| LISTS.contains(name)).count();
            assert!(letters + items * PRESENCE_ITEM_BYTES <= 1_024, "{letters} {items}");
        }
        let json = roll.json(&Entry::default(), at(100));
        serde_json::from_str::<serde_json::Value>(&json).expect("JSON");
        for number in 0..100 {
            roll.join(&client(&format!("c{number}"), "ui"), at(2_000));
        }
        assert_eq!(roll.entries.len(), PRESENCE_ENTRIES);
    }

    #[test]
    fn a_clock_that_steps_forgets_nobody_and_keeps_nobody() {
        let year = 31_556_952_000;
        for wall_ms in [0, -year, 56 * year, i64::MAX, i64::MIN] {
            let mut roll = Roll::default();
            roll.event(&Entry::new("x").with("host", "x"), at(5));
            let told = |late_ms: i64| roll.json(&Entry::default(), Now { wall_ms, boot_ms: 5 + late_ms });
            let own = Now { wall_ms, boot_ms: 0 }.shown();
            assert_eq!(told(PRESENCE_TTL_MS), format!(r#"[{{"ts":{own}}},{{"host":"x","ts":5}}]"#), "{wall_ms}");
            assert_eq!(told(PRESENCE_TTL_MS + 1), format!(r#"[{{"ts":{own}}}]"#), "{wall_ms}");
        }
    }
}
