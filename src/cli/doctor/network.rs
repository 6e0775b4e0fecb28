//! The gateway that runs, its listeners and who reaches them, Tailscale.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use serde_json::value::RawValue;

use super::super::args::{self, Call, Toolgate};
use super::super::call::{self, Fault, Place};
use super::super::load::{self, Settled};
use super::{Chart, Level, filled};
use crate::api::envelope::plain;
use crate::api::socket::params::items;
use crate::config::{Bind, Config, Tailnet};
use crate::limits::{CONFIG_SLACK_SECS, KEY_EXPIRY_SOON_MS, PORT_DEFAULT};
use crate::serve::files::Seen;
use crate::serve::report::span;
use crate::serve::{self, listen};
use crate::tool::forwards::Forward;
use crate::tool::interfaces::Interface;
use crate::tool::localapi::Missing;
use crate::tool::outlook::Outlook;
use crate::tool::{self, Now};

/// How much is known of the configuration, in the order of [`REFUSED`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// Enough.
    Settled,
    /// The file does not load.
    Nothing,
    /// It lets proxies in, and nobody else.
    Proxied,
}

/// Whether somebody is at `place`, and what a gateway there says of itself.
#[inline(never)]
pub(super) fn gateway(
    chart: &mut Chart,
    asked: &Toolgate,
    flags: &args::Doctor,
    place: &Place,
    known: Known,
) -> (bool, Option<String>) {
    const ABOUT: &str = "gateway";
    let at = place.authority.as_str();
    let mut there = false;
    let said = call::dial(place).and_then(|stream| {
        there = true;
        // The secret is for a gateway only.
        call::lives(stream, place)?;
        let secret = load::client_secret(asked, flags.token_file.as_deref()).map_err(Fault::Refused)?;
        call::invoke(&Call::of("gateway_status"), place, secret.as_ref())
    });
    chart.json.key(ABOUT).raw("{").string("at", at).flag("running", said.is_ok());
    if let Err(fault) = &said {
        let (level, [fact, message, fix]) = verdict(fault, there, known, flags.url.is_some());
        chart.fact(ABOUT, fact, &[at]);
        chart.find(level, ABOUT, message, &[fault.text()], fix);
    }
    // Who takes no connection any more is there too.
    there |= matches!(said, Err(Fault::Silent(_)));
    if matches!(said, Ok(_) | Err(Fault::Refused(_))) {
        chart.soften();
    }
    let details = said.ok().map(|said| said.details);
    let report = details.as_deref().and_then(|details| serde_json::from_str::<&RawValue>(details).ok());
    if let Some(report) = report {
        running(chart, load::place(asked).as_deref(), report);
    }
    chart.json.close("}");
    (there, details)
}

/// Whether the file at `own` is the one that the gateway read, as it read it `age` seconds ago. Ages are compared, and no
/// more than a warning depends on them: the wall clock may jump.
fn config(chart: &mut Chart, own: Option<&Path>, theirs: &str, age: u64) {
    const ABOUT: &str = "gateway";
    let (named, read) = (own.map_or(&b""[..], |path| path.as_os_str().as_encoded_bytes()), theirs.as_bytes());
    // One of them may be named from a directory that is not known here.
    let same = read.ends_with(named) || named.ends_with(read);
    if !same || read.is_empty() != named.is_empty() {
        let theirs = if theirs.is_empty() { "none" } else { theirs };
        return chart.warn(ABOUT, "it read another configuration: %", &[theirs], "name that one with --config");
    }
    let changed = own.and_then(|path| Seen::at(path).ok()).map_or(0, |seen| seen.changed);
    // What was changed in times to come, or before there were any, tells nothing.
    let since = serve::wall_clock().as_secs().checked_sub(changed.unsigned_abs());
    if since.is_some_and(|since| since + CONFIG_SLACK_SECS < age) {
        let fix = "reload it: systemctl reload toolgate, /etc/init.d/toolgate reload, or kill -HUP";
        chart.warn(ABOUT, "the configuration file was changed after the gateway read it", &[], fix);
    }
}

