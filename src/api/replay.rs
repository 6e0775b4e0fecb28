//! Calls that carry an `idempotencyKey`: their names and what became of them. Pure: time and seeds are arguments.
//!
//! A caller that lost an answer sends its request again with the same key, and gets the answer of the call that ran
//! instead of a second run. The table keeps no key and no body, only digests of them: two SipHashes of 64 bits, each
//! begun with 16 secret random bytes. A digest never leaves the process, so a collision can be met by chance only: with
//! [`REPLAY_ENTRIES`] names in the table, once in 2^122 tries. And the caller is part of the name, so even then nobody
//! gets at another's answer without guessing 128 bits.
//!
//! Source: contract http.md, how to read this, item 3.

use std::fmt;
use std::hash::{DefaultHasher, Hasher};
use std::net::IpAddr;
use std::time::Instant;

use super::Fault;
use crate::gate::Principal;
use crate::gate::auth::Method;
use crate::limits::{REPLAY_BYTES, REPLAY_ENTRIES, REPLAY_SECS};
use crate::tool::Outcome;

/// What makes the digests of one process its own.
pub struct Seeds([u8; 32]);

impl Seeds {
    /// Seeds of 32 random bytes.
    pub fn new(random: [u8; 32]) -> Seeds {
        Seeds(random)
    }

    fn digest(&self) -> Digester {
        let (first, second) = self.0.split_at(16);
        let mut digester = Digester(DefaultHasher::new(), DefaultHasher::new());
        digester.0.write(first);
        digester.1.write(second);
        digester
    }
}

impl fmt::Debug for Seeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seeds(..)")
    }
}

struct Digester(DefaultHasher, DefaultHasher);

impl Digester {
    /// Adds a part. Its length goes first, so that no two lists of parts look alike.
    fn add(&mut self, part: &[u8]) {
        for hasher in [&mut self.0, &mut self.1] {
            hasher.write(&(part.len() as u64).to_le_bytes());
            hasher.write(part);
        }
    }

    fn finish(&self) -> Digest {
        (self.0.finish(), self.1.finish())
    }
}

type Digest = (u64, u64);

/// What a call is known by: who sent which key, and with which body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name {
    call: Digest,
    body: Digest,
}

