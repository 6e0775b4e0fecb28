//! Rows from ECMA-262, refusals, and two other engines over generated patterns.

use super::*;

fn compiled(source: &str) -> Pattern {
    Pattern::compile(source).unwrap_or_else(|wrong| panic!("{source:?}: {wrong}"))
}

fn check(source: &str, text: &str, expected: bool) {
    assert_eq!(compiled(source).matches(text), expected, "{source:?} ~ {text:?}");
}

fn refused(source: &str, expected: &str) {
    assert_eq!(Pattern::compile(source).map(|pattern| pattern.steps.len()), Err(expected.to_owned()), "{source:?}");
}

#[test]
fn it_matches_anywhere_unless_tied() {
    check("", "", true);
    check("", "x", true);
    check("b", "abc", true);
    check("^b", "abc", false);
    check("b$", "abc", false);
    check("^abc$", "abc", true);
    check("^abc$", "abc\n", false);
    check("^a|c$", "xc", true);
    check("^(a|c)$", "xc", false);
    check("^$", "", true);
    check("^$", "\n", false);
    check("a^b", "ab", false);
    check("$^", "", true);
    check("(^a|b)*c", "xbc", true);
    check("x(^a)?b", "xb", true);
    check("(^a)?b", "xb", true);
    check("(^a)+b", "xab", false);
}

#[test]
fn counts_are_exact() {
    check("^a*$", "", true);
    check("^a+$", "", false);
    check("^a?b$", "aab", false);
    check("^a{2}$", "a", false);
    check("^a{2}$", "aa", true);
    check("^a{2}$", "aaa", false);
    check("^a{2,}$", "aaaa", true);
    check("^a{2,}$", "a", false);
    check("^a{0}b$", "b", true);
    check("^a{0}b$", "ab", false);
    check("^a{0,2}$", "", true);
    check("^a{0,2}$", "aa", true);
    check("^a{0,2}$", "aaa", false);
    check("^(?:ab|c){2,3}$", "abcab", true);
    check("^(?:ab|c){2,3}$", "ab", false);
    check("^(?:ab|c){2,3}$", "cccc", false);
    check("^a*?b+?c??d{1,2}?$", "aabbcdd", true);
    check("^(){3}$", "", true);
    check("^(a?){3}$", "aaaa", false);
    check("^((a{1,2}){2}){2}$", "aaaaaaaa", true);
    check("^((a{1,2}){2}){2}$", "aaa", false);
    check("^0{0002}$", "00", true);
}

#[test]
fn classes_are_those_of_ecma() {
    check("^[a-c]$", "b", true);
    check("^[^a-c]$", "b", false);
    check("^[^a-c]$", "\u{1F600}", true);
    check("^.$", "\u{1F600}", true);
    check("^[a-]$", "-", true);
    check("^[-a]$", "-", true);
    check("^[\\d-]$", "-", true);
    check("^[a\\-c]$", "b", false);
    check("^[]$", "a", false);
    check("^[^]$", "\n", true);
    check("^[[(.*^$|]$", "^", true);
    check("^[\\]\\\\]$", "]", true);
    check("^[+--]$", ",", true);
    check("^[\\b]$", "\u{8}", true);
    check("^[\\W\\d]$", "5", true);
    check("^[\\W\\d]$", "a", false);
    check("^[^\\W\\d]+$", "a_Z", true);
    check("^[a-zA-Z0-9_c-x]+$", "qQ4_", true);
    check("^[x-zl-na-cb-m]+$", "abchijklmnxyz", true);
    check("^[x-zl-na-cb-m]$", "o", false);
    check("^[\u{e0}-\u{ff}]$", "\u{e9}", true);
    for c in ["\n", "\r", "\u{2028}", "\u{2029}"] {
        check(".", c, false);
        check("^\\s$", c, true);
    }
    for c in ["\u{b}", "\u{85}", "\0"] {
        check("^.$", c, true);
    }
    for c in ["\t", "\u{b}", "\u{c}", " ", "\u{a0}", "\u{1680}", "\u{2000}", "\u{200a}", "\u{202f}", "\u{feff}"] {
        check("^\\s$", c, true);
        check("^\\S$", c, false);
    }
    for c in ["\u{85}", "\u{180e}", "\u{200b}", "\u{2060}"] {
        check("^\\s$", c, false);
    }
    check("^\\d$", "\u{663}", false);
    check("^\\w$", "\u{e9}", false);
    check("^\\w$", "\u{17f}", false);
    check("^\\D\\W$", "xx", false);
    check("^\\D\\W$", "x-", true);
}

