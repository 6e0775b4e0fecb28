//! An answer → the bytes of its head. The content is written beside them in the same call, never copied.

use std::borrow::Cow;

/// What an answer carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Plain text that is called HTML, as on the reference's wire.
    Html(&'static str),
    /// JSON, compact, UTF-8.
    Json(Cow<'static, [u8]>),
    /// Nothing.
    None,
    /// Plain text.
    Text(Cow<'static, str>),
}

impl Content {
    /// The content's bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Content::Html(text) => text.as_bytes(),
            Content::Json(json) => json,
            Content::None => &[],
            Content::Text(text) => text.as_bytes(),
        }
    }
}

/// An answer to one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// What it carries.
    pub content: Content,
    /// The methods the resource takes (`Allow`).
    pub allow: Option<&'static str>,
    /// The WebSocket versions that are spoken (`Sec-WebSocket-Version`).
    pub versions: Option<&'static str>,
    /// Seconds until it is worth trying again (`Retry-After`).
    pub retry_after: Option<u32>,
    /// Whether no cache may keep it (`Cache-Control: no-store`).
    pub no_store: bool,
    /// Whether the connection ends after it, whatever the peer wishes.
    pub close: bool,
    /// Whether it is an answer to bytes that were no request: it then carries no security fields, as on the reference's wire.
    pub bare: bool,
    /// The page of another origin that may read it (`Access-Control-Allow-Origin`).
    pub page: Option<Box<str>>,
}

impl Reply {
    /// An answer with that status and content and nothing special.
    pub fn new(status: u16, content: Content) -> Reply {
        Reply {
            status,
            content,
            allow: None,
            versions: None,
            retry_after: None,
            no_store: false,
            close: false,
            bare: false,
            page: None,
        }
    }

    /// A JSON answer.
    pub fn json(status: u16, json: impl Into<Cow<'static, [u8]>>) -> Reply {
        Reply::new(status, Content::Json(json.into()))
    }

    /// A plain-text answer.
    pub fn text(status: u16, text: &'static str) -> Reply {
        Reply::new(status, Content::Text(Cow::Borrowed(text)))
    }
}

/// The terms on which an answer goes out.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'t> {
    /// The time, as [`http_date`] gives it.
    pub date: &'t str,
    /// Seconds the connection stays open for the next request; `None` = it ends after this answer.
    pub keep_secs: Option<u64>,
    /// Whether the request was HEAD: the same head without a length, and no content.
    pub head_only: bool,
    /// The `Strict-Transport-Security` value, where one is configured.
    pub transport_security: Option<&'t str>,
}

/// The fields every answer to a request carries. Source: contract http.md §1.1.
const SECURITY: &str = "X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\nPermissions-Policy: camera=(), \
    microphone=(self), geolocation=()\r\n";

/// Room for the longest head without configured values, in bytes.
const HEAD_ROOM: usize = 400;

/// The interim answer that invites the body. Source: RFC 9110 §15.2.1.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

impl Reply {
    /// The head's bytes, in the field order of contract http.md §1.1.
    pub fn head(&self, terms: &Terms<'_>) -> Vec<u8> {
        let mut out = String::with_capacity(HEAD_ROOM);
        out.push_str("HTTP/1.1 ");
        push_number(&mut out, self.status.into());
        out.push(' ');
        out.push_str(reason(self.status));
        out.push_str("\r\n");
        if !self.bare {
            out.push_str(SECURITY);
            if let Some(value) = terms.transport_security {
                push_field(&mut out, "Strict-Transport-Security: ", value);
            }
        }
        if let Some(page) = &self.page {
            push_field(&mut out, "Access-Control-Allow-Origin: ", page);
            out.push_str("Vary: Origin\r\n");
        }
        if let Some(allow) = self.allow {
            push_field(&mut out, "Allow: ", allow);
        }
        if let Some(versions) = self.versions {
            push_field(&mut out, "Sec-WebSocket-Version: ", versions);
        }
        if let Some(seconds) = self.retry_after {
            out.push_str("Retry-After: ");
            push_number(&mut out, seconds.into());
            out.push_str("\r\n");
        }
        out.push_str(match self.content {
            Content::Html(_) => "Content-Type: text/html\r\n",
            Content::Json(_) => "Content-Type: application/json; charset=utf-8\r\n",
            Content::None => "",
            Content::Text(_) => "Content-Type: text/plain; charset=utf-8\r\n",
        });
        if self.no_store {
            out.push_str("Cache-Control: no-store\r\n");
        }
        if !self.bare {
            push_field(&mut out, "Date: ", terms.date);
        }
        match terms.keep_secs {
            Some(seconds) => {
                out.push_str("Connection: keep-alive\r\nKeep-Alive: timeout=");
                push_number(&mut out, seconds);
                out.push_str("\r\n");
            }
            None => out.push_str("Connection: close\r\n"),
        }
        if !terms.head_only {
            out.push_str("Content-Length: ");
            push_number(&mut out, self.content.bytes().len() as u64);
            out.push_str("\r\n");
        }
        out.push_str("\r\n");
        out.into_bytes()
    }
}

