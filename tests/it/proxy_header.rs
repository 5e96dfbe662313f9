//! The PROXY protocol header: vectors of the specification, hostile octets, and another implementation as judge.

use std::net::SocketAddr;

use bearward::proto::proxy_header::{
    Header, ParseError, Parsed, Proxied, TlsTlv, encode_v2, encode_v2_local, parse,
};
use proptest::prelude::*;
use proxy_header::{ParseConfig, ProxiedAddress, ProxyHeader, SslInfo, Tlv};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn addresses(source: &str, destination: &str) -> (SocketAddr, SocketAddr) {
    (source.parse().unwrap(), destination.parse().unwrap())
}

fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, body].concat()
}

fn v4_body(tlvs: &[u8]) -> Vec<u8> {
    [&[192, 0, 2, 1, 198, 51, 100, 2, 0x12, 0x34, 0, 25], tlvs].concat()
}

fn proxied(octets: &[u8]) -> Proxied {
    match parse(octets).unwrap().header {
        Header::Proxied(proxied) => proxied,
        Header::Local => panic!("no client"),
    }
}

/// Every beginning of a header asks for more, and what follows it is left alone.
fn whole(header: &[u8]) -> Header {
    for end in 0..header.len() {
        assert_eq!(parse(&header[..end]), Err(ParseError::NeedMore), "the first {end} octets");
    }
    let followed = [header, b"EHLO a\r\n\r\n\0"].concat();
    let Parsed { consumed, header: read } = parse(&followed).unwrap();
    assert_eq!(consumed, header.len());
    read
}

