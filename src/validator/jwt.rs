use std::{sync::Arc, time::Duration};

use serde_json::{Map, Value};

use super::{
    Rejection, Request, Validator, checks, end_of,
    explain::{StepName, Trace},
    keys::FRESH_FOR,
};
use crate::{
    model::{ClientId, GrantId, Principal, Scope, Secret, TokenHash, TokenKind, UnixTime},
    store::{Grant, StoreError, TokenRecord},
    token::{Algorithm, JoseError, check_times, parse_thumbprint, sha256, time, unverified_kid, verify_jws},
};

/// What an access token in JWT form must say that it is (RFC 9068 §2.1); an ID token says something else.
const TYPES: &[&str] = &["at+jwt"];
/// How far the clocks of two processes may differ. The end of a token is not stretched by it.
const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// What a JWT access token says (RFC 9068 §2.2), once its signature was found good.
struct Claims {
    grant: GrantId,
    client: ClientId,
    scope: Scope,
    audience: String,
    certificate: Option<[u8; 32]>,
    issued_at: UnixTime,
    expires_at: UnixTime,
    /// The key of its row, which tells whether it was ended apart from its grant; `None` for a name that is none.
    row: Option<TokenHash>,
}

/// Whether the octets can be a JWT at all. No opaque token holds a dot.
pub(super) fn looks_like_jwt(token: &[u8]) -> bool {
    token.starts_with(b"ey") && token.contains(&b'.')
}

/// Under which a JWT's record is cached; nothing of the store stands under it.
fn cache_key(token: &str) -> TokenHash {
    TokenHash::new(sha256(token.as_bytes()))
}

impl Validator {
    pub(super) async fn decide_jwt(
        &self,
        token: &Secret,
        request: &Request<'_>,
        now: UnixTime,
        trace: &mut Trace,
    ) -> Result<Principal, Rejection> {
        let Some(text) = token.expose_str() else {
            return trace.fail(StepName::Format, Rejection::Malformed, "it is no text".to_owned());
        };
        trace.pass(StepName::Format, || "in the form of a JWT".to_owned());
        let record = self.record_of_jwt(text, now, trace).await?;
        let who = self.check(&record, request, now, trace).await?;
        trace.pass(StepName::Secrets, || "a JWT opens no sealed password".to_owned());
        Ok(self.principal(&record, who, token, Vec::new()))
    }

    /// A JWT with its grant. It is cached no longer than its key may be used unseen: then the signature is looked
    /// at again.
    async fn record_of_jwt(
        &self,
        text: &str,
        now: UnixTime,
        trace: &mut Trace,
    ) -> Result<Arc<TokenRecord>, Rejection> {
        let lookup = cache_key(text);
        if let Some(record) = self.jwts.record(&lookup, now) {
            trace.cached = true;
            trace.pass(StepName::Lookup, || "known, from the cache".to_owned());
            return Ok(record);
        }
        let generation = self.jwts.generation();
        let claims = self.claims(text, now, trace).await?;
        let known = match self.known_of(&claims).await {
            Ok(known) => known,
            Err(error) => {
                let detail = error.to_string();
                return trace.fail(StepName::Lookup, Rejection::Unavailable(error), detail);
            }
        };
        let Some(record) = known.and_then(|(grant, revoked_at)| claims.into_record(grant, revoked_at)) else {
            let detail = "the store knows no such grant of that client".to_owned();
            return trace.fail(StepName::Lookup, Rejection::Unknown, detail);
        };
        trace.pass(StepName::Lookup, || "its grant is known, from the store".to_owned());
        let record = Arc::new(record);
        if checks::life(&record, TokenKind::Access, now, &mut Trace::off()).is_ok() {
            self.jwts.insert(lookup, &record, end_of(&record).min(now.after(FRESH_FOR)), generation);
        }
        Ok(record)
    }

    /// The grant of a token, and when the token was ended apart from it.
    async fn known_of(&self, claims: &Claims) -> Result<Option<(Grant, Option<UnixTime>)>, StoreError> {
        let Some(grant) = self.store.grant(claims.grant).await? else { return Ok(None) };
        let row = match &claims.row {
            Some(row) => self.store.token(row).await?,
            None => None,
        };
        let revoked_at = row.filter(|row| row.grant.id == grant.id).and_then(|row| row.revoked_at);
        Ok(Some((grant, revoked_at)))
    }

