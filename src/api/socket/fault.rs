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
    fn detailed(message: &str, details: String, word: &'static str) -> Refused {
        let flop = Flop { details: Some(details), ..Flop::new(message) };
        Refused { flop, close: 1008, word }
    }

    /// An error without details.
    pub fn plain(message: &str, word: &'static str) -> Refused {
        Refused { flop: Flop::new(message), close: 1008, word }
    }

    /// The parameters are not those of `connect`.
    pub fn params(why: &str) -> Refused {
        Refused::plain(&["invalid connect params: ", why].concat(), "connect_invalid")
    }

    /// A page in a browser that may not come here, or will not say where it is from.
    pub fn origin(reason: &str) -> Refused {
        let message = "origin not allowed (open the Control UI from the gateway host or allow it in gateway.controlUi.allowedOrigins)";
        let details = details("CONTROL_UI_ORIGIN_NOT_ALLOWED", Some(("reason", reason)));
        Refused::detailed(message, details, Deny::OriginForbidden.word())
    }

    /// A node without a device.
    pub fn no_device() -> Refused {
        let details = details("DEVICE_IDENTITY_REQUIRED", None);
        let mut refused = Refused::detailed("device identity required", details, "device_missing");
        refused.flop.code = "NOT_PAIRED";
        refused
    }

    /// A device block that does not hold.
    pub fn device(flaw: Flaw) -> Refused {
        let [message, code, reason, word] = flaw.words();
        Refused::detailed(message, details(code, Some(("reason", reason))), word)
    }

    /// The gate's denial in the words that clients know. `device` says whether a device block came.
    ///
    /// A device's or a bootstrap token never opens anything here, so it is what is wrong where nothing else was sent.
    pub fn denied(deny: Deny, mode: Mode, secrets: &Secrets, client: &Client, device: bool) -> Refused {
        let token = mode == Mode::Token;
        let silent = matches!(deny, Deny::CredentialMissing | Deny::ProxyRefused);
        let [code, reason, message, hint] = match deny {
            _ if silent && secrets.device() => {
                let message = "device token mismatch (rotate/reissue device token)";
                ["AUTH_DEVICE_TOKEN_MISMATCH", "device_token_mismatch", message, ""]
            }
            _ if silent && secrets.bootstrap() => {
                let message = "bootstrap token invalid or expired (scan a fresh setup code)";
                ["AUTH_BOOTSTRAP_TOKEN_INVALID", "bootstrap_token_invalid", message, ""]
            }
            Deny::CredentialMismatch if token => {
                ["AUTH_TOKEN_MISMATCH", "token_mismatch", "gateway token mismatch", hint(token, client)]
            }
            Deny::CredentialMismatch => {
                ["AUTH_PASSWORD_MISMATCH", "password_mismatch", "gateway password mismatch", hint(token, client)]
            }
            Deny::CredentialMissing if token => {
                ["AUTH_TOKEN_MISSING", "token_missing", "gateway token missing", hint(token, client)]
            }
            Deny::CredentialMissing => {
                ["AUTH_PASSWORD_MISSING", "password_missing", "gateway password missing", hint(token, client)]
            }
            Deny::HostUnknown | Deny::OriginForbidden => return Refused::origin("origin not allowed"),
            Deny::ProxyRefused | Deny::ScopeMissing(_) => ["AUTH_UNAUTHORIZED", "unauthorized", "", ""],
            Deny::RateLimited(_) => {
                let message = "too many failed authentication attempts (retry later)";
                ["AUTH_RATE_LIMITED", "rate_limited", message, ""]
            }
        };
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
