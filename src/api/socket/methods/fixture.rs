//! A world for the tests of the socket: every fact is a field.

use std::cell::{Cell, Ref, RefCell};

use crate::api::socket::facts::{Event, Facts};
use crate::api::socket::roll::Roll;
use crate::gate::auth::{Auth, Mode};
use crate::gate::policy::Policy;
use crate::gate::tailnet::Tailnet;
use crate::gate::{Ask, Gate, Principal, Rules};
use crate::tool::fixture::remembered;
use crate::tool::{Listed, Now, Sessions, TOOLS};

/// Both clocks of every [`World`].
pub const NOW: u64 = 1_795_320_000_000;

/// A caller with these scopes.
pub fn caller(scopes: &str) -> Principal {
    let ask = Ask { scopes: Some(scopes), ..Ask::bare("127.0.0.1", &Tailnet::Outside) };
    let auth = Auth { mode: Mode::None, ..Auth::default() };
    Gate::new(Rules { auth, ..Rules::default() }).admit(&ask, std::time::Instant::now()).unwrap()
}

/// What the methods are told.
pub struct World {
    pub address: Option<String>,
    pub document: Result<String, String>,
    pub events: Vec<Event>,
    pub gate: RefCell<Gate>,
    pub key: Option<[u8; 32]>,
    pub roll: RefCell<Roll>,
    pub sessions: RefCell<Sessions>,
    pub tools: Vec<Listed>,
    pub now: Cell<Now>,
    pub synchronized: Option<bool>,
}

impl World {
    /// A world under `policy`, with every tool but no events, sessions or clients.
    pub fn new(policy: Policy) -> World {
        World {
            address: Some("192.0.2.2".into()),
            document: Err("no gateway runs here".into()),
            events: Vec::new(),
            gate: RefCell::new(Gate::new(Rules { policy, ..Rules::default() })),
            key: Some([7; 32]),
            roll: RefCell::default(),
            sessions: RefCell::default(),
            tools: TOOLS.iter().map(Listed::BuiltIn).collect(),
            now: Cell::new(Now { wall_ms: NOW as i64, boot_ms: NOW as i64 }),
            synchronized: Some(true),
        }
    }

    /// The same world, in which these sessions worked: key, agent, seconds before now.
    pub fn with_sessions(self, sessions: &[(&str, &str, i64)]) -> World {
        let now = i64::try_from(NOW).unwrap();
        let rows: Vec<_> = sessions.iter().map(|(key, agent, ago)| (*key, *agent, now - ago * 1_000)).collect();
        World { sessions: RefCell::new(remembered(&rows)), ..self }
    }
}

impl Facts for World {
    fn now(&self) -> Now {
        self.now.get()
    }
    fn synchronized(&self) -> Option<bool> {
        self.synchronized
    }
    fn uptime_ms(&self) -> u64 {
        60_000
    }
    fn host_name(&self) -> String {
        "vm".into()
    }
    fn address(&self) -> Option<String> {
        self.address.clone()
    }
    fn system(&self) -> (String, String) {
        ("linux 6.1.0".into(), "x86_64".into())
    }
    fn public_key(&self) -> Option<[u8; 32]> {
        self.key
    }
    fn message_bytes(&self) -> usize {
        crate::limits::SOCKET_MESSAGE_BYTES_DEFAULT
    }

    fn connections(&self) -> usize {
        3
    }
    fn tools(&self) -> Vec<Listed> {
        self.tools.clone()
    }
    fn gate(&self) -> Ref<'_, Gate> {
        self.gate.borrow()
    }
    fn config_path(&self) -> Option<String> {
        Some("/etc/t.json5".into())
    }
    fn state_dir(&self) -> Option<String> {
        None
    }
    fn document(&self) -> Result<String, String> {
        self.document.clone()
    }
    fn sessions(&self) -> Ref<'_, Sessions> {
        self.sessions.borrow()
    }
    fn events_after(&self, number: u64, most: usize) -> Vec<Event> {
        let fresh: Vec<Event> = self.events.iter().filter(|event| event.number > number).cloned().collect();
        fresh[fresh.len().saturating_sub(most)..].to_vec()
    }
    fn roll(&self) -> &RefCell<Roll> {
        &self.roll
    }
}
