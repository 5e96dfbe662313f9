use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
    },
};
use serde::Serialize;

use super::{CryptoError, Jwk, ServerKey, base64url, derive::join, jwk::KeyParameters};

const PURPOSE: &[u8] = b"bearward signing key v1";

/// How a token is signed (RFC 7518 §3.1, RFC 8037 §3.1). Each algorithm has one kind of key here, so a key can
/// never be used with the algorithm of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// Ed25519.
    EdDsa,
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// RSASSA-PKCS1-v1_5 with SHA-256, of 2048 bits.
    Rs256,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 3] = [Self::EdDsa, Self::Es256, Self::Rs256];

    /// Its registered name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
        }
    }

    /// The algorithm of that name, exactly as registered.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }
}

/// A key that signs what this issuer says.
pub struct SigningKey {
    pair: Pair,
    jwk: Jwk,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

/// The protected header of what is signed here (RFC 7515 §4.1).
#[derive(Serialize)]
struct Header<'a> {
    typ: &'a str,
    alg: &'static str,
    kid: &'a str,
}

impl SigningKey {
    /// A new key. One for RSA takes some tenths of a second to find.
    ///
    /// # Errors
    /// [`CryptoError::Library`] when the library fails.
    pub fn generate(algorithm: Algorithm) -> Result<Self, CryptoError> {
        let pair = match algorithm {
            Algorithm::EdDsa => Pair::Ed25519(Ed25519KeyPair::generate()?),
            Algorithm::Es256 => Pair::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?),
            Algorithm::Rs256 => Pair::Rsa(RsaKeyPair::generate(KeySize::Rsa2048)?),
        };
        Self::named(pair)
    }

    /// The key as it may be stored: PKCS#8 (RFC 5958), encrypted under the server key, bound to its algorithm
    /// and name.
    ///
    /// # Errors
    /// [`CryptoError::Library`] when the library fails.
    pub fn seal(&self, server: &ServerKey) -> Result<Vec<u8>, CryptoError> {
        let (algorithm, kid) = (self.algorithm(), self.kid());
        let seal =
            |document: &[u8]| server.purpose(PURPOSE)?.encrypt(document, &Self::context(algorithm, kid));
        match &self.pair {
            Pair::Ed25519(pair) => seal(pair.to_pkcs8v1()?.as_ref()),
            Pair::P256(pair) => seal(pair.to_pkcs8v1()?.as_ref()),
            Pair::Rsa(pair) => {
                let document: Pkcs8V1Der<'_> = pair.as_der()?;
                seal(document.as_ref())
            }
        }
    }

    /// Reads a stored key.
    ///
    /// # Errors
    /// [`CryptoError::NotAuthentic`] under another server key, algorithm or name; [`CryptoError::BadKey`] when
    /// what was encrypted is no such key.
    pub fn open(
        sealed: &[u8],
        algorithm: Algorithm,
        kid: &str,
        server: &ServerKey,
    ) -> Result<Self, CryptoError> {
        let document = server.purpose(PURPOSE)?.decrypt(sealed, &Self::context(algorithm, kid))?;
        let document = document.expose();
        let pair = match algorithm {
            Algorithm::EdDsa => Ed25519KeyPair::from_pkcs8(document).map(Pair::Ed25519),
            Algorithm::Es256 => {
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document).map(Pair::P256)
            }
            Algorithm::Rs256 => RsaKeyPair::from_pkcs8(document).map(Pair::Rsa),
        };
        let key = Self::named(pair.map_err(|_| CryptoError::BadKey)?)?;
        if key.kid() == kid { Ok(key) } else { Err(CryptoError::BadKey) }
    }

    /// How it signs.
    pub const fn algorithm(&self) -> Algorithm {
        self.pair.algorithm()
    }

    /// The key's name: its thumbprint (RFC 7638 §3).
    pub fn kid(&self) -> &str {
        &self.jwk.kid
    }

    /// The public half, for the JWKS document.
    pub const fn jwk(&self) -> &Jwk {
        &self.jwk
    }

    /// Signs `claims` as a compact JWS (RFC 7515 §7.1) whose header says `typ`, the algorithm and the key's
    /// name.
    ///
    /// # Errors
    /// [`CryptoError::NotJson`] for claims that have no JSON form; [`CryptoError::Library`] when the library
    /// fails.
    pub fn sign_jwt(&self, typ: &str, claims: &impl Serialize) -> Result<String, CryptoError> {
        let header = Header { typ, alg: self.algorithm().as_str(), kid: self.kid() };
        let header = serde_json::to_vec(&header).map_err(|_| CryptoError::NotJson)?;
        let claims = serde_json::to_vec(claims).map_err(|_| CryptoError::NotJson)?;
        let mut text = format!("{}.{}", base64url(&header), base64url(&claims));
        let signature = base64url(&self.sign(text.as_bytes())?);
        text.push('.');
        text.push_str(&signature);
        Ok(text)
    }

    /// Signs `message`; the signature's form is that of RFC 7518 §3.3 and §3.4 and RFC 8037 §3.1.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        match &self.pair {
            Pair::Ed25519(pair) => Ok(pair.try_sign(message)?.as_ref().to_vec()),
            Pair::P256(pair) => Ok(pair.sign(&SystemRandom::new(), message)?.as_ref().to_vec()),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)?;
                Ok(signature)
            }
        }
    }

    fn named(pair: Pair) -> Result<Self, CryptoError> {
        let jwk = Jwk::new(pair.public()?, pair.algorithm());
        Ok(Self { pair, jwk })
    }

    fn context(algorithm: Algorithm, kid: &str) -> Vec<u8> {
        join(&[algorithm.as_str().as_bytes(), kid.as_bytes()])
    }
}

impl Pair {
    const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Ed25519(_) => Algorithm::EdDsa,
            Self::P256(_) => Algorithm::Es256,
            Self::Rsa(_) => Algorithm::Rs256,
        }
    }

    fn public(&self) -> Result<KeyParameters, CryptoError> {
        match self {
            Self::Ed25519(pair) => Ok(KeyParameters::ed25519(pair.public_key().as_ref())),
            Self::P256(pair) => {
                let point = pair.public_key().as_ref();
                let Some((&4, point)) = point.split_first() else { return Err(CryptoError::BadKey) };
                let Some((x, y)) = point.split_at_checked(32) else { return Err(CryptoError::BadKey) };
                Ok(KeyParameters::p256(x, y))
            }
            Self::Rsa(pair) => {
                let public = pair.public_key();
                Ok(KeyParameters::rsa(
                    public.modulus().big_endian_without_leading_zero(),
                    public.exponent().big_endian_without_leading_zero(),
                ))
            }
        }
    }
}

/// Its algorithm and name alone.
impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({} {})", self.algorithm().as_str(), self.kid())
    }
}

#[cfg(test)]
#[path = "signing_tests.rs"]
mod tests;
