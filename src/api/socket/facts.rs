//! What the methods tell of, asked of the shell only when a method needs it.

use std::cell::{Ref, RefCell};

use super::roll::Roll;
use crate::gate::Gate;
use crate::tool::{Listed, Now, Sessions};

/// One event of the audit ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its number, from 1.
    pub number: u64,
    /// Seconds since 1970 by the wall clock; for display.
    pub wall_s: u64,
    /// How bad it is, as the log writes it: `ERROR`, `WARN`, `INFO`, `DEBUG`, `TRACE`.
    pub level: &'static str,
    /// The event as in the log.
    pub text: String,
}

/// The gateway as the methods see it. The wall clock is for display; one thing alone is decided by it, whether a device
/// signed long ago, and that only while [`Facts::synchronized`].
pub trait Facts {
    /// Both clocks now.
    fn now(&self) -> Now;
    /// Milliseconds since 1970 by the wall clock, for display.
    fn wall_ms(&self) -> u64 {
        self.now().shown()
    }
    /// Whether somebody keeps the wall clock in time; `None` when nobody says.
    fn synchronized(&self) -> Option<bool>;
    /// Milliseconds since the gateway started; never steps.
    fn uptime_ms(&self) -> u64;
    /// The device's own name (`uname` nodename).
    fn host_name(&self) -> String;
    /// The address that others reach this gateway at; `None` when it listens on loopback only or everywhere.
    fn address(&self) -> Option<String>;
    /// The platform and the architecture, such as `linux 6.1.0-18-arm64` and `aarch64`.
    fn system(&self) -> (String, String);
    /// The gateway's ed25519 key; `None` where none could be made.
    fn public_key(&self) -> Option<[u8; 32]>;
    /// Bytes of one message that may come after the handshake.
    fn message_bytes(&self) -> usize;
    /// Connections open now, the asking one included.
    fn connections(&self) -> usize;
    /// The tools this device has, sorted by name.
    fn tools(&self) -> Vec<Listed>;
    /// The rules in force.
    fn gate(&self) -> Ref<'_, Gate>;
    /// The configuration file; for the owner only.
    fn config_path(&self) -> Option<String>;
    /// The directory of what the gateway keeps; for the owner only.
    fn state_dir(&self) -> Option<String>;
    /// The configuration file without its secrets: the `result` of the tool `gateway` for `config.get`.
    ///
    /// # Errors
    /// One sentence for the caller.
    fn document(&self) -> Result<String, String>;
    /// The sessions this gateway served.
    fn sessions(&self) -> Ref<'_, Sessions>;
    /// The events after `number`, oldest first, the latest `most` of them.
    fn events_after(&self, number: u64, most: usize) -> Vec<Event>;
    /// Who is connected. `system-event` writes into it, everything else only reads.
    fn roll(&self) -> &RefCell<Roll>;
}
