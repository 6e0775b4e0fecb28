//! What tailscaled passes on by itself: `tailscale serve` and `tailscale funnel`, as its LocalAPI tells of them.
//!
//! Whatever is not as it should be counts as no answer. Source: tailscale ipn/serve.go (ServeConfig), ipn/localapi/serve.go.

use std::path::Path;

use super::localapi::{self, Missing, STRANGE, pick, word};
use super::schema;
use crate::limits::LOCAL_API_BYTES;

/// A way from a port of this device's name on the tailnet to something on this device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// The port on the tailnet.
    pub port: u16,
    /// Whether the internet comes this way as well.
    pub funnel: bool,
    /// Whether connections are passed on as they are, and not requests with fields that say so.
    pub bytes: bool,
    /// Where to: `HOST:PORT`, a URL, or `unix:` and a path.
    pub to: String,
}

/// All ways, in no order. A tailscaled that was built without them has none.
///
/// # Errors
/// That tailscaled does not run, or does not say.
pub async fn all(socket: &Path) -> Result<Vec<Forward>, Missing> {
    let said = localapi::ask(socket, "/localapi/v0/serve-config", LOCAL_API_BYTES).await?;
    let mut found = Vec::new();
    match said {
        Some(said) => read(said.trim(), true, &mut found).map(|()| found).ok_or(STRANGE),
        None => Ok(found),
    }
}

/// Adds the ways in one configuration; with those within it if it is the `outer` one, for there is one such step only.
fn read(json: &str, outer: bool, found: &mut Vec<Forward>) -> Option<()> {
    if json == "null" {
        return Some(());
    }
    let [tcp, web, funnel, foreground, services] =
        pick(json, &["TCP", "Web", "AllowFunnel", "Foreground", "Services"])?;
    let mut open = Vec::new();
    each(funnel, &mut |name, allowed| {
        if allowed == "true" {
            open.push(port(name)?);
        }
        Some(())
    })?;
    let mut add = |port: u16, bytes: bool, to: Option<&str>| {
        if let Some(to) = to {
            found.push(Forward { port, funnel: open.contains(&port), bytes, to: word(to)? });
        }
        Some(())
    };
    each(tcp, &mut |number, handler| add(port(number)?, true, pick(handler, &["TCPForward"])?[0]))?;
    each(web, &mut |name, server| {
        let [handlers, ..] = pick(server, &["Handlers"])?;
        each(handlers, &mut |_, handler| add(port(name)?, false, pick(handler, &["Proxy"])?[0]))
    })?;
    if outer {
        let within = &mut |_: &str, config: &str| read(config, false, found);
        each(foreground, within)?;
        each(services, within)?;
    }
    Some(())
}

/// The port at the end of a name, or alone.
fn port(name: &str) -> Option<u16> {
    name.rsplit(':').next()?.parse().ok()
}

/// Calls `take` with each member that is not null, until it takes one no more.
fn each(json: Option<&str>, take: &mut dyn FnMut(&str, &str) -> Option<()>) -> Option<()> {
    let Some(json) = json else { return Some(()) };
    let read = schema::read_members(json, &mut |key, value| match value.get() {
        "null" => Some(()),
        value => take(std::str::from_utf8(key).ok()?, value),
    });
    read.ok()?.then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ways(json: &str) -> Option<Vec<(u16, bool, bool, String)>> {
        let mut found = Vec::new();
        read(json, true, &mut found)?;
        Some(found.into_iter().map(|way| (way.port, way.funnel, way.bytes, way.to)).collect())
    }

    #[test]
    fn what_the_real_one_says() {
        let check = |json: &str, expected: &[(u16, bool, bool, &str)]| {
            let expected = expected.iter().map(|(port, funnel, bytes, to)| (*port, *funnel, *bytes, (*to).to_owned()));
            assert_eq!(ways(json), Some(expected.collect()), "{json}");
        };
        check("null", &[]);
        check("{}", &[]);
        let served = r#"{"TCP":{"443":{"HTTPS":true}},"Web":{"pi.example.ts.net:443":{"Handlers":{
            "/":{"Proxy":"http://127.0.0.1:18789"},"/a":{"Path":"/srv"},"/b":{"Text":"x"},
            "/c":{"Proxy":"unix:/run/x.sock"}}}}}"#;
        check(served, &[(443, false, false, "http://127.0.0.1:18789"), (443, false, false, "unix:/run/x.sock")]);
        let passed = r#"{"TCP":{"5432":{"TCPForward":"127.0.0.1:18789"},
            "10000":{"TCPForward":"localhost:1","TerminateTLS":"pi.example.ts.net","ProxyProtocol":2}},
            "AllowFunnel":{"pi.example.ts.net:10000":true,"pi.example.ts.net:5432":false}}"#;
        check(passed, &[(5432, false, true, "127.0.0.1:18789"), (10_000, true, true, "localhost:1")]);
        let within = r#"{"Foreground":{"b5d3":{"TCP":{"8443":{"HTTPS":true}},"AllowFunnel":{"pi:8443":true},
            "Web":{"pi:8443":{"Handlers":{"/":{"Proxy":"http://localhost:2"}}}}}},
            "Services":{"svc:db":{"TCP":{"7":{"TCPForward":"127.0.0.1:3"}}},"svc:tun":{"Tun":true}}}"#;
        check(within, &[(8443, true, false, "http://localhost:2"), (7, false, true, "127.0.0.1:3")]);
        check(r#"{"TCP":null,"Web":{"pi:1":null},"Foreground":{"x":null}}"#, &[]);
        // The real one has no such thing in a foreground configuration.
        check(r#"{"Foreground":{"a":{"Foreground":{"b":{"TCP":{"7":{"TCPForward":"127.0.0.1:3"}}}}}}}"#, &[]);
    }

    #[test]
    fn what_no_real_one_says() {
        for json in [
            "",
            "5",
            "[]",
            r#"{"TCP":[]}"#,
            r#"{"TCP":{"65536":{"TCPForward":"a:1"}}}"#,
            r#"{"TCP":{"1":{"TCPForward":5}}}"#,
            r#"{"TCP":{"1":{"TCPForward":"a\n:1"}}}"#,
            r#"{"TCP":{"1":{"TCPForward":"a:1","TCPForward":"b:1"}}}"#,
            r#"{"TCP":{},"TCP":{}}"#,
            r#"{"AllowFunnel":{"pi":true}}"#,
            r#"{"Web":{"pi:1":{"Handlers":{"/":{"Proxy":{}}}}}}"#,
            r#"{"Foreground":{"a":{"TCP":{"x":{}}}}}"#,
        ] {
            assert_eq!(ways(json), None, "{json}");
        }
    }
}
