//! Listeners behind load balancers: the PROXY header, what follows it, and who may send one.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use bearward::{
    model::Network,
    net::{ProxyRefusal, peers},
    proto::proxy_header::{ParseError, encode_v2, encode_v2_local},
};
use proptest::prelude::*;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const LIMIT: Duration = Duration::from_secs(5);

fn client() -> SocketAddr {
    "192.0.2.7:4711".parse().unwrap()
}

fn public() -> SocketAddr {
    "198.51.100.1:993".parse().unwrap()
}

fn networks(texts: &[&str]) -> Vec<Network> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

async fn connected() -> (TcpStream, TcpStream, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let outside = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    outside.set_nodelay(true).unwrap();
    let (inside, peer) = listener.accept().await.unwrap();
    (outside, inside, peer)
}

/// What `octets`, sent in these pieces, come to, and what is left for the session.
async fn read(
    pieces: &[&[u8]],
    limit: Duration,
) -> (Result<(SocketAddr, SocketAddr), ProxyRefusal>, Vec<u8>) {
    let (mut outside, mut inside, peer) = connected().await;
    let trusted = networks(&["127.0.0.0/8"]);
    let send = async {
        for piece in pieces {
            if outside.write_all(piece).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        let _ = outside.shutdown().await;
        outside
    };
    let (read, outside) = tokio::join!(peers(&mut inside, peer, &trusted, limit), send);
    drop(outside);
    let mut rest = Vec::new();
    if read.is_ok() {
        inside.read_to_end(&mut rest).await.unwrap();
    }
    (read.map(|peers| (peers.client, peers.local)), rest)
}

fn headers() -> Vec<Vec<u8>> {
    vec![
        b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 993\r\n".to_vec(),
        encode_v2(client(), public(), None, Some(b"name"), None),
    ]
}

#[tokio::test]
async fn the_client_is_found_at_every_split_and_what_follows_is_left() {
    for header in headers() {
        let whole = [header.as_slice(), b"\x16\x03\x01 hello"].concat();
        for at in 0..=whole.len() {
            let (before, after) = whole.split_at(at);
            let (found, rest) = read(&[before, after], LIMIT).await;
            assert_eq!(found.unwrap(), (client(), public()), "split at {at}");
            assert_eq!(rest, b"\x16\x03\x01 hello", "split at {at}");
        }
    }
}

#[tokio::test]
async fn a_header_without_a_client_leaves_the_socket_its_own() {
    for header in [b"PROXY UNKNOWN\r\n".to_vec(), encode_v2_local()] {
        let (found, rest) = read(&[&header, b"after"], LIMIT).await;
        let (client, local) = found.unwrap();
        assert!(client.ip().is_loopback() && local.ip().is_loopback());
        assert_eq!(rest, b"after");
    }
}

#[tokio::test]
async fn a_connection_without_a_header_or_with_a_hostile_one_is_closed() {
    let mut wrong_sum = encode_v2(client(), public(), None, None, None);
    wrong_sum.extend_from_slice(&[0x03, 0, 4, 1, 2, 3, 4]);
    let length = u16::try_from(wrong_sum.len() - 16).unwrap().to_be_bytes();
    wrong_sum.splice(14..16, length);
    let mut endless = encode_v2(client(), public(), None, None, None);
    endless.splice(14..16, [0xFF, 0xFF]);
    endless.resize(70_000, 0);
    let bad: [&[u8]; 7] = [
        b"a LOGIN x y\r\n",
        b"\x16\x03\x01\x00\x05hello hello hello",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 993\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 70000 993\r\n",
        &[b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200]].concat(),
        &wrong_sum,
        &endless,
    ];
    for octets in bad {
        let (found, _) = read(&[octets], LIMIT).await;
        let text = String::from_utf8_lossy(octets.get(..20).unwrap_or(octets)).into_owned();
        assert!(matches!(found, Err(ProxyRefusal::Header(ParseError::Invalid(_)))), "{text:?}: {found:?}");
    }
}

#[tokio::test]
async fn a_header_that_stops_or_dawdles_is_not_waited_for() {
    let (found, _) = read(&[b"PROXY TCP4 "], LIMIT).await;
    assert!(matches!(found, Err(ProxyRefusal::Ended)), "{found:?}");
    let (mut outside, mut inside, peer) = connected().await;
    outside.write_all(b"PROXY TCP4 ").await.unwrap();
    let started = Instant::now();
    let found = peers(&mut inside, peer, &networks(&["127.0.0.1"]), Duration::from_millis(200)).await;
    assert!(matches!(found, Err(ProxyRefusal::Slow)), "{found:?}");
    assert!(started.elapsed() < Duration::from_secs(2));
    drop(outside);
}

#[tokio::test]
async fn a_stranger_is_closed_and_its_header_not_believed() {
    let (mut outside, mut inside, peer) = connected().await;
    outside.write_all(&headers()[0]).await.unwrap();
    let found = peers(&mut inside, peer, &networks(&["10.0.0.0/8", "::1"]), LIMIT).await;
    assert!(matches!(found, Err(ProxyRefusal::Stranger)), "{found:?}");
    let found = peers(&mut inside, peer, &[], LIMIT).await.unwrap();
    assert_eq!(found.client, peer, "a listener without networks believes nobody");
}

