//! The TLS edge against rustls as the client, driven octet by octet where it matters.

use std::{
    io::{Read, Write},
    net::TcpStream as StdStream,
    path::Path,
    sync::Arc,
    time::Duration,
};

use bearward::{
    model::{Protocol, UnixTime},
    tls::{
        CertificateFiles, Certificates, Config, MailStream, MinVersion, ServerConfig, ServerTls, TlsError,
        TlsFacts, accept_https, dev, provider,
    },
};
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
    version::{TLS12, TLS13},
};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::support::wait;

/// A development certificate, and a server and clients that use it.
struct Edge {
    folder: TempDir,
    tls: ServerTls,
    certificates: Arc<Certificates>,
}

fn edge() -> Edge {
    let folder = TempDir::new().unwrap();
    let files = dev::ensure(folder.path(), "mail.example.org", UnixTime::now()).unwrap();
    let config = config(Some(files.server), Vec::new());
    let certificates = Certificates::load(&config).unwrap();
    let tls = ServerTls::new(&certificates, MinVersion::Tls12).unwrap();
    Edge { folder, tls, certificates }
}

fn config(default: Option<CertificateFiles>, sni: Vec<(String, CertificateFiles)>) -> Config {
    Config {
        default,
        sni,
        min_version: MinVersion::Tls12,
        hostname: "mail.example.org".into(),
        client_ca: None,
    }
}

fn client_config(ca: &Path, version: &'static SupportedProtocolVersion, alpn: &[&str]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(ca.join("ca.pem")).unwrap() {
        roots.add(root.unwrap()).unwrap();
    }
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

/// A client that moves TLS by hand over a blocking socket.
struct Client {
    tcp: StdStream,
    tls: ClientConnection,
    /// Octets per write; everything at once when 0.
    piece: usize,
}

impl Client {
    fn new(address: std::net::SocketAddr, config: ClientConfig) -> Self {
        let name = ServerName::try_from("localhost").unwrap();
        Self::over(StdStream::connect(address).unwrap(), Arc::new(config), name)
    }

    fn over(tcp: StdStream, config: Arc<ClientConfig>, name: ServerName<'static>) -> Self {
        tcp.set_nodelay(true).unwrap();
        tcp.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self { tcp, tls: ClientConnection::new(config, name).unwrap(), piece: 0 }
    }

    fn send(&mut self) {
        let mut octets = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut octets).unwrap();
        }
        if octets.is_empty() {
            return;
        }
        let piece = if self.piece == 0 { octets.len() } else { self.piece };
        for octets in octets.chunks(piece) {
            self.tcp.write_all(octets).unwrap();
        }
    }

    /// One read of the socket, however much it gives.
    fn receive(&mut self) -> Result<usize, rustls::Error> {
        let mut buffer = vec![0; 8192];
        let read = self.tcp.read(&mut buffer).unwrap();
        let mut octets = &buffer[..read];
        while !octets.is_empty() {
            self.tls.read_tls(&mut octets).unwrap();
            self.tls.process_new_packets()?;
        }
        Ok(read)
    }

    fn handshake(&mut self) -> Result<(), rustls::Error> {
        self.send();
        while self.tls.is_handshaking() {
            if self.receive()? == 0 {
                return Err(rustls::Error::General("the server left".to_owned()));
            }
            self.send();
        }
        Ok(())
    }

    fn write(&mut self, octets: &[u8]) {
        for piece in octets.chunks(16 * 1024) {
            self.tls.writer().write_all(piece).unwrap();
            self.send();
        }
    }

    fn available(&mut self) -> Vec<u8> {
        let mut got = Vec::new();
        let _ = self.tls.reader().read_to_end(&mut got);
        got
    }

    fn read_exactly(&mut self, count: usize) -> Vec<u8> {
        let mut got = self.available();
        while got.len() < count {
            assert_ne!(self.receive().unwrap(), 0, "the server left");
            got.extend(self.available());
        }
        got
    }
}

