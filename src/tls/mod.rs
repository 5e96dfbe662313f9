//! TLS: the only user of rustls for connections.
//!
//! Server side for mail is [`MailStream`], one type for clear and encrypted connections that owns next to nothing
//! while it is idle; server side for HTTPS and the client side toward mail servers are tokio-rustls.
//!
//! Invariants:
//! - every configuration is built on one [`provider`], speaks TLS 1.2 or 1.3 and takes no early data: a replayed
//!   0-RTT flight would replay a sign-in (RFC 8446 §8);
//! - a certificate that cannot be used replaces none that can;
//! - an octet that came before the handshake is not among those read after it: [`MailStream`] reads nothing ahead
//!   in clear;
//! - verification of a mail server is switched off by nothing but the setting that says so.
//!
//! It must not decide who may sign in, and it writes no metrics: what happened is returned as [`TlsFacts`].

mod backlog;
mod certificates;
mod client_certificates;
pub mod dev;
mod error;
mod material;
mod records;
mod server;
mod stream;
mod upstream;
mod worker;

use std::{path::PathBuf, sync::Arc};

pub use certificates::Certificates;
pub use client_certificates::{ClientAuthorities, PeerCertificate};
pub use error::TlsError;
pub use records::TlsFacts;
pub use rustls::ServerConfig;
pub use server::{HttpsStream, ServerTls, accept_https};
pub use stream::MailStream;
pub use upstream::{UpstreamStream, UpstreamTls};
pub use worker::{Outgoing, Worker};

use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// Certificates of the listeners.
#[derive(Clone, Debug)]
pub struct Config {
    /// The certificate for every name without one of its own; `None` makes a self-signed one in memory.
    pub default: Option<CertificateFiles>,
    /// Certificates by server name; a name may start with `*.`, which stands for one label.
    pub sni: Vec<(String, CertificateFiles)>,
    /// Lowest protocol version.
    pub min_version: MinVersion,
    /// The public name, for the self-signed certificate.
    pub hostname: Arc<str>,
    /// PEM file of the authorities that vouch for client certificates.
    pub client_ca: Option<PathBuf>,
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
    /// `true` switches verification off; logged loudly at start.
    pub insecure_no_verify: bool,
}

/// The one cryptographic provider: aws-lc-rs, X25519MLKEM768 first.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// The protocol versions from `min` on.
fn versions(min: MinVersion) -> Vec<&'static rustls::SupportedProtocolVersion> {
    match min {
        MinVersion::Tls12 => vec![&rustls::version::TLS13, &rustls::version::TLS12],
        MinVersion::Tls13 => vec![&rustls::version::TLS13],
    }
}
