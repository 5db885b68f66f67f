//! Names and ports: whether a host is known, and whether something listens there.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;

/// Time for the name service, and for each address to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 4;

/// What kept a connection from being made.
pub(super) enum Unreachable {
    /// The name has no address.
    Name(String),
    /// Nobody answers there.
    Port(String),
}

/// Opens a connection and closes it again. Returns where it led.
pub(super) async fn reach(host: &str, port: u16) -> Result<SocketAddr, Unreachable> {
    let bare = host.trim_matches(['[', ']']);
    let looked_up = tokio::time::timeout(PATIENCE, tokio::net::lookup_host((bare, port))).await;
    let addresses: Vec<_> = match looked_up {
        Err(_) => return Err(Unreachable::Name("the name service does not answer".to_owned())),
        Ok(Err(error)) => return Err(Unreachable::Name(error.to_string())),
        Ok(Ok(addresses)) => addresses.take(MAX_ADDRESSES).collect(),
    };
    let mut last = "the name has no address".to_owned();
    for address in addresses {
        match tokio::time::timeout(PATIENCE, TcpStream::connect(address)).await {
            Ok(Ok(_)) => return Ok(address),
            Ok(Err(error)) => last = format!("{address}: {error}"),
            Err(_) => last = format!("{address}: no answer within {} s", PATIENCE.as_secs()),
        }
    }
    Err(Unreachable::Port(last))
}
