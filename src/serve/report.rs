//! The gateway's state → what `toolgate status` shows: for machines as JSON, for people as a card.

use std::fmt::Write;

use log::Level;

use super::audit::Line;
use super::reload::Last;
use crate::api::socket::json::Json;
use crate::limits::{REPORT_ERRORS, STATUS_FILE_BYTES};
use crate::tool::lane::Lane;
use crate::wire::reply::http_date;

/// What there is to tell.
pub(super) struct Report {
    pub version: &'static str,
    /// Whom it runs as.
    pub user: u32,
    pub uptime_s: u64,
    /// The configuration that it read; `None` where there was none.
    pub config: Option<String>,
    /// Seconds since what is in force was read.
    pub config_age_s: u64,
    pub resident_kb: Option<u64>,
    pub resident_peak_kb: Option<u64>,
    pub listeners: Vec<String>,
    pub tailnet: Tailnet,
    pub connections: usize,
    /// Of the connections, those that speak the gateway's protocol.
    pub sockets: usize,
    pub calls_running: usize,
    /// Calls that wait for their turn among all.
    pub calls_waiting: usize,
    pub calls_most: usize,
    /// Tools whose calls are counted, since the first call of each.
    pub tools: Vec<Traffic>,
    pub last_reload: Option<Reload>,
    pub last_errors: Vec<Event>,
}

/// The tailnet and our listeners there.
pub(super) struct Tailnet {
    /// `listening`, `waiting`, `userspace` (peers come from loopback), or `off` where the configuration binds elsewhere.
    pub state: &'static str,
    /// The interface that is waited for.
    pub interface: String,
    /// Each address there, and the interface it is bound to; blank where the kernel does not permit that.
    pub listeners: Vec<(String, String)>,
    /// Why not every listener is open; blank when all are.
    pub why: String,
    /// What tailscaled says of itself, such as `Running`; `None` where it does not answer.
    pub backend: Option<String>,
    /// This device's name in the tailnet.
    pub name: Option<String>,
    /// What is wrong with tailscaled's answers.
    pub trouble: Option<&'static str>,
}

impl Tailnet {
    fn json(&self, json: &mut Json) {
        json.key("tailnet").raw("{").string("state", self.state).string("interface", &self.interface);
        json.key("listeners").raw("[");
        for (address, interface) in &self.listeners {
            json.raw("{").string("address", address).string("interface", interface).close("}");
        }
        json.close("]");
        let why = Some(self.why.as_str()).filter(|why| !why.is_empty());
        json.maybe("why", why).maybe("backend", self.backend.as_deref()).maybe("name", self.name.as_deref());
        json.maybe("trouble", self.trouble);
        json.close("}");
    }

    /// For people; nothing where neither tailscaled nor the configuration speak of a tailnet.
    fn line(&self) -> Option<String> {
        if self.state == "off" && self.backend.is_none() && self.trouble.is_none() {
            return None;
        }
        let mut line = ["tailnet      ", self.state].concat();
        let backend = self.backend.as_deref().or(self.trouble).unwrap_or("not running");
        line.extend([", tailscale ", backend]);
        if let Some(name) = &self.name {
            line.extend([", ", name]);
        }
        if !self.why.is_empty() {
            line.extend(["; ", &self.why]);
        }
        for (address, interface) in &self.listeners {
            if interface.is_empty() {
                line.extend(["; ", address, " is not bound to ", &self.interface]);
            }
        }
        Some(line)
    }
}

/// The calls of one tool.
pub(super) struct Traffic {
    name: String,
    running: usize,
    waiting: usize,
    refused: u64,
}

impl Traffic {
    /// What runs and waits in `lane`.
    pub fn of(name: &str, lane: &Lane) -> Traffic {
        let (running, waiting, refused) = lane.counts();
        Traffic { name: name.to_owned(), running, waiting, refused }
    }
}

/// How the last reload ended.
pub(super) struct Reload {
    at: String,
    by: &'static str,
    ok: bool,
    findings: Vec<String>,
    needs_restart: Vec<&'static str>,
}

