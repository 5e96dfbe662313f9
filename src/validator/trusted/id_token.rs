//! What an ID token must say (OpenID Connect Core §3.1.3.7), its signature apart.

use aws_lc_rs::{constant_time, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use super::Config;
use crate::{
    model::{Secret, UnixTime},
    token::{JoseError, OutsideAlgorithm, check_times, time},
};

/// Longest `sub`, in octets.
const MAX_SUBJECT: usize = 255;

/// That it is `config`'s word, for `client`, for the sign-in of `nonce`, and in time.
pub(super) fn check(
    config: &Config,
    client: &str,
    claims: &Map<String, Value>,
    nonce: &str,
    now: UnixTime,
) -> Result<(), JoseError> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    if text("iss") != Some(&*config.url) {
        return Err(JoseError::Claim("iss"));
    }
    let is_ours = |one: &Value| one.as_str() == Some(client);
    let (is_for_us, is_for_others) = match claims.get("aud") {
        Some(one @ Value::String(_)) => (is_ours(one), false),
        Some(Value::Array(several)) => (several.iter().any(is_ours), !several.iter().all(is_ours)),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => (false, false),
    };
    if client.is_empty() || !is_for_us {
        return Err(JoseError::Claim("aud"));
    }
    // Where it is for others too, it must say that it was given to us.
    match claims.get("azp") {
        None if !is_for_others => {}
        Some(azp) if is_ours(azp) => {}
        Some(_) | None => return Err(JoseError::Claim("azp")),
    }
    check_times(claims, now, config.leeway, true)?;
    if time(claims, "iat")?.is_none() {
        return Err(JoseError::Claim("iat"));
    }
    let repeats =
        |own: &str| constant_time::verify_slices_are_equal(own.as_bytes(), nonce.as_bytes()).is_ok();
    if nonce.is_empty() || !text("nonce").is_some_and(repeats) {
        return Err(JoseError::Claim("nonce"));
    }
    // Back-channel logout tokens have one (OpenID Connect Back-Channel Logout §2.4).
    if claims.contains_key("events") {
        return Err(JoseError::Claim("events"));
    }
    match text("sub") {
        Some(sub) if !sub.is_empty() && sub.len() <= MAX_SUBJECT => Ok(()),
        Some(_) | None => Err(JoseError::Claim("sub")),
    }
}

/// That the access token beside it is its own, where it says so (§3.1.3.6, §3.1.3.8). `text` is the ID token, whose
/// signature was found good.
pub(super) fn check_access_token(
    text: &str,
    claims: &Map<String, Value>,
    access_token: &Secret,
) -> Result<(), JoseError> {
    let Some(hash) = claims.get("at_hash") else { return Ok(()) };
    let wrong = || JoseError::Claim("at_hash");
    let hash = hash.as_str().and_then(|hash| URL_SAFE_NO_PAD.decode(hash).ok()).ok_or_else(wrong)?;
    let algorithm = algorithm(text).ok_or(JoseError::Algorithm)?;
    let full = digest::digest(hash_of(algorithm), access_token.expose());
    let half = full.as_ref().get(..full.as_ref().len() / 2).ok_or_else(wrong)?;
    constant_time::verify_slices_are_equal(&hash, half).map_err(|_| wrong())
}

fn algorithm(text: &str) -> Option<OutsideAlgorithm> {
    let header = URL_SAFE_NO_PAD.decode(text.split('.').next()?).ok()?;
    let header: Value = serde_json::from_slice(&header).ok()?;
    OutsideAlgorithm::from_name(header.get("alg")?.as_str()?)
}

/// Ed25519 hashes by SHA-512 inside.
const fn hash_of(algorithm: OutsideAlgorithm) -> &'static digest::Algorithm {
    match algorithm {
        OutsideAlgorithm::Es256 | OutsideAlgorithm::Ps256 | OutsideAlgorithm::Rs256 => &digest::SHA256,
        OutsideAlgorithm::Es384 | OutsideAlgorithm::Ps384 | OutsideAlgorithm::Rs384 => &digest::SHA384,
        OutsideAlgorithm::EdDsa | OutsideAlgorithm::Ps512 | OutsideAlgorithm::Rs512 => &digest::SHA512,
    }
}
