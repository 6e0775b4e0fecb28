//! The session table: which sessions worked through this gateway, and their latest calls. In memory, bounded, pure.

use std::borrow::Cow;
use std::collections::VecDeque;

use super::host::Now;
use crate::gate::session::Session;
use crate::limits::{SESSION_CALLS, SESSION_KEY_BYTES_MAX, SESSIONS};

/// One remembered call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Made {
    /// When it ended, by the wall clock; for display.
    pub wall_ms: i64,
    /// The tool's name.
    pub tool: Cow<'static, str>,
    /// Whether the tool gave what was asked.
    pub good: bool,
}

/// One remembered session.
#[derive(Debug)]
pub struct Entry {
    /// Its key and agent.
    pub session: Session,
    /// A random UUID: two lives of the same key differ in it.
    pub id: String,
    /// When it was last used.
    pub used: Now,
    /// Calls over its whole life, forgotten ones included.
    pub total: u64,
    order: u64,
    calls: VecDeque<Made>,
}

impl Entry {
    /// The remembered calls, oldest first, at most [`SESSION_CALLS`].
    pub(super) fn calls(&self) -> impl DoubleEndedIterator<Item = &Made> + ExactSizeIterator {
        self.calls.iter()
    }

    /// Whether its key has `part` in it, in whatever case.
    pub fn matches(&self, part: &str) -> bool {
        let mut places = self.session.key.as_bytes().windows(part.len().max(1));
        part.is_empty() || places.any(|place| place.eq_ignore_ascii_case(part.as_bytes()))
    }
}

/// The sessions, at most [`SESSIONS`]; the one used longest ago makes room. Order is that of use, not of any clock.
#[derive(Debug, Default)]
pub struct Sessions {
    entries: Vec<Entry>,
    uses: u64,
}

impl Sessions {
    /// How many sessions are remembered.
    pub fn count(&self) -> usize {
        self.entries.len()
    }

    /// The session of exactly that key.
    pub(super) fn find(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.session.key == key)
    }

    /// All sessions, the latest used first.
    pub fn latest(&self) -> Vec<&Entry> {
        let mut entries = Vec::with_capacity(self.entries.len());
        for entry in &self.entries {
            let at = entries.partition_point(|other: &&Entry| other.order > entry.order);
            entries.insert(at, entry);
        }
        entries
    }

    /// Remembers a call. A key longer than [`SESSION_KEY_BYTES_MAX`] is not remembered.
    pub(super) fn record(&mut self, session: &Session, now: Now, tool: Cow<'static, str>, good: bool) {
        if session.key.len() > SESSION_KEY_BYTES_MAX {
            return;
        }
        self.uses = self.uses.wrapping_add(1);
        let order = self.uses;
        let at = self.entries.iter().position(|entry| entry.session.key == session.key);
        let at = at.unwrap_or_else(|| self.admit(session, now));
        let Some(entry) = self.entries.get_mut(at) else { return };
        if entry.calls.len() >= SESSION_CALLS {
            entry.calls.pop_front();
        }
        entry.calls.push_back(Made { wall_ms: now.wall_ms, tool, good });
        entry.used = now;
        entry.order = order;
        entry.total = entry.total.saturating_add(1);
    }

    fn admit(&mut self, session: &Session, now: Now) -> usize {
        if self.entries.len() >= SESSIONS {
            let oldest = (0..self.entries.len()).min_by_key(|at| self.entries.get(*at).map(|entry| entry.order));
            if let Some(at) = oldest {
                self.entries.swap_remove(at);
            }
        }
        let session = session.clone();
        self.entries.push(Entry { session, id: id(), used: now, total: 0, order: 0, calls: VecDeque::new() });
        self.entries.len().saturating_sub(1)
    }
}

/// A session's id. It names, it does not protect, so an early boot without entropy may give zeros.
fn id() -> String {
    let mut bytes = [0u8; 16];
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::NONBLOCK);
    uuid(bytes)
}

/// Random bytes as a UUID of version 4. Source: RFC 9562 §5.4.
pub fn uuid(bytes: [u8; 16]) -> String {
    let bits = u128::from_be_bytes(bytes);
    let bits = bits & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::fixture::session;

    const NOW: Now = Now { wall_ms: 5, boot_ms: 7 };

    fn keys(sessions: &Sessions) -> Vec<&str> {
        sessions.latest().iter().map(|entry| entry.session.key.as_str()).collect()
    }

    #[test]
    fn the_session_used_longest_ago_makes_room() {
        let mut sessions = Sessions::default();
        for at in 0..SESSIONS {
            sessions.record(&session(&format!("k{at}"), "main"), NOW, "t".into(), true);
        }
        sessions.record(&session("k0", "main"), NOW, "t".into(), true);
        sessions.record(&session("new", "main"), NOW, "t".into(), true);
        assert_eq!(sessions.count(), SESSIONS);
        assert_eq!(&keys(&sessions)[..3], ["new", "k0", "k63"]);
        assert!(sessions.find("k1").is_none() && sessions.find("k2").is_some());
    }

    #[test]
    fn calls_are_a_ring() {
        let mut sessions = Sessions::default();
        for _ in 0..SESSION_CALLS {
            sessions.record(&session("k", "main"), NOW, "old".into(), true);
        }
        sessions.record(&session("k", "main"), NOW, "new".into(), false);
        let entry = sessions.find("k").unwrap();
        assert_eq!((entry.calls().len(), entry.total), (SESSION_CALLS, 33));
        assert_eq!(entry.calls().next_back(), Some(&Made { wall_ms: 5, tool: "new".into(), good: false }));
    }

    #[test]
    fn a_long_key_is_not_remembered() {
        let mut sessions = Sessions::default();
        sessions.record(&session(&"k".repeat(SESSION_KEY_BYTES_MAX + 1), "main"), NOW, "t".into(), true);
        assert_eq!(sessions.count(), 0);
    }

    #[test]
    fn ids_are_version_4_uuids() {
        let id = super::id();
        let bytes = id.as_bytes();
        assert_eq!(
            (id.len(), bytes[8], bytes[13], bytes[14], bytes[18], bytes[23]),
            (36, b'-', b'-', b'4', b'-', b'-')
        );
        assert!(b"89ab".contains(&bytes[19]));
        assert_ne!(id, super::id());
    }
}
