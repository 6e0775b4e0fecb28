//! Bytes ⇄ base64. Source: RFC 4648 §4, §5.

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// `bytes` in the standard alphabet, padded.
pub fn encode(bytes: &[u8]) -> String {
    let mut out = spell(bytes, STANDARD);
    while !out.len().is_multiple_of(4) {
        out.push('=');
    }
    out
}

/// `bytes` in the alphabet for URLs, not padded.
pub fn encode_url(bytes: &[u8]) -> String {
    spell(bytes, URL)
}

fn spell(bytes: &[u8], alphabet: &[u8; 64]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3).saturating_mul(4));
    for group in bytes.chunks(3) {
        let mut bits = 0_u32;
        for place in 0..3 {
            bits = bits << 8 | u32::from(group.get(place).copied().unwrap_or_default());
        }
        // n bytes take n + 1 characters of six bits each, the highest first.
        for shift in [18, 12, 6, 0].into_iter().take(group.len().saturating_add(1)) {
            let six = usize::try_from(bits >> shift & 63).unwrap_or_default();
            out.push(char::from(alphabet.get(six).copied().unwrap_or_default()));
        }
    }
    out
}

/// The bytes that `text` spells, in either alphabet, padded or not. `None` when it is not base64, is padded to another
/// length than a multiple of four, or has bits behind its last byte that are not zero: two texts would then mean the same.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    let padding = text.len().saturating_sub(digits.len());
    if padding > 0 && (padding > 2 || !text.len().is_multiple_of(4)) || digits.len() % 4 == 1 {
        return None;
    }
    let mut out = Vec::with_capacity(digits.len());
    let (mut bits, mut held) = (0_u32, 0_u32);
    for digit in digits.bytes() {
        bits = bits << 6 | u32::from(value(digit)?);
        held = held.saturating_add(6);
        if let Some(left) = held.checked_sub(8) {
            out.push(u8::try_from(bits >> left & 255).unwrap_or_default());
            held = left;
            bits &= !(u32::MAX << left);
        }
    }
    if bits == 0 { Some(out) } else { None }
}

fn value(digit: u8) -> Option<u8> {
    let place = |first: u8, at: u8| digit.checked_sub(first).and_then(|n| n.checked_add(at));
    match digit {
        b'A'..=b'Z' => place(b'A', 0),
        b'a'..=b'z' => place(b'a', 26),
        b'0'..=b'9' => place(b'0', 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples() {
        // Source: RFC 4648 §10.
        check(b"", "", "");
        check(b"f", "Zg==", "Zg");
        check(b"fo", "Zm8=", "Zm8");
        check(b"foo", "Zm9v", "Zm9v");
        check(b"foob", "Zm9vYg==", "Zm9vYg");
        check(b"fooba", "Zm9vYmE=", "Zm9vYmE");
        check(b"foobar", "Zm9vYmFy", "Zm9vYmFy");
        check(&[0xfb, 0xff, 0xbf], "+/+/", "-_-_");
        check(&[0xff; 4], "/////w==", "_____w");
    }

    #[test]
    fn what_is_no_base64() {
        for text in [
            "A", "=", "==", "====", "A===", "Zg=", "Zg===", "Zm8==", "Zm9v=", "Zm 8", "Zg\n", "Zh", "Zm9=", "Zg==Zg==",
            "é",
        ] {
            assert_eq!(decode(text), None, "{text:?}");
        }
    }

    #[test]
    fn every_byte_at_every_place() {
        for byte in 0..=255_u8 {
            for length in 0..7 {
                for place in 0..length {
                    let mut bytes = vec![0x5a; length];
                    bytes[place] = byte;
                    assert_eq!(decode(&encode(&bytes)), Some(bytes.clone()));
                    assert_eq!(decode(&encode_url(&bytes)), Some(bytes));
                }
            }
        }
    }

    fn check(bytes: &[u8], standard: &str, url: &str) {
        assert_eq!(encode(bytes), standard);
        assert_eq!(encode_url(bytes), url);
        assert_eq!(decode(standard).as_deref(), Some(bytes), "{standard}");
        assert_eq!(decode(url).as_deref(), Some(bytes), "{url}");
    }
}
