//! Backends: where the mail servers are and how a session logs in to them.
//!
//! Invariants:
//! - a user's name is checked before it is put into any login, so that no name can become another's;
//! - a mail server's TLS mode is what the configuration says, never what happens to be offered;
//! - every step of connect, TLS and login together takes no longer with one server than the backend's timeout;
//! - a failure names no password and no token, whatever a server repeats;
//! - a credential that is one user's own never opens another's mailbox but by a rule that the operator wrote;
//! - nothing of what a server says before its TLS handshake, or before its "yes", reaches a client.
//!
//! This room must not validate tokens and must not talk to clients.

mod backend;
mod connect;
mod login;
mod redact;
mod route;
mod token_exchange;

pub use backend::{Backend, Backends, BackendsError, Probe};
pub use connect::{Blame, LoggedIn, LoginError};
pub use login::PlanError;
pub use route::{RouteError, RouteKey, Router, Target};
pub use token_exchange::Config as TokenExchangeConfig;

use std::{sync::Arc, time::Duration};

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
    /// Time for connect, TLS and login together.
    pub timeout: Duration,
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
