use jsonwebtoken::DecodingKey;
use serde_json::{Map, Value};

use super::{
    JoseError, MAX_JWS,
    jws::{Header, decode_with},
    key_set::{PRIVATE, ed25519, may_verify, octets, optional_text, p256, p384, rsa},
};

/// What other issuers may sign with (RFC 7518 §3.1, RFC 8037 §3.1). None of them has a shared key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is the algorithm of its registered name")]
pub enum OutsideAlgorithm {
    EdDsa,
    Es256,
    Es384,
    Ps256,
    Ps384,
    Ps512,
    Rs256,
    Rs384,
    Rs512,
}

impl OutsideAlgorithm {
    /// Every algorithm.
    pub const ALL: [Self; 9] = [
        Self::EdDsa,
        Self::Es256,
        Self::Es384,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
    ];

    /// Its registered name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
        }
    }

    /// The algorithm of that name, exactly as registered. `Ed25519` (RFC 9864 §2.2) is the same as `EdDSA` here.
    pub fn from_name(name: &str) -> Option<Self> {
        if name == "Ed25519" {
            return Some(Self::EdDsa);
        }
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }

    const fn of_the_library(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::Es384 => jsonwebtoken::Algorithm::ES384,
            Self::Ps256 => jsonwebtoken::Algorithm::PS256,
            Self::Ps384 => jsonwebtoken::Algorithm::PS384,
            Self::Ps512 => jsonwebtoken::Algorithm::PS512,
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Rs384 => jsonwebtoken::Algorithm::RS384,
            Self::Rs512 => jsonwebtoken::Algorithm::RS512,
        }
    }

    const fn kind(self) -> Kind {
        match self {
            Self::EdDsa => Kind::Ed25519,
            Self::Es256 => Kind::P256,
            Self::Es384 => Kind::P384,
            Self::Ps256 | Self::Ps384 | Self::Ps512 | Self::Rs256 | Self::Rs384 | Self::Rs512 => Kind::Rsa,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ed25519,
    P256,
    P384,
    Rsa,
}

/// The public keys that another issuer publishes, as far as they can be used here.
#[derive(Clone, Debug, Default)]
pub struct OutsideKeys {
    keys: Vec<Key>,
}

#[derive(Clone, Debug)]
struct Key {
    kid: Option<String>,
    kind: Kind,
    /// The one algorithm that its publisher ties it to.
    only: Option<OutsideAlgorithm>,
    key: DecodingKey,
}

impl OutsideKeys {
    /// Most keys in a set. Large issuers publish a dozen.
    pub const MAX_KEYS: usize = 64;

    /// Reads a JWK Set (RFC 7517 §5). A key that is of another kind, for another use, damaged, or no secret of its
    /// owner any more because its private half stands beside it, is left out: one bad key of an issuer must not shut
    /// out those who hold tokens of another.
    ///
    /// # Errors
    /// [`JoseError::KeySet`], [`JoseError::TooManyKeys`], or [`JoseError::NoKey`] when nothing is left.
    pub fn parse(document: &Value) -> Result<Self, JoseError> {
        let keys = document.get("keys").and_then(Value::as_array);
        let keys = keys.ok_or(JoseError::KeySet("it has no list \"keys\""))?;
        if keys.len() > Self::MAX_KEYS {
            return Err(JoseError::TooManyKeys);
        }
        let usable = |key: &Value| key.as_object().and_then(|jwk| Key::parse(jwk).ok().flatten());
        let keys: Vec<_> = keys.iter().filter_map(usable).collect();
        if keys.is_empty() { Err(JoseError::NoKey) } else { Ok(Self { keys }) }
    }

    /// How many keys can be used.
    pub const fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Verifies a compact JWS (RFC 7515 §5.2) and gives its claims and whether its type is among `types`, of which
    /// `JWT` stands for no type too. The times are not looked at.
    ///
    /// The header's `kid` only picks among the keys. Without one a token is verified only where a single key fits,
    /// so that nobody can have every key tried; where that key has not signed it, a newer one may have.
    ///
    /// # Errors
    /// [`JoseError`]. [`JoseError::UnknownKey`] says that the keys may have changed.
    pub fn verify(
        &self,
        text: &str,
        allowed: &[OutsideAlgorithm],
        types: &[String],
    ) -> Result<Verified, JoseError> {
        let (header, algorithm) = header(text, allowed)?;
        let plain = header.is_untyped() || header.is_of(&["JWT"]);
        let listed =
            header.is_of(types) || (plain && types.iter().any(|typ| typ.eq_ignore_ascii_case("JWT")));
        if !listed {
            return Err(JoseError::Type);
        }
        let fits = |key: &&Key| key.kind == algorithm.kind() && key.only.is_none_or(|only| only == algorithm);
        let named = |key: &&Key| match (&header.kid, &key.kid) {
            (Some(asked), Some(name)) => asked == name,
            (Some(_), None) => false,
            (None, _) => true,
        };
        let candidates: Vec<&Key> = self.keys.iter().filter(fits).filter(named).collect();
        if header.kid.is_none() && candidates.len() > 1 {
            return Err(JoseError::UnknownKey);
        }
        if candidates.is_empty() && self.keys.iter().any(|key| header.kid.is_some() && key.kid == header.kid)
        {
            // The key is known, and for another algorithm.
            return Err(JoseError::Algorithm);
        }
        let mut failure = JoseError::UnknownKey;
        // Names that stand twice are the issuer's mistake; both keys are the issuer's own.
        for key in candidates {
            match decode_with(text, &key.key, algorithm.of_the_library()) {
                Ok(claims) => return Ok(Verified { claims, plain }),
                Err(JoseError::Signature) if header.kid.is_none() => {}
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }
}

/// A signed token whose signature is good.
#[derive(Clone, Debug)]
pub struct Verified {
    /// What it says.
    pub claims: Map<String, Value>,
    /// Whether its type says no more than that it is a JWT, so that it may be an ID token.
    pub plain: bool,
}

fn header(text: &str, allowed: &[OutsideAlgorithm]) -> Result<(Header, OutsideAlgorithm), JoseError> {
    if text.len() > MAX_JWS {
        return Err(JoseError::TooLong);
    }
    let header = Header::parse(text)?;
    let algorithm = OutsideAlgorithm::from_name(&header.algorithm);
    let algorithm = algorithm.filter(|algorithm| allowed.contains(algorithm)).ok_or(JoseError::Algorithm)?;
    Ok((header, algorithm))
}

impl Key {
    /// `None` for a key that is not for us.
    fn parse(jwk: &Map<String, Value>) -> Result<Option<Self>, JoseError> {
        if PRIVATE.iter().any(|member| jwk.contains_key(*member)) {
            return Err(JoseError::PrivateKey);
        }
        if !may_verify(jwk)? {
            return Ok(None);
        }
        let kty = optional_text(jwk, "kty")?.ok_or(JoseError::KeySet("a key has no \"kty\""))?;
        let (kind, key) = match (kty, optional_text(jwk, "crv")?) {
            ("OKP", Some("Ed25519")) => (Kind::Ed25519, ed25519(octets(jwk, "x")?)?),
            ("EC", Some("P-256")) => (Kind::P256, p256(&octets(jwk, "x")?, &octets(jwk, "y")?)?),
            ("EC", Some("P-384")) => (Kind::P384, p384(&octets(jwk, "x")?, &octets(jwk, "y")?)?),
            ("RSA", None) => (Kind::Rsa, rsa(&octets(jwk, "n")?, &octets(jwk, "e")?)?),
            (_, _) => return Ok(None),
        };
        let only = match optional_text(jwk, "alg")? {
            None => None,
            Some(name) => match OutsideAlgorithm::from_name(name).filter(|only| only.kind() == kind) {
                Some(only) => Some(only),
                None => return Ok(None),
            },
        };
        Ok(Some(Self { kid: optional_text(jwk, "kid")?.map(str::to_owned), kind, only, key }))
    }
}