/// A fact with a place for the address, a finding, its fix.
type Row = [&'static str; 3];

static FOREIGN: Row = [
    "something else listens at %",
    "what listens there does not answer as a gateway does",
    "see who it is with ss -ltnp; stop it, or choose another gateway.port",
];
static NOBODY: Row = [
    "none runs at %",
    "what follows is what would be, not what is",
    "start it: systemctl start toolgate, /etc/init.d/toolgate start, or toolgate run",
];
static ELSEWHERE: Row = [
    "none runs at %",
    "the file that does not load may name another port, where one runs",
    "mend the file, or name the gateway with --url",
];
static SILENT: Row = [
    "what listens at % does not answer in time",
    "a gateway that is not overloaded answers at once",
    "look again; toolgate status waits longer, ss -ltnp says who listens",
];
/// The finding is what the gateway says.
static REFUSED: [Row; 4] = [
    [CLOSED, "%", "look as root or as its user, or name its secret with --token-file"],
    [CLOSED, "%", "mend the file, or name the gateway's secret with --token-file"],
    [CLOSED, "%", "only the proxy can ask it; set gateway.auth.password for callers of this device"],
    [CLOSED, "%", "add \"gateway_status\" to tools.allow; toolgate explain gateway_status says which step refuses it"],
];
const CLOSED: &str = "one runs at %, but does not say how it is; what follows is what would be";

/// What to say where no report came, and how bad it is. `there` says that the connection was taken, `named` that the command
/// line names the gateway.
fn verdict(fault: &Fault, there: bool, known: Known, named: bool) -> (Level, &'static Row) {
    match fault {
        Fault::Refused(text) | Fault::Usage(text) => {
            let row = if text.starts_with("not_found") { 3 } else { known as usize };
            (Level::Warning, &REFUSED[row])
        }
        Fault::Silent(_) => (Level::Warning, &SILENT),
        _ if there => (Level::Critical, &FOREIGN),
        _ if known == Known::Nothing && !named => (Level::Note, &ELSEWHERE),
        _ => (Level::Note, &NOBODY),
    }
}

/// Whether the gateway that runs is what is installed and configured.
#[inline(never)]
fn running(chart: &mut Chart, file: Option<&Path>, report: &RawValue) {
    const ABOUT: &str = "gateway";
    let keys = ["version", "user", "uptime_s", "last_reload", "last_errors", "config", "config_age_s"];
    let [version, user, uptime, reload, errors, theirs, age] = call::pick(report, keys);
    let version = version.and_then(plain).unwrap_or_default();
    let [uptime, age] = [uptime, age].map(|count| count.and_then(|count| count.get().parse::<u64>().ok()));
    let uptime = uptime.unwrap_or_default();
    chart.fact(ABOUT, "version %, up %", &[&version, &span(uptime)]);
    chart.json.string("version", &version).count("uptime_s", uptime);
    let own = env!("CARGO_PKG_VERSION");
    if version != own {
        let fix = "restart it: systemctl restart toolgate";
        chart.warn(ABOUT, "another version runs than is installed, %", &[own], fix);
    }
    if user.is_some_and(|user| user.get() == "0") {
        let fix = "give it a user of its own, as the Debian package's unit does";
        chart.note(ABOUT, "it runs as root, which it does not need", &[], fix);
    }
    if let Some(age) = age {
        config(chart, file, &theirs.and_then(plain).unwrap_or_default(), age);
    }
    if let Some(reload) = reload {
        // Lists as they stand: whatever could control anything is escaped in them.
        let keys = ["ok", "findings", "needs_restart"];
        let [ok, findings, held] = call::pick(reload, keys).map(|json| json.map_or("", RawValue::get));
        if ok == "false" {
            let message = "the last reload was refused, nothing changed: %";
            chart.warn(ABOUT, message, &[findings], "mend what it names, then reload");
        }
        if held.len() > "[]".len() {
            chart.warn(ABOUT, "changed, but not in force: %", &[held], "restart it: systemctl restart toolgate");
        }
    }
    let errors = errors.and_then(items).unwrap_or_default();
    if let Some(latest) = errors.last() {
        let [event] = call::pick(latest, ["event"]);
        let event = event.and_then(plain).unwrap_or_default();
        chart.note(ABOUT, "its log holds warnings, the latest: %", &[&event], "toolgate status lists them");
    }
}

/// A listener, or one to be.
#[derive(Debug, PartialEq, Eq)]
struct Listener {
    /// Address and port, or `unix:` and a path.
    address: String,
    /// The interface it is bound to; empty when it is bound to none.
    device: String,
    /// Whether it is meant for the tailnet. Not every kernel lets the gateway bind such a one.
    tailnet: bool,
}

/// The listeners that `bind` would open.
#[inline(never)]
fn planned(bind: Bind, config: &Config, wires: &[Interface]) -> Vec<Listener> {
    let Tailnet { interface, prefixes, .. } = &config.gateway.tailnet;
    let port = config.gateway.port.unwrap_or(PORT_DEFAULT);
    let mut all = Vec::new();
    let mut add = |ip: IpAddr, device: &str| {
        all.push(Listener {
            address: SocketAddr::new(ip, port).to_string(),
            device: device.to_owned(),
            tailnet: false,
        });
    };
    match bind {
        Bind::Custom(ip) => add(ip.into(), ""),
        Bind::Auto | Bind::Lan if bind == Bind::Lan || listen::contained(Path::new("/")) => {
            add(Ipv4Addr::UNSPECIFIED.into(), "");
        }
        Bind::Auto | Bind::Lan | Bind::Loopback | Bind::Tailnet => {
            add(Ipv4Addr::LOCALHOST.into(), "");
            add(Ipv6Addr::LOCALHOST.into(), "");
        }
    }
    for wire in wires.iter().filter(|wire| bind == Bind::Tailnet && wire.name == *interface) {
        for ip in &wire.addrs {
            if prefixes.iter().any(|net| net.contains(*ip)) {
                add(*ip, interface);
            }
        }
    }
    if let Some(path) = &config.gateway.tailnet.serve_socket {
        all.push(Listener { address: ["unix:", path].concat(), device: String::new(), tailnet: false });
    }
    all
}

/// The listeners that a gateway says it has.
#[inline(never)]
fn told(report: &RawValue) -> (Vec<Listener>, Option<&RawValue>) {
    let [base, tailnet] = call::pick(report, ["listeners", "tailnet"]);
    let mut all = Vec::new();
    for address in base.and_then(items).unwrap_or_default() {
        let Some(address) = plain(address) else { continue };
        all.push(Listener { address, device: String::new(), tailnet: false });
    }
    let bound = tailnet.and_then(|tailnet| items(call::pick(tailnet, ["listeners"])[0]?)).unwrap_or_default();
    for listener in bound {
        let [address, device] = call::pick(listener, ["address", "interface"]).map(|text| text.and_then(plain));
        let Some(address) = address else { continue };
        // It stands in both lists.
        all.retain(|known: &Listener| known.address != address);
        all.push(Listener { address, device: device.unwrap_or_default(), tailnet: true });
    }
    (all, tailnet)
}

/// To whom a listener is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    /// To whom it is meant for.
    Meant,
    /// To a network.
    Network,
    /// To a network, though it seems to be for the tailnet.
    Weak,
    /// To whoever reaches the device.
    World,
}

