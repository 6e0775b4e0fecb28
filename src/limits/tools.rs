//! What tools may take of time, memory and patience. The relations to other limits are asserted in the file above.

use std::time::Duration;

use super::{KIB, MIB, TOOL_RESULT_BYTES};

// tool: what tools read and remember.

/// Bytes of one file under /proc, /sys, /etc, /run read by a tool, per read. The rest is not read.
/// The files read so are a page or two long; only the fallbacks for the routing socket grow with a routing table.
pub const TOOL_FILE_BYTES: usize = 65_536;
/// Bytes of the mount table, per read: some 2 000 lines. What is behind them is not seen, `truncated: true`.
pub const MOUNT_TABLE_BYTES: usize = 262_144;
/// Bytes of a file that holds one value (a sysfs attribute), per read: a sysfs attribute is one page at most.
pub const TOOL_VALUE_BYTES: usize = 4_096;
/// Entries of one directory a tool looks at, per listing. The rest is not seen.
pub const TOOL_DIR_ENTRIES: usize = 512;
/// Items of one list in a result (mounts, interfaces, sensors, disks). Beyond it the list is cut, `truncated: true`.
pub const TOOL_LIST_ITEMS: usize = 64;
/// Addresses shown per network interface. Beyond it the list is cut, `truncated: true`.
pub const TOOL_ADDRS_PER_INTERFACE: usize = 16;
/// Rows about other devices in a result (neighbours, leases). Beyond it the list is cut, `truncated: true`.
pub const TOOL_ROWS: usize = 256;
/// Characters of a text argument when its schema names no smaller bound. Beyond it the value is refused.
pub const TOOL_TEXT_CHARS: usize = 4_096;
/// Bytes of a raw object argument when its schema names no smaller bound. Beyond it the value is refused.
pub const TOOL_OBJECT_BYTES: usize = 65_536;
/// Characters of a caller's argument name repeated in an error message. The rest is cut.
pub const TOOL_NAME_ECHO_CHARS: usize = 64;
/// Characters of one `pattern` of a declared tool's parameter; a longer one is an error of the configuration.
pub const PATTERN_CHARS_MAX: usize = 512;
/// Instructions that one `pattern` becomes once its counts are written out; beyond it an error of the configuration. A
/// text is matched in at most this many steps per character, and in memory that grows with this number alone.
pub const PATTERN_STEPS_MAX: usize = 4_096;
/// Groups of one `pattern` inside each other; a deeper one is an error of the configuration.
pub const PATTERN_DEPTH_MAX: usize = 32;
/// Milliseconds one mount may take to answer statvfs before it is reported `stale`. A local disk answers in
/// microseconds, an NFS server across a home network in 2; a dead one never.
pub const MOUNT_MILLIS: u64 = 1_000;
/// Threads that ask mounts, over the whole process. Beyond it mounts are reported `stale` without asking.
pub const MOUNT_THREADS: usize = 3;
/// Of [`MOUNT_THREADS`], those that may hang on network file systems for ever; the rest stay for local ones.
pub const MOUNT_THREADS_STUCK: usize = 2;
/// Milliseconds the kernel may take for other questions that can hang (interfaces, files, GPIO). Beyond it the call fails.
pub const ASIDE_MILLIS: u64 = 2_000;
/// Threads that wait for such answers, over the whole process, of each of three kinds: about the network, about files
/// and machines that the operator named, about GPIO. Beyond it a call waits for one, then fails.
pub const ASIDE_THREADS: usize = 2;
/// Bytes of stack of the threads above: a system call, a path, a channel. The C libraries want 16 KiB at least.
pub const ASIDE_STACK_BYTES: usize = 65_536;
/// Bytes of one read from a routing socket. The kernel fills at most 32 KiB per read. Source: rtnetlink(7).
pub const NETLINK_BYTES: usize = 32_768;
/// Reads from a routing socket per question (about 20 000 routes); beyond it the answer is given up and files are read instead.
pub const NETLINK_READS: usize = 64;
/// Entries that `file_list` gives unless asked otherwise.
pub const FILE_LIST_DEFAULT: usize = 200;
/// The most entries that `file_list` may be asked for. Beyond it the argument is refused.
pub const FILE_LIST_CEILING: i64 = 1_000;
/// Names of one directory that `file_list` looks at; of these the first by name are kept. The rest is not seen,
/// `truncated: true`.
pub const FILE_LIST_SEEN: usize = 65_536;
/// Bytes of a file that `file_read` gives unless asked otherwise.
pub const FILE_READ_BYTES_DEFAULT: usize = 64 * KIB;
/// The most bytes that `file_read` may be asked for; an answer still holds no more than a tool's result may.
pub const FILE_READ_BYTES_CEILING: i64 = 262_144;
/// Lines that `log_tail` gives unless asked otherwise.
pub const LOG_TAIL_LINES_DEFAULT: usize = 100;
/// The most lines that `log_tail` may be asked for. Beyond it the argument is refused.
pub const LOG_TAIL_LINES_CEILING: usize = 1_000;
/// Seconds back that `log_tail` may be asked for at most: a week. Beyond it the argument is refused.
pub const LOG_TAIL_SINCE_S: i64 = 604_800;
/// Bytes at the end of a log file that are read first; each further block is four times as long.
pub const LOG_TAIL_BLOCK_BYTES: usize = 16 * KIB;
/// Bytes at the end of a log file that are read at most. Lines before them are left out, `truncated: true`.
pub const LOG_TAIL_BYTES: usize = 256 * KIB;
/// One line of a log, in bytes before escaping; the rest is cut.
pub const LOG_TAIL_LINE_BYTES: usize = 2 * KIB;
/// Magic packets that `wake_on_lan` sends, because a broadcast is lost more easily than other packets.
pub const WAKE_PACKETS: u32 = 3;
/// From one magic packet to the next.
pub const WAKE_STEP: Duration = Duration::from_millis(50);
/// From the connection to the broker to its last answer; then `mqtt_publish` fails.
pub const MQTT_SECS: Duration = Duration::from_secs(10);
/// Characters of an MQTT message. Beyond it the argument is refused.
pub const MQTT_PAYLOAD_CHARS: usize = 65_536;
/// GPIO chips that are looked at for a label, by number. Chips with higher numbers are not seen.
pub const GPIO_CHIPS: usize = 64;
/// Lines of one GPIO chip that are looked at for a name. Lines behind them are not seen.
pub const GPIO_LINES: u32 = 1_024;
/// GPIO outputs that stay in the gateway's possession; one more is refused.
pub const GPIO_HELD: usize = 64;
/// The longest pulse, in milliseconds. Beyond it the argument is refused.
pub const GPIO_PULSE_MS: i64 = 60_000;
/// How often a line that does not go to rest at the end of a pulse is told again; then the log says so.
pub const GPIO_PULSE_TRIES: u32 = 30;
/// From one such attempt to the next.
pub const GPIO_PULSE_REST: Duration = Duration::from_secs(1);

