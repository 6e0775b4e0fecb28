//! Arguments as callers send them.
use super::*;
use crate::tool::shape;

const OWN: &[Param] = &[
    param("mount", Kind::Text { min: 1, max: 8, shape: Some(shape::ABSOLUTE) }, false),
    param("count", Kind::Integer { min: 1, max: 5, default: Some(1) }, false),
    param("all", Kind::Boolean { default: false }, false),
    param("type", Kind::Choice(&["A", "MX"]), false),
    param("tags", Kind::Texts { items_max: 2, chars_max: 3 }, false),
    param("data", Kind::Object { bytes_max: 12 }, false),
    param("method", Kind::Preset(&["GET", "HEAD"]), false),
    param("headers", Kind::Pairs { items_max: 2, chars_max: 3 }, false),
];
const NEEDS: &[Param] = &[param("unit", Kind::ANY_TEXT, true)];
const LENIENT: &[Param] = &[
    param("sessionKey", Kind::ANY_TEXT, true),
    param("limit", Kind::Number { min: 1 }, false),
    param("kinds", Kind::Texts { items_max: 2, chars_max: 8 }, false),
    param("on", Kind::Boolean { default: false }, false),
];
const ACTION: &[Param] = &[param("action", Kind::Choice(&["list", "status"]), true)];

const fn param(name: &'static str, kind: Kind, required: bool) -> Param {
    Param { name, kind, required, about: "x" }
}

fn raw(json: &str) -> &RawValue {
    serde_json::from_str(json).expect("JSON")
}

/// Strict arguments and what the caller is told; `""` means accepted.
fn check_own(json: &str, expected: &str) {
    let got = check(OWN, false, Some(raw(json)), None);
    assert_eq!(got.err().unwrap_or_default(), expected, "{json}");
}

#[test]
fn own_tools_name_what_is_wrong() {
    check_own("{}", "");
    check_own("[1,2]", "");
    check_own("null", "");
    check_own("\"{\"", "");
    check_own(
        "{\"mount\":\"/a\",\"count\":5,\"all\":true,\"type\":\"MX\",\"tags\":[\"a\",\"b\"],\"data\":{\"a\":[1]}}",
        "",
    );
    check_own("{\"mount\":\"mnt\"}", "mount: must start with /");
    check_own("{\"mount\":5}", "mount: must be a string");
    check_own("{\"mount\":null}", "mount: must be a string");
    check_own("{\"mount\":\"\"}", "mount: must be at least 1 character");
    check_own("{\"mount\":\"/12345678\"}", "mount: must be at most 8 characters");
    check_own("{\"mount\":\"/ääääääó\"}", "");
    check_own("{\"mount\":\"/\\ud83d\\ude00\\ud83d\\ude00\\ud83d\\ude00\"}", "");
    check_own("{\"mount\":\"/\\ud800\"}", "");
    check_own("{\"count\":0}", "count: must be between 1 and 5");
    check_own("{\"count\":5.0}", "");
    check_own("{\"count\":2.5}", "count: must be a whole number");
    check_own("{\"count\":1e400}", "count: must be a whole number");
    check_own("{\"count\":-99999999999999999999}", "count: must be a whole number");
    check_own("{\"count\":\"3\"}", "count: must be a whole number");
    check_own("{\"all\":1}", "all: must be true or false");
    check_own("{\"type\":\"mx\"}", "type: must be one of A, MX");
    check_own("{\"tags\":\"a\"}", "tags: must be an array of strings");
    check_own("{\"tags\":[\"a\",1]}", "tags: each item must be a string");
    check_own("{\"tags\":[\"a\",\"abcd\"]}", "tags: each item must be at most 3 characters");
    check_own("{\"tags\":[\"a\",\"b\",\"c\"]}", "tags: must have at most 2 items");
    check_own("{\"data\":[]}", "data: must be an object");
    check_own("{\"data\":{\"abcdefgh\":1}}", "data: must be at most 12 bytes");
    check_own("{\"method\":\"HEAD\",\"headers\":{\"a\":\"b\",\"A\":\"xyz\"}}", "");
    check_own("{\"method\":\"PUT\"}", "method: must be one of GET, HEAD");
    check_own("{\"headers\":[]}", "headers: must be an object");
    check_own("{\"headers\":{\"a\":1}}", "headers: each member must be a string");
    check_own("{\"headers\":{\"a\":\"abcd\"}}", "headers: each member must be at most 3 characters");
    check_own("{\"headers\":{\"a\":\"\",\"b\":\"\",\"a\":\"\"}}", "headers: must have at most 2 members");
    check_own(
        "{\"nope\":1}",
        "nope: unknown argument (this tool takes mount, count, all, type, tags, data, method, headers)",
    );
    check_own(
        "{\"Mount\":\"/\"}",
        "Mount: unknown argument (this tool takes mount, count, all, type, tags, data, method, headers)",
    );
    let long = "k".repeat(500);
    let expected = format!(
        "{}: unknown argument (this tool takes mount, count, all, type, tags, data, method, headers)",
        &long[..64]
    );
    check_own(&format!("{{\"{long}\":1}}"), &expected);
    check_own(
        "{\"\\ud800\":1}",
        "\u{fffd}\u{fffd}\u{fffd}: unknown argument (this tool takes mount, count, all, type, tags, data, method, headers)",
    );
    let missing = check(NEEDS, false, None, None);
    assert_eq!(missing, Err(String::from("unit required")));
}

