//! The configuration as it is written: every key, its documentation and its default.
//!
//! These structures are the one table that the reference file, the JSON Schema and the reader come from. The
//! documentation of each field is what an operator reads, so it speaks to operators.

mod backend;
mod backend_login;
mod issuer;
mod issuer_section;
mod lookup;
mod oidc;
mod passwords;
mod submission;
mod trusted;

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(super) use backend::{Backend, BackendTls, Balance, ProxyProtocol, Xclient};
pub(super) use backend_login::{BackendBearer, LoginKind, ServiceAccount};
pub(super) use issuer::{Directory, DirectorySource, Issuer, Registration};
pub(super) use lookup::{AuthMethod, LdapScope, Lookup, LookupKind};
pub(super) use oidc::Oidc;
pub(super) use passwords::{PasswordMode, PasswordOverride, Passwords};
pub(super) use trusted::{ClientAuthName, Preset, SharedMailboxes, TrustedIssuer, Validate};

pub(super) use submission::{BareNewline, Sender, Submission};

use super::value::{Size, Span};

/// Configuration of Bearward.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Root {
    /// The public name of this server, as mail clients write it. The issuer's URL comes from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hostname: Option<String>,
    /// The folder of the store, the keys and the admin socket. It is created with mode 0700.
    pub(super) data_dir: PathBuf,
    /// Certificates of the listeners.
    pub(super) tls: Tls,
    /// Listening sockets. Without any, the standard ports of every protocol that a backend has servers for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) listener: Option<Vec<Listener>>,
    /// Groups of mail servers, by a name of your choice.
    pub(super) backend: BTreeMap<String, Backend>,
    /// Which backend a user goes to; the first match wins. With a single backend none is needed.
    pub(super) route: Vec<Route>,
    /// Directories of your own that are asked about users, by a name of your choice.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) lookup: BTreeMap<String, Lookup>,
    /// The built-in OAuth issuer.
    pub(super) issuer: Issuer,
    /// Issuers elsewhere whose tokens are taken too.
    pub(super) trusted_issuer: Vec<TrustedIssuer>,
    /// Mailboxes of others that users may open.
    pub(super) shared_mailboxes: SharedMailboxes,
    /// Who may sign in.
    pub(super) directory: Directory,
    /// Sign-in with a password instead of a token.
    pub(super) passwords: Passwords,
    /// Sessions after the sign-in.
    pub(super) session: Session,
    /// What clients may send by SMTP.
    pub(super) submission: Submission,
    /// Limits, per process unless said. None may be zero.
    pub(super) limits: Limits,
    /// Where grants, tokens and keys are kept.
    pub(super) store: Store,
    /// Log and metrics.
    pub(super) telemetry: Telemetry,
    /// The socket through which commands reach a running server.
    pub(super) admin: Admin,
}

impl Default for Root {
    fn default() -> Self {
        Self {
            hostname: None,
            data_dir: PathBuf::from("/var/lib/bearward"),
            tls: Tls::default(),
            listener: None,
            backend: BTreeMap::new(),
            route: Vec::new(),
            lookup: BTreeMap::new(),
            issuer: Issuer::default(),
            trusted_issuer: Vec::new(),
            shared_mailboxes: SharedMailboxes::default(),
            directory: Directory::default(),
            passwords: Passwords::default(),
            session: Session::default(),
            submission: Submission::default(),
            limits: Limits::default(),
            store: Store::default(),
            telemetry: Telemetry::default(),
            admin: Admin::default(),
        }
    }
}

/// Certificates of the listeners.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Tls {
    /// PEM file of the certificate chain, relative to this file, read again when it changes. It may hold the
    /// key too. Without it a self-signed certificate is made at each start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) certificate: Option<PathBuf>,
    /// PEM file of the private key, when the certificate's file does not hold it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) private_key: Option<PathBuf>,
    /// The lowest TLS version that clients may use.
    pub(super) min_version: MinVersion,
    /// PEM file of the authorities that vouch for the certificates of OAuth clients, for those that authenticate by
    /// `tls_client_auth` (RFC 8705 §2.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client_ca: Option<PathBuf>,
    /// Certificates for other names.
    pub(super) sni: Vec<Sni>,
    /// Certificates from an ACME authority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) acme: Option<Acme>,
}

/// A TLS version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(super) enum MinVersion {
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    #[serde(rename = "1.3")]
    Tls13,
}

/// The certificate for one more name.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Sni {
    /// The name that clients ask for.
    pub(super) name: String,
    /// PEM file of the certificate chain; it may hold the key too.
    pub(super) certificate: PathBuf,
    /// PEM file of the private key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) private_key: Option<PathBuf>,
}

/// Certificates from an ACME authority.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Acme {
    /// The authority's directory URL.
    pub(super) directory: String,
    /// Where the authority may write to, such as `mailto:postmaster@example.org`.
    #[serde(default)]
    pub(super) contact: Vec<String>,
    /// Whether you agree to the authority's terms.
    #[serde(default)]
    pub(super) agree_terms: bool,
}

/// One listening socket.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Listener {
    /// What is spoken.
    pub(super) protocol: Service,
    /// Address and port. `[::]` also takes IPv4.
    pub(super) bind: String,
    /// How TLS starts: `implicit` from the first octet, `starttls` on the client's command, `none` never.
    #[serde(default)]
    pub(super) tls: ListenerTls,
    /// Allows `tls = "none"` on an address that is not a loopback address.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) allow_cleartext: bool,
    /// Networks of load balancers that open each connection with a PROXY header (version 1 or 2), which names the
    /// client. Nobody else can connect to this listener then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) proxy_protocol_from: Vec<String>,
    /// SASL mechanisms offered, in order: OAUTHBEARER and XOAUTH2, and PLAIN and LOGIN where `passwords.mode` lets
    /// passwords in. Without it all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) mechanisms: Option<Vec<String>>,
    /// Asks clients for a certificate, for OAuth clients and tokens that are bound to one (RFC 8705). Browsers may
    /// ask their users which to show, so give such clients an https listener of their own.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) client_certificates: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Service {
    Imap,
    Smtp,
    Pop3,
    Sieve,
    Https,
}