/// The interface of a listener, who can reach it in words, and whether that is meant. `tun` says that tailnet peers come by
/// an interface, if there are any.
#[inline(never)]
fn reach<'a>(listener: &'a Listener, wires: &'a [Interface], tailnet: &Tailnet, tun: bool) -> (&'a str, String, Open) {
    let Listener { address, device, .. } = listener;
    let ip = address.parse::<SocketAddr>().map(|address| address.ip());
    let mut name = "";
    for wire in wires {
        if ip.as_ref().is_ok_and(|ip| wire.addrs.contains(ip)) {
            name = &wire.name;
        }
    }
    let (words, open) = match ip {
        _ if !device.is_empty() => {
            name = device;
            ("peers of your tailnet, by %", Open::Meant)
        }
        Err(_) => ("tailscaled, for what tailscale serve passes on", Open::Meant),
        Ok(ip) if ip.is_loopback() => {
            if name.is_empty() {
                name = "lo";
            }
            let also = "programs on this device, and through Tailscale without an interface every peer of your tailnet";
            (if tun { "programs on this device" } else { also }, Open::Meant)
        }
        Ok(ip) if ip.is_unspecified() => {
            name = "*";
            ("everybody who reaches this device, on any of its networks", Open::World)
        }
        Ok(ip) if name == tailnet.interface || tailnet.prefixes.iter().any(|net| net.contains(ip)) => {
            ("peers of your tailnet, and whoever on another network routes this address to the device", Open::Weak)
        }
        Ok(_) if name.is_empty() => (
            "no interface that is up has this address, but Linux answers whoever asks for it on any other",
            Open::Network,
        ),
        Ok(_) => ("everybody on the network of %, and whoever routes to it", Open::Network),
    };
    (name, filled(words, &mut [name].iter()), open)
}

