//! Events → one log line each, and the latest of them kept in memory, so that they can be asked for over the wire.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt::{self, Write};

use log::Level;

use crate::limits::{AUDIT_LINE_BYTES, AUDIT_LINES, LOG_LINE_BYTES};

/// One remembered event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its number, from 1. Numbers that are missing before the first line have been forgotten.
    pub number: u64,
    /// Seconds since 1970 by the wall clock; for display.
    pub seconds: u64,
    /// How bad it is.
    pub level: Level,
    /// The event as in the log, cut at [`AUDIT_LINE_BYTES`].
    pub text: String,
}

/// The latest events: every call, refusal and reload, at most [`AUDIT_LINES`]. No bodies, no secrets: an event holds
/// what the log holds. Refusals that the log leaves out are left out here too, so that strangers cannot wash it clean.
#[derive(Debug, Default)]
pub struct Audit(RefCell<Ring>);

#[derive(Debug, Default)]
struct Ring {
    lines: VecDeque<Line>,
    said: u64,
}

impl Audit {
    /// Logs an event and remembers it.
    pub fn say(&self, level: Level, event: fmt::Arguments<'_>) {
        let mut text = String::with_capacity(LOG_LINE_BYTES);
        // Writing to a String cannot fail.
        _ = text.write_fmt(event);
        log::log!(level, "{text}");
        if text.len() > AUDIT_LINE_BYTES {
            let end = (0..=AUDIT_LINE_BYTES).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
            text.truncate(end);
        }
        let mut ring = self.0.borrow_mut();
        ring.said = ring.said.wrapping_add(1);
        if ring.lines.len() >= AUDIT_LINES {
            ring.lines.pop_front();
        }
        let line = Line { number: ring.said, seconds: super::wall_clock().as_secs(), level, text };
        ring.lines.push_back(line);
    }

    /// The events after number `after`, oldest first, the latest `most` of them.
    pub fn tail(&self, after: u64, most: usize) -> Vec<Line> {
        let ring = self.0.borrow();
        let fresh = ring.lines.iter().filter(|line| line.number > after);
        let skip = fresh.clone().count().saturating_sub(most);
        fresh.skip(skip).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(lines: &[Line]) -> Vec<u64> {
        lines.iter().map(|line| line.number).collect()
    }

    #[test]
    fn the_latest_events_are_kept() {
        let audit = Audit::default();
        for number in 1..=AUDIT_LINES + 2 {
            audit.say(Level::Info, format_args!("event {number}"));
        }
        let all = audit.tail(0, usize::MAX);
        assert_eq!((all.len(), all.first().map(|line| line.number)), (AUDIT_LINES, Some(3)));
        assert_eq!(all[0].text, "event 3");
        assert_eq!(numbers(&audit.tail(256, 9)), [257, 258]);
        assert_eq!(numbers(&audit.tail(0, 1)), [258]);
    }

    #[test]
    fn long_events_are_cut_at_a_character() {
        let audit = Audit::default();
        audit.say(Level::Warn, format_args!("x{}", "é".repeat(AUDIT_LINE_BYTES)));
        let line = audit.tail(0, 1).remove(0);
        assert_eq!((line.text.len(), line.level), (AUDIT_LINE_BYTES - 1, Level::Warn));
    }
}
