//! The known configuration keys: one static table that checks the document, suggests spellings, answers
//! `config.schema.lookup` and prints the README's table. Pure.
//!
//! Patterns: `*` stands for any key of an object, `[]` for any element of a list.

pub use super::key::{Default, Key, Kind};
use super::pack::{ROWS, Row};
use super::tailnet;
use crate::limits::*;

/// The words of `gateway.auth.mode`, in the order of the contract.
pub(super) const MODES: &[&str] = &["none", "token", "password", "trusted-proxy"];
/// The words of `gateway.bind`.
pub(super) const BINDS: &[&str] = &["auto", "lan", "loopback", "custom", "tailnet"];
/// The words of every `profile`.
pub(super) const PROFILES: &[&str] = &["minimal", "coding", "messaging", "full"];

/// The words of `tier`.
pub(super) const TIERS: &[&str] = &["observe", "probe", "act", "break"];
/// The words of a parameter's `type`.
pub(super) const TYPES: &[&str] = &["boolean", "integer", "number", "string"];
/// The words of `output`.
pub(super) const OUTPUTS: &[&str] = &["text", "json", "lines"];
/// The words of `tools.http.*.method`.
pub(super) const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

const fn key(path: &'static str, kind: Kind, about: &'static str) -> Key {
    Key { path, kind, default: Default::Absent, about }
}

const fn text(path: &'static str, kind: Kind, default: &'static str, about: &'static str) -> Key {
    Key { path, kind, default: Default::Text(default), about }
}

const fn number(path: &'static str, min: u64, max: u64, default: u64, about: &'static str) -> Key {
    let kind = Kind::Integer { min: min as i64, max: max as i64 };
    Key { path, kind, default: Default::Number(default as i64), about }
}

