//! Why a `connect` fails → the error, the close and the log's word. One `match` over the gate's denials, no `_`.
//!
//! Source: contract ws.md §1.3, §1.5, §2.5 to §2.7.

use super::connect::{Client, Secrets};
use super::device::Flaw;
use super::frame::Flop;
use super::json::Json;
use crate::gate::Deny;
use crate::gate::auth::Mode;

/// What refuses a client. The close's reason is the error's text.
#[derive(Debug)]
pub(super) struct Refused {
    /// The error.
    pub flop: Flop,
    /// The close code.
    pub close: u16,
    /// The log's word.
    pub word: &'static str,
}

/// `{"code":…}` and another member, if there is one.
fn details(code: &str, other: Option<(&str, &str)>) -> String {
    let mut json = Json::object();
    json.string("code", code);
    if let Some((key, text)) = other {
        json.string(key, text);
    }
    json.close("}").done()
}

impl Refused {
    #[inline(never)]
    fn detailed(message: &str, details: String, word: &'static str) -> Box<Refused> {
        let flop = Flop { details: Some(details), ..Flop::new(message) };
        Box::new(Refused { flop, close: 1008, word })
    }

    /// An error without details.
    #[inline(never)]
    pub fn plain(message: &str, word: &'static str) -> Box<Refused> {
        Box::new(Refused { flop: Flop::new(message), close: 1008, word })
    }

    /// The parameters are not those of `connect`.
    #[inline(never)]
    pub fn params(why: &str) -> Box<Refused> {
        Refused::plain(&["invalid connect params: ", why].concat(), "connect_invalid")
    }

    /// A page in a browser that may not come here, or will not say where it is from.
    #[inline(never)]
    pub fn origin(reason: &str) -> Box<Refused> {
        let message = "origin not allowed (open the Control UI from the gateway host or allow it in gateway.controlUi.allowedOrigins)";
        let details = details("CONTROL_UI_ORIGIN_NOT_ALLOWED", Some(("reason", reason)));
        Refused::detailed(message, details, Deny::OriginForbidden.word())
    }

    /// A node without a device.
    #[inline(never)]
    pub fn no_device() -> Box<Refused> {
        let details = details("DEVICE_IDENTITY_REQUIRED", None);
        let mut refused = Refused::detailed("device identity required", details, "device_missing");
        refused.flop.code = "NOT_PAIRED";
        refused
    }

    /// A device block that does not hold.
    pub fn device(flaw: Flaw) -> Box<Refused> {
        let [message, code, reason, word] = flaw.words();
        Refused::detailed(message, details(code, Some(("reason", reason))), word)
    }

    /// The gate's denial in the words that clients know. `device` says whether a device block came.
    ///
    /// A device's or a bootstrap token never opens anything here, so it is what is wrong where nothing else was sent.
    #[inline(never)]
    pub fn denied(deny: Deny, mode: Mode, secrets: &Secrets, client: &Client, device: bool) -> Box<Refused> {
        let token = mode == Mode::Token;
        let silent = matches!(deny, Deny::CredentialMissing | Deny::ProxyRefused);
        let mut missing = "";
        // The code and the message; the reason is the code's own words.
        let words = match deny {
            _ if silent && secrets.device() => {
                "AUTH_DEVICE_TOKEN_MISMATCH device token mismatch (rotate/reissue device token)"
            }
            _ if silent && secrets.bootstrap() => {
                "AUTH_BOOTSTRAP_TOKEN_INVALID bootstrap token invalid or expired (scan a fresh setup code)"
            }
            Deny::CredentialMismatch | Deny::CredentialMissing => {
                missing = hint(token, client);
                match (deny == Deny::CredentialMismatch, token) {
                    (true, true) => "AUTH_TOKEN_MISMATCH gateway token mismatch",
                    (true, false) => "AUTH_PASSWORD_MISMATCH gateway password mismatch",
                    (false, true) => "AUTH_TOKEN_MISSING gateway token missing",
                    (false, false) => "AUTH_PASSWORD_MISSING gateway password missing",
                }
            }
            Deny::HostUnknown | Deny::OriginForbidden => return Refused::origin("origin not allowed"),
            Deny::FunnelRefused | Deny::ProxyRefused | Deny::ScopeMissing(_) => "AUTH_UNAUTHORIZED ",
            Deny::RateLimited(_) => "AUTH_RATE_LIMITED too many failed authentication attempts (retry later)",
            Deny::TailnetForbidden => "AUTH_TAILSCALE_IDENTITY_MISMATCH tailscale identity mismatch",
            Deny::TailnetUnknown => "AUTH_TAILSCALE_WHOIS_FAILED tailscale identity check failed",
        };
        let (code, message) = words.split_once(' ').unwrap_or_default();
        let reason = code.trim_start_matches("AUTH_").to_ascii_lowercase();
        let (reason, hint) = (reason.as_str(), missing);
        let retry = reason == "token_mismatch" && device && secrets.token() && !secrets.device();
        let next = match reason {
            _ if retry => "retry_with_device_token",
            "token_missing" | "password_missing" => "update_auth_configuration",
            "token_mismatch" | "password_mismatch" | "device_token_mismatch" => "update_auth_credentials",
            "rate_limited" => "wait_then_retry",
            _ => "review_auth_configuration",
        };
        let mut json = Json::object();
        json.string("code", code).string("authReason", reason).flag("canRetryWithDeviceToken", retry);
        let details = json.string("recommendedNextStep", next).close("}").done();
        let (colon, open, close) = match (message, hint) {
            ("", _) => ("", "", ""),
            (_, "") => (": ", "", ""),
            _ => (": ", " (", ")"),
        };
        Refused::detailed(&["unauthorized", colon, message, open, hint, close].concat(), details, deny.word())
    }
}

/// Where to put the secret. Source: contract ws.md §2.5.
fn hint(token: bool, client: &Client) -> &'static str {
    let page = client.page() || client.id == "openclaw-tui";
    match (client.mode == "cli", page) {
        (true, _) if token => "set gateway.remote.token to match gateway.auth.token",
        (true, _) => "set gateway.remote.password to match gateway.auth.password",
        (false, true) if token => "open the dashboard URL and paste the token in Control UI settings",
        (false, true) => "enter the password in Control UI settings",
        (false, false) if token => "provide gateway auth token",
        (false, false) => "provide gateway auth password",
    }
}
