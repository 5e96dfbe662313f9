use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RsaPublicKeyComponents,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::DecodingKey;
use serde_json::{Map, Value};

use super::{Algorithm, JoseError, Jwk, jwk::KeyParameters};

/// Members that only a private or shared key has (RFC 7518 §6, RFC 8037 §2).
pub(super) const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
const RSA_OCTETS: std::ops::RangeInclusive<usize> = 256..=512;
/// Longer exponents only make verifying slow.
const EXPONENT_OCTETS: usize = 4;

/// Public keys that signatures are checked with. They are read once and then used often.
#[derive(Clone, Debug, Default)]
pub struct PublicKeySet {
    keys: Vec<PublicKey>,
}

#[derive(Clone, Debug)]
pub(super) struct PublicKey {
    pub(super) kid: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

impl PublicKeySet {
    /// Most keys in a set that came from outside.
    pub const MAX_KEYS: usize = 16;

    /// Reads a JWK Set (RFC 7517 §5). Keys of another kind or for another use are left out, as §5 asks.
    ///
    /// # Errors
    /// [`JoseError::KeySet`], [`JoseError::TooManyKeys`], [`JoseError::PrivateKey`], [`JoseError::KeyLength`],
    /// or [`JoseError::NoKey`] when nothing is left.
    pub fn parse(document: &Value) -> Result<Self, JoseError> {
        let keys = document.get("keys").and_then(Value::as_array);
        let keys = keys.ok_or(JoseError::KeySet("it has no list \"keys\""))?;
        if keys.len() > Self::MAX_KEYS {
            return Err(JoseError::TooManyKeys);
        }
        let mut taken = Vec::with_capacity(keys.len());
        for key in keys {
            let key = key.as_object().ok_or(JoseError::KeySet("a key is no object"))?;
            taken.extend(PublicKey::parse(key)?);
        }
        if taken.is_empty() { Err(JoseError::NoKey) } else { Ok(Self { keys: taken }) }
    }

    /// From keys of our own.
    ///
    /// # Errors
    /// [`JoseError`] never happens for keys that were made here.
    pub fn of<'a>(keys: impl IntoIterator<Item = &'a Jwk>) -> Result<Self, JoseError> {
        let keys = keys.into_iter().map(PublicKey::of).collect::<Result<_, _>>()?;
        Ok(Self { keys })
    }

    /// Whether a key of that name is in it.
    pub fn contains(&self, kid: &str) -> bool {
        self.keys.iter().any(|key| key.kid.as_deref() == Some(kid))
    }

    /// How many keys are in it.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no key in it.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys that a token whose header names `kid` may be signed with. The name only picks among them; a
    /// key without a name may be any.
    pub(super) fn candidates<'a>(
        &'a self,
        kid: Option<&'a str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &'a PublicKey> {
        self.keys.iter().filter(move |key| {
            let named = match (kid, key.kid.as_deref()) {
                (Some(asked), Some(name)) => asked == name,
                (None, _) | (_, None) => true,
            };
            named && key.algorithm == algorithm
        })
    }
}

impl PublicKey {
    /// `None` for a key that is not for us.
    fn parse(jwk: &Map<String, Value>) -> Result<Option<Self>, JoseError> {
        if PRIVATE.iter().any(|member| jwk.contains_key(*member)) {
            return Err(JoseError::PrivateKey);
        }
        let Some(algorithm) = Self::algorithm(jwk)? else { return Ok(None) };
        if !Self::is_for_signatures(jwk, algorithm)? {
            return Ok(None);
        }
        let kid = optional_text(jwk, "kid")?.map(str::to_owned);
        let key = match algorithm {
            Algorithm::EdDsa => ed25519(octets(jwk, "x")?)?,
            Algorithm::Es256 => p256(&octets(jwk, "x")?, &octets(jwk, "y")?)?,
            Algorithm::Rs256 => rsa(&octets(jwk, "n")?, &octets(jwk, "e")?)?,
        };
        Ok(Some(Self { kid, algorithm, key }))
    }

    fn of(jwk: &Jwk) -> Result<Self, JoseError> {
        let (algorithm, key) = match &jwk.key {
            KeyParameters::Okp { x, .. } => (Algorithm::EdDsa, ed25519(decode(x)?)?),
            KeyParameters::Ec { x, y, .. } => (Algorithm::Es256, p256(&decode(x)?, &decode(y)?)?),
            KeyParameters::Rsa { n, e, .. } => (Algorithm::Rs256, rsa(&decode(n)?, &decode(e)?)?),
        };
        Ok(Self { kid: Some(jwk.kid.clone()), algorithm, key })
    }

