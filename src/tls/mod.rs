//! The only user of rustls for connections.

use std::{path::PathBuf, sync::Arc};

/// Certificates of the listeners.
#[derive(Clone, Debug)]
pub struct Config {
    /// The certificate for every name without one of its own; `None` makes a self-signed one in memory.
    pub default: Option<CertificateFiles>,
    /// Certificates by server name.
    pub sni: Vec<(String, CertificateFiles)>,
    /// Lowest protocol version.
    pub min_version: MinVersion,
    /// The public name, for the self-signed certificate.
    pub hostname: Arc<str>,
}

/// Where a certificate chain and its key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// PEM chain, leaf first; may hold the key too.
    pub certificate: PathBuf,
    /// PEM key; `None` when it stands in `certificate`.
    pub private_key: Option<PathBuf>,
}

/// Lowest TLS version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MinVersion {
    /// TLS 1.2 (RFC 5246).
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

/// How a backend's certificate is checked.
#[derive(Clone, Debug, Default)]
pub struct UpstreamConfig {
    /// PEM roots that replace the system's.
    pub ca: Option<PathBuf>,
    /// SHA-256 of the leaf's SubjectPublicKeyInfo; when set, this and not a name decides.
    pub pin: Option<[u8; 32]>,
    /// Name to verify and to send as SNI, when it is not the address's host.
    pub server_name: Option<String>,
    /// Client certificate.
    pub client: Option<CertificateFiles>,
    /// `false` switches verification off; logged loudly at start.
    pub insecure_no_verify: bool,
}
