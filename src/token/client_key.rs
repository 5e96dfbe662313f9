use jsonwebtoken::{EncodingKey, Header, encode};
use serde::Serialize;

use super::{CryptoError, OutsideAlgorithm};
use crate::model::Secret;

/// The private key that this server proves itself with to another issuer (RFC 7523 §2.2).
#[derive(Clone)]
pub struct ClientKey {
    algorithm: jsonwebtoken::Algorithm,
    kid: Option<String>,
    key: EncodingKey,
}

impl ClientKey {
    /// From PEM (PKCS#8; for RSA also PKCS#1). `kid` is the name under which the issuer knows it.
    ///
    /// # Errors
    /// [`CryptoError::BadKey`] for what is no key of the algorithm's kind.
    pub fn from_pem(
        pem: &Secret,
        algorithm: OutsideAlgorithm,
        kid: Option<String>,
    ) -> Result<Self, CryptoError> {
        let pem = pem.expose();
        let (algorithm, key) = match algorithm {
            OutsideAlgorithm::EdDsa => (jsonwebtoken::Algorithm::EdDSA, EncodingKey::from_ed_pem(pem)),
            OutsideAlgorithm::Es256 => (jsonwebtoken::Algorithm::ES256, EncodingKey::from_ec_pem(pem)),
            OutsideAlgorithm::Es384 => (jsonwebtoken::Algorithm::ES384, EncodingKey::from_ec_pem(pem)),
            OutsideAlgorithm::Ps256 => (jsonwebtoken::Algorithm::PS256, EncodingKey::from_rsa_pem(pem)),
            OutsideAlgorithm::Ps384 => (jsonwebtoken::Algorithm::PS384, EncodingKey::from_rsa_pem(pem)),
            OutsideAlgorithm::Ps512 => (jsonwebtoken::Algorithm::PS512, EncodingKey::from_rsa_pem(pem)),
            OutsideAlgorithm::Rs256 => (jsonwebtoken::Algorithm::RS256, EncodingKey::from_rsa_pem(pem)),
            OutsideAlgorithm::Rs384 => (jsonwebtoken::Algorithm::RS384, EncodingKey::from_rsa_pem(pem)),
            OutsideAlgorithm::Rs512 => (jsonwebtoken::Algorithm::RS512, EncodingKey::from_rsa_pem(pem)),
        };
        let made = Self { algorithm, kid, key: key.map_err(|_| CryptoError::BadKey)? };
        // A key on another curve, or one that is damaged, shows only when it signs.
        made.sign(&serde_json::json!({})).map(|_| made)
    }

    /// A compact JWS over `claims`.
    ///
    /// # Errors
    /// [`CryptoError::BadKey`] when the key cannot sign by its algorithm.
    pub fn sign(&self, claims: &impl Serialize) -> Result<Secret, CryptoError> {
        let header = Header { kid: self.kid.clone(), ..Header::new(self.algorithm) };
        encode(&header, claims, &self.key).map(Secret::from).map_err(|_| CryptoError::BadKey)
    }
}

/// Without the key.
impl std::fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientKey").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}