    /// The one algorithm that a key of this kind is used with here.
    fn algorithm(jwk: &Map<String, Value>) -> Result<Option<Algorithm>, JoseError> {
        let kty = optional_text(jwk, "kty")?.ok_or(JoseError::KeySet("a key has no \"kty\""))?;
        Ok(match (kty, optional_text(jwk, "crv")?) {
            ("OKP", Some("Ed25519")) => Some(Algorithm::EdDsa),
            ("EC", Some("P-256")) => Some(Algorithm::Es256),
            ("RSA", None) => Some(Algorithm::Rs256),
            (_, _) => None,
        })
    }

    /// Whether `use`, `key_ops` and `alg`, where they are given, let it verify signatures (RFC 7517 §4.2-4.4).
    fn is_for_signatures(jwk: &Map<String, Value>, algorithm: Algorithm) -> Result<bool, JoseError> {
        let named = optional_text(jwk, "alg")?.is_none_or(|name| name == algorithm.as_str());
        Ok(may_verify(jwk)? && named)
    }
}

/// Whether `use` and `key_ops`, where they are given, let it verify signatures (RFC 7517 §4.2, §4.3).
pub(super) fn may_verify(jwk: &Map<String, Value>) -> Result<bool, JoseError> {
    let operations = match jwk.get("key_ops") {
        None => true,
        Some(Value::Array(operations)) => operations.iter().any(|operation| operation == "verify"),
        Some(_) => return Err(JoseError::KeySet("\"key_ops\" is no list")),
    };
    Ok(operations && optional_text(jwk, "use")?.is_none_or(|usage| usage == "sig"))
}

pub(super) fn ed25519(public: Vec<u8>) -> Result<DecodingKey, JoseError> {
    if public.len() != 32 {
        return Err(JoseError::KeySet("an Ed25519 key has 32 octets"));
    }
    ParsedPublicKey::new(&ED25519, &public).map_err(|_| JoseError::KeySet("not an Ed25519 key"))?;
    Ok(DecodingKey::from_ed_der(&public))
}

pub(super) fn p256(x: &[u8], y: &[u8]) -> Result<DecodingKey, JoseError> {
    if x.len() != 32 || y.len() != 32 {
        return Err(JoseError::KeySet("a coordinate on P-256 has 32 octets"));
    }
    let point = [&[4], x, y].concat();
    ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point)
        .map_err(|_| JoseError::KeySet("not a point on P-256"))?;
    Ok(DecodingKey::from_ec_der(&point))
}

pub(super) fn p384(x: &[u8], y: &[u8]) -> Result<DecodingKey, JoseError> {
    if x.len() != 48 || y.len() != 48 {
        return Err(JoseError::KeySet("a coordinate on P-384 has 48 octets"));
    }
    let point = [&[4], x, y].concat();
    ParsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, &point)
        .map_err(|_| JoseError::KeySet("not a point on P-384"))?;
    Ok(DecodingKey::from_ec_der(&point))
}

pub(super) fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<DecodingKey, JoseError> {
    let bare = |octets: &[u8]| octets.iter().copied().skip_while(|octet| *octet == 0).collect::<Vec<_>>();
    let (modulus, exponent) = (bare(modulus), bare(exponent));
    let first_bit_is_set = modulus.first().is_some_and(|octet| octet & 0x80 != 0);
    if !RSA_OCTETS.contains(&modulus.len()) || (modulus.len() == *RSA_OCTETS.start() && !first_bit_is_set) {
        return Err(JoseError::KeyLength);
    }
    if exponent.len() > EXPONENT_OCTETS {
        return Err(JoseError::KeySet("an RSA exponent has at most 32 bits"));
    }
    // Under an exponent of 1 anybody's octets are a signature; the library reads such a key.
    let is_odd = exponent.last().is_some_and(|octet| octet & 1 == 1);
    if !is_odd || exponent == [1] {
        return Err(JoseError::KeySet("an RSA exponent is odd and at least 3"));
    }
    RsaPublicKeyComponents { n: &modulus, e: &exponent }
        .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
        .map_err(|_| JoseError::KeySet("not an RSA key"))?;
    Ok(DecodingKey::from_rsa_raw_components(&modulus, &exponent))
}

pub(super) fn optional_text<'a>(
    jwk: &'a Map<String, Value>,
    member: &'static str,
) -> Result<Option<&'a str>, JoseError> {
    match jwk.get(member) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(JoseError::KeySet("a member of a key is no text")),
    }
}

pub(super) fn octets(jwk: &Map<String, Value>, member: &'static str) -> Result<Vec<u8>, JoseError> {
    decode(optional_text(jwk, member)?.ok_or(JoseError::KeySet("a key lacks one of its numbers"))?)
}

fn decode(text: &str) -> Result<Vec<u8>, JoseError> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| JoseError::KeySet("a number is not in base64url"))
}

#[cfg(test)]
#[path = "key_set_tests.rs"]
mod tests;
