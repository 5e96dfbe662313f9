//! Client assertions: JWTs by which a client authenticates (RFC 7523 §2.2, §3).

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use super::Client;
use crate::{
    issuer::{Endpoint, ErrorCode, Issuer, OAuthError},
    model::{Secret, UnixTime},
    store::EphemeralKind,
    token::{self, Algorithm, JoseError, PublicKeySet},
};

/// The only kind of assertion that is taken.
pub(super) const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

const MAX: usize = 8 * 1024;
const MAX_JTI: usize = 256;
/// Farthest end; each `jti` is remembered until then.
const MAX_LIFETIME: Duration = Duration::from_secs(60 * 60);
/// How far the client's clock may be off.
const LEEWAY: Duration = Duration::from_secs(60);
/// `typ` says that it is a JWT, or nothing; one that says that it is something else is not for this.
const TYPES: [&str; 2] = ["JWT", "client-authentication+jwt"];
const JTI_PURPOSE: &str = "identifier of a client assertion";

/// The keys that an assertion can be signed with.
///
/// # Errors
/// What is wrong with the key set.
pub(super) fn keys(jwks: &Value) -> Result<PublicKeySet, JoseError> {
    PublicKeySet::parse(jwks)
}

/// Whom an assertion names. Nothing has been verified yet: it only says whose keys to try.
pub(super) fn subject(assertion: &Secret) -> Option<String> {
    let text = assertion.expose_str().filter(|text| text.len() <= MAX)?;
    let payload = URL_SAFE_NO_PAD.decode(text.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&payload).ok()?;
    claims.get("sub")?.as_str().map(str::to_owned)
}

impl Issuer {
    /// Whether an assertion is the client's own, meant for this server, fresh, and not used before (RFC 7523 §3).
    ///
    /// # Errors
    /// `invalid_client` says what is wrong with an assertion that the client did sign; what the store says.
    pub(super) async fn check_assertion(
        &self,
        client: &Client,
        assertion: &Secret,
        now: UnixTime,
    ) -> Result<bool, OAuthError> {
        let (Some(jwks), Some(text)) = (&client.metadata.jwks, assertion.expose_str()) else {
            return Ok(false);
        };
        let Ok(keys) = keys(jwks) else { return Ok(false) };
        let Ok(claims) = verified(text, &keys) else { return Ok(false) };
        let (jti, expires_at) = self.check_claims(client, &claims, now).map_err(refused)?;
        let key = self.server_key.hash(JTI_PURPOSE, &[client.id.as_str().as_bytes(), jti.as_bytes()])?;
        // Remembered for as long as the assertion would be taken.
        if self.store.claim(EphemeralKind::Assertion, &key, expires_at.after(LEEWAY)).await? {
            return Ok(true);
        }
        Err(refused("the assertion was used before: jti must be new each time"))
    }

    /// Its `jti` and `exp`.
    fn check_claims<'a>(
        &self,
        client: &Client,
        claims: &'a Map<String, Value>,
        now: UnixTime,
    ) -> Result<(&'a str, UnixTime), &'static str> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        if [text("iss"), text("sub")] != [Some(client.id.as_str()); 2] {
            return Err("iss and sub of the assertion must both be the client_id");
        }
        if !claims.get("aud").is_some_and(|audience| self.is_for_us(audience)) {
            return Err("aud of the assertion must be the issuer or the endpoint, and nobody else");
        }
        if token::check_times(claims, now, LEEWAY, true).is_err() {
            return Err("the assertion has expired, is not valid yet, or has no exp");
        }
        let expires_at =
            token::time(claims, "exp").ok().flatten().ok_or("exp of the assertion is missing")?;
        if expires_at > now.after(MAX_LIFETIME + LEEWAY) {
            return Err("exp of the assertion is more than an hour away");
        }
        let jti = text("jti").filter(|jti| (1..=MAX_JTI).contains(&jti.len()));
        Ok((jti.ok_or("jti of the assertion is missing or too long")?, expires_at))
    }

    /// The issuer's identifier, or an endpoint where clients authenticate. A list that names anybody else too is
    /// refused: it would serve there as well.
    fn is_for_us(&self, audience: &Value) -> bool {
        const ENDPOINTS: [Endpoint; 5] = [
            Endpoint::Token,
            Endpoint::Introspection,
            Endpoint::Revocation,
            Endpoint::DeviceAuthorization,
            Endpoint::PushedAuthorization,
        ];
        let is_ours = |audience: &Value| {
            audience.as_str().is_some_and(|text| {
                text == &**self.url() || ENDPOINTS.into_iter().any(|endpoint| text == self.url_of(endpoint))
            })
        };
        match audience {
            Value::Array(list) => !list.is_empty() && list.iter().all(is_ours),
            Value::String(_) => is_ours(audience),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
        }
    }
}

/// The claims of what one of the keys signed.
fn verified(text: &str, keys: &PublicKeySet) -> Result<Map<String, Value>, JoseError> {
    match token::verify_jws(text, keys, &Algorithm::ALL, Some(&TYPES)) {
        Err(JoseError::Type) if has_no_type(text) => token::verify_jws(text, keys, &Algorithm::ALL, None),
        verified => verified,
    }
}

/// `typ` is optional (RFC 7519 §5.1).
fn has_no_type(text: &str) -> bool {
    let header = text.split('.').next().and_then(|header| URL_SAFE_NO_PAD.decode(header).ok());
    let header = header.and_then(|header| serde_json::from_slice::<Map<String, Value>>(&header).ok());
    header.is_some_and(|header| !header.contains_key("typ"))
}

fn refused(description: &'static str) -> OAuthError {
    OAuthError::new(ErrorCode::InvalidClient, description)
}
