//! Any bytes, cut anywhere, as a server's answer → the same answer, the same fault; and no more content than was wanted.
#![no_main]

mod cut;

use cut::cut;
use libfuzzer_sys::fuzz_target;
use toolgate::wire::Fault;
use toolgate::wire::answer::{Answer, Reader};

fn feed<'a>(headless: bool, most: usize, parts: impl Iterator<Item = &'a [u8]>) -> Result<Answer, Fault> {
    let mut reader = Reader::new(headless, most);
    for part in parts {
        reader.take(part)?;
    }
    let answer = reader.end()?;
    assert!(answer.content.len() <= most && (200..1000).contains(&answer.status), "{answer:?}");
    assert!(!headless || (answer.content.is_empty() && !answer.cut), "{answer:?}");
    assert!(answer.cut || headless || answer.total == Some(answer.content.len() as u64), "{answer:?}");
    Ok(answer)
}

fuzz_target!(|data: &[u8]| {
    let [most, count, data @ ..] = data else { return };
    let Some((cuts, data)) = data.split_at_checked(usize::from(count % 8)) else { return };
    let (headless, most) = (most % 8 == 0, usize::from(*most));
    let whole = feed(headless, most, std::iter::once(data));
    assert_eq!(feed(headless, most, data.chunks(1)), whole);
    if !cuts.is_empty() {
        assert_eq!(feed(headless, most, cut(data, cuts)), whole);
    }
});
