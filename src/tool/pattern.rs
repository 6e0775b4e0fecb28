//! Regular expressions of declared tools' schemas: source → program → whether a text matches. Pure.
//!
//! JSON Schema's `pattern` is an ECMA-262 regular expression with the flag `u` that may match anywhere in the text. The
//! expression is the operator's and the text is anybody's, so no text may make an expression slow: the source becomes
//! a program for Thompson's machine, which goes through the text once, all its threads abreast, and never back. What
//! needs going back (back-references, look-around) is refused. So is what the flag `u` refuses, because clients read the
//! same schema with engines of their own. Counts are written out, so a program is as long as what it stands for, and
//! that length is bounded.

use std::fmt;
use std::str::Chars;

use crate::limits::{PATTERN_CHARS_MAX, PATTERN_DEPTH_MAX, PATTERN_STEPS_MAX};

/// One regular expression, ready to match.
pub struct Pattern {
    source: String,
    steps: Vec<Step>,
    classes: Vec<Class>,
}

/// One instruction. Jumps are relative, so that a piece of a program can be copied and moved as it is.
#[derive(Clone, Copy)]
enum Step {
    /// Goes on at the start of the text only.
    Begin,
    /// Takes this character.
    Char(u32),
    /// Takes a character of the class with this number.
    Class(u16),
    /// Goes on where a word begins or ends, or only elsewhere.
    Edge(bool),
    /// Goes on at the end of the text only.
    End,
    /// Goes on that far from here.
    Jump(i16),
    /// Goes on behind itself, and that far from here.
    Split(i16),
}

/// A range of characters, both ends included.
type Range = (u32, u32);
/// Ranges in ascending order that do not overlap.
type Class = Vec<Range>;

/// `\d`.
static DIGITS: &[Range] = &[(0x30, 0x39)];
/// What `.` leaves out. Source: ECMA-262 §12.3.
static LINE_ENDS: &[Range] = &[(0x0A, 0x0A), (0x0D, 0x0D), (0x2028, 0x2029)];
/// `\s`. Source: ECMA-262 §12.2 and §12.3, which take in Unicode's Zs and the byte-order mark.
static SPACES: &[Range] = &[
    (0x09, 0x0D),
    (0x20, 0x20),
    (0xA0, 0xA0),
    (0x1680, 0x1680),
    (0x2000, 0x200A),
    (0x2028, 0x2029),
    (0x202F, 0x202F),
    (0x205F, 0x205F),
    (0x3000, 0x3000),
    (0xFEFF, 0xFEFF),
];
/// `\w`.
static WORDS: &[Range] = &[(0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)];
/// The last character there is.
const LAST: u32 = 0x10_FFFF;

impl Pattern {
    /// Reads an ECMA-262 regular expression as the flag `u` has it: literals, `.`, `^`, `$`, `\b`, classes, groups,
    /// alternatives, counts and their lazy forms, and the escapes for characters and for `\d`, `\s`, `\w`.
    ///
    /// # Errors
    /// One sentence that names the character, from 1, and what is wrong or not supported there; or the limit that the
    /// source exceeds.
    pub fn compile(source: &str) -> Result<Pattern, String> {
        if source.chars().count() > PATTERN_CHARS_MAX {
            return Err(["the pattern is longer than ", &PATTERN_CHARS_MAX.to_string(), " characters"].concat());
        }
        let mut parser = Parser {
            rest: source.chars(),
            taken: 0,
            from: 0,
            open: Vec::new(),
            ends: Vec::new(),
            steps: Vec::new(),
            classes: Vec::new(),
        };
        parser.whole()?;
        Ok(Pattern { source: source.to_owned(), steps: parser.steps, classes: parser.classes })
    }

    /// Whether the expression matches anywhere in `text`. Takes at most [`PATTERN_STEPS_MAX`] steps per character, and
    /// memory that does not depend on `text`.
    pub fn matches(&self, text: &str) -> bool {
        self.count(text, &mut 0)
    }

