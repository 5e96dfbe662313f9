use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use aws_lc_rs::digest;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};
use rustls_platform_verifier::Verifier;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::{MinVersion, TlsError, UpstreamConfig, material, provider, versions};

/// TLS toward the servers of one backend. Sessions are resumed.
#[derive(Clone, Debug)]
pub struct UpstreamTls {
    /// Without roots in the system it is known only at the first use whether TLS is wanted at all.
    config: Result<Arc<ClientConfig>, Arc<str>>,
    server_name: Option<ServerName<'static>>,
}

/// A connection to a mail server.
#[derive(Debug)]
pub enum UpstreamStream {
    /// In clear.
    Clear(TcpStream),
    /// Encrypted.
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

impl UpstreamTls {
    /// Reads the files of `config`.
    ///
    /// # Errors
    /// A file is missing or unusable, or the server name cannot be one.
    pub fn new(config: &UpstreamConfig) -> Result<Self, TlsError> {
        let server_name = config.server_name.as_deref().map(server_name).transpose()?;
        let verifier = match verifier(config) {
            Ok(verifier) => verifier,
            Err(TlsError::NoSystemRoots(reason)) => {
                return Ok(Self { config: Err(reason.into()), server_name });
            }
            Err(error) => return Err(error),
        };
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&versions(MinVersion::Tls12))
            .map_err(TlsError::setup)?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let config = match &config.client {
            Some(files) => {
                let (chain, key) = material::client_identity(files)?;
                builder.with_client_auth_cert(chain, key).map_err(TlsError::setup)?
            }
            None => builder.with_no_client_auth(),
        };
        Ok(Self { config: Ok(Arc::new(config)), server_name })
    }

    /// For a client that makes its handshakes itself.
    ///
    /// # Errors
    /// [`TlsError::NoSystemRoots`] when nothing is there to verify a server with.
    pub fn client_config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        match &self.config {
            Ok(config) => Ok(Arc::clone(config)),
            Err(reason) => Err(TlsError::NoSystemRoots(reason.as_ref().to_owned())),
        }
    }

    /// The handshake with `host`, whose name is verified and sent as SNI unless the configuration names another.
    ///
    /// # Errors
    /// [`TlsError::Untrusted`] when the certificate is refused; otherwise the server or the connection failed.
    pub async fn connect(&self, tcp: TcpStream, host: &str) -> Result<UpstreamStream, TlsError> {
        let config = self.client_config()?;
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => server_name(host)?,
        };
        let stream = TlsConnector::from(config).connect(name, tcp).await.map_err(TlsError::of_io)?;
        Ok(UpstreamStream::Tls(Box::new(stream)))
    }
}

impl UpstreamStream {
    /// The socket below, for its addresses.
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Self::Clear(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref().0,
        }
    }

    /// Whether it is encrypted.
    pub fn is_encrypted(&self) -> bool {
        matches!(self, Self::Tls(_))
    }
}

impl AsyncRead for UpstreamStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for UpstreamStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Clear(tcp) => Pin::new(tcp).poll_write(cx, octets),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, octets),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

fn server_name(host: &str) -> Result<ServerName<'static>, TlsError> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    ServerName::try_from(bare.to_owned()).map_err(|_| TlsError::BadServerName(host.to_owned()))
}

fn verifier(config: &UpstreamConfig) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
    if config.insecure_no_verify {
        return Ok(Arc::new(DangerousNoVerification { provider: provider() }));
    }
    if let Some(pin) = config.pin {
        return Ok(Arc::new(PinnedKey { pin, provider: provider() }));
    }
    if let Some(ca) = &config.ca {
        let roots = material::roots(ca)?;
        let built = WebPkiServerVerifier::builder_with_provider(roots, provider()).build();
        return Ok(built.map_err(TlsError::setup)?);
    }
    let system = Verifier::new(provider()).map_err(|error| TlsError::NoSystemRoots(error.to_string()))?;
    Ok(Arc::new(system))
}

/// Accepts the server that holds the key of which only a hash is configured. Names, chains and dates do not count;
/// the handshake's signatures still do, they prove that the server has the key.
#[derive(Debug)]
struct PinnedKey {
    pin: [u8; 32],
    provider: Arc<CryptoProvider>,
}

/// Accepts every certificate. Whoever stands between can read and change everything.
#[derive(Debug)]
struct DangerousNoVerification {
    provider: Arc<CryptoProvider>,
}

/// The server's key is another.
#[derive(Debug, thiserror::Error)]
#[error("its key is not the pinned one")]
struct WrongKey;

impl PinnedKey {
    fn matches(&self, leaf: &CertificateDer<'_>) -> Result<bool, Error> {
        let key = ParsedCertificate::try_from(leaf)?.subject_public_key_info();
        Ok(digest::digest(&digest::SHA256, &key).as_ref() == self.pin)
    }
}

impl ServerCertVerifier for PinnedKey {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.matches(leaf)? {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::Other(OtherError(Arc::new(WrongKey))).into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, leaf, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl ServerCertVerifier for DangerousNoVerification {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
