//! The relay between real sockets: byte-identical, bounded, and ended on demand.

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bearward::{
    model::{Protocol, UnixTime},
    proto::{Guard, GuardViolation},
    relay::{EndReason, RelayEnd, Switch, relay},
    tls::{
        Certificates, Config, MailStream, MinVersion, ServerTls, UpstreamConfig, UpstreamStream, UpstreamTls,
        dev,
    },
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::pem::PemObject,
    pki_types::{CertificateDer, ServerName},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

trait Peer: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Peer for T {}

/// A session whose two ends belong to the test.
struct Rig {
    client: Box<dyn Peer>,
    server: Box<dyn Peer>,
    switch: Arc<Switch>,
    relay: JoinHandle<RelayEnd>,
}

#[derive(Default)]
struct Wires {
    tls_client: bool,
    tls_server: bool,
    first: Vec<u8>,
    to_client: Vec<u8>,
    guard: Option<Box<dyn Guard>>,
    /// Small socket buffers, so that a peer that does not read is felt early.
    narrow: bool,
}

fn goodbye(reason: EndReason) -> &'static [u8] {
    if reason == EndReason::Revoked { b"* BYE revoked\r\n" } else { b"* BYE\r\n" }
}

/// Two ends of a TCP connection: the connecting and the accepting one.
async fn pair(narrow: bool) -> (TcpStream, TcpStream) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    if narrow {
        socket.set_recv_buffer_size(16 * 1024).unwrap();
        socket.set_send_buffer_size(16 * 1024).unwrap();
    }
    let listener = socket.listen(1).unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    if narrow {
        socket.set_recv_buffer_size(16 * 1024).unwrap();
        socket.set_send_buffer_size(16 * 1024).unwrap();
    }
    let (connected, accepted) = tokio::join!(socket.connect(address), listener.accept());
    (connected.unwrap(), accepted.unwrap().0)
}

async fn rig(wires: Wires) -> Rig {
    let folder = TempDir::new().unwrap();
    let files = dev::ensure(folder.path(), "mail.example.org", UnixTime::now()).unwrap();
    let config = Config {
        default: Some(files.server),
        sni: Vec::new(),
        min_version: MinVersion::Tls12,
        client_ca: None,
        hostname: "mail.example.org".into(),
    };
    let tls = ServerTls::new(&Certificates::load(&config).unwrap(), MinVersion::Tls12).unwrap();

    let (client_tcp, edge_tcp) = pair(wires.narrow).await;
    let (client, edge): (Box<dyn Peer>, MailStream) = if wires.tls_client {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&files.ca).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(bearward::tls::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let edge = MailStream::clear(edge_tcp).accept(tls.mail(Protocol::Imap));
        let (client, edge) = tokio::join!(connector.connect(name, client_tcp), edge);
        (Box::new(client.unwrap()), edge.unwrap())
    } else {
        (Box::new(client_tcp), MailStream::clear(edge_tcp))
    };

    let (upstream_tcp, server_tcp) = pair(wires.narrow).await;
    let (upstream, server): (UpstreamStream, Box<dyn Peer>) = if wires.tls_server {
        let upstream = UpstreamConfig { ca: Some(files.ca), ..UpstreamConfig::default() };
        let upstream = UpstreamTls::new(&upstream).unwrap();
        let acceptor = TlsAcceptor::from(tls.mail(Protocol::Imap));
        let (upstream, server) =
            tokio::join!(upstream.connect(upstream_tcp, "localhost"), acceptor.accept(server_tcp));
        (upstream.unwrap(), Box::new(server.unwrap()))
    } else {
        (UpstreamStream::Clear(upstream_tcp), Box::new(server_tcp))
    };

    let switch = Arc::new(Switch::new());
    let Wires { first, to_client, guard, .. } = wires;
    let future = relay(edge, upstream, first, to_client, guard, Arc::clone(&switch), goodbye);
    assert!(size_of_val(&future) < 512, "{}", size_of_val(&future));
    Rig { client, server, switch, relay: tokio::spawn(future) }
}

fn every_wire() -> impl Iterator<Item = Wires> {
    [(false, false), (true, false), (false, true), (true, true)]
        .into_iter()
        .map(|(tls_client, tls_server)| Wires { tls_client, tls_server, ..Wires::default() })
}

