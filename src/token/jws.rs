use std::{collections::HashSet, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{DecodingKey, Validation, decode, errors::ErrorKind};
use serde_json::{Map, Value};

use super::{Algorithm, JoseError, PublicKeySet};
use crate::model::UnixTime;

/// Longest signed token that is looked at, in octets.
pub const MAX_JWS: usize = 16 * 1024;

/// What a compact JWS says before its signature is checked. Nothing of it may be believed.
pub(super) struct Header {
    /// `alg` as it is written.
    pub(super) algorithm: String,
    pub(super) kid: Option<String>,
    typ: Option<String>,
}

/// Verifies a compact JWS (RFC 7515 §5.2) and gives its claims. The times are not looked at: see
/// [`check_times`].
///
/// The algorithm must be one of `allowed` and the one that the key is for; the header does not choose it. The
/// header's `kid` only picks among `keys`, and keys or addresses that the header brings along are not looked
/// at. `typ` lists the types that are taken, with or without `application/`; `None` takes any and none.
///
/// # Errors
/// [`JoseError`]. [`JoseError::UnknownKey`] is told apart from [`JoseError::Signature`], since the keys may
/// have changed.
pub fn verify_jws(
    text: &str,
    keys: &PublicKeySet,
    allowed: &[Algorithm],
    typ: Option<&[&str]>,
) -> Result<Map<String, Value>, JoseError> {
    if text.len() > MAX_JWS {
        return Err(JoseError::TooLong);
    }
    let header = Header::parse(text)?;
    let algorithm = Algorithm::from_name(&header.algorithm).filter(|algorithm| allowed.contains(algorithm));
    let Some(algorithm) = algorithm else { return Err(JoseError::Algorithm) };
    if typ.is_some_and(|taken| !header.is_of(taken)) {
        return Err(JoseError::Type);
    }
    let mut failure = JoseError::UnknownKey;
    for key in keys.candidates(header.kid.as_deref(), algorithm) {
        match verify_with(text, &key.key, key.algorithm) {
            Ok(claims) => return Ok(claims),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// The `kid` of a token whose signature nobody has checked: a hint for which keys to look at, and no more.
///
/// # Errors
/// As [`verify_jws`], for what is wrong with the header alone.
pub fn unverified_kid(text: &str) -> Result<Option<String>, JoseError> {
    if text.len() > MAX_JWS {
        return Err(JoseError::TooLong);
    }
    let header = Header::parse(text)?;
    Algorithm::from_name(&header.algorithm).ok_or(JoseError::Algorithm)?;
    Ok(header.kid)
}

/// The claims of a token whose signature nobody has checked: a hint for whom to ask about it, and no more.
///
/// # Errors
/// [`JoseError::TooLong`], [`JoseError::Malformed`].
pub fn unverified_claims(text: &str) -> Result<Map<String, Value>, JoseError> {
    if text.len() > MAX_JWS {
        return Err(JoseError::TooLong);
    }
    let mut parts = text.split('.');
    let (Some(_), Some(payload), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(JoseError::Malformed);
    };
    let octets = URL_SAFE_NO_PAD.decode(payload).map_err(|_| JoseError::Malformed)?;
    serde_json::from_slice(&octets).map_err(|_| JoseError::Malformed)
}

/// Checks `exp`, `nbf` and `iat` (RFC 7519 §4.1), each with `leeway` for clocks that differ.
///
/// # Errors
/// [`JoseError::Expired`], [`JoseError::NotYetValid`], or [`JoseError::Claim`] when one is no number or `exp`
/// is required and missing.
pub fn check_times(
    claims: &Map<String, Value>,
    now: UnixTime,
    leeway: Duration,
    require_exp: bool,
) -> Result<(), JoseError> {
    let expires = time(claims, "exp")?;
    if expires.is_none() && require_exp {
        return Err(JoseError::Claim("exp"));
    }
    // The moment `exp` itself is past already (RFC 7519 §4.1.4).
    if expires.is_some_and(|at| at.after(leeway) <= now) {
        return Err(JoseError::Expired);
    }
    for name in ["nbf", "iat"] {
        if time(claims, name)?.is_some_and(|at| at > now.after(leeway)) {
            return Err(JoseError::NotYetValid);
        }
    }
    Ok(())
}

/// A NumericDate (RFC 7519 §2); parts of a second are cut off.
///
/// # Errors
/// [`JoseError::Claim`] when it is there and no number of seconds since 1970.
pub fn time(claims: &Map<String, Value>, name: &'static str) -> Result<Option<UnixTime>, JoseError> {
    /// Up to here a floating-point number counts every second; about 285 million years.
    const MOST: f64 = 9_007_199_254_740_992.0;
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = match (value.as_i64(), value.as_f64()) {
        (Some(seconds), _) => seconds,
        #[expect(clippy::cast_possible_truncation, reason = "checked to fit; the fraction is to go")]
        (None, Some(seconds)) if (0.0..=MOST).contains(&seconds) => seconds as i64,
        (None, _) => return Err(JoseError::Claim(name)),
    };
    if seconds < 0 { Err(JoseError::Claim(name)) } else { Ok(Some(UnixTime(seconds))) }
}

impl Header {
    pub(super) fn parse(text: &str) -> Result<Self, JoseError> {
        let (encoded, rest) = text.split_once('.').ok_or(JoseError::Malformed)?;
        if rest.split('.').count() != 2 {
            return Err(JoseError::Malformed);
        }
        let octets = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| JoseError::Malformed)?;
        let members: Map<String, Value> =
            serde_json::from_slice(&octets).map_err(|_| JoseError::Malformed)?;
        if members.contains_key("crit") {
            return Err(JoseError::Critical);
        }
        let text = |name: &str| match members.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(JoseError::Malformed),
        };
        let algorithm = text("alg")?.ok_or(JoseError::Malformed)?;
        Ok(Self { algorithm, kid: text("kid")?, typ: text("typ")? })
    }

    /// Whether it is of one of the types `taken`, compared as RFC 7515 §4.1.9 says.
    pub(super) fn is_of<T: AsRef<str>>(&self, taken: &[T]) -> bool {
        let Some(typ) = self.typ.as_deref() else { return false };
        taken.iter().any(|other| subtype(typ).eq_ignore_ascii_case(subtype(other.as_ref())))
    }

    /// Whether it says no type at all (RFC 7519 §5.1 leaves that open).
    pub(super) const fn is_untyped(&self) -> bool {
        self.typ.is_none()
    }
}

/// The media type without `application/`, where nothing else has a slash.
fn subtype(typ: &str) -> &str {
    match typ.split_once('/') {
        Some((kind, rest)) if kind.eq_ignore_ascii_case("application") && !rest.contains('/') => rest,
        Some(_) | None => typ,
    }
}

fn verify_with(text: &str, key: &DecodingKey, algorithm: Algorithm) -> Result<Map<String, Value>, JoseError> {
    let algorithm = match algorithm {
        Algorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
        Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
    };
    decode_with(text, key, algorithm)
}

/// Checks the signature alone, by the one algorithm given.
pub(super) fn decode_with(
    text: &str,
    key: &DecodingKey,
    algorithm: jsonwebtoken::Algorithm,
) -> Result<Map<String, Value>, JoseError> {
    let mut validation = Validation::new(algorithm);
    // Claims are the caller's to check: what must be there differs by the sort of token.
    validation.required_spec_claims = HashSet::new();
    validation.validate_exp = false;
    validation.validate_aud = false;
    match decode(text, key, &validation) {
        Ok(token) => Ok(token.claims),
        Err(error) if matches!(error.kind(), ErrorKind::InvalidSignature) => Err(JoseError::Signature),
        Err(_) => Err(JoseError::Malformed),
    }
}

#[cfg(test)]
#[path = "jws_tests.rs"]
mod tests;
