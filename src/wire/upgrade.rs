//! A head → whether and how its connection becomes a WebSocket.

use super::base64;
use super::head::{Head, Method};
use super::line::is_token;

/// What is appended to a key before it is digested. Source: RFC 6455 §1.3.
const SALT: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The versions that are spoken, for those who ask for another: they frame alike. Source: contract ws.md §1.1.
pub const VERSIONS: &str = "13, 8";

/// Why a request for the protocol is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The key is missing, repeated or not the base64 of 16 bytes.
    Key,
    /// The method is not GET.
    Method,
    /// The version is missing, repeated or not one of [`VERSIONS`].
    Version,
}

impl Refused {
    /// The stable reason word for the log.
    pub fn word(self) -> &'static str {
        match self {
            Refused::Key => "socket_key_invalid",
            Refused::Method => "socket_method_invalid",
            Refused::Version => "socket_version_unknown",
        }
    }
}

/// Whether the head asks for the WebSocket protocol: `Upgrade` names `websocket` in any case and `Connection` lists
/// `upgrade`. Anything else (another protocol, one field without the other, HTTP/1.0) is ordinary HTTP.
///
/// Source: RFC 9110 §7.8; RFC 6455 §4.2.1.
pub fn asked(head: &Head) -> bool {
    let names = |field: &str, wanted: &[u8]| head.elements(field).any(|element| element.eq_ignore_ascii_case(wanted));
    !head.is_http10() && names("upgrade", b"websocket") && names("connection", b"upgrade")
}

/// Checks a head for which [`asked`] is true.
///
/// # Errors
/// The first of method, key and version that cannot stand.
///
/// Source: RFC 6455 §4.2.1; contract ws.md §1.1, for the order too.
pub fn check(head: &Head) -> Result<Accept, Refused> {
    if head.method() != Method::Get {
        return Err(Refused::Method);
    }
    let key = only(head, "sec-websocket-key").filter(|key| is_key(key)).ok_or(Refused::Key)?;
    match only(head, "sec-websocket-version") {
        Some(b"13" | b"8") => {}
        _ => return Err(Refused::Version),
    }
    let protocol = head.elements("sec-websocket-protocol").next().filter(|name| name.iter().all(|b| is_token(*b)));
    let protocol = protocol.and_then(|name| std::str::from_utf8(name).ok()).map(Box::from);
    Ok(Accept { key: accept(key), protocol })
}

/// What `Sec-WebSocket-Accept` says to a key. Source: RFC 6455 §4.2.2.
pub fn accept(key: &[u8]) -> String {
    let mut digest = sha1_smol::Sha1::from(key);
    digest.update(SALT);
    base64::encode(&digest.digest().bytes())
}

/// The value of a field that may stand once.
fn only<'h>(head: &'h Head, field: &'h str) -> Option<&'h [u8]> {
    let mut only = None;
    for value in head.values(field) {
        if only.replace(value).is_some() {
            return None;
        }
    }
    only
}

/// Whether `key` has the form of 16 bytes in base64. As in the reference, the four bits behind them may be anything.
fn is_key(key: &[u8]) -> bool {
    let digits = key.strip_suffix(b"==").unwrap_or_default();
    digits.len() == 22 && digits.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
}

/// A connection that becomes a WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accept {
    key: String,
    protocol: Option<Box<str>>,
}