/// The rows as they are written; the program holds them packed.
pub(super) const SOURCE: &[Key] = &[
    key("$schema", Kind::Text, "Names a schema for editors; not read."),
    key("gateway", Kind::Object, "The listener, and who may come in."),
    number("gateway.port", 0, u16::MAX as u64, PORT_DEFAULT as u64, "TCP port; 0 takes any free one."),
    text("gateway.mode", Kind::Word(&["local", "remote"]), "local", "Only local is served; remote is refused."),
    text("gateway.bind", Kind::Word(BINDS), "loopback", "Which addresses to listen on."),
    key("gateway.customBindHost", Kind::Text, "The IPv4 address to listen on with bind custom."),
    text("gateway.hosts", Kind::Texts, "none", "Further host names to answer to."),
    text("gateway.trustedProxies", Kind::Texts, "none", "Addresses or CIDR blocks of proxies whose claims count."),
    text("gateway.allowRealIpFallback", Kind::Bool, "false", "Whether X-Real-IP counts when no usable hop is left."),
    number(
        "gateway.handshakeTimeoutMs",
        HANDSHAKE_MS_FLOOR as u64,
        HANDSHAKE_MS_CEILING as u64,
        HANDSHAKE_MS_DEFAULT as u64,
        "Milliseconds a WebSocket has to finish its handshake.",
    ),
    key("gateway.auth", Kind::Object, "How callers prove themselves."),
    text("gateway.auth.mode", Kind::Word(MODES), "password if one is set, else token", "The way to authenticate."),
    text("gateway.auth.token", Kind::Secret, "generated at first start", "The shared token."),
    key("gateway.auth.password", Kind::Secret, "The shared password."),
    text("gateway.auth.rateLimit", Kind::ObjectOrFalse, "on", "The limit on failed attempts; false switches it off."),
    number(
        "gateway.auth.rateLimit.maxAttempts",
        1,
        AUTH_ATTEMPTS_MAX as u64,
        AUTH_ATTEMPTS_DEFAULT as u64,
        "Failures within the window that lock their source.",
    ),
    number(
        "gateway.auth.rateLimit.windowMs",
        1,
        AUTH_MS_CEILING as u64,
        AUTH_WINDOW_MS_DEFAULT as u64,
        "Milliseconds over which failures are counted.",
    ),
    number(
        "gateway.auth.rateLimit.lockoutMs",
        1,
        AUTH_MS_CEILING as u64,
        AUTH_LOCKOUT_MS_DEFAULT as u64,
        "Milliseconds a source stays locked.",
    ),
    text(
        "gateway.auth.rateLimit.exemptLoopback",
        Kind::Bool,
        "true",
        "Whether direct loopback peers are never locked.",
    ),
    key("gateway.auth.trustedProxy", Kind::Object, "What a proxy must send in mode trusted-proxy."),
    key("gateway.auth.trustedProxy.userHeader", Kind::Text, "The field in which the proxy names the user; required."),
    text("gateway.auth.trustedProxy.requiredHeaders", Kind::Texts, "none", "Fields that must be present, not blank."),
    text("gateway.auth.trustedProxy.allowUsers", Kind::Texts, "any user", "The users let in; exact spelling."),
    text("gateway.auth.trustedProxy.allowLoopback", Kind::Bool, "false", "Whether the proxy may sit on loopback."),
    key("gateway.auth.tailnet", Kind::Object, "What the tailnet's own word on a caller does."),
    key("gateway.auth.tailnet.allow", Kind::Object, "Which tailnet peers may come at all; any match will do."),
    text("gateway.auth.tailnet.allow.logins", Kind::Texts, "none", "People, as the tailnet names them."),
    text("gateway.auth.tailnet.allow.tags", Kind::Texts, "none", "Tags of nodes, such as tag:home."),
    text("gateway.auth.tailnet.allow.capabilities", Kind::Texts, "none", "App capabilities, as domain/name."),
    text("gateway.auth.tailnet.identity", Kind::Bool, "false", "Whether peers on that list need no secret."),
    key("gateway.auth.tailnet.capability", Kind::Text, "The app capability that names the tools a peer may call."),
    key("gateway.controlUi", Kind::Object, "Which browser origins are served."),
    text("gateway.controlUi.allowedOrigins", Kind::Texts, "none", "Origins as scheme://host[:port], or *."),
    text(
        "gateway.controlUi.dangerouslyAllowHostHeaderOriginFallback",
        Kind::Bool,
        "false",
        "Whether an origin equal to the request's own host is allowed.",
    ),
    key("gateway.http", Kind::Object, "What HTTP answers carry."),
    key("gateway.http.securityHeaders", Kind::Object, "Further security fields of every answer."),
    text(
        "gateway.http.securityHeaders.strictTransportSecurity",
        Kind::TextOrFalse,
        "false",
        "The value of Strict-Transport-Security.",
    ),
    key("gateway.limits", Kind::Object, "Bounds on what is held at once."),
    number(
        "gateway.limits.connections",
        1,
        CONNECTIONS_CEILING as u64,
        CONNECTIONS_DEFAULT as u64,
        "Connections open at once.",
    ),
    number(
        "gateway.limits.connectionsPerPeer",
        1,
        CONNECTIONS_CEILING as u64,
        CONNECTIONS_PER_PEER_DEFAULT as u64,
        "Connections of one address.",
    ),
    number(
        "gateway.limits.bodyPoolBytes",
        BODY_POOL_BYTES_FLOOR as u64,
        BODY_POOL_BYTES_CEILING as u64,
        BODY_POOL_BYTES_DEFAULT as u64,
        "Bytes of all request bodies in flight.",
    ),
    number("gateway.limits.calls", 1, CALLS_CEILING as u64, CALLS_DEFAULT as u64, "Tool calls running at once."),
    number(
        "gateway.limits.messageBytes",
        SOCKET_HELLO_BYTES as u64,
        SOCKET_MESSAGE_BYTES_CEILING as u64,
        SOCKET_MESSAGE_BYTES_DEFAULT as u64,
        "Bytes of one WebSocket message.",
    ),
    number(
        "gateway.limits.toolResultBytes",
        TOOL_RESULT_BYTES_FLOOR as u64,
        TOOL_RESULT_BYTES as u64,
        TOOL_RESULT_BYTES as u64,
        "Bytes of one tool's result.",
    ),
    key("gateway.tailnet", Kind::Object, "Where the tailnet is, and who tells of its nodes."),
    text("gateway.tailnet.interface", Kind::Text, "tailscale0", "The interface that bind tailnet listens on."),
    text("gateway.tailnet.localApi", Kind::Text, tailnet::LOCAL_API, "The socket of tailscaled, absolute."),
    text(
        "gateway.tailnet.prefixes",
        Kind::Texts,
        "100.64.0.0/10, fd7a:115c:a1e0::/48",
        "Where its nodes' addresses lie; a tailnet listener takes no others.",
    ),
    key("gateway.tailnet.serveSocket", Kind::Text, "A Unix socket for tailscale serve, absolute."),
    key("gateway.tailscale", Kind::Object, "How Tailscale publishes the gateway; started by the operator."),
    text(
        "gateway.tailscale.mode",
        Kind::Word(&["off", "serve", "funnel"]),
        "off",
        "Checked against bind and auth only.",
    ),
    key("gateway.tls", Kind::Object, "TLS is not served here."),
    text("gateway.tls.enabled", Kind::Bool, "false", "Refused when true: end TLS in a proxy."),
    key("gateway.tools", Kind::Object, "The deny list of the HTTP door; exact names."),
    text("gateway.tools.allow", Kind::Texts, "none", "Names taken off the HTTP deny list."),
    text("gateway.tools.deny", Kind::Texts, "none", "Names put on the HTTP deny list."),
    key("tools", Kind::Object, "Which tools every agent may use, and the tools this gateway declares."),
    text("tools.profile", Kind::Word(PROFILES), "full", "The base list of allowed tools."),
    text("tools.allow", Kind::Texts, "everything", "Tools, group:… names and * patterns allowed."),
    text("tools.alsoAllow", Kind::Texts, "none", "Tools allowed beyond the profile."),
    text("tools.deny", Kind::Texts, "none", "Tools refused; wins over every allow."),
    key("tools.byProvider", Kind::Map, "Rules by model provider, keyed provider or provider/model."),
    key("tools.byProvider.*", Kind::Object, "The rules for that provider."),
    key("tools.byProvider.*.profile", Kind::Word(PROFILES), "The base list for that provider."),
    key("tools.byProvider.*.allow", Kind::Texts, "Tools allowed with that provider."),
    key("tools.byProvider.*.alsoAllow", Kind::Texts, "Tools allowed beyond that profile."),
    key("tools.byProvider.*.deny", Kind::Texts, "Tools refused with that provider."),
    key("tools.subagents", Kind::Object, "Rules for sessions of subagents."),
    key("tools.subagents.tools", Kind::Object, "The lists for sessions of subagents."),
    key("tools.subagents.tools.allow", Kind::Texts, "Tools allowed to subagents."),
    key("tools.subagents.tools.alsoAllow", Kind::Texts, "Tools taken off the subagents' deny list."),
    key("tools.subagents.tools.deny", Kind::Texts, "Tools refused to subagents."),
    key("tools.commands", Kind::Map, "Programs declared as tools, by tool name."),
    key("tools.commands.*", Kind::Object, "One program."),
    key("tools.commands.*.description", Kind::Text, "What it does, in one line; required."),
    key("tools.commands.*.argv", Kind::Any, "The program's absolute path and its arguments, with {name}; required."),
    key("tools.commands.*.parameters", Kind::Map, "What callers may say, by name."),
    key("tools.commands.*.parameters.*", Kind::Object, "One parameter."),
    text(
        "tools.commands.*.parameters.*.type",
        Kind::Word(TYPES),
        "string, or what enum holds",
        "The JSON type of its value.",
    ),
    key("tools.commands.*.parameters.*.description", Kind::Text, "One line for callers."),
    key("tools.commands.*.parameters.*.enum", Kind::Any, "The only values allowed, a list."),
    key("tools.commands.*.parameters.*.pattern", Kind::Any, "A regular expression that a text must match."),
    key("tools.commands.*.parameters.*.minimum", Kind::Any, "The least number."),
    key("tools.commands.*.parameters.*.maximum", Kind::Any, "The greatest number."),
    number(
        "tools.commands.*.parameters.*.minLength",
        0,
        VALUE_CHARS_CEILING as u64,
        0,
        "The least characters of a text.",
    ),
    number(
        "tools.commands.*.parameters.*.maxLength",
        0,
        VALUE_CHARS_CEILING as u64,
        VALUE_CHARS_DEFAULT as u64,
        "The most characters of a text.",
    ),
    key("tools.commands.*.parameters.*.default", Kind::Any, "The value when none is given."),
    text(
        "tools.commands.*.parameters.*.allowDash",
        Kind::Bool,
        "false",
        "Whether its value may begin with - in a command.",
    ),
    text("tools.commands.*.required", Kind::Texts, "none", "Parameters that every call must name."),
    text("tools.commands.*.additionalProperties", Kind::Bool, "false", "Only false: other arguments are refused."),
    text("tools.commands.*.tier", Kind::Word(TIERS), "act", "How far it reaches; from act on dryRun runs nothing."),
    number(
        "tools.commands.*.timeoutMs",
        1,
        CALL_MS_CEILING as u64,
        CALL_MS_DEFAULT as u64,
        "Milliseconds one call may take.",
    ),
    number(
        "tools.commands.*.maxOutputBytes",
        1,
        OUTPUT_BYTES_CEILING as u64,
        OUTPUT_BYTES_DEFAULT as u64,
        "Bytes kept of each output stream; the rest is counted and dropped.",
    ),
    number("tools.commands.*.concurrency", 1, CALLS_CEILING as u64, TOOL_CALLS as u64, "Calls of it that run at once."),
    number(
        "tools.commands.*.queue",
        0,
        TOOL_CALLS_WAITING_CEILING as u64,
        TOOL_CALLS_WAITING as u64,
        "Calls of it that wait; beyond it 429.",
    ),
    number(
        "tools.commands.*.minIntervalMs",
        0,
        CALL_MS_CEILING as u64,
        0,
        "Milliseconds from one call to the next; sooner is 429.",
    ),
    text("tools.commands.*.env", Kind::Map, "PATH only", "Its environment, whole."),
    key("tools.commands.*.env.*", Kind::Secret, "The value of one variable."),
    text("tools.commands.*.cwd", Kind::Text, "/", "The directory it runs in, absolute."),
    text(
        "tools.commands.*.stdin",
        Kind::Word(&["none", "args"]),
        "none",
        "What it reads: nothing, or the arguments as JSON.",
    ),
    text("tools.commands.*.output", Kind::Word(OUTPUTS), "text", "How its output is told."),
    text(
        "tools.commands.*.binary",
        Kind::Word(&["base64", "refuse"]),
        "base64",
        "What becomes of output that is no UTF-8.",
    ),
    text(
        "tools.commands.*.progress",
        Kind::Bool,
        "false",
        "Whether its output goes to the caller's socket as it comes.",
    ),
    text(
        "tools.commands.*.user",
        Kind::Text,
        "the gateway's user",
        "Who it runs as; needs a gateway that runs as root.",
    ),
    key("tools.commands.*.limits", Kind::Object, "What the kernel lets it use."),
    number("tools.commands.*.limits.cpuSeconds", 1, CHILD_LIMIT_CEILING, CHILD_CPU_SECS, "Seconds of processor time."),
    number(
        "tools.commands.*.limits.memoryBytes",
        CHILD_MEMORY_FLOOR,
        CHILD_BYTES_CEILING,
        CHILD_ADDRESS_BYTES,
        "Bytes of address space of each of its processes.",
    ),
    number(
        "tools.commands.*.limits.fileBytes",
        0,
        CHILD_BYTES_CEILING,
        CHILD_FILE_BYTES,
        "Bytes of each file it writes.",
    ),
    number(
        "tools.commands.*.limits.processes",
        1,
        CHILD_LIMIT_CEILING,
        CHILD_PROCESSES,
        "Processes of its user, all counted; not for root.",
    ),
    number("tools.commands.*.limits.openFiles", 3, 65_535, CHILD_OPEN_FILES, "Descriptors of each process."),
    key("tools.http", Kind::Map, "Local HTTP services declared as tools, by tool name."),
    key("tools.http.*", Kind::Object, "One service."),
    key("tools.http.*.description", Kind::Text, "What it does, in one line; required."),
    text("tools.http.*.method", Kind::Word(METHODS), "GET", "The method."),
    key("tools.http.*.url", Kind::Text, "http://host:port/path?query, with {name} in path and query; required."),
    key("tools.http.*.headers", Kind::Map, "Its header fields, with {name}."),
    key("tools.http.*.headers.*", Kind::Secret, "The value of one field."),
    key("tools.http.*.body", Kind::Any, "Its content: JSON, or one text, with {name}."),
    key("tools.http.*.parameters", Kind::As("tools.commands.*.parameters"), "What callers may say, by name."),
    text("tools.http.*.required", Kind::Texts, "none", "Parameters that every call must name."),
    text("tools.http.*.additionalProperties", Kind::Bool, "false", "Only false: other arguments are refused."),
    text(
        "tools.http.*.tier",
        Kind::Word(TIERS),
        "probe for GET and HEAD, else act",
        "How far it reaches; from act on dryRun runs nothing.",
    ),
    number(
        "tools.http.*.timeoutMs",
        1,
        CALL_MS_CEILING as u64,
        CALL_MS_DEFAULT as u64,
        "Milliseconds one call may take.",
    ),
    number(
        "tools.http.*.maxOutputBytes",
        1,
        OUTPUT_BYTES_CEILING as u64,
        OUTPUT_BYTES_DEFAULT as u64,
        "Bytes kept of the answer; the rest is cut.",
    ),
    number("tools.http.*.concurrency", 1, CALLS_CEILING as u64, TOOL_CALLS as u64, "Calls of it that run at once."),
    number(
        "tools.http.*.queue",
        0,
        TOOL_CALLS_WAITING_CEILING as u64,
        TOOL_CALLS_WAITING as u64,
        "Calls of it that wait; beyond it 429.",
    ),
    number(
        "tools.http.*.minIntervalMs",
        0,
        CALL_MS_CEILING as u64,
        0,
        "Milliseconds from one call to the next; sooner is 429.",
    ),
    text("tools.http.*.output", Kind::Word(OUTPUTS), "text", "How its answer is told."),
    key("tools.device", Kind::Object, "Targets of built-in tools; without its target a tool does not exist."),
    key("tools.device.device_reboot", Kind::Object, "Restarting this device."),
    text("tools.device.device_reboot.enabled", Kind::Bool, "false", "Whether the tool exists."),
    key("tools.device.dhcp_leases", Kind::Object, "The devices that this one has given addresses to."),
    text("tools.device.dhcp_leases.enabled", Kind::Bool, "false", "Whether the tool exists."),
    key("tools.device.file_read", Kind::Object, "What file_read and file_list may look into."),
    text("tools.device.file_read.roots", Kind::Texts, "none", "Absolute directories."),
    key("tools.device.gpio", Kind::Object, "What gpio_read and gpio_write may touch."),
    key("tools.device.gpio.lines", Kind::Map, "Lines by the name callers use."),
    key("tools.device.gpio.lines.*", Kind::Object, "One line."),
    key("tools.device.gpio.lines.*.chip", Kind::Text, "The chip's label, such as pinctrl-bcm2711; required."),
    key(
        "tools.device.gpio.lines.*.line",
        Kind::TextOrInteger { min: 0, max: u16::MAX as i64 },
        "Its offset on the chip, or its name there; required.",
    ),
    key("tools.device.gpio.lines.*.direction", Kind::Word(&["in", "out"]), "Which way it is driven; required."),
    text("tools.device.gpio.lines.*.activeLow", Kind::Bool, "false", "Whether 1 means low."),
    key("tools.device.home_assistant", Kind::Object, "The Home Assistant that its two tools speak to."),
    key("tools.device.home_assistant.url", Kind::Text, "Its address, http://host:port; required."),
    key("tools.device.home_assistant.token", Kind::Secret, "A long-lived access token; required."),
    text("tools.device.home_assistant.allow", Kind::Texts, "none", "Services, domain.service or domain.*."),
    key("tools.device.http_fetch", Kind::Object, "What http_fetch may ask."),
    text("tools.device.http_fetch.hosts", Kind::Texts, "none", "Hosts, name or name:port."),
    key("tools.device.log_tail", Kind::Object, "The logs that log_tail may read."),
    text("tools.device.log_tail.units", Kind::Texts, "none", "Units."),
    text("tools.device.log_tail.files", Kind::Texts, "none", "Absolute files."),
    key("tools.device.mqtt_publish", Kind::Object, "What mqtt_publish may publish."),
    key("tools.device.mqtt_publish.broker", Kind::Text, "host, host:port or mqtt://host:port; required."),
    key("tools.device.mqtt_publish.username", Kind::Text, "The user's name, if the broker wants one."),
    key("tools.device.mqtt_publish.password", Kind::Secret, "The user's password."),
    text("tools.device.mqtt_publish.topics", Kind::Texts, "none", "What a topic begins with, such as home/."),
    key("tools.device.net", Kind::Object, "Where probes may go."),
    text("tools.device.net.allow", Kind::Texts, "the networks it is on", "Further addresses or CIDR blocks."),
    key("tools.device.service_restart", Kind::Object, "What service_restart may restart."),
    text("tools.device.service_restart.units", Kind::Texts, "none", "Units."),
    text("tools.device.service_restart.critical", Kind::Texts, "none", "Those of them that could cut you off."),
    key("tools.device.wake_on_lan", Kind::Object, "What wake_on_lan may wake."),
    key("tools.device.wake_on_lan.hosts", Kind::Map, "Machines by the name callers use."),
    key("tools.device.wake_on_lan.hosts.*", Kind::Object, "One machine."),
    key("tools.device.wake_on_lan.hosts.*.mac", Kind::Text, "Its hardware address; required."),
    text("tools.device.wake_on_lan.hosts.*.interface", Kind::Text, "the default route's", "Where it is sent from."),
    key("agents", Kind::Object, "The agents whose sessions have rules of their own."),
    key("agents.defaults", Kind::Object, "What holds for every agent."),
    key("agents.defaults.model", Kind::Model, "The model, provider/model; selects byProvider rules."),
    key("agents.defaults.subagents", Kind::Object, "Bounds on subagents."),
    number(
        "agents.defaults.subagents.maxSpawnDepth",
        1,
        SPAWN_DEPTH_CEILING as u64,
        SPAWN_DEPTH_DEFAULT as u64,
        "Levels of subagents.",
    ),
    key("agents.list", Kind::List, "The agents."),
    key("agents.list[]", Kind::Object, "One agent."),
    key("agents.list[].id", Kind::Text, "Its id; required."),
    text("agents.list[].default", Kind::Bool, "the first agent", "Whether keys that name no agent belong to it."),
    key("agents.list[].name", Kind::Text, "Its display name."),
    text("agents.list[].model", Kind::Model, "agents.defaults.model", "Its model, provider/model."),
    key("agents.list[].tools", Kind::Object, "Its tool rules."),
    text(
        "agents.list[].tools.profile",
        Kind::Word(PROFILES),
        "tools.profile",
        "Its base list; replaces the global one.",
    ),
    key("agents.list[].tools.allow", Kind::Texts, "Tools allowed to it."),
    text("agents.list[].tools.alsoAllow", Kind::Texts, "tools.alsoAllow", "Tools allowed beyond its profile."),
    key("agents.list[].tools.deny", Kind::Texts, "Tools refused to it."),
    key("agents.list[].tools.byProvider", Kind::As("tools.byProvider"), "Its rules by model provider."),
    key("session", Kind::Object, "How session keys are read."),
    text(
        "session.scope",
        Kind::Word(&["per-sender", "global"]),
        "per-sender",
        "Whether all callers share one session.",
    ),
    text("session.mainKey", Kind::Text, "main", "The last part of the main session's key."),
    key("channels", Kind::Map, "Group rules by message channel."),
    key("channels.*", Kind::Object, "One channel; only its groups are read."),
    key("channels.*.groups", Kind::Map, "Rules by group id; * for any other group."),
    key("channels.*.groups.*", Kind::Object, "The rules of one group."),
    key("channels.*.groups.*.tools", Kind::Object, "The lists of the group."),
    key("channels.*.groups.*.tools.allow", Kind::Texts, "Tools allowed in the group."),
    key("channels.*.groups.*.tools.alsoAllow", Kind::Texts, "Tools allowed there beyond a profile."),
    key("channels.*.groups.*.tools.deny", Kind::Texts, "Tools refused in the group."),
    key("channels.*.groups.*.toolsBySender", Kind::Map, "Lists by sender: id:, e164:, username:, name: or *."),
    key("channels.*.groups.*.toolsBySender.*", Kind::As("channels.*.groups.*.tools"), "The lists of one sender."),
    key("channels.*.accounts", Kind::Map, "Group rules by account on the channel."),
    key("channels.*.accounts.*", Kind::Object, "One account; only its groups are read."),
    key("channels.*.accounts.*.groups", Kind::As("channels.*.groups"), "Its groups; they replace the channel's."),
];

