use async_trait::async_trait;

use super::StoreError;
use crate::model::{Login, UnixTime};

/// Passwords of users at mail servers, sealed.
#[async_trait]
pub trait UpstreamSecrets: Send + Sync {
    /// Stores a password in place of the one before.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] alone.
    async fn set_upstream_secret(&self, secret: UpstreamSecret) -> Result<(), StoreError>;

    /// The password of a user at a backend.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the row cannot be read as what it should be.
    async fn upstream_secret(
        &self,
        user: &Login,
        backend: &str,
    ) -> Result<Option<UpstreamSecret>, StoreError>;

    /// Every one, by user and backend.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when a row cannot be read as what it should be.
    async fn upstream_secrets(&self) -> Result<Vec<UpstreamSecret>, StoreError>;

    /// Removes one; `false` when there was none.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] alone.
    async fn remove_upstream_secret(&self, user: &Login, backend: &str) -> Result<bool, StoreError>;
}

/// The password of a user at a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamSecret {
    /// The user.
    pub user: Login,
    /// The backend's name.
    pub backend: String,
    /// The password, under a key that is not in the store.
    pub sealed: Vec<u8>,
    /// Since when.
    pub created_at: UnixTime,
}
