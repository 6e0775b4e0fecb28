//! Who sees which sessions, and how calls look.
use super::*;
use crate::limits::SESSION_CALLS;
use crate::tool::fixture::{bare, call_in, details, session};
use crate::tool::host::Now;

fn own() -> Session {
    session("agent:main:main", "main")
}

fn worked(host: &Host, key: &str, agent: &str, tool: &'static str, good: bool) {
    host.sessions.borrow_mut().record(
        &session(key, agent),
        Now { wall_ms: 1_700_000_000_000, ..Now::read() },
        tool.into(),
        good,
    );
}

fn keys(host: &Host, args: &str) -> Vec<String> {
    let json: serde_json::Value = serde_json::from_str(&details(call_in(host, "sessions_list", args, own()))).unwrap();
    let rows = json["sessions"].as_array().unwrap();
    assert_eq!(json["count"], rows.len());
    rows.iter().map(|row| row["key"].as_str().unwrap().to_owned()).collect()
}

const TREE: &str = "{\"status\":\"forbidden\",\"error\":\"Session history visibility is restricted to the current session tree (tools.sessions.visibility=tree).\"}";
const CROSS: &str = "{\"status\":\"forbidden\",\"error\":\"Session history visibility is restricted. Set tools.sessions.visibility=all to allow cross-agent access.\"}";

/// The agents configured, the caller's session, the key it names, and the answer.
fn check_history(agents: &[&str], caller: (&str, &str), key: &str, expected: &str) {
    let args = format!("{{\"sessionKey\":\"{key}\"}}");
    let got = call_in(&bare(agents), "sessions_history", &args, session(caller.0, caller.1));
    assert_eq!(details(got), expected, "{caller:?} asks for {key}");
}

#[test]
fn history_of_others_is_forbidden() {
    let empty = |key: &str| {
        format!(
            "{{\"sessionKey\":\"{key}\",\"messages\":[],\"truncated\":false,\"droppedMessages\":false,\
             \"contentTruncated\":false,\"contentRedacted\":false,\"bytes\":0}}"
        )
    };
    let main = ("agent:main:main", "main");
    let bot = ("agent:home-bot:work", "home-bot");
    // seed-sessions_history and ns-history.
    check_history(&[], main, "main", TREE);
    check_history(&["home-bot"], bot, "main", CROSS);
    check_history(&[], main, "agent:main:main", &empty("agent:main:main"));
    check_history(&[], main, "agent:main:other", TREE);
    check_history(&[], main, "agent:main:mainx", TREE);
    check_history(&[], main, "agent:main:main:subagent:x", &empty("agent:main:main:subagent:x"));
    check_history(&[], main, "agent:ops:main", CROSS);
    check_history(&[], main, "Agent:OPS:main", CROSS);
    check_history(&["home-bot"], bot, "whatever", TREE);
    check_history(&[], ("global", "main"), "global", &empty("global"));
    let missing = call_in(&bare(&[]), "sessions_history", "{}", own());
    assert_eq!(missing, Outcome::Input(String::from("sessionKey required")));
}

#[test]
fn visibility_widens_and_narrows() {
    let mut host = bare(&[]);
    worked(&host, "agent:main:main", "main", "time_status", true);
    worked(&host, "agent:main:x", "main", "time_status", true);
    worked(&host, "agent:main:main:subagent:a", "main", "time_status", true);
    worked(&host, "agent:ops:main", "ops", "time_status", true);
    for (visibility, expected) in
        [(Visibility::Own, 1), (Visibility::Tree, 2), (Visibility::Agent, 3), (Visibility::All, 4)]
    {
        host.visibility = visibility;
        assert_eq!(keys(&host, "{}").len(), expected, "{visibility:?}");
    }
}

#[test]
fn the_list_starts_empty_like_the_reference_s() {
    assert_eq!(details(call_in(&bare(&[]), "sessions_list", "[1]", own())), "{\"count\":0,\"sessions\":[]}");
}

#[test]
fn filters() {
    let mut host = bare(&[]);
    host.visibility = Visibility::All;
    for (key, agent) in [
        ("agent:main:main", "main"),
        ("agent:main:telegram:group:-100", "main"),
        ("cron:nightly", "main"),
        ("agent:ops:hook:x", "ops"),
        ("node-1", "main"),
        ("agent:main:work", "main"),
    ] {
        worked(&host, key, agent, "time_status", true);
    }
    let all = [
        "agent:main:work",
        "node-1",
        "agent:ops:hook:x",
        "cron:nightly",
        "agent:main:telegram:group:-100",
        "agent:main:main",
    ];
    assert_eq!(keys(&host, "{}"), all);
    assert_eq!(keys(&host, "{\"limit\":2}"), all[..2]);
    assert_eq!(keys(&host, "{\"limit\":-1}"), all[..1]);
    assert_eq!(keys(&host, "{\"kinds\":[\"Group\",\"cron\"]}"), ["cron:nightly", "agent:main:telegram:group:-100"]);
    assert_eq!(keys(&host, "{\"kinds\":[\"junk\"]}"), all);
    assert_eq!(keys(&host, "{\"kinds\":[\"main\"]}"), ["agent:main:main"]);
    assert_eq!(keys(&host, "{\"agentId\":\"ops\"}"), ["agent:ops:hook:x"]);
    assert_eq!(keys(&host, "{\"search\":\"TELEGRAM\"}"), ["agent:main:telegram:group:-100"]);
    assert!(keys(&host, "{\"label\":\"x\"}").is_empty());
    assert_eq!(keys(&host, "{\"activeMinutes\":1}"), all);
    host.set_main_key(Some("work"));
    assert_eq!(keys(&host, "{\"kinds\":[\"main\"]}"), ["agent:main:work", "agent:main:main"]);
}