impl From<Last> for Reload {
    fn from(last: Last) -> Reload {
        let Last { by, seconds, refused, held } = last;
        Reload { at: http_date(seconds), by, ok: refused.is_empty(), findings: refused, needs_restart: held }
    }
}

/// A warning or an error of the log.
pub(super) struct Event {
    at: String,
    level: &'static str,
    event: String,
}

/// The latest warnings and errors among `lines`, oldest first.
pub(super) fn errors(lines: Vec<Line>) -> Vec<Event> {
    let bad = lines.into_iter().rev().filter(|line| line.level <= Level::Warn).take(REPORT_ERRORS);
    let mut events: Vec<Event> =
        bad.map(|line| Event { at: http_date(line.seconds), level: line.level.as_str(), event: line.text }).collect();
    events.reverse();
    events
}

/// Resident memory now and at most, in kibibytes, as the kernel counts it.
pub(super) fn memory() -> (Option<u64>, Option<u64>) {
    use std::io::Read;
    let mut text = String::new();
    let file = std::fs::File::open("/proc/self/status");
    _ = file.and_then(|file| file.take(STATUS_FILE_BYTES).read_to_string(&mut text));
    let kilobytes = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    };
    (kilobytes("VmRSS:"), kilobytes("VmHWM:"))
}

impl Report {
    /// The same for machines: compact JSON.
    pub(super) fn json(&self) -> String {
        let mut json = Json::object();
        json.string("version", self.version).count("user", self.user.into()).count("uptime_s", self.uptime_s);
        json.maybe("config", self.config.as_deref()).count("config_age_s", self.config_age_s);
        json.maybe_count("resident_kb", self.resident_kb).maybe_count("resident_peak_kb", self.resident_peak_kb);
        json.texts("listeners", self.listeners.iter().map(String::as_str));
        self.tailnet.json(&mut json);
        json.count("connections", self.connections as u64).count("sockets", self.sockets as u64);
        json.count("calls_running", self.calls_running as u64).count("calls_waiting", self.calls_waiting as u64);
        json.count("calls_most", self.calls_most as u64).key("tools").raw("[");
        for Traffic { name, running, waiting, refused } in &self.tools {
            json.raw("{").string("name", name).count("running", *running as u64);
            json.count("waiting", *waiting as u64).count("refused", *refused).close("}");
        }
        json.close("]").key("last_reload");
        match &self.last_reload {
            None => json.raw("null"),
            Some(Reload { at, by, ok, findings, needs_restart }) => {
                json.raw("{").string("at", at).string("by", by).flag("ok", *ok);
                json.texts("findings", findings.iter().map(String::as_str));
                json.texts("needs_restart", needs_restart.iter().copied()).close("}")
            }
        };
        json.key("last_errors").raw("[");
        for Event { at, level, event } in &self.last_errors {
            json.raw("{").string("at", at).string("level", level).string("event", event).close("}");
        }
        json.close("]}").done()
    }

    /// The card.
    pub(super) fn card(&self) -> String {
        let mut card = format!("toolgate {}, up {}\n", self.version, span(self.uptime_s));
        // Writing to a String cannot fail.
        for listener in &self.listeners {
            let scheme = if listener.starts_with("unix:") { "" } else { "http://" };
            _ = writeln!(card, "listening    {scheme}{listener}");
        }
        if let Some(line) = self.tailnet.line() {
            _ = writeln!(card, "{line}");
        }
        _ = writeln!(card, "connections  {}, {} of them sockets", self.connections, self.sockets);
        _ = writeln!(
            card,
            "calls        {} running of {} at most, {} waiting",
            self.calls_running, self.calls_most, self.calls_waiting
        );
        for Traffic { name, running, waiting, refused } in &self.tools {
            _ = writeln!(card, "             {name}: {running} running, {waiting} waiting, {refused} refused");
        }
        if let (Some(now), Some(peak)) = (self.resident_kb, self.resident_peak_kb) {
            _ = writeln!(card, "memory       {now} KiB resident, {peak} KiB at most so far");
        }
        match &self.last_reload {
            None => card.push_str("reload       none since the start\n"),
            Some(reload) => {
                let how = if reload.ok { "in force" } else { "refused, nothing changed" };
                _ = writeln!(card, "reload       {how}, by {} at {}", reload.by, reload.at);
                for finding in &reload.findings {
                    _ = writeln!(card, "             {finding}");
                }
                for key in &reload.needs_restart {
                    _ = writeln!(card, "             {key} needs a restart");
                }
            }
        }
        for event in &self.last_errors {
            _ = writeln!(card, "{}  {} {}", event.at, event.level, event.event);
        }
        card.truncate(card.trim_end().len());
        card
    }
}

