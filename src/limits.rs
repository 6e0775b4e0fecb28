//! Every number that has a unit: what is counted, over what span, what happens beyond it, where it comes from.
//!
//! The relations between them are asserted at the bottom, so that the memory promise is code. A limit that the
//! configuration may change has a `_DEFAULT`, a `_CEILING` and, where less makes no sense, a `_FLOOR`. What tools may
//! take stands in a file of its own, because there is so much of it; nobody outside needs to know which file.

use std::time::Duration;

mod tools;

pub use tools::*;

/// One kibibyte.
pub const KIB: usize = 1024;
/// One mebibyte.
pub const MIB: usize = 1024 * KIB;

// The promise.

/// Resident memory of the whole process under any load from outside, with default limits, in bytes.
pub const PROMISE_BYTES: usize = 12 * MIB;
/// What the program itself takes of the promise: code pages, tables, allocator slack. Measured with the static program
/// (1.3 MiB), rounded up; a plain build maps two more of the C library, which other programs share.
pub const PROGRAM_BYTES: usize = 2 * MIB;

// wire: one request's head.

/// A request's line and fields with their line ends, in bytes; beyond it 431 and close. Source: contract http.md §1.4.
pub const HEAD_BYTES_MAX: usize = 16 * KIB;
/// Field lines of one request; beyond it 431 and close.
pub const FIELDS_MAX: usize = 100;
/// Bytes of empty lines ignored before a request line; beyond it 400. Source: RFC 9112 §2.2 asks for at least one line.
pub const LEADING_LINE_BYTES_MAX: usize = 4;

// wire: one request's body.

/// A request's body after its framing is taken off, in bytes, inclusive; beyond it 413. Source: contract http.md §1.5.
pub const BODY_BYTES_MAX: usize = 2 * MIB;
/// Chunk extensions of one body, in bytes; beyond it 400 and close. Source: RFC 9112 §7.1.1 asks for a limit.
pub const CHUNK_EXTENSION_BYTES_MAX: usize = 4 * KIB;
/// Hexadecimal digits of one chunk size; beyond it 400 and close.
pub const CHUNK_SIZE_DIGITS_MAX: u8 = 16;
/// Trailer fields of one body, in bytes; beyond it 431 and close.
pub const TRAILER_BYTES_MAX: usize = 4 * KIB;
/// Nesting of arrays and objects in a body; beyond it 400. Source: edge.md §5 (depth 64).
pub const JSON_DEPTH_MAX: usize = 64;

// wire: answers of servers that the gateway asks.

/// The heads of one answer, those of interim answers with them, in bytes; beyond it the call fails softly.
pub const ANSWER_HEAD_BYTES: usize = 16 * KIB;

// wire: WebSocket.

/// The reason in a close frame that we send, in bytes; the rest is cut, at a character. Source: contract ws.md §1.5.
pub const CLOSE_REASON_BYTES: usize = 120;

// serve: connections and the memory they may hold.

/// Open connections; the next one gets 503 and is closed. Source: contract cli.md.
pub const CONNECTIONS_DEFAULT: usize = 256;
/// The most that `gateway.limits.connections` may say: the packaged unit's limit on open files.
pub const CONNECTIONS_CEILING: usize = 1024;
/// Open connections of one peer address (IPv6: of one /64); the next one gets 503 and is closed. Source: contract cli.md.
pub const CONNECTIONS_PER_PEER_DEFAULT: usize = 32;
/// Bodies in flight beyond the first [`BODY_FREE_BYTES`] of each, in bytes over all connections; beyond it 503.
pub const BODY_POOL_BYTES_DEFAULT: usize = 4 * MIB;
/// The least that `gateway.limits.bodyPoolBytes` may say, in bytes: one body of the largest size must fit.
pub const BODY_POOL_BYTES_FLOOR: usize = BODY_BYTES_MAX;
/// The most that `gateway.limits.bodyPoolBytes` may say, in bytes.
pub const BODY_POOL_BYTES_CEILING: usize = 64 * MIB;
/// Tool calls running at once; the next one gets 503. Source: contract cli.md.
pub const CALLS_DEFAULT: usize = 8;
/// The most that `gateway.limits.calls` may say.
pub const CALLS_CEILING: usize = 64;
/// One tool's result as compact JSON, in bytes; a tool cuts its lists to stay below it. Source: edge.md §3.
pub const TOOL_RESULT_BYTES: usize = 64 * KIB;
/// The least that `gateway.limits.toolResultBytes` may say, in bytes: below it no result says anything.
pub const TOOL_RESULT_BYTES_FLOOR: usize = KIB;

