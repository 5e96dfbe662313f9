use async_trait::async_trait;

use super::StoreError;
use crate::model::{Login, TokenHash, UnixTime};

/// How many sessions of a user there are at most; a new one ends the oldest.
pub const ACCOUNT_SESSIONS: u32 = 32;

/// Who is signed in to the account page.
#[async_trait]
pub trait AccountSessions: Send + Sync {
    /// Stores a new session.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when there is one already.
    async fn open_account_session(&self, session: AccountSession) -> Result<(), StoreError>;

    /// A session that has not ended at `now`.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the row cannot be read as what it should be.
    async fn account_session(
        &self,
        lookup: &TokenHash,
        now: UnixTime,
    ) -> Result<Option<AccountSession>, StoreError>;

    /// Ends a session; `false` when there was none.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] alone.
    async fn close_account_session(&self, lookup: &TokenHash) -> Result<bool, StoreError>;
}

/// A browser in which somebody is signed in to the account page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountSession {
    /// The hash of its cookie.
    pub lookup: TokenHash,
    /// Who.
    pub user: Login,
    /// When they proved it.
    pub auth_time: UnixTime,
    /// Since when.
    pub created_at: UnixTime,
    /// Until when.
    pub expires_at: UnixTime,
}