fn push_field(out: &mut String, name: &str, value: &str) {
    out.push_str(name);
    out.push_str(value);
    out.push_str("\r\n");
}

fn push_number(out: &mut String, number: u64) {
    if number >= 10 {
        push_number(out, number / 10);
    }
    // A digit is below 10, so the sum stays in a byte.
    out.push(char::from(b'0'.saturating_add((number % 10) as u8)));
}

/// The reason phrase. Source: RFC 9110 §15, RFC 6585 §4, §5.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Payload Too Large",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

/// `seconds` since 1970-01-01 UTC as an IMF-fixdate, e.g. `Sun, 06 Nov 1994 08:49:37 GMT`. Source: RFC 9110 §5.6.7.
pub fn http_date(seconds: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (days, clock) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let name = usize::try_from(days % 7).ok().and_then(|d| DAYS.get(d)).unwrap_or(&"");
    let month = month.checked_sub(1).and_then(|m| MONTHS.get(m)).unwrap_or(&"");
    format!("{name}, {day:02} {month} {year:04} {:02}:{:02}:{:02} GMT", clock / 3600, clock / 60 % 60, clock % 60)
}

/// Days since 1970-01-01 → (year, month 1–12, day 1–31) of the Gregorian calendar, counted in eras of 400 years.
fn civil(days: u64) -> (u64, usize, u64) {
    let shifted = days.saturating_add(719_468);
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let leaps = (of_era / 1460).saturating_sub(of_era / 36_524).saturating_add(of_era / 146_096);
    let year_of_era = of_era.saturating_sub(leaps) / 365;
    let century_days =
        year_of_era.saturating_mul(365).saturating_add(year_of_era / 4).saturating_sub(year_of_era / 100);
    let day_of_year = of_era.saturating_sub(century_days);
    let month_from_march = day_of_year.saturating_mul(5).saturating_add(2) / 153;
    let day = day_of_year.saturating_sub(month_from_march.saturating_mul(153).saturating_add(2) / 5).saturating_add(1);
    let month =
        if month_from_march < 10 { month_from_march.saturating_add(3) } else { month_from_march.saturating_sub(9) };
    let year = year_of_era.saturating_add(era.saturating_mul(400)).saturating_add(u64::from(month <= 2));
    (year, usize::try_from(month).unwrap_or(1), day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        let check = |seconds: u64, expected: &str| assert_eq!(http_date(seconds), expected);
        check(0, "Thu, 01 Jan 1970 00:00:00 GMT");
        check(784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT");
        check(951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT");
        check(951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT");
        check(4_102_444_800, "Fri, 01 Jan 2100 00:00:00 GMT");
        check(4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT");
    }

    #[test]
    fn fields_stand_in_the_order_of_the_wire() {
        let terms = Terms { date: "D", keep_secs: Some(5), head_only: false, transport_security: Some("max-age=1") };
        let mut reply = Reply::json(429, &b"{}"[..]);
        (reply.allow, reply.retry_after, reply.no_store) = (Some("POST"), Some(7), true);
        reply.page = Some("https://ui.example".into());
        let expected = "HTTP/1.1 429 Too Many Requests\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n\
            Permissions-Policy: camera=(), microphone=(self), geolocation=()\r\nStrict-Transport-Security: max-age=1\r\n\
            Access-Control-Allow-Origin: https://ui.example\r\nVary: Origin\r\nAllow: POST\r\n\
            Retry-After: 7\r\nContent-Type: application/json; charset=utf-8\r\nCache-Control: no-store\r\nDate: D\r\n\
            Connection: keep-alive\r\nKeep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\n";
        assert_eq!(String::from_utf8(reply.head(&terms)).unwrap(), expected);
        let mut refused = Reply::new(400, Content::Html("no"));
        refused.versions = Some("13, 8");
        let head = String::from_utf8(refused.head(&terms)).unwrap();
        assert!(head.contains("\r\nSec-WebSocket-Version: 13, 8\r\nContent-Type: text/html\r\n"), "{head}");
        assert!(head.ends_with("\r\nContent-Length: 2\r\n\r\n"), "{head}");
        let mut bare = Reply::new(400, Content::None);
        bare.bare = true;
        let terms = Terms { keep_secs: None, transport_security: None, ..terms };
        let expected = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(String::from_utf8(bare.head(&terms)).unwrap(), expected);
    }
}