// tool: what operators declare.

/// Milliseconds that one call of a declared tool may take, unless configured; then its program is ended, or its service given up.
pub const CALL_MS_DEFAULT: u32 = 10_000;
/// The most milliseconds that `timeoutMs` and `minIntervalMs` may say: an hour. Whatever takes longer is a service, not a call.
pub const CALL_MS_CEILING: u32 = 3_600_000;
/// Calls of one declared tool that run at once, unless configured; further ones wait. Most commands are not written for company.
pub const TOOL_CALLS: usize = 1;
/// Calls of one built-in tool of tier probe and above that run at once; `CALLS_WAITING` wait, further ones get 429.
pub const PROBE_CALLS: usize = 2;
/// Calls of one declared tool that wait for their turn, unless configured; beyond it 429.
pub const TOOL_CALLS_WAITING: usize = 4;
/// The most that `queue` may say.
pub const TOOL_CALLS_WAITING_CEILING: usize = 64;
/// Calls of all tools together that wait when as many as may run do; beyond it 429.
pub const CALLS_WAITING: usize = 16;
/// From a call's coming to its turn, all queues together; then 429.
pub const TURN_SECS: Duration = Duration::from_secs(30);
/// Bytes kept of each output stream of a command or of the answer of a service, unless configured; the rest is counted and dropped.
pub const OUTPUT_BYTES_DEFAULT: usize = 32 * KIB;
/// The most that `maxOutputBytes` may say: no result holds more.
pub const OUTPUT_BYTES_CEILING: usize = TOOL_RESULT_BYTES;
/// What a result of a declared tool says besides output, in bytes of JSON.
pub const RESULT_FRAME_BYTES: usize = 512;
/// Characters of a text argument of a declared tool, unless configured; a longer one is refused.
pub const VALUE_CHARS_DEFAULT: usize = 1_000;
/// The most that `maxLength` may say. The kernel takes 128 KiB in one argument; a character has four bytes at most.
pub const VALUE_CHARS_CEILING: usize = 16_000;
/// A number in an argument of a declared tool, in bytes; a longer one is refused.
pub const NUMBER_BYTES: usize = 64;
/// Parameters of one declared tool; more are a mistake in the configuration.
pub const FIELDS_DECLARED: usize = 32;
/// Tools that one configuration may declare; more are a mistake in it.
pub const TOOLS_DECLARED: usize = 256;
/// Words of one command line, its program among them; more are a mistake in the configuration.
pub const ARGV_WORDS: usize = 64;
/// The least that `limits.memoryBytes` may say: below it no program starts.
pub const CHILD_MEMORY_FLOOR: u64 = 4 * MIB as u64;
/// The most that limits in seconds or pieces may say.
pub const CHILD_LIMIT_CEILING: u64 = 100_000;
/// The most that limits in bytes may say.
pub const CHILD_BYTES_CEILING: u64 = 1024 * 1024 * MIB as u64;

