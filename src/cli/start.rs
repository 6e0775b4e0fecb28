//! `toolgate run`: settings → listeners and a gateway.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use log::LevelFilter;

use super::args::{Run, Toolgate};
use super::load::{self, Findings, Settled};
use super::{complain, desk, exit, refuse, say};
use crate::api::Settings;
use crate::config::{self, Bind, Config, Limits};
use crate::gate::auth::Mode;
use crate::gate::policy::Policy;
use crate::gate::secret::Secret;
use crate::gate::{Gate, Rules};
use crate::limits::PORT_DEFAULT;
use crate::serve::activation;
use crate::serve::gateway::Gateway;
use crate::serve::http::Bounds;
use crate::serve::listen::{Address, Door, Listener};
use crate::serve::reload::{Fixed, Hands, Places, Regime};
use crate::serve::{self, Crowd, files, listen, notify};
use crate::tool::{self, Declared, Host};

/// Runs the gateway until it is told to stop.
pub fn run(asked: &'static Toolgate, flags: &'static Run) -> u8 {
    // Before anything of our own is opened.
    let inherited = match activation::sockets() {
        Ok(listeners) => listeners,
        Err(text) => return refuse(&[text]),
    };
    serve::log::start(flags.log_level.unwrap_or(LevelFilter::Info));
    let mut settled = match load::settle(asked, flags).and_then(|settled| occupy(settled, &inherited)) {
        Ok(settled) => settled,
        Err(findings) => return refuse(&findings),
    };
    for warning in &settled.loaded.warnings {
        log::warn!("config {warning}");
    }
    match settled.generate_token(asked) {
        Ok(Some(path)) => log::warn!("token_created file={} show=\"toolgate token\"", path.display()),
        Ok(None) => {}
        Err(text) => return refuse(&[text]),
    }
    let port = port(flags, &settled);
    let (listeners, inherited) = match open(&settled, port, inherited) {
        Ok(opened) => opened,
        Err(code) => return code,
    };
    let addresses = listen::addresses(&listeners);
    let places: Vec<Address> = listeners.iter().map(|listener| listener.address.clone()).collect();
    let limits = settled.loaded.config.gateway.limits;
    let handshake_ms = settled.loaded.config.gateway.handshake_timeout_ms;
    let hello = Duration::from_millis(handshake_ms.into());
    let bounds = Bounds { body_pool_bytes: limits.body_pool_bytes, hello, ..Bounds::default() };
    let crowd = Crowd { most: limits.connections, most_per_peer: limits.connections_per_peer };
    let (bind, former) = (settled.bind, Vec::new());
    let serve_socket = settled.loaded.config.gateway.tailnet.serve_socket.clone();
    let fixed =
        Fixed { bind, port, inherited, limits, handshake_ms, addresses: addresses.clone(), serve_socket, former };
    let (fixed, kept) = (RefCell::new(fixed), RefCell::new(settled.kept_token()));
    let standing = Rc::new(Standing { asked, flags, fixed, kept });
    let regime = standing.regime(settled, Vec::new());
    let host = host(asked, &regime.rules.policy);
    let gateway = Gateway::new(regime, host, hands(standing));
    let fit = listen::fit_to_descriptors(crowd.most);
    if fit < crowd.most {
        let most = crowd.most;
        gateway.audit().say(log::Level::Warn, format_args!("connections_fit count={fit} of={most} fix=LimitNOFILE"));
    }
    let ready = move || {
        for place in &places {
            log::info!("listen address={place}");
            let scheme = if place.tcp().is_some() { "http://" } else { "" };
            say(&format!("listening on {scheme}{place}\n"));
        }
        notify::ready(&listening(&addresses));
    };
    // What a reload finds wrong is in the log by then.
    let hangup = |gateway: &Rc<Gateway>| _ = gateway.reload("SIGHUP");
    tool::child::adopt();
    match serve::run(gateway, bounds, crowd, listeners, ready, hangup) {
        Ok(()) => exit::OK,
        Err(error) => {
            complain(&format!("cannot serve: {error}"));
            exit::FAILED
        }
    }
}

/// The listeners there are from the start, and whether a service manager opened those of TCP.
fn open(settled: &Settled, port: u16, mut listeners: Vec<Listener>) -> Result<(Vec<Listener>, bool), u8> {
    let inherited = listeners.iter().any(|listener| listener.address.tcp().is_some());
    let served = listeners.iter().any(|listener| listener.door == Door::Serve);
    if !inherited {
        let opened = listen::open(settled.bind, port).map_err(|text| {
            complain(&text);
            exit::FAILED
        })?;
        listeners.splice(0..0, opened);
    }
    if let Some(path) = settled.loaded.config.gateway.tailnet.serve_socket.as_deref().filter(|_| !served) {
        let opened = listen::open_serve(Path::new(path));
        listeners.push(opened.map_err(|text| refuse(&[["gateway.tailnet.serveSocket: ", &text].concat()]))?);
    }
    Ok((listeners, inherited))
}

