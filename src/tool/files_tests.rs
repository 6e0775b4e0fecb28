//! `file_list` and `file_read` on scratch trees, as a caller sees them.

use super::*;
use crate::limits::TOOL_RESULT_BYTES_FLOOR;
use crate::tool::fixture::{Scratch, bare, call, details};
use crate::tool::targets::Targets;
use std::rc::Rc;

fn host(tmp: &Scratch) -> Host {
    let host = tmp.host();
    *host.targets.borrow_mut() = Rc::new(Targets { roots: vec![String::from("/srv")], ..Targets::default() });
    host
}

fn get(details: &str, key: &str) -> serde_json::Value {
    serde_json::from_str::<serde_json::Value>(details).expect("JSON")[key].take()
}

#[test]
fn both_are_there_when_roots_are_named() {
    let tmp = Scratch::new("files-present");
    assert!(present(&bare(&[])).unwrap_err().contains("tools.device.file_read.roots"));
    present(&host(&tmp)).expect("roots");
}

#[test]
fn a_listing_is_sorted_and_says_what_things_are() {
    let tmp = Scratch::new("files-list");
    tmp.write("srv/b", b"12345");
    tmp.write("srv/a/inner", b"");
    tmp.write_raw(b"srv/c\xff\n", b"");
    tmp.fifo("srv/d");
    std::os::unix::fs::symlink("/etc/passwd", tmp.root().place(std::path::Path::new("/srv/e"))).expect("a link");
    let all = get(&details(call(&host(&tmp), "file_list", "{\"path\":\"/srv\"}")), "entries");
    let rows: Vec<_> = all.as_array().expect("rows").iter().collect();
    let shown: Vec<_> = rows.iter().map(|row| (row["name"].as_str().unwrap(), row["type"].as_str().unwrap())).collect();
    let expected = [("a", "directory"), ("b", "file"), ("c\u{fffd}\n", "file"), ("d", "fifo"), ("e", "link")];
    assert_eq!(shown, expected);
    assert_eq!((rows[1]["size"].as_u64(), rows[0]["size"].as_u64()), (Some(5), None));
    assert!(rows[1]["mtime"].as_str().is_some_and(|time| time.ends_with(".000Z")), "{:?}", rows[1]);
    let two = details(call(&host(&tmp), "file_list", "{\"path\":\"/srv\",\"limit\":2}"));
    assert!(two.ends_with("],\"truncated\":true}") && two.matches("\"name\"").count() == 2, "{two}");
    let refused = |args: &str| call(&host(&tmp), "file_list", args);
    assert_eq!(refused("{\"path\":\"/srv/absent\"}"), Outcome::soft("error", "path: is not there"));
    assert!(details(refused("{\"path\":\"/srv/e\"}")).contains("symbolic link"));
    assert!(details(refused("{\"path\":\"/etc\"}")).starts_with("{\"status\":\"forbidden\""));
}

#[test]
fn a_large_directory_is_listed_from_its_first_name_on() {
    let tmp = Scratch::new("files-many");
    for number in 0..3_000 {
        tmp.write(&format!("srv/{number:05}"), b"");
    }
    let host = host(&tmp);
    let all = details(call(&host, "file_list", "{\"path\":\"/srv\",\"limit\":1000}"));
    assert!(all.ends_with("],\"truncated\":true}") && all.len() <= host.result_bytes.get() + 100, "{}", all.len());
    assert!(all.starts_with("{\"entries\":[{\"name\":\"00000\"") && all.contains("\"00500\""));
}

fn check(bytes: &[u8], args: &str, expected: &str) {
    let tmp = Scratch::new("files-read");
    tmp.write("srv/x", bytes);
    let args = format!("{{\"path\":\"/srv/x\"{args}}}");
    assert_eq!(details(call(&host(&tmp), "file_read", &args)), expected, "{args}");
}

#[test]
fn parts_of_files() {
    let utf8 = |content: &str, size: usize, bytes: usize, truncated: bool| {
        format!(
            "{{\"content\":\"{content}\",\"encoding\":\"utf8\",\"size\":{size},\"bytes\":{bytes},\
             \"truncated\":{truncated}}}"
        )
    };
    check(b"hello\n", "", &utf8("hello\\n", 6, 6, false));
    check(b"hello\n", ",\"max_bytes\":5", &utf8("hello", 6, 5, true));
    check(b"hello\n", ",\"max_bytes\":6", &utf8("hello\\n", 6, 6, false));
    check(b"hello\n", ",\"offset\":4", &utf8("o\\n", 6, 2, false));
    check(b"hello\n", ",\"offset\":9007199254740991", &utf8("", 6, 0, false));
    check(b"", "", &utf8("", 0, 0, false));
    check("ab€".as_bytes(), ",\"max_bytes\":4", &utf8("ab", 5, 2, true));
    check(b"\0\x1b", "", &utf8("\\u0000\\u001b", 2, 2, false));
    let no = "{\"status\":\"error\",\"error\":\"path: is not UTF-8 there; ask for it with encoding base64\"}";
    check(b"a\xffb", "", no);
    check(b"a\xe2\x82", "", no);
    check("ab€".as_bytes(), ",\"offset\":3", no);
    let base64 = |content: &str, bytes: usize, truncated: bool| {
        format!(
            "{{\"content\":\"{content}\",\"encoding\":\"base64\",\"size\":3,\"bytes\":{bytes},\"truncated\":{truncated}}}"
        )
    };
    check(b"a\xffb", ",\"encoding\":\"base64\"", &base64("Yf9i", 3, false));
    check(b"a\xffb", ",\"encoding\":\"base64\",\"max_bytes\":1", &base64("YQ==", 1, true));
}

#[test]
fn what_does_not_fit_into_an_answer_is_cut() {
    let tmp = Scratch::new("files-room");
    tmp.write("srv/x", &vec![1; 9_000]);
    let host = host(&tmp);
    host.result_bytes.set(TOOL_RESULT_BYTES_FLOOR);
    for encoding in ["utf8", "base64"] {
        let args = format!("{{\"path\":\"/srv/x\",\"encoding\":\"{encoding}\"}}");
        let all = details(call(&host, "file_read", &args));
        assert!(all.len() < TOOL_RESULT_BYTES_FLOOR + 100 && all.ends_with("\"truncated\":true}"), "{}", all.len());
        let bytes = get(&all, "bytes").as_u64().expect("a count");
        assert!(bytes >= 160, "{encoding} {bytes}");
    }
}
