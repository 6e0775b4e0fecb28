//! Compact JSON → the same JSON pretty-printed with two spaces, already escaped to stand inside a JSON string. Pure.
//!
//! The reference's results carry their details twice, once as indented text. Writing that text straight into the
//! answer needs neither a tree nor a second copy. Source: contract http.md §5.2.

/// Appends `compact` to `out`, indented as `JSON.stringify(value, null, 2)` does and escaped as a JSON string's content.
/// `compact` must be valid compact JSON.
pub fn push_indented(out: &mut Vec<u8>, compact: &str) {
    let mut depth = 0_usize;
    let mut rest = compact.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = match byte {
            b'"' => push_string(out, after),
            b'{' | b'[' => {
                out.push(byte);
                match after.split_first() {
                    Some((close @ (b'}' | b']'), after)) => {
                        out.push(*close);
                        after
                    }
                    _ => {
                        depth = depth.saturating_add(1);
                        push_break(out, depth);
                        after
                    }
                }
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                push_break(out, depth);
                out.push(byte);
                after
            }
            b',' => {
                out.push(byte);
                push_break(out, depth);
                after
            }
            b':' => {
                out.extend_from_slice(b": ");
                after
            }
            _ => {
                // A number or a literal: up to the next thing that has a meaning.
                let end = rest.iter().position(|b| matches!(b, b',' | b'}' | b']')).unwrap_or(rest.len());
                let (literal, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
                out.extend_from_slice(literal);
                after
            }
        };
    }
}

/// Appends a string whose opening quote has been taken. Returns what comes after its closing quote.
fn push_string<'c>(out: &mut Vec<u8>, mut rest: &'c [u8]) -> &'c [u8] {
    out.extend_from_slice(b"\\\"");
    loop {
        let end = rest.iter().position(|b| matches!(b, b'"' | b'\\')).unwrap_or(rest.len());
        let (plain, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
        out.extend_from_slice(plain);
        match after {
            [b'\\', escaped, after @ ..] => {
                out.extend_from_slice(b"\\\\");
                if matches!(escaped, b'"' | b'\\') {
                    out.push(b'\\');
                }
                out.push(*escaped);
                rest = after;
            }
            [_, after @ ..] => {
                out.extend_from_slice(b"\\\"");
                return after;
            }
            [] => return after,
        }
    }
}

/// A line break and indentation, as they stand inside a JSON string.
fn push_break(out: &mut Vec<u8>, depth: usize) {
    /// As deep as results of ours ever are; a deeper one takes the loop.
    const BREAK: &[u8] = b"\\n                ";
    match BREAK.get(..depth.saturating_mul(2).saturating_add(2)) {
        Some(whole) => out.extend_from_slice(whole),
        None => {
            out.extend_from_slice(b"\\n");
            (0..depth).for_each(|_| out.extend_from_slice(b"  "));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_a_pretty_printer_then_an_escaper() {
        let check = |compact: &str| {
            let mut out = vec![b'"'];
            push_indented(&mut out, compact);
            out.push(b'"');
            let value: serde_json::Value = serde_json::from_str(compact).unwrap();
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), pretty, "{compact}");
        };
        for compact in [
            "{}",
            "[]",
            "1",
            "\"a\"",
            "null",
            r#"{"a":1}"#,
            r#"{"a":[],"b":{},"c":[1,2,{"d":null}]}"#,
            r#"{"a":"x\"y\\","b":"{[,:]}","c":"\n\t\u0001é"}"#,
            r#"[[[["\\"]]],"\\\""]"#,
            "[[[[[[[[[[1,2]]]]]]]]]]",
        ] {
            check(compact);
        }
    }
}
