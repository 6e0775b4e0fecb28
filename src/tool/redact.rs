//! A line of somebody else's log → the same line without what looks like a secret, and without control bytes. Pure.

use crate::limits::LOG_TAIL_LINE_BYTES;

/// Words before a secret, in lower case: `token=…`, `"password": "…"`, `X-Api-Key: …`.
const KEYS: [&str; 12] = [
    "authorization",
    "cookie",
    "api-key",
    "api_key",
    "apikey",
    "passphrase",
    "passwd",
    "password",
    "psk",
    "pwd",
    "secret",
    "token",
];

/// So many of them, the first, stand before secrets with spaces in them, which go on to the line's end.
const LINES: usize = 2;

/// What stands for a secret.
const HIDDEN: &str = "[redacted]";

/// `line` as it may be shown: at most [`LOG_TAIL_LINE_BYTES`] of it, secrets hidden, control characters and those that
/// turn the direction of text written as escapes.
pub(super) fn clean(line: &str) -> String {
    let text = cut(line, LOG_TAIL_LINE_BYTES);
    // The same bytes at the same places: only ASCII changes.
    let lower = text.to_ascii_lowercase();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let (Some(rest), Some(char)) = (lower.get(at..), text.get(at..).and_then(|rest| rest.chars().next())) {
        if let Some((before, hidden)) = secret(rest) {
            let shown = text.get(at..at.saturating_add(before)).unwrap_or_default();
            shown.chars().for_each(|char| push(&mut out, char));
            out.push_str(HIDDEN);
            at = at.saturating_add(before).saturating_add(hidden);
        } else {
            push(&mut out, char);
            at = at.saturating_add(char.len_utf8());
        }
    }
    if text.len() < line.len() {
        out.push('…');
    }
    out
}

/// `text` without what is behind its first `most` bytes.
pub fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    end.and_then(|end| text.get(..end)).unwrap_or_default()
}

/// Whether `char` turns the direction of text. Source: UAX #9 §2.
pub fn turns(char: char) -> bool {
    matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn push(out: &mut String, char: char) {
    if turns(char) || (char.is_control() && char != '\t') {
        out.extend(char.escape_unicode());
    } else {
        out.push(char);
    }
}

/// If `rest` begins with a secret's announcement: the lengths of that and of the secret.
fn secret(rest: &str) -> Option<(usize, usize)> {
    let is_quote = |c: char| matches!(c, '"' | '\'');
    if let Some(value) = rest.strip_prefix("://") {
        // A user and a password, before the host.
        let end = value.find(|c: char| c == '/' || c.is_whitespace() || is_quote(c)).unwrap_or(value.len());
        return announced(rest, value, value.get(..end)?.rfind('@')?);
    }
    let (value, lines) = match rest.strip_prefix("bearer ") {
        Some(after) => (after, false),
        None => {
            let at = KEYS.iter().position(|key| rest.starts_with(key))?;
            let after = rest.get(KEYS.get(at)?.len()..)?.trim_start();
            let after = after.strip_prefix(is_quote).unwrap_or(after).trim_start();
            (after.strip_prefix([':', '='])?, at < LINES)
        }
    };
    let value = value.trim_start();
    let quote = value.chars().next().filter(|c| is_quote(*c));
    let value = value.get(usize::from(quote.is_some())..)?;
    let mut escaped = false;
    let end = value.find(|c: char| {
        let end = match quote {
            Some(quote) => !escaped && c == quote,
            None => !lines && (c.is_whitespace() || matches!(c, '"' | '\'' | '&' | ',' | ';' | ')' | ']' | '}' | '<')),
        };
        escaped = !escaped && c == '\\';
        end
    });
    announced(rest, value, end.unwrap_or(value.len()))
}

fn announced(rest: &str, value: &str, secret: usize) -> Option<(usize, usize)> {
    if secret == 0 { None } else { Some((rest.len().saturating_sub(value.len()), secret)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: &str) {
        assert_eq!(clean(line), expected, "{line:?}");
    }

    #[test]
    fn secrets_are_hidden() {
        check("GET /x Bearer abc.def-ghi 200", "GET /x Bearer [redacted] 200");
        check("BEARER  abc", "BEARER  [redacted]");
        check("bearer", "bearer");
        check("the bearer of bad news", "the bearer [redacted] bad news");
        check("GET /?token=abc&x=1", "GET /?token=[redacted]&x=1");
        check("access_token=abc refresh_token=def", "access_token=[redacted] refresh_token=[redacted]");
        check("{\"token\": \"abc\",\"n\":1}", "{\"token\": \"[redacted]\",\"n\":1}");
        check("Password: hunter2, user: x", "Password: [redacted], user: x");
        check("password is wrong; tokens: 5; token=", "password is wrong; tokens: 5; token=");
        check("X-API-Key: k1; secret='s p' x", "X-API-Key: [redacted]; secret='[redacted]' x");
        check("Authorization: Basic dXNlcjp4", "Authorization: [redacted]");
        check("-H 'authorization: Digest a=\u{1}b, c' /x", "-H 'authorization: [redacted]");
        check("{\"Authorization\": \"Basic dXNlcg==\",\"n\":1}", "{\"Authorization\": \"[redacted]\",\"n\":1}");
        check("Cookie: a=\"b\"; c=d", "Cookie: [redacted]");
        check("Set-Cookie: a=b; Path=/", "Set-Cookie: [redacted]");
        check("GET https://bob:hunt;2@cam/ ok a@b", "GET https://[redacted]@cam/ ok a@b");
        check("http://h/a@b http://h", "http://h/a@b http://h");
        check("wpa_passphrase=a psk=b", "wpa_passphrase=[redacted] psk=[redacted]");
        check(r#"{"password":"he said \"x\" y","n":1}"#, r#"{"password":"[redacted]","n":1}"#);
        check(r#"{"password": "a b"}"#, r#"{"password": "[redacted]"}"#);
        check("token=a token=b", "token=[redacted] token=[redacted]");
        check("token=token=token=x", "token=[redacted]");
        check("äöü token=ß€ ok", "äöü token=[redacted] ok");
    }

    #[test]
    fn control_characters_are_escaped() {
        check("a\tb", "a\tb");
        check("a\x1b[31mred\x07\0\x7f\u{9b}", "a\\u{1b}[31mred\\u{7}\\u{0}\\u{7f}\\u{9b}");
        check("\u{202e}gpj", "\\u{202e}gpj");
        check("a\r<0>fake", "a\\u{d}<0>fake");
        check("token=\x1b[1mabc", "token=[redacted]");
    }

    #[test]
    fn a_long_line_is_cut_at_a_character() {
        let line = "ß".repeat(LOG_TAIL_LINE_BYTES);
        let shown = clean(&format!("x{line}"));
        assert!(shown.ends_with("ß…") && shown.len() <= LOG_TAIL_LINE_BYTES + 3, "{}", shown.len());
        let cut = format!("{} token=abcdef", "x".repeat(LOG_TAIL_LINE_BYTES - 10));
        assert!(clean(&cut).ends_with("token=[redacted]…"));
    }

    #[test]
    fn hostile_lines_take_linear_time() {
        for piece in ["token=", "token=\"", "://", "://@", "://a", "authorization:", "bearer ", "\u{202e}", "\""] {
            let line = piece.repeat(LOG_TAIL_LINE_BYTES);
            assert!(clean(&line).len() <= LOG_TAIL_LINE_BYTES * 10);
        }
    }
}
