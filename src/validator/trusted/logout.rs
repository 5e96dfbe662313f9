//! Logout tokens: an issuer says that somebody has signed out there (OpenID Connect Back-Channel Logout §2.4).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::{Map, Value};
use thiserror::Error;

use super::{Fault, TrustedIssuer, metadata::Unverified};
use crate::{
    model::UnixTime,
    store::StoreError,
    token::{JoseError, check_times, sha256, time},
};

/// The member of `events` that makes a token a logout token.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// How old such a token may be.
const MAX_AGE: Duration = Duration::from_secs(300);
/// How many are remembered against being sent again.
const MOST: usize = 10_000;

/// Who has signed out at another issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogoutOf {
    /// The issuer's URL.
    pub issuer: Arc<str>,
    /// The person, when all of their sign-ins have ended.
    pub subject: Option<Arc<str>>,
    /// The one sign-in that has ended.
    pub session: Option<Arc<str>>,
    /// When.
    pub at: UnixTime,
    /// `jti` of the token.
    pub(in crate::validator) id: String,
}

/// A logout token is not taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LogoutError {
    /// It is not from a trusted issuer that knows us as a client.
    #[error("the logout token is from no issuer that is trusted here with a client_id")]
    Issuer,
    /// Its signature, or its form, is wrong.
    #[error("{0}")]
    Token(#[from] JoseError),
    /// It was taken already.
    #[error("the logout token was sent before")]
    Replayed,
    /// The issuer's keys cannot be read now.
    #[error("the issuer cannot be asked now: {0}")]
    Unreachable(String),
    /// It cannot be kept now.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Logout tokens that were taken, until they are too old to be taken again.
#[derive(Default)]
pub(super) struct Replays(Mutex<HashMap<[u8; 32], UnixTime>>);

impl Replays {
    fn is_new(&self, jti: &str, until: UnixTime, now: UnixTime) -> bool {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.len() >= MOST {
            taken.retain(|_, until| now < *until);
        }
        let key = sha256(jti.as_bytes());
        // Ending a session twice does no harm, so a full memory takes no more and refuses none.
        if taken.len() >= MOST {
            return !taken.contains_key(&key);
        }
        taken.insert(key, until).is_none_or(|until| until <= now)
    }

    fn forget(&self, jti: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&sha256(jti.as_bytes()));
    }
}

impl TrustedIssuer {
    /// A logout token could not be carried out: its issuer may send it again.
    pub(in crate::validator) fn take_again(&self, logout: &LogoutOf) {
        self.replays.forget(&logout.id);
    }

    /// Whose sign-in a logout token of this issuer ends.
    pub(in crate::validator) async fn logout(
        &self,
        jwt: &str,
        now: UnixTime,
    ) -> Result<LogoutOf, LogoutError> {
        let config = self.config();
        let client = config.client.as_ref().ok_or(LogoutError::Issuer)?;
        let types = ["logout+jwt", "JWT"].map(str::to_owned);
        let verified = match self.published.verify(jwt, &types, now).await {
            Ok(verified) => verified,
            Err(Unverified::Token(error)) => return Err(error.into()),
            Err(Unverified::Issuer(
                fault @ (Fault::Unreachable(_) | Fault::Operator(_) | Fault::Undecided),
            )) => {
                return Err(LogoutError::Unreachable(fault.to_string()));
            }
        };
        let claims = &verified.claims;
        let text = |name: &'static str| optional(claims, name);
        if !text("iss")?.is_some_and(|iss| self.is_called(&iss)) {
            return Err(JoseError::Claim("iss").into());
        }
        if !is_for(claims.get("aud"), &client.id) {
            return Err(JoseError::Claim("aud").into());
        }
        let events = claims.get("events").and_then(Value::as_object);
        if !events.and_then(|events| events.get(EVENT)).is_some_and(Value::is_object) {
            return Err(JoseError::Claim("events").into());
        }
        // §2.4: so that no ID token passes for one.
        if claims.contains_key("nonce") {
            return Err(JoseError::Claim("nonce").into());
        }
        check_times(claims, now, config.leeway, false)?;
        let at = time(claims, "iat")?.ok_or(JoseError::Claim("iat"))?;
        let until = at.after(MAX_AGE).after(config.leeway);
        if until <= now {
            return Err(JoseError::Expired.into());
        }
        let (subject, session) = (text("sub")?, text("sid")?);
        if subject.is_none() && session.is_none() {
            return Err(JoseError::Claim("sub").into());
        }
        let jti = text("jti")?.ok_or(JoseError::Claim("jti"))?;
        if !self.replays.is_new(&jti, until, now) {
            return Err(LogoutError::Replayed);
        }
        self.forget();
        // Where one sign-in is named, the person's others live on.
        let subject = if session.is_some() { None } else { subject };
        Ok(LogoutOf {
            issuer: Arc::clone(&config.url),
            subject: subject.map(Into::into),
            session: session.map(Into::into),
            at,
            id: jti,
        })
    }
}

fn optional(claims: &Map<String, Value>, name: &'static str) -> Result<Option<String>, JoseError> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if !text.is_empty() => Ok(Some(text.clone())),
        Some(_) => Err(JoseError::Claim(name)),
    }
}

fn is_for(audience: Option<&Value>, client: &str) -> bool {
    match audience {
        Some(Value::String(one)) => one == client,
        Some(Value::Array(several)) => several.iter().any(|one| one.as_str() == Some(client)),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => false,
    }
}
