//! Who may sign in with which password.
//!
//! A source answers one question: is this the person's password? It says apart "wrong", "cannot be asked now"
//! and "the operator must act", because an outage is never a wrong password. No source is asked with an empty
//! password: some servers take that for an anonymous login and say yes.
//!
//! A person may have several names and is one user: names are written in one way before a source is asked
//! ([`Names`]), and a source may answer with the name that it knows the person by, of its own domains alone
//! ([`Confined`]).
//!
//! Or people sign in at an OpenID provider elsewhere. Its word counts for its own users alone, and only in answer to
//! what this very browser was sent there with.
//!
//! It must not keep a password, and must not count attempts.

mod backend;
mod built_in;
mod confined;
mod crypt;
mod dovecot;
mod dovecot_wire;
mod hashing;
mod ldap;
mod ldap_names;
mod names;
mod openid;
mod outside;
mod pace;
mod saslauthd;
mod secrets;
mod sign_in_log;
mod sql;

pub use backend::BackendDirectory;
pub use built_in::BuiltInDirectory;
pub use confined::Confined;
pub use dovecot::{DovecotAuth, DovecotAuthConfig};
pub use hashing::{HashError, Hashing};
pub use ldap::{LdapDirectory, LdapDirectoryConfig, LdapPlace};
pub use ldap_names::{DnTemplate, GroupFilter, Membership};
pub use names::Names;
pub use openid::{OpenIdConfig, OpenIdProvider};
pub use outside::{
    Departure, Front, Identity, OutsideDirectory, OutsideError, OutsidePerson, OutsidePrompt, Provider,
    Redemption, Return,
};
pub use pace::Pace;
pub use saslauthd::{Saslauthd, SaslauthdConfig};
pub use secrets::{SecretError, Secrets};
pub use sign_in_log::SignInLog;
pub use sql::{SqlDirectory, SqlDirectoryConfig};

/// For rooms that know directories and not the store.
pub use crate::store::{Place, SignInBy, SignInNote, SignInResult};

use std::{net::IpAddr, sync::Arc};

use async_trait::async_trait;
use thiserror::Error;

use crate::{
    limits::{SignInConfig, SignInLimits},
    model::{Login, Secret},
};

/// `[directory]` of the configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where people are looked up, in order.
    pub sources: Vec<Source>,
    /// How names are written.
    pub names: Names,
    /// The provider of [`Source::Oidc`].
    pub openid: Option<Box<OpenIdConfig>>,
    /// The server of [`Source::Ldap`].
    pub ldap: Option<Box<LdapDirectoryConfig>>,
    /// The database of [`Source::Sql`].
    pub sql: Option<Box<SqlDirectoryConfig>>,
    /// The socket of [`Source::DovecotAuth`].
    pub dovecot_auth: Option<DovecotAuthConfig>,
    /// The socket of [`Source::Saslauthd`].
    pub saslauthd: Option<SaslauthdConfig>,
}

/// Where people are looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The mail server.
    Backend,
    /// The built-in directory.
    Store,
    /// Dovecot's authentication service.
    DovecotAuth,
    /// An LDAP server.
    Ldap,
    /// An OpenID provider, which is asked for no password: people go there.
    Oidc,
    /// Cyrus SASL's daemon.
    Saslauthd,
    /// A database.
    Sql,
}

/// A password was right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// The name under which the person is known, where it is not the one that was asked about.
    pub login: Option<Login>,
    /// The backends that log this user in with this very password, which is to be sealed for them; none where
    /// they log in another way.
    pub seal_for: Vec<Arc<str>>,
}