impl Accept {
    /// The whole head of the answer, its empty line included. It names the first subprotocol that was offered, if that
    /// is a token, because browsers want one of theirs named; it never names an extension.
    ///
    /// Source: RFC 6455 §4.2.2; contract ws.md §1.1.
    pub fn answer(&self) -> Vec<u8> {
        let mut out = String::from(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ",
        );
        out.push_str(&self.key);
        if let Some(protocol) = &self.protocol {
            out.push_str("\r\nSec-WebSocket-Protocol: ");
            out.push_str(protocol);
        }
        out.push_str("\r\n\r\n");
        out.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sample of RFC 6455 §1.3.
    const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";

    fn head(line: &str, fields: &[&str]) -> Head {
        Head::parse(format!("{line}\r\nHost: a\r\n{}\r\n\r\n", fields.join("\r\n")).into_bytes()).expect("a head")
    }

    #[test]
    fn what_asks_for_the_protocol() {
        let check = |line: &str, fields: &[&str], expected: bool| {
            assert_eq!(asked(&head(line, fields)), expected, "{line} {fields:?}");
        };
        let get = "GET / HTTP/1.1";
        check(get, &["Upgrade: websocket", "Connection: Upgrade"], true);
        check(get, &["Upgrade: WebSocket", "Connection: keep-alive, upgrade"], true);
        check(get, &["Upgrade: h2c, websocket", "Connection: keep-alive", "Connection: UPGRADE"], true);
        check("POST / HTTP/1.1", &["Upgrade: websocket", "Connection: Upgrade"], true);
        check(get, &["Upgrade: websocket"], false);
        check(get, &["Upgrade: websocket", "Connection: keep-alive"], false);
        check(get, &["Connection: Upgrade"], false);
        check(get, &["Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings"], false);
        check(get, &["Upgrade: websockets", "Connection: Upgrade"], false);
        check(get, &["Upgrade: websocket/13", "Connection: Upgrade"], false);
        check("GET / HTTP/1.0", &["Upgrade: websocket", "Connection: Upgrade"], false);
    }

    #[test]
    fn what_is_refused() {
        let version = "Sec-WebSocket-Version: 13";
        refused("POST / HTTP/1.1", &[KEY, version], Some(Refused::Method));
        refused("HEAD / HTTP/1.1", &[], Some(Refused::Method));
        let get = "GET / HTTP/1.1";
        refused(get, &[], Some(Refused::Key));
        refused(get, &[version], Some(Refused::Key));
        refused(get, &[KEY, KEY, version], Some(Refused::Key));
        refused(get, &["Sec-WebSocket-Key:", version], Some(Refused::Key));
        for key in [
            "dGhlIHNhbXBsZSBub25jZQ",
            "dGhlIHNhbXBsZSBub25jZQ=",
            "dGhlIHNhbXBsZSBub25jZ===",
            "dGhlIHNhbXBsZSBub25j",
            "dGhlIHNhbXBsZSBub25jZQQ==",
            "dGhlIHNhbXBsZSBub25-ZQ==",
            "dGhlIHNhbXBsZSBub2 jZQ==",
            "==dGhlIHNhbXBsZSBub25jZQ",
            "=====================Q==",
        ] {
            refused(get, &[&format!("Sec-WebSocket-Key: {key}"), version], Some(Refused::Key));
        }
        refused(get, &[KEY], Some(Refused::Version));
        for number in ["12", "", "7", "14", "013", "13.0", "0xd", "13, 8", "255"] {
            refused(get, &[KEY, &format!("Sec-WebSocket-Version: {number}")], Some(Refused::Version));
        }
        refused(get, &[KEY, version, "Sec-WebSocket-Version: 8"], Some(Refused::Version));
        refused(get, &[KEY, version], None);
        refused(get, &[KEY, "Sec-WebSocket-Version: 8"], None);
        refused(get, &["sec-websocket-KEY:   AAAAAAAAAAAAAAAAAAAAAf==", version], None);
    }

    fn refused(line: &str, fields: &[&str], expected: Option<Refused>) {
        assert_eq!(check(&head(line, fields)).err(), expected, "{line} {fields:?}");
    }

    #[test]
    fn answers() {
        answer("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits", "");
        answer("Sec-WebSocket-Protocol: openclaw.v3, other", "Sec-WebSocket-Protocol: openclaw.v3\r\n");
        answer("Sec-WebSocket-Protocol: ,one\r\nSec-WebSocket-Protocol: two", "Sec-WebSocket-Protocol: one\r\n");
        answer("Sec-WebSocket-Protocol: no token, other", "");
        answer("Sec-WebSocket-Protocol: \u{e9}", "");
        answer("Sec-WebSocket-Protocol:", "");
    }

    /// The head of the answer to a good request with that field.
    fn answer(field: &str, protocol: &str) {
        let accept = check(&head("GET /any HTTP/1.1", &[KEY, "Sec-WebSocket-Version: 13", field])).expect("accepted");
        let expected = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n{protocol}\r\n"
        );
        assert_eq!(String::from_utf8(accept.answer()).unwrap(), expected, "{field}");
    }
}
