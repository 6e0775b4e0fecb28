//! The first request → a member, or why not. Pure.
//!
//! The order of checks is that of contract ws.md §2.4 but for one thing: whoever has no secret is refused before any
//! signature is looked at, so that strangers cannot make us compute. Everything else that differs on purpose, all by
//! contract ws.md §8 item 2: who has the secret keeps the scopes it asks for, with or without a device, whatever the
//! client calls itself; a missing secret is called so, also where the reference asks for a device first; nothing is
//! paired, so no device or bootstrap token is ever right. Unknown keys are ignored at every level (§2.2).

use super::Scene;
use super::device::{Challenge, Device, Signed};
use super::fault::Refused;
use super::frame::Flop;
use super::json::Json;
use super::params::{self, Kind, Param, Shape, Values};
use super::roll::Entry;
use crate::api::open::Claims;
use crate::gate::auth::Mode;
use crate::gate::scope::Scopes;
use crate::gate::{Ask, Principal};
use crate::limits::{PARAM_CHARS, SOCKET_SCOPES_BYTES};

/// The protocols spoken. Source: contract ws.md §2.3.
const PROTOCOLS: (i64, i64) = (3, 4);

/// Source: contract ws.md §2.2, both versions.
const CLIENTS: Kind = Kind::Word(
    &"cli fingerprint gateway-client node-host openclaw-android openclaw-browser-copilot openclaw-control-ui openclaw-ios openclaw-linux openclaw-macos openclaw-probe openclaw-tui openclaw-watchos openclaw-worker test webchat webchat-ui",
);

/// Source: contract ws.md §2.2, both versions.
const MODES: Kind = Kind::Word(&"backend cli node probe test ui webchat worker");

/// A search path is the one text that is long in earnest.
const LONG: Kind = Kind::Text { min: 0, max: 4 * PARAM_CHARS as u32 };

static CLIENT: Shape = Shape {
    params: &[
        Param::required("id", CLIENTS),
        Param::optional("displayName", Kind::NAME),
        Param::required("version", Kind::NAME),
        Param::required("platform", Kind::NAME),
        Param::optional("deviceFamily", Kind::NAME),
        Param::optional("modelIdentifier", Kind::NAME),
        Param::required("mode", MODES),
        Param::optional("instanceId", Kind::NAME),
        Param::optional("buildId", Kind::Text { min: 1, max: 96 }),
        Param::optional("timeZone", Kind::Text { min: 1, max: 64 }),
    ],
    closed: false,
};

static DEVICE: Shape = Shape {
    params: &[
        Param::required("id", Kind::NAME),
        Param::required("publicKey", Kind::NAME),
        Param::required("signature", Kind::NAME),
        Param::required("signedAt", Kind::Integer { min: 0, max: None }),
        Param::required("nonce", Kind::NAME),
    ],
    closed: false,
};

static AUTH: Shape = Shape {
    params: &[
        Param::optional("token", Kind::TEXT),
        Param::optional("bootstrapToken", Kind::TEXT),
        Param::optional("deviceToken", Kind::TEXT),
        Param::optional("password", Kind::TEXT),
        Param::optional("approvalRuntimeToken", Kind::TEXT),
        Param::optional("agentRuntimeIdentityToken", Kind::TEXT),
    ],
    closed: false,
};

static CONNECT: Shape = Shape {
    params: &[
        Param::required("minProtocol", Kind::Integer { min: 1, max: None }),
        Param::required("maxProtocol", Kind::Integer { min: 1, max: None }),
        Param::required("client", Kind::Object(&CLIENT)),
        Param::optional("caps", Kind::Texts),
        Param::optional("commands", Kind::Texts),
        Param::optional("permissions", Kind::Object(&Shape::ANY)),
        Param::optional("pathEnv", LONG),
        Param::optional("role", Kind::NAME),
        Param::optional("scopes", Kind::Texts),
        Param::optional("device", Kind::Object(&DEVICE)),
        Param::optional("auth", Kind::Object(&AUTH)),
        Param::optional("locale", Kind::TEXT),
        Param::optional("userAgent", Kind::TEXT),
        Param::optional("modelCatalog", Kind::Object(&Shape::ANY)),
        Param::optional("computerUse", Kind::Object(&Shape::ANY)),
        Param::optional("workerRuns", Kind::Object(&Shape::ANY)),
    ],
    closed: false,
};

/// What a client is to this gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A device that offers commands. This gateway never calls them.
    Node,
    /// Somebody who works with the gateway.
    Operator,
}

impl Role {
    /// The role in one word, as frames write it.
    pub fn word(self) -> &'static str {
        match self {
            Role::Node => "node",
            Role::Operator => "operator",
        }
    }
}