#[test]
fn escapes_name_characters() {
    check("^\\x41\\u0042\\u{43}\\u{000044}$", "ABCD", true);
    check("^\\uD83D\\uDE00$", "\u{1F600}", true);
    check("^[\\uD83D\\uDE00-\\u{1F602}]$", "\u{1F601}", true);
    check("^\\t\\n\\v\\f\\r\\0\\cJ$", "\t\n\u{b}\u{c}\r\0\n", true);
    check("^\\^\\$\\\\\\.\\*\\+\\?\\(\\)\\[\\]\\{\\}\\|\\/$", "^$\\.*+?()[]{}|/", true);
    check("^/-,:=!<>#&~ $", "/-,:=!<>#&~ ", true);
    check("\\u{10FFFF}", "\u{10FFFF}", true);
}

#[test]
fn edges_of_words() {
    check("\\bcat\\b", "a cat.", true);
    check("\\bcat\\b", "concat", false);
    check("\\Bcat", "concat", true);
    check("^\\b", "", false);
    check("^\\B$", "", true);
    check("\\b", "\u{e9}", false);
    check("a\\b\u{e9}", "a\u{e9}", true);
}

#[test]
fn patterns_of_the_contract() {
    check("^[0-9.]+$", "192.168.1.2", true);
    check("^[0-9.]+$", "192.168.1.2;id", false);
    check("^light\\.[a-z0-9_]+$", "light.kitchen_1", true);
    check("^light\\.[a-z0-9_]+$", "light.kitchen\n", false);
    check("^light\\.[a-z0-9_]+$", "lightXkitchen", false);
    check("^([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}$", "aa:bb:cc:DD:ee:01", true);
    check("^([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}$", "aa:bb:cc:DD:ee:0", false);
    check("^[A-Za-z0-9_\\[][A-Za-z0-9_.:%\\]-]*$", "[fe80::1%eth0]", true);
    check("^[A-Za-z0-9_\\[][A-Za-z0-9_.:%\\]-]*$", "-oProxyCommand=x", false);
    check("^[^#+\\u0000]+$", "a/b", true);
    check("^[^#+\\u0000]+$", "a/#", false);
    check("^https?://", "https://x", true);
}

#[test]
fn refusals_say_where() {
    refused("ab(?=c)", "character 3: look-ahead is not supported");
    refused("(?!c)", "character 1: look-ahead is not supported");
    refused("x(?<=c)", "character 2: look-behind is not supported");
    refused("x(?<!c)", "character 2: look-behind is not supported");
    refused("(?<n>c)", "character 1: named groups are not supported; write (…) or (?:…)");
    refused("(?i:c)", "character 1: only (…) and (?:…) are groups here");
    refused("(?", "character 1: only (…) and (?:…) are groups here");
    refused("(a)\\1", "character 4: back-references are not supported");
    refused("\\k<n>", "character 1: named groups are not supported");
    refused("é\\p{L}", "character 2: \\p is not supported; list the characters in brackets");
    refused("\\01", "character 1: back-references are not supported");
    refused("a(b", "character 2: this group is not closed");
    refused("((a)", "character 1: this group is not closed");
    refused("a)", "character 2: this parenthesis closes nothing; write \\) for it");
    refused("a[b", "character 2: this class is not closed");
    refused("a[^", "character 2: this class is not closed");
    refused("a[\\]", "character 2: this class is not closed");
    refused("a]", "character 2: write a backslash before it for the character");
    refused("a}", "character 2: write a backslash before it for the character");
    let nothing = "there is nothing to repeat; write a backslash before it for the character";
    for source in ["*", "a|*", "(*", "^*", "$+", "a**", "a{2}{3}", "\\b?", "{2}", "a???", "a{1000}{1000}"] {
        let at = source.find(['*', '+', '?', '{']).unwrap() + 1;
        let at = match source {
            "a**" | "(?*" => 3,
            "a???" => 4,
            "a{2}{3}" => 5,
            "a{1000}{1000}" => 8,
            _ => at,
        };
        refused(source, &format!("character {at}: {nothing}"));
    }
    for source in ["a{", "a{}", "a{,2}", "a{x", "a{2", "a{2,", "a{2,3", "a{ 2}", "a{-1}"] {
        refused(source, "character 2: a count is written {2}, {2,} or {2,3}; write \\{ for it");
    }
    refused("a{3,2}", "character 2: the lower number comes first in a count");
    refused("[b-a]", "character 2: the lower character comes first in a range");
    refused("[a--]", "character 2: the lower character comes first in a range");
    let range = "a range goes from one character to another; write \\- for the character";
    refused("[\\d-z]", &format!("character 2: {range}"));
    refused("[a-\\d]", &format!("character 2: {range}"));
    let code = "this escape names no character; write \\x41, \\u0041 or \\u{41}";
    for source in
        ["\\x4", "\\xg0", "\\u004", "\\u{}", "\\u{110000}", "\\u{41", "\\u{FFFFFFFFFFFF1}", "\\uD83D", "\\uDE00"]
    {
        refused(source, &format!("character 1: {code}"));
    }
    refused("[\\uD83D\\u0041]", &format!("character 2: {code}"));
    refused("\\u{D83D}\\u{DE00}", &format!("character 1: {code}"));
    refused("\\c1", "character 1: \\c is followed by a letter");
    for source in ["\\q", "\\-", "\\ ", "\\é", "\\", "[\\B]", "\\_", "\\\""] {
        let at = source.find('\\').unwrap() + 1;
        refused(source, &format!("character {at}: this is no escape; write the character without the backslash"));
    }
}

