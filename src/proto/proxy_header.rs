//! The PROXY protocol header (HAProxy's specification, versions 1 and 2).
//!
//! It says before the first octet of a connection whom a proxy speaks for. The reader is strict and bounded,
//! because what it reads decides about rate limits and logs: a header that two readers could take for two
//! addresses is invalid, and a checksum that is there must be right. Whether a peer may send one at all is the
//! listener's decision.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use nom::{
    IResult, Parser,
    multi::length_data,
    number::complete::{be_u8, be_u16, be_u32, be_u128},
};
use thiserror::Error;

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const V1_PREFIX: &[u8] = b"PROXY ";
/// Longest header of version 1, CRLF included.
const V1_MAX: usize = 107;
/// Signature, command, family and length.
const V2_FIXED: usize = 16;
/// Longest rest of a version 2 header taken. Real ones are far shorter, and nothing else bounds what is kept.
const V2_MAX: usize = 4096;
/// Version 2, LOCAL.
const COMMAND_LOCAL: u8 = 0x20;
/// Version 2, PROXY.
const COMMAND_PROXY: u8 = 0x21;
const MAX_AUTHORITY: usize = 255;
const MAX_UNIQUE_ID: usize = 128;

const TYPE_AUTHORITY: u8 = 0x02;
const TYPE_CRC32C: u8 = 0x03;
const TYPE_UNIQUE_ID: u8 = 0x05;
const TYPE_SSL: u8 = 0x20;
/// How many more proxies may follow. The number is from those for applications (section 2.2.8), which others use too:
/// so the value says whose it is.
const TYPE_TTL: u8 = 0xEB;
const TTL_OWNER: &[u8] = b"bearward ttl ";
const SUBTYPE_SSL_VERSION: u8 = 0x21;
const SUBTYPE_SSL_CIPHER: u8 = 0x23;
/// The client connected over TLS.
const CLIENT_SSL: u8 = 0x01;
/// The client has shown a certificate on this connection.
const CLIENT_CERT_CONN: u8 = 0x02;

/// What a header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Header {
    /// Nothing about a client: a health check, or a transport without addresses. The socket's own addresses
    /// hold.
    Local,
    /// A client.
    Proxied(Proxied),
}

/// The client that a proxy speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxied {
    /// Its address.
    pub source: SocketAddr,
    /// The address that it connected to.
    pub destination: SocketAddr,
    /// Whether it connected over TLS, as far as the proxy says.
    pub encrypted: bool,
    /// The server name that it asked for: printable ASCII, at most 255 octets.
    pub authority: Option<String>,
    /// The proxy's name for the connection, at most 128 octets of anything.
    pub unique_id: Option<Vec<u8>>,
    /// How many more proxies may follow, where another Bearward says so.
    pub ttl: Option<u8>,
}

/// A header and where it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// Its length in octets; what follows belongs to the connection.
    pub consumed: usize,
    /// What it says.
    pub header: Header,
}

/// There is no header, or not yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ParseError {
    /// The beginning of a header; ask again with more octets.
    #[error("the PROXY header is not complete")]
    NeedMore,
    /// No header of either version; the connection must be closed.
    #[error("no valid PROXY header: {0}")]
    Invalid(&'static str),
}

/// What [`encode_v2`] says of the client's TLS connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TlsTlv<'a> {
    /// The protocol version, such as `TLSv1.3`.
    pub version: &'a str,
    /// The cipher suite.
    pub cipher: Option<&'a str>,
    /// The server name that the client asked for.
    pub authority: Option<&'a str>,
    /// Whether the client has shown a certificate on this connection.
    pub client_certificate: bool,
}

/// A version 2 header for a connection from `source` to `destination`, with the session's name in `unique_id`
/// (1 to 128 octets; any other is left out), how many more proxies may follow, and a checksum.
pub fn encode_v2(
    source: SocketAddr,
    destination: SocketAddr,
    tls: Option<&TlsTlv<'_>>,
    unique_id: Option<&[u8]>,
    ttl: Option<u8>,
) -> Vec<u8> {
    let (family, mut body) = addresses(source, destination);
    if let Some(tls) = tls {
        if let Some(authority) = tls.authority.filter(|name| !name.is_empty() && name.len() <= MAX_AUTHORITY)
        {
            put_tlv(&mut body, TYPE_AUTHORITY, authority.as_bytes());
        }
        put_tlv(&mut body, TYPE_SSL, &ssl_value(tls));
    }
    if let Some(id) = unique_id.filter(|id| (1..=MAX_UNIQUE_ID).contains(&id.len())) {
        put_tlv(&mut body, TYPE_UNIQUE_ID, id);
    }
    if let Some(ttl) = ttl {
        put_tlv(&mut body, TYPE_TTL, &[TTL_OWNER, &[ttl]].concat());
    }
    put_tlv(&mut body, TYPE_CRC32C, &[0; 4]);
    let mut header = header_v2(COMMAND_PROXY, family, &body);
    let sum = crc32c(header.iter().copied()).to_be_bytes();
    // Its own octets, the last, count as zero.
    for (octet, own) in header.iter_mut().rev().zip(sum.into_iter().rev()) {
        *octet = own;
    }
    header
}

