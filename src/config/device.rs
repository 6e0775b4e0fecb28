//! `tools.device` → the targets of built-in tools. Pure. Source: contract cli.md, edge.md §3.
//!
//! A target is a promise to a caller who is not trusted with more, so what is doubtful is refused here, where the operator
//! still looks. The walk has reported values of the wrong kind; here they count as absent. No finding quotes a text that
//! may hold credentials.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::fill::{At, texts};
use super::node::{Node, made_of, quoted};
use super::secrets;
use super::{Findings, Held};
use crate::gate::peer::Net;
use crate::limits::MQTT_PORT_DEFAULT;
use crate::tool::shape::{INTERFACE, Shape, UNIT};
use crate::tool::targets::{Broker, Direction, Hidden, Home, Line, Place, Sleeper, Targets};
use crate::tool::url::bracketed;

/// What callers call a machine or a line by.
const NAME: Shape = Shape {
    pattern: "^[A-Za-z0-9_.-]+$",
    must: "be a name of letters, digits, _ . and -",
    matches: |text| !text.is_empty() && made_of(text, "_.-"),
};

/// Units by which the operator reaches the device, without what follows the first dot or @, beside those that begin
/// with `network`. Source: edge.md §3, service_restart.
static VITAL: &[&str] = &[
    "NetworkManager",
    "dhcpcd",
    "dropbear",
    "ssh",
    "sshd",
    "systemd-networkd",
    "tailscale",
    "tailscaled",
    "toolgate",
    "wpa_supplicant",
];

/// Directories that hold no files but the kernel's own values and devices.
static UNREAL: &[&str] = &["dev", "proc", "sys"];

/// Domains of Home Assistant that open doors or run anything: each of their services wants to be named.
static EXACT: &[&str] = &["alarm_control_panel", "hassio", "homeassistant", "lock", "shell_command"];

/// What no probe reaches, whatever is allowed. Source: edge.md §3, target policy.
static DENIED: &[Net] = &[
    v4(0, 0, 0, 0, 8),
    v4(127, 0, 0, 0, 8),
    v4(169, 254, 0, 0, 16),
    v4(224, 0, 0, 0, 4),
    v4(255, 255, 255, 255, 32),
    v4(100, 100, 100, 100, 32),
    v6([0, 0, 0, 0, 0, 0, 0, 0], 128),
    v6([0, 0, 0, 0, 0, 0, 0, 1], 128),
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8),
    v6([0xfd7a, 0x115c, 0xa1e0, 0, 0, 0, 0, 0x53], 128),
];

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Net {
    Net { addr: IpAddr::V4(Ipv4Addr::new(a, b, c, d)), prefix }
}

const fn v6(s: [u16; 8], prefix: u8) -> Net {
    let [a, b, c, d, e, f, g, h] = s;
    Net { addr: IpAddr::V6(Ipv6Addr::new(a, b, c, d, e, f, g, h)), prefix }
}

/// Every target that the document names, and the secrets among them, whose places are still empty.
#[inline(never)]
pub(super) fn targets(root: &Node, kept: &[String], findings: &mut Findings) -> (Targets, Vec<Held>) {
    let mut reader = Reader { root, kept, named: Vec::new(), held: Vec::new(), findings };
    reader.named = texts(reader.at("service_restart.units").node);
    let restart_critical = reader.list("service_restart.critical", Reader::critical_unit);
    reader.named = texts(reader.at("service_restart.critical").node);
    let targets = Targets {
        allow: reader.networks(),
        leases: reader.at("dhcp_leases").flag("enabled", false),
        roots: reader.list("file_read.roots", Reader::directory),
        fetch: reader.list("http_fetch.hosts", Reader::web_host),
        gpio: reader.lines(),
        home: reader.home(),
        log_units: reader.list("log_tail.units", Reader::unit),
        log_files: reader.list("log_tail.files", Reader::file),
        mqtt: reader.broker(),
        reboot: reader.at("device_reboot").flag("enabled", false),
        restart: reader.list("service_restart.units", Reader::restarted_unit),
        restart_critical,
        wake: reader.sleepers(),
    };
    (targets, reader.held)
}

struct Reader<'a> {
    root: &'a Node,
    /// The paths of texts that kept a placeholder.
    kept: &'a [String],
    /// The units of that list of `service_restart` which is not being read.
    named: Vec<String>,
    held: Vec<Held>,
    findings: &'a mut Findings,
}

