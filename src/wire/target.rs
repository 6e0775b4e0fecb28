//! Request target → path and authority, the way a WHATWG URL parser with an `http` base would read it. Pure.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use super::Fault;

/// A request target, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target<'t> {
    /// The authority of an absolute-form target: it overrides the Host field.
    pub authority: Option<&'t str>,
    /// The path with dot segments resolved and backslashes read as slashes; not percent-decoded. `*` for `OPTIONS *`.
    pub path: Cow<'t, str>,
}

/// Reads `target` as an origin-form, absolute-form or (for OPTIONS) asterisk-form target. Query and fragment are dropped.
///
/// # Errors
/// [`Fault::TargetInvalid`] for any other form, an empty or malformed authority, user information or another scheme.
///
/// Source: RFC 9112 §3.2; contract http.md §1.2 step 3.
pub fn resolve(target: &str, options: bool) -> Result<Target<'_>, Fault> {
    if target == "*" {
        return if options {
            Ok(Target { authority: None, path: Cow::Borrowed("*") })
        } else {
            Err(Fault::TargetInvalid)
        };
    }
    let end = target.bytes().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(target.len());
    let rest = target.get(..end).unwrap_or_default();
    if let Some(path) = rest.strip_prefix('/') {
        if path.starts_with(['/', '\\']) {
            // `//x/y` names an authority in a URL; it does not override the Host field, because it is origin-form here.
            let (authority, path) = split_authority(path.trim_start_matches(['/', '\\']));
            return if host_valid(authority) {
                Ok(Target { authority: None, path: resolve_path(path) })
            } else {
                Err(Fault::TargetInvalid)
            };
        }
        return Ok(Target { authority: None, path: resolve_path(rest) });
    }
    let (scheme, rest) = rest.split_once("://").ok_or(Fault::TargetInvalid)?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(Fault::TargetInvalid);
    }
    let (authority, path) = split_authority(rest);
    if !host_valid(authority) {
        return Err(Fault::TargetInvalid);
    }
    Ok(Target { authority: Some(authority), path: resolve_path(path) })
}

fn split_authority(rest: &str) -> (&str, &str) {
    rest.split_at(rest.find(['/', '\\']).unwrap_or(rest.len()))
}

/// Resolves `.` and `..` segments, in their percent-encoded spellings too, and turns backslashes into slashes.
fn resolve_path(path: &str) -> Cow<'_, str> {
    let plain = |segment: &str| !is_dot(segment) && !is_dot_dot(segment);
    if path.starts_with('/') && !path.contains('\\') && path.split('/').all(plain) {
        return Cow::Borrowed(path);
    }
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.strip_prefix(['/', '\\']).unwrap_or(path).split(['/', '\\']).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        if is_dot_dot(segment) {
            kept.pop();
        } else if !is_dot(segment) {
            kept.push(segment);
            continue;
        }
        if last {
            kept.push("");
        }
    }
    Cow::Owned(format!("/{}", kept.join("/")))
}

fn is_dot(segment: &str) -> bool {
    segment == "." || segment.eq_ignore_ascii_case("%2e")
}

fn is_dot_dot(segment: &str) -> bool {
    ["..", ".%2e", "%2e.", "%2e%2e"].iter().any(|dots| segment.eq_ignore_ascii_case(dots))
}

/// Whether `text` is a non-empty host with an optional port and nothing else. Source: RFC 3986 §3.2.2, RFC 9112 §3.2.
pub fn host_valid(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let Some((literal, after)) = rest.split_once(']') else { return false };
            if literal.parse::<Ipv6Addr>().is_err() {
                return false;
            }
            match after {
                "" => return true,
                _ => match after.strip_prefix(':') {
                    Some(port) => ("", port),
                    None => return false,
                },
            }
        }
        None => match text.split_once(':') {
            Some((host, port)) if !host.is_empty() => (host, port),
            Some(_) => return false,
            None if text.is_empty() => return false,
            None => (text, ""),
        },
    };
    let port_valid = port.is_empty() || (port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok());
    port_valid && reg_name_valid(host)
}

fn reg_name_valid(host: &str) -> bool {
    let mut bytes = host.bytes();
    while let Some(byte) = bytes.next() {
        let good = match byte {
            b'%' => {
                bytes.next().is_some_and(|b| b.is_ascii_hexdigit())
                    && bytes.next().is_some_and(|b| b.is_ascii_hexdigit())
            }
            _ => byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte),
        };
        if !good {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(target: &str, expected: Option<(Option<&str>, &str)>) {
        let got = resolve(target, false);
        let got = got.as_ref().ok().map(|t| (t.authority, t.path.as_ref()));
        assert_eq!(got, expected, "{target:?}");
    }

    #[test]
    fn targets() {
        check("/tools/invoke", Some((None, "/tools/invoke")));
        check("/tools/invoke?x=1", Some((None, "/tools/invoke")));
        check("/tools/invoke#frag", Some((None, "/tools/invoke")));
        check("/tools\\invoke", Some((None, "/tools/invoke")));
        check("/tools/x/../invoke", Some((None, "/tools/invoke")));
        check("/tools/./invoke", Some((None, "/tools/invoke")));
        check("/tools/%2E%2e/tools/%2einvoke", Some((None, "/tools/%2einvoke")));
        check("/../../health", Some((None, "/health")));
        check("/tools/invoke/..", Some((None, "/tools/")));
        check("/tools/%69nvoke", Some((None, "/tools/%69nvoke")));
        check("/tools/invoke/", Some((None, "/tools/invoke/")));
        check("//x/y", Some((None, "/y")));
        check("//x", Some((None, "/")));
        check("http://evil/tools/invoke", Some((Some("evil"), "/tools/invoke")));
        check("HTTP://a:80", Some((Some("a:80"), "/")));
        check("https://[::1]:1/x/../y?z", Some((Some("[::1]:1"), "/y")));
        for bad in [
            "",
            "*",
            "//",
            "///",
            "//[",
            "http://",
            "http://[",
            "http://a b/",
            "http://u@h/",
            "ftp://h/",
            "tools/invoke",
            "\\tools",
            "h:1",
            "http:/h",
        ] {
            check(bad, None);
        }
        assert_eq!(resolve("*", true).map(|t| t.path.into_owned()), Ok("*".into()));
    }

    #[test]
    fn hosts() {
        let check = |text: &str, expected: bool| assert_eq!(host_valid(text), expected, "{text:?}");
        for good in
            ["a", "a.b:1", "127.0.0.1:19111", "[::1]", "[::1]:8080", "pi.example.ts.net", "a_b", "%41", "a:", "a:65535"]
        {
            check(good, true);
        }
        for bad in [
            "", " ", "a b", "[", "[::1", "[::1]x", "[x]", ":80", "a:b", "a:65536", "u@h", "a/b", "a%4", "a\\b",
            "a:1:2", "é",
        ] {
            check(bad, false);
        }
    }
}
