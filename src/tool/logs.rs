//! `log_tail`: the latest lines of a log that the operator named, a file's or a unit's.
//!
//! A file is read from its end, in blocks that grow until they hold the lines that were asked for. What a unit logged
//! comes from a program: `journalctl -o json`, or `logread` of OpenWrt.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use serde_json::value::RawValue;

use super::beneath::{Place, Why};
use super::files::refused;
use super::host::Host;
use super::manager::{self, Excerpt, Manager};
use super::object::{Object, fit};
use super::redact::clean;
use super::schema::slices;
use super::{Call, Later, Outcome, aside, iso};
use crate::limits::{LOG_TAIL_BLOCK_BYTES, LOG_TAIL_BYTES, LOG_TAIL_LINES_DEFAULT};

/// The names of priorities, from 0 on. Source: syslog(3).
pub(super) const PRIORITIES: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];

/// One line of a log, as far as its source tells.
#[derive(Debug, Default, PartialEq, Eq)]
struct Entry {
    /// Milliseconds since 1970 by the wall clock.
    pub time_ms: Option<i64>,
    pub unit: Option<String>,
    pub priority: Option<&'static str>,
    /// As it was logged: [`show`] cleans it.
    pub message: String,
}

/// Whether the operator named logs.
///
/// # Errors
/// Names the keys.
pub(super) fn present(host: &Host) -> Result<(), String> {
    let targets = host.targets();
    if targets.log_units.is_empty() && targets.log_files.is_empty() {
        return Err(String::from("neither tools.device.log_tail.units nor tools.device.log_tail.files names a log"));
    }
    Ok(())
}

/// `log_tail`.
pub(super) fn tail<'a>(host: &'a Host, call: &'a Call) -> Later<'a> {
    let targets = host.targets();
    let logs: Vec<&str> = targets.log_units.iter().chain(&targets.log_files).map(String::as_str).collect();
    let chosen = match call.args.text("unit") {
        None if logs.len() == 1 => logs.first(),
        asked => logs.iter().find(|log| Some(**log) == asked),
    };
    let Some(log) = chosen else {
        return aside::known(Outcome::soft("forbidden", &["unit: must be one of ", &logs.join(", ")].concat()));
    };
    let lines = call.args.count("lines").unwrap_or(LOG_TAIL_LINES_DEFAULT);
    let Some(place) = Place::named(host, log).filter(|_| log.starts_with('/')) else {
        return unit(host, call, log, lines);
    };
    if call.args.text("priority").is_some() || call.args.integer("since_s").is_some() {
        return aside::known(Outcome::soft("error", "priority, since_s: the lines of a log file have neither"));
    }
    let room = host.result_bytes.get();
    let work = move || file(&place, lines, room).unwrap_or_else(|why| refused("unit", why));
    aside::later(&host.errands, Box::new(work))
}

/// The log of the unit `name`: its last `lines`, of at least the priority and not older than `call` says.
fn unit<'a>(host: &'a Host, call: &'a Call, name: &str, lines: usize) -> Later<'a> {
    let name = name.to_owned();
    Box::pin(async move {
        let priority = call.args.text("priority");
        let excerpt = Excerpt { unit: &name, lines, priority, since_s: call.args.integer("since_s") };
        let told = async {
            let (manager, argv) = manager::reader(host, &excerpt)?;
            if manager == Manager::Procd && excerpt.since_s.is_some() {
                return Err("since_s: logread does not say when in a way that can be compared".to_owned());
            }
            Ok((manager, manager::run(host, argv).await?))
        };
        let (manager, report) = match told.await {
            Ok(told) => told,
            Err(why) => return Outcome::soft("error", &why),
        };
        // The newest entries are told first when there is not room for all, so the end is enough.
        let output = if report.stdout.tail.is_empty() { &report.stdout.head } else { &report.stdout.tail };
        let mut entries = if manager == Manager::Systemd { journal(output) } else { logread(output) };
        if let Some(least) = priority.and_then(|word| PRIORITIES.iter().position(|own| *own == word)) {
            let grave = |word: &str| PRIORITIES.iter().position(|own| *own == word).is_some_and(|at| at <= least);
            entries.retain(|entry| entry.priority.is_some_and(grave));
        }
        show(entries, report.stdout.dropped > 0, host.result_bytes.get())
    })
}

/// What `logread` printed → its entries: `Sat Nov 28 14:00:00 2026 daemon.info nginx[123]: text` each.
fn logread(output: &[u8]) -> Vec<Entry> {
    let entry = |line: &str| {
        let mut rest = line;
        // The date: the C library pads the day with a space.
        for _ in 0..5 {
            rest = rest.trim_start().split_once(' ')?.1;
        }
        let (facility, rest) = rest.trim_start().split_once(' ')?;
        let priority = facility.rsplit_once('.')?.1;
        let priority = if priority == "warn" { "warning" } else { priority };
        let (unit, message) = rest.split_once(": ")?;
        Some(Entry {
            time_ms: None,
            unit: Some(unit.split('[').next()?.to_owned()),
            priority: PRIORITIES.iter().find(|own| **own == priority).copied(),
            message: message.to_owned(),
        })
    };
    let text = String::from_utf8_lossy(output);
    text.lines().filter_map(entry).collect()
}