impl<'a> Reader<'a> {
    /// The place of a key below `tools.device`, parted by dots.
    #[inline(never)]
    fn at(&self, path: &str) -> At<'a> {
        let path = ["tools.device.", path].concat();
        At { node: path.split('.').try_fold(self.root, |node, key| node.get(key)), path }
    }

    /// Reports what is absent or blank.
    #[inline(never)]
    fn missing(&mut self, at: &At<'_>) -> bool {
        let missing = match at.node {
            None => true,
            Some(node) => node.text().is_some_and(|text| text.trim().is_empty()),
        };
        if missing {
            self.findings.error(&at.path, "required here");
        }
        missing
    }

    /// Text that must be there.
    #[inline(never)]
    fn text<'n>(&mut self, at: &At<'n>) -> Option<&'n str> {
        if self.missing(at) { None } else { at.text() }
    }

    /// Reports `message` and gives nothing.
    fn refuse<T>(&mut self, at: &At<'_>, message: &str) -> Option<T> {
        self.findings.error(&at.path, message);
        None
    }

    fn list(&mut self, path: &str, read: fn(&mut Self, &At<'_>) -> Option<String>) -> Vec<String> {
        let mut list = Vec::new();
        for item in self.at(path).items() {
            if let Some(text) = read(self, &item) {
                list.push(text);
            }
        }
        list
    }

    /// `text`, which stands at `at`, when it has the shape and no more than `most` characters.
    fn shaped(&mut self, text: &str, at: &At<'_>, shape: &Shape, most: usize) -> Option<String> {
        if !(shape.matches)(text) {
            return self.refuse(at, &["must ", shape.must].concat());
        }
        if text.len() > most {
            return self.refuse(at, &["must have at most ", &most.to_string(), " characters"].concat());
        }
        Some(text.to_owned())
    }

    fn unit(&mut self, at: &At<'_>) -> Option<String> {
        let text = self.text(at)?;
        self.shaped(text, at, &UNIT, 128)
    }

    /// One that may be restarted. What a slip would make unreachable wants to be named in both lists.
    fn restarted_unit(&mut self, at: &At<'_>) -> Option<String> {
        let unit = self.unit(at)?;
        let stem = unit.split(['.', '@']).next().unwrap_or_default();
        if (stem.starts_with("network") || VITAL.contains(&stem)) && !self.other_names(&unit) {
            return self.refuse(
                at,
                "without it you may not reach this device again; name it in critical as well, if you mean it",
            );
        }
        Some(unit)
    }

    fn other_names(&self, unit: &str) -> bool {
        self.named.iter().any(|named| named.trim() == unit)
    }

    fn critical_unit(&mut self, at: &At<'_>) -> Option<String> {
        let unit = self.unit(at)?;
        if !self.other_names(&unit) {
            self.findings.warn(&at.path, "this permits nothing until units names it as well");
        }
        Some(unit)
    }

    fn file(&mut self, at: &At<'_>) -> Option<String> {
        match at.text() {
            Some(text) if text.starts_with('/') && text.ends_with('/') => {
                self.refuse(at, "expected a file, not a directory")
            }
            _ => self.directory(at),
        }
    }

    fn directory(&mut self, at: &At<'_>) -> Option<String> {
        let text = self.text(at)?;
        if !text.starts_with('/') {
            return self.refuse(at, "expected an absolute path, such as /var/log/app");
        }
        let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty()).collect();
        if parts.iter().any(|part| matches!(*part, "." | "..")) {
            return self.refuse(at, "a path is written here without . and ..");
        }
        match parts.first() {
            None => self.refuse(at, "this is everything on the device; name what lies below it"),
            Some(first) if UNREAL.contains(first) => {
                self.refuse(at, "what lies here are the kernel's values and devices, not files; name another place")
            }
            Some(_) => Some(["/", &parts.join("/")].concat()),
        }
    }

    #[inline(never)]
    fn sleepers(&mut self) -> Vec<Sleeper> {
        let mut sleepers = Vec::new();
        for (name, at) in self.at("wake_on_lan.hosts").entries() {
            let name = self.shaped(name, &at, &NAME, 64);
            if !matches!(at.node, Some(Node::Map(_))) {
                continue;
            }
            let mac = self.mac(&at.key("mac"));
            let interface = at.key("interface");
            let interface = interface.text().and_then(|text| self.shaped(text, &interface, &INTERFACE, 15));
            if let (Some(name), Some(mac)) = (name, mac) {
                sleepers.push(Sleeper { name, mac, interface });
            }
        }
        sleepers
    }

    #[inline(never)]
    fn mac(&mut self, at: &At<'_>) -> Option<[u8; 6]> {
        let text = self.text(at)?;
        let Some(mac) = hardware_address(text) else {
            let message = ["expected a hardware address such as 00:11:22:aa:bb:cc, got ", &quoted(text)].concat();
            return self.refuse(at, &message);
        };
        match mac {
            [0, 0, 0, 0, 0, 0] => self.refuse(at, "no machine has the address zero"),
            [first, ..] if first & 1 == 1 => self.refuse(at, "this is a group's address; name the machine's own"),
            _ => Some(mac),
        }
    }

    #[inline(never)]
    fn lines(&mut self) -> Vec<Line> {
        let mut lines = Vec::new();
        for (name, at) in self.at("gpio.lines").entries() {
            let name = self.shaped(name, &at, &NAME, 64);
            if !matches!(at.node, Some(Node::Map(_))) {
                continue;
            }
            let chip = at.key("chip");
            let label = self.text(&chip);
            if label.is_some_and(|label| label.contains("gpiochip")) {
                let message = "a chip is found by its label, such as pinctrl-bcm2711; gpiochip numbers change";
                self.findings.warn(&chip.path, message);
            }
            let place = self.place(&at.key("line"));
            let direction = match self.text(&at.key("direction")) {
                Some("in") => Some(Direction::In),
                Some("out") => Some(Direction::Out),
                _ => None,
            };
            if let (Some(name), Some(label), Some(place), Some(direction)) = (name, label, place, direction) {
                let active_low = at.flag("activeLow", false);
                lines.push(Line { name, chip: label.to_owned(), place, direction, active_low });
            }
        }
        lines
    }

    #[inline(never)]
    fn place(&mut self, at: &At<'_>) -> Option<Place> {
        if let Some(Node::Int(offset)) = at.node {
            return u32::try_from(*offset).ok().map(Place::Offset);
        }
        let text = self.text(at)?;
        if text.bytes().all(|b| b.is_ascii_digit()) {
            self.findings.warn(&at.path, "in quotes this is a line's name; an offset stands without them");
        }
        Some(Place::Named(text.to_owned()))
    }

    #[inline(never)]
    fn networks(&mut self) -> Vec<Net> {
        let mut nets = Vec::new();
        for item in self.at("net.allow").items() {
            let Some(text) = self.text(&item) else { continue };
            let Some(net) = Net::parse(text) else {
                let message = [&quoted(text), " is no address and no CIDR block, such as 192.168.1.0/24"];
                self.findings.wrong(&item.path, &message);
                continue;
            };
            if net.prefix == 0 {
                self.findings.warn(&item.path, "this block holds every address: probes may go anywhere");
            } else if DENIED.iter().any(|denied| denied.prefix <= net.prefix && denied.contains(net.addr)) {
                self.findings.warn(&item.path, "these addresses stay denied, whatever is named here");
            }
            nets.push(net);
        }
        nets
    }

    #[inline(never)]
    fn broker(&mut self) -> Option<Broker> {
        let Some(Node::Map(_)) = self.at("mqtt_publish").node else { return None };
        let address = self.broker_address();
        let (user, password) = (self.at("mqtt_publish.username"), self.at("mqtt_publish.password"));
        let username = user.text().map(str::to_owned);
        if username.is_none() && password.node.is_some() {
            self.findings.error(&user.path, "required beside a password");
        }
        let password = self.secret(&password);
        let topics = self.list("mqtt_publish.topics", Reader::topic);
        let (host, port) = address?;
        Some(Broker { host, port, username, password, topics })
    }

    #[inline(never)]
    fn broker_address(&mut self) -> Option<(String, u16)> {
        let at = &self.at("mqtt_publish.broker");
        let text = self.text(at)?.to_ascii_lowercase();
        if ["mqtts://", "ssl://", "tls://", "wss://"].iter().any(|scheme| text.starts_with(scheme)) {
            return self
                .refuse(at, "this build speaks no TLS; name the broker's plain port, such as mqtt://broker.lan:1883");
        }
        let plain = text.strip_prefix("mqtt://").map_or(text.as_str(), |rest| rest.strip_suffix('/').unwrap_or(rest));
        match endpoint(plain) {
            Some((host, port)) => Some((host, port.unwrap_or(MQTT_PORT_DEFAULT))),
            None => {
                self.refuse(at, "expected host, host:port or mqtt://host:port; a user goes into username and password")
            }
        }
    }

    fn topic(&mut self, at: &At<'_>) -> Option<String> {
        let text = self.text(at)?;
        if text.contains(['+', '#']) {
            return self.refuse(at, "a prefix of topics holds no + and no #; home/ permits everything below home");
        }
        Some(text.to_owned())
    }

    fn web_host(&mut self, at: &At<'_>) -> Option<String> {
        let text = self.text(at)?.to_ascii_lowercase();
        let Some((host, port)) = endpoint(&text) else {
            return self
                .refuse(at, "expected printer.lan or printer.lan:8080: a host without scheme, user, path and *");
        };
        let host = bracketed(&host);
        Some(match port {
            Some(port) => [&host, ":", &port.to_string()].concat(),
            None => host,
        })
    }

    #[inline(never)]
    fn home(&mut self) -> Option<Home> {
        let Some(Node::Map(_)) = self.at("home_assistant").node else { return None };
        let address = self.home_address();
        let token = self.at("home_assistant.token");
        let token = if self.missing(&token) { None } else { self.secret(&token) };
        let allow = self.list("home_assistant.allow", Reader::service);
        let ((host, port), token) = (address?, token?);
        Some(Home { host, port, token, allow })
    }

    #[inline(never)]
    fn home_address(&mut self) -> Option<(String, u16)> {
        let at = &self.at("home_assistant.url");
        let text = self.text(at)?.to_ascii_lowercase();
        if text.starts_with("https://") {
            let message =
                "this build speaks no TLS; name Home Assistant's plain address, such as http://192.168.1.20:8123";
            return self.refuse(at, message);
        }
        let plain = text.strip_prefix("http://").map(|rest| rest.strip_suffix('/').unwrap_or(rest));
        let Some((host, port)) = plain.and_then(endpoint) else {
            return self
                .refuse(at, "expected http://host:port without user and path, such as http://192.168.1.20:8123");
        };
        if port.is_none() {
            self.findings.warn(&at.path, "without a port this is port 80; Home Assistant itself listens on 8123");
        }
        Some((host, port.unwrap_or(80)))
    }

    fn service(&mut self, at: &At<'_>) -> Option<String> {
        let text = self.text(at)?;
        let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        let plain = |text: &str| !text.is_empty() && text.bytes().all(word);
        let (domain, service) = text.split_once('.').unwrap_or_default();
        if !plain(domain) || !(service == "*" || plain(service)) {
            return self.refuse(at, "expected domain.service or domain.*, such as switch.turn_on or light.*");
        }
        if service == "*" && EXACT.contains(&domain) {
            return self
                .refuse(at, "this domain opens doors or runs anything; name each of its services, such as lock.lock");
        }
        Some(text.to_owned())
    }

    #[inline(never)]
    fn secret(&mut self, at: &At<'_>) -> Option<Hidden> {
        secrets::hold(at.node?, &at.path, self.kept, self.root, &mut self.held, self.findings)
    }
}

