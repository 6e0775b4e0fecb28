//! Answers as name servers, and those who pretend to be one, send them.

use super::*;
use crate::tool::servers;

fn asked(name: &str, kind: u16) -> Vec<u8> {
    question(0x1234, name, kind).expect("a name")
}

/// The answer to a question for `kind` of `nas.lan` with one record of that content.
fn value(kind: u16, content: &[u8]) -> Result<String, Fault> {
    let question = asked("nas.lan", kind);
    let answer = read(&servers::answer(&question, 0, &[(kind, content)]), &question)?;
    Ok(answer.records.into_iter().map(|record| record.value).collect())
}

#[test]
fn questions() {
    let bytes = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03nas\x03lan\0\0\x01\0\x01";
    assert_eq!(question(0x1234, "nas.lan", A).as_deref(), Some(&bytes[..]));
    assert_eq!(question(0x1234, "nas.lan.", A).as_deref(), Some(&bytes[..]));
    for bad in ["", ".", "a..b", ".a", &"a".repeat(64), &"a.".repeat(128)] {
        assert_eq!(question(1, bad, A), None, "{bad:?}");
    }
    assert!(question(1, &"a.".repeat(127), A).is_some());
}

#[test]
fn records_of_every_type() {
    let check = |kind, content: &[u8], expected: &str| assert_eq!(value(kind, content), Ok(expected.into()));
    check(A, &[192, 168, 1, 5], "192.168.1.5");
    check(AAAA, &[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5], "fd00::5");
    check(CNAME, b"\x03box\xc0\x10", "box.lan");
    check(PTR, b"\x01a\x02b.\0", "a.b\\046");
    check(MX, b"\0\x0a\x04mail\xc0\x0c", "10 mail.nas.lan");
    check(SRV, b"\0\x01\0\x02\x1f\x90\xc0\x0c", "1 2 8080 nas.lan");
    check(TXT, b"\x05hello\0\x06 \xc3\xa4 \"\n", "hello \u{e4} \"\n");
    check(TXT, b"\x01\xff", "\u{fffd}");
    check(CNAME, b"\0", ".");
    // Unknown types are passed over.
    check(65, b"\0\x01\0", "");
}

#[test]
fn an_answer_to_another_question_is_foreign() {
    let question = asked("nas.lan", A);
    let good = servers::answer(&question, 0, &[(A, &[1, 2, 3, 4])]);
    assert!(read(&good, &question).is_ok());
    let check = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut message = good.clone();
        change(&mut message);
        assert_eq!(read(&message, &question), Err(Fault::Foreign), "{message:x?}");
    };
    check(&|message| message[0] ^= 1);
    check(&|message| message[1] ^= 1);
    check(&|message| message[2] &= 0x7f);
    check(&|message| message[2] |= 0x28);
    check(&|message| message[5] = 2);
    check(&|message| message[5] = 0);
    check(&|message| message[13] = b'x');
    check(&|message| message[12] = 4);
    check(&|message| message[22] = 28);
    check(&|message| message[24] = 3);
    check(&|message| message.truncate(20));
    check(&|message| message.clear());
    // Names compare without case, and a server may spell them as it likes.
    let mut upper = good.clone();
    upper[13..16].copy_from_slice(b"NAS");
    assert!(read(&upper, &question).is_ok_and(|answer| follow(&answer, "nas.lan") == [IpAddr::from([1, 2, 3, 4])]));
}

#[test]
fn lies_about_lengths_and_names_that_loop_are_malformed() {
    for (kind, content) in [
        (A, &b"\x01\x02\x03"[..]),
        (A, b"\x01\x02\x03\x04\x05"),
        (AAAA, b"\x01\x02\x03\x04"),
        (CNAME, b""),
        // To itself, to each other, forward, into the header's future, beyond the end.
        (CNAME, b"\xc0\x25"),
        (CNAME, b"\x01a\xc0\x25"),
        (CNAME, b"\xc0\x27\xc0\x25"),
        (CNAME, b"\xff\xff"),
        (CNAME, b"\xc0"),
        (CNAME, b"\x40a\0"),
        (CNAME, b"\x80a\0"),
        (CNAME, b"\x05ab\0"),
        (CNAME, b"\x01a\0x"),
        (MX, b"\0"),
        (MX, b"\0\x01"),
        (SRV, b"\0\x01\0\x02\0"),
        (TXT, b"\x05abc"),
    ] {
        assert_eq!(value(kind, content), Err(Fault::Malformed), "{kind} {content:x?}");
    }
    let question = asked("nas.lan", A);
    let mut more = servers::answer(&question, 0, &[]);
    more[7] = 1;
    assert_eq!(read(&more, &question), Err(Fault::Malformed));
}

