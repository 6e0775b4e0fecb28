//! Names of the reference's configuration that this gateway knows and does not serve. Pure.
//!
//! They exist so that an existing configuration loads: each section that holds one gets one warning, and nothing
//! below such a name is read. Source: contract http.md §2.1, §6.2 and the reference's shipped schema (4.29 and 9.6).

use super::nearest::nearest;

/// Sections of the reference by the object they stand in, names parted by spaces.
static FOREIGN: &[(&str, &str)] = &[
    (
        "",
        "meta env wizard diagnostics logging cli crestodian update browser ui secrets auth acp models nodeHost \
         bindings broadcast audio media messages commands approvals cron commitments hooks web discovery canvasHost \
         talk memory mcp skills plugins surfaces proxy",
    ),
    (
        "gateway",
        "channelHealthCheckMinutes channelStaleEventThresholdMinutes channelMaxRestartsPerHour nodes push reload \
         remote webchat",
    ),
    ("gateway.auth", "allowTailscale"),
    (
        "gateway.controlUi",
        "allowExternalEmbedUrls allowInsecureAuth basePath dangerouslyDisableDeviceAuth embedSandbox enabled root",
    ),
    ("gateway.http", "endpoints"),
    ("gateway.tailscale", "resetOnExit serviceName preserveFunnel"),
    ("gateway.tls", "autoGenerate caPath certPath keyPath"),
    (
        "tools",
        "agentToAgent codeMode elevated exec experimental fs links loopDetection media message sandbox sessions \
         sessions_spawn swarm toolSearch toolsBySender web",
    ),
    ("agents.list[].tools", "codeMode elevated exec fs loopDetection message sandbox swarm toolsBySender"),
    (
        "agents.defaults",
        "additionalSystemPrompt agentRuntime blockStreamingBreak blockStreamingChunk blockStreamingCoalesce \
         blockStreamingDefault bootstrapMaxChars bootstrapPromptTruncationWarning bootstrapTotalMaxChars cliBackends \
         compaction contextInjection contextLimits contextPruning contextTokens elevatedDefault embeddedAgent \
         embeddedPi envelopeElapsed envelopeTimestamp envelopeTimezone experimental fastModeDefault groupChat \
         heartbeat humanDelay imageGenerationModel imageMaxDimensionPx imageModel llm maxConcurrent \
         mediaGenerationAutoProviderFallback mediaMaxMb memory memorySearch modelPolicy models musicGenerationModel \
         params pdfMaxBytesMb pdfMaxPages pdfModel promptOverlays reasoningDefault repoRoot runRetries sandbox \
         silentReply silentReplyRewrite skills skillsLimits skipBootstrap skipOptionalBootstrapFiles startupContext \
         systemPromptOverride thinkingDefault timeFormat timeoutSeconds toolProgressDetail tts typingIntervalSeconds \
         typingMode userTimezone utilityModel verboseDefault videoGenerationModel voiceModel workspace",
    ),
    (
        "agents.defaults.subagents",
        "allowAgents announceTimeoutMs archiveAfterMinutes delegationMode maxChildrenPerAgent maxConcurrent model \
         requireAgentId runTimeoutSeconds thinking",
    ),
    (
        "agents.list[]",
        "agentDir agentRuntime bootstrapMaxChars bootstrapTotalMaxChars contextInjection contextLimits contextTokens \
         description embeddedAgent embeddedPi experimental fastModeDefault groupChat heartbeat humanDelay identity \
         memory memorySearch modelPolicy models params plugins reasoningDefault runRetries runtime sandbox skills \
         skillsLimits subagents systemPromptOverride thinkingDefault toolProgressDetail tts typingIntervalSeconds \
         typingMode utilityModel verboseDefault workspace",
    ),
    (
        "session",
        "agentToAgent dmScope identityLinks idleMinutes maintenance maxRecentTurns parentForkMaxTokens reset \
         resetByChannel resetByType resetTriggers sendPolicy store threadBindings transcriptRetentionDays \
         typingIntervalSeconds typingMode writeLock",
    ),
    ("channels", "defaults modelByChannel"),
];

/// The reference's message channels, bundled and documented ones, parted by spaces.
static CHANNELS: &str = "bluebubbles clickclack dingtalk discord feishu googlechat imessage irc line matrix mattermost msteams \
    nextcloud-talk nostr openclaw-weixin qa-channel qqbot raft reef signal slack sms synology-chat telegram tlon \
    twitch voice-call webchat wecom whatsapp yuanbao zalo zalouser";

/// Other spellings of channel ids.
static ALIASES: &[(&str, &str)] = &[
    ("gchat", "googlechat"),
    ("google-chat", "googlechat"),
    ("imsg", "imessage"),
    ("internet-relay-chat", "irc"),
    ("lark", "feishu"),
    ("teams", "msteams"),
    ("wechat", "openclaw-weixin"),
    ("weixin", "openclaw-weixin"),
];

/// The names that the object at `pattern` may hold in the reference and that are not served.
pub(super) fn names(pattern: &str) -> impl Iterator<Item = &'static str> {
    FOREIGN.iter().find(|(own, _)| *own == pattern).map_or("", |(_, names)| names).split_whitespace()
}

/// Whether an object at `pattern` may hold keys that nobody knows here: each channel has its own.
pub(super) fn open(pattern: &str) -> bool {
    matches!(pattern, "channels.*" | "channels.*.groups.*" | "channels.*.accounts.*")
}

/// The channel that a key of `channels` names, in its canonical spelling.
pub(super) fn channel(key: &str) -> Option<&'static str> {
    let key = key.trim().to_ascii_lowercase();
    let id = ALIASES.iter().find(|(alias, _)| *alias == key).map_or(key.as_str(), |(_, id)| id);
    CHANNELS.split_whitespace().find(|known| *known == id)
}

/// The channel whose id is nearest to a misspelt one.
pub(super) fn nearest_channel(key: &str) -> Option<&'static str> {
    nearest(key, &mut CHANNELS.split_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_both_served_and_foreign() {
        for (pattern, names) in FOREIGN {
            for name in names.split_whitespace() {
                let served = super::super::keys::children(pattern).contains(&name);
                assert!(!served, "{pattern} {name}");
            }
        }
    }

    #[test]
    fn channels_by_any_spelling() {
        let check = |key: &str, expected: Option<&str>| assert_eq!(channel(key), expected, "{key:?}");
        check("telegram", Some("telegram"));
        check(" Telegram", Some("telegram"));
        check("gchat", Some("googlechat"));
        check("x", None);
        assert_eq!(nearest_channel("telegarm"), Some("telegram"));
    }
}
