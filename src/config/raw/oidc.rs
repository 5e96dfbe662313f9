use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    ClientAuthName, TrustedIssuer,
    issuer_section::{issuer_section, owned},
};
use crate::config::value::{Hidden, Span};

issuer_section! {
    /// The OpenID provider at which people sign in, for the source `oidc`. Register us there with the redirect URI
    /// `<issuer.url>/oauth/callback`.
    struct Oidc {
        /// Its identifier, exactly as its discovery document says it in `issuer`.
        issuer: String = String::new(),
        /// Our client identifier there.
        client_id: String = String::new(),
        /// How the button calls it. Without it the host of its identifier.
        #[serde(skip_serializing_if = "Option::is_none")]
        label: Option<String> = None,
        /// What it is asked for; `openid` must be there.
        scopes: Vec<String> = owned(&["openid", "email"]),
    }
    /// How we authenticate: `basic`, `post`, `private_key_jwt`, `tls` or `none`. Without it `basic` where there is a
    /// secret, else `none`.
    client_auth;
    /// The name under which the provider knows that key.
    client_key_id;
    /// The claim, of the ID token or of userinfo, that holds the login name. For `email` the provider must say that
    /// it is verified.
    login_claim;
    /// Takes the claim `email` although nobody says that it is verified. Anybody who can choose their address at the
    /// provider can then read anybody's mail.
    trust_email;
    /// Whose users it may sign in. Required as soon as there is another source or a trusted issuer.
    domains;
    /// Signature algorithms of its ID tokens.
    algorithms;
    shared as fn shared;
}

impl Oidc {
    /// The same as the settings of an issuer whose tokens are for our client there.
    pub(in crate::config) fn as_issuer(&self) -> TrustedIssuer {
        TrustedIssuer {
            url: self.issuer.clone(),
            audience: vec![self.client_id.clone()],
            client_id: Some(self.client_id.clone()),
            ..self.shared()
        }
    }
}