/// Seconds as people say them.
pub fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_card_tells_all() {
        let line = |number, level, text: &str| Line { number, seconds: 0, level, text: text.into() };
        let last = Last { by: "SIGHUP", seconds: 0, refused: vec!["gateway.prot: unknown".into()], held: Vec::new() };
        let report = Report {
            version: "1",
            user: 7,
            uptime_s: 90_061,
            config: Some("/etc/x".into()),
            config_age_s: 9,
            resident_kb: Some(5),
            resident_peak_kb: Some(7),
            listeners: vec!["127.0.0.1:1".into()],
            tailnet: Tailnet {
                state: "waiting",
                interface: "tailscale0".into(),
                listeners: vec![("100.64.0.1:1".into(), String::new())],
                why: "waiting for tailscale0".into(),
                backend: Some("NeedsLogin".into()),
                name: None,
                trouble: None,
            },
            connections: 2,
            sockets: 1,
            calls_running: 0,
            calls_waiting: 3,
            calls_most: 8,
            tools: vec![Traffic { name: "wake".into(), running: 1, waiting: 2, refused: 4 }],
            last_reload: Some(last.into()),
            last_errors: errors(vec![line(1, Level::Info, "call"), line(2, Level::Error, "broken")]),
        };
        let expected = "toolgate 1, up 1 d 1 h\nlistening    http://127.0.0.1:1\n\
            tailnet      waiting, tailscale NeedsLogin; waiting for tailscale0; 100.64.0.1:1 is not bound to tailscale0\nconnections  2, 1 of them sockets\n\
            calls        0 running of 8 at most, 3 waiting\n             wake: 1 running, 2 waiting, 4 refused\nmemory       5 KiB resident, 7 KiB at most so far\n\
            reload       refused, nothing changed, by SIGHUP at Thu, 01 Jan 1970 00:00:00 GMT\n             gateway.prot: unknown\n\
            Thu, 01 Jan 1970 00:00:00 GMT  ERROR broken";
        assert_eq!(report.card(), expected);
        let expected = "{\"version\":\"1\",\"user\":7,\"uptime_s\":90061,\
            \"config\":\"/etc/x\",\"config_age_s\":9,\"resident_kb\":5,\"resident_peak_kb\":7,\
            \"listeners\":[\"127.0.0.1:1\"],\
            \"tailnet\":{\"state\":\"waiting\",\"interface\":\"tailscale0\",\"listeners\":[{\"address\":\"100.64.0.1:1\",\
            \"interface\":\"\"}],\"why\":\"waiting for tailscale0\",\"backend\":\"NeedsLogin\",\"name\":null,\"trouble\":null},\
            \"connections\":2,\"sockets\":1,\"calls_running\":0,\"calls_waiting\":3,\
            \"calls_most\":8,\"tools\":[{\"name\":\"wake\",\"running\":1,\"waiting\":2,\"refused\":4}],\
            \"last_reload\":{\"at\":\"Thu, 01 Jan 1970 00:00:00 GMT\",\"by\":\"SIGHUP\",\"ok\":false,\
            \"findings\":[\"gateway.prot: unknown\"],\"needs_restart\":[]},\
            \"last_errors\":[{\"at\":\"Thu, 01 Jan 1970 00:00:00 GMT\",\"level\":\"ERROR\",\"event\":\"broken\"}]}";
        assert_eq!(report.json(), expected);
        assert!(memory().0.is_some_and(|kilobytes| kilobytes > 0));
        let check = |seconds: u64, expected: &str| assert_eq!(span(seconds), expected);
        check(59, "59 s");
        check(3_599, "59 min");
        check(7_260, "2 h 1 min");
    }
}