/// Every known key, in the order of the documentation.
pub fn keys() -> impl Iterator<Item = Key> {
    ROWS.iter().map(Row::key)
}

/// The row of that path pattern.
#[inline(never)]
pub(super) fn row(path: &str) -> Option<Key> {
    ROWS.iter().find(|row| row.path() == path).map(Row::key)
}

/// The row that describes `name` in the object at `pattern` (`""` = the root), exact names before `*`.
pub(super) fn child(pattern: &str, name: &str) -> Option<Key> {
    let mut any = None;
    for row in &ROWS {
        match own(row, pattern) {
            Some("*") => any = any.or(Some(row)),
            Some(own) if own == name => return Some(row.key()),
            _ => {}
        }
    }
    any.map(Row::key)
}

/// The row of the elements of the list at `pattern`.
pub(super) fn item(pattern: &str) -> Option<Key> {
    row(&[pattern, "[]"].concat())
}

/// The names of the keys right below `pattern`.
pub(super) fn children(pattern: &str) -> Vec<&'static str> {
    let mut names = Vec::new();
    for row in &ROWS {
        names.extend(own(row, pattern));
    }
    names
}

/// The row's own name, when it stands right below `pattern`.
#[inline(never)]
fn own(row: &Row, pattern: &str) -> Option<&'static str> {
    let path = row.path();
    let own = if pattern.is_empty() { path } else { path.strip_prefix(pattern)?.strip_prefix('.')? };
    (!own.is_empty() && !own.bytes().any(|b| matches!(b, b'.' | b'['))).then_some(own)
}

