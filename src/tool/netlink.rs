//! A routing socket, just enough of it: three questions → links, addresses and the default route; one more → neighbours.
//!
//! Source: rtnetlink(7).
//!
//! The socket never waits: the kernel answers a question within the call that asks it, so "would block" means that
//! something is wrong and the caller reads files instead. Every length in a message is the kernel's word and checked.

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};

use super::neighbors::{Found, Neighbor};
use super::network::{Link, Net, in_order, mac, named, up};
use crate::limits::{NETLINK_BYTES, NETLINK_READS};

const DONE: u16 = 3;
const ERROR: u16 = 2;
const NEW_LINK: u16 = 16;
const GET_LINK: u16 = 18;
const NEW_ADDR: u16 = 20;
const GET_ADDR: u16 = 22;
const NEW_ROUTE: u16 = 24;
const GET_ROUTE: u16 = 26;
const NEW_NEIGHBOR: u16 = 28;
const GET_NEIGHBOR: u16 = 30;
/// Request, and all objects of the kind (NLM_F_REQUEST | NLM_F_DUMP).
const DUMP: u16 = 0x301;
/// The length of a message's own header.
const HEADER: usize = 16;
const MAIN_TABLE: u32 = 254;
/// The groups RTMGRP_LINK, RTMGRP_IPV4_IFADDR and RTMGRP_IPV6_IFADDR.
const CHANGES: u32 = 0x1 | 0x10 | 0x100;

/// Everything about the network.
///
/// # Errors
/// When the socket is denied, the kernel refuses, or the answer does not end within the limits.
pub(super) fn read() -> io::Result<Net> {
    let (socket, mut buffer) = open()?;
    let mut net = Net { links: addressed(&socket, &mut buffer)?, route: None };
    let mut best: Option<Default> = None;
    ask(&socket, &mut buffer, GET_ROUTE, 12, &mut |kind, body| {
        if let Some(found) = default(body).filter(|_| kind == NEW_ROUTE) {
            // An IPv4 route is preferred, then the smaller metric, then the first.
            if best.as_ref().is_none_or(|best| (found.v6, found.metric) < (best.v6, best.metric)) {
                best = Some(found);
            }
        }
    })?;
    net.route = best.and_then(|best| Some((named(&net.links, best.index)?, best.gateway)));
    net.links = in_order(net.links);
    Ok(net)
}

/// The links and their addresses.
///
/// # Errors
/// As those of [`read`].
pub(super) fn interfaces() -> io::Result<Vec<Link>> {
    let (socket, mut buffer) = open()?;
    addressed(&socket, &mut buffer)
}

/// A socket that the kernel tells of every change of a link or an address. What it says is not read, only that it spoke.
///
/// # Errors
/// When the socket is denied.
pub(super) fn changes() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    rustix::net::bind(&socket, &SocketAddrNetlink::new(0, CHANGES))?;
    Ok(socket)
}

/// Adds all neighbours to `found`, except those that the kernel made for itself (multicast, the loopback).
///
/// # Errors
/// As those of [`read`].
pub(super) fn neighbors(found: &mut Found) -> io::Result<()> {
    let (socket, mut buffer) = open()?;
    let links = links(&socket, &mut buffer)?;
    ask(&socket, &mut buffer, GET_NEIGHBOR, 12, &mut |kind, body| {
        if let Some(neighbor) = neighbor(body, &links).filter(|_| kind == NEW_NEIGHBOR) {
            found.add(neighbor);
        }
    })
}

fn open() -> io::Result<(OwnedFd, Vec<u8>)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok((socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?, vec![0; NETLINK_BYTES]))
}