#[test]
fn idle_sessions_are_filtered_by_the_time_since_boot() {
    let host = bare(&[]);
    let long_ago = Now { boot_ms: Now::read().boot_ms - 600_000, wall_ms: i64::MAX };
    host.sessions.borrow_mut().record(&own(), long_ago, "time_status".into(), true);
    assert_eq!(keys(&host, "{\"activeMinutes\":9}").len(), 0);
    assert_eq!(keys(&host, "{\"activeMinutes\":11}").len(), 1);
    assert_eq!(keys(&host, "{\"activeMinutes\":9007199254740992}").len(), 1);
}

#[test]
fn a_row_and_a_history() {
    let host = bare(&[]);
    worked(&host, "agent:main:main", "main", "time_status", true);
    worked(&host, "agent:main:main", "main", "storage_status", false);
    let id = host.sessions.borrow().find("agent:main:main").unwrap().id.clone();
    let call = "{\"role\":\"assistant\",\"content\":[{\"type\":\"toolCall\",\"id\":\"call-1\",\"name\":\"storage_status\"}],\"timestamp\":1700000000000}";
    let args = "{\"messageLimit\":1,\"includeLastMessage\":true}";
    assert_eq!(
        details(call_in(&host, "sessions_list", args, own())),
        format!(
            "{{\"count\":1,\"sessions\":[{{\"key\":\"agent:main:main\",\"agentId\":\"main\",\"kind\":\"main\",\"channel\":\"unknown\",\
             \"lastMessagePreview\":\"storage_status\",\"updatedAt\":1700000000000,\"sessionId\":\"{id}\",\"messages\":[{call}]}}]}}"
        )
    );
    let result = "{\"role\":\"toolResult\",\"toolCallId\":\"call-1\",\"toolName\":\"storage_status\",\"content\":[],\"isError\":true,\"timestamp\":1700000000000}";
    let args = "{\"sessionKey\":\"agent:main:main\",\"includeTools\":true,\"limit\":2}";
    assert_eq!(
        details(call_in(&host, "sessions_history", args, own())),
        format!(
            "{{\"sessionKey\":\"agent:main:main\",\"messages\":[{call},{result}],\"truncated\":false,\"droppedMessages\":false,\
             \"contentTruncated\":false,\"contentRedacted\":false,\"bytes\":{}}}",
            call.len() + result.len() + 2
        )
    );
}

#[test]
fn a_long_history_says_that_it_is_cut() {
    let host = bare(&[]);
    for _ in 0..=SESSION_CALLS {
        worked(&host, "agent:main:main", "main", "time_status", true);
    }
    let history = details(call_in(&host, "sessions_history", "{\"sessionKey\":\"agent:main:main\"}", own()));
    assert!(history.contains("\"truncated\":true,\"droppedMessages\":true") && !history.contains("\"call-0\""));
}

#[test]
fn the_card() {
    let host = bare(&[]);
    assert!(matches!(call_in(&host, "session_status", "{}", own()), Outcome::Failed(_)));
    worked(&host, "agent:main:main", "main", "time_status", true);
    worked(&host, "agent:ops:main", "ops", "time_status", true);
    let card = format!(
        "🔧 toolgate {}\n🧵 Session: agent:main:main • updated just now\n🧮 Calls: 1 call · last: time_status ok\n⚙️ Execution: direct · Agent: main · Kind: main",
        env!("CARGO_PKG_VERSION")
    );
    let details = format!(
        "{{\"ok\":true,\"sessionKey\":\"agent:main:main\",\"changedModel\":false,\"statusText\":{}}}",
        serde_json::to_string(&card).unwrap()
    );
    let expected = Outcome::Done { details, text: Some(card) };
    for args in [
        "{}",
        "{\"sessionKey\":\"main\"}",
        "{\"sessionKey\":\"current\",\"model\":\"x/y\"}",
        "{\"sessionKey\":\"agent:main:main\"}",
    ] {
        assert_eq!(call_in(&host, "session_status", args, own()), expected, "{args}");
    }
    assert_eq!(
        call_in(&host, "session_status", "{\"sessionKey\":\"agent:ops:main\"}", own()),
        Outcome::Failed(OTHER_AGENT.to_owned())
    );
}