/// Refused connections that are still being told so; beyond it they are closed without a word.
pub const CONNECTIONS_REFUSED: usize = 16;
/// File descriptors kept for the program itself when the connection limit is fitted to `RLIMIT_NOFILE`.
pub const DESCRIPTORS_RESERVED: usize = 16;
/// The first bytes of each body that are not counted in the pool: a connection gives its head's room to its body.
pub const BODY_FREE_BYTES: usize = HEAD_BYTES_MAX;
/// Answers waiting to be taken, in bytes over all connections, beyond [`ANSWER_FREE_BYTES`] of each; beyond it the call gets 503.
pub const ANSWER_POOL_BYTES: usize = 512 * KIB;
/// The first bytes of each answer that are not counted: it stands where the request's head and body stood.
pub const ANSWER_FREE_BYTES: usize = 4 * KIB;
/// The one buffer that all connections read through, in bytes.
pub const READ_BYTES: usize = 16 * KIB;
/// What the kernel may buffer for one connection in each direction, in bytes as the kernel counts them (it doubles this).
/// A whole body still moves at a megabyte a second over a tailnet with 100 ms between its ends.
pub const SOCKET_BYTES: usize = 128 * KIB;
/// Events taken from the kernel in one wait; the rest comes with the next.
pub const EVENTS_AT_ONCE: usize = 64;
/// Connections waiting in the kernel to be accepted.
pub const BACKLOG: i32 = 128;

// serve: time, each counted in total from the first moment, never per read.

/// From accept, or from a request's first byte, to the end of its head; then 408 and close.
pub const HEAD_SECS: Duration = Duration::from_secs(10);
/// From the end of the head to the end of the body; then 408 and close. Source: contract http.md §1.5.
pub const BODY_SECS: Duration = Duration::from_secs(30);
/// From the end of the body to the tool's answer; then the call is given up and answered 500.
pub const CALL_SECS: Duration = Duration::from_secs(30);
/// From the answer's first byte to its last; then the connection is dropped.
pub const WRITE_SECS: Duration = Duration::from_secs(30);
/// From an answer to the next request's first byte; then the connection is closed. Source: contract http.md §1.1.
pub const IDLE_SECS: Duration = Duration::from_secs(5);
/// After an answer that ends the connection: how long unread input is still thrown away, so that the answer can be read.
pub const LINGER_SECS: Duration = Duration::from_secs(10);
/// Unread body thrown away to keep a connection, in bytes; a larger one ends the connection instead.
pub const DRAIN_BYTES_MAX: u64 = 4 * MIB as u64;
/// From SIGTERM to the end: how long calls in flight may finish.
pub const SHUTDOWN_SECS: Duration = Duration::from_secs(5);
/// How often the end of calls in flight is looked for while stopping.
pub const SHUTDOWN_STEP: Duration = Duration::from_millis(20);
/// What one word to the service manager may take at most, and the least time between two signs of life.
pub const NOTIFY_STEP: Duration = Duration::from_millis(50);
/// How long accepting rests when the kernel has no descriptor or memory left.
pub const ACCEPT_REST: Duration = Duration::from_millis(250);
/// Warnings and errors that `toolgate status` shows.
pub const REPORT_ERRORS: usize = 5;
/// The kernel's account of this process, in bytes: what is behind them is not read.
pub const STATUS_FILE_BYTES: u64 = 4 * KIB as u64;
/// How late the loop may notice 99 of 100 deadlines before readiness calls it degraded.
pub const LOOP_LATE: Duration = Duration::from_millis(250);
/// The `Retry-After` of a 503, in seconds.
pub const RETRY_SECS: u32 = 1;