#[test]
fn limits_refuse() {
    let long = "a".repeat(PATTERN_CHARS_MAX + 1);
    refused(&long, &format!("the pattern is longer than {PATTERN_CHARS_MAX} characters"));
    assert!(Pattern::compile(&long[1..]).is_ok());
    let nested = |depth: usize| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
    assert!(Pattern::compile(&nested(PATTERN_DEPTH_MAX)).is_ok());
    let deep = PATTERN_DEPTH_MAX + 1;
    refused(&nested(deep), &format!("character {deep}: more than {PATTERN_DEPTH_MAX} groups stand inside each other"));
    refused(&nested(1_000), &format!("the pattern is longer than {PATTERN_CHARS_MAX} characters"));
    refused(&"(".repeat(PATTERN_CHARS_MAX), &format!("character {deep}: more than 32 groups stand inside each other"));
    for source in [
        "(a{1000}){1000}",
        "a{4097}",
        "a{0,4096}",
        "a{99999999999999999999}",
        "a{99999999999999999999,}",
        "(?:){99999}",
        "((((a{9}){9}){9}){9}){9}",
        "(a{4000}|b{4000})",
        "(a{4000}){0}b{4000}a{4000}",
        "(((((((((a*)*)*)*){4})*){4}){4}){4}){400}",
    ] {
        let wrong = Pattern::compile(source).map(|pattern| pattern.steps.len()).unwrap_err();
        assert!(wrong.contains(": with its counts written out the pattern has more than 4096"), "{source}: {wrong}");
    }
    check("^a{4000}$", &"a".repeat(4_000), true);
    check("^(a|b){800}$", &"ab".repeat(400), true);
    // A class is kept once however often it is written out.
    let wide = compiled("^([\\W\\D\\Sa-z]{20}){20}$");
    assert_eq!((wide.classes.len(), wide.steps.len()), (1, 402));
}

/// What a match costs, and that it says what it should.
fn work(source: &str, text: &str, expected: bool) -> u64 {
    let mut work = 0;
    assert_eq!(compiled(source).count(text, &mut work), expected, "{source}");
    work
}

#[test]
fn no_text_makes_a_pattern_slow() {
    let text = "a".repeat(1 << 20);
    for source in ["^(a*)*b", "^(a|a)*b", "^(a?){40}b", "^(a+)+$b", "^((a*)*)*b", "^(a|aa)+b", "^(.*)*(.*)*(.*)*b"] {
        let steps = compiled(source).steps.len() as u64;
        let work = work(source, &text, false);
        assert!(work <= (text.len() as u64 + 1) * (2 * steps + 2), "{source}: {work}");
    }
    for source in ["(a*)*b", "(a|a)*b", "(a+)+b", "(x+x+)+y", "(?:a?){9}a{9}b", "\\b(\\B(a*)*)*b"] {
        let steps = compiled(source).steps.len() as u64;
        let work = work(source, &text[..1 << 16], false);
        assert!(work <= ((1 << 16) + 1) * (2 * steps + 2), "{source}: {work}");
    }
    // Tied to the start, a match ends where its last thread does; found, it ends there.
    assert!(work("^b", &text, false) < 8 && work("a", &text, true) < 8);
    assert!(work("^[a-z]{1,9}$", &text, false) < 200);
    let mixed = "aé\u{1F600}\n".repeat(1 << 16);
    let steps = compiled("^(?:[^b]|\\n)*$").steps.len() as u64;
    assert!(work("^(?:[^b]|\\n)*$", &mixed, true) <= mixed.len() as u64 * (2 * steps + 2));
}