/// Accepts one connection and gives it to `serve`.
async fn server<F, T>(
    config: Arc<ServerConfig>,
    serve: impl FnOnce(Result<MailStream, TlsError>) -> F + Send + 'static,
) -> (std::net::SocketAddr, JoinHandle<T>)
where
    F: Future<Output = T> + Send,
    T: Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        serve(MailStream::clear(tcp).accept(config).await).await
    });
    (address, task)
}

async fn echo(stream: Result<MailStream, TlsError>) -> Option<TlsFacts> {
    let mut stream = stream.unwrap();
    loop {
        let mut got = Vec::new();
        if stream.read(&mut got).await.unwrap() == 0 {
            stream.shutdown().await.unwrap();
            return stream.facts();
        }
        stream.write_all(&got).await.unwrap();
    }
}

/// Runs blocking client code beside the server.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_version_speaks_and_resumes() {
    let edge = edge();
    for (version, name) in [(&TLS12, "TLSv1.2"), (&TLS13, "TLSv1.3")] {
        let client = Arc::new(client_config(edge.folder.path(), version, &[]));
        for resumed in [false, true] {
            let (address, served) = server(edge.tls.mail(Protocol::Imap), echo).await;
            let client = Arc::clone(&client);
            aside(move || {
                let name = ServerName::try_from("localhost").unwrap();
                let mut client = Client::over(StdStream::connect(address).unwrap(), client, name);
                client.handshake().unwrap();
                client.write(b"a NOOP\r\n");
                assert_eq!(client.read_exactly(8), b"a NOOP\r\n");
                client.tls.send_close_notify();
                client.send();
            })
            .await;
            let facts = served.await.unwrap().unwrap();
            assert_eq!((facts.version, facts.resumed), (name, resumed));
            assert_eq!(facts.sni.as_deref(), Some("localhost"));
            assert!(facts.cipher.starts_with("TLS"), "{}", facts.cipher);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tickets_and_greeting_leave_in_one_write() {
    let edge = edge();
    for version in [&TLS12, &TLS13] {
        let (address, served) = server(edge.tls.mail(Protocol::Imap), |stream| async move {
            let mut stream = stream.unwrap();
            // Long enough for whatever accept() might have sent by itself to arrive alone.
            tokio::time::sleep(Duration::from_millis(100)).await;
            stream.write_all(b"* OK hello\r\n").await.unwrap();
            let _ = stream.read(&mut Vec::new()).await;
        })
        .await;
        let client = client_config(edge.folder.path(), version, &[]);
        let (greeting, tickets) = aside(move || {
            let mut client = Client::new(address, client);
            client.send();
            client.receive().unwrap();
            client.send();
            client.receive().unwrap();
            (client.available(), client.tls.tls13_tickets_received())
        })
        .await;
        assert_eq!(greeting, b"* OK hello\r\n", "{version:?}");
        assert_eq!(tickets, if version.version == rustls::ProtocolVersion::TLSv1_3 { 2 } else { 0 });
        served.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_and_data_may_come_octet_by_octet() {
    let edge = edge();
    for version in [&TLS12, &TLS13] {
        let (address, served) = server(edge.tls.mail(Protocol::Imap), echo).await;
        let client = client_config(edge.folder.path(), version, &[]);
        aside(move || {
            let mut client = Client::new(address, client);
            client.piece = 1;
            client.handshake().unwrap();
            client.write(&[b'x'; 300]);
            assert_eq!(client.read_exactly(300), [b'x'; 300]);
        })
        .await;
        served.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hello_may_be_cut_into_many_records() {
    let edge = edge();
    for piece in [0, 7] {
        let (address, served) = server(edge.tls.mail(Protocol::Imap), echo).await;
        let mut client = client_config(edge.folder.path(), &TLS13, &[]);
        client.max_fragment_size = Some(64);
        aside(move || {
            let mut client = Client::new(address, client);
            client.piece = piece;
            client.handshake().unwrap();
            client.write(&[b'y'; 500]);
            assert_eq!(client.read_exactly(500), [b'y'; 500]);
        })
        .await;
        served.await.unwrap();
    }
}

// One thread, on which the two handshakes meet.
#[tokio::test]
async fn a_client_without_a_server_name_does_not_get_that_of_another_connection() {
    let edge = edge();
    let https = edge.tls.https();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let config = client_config(edge.folder.path(), &TLS13, &[]);
    let named = tokio::task::spawn_blocking(move || Client::new(address, config).handshake());
    let (tcp, _) = listener.accept().await.unwrap();
    accept_https(tcp, https).await.unwrap();
    named.await.unwrap().unwrap();

    let (address, served) =
        server(edge.tls.mail(Protocol::Imap), async |stream| stream.unwrap().facts()).await;
    let mut config = client_config(edge.folder.path(), &TLS13, &[]);
    config.enable_sni = false;
    aside(move || {
        let mut client = Client::new(address, config);
        // The hello comes in two reads, as a long one does.
        let mut hello = Vec::new();
        client.tls.write_tls(&mut hello).unwrap();
        let (front, rest) = hello.split_at(50);
        client.tcp.write_all(front).unwrap();
        wait(Duration::from_millis(100));
        client.tcp.write_all(rest).unwrap();
        client.handshake().unwrap();
    })
    .await;
    assert_eq!(served.await.unwrap().unwrap().sni, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_records_may_come_at_once_even_behind_the_handshake() {
    let edge = edge();
    for version in [&TLS12, &TLS13] {
        let (address, served) = server(edge.tls.mail(Protocol::Imap), echo).await;
        let client = client_config(edge.folder.path(), version, &[]);
        aside(move || {
            let mut client = Client::new(address, client);
            // Written before the handshake is done: it leaves in one flight with the client's Finished.
            client.tls.writer().write_all(b"early ").unwrap();
            client.handshake().unwrap();
            assert_eq!(client.read_exactly(6), b"early ");
            let mut expected = Vec::new();
            for n in 0..200u8 {
                client.tls.writer().write_all(&[n; 100]).unwrap();
                expected.extend([n; 100]);
            }
            client.send();
            assert_eq!(client.read_exactly(expected.len()), expected);
        })
        .await;
        served.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_close_notify_ends_one_direction_only() {
    let edge = edge();
    for version in [&TLS12, &TLS13] {
        let (address, served) = server(edge.tls.mail(Protocol::Imap), |stream| async move {
            let mut stream = stream.unwrap();
            assert_eq!(stream.read(&mut Vec::new()).await.unwrap(), 0);
            assert_eq!(stream.read(&mut Vec::new()).await.unwrap(), 0);
            stream.write_all(&[b'z'; 100_000]).await.unwrap();
            stream.shutdown().await.unwrap();
            stream.is_truncated()
        })
        .await;
        let client = client_config(edge.folder.path(), version, &[]);
        aside(move || {
            let mut client = Client::new(address, client);
            client.handshake().unwrap();
            client.tls.send_close_notify();
            client.send();
            assert_eq!(client.read_exactly(100_000), [b'z'; 100_000]);
            while client.receive().unwrap() > 0 {}
            // Only a close_notify lets the reader end without an error.
            assert_eq!(client.tls.reader().read(&mut [0]).unwrap(), 0);
        })
        .await;
        assert!(!served.await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_close_notify_in_the_last_flight_of_the_handshake_is_an_end_behind_it() {
    let edge = edge();
    let (address, served) = server(edge.tls.mail(Protocol::Imap), |stream| async move {
        let mut stream = stream.unwrap();
        let mut got = Vec::new();
        while stream.read(&mut got).await.unwrap() > 0 {}
        got
    })
    .await;
    let client = client_config(edge.folder.path(), &TLS13, &[]);
    aside(move || {
        let mut client = Client::new(address, client);
        client.tls.writer().write_all(b"early").unwrap();
        client.send();
        while client.tls.is_handshaking() {
            client.receive().unwrap();
        }
        client.tls.send_close_notify();
        client.send();
    })
    .await;
    assert_eq!(served.await.unwrap(), b"early");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fin_without_close_notify_is_an_end_and_told_apart() {
    let edge = edge();
    let (address, served) = server(edge.tls.mail(Protocol::Imap), |stream| async move {
        let mut stream = stream.unwrap();
        let mut got = Vec::new();
        while stream.read(&mut got).await.unwrap() > 0 {}
        (got, stream.is_truncated())
    })
    .await;
    let client = client_config(edge.folder.path(), &TLS13, &[]);
    aside(move || {
        let mut client = Client::new(address, client);
        client.handshake().unwrap();
        client.write(b"a LOGOUT\r\n");
        client.tcp.shutdown(std::net::Shutdown::Write).unwrap();
        // Tickets wait to be read; closing over them would be a reset.
        let _ = client.tcp.read_to_end(&mut Vec::new());
    })
    .await;
    assert_eq!(served.await.unwrap(), (b"a LOGOUT\r\n".to_vec(), true));
}

/// The record lengths in a stream of TLS.
fn records(mut octets: &[u8]) -> Vec<usize> {
    let mut lengths = Vec::new();
    while let [_, _, _, high, low, rest @ ..] = octets {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        lengths.push(length);
        octets = &rest[length.min(rest.len())..];
    }
    lengths
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_update_is_answered_in_front_of_the_next_data() {
    let edge = edge();
    let (address, served) = server(edge.tls.mail(Protocol::Imap), echo).await;
    let client = client_config(edge.folder.path(), &TLS13, &[]);
    aside(move || {
        let mut client = Client::new(address, client);
        client.handshake().unwrap();
        client.write(b"before");
        assert_eq!(client.read_exactly(6), b"before");
        for round in 0..3 {
            client.tls.refresh_traffic_keys().unwrap();
            client.write(b"behind");
            let mut raw = vec![0; 4096];
            let read = client.tcp.read(&mut raw).unwrap();
            assert_eq!(records(&raw[..read]).len(), 2, "round {round}: KeyUpdate and data");
            client.tls.read_tls(&mut &raw[..read]).unwrap();
            client.tls.process_new_packets().unwrap();
            assert_eq!(client.read_exactly(6), b"behind");
        }
    })
    .await;
    served.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_another_protocol_is_refused_by_alpn() {
    let edge = edge();
    let own = [
        (Protocol::Imap, "imap"),
        (Protocol::Pop3, "pop3"),
        (Protocol::Sieve, "managesieve"),
        (Protocol::Smtp, "smtp"),
    ];
    for (protocol, name) in own {
        for (offer, welcome) in
            [(vec!["http/1.1", "h2"], false), (vec!["ftp"], false), (vec![], true), (vec!["h2", name], true)]
        {
            let (address, served) =
                server(edge.tls.mail(protocol), |stream| async move { stream.is_ok() }).await;
            let client = client_config(edge.folder.path(), &TLS13, &offer);
            let shaken = aside(move || Client::new(address, client).handshake()).await;
            assert_eq!(served.await.unwrap(), welcome, "{protocol} {offer:?}");
            let refused = rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol);
            assert_eq!(shaken, if welcome { Ok(()) } else { Err(refused) }, "{protocol} {offer:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_instead_of_a_hello_gets_an_alert_and_an_end() {
    let edge = edge();
    let hostile: [(&[u8], &str); 5] = [
        (b"GET / HTTP/1.1\r\nHost: mail.example.org\r\n\r\n", "HTTP"),
        (b"EHLO client\r\n", "SMTP"),
        (&[22, 3, 1, 0xff, 0xff, 1], "a record longer than any"),
        (&[23, 3, 3, 0, 5, 1, 2, 3, 4, 5], "data before the handshake"),
        (&[22, 3, 1, 0, 5, 1, 0, 0, 1, 0], "an empty hello"),
    ];
    for (octets, what) in hostile {
        let (address, served) =
            server(edge.tls.mail(Protocol::Imap), |stream| async move { stream.unwrap_err() }).await;
        let answer = aside(move || {
            let mut tcp = StdStream::connect(address).unwrap();
            tcp.write_all(octets).unwrap();
            tcp.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let mut answer = Vec::new();
            let _ = tcp.read_to_end(&mut answer);
            answer
        })
        .await;
        assert!(matches!(served.await.unwrap(), TlsError::Handshake(_) | TlsError::Left), "{what}");
        assert_eq!(answer.first(), Some(&21), "{what} is answered by an alert: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_record_ends_the_session_with_bad_record_mac() {
    let edge = edge();
    for version in [&TLS12, &TLS13] {
        let (address, served) = server(edge.tls.mail(Protocol::Imap), |stream| async move {
            let mut stream = stream.unwrap();
            stream.write_all(b"* OK\r\n").await.unwrap();
            let mut got = Vec::new();
            let failed = stream.read(&mut got).await.unwrap_err();
            assert!(stream.read(&mut got).await.is_err(), "it stays broken");
            assert!(stream.write_all(b"x").await.is_err(), "nothing is sent behind an alert");
            stream.shutdown().await.unwrap();
            (failed.kind(), got)
        })
        .await;
        let client = client_config(edge.folder.path(), version, &[]);
        let seen = aside(move || {
            let mut client = Client::new(address, client);
            client.handshake().unwrap();
            // The handshake is over on both sides, so the record cannot be part of its last flight.
            assert_eq!(client.read_exactly(6), b"* OK\r\n");
            client.tls.writer().write_all(b"a LOGOUT\r\n").unwrap();
            let mut octets = Vec::new();
            client.tls.write_tls(&mut octets).unwrap();
            *octets.last_mut().unwrap() ^= 1;
            client.tcp.write_all(&octets).unwrap();
            loop {
                match client.receive() {
                    Ok(0) => return None,
                    Ok(_) => {}
                    Err(error) => return Some(error),
                }
            }
        })
        .await;
        assert_eq!(seen, Some(rustls::Error::AlertReceived(AlertDescription::BadRecordMac)));
        assert_eq!(served.await.unwrap(), (std::io::ErrorKind::InvalidData, Vec::new()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_during_the_handshake_is_told_apart() {
    let edge = edge();
    let (address, served) =
        server(edge.tls.mail(Protocol::Imap), |stream| async move { stream.unwrap_err() }).await;
    aside(move || {
        let mut tcp = StdStream::connect(address).unwrap();
        tcp.write_all(&[22, 3, 1, 2]).unwrap();
    })
    .await;
    assert!(matches!(served.await.unwrap(), TlsError::Left));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_in_clear_is_not_read_after_the_handshake() {
    let edge = edge();
    let config = edge.tls.mail(Protocol::Smtp);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let mut stream = MailStream::clear(tcp);
        let mut clear = Vec::new();
        stream.read(&mut clear).await.unwrap();
        assert!(!stream.is_encrypted() && stream.facts().is_none());
        stream.write_all(b"220 go\r\n").await.unwrap();
        let mut stream = stream.accept(config).await.unwrap();
        let mut encrypted = Vec::new();
        stream.read(&mut encrypted).await.unwrap();
        assert!(stream.is_encrypted());
        (clear, encrypted)
    });
    let client = client_config(edge.folder.path(), &TLS13, &[]);
    aside(move || {
        let mut tcp = StdStream::connect(address).unwrap();
        tcp.write_all(b"STARTTLS\r\nMAIL FROM:<mallory>\r\n").unwrap();
        let mut go = [0; 8];
        tcp.read_exact(&mut go).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut client = Client::over(tcp, Arc::new(client), name);
        client.handshake().unwrap();
        client.write(b"EHLO\r\n");
    })
    .await;
    let (clear, encrypted) = served.await.unwrap();
    assert_eq!(clear, b"STARTTLS\r\nMAIL FROM:<mallory>\r\n");
    assert_eq!(encrypted, b"EHLO\r\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_swapped_under_live_sessions() {
    let edge = edge();
    let folder = edge.folder.path().to_owned();
    let (address, first) = server(edge.tls.mail(Protocol::Imap), echo).await;
    let old = client_config(&folder, &TLS13, &[]);
    let mut live = aside(move || {
        let mut client = Client::new(address, old);
        client.handshake().unwrap();
        client
    })
    .await;
    assert!(!edge.certificates.changed_on_disk());

    // Half a change: another certificate over the same key. It is refused, and what was there stays.
    let elsewhere = TempDir::new().unwrap();
    dev::ensure(elsewhere.path(), "mail.example.org", UnixTime::now()).unwrap();
    std::fs::copy(elsewhere.path().join("server.pem"), folder.join("server.pem")).unwrap();
    assert!(edge.certificates.changed_on_disk());
    assert!(matches!(edge.certificates.reload(), Err(TlsError::KeyMismatch { .. })));
    assert!(!edge.certificates.changed_on_disk(), "a bad file is tried once");
    let (address, served) =
        server(edge.tls.mail(Protocol::Imap), |stream| async move { stream.is_ok() }).await;
    let old = client_config(&folder, &TLS13, &[]);
    aside(move || Client::new(address, old).handshake().unwrap()).await;
    assert!(served.await.unwrap());

    // The other half.
    std::fs::copy(elsewhere.path().join("server.key"), folder.join("server.key")).unwrap();
    edge.certificates.reload().unwrap();
    let (address, served) =
        server(edge.tls.mail(Protocol::Imap), |stream| async move { stream.is_ok() }).await;
    let new = client_config(elsewhere.path(), &TLS13, &[]);
    aside(move || Client::new(address, new).handshake().unwrap()).await;
    assert!(served.await.unwrap());

    aside(move || {
        live.write(b"still here");
        assert_eq!(live.read_exactly(10), b"still here");
    })
    .await;
    first.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_gets_its_own_certificate_and_a_stranger_the_default() {
    let (default, own, wild) = (TempDir::new().unwrap(), TempDir::new().unwrap(), TempDir::new().unwrap());
    let files =
        |folder: &TempDir, name: &str| dev::ensure(folder.path(), name, UnixTime::now()).unwrap().server;
    let sni = vec![
        ("Own.example.org".to_owned(), files(&own, "own.example.org")),
        ("*.wild.example.org".to_owned(), files(&wild, "a.wild.example.org")),
    ];
    let config = config(Some(files(&default, "default.example.org")), sni);
    let tls = ServerTls::new(&Certificates::load(&config).unwrap(), MinVersion::Tls12).unwrap();
    for (name, folder) in [
        ("own.example.org", &own),
        ("a.wild.example.org", &wild),
        ("default.example.org", &default),
        ("localhost", &default),
    ] {
        let (address, served) =
            server(tls.mail(Protocol::Imap), |stream| async move { stream.is_ok() }).await;
        let client = client_config(folder.path(), &TLS13, &[]);
        aside(move || {
            let server = ServerName::try_from(name).unwrap();
            let tcp = StdStream::connect(address).unwrap();
            Client::over(tcp, Arc::new(client), server).handshake().unwrap();
        })
        .await;
        assert!(served.await.unwrap(), "{name}");
    }
}

#[test]
fn without_a_certificate_one_is_made_in_memory() {
    let certificates = Certificates::load(&config(None, Vec::new())).unwrap();
    certificates.reload().unwrap();
    assert!(!certificates.changed_on_disk());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lowest_version_is_kept() {
    let edge = edge();
    let tls = ServerTls::new(&edge.certificates, MinVersion::Tls13).unwrap();
    let (address, served) = server(tls.mail(Protocol::Imap), |stream| async move { stream.is_ok() }).await;
    let client = client_config(edge.folder.path(), &TLS12, &[]);
    let shaken = aside(move || Client::new(address, client).handshake()).await;
    assert_eq!(shaken, Err(rustls::Error::AlertReceived(AlertDescription::ProtocolVersion)));
    assert!(!served.await.unwrap());
}

#[test]
fn each_bad_file_has_its_sentence() {
    let folder = TempDir::new().unwrap();
    let good = dev::ensure(folder.path(), "mail.example.org", UnixTime::now()).unwrap().server;
    let other = TempDir::new().unwrap();
    let stranger = dev::ensure(other.path(), "mail.example.org", UnixTime::now()).unwrap().server;
    let key = good.private_key.clone().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let empty = file("empty.pem", "");
    let junk = file("junk.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
    let bad_key =
        file("bad.key", concat!("-----BEGIN PRIVATE", " KEY-----\nMIIB\n-----END PRIVATE", " KEY-----\n"));
    let absent = folder.path().join("absent.pem");
    let cases = [
        (absent.clone(), Some(key.clone()), "cannot read", &absent),
        (good.certificate.clone(), Some(absent.clone()), "cannot read", &absent),
        (empty.clone(), Some(key.clone()), "holds no certificate", &empty),
        (junk.clone(), Some(key.clone()), "cannot be parsed", &junk),
        (good.certificate.clone(), None, "holds no private key", &good.certificate),
        (good.certificate.clone(), Some(bad_key.clone()), "cannot be used", &bad_key),
        (stranger.certificate.clone(), Some(key.clone()), "does not match", &stranger.certificate),
        (stranger.certificate.clone(), Some(key.clone()), "does not match", &key),
    ];
    for (certificate, private_key, says, names) in cases {
        let config = config(Some(CertificateFiles { certificate, private_key }), Vec::new());
        let sentence = Certificates::load(&config).unwrap_err().to_string();
        assert!(sentence.contains(says), "{sentence:?} says {says:?}");
        assert!(sentence.contains(&names.display().to_string()), "{sentence:?} names {names:?}");
    }
}

#[test]
fn a_chain_and_its_key_may_stand_in_one_file() {
    let folder = TempDir::new().unwrap();
    let files = dev::ensure(folder.path(), "mail.example.org", UnixTime::now()).unwrap().server;
    let both = folder.path().join("both.pem");
    let mut text = std::fs::read(&files.certificate).unwrap();
    text.extend(std::fs::read(files.private_key.unwrap()).unwrap());
    std::fs::write(&both, text).unwrap();
    let one = CertificateFiles { certificate: both, private_key: None };
    assert!(Certificates::load(&config(Some(one), Vec::new())).is_ok());
}

#[test]
fn the_development_certificate_is_kept_while_it_is_good() {
    use std::os::unix::fs::PermissionsExt;

    let folder = TempDir::new().unwrap();
    let now = UnixTime::now();
    let files = dev::ensure(folder.path(), "mail.example.org", now).unwrap();
    let key = files.server.private_key.unwrap();
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let mut names: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["ca.pem", "server.key", "server.pem"], "the key of the CA is kept nowhere");

    let content = || std::fs::read(&key).unwrap();
    let first = content();
    dev::ensure(folder.path(), "mail.example.org", now.after(Duration::from_secs(300 * 86400))).unwrap();
    assert_eq!(content(), first, "it is still good");
    dev::ensure(folder.path(), "other.example.org", now).unwrap();
    let second = content();
    assert_ne!(second, first, "it must be good for the new name");
    dev::ensure(folder.path(), "other.example.org", now.after(Duration::from_secs(364 * 86400))).unwrap();
    assert_ne!(content(), second, "it would end soon");
}
