use async_trait::async_trait;

use super::{Ended, StoreError};
use crate::model::{Login, UnixTime};

/// The built-in directory.
#[async_trait]
pub trait Users: Send + Sync {
    /// Stores a user.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the login name exists already.
    async fn add_user(&self, user: UserRecord) -> Result<(), StoreError>;

    /// A user.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the row cannot be read as what it should be.
    async fn user(&self, login: &Login) -> Result<Option<UserRecord>, StoreError>;

    /// Every user by name.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when a row cannot be read as what it should be.
    async fn users(&self) -> Result<Vec<UserRecord>, StoreError>;

    /// Replaces a user's password hash; `false` when there is no such user, whose grants are then left alone. With
    /// `end_grants` the user's grants end, with [`super::RevocationReason::PasswordChanged`], and the password
    /// counts as changed; without, the hash alone is made anew.
    ///
    /// Many grants are ended in several steps, the password last, as [`super::Clients::remove_client`] does.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] alone.
    async fn set_password(
        &self,
        login: &Login,
        password: &str,
        end_grants: bool,
        at: UnixTime,
    ) -> Result<bool, StoreError>;

    /// Removes a user with what the user allowed once and for all and their passwords at mail servers, and ends the
    /// user's grants, with [`super::RevocationReason::UserRemoved`]. What hangs on a name without a row is left alone.
    ///
    /// Many grants are ended in several steps, the rest with the last, as [`super::Clients::remove_client`] does.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] alone.
    async fn remove_user(&self, login: &Login, at: UnixTime) -> Result<Ended, StoreError>;
}

/// A user of the built-in directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRecord {
    /// The login name.
    pub login: Login,
    /// The password's hash, as a PHC string.
    pub password: String,
    /// Since when.
    pub created_at: UnixTime,
    /// Since when this password.
    pub changed_at: UnixTime,
}
