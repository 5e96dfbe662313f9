//! Tokens of other issuers.
//!
//! Invariants:
//! - an issuer speaks for its own domains alone, by its own keys, in its own name; two issuers never vouch for each
//!   other;
//! - a token is taken only when it is meant for this service, unless the operator says aloud that any will do;
//! - an issuer that cannot be asked is no wrong token, and nothing is remembered of it;
//! - an answer is remembered no longer than the token lives, and under nothing but the whole token;
//! - whatever strangers send, the issuer gets a bounded number of questions, and each token is asked about once at a
//!   time.

mod answers;
mod ask;
mod claims;
mod config;
mod flights;
mod id_token;
mod logout;
mod metadata;
mod person;
mod provider;
mod refreshed;
mod remote;
mod template;

use std::sync::Arc;

use serde_json::{Map, Value};
use thiserror::Error;

use self::{
    answers::Answers,
    claims::check,
    flights::Flights,
    logout::Replays,
    metadata::{Endpoint, Published, Unverified, names},
    remote::Remote,
};
use super::{
    Rejection,
    explain::{StepName, Trace},
};
use crate::{
    http::HttpError,
    lookup::Lookup,
    model::{Login, Secret, TokenHash, UnixTime},
    token::{JoseError, sha256},
};

pub use config::{Client, ClientAuth, Config, Endpoints, Mapping, ScopeNames, Validate};
pub use logout::{LogoutError, LogoutOf};
pub use provider::{CodeExchange, Provider, ProviderError, SignedIn};
pub use template::Template;

pub(super) use claims::{Evidence, Facts};

/// Tokens that are remembered, an issuer.
const ENTRIES: usize = 20_000;
/// Questions that wait for their turn, an issuer.
const WAITING: usize = 1024;

/// An issuer elsewhere whose tokens are taken too.
pub struct TrustedIssuer {
    config: Arc<Config>,
    /// Finds the login name by what the token says.
    pub(super) lookup: Option<Arc<dyn Lookup>>,
    remote: Remote,
    published: Arc<Published>,
    answers: Arc<Answers>,
    flights: Arc<Flights<TokenHash, Answer>>,
    replays: Replays,
}

/// What became of a look at a token, whoever waits for it.
type Answer = Result<Arc<Evidence>, Refused>;

/// What a token says, or its issuer says of it, and whether its type says no more than that it is a JWT.
type Claims = (Map<String, Value>, bool);

#[derive(Clone, Debug)]
enum Refused {
    /// The token is no good.
    Token(JoseError),
    /// The issuer says that it is not, or no longer, good.
    Inactive,
    /// The issuer cannot be asked.
    Fault(Fault),
}

/// An issuer cannot be asked, or answers what cannot be used. No token is to blame.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum Fault {
    /// It may pass.
    #[error("{0}")]
    Unreachable(String),
    /// The operator must act.
    #[error("the operator must act: {0}")]
    Operator(String),
    /// A token names a key that is not among those that were read, and they cannot be read again yet.
    #[error("the token names an unknown key, and the keys cannot be read again yet")]
    Undecided,
}

impl TrustedIssuer {
    /// Asks nobody anything yet.
    ///
    /// # Errors
    /// [`HttpError::File`] when a file of the settings cannot be used.
    pub fn new(config: Config, lookup: Option<Arc<dyn Lookup>>) -> Result<Self, HttpError> {
        let config = Arc::new(config);
        let remote = Remote::new(&config.http, config.concurrency)?;
        let published = Arc::new(Published::new(Arc::clone(&config), remote.clone()));
        Ok(Self {
            config,
            lookup,
            remote,
            published,
            answers: Arc::new(Answers::new(ENTRIES)),
            flights: Flights::new(WAITING),
            replays: Replays::default(),
        })
    }

