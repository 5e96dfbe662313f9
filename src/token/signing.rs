use aws_lc_rs::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;

use super::{CryptoError, ServerKey, derive::join};

const PURPOSE: &[u8] = b"bearward signing key v1";

/// A key that signs what this issuer says: ES256 (RFC 7518 §3.4).
pub struct SigningKey {
    pair: EcdsaKeyPair,
    kid: String,
}

/// The public half of a signing key (RFC 7517 §4, RFC 7518 §6.2.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Jwk {
    /// Key type: `EC`.
    pub kty: &'static str,
    /// Curve: `P-256`.
    pub crv: &'static str,
    /// The point's x coordinate, base64url.
    pub x: String,
    /// The point's y coordinate, base64url.
    pub y: String,
    /// What the key is for: `sig`.
    #[serde(rename = "use")]
    pub usage: &'static str,
    /// Algorithm: `ES256`.
    pub alg: &'static str,
    /// The key's name: its thumbprint (RFC 7638).
    pub kid: String,
}

impl SigningKey {
    /// The algorithm's registered name.
    pub const ALGORITHM: &'static str = "ES256";

    /// A new key.
    ///
    /// # Errors
    /// [`CryptoError::Library`] when the library fails.
    pub fn generate() -> Result<Self, CryptoError> {
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .map_err(CryptoError::from)
            .and_then(Self::named)
    }

    /// The key as it may be stored: PKCS#8 (RFC 5958), encrypted under the server key.
    ///
    /// # Errors
    /// [`CryptoError::Library`] when the library fails.
    pub fn seal(&self, server: &ServerKey) -> Result<Vec<u8>, CryptoError> {
        let document = self.pair.to_pkcs8v1()?;
        server.purpose(PURPOSE)?.encrypt(document.as_ref(), &Self::context(&self.kid))
    }

    /// Reads a stored key.
    ///
    /// # Errors
    /// [`CryptoError::NotAuthentic`] under another server key or name; [`CryptoError::BadKey`] when what was
    /// encrypted is no such key.
    pub fn open(sealed: &[u8], kid: &str, server: &ServerKey) -> Result<Self, CryptoError> {
        let document = server.purpose(PURPOSE)?.decrypt(sealed, &Self::context(kid))?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.expose())
            .map_err(|_| CryptoError::BadKey)?;
        let key = Self::named(pair)?;
        if key.kid == kid { Ok(key) } else { Err(CryptoError::BadKey) }
    }

    /// The key's name: its thumbprint (RFC 7638 §3).
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The public half, for the JWKS document.
    ///
    /// # Errors
    /// [`CryptoError::BadKey`] never happens for a key that was made here.
    pub fn jwk(&self) -> Result<Jwk, CryptoError> {
        let (x, y) = Self::coordinates(&self.pair)?;
        Ok(Jwk { kty: "EC", crv: "P-256", x, y, usage: "sig", alg: Self::ALGORITHM, kid: self.kid.clone() })
    }

    /// Signs `message`: r and s, 32 octets each (RFC 7518 §3.4).
    ///
    /// # Errors
    /// [`CryptoError::Library`] when the library fails.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        Ok(self.pair.sign(&SystemRandom::new(), message)?.as_ref().to_vec())
    }

    fn named(pair: EcdsaKeyPair) -> Result<Self, CryptoError> {
        let (x, y) = Self::coordinates(&pair)?;
        let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let kid = URL_SAFE_NO_PAD.encode(digest(&SHA256, canonical.as_bytes()));
        Ok(Self { pair, kid })
    }

    fn coordinates(pair: &EcdsaKeyPair) -> Result<(String, String), CryptoError> {
        let point = pair.public_key().as_ref();
        let Some((&4, point)) = point.split_first() else { return Err(CryptoError::BadKey) };
        let Some((x, y)) = point.split_at_checked(32) else { return Err(CryptoError::BadKey) };
        Ok((URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y)))
    }

    fn context(kid: &str) -> Vec<u8> {
        join(&[Self::ALGORITHM.as_bytes(), kid.as_bytes()])
    }
}

/// Its name alone.
impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({})", self.kid)
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    use super::*;

    #[test]
    fn a_stored_key_signs_what_its_published_half_verifies() {
        let server = ServerKey::generate().unwrap();
        let key = SigningKey::generate().unwrap();
        let jwk = key.jwk().unwrap();
        let again = SigningKey::open(&key.seal(&server).unwrap(), key.kid(), &server).unwrap();
        let signature = again.sign(b"message").unwrap();
        assert_eq!(signature.len(), 64);
        let point =
            [vec![4], URL_SAFE_NO_PAD.decode(&jwk.x).unwrap(), URL_SAFE_NO_PAD.decode(&jwk.y).unwrap()]
                .concat();
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
        public.verify(b"message", &signature).unwrap();
        assert!(public.verify(b"other", &signature).is_err());
    }

    #[test]
    fn a_stored_key_opens_under_its_own_server_key_and_name_only() {
        let (server, other) = (ServerKey::generate().unwrap(), ServerKey::generate().unwrap());
        let key = SigningKey::generate().unwrap();
        let sealed = key.seal(&server).unwrap();
        assert_eq!(SigningKey::open(&sealed, key.kid(), &other).unwrap_err(), CryptoError::NotAuthentic);
        assert_eq!(SigningKey::open(&sealed, "another", &server).unwrap_err(), CryptoError::NotAuthentic);
        let pkcs8 = key.pair.to_pkcs8v1().unwrap();
        assert!(!sealed.windows(16).any(|window| pkcs8.as_ref().windows(16).any(|plain| plain == window)));
    }

    #[test]
    fn the_published_half_holds_no_private_member() {
        let jwk = serde_json::to_value(SigningKey::generate().unwrap().jwk().unwrap()).unwrap();
        let mut members: Vec<_> = jwk.as_object().unwrap().keys().cloned().collect();
        members.sort();
        assert_eq!(members, ["alg", "crv", "kid", "kty", "use", "x", "y"]);
    }

    #[test]
    fn the_name_is_the_thumbprint_of_rfc_7638() {
        let jwk = SigningKey::generate().unwrap().jwk().unwrap();
        let members = std::collections::BTreeMap::from([
            ("crv", jwk.crv),
            ("kty", jwk.kty),
            ("x", &jwk.x),
            ("y", &jwk.y),
        ]);
        let canonical = serde_json::to_vec(&members).unwrap();
        assert_eq!(jwk.kid, URL_SAFE_NO_PAD.encode(digest(&SHA256, &canonical)));
    }
}