/// Who a client is, once it is in.
#[derive(Debug)]
pub struct Member {
    /// The connection's id, a UUID.
    pub connection: Box<str>,
    /// What presence tells of it, until it is on the roll.
    pub entry: Option<Box<Entry>>,
    /// The id of its device, which is also a node's id; empty without one.
    pub device: Box<str>,
    /// The proof of admission, with no more scopes than were asked for.
    pub principal: Principal,
    /// The protocol spoken with it, 3 or 4.
    pub protocol: u8,
    /// Its role.
    pub role: Role,
}

/// What an open door has told the client, and what it brought to the door.
#[derive(Debug)]
pub(super) struct Start {
    /// The claims of the upgrade.
    pub claims: Claims<'static>,
    /// The connection's id.
    pub connection: Box<str>,
    /// The challenge's nonce.
    pub nonce: Box<str>,
    /// The challenge's time; 0 before it was made.
    pub ts: u64,
}

/// What a client says of itself that messages and signatures speak of.
#[derive(Debug)]
pub(super) struct Client {
    /// `client.id`
    pub id: String,
    /// `client.mode`
    pub mode: String,
}

impl Client {
    /// Whether it says that it is a page in a browser. Source: contract ws.md §1.3.
    pub fn page(&self) -> bool {
        self.id == "openclaw-control-ui" || self.webchat()
    }

    /// Whether it says that it is the chat. Source: contract ws.md §1.3.
    pub fn webchat(&self) -> bool {
        self.mode == "webchat" || self.id == "webchat-ui"
    }
}

/// Judges the parameters of `connect`.
#[inline(never)]
pub(super) fn connect(
    start: &Start,
    params: Option<&serde_json::value::RawValue>,
    scene: &Scene<'_>,
) -> Result<Member, Box<Refused>> {
    let params = params.filter(|raw| raw.get() != "null").ok_or_else(|| Refused::params("must be object"))?;
    let values = params::read(&CONNECT, Some(params)).map_err(|why| Refused::params(&why))?;
    let scopes = values.texts("scopes");
    if scopes.iter().map(String::len).fold(0, usize::saturating_add) > SOCKET_SCOPES_BYTES {
        return Err(Refused::params("at /scopes: must NOT have so many characters"));
    }
    let number = |name| values.integer(name).unwrap_or_default();
    let protocol = protocol(number("minProtocol"), number("maxProtocol"))?;
    let role = match values.text("role").as_deref() {
        None | Some("operator") => Role::Operator,
        Some("node") => Role::Node,
        Some(_) => return Err(Refused::plain("invalid role", "role_invalid")),
    };
    let about = values.object("client").ok_or_else(|| Refused::params("must be object"))?;
    let text = |name| about.words(name);
    let client = Client { id: text("id"), mode: text("mode") };
    if client.page() && !start.claims.has_page() {
        return Err(Refused::origin("origin missing or invalid"));
    }
    let device = values.object("device").map(device);
    if role == Role::Node && device.is_none() {
        return Err(Refused::no_device());
    }
    let secrets = Secrets::of(values.object("auth"));
    let principal = admit(start, &secrets, &client, device.is_some(), scene)?;
    if let Some(device) = &device {
        let (platform, family) = (&text("platform"), &text("deviceFamily"));
        let (client, mode, token) = (&client.id, &client.mode, secrets.signed());
        let signed = Signed { client, mode, role: role.word(), scopes: &scopes, token, platform, family };
        let now = (scene.facts.synchronized() == Some(true)).then(|| scene.facts.wall_ms());
        let challenge = Challenge { nonce: &start.nonce, ts: start.ts, now };
        device.verify(&signed, &challenge).map_err(Refused::device)?;
    }
    // A node needs no scopes, and must not have any: what it may call is listed.
    let wanted = if role == Role::Node { String::new() } else { scopes.join(",") };
    let principal = principal.narrowed(&Scopes::declared(Some(&wanted)));
    let device = device.map(|device| device.id).unwrap_or_default();
    let entry = Some(Box::new(entry(start, &about, &device, role, &principal, scene)));
    Ok(Member { connection: start.connection.clone(), entry, device: device.into(), principal, protocol, role })
}

