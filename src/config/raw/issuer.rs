use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Oidc;
use crate::config::value::{Limit, Span};

/// The built-in OAuth issuer.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Issuer {
    /// Whether there is a built-in issuer.
    pub(in crate::config) enabled: bool,
    /// Its identifier, an https URL. Without it `https://` and `hostname`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) url: Option<String>,
    /// How long an access token works.
    pub(in crate::config) access_token_lifetime: Span,
    /// How long a refresh token works without being used; a use renews it.
    pub(in crate::config) refresh_token_lifetime: Span,
    /// Confidential clients get a new refresh token when less than this is left; public clients on every use.
    pub(in crate::config) refresh_token_renew: Span,
    /// A refresh token used again within this gets the same answer; later it revokes the grant.
    pub(in crate::config) refresh_grace: Span,
    /// `never`, or an absolute limit such as `365d`. An access token outlives no grant.
    pub(in crate::config) grant_lifetime: Limit,
    /// How long an authorization code works.
    pub(in crate::config) authorization_code_lifetime: Span,
    /// How long a device code works.
    pub(in crate::config) device_code_lifetime: Span,
    /// How long an ID token is valid.
    pub(in crate::config) id_token_lifetime: Span,
    /// Wrong passwords per authorization request; then the request is dead.
    pub(in crate::config) max_sign_in_attempts: u32,
    /// Who may register clients: `open` everybody, `token` who holds an initial access token, `closed` nobody.
    pub(in crate::config) registration: Registration,
    /// How long a key signs ID tokens and JWT access tokens before the next one takes over.
    pub(in crate::config) key_rotation: Span,
}

impl Default for Issuer {
    fn default() -> Self {
        Self {
            enabled: true,
            url: None,
            access_token_lifetime: Span::hours(1),
            refresh_token_lifetime: Span::days(90),
            refresh_token_renew: Span::days(4),
            refresh_grace: Span::seconds(30),
            grant_lifetime: Limit::Never,
            authorization_code_lifetime: Span::minutes(1),
            device_code_lifetime: Span::minutes(10),
            id_token_lifetime: Span::minutes(15),
            max_sign_in_attempts: 5,
            registration: Registration::Open,
            key_rotation: Span::days(90),
        }
    }
}

/// Who may register clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Registration {
    Open,
    Token,
    Closed,
}

/// Who may sign in.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Directory {
    /// Where people are looked up, in order: `backend` lets the mail server check the password, `store` is the
    /// built-in directory of `bearward user`, which cannot stand beside a backend with `login = "sealed"`; `oidc` puts
    /// a button on the sign-in page that leads to the provider of `directory.oidc`.
    pub(in crate::config) source: Vec<DirectorySource>,
    /// The provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) oidc: Option<Oidc>,
}

impl Default for Directory {
    fn default() -> Self {
        Self { source: vec![DirectorySource::Backend], oidc: None }
    }
}

/// Where people are looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(in crate::config) enum DirectorySource {
    Backend,
    Store,
    Ldap,
    Sql,
    Oidc,
    DovecotAuth,
    Saslauthd,
}
