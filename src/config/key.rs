//! What is said of one configuration key: its path, what its value must be, what holds without it. Pure.

use std::fmt;

/// What a key's value must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Anything; the reader of the key judges it.
    Any,
    /// The same as the key of that pattern.
    As(&'static str),
    /// `true` or `false`.
    Bool,
    /// A whole number within these bounds, both included.
    Integer {
        /// The least.
        min: i64,
        /// The most.
        max: i64,
    },
    /// A list; its elements stand under `…[]`.
    List,
    /// An object with any keys; their values stand under `….*`.
    Map,
    /// Text, or an object with `primary`.
    Model,
    /// An object with the keys of this table only.
    Object,
    /// Such an object, or `false`.
    ObjectOrFalse,
    /// A secret: text, or a reference to a file or an environment variable.
    Secret,
    /// Text.
    Text,
    /// Text, or `false`.
    TextOrFalse,
    /// Text, or a whole number within these bounds, both included.
    TextOrInteger {
        /// The least.
        min: i64,
        /// The most.
        max: i64,
    },
    /// A list of texts.
    Texts,
    /// One of these words.
    Word(&'static [&'static str]),
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Any => f.write_str("any value"),
            Kind::As(pattern) => write!(f, "as {pattern}"),
            Kind::Bool => f.write_str("true or false"),
            Kind::Integer { min, max } => write!(f, "whole number, {min} to {max}"),
            Kind::List => f.write_str("list"),
            Kind::Map | Kind::Object => f.write_str("object"),
            Kind::Model => f.write_str("text, or {primary}"),
            Kind::ObjectOrFalse => f.write_str("object, or false"),
            Kind::Secret => f.write_str("secret: text, {file}, {env} or {prefix, file|env}"),
            Kind::Text => f.write_str("text"),
            Kind::TextOrFalse => f.write_str("text, or false"),
            Kind::TextOrInteger { min, max } => write!(f, "text, or whole number, {min} to {max}"),
            Kind::Texts => f.write_str("list of texts"),
            Kind::Word(words) => f.write_str(&words.join(", ")),
        }
    }
}

/// What holds when a key is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Default {
    /// Nothing: the key has no default of its own.
    Absent,
    /// This number.
    Number(i64),
    /// This value or behaviour.
    Text(&'static str),
}

impl fmt::Display for Default {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Default::Absent => Ok(()),
            Default::Number(number) => write!(f, "{number}"),
            Default::Text(text) => f.write_str(text),
        }
    }
}

/// One known key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Its path pattern.
    pub path: &'static str,
    /// What its value must be.
    pub kind: Kind,
    /// What holds when it is absent.
    pub default: Default,
    /// One line on what it does.
    pub about: &'static str,
}
