//! A secret in memory: compared in constant time, never printed, overwritten when dropped.

use std::fmt;

use subtle::ConstantTimeEq;

/// A shared secret. Has no `Display`, and its `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// Wraps `text` after trimming it; `None` when nothing is left, because a blank secret is an absent secret.
    pub fn new(text: &str) -> Option<Secret> {
        let text = text.trim();
        if text.is_empty() { None } else { Some(Secret(text.as_bytes().into())) }
    }

    /// Whether `offered` is this secret: exact, case-sensitive, in time that depends on `offered`'s length only.
    ///
    /// Source: contract http.md §2.3.
    pub fn matches(&self, offered: &[u8]) -> bool {
        // Compare `offered` with this secret repeated or cut to its length, so that a wrong length costs the same. Every
        // byte is looked at, whatever the ones before it said, and one verdict is taken at the end.
        let mut differing = 0_u8;
        for part in offered.chunks(self.0.len().max(1)) {
            for (byte, own) in part.iter().zip(&self.0) {
                differing |= byte ^ own;
            }
        }
        let same = std::hint::black_box(differing).ct_eq(&0);
        (same & (offered.len() as u64).ct_eq(&(self.0.len() as u64))).into()
    }

    /// The secret's bytes, for a client that must send it. Every use is a place where it can leak.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.fill(0);
        // Keeps the compiler from dropping the write above as dead.
        std::hint::black_box(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_only_itself() {
        let check = |own: &str, offered: &str, expected: bool| {
            assert_eq!(Secret::new(own).unwrap().matches(offered.as_bytes()), expected, "{own:?} against {offered:?}");
        };
        check("abc", "abc", true);
        check("  abc\n", "abc", true);
        check("abc", "ab", false);
        check("abc", "abcabc", false);
        check("abc", "", false);
        check("abc", "ABC", false);
        check("abc", "abd", false);
    }

    #[test]
    fn blank_is_absent_and_debug_is_silent() {
        assert_eq!(Secret::new(" \t\n"), None);
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Some(Secret(..))");
    }
}
