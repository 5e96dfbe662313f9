use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BackendBearer, LoginKind, ServiceAccount};
use crate::config::value::Span;

/// A group of mail servers that hold the same mailboxes.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Backend {
    /// IMAP servers in order of preference: `imap://` clear, `imaps://` TLS, `imap+starttls://` STARTTLS
    /// required. Without a port the standard one.
    pub(in crate::config) imap: Vec<String>,
    /// Submission servers: `smtp://`, `smtps://`, `smtp+starttls://`.
    pub(in crate::config) smtp: Vec<String>,
    /// POP3 servers: `pop3://`, `pop3s://`, `pop3+starttls://`.
    pub(in crate::config) pop3: Vec<String>,
    /// ManageSieve servers: `sieve://`, `sieves://`, `sieve+starttls://`. The standard has the last; its port is 4190.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::config) sieve: Vec<String>,
    /// Allows clear connections to servers that are not on this machine.
    pub(in crate::config) allow_cleartext: bool,
    /// How a session logs in: `sealed` with the user's own password, kept sealed to the grant; `master` as
    /// `user*master` with the service account's password; `authzid` as the service account, with the user as
    /// authorization identity (PLAIN or SCRAM); `secret` with a password of the user's that is kept elsewhere;
    /// `bearer` with the token itself, or with one that it is exchanged for; `external` with this machine's client
    /// certificate and the user as authorization identity (SASL EXTERNAL); `xclient` by telling a Postfix server the
    /// name (XCLIENT LOGIN); `trusted` where the server trusts this machine's address.
    pub(in crate::config) login: LoginKind,
    /// The service account of `master` and `authzid`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) master: Option<ServiceAccount>,
    /// Where the passwords of `login = "secret"` are kept: the name of a look-up. Without it, in the store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) secrets: Option<String>,
    /// How `login = "bearer"` gets the token that the servers take. Without it the user's own is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) bearer: Option<BackendBearer>,
    /// The SASL mechanisms that may be used, such as `["PLAIN"]`; of those that a server offers the best is taken.
    /// `LOGIN` stands for IMAP's LOGIN and POP3's USER and PASS, too. Empty: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::config) mechanisms: Vec<String>,
    /// The login name at the mail server, made of `{user}`, `{local}`, `{domain}` and fixed text.
    pub(in crate::config) login_name: String,
    /// The login name when a user opens the mailbox of another: `{user}`, `{local}` and `{domain}` are the user's,
    /// `{mailbox}`, `{mailbox_local}` and `{mailbox_domain}` the other's. Exchange takes
    /// `{domain}\\{local}\\{mailbox_local}`. Without it the login is the other mailbox's own; with the user's own password
    /// or token (`sealed`, `bearer`) it is refused then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) shared_login_name: Option<String>,
    /// TLS toward the servers.
    pub(in crate::config) tls: BackendTls,
    /// Whether the client's address is sent by XCLIENT where the server offers it: `auto` or `off`.
    pub(in crate::config) xclient: Xclient,
    /// Whether a PROXY header opens each connection: `off` or `v2`. The servers must expect it.
    pub(in crate::config) proxy_protocol: ProxyProtocol,
    /// Whether the client's address is sent by IMAP ID.
    pub(in crate::config) imap_id: bool,
    /// Time for connect, TLS and login together.
    pub(in crate::config) timeout: Span,
}

impl Default for Backend {
    fn default() -> Self {
        Self {
            imap: Vec::new(),
            smtp: Vec::new(),
            pop3: Vec::new(),
            sieve: Vec::new(),
            allow_cleartext: false,
            login: LoginKind::Sealed,
            master: None,
            secrets: None,
            bearer: None,
            mechanisms: Vec::new(),
            login_name: "{user}".to_owned(),
            shared_login_name: None,
            tls: BackendTls::default(),
            xclient: Xclient::Auto,
            proxy_protocol: ProxyProtocol::Off,
            imap_id: true,
            timeout: Span::seconds(30),
        }
    }
}

/// TLS toward the servers of a backend.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct BackendTls {
    /// PEM file of the authorities that are trusted instead of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) ca: Option<PathBuf>,
    /// SHA-256 of the server key (SubjectPublicKeyInfo) in hexadecimal or base64. It decides instead of names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) pin: Option<String>,
    /// The name that the certificate must have, when it is not the host of the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) server_name: Option<String>,
    /// PEM file of a client certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) certificate: Option<PathBuf>,
    /// PEM file of the client certificate's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) private_key: Option<PathBuf>,
    /// `false` takes any certificate. Only for tests.
    pub(in crate::config) verify: bool,
}

impl Default for BackendTls {
    fn default() -> Self {
        Self { ca: None, pin: None, server_name: None, certificate: None, private_key: None, verify: true }
    }
}

/// Whether XCLIENT is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Xclient {
    Auto,
    Off,
}

/// Whether a PROXY header opens each connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum ProxyProtocol {
    Off,
    V2,
}
