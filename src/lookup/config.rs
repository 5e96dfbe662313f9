use std::{path::PathBuf, sync::Arc, time::Duration};

use reqwest::Url;

use super::{Header, LdapFilter, SqlQuery};
use crate::{model::Secret, store::PostgresAddress};

/// Settings of a look-up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// How long an answer is used again, also that there is no such user; zero asks every time.
    pub cache: Duration,
    /// Time for one question.
    pub timeout: Duration,
    /// Who is asked.
    pub kind: Kind,
}

/// Who is asked.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A file.
    File(FileConfig),
    /// A service that answers as nginx's `auth_http` expects
    /// (<https://nginx.org/en/docs/mail/ngx_mail_auth_http_module.html>).
    Http(HttpConfig),
    /// An LDAP server.
    Ldap(LdapConfig),
    /// A database.
    Sql(SqlConfig),
}

/// A TOML file with a table for each user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileConfig {
    /// Where it is.
    pub path: PathBuf,
}

/// A service that answers as nginx's `auth_http` expects.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// Where it is.
    pub url: Url,
    /// A header field that proves who asks.
    pub header: Option<Header>,
    /// What `Auth-Method` says.
    pub method: AuthMethodName,
    /// PEM file of the authorities that are trusted instead of the system's.
    pub ca: Option<PathBuf>,
    /// Whether clear HTTP may go to another machine.
    pub allow_cleartext: bool,
}

/// What `Auth-Method` says. No password is sent with any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMethodName {
    /// As for a sign-in by SASL EXTERNAL.
    External,
    /// As for SMTP without a sign-in.
    None,
    /// As for a password, which is empty.
    Plain,
}

/// An LDAP server, and what is asked there.
#[derive(Clone, Debug)]
pub struct LdapConfig {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// How TLS starts.
    pub tls: LdapTls,
    /// The name and the password to bind with.
    pub bind: Option<(String, Secret)>,
    /// Where the search begins.
    pub base: String,
    /// How deep it goes.
    pub scope: Scope,
    /// What it looks for.
    pub filter: LdapFilter,
    /// Where the values are.
    pub attributes: LdapAttributes,
    /// PEM file of the authorities that are trusted instead of the system's.
    pub ca: Option<PathBuf>,
}

/// An LDAP server, and who we are there.
#[derive(Clone, Debug)]
pub struct LdapServer {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// How TLS starts.
    pub tls: LdapTls,
    /// The name and the password to bind with.
    pub bind: Option<(String, Secret)>,
    /// PEM file of the authorities that are trusted instead of the system's.
    pub ca: Option<PathBuf>,
}

/// How TLS starts toward an LDAP server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LdapTls {
    /// Never.
    Clear,
    /// From the first octet.
    Implicit,
    /// By the StartTLS operation (RFC 4511 §4.14), required.
    StartTls,
}

/// How deep an LDAP search goes (RFC 4511 §4.5.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The entry at the base alone.
    Base,
    /// The entries right below.
    One,
    /// The whole tree.
    Sub,
}

/// In which attributes the values of an entry are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LdapAttributes {
    /// The backend.
    pub backend: Option<String>,
    /// The server.
    pub server: Option<String>,
    /// The login name at the mail server.
    pub login_name: Option<String>,
    /// The password at the mail server.
    pub password: Option<String>,
    /// Addresses.
    pub addresses: Option<String>,
    /// Mailboxes of others.
    pub mailboxes: Option<String>,
}

/// A database, and what is asked there.
#[derive(Clone, Debug)]
pub struct SqlConfig {
    /// Where it is.
    pub database: Database,
    /// The question.
    pub query: SqlQuery,
}

/// Where a database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// A PostgreSQL database.
    Postgres(PostgresAddress),
    /// A SQLite file.
    Sqlite(PathBuf),
}