    /// The expression as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The same as `matches`; `work` grows by the instructions looked at.
    fn count(&self, text: &str, work: &mut u64) -> bool {
        let anchored = matches!(self.steps.first(), Some(Step::Begin));
        let mut seen = vec![0_u32; self.steps.len() / 32 + 1];
        let (mut threads, mut next): (Vec<u16>, Vec<u16>) = (Vec::new(), Vec::new());
        let (mut before, mut chars) = (None, text.chars());
        loop {
            let here = chars.next();
            if before.is_none() || !anchored {
                threads.push(0);
            } else if threads.is_empty() {
                return false;
            }
            seen.fill(0);
            while let Some(at) = threads.pop() {
                *work = work.wrapping_add(1);
                if !first_visit(&mut seen, at) {
                    continue;
                }
                // Whoever has come to the end of the program has matched.
                let Some(step) = self.steps.get(usize::from(at)) else { return true };
                let on = match *step {
                    Step::Begin => before.is_none(),
                    Step::Char(c) if here.is_some_and(|here| u32::from(here) == c) => {
                        next.push(at.wrapping_add(1));
                        false
                    }
                    Step::Class(class) if here.is_some_and(|here| self.holds(class, here)) => {
                        next.push(at.wrapping_add(1));
                        false
                    }
                    Step::Char(_) | Step::Class(_) => false,
                    Step::Edge(edge) => (word(before) != word(here)) == edge,
                    Step::End => here.is_none(),
                    Step::Jump(far) => {
                        threads.push(at.wrapping_add_signed(far));
                        false
                    }
                    Step::Split(far) => {
                        threads.push(at.wrapping_add_signed(far));
                        true
                    }
                };
                if on {
                    threads.push(at.wrapping_add(1));
                }
            }
            if here.is_none() {
                return false;
            }
            before = here;
            std::mem::swap(&mut threads, &mut next);
        }
    }

