//! Certificates that clients show: asked for, never demanded.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, UnixTime},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};

use super::{TlsError, material, provider};

/// A certificate whose private key the client has proved to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate {
    /// The certificate, DER.
    pub der: Vec<u8>,
    /// SHA-256 of it (`x5t#S256`, RFC 8705 §3.1).
    pub thumbprint: [u8; 32],
    /// Whether one of the configured authorities vouches for it, now.
    pub is_vouched_for: bool,
}

/// Asks a client for a certificate and takes any whose key it holds, or none.
///
/// The handshake proves possession. Whose certificate it is means nothing to TLS here: a token or an OAuth client
/// is bound to one certificate (RFC 8705), and that is compared where it counts.
#[derive(Debug)]
pub(super) struct AskForCertificate {
    provider: Arc<CryptoProvider>,
}

impl AskForCertificate {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { provider: provider() })
    }
}

impl ClientCertVerifier for AskForCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// No hint: whatever certificate the client has may be the one.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The authorities whose word counts for client certificates.
#[derive(Clone, Debug, Default)]
pub struct ClientAuthorities(Option<Arc<dyn ClientCertVerifier>>);

impl ClientAuthorities {
    /// Reads the PEM file; without one no certificate is vouched for.
    ///
    /// # Errors
    /// [`TlsError`] when the file cannot be used.
    pub fn load(file: Option<&std::path::Path>) -> Result<Self, TlsError> {
        let Some(file) = file else { return Ok(Self(None)) };
        let verifier = WebPkiClientVerifier::builder_with_provider(material::roots(file)?, provider())
            .build()
            .map_err(|error| TlsError::setup(Error::General(error.to_string())))?;
        Ok(Self(Some(verifier)))
    }

    /// What a client has shown, if anything.
    pub fn examine(&self, chain: Option<&[CertificateDer<'_>]>) -> Option<PeerCertificate> {
        let (leaf, intermediates) = chain?.split_first()?;
        let is_vouched_for = self.0.as_ref().is_some_and(|authorities| {
            authorities.verify_client_cert(leaf, intermediates, UnixTime::now()).is_ok()
        });
        Some(PeerCertificate { der: leaf.to_vec(), thumbprint: thumbprint(leaf), is_vouched_for })
    }
}

/// SHA-256 of a certificate.
pub(super) fn thumbprint(der: &[u8]) -> [u8; 32] {
    let mut octets = [0; 32];
    for (to, from) in octets.iter_mut().zip(digest(&SHA256, der).as_ref()) {
        *to = *from;
    }
    octets
}