/// Inherited listeners stand in place of those that were asked for, so what must not be served there is refused.
fn occupy(mut settled: Settled, inherited: &[Listener]) -> Result<Settled, Findings> {
    if inherited.iter().any(|listener| listener.door == Door::Serve) && settled.mode == Mode::None {
        let text =
            "gateway.auth.mode: none lets everybody in, and the service manager passed a socket for tailscale serve";
        return Err(vec![text.into()]);
    }
    if listen::addresses(inherited).is_empty() {
        return Ok(settled);
    }
    settled.bind = activation::reach(inherited);
    let refused = config::refusals(&settled.loaded.config, settled.mode, settled.bind);
    if refused.is_empty() {
        log::info!("listeners_inherited count={} unused=gateway.bind,gateway.port", inherited.len());
        return Ok(settled);
    }
    let places = [" (the service manager passed: ", &places(&listen::addresses(inherited)), ")"].concat();
    Err(refused.iter().map(|finding| [&finding.to_string(), &*places].concat()).collect())
}

/// Where the gateway listens, for people.
fn places(addresses: &[SocketAddr]) -> String {
    let texts: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
    texts.join(", ")
}

/// The same as the status that a service manager shows.
fn listening(addresses: &[SocketAddr]) -> String {
    ["listening on ", &places(addresses)].concat()
}

/// The port in force.
fn port(flags: &Run, settled: &Settled) -> u16 {
    flags.port.or(settled.loaded.config.gateway.port).unwrap_or(PORT_DEFAULT)
}

/// What a reload has in common with the start.
struct Standing {
    asked: &'static Toolgate,
    flags: &'static Run,
    fixed: RefCell<Fixed>,
    /// The token in force, when the gateway made it: it stays so even if its file is gone.
    kept: RefCell<Option<Secret>>,
}

/// What the gateway reads files and flags with.
fn hands(standing: Rc<Standing>) -> Hands {
    let shown = Rc::clone(&standing);
    let asked = standing.asked;
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    let addresses = standing.fixed.borrow().addresses.clone();
    Hands {
        reload: Box::new(move || {
            let settled = standing.settle().map_err(|mut findings| {
                // The heading is for people who read findings on a terminal.
                findings.retain(|finding| !finding.ends_with(':'));
                findings
            })?;
            let listeners = standing.relocate(&settled);
            if listeners.is_empty() {
                standing.stay(&settled)?;
            }
            for warning in &settled.loaded.warnings {
                log::warn!("config {warning}");
            }
            *standing.kept.borrow_mut() = settled.kept_token();
            Ok(standing.regime(settled, listeners))
        }),
        document: Box::new(move || {
            let settled = shown.settle().map(|settled| settled.loaded.warnings);
            desk::document(load::place(shown.asked), &settled)
        }),
        lookup: Box::new(desk::lookup),
        addresses,
        listens: Box::new(|address| say(&format!("listening on http://{address}\n"))),
        public_key: identity(asked),
        places: Places {
            config: load::place(asked).map(text),
            state: load::state_directory(asked.state_dir.as_deref()).ok().map(text),
        },
    }
}

/// The gateway's own key, made at the first start; without one it serves all the same.
fn identity(asked: &Toolgate) -> Option<[u8; 32]> {
    let made = load::state_directory(asked.state_dir.as_deref())
        .and_then(|directory| files::identity(&directory.join("identity")).map_err(|fault| fault.to_string()));
    made.map_err(|why| log::warn!("identity_missing why={}", serve::log::Shown(&why))).ok()
}

impl Standing {
    /// Reads everything again. Changes nothing.
    fn settle(&self) -> Result<Settled, Findings> {
        let mut settled = load::settle(self.asked, self.flags)?;
        if settled.mode == Mode::Token && settled.token.is_none() {
            settled.token.clone_from(&self.kept.borrow());
            settled.kept = true;
            if settled.token.is_none() {
                let text =
                    "gateway.auth.token: there is no token; set this key, or make one with `toolgate token rotate`";
                return Err(vec![text.into()]);
            }
        }
        Ok(settled)
    }

