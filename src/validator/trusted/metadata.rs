use std::{sync::Arc, time::Duration};

use serde_json::Value;

use super::{
    Config, Fault,
    refreshed::{Ages, Held, Looked, Refreshed},
    remote::Remote,
};
use crate::{
    http::Url,
    model::UnixTime,
    token::{JoseError, OutsideAlgorithm, OutsideKeys, Verified, time, unverified_claims},
};

/// How long what an issuer publishes of itself is used without another look.
const METADATA_FRESH: Duration = Duration::from_secs(3600);
/// The same for its keys: one that it withdraws is honoured no longer than this.
const KEYS_FRESH: Duration = Duration::from_secs(300);

/// What an issuer publishes: where its endpoints are, and its keys.
pub(super) struct Published {
    config: Arc<Config>,
    remote: Remote,
    metadata: Refreshed<Metadata>,
    keys: Refreshed<OutsideKeys>,
}

/// Authorization-server metadata (RFC 8414 §2), as far as it is used.
#[derive(Clone, Debug, Default)]
pub(super) struct Metadata {
    authorization: Option<Url>,
    jwks: Option<Url>,
    introspection: Option<Url>,
    /// Whether the answers of its authorization endpoint say who gives them (RFC 9207 §3).
    names_itself: bool,
    token: Option<Url>,
    userinfo: Option<Url>,
}

/// An endpoint that the metadata names.
#[derive(Clone, Copy, Debug)]
pub(super) enum Endpoint {
    Authorization,
    Introspection,
    Jwks,
    Token,
    Userinfo,
}

/// Why a signature was not found good.
pub(super) enum Unverified {
    Token(JoseError),
    Issuer(Fault),
}

impl Published {
    pub(super) fn new(config: Arc<Config>, remote: Remote) -> Self {
        Self { config, remote, metadata: Refreshed::new(), keys: Refreshed::new() }
    }

    /// Where an endpoint is: as configured, else as the issuer says.
    pub(super) async fn endpoint(&self, endpoint: Endpoint, now: UnixTime) -> Result<Url, Fault> {
        let set = &self.config.endpoints;
        let (configured, name) = match endpoint {
            Endpoint::Authorization => (&None, "authorization_endpoint"),
            Endpoint::Introspection => (&set.introspection, "introspection_endpoint"),
            Endpoint::Jwks => (&set.jwks, "jwks_uri"),
            Endpoint::Token => (&None, "token_endpoint"),
            Endpoint::Userinfo => (&set.userinfo, "userinfo_endpoint"),
        };
        if let Some(url) = configured {
            return Ok(url.clone());
        }
        let metadata = self.metadata(now).await?;
        let found = match endpoint {
            Endpoint::Authorization => &metadata.value.authorization,
            Endpoint::Token => &metadata.value.token,
            Endpoint::Introspection => &metadata.value.introspection,
            Endpoint::Jwks => &metadata.value.jwks,
            Endpoint::Userinfo => &metadata.value.userinfo,
        };
        found.clone().ok_or_else(|| Fault::Operator(format!("its metadata names no {name}")))
    }

    /// Whether the answers of its authorization endpoint say who gives them (RFC 9207 §3).
    pub(super) async fn names_itself(&self, now: UnixTime) -> Result<bool, Fault> {
        Ok(self.metadata(now).await?.value.names_itself)
    }

    /// Verifies a token by the published keys. When none of them has the name that the token gives, they are read
    /// again, but not at everybody's will.
    ///
    /// A token is wrong for its key's name only where the keys that lack it were read after the token was made: else a
    /// new key may have signed it, and whoever throws it away throws a good one away ([`Fault::Undecided`]). That is so
    ///
    /// - when the keys were asked for after the token had come; a look that ran already does not do, for its answer may
    ///   have been written before;
    /// - or when the token says itself that it was made (`iat`) before they were asked for, the clocks' difference
    ///   allowed for. Nobody has checked what it says, but only its maker can lie in it, and about nobody's token but
    ///   their own. So one that an old, withdrawn key has signed is told apart also while strangers use up every look.
    pub(super) async fn verify(
        &self,
        text: &str,
        types: &[String],
        now: UnixTime,
    ) -> Result<Verified, Unverified> {
        let ages = self.key_ages();
        let allowed = &self.config.algorithms;
        // What no key could make good is not worth a question.
        let at_hand = match self.keys.fresh(ages, now) {
            Some(held) => held.value.verify(text, allowed, types),
            None => OutsideKeys::default().verify(text, allowed, types),
        };
        match at_hand {
            Err(JoseError::UnknownKey) => {}
            found => return found.map_err(Unverified::Token),
        }
        let Looked { held, is_anew } = self.look_at_keys(now).await.map_err(Unverified::Issuer)?;
        match held.value.verify(text, allowed, types) {
            Err(JoseError::UnknownKey) if !is_anew && !was_made_before(text, held.read_at, &self.config) => {
                // Keys that could not be read for so long are an outage, and nothing that a token brings about.
                let away = || Fault::Unreachable("its keys could not be read again".to_owned());
                let is_fresh = held.is_younger(ages.fresh, now);
                Err(Unverified::Issuer(if is_fresh { Fault::Undecided } else { away() }))
            }
            found => found.map_err(Unverified::Token),
        }
    }

    /// How many keys it publishes, read now: for a look at the whole set-up.
    pub(super) async fn count_keys(&self, now: UnixTime) -> Result<usize, Fault> {
        self.look_at_keys(now).await.map(|looked| looked.held.value.len())
    }