/// A version 2 header for a connection that the proxy makes for itself, such as a health check.
pub fn encode_v2_local() -> Vec<u8> {
    header_v2(COMMAND_LOCAL, 0x00, &[])
}

fn header_v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let mut header = Vec::with_capacity(V2_FIXED + body.len());
    header.extend_from_slice(SIGNATURE);
    header.extend_from_slice(&[command, family]);
    header.extend_from_slice(&u16_length(body).to_be_bytes());
    header.extend_from_slice(body);
    header
}

/// Reads the header at the start of a connection.
///
/// # Errors
/// [`ParseError::NeedMore`] until it is whole; it never asks for more than 4112 octets in all.
pub fn parse(octets: &[u8]) -> Result<Parsed, ParseError> {
    if begins_like(octets, SIGNATURE) {
        return parse_v2(octets);
    }
    if begins_like(octets, V1_PREFIX) {
        return parse_v1(octets);
    }
    Err(ParseError::Invalid("it begins otherwise"))
}

/// How many octets can be read behind `octets`, for which [`parse`] says [`ParseError::NeedMore`], without reading
/// beyond the header; at least one.
pub fn missing(octets: &[u8]) -> usize {
    let count = octets.len();
    if octets.first().is_none_or(|first| V1_PREFIX.starts_with(&[*first])) {
        // Where the line ends shows only when it ends. No header of either version is shorter than this one.
        return b"PROXY UNKNOWN\r\n".len().saturating_sub(count).max(1);
    }
    let whole = match octets.get(V2_FIXED - 2..V2_FIXED) {
        Some(&[high, low]) => V2_FIXED + usize::from(u16::from_be_bytes([high, low])),
        Some(_) | None => V2_FIXED,
    };
    whole.saturating_sub(count).max(1)
}

/// Whether `octets` begin with `prefix`, or are the beginning of it.
fn begins_like(octets: &[u8], prefix: &[u8]) -> bool {
    octets.iter().zip(prefix).all(|(own, expected)| own == expected)
}

fn parse_v1(octets: &[u8]) -> Result<Parsed, ParseError> {
    let window = octets.get(..V1_MAX).unwrap_or(octets);
    let Some(end) = memchr::memchr2(b'\r', b'\n', window) else {
        return Err(if window.len() == V1_MAX {
            ParseError::Invalid("too long")
        } else {
            ParseError::NeedMore
        });
    };
    let (line, rest) = window.split_at_checked(end).unwrap_or((window, &[]));
    match rest {
        [b'\r', b'\n', ..] => {}
        [b'\r'] if end + 1 < V1_MAX => return Err(ParseError::NeedMore),
        _ => return Err(ParseError::Invalid("a bare CR or LF")),
    }
    let header = v1_line(line).ok_or(ParseError::Invalid("a malformed line of version 1"))?;
    Ok(Parsed { consumed: end + 2, header })
}

fn v1_line(line: &[u8]) -> Option<Header> {
    let words: Vec<&str> = std::str::from_utf8(line).ok()?.split(' ').collect();
    match *words.as_slice() {
        ["PROXY", "UNKNOWN", ..] => Some(Header::Local),
        ["PROXY", "TCP4", source, destination, from, to] => {
            v1_addresses::<Ipv4Addr>(source, destination, from, to)
        }
        ["PROXY", "TCP6", source, destination, from, to] => {
            v1_addresses::<Ipv6Addr>(source, destination, from, to)
        }
        _ => None,
    }
}