#[test]
fn version_one_names_both_ends() {
    let Header::Proxied(read) = whole(b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n") else { panic!() };
    assert_eq!((read.source, read.destination), addresses("192.0.2.1:56324", "198.51.100.2:443"));
    let Header::Proxied(read) = whole(b"PROXY TCP6 2001:db8::1 2001:db8::2 0 65535\r\n") else { panic!() };
    assert_eq!((read.source, read.destination), addresses("[2001:db8::1]:0", "[2001:db8::2]:65535"));
    assert_eq!(whole(b"PROXY UNKNOWN\r\n"), Header::Local);
    assert_eq!(whole(b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n"), Header::Local);
}

#[test]
fn a_sloppy_line_of_version_one_is_no_header() {
    for line in [
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443 \r\n",
        "PROXY TCP4  192.0.2.1 198.51.100.2 56324 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 056324 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 +1 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 65536 443\r\n",
        "PROXY TCP4 192.0.2.01 198.51.100.2 1 443\r\n",
        "PROXY TCP4 2001:db8::1 198.51.100.2 1 443\r\n",
        "PROXY TCP6 192.0.2.1 198.51.100.2 1 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 1 443\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 1 443\rx",
        "PROXY UDP4 192.0.2.1 198.51.100.2 1 443\r\n",
        "proxy TCP4 192.0.2.1 198.51.100.2 1 443\r\n",
        "PROXY \r\n",
        "EHLO a\r\n",
        "\r\n\r\n\0\r\nQUIT\r",
        "\x16\x03\x01",
    ] {
        assert!(matches!(parse(line.as_bytes()), Err(ParseError::Invalid(_))), "{line:?}");
    }
    let long = format!("PROXY UNKNOWN {}", "x".repeat(107 - 14));
    assert!(matches!(parse(long.as_bytes()), Err(ParseError::Invalid(_))));
    assert_eq!(parse(&long.as_bytes()[..106]), Err(ParseError::NeedMore));
    let fits = format!("PROXY UNKNOWN {}\r\n", "x".repeat(107 - 16));
    assert_eq!(parse(fits.as_bytes()).unwrap().consumed, 107);
}

#[test]
fn version_two_names_both_ends_or_nobody() {
    let Header::Proxied(read) = whole(&v2(0x21, 0x11, &v4_body(&[]))) else { panic!() };
    assert_eq!((read.source, read.destination), addresses("192.0.2.1:4660", "198.51.100.2:25"));
    assert!(!read.encrypted && read.authority.is_none() && read.unique_id.is_none());
    for local in [
        encode_v2_local(),
        v2(0x20, 0x00, b""),
        v2(0x20, 0x11, b"abc"),
        v2(0x21, 0x00, b""),
        v2(0x21, 0x31, &[0; 216]),
    ] {
        assert_eq!(whole(&local), Header::Local);
    }
}

#[test]
fn a_sloppy_header_of_version_two_is_none() {
    let authority = |name: &[u8]| [&[0x02, 0, u8::try_from(name.len()).unwrap()], name].concat();
    for (what, header) in [
        ("version 1 in binary", v2(0x11, 0x11, &v4_body(&[]))),
        ("unknown command", v2(0x22, 0x11, &v4_body(&[]))),
        ("datagrams", v2(0x21, 0x12, &v4_body(&[]))),
        ("unknown family", v2(0x21, 0x41, &v4_body(&[]))),
        ("too short", v2(0x21, 0x11, &v4_body(&[])[..11])),
        ("too short for IPv6", v2(0x21, 0x21, &[0; 35])),
        ("too short for a path", v2(0x21, 0x31, &[0; 215])),
        ("half a TLV", v2(0x21, 0x11, &v4_body(&[0x04, 0]))),
        ("a TLV beyond the end", v2(0x21, 0x11, &v4_body(&[0x04, 0, 9, 1]))),
        ("two server names", v2(0x21, 0x11, &v4_body(&[authority(b"a"), authority(b"b")].concat()))),
        ("a server name with a line end", v2(0x21, 0x11, &v4_body(&authority(b"a\r\nb")))),
        ("a server name with a NUL", v2(0x21, 0x11, &v4_body(&authority(b"a\0")))),
        ("an empty TLS value", v2(0x21, 0x11, &v4_body(&[0x20, 0, 0]))),
        ("a short checksum", v2(0x21, 0x11, &v4_body(&[0x03, 0, 3, 1, 2, 3]))),
        ("a long unique id", v2(0x21, 0x11, &v4_body(&[&[0x05, 0, 129][..], &[7; 129]].concat()))),
        ("beyond the limit", v2(0x21, 0x11, &v4_body(&[&[0x04, 0x10, 0][..], &[0; 4096]].concat()))),
    ] {
        assert!(matches!(parse(&header), Err(ParseError::Invalid(_))), "{what}");
    }
    let endless = [SIGNATURE, &[0x21, 0x11, 0xFF, 0xFF]].concat();
    assert!(matches!(parse(&endless), Err(ParseError::Invalid(_))), "refused before anything of it is kept");
}

#[test]
fn a_checksum_that_is_there_must_be_right() {
    let mut header = v2(0x21, 0x11, &v4_body(&[0x03, 0, 4, 0, 0, 0, 0, 0x04, 0, 1, 9]));
    assert!(matches!(parse(&header), Err(ParseError::Invalid(_))));
    let sum = slow_crc32c(&header).to_be_bytes();
    header[16 + 12 + 3..][..4].copy_from_slice(&sum);
    assert!(parse(&header).is_ok());
    for octet in 13..header.len() {
        let mut broken = header.clone();
        broken[octet] ^= 0x01;
        let read = parse(&broken);
        assert!(read.is_err(), "octet {octet}");
    }
}

/// By polynomial division over the reflected octets, otherwise than the code under test.
fn slow_crc32c(octets: &[u8]) -> u32 {
    let mut sum: u32 = u32::MAX;
    for octet in octets {
        sum ^= u32::from(octet.reverse_bits()) << 24;
        for _ in 0..8 {
            sum = (sum << 1) ^ if sum >> 31 == 1 { 0x1EDC_6F41 } else { 0 };
        }
    }
    !sum.reverse_bits()
}

#[test]
fn another_reader_reads_what_we_write() {
    let tls = TlsTlv {
        version: "TLSv1.3",
        cipher: Some("TLS13_AES_256_GCM_SHA384"),
        authority: Some("mail.example.org"),
        client_certificate: true,
    };
    for (source, destination) in
        [("192.0.2.1:4711", "198.51.100.2:993"), ("[2001:db8::1]:4711", "[2001:db8::2]:993")]
    {
        let (source, destination) = addresses(source, destination);
        let header = encode_v2(source, destination, Some(&tls), Some(b"00000000000000ab"), None);
        let (read, length) = ProxyHeader::parse(&header, ParseConfig::default()).unwrap();
        assert_eq!(length, header.len());
        assert_eq!(read.proxied_address(), Some(&ProxiedAddress::stream(source, destination)));
        assert_eq!(read.authority(), Some("mail.example.org"));
        assert_eq!(read.unique_id(), Some(&b"00000000000000ab"[..]));
        let ssl = read.ssl().unwrap();
        assert!(ssl.client_ssl() && ssl.client_cert_conn() && ssl.verify() != 0);
        assert_eq!((ssl.version(), ssl.cipher()), (Some("TLSv1.3"), Some("TLS13_AES_256_GCM_SHA384")));
        let own = proxied(&header);
        assert_eq!((own.source, own.destination, own.encrypted), (source, destination, true));
    }
}

#[test]
fn a_mapped_address_is_written_as_ipv4_and_a_mixed_pair_as_ipv6() {
    let (source, destination) = addresses("[::ffff:192.0.2.1]:1", "198.51.100.2:2");
    assert_eq!(
        proxied(&encode_v2(source, destination, None, None, None)).source,
        "192.0.2.1:1".parse().unwrap()
    );
    let (source, destination) = addresses("192.0.2.1:1", "[2001:db8::2]:2");
    let read = proxied(&encode_v2(source, destination, None, None, None));
    assert_eq!((read.source, read.destination), addresses("[::ffff:192.0.2.1]:1", "[2001:db8::2]:2"));
}

fn socket() -> impl Strategy<Value = SocketAddr> {
    prop_oneof![
        any::<([u8; 4], u16)>().prop_map(SocketAddr::from),
        // Mapped addresses are written as IPv4, so they do not come back the same.
        any::<([u8; 16], u16)>().prop_map(|(mut ip, port)| {
            ip[0] |= 0x20;
            SocketAddr::from((ip, port))
        }),
    ]
}

proptest! {
    #[test]
    fn any_octets_are_read_alike_however_they_come(
        start in proptest::sample::select(vec![&b""[..], SIGNATURE, b"PROXY ", b"PROXY TCP4 ", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x20", b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x30"]),
        rest in proptest::collection::vec(any::<u8>(), 0..120),
    ) {
        let octets = [start, &rest].concat();
        let read = parse(&octets);
        // Once decided, more octets change nothing.
        for end in 0..octets.len() {
            let early = parse(&octets[..end]);
            if early != Err(ParseError::NeedMore) {
                prop_assert_eq!(early, read.clone());
            }
        }
    }

    #[test]
    fn we_read_what_another_writer_writes(
        source in socket(), destination in socket(), secure in any::<bool>(),
        id in proptest::collection::vec(any::<u8>(), 0..128),
    ) {
        prop_assume!(source.is_ipv4() == destination.is_ipv4());
        let tlvs = [Tlv::Ssl(SslInfo::new(secure, false, false, 1)), Tlv::UniqueId(id.clone().into()), Tlv::Noop(3)];
        let mut header = Vec::new();
        ProxyHeader::with_tlvs(Some(ProxiedAddress::stream(source, destination)), tlvs).encode_v2(&mut header).unwrap();
        let read = proxied(&header);
        prop_assert_eq!((read.source, read.destination, read.encrypted, read.unique_id), (source, destination, secure, Some(id)));
        let mut line = Vec::new();
        ProxyHeader::with_address(ProxiedAddress::stream(source, destination)).encode_v1(&mut line).unwrap();
        let read = proxied(&line);
        prop_assert_eq!((read.source, read.destination), (source, destination));
    }

    #[test]
    fn what_is_written_is_read_back(source in socket(), destination in socket(), id in proptest::collection::vec(any::<u8>(), 1..128)) {
        let read = proxied(&encode_v2(source, destination, None, Some(&id), None));
        prop_assert_eq!(read.source.port(), source.port());
        prop_assert_eq!(read.destination.ip().to_canonical(), destination.ip().to_canonical());
        prop_assert_eq!(read.source.ip().to_canonical(), source.ip().to_canonical());
        prop_assert_eq!(read.unique_id, Some(id));
    }
}

#[test]
fn how_many_proxies_may_follow_is_read_of_our_own_value_alone() {
    let (source, destination) = addresses("192.0.2.1:1", "198.51.100.2:25");
    let written = |ttl| encode_v2(source, destination, None, Some(b"id"), ttl);
    for ttl in [0, 1, 6, 255] {
        let Header::Proxied(read) = whole(&written(Some(ttl))) else { panic!() };
        assert_eq!(read.ttl, Some(ttl));
    }
    assert_eq!(proxied(&written(None)).ttl, None);
    let value = |text: &[u8]| [&[0xEB, 0, u8::try_from(text.len()).unwrap()], text].concat();
    for other in [&b""[..], b"\x05", b"bearward ttl ", b"bearward ttl \x05\x05", b"another tt \x05"] {
        assert_eq!(proxied(&v2(0x21, 0x11, &v4_body(&value(other)))).ttl, None, "{other:?}");
    }
    let both = [value(b"bearward ttl \x03"), value(b"bearward ttl \x06"), value(b"x")].concat();
    assert_eq!(proxied(&v2(0x21, 0x11, &v4_body(&both))).ttl, Some(3), "a second one makes it no longer");
}
