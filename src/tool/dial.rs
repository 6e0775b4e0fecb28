//! A host's name and a port → a connection to it. The one place where tools that speak TCP get their connections.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};

use async_io::Async;

use super::host::Host;

/// Connects to `port` of the machine `name`. Only addresses and `localhost` are known here.
///
/// # Errors
/// Why not, in words for the caller that follow the argument's name.
pub(super) async fn dial(_host: &Host, name: &str, port: u16) -> Result<Async<TcpStream>, String> {
    let literal = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    let addr: IpAddr = match literal.parse() {
        Ok(addr) => addr,
        Err(_) if name.eq_ignore_ascii_case("localhost") => IpAddr::from(Ipv4Addr::LOCALHOST),
        Err(_) => return Err(String::from("is a name, and names are not looked up by this version")),
    };
    let connected = Async::<TcpStream>::connect(SocketAddr::new(addr, port)).await;
    connected.map_err(|_| String::from("cannot be reached"))
}
