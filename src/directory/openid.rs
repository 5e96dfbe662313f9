//! An OpenID provider that is asked over the network.

use std::sync::Arc;

use async_trait::async_trait;

use super::outside::{Front, Identity, OutsideError, Provider, Redemption};
use crate::{
    http::HttpError,
    model::UnixTime,
    validator::trusted::{self, CodeExchange, ProviderError, SignedIn},
};

/// Settings of sign-in at an OpenID provider.
#[derive(Clone, Debug)]
pub struct OpenIdConfig {
    /// The provider, and who we are there.
    pub provider: trusted::Config,
    /// What it is asked for; `openid` among it.
    pub scopes: Vec<String>,
    /// How people know it.
    pub label: String,
}

/// The provider of an [`OpenIdConfig`].
#[derive(Debug)]
pub struct OpenIdProvider(trusted::Provider);

impl OpenIdProvider {
    /// Asks nobody anything yet.
    ///
    /// # Errors
    /// [`HttpError::File`] when a file of the settings cannot be used.
    pub fn new(config: trusted::Config) -> Result<Self, HttpError> {
        trusted::Provider::new(config).map(Self)
    }

    /// Whether people can be sent there and back now; what was found.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub async fn probe(&self, now: UnixTime) -> Result<String, String> {
        self.0.probe(now).await
    }
}

#[async_trait]
impl Provider for OpenIdProvider {
    fn issuer(&self) -> &Arc<str> {
        &self.0.config().url
    }

    async fn front(&self, now: UnixTime) -> Result<Front, OutsideError> {
        let (authorization, names_itself) = self.0.front(now).await?;
        Ok(Front { authorization, names_itself })
    }

    async fn redeem(&self, code: &Redemption<'_>, now: UnixTime) -> Result<Identity, OutsideError> {
        let exchange = CodeExchange {
            code: &code.code,
            redirect_uri: code.redirect_uri,
            code_verifier: &code.code_verifier,
            nonce: code.nonce,
        };
        let SignedIn { login, auth_time } = self.0.redeem(&exchange, now).await?;
        Ok(Identity { login, auth_time })
    }
}

impl From<ProviderError> for OutsideError {
    fn from(error: ProviderError) -> Self {
        match error {
            ProviderError::Nobody(text) => Self::Nobody(text),
            ProviderError::Operator(text) => Self::Operator(text),
            ProviderError::Refused(text) => Self::Refused(text),
            ProviderError::Unreachable(text) => Self::Unavailable(text),
        }
    }
}
