//! JSON → the same JSON pretty-printed with two spaces, already escaped to stand inside a JSON string. Pure.
//!
//! The reference's results carry their details twice, once as indented text. Writing that text straight into the
//! answer needs neither a tree nor a second copy. Source: contract http.md §5.2.

use crate::limits::TOOL_RESULT_BYTES;

/// Appends `json` to `out`, indented as `JSON.stringify(value, null, 2)` does and escaped as a JSON string's content.
/// `json` must be valid; what somebody else wrote may have whitespace in it.
pub fn push_indented(out: &mut Vec<u8>, json: &str) {
    let mut depth = 0_usize;
    let mut rest = json.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'"' => rest = push_string(out, after),
            b'{' | b'[' => {
                out.push(byte);
                if let Some((close @ (b'}' | b']'), after)) = after.trim_ascii_start().split_first() {
                    out.push(*close);
                    rest = after;
                } else {
                    depth = depth.saturating_add(1);
                    push_break(out, depth);
                }
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                push_break(out, depth);
                out.push(byte);
            }
            b',' => {
                out.push(byte);
                push_break(out, depth);
            }
            b':' => out.extend_from_slice(b": "),
            b' ' | b'\n' | b'\r' | b'\t' => {}
            _ => {
                // A number or a literal: up to the next thing that has a meaning.
                let end = after.iter().position(|b| matches!(b, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t'));
                let (literal, left) = after.split_at_checked(end.unwrap_or(after.len())).unwrap_or((after, &[]));
                out.push(byte);
                out.extend_from_slice(literal);
                rest = left;
            }
        }
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

/// A line break and indentation, as they stand inside a JSON string. A text that is long already goes on in one line:
/// what somebody else nested deeply must not cost many times its size.
fn push_break(out: &mut Vec<u8>, depth: usize) {
    /// As deep as results of ours ever are.
    const BREAK: &[u8] = b"\\n                ";
    if out.len() < 4 * TOOL_RESULT_BYTES {
        let wide = depth.saturating_mul(2).saturating_add(2);
        let (start, end) = (out.len(), wide.min(BREAK.len()));
        out.extend_from_slice(BREAK.get(..end).unwrap_or_default());
        out.resize(start.saturating_add(wide), b' ');
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
            " [ 1 ,\ttrue\n, { } ,[\r\n] , {\"a b\" : \" [ \" , \"c\":null } ] ",
        ] {
            check(compact);
        }
    }

    #[test]
    fn deep_and_wide_json_stays_near_its_size() {
        let (open, close) = ("[".repeat(60), "]".repeat(60));
        let room = TOOL_RESULT_BYTES - 2 * open.len();
        for part in ["1,", "[[[[]]]],", "{\"\":[1]},"] {
            let wide = [&open, part.repeat(room / part.len()).trim_end_matches(','), &close].concat();
            let mut out = Vec::new();
            push_indented(&mut out, &wide);
            assert!(out.len() < 8 * TOOL_RESULT_BYTES, "{part}: {}", out.len());
            out = [b"\"", &*out, b"\""].concat();
            let text: String = serde_json::from_slice(&out).unwrap();
            let value = |json: &str| serde_json::from_str::<serde_json::Value>(json).unwrap();
            assert_eq!(value(&text), value(&wide), "{part}");
        }
    }
}