/// Bytes kept of what the service manager says; the state of some hundred services. The rest is dropped from the middle.
pub const MANAGER_OUTPUT_BYTES: usize = 64 * KIB;
/// Seconds that the service manager may take for one question, a restart included; then the call fails softly.
pub const MANAGER_SECS: u64 = 25;
/// Milliseconds since boot before which `device_reboot` refuses: whoever asks in a loop must not keep a device from coming up.
pub const REBOOT_REST_MS: i64 = 600_000;

// tool: sessions.

/// Sessions the gateway remembers. Beyond it the one used longest ago is forgotten.
pub const SESSIONS: usize = 64;
/// Calls remembered per session. Beyond it the oldest is forgotten.
pub const SESSION_CALLS: usize = 32;
/// Messages per row that `sessions_list` gives at most, whatever the caller asks. Source: the reference's own cap.
pub const SESSION_LIST_MESSAGES: usize = 20;

// tool: what tools ask of the network.

/// Bytes of a result set aside for what is not in its list or its text.
pub const TOOL_ANSWER_ROOM: usize = 256;
/// Datagrams passed over per question because they answer another one; beyond it the question is given up or asked
/// over TCP.
pub const DATAGRAM_STRAYS: usize = 16;
/// Rounds over all name servers per question, unless `/etc/resolv.conf` says otherwise; then there is no answer.
pub const DNS_ATTEMPTS: usize = 2;
/// The most rounds that `/etc/resolv.conf` may ask for. Source: resolv.conf(5).
pub const DNS_ATTEMPTS_MAX: usize = 5;
/// One answer of a name server, in bytes; a longer one counts as none.
pub const DNS_BYTES: usize = 8 * KIB;
/// Other names that one name leads to in an answer; beyond it the name has no address.
pub const DNS_CHAIN: usize = 8;
/// Domains of `/etc/resolv.conf` that short names are tried in; the rest is not tried.
pub const DNS_DOMAINS: usize = 4;
/// The most dots that `/etc/resolv.conf` may ask of a name that is not short. Source: resolv.conf(5).
pub const DNS_NDOTS_MAX: usize = 15;
/// Records read of one answer; the rest is not read.
pub const DNS_RECORDS: usize = 64;
/// Name servers of `/etc/resolv.conf` that are asked; the rest is not. Source: resolv.conf(5).
pub const DNS_SERVERS: usize = 3;
/// Seconds that one name server has for an answer, unless `/etc/resolv.conf` says otherwise; then the next is asked.
pub const DNS_TIMEOUT_SECS: u64 = 5;
/// The most seconds that `/etc/resolv.conf` may give one name server. Source: resolv.conf(5).
pub const DNS_TIMEOUT_MAX: u64 = 30;
/// Addresses of one name that are judged and tried; the rest is not.
pub const RESOLVED_ADDRS: usize = 8;
/// Bytes of content that `http_fetch` keeps unless asked otherwise; beyond it the answer is cut. Source: edge.md §3.
pub const FETCH_BYTES: i64 = 65_536;
/// The most bytes that `http_fetch` may be asked for; a result holds less unless configured. Source: edge.md §3.
pub const FETCH_BYTES_CEILING: i64 = 1_048_576;
/// Headers that a caller of `http_fetch` may add; beyond it the call is refused. Source: edge.md §3.
pub const FETCH_FIELDS: usize = 16;
/// One such header, in characters; beyond it the call is refused. Source: edge.md §3.
pub const FETCH_FIELD_CHARS: usize = 1_024;
/// The URL of `http_fetch`, in characters; beyond it the call is refused. Source: edge.md §3.
pub const FETCH_URL_CHARS: usize = 2_048;
/// Bytes of one read from a server that a tool asks.
pub const FETCH_READ_BYTES: usize = 4 * KIB;
/// Redirects followed, to the same host and port only; the next one is the answer.
pub const FETCH_REDIRECTS: usize = 3;

