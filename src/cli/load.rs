//! Flags, files and environment → the settings to run with, or every reason why not. Reads; only [`Settled::token`] may write.

use std::env;
use std::path::{Path, PathBuf};

use super::args::{Command, Run, Toolgate};
use crate::config::{self, Bind, Config, Gateway, Level, Overrides, SecretRef};
use crate::gate::auth::Mode;
use crate::gate::secret::Secret;
use crate::limits::CONFIG_BYTES_MAX;
use crate::serve::files::{self, Care};

const TOKEN_VARIABLE: &str = "OPENCLAW_GATEWAY_TOKEN";
const PASSWORD_VARIABLE: &str = "OPENCLAW_GATEWAY_PASSWORD";

/// What is wrong, one line each.
pub type Findings = Vec<String>;

/// A configuration and where it came from.
#[derive(Debug)]
pub struct Loaded {
    /// The checked values.
    pub config: Config,
    /// The file; `None` when the built-in defaults hold.
    pub path: Option<PathBuf>,
    /// What does not keep the gateway from starting.
    pub warnings: Findings,
}

/// What declared tools lack here, one line each: their program, their working directory.
pub fn lacks(loaded: &Loaded) -> Findings {
    let lacks = loaded.config.declared.iter().filter_map(|declared| {
        let lack = declared.lack().err()?;
        Some([declared.work.source(), ".", &declared.name, ": ", &lack].concat())
    });
    lacks.collect()
}

/// Everything `run` needs to know.
#[derive(Debug)]
pub struct Settled {
    /// The configuration.
    pub loaded: Loaded,
    /// The mode in force.
    pub mode: Mode,
    /// The addresses in force.
    pub bind: Bind,
    /// The shared token.
    pub token: Option<Secret>,
    /// Whether that token is the one this gateway made for itself.
    pub kept: bool,
    /// Where the secret in force comes from, in a word.
    pub source: &'static str,
    /// The shared password.
    pub password: Option<Secret>,
}

/// The environment, with a blank variable counted as absent.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.trim().is_empty())
}

