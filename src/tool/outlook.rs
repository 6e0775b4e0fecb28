//! How this device stands in its networks, for who has nothing else to do: interfaces and what tailscaled says.

use std::future::Future;
use std::pin::Pin;

use super::forwards::{self, Forward};
use super::host::Host;
use super::interfaces::{self, Interface};
use super::localapi::{self, Missing, Status};

/// What was seen.
#[derive(Debug)]
pub struct Outlook {
    /// The interfaces that are up; `None` when the kernel did not say in time.
    pub wires: Option<Vec<Interface>>,
    /// What tailscaled says of this device.
    pub tailscale: Result<Status, Missing>,
    /// What it passes on by itself, if it says how it is.
    pub forwards: Result<Vec<Forward>, Missing>,
}

/// Looks, at most for as long as all of it may take.
pub fn look(host: &Host) -> Outlook {
    let socket = host.tailscaled();
    let mut seen = Outlook { wires: None, tailscale: Err(Missing::Absent), forwards: Err(Missing::Absent) };
    wait(Box::pin(async {
        seen.wires = interfaces::look(host).await.ok();
        seen.tailscale = localapi::status(&socket).await;
        // Who says nothing of itself is not waited for again.
        if seen.tailscale.is_ok() {
            seen.forwards = forwards::all(&socket).await;
        }
    }));
    seen
}

/// Blocks until `work` is done: one copy of this road for whoever has nothing else to do.
#[inline(never)]
pub(super) fn wait(work: Pin<Box<dyn Future<Output = ()> + '_>>) {
    smol::block_on(work);
}
