use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context, Result, bail};
use rustls::{
    ClientConfig, HandshakeKind, RootCertStore,
    client::Resumption,
    crypto::aws_lc_rs::{cipher_suite::TLS13_AES_128_GCM_SHA256, default_provider, kx_group::X25519},
    pki_types::{CertificateDer, ServerName},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::upstream::Bulk;

const TAGGED_OK: &[u8] = b"a OK";
const LONGEST_ANSWER: usize = 16 * 1024;

/// Connects and signs in as one client would. Its sessions are remembered where resumption is wanted, so each
/// simulated client has its own.
#[derive(Clone)]
pub(crate) struct Client {
    connector: TlsConnector,
    proxy: SocketAddr,
    sign_in: Arc<str>,
    bulk: Bulk,
}

/// A session after its sign-in.
pub(crate) struct Session {
    stream: TlsStream<TcpStream>,
    pub(crate) resumed: bool,
    bulk: Bulk,
}

impl Client {
    /// TLS 1.3, X25519, AES-128-GCM and nothing else, so that both proxies do the same work.
    pub(crate) fn new(
        root: &CertificateDer<'static>,
        proxy: SocketAddr,
        sign_in: &Arc<str>,
        bulk: Bulk,
        resume: bool,
    ) -> Result<Self> {
        let mut provider = default_provider();
        provider.cipher_suites = vec![TLS13_AES_128_GCM_SHA256];
        provider.kx_groups = vec![X25519];
        let mut roots = RootCertStore::empty();
        roots.add(root.clone())?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = match resume {
            true => Resumption::in_memory_sessions(4),
            false => Resumption::disabled(),
        };
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config)),
            proxy,
            sign_in: Arc::clone(sign_in),
            bulk,
        })
    }

    /// From the connect to the tagged OK.
    pub(crate) async fn sign_in(&self) -> Result<Session> {
        let tcp = TcpStream::connect(self.proxy).await.context("connect")?;
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from("localhost")?;
        let stream = self.connector.connect(name, tcp).await.context("TLS")?;
        let mut session = Session { stream, resumed: false, bulk: self.bulk };
        session.expect(b"* OK").await?;
        session.send(&self.sign_in).await?;
        session.expect(TAGGED_OK).await?;
        let (_, connection) = session.stream.get_ref();
        session.resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
        Ok(session)
    }
}

impl Session {
    /// Enters IDLE.
    pub(crate) async fn idle(&mut self) -> Result<()> {
        self.select().await?;
        self.send("a IDLE\r\n").await?;
        self.expect(b"+").await
    }

    /// Opens the mailbox, where the mail server insists on it.
    async fn select(&mut self) -> Result<()> {
        match self.bulk {
            Bulk::Command => Ok(()),
            Bulk::Fetch(_) => {
                self.send("a SELECT INBOX\r\n").await?;
                self.expect(TAGGED_OK).await
            }
        }
    }

    /// Downloads `octets` octets and throws them away.
    pub(crate) async fn download(&mut self, octets: u64) -> Result<()> {
        match self.bulk {
            Bulk::Command => {
                self.send(&format!("a XBULK {octets}\r\n")).await?;
                self.skip(octets + b"a OK all\r\n".len() as u64).await
            }
            Bulk::Fetch(size) => {
                self.select().await?;
                for _ in 0..octets.div_ceil(size) {
                    self.send("a FETCH 4 BODY.PEEK[]\r\n").await?;
                    self.skip_answer(size).await?;
                }
                Ok(())
            }
        }
    }

    /// Reads an answer of more than `least` octets up to its tagged OK and throws it away.
    async fn skip_answer(&mut self, least: u64) -> Result<()> {
        let mut buffer = vec![0; 64 * 1024];
        let mut end = Vec::new();
        let mut seen = 0;
        loop {
            let length = self.stream.read(&mut buffer).await?;
            if length == 0 {
                bail!("the download ended after {seen} octets");
            }
            seen += length as u64;
            end.extend_from_slice(buffer.get(..length).unwrap_or_default());
            end.drain(..end.len().saturating_sub(256));
            let is_tagged = end.split(|octet| *octet == b'\n').any(|line| line.starts_with(TAGGED_OK));
            if seen > least && end.ends_with(b"\r\n") && is_tagged {
                return Ok(());
            }
        }
    }

    /// Reads `all` octets and throws them away.
    async fn skip(&mut self, all: u64) -> Result<()> {
        let mut buffer = vec![0; 64 * 1024];
        let mut seen = 0;
        while seen < all {
            match self.stream.read(&mut buffer).await? {
                0 => bail!("the download ended after {seen} octets"),
                length => seen += length as u64,
            }
        }
        Ok(())
    }

    /// Says good-bye to TLS and closes.
    pub(crate) async fn close(mut self) -> Result<()> {
        Ok(self.stream.shutdown().await?)
    }

    async fn send(&mut self, line: &str) -> Result<()> {
        self.stream.write_all(line.as_bytes()).await?;
        Ok(self.stream.flush().await?)
    }

    /// Reads whole lines until one starts with `start`.
    async fn expect(&mut self, start: &[u8]) -> Result<()> {
        let mut answer = Vec::with_capacity(512);
        loop {
            if self.stream.read_buf(&mut answer).await? == 0 || answer.len() > LONGEST_ANSWER {
                bail!("instead of {:?}: {:?}", start.escape_ascii(), answer.escape_ascii());
            }
            let whole = answer.ends_with(b"\r\n");
            if whole && answer.split(|octet| *octet == b'\n').any(|line| line.starts_with(start)) {
                return Ok(());
            }
        }
    }
}
