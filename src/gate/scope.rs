//! Operator scopes: a declared list → what the caller may do at most. Pure. Source: contract http.md §2.8, ws.md §3.1.

use std::borrow::Cow;

/// Full power; covers every other scope.
pub const ADMIN: &str = "operator.admin";
/// Seeing things.
pub const READ: &str = "operator.read";
/// Doing things; covers [`READ`]. What calling a tool needs. Source: contract http.md §2.8.
pub const WRITE: &str = "operator.write";

/// What a caller without a declared list holds, in the order the reference lists it. Source: contract http.md §2.8.
const FULL: [Cow<'static, str>; 6] = [
    Cow::Borrowed(ADMIN),
    Cow::Borrowed(READ),
    Cow::Borrowed(WRITE),
    Cow::Borrowed("operator.approvals"),
    Cow::Borrowed("operator.pairing"),
    Cow::Borrowed("operator.talk.secrets"),
];

/// A set of scopes. Unknown ones are kept and cover nothing but themselves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scopes(Cow<'static, [Cow<'static, str>]>);

impl Scopes {
    /// The full operator set; allocates nothing. Source: contract http.md §2.8.
    pub const fn full() -> Scopes {
        Scopes(Cow::Borrowed(&FULL))
    }

    /// Reads a declared list: comma separated, trimmed, empties dropped, exact and case-sensitive.
    ///
    /// `None` (nothing declared) is the full set; a blank list is the empty set. Source: contract http.md §2.8.
    pub fn declared(list: Option<&str>) -> Scopes {
        match list {
            None => Scopes::full(),
            Some(list) => Scopes(list.split(',').map(str::trim).filter(|s| !s.is_empty()).map(name).collect()),
        }
    }

    /// Whether the set holds `operator.admin`.
    pub fn admin(&self) -> bool {
        self.holds(ADMIN)
    }

    /// Whether the set covers `required`: admin covers all, write covers read, others only themselves.
    ///
    /// Source: contract http.md §2.8, ws.md §3.1.
    pub fn covers(&self, required: &str) -> bool {
        self.admin() || self.holds(required) || (required == READ && self.holds(WRITE))
    }

    /// The scopes, in the order declared.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|s| &**s)
    }

    /// Those of `wanted` that this set covers.
    pub(super) fn narrowed(&self, wanted: &Scopes) -> Scopes {
        let mut both = Vec::with_capacity(wanted.0.len());
        for scope in wanted.0.iter() {
            if self.covers(scope) {
                both.push(scope.clone());
            }
        }
        Scopes(both.into())
    }

    fn holds(&self, scope: &str) -> bool {
        self.0.iter().any(|s| s == scope)
    }
}

/// Known names are borrowed, so that the usual declaration costs one allocation, not seven.
fn name(text: &str) -> Cow<'static, str> {
    FULL.iter().find(|s| *s == text).cloned().unwrap_or_else(|| Cow::Owned(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declared_list_is_read_exactly() {
        let check = |list: Option<&str>, expected: &[&str]| {
            assert_eq!(Scopes::declared(list).names().collect::<Vec<_>>(), expected, "{list:?}");
        };
        let full = [ADMIN, READ, WRITE, "operator.approvals", "operator.pairing", "operator.talk.secrets"];
        check(None, &full);
        check(Some(""), &[]);
        check(Some(" , ,"), &[]);
        check(Some("operator.read"), &[READ]);
        check(Some(" operator.read ,operator.write,"), &[READ, WRITE]);
        // Spaces do not split, and an unknown scope stays.
        check(Some("operator.read operator.write"), &["operator.read operator.write"]);
        check(Some("made.up"), &["made.up"]);
        check(Some("Operator.Admin"), &["Operator.Admin"]);
    }

    #[test]
    fn covering_follows_the_ladder() {
        let check = |list: Option<&str>, required: &str, expected: bool| {
            assert_eq!(Scopes::declared(list).covers(required), expected, "{list:?} for {required}");
        };
        check(None, WRITE, true);
        check(Some("operator.admin"), WRITE, true);
        check(Some("operator.admin"), "made.up", true);
        check(Some("operator.write"), READ, true);
        check(Some("operator.write"), WRITE, true);
        check(Some("operator.write"), ADMIN, false);
        check(Some("operator.read"), WRITE, false);
        check(Some("operator.talk.secrets"), WRITE, false);
        check(Some(""), READ, false);
        check(Some("Operator.Write"), WRITE, false);
        check(Some("operator.read operator.write"), WRITE, false);
        check(Some("operator.pairing"), "operator.pairing", true);
    }

    #[test]
    fn narrowing_never_adds() {
        let check = |held: Option<&str>, wanted: &str, expected: &[&str]| {
            let narrow = Scopes::declared(held).narrowed(&Scopes::declared(Some(wanted)));
            assert_eq!(narrow.names().collect::<Vec<_>>(), expected, "{held:?} to {wanted}");
        };
        check(None, "operator.read", &[READ]);
        check(Some("operator.write"), "operator.admin,operator.read", &[READ]);
        check(Some("operator.read"), "operator.write", &[]);
        check(None, "", &[]);
    }
}
