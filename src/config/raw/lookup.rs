use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::value::{Hidden, Span};

/// What an operator's own directory says of users: their backend, their server, their name and password there,
/// addresses and mailboxes. Routes, logins and senders refer to it by its name, which is of your choice.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Lookup {
    /// Who is asked: `file`, `sql`, `ldap`, or `http`, a service that answers as nginx's `auth_http` expects.
    pub(in crate::config) kind: LookupKind,
    /// How long an answer is used again, also that there is no such user. Without it 30s; a file, which is read
    /// again when it changes, needs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) cache: Option<Span>,
    /// Time for one question, connecting included. When it is over the user is told to come back later.
    #[serde(default = "five_seconds")]
    pub(in crate::config) timeout: Span,
    /// `file`: the TOML file, relative to this one, with a table for each user (`["alice@example.org"]`) and for
    /// whole domains (`["@example.org"]`). With passwords in it it must be open to nobody else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) path: Option<PathBuf>,
    /// `sql`: `sqlite:FILE` or `postgres://user:password@host:port/database`. `ldap`: `ldaps://host` or
    /// `ldap://host`. `http`: `https://…`, or `http://` on this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) url: Option<String>,
    /// A file that holds the URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) url_file: Option<PathBuf>,
    /// `sql`: the question. `$1` stands for the login name, `$2` for the protocol (`imap`, `pop3`, `smtp`,
    /// `sieve`). Its columns are known by their names: backend, server, login_name, password, addresses, mailboxes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) query: Option<String>,
    /// `ldap`, `http`: PEM file of the authorities that are trusted instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) ca: Option<PathBuf>,
    /// `ldap`, `http`: allows clear connections to another machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) allow_cleartext: Option<bool>,
    /// `ldap`: whether an `ldap://` connection is encrypted by StartTLS. Without it, yes, except on this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) starttls: Option<bool>,
    /// `ldap`: the name to bind as; without it nobody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) bind_dn: Option<String>,
    /// `ldap`: the password of `bind_dn`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) bind_password: Option<Hidden>,
    /// `ldap`: a file that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) bind_password_file: Option<PathBuf>,
    /// `ldap`: where the search begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) base: Option<String>,
    /// `ldap`: how deep it goes: `sub`, `one` or `base`. Without it `sub`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) scope: Option<LdapScope>,
    /// `ldap`: the filter, with `{user}`, `{local}` and `{domain}`. It must find one entry for each user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) filter: Option<String>,
    /// `ldap`: the attribute that names the backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) backend_attribute: Option<String>,
    /// `ldap`: the attribute that names the server, such as `mailHost`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) server_attribute: Option<String>,
    /// `ldap`: the attribute with the login name at the mail server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) login_name_attribute: Option<String>,
    /// `ldap`: the attribute with the password at the mail server, in clear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) password_attribute: Option<String>,
    /// `ldap`: the attribute with the addresses that the user may send from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) addresses_attribute: Option<String>,
    /// `ldap`: the attribute with the mailboxes of others that the user may open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) mailboxes_attribute: Option<String>,
    /// `http`: a header field that proves to the service who asks, `X-Key: …`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) header: Option<Hidden>,
    /// `http`: a file that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) header_file: Option<PathBuf>,
    /// `http`: what `Auth-Method` says: `plain`, `external` or `none`. Without it `plain`, with an empty password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) auth_method: Option<AuthMethod>,
}

const fn five_seconds() -> Span {
    Span::seconds(5)
}

/// Who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum LookupKind {
    File,
    Http,
    Ldap,
    Sql,
}

/// How deep an LDAP search goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum LdapScope {
    Sub,
    One,
    Base,
}

/// What `Auth-Method` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum AuthMethod {
    Plain,
    External,
    None,
}
