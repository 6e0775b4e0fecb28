//! `log_tail` of files in scratch trees, and the journal's lines as journalctl prints them.

use super::*;
use crate::limits::{LOG_TAIL_LINES_CEILING, TOOL_RESULT_BYTES_FLOOR};
use crate::tool::fixture::{Scratch, bare, call, details};
use crate::tool::targets::Targets;
use std::rc::Rc;

fn host(tmp: &Scratch, units: &[&str], files: &[&str]) -> Host {
    let host = tmp.host();
    let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let targets = Targets { log_units: own(units), log_files: own(files), ..Targets::default() };
    *host.targets.borrow_mut() = Rc::new(targets);
    host
}

/// The messages that `log_tail` gives of a log with this text.
fn check(text: &[u8], lines: usize, expected: &[&str], truncated: bool) {
    // Tests run side by side.
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let tmp = Scratch::new(&format!("logs-check-{number}"));
    tmp.write("var/log/x.log", text);
    let host = host(&tmp, &[], &["/var/log/x.log"]);
    let got = details(call(&host, "log_tail", &format!("{{\"lines\":{lines}}}")));
    let got: serde_json::Value = serde_json::from_str(&got).expect("JSON");
    let messages: Vec<_> = got["entries"].as_array().expect("rows").iter().map(|row| &row["message"]).collect();
    assert_eq!(messages, expected, "{lines}");
    assert_eq!(got["truncated"] == true, truncated, "{lines}");
}

#[test]
fn the_last_lines_of_a_file() {
    check(b"a\nb\nc\n", 2, &["b", "c"], false);
    check(b"a\nb\nc", 2, &["b", "c"], false);
    check(b"a\nb\nc\n", 9, &["a", "b", "c"], false);
    check(b"a\n\n\xff\xfe\r\n", 3, &["a", "", "\u{fffd}\u{fffd}"], false);
    check(b"", 3, &[], false);
    check(b"\n", 3, &[""], false);
    check(b"login token=abc\n\x1b[31mred\n", 2, &["login token=[redacted]", "\\u{1b}[31mred"], false);
}

#[test]
fn a_large_file_is_read_from_its_end_in_growing_blocks() {
    let line = |number: usize| format!("{number:0100}\n");
    let text: String = (0..20_000).map(line).collect();
    for lines in [1, 100, 500, LOG_TAIL_LINES_CEILING] {
        let tmp = Scratch::new("logs-large");
        tmp.write("x", text.as_bytes());
        let place = Place::named(&tmp.host(), "/x").expect("a place");
        let Ok(Outcome::Done { details, .. }) = file(&place, lines, usize::MAX) else { panic!("{lines}") };
        assert_eq!(details.matches("\"message\"").count(), lines);
        assert!(details.contains("19999\"}]}") && details.contains(line(20_000 - lines).trim()));
    }
    // Lines so long that the cap is reached first.
    let long: String = (0..100).map(|number| format!("{number}{}\n", "x".repeat(9_000))).collect();
    let tmp = Scratch::new("logs-long");
    tmp.write("x", long.as_bytes());
    let place = Place::named(&tmp.host(), "/x").expect("a place");
    let Ok(Outcome::Done { details, .. }) = file(&place, 100, usize::MAX) else { panic!() };
    let count = details.matches("\"message\"").count();
    assert!((20..30).contains(&count) && details.ends_with(",\"truncated\":true}"), "{count}");
    // One line without an end.
    check(
        &vec![b'x'; LOG_TAIL_BYTES * 2],
        1,
        &[&format!("{}…", "x".repeat(crate::limits::LOG_TAIL_LINE_BYTES))],
        false,
    );
}

