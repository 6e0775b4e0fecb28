//! `wake_on_lan`: the magic packet for a machine that the operator named, to everybody on its network.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsFd;
use std::thread;

use super::host::Host;
use super::network::{Link, gather};
use super::object::Object;
use super::root::Root;
use super::targets::Sleeper;
use super::{Call, Later, Outcome, aside, ioctl, network};
use crate::limits::{WAKE_PACKETS, WAKE_STEP};

/// The discard port: nobody answers there.
const PORT: u16 = 9;

/// Whether the operator named machines.
///
/// # Errors
/// Names the key.
pub(super) fn present(host: &Host) -> Result<(), String> {
    if host.targets().wake.is_empty() {
        return Err(String::from("tools.device.wake_on_lan.hosts names no machine"));
    }
    Ok(())
}

fn plan(host: &Host, call: &Call) -> Result<Sleeper, Outcome> {
    let name = call.args.text("host").unwrap_or_default();
    let targets = host.targets();
    let sleeper = targets.wake.iter().find(|sleeper| sleeper.name == name).cloned();
    sleeper.ok_or_else(|| Outcome::soft("forbidden", "host: is not named in tools.device.wake_on_lan.hosts"))
}

/// What `wake_on_lan` would do, as a JSON object.
///
/// # Errors
/// The refusal that the call would get.
pub(super) fn would(host: &Host, call: &Call) -> Result<String, Outcome> {
    Ok(shown(&plan(host, call)?, "packets").end())
}

/// The answer, with the number of packets under the key `count`.
fn shown(sleeper: &Sleeper, count: &str) -> Object {
    let mut object = Object::new();
    object.number(count, WAKE_PACKETS as i64).maybe("interface", sleeper.interface.as_deref());
    object.maybe("mac", network::mac(&sleeper.mac).as_deref());
    object
}

/// `wake_on_lan`.
pub(super) fn wake<'a>(host: &'a Host, call: &'a Call) -> Later<'a> {
    let sleeper = match plan(host, call) {
        Ok(sleeper) => sleeper,
        Err(outcome) => return aside::known(outcome),
    };
    let root = host.root.clone();
    let work = move || match call_out(&sleeper, &root, PORT) {
        Ok(()) => shown(&sleeper, "sent").done(),
        Err(why) => Outcome::soft("error", &["host: ", why].concat()),
    };
    aside::later(&host.errands, Box::new(work))
}

/// Sends the packet a few times, because broadcasts are lost more easily than others. Waits between them.
fn call_out(sleeper: &Sleeper, root: &Root, port: u16) -> Result<(), &'static str> {
    let (from, to) = match sleeper.interface.as_deref() {
        None => (Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST),
        Some(name) => {
            let (net, _) = gather(root);
            let link = net.links.iter().find(|link| link.name == name).ok_or("its interface is not there")?;
            broadcast(link).ok_or("its interface has no network to broadcast in")?
        }
    };
    let packet = magic(&sleeper.mac);
    let send = || -> io::Result<()> {
        let socket = UdpSocket::bind((from, 0))?;
        if let Some(name) = sleeper.interface.as_deref() {
            // A kernel before 5.7 wants a privilege for this. Without it the address leads to the right network, and
            // only of two interfaces in one network it may be the other that sends.
            _ = ioctl::bind_to_interface(socket.as_fd(), name);
        }
        socket.set_broadcast(true)?;
        socket.set_nonblocking(true)?;
        for packets in 1..=WAKE_PACKETS {
            socket.send_to(&packet, SocketAddrV4::new(to, port))?;
            if packets < WAKE_PACKETS {
                thread::sleep(WAKE_STEP);
            }
        }
        Ok(())
    };
    send().map_err(|_| "the packet cannot be sent; is its network up, and its interface named?")
}

/// The first address of `link` that has a network around it, and that network's broadcast address.
fn broadcast(link: &Link) -> Option<(Ipv4Addr, Ipv4Addr)> {
    link.addrs.iter().find_map(|(addr, prefix)| match addr {
        IpAddr::V4(own) if (1..31).contains(prefix) => {
            let host_bits = u32::MAX.checked_shr(u32::from(*prefix))?;
            Some((*own, Ipv4Addr::from_bits(own.to_bits() | host_bits)))
        }
        _ => None,
    })
}

