use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ClientAuthName, TrustedIssuer};
use crate::config::value::{Hidden, Span};

/// The OpenID provider at which people sign in, for the source `oidc`. Register us there with the redirect URI
/// `<issuer.url>/oauth/callback`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Oidc {
    /// Its identifier, exactly as its discovery document says it in `issuer`.
    pub(in crate::config) issuer: String,
    /// Our client identifier there.
    pub(in crate::config) client_id: String,
    /// Our client secret there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) client_secret: Option<Hidden>,
    /// A file that holds the client secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) client_secret_file: Option<PathBuf>,
    /// How we authenticate: `basic`, `post`, `private_key_jwt`, `tls` or `none`. Without it `basic` where there is a
    /// secret, else `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) client_auth: Option<ClientAuthName>,
    /// PEM file of the key for `private_key_jwt` (with `client_certificate`: for `tls`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) client_key: Option<PathBuf>,
    /// The name under which the provider knows that key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) client_key_id: Option<String>,
    /// The algorithm of that key.
    pub(in crate::config) client_key_algorithm: String,
    /// PEM file of our certificate there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) client_certificate: Option<PathBuf>,
    /// How the button calls it. Without it the host of its identifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) label: Option<String>,
    /// What it is asked for; `openid` must be there.
    pub(in crate::config) scopes: Vec<String>,
    /// The claim, of the ID token or of userinfo, that holds the login name. For `email` the provider must say that
    /// it is verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) login_claim: Option<String>,
    /// The login name from claims and fixed text, instead of `login_claim`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) login_template: Option<String>,
    /// Takes the claim `email` although nobody says that it is verified. Anybody who can choose their address at the
    /// provider can then read anybody's mail.
    pub(in crate::config) trust_email: bool,
    /// Whose users it may sign in. Required as soon as there is another source or a trusted issuer.
    pub(in crate::config) domains: Vec<String>,
    /// Signature algorithms of its ID tokens.
    pub(in crate::config) algorithms: Vec<String>,
    /// PEM file of the authorities that are trusted instead of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) ca: Option<PathBuf>,
    /// Time for a request to it.
    pub(in crate::config) timeout: Span,
    /// How far its clock and ours may differ.
    pub(in crate::config) leeway: Span,
}

impl Default for Oidc {
    fn default() -> Self {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let issuer = TrustedIssuer::default();
        Self {
            issuer: String::new(),
            client_id: String::new(),
            client_secret: None,
            client_secret_file: None,
            client_auth: None,
            client_key: None,
            client_key_id: None,
            client_key_algorithm: issuer.client_key_algorithm,
            client_certificate: None,
            label: None,
            scopes: owned(&["openid", "email"]),
            login_claim: None,
            login_template: None,
            trust_email: false,
            domains: Vec::new(),
            algorithms: issuer.algorithms,
            ca: None,
            timeout: issuer.timeout,
            leeway: issuer.leeway,
        }
    }
}

impl Oidc {
    /// The same as the settings of an issuer whose tokens are for our client there.
    pub(in crate::config) fn as_issuer(&self) -> TrustedIssuer {
        TrustedIssuer {
            url: self.issuer.clone(),
            audience: vec![self.client_id.clone()],
            client_id: Some(self.client_id.clone()),
            client_secret: self.client_secret.clone(),
            client_secret_file: self.client_secret_file.clone(),
            client_auth: self.client_auth,
            client_key: self.client_key.clone(),
            client_key_id: self.client_key_id.clone(),
            client_key_algorithm: self.client_key_algorithm.clone(),
            client_certificate: self.client_certificate.clone(),
            login_claim: self.login_claim.clone(),
            login_template: self.login_template.clone(),
            trust_email: self.trust_email,
            domains: self.domains.clone(),
            algorithms: self.algorithms.clone(),
            ca: self.ca.clone(),
            timeout: self.timeout,
            leeway: self.leeway,
            ..TrustedIssuer::default()
        }
    }
}
