//! A misspelt word and the words allowed there → the one that was probably meant. Pure.

/// The candidate nearest to `word` by edit distance (case ignored), unless even that one is too far to be a slip.
#[inline(never)]
pub(super) fn nearest<'a>(word: &str, candidates: &mut dyn Iterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().count();
    let mut reach = length.div_ceil(3).max(1);
    let mut nearest = None;
    for candidate in candidates {
        if candidate.chars().count().abs_diff(length) > reach {
            continue;
        }
        let distance = distance(word, candidate);
        // The next one must be nearer, or as near as allowed while there is none.
        if distance < reach || distance == reach && nearest.is_none() {
            (nearest, reach) = (Some(candidate), distance);
        }
    }
    nearest
}

/// Asks whether that word was meant; nothing without one.
#[inline(never)]
pub(super) fn meant(word: Option<&str>) -> String {
    word.map_or_else(String::new, |word| ["; did you mean \"", word, "\"?"].concat())
}

/// Insertions, deletions, substitutions and swaps of neighbours that turn one word into the other.
pub(super) fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().map(|c| c.to_ascii_lowercase()).collect();
    let b: Vec<char> = b.chars().map(|c| c.to_ascii_lowercase()).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(b.len() + 1);
        row.push(i + 1);
        for (j, cb) in b.iter().enumerate() {
            let at = |row: &[usize], index: usize| row.get(index).copied().unwrap_or(usize::MAX / 2);
            let mut best = (at(&above, j) + usize::from(ca != cb)).min(at(&above, j + 1) + 1).min(at(&row, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(cb) && b.get(j - 1) == Some(ca);
            if swapped {
                best = best.min(at(&before, j - 1) + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word() {
        check("prot", Some("port"));
        check("bidn", Some("bind"));
        check("PORT", Some("port"));
        check("trustedProxy", Some("trustedProxies"));
        check("xyz", None);
        check("", None);
        check("a", None);
    }

    #[test]
    fn distances() {
        assert_eq!(distance("", ""), 0);
        assert_eq!(distance("ab", "ba"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }

    fn check(word: &str, expected: Option<&str>) {
        assert_eq!(nearest(word, &mut ["port", "bind", "trustedProxies"].into_iter()), expected, "{word:?}");
    }
}