    /// Its settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Whether its discovery document and keys can be read now, or its endpoints are known; what was found.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub async fn probe(&self, now: UnixTime) -> Result<String, String> {
        let endpoint = match self.config.validate {
            Validate::Jwt => {
                let keys = self.published.count_keys(now).await.map_err(|fault| fault.to_string())?;
                let algorithms = names(&self.config.algorithms);
                return Ok(format!("{keys} keys published; tokens signed with {algorithms} are taken"));
            }
            Validate::Introspection => self.published.endpoint(Endpoint::Introspection, now).await,
            Validate::Userinfo => self.published.endpoint(Endpoint::Userinfo, now).await,
            Validate::Tokeninfo => self.tokeninfo_endpoint(),
        };
        let url = endpoint.map_err(|fault| fault.to_string())?;
        Ok(format!("tokens are shown to {}", remote::shown(&url)))
    }

    /// Whether `iss` is one of the names of this issuer.
    pub(super) fn is_called(&self, iss: &str) -> bool {
        *iss == *self.config.url || self.config.also.iter().any(|also| also == iss)
    }

    /// Everything that its claims decide.
    pub(super) async fn facts(
        &self,
        token: &Secret,
        now: UnixTime,
        trace: &mut Trace,
    ) -> Result<Facts, Rejection> {
        let evidence = self.evidence(token, now, trace).await?;
        check(&self.config, &evidence, now, trace)
    }

    /// The same without what is remembered.
    pub(super) async fn facts_anew(&self, token: &Secret, now: UnixTime) -> Result<Facts, Rejection> {
        let mut trace = Trace::off();
        let evidence = match self.look(token, now).await {
            Ok(evidence) => evidence,
            Err(refused) => return self.refuse(refused, &mut trace),
        };
        check(&self.config, &evidence, now, &mut trace)
    }

    /// The login name that `named` leads to, if this issuer may speak for it.
    pub(super) fn login(&self, named: &str) -> Result<Login, String> {
        person::login(&self.config, named)
    }

    /// Whether its word counts for the mailbox.
    pub(super) fn speaks_for(&self, login: &Login) -> bool {
        person::speaks_for(&self.config, login.domain())
    }

    /// Forgets what it said about tokens.
    pub(super) fn forget(&self) {
        self.answers.clear();
    }

    async fn evidence(
        &self,
        token: &Secret,
        now: UnixTime,
        trace: &mut Trace,
    ) -> Result<Arc<Evidence>, Rejection> {
        let key = key_of(token);
        if let Some(evidence) = self.answers.good(&key, now) {
            trace.cached = true;
            trace.pass(self.step(), || "found good a moment ago, from the cache".to_owned());
            return Ok(evidence);
        }
        if self.answers.is_refused(&key, now) {
            trace.cached = true;
            let detail = "its issuer refused it a moment ago, from the cache".to_owned();
            return trace.fail(self.step(), Rejection::Unknown, detail);
        }
        match self.look(token, now).await {
            Ok(evidence) => {
                trace.pass(self.step(), || match self.config.validate {
                    Validate::Jwt => "one of its issuer's keys has signed it".to_owned(),
                    Validate::Introspection | Validate::Tokeninfo | Validate::Userinfo => {
                        "its issuer says that it is good".to_owned()
                    }
                });
                Ok(evidence)
            }
            Err(refused) => self.refuse(refused, trace),
        }
    }

    /// Looks at a token, or waits for whoever asks about it already.
    async fn look(&self, token: &Secret, now: UnixTime) -> Answer {
        let key = key_of(token);
        let look = Look {
            config: Arc::clone(&self.config),
            remote: self.remote.clone(),
            published: Arc::clone(&self.published),
            answers: Arc::clone(&self.answers),
            token: token.clone(),
            now,
        };
        // What a key at hand has signed waits behind nobody: else strangers' tokens, which wait for the keys to be read
        // again, would take up all the places.
        let signed = match self.config.validate {
            Validate::Jwt => Some(look.claims().await?),
            Validate::Introspection | Validate::Tokeninfo | Validate::Userinfo => None,
        };
        if signed.is_some() && !self.config.fetch_userinfo {
            return look.answer(key, signed).await;
        }
        let answer = self.flights.share(&key, || async move { look.answer(key, signed).await }).await;
        let busy = || Err(Refused::Fault(Fault::Unreachable("too much is asked of it".to_owned())));
        answer.unwrap_or_else(busy)
    }

    fn refuse<T>(&self, refused: Refused, trace: &mut Trace) -> Result<T, Rejection> {
        let rejection = match &refused {
            Refused::Token(JoseError::Expired) => Rejection::Expired,
            Refused::Token(JoseError::UnknownKey) | Refused::Inactive => Rejection::Unknown,
            Refused::Token(_) => Rejection::Malformed,
            Refused::Fault(Fault::Undecided) => Rejection::Undecided,
            Refused::Fault(fault @ (Fault::Unreachable(_) | Fault::Operator(_))) => {
                Rejection::Unreachable(format!("{}: {fault}", self.config.url))
            }
        };
        let detail = match refused {
            Refused::Token(error) => error.to_string(),
            Refused::Inactive => "its issuer says that it is not good".to_owned(),
            Refused::Fault(fault) => fault.to_string(),
        };
        trace.fail(self.step(), rejection, detail)
    }

    fn step(&self) -> StepName {
        match self.config.validate {
            Validate::Jwt => StepName::Signature,
            Validate::Introspection | Validate::Tokeninfo => StepName::Introspection,
            Validate::Userinfo => StepName::Userinfo,
        }
    }

    fn tokeninfo_endpoint(&self) -> Result<crate::http::Url, Fault> {
        tokeninfo_endpoint(&self.config)
    }
}

