use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::value::{Hidden, Span};

/// An issuer elsewhere whose tokens are taken too.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct TrustedIssuer {
    /// Its identifier, exactly as its discovery document says it in `issuer`.
    pub(in crate::config) url: String,
    /// Fills in what is special at a large provider, where it is not set here: `google`, `microsoft`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) preset: Option<Preset>,
    /// Audiences that a token may name; one must be there.
    pub(in crate::config) audience: Vec<String>,
    /// How a token is validated: `jwt` by the issuer's published keys, `introspection` (RFC 7662), `userinfo`, or
    /// `tokeninfo` in Google's form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) validate: Option<Validate>,
    /// The claim that holds the login name. For `email` the token must say that it is verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) login_claim: Option<String>,
    /// The login name from claims and fixed text, instead of `login_claim`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) login_template: Option<String>,
    /// A look-up that turns what the claim or the template says into the login name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) login_lookup: Option<String>,
    /// Takes the claim `email` although nobody says that it is verified. Anybody who can choose their address at the
    /// issuer can then read anybody's mail.
    pub(in crate::config) trust_email: bool,
    /// Whose users it may speak for. Required as soon as there are two issuers, the built-in one included.
    pub(in crate::config) domains: Vec<String>,
    /// Takes tokens that do not say whom they are for. Every other service that gets such a token can then read its
    /// user's mail. Needed for `userinfo`, and for introspection without `aud`.
    pub(in crate::config) allow_any_client: bool,
    /// Clients whose tokens are taken; every one when empty.
    pub(in crate::config) clients: Vec<String>,
    /// Claims that must be there with this value.
    pub(in crate::config) required_claims: BTreeMap<String, String>,
    /// Our client identifier there, for introspection and for logout tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) client_id: Option<String>,
    /// Our client secret there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) client_secret: Option<Hidden>,
    /// A file that holds the client secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) client_secret_file: Option<PathBuf>,
    /// How we authenticate: `basic`, `post`, `bearer`, `private_key_jwt`, `tls` or `none`. Without it `basic` where
    /// there is a secret, else `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) client_auth: Option<ClientAuthName>,
    /// PEM file of the key for `private_key_jwt` (with `client_certificate`: for `tls`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) client_key: Option<PathBuf>,
    /// The name under which the issuer knows that key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) client_key_id: Option<String>,
    /// The algorithm of that key.
    pub(in crate::config) client_key_algorithm: String,
    /// PEM file of our certificate there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) client_certificate: Option<PathBuf>,
    /// Its names of the scopes for `imap`, `smtp`, `pop3`, `sieve`, or `mail` for all of them; `*` asks for none.
    /// Without it our own names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) scopes: Option<BTreeMap<String, String>>,
    /// Claims that hold scopes, as text or list.
    pub(in crate::config) scope_claims: Vec<String>,
    /// Signature algorithms.
    pub(in crate::config) algorithms: Vec<String>,
    /// Header types of its access tokens. `JWT`, which also stands for none, is what many issuers say; a token that
    /// looks like an ID token is refused then.
    pub(in crate::config) types: Vec<String>,
    /// Other names that its tokens carry in `iss`.
    pub(in crate::config) also: Vec<String>,
    /// A claim with further addresses of the user, which they may send from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) addresses_claim: Option<String>,
    /// The claim with the user's groups; a dot leads into an object.
    pub(in crate::config) groups_claim: String,
    /// A group that users must be in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) require_group: Option<String>,
    /// A claim with mailboxes of others that the user may open; `*@example.net` stands for a whole domain. They must
    /// be in `domains`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) mailboxes_claim: Option<String>,
    /// The name of the group whose members may open a mailbox, with `{mailbox}` in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) mailbox_group: Option<String>,
    /// Asks userinfo for what the token does not say, such as the address.
    pub(in crate::config) fetch_userinfo: bool,
    /// Takes its tokens only from clients that asked for one of these names in the TLS handshake.
    pub(in crate::config) sni: Vec<String>,
    /// Takes its tokens only at these listeners, as their `bind` says.
    pub(in crate::config) listener: Vec<String>,
    /// Its discovery document, where it is not at the usual places.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) discovery: Option<String>,
    /// Its keys, where its discovery document does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) jwks_uri: Option<String>,
    /// The same for introspection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) introspection_endpoint: Option<String>,
    /// The same for userinfo.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) userinfo_endpoint: Option<String>,
    /// Where Google's form of introspection is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) tokeninfo_endpoint: Option<String>,
    /// PEM file of the authorities that are trusted instead of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) ca: Option<PathBuf>,
    /// Time for a request to it.
    pub(in crate::config) timeout: Span,
    /// Requests to it at a time.
    pub(in crate::config) concurrency: usize,
    /// How far its clock and ours may differ.
    pub(in crate::config) leeway: Span,
    /// How long its keys serve while it cannot be reached.
    pub(in crate::config) stale_keys: Span,
    /// How long an answer about a token is remembered, at most until the token ends. So late may a revocation there
    /// be noticed at a sign-in.
    pub(in crate::config) cache: Span,
    /// How long a token is taken of which nobody says when it ends.
    pub(in crate::config) lifetime: Span,
    /// How often the tokens of live sessions are looked at again. Without it only when they expire.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) recheck: Option<Span>,
}

impl Default for TrustedIssuer {
    fn default() -> Self {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Self {
            url: String::new(),
            preset: None,
            audience: Vec::new(),
            validate: None,
            login_claim: None,
            login_template: None,
            login_lookup: None,
            trust_email: false,
            domains: Vec::new(),
            allow_any_client: false,
            clients: Vec::new(),
            required_claims: BTreeMap::new(),
            client_id: None,
            client_secret: None,
            client_secret_file: None,
            client_auth: None,
            client_key: None,
            client_key_id: None,
            client_key_algorithm: "ES256".to_owned(),
            client_certificate: None,
            scopes: None,
            scope_claims: owned(&["scope", "scp"]),
            algorithms: owned(&["RS256", "ES256", "EdDSA"]),
            types: owned(&["at+jwt", "JWT"]),
            also: Vec::new(),
            addresses_claim: None,
            groups_claim: "groups".to_owned(),
            require_group: None,
            mailboxes_claim: None,
            mailbox_group: None,
            fetch_userinfo: false,
            sni: Vec::new(),
            listener: Vec::new(),
            discovery: None,
            jwks_uri: None,
            introspection_endpoint: None,
            userinfo_endpoint: None,
            tokeninfo_endpoint: None,
            ca: None,
            timeout: Span::seconds(5),
            concurrency: 32,
            leeway: Span::seconds(60),
            stale_keys: Span::hours(1),
            cache: Span::minutes(1),
            lifetime: Span::hours(1),
            recheck: None,
        }
    }
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
