//! The table of tools. A new tool is a row here, in its place by name, and a handler in the file of its family.

use super::schema::{Kind, Param};
use super::shape;
use super::{Run, Tier, Tool};
use super::{agents, clock, device, files, gateway, gpio, home, leases, logs, mqtt, neighbors, network, probe};
use super::{service, sessions, storage, tailscale, thermal, wake, web};
use crate::limits::{
    FETCH_BYTES, FETCH_BYTES_CEILING, FETCH_FIELD_CHARS, FETCH_FIELDS, FETCH_URL_CHARS, FILE_LIST_CEILING,
    FILE_LIST_DEFAULT, FILE_READ_BYTES_CEILING, FILE_READ_BYTES_DEFAULT, GPIO_PULSE_MS, LOG_TAIL_LINES_CEILING,
    LOG_TAIL_LINES_DEFAULT, LOG_TAIL_SINCE_S, MQTT_PAYLOAD_CHARS, TOOL_TEXT_CHARS,
};

/// Every built-in tool, sorted by name.
pub static TOOLS: [Tool; 31] = [
    Tool {
        name: "agents_list",
        group: "agents",
        summary: "The agents this session may name",
        run: Run::Now(agents::list),
        ..REFERENCE
    },
    Tool {
        name: "device_reboot",
        tier: Tier::Break,
        summary: "Restart this device",
        params: &[
            required("confirm", Kind::Text { min: 1, max: 64, shape: None }, "This device's host name"),
            optional("delay_s", Kind::Integer { min: 2, max: 3600, default: Some(5) }, "Seconds until it restarts"),
        ],
        present: service::rebootable,
        run: Run::Now(service::reboot),
        would: Some(service::would_reboot),
        ..OBSERVE
    },
    Tool {
        name: "device_status",
        summary: "Uptime, load, memory, processors, model, system and kernel of this device",
        present: device::present,
        run: Run::Now(device::status),
        ..OBSERVE
    },
    Tool {
        name: "dhcp_leases",
        group: "net",
        summary: "The devices that this machine's DHCP server gave an address to",
        params: &[
            optional("mac", Kind::Text { min: 1, max: 17, shape: Some(shape::MAC) }, "Only this hardware address"),
            optional(
                "hostname",
                Kind::Text { min: 1, max: 253, shape: Some(shape::HOST) },
                "Only devices of this name",
            ),
        ],
        present: leases::present,
        run: Run::Now(leases::leases),
        ..PROBE
    },
    Tool {
        name: "dns_lookup",
        summary: "DNS records of a name, from the device's name servers or from one nearby",
        params: &[
            required("name", HOST, "The name; for PTR an address will do"),
            optional(
                "type",
                Kind::Preset(&["A", "AAAA", "CNAME", "PTR", "TXT", "SRV", "MX"]),
                "The type of the records",
            ),
            optional("server", HOST, "The name server to ask; the device's own when absent"),
            millis(100, 10_000, 3_000, "When to give up"),
        ],
        run: Run::Later(probe::lookup),
        ..NET
    },
    Tool {
        name: "file_list",
        summary: "What lies in a directory that the operator opened, sorted by name",
        params: &[
            required("path", PATH, "The directory, absolute"),
            optional(
                "limit",
                count(FILE_LIST_CEILING, FILE_LIST_DEFAULT),
                "At most so many entries, the first by name",
            ),
        ],
        present: files::present,
        run: Run::Later(files::list),
        ..PROBE
    },
    Tool {
        name: "file_read",
        summary: "A part of a file beneath a directory that the operator opened",
        params: &[
            required("path", PATH, "The file, absolute"),
            optional(
                "offset",
                Kind::Integer { min: 0, max: 9_007_199_254_740_991, default: Some(0) },
                "The first byte",
            ),
            optional(
                "max_bytes",
                count(FILE_READ_BYTES_CEILING, FILE_READ_BYTES_DEFAULT),
                "At most so many bytes; an answer may hold less, and says how many it has",
            ),
            optional("encoding", Kind::Choice(&["utf8", "base64"]), "How the content is written; utf8 when absent"),
        ],
        present: files::present,
        run: Run::Later(files::read),
        ..PROBE
    },
    Tool {
        name: OPENABLE,
        group: "automation",
        tier: Tier::Act,
        summary: "The gateway's configuration without its secrets, what a key means, and reload",
        params: &[
            Param {
                name: "action",
                kind: Kind::ANY_TEXT,
                required: true,
                about: "restart, config.get or config.schema.lookup; config.apply, config.patch and update.run are refused",
            },
            optional("path", Kind::ANY_TEXT, "config.schema.lookup: the key, such as gateway.port"),
            optional("raw", Kind::ANY_TEXT, "Accepted and ignored: nothing is written"),
            optional("baseHash", Kind::ANY_TEXT, "Accepted and ignored: nothing is written"),
            optional("reason", Kind::ANY_TEXT, "Accepted and ignored"),
            optional("delayMs", Kind::Number { min: 0 }, "Accepted and ignored: a reload interrupts nothing"),
        ],
        owner_only: true,
        run: Run::Now(gateway::act),
        ..REFERENCE
    },
    Tool {
        name: "gateway_status",
        summary: "How the gateway is: listeners, connections, calls, memory, last reload, last errors",
        run: Run::Now(gateway::status),
        ..OBSERVE
    },
    Tool {
        name: "gpio_read",
        summary: "The value of a GPIO line that the operator named",
        params: &[required("line", NAMED, "The line's name")],
        present: gpio::present,
        run: Run::Later(gpio::read),
        ..PROBE
    },
    Tool {
        name: "gpio_write",
        summary: "Sets a GPIO line that the operator named, for good or for a pulse",
        params: &[
            required("line", NAMED, "The line's name"),
            required("value", Kind::Integer { min: 0, max: 1, default: None }, "1 is active, 0 is not"),
            optional(
                "pulse_ms",
                Kind::Integer { min: 1, max: GPIO_PULSE_MS, default: None },
                "After so many milliseconds the line takes the other value",
            ),
        ],
        present: gpio::writable,
        run: Run::Later(gpio::write),
        would: Some(gpio::would),
        ..ACT
    },
    Tool {
        name: "home_assistant_call",
        group: "home",
        tier: Tier::Act,
        summary: "Call a service of Home Assistant that the operator allows",
        params: &[
            required("domain", HA_DOMAIN, "The service's domain, such as light"),
            required(
                "service",
                Kind::Text { min: 1, max: 64, shape: Some(shape::HA_SERVICE) },
                "The service, such as turn_on",
            ),
            optional("entity_id", HA_ENTITY, "The entity it is called for"),
            optional("data", Kind::ANY_OBJECT, "What the service is told besides"),
        ],
        present: home::callable,
        run: Run::Later(home::act),
        would: Some(home::would),
        ..OBSERVE
    },
    Tool {
        name: "home_assistant_state",
        group: "home",
        tier: Tier::Probe,
        summary: "State and attributes of an entity of Home Assistant",
        params: &[required("entity_id", HA_ENTITY, "The entity, such as light.kitchen")],
        present: home::present,
        run: Run::Later(home::state),
        ..OBSERVE
    },
    Tool {
        name: "http_fetch",
        summary: "What a web server that the operator listed answers to a GET or HEAD",
        params: &[
            required(
                "url",
                Kind::Text { min: 1, max: FETCH_URL_CHARS, shape: Some(shape::URL) },
                "The address; https is not spoken",
            ),
            optional("method", Kind::Preset(&["GET", "HEAD"]), "The method"),
            optional(
                "headers",
                Kind::Pairs { items_max: FETCH_FIELDS, chars_max: FETCH_FIELD_CHARS },
                "Request headers, besides those that frame the message",
            ),
            optional(
                "max_bytes",
                Kind::Integer { min: 1, max: FETCH_BYTES_CEILING, default: Some(FETCH_BYTES) },
                "The most bytes of the body; never more than a result holds",
            ),
            millis(100, 30_000, 10_000, "When to give up"),
        ],
        present: web::present,
        run: Run::Later(web::fetch),
        ..NET
    },
    Tool {
        name: "log_tail",
        summary: "The latest lines of a log that the operator named, without secrets",
        params: &[
            optional(
                "unit",
                Kind::Text { min: 1, max: TOOL_TEXT_CHARS, shape: Some(shape::LOG) },
                "The unit, or a log file's absolute path; may be left out where only one is named",
            ),
            optional(
                "lines",
                count(LOG_TAIL_LINES_CEILING as i64, LOG_TAIL_LINES_DEFAULT),
                "At most so many, the latest",
            ),
            optional("priority", Kind::Choice(&logs::PRIORITIES), "Only what is at least that urgent; for units"),
            optional(
                "since_s",
                Kind::Integer { min: 1, max: LOG_TAIL_SINCE_S, default: None },
                "Only what is not older than so many seconds; for units",
            ),
        ],
        present: logs::present,
        run: Run::Later(logs::tail),
        ..PROBE
    },
    Tool {
        name: "mqtt_publish",
        group: "net",
        summary: "Publishes a message to a topic of the operator's MQTT broker",
        params: &[
            required("topic", Kind::Text { min: 1, max: 256, shape: Some(shape::TOPIC) }, "The topic"),
            required("payload", Kind::Text { min: 0, max: MQTT_PAYLOAD_CHARS, shape: None }, "The message"),
            optional(
                "qos",
                Kind::Integer { min: 0, max: 1, default: Some(0) },
                "1 waits until the broker says that it has the message",
            ),
            optional("retain", Kind::Boolean { default: false }, "The broker keeps it for later subscribers"),
        ],
        present: mqtt::present,
        run: Run::Later(mqtt::publish),
        would: Some(mqtt::would),
        ..ACT
    },
    Tool {
        name: "network_interfaces",
        group: "net",
        summary: "Network interfaces with addresses, traffic and radio signal, and the default route",
        params: &[optional(
            "name",
            Kind::Text { min: 1, max: 15, shape: Some(shape::INTERFACE) },
            "Only this interface",
        )],
        present: network::present,
        run: Run::Later(network::interfaces),
        ..OBSERVE
    },
    Tool {
        name: "network_neighbors",
        group: "net",
        summary: "Devices on the local networks that this machine heard of",
        params: &[optional(
            "interface",
            Kind::Text { min: 1, max: 15, shape: Some(shape::INTERFACE) },
            "Only those on this interface",
        )],
        present: neighbors::present,
        run: Run::Later(neighbors::neighbors),
        ..PROBE
    },
    Tool {
        name: "ping",
        summary: "Whether a host nearby answers to ping, and how fast",
        params: &[
            required("host", HOST, "A name or an address"),
            optional("count", Kind::Integer { min: 1, max: 5, default: Some(1) }, "How often"),
            millis(50, 5_000, 1_000, "When to give up on each"),
        ],
        present: probe::may_ping,
        run: Run::Later(probe::ping),
        ..NET
    },
    Tool {
        name: "service_restart",
        tier: Tier::Act,
        summary: "Restart a service that the operator named",
        params: &[required("unit", Kind::Text { min: 1, max: 128, shape: Some(shape::UNIT) }, "The unit")],
        present: service::restartable,
        run: Run::Later(service::restart),
        would: Some(service::would_restart),
        ..OBSERVE
    },
    Tool {
        name: "service_status",
        summary: "State of the services that the service manager runs",
        params: &[
            optional("unit", Kind::Text { min: 1, max: 128, shape: Some(shape::UNIT) }, "Only this unit"),
            optional("failed_only", Kind::Boolean { default: false }, "Only units that failed"),
        ],
        present: service::present,
        run: Run::Later(service::status),
        ..OBSERVE
    },
    Tool {
        name: "session_status",
        group: "sessions",
        summary: "A card about this session, or about another one it may see",
        params: &[
            optional("sessionKey", Kind::ANY_TEXT, "The session; this one when absent"),
            optional("model", Kind::ANY_TEXT, "Accepted and ignored: no model runs here"),
        ],
        run: Run::Now(sessions::status),
        ..REFERENCE
    },
    Tool {
        name: "sessions_history",
        group: "sessions",
        summary: "The latest calls of a session, as messages",
        params: &[
            Param { name: "sessionKey", kind: Kind::ANY_TEXT, required: true, about: "The full key of the session" },
            optional("limit", Kind::Number { min: 1 }, "At most so many messages, the latest"),
            optional("includeTools", Kind::Boolean { default: false }, "Also how each call ended"),
        ],
        run: Run::Now(sessions::history),
        ..REFERENCE
    },
    Tool {
        name: "sessions_list",
        group: "sessions",
        summary: "The sessions this session may see, the latest used first",
        params: &[
            optional("kinds", Kind::Texts { items_max: 16, chars_max: 32 }, "main, group, cron, hook, node, other"),
            optional("limit", Kind::Number { min: 1 }, "At most so many rows"),
            optional("activeMinutes", Kind::Number { min: 1 }, "Only sessions used within so many minutes"),
            optional("messageLimit", Kind::Number { min: 0 }, "So many latest messages in each row"),
            optional("label", Kind::ANY_TEXT, "Only sessions of this label; sessions here have none"),
            optional("agentId", Kind::ANY_TEXT, "Only sessions of this agent"),
            optional("search", Kind::ANY_TEXT, "Only sessions whose key contains this text, in any case"),
            optional(
                "includeDerivedTitles",
                Kind::Boolean { default: false },
                "Accepted: sessions here have no titles",
            ),
            optional(
                "includeLastMessage",
                Kind::Boolean { default: false },
                "A preview of the latest call in each row",
            ),
        ],
        run: Run::Now(sessions::list),
        ..REFERENCE
    },
    Tool {
        name: "storage_status",
        summary: "Space and state of mounted file systems, and the wear of eMMC flash",
        params: &[optional(
            "mount",
            Kind::Text { min: 1, max: TOOL_TEXT_CHARS, shape: Some(shape::ABSOLUTE) },
            "Only the file system mounted here",
        )],
        present: storage::present,
        run: Run::Later(storage::status),
        ..OBSERVE
    },
    Tool {
        name: "tailscale_status",
        group: "net",
        summary: "How this device is on its tailnet: state, addresses, name, key expiry, health, and the other nodes",
        params: &[optional("peers", Kind::Boolean { default: false }, "Also the other nodes, sorted by name")],
        present: tailscale::present,
        run: Run::Later(tailscale::status),
        ..OBSERVE
    },
    Tool {
        name: "tailscale_whois",
        group: "net",
        summary: "Whose node of the tailnet an address belongs to",
        params: &[required(
            "addr",
            Kind::Text { min: 1, max: 64, shape: Some(shape::ADDRESS) },
            "The address, alone or with a port",
        )],
        present: tailscale::present,
        run: Run::Later(tailscale::whois),
        ..OBSERVE
    },
    Tool {
        name: "tcp_check",
        summary: "Whether a TCP port of a host nearby accepts connections, and how fast",
        params: &[
            required("host", HOST, "A name or an address"),
            required("port", Kind::Integer { min: 1, max: 65_535, default: None }, "The port"),
            millis(50, 10_000, 2_000, "When to give up"),
        ],
        run: Run::Later(probe::tcp),
        ..NET
    },
    Tool {
        name: "thermal_status",
        summary: "Temperatures, fans, and the Raspberry Pi's throttling flags",
        present: thermal::present,
        run: Run::Now(thermal::status),
        ..OBSERVE
    },
    Tool {
        name: "time_status",
        summary: "The clock, whether it is synchronized, and how far it was set since the gateway started",
        run: Run::Now(clock::status),
        ..OBSERVE
    },
    Tool {
        name: "wake_on_lan",
        group: "net",
        summary: "Wakes a machine that the operator named",
        params: &[required("host", NAMED, "The machine's name")],
        present: wake::present,
        run: Run::Later(wake::wake),
        would: Some(wake::would),
        ..ACT
    },
];

