//! An OpenID provider as it is for somebody who signs people in there: where they go, and who comes back.

use std::sync::Arc;

use serde_json::{Map, Value};
use thiserror::Error;

use super::{
    Config, Fault, Unverified,
    ask::{self, Form},
    claims::Evidence,
    id_token,
    metadata::{Endpoint, Published},
    person,
    remote::Remote,
};
use crate::{
    http::{HttpError, Url},
    model::{Login, Secret, UnixTime},
    token::JoseError,
};

/// The longest token that is taken from an answer, in octets.
const LONGEST_TOKEN: usize = 64 * 1024;

/// An OpenID provider at which people sign in.
pub struct Provider {
    config: Arc<Config>,
    remote: Remote,
    published: Published,
}

/// A code to be exchanged.
#[derive(Debug)]
pub struct CodeExchange<'a> {
    /// The code.
    pub code: &'a Secret,
    /// The redirect URI that it came to.
    pub redirect_uri: &'a str,
    /// The proof key (RFC 7636 §4.5).
    pub code_verifier: &'a Secret,
    /// What the ID token must repeat.
    pub nonce: &'a str,
}

/// Who signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedIn {
    /// The login name, of a domain that the provider speaks for.
    pub login: Login,
    /// When they proved who they are, where the provider says so.
    pub auth_time: Option<UnixTime>,
}

/// Why nobody did.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProviderError {
    /// The provider vouches for nobody that it may vouch for here.
    #[error("{0}")]
    Nobody(String),
    /// The operator must act.
    #[error("{0}")]
    Operator(String),
    /// The code or the tokens are no good.
    #[error("{0}")]
    Refused(String),
    /// The provider cannot be asked.
    #[error("{0}")]
    Unreachable(String),
}

impl From<Fault> for ProviderError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Operator(text) => Self::Operator(text),
            Fault::Unreachable(text) => Self::Unreachable(text),
            undecided @ Fault::Undecided => Self::Unreachable(undecided.to_string()),
        }
    }
}

impl From<JoseError> for ProviderError {
    fn from(error: JoseError) -> Self {
        Self::Refused(format!("its ID token is no good: {error}"))
    }
}

impl Provider {
    /// Asks nobody anything yet. `config` must name a client.
    ///
    /// # Errors
    /// [`HttpError::File`] when a file of the settings cannot be used.
    pub fn new(config: Config) -> Result<Self, HttpError> {
        let config = Arc::new(config);
        let remote = Remote::new(&config.http, config.concurrency)?;
        let published = Published::new(Arc::clone(&config), remote.clone());
        Ok(Self { config, remote, published })
    }

    /// Its settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Where people are sent, and whether its answers say who gives them (RFC 9207 §3).
    ///
    /// # Errors
    /// [`ProviderError::Unreachable`], [`ProviderError::Operator`].
    pub async fn front(&self, now: UnixTime) -> Result<(Url, bool), ProviderError> {
        let url = self.published.endpoint(Endpoint::Authorization, now).await?;
        Ok((url, self.published.names_itself(now).await?))
    }