#[test]
fn the_newest_lines_are_kept_when_the_answer_is_full() {
    let tmp = Scratch::new("logs-room");
    tmp.write("x", "0123456789\n".repeat(500).as_bytes());
    tmp.write("y", [&b"old\n".repeat(500)[..], b"new\n"].concat().as_slice());
    let host = host(&tmp, &[], &["/x", "/y"]);
    host.result_bytes.set(TOOL_RESULT_BYTES_FLOOR);
    let all = details(call(&host, "log_tail", "{\"unit\":\"/y\",\"lines\":1000}"));
    assert!(all.ends_with("{\"message\":\"new\"}],\"truncated\":true}") && all.len() < TOOL_RESULT_BYTES_FLOOR + 50);
}

#[test]
fn only_named_logs_are_read() {
    let tmp = Scratch::new("logs-named");
    tmp.write("var/log/a", b"a\n");
    tmp.write("var/log/b", b"b\n");
    std::os::unix::fs::symlink("a", tmp.root().place(std::path::Path::new("/var/log/link"))).expect("a link");
    assert!(present(&bare(&[])).unwrap_err().contains("tools.device.log_tail.files"));
    let host = host(&tmp, &["nginx.service"], &["/var/log/a", "/var/log/link", "/var/log/absent"]);
    present(&host).expect("logs are named");
    let ask = |unit: &str| details(call(&host, "log_tail", &format!("{{\"unit\":\"{unit}\"}}")));
    assert_eq!(ask("/var/log/a"), "{\"entries\":[{\"message\":\"a\"}]}");
    for other in ["/var/log/b", "/var/log/../log/a", "/var/log/a/", "//var/log/a", "sshd.service", "/"] {
        let no = ask(other);
        assert!(no.starts_with("{\"status\":\"forbidden\"") && no.contains("nginx.service, /var/log/a"), "{no}");
    }
    assert!(ask("/var/log/link").contains("symbolic link") && ask("/var/log/absent").contains("not there"));
    assert!(ask("nginx.service").contains("journalctl"));
    assert!(details(call(&host, "log_tail", "{}")).contains("must be one of"));
    assert!(matches!(call(&host, "log_tail", "{\"unit\":\"--user\"}"), Outcome::Input(_)));
    for filter in ["\"priority\":\"err\"", "\"since_s\":60"] {
        let no = details(call(&host, "log_tail", &format!("{{\"unit\":\"/var/log/a\",{filter}}}")));
        assert!(no.contains("have neither"), "{no}");
    }
}

#[test]
fn the_gateways_own_log_is_not_shown_by_another_name() {
    let tmp = Scratch::new("logs-private");
    tmp.write("state/token", b"secret\n");
    let host = host(&tmp, &[], &["/state/token"]);
    host.private.borrow_mut().push(tmp.root().place(std::path::Path::new("/state")));
    assert!(details(call(&host, "log_tail", "{}")).contains("gateway's own"));
}

fn entry(line: &str) -> Option<Entry> {
    record(line.as_bytes())
}

#[test]
fn lines_of_the_journal() {
    let whole = r#"{"__REALTIME_TIMESTAMP":"1700000000123456","_SYSTEMD_UNIT":"nginx.service","PRIORITY":"3","MESSAGE":"x\ny","_PID":"7"}"#;
    let expected = Entry {
        time_ms: Some(1_700_000_000_123),
        unit: Some(String::from("nginx.service")),
        priority: Some("err"),
        message: String::from("x\ny"),
    };
    assert_eq!(entry(whole), Some(expected));
    let message = |json: &str| entry(&format!("{{\"MESSAGE\":{json}}}")).map(|it| it.message);
    assert_eq!(message("[104, 105,255]").as_deref(), Some("hi\u{fffd}"));
    for junk in ["null", "7", "true", "{}", "[256]", "[-1]", "[]", "[[]]", "[{}]", "[\"a\",\"b\"]", "[1.5]"] {
        assert_eq!(message(junk).as_deref(), Some("(no text)"), "{junk}");
    }
    let bare = Some(Entry { message: String::from("(no text)"), ..Entry::default() });
    for junk in ["{}", r#"{"PRIORITY":"8"}"#, r#"{"PRIORITY":6,"__REALTIME_TIMESTAMP":"x","_SYSTEMD_UNIT":null}"#] {
        assert_eq!(entry(junk), bare, "{junk}");
    }
    for junk in ["", "x", "[]", "null", "{\"MESSAGE\":", "{\"MESSAGE\":\"\u{1}\"}"] {
        assert_eq!(entry(junk), None, "{junk}");
    }
    // A message that cannot be read does not stand in the way of those around it.
    let output = format!("{whole}\n\nnot json\n{{\"MESSAGE\":\"\\u001b[1mtoken=abc\"}}\n{{\"MESSAGE\":\"cut");
    let Outcome::Done { details, .. } = show(journal(output.as_bytes()), false, 9_999) else { panic!() };
    let expected = "{\"entries\":[{\"time\":\"2023-11-14T22:13:20.123Z\",\"unit\":\"nginx.service\",\"priority\":\"err\",\
        \"message\":\"x\\\\u{a}y\"},{\"message\":\"\\\\u{1b}[1mtoken=[redacted]\"}]}";
    assert_eq!(details, expected);
}

