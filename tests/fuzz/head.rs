//! Any bytes → the same head, or the same fault, however they arrive; and what is read from a head can stand.
#![no_main]

use libfuzzer_sys::fuzz_target;
use toolgate::limits::HEAD_BYTES_MAX;
use toolgate::wire::body;
use toolgate::wire::head::{Head, Scanner};

fuzz_target!(|data: &[u8]| {
    let whole = Scanner::default().scan(data);
    let mut scanner = Scanner::default();
    let singly = (0..=data.len()).map(|n| scanner.scan(&data[..n])).find(|r| *r != Ok(None)).unwrap_or(Ok(None));
    assert_eq!(singly, whole);
    if let Ok(Some(end)) = whole {
        assert!(end <= HEAD_BYTES_MAX && data[..end].ends_with(b"\r\n\r\n"));
        if let Ok(head) = Head::parse(data[..end].to_vec()) {
            assert!(head.path() == "*" || (head.path().starts_with('/') && !head.path().contains(['?', '#', '\\'])));
            assert!(head.host().is_some_and(|h| !h.is_empty() && !h.contains(['@', ' ', '/'])) || head.is_http10());
            if body::resolve(&head).is_ok() {
                let lengths = head.values("content-length").count();
                assert!(lengths + head.values("transfer-encoding").count().min(1) <= 1);
            }
        }
    }
});
