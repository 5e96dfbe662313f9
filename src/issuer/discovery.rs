use serde::Serialize;

use super::{Issuer, IssuerError};
use crate::{
    model::{Protocol, Scope},
    token::Jwk,
};

/// The issuer's metadata (RFC 8414 §2); OpenID Connect Discovery reads the same document.
///
/// It names only what is built. Two members are empty lists although RFC 8414 §3.2 leaves empty lists out: the
/// first is required, and without the second a client would presume grants that are not there (§2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServerMetadata {
    /// The issuer identifier.
    pub issuer: String,
    /// Where the public keys are.
    pub jwks_uri: String,
    /// Scope values that a mail client may use.
    pub scopes_supported: Vec<&'static str>,
    /// Response types that the authorization endpoint takes.
    pub response_types_supported: Vec<&'static str>,
    /// Grant types that the token endpoint takes.
    pub grant_types_supported: Vec<&'static str>,
    /// The resources that the tokens are for (RFC 9728 §4).
    pub protected_resources: Vec<String>,
}

/// The metadata of the mail service as a protected resource (RFC 9728 §2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProtectedResource {
    /// The resource identifier: the origin of the issuer.
    pub resource: String,
    /// Whose tokens it takes.
    pub authorization_servers: Vec<String>,
    /// Scope values that it knows.
    pub scopes_supported: Vec<&'static str>,
}

/// The public keys of the issuer (RFC 7517 §5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JwkSet {
    /// The keys.
    pub keys: Vec<Jwk>,
}

impl Issuer {
    const JWKS_PATH: &'static str = "/oauth/jwks";

    /// The path in `jwks_uri`.
    pub fn jwks_path(&self) -> String {
        let url = &*self.config.url;
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let path = rest.split_once('/').map_or("", |(_, path)| path).trim_end_matches('/');
        let slash = if path.is_empty() { "" } else { "/" };
        format!("{slash}{path}{}", Self::JWKS_PATH)
    }

    /// The issuer's metadata.
    pub fn metadata(&self) -> ServerMetadata {
        ServerMetadata {
            issuer: self.config.url.to_string(),
            jwks_uri: format!("{}{}", self.config.url.trim_end_matches('/'), Self::JWKS_PATH),
            scopes_supported: mail_scopes(),
            response_types_supported: Vec::new(),
            grant_types_supported: Vec::new(),
            protected_resources: vec![self.resource()],
        }
    }

    /// The URL of the metadata document that an error challenge points to (RFC 7628 §3.2.2).
    pub fn openid_configuration(&self) -> String {
        format!("{}/.well-known/openid-configuration", self.config.url.trim_end_matches('/'))
    }

    /// The metadata of the mail service.
    pub fn protected_resource(&self) -> ProtectedResource {
        ProtectedResource {
            resource: self.resource(),
            authorization_servers: vec![self.config.url.to_string()],
            scopes_supported: mail_scopes(),
        }
    }

    /// The public keys.
    ///
    /// # Errors
    /// [`IssuerError::Crypto`] never happens for keys that were read from the store.
    pub fn jwks(&self) -> Result<JwkSet, IssuerError> {
        Ok(JwkSet { keys: self.keys.iter().map(|key| key.jwk().clone()).collect() })
    }

    /// The document stands at the root of the host, so the identifier has no path (RFC 9728 §3.1).
    fn resource(&self) -> String {
        let url = &*self.config.url;
        let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
        let host = rest.split_once('/').map_or(rest, |(host, _)| host);
        format!("{scheme}://{host}")
    }
}

/// The scope values of the mail protocols that Bearward speaks.
fn mail_scopes() -> Vec<&'static str> {
    let spoken = [Protocol::Imap, Protocol::Pop3, Protocol::Smtp];
    std::iter::once(Scope::MAIL).chain(spoken.map(Protocol::as_str)).collect()
}