// serve: sockets (WebSocket), each of which is also a connection.

/// One message before the handshake is over, in bytes, inclusive; beyond it close 1009. Source: contract ws.md §1.2.
pub const SOCKET_HELLO_BYTES: usize = 64 * KIB;
/// One message after the handshake, in bytes, inclusive, unless configured; beyond it close 1009. As much as a body.
pub const SOCKET_MESSAGE_BYTES_DEFAULT: usize = BODY_BYTES_MAX;
/// The most that `gateway.limits.messageBytes` may say, in bytes. Source: contract ws.md §1.2.
pub const SOCKET_MESSAGE_BYTES_CEILING: usize = 25 * MIB;
/// The first bytes of a message that are not counted in the pool of bodies: they stand where a head stood.
pub const SOCKET_FREE_BYTES: usize = 8 * KIB;
/// Frames waiting to be taken by one peer, in bytes; beyond it an answer becomes an error, an event is left out or ends
/// the connection. Beyond [`ANSWER_FREE_BYTES`] they are counted in the pool of answers too.
pub const SOCKET_QUEUE_BYTES: usize = 256 * KIB;
/// Frames waiting for a peer above which it is not listened to: who asks faster than it reads the answers, waits.
pub const SOCKET_PACE_BYTES: usize = ANSWER_FREE_BYTES;
/// The longest head of a frame, in bytes. Source: RFC 6455 §5.2.
pub const FRAME_HEAD_BYTES: usize = 14;
/// Frames waiting for a peer above which events that it can do without are left out, so that peers that read nothing
/// take no room from the answers of those that do.
pub const SOCKET_EVENTS_BYTES: usize = 32 * KIB;
/// Requests of one socket that run at once; the next one gets UNAVAILABLE.
pub const SOCKET_CALLS: usize = 8;
/// Sockets of one peer whose handshake is not over; the next one gets 503. Source: contract ws.md §1.2.
pub const SOCKETS_WAITING_PER_PEER: usize = 32;
/// Milliseconds from one `tick` event, and the ping that goes with it, to the next. Source: contract ws.md §1.2, §5.
pub const SOCKET_TICK_MS: u64 = 30_000;
/// Pings in a row that a peer may leave unanswered; at the next tick it counts as dead and is cut off. The terminal of
/// OpenClaw 2026.4.29 answers nothing for its first 30 to 80 seconds, while it reads its plugins.
pub const SOCKET_PINGS_UNANSWERED: u8 = 3;
/// From our close frame to the peer's; then the connection is dropped.
pub const SOCKET_CLOSE_SECS: Duration = Duration::from_secs(2);

// api: text.

/// Room for a log line of usual length, in bytes; a longer one takes more.
pub const LOG_LINE_BYTES: usize = 192;
/// A value in a log line, in bytes before escaping; the rest is cut.
pub const LOG_VALUE_BYTES: usize = 200;
/// The window that logged refusals are counted over.
pub const LOG_WINDOW: Duration = Duration::from_secs(1);
/// Refusals logged in one [`LOG_WINDOW`]; the rest is counted and said with the next.
pub const LOG_REFUSALS: u32 = 20;
/// A channel or account name taken from a field, in bytes; a longer one counts as absent.
pub const CONTEXT_BYTES_MAX: usize = 256;
/// A session key, in bytes; a longer one gets 400.
pub const SESSION_KEY_BYTES_MAX: usize = 512;
/// A tool's name in an answer, in characters; the rest is cut.
pub const TOOL_NAME_CHARS_MAX: usize = 128;

// api: calls with an `idempotencyKey`.

/// From a call's end: how long the same key with the same body gets the same answer; then the call runs anew.
/// Source: contract http.md, how to read this, item 3.
pub const REPLAY_SECS: Duration = Duration::from_secs(300);
/// Calls remembered by their key; beyond it the one that began first is forgotten.
pub const REPLAY_ENTRIES: usize = 64;
/// What the remembered calls said, in bytes over all of them; beyond it the one that began first is forgotten. Sent,
/// an answer is more than twice as long as what is kept of it, so this is a mebibyte of answers.
pub const REPLAY_BYTES: usize = 512 * KIB;
/// An `idempotencyKey`, in bytes; a longer one gets 400.
pub const REPLAY_KEY_BYTES_MAX: usize = 256;