/// What tools of our own that only look at the device have in common.
const OBSERVE: Tool = Tool {
    name: "",
    tier: Tier::Observe,
    group: "device",
    summary: "",
    params: &[],
    lenient: false,
    owner_only: false,
    records: true,
    present: |_| Ok(()),
    run: Run::Now(clock::status),
    would: None,
};

/// What tools that send packets or show what belongs to others have in common.
const PROBE: Tool = Tool { tier: Tier::Probe, ..OBSERVE };

/// What tools that send packets have in common.
const NET: Tool = Tool { group: "net", ..PROBE };

/// What tools that change something bounded have in common.
const ACT: Tool = Tool { tier: Tier::Act, ..OBSERVE };

/// An absolute path.
const PATH: Kind = Kind::Text { min: 1, max: TOOL_TEXT_CHARS, shape: Some(shape::ABSOLUTE) };

/// The name of a target.
const NAMED: Kind = Kind::Text { min: 1, max: 64, shape: Some(shape::NAME) };

/// How many, from one on.
const fn count(max: i64, default: usize) -> Kind {
    Kind::Integer { min: 1, max, default: Some(default as i64) }
}

/// A host that the caller chooses.
const HOST: Kind = Kind::Text { min: 1, max: 253, shape: Some(shape::HOST) };

