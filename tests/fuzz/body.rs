//! Any bytes, cut anywhere → the same content, the same end, the same fault.
#![no_main]

mod cut;

use cut::cut;
use libfuzzer_sys::fuzz_target;
use toolgate::wire::Fault;
use toolgate::wire::body::{Decoder, Framing};

/// The content, whether it is complete, and what was left over; or the content before the fault, and the fault.
type Fed = (Vec<u8>, Result<(bool, usize), Fault>);

fn feed<'a>(framing: Framing, parts: impl Iterator<Item = &'a [u8]>) -> Fed {
    let (mut decoder, mut content, mut done, mut over) = (Decoder::new(framing), Vec::new(), false, 0);
    for mut rest in parts {
        while !done && !rest.is_empty() {
            let piece = match decoder.next(rest) {
                Ok(piece) => piece,
                Err(fault) => return (content, Err(fault)),
            };
            assert!(piece.used <= rest.len() && piece.content.end <= piece.used, "{piece:?}");
            assert!(piece.used > 0 || piece.done, "no progress");
            content.extend_from_slice(&rest[piece.content]);
            done = piece.done;
            rest = &rest[piece.used..];
        }
        over += rest.len();
    }
    (content, Ok((done, over)))
}

fuzz_target!(|data: &[u8]| {
    let [length, count, data @ ..] = data else { return };
    let Some((cuts, data)) = data.split_at_checked(usize::from(count % 8)) else { return };
    let framing = if *length == 0 { Framing::Length(u64::from(*count)) } else { Framing::Chunked };
    let whole = feed(framing, std::iter::once(data));
    assert_eq!(feed(framing, data.chunks(1)), whole);
    if !cuts.is_empty() {
        assert_eq!(feed(framing, cut(data, cuts)), whole);
    }
});