fn addressed(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<Vec<Link>> {
    let mut links = links(socket, buffer)?;
    ask(socket, buffer, GET_ADDR, 8, &mut |kind, body| {
        if kind == NEW_ADDR {
            address(body, &mut links);
        }
    })?;
    Ok(links)
}

fn links(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<Vec<Link>> {
    let mut links = Vec::new();
    ask(socket, buffer, GET_LINK, HEADER, &mut |kind, body| {
        if kind == NEW_LINK {
            links.extend(link(body));
        }
    })?;
    Ok(links)
}

/// Sends one question of `size` zero bytes after the header and hands every message of the answer to `each`.
fn ask(
    socket: &OwnedFd,
    buffer: &mut [u8],
    kind: u16,
    size: usize,
    each: &mut dyn FnMut(u16, &[u8]),
) -> io::Result<()> {
    let mut question = vec![0; HEADER.saturating_add(size)];
    let length = u32::try_from(question.len()).unwrap_or(0);
    // The kind serves as the sequence number: each question is asked once.
    let parts: [(usize, &[u8]); 4] = [
        (0, &length.to_ne_bytes()),
        (4, &kind.to_ne_bytes()),
        (6, &DUMP.to_ne_bytes()),
        (8, &u32::from(kind).to_ne_bytes()),
    ];
    for (at, bytes) in parts {
        if let Some(place) = question.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }
    send(socket, &question, SendFlags::empty())?;
    for _ in 0..NETLINK_READS {
        let (_, length) = recv(socket, &mut *buffer, RecvFlags::TRUNC)?;
        let datagram = buffer.get(..length).ok_or(io::ErrorKind::InvalidData)?;
        if messages(datagram, u32::from(kind), each)? {
            return Ok(());
        }
    }
    Err(io::Error::from(io::ErrorKind::InvalidData))
}

/// Hands the messages of one datagram to `each`; whether the answer is complete. Others' messages are skipped.
fn messages(mut rest: &[u8], sequence: u32, each: &mut dyn FnMut(u16, &[u8])) -> io::Result<bool> {
    while rest.len() >= HEADER {
        let length = usize::try_from(u32_at(rest, 0).unwrap_or(0)).unwrap_or(usize::MAX);
        let body = rest.get(HEADER..length).ok_or(io::ErrorKind::InvalidData)?;
        if u32_at(rest, 8) == Some(sequence) {
            match u16_at(rest, 4) {
                Some(DONE) => return Ok(true),
                Some(ERROR) | None => return Err(io::Error::from(io::ErrorKind::PermissionDenied)),
                Some(kind) => each(kind, body),
            }
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

/// The attributes after a message's fixed part, as (kind, value). Stops at the first that does not fit.
fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(rest, 0)?);
        let kind = u16_at(rest, 2)? & 0x3fff;
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// `struct ifinfomsg` and its attributes.
fn link(body: &[u8]) -> Option<Link> {
    let mut link = Link { index: i64::from(i32_at(body, 4)?), ..Link::default() };
    let flags = u32_at(body, 8)?;
    let mut operational = false;
    for (kind, value) in attributes(body.get(16..)?) {
        match kind {
            1 => link.mac = mac(value),
            3 => link.name = text(value),
            // IFLA_OPERSTATE: 0 unknown, 6 up.
            16 => operational = matches!(value, [0 | 6]),
            // IFLA_STATS64: packets received and sent, then bytes received and sent.
            23 => (link.rx_bytes, link.tx_bytes) = (u64_at(value, 16), u64_at(value, 24)),
            _ => {}
        }
    }
    link.up = up(flags, operational);
    if link.name.is_empty() { None } else { Some(link) }
}

/// `struct ifaddrmsg` and its attributes, put into the link it belongs to.
fn address(body: &[u8], links: &mut [Link]) -> Option<()> {
    let (prefix, index) = (*body.get(1)?, u32_at(body, 4)?);
    let (mut local, mut peer) = (None, None);
    for (kind, value) in attributes(body.get(8..)?) {
        match kind {
            1 => peer = ip(value),
            2 => local = ip(value),
            _ => {}
        }
    }
    // On a point-to-point link the plain address is the other end's and the local one is ours.
    let addr = local.or(peer)?;
    links.iter_mut().find(|link| link.index == i64::from(index))?.addrs.push((addr, prefix));
    Some(())
}

/// `struct ndmsg` and its attributes.
fn neighbor(body: &[u8], links: &[Link]) -> Option<Neighbor> {
    let (family, index) = (*body.first()?, i32_at(body, 4)?);
    let state = match u16_at(body, 8)? {
        0x01 => "incomplete",
        0x02 => "reachable",
        0x04 => "stale",
        0x08 => "delay",
        0x10 => "probe",
        0x20 => "failed",
        0x80 => "permanent",
        _ => return None,
    };
    let (mut to, mut at) = (None, None);
    for (kind, value) in attributes(body.get(12..)?) {
        match kind {
            1 => to = ip(value),
            2 => at = mac(value),
            _ => {}
        }
    }
    let interface = named(links, i64::from(index))?;
    if matches!(family, 2 | 10) { Some(Neighbor { ip: to?, mac: at, interface, state }) } else { None }
}

struct Default {
    v6: bool,
    metric: u32,
    index: i64,
    gateway: Option<IpAddr>,
}

/// `struct rtmsg` and its attributes, if it is a default route of the main table.
fn default(body: &[u8]) -> Option<Default> {
    let (family, length, kind) = (*body.first()?, *body.get(1)?, *body.get(7)?);
    let mut table = u32::from(*body.get(4)?);
    let mut found = Default { v6: family == 10, metric: 0, index: -1, gateway: None };
    for (kind, value) in attributes(body.get(12..)?) {
        match kind {
            // RTA_MULTIPATH: the first of several next hops stands for all.
            9 => {
                found.index = i64::from(i32_at(value, 4)?);
                let hop = value.get(8..usize::from(u16_at(value, 0)?))?;
                found.gateway = attributes(hop).find(|(kind, _)| *kind == 5).and_then(|(_, value)| ip(value));
            }
            4 => found.index = i64::from(i32_at(value, 0)?),
            5 => found.gateway = ip(value),
            6 => found.metric = u32_at(value, 0)?,
            15 => table = u32_at(value, 0)?,
            _ => {}
        }
    }
    let unicast = 1;
    if length == 0 && kind == unicast && table == MAIN_TABLE && matches!(family, 2 | 10) { Some(found) } else { None }
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let v4: Option<[u8; 4]> = bytes.try_into().ok();
    let v6: Option<[u8; 16]> = bytes.try_into().ok();
    v4.map(IpAddr::from).or(v6.map(IpAddr::from))
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..)?.first_chunk().copied()?))
}
fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..)?.first_chunk().copied()?))
}
fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_ne_bytes(bytes.get(at..)?.first_chunk().copied()?))
}
fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..)?.first_chunk().copied()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(HEADER + body.len()).unwrap();
        let mut out = Vec::new();
        out.extend(length.to_ne_bytes());
        out.extend(kind.to_ne_bytes());
        out.extend([0; 2]);
        out.extend(sequence.to_ne_bytes());
        out.extend([0; 4]);
        out.extend(body);
        out.resize(out.len().next_multiple_of(4), 0);
        out
    }

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend(u16::try_from(4 + value.len()).unwrap().to_ne_bytes());
        out.extend(kind.to_ne_bytes());
        out.extend(value);
        out.resize(out.len().next_multiple_of(4), 0);
        out
    }

    fn kinds(datagram: &[u8]) -> (Vec<u16>, Option<bool>) {
        let mut kinds = Vec::new();
        let done = messages(datagram, 7, &mut |kind, _| kinds.push(kind)).ok();
        (kinds, done)
    }

    #[test]
    fn answers() {
        let datagram = [message(16, 7, b"abc"), message(20, 9, b""), message(24, 7, b"")].concat();
        assert_eq!(kinds(&datagram), (vec![16, 24], Some(false)));
        assert_eq!(kinds(&message(DONE, 7, b"")), (vec![], Some(true)));
        assert_eq!(kinds(&message(ERROR, 7, b"")), (vec![], None));
        assert_eq!(kinds(b"short"), (vec![], Some(false)));
        for hostile in [0u32, 15, 17, 5_000, u32::MAX] {
            let mut datagram = message(16, 7, b"");
            datagram[..4].copy_from_slice(&hostile.to_ne_bytes());
            assert_eq!(kinds(&datagram).1, None, "{hostile}");
        }
    }

    #[test]
    fn every_cut_and_every_flipped_byte_of_a_link_is_survived() {
        let stats: Vec<u8> = (0..24u64).flat_map(u64::to_ne_bytes).collect();
        let mut body = vec![0; 16];
        body[4] = 3;
        body[8] = 1;
        body.extend(attribute(3, b"eth0\0"));
        body.extend(attribute(1, &[2, 0, 0, 0, 0, 1]));
        body.extend(attribute(16, &[6]));
        body.extend(attribute(23, &stats));
        let expected = Link {
            index: 3,
            name: String::from("eth0"),
            up: true,
            mac: Some(String::from("02:00:00:00:00:01")),
            addrs: Vec::new(),
            rx_bytes: Some(2),
            tx_bytes: Some(3),
        };
        assert_eq!(link(&body), Some(expected));
        for at in 0..body.len() {
            let _ = (link(&body[..at]), address(&body[..at], &mut []), default(&body[..at]));
            let mut flipped = body.clone();
            flipped[at] = 0xff;
            let _ = (link(&flipped), address(&flipped, &mut []), default(&flipped));
        }
    }

    #[test]
    fn neighbours_are_those_of_internet_families_that_somebody_asked_for() {
        let links = [Link { index: 3, name: String::from("eth0"), ..Link::default() }];
        let body = |family: u8, index: u8, state: u8, more: &[u8]| {
            [&[family, 0, 0, 0, index, 0, 0, 0, state, 0, 0, 0], more].concat()
        };
        let v4 = attribute(1, &[192, 168, 1, 9]);
        let whole = [v4.clone(), attribute(2, &[2, 0, 0, 0, 0, 1])].concat();
        // Little-endian samples; the kernel speaks the machine's order.
        if cfg!(target_endian = "big") {
            return;
        }
        let expected = Neighbor {
            ip: IpAddr::from([192, 168, 1, 9]),
            mac: Some(String::from("02:00:00:00:00:01")),
            interface: String::from("eth0"),
            state: "stale",
        };
        assert_eq!(neighbor(&body(2, 3, 4, &whole), &links), Some(expected));
        assert_eq!(neighbor(&body(2, 3, 0x20, &v4), &links).map(|found| found.mac), Some(None));
        for (family, index, state) in [(2, 9, 4), (2, 3, 0x40), (2, 3, 0), (7, 3, 4)] {
            assert_eq!(neighbor(&body(family, index, state, &whole), &links), None);
        }
        let sample = body(2, 3, 4, &whole);
        for at in 0..sample.len() {
            let mut flipped = sample.clone();
            flipped[at] = 0xff;
            let _ = (neighbor(&sample[..at], &links), neighbor(&flipped, &links));
        }
    }

    #[test]
    fn default_routes() {
        let gateway = attribute(5, &[192, 168, 1, 1]);
        let route = |head: [u8; 8], more: &[u8]| {
            let found = default(&[&head[..], &[0; 4], more].concat())?;
            Some((found.v6, found.metric, found.index, found.gateway))
        };
        let via = Some(IpAddr::from([192, 168, 1, 1]));
        let plain = [attribute(4, &2i32.to_ne_bytes()), gateway.clone(), attribute(6, &600u32.to_ne_bytes())].concat();
        assert_eq!(route([2, 0, 0, 0, 254, 0, 0, 1], &plain), Some((false, 600, 2, via)));
        // Not default, not unicast, not the main table, not an internet family.
        for head in [
            [2, 24, 0, 0, 254, 0, 0, 1],
            [2, 0, 0, 0, 254, 0, 0, 2],
            [2, 0, 0, 0, 52, 0, 0, 1],
            [7, 0, 0, 0, 254, 0, 0, 1],
        ] {
            assert_eq!(route(head, &plain), None);
        }
        let mut hop = Vec::new();
        hop.extend(u16::try_from(8 + gateway.len()).unwrap().to_ne_bytes());
        hop.extend([0; 2]);
        hop.extend(5i32.to_ne_bytes());
        hop.extend(&gateway);
        assert_eq!(route([2, 0, 0, 0, 254, 0, 0, 1], &attribute(9, &hop)), Some((false, 0, 5, via)));
    }
}
