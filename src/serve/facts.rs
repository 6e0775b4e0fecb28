//! The gateway as the methods of the socket see it.

use std::cell::{Ref, RefCell};

use super::gateway::Gateway;
use crate::api::socket::facts::{Event, Facts};
use crate::api::socket::roll::Roll;
use crate::gate::Gate;
use crate::tool::{self, Listed, Now, Sessions};

impl Facts for Gateway {
    fn now(&self) -> Now {
        Now::read()
    }

    fn synchronized(&self) -> Option<bool> {
        tool::synchronized(&self.host, Now::read())
    }

    fn uptime_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn host_name(&self) -> String {
        rustix::system::uname().nodename().to_string_lossy().into_owned()
    }

    fn address(&self) -> Option<String> {
        let addresses = self.listening();
        let reachable = |ip: &std::net::IpAddr| !ip.is_loopback() && !ip.is_unspecified();
        addresses.iter().map(std::net::SocketAddr::ip).find(reachable).map(|ip| ip.to_string())
    }

    fn system(&self) -> (String, String) {
        let system = rustix::system::uname();
        let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
        (["linux ", &text(system.release())].concat(), text(system.machine()))
    }

    fn public_key(&self) -> Option<[u8; 32]> {
        self.public_key
    }

    fn message_bytes(&self) -> usize {
        self.message_bytes.get()
    }

    fn connections(&self) -> usize {
        self.seats.borrow().as_ref().map_or(0, |seats| seats.taken())
    }

    fn tools(&self) -> Vec<Listed> {
        tool::survey(&self.host).into_iter().filter(|(_, present)| present.is_ok()).map(|(tool, _)| tool).collect()
    }

    fn gate(&self) -> Ref<'_, Gate> {
        self.gate.borrow()
    }

    fn config_path(&self) -> Option<String> {
        self.places.config.clone()
    }

    fn state_dir(&self) -> Option<String> {
        self.places.state.clone()
    }

    fn document(&self) -> Result<String, String> {
        match &self.host.desk {
            Some(desk) => (desk.document)(),
            None => Err("no gateway runs here".into()),
        }
    }

    fn sessions(&self) -> Ref<'_, Sessions> {
        self.host.sessions.borrow()
    }

    fn events_after(&self, number: u64, most: usize) -> Vec<Event> {
        let event = |line: super::audit::Line| Event {
            number: line.number,
            wall_s: line.seconds,
            level: line.level.as_str(),
            text: line.text,
        };
        self.audit.tail(number, most).into_iter().map(event).collect()
    }

    fn roll(&self) -> &RefCell<Roll> {
        &self.hub.roll
    }
}
