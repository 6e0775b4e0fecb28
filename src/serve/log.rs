//! Log records → one line each on stderr, which nobody can forge.
//!
//! stderr is an injection channel: with journald's prefixes, a line break in a logged value makes a record of its own, at
//! any priority. So one place writes, and it escapes control bytes and bidirectional marks in whatever it is given.

use std::fmt::{self, Display, Write as _};
use std::io::Write as _;
use std::sync::Mutex;

use log::{Level, LevelFilter};

use crate::gate::tailnet::{Caller, Tailnet};
use crate::limits::{LOG_LINE_BYTES, LOG_VALUE_BYTES};
use crate::wire::reply::http_date;

/// A value in a log line: quoted unless it is a plain word, escaped, and cut at [`LOG_VALUE_BYTES`].
pub struct Shown<'a>(pub &'a str);

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._:/+*".contains(&b);
        if !self.0.is_empty() && self.0.len() <= LOG_VALUE_BYTES && self.0.bytes().all(plain) {
            return f.write_str(self.0);
        }
        f.write_char('"')?;
        for (at, char) in self.0.char_indices() {
            if at >= LOG_VALUE_BYTES {
                f.write_char('…')?;
                break;
            }
            match char {
                '"' | '\\' => write!(f, "\\{char}")?,
                _ => escape(f, char)?,
            }
        }
        f.write_char('"')
    }
}

/// A caller in a log line: its address and, where the tailnet knows it, its name.
pub struct Named<'a>(pub &'a Caller);

impl Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.addr)?;
        match &self.0.tailnet {
            Tailnet::Claimed(who) | Tailnet::Known(who) => {
                write!(f, " who={} node={}", Shown(&who.name()), Shown(&who.node))
            }
            Tailnet::Outside => Ok(()),
            Tailnet::Unknown => f.write_str(" who=unknown"),
        }
    }
}

/// Whether `char` controls anything: C0, DEL, C1, line and paragraph separators, bidirectional marks.
pub fn controls(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Writes `char`, escaped when it controls anything.
fn escape(out: &mut impl fmt::Write, char: char) -> fmt::Result {
    if controls(char) { write!(out, "\\u{{{:x}}}", u32::from(char)) } else { out.write_char(char) }
}

/// syslog priorities. Source: sd-daemon(3).
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

/// A line under construction. Whatever is written into it is escaped.
struct Line(String);

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.bytes().all(|b| (b' '..=b'~').contains(&b)) {
            self.0.push_str(text);
            return Ok(());
        }
        text.chars().try_for_each(|char| escape(&mut self.0, char))
    }
}

/// The line for a record: for the journal a priority and no time, because it keeps its own; else time and level.
fn line(level: Level, message: fmt::Arguments<'_>, journal: bool, time: impl FnOnce(&mut String)) -> String {
    let mut line = Line(String::with_capacity(LOG_LINE_BYTES));
    // Writing to a String cannot fail.
    if journal {
        _ = write!(line.0, "<{}>", priority(level));
    } else {
        time(&mut line.0);
        line.0.push_str(word(level));
    }
    _ = line.write_fmt(message);
    line.0.push('\n');
    line.0
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Error => " ERROR ",
        Level::Warn => " WARN  ",
        Level::Info => " INFO  ",
        Level::Debug | Level::Trace => " DEBUG ",
    }
}

/// The time as text, made anew once a second.
#[derive(Debug, Default)]
struct Clock(Mutex<(u64, String)>);

impl Clock {
    fn push(&self, out: &mut String) {
        let seconds = super::wall_clock().as_secs();
        // A poisoned lock means that this process is about to end.
        let Ok(mut kept) = self.0.lock() else { return };
        if kept.0 != seconds || kept.1.is_empty() {
            *kept = (seconds, http_date(seconds));
        }
        out.push_str(&kept.1);
    }
}

/// `text` as it may stand on a line of a terminal: whatever controls anything is escaped.
pub fn escaped(text: &str) -> String {
    let mut line = Line(String::with_capacity(text.len()));
    // Writing to a String cannot fail.
    _ = line.write_str(text);
    line.0
}

/// Sends log records to stderr from now on. `RUST_LOG` is not read: the level has one source.
pub fn start(level: LevelFilter) {
    // systemd sets JOURNAL_STREAM when stderr is the journal. Source: systemd.exec(5).
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let clock = Clock::default();
    let started = env_logger::Builder::new()
        .filter_level(LevelFilter::Warn)
        .filter_module("toolgate", level)
        .format(move |out, record| {
            let line = line(record.level(), *record.args(), journal, |line| clock.push(line));
            out.write_all(line.as_bytes())
        })
        .try_init();
    debug_assert!(started.is_ok(), "the logger is started once");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        let check = |value: &str, expected: &str| assert_eq!(Shown(value).to_string(), expected);
        check("device_status", "device_status");
        check("", "\"\"");
        check("a b", "\"a b\"");
        check("a\n<0>fake", "\"a\\u{a}<0>fake\"");
        check("say \"x\" \\", "\"say \\\"x\\\" \\\\\"");
        check("\u{202e}gpj", "\"\\u{202e}gpj\"");
        check(&"é".repeat(200), &format!("\"{}…\"", "é".repeat(100)));
    }

    #[test]
    fn lines() {
        let time = |line: &mut String| line.push_str("NOW");
        assert_eq!(line(Level::Warn, format_args!("a{}b", "\n<0>"), true, time), "<4>a\\u{a}<0>b\n");
        assert_eq!(line(Level::Info, format_args!("call"), false, time), "NOW INFO  call\n");
    }
}