/// The name of the call that `principal` sends with `key` and `body`. Callers differ in how they proved themselves, in
/// the user a proxy or the tailnet named, in whether they own the gateway, and, where nothing is proved, in their address.
pub fn name(seeds: &Seeds, principal: &Principal, key: &str, body: &[u8]) -> Name {
    let (method, address) = match principal.method() {
        Method::None => (0, octets(principal.client())),
        Method::Password => (1, [0; 16]),
        Method::Tailnet => (4, [0; 16]),
        Method::Token => (2, [0; 16]),
        Method::TrustedProxy => (3, [0; 16]),
    };
    let mut call = seeds.digest();
    call.add(&[method, u8::from(principal.owner())]);
    call.add(&address);
    call.add(principal.user().unwrap_or_default().as_bytes());
    call.add(key.as_bytes());
    let mut content = seeds.digest();
    content.add(body);
    Name { call: call.finish(), body: content.finish() }
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

#[derive(Debug)]
struct Entry {
    name: Name,
    turn: Turn,
    /// What the call said and when; `None` while it runs.
    said: Option<(Outcome, Instant)>,
}

impl Entry {
    fn bytes(&self) -> usize {
        match &self.said {
            Some((Outcome::Done { details, text }, _)) => {
                details.len().saturating_add(text.as_ref().map_or(0, String::len))
            }
            Some((Outcome::Failed(text) | Outcome::Input(text), _)) => text.len(),
            None => 0,
        }
    }
}

/// One run of a call that has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn(u64);

/// The calls remembered, in the order they began: at most [`REPLAY_ENTRIES`], [`REPLAY_BYTES`], for [`REPLAY_SECS`].
#[derive(Debug, Default)]
pub struct Table {
    entries: Vec<Entry>,
    turns: u64,
}

impl Table {
    /// What the call of that name said, `None` when it has not run or is forgotten.
    ///
    /// # Errors
    /// `CallInProgress`, `IdempotencyKeyReused`.
    pub fn look(&mut self, name: &Name, now: Instant) -> Result<Option<Outcome>, Fault> {
        let fresh = |at: Instant| now.saturating_duration_since(at) < REPLAY_SECS;
        self.entries.retain(|entry| entry.said.as_ref().is_none_or(|(_, at)| fresh(*at)));
        match self.entries.iter().find(|entry| entry.name.call == name.call) {
            None => Ok(None),
            Some(entry) if entry.name.body != name.body => Err(Fault::IdempotencyKeyReused),
            Some(Entry { said: None, .. }) => Err(Fault::CallInProgress),
            Some(Entry { said: Some((outcome, _)), .. }) => Ok(Some(outcome.clone())),
        }
    }

    /// Remembers that the call of that name runs. [`Table::look`] has found none before.
    pub fn begin(&mut self, name: Name) -> Turn {
        while self.entries.len() >= REPLAY_ENTRIES && self.drop_oldest() {}
        self.turns = self.turns.wrapping_add(1);
        let turn = Turn(self.turns);
        self.entries.push(Entry { name, turn, said: None });
        turn
    }

    /// Remembers what the call of that turn said.
    pub fn end(&mut self, turn: Turn, outcome: &Outcome, now: Instant) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.turn == turn) {
            entry.said = Some((outcome.clone(), now));
        }
        let held = |entries: &[Entry]| entries.iter().map(Entry::bytes).fold(0_usize, usize::saturating_add);
        while held(&self.entries) > REPLAY_BYTES && self.drop_oldest() {}
    }

    /// Forgets the call of that turn: it did not run.
    pub fn forget(&mut self, turn: Turn) {
        self.entries.retain(|entry| entry.turn != turn);
    }

    /// Forgets everything, calls that run included: who comes with the same key may be somebody else now.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// Forgets the oldest call that is over; whether there was one.
    fn drop_oldest(&mut self) -> bool {
        match self.entries.iter().position(|entry| entry.said.is_some()) {
            Some(at) => {
                self.entries.remove(at);
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::auth::{Auth, Mode};
    use crate::gate::peer::Names;
    use crate::gate::secret::Secret;
    use crate::gate::tailnet::{self, Tailnet};
    use crate::gate::{Ask, Gate, Rules};
    use std::time::Duration;

    const SEEDS: Seeds = Seeds([7; 32]);

    fn caller(mode: Mode, peer: &str, user: Option<&str>, scopes: Option<&str>) -> Principal {
        let proxies = vec![crate::gate::peer::Net::parse("10.0.0.0/8").expect("a net")];
        let auth = Auth { mode, token: Secret::new("t"), password: Secret::new("t"), proxies, ..Auth::default() };
        let names = Names { any_literal: true, ..Names::default() };
        let mut gate = Gate::new(Rules { auth, names, ..Rules::default() });
        let ask = Ask { credential: Some("t"), scopes, proxy_user: user, ..Ask::bare(peer, &Tailnet::Outside) };
        gate.admit(&ask, Instant::now()).expect("admitted")
    }

    /// A tailnet peer that needs no secret.
    fn named(login: &str) -> Principal {
        let allow = tailnet::Allow { logins: vec![login.into()], ..tailnet::Allow::default() };
        let rules = tailnet::Rules { allow, identity: true, capability: None };
        let auth = Auth { token: Secret::new("t"), ..Auth::default() };
        let who = tailnet::Who { login: Some(login.into()), ..tailnet::Who::default() };
        let known = Tailnet::Known(std::rc::Rc::new(who));
        let mut gate = Gate::new(Rules { auth, tailnet: rules, ..Rules::default() });
        gate.admit(&Ask::bare("100.64.0.7", &known), Instant::now()).expect("admitted")
    }

    fn done(text: &str) -> Outcome {
        Outcome::Done { details: text.into(), text: None }
    }

    fn plain(key: u64) -> Name {
        Name { call: (key, 0), body: (0, 0) }
    }

    #[test]
    fn names_are_of_one_caller_one_key_and_one_body() {
        let own = |principal: &Principal, key: &str, body: &[u8]| name(&SEEDS, principal, key, body);
        let token = caller(Mode::Token, "10.0.0.1", None, None);
        let same = own(&token, "k", b"b");
        assert_eq!(same, own(&caller(Mode::Token, "10.0.0.2", None, None), "k", b"b"), "the secret is the caller");
        assert_eq!(same.call, own(&token, "k", b"c").call);
        assert_ne!(same.body, own(&token, "k", b"c").body);
        assert_ne!(same.call, own(&token, "l", b"b").call);
        assert_ne!(same, name(&Seeds([8; 32]), &token, "k", b"b"), "another process");
        let others = [
            caller(Mode::Password, "10.0.0.1", None, None),
            caller(Mode::None, "10.0.0.1", None, None),
            caller(Mode::None, "10.0.0.2", None, None),
            caller(Mode::None, "10.0.0.1", None, Some("operator.write")),
            caller(Mode::TrustedProxy, "10.0.0.1", Some("ann"), None),
            caller(Mode::TrustedProxy, "10.0.0.1", Some("bob"), None),
            named("ann"),
            named("bob"),
        ];
        let mut all: Vec<Digest> = others.iter().map(|other| own(other, "k", b"b").call).collect();
        all.push(same.call);
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 9, "two callers have one name");
        assert_eq!(format!("{SEEDS:?}"), "Seeds(..)");
    }

    #[test]
    fn the_first_answer_stands_for_its_time() {
        let (mut table, start) = (Table::default(), Instant::now());
        assert_eq!(table.look(&plain(1), start), Ok(None));
        let turn = table.begin(plain(1));
        assert_eq!(table.look(&plain(1), start), Err(Fault::CallInProgress));
        let other = Name { body: (9, 9), ..plain(1) };
        assert_eq!(table.look(&other, start), Err(Fault::IdempotencyKeyReused));
        table.end(turn, &done("{}"), start);
        let last = start + REPLAY_SECS - Duration::from_nanos(1);
        assert_eq!(table.look(&plain(1), last), Ok(Some(done("{}"))));
        assert_eq!(table.look(&other, last), Err(Fault::IdempotencyKeyReused));
        assert_eq!(table.look(&plain(2), last), Ok(None));
        assert_eq!(table.look(&other, start + REPLAY_SECS), Ok(None), "forgotten");
        assert!(table.entries.is_empty());
    }

    #[test]
    fn the_oldest_make_room_but_never_those_that_run() {
        let (mut table, now) = (Table::default(), Instant::now());
        let running = table.begin(plain(0));
        for key in 1..=REPLAY_ENTRIES as u64 {
            let turn = table.begin(plain(key));
            table.end(turn, &done("{}"), now);
        }
        assert_eq!(table.entries.len(), REPLAY_ENTRIES);
        assert_eq!(table.look(&plain(0), now), Err(Fault::CallInProgress));
        assert_eq!(table.look(&plain(1), now), Ok(None));
        assert_eq!(table.look(&plain(2), now), Ok(Some(done("{}"))));
        table.end(running, &done(&"x".repeat(REPLAY_BYTES - 4)), now);
        let held: usize = table.entries.iter().map(Entry::bytes).sum();
        assert!(held <= REPLAY_BYTES, "{held}");
        let last = plain(REPLAY_ENTRIES as u64);
        assert_eq!(table.look(&last, now), Ok(Some(done("{}"))));
        let turn = table.begin(plain(99));
        table.end(turn, &done(&"x".repeat(REPLAY_BYTES + 1)), now);
        assert!(table.entries.is_empty(), "what does not fit is not kept");
    }

    #[test]
    fn a_cleared_table_does_not_take_the_answer_of_an_earlier_turn() {
        let (mut table, now) = (Table::default(), Instant::now());
        let first = table.begin(plain(1));
        table.clear();
        let second = table.begin(plain(1));
        table.end(first, &done("1"), now);
        assert_eq!(table.look(&plain(1), now), Err(Fault::CallInProgress));
        table.end(second, &done("2"), now);
        assert_eq!(table.look(&plain(1), now), Ok(Some(done("2"))));
    }
}