/// Six bytes in hexadecimal, parted by colons or by dashes.
fn hardware_address(text: &str) -> Option<[u8; 6]> {
    let part = if text.contains('-') { '-' } else { ':' };
    let mut mac = [0; 6];
    let mut parts = text.split(part);
    for byte in &mut mac {
        let digits = parts.next().filter(|digits| digits.len() == 2 && !digits.starts_with('+'))?;
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    parts.next().is_none().then_some(mac)
}

/// `host`, `host:port`, `[v6]` or `[v6]:port` in lower case: the host without brackets and trailing dot, and the port.
fn endpoint(text: &str) -> Option<(String, Option<u16>)> {
    if let Ok(addr) = text.parse::<IpAddr>() {
        return Some((addr.to_canonical().to_string(), None));
    }
    let (host, rest) = match text.strip_prefix('[') {
        Some(inner) => inner.split_once(']')?,
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let port = match rest.strip_prefix(':') {
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            Some(digits.parse::<u16>().ok().filter(|port| *port > 0)?)
        }
        Some(_) => return None,
        None if rest.is_empty() => None,
        None => return None,
    };
    if let Ok(addr) = host.parse::<IpAddr>() {
        // Brackets are for addresses with colons.
        return (addr.is_ipv6() == text.starts_with('[')).then(|| (addr.to_canonical().to_string(), port));
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    let named = |label: &str| !label.is_empty() && made_of(label, "-_") && !label.starts_with('-');
    // A name whose last label is a number is another spelling of an address, 127.1 for instance.
    let number = host.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    let fits = !text.starts_with('[') && host.len() <= 253 && host.split('.').all(named) && !number;
    fits.then(|| (host.to_owned(), port))
}

#[cfg(test)]
#[path = "device_tests.rs"]
mod tests;
