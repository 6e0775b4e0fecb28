//! What a chart says, to people and to programs.

use super::*;

fn chart() -> Chart {
    let mut json = Json::default();
    json.key("clock").raw("null");
    Chart { entries: Vec::new(), json }
}

#[test]
fn a_part_without_a_finding_is_good() {
    let mut chart = chart();
    chart.fact("clock", "kept in time", &[]);
    chart.fact("clock", "by somebody", &[]);
    let expected = "ok        clock      kept in time\n                     by somebody\nnothing to mend\n";
    assert_eq!(chart.card(), expected);
    let expected = "{\"ok\":true,\"findings\":[{\"level\":\"ok\",\"about\":\"clock\",\"message\":\"kept in time\",\
        \"fix\":\"\"}],\"clock\":null}\n";
    assert_eq!(chart.json(), expected);
}

#[test]
fn the_worst_finding_names_its_part() {
    let mut chart = chart();
    chart.fact("config", "/etc/x", &[]);
    chart.fact("secret", "token", &[]);
    chart.told(Level::Critical, "secret", "/x: others can read it; chmod 600 /x", "");
    chart.told(Level::Warning, "secret", "a: no", "edit it");
    chart.fact("clock", "now", &[]);
    chart.note("clock", "slow", &[], "");
    chart.warn("clock", "% slower", &["much", "10"], "set it by %");
    let expected = "ok        config     /etc/x\n\
        critical  secret     token\n                     ! critical: /x: others can read it\n\
        \x20                      fix: chmod 600 /x\n                     ! warning: a: no\n\
        \x20                      fix: edit it\n\
        warning   clock      now\n                     ! note: slow\n\
        \x20                    ! warning: much slower\n                       fix: set it by 10\n\
        1 critical, 2 warnings, 1 note\n";
    assert_eq!(chart.card(), expected);
    let json: serde_json::Value = serde_json::from_str(&chart.json()).expect("JSON");
    let levels: Vec<&str> = json["findings"].as_array().unwrap().iter().map(|f| f["level"].as_str().unwrap()).collect();
    assert_eq!((json["ok"].as_bool(), levels), (Some(false), vec!["ok", "critical", "warning", "note", "warning"]));
    assert_eq!(json["findings"][1]["fix"], "chmod 600 /x");
}

#[test]
fn a_fix_does_not_begin_within_quotes() {
    let check = |text: &str, expected: (&str, &str)| {
        let mut chart = chart();
        chart.told(Level::Warning, "config", text, "edit it");
        assert_eq!((&*chart.entries[0].message, &*chart.entries[0].fix), expected);
    };
    check("unknown key \"a; b\"", ("unknown key \"a; b\"", "edit it"));
    check("unknown key \"a; b\"; say \"c\"", ("unknown key \"a; b\"", "say \"c\""));
}

#[test]
fn nothing_controls_the_terminal() {
    let mut chart = chart();
    let hostile = "a\n\u{1b}[2J\u{202e}\u{85}\"\\";
    chart.fact("config", "%", &[hostile]);
    chart.note("config", "%", &[hostile], hostile);
    let card = chart.card();
    assert!(!card.contains(['\u{1b}', '\u{202e}', '\u{85}']) && card.lines().count() == 4, "{card:?}");
    let json = chart.json();
    let read: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert!(read["findings"][0]["message"] == hostile && json.lines().count() == 1, "{json:?}");
}

#[test]
fn what_keeps_it_from_starting_is_critical() {
    let mut chart = chart();
    let findings = [
        "gateway.bind: mode none lets everybody in; set a token",
        "gateway.auth.token: /x: Permission denied (os error 13)",
    ];
    unsettled(&mut chart, &findings.map(String::from).into());
    let got: Vec<_> = chart.entries.iter().map(|f| (f.level, &*f.message, f.fix == ELSEWHERE)).collect();
    let expected =
        [(Level::Critical, "gateway.bind: mode none lets everybody in", false), (Level::Warning, findings[1], true)];
    assert_eq!(got, expected);
}
