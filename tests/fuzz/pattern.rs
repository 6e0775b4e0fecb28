//! Any source → a pattern or a refusal that says where; any text → an answer, in bounded steps whatever either of them is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use toolgate::limits::PATTERN_CHARS_MAX;
use toolgate::tool::pattern::Pattern;

fuzz_target!(|data: &[u8]| {
    let [length, data @ ..] = data else { return };
    let Some((source, text)) = data.split_at_checked(usize::from(*length)) else { return };
    let (Ok(source), Ok(text)) = (std::str::from_utf8(source), std::str::from_utf8(text)) else { return };
    match Pattern::compile(source) {
        Ok(pattern) => {
            assert_eq!(pattern.source(), source);
            let found = pattern.matches(text);
            // What is found anywhere is found in a longer text too, unless the pattern asks where it is.
            if found && !source.contains(['^', '$', '\\']) {
                assert!(pattern.matches(&["\n", text, "\n"].concat()));
            }
            // A group around the whole changes nothing, where there is room for one.
            if let Ok(grouped) = Pattern::compile(&["(?:", source, ")"].concat()) {
                assert_eq!(grouped.matches(text), found);
            }
        }
        Err(wrong) => {
            assert!(wrong.starts_with("character ") || source.chars().count() > PATTERN_CHARS_MAX, "{wrong}");
        }
    }
});
