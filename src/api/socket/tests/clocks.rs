//! A wall clock that is set while clients are there, as on a board without a battery: it changes what is shown, and nothing
//! of what is decided.

use super::*;
use crate::api::socket::roll::Entry;
use crate::gate::rate::Rule;
use crate::tool::Now;
use crate::tool::fixture::remembered;

/// An hour back, as a summer time that was believed; and from 1970 to 2026 and back.
const STEPS: [i64; 4] = [0, -3_600_000, 56 * 31_556_952_000, -56 * 31_556_952_000];

/// The same fact without the moments that are shown, and the ids that each world makes anew.
fn without_moments(mut fact: Value) -> Value {
    match &mut fact {
        Value::Array(items) => items.iter_mut().for_each(|item| *item = without_moments(item.take())),
        Value::Object(members) => {
            members.retain(|key, _| key != "ts" && key != "sessionId");
            members.values_mut().for_each(|member| *member = without_moments(member.take()));
        }
        _ => {}
    }
    fact
}

#[test]
fn a_wall_clock_that_steps_changes_nothing_but_moments() {
    let start = i64::try_from(NOW).expect("a time");
    let asked = |step: i64| {
        let mut rig = Rig::new(Mode::Token);
        rig.enter(params(&[]));
        rig.world.sessions = remembered(&[("x:group:9", "main", start - 300_000), ("x:group:5", "main", start)]).into();
        let gone = Entry::new("gone").with("host", "gone");
        rig.world.roll.get_mut().event(&gone, rig.world.now.get());
        // A minute later by every clock but the one that was set.
        rig.world.now.set(Now { wall_ms: start + 60_000 + step, boot_ms: start + 60_000 });
        let rows = [
            ("health", json!({})),
            ("status", json!({})),
            ("sessions.list", json!({"activeMinutes": 5})),
            ("system-presence", json!({})),
        ];
        rows.map(|(method, params)| rig.ask(method, params).0["payload"].take())
    };
    let [health, status, sessions, presence] = asked(0);
    assert_eq!(health["sessions"]["recent"][0]["age"], json!(60_000));
    assert_eq!(sessions["count"], json!(1), "the other is six minutes old");
    assert_eq!(presence.as_array().map(Vec::len), Some(2), "{presence}");
    let expected = [health, status, sessions, presence].map(without_moments);
    for step in STEPS {
        assert_eq!(asked(step).map(without_moments), expected, "a step of {step} ms");
    }
}

#[test]
fn a_lock_outlasts_every_step_of_the_wall_clock() {
    let mut rules = rules(Mode::Token);
    rules.auth.rate = Some(Rule { max_attempts: 2, ..Rule::default() });
    let mut rig = Rig::from(rules, "192.0.2.1", "");
    for _ in 0..2 {
        rig.ask("connect", params(&[("/auth", json!({"token": "x"}))]));
    }
    for step in STEPS {
        let wall_ms = rig.world.now.get().wall_ms + step;
        rig.world.now.set(Now { wall_ms, ..rig.world.now.get() });
        let (refused, _) = rig.ask("connect", params(&[]));
        assert_eq!(refused["error"]["details"]["code"], json!("AUTH_RATE_LIMITED"), "a step of {step} ms");
    }
}
