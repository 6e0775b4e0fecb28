//! Values against every place they can stand in: nothing comes of them but one argument or one escaped value.

use crate::limits::VALUE_CHARS_CEILING;
use crate::tool::Rlimits;
use crate::tool::command::{self, Command, Stdin, Word};
use crate::tool::fields::{self, Field, Type};
use crate::tool::remote::{self, Body, FieldValue, Service, Tree};
use crate::tool::schema::Args;
use crate::tool::telling::Output;
use crate::tool::template::Template;

/// What attackers of other gateways sent. Source: field.md §3, issue 5.
const HOSTILE: &[&str] = &[
    ";id",
    "$(id)",
    "`id`",
    "| id",
    "&& id",
    "> /etc/passwd",
    "-oProxyCommand=id",
    "--",
    "--help",
    "-",
    "\n",
    "a\nb",
    "a\r\nX-Injected: 1",
    "\0",
    "a\0b",
    "{x}",
    "{{x}}",
    "{y}",
    "%s%n",
    "../../etc/passwd",
    "..",
    ".",
    "a/../b",
    "..\\b",
    "a%2f..%5cb",
    "a..b/c",
    "?a=b&c=d#e",
    "\u{2013}\u{2014}\u{2212}dash",
    "\u{202e}gpj",
    "\"}, \"admin\": true, {\"",
    "\\",
    "'",
    "\u{1F600}",
    "",
    " ",
];

fn field(name: &str, required: bool) -> Field {
    Field {
        name: name.into(),
        about: String::new(),
        kind: Type::String,
        choices: Vec::new(),
        pattern: None,
        least: None,
        most: None,
        chars_min: 0,
        chars_max: VALUE_CHARS_CEILING,
        required,
        allow_dash: false,
        default: None,
    }
}

fn fields() -> Vec<Field> {
    vec![field("x", true), field("y", false)]
}

fn args(fields: &[Field], json: &serde_json::Value) -> Result<Args, String> {
    let raw = serde_json::value::to_raw_value(json).expect("JSON");
    fields::check(fields, Some(&raw), None)
}

fn command(words: &[&str], fields: &[Field]) -> Command {
    Command {
        argv: words
            .iter()
            .map(|word| {
                // In these tests a word behind `+` stands in a list with its neighbours of that kind.
                let (word, list) = word.strip_prefix('+').map_or((*word, 0), |word| (word, 1));
                Word { text: Template::parse(word, fields).expect("a template"), list }
            })
            .collect(),
        env: Vec::new(),
        cwd: "/".into(),
        stdin: Stdin::None,
        output: Output::Text,
        binary: true,
        output_bytes: 1,
        progress: false,
        rlimits: Rlimits { cpu_s: None, address_bytes: None, file_bytes: None, processes: None, open_files: None },
        user: None,
    }
}

/// What becomes of `x` (and `y`) in these words.
fn argv(words: &[&str], json: serde_json::Value) -> Result<Vec<String>, String> {
    let fields = fields();
    let args = args(&fields, &json)?;
    command(words, &fields).arguments(&fields, &args)
}

#[test]
fn a_value_becomes_one_argument_or_a_refusal_that_names_it() {
    let positions: &[&[&str]] = &[
        &["/bin/p", "{x}"],
        &["/bin/p", "--", "{x}"],
        &["/bin/p", "--name={x}"],
        &["/bin/p", "a{x}b"],
        &["/bin/p", "{x}{x}", "end"],
        &["/bin/p", "-c", "{x}"],
    ];
    for words in positions {
        for value in HOSTILE {
            match argv(words, serde_json::json!({"x": value})) {
                Ok(argv) => {
                    assert_eq!(argv.len(), words.len(), "{words:?} {value:?}");
                    for (word, got) in words.iter().zip(&argv) {
                        assert_eq!(*got, word.replace("{x}", value), "{words:?} {value:?}");
                        let ended = words.contains(&"--");
                        let made = word.starts_with('{') && got.starts_with('-');
                        assert!(ended || !made, "{words:?} {value:?} makes an option");
                        assert!(!got.contains('\0'));
                    }
                }
                Err(text) => {
                    let dash = value.starts_with('-') && !words.contains(&"--");
                    assert!(text.starts_with("x: ") && (dash || value.contains('\0')), "{words:?} {value:?}: {text}");
                }
            }
        }
    }
}