#[test]
fn debug_shows_the_source() {
    assert_eq!(format!("{:?} {}", compiled("^a$"), compiled("^a$").source()), "^a$ ^a$");
}

/// Numbers that only depend on the seed (xorshift64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.roll(from.len())]
    }
}

/// Whether a character is taken.
type Takes = fn(char) -> bool;
/// Whether a place between two characters will do.
type Holds = fn(Option<char>, Option<char>) -> bool;

/// An expression as a tree: written for the engine, and matched by the obvious definition.
enum Tree {
    Both(Vec<Tree>),
    Either(Vec<Tree>),
    /// How it is written, and what it takes.
    Leaf(&'static str, Takes),
    /// How it is written, and whether it holds between two characters.
    Tie(&'static str, Holds),
    Times(Box<Tree>, usize, Option<usize>, &'static str),
}

/// What can stand for one character. The two engines agree on all of them over [`TEXTS`].
const LEAVES: [(&str, Takes); 14] = [
    ("a", |c| c == 'a'),
    ("b", |c| c == 'b'),
    ("-", |c| c == '-'),
    ("\\.", |c| c == '.'),
    (".", |c| c != '\n'),
    ("\\d", |c| c == '1'),
    ("\\D", |c| c != '1'),
    ("\\w", |c| matches!(c, 'a' | 'b' | '1' | '_')),
    ("\\W", |c| !matches!(c, 'a' | 'b' | '1' | '_')),
    ("\\s", |c| matches!(c, ' ' | '\n')),
    ("[^\\sa]", |c| !matches!(c, ' ' | '\n' | 'a')),
    ("[\\w-]", |c| matches!(c, 'a' | 'b' | '1' | '_' | '-')),
    ("[a-b0-9]", |c| matches!(c, 'a' | 'b' | '1')),
    ("[^é\\n]", |c| c != 'é' && c != '\n'),
];

const TIES: [(&str, Holds); 4] = [
    ("^", |before, _| before.is_none()),
    ("$", |_, here| here.is_none()),
    ("\\b", |before, here| letter(before) != letter(here)),
    ("\\B", |before, here| letter(before) == letter(here)),
];

const TEXTS: [&str; 9] = ["a", "b", "-", ".", "1", "_", " ", "\n", "é"];

fn letter(c: Option<char>) -> bool {
    c.is_some_and(|c| matches!(c, 'a' | 'b' | '1' | '_'))
}

fn tree(dice: &mut Dice, depth: usize) -> Tree {
    match dice.roll(if depth == 0 { 3 } else { 8 }) {
        0 => {
            let (written, holds) = TIES[dice.roll(TIES.len())];
            Tree::Tie(written, holds)
        }
        3 => Tree::Either((0..1 + dice.roll(3)).map(|_| tree(dice, depth - 1)).collect()),
        4 | 5 => Tree::Both((0..dice.roll(4)).map(|_| tree(dice, depth - 1)).collect()),
        6 | 7 => {
            let least = dice.roll(3);
            let most = (dice.roll(2) == 0).then(|| least + dice.roll(3));
            Tree::Times(Box::new(tree(dice, depth - 1)), least, most, dice.pick(&["", "?"]))
        }
        _ => {
            let (written, takes) = LEAVES[dice.roll(LEAVES.len())];
            Tree::Leaf(written, takes)
        }
    }
}

impl Tree {
    fn written(&self) -> String {
        let all = |trees: &[Tree]| trees.iter().map(Tree::written).collect::<Vec<_>>();
        match self {
            Tree::Both(trees) => all(trees).concat(),
            Tree::Either(trees) => format!("({})", all(trees).join("|")),
            Tree::Leaf(written, _) | Tree::Tie(written, _) => (*written).to_owned(),
            Tree::Times(tree, least, most, lazy) => {
                let count = match (least, most) {
                    (0, None) => "*".to_owned(),
                    (1, None) => "+".to_owned(),
                    (0, Some(1)) => "?".to_owned(),
                    (least, None) => format!("{{{least},}}"),
                    (least, Some(most)) if least == most => format!("{{{least}}}"),
                    (least, Some(most)) => format!("{{{least},{most}}}"),
                };
                format!("(?:{}){count}{lazy}", tree.written())
            }
        }
    }

    /// Every place where a match that begins at `from` may end, in order.
    fn ends(&self, text: &[char], from: usize) -> Vec<usize> {
        let mut ends = match self {
            Tree::Both(trees) => trees.iter().fold(vec![from], |ends, tree| {
                let mut next: Vec<usize> = ends.iter().flat_map(|at| tree.ends(text, *at)).collect();
                next.sort_unstable();
                next.dedup();
                next
            }),
            Tree::Either(trees) => trees.iter().flat_map(|tree| tree.ends(text, from)).collect(),
            Tree::Leaf(_, takes) => text.get(from).filter(|c| takes(**c)).map(|_| from + 1).into_iter().collect(),
            Tree::Tie(_, holds) => {
                let before = from.checked_sub(1).map(|at| text[at]);
                holds(before, text.get(from).copied()).then_some(from).into_iter().collect()
            }
            Tree::Times(tree, least, most, _) => {
                let (mut ends, mut now) = (Vec::new(), vec![from]);
                // More rounds than characters bring nothing new.
                for round in 0..=most.unwrap_or(least + text.len() + 1) {
                    if round >= *least {
                        ends.extend(&now);
                    }
                    now = now.iter().flat_map(|at| tree.ends(text, *at)).collect();
                    now.sort_unstable();
                    now.dedup();
                }
                ends
            }
        };
        ends.sort_unstable();
        ends.dedup();
        ends
    }
}

#[test]
fn three_engines_agree() {
    let mut dice = Dice(0x7061_7474_6572_6e73);
    let (mut matched, mut compared) = (0, 0);
    while compared < 30_000 {
        let tree = tree(&mut dice, 4);
        let source = tree.written();
        if source.len() > 200 {
            continue;
        }
        let (Ok(own), Ok(other)) = (Pattern::compile(&source), regex_lite::Regex::new(&source)) else {
            panic!("{source:?}: {:?}", Pattern::compile(&source).map(|_| ()));
        };
        for _ in 0..4 {
            let text: String = (0..dice.roll(9)).map(|_| dice.pick(&TEXTS)).collect();
            let chars: Vec<char> = text.chars().collect();
            let plain = (0..=chars.len()).any(|from| !tree.ends(&chars, from).is_empty());
            let got = own.matches(&text);
            assert_eq!((got, got), (plain, other.is_match(&text)), "{source:?} ~ {text:?}: own, then plain and other");
            compared += 1;
            matched += usize::from(got);
        }
    }
    assert!((6_000..24_000).contains(&matched), "{matched} of {compared} match: the patterns say too little");
}

#[test]
fn no_source_breaks_the_compiler() {
    let mut dice = Dice(0x6272_6561_6b65_7221);
    let pieces = [
        "a",
        "é",
        "\u{1F600}",
        "(",
        "(?:",
        "(?=",
        ")",
        "[",
        "[^",
        "]",
        "-",
        "\\",
        "\\d",
        "\\W",
        "\\u",
        "\\x",
        "{",
        "}",
        "1",
        "9",
        ",",
        "*",
        "+",
        "?",
        "|",
        "^",
        "$",
        ".",
        "\\b",
        "\0",
        "{2,3}",
        "{0}",
        "\\u{",
        "D83D",
    ];
    let mut good = 0;
    for _ in 0..60_000 {
        let source: String = (0..1 + dice.roll(12)).map(|_| dice.pick(&pieces)).collect();
        match Pattern::compile(&source) {
            Ok(pattern) => {
                good += 1;
                assert!(pattern.steps.len() <= PATTERN_STEPS_MAX, "{source:?}");
                let text: String = (0..dice.roll(12)).map(|_| dice.pick(&pieces)).collect();
                let mut work = 0;
                pattern.count(&text, &mut work);
                let most = (text.chars().count() as u64 + 1) * (2 * pattern.steps.len() as u64 + 2);
                assert!(work <= most, "{source:?} ~ {text:?}: {work} of {most}");
            }
            Err(wrong) => {
                let place = wrong.strip_prefix("character ").and_then(|rest| rest.split_once(": "));
                let place: usize = place.and_then(|(at, _)| at.parse().ok()).unwrap_or_else(|| panic!("{wrong}"));
                assert!((1..=source.chars().count()).contains(&place), "{source:?}: {wrong}");
            }
        }
    }
    assert!(good > 5_000, "only {good} compile");
}
