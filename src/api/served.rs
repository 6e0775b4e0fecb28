//! What Tailscale Serve says of a request that it passes on: for whom, and as whom. Pure.
//!
//! These claims count on one listener only, the Unix socket that nobody but tailscaled is to reach, and there whois has
//! the last word. Everywhere else nothing reads them. Source: edge.md §0 item 4, §4 items 5, 6.

use std::net::IpAddr;

use crate::gate::tailnet::Who;
use crate::wire::head::Head;

/// The one address that Serve passes a request on for, canonical. `None` when it names none, or the head names more than
/// one, or the address is nobody's: Serve puts exactly one there and takes away what the client sent.
pub fn served_for(head: &Head) -> Option<IpAddr> {
    let mut fields = head.values("x-forwarded-for");
    let (Some(field), None) = (fields.next(), fields.next()) else { return None };
    let addr = std::str::from_utf8(field).ok()?.trim().parse::<IpAddr>().ok()?.to_canonical();
    // Traffic of the tailnet comes from its addresses only, that of this machine included.
    (!addr.is_loopback() && !addr.is_unspecified() && !addr.is_multicast()).then_some(addr)
}

/// Whether Serve names the same person as whois does. It names nobody for a tagged node, and a person's login exactly
/// once: missing is not local, and not trusted.
pub fn served_as(head: &Head, who: &Who) -> bool {
    let mut fields = head.values("tailscale-user-login");
    match (&who.login, fields.next(), fields.next()) {
        (None, None, _) => true,
        (Some(login), Some(sent), None) => {
            let sent = sent.trim_ascii();
            // Only what is no ASCII is encoded, so no other login can be spelled in two ways.
            let decoded = if login.is_ascii() { None } else { decoded(sent) };
            decoded.as_deref().unwrap_or(sent).eq_ignore_ascii_case(login.as_bytes())
        }
        _ => false,
    }
}

/// The bytes behind Q-encoded words, as Go writes them; `None` for anything else. Source: RFC 2047 §2, §4.2.
fn decoded(sent: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for word in sent.split(|byte| *byte == b' ') {
        let (head, rest) = word.split_at_checked(10)?;
        let mut text = rest.strip_suffix(b"?=").filter(|_| head.eq_ignore_ascii_case(b"=?utf-8?q?"))?;
        while let Some((byte, rest)) = text.split_first() {
            text = rest;
            bytes.push(match byte {
                b'_' => b' ',
                b'=' => {
                    let (digits, rest) = text.split_at_checked(2)?;
                    text = rest;
                    // A sign would pass as a digit.
                    let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'))?;
                    u8::from_str_radix(digits, 16).ok()?
                }
                other => *other,
            });
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(fields: &str) -> Head {
        Head::parse(format!("GET / HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n").into_bytes()).expect("a head")
    }

    #[test]
    fn serve_names_exactly_one_address() {
        let check = |fields: &str, expected: Option<&str>| {
            let expected = expected.map(|addr| addr.parse::<IpAddr>().expect("an address"));
            assert_eq!(served_for(&head(fields)), expected, "{fields:?}");
        };
        check("X-Forwarded-For: 100.64.0.7\r\n", Some("100.64.0.7"));
        check("x-forwarded-for:  fd7a:115c:a1e0::7 \r\n", Some("fd7a:115c:a1e0::7"));
        check("X-Forwarded-For: ::ffff:100.64.0.7\r\n", Some("100.64.0.7"));
        check("", None);
        check("X-Forwarded-For:\r\n", None);
        check("X-Forwarded-For: 100.64.0.7, 100.64.0.8\r\n", None);
        check("X-Forwarded-For: 100.64.0.7,\r\n", None);
        check("X-Forwarded-For: 100.64.0.7\r\nX-Forwarded-For: 100.64.0.7\r\n", None);
        check("X-Forwarded-For: 100.64.0.7\r\nX-Forwarded-For:\r\n", None);
        check("X-Forwarded-For: 100.64.0.7:443\r\n", None);
        check("X-Forwarded-For: [fd7a:115c:a1e0::7]\r\n", None);
        check("X-Forwarded-For: fe80::1%tailscale0\r\n", None);
        check("X-Forwarded-For: 0100.64.0.7\r\n", None);
        check("X-Forwarded-For: unknown\r\n", None);
        check("X-Forwarded-For: 127.0.0.1\r\n", None);
        check("X-Forwarded-For: ::ffff:127.0.0.1\r\n", None);
        check("X-Forwarded-For: 0.0.0.0\r\n", None);
        check("Forwarded: for=100.64.0.7\r\n", None);
        check("X-Real-IP: 100.64.0.7\r\n", None);
    }

    #[test]
    fn serve_and_whois_name_the_same_person() {
        let check = |login: &str, fields: &str, expected: bool| {
            let login = Some(login).filter(|login| !login.is_empty()).map(Box::from);
            let who = Who { login, node: "phone".into(), ..Who::default() };
            assert_eq!(served_as(&head(fields), &who), expected, "{who:?} {fields:?}");
        };
        let login = |login: &str| format!("Tailscale-User-Login: {login}\r\n");
        check("alice@example.com", &login("alice@example.com"), true);
        check("Alice@Example.com", &login(" alice@example.COM "), true);
        check("alice@example.com", &login("bob@example.com"), false);
        check("alice@example.com", &login("alice@example.com.evil"), false);
        check("alice@example.com", &login(""), false);
        // Missing is normal for a tagged node, and for nobody else.
        check("alice@example.com", "", false);
        check("", "", true);
        check("", &login("alice@example.com"), false);
        check("", &login(""), false);
        check("", &login("tagged-devices"), false);
        check("alice@example.com", &[login("alice@example.com"), login("alice@example.com")].concat(), false);
        check("alice@example.com", &[login("alice@example.com"), login("bob@example.com")].concat(), false);
        check("alice@example.com", "Tailscale-User-Name: alice@example.com\r\n", false);
        // What is no ASCII comes encoded, long texts in several words; what is ASCII never does.
        check("änne@exämple.com", &login("=?utf-8?q?=C3=A4nne@ex=C3=A4mple.com?="), true);
        check("änne@exämple.com", &login("=?UTF-8?Q?=c3=a4nne@ex=c3=a4mple.COM?="), true);
        check("ä b@example.com", &login("=?utf-8?q?=C3=A4_?= =?utf-8?q?b@example.com?="), true);
        check("änne@example.com", &login("=?utf-8?q?=C3=A5nne@example.com?="), false);
        check("änne@example.com", &login("=?iso-8859-1?q?=E4nne@example.com?="), false);
        check("änne@example.com", &login("=?utf-8?b?w6RubmVAZXhhbXBsZS5jb20=?="), false);
        check("alice@example.com", &login("=?utf-8?q?alice@example.com?="), false);
        for broken in ["=?utf-8?q?=C3=A", "=?utf-8?q?=C3=A4nne@example.com", "=?utf-8?q?=+3?=", "=?utf-8?q?=", "=?utf"]
        {
            check("änne@example.com", &login(broken), false);
        }
    }
}
