//! A request of our own → its bytes. What would end a line cannot get into one.

use super::Fault;
use super::line::{is_token, is_value};
use super::target;

/// The fields that are the writer's own, because they frame the message or say what the reader understands.
const OWN: [&str; 12] = [
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A request being written: one request on its connection, whose answer may not be compressed.
#[derive(Debug)]
pub struct Ask {
    out: Vec<u8>,
    /// Whether a request of this method without content says so.
    counted: bool,
}

impl Ask {
    /// A request for `path`, which is a path and a query, at `host`, which may have a port.
    ///
    /// # Errors
    /// [`Fault::MethodUnknown`], [`Fault::TargetInvalid`], [`Fault::HostInvalid`] for what cannot stand on its line.
    ///
    /// Source: RFC 9112 §3, §3.2.1.
    pub fn new(method: &str, path: &str, host: &str) -> Result<Ask, Fault> {
        if method.is_empty() || !method.bytes().all(is_token) {
            return Err(Fault::MethodUnknown);
        }
        if !path.starts_with('/') || !path.bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
            return Err(Fault::TargetInvalid);
        }
        if !target::host_valid(host) {
            return Err(Fault::HostInvalid);
        }
        let line = [method, " ", path, " HTTP/1.1\r\nHost: ", host];
        let rest = "\r\nConnection: close\r\nAccept-Encoding: identity\r\n";
        let out = [&line.concat(), rest].concat().into_bytes();
        Ok(Ask { out, counted: !matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE") })
    }

    /// Adds a field.
    ///
    /// # Errors
    /// [`Fault::FieldInvalid`] when the name is no token, the value holds a line end or another control byte, or the
    /// field is one that frames the message.
    ///
    /// Source: RFC 9110 §5.1, §5.5.
    pub fn field(&mut self, name: &str, value: &[u8]) -> Result<(), Fault> {
        let own = OWN.iter().any(|own| own.eq_ignore_ascii_case(name));
        if own || name.is_empty() || !name.bytes().all(is_token) || !value.iter().all(|b| is_value(*b)) {
            return Err(Fault::FieldInvalid);
        }
        self.push(name, value);
        Ok(())
    }

    fn push(&mut self, name: &str, value: &[u8]) {
        for part in [name.as_bytes(), b": ", value, b"\r\n"] {
            self.out.extend_from_slice(part);
        }
    }

    /// The whole request.
    pub fn finish(mut self, content: &[u8]) -> Vec<u8> {
        if self.counted || !content.is_empty() {
            self.push("Content-Length", content.len().to_string().as_bytes());
        }
        self.out.extend_from_slice(b"\r\n");
        self.out.extend_from_slice(content);
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::head::{Head, Scanner};

    #[test]
    fn what_we_write_we_would_read() {
        let mut ask = Ask::new("POST", "/api/x?y=%20", "[::1]:8123").unwrap();
        ask.field("Authorization", b"Bearer t").unwrap();
        ask.field("X-Empty", b"").unwrap();
        let bytes = ask.finish(b"{}");
        let end = Scanner::default().scan(&bytes).unwrap().unwrap();
        assert_eq!(&bytes[end..], b"{}");
        let head = Head::parse(bytes[..end].to_vec()).unwrap();
        assert_eq!((head.host(), head.path()), (Some("[::1]:8123"), "/api/x"));
        assert_eq!(head.values("content-length").collect::<Vec<_>>(), [b"2"]);
        assert_eq!(head.values("authorization").collect::<Vec<_>>(), [b"Bearer t"]);
        let bare = String::from_utf8(Ask::new("GET", "/", "a").unwrap().finish(b"")).unwrap();
        assert_eq!(bare, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAccept-Encoding: identity\r\n\r\n");
        let empty = Ask::new("PUT", "/", "a").unwrap().finish(b"");
        assert!(empty.ends_with(b"\r\nContent-Length: 0\r\n\r\n"));
    }

    #[test]
    fn nothing_ends_a_line_but_the_writer() {
        for hostile in ["\r\n", "\n", "\r", "\0", "a\r\nHost: b", "\x7f", "a b\x0b"] {
            let mut ask = Ask::new("GET", "/", "a").unwrap();
            assert_eq!(ask.field("X", hostile.as_bytes()), Err(Fault::FieldInvalid), "{hostile:?}");
            assert_eq!(ask.field(hostile, b"x"), Err(Fault::FieldInvalid), "{hostile:?}");
            assert_eq!(Ask::new(hostile, "/", "a").err(), Some(Fault::MethodUnknown), "{hostile:?}");
            assert_eq!(Ask::new("GET", &["/", hostile].concat(), "a").err(), Some(Fault::TargetInvalid), "{hostile:?}");
            assert_eq!(Ask::new("GET", "/", hostile).err(), Some(Fault::HostInvalid), "{hostile:?}");
        }
        for path in ["", "x", "*", "http://a/", "/a b", "/é", "/#x"] {
            assert_eq!(Ask::new("GET", path, "a").err(), Some(Fault::TargetInvalid), "{path:?}");
        }
        for own in ["Host", "CONNECTION", "content-length", "Transfer-Encoding", "Accept-Encoding", "", "a:", "a b"] {
            assert_eq!(Ask::new("GET", "/", "a").unwrap().field(own, b"x"), Err(Fault::FieldInvalid), "{own:?}");
        }
    }
}