/// What `run` would do at its start and cannot. The listeners are open for a moment only.
#[inline(never)]
pub(super) fn rehearse(chart: &mut Chart, settled: &Settled) {
    const ABOUT: &str = "listeners";
    let gateway = &settled.loaded.config.gateway;
    if let Err(text) = listen::open(settled.bind, gateway.port.unwrap_or(PORT_DEFAULT)) {
        chart.told(Level::Critical, ABOUT, &text, "choose another gateway.bind or gateway.port");
    }
    let closed = gateway.tailnet.serve_socket.as_deref().map(|path| listen::closed(Path::new(path), true));
    if let Some(Err(text)) = closed {
        chart.told(Level::Warning, ABOUT, &text, "");
    }
}

/// Every listener and who can reach it; of the gateway that runs, else of what would be opened.
#[inline(never)]
pub(super) fn listeners(chart: &mut Chart, seen: &Outlook, config: &Config, bind: Bind, details: Option<&str>) {
    const ABOUT: &str = "listeners";
    let wires = seen.wires.as_deref().unwrap_or_default();
    let report = details.and_then(|details| serde_json::from_str::<&RawValue>(details).ok());
    let (all, tailnet) = match report {
        Some(report) => told(report),
        None => (planned(bind, config, wires), None),
    };
    let tun = seen.tailscale.as_ref().map_or(true, |status| status.tun);
    let fix = "gateway.bind: \"tailnet\", or \"loopback\" and tailscale serve";
    chart.json.key(ABOUT).raw("[");
    for listener in &all {
        let (interface, words, open) = reach(listener, wires, &config.gateway.tailnet, tun);
        let Listener { address, device, .. } = listener;
        chart.json.raw("{").string("address", address).string("interface", interface).string("reach", &words);
        chart.json.flag("bound", !device.is_empty()).close("}");
        let on = if interface.is_empty() { String::new() } else { [" (", interface, ")"].concat() };
        chart.fact(ABOUT, "%%: %", &[address, &on, &words]);
        match open {
            Open::Meant => {}
            Open::Network => {
                chart.warn(ABOUT, "% is open to a whole network, where nothing encrypts what is said", &[address], fix)
            }
            Open::Weak => {
                let message = "% is an address of the tailnet, but the listener is not bound to its interface: Linux answers \
                    whoever sends packets for it, by whatever interface they come";
                let fix = match listener.tailnet {
                    true => "Linux 5.7 or later, or AmbientCapabilities=CAP_NET_RAW in the unit",
                    false => "gateway.bind: \"tailnet\"",
                };
                chart.warn(ABOUT, message, &[address], fix);
            }
            Open::World => chart.warn(ABOUT, "% is open on every network of this device", &[address], fix),
        }
    }
    chart.json.close("]");
    if seen.wires.is_none() {
        chart.warn(
            ABOUT,
            "the kernel does not say in time which interfaces there are",
            &[],
            "see whether ip address hangs too",
        );
    }
    if listen::contained(Path::new("/")) {
        let fix = "publish it as 127.0.0.1:18789:18789, or only to where it is meant for";
        chart.note(ABOUT, "in a container, a published port is open whatever gateway.bind says", &[], fix);
    }
    if let Some(tailnet) = tailnet {
        let [state, why, trouble] = call::pick(tailnet, ["state", "why", "trouble"]).map(|text| text.and_then(plain));
        let state = state.unwrap_or_default();
        if state != "off" && (state != "listening" || why.is_some()) {
            let why = why.unwrap_or_default();
            let fix = "see what is said of tailscale; the gateway takes it up by itself";
            chart.warn(ABOUT, "not all of the tailnet is served (%): %", &[&state, &why], fix);
        }
        if let Some(trouble) = trouble.filter(|_| state != "off") {
            chart.warn(ABOUT, "tailscaled, says the gateway: %", &[&trouble], "see what is said of tailscale");
        }
    }
}

