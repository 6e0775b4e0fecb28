//! `home_assistant_state`, `home_assistant_call`: the Home Assistant that the operator named, through its REST interface.
//!
//! A caller chooses the entity and, among those that the operator allows, the service; never the host.
//! Source: edge.md §3; Home Assistant's REST API.

use serde_json::value::RawValue;

use super::border::Who;
use super::fetch::{self, Answer, Request};
use super::host::Host;
use super::object::{Object, depth, fit, quoted};
use super::reach::deadline;
use super::schema::slices;
use super::targets::Home;
use super::url::{Url, bracketed};
use super::{Call, Later, Outcome};
use crate::limits::{CALL_MS_DEFAULT, JSON_DEPTH_MAX, RESULT_FRAME_BYTES, TOOL_LIST_ITEMS};

/// Whether the operator named a Home Assistant.
///
/// # Errors
/// Says where to.
pub(super) fn present(host: &Host) -> Result<(), String> {
    host.targets().home.as_ref().map(drop).ok_or_else(|| "tools.device.home_assistant names no url".into())
}

/// Whether any of its services may be called.
///
/// # Errors
/// Says where to name one.
pub(super) fn callable(host: &Host) -> Result<(), String> {
    present(host)?;
    match host.targets().home.as_ref().is_some_and(|home| !home.allow.is_empty()) {
        true => Ok(()),
        false => Err("tools.device.home_assistant.allow names no service".into()),
    }
}

/// What is asked of it.
struct Order {
    method: &'static str,
    path: String,
    content: String,
}

async fn ask(host: &Host, order: &Order) -> Result<Answer, Outcome> {
    let targets = host.targets();
    let Some(home) = &targets.home else { return Err(Outcome::Failed("no Home Assistant is configured".into())) };
    let Some(token) = home.token.reveal() else {
        return Err(Outcome::Failed("the token of Home Assistant has not been read".into()));
    };
    let token = ["Bearer ", &*String::from_utf8_lossy(token)].concat();
    let mut fields = vec![("Authorization".to_owned(), token)];
    if !order.content.is_empty() {
        fields.push(("Content-Type".into(), "application/json".into()));
    }
    let request = Request {
        who: Who::Operator,
        method: order.method,
        url: place(home, &order.path),
        fields: &fields,
        content: order.content.as_bytes(),
        most: host.result_bytes.get(),
        until: deadline(usize::try_from(CALL_MS_DEFAULT).unwrap_or_default()),
    };
    let (answer, _) = fetch::fetch(host, request).await.map_err(super::reach::Fault::outcome)?;
    match answer.status {
        200 | 201 => Ok(answer),
        401 | 403 => Err(Outcome::soft("error", "Home Assistant refuses the token of tools.device.home_assistant")),
        404 => Err(Outcome::soft("error", "Home Assistant knows no such entity or service")),
        status => Err(Outcome::soft("error", &["Home Assistant answered ", &status.to_string()].concat())),
    }
}

fn place(home: &Home, path: &str) -> Url {
    Url { host: bracketed(&home.host), port: home.port, path: path.to_owned() }
}

/// `home_assistant_state`.
pub(super) fn state<'a>(host: &'a Host, call: &'a Call) -> Later<'a> {
    Box::pin(async move {
        let entity = call.args.text("entity_id").unwrap_or_default();
        let order = Order { method: "GET", path: ["/api/states/", entity].concat(), content: String::new() };
        match ask(host, &order).await {
            Ok(answer) => told(&answer, host.result_bytes.get()),
            Err(outcome) => outcome,
        }
    })
}

fn told(answer: &Answer, room: usize) -> Outcome {
    let state: Option<&RawValue> = text(answer).and_then(|text| serde_json::from_str(text).ok());
    let values = slices(&["entity_id", "state", "attributes", "last_changed"], state).0;
    let [Some(entity), Some(state), attributes, last_changed] = *values else { return strange() };
    let Some(entity) = name(entity) else { return strange() };
    let mut attributes = attributes.map_or("null", RawValue::get);
    // A camera's attributes may be longer than everything else.
    let truncated = attributes.len().saturating_add(RESULT_FRAME_BYTES) > room;
    if truncated {
        attributes = "null";
    }
    let mut json = Object::new();
    json.raw("entity_id", entity).raw("state", state.get());
    json.raw("attributes", attributes).raw("last_changed", last_changed.map_or("null", RawValue::get));
    json.flag("truncated", truncated);
    json.done()
}

