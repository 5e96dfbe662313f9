//! Look-ups: what an operator's own directory says of a user.
//!
//! One question, [`Lookup::find`], serves everything that an operator keeps elsewhere: to which backend a user goes,
//! under which name and password they log in there, which addresses they may send from, which mailboxes they may
//! open.
//!
//! Invariants:
//! - "there is no such user" and "it cannot be asked now" are never the same answer;
//! - what a directory says is checked like anything else from outside before it is believed;
//! - a look-up is bounded in time and in the size of its answer, and nobody's name is ever read as a query.
//!
//! It must not decide what an answer allows.

mod config;
mod entry;
mod file;
mod guarded;
mod http;
mod ldap;
mod ldap_filter;
mod sql;

pub use config::{
    AuthMethodName, Config, Database, FileConfig, HttpConfig, Kind, LdapAttributes, LdapConfig, LdapTls,
    Scope, SqlConfig,
};
pub use http::{Header, url};
pub use ldap_filter::LdapFilter;
pub use sql::SqlQuery;

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use async_trait::async_trait;
use thiserror::Error;

use crate::model::{Login, Protocol, Secret};

/// Whom a look-up is about.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// Whose entry is wanted.
    pub login: &'a Login,
    /// What is spoken, where a session asks.
    pub protocol: Option<Protocol>,
    /// The client's address, where it is known.
    pub client: Option<IpAddr>,
}

/// What is known of a user. Everything is optional: each use of a look-up says what it cannot do without.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// The name of the backend.
    pub backend: Option<Arc<str>>,
    /// The one server of that backend's group that holds the mailbox: host, and port where it is not the group's.
    pub server: Option<(String, Option<u16>)>,
    /// The login name at the mail server.
    pub login_name: Option<String>,
    /// The password at the mail server.
    pub password: Option<Secret>,
    /// Addresses that the user may send from, beside the login name; `@example.org` stands for a whole domain.
    pub addresses: Vec<String>,
    /// Mailboxes of others that the user may open; `*@example.org` stands for a whole domain.
    pub mailboxes: Vec<String>,
}

/// There is no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LookupError {
    /// It cannot be asked now; nobody's name or password is to blame.
    #[error("look-up {name} cannot be asked now: {reason}")]
    Unavailable {
        /// The look-up's name.
        name: Arc<str>,
        /// Why, without secrets.
        reason: String,
    },
    /// The operator must act: it answers what cannot be used.
    #[error("look-up {name} needs the operator: {reason}")]
    Operator {
        /// The look-up's name.
        name: Arc<str>,
        /// Why, without secrets.
        reason: String,
    },
}

/// A directory that can be asked about users.
#[async_trait]
pub trait Lookup: std::fmt::Debug + Send + Sync {
    /// Its name in the configuration.
    fn name(&self) -> &Arc<str>;

    /// The user's entry; `None` when it knows no such user.
    ///
    /// # Errors
    /// [`LookupError`].
    async fn find(&self, query: &Query<'_>) -> Result<Option<Entry>, LookupError>;
}

/// A look-up cannot be set up.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("look-up {name}: {reason}")]
pub struct LookupsError {
    /// The look-up's name.
    pub name: Arc<str>,
    /// Why, without secrets.
    pub reason: String,
}

/// Every look-up of the configuration, by name.
#[derive(Clone, Debug, Default)]
pub struct Lookups(BTreeMap<Arc<str>, Arc<dyn Lookup>>);

impl Lookups {
    /// Sets every look-up up: reads the files that they need, and connects to nothing.
    ///
    /// # Errors
    /// [`LookupsError`] for the first one whose files cannot be used.
    pub fn new(configs: &[Config]) -> Result<Self, LookupsError> {
        let build = |config: &Config| -> Result<(Arc<str>, Arc<dyn Lookup>), LookupsError> {
            let lookup = guarded::Guarded::new(config)
                .map_err(|reason| LookupsError { name: Arc::clone(&config.name), reason })?;
            Ok((Arc::clone(&config.name), Arc::new(lookup)))
        };
        configs.iter().map(build).collect::<Result<_, _>>().map(Self)
    }

    /// The look-up of that name.
    pub fn get(&self, name: &str) -> Option<Arc<dyn Lookup>> {
        self.0.get(name).cloned()
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Lookup>> {
        self.0.values()
    }
}

/// For those that bring their own.
impl FromIterator<Arc<dyn Lookup>> for Lookups {
    fn from_iter<T: IntoIterator<Item = Arc<dyn Lookup>>>(lookups: T) -> Self {
        Self(lookups.into_iter().map(|lookup| (Arc::clone(lookup.name()), lookup)).collect())
    }
}
