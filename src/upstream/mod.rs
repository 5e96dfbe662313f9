//! Backends: where the mail servers are and how a session logs in to them.
//!
//! Invariants:
//! - a user's name is checked before it is put into any login, so that no name can become another's;
//! - a mail server's TLS mode is what the configuration says, never what happens to be offered;
//! - connect, TLS and greeting together take no longer with one server than the backend's timeout, and so does the
//!   login;
//! - another server is asked only as long as nothing of a login was sent;
//! - a connection is opened ahead of its user at most, never used twice, and belongs to one user;
//! - a failure names no password and no token, whatever a server repeats;
//! - a credential that is one user's own never opens another's mailbox but by a rule that the operator wrote;
//! - nothing of what a server says before its TLS handshake, or before its "yes", reaches a client.
//!
//! This room must not validate tokens and must not talk to clients.

mod backend;
mod backends;
mod choice;
mod connect;
mod dial;
mod group;
mod health;
mod login;
mod offer;
mod redact;
mod route;
mod token_exchange;
mod warm;

pub use backend::{Backend, BackendsError, Probe, ServerStatus};
pub use backends::Backends;
pub use connect::{Blame, LoggedIn, LoginError};
pub use login::PlanError;
pub use route::{Destination, RouteError, RouteKey, Router};
pub use token_exchange::Config as TokenExchangeConfig;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    model::{Protocol, Secret},
    proto::sasl::ClientMechanism,
    tls,
};

/// One backend: a group of mail servers that hold the same mailboxes.
#[derive(Clone, Debug)]
pub struct Config {
    /// The name in the configuration.
    pub name: Arc<str>,
    /// Its servers, by protocol.
    pub servers: Vec<Server>,
    /// How a session logs in.
    pub login: Login,
    /// The template of the login name.
    pub login_name: LoginName,
    /// The template of the login name for a mailbox of someone else, where it is not simply that mailbox's own.
    pub shared_login_name: Option<LoginName>,
    /// The SASL mechanisms that may be used; all when it is empty.
    pub mechanisms: Arc<[ClientMechanism]>,
    /// TLS toward the servers.
    pub tls: tls::UpstreamConfig,
    /// Whether XCLIENT is used where the server offers it.
    pub xclient: bool,
    /// Whether a PROXY v2 header opens each connection.
    pub proxy_protocol: bool,
    /// Whether IMAP ID carries the client's address.
    pub imap_id: bool,
    /// Time for connect, TLS, greeting and what the server offers; and once more for the login.
    pub timeout: Duration,
    /// How its servers share the work.
    pub group: GroupConfig,
}

/// How the servers of a backend share the work.
#[derive(Clone, Debug, Default)]
pub struct GroupConfig {
    /// Which server a user's session goes to.
    pub balance: Balance,
    /// How many users a server takes in proportion to the others, by its host in lower case; one where nothing is
    /// said.
    pub weights: BTreeMap<String, u32>,
    /// Over how long a server that comes back takes its users back.
    pub slow_start: Duration,
    /// Whether a look-up may name a host that is not in the group.
    pub any_server: bool,
    /// Whether such a host may be spoken to in clear where it is not this machine.
    pub allow_cleartext: bool,
    /// Most connections that wait for a user, greeted, for each server and protocol.
    pub warm: usize,
}

/// Which server of a backend a user's session goes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// The first that works, in the order of the configuration.
    #[default]
    First,
    /// By consistent hashing of the mailbox name: the same server for each protocol.
    Hash,
}

impl Config {
    /// A PROXY header names the client before anything else, so that nothing can be said without one.
    const fn warm_connections(&self) -> usize {
        if self.proxy_protocol { 0 } else { self.group.warm }
    }
}

/// One server of a backend for one protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// What it speaks.
    pub protocol: Protocol,
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// How TLS starts.
    pub security: Security,
}

/// How TLS starts toward a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// Never.
    Clear,
    /// By STARTTLS or STLS, required.
    StartTls,
    /// From the first octet.
    Tls,
}

/// How a session logs in to a backend.
#[derive(Clone, Debug)]
pub enum Login {
    /// SASL PLAIN with an authorization identity: the service account acts as the user.
    Authzid(ServiceAccount),
    /// The token that the user presented, or one of the mail server's own issuer for it.
    Bearer(Option<Box<TokenExchangeConfig>>),
    /// This machine's client certificate, with an authorization identity (SASL EXTERNAL).
    External,
    /// The login name `user*master` with the service account's password.
    Master {
        /// The service account.
        account: ServiceAccount,
        /// What stands between user and service account.
        separator: char,
    },
    /// The user's own password, sealed to the grant.
    Sealed,
    /// A password of the user's that is kept elsewhere.
    Secret(SecretSource),
    /// The server trusts this proxy's address.
    Trusted,
    /// The server takes the login name from this proxy with XCLIENT; SMTP only.
    Xclient,
}

/// Where the passwords of [`Login::Secret`] are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// The look-up of that name.
    Lookup(Arc<str>),
    /// The store.
    Store,
}

/// An account that may act for users.
#[derive(Clone, Debug)]
pub struct ServiceAccount {
    /// Its name.
    pub user: String,
    /// Its password.
    pub password: Secret,
}

/// How the login name upstream is made from the user's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginName(pub Vec<LoginNamePart>);

/// A part of a login-name template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginNamePart {
    /// `{domain}`.
    Domain,
    /// Fixed text.
    Literal(String),
    /// `{local}`.
    Local,
    /// `{mailbox}`: the login name that the mailbox belongs to.
    Mailbox,
    /// `{mailbox_domain}`.
    MailboxDomain,
    /// `{mailbox_local}`.
    MailboxLocal,
    /// `{user}`.
    User,
}

/// Which backend a session goes to; the first match wins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// What must match.
    pub matches: RouteMatch,
    /// The backend's name. Beside a look-up it is where the look-up names none, and may be left out.
    pub backend: Option<Arc<str>>,
}

/// What a route looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteMatch {
    /// The domain of the login name.
    Domain(String),
    /// Whether the look-up of that name knows the user. It may name the backend, and a server of it.
    Lookup(Arc<str>),
    /// The listener's address.
    Listener(std::net::SocketAddr),
    /// The server name of the TLS handshake.
    Sni(String),
    /// The whole login name.
    User(String),
}
