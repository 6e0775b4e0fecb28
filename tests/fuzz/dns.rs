//! Any bytes as the answer to a question → records within their limits, or none; never a loop.
#![no_main]

use libfuzzer_sys::fuzz_target;
use toolgate::limits::DNS_RECORDS;
use toolgate::tool::dns;

fuzz_target!(|data: &[u8]| {
    let [kind, count, data @ ..] = data else { return };
    let (_, kind) = dns::KINDS[usize::from(*kind) % dns::KINDS.len()];
    let question = dns::question(7, "nas.lan", kind).expect("a name");
    let _ = dns::read(data, &question);
    // Most bytes answer nothing: these come after the question, with as many records as they say.
    let header = [0, 7, 0x81, 0x80, 0, 1, 0, *count, 0, 0, 0, 0];
    let message = [&header, &question[12..], data].concat();
    if let Ok(answer) = dns::read(&message, &question) {
        assert!(answer.records.len() <= DNS_RECORDS.min(usize::from(*count)));
        for record in &answer.records {
            assert!(record.name.len() <= 4 * 255 && !record.name.is_empty(), "{record:?}");
            assert!(record.addr.is_none_or(|addr| addr.to_string() == record.value), "{record:?}");
        }
        assert!(dns::follow(&answer, "nas.lan").len() <= DNS_RECORDS);
    }
});
