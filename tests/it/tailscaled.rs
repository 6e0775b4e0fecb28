//! A tailscaled that is none: its LocalAPI on a Unix socket, with the real one's rules and with answers that a test sets.
//!
//! It knows nothing of the rest of the tests, so that the unit tests of the client can use it too.
//! Source: tailscale ipn/localapi/localapi.go (ServeHTTP, validHost, serveWhoIsWithBackend, serveStatus).

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

/// How it treats whoever asks.
#[derive(Debug, Clone, Default)]
pub enum Manner {
    /// As the real one does.
    #[default]
    Right,
    /// Says these bytes whatever was asked, and closes.
    Says(Vec<u8>),
    /// Says the first, then the second for ever.
    Endless(Vec<u8>, Vec<u8>),
    /// Says these bytes one by one, with a pause before each.
    Slow(Vec<u8>, Duration),
    /// Hears the question, and says nothing.
    Silent,
}

#[derive(Debug, Default)]
struct State {
    manner: Manner,
    status: String,
    peers: String,
    serve: String,
    nodes: BTreeMap<String, String>,
    heads: Vec<String>,
    ended: bool,
}

/// One that listens until it is dropped.
#[derive(Debug)]
pub struct FakeTailscaled {
    socket: PathBuf,
    state: Arc<Mutex<State>>,
}

impl FakeTailscaled {
    /// Listens at `tailscaled.sock` in `dir`. Its tailnet has no other node yet.
    pub fn start(dir: &Path) -> FakeTailscaled {
        let socket = dir.join("tailscaled.sock");
        let listener = UnixListener::bind(&socket).unwrap_or_else(|e| panic!("{}: {e}", socket.display()));
        let state = State { status: status("pi", &["100.64.0.1"], ""), serve: "null".into(), ..State::default() };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if locked(&shared).ended {
                    break;
                }
                let shared = Arc::clone(&shared);
                thread::spawn(move || attend(stream, &shared));
            }
        });
        FakeTailscaled { socket, state }
    }

    /// Where it listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// What it says of itself from now on, asked without peers and with them.
    pub fn tells(&self, status: &str, peers: &str) {
        let mut state = locked(&self.state);
        (state.status, state.peers) = (status.to_owned(), peers.to_owned());
    }

    /// What it passes on by itself from now on, as JSON; empty when it was built without that.
    pub fn serves(&self, config: &str) {
        locked(&self.state).serve = config.to_owned();
    }

    /// Whom it knows from now on at `addr`: the address of a node, or address and port of a connection that it carries
    /// itself, as it does without an interface. `None` makes that nobody's.
    pub fn knows(&self, addr: &str, node: Option<&str>) {
        let nodes = &mut locked(&self.state).nodes;
        match node {
            Some(node) => nodes.insert(addr.to_owned(), node.to_owned()),
            None => nodes.remove(addr),
        };
    }

    /// How it treats whoever asks from now on.
    pub fn behaves(&self, manner: Manner) {
        locked(&self.state).manner = manner;
    }

    /// The heads of all questions so far.
    pub fn heads(&self) -> Vec<String> {
        locked(&self.state).heads.clone()
    }

    /// How many questions it was asked.
    pub fn asked(&self) -> usize {
        locked(&self.state).heads.len()
    }
}

impl Drop for FakeTailscaled {
    fn drop(&mut self) {
        locked(&self.state).ended = true;
        // It waits for the next connection, and sees there that it has ended.
        drop(UnixStream::connect(&self.socket));
        drop(fs::remove_file(&self.socket));
    }
}

/// The state, also after a thread of it has failed: then the test says so.
fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(|failed| failed.into_inner())
}

/// What it says of itself in the state `Running` with an interface, as the real one writes it. `more` are members, each
/// with a comma behind it.
pub fn status(name: &str, ips: &[&str], more: &str) -> String {
    let ips: Vec<String> = ips.iter().map(|ip| format!("\"{ip}\"")).collect();
    let ips = ips.join(",\n\t\t");
    format!(
        "{{\n\t\"Version\": \"1.92.3-ta17f36b9b-ga4dc88aac\",\n\t\"TUN\": true,\n\t\"BackendState\": \"Running\",\n\t\
         \"HaveNodeKey\": true,\n\t\"AuthURL\": \"\",\n\t\"TailscaleIPs\": [\n\t\t{ips}\n\t],\n\t{more}\"Self\": {{\n\t\t\
         \"ID\": \"nSELF1CNTRL\",\n\t\t\"HostName\": \"{name}\",\n\t\t\"DNSName\": \"{name}.example.ts.net.\",\n\t\t\
         \"OS\": \"linux\",\n\t\t\"UserID\": 7,\n\t\t\"TailscaleIPs\": [\n\t\t{ips}\n\t\t],\n\t\t\"Online\": true\n\t}},\n\t\
         \"MagicDNSSuffix\": \"example.ts.net\",\n\t\"CertDomains\": null,\n\t\"User\": null,\n\t\"ClientVersion\": null\n}}\n"
    )
}

/// A person's node, as whois tells of it. `capabilities` is JSON.
pub fn person(node: &str, login: &str, capabilities: &str) -> String {
    whois(node, "null", login, capabilities)
}

/// A tagged node. `tags` is a JSON list.
pub fn tagged(node: &str, tags: &str, capabilities: &str) -> String {
    whois(node, tags, "tagged-devices", capabilities)
}