    async fn look_at_keys(&self, now: UnixTime) -> Result<Looked<OutsideKeys>, Fault> {
        let ages = self.key_ages();
        let url = self.endpoint(Endpoint::Jwks, now).await;
        let remote = self.remote.clone();
        let read = || async move {
            let document = remote.document(&url?, now).await?;
            let document =
                document.ok_or_else(|| Fault::Operator("there is nothing at its jwks_uri".into()))?;
            OutsideKeys::parse(&document).map_err(|error| Fault::Operator(error.to_string()))
        };
        self.keys.look(ages, now, read).await
    }

    fn key_ages(&self) -> Ages {
        Ages { fresh: KEYS_FRESH, stale: self.config.stale_keys.max(KEYS_FRESH) }
    }

    async fn metadata(&self, now: UnixTime) -> Result<Arc<Held<Metadata>>, Fault> {
        let ages = Ages { fresh: METADATA_FRESH, stale: self.config.stale_keys.max(METADATA_FRESH) };
        if let Some(held) = self.metadata.fresh(ages, now) {
            return Ok(held);
        }
        let (config, remote) = (Arc::clone(&self.config), self.remote.clone());
        let looked =
            self.metadata.look(ages, now, || async move { discover(&config, &remote, now).await }).await?;
        Ok(looked.held)
    }
}

/// Whether a token says that it was made before `at`, whichever of the clocks is ahead.
fn was_made_before(text: &str, at: UnixTime, config: &Config) -> bool {
    let claims = unverified_claims(text).unwrap_or_default();
    time(&claims, "iat").ok().flatten().is_some_and(|made| made.after(config.leeway) < at)
}

/// OpenID Connect Discovery §4, then RFC 8414 §3.1, which puts the well-known part before the path.
async fn discover(config: &Config, remote: &Remote, now: UnixTime) -> Result<Metadata, Fault> {
    let places = match &config.endpoints.discovery {
        Some(url) => vec![url.clone()],
        None => places(&config.url)?,
    };
    for place in places {
        if let Some(document) = remote.document(&place, now).await? {
            return read(config, &document);
        }
    }
    Err(Fault::Operator("it publishes no metadata".to_owned()))
}

fn places(issuer: &str) -> Result<Vec<Url>, Fault> {
    let bad = || Fault::Operator(format!("{issuer} is no address"));
    let base = issuer.trim_end_matches('/');
    let url: Url = base.parse().map_err(|_| bad())?;
    let mut moved = url.clone();
    moved.set_path(&format!("/.well-known/oauth-authorization-server{}", url.path().trim_end_matches('/')));
    Ok(vec![format!("{base}/.well-known/openid-configuration").parse().map_err(|_| bad())?, moved])
}

fn read(config: &Config, document: &Value) -> Result<Metadata, Fault> {
    let text = |name: &str| document.get(name).and_then(Value::as_str);
    // RFC 8414 §3.3: else one issuer could publish another's.
    match text("issuer") {
        Some(issuer) if issuer == &*config.url => {}
        Some(issuer) => {
            return Err(Fault::Operator(format!(
                "its metadata is that of {issuer}: write exactly this as its url, if it is the right one"
            )));
        }
        None => return Err(Fault::Operator("its metadata does not say whose it is".to_owned())),
    }
    let url = |name: &str| text(name).map(|text| text.parse()).transpose();
    let bad = |name: &'static str| Fault::Operator(format!("its metadata holds no address in {name}"));
    let aliases = |name: &str| {
        let client = config.client.as_ref()?;
        let is_by_certificate = matches!(client.auth, super::ClientAuth::Tls);
        let aliases = document.get("mtls_endpoint_aliases").filter(|_| is_by_certificate)?;
        aliases.get(name).and_then(Value::as_str).and_then(|text| text.parse().ok())
    };
    let own_or_alias = |name: &'static str| match aliases(name) {
        Some(alias) => Ok(Some(alias)),
        None => url(name).map_err(|_| bad(name)),
    };
    Ok(Metadata {
        authorization: url("authorization_endpoint").map_err(|_| bad("authorization_endpoint"))?,
        names_itself: document.get("authorization_response_iss_parameter_supported")
            == Some(&Value::Bool(true)),
        token: own_or_alias("token_endpoint")?,
        jwks: url("jwks_uri").map_err(|_| bad("jwks_uri"))?,
        introspection: own_or_alias("introspection_endpoint")?,
        userinfo: url("userinfo_endpoint").map_err(|_| bad("userinfo_endpoint"))?,
    })
}

/// Names of algorithms, for people.
pub(super) fn names(algorithms: &[OutsideAlgorithm]) -> String {
    algorithms.iter().map(|algorithm| algorithm.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_well_known_places_are_looked_at() {
        let at = |issuer: &str| places(issuer).unwrap().iter().map(Url::to_string).collect::<Vec<_>>();
        assert_eq!(
            at("https://a.example/realms/main"),
            [
                "https://a.example/realms/main/.well-known/openid-configuration",
                "https://a.example/.well-known/oauth-authorization-server/realms/main"
            ]
        );
        assert_eq!(
            at("https://a.example"),
            [
                "https://a.example/.well-known/openid-configuration",
                "https://a.example/.well-known/oauth-authorization-server"
            ]
        );
    }

    #[test]
    fn metadata_of_another_issuer_is_refused() {
        let config = Config::new("https://a.example", &["x"], &[]);
        for other in ["https://b.example", "https://a.example/", "https://A.example"] {
            let document = serde_json::json!({ "issuer": other, "jwks_uri": "https://a.example/keys" });
            assert!(read(&config, &document).is_err(), "{other}");
        }
        assert!(read(&config, &serde_json::json!({ "jwks_uri": "https://a.example/keys" })).is_err());
    }
}
