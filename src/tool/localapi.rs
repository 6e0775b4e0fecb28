//! tailscaled's LocalAPI: an address → whose node it is, and how this device is on its tailnet.
//!
//! One question on one connection to a socket of this machine, within one deadline. Whatever is not as it should be counts
//! as no answer: nobody is ever told apart by half of what was said. Nesting needs no care: what is not read is skipped
//! without recursion. Source: tailscale ipn/localapi, client/tailscale/apitype, ipn/ipnstate, tailcfg.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Instant;

use serde_json::value::RawValue;

use super::fetch;
use super::object::clip;
use super::pipe::{self, Pipe};
use super::reach::Fault;
use super::schema;
use crate::gate::tailnet::Who;
use crate::limits::{
    LOCAL_API_BYTES, LOCAL_API_SECS, TAILSCALE_HEALTH, TAILSCALE_IPS, WHO_BYTES, WHO_ITEM_BYTES, WHO_TEXT_BYTES,
};

/// Where tailscaled listens unless configured.
pub(super) const LOCAL_API: &str = "/var/run/tailscale/tailscaled.sock";

/// The name it wants to be called by; with another one, or with a browser's fields, it refuses.
const NAME: &str = "local-tailscaled.sock";

/// The login that is said of every tagged node. It is nobody's.
const TAGGED: &str = "tagged-devices";

pub(super) const STRANGE: Missing = Missing::Failed("the answer is not one of tailscaled");

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// There is no socket, or nobody listens at it: tailscaled does not run.
    Absent,
    /// It is there, but did not answer rightly within its time; how not.
    Failed(&'static str),
}

/// How this device is on its tailnet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The state in a word: `Running`, `Stopped`, `Starting`, `NeedsLogin`, `NeedsMachineAuth`, `NoState`.
    pub backend: String,
    /// Whether there is an interface of the kernel. Without one every peer seems to come from the loopback.
    pub tun: bool,
    /// This device's addresses on the tailnet.
    pub ips: Vec<IpAddr>,
    /// Its name there in small letters, without a trailing dot; `None` while it has none.
    pub dns_name: Option<String>,
    /// When somebody must log in again, as in 2027-05-30T18:04:51Z; `None` where the tailnet asks that of nobody.
    pub key_expiry: Option<String>,
    /// What tailscaled complains of, without control characters.
    pub health: Vec<String>,
    /// tailscaled's version.
    pub version: String,
}

/// How this device is on its tailnet.
///
/// # Errors
/// That tailscaled does not run, or does not say.
pub async fn status(socket: &Path) -> Result<Status, Missing> {
    let said = ask(socket, STATUS, LOCAL_API_BYTES).await?;
    said.as_deref().and_then(read_status).ok_or(STRANGE)
}

/// Whose node the TCP connection from `addr` belongs to; `None` when it is none of the tailnet. Where tailscaled has no
/// interface of its own, the port says whose; else port 0 will do.
///
/// # Errors
/// That tailscaled does not run, or does not say. Then the caller is unknown.
pub async fn whois(socket: &Path, addr: SocketAddr) -> Result<Option<Who>, Missing> {
    match ask(socket, &question(addr), LOCAL_API_BYTES).await? {
        Some(said) => read_who(&said).map(Some).ok_or(STRANGE),
        None => Ok(None),
    }
}

/// How it is asked about itself alone.
pub(super) const STATUS: &str = "/localapi/v0/status?peers=false";

/// How it is asked whose node `addr` belongs to.
pub(super) fn question(addr: SocketAddr) -> String {
    // Without a zone, which the tailnet has none of, and never as an IPv4 address in IPv6.
    let ip = addr.ip().to_canonical();
    let (open, close) = if ip.is_ipv6() { ("%5B", "%5D") } else { ("", "") };
    let port = addr.port().to_string();
    ["/localapi/v0/whois?proto=tcp&addr=", open, &ip.to_string(), close, ":", &port].concat()
}

