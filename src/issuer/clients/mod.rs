//! OAuth clients: who they are, where they may be sent back to, how they prove themselves.
//!
//! What holds:
//! - Nobody chooses an identifier: it is random, or it is the registration itself under a MAC of this server.
//! - A redirect URI is compared octet by octet; only the port of a loopback address is free (RFC 8252 §7.3).
//! - No URL that a client registers is ever fetched.
//! - What nobody pays for does not grow: public clients cost no row, and rows that nobody used go again.
//!
//! It must not decide what a person allowed.

mod assertion;
mod authenticate;
mod certificate;
mod manage;
mod metadata;
mod operator;
mod record;
mod redirect;
mod register;
mod registered;
mod rules;
mod stateless;
mod subject;

use std::sync::Arc;

use serde::{Deserialize, Serialize, de::IntoDeserializer};
use serde_json::Value;

pub use operator::{AddedClient, KnownClient};
pub use redirect::{InvalidRedirectUri, RedirectUri};
pub use register::InitialAccess;
pub use registered::{Registered, RegistrationError};

use super::Issuer;
use crate::{
    model::{ClientId, Scope, TokenHash},
    store::StoreError,
};

/// A client, wherever its metadata is kept.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its identifier.
    pub id: ClientId,
    /// Who vouches for it.
    pub standing: Standing,
    /// What it registered.
    pub metadata: ClientMetadata,
    /// Look-up hash of its secret.
    pub(super) secret: Option<TokenHash>,
}

/// Who vouches for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It is built in: `open`.
    BuiltIn,
    /// Nobody: it registered itself.
    SelfRegistered,
    /// Whoever the operator gave an initial access token.
    Invited,
    /// The operator.
    Operator,
}

/// A client's metadata (RFC 7591 §2), as registered, stored and shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientMetadata {
    /// Where it may be sent back to.
    #[serde(default)]
    pub redirect_uris: Vec<String>,
    /// How it authenticates.
    #[serde(default)]
    pub token_endpoint_auth_method: AuthMethod,
    /// What it may use.
    #[serde(default)]
    pub grant_types: Vec<GrantType>,
    /// `code`, or none.
    #[serde(default)]
    pub response_types: Vec<String>,
    /// Its name, by its own account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_name: Option<String>,
    /// Its home page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_uri: Option<String>,
    /// Its picture; shown nowhere and fetched never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logo_uri: Option<String>,
    /// Its terms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tos_uri: Option<String>,
    /// Its policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_uri: Option<String>,
    /// People to write to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contacts: Vec<String>,
    /// What it may ask for; `None` is everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// Its public keys, for `private_key_jwt` and `self_signed_tls_client_auth`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<Value>,
    /// Names the software.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub software_id: Option<String>,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub software_version: Option<String>,
    /// `native` or `web`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application_type: Option<String>,
    /// Algorithm of its ID tokens; `None` is RS256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_token_signed_response_alg: Option<String>,
    /// Form of its access tokens.
    #[serde(default)]
    pub access_token_format: AccessTokenFormat,
    /// Mailboxes that it may open by client credentials: login names, or `*@domain`. Only the operator gives these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mailboxes: Vec<String>,
    /// Whether it may introspect every token, as a resource server. Only the operator gives this.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_introspect: bool,
    /// Subject of its certificate (RFC 8705 §2.1.2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_client_auth_subject_dn: Option<String>,
    /// Whether its access tokens are bound to its certificate (RFC 8705 §3.4).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tls_client_certificate_bound_access_tokens: bool,
    /// Whether it must push its authorization requests (RFC 9126 §6).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub require_pushed_authorization_requests: bool,
    /// Where people may be sent after signing out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub post_logout_redirect_uris: Vec<String>,
    /// Where it is told of a sign-out. Only the operator gives this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backchannel_logout_uri: Option<String>,
}

impl Client {
    /// The client that is built in, for programs that cannot register: public, on the person's own machine, or
    /// without a browser.
    fn open() -> Self {
        let redirects = ["http://127.0.0.1", "http://[::1]", "http://localhost", "https://localhost"];
        Self {
            id: ClientId::open(),
            standing: Standing::BuiltIn,
            metadata: ClientMetadata {
                redirect_uris: redirects.map(str::to_owned).to_vec(),
                grant_types: vec![
                    GrantType::AuthorizationCode,
                    GrantType::RefreshToken,
                    GrantType::DeviceCode,
                ],
                response_types: vec!["code".to_owned()],
                application_type: Some("native".to_owned()),
                ..ClientMetadata::default()
            },
            secret: None,
        }
    }

    /// Whether it may use a grant.
    pub fn may_use(&self, grant: GrantType) -> bool {
        self.metadata.grant_types.contains(&grant)
    }

    /// Whether it cannot prove who it is (RFC 6749 §2.1).
    pub fn is_public(&self) -> bool {
        self.metadata.token_endpoint_auth_method == AuthMethod::None
    }
}

impl Issuer {
    /// A client, unless it is denied or unknown.
    ///
    /// Nothing is cached: it is one look-up by primary key, and so a denial or a change counts at once, on every
    /// node.
    ///
    /// # Errors
    /// What the store says.
    pub async fn client(&self, id: &ClientId) -> Result<Option<Arc<Client>>, StoreError> {
        let state = self.store.client(id).await?;
        if state.denied {
            return Ok(None);
        }
        let client = match &state.record {
            Some(record) => Some(Client::from_record(record)?),
            None => self.without_row(id)?,
        };
        Ok(client.map(Arc::new))
    }
}

/// How a client authenticates at the token endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// It does not: a public client.
    #[default]
    None,
    /// RFC 6749 §2.3.1, in the header.
    ClientSecretBasic,
    /// RFC 6749 §2.3.1, in the body.
    ClientSecretPost,
    /// RFC 7523 §2.2.
    PrivateKeyJwt,
    /// RFC 8705 §2.1.
    TlsClientAuth,
    /// RFC 8705 §2.2.
    SelfSignedTlsClientAuth,
}

/// What a client may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GrantType {
    /// RFC 6749 §4.1.
    #[serde(rename = "authorization_code")]
    AuthorizationCode,
    /// RFC 6749 §6.
    #[serde(rename = "refresh_token")]
    RefreshToken,
    /// RFC 6749 §4.4.
    #[serde(rename = "client_credentials")]
    ClientCredentials,
    /// RFC 8628 §3.4.
    #[serde(rename = "urn:ietf:params:oauth:grant-type:device_code")]
    DeviceCode,
}

impl GrantType {
    /// The grant type of that registered name, as `grant_type` has it.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::deserialize(name.into_deserializer()).map_err(|_: serde::de::value::Error| ()).ok()
    }
}

/// Form of access tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessTokenFormat {
    /// Short, and looked up.
    #[default]
    Opaque,
    /// RFC 9068.
    Jwt,
}
