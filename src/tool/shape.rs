//! Shapes of text arguments: a hand-written linear matcher beside the regular expression that says the same. Pure.
//!
//! The expression is for readers of the JSON Schema only; nothing here runs one, so no argument can make one slow.

/// What a text must look like.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// The shape as an ECMA-262 regular expression, for JSON Schema.
    pub pattern: &'static str,
    /// The shape in words that continue "name: must …".
    pub must: &'static str,
    /// Whether a text has the shape. Linear in its length.
    pub matches: fn(&str) -> bool,
}

/// An absolute path.
pub const ABSOLUTE: Shape = Shape { pattern: "^/", must: "start with /", matches: |text| text.starts_with('/') };

/// An address, alone or with a port. Whether it is one, is decided where it is read.
pub const ADDRESS: Shape = Shape {
    pattern: r"^[0-9A-Fa-f:.\[\]%]+$",
    must: "be an address, alone or with a port: hexadecimal digits, : . % and brackets",
    matches: |text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit() || b":.[]%".contains(&b)),
};

/// A host: a name or an address. What it really is, is decided where it is reached.
pub const HOST: Shape = Shape {
    pattern: r"^[A-Za-z0-9_\[][A-Za-z0-9_.:%\]-]*$",
    must: "be a host name or an address: letters, digits, _ . : % - and brackets, not beginning with one of . : % -",
    matches: |text| {
        let bytes = text.as_bytes();
        bytes.first().is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'['))
            && bytes.iter().skip(1).all(|b| b.is_ascii_alphanumeric() || b"_.:%]-".contains(b))
    },
};

/// The beginning of a web address.
pub const URL: Shape = Shape {
    pattern: "^https?://",
    must: "start with http:// or https://",
    matches: |text| text.starts_with("http://") || text.starts_with("https://"),
};

/// A domain of Home Assistant.
pub const HA_DOMAIN: Shape =
    Shape { pattern: "^[a-z_]+$", must: "be small letters and _", matches: |text| small(text, b"_") };

/// An entity of Home Assistant.
pub const HA_ENTITY: Shape = Shape {
    pattern: "^[a-z_]+\\.[a-z0-9_]+$",
    must: "be an entity such as light.kitchen",
    matches: |text| {
        text.split_once('.').is_some_and(|(domain, name)| small(domain, b"_") && small(name, b"_0123456789"))
    },
};

/// A service of Home Assistant.
pub const HA_SERVICE: Shape = Shape {
    pattern: "^[a-z0-9_]+$",
    must: "be small letters, digits and _",
    matches: |text| small(text, b"_0123456789"),
};

/// The name of a network interface.
pub const INTERFACE: Shape = Shape {
    pattern: "^[A-Za-z0-9][A-Za-z0-9_.@-]*$",
    must: "be an interface name: letters, digits, _ . @ - after a first letter or digit",
    matches: |text| word(text, b"_.@-"),
};

/// A log: a unit's name or an absolute path.
pub const LOG: Shape = Shape {
    pattern: "^([A-Za-z0-9][A-Za-z0-9_.@:-]*$|/)",
    must: "be a unit name or start with /",
    matches: |text| text.starts_with('/') || word(text, b"_.@:-"),
};

/// A hardware address.
pub const MAC: Shape = Shape {
    pattern: "^([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}$",
    must: "be a hardware address such as 00:11:22:33:44:55",
    matches: |text| {
        let part = |part: &str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit());
        text.len() == 17 && text.split(':').count() == 6 && text.split(':').all(part)
    },
};

/// The name that the operator gave to a target.
pub const NAME: Shape = Shape {
    pattern: "^[A-Za-z0-9_.-]+$",
    must: "be a name of letters, digits, _ . -",
    matches: |text| !text.is_empty() && among(Some(text), b"_.-"),
};

/// An MQTT topic that names one topic only.
pub const TOPIC: Shape = Shape {
    pattern: "^[^#+\\u0000]+$",
    must: "be a topic without the wildcards # and +",
    matches: |text| !text.is_empty() && !text.contains(['#', '+', '\0']),
};

