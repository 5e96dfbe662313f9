//! What is signed: JWT access tokens (RFC 9068) and ID tokens (OpenID Connect Core §2).

use aws_lc_rs::digest;
use serde::Serialize;

use super::{answer::Confirmation, issue::Recipient};
use crate::{
    issuer::{Issuer, IssuerError},
    model::{Scope, Secret, TokenHash, UnixTime},
    store::NewToken,
    token::{Algorithm, base64url, parse_thumbprint, verify_jws},
};

/// RFC 9068 §2.1.
const ACCESS_TYPE: &str = "at+jwt";

/// RFC 9068 §2.2. `sub` is the login name, as everywhere: see [`super::UserInfo::sub`].
#[derive(Serialize)]
struct AccessClaims<'a> {
    iss: &'a str,
    exp: i64,
    aud: &'a str,
    sub: &'a str,
    client_id: &'a str,
    iat: i64,
    jti: String,
    scope: &'a Scope,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<i64>,
    grant_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf: Option<Confirmation>,
}

/// OpenID Connect Core §2 and §3.1.3.6.
#[derive(Serialize)]
struct IdClaims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    azp: &'a str,
    exp: i64,
    iat: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
    at_hash: String,
    /// The grant: there is no session of the browser, so signing out ends this.
    sid: String,
}

impl Issuer {
    pub(super) fn jwt_access_token(
        &self,
        recipient: &Recipient<'_>,
        row: &NewToken,
    ) -> Result<Secret, IssuerError> {
        let grant = recipient.grant;
        let claims = AccessClaims {
            iss: &self.config.url,
            exp: row.expires_at.0,
            aud: &row.audience,
            sub: grant.user.as_str(),
            client_id: recipient.client.id.as_str(),
            iat: row.created_at.0,
            jti: jti(&row.lookup),
            scope: &row.scope,
            auth_time: grant.auth_time.map(|at| at.0),
            grant_id: grant.id.to_string(),
            cnf: row.certificate.as_ref().map(Confirmation::of),
        };
        let key = self.keys.signer(Algorithm::Es256, recipient.now)?;
        Ok(Secret::from(key.sign_jwt(ACCESS_TYPE, &claims)?))
    }

    /// The row's key that a JWT access token of this issuer names; `None` for any other text.
    pub(super) fn row_of_jwt(&self, token: &Secret, now: UnixTime) -> Option<TokenHash> {
        let keys = self.keys.public_keys(now).ok()?;
        let claims =
            verify_jws(token.expose_str()?, &keys, &[Algorithm::Es256], Some(&[ACCESS_TYPE])).ok()?;
        let is_ours = claims.get("iss")?.as_str()? == &*self.config.url;
        let lookup = parse_thumbprint(claims.get("jti")?.as_str()?).map(TokenHash::new)?;
        is_ours.then_some(lookup)
    }

    /// The ID token that goes with an access token.
    pub(super) fn id_token(
        &self,
        recipient: &Recipient<'_>,
        access: &Secret,
        nonce: Option<&str>,
    ) -> Result<Secret, IssuerError> {
        let asked = recipient.client.metadata.id_token_signed_response_alg.as_deref();
        let algorithm = asked.and_then(Algorithm::from_name).unwrap_or(Algorithm::Rs256);
        let grant = recipient.grant;
        let client = recipient.client.id.as_str();
        let claims = IdClaims {
            iss: &self.config.url,
            sub: grant.user.as_str(),
            aud: client,
            azp: client,
            exp: recipient.now.after(self.config.id_token_lifetime).0,
            iat: recipient.now.0,
            auth_time: grant.auth_time.map(|at| at.0),
            nonce,
            at_hash: at_hash(algorithm, access),
            sid: grant.id.to_string(),
        };
        let key = self.keys.signer(algorithm, recipient.now)?;
        Ok(Secret::from(key.sign_jwt("JWT", &claims)?))
    }
}

/// The name of a token: its row's key, which is derived from what nobody has, and is a key to nothing.
pub(super) fn jti(lookup: &TokenHash) -> String {
    base64url(lookup.as_bytes())
}

/// The left half of the hash that belongs to the algorithm (OpenID Connect Core §3.1.3.6); Ed25519 hashes with
/// SHA-512 (RFC 8032 §5.1).
fn at_hash(algorithm: Algorithm, access: &Secret) -> String {
    let function = match algorithm {
        Algorithm::Rs256 | Algorithm::Es256 => &digest::SHA256,
        Algorithm::EdDsa => &digest::SHA512,
    };
    let hash = digest::digest(function, access.expose());
    let (half, _) = hash.as_ref().split_at(hash.as_ref().len() / 2);
    base64url(half)
}

impl Confirmation {
    pub(super) fn of(certificate: &[u8; 32]) -> Self {
        Self { certificate: base64url(certificate) }
    }
}
