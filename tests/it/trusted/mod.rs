//! Tokens of other issuers, against an issuer that may say anything.

mod asked;
mod authenticated;
mod jwt;
mod person;
mod rotation;
mod signatures;

use std::sync::Arc;

use bearward::{
    model::{Principal, Protocol, Secret, UnixTime},
    store::{self, Location, Store},
    token::ServerKey,
    validator::{Config, Rejection, Request, TrustedIssuer, Validator, trusted},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::HostileIssuer;

const OWN: &str = "https://mail.example.org";
const AUDIENCE: &str = "imap.example.org";
const IMAP: Request<'static> = Request::new(Protocol::Imap);
const NOW: UnixTime = UnixTime(1_800_000_000);

struct House {
    _folder: TempDir,
    store: Arc<dyn Store>,
    validator: Validator,
}

impl House {
    async fn trusting(configs: Vec<trusted::Config>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::Sqlite(folder.path().join("store.db"));
        let config = store::Config { location, poll_interval: std::time::Duration::from_secs(1) };
        let store = store::open(&config).await.unwrap();
        let issuers = configs.into_iter().map(|config| TrustedIssuer::new(config, None).unwrap()).collect();
        let settings = Config { issuer: OWN.into(), audience: OWN.into(), cache_entries: 10 };
        let validator = Validator::new(&settings, Arc::clone(&store), ServerKey::generate().unwrap());
        Self { _folder: folder, store, validator: validator.with_trusted(issuers) }
    }

    async fn ask(&self, token: &Secret) -> Result<Principal, Rejection> {
        self.validator.validate(token, &IMAP, NOW).await
    }

    async fn ask_as(&self, token: &Secret, authzid: &str) -> Result<Principal, Rejection> {
        self.validator.validate(token, &Request { authzid: Some(authzid), ..IMAP }, NOW).await
    }
}

fn later(seconds: i64) -> UnixTime {
    UnixTime(NOW.0 + seconds)
}

/// An issuer for `domain`, as its settings are by default.
fn settings(issuer: &HostileIssuer, domain: &str) -> trusted::Config {
    let mut config = trusted::Config::new(&issuer.url, &[AUDIENCE], &[domain]);
    config.http.ca = Some(issuer.ca());
    config
}

/// What a good token of the issuer for alice of `example.net` says.
fn claims(issuer: &HostileIssuer) -> Value {
    json!({
        "iss": issuer.url, "sub": "1", "sid": "s1", "aud": AUDIENCE, "client_id": "thunderbird",
        "exp": NOW.0 + 600, "iat": NOW.0, "jti": "j", "scope": "imap smtp",
        "email": "alice@example.net", "email_verified": true,
    })
}

/// The same with some claims changed; `null` takes a claim away.
fn but(issuer: &HostileIssuer, changes: &Value) -> Value {
    let mut claims = claims(issuer);
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}
