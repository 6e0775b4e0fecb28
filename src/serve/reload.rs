//! What a reload puts in force, and what the gateway remembers of the last one.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;

use super::listen::Listener;
use crate::api::Settings;
use crate::config::{self, Bind, Limits};
use crate::gate::Rules;
use crate::limits::RELOAD_FINDINGS;
use crate::tool::{self, Declared, Targets};

/// Everything a configuration decides that can change while the gateway runs. It is checked, and taken as a whole.
#[derive(Debug)]
pub struct Regime {
    /// Who may do what.
    pub rules: Rules,
    /// What `api` needs of the configuration.
    pub settings: Settings,
    /// Tool calls running at once.
    pub calls: usize,
    /// One tool's result, in bytes.
    pub result_bytes: usize,
    /// One message of a socket, in bytes.
    pub message_bytes: usize,
    /// The tools that the operator declared.
    pub declared: Vec<Rc<Declared>>,
    /// What built-in tools may touch.
    pub targets: Rc<Targets>,
    /// The gateway's own files and directories, which no tool shows.
    pub private: Vec<PathBuf>,
    /// Keys whose new value needs a restart.
    pub held: Vec<&'static str>,
    /// What the configuration says of the tailnet.
    pub tailnet: config::Tailnet,
    /// The port to listen on there; `None` when the configuration binds elsewhere.
    pub tailnet_port: Option<u16>,
    /// Listeners that take the place of those in use; empty = they stay.
    pub listeners: Vec<Listener>,
}

/// What lends the gateway its view of files and flags. Called on the loop, so nothing here may wait.
pub struct Hands {
    /// Reads and checks everything again, or gives every reason why it must not come into force.
    pub reload: Box<dyn Fn() -> Result<Regime, Vec<String>>>,
    /// The `result` of `config.get`.
    pub document: tool::Show,
    /// The `result` of `config.schema.lookup`.
    pub lookup: tool::LookUp,
    /// The addresses listened on.
    pub addresses: Vec<SocketAddr>,
    /// Tells the operator of one more listener.
    pub listens: Box<dyn Fn(SocketAddr)>,
    /// The gateway's own ed25519 key; `None` where it could not be kept.
    pub public_key: Option<[u8; 32]>,
    /// Where its files are.
    pub places: Places,
}

/// Where the gateway's files are, for its owner.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// The configuration; `None` where there is none.
    pub config: Option<String>,
    /// The state directory; `None` where nothing names one.
    pub state: Option<String>,
}

/// Where the gateway listens, and what was decided at start and holds until the end.
#[derive(Debug, Clone)]
pub struct Fixed {
    /// The addresses asked for.
    pub bind: Bind,
    /// The port asked for, 0 for any.
    pub port: u16,
    /// Whether a service manager opened the listeners: then they stay, whatever is asked for.
    pub inherited: bool,
    /// Connections and bodies.
    pub limits: Limits,
    /// Milliseconds for a socket's handshake.
    pub handshake_ms: u32,
    /// The addresses listened on.
    pub addresses: Vec<SocketAddr>,
    /// The Unix socket for Tailscale Serve.
    pub serve_socket: Option<String>,
    /// Those before: connections made there stay, and go on to name them as their host.
    pub former: Vec<SocketAddr>,
}

impl Fixed {
    /// The keys that would be another at the next start.
    pub fn held(&self, bind: Bind, port: u16, gateway: &config::Gateway) -> Vec<&'static str> {
        let (own, limits) = (&self.limits, &gateway.limits);
        let rows = [
            ("gateway.bind", self.bind != bind && !self.inherited),
            ("gateway.port", self.port != port && !self.inherited),
            ("gateway.limits.connections", own.connections != limits.connections),
            ("gateway.limits.connectionsPerPeer", own.connections_per_peer != limits.connections_per_peer),
            ("gateway.handshakeTimeoutMs", self.handshake_ms != gateway.handshake_timeout_ms),
            ("gateway.tailnet.serveSocket", self.serve_socket != gateway.tailnet.serve_socket),
            ("gateway.limits.bodyPoolBytes", own.body_pool_bytes != limits.body_pool_bytes),
        ];
        rows.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }
}

/// How the last reload ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Last {
    /// Who asked: a signal's name, or a tool's.
    pub by: &'static str,
    /// Seconds since 1970 by the wall clock; for display.
    pub seconds: u64,
    /// Why nothing changed, at most [`RELOAD_FINDINGS`] findings; empty when the new configuration is in force.
    pub refused: Vec<String>,
    /// Keys whose new value needs a restart.
    pub held: Vec<&'static str>,
}

impl Last {
    /// The reload that ends now.
    pub(super) fn now(by: &'static str, refused: &[String], held: &[&'static str]) -> Last {
        let refused = refused.iter().take(RELOAD_FINDINGS).cloned().collect();
        Last { by, seconds: super::wall_clock().as_secs(), refused, held: held.to_vec() }
    }
}