// api: what comes over a socket.

/// Faults of one request's parameters that its answer names; the rest is not said.
pub const PARAM_FAULTS: usize = 8;
/// Items of a list of texts in a request's parameters; beyond it the request is refused.
pub const PARAM_ITEMS: usize = 128;
/// Characters of a text in a request's parameters that names no smaller bound; beyond it the request is refused.
pub const PARAM_CHARS: usize = 4_096;
/// Clients that presence tells of; beyond it one that has left makes room, else the one heard of longest ago.
pub const PRESENCE_ENTRIES: usize = 32;
/// One text of a client in presence, in bytes; the rest is cut.
pub const PRESENCE_TEXT_BYTES: usize = 64;
/// The description of a client in presence, in bytes; the rest is cut.
pub const PRESENCE_ABOUT_BYTES: usize = 128;
/// Roles, scopes and tags of a client in presence, in bytes over all of them, each with what it takes besides its
/// letters ([`PRESENCE_ITEM_BYTES`]); those that do not fit are left out.
pub const PRESENCE_LISTS_BYTES: usize = 256;
/// What an item of a list takes in memory besides its letters, in bytes.
pub const PRESENCE_ITEM_BYTES: usize = 16;
/// Milliseconds that presence still tells of a client that has left. Source: contract ws.md §4.3.
pub const PRESENCE_TTL_MS: i64 = 300_000;
/// Lines that `logs.tail` gives unless asked otherwise. Source: contract ws.md §4.10.
pub const LOGS_LINES_DEFAULT: u32 = 500;
/// The most lines that `logs.tail` may be asked for. Source: contract ws.md §4.10.
pub const LOGS_LINES_CEILING: u32 = 5_000;
/// Bytes of lines that `logs.tail` gives unless asked otherwise. Source: contract ws.md §4.10.
pub const LOGS_BYTES_DEFAULT: u32 = 250_000;
/// The most bytes of lines that `logs.tail` may be asked for. Source: contract ws.md §4.10.
pub const LOGS_BYTES_CEILING: u32 = 1_000_000;
/// Sessions that `health` and `status` name, the latest used; the rest is counted only.
pub const SESSIONS_RECENT: usize = 5;

// api: sockets.

/// Bytes that the upgrade's fields claim (host, origin, hops, user, scopes), kept until `connect`; beyond it 431 and close.
pub const SOCKET_CLAIMS_BYTES: usize = 2 * KIB;
/// The room that JSON of ours begins with beyond the size of what it carries, in bytes; beyond it the room grows. Most
/// frames fit without a carried payload.
pub const JSON_ROOM_BYTES: usize = 256;
/// A request's `id`, in bytes as sent; a longer one gets an error with the id `invalid`. Real ones have 40.
pub const SOCKET_ID_BYTES: usize = 256;
/// The scopes that one `connect` asks for, in bytes over all of them; beyond it the parameters are invalid. The six
/// that exist have 105.
pub const SOCKET_SCOPES_BYTES: usize = 512;
/// A device's key as text (base64, or PEM), in bytes; a longer one is no key.
pub const DEVICE_KEY_BYTES: usize = 256;
/// How far the time in a device's signature may be from ours, in milliseconds; beyond it the signature is expired.
/// Source: contract ws.md §2.6.
pub const DEVICE_SKEW_MS: u64 = 120_000;
/// Calls in a row that are the other role's before a socket is closed 1008. Source: contract ws.md §1.5.
pub const SOCKET_STRIKES: u8 = 11;

// serve: what the gateway remembers of itself.