    fn holds(&self, class: u16, c: char) -> bool {
        let Some(class) = self.classes.get(usize::from(class)) else { return false };
        let at = class.partition_point(|(_, high)| *high < u32::from(c));
        class.get(at).is_some_and(|(low, _)| *low <= u32::from(c))
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

/// Whether no thread was at this instruction before; from now on one was.
fn first_visit(seen: &mut [u32], at: u16) -> bool {
    let Some(bits) = seen.get_mut(usize::from(at / 32)) else { return false };
    let bit = 1 << (at % 32);
    let first = *bits & bit == 0;
    *bits |= bit;
    first
}

/// Whether a character belongs to a word; no character, at either end of the text, does not.
fn word(c: Option<char>) -> bool {
    c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A group that is being read. The whole expression is the outermost.
struct Open {
    /// The place of its parenthesis, from 1.
    from: usize,
    /// Where its program begins.
    start: usize,
    /// Where the program of its present alternative begins.
    branch: usize,
    /// How many of [`Parser::ends`] are not its own.
    ends: usize,
}

/// Reads a source from left to right and never calls itself: groups stand in a list.
struct Parser<'a> {
    rest: Chars<'a>,
    /// Characters taken off `rest`.
    taken: usize,
    /// The first character of what is being read, from 1.
    from: usize,
    open: Vec<Open>,
    /// Jumps from the end of an alternative to the end of its group, which is not known yet.
    ends: Vec<usize>,
    steps: Vec<Step>,
    classes: Vec<Class>,
}

impl Parser<'_> {
    fn take(&mut self) -> Option<char> {
        let c = self.rest.next()?;
        self.taken += 1;
        Some(c)
    }

    fn peek(&self) -> Option<char> {
        self.rest.clone().next()
    }

    fn eat(&mut self, c: char) -> bool {
        let there = self.peek() == Some(c);
        if there {
            self.take();
        }
        there
    }

    fn wrong(&self, what: &str) -> String {
        ["character ", &self.from.to_string(), ": ", what].concat()
    }

    #[inline(never)]
    fn whole(&mut self) -> Result<(), String> {
        self.begin_group();
        while let Some(c) = self.take() {
            self.from = self.taken;
            self.token(c)?;
        }
        if let [_, .., group] = &self.open[..] {
            self.from = group.from;
            return Err(self.wrong("this group is not closed"));
        }
        self.end_group();
        self.room(self.steps.len())
    }

    /// Refuses a program of `length` instructions that is too long.
    fn room(&self, length: usize) -> Result<(), String> {
        if length <= PATTERN_STEPS_MAX {
            return Ok(());
        }
        let most = PATTERN_STEPS_MAX.to_string();
        let fix = " instructions; bound lengths with minLength and maxLength";
        Err(self.wrong(&["with its counts written out the pattern has more than ", &most, fix].concat()))
    }

    #[inline(never)]
    fn token(&mut self, c: char) -> Result<(), String> {
        let mut start = self.steps.len();
        match c {
            '(' => return self.open_group(),
            ')' if self.open.len() < 2 => return Err(self.wrong("this parenthesis closes nothing; write \\) for it")),
            ')' => start = self.end_group(),
            '|' => {
                self.end_branch();
                return Ok(());
            }
            '^' | '$' => {
                self.steps.push(if c == '^' { Step::Begin } else { Step::End });
                return Ok(());
            }
            '*' | '+' | '?' | '{' => {
                return Err(self.wrong("there is nothing to repeat; write a backslash before it for the character"));
            }
            ']' | '}' => return Err(self.wrong("write a backslash before it for the character")),
            '.' => {
                let mut class = Class::new();
                fill(&mut class, LINE_ENDS, true);
                self.class(class);
            }
            '[' => self.bracket()?,
            '\\' if matches!(self.peek(), Some('b' | 'B')) => {
                let edge = self.take() == Some('b');
                self.steps.push(Step::Edge(edge));
                return Ok(());
            }
            '\\' => {
                let mut class = Class::new();
                match self.escape(false, &mut class)? {
                    Some(c) => self.steps.push(Step::Char(c)),
                    None => self.class(class),
                }
            }
            c => self.steps.push(Step::Char(u32::from(c))),
        }
        self.repeat(start)
    }

    fn class(&mut self, class: Class) {
        // Not even a class per character of the source comes near the end of these numbers.
        let number = u16::try_from(self.classes.len()).unwrap_or(u16::MAX);
        self.classes.push(class);
        self.steps.push(Step::Class(number));
    }

    fn open_group(&mut self) -> Result<(), String> {
        if self.eat('?') {
            let wrong = match self.take() {
                Some(':') => "",
                Some('=' | '!') => "look-ahead is not supported",
                Some('<') if matches!(self.peek(), Some('=' | '!')) => "look-behind is not supported",
                Some('<') => "named groups are not supported; write (…) or (?:…)",
                _ => "only (…) and (?:…) are groups here",
            };
            if !wrong.is_empty() {
                return Err(self.wrong(wrong));
            }
        }
        if self.open.len() > PATTERN_DEPTH_MAX {
            let most = PATTERN_DEPTH_MAX.to_string();
            return Err(self.wrong(&["more than ", &most, " groups stand inside each other"].concat()));
        }
        self.begin_group();
        Ok(())
    }

    fn begin_group(&mut self) {
        let start = self.steps.len();
        self.open.push(Open { from: self.from, start, branch: start, ends: self.ends.len() });
    }

    /// Puts a choice before the alternative that has ended, and a way round the following ones behind it.
    fn end_branch(&mut self) {
        let Some(group) = self.open.last_mut() else { return };
        let length = self.steps.len() - group.branch;
        self.steps.insert(group.branch, Step::Split(far(length + 2)));
        self.ends.push(self.steps.len());
        self.steps.push(Step::Jump(0));
        group.branch = self.steps.len();
    }

    /// Where the program of the group begins.
    fn end_group(&mut self) -> usize {
        let Some(group) = self.open.pop() else { return 0 };
        let end = self.steps.len();
        for at in self.ends.drain(group.ends..) {
            if let Some(step) = self.steps.get_mut(at) {
                *step = Step::Jump(far(end - at));
            }
        }
        group.start
    }

    /// Reads the count that may follow, and writes out what begins at `start` that often.
    #[inline(never)]
    fn repeat(&mut self, start: usize) -> Result<(), String> {
        let Some(c @ ('*' | '+' | '?' | '{')) = self.peek() else { return Ok(()) };
        self.take();
        self.from = self.taken;
        let (least, most) = match c {
            '*' => (0, None),
            '+' => (1, None),
            '?' => (0, Some(1)),
            _ => self.counts().ok_or_else(|| self.wrong("a count is written {2}, {2,} or {2,3}; write \\{ for it"))?,
        };
        // Whether it takes as much or as little as it can makes no difference to whether there is a match.
        self.eat('?');
        if most.is_some_and(|most| most < least) {
            return Err(self.wrong("the lower number comes first in a count"));
        }
        let piece = self.steps.split_off(start);
        let length = piece.len();
        // Nothing counts as one instruction here, so that it is not written out for ever either.
        let (must, may) = (length.max(1).saturating_mul(least), most.unwrap_or(least.max(1)) - least);
        self.room(must.saturating_add((length + 1).saturating_mul(may)).saturating_add(start))?;
        for _ in 0..least {
            self.steps.extend_from_slice(&piece);
        }
        match most {
            Some(most) => {
                for left in (1..=most - least).rev() {
                    self.steps.push(Step::Split(far(left * (length + 1))));
                    self.steps.extend_from_slice(&piece);
                }
            }
            None if least == 0 => {
                self.steps.push(Step::Split(far(length + 2)));
                self.steps.extend_from_slice(&piece);
                self.steps.push(Step::Jump(-far(length + 1)));
            }
            None => self.steps.push(Step::Split(-far(length))),
        }
        Ok(())
    }

    /// The rest of `{n}`, `{n,}` or `{n,m}`; `None` when it is none of them.
    fn counts(&mut self) -> Option<(usize, Option<usize>)> {
        let least = self.number()?;
        let most = if self.eat(',') { self.number() } else { Some(least) };
        self.eat('}').then_some((least, most))
    }

    fn number(&mut self) -> Option<usize> {
        let mut number = None;
        while let Some(digit) = self.peek().and_then(|c| c.to_digit(10)) {
            self.take();
            number = Some(number.unwrap_or(0_usize).saturating_mul(10).saturating_add(digit as usize));
        }
        number
    }

    /// A class in brackets, the first of which has been taken.
    #[inline(never)]
    fn bracket(&mut self) -> Result<(), String> {
        let (from, negated) = (self.from, self.eat('^'));
        let mut class = Class::new();
        loop {
            match self.take() {
                None => {
                    self.from = from;
                    return Err(self.wrong("this class is not closed"));
                }
                Some(']') => break,
                Some(c) => self.members(c, &mut class)?,
            }
        }
        if negated {
            let members = std::mem::take(&mut class);
            fill(&mut class, &members, true);
        }
        self.from = from;
        self.class(class);
        Ok(())
    }

    /// One character, escape or range in brackets that begins with `c`.
    #[inline(never)]
    fn members(&mut self, c: char, class: &mut Class) -> Result<(), String> {
        self.from = self.taken;
        let low = self.member(c, class)?;
        let mut ahead = self.rest.clone();
        let high = if ahead.next() == Some('-') && !matches!(ahead.next(), None | Some(']')) {
            self.take();
            let c = self.take().unwrap_or_default();
            self.member(c, class)?
        } else if low.is_some() {
            low
        } else {
            return Ok(());
        };
        match (low, high) {
            (Some(low), Some(high)) if low <= high => {
                add(class, low, high);
                Ok(())
            }
            (Some(_), Some(_)) => Err(self.wrong("the lower character comes first in a range")),
            _ => Err(self.wrong("a range goes from one character to another; write \\- for the character")),
        }
    }

    fn member(&mut self, c: char, class: &mut Class) -> Result<Option<u32>, String> {
        if c == '\\' { self.escape(true, class) } else { Ok(Some(u32::from(c))) }
    }

    /// What follows a backslash: one character, or `None` when it is a class, which then is in `class`.
    fn escape(&mut self, inside: bool, class: &mut Class) -> Result<Option<u32>, String> {
        let c = self.take().unwrap_or_default();
        let ranges = match c {
            'd' | 'D' => DIGITS,
            's' | 'S' => SPACES,
            'w' | 'W' => WORDS,
            _ => return self.character(c, inside).map(Some),
        };
        fill(class, ranges, c.is_ascii_uppercase());
        Ok(None)
    }

    fn character(&mut self, c: char, inside: bool) -> Result<u32, String> {
        let wrong = match c {
            'b' if inside => return Ok(0x08),
            't' => return Ok(0x09),
            'n' => return Ok(0x0A),
            'v' => return Ok(0x0B),
            'f' => return Ok(0x0C),
            'r' => return Ok(0x0D),
            '0' if !self.peek().is_some_and(|c| c.is_ascii_digit()) => return Ok(0),
            '-' if inside => return Ok(u32::from(c)),
            '^' | '$' | '\\' | '.' | '*' | '+' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '|' | '/' => {
                return Ok(u32::from(c));
            }
            'c' => match self.take() {
                Some(letter) if letter.is_ascii_alphabetic() => return Ok(u32::from(letter) % 32),
                _ => "\\c is followed by a letter",
            },
            'x' | 'u' => match self.code(c) {
                Some(code) => return Ok(code),
                None => "this escape names no character; write \\x41, \\u0041 or \\u{41}",
            },
            '0'..='9' => "back-references are not supported",
            'k' => "named groups are not supported",
            'p' | 'P' => "\\p is not supported; list the characters in brackets",
            _ => "this is no escape; write the character without the backslash",
        };
        Err(self.wrong(wrong))
    }

    /// The rest of `\xHH`, `\uHHHH` (a character beyond 16 bits takes two) or `\u{…}`.
    fn code(&mut self, kind: char) -> Option<u32> {
        let code = if kind == 'x' {
            self.hex(2)?
        } else if self.eat('{') {
            let mut code = self.hex(1)?;
            while !self.eat('}') {
                code = code.min(LAST) * 16 + self.hex(1)?;
            }
            code
        } else {
            let first = self.hex(4)?;
            let pair = (0xD800..=0xDBFF).contains(&first) && self.eat('\\') && self.eat('u');
            let second = if pair { self.hex(4)? } else { 0 };
            return char::decode_utf16([first as u16, second as u16]).next()?.ok().map(u32::from);
        };
        char::from_u32(code).map(u32::from)
    }

    fn hex(&mut self, digits: usize) -> Option<u32> {
        let mut code = 0;
        for _ in 0..digits {
            code = code * 16 + self.take()?.to_digit(16)?;
        }
        Some(code)
    }
}

/// A distance in a program, which the limits keep far below the end of this type.
fn far(distance: usize) -> i16 {
    i16::try_from(distance).unwrap_or(i16::MAX)
}

/// Adds `ranges`, or everything else.
fn fill(class: &mut Class, ranges: &[Range], negated: bool) {
    let mut from = 0;
    for &(low, high) in ranges {
        if !negated {
            add(class, low, high);
        } else if from < low {
            add(class, from, low - 1);
        }
        from = high + 1;
    }
    if negated && from <= LAST {
        add(class, from, LAST);
    }
}

/// Adds one range in its place and joins it with those it overlaps.
fn add(class: &mut Class, mut low: u32, mut high: u32) {
    let at = class.partition_point(|(_, end)| *end < low);
    while let Some(&(start, end)) = class.get(at)
        && start <= high
    {
        (low, high) = (low.min(start), high.max(end));
        class.remove(at);
    }
    class.insert(at, (low, high));
}

#[cfg(test)]
#[path = "pattern_tests.rs"]
mod tests;
