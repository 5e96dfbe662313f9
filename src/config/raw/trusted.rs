use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::issuer_section::{issuer_section, owned};
use crate::config::value::{Hidden, Span};

issuer_section! {
    /// An issuer elsewhere whose tokens are taken too.
    struct TrustedIssuer {
        /// Its identifier, exactly as its discovery document says it in `issuer`.
        url: String = String::new(),
        /// Fills in what is special at a large provider, where it is not set here: `google`, `microsoft`.
        #[serde(skip_serializing_if = "Option::is_none")]
        preset: Option<Preset> = None,
        /// Audiences that a token may name; one must be there.
        audience: Vec<String> = Vec::new(),
        /// How a token is validated: `jwt` by the issuer's published keys, `introspection` (RFC 7662), `userinfo`, or
        /// `tokeninfo` in Google's form.
        #[serde(skip_serializing_if = "Option::is_none")]
        validate: Option<Validate> = None,
        /// A look-up that turns what the claim or the template says into the login name.
        #[serde(skip_serializing_if = "Option::is_none")]
        login_lookup: Option<String> = None,
        /// Takes tokens that do not say whom they are for. Every other service that gets such a token can then read its
        /// user's mail. Needed for `userinfo`, and for introspection without `aud`.
        allow_any_client: bool = false,
        /// Clients whose tokens are taken; every one when empty.
        clients: Vec<String> = Vec::new(),
        /// Claims that must be there with this value.
        required_claims: BTreeMap<String, String> = BTreeMap::new(),
        /// Our client identifier there, for introspection and for logout tokens.
        #[serde(skip_serializing_if = "Option::is_none")]
        client_id: Option<String> = None,
        /// Its names of the scopes for `imap`, `smtp`, `pop3`, `sieve`, or `mail` for all of them; `*` asks for none.
        /// Without it our own names.
        #[serde(skip_serializing_if = "Option::is_none")]
        scopes: Option<BTreeMap<String, String>> = None,
        /// Claims that hold scopes, as text or list.
        scope_claims: Vec<String> = owned(&["scope", "scp"]),
        /// Header types of its access tokens. `JWT`, which also stands for none, is what many issuers say; a token that
        /// looks like an ID token is refused then.
        types: Vec<String> = owned(&["at+jwt", "JWT"]),
        /// Other names that its tokens carry in `iss`.
        also: Vec<String> = Vec::new(),
        /// A claim with further addresses of the user, which they may send from.
        #[serde(skip_serializing_if = "Option::is_none")]
        addresses_claim: Option<String> = None,
        /// The claim with the user's groups; a dot leads into an object.
        groups_claim: String = "groups".to_owned(),
        /// A group that users must be in.
        #[serde(skip_serializing_if = "Option::is_none")]
        require_group: Option<String> = None,
        /// A claim with mailboxes of others that the user may open; `*@example.net` stands for a whole domain. They must
        /// be in `domains`.
        #[serde(skip_serializing_if = "Option::is_none")]
        mailboxes_claim: Option<String> = None,
        /// The name of the group whose members may open a mailbox, with `{mailbox}` in it.
        #[serde(skip_serializing_if = "Option::is_none")]
        mailbox_group: Option<String> = None,
        /// Asks userinfo for what the token does not say, such as the address.
        fetch_userinfo: bool = false,
        /// Takes its tokens only from clients that asked for one of these names in the TLS handshake.
        sni: Vec<String> = Vec::new(),
        /// Takes its tokens only at these listeners, as their `bind` says.
        listener: Vec<String> = Vec::new(),
        /// Its discovery document, where it is not at the usual places.
        #[serde(skip_serializing_if = "Option::is_none")]
        discovery: Option<String> = None,
        /// Its keys, where its discovery document does not say.
        #[serde(skip_serializing_if = "Option::is_none")]
        jwks_uri: Option<String> = None,
        /// The same for introspection.
        #[serde(skip_serializing_if = "Option::is_none")]
        introspection_endpoint: Option<String> = None,
        /// The same for userinfo.
        #[serde(skip_serializing_if = "Option::is_none")]
        userinfo_endpoint: Option<String> = None,
        /// Where Google's form of introspection is.
        #[serde(skip_serializing_if = "Option::is_none")]
        tokeninfo_endpoint: Option<String> = None,
        /// Requests to it at a time.
        concurrency: usize = 32,
        /// How long its keys serve while it cannot be reached.
        stale_keys: Span = Span::hours(1),
        /// How long an answer about a token is remembered, at most until the token ends. So late may a revocation there
        /// be noticed at a sign-in.
        cache: Span = Span::minutes(1),
        /// How long a token is taken of which nobody says when it ends.
        lifetime: Span = Span::hours(1),
        /// How often the tokens of live sessions are looked at again. Without it only when they expire.
        #[serde(skip_serializing_if = "Option::is_none")]
        recheck: Option<Span> = None,
    }
    /// How we authenticate: `basic`, `post`, `bearer`, `private_key_jwt`, `tls` or `none`. Without it `basic` where
    /// there is a secret, else `none`.
    client_auth;
    /// The name under which the issuer knows that key.
    client_key_id;
    /// The claim that holds the login name. For `email` the token must say that it is verified.
    login_claim;
    /// Takes the claim `email` although nobody says that it is verified. Anybody who can choose their address at the
    /// issuer can then read anybody's mail.
    trust_email;
    /// Whose users it may speak for. Required as soon as there are two issuers, the built-in one included.
    domains;
    /// Signature algorithms.
    algorithms;
}

/// A large provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Preset {
    Google,
    Microsoft,
}

/// How a token of another issuer is validated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Validate {
    Jwt,
    Introspection,
    Tokeninfo,
    Userinfo,
}

/// How we authenticate to another issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum ClientAuthName {
    Basic,
    Post,
    Bearer,
    PrivateKeyJwt,
    Tls,
    None,
}

/// Mailboxes of others that users may open.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct SharedMailboxes {
    /// The look-up whose `mailboxes` a user may open beside their own, with tokens of any issuer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) lookup: Option<String>,
}
