use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use super::template::Template;
use crate::{
    http::{self, Url},
    model::{Protocol, Scope, Secret},
    token::{ClientKey, OutsideAlgorithm},
};

/// Settings of a [`super::TrustedIssuer`].
#[derive(Clone, Debug)]
pub struct Config {
    /// Its identifier, exactly as its documents say it.
    pub url: Arc<str>,
    /// Other names that its tokens carry as `iss`.
    pub also: Vec<String>,
    /// How a token is validated.
    pub validate: Validate,
    /// Whether its userinfo endpoint is asked for what a token does not say.
    pub fetch_userinfo: bool,
    /// Whom a token may be for; empty only beside `allow_any_client`.
    pub audience: Vec<String>,
    /// Takes tokens that say nothing of whom they are for.
    pub allow_any_client: bool,
    /// Clients whose tokens are taken; every one when empty.
    pub clients: Vec<String>,
    /// Domains that it speaks for, in lower case; every one when empty.
    pub domains: Vec<String>,
    /// What it signs with.
    pub algorithms: Vec<OutsideAlgorithm>,
    /// Header types of its access tokens; `JWT` stands for none, too.
    pub types: Vec<String>,
    /// Claims that must be there with this value.
    pub required_claims: BTreeMap<String, String>,
    /// Claims that hold scopes.
    pub scope_claims: Vec<String>,
    /// Its names of what a protocol needs.
    pub scopes: ScopeNames,
    /// Who a token speaks for.
    pub mapping: Mapping,
    /// The name of the look-up that turns what the mapping says into the login name.
    pub login_lookup: Option<Arc<str>>,
    /// Addresses that its documents do not name, or name wrongly.
    pub endpoints: Endpoints,
    /// Who we are there.
    pub client: Option<Client>,
    /// How it is reached.
    pub http: http::Config,
    /// How far its clock and ours may differ.
    pub leeway: Duration,
    /// How long its keys serve while it cannot be asked.
    pub stale_keys: Duration,
    /// How long an answer about a token is remembered, at most until the token ends.
    pub cache: Duration,
    /// How long a token is taken of which nobody says when it ends.
    pub lifetime: Duration,
    /// How often it is asked again about the token of a live session.
    pub recheck: Option<Duration>,
    /// How many requests it gets at a time.
    pub concurrency: usize,
    /// Names in the TLS handshake at which its tokens are taken; every one when empty.
    pub sni: Vec<String>,
    /// Listeners at which its tokens are taken; every one when empty.
    pub listeners: Vec<SocketAddr>,
}

/// How a token is validated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validate {
    /// Here, by the issuer's published keys (RFC 9068).
    Jwt,
    /// By the issuer (RFC 7662).
    Introspection,
    /// By the issuer, in the form that Google gives its answer.
    Tokeninfo,
    /// By whether the issuer says who the token's user is (OpenID Connect Core §5.3).
    Userinfo,
}

/// Addresses of the issuer; those that are not set come from its metadata.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "each is the address of the document or endpoint that it is named after")]
pub struct Endpoints {
    pub discovery: Option<Url>,
    pub jwks: Option<Url>,
    pub introspection: Option<Url>,
    pub userinfo: Option<Url>,
    pub tokeninfo: Option<Url>,
}

/// Who we are at the issuer.
#[derive(Clone, Debug)]
pub struct Client {
    /// Our identifier.
    pub id: String,
    /// How we prove it.
    pub auth: ClientAuth,
}

/// How a client proves who it is (RFC 6749 §2.3, RFC 7523 §2.2, RFC 8705 §2).
#[derive(Clone, Debug)]
pub enum ClientAuth {
    /// `client_secret_basic`.
    Basic(Secret),
    /// A token of our own in the header (RFC 7662 §2.1).
    Bearer(Secret),
    /// Not at all.
    None,
    /// `client_secret_post`.
    Post(Secret),
    /// `private_key_jwt`.
    PrivateKey(Box<ClientKey>),
    /// `tls_client_auth`: by the certificate of [`Config::http`].
    Tls,
}

/// Who a token speaks for.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// What makes the login name.
    pub login: Template,
    /// Takes `email` although nobody says that it is verified.
    pub trust_email: bool,
    /// The claim with further mail addresses of the user.
    pub addresses_claim: Option<String>,
    /// The claim with the user's groups.
    pub groups_claim: String,
    /// A group that the user must be in.
    pub require_group: Option<String>,
    /// The claim with the mailboxes of others that the user may open.
    pub mailboxes_claim: Option<String>,
    /// The name of the group whose members may open a mailbox.
    pub mailbox_group: Option<Template>,
}

/// The issuer's name of the scope that a protocol needs.
#[derive(Clone, Debug, Default)]
pub struct ScopeNames {
    /// For one protocol.
    pub narrow: BTreeMap<Protocol, String>,
    /// For every protocol.
    pub mail: Option<String>,
}

impl ScopeNames {
    /// Stands for: no scope is needed.
    pub const ANY: &'static str = "*";

    /// Whether a token that holds `has` may be used on `protocol`.
    pub(in crate::validator) fn cover(&self, protocol: Protocol, has: impl Fn(&str) -> bool) -> bool {
        let given = |name: &str| name == Self::ANY || has(name);
        if self.narrow.is_empty() && self.mail.is_none() {
            return given(Scope::MAIL) || given(protocol.as_str());
        }
        self.mail.as_deref().is_some_and(given) || self.narrow.get(&protocol).is_some_and(|name| given(name))
    }

    /// The scope that a client should ask for, for error challenges.
    pub fn needed(&self, protocol: Protocol) -> Option<&str> {
        let named = self.narrow.get(&protocol).or(self.mail.as_ref()).map(String::as_str);
        named.filter(|name| *name != Self::ANY)
    }
}

impl Config {
    /// Whether its tokens may carry `name` as `iss`, beside its URL.
    pub fn has_name(&self, name: &str) -> bool {
        self.also.iter().any(|also| also == name)
    }

    /// With the usual settings: JWTs for `audience`, of every client, by a verified `email` in one of `domains`.
    pub fn new(url: &str, audience: &[&str], domains: &[&str]) -> Self {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Self {
            url: url.into(),
            also: Vec::new(),
            validate: Validate::Jwt,
            fetch_userinfo: false,
            audience: owned(audience),
            allow_any_client: false,
            clients: Vec::new(),
            domains: owned(domains),
            algorithms: vec![OutsideAlgorithm::Rs256, OutsideAlgorithm::Es256, OutsideAlgorithm::EdDsa],
            types: owned(&["at+jwt", "JWT"]),
            required_claims: BTreeMap::new(),
            scope_claims: owned(&["scope", "scp"]),
            scopes: ScopeNames::default(),
            mapping: Mapping {
                login: Template::claim("email"),
                trust_email: false,
                addresses_claim: None,
                groups_claim: "groups".to_owned(),
                require_group: None,
                mailboxes_claim: None,
                mailbox_group: None,
            },
            login_lookup: None,
            endpoints: Endpoints::default(),
            client: None,
            http: http::Config::default(),
            leeway: Duration::from_secs(60),
            stale_keys: Duration::from_secs(3600),
            cache: Duration::from_secs(60),
            lifetime: Duration::from_secs(3600),
            recheck: None,
            concurrency: 32,
            sni: Vec::new(),
            listeners: Vec::new(),
        }
    }
}
