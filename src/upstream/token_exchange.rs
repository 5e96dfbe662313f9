//! A token of the mail server's own issuer for the one that the user presented (RFC 8693).
//!
//! What the issuer gives is kept until shortly before it ends, what it refuses for a moment, so that many sessions of
//! one user cost one request; one is in flight per token.

use std::{convert::Infallible, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use quick_cache::sync::Cache;
use reqwest::{
    Url,
    header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue},
};
use zeroize::Zeroize;

use super::{LoginError, PlanError};
use crate::{
    http,
    model::{Secret, TokenHash, UnixTime},
    proto::{Failure, line::excerpt},
};

/// Exchanged tokens kept.
const ENTRIES: usize = 2048;
/// Longest token taken, in octets, as everywhere.
const MAX_TOKEN: usize = 12 * 1024;
/// How long before its end a token is not used any more.
const MARGIN: Duration = Duration::from_secs(30);
/// How long a token whose end is not told is used.
const UNTOLD: Duration = Duration::from_secs(60);
/// The longest that a token is used.
const LONGEST: Duration = Duration::from_secs(3600);
/// How long a refusal is repeated without asking again.
const REFUSED_FOR: Duration = Duration::from_secs(10);
/// How long an outage is.
const OUTAGE_FOR: Duration = Duration::from_secs(1);

/// `[backend.*.bearer]`.
#[derive(Clone, Debug)]
pub struct Config {
    /// The token endpoint.
    pub url: Url,
    /// This server's identifier there.
    pub client_id: String,
    /// Its secret, sent by HTTP Basic; without one the identifier alone is sent.
    pub client_secret: Option<Secret>,
    /// `audience`: whom the token is for.
    pub audience: Option<String>,
    /// `scope`.
    pub scope: Option<String>,
    /// How requests are made.
    pub http: http::Config,
}

/// Exchanges tokens for one backend.
pub(super) struct TokenExchange {
    config: Config,
    client: http::Client,
    kept: Cache<TokenHash, Kept>,
}

/// What the issuer said.
#[derive(Clone)]
struct Kept {
    result: Result<Secret, Refusal>,
    until: UnixTime,
}

/// Why there is no token. Split by who must act.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Refusal {
    /// The operator.
    Operator(String),
    /// The user: the token that was presented is not taken.
    Token(String),
    /// Nobody.
    Unavailable(String),
}

impl std::fmt::Debug for TokenExchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenExchange").field("url", &self.config.url.as_str()).finish_non_exhaustive()
    }
}

impl From<Refusal> for LoginError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Operator(text) => Failure::Operator(format!("token exchange: {text}")).into(),
            Refusal::Token(text) => PlanError::TokenRefused(text).into(),
            Refusal::Unavailable(text) => Failure::Temporary(format!("token exchange: {text}")).into(),
        }
    }
}

impl TokenExchange {
    /// # Errors
    /// [`http::HttpError`] when a file of the settings cannot be used.
    pub(super) fn new(config: Config) -> Result<Self, http::HttpError> {
        let client = http::Client::new(&config.http)?;
        Ok(Self { config, client, kept: Cache::new(ENTRIES) })
    }

    /// The token for `presented`.
    ///
    /// # Errors
    /// [`LoginError`], by who must act.
    pub(super) async fn token(&self, presented: &Secret, now: UnixTime) -> Result<Secret, LoginError> {
        let key = hash(presented);
        if self.kept.get(&key).is_some_and(|kept| kept.until <= now) {
            self.kept.remove(&key);
        }
        let asking = async { Ok::<_, Infallible>(self.ask(presented, now).await) };
        let kept = match self.kept.get_or_insert_async(&key, asking).await {
            Ok(kept) => kept,
            Err(never) => match never {},
        };
        Ok(kept.result?)
    }

    /// The mail server does not take what was given for `presented`: the next login asks again.
    pub(super) fn forget(&self, presented: &Secret) {
        self.kept.remove(&hash(presented));
    }

