//! One field line, byte by byte → whether it may stand. Shared by heads and trailers, so that both are equally strict.

use super::Fault;

/// What a byte may be, as bits.
const TOKEN: u8 = 1;
const VALUE: u8 = 2;

/// The classes of every byte. A table, because each byte of each head is looked up in it.
static CLASSES: [u8; 256] = classes();

#[expect(clippy::indexing_slicing, reason = "a byte indexes 256 entries, at compile time")]
const fn classes() -> [u8; 256] {
    let mut classes = [0; 256];
    let mut byte = 0_u8;
    loop {
        let token = byte.is_ascii_alphanumeric()
            || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~');
        let value = matches!(byte, b'\t' | b' '..=b'~' | 0x80..=0xff);
        classes[byte as usize] = (if token { TOKEN } else { 0 }) | (if value { VALUE } else { 0 });
        match byte.checked_add(1) {
            Some(next) => byte = next,
            None => return classes,
        }
    }
}

fn class(byte: u8) -> u8 {
    CLASSES.get(usize::from(byte)).copied().unwrap_or_default()
}

/// Whether `byte` may stand in a token. Source: RFC 9110 §5.6.2.
pub(super) fn is_token(byte: u8) -> bool {
    class(byte) & TOKEN != 0
}

/// Whether `byte` may stand in a field value: visible, space, tab or obs-text. Source: RFC 9110 §5.5.
pub(super) fn is_value(byte: u8) -> bool {
    class(byte) & VALUE != 0
}

/// Where in a field line the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldLine {
    /// At its first byte.
    Start,
    /// In the name.
    Name,
    /// In the value.
    Value,
    /// After its CR.
    End,
    /// After the CR of the empty line that ends the block.
    Last,
}

/// What a byte did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Took {
    /// The line goes on.
    More,
    /// The line is complete.
    Line,
    /// The block is complete.
    Block,
}

impl FieldLine {
    /// How many of the first `bytes` the line would take without coming to another place.
    pub(super) fn run(self, bytes: &[u8]) -> usize {
        let goes_on = match self {
            FieldLine::Name => TOKEN,
            FieldLine::Value => VALUE,
            FieldLine::Start | FieldLine::End | FieldLine::Last => return 0,
        };
        bytes.iter().position(|byte| class(*byte) & goes_on == 0).unwrap_or(bytes.len())
    }

    /// Takes one byte. A line end is CR LF and nothing else; a line may not begin with white space (no folding).
    ///
    /// # Errors
    /// [`Fault::FieldInvalid`] at the first byte that may not stand where it stands.
    ///
    /// Source: RFC 9112 §2.2, §5, §5.1, §5.2.
    pub(super) fn take(&mut self, byte: u8) -> Result<Took, Fault> {
        let (next, took) = match (*self, byte) {
            (FieldLine::Start, b'\r') => (FieldLine::Last, Took::More),
            (FieldLine::Start | FieldLine::Name, _) if is_token(byte) => (FieldLine::Name, Took::More),
            (FieldLine::Name, b':') => (FieldLine::Value, Took::More),
            (FieldLine::Value, b'\r') => (FieldLine::End, Took::More),
            (FieldLine::Value, _) if is_value(byte) => (FieldLine::Value, Took::More),
            (FieldLine::End, b'\n') => (FieldLine::Start, Took::Line),
            (FieldLine::Last, b'\n') => (FieldLine::Start, Took::Block),
            _ => return Err(Fault::FieldInvalid),
        };
        *self = next;
        Ok(took)
    }
}