/// Events remembered (calls, refusals, reloads); beyond it the oldest is forgotten.
pub const AUDIT_LINES: usize = 256;
/// One remembered event, in bytes; the rest is cut.
pub const AUDIT_LINE_BYTES: usize = 256;
/// Findings of a refused reload that are remembered; the log has them all.
pub const RELOAD_FINDINGS: usize = 32;

// files.

/// A file holding a secret, in bytes.
pub const SECRET_FILE_BYTES: u64 = 4 * KIB as u64;
/// Random bytes of a generated token; it is written as twice as many hexadecimal digits. Source: contract http.md §2.2.
pub const TOKEN_BYTES: usize = 24;
/// Random bytes of the gateway's own key, an ed25519 seed; they are kept as twice as many hexadecimal digits.
pub const IDENTITY_BYTES: usize = 32;

// gate: failed attempts.

/// Failed attempts of one source within [`AUTH_WINDOW_MS_DEFAULT`] that lock it, unless configured; beyond: 429.
/// Source: contract http.md §2.6.
pub const AUTH_ATTEMPTS_DEFAULT: u32 = 10;
/// The most a configuration may allow one source; a larger number means this one. Below
/// [`AUTH_FAILURES_PER_WINDOW_MAX`], so that one source is locked before it uses up everybody's share.
pub const AUTH_ATTEMPTS_MAX: u32 = 100;
/// Failed attempts of all sources together within one window; beyond: 429 for every source that is not exempt, until
/// the oldest has left the window. Thirty sources may use up their ten attempts in a minute; a guesser with any number
/// of addresses makes five guesses a second. Also the size of the table of failures.
pub const AUTH_FAILURES_PER_WINDOW_MAX: usize = 300;
/// Sources locked at the same time; beyond: the oldest lock is dropped. Source: edge.md §5, token brute force.
pub const AUTH_LOCKS_MAX: usize = 1_024;
/// Characters of an agent or account id; beyond: cut off. Source: contract http.md §3.2.
pub const AGENT_ID_CHARS_MAX: usize = 64;
/// Milliseconds over which failed attempts are counted, unless configured. Source: contract http.md §2.6.
pub const AUTH_WINDOW_MS_DEFAULT: u32 = 60_000;
/// Milliseconds a locked source stays locked, unless configured. Source: contract http.md §2.6.
pub const AUTH_LOCKOUT_MS_DEFAULT: u32 = 300_000;

// config: the document.

/// Bytes of one configuration text; a larger one is refused unread, because its tree takes up to thirty times its
/// size while it is checked. Source: real configurations have 2 to 50 KB.
pub const CONFIG_BYTES_MAX: usize = 262_144;
/// Levels of nesting in one configuration text; a deeper one is refused before it is parsed, because the parser
/// recurses. Source: DESIGN §4; the deepest served key has ten.
pub const CONFIG_DEPTH_MAX: usize = 64;
/// Bytes that `${NAME}` may put into one configuration in all; beyond them values are kept unexpanded and refused.
pub const CONFIG_EXPANDED_BYTES_MAX: usize = 262_144;
/// Characters of a key or a value quoted in one finding; the rest is cut.
pub const FINDING_QUOTE_CHARS_MAX: usize = 64;
/// Keys named in one finding about a section that is not served; the rest is summed up in an ellipsis.
pub const FINDING_NAMES_MAX: usize = 100;

/// The TCP port without `gateway.port`. Source: contract http.md §2.9.
pub const PORT_DEFAULT: u16 = 18_789;

/// The TCP port of an MQTT broker without one in `tools.device.mqtt_publish.broker`. Source: IANA.
pub const MQTT_PORT_DEFAULT: u16 = 1_883;

/// Milliseconds from upgrade to a finished handshake without `gateway.handshakeTimeoutMs`; then the socket closes.
/// Source: contract http.md §3.4.
pub const HANDSHAKE_MS_DEFAULT: u32 = 15_000;
/// The least that `gateway.handshakeTimeoutMs` may say.
pub const HANDSHAKE_MS_FLOOR: u32 = 100;
/// The most that `gateway.handshakeTimeoutMs` may say: unadmitted sockets hold memory.
pub const HANDSHAKE_MS_CEILING: u32 = 120_000;

