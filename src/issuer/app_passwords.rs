//! App passwords: made, listed and ended in one place for the command line and the pages.

use std::sync::Arc;

use thiserror::Error;

use super::{Issuer, IssuerError, mint::seal};
use crate::{
    model::{ClientId, GrantId, Login, Network, Protocol, Scope, Secret, TokenKind, UnixTime},
    store::{
        AppPasswordRecord, Ended, Grant, NEVER, NewAppPasswordRow, NewGrant, NewToken, RevocationReason,
    },
    token::{AppPassword, GrantKey},
};

/// An app password to be made. Whoever asks has checked the user and the mailbox passwords.
#[derive(Clone, Debug)]
pub struct NewAppPassword {
    /// Whose it is.
    pub user: Login,
    /// What its owner calls it.
    pub name: String,
    /// What it is for; SMTP alone makes one that can only send.
    pub protocols: Vec<Protocol>,
    /// From where it may be used; from everywhere when there is none.
    pub networks: Vec<Network>,
    /// Until when; `None` is without end.
    pub expires_at: Option<UnixTime>,
    /// The backends that log in with the mailbox password. Each needs one in `passwords`.
    pub sealed_backends: Vec<Arc<str>>,
    /// Mailbox passwords by backend. One for a backend that is not in `sealed_backends` is not kept.
    pub passwords: Vec<(Arc<str>, Secret)>,
}

/// An app password that was made.
#[derive(Clone, Debug)]
pub struct MadeAppPassword {
    /// Its text, to be shown once: nobody can find it again.
    pub password: Secret,
    /// What is told of it.
    pub record: AppPasswordRecord,
}

/// What is wrong with an app password that is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AppPasswordFault {
    /// It would have ended before it began.
    #[error("an app password must end in the future")]
    Ended,
    /// The name is empty, too long, or holds a control character.
    #[error(
        "an app password needs a name of at most {} characters, without control characters",
        Issuer::MAX_APP_PASSWORD_NAME
    )]
    Name,
    /// Too many networks.
    #[error("an app password is bound to at most {} networks", Issuer::MAX_APP_PASSWORD_NETWORKS)]
    Networks,
    /// It would be for nothing.
    #[error("an app password must be for at least one protocol")]
    Protocols,
    /// The user has too many.
    #[error(
        "this user has {} app passwords already; remove one that is no longer needed",
        Issuer::MAX_APP_PASSWORDS
    )]
    TooMany,
    /// The name of a service client is no person's.
    #[error("a service client cannot have app passwords")]
    User,
}

impl Issuer {
    /// How many live app passwords a user may have.
    pub const MAX_APP_PASSWORDS: u32 = 50;
    /// How many characters the name of an app password may have.
    pub const MAX_APP_PASSWORD_NAME: usize = 64;
    /// How many networks an app password may be bound to.
    pub const MAX_APP_PASSWORD_NETWORKS: usize = 16;

    /// Makes an app password: a grant with one secret, to whose key the mailbox passwords are sealed.
    ///
    /// # Errors
    /// [`IssuerError::AppPassword`], [`IssuerError::PasswordRequired`] and [`IssuerError::BadPassword`] say what is
    /// wrong with the request; else what the store or the library says.
    pub async fn make_app_password(
        &self,
        new: NewAppPassword,
        now: UnixTime,
    ) -> Result<MadeAppPassword, IssuerError> {
        let name = new.checked(now)?;
        let limit = self.config.grant_lifetime.map(|lifetime| now.after(lifetime));
        let expires_at = [limit, new.expires_at].into_iter().flatten().min();
        let (password, key) = (AppPassword::generate()?, GrantKey::generate()?);
        let kind = TokenKind::AppPassword;
        let grant = Grant {
            id: GrantId::generate(),
            user: new.user,
            client: ClientId::app_password(),
            scope: scope(&new.protocols),
            created_at: now,
            expires_at,
            revoked: None,
            audience: self.audience(),
            auth_time: None,
            mailboxes: Vec::new(),
            public_key: *key.public().as_bytes(),
        };
        let token = NewToken {
            lookup: password.lookup()?,
            kind,
            scope: grant.scope.clone(),
            audience: grant.audience.clone(),
            certificate: None,
            created_at: now,
            expires_at: expires_at.unwrap_or(NEVER),
            wrapped_key: key.wrap(&password.wrap_key(&self.server_key)?, grant.id, kind)?,
        };
        let credentials = seal(&key, grant.id, &grant.user, &new.sealed_backends, &new.passwords)?;
        let record = AppPasswordRecord {
            id: grant.id,
            user: grant.user.clone(),
            name: name.clone(),
            scope: grant.scope.clone(),
            networks: new.networks.clone(),
            created_at: now,
            expires_at,
            last_use: None,
        };
        let grant = NewGrant { credentials, tokens: vec![token], ..grant.into() };
        let row = NewAppPasswordRow { grant, name, networks: new.networks };
        if !self.store.create_app_password(row, Self::MAX_APP_PASSWORDS).await? {
            return Err(AppPasswordFault::TooMany.into());
        }
        Ok(MadeAppPassword { password: password.text(), record })
    }

