//! `gateway`: what the owner may ask of the gateway itself. It shows and reloads the configuration; nothing here writes it.
//!
//! A configuration that can be written over the wire makes one stolen token a stolen device, so the writing actions of
//! the reference are refused in words. Source: contract http.md §5.2, §5.3.

use std::fmt;

use super::host::Host;
use super::object::{Object, quoted};
use super::{Call, Outcome};

/// What came into force at a reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reloaded {
    /// Keys that differ from what is in force and need a restart.
    pub held: Vec<String>,
}

/// Answers with compact JSON, or says in a sentence why not.
pub type Show = Box<dyn Fn() -> Result<String, String>>;
/// Answers about a key with compact JSON, `None` when there is no such key.
pub type LookUp = Box<dyn Fn(&str) -> Option<String>>;
/// Reloads, or gives every reason why nothing changed.
pub type Restart = Box<dyn Fn() -> Result<Reloaded, Vec<String>>>;

/// How the gateway is: compact JSON, and a card for people.
pub type Status = Box<dyn Fn() -> (String, String)>;

/// What the tools of this file work with: the rooms that know the configuration lend it their hands.
pub struct Desk {
    /// The configuration file as it is now, without its secrets: the `result` of `config.get`.
    pub document: Show,
    /// What the gateway knows about a key: the `result` of `config.schema.lookup`.
    pub lookup: LookUp,
    /// Reads the configuration again and puts it in force.
    pub restart: Restart,
    /// How the gateway is: compact JSON, and a card for people.
    pub status: Status,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Desk(..)")
    }
}

/// `gateway`.
pub(super) fn act(host: &Host, call: &Call) -> Outcome {
    let action = call.args.text("action").map_or("", str::trim);
    if action.is_empty() {
        return Outcome::Input("action required".into());
    }
    let Some(desk) = &host.desk else { return Outcome::Failed("no gateway runs here".into()) };
    let answer = |result: String| Outcome::Done { details: format!("{{\"ok\":true,\"result\":{result}}}"), text: None };
    match action {
        "config.get" => (desk.document)().map_or_else(|why| Outcome::soft("error", &why), answer),
        "config.schema.lookup" => match call.args.text("path").map_or("", str::trim) {
            "" => Outcome::Input("path required".into()),
            path => (desk.lookup)(path).map_or_else(|| Outcome::Input("path: no such key".into()), answer),
        },
        "restart" => restart(desk),
        "config.apply" | "config.patch" | "update.run" => Outcome::soft(
            "forbidden",
            "The configuration is never written over the wire: edit the file on the device, then use action restart.",
        ),
        _ => Outcome::Failed("unknown action".into()),
    }
}

/// `gateway_status`.
pub(super) fn status(host: &Host, _call: &Call) -> Outcome {
    let Some(desk) = &host.desk else { return Outcome::Failed("no gateway runs here".into()) };
    let (details, card) = (desk.status)();
    Outcome::Done { details, text: Some(card) }
}

/// The answer comes after the reload, so that whoever asked knows what became of it.
fn restart(desk: &Desk) -> Outcome {
    let mut json = Object::new();
    match (desk.restart)() {
        Ok(reloaded) => json.flag("ok", true).flag("reloaded", true).list("needsRestart", &texts(&reloaded.held)),
        Err(issues) => {
            let error = "The configuration was refused and nothing changed.";
            json.text("status", "error").text("error", error).list("issues", &texts(&issues))
        }
    }
    .done()
}

fn texts(texts: &[String]) -> Vec<String> {
    texts.iter().map(|text| quoted(text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::fixture::{bare, call};

    fn host(restart: Restart) -> Host {
        let document: Show = Box::new(|| Ok("{\"valid\":true}".into()));
        let lookup: LookUp = Box::new(|path| (path == "gateway.port").then(|| "{\"path\":\"gateway.port\"}".into()));
        let mut host = bare(&[]);
        let status: Status = Box::new(|| ("{\"connections\":1}".into(), "one connection".into()));
        host.desk = Some(Desk { document, lookup, restart, status });
        host
    }

    fn check(args: &str, expected: &Outcome) {
        assert_eq!(
            call(&host(Box::new(|| Ok(Reloaded { held: vec!["gateway.port".into()] }))), "gateway", args),
            *expected
        );
    }

    fn done(details: &str) -> Outcome {
        Outcome::Done { details: details.into(), text: None }
    }

    #[test]
    fn status_has_a_card_of_its_own() {
        let host = host(Box::new(|| Err(Vec::new())));
        let expected = Outcome::Done { details: "{\"connections\":1}".into(), text: Some("one connection".into()) };
        assert_eq!(call(&host, "gateway_status", "{}"), expected);
    }

    #[test]
    fn actions() {
        let required = Outcome::Input("action required".into());
        check("{}", &required);
        check("{\"action\":\" \"}", &required);
        check("{\"action\":5}", &required);
        check("{\"action\":\"config.get\",\"junk\":1}", &done("{\"ok\":true,\"result\":{\"valid\":true}}"));
        let lookup = "{\"action\":\"config.schema.lookup\",\"path\":\" gateway.port \"}";
        check(lookup, &done("{\"ok\":true,\"result\":{\"path\":\"gateway.port\"}}"));
        check("{\"action\":\"config.schema.lookup\"}", &Outcome::Input("path required".into()));
        let absent = "{\"action\":\"config.schema.lookup\",\"path\":\"x\"}";
        check(absent, &Outcome::Input("path: no such key".into()));
        let reloaded = "{\"ok\":true,\"reloaded\":true,\"needsRestart\":[\"gateway.port\"]}";
        check("{\"action\":\"restart\",\"delayMs\":5}", &done(reloaded));
        check("{\"action\":\"frobnicate\"}", &Outcome::Failed("unknown action".into()));
    }

    #[test]
    fn nothing_is_written() {
        for action in ["config.apply", "config.patch", "update.run"] {
            let args = format!("{{\"action\":\"{action}\",\"raw\":\"{{}}\"}}");
            let Outcome::Done { details, .. } = call(&host(Box::new(|| Err(vec![]))), "gateway", &args) else {
                panic!("{action}")
            };
            assert!(
                details.starts_with("{\"status\":\"forbidden\",\"error\":\"The configuration is never"),
                "{details}"
            );
        }
    }

    #[test]
    fn a_refused_reload_says_why() {
        let host = host(Box::new(|| Err(vec!["gateway.port: wrong".into()])));
        let expected = "{\"status\":\"error\",\"error\":\"The configuration was refused and nothing changed.\",\
             \"issues\":[\"gateway.port: wrong\"]}";
        assert_eq!(call(&host, "gateway", "{\"action\":\"restart\"}"), done(expected));
        assert_eq!(
            call(&bare(&[]), "gateway", "{\"action\":\"restart\"}"),
            Outcome::Failed("no gateway runs here".into())
        );
    }
}
