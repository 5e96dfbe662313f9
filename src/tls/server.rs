use std::sync::Arc;

use rustls::{ServerConfig, crypto::aws_lc_rs::Ticketer, server::NoServerSessionStorage};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::{Certificates, MinVersion, TlsError, client_certificates::AskForCertificate, provider, versions};
use crate::model::Protocol;

/// A TLS connection of the HTTPS listener.
pub type HttpsStream = tokio_rustls::server::TlsStream<TcpStream>;

/// The server configurations of every service, over one set of certificates.
///
/// Each service has its own ticket keys: a session begun on one cannot be resumed on another.
#[derive(Clone, Debug)]
pub struct ServerTls {
    https: Arc<ServerConfig>,
    imap: Arc<ServerConfig>,
    pop3: Arc<ServerConfig>,
    sieve: Arc<ServerConfig>,
    smtp: Arc<ServerConfig>,
}

impl ServerTls {
    /// Configurations for every service.
    ///
    /// # Errors
    /// [`TlsError::Setup`] when the library refuses, which only a missing source of randomness makes likely.
    pub fn new(certificates: &Arc<Certificates>, min_version: MinVersion) -> Result<Self, TlsError> {
        Self::build(certificates, min_version, Ask::No)
    }

    /// The same, for listeners that ask their clients for a certificate (RFC 8705).
    ///
    /// # Errors
    /// As [`ServerTls::new`].
    pub fn asking(certificates: &Arc<Certificates>, min_version: MinVersion) -> Result<Self, TlsError> {
        Self::build(certificates, min_version, Ask::Yes)
    }

    fn build(certificates: &Arc<Certificates>, min_version: MinVersion, ask: Ask) -> Result<Self, TlsError> {
        let service = |alpn: &[&str]| configuration(certificates, min_version, alpn, ask).map(Arc::new);
        Ok(Self {
            https: service(&["h2", "http/1.1"])?,
            imap: service(mail_alpn(Protocol::Imap))?,
            pop3: service(mail_alpn(Protocol::Pop3))?,
            sieve: service(mail_alpn(Protocol::Sieve))?,
            smtp: service(mail_alpn(Protocol::Smtp))?,
        })
    }

    /// For a listener of `protocol`.
    pub fn mail(&self, protocol: Protocol) -> Arc<ServerConfig> {
        Arc::clone(match protocol {
            Protocol::Imap => &self.imap,
            Protocol::Pop3 => &self.pop3,
            Protocol::Sieve => &self.sieve,
            Protocol::Smtp => &self.smtp,
        })
    }

    /// For the HTTPS listener: HTTP/2 and HTTP/1.1.
    pub fn https(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.https)
    }
}

/// The handshake of an HTTPS connection.
///
/// # Errors
/// The peer left, or broke or refused the handshake.
pub async fn accept_https(tcp: TcpStream, config: Arc<ServerConfig>) -> Result<HttpsStream, TlsError> {
    TlsAcceptor::from(config).accept(tcp).await.map_err(TlsError::of_io)
}

/// The application protocols that a mail listener answers to. A client that names none is welcome; one that names
/// only others speaks to the wrong server, perhaps unwillingly (ALPACA, CVE-2021-3618), and is refused with
/// `no_application_protocol` (RFC 7301 §3.2). For submission nothing is registered, so there every name is
/// another's; `smtp` stands in because rustls looks at no offer while it has no name of its own.
const fn mail_alpn(protocol: Protocol) -> &'static [&'static str] {
    match protocol {
        Protocol::Imap => &["imap"],
        Protocol::Pop3 => &["pop3"],
        Protocol::Sieve => &["managesieve"],
        Protocol::Smtp => &["smtp"],
    }
}

/// Whether clients are asked for a certificate.
#[derive(Clone, Copy)]
enum Ask {
    No,
    Yes,
}

fn configuration(
    certificates: &Arc<Certificates>,
    min_version: MinVersion,
    alpn: &[&str],
    ask: Ask,
) -> Result<ServerConfig, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&versions(min_version))
        .map_err(TlsError::setup)?;
    let builder = match ask {
        Ask::No => builder.with_no_client_auth(),
        Ask::Yes => builder.with_client_cert_verifier(AskForCertificate::new()),
    };
    let mut config = builder.with_cert_resolver(Arc::clone(certificates) as _);
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config.max_early_data_size = 0;
    config.ticketer = Ticketer::new().map_err(TlsError::setup)?;
    // Tickets hold the whole state; a store beside them would cost a lock and memory per handshake.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}