/// How TLS starts on a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum ListenerTls {
    #[default]
    Implicit,
    StartTls,
    None,
}

/// One rule of routing; exactly one condition.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Route {
    /// The domain of the login name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) domain: Option<String>,
    /// The whole login name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<String>,
    /// The listener's `bind`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) listener: Option<String>,
    /// The name that the client asked for in the TLS handshake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sni: Option<String>,
    /// A look-up that knows the user, and may name the backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) lookup: Option<String>,
    /// The backend's name. Beside `lookup` it may be left out, and serves where the look-up names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) backend: Option<String>,
}

/// Sessions after the sign-in.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Session {
    /// What happens to a live session when its token expires: `close` ends it, `keep` lets it live until its
    /// grant ends.
    pub(super) on_token_expiry: OnTokenExpiry,
    /// How long after the expiry, so that a client may fetch a new token in peace.
    pub(super) expiry_grace: Span,
    /// How long a stopping server waits for sessions to end by themselves.
    pub(super) drain_timeout: Span,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            on_token_expiry: OnTokenExpiry::Close,
            expiry_grace: Span::minutes(5),
            drain_timeout: Span::seconds(30),
        }
    }
}

/// What happens to a live session when its token expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum OnTokenExpiry {
    Close,
    Keep,
}

/// Limits, per process unless said. None may be zero.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Limits {
    /// Connections in all. Each session holds a file descriptor on both sides: raise the process's limit with it.
    pub(super) connections: usize,
    /// Connections of one address. A webmail or a company behind one address may need many.
    pub(super) per_ip: usize,
    /// Connections of one IPv4 /24, the usual size of a small network.
    pub(super) per_prefix_v4: usize,
    /// Connections of one IPv6 /48, the usual size of a site; single IPv6 addresses cost an attacker nothing.
    pub(super) per_prefix_v6: usize,
    /// Time for the TLS handshake, so that silent connections do not hold places.
    pub(super) handshake_timeout: Span,
    /// Time from the first octet to the sign-in.
    pub(super) pre_auth_timeout: Span,
    /// Time for the client's line after an error challenge; some clients never send it and wait for the refusal.
    pub(super) dummy_response_timeout: Span,
    /// Bad commands per connection, so that a browser tricked into speaking to a mail port is cut off.
    pub(super) bad_commands: u32,
    /// Failed sign-ins per connection.
    pub(super) failed_auth: u32,
    /// The longest line before the sign-in.
    pub(super) pre_auth_line: Size,
    /// The longest SASL response in base64, also inside a command line. Tokens of other issuers can be long.
    pub(super) sasl_response: Size,
    /// After the sign-in, time without an octet either way. RFC 9051 §5.4 and RFC 2177 make clients speak
    /// at least every 30 minutes.
    pub(super) idle_timeout: Span,
    /// The same on POP3, whose servers must wait at least 10 minutes (RFC 1939 §3).
    pub(super) idle_timeout_pop3: Span,
    /// The same on SMTP, where a client may wait 10 minutes in silence for the answer to a message (RFC 5321
    /// §4.5.3.2.6).
    pub(super) idle_timeout_smtp: Span,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 20_000,
            per_ip: 20_000,
            per_prefix_v4: 20_000,
            per_prefix_v6: 20_000,
            handshake_timeout: Span::seconds(10),
            pre_auth_timeout: Span::seconds(60),
            dummy_response_timeout: Span::seconds(10),
            bad_commands: 10,
            failed_auth: 6,
            pre_auth_line: Size(8 << 10),
            sasl_response: Size(16 << 10),
            idle_timeout: Span::minutes(31),
            idle_timeout_pop3: Span::minutes(11),
            idle_timeout_smtp: Span::minutes(11),
        }
    }
}

/// Where grants, tokens and keys are kept.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Store {
    /// `sqlite:` and a file, relative to `data_dir`; or a PostgreSQL database, which several nodes may share:
    /// `postgres://user:password@host:port/database`, at best in `url_file`. A server on another machine must
    /// prove who it is, to an authority of your own with `?sslrootcert=FILE`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) url: Option<String>,
    /// A file that holds the URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) url_file: Option<PathBuf>,
    /// How late a revocation by another process may be noticed; PostgreSQL tells of it at once, unless that is lost.
    pub(super) poll_interval: Span,
}

impl Default for Store {
    fn default() -> Self {
        Self { url: None, url_file: None, poll_interval: Span::seconds(1) }
    }
}

/// Log and metrics.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Telemetry {
    /// What is logged: `error`, `warn`, `info`, `debug`, `trace`, or a list such as `info,bearward=debug`.
    pub(super) log: String,
    /// How log lines look: `text` or `json`.
    pub(super) format: Format,
    /// Where GET /metrics, /healthz and /readyz are answered without TLS and sign-in; `off` switches it off.
    pub(super) metrics: String,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { log: "info".to_owned(), format: Format::Text, metrics: "127.0.0.1:9464".to_owned() }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    Json,
    Text,
}

/// The admin socket.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Admin {
    /// The Unix socket, mode 0600, relative to `data_dir`.
    pub(super) socket: PathBuf,
}

impl Default for Admin {
    fn default() -> Self {
        Self { socket: PathBuf::from("admin.sock") }
    }
}