    async fn ask(&self, presented: &Secret, now: UnixTime) -> Kept {
        let answer = self.client.send(&self.config.url, self.request(presented)).await;
        let result = match answer {
            Ok(mut answer) => {
                let read = read(answer.status, &answer.body);
                answer.body.zeroize();
                read
            }
            Err(error) => Err(match error {
                http::HttpError::Address(_) | http::HttpError::File(_) => {
                    Refusal::Operator(error.to_string())
                }
                http::HttpError::TooLong { .. } | http::HttpError::Unreachable(_) => {
                    Refusal::Unavailable(error.to_string())
                }
            }),
        };
        let keep = match &result {
            Ok((_, lifetime)) => lifetime.saturating_sub(MARGIN).min(LONGEST),
            Err(Refusal::Operator(_) | Refusal::Token(_)) => REFUSED_FOR,
            Err(Refusal::Unavailable(_)) => OUTAGE_FOR,
        };
        Kept { result: result.map(|(token, _)| token), until: now.after(keep) }
    }

    fn request(&self, presented: &Secret) -> http::Request {
        let Config { client_id, client_secret, audience, scope, .. } = &self.config;
        // Room for everything in its longest form, so that no copy is left behind by a buffer that grew.
        let texts = [audience, scope].into_iter().flatten().map(String::len).sum::<usize>();
        let room = (presented.len() + client_id.len() + texts) * 3 + 1024;
        let mut form = form_urlencoded::Serializer::new(String::with_capacity(room));
        form.append_pair("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange")
            .append_pair("subject_token", presented.expose_str().unwrap_or_default())
            .append_pair("subject_token_type", "urn:ietf:params:oauth:token-type:access_token")
            .append_pair("requested_token_type", "urn:ietf:params:oauth:token-type:access_token");
        for (name, value) in [("audience", audience), ("scope", scope)] {
            if let Some(value) = value {
                form.append_pair(name, value);
            }
        }
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        match client_secret.as_ref().and_then(|secret| basic(client_id, secret)) {
            Some(value) => {
                headers.insert(AUTHORIZATION, value);
            }
            None => {
                form.append_pair("client_id", client_id);
            }
        }
        let body = Secret::from(form.finish());
        http::Request { headers, body: Some(("application/x-www-form-urlencoded", body)) }
    }
}

/// RFC 6749 §2.3.1: both parts form-encoded, then HTTP Basic.
fn basic(client_id: &str, secret: &Secret) -> Option<HeaderValue> {
    let encoded = |octets: &[u8]| form_urlencoded::byte_serialize(octets).collect::<String>();
    let mut pair = format!("{}:{}", encoded(client_id.as_bytes()), encoded(secret.expose()));
    let mut value = format!("Basic {}", STANDARD.encode(&pair));
    let header = HeaderValue::from_str(&value).ok();
    pair.zeroize();
    value.zeroize();
    header.map(|mut header| {
        header.set_sensitive(true);
        header
    })
}

/// What the token endpoint answers (RFC 8693 §2.2): the token, and how long it lives.
fn read(status: u16, body: &[u8]) -> Result<(Secret, Duration), Refusal> {
    #[derive(serde::Deserialize)]
    struct Fields {
        access_token: Option<String>,
        token_type: Option<String>,
        expires_in: Option<u64>,
        error: Option<String>,
    }
    let fields: Option<Fields> = serde_json::from_slice(body).ok();
    if status == 200 {
        let fields = fields.ok_or_else(|| Refusal::Unavailable("its answer is no JSON object".to_owned()))?;
        let token = fields.access_token.map(Secret::from).unwrap_or_default();
        let is_bearer = fields.token_type.as_deref().is_some_and(|own| own.eq_ignore_ascii_case("Bearer"));
        if !is_bearer || token.len() > MAX_TOKEN || !is_token(token.expose()) {
            return Err(Refusal::Operator("it gives what is no bearer token".to_owned()));
        }
        return Ok((token, fields.expires_in.map_or(UNTOLD, Duration::from_secs)));
    }
    let error = fields.and_then(|fields| fields.error).unwrap_or_default();
    let said = format!("status {status} {}", excerpt(error.as_bytes()));
    Err(match (status, error.as_str()) {
        (408 | 429 | 500..=599, _) | (_, "temporarily_unavailable" | "server_error") => {
            Refusal::Unavailable(said)
        }
        // RFC 8693 §2.2.2 has a token that is not taken answered with `invalid_request`.
        (_, "invalid_grant" | "invalid_request" | "invalid_token") => Refusal::Token(said),
        _ => Refusal::Operator(said),
    })
}

