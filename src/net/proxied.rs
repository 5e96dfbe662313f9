use std::{io, net::SocketAddr, time::Duration};

use thiserror::Error;
use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};

use super::canonical;
use crate::{
    model::Network,
    proto::proxy_header::{self, Header, ParseError},
};

/// From whom to whom a connection goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peers {
    /// The client.
    pub client: SocketAddr,
    /// The address that it connected to.
    pub local: SocketAddr,
    /// How many more proxies may follow, where the proxy says so.
    pub ttl: Option<u8>,
}

/// Why a connection to a listener that takes PROXY headers is closed.
#[derive(Debug, Error)]
pub enum ProxyRefusal {
    /// It does not begin with a header.
    #[error("{0}")]
    Header(#[from] ParseError),
    /// The connection failed or ended before the header was whole.
    #[error("it ended before its PROXY header was whole")]
    Ended,
    /// It failed.
    #[error("it failed: {0}")]
    Io(#[from] io::Error),
    /// The header did not come in time.
    #[error("its PROXY header did not come in time")]
    Slow,
    /// Its address is in none of the networks that may send one.
    #[error("its address is not in proxy_protocol_from")]
    Stranger,
}

/// Reads the PROXY header at the start of a connection from `peer`, and leaves every octet behind it where it is. On a
/// listener without `trusted` networks there is no header.
///
/// The networks that may send a header must, and nobody else may connect: whoever gets past the proxies would get past
/// whatever they hold back.
///
/// # Errors
/// [`ProxyRefusal`]: the connection is to be closed without a word.
pub async fn peers(
    tcp: &mut TcpStream,
    peer: SocketAddr,
    trusted: &[Network],
    limit: Duration,
) -> Result<Peers, ProxyRefusal> {
    let local = canonical(tcp.local_addr()?);
    let socket = Peers { client: peer, local, ttl: None };
    if trusted.is_empty() {
        return Ok(socket);
    }
    if !trusted.iter().any(|network| network.contains(peer.ip())) {
        return Err(ProxyRefusal::Stranger);
    }
    let header = timeout(limit, read(tcp)).await.map_err(|_| ProxyRefusal::Slow)??;
    Ok(match header {
        Header::Local => socket,
        Header::Proxied(proxied) => {
            let (client, local) = (canonical(proxied.source), canonical(proxied.destination));
            Peers { client, local, ttl: proxied.ttl }
        }
    })
}

/// Reads no octet more than the header has: what follows belongs to the session, or to its TLS.
async fn read(tcp: &mut TcpStream) -> Result<Header, ProxyRefusal> {
    let mut octets = Vec::new();
    loop {
        match proxy_header::parse(&octets) {
            Ok(parsed) => return Ok(parsed.header),
            Err(ParseError::NeedMore) => {}
            Err(invalid) => return Err(invalid.into()),
        }
        let missing = u64::try_from(proxy_header::missing(&octets)).unwrap_or(1);
        if (&mut *tcp).take(missing).read_buf(&mut octets).await? == 0 {
            return Err(ProxyRefusal::Ended);
        }
    }
}