    /// Opens the listeners that the new settings ask for, if they are others and can be opened beside those in use:
    /// whoever cannot listen in the new place must not lose the old one. Empty = the listeners stay.
    fn relocate(&self, settled: &Settled) -> Vec<Listener> {
        let port = port(self.flags, settled);
        let mut fixed = self.fixed.borrow_mut();
        if fixed.inherited {
            return Vec::new();
        }
        // The tailnet's listeners come and go by themselves; what is opened for it at once is loopback.
        let base = |bind: Bind| if bind == Bind::Tailnet { Bind::Loopback } else { bind };
        if (base(fixed.bind), fixed.port) == (base(settled.bind), port) {
            fixed.bind = settled.bind;
            return Vec::new();
        }
        // Whoever took any port has one now, and keeps it.
        let taken = fixed.addresses.first().map_or(port, |address| address.port());
        match listen::open(settled.bind, if port == 0 { taken } else { port }) {
            Ok(listeners) => {
                fixed.bind = settled.bind;
                fixed.port = port;
                fixed.former = std::mem::replace(&mut fixed.addresses, listen::addresses(&listeners));
                for address in &fixed.addresses {
                    log::info!("listen address={address}");
                }
                listeners
            }
            Err(text) => {
                log::warn!("listeners_stay reason={}", serve::log::Shown(&text));
                Vec::new()
            }
        }
    }

    /// The listeners stay where they are, so what must not be served there must not come into force.
    fn stay(&self, settled: &Settled) -> Result<(), Findings> {
        let refused = config::refusals(&settled.loaded.config, settled.mode, self.fixed.borrow().bind);
        if refused.is_empty() {
            return Ok(());
        }
        let stays = "(these listeners cannot be changed without a restart)";
        Err(refused.iter().map(|finding| format!("{finding} {stays}")).collect())
    }

    /// What comes into force.
    fn regime(&self, settled: Settled, listeners: Vec<Listener>) -> Regime {
        let port = port(self.flags, &settled);
        let Settled { loaded, mode, bind, token, password, .. } = settled;
        let private = load::private(self.asked, self.flags, &loaded.config);
        let Config { gateway, rules, declared, targets, .. } = loaded.config;
        let mut rules = with_tools(rules, &declared);
        (rules.auth.mode, rules.auth.token, rules.auth.password) = (mode, token, password);
        let fixed = self.fixed.borrow();
        add_names(&mut rules, &fixed);
        for (source, entry) in rules.policy.unknown_entries() {
            log::warn!("policy_unknown_entry source={source} entry={}", serve::log::Shown(&entry));
        }
        let held = fixed.held(bind, port, &gateway);
        let settings = Settings {
            user_field: gateway.user_header,
            required_fields: gateway.required_headers,
            transport_security: gateway.hsts.map(Rc::from),
        };
        let tailnet = gateway.tailnet;
        let Limits { calls, message_bytes, tool_result_bytes, .. } = gateway.limits;
        let (result_bytes, targets) = (tool_result_bytes, Rc::new(targets));
        let taken = fixed.addresses.first().map_or(port, |address| address.port());
        let tailnet_port = (fixed.bind == Bind::Tailnet).then_some(taken);
        Regime {
            rules,
            settings,
            calls,
            result_bytes,
            message_bytes,
            declared,
            targets,
            private,
            held,
            tailnet,
            tailnet_port,
            listeners,
        }
    }
}

/// What tools see.
fn host(asked: &Toolgate, policy: &Policy) -> Host {
    let host = Host::new(asked.sysroot.clone().unwrap_or_else(|| PathBuf::from("/")), &policy.agents);
    host.set_main_key(policy.session.main_key.as_deref());
    host
}

/// The gate and the tools of a configuration, for a look at them without a gateway.
pub(super) fn stage(asked: &Toolgate, config: Config) -> (Gate, Host) {
    let Config { gateway, rules, declared, targets, .. } = config;
    let gate = Gate::new(with_tools(rules, &declared));
    let host = host(asked, &gate.rules().policy);
    *host.local_api.borrow_mut() = PathBuf::from(gateway.tailnet.local_api);
    host.equip(declared, Rc::new(targets), Vec::new());
    (gate, host)
}

/// Tells the policy which tools and groups there are.
fn with_tools(mut rules: Rules, declared: &[Rc<Declared>]) -> Rules {
    let built_in = tool::TOOLS.iter().map(|tool| (tool.name, tool.tier));
    for (name, tier) in built_in.chain(declared.iter().map(|tool| (tool.name.as_str(), tool.tier))) {
        rules.policy.known.push(name.to_owned());
        if tier == tool::Tier::Break {
            rules.policy.http_deny_more.push(name.to_owned());
        }
    }
    rules.policy.groups = tool::groups(declared);
    rules
}

/// The host names that follow from where the gateway listens: literals, `localhost`, the machine's name, alone and in
/// `.local`. On all addresses any literal will do, because no browser can be tricked into sending one.
fn add_names(rules: &mut Rules, fixed: &Fixed) {
    let names = &mut rules.names;
    for address in fixed.addresses.iter().chain(&fixed.former) {
        match address.ip() {
            ip if ip.is_unspecified() => names.any_literal = true,
            ip => names.hosts.push(ip.to_string()),
        }
    }
    names.hosts.push("localhost".into());
    let machine = rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase();
    if !machine.is_empty() {
        names.hosts.push(format!("{machine}.local"));
        names.hosts.push(machine);
    }
}