#[test]
fn a_name_is_no_longer_than_names_are() {
    // Labels that point to labels that point to labels, each a little longer.
    let question = asked(&"a".repeat(63), CNAME);
    let mut content = vec![63];
    content.extend([b'b'; 63]);
    content.extend([0xc0, 12]);
    let first = u8::try_from(question.len() + 12).expect("near");
    let mut long = vec![63];
    long.extend([b'c'; 63]);
    long.extend([0xc0, first]);
    let second = question.len() + 12 + content.len() + 12;
    let mut longer = vec![63];
    longer.extend([b'd'; 63]);
    longer.extend([0xc0 | u8::try_from(second >> 8).expect("near"), u8::try_from(second & 255).expect("a byte")]);
    let two = servers::answer(&question, 0, &[(CNAME, &content), (CNAME, &long)]);
    assert!(read(&two, &question).is_ok());
    let three = servers::answer(&question, 0, &[(CNAME, &content), (CNAME, &long), (CNAME, &longer)]);
    assert_eq!(read(&three, &question), Err(Fault::Malformed));
}

#[test]
fn every_cut_and_every_flipped_byte_is_survived() {
    let question = asked("nas.lan", MX);
    let message =
        servers::answer(&question, 0, &[(MX, b"\0\x0a\x04mail\xc0\x0c"), (TXT, b"\x01a"), (A, &[1, 2, 3, 4])]);
    for at in 0..message.len() {
        let _ = read(&message[..at], &question);
        for with in [0, 1, 0x3f, 0x40, 0xc0, 0xff] {
            let mut flipped = message.clone();
            flipped[at] = with;
            let _ = read(&flipped, &question).map(|answer| follow(&answer, "nas.lan"));
        }
    }
}

#[test]
fn a_cut_answer_says_so_and_is_not_read() {
    let question = asked("nas.lan", A);
    let mut message = servers::answer(&question, 0, &[(A, b"\x01\x02")]);
    message[2] |= 2;
    let expected = Answer { rcode: 0, cut: true, records: Vec::new() };
    assert_eq!(read(&message, &question), Ok(expected));
}

#[test]
fn records_are_counted() {
    let question = asked("nas.lan", A);
    let many = vec![(A, &[1, 2, 3, 4][..]); DNS_RECORDS + 9];
    let answer = read(&servers::answer(&question, 3, &many), &question).expect("an answer");
    assert_eq!((answer.rcode, answer.records.len()), (3, DNS_RECORDS));
}

#[test]
fn chains_lead_to_addresses_of_their_end_only() {
    let record = |name: &str, kind, value: &str| Record {
        name: name.into(),
        kind,
        ttl: 0,
        value: value.into(),
        addr: value.parse().ok(),
    };
    let check = |records: &[Record], expected: &[&str]| {
        let answer = Answer { records: records.to_vec(), ..Answer::default() };
        let expected: Vec<IpAddr> = expected.iter().map(|addr| addr.parse().unwrap()).collect();
        assert_eq!(follow(&answer, "a."), expected, "{records:?}");
    };
    check(&[record("A", A, "10.0.0.1"), record("b", A, "10.0.0.2"), record("a", TXT, "x")], &["10.0.0.1"]);
    check(&[record("c", A, "10.0.0.3"), record("b", CNAME, "c"), record("a", CNAME, "b")], &["10.0.0.3"]);
    check(&[record("a", CNAME, "b"), record("b", CNAME, "a"), record("a", A, "10.0.0.1")], &[]);
    check(&[record("a", CNAME, "a")], &[]);
    check(&[record("a", CNAME, "b"), record("c", A, "10.0.0.3")], &[]);
    check(&[], &[]);
}

#[test]
fn addresses_have_names_too() {
    assert_eq!(reverse("192.168.1.5".parse().unwrap()), "5.1.168.192.in-addr.arpa");
    let v6 = reverse("fd00::5".parse().unwrap());
    assert_eq!(v6, ["5.", &"0.".repeat(29), "d.f.ip6.arpa"].concat());
    assert!(question(1, &v6, PTR).is_some());
}
