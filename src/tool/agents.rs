//! `agents_list`: which agents the caller's session may name.

use super::host::Host;
use super::object::Object;
use super::{Call, Outcome};

/// `agents_list`. Here as on the reference without `subagents.allowAgents` that is the session's own agent and no
/// other, whether or not it is configured. Source: goldens default-, pol-*-, ns- and field-sessionkey- agents_list.
pub(super) fn list(host: &Host, call: &Call) -> Outcome {
    let id = call.session.agent.as_str();
    let mut agent = Object::new();
    agent.text("id", id).flag("configured", host.configured(id));
    agent.raw("agentRuntime", "{\"id\":\"pi\",\"source\":\"implicit\"}");
    Object::new().text("requester", id).flag("allowAny", false).list("agents", &[agent.end()]).done()
}

#[cfg(test)]
mod tests {
    use crate::tool::Outcome;
    use crate::tool::fixture::{bare, call_in, session};

    /// `configured` agents, the session's agent, and whether the answer calls it configured.
    fn check(configured: &[&str], agent: &str, expected: bool) {
        let answer = call_in(&bare(configured), "agents_list", "{\"junk\":[1]}", session("k", agent));
        let details = format!(
            "{{\"requester\":\"{agent}\",\"allowAny\":false,\"agents\":[{{\"id\":\"{agent}\",\"configured\":{expected},\
             \"agentRuntime\":{{\"id\":\"pi\",\"source\":\"implicit\"}}}}]}}"
        );
        assert_eq!(answer, Outcome::Done { details, text: None });
    }

    #[test]
    fn goldens() {
        check(&[], "main", false);
        check(&[], "ops", false);
        check(&["zeta", "home-bot"], "home-bot", true);
        check(&["main", "ops", "empty"], "empty", true);
    }
}