/// One look at a token; it outlives whoever asked for it.
struct Look {
    config: Arc<Config>,
    remote: Remote,
    published: Arc<Published>,
    answers: Arc<Answers>,
    token: Secret,
    now: UnixTime,
}

impl Look {
    /// `signed` is what [`Self::claims`] gave, where that was called for already.
    async fn answer(self, key: TokenHash, signed: Option<Claims>) -> Answer {
        let (config, now) = (&self.config, self.now);
        let found = match signed {
            Some(signed) => Ok(signed),
            None => self.claims().await,
        };
        let (claims, plain) = match found {
            Err(Refused::Inactive) => {
                self.answers.refuse(key, now);
                return Err(Refused::Inactive);
            }
            found => found?,
        };
        let userinfo = match self.userinfo().await {
            Err(Refused::Inactive) => {
                self.answers.refuse(key, now);
                return Err(Refused::Inactive);
            }
            found => found?,
        };
        let evidence = Arc::new(Evidence::new(config, claims, userinfo, plain, now));
        // What cannot be read is remembered for no time.
        let until = evidence.end(config).map_or(now, |end| end.min(now.after(config.cache)));
        if now < until {
            self.answers.keep(key, Arc::clone(&evidence), until);
        }
        Ok(evidence)
    }

    async fn claims(&self) -> Result<Claims, Refused> {
        let said = match self.config.validate {
            Validate::Jwt => return self.verified().await,
            Validate::Introspection => {
                let url = self.published.endpoint(Endpoint::Introspection, self.now).await?;
                ask::introspect(&self.config, &self.remote, &url, &self.token, self.now).await?
            }
            Validate::Tokeninfo => {
                let url = tokeninfo_endpoint(&self.config)?;
                ask::tokeninfo(&self.remote, &url, &self.token, self.now).await?
            }
            Validate::Userinfo => {
                let url = self.published.endpoint(Endpoint::Userinfo, self.now).await?;
                ask::userinfo(&self.remote, &url, &self.token, self.now).await?.map(without_times)
            }
        };
        said.map(|claims| (claims, false)).ok_or(Refused::Inactive)
    }

    async fn verified(&self) -> Result<Claims, Refused> {
        let text = self.token.expose_str().ok_or(Refused::Token(JoseError::Malformed))?;
        match self.published.verify(text, &self.config.types, self.now).await {
            Ok(verified) => Ok((verified.claims, verified.plain)),
            Err(Unverified::Token(error)) => Err(Refused::Token(error)),
            Err(Unverified::Issuer(fault)) => Err(Refused::Fault(fault)),
        }
    }

    async fn userinfo(&self) -> Result<Option<Map<String, Value>>, Refused> {
        if !self.config.fetch_userinfo || self.config.validate == Validate::Userinfo {
            return Ok(None);
        }
        let url = self.published.endpoint(Endpoint::Userinfo, self.now).await?;
        match ask::userinfo(&self.remote, &url, &self.token, self.now).await? {
            Some(claims) => Ok(Some(claims)),
            None => Err(Refused::Inactive),
        }
    }
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Userinfo speaks of the person; what it says of times and clients is not about the token.
fn without_times(mut claims: Map<String, Value>) -> Map<String, Value> {
    claims.retain(|name, _| !["exp", "nbf", "iat", "typ", "token_type"].contains(&name.as_str()));
    claims
}

fn tokeninfo_endpoint(config: &Config) -> Result<crate::http::Url, Fault> {
    config.endpoints.tokeninfo.clone().ok_or_else(|| Fault::Operator("tokeninfo_endpoint is not set".into()))
}

/// Under which a token is remembered.
pub(super) fn key_of(token: &Secret) -> TokenHash {
    TokenHash::new(sha256(token.expose()))
}

/// Without what it remembers.
impl std::fmt::Debug for TrustedIssuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TrustedIssuer").field("url", &self.config.url).finish_non_exhaustive()
    }
}