/// What tailscaled says to a question, in at most `most` bytes: JSON, all of which has been looked at. `None` when it knows
/// nothing of what was asked for.
///
/// # Errors
/// That it does not run, or does not say.
pub(super) async fn ask(socket: &Path, target: &str, most: usize) -> Result<Option<String>, Missing> {
    let pipe = Pipe::local(socket, Instant::now() + LOCAL_API_SECS).map_err(unreached)?;
    let answer = fetch::local(&pipe, NAME, target, most).await.map_err(|Fault(_, words)| Missing::Failed(words))?;
    match answer.status {
        _ if answer.cut => Err(Missing::Failed("the answer is longer than any should be")),
        200 => whole(answer.content).map(Some).ok_or(STRANGE),
        403 => Err(Missing::Failed("it refuses the question")),
        404 => Ok(None),
        _ => Err(Missing::Failed("it has no answer")),
    }
}

/// What it means that there is no connection.
fn unreached(error: io::Error) -> Missing {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotADirectory | io::ErrorKind::NotFound => Missing::Absent,
        io::ErrorKind::WouldBlock => Missing::Failed("it does not take any more questions"),
        _ => Missing::Failed(pipe::said(&error)),
    }
}

/// The content as text, if it is one JSON value and nothing else.
fn whole(content: Vec<u8>) -> Option<String> {
    let text = String::from_utf8(content).ok()?;
    serde_json::from_str::<&RawValue>(&text).ok()?;
    Some(text)
}

/// The most members that are picked out of one object.
const PICKED: usize = 5;

/// The members called `names` of the object `json`, in that order; one that is null counts as absent. `None` when it is no
/// object, or says one of them twice: who reads the first would see another thing than who reads the last.
pub(super) fn pick<'j>(json: &'j str, names: &[&str]) -> Option<[Option<&'j str>; PICKED]> {
    let (mut found, mut twice) = ([None; PICKED], false);
    let read = schema::read_members(json, &mut |key, value| {
        if let Some(slot) = names.iter().position(|name| name.as_bytes() == key).and_then(|at| found.get_mut(at)) {
            twice |= slot.replace(value.get()).is_some();
        }
        Some(())
    });
    read.ok().filter(|_| !twice)?;
    Some(found.map(|value: Option<&str>| value.filter(|json| *json != "null")))
}

/// A text that names something: not empty, not long, and no control character in it.
fn name(text: &str) -> Option<&str> {
    let good = !text.is_empty() && text.len() <= WHO_TEXT_BYTES && !text.contains(char::is_control);
    good.then_some(text)
}

/// The same from JSON.
pub(super) fn word(json: &str) -> Option<String> {
    let text = schema::text(json, WHO_TEXT_BYTES).ok()?;
    name(&text)?;
    Some(text)
}

/// What is kept of a node, and how much more may be.
struct Portrait {
    who: Who,
    room: usize,
}

impl Portrait {
    /// A text to keep, if there is room for it.
    fn keep(&mut self, text: &str) -> Option<Box<str>> {
        self.room = self.room.checked_sub(text.len().saturating_add(WHO_ITEM_BYTES))?;
        Some(text.into())
    }

    fn tag(&mut self, json: &str) -> Option<()> {
        let tag = word(json).filter(|tag| tag.starts_with("tag:"))?;
        let tag = self.keep(&tag)?;
        self.who.tags.push(tag);
        Some(())
    }

    /// A capability and its values, a list or null.
    fn capability(&mut self, key: &[u8], values: &str) -> Option<()> {
        if key.is_empty() {
            return Some(());
        }
        let capability = name(std::str::from_utf8(key).ok()?)?;
        if self.who.capabilities.iter().any(|(known, _)| **known == *capability) {
            return None;
        }
        let capability = self.keep(capability)?;
        let mut tools = Vec::new();
        if values != "null" && !schema::elements(values, &mut |value| self.value(value.get(), &mut tools)) {
            return None;
        }
        self.who.capabilities.push((capability, tools));
        Some(())
    }