/// What the tools that keep a name of the reference have in common: they tell of sessions and leave no trace there.
const REFERENCE: Tool = Tool { lenient: true, records: false, ..OBSERVE };

const fn required(name: &'static str, kind: Kind, about: &'static str) -> Param {
    Param { name, kind, required: true, about }
}

/// How long a caller waits, in milliseconds.
const fn millis(min: i64, max: i64, default: i64, about: &'static str) -> Param {
    optional("timeout_ms", Kind::Integer { min, max, default: Some(default) }, about)
}

const HA_DOMAIN: Kind = Kind::Text { min: 1, max: 64, shape: Some(shape::HA_DOMAIN) };
const HA_ENTITY: Kind = Kind::Text { min: 1, max: 255, shape: Some(shape::HA_ENTITY) };

const fn optional(name: &'static str, kind: Kind, about: &'static str) -> Param {
    Param { name, kind, required: false, about }
}

/// Names that OpenClaw refuses over HTTP whatever they do. Source: contract http.md §4.7, documented list.
const RESERVED: [&str; 13] = [
    "apply_patch",
    "cron",
    "exec",
    "fs_delete",
    "fs_move",
    "fs_write",
    "gateway",
    "nodes",
    "sessions_send",
    "sessions_spawn",
    "shell",
    "spawn",
    "whatsapp_login",
];