/// The row itself, or the one it stands for.
pub(super) fn resolve(key: Key) -> Key {
    match key.kind {
        Kind::As(pattern) => row(pattern).unwrap_or(key),
        _ => key,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_reachable_once_and_described() {
        for (index, row) in SOURCE.iter().enumerate() {
            assert!(SOURCE.iter().skip(index + 1).all(|other| other.path != row.path), "{} twice", row.path);
            assert!(row.about.ends_with('.') && row.about.len() <= 90, "{}", row.path);
            let parent = match row.path.rsplit_once('.') {
                Some((parent, _)) => parent,
                None => continue,
            };
            assert!(SOURCE.iter().any(|other| other.path == parent), "{} has no parent row", row.path);
            if let Kind::As(pattern) = row.kind {
                assert!(SOURCE.iter().any(|other| other.path == pattern), "{} stands for nothing", row.path);
            }
            if let (Kind::Integer { min, max }, Default::Number(default)) = (row.kind, row.default) {
                assert!(min <= default && default <= max, "{}", row.path);
            }
        }
    }

    #[test]
    fn children_are_found_by_name_before_star() {
        check("", "gateway", Some("gateway"));
        check("gateway", "port", Some("gateway.port"));
        check("gateway", "prot", None);
        check("channels", "telegram", Some("channels.*"));
        check("channels.*.groups.*.toolsBySender", "id:1", Some("channels.*.groups.*.toolsBySender.*"));
        check("agents.list[]", "id", Some("agents.list[].id"));
        assert_eq!(item("agents.list").map(|key| key.path), Some("agents.list[]"));
        assert_eq!(item("agents"), None);
    }

    fn check(pattern: &str, name: &str, expected: Option<&str>) {
        assert_eq!(child(pattern, name).map(|key| key.path), expected, "{pattern:?} {name:?}");
    }
}