/// What to do about a state of tailscaled.
fn remedy(backend: &str) -> &'static str {
    match backend {
        "NeedsLogin" | "Stopped" => "tailscale up",
        "NeedsMachineAuth" => "approve this device in the tailnet's admin console",
        _ => "wait a moment, then look again; journalctl -u tailscaled says more",
    }
}

/// When the tailnet will be gone.
#[inline(never)]
fn expires(chart: &mut Chart, expiry: &str) {
    // Both are UTC and begin with the date, so they sort as text.
    let soon = tool::iso(Now::read().wall_ms.saturating_add(KEY_EXPIRY_SOON_MS));
    let level = if expiry < soon.as_str() { Level::Warning } else { Level::Note };
    let fix = "disable key expiry for this device in the tailnet's admin console, or tailscale up --force-reauth";
    chart.find(level, "tailscale", "its key expires at %; then nobody reaches it by the tailnet", &[expiry], fix);
}

/// How this device is on its tailnet. `bound` says that listeners are to be there.
#[inline(never)]
pub(super) fn tailscale(chart: &mut Chart, seen: &Outlook, config: &Config, bound: bool) {
    const ABOUT: &str = "tailscale";
    let Tailnet { interface, local_api, prefixes, serve_socket } = &config.gateway.tailnet;
    let wanted = bound
        || serve_socket.is_some()
        || !config.rules.tailnet.allow.is_empty()
        || config.rules.tailnet.capability.is_some();
    chart.json.key(ABOUT).raw("{");
    let status = match &seen.tailscale {
        Ok(status) => status,
        Err(missing) => {
            let why = match missing {
                Missing::Absent => "tailscaled does not run",
                Missing::Failed(why) => why,
            };
            chart.json.key("state").raw("null").string("why", why).close("}");
            chart.fact(ABOUT, "%%", &[why, if wanted { "" } else { ", and nothing is configured that needs it" }]);
            if wanted {
                let message = "tailscaled does not answer at %, so no peer of the tailnet is served or known";
                let fix = "install it, tailscale up, or name its socket in gateway.tailnet.localApi";
                chart.warn(ABOUT, message, &[local_api], fix);
            }
            return;
        }
    };
    let ips: Vec<String> = status.ips.iter().map(IpAddr::to_string).collect();
    let name = status.dns_name.as_deref();
    chart.json.string("state", &status.backend).flag("tun", status.tun).texts("ips", ips.iter().map(String::as_str));
    let expiry = status.key_expiry.as_deref();
    chart.json.maybe("name", name).maybe("key_expiry", expiry).string("version", &status.version);
    chart.json.texts("health", status.health.iter().map(String::as_str)).close("}");
    chart.fact(
        ABOUT,
        "%, % %, version %",
        &[&status.backend, name.unwrap_or("no name"), &ips.join(" "), &status.version],
    );
    // Who does not use it need not mend it.
    let level = if wanted { Level::Warning } else { Level::Note };
    let running = status.backend == "Running";
    if !running {
        chart.find(level, ABOUT, "it is not connected: %", &[&status.backend], remedy(&status.backend));
    }
    if let Some(expiry) = expiry.filter(|_| wanted) {
        expires(chart, expiry);
    }
    if !status.tun {
        let message = "it has no interface (userspace networking): every peer seems to be a program of this device, and bind \
            tailnet has nothing to bind to";
        let fix = "run tailscaled with its interface, or tailscale serve to gateway.tailnet.serveSocket";
        chart.warn(ABOUT, message, &[], fix);
    }
    let outside = status.ips.iter().any(|ip| !prefixes.iter().any(|net| net.contains(*ip)));
    if outside && wanted {
        let message =
            "this device's own address there is outside gateway.tailnet.prefixes, so its peers are turned away";
        let fix = "name your tailnet's blocks in gateway.tailnet.prefixes (Headscale: prefixes in its configuration)";
        chart.warn(ABOUT, message, &[], fix);
    }
    let wires = seen.wires.as_deref().unwrap_or_default();
    if bound && running && status.tun && !wires.iter().any(|wire| wire.name == *interface) {
        let own = wires.iter().find(|wire| wire.addrs.iter().any(|ip| status.ips.contains(ip)));
        let fix = own.map_or("tailscale up".into(), |own| ["gateway.tailnet.interface: \"", &own.name, "\""].concat());
        chart.warn(ABOUT, "there is no interface % that is up", &[interface, &fix], "%");
    }
    for complaint in &status.health {
        chart.find(level.min(Level::Warning), ABOUT, "it complains: %", &[complaint], "tailscale status says more");
    }
}