fn whois(node: &str, tags: &str, login: &str, capabilities: &str) -> String {
    format!(
        "{{\n\t\"Node\": {{\n\t\t\"ID\": 41,\n\t\t\"StableID\": \"nPEER1CNTRL\",\n\t\t\"Name\": \"{node}.example.ts.net.\",\n\t\t\
         \"User\": 7,\n\t\t\"Key\": \"nodekey:00\",\n\t\t\"Addresses\": [\n\t\t\t\"100.64.0.2/32\"\n\t\t],\n\t\t\
         \"Tags\": {tags},\n\t\t\"Hostinfo\": {{\n\t\t\t\"OS\": \"linux\"\n\t\t}},\n\t\t\"MachineAuthorized\": true\n\t}},\n\t\
         \"UserProfile\": {{\n\t\t\"ID\": 7,\n\t\t\"LoginName\": \"{login}\",\n\t\t\"DisplayName\": \"A Name\",\n\t\t\
         \"ProfilePicURL\": \"\"\n\t}},\n\t\"CapMap\": {capabilities}\n}}"
    )
}

/// One connection: one question, one answer.
fn attend(stream: UnixStream, state: &Mutex<State>) {
    let (mut head, mut lines) = (String::new(), BufReader::new(&stream));
    while !head.ends_with("\r\n\r\n") {
        match lines.read_line(&mut head) {
            Ok(length) if length > 0 => {}
            _ => return,
        }
    }
    let (manner, answer) = {
        let mut state = locked(state);
        state.heads.push(head.clone());
        (state.manner.clone(), answer(&head, &state))
    };
    let mut stream = &stream;
    // Whoever has read enough is gone.
    match manner {
        Manner::Right => drop(stream.write_all(&answer)),
        Manner::Says(bytes) => drop(stream.write_all(&bytes)),
        Manner::Endless(first, again) => {
            drop(stream.write_all(&first));
            while stream.write_all(&again).is_ok() {}
        }
        Manner::Slow(bytes, pause) => {
            for byte in bytes {
                thread::sleep(pause);
                if stream.write_all(&[byte]).is_err() {
                    break;
                }
            }
        }
        // Until the one who asked goes away.
        Manner::Silent => drop(lines.fill_buf().map(<[u8]>::len)),
    }
}

/// An answer as Go writes it: short ones with their length, longer ones in chunks.
fn written(code: &str, kind: &str, text: &str) -> Vec<u8> {
    let head = format!("HTTP/1.1 {code}\r\nContent-Type: {kind}\r\nTailscale-Cap: 130\r\nConnection: close\r\n");
    if text.len() <= 2_048 {
        return format!("{head}Content-Length: {}\r\n\r\n{text}", text.len()).into_bytes();
    }
    let mut out = format!("{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
    for chunk in text.as_bytes().chunks(2_048) {
        out.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        out.extend(chunk);
        out.extend(b"\r\n");
    }
    out.extend(b"0\r\n\r\n");
    out
}

fn error(code: &str, text: &str) -> Vec<u8> {
    written(code, "text/plain; charset=utf-8", &format!("{text}\n"))
}

/// The value of a head's field, of the first if there are more.
fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    fields.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
}

fn answer(head: &str, state: &State) -> Vec<u8> {
    let given = |name| field(head, name).is_some_and(|value| !value.is_empty());
    let host = field(head, "host").unwrap_or_default();
    if given("origin") || given("referer") || !matches!(host, "" | "local-tailscaled.sock") {
        return error("403 Forbidden", "invalid localapi request");
    }
    let mut words = head.split(' ');
    let (Some("GET"), Some(target)) = (words.next(), words.next()) else {
        return error("405 Method Not Allowed", "want GET");
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let asked = |name: &str| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        decoded(pairs.filter(|(known, _)| *known == name).map(|(_, value)| value).next().unwrap_or_default())
    };
    match path {
        "/localapi/v0/status" if asked("peers") == "false" => written("200 OK", "application/json", &state.status),
        "/localapi/v0/status" => written("200 OK", "application/json", &state.peers),
        "/localapi/v0/serve-config" if !state.serve.is_empty() => written("200 OK", "application/json", &state.serve),
        "/localapi/v0/whois" => known(&asked("addr"), &asked("proto"), state),
        _ => error("404 Not Found", "404 page not found"),
    }
}

fn known(addr: &str, proto: &str, state: &State) -> Vec<u8> {
    if addr.is_empty() {
        return error("400 Bad Request", "missing 'addr' parameter");
    }
    let alone = addr.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 0));
    let Ok(addr) = alone.or_else(|_| addr.parse()) else {
        return error("400 Bad Request", "invalid 'addr' parameter");
    };
    let carried = || state.nodes.get(&addr.to_string()).filter(|_| addr.port() != 0 && matches!(proto, "" | "tcp"));
    match state.nodes.get(&addr.ip().to_string()).or_else(carried) {
        Some(node) => written("200 OK", "application/json", node),
        None => error("404 Not Found", "no match for IP:port"),
    }
}

/// A value of a query without its escapes.
fn decoded(value: &str) -> String {
    let (mut out, mut rest) = (String::new(), value);
    while let Some((before, after)) = rest.split_once('%') {
        let code = after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()).expect("an escape");
        out.push_str(before);
        out.push(char::from(code));
        rest = &after[2..];
    }
    out + rest
}