fn v1_addresses<A: FromStr + Into<IpAddr>>(
    source: &str,
    destination: &str,
    from: &str,
    to: &str,
) -> Option<Header> {
    let address = |text: &str| text.parse::<A>().ok().map(Into::into);
    Some(Header::Proxied(Proxied {
        source: SocketAddr::new(address(source)?, v1_port(from)?),
        destination: SocketAddr::new(address(destination)?, v1_port(to)?),
        encrypted: false,
        authority: None,
        unique_id: None,
        ttl: None,
    }))
}

fn v1_port(text: &str) -> Option<u16> {
    let canonical =
        text.bytes().all(|octet| octet.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    canonical.then(|| text.parse().ok()).flatten()
}

fn parse_v2(octets: &[u8]) -> Result<Parsed, ParseError> {
    let Some((fixed, rest)) = octets.split_first_chunk::<V2_FIXED>() else {
        return Err(ParseError::NeedMore);
    };
    let [.., command, family, high, low] = *fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > V2_MAX {
        return Err(ParseError::Invalid("too long"));
    }
    let consumed = V2_FIXED + length;
    let body = rest.get(..length);
    match command {
        // What LOCAL carries is to be skipped, whatever it is.
        COMMAND_LOCAL => body.map(|_| Parsed { consumed, header: Header::Local }).ok_or(ParseError::NeedMore),
        COMMAND_PROXY => {
            let body = body.ok_or(ParseError::NeedMore)?;
            let header = v2_body(family, body, octets.get(..consumed).unwrap_or(octets))?;
            Ok(Parsed { consumed, header })
        }
        _ => Err(ParseError::Invalid("neither LOCAL nor PROXY of version 2")),
    }
}

fn v2_body(family: u8, body: &[u8], whole: &[u8]) -> Result<Header, ParseError> {
    const TRUNCATED: ParseError = ParseError::Invalid("too short for its addresses");
    let (tlvs, addresses) = match family {
        0x00 => (body, None),
        0x11 => v2_addresses::<u32, Ipv4Addr>(be_u32, body).map_err(|_| TRUNCATED)?,
        0x21 => v2_addresses::<u128, Ipv6Addr>(be_u128, body).map_err(|_| TRUNCATED)?,
        0x31 => (body.get(216..).ok_or(TRUNCATED)?, None),
        _ => return Err(ParseError::Invalid("an address family that no stream has")),
    };
    let tlvs = Tlvs::read(tlvs, whole)?;
    let Some((source, destination)) = addresses else { return Ok(Header::Local) };
    let Tlvs { encrypted, authority, unique_id, ttl } = tlvs;
    Ok(Header::Proxied(Proxied { source, destination, encrypted, authority, unique_id, ttl }))
}

fn v2_addresses<'a, N, A: From<N> + Into<IpAddr>>(
    number: impl Fn(&'a [u8]) -> IResult<&'a [u8], N>,
    body: &'a [u8],
) -> IResult<&'a [u8], Option<(SocketAddr, SocketAddr)>> {
    let (rest, (source, destination, from, to)) = (&number, &number, be_u16, be_u16).parse(body)?;
    let address = |address: N, port| SocketAddr::new(A::from(address).into(), port);
    Ok((rest, Some((address(source, from), address(destination, to)))))
}

/// What the type-length-values say.
#[derive(Debug, Default)]
struct Tlvs {
    encrypted: bool,
    authority: Option<String>,
    unique_id: Option<Vec<u8>>,
    ttl: Option<u8>,
}

impl Tlvs {
    /// Reads `octets`, with which `whole`, the header, ends.
    fn read(octets: &[u8], whole: &[u8]) -> Result<Self, ParseError> {
        let mut tlvs = Self::default();
        let mut seen = Vec::new();
        let mut rest = octets;
        while !rest.is_empty() {
            let (after, (kind, value)) = tlv(rest).map_err(|_| ParseError::Invalid("a malformed value"))?;
            rest = after;
            let single = matches!(kind, TYPE_AUTHORITY | TYPE_CRC32C | TYPE_UNIQUE_ID | TYPE_SSL);
            if single && seen.contains(&kind) {
                return Err(ParseError::Invalid("a value given twice"));
            }
            seen.push(kind);
            match kind {
                TYPE_AUTHORITY => tlvs.authority = Some(authority(value)?),
                TYPE_CRC32C => verify_checksum(value, whole, after.len())?,
                TYPE_SSL => {
                    let client = value.first().ok_or(ParseError::Invalid("an empty TLS value"))?;
                    tlvs.encrypted = client & CLIENT_SSL != 0;
                }
                TYPE_UNIQUE_ID if value.len() > MAX_UNIQUE_ID => {
                    return Err(ParseError::Invalid("a unique id that is too long"));
                }
                TYPE_UNIQUE_ID => tlvs.unique_id = Some(value.to_vec()),
                TYPE_TTL => {
                    // Another's value of this type says nothing here, and among several the least holds.
                    let own = value.strip_prefix(TTL_OWNER).and_then(|left| <[u8; 1]>::try_from(left).ok());
                    tlvs.ttl = own.map(|[left]| left).into_iter().chain(tlvs.ttl).min();
                }
                _ => {}
            }
        }
        Ok(tlvs)
    }
}