/// `b64token` (RFC 6750 §2.1).
fn is_token(token: &[u8]) -> bool {
    let padding = token.iter().rev().take_while(|octet| **octet == b'=').count();
    let own = token.get(..token.len() - padding).unwrap_or_default();
    let is_of_it = |octet: &u8| {
        octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_' | b'~' | b'+' | b'/')
    };
    !own.is_empty() && own.iter().all(is_of_it)
}

fn hash(token: &Secret) -> TokenHash {
    let mut octets = [0; 32];
    octets.copy_from_slice(digest(&SHA256, token.expose()).as_ref());
    TokenHash::new(octets)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    fn token(body: &str) -> Result<(Secret, Duration), Refusal> {
        read(200, body.as_bytes())
    }

    #[test]
    fn a_bearer_token_is_taken_with_its_lifetime() {
        let (given, lifetime) =
            token(r#"{"access_token":"a.b-c","token_type":"bearer","expires_in":300}"#).unwrap();
        assert_eq!((given.expose(), lifetime), (&b"a.b-c"[..], Duration::from_secs(300)));
        assert_eq!(token(r#"{"access_token":"a","token_type":"Bearer"}"#).unwrap().1, UNTOLD);
    }

    #[test]
    fn what_could_be_spoken_as_something_else_is_no_token() {
        for bad in ["", "a b", "a\\u0001auth=x", "a=b", "=", "a\\r\\n", "ä"] {
            let body = format!(r#"{{"access_token":"{bad}","token_type":"Bearer"}}"#);
            assert!(matches!(token(&body), Err(Refusal::Operator(_))), "{bad}");
        }
        let long = format!(r#"{{"access_token":"{}","token_type":"Bearer"}}"#, "a".repeat(MAX_TOKEN + 1));
        assert!(matches!(token(&long), Err(Refusal::Operator(_))));
        for kind in [r#","token_type":"DPoP""#, r#","token_type":"N_A""#, ""] {
            let body = format!(r#"{{"access_token":"a"{kind}}}"#);
            assert!(matches!(token(&body), Err(Refusal::Operator(_))), "{kind}");
        }
    }

    #[test]
    fn an_error_is_blamed_on_whom_it_concerns() {
        let refused =
            |status, error: &str| read(status, format!(r#"{{"error":"{error}"}}"#).as_bytes()).unwrap_err();
        for error in ["invalid_grant", "invalid_token", "invalid_request"] {
            assert!(matches!(refused(400, error), Refusal::Token(_)), "{error}");
        }
        for error in ["invalid_client", "unauthorized_client", "invalid_target", "invalid_scope", "", "x"] {
            assert!(matches!(refused(401, error), Refusal::Operator(_)), "{error}");
        }
        assert!(matches!(refused(503, "invalid_grant"), Refusal::Unavailable(_)));
        assert!(matches!(refused(429, ""), Refusal::Unavailable(_)));
        assert!(matches!(read(200, b"<html>"), Err(Refusal::Unavailable(_))));
        assert!(matches!(read(404, b"<html>"), Err(Refusal::Operator(_))));
    }

    #[test]
    fn a_client_is_named_as_the_rfc_encodes_it() {
        let value = basic("a b:c", &Secret::copy_of("p%ä".as_bytes())).unwrap();
        assert_eq!(value, format!("Basic {}", STANDARD.encode("a+b%3Ac:p%25%C3%A4")).as_str());
        assert!(value.is_sensitive());
    }
}