#[test]
fn a_network_holds_its_own_addresses_and_no_other() {
    let holds = |network: &str, address: &str| {
        network.parse::<Network>().unwrap().contains(address.parse::<IpAddr>().unwrap())
    };
    assert!(holds("10.0.0.0/8", "10.255.255.255") && !holds("10.0.0.0/8", "11.0.0.0"));
    assert!(holds("10.0.0.0/8", "::ffff:10.1.2.3"));
    assert!(holds("0.0.0.0/0", "203.0.113.9") && !holds("0.0.0.0/0", "2001:db8::1"));
    assert!(holds("::/0", "2001:db8::1") && !holds("::/0", "192.0.2.1"));
    assert!(holds("192.0.2.1", "192.0.2.1") && !holds("192.0.2.1", "192.0.2.2"));
    assert!(holds("2001:db8::/33", "2001:db8:7fff::1") && !holds("2001:db8::/33", "2001:db8:8000::1"));
    for wrong in [
        "",
        "10.0.0.0/33",
        "10.0.0.0/08",
        "10.0.0.0/-1",
        "10.0.0.0/+8",
        "10.0.0.1/8",
        "::1/129",
        "host",
        "10.0.0.0/",
        "::ffff:10.0.0.0/104",
    ] {
        assert!(wrong.parse::<Network>().is_err(), "{wrong:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_octets_end_in_time_and_without_a_panic(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (found, _) = runtime.block_on(read(&[&octets], LIMIT));
        prop_assert!(!matches!(found, Err(ProxyRefusal::Slow)));
    }
}

mod served {
    use bearward::proto::proxy_header::encode_v2;

    use super::{client, public};
    use crate::support::{ALICE, Client, Ports, Serve, Upstream, send, taking, until, xoauth2};

    const MASTER: &str =
        "login = \"master\"\n[backend.main.master]\nuser = \"proxy\"\npassword = \"upstream-secret\"\n";

    /// Bearward with a listener for load balancers beside its usual ones, and the port of that.
    fn behind_a_balancer(
        protocol: &str,
        upstream: &Upstream,
        networks: &str,
        more: &str,
    ) -> (Serve, u16, Ports) {
        let mut ports = Ports::reserve();
        let port = ports.take();
        let serve = Serve::start(&format!(
            "imap = [\"imap://127.0.0.1:{}\"]\n{MASTER}\n{more}\n[[listener]]\nprotocol = \"{protocol}\"\n\
             bind = \"127.0.0.1:{port}\"\nproxy_protocol_from = [{networks}]\n",
            upstream.port()
        ));
        (serve, port, ports)
    }

    fn through(serve: &Serve, port: u16, header: &[u8]) -> Option<Client> {
        let mut client = Client::clear(port);
        client.send(header);
        client.try_encrypt(&serve.folder().join("certs/ca.pem"))
    }

    #[test]
    fn the_clients_own_address_reaches_log_limits_and_mail_server() {
        let upstream = Upstream::start(vec![
            send("* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN ID] hello\r\n"),
            until("L AUTHENTICATE PLAIN "),
            until("\r\n"),
            send("I OK\r\nL OK [CAPABILITY IMAP4rev1] welcome\r\n"),
        ]);
        let (serve, port, _ports) =
            behind_a_balancer("imap", &upstream, "\"127.0.0.0/8\"", "[limits]\nper_ip = 2\n");
        let token = serve.token(ALICE);
        let header = encode_v2(client(), public(), None, None, None);
        let mut held = Vec::new();
        for _ in 0..2 {
            let mut client = through(&serve, port, &header).expect("a place");
            client.expect("* OK ");
            client.say(&format!("a AUTHENTICATE XOAUTH2 {}", xoauth2(ALICE, &token)));
            client.until("a OK");
            held.push(client);
        }
        serve.wait_for_log(&["outcome=\"ok\"", "client_ip=192.0.2.7"]);
        let text = upstream.got("I ID").text();
        for key in [
            "\"x-originating-ip\" \"192.0.2.7\"",
            "\"x-originating-port\" \"4711\"",
            "\"x-connected-ip\" \"198.51.100.1\"",
        ] {
            assert!(text.contains(key), "{key} is missing in {text}");
        }
        assert!(through(&serve, port, &header).is_none(), "a third of the same client");
        let other = "192.0.2.8:4711".parse().unwrap();
        let mut other =
            through(&serve, port, &encode_v2(other, public(), None, None, None)).expect("a place of its own");
        other.expect("* OK ");
    }

    #[test]
    fn without_a_header_nothing_is_said_and_a_stranger_cannot_choose_an_address() {
        let upstream = Upstream::start(taking("imap", Vec::new()));
        let quick = "[limits]\nhandshake_timeout = \"1s\"\n";
        let (serve, port, _ports) = behind_a_balancer("imap", &upstream, "\"127.0.0.1\"", quick);
        assert!(through(&serve, port, b"").is_none(), "TLS without a header");
        serve.wait_for_log(&["WARN", "without a valid PROXY header"]);
        let mut silent = Client::clear(port);
        assert_eq!(silent.next_line(), None);
        serve.wait_for_log(&["WARN", "did not come in time"]);
        let (serve, port, _ports) = behind_a_balancer("imap", &upstream, "\"10.0.0.0/8\"", "");
        let header = encode_v2(client(), public(), None, None, None);
        assert!(through(&serve, port, &header).is_none(), "a header from elsewhere");
        assert!(!serve.log().contains("192.0.2.7"));
    }

    #[test]
    fn https_takes_the_header_too() {
        let upstream = Upstream::start(taking("imap", Vec::new()));
        let (serve, port, _ports) = behind_a_balancer("https", &upstream, "\"127.0.0.1\"", "");
        let mut client =
            through(&serve, port, &encode_v2(client(), public(), None, None, None)).expect("TLS");
        client.send(b"GET /.well-known/oauth-authorization-server HTTP/1.1\r\nHost: localhost\r\n\r\n");
        client.expect("HTTP/1.1 200");
        assert!(through(&serve, port, b"").is_none(), "TLS without a header");
    }
}