/// The name of a service unit.
pub const UNIT: Shape = Shape {
    pattern: "^[A-Za-z0-9][A-Za-z0-9_.@:-]*$",
    must: "be a unit name: letters, digits, _ . @ : - after a first letter or digit",
    matches: |text| word(text, b"_.@:-"),
};

/// Small letters and `more`, at least one.
fn small(text: &str, more: &[u8]) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || more.contains(&b))
}

/// A letter or digit, then letters, digits and `more`.
fn word(text: &str, more: &[u8]) -> bool {
    text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric) && among(Some(text), more)
}

/// Whether there are only letters, digits and `more`.
fn among(text: Option<&str>, more: &[u8]) -> bool {
    text.is_some_and(|text| text.bytes().all(|b| b.is_ascii_alphanumeric() || more.contains(&b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(shape: Shape, text: &str, expected: bool) {
        assert_eq!((shape.matches)(text), expected, "{} ~ {text:?}", shape.pattern);
    }

    #[test]
    fn rows() {
        for good in ["100.64.0.2", "100.64.0.2:80", "[fd7a::1]:80", "FD7A::1", "fe80::1%1"] {
            check(ADDRESS, good, true);
        }
        for bad in ["", "nodekey:ab", "100.64.0.2 ", "1&proto=udp", "fe80::1%eth0"] {
            check(ADDRESS, bad, false);
        }
        check(ABSOLUTE, "/", true);
        check(ABSOLUTE, "/mnt/a b", true);
        check(ABSOLUTE, "", false);
        check(ABSOLUTE, "mnt/", false);
        for good in ["nas", "_x", "a-b.c", "192.168.1.5", "[fd00::5]", "fe80::1%eth0", "a:1"] {
            check(HOST, good, true);
        }
        for bad in ["", "-oProxyCommand=x", ".a", ":1", "%a", "]", "a[", "a b", "a/b", "n\u{e4}s", "a\n", "a\0", "a@b"]
        {
            check(HOST, bad, false);
        }
        check(URL, "http://", true);
        check(URL, "https://a", true);
        check(URL, "ftp://a", false);
        check(URL, " http://a", false);
        check(INTERFACE, "eth0", true);
        check(INTERFACE, "br-lan", true);
        check(INTERFACE, "eth0.2@eth0", true);
        check(INTERFACE, "-oProxyCommand=x", false);
        check(INTERFACE, "..", false);
        check(INTERFACE, "a/b", false);
        check(INTERFACE, "eth0\n", false);
        check(INTERFACE, "wlän", false);
        check(UNIT, "nginx.service", true);
        check(UNIT, "getty@tty1.service", true);
        check(UNIT, "--user", false);
        check(UNIT, "", false);
        check(HA_ENTITY, "light.kitchen_2", true);
        check(HA_ENTITY, "light.a.b", false);
        check(HA_ENTITY, "light.", false);
        check(HA_ENTITY, "../x", false);
        check(HA_DOMAIN, "light", true);
        check(HA_DOMAIN, "", false);
        check(HA_SERVICE, "turn_on2", true);
        check(HA_SERVICE, "turn on", false);
        check(HOST, "nas.local", true);
        check(HOST, "[fe80::1%eth0]", true);
        check(HOST, "_x", true);
        check(HOST, "-oProxyCommand=x", false);
        check(HOST, "ä", false);
        check(HOST, "a b", false);
        check(HOST, "", false);
        check(LOG, "nginx.service", true);
        check(LOG, "/var/log/a b", true);
        check(LOG, "--user", false);
        check(LOG, "a/b", false);
        check(LOG, "", false);
        check(MAC, "00:11:22:aa:BB:cc", true);
        check(MAC, "00:11:22:aa:BB:c", false);
        check(MAC, "00-11-22-aa-BB-cc", false);
        check(MAC, "00:11:22:aa:BB:cg", false);
        check(MAC, "0:011:22:aa:BB:cc", false);
        check(MAC, "00:11:22:aa:BB:+c", false);
        check(NAME, "heater_1.a-b", true);
        check(NAME, "a/b", false);
        check(NAME, "", false);
        check(TOPIC, "home/lamp", true);
        check(TOPIC, "home/#", false);
        check(TOPIC, "home/+/x", false);
        check(TOPIC, "a\0b", false);
        check(TOPIC, "", false);
    }
}