    /// What the token says, if one of the issuer's keys has signed it for this service.
    async fn claims(&self, text: &str, now: UnixTime, trace: &mut Trace) -> Result<Claims, Rejection> {
        let kid = match unverified_kid(text) {
            Ok(Some(kid)) => kid,
            Ok(None) => return refuse(trace, StepName::Signature, JoseError::UnknownKey),
            Err(error) => return refuse(trace, StepName::Format, error),
        };
        let key = match self.keys.key(&kid, now).await {
            Ok(Some(key)) => key,
            Ok(None) => return refuse(trace, StepName::Signature, JoseError::UnknownKey),
            Err(error) => {
                let detail = error.to_string();
                return trace.fail(StepName::Signature, Rejection::Unavailable(error), detail);
            }
        };
        let claims = match verify_jws(text, &key, &Algorithm::ALL, Some(TYPES)) {
            Ok(claims) => claims,
            Err(error) => return refuse(trace, StepName::Signature, error),
        };
        trace.pass(StepName::Signature, || format!("an access token that key {kid} signed"));
        if let Err(error) = check_times(&claims, now, CLOCK_SKEW, true) {
            return refuse(trace, StepName::Expiry, error);
        }
        match self.read_claims(&claims) {
            Ok(claims) => {
                trace.pass(StepName::Claims, || "every claim that it needs is there".to_owned());
                Ok(claims)
            }
            Err((rejection, detail)) => trace.fail(StepName::Claims, rejection, detail),
        }
    }

    fn read_claims(&self, claims: &Map<String, Value>) -> Result<Claims, (Rejection, String)> {
        let missing = |name: &'static str| (Rejection::Malformed, JoseError::Claim(name).to_string());
        let text = |name: &'static str| {
            claims
                .get(name)
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
                .ok_or_else(|| missing(name))
        };
        let moment = |name| time(claims, name).ok().flatten().ok_or_else(|| missing(name));
        if text("iss")? != &*self.issuer {
            return Err((Rejection::Malformed, format!("it is from {}", text("iss")?)));
        }
        text("sub")?;
        let row = parse_thumbprint(text("jti")?).map(TokenHash::new);
        let scope = match claims.get("scope") {
            None => Scope::default(),
            Some(_) => text("scope")?.parse().map_err(|_| missing("scope"))?,
        };
        Ok(Claims {
            grant: text("grant_id")?.parse().map_err(|_| missing("grant_id"))?,
            client: text("client_id")?.parse().map_err(|_| missing("client_id"))?,
            scope,
            audience: self.audience_of(claims.get("aud").ok_or_else(|| missing("aud"))?)?,
            certificate: confirmation(claims)?,
            issued_at: moment("iat")?,
            expires_at: moment("exp")?,
            row,
        })
    }

    /// Our own name, if it is among those that the token is for (RFC 9068 §4).
    fn audience_of(&self, claim: &Value) -> Result<String, (Rejection, String)> {
        let is_ours = |one: &Value| one.as_str() == Some(&*self.audience);
        let is_meant = match claim {
            Value::Array(several) => several.iter().any(is_ours),
            Value::String(_) => is_ours(claim),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
        };
        if is_meant {
            Ok(self.audience.to_string())
        } else {
            Err((Rejection::WrongAudience, format!("it is for {claim}, this is {}", self.audience)))
        }
    }
}

impl Claims {
    /// The record that an opaque token of the same rights would have, but for the keys: a JWT opens no password.
    /// `None` when the grant is another client's.
    fn into_record(self, grant: Grant, revoked_at: Option<UnixTime>) -> Option<TokenRecord> {
        (grant.client == self.client).then(|| TokenRecord {
            // No row has this key.
            lookup: self.row.unwrap_or(TokenHash::new([0; 32])),
            kind: TokenKind::Access,
            scope: self.scope,
            audience: self.audience,
            certificate: self.certificate,
            created_at: self.issued_at,
            expires_at: self.expires_at,
            revoked_at,
            used_at: None,
            answer: None,
            wrapped_key: None,
            networks: Vec::new(),
            grant,
            credentials: Vec::new(),
        })
    }
}

/// The certificate that the token is bound to (RFC 8705 §3.1). A binding of another sort cannot be proved in SASL,
/// least of all that to a DPoP key (`jkt`, RFC 9449 §6.1).
fn confirmation(claims: &Map<String, Value>) -> Result<Option<[u8; 32]>, (Rejection, String)> {
    let Some(confirmation) = claims.get("cnf") else { return Ok(None) };
    let members = confirmation.as_object().filter(|members| members.len() == 1);
    let thumbprint = members.and_then(|members| members.get("x5t#S256")).and_then(Value::as_str);
    match thumbprint.and_then(parse_thumbprint) {
        Some(thumbprint) => Ok(Some(thumbprint)),
        None => Err((Rejection::BoundElsewhere, "it is bound to what cannot be shown here".to_owned())),
    }
}

fn refuse<T>(trace: &mut Trace, step: StepName, error: JoseError) -> Result<T, Rejection> {
    let rejection = match error {
        JoseError::Expired => Rejection::Expired,
        JoseError::UnknownKey => Rejection::Unknown,
        JoseError::TooLong
        | JoseError::Malformed
        | JoseError::Critical
        | JoseError::Algorithm
        | JoseError::Type
        | JoseError::Signature
        | JoseError::Claim(_)
        | JoseError::NotYetValid
        | JoseError::KeySet(_)
        | JoseError::TooManyKeys
        | JoseError::PrivateKey
        | JoseError::KeyLength
        | JoseError::NoKey => Rejection::Malformed,
    };
    trace.fail(step, rejection, error.to_string())
}