#[test]
fn dashes() {
    let fails = |text: &str| Err(text.to_owned());
    assert_eq!(argv(&["/p", "{x}"], serde_json::json!({"x": "-a"})), fails("x: must not begin with -"));
    assert_eq!(argv(&["/p", "{x}-rf"], serde_json::json!({"x": ""})), fails("x: must not be empty here"));
    assert_eq!(argv(&["/p", "-{x}"], serde_json::json!({"x": "a"})), Ok(vec!["/p".into(), "-a".into()]));
    let mut fields = fields();
    fields[0].allow_dash = true;
    let args = args(&fields, &serde_json::json!({"x": "-5"})).unwrap();
    assert_eq!(command(&["/p", "{x}"], &fields).arguments(&fields, &args), Ok(vec!["/p".into(), "-5".into()]));
}

#[test]
fn an_absent_value_takes_its_option_with_it() {
    let check = |words: &[&str], expected: &[&str]| {
        assert_eq!(argv(words, serde_json::json!({"x": "v"})).unwrap(), expected, "{words:?}");
    };
    check(&["/p", "-i", "{y}", "{x}"], &["/p", "v"]);
    check(&["/p", "-i", "{x}", "{y}"], &["/p", "-i", "v"]);
    check(&["/p", "--", "{y}", "{x}"], &["/p", "--", "v"]);
    check(&["/p", "--if={y}", "{x}"], &["/p", "v"]);
    check(&["/p", "word", "{y}", "{x}"], &["/p", "word", "v"]);
    // Words of a list stay or go together, and leave what stands before them alone.
    check(&["/p", "-h", "+-i", "+{y}", "+-j", "{x}"], &["/p", "-h", "v"]);
    check(&["/p", "-h", "+{y}", "{x}"], &["/p", "-h", "v"]);
    let dash = argv(&["/p", "+--", "+{y}", "{x}"], serde_json::json!({"x": "-a"}));
    assert_eq!(dash, Err("x: must not begin with -".into()), "the -- went with its list");
    check(&["/p", "+-i", "+{x}", "{y}", "z"], &["/p", "-i", "v", "z"]);
}

#[test]
fn values_of_a_mebibyte_are_refused_before_they_are_read() {
    let long = "a".repeat(1 << 20);
    let refused = format!("x: must be at most {VALUE_CHARS_CEILING} characters");
    assert_eq!(argv(&["/p", "{x}"], serde_json::json!({"x": long})), Err(refused));
    let escaped = serde_json::value::RawValue::from_string(format!("{{\"x\":\"{}\"}}", "\\u0041".repeat(200_000)));
    assert!(fields::check(&fields(), Some(&escaped.unwrap()), None).is_err());
}

fn service() -> Service {
    let fields = fields();
    let parse = |text: &str| Template::parse(text, &fields).expect("a template");
    Service {
        method: "POST",
        host: "h".into(),
        port: 80,
        path: parse("/a/{x}/b"),
        query: vec![parse("q={x}"), parse("{x}=1"), parse("y={y}")],
        fields: vec![("X-Value".into(), FieldValue::Plain(parse("v {x}")))],
        body: Body::Json(Tree::Map(vec![
            ("whole".into(), Tree::Text(parse("{x}"))),
            ("part".into(), Tree::Text(parse("<{x}>"))),
            ("absent".into(), Tree::Text(parse("{y}"))),
            (
                "list".into(),
                Tree::List(vec![Tree::Text(parse("{y}")), Tree::Text(parse("{x}")), Tree::Literal("1".into())]),
            ),
        ])),
        output: Output::Text,
        output_bytes: 1,
    }
}