    /// The app passwords of one user, or of all, that were not revoked, the oldest first.
    ///
    /// # Errors
    /// [`IssuerError::Store`].
    pub async fn app_passwords(&self, user: Option<&Login>) -> Result<Vec<AppPasswordRecord>, IssuerError> {
        Ok(self.store.app_passwords(user).await?)
    }

    /// Ends an app password of `user`, or of anybody where no user is given. What is another's, or no app password, is
    /// [`Ended::Unknown`]. Sessions are ended by the revocation feed, as for every grant.
    ///
    /// # Errors
    /// [`IssuerError::Store`].
    pub async fn revoke_app_password(
        &self,
        user: Option<&Login>,
        id: GrantId,
        now: UnixTime,
    ) -> Result<Ended, IssuerError> {
        let grant = self.store.grant(id).await?;
        let is_meant = |grant: &Grant| {
            grant.client == ClientId::app_password() && user.is_none_or(|user| grant.user == *user)
        };
        if !grant.as_ref().is_some_and(is_meant) {
            return Ok(Ended::Unknown);
        }
        let reason = if user.is_some() { RevocationReason::LoggedOut } else { RevocationReason::Operator };
        Ok(self.store.revoke_grant(id, reason, now).await?)
    }
}

impl NewAppPassword {
    /// Whether it can be made, as far as can be told before.
    ///
    /// # Errors
    /// [`AppPasswordFault`].
    pub fn check(&self, now: UnixTime) -> Result<(), AppPasswordFault> {
        self.checked(now).map(drop)
    }

    /// The name that it gets, if everything else is in order.
    fn checked(&self, now: UnixTime) -> Result<String, AppPasswordFault> {
        let name = self.name.trim();
        if self.user.is_client() {
            return Err(AppPasswordFault::User);
        }
        let length = name.chars().count();
        if length == 0 || length > Issuer::MAX_APP_PASSWORD_NAME || name.chars().any(char::is_control) {
            return Err(AppPasswordFault::Name);
        }
        if self.protocols.is_empty() {
            return Err(AppPasswordFault::Protocols);
        }
        if self.networks.len() > Issuer::MAX_APP_PASSWORD_NETWORKS {
            return Err(AppPasswordFault::Networks);
        }
        if self.expires_at.is_some_and(|end| end <= now || end > NEVER) {
            return Err(AppPasswordFault::Ended);
        }
        Ok(name.to_owned())
    }
}

/// The narrow scope values of the protocols, each once.
fn scope(protocols: &[Protocol]) -> Scope {
    let names = Protocol::ALL.into_iter().filter(|protocol| protocols.contains(protocol));
    let text = names.map(Protocol::as_str).collect::<Vec<_>>().join(" ");
    // Their names are scope values.
    text.parse().unwrap_or_default()
}

impl From<AppPasswordFault> for IssuerError {
    fn from(fault: AppPasswordFault) -> Self {
        Self::AppPassword(fault)
    }
}