// tool: what tailscaled is asked.

/// From the question to the end of tailscaled's answer; then it counts as none, and whoever was asked for as unknown.
pub const LOCAL_API_SECS: Duration = Duration::from_secs(1);
/// One answer of tailscaled, in bytes; a longer one counts as none. What it says of one node takes some 5 KiB.
pub const LOCAL_API_BYTES: usize = 64 * KIB;
/// The same with all nodes of the tailnet, some 200: a node takes 1.3 KiB.
pub const LOCAL_API_PEERS_BYTES: usize = 256 * KIB;
/// What is kept of one node (name, login, tags, capabilities, tools), in bytes over all its texts, each with what it takes
/// besides its letters ([`WHO_ITEM_BYTES`]). A node of which there is more counts as unknown: part of it would be another.
pub const WHO_BYTES: usize = 4 * KIB;
/// What such a text takes in memory besides its letters, in bytes.
pub const WHO_ITEM_BYTES: usize = 32;
/// One such text, in bytes; with a longer one the node counts as unknown.
pub const WHO_TEXT_BYTES: usize = 256;
/// Addresses of one node of the tailnet; this device with more counts as unknown, of others the rest is not shown.
pub const TAILSCALE_IPS: usize = 8;
/// Complaints of tailscaled that are kept; the rest is not shown.
pub const TAILSCALE_HEALTH: usize = 16;

// tool: child processes.

/// From the SIGTERM that asks a child to end, at its deadline or when its caller is gone, to SIGKILL.
pub const CHILD_GRACE: Duration = Duration::from_secs(2);
/// From SIGKILL on: how long the end of a child is waited for. Beyond it the call ends without it, and the child is left
/// to the kernel, which must be holding it (a dead NFS server).
pub const CHILD_REAP: Duration = Duration::from_secs(2);
/// One piece of a child's output, in bytes. Longer output comes in more of them.
pub const CHILD_READ_BYTES: usize = 8 * KIB;
/// Pieces taken from a stream of a child, or given to it, in one turn of the loop. Beyond it everybody else has a turn.
pub const CHILD_PIECES: usize = 8;
/// Bytes that are still taken from a stream when its child has ended: the most that the kernel lets a pipe hold. The
/// rest, which something the child left behind is printing, is not read. Source: pipe(7).
pub const CHILD_DRAIN_BYTES: usize = MIB;
/// Bytes of stack of a child before its program runs: some twenty system calls.
pub const CHILD_STACK_BYTES: usize = 32 * KIB;
/// Seconds of processor time of a child unless configured, each of its own children counted for itself. Beyond it
/// SIGXCPU, a second later SIGKILL. As long as a call may take.
pub const CHILD_CPU_SECS: u64 = 30;
/// Bytes of address space of a child unless configured. Beyond it there is no more memory for it. A shell takes a
/// hundredth, Python a quarter; what reserves far more than it uses (Go, Node.js) needs a larger number.
pub const CHILD_ADDRESS_BYTES: u64 = 256 * MIB as u64;
/// Bytes of a file that a child may write unless configured. Beyond it SIGXFSZ. /tmp of a small router has 32 MiB, and it
/// is memory.
pub const CHILD_FILE_BYTES: u64 = 16 * MIB as u64;
/// Processes and threads of the user that a child runs as, over the whole system, unless configured. Beyond it nothing
/// more starts; the kernel asks no such limit of root.
pub const CHILD_PROCESSES: u64 = 128;
/// Open descriptors of a child unless configured. Beyond it nothing more opens.
pub const CHILD_OPEN_FILES: u64 = 256;
/// How long what a finished call left behind is being ended. Beyond it that is left alone, with a line in the log: it has
/// SIGKILL, but the kernel holds it.
pub const ORPHAN_SECS: Duration = Duration::from_secs(5);
/// From one look at it to the next; twice as long after each that showed nothing new, up to [`ORPHAN_STEP_MAX`].
pub const ORPHAN_STEP: Duration = Duration::from_millis(4);
/// The longest time between two such looks.
pub const ORPHAN_STEP_MAX: Duration = Duration::from_millis(64);
