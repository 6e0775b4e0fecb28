//! Text with `{name}` in it + checked arguments → text with the values in their places, each escaped for its place. Pure.
//!
//! A value never becomes more than a value: what is filled in is not looked at again, so `{name}` inside a value stays
//! what it is. `{{name}}` stands for the literal text `{name}`; braces around anything but a name stand for themselves.

use super::fields::{Field, plain};
use super::schema::Args;

/// One piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    /// Text that stays as it is.
    Literal(String),
    /// The value of the parameter at that place in the tool's list.
    Value(usize),
}

/// A text with places for values.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Template(Vec<Piece>);

/// Why a template cannot be filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unfilled {
    /// The argument of that place is absent, and may be.
    Absent,
    /// The argument does not fit there: what the caller is told.
    Refused(String),
}

impl Template {
    /// Reads `text`, whose names are those of `fields`.
    ///
    /// # Errors
    /// The first name that is none of them.
    pub fn parse(text: &str, fields: &[Field]) -> Result<Template, String> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            literal.push_str(before);
            match after.split_once('}') {
                Some((name, left)) if is_name(name) => {
                    let at = fields.iter().position(|field| field.name == name).ok_or(name)?;
                    if !literal.is_empty() {
                        pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                    }
                    pieces.push(Piece::Value(at));
                    rest = left;
                }
                Some((name, left)) if name.strip_prefix('{').is_some_and(is_name) && left.starts_with('}') => {
                    literal.extend([name, "}"]);
                    rest = left.get(1..).unwrap_or_default();
                }
                _ => {
                    literal.push('{');
                    rest = after;
                }
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() || pieces.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Ok(Template(pieces))
    }

    /// The text, when no value goes into it.
    pub fn literal(&self) -> Option<&str> {
        if let [Piece::Literal(text)] = self.0.as_slice() { Some(text) } else { None }
    }

    /// Whether it begins with text that stays as it is.
    pub fn begins_literally(&self) -> bool {
        matches!(self.0.first(), Some(Piece::Literal(_)))
    }

    /// The parameter whose value is all of it.
    pub fn whole(&self) -> Option<usize> {
        if let [Piece::Value(at)] = self.0.as_slice() { Some(*at) } else { None }
    }

    /// The parameters whose values go into it.
    pub fn values(&self) -> impl Iterator<Item = usize> {
        self.0.iter().filter_map(|piece| if let Piece::Value(at) = piece { Some(*at) } else { None })
    }

    /// Writes the text to `out`; each value goes through `put`, which escapes it or says what is wrong with it.
    pub(super) fn fill(
        &self,
        fields: &[Field],
        args: &Args,
        out: &mut String,
        put: &dyn Fn(&Field, &str, &mut String) -> Result<(), String>,
    ) -> Result<(), Unfilled> {
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => out.push_str(text),
                Piece::Value(at) => {
                    let field = fields.get(*at).ok_or(Unfilled::Absent)?;
                    let value = args.find(&field.name).ok_or(Unfilled::Absent)?;
                    put(field, &plain(value), out)
                        .map_err(|wrong| Unfilled::Refused([&field.name, ": ", &wrong].concat()))?;
                }
            }
        }
        Ok(())
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