#[test]
fn a_value_is_escaped_for_its_place_in_a_request() {
    let (service, fields) = (service(), fields());
    let up = |value: &str| value == "." || value.contains("../") || value.contains("..%") || value.starts_with("..");
    for value in HOSTILE {
        let args = args(&fields, &serde_json::json!({"x": value})).unwrap();
        let would = match remote::would(&service, &fields, &args) {
            Ok(would) => would,
            Err(text) => {
                let control = value.bytes().any(|b| b < b' ' || b == 0x7f);
                assert!(text.starts_with("x: ") && (control || up(value)), "{value:?}: {text}");
                continue;
            }
        };
        assert!(!up(value), "{value:?}");
        let would: serde_json::Value = serde_json::from_str(&would).expect("JSON");
        let request = &would["request"];
        let url = request["url"].as_str().unwrap();
        let (path, query) = url.strip_prefix("http://h:80").unwrap().split_once('?').unwrap();
        assert_eq!(path.split('/').count(), 4, "{value:?} in {url}");
        assert_eq!(query.split('&').count(), 2, "{value:?} in {url}");
        assert!(url.bytes().all(|b| b.is_ascii_graphic() && b != b'#'), "{url}");
        assert_eq!(request["headers"]["X-Value"], format!("v {value}"));
        assert_eq!(request["headers"].as_object().unwrap().len(), 2, "{request}");
        let body = serde_json::json!({"whole": value, "part": format!("<{value}>"), "list": [value, 1]});
        assert_eq!(request["body"], body);
    }
}

#[test]
fn types_keep_their_type_in_json_and_their_text_elsewhere() {
    let mut fields = fields();
    fields[0].kind = Type::Number;
    let args = args(&fields, &serde_json::json!({"x": 21.50})).unwrap();
    let tree = Tree::List(vec![
        Tree::Text(Template::parse("{x}", &fields).unwrap()),
        Tree::Text(Template::parse("={x}", &fields).unwrap()),
    ]);
    let service = Service { body: Body::Json(tree), ..service() };
    let would = remote::would(&service, &fields, &args).unwrap();
    assert!(would.ends_with("\"body\":[21.5,\"=21.5\"]}}"), "{would}");
}

#[test]
fn numbers_and_booleans() {
    let check = |kind: Type, json: serde_json::Value, expected: Result<&str, &str>| {
        let mut fields = fields();
        fields[0].kind = kind;
        fields[0].least = Some("-2".into());
        fields[0].most = Some("5".into());
        let got = args(&fields, &serde_json::json!({"x": json})).map(|args| fields::object(&args));
        let expected = expected.map(|x| format!("{{\"x\":{x}}}")).map_err(str::to_owned);
        assert_eq!(got, expected, "{json}");
    };
    check(Type::Integer, serde_json::json!(5), Ok("5"));
    check(Type::Integer, serde_json::json!(5.0), Ok("5"));
    check(Type::Integer, serde_json::json!(6), Err("x: must be at most 5"));
    check(Type::Integer, serde_json::json!(-3), Err("x: must be at least -2"));
    check(Type::Integer, serde_json::json!(1.5), Err("x: must be a whole number"));
    check(Type::Integer, serde_json::json!("5"), Err("x: must be a number"));
    check(Type::Number, serde_json::json!(1.25), Ok("1.25"));
    check(Type::Number, serde_json::json!(5.1), Err("x: must be at most 5"));
    check(Type::Boolean, serde_json::json!(true), Ok("true"));
    check(Type::Boolean, serde_json::json!("true"), Err("x: must be true or false"));
    check(Type::Boolean, serde_json::json!(null), Err("x: must be true or false"));
}

#[test]
fn what_would_run_is_what_runs() {
    let fields = fields();
    let args = args(&fields, &serde_json::json!({"x": "a b"})).unwrap();
    let command = command(&["/p", "-i", "{y}", "--", "{x}"], &fields);
    let would = command::would(&command, &fields, &args).unwrap();
    assert_eq!(would, "{\"argv\":[\"/p\",\"--\",\"a b\"],\"cwd\":\"/\",\"env\":[]}");
}