/// The answer as text, which JSON is, unless it is nested deeper than anybody's is.
fn text(answer: &Answer) -> Option<&str> {
    std::str::from_utf8(&answer.content).ok().filter(|text| depth(text) <= JSON_DEPTH_MAX)
}

/// An entity's name as JSON. It has no escapes.
fn name(raw: &RawValue) -> Option<&str> {
    Some(raw.get()).filter(|name| name.starts_with('"') && !name.contains('\\'))
}

fn strange() -> Outcome {
    Outcome::soft("error", "what answers is not Home Assistant, or its answer is larger than a result may be")
}

/// Whether the operator allows a service.
fn allowed(home: &Home, domain: &str, service: &str) -> bool {
    home.allow.iter().any(|entry| match entry.split_once('.') {
        Some((own, "*")) => own == domain,
        Some((own, named)) => own == domain && named == service,
        None => false,
    })
}

/// The request of a call, if the operator allows it.
fn order(host: &Host, call: &Call) -> Result<Order, Outcome> {
    let text = |name| call.args.text(name).unwrap_or_default();
    let (domain, service) = (text("domain"), text("service"));
    let targets = host.targets();
    if !targets.home.as_ref().is_some_and(|home| allowed(home, domain, service)) {
        let text = [domain, ".", service, " is not in tools.device.home_assistant.allow"].concat();
        return Err(Outcome::soft("forbidden", &text));
    }
    let data = call.args.object("data").map_or("{}", str::trim);
    let content = match call.args.text("entity_id") {
        None => data.to_owned(),
        Some(entity) => {
            // The argument stands last, so it wins over a member of the same name.
            let inner = data.strip_suffix('}').unwrap_or("{").trim_end();
            let comma = if inner == "{" { "" } else { "," };
            [inner, comma, "\"entity_id\":", &quoted(entity), "}"].concat()
        }
    };
    Ok(Order { method: "POST", path: ["/api/services/", domain, "/", service].concat(), content })
}

/// What a call would ask.
///
/// # Errors
/// That it may not.
pub(super) fn would(host: &Host, call: &Call) -> Result<String, Outcome> {
    let order = order(host, call)?;
    let url = host.targets().home.as_ref().map(|home| place(home, &order.path));
    let url = url.map_or(String::new(), |url| ["http://", &url.authority(), &url.path].concat());
    let mut request = Object::new();
    request.text("method", order.method);
    request.text("url", &url);
    request.raw("body", &order.content);
    let mut json = Object::new();
    json.raw("request", &request.end());
    Ok(json.end())
}

/// `home_assistant_call`.
pub(super) fn act<'a>(host: &'a Host, call: &'a Call) -> Later<'a> {
    Box::pin(async move {
        let order = match order(host, call) {
            Ok(order) => order,
            Err(outcome) => return outcome,
        };
        let answer = match ask(host, &order).await {
            Ok(answer) => answer,
            Err(outcome) => return outcome,
        };
        changed(&answer, host.result_bytes.get())
    })
}

/// What a service changed. It has been called by now: an answer too long to read is no failure.
fn changed(answer: &Answer, room: usize) -> Outcome {
    let all: Vec<&RawValue> = text(answer).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let row = |state: &RawValue| {
        let values = slices(&["entity_id", "state"], Some(state)).0;
        let [Some(entity), Some(state)] = *values else { return None };
        Some(Object::new().raw("entity_id", name(entity)?).raw("state", state.get()).end())
    };
    let rows: Option<Vec<String>> = all.into_iter().map(row).collect();
    let mut rows = rows.unwrap_or_default();
    let truncated = fit(&mut rows, TOOL_LIST_ITEMS, room.saturating_sub(RESULT_FRAME_BYTES)) || answer.cut;
    Object::new().list("changed", &rows).flag("truncated", truncated).done()
}

#[cfg(test)]
#[path = "home_tests.rs"]
mod tests;
