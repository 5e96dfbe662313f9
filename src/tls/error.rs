use std::{io, path::PathBuf};

use thiserror::Error;

/// What can go wrong with TLS, by who must act: the operator (files, names, roots), the peer, or nobody.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file does not parse as a certificate.
    #[error("the certificate in {} cannot be parsed; it must be X.509 in PEM, the server's own first", path.display())]
    BadCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A key that cannot be used.
    #[error("the private key in {} cannot be used ({reason}); it must be an unencrypted RSA, ECDSA or Ed25519 key", path.display())]
    BadKey {
        /// The file.
        path: PathBuf,
        /// What the library says.
        reason: String,
    },
    /// A name that TLS cannot verify.
    #[error("{0:?} is neither a host name nor an address that a certificate could be verified for")]
    BadServerName(String),
    /// The peer broke or refused the handshake.
    #[error("the TLS handshake failed: {0}")]
    Handshake(String),
    /// The connection failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Key and certificate do not belong together.
    #[error("the private key in {} does not match the certificate in {}; they must be of one pair", key.display(), certificate.display())]
    KeyMismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
    },
    /// The peer closed the connection before the handshake was done.
    #[error("the peer left during the TLS handshake")]
    Left,
    /// Not PEM.
    #[error("{} is not valid PEM: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        reason: String,
    },
    /// A file without a certificate.
    #[error("{} holds no certificate; it must have a PEM block BEGIN CERTIFICATE", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A file without a key.
    #[error("{} holds no private key; name its file with private_key", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The system's root certificates cannot be had.
    #[error(
        "no root certificate to verify mail servers with: {0}; install the system's CA certificates, or set ca"
    )]
    NoSystemRoots(String),
    /// The library refused its own settings.
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
    /// The mail server's certificate was refused.
    #[error("the mail server's certificate is not accepted: {0}")]
    Untrusted(String),
    /// A file that cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        reason: io::Error,
    },
    /// A file that cannot be written.
    #[error("cannot write {}: {reason}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        reason: io::Error,
    },
}

impl TlsError {
    /// Settings that the library refuses.
    pub(super) fn setup(error: impl std::fmt::Display) -> Self {
        Self::Setup(error.to_string())
    }

    /// What rustls says of a peer.
    pub(super) fn of_peer(error: &rustls::Error) -> Self {
        if let rustls::Error::InvalidCertificate(reason) = error {
            return Self::Untrusted(reason.to_string());
        }
        Self::Handshake(error.to_string())
    }

    /// What tokio-rustls says: an I/O error, or one of rustls inside it.
    pub(super) fn of_io(error: io::Error) -> Self {
        if let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return Self::of_peer(inner);
        }
        if error.kind() == io::ErrorKind::UnexpectedEof { Self::Left } else { Self::Io(error) }
    }
}