fn tlv(octets: &[u8]) -> IResult<&[u8], (u8, &[u8])> {
    (be_u8, length_data(be_u16)).parse(octets)
}

fn authority(value: &[u8]) -> Result<String, ParseError> {
    let printable = value.iter().all(u8::is_ascii_graphic) && value.len() <= MAX_AUTHORITY;
    match std::str::from_utf8(value) {
        Ok(name) if printable => Ok(name.to_owned()),
        _ => Err(ParseError::Invalid("a server name that is none")),
    }
}

/// The checksum covers the whole header with its own four octets, before the last `after` ones, as zero.
fn verify_checksum(value: &[u8], whole: &[u8], after: usize) -> Result<(), ParseError> {
    const WRONG: ParseError = ParseError::Invalid("a wrong checksum");
    let expected = u32::from_be_bytes(value.try_into().map_err(|_| WRONG)?);
    let own = whole.len().saturating_sub(after + 4)..whole.len().saturating_sub(after);
    let zeroed = whole.iter().enumerate().map(|(at, octet)| if own.contains(&at) { 0 } else { *octet });
    if crc32c(zeroed) == expected { Ok(()) } else { Err(WRONG) }
}

/// CRC-32C (RFC 3720 appendix B.4), bit by bit: a header is short and rare.
fn crc32c(octets: impl Iterator<Item = u8>) -> u32 {
    let mut sum = u32::MAX;
    for octet in octets {
        sum ^= u32::from(octet);
        for _ in 0..8 {
            sum = if sum & 1 == 1 { (sum >> 1) ^ 0x82F6_3B78 } else { sum >> 1 };
        }
    }
    !sum
}

/// Family octet and addresses; when only one is IPv4, it is written as IPv6.
fn addresses(source: SocketAddr, destination: SocketAddr) -> (u8, Vec<u8>) {
    let mut body = Vec::new();
    let ports = [source.port(), destination.port()];
    let family = match (source.ip().to_canonical(), destination.ip().to_canonical()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            body.extend([source, destination].iter().flat_map(Ipv4Addr::octets));
            0x11
        }
        (source, destination) => {
            body.extend([source, destination].into_iter().flat_map(|address| as_v6(address).octets()));
            0x21
        }
    };
    body.extend(ports.into_iter().flat_map(u16::to_be_bytes));
    (family, body)
}

const fn as_v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

fn ssl_value(tls: &TlsTlv<'_>) -> Vec<u8> {
    let client = if tls.client_certificate { CLIENT_SSL | CLIENT_CERT_CONN } else { CLIENT_SSL };
    // A certificate is tied to a token by its fingerprint and verified by nobody: the field is zero only for one that
    // was.
    let mut value = vec![client, 0, 0, 0, 1];
    for (kind, text) in [(SUBTYPE_SSL_VERSION, Some(tls.version)), (SUBTYPE_SSL_CIPHER, tls.cipher)] {
        if let Some(text) = text.filter(|text| !text.is_empty() && text.len() <= 64) {
            put_tlv(&mut value, kind, text.as_bytes());
        }
    }
    value
}

/// Every value is bounded far below what the length holds.
fn put_tlv(body: &mut Vec<u8>, kind: u8, value: &[u8]) {
    body.push(kind);
    body.extend_from_slice(&u16_length(value).to_be_bytes());
    body.extend_from_slice(value);
}

fn u16_length(octets: &[u8]) -> u16 {
    u16::try_from(octets.len()).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        // RFC 3720 appendix B.4, and the usual check value.
        assert_eq!(crc32c([0; 32].into_iter()), 0x8A91_36AA);
        assert_eq!(crc32c([0xFF; 32].into_iter()), 0x62A8_AB43);
        assert_eq!(crc32c(b"123456789".iter().copied()), 0xE306_9283);
    }
}
