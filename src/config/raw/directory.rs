use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::LdapScope;
use crate::config::value::{Hidden, Span};

/// The LDAP server that knows the passwords, for the source `ldap`. A password is right when its owner's entry can be
/// bound with it, on a connection of its own.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct LdapDirectory {
    /// `ldaps://host` or `ldap://host`.
    pub(in crate::config) url: String,
    /// Whether an `ldap://` connection is encrypted by StartTLS. Without it, yes, except on this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) starttls: Option<bool>,
    /// Allows clear connections to another machine, which then carry everybody's password.
    pub(in crate::config) allow_cleartext: bool,
    /// PEM file of the authorities that are trusted instead of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) ca: Option<PathBuf>,
    /// The name to search as; without it nobody's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) bind_dn: Option<String>,
    /// The password of `bind_dn`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) bind_password: Option<Hidden>,
    /// A file that holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) bind_password_file: Option<PathBuf>,
    /// Where the search for a person begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) base: Option<String>,
    /// How deep it goes: `sub`, `one` or `base`.
    pub(in crate::config) scope: LdapScope,
    /// The filter, with `{user}`, `{local}` and `{domain}`. It must find one entry for each person, and none for
    /// accounts that are disabled: `(&(mail={user})(!(nsAccountLock=TRUE)))`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) filter: Option<String>,
    /// Instead of `base` and `filter` the name of the entry, as in `uid={local},ou=people,dc=example,dc=org`. It leads
    /// nobody whose login name is not ASCII.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) dn_template: Option<String>,
    /// The attribute with the login name that a person is known by, whichever name they sign in with. People must not
    /// be able to write it. The name must lead to the same entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) login_attribute: Option<String>,
    /// The attribute with the names of a person's groups, such as `memberOf`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) groups_attribute: Option<String>,
    /// The group that people must be in, as it stands in `groups_attribute`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) require_group: Option<String>,
    /// Instead of `groups_attribute` a filter that finds an entry for people who may sign in, with `{dn}`, `{user}`,
    /// `{local}` and `{domain}`: `(&(cn=mail)(member={dn}))`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) group_filter: Option<String>,
    /// Where its search begins; without it at `base`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) group_base: Option<String>,
    /// Time for one person, connecting included.
    pub(in crate::config) timeout: Span,
    /// The domains of its people. Required as soon as there is another source or a trusted issuer.
    pub(in crate::config) domains: Vec<String>,
}

impl Default for LdapDirectory {
    fn default() -> Self {
        Self {
            url: String::new(),
            starttls: None,
            allow_cleartext: false,
            ca: None,
            bind_dn: None,
            bind_password: None,
            bind_password_file: None,
            base: None,
            scope: LdapScope::Sub,
            filter: None,
            dn_template: None,
            login_attribute: None,
            groups_attribute: None,
            require_group: None,
            group_filter: None,
            group_base: None,
            timeout: Span::seconds(10),
            domains: Vec::new(),
        }
    }
}

/// The database with people's passwords, for the source `sql`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct SqlDirectory {
    /// `sqlite:FILE` or `postgres://user:password@host:port/database`. It is only read from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) url: Option<String>,
    /// A file that holds the URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) url_file: Option<PathBuf>,
    /// The question, one SELECT; `$1` stands for the login name. Its columns are known by their names: `password`, hashed
    /// (`{SSHA512}…`, `$6$…`, `$2y$…`, `$argon2id$…`, `{PBKDF2}…` and their like); where there is one, `login` with the
    /// login name that the person is known by, which must lead to the same row; and `active`, false for accounts that
    /// are disabled.
    pub(in crate::config) query: String,
    /// Takes passwords that are stored in clear, as `{PLAIN}…`.
    pub(in crate::config) allow_plain: bool,
    /// Time for one question, connecting included.
    pub(in crate::config) timeout: Span,
    /// The domains of its people. Required as soon as there is another source or a trusted issuer.
    pub(in crate::config) domains: Vec<String>,
}

impl Default for SqlDirectory {
    fn default() -> Self {
        Self {
            url: None,
            url_file: None,
            query: String::new(),
            allow_plain: false,
            timeout: Span::seconds(5),
            domains: Vec::new(),
        }
    }
}

/// Dovecot's authentication service, for the source `dovecot-auth`. It hears the browser's address, so that its own
/// penalty for wrong passwords falls on that.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct DovecotAuth {
    /// The socket: a `unix_listener` of `service auth` that this server may open.
    pub(in crate::config) path: PathBuf,
    /// What Dovecot hears of the service.
    pub(in crate::config) service: String,
    /// Time for one question. Dovecot holds the answer to a wrong password back, for up to 17 seconds.
    pub(in crate::config) timeout: Span,
    /// The domains of its people. Required as soon as there is another source or a trusted issuer.
    pub(in crate::config) domains: Vec<String>,
}

impl Default for DovecotAuth {
    fn default() -> Self {
        Self {
            path: PathBuf::from("/run/dovecot/auth-client"),
            service: "imap".to_owned(),
            timeout: Span::seconds(20),
            domains: Vec::new(),
        }
    }
}

/// Cyrus SASL's daemon, for the source `saslauthd`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Saslauthd {
    /// The socket.
    pub(in crate::config) path: PathBuf,
    /// What the daemon hears of the service; for PAM the name of its file in `/etc/pam.d`.
    pub(in crate::config) service: String,
    /// Sends the domain as the realm and the login name without it.
    pub(in crate::config) split_realm: bool,
    /// Time for one question.
    pub(in crate::config) timeout: Span,
    /// The domains of its people. Required as soon as there is another source or a trusted issuer.
    pub(in crate::config) domains: Vec<String>,
}

impl Default for Saslauthd {
    fn default() -> Self {
        Self {
            path: PathBuf::from("/run/saslauthd/mux"),
            service: "imap".to_owned(),
            split_realm: false,
            timeout: Span::seconds(10),
            domains: Vec::new(),
        }
    }
}