fn file(place: &Place, lines: usize, room: usize) -> Result<Outcome, Why> {
    let file = place.file()?;
    let (bytes, whole) = end(&file, lines).map_err(|_| "cannot be read")?;
    let text = String::from_utf8_lossy(&bytes);
    let mut found: Vec<&str> = text.lines().collect();
    // The first line is cut, unless it is the only one: then its end is all there is to show.
    if !whole && found.len() > 1 {
        found.remove(0);
    }
    let cut = !whole && found.len() < lines;
    let entries = found.iter().rev().take(lines).rev();
    let entries = entries.map(|line| Entry { message: (*line).to_owned(), ..Entry::default() }).collect();
    Ok(show(entries, cut, room))
}

/// The end of `file` that holds more than `lines` lines, within [`LOG_TAIL_BYTES`]; whether that is all of it.
fn end(file: &File, lines: usize) -> io::Result<(Vec<u8>, bool)> {
    let size = file.metadata()?.len();
    let mut span = LOG_TAIL_BLOCK_BYTES;
    loop {
        let start = size.saturating_sub(span as u64);
        let mut bytes = vec![0; usize::try_from(size.saturating_sub(start)).unwrap_or(span)];
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, start.saturating_add(filled as u64))? {
                // It was cut short meanwhile.
                0 => break,
                more => filled = filled.saturating_add(more),
            }
        }
        bytes.truncate(filled);
        let enough = bytes.iter().filter(|byte| **byte == b'\n').count() > lines;
        if enough || start == 0 || span >= LOG_TAIL_BYTES {
            return Ok((bytes, start == 0));
        }
        span = span.saturating_mul(4).min(LOG_TAIL_BYTES);
    }
}

/// What `journalctl -o json` printed → its entries, in its order; lines that are no object are left out.
///
/// Source: systemd's "Journal JSON Format": a field is a text, an array of bytes where it is not UTF-8, or null where it
/// is too long (but for `--all`). A field that an entry has several times counts as none.
fn journal(output: &[u8]) -> Vec<Entry> {
    output.split(|byte| *byte == b'\n').filter_map(record).collect()
}

/// The fields of the journal that are read.
const FIELDS: [&str; 4] = ["MESSAGE", "PRIORITY", "_SYSTEMD_UNIT", "__REALTIME_TIMESTAMP"];

fn record(line: &[u8]) -> Option<Entry> {
    let line: &RawValue = serde_json::from_str(std::str::from_utf8(line).ok()?).ok()?;
    if !line.get().starts_with('{') {
        return None;
    }
    let mut values = slices(&FIELDS, Some(line)).0.into_iter().map(|raw| raw.and_then(value));
    let mut next = || values.next().flatten();
    let (message, priority, unit, micros) = (next(), next(), next(), next());
    let priority: Option<usize> = priority.and_then(|digit| digit.parse().ok());
    let micros: Option<i64> = micros.and_then(|digits| digits.parse().ok());
    Some(Entry {
        time_ms: micros.map(|micros| micros / 1_000),
        unit,
        priority: priority.and_then(|number| PRIORITIES.get(number).copied()),
        message: message.unwrap_or_else(|| String::from("(no text)")),
    })
}

/// A field's value, as a text or as bytes.
fn value(raw: &RawValue) -> Option<String> {
    let json = raw.get();
    let Some(bytes) = json.strip_prefix('[').and_then(|items| items.strip_suffix(']')) else {
        return serde_json::from_str(json).ok();
    };
    let bytes: Option<Vec<u8>> = bytes.split(',').map(|digits| digits.trim().parse().ok()).collect();
    Some(String::from_utf8_lossy(&bytes?).into_owned())
}

/// `entries`, the oldest first, cleaned → the answer: the newest of them that fit into `room` bytes.
fn show(entries: Vec<Entry>, cut: bool, room: usize) -> Outcome {
    let mut rows: Vec<String> = entries.iter().rev().map(row).collect();
    let cut = fit(&mut rows, entries.len(), room) || cut;
    rows.reverse();
    Object::new().list("entries", &rows).truncated(cut).done()
}

fn row(entry: &Entry) -> String {
    let mut row = Object::new();
    if let Some(time_ms) = entry.time_ms {
        row.text("time", &iso(time_ms));
    }
    if let Some(unit) = &entry.unit {
        row.text("unit", &clean(unit));
    }
    if let Some(priority) = entry.priority {
        row.text("priority", priority);
    }
    row.text("message", &clean(&entry.message)).end()
}

#[cfg(test)]
#[path = "logs_tests.rs"]
mod tests;
