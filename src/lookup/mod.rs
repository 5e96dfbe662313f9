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

use std::{net::IpAddr, sync::Arc};

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