/// The protocol to speak with a client that speaks `min` to `max`.
///
/// # Errors
/// `PROTOCOL_MISMATCH`, with the details of both versions: one reads `expectedProtocol`, and its node falls back to 3
/// when it says 3. Source: contract ws.md §2.3.
#[inline(never)]
fn protocol(min: i64, max: i64) -> Result<u8, Box<Refused>> {
    let spoken = max.min(PROTOCOLS.1);
    if spoken >= min.max(PROTOCOLS.0) {
        return Ok(u8::try_from(spoken).unwrap_or(u8::MAX));
    }
    let count = |number: i64| u64::try_from(number).unwrap_or_default();
    let expected = if max < PROTOCOLS.1 { PROTOCOLS.0 } else { PROTOCOLS.1 };
    let mut details = Json::object();
    details.string("code", "PROTOCOL_MISMATCH").count("clientMinProtocol", count(min));
    details.count("clientMaxProtocol", count(max)).count("expectedProtocol", count(expected));
    let details = details.count("minimumProbeProtocol", count(PROTOCOLS.0)).close("}").done();
    let flop = Flop { details: Some(details), ..Flop::new("protocol mismatch") };
    Err(Box::new(Refused { flop, close: 1002, word: "protocol_mismatch" }))
}

#[inline(never)]
fn device(values: Values<'_>) -> Device {
    let text = |name| values.words(name);
    let signed_at = values.integer("signedAt").and_then(|at| u64::try_from(at).ok()).unwrap_or_default();
    Device { id: text("id"), key: text("publicKey"), signature: text("signature"), nonce: text("nonce"), signed_at }
}

/// The secrets sent, as sent.
#[derive(Default)]
pub(super) struct Secrets {
    token: Option<String>,
    password: Option<String>,
    device: Option<String>,
    bootstrap: Option<String>,
}

/// A secret that says something.
fn said(secret: &Option<String>) -> Option<&str> {
    secret.as_deref().map(str::trim).filter(|secret| !secret.is_empty())
}

impl Secrets {
    fn of(auth: Option<Values<'_>>) -> Secrets {
        let Some(auth) = auth else { return Secrets::default() };
        let text = |name| auth.text(name);
        let (token, password) = (text("token"), text("password"));
        Secrets { token, password, device: text("deviceToken"), bootstrap: text("bootstrapToken") }
    }

    /// The one that the mode asks for, else the one in the other's place. Source: contract ws.md §2.5.
    fn offered(&self, mode: Mode) -> Option<&str> {
        let (own, other) = match mode {
            Mode::Token => (&self.token, &self.password),
            Mode::None | Mode::Password | Mode::TrustedProxy => (&self.password, &self.token),
        };
        said(own).or(said(other))
    }

    /// The one that stands under a device's signature, white space and all. Source: contract ws.md §2.6.
    fn signed(&self) -> &str {
        let first = self.token.as_ref().or(self.device.as_ref()).or(self.bootstrap.as_ref());
        first.map_or("", String::as_str)
    }

    /// Whether the client has a device's token at hand, or says so.
    pub fn device(&self) -> bool {
        said(&self.device).is_some()
    }

    /// Whether a token was sent in its own place.
    pub fn token(&self) -> bool {
        said(&self.token).is_some()
    }

    /// Whether a bootstrap token was sent.
    pub fn bootstrap(&self) -> bool {
        said(&self.bootstrap).is_some()
    }
}

#[inline(never)]
fn admit(
    start: &Start,
    secrets: &Secrets,
    client: &Client,
    device: bool,
    scene: &Scene<'_>,
) -> Result<Principal, Box<Refused>> {
    let mut gate = scene.gate.borrow_mut();
    let mode = gate.rules().auth.mode;
    let ask: Ask<'_> = start.claims.ask(secrets.offered(mode));
    gate.admit(&ask, scene.now).map_err(|deny| Refused::denied(deny, mode, secrets, client, device))
}

/// What presence tells of the client. Source: contract ws.md §4.3.
#[inline(never)]
fn entry(
    start: &Start,
    about: &Values<'_>,
    device: &str,
    role: Role,
    principal: &Principal,
    scene: &Scene<'_>,
) -> Entry {
    let text = |name| about.words(name);
    let instance = text("instanceId");
    let mut key: &str = &start.connection;
    for own in [instance.as_str(), device] {
        key = if own.trim().is_empty() { key } else { own };
    }
    let host = about.text("displayName").unwrap_or_else(|| text("id"));
    let mut entry = Entry::new(key);
    entry.set("host", &host);
    entry.set("deviceId", device);
    entry.set("instanceId", &instance);
    for name in &["version", "platform", "deviceFamily", "modelIdentifier", "mode"] {
        entry.set(name, &text(name));
    }
    if !scene.gate.borrow().direct_local(&start.claims.ask(None)) {
        entry.set("ip", &principal.client().to_string());
    }
    entry.add("roles", role.word());
    for scope in principal.scopes().names() {
        entry.add("scopes", scope);
    }
    entry
}