/// Whether what is passed on to `to` comes to a gateway at `port` of this device, or at the socket `serve`.
#[inline(never)]
fn ours(to: &str, port: u16, serve: Option<&str>, wires: &[Interface]) -> bool {
    if let Some(path) = to.strip_prefix("unix:") {
        return Some(path) == serve;
    }
    let place = to.split_once("://").map_or(to, |(_, place)| place);
    let place = place.split('/').next().unwrap_or_default();
    match place.parse::<SocketAddr>() {
        Ok(at) => {
            let ip = at.ip();
            at.port() == port && (ip.is_loopback() || wires.iter().any(|wire| wire.addrs.contains(&ip)))
        }
        Err(_) => place.strip_prefix("localhost:").unwrap_or(place).parse() == Ok(port),
    }
}

/// What tailscaled passes on to this gateway, from whom. `free` says that no secret is asked for.
#[inline(never)]
pub(super) fn forwards(chart: &mut Chart, seen: &Outlook, config: &Config, free: bool) {
    const ABOUT: &str = "tailscale";
    let (wires, serve) = (seen.wires.as_deref().unwrap_or_default(), config.gateway.tailnet.serve_socket.as_deref());
    let port = config.gateway.port.unwrap_or(PORT_DEFAULT);
    let all = match &seen.forwards {
        Ok(all) => all.iter().filter(|way| ours(&way.to, port, serve, wires)).collect(),
        Err(Missing::Absent) => Vec::new(),
        Err(Missing::Failed(why)) => {
            let message = "tailscaled does not say what it passes on: %";
            chart.note(ABOUT, message, &[why], "tailscale serve status says it");
            Vec::new()
        }
    };
    for Forward { port, funnel, bytes, to } in &all {
        let port = port.to_string();
        let (word, whom) = if *funnel { ("funnel", "the internet") } else { ("serve", "your tailnet") };
        chart.fact(ABOUT, "% passes what % sends to port % on to %", &[word, whom, &port, to]);
        if *bytes {
            let level = if *funnel || free { Level::Critical } else { Level::Warning };
            let message =
                "whoever comes by % --tcp counts as a program of this device, and may guess the secret for ever";
            chart.find(level, ABOUT, message, &[word, word, &port], "tailscale % --tcp=% off, or --tls-terminated-tcp");
        } else if *funnel {
            let message =
                "this gateway refuses all that comes by funnel, so port % is open to the internet for nothing";
            chart.warn(ABOUT, message, &[&port, &port], "tailscale funnel --https=% off");
        } else if free && (config.rules.tailnet.allow.is_empty() || !to.starts_with("unix:")) {
            let message = "no secret is asked for, so all of your tailnet may call what programs of this device may";
            chart.find(Level::Critical, ABOUT, message, &[], "gateway.auth.mode: \"token\"");
        }
    }
    if let (Some(serve), Ok(_)) = (serve, &seen.forwards)
        && !all.iter().any(|way| way.to.starts_with("unix:"))
    {
        let message = "gateway.tailnet.serveSocket is configured, but nothing is passed on to it";
        chart.note(ABOUT, message, &[serve], "tailscale serve --bg unix:%");
    }
}

#[cfg(test)]
mod tests;