/// The most milliseconds that a window or a lock may be configured to: one day.
pub const AUTH_MS_CEILING: u32 = 86_400_000;

/// Levels of subagents without `agents.defaults.subagents.maxSpawnDepth`. Source: contract http.md §4.6.
pub const SPAWN_DEPTH_DEFAULT: u32 = 1;
/// The most levels of subagents that may be configured, as in the reference.
pub const SPAWN_DEPTH_CEILING: u32 = 5;

// cli: the client of `toolgate call`.

/// From the first packet to an open connection.
pub const CLIENT_CONNECT_SECS: Duration = Duration::from_secs(10);
/// The longest silence of a gateway before it counts as gone; longer than a call may take.
pub const CLIENT_SECS: Duration = Duration::from_secs(60);
/// The longest silence of a gateway that `toolgate doctor` bears; then it says so.
pub const DOCTOR_PATIENCE: Duration = Duration::from_millis(400);
/// How much older than its file what the gateway read may be before `toolgate doctor` warns; clocks and file systems round.
pub const CONFIG_SLACK_SECS: u64 = 2;
/// When this device's key on the tailnet expires within this many milliseconds, `toolgate doctor` warns: a fortnight.
pub const KEY_EXPIRY_SOON_MS: i64 = 1_209_600_000;
/// A secret of fewer bytes can be guessed: `toolgate doctor` warns.
pub const SECRET_BYTES_SHORT: usize = 16;
/// A device with less memory than this, in kibibytes as the kernel counts: `toolgate doctor` names the bounds to lower.
pub const DEVICE_MEMORY_SMALL: u64 = 65_536;
/// The longest answer that is read, in bytes.
pub const CLIENT_ANSWER_BYTES: u64 = 16 * MIB as u64;

// The tailnet: what is waited for, and what tailscaled is asked.

/// Rest after the kernel tells of a change of interfaces; what follows within it is looked at once.
pub const INTERFACES_REST: Duration = Duration::from_millis(100);
/// Time until a listener on the tailnet that could not be opened is tried again.
pub const TAILNET_RETRY_SECS: Duration = Duration::from_secs(5);
/// How long what tailscaled said of a peer or of this device holds. Source: edge.md §4 item 4.
pub const WHOIS_SECS: Duration = Duration::from_secs(60);
/// How long its silence holds, or that it does not know a peer: short, so that a new peer need not wait.
pub const WHOIS_FAILED_SECS: Duration = Duration::from_secs(5);
/// Peers of the tailnet that are remembered; the one not asked for longest goes. A megabyte at most ([`WHO_BYTES`] each), which
/// only a tailnet whose own policy is that long takes. Source: edge.md §4 item 4.
pub const WHOIS_ENTRIES: usize = 256;
/// Questions to tailscaled at once; further ones wait their turn.
pub const LOOKUPS: usize = 4;

