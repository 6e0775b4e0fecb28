//! What the tests of tools that use the network share: servers on the loopback, and hosts that may reach them.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::rc::Rc;
use std::thread;

use super::fixture::Scratch;
use super::{Host, Targets, border};
use crate::gate::peer::Net;

/// Serves every connection to `at` with `serve`, one after another. Ends with the test.
pub fn serve_at(at: &str, mut serve: impl FnMut(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind(at).expect("a listener");
    let addr = listener.local_addr().expect("an address");
    thread::spawn(move || listener.incoming().flatten().for_each(&mut serve));
    addr
}

/// Reads a request's head and writes what `answer` makes of it.
pub fn serve(mut answer: impl FnMut(&str) -> Vec<u8> + Send + 'static) -> SocketAddr {
    serve_at("127.0.0.1:0", move |mut stream| {
        let request = head(&mut stream);
        // A client that has read enough is gone.
        let _ = stream.write_all(&answer(&request));
    })
}

/// The head of the request that `stream` brings.
pub fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|length| length == 1) {
        head.push(byte[0]);
    }
    String::from_utf8(head).expect("text")
}

/// A name server that sends the datagrams that `answer` makes of a question.
pub fn name_server(mut answer: impl FnMut(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let addr = socket.local_addr().expect("an address");
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            for datagram in answer(&buffer[..length]) {
                socket.send_to(&datagram, from).expect("sent");
            }
        }
    });
    addr
}

/// The answer to `question` with `rcode` and records of the name asked for: type and content.
pub fn answer(question: &[u8], rcode: u8, records: &[(u16, &[u8])]) -> Vec<u8> {
    let mut out = question.to_vec();
    (out[2], out[3]) = (0x81, 0x80 | rcode);
    out[7] = u8::try_from(records.len()).expect("few records");
    for (kind, content) in records {
        out.extend([0xc0, 12]);
        out.extend(kind.to_be_bytes());
        out.extend([0, 1, 0, 0, 0, 60]);
        out.extend(u16::try_from(content.len()).expect("a short record").to_be_bytes());
        out.extend(*content);
    }
    out
}

/// What `question` asks for.
pub fn kind_of(question: &[u8]) -> u16 {
    u16::from_be_bytes([question[question.len() - 4], question[question.len() - 3]])
}

/// A host below `scratch` that asks the name servers at `servers`, and may reach the loopback like any other network.
pub fn near(scratch: &Scratch, servers: &[SocketAddr]) -> Host {
    let mut host = strict(scratch, servers);
    host.forbidden = |addr: IpAddr| if addr.is_loopback() { None } else { border::forbidden(addr) };
    let allow = ["127.0.0.0/8", "::1"].iter().flat_map(|net| Net::parse(net)).collect();
    allow_all(&host, allow);
    host
}

/// The same without that.
pub fn strict(scratch: &Scratch, servers: &[SocketAddr]) -> Host {
    let lines: Vec<String> = servers.iter().map(|at| format!("nameserver [{}]:{}\n", at.ip(), at.port())).collect();
    scratch.write("etc/resolv.conf", [&lines.concat(), "options timeout:1 attempts:1\n"].concat().as_bytes());
    scratch.host()
}

/// Lets callers of `host` reach `allow`, and `http_fetch` ask whatever it has listed so far.
pub fn allow_all(host: &Host, allow: Vec<Net>) {
    let fetch = host.targets.borrow().fetch.clone();
    *host.targets.borrow_mut() = Rc::new(Targets { allow, fetch, ..Targets::default() });
}

/// Lets `http_fetch` of `host` ask `hosts`.
pub fn list(host: &Host, hosts: &[&str]) {
    let allow = host.targets.borrow().allow.clone();
    let fetch = hosts.iter().map(|host| (*host).to_owned()).collect();
    *host.targets.borrow_mut() = Rc::new(Targets { allow, fetch, ..Targets::default() });
}