/// Six times 0xff, then the address sixteen times. Source: AMD, "Magic Packet Technology", publication 20213.
fn magic(mac: &[u8; 6]) -> Vec<u8> {
    [vec![0xff; 6], mac.repeat(16)].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::fixture::{bare, call, planned};
    use crate::tool::targets::Targets;
    use std::path::PathBuf;
    use std::rc::Rc;

    const MAC: [u8; 6] = [0, 0x11, 0x22, 0x33, 0x44, 0x55];

    fn host(interface: Option<&str>) -> Host {
        let nas = Sleeper { name: String::from("nas"), mac: MAC, interface: interface.map(String::from) };
        let host = bare(&[]);
        *host.targets.borrow_mut() = Rc::new(Targets { wake: vec![nas], ..Targets::default() });
        host
    }

    #[test]
    fn the_packet() {
        let packet = magic(&MAC);
        assert_eq!(packet.len(), 102);
        assert!(packet.starts_with(&[0xff; 6]) && packet.ends_with(&MAC));
        assert!(packet[6..].chunks(6).all(|part| part == MAC));
    }

    #[test]
    fn networks() {
        let check = |addr: &str, prefix: u8, expected: Option<&str>| {
            let link = Link { addrs: vec![(addr.parse().unwrap(), prefix)], ..Link::default() };
            assert_eq!(broadcast(&link).map(|(_, to)| to.to_string()).as_deref(), expected, "{addr}/{prefix}");
        };
        check("192.168.1.5", 24, Some("192.168.1.255"));
        check("10.1.2.3", 8, Some("10.255.255.255"));
        check("10.1.2.3", 30, Some("10.1.2.3"));
        check("10.1.2.3", 31, None);
        check("10.1.2.3", 32, None);
        check("10.1.2.3", 0, None);
        check("10.1.2.3", 200, None);
        check("fe80::1", 64, None);
    }

    #[test]
    fn only_named_machines_are_woken() {
        assert!(present(&bare(&[])).unwrap_err().contains("tools.device.wake_on_lan.hosts"));
        present(&host(None)).expect("a machine is named");
        let refused = Outcome::soft("forbidden", "host: is not named in tools.device.wake_on_lan.hosts");
        for name in ["pc", "NAS", "00:11:22:33:44:55"] {
            let outcome = call(&host(None), "wake_on_lan", &format!("{{\"host\":\"{name}\"}}"));
            assert!(outcome == refused || matches!(outcome, Outcome::Input(_)), "{outcome:?}");
        }
        let plan = planned(&host(Some("eth9")), "wake_on_lan", "{\"host\":\"nas\"}", would).expect("a plan");
        assert_eq!(plan, "{\"packets\":3,\"interface\":\"eth9\",\"mac\":\"00:11:22:33:44:55\"}");
        assert_eq!(planned(&host(None), "wake_on_lan", "{\"host\":\"pc\"}", would), Err(refused));
        let absent = call(&host(Some("eth9")), "wake_on_lan", "{\"host\":\"nas\"}");
        assert_eq!(absent, Outcome::soft("error", "host: its interface is not there"));
    }

    #[test]
    fn a_packet_reaches_whoever_listens_on_that_network() {
        let listener = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a socket");
        let port = listener.local_addr().expect("an address").port();
        let root = Root::new(PathBuf::from("/"));
        let sleeper = host(Some("lo")).targets().wake[0].clone();
        call_out(&sleeper, &root, port).expect("sent");
        let mut packet = [0; 200];
        for _ in 0..WAKE_PACKETS {
            let (length, from) = listener.recv_from(&mut packet).expect("a packet");
            assert_eq!((&packet[..length], from.ip()), (magic(&MAC).as_slice(), IpAddr::from(Ipv4Addr::LOCALHOST)));
        }
    }
}