#[test]
fn the_last_of_duplicate_keys_wins() {
    let args =
        check(OWN, false, Some(raw("{\"mount\":5,\"mount\":\"/\\u0061\",\"m\\u006funt\":\"/b\"}")), None).unwrap();
    assert_eq!(args.text("mount"), Some("/b"));
}

#[test]
fn values_come_out_as_they_went_in() {
    let json = "{ \"tags\" : [ \"a\" ] , \"data\" : {\"a\": 1} , \"all\":true}";
    let args = check(OWN, false, Some(raw(json)), None).unwrap();
    assert_eq!((args.texts("tags"), args.object("data")), (&[String::from("a")][..], Some("{\"a\": 1}")));
    assert_eq!((args.flag("all"), args.integer("count"), args.count("count")), (true, Some(1), Some(1)));
    assert_eq!(
        (args.text("mount"), args.text("count"), args.flag("mount"), args.integer("nope")),
        (None, None, false, None)
    );
}

/// What a tool with a name of the reference sees: sessionKey, limit, kinds, on.
type Seen<'a> = (&'a str, Option<i64>, &'a [&'a str], bool);

/// Arguments and what the tool sees of them, or the refusal.
fn check_lenient(json: &str, expected: Result<Seen, &str>) {
    let got = check(LENIENT, true, Some(raw(json)), None);
    match (&got, expected) {
        (Ok(args), Ok((key, limit, kinds, on))) => {
            assert_eq!((args.text("sessionKey"), args.integer("limit")), (Some(key), limit), "{json}");
            assert_eq!(
                (args.texts("kinds").to_vec(), args.flag("on")),
                (kinds.iter().map(|k| (*k).to_owned()).collect(), on)
            );
        }
        _ => assert_eq!(got.as_ref().map(|_| ()).map_err(String::as_str), expected.map(|_| ()), "{json}"),
    }
}

#[test]
fn reference_tools_ignore_junk() {
    check_lenient("{}", Err("sessionKey required"));
    check_lenient("{\"sessionKey\":\" \"}", Err("sessionKey required"));
    check_lenient("{\"sessionKey\":7}", Err("sessionKey required"));
    check_lenient(
        "{\"sessionKey\":\" a \",\"x\":[1],\"limit\":\"junk\",\"on\":\"yes\",\"kinds\":{}}",
        Ok(("a", None, &[], false)),
    );
    check_lenient(
        "{\"sessionKey\":\"a\",\"limit\":\"7\",\"on\":true,\"kinds\":\"main\"}",
        Ok(("a", Some(7), &["main"], true)),
    );
    check_lenient(
        "{\"sessionKey\":\"a\",\"limit\":2.9,\"kinds\":[1,\"x\",\"y\",\"z\"]}",
        Ok(("a", Some(2), &["x"], false)),
    );
    check_lenient("{\"sessionKey\":\"a\",\"limit\":-3}", Ok(("a", Some(1), &[], false)));
    check_lenient("{\"sessionKey\":\"a\",\"limit\":1e300}", Ok(("a", None, &[], false)));
    let long = format!("{{\"sessionKey\":\"{}\"}}", "k".repeat(4_097));
    check_lenient(&long, Err("sessionKey: must be at most 4096 characters"));
    check_lenient("{\"sessionKey\":\"a\",\"limit\":\"NaN\"}", Ok(("a", None, &[], false)));
}

