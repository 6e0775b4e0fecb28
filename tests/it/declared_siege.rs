//! Commands under siege: floods of output, more callers than may run, callers that leave, a fork bomb; all at once. The
//! memory promise holds, a good caller is served, and at the end nothing is left.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::call;
use crate::declared::{gateway, gone, script};
use crate::rig::notice;

#[test]
fn siege_of_commands() {
    let commands = "flood: { description: 'X', argv: ['DIR/flood'], concurrency: 4, queue: 8, timeoutMs: 60000, maxOutputBytes: 65536 }, \
        errors: { description: 'X', argv: ['DIR/errors'], concurrency: 4, queue: 8, timeoutMs: 60000, maxOutputBytes: 65536 }, \
        slow: { description: 'X', argv: ['DIR/slow', '86406'], concurrency: 8, queue: 64, timeoutMs: 600000 }, \
        eats: { description: 'X', argv: ['/bin/cat'], stdin: 'args', parameters: { x: { maxLength: 16000 } }, concurrency: 4 }";
    let scripts = [
        ("flood", "head -c 67108864 /dev/zero"),
        ("errors", "head -c 67108864 /dev/zero | tr '\\0' x >&2"),
        ("slow", "sleep $1 & wait"),
    ];
    let gateway = gateway(commands, &scripts);
    let address = gateway.addr();
    let callers: Vec<_> = (0..60_u8)
        .map(|number| {
            thread::spawn(move || {
                let from = std::net::Ipv4Addr::new(127, 0, 0, 2 + number);
                let mut peer = crate::client::Peer::connect_from(address, from).expect("connect");
                let tool = ["flood", "errors", "slow"][usize::from(number) % 3];
                peer.send(&call(&json!({"tool": tool, "args": {}}).to_string())).expect("send");
                if tool == "slow" {
                    // It leaves after a while, without having read anything.
                    thread::sleep(Duration::from_secs(3));
                    return 0;
                }
                peer.try_answer(false, Duration::from_secs(60)).map_or(0, |answer| answer.status)
            })
        })
        .collect();
    // A good caller is served all the while, and its words come back whole. Its turn may take as long as turns do.
    let asked = |body: &str| {
        let mut peer = gateway.peer();
        peer.send(&call(body)).expect("send");
        peer.try_answer(false, Duration::from_secs(60)).unwrap_or_else(|why| panic!("{why}; log:\n{}", gateway.tail()))
    };
    let word = "ä".repeat(4_000);
    let end = Instant::now() + Duration::from_secs(4);
    let mut served = 0;
    while Instant::now() < end {
        let status = asked("{\"tool\":\"time_status\"}").status;
        assert!(matches!(status, 200 | 429), "{status}; log:\n{}", gateway.tail());
        served += u32::from(status == 200);
        let answer = asked(&json!({"tool": "eats", "args": {"x": word}}).to_string());
        assert!(matches!(answer.status, 200 | 429), "{}", answer.text());
        if answer.status == 200 {
            assert!(answer.text().contains(&word), "{}", answer.text());
        }
    }
    let statuses: Vec<u16> = callers.into_iter().map(|caller| caller.join().expect("a caller")).collect();
    assert!(statuses.iter().all(|status| matches!(status, 0 | 200 | 429 | 503)), "{statuses:?}");
    assert!(statuses.contains(&200) && statuses.contains(&429), "{statuses:?}");
    assert!(served > 0, "nobody was served; {statuses:?}");
    gone(&gateway, "slow 86406");
    gone(&gateway, &script(&gateway, "flood"));
    let (kept, memory) = gateway.memory();
    notice(&format!("siege of commands: {memory}"));
    assert!(kept, "{memory}");
    gateway.stop();
}
