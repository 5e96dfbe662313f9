use async_trait::async_trait;

use super::{Ended, StoreError};
use crate::model::{ClientId, Login, Scope, TokenHash, UnixTime};

/// Clients that have a row, those that are denied, and what people allowed them once and for all.
#[async_trait]
pub trait Clients: Send + Sync {
    /// Stores a client.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the identifier exists already.
    async fn create_client(&self, client: ClientRecord) -> Result<(), StoreError>;

    /// What is known of a client.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the row cannot be read as what it should be.
    async fn client(&self, id: &ClientId) -> Result<ClientState, StoreError>;

    /// Every client with a row, the oldest first.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when a row cannot be read as what it should be.
    async fn clients(&self) -> Result<Vec<ClientRecord>, StoreError>;

    /// Replaces a client's row; `false` when there is none.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] alone.
    async fn update_client(&self, client: ClientRecord) -> Result<bool, StoreError>;

    /// Removes a client's row and consents, puts its identifier on the deny list, and ends its grants with
    /// [`super::RevocationReason::ClientRemoved`]. Works for clients without a row too, so that it is never
    /// [`Ended::Unknown`]; on the deny list already, it is [`Ended::Before`].
    ///
    /// No grant of it is live when this returns. Many grants are ended in several steps, the row last: what an
    /// outage interrupts is to be called again.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] alone.
    async fn remove_client(&self, id: &ClientId, at: UnixTime) -> Result<Ended, StoreError>;

    /// The identifiers on the deny list, and since when.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when a row cannot be read as what it should be.
    async fn denied_clients(&self) -> Result<Vec<(ClientId, UnixTime)>, StoreError>;

    /// Takes an identifier off the deny list; `false` when it was not on it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] alone.
    async fn allow_client(&self, id: &ClientId) -> Result<bool, StoreError>;

    /// Remembers what a person allowed a client, instead of what was remembered before.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] alone.
    async fn remember_consent(
        &self,
        user: &Login,
        client: &ClientId,
        scope: &Scope,
        at: UnixTime,
    ) -> Result<(), StoreError>;

    /// What a person allowed a client, as remembered.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the row cannot be read as what it should be.
    async fn consent(&self, user: &Login, client: &ClientId) -> Result<Option<Scope>, StoreError>;
}

/// A client that has a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientRecord {
    /// Its identifier.
    pub id: ClientId,
    /// Look-up hash of its secret, where it has one.
    pub secret: Option<TokenHash>,
    /// Look-up hash of its registration access token (RFC 7592 §3), where it has one.
    pub management: Option<TokenHash>,
    /// Its metadata, JSON as the issuer writes it; the store does not look inside.
    pub metadata: String,
    /// Since when.
    pub created_at: UnixTime,
}

/// What the store knows of a client identifier.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientState {
    /// Its row.
    pub record: Option<ClientRecord>,
    /// Whether it is on the deny list.
    pub denied: bool,
}