    /// Whether people can be sent there and back now; what was found.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub async fn probe(&self, now: UnixTime) -> Result<String, String> {
        let (url, _) = self.front(now).await.map_err(|error| error.to_string())?;
        self.published.endpoint(Endpoint::Token, now).await.map_err(|fault| fault.to_string())?;
        let keys = self.published.count_keys(now).await.map_err(|fault| fault.to_string())?;
        Ok(format!("people sign in at {}; {keys} keys published", super::remote::shown(&url)))
    }

    /// Exchanges a code, and believes what comes back only as far as it is the provider's own word, for us and for this
    /// sign-in.
    ///
    /// # Errors
    /// [`ProviderError`].
    pub async fn redeem(
        &self,
        exchange: &CodeExchange<'_>,
        now: UnixTime,
    ) -> Result<SignedIn, ProviderError> {
        let (id_token, access_token) = self.tokens(exchange, now).await?;
        let types = ["JWT".to_owned()];
        let text = id_token.expose_str().unwrap_or_default();
        let verified = match self.published.verify(text, &types, now).await {
            Ok(verified) => verified,
            Err(Unverified::Issuer(fault)) => return Err(fault.into()),
            Err(Unverified::Token(error)) => return Err(error.into()),
        };
        let client = self.config.client.as_ref().map_or("", |client| client.id.as_str());
        id_token::check(&self.config, client, &verified.claims, exchange.nonce, now)?;
        id_token::check_access_token(text, &verified.claims, &access_token)?;
        let auth_time = crate::token::time(&verified.claims, "auth_time")?;
        let userinfo = self.userinfo(&verified.claims, &access_token, now).await?;
        let evidence = Evidence::new(&self.config, verified.claims, userinfo, true, now);
        let named = person::named(&self.config, &evidence).map_err(ProviderError::Nobody)?;
        let login = person::login(&self.config, &named).map_err(ProviderError::Nobody)?;
        Ok(SignedIn { login, auth_time })
    }

    /// OpenID Connect Core §3.1.3.1.
    async fn tokens(
        &self,
        exchange: &CodeExchange<'_>,
        now: UnixTime,
    ) -> Result<(Secret, Secret), ProviderError> {
        let url = self.published.endpoint(Endpoint::Token, now).await?;
        let mut form = Form::default();
        form.add("grant_type", "authorization_code");
        form.add("code", exchange.code.expose_str().unwrap_or_default());
        form.add("redirect_uri", exchange.redirect_uri);
        form.add("code_verifier", exchange.code_verifier.expose_str().unwrap_or_default());
        let answer = ask::tokens(&self.config, &self.remote, &url, form, now).await?;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if error == "invalid_grant" => {
                return Err(ProviderError::Refused("its code is no good".to_owned()));
            }
            Err(error) => {
                return Err(ProviderError::Operator(format!("its token endpoint answers {error:?}")));
            }
        };
        let is_bearer = answer
            .get("token_type")
            .and_then(Value::as_str)
            .is_some_and(|kind| kind.eq_ignore_ascii_case("Bearer"));
        let token = |name: &str| {
            let text = answer.get(name).and_then(Value::as_str);
            text.filter(|text| !text.is_empty() && text.len() <= LONGEST_TOKEN)
                .map(|text| Secret::copy_of(text.as_bytes()))
        };
        match (token("id_token"), token("access_token")) {
            (Some(id_token), Some(access_token)) if is_bearer => Ok((id_token, access_token)),
            (_, _) => Err(ProviderError::Operator(
                "its token endpoint gives no ID token and bearer token".to_owned(),
            )),
        }
    }

    /// What the ID token does not say of the person's name, userinfo may (OpenID Connect Core §5.4). It must speak of
    /// the same person; that is checked here, since nobody else looks at it.
    async fn userinfo(
        &self,
        claims: &Map<String, Value>,
        access_token: &Secret,
        now: UnixTime,
    ) -> Result<Option<Map<String, Value>>, ProviderError> {
        let mut names = self.config.mapping.login.names();
        if names.all(|name| super::claims::at(claims, name).is_some()) {
            return Ok(None);
        }
        let Ok(url) = self.published.endpoint(Endpoint::Userinfo, now).await else { return Ok(None) };
        let said = ask::userinfo(&self.remote, &url, access_token, now).await?;
        let said = said.ok_or_else(|| {
            ProviderError::Refused("its userinfo endpoint does not take its own access token".to_owned())
        })?;
        // §5.3.2: else a token could borrow another person's data.
        if said.get("sub").and_then(Value::as_str) != claims.get("sub").and_then(Value::as_str) {
            return Err(ProviderError::Refused("its userinfo speaks of another person".to_owned()));
        }
        Ok(Some(said))
    }
}

/// Without what it remembers.
impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provider").field("url", &self.config.url).finish_non_exhaustive()
    }
}