/// Why a password was not found right.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CheckError {
    /// It is wrong, or the user is unknown; which of them is not told.
    #[error("wrong user name or password")]
    Wrong,
    /// The source does not know the user; another may. Whoever signs in is told [`CheckError::Wrong`].
    #[error("the user is unknown to this source")]
    Unknown,
    /// The source cannot be asked now; the password is not to blame.
    #[error("passwords cannot be checked now: {0}")]
    Unavailable(String),
    /// The operator must act before any password can be checked.
    #[error("passwords cannot be checked until the operator acts: {0}")]
    Operator(String),
    /// No route leads from this user to a backend.
    #[error("no route leads to a mail server for this user")]
    NoRoute,
}

/// A source that knows passwords.
#[async_trait]
pub trait PasswordCheck: Send + Sync {
    /// Asks the source. The password is not empty. Call [`PasswordCheck::check`] instead.
    ///
    /// # Errors
    /// [`CheckError`].
    async fn ask(&self, login: &Login, password: &Secret, client: IpAddr) -> Result<Verified, CheckError>;

    /// The backends that log `login` in with the mailbox password, without asking anybody whether it is right.
    ///
    /// # Errors
    /// [`CheckError`], but for [`CheckError::Wrong`].
    async fn seal_for(&self, _login: &Login, _client: IpAddr) -> Result<Vec<Arc<str>>, CheckError> {
        Ok(Vec::new())
    }

    /// Whether `password` is the password of `login`. `client` is the address of whoever signs in.
    ///
    /// # Errors
    /// [`CheckError`]; an empty password, and one with a NUL, is [`CheckError::Wrong`] before anything is asked.
    async fn check(&self, login: &Login, password: &Secret, client: IpAddr) -> Result<Verified, CheckError> {
        if !can_be_asked(password) {
            return Err(CheckError::Wrong);
        }
        self.ask(login, password, client).await.map_err(|error| match error {
            CheckError::Unknown => CheckError::Wrong,
            CheckError::NoRoute
            | CheckError::Operator(_)
            | CheckError::Unavailable(_)
            | CheckError::Wrong => error,
        })
    }
}

/// Who knows the passwords, and what holds guessing down. Everybody who takes passwords shares the last two.
#[derive(Clone)]
pub struct PasswordGuard {
    /// Who knows the passwords.
    pub directory: Option<Arc<dyn PasswordCheck>>,
    /// How login names are written.
    pub names: Names,
    /// How often one may be tried.
    pub limits: SignInLimits,
    /// When a wrong one is answered.
    pub pace: Arc<Pace>,
}

impl PasswordGuard {
    /// One in which nothing was counted yet.
    pub fn new(directory: Option<Arc<dyn PasswordCheck>>, names: Names, config: &SignInConfig) -> Self {
        let pace = Arc::new(Pace::new(config.wrong_answer_step));
        Self { directory, names, limits: SignInLimits::new(config), pace }
    }
}

/// Without what it counts.
impl std::fmt::Debug for PasswordGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PasswordGuard").field("pace", &self.pace).finish_non_exhaustive()
    }
}

/// Somewhere an empty password is an anonymous login, and a NUL the end of a text: what stands before it would be
/// another password, and perhaps an empty one.
fn can_be_asked(password: &Secret) -> bool {
    !password.is_empty() && !password.expose().contains(&0)
}

/// Several sources, asked in order. One that knows the user has the last word.
pub struct Directory {
    sources: Vec<Arc<dyn PasswordCheck>>,
}

impl Directory {
    /// Of `sources`, in the order in which they are asked.
    pub fn new(sources: Vec<Arc<dyn PasswordCheck>>) -> Self {
        Self { sources }
    }
}

#[async_trait]
impl PasswordCheck for Directory {
    async fn ask(&self, login: &Login, password: &Secret, client: IpAddr) -> Result<Verified, CheckError> {
        if !can_be_asked(password) {
            return Err(CheckError::Wrong);
        }
        for source in &self.sources {
            match source.ask(login, password, client).await {
                Err(CheckError::Unknown) => {}
                answer => return answer,
            }
        }
        Err(CheckError::Wrong)
    }
}

/// How many sources there are.
impl std::fmt::Debug for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Directory({} sources)", self.sources.len())
    }
}
