//! An http URL → host, port and path. Pure. What two readers could take for different hosts is refused, not mended.

/// A URL, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// The host as written, an IPv6 address in its brackets; not yet judged.
    pub host: String,
    /// The port, 80 unless written.
    pub port: u16,
    /// Path and query, as they go on the request's line.
    pub path: String,
}

/// A host as it stands in a URL: an IPv6 address in brackets.
pub fn bracketed(host: &str) -> String {
    if host.contains(':') { ["[", host, "]"].concat() } else { host.to_owned() }
}

const SECURE: &str = "https is not spoken: this build has no TLS. Name a plain http port of that server, or put a \
    proxy in front of it that speaks https to it";

impl Url {
    /// Reads `http://host[:port][/path][?query][#fragment]`. The fragment is dropped.
    ///
    /// # Errors
    /// What is wrong, in words for whoever wrote it.
    pub fn read(text: &str) -> Result<Url, &'static str> {
        let scheme = |scheme: &str| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
        if scheme("https://") {
            return Err(SECURE);
        }
        if !scheme("http://") {
            return Err("the URL must begin with http://");
        }
        if !text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\') {
            return Err("the URL holds a character that must be percent-encoded");
        }
        let rest = text.split('#').next().unwrap_or_default().get(7..).unwrap_or_default();
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        // An IPv6 address has colons of its own, and ends with its bracket.
        let colon = authority.rfind(':').filter(|at| *at > authority.rfind(']').unwrap_or_default());
        let (host, port) = authority.split_at(colon.unwrap_or(authority.len()));
        let port = match port.strip_prefix(':').unwrap_or_default() {
            "" => 80,
            digits if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().unwrap_or_default(),
            _ => 0,
        };
        if host.is_empty() || host.contains('@') || (host.contains(':') && !host.starts_with('[')) || port == 0 {
            return Err("the URL must name a host, perhaps a port, and no user");
        }
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(Url { host: host.to_owned(), port, path: [slash, path].concat() })
    }

    /// The host and, where it is not 80, the port, as they stand in a request.
    pub fn authority(&self) -> String {
        if self.port == 80 { self.host.clone() } else { [&self.host, ":", &self.port.to_string()].concat() }
    }

    /// The path that a `Location` of this URL's answer leads to. `None`: to another host, port or scheme, or nowhere that
    /// is plain to see.
    pub fn follow(&self, location: &str) -> Option<String> {
        let mut whole = String::from("http:");
        match location.as_bytes() {
            [b'/', b'/', ..] => {}
            [b'/' | b'?', ..] => {
                whole.push_str("//");
                whole.push_str(&self.authority());
                if location.starts_with('?') {
                    whole.push_str(self.path.split('?').next().unwrap_or_default());
                }
            }
            _ => whole.clear(),
        }
        whole.push_str(location);
        let next = Url::read(&whole).ok()?;
        (next.port == self.port && next.host.eq_ignore_ascii_case(&self.host)).then_some(next.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<(&str, u16, &str)>) {
        let got = Url::read(text);
        let got = got.as_ref().ok().map(|url| (url.host.as_str(), url.port, url.path.as_str()));
        assert_eq!(got, expected, "{text:?}");
    }

    #[test]
    fn urls() {
        check("http://nas", Some(("nas", 80, "/")));
        check("HTTP://nas:8080/a/../b?c=d#e", Some(("nas", 8080, "/a/../b?c=d")));
        check("http://nas?x", Some(("nas", 80, "/?x")));
        check("http://nas:/", Some(("nas", 80, "/")));
        check("http://[fd00::5]:81/", Some(("[fd00::5]", 81, "/")));
        check("http://[fd00::5]", Some(("[fd00::5]", 80, "/")));
        check("http://nas/a:b@c", Some(("nas", 80, "/a:b@c")));
        for bad in
            ["https://nas/", "ftp://nas/", "nas/", "", "http://", "http:///x", "http://u@nas/", "http://u:p@nas/"]
        {
            check(bad, None);
        }
        for bad in
            ["http://nas:0/", "http://nas:65536/", "http://nas:+1/", "http://nas:8a/", "http://a:1:2/", "http://:1/"]
        {
            check(bad, None);
        }
        for bad in [
            "http://nas\\@evil/",
            "http://nas /",
            "http://nas/\r\nX: y",
            "http://n\u{e4}s/",
            "http://fd00::5/",
            "http://#@a/",
        ] {
            check(bad, None);
        }
        assert!(Url::read("https://a/").unwrap_err().contains("no TLS"));
    }

    #[test]
    fn redirects_stay_where_they_are() {
        let url = Url::read("http://nas:8080/a/b?c").unwrap();
        let check = |location: &str, expected: Option<&str>| {
            assert_eq!(url.follow(location).as_deref(), expected, "{location:?}");
        };
        check("/x", Some("/x"));
        check("/x?y#z", Some("/x?y"));
        check("?y", Some("/a/b?y"));
        check("http://NAS:8080/x", Some("/x"));
        check("//nas:8080/x", Some("/x"));
        for away in
            ["http://nas/x", "//nas/x", "http://evil:8080/x", "https://nas:8080/x", "//evil:8080/", "x", "", "#x"]
        {
            check(away, None);
        }
        for away in [
            "http://nas:8080@evil/",
            "http://127.0.0.1:8080/",
            "/x y",
            "/\\evil",
            "\\\\evil",
            "/x\r\nSet: y",
            "/\u{e9}",
        ] {
            check(away, None);
        }
    }
}
