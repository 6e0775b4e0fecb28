//! The table of known keys as the program holds it, packed by the compiler from the rows of `keys`. Pure.
//!
//! A row is ten bytes without a pointer. All its texts stand in one; equal ones stand there once, and the path of an
//! object is the beginning of the path of the key that follows it. With four fat pointers each, the rows were the
//! largest table of the program: 17 KiB on 64 bits, and relocated at every start where the program moves.

use super::key::{Default, Key, Kind};
use super::keys::SOURCE;

/// How many keys there are.
const COUNT: usize = SOURCE.len();

/// The length that says that a default is a number.
const NUMBER: u8 = u8::MAX;

#[derive(Clone, Copy)]
struct Span {
    at: u16,
    len: u8,
}

/// One row. Its parts stand apart, because a [`Span`] has a byte of padding.
#[derive(Clone, Copy)]
pub(super) struct Row {
    path: u16,
    about: u16,
    default: u16,
    path_len: u8,
    about_len: u8,
    default_len: u8,
    kind: u8,
}

/// What is packed, in room for the worst.
struct Packed {
    rows: [Row; COUNT],
    text: [u8; u16::MAX as usize],
    bytes: usize,
    kinds: [Kind; COUNT],
    kinds_count: usize,
    numbers: [i64; COUNT],
    numbers_count: usize,
}

const PACKED: Packed = packed();

/// The rows, in the order of the documentation.
pub(super) static ROWS: [Row; COUNT] = PACKED.rows;

static TEXT: &str = {
    static BYTES: [u8; PACKED.bytes] = first(&PACKED.text, 0);
    match std::str::from_utf8(&BYTES) {
        Ok(text) => text,
        Err(_) => "",
    }
};
static KINDS: [Kind; PACKED.kinds_count] = first(&PACKED.kinds, Kind::Any);
static NUMBERS: [i64; PACKED.numbers_count] = first(&PACKED.numbers, 0);

impl Row {
    /// Its path pattern.
    pub fn path(&self) -> &'static str {
        text(self.path, self.path_len)
    }

    /// All of it.
    pub fn key(&self) -> Key {
        let default = match self.default_len {
            0 => Default::Absent,
            NUMBER => NUMBERS.get(usize::from(self.default)).map_or(Default::Absent, |number| Default::Number(*number)),
            len => Default::Text(text(self.default, len)),
        };
        let kind = KINDS.get(usize::from(self.kind)).copied().unwrap_or(Kind::Any);
        Key { path: self.path(), kind, default, about: text(self.about, self.about_len) }
    }
}

#[inline(never)]
fn text(at: u16, len: u8) -> &'static str {
    let at = usize::from(at);
    TEXT.get(at..at.saturating_add(len.into())).unwrap_or_default()
}

const fn first<T: Copy, const N: usize>(all: &[T], none: T) -> [T; N] {
    let mut some = [none; N];
    let mut at = 0;
    while at < N {
        some[at] = all[at];
        at += 1;
    }
    some
}

const fn packed() -> Packed {
    let none = Row { path: 0, about: 0, default: 0, path_len: 0, about_len: 0, default_len: 0, kind: 0 };
    let mut packed = Packed {
        rows: [none; COUNT],
        text: [0; u16::MAX as usize],
        bytes: 0,
        kinds: [Kind::Any; COUNT],
        kinds_count: 0,
        numbers: [0; COUNT],
        numbers_count: 0,
    };
    let mut at = COUNT;
    while at > 0 {
        at -= 1;
        let (key, mut row) = (&SOURCE[at], none);
        row.path_len = key.path.len() as u8;
        row.path = if at + 1 < COUNT && begins(SOURCE[at + 1].path, key.path) {
            packed.rows[at + 1].path
        } else {
            packed.say(key.path).at
        };
        let about = packed.about(at);
        (row.about, row.about_len) = (about.at, about.len);
        match key.default {
            Default::Absent => {}
            Default::Number(number) => {
                packed.numbers[packed.numbers_count] = number;
                (row.default, row.default_len) = (packed.numbers_count as u16, NUMBER);
                packed.numbers_count += 1;
            }
            Default::Text(text) => {
                let default = packed.default(at, text);
                (row.default, row.default_len) = (default.at, default.len);
            }
        }
        row.kind = packed.kind(key.kind);
        packed.rows[at] = row;
    }
    packed
}

impl Packed {
    const fn say(&mut self, text: &str) -> Span {
        // A length of 255 would be a number; what is longer than the text's room does not compile either.
        assert!(text.len() < NUMBER as usize);
        let span = Span { at: self.bytes as u16, len: text.len() as u8 };
        let (bytes, mut at) = (text.as_bytes(), 0);
        while at < bytes.len() {
            self.text[self.bytes] = bytes[at];
            self.bytes += 1;
            at += 1;
        }
        span
    }

    /// What row `at` does: where a row below says the same, its words.
    const fn about(&mut self, at: usize) -> Span {
        let about = SOURCE[at].about;
        let mut other = at + 1;
        while other < COUNT {
            if about.len() == SOURCE[other].about.len() && begins(SOURCE[other].about, about) {
                return Span { at: self.rows[other].about, len: self.rows[other].about_len };
            }
            other += 1;
        }
        self.say(about)
    }

    const fn default(&mut self, at: usize, text: &str) -> Span {
        let mut other = at + 1;
        while other < COUNT {
            if let Default::Text(own) = SOURCE[other].default
                && text.len() == own.len()
                && begins(own, text)
            {
                return Span { at: self.rows[other].default, len: self.rows[other].default_len };
            }
            other += 1;
        }
        self.say(text)
    }

    const fn kind(&mut self, kind: Kind) -> u8 {
        let mut at = 0;
        while at < self.kinds_count {
            if same(&self.kinds[at], &kind) {
                return at as u8;
            }
            at += 1;
        }
        assert!(at <= u8::MAX as usize);
        self.kinds[at] = kind;
        self.kinds_count += 1;
        at as u8
    }
}

const fn begins(text: &str, with: &str) -> bool {
    let (text, with) = (text.as_bytes(), with.as_bytes());
    let mut at = 0;
    while at < with.len() {
        if at == text.len() || text[at] != with[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// Whether two kinds are the same one of those that many keys have.
const fn same(one: &Kind, other: &Kind) -> bool {
    match (one, other) {
        (Kind::Integer { min, max }, Kind::Integer { min: own_min, max: own_max }) => {
            *min == *own_min && *max == *own_max
        }
        (Kind::Any, Kind::Any)
        | (Kind::Bool, Kind::Bool)
        | (Kind::Map, Kind::Map)
        | (Kind::Model, Kind::Model)
        | (Kind::Object, Kind::Object)
        | (Kind::Secret, Kind::Secret)
        | (Kind::Text, Kind::Text)
        | (Kind::Texts, Kind::Texts) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_says_what_its_source_says() {
        assert_eq!(ROWS.iter().map(Row::key).collect::<Vec<Key>>(), SOURCE);
    }
}