/// Octets that look like nothing, the same for the same seed.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

/// Writes in pieces of changing sizes, down to one octet, then ends the direction.
async fn write_in_pieces(peer: &mut (impl AsyncWrite + Unpin), octets: &[u8]) {
    let sizes = [1usize, 7, 1000, 16384, 65536, 3, 100_000, 16385];
    let mut rest = octets;
    for size in sizes.into_iter().cycle() {
        let (piece, behind) = rest.split_at(size.min(rest.len()));
        peer.write_all(piece).await.unwrap();
        peer.flush().await.unwrap();
        rest = behind;
        if rest.is_empty() {
            break;
        }
    }
    peer.shutdown().await.unwrap();
}

async fn read_all(peer: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut got = Vec::new();
    peer.read_to_end(&mut got).await.unwrap();
    got
}

async fn within<T>(seconds: u64, future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(seconds), future).await.expect("in time")
}

#[tokio::test(flavor = "multi_thread")]
async fn octets_come_out_as_they_went_in_both_ways_at_once() {
    for (n, wires) in every_wire().enumerate() {
        let size = if n == 3 { 10_000_000 } else { 2_000_000 };
        let Rig { client, server, relay, .. } = rig(wires).await;
        let (up, down) = (noise(1, size), noise(2, size));
        let (mut client_in, mut client_out) = tokio::io::split(client);
        let (mut server_in, mut server_out) = tokio::io::split(server);
        let (_, _, at_server, at_client) = within(60, async {
            tokio::join!(
                write_in_pieces(&mut client_out, &up),
                write_in_pieces(&mut server_out, &down),
                read_all(&mut server_in),
                read_all(&mut client_in),
            )
        })
        .await;
        assert!(at_server == up, "wires {n}: what the client sent");
        assert!(at_client == down, "wires {n}: what the server sent");
        let end = within(5, relay).await.unwrap();
        let size = u64::try_from(size).unwrap();
        assert_eq!((end.up, end.down), (size, size));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_behind_the_login_goes_first() {
    for wires in every_wire() {
        let wires = Wires { first: noise(3, 200_000), to_client: noise(4, 300_000), ..wires };
        let Rig { mut client, mut server, relay, .. } = rig(wires).await;
        // Both are longer than a worker's read. The client writes at once: its octets must stay behind.
        client.write_all(b"then").await.unwrap();
        client.flush().await.unwrap();
        server.write_all(b"that").await.unwrap();
        server.flush().await.unwrap();
        let mut at_server = vec![0; 200_004];
        let mut at_client = vec![0; 300_004];
        let (up, down) = within(10, async {
            tokio::join!(server.read_exact(&mut at_server), client.read_exact(&mut at_client))
        })
        .await;
        up.unwrap();
        down.unwrap();
        assert!(at_server == [noise(3, 200_000), b"then".to_vec()].concat());
        assert!(at_client == [noise(4, 300_000), b"that".to_vec()].concat());
        drop((client, server));
        within(5, relay).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_ends_first_still_gets_the_answer() {
    for wires in every_wire() {
        let Rig { mut client, mut server, relay, .. } = rig(wires).await;
        client.write_all(b"a LOGOUT\r\n").await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(within(5, read_all(&mut server)).await, b"a LOGOUT\r\n");
        server.write_all(&[b'z'; 500_000]).await.unwrap();
        server.shutdown().await.unwrap();
        assert_eq!(within(5, read_all(&mut client)).await, [b'z'; 500_000]);
        let end = within(5, relay).await.unwrap();
        assert_eq!(end, RelayEnd { reason: EndReason::ClientClosed, up: 10, down: 500_000 });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ends_first_is_heard_out_and_still_gets_the_rest() {
    for wires in every_wire() {
        let Rig { mut client, mut server, relay, .. } = rig(wires).await;
        server.write_all(b"* BYE\r\n").await.unwrap();
        server.shutdown().await.unwrap();
        assert_eq!(within(5, read_all(&mut client)).await, b"* BYE\r\n");
        client.write_all(b"rest").await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(within(5, read_all(&mut server)).await, b"rest");
        let end = within(5, relay).await.unwrap();
        assert_eq!(end, RelayEnd { reason: EndReason::ServerClosed, up: 4, down: 7 });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_ignores_the_servers_end_is_not_kept() {
    let Rig { client, mut server, relay, .. } = rig(Wires { tls_client: true, ..Wires::default() }).await;
    server.shutdown().await.unwrap();
    let end = within(8, relay).await.unwrap();
    assert_eq!(end.reason, EndReason::ServerClosed);
    drop(client);
}

/// Writes until nothing more is taken for a while; how much was.
async fn write_until_stuck(peer: &mut (impl AsyncWrite + Unpin)) -> usize {
    let mut taken = 0;
    while let Ok(written) = timeout(Duration::from_millis(300), peer.write(&[b'x'; 65536])).await {
        taken += written.unwrap();
        assert!(taken < 50_000_000, "nothing holds the writer back");
    }
    taken
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stops_stops_the_writer_both_ways() {
    for wires in every_wire() {
        let Rig { client, server, relay, switch } = rig(Wires { narrow: true, ..wires }).await;
        let (mut client_in, mut client_out) = tokio::io::split(client);
        let (mut server_in, mut server_out) = tokio::io::split(server);

        let down = write_until_stuck(&mut server_out).await;
        assert!(down < 4_000_000, "{down}");
        // The other direction is not held up by it.
        client_out.write_all(b"still here").await.unwrap();
        client_out.flush().await.unwrap();
        let mut got = [0; 10];
        within(5, server_in.read_exact(&mut got)).await.unwrap();

        let up = write_until_stuck(&mut client_out).await;
        assert!(up < 4_000_000, "{up}");

        // And both go on when they are read again.
        let (_, _, at_server, at_client) = within(20, async {
            tokio::join!(
                // What the peers' own TLS has taken and not sent.
                client_out.flush(),
                server_out.flush(),
                async {
                    let mut got = vec![0; up];
                    server_in.read_exact(&mut got).await.unwrap();
                    got
                },
                async {
                    let mut got = vec![0; down];
                    client_in.read_exact(&mut got).await.unwrap();
                    got
                },
            )
        })
        .await;
        assert!(at_server.iter().chain(&at_client).all(|octet| *octet == b'x'));
        switch.kill(EndReason::Killed);
        within(5, relay).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_says_goodbye_between_lines_and_closes_both() {
    for wires in every_wire() {
        let Rig { mut client, mut server, switch, relay } = rig(wires).await;
        server.write_all(b"* 1 EXISTS\r\n").await.unwrap();
        server.flush().await.unwrap();
        within(5, client.read_exact(&mut [0; 12])).await.unwrap();
        switch.kill(EndReason::Revoked);
        switch.kill(EndReason::Idle);
        let begun = Instant::now();
        assert_eq!(within(5, read_all(&mut client)).await, b"* BYE revoked\r\n");
        drop(client);
        let end = within(5, relay).await.unwrap();
        assert_eq!(end.reason, EndReason::Revoked);
        assert_eq!(within(5, read_all(&mut server)).await, b"");
        assert!(begun.elapsed() < Duration::from_secs(1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_says_nothing_within_a_line() {
    for wires in every_wire() {
        let Rig { mut client, mut server, switch, relay } = rig(wires).await;
        server.write_all(b"* 1 EXI").await.unwrap();
        server.flush().await.unwrap();
        within(5, client.read_exact(&mut [0; 7])).await.unwrap();
        switch.kill(EndReason::Drain);
        assert_eq!(within(5, read_all(&mut client)).await, b"");
        drop(client);
        assert_eq!(within(5, relay).await.unwrap().reason, EndReason::Drain);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_is_done_in_a_second_when_the_client_does_not_read() {
    for wires in every_wire() {
        let Rig { client, server, switch, relay } = rig(Wires { narrow: true, ..wires }).await;
        let (mut server_in, mut server_out) = tokio::io::split(server);
        write_until_stuck(&mut server_out).await;
        let begun = Instant::now();
        switch.kill(EndReason::Revoked);
        let end = within(5, relay).await.unwrap();
        assert_eq!(end.reason, EndReason::Revoked);
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        // The server's side is closed too, whatever it makes of it.
        let _ = within(5, server_in.read_to_end(&mut Vec::new())).await;
        drop(client);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_killed_before_it_starts_relays_nothing() {
    let (client, edge) = pair(false).await;
    let (upstream, mut server) = pair(false).await;
    let switch = Arc::new(Switch::new());
    switch.kill(EndReason::Revoked);
    let upstream = UpstreamStream::Clear(upstream);
    let first = b"a DELETE INBOX\r\n".to_vec();
    let future = relay(MailStream::clear(edge), upstream, first, Vec::new(), None, switch, goodbye);
    drop(client);
    assert_eq!(within(5, future).await.reason, EndReason::Revoked);
    assert_eq!(read_all(&mut server).await, b"");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_breaks_off_ends_the_session() {
    for wires in every_wire() {
        let Rig { client, mut server, relay, .. } = rig(wires).await;
        drop(client);
        let _ = within(5, server.read_to_end(&mut Vec::new())).await;
        drop(server);
        let end = within(5, relay).await.unwrap();
        assert!(matches!(end.reason, EndReason::ClientClosed | EndReason::ClientIo), "{end:?}");
    }
    for wires in every_wire() {
        let Rig { mut client, server, relay, .. } = rig(wires).await;
        drop(server);
        let _ = within(5, client.read_to_end(&mut Vec::new())).await;
        drop(client);
        let end = within(5, relay).await.unwrap();
        assert!(matches!(end.reason, EndReason::ServerClosed | EndReason::ServerIo), "{end:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_is_told_and_ends_with_an_octet() {
    let Rig { mut client, mut server, switch, relay } = rig(Wires::default()).await;
    sleep(Duration::from_millis(120)).await;
    assert!(switch.idle() >= Duration::from_millis(100));
    client.write_all(b"x").await.unwrap();
    within(5, server.read_exact(&mut [0])).await.unwrap();
    assert!(switch.idle() < Duration::from_millis(100));
    assert_eq!((switch.up(), switch.down()), (1, 0));
    switch.kill(EndReason::Idle);
    drop(client);
    assert_eq!(within(5, relay).await.unwrap().reason, EndReason::Idle);
}

/// Lets one line pass, then nothing before the server has spoken; ends the session at a word.
#[derive(Default)]
struct OneLineAtATime {
    waits: bool,
    line: Vec<u8>,
    asked: Arc<AtomicUsize>,
}

impl Guard for OneLineAtATime {
    fn client(&mut self, octets: &[u8], upstream: &mut Vec<u8>) -> Result<usize, GuardViolation> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        for (taken, octet) in octets.iter().enumerate() {
            if self.waits {
                return Ok(taken);
            }
            self.line.push(*octet);
            if *octet == b'\n' {
                let line = std::mem::take(&mut self.line);
                if line == b"AUTH\n" {
                    return Err(GuardViolation::ClientLineTooLong);
                }
                upstream.extend(line);
                self.waits = true;
            }
        }
        Ok(octets.len())
    }

    fn server(&mut self, octets: &[u8], client: &mut Vec<u8>) -> Result<(), GuardViolation> {
        self.waits = false;
        client.extend_from_slice(octets);
        Ok(())
    }

    fn at_line_border(&self) -> bool {
        true
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_withholds_until_the_server_has_spoken() {
    for wires in every_wire() {
        let asked = Arc::new(AtomicUsize::new(0));
        let guard = OneLineAtATime { asked: Arc::clone(&asked), ..OneLineAtATime::default() };
        let guard: Option<Box<dyn Guard>> = Some(Box::new(guard));
        let wires = Wires { guard, first: b"one\nt".to_vec(), ..wires };
        let Rig { mut client, mut server, relay, .. } = rig(wires).await;
        client.write_all(b"wo\nthree\n").await.unwrap();
        client.shutdown().await.unwrap();
        for line in [&b"one\n"[..], b"two\n", b"three\n"] {
            let mut got = vec![0; line.len()];
            within(5, server.read_exact(&mut got)).await.unwrap();
            assert_eq!(got, line);
            let more = timeout(Duration::from_millis(50), server.read(&mut [0; 9])).await;
            if line != b"three\n" {
                assert!(more.is_err(), "nothing may pass before the answer to {line:?}");
            }
            server.write_all(b"ok\n").await.unwrap();
            server.flush().await.unwrap();
        }
        server.shutdown().await.unwrap();
        assert_eq!(within(5, read_all(&mut client)).await, b"ok\nok\nok\n");
        assert_eq!(within(5, relay).await.unwrap().up, 14);
        assert!(asked.load(Ordering::Relaxed) < 12, "a guard that waits is asked once: {asked:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_ends_the_session_before_anything_passes() {
    for wires in every_wire() {
        let guard: Option<Box<dyn Guard>> = Some(Box::new(OneLineAtATime::default()));
        let Rig { mut client, mut server, relay, .. } = rig(Wires { guard, ..wires }).await;
        client.write_all(b"AUTH\n").await.unwrap();
        client.flush().await.unwrap();
        assert_eq!(within(5, read_all(&mut client)).await, b"* BYE\r\n");
        drop(client);
        assert_eq!(within(5, relay).await.unwrap().reason, EndReason::GuardViolation);
        assert_eq!(within(5, read_all(&mut server)).await, b"");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_tls_ends_the_session_as_the_clients_fault() {
    let (client_tcp, edge_tcp) = pair(false).await;
    let folder = TempDir::new().unwrap();
    let files = dev::ensure(folder.path(), "mail.example.org", UnixTime::now()).unwrap();
    let config = Config {
        default: Some(files.server),
        sni: Vec::new(),
        min_version: MinVersion::Tls12,
        client_ca: None,
        hostname: "mail.example.org".into(),
    };
    let tls = ServerTls::new(&Certificates::load(&config).unwrap(), MinVersion::Tls12).unwrap();
    let config = ClientConfig::builder_with_provider(bearward::tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates({
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_file(&files.ca).unwrap()).unwrap();
            roots
        })
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from("localhost").unwrap();
    let edge = MailStream::clear(edge_tcp).accept(tls.mail(Protocol::Imap));
    let (client, edge) = tokio::join!(connector.connect(name, client_tcp), edge);
    let (mut tcp, _) = client.unwrap().into_inner();
    let (upstream, mut server) = pair(false).await;
    let switch = Arc::new(Switch::new());
    let upstream = UpstreamStream::Clear(upstream);
    let task = tokio::spawn(relay(edge.unwrap(), upstream, Vec::new(), Vec::new(), None, switch, goodbye));
    tcp.write_all(b"a LOGOUT in clear\r\n").await.unwrap();
    let answer: io::Result<usize> = within(5, tcp.read_to_end(&mut Vec::new())).await;
    assert!(answer.is_ok_and(|octets| octets > 0), "an alert");
    drop(tcp);
    assert_eq!(within(5, task).await.unwrap().reason, EndReason::ClientIo);
    let nothing = within(5, server.read(&mut [0; 9])).await;
    assert!(matches!(nothing, Ok(0)) || nothing.is_err_and(|e| e.kind() == ErrorKind::ConnectionReset));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_busy_session_does_not_starve_another_on_its_worker() {
    let runtime = tokio::runtime::Handle::current();
    let Rig { client, server, relay: busy, switch } = rig(Wires::default()).await;
    let flood = runtime.spawn(async move {
        let (mut client_in, _client_out) = tokio::io::split(client);
        let (_server_in, mut server_out) = tokio::io::split(server);
        let sink = async { while client_in.read(&mut [0; 65536]).await.is_ok_and(|read| read > 0) {} };
        let source = async { while server_out.write_all(&[0; 65536]).await.is_ok() {} };
        tokio::join!(sink, source);
    });
    let Rig { mut client, mut server, relay: calm, switch: other } = rig(Wires::default()).await;
    for _ in 0..50 {
        client.write_all(b"ping").await.unwrap();
        within(5, server.read_exact(&mut [0; 4])).await.unwrap();
    }
    switch.kill(EndReason::Killed);
    other.kill(EndReason::Killed);
    drop(client);
    within(5, busy).await.unwrap();
    within(5, calm).await.unwrap();
    flood.abort();
}