/// The request's action and args, and the action the tool sees.
fn check_action(action: Option<&str>, json: &str, expected: Option<&str>) {
    let got = check(ACTION, true, Some(raw(json)), action);
    assert_eq!(got.as_ref().ok().and_then(|args| args.text("action")), expected, "{json}");
    if expected.is_none() {
        assert_eq!(got, Err(String::from("action required")));
    }
}

#[test]
fn action_is_merged_only_where_it_is_declared_and_absent() {
    check_action(Some(" list "), "{}", Some("list"));
    check_action(Some("list"), "[]", Some("list"));
    check_action(Some("list"), "{\"action\":\"status\"}", Some("status"));
    check_action(Some("list"), "{\"action\":null}", None);
    check_action(Some("  "), "{}", None);
    check_action(None, "{}", None);
    assert_eq!(check(OWN, false, None, Some("list")), check(OWN, false, None, None));
}

#[test]
fn two_megabytes_of_hostile_arguments_are_passed_over() {
    let ones = format!("{{\"x\":[{}1]}}", "1,".repeat(1_000_000));
    assert_eq!(check(NEEDS, true, Some(raw(&ones)), None), Err(String::from("unit required")));
    let keys: String = (0..100_000).map(|at| format!("\"k{at}\":[{{}}],")).collect();
    let keys = format!("{{{keys}\"sessionKey\":\"a\"}}");
    assert_eq!(check(LENIENT, true, Some(raw(&keys)), None).unwrap().text("sessionKey"), Some("a"));
    let long = format!("{{\"unit\":\"{}\"}}", "u".repeat(2_000_000));
    assert_eq!(check(NEEDS, false, Some(raw(&long)), None), Err(String::from("unit: must be at most 4096 characters")));
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(check(NEEDS, true, Some(raw(&deep)), None), Err(String::from("unit required")));
    let items = format!("{{\"kinds\":[{}\"x\"],\"sessionKey\":\"a\"}}", "\"main\",".repeat(200_000));
    assert_eq!(check(LENIENT, true, Some(raw(&items)), None).unwrap().texts("kinds").len(), 2);
}

#[test]
fn schemas() {
    let storage = json(crate::tool::built_in("storage_status").unwrap().params, true);
    assert_eq!(
        storage,
        "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{\"mount\":{\"type\":\"string\",\"minLength\":1,\
         \"maxLength\":4096,\"pattern\":\"^/\",\"description\":\"Only the file system mounted here\"}}}"
    );
    assert_eq!(
        json(crate::tool::built_in("agents_list").unwrap().params, false),
        "{\"type\":\"object\",\"properties\":{}}"
    );
    assert_eq!(
        json(OWN, true),
        "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{\
         \"mount\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":8,\"pattern\":\"^/\",\"description\":\"x\"},\
         \"count\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":5,\"default\":1,\"description\":\"x\"},\
         \"all\":{\"type\":\"boolean\",\"default\":false,\"description\":\"x\"},\
         \"type\":{\"type\":\"string\",\"enum\":[\"A\",\"MX\"],\"description\":\"x\"},\
         \"tags\":{\"type\":\"array\",\"maxItems\":2,\"items\":{\"type\":\"string\",\"maxLength\":3},\"description\":\"x\"},\
         \"data\":{\"type\":\"object\",\"description\":\"x\"},\
         \"method\":{\"type\":\"string\",\"enum\":[\"GET\",\"HEAD\"],\"default\":\"GET\",\"description\":\"x\"},\
         \"headers\":{\"type\":\"object\",\"maxProperties\":2,\
         \"additionalProperties\":{\"type\":\"string\",\"maxLength\":3},\"description\":\"x\"}}}"
    );
    assert!(json(LENIENT, false).ends_with("\"required\":[\"sessionKey\"]}"));
}
