//! Entries of lists against one tool's name. Source: contract http.md §4.1.

use std::borrow::Cow;

use super::catalogue::GROUPS;
use super::{Lists, Policy};

/// A name or entry in its one spelling: trimmed, lower-case, aliases resolved.
///
/// Allocates only when there is something to change.
pub(super) fn normal(text: &str) -> Cow<'_, str> {
    let text = text.trim();
    let lower = |c: char| c.is_ascii() && !c.is_ascii_uppercase();
    let text = if text.chars().all(lower) { Cow::Borrowed(text) } else { Cow::Owned(text.to_ascii_lowercase()) };
    match &*text {
        "bash" => Cow::Borrowed("exec"),
        "apply-patch" => Cow::Borrowed("apply_patch"),
        _ => text,
    }
}

/// Whether `pattern` matches all of `name`: each `*` is any run, also an empty one; all else is literal.
pub(super) fn glob(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    let Some(middle) = rest.strip_suffix(last) else { return false };
    rest = middle;
    for part in parts {
        // The leftmost place leaves the most for the parts after it.
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    true
}

/// What a list of entries says about one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said<'a> {
    /// This entry matches.
    Match(&'a str),
    /// There are entries, none matches.
    Miss,
    /// There is no entry that is not blank.
    Nothing,
}

/// What lists decide about one tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ruling<'a> {
    /// An entry of `allow` (`true`: of `alsoAllow`) lets it pass.
    Allowed(&'a str, bool),
    /// An entry of `deny` refuses it.
    Denied(&'a str),
    /// There is an allow list, and the tool is not on it.
    NotListed,
    /// Nothing restricts it.
    Open,
}

impl Policy {
    /// Whether an entry of a list from elsewhere names a tool, whatever the spelling. A blank one names nothing.
    #[inline(never)]
    pub(in crate::gate) fn among(&self, tool: &str, entries: &[Box<str>]) -> bool {
        let tool = normal(tool);
        entries.iter().any(|entry| self.entry_matches(&normal(entry), &tool))
    }

    /// Looks `tool` (normalised) up in `entries`. `apply_patch` is also found under `write`, after all else.
    pub(super) fn find<'a>(&self, tool: &str, entries: impl Iterator<Item = &'a str> + Clone) -> Said<'a> {
        match self.find_exactly(tool, entries.clone()) {
            Said::Miss if tool == "apply_patch" => self.find_exactly("write", entries),
            said => said,
        }
    }

    fn find_exactly<'a>(&self, tool: &str, entries: impl Iterator<Item = &'a str>) -> Said<'a> {
        let mut said = Said::Nothing;
        for entry in entries {
            let pattern = normal(entry);
            if pattern.is_empty() {
                continue;
            }
            if self.entry_matches(&pattern, tool) {
                return Said::Match(entry);
            }
            said = Said::Miss;
        }
        said
    }

    /// Whether a normalised entry, which may be a group or a glob, matches a normalised name.
    pub(super) fn entry_matches(&self, pattern: &str, tool: &str) -> bool {
        if pattern.starts_with("group:")
            && let Some(mut members) = self.members(pattern)
        {
            return members.any(|member| normal(member) == tool);
        }
        glob(pattern, tool)
    }

    /// The members of a group, the reference's and our own; `None` when nobody knows the group.
    fn members<'a>(&'a self, group: &'a str) -> Option<impl Iterator<Item = &'a str>> {
        let reference =
            GROUPS.iter().filter(move |(name, _)| *name == group).flat_map(|(_, members)| *members).copied();
        let own = self.groups.iter().filter(move |(name, _)| normal(name) == group);
        let mut all = reference.chain(own.flat_map(|(_, members)| members.iter().map(String::as_str))).peekable();
        all.peek().is_some().then_some(all)
    }

    /// One place's lists: deny first, then allow with `alsoAllow` folded in.
    ///
    /// Without an allow list `alsoAllow` restricts nothing. Source: contract http.md §4.1, §4.2 rows 3 and 5.
    pub(super) fn rule<'a>(&self, tool: &str, lists: &'a Lists) -> Ruling<'a> {
        if let Said::Match(entry) = self.find(tool, strs(&lists.deny)) {
            return Ruling::Denied(entry);
        }
        match lists.allow.as_deref() {
            None | Some([]) => Ruling::Open,
            Some(allow) => self.allowed(tool, allow, lists.also_allow.as_deref().unwrap_or_default()),
        }
    }

    /// An allow list with another appended; no entry in either restricts nothing.
    pub(super) fn allowed<'a>(&self, tool: &str, allow: &'a [String], also: &'a [String]) -> Ruling<'a> {
        match (self.find(tool, strs(allow)), self.find(tool, strs(also))) {
            (Said::Match(entry), _) => Ruling::Allowed(entry, false),
            (_, Said::Match(entry)) => Ruling::Allowed(entry, true),
            (Said::Nothing, Said::Nothing) => Ruling::Open,
            _ => Ruling::NotListed,
        }
    }
}

