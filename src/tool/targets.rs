//! What built-in tools may touch, as the operator named it. Plain data: `config` fills it, a reload replaces it whole.

use std::cell::OnceCell;
use std::rc::Rc;

use crate::gate::peer::Net;
use crate::gate::secret::Secret;

/// A secret that lies in a file or a variable: named by the configuration, read when it comes into force, never shown.
#[derive(Debug, Clone, Default)]
pub struct Hidden(Rc<OnceCell<Secret>>);

impl Hidden {
    /// Puts the secret in its place; a second one changes nothing.
    pub fn fill(&self, secret: Secret) {
        // It is filled once, by whoever reads the configuration.
        _ = self.0.set(secret);
    }

    /// The secret; `None` where the configuration was read without secrets, as for a listing.
    pub fn reveal(&self) -> Option<&[u8]> {
        self.0.get().map(Secret::reveal)
    }
}

/// The MQTT broker that `mqtt_publish` may publish to. Source: `tools.device.mqtt_publish`.
#[derive(Debug, Clone, Default)]
pub struct Broker {
    /// Host name or address.
    pub host: String,
    /// TCP port, 1883 unless configured.
    pub port: u16,
    /// The user's name, if the broker wants one.
    pub username: Option<String>,
    /// The user's password.
    pub password: Option<Hidden>,
    /// A topic must begin with one of these; none = the tool does not exist.
    pub topics: Vec<String>,
}

/// The Home Assistant that its two tools speak to. Source: `tools.device.home_assistant`.
#[derive(Debug, Clone, Default)]
pub struct Home {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The long-lived access token.
    pub token: Hidden,
    /// `domain.*` or `domain.service` that may be called; none = `home_assistant_call` does not exist.
    pub allow: Vec<String>,
}

/// Which way a line is driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// It is read.
    In,
    /// It is read and written.
    Out,
}

/// One GPIO line. Source: `tools.device.gpio.lines`.
#[derive(Debug, Clone)]
pub struct Line {
    /// The name callers use.
    pub name: String,
    /// The chip's label (`pinctrl-bcm2711`), never its number: numbers change between kernels.
    pub chip: String,
    /// The line on that chip.
    pub place: Place,
    /// Which way.
    pub direction: Direction,
    /// Whether 1 means low.
    pub active_low: bool,
}

/// A line on a chip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The name the device tree gives it, such as `GPIO17`.
    Named(String),
    /// Its offset.
    Offset(u32),
}

/// A machine to wake. Source: `tools.device.wake_on_lan.hosts`.
#[derive(Debug, Clone)]
pub struct Sleeper {
    /// The name callers use.
    pub name: String,
    /// Its hardware address.
    pub mac: [u8; 6],
    /// The interface to send from; `None` = the limited broadcast by the default route.
    pub interface: Option<String>,
}

/// Everything the operator named below `tools.device`.
#[derive(Debug, Clone, Default)]
pub struct Targets {
    /// Networks that probes may reach beyond those this device is on. Source: `tools.device.net.allow`.
    pub allow: Vec<Net>,
    /// `dhcp_leases` is on.
    pub leases: bool,
    /// Absolute directories that `file_list` and `file_read` may look into.
    pub roots: Vec<String>,
    /// Hosts (`name`, `name:port`) that `http_fetch` may ask.
    pub fetch: Vec<String>,
    /// GPIO lines.
    pub gpio: Vec<Line>,
    /// Home Assistant.
    pub home: Option<Home>,
    /// Units whose log `log_tail` may read.
    pub log_units: Vec<String>,
    /// Absolute log files that `log_tail` may read.
    pub log_files: Vec<String>,
    /// The MQTT broker.
    pub mqtt: Option<Broker>,
    /// `device_reboot` is on.
    pub reboot: bool,
    /// Units that `service_restart` may restart.
    pub restart: Vec<String>,
    /// Units that would cut the operator off if they did not come back, and that may be restarted all the same.
    pub restart_critical: Vec<String>,
    /// Machines to wake.
    pub wake: Vec<Sleeper>,
}
