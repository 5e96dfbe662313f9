//! A mail client that sends what it is told and knows no protocol.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    sync::Arc,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};

enum Transport {
    Clear(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// A connection; every read ends after ten seconds, so that a silent server fails the test instead of hanging it.
pub(crate) struct Client {
    transport: Transport,
    received: Vec<u8>,
}

impl Client {
    pub(crate) fn clear(port: u16) -> Self {
        let tcp = TcpStream::connect(("127.0.0.1", port)).expect("connected");
        tcp.set_read_timeout(Some(Duration::from_secs(10))).expect("time limit");
        tcp.set_nodelay(true).expect("no delay");
        Self { transport: Transport::Clear(tcp), received: Vec::new() }
    }

    pub(crate) fn tls(port: u16, ca: &Path) -> Self {
        Self::clear(port).encrypt(ca)
    }

    /// Does the TLS handshake now; what was received in clear is forgotten.
    pub(crate) fn encrypt(self, ca: &Path) -> Self {
        let Transport::Clear(tcp) = self.transport else { panic!("already encrypted") };
        let connection = ClientConnection::new(config(ca), ServerName::try_from("localhost").expect("name"))
            .expect("client");
        Self { transport: Transport::Tls(Box::new(StreamOwned::new(connection, tcp))), received: Vec::new() }
    }

    /// As [`Client::encrypt`]; `None` when the server ends the connection instead.
    pub(crate) fn try_encrypt(self, ca: &Path) -> Option<Self> {
        let Self { transport: Transport::Tls(mut tls), received } = self.encrypt(ca) else { return None };
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock).ok()?;
        }
        Some(Self { transport: Transport::Tls(tls), received })
    }

    pub(crate) fn send(&mut self, octets: &[u8]) {
        assert!(self.try_send(octets), "not sent");
    }

    /// Whether the octets could be sent.
    pub(crate) fn try_send(&mut self, octets: &[u8]) -> bool {
        match &mut self.transport {
            Transport::Clear(tcp) => tcp.write_all(octets),
            Transport::Tls(tls) => tls.write_all(octets).and_then(|()| tls.flush()),
        }
        .is_ok()
    }

    /// Sends one line with CRLF.
    pub(crate) fn say(&mut self, line: &str) {
        self.send(format!("{line}\r\n").as_bytes());
    }

    /// The next line, without CRLF. Panics when the connection ends first.
    pub(crate) fn line(&mut self) -> String {
        self.next_line().expect("the connection ended instead of a line")
    }

    /// The next line, or `None` at the end of the connection.
    pub(crate) fn next_line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.received.iter().position(|octet| *octet == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                return Some(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned());
            }
            if self.fill() == 0 {
                return None;
            }
        }
    }

    /// Reads lines until one starts with `prefix`; returns that line.
    pub(crate) fn until(&mut self, prefix: &str) -> String {
        let mut seen = Vec::new();
        loop {
            match self.next_line() {
                Some(line) if line.starts_with(prefix) => return line,
                Some(line) => seen.push(line),
                None => panic!("no line with {prefix:?}, but {seen:#?}"),
            }
        }
    }

    /// The next line must start with `prefix`.
    #[track_caller]
    pub(crate) fn expect(&mut self, prefix: &str) -> String {
        let line = self.line();
        assert!(line.starts_with(prefix), "expected {prefix:?}, got {line:?}");
        line
    }

    /// Reads to the end of the connection; what came.
    pub(crate) fn rest(&mut self) -> String {
        while self.fill() > 0 {}
        String::from_utf8_lossy(&std::mem::take(&mut self.received)).into_owned()
    }

    /// Ends this direction, cleanly under TLS; the other stays.
    pub(crate) fn end(&mut self) {
        let tcp = match &mut self.transport {
            Transport::Clear(tcp) => tcp,
            Transport::Tls(tls) => {
                tls.conn.send_close_notify();
                tls.flush().expect("sent");
                &mut tls.sock
            }
        };
        tcp.shutdown(std::net::Shutdown::Write).expect("ended");
    }

    /// Reads to the end of the connection, which must be a clean one: close_notify under TLS.
    pub(crate) fn clean_rest(&mut self) -> String {
        let Transport::Tls(tls) = &mut self.transport else { return self.rest() };
        tls.read_to_end(&mut self.received).expect("a clean end");
        self.rest()
    }

    fn fill(&mut self) -> usize {
        let mut chunk = [0; 16 * 1024];
        let read = match &mut self.transport {
            Transport::Clear(tcp) => tcp.read(&mut chunk),
            Transport::Tls(tls) => tls.read(&mut chunk),
        };
        match read {
            Ok(count) => {
                self.received.extend_from_slice(&chunk[..count]);
                count
            }
            Err(error)
                if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) =>
            {
                panic!("the server is silent; so far {:?}", String::from_utf8_lossy(&self.received))
            }
            Err(_) => 0,
        }
    }
}

fn config(ca: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).expect("CA file") {
        roots.add(certificate.expect("certificate")).expect("usable root");
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions");
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Base64 with padding.
pub(crate) fn base64(octets: impl AsRef<[u8]>) -> String {
    STANDARD.encode(octets)
}

/// The OAUTHBEARER response in base64.
pub(crate) fn oauthbearer(user: &str, token: &str) -> String {
    base64(format!("n,a={user},\x01host=localhost\x01port=993\x01auth=Bearer {token}\x01\x01"))
}

/// The XOAUTH2 response in base64.
pub(crate) fn xoauth2(user: &str, token: &str) -> String {
    base64(format!("user={user}\x01auth=Bearer {token}\x01\x01"))
}
