use std::{
    io,
    net::{IpAddr, SocketAddr},
    str::FromStr,
    time::Duration,
};

use thiserror::Error;
use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};

use super::canonical;
use crate::proto::proxy_header::{self, Header, ParseError};

/// A network of addresses: `10.0.0.0/8`, `2001:db8::/32`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// A text that names no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidNetwork {
    /// No address, or no length.
    #[error("must be a network such as \"10.0.0.0/8\" or \"2001:db8::/32\", or an address")]
    Malformed,
    /// Bits behind the prefix are set, so that it is not clear what is meant.
    #[error("has bits set behind its prefix")]
    HostBits,
}

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

impl Network {
    /// Whether `address` is in it. An IPv4 address mapped into IPv6 is that IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                masked(u128::from(own.to_bits()), self.prefix, 32)
                    == masked(u128::from(other.to_bits()), self.prefix, 32)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                masked(own.to_bits(), self.prefix, 128) == masked(other.to_bits(), self.prefix, 128)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// The first `prefix` of `width` bits.
fn masked(bits: u128, prefix: u8, width: u8) -> u128 {
    let behind = u32::from(width.saturating_sub(prefix));
    bits.checked_shr(behind).unwrap_or(0)
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().map_err(|_| InvalidNetwork::Malformed)?;
        if address != address.to_canonical() {
            return Err(InvalidNetwork::Malformed);
        }
        let (bits, width) = match address {
            IpAddr::V4(address) => (u128::from(address.to_bits()), 32_u8),
            IpAddr::V6(address) => (address.to_bits(), 128),
        };
        let is_number = |text: &&str| {
            text.bytes().all(|octet| octet.is_ascii_digit()) && (*text == "0" || !text.starts_with('0'))
        };
        let prefix = match prefix {
            None => width,
            Some(text) => {
                let number = Some(text).filter(is_number).and_then(|text| text.parse().ok());
                number.filter(|prefix| *prefix <= width).ok_or(InvalidNetwork::Malformed)?
            }
        };
        let behind = u32::from(width.saturating_sub(prefix));
        if masked(bits, prefix, width).checked_shl(behind).unwrap_or(0) != bits {
            return Err(InvalidNetwork::HostBits);
        }
        Ok(Self { address, prefix })
    }
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