fn directory(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// Whether anything has that name, a link that leads nowhere included.
#[inline(never)]
fn there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Where the configuration file is: a named one must exist, the usual places need not. `None` when the built-in defaults
/// hold. Source: contract cli.md, Files.
pub fn place(globals: &Toolgate) -> Option<PathBuf> {
    let named =
        globals.config.clone().or_else(|| directory("TOOLGATE_CONFIG")).or_else(|| directory("OPENCLAW_CONFIG_PATH"));
    if let Some(path) = named {
        return Some(path);
    }
    let home = || directory("XDG_CONFIG_HOME").or_else(|| directory("HOME").map(|home| home.join(".config")));
    let usual = |place: &Path| Some(place.join("toolgate/toolgate.json5")).filter(|path| there(path));
    usual(Path::new("/etc")).or_else(|| usual(&home()?))
}

/// The directory for what the gateway keeps. Source: contract cli.md, Files.
///
/// # Errors
/// When nothing says where it is.
pub fn state_directory(flag: Option<&Path>) -> Result<PathBuf, String> {
    // systemd separates several with colons; the first is ours.
    let service = || variable("STATE_DIRECTORY").and_then(|list| list.split(':').next().map(PathBuf::from));
    let home = || directory("XDG_STATE_HOME").or_else(|| directory("HOME").map(|home| home.join(".local/state")));
    flag.map(Path::to_owned)
        .or_else(|| directory("TOOLGATE_STATE_DIR"))
        .or_else(service)
        .or_else(|| home().map(|home| home.join("toolgate")))
        .ok_or_else(|| "no state directory: set --state-dir, TOOLGATE_STATE_DIR or HOME".into())
}

/// The text of the configuration file at `path`.
///
/// # Errors
/// Why it is not read.
pub fn text(path: &Path) -> Result<String, String> {
    let bytes = files::read(path, Care::Plain, CONFIG_BYTES_MAX as u64).map_err(|fault| fault.to_string())?;
    String::from_utf8(bytes).map_err(|error| format!("{}: is not UTF-8: {error}", path.display()))
}

/// Reads the configuration.
///
/// # Errors
/// Every finding, warnings too, when there is an error among them.
pub fn load(globals: &Toolgate) -> Result<Loaded, Findings> {
    let Some(path) = place(globals) else {
        return Ok(Loaded { config: Config::default(), path: None, warnings: Vec::new() });
    };
    let text = text(&path).map_err(|finding| vec![finding])?;
    let outcome = config::read(&text, &variable);
    let refused = outcome.refused();
    let (mut findings, mut errors) = (Findings::new(), 0_usize);
    for finding in &outcome.findings {
        let warning = finding.level == Level::Warning;
        errors += usize::from(!warning);
        let text = finding.to_string();
        findings.push(if warning && refused { ["warning: ", &text].concat() } else { text });
    }
    if refused {
        let noun = if errors == 1 { " error:" } else { " errors:" };
        findings.insert(0, [&*path.to_string_lossy(), ": ", &errors.to_string(), noun].concat());
        return Err(findings);
    }
    Ok(Loaded { config: outcome.config, path: Some(path), warnings: findings })
}

/// Whose files are good: those of this process for the gateway, those of its service's user for commands of root.
fn care(globals: &Toolgate) -> Care {
    if matches!(globals.command, Command::Run(_)) { Care::Secret } else { Care::Looked }
}

/// Resolves a secret that the configuration refers to.
fn resolve(key: &str, secret: &SecretRef, care: Care) -> Result<Secret, String> {
    match secret {
        SecretRef::Env { name, .. } => variable(name)
            .and_then(|text| Secret::new(&text))
            .ok_or_else(|| format!("{key}: the environment variable {name} is not set")),
        SecretRef::File { path, .. } => {
            files::read_secret(Path::new(path), care).map_err(|fault| format!("{key}: {fault}"))
        }
        SecretRef::Text(secret) => Ok(secret.clone()),
    }
}

/// A secret with what stands before it, such as `Bearer `.
fn prefixed(reference: &SecretRef, secret: Secret) -> Option<Secret> {
    match reference {
        SecretRef::Env { prefix: Some(prefix), .. } | SecretRef::File { prefix: Some(prefix), .. } => {
            Secret::new(&[prefix, &*String::from_utf8_lossy(secret.reveal())].concat())
        }
        _ => Some(secret),
    }
}

/// A secret from outside the configuration: flag, service credential, environment, in this order.
fn outside(
    flag: Option<&Path>,
    credential: &str,
    name: &str,
    source: &mut &'static str,
) -> Result<Option<Secret>, String> {
    if let Some(path) = flag {
        *source = "flag";
        return files::read_secret(path, Care::Secret).map(Some).map_err(|fault| format!("--token-file: {fault}"));
    }
    if let Some(path) = directory("CREDENTIALS_DIRECTORY").map(|d| d.join(credential)).filter(|p| p.exists()) {
        *source = "credential";
        return files::read_secret(&path, Care::Credential).map(Some).map_err(|fault| fault.to_string());
    }
    let secret = variable(name).and_then(|text| Secret::new(&text));
    if secret.is_some() {
        *source = "environment";
    }
    Ok(secret)
}

/// The token beside the configuration file, if there is one: where a package puts it, and its service is given it as a
/// credential. A state directory that somebody names comes first.
fn beside(globals: &Toolgate) -> Option<PathBuf> {
    if globals.state_dir.is_some() || directory("TOOLGATE_STATE_DIR").is_some() {
        return None;
    }
    Some(place(globals)?.with_file_name("token")).filter(|path| there(path))
}

/// The path of the token that a package or this gateway made.
///
/// # Errors
/// When nothing says where the state directory is.
pub fn token_path(globals: &Toolgate) -> Result<PathBuf, String> {
    match beside(globals) {
        Some(path) => Ok(path),
        None => Ok(state_directory(globals.state_dir.as_deref())?.join("token")),
    }
}

/// Reads everything `run` would and settles what is in force. Changes nothing: a token that would be generated is absent.
///
/// # Errors
/// Every reason why the gateway must not start.
pub fn settle(globals: &Toolgate, flags: &Run) -> Result<Settled, Findings> {
    let loaded = load(globals)?;
    let (gateway, care) = (&loaded.config.gateway, care(globals));
    let mut wrong = Findings::new();
    let mut keep = |result: Result<Option<Secret>, String>| {
        result.unwrap_or_else(|text| {
            wrong.push(text);
            None
        })
    };
    let auth = flags.auth.as_deref().map(|word| {
        config::mode(word).ok_or_else(|| format!("--auth {word}: is not one of none, password, token, trusted-proxy"))
    });
    let auth = auth.transpose().map_err(|text| vec![text])?;
    // The flag names the secret of the mode in force.
    let password_mode = auth.or(gateway.auth_mode) == Some(Mode::Password);
    let flag = flags.token_file.as_deref();
    let mut sources = ["none"; 2];
    let other_token = keep(outside(flag.filter(|_| !password_mode), "token", TOKEN_VARIABLE, &mut sources[0]));
    let other_password = keep(outside(flag.filter(|_| password_mode), "password", PASSWORD_VARIABLE, &mut sources[1]));
    let own_token = keep(gateway.token.as_ref().map(|s| resolve("gateway.auth.token", s, care)).transpose());
    let own_password = keep(gateway.password.as_ref().map(|s| resolve("gateway.auth.password", s, care)).transpose());
    let overrides = Overrides { auth, token: other_token.is_some(), password: other_password.is_some() };
    let mode = config::resolve_mode(&loaded.config, &overrides)
        .map_err(|finding| wrong.push(finding.to_string()))
        .unwrap_or_default();
    let bind = match flags.bind.as_deref().map(|word| config::bind(word, gateway.custom_host)) {
        Some(Err(text)) => {
            wrong.push(format!("--bind: {text}"));
            gateway.bind
        }
        Some(Ok(bind)) => bind,
        None => gateway.bind,
    };
    for finding in config::refusals(&loaded.config, mode, bind) {
        wrong.push(finding.to_string());
    }
    let (mut token, mut kept) = (own_token.or(other_token), false);
    if mode == Mode::Token && token.is_none() && wrong.is_empty() {
        token = kept_token(globals).unwrap_or_else(|text| {
            wrong.push(text);
            None
        });
        kept = token.is_some();
        sources[0] = match beside(globals) {
            Some(_) => "service",
            None if kept => "generated",
            None => "none",
        };
    }
    let source = source(mode, gateway, sources);
    let password = own_password.or(other_password);
    for held in &loaded.config.secrets {
        match resolve(&held.key, &held.secret, care).map(|secret| prefixed(&held.secret, secret)) {
            Ok(Some(secret)) if std::str::from_utf8(secret.reveal()).is_ok_and(config::sample) => {
                wrong.push(format!("{}: this is a sample value, not a secret; replace it by a random one", held.key));
            }
            Ok(Some(secret)) => held.place.fill(secret),
            Ok(None) => wrong.push(format!("{}: the secret is blank", held.key)),
            Err(text) => wrong.push(text),
        }
    }
    for (name, secret) in [("token", &token), ("password", &password)] {
        if secret.as_ref().is_some_and(|s| std::str::from_utf8(s.reveal()).is_ok_and(config::sample)) {
            wrong.push(format!("the {name} is a sample that everybody knows; choose your own"));
        }
    }
    if wrong.is_empty() { Ok(Settled { loaded, mode, bind, token, kept, source, password }) } else { Err(wrong) }
}

/// Where the secret of `mode` comes from, in a word; `outside` says it of a token and of a password that are not configured.
fn source(mode: Mode, gateway: &Gateway, outside: [&'static str; 2]) -> &'static str {
    let (configured, outside) = match (mode, outside) {
        (Mode::None | Mode::TrustedProxy, _) => return "none",
        (Mode::Password, [_, password]) => (&gateway.password, password),
        (Mode::Token, [token, _]) => (&gateway.token, token),
    };
    match configured {
        Some(SecretRef::Env { .. }) => "environment",
        Some(SecretRef::File { .. }) => "file",
        Some(SecretRef::Text(_)) => "configuration",
        None => outside,
    }
}

/// The gateway's own files and directories: the configuration, the state, and every file that holds a secret.
pub fn private(globals: &Toolgate, flags: &Run, config: &Config) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = Vec::new();
    let credentials = directory("CREDENTIALS_DIRECTORY");
    let state = state_directory(globals.state_dir.as_deref()).ok();
    for own in [place(globals), beside(globals), state, flags.token_file.clone(), credentials] {
        files.extend(own);
    }
    let mut add = |secret: &SecretRef| {
        if let SecretRef::File { path, .. } = secret {
            files.push(PathBuf::from(path));
        }
    };
    let gateway = &config.gateway;
    for secret in [&gateway.token, &gateway.password] {
        secret.iter().for_each(&mut add);
    }
    for held in &config.secrets {
        add(&held.secret);
    }
    files
}

/// The generated token, where one was generated.
fn kept_token(globals: &Toolgate) -> Result<Option<Secret>, String> {
    let path = token_path(globals)?;
    if !there(&path) {
        return Ok(None);
    }
    files::read_secret(&path, care(globals)).map(Some).map_err(|fault| fault.to_string())
}

impl Settled {
    /// The token in force, when this gateway made it for itself.
    pub fn kept_token(&self) -> Option<Secret> {
        self.token.clone().filter(|_| self.kept)
    }

    /// Generates the token where mode `token` has none. Returns the file it was written to.
    ///
    /// # Errors
    /// Why it could not be written.
    pub fn generate_token(&mut self, globals: &Toolgate) -> Result<Option<PathBuf>, String> {
        if self.mode != Mode::Token || self.token.is_some() {
            return Ok(None);
        }
        let path = token_path(globals)?;
        self.kept = true;
        self.token =
            Some(files::write_token(&path).map_err(|fault| format!("cannot keep a token: {fault}; {KEEP_HINT}"))?);
        Ok(Some(path))
    }
}

/// What to do where no token can be kept.
pub const KEEP_HINT: &str = "name a writable --state-dir or give a token with --token-file";

/// The secret a client sends: flag, environment, configuration, credential, generated token. Clients ask the
/// environment first. Source: contract http.md §2.2.
///
/// # Errors
/// Why the named file is not used.
pub fn client_secret(globals: &Toolgate, flag: Option<&Path>) -> Result<Option<Secret>, String> {
    if let Some(path) = flag {
        return files::read_secret(path, Care::Secret).map(Some).map_err(|fault| format!("--token-file: {fault}"));
    }
    for name in [TOKEN_VARIABLE, PASSWORD_VARIABLE] {
        if let Some(secret) = variable(name).and_then(|text| Secret::new(&text)) {
            return Ok(Some(secret));
        }
    }
    let flags = Run::default();
    match settle(globals, &flags) {
        Ok(settled) => Ok(match settled.mode {
            Mode::Password | Mode::TrustedProxy => settled.password,
            Mode::None => None,
            Mode::Token => settled.token,
        }),
        // A client may run where the gateway's own files cannot be read.
        Err(_) => Ok(kept_token(globals).unwrap_or(None)),
    }
}
