//! The names the reference knows: its groups, profiles, deny lists and tools. Data only.

use super::Profile;

/// Groups and their members. Source: contract http.md §4.4 (4.29).
pub(super) const GROUPS: [(&str, &[&str]); 12] = [
    ("group:fs", &["read", "write", "edit", "apply_patch"]),
    ("group:runtime", &["exec", "process", "code_execution"]),
    ("group:web", &["web_search", "web_fetch", "x_search"]),
    ("group:memory", &["memory_search", "memory_get"]),
    (
        "group:sessions",
        &[
            "sessions_list",
            "sessions_history",
            "sessions_send",
            "sessions_spawn",
            "sessions_yield",
            "subagents",
            "session_status",
        ],
    ),
    ("group:ui", &["browser", "canvas"]),
    ("group:messaging", &["message"]),
    ("group:automation", &["cron", "gateway"]),
    ("group:nodes", &["nodes"]),
    ("group:agents", &["agents_list", "update_plan"]),
    ("group:media", &["image", "image_generate", "music_generate", "video_generate", "tts"]),
    ("group:openclaw", &OPENCLAW),
];

/// `group:plugins` holds the tools of plugins, of which this gateway has none; it is a known name all the same.
pub(super) const PLUGINS: &str = "group:plugins";

const OPENCLAW: [&str; 26] = [
    "code_execution",
    "web_search",
    "web_fetch",
    "x_search",
    "memory_search",
    "memory_get",
    "sessions_list",
    "sessions_history",
    "sessions_send",
    "sessions_spawn",
    "sessions_yield",
    "subagents",
    "session_status",
    "browser",
    "canvas",
    "message",
    "cron",
    "gateway",
    "nodes",
    "agents_list",
    "update_plan",
    "image",
    "image_generate",
    "music_generate",
    "video_generate",
    "tts",
];

const CODING: [&str; 26] = [
    "read",
    "write",
    "edit",
    "apply_patch",
    "exec",
    "process",
    "code_execution",
    "web_search",
    "web_fetch",
    "x_search",
    "memory_search",
    "memory_get",
    "sessions_list",
    "sessions_history",
    "sessions_send",
    "sessions_spawn",
    "sessions_yield",
    "subagents",
    "session_status",
    "cron",
    "update_plan",
    "image",
    "image_generate",
    "music_generate",
    "video_generate",
    "bundle-mcp",
];

const MESSAGING: [&str; 6] =
    ["sessions_list", "sessions_history", "sessions_send", "session_status", "message", "bundle-mcp"];

impl Profile {
    /// What the profile allows; `None` = everything. Source: contract http.md §4.3 (4.29).
    pub fn allow(self) -> Option<&'static [&'static str]> {
        match self {
            Profile::Coding => Some(&CODING),
            Profile::Full => None,
            Profile::Messaging => Some(&MESSAGING),
            Profile::Minimal => Some(&["session_status"]),
        }
    }

    /// The word the configuration uses.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Coding => "coding",
            Profile::Full => "full",
            Profile::Messaging => "messaging",
            Profile::Minimal => "minimal",
        }
    }
}

/// Refused over the network unless `gateway.tools.allow` names them.
///
/// Source: contract http.md §4.7, and "How to read this" on `whatsapp_login`.
pub const HTTP_DENY: [&str; 13] = [
    "exec",
    "spawn",
    "shell",
    "fs_write",
    "fs_delete",
    "fs_move",
    "apply_patch",
    "sessions_spawn",
    "sessions_send",
    "cron",
    "gateway",
    "nodes",
    "whatsapp_login",
];

/// Refused to every subagent. Source: contract http.md §4.6.
pub(super) const SUBAGENT_DENY: [&str; 5] = ["gateway", "agents_list", "session_status", "cron", "sessions_send"];

/// Refused, besides, to a subagent that may have no subagents of its own. Source: contract http.md §4.6.
pub(super) const LEAF_DENY: [&str; 4] = ["subagents", "sessions_list", "sessions_history", "sessions_spawn"];

/// Tools of the reference that only an owner sees. Source: contract http.md §2.8.
pub const OWNER_ONLY: [&str; 3] = ["cron", "gateway", "nodes"];

/// Names the reference knows, now or in 9.6, that stand in none of the lists above. Source: contract http.md §4.3–4.7,
/// §5.1.
const OTHERS: [&str; 32] = [
    "agents_wait",
    "ask_user",
    "automations",
    "computer",
    "conversations_list",
    "conversations_send",
    "conversations_turn",
    "create_goal",
    "dashboard",
    "dismiss_task",
    "get_goal",
    "github_identity_status",
    "github_publish",
    "heartbeat_respond",
    "ls",
    "mobile_ui",
    "openclaw",
    "pdf",
    "plugins",
    "portal",
    "progress_card",
    "screen",
    "secrets",
    "sessions",
    "sessions_search",
    "show_widget",
    "skill_workshop",
    "suggest_task",
    "terminal",
    "theme",
    "update_goal",
    "view_image",
];

/// Every name the reference knows. Source: contract http.md §4.3–4.7, §5.1.
pub(super) fn reference_names<'a>() -> impl Iterator<Item = &'a str> {
    let groups = GROUPS.iter().flat_map(|(_, members)| members.iter());
    groups.chain(&CODING).chain(&MESSAGING).chain(&HTTP_DENY).chain(&OTHERS).copied()
}
