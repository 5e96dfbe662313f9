//! Backends: where the mail servers are and how a session logs in to them.
//!
//! Invariants:
//! - a user's name is checked before it is put into any login, so that no name can become another's;
//! - a mail server's TLS mode is what the configuration says, never what happens to be offered;
//! - every step of connect, TLS and login together takes no longer with one server than the backend's timeout;
//! - a failure names no password, whatever a server repeats;
//! - nothing of what a server says before its TLS handshake, or before its "yes", reaches a client.
//!
//! This room must not validate tokens and must not talk to clients.

mod backend;
mod connect;
mod login;
mod redact;
mod route;

pub use backend::{Backend, Backends, BackendsError, Probe};
pub use connect::{Blame, LoggedIn, LoginError};
pub use login::PlanError;
pub use route::{RouteError, RouteKey, Router, Target};

use std::{sync::Arc, time::Duration};

use crate::{
    model::{Protocol, Secret},
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
    /// The login name `user*master` with the service account's password.
    Master {
        /// The service account.
        account: ServiceAccount,
        /// What stands between user and service account.
        separator: char,
    },
    /// The user's own password, sealed to the grant.
    Sealed,
    /// The server trusts this proxy's address.
    Trusted,
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