    /// Adds the tools that a capability's value names. A value is whatever an application made of it: where `tools` is no
    /// list of names, it names none.
    fn value(&mut self, json: &str, tools: &mut Vec<Box<str>>) -> Option<()> {
        if !json.starts_with('{') {
            return Some(());
        }
        let [Some(list), ..] = pick(json, &["tools"])? else { return Some(()) };
        let (mut named, mut full) = (Vec::new(), false);
        let names = schema::elements(list, &mut |tool| {
            let tool = self.keep(&word(tool.get())?);
            full = tool.is_none();
            named.push(tool?);
            Some(())
        });
        if full {
            return None;
        }
        for tool in named.into_iter().filter(|_| names) {
            if !tools.contains(&tool) {
                tools.push(tool);
            }
        }
        Some(())
    }
}

/// Who a node is, from an answer of whois. Source: apitype.WhoIsResponse.
pub(super) fn read_who(json: &str) -> Option<Who> {
    let [node, profile, capabilities, ..] = pick(json, &["Node", "UserProfile", "CapMap"])?;
    let [full, tags, ..] = pick(node?, &["Name", "Tags"])?;
    let full = word(full?)?;
    let mut portrait = Portrait { who: Who::default(), room: WHO_BYTES };
    portrait.who.node = portrait.keep(name(full.strip_suffix('.').unwrap_or(&full))?)?;
    if !tags.is_none_or(|tags| schema::elements(tags, &mut |tag| portrait.tag(tag.get()))) {
        return None;
    }
    if portrait.who.tags.is_empty() {
        let [login, ..] = pick(profile?, &["LoginName"])?;
        let login = portrait.keep(&word(login?)?)?;
        portrait.who.login = Some(login).filter(|login| **login != *TAGGED);
    }
    if let Some(capabilities) = capabilities {
        let read = schema::read_members(capabilities, &mut |key, values| portrait.capability(key, values.get()));
        read.ok().filter(|all| *all)?;
    }
    Some(portrait.who)
}

/// How this device is. Source: ipnstate.Status.
pub(super) fn read_status(json: &str) -> Option<Status> {
    let names = ["BackendState", "TUN", "Version", "Self", "Health"];
    let [backend, tun, version, own, health] = pick(json, &names)?;
    let tun = match tun? {
        "true" => true,
        "false" => false,
        _ => return None,
    };
    let (mut ips, mut dns_name, mut key_expiry) = (Vec::new(), None, None);
    if let Some(own) = own {
        let [listed, name, expiry, ..] = pick(own, &["TailscaleIPs", "DNSName", "KeyExpiry"])?;
        key_expiry = expiry.map_or(Some(None), |expiry| word(expiry).map(Some))?;
        ips = listed.map_or(Some(Vec::new()), addresses)?;
        dns_name = name.map_or(Some(None), own_name)?;
    }
    let mut complaints = Vec::new();
    let complain = &mut |json: &RawValue| {
        let text = schema::text(json.get(), LOCAL_API_BYTES).ok()?;
        if complaints.len() < TAILSCALE_HEALTH {
            complaints.push(clip(&text, WHO_TEXT_BYTES).replace(char::is_control, " "));
        }
        Some(())
    };
    if !health.is_none_or(|health| schema::elements(health, complain)) {
        return None;
    }
    let (backend, version) = (word(backend?)?, word(version?)?);
    Some(Status { backend, tun, ips, dns_name, key_expiry, health: complaints, version })
}

/// The addresses in a list that holds nothing else, and not many.
pub(super) fn addresses(json: &str) -> Option<Vec<IpAddr>> {
    let mut ips = Vec::new();
    let all = schema::elements(json, &mut |ip| {
        ips.push(word(ip.get())?.parse().ok()?);
        (ips.len() <= TAILSCALE_IPS).then_some(())
    });
    all.then_some(ips)
}

/// This device's name, or that it has none yet. It will count as one that the gateway goes by, so it must be a host's.
fn own_name(json: &str) -> Option<Option<String>> {
    let name = schema::text(json, WHO_TEXT_BYTES).ok()?.to_ascii_lowercase();
    let name = name.strip_suffix('.').unwrap_or(&name);
    if name.is_empty() {
        return Some(None);
    }
    let mut before = b'.';
    let good = name.bytes().all(|byte| match std::mem::replace(&mut before, byte) {
        b'.' if byte == b'.' => false,
        _ => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'),
    });
    good.then(|| Some(name.to_owned()))
}

#[cfg(test)]
#[path = "localapi_tests.rs"]
mod tests;