/// Names of the reference's tools for agents that write programs. They are served by nobody here, and must not seem to be.
/// Source: contract http.md §4.
const CODING: [&str; 8] = ["bash", "code_execution", "edit", "process", "read", "web_fetch", "web_search", "write"];

/// Whether a declared tool may not have this name.
pub fn is_taken(name: &str) -> bool {
    RESERVED.contains(&name) || CODING.contains(&name) || TOOLS.iter().any(|tool| tool.name == name)
}

/// The one tool that may have a reserved name: it is there when `gateway.tools.allow` takes it off the list, and does
/// no more than its owner could do with a shell and SIGHUP.
const OPENABLE: &str = "gateway";

const _: () = assert!(sorted(), "TOOLS must be sorted by name, each name once: the lookup is a binary search");
const _: () = assert!(!reserved(), "a tool takes a name that the HTTP deny list reserves");

const fn sorted() -> bool {
    let mut at = 1;
    while at < TOOLS.len() {
        if !less(TOOLS[at - 1].name, TOOLS[at].name) {
            return false;
        }
        at += 1;
    }
    true
}

const fn reserved() -> bool {
    let mut at = 0;
    while at < TOOLS.len() * RESERVED.len() {
        let (a, b) = (TOOLS[at / RESERVED.len()].name, RESERVED[at % RESERVED.len()]);
        let openable = !less(a, OPENABLE) && !less(OPENABLE, a);
        if !less(a, b) && !less(b, a) && !openable {
            return true;
        }
        at += 1;
    }
    false
}

/// Whether `a` sorts before `b`, byte by byte, as `str` compares at run time.
const fn less(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut at = 0;
    while at < a.len() && at < b.len() {
        if a[at] != b[at] {
            return a[at] < b[at];
        }
        at += 1;
    }
    a.len() < b.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_whole() {
        for tool in &TOOLS {
            assert!(
                !tool.group.is_empty() && !tool.summary.is_empty() && !tool.summary.ends_with('.'),
                "{}",
                tool.name
            );
            let acts = !tool.lenient && tool.tier >= Tier::Act;
            assert_eq!(tool.would.is_some(), acts, "{}: acting tools say what they would do", tool.name);
            for param in tool.params {
                assert!(!param.about.is_empty(), "{} {}", tool.name, param.name);
                assert!(tool.lenient || !matches!(param.kind, Kind::Number { .. }), "{}: own tools bound", tool.name);
            }
            serde_json::from_str::<serde_json::Value>(&crate::tool::schema::json(tool.params, !tool.lenient))
                .expect("a schema is JSON");
        }
    }

    #[test]
    fn order_is_that_of_bytes() {
        assert!(
            less("a", "b") && less("a", "aa") && less("session_", "sessions") && !less("a", "a") && !less("b", "aa")
        );
    }
}
