//! What README.md and packaging/ show is what the program accepts.

use std::fs;

use toolgate::config::{Level, read};

use crate::rig::root;

/// The fenced blocks of a page in that language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(page)).expect(page);
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).filter_map(|rest| rest.split("\n```").next()).map(str::to_owned).collect()
}

#[test]
fn every_configuration_shown_is_accepted() {
    let mut shown = Vec::new();
    for (page, least) in [("README.md", 5), ("packaging/tailnet.md", 3)] {
        let blocks = blocks(page, "json5");
        assert!(blocks.len() >= least, "{page} shows {} configurations", blocks.len());
        shown.extend(blocks);
    }
    for path in ["packaging/toolgate.json5", "packaging/debian/toolgate.json5"] {
        shown.push(fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}")));
    }
    for text in shown {
        let outcome = read(&text, &|_| None);
        let wrong: Vec<String> =
            outcome.findings.iter().filter(|f| f.level == Level::Error).map(ToString::to_string).collect();
        assert!(wrong.is_empty(), "{wrong:?} in:\n{text}");
    }
}

#[test]
fn six_lines_are_six_lines() {
    let text = fs::read_to_string(root().join("README.md")).expect("README.md");
    let section = text.split("## Six lines to your first tool").nth(1).expect("the section");
    let block = section.split("```json5\n").nth(1).and_then(|rest| rest.split("\n```").next()).expect("a block");
    assert_eq!(block.lines().count(), 6, "{block}");
}