const _: () = {
    // What connections may hold together with the program stays below the promise.
    let connections = CONNECTIONS_DEFAULT * HEAD_BYTES_MAX;
    let answers = ANSWER_POOL_BYTES + REPLAY_BYTES;
    // A call holds both streams of its program, and what it makes of them.
    let calls = CALLS_DEFAULT * (2 * OUTPUT_BYTES_DEFAULT + TOOL_RESULT_BYTES);
    assert!(PROGRAM_BYTES + connections + BODY_POOL_BYTES_DEFAULT + answers + calls <= PROMISE_BYTES);
    // Every call that runs finds a place in the table of keys, and its result fits there.
    assert!(CALLS_CEILING <= REPLAY_ENTRIES && TOOL_RESULT_BYTES < REPLAY_BYTES);
    // What is remembered of events is small beside the program's own tables.
    assert!(AUDIT_LINES * AUDIT_LINE_BYTES <= 64 * KIB && LOG_VALUE_BYTES < AUDIT_LINE_BYTES);
    // Presence is small too: a client has ten texts, a description and three lists.
    let client = 10 * PRESENCE_TEXT_BYTES + PRESENCE_ABOUT_BYTES + PRESENCE_LISTS_BYTES;
    assert!(PRESENCE_ENTRIES * client <= 32 * KIB);
    assert!(LOGS_LINES_DEFAULT <= LOGS_LINES_CEILING && LOGS_BYTES_DEFAULT <= LOGS_BYTES_CEILING);
    // A body fits the pool, a head fits the read buffer, and u16 positions reach every byte of a head.
    assert!(
        BODY_BYTES_MAX <= BODY_POOL_BYTES_FLOOR && HEAD_BYTES_MAX <= READ_BYTES && HEAD_BYTES_MAX < u16::MAX as usize
    );
    assert!(BODY_FREE_BYTES <= HEAD_BYTES_MAX && ANSWER_FREE_BYTES <= HEAD_BYTES_MAX);
    // A socket's message and frames stand where a request's head stood; what it may ask and queue fits the pools.
    assert!(SOCKET_FREE_BYTES + SOCKET_PACE_BYTES <= HEAD_BYTES_MAX && SOCKET_PACE_BYTES <= ANSWER_FREE_BYTES);
    assert!(
        SOCKET_HELLO_BYTES <= SOCKET_MESSAGE_BYTES_DEFAULT && SOCKET_MESSAGE_BYTES_DEFAULT <= BODY_POOL_BYTES_FLOOR
    );
    assert!(SOCKET_MESSAGE_BYTES_DEFAULT <= SOCKET_MESSAGE_BYTES_CEILING && SOCKET_QUEUE_BYTES <= ANSWER_POOL_BYTES);
    assert!(SOCKET_PACE_BYTES <= SOCKET_EVENTS_BYTES && SOCKET_EVENTS_BYTES < SOCKET_QUEUE_BYTES);
    assert!(DRAIN_BYTES_MAX > BODY_BYTES_MAX as u64);
    // Floors, defaults and ceilings stand in that order.
    assert!(CONNECTIONS_PER_PEER_DEFAULT < CONNECTIONS_DEFAULT && CONNECTIONS_DEFAULT <= CONNECTIONS_CEILING);
    assert!(BODY_POOL_BYTES_FLOOR <= BODY_POOL_BYTES_DEFAULT && BODY_POOL_BYTES_DEFAULT <= BODY_POOL_BYTES_CEILING);
    assert!(CALLS_DEFAULT <= CALLS_CEILING && TOOL_RESULT_BYTES_FLOOR <= TOOL_RESULT_BYTES);
    assert!(HANDSHAKE_MS_FLOOR <= HANDSHAKE_MS_DEFAULT && HANDSHAKE_MS_DEFAULT <= HANDSHAKE_MS_CEILING);
    assert!(AUTH_ATTEMPTS_DEFAULT <= AUTH_ATTEMPTS_MAX && (AUTH_ATTEMPTS_MAX as usize) < AUTH_FAILURES_PER_WINDOW_MAX);
    assert!(AUTH_WINDOW_MS_DEFAULT <= AUTH_MS_CEILING && AUTH_LOCKOUT_MS_DEFAULT <= AUTH_MS_CEILING);
    assert!(SPAWN_DEPTH_DEFAULT <= SPAWN_DEPTH_CEILING && WHOIS_ENTRIES * WHO_BYTES <= MIB);
    // A jump reaches every instruction of a pattern.
    assert!(PATTERN_CHARS_MAX <= PATTERN_STEPS_MAX && PATTERN_STEPS_MAX < i16::MAX as usize);
    // A child may compute for as long as a call lasts, and one turn of the loop takes no more of it than a pipe holds.
    assert!(CHILD_CPU_SECS >= CALL_SECS.as_secs() && CHILD_PIECES * CHILD_READ_BYTES <= 64 * KIB);
    assert!(LOG_TAIL_BLOCK_BYTES <= LOG_TAIL_BYTES && FILE_READ_BYTES_DEFAULT <= FILE_READ_BYTES_CEILING as usize);
    assert!(MOUNT_THREADS_STUCK < MOUNT_THREADS && TOOL_VALUE_BYTES <= TOOL_FILE_BYTES);
};