/// A root in which `program` prints `text`, and writes its arguments into `asked`.
fn logged(name: &str, program: &str, text: &str) -> (Scratch, Host) {
    use std::os::unix::fs::PermissionsExt;
    crate::tool::fixture::heir();
    let tmp = Scratch::new(name);
    let place = |path: &str| tmp.root().place(std::path::Path::new(path));
    let script = format!("#!/bin/sh\necho \"$@\" > {}\ncat <<'END'\n{text}\nEND\n", place("/asked").display());
    tmp.write(program, script.as_bytes());
    std::fs::set_permissions(place(program), std::fs::Permissions::from_mode(0o755)).expect("a program");
    let host = tmp.host();
    let targets = crate::tool::Targets { log_units: vec!["nginx.service".into()], ..Default::default() };
    *host.targets.borrow_mut() = std::rc::Rc::new(targets);
    (tmp, host)
}

fn told(host: &Host, args: &str) -> String {
    match crate::tool::fixture::call(host, "log_tail", args) {
        Outcome::Done { details, .. } => details,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_journal_of_a_unit_is_told() {
    let line = r#"{"MESSAGE":"a Bearer abcdef0123456789","PRIORITY":"3","_SYSTEMD_UNIT":"nginx.service","__REALTIME_TIMESTAMP":"1700000000000000"}"#;
    let (tmp, host) = logged("logs-journal", "usr/bin/journalctl", line);
    let said = told(&host, r#"{"unit":"nginx.service","lines":7,"priority":"err"}"#);
    assert!(said.contains("2023-11-14T22:13:20") && said.contains("\"priority\":\"err\""), "{said}");
    assert!(!said.contains("abcdef0123456789"), "{said}");
    let asked = tmp.root().text("/asked").expect("arguments");
    assert!(asked.contains("--lines=7") && asked.contains("--unit=nginx.service"), "{asked}");
    assert_eq!(told(&host, r#"{"priority":"crit"}"#), "{\"entries\":[]}");
    assert!(told(&host, r#"{"unit":"ssh.service"}"#).starts_with("{\"status\":\"forbidden\""));
}

#[test]
fn the_log_of_openwrt_is_told() {
    let lines = "Sat Nov 28 14:00:00 2026 daemon.err nginx[12]: went  wrong\nSun Nov  1 01:00:00 2026 daemon.info nginx: fine\nnonsense";
    let (_tmp, host) = logged("logs-logread", "sbin/logread", lines);
    let wrong = r#"{"unit":"nginx","priority":"err","message":"went  wrong"}"#;
    let fine = r#"{"unit":"nginx","priority":"info","message":"fine"}"#;
    assert_eq!(told(&host, "{}"), format!("{{\"entries\":[{wrong},{fine}]}}"));
    assert_eq!(told(&host, r#"{"priority":"warning"}"#), format!("{{\"entries\":[{wrong}]}}"));
    assert!(told(&host, r#"{"since_s":60}"#).contains("since_s"));
}