/// A list's entries as text.
pub(super) fn strs(list: &[String]) -> impl Iterator<Item = &str> + Clone {
    list.iter().map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_spelling() {
        let check = |text: &str, expected: &str| assert_eq!(normal(text), expected, "{text:?}");
        check(" Sessions_List ", "sessions_list");
        check("BASH", "exec");
        check("bash", "exec");
        check("apply-patch", "apply_patch");
        check("bash*", "bash*");
        check("ÄB", "Äb");
        check("  ", "");
        assert!(matches!(normal(" plain "), Cow::Borrowed(_)));
    }

    #[test]
    fn globs_are_anchored_and_know_only_stars() {
        let check =
            |pattern: &str, name: &str, expected: bool| assert_eq!(glob(pattern, name), expected, "{pattern} {name}");
        check("*", "", true);
        check("*", "x", true);
        check("**", "x", true);
        check("a*", "a", true);
        check("a*", "ba", false);
        check("*a", "ba", true);
        check("*a", "ab", false);
        check("a*b*c", "a1b2c", true);
        check("a*b*c", "abc", true);
        check("a*b*c", "acb", false);
        check("a*b*b", "ab", false);
        check("a*a", "a", false);
        check("*ab*", "xaby", true);
        check("a*bc*bc", "abcbc", true);
        check("a*bc*bc", "abc", false);
        check("s?", "s?", true);
        check("s?", "sx", false);
        check("a.c", "abc", false);
        check("x", "x", true);
        check("x", "xy", false);
    }

    #[test]
    fn lists_rule_as_measured() {
        let policy =
            Policy { groups: vec![("group:device".into(), vec!["device_status".into()])], ..Policy::default() };
        let list = |text: &str| text.split_whitespace().map(String::from).collect::<Vec<_>>();
        let check = |tool: &str, allow: Option<&str>, also: Option<&str>, deny: &str, expected: Ruling| {
            let lists = Lists { allow: allow.map(list), also_allow: also.map(list), deny: list(deny) };
            assert_eq!(policy.rule(tool, &lists), expected, "{tool}: {lists:?}");
        };
        use Ruling::*;
        check("canvas", None, None, "", Open);
        check("canvas", Some(""), None, "", Open);
        check("canvas", Some("Canvas"), None, "", Allowed("Canvas", false));
        check("canvas", Some("nothing_known"), None, "", NotListed);
        check("canvas", Some("*"), None, "canvas", Denied("canvas"));
        check("canvas", Some("x"), Some("group:UI"), "", Allowed("group:UI", true));
        check("canvas", None, Some("x"), "", Open);
        check("canvas", Some(""), Some("x"), "", Open);
        check("canvas", Some("group:nope"), None, "", NotListed);
        check("device_status", Some("group:device"), None, "", Allowed("group:device", false));
        check("device_status", None, None, "GROUP:device", Denied("GROUP:device"));
        check("exec", None, None, "bash", Denied("bash"));
        check("session_status", None, None, "sessions_*", Open);
        // Rules 2 and 5: write stands for apply_patch, in both kinds of list.
        check("apply_patch", None, None, "write", Denied("write"));
        check("apply_patch", Some("write"), None, "", Allowed("write", false));
        check("write", None, None, "apply_patch", Open);
        let blank = Lists { allow: Some(vec![" ".into()]), ..Lists::default() };
        assert_eq!(policy.rule("canvas", &blank), Open);
        let blank = Lists { also_allow: Some(vec!["x".into()]), ..blank };
        assert_eq!(policy.rule("canvas", &blank), NotListed);
    }
}
